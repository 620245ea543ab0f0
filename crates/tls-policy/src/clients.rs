//! Where clients need a certificate.

use std::collections::BTreeMap;
use std::fmt;

/// What is asked of a client at one door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// Nothing: a certificate is not asked for.
    None,
    /// A certificate is asked for; who has none may come in without a name.
    Optional,
    /// Who presents no certificate is turned away at the door (not in the handshake, which serves
    /// all doors): HTTP answers 401 and says why, a message is dropped.
    Required,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

/// The door of libprocess messages: what components say to each other.
pub const MESSAGES: &str = "messages";

/// All doors that can be named: [`MESSAGES`], and the realms of HTTP routes.
pub const DOORS: &[&str] = &[
    MESSAGES,
    "mesos-agent-executor",
    "mesos-agent-readonly",
    "mesos-agent-readwrite",
    "mesos-master-readonly",
    "mesos-master-readwrite",
    "mesos-master-scheduler",
];

/// What is asked of clients, door by door, on the one port that has all of them. The handshake
/// asks for a certificate if any door does; one that does not verify fails the handshake whatever
/// door it was meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// At doors that are not in `doors`.
    pub otherwise: Demand,
    /// At these doors, each one of [`DOORS`].
    pub doors: BTreeMap<String, Demand>,
}

impl ClientCertificates {
    /// The same at all doors.
    #[must_use]
    pub fn everywhere(demand: Demand) -> Self {
        Self { otherwise: demand, doors: BTreeMap::new() }
    }

    /// What is asked at `door`.
    #[must_use]
    pub fn at(&self, door: &str) -> Demand {
        self.doors.get(door).copied().unwrap_or(self.otherwise)
    }

    /// Whether the handshake asks for a certificate.
    #[must_use]
    pub fn asked(&self) -> bool {
        DOORS.iter().any(|door| self.at(door) != Demand::None)
    }
}
