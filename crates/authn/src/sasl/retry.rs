//! When a client tries to authenticate, and when it tries again (`authentication.md` §9.2).
//!
//! A machine beside [`Attempt`](super::attempt::Attempt): the driver runs attempts and timers,
//! each with the number that this machine gave it, and tells what came of them. Numbers that are
//! no longer current are ignored, so nothing needs to be cancelled for correctness.
//!
//! The original tries again at once after whatever went wrong, so that a master that answers with
//! an error meets a loop without delay. Here this holds only for an attempt that nobody answered,
//! which took its time. After an error there is a pause, drawn from a range that doubles.

use std::time::Duration;

use super::attempt::Ended;

/// The settings of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// `authentication_timeout_min`: an attempt gets at least this long.
    pub timeout_min: Duration,
    /// `authentication_timeout_max`: an attempt gets at most this long.
    pub timeout_max: Duration,
    /// `authentication_backoff_factor`.
    pub backoff_factor: Duration,
    /// The longest time before the first attempt with a newly detected master, so that not all
    /// agents come at once: `registration_backoff_factor` for agents, nothing for frameworks.
    pub first_wait: Duration,
}

impl Default for RetrySettings {
    /// Those of an agent.
    fn default() -> Self {
        Self {
            timeout_min: Duration::from_secs(5),
            timeout_max: Duration::from_mins(1),
            backoff_factor: Duration::from_secs(1),
            first_wait: Duration::from_secs(1),
        }
    }
}

/// The number of an attempt, and of the timers that belong to it. Larger than all before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// What happened. Each comes with fresh random bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A master was detected: the first, another, or the same again.
    MasterDetected,
    /// There is no master for now.
    MasterLost,
    /// The time of [`Effect::Wait`] is over.
    WaitOver(Number),
    /// The time that [`Effect::Begin`] gave the attempt is over.
    TimeUp(Number),
    /// The attempt ended.
    Ended(Number, Ended),
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Give the attempt that is under way up, without a word to the master.
    Discard(Number),
    /// Come back with [`Event::WaitOver`].
    Wait(Number, Duration),
    /// Begin an attempt with the master detected last, and come back with [`Event::TimeUp`].
    Begin {
        /// Its number.
        number: Number,
        /// How long it gets.
        time: Duration,
    },
    /// Authenticated, by the attempt of this number; registration follows. To be told
    /// [`Event::MasterDetected`] again when the session is over.
    Authenticated(Number, Ended),
    /// The master refuses the credential. The machine has stopped; an agent of the original ends
    /// with status 1, a driver reports `Master refused authentication`.
    Refused,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Retries {
    settings: RetrySettings,
    number: Number,
    state: State,
    /// The upper bound of the time of the next attempt.
    longest: Duration,
    /// Errors in a row.
    errors: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No master, or nothing to do.
    Idle,
    Waiting,
    Trying,
    Refused,
}

impl Retries {
    /// A client that knows no master yet.
    #[must_use]
    pub fn new(settings: RetrySettings) -> Self {
        let longest = first_bound(&settings);
        Self { settings, number: Number(0), state: State::Idle, longest, errors: 0 }
    }

    /// Takes an event. `random` are 64 random bits, used once.
    #[must_use]
    pub fn handle(&mut self, event: Event, random: u64) -> Vec<Effect> {
        match event {
            Event::MasterDetected => {
                let mut effects = self.stop();
                if self.state != State::Refused {
                    self.longest = first_bound(&self.settings);
                    self.errors = 0;
                    match self.settings.first_wait {
                        Duration::ZERO => effects.push(self.begin(random)),
                        most => effects.push(self.wait(between(Duration::ZERO, most, random))),
                    }
                }
                effects
            }
            Event::MasterLost => self.stop(),
            Event::WaitOver(number) if self.is(State::Waiting, number) => {
                vec![self.begin(random)]
            }
            Event::TimeUp(number) if self.is(State::Trying, number) => {
                let mut effects = self.stop();
                self.errors = 0;
                self.lengthen();
                effects.push(self.begin(random));
                effects
            }
            Event::Ended(number, ended) if self.is(State::Trying, number) => match ended {
                Ended::Authenticated { .. } => {
                    self.state = State::Idle;
                    vec![Effect::Authenticated(number, ended)]
                }
                Ended::Refused => {
                    self.state = State::Refused;
                    vec![Effect::Refused]
                }
                Ended::Failed(_) => {
                    self.lengthen();
                    let most = self.pause();
                    self.errors = self.errors.saturating_add(1);
                    vec![self.wait(between(most / 2, most, random))]
                }
            },
            Event::WaitOver(_) | Event::TimeUp(_) | Event::Ended(..) => Vec::new(),
        }
    }

    fn is(&self, state: State, number: Number) -> bool {
        self.state == state && self.number == number
    }

    fn stop(&mut self) -> Vec<Effect> {
        match self.state {
            State::Idle | State::Refused => Vec::new(),
            State::Waiting => {
                self.state = State::Idle;
                Vec::new()
            }
            State::Trying => {
                self.state = State::Idle;
                vec![Effect::Discard(self.number)]
            }
        }
    }

    fn next(&mut self, state: State) -> Number {
        self.state = state;
        self.number = Number(self.number.0 + 1);
        self.number
    }

    fn wait(&mut self, time: Duration) -> Effect {
        Effect::Wait(self.next(State::Waiting), time)
    }

    fn begin(&mut self, random: u64) -> Effect {
        let time = between(self.settings.timeout_min, self.longest, random);
        Effect::Begin { number: self.next(State::Trying), time }
    }

    fn lengthen(&mut self) {
        let over = self.longest.saturating_sub(self.settings.timeout_min);
        self.longest = bound(&self.settings, over);
    }

    /// The longest pause after an error: the back-off factor, doubled with each error in a row.
    fn pause(&self) -> Duration {
        let factor = self.settings.backoff_factor.max(SHORTEST_PAUSE);
        factor
            .saturating_mul(1 << self.errors.min(16))
            .min(self.settings.timeout_max.max(SHORTEST_PAUSE))
    }
}

/// Even with a back-off factor of nothing there is no loop without delay.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

fn first_bound(settings: &RetrySettings) -> Duration {
    bound(settings, settings.backoff_factor)
}

fn bound(settings: &RetrySettings, over: Duration) -> Duration {
    let longest = settings.timeout_min.saturating_add(over.saturating_mul(2));
    longest.min(settings.timeout_max)
}

/// A time in the range; the ends may come in any order.
fn between(least: Duration, most: Duration, random: u64) -> Duration {
    let span = most.saturating_sub(least).as_nanos();
    let part = (span * u128::from(random)) >> 64;
    least.min(most) + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod authn_retry;
