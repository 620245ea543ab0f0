//! What the engine is told, and what it wants done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use libprocess::sender::{BoundPid, Session};
use libprocess::upid::Upid;
use model::id::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use tls_policy::ServerTrust;
use wire::v1::executor;
use wire::{internal, v1};

use super::inventory::VolumeDirectory;
use super::operations::OperationUuid;
use crate::containerizer::{
    ExecutorToken, LaunchRequest, RecoveredContainer, Termination, VolumeLink,
};
use crate::message::{AgentMessage, ExecutorMessage, MasterMessage, ToExecutor};

/// One call of the executor API, from its arrival to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The event stream of one subscription. It has the number of the call that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A durable write. Writes complete in the order of their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The SHA-256 of an executor's bearer token: what is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// Who makes a call of the executor API, as proven by the HTTP layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The bearer of this token, which was good when it was looked at.
    Token(TokenDigest),
    /// The bearer of a token that says this of it, is signed with the agent's key and not
    /// expired, and that the agent did not write down.
    Claims(BTreeMap<String, String>),
    /// A process of this container: it holds the other end of the connection. Never heard where
    /// identities are proved.
    Container(ContainerId),
    /// Somebody without any proof.
    Unproven,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// This master has authenticated the agent, as [`Effect::Authenticate`] wanted.
    Authenticated {
        /// The master.
        master: Upid,
        /// What its messages are believed on.
        session: Arc<Session>,
    },
    /// This master does not accept the agent's credential.
    AuthenticationRefused(Upid),
    /// The last of the container's processes is gone.
    ContainerTerminated {
        /// Which one.
        container: ContainerId,
        /// How it ended.
        termination: Termination,
    },
    /// The containerizer has applied, or failed to apply, an [`Effect::UpdateContainer`].
    ContainerUpdated {
        /// Which container.
        container: ContainerId,
        /// Why not, in words for the framework.
        result: Result<(), String>,
    },
    /// The containerizer has taken over what [`Effect::RecoverContainers`] named.
    ContainersRecovered,
    /// A call of the executor API, valid by itself.
    ExecutorCall {
        /// To be answered once with [`Effect::Answer`].
        request: RequestId,
        /// Who makes it.
        caller: Caller,
        /// What it says.
        call: Box<executor::Call>,
    },
    /// The link to an executor of the v0 protocol broke, or could not be made.
    ExecutorExited(Upid),
    /// A message of an executor of the v0 protocol.
    ExecutorMessage {
        /// The sender.
        from: BoundPid,
        /// The container whose process holds the other end of the connection.
        container: ContainerId,
        /// What it says.
        message: ExecutorMessage,
    },
    /// An event stream ended from the other side, or was given up because its reader did not
    /// keep up.
    ExecutorDisconnected(ConnectionId),
    /// A container's program runs.
    Launched {
        /// Which container.
        container: ContainerId,
        /// The pid of its first process.
        pid: u32,
    },
    /// A container did not start; nothing of it runs.
    LaunchFailed {
        /// Which container.
        container: ContainerId,
        /// Why, in words for the framework.
        message: String,
    },
    /// The leading master, as far as detection knows.
    MasterDetected(Option<Upid>),
    /// The link to this master broke, or could not be made.
    MasterExited(Upid),
    /// A message, from a sender that the connection vouches for.
    Message {
        /// The sender.
        from: BoundPid,
        /// What it says.
        message: MasterMessage,
    },
    /// An operator wants the agent to leave the cluster and end.
    ShutdownRequested,
    /// A deadline may have passed.
    TimePassed,
    /// Executors that are started from now on need this to recognize the agent.
    TrustChanged(ServerTrust),
}

/// What is to be done, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answer a call of the executor API.
    Answer {
        /// Which call.
        request: RequestId,
        /// With what.
        answer: Answer,
    },
    /// Prove to this master who the agent is, in place of any earlier attempt, until it is
    /// settled. Answered by [`Event::Authenticated`] or [`Event::AuthenticationRefused`].
    Authenticate(Upid),
    /// End this event stream.
    Close(ConnectionId),
    /// Kill everything in the container.
    Destroy(ContainerId),
    /// End the program.
    Exit(Exit),
    /// Start a container. Answered by [`Event::Launched`] or [`Event::LaunchFailed`].
    Launch {
        /// How.
        request: Box<LaunchRequest>,
        /// Not before this write is durable.
        after: Option<Token>,
    },
    /// Connect to this master and watch the connection. Answered by [`Event::MasterExited`] when
    /// it breaks.
    Link(Upid),
    /// Connect to this executor and watch the connection. Answered by [`Event::ExecutorExited`]
    /// when it breaks.
    LinkExecutor(Upid),
    /// Tell the operator.
    Log(Severity, String),
    /// Write a record so that it survives the machine's next crash.
    Persist {
        /// The name of this write.
        token: Token,
        /// What to write.
        record: Box<Record>,
    },
    /// Take over the containers of an earlier run. Answered by [`Event::ContainersRecovered`].
    RecoverContainers(Vec<RecoveredContainer>),
    /// Ask again who leads. Answered by [`Event::MasterDetected`].
    Redetect,
    /// Send a message.
    Send {
        /// To whom.
        to: Upid,
        /// What.
        message: Box<AgentMessage>,
        /// Not before this write is durable.
        after: Option<Token>,
    },
    /// Give up what [`Effect::Authenticate`] began, and whatever came out of it.
    StopAuthenticating,
    /// Send a message to an executor of the v0 protocol.
    SendExecutor {
        /// To whom.
        to: Upid,
        /// What.
        message: Box<ToExecutor>,
        /// Not before this write is durable.
        after: Option<Token>,
    },
    /// Tell an executor.
    Tell {
        /// On which stream.
        connection: ConnectionId,
        /// What.
        event: Box<executor::Event>,
        /// Not before this write is durable.
        after: Option<Token>,
    },
    /// Change what a container may use. Answered by [`Event::ContainerUpdated`].
    UpdateContainer {
        /// Which one.
        container: ContainerId,
        /// All that it may use from now on.
        resources: Vec<v1::Resource>,
        /// The persistent volumes among them.
        volumes: Vec<VolumeLink>,
    },
    /// Report the end of a container. Answered by [`Event::ContainerTerminated`].
    Watch(ContainerId),
}

/// How much an operator should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is good to know.
    Info,
    /// Something was refused or went wrong.
    Warning,
}

/// Why the program ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exit {
    /// All is shut down, as was asked for.
    #[error("shut down: {0}")]
    Done(String),
    /// The agent cannot go on: an operator has to look.
    #[error("{0}")]
    Failed(String),
}

/// The answer to a call of the executor API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call was taken.
    Accepted,
    /// The call was taken, and the caller is to use this token from now on. The one that it used
    /// dies when this one is used.
    Renewed(ExecutorToken),
    /// The call was not taken.
    Refused(Refusal),
    /// The call's response is an event stream, open until closed.
    Subscribed(ConnectionId),
}

/// Why a call of the executor API is not taken. The text goes to the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The framework has no such executor here.
    #[error("Executor cannot be found")]
    ExecutorUnknown,
    /// The agent does not know the framework.
    #[error("Framework cannot be found")]
    FrameworkUnknown,
    /// The caller is not the executor that the call names.
    #[error("")]
    Forbidden,
    /// The caller proved to be another executor than the call names: this claim differs.
    #[error("Authenticated principal does not contain '{0}' claim with the ID set in the call")]
    Claim(&'static str),
    /// The caller's token does not count any more.
    #[error("")]
    Revoked,
    /// The executor must subscribe first.
    #[error("Executor is not subscribed")]
    NotSubscribed,
    /// The agent does not know its own executors yet.
    #[error("Agent has not finished recovery")]
    Recovering,
    /// The executor has no such task.
    #[error("Task cannot be found")]
    TaskUnknown,
    /// The executor reports faster than its scheduler acknowledges.
    #[error("Too many status updates wait for their acknowledgement")]
    TooManyUpdates,
    /// The call cannot be acted on.
    #[error("Failed to validate Executor::Call: {0}")]
    Invalid(&'static str),
}

/// Where the records of an executor lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutorPlace {
    /// The agent.
    pub agent: AgentId,
    /// The executor's framework.
    pub framework: FrameworkId,
    /// The executor.
    pub executor: ExecutorId,
}

/// Where the records of one run of an executor lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPlace {
    /// The executor.
    pub executor: ExecutorPlace,
    /// The run's container.
    pub container: ContainerId,
}

/// Something that outlives the agent's process.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The agent's own description, with its id.
    Agent(Box<v1::AgentInfo>),
    /// A run is over and its tasks are accounted for.
    Completed(RunPlace),
    /// The agent is being emptied like this; or is not any more.
    Drain {
        /// Which agent.
        agent: AgentId,
        /// How.
        config: Option<v1::DrainConfig>,
    },
    /// An executor.
    Executor {
        /// Where.
        place: ExecutorPlace,
        /// What.
        info: Box<v1::ExecutorInfo>,
        /// Whether the agent made it up for a command task.
        generated: bool,
    },
    /// The next start is to be a first start.
    Forget,
    /// A framework.
    Framework {
        /// On which agent.
        agent: AgentId,
        /// What.
        info: Box<v1::FrameworkInfo>,
        /// Its scheduler's address, as text.
        pid: String,
    },
    /// The run's executor speaks the HTTP API.
    HttpExecutor(RunPlace),
    /// The run's executor speaks the v0 protocol and listens here.
    LibprocessExecutor {
        /// Which run.
        place: RunPlace,
        /// Where.
        pid: Upid,
    },
    /// The outcome of an operation is to be delivered.
    Operation {
        /// On which agent.
        agent: AgentId,
        /// Which operation.
        uuid: OperationUuid,
        /// What is to be delivered.
        record: Box<internal::UpdateOperationStatusRecord>,
    },
    /// The outcome of an operation was acknowledged.
    OperationOver {
        /// On which agent.
        agent: AgentId,
        /// Which operation.
        uuid: OperationUuid,
    },
    /// What is remembered of the agent's resources, and the operations on them.
    Resources(Box<internal::slave::ResourceState>),
    /// A run begins.
    Run {
        /// Where.
        place: RunPlace,
        /// What is kept of its token.
        token: Option<TokenDigest>,
    },
    /// What is kept of a run's tokens changed.
    Tokens {
        /// Which run.
        place: RunPlace,
        /// The one that its executor uses.
        present: TokenDigest,
        /// The one that it was given and has not used yet.
        next: Option<TokenDigest>,
    },
    /// A task was given to a run.
    Task {
        /// Which run.
        place: RunPlace,
        /// What.
        task: Box<v1::Task>,
    },
    /// A task's status stream moved on.
    Update {
        /// Which run.
        place: RunPlace,
        /// Which task.
        task: TaskId,
        /// How.
        record: Box<internal::StatusUpdateRecord>,
    },
    /// Directories of persistent volumes; those that are there or gone already stay so.
    Volumes {
        /// To be made.
        create: Vec<VolumeDirectory>,
        /// To be removed with all that is in them.
        remove: Vec<VolumeDirectory>,
    },
}

/// The message of an executor, as bytes that nobody here reads.
pub(super) type Data = Bytes;
