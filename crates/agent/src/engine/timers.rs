//! Deadlines by name, the earliest first.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{ContainerId, ExecutorId, FrameworkId, TaskId};
use model::time::Instant;

use super::event::{ConnectionId, TokenDigest};
use super::operations::OperationUuid;

/// What a deadline is for. Setting one again moves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Send a registration (again).
    Register,
    /// No ping came.
    Ping,
    /// Executors of an earlier run had their time to come back.
    Recovery,
    /// The head of a status stream is due again.
    Stream(FrameworkId, TaskId),
    /// An operation's outcome is due again.
    Operation(OperationUuid),
    /// A token expires.
    Lease(TokenDigest),
    /// A new executor had its time to subscribe.
    Registration(FrameworkId, ExecutorId, ContainerId),
    /// An executor had its time to end.
    Shutdown(FrameworkId, ExecutorId, ContainerId),
    /// A quiet connection is due for a sign of life.
    Heartbeat(FrameworkId, ExecutorId, ConnectionId),
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_name: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(&timer);
        self.by_time.insert((at, timer.clone()));
        self.by_name.insert(timer, at);
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.by_name.remove(timer) {
            self.by_time.remove(&(at, timer.clone()));
        }
    }

    /// When it is due, if it is set.
    pub(super) fn at(&self, timer: &Timer) -> Option<Instant> {
        self.by_name.get(timer).copied()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_name.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_come_due_in_order_once_and_not_after_they_were_moved_or_cancelled() {
        let at = |s| Instant::new(Duration::from_secs(s));
        let mut timers = Timers::default();
        timers.set(Timer::Ping, at(5));
        timers.set(Timer::Register, at(3));
        timers.set(Timer::Recovery, at(1));
        timers.set(Timer::Ping, at(9));
        timers.cancel(&Timer::Recovery);
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.pop_due(at(2)), None);
        assert_eq!(timers.pop_due(at(5)), Some(Timer::Register));
        assert_eq!(timers.pop_due(at(5)), None);
        assert_eq!(timers.pop_due(at(9)), Some(Timer::Ping));
        assert_eq!(timers.next(), None);
    }
}
