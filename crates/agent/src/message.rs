//! The messages that an agent understands and those that it sends, each with its name.

use bytes::Bytes;
use model::id::{ExecutorId, FrameworkId};
use wire::Limits;
use wire::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, CheckpointResourcesMessage,
    DrainSlaveMessage, ExecutorRegisteredMessage, ExecutorReregisteredMessage,
    ExecutorToFrameworkMessage, ExitedExecutorMessage, FrameworkToExecutorMessage, KillTaskMessage,
    PingSlaveMessage, PongSlaveMessage, ReconcileOperationsMessage, ReconnectExecutorMessage,
    RegisterExecutorMessage, RegisterSlaveMessage, ReregisterExecutorMessage,
    ReregisterSlaveMessage, RunTaskGroupMessage, RunTaskMessage, ShutdownExecutorMessage,
    ShutdownFrameworkMessage, ShutdownMessage, SlaveRegisteredMessage, SlaveReregisteredMessage,
    StatusUpdateAcknowledgementMessage, StatusUpdateMessage, UnregisterSlaveMessage,
    UpdateFrameworkMessage, UpdateOperationStatusMessage, UpdateSlaveMessage,
};

const PREFIX: &str = "mesos.internal.";

macro_rules! messages {
    ($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $variant:ident($body:ident),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant(Box<$body>),)*
        }

        impl $enum {
            /// The name on the wire: the full name of the body's type.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!("mesos.internal.", stringify!($body)),)*
                }
            }

            /// The body as bytes.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$variant(body) => wire::encode(&**body).into(),)*
                }
            }

            /// All names, in the order of the variants.
            pub const NAMES: &[&str] = &[$(concat!("mesos.internal.", stringify!($body)),)*];

            /// Reads the body of the message called `name`, as it comes from outside: what is
            /// not a whole message within limits is refused.
            ///
            /// # Errors
            ///
            /// If there is no such message, or the body is not one.
            pub fn decode(name: &str, body: &[u8]) -> Result<Self, MessageError> {
                let unknown = || MessageError::Unknown(name.to_owned());
                let malformed = |reason: String| MessageError::Malformed {
                    name: name.to_owned(),
                    reason,
                };
                match name.strip_prefix(PREFIX).ok_or_else(unknown)? {
                    $(stringify!($body) => {
                        let (body, _) = wire::check::decode::<$body>(body, &Limits::default())
                            .map_err(|e| malformed(e.to_string()))?;
                        Ok(Self::$variant(Box::new(body)))
                    })*
                    _ => Err(unknown()),
                }
            }
        }
    };
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The body is not what its name says.
    #[error("malformed `{name}`: {reason}")]
    Malformed {
        /// The message's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody here understands this message.
    #[error("unknown message `{0}`")]
    Unknown(String),
}

messages! {
    /// What a master may tell an agent.
    MasterMessage {
        /// Forget an operation's status.
        AcknowledgeOperationStatus(AcknowledgeOperationStatusMessage),
        /// Apply an operation to resources.
        ApplyOperation(ApplyOperationMessage),
        /// Replace the checkpointed resources.
        CheckpointResources(CheckpointResourcesMessage),
        /// Be drained.
        Drain(DrainSlaveMessage),
        /// Bytes from a scheduler for an executor.
        FrameworkToExecutor(FrameworkToExecutorMessage),
        /// End a task.
        KillTask(KillTaskMessage),
        /// Are you there?
        Ping(PingSlaveMessage),
        /// Tell what became of operations.
        ReconcileOperations(ReconcileOperationsMessage),
        /// Run a task.
        RunTask(RunTaskMessage),
        /// Run several tasks or none.
        RunTaskGroup(RunTaskGroupMessage),
        /// End.
        Shutdown(ShutdownMessage),
        /// End an executor.
        ShutdownExecutor(ShutdownExecutorMessage),
        /// End all that a framework has here.
        ShutdownFramework(ShutdownFrameworkMessage),
        /// You are registered.
        Registered(SlaveRegisteredMessage),
        /// You are registered again.
        Reregistered(SlaveReregisteredMessage),
        /// The scheduler has this update.
        StatusUpdateAcknowledgement(StatusUpdateAcknowledgementMessage),
        /// A framework changed.
        UpdateFramework(UpdateFrameworkMessage),
    }
}

messages! {
    /// What an agent tells a master.
    AgentMessage {
        /// Bytes from an executor for its scheduler.
        ExecutorToFramework(ExecutorToFrameworkMessage),
        /// An executor ended.
        ExitedExecutor(ExitedExecutorMessage),
        /// I am here.
        Pong(PongSlaveMessage),
        /// Take me.
        Register(RegisterSlaveMessage),
        /// Take me back.
        Reregister(ReregisterSlaveMessage),
        /// What became of a task.
        StatusUpdate(StatusUpdateMessage),
        /// I leave.
        Unregister(UnregisterSlaveMessage),
        /// What I have.
        Update(UpdateSlaveMessage),
        /// What became of an operation.
        UpdateOperationStatus(UpdateOperationStatusMessage),
    }
}

messages! {
    /// What an executor of the v0 protocol may tell an agent.
    ExecutorMessage {
        /// Bytes for its scheduler.
        ExecutorToFramework(ExecutorToFrameworkMessage),
        /// I am here.
        Register(RegisterExecutorMessage),
        /// I am still here.
        Reregister(ReregisterExecutorMessage),
        /// What became of a task.
        StatusUpdate(StatusUpdateMessage),
    }
}

messages! {
    /// What an agent tells an executor of the v0 protocol.
    ToExecutor {
        /// Bytes from its scheduler.
        FrameworkToExecutor(FrameworkToExecutorMessage),
        /// End a task.
        KillTask(KillTaskMessage),
        /// The agent was started again: come back.
        Reconnect(ReconnectExecutorMessage),
        /// You are registered.
        Registered(ExecutorRegisteredMessage),
        /// You are registered again.
        Reregistered(ExecutorReregisteredMessage),
        /// Run a task.
        RunTask(RunTaskMessage),
        /// End.
        Shutdown(ShutdownExecutorMessage),
        /// The agent has this update.
        StatusUpdateAcknowledgement(StatusUpdateAcknowledgementMessage),
    }
}

impl ExecutorMessage {
    /// The framework and the executor that the message says it is from; from outside.
    #[must_use]
    pub fn named(&self) -> Option<(FrameworkId, ExecutorId)> {
        let (framework, executor) = match self {
            Self::ExecutorToFramework(m) => (&m.framework_id, Some(&m.executor_id)),
            Self::Register(m) => (&m.framework_id, Some(&m.executor_id)),
            Self::Reregister(m) => (&m.framework_id, Some(&m.executor_id)),
            Self::StatusUpdate(m) => (&m.update.framework_id, m.update.executor_id.as_ref()),
        };
        Some((framework.value.parse().ok()?, executor?.value.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_from_its_name_and_bytes() {
        let ping = MasterMessage::Ping(Box::new(PingSlaveMessage { connected: true }));
        assert_eq!(ping.name(), "mesos.internal.PingSlaveMessage");
        assert_eq!(MasterMessage::decode(ping.name(), &ping.encode()), Ok(ping));
    }

    #[test]
    fn unknown_names_and_broken_bodies_are_told_apart() {
        for name in ["", "PingSlaveMessage", "mesos.internal.LostSlaveMessage"] {
            let error = MasterMessage::decode(name, &[]).unwrap_err();
            assert_eq!(error, MessageError::Unknown(name.to_owned()));
        }
        // No protobuf; and protobuf that lacks a required field.
        for body in [&[0xff][..], &[]] {
            let broken = MasterMessage::decode("mesos.internal.PingSlaveMessage", body);
            assert!(matches!(broken, Err(MessageError::Malformed { .. })), "{body:?}");
        }
    }
}
