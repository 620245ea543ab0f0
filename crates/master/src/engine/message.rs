//! The libprocess messages that the master understands and those that it sends.

use bytes::Bytes;
use wire::Described;
use wire::internal;
use wire::protocol::mesos::scheduler;

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

/// How many bytes a message has on the wire.
pub(super) fn size_of_body<M: Described>(message: &M) -> usize {
    message.encoded_len()
}

macro_rules! inbound {
    ($($(#[$doc:meta])* $variant:ident($type:ty) from $kind:ident;)*) => {
        /// A message to the master.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(clippy::large_enum_variant, reason = "events keep it in a box")]
        pub enum Inbound {
            $($(#[$doc])* $variant($type),)*
        }

        impl Inbound {
            /// The names of all messages to the master.
            pub const NAMES: &'static [&'static str] = &[$(<$type as Described>::NAME,)*];

            /// The full name of the message's type, as the request path has it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => <$type as Described>::NAME,)*
                }
            }

            /// Who sends such messages.
            #[must_use]
            pub const fn sender(&self) -> Sender {
                match self {
                    $(Self::$variant(_) => Sender::$kind,)*
                }
            }

            /// How many bytes its body has.
            #[must_use]
            pub fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$variant(message) => size_of_body(message),)*
                }
            }

            /// Reads the body of the message called `name`.
            pub fn decode(name: &str, body: Bytes) -> Result<Self, InboundError> {
                match name {
                    $(<$type as Described>::NAME => {
                        decode(<$type as Described>::NAME, body).map(Self::$variant)
                    })*
                    _ => Err(InboundError::UnknownName(name.to_owned())),
                }
            }
        }
    };
}

impl Inbound {
    /// Whether its sender wants to be let in.
    #[must_use]
    pub fn registers(&self) -> bool {
        match self {
            Self::Call(call) => call.subscribe.is_some(),
            Self::RegisterAgent(_)
            | Self::RegisterFramework(_)
            | Self::ReregisterAgent(_)
            | Self::ReregisterFramework(_) => true,
            _ => false,
        }
    }
}

/// The kinds of component that send messages to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Agents.
    Agent,
    /// Schedulers: drivers of the old kind.
    Driver,
}

fn decode<M: Described>(name: &'static str, body: Bytes) -> Result<M, InboundError> {
    wire::check::decode(&body, &wire::Limits::default())
        .map(|(message, _)| message)
        .map_err(|error| InboundError::Malformed { name, reason: error.to_string() })
}

inbound! {
    /// A scheduler's call, in its old form.
    Call(scheduler::Call) from Driver;
    /// A scheduler wants no more offers, and stays.
    DeactivateFramework(internal::DeactivateFrameworkMessage) from Driver;
    /// An executor ended.
    ExitedExecutor(internal::ExitedExecutorMessage) from Agent;
    /// An executor's message for its scheduler.
    ExecutorToFramework(internal::ExecutorToFrameworkMessage) from Agent;
    /// A scheduler's message for an executor.
    FrameworkToExecutor(internal::FrameworkToExecutorMessage) from Driver;
    /// A scheduler ends a task.
    KillTask(internal::KillTaskMessage) from Driver;
    /// A scheduler takes offers, or declines them.
    LaunchTasks(internal::LaunchTasksMessage) from Driver;
    /// The answer to a ping.
    Pong(internal::PongSlaveMessage) from Agent;
    /// A scheduler asks how its tasks are.
    ReconcileTasks(internal::ReconcileTasksMessage) from Driver;
    /// An agent wants to join for the first time.
    RegisterAgent(internal::RegisterSlaveMessage) from Agent;
    /// A scheduler subscribes for the first time.
    RegisterFramework(internal::RegisterFrameworkMessage) from Driver;
    /// An agent that has an id wants to join again.
    ReregisterAgent(internal::ReregisterSlaveMessage) from Agent;
    /// A scheduler that has an id subscribes again.
    ReregisterFramework(internal::ReregisterFrameworkMessage) from Driver;
    /// A scheduler would like to have resources.
    ResourceRequest(internal::ResourceRequestMessage) from Driver;
    /// A scheduler wants offers again.
    ReviveOffers(internal::ReviveOffersMessage) from Driver;
    /// A task's state changed.
    StatusUpdate(internal::StatusUpdateMessage) from Agent;
    /// A scheduler has seen an update.
    StatusUpdateAcknowledgement(internal::StatusUpdateAcknowledgementMessage) from Driver;
    /// Would this master run a scheduler? No master does.
    SubmitScheduler(internal::SubmitSchedulerRequest) from Driver;
    /// An agent leaves.
    UnregisterAgent(internal::UnregisterSlaveMessage) from Agent;
    /// A scheduler ends its framework.
    UnregisterFramework(internal::UnregisterFrameworkMessage) from Driver;
    /// An agent's resources changed.
    UpdateAgent(internal::UpdateSlaveMessage) from Agent;
    /// An operation's state changed.
    UpdateOperationStatus(internal::UpdateOperationStatusMessage) from Agent;
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
    /// The framework has seen this status of an operation, or nobody needs to.
    AcknowledgeOperationStatus(AcknowledgeOperationStatusMessage);
    /// Do this to your resources.
    ApplyOperation(ApplyOperationMessage);
    /// All your reservations and volumes are these; for agents that know no operations.
    CheckpointResources(CheckpointResourcesMessage);
    /// An executor's message for its scheduler.
    ExecutorToFramework(ExecutorToFrameworkMessage);
    /// An executor ended.
    ExitedExecutor(ExitedExecutorMessage);
    /// A scheduler is refused, or has to end.
    FrameworkError(FrameworkErrorMessage);
    /// A scheduler is subscribed.
    FrameworkRegistered(FrameworkRegisteredMessage);
    /// A scheduler is subscribed again.
    FrameworkReregistered(FrameworkReregisteredMessage);
    /// A scheduler's message for an executor.
    FrameworkToExecutor(FrameworkToExecutorMessage);
    /// Questions for a scheduler.
    InverseOffers(InverseOffersMessage);
    /// End a task.
    KillTask(KillTaskMessage);
    /// End what runs there, and start nothing more.
    DrainAgent(DrainSlaveMessage);
    /// Are you there?
    Ping(PingSlaveMessage);
    /// You are registered under this id.
    AgentRegistered(SlaveRegisteredMessage);
    /// You are registered again; and what we would like to know.
    AgentReregistered(SlaveReregisteredMessage);
    /// An agent is no more.
    LostAgent(LostSlaveMessage);
    /// A question is taken back.
    RescindInverseOffer(RescindInverseOfferMessage);
    /// An offer is taken back.
    RescindResourceOffer(RescindResourceOfferMessage);
    /// Offers for a scheduler.
    ResourceOffers(ResourceOffersMessage);
    /// How are these operations?
    ReconcileOperations(ReconcileOperationsMessage);
    /// Start a task.
    RunTask(RunTaskMessage);
    /// Start several tasks, or none of them.
    RunTaskGroup(RunTaskGroupMessage);
    /// End all executors, then yourself.
    Shutdown(ShutdownMessage);
    /// End an executor.
    ShutdownExecutor(ShutdownExecutorMessage);
    /// End all executors of a framework.
    ShutdownFramework(ShutdownFrameworkMessage);
    /// A task's state changed.
    StatusUpdate(StatusUpdateMessage);
    /// No.
    SubmitScheduler(SubmitSchedulerResponse);
    /// The scheduler has seen this update.
    StatusUpdateAcknowledgement(StatusUpdateAcknowledgementMessage);
    /// The framework's description or address is now this.
    UpdateFramework(UpdateFrameworkMessage);
}
