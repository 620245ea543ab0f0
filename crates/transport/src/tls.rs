//! What protects connections: mutual TLS with identities, or nothing when told so by name.

use std::fmt;
use std::sync::Arc;

use libprocess::sender::{Binding, PeerFacts};
use model::identity::{Identity, Kind, TrustDomain};
use openssl::error::ErrorStack;

mod contexts;
mod load;
mod names;

pub use contexts::Contexts;
pub(crate) use contexts::HandshakeError;
pub use load::LoadError;
pub use names::PeerNameError;

/// What protects the connections of a program.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS, both ends with an identity of the trust domain.
    Tls(Arc<Contexts>),
    /// Nothing: whoever reaches the port can read and send everything. Only when told by name.
    DangerPlaintext,
}

impl Security {
    /// How the senders of messages are bound.
    #[must_use]
    pub fn binding(&self) -> Binding {
        match self {
            Self::Tls(_) => Binding::Certificate,
            Self::DangerPlaintext => Binding::DangerSourceAddress,
        }
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::DangerPlaintext => "http",
        }
    }
}

/// The contents of the files behind TLS: what we present and whom we believe.
#[derive(Clone)]
pub struct TlsMaterial {
    /// Our own certificates with their keys. Several stand side by side (an ECDSA and an RSA
    /// one); the peer's abilities decide. May be empty for a client that has no identity.
    pub leaves: Vec<Leaf>,
    /// The cluster's roots, PEM, at least one. Nothing else is believed.
    pub roots_pem: Vec<u8>,
    /// The trust domain to which every identity must belong.
    pub trust_domain: TrustDomain,
    /// Which versions, suites and groups are offered.
    pub offer: Offer,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("leaves", &self.leaves.len())
            .field("trust_domain", &self.trust_domain)
            .field("offer", &self.offer)
            .finish_non_exhaustive()
    }
}

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Leaf {
    /// PEM: the leaf, then its intermediates.
    pub chain_pem: Vec<u8>,
    /// PEM: the private key of the leaf.
    pub key_pem: zeroize::Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").finish_non_exhaustive()
    }
}

/// What is offered in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether TLS 1.2 is offered.
    pub tls12: bool,
    /// Whether TLS 1.3 is offered.
    pub tls13: bool,
    /// The suites of TLS 1.2 as an OpenSSL cipher string.
    pub suites: String,
    /// Key-exchange groups, colon separated; `None`: the library's.
    pub groups: Option<String>,
}

impl Default for Offer {
    /// Both versions; forward secrecy and authenticated encryption only.
    fn default() -> Self {
        Self {
            tls12: true,
            tls13: true,
            suites: "ECDHE+AESGCM:ECDHE+CHACHA20".to_owned(),
            groups: None,
        }
    }
}

/// Why TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A certificate chain is not PEM, or holds no certificate.
    #[error("the certificate chain cannot be read")]
    Chain(#[source] ErrorStack),
    /// A certificate chain holds no certificate.
    #[error("the certificate chain is empty")]
    EmptyChain,
    /// A private key cannot be read.
    #[error("the private key cannot be read")]
    Key(#[source] ErrorStack),
    /// A private key is not that of its certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch(#[source] ErrorStack),
    /// Our own certificate carries no identity of the trust domain.
    #[error("our own certificate names no component of the trust domain")]
    OwnName(#[source] PeerNameError),
    /// The roots cannot be read.
    #[error("the root certificates cannot be read")]
    Roots(#[source] ErrorStack),
    /// There are no roots, so that nobody could be believed.
    #[error("there is no root certificate")]
    NoRoots,
    /// No version of TLS is offered.
    #[error("neither TLS 1.2 nor TLS 1.3 is offered")]
    NoVersion,
    /// The suites or groups select nothing, or the library refuses a setting.
    #[error("the TLS library refuses a setting")]
    Setting(#[source] ErrorStack),
}

/// Whom a client expects at the other end. Anybody else is left before a byte is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A component of this kind.
    Kind(Kind),
    /// This component.
    Identity(Identity),
    /// Any component of the trust domain.
    Member,
    /// A server of this DNS name or IP address, with or without an identity, whose certificate
    /// the cluster's roots vouch for.
    Host(String),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "a component of kind {kind}"),
            Self::Identity(identity) => write!(f, "{identity}"),
            Self::Member => f.write_str("a component of the trust domain"),
            Self::Host(host) => write!(f, "the host {host}"),
        }
    }
}

impl Expected {
    /// Whether a component with this identity is who is expected. The name of a host is not an
    /// identity: it is compared in the handshake.
    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Host(_) => false,
            Self::Identity(expected) => identity == expected,
            Self::Kind(kind) => identity.kind() == *kind,
            Self::Member => true,
        }
    }

    /// Whether the other end of a connection that was opened for `opened_for` is who is expected
    /// now. In plaintext nobody proves anything, and everybody is.
    pub(crate) fn admits(&self, facts: &PeerFacts, opened_for: &Self) -> bool {
        if !facts.encrypted {
            return true;
        }
        match (self, &facts.identity) {
            (Self::Host(_), _) => self == opened_for,
            (_, Some(identity)) => self.is(identity),
            (_, None) => false,
        }
    }
}
