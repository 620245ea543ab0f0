//! The one port of a program: messages and HTTP requests, each with what its connection proved.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use libprocess::decode::Limits;
use libprocess::sender::{BoundPid, PeerFacts};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::counters::Counters;
use crate::messenger::Listeners;
use crate::sessions::Sessions;
use crate::stream::{KeepAlive, prepare};
use crate::tls::Security;
use memory::Memory;

mod accept;
mod body;
mod connection;
mod gate;
mod gathered;
mod head;
mod memory;
mod output;
mod pace;
mod response;
mod unanswered;

pub use body::{Body, BodyError};
pub use gate::Caps;
pub use memory::MemoryShare;
pub use pace::Pace;
pub use response::{Pieces, PiecesError, Response, ResponseBody, StreamError, StreamSender};

/// What a program does with what arrives.
pub trait Handler: Send + Sync + 'static {
    /// Takes one message. Called in the order of arrival for each connection, and not again for
    /// that connection until the future is done; the message counts as accepted (and is answered
    /// with 202) when it is, so it must then be in a queue of the program that will not lose it.
    fn message(&self, message: Received) -> impl Future<Output = Receipt> + Send;

    /// Answers one HTTP request. The next request on the same connection waits for the answer.
    fn request(&self, request: Request) -> impl Future<Output = Response> + Send;
}

/// A message from a bound sender.
#[derive(Debug)]
pub struct Received {
    /// Who sent it, bound to what its connection proved.
    pub from: BoundPid,
    /// The addressed actor, percent-decoded, for example `master`; may be empty.
    pub to: String,
    /// The name of the message, as a rule a protobuf type; may be empty.
    pub name: String,
    /// The body, complete.
    pub body: Bytes,
    /// What the connection proved.
    pub peer: Arc<PeerFacts>,
    /// The share of the server's memory that the body takes. Keep it as long as the body.
    pub memory: MemoryShare,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is in a queue of the program. Answered with 202, also if nobody knows its name.
    Accepted,
    /// The addressed actor does not exist. Answered with 404.
    NoSuchActor,
}

/// An HTTP request.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, as sent: begins with a slash, not decoded, without the query. For
    /// [`libprocess::route::route`].
    pub path: String,
    /// The query without the question mark, as sent. For [`libprocess::route::parse_query`].
    pub query: String,
    /// Path and query together, as sent, without scheme and host.
    pub target: String,
    /// The header fields. Of a field that was sent twice the last counts
    /// ([`libprocess::head::last`]).
    pub headers: HeaderMap,
    /// The body, read as far as somebody wants it.
    pub body: Body,
    /// What the connection proved.
    pub peer: Arc<PeerFacts>,
}

impl Request {
    /// The request with its whole body, at most `most` bytes, and the memory that this takes.
    pub async fn collect(
        self,
        most: usize,
    ) -> Result<(http::Request<Bytes>, MemoryShare), CollectError> {
        let target = http::Uri::try_from(self.target).map_err(|_| CollectError::Target)?;
        let (body, memory) = self.body.collect(most).await?;
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = target;
        *request.headers_mut() = self.headers;
        Ok((request, memory))
    }
}

/// Why a request is not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// Its body is not.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The path or query holds characters that none may hold.
    #[error("the request target is malformed")]
    Target,
}

/// Limits and deadlines of a server. A silent connection has no deadline: an idle link is
/// legitimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What one message or request may hold.
    pub limits: Limits,
    /// Bytes that the bodies of all connections may take together, until their messages are
    /// dropped by the program, and large heads until they are complete.
    pub memory: usize,
    /// Of these, the bytes that the bodies of one peer may take: of one identity, or of all
    /// connections without one from one IP address. More than that waits. At least as much as
    /// one body, or twice that for compressed ones.
    pub memory_per_peer: usize,
    /// How many connections there may be.
    pub caps: Caps,
    /// From the first byte of a TLS handshake to its end.
    pub handshake_deadline: Duration,
    /// From the first to the last byte of a head.
    pub head_deadline: Duration,
    /// From the first to the last byte of a body, without the time during which the program was
    /// not ready to take it.
    pub body_deadline: Duration,
    /// How fast a peer must take its answers.
    pub pace: Pace,
    /// Probes on silent connections.
    pub keep_alive: KeepAlive,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            memory: 512 * 1024 * 1024,
            memory_per_peer: 128 * 1024 * 1024,
            caps: Caps::default(),
            handshake_deadline: Duration::from_secs(10),
            head_deadline: Duration::from_secs(20),
            body_deadline: Duration::from_secs(120),
            pace: Pace::default(),
            keep_alive: KeepAlive::default(),
        }
    }
}

/// What a server is made of.
#[derive(Debug)]
pub struct ServerParts<H> {
    /// What protects connections.
    pub security: Security,
    /// What is served.
    pub handler: H,
    /// Limits and deadlines.
    pub settings: Settings,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Who is known to listen where: that of the program's messenger.
    pub listeners: Arc<Listeners>,
    /// Who has authenticated by SASL: that of the program's messenger.
    pub sessions: Arc<Sessions>,
}

/// A server that runs until it is stopped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

/// Opens a listening socket. Port 0 lets the system choose.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections that the kernel keeps until they are accepted; the kernel has its own upper bound.
const BACKLOG: u32 = 65_535;

impl Server {
    /// Serves `listener` on tasks of the current runtime.
    pub fn start<H: Handler>(listener: TcpListener, parts: ServerParts<H>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        prepare(&listener, parts.settings.keep_alive)?;
        let (stop, stopped) = watch::channel(false);
        let memory = Memory::new(parts.settings.memory, parts.settings.memory_per_peer);
        let shared = Arc::new(Shared { parts, memory, stopped });
        let accepting = tokio::spawn(accept::run(listener, shared));
        Ok(Self { address, stop, accepting })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections, lets each finish the request it is at, ends streams, and
    /// closes what is still open after `grace`.
    pub async fn stop(self, grace: Duration) {
        let Self { stop, mut accepting, .. } = self;
        stop.send_replace(true);
        if tokio::time::timeout(grace, &mut accepting).await.is_err() {
            // Dropping the task drops its set of connections, which ends them, and the listener:
            // whoever waits for this may bind the port again. How it ended is known.
            accepting.abort();
            let _ = accepting.await;
        }
    }
}

/// What all connections of a server share.
#[derive(Debug)]
struct Shared<H> {
    parts: ServerParts<H>,
    memory: Memory,
    stopped: watch::Receiver<bool>,
}

/// Returns when the server has been told to stop.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
