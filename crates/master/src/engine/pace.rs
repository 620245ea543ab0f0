//! Things that have to wait for their turn.

use std::collections::VecDeque;
use std::time::Duration;

use model::time::Instant;

/// A queue that lets one through in each interval. It saves nothing up: after a long silence one
/// passes at once, and the next an interval later.
#[derive(Debug)]
pub(super) struct Paced<T> {
    interval: Duration,
    /// When the next may pass.
    next: Instant,
    waiting: VecDeque<T>,
}

impl<T> Paced<T> {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: Instant::default(), waiting: VecDeque::new() }
    }

    /// Gives `item` back if it may pass at once. Otherwise it waits, and is to be had from
    /// [`Paced::pop`] when [`Paced::turn`] has come.
    pub(super) fn admit(&mut self, item: T, now: Instant) -> Option<T> {
        if self.waiting.is_empty() && self.next <= now {
            self.next = now + self.interval;
            return Some(item);
        }
        self.waiting.push_back(item);
        None
    }

    /// When the first of those that wait may pass.
    pub(super) fn turn(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// The first of those that wait, if it may pass by now. Being called late costs nobody a turn.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next > now {
            return None;
        }
        let item = self.waiting.pop_front()?;
        self.next = self.next + self.interval;
        Some(item)
    }

    /// Takes those out of the queue that need not wait any more, and says how many they were.
    pub(super) fn forget(&mut self, is: impl Fn(&T) -> bool) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|item| !is(item));
        before - self.waiting.len()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::new(Duration::from_millis(milliseconds))
    }

    #[test]
    fn one_passes_in_each_interval_and_nothing_is_saved_up() {
        let mut queue = Paced::new(Duration::from_millis(100));
        assert_eq!(queue.admit('a', at(5000)), Some('a'));
        assert_eq!(queue.turn(), None);
        for item in ['b', 'c', 'd'] {
            assert_eq!(queue.admit(item, at(5001)), None);
        }
        assert_eq!(queue.turn(), Some(at(5100)));
        assert_eq!(queue.pop(at(5099)), None);
        assert_eq!(queue.pop(at(5100)), Some('b'));
        assert_eq!(queue.forget(|item| *item == 'c'), 1);
        // Late: the rate is kept on the average.
        assert_eq!(queue.pop(at(5390)), Some('d'));
        assert_eq!(queue.admit('e', at(5399)), Some('e'));
        assert_eq!(queue.admit('f', at(5400)), None);
        assert_eq!((queue.len(), queue.turn()), (1, Some(at(5499))));
    }
}
