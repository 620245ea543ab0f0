//! The memory of bodies: so much in all, and so much for one peer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use libprocess::sender::PeerFacts;
use model::identity::Identity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::gate::origin_of;

/// How long a body waits for others to give back memory.
const WAIT: Duration = Duration::from_secs(10);

/// A share of the memory that all bodies of a server may take together, and of that which the
/// bodies of one peer may take; given back when dropped.
#[derive(Debug, Default)]
pub struct MemoryShare(Option<[OwnedSemaphorePermit; 2]>);

impl MemoryShare {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// The memory that all bodies, and all large heads, of a server may take.
#[derive(Debug)]
pub(super) struct Memory {
    all: Arc<Semaphore>,
    per_peer: usize,
    peers: Mutex<Peers>,
}

/// What connections of one peer share. Those that are gone are looked for when there are twice as
/// many as there were after the last look.
#[derive(Debug, Default)]
struct Peers {
    shares: HashMap<PeerKey, Weak<Semaphore>>,
    clean_at: usize,
}

/// Whose memory it is: of a component, on however many connections, or of whoever is at an
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PeerKey {
    Address(IpAddr),
    Identity(Identity),
}

/// The memory that the bodies of one connection may take.
#[derive(Clone, Debug)]
pub(super) struct PeerMemory {
    all: Arc<Semaphore>,
    share: Arc<Semaphore>,
}

/// There was no memory for a body in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

impl Memory {
    pub(super) fn new(all: usize, per_peer: usize) -> Self {
        let permits = |bytes: usize| bytes.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(permits(all))),
            per_peer: permits(per_peer.min(all)),
            peers: Mutex::default(),
        }
    }

    /// What a connection with these facts may take.
    pub(super) fn of(&self, facts: &PeerFacts) -> PeerMemory {
        let key = match &facts.identity {
            Some(identity) => PeerKey::Identity(identity.clone()),
            None => PeerKey::Address(origin_of(facts.address.ip())),
        };
        // Nothing panics while the book is held.
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = peers.shares.get(&key).and_then(Weak::upgrade);
        let share = known.unwrap_or_else(|| {
            if peers.shares.len() >= peers.clean_at {
                peers.shares.retain(|_, share| share.strong_count() > 0);
                peers.clean_at = (peers.shares.len() * 2).max(64);
            }
            let share = Arc::new(Semaphore::new(self.per_peer));
            peers.shares.insert(key, Arc::downgrade(&share));
            share
        });
        PeerMemory { all: Arc::clone(&self.all), share }
    }
}

impl PeerMemory {
    /// Memory without bounds.
    pub(super) fn unbounded() -> Self {
        let all = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { share: Arc::clone(&all), all }
    }

    /// Adds `bytes` to what `held` holds, waiting a while for others to give back theirs. Who
    /// waits for its own share keeps nothing from others.
    pub(super) async fn take(&self, bytes: usize, held: &mut MemoryShare) -> Result<(), NoMemory> {
        let bytes = u32::try_from(bytes).map_err(|_| NoMemory)?;
        let waiting = async {
            let share = Arc::clone(&self.share).acquire_many_owned(bytes).await;
            let all = Arc::clone(&self.all).acquire_many_owned(bytes).await;
            // They are never closed.
            Ok([share.map_err(|_| NoMemory)?, all.map_err(|_| NoMemory)?])
        };
        let [share, all] = timeout(WAIT, waiting).await.map_err(|_| NoMemory)??;
        match &mut held.0 {
            Some([of_share, of_all]) => {
                of_share.merge(share);
                of_all.merge(all);
            }
            None => held.0 = Some([share, all]),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn facts(address: &str, identity: Option<&str>) -> PeerFacts {
        let address: SocketAddr = address.parse().unwrap();
        let identity = identity.map(|text| text.parse().unwrap());
        PeerFacts { identity, ..PeerFacts::plaintext(libprocess::sender::ConnectionId(0), address) }
    }

    #[tokio::test(start_paused = true)]
    async fn c12_one_peer_on_many_connections_takes_its_share_and_no_more() {
        let memory = Memory::new(100, 60);
        let flood = [memory.of(&facts("10.0.0.1:1", None)), memory.of(&facts("10.0.0.1:2", None))];
        let mut held = MemoryShare::default();
        flood[0].take(60, &mut held).await.unwrap();
        assert_eq!(flood[1].take(1, &mut MemoryShare::default()).await, Err(NoMemory));
        // Others have the rest, whoever waits.
        let mut others = MemoryShare::default();
        memory.of(&facts("10.0.0.2:1", None)).take(40, &mut others).await.unwrap();
        drop(held);
        flood[1].take(60, &mut MemoryShare::default()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn c12_a_component_is_one_peer_wherever_it_connects_from() {
        let memory = Memory::new(100, 60);
        let agent = Some("spiffe://d.test/agent/a");
        let mut held = MemoryShare::default();
        memory.of(&facts("10.0.0.1:1", agent)).take(50, &mut held).await.unwrap();
        let elsewhere = memory.of(&facts("10.0.0.2:1", agent));
        assert_eq!(elsewhere.take(20, &mut MemoryShare::default()).await, Err(NoMemory));
        // Another component of the same machine has its own.
        let other = memory.of(&facts("10.0.0.1:2", Some("spiffe://d.test/agent/b")));
        other.take(20, &mut MemoryShare::default()).await.unwrap();
    }

    #[test]
    fn peers_that_are_gone_are_forgotten() {
        let memory = Memory::new(100, 60);
        for n in 0..10_000 {
            memory.of(&facts(&format!("10.0.{}.{}:1", n / 250, n % 250), None));
        }
        assert!(memory.peers.lock().unwrap().shares.len() <= 64);
    }
}
