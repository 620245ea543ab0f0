//! What protects connections: TLS as a policy says, or nothing when told so by name.
//!
//! Read first: [`Security::load`] (from a policy and its files), [`Contexts`] (handshakes, change
//! of certificates, counts), [`Expected`] (whom a client wants at the other end).

use std::fmt;
use std::sync::Arc;

use libprocess::sender::{Binding, PeerFacts};
use model::identity::{Identity, Kind, TrustDomain};
use openssl::error::ErrorStack;
use tls_policy::{ClientCertificates, Demand, MESSAGES};

use crate::sessions::Certificates;

mod anchors;
mod carried;
mod context;
mod contexts;
mod counters;
mod dialler;
mod exporter;
mod failure;
mod files;
mod inputs;
mod load;
mod names;
mod notice;
mod passphrase;
mod recheck;
mod reverse;

pub use anchors::{MOST_ENTRIES, RootsError};
pub use contexts::{Contexts, Reloaded};
pub use counters::TlsCounters;
pub use failure::Failure;
pub(crate) use failure::HandshakeError;
pub use files::ReadError;
pub use load::LoadError;
pub use names::PeerNameError;
pub use notice::LoadNotice;
pub use passphrase::PassphraseError;

/// What protects the connections of a program.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS, as the rules of the contexts say.
    Tls(Arc<Contexts>),
    /// Nothing: whoever reaches the port can read and send everything. Only when told by name.
    DangerPlaintext,
}

impl Security {
    /// How the senders of messages on a connection with these facts are bound.
    #[must_use]
    pub fn binding(&self, facts: &PeerFacts) -> Binding {
        match self {
            Self::Tls(contexts) if facts.encrypted => contexts.binding(),
            // Plain connections of a port that serves both prove nothing.
            Self::Tls(_) | Self::DangerPlaintext => Binding::DangerSourceAddress,
        }
    }

    /// Where clients need a certificate; nowhere in plaintext.
    #[must_use]
    pub fn client_certificates(&self) -> ClientCertificates {
        match self {
            Self::Tls(contexts) => contexts.rules().client_certificates.clone(),
            Self::DangerPlaintext => ClientCertificates::everywhere(Demand::None),
        }
    }

    /// Whether whoever sends messages is asked for a certificate.
    pub(crate) fn asks_for_certificates(&self) -> Certificates {
        let demand = match self {
            Self::Tls(contexts) => contexts.rules().client_certificates.at(MESSAGES),
            Self::DangerPlaintext => Demand::None,
        };
        match demand {
            Demand::None => Certificates::NotAsked,
            Demand::Optional | Demand::Required => Certificates::Asked,
        }
    }

    /// The contexts, if connections are encrypted.
    #[must_use]
    pub fn contexts(&self) -> Option<&Arc<Contexts>> {
        match self {
            Self::Tls(contexts) => Some(contexts),
            Self::DangerPlaintext => None,
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
    /// Whether TLS 1.0 is offered; lowers the security level of the library.
    pub tls10: bool,
    /// Whether TLS 1.1 is offered; likewise.
    pub tls11: bool,
    /// Whether TLS 1.2 is offered.
    pub tls12: bool,
    /// Whether TLS 1.3 is offered.
    pub tls13: bool,
    /// The suites of TLS 1.2 and older as an OpenSSL cipher string.
    pub suites: String,
    /// Key-exchange groups, colon separated; `None`: a hybrid one where the library has it, then
    /// X25519 and the curves of NIST.
    pub groups: Option<String>,
}

impl Default for Offer {
    /// TLS 1.2 and 1.3; forward secrecy and authenticated encryption only.
    fn default() -> Self {
        Self {
            tls10: false,
            tls11: false,
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
    /// A private key is encrypted, and there is no passphrase for it, or a wrong one.
    #[error("the private key is encrypted, and the passphrase is missing or wrong")]
    Encrypted(#[source] ErrorStack),
    /// The groups select nothing.
    #[error("none of the key-exchange groups exists")]
    Groups,
    /// A private key cannot be read.
    #[error("the private key cannot be read")]
    Key(#[source] ErrorStack),
    /// A private key is not that of its certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch(#[source] ErrorStack),
    /// The system gives no memory.
    #[error("no file in memory can be made")]
    Memory(#[source] std::io::Error),
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
    #[error("no version of TLS is offered")]
    NoVersion,
    /// Two leaves have keys of the same kind: only one of them could be presented.
    #[error("two certificates have keys of the same kind, of which only one can be presented")]
    SameKind,
    /// The roots of the operating system cannot be had.
    #[error("the certificates of this system's authorities cannot be read")]
    System(#[source] RootsError),
    /// The suites select nothing.
    #[error("none of the cipher suites can be used")]
    Suites(#[source] ErrorStack),
    /// The library refuses a setting.
    #[error("the TLS library refuses a setting")]
    Setting(#[source] ErrorStack),
}

/// Whom a client expects at the other end. Anybody else is left before a byte is sent.
///
/// Where certificates carry no identities (the original's TLS) a peer whose chain and name the
/// policy accepts is whatever component was expected: nothing else can be proved there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    pub(crate) fn is(&self, identity: &Identity) -> bool {
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
            // A component was dialled and proved no identity: there are none here.
            (_, None) => !matches!(opened_for, Self::Host(_)),
        }
    }
}

/// What the TLS library says of itself: `OpenSSL 3.5.1 1 Jul 2025`.
#[must_use]
pub fn library_version() -> &'static str {
    openssl::version::version()
}
