//! The agent as a running program: sockets, checkpoints, containers, the clock, and the one task
//! that owns the engine.
//!
//! Everything that happens becomes an event in one bounded queue. The driver takes what is there,
//! lets the engine decide, makes all records durable, publishes the new state, and only then
//! carries out the rest in order.

mod authenticatee;
mod authentication;
mod containers;
mod detector;
mod door;
mod driver;
pub(crate) mod holder;
mod inbox;
mod machine;
mod sandboxes;
mod streams;
mod trust;
mod users;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use authn::jwt::TokenIssuer;
use endpoints::access::Posture;
use endpoints::authentication::Authentication;
use endpoints::files::Files;
use endpoints::site::Site;
use endpoints::tls::Tls;
use libprocess::upid::Upid;
use model::time::{Instant, Now, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport::messenger::{Listeners, Messenger, MessengerParts};
use transport::server::{Server, ServerParts};
use transport::sessions::{SameAddress, Sessions};

use crate::checkpoint::{RecoverError, Store, StoreError, boot_id};
use crate::containerizer::Containerizer;
use crate::engine::Engine;
use crate::engine::event::Exit;
use crate::engine::rules::{ExecutorProgram, Reconfiguration, Recover, Rules, TokenRules};
use crate::engine::users::TaskUserPolicy;
use crate::http::{Agent, Counted, table};
use crate::views::{Program, Snapshot};

pub use authentication::{ExecutorTokens, MasterAuthentication};
#[cfg(test)]
pub(crate) use inbox::Input;
pub use inbox::{Inbox, Stopping};
pub use machine::{Machine, MachineError};
#[cfg(test)]
pub(crate) use sandboxes::Sandboxes;
pub use streams::Streams;
pub use users::{UserError, own_task_users};

/// What an agent is started with.
pub struct Settings {
    /// Where to listen. Port 0 lets the system choose.
    pub listen: SocketAddrV4,
    /// The address that others are told, if it differs: `--advertise_ip`.
    pub advertise_ip: Option<Ipv4Addr>,
    /// The port that others are told, if it differs: `--advertise_port`.
    pub advertise_port: Option<u16>,
    /// The name that others are told; the advertised address if there is none.
    pub hostname: Option<String>,
    /// What protects connections; also decides what callers have to prove.
    pub tls: Arc<Tls>,
    /// Who is asked for credentials over HTTP, and where decisions about that are written.
    pub authentication: Authentication,
    /// Limits and deadlines of the server.
    pub server: transport::server::Settings,
    /// Limits and deadlines of messages to others.
    pub messenger: transport::messenger::Settings,
    /// How it proves to the master who it is.
    pub master_authentication: MasterAuthentication,
    /// How executors prove to it who they are.
    pub executor_tokens: ExecutorTokens,
    /// Where the master is: a host name or an address.
    pub master_host: String,
    /// And its port.
    pub master_port: u16,
    /// Beneath it lie sandboxes and checkpoints. Absolute; made if needed.
    pub work_dir: PathBuf,
    /// What the machine offers, as far as it was said.
    pub machine: Machine,
    /// As whom tasks run.
    pub task_users: TaskUserPolicy,
    /// What runs a command task.
    pub command_executor: ExecutorProgram,
    /// Makes what runs executors, for an agent that tells others this address.
    pub containerizer: Box<MakeContainerizer>,
    /// Whether anything that cannot be recovered ends the agent.
    pub strict: bool,
    /// What is shown of the program.
    pub program: Program,
    /// Virtual and real paths of files to show, such as `/slave/log`.
    pub files: Vec<(String, PathBuf)>,
    /// Changes the engine's rules from their defaults.
    pub tune: Box<dyn FnOnce(&mut Rules) + Send>,
}

/// Makes what runs executors, for an agent that tells others this address.
pub type MakeContainerizer = dyn FnOnce(Ipv4Addr) -> io::Result<Arc<dyn Containerizer>> + Send;

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("security", self.tls.security())
            .field("work_dir", &self.work_dir)
            .finish_non_exhaustive()
    }
}

/// Why an agent does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddrV4,
        /// Why.
        source: io::Error,
    },
    /// The address to tell others is not one that others could use.
    #[error(
        "{0} is no address that a master could reach: name one with --advertise_ip, or listen on \
         one"
    )]
    NoAddress(Ipv4Addr),
    /// Executors could not tell the agent from others.
    #[error("an agent that serves over TLS needs what its executors recognize it by")]
    NoExecutorTrust,
    /// A directory cannot be made, or not be passed by those who must.
    #[error("cannot use {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The machine cannot be described.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The user of tasks is not one that tasks can have.
    #[error(transparent)]
    User(#[from] UserError),
    /// What runs executors cannot be made.
    #[error("cannot run executors on this machine: {0}")]
    Containerizer(#[source] io::Error),
    /// An earlier run cannot be gone on from.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// Containers of an earlier run cannot be taken over.
    #[error("cannot take over the containers of an earlier run: {0}")]
    Containers(#[from] crate::containerizer::RecoverError),
    /// A record cannot be written: nothing that rests on it may be said.
    #[error(transparent)]
    Checkpoint(#[from] StoreError),
    /// A file's virtual name is no path.
    #[error("`{name}` is no path: {source}")]
    File {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: endpoints::path::PathError,
    },
    /// The engine says that this agent cannot go on.
    #[error("{0}")]
    Failed(String),
    /// A task of ours panicked, or broke its word: a defect, on which a supervisor should
    /// restart us.
    #[error("the agent ended unexpectedly: {0}")]
    Defect(String),
}

/// An agent that runs until it is told to stop, or cannot go on.
#[derive(Debug)]
pub struct Running {
    address: SocketAddrV4,
    pid: Upid,
    agent: Arc<Agent>,
    server: Server,
    messenger: Messenger,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<Exit, AgentError>>,
}

/// How long what is under way may take when the agent stops.
const GRACE: Duration = Duration::from_secs(5);
/// How many ended links wait for the driver.
const EXITS: usize = 1024;
/// The actor that an agent is.
pub const ACTOR: &str = "slave(1)";

/// Starts an agent: binds its port, reads its checkpoints, then serves.
///
/// # Errors
///
/// If something that it cannot do without is not there.
pub async fn start(settings: Settings) -> Result<Running, AgentError> {
    let Settings { listen, work_dir, tls, strict, .. } = settings;
    let security = tls.security().clone();
    let replaced = tls.replaced();
    let posture = Posture::of(&security);
    make_directories(&work_dir)?;
    users::check(&settings.task_users, &work_dir)?;
    let failed = |source| AgentError::Listen { address: listen, source };
    let listener = transport::server::bind(SocketAddr::V4(listen)).map_err(failed)?;
    let SocketAddr::V4(address) = listener.local_addr().map_err(failed)? else {
        return Err(AgentError::NoAddress(*listen.ip()));
    };
    let ip = settings.advertise_ip.unwrap_or(*address.ip());
    if ip.is_unspecified() {
        return Err(AgentError::NoAddress(ip));
    }
    let own = SocketAddrV4::new(ip, settings.advertise_port.unwrap_or(address.port()));
    let pid = Upid::new(ACTOR, own);
    let described = settings.machine.describe(&work_dir)?;
    let mut rules = Rules {
        pid: pid.clone(),
        hostname: settings.hostname.unwrap_or_else(|| ip.to_string()),
        resources: described.resources,
        attributes: described.attributes,
        domain: described.domain,
        work_dir: work_dir.clone(),
        registration_backoff: Duration::from_secs(1),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        recovery_timeout: Duration::from_secs(15 * 60),
        command_executor: settings.command_executor,
        executor_environment: std::collections::BTreeMap::new(),
        task_users: settings.task_users,
        executor_trust: Some(trust::of(&security)?),
        tokens: TokenRules {
            issuer: settings.executor_tokens.jwt_key.map(TokenIssuer::new),
            lifetime: settings.executor_tokens.lifetime,
        },
        authenticates: settings.master_authentication.mechanisms.is_some(),
        reconfiguration: Reconfiguration::default(),
        recover: Recover::default(),
        max_completed_frameworks: 50,
        max_completed_executors: 150,
        max_completed_tasks: 200,
    };
    (settings.tune)(&mut rules);
    let containerizer = (settings.containerizer)(ip).map_err(AgentError::Containerizer)?;
    let began = std::time::Instant::now();
    let (store, recovered) = blocking(move || recover(&work_dir, strict)).await??;
    let clock = Clock::start();
    let (engine, effects) = Engine::new(rules, rand::random(), recovered, clock.now());

    let files = Files::default();
    for (name, path) in settings.files {
        files
            .attach(&name, path)
            .map_err(|source| AgentError::File { name: name.clone(), source })?;
    }
    let (inbox, inputs) = Inbox::new();
    let agent = Arc::new(Agent {
        snapshots: ArcSwap::from_pointee(Snapshot::of(&engine)),
        registered: watch::Sender::new(false),
        program: settings.program,
        started: clock.now().wall,
        recovery_seconds: began.elapsed().as_secs_f64(),
        files,
        inbox,
        streams: Streams::default(),
        containerizer: Arc::clone(&containerizer),
        holders: holder::Holders::new(Arc::clone(&containerizer), address.port()),
        tokens_required: settings.executor_tokens.required,
        posture: posture.clone(),
        counted: Counted::default(),
        tls: Arc::clone(&tls),
        authentication: settings.authentication.clone(),
    });

    let counters = Arc::clone(&agent.counted.transport);
    let listeners = Arc::new(Listeners::default());
    let sessions =
        Arc::new(Sessions::new(if settings.master_authentication.danger_same_address_sessions {
            SameAddress::DANGER
        } else {
            SameAddress::Refused
        }));
    let (exits, exited) = mpsc::channel(EXITS);
    let messenger = Messenger::new(MessengerParts {
        own,
        security: security.clone(),
        settings: settings.messenger,
        counters: Arc::clone(&counters),
        listeners: Arc::clone(&listeners),
        sessions: Arc::clone(&sessions),
        exits,
    });
    let site =
        Site::new(Arc::clone(&agent), table(), posture).authenticating(settings.authentication);
    // Set once: there is one site.
    let _ = agent.counted.refused.set(Arc::clone(site.refused()));
    let mailbox = Arc::new(authenticatee::Mailbox::default());
    let handler = door::Door::new(Arc::clone(&agent), site, Arc::clone(&mailbox));
    let authenticatee = authenticatee::Authenticatee::new(authenticatee::Parts {
        settings: settings.master_authentication,
        messenger: messenger.clone(),
        sessions: Arc::clone(&sessions),
        mailbox,
        inbox: agent.inbox.clone(),
    });
    let (stop, stopped) = watch::channel(false);
    let driver = driver::Driver::new(driver::Parts {
        engine,
        store,
        agent: Arc::clone(&agent),
        containerizer,
        detector: detector::Detector::new(settings.master_host, settings.master_port),
        messenger: messenger.clone(),
        authenticatee,
        clock,
        inputs,
        exited,
        stopped,
    });
    let driver = tokio::spawn(driver.run(effects));
    tokio::spawn(trust::follow(tls, replaced, agent.inbox.clone()));
    let server = Server::start(
        listener,
        ServerParts { security, handler, settings: settings.server, counters, listeners, sessions },
    )
    .map_err(failed)?;
    tracing::info!(%pid, "the agent is up; listening on {address}");
    Ok(Running { address, pid, agent, server, messenger, stop, driver })
}

/// Runs an agent until `shutdown` is ready, or it has ended by itself: because its master told it
/// to, or because it cannot go on. `ready` is told once requests are served. Executors of
/// frameworks that checkpoint live on, and are taken back by the next run.
///
/// # Errors
///
/// If it does not start, or cannot go on.
pub async fn run(
    settings: Settings,
    ready: impl FnOnce(&Running),
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let mut running = start(settings).await?;
    ready(&running);
    tokio::select! {
        ended = running.ended() => match ended {
            Ok(why) => {
                tracing::info!("the agent ends: {why}");
                running.close().await;
                Ok(())
            }
            Err(error) => Err(error),
        },
        () = shutdown => running.stop().await,
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// What others know it by.
    #[must_use]
    pub fn pid(&self) -> &Upid {
        &self.pid
    }

    /// Whether a master has admitted it, now and from now on.
    #[must_use]
    pub fn registered(&self) -> watch::Receiver<bool> {
        self.agent.registered.subscribe()
    }

    /// What its handlers see; for tests.
    #[must_use]
    pub fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// Returns when it has ended by itself, with the reason, or cannot go on.
    ///
    /// # Errors
    ///
    /// If it cannot go on.
    pub async fn ended(&mut self) -> Result<Exit, AgentError> {
        match joined((&mut self.driver).await)? {
            Exit::Failed(why) => Err(AgentError::Failed(why)),
            done @ Exit::Done(_) => Ok(done),
        }
    }

    /// Stops it: no more requests, no more events, what was decided is carried out.
    ///
    /// # Errors
    ///
    /// If it could not go on anyway.
    pub async fn stop(mut self) -> Result<(), AgentError> {
        self.stop.send_replace(true);
        let ended = joined((&mut self.driver).await);
        self.close().await;
        ended.map(drop)
    }

    async fn close(self) {
        self.agent.streams.close_all();
        self.server.stop(GRACE).await;
        if !self.messenger.drain(GRACE).await {
            tracing::info!("some messages were not answered before the end");
        }
    }
}

fn joined(
    driver: Result<Result<Exit, AgentError>, tokio::task::JoinError>,
) -> Result<Exit, AgentError> {
    driver.unwrap_or_else(|error| Err(AgentError::Defect(error.to_string())))
}

/// The work directory and that of the sandboxes, which the users of tasks must be able to pass.
fn make_directories(work_dir: &Path) -> Result<(), AgentError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    for path in [work_dir.to_owned(), work_dir.join("slaves")] {
        let made = || -> io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&path)?;
            let mode = std::fs::metadata(&path)?.permissions().mode();
            if mode & 0o111 != 0o111 {
                let passable = std::fs::Permissions::from_mode(mode & 0o7777 | 0o111);
                std::fs::set_permissions(&path, passable)?;
            }
            Ok(())
        };
        made().map_err(|source| AgentError::Directory { path: path.clone(), source })?;
    }
    Ok(())
}

fn recover(
    work_dir: &Path,
    strict: bool,
) -> Result<(Store, crate::engine::recovered::Recovered), AgentError> {
    let store = Store::open(work_dir)?;
    let boot = boot_id().map_err(|source| AgentError::Directory {
        path: "/proc/sys/kernel/random/boot_id".into(),
        source,
    })?;
    let recovered = store.recover(strict, &boot)?;
    Ok((store, recovered))
}

/// Runs what blocks on the disk where that hurts nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AgentError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AgentError::Defect(error.to_string()))
}

/// Both clocks.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: Instant::new(self.start.elapsed()), wall: Timestamp::new(wall) }
    }

    fn deadline(self, at: Instant) -> tokio::time::Instant {
        // A deadline too far away to write down never comes in the life of this program.
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
        self.start + at.since_start().min(FAR)
    }
}
