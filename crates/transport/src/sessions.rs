//! Who has authenticated by SASL, and which connections belong to whom.
//!
//! libprocess answers on another connection, so a session is a pair of channels: an exchange binds
//! the connection that the client dialled, and every other connection has to prove that it belongs
//! to the same peer. The program that ran the exchange tells [`Sessions::establish`]; the server
//! and the messenger of the same program share the book.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authn::sasl::SessionKey;
use libprocess::sender::{ConnectionId, Finding, PeerFacts, Session, SessionId, SessionProof, Tie};
use libprocess::upid::Upid;
use model::principal::Kinds;

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

/// Which senders a session is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A client: this actor of it, and no other at the same address.
    Client(Upid),
    /// A server: all its actors, known by its first one.
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

    fn covers(&self, claimed: &Upid) -> bool {
        match self {
            Self::Client(upid) => upid == claimed,
            Self::Server(upid) => upid.address == claimed.address,
        }
    }
}

/// The book of sessions is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions are open")]
pub struct TooManySessions;

/// The book of sessions of one program.
#[derive(Debug, Default)]
pub struct Sessions {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    by_peer: HashMap<Upid, Entry>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    established: Established,
}

impl Sessions {
    /// Enters a session, in the place of any that there was with the same actor.
    ///
    /// # Errors
    ///
    /// If too many sessions are in the book. Then there is none with this actor, and whoever ran
    /// the exchange treats it as one that failed.
    pub fn establish(&self, established: Established) -> Result<Arc<Session>, TooManySessions> {
        let mut book = self.book();
        book.next += 1;
        let session = Arc::new(Session {
            id: SessionId(book.next),
            principal: established.principal.clone(),
            kinds: established.kinds,
            mechanism: established.mechanism.clone(),
        });
        let upid = established.peer.upid().clone();
        book.by_peer.insert(upid, Entry { session: Arc::clone(&session), established });
        Ok(session)
    }

    /// Ends the session with this actor, if there is one: nothing more is believed on its account.
    pub fn end(&self, peer: &Upid) -> Option<Arc<Session>> {
        self.book().by_peer.remove(peer).map(|entry| entry.session)
    }

    /// Ends the session with this actor if it is still the one called `id`: a newer one has
    /// nothing to do with whatever ended.
    pub fn end_if(&self, peer: &Upid, id: SessionId) -> bool {
        let mut book = self.book();
        let same = book.by_peer.get(peer).is_some_and(|entry| entry.session.id == id);
        if same {
            book.by_peer.remove(peer);
        }
        same
    }

    /// The session with this actor.
    #[must_use]
    pub fn with(&self, peer: &Upid) -> Option<Arc<Session>> {
        self.book().by_peer.get(peer).map(|entry| Arc::clone(&entry.session))
    }

    /// The session that a message from `claimed`, on the connection that `facts` are about,
    /// belongs to.
    #[must_use]
    pub fn prove(&self, claimed: &Upid, facts: &PeerFacts) -> Finding {
        let book = self.book();
        let mut entries = book.by_peer.values();
        let Some(entry) = entries.find(|entry| entry.established.peer.covers(claimed)) else {
            return Finding::Nothing;
        };
        let session = Arc::clone(&entry.session);
        if entry.established.channel.connection == facts.connection {
            Finding::Tied(SessionProof { session, tie: Tie::Exchange })
        } else {
            Finding::Untied(session)
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
