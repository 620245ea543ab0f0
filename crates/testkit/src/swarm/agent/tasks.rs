//! The tasks of one emulated agent, and what it still has to tell of them
//! (`master-agent-protocol.md` §5–7).
//!
//! Nothing is started: a task whose command is `sleep <seconds>` runs for so long, one with
//! `sleep infinity` until it is killed, any other has finished as soon as it runs. Each update is
//! said until it is acknowledged, the next one after that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use wire::internal::{
    ReconcileTasksMessage, RunTaskMessage, StatusUpdate, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use wire::v1::task_status::{Reason, Source};
use wire::v1::{
    AgentId, ExecutorId, FrameworkId, FrameworkInfo, Task, TaskId, TaskInfo, TaskState, TaskStatus,
    framework_info,
};

use super::super::book::Fact;

/// An update that is not acknowledged is said again after so long, then after twice that.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// No update waits longer before it is said again.
const LONGEST_RETRY: Duration = Duration::from_mins(10);

/// Whose task, and which of the framework's.
type Key = (String, String);

/// The tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    frameworks: BTreeMap<String, FrameworkInfo>,
    tasks: BTreeMap<Key, Task>,
    updates: BTreeMap<Key, Updates>,
    due: BTreeSet<(Instant, Due)>,
}

/// What is not acknowledged of one task, the oldest first.
#[derive(Debug)]
struct Updates {
    waiting: VecDeque<TaskStatus>,
    /// When the oldest is said again, and how long it has waited for that.
    again: Option<(Instant, Duration)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A task has run for as long as it was to.
    Ends(Key),
    /// An update was not acknowledged.
    Again(Key),
}

/// What comes of something: messages to the master, and what goes into the book.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) updates: Vec<StatusUpdateMessage>,
    pub(super) facts: Vec<Fact>,
}

impl Tasks {
    /// When it wants [`Tasks::woken`] to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What an agent tells of its tasks when it registers again.
    pub(super) fn listed(&self) -> (Vec<Task>, Vec<FrameworkInfo>) {
        let has_tasks = |id: &&String| self.tasks.keys().any(|(framework, _)| framework == *id);
        let frameworks = self.frameworks.iter().filter(|(id, _)| has_tasks(id));
        (self.tasks.values().cloned().collect(), frameworks.map(|(_, info)| info.clone()).collect())
    }

    /// The master wants a task to run.
    pub(super) fn run(&mut self, message: RunTaskMessage, id: &AgentId, now: Instant) -> Said {
        let mut said = Said::default();
        let RunTaskMessage { framework, task, .. } = message;
        let Some(framework_id) = framework.id.clone() else { return said };
        let key = (framework_id.value.clone(), task.task_id.value.clone());
        if self.tasks.contains_key(&key) {
            said.facts.push(Fact::Twice(key.1));
            return said;
        }
        let life = life(&task);
        self.frameworks.insert(framework_id.value.clone(), framework);
        self.tasks.insert(key.clone(), listed(framework_id, task));
        said.facts.push(Fact::Started(key.1.clone()));
        self.changes(&key, id, TaskState::TaskRunning, None, now, &mut said);
        match life {
            Some(Duration::ZERO) => {
                self.changes(&key, id, TaskState::TaskFinished, None, now, &mut said);
            }
            Some(life) => drop(self.due.insert((now + life, Due::Ends(key)))),
            None => {}
        }
        said
    }

    /// The master wants a task to end.
    pub(super) fn kill(
        &mut self,
        framework: FrameworkId,
        task: TaskId,
        id: &AgentId,
        now: Instant,
    ) -> Said {
        let mut said = Said::default();
        let key = (framework.value, task.value);
        match self.tasks.get(&key) {
            Some(task) if is_terminal(task.state()) => {}
            Some(_) => self.changes(&key, id, TaskState::TaskKilled, None, now, &mut said),
            None => {
                let reason = Reason::ExecutorTerminated;
                let state = self.lost(&key.0);
                self.changes(&key, id, state, Some(reason), now, &mut said);
            }
        }
        said
    }

    /// All tasks of a framework end, and nobody wants to know.
    pub(super) fn shut_down(&mut self, framework: &FrameworkId) -> Said {
        let mut said = Said::default();
        let of = |key: &Key| key.0 == framework.value;
        for (key, task) in &self.tasks {
            if of(key) && !is_terminal(task.state()) {
                said.facts.push(Fact::Ended(key.1.clone(), TaskState::TaskKilled));
            }
        }
        self.tasks.retain(|key, _| !of(key));
        self.updates.retain(|key, _| !of(key));
        self.due.retain(|(_, due)| match due {
            Due::Ends(key) | Due::Again(key) => !of(key),
        });
        self.frameworks.remove(&framework.value);
        said
    }

    /// An update has arrived where it was to.
    pub(super) fn acknowledged(
        &mut self,
        message: StatusUpdateAcknowledgementMessage,
        id: &AgentId,
        now: Instant,
    ) -> Said {
        let mut said = Said::default();
        let key = (message.framework_id.value, message.task_id.value);
        let Some(updates) = self.updates.get_mut(&key) else { return said };
        // One that was said twice is acknowledged twice.
        if updates.waiting.front().and_then(|status| status.uuid.as_ref()) != Some(&message.uuid) {
            return said;
        }
        let status = updates.waiting.pop_front();
        if let Some((at, _)) = updates.again.take() {
            self.due.remove(&(at, Due::Again(key.clone())));
        }
        if status.is_some_and(|status| is_terminal(status.state())) {
            self.updates.remove(&key);
            self.tasks.remove(&key);
        } else {
            self.says(&key, id, now, &mut said);
        }
        said
    }

    /// What the master believes to be here, and what is not: the ends of what is not.
    pub(super) fn reconcile(
        &mut self,
        messages: Vec<ReconcileTasksMessage>,
        id: &AgentId,
        now: Instant,
    ) -> Said {
        let mut said = Said::default();
        for message in messages {
            let framework = message.framework_id.value;
            if let Some(info) = message.framework {
                self.frameworks.entry(framework.clone()).or_insert(info);
            }
            for status in message.statuses {
                let key = (framework.clone(), status.task_id.value);
                if !self.tasks.contains_key(&key) {
                    let state = self.lost(&framework);
                    self.changes(&key, id, state, Some(Reason::Reconciliation), now, &mut said);
                }
            }
        }
        said
    }

    /// Everything that is not acknowledged is said again: there is a master again.
    pub(super) fn resume(&mut self, id: &AgentId, now: Instant) -> Said {
        let mut said = Said::default();
        let keys: Vec<Key> = self.updates.keys().cloned().collect();
        for key in keys {
            self.says(&key, id, now, &mut said);
        }
        said
    }

    /// Something is due; without an id nothing can be said of it yet.
    pub(super) fn woken(&mut self, id: Option<&AgentId>, now: Instant) -> Said {
        let mut said = Said::default();
        while let Some((at, _)) = self.due.first()
            && *at <= now
        {
            let Some((_, due)) = self.due.pop_first() else { break };
            let Some(id) = id else { continue };
            match due {
                Due::Ends(key) => {
                    if self.tasks.get(&key).is_some_and(|task| !is_terminal(task.state())) {
                        self.changes(&key, id, TaskState::TaskFinished, None, now, &mut said);
                    }
                }
                Due::Again(key) => self.says(&key, id, now, &mut said),
            }
        }
        said
    }

    /// How what is not here is called towards this framework.
    fn lost(&self, framework: &str) -> TaskState {
        let aware = framework_info::capability::Type::PartitionAware;
        let info = self.frameworks.get(framework);
        if info.is_some_and(|info| info.capabilities.iter().any(|c| c.r#type() == aware)) {
            TaskState::TaskDropped
        } else {
            TaskState::TaskLost
        }
    }

    /// A task has another state, of which the framework must hear.
    fn changes(
        &mut self,
        key: &Key,
        id: &AgentId,
        state: TaskState,
        reason: Option<Reason>,
        now: Instant,
        said: &mut Said,
    ) {
        let mut status = TaskStatus {
            task_id: TaskId { value: key.1.clone() },
            agent_id: Some(id.clone()),
            timestamp: Some(wall()),
            uuid: Some(rand::random::<[u8; 16]>().to_vec().into()),
            reason: reason.map(Into::into),
            ..TaskStatus::default()
        };
        status.set_state(state);
        if reason.is_some() {
            status.set_source(Source::Agent);
        } else {
            status.set_source(Source::Executor);
            status.executor_id = Some(ExecutorId { value: key.1.clone() });
        }
        if let Some(task) = self.tasks.get_mut(key) {
            task.set_state(state);
        }
        if is_terminal(state) {
            said.facts.push(Fact::Ended(key.1.clone(), state));
        }
        let updates = self
            .updates
            .entry(key.clone())
            .or_insert_with(|| Updates { waiting: VecDeque::new(), again: None });
        updates.waiting.push_back(status);
        if updates.waiting.len() == 1 {
            self.says(key, id, now, said);
        }
    }

    /// Says the oldest update of a task.
    fn says(&mut self, key: &Key, id: &AgentId, now: Instant, said: &mut Said) {
        let Some(updates) = self.updates.get_mut(key) else { return };
        let Some(status) = updates.waiting.front() else { return };
        let wait = match updates.again.take() {
            None => FIRST_RETRY,
            Some((at, wait)) => {
                self.due.remove(&(at, Due::Again(key.clone())));
                wait.saturating_mul(2).min(LONGEST_RETRY)
            }
        };
        updates.again = Some((now + wait, wait));
        self.due.insert((now + wait, Due::Again(key.clone())));
        let latest = updates.waiting.back().map(TaskStatus::state);
        if let Some(task) = self.tasks.get_mut(key) {
            task.status_update_state = Some(status.state);
            task.status_update_uuid.clone_from(&status.uuid);
        }
        said.updates.push(StatusUpdateMessage {
            update: StatusUpdate {
                framework_id: FrameworkId { value: key.0.clone() },
                executor_id: status.executor_id.clone(),
                slave_id: Some(id.clone()),
                status: status.clone(),
                timestamp: status.timestamp.unwrap_or_default(),
                uuid: status.uuid.clone(),
                latest_state: latest.map(Into::into),
            },
            pid: None,
        });
    }
}

/// Whether nothing comes after this.
#[must_use]
pub fn is_terminal(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
    )
}

/// How long a task is to run; for ever without.
fn life(task: &TaskInfo) -> Option<Duration> {
    let command = task.command.as_ref().and_then(|command| command.value.as_deref());
    let Some(time) = command.and_then(|command| command.strip_prefix("sleep ")) else {
        return Some(Duration::ZERO);
    };
    Duration::try_from_secs_f64(time.parse().unwrap_or_default()).ok()
}

/// A task as agents list it.
fn listed(framework_id: FrameworkId, task: TaskInfo) -> Task {
    let mut listed = Task {
        name: task.name,
        task_id: task.task_id,
        framework_id,
        executor_id: task.executor.map(|executor| executor.executor_id),
        agent_id: task.agent_id,
        resources: task.resources,
        labels: task.labels,
        discovery: task.discovery,
        container: task.container,
        health_check: task.health_check,
        kill_policy: task.kill_policy,
        limits: task.limits,
        ..Task::default()
    };
    listed.set_state(TaskState::TaskStaging);
    listed
}

/// Seconds since 1970.
fn wall() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "a";

    fn agent() -> AgentId {
        AgentId { value: AGENT.to_owned() }
    }

    fn run(command: &str) -> RunTaskMessage {
        let mut message = RunTaskMessage::default();
        message.framework.id = Some(FrameworkId { value: "f".to_owned() });
        message.task.task_id.value = "t".to_owned();
        message.task.agent_id = agent();
        let command =
            wire::v1::CommandInfo { value: Some(command.to_owned()), ..Default::default() };
        message.task.command = Some(command);
        message
    }

    fn states(said: &Said) -> Vec<(TaskState, TaskState)> {
        let states = |message: &StatusUpdateMessage| {
            (message.update.status.state(), message.update.latest_state())
        };
        said.updates.iter().map(states).collect()
    }

    fn acknowledgement(said: &Said) -> StatusUpdateAcknowledgementMessage {
        let update = &said.updates[0].update;
        StatusUpdateAcknowledgementMessage {
            slave_id: agent(),
            framework_id: update.framework_id.clone(),
            task_id: update.status.task_id.clone(),
            uuid: update.uuid.clone().unwrap(),
        }
    }

    #[test]
    fn a_task_runs_for_as_long_as_its_command_says_and_is_told_of_step_by_step() {
        let now = Instant::now();
        let mut tasks = Tasks::default();
        let said = tasks.run(run("sleep 2"), &agent(), now);
        let running = (TaskState::TaskRunning, TaskState::TaskRunning);
        assert_eq!(states(&said), [running]);
        assert_eq!(tasks.deadline(), Some(now + Duration::from_secs(2)));
        let later = now + Duration::from_secs(2);
        // The first is not acknowledged: the second waits.
        assert!(tasks.woken(Some(&agent()), later).updates.is_empty());
        let last = tasks.acknowledged(acknowledgement(&said), &agent(), later);
        assert_eq!(states(&last), [(TaskState::TaskFinished, TaskState::TaskFinished)]);
        assert_eq!(tasks.listed().0[0].state(), TaskState::TaskFinished);
        tasks.acknowledged(acknowledgement(&last), &agent(), later);
        assert!(tasks.listed().0.is_empty() && tasks.deadline().is_none());
    }

    #[test]
    fn an_update_is_said_until_it_is_acknowledged_and_says_what_is_true_now() {
        let now = Instant::now();
        let mut tasks = Tasks::default();
        let first = tasks.run(run("true"), &agent(), now);
        assert_eq!(states(&first), [(TaskState::TaskRunning, TaskState::TaskRunning)]);
        let again = tasks.woken(Some(&agent()), now + FIRST_RETRY);
        assert_eq!(states(&again), [(TaskState::TaskRunning, TaskState::TaskFinished)]);
        assert_eq!(again.updates[0].update.uuid, first.updates[0].update.uuid);
        assert_eq!(tasks.deadline(), Some(now + 3 * FIRST_RETRY));
        let twice = tasks.run(run("true"), &agent(), now);
        assert_eq!(twice.facts, [Fact::Twice("t".to_owned())]);
    }

    #[test]
    fn what_is_not_here_is_said_to_be_lost() {
        let now = Instant::now();
        let mut tasks = Tasks::default();
        let framework_id = FrameworkId { value: "f".to_owned() };
        let task_id = TaskId { value: "gone".to_owned() };
        let said = tasks.kill(framework_id.clone(), task_id.clone(), &agent(), now);
        assert_eq!(states(&said), [(TaskState::TaskLost, TaskState::TaskLost)]);
        let message = ReconcileTasksMessage {
            framework_id,
            statuses: vec![TaskStatus { task_id, ..TaskStatus::default() }],
            framework: Some(FrameworkInfo {
                capabilities: vec![framework_info::Capability {
                    r#type: Some(framework_info::capability::Type::PartitionAware.into()),
                }],
                ..FrameworkInfo::default()
            }),
        };
        let mut tasks = Tasks::default();
        let said = tasks.reconcile(vec![message], &agent(), now);
        assert_eq!(states(&said), [(TaskState::TaskDropped, TaskState::TaskDropped)]);
    }
}
