//! RECONCILE: what a scheduler gets to know of tasks that it is not sure about, and in which lots
//! that is told, and what it gets to know of operations.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::id::{AgentId, FrameworkId, TaskId};
use wire::v1;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::v1::task_status::Reason;

use super::Engine;
use super::counters::Counter;
use super::out::Out;
use super::state::{Framework, OperationUuid};
use super::timers::Timer;
use super::{events, status};

/// How many questions are answered at once. The answers to more would fill the scheduler's stream
/// faster than any network empties it, and it would be cut off.
const SLICE: usize = 1000;

/// The time from one lot of answers to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The most questions about named tasks and operations that wait for one framework. A scheduler
/// asks again about what it has not heard of.
const MAX_QUESTIONS: usize = 1_000_000;

/// Questions of one framework that are still to be answered.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Those about tasks that it has named.
    named: VecDeque<call::reconcile::Task>,
    /// Of the tasks that it had when it asked about all, those that it was not told of yet.
    all: VecDeque<TaskId>,
    /// Those about operations that it has named.
    pub(super) named_operations: VecDeque<call::reconcile_operations::Operation>,
    /// As of tasks.
    pub(super) all_operations: VecDeque<OperationUuid>,
}

impl Waiting {
    /// Whether so many questions about something that is named can be added.
    fn takes(&self, more: usize) -> bool {
        let waiting = self.named.len() + self.named_operations.len();
        waiting.saturating_add(more) <= MAX_QUESTIONS
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty()
            && self.all.is_empty()
            && self.named_operations.is_empty()
            && self.all_operations.is_empty()
    }
}

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
        self.ask(framework_id, reconcile.tasks.len(), out, |framework, waiting| {
            if reconcile.tasks.is_empty() {
                // All that is still to be told of all is told after this question too.
                waiting.all = framework.tasks.keys().cloned().collect();
            } else {
                waiting.named.extend(reconcile.tasks.iter().cloned());
            }
        });
    }

    /// Adds a framework's questions, `count` of them about something that it has named, to those
    /// that wait.
    pub(super) fn ask(
        &mut self,
        framework_id: &FrameworkId,
        count: usize,
        out: &mut Out,
        add: impl FnOnce(&Framework, &mut Waiting),
    ) {
        let Some(framework) = self.state.frameworks.get(framework_id) else { return };
        let at_work = self.questions.contains_key(framework_id);
        let waiting = self.questions.entry(framework_id.clone()).or_default();
        if waiting.takes(count) {
            add(framework, waiting);
        } else {
            out.warn(format!(
                "Ignored {count} questions of framework {framework_id}: too many wait already"
            ));
        }
        if !at_work {
            self.reconcile_on(framework_id, out);
        }
    }

    /// Answers the next questions of a framework, as many as go at once.
    pub(super) fn reconcile_on(&mut self, framework_id: &FrameworkId, out: &mut Out) {
        let Some(mut waiting) = self.questions.remove(framework_id) else { return };
        let Some(framework) = self.state.frameworks.get(framework_id).cloned() else { return };
        if !framework.is_connected() {
            return;
        }
        let mut to_agents = BTreeMap::new();
        for _ in 0..SLICE {
            let status = if let Some(question) = waiting.named.pop_front() {
                self.answer(framework_id, &question, out)
            } else if let Some(id) = waiting.all.pop_front() {
                // What has ended since was told when it did.
                framework
                    .tasks
                    .get(&id)
                    .map(|task| status::latest(task, Reason::Reconciliation, LATEST, out.now.wall))
            } else if let Some(question) = waiting.named_operations.pop_front() {
                self.answer_operation(&framework, question, &mut to_agents, out);
                continue;
            } else if let Some(uuid) = waiting.all_operations.pop_front() {
                self.tell_of_operation(framework_id, uuid, out);
                continue;
            } else {
                break;
            };
            if let Some(status) = status {
                self.tell(framework_id, events::update(status), out);
            }
        }
        self.ask_agents(to_agents, out);
        if waiting.is_empty() {
            return;
        }
        self.questions.insert(framework_id.clone(), waiting);
        let turn = out.now.monotonic + PAUSE;
        self.timers.set(turn, Timer::Reconciliation(framework_id.clone()));
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
        let lost = task_id.as_ref().and_then(|id| framework.unreachable_tasks.get(id));
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
