//! How long to wait before the next attempt.

use std::time::Duration;

/// Doubles from `first` to `longest`; each delay is drawn from the upper half of its range, so
/// that many who lost the same peer do not come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    ceiling: Duration,
    seed: u64,
}

impl Backoff {
    /// Starts at `first` and never waits longer than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, ceiling: first, seed }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.longest);
        let half = ceiling / 2;
        half + half.mul_f64(self.fraction())
    }

    /// Whether no delay was asked for since the start or the last [`Backoff::reset`].
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.ceiling == self.first
    }

    /// Something worked: start from the beginning next time.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }

    /// A number in 0..1: one step of a linear congruential generator (Knuth's constants), of
    /// which the high bits are used. Nothing secret hangs on it.
    fn fraction(&mut self) -> f64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.seed >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_again_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            let delay = backoff.next_delay();
            let ceiling = Duration::from_millis(ceiling);
            assert!(delay >= ceiling / 2 && delay <= ceiling, "{delay:?} of {ceiling:?}");
        }
        assert!(!backoff.is_fresh());
        backoff.reset();
        assert!(backoff.is_fresh());
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn two_seeds_give_two_series() {
        let series = |seed| {
            let mut b = Backoff::new(Duration::from_secs(1), Duration::from_secs(8), seed);
            (0..4).map(|_| b.next_delay()).collect::<Vec<_>>()
        };
        assert_ne!(series(1), series(2));
        assert_eq!(series(3), series(3));
    }
}
