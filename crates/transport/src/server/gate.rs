//! How many connections there may be, and who has to go when there are too many.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections there may be. At a cap the oldest connection that is idle and has proven
/// nothing makes room; if there is none, the new one is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one IP address.
    pub per_address: usize,
    /// Connections in the middle of a TLS handshake.
    pub handshakes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { connections: 65_536, per_address: 8_192, handshakes: 1_024 }
    }
}

/// Counts connections and ends those that are one too many.
#[derive(Debug)]
pub(super) struct Gate {
    caps: Caps,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    entries: HashMap<u64, Entry>,
    addresses: HashMap<IpAddr, Address>,
    /// Connections that may be ended, oldest first.
    evictable: BTreeSet<u64>,
    /// Connections in a handshake, oldest first.
    handshakes: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    end: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Address {
    connections: usize,
    evictable: BTreeSet<u64>,
}

/// What a connection does at the moment, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing, and it has proven nothing.
    IdleUnproven,
    /// The handshake.
    Handshake,
    /// It is proven, or in the middle of a request.
    Worthy,
}

/// The admission of one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    id: u64,
    doing: Doing,
    end: Arc<Notify>,
}

/// What admitting a connection cost.
#[derive(Debug)]
pub(super) enum Admission {
    /// It may stay; so many others were told to go.
    Admitted { ticket: Ticket, evicted: u64 },
    /// There are too many, and none that has less of a right.
    Full,
}

impl Gate {
    pub(super) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, book: Mutex::default() })
    }

    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let mut book = self.book();
        let mut evicted = 0;
        let from_there = book.addresses.get(&address).map_or(0, |a| a.connections);
        if from_there >= self.caps.per_address {
            let oldest = book.addresses.get(&address).and_then(|a| a.evictable.first().copied());
            let Some(oldest) = oldest else { return Admission::Full };
            book.evict(oldest);
            evicted += 1;
        }
        if book.entries.len() >= self.caps.connections {
            let Some(oldest) = book.evictable.first().copied() else { return Admission::Full };
            book.evict(oldest);
            evicted += 1;
        }
        let id = book.next;
        book.next += 1;
        let end = Arc::new(Notify::new());
        book.entries.insert(id, Entry { address, end: Arc::clone(&end) });
        book.addresses.entry(address).or_default().connections += 1;
        book.classify(id, Doing::IdleUnproven);
        let ticket = Ticket { gate: Arc::clone(self), id, doing: Doing::IdleUnproven, end };
        Admission::Admitted { ticket, evicted }
    }

    /// Ends the oldest connection that is idle and unproven, because descriptors ran out.
    pub(super) fn evict_one(&self) -> bool {
        let mut book = self.book();
        let oldest = book.evictable.first().copied();
        if let Some(oldest) = oldest {
            book.evict(oldest);
        }
        oldest.is_some()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while the book is held; and if, the counts are better than none.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Forgets a connection at once, so that its place is free, and tells it to end.
    fn evict(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            entry.end.notify_one();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.evictable.remove(&id);
        self.handshakes.remove(&id);
        if let Some(address) = self.addresses.get_mut(&entry.address) {
            address.evictable.remove(&id);
            address.connections -= 1;
            if address.connections == 0 {
                self.addresses.remove(&entry.address);
            }
        }
        Some(entry)
    }

    fn classify(&mut self, id: u64, doing: Doing) {
        let Some(entry) = self.entries.get(&id) else { return };
        let address = self.addresses.entry(entry.address).or_default();
        if doing == Doing::Worthy {
            self.evictable.remove(&id);
            address.evictable.remove(&id);
        } else {
            self.evictable.insert(id);
            address.evictable.insert(id);
        }
        if doing == Doing::Handshake {
            self.handshakes.insert(id);
        } else {
            self.handshakes.remove(&id);
        }
    }
}

impl Ticket {
    /// Says what the connection does now. Returns how many other connections had to go for it.
    pub(super) fn now(&mut self, doing: Doing) -> u64 {
        if self.doing == doing {
            return 0;
        }
        self.doing = doing;
        let mut book = self.gate.book();
        let mut evicted = 0;
        if doing == Doing::Handshake
            && book.handshakes.len() >= self.gate.caps.handshakes
            && let Some(oldest) = book.handshakes.first().copied()
        {
            book.evict(oldest);
            evicted = 1;
        }
        book.classify(self.id, doing);
        evicted
    }

    /// Fires when the connection must end to make room.
    pub(super) fn end(&self) -> Arc<Notify> {
        Arc::clone(&self.end)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.book().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn admitted(gate: &Arc<Gate>, address: IpAddr) -> (Ticket, u64) {
        match gate.admit(address) {
            Admission::Admitted { ticket, evicted } => (ticket, evicted),
            Admission::Full => panic!("full"),
        }
    }

    fn must_end(ticket: &Ticket) -> bool {
        use std::task::{Context, Poll, Waker};
        let notified = ticket.end();
        let mut notified = std::pin::pin!(notified.notified());
        let ready = notified.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        ready == Poll::Ready(())
    }

    #[test]
    fn at_the_cap_the_oldest_idle_unproven_connection_goes_first() {
        let gate = Gate::new(Caps { connections: 3, per_address: 3, handshakes: 3 });
        let (mut proven, _) = admitted(&gate, HERE);
        proven.now(Doing::Worthy);
        let (idle, _) = admitted(&gate, HERE);
        let (young, _) = admitted(&gate, THERE);
        let (_new, evicted) = admitted(&gate, THERE);
        assert_eq!(evicted, 1);
        assert!(must_end(&idle) && !must_end(&young) && !must_end(&proven));
    }

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let gate = Gate::new(Caps { connections: 10, per_address: 2, handshakes: 3 });
        let (elsewhere, _) = admitted(&gate, THERE);
        let (first, _) = admitted(&gate, HERE);
        let (_second, _) = admitted(&gate, HERE);
        let (_third, evicted) = admitted(&gate, HERE);
        assert_eq!(evicted, 1);
        assert!(must_end(&first) && !must_end(&elsewhere));
    }

    #[test]
    fn connections_that_work_or_are_proven_are_never_evicted() {
        let gate = Gate::new(Caps { connections: 2, per_address: 2, handshakes: 3 });
        let (mut first, _) = admitted(&gate, HERE);
        let (mut second, _) = admitted(&gate, HERE);
        first.now(Doing::Worthy);
        second.now(Doing::Worthy);
        assert!(matches!(gate.admit(HERE), Admission::Full));
        assert!(matches!(gate.admit(THERE), Admission::Full));
        drop(first);
        admitted(&gate, HERE);
    }

    #[test]
    fn too_many_handshakes_end_the_oldest_one() {
        let gate = Gate::new(Caps { connections: 9, per_address: 9, handshakes: 1 });
        let (mut first, _) = admitted(&gate, HERE);
        let (mut second, _) = admitted(&gate, HERE);
        assert_eq!(first.now(Doing::Handshake), 0);
        assert_eq!(second.now(Doing::Handshake), 1);
        assert!(must_end(&first) && !must_end(&second));
    }

    #[test]
    fn tickets_given_back_leave_nothing_behind() {
        let gate = Gate::new(Caps::default());
        let tickets: Vec<_> = (0..10).map(|_| admitted(&gate, HERE)).collect();
        drop(tickets);
        let book = gate.book();
        assert!(book.entries.is_empty() && book.addresses.is_empty());
        assert!(book.evictable.is_empty() && book.handshakes.is_empty());
    }
}
