//! JSON of entities, rendered once.
//!
//! An entity never changes once a snapshot shares it: a change makes a new one. So what was
//! rendered for an `Arc` stays right for as long as that `Arc` lives, and the cache keeps it alive:
//! an address is never reused for another entity while it is a key here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::engine::state::{Agent, Task};

/// What has been rendered of all entities.
#[derive(Debug, Default)]
pub struct Rendered {
    pub(super) agents: Cache<Agent>,
    pub(super) tasks: Cache<Task>,
}

/// What has been rendered of one kind of entity.
#[derive(Debug)]
pub(super) struct Cache<T> {
    entries: RwLock<HashMap<usize, (Arc<T>, Bytes)>>,
    sweep_at: AtomicUsize,
}

/// Fewer entries than this are never swept.
const SWEEP_FROM: usize = 1024;

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { entries: RwLock::default(), sweep_at: AtomicUsize::new(SWEEP_FROM) }
    }
}

impl<T> Cache<T> {
    /// What `render` makes of `entity`, made now or before.
    pub(super) fn get(&self, entity: &Arc<T>, render: impl FnOnce(&T) -> Vec<u8>) -> Bytes {
        let key = Arc::as_ptr(entity).addr();
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, json)) = entries.get(&key) {
            return json.clone();
        }
        drop(entries);
        let json = Bytes::from(render(entity));
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key, (Arc::clone(entity), json.clone()));
        if entries.len() >= self.sweep_at.load(Ordering::Relaxed) {
            // What nobody but the cache holds is gone or was replaced.
            entries.retain(|_, (entity, _)| Arc::strong_count(entity) > 1);
            self.sweep_at.store((entries.len() * 2).max(SWEEP_FROM), Ordering::Relaxed);
        }
        json
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.read().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_rendered_once_and_a_changed_one_again() {
        let cache = Cache::default();
        let mut entity = Arc::new(1);
        let mut times = 0;
        for _ in 0..3 {
            let json = cache.get(&entity, |n| {
                times += 1;
                n.to_string().into_bytes()
            });
            assert_eq!(json, "1");
        }
        assert_eq!(times, 1);
        // Even the only owner outside cannot change it in place.
        *Arc::make_mut(&mut entity) = 2;
        assert_eq!(cache.get(&entity, |n| n.to_string().into_bytes()), "2");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let cache = Cache::default();
        for n in 0..100 * SWEEP_FROM {
            let _ = cache.get(&Arc::new(n), |n| n.to_string().into_bytes());
            assert!(cache.len() <= SWEEP_FROM);
        }
    }
}
