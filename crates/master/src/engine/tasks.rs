//! Tasks: how they are launched, killed and ended.

use std::sync::Arc;

use bytes::Bytes;
use model::id::{AgentId, ExecutorId, FrameworkId, TaskId};
use model::resources::Resources;
use wire::resources::{Form, write};
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::v1::task_status::{Reason, Source};
use wire::{internal, v1};

use super::Engine;
use super::counters::Counter;
use super::message::Outbound;
use super::out::{Out, quoted};
use super::state::{Agent, Framework, Task};
use super::{events, status};

impl Engine {
    /// Tells a framework that a task which it wanted is not launched.
    pub(super) fn refuse_task(
        &mut self,
        framework_id: &FrameworkId,
        task: &v1::TaskInfo,
        (state, reason, message): (TaskState, Reason, &str),
        out: &mut Out,
    ) {
        out.warn(format!(
            "Task {} of framework {framework_id} is not launched: {}",
            quoted(&task.task_id.value),
            message.escape_debug()
        ));
        let agent_id = Some(task.agent_id.value.as_str());
        let status = status::from_master(
            &task.task_id.value,
            agent_id,
            state,
            reason,
            message,
            out.now.wall,
        );
        self.count_ending(Some(framework_id), state, Source::Master, Some(reason.into()));
        self.tell(framework_id, events::update(status), out);
    }

    /// Ends a task in the books and tells its framework. One that has ended already is told as it
    /// ended, unless its framework knows.
    pub(super) fn end_task(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        (state, reason, message): (TaskState, Reason, &str),
        out: &mut Out,
    ) {
        let Some(task) = self.task(framework_id, task_id) else { return };
        let ended = status::is_terminal(task.state());
        let state = if ended { task.state() } else { state };
        let update = status::about(&task, state, reason, message, out.now.wall);
        if !ended {
            self.record_status(framework_id, task_id, &update, state, out);
        }
        self.complete_task(framework_id, task_id, out);
        let told = task.info().status_update_state.and_then(|n| TaskState::try_from(n).ok());
        if !(ended && told.is_some_and(status::is_terminal)) {
            self.tell(framework_id, events::update(update), out);
        }
    }

    pub(super) fn task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<Arc<Task>> {
        let framework = self.state.frameworks.get(framework_id)?;
        framework.tasks.get(task_id).cloned()
    }

    /// KILL
    pub(super) fn kill(&mut self, framework_id: &FrameworkId, kill: call::Kill, out: &mut Out) {
        self.state.counters.count(Counter::MessagesKillTask);
        let task =
            TaskId::new(&kill.task_id.value).ok().and_then(|id| self.task(framework_id, &id));
        let Some(task) = task else {
            out.warn(format!(
                "Framework {framework_id} kills {}, which is not known; telling it so",
                quoted(&kill.task_id.value)
            ));
            let question = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
            self.reconcile_one(framework_id, &question, out);
            return;
        };
        if kill.agent_id.as_ref().is_some_and(|id| id.value != task.agent_id.as_str()) {
            out.warn(format!("Ignored a kill of task {} on another agent than its own", task.id));
            return;
        }
        // Kept until the task ends, for an agent whose link is broken now.
        let key = (framework_id.clone(), task.id.clone());
        self.kills.insert(key, kill.kill_policy);
        let connected = self.state.agents.get(&task.agent_id).is_some_and(|agent| agent.connected);
        if connected {
            self.send_kill(&task.agent_id, (framework_id, &task.id), kill.kill_policy, out);
        }
    }

    pub(super) fn send_kill(
        &self,
        agent_id: &AgentId,
        (framework_id, task_id): (&FrameworkId, &TaskId),
        kill_policy: Option<v1::KillPolicy>,
        out: &mut Out,
    ) {
        let Some(agent) = self.state.agents.get(agent_id) else { return };
        let message = internal::KillTaskMessage {
            framework_id: v1::FrameworkId { value: framework_id.to_string() },
            task_id: v1::TaskId { value: task_id.to_string() },
            kill_policy,
        };
        out.send(&agent.peer, Outbound::KillTask(message));
    }

    /// The registered and connected agent that a call names.
    fn connected_agent(&self, id: &v1::AgentId) -> Option<&Arc<Agent>> {
        let id = AgentId::new(&id.value).ok()?;
        self.state.agents.get(&id).filter(|agent| agent.connected)
    }

    /// SHUTDOWN
    pub(super) fn shutdown_executor(
        &mut self,
        framework_id: &FrameworkId,
        shutdown: call::Shutdown,
        out: &mut Out,
    ) {
        let executor = ExecutorId::new(&shutdown.executor_id.value);
        let (Some(agent), Ok(_)) = (self.connected_agent(&shutdown.agent_id), executor) else {
            out.warn(format!(
                "Ignored a shutdown of executor {} on agent {}, which is not connected",
                quoted(&shutdown.executor_id.value),
                quoted(&shutdown.agent_id.value)
            ));
            return;
        };
        let message = internal::ShutdownExecutorMessage {
            executor_id: Some(shutdown.executor_id),
            framework_id: Some(v1::FrameworkId { value: framework_id.to_string() }),
        };
        out.send(&agent.peer, Outbound::ShutdownExecutor(message));
    }

    /// MESSAGE
    pub(super) fn framework_message(
        &mut self,
        framework_id: &FrameworkId,
        message: call::Message,
        out: &mut Out,
    ) {
        self.state.counters.count(Counter::MessagesFrameworkToExecutor);
        let executor = ExecutorId::new(&message.executor_id.value);
        let (Some(agent), Ok(_)) = (self.connected_agent(&message.agent_id), executor) else {
            self.state.counters.count(Counter::InvalidFrameworkToExecutorMessages);
            out.warn(format!(
                "Dropped a message for executor {} on agent {}, which is not connected",
                quoted(&message.executor_id.value),
                quoted(&message.agent_id.value)
            ));
            return;
        };
        let peer = agent.peer.clone();
        self.state.counters.count(Counter::ValidFrameworkToExecutorMessages);
        let message = internal::FrameworkToExecutorMessage {
            slave_id: message.agent_id,
            framework_id: v1::FrameworkId { value: framework_id.to_string() },
            executor_id: message.executor_id,
            data: message.data,
        };
        out.send(&peer, Outbound::FrameworkToExecutor(message));
    }

    /// ACKNOWLEDGE
    pub(super) fn acknowledge(
        &mut self,
        framework_id: &FrameworkId,
        acknowledge: call::Acknowledge,
        out: &mut Out,
    ) {
        self.state.counters.count(Counter::MessagesStatusUpdateAcknowledgement);
        match self.try_acknowledge(framework_id, acknowledge, out) {
            Ok(()) => self.state.counters.count(Counter::ValidStatusUpdateAcknowledgements),
            Err(reason) => {
                self.state.counters.count(Counter::InvalidStatusUpdateAcknowledgements);
                out.warn(format!(
                    "Dropped an acknowledgement of framework {framework_id}: {}",
                    reason.escape_debug()
                ));
            }
        }
    }

    fn try_acknowledge(
        &mut self,
        framework_id: &FrameworkId,
        acknowledge: call::Acknowledge,
        out: &mut Out,
    ) -> Result<(), String> {
        let agent = self
            .connected_agent(&acknowledge.agent_id)
            .cloned()
            .ok_or_else(|| format!("agent {} is not connected", acknowledge.agent_id.value))?;
        let task_id = TaskId::new(&acknowledge.task_id.value).map_err(|e| e.to_string())?;
        if let Some(task) = self.task(framework_id, &task_id) {
            if task.agent_id != agent.id {
                return Err(format!("task {task_id} is on agent {}", task.agent_id));
            }
            // Unknown after a change of masters until the agent sends it again, which it does.
            let info = task.info();
            let state = info
                .status_update_state
                .and_then(|n| TaskState::try_from(n).ok())
                .ok_or_else(|| format!("no update of task {task_id} has been forwarded yet"))?;
            let latest: Option<&Bytes> = info.status_update_uuid.as_ref();
            if latest == Some(&acknowledge.uuid) && status::is_terminal(state) {
                self.complete_task(framework_id, &task_id, out);
            }
        }
        let message = internal::StatusUpdateAcknowledgementMessage {
            slave_id: acknowledge.agent_id,
            framework_id: v1::FrameworkId { value: framework_id.to_string() },
            task_id: acknowledge.task_id,
            uuid: acknowledge.uuid,
        };
        out.send(&agent.peer, Outbound::StatusUpdateAcknowledgement(message));
        Ok(())
    }
}

/// The task as the master keeps it, from what the framework wants.
pub(super) fn created(
    task: &v1::TaskInfo,
    framework: &Framework,
    agent: &Agent,
    (id, resources): (TaskId, Resources),
) -> Task {
    let own_user = |command: &Option<v1::CommandInfo>| {
        command.as_ref().and_then(|command| command.user.clone())
    };
    let executor_user = || task.executor.as_ref().and_then(|executor| own_user(&executor.command));
    let mut info = v1::Task {
        name: task.name.clone(),
        task_id: task.task_id.clone(),
        framework_id: v1::FrameworkId { value: framework.id.to_string() },
        executor_id: task.executor.as_ref().map(|executor| executor.executor_id.clone()),
        agent_id: v1::AgentId { value: agent.id.to_string() },
        resources: write(&resources, Form::PostRefinement),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        container: task.container.clone(),
        health_check: task.health_check.clone(),
        kill_policy: task.kill_policy,
        user: own_user(&task.command).or_else(executor_user),
        limits: task.limits.clone(),
        ..v1::Task::default()
    };
    info.set_state(TaskState::TaskStaging);
    Task::new(id, framework.id.clone(), agent.id.clone(), resources, &info)
}
