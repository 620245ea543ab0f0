//! Who proved a secret not long ago.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::principal::Kinds;
use model::time::Timestamp;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Given;
use crate::accounts::Accounts;

/// How many are remembered; the oldest is forgotten first.
pub(super) const REMEMBERED: usize = 1024;

type Digest = [u8; 32];

/// Recent successes, by digests that mean nothing to whoever has not the key.
pub(super) struct Recent {
    key: Zeroizing<[u8; 32]>,
    lasts: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Of which version of the accounts. Holding it keeps its address from being given again.
    of: Option<Arc<Accounts>>,
    by_digest: HashMap<Digest, (Kinds, Timestamp)>,
    order: VecDeque<Digest>,
}

impl Recent {
    pub(super) fn new(key: [u8; 32], lasts: Duration) -> Self {
        Self { key: Zeroizing::new(key), lasts, known: Mutex::default() }
    }

    fn digest(&self, given: &Given) -> Option<Digest> {
        // Keys of any length are taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).ok()?;
        // The length keeps one pair from being another one.
        mac.update(&given.principal.len().to_be_bytes());
        mac.update(given.principal.as_bytes());
        mac.update(given.secret.expose());
        Some(mac.finalize().into_bytes().into())
    }

    /// As what a client may speak that proved this secret not long ago.
    pub(super) fn find(
        &self,
        accounts: &Arc<Accounts>,
        given: &Given,
        now: Timestamp,
    ) -> Option<Kinds> {
        let digest = self.digest(given)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, accounts)) {
            return None;
        }
        let (kinds, since) = known.by_digest.get(&digest)?;
        // A clock that was set back makes nothing last longer.
        let age = now.since_epoch().checked_sub(since.since_epoch())?;
        (age < self.lasts).then_some(*kinds)
    }

    pub(super) fn remember(
        &self,
        accounts: &Arc<Accounts>,
        given: &Given,
        kinds: Kinds,
        now: Timestamp,
    ) {
        let Some(digest) = self.digest(given) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, accounts)) {
            *known = Known { of: Some(Arc::clone(accounts)), ..Known::default() };
        }
        if known.by_digest.insert(digest, (kinds, now)).is_none() {
            known.order.push_back(digest);
        }
        if known.order.len() > REMEMBERED
            && let Some(oldest) = known.order.pop_front()
        {
            known.by_digest.remove(&oldest);
        }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}
