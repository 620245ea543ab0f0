//! What agents report about tasks and executors.

use libprocess::sender::BoundPid;
use libprocess::upid::Upid;
use model::id::{ExecutorId, FrameworkId, TaskId};
use wire::internal;
use wire::v1::TaskState;

use super::Engine;
use super::counters::Counter;
use super::out::Out;
use super::{events, status};

impl Engine {
    /// A task's state changed.
    pub(super) fn status_update(
        &mut self,
        from: &BoundPid,
        message: internal::StatusUpdateMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesStatusUpdate);
        let result = self.try_status_update(from, message, out);
        self.state.counters.count(match result {
            Ok(()) => Counter::ValidStatusUpdates,
            Err(_) => Counter::InvalidStatusUpdates,
        });
        result
    }

    fn try_status_update(
        &mut self,
        from: &BoundPid,
        message: internal::StatusUpdateMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        // Whoever reads the update acknowledges it to this address, so it must be the agent's.
        let pid = message.pid.as_deref().ok_or("no address to acknowledge it to")?;
        let pid: Upid = pid.parse().map_err(|error| format!("address '{pid}': {error}"))?;
        if pid != *from.upid() {
            return Err(format!("it gives the address {pid}"));
        }
        let update = message.update;
        let agent_id = self.agent_speaking(from, update.slave_id.as_ref())?;
        let status = &update.status;
        if status.agent_id.as_ref().is_some_and(|id| id.value != agent_id.as_str()) {
            return Err("its status names another agent".to_owned());
        }
        let uuid = update.uuid.clone().ok_or("it has no UUID")?;
        if uuid.len() != 16 || status.uuid.as_ref() != Some(&uuid) {
            return Err("its status has no UUID, or another one, or no valid one".to_owned());
        }
        let known_state = |number: i32| {
            TaskState::try_from(number)
                .ok()
                .filter(|state| !status::is_inferred(*state))
                .ok_or("it names a state that no agent can see")
        };
        let state = known_state(status.state)?;
        let latest = update.latest_state.map_or(Ok(state), known_state)?;
        let framework_id =
            FrameworkId::new(&update.framework_id.value).map_err(|error| error.to_string())?;
        let task_id = TaskId::new(&status.task_id.value).map_err(|error| error.to_string())?;
        if !self.state.frameworks.contains_key(&framework_id) {
            return Err(format!("framework {framework_id} does not exist"));
        }
        match self.task(&framework_id, &task_id) {
            Some(task) if task.agent_id != agent_id => {
                return Err(format!("task {task_id} runs on agent {}", task.agent_id));
            }
            Some(_) => self.record_status(&framework_id, &task_id, status, latest, out),
            // The master has forgotten the task: it was acknowledged, and the acknowledgement got
            // lost. The scheduler has to say so again.
            None => {}
        }
        self.forward(&framework_id, update, pid.to_string(), out);
        Ok(())
    }

    /// An executor ended.
    pub(super) fn exited_executor(
        &mut self,
        from: &BoundPid,
        message: &internal::ExitedExecutorMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesExitedExecutor);
        let agent_id = self.agent_speaking(from, Some(&message.slave_id))?;
        let framework_id =
            FrameworkId::new(&message.framework_id.value).map_err(|error| error.to_string())?;
        let executor_id =
            ExecutorId::new(&message.executor_id.value).map_err(|error| error.to_string())?;
        if !self.remove_executor(&framework_id, &agent_id, &executor_id, out) {
            return Err(format!("executor {executor_id} of framework {framework_id} is not known"));
        }
        out.info(format!(
            "Executor {executor_id} of framework {framework_id} on agent {agent_id} ended with \
             status {}",
            message.status
        ));
        let failure =
            events::failure(agent_id.as_str(), Some((executor_id.as_str(), message.status)));
        self.tell(&framework_id, failure, out);
        Ok(())
    }

    /// An executor has a message for its scheduler.
    pub(super) fn executor_to_framework(
        &mut self,
        from: &BoundPid,
        message: internal::ExecutorToFrameworkMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesExecutorToFramework);
        let result = self
            .agent_speaking(from, Some(&message.slave_id))
            .and_then(|agent_id| self.executor_message(&agent_id, message, out));
        self.state.counters.count(match result {
            Ok(()) => Counter::ValidExecutorToFrameworkMessages,
            Err(_) => Counter::InvalidExecutorToFrameworkMessages,
        });
        result
    }
}
