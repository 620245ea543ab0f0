//! Who sent a message: from a claim in a header to a sender that the connection vouches for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::identity::{Identity, Kind};
use model::principal::{Kinds, Owner};
use zeroize::Zeroizing;

use crate::upid::Upid;

/// Which connection of this process, accepted or dialled; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a connection proves about its other end. Filled by the `transport` crate alone, once,
/// after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// The connection that proves it.
    pub connection: ConnectionId,
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
    /// The connection's `tls-exporter` value (RFC 9266), the same on both its ends and on no other
    /// connection. `None` where there is none that is unique: in plaintext, and on TLS 1.2 without
    /// extended master secret.
    pub channel_binding: Option<[u8; 32]>,
    /// What both its ends know, and nobody else, for keys of sessions; there whenever
    /// [`Self::channel_binding`] is.
    pub channel_secret: Option<ChannelSecret>,
}

/// Key material of one connection. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelSecret(Zeroizing<[u8; 32]>);

impl ChannelSecret {
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

impl fmt::Debug for ChannelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSecret(…)")
    }
}

impl PeerFacts {
    /// What a plaintext connection proves: where it comes from.
    #[must_use]
    pub fn plaintext(connection: ConnectionId, address: SocketAddr) -> Self {
        Self {
            connection,
            channel_binding: None,
            channel_secret: None,
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

/// Somebody authenticated by SASL: what that exchange proved, for as long as it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which of this process's sessions.
    pub id: SessionId,
    /// Who it is; `None` for a server, which has no name but has proved that it knows ours.
    pub principal: Option<String>,
    /// As what kinds of component it may speak.
    pub kinds: Kinds,
    /// By which mechanism.
    pub mechanism: String,
}

/// Which session of this process; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// How the connection of a message is tied to the exchange that made a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// It is the connection on which the exchange took place.
    Exchange,
    /// It has proved by the session's key that its other end took part in the exchange.
    Keyed,
    /// Only for stock peers, where that is allowed by name: it comes from the same address, shows
    /// the same certificate if any, and the time for this is not over.
    DangerSameAddress,
}

/// A session and how this connection is tied to it. Only the book of sessions in `transport`
/// makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionProof {
    /// The session.
    pub session: Arc<Session>,
    /// The tie.
    pub tie: Tie,
}

/// What the book of sessions says about a claimed sender on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finding {
    /// Nobody has authenticated as this sender.
    #[default]
    Nothing,
    /// Somebody has, and this connection is tied to the session.
    Tied(SessionProof),
    /// Somebody has, and nothing ties this connection to the session.
    Untied(Arc<Session>),
}

/// A sender that the connection vouches for. Only [`bind`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPid {
    upid: Upid,
    identity: Option<Identity>,
    certificate: Option<String>,
    session: Option<SessionProof>,
    connection: ConnectionId,
}

impl BoundPid {
    /// Over which connection it speaks. A later connection has a higher number: what comes over
    /// an older one may have been said before what came over the newer.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

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

    /// The session that the connection belongs to; `None` if the sender has not authenticated by
    /// SASL, or not so that this connection is tied to it.
    #[must_use]
    pub fn session(&self) -> Option<&SessionProof> {
        self.session.as_ref()
    }

    /// The principal that the sender proved by SASL.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.session.as_ref().and_then(|proof| proof.session.principal.as_deref())
    }

    /// To whom belongs what this sender brings.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let certificate = self.identity.as_ref().map(ToString::to_string);
        Owner {
            certificate: certificate.or_else(|| self.certificate.clone()),
            principal: self.principal().map(str::to_owned),
        }
    }

    /// Whether this sender may speak as a component of `kind`: its certificate and its session
    /// say so, as far as it has them; who has neither proves here nothing about its kind.
    #[must_use]
    pub fn may_speak_as(&self, kind: Kind) -> bool {
        self.kinds().contains(kind)
    }

    /// As what kinds of component this sender may speak; all of them, if it proved nothing about
    /// that.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        let identity = self.identity.as_ref().map_or(Kinds::ANY, |i| Kinds::only(i.kind()));
        let session = self.session.as_ref().map_or(Kinds::ANY, |proof| proof.session.kinds);
        identity.and(session)
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
    /// Somebody has authenticated as this sender, and neither a certificate nor anything else
    /// says that this connection is theirs.
    #[error("{claimed} has authenticated, and this connection does not belong to its session")]
    OtherSession {
        /// The claim.
        claimed: Upid,
    },
}

/// Binds a claimed sender to what its connection proved.
///
/// `listener` is who proved, on a connection that *we* opened to the claimed address, to listen
/// there; `None` if no such connection is open. Several components of one machine share its IP
/// address, so that their certificates alone would let one claim the port of another. `finding` is
/// what the book of sessions says about the claim on this connection: who has authenticated is not
/// spoken for by connections that are not tied to the session, unless a certificate with an
/// identity says who speaks. Then the sender binds without the session.
pub fn bind(
    claimed: ClaimedPid,
    peer: &PeerFacts,
    rule: Binding,
    listener: Option<&Identity>,
    finding: Finding,
) -> Result<BoundPid, BindError> {
    let ClaimedPid(upid) = claimed;
    let ip = IpAddr::V4(*upid.address.ip());
    let from_there = is_same_host(peer.address.ip().to_canonical(), ip);
    let bound = |upid: Upid, identity| {
        let session = match (finding, rule) {
            (Finding::Nothing, _) | (Finding::Untied(_), Binding::Certificate) => None,
            (Finding::Tied(proof), _) => Some(proof),
            (Finding::Untied(_), Binding::AnyCertificate | Binding::DangerSourceAddress) => {
                return Err(BindError::OtherSession { claimed: upid });
            }
        };
        let certificate = peer.principal.clone();
        Ok(BoundPid { upid, identity, certificate, session, connection: peer.connection })
    };
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
            bound(upid, Some(claimant.clone()))
        }
        (Binding::AnyCertificate, identity) => {
            if !peer.certified {
                Err(BindError::NoCertificate { claimed: upid })
            } else if from_there || peer.vouched_addresses.contains(&ip) {
                bound(upid, identity.clone())
            } else {
                Err(BindError::OtherAddress { claimed: upid, actual: peer.address })
            }
        }
        (Binding::DangerSourceAddress, identity) => {
            if from_there {
                bound(upid, identity.clone())
            } else {
                Err(BindError::OtherAddress { claimed: upid, actual: peer.address })
            }
        }
    }
}

/// Whether a connection from `from` comes from the machine that has the address `claimed`. All
/// loopback addresses are this machine's, and which of them a connection comes from is the
/// kernel's choice.
#[must_use]
pub fn is_same_host(from: IpAddr, claimed: IpAddr) -> bool {
    from == claimed || (from.is_loopback() && claimed.is_loopback())
}
