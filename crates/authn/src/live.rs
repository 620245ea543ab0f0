//! What can be read again while a daemon runs.

use std::sync::{Arc, PoisonError, RwLock};

use crate::accounts::{Accounts, Directory};

/// A value that is replaced as a whole: the accounts or keys of a file that was read again.
/// Whoever began with one version ends with it.
#[derive(Debug, Default)]
pub struct Live<T>(RwLock<Arc<T>>);

impl<T> Live<T> {
    /// Begins with `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// The present version.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it is `value`.
    pub fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl Directory for Live<Accounts> {
    fn current(&self) -> Arc<Accounts> {
        Self::current(self)
    }
}

#[cfg(test)]
mod authn_live {
    use super::*;

    #[test]
    fn a_version_in_use_stays_as_it_is() {
        let live = Live::new(1);
        let before = live.current();
        live.replace(2);
        assert_eq!((*before, *live.current()), (1, 2));
    }
}
