//! Whether a peer takes what is written to it fast enough.

use std::time::Duration;

use tokio::time::Instant;

/// How fast a peer must take its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// In each such time …
    pub within: Duration,
    /// … it takes at least so many bytes of what waits for it, or all of it.
    pub bytes: usize,
}

impl Default for Pace {
    /// Slower than the slowest modem.
    fn default() -> Self {
        Self { within: Duration::from_secs(60), bytes: 16 * 1024 }
    }
}

/// How fast a peer has taken what waits for it. Time counts only while something waits.
#[derive(Debug)]
pub(super) struct Progress {
    pace: Pace,
    /// Since when something waits, or since when enough was taken last, and what was taken since.
    window: Option<(Instant, usize)>,
}

impl Progress {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, window: None }
    }

    /// Something waits, now at the latest. Returns when the peer is too slow if it takes nothing.
    pub(super) fn waits(&mut self) -> Instant {
        let (since, _) = self.window.get_or_insert_with(|| (Instant::now(), 0));
        *since + self.pace.within
    }

    /// The peer took so many bytes of what waits.
    pub(super) fn took(&mut self, bytes: usize) {
        if let Some((_, taken)) = &mut self.window {
            *taken += bytes;
            if *taken >= self.pace.bytes {
                self.window = Some((Instant::now(), 0));
            }
        }
    }

    /// Nothing waits any more.
    pub(super) fn done(&mut self) {
        self.window = None;
    }

    /// Until when it has time; `None` while nothing waits that could not be written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.window.map(|(since, _)| since + self.pace.within)
    }

    pub(super) fn is_too_slow(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_too_slow() {
        let mut progress = Progress::new(Pace { within: 60 * SECOND, bytes: 1000 });
        progress.waits();
        for _ in 0..59 {
            advance(SECOND).await;
            progress.took(1);
            progress.waits();
        }
        assert!(!progress.is_too_slow());
        advance(SECOND).await;
        assert!(progress.is_too_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_enough_or_all_has_time_again() {
        let mut progress = Progress::new(Pace { within: 60 * SECOND, bytes: 1000 });
        assert_eq!(progress.deadline(), None);
        progress.waits();
        advance(59 * SECOND).await;
        progress.took(1000);
        advance(59 * SECOND).await;
        assert!(!progress.is_too_slow());
        progress.done();
        advance(3600 * SECOND).await;
        assert!(!progress.is_too_slow());
    }
}
