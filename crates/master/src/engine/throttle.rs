//! `--rate_limits`: how many messages the drivers of a principal may send in a second. More than
//! that wait, up to a capacity; beyond it they are dropped, and the driver is told to end.

use std::collections::BTreeMap;
use std::time::Duration;

use libprocess::sender::BoundPid;
use libprocess::upid::Upid;
use model::identity::Identity;
use wire::internal;

use super::Engine;
use super::agents::peer_of;
use super::effect::Peer;
use super::message::{Inbound, Outbound};
use super::out::{Out, quoted, sender};
use super::pace::Paced;
use super::state::{Framework, MessageCounts};
use super::timers::Timer;

/// The most messages that wait for one limit, also for those that state no capacity: what comes
/// from outside never fills the memory.
pub const MAX_WAITING: u64 = 100_000;

/// The most bytes of messages that wait for one limit. One message may be larger than this, if it
/// waits alone.
pub const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// How much somebody may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time between two messages: one second divided by `qps`.
    pub interval: Duration,
    /// How many messages may wait; `None`: [`MAX_WAITING`].
    pub capacity: Option<u64>,
}

/// How much the drivers of each principal may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// By principal; `None`: as much as they like.
    pub principals: BTreeMap<String, Option<RateLimit>>,
    /// All others together, those without a principal included; `None`: as much as they like.
    pub others: Option<RateLimit>,
}

/// Which limit: a principal's own, or that of all others.
pub(super) type LimitOf = Option<String>;

#[derive(Debug)]
enum Held {
    /// In its place in the order, so that what was sent before the link broke comes before that.
    Exited {
        pid: Upid,
        identity: Option<Identity>,
    },
    Message {
        from: BoundPid,
        to: String,
        message: Box<Inbound>,
        bytes: usize,
    },
}

/// One limit at work.
#[derive(Debug)]
struct Limiter {
    capacity: u64,
    /// How many of those that wait are messages.
    messages: u64,
    /// How many bytes they have.
    bytes: usize,
    waiting: Paced<Held>,
}

impl Limiter {
    fn new(limit: RateLimit) -> Self {
        let capacity = limit.capacity.unwrap_or(MAX_WAITING).min(MAX_WAITING);
        Self { capacity, messages: 0, bytes: 0, waiting: Paced::new(limit.interval) }
    }
}

/// All limits at work.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// Principals that may send as much as they like.
    free: std::collections::BTreeSet<String>,
    limiters: BTreeMap<LimitOf, Limiter>,
}

impl Throttle {
    pub(super) fn new(limits: &RateLimits) -> Self {
        let mut throttle = Self::default();
        for (principal, limit) in &limits.principals {
            match limit {
                Some(limit) => {
                    let key = Some(principal.clone());
                    throttle.limiters.insert(key, Limiter::new(*limit));
                }
                None => {
                    throttle.free.insert(principal.clone());
                }
            }
        }
        if let Some(limit) = limits.others {
            throttle.limiters.insert(None, Limiter::new(limit));
        }
        throttle
    }

    /// The limit that holds for frameworks of `principal`.
    fn limit_of(&self, principal: Option<&str>) -> Option<LimitOf> {
        let own = principal.map(str::to_owned);
        if own.is_some() && self.limiters.contains_key(&own) {
            return Some(own);
        }
        let free = principal.is_some_and(|principal| self.free.contains(principal));
        (!free && self.limiters.contains_key(&None)).then_some(None)
    }
}

impl Engine {
    /// The subscribed framework whose driver `peer` is.
    fn framework_at(&self, peer: &Peer) -> Option<&Framework> {
        let id = self.by_driver.get(&peer.pid)?;
        let framework = self.state.frameworks.get(id)?;
        framework.driver().filter(|driver| driver.peer == *peer)?;
        Some(framework)
    }

    /// A message came in: it is handled now, or when it is its turn. Who only claims the address
    /// of a driver uses up nothing of what that may send.
    pub(super) fn take_message(
        &mut self,
        from: BoundPid,
        to: String,
        message: Box<Inbound>,
        out: &mut Out,
    ) {
        let own = |framework: &&Framework| framework.owner.admits(&from.owner());
        let Some(framework) = self.framework_at(&peer_of(&from)).filter(own) else {
            return self.message(&from, &to, *message, out);
        };
        let principal = framework.info.principal.clone();
        let limit = self.throttle.limit_of(principal.as_deref());
        self.count_message(principal.as_deref(), |counts| &mut counts.received);
        let Some(key) = limit else {
            return self.process(principal.as_deref(), &from, &to, message, out);
        };
        let Some(limiter) = self.throttle.limiters.get_mut(&key) else { return };
        let bytes = message.encoded_len();
        let full = limiter.messages >= limiter.capacity;
        let room = limiter.bytes == 0 || limiter.bytes.saturating_add(bytes) <= MAX_WAITING_BYTES;
        if full || !room {
            let limit =
                if full { limiter.capacity.to_string() } else { format!("{MAX_WAITING_BYTES}B") };
            return drop_message(&from, principal.as_deref(), message.name(), &limit, out);
        }
        let held = Held::Message { from, to, message, bytes };
        if let Some(held) = limiter.waiting.admit(held, out.now.monotonic) {
            return self.release(held, out);
        }
        limiter.messages += 1;
        limiter.bytes += bytes;
        self.wait_for_turn(&key);
    }

    /// A link ended. That is told in the order of the messages that came before, and always.
    pub(super) fn take_exit(&mut self, pid: Upid, identity: Option<Identity>, out: &mut Out) {
        let peer = Peer { pid: pid.clone(), identity: identity.clone() };
        let limit = self
            .framework_at(&peer)
            .and_then(|framework| self.throttle.limit_of(framework.info.principal.as_deref()));
        let limiter = limit.as_ref().and_then(|key| self.throttle.limiters.get_mut(key));
        match (limit, limiter) {
            // With nothing before it there is nothing to keep in order.
            (Some(key), Some(limiter)) if limiter.waiting.len() > 0 => {
                let held = Held::Exited { pid, identity };
                if let Some(held) = limiter.waiting.admit(held, out.now.monotonic) {
                    return self.release(held, out);
                }
                self.wait_for_turn(&key);
            }
            _ => self.exited(pid, identity, out),
        }
    }

    fn wait_for_turn(&mut self, key: &LimitOf) {
        let turn = self.throttle.limiters.get(key).and_then(|limiter| limiter.waiting.turn());
        if let Some(turn) = turn {
            self.timers.set(turn, Timer::Held(key.clone()));
        }
    }

    /// The first that waits for this limit has its turn.
    pub(super) fn held_due(&mut self, key: &LimitOf, out: &mut Out) {
        let Some(limiter) = self.throttle.limiters.get_mut(key) else { return };
        let held = limiter.waiting.pop(out.now.monotonic);
        if let Some(Held::Message { bytes, .. }) = &held {
            limiter.messages -= 1;
            limiter.bytes -= bytes;
        }
        self.wait_for_turn(key);
        if let Some(held) = held {
            self.release(held, out);
        }
    }

    fn release(&mut self, held: Held, out: &mut Out) {
        match held {
            Held::Exited { pid, identity } => self.exited(pid, identity, out),
            Held::Message { from, to, message, .. } => {
                let principal = self
                    .framework_at(&peer_of(&from))
                    .and_then(|framework| framework.info.principal.clone());
                self.process(principal.as_deref(), &from, &to, message, out);
            }
        }
    }

    fn process(
        &mut self,
        principal: Option<&str>,
        from: &BoundPid,
        to: &str,
        message: Box<Inbound>,
        out: &mut Out,
    ) {
        self.message(from, to, *message, out);
        self.count_message(principal, |counts| &mut counts.processed);
    }

    /// Counts a message of a driver for its principal, as long as that has frameworks.
    fn count_message(
        &mut self,
        principal: Option<&str>,
        which: impl Fn(&mut MessageCounts) -> &mut u64,
    ) {
        let Some(principal) = principal else { return };
        if let Some(counts) = self.state.principals.get_mut(principal) {
            let count = which(counts);
            *count = count.saturating_add(1);
        }
    }

    /// Starts to count for a principal that has a framework now.
    pub(super) fn watch_principal(&mut self, principal: Option<&str>) {
        if let Some(principal) = principal
            && !self.state.principals.contains_key(principal)
        {
            self.state.principals.insert_mut(principal.to_owned(), MessageCounts::default());
        }
    }

    /// Forgets the counts of a principal whose last framework has ended.
    pub(super) fn unwatch_principal(&mut self, principal: Option<&str>) {
        let Some(principal) = principal else { return };
        let of = |framework: &Framework| framework.info.principal.as_deref() == Some(principal);
        if !self.state.frameworks.values().any(|framework| of(framework)) {
            self.state.principals.remove_mut(principal);
        }
    }
}

fn drop_message(
    from: &BoundPid,
    principal: Option<&str>,
    name: &str,
    capacity: &str,
    out: &mut Out,
) {
    out.warn(format!(
        "Dropping message {name} from {} ({}): capacity({capacity}) exceeded",
        sender(from),
        quoted(principal.unwrap_or_default())
    ));
    // The driver ends itself over this.
    let message = format!("Message {name} dropped: capacity({capacity}) exceeded");
    let message = internal::FrameworkErrorMessage { message };
    out.send(&peer_of(from), Outbound::FrameworkError(message));
}
