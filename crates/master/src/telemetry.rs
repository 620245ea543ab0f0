//! `/metrics/snapshot`: every number from a snapshot, under the original's names.

mod allocation;
mod frameworks;
mod operations;

use std::collections::BTreeMap;

use endpoints::common::Block;
use model::time::Timestamp;
use wire::descriptor::{Described, Kind, Names};
use wire::v1::{TaskState, TaskStatus};

use crate::engine::counters::Counter;
use crate::engine::state::Snapshot;

/// What the engine does not know: how the driver is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Events that wait for the engine.
    pub queued_events: usize,
    /// HTTP requests that wait for their answer.
    pub queued_requests: usize,
    /// Open streams of the operator API.
    pub operator_streams: usize,
    /// Changes of the registry that are being written.
    pub queued_operations: usize,
    /// Decisions that wait for such changes.
    pub queued_effects: u64,
    /// Messages whose name nobody here knows or whose body is not what the name says.
    pub undecodable_messages: u64,
    /// Messages whose sender may not send them.
    pub forbidden_messages: u64,
    /// Subscribers cut off because they did not read.
    pub cut_off_subscribers: u64,
}

/// The metrics of each framework, for `--publish_per_framework_metrics`: in the order of their
/// names, each framework's in one block. There are so many that they are written at once.
#[must_use]
pub fn blocks(snapshot: &Snapshot) -> Vec<Block> {
    let mut blocks: Vec<_> = snapshot.frameworks.values().map(|f| frameworks::block(f)).collect();
    blocks.sort_by(|a, b| a.begins_with.cmp(&b.begins_with));
    blocks
}

/// All metrics of the master at `now`. `per_framework` says whether those of frameworks are among
/// them.
#[must_use]
pub fn metrics(
    snapshot: &Snapshot,
    driver: &Driver,
    now: Timestamp,
    per_framework: bool,
) -> BTreeMap<String, f64> {
    let mut all = Metrics::default();
    resources(&mut all, snapshot);
    agents(&mut all, snapshot);
    tasks(&mut all, snapshot);
    counters(&mut all, snapshot);
    operations::publish(&mut all, snapshot);
    let uptime = now.since_epoch().saturating_sub(snapshot.started.since_epoch());
    all.gauge("master/uptime_secs", uptime.as_secs_f64());
    all.gauge("master/elected", 1.0);
    all.number("master/event_queue_messages", driver.queued_events);
    all.number("master/event_queue_http_requests", driver.queued_requests);
    all.number("master/operator_event_stream_subscribers", driver.operator_streams);
    all.number("registrar/queued_operations", driver.queued_operations);
    all.gauge("master/event_queue_dispatches", driver.queued_effects as f64);
    // The allocator is asked by the engine and has no queue of its own.
    all.gauge("allocator/event_queue_dispatches", 0.0);
    all.gauge("allocator/mesos/event_queue_dispatches", 0.0);
    // What there is of a log is the registry, which was read before this master led.
    all.gauge("registrar/log/recovered", 1.0);
    all.gauge("registrar/log/ensemble_size", 1.0);
    // The driver drops these before the engine sees them.
    let dropped = driver.undecodable_messages.saturating_add(driver.forbidden_messages);
    all.add("master/dropped_messages", dropped as f64);
    // Names of ours, which the original does not have.
    all.gauge("alcazar/messages_undecodable", driver.undecodable_messages as f64);
    all.gauge("alcazar/messages_forbidden", driver.forbidden_messages as f64);
    all.gauge("alcazar/subscribers_cut_off", driver.cut_off_subscribers as f64);
    if per_framework {
        for framework in snapshot.frameworks.values() {
            frameworks::publish(&mut all, framework);
        }
    }
    allocation::publish(&mut all, snapshot);
    all.0
}

/// Metrics that are being collected.
#[derive(Debug, Default)]
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn gauge(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    fn number(&mut self, name: impl Into<String>, value: usize) {
        self.gauge(name, value as f64);
    }

    fn add(&mut self, name: &str, value: f64) {
        *self.0.entry(name.to_owned()).or_default() += value;
    }
}

/// The scalars that have metrics of their own.
const SCALARS: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

fn resources(all: &mut Metrics, snapshot: &Snapshot) {
    let mut sums = [[(0.0, 0.0); 2]; SCALARS.len()];
    for agent in snapshot.agents.values() {
        let figures = allocation::figures(agent);
        for (sum, part) in sums.iter_mut().flatten().zip(figures.scalars.iter().flatten()) {
            *sum = (sum.0 + part.0, sum.1 + part.1);
        }
    }
    for (name, pair) in SCALARS.iter().zip(sums) {
        for (infix, (total, used)) in ["", "_revocable"].into_iter().zip(pair) {
            let percent = if total > 0.0 { used / total } else { 0.0 };
            all.gauge(format!("master/{name}{infix}_total"), total);
            all.gauge(format!("master/{name}{infix}_used"), used);
            all.gauge(format!("master/{name}{infix}_percent"), percent);
        }
    }
}

fn agents(all: &mut Metrics, snapshot: &Snapshot) {
    let agents = || snapshot.agents.values();
    all.number("master/slaves_connected", agents().filter(|a| a.connected).count());
    all.number("master/slaves_disconnected", agents().filter(|a| !a.connected).count());
    all.number("master/slaves_active", agents().filter(|a| a.active).count());
    all.number("master/slaves_inactive", agents().filter(|a| !a.active).count());
    all.number("master/slaves_unreachable", snapshot.unreachable_agents.size());
    let frameworks = || snapshot.frameworks.values();
    all.number("master/frameworks_connected", frameworks().filter(|f| f.is_connected()).count());
    let disconnected = frameworks().filter(|f| !f.is_connected()).count();
    all.number("master/frameworks_disconnected", disconnected);
    all.number("master/frameworks_active", frameworks().filter(|f| f.active).count());
    all.number("master/frameworks_inactive", frameworks().filter(|f| !f.active).count());
    all.number("master/outstanding_offers", snapshot.offers.size());
}

/// The states in which a task goes on, and the ends of the names of their gauges.
const GOING_ON: [(TaskState, &str); 4] = [
    (TaskState::TaskStaging, "staging"),
    (TaskState::TaskStarting, "starting"),
    (TaskState::TaskRunning, "running"),
    (TaskState::TaskKilling, "killing"),
];

fn tasks(all: &mut Metrics, snapshot: &Snapshot) {
    for (_, name) in GOING_ON {
        all.gauge(format!("master/tasks_{name}"), 0.0);
    }
    all.gauge("master/tasks_unreachable", 0.0);
    for framework in snapshot.frameworks.values() {
        let states = frameworks::states(framework);
        for (state, name) in GOING_ON {
            all.add(&format!("master/tasks_{name}"), f64::from(states.of(state)));
        }
        all.add("master/tasks_unreachable", framework.unreachable_tasks.len() as f64);
    }
}

fn counters(all: &mut Metrics, snapshot: &Snapshot) {
    for counter in Counter::ALL {
        let count = snapshot.counters.get(*counter);
        let name = counter.name();
        let prefix = if name.starts_with("alcazar/") { "" } else { "master/" };
        all.gauge(format!("{prefix}{name}"), count as f64);
    }
    for (principal, counts) in snapshot.principals.iter() {
        all.gauge(format!("frameworks/{principal}/messages_received"), counts.received as f64);
        all.gauge(format!("frameworks/{principal}/messages_processed"), counts.processed as f64);
    }
    for (ending, count) in snapshot.counters.endings() {
        let state = ending.state.as_str_name().to_lowercase();
        let mut name = format!("master/{state}/{}", v0_name("source", ending.source as i32));
        if let Some(reason) = ending.reason {
            name = format!("{name}/{}", v0_name("reason", reason as i32));
        }
        all.gauge(name, count as f64);
    }
}

/// The old name, in lower case, of a value of an enum in TaskStatus: `source_slave`, where v1 says
/// `source_agent`.
fn v0_name(field: &str, number: i32) -> String {
    let value = match TaskStatus::DESCRIPTOR.field(field).map(|f| f.kind) {
        Some(Kind::Enum(values)) => values.by_number(number),
        _ => None,
    };
    value.map_or_else(|| number.to_string(), |value| value.name(Names::V0).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::task_status::{Reason, Source};

    #[test]
    fn endings_are_counted_under_the_old_names() {
        assert_eq!(v0_name("source", Source::Agent as i32), "source_slave");
        let reason = Reason::AgentDisconnected as i32;
        assert_eq!(v0_name("reason", reason), "reason_slave_disconnected");
    }
}
