//! The rules of a client that has no files of its own: an executor, which runs as another user
//! than the agent that starts it and gets by value what the agent has in files.

use std::fmt;

use model::identity::Identity;

use crate::policy::{NameCheck, Suites, Versions};

/// Whom a client without files believes, and what it speaks. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTrust {
    /// How it recognizes the server.
    pub recognize: Recognize,
    /// The versions that it offers: those of the server.
    pub versions: Versions,
    /// The suites of TLS 1.2 that it offers: likewise.
    pub suites: Suites,
    /// Key-exchange groups, colon separated in order of preference; `None`: the library's.
    pub groups: Option<String>,
}

impl ServerTrust {
    /// The server speaks plaintext. What is offered counts should it speak TLS one day.
    #[must_use]
    pub fn plaintext() -> Self {
        Self {
            recognize: Recognize::Plaintext,
            versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
            suites: Suites::Compatible,
            groups: None,
        }
    }
}

/// How a client recognizes its server.
#[derive(Clone, PartialEq, Eq)]
pub enum Recognize {
    /// The chain verifies, and the name fits.
    Chain {
        /// The roots, PEM; `None`: those of the operating system.
        roots: Option<Vec<u8>>,
        /// How many certificates may stand above the leaf.
        depth: u32,
        /// How the name is compared.
        names: NameCheck,
    },
    /// The chain verifies, and the certificate carries this identity.
    Identity {
        /// The roots, PEM.
        roots: Vec<u8>,
        /// The identity.
        identity: Identity,
    },
    /// Not at all, and it speaks plaintext. Should it speak TLS one day, any certificate will do.
    Plaintext,
    /// Not at all: any certificate will do.
    Unverified,
}

impl fmt::Debug for Recognize {
    /// Without the certificates, which are long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { roots, depth, names } => f
                .debug_struct("Chain")
                .field("system_roots", &roots.is_none())
                .field("depth", depth)
                .field("names", names)
                .finish_non_exhaustive(),
            Self::Identity { identity, .. } => {
                f.debug_struct("Identity").field("identity", identity).finish_non_exhaustive()
            }
            Self::Plaintext => f.write_str("Plaintext"),
            Self::Unverified => f.write_str("Unverified"),
        }
    }
}
