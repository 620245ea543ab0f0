//! One session: what was proved, and what has happened since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libprocess::channel::{Anchor, ChannelClaim, Direction, Seen, TieKey};
use libprocess::sender::{PeerFacts, Session, is_same_host};
use libprocess::upid::Upid;
use tokio::time::Instant;

use super::{Established, Peer, SameAddress};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: Arc<Session>,
    pub(super) established: Established,
    key: Option<TieKey>,
    over: AtomicBool,
    since: Mutex<Since>,
}

/// What has happened since the exchange.
#[derive(Debug, Default)]
struct Since {
    /// When the exchange's connection ended.
    disconnected: Option<Instant>,
    /// Claims that we made.
    claims: u64,
    /// Claims of the peer that were believed.
    seen: Seen,
}

impl Entry {
    pub(super) fn new(session: Arc<Session>, established: Established) -> Self {
        let key = established.tie_key();
        Self { session, established, key, over: AtomicBool::new(false), since: Mutex::default() }
    }

    /// Nothing is believed on its account any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The exchange's connection has ended.
    pub(super) fn disconnect(&self) {
        self.since().disconnected.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_disconnected(&self) -> bool {
        self.since().disconnected.is_some()
    }

    /// Whether it is about messages from `claimed` to our actor `to`.
    pub(super) fn covers(&self, claimed: &Upid, to: &str) -> bool {
        match &self.established.peer {
            Peer::Client(upid) => upid == claimed,
            Peer::Server(upid) => upid.address == claimed.address && self.established.ours.id == to,
        }
    }

    /// Whether the exchange took place on the connection with these facts.
    pub(super) fn is_exchange(&self, facts: &PeerFacts) -> bool {
        self.established.channel.connection == facts.connection
    }

    /// A claim for a connection that we opened; `None` if there is none to be made: without a
    /// key, on the exchange's own connection, and where nothing is unique to the connection.
    pub(super) fn claim(&self, facts: &PeerFacts) -> Option<ChannelClaim> {
        let key = self.key.as_ref()?;
        if self.is_exchange(facts) || !self.is_as_private(facts) {
            return None;
        }
        let anchor = Anchor::of(facts)?;
        let counter = {
            let mut since = self.since();
            since.claims += 1;
            since.claims
        };
        let direction = match &self.established.peer {
            Peer::Client(_) => Direction::FromServer,
            Peer::Server(_) => Direction::FromClient,
        };
        Some(key.claim(direction, counter, anchor))
    }

    /// Whether a claim is about this session.
    pub(super) fn is_claimed_by(&self, claim: &ChannelClaim) -> bool {
        self.key.as_ref().is_some_and(|key| key.id() == claim.session)
    }

    /// Whether a claim about this session ties a connection that we accepted. A claim that does
    /// is used up.
    pub(super) fn admits(&self, claim: &ChannelClaim, facts: &PeerFacts) -> bool {
        let direction = match &self.established.peer {
            Peer::Client(_) => Direction::FromClient,
            Peer::Server(_) => Direction::FromServer,
        };
        let (Some(key), Some(anchor)) = (&self.key, Anchor::of(facts)) else { return false };
        self.is_as_private(facts)
            && key.verifies(claim, direction, anchor)
            && self.since().seen.enter(claim.counter)
    }

    /// Whether a connection that we accepted is tied by where it comes from.
    pub(super) fn is_same_address(
        &self,
        facts: &PeerFacts,
        rule: SameAddress,
        certificates: Certificates,
    ) -> bool {
        let SameAddress::Danger { after } = rule else { return false };
        let exchange = &self.established.channel;
        let in_time = self.since().disconnected.is_none_or(|end| end.elapsed() < after);
        let (there, here) = (exchange.address.ip(), facts.address.ip());
        in_time
            && self.established.key.is_none()
            && self.is_as_private(facts)
            && is_same_host(there.to_canonical(), here.to_canonical())
            && (exchange.certified || !facts.certified)
            && self.agrees(facts, certificates)
    }

    /// Whether the certificate of a connection that we accepted contradicts that of the
    /// exchange's.
    pub(super) fn agrees(&self, facts: &PeerFacts, certificates: Certificates) -> bool {
        let exchange = &self.established.channel;
        match (exchange.certified, facts.certified) {
            (true, true) => {
                exchange.identity == facts.identity && exchange.principal == facts.principal
            }
            (false, _) => true,
            // A client shows on each connection what it showed on one. A server showed us its
            // certificate because we dialled it; on the connections that it dials it is asked
            // for one, or it is not.
            (true, false) => match (&self.established.peer, certificates) {
                (Peer::Server(_), Certificates::NotAsked) => true,
                (Peer::Server(_), Certificates::Asked) | (Peer::Client(_), _) => false,
            },
        }
    }

    /// What was agreed in private is not believed in public.
    fn is_as_private(&self, facts: &PeerFacts) -> bool {
        facts.encrypted || !self.established.channel.encrypted
    }

    fn since(&self) -> MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether whoever opens a connection to us is asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificates {
    Asked,
    NotAsked,
}
