//! What frameworks refused, and until when.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{AgentId, FrameworkId};
use model::resources::Resources;
use model::role::Role;
use model::time::Instant;

/// The most refusals kept for one framework, role and agent. Refusals that another covers are
/// dropped, so real schedulers have one or two.
const MAX_PER_KEY: usize = 16;

type Key = (FrameworkId, Role, AgentId);

#[derive(Debug)]
struct Filter {
    refused: Resources,
    expires: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Filters {
    filters: BTreeMap<Key, Vec<Filter>>,
    /// Every filter's end.
    expiries: BTreeSet<(Instant, Key)>,
}

impl Filters {
    pub(crate) fn add(
        &mut self,
        framework_id: &FrameworkId,
        role: &Role,
        agent_id: &AgentId,
        refused: Resources,
        expires: Instant,
    ) {
        let key = (framework_id.clone(), role.clone(), agent_id.clone());
        let filters = self.filters.entry(key.clone()).or_default();
        if filters.iter().any(|f| f.expires >= expires && f.refused.contains(&refused)) {
            return;
        }
        let covered = |f: &Filter| f.expires <= expires && refused.contains(&f.refused);
        let mut ended: Vec<Instant> =
            filters.iter().filter(|f| covered(f)).map(|f| f.expires).collect();
        filters.retain(|f| !covered(f));
        if filters.len() == MAX_PER_KEY {
            let first = (0..filters.len()).min_by_key(|i| filters[*i].expires);
            ended.extend(first.map(|i| filters.swap_remove(i).expires));
        }
        filters.push(Filter { refused, expires });
        for end in ended {
            if filters.iter().all(|f| f.expires != end) {
                self.expiries.remove(&(end, key.clone()));
            }
        }
        self.expiries.insert((expires, key));
    }

    /// Whether an offer of `resources` was refused.
    pub(crate) fn block(
        &self,
        framework_id: &FrameworkId,
        role: &Role,
        agent_id: &AgentId,
        resources: &Resources,
    ) -> bool {
        let key = (framework_id.clone(), role.clone(), agent_id.clone());
        self.filters
            .get(&key)
            .is_some_and(|filters| filters.iter().any(|f| f.refused.contains(resources)))
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// Drops what is over, and says which agents that concerns.
    pub(crate) fn expire(&mut self, now: Instant) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        while let Some((expires, key)) = self.expiries.pop_first() {
            if expires > now {
                self.expiries.insert((expires, key));
                break;
            }
            if let Some(filters) = self.filters.get_mut(&key) {
                filters.retain(|f| f.expires > now);
                if filters.is_empty() {
                    self.filters.remove(&key);
                }
            }
            agents.insert(key.2);
        }
        agents
    }

    pub(crate) fn forget_agent(&mut self, id: &AgentId) {
        self.forget(|(_, _, agent_id)| agent_id == id);
    }

    pub(crate) fn forget_framework(&mut self, id: &FrameworkId) {
        self.forget(|(framework_id, _, _)| framework_id == id);
    }

    pub(crate) fn forget_role(&mut self, id: &FrameworkId, role: &Role) {
        self.forget(|(framework_id, r, _)| framework_id == id && r == role);
    }

    fn forget(&mut self, forgotten: impl Fn(&Key) -> bool) {
        self.filters.retain(|key, _| !forgotten(key));
        self.expiries.retain(|(_, key)| !forgotten(key));
    }

    pub(crate) fn count(&self, role: &Role) -> usize {
        self.filters.iter().filter(|((_, r, _), _)| r == role).map(|(_, f)| f.len()).sum()
    }

    pub(crate) fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.filters.keys().map(|(_, _, agent_id)| agent_id)
    }

    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        let expected: BTreeSet<_> = self
            .filters
            .iter()
            .flat_map(|(key, filters)| filters.iter().map(|f| (f.expires, key.clone())))
            .collect();
        if expected != self.expiries {
            return Err("filters and their expiries differ".to_owned());
        }
        match self.filters.values().find(|f| f.is_empty() || f.len() > MAX_PER_KEY) {
            Some(filters) => Err(format!("{} filters under one key", filters.len())),
            None => Ok(()),
        }
    }
}
