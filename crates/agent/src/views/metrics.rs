//! `/metrics/snapshot`: the numbers of `http-apis.md` §13.2 whose subject exists.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::v1::TaskState;

use super::Snapshot;
use crate::engine::state::{Activity, ExecutorPhase};

/// What the engine does not know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    /// How long the program has run.
    pub uptime: Duration,
    /// How long recovery took, in seconds.
    pub recovery_seconds: f64,
    /// Messages whose name nobody here knows or whose body is not what the name says.
    pub undecodable_messages: u64,
    /// Executors cut off because they did not read.
    pub cut_off_executors: u64,
    /// Calls of the executor API without a token that counts.
    pub refused_tokens: u64,
    /// Calls and messages of executors that came from no process of the executor's container.
    pub strangers: u64,
}

/// All metrics of the agent.
#[must_use]
pub fn metrics(snapshot: &Snapshot, outside: &Outside) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let state = &snapshot.state;
    let mut put = |name: &str, value: f64| {
        all.insert(name.to_owned(), value);
    };
    let allocated = snapshot.allocated();
    for name in ["cpus", "gpus", "mem", "disk"] {
        let total = snapshot.total.filter(|r| !r.revocable).scalar(name).as_f64();
        let used = allocated.filter(|r| !r.revocable).scalar(name).as_f64();
        let percent = if total > 0.0 { used / total } else { 0.0 };
        put(&format!("slave/{name}_total"), total);
        put(&format!("slave/{name}_used"), used);
        put(&format!("slave/{name}_percent"), percent);
        let revocable = allocated.filter(|r| r.revocable).scalar(name).as_f64();
        put(&format!("slave/{name}_revocable_total"), 0.0);
        put(&format!("slave/{name}_revocable_used"), revocable);
        put(&format!("slave/{name}_revocable_percent"), 0.0);
    }
    let registered = state.activity == Activity::Running;
    put("slave/registered", f64::from(u8::from(registered)));
    put("slave/uptime_secs", outside.uptime.as_secs_f64());
    put("slave/recovery_time_secs", outside.recovery_seconds);
    put("slave/frameworks_active", count(state.frameworks.values().filter(|f| !f.terminating)));
    let phase = |phase| count(snapshot.executors().filter(|e| e.phase == phase));
    put("slave/executors_registering", phase(ExecutorPhase::Registering));
    put("slave/executors_running", phase(ExecutorPhase::Running));
    put("slave/executors_terminating", phase(ExecutorPhase::Terminating));
    let queued: usize = snapshot.executors().map(|e| e.queued.len()).sum();
    let launched = |wanted: TaskState| {
        let tasks = snapshot.executors().flat_map(|e| e.launched.values());
        count(tasks.filter(|task| task.state() == wanted))
    };
    #[expect(clippy::cast_precision_loss, reason = "no agent has 2^53 tasks")]
    put("slave/tasks_staging", launched(TaskState::TaskStaging) + queued as f64);
    put("slave/tasks_starting", launched(TaskState::TaskStarting));
    put("slave/tasks_running", launched(TaskState::TaskRunning));
    put("slave/tasks_killing", launched(TaskState::TaskKilling));
    let counters = &state.counters;
    for (name, value) in [
        ("slave/container_launch_errors", counters.container_launch_errors),
        ("slave/executors_terminated", counters.executors_terminated),
        // There is no oversubscription to preempt for.
        ("slave/executors_preempted", 0),
        ("slave/invalid_framework_messages", counters.invalid_framework_messages),
        ("slave/invalid_status_updates", counters.invalid_status_updates),
        ("slave/recovery_errors", counters.recovery_errors),
        ("slave/tasks_failed", counters.tasks_failed),
        ("slave/tasks_finished", counters.tasks_finished),
        ("slave/tasks_gone", counters.tasks_gone),
        ("slave/tasks_killed", counters.tasks_killed),
        ("slave/tasks_lost", counters.tasks_lost),
        ("slave/valid_framework_messages", counters.valid_framework_messages),
        ("slave/valid_status_updates", counters.valid_status_updates),
        // Names of ours, which the original does not have.
        ("alcazar/messages_dropped", counters.dropped_messages),
        ("alcazar/executor_tokens_expired", counters.executor_tokens_expired),
        ("alcazar/executor_tokens_renewed", counters.executor_tokens_renewed),
        ("alcazar/messages_undecodable", outside.undecodable_messages),
        ("alcazar/subscribers_cut_off", outside.cut_off_executors),
        ("alcazar/executor_tokens_refused", outside.refused_tokens),
        ("alcazar/executors_not_in_their_container", outside.strangers),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "counters may be off by one at 2^53")]
        put(name, value as f64);
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "nothing here is counted to 2^53")]
fn count<T>(items: impl Iterator<Item = T>) -> f64 {
    items.count() as f64
}
