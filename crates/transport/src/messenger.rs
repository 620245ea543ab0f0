//! Messages to other components, and links to them.
//!
//! There is one connection to each address, opened when it is needed. Messages to one address
//! arrive in the order in which they were sent, or not at all: delivery is at most once and
//! unconfirmed. Whoever must know that somebody is gone holds a link.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libprocess::message::{EncodeError, encode_message};
use libprocess::upid::Upid;
use model::identity::Identity;
use tokio::sync::{mpsc, oneshot, watch};

use crate::counters::Counters;
use crate::sessions::Sessions;
use crate::stream::KeepAlive;
use crate::tls::{Expected, Security};

mod channel;
mod peer;
mod queue;

pub use channel::ChannelError;
use queue::Queue;

/// Sends messages and holds links. Clones share their connections, which end with the last clone.
#[derive(Clone, Debug)]
pub struct Messenger {
    inner: Arc<Owned>,
}

/// What a messenger is made of.
#[derive(Debug)]
pub struct MessengerParts {
    /// Where this component listens: every message says so, and answers come there.
    pub own: SocketAddrV4,
    /// What protects connections.
    pub security: Security,
    /// Limits and deadlines.
    pub settings: Settings,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Who is known to listen where; the same for the program's server.
    pub listeners: Arc<Listeners>,
    /// Who has authenticated by SASL; the same for the program's server.
    pub sessions: Arc<Sessions>,
    /// Where exit events are put. Keep receiving: a connection whose exit event is not taken
    /// waits.
    pub exits: mpsc::Sender<Exited>,
}

/// Limits and deadlines of a messenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the first packet to the end of the TLS handshake.
    pub connect_deadline: Duration,
    /// Messages that may wait for one peer. One more breaks the connection: a peer that misses a
    /// message must not believe that it missed none.
    pub queue_messages: usize,
    /// Bytes that may wait for one peer, likewise.
    pub queue_bytes: usize,
    /// How long a connection without links stays open after its last message was answered.
    pub linger: Duration,
    /// Probes on silent connections.
    pub keep_alive: KeepAlive,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_deadline: Duration::from_secs(15),
            queue_messages: 65_536,
            queue_bytes: 256 * 1024 * 1024,
            linger: Duration::from_secs(10),
            keep_alive: KeepAlive::default(),
        }
    }
}

/// Which of the successive connections to an address a link is on: later connections compare
/// greater. An [`Exited`] of an earlier connection says nothing about a link made since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link(u64);

/// Links ended: their connection broke, could not be opened, or leads to somebody else. Links
/// are not re-established by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited {
    /// The address that the connection led to.
    pub address: SocketAddrV4,
    /// All that were linked there.
    pub upids: Vec<Upid>,
    /// The connection that they were linked over.
    pub link: Link,
    /// Why, for the log.
    pub reason: String,
}

/// Why a message was not taken. A message that was taken can still be lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It cannot be written.
    #[error("the message cannot be written")]
    Encode(#[from] EncodeError),
    /// Too many messages wait for the peer. The connection is broken, its links have exited.
    #[error("too many messages wait for {0}")]
    QueueFull(SocketAddrV4),
}

/// Who listens at which address, as proven on connections that are open now.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<HashMap<SocketAddrV4, (u64, Identity)>>);

impl Listeners {
    /// Who listens at `address`, if a connection that we opened there proves it.
    #[must_use]
    pub fn at(&self, address: SocketAddrV4) -> Option<Identity> {
        self.book().get(&address).map(|(_, identity)| identity.clone())
    }

    fn put(&self, address: SocketAddrV4, generation: u64, identity: Identity) {
        self.book().insert(address, (generation, identity));
    }

    fn take(&self, address: SocketAddrV4, generation: u64) {
        let mut book = self.book();
        if book.get(&address).is_some_and(|(of, _)| *of == generation) {
            book.remove(&address);
        }
    }

    fn book(&self) -> MutexGuard<'_, HashMap<SocketAddrV4, (u64, Identity)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the handles of a messenger own together, and the tasks of its connections do not.
#[derive(Debug)]
struct Owned(Arc<Inner>);

impl Deref for Owned {
    type Target = Arc<Inner>;

    fn deref(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Their tasks notice that they cannot be told anything any more, and end.
        self.0.peers().by_address.clear();
    }
}

#[derive(Debug)]
struct Inner {
    parts: MessengerParts,
    peers: Mutex<Peers>,
    /// Messages taken and neither answered nor lost.
    pending: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Peers {
    next_generation: u64,
    by_address: HashMap<SocketAddrV4, Peer>,
}

/// Who is linked to at one address, as a rule one actor: a hash map with one entry is small, which
/// an ordered one is not.
type Links = HashMap<Upid, Expected>;

/// All of them, in order.
fn upids(links: Links) -> Vec<Upid> {
    let mut upids: Vec<_> = links.into_keys().collect();
    upids.sort_unstable();
    upids
}

/// A connection, open or being opened, from where others see it.
#[derive(Debug)]
struct Peer {
    generation: u64,
    queue: Arc<Queue>,
    links: Links,
    stop: oneshot::Sender<Stop>,
}

/// What waits for a connection.
#[derive(Debug)]
enum Item {
    /// A message, as it stands on the wire.
    Message { bytes: Bytes, expected: Expected, from: String, to: String, name: String },
    /// A link was made: is the other end who is expected?
    Linked { to: Upid, expected: Expected },
    /// A link was ended.
    Unlinked,
    /// Somebody wants to know what the connection proves.
    Channel { expected: Expected, answer: channel::Answer },
}

/// Why a connection is ended from outside.
#[derive(Debug)]
enum Stop {
    /// Its queue is full; these links end.
    QueueFull(Vec<Upid>),
    /// Another connection takes its place, and its links.
    Replaced,
}

impl Messenger {
    /// A messenger without connections.
    #[must_use]
    pub fn new(parts: MessengerParts) -> Self {
        let inner = Inner { parts, peers: Mutex::default(), pending: watch::Sender::new(0) };
        Self { inner: Arc::new(Owned(Arc::new(inner))) }
    }

    /// The address of the actor `id` of this component.
    #[must_use]
    pub fn own(&self, id: &str) -> Upid {
        Upid::new(id, self.inner.parts.own)
    }

    /// Sends a message from our actor `from`. Returns at once; must be called inside the runtime.
    /// If the other end turns out not to be `expected`, the message is dropped unsent.
    pub fn send(
        &self,
        from: &str,
        to: &Upid,
        expected: Expected,
        name: &str,
        body: &[u8],
    ) -> Result<(), SendError> {
        let mut bytes = BytesMut::with_capacity(body.len() + 512);
        encode_message(&mut bytes, &self.own(from), to, name, body)?;
        let bytes = bytes.freeze();
        let mut peers = self.inner.peers();
        let peer = self.inner.peer(&mut peers, to.address, &expected);
        let (from, name) = (from.to_owned(), name.to_owned());
        let item = Item::Message { bytes, expected, from, to: to.id.clone(), name };
        self.inner.pending.send_modify(|pending| *pending += 1);
        if peer.queue.put(item).is_ok() {
            return Ok(());
        }
        self.inner.answered(1);
        self.inner.parts.counters.messages_lost.increment();
        if let Some(peer) = peers.by_address.remove(&to.address) {
            let links = upids(peer.links);
            // If the connection is just ending by itself, it looks for this before it is gone.
            let _ = peer.stop.send(Stop::QueueFull(links));
        }
        Err(SendError::QueueFull(to.address))
    }

    /// Links to an actor: when the connection to its address ends, or turns out to lead to
    /// somebody who is not `expected`, an [`Exited`] says so. Uses the open connection if there
    /// is one. Linking twice is linking once.
    pub fn link(&self, to: &Upid, expected: Expected) -> Link {
        let mut peers = self.inner.peers();
        let peer = self.inner.peer(&mut peers, to.address, &expected);
        peer.links.insert(to.clone(), expected.clone());
        let link = Link(peer.generation);
        self.linked(&mut peers, to, expected);
        link
    }

    /// Links to an actor over a new connection, because the open one may be stale. Those already
    /// linked to the address stay linked, now through the new connection, without exit events;
    /// messages that wait for the old connection are lost.
    pub fn relink(&self, to: &Upid, expected: Expected) -> Link {
        let mut peers = self.inner.peers();
        let mut links = Links::new();
        if let Some(old) = peers.by_address.remove(&to.address) {
            links = old.links;
            // If the connection has just ended by itself, its links are in our hands already.
            let _ = old.stop.send(Stop::Replaced);
        }
        links.insert(to.clone(), expected.clone());
        let peer = self.inner.peer(&mut peers, to.address, &expected);
        peer.links = links.clone();
        let link = Link(peer.generation);
        for (to, expected) in links {
            self.linked(&mut peers, &to, expected);
        }
        link
    }

    /// Ends a link: what becomes of its connection is no news any more.
    pub fn unlink(&self, to: &Upid) {
        let mut peers = self.inner.peers();
        let Some(peer) = peers.by_address.get_mut(&to.address) else { return };
        if peer.links.remove(to).is_some() {
            // A connection at rest looks whether it is still needed. If its queue is full it is
            // not at rest.
            let _ = peer.queue.put(Item::Unlinked);
        }
    }

    /// Has a new link checked against who is at the other end.
    fn linked(&self, peers: &mut Peers, to: &Upid, expected: Expected) {
        let Some(peer) = peers.by_address.get(&to.address) else { return };
        let item = Item::Linked { to: to.clone(), expected };
        if peer.queue.put(item).is_err()
            && let Some(peer) = peers.by_address.remove(&to.address)
        {
            let links = upids(peer.links);
            let _ = peer.stop.send(Stop::QueueFull(links));
        }
    }

    /// Waits until every message that was taken is answered or lost, at most for `grace`.
    /// Returns whether none is left.
    pub async fn drain(&self, grace: Duration) -> bool {
        let mut pending = self.inner.pending.subscribe();
        let none = pending.wait_for(|pending| *pending == 0);
        matches!(tokio::time::timeout(grace, none).await, Ok(Ok(_)))
    }
}

impl Inner {
    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, count: usize) {
        self.pending.send_modify(|pending| *pending -= count);
    }

    /// The connection to `address`; begins to open it if there is none.
    fn peer<'a>(
        self: &Arc<Self>,
        peers: &'a mut Peers,
        address: SocketAddrV4,
        expected: &Expected,
    ) -> &'a mut Peer {
        let Peers { next_generation, by_address } = peers;
        by_address.entry(address).or_insert_with(|| {
            let generation = *next_generation;
            *next_generation += 1;
            let Settings { queue_messages, queue_bytes, .. } = self.parts.settings;
            let queue = Arc::new(Queue::new(queue_messages, queue_bytes));
            let (stop, stopped) = oneshot::channel();
            let task = peer::Task {
                messenger: Arc::clone(self),
                address,
                generation,
                // Who exactly is expected is asked for each message and each link, since
                // several may expect different peers at one address.
                expected: match expected {
                    Expected::Host(_) => expected.clone(),
                    Expected::Identity(_) | Expected::Kind(_) | Expected::Member => {
                        Expected::Member
                    }
                },
                queue: Arc::clone(&queue),
            };
            tokio::spawn(task.run(stopped));
            Peer { generation, queue, links: Links::new(), stop }
        })
    }
}
