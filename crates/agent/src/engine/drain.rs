//! Draining (`master-agent-protocol.md` §9): what runs here is ended, nothing new is taken, until
//! all is over.

use model::id::{FrameworkId, TaskId};
use wire::internal::{DrainSlaveMessage, KillTaskMessage};
use wire::v1;

use super::event::Record;
use super::{Engine, Phase};

/// That the agent is being emptied.
#[derive(Clone, Debug, PartialEq)]
pub struct Drain {
    /// How.
    pub config: v1::DrainConfig,
    /// Since when; at the latest when this run of the agent began.
    pub since: model::time::Timestamp,
}

impl Engine {
    pub(super) fn drain(&mut self, message: DrainSlaveMessage) {
        let Some(agent) = self.agent_id().cloned() else { return };
        if self.is_empty() {
            return self.info_log("Nothing is here to be drained".to_owned());
        }
        let config = message.config;
        self.info_log("Draining: all tasks are ended, none is taken".to_owned());
        self.persist(Record::Drain { agent, config: Some(config) });
        let since = self.state.drain.as_ref().map_or(self.now.wall, |drain| drain.since);
        self.state.drain = Some(Drain { config, since });
        let longest = config.max_grace_period;
        for (framework, task, policy) in self.tasks_with_policies() {
            self.kill_task(KillTaskMessage {
                framework_id: v1::FrameworkId { value: framework.to_string() },
                task_id: v1::TaskId { value: task.to_string() },
                kill_policy: longest.and_then(|longest| shortened(policy.as_ref(), longest)),
            });
        }
        self.maybe_drained();
    }

    fn tasks_with_policies(&self) -> Vec<(FrameworkId, TaskId, Option<v1::KillPolicy>)> {
        let mut all = Vec::new();
        for framework in self.state.frameworks.values().filter(|f| !f.terminating) {
            for executor in framework.executors.values() {
                let queued = executor
                    .queued
                    .iter()
                    .filter_map(|info| Some((info.task_id.value.parse().ok()?, info.kill_policy)));
                let launched =
                    executor.launched.iter().map(|(id, task)| (id.clone(), task.kill_policy));
                all.extend(
                    queued
                        .chain(launched)
                        .map(|(task, policy)| (framework.id.clone(), task, policy)),
                );
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.state.frameworks.is_empty() && self.state.operations.is_empty()
    }

    /// Ends draining once nothing is left.
    pub(super) fn maybe_drained(&mut self) {
        // Before the agent is registered not all that is here has come back.
        let running = matches!(self.phase, Phase::Running);
        if !running || self.state.drain.is_none() || !self.is_empty() {
            return;
        }
        let Some(agent) = self.agent_id().cloned() else { return };
        self.state.drain = None;
        self.persist(Record::Drain { agent, config: None });
        self.info_log("Drained".to_owned());
    }
}

/// A policy with `longest` as its grace period, where a task's own is longer or not stated.
fn shortened(policy: Option<&v1::KillPolicy>, longest: v1::DurationInfo) -> Option<v1::KillPolicy> {
    let own = policy.and_then(|policy| policy.grace_period);
    own.is_none_or(|own| longest.nanoseconds < own.nanoseconds)
        .then_some(v1::KillPolicy { grace_period: Some(longest) })
}
