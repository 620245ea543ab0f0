//! The name of a policy: which of a few levels of protection it reaches.

use std::fmt;

use crate::clients::{ClientCertificates, DOORS, Demand, MESSAGES};
use crate::policy::{Inbound, Outbound, PlaintextPeers, TlsPolicy, TlsRules};

/// How far a policy protects: a level, and whether peers may get around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posture {
    /// What is verified of peers that speak TLS.
    pub level: Level,
    /// Peers that speak no TLS are served and dialled all the same.
    pub downgrade: bool,
}

/// The levels, each with all that the ones before it protect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing is encrypted and nobody proves anything.
    Plaintext,
    /// We present a certificate and connections are encrypted; nobody is verified, or not
    /// everybody who would have to be.
    ServerCertificate,
    /// The peers that we connect to are verified.
    VerifiedOutgoing,
    /// So are those who connect to us, wherever something can be changed.
    ClientCertificatesRequired,
    /// Every component proves which one it is, both ways.
    Identities,
}

impl Level {
    /// All levels, the weakest first.
    pub const ALL: [Self; 5] = [
        Self::Plaintext,
        Self::ServerCertificate,
        Self::VerifiedOutgoing,
        Self::ClientCertificatesRequired,
        Self::Identities,
    ];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "plaintext",
            Self::ServerCertificate => "server certificate",
            Self::VerifiedOutgoing => "verified outgoing",
            Self::ClientCertificatesRequired => "client certificates required",
            Self::Identities => "identities",
        })
    }
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let downgrade = if self.downgrade { ", with downgrade" } else { "" };
        write!(f, "{}{downgrade}", self.level)
    }
}

impl TlsPolicy {
    /// Which posture this policy is.
    #[must_use]
    pub fn posture(&self) -> Posture {
        match self {
            Self::Plaintext(_) => Posture { level: Level::Plaintext, downgrade: false },
            Self::Tls(rules) => rules.posture(),
        }
    }
}

impl TlsRules {
    /// Which posture these rules are.
    #[must_use]
    pub fn posture(&self) -> Posture {
        let guarded = self.client_certificates.guards_changes();
        let level = match (&self.inbound, &self.outbound) {
            (Inbound::ComponentIdentity(_), Outbound::ComponentIdentity(_)) if guarded => {
                Level::Identities
            }
            (_, Outbound::Unverified(_)) => Level::ServerCertificate,
            (Inbound::AnyClient(_), _) => Level::VerifiedOutgoing,
            (Inbound::ClientCertificate(..) | Inbound::ComponentIdentity(_), _) if guarded => {
                Level::ClientCertificatesRequired
            }
            (Inbound::ClientCertificate(..) | Inbound::ComponentIdentity(_), _) => {
                Level::VerifiedOutgoing
            }
        };
        let downgrade = matches!(self.plaintext_peers, PlaintextPeers::Accepted(_));
        Posture { level, downgrade }
    }
}

impl ClientCertificates {
    /// Whether nobody changes anything without a certificate: the doors that only show something
    /// may be open, and that of executors, who carry a token.
    #[must_use]
    pub fn guards_changes(&self) -> bool {
        let changes = |door: &str| {
            door == MESSAGES || door.ends_with("-readwrite") || door.ends_with("-scheduler")
        };
        DOORS.iter().all(|door| !changes(door) || self.at(door) == Demand::Required)
    }
}
