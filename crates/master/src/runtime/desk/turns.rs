//! Whose turn it is: a bounded number of attempts is worked on at a time.
//!
//! After a change of masters all agents come at once. Whoever began with all of them would have
//! each wait for the last, everybody else besides, and those whose time runs out meanwhile ask
//! again. So the others wait, without having cost more than a place in a queue: in the order in
//! which they came, by turns among the addresses from which they come. A turn lapses, while the
//! attempt goes on: whoever says nothing stands in nobody's way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Attempts that have their turn at a time: enough for as many round trips to be under way.
const MOST: usize = 128;
/// How long a turn keeps others waiting: several times what an attempt takes in one data centre.
const PATIENCE: Duration = Duration::from_millis(250);

/// All attempts that have their turn or wait for it, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: HashSet<u64>,
    /// When turns lapse, in order; those of attempts that are over, too.
    lapses: VecDeque<(Instant, u64)>,
    /// Who stands at a place, and at which place somebody stands.
    places: HashMap<Place, u64>,
    place_of: HashMap<u64, Place>,
    next: u64,
    /// The places of each address, also those that were left, in order; none is empty.
    queues: HashMap<IpAddr, VecDeque<Place>>,
    /// The addresses of the queues, the next one first.
    round: VecDeque<IpAddr>,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(u64);

impl Turns {
    /// Whether an attempt that comes from `origin` has its turn at once. Otherwise it waits.
    pub(super) fn ask(&mut self, number: u64, origin: IpAddr, now: Instant) -> bool {
        self.lapse(now);
        if self.places.is_empty() && self.taken.len() < MOST {
            self.give(number, now);
            return true;
        }
        let place = Place(self.next);
        self.next += 1;
        let queue = self.queues.entry(origin).or_default();
        if queue.is_empty() {
            self.round.push_back(origin);
        }
        queue.push_back(place);
        self.stand(number, place);
        false
    }

    /// An attempt is over. Returns its place if it was still waiting; nobody else gets that place
    /// but by [`Turns::stand`], before the place's turn comes.
    pub(super) fn leave(&mut self, number: u64) -> Option<Place> {
        self.taken.remove(&number);
        let place = self.place_of.remove(&number)?;
        self.places.remove(&place);
        Some(place)
    }

    /// Puts an attempt at the place that an earlier one of the same client has just left.
    pub(super) fn stand(&mut self, number: u64, place: Place) {
        self.places.insert(place, number);
        self.place_of.insert(number, place);
    }

    /// The next attempt that has its turn now.
    pub(super) fn next(&mut self, now: Instant) -> Option<u64> {
        self.lapse(now);
        if self.taken.len() >= MOST {
            return None;
        }
        loop {
            let origin = self.round.pop_front()?;
            let Some(queue) = self.queues.get_mut(&origin) else { continue };
            let mut number = None;
            while number.is_none()
                && let Some(place) = queue.pop_front()
            {
                number = self.places.remove(&place);
            }
            if queue.is_empty() {
                self.queues.remove(&origin);
            } else {
                self.round.push_back(origin);
            }
            if let Some(number) = number {
                self.place_of.remove(&number);
                self.give(number, now);
                return Some(number);
            }
        }
    }

    /// When a turn lapses for which somebody waits.
    pub(super) fn next_lapse(&self) -> Option<Instant> {
        self.lapses.front().map(|(at, _)| *at).filter(|_| !self.places.is_empty())
    }

    fn give(&mut self, number: u64, now: Instant) {
        self.taken.insert(number);
        self.lapses.push_back((now + PATIENCE, number));
    }

    fn lapse(&mut self, now: Instant) {
        while let Some((_, number)) = self.lapses.pop_front_if(|(at, _)| *at <= now) {
            self.taken.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Turns of which none is left.
    fn taken(now: Instant) -> Turns {
        let mut turns = Turns::default();
        assert!((0..MOST as u64).all(|number| turns.ask(number, at(1), now)));
        turns
    }

    #[test]
    fn authn_attempts_wait_for_their_turn_in_order_and_by_turns_among_addresses() {
        let now = Instant::now();
        let mut turns = taken(now);
        for (number, origin) in [(1001, 1), (1002, 1), (1003, 1), (1004, 2), (1005, 3)] {
            assert!(!turns.ask(number, at(origin), now));
        }
        assert_eq!(turns.next(now), None);
        (0..5).for_each(|number| assert_eq!(turns.leave(number), None));
        let order: Vec<u64> = std::iter::from_fn(|| turns.next(now)).collect();
        assert_eq!(order, [1001, 1004, 1005, 1002, 1003]);
        assert!(!turns.ask(1006, at(4), now), "no turn is left");
        turns.leave(1001);
        assert_eq!(turns.next(now), Some(1006));
    }

    #[test]
    fn authn_a_newer_attempt_stands_where_the_older_one_of_its_client_stood() {
        let now = Instant::now();
        let mut turns = taken(now);
        assert!(!turns.ask(1001, at(1), now) && !turns.ask(1002, at(1), now));
        let place = turns.leave(1001).unwrap();
        turns.stand(1003, place);
        turns.leave(0);
        turns.leave(1);
        assert_eq!((turns.next(now), turns.next(now)), (Some(1003), Some(1002)));
    }

    #[test]
    fn attack_a9_whoever_says_nothing_keeps_others_waiting_for_no_longer_than_a_turn() {
        let now = Instant::now();
        let mut turns = taken(now);
        assert_eq!(turns.next_lapse(), None, "nobody waits");
        assert!(!turns.ask(1001, at(2), now));
        assert_eq!(turns.next_lapse(), Some(now + PATIENCE));
        assert_eq!(turns.next(now), None);
        assert_eq!(turns.next(now + PATIENCE), Some(1001));
        assert_eq!(turns.leave(1001), None);
    }

    #[test]
    fn authn_places_that_were_left_are_passed_over_and_not_kept() {
        let now = Instant::now();
        let mut turns = taken(now);
        (1001..2000).for_each(|number| assert!(!turns.ask(number, at(1), now)));
        (1001..2000).for_each(|number| assert!(turns.leave(number).is_some()));
        turns.leave(0);
        assert_eq!(turns.next(now), None);
        assert!(turns.queues.is_empty() && turns.round.is_empty() && turns.places.is_empty());
    }
}
