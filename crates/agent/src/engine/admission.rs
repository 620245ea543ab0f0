//! Which messages of a master are heard, from whom, and when.

use libprocess::sender::BoundPid;
use model::identity::Kind;
use wire::internal::{
    FrameworkToExecutorMessage, PingSlaveMessage, PongSlaveMessage, UpdateFrameworkMessage,
};

use super::event::Record;
use super::line::Notice;
use super::state::ExecutorPhase;
use super::{Engine, Phase, registration};
use crate::message::{AgentMessage, MasterMessage};

impl Engine {
    pub(super) fn master_message(&mut self, from: &BoundPid, message: MasterMessage) {
        if let Err(why) = self.check_sender(from, &message) {
            let sender = from.upid();
            self.drop_message(format!("Dropping {} from {sender}: {why}", message.name()));
            return;
        }
        if let Err(why) = self.check_age(from, &message) {
            self.drop_message(format!("Dropping {}: {why}", message.name()));
            return;
        }
        if let Err(why) = self.check_phase(&message) {
            self.drop_message(format!("Dropping {}: {why}", message.name()));
            self.miss(message);
            return;
        }
        if matches!(message, MasterMessage::Registered(_) | MasterMessage::Reregistered(_)) {
            self.registered_over = Some(from.connection());
        }
        match message {
            MasterMessage::FrameworkToExecutor(m) => self.framework_to_executor(*m),
            MasterMessage::KillTask(m) => self.kill_task(*m),
            MasterMessage::Ping(m) => self.ping(from, *m),
            MasterMessage::Registered(m) => self.registered(*m),
            MasterMessage::Reregistered(m) => self.reregistered(*m),
            MasterMessage::RunTask(m) => self.run_task(*m),
            MasterMessage::RunTaskGroup(m) => self.run_task_group(*m),
            MasterMessage::Shutdown(m) => self.shutdown(m.message.unwrap_or_default()),
            MasterMessage::ShutdownExecutor(m) => self.shutdown_executor_message(*m),
            MasterMessage::ShutdownFramework(m) => self.shutdown_framework_message(&m.framework_id),
            MasterMessage::StatusUpdateAcknowledgement(m) => self.acknowledged(*m),
            MasterMessage::UpdateFramework(m) => self.update_framework(*m),
            MasterMessage::AcknowledgeOperationStatus(m) => self.operation_acknowledged(&m),
            MasterMessage::ApplyOperation(m) => self.apply_operation(*m),
            MasterMessage::CheckpointResources(m) => self.checkpoint_resources(&m),
            MasterMessage::Drain(m) => self.drain(*m),
            MasterMessage::ReconcileOperations(m) => self.reconcile_operations(&m),
        }
    }

    /// The leading master only. Its pings come from another actor of the same program.
    fn check_sender(&self, from: &BoundPid, message: &MasterMessage) -> Result<(), &'static str> {
        if self.is_owning_framework(from, message) {
            return Ok(());
        }
        self.check_master(from)?;
        let leader = match (message, &self.state.master) {
            (_, None) => false,
            (MasterMessage::Ping(_), Some(leader)) => leader.address == from.upid().address,
            (_, Some(leader)) => leader == from.upid(),
        };
        if leader { Ok(()) } else { Err("the sender is not the leading master") }
    }

    /// What was sent before the agent registered last, and comes now over an older connection: the
    /// agent has answered for it then, by not knowing of it.
    fn check_age(&self, from: &BoundPid, message: &MasterMessage) -> Result<(), &'static str> {
        let settled = matches!(
            message,
            MasterMessage::Registered(_)
                | MasterMessage::Reregistered(_)
                | MasterMessage::RunTask(_)
                | MasterMessage::RunTaskGroup(_)
                // What was not applied by then the master has been told, too.
                | MasterMessage::ApplyOperation(_)
                | MasterMessage::CheckpointResources(_)
        );
        match self.registered_over {
            Some(newest) if settled && from.connection() < newest => {
                Err("the agent has been registered over a newer connection since")
            }
            _ => Ok(()),
        }
    }

    /// A v0 driver sends these itself, from where the leading master said that it listens.
    fn is_owning_framework(&self, from: &BoundPid, message: &MasterMessage) -> bool {
        let framework = match message {
            MasterMessage::FrameworkToExecutor(m) => &m.framework_id,
            MasterMessage::StatusUpdateAcknowledgement(m) => &m.framework_id,
            _ => return false,
        };
        let known = framework.value.parse().ok().and_then(|id| self.framework(&id));
        from.may_speak_as(Kind::Framework)
            && known.is_some_and(|known| known.pid.parse().as_ref() == Ok(from.upid()))
    }

    /// What may be heard in each phase.
    fn check_phase(&self, message: &MasterMessage) -> Result<(), &'static str> {
        use MasterMessage as M;
        const RECOVERING: Result<(), &str> = Err("the agent is recovering");
        const TERMINATING: Result<(), &str> = Err("the agent is terminating");
        const DISCONNECTED: Result<(), &str> = Err("the agent is not registered");
        match self.phase {
            Phase::Recovering => match message {
                M::Ping(_) => Ok(()),
                M::AcknowledgeOperationStatus(_)
                | M::ApplyOperation(_)
                | M::CheckpointResources(_)
                | M::Drain(_)
                | M::FrameworkToExecutor(_)
                | M::KillTask(_)
                | M::ReconcileOperations(_)
                | M::Registered(_)
                | M::Reregistered(_)
                | M::RunTask(_)
                | M::RunTaskGroup(_)
                | M::Shutdown(_)
                | M::ShutdownExecutor(_)
                | M::ShutdownFramework(_)
                | M::StatusUpdateAcknowledgement(_)
                | M::UpdateFramework(_) => RECOVERING,
            },
            Phase::Disconnected { .. } => match message {
                M::Ping(_)
                | M::Registered(_)
                | M::Reregistered(_)
                | M::Shutdown(_)
                // An agent whose registration is on its way back may be told these already; they
                // speak of what is here, and their sender leads.
                | M::StatusUpdateAcknowledgement(_)
                | M::AcknowledgeOperationStatus(_) => Ok(()),
                M::ApplyOperation(_)
                | M::CheckpointResources(_)
                | M::Drain(_)
                | M::FrameworkToExecutor(_)
                | M::KillTask(_)
                | M::ReconcileOperations(_)
                | M::RunTask(_)
                | M::RunTaskGroup(_)
                | M::ShutdownExecutor(_)
                | M::ShutdownFramework(_)
                | M::UpdateFramework(_) => DISCONNECTED,
            },
            Phase::Running => Ok(()),
            Phase::Terminating { .. } => match message {
                M::Ping(_)
                | M::StatusUpdateAcknowledgement(_)
                | M::AcknowledgeOperationStatus(_) => Ok(()),
                M::ApplyOperation(_)
                | M::CheckpointResources(_)
                | M::Drain(_)
                | M::FrameworkToExecutor(_)
                | M::KillTask(_)
                | M::ReconcileOperations(_)
                | M::Registered(_)
                | M::Reregistered(_)
                | M::RunTask(_)
                | M::RunTaskGroup(_)
                | M::Shutdown(_)
                | M::ShutdownExecutor(_)
                | M::ShutdownFramework(_)
                | M::UpdateFramework(_) => TERMINATING,
            },
        }
    }

    fn ping(&mut self, from: &BoundPid, message: PingSlaveMessage) {
        let pong = AgentMessage::Pong(Box::new(PongSlaveMessage {}));
        self.send_to(from.upid().clone(), pong, None);
        if matches!(self.phase, Phase::Running) {
            if message.connected {
                self.await_ping();
            } else {
                self.reconnect(registration::Why::MasterThinksDisconnected);
            }
        }
    }

    fn framework_to_executor(&mut self, message: FrameworkToExecutorMessage) {
        let executor = message.framework_id.value.parse().ok().and_then(|framework| {
            self.executor(&framework, &message.executor_id.value.parse().ok()?)
        });
        let line = executor
            .filter(|executor| executor.phase == ExecutorPhase::Running)
            .and_then(|executor| Some((executor.container.clone(), executor.line()?)));
        let Some((container, line)) = line else {
            self.state.counters.invalid_framework_messages += 1;
            self.warn(format!(
                "Dropping a message of framework {} for executor '{}', which is not connected",
                message.framework_id.value, message.executor_id.value
            ));
            return;
        };
        self.state.counters.valid_framework_messages += 1;
        self.notify(&container, &line, Notice::Message(message.data), None);
    }

    fn update_framework(&mut self, message: UpdateFrameworkMessage) {
        let Ok(id) = message.framework_id.value.parse() else {
            return self.drop_message("Dropping an update of a framework without an id".to_owned());
        };
        let agent = self.agent_id().cloned();
        let Some(framework) = self.framework_mut(&id).filter(|f| !f.terminating) else {
            return self.info_log(format!("Ignoring the update of framework {id}: not known here"));
        };
        if let Some(pid) = message.pid {
            framework.pid = pid;
        }
        if let Some(info) = message.framework_info {
            let checkpoint = framework.info.checkpoint;
            framework.info = info;
            // What is on disk was decided when the framework came here.
            framework.info.checkpoint = checkpoint;
            framework.info.id = Some(message.framework_id);
        }
        if framework.checkpoints()
            && let Some(agent) = agent
        {
            let record = Record::Framework {
                agent,
                info: Box::new(framework.info.clone()),
                pid: framework.pid.clone(),
            };
            self.persist(record);
        }
        self.resume_streams(Some(&id));
    }
}
