//! How many connections there may be, and who has to go when there are too many.

use std::cmp::Reverse;
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
    /// Connections in the middle of a TLS handshake. One more ends the oldest from the IP address
    /// that has most of them.
    pub handshakes: usize,
    /// Connections from one IP address in the middle of a TLS handshake. One more ends the oldest
    /// of them.
    pub handshakes_per_address: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            connections: 65_536,
            per_address: 8_192,
            handshakes: 1_024,
            handshakes_per_address: 64,
        }
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
    handshakes: BTreeSet<u64>,
}

/// What a connection does at the moment, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing, and it has proven nothing.
    IdleUnproven,
    /// The handshake.
    Handshake,
    /// It is proven, sends a message whose sender is bound, or waits for the program's answer to a
    /// request. It is not ended to make room.
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

/// The connection was ended to make room before it could begin something that is not interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceLost;

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
            address.handshakes.remove(&id);
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
            address.handshakes.insert(id);
        } else {
            self.handshakes.remove(&id);
            address.handshakes.remove(&id);
        }
    }

    /// Who must go so that connection `id` may begin its handshake.
    fn in_the_way_of_handshake(&self, id: u64, caps: Caps) -> Option<u64> {
        let of_address =
            |of: u64| self.entries.get(&of).and_then(|entry| self.addresses.get(&entry.address));
        let here = of_address(id).map(|address| &address.handshakes);
        if let Some(here) = here.filter(|here| here.len() >= caps.handshakes_per_address) {
            return here.first().copied();
        }
        if self.handshakes.len() < caps.handshakes {
            return None;
        }
        // There are no more of them than the cap, and each costs far more than this look at it.
        let crowd = |of: &u64| of_address(*of).map_or(0, |address| address.handshakes.len());
        self.handshakes.iter().copied().max_by_key(|of| (crowd(of), Reverse(*of)))
    }
}

impl Ticket {
    /// Says what the connection does now. Returns how many other connections had to go for it, or
    /// that it has lost its own place: then it must not begin.
    pub(super) fn now(&mut self, doing: Doing) -> Result<u64, PlaceLost> {
        if self.doing == doing {
            return Ok(0);
        }
        let mut book = self.gate.book();
        if !book.entries.contains_key(&self.id) {
            return Err(PlaceLost);
        }
        self.doing = doing;
        let mut evicted = 0;
        if doing == Doing::Handshake
            && let Some(other) = book.in_the_way_of_handshake(self.id, self.gate.caps)
        {
            book.evict(other);
            evicted = 1;
        }
        book.classify(self.id, doing);
        Ok(evicted)
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

    fn caps(connections: usize, per_address: usize, handshakes: usize) -> Caps {
        Caps { connections, per_address, handshakes, handshakes_per_address: handshakes }
    }

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
        let gate = Gate::new(caps(3, 3, 3));
        let (mut proven, _) = admitted(&gate, HERE);
        proven.now(Doing::Worthy).unwrap();
        let (idle, _) = admitted(&gate, HERE);
        let (young, _) = admitted(&gate, THERE);
        let (_new, evicted) = admitted(&gate, THERE);
        assert_eq!(evicted, 1);
        assert!(must_end(&idle) && !must_end(&young) && !must_end(&proven));
    }

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let gate = Gate::new(caps(10, 2, 3));
        let (elsewhere, _) = admitted(&gate, THERE);
        let (first, _) = admitted(&gate, HERE);
        let (_second, _) = admitted(&gate, HERE);
        let (_third, evicted) = admitted(&gate, HERE);
        assert_eq!(evicted, 1);
        assert!(must_end(&first) && !must_end(&elsewhere));
    }

    #[test]
    fn connections_that_work_or_are_proven_are_never_evicted() {
        let gate = Gate::new(caps(2, 2, 3));
        let (mut first, _) = admitted(&gate, HERE);
        let (mut second, _) = admitted(&gate, HERE);
        first.now(Doing::Worthy).unwrap();
        second.now(Doing::Worthy).unwrap();
        assert!(matches!(gate.admit(HERE), Admission::Full));
        assert!(matches!(gate.admit(THERE), Admission::Full));
        drop(first);
        admitted(&gate, HERE);
    }

    #[test]
    fn too_many_handshakes_end_the_oldest_one_of_the_address_that_has_most() {
        let gate = Gate::new(caps(9, 9, 3));
        let (mut lone, _) = admitted(&gate, THERE);
        let (mut first, _) = admitted(&gate, HERE);
        let (mut second, _) = admitted(&gate, HERE);
        let (mut third, _) = admitted(&gate, THERE);
        assert_eq!(lone.now(Doing::Handshake), Ok(0));
        assert_eq!(first.now(Doing::Handshake), Ok(0));
        assert_eq!(second.now(Doing::Handshake), Ok(0));
        assert_eq!(third.now(Doing::Handshake), Ok(1));
        assert!(must_end(&first));
        assert!(!must_end(&lone) && !must_end(&second) && !must_end(&third));
    }

    #[test]
    fn handshakes_of_one_address_are_in_the_way_of_that_address_only() {
        let gate = Gate::new(Caps { handshakes_per_address: 1, ..caps(9, 9, 9) });
        let (mut elsewhere, _) = admitted(&gate, THERE);
        let (mut first, _) = admitted(&gate, HERE);
        let (mut second, _) = admitted(&gate, HERE);
        assert_eq!(elsewhere.now(Doing::Handshake), Ok(0));
        assert_eq!(first.now(Doing::Handshake), Ok(0));
        assert_eq!(second.now(Doing::Handshake), Ok(1));
        assert!(must_end(&first) && !must_end(&second) && !must_end(&elsewhere));
    }

    #[test]
    fn who_has_lost_its_place_does_not_begin() {
        let gate = Gate::new(caps(1, 1, 1));
        let (mut first, _) = admitted(&gate, HERE);
        let (_second, evicted) = admitted(&gate, THERE);
        assert_eq!(evicted, 1);
        assert_eq!(first.now(Doing::Worthy), Err(PlaceLost));
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
