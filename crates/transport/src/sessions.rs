//! Who has authenticated by SASL, and which connections belong to whom.
//!
//! libprocess answers on another connection, so a session is a pair of channels: an exchange binds
//! the connection that the client dialled, and every other connection has to prove that it belongs
//! to the same peer. The program that ran the exchange tells [`Sessions::establish`]; the server
//! and the messenger of the same program share the book.
//!
//! | the connection | is tied to the session by |
//! |---|---|
//! | on which the exchange took place | being that ([`Tie::Exchange`](libprocess::sender::Tie)) |
//! | any other between our own components | a claim in the head of the session's first message there ([`libprocess::channel`]), which the messenger makes by itself |
//! | any other of a stock peer | its address and certificate, for a limited time, if [`SameAddress`] says so |
//!
//! A proof lives and dies with its session and its connection.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authn::sasl::SessionKey;
use libprocess::channel::{Ingredients, TieKey};
use libprocess::sender::{ConnectionId, Finding, PeerFacts, Session, SessionId, SessionProof, Tie};
use libprocess::upid::Upid;
use model::principal::Kinds;

mod book;
mod entry;
#[cfg(test)]
mod tests;
mod ties;

pub(crate) use entry::Certificates;
pub(crate) use ties::{Introductions, Ties};

use book::Book;
use entry::Entry;

/// A number for a connection, never given twice in this process.
pub(crate) fn fresh_connection() -> ConnectionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An exchange that ended well.
#[derive(Clone, Debug)]
pub struct Established {
    /// Our own actor that took part: `slave(1)@…` on an agent, whose messages from this actor to
    /// that address belong to the session; `master@…` on a master.
    pub ours: Upid,
    /// Who the peer is to us.
    pub peer: Peer,
    /// What the connection of the exchange proved: the one that the client dialled.
    pub channel: Arc<PeerFacts>,
    /// The principal; `None` for a server.
    pub principal: Option<String>,
    /// As what kinds of component it may speak.
    pub kinds: Kinds,
    /// By which mechanism.
    pub mechanism: String,
    /// The key, with mechanisms that make one.
    pub key: Option<SessionKey>,
}

impl Established {
    /// The key that both ends make of the same things.
    fn tie_key(&self) -> Option<TieKey> {
        TieKey::derive(Ingredients {
            mechanism: &self.mechanism,
            client: match &self.peer {
                Peer::Client(client) => client,
                Peer::Server(_) => &self.ours,
            },
            key: self.key.as_ref().map(SessionKey::expose),
            channel: self.channel.channel_secret.as_ref(),
        })
    }
}

/// Which senders a session is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A client: this actor of it, and no other at the same address.
    Client(Upid),
    /// A server: all its actors, known by its first one, as far as they speak to our actor that
    /// took part in the exchange.
    Server(Upid),
}

impl Peer {
    /// The actor that the session was made with.
    #[must_use]
    pub fn upid(&self) -> &Upid {
        match self {
            Self::Client(upid) | Self::Server(upid) => upid,
        }
    }
}

/// Whether the connections of stock peers, which can prove nothing by themselves, are tied to
/// sessions by where they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameAddress {
    /// They are not.
    #[default]
    Refused,
    /// They are, if they come from the address of the exchange's connection and show the same
    /// certificate, while that connection lives and so long after its end. Not with mechanisms
    /// that make a key: no stock peer has them. Whoever takes the address over within that time
    /// takes the session over.
    Danger {
        /// The time after the end of the exchange's connection.
        after: Duration,
    },
}

impl SameAddress {
    /// What is used where the rule is on.
    pub const DANGER: Self = Self::Danger { after: Duration::from_secs(15 * 60) };
}

/// Why a session is not entered into the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEstablished {
    /// The actor has a session as somebody else, on another connection that is open: whoever holds
    /// some credential could take its place otherwise, without a word of it.
    #[error("this actor has authenticated as somebody else, on a connection that is open")]
    Occupied,
    /// The book is full.
    #[error("too many sessions are open")]
    TooMany,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCaps {
    /// With actors at one IP address.
    pub per_address: usize,
    /// In all.
    pub all: usize,
}

impl Default for SessionCaps {
    fn default() -> Self {
        Self { per_address: 16_384, all: 131_072 }
    }
}

/// The book of sessions of one program.
#[derive(Debug, Default)]
pub struct Sessions {
    same_address: SameAddress,
    caps: SessionCaps,
    book: Mutex<Book>,
    /// How many sessions are in the book, for those who need not look if there are none.
    count: AtomicUsize,
}

impl Sessions {
    /// An empty book with this rule for stock peers. The default refuses them.
    #[must_use]
    pub fn new(same_address: SameAddress) -> Self {
        Self { same_address, ..Self::default() }
    }

    /// An empty book with room for so many.
    #[must_use]
    pub fn with_caps(same_address: SameAddress, caps: SessionCaps) -> Self {
        Self { same_address, caps, ..Self::default() }
    }

    /// Enters a session, in the place of any that there was with the same actor.
    ///
    /// # Errors
    ///
    /// If the actor's place is taken by another principal, whose session stays, or too many
    /// sessions are in the book whose exchange's connections are open. Whoever ran the exchange
    /// treats it as one that failed.
    pub fn establish(&self, established: Established) -> Result<Arc<Session>, NotEstablished> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let session = Arc::new(Session {
            id: SessionId(NEXT.fetch_add(1, Ordering::Relaxed)),
            principal: established.principal.clone(),
            kinds: established.kinds,
            mechanism: established.mechanism.clone(),
        });
        let entry = Arc::new(Entry::new(Arc::clone(&session), established));
        self.change(|book| book.enter(entry, self.caps)).map(|()| session)
    }

    /// Ends the session with this actor, or all of them if several of our own actors have one:
    /// nothing more is believed on their account. Our own messages to it still say that we took
    /// part, for a peer that does not know yet that it has to authenticate again.
    pub fn end(&self, peer: &Upid) -> Option<Arc<Session>> {
        self.change(|book| book.end(peer)).map(|entry| Arc::clone(&entry.session))
    }

    /// Ends the session with this actor if it is still the one called `id`: a newer one has
    /// nothing to do with whatever ended.
    pub fn end_if(&self, peer: &Upid, id: SessionId) -> bool {
        self.change(|book| {
            let same = book.with(peer).is_some_and(|entry| entry.session.id == id);
            same && book.end(peer).is_some()
        })
    }

    /// What there is to say now about a client's message that was kept back: as for one that comes
    /// now, but for claims, which were looked at when it came.
    #[must_use]
    pub fn prove(&self, claimed: &Upid, facts: &PeerFacts) -> Finding {
        let Some(entry) = self.book().from(claimed, "") else { return Finding::Nothing };
        let session = Arc::clone(&entry.session);
        let asked = Certificates::Asked;
        if entry.is_exchange(facts) {
            Finding::Tied(SessionProof { session, tie: Tie::Exchange })
        } else if entry.is_same_address(facts, self.same_address, asked) {
            Finding::Tied(SessionProof { session, tie: Tie::DangerSameAddress })
        } else {
            Finding::Untied(session)
        }
    }

    /// The session with this actor.
    #[must_use]
    pub fn with(&self, peer: &Upid) -> Option<Arc<Session>> {
        self.book().with(peer).map(|entry| Arc::clone(&entry.session))
    }

    /// How many there are, with those that are over and whose places are not taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// A connection is open.
    pub(crate) fn opened(&self, connection: ConnectionId) {
        self.book().opened(connection);
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, connection: ConnectionId) {
        self.book().ended(connection);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book();
        let outcome = change(&mut book);
        self.count.store(book.count(), Ordering::Release);
        outcome
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
