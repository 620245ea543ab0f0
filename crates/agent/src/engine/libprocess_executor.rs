//! Executors of the v0 protocol (`master-agent-protocol.md` §14).
//!
//! Nothing in their messages proves anything. What counts is the container whose process holds
//! the other end of the connection, which the runtime found out: an executor speaks for that
//! container and for nothing else (row B4).

use std::collections::BTreeSet;

use libprocess::sender::BoundPid;
use libprocess::upid::Upid;
use model::id::{ContainerId, ExecutorId, FrameworkId};
use wire::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, ExecutorToFrameworkMessage,
    ReconnectExecutorMessage, ReregisterExecutorMessage, StatusUpdate, StatusUpdateMessage,
};
use wire::v1;
use wire::v1::TaskState;
use wire::v1::task_status::Reason;

use super::event::{Effect, Record};
use super::launch::dropped;
use super::line::Notice;
use super::state::{ExecutorPhase, Line};
use super::timers::Timer;
use super::{Engine, Phase};
use crate::message::{ExecutorMessage, ToExecutor};

impl Engine {
    pub(super) fn executor_spoke(
        &mut self,
        from: &BoundPid,
        container: &ContainerId,
        message: ExecutorMessage,
    ) {
        let name = message.name();
        let sender = from.upid().clone();
        let (framework, id) = match self.speaker(container, &message) {
            Ok(place) => place,
            Err(why) => return self.drop_message(format!("Dropping {name} from {sender}: {why}")),
        };
        if !matches!(message, ExecutorMessage::Register(_) | ExecutorMessage::Reregister(_))
            && let Err(why) = self.check_registered(&framework, &id, &sender)
        {
            return self.drop_message(format!("Dropping {name} from {sender}: {why}"));
        }
        match message {
            ExecutorMessage::Register(_) => self.register_executor(&framework, &id, sender),
            ExecutorMessage::Reregister(message) => {
                self.reregister_executor(&framework, &id, sender, *message);
            }
            ExecutorMessage::StatusUpdate(message) => {
                self.executor_reported(&framework, &id, *message);
            }
            ExecutorMessage::ExecutorToFramework(message) => {
                let ExecutorToFrameworkMessage { data, .. } = *message;
                self.forward_data(&framework, &id, data);
            }
        }
    }

    /// The executor of the container, which must be who the message says that it is from.
    fn speaker(
        &self,
        container: &ContainerId,
        message: &ExecutorMessage,
    ) -> Result<(FrameworkId, ExecutorId), &'static str> {
        let own = self.containers.get(container).ok_or("its container has ended")?;
        if message.named().as_ref() != Some(own) {
            return Err("it speaks for an executor that is not the one of its container");
        }
        // Ours speak the HTTP API, with a token.
        match self.executor(&own.0, &own.1) {
            Some(executor) if executor.generated && executor.token.is_some() => {
                Err("it is in a container whose executor proves itself by its token")
            }
            Some(_) => Ok(own.clone()),
            None => Err("its executor is not known"),
        }
    }

    fn check_registered(
        &self,
        framework: &FrameworkId,
        id: &ExecutorId,
        sender: &Upid,
    ) -> Result<(), &'static str> {
        let executor = self.executor(framework, id).ok_or("its executor is not known")?;
        if executor.libprocess.as_ref() == Some(sender) {
            Ok(())
        } else {
            Err("its executor has not registered from there")
        }
    }

    fn register_executor(&mut self, framework: &FrameworkId, id: &ExecutorId, from: Upid) {
        let Some(info) = self.admit(framework, id, &from, "register") else { return };
        self.executor_is_here(framework, id, from.clone());
        let Some(executor) = self.executor(framework, id) else { return };
        let message = ToExecutor::Registered(Box::new(ExecutorRegisteredMessage {
            executor_info: executor.info.clone(),
            framework_id: v1::FrameworkId { value: framework.to_string() },
            framework_info: info.framework,
            slave_id: info.agent_id,
            slave_info: info.agent,
        }));
        self.say(from, message);
        self.ask_for_resources(framework, id);
        self.hand_over_kills(framework, id);
        self.shutdown_if_needless(framework, id, 0);
        self.executor_came_back();
    }

    fn reregister_executor(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        from: Upid,
        message: ReregisterExecutorMessage,
    ) {
        let Some(info) = self.admit(framework, id, &from, "register again") else { return };
        self.executor_is_here(framework, id, from.clone());
        let again = ToExecutor::Reregistered(Box::new(ExecutorReregisteredMessage {
            slave_id: info.agent_id,
            slave_info: info.agent,
        }));
        self.say(from, again);
        for update in message.updates {
            self.take_report(framework, id, update);
        }
        let theirs: BTreeSet<&str> =
            message.tasks.iter().map(|task| task.task_id.value.as_str()).collect();
        let lost = self.give_up_launches(framework, id, &theirs);
        self.ask_for_resources(framework, id);
        self.hand_over_kills(framework, id);
        self.shutdown_if_needless(framework, id, lost);
        self.executor_came_back();
    }

    /// Whether an executor may register now; tells it to end, if not.
    fn admit(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        from: &Upid,
        what: &str,
    ) -> Option<Greeting> {
        let why = if !self.state.executors_known {
            Some("the agent is recovering")
        } else if matches!(self.phase, Phase::Terminating { .. })
            || self.framework(framework).is_none_or(|f| f.terminating)
        {
            Some("its framework or the agent is ending")
        } else {
            let executor = self.executor(framework, id);
            match executor.map(|e| e.phase) {
                Some(ExecutorPhase::Registering) => None,
                Some(ExecutorPhase::Running) if executor.is_some_and(|e| e.unreachable) => None,
                Some(ExecutorPhase::Running) => Some("it is registered already"),
                Some(ExecutorPhase::Terminating | ExecutorPhase::Terminated) | None => {
                    Some("it is ending")
                }
            }
        };
        let greeting = why.is_none().then(|| self.greeting(framework)).flatten();
        if greeting.is_none() {
            let why = why.unwrap_or("the agent has no id");
            self.warn(format!(
                "Executor '{id}' of framework {framework} at {from} may not {what}: {why}"
            ));
            self.tell_to_end(from.clone());
        }
        greeting
    }

    fn greeting(&self, framework: &FrameworkId) -> Option<Greeting> {
        Some(Greeting {
            framework: self.framework(framework)?.info.clone(),
            agent_id: self.info.id.clone()?,
            agent: self.info.clone(),
        })
    }

    fn tell_to_end(&mut self, to: Upid) {
        let message =
            wire::internal::ShutdownExecutorMessage { executor_id: None, framework_id: None };
        self.say(to, ToExecutor::Shutdown(Box::new(message)));
    }

    fn say(&mut self, to: Upid, message: ToExecutor) {
        self.out.push(Effect::SendExecutor { to, message: Box::new(message), after: None });
    }

    fn executor_is_here(&mut self, framework: &FrameworkId, id: &ExecutorId, from: Upid) {
        let Some(executor) = self.executor_mut(framework, id) else { return };
        executor.phase = ExecutorPhase::Running;
        executor.unreachable = false;
        let known = executor.libprocess.replace(from.clone());
        let container = executor.container.clone();
        self.timers.cancel(&Timer::Registration(framework.clone(), id.clone(), container));
        self.info_log(format!("Executor '{id}' of framework {framework} registered from {from}"));
        let place = self
            .executor(framework, id)
            .filter(|e| e.checkpointed && known.as_ref() != Some(&from))
            .and_then(|e| self.run_place(framework, e));
        if let Some(place) = place {
            self.persist(Record::LibprocessExecutor { place, pid: from.clone() });
        }
        self.out.push(Effect::LinkExecutor(from));
    }

    /// Tasks that the executor was to get when the agent ended, and did not get.
    fn give_up_launches(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        theirs: &BTreeSet<&str>,
    ) -> usize {
        let Some(known) = self.framework(framework) else { return 0 };
        let aware = known.is_partition_aware();
        let Some(executor) = self.executor(framework, id) else { return 0 };
        let staging = TaskState::TaskStaging as i32;
        let lost = executor
            .launched
            .iter()
            .filter(|(task, record)| record.state == staging && !theirs.contains(task.as_str()));
        let lost: Vec<_> = lost.map(|(task, _)| task.clone()).collect();
        let count = lost.len();
        for task in lost {
            let report =
                dropped(aware, Reason::AgentRestarted, "Task launched during agent restart");
            self.report_from_agent(framework, Some(id), &task, report);
        }
        count
    }

    fn executor_reported(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        message: StatusUpdateMessage,
    ) {
        self.take_report(framework, id, message.update);
    }

    /// Takes an update in the v0 form, whose own fields speak for those of the status.
    fn take_report(&mut self, framework: &FrameworkId, id: &ExecutorId, update: StatusUpdate) {
        let mut status = update.status;
        status.uuid = update.uuid.or(status.uuid);
        status.timestamp = status.timestamp.or(Some(update.timestamp));
        let task = status.task_id.value.clone();
        if let Err(refusal) = self.take_update(framework, id, status) {
            self.warn(format!(
                "Not taken from executor '{id}' of framework {framework}: an update about task \
                 '{task}': {refusal}"
            ));
        }
    }

    /// Asks the executors of an earlier run that cannot be expected to come by themselves.
    pub(super) fn reconnect_executors(&mut self) {
        let Some(slave_id) = self.info.id.clone() else { return };
        let known = self
            .containers
            .values()
            .filter_map(|(framework, id)| self.executor(framework, id)?.libprocess.clone());
        let known: Vec<Upid> = known.collect();
        for pid in known {
            self.out.push(Effect::LinkExecutor(pid.clone()));
            let message = ReconnectExecutorMessage { slave_id: slave_id.clone() };
            self.say(pid, ToExecutor::Reconnect(Box::new(message)));
        }
    }

    /// The link broke. The end of the container, if that is why, is told by the containerizer.
    pub(super) fn executor_exited(&mut self, pid: &Upid) {
        let holder = self.containers.values().find(|(framework, id)| {
            self.executor(framework, id).is_some_and(|e| e.libprocess.as_ref() == Some(pid))
        });
        if let Some((framework, id)) = holder.cloned() {
            if let Some(executor) = self.executor_mut(&framework, &id) {
                executor.unreachable = true;
            }
            self.info_log(format!(
                "The link to executor '{id}' of framework {framework} at {pid} broke"
            ));
        }
    }

    /// Tells the executor, if it can be told, to end.
    pub(super) fn tell_shutdown(&mut self, container: &ContainerId, line: &Line) {
        self.notify(container, line, Notice::Shutdown, None);
    }
}

/// What the agent says of itself to an executor that registers.
struct Greeting {
    framework: v1::FrameworkInfo,
    agent_id: v1::AgentId,
    agent: v1::AgentInfo,
}
