//! Metrics of one framework, under `master/frameworks/<name>/<id>/`.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use endpoints::common::Block;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use wire::json::ToJson;
use wire::v1::{TaskState, offer, scheduler};

use super::Metrics;
use crate::engine::state::{Framework, Task};
use crate::views::weave::run;

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

/// How many tasks of a framework are in which state, by the state's number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct States([u32; 16]);

impl States {
    fn count(&mut self, state: TaskState) {
        if let Some(count) = usize::try_from(state as i32).ok().and_then(|n| self.0.get_mut(n)) {
            *count += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// How many are in `state`.
    pub(super) fn of(&self, state: TaskState) -> u32 {
        usize::try_from(state as i32).ok().and_then(|n| self.0.get(n)).copied().unwrap_or_default()
    }
}

/// The states of the framework's tasks that have not ended and been acknowledged; costs what has
/// changed since it was asked last.
pub(super) fn states(framework: &Framework) -> Arc<States> {
    let count = |states: &mut States, task: &Arc<Task>| states.count(task.state());
    framework.tasks.sum(run::STATES, &count, &States::add)
}

/// The names of all metrics of one framework begin with this.
fn prefix(framework: &Framework) -> String {
    let name = utf8_percent_encode(&framework.info.name, ENCODED);
    format!("master/frameworks/{name}/{}/", framework.id)
}

/// Adds the framework's metrics.
pub(super) fn publish(all: &mut Metrics, framework: &Framework) {
    let prefix = prefix(framework);
    for (name, value) in figures(framework) {
        all.gauge(format!("{prefix}{name}"), value);
    }
}

/// The framework's metrics as members of the object, in their order.
pub(super) fn block(framework: &Framework) -> Block {
    let prefix = prefix(framework);
    let mut figures = figures(framework);
    figures.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut members = Vec::with_capacity(figures.len() * (prefix.len() + 40));
    let mut name = prefix.clone();
    for (n, (rest, value)) in figures.iter().enumerate() {
        if n > 0 {
            members.push(b',');
        }
        name.truncate(prefix.len());
        name.push_str(rest);
        name.to_json(&mut members);
        members.push(b':');
        value.to_json(&mut members);
    }
    Block { begins_with: prefix, members }
}

/// The framework's metrics, by what follows the prefix.
fn figures(framework: &Framework) -> Vec<(Cow<'static, str>, f64)> {
    let counters = &framework.counters;
    let mut all: Vec<(Cow<'static, str>, f64)> = Vec::with_capacity(96);
    all.push(("subscribed".into(), f64::from(u8::from(framework.is_connected()))));
    let mut counted =
        |kind: &'static str, names: &'static [(i32, String)], of: &dyn Fn(i32) -> u64| {
            let mut sum = 0;
            for (number, name) in names {
                let count = of(*number);
                sum += count;
                all.push((name.as_str().into(), count as f64));
            }
            all.push((kind.into(), sum as f64));
        };
    let names = names();
    counted("calls", &names.calls, &|n| {
        let kind = scheduler::call::Type::try_from(n).ok();
        kind.and_then(|kind| counters.calls.get(&kind)).copied().unwrap_or_default()
    });
    counted("events", &names.events, &|n| {
        let kind = scheduler::event::Type::try_from(n).ok();
        kind.and_then(|kind| counters.events.get(&kind)).copied().unwrap_or_default()
    });
    counted("operations", &names.operations, &|n| {
        let kind = offer::operation::Type::try_from(n).ok();
        kind.and_then(|kind| counters.operations.get(&kind)).copied().unwrap_or_default()
    });
    for (name, count) in [
        ("offers/sent", counters.offers_sent),
        ("offers/accepted", counters.offers_accepted),
        ("offers/declined", counters.offers_declined),
        ("offers/rescinded", counters.offers_rescinded),
    ] {
        all.push((name.into(), count as f64));
    }
    let states = states(framework);
    for (state, (_, name)) in ACTIVE.into_iter().zip(&names.active) {
        let count = match state {
            TaskState::TaskUnreachable => framework.unreachable_tasks.len() as f64,
            state => f64::from(states.of(state)),
        };
        all.push((name.as_str().into(), count));
    }
    for (state, (_, name)) in TERMINAL.into_iter().zip(&names.terminal) {
        let count = counters.terminal_tasks.get(&state).copied().unwrap_or_default();
        all.push((name.as_str().into(), count as f64));
    }
    for role in &framework.roles {
        let suppressed = framework.suppressed_roles.contains(role);
        all.push((format!("roles/{role}/suppressed").into(), f64::from(u8::from(suppressed))));
    }
    all
}

/// The names that all frameworks' metrics have, by the numbers of the enums that they come from.
struct Names {
    calls: Vec<(i32, String)>,
    events: Vec<(i32, String)>,
    operations: Vec<(i32, String)>,
    active: Vec<(i32, String)>,
    terminal: Vec<(i32, String)>,
}

fn names() -> &'static Names {
    static NAMES: LazyLock<Names> = LazyLock::new(|| {
        // The numbers of these enums are small and dense; the first is UNKNOWN.
        let all = |kind: &str, name: fn(i32) -> Option<&'static str>| {
            (1..64)
                .filter_map(|n| Some((n, format!("{kind}/{}", name(n)?.to_lowercase()))))
                .collect()
        };
        let states = |kind: &str, states: &[TaskState]| {
            let name = |state: &TaskState| {
                (*state as i32, format!("tasks/{kind}/{}", state.as_str_name().to_lowercase()))
            };
            states.iter().map(name).collect()
        };
        Names {
            calls: all("calls", |n| Some(scheduler::call::Type::try_from(n).ok()?.as_str_name())),
            events: all("events", |n| {
                Some(scheduler::event::Type::try_from(n).ok()?.as_str_name())
            }),
            operations: all("operations", |n| {
                Some(offer::operation::Type::try_from(n).ok()?.as_str_name())
            }),
            active: states("active", &ACTIVE),
            terminal: states("terminal", &TERMINAL),
        }
    });
    &NAMES
}
