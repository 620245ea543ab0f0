//! The master as a running program: sockets, the registry, the clock, and the one thread that owns
//! the engine.
//!
//! Everything that happens becomes an event in a bounded queue. The driver takes what is there,
//! lets the engine decide, makes all changes of the registry durable in one write, publishes the
//! snapshot, and only then carries out the rest in order. While it writes, the engine decides on.

mod desk;
mod door;
mod driver;
mod inbox;
mod measures;
mod operators;
mod queue;
mod refusals;
mod streams;
mod waiting;
mod whitelist;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use authn::sasl::offer::Authenticators;
use endpoints::access::Posture;
use endpoints::authentication::Authentication;
use endpoints::files::Files;
use endpoints::site::Site;
use endpoints::tls::Tls;
use endpoints::workers::Workers;
use model::principal::Provable;
use model::time::{Instant, Now, Timestamp};
use registry::{Registry, RegistryError};
use tls_policy::{Demand, MESSAGES};
use tokio::sync::{mpsc, oneshot};
use transport::counters::Counters;
use transport::messenger::{Listeners, Messenger, MessengerParts};
use transport::server::{Server, ServerParts};
use transport::sessions::{SameAddress, Sessions};
use wire::v1;

use crate::engine::Engine;
use crate::engine::config::Config;
use crate::http::{Counted, Documents, Master, table};
use crate::views::Program;

pub use desk::Counted as DeskCounted;
#[cfg(test)]
pub(crate) use inbox::inputs_of;
pub use inbox::{Answer, Inbox, Stopping};
pub use measures::Measures;
pub use operators::{Opening, Operators, Watched};
pub use streams::{MAX_PER_IDENTITY, Opened, Streams};

/// What a master is started with.
pub struct Settings {
    /// Where to listen. Port 0 lets the system choose.
    pub listen: SocketAddrV4,
    /// The address that others are told, if it differs: `--advertise_ip`.
    pub advertise_ip: Option<Ipv4Addr>,
    /// The port that others are told, if it differs: `--advertise_port`.
    pub advertise_port: Option<u16>,
    /// The name that others are told; the advertised address if there is none.
    pub hostname: Option<String>,
    /// The fault domain, if there is one.
    pub domain: Option<v1::DomainInfo>,
    /// What protects connections; also decides what callers have to prove.
    pub tls: Arc<Tls>,
    /// How agents and schedulers prove over libprocess who they are.
    pub sasl: Sasl,
    /// Who is asked for credentials over HTTP, and where decisions about that are written.
    pub authentication: Authentication,
    /// Limits and deadlines of the server.
    pub server: transport::server::Settings,
    /// Limits and deadlines of messages to others.
    pub messenger: transport::messenger::Settings,
    /// Where the registry is kept.
    pub registry: Box<dyn Registry>,
    /// What is shown of the program.
    pub program: Program,
    /// `--publish_per_framework_metrics`
    pub per_framework_metrics: bool,
    /// Virtual and real paths of files to show, such as `/master/log`.
    pub files: Vec<(String, std::path::PathBuf)>,
    /// `--whitelist`: a file with the host names of the agents that are offered.
    pub whitelist: Option<std::path::PathBuf>,
    /// Changes the engine's settings from their defaults.
    pub tune: Box<dyn FnOnce(&mut Config) + Send>,
}

/// How the clients of this master, agents and v0 schedulers, prove who they are. Whether they must
/// is for the engine to say: [`Config::authenticate_agents`], [`Config::authenticate_frameworks`].
#[derive(Clone, Debug)]
pub struct Sasl {
    /// What is offered, the strongest first. If there is none nobody can authenticate.
    pub mechanisms: Authenticators,
    /// How long an attempt may take: `--authentication_v0_timeout`.
    pub timeout: Duration,
    /// Whether stock peers are believed on connections that are not the one of their exchange:
    /// `--danger_same_address_sessions`.
    pub danger_same_address_sessions: bool,
}

impl Default for Sasl {
    fn default() -> Self {
        Self {
            mechanisms: Authenticators::new(Vec::new()),
            timeout: Duration::from_secs(15),
            danger_same_address_sessions: false,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("security", self.tls.security())
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// Why a master does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// It cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddrV4,
        /// Why.
        source: std::io::Error,
    },
    /// The address to tell others is not one that others could use.
    #[error(
        "{0} is no address that agents could reach: name one with --advertise_ip, or listen on one"
    )]
    NoAddress(Ipv4Addr),
    /// The registry cannot be read or written.
    #[error("the registry failed: {0}")]
    Registry(#[from] RegistryError),
    /// A file's virtual name is no path.
    #[error("`{name}` is no path: {source}")]
    File {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: endpoints::path::PathError,
    },
    /// The engine says that this master cannot go on.
    #[error("{0}")]
    Stopped(String),
    /// There is no thread for the engine.
    #[error("cannot start a thread for the engine: {0}")]
    Thread(std::io::Error),
    /// A task of ours panicked: a defect, on which a supervisor should restart us.
    #[error("the master's engine ended unexpectedly: {0}")]
    Panicked(String),
}

/// A master that runs until it is told to stop, or cannot go on.
#[derive(Debug)]
pub struct Running {
    address: SocketAddrV4,
    info: Arc<v1::MasterInfo>,
    master: Arc<Master>,
    server: Server,
    messenger: Messenger,
    stop: tokio::sync::watch::Sender<bool>,
    driver: oneshot::Receiver<Result<(), MasterError>>,
}

/// The version that we say we are: that of the original whose protocols we speak.
pub const MESOS_VERSION: &str = "1.12.0";

/// How long what is under way may take when the master stops.
const GRACE: Duration = Duration::from_secs(5);

/// Starts a master: binds its port, reads its registry, then serves.
pub async fn start(settings: Settings) -> Result<Running, MasterError> {
    let Settings { listen, mut registry, tls, sasl, .. } = settings;
    let security = tls.security().clone();
    let failed = |source| MasterError::Listen { address: listen, source };
    let listener = transport::server::bind(SocketAddr::V4(listen)).map_err(failed)?;
    let SocketAddr::V4(address) = listener.local_addr().map_err(failed)? else {
        return Err(MasterError::NoAddress(*listen.ip()));
    };
    let ip = settings.advertise_ip.unwrap_or(*address.ip());
    if ip.is_unspecified() {
        return Err(MasterError::NoAddress(ip));
    }
    let own = SocketAddrV4::new(ip, settings.advertise_port.unwrap_or(address.port()));
    let info = master_info(own, settings.hostname, settings.domain);

    let mut config = Config::new(info.clone());
    config.provable = Provable {
        certificates: security.client_certificates().at(MESSAGES) != Demand::None,
        principals: sasl.mechanisms.iter().next().is_some(),
    };
    (settings.tune)(&mut config);
    if let Some(path) = &settings.whitelist {
        config.whitelist = Some(whitelist::first(path.clone()).await?);
    }
    let hosts = config.whitelist.clone();
    let heartbeat_interval = config.heartbeat_interval;
    let operators =
        Operators::new(config.max_operator_event_stream_subscribers, OPERATOR_HEARTBEAT);
    let measures = Measures::default();
    let (registry, contents, took) = blocking(move || {
        let begun = std::time::Instant::now();
        let contents = registry.recover();
        (registry, contents, begun.elapsed())
    })
    .await?;
    measures.fetched(took);
    measures.sized(registry.bytes());
    let clock = Clock::start();
    let (engine, effects) = Engine::new(config, contents?, rand::random(), clock.now());

    let files = Files::default();
    for (name, path) in settings.files {
        files
            .attach(&name, path)
            .map_err(|source| MasterError::File { name: name.clone(), source })?;
    }
    let (inbox, inputs) = Inbox::new();
    let counters = Arc::new(Counters::default());
    let counted = Counted { transport: Arc::clone(&counters), ..Counted::default() };
    let master = Arc::new(Master {
        snapshots: ArcSwap::from_pointee(engine.snapshot()),
        program: settings.program,
        files,
        authorizer: authz::Authorizer::door(),
        inbox,
        streams: Streams::default(),
        operators,
        heartbeat_interval,
        per_framework_metrics: settings.per_framework_metrics,
        measures,
        counted,
        documents: Documents::default(),
        workers: Workers::default(),
        tls,
        authentication: settings.authentication.clone(),
    });

    let listeners = Arc::new(Listeners::default());
    let sessions = Arc::new(Sessions::new(match sasl.danger_same_address_sessions {
        true => SameAddress::DANGER,
        false => SameAddress::Refused,
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
    let desk = desk::Desk::new(desk::Parts {
        mechanisms: sasl.mechanisms,
        timeout: sasl.timeout,
        audit: Arc::new(refusals::Bounded::new(Arc::clone(settings.authentication.audit()))),
        guesses: Arc::clone(settings.authentication.guesses()),
        sessions: Arc::clone(&sessions),
        listeners: Arc::clone(&listeners),
        security: security.clone(),
        messenger: messenger.clone(),
        inbox: master.inbox.clone(),
        counted: Arc::clone(&master.counted.desk),
    });
    let site = Site::new(Arc::clone(&master), table(), Posture::of(&security))
        .authenticating(settings.authentication);
    // Set once, here.
    let _ = master.counted.refused.set(Arc::clone(site.refused()));
    let handler = door::Door::new(Arc::clone(&master), site, desk.clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    if let (Some(path), Some(hosts)) = (settings.whitelist, hosts) {
        let inbox = master.inbox.clone();
        tokio::spawn(whitelist::watch(path, hosts, inbox, stopped.clone()));
    }
    let driver = driver::Driver::new(driver::Parts {
        engine,
        registry,
        master: Arc::clone(&master),
        messenger: messenger.clone(),
        desk,
        clock,
        inputs,
        exited,
        stopped,
    });
    let driver = driver.start(effects).map_err(MasterError::Thread)?;
    let server = Server::start(
        listener,
        ServerParts { security, handler, settings: settings.server, counters, listeners, sessions },
    )
    .map_err(failed)?;
    tracing::info!(id = info.id, pid = info.pid(), "the master leads; listening on {address}");
    Ok(Running { address, info: Arc::new(info), master, server, messenger, stop, driver })
}

/// Runs a master until `shutdown` is ready, or it cannot go on. `ready` is told the bound address
/// once requests are served.
pub async fn run(
    settings: Settings,
    ready: impl FnOnce(&Running),
    shutdown: impl Future<Output = ()>,
) -> Result<(), MasterError> {
    let mut running = start(settings).await?;
    ready(&running);
    tokio::select! {
        ended = running.ended() => ended,
        () = shutdown => running.stop().await,
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Who it is.
    #[must_use]
    pub fn info(&self) -> &v1::MasterInfo {
        &self.info
    }

    /// What its handlers see; for tests.
    #[must_use]
    pub fn master(&self) -> &Arc<Master> {
        &self.master
    }

    /// Returns when it cannot go on.
    pub async fn ended(&mut self) -> Result<(), MasterError> {
        joined((&mut self.driver).await)
    }

    /// Stops it: no more requests, no more events, what was decided is carried out.
    pub async fn stop(self) -> Result<(), MasterError> {
        self.stop.send_replace(true);
        let ended = joined(self.driver.await);
        self.master.streams.close_all();
        self.master.operators.close_all();
        self.server.stop(GRACE).await;
        if !self.messenger.drain(GRACE).await {
            tracing::info!("some messages were not answered before the end");
        }
        ended
    }
}

fn joined(
    driver: Result<Result<(), MasterError>, oneshot::error::RecvError>,
) -> Result<(), MasterError> {
    let panicked = |_| Err(MasterError::Panicked("its thread panicked".to_owned()));
    driver.unwrap_or_else(panicked)
}

/// How often the streams of the operator API beat; no flag changes that.
pub const OPERATOR_HEARTBEAT: Duration = Duration::from_secs(15);

/// How many ended links wait for the driver.
const EXITS: usize = 1024;

/// Runs what blocks on the disk where that hurts nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MasterError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| MasterError::Panicked(error.to_string()))
}

pub(crate) fn master_info(
    own: SocketAddrV4,
    hostname: Option<String>,
    domain: Option<v1::DomainInfo>,
) -> v1::MasterInfo {
    use v1::master_info::Capability;
    use v1::master_info::capability::Type;
    let hostname = hostname.unwrap_or_else(|| own.ip().to_string());
    let capability = |kind: Type| Capability { r#type: Some(kind as i32) };
    v1::MasterInfo {
        id: uuid::Uuid::from_u128(rand::random()).to_string(),
        // The original's `in_addr`: the first byte of the address is the lowest.
        ip: u32::from_le_bytes(own.ip().octets()),
        port: u32::from(own.port()),
        pid: Some(format!("master@{own}")),
        hostname: Some(hostname.clone()),
        version: Some(MESOS_VERSION.to_owned()),
        address: Some(v1::Address {
            hostname: Some(hostname),
            ip: Some(own.ip().to_string()),
            port: i32::from(own.port()),
        }),
        domain,
        capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
            .map(capability)
            .into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_too_far_away_to_write_down_is_still_one() {
        let clock = Clock::start();
        assert!(clock.deadline(Instant::new(Duration::MAX)) > clock.start);
    }

    #[test]
    fn the_masters_address_is_written_as_recorded() {
        let info = master_info("127.0.0.2:5050".parse().unwrap(), None, None);
        assert_eq!(info.ip, 33_554_559);
        assert_eq!(info.pid(), "master@127.0.0.2:5050");
        assert_eq!(info.address.unwrap().ip(), "127.0.0.2");
        assert_eq!(info.id.len(), 36);
    }
}
