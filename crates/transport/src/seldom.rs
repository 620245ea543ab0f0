//! Lines of the log that strangers can cause. Each costs a synchronous write and room on a disk,
//! so that only some of them are written; what they are about is counted always.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind that may follow each other at once.
const BURST: u32 = 10;
/// After that, how long it takes until one more may be written.
const REFILL: Duration = Duration::from_secs(10);

/// How many lines of one kind may be written: ten at once, then one every ten seconds.
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Lines written of the present burst; one fewer for every [`REFILL`].
    used: u32,
    /// Since when the refill counts; `None` before the first line.
    since: Option<Instant>,
    /// Lines not written since the last that was.
    unsaid: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl Throttle {
    /// A throttle that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { used: 0, since: None, unsaid: 0 }))
    }

    /// Whether a line may be written now: `Some` with how many before it were not.
    pub fn permit(&self) -> Option<u64> {
        self.permit_at(Instant::now())
    }

    fn permit_at(&self, now: Instant) -> Option<u64> {
        // Nothing panics while the state is held.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *state.since.get_or_insert(now);
        let refilled = now.saturating_duration_since(since).as_secs() / REFILL.as_secs();
        let refilled = u32::try_from(refilled).unwrap_or(u32::MAX);
        if refilled >= state.used {
            state.used = 0;
            state.since = Some(now);
        } else {
            state.used -= refilled;
            state.since = Some(since + REFILL * refilled);
        }
        if state.used >= BURST {
            state.unsaid += 1;
            return None;
        }
        state.used += 1;
        Some(std::mem::take(&mut state.unsaid))
    }
}

/// Writes a line of the log if the throttle of its place in the program permits it, with
/// `more_since`: how many lines from there were not written before it. The first argument is the
/// level (`warn`, `info`), the others are those of `tracing`'s macros; a `Throttle` other than
/// the place's own goes in front, in brackets.
#[macro_export]
macro_rules! seldom {
    ([$throttle:expr] $level:ident, $($line:tt)+) => {
        if let Some(unsaid) = $crate::seldom::Throttle::permit($throttle) {
            let more_since = (unsaid > 0).then_some(unsaid);
            ::tracing::$level!(more_since, $($line)+);
        }
    };
    ($level:ident, $($line:tt)+) => {{
        static THROTTLE: $crate::seldom::Throttle = $crate::seldom::Throttle::new();
        $crate::seldom!([&THROTTLE] $level, $($line)+);
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_and_then_one_every_ten_seconds_that_says_what_was_left_out() {
        let throttle = Throttle::new();
        let start = Instant::now();
        let written = (0..100_000).filter(|_| throttle.permit_at(start).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(throttle.permit_at(start + Duration::from_secs(9)), None);
        assert_eq!(throttle.permit_at(start + Duration::from_secs(10)), Some(99_991));
        assert_eq!(throttle.permit_at(start + Duration::from_secs(19)), None);
        assert_eq!(throttle.permit_at(start + Duration::from_secs(20)), Some(1));
        let later = start + Duration::from_secs(1000);
        assert_eq!((0..100).filter(|_| throttle.permit_at(later).is_some()).count(), 10);
    }

    #[test]
    fn few_lines_are_all_written() {
        let throttle = Throttle::new();
        let start = Instant::now();
        for n in 0..100 {
            assert_eq!(throttle.permit_at(start + REFILL * n), Some(0));
        }
    }
}
