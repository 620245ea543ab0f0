//! Metrics of one framework, under `master/frameworks/<name>/<id>/`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use wire::v1::{TaskState, offer, scheduler};

use super::Metrics;
use crate::engine::state::Framework;

/// What a URL leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// States of tasks that go on, unreachable and unknown ones included.
const ACTIVE: [TaskState; 6] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskUnreachable,
    TaskState::TaskUnknown,
];

/// States in which a task has ended.
const TERMINAL: [TaskState; 8] = [
    TaskState::TaskFinished,
    TaskState::TaskFailed,
    TaskState::TaskKilled,
    TaskState::TaskError,
    TaskState::TaskLost,
    TaskState::TaskDropped,
    TaskState::TaskGone,
    TaskState::TaskGoneByOperator,
];

pub(super) fn publish(all: &mut Metrics, framework: &Framework) {
    let name = utf8_percent_encode(&framework.info.name, ENCODED);
    let prefix = format!("master/frameworks/{name}/{}", framework.id);
    let counters = &framework.counters;
    all.number(format!("{prefix}/subscribed"), usize::from(framework.is_connected()));

    let mut counted = |kind: &str, counts: Vec<(String, u64)>| {
        let sum: u64 = counts.iter().map(|(_, count)| count).sum();
        all.gauge(format!("{prefix}/{kind}"), sum as f64);
        for (name, count) in counts {
            all.gauge(format!("{prefix}/{kind}/{name}"), count as f64);
        }
    };
    // The numbers of these enums are small and dense; the first is UNKNOWN.
    let calls = (1..64).filter_map(|n| scheduler::call::Type::try_from(n).ok());
    let of = |call| counters.calls.get(&call).copied().unwrap_or_default();
    counted("calls", calls.map(|c| (c.as_str_name().to_lowercase(), of(c))).collect());
    let events = (1..64).filter_map(|n| scheduler::event::Type::try_from(n).ok());
    let of = |event| counters.events.get(&event).copied().unwrap_or_default();
    counted("events", events.map(|e| (e.as_str_name().to_lowercase(), of(e))).collect());
    let operations = (1..64).filter_map(|n| offer::operation::Type::try_from(n).ok());
    let of = |operation| counters.operations.get(&operation).copied().unwrap_or_default();
    counted("operations", operations.map(|o| (o.as_str_name().to_lowercase(), of(o))).collect());

    for (name, count) in [
        ("sent", counters.offers_sent),
        ("accepted", counters.offers_accepted),
        ("declined", counters.offers_declined),
        ("rescinded", counters.offers_rescinded),
    ] {
        all.gauge(format!("{prefix}/offers/{name}"), count as f64);
    }
    for state in ACTIVE {
        let count = match state {
            TaskState::TaskUnreachable => framework.unreachable_tasks.len(),
            state => framework.tasks.values().filter(|task| task.state() == state).count(),
        };
        let name = state.as_str_name().to_lowercase();
        all.number(format!("{prefix}/tasks/active/{name}"), count);
    }
    for state in TERMINAL {
        let count = counters.terminal_tasks.get(&state).copied().unwrap_or_default();
        let name = state.as_str_name().to_lowercase();
        all.gauge(format!("{prefix}/tasks/terminal/{name}"), count as f64);
    }
    for role in &framework.roles {
        let suppressed = framework.suppressed_roles.contains(role);
        all.number(format!("{prefix}/roles/{role}/suppressed"), usize::from(suppressed));
    }
}
