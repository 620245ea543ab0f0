//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use libprocess::sender::PeerFacts;
use tls_policy::{Inbound, PlaintextPeers};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::Connection;
use super::gate::{Admission, Doing, Gate, Ticket};
use super::unanswered::Unanswered;
use super::{Handler, Shared, told_to_stop};
use crate::seldom;
use crate::sessions::fresh_connection;
use crate::stream::{Enduring, Stream};
use crate::tls::{Contexts, Failure, Security};

/// How long to wait when the system has no descriptor or memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the server is stopped, then waits for the connections to end. What one
/// connection does costs this loop nothing.
pub(super) async fn run<H: Handler>(listener: TcpListener, shared: Arc<Shared<H>>) {
    let gate = Gate::new(shared.parts.settings.caps);
    let mut connections = JoinSet::new();
    let mut stopped = shared.stopped.clone();
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) => {
                    let counters = &shared.parts.counters;
                    counters.connections_accepted.increment();
                    let tls = matches!(shared.parts.security, Security::Tls(_));
                    let socket = Unanswered::new(socket, tls);
                    match gate.admit(address.ip()) {
                        Admission::Full => {
                            counters.connections_evicted.increment();
                            seldom!(warn, %address, "too many connections: this one is closed");
                            drop(socket);
                        }
                        Admission::Admitted { ticket, evicted } => {
                            counters.connections_evicted.add(evicted);
                            connections.spawn(attend(socket, address, Arc::clone(&shared), ticket));
                        }
                    }
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    let made_room = gate.evict_one();
                    seldom!(warn, %error, made_room, "cannot accept a connection");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

/// Errors that `accept` passes on from a connection that died before it was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
    )
}

/// One connection, from its first byte to its end. The task is small: what opens the connection
/// and what serves it are on the heap, one after the other, so that an idle connection has the
/// size of neither a handshake nor an answer.
fn attend<H: Handler>(
    socket: Unanswered,
    address: SocketAddr,
    shared: Arc<Shared<H>>,
    ticket: Ticket,
) -> impl Future<Output = ()> + Send {
    let opened = Box::pin(open(socket, address, shared, ticket));
    async move {
        if let Some(connection) = opened.await {
            connection.run().await;
        }
    }
}

/// Prepares and secures a connection, unless it has to make room or the server is stopped.
async fn open<H: Handler>(
    socket: Unanswered,
    address: SocketAddr,
    shared: Arc<Shared<H>>,
    mut ticket: Ticket,
) -> Option<Box<Connection<H>>> {
    let evicted = ticket.end();
    let mut stopped = shared.stopped.clone();
    let secured = async {
        match &shared.parts.security {
            Security::DangerPlaintext => {
                let socket = Enduring::new(socket.answer()?);
                Some((Stream::Plain(socket), PeerFacts::plaintext(fresh_connection(), address)))
            }
            Security::Tls(contexts) => {
                secure(socket, address, contexts, &shared, &mut ticket).await
            }
        }
    };
    let (stream, facts) = tokio::select! {
        secured = secured => secured?,
        () = evicted.notified() => return None,
        () = told_to_stop(&mut stopped) => return None,
    };
    Some(Box::new(Connection::new(stream, facts, shared, ticket)))
}

/// What the first byte of a connection shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// A TLS handshake, or a hello of SSL 2, which a handshake refuses.
    Tls,
    /// Anything else, as a rule HTTP.
    Plain,
}

impl Opening {
    /// One byte decides, so that nothing is guessed from bytes that have not come yet. HTTP has
    /// neither a control character nor a byte above 127 where it begins.
    fn of(first: u8) -> Self {
        const HANDSHAKE_RECORD: u8 = 0x16;
        const SSL2_LENGTH: u8 = 0x80;
        let tls = first == HANDSHAKE_RECORD || first & SSL2_LENGTH != 0;
        if tls { Self::Tls } else { Self::Plain }
    }
}

/// Waits for the first byte and secures the connection as it shows.
async fn secure<H: Handler>(
    socket: Unanswered,
    address: SocketAddr,
    contexts: &Contexts,
    shared: &Shared<H>,
    ticket: &mut Ticket,
) -> Option<(Stream, PeerFacts)> {
    // Silence is legitimate; the deadline runs from the first byte.
    let first = socket.first().await?;
    match Opening::of(first) {
        Opening::Tls => handshake(socket, address, contexts, shared, ticket).await,
        Opening::Plain if accepts_plaintext(contexts) => {
            contexts.counters().downgrade_accepted();
            seldom!(info, %address, "a peer speaks no TLS: served in plaintext");
            Some((
                Stream::Plain(Enduring::new(socket.answer()?)),
                PeerFacts::plaintext(fresh_connection(), address),
            ))
        }
        Opening::Plain => {
            contexts.counters().failed(Failure::NoTls);
            shared.parts.counters.handshake_failures.increment();
            seldom!(info, %address, "a connection does not speak TLS, as it must on this port");
            let deadline = shared.parts.settings.handshake_deadline;
            // Who does not read the explanation is not waited for.
            let _ = timeout(deadline, explain(socket.answer()?, first)).await;
            None
        }
    }
}

/// Whether whoever speaks no TLS is served all the same. Where components prove their identities
/// nobody is, whatever else the rules say.
fn accepts_plaintext(contexts: &Contexts) -> bool {
    let rules = contexts.rules();
    matches!(rules.plaintext_peers, PlaintextPeers::Accepted(_))
        && !matches!(rules.inbound, Inbound::ComponentIdentity(_))
}

/// Waits for its turn and makes the handshake.
async fn handshake<H: Handler>(
    socket: Unanswered,
    address: SocketAddr,
    contexts: &Contexts,
    shared: &Shared<H>,
    ticket: &mut Ticket,
) -> Option<(Stream, PeerFacts)> {
    let counters = &shared.parts.counters;
    let late = || {
        counters.handshake_failures.increment();
        counters.deadlines_missed.increment();
        contexts.counters().failed(Failure::Deadline);
    };
    let deadline = shared.parts.settings.handshake_deadline;
    let patience = shared.parts.settings.caps.handshake_patience.min(deadline);
    let (turn, evicted) = ticket.handshake().ok()?;
    counters.connections_evicted.add(evicted);
    match timeout(deadline, turn).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return None,
        Err(_) => {
            late();
            seldom!(warn, %address, "too many TLS handshakes at once: one waited too long");
            return None;
        }
    }
    let mut accepting = pin!(contexts.accept(Enduring::new(socket.answer()?), address));
    let outcome = match timeout(patience, &mut accepting).await {
        Ok(outcome) => Ok(outcome),
        Err(_) if ticket.overdue().is_err() => {
            late();
            seldom!(warn, %address, "a slow TLS handshake was ended because others wait");
            return None;
        }
        Err(_) => timeout(deadline - patience, &mut accepting).await,
    };
    ticket.now(Doing::IdleUnproven).ok()?;
    match outcome {
        Ok(Ok(secured)) => Some(secured),
        Ok(Err(error)) => {
            counters.handshake_failures.increment();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            seldom!(warn, %address, %error, source, "a TLS handshake failed");
            None
        }
        Err(_) => {
            late();
            seldom!(warn, %address, "a TLS handshake was not finished in time");
            None
        }
    }
}

/// Tells somebody who speaks plain HTTP what is wrong. Nothing that was sent is looked at.
async fn explain(mut socket: TcpStream, first: u8) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const TEXT: &str = "This port speaks TLS only: use https.";
    if !first.is_ascii_uppercase() {
        return Ok(());
    }
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{TEXT}",
        TEXT.len()
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await?;
    // Closing with bytes unread would reset the connection before the answer is read.
    let mut discarded = vec![0; 4096];
    while socket.read(&mut discarded).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::mem::size_of_val;

    use super::super::{Receipt, Received, Request, Response, ServerParts, Settings, bind};
    use super::*;

    struct Nobody;

    impl Handler for Nobody {
        async fn message(&self, _: Received) -> Receipt {
            Receipt::NoSuchActor
        }

        async fn request(&self, _: Request) -> Response {
            Response::new(http::StatusCode::NOT_FOUND)
        }
    }

    #[tokio::test]
    async fn an_idle_tls_connection_is_a_small_task() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, address) = listener.accept().await.unwrap();
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let parts = ServerParts {
            security: Security::DangerPlaintext,
            handler: Nobody,
            settings: Settings::default(),
            counters: Arc::default(),
            listeners: Arc::default(),
            sessions: Arc::default(),
        };
        let memory = super::super::Memory::new(1, 1);
        let shared = Arc::new(Shared { parts, memory, stopped });
        let Admission::Admitted { ticket, .. } = Gate::new(Default::default()).admit(address.ip())
        else {
            panic!("full")
        };
        let task = attend(Unanswered::new(socket, true), address, shared, ticket);
        drop(client);
        assert!(size_of_val(&task) <= 448, "{}", size_of_val(&task));
        // 512 outside of tests.
        assert!(size_of::<Connection<Nobody>>() <= 528, "{}", size_of::<Connection<Nobody>>());
    }
}
