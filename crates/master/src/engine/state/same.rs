//! Whether two states look alike.

use std::sync::Arc;

use super::State;
use crate::engine::collections::Map;

/// Whether both hold the very same entities.
fn same<K: Ord, V>(a: &Map<K, Arc<V>>, b: &Map<K, Arc<V>>) -> bool {
    a.size() == b.size() && a.values().zip(b.values()).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl State {
    /// Whether agents, frameworks, their tasks, offers and what operators have set are the same as
    /// in `other`, and so whatever shows no more than these. A state that was changed and changed back is another one.
    #[must_use]
    pub fn shows_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.master, &other.master)
            && same(&self.agents, &other.agents)
            && same(&self.recovered_agents, &other.recovered_agents)
            && self.unreachable_agents.size() == other.unreachable_agents.size()
            && same(&self.frameworks, &other.frameworks)
            && self.completed_frameworks.shelf().is_same(other.completed_frameworks.shelf())
            && same(&self.offers, &other.offers)
            && self.settings == other.settings
    }
}
