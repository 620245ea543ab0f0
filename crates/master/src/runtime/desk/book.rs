//! The attempts that are under way. Everything is found by its key, and everything is bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use authn::sasl::session::Session;
use libprocess::sender::{ConnectionId, PeerFacts};
use libprocess::upid::Upid;
use tokio::time::Instant;
use transport::messenger::Link;
use transport::tls::Expected;

use super::held::Held;
use super::turns::{Place, Turns};
use super::{host, host_of};

/// Attempts at a time. All agents of a large cluster come at once when a master changes.
pub(super) const MOST: usize = 65_536;
/// Attempts at a time from one address: a machine may hold many drivers.
pub(super) const MOST_PER_HOST: usize = 16_384;
/// Attempts at a time for one client, each on a connection of its own: whoever can only claim to
/// be there does not stand in the way of whoever is.
pub(super) const MOST_PER_CLIENT: usize = 4;
/// Registrations that wait for one attempt: one, and what was sent again meanwhile.
pub(super) const MOST_HELD: usize = 4;
/// Fresh links that are remembered.
const MOST_FRESH: usize = MOST;

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The number of its session actor; grows with each attempt.
    pub(super) number: u64,
    pub(super) client: Upid,
    pub(super) authenticatee: Upid,
    /// Who must answer at that address.
    pub(super) expected: Expected,
    /// The connection on which it began, and to which it is bound.
    pub(super) facts: Arc<PeerFacts>,
    /// The link to the authenticatee; `None` before the attempt has its turn.
    pub(super) link: Option<Link>,
    /// When it takes too long.
    pub(super) deadline: Instant,
    /// `None` before the attempt has its turn, and while a message is being dealt with.
    pub(super) session: Option<Session>,
    /// The mechanism that the client chose; from outside.
    pub(super) mechanism: String,
    /// Registrations that wait.
    pub(super) held: Vec<Held>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    last: u64,
    attempts: HashMap<u64, Attempt>,
    /// The attempts for each client, by the connection on which they began.
    by_client: HashMap<Upid, BTreeMap<ConnectionId, u64>>,
    by_authenticatee: HashMap<Upid, u64>,
    by_host: HashMap<Ipv4Addr, usize>,
    /// The address of the clients for which each connection has begun attempts, and how many.
    by_connection: HashMap<ConnectionId, (SocketAddrV4, usize)>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Links over which clients were talked to just now.
    fresh: HashMap<Upid, (Link, u64)>,
    /// When they are not fresh any more, in order.
    stale: VecDeque<(Instant, Upid, u64)>,
    next_fresh: u64,
    turns: Turns,
}

/// An attempt that is about to begin.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its number; `None` if there is no room.
    pub(super) number: Option<u64>,
    /// The place of the one that it takes the place of, if that was still waiting for its turn.
    pub(super) place: Option<Place>,
    /// The attempts in whose place it comes.
    pub(super) older: Vec<Attempt>,
}

/// What a session is begun with.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) authenticatee: Upid,
    pub(super) expected: Expected,
    pub(super) facts: Arc<PeerFacts>,
}

/// A session to be worked with.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one message only")]
pub(super) enum Taken {
    /// To be put back.
    Session(Session),
    /// The attempt is over, or never was.
    NoSuchAttempt,
    /// It is not for this sender, on this connection, or not now.
    Stray,
}

/// What becomes of a registration.
#[derive(Debug)]
pub(super) enum Holding {
    /// There is no attempt to wait for.
    Free(Box<Held>),
    /// It waits.
    Held,
    /// So many wait already that it is dropped.
    TooMany,
}

/// What is due.
#[derive(Debug)]
pub(super) enum Due {
    /// This attempt takes too long, and is not in the book any more.
    Overdue(Box<Attempt>),
    /// Nothing until then.
    At(Instant),
    /// Nothing.
    Never,
}

/// The id of a session actor. The original's, whatever the mechanism.
pub(super) fn actor(number: u64) -> String {
    format!("{PREFIX}{number})")
}

const PREFIX: &str = "crammd5-authenticator-session(";

/// The number of a session actor.
pub(in super::super) fn number_of(actor: &str) -> Option<u64> {
    let number = actor.strip_prefix(PREFIX)?.strip_suffix(')')?;
    // In the one way in which we write it.
    number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)
}

impl Book {
    /// Makes room for an attempt; [`Book::enter`] follows.
    pub(super) fn begin(
        &mut self,
        client: &Upid,
        authenticatee: &Upid,
        facts: &PeerFacts,
    ) -> Begun {
        let of_client = self.by_client.get(client);
        let same = of_client.and_then(|attempts| attempts.get(&facts.connection)).copied();
        let place = same.and_then(|number| self.turns.leave(number));
        // The eldest of those that have not answered makes room, if none is replaced anyway.
        let eldest = of_client
            .filter(|attempts| same.is_none() && attempts.len() >= MOST_PER_CLIENT)
            .and_then(|attempts| attempts.values().min_by_key(|number| self.worth(**number)))
            .copied();
        let older = same.or(eldest).and_then(|number| self.take(number)).into_iter().collect();
        let of_host = self.by_host.get(&host(client.address)).copied().unwrap_or(0);
        let room = self.attempts.len() < MOST
            && of_host < MOST_PER_HOST
            // A connection authenticates the clients of one address only: otherwise it would have
            // us dial as many as it likes, before anything is proved.
            && self
                .by_connection
                .get(&facts.connection)
                .is_none_or(|(address, _)| *address == client.address)
            // One session per authenticatee: the original does not answer a second request.
            && !self.by_authenticatee.contains_key(authenticatee);
        let number = room.then(|| {
            self.last += 1;
            self.last
        });
        Begun { number, place, older }
    }

    /// What makes an attempt worth keeping: that its client has answered, then that it is young.
    fn worth(&self, number: u64) -> (bool, u64) {
        let answered = |attempt: &Attempt| !attempt.mechanism.is_empty();
        (self.attempts.get(&number).is_some_and(answered), number)
    }

    /// Enters an attempt, and says whether it has its turn at once. Otherwise it waits, at `place`
    /// if it may.
    pub(super) fn enter(&mut self, attempt: Attempt, place: Option<Place>, now: Instant) -> bool {
        let number = attempt.number;
        let of_client = self.by_client.entry(attempt.client.clone()).or_default();
        of_client.insert(attempt.facts.connection, number);
        self.by_authenticatee.insert(attempt.authenticatee.clone(), number);
        *self.by_host.entry(host(attempt.client.address)).or_default() += 1;
        let dialled = self.by_connection.entry(attempt.facts.connection);
        dialled.or_insert((attempt.client.address, 0)).1 += 1;
        self.deadlines.insert((attempt.deadline, number));
        let origin = host_of(&attempt.facts);
        self.attempts.insert(number, attempt);
        match place {
            Some(place) => {
                self.turns.stand(number, place);
                false
            }
            None => self.turns.ask(number, origin, now),
        }
    }

    /// The next attempt that has its turn now.
    pub(super) fn next_turn(&mut self, now: Instant) -> Option<u64> {
        self.turns.next(now)
    }

    /// When a turn lapses for which somebody waits.
    pub(super) fn next_lapse(&self) -> Option<Instant> {
        self.turns.next_lapse()
    }

    /// What the session of an attempt is begun with.
    pub(super) fn opening(&self, number: u64) -> Option<Opening> {
        self.attempts.get(&number).map(|attempt| Opening {
            authenticatee: attempt.authenticatee.clone(),
            expected: attempt.expected.clone(),
            facts: Arc::clone(&attempt.facts),
        })
    }

    /// The session of an attempt has begun, if that is still under way.
    pub(super) fn opened(&mut self, number: u64, link: Link, session: Session) -> Option<&Attempt> {
        self.attempts.get_mut(&number)?.link = Some(link);
        self.put_back(number, session)
    }

    /// Takes an attempt out of the book.
    pub(super) fn take(&mut self, number: u64) -> Option<Attempt> {
        let attempt = self.attempts.remove(&number)?;
        self.turns.leave(number);
        self.deadlines.remove(&(attempt.deadline, number));
        if let Some((_, count)) = self.by_connection.get_mut(&attempt.facts.connection) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_connection.remove(&attempt.facts.connection);
            }
        }
        if let Some(of_client) = self.by_client.get_mut(&attempt.client) {
            of_client.retain(|_, other| *other != number);
            if of_client.is_empty() {
                self.by_client.remove(&attempt.client);
            }
        }
        if self.by_authenticatee.get(&attempt.authenticatee) == Some(&number) {
            self.by_authenticatee.remove(&attempt.authenticatee);
        }
        let host = host(attempt.client.address);
        if let Some(count) = self.by_host.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_host.remove(&host);
            }
        }
        Some(attempt)
    }

    /// The session of an attempt, for a message from `from` on `connection`.
    pub(super) fn take_session(
        &mut self,
        number: u64,
        from: &Upid,
        connection: ConnectionId,
    ) -> Taken {
        let Some(attempt) = self.attempts.get_mut(&number) else { return Taken::NoSuchAttempt };
        if attempt.authenticatee != *from || attempt.facts.connection != connection {
            return Taken::Stray;
        }
        attempt.session.take().map_or(Taken::Stray, Taken::Session)
    }

    /// The session of an attempt whose step has been computed.
    pub(super) fn take_working(&mut self, number: u64) -> Option<Session> {
        self.attempts.get_mut(&number)?.session.take()
    }

    /// The connection of an attempt that is still under way.
    pub(super) fn facts(&self, number: u64) -> Option<Arc<PeerFacts>> {
        self.attempts.get(&number).map(|attempt| Arc::clone(&attempt.facts))
    }

    /// Whether the attempt is still under way.
    pub(super) fn is_open(&self, number: u64) -> bool {
        self.attempts.contains_key(&number)
    }

    /// The client has chosen a mechanism.
    pub(super) fn chose(&mut self, number: u64, mechanism: &str) {
        if let Some(attempt) = self.attempts.get_mut(&number) {
            attempt.mechanism = mechanism.chars().take(64).collect();
        }
    }

    /// Puts a session back into its attempt, if that is still under way.
    pub(super) fn put_back(&mut self, number: u64, session: Session) -> Option<&Attempt> {
        let attempt = self.attempts.get_mut(&number)?;
        attempt.session = Some(session);
        Some(attempt)
    }

    /// Takes out the attempt of an authenticatee whose link ended.
    pub(super) fn take_linked(&mut self, authenticatee: &Upid, ended: Link) -> Option<Attempt> {
        let number = *self.by_authenticatee.get(authenticatee)?;
        // The end of a link says nothing about one that was made since.
        self.attempts.get(&number).filter(|one| one.link.is_some_and(|link| link <= ended))?;
        self.take(number)
    }

    /// Keeps a registration until the attempt of its sender is over: the one on the same
    /// connection, or the latest. Who has a session waits only for an attempt of its own.
    pub(super) fn hold(&mut self, held: Held) -> Holding {
        let number = self.by_client.get(held.from.upid()).and_then(|attempts| {
            let same = attempts.get(&held.facts.connection).copied();
            let latest = attempts.values().max().copied();
            same.or(latest.filter(|_| held.from.session().is_none()))
        });
        let Some(attempt) = number.and_then(|number| self.attempts.get_mut(&number)) else {
            return Holding::Free(Box::new(held));
        };
        if attempt.held.len() >= MOST_HELD {
            return Holding::TooMany;
        }
        attempt.held.push(held);
        Holding::Held
    }

    /// Takes out the next attempt that takes too long.
    pub(super) fn pop_due(&mut self, now: Instant) -> Due {
        while self.stale.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, client, mark)) = self.stale.pop_front() else { break };
            if self.fresh.get(&client).is_some_and(|(_, fresh)| *fresh == mark) {
                self.fresh.remove(&client);
            }
        }
        if let Some((at, number)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.remove(&(at, number));
            if let Some(attempt) = self.take(number) {
                return Due::Overdue(Box::new(attempt));
            }
        }
        let attempts = self.deadlines.first().map(|(at, _)| *at);
        let stale = self.stale.front().map(|(at, ..)| *at);
        attempts.into_iter().chain(stale).min().map_or(Due::Never, Due::At)
    }

    /// Remembers a link over which a client was just talked to.
    pub(super) fn keep_fresh(&mut self, (client, link): (Upid, Link), until: Instant) {
        if self.stale.len() >= MOST_FRESH {
            return;
        }
        self.next_fresh += 1;
        self.fresh.insert(client.clone(), (link, self.next_fresh));
        self.stale.push_back((until, client, self.next_fresh));
    }

    /// The link over which a client was just talked to.
    pub(super) fn take_fresh(&mut self, client: &Upid) -> Option<Link> {
        self.fresh.remove(client).map(|(link, _)| link)
    }
}
