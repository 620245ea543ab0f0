//! Opening a connection to somebody who is expected.

use std::net::SocketAddr;
use std::time::Duration;

use libprocess::sender::PeerFacts;
use tls_policy::{Outbound, PlaintextPeers};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::seldom;
use crate::sessions::fresh_connection;
use crate::stream::{Enduring, KeepAlive, Stream, prepare};
use crate::tls::{Contexts, Expected, HandshakeError, Security};

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host has no address.
    #[error("cannot find the address of `{host}`")]
    Resolve {
        /// The name that was looked up.
        host: String,
        /// What the resolver said; `None`: it found nothing.
        #[source]
        source: Option<std::io::Error>,
    },
    /// Nobody answers at the address.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address that was dialled.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The handshake failed or the other end is not who was expected.
    #[error("cannot trust {address}: {reason}")]
    Untrusted {
        /// The address that was dialled.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The connection was not open in time.
    #[error("no connection to {address} within {deadline:?}")]
    Deadline {
        /// The address that was dialled.
        address: SocketAddr,
        /// The time that was allowed.
        deadline: Duration,
    },
}

/// Who is dialled, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial<'a> {
    pub(crate) security: &'a Security,
    pub(crate) address: SocketAddr,
    /// The host name that was dialled, if one is known.
    pub(crate) name: Option<&'a str>,
    pub(crate) expected: &'a Expected,
    pub(crate) keep_alive: KeepAlive,
    /// For all of it.
    pub(crate) deadline: Duration,
}

/// An attempt that failed.
enum Failed {
    /// The peer showed that it speaks no TLS.
    NoTls(DialError),
    Finally(DialError),
}

impl Dial<'_> {
    /// Opens a connection; on success the other end is who was expected.
    pub(crate) async fn open(self) -> Result<(Stream, PeerFacts), DialError> {
        self.in_time(async {
            self.secured().await.map_err(|(Failed::NoTls(error) | Failed::Finally(error))| error)
        })
        .await
    }

    /// The same, but goes on in plaintext with a peer that showed that it speaks no TLS, if the
    /// policy accepts such peers. A peer that showed anything else, or nothing, is left.
    pub(crate) async fn open_or_downgrade(self) -> Result<(Stream, PeerFacts), DialError> {
        self.in_time(async {
            match (self.secured().await, self.security) {
                (Ok(opened), _) => Ok(opened),
                (Err(Failed::NoTls(_)), Security::Tls(contexts)) if may_downgrade(contexts) => {
                    let address = self.address;
                    seldom!(info, %address, "a peer speaks no TLS: dialled in plaintext");
                    let socket = self.connected().await?;
                    contexts.counters().downgrade_dialled();
                    Ok((Stream::Plain(socket), PeerFacts::plaintext(fresh_connection(), address)))
                }
                (Err(Failed::NoTls(error) | Failed::Finally(error)), _) => Err(error),
            }
        })
        .await
    }

    async fn in_time<T>(
        self,
        opening: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let Self { address, deadline, .. } = self;
        let outcome = timeout(deadline, opening).await;
        outcome.unwrap_or(Err(DialError::Deadline { address, deadline }))
    }

    async fn connected(self) -> Result<Enduring, DialError> {
        let address = self.address;
        let refused = |source| DialError::Connect { address, source };
        let socket = TcpStream::connect(address).await.map_err(refused)?;
        prepare(&socket, self.keep_alive).map_err(refused)?;
        Ok(Enduring::new(socket))
    }

    async fn secured(self) -> Result<(Stream, PeerFacts), Failed> {
        let Self { address, name, expected, .. } = self;
        let failed = |error: HandshakeError| {
            let reason = error.line();
            let dial_error = DialError::Untrusted { address, reason };
            match error {
                HandshakeError::SpeaksNoTls => Failed::NoTls(dial_error),
                _ => Failed::Finally(dial_error),
            }
        };
        match self.security {
            Security::DangerPlaintext => {
                let socket = self.connected().await.map_err(Failed::Finally)?;
                Ok((Stream::Plain(socket), PeerFacts::plaintext(fresh_connection(), address)))
            }
            Security::Tls(contexts) => {
                contexts.may_dial(name, expected).map_err(failed)?;
                let socket = self.connected().await.map_err(Failed::Finally)?;
                contexts.connect(socket, address, name, expected).await.map_err(failed)
            }
        }
    }
}

/// Whether plaintext will do for peers that speak no TLS. Where components prove their identities
/// it never will, whatever else the rules say.
fn may_downgrade(contexts: &Contexts) -> bool {
    let rules = contexts.rules();
    matches!(rules.plaintext_peers, PlaintextPeers::Accepted(_))
        && !matches!(rules.outbound, Outbound::ComponentIdentity(_))
}
