//! How often somebody may guess, over all doors of a daemon.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time;

use authn::throttle::{Judgement, Throttle, ThrottleSettings, Tried};
use model::time::Instant;

/// The throttle of a daemon with its clock: failures at one door count at the others.
#[derive(Debug)]
pub struct Guesses {
    throttle: Mutex<Throttle>,
    start: time::Instant,
}

impl Guesses {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(settings: ThrottleSettings) -> Self {
        Self { throttle: Mutex::new(Throttle::new(settings)), start: time::Instant::now() }
    }

    fn now(&self) -> Instant {
        Instant::new(self.start.elapsed())
    }

    /// Whether a try of somebody from `address` who says that they are `principal` is worth
    /// computing anything for.
    pub fn may_try_as(&self, principal: &str, address: IpAddr) -> Judgement {
        let now = self.now();
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.may_try_as(principal, address, now)
    }

    /// Whether a try from `address` is worth computing anything for.
    pub fn may_try(&self, address: IpAddr) -> Judgement {
        let now = self.now();
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).may_try(address, now)
    }

    /// Whether `client`, an actor that wants to authenticate, may begin to; see
    /// [`Throttle::may_begin`].
    pub fn may_begin(&self, client: &str, address: IpAddr) -> Judgement {
        let now = self.now();
        let throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.may_begin(client, address, now)
    }

    /// Judges a try before its result is given to anybody; see [`Throttle::judge`].
    pub fn judge(&self, principal: Option<&str>, address: IpAddr, tried: Tried) -> Judgement {
        let now = self.now();
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.judge(principal, address, tried, now)
    }

    /// How many failures were counted, and how many results withheld.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).totals()
    }
}
