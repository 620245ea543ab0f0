//! The libprocess messages that the master understands and those that it sends.

use bytes::Bytes;
use wire::internal;

/// Why a body is not a message that the master understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// No handler has this name.
    #[error("no handler for message `{0}`")]
    UnknownName(String),
    /// The body is not what the name says.
    #[error("cannot decode `{name}`: {reason}")]
    Malformed {
        /// The message's name.
        name: &'static str,
        /// What is wrong with the body.
        reason: String,
    },
}

macro_rules! inbound {
    ($($(#[$doc:meta])* $variant:ident($type:ident);)*) => {
        /// A message to the master.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Inbound {
            $($(#[$doc])* $variant(internal::$type),)*
        }

        impl Inbound {
            /// The names of all messages to the master.
            pub const NAMES: &'static [&'static str] =
                &[$(concat!("mesos.internal.", stringify!($type)),)*];

            /// The full name of the message's type, as the request path has it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!("mesos.internal.", stringify!($type)),)*
                }
            }

            /// Reads the body of the message called `name`.
            pub fn decode(name: &str, body: Bytes) -> Result<Self, InboundError> {
                match name {
                    $(concat!("mesos.internal.", stringify!($type)) => {
                        const NAME: &str = concat!("mesos.internal.", stringify!($type));
                        decode(NAME, body).map(Self::$variant)
                    })*
                    _ => Err(InboundError::UnknownName(name.to_owned())),
                }
            }
        }
    };
}

fn decode<M: wire::Described>(name: &'static str, body: Bytes) -> Result<M, InboundError> {
    wire::check::decode(&body, &wire::Limits::default())
        .map(|(message, _)| message)
        .map_err(|error| InboundError::Malformed { name, reason: error.to_string() })
}

inbound! {
    /// An executor ended.
    ExitedExecutor(ExitedExecutorMessage);
    /// An executor's message for its scheduler.
    ExecutorToFramework(ExecutorToFrameworkMessage);
    /// The answer to a ping.
    Pong(PongSlaveMessage);
    /// An agent wants to join for the first time.
    RegisterAgent(RegisterSlaveMessage);
    /// An agent that has an id wants to join again.
    ReregisterAgent(ReregisterSlaveMessage);
    /// A task's state changed.
    StatusUpdate(StatusUpdateMessage);
    /// An agent leaves.
    UnregisterAgent(UnregisterSlaveMessage);
    /// An agent's resources changed.
    UpdateAgent(UpdateSlaveMessage);
    /// An operation's state changed.
    UpdateOperationStatus(UpdateOperationStatusMessage);
}

macro_rules! outbound {
    ($($(#[$doc:meta])* $variant:ident($type:ident);)*) => {
        /// A message from the master.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(clippy::large_enum_variant, reason = "effects keep it in a box")]
        pub enum Outbound {
            $($(#[$doc])* $variant(internal::$type),)*
        }

        impl Outbound {
            /// The full name of the message's type, as the request path has it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!("mesos.internal.", stringify!($type)),)*
                }
            }

            /// The body.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$variant(message) => wire::encode(message).into(),)*
                }
            }
        }
    };
}

outbound! {
    /// A scheduler's message for an executor.
    FrameworkToExecutor(FrameworkToExecutorMessage);
    /// End a task.
    KillTask(KillTaskMessage);
    /// Are you there?
    Ping(PingSlaveMessage);
    /// You are registered under this id.
    AgentRegistered(SlaveRegisteredMessage);
    /// You are registered again; and what we would like to know.
    AgentReregistered(SlaveReregisteredMessage);
    /// Start a task.
    RunTask(RunTaskMessage);
    /// End all executors, then yourself.
    Shutdown(ShutdownMessage);
    /// End an executor.
    ShutdownExecutor(ShutdownExecutorMessage);
    /// End all executors of a framework.
    ShutdownFramework(ShutdownFrameworkMessage);
    /// The scheduler has seen this update.
    StatusUpdateAcknowledgement(StatusUpdateAcknowledgementMessage);
    /// The framework's description or address is now this.
    UpdateFramework(UpdateFrameworkMessage);
}
