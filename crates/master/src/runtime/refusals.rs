//! An audit trail that strangers cannot fill: of the refusals of one address only so many are
//! written down in a minute, and then how many there were.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use authn::audit::{AuditTrail, Decision};

/// Refusals of one address that are written down in a minute.
const MOST_PER_ADDRESS: u32 = 100;
/// Addresses that are told apart in a minute; all others count as one.
const MOST_ADDRESSES: usize = 4096;

/// The trail.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: Arc<dyn AuditTrail>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    minute: u64,
    refused: HashMap<Option<IpAddr>, u32>,
    unsaid: u64,
}

impl Bounded {
    pub(super) fn new(inner: Arc<dyn AuditTrail>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// Whether this refusal is written down, and how many were not in the minute before.
    fn admit(&self, decision: &Decision) -> (bool, u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = decision.time.since_epoch().as_secs() / 60;
        let mut unsaid = 0;
        if counts.minute != minute {
            unsaid = counts.unsaid;
            *counts = Counts { minute, ..Counts::default() };
        }
        let known = counts.refused.contains_key(&Some(decision.address));
        let key = (known || counts.refused.len() < MOST_ADDRESSES).then_some(decision.address);
        let count = counts.refused.entry(key).or_default();
        *count = count.saturating_add(1);
        let written = *count <= MOST_PER_ADDRESS;
        counts.unsaid += u64::from(!written);
        (written, unsaid)
    }
}

impl AuditTrail for Bounded {
    fn append(&self, decision: &Decision) {
        if decision.granted {
            return self.inner.append(decision);
        }
        let (written, unsaid) = self.admit(decision);
        if unsaid > 0 {
            let reason = format!("{unsaid} more refusals were not written down before this one");
            self.inner.append(&Decision { principal: None, reason, ..decision.clone() });
        }
        if written {
            self.inner.append(decision);
        }
    }
}

#[cfg(test)]
mod authn_refusals {
    use std::time::Duration;

    use model::time::Timestamp;

    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<Decision>>);

    impl AuditTrail for Lines {
        fn append(&self, decision: &Decision) {
            self.0.lock().unwrap().push(decision.clone());
        }
    }

    fn decision(seconds: u64, host: u8, granted: bool) -> Decision {
        Decision {
            time: Timestamp::new(Duration::from_secs(seconds)),
            principal: None,
            address: [10, 0, 0, host].into(),
            method: String::new(),
            realm: "r".to_owned(),
            granted,
            reason: "x".to_owned(),
        }
    }

    #[test]
    fn a_stranger_cannot_fill_the_trail_and_hides_nobody() {
        let lines = Arc::new(Lines::default());
        let trail = Bounded::new(Arc::clone(&lines) as Arc<dyn AuditTrail>);
        let count = || lines.0.lock().unwrap().len();
        for _ in 0..1000 {
            trail.append(&decision(60, 1, false));
        }
        assert_eq!(count(), 100);
        trail.append(&decision(60, 2, false));
        trail.append(&decision(60, 1, true));
        assert_eq!(count(), 102, "others, and what is granted, are written down all the same");
        trail.append(&decision(120, 2, false));
        let last: Vec<_> = lines.0.lock().unwrap().iter().rev().take(2).cloned().collect();
        assert_eq!(last[1].reason, "900 more refusals were not written down before this one");
        assert_eq!(last[0].reason, "x");
    }
}
