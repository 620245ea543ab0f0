//! Persistent collections: cloning one costs a pointer, and the clone never changes.

mod cells;
mod shelf;

use std::sync::Arc;

pub use cells::{Cells, Earlier};
pub use shelf::{Leaf, Leaves, Shelf};

/// An ordered map.
pub type Map<K, V> = rpds::RedBlackTreeMapSync<K, V>;

/// An ordered set.
pub type Set<T> = rpds::RedBlackTreeSetSync<T>;

/// A map of entities that are shared with snapshots.
pub(super) trait Entities<K, V> {
    /// The place of the entity under `key`, not shared with any snapshot.
    fn place(&mut self, key: &K) -> Option<&mut Arc<V>>;
}

impl<K: Ord + Clone, V> Entities<K, V> for Map<K, Arc<V>> {
    fn place(&mut self, key: &K) -> Option<&mut Arc<V>> {
        self.get_mut(key)
    }
}

impl<K: Ord + Clone, V> Entities<K, V> for Shelf<K, Arc<V>> {
    fn place(&mut self, key: &K) -> Option<&mut Arc<V>> {
        self.get_mut(key)
    }
}

/// The entity under `key`, to be changed: copied first if a snapshot shares it.
pub(super) fn edit<'a, K, V: Clone>(
    map: &'a mut impl Entities<K, V>,
    key: &K,
) -> Option<&'a mut V> {
    map.place(key).map(Arc::make_mut)
}

/// Entities that are over, the oldest first; the oldest are forgotten when there are too many.
#[derive(Clone, Debug)]
pub struct History<T> {
    entries: Shelf<u64, Arc<T>>,
    next: u64,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { entries: Shelf::default(), next: 0 }
    }
}

impl<T> History<T> {
    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.entries.values()
    }

    /// The same, in runs.
    #[must_use]
    pub fn shelf(&self) -> &Shelf<u64, Arc<T>> {
        &self.entries
    }

    /// Adds the newest, and forgets the oldest if there are more than `limit` then, which is the
    /// same each time. Returns the one that is forgotten.
    pub(super) fn push(&mut self, entity: Arc<T>, limit: usize) -> Option<Arc<T>> {
        self.entries.insert_mut(self.next, entity);
        self.next += 1;
        let oldest = self.entries.first().filter(|_| self.entries.size() > limit);
        let oldest = oldest.map(|(key, _)| *key)?;
        self.entries.remove_mut(&oldest)
    }

    /// Takes out those that `leaves` says.
    pub(super) fn extract(&mut self, leaves: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let leaving: Vec<(u64, Arc<T>)> = self
            .entries
            .iter()
            .filter(|(_, entity)| leaves(entity))
            .map(|(key, entity)| (*key, Arc::clone(entity)))
            .collect();
        for (key, _) in &leaving {
            self.entries.remove_mut(key);
        }
        leaving.into_iter().map(|(_, entity)| entity).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_forgets_the_oldest_first() {
        let mut history = History::default();
        let forgotten: Vec<_> = (0..5).map(|n| history.push(Arc::new(n), 3)).collect();
        assert_eq!(forgotten, [None, None, None, Some(Arc::new(0)), Some(Arc::new(1))]);
        let kept = |history: &History<i32>| history.iter().map(|n| **n).collect::<Vec<_>>();
        assert_eq!(kept(&history), [2, 3, 4]);
        assert_eq!(history.extract(|n| *n == 3), [Arc::new(3)]);
        assert_eq!(kept(&history), [2, 4]);
        let mut none = History::default();
        assert_eq!(none.push(Arc::new(9), 0), Some(Arc::new(9)));
        assert!(none.is_empty());
    }
}
