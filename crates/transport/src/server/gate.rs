//! How many connections there may be, who has to go when there are too many, and whose handshake
//! is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

#[cfg(test)]
mod tests;

/// How many connections there may be. Of IPv6 addresses the first 64 bits count as one address:
/// whoever has one of them has them all.
///
/// At a cap an idle connection that has proven nothing makes room: the oldest of the address that
/// has most of them, and those over which nothing was said yet before those over which messages
/// came. If there is none, the new one is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one IP address.
    pub per_address: usize,
    /// Connections in the middle of a TLS handshake. More than that wait for their turn, which
    /// goes round the addresses from which some wait.
    pub handshakes: usize,
    /// Connections from one IP address in the middle of a TLS handshake. More than that wait for
    /// their turn. Many components may share one address behind a translator of addresses.
    pub handshakes_per_address: usize,
    /// How long a handshake may take while others wait for its place. If none waits, the server's
    /// deadline for handshakes is all that counts.
    pub handshake_patience: Duration,
}

impl Default for Caps {
    /// One address can take a quarter of what there is.
    fn default() -> Self {
        Self {
            connections: 65_536,
            per_address: 16_384,
            handshakes: 1_024,
            handshakes_per_address: 256,
            handshake_patience: Duration::from_secs(2),
        }
    }
}

/// Counts connections, ends those that are one too many, and gives turns to handshakes.
#[derive(Debug)]
pub(super) struct Gate {
    caps: Caps,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// The number of the next connection, of the next that waits for its handshake, and of the
    /// next place in the round.
    next: u64,
    entries: HashMap<u64, Entry>,
    origins: HashMap<IpAddr, Origin>,
    /// The addresses that have connections which may be ended, for each rank; the one that has
    /// most of them last, and of those that have as many, the one with the oldest.
    crowds: [BTreeSet<(usize, Reverse<u64>, IpAddr)>; RANKS],
    /// How many connections are in a handshake.
    handshakes: usize,
    /// Connections whose handshake has taken longer than others shall wait for it.
    overdue: BTreeSet<u64>,
    /// Addresses from which connections wait for their handshake and that are below their cap, by
    /// when they joined the round. The first is next. Each is in it once, and none from which
    /// nobody waits.
    turns: BTreeMap<u64, IpAddr>,
}

#[derive(Debug)]
struct Entry {
    origin: IpAddr,
    doing: Doing,
    /// Its place among those of its address that wait for their handshake.
    waits: Option<u64>,
    end: Arc<Notify>,
}

/// What is known about an address.
#[derive(Debug, Default)]
struct Origin {
    connections: usize,
    /// Connections that may be ended, by rank, oldest first.
    evictable: [BTreeSet<u64>; RANKS],
    handshakes: usize,
    /// Connections that wait for their handshake, in the order in which they began to.
    waiting: BTreeMap<u64, (u64, oneshot::Sender<()>)>,
    /// Its place in the round.
    turn: Option<u64>,
}

/// What a connection does at the moment, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing, and it has proven nothing.
    IdleUnproven,
    /// Nothing; it has proven nothing, but a message came over it that could be its peer's.
    IdleHeard,
    /// The handshake.
    Handshake,
    /// It is proven, sends a message whose sender is bound, or waits for the program's answer to a
    /// request. It is not ended to make room.
    Worthy,
}

impl Doing {
    /// How soon it is ended to make room: at a lower rank sooner; `None`: not at all.
    fn rank(self) -> Option<usize> {
        match self {
            Self::IdleUnproven | Self::Handshake => Some(0),
            Self::IdleHeard => Some(1),
            Self::Worthy => None,
        }
    }
}

const RANKS: usize = 2;

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
        let origin = origin_of(address);
        let mut book = self.book();
        let mut evicted = 0;
        let from_there = book.origins.get(&origin);
        if from_there.is_some_and(|of| of.connections >= self.caps.per_address) {
            let Some(oldest) = from_there.and_then(Origin::first_to_go) else {
                return Admission::Full;
            };
            book.evict(oldest, self.caps);
            evicted += 1;
        }
        if book.entries.len() >= self.caps.connections {
            let Some(oldest) = book.first_to_go() else { return Admission::Full };
            book.evict(oldest, self.caps);
            evicted += 1;
        }
        let id = book.number();
        let end = Arc::new(Notify::new());
        let doing = Doing::IdleUnproven;
        // It is entered as worthy, and becomes what it is by the way that all others go.
        let entry = Entry { origin, doing: Doing::Worthy, waits: None, end: Arc::clone(&end) };
        book.entries.insert(id, entry);
        book.origins.entry(origin).or_default().connections += 1;
        book.classify(id, doing);
        Admission::Admitted { ticket: Ticket { gate: Arc::clone(self), id, doing, end }, evicted }
    }

    /// Ends a connection that is idle and unproven, because descriptors ran out.
    pub(super) fn evict_one(&self) -> bool {
        let mut book = self.book();
        let first = book.first_to_go();
        if let Some(first) = first {
            book.evict(first, self.caps);
        }
        first.is_some()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while the book is held; and if, the counts are better than none.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address.
pub(super) fn origin_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl Origin {
    fn first_to_go(&self) -> Option<u64> {
        self.evictable.iter().find_map(|of_rank| of_rank.first().copied())
    }

    fn crowd(&self, rank: usize, origin: IpAddr) -> Option<(usize, Reverse<u64>, IpAddr)> {
        let of_rank = &self.evictable[rank];
        of_rank.first().map(|oldest| (of_rank.len(), Reverse(*oldest), origin))
    }
}

impl Book {
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn first_to_go(&self) -> Option<u64> {
        self.crowds.iter().find_map(|of_rank| of_rank.last().map(|(_, Reverse(id), _)| *id))
    }

    /// Forgets a connection at once, so that its place is free, and tells it to end.
    fn evict(&mut self, id: u64, caps: Caps) {
        if let Some(entry) = self.remove(id, caps) {
            entry.end.notify_one();
        }
    }

    fn remove(&mut self, id: u64, caps: Caps) -> Option<Entry> {
        self.classify(id, Doing::Worthy);
        let entry = self.entries.remove(&id)?;
        if let Some(origin) = self.origins.get_mut(&entry.origin) {
            if let Some(place) = entry.waits {
                origin.waiting.remove(&place);
            }
            if origin.waiting.is_empty()
                && let Some(turn) = origin.turn.take()
            {
                self.turns.remove(&turn);
            }
            origin.connections -= 1;
            if origin.connections == 0 {
                self.origins.remove(&entry.origin);
            }
        }
        self.give_turns(entry.origin, caps);
        Some(entry)
    }

    /// Notes what a connection does now.
    fn classify(&mut self, id: u64, doing: Doing) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.doing, doing);
        let address = entry.origin;
        let origin = self.origins.entry(address).or_default();
        if before.rank() != doing.rank() {
            for rank in [before.rank(), doing.rank()].into_iter().flatten() {
                if let Some(crowd) = origin.crowd(rank, address) {
                    self.crowds[rank].remove(&crowd);
                }
                let of_rank = &mut origin.evictable[rank];
                if doing.rank() == Some(rank) {
                    of_rank.insert(id);
                } else {
                    of_rank.remove(&id);
                }
                if of_rank.is_empty() {
                    // One that was emptied keeps its room.
                    *of_rank = BTreeSet::new();
                }
                self.crowds[rank].extend(origin.crowd(rank, address));
            }
        }
        match (before == Doing::Handshake, doing == Doing::Handshake) {
            (false, true) => {
                origin.handshakes += 1;
                self.handshakes += 1;
            }
            (true, false) => {
                origin.handshakes -= 1;
                self.handshakes -= 1;
                self.overdue.remove(&id);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Puts `address` into the round if it can use a turn, and gives turns while there is room.
    fn give_turns(&mut self, address: IpAddr, caps: Caps) {
        self.join_round(address, caps);
        while self.handshakes < caps.handshakes
            && let Some((_, address)) = self.turns.pop_first()
        {
            let Some(origin) = self.origins.get_mut(&address) else { continue };
            origin.turn = None;
            if origin.handshakes >= caps.handshakes_per_address {
                // It comes back when one of them has ended.
                continue;
            }
            let Some((_, (id, turn))) = origin.waiting.pop_first() else { continue };
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.waits = None;
            }
            self.classify(id, Doing::Handshake);
            // Who does not wait any more gives the place back with its ticket.
            let _ = turn.send(());
            self.join_round(address, caps);
        }
    }

    fn join_round(&mut self, address: IpAddr, caps: Caps) {
        let turn = self.number();
        if let Some(origin) = self.origins.get_mut(&address)
            && origin.turn.is_none()
            && !origin.waiting.is_empty()
            && origin.handshakes < caps.handshakes_per_address
        {
            origin.turn = Some(turn);
            self.turns.insert(turn, address);
        }
    }

    /// Whose handshake must go so that one from `address` can begin.
    fn in_the_way_of(&self, address: IpAddr, caps: Caps) -> Option<u64> {
        let of = |id: &u64| self.entries.get(id).map(|entry| entry.origin);
        let crowd = |id: &u64| {
            let origin = of(id).and_then(|origin| self.origins.get(&origin));
            origin.map_or(0, |origin| origin.handshakes)
        };
        let here = self.origins.get(&address)?;
        if here.handshakes >= caps.handshakes_per_address {
            return self.overdue.iter().copied().find(|id| of(id) == Some(address));
        }
        if self.handshakes < caps.handshakes {
            return None;
        }
        // There are no more of them than the cap, and each costs far more than this look at it.
        self.overdue.iter().copied().max_by_key(|id| (crowd(id), Reverse(*id)))
    }

    /// Whether somebody waits for the place of a handshake from `address`.
    fn is_waited_for(&self, address: IpAddr, caps: Caps) -> bool {
        let here = self.origins.get(&address);
        let here = here.is_some_and(|origin| {
            !origin.waiting.is_empty() && origin.handshakes >= caps.handshakes_per_address
        });
        here || (self.handshakes >= caps.handshakes && !self.turns.is_empty())
    }
}

impl Ticket {
    /// Says what the connection does now, other than a handshake. An error says that it has lost
    /// its place: then it must not begin.
    pub(super) fn now(&mut self, doing: Doing) -> Result<(), PlaceLost> {
        if self.doing == doing {
            return Ok(());
        }
        let caps = self.gate.caps;
        let mut book = self.gate.book();
        let Some(origin) = book.entries.get(&self.id).map(|entry| entry.origin) else {
            return Err(PlaceLost);
        };
        self.doing = doing;
        book.classify(self.id, doing);
        book.give_turns(origin, caps);
        Ok(())
    }

    /// Asks for the turn to make a handshake. What is returned is ready when it has come; an error
    /// then means that the place is lost. Also says how many others had to go for it.
    pub(super) fn handshake(&mut self) -> Result<(oneshot::Receiver<()>, u64), PlaceLost> {
        let caps = self.gate.caps;
        let mut book = self.gate.book();
        let place = book.number();
        let (turn, comes) = oneshot::channel();
        let Some(entry) = book.entries.get_mut(&self.id) else { return Err(PlaceLost) };
        entry.waits = Some(place);
        let address = entry.origin;
        self.doing = Doing::Handshake;
        book.origins.entry(address).or_default().waiting.insert(place, (self.id, turn));
        let in_the_way = book.in_the_way_of(address, caps);
        if let Some(other) = in_the_way {
            book.evict(other, caps);
        }
        book.give_turns(address, caps);
        Ok((comes, u64::from(in_the_way.is_some())))
    }

    /// Says that the handshake has taken as long as others shall wait for it. From now on it goes
    /// when one of them wants to begin; if one waits already, the place is lost.
    pub(super) fn overdue(&mut self) -> Result<(), PlaceLost> {
        let caps = self.gate.caps;
        let mut book = self.gate.book();
        let Some(entry) = book.entries.get(&self.id) else { return Err(PlaceLost) };
        let origin = entry.origin;
        if book.is_waited_for(origin, caps) {
            book.remove(self.id, caps);
            return Err(PlaceLost);
        }
        book.overdue.insert(self.id);
        Ok(())
    }

    /// Fires when the connection must end to make room.
    pub(super) fn end(&self) -> Arc<Notify> {
        Arc::clone(&self.end)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let caps = self.gate.caps;
        self.gate.book().remove(self.id, caps);
    }
}
