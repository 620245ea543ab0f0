//! Who sent a message: from a claim in a header to a sender that the connection vouches for.

use std::net::{IpAddr, SocketAddr};

use model::identity::{Identity, Kind};

use crate::upid::Upid;

/// What a connection proves about its other end. Filled by the `transport` crate alone, once,
/// after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// The socket's remote address.
    pub address: SocketAddr,
    /// The identity in the peer's verified certificate. `None` if it presented no certificate
    /// or the connection is not encrypted, or if certificates carry no identities here.
    pub identity: Option<Identity>,
    /// The principal that the rules make of the peer's verified certificate. `None` if it
    /// presented none, or one of whose names no rule fits.
    pub principal: Option<String>,
    /// Whether the peer presented a certificate and it was verified.
    pub certified: bool,
    /// The IP addresses that the verified certificate vouches for: its IP SANs.
    pub vouched_addresses: Vec<IpAddr>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl PeerFacts {
    /// What a plaintext connection proves: where it comes from.
    #[must_use]
    pub fn plaintext(address: SocketAddr) -> Self {
        Self {
            address,
            identity: None,
            principal: None,
            certified: false,
            vouched_addresses: Vec::new(),
            encrypted: false,
        }
    }
}

/// The sender that a message's header names: anybody can write anything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedPid(pub Upid);

/// How claims are bound to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The peer must have presented a certificate with an identity of this cluster. The claimed
    /// address must be one that the certificate vouches for, or the one that the connection
    /// comes from; and nobody else may be known to listen there.
    Certificate,
    /// Only for clusters whose certificates carry no identities (the original's TLS): the peer
    /// must have presented a certificate that verified, and the claimed address must be one that
    /// it vouches for, or the one that the connection comes from.
    AnyCertificate,
    /// Only for clusters that were told, by name, to run in plaintext or to verify nobody: the
    /// claimed address must have the connection's source address. Proves next to nothing.
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

    /// The identity in the sender's certificate; never `None` under [`Binding::Certificate`].
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether this sender may speak as a component of `kind`: its certificate says so, or nobody
    /// proves here what kind of component it is.
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
    /// The claimed address is neither where the connection came from nor one that the
    /// certificate vouches for.
    #[error("{claimed} was claimed over a connection from {actual}")]
    OtherAddress {
        /// The claim.
        claimed: Upid,
        /// Where the connection came from.
        actual: SocketAddr,
    },
    /// Another component is known to listen at the claimed address.
    #[error("{claimed} was claimed by {claimant}, but {listener} listens there")]
    OtherListener {
        /// The claim.
        claimed: Upid,
        /// Who claimed it.
        claimant: Box<Identity>,
        /// Who really listens there.
        listener: Box<Identity>,
    },
}

/// Binds a claimed sender to what its connection proved.
///
/// `listener` is who proved, on a connection that *we* opened to the claimed address, to listen
/// there; `None` if no such connection is open. Several components of one machine share its IP
/// address, so that their certificates alone would let one claim the port of another.
pub fn bind(
    claimed: ClaimedPid,
    peer: &PeerFacts,
    rule: Binding,
    listener: Option<&Identity>,
) -> Result<BoundPid, BindError> {
    let ClaimedPid(upid) = claimed;
    let ip = IpAddr::V4(*upid.address.ip());
    let from_there = peer.address.ip().to_canonical() == ip;
    match (rule, &peer.identity) {
        (Binding::Certificate, None) => Err(BindError::NoCertificate { claimed: upid }),
        (Binding::Certificate, Some(claimant)) => {
            if !from_there && !peer.vouched_addresses.contains(&ip) {
                return Err(BindError::OtherAddress { claimed: upid, actual: peer.address });
            }
            if let Some(listener) = listener.filter(|listener| *listener != claimant) {
                return Err(BindError::OtherListener {
                    claimed: upid,
                    claimant: Box::new(claimant.clone()),
                    listener: Box::new(listener.clone()),
                });
            }
            Ok(BoundPid { upid, identity: Some(claimant.clone()) })
        }
        (Binding::AnyCertificate, identity) => {
            if !peer.certified {
                Err(BindError::NoCertificate { claimed: upid })
            } else if from_there || peer.vouched_addresses.contains(&ip) {
                Ok(BoundPid { upid, identity: identity.clone() })
            } else {
                Err(BindError::OtherAddress { claimed: upid, actual: peer.address })
            }
        }
        (Binding::DangerSourceAddress, identity) => {
            if from_there {
                Ok(BoundPid { upid, identity: identity.clone() })
            } else {
                Err(BindError::OtherAddress { claimed: upid, actual: peer.address })
            }
        }
    }
}
