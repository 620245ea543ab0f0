//! Opening a connection to somebody who is expected.

use std::net::SocketAddr;
use std::time::Duration;

use libprocess::sender::PeerFacts;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stream::{Enduring, KeepAlive, Stream, prepare};
use crate::tls::{Expected, HandshakeError, Security};

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

/// Opens a connection; on success the other end is who was expected. `name` is the host name that
/// was dialled, if one is known.
pub(crate) async fn dial(
    security: &Security,
    address: SocketAddr,
    name: Option<&str>,
    expected: &Expected,
    keep_alive: KeepAlive,
    deadline: Duration,
) -> Result<(Stream, PeerFacts), DialError> {
    let untrusted = |error: HandshakeError| DialError::Untrusted { address, reason: error.line() };
    let opening = async {
        if let Security::Tls(contexts) = security {
            contexts.may_dial(name, expected).map_err(untrusted)?;
        }
        let refused = |source| DialError::Connect { address, source };
        let socket = TcpStream::connect(address).await.map_err(refused)?;
        prepare(&socket, keep_alive).map_err(refused)?;
        let socket = Enduring::new(socket);
        match security {
            Security::DangerPlaintext => Ok((Stream::Plain(socket), PeerFacts::plaintext(address))),
            Security::Tls(contexts) => {
                contexts.connect(socket, address, name, expected).await.map_err(untrusted)
            }
        }
    };
    match timeout(deadline, opening).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DialError::Deadline { address, deadline }),
    }
}
