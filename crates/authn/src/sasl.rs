//! SASL (RFC 4422) as far as libprocess carries it (`authentication.md` §2–9).
//!
//! An exchange has two halves, each a small state machine that knows nothing of messages:
//! [`ServerExchange`] and [`ClientExchange`]. [`Authenticator`] and [`Authenticatee`] begin them;
//! [`offer`] makes those of this crate from settings. What carries them in messages are two more
//! machines, [`session::Session`] on the server and [`attempt::Attempt`] on the client, and
//! [`retry::Retries`] decides when a client tries again.

use std::fmt;

mod cram_md5;
mod external;
mod plain;
mod scram;
mod text;

#[cfg(test)]
mod authn_mechanisms;

pub mod attempt;
pub mod message;
pub mod offer;
pub mod retry;
pub mod session;

use zeroize::Zeroizing;

use crate::Cost;
use crate::proved::{Certified, Proved};

/// What the connection of an exchange is worth. On the server's side it is the connection on
/// which the client's messages come, on the client's side the one that it dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its `tls-exporter` value (RFC 9266); `None` where there is none that is unique to the
    /// connection: in plaintext, and on TLS 1.2 without extended master secret.
    pub binding: Option<[u8; 32]>,
    /// What the other end's *verified* certificate says. A server takes EXTERNAL from it; a
    /// client sends a secret as it is (PLAIN) only where there is one, since otherwise it does
    /// not know to whom.
    pub certificate: Option<Certified>,
}

/// Random bytes for one exchange, made by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 24]);

/// A key that both halves know after an exchange, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<[u8; 32]>);

impl SessionKey {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for whoever computes with them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// One mechanism, on the side that asks who it is. Shared by all exchanges.
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Its registered name, such as `SCRAM-SHA-256`.
    fn mechanism(&self) -> &str;

    /// Whether it may be offered to a client on `channel`.
    fn is_offered(&self, channel: &Channel) -> bool;

    /// What a step may cost.
    fn cost(&self) -> Cost;

    /// Begins an exchange with a client that chose this mechanism among `offered`.
    fn begin(&self, channel: &Channel, offered: &[String], nonce: Nonce)
    -> Box<dyn ServerExchange>;
}

/// The server's half of one exchange.
pub trait ServerExchange: fmt::Debug + Send {
    /// Takes what the client sent: first the data of its start message, empty if there was none.
    /// Not called again after anything but [`ServerStep::Continue`].
    fn step(&mut self, input: &[u8]) -> ServerStep;
}

/// What the server answers.
///
/// Whatever tells the client whether it is right has a word of its own here, so that it can be
/// withheld: from whoever has guessed too often, nobody is to learn that ([`session::Verdict`]).
#[derive(Debug)]
pub enum ServerStep {
    /// Send this and wait for more. Nothing in it depends on whether what the client has shown so
    /// far is right, nor does the mechanism go on with this only if it is.
    Continue(Vec<u8>),
    /// What the client has shown is right. Send this, which tells it so, and wait for more.
    Confirm {
        /// Who it has proved to be.
        principal: String,
        /// What it is told, such as the server's own proof.
        data: Vec<u8>,
    },
    /// The client is who it says.
    Completed(Accepted),
    /// Unknown principal or wrong proof: the client may not try again with the same credential.
    Refused(Refused),
    /// The client does not follow the mechanism, or the mechanism cannot judge; the text is for
    /// the client and for the log.
    Malformed(String),
}

/// A completed exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Who it is.
    pub proved: Proved,
    /// The key that came out of it, with mechanisms that make one.
    pub key: Option<SessionKey>,
}

/// A failed exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who the client said that it is, if it came to that; from outside.
    pub claimed: Option<String>,
    /// Why, for the log; the client learns nothing.
    pub reason: String,
}

/// One mechanism, on the side that proves who it is. Shared by all exchanges.
pub trait Authenticatee: fmt::Debug + Send + Sync {
    /// Its registered name.
    fn mechanism(&self) -> &str;

    /// Whether it may be used on `channel`.
    fn is_usable(&self, channel: &Channel) -> bool;

    /// What a step may cost.
    fn cost(&self) -> Cost;

    /// Begins an exchange with a server that offered `offered`.
    fn begin(&self, channel: &Channel, offered: &[String], nonce: Nonce)
    -> Box<dyn ClientExchange>;
}

/// The client's half of one exchange.
pub trait ClientExchange: fmt::Debug + Send {
    /// What goes with the start message; may be empty. Fails if what the server offers does not
    /// fit the connection, so that somebody must be in between.
    fn start(&mut self) -> Result<Vec<u8>, ClientError>;

    /// Answers what the server sent.
    fn step(&mut self, input: &[u8]) -> Result<Vec<u8>, ClientError>;

    /// Whether the client has said what the server can judge it by. Before that nobody who follows
    /// the mechanism can say that its credential is wrong, upon which agents end.
    fn has_shown_its_proof(&self) -> bool;

    /// The server says that it is satisfied. Fails if the server owes a proof of its own.
    fn completed(&mut self) -> Result<ServerProof, ClientError>;
}

/// What the client has of a completed exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerProof {
    /// Whether the server has proved that it knows the secret too.
    pub mutual: bool,
    /// The key that came out of it, with mechanisms that make one.
    pub key: Option<SessionKey>,
}

/// Why a client gives an exchange up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server does not follow the mechanism.
    #[error("the server does not follow {mechanism}: {what}")]
    Malformed {
        /// The mechanism.
        mechanism: &'static str,
        /// What was wrong.
        what: String,
    },
    /// The server offers what this connection does not have.
    #[error(
        "the server offers {0}, but this connection has no channel binding: somebody is in \
             between"
    )]
    Downgraded(&'static str),
    /// The server could not prove that it knows the secret: it is somebody else, or somebody is
    /// in between.
    #[error("the server has not proved who it is: {0}")]
    Unproven(String),
}
