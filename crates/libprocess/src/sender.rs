//! Who sent a message: from a claim in a header to a sender that the connection vouches for.

use std::net::SocketAddr;

use model::identity::{Identity, Kind};

use crate::upid::Upid;

/// What a connection proves about its other end. Filled by the `transport` crate alone, once,
/// after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// The socket's remote address.
    pub address: SocketAddr,
    /// The identity in the peer's verified certificate. `None` if it presented no certificate
    /// or the connection is not encrypted.
    pub identity: Option<Identity>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// The sender that a message's header names: anybody can write anything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedPid(pub Upid);

/// How claims are bound to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The peer must have presented a certificate with an identity of this cluster.
    Certificate,
    /// Only for clusters that were told, by name, to run in plaintext: the claimed address must
    /// have the connection's source address. Proves next to nothing.
    DangerSourceAddress,
}

/// A sender that the connection vouches for. Only [`bind`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPid {
    upid: Upid,
    identity: Option<Identity>,
}

impl BoundPid {
    /// Where the sender listens.
    #[must_use]
    pub fn upid(&self) -> &Upid {
        &self.upid
    }

    /// The identity in the sender's certificate; `None` only under
    /// [`Binding::DangerSourceAddress`].
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether this sender may speak as a component of `kind`: its certificate says so, or the
    /// cluster runs in plaintext and nobody proves anything.
    #[must_use]
    pub fn may_speak_as(&self, kind: Kind) -> bool {
        self.identity.as_ref().is_none_or(|i| i.kind() == kind)
    }
}

/// Why a claim does not bind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The rule wants a certificate and the peer presented none.
    #[error("{claimed} was claimed over a connection without a certificate")]
    NoCertificate {
        /// The claim.
        claimed: Upid,
    },
    /// The claimed address is not where the connection came from.
    #[error("{claimed} was claimed over a connection from {actual}")]
    OtherAddress {
        /// The claim.
        claimed: Upid,
        /// Where the connection came from.
        actual: SocketAddr,
    },
}

/// Binds a claimed sender to what its connection proved.
pub fn bind(claimed: ClaimedPid, peer: &PeerFacts, rule: Binding) -> Result<BoundPid, BindError> {
    let ClaimedPid(upid) = claimed;
    match rule {
        Binding::Certificate => match &peer.identity {
            Some(identity) => Ok(BoundPid { upid, identity: Some(identity.clone()) }),
            None => Err(BindError::NoCertificate { claimed: upid }),
        },
        Binding::DangerSourceAddress => {
            if peer.address.ip() == std::net::IpAddr::V4(*upid.address.ip()) {
                Ok(BoundPid { upid, identity: peer.identity.clone() })
            } else {
                Err(BindError::OtherAddress { claimed: upid, actual: peer.address })
            }
        }
    }
}
