//! RECONCILE: what a scheduler gets to know of tasks that it is not sure about.

use model::id::{AgentId, FrameworkId, TaskId};
use wire::v1;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::v1::task_status::Reason;

use super::Engine;
use super::counters::Counter;
use super::out::Out;
use super::{events, status};

const LATEST: &str = "Reconciliation: Latest task state";
const UNKNOWN: &str = "Reconciliation: Task is unknown";
const UNKNOWN_TO_AGENT: &str = "Reconciliation: Task is unknown to the agent";
const UNREACHABLE: &str = "Reconciliation: Task is unreachable";

impl Engine {
    /// RECONCILE: about the tasks named, or about all that the master knows.
    pub(super) fn reconcile(
        &mut self,
        framework_id: &FrameworkId,
        reconcile: &call::Reconcile,
        out: &mut Out,
    ) {
        self.state.counters.count(Counter::MessagesReconcileTasks);
        for task in &reconcile.tasks {
            self.reconcile_one(framework_id, task, out);
        }
        if !reconcile.tasks.is_empty() {
            return;
        }
        let Some(framework) = self.state.frameworks.get(framework_id).cloned() else { return };
        for task in framework.tasks.values() {
            let status = status::latest(task, Reason::Reconciliation, LATEST, out.now.wall);
            self.tell(framework_id, events::update(status), out);
        }
    }

    /// Answers about one task, unless an agent that may know it can still come back.
    pub(super) fn reconcile_one(
        &mut self,
        framework_id: &FrameworkId,
        question: &call::reconcile::Task,
        out: &mut Out,
    ) {
        if let Some(status) = self.answer(framework_id, question, out) {
            self.tell(framework_id, events::update(status), out);
        }
    }

    fn answer(
        &self,
        framework_id: &FrameworkId,
        question: &call::reconcile::Task,
        out: &Out,
    ) -> Option<v1::TaskStatus> {
        let framework = self.state.frameworks.get(framework_id)?;
        let task_id = TaskId::new(&question.task_id.value).ok();
        if let Some(task) = task_id.as_ref().and_then(|id| framework.tasks.get(id)) {
            return Some(status::latest(task, Reason::Reconciliation, LATEST, out.now.wall));
        }
        let lost = task_id.and_then(|id| framework.unreachable_tasks.iter().find(|t| t.id == id));
        let named = question.agent_id.as_ref().map(|id| id.value.as_str());
        let agent = lost.map(|task| task.agent_id.as_str()).or(named);
        let agent_id = agent.and_then(|text| AgentId::new(text).ok());
        let recovering = match &agent_id {
            Some(id) => self.state.recovered_agents.contains_key(id),
            None => !self.state.recovered_agents.is_empty(),
        };
        if recovering {
            return None;
        }
        let mut unreachable_time = None;
        let (aware, message) = match &agent_id {
            Some(id) if self.state.agents.contains_key(id) => {
                (TaskState::TaskGone, UNKNOWN_TO_AGENT)
            }
            Some(id) if self.state.gone_agents.contains_key(id) => {
                (TaskState::TaskGoneByOperator, UNKNOWN)
            }
            Some(id) => match self.state.unreachable_agents.get(id) {
                Some(agent) => {
                    let nanoseconds = agent.since.as_nanos();
                    unreachable_time = Some(v1::TimeInfo { nanoseconds });
                    (TaskState::TaskUnreachable, UNREACHABLE)
                }
                None => (TaskState::TaskUnknown, UNKNOWN),
            },
            None => (TaskState::TaskUnknown, UNKNOWN),
        };
        let state = status::lost_unless_aware(&framework.capabilities, aware);
        let mut status = status::from_master(
            &question.task_id.value,
            agent,
            state,
            Reason::Reconciliation,
            message,
            out.now.wall,
        );
        status.unreachable_time = unreachable_time;
        Some(status)
    }
}
