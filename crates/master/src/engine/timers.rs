//! What will be due, and when.

use std::collections::BTreeSet;

use model::id::{AgentId, FrameworkId, OfferId};
use model::time::Instant;

use super::throttle::LimitOf;

/// Something that becomes due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A disconnected framework has not come back.
    Failover(FrameworkId),
    /// The first message that this limit holds back has its turn.
    Held(LimitOf),
    /// An inverse offer is too old.
    InverseOffer(OfferId),
    /// An offer is too old.
    Offer(OfferId),
    /// The next ping of this observer.
    Ping(u64),
    /// Old records of agents are to be dropped.
    RecordsAge,
    /// The next questions of a framework have their turn.
    Reconciliation(FrameworkId),
    /// The registry's agents have had their time to come back.
    Recovery,
    /// The next agent may become unreachable.
    Removal,
    /// A disconnected agent has not come back.
    Reregistration(AgentId),
}

/// All that will be due. Whoever sets a timer knows its moment, and can cancel it by that.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out the next one that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
