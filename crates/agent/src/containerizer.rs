//! Where executors run: the interface between the runtime, which decides nothing, and whatever
//! starts and ends processes.
//!
//! The engine says *that* a container is to be launched or destroyed; the runtime calls this
//! trait and turns each answer into an event for the engine. An implementation owns processes,
//! sandboxes, fetched files and users; it knows nothing of masters, tasks or status updates.
//!
//! What every implementation promises:
//!
//! - a container that [`Containerizer::launch`] reported as started has a [`Containerizer::wait`]
//!   that ends, sooner or later, with its one [`Termination`];
//! - when that future is ready nothing of the container runs any more;
//! - after [`Containerizer::recover`] the same holds for the containers that were handed in.

pub mod fetcher;
mod first_process;
mod orphans;
mod process;
mod record;
mod sandbox;
mod sockets;
mod unsupported;
mod usage;
mod users;
mod volumes;

pub use launch::material::BearerToken as ExecutorToken;
pub use process::{ProcessContainerizer, Settings};
pub use sandbox::{Impassable, check_passable};
pub use users::resolve as resolve_user;
pub use volumes::VolumeLink;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use model::id::{ContainerId, ExecutorId, FrameworkId};
use wire::v1;

/// A boxed future, so that the runtime can hold any containerizer as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Starts, watches and ends containers. See the module's text for what is promised.
pub trait Containerizer: fmt::Debug + Send + Sync {
    /// Prepares the sandbox, fetches, and starts the executor. Ready when the executor's
    /// program runs, or when nothing of the attempt is left but the sandbox with its logs.
    ///
    /// [`Containerizer::destroy`] may be called meanwhile: the launch then ends with
    /// [`LaunchError::Destroyed`].
    fn launch(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, LaunchError>>;

    /// Ready when the container has ended and nothing of it is left; `None` if it is unknown.
    /// May be called several times, also after the end of a container not yet forgotten.
    fn wait(&self, container: &ContainerId) -> BoxFuture<'_, Option<Termination>>;

    /// Kills everything in the container. Ready when nothing of it is left; destroying an
    /// unknown or ended container does nothing.
    fn destroy(&self, container: &ContainerId) -> BoxFuture<'_, ()>;

    /// Takes over the containers of an earlier run of the agent. One whose process is gone is
    /// not an error: its [`Containerizer::wait`] ends at once. Containers of an earlier run
    /// that are not in `known` are destroyed before this is ready.
    fn recover(&self, known: Vec<RecoveredContainer>) -> BoxFuture<'_, Result<(), RecoverError>>;

    /// Changes what the container may use: the executor's resources and those of its tasks.
    fn update(
        &self,
        container: &ContainerId,
        resources: Vec<v1::Resource>,
        volumes: Vec<VolumeLink>,
    ) -> BoxFuture<'_, Result<(), UpdateError>>;

    /// What is known about a running container, for `container_status` in status updates and for
    /// `/containers`: its id, the executor's pid, networks. `None` if it is unknown.
    fn status(&self, container: &ContainerId) -> BoxFuture<'_, Option<v1::ContainerStatus>>;

    /// Whether a process of the container holds this socket. `false` also where that cannot be
    /// seen: who is not seen to be in the container is not.
    fn holds_socket(&self, container: &ContainerId, inode: u64) -> BoxFuture<'_, bool>;

    /// What the container uses now. `None` if it is unknown or cannot be measured.
    fn usage(&self, container: &ContainerId) -> BoxFuture<'_, Option<v1::ResourceStatistics>>;
}

/// Everything that is needed to start one executor.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchRequest {
    /// The new container; never used before.
    pub container_id: ContainerId,
    /// Whose executor it is.
    pub framework_id: FrameworkId,
    /// Which of the framework's executors on this agent.
    pub executor_id: ExecutorId,
    /// What to run: program, arguments, and in `uris` what to fetch into the sandbox first. Its
    /// `environment` and `user` are already taken into account in [`Self::environment`] and
    /// [`Self::run_as`] and are to be ignored.
    pub command: v1::CommandInfo,
    /// The executor's container, if it asks for one. What an implementation cannot give it
    /// refuses with [`LaunchError::Unsupported`].
    pub container: Option<v1::ContainerInfo>,
    /// The executor's own resources and those of its first tasks.
    pub resources: Vec<v1::Resource>,
    /// The persistent volumes among them.
    pub volumes: Vec<VolumeLink>,
    /// The whole environment: nothing is inherited from the agent, and the implementation adds
    /// only the number of the descriptor that carries [`Self::secrets`].
    pub environment: BTreeMap<String, String>,
    /// The user of the executor and of its tasks.
    pub run_as: RunAs,
    /// The sandbox: an absolute path that does not exist yet. The implementation makes it, owned
    /// by the user, and points the link `latest` beside it here.
    pub sandbox: PathBuf,
    /// What the executor gets through an inherited sealed memory file; `None` for a framework's
    /// own where the agent serves in plaintext.
    pub secrets: Option<ExecutorSecrets>,
    /// The token that goes into the environment as `MESOS_EXECUTOR_AUTHENTICATION_TOKEN`, for
    /// executors of frameworks: their libraries look for it there. Not in
    /// [`Self::environment`], which may be written down.
    pub environment_token: Option<ExecutorToken>,
    /// Where the pid (decimal digits) must be written, durably, before the executor's program
    /// runs. `None` if the framework does not checkpoint.
    pub pid_checkpoint: Option<PathBuf>,
}

/// As whom a container runs. Decided by the engine; whether the user exists is found out by the
/// containerizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// As the agent itself.
    Agent,
    /// As the user of this name, with that user's groups. A user other than `root` that turns
    /// out to have root's number is to be refused: only the name was allowed or not.
    User(String),
}

/// What lets an executor prove itself to the agent and recognize it. Never printed, never in the
/// environment, never on disk.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecutorSecrets {
    /// The bearer token of this container.
    pub token: ExecutorToken,
    /// How long the token is good for; the executor is given another one in time if it calls.
    pub lifetime: std::time::Duration,
    /// How the executor recognizes the agent.
    pub trust: tls_policy::ServerTrust,
}

impl fmt::Debug for ExecutorSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutorSecrets").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// A container that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The pid of the executor's first process.
    pub pid: u32,
}

/// A container as an earlier run of the agent left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredContainer {
    /// The container.
    pub container_id: ContainerId,
    /// Whose executor it runs.
    pub framework_id: FrameworkId,
    /// Which of them.
    pub executor_id: ExecutorId,
    /// The checkpointed pid; `None` if the agent died before it was written, in which case the
    /// program never ran.
    pub pid: Option<u32>,
    /// Where that pid stands; what an implementation keeps about the process lies beside it.
    pub pid_checkpoint: PathBuf,
    /// Its sandbox.
    pub sandbox: PathBuf,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// The raw `wait` status of the executor; `None` if it is not known, as for a process that
    /// an earlier run of the agent started.
    pub status: Option<i32>,
    /// The state for tasks that had not ended; `None` leaves it to the agent.
    pub state: Option<v1::TaskState>,
    /// The reason that goes with it; `None` leaves it to the agent.
    pub reason: Option<v1::task_status::Reason>,
    /// What to tell people, for example which limit was exceeded.
    pub message: Option<String>,
}

/// Why a container did not start. The text goes to the framework in the task's last status.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// [`Containerizer::destroy`] came first.
    #[error("Container destroyed while it was being launched")]
    Destroyed,
    /// A resource of the command could not be fetched.
    #[error("Failed to fetch all URIs for container '{container}': {cause}")]
    Fetch {
        /// The container.
        container: ContainerId,
        /// Which URI, and why not.
        cause: String,
    },
    /// The sandbox could not be made or given to its user.
    #[error("Failed to prepare sandbox '{}': {source}", path.display())]
    Sandbox {
        /// The sandbox.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The program could not be started.
    #[error("Failed to start '{program}': {source}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The executor asks for something that this containerizer does not give.
    #[error("{0}")]
    Unsupported(String),
    /// There is no such user on this machine, or the agent may not become it.
    #[error("Cannot run as user '{user}': {cause}")]
    User {
        /// The user.
        user: String,
        /// Why not.
        cause: String,
    },
}

/// Why the containers of an earlier run could not be taken over.
#[derive(Debug, thiserror::Error)]
#[error("could not recover container `{container}`: {source}")]
pub struct RecoverError {
    /// The container.
    pub container: ContainerId,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

/// Why a container's limits could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// There is no such container.
    #[error("Container '{0}' is unknown")]
    Unknown(ContainerId),
    /// The limits could not be applied.
    #[error("Failed to update container '{container}': {cause}")]
    Failed {
        /// The container.
        container: ContainerId,
        /// Why not.
        cause: String,
    },
}
