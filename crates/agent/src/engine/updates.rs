//! Status updates: from executors and from the agent itself, through the task's stream, to the
//! master, until the scheduler has them (`master-agent-protocol.md` §6).

use std::collections::VecDeque;
use std::sync::Arc;

use model::id::{ExecutorId, FrameworkId, TaskId};
use wire::internal::{StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use wire::v1::network_info::IpAddress;
use wire::v1::task_status::{Reason, Source};
use wire::v1::{self, ContainerStatus, NetworkInfo, TaskState};

use super::event::Record;
use super::line::Notice;
use super::state::{Counters, Executor, ExecutorPhase};
use super::stream::{Input, Output, StatusStream, StreamError, UpdateId};
use super::task::{apply_status, from_info, is_terminal, state_of};
use super::timers::Timer;
use super::{Engine, Phase, StreamEntry};
use crate::message::AgentMessage;

/// What the agent itself says about a task.
#[derive(Clone, Debug)]
pub(super) struct AgentReport {
    pub(super) state: TaskState,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Engine {
    /// Takes an update of an executor about one of its tasks. The status carries a valid uuid.
    pub(super) fn report_from_executor(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        task: &TaskId,
        mut status: v1::TaskStatus,
    ) -> Result<(), StreamError> {
        status.source = Some(Source::Executor.into());
        let uuid = status.uuid.clone();
        let update = StatusUpdate {
            framework_id: v1::FrameworkId { value: framework.to_string() },
            executor_id: Some(v1::ExecutorId { value: executor.to_string() }),
            slave_id: None,
            status,
            timestamp: self.now.wall.as_secs_f64(),
            uuid,
            latest_state: None,
        };
        let result = self.report(framework, task, Some(executor), update);
        match &result {
            Ok(()) => self.state.counters.valid_status_updates += 1,
            Err(e) => {
                self.state.counters.invalid_status_updates += 1;
                self.warn(format!("Status update about task '{task}' of {framework}: {e}"));
            }
        }
        result
    }

    /// Tells the framework something about a task in the agent's own name. Nothing is said about
    /// frameworks that are unknown or being shut down.
    pub(super) fn report_from_agent(
        &mut self,
        framework: &FrameworkId,
        executor: Option<&ExecutorId>,
        task: &TaskId,
        report: AgentReport,
    ) {
        let timestamp = self.now.wall.as_secs_f64();
        let uuid = bytes::Bytes::copy_from_slice(self.fresh_uuid().as_bytes());
        let executor_id = executor.map(|id| v1::ExecutorId { value: id.to_string() });
        let update = StatusUpdate {
            framework_id: v1::FrameworkId { value: framework.to_string() },
            executor_id,
            slave_id: None,
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: task.to_string() },
                state: report.state.into(),
                message: Some(report.message),
                source: Some(Source::Agent.into()),
                reason: Some(report.reason.into()),
                timestamp: Some(timestamp),
                uuid: Some(uuid.clone()),
                ..Default::default()
            },
            timestamp,
            uuid: Some(uuid),
            latest_state: None,
        };
        if let Err(e) = self.report(framework, task, executor, update) {
            self.warn(format!("Not reported about task '{task}' of {framework}: {e}"));
        }
        // A command executor whose one task the agent itself gave an ending has nothing to do.
        let idle = executor.filter(|id| {
            self.executor(framework, id).is_some_and(|executor| {
                executor.generated && executor.queued.is_empty() && executor.launched.is_empty()
            })
        });
        if let Some(executor) = idle.cloned() {
            self.shutdown_executor(framework, &executor);
        }
    }

    fn report(
        &mut self,
        framework_id: &FrameworkId,
        task: &TaskId,
        executor_id: Option<&ExecutorId>,
        mut update: StatusUpdate,
    ) -> Result<(), StreamError> {
        let Some(framework) = self.framework(framework_id).filter(|f| !f.terminating) else {
            self.info_log(format!("Nothing more is reported about framework {framework_id}"));
            return Ok(());
        };
        let executor = executor_id.and_then(|id| framework.executors.get(id)).cloned();
        update.slave_id.clone_from(&self.info.id);
        update.status.agent_id.clone_from(&self.info.id);
        update.status.executor_id.clone_from(&update.executor_id);
        if let Some(executor) = &executor {
            self.add_container_status(executor, &mut update.status);
        }
        let status = update.status.clone();
        let id = id_of(&status)?;

        let key = (framework_id.clone(), task.clone());
        let paused = !matches!(self.phase, Phase::Running);
        let place = executor
            .as_deref()
            .filter(|e| e.checkpointed && e.has(task))
            .and_then(|e| self.run_place(framework_id, e));
        let entry = self.streams.entry(key.clone()).or_insert_with(|| StreamEntry {
            stream: StatusStream::new(place.is_some(), paused),
            place,
            written: None,
        });
        let is_new = !entry.stream.knows(id);
        let mut out = Vec::new();
        let taken =
            entry.stream.handle(Input::Update(Box::new(update)), self.now.monotonic, &mut out);
        if let Err(e) = taken {
            if entry.stream.waiting().next().is_none() && !entry.stream.has_ending() {
                self.streams.remove(&key);
            }
            return Err(e);
        }
        if is_new && let Some(executor_id) = executor_id {
            self.task_moved(framework_id, executor_id, task, &status);
        }
        if is_new && is_terminal(state_of(&status)) {
            count_ending(&mut self.state.counters, state_of(&status));
        }
        let from = status.source() == Source::Executor;
        self.carry_out(&key, executor_id.filter(|_| from), out);
        Ok(())
    }

    fn add_container_status(&self, executor: &Executor, status: &mut v1::TaskStatus) {
        let runs = executor.pid.is_some() && executor.phase != ExecutorPhase::Terminated;
        if !runs && status.source() != Source::Executor {
            return;
        }
        let container = status.container_status.get_or_insert_with(ContainerStatus::default);
        container.container_id =
            Some(v1::ContainerId { value: executor.container.to_string(), parent: None });
        if container.executor_pid.is_none() {
            container.executor_pid = executor.pid;
        }
        if container.network_infos.is_empty() {
            container.network_infos.push(NetworkInfo {
                ip_addresses: vec![IpAddress {
                    protocol: None,
                    ip_address: Some(self.rules.pid.address.ip().to_string()),
                }],
                ..Default::default()
            });
        }
    }

    /// Moves the task to where its new state belongs.
    fn task_moved(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        id: &TaskId,
        status: &v1::TaskStatus,
    ) {
        let framework_id = v1::FrameworkId { value: framework.to_string() };
        let Some(executor) = self.executor_mut(framework, executor) else { return };
        executor.unconfirmed.remove(id);
        let queued = executor.queued.iter().position(|info| info.task_id.value == id.as_str());
        if let Some(position) = queued {
            let info = executor.queued.remove(position);
            executor.launched.insert(id.clone(), Arc::new(from_info(&info, &framework_id)));
        }
        let Some(task) = executor.launched.get_mut(id) else { return };
        apply_status(Arc::make_mut(task), status);
        if is_terminal(state_of(status))
            && let Some(task) = executor.launched.remove(id)
        {
            executor.kills.remove(id);
            executor.terminated.insert(id.clone(), task);
        }
    }

    /// Feeds a stream that exists; a refusal is only logged.
    pub(super) fn feed_stream(&mut self, framework: &FrameworkId, task: &TaskId, input: Input) {
        let key = (framework.clone(), task.clone());
        let Some(entry) = self.streams.get_mut(&key) else { return };
        let mut out = Vec::new();
        match entry.stream.handle(input, self.now.monotonic, &mut out) {
            Ok(()) => self.carry_out(&key, None, out),
            Err(e) => self.warn(format!("Task '{task}' of framework {framework}: {e}")),
        }
    }

    pub(super) fn stream_due(&mut self, framework: FrameworkId, task: TaskId) {
        self.feed_stream(&framework, &task, Input::TimePassed);
    }

    /// Resends the head of every stream, or of those of one framework.
    pub(super) fn resume_streams(&mut self, framework: Option<&FrameworkId>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let wanted = |id: &FrameworkId| framework.is_none_or(|f| f == id);
        let keys: Vec<_> = self.streams.keys().filter(|key| wanted(&key.0)).cloned().collect();
        for (framework, task) in keys {
            self.feed_stream(&framework, &task, Input::Resumed);
        }
    }

    /// Turns what a stream wants into effects. `reporter` is the executor that reported.
    fn carry_out(
        &mut self,
        key: &(FrameworkId, TaskId),
        reporter: Option<&ExecutorId>,
        out: Vec<Output>,
    ) {
        let mut retired = false;
        for output in out {
            match output {
                Output::Persist(record) => {
                    let place = self.streams.get(key).and_then(|entry| entry.place.clone());
                    if let Some(place) = place {
                        let token =
                            self.persist(Record::Update { place, task: key.1.clone(), record });
                        if let Some(entry) = self.streams.get_mut(key) {
                            entry.written = Some(token);
                        }
                    }
                }
                Output::AckExecutor(id) => {
                    if let Some(executor) = reporter {
                        self.acknowledge_executor(key, executor, id);
                    }
                }
                Output::Forward(update) => self.forward(key, *update),
                Output::Retire => retired = true,
            }
        }
        let timer = Timer::Stream(key.0.clone(), key.1.clone());
        if retired {
            self.streams.remove(key);
            self.timers.cancel(&timer);
            self.task_completed(key);
        } else {
            match self.streams.get(key).and_then(|entry| entry.stream.next_deadline()) {
                Some(at) => self.timers.set(timer, at),
                None => self.timers.cancel(&timer),
            }
        }
    }

    pub(super) fn acknowledge_executor(
        &mut self,
        key: &(FrameworkId, TaskId),
        executor: &ExecutorId,
        id: UpdateId,
    ) {
        let after = self.streams.get(key).and_then(|entry| entry.written);
        let told = self
            .executor(&key.0, executor)
            .and_then(|executor| Some((executor.container.clone(), executor.line()?)));
        // Without a line it will report again when it comes back, and be told then.
        let Some((container, line)) = told else { return };
        let notice = Notice::Acknowledged { task: key.1.clone(), update: id };
        self.notify(&container, &line, notice, after);
    }

    fn forward(&mut self, key: &(FrameworkId, TaskId), mut update: StatusUpdate) {
        let after = self.streams.get(key).and_then(|entry| entry.written);
        let mut latest = update.status.state;
        let holder =
            self.framework(&key.0).and_then(|f| f.executor_of(&key.1)).map(|e| e.id.clone());
        if let Some(executor) = holder.and_then(|id| self.executor_mut(&key.0, &id)) {
            let task =
                executor.launched.get_mut(&key.1).or_else(|| executor.terminated.get_mut(&key.1));
            if let Some(task) = task.map(Arc::make_mut) {
                latest = task.state;
                task.status_update_state = Some(update.status.state);
                task.status_update_uuid.clone_from(&update.uuid);
            }
        }
        update.latest_state = Some(latest);
        let message = StatusUpdateMessage { update, pid: Some(self.rules.pid.to_string()) };
        self.send(AgentMessage::StatusUpdate(Box::new(message)), after);
    }

    pub(super) fn acknowledged(&mut self, message: StatusUpdateAcknowledgementMessage) {
        let framework = message.framework_id.value.parse::<FrameworkId>();
        let task = message.task_id.value.parse::<TaskId>();
        let uuid = UpdateId::from_wire(&message.uuid);
        let own = self.info.id.as_ref() == Some(&message.slave_id);
        match (framework, task, uuid) {
            (Ok(framework), Ok(task), Some(uuid)) if own => {
                self.feed_stream(&framework, &task, Input::Acknowledged(uuid));
            }
            _ => self.drop_message(format!(
                "Dropping an acknowledgement that names no update of this agent: agent '{}', \
                 framework '{}', task '{}', uuid of {} bytes",
                message.slave_id.value,
                message.framework_id.value,
                message.task_id.value,
                message.uuid.len()
            )),
        }
    }

    /// The scheduler has the task's ending.
    fn task_completed(&mut self, key: &(FrameworkId, TaskId)) {
        let keep = self.rules.max_completed_tasks;
        let holder =
            self.framework(&key.0).and_then(|f| f.executor_of(&key.1)).map(|e| e.id.clone());
        if let Some(id) = holder {
            if let Some(executor) = self.executor_mut(&key.0, &id)
                && let Some(task) = executor.terminated.remove(&key.1)
            {
                remember(&mut executor.completed, task, keep);
            }
            self.remove_executor_if_done(&key.0, &id);
        }
        self.remove_framework_if_idle(&key.0);
    }
}

fn id_of(status: &v1::TaskStatus) -> Result<UpdateId, StreamError> {
    status.uuid.as_deref().and_then(UpdateId::from_wire).ok_or(StreamError::Uuid)
}

/// Appends, and forgets the oldest beyond `keep`.
pub(super) fn remember<T>(list: &mut VecDeque<T>, item: T, keep: usize) {
    list.push_back(item);
    while list.len() > keep {
        list.pop_front();
    }
}

fn count_ending(counters: &mut Counters, state: TaskState) {
    match state {
        TaskState::TaskFinished => counters.tasks_finished += 1,
        TaskState::TaskFailed => counters.tasks_failed += 1,
        TaskState::TaskKilled => counters.tasks_killed += 1,
        TaskState::TaskLost => counters.tasks_lost += 1,
        TaskState::TaskGone => counters.tasks_gone += 1,
        TaskState::TaskError
        | TaskState::TaskDropped
        | TaskState::TaskGoneByOperator
        | TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskRunning
        | TaskState::TaskKilling
        | TaskState::TaskUnreachable
        | TaskState::TaskUnknown => {}
    }
}
