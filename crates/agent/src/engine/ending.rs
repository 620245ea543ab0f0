//! The end of tasks, executors, frameworks and of the agent (`master-agent-protocol.md` §7).

use std::sync::Arc;

use model::id::{ContainerId, ExecutorId, FrameworkId, TaskId};
use wire::internal::{
    ExitedExecutorMessage, KillTaskMessage, ShutdownExecutorMessage, UnregisterSlaveMessage,
};
use wire::v1::task_status::Reason;
use wire::v1::{self, TaskState};

use super::event::{Effect, Exit, Record};
use super::launch::dropped;
use super::line::Notice;
use super::state::{Ending, ExecutorPhase};
use super::timers::Timer;
use super::updates::{AgentReport, remember};
use super::{Engine, Phase, environment};
use crate::containerizer::Termination;
use crate::message::AgentMessage;

impl Engine {
    pub(super) fn kill_task(&mut self, message: KillTaskMessage) {
        let (Ok(framework_id), Ok(task)) =
            (message.framework_id.value.parse::<FrameworkId>(), message.task_id.value.parse())
        else {
            return self.drop_message("Dropping a kill without valid ids".to_owned());
        };
        let Some(framework) = self.framework(&framework_id).filter(|f| !f.terminating) else {
            return self.info_log(format!(
                "Ignoring the kill of task '{task}': framework {framework_id} is not running here"
            ));
        };
        let aware = framework.is_partition_aware();
        let Some(executor) = framework.executor_of(&task).cloned() else {
            let report = dropped(aware, Reason::ExecutorTerminated, "Cannot find executor");
            return self.report_from_agent(&framework_id, None, &task, report);
        };
        let id = &executor.id;
        if executor.queued.iter().any(|info| info.task_id.value == task.as_str()) {
            self.kill_queued(&framework_id, id, &task);
        } else if executor.launched.contains_key(&task)
            && let Some(executor) = self.executor_mut(&framework_id, id)
        {
            match (executor.phase, executor.line()) {
                (ExecutorPhase::Running, Some(line)) => {
                    let container = executor.container.clone();
                    let kill = Notice::Kill { task, policy: message.kill_policy };
                    self.notify(&container, &line, kill, None);
                }
                // It hears of it when it is back.
                (ExecutorPhase::Running | ExecutorPhase::Registering, _) => {
                    executor.kills.insert(task, message.kill_policy);
                }
                (ExecutorPhase::Terminating | ExecutorPhase::Terminated, _) => {}
            }
        }
    }

    fn kill_queued(&mut self, framework: &FrameworkId, id: &ExecutorId, task: &TaskId) {
        let report = AgentReport {
            state: TaskState::TaskKilled,
            reason: Reason::TaskKilledDuringLaunch,
            message: "Task was killed before it was delivered to its executor".to_owned(),
        };
        self.report_from_agent(framework, Some(id), task, report);
        let idle = self.executor(framework, id).is_some_and(|executor| {
            executor.queued.is_empty()
                && executor.launched.is_empty()
                && executor.phase == ExecutorPhase::Registering
        });
        if idle {
            // It would have had nothing to do.
            self.shutdown_executor(framework, id);
        }
    }

    pub(super) fn shutdown_executor_message(&mut self, message: ShutdownExecutorMessage) {
        let framework = message.framework_id.and_then(|id| id.value.parse().ok());
        let executor = message.executor_id.and_then(|id| id.value.parse().ok());
        let (Some(framework), Some(executor)) = (framework, executor) else {
            return self.drop_message("Dropping a shutdown of an executor without ids".to_owned());
        };
        self.shutdown_executor(&framework, &executor);
    }

    /// Tells the executor to end, and ends it if it does not in time. One that nobody can tell
    /// gets its time too: it is told when it subscribes.
    pub(super) fn shutdown_executor(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let Some(executor) = self.executor_mut(framework, id) else {
            return self.info_log(format!(
                "Ignoring the shutdown of executor '{id}' of framework {framework}: not here"
            ));
        };
        if matches!(executor.phase, ExecutorPhase::Terminating | ExecutorPhase::Terminated) {
            return;
        }
        executor.phase = ExecutorPhase::Terminating;
        let container = executor.container.clone();
        let line = executor.line();
        let info = executor.info.clone();
        if let Some(line) = line {
            self.tell_shutdown(&container, &line);
        }
        self.timers.cancel(&Timer::Registration(framework.clone(), id.clone(), container.clone()));
        let grace = self.grace_period(&info);
        self.timers.set(
            Timer::Shutdown(framework.clone(), id.clone(), container),
            self.now.monotonic + grace,
        );
    }

    /// Ends an executor that has come and has never been given a task, if none waits for it: the
    /// agent crashed in between, or the tasks were killed, and nobody would ever end it. A command
    /// executor gets one task in its life, so that it is not waited for when that has ended: the
    /// agent may have given it its ending, and crashed before it could end the executor.
    /// `lost` of its tasks were found never to have reached it.
    pub(super) fn shutdown_if_needless(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        lost: usize,
    ) {
        let needless = self.executor(framework, id).is_some_and(|executor| {
            executor.queued.is_empty()
                && executor.unconfirmed.is_empty()
                && executor.launched.is_empty()
                && (executor.generated
                    || executor.completed.is_empty() && executor.terminated.len() == lost)
        });
        if needless {
            self.warn(format!(
                "Shutting down executor '{id}' of framework {framework}: it has no tasks to run \
                 and gets none"
            ));
            self.shutdown_executor(framework, id);
        }
    }

    pub(super) fn shutdown_overdue(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
    ) {
        let due = self.executor(framework, id).is_some_and(|executor| {
            executor.container == *container && executor.phase == ExecutorPhase::Terminating
        });
        if due {
            self.info_log(format!(
                "Destroying container {container}: executor '{id}' of framework {framework} did \
                 not end in time"
            ));
            self.destroy(framework, id);
        }
    }

    /// Ends the executor's container by force.
    fn destroy(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        if let Some(executor) = self.executor_mut(framework, id) {
            executor.destroyed = true;
            let container = executor.container.clone();
            self.out.push(Effect::Destroy(container));
        }
    }

    pub(super) fn registration_overdue(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
    ) {
        let timeout = environment::duration(self.rules.executor_registration_timeout);
        let ending = Ending {
            state: TaskState::TaskFailed,
            reason: Reason::ExecutorRegistrationTimeout,
            message: format!("Executor did not register within {timeout}"),
        };
        self.end_unregistered(framework, id, container, ending);
    }

    /// Ends an executor that did not subscribe in time.
    pub(super) fn end_unregistered(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
        ending: Ending,
    ) {
        let Some(executor) = self.executor_mut(framework, id).filter(|executor| {
            executor.container == *container && executor.phase == ExecutorPhase::Registering
        }) else {
            return;
        };
        executor.phase = ExecutorPhase::Terminating;
        let text = format!("{}: '{id}' of framework {framework}", ending.message);
        executor.ending = Some(ending);
        self.warn(text);
        self.destroy(framework, id);
    }

    pub(super) fn shutdown_framework_message(&mut self, id: &v1::FrameworkId) {
        match id.value.parse() {
            Ok(id) => self.shutdown_framework(&id),
            Err(_) => {
                self.drop_message("Dropping a shutdown of a framework without an id".to_owned());
            }
        }
    }

    /// Ends all that the framework has here. Nothing more is reported about it.
    fn shutdown_framework(&mut self, id: &FrameworkId) {
        let Some(framework) = self.framework_mut(id) else {
            return self.info_log(format!("Ignoring the shutdown of framework {id}: not here"));
        };
        if framework.terminating {
            return;
        }
        framework.terminating = true;
        let executors: Vec<(ExecutorId, ExecutorPhase)> =
            framework.executors.values().map(|e| (e.id.clone(), e.phase)).collect();
        self.info_log(format!("Shutting down framework {id}"));
        self.forget_streams(id);
        for (executor, phase) in executors {
            if phase == ExecutorPhase::Terminated {
                self.remove_executor(id, &executor);
            } else {
                self.shutdown_executor(id, &executor);
            }
        }
        self.remove_framework_if_idle(id);
    }

    fn forget_streams(&mut self, framework: &FrameworkId) {
        let tasks: Vec<TaskId> = self
            .streams
            .keys()
            .filter(|key| key.0 == *framework)
            .map(|key| key.1.clone())
            .collect();
        for task in tasks {
            self.timers.cancel(&Timer::Stream(framework.clone(), task.clone()));
            self.streams.remove(&(framework.clone(), task));
        }
    }

    /// Nothing of the container runs any more.
    pub(super) fn container_terminated(&mut self, container: &ContainerId, end: Termination) {
        let Some((framework_id, id)) = self.containers.remove(container) else { return };
        let Some(framework) = self.framework(&framework_id) else { return };
        let reporting = !framework.terminating;
        let Some(executor) = self.executor(&framework_id, &id) else { return };
        let (connection, generated) = (executor.connection, executor.generated);
        let tokens = [executor.token, executor.next_token];
        self.state.counters.executors_terminated += 1;
        // What stood for the container stands for nothing any more.
        for token in tokens.into_iter().flatten() {
            self.revoke_token(token);
        }
        if let Some(executor) = self.executor_mut(&framework_id, &id) {
            executor.libprocess = None;
        }
        if let Some(connection) = connection {
            self.close_connection(&framework_id, &id, connection);
        }
        for timer in [
            Timer::Registration(framework_id.clone(), id.clone(), container.clone()),
            Timer::Shutdown(framework_id.clone(), id.clone(), container.clone()),
        ] {
            self.timers.cancel(&timer);
        }
        let status = end.status.unwrap_or(-1);
        self.info_log(format!(
            "Executor '{id}' of framework {framework_id} ended{}",
            match end.status {
                Some(status) => format!(" with wait status {status}"),
                None => String::new(),
            }
        ));
        self.end_tasks(&framework_id, &id, end, reporting);
        // Also where its framework is ending: the master counts what it uses until it hears this.
        if !generated && matches!(self.phase, Phase::Running) {
            self.exited_executor(&framework_id, &id, status);
        }
        self.remove_executor_if_done(&framework_id, &id);
        self.remove_framework_if_idle(&framework_id);
        // An executor that an earlier run left need not be waited for any more.
        self.executor_came_back();
    }

    /// Gives every task that has not ended its ending.
    fn end_tasks(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        end: Termination,
        reporting: bool,
    ) {
        let Some(executor) = self.executor_mut(framework, id) else { return };
        executor.phase = ExecutorPhase::Terminated;
        executor.kills.clear();
        executor.unconfirmed.clear();
        let ending = executor.ending.clone();
        let queued = executor.queued.iter().filter_map(|info| info.task_id.value.parse().ok());
        let tasks: Vec<TaskId> = executor.launched.keys().cloned().chain(queued).collect();
        if !reporting {
            executor.launched.clear();
            executor.queued.clear();
            return;
        }
        let known = ending.as_ref();
        let messages: Vec<String> =
            known.map(|e| e.message.clone()).into_iter().chain(end.message).collect();
        let report = AgentReport {
            state: end.state.or(known.map(|e| e.state)).unwrap_or(TaskState::TaskFailed),
            reason: end.reason.or(known.map(|e| e.reason)).unwrap_or(Reason::ExecutorTerminated),
            message: if messages.is_empty() {
                "Executor terminated".to_owned()
            } else {
                messages.join("; ")
            },
        };
        for task in tasks {
            self.report_from_agent(framework, Some(id), &task, report.clone());
        }
    }

    pub(super) fn exited_executor(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        status: i32,
    ) {
        let Some(slave_id) = self.info.id.clone() else { return };
        let message = ExitedExecutorMessage {
            slave_id,
            framework_id: v1::FrameworkId { value: framework.to_string() },
            executor_id: v1::ExecutorId { value: id.to_string() },
            status,
        };
        self.send(AgentMessage::ExitedExecutor(Box::new(message)), None);
    }

    /// Removes an executor whose container is gone, once every ending was acknowledged.
    pub(super) fn remove_executor_if_done(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let ending = matches!(self.phase, Phase::Terminating { .. })
            || self.framework(framework).is_some_and(|f| f.terminating);
        let done = self.executor(framework, id).is_some_and(|executor| {
            executor.phase == ExecutorPhase::Terminated && (ending || executor.is_idle())
        });
        if done {
            self.remove_executor(framework, id);
        }
    }

    fn remove_executor(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let place = self
            .executor(framework, id)
            .filter(|e| e.checkpointed)
            .and_then(|e| self.run_place(framework, e));
        if let Some(place) = place {
            self.persist(Record::Completed(place));
        }
        let keep = self.rules.max_completed_executors;
        if let Some(framework) = self.framework_mut(framework)
            && let Some(executor) = framework.executors.remove(id)
        {
            remember(&mut framework.completed_executors, executor, keep);
        }
    }

    /// Removes a framework that has nothing here any more, not even news on their way.
    pub(super) fn remove_framework_if_idle(&mut self, id: &FrameworkId) {
        let terminating = matches!(self.phase, Phase::Terminating { .. });
        let idle = self.framework(id).is_some_and(|f| f.executors.is_empty())
            && (terminating || !self.streams.keys().any(|key| key.0 == *id));
        if !idle {
            return;
        }
        self.forget_streams(id);
        if let Some(framework) = self.state.frameworks.remove(id) {
            let keep = self.rules.max_completed_frameworks;
            remember(&mut self.state.completed_frameworks, Arc::clone(&framework), keep);
        }
        self.end_if_empty();
        self.maybe_drained();
    }

    /// An operator wants the agent to leave the cluster.
    pub(super) fn leave(&mut self) {
        if let Some(slave_id) = self.info.id.clone()
            && matches!(self.phase, Phase::Running)
        {
            let message = UnregisterSlaveMessage { slave_id };
            self.send(AgentMessage::Unregister(Box::new(message)), None);
        }
        self.shutdown("An operator asked for it".to_owned());
    }

    /// Ends everything here, then the agent, which will start as a new one.
    pub(super) fn shutdown(&mut self, why: String) {
        if matches!(self.phase, Phase::Terminating { .. }) {
            return;
        }
        self.warn(format!("Shutting down: {why}"));
        self.phase = Phase::Terminating { why };
        for timer in [Timer::Ping, Timer::Register, Timer::Recovery] {
            self.timers.cancel(&timer);
        }
        let frameworks: Vec<FrameworkId> = self.state.frameworks.keys().cloned().collect();
        for framework in frameworks {
            self.shutdown_framework(&framework);
        }
        self.end_if_empty();
    }

    fn end_if_empty(&mut self) {
        let Phase::Terminating { why } = &self.phase else { return };
        let exited = self.out.iter().any(|effect| matches!(effect, Effect::Exit(_)));
        if self.state.frameworks.is_empty() && !exited {
            let why = why.clone();
            self.persist(Record::Forget);
            self.out.push(Effect::Exit(Exit::Done(why)));
        }
    }
}
