//! How often somebody may guess.
//!
//! Failures are counted, never successes, in three books: of a principal from an address, of an
//! address whoever it says it is, and of a principal from wherever. Each failure is worth a point;
//! points fade with time; above an allowance each further one doubles the wait. Who waits is told
//! nothing, neither right nor wrong, and what it tries meanwhile is not counted. Whether a
//! principal exists makes no difference.
//!
//! Who asks and proves nothing, right or wrong, is in a book of clients, which has nothing to do
//! with the others: an honest client may have to begin again many times when thousands do, and its
//! neighbors are not to wait for that.
//!
//! Nobody can lock the owner of a principal out from elsewhere:
//!
//! - Guessing from one address fills the book of that principal *and address*, and then waits. It
//!   cannot reach the allowance of the principal, whose points fade faster than one address can
//!   add to them.
//! - Guessing from many addresses reaches that allowance. Then those wait that have failed for
//!   this principal; the first try from an address that has not failed goes through, and so does
//!   whoever has succeeded from there before. Only at ten times the allowance the first tries of
//!   new addresses wait too, a minute at most, and those that have succeeded before still do not.
//! - Guessing at many principals from one address makes that address wait, but for the principals
//!   that have succeeded from there before: on one machine, or behind one translated address, one
//!   bad neighbour does not keep the others out.
//! - Guessing at a principal from an address from which it has succeeded cannot be told from its
//!   owner. There a wait is short, over soon after the guessing is, and the principal's own
//!   allowance elsewhere is not touched. Whoever goes on guessing without pause still makes the
//!   owner wait for as long; only a proof that is no guess (a certificate) is free of that.
//!
//! An address of IPv6 stands for its /64, which is what one subscriber has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::time::Instant;
use sha2::{Digest, Sha256};

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// For a principal from an address.
    pub pair: Allowance,
    /// The longest wait of a principal at an address from which it has succeeded.
    pub longest_of_good: Duration,
    /// For an address.
    pub address: Allowance,
    /// For a principal.
    pub principal: Allowance,
    /// For a client that asks and proves nothing.
    pub client: Allowance,
    /// How many entries each book has at most.
    pub most_entries: usize,
}

/// What is allowed before somebody waits, and how long they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Failures without any wait.
    pub free: u32,
    /// In what time one failure fades.
    pub fades_in: Duration,
    /// The longest wait; the first is a second.
    pub longest: Duration,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            pair: Allowance { free: 5, fades_in: seconds(600), longest: seconds(900) },
            longest_of_good: seconds(10),
            address: Allowance { free: 20, fades_in: seconds(120), longest: seconds(900) },
            principal: Allowance { free: 50, fades_in: seconds(30), longest: seconds(60) },
            client: Allowance { free: 10, fades_in: seconds(30), longest: seconds(30) },
            most_entries: 32_768,
        }
    }
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It is who it says.
    Proved,
    /// It is not, or nobody is called that.
    Failed,
    /// It asked and then neither proved nor failed to prove anything: garbage, or a client that
    /// knows no mechanism that it may use and asks again at once. Counts for the client only, whose
    /// name takes the place of the principal's, and not for its address: from there many may have
    /// to ask again, through no fault of theirs.
    Nothing,
}

/// What to do with the result of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// Answer.
    Answer,
    /// Forget the result, right or wrong. It may be tried again after this time; what the client
    /// is told must not depend on the result. For libprocess that is nothing: of a refusal agents
    /// end, and an error brings clients of the original back at once.
    Withhold(Duration),
}

/// The books.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    settings: ThrottleSettings,
    pairs: Book<(Name, Address)>,
    addresses: Book<Address>,
    principals: Book<Name>,
    clients: Book<(Name, Address)>,
    failures: u64,
    withheld: u64,
}

/// The digest of a principal: what comes from outside may be long.
type Name = [u8; 16];

type Address = [u8; 16];

type Book<K> = BTreeMap<K, Entry>;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// At `since`.
    points: u32,
    since: Instant,
    until: Instant,
    /// Whether it has succeeded.
    good: bool,
}

impl Throttle {
    /// Empty books.
    #[must_use]
    pub fn new(settings: ThrottleSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Whether a try from `address` is worth its computation, before it is known who it says it
    /// is.
    pub fn may_try(&self, address: IpAddr, now: Instant) -> Judgement {
        let address = subscriber(address);
        // Somebody may be behind it whose tries are not to wait.
        if self.addresses.get(&address).is_some_and(|entry| entry.good) {
            return Judgement::Answer;
        }
        judged(wait(self.addresses.get(&address), now))
    }

    /// Whether a try is worth its computation, where it is known who it says it is.
    pub fn may_try_as(&mut self, principal: &str, address: IpAddr, now: Instant) -> Judgement {
        let judgement = judged(self.wait(Some(digest(principal)), subscriber(address), now));
        if judgement != Judgement::Answer {
            self.withheld = self.withheld.saturating_add(1);
        }
        judgement
    }

    /// Whether `client`, an actor that wants to authenticate, may begin to. One that began again and
    /// again without proving anything waits, also where good neighbors do not: the clients of the
    /// original come back at once if they know none of the mechanisms.
    pub fn may_begin(&self, client: &str, address: IpAddr, now: Instant) -> Judgement {
        let client = self.clients.get(&(digest(client), subscriber(address)));
        match judged(wait(client, now)) {
            Judgement::Answer => self.may_try(address, now),
            wait @ Judgement::Withhold(_) => wait,
        }
    }

    /// Judges a try of somebody who said that they are `principal`, if it came to that. The result
    /// is given to nobody before.
    pub fn judge(
        &mut self,
        principal: Option<&str>,
        address: IpAddr,
        tried: Tried,
        now: Instant,
    ) -> Judgement {
        let address = subscriber(address);
        let name = principal.map(digest);
        let wait = match (tried, name) {
            (Tried::Nothing, Some(name)) => wait(self.clients.get(&(name, address)), now),
            (Tried::Nothing, None) => Duration::ZERO,
            (Tried::Proved | Tried::Failed, name) => self.wait(name, address, now),
        };
        if wait > Duration::ZERO {
            self.withheld = self.withheld.saturating_add(1);
            return Judgement::Withhold(wait);
        }
        let ThrottleSettings {
            pair,
            longest_of_good,
            address: of_address,
            principal: of_name,
            client,
            most_entries,
        } = self.settings;
        match (tried, name) {
            (Tried::Proved, Some(name)) => {
                for entry in [
                    entry(&mut self.pairs, (name, address), pair, most_entries, now),
                    entry(&mut self.addresses, address, of_address, most_entries, now),
                ] {
                    entry.good = true;
                }
                if let Some(entry) = self.pairs.get_mut(&(name, address)) {
                    entry.points = 0;
                }
            }
            (Tried::Nothing, Some(name)) => {
                entry(&mut self.clients, (name, address), client, most_entries, now)
                    .count(client, now);
            }
            (Tried::Proved | Tried::Nothing, None) => {}
            (Tried::Failed, _) => {
                self.failures = self.failures.saturating_add(1);
                entry(&mut self.addresses, address, of_address, most_entries, now)
                    .count(of_address, now);
                let Some(name) = name else { return Judgement::Answer };
                let of_pair = entry(&mut self.pairs, (name, address), pair, most_entries, now);
                let (good, mut allowance) = (of_pair.good, pair);
                if good {
                    allowance.longest = allowance.longest.min(longest_of_good);
                }
                of_pair.count(allowance, now);
                // With its short waits one address could exhaust it.
                if !good {
                    entry(&mut self.principals, name, of_name, most_entries, now)
                        .count(of_name, now);
                }
            }
        }
        Judgement::Answer
    }

    /// How many failures have been counted, and how many results withheld, since the start.
    #[must_use]
    pub const fn totals(&self) -> (u64, u64) {
        (self.failures, self.withheld)
    }

    fn wait(&self, name: Option<Name>, address: Address, now: Instant) -> Duration {
        let of_address = wait(self.addresses.get(&address), now);
        let Some(name) = name else { return of_address };
        let pair = self.pairs.get(&(name, address));
        let own = wait(pair, now);
        if pair.is_some_and(|pair| pair.good) {
            return own;
        }
        let allowance = self.settings.principal;
        let of_name = self.principals.get(&name).map_or(Duration::ZERO, |entry| {
            let points = entry.points(allowance, now);
            let failed = pair.is_some_and(|pair| pair.points(self.settings.pair, now) > 0);
            let applies = failed || points >= allowance.free.saturating_mul(10);
            if applies { entry.until - now } else { Duration::ZERO }
        });
        own.max(of_address).max(of_name)
    }
}

impl Entry {
    /// The points that are left of them.
    fn points(&self, allowance: Allowance, now: Instant) -> u32 {
        let faded = (now - self.since).as_nanos() / allowance.fades_in.as_nanos().max(1);
        self.points.saturating_sub(u32::try_from(faded).unwrap_or(u32::MAX))
    }

    /// Lets points fade without losing what is on its way to the next.
    fn fade(&mut self, allowance: Allowance, now: Instant) {
        let left = self.points(allowance, now);
        let faded = self.points - left;
        self.since =
            if left == 0 { now } else { self.since + allowance.fades_in.saturating_mul(faded) };
        self.points = left;
    }

    fn count(&mut self, allowance: Allowance, now: Instant) {
        self.fade(allowance, now);
        self.points = self.points.saturating_add(1);
        if let Some(over) = self.points.checked_sub(allowance.free + 1) {
            let wait = Duration::from_secs(1 << over.min(32)).min(allowance.longest);
            self.until = now + wait;
        }
    }
}

fn judged(wait: Duration) -> Judgement {
    match wait {
        Duration::ZERO => Judgement::Answer,
        wait => Judgement::Withhold(wait),
    }
}

fn wait(entry: Option<&Entry>, now: Instant) -> Duration {
    entry.map_or(Duration::ZERO, |entry| entry.until - now)
}

/// The entry of `key`. A full book forgets what has faded, and if that is not enough an eighth of
/// the rest, those with the fewest points first and those that have succeeded last.
fn entry<K: Ord + Copy>(
    book: &mut Book<K>,
    key: K,
    allowance: Allowance,
    most: usize,
    now: Instant,
) -> &mut Entry {
    if book.len() >= most && !book.contains_key(&key) {
        book.retain(|_, entry| entry.good || entry.points(allowance, now) > 0);
        if book.len() >= most {
            let rank = |(key, entry): (&K, &Entry)| {
                (entry.good, entry.points(allowance, now), entry.since, *key)
            };
            let mut ranks: Vec<_> = book.iter().map(rank).collect();
            ranks.sort_unstable();
            for (_, _, _, key) in ranks.into_iter().take(most / 8 + 1) {
                book.remove(&key);
            }
        }
    }
    book.entry(key).or_insert(Entry { since: now, ..Entry::default() })
}

fn digest(principal: &str) -> Name {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(Sha256::digest(principal)) {
        *to = from;
    }
    name
}

/// Who an address stands for: IPv4 as IPv6 writes it; of IPv6 the upper half.
#[must_use]
pub fn subscriber(address: IpAddr) -> Address {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            octets
        }
    }
}

#[cfg(test)]
mod authn_throttle;
