//! What roles are promised and may not exceed. Quota belongs to the roles right beneath the root,
//! and counts for all that is beneath them.

use std::collections::BTreeMap;

use model::quota::Quota;
use model::role::Role;

use super::{NodeNo, Tree, Way};
use crate::amounts::{Amounts, Name, Names};

/// A role's quota and how far it is used.
#[derive(Debug, Default)]
pub(crate) struct QuotaState {
    pub(crate) quota: Quota,
    pub(crate) guarantees: Amounts,
    pub(crate) limits: BTreeMap<Name, u128>,
    /// What of the guarantees the role does not have yet.
    pub(crate) missing: Amounts,
    /// Whether there is no name left of which it may have more.
    pub(crate) closed: bool,
    /// Whether somebody got less because of the limits since they last loosened.
    pub(crate) held_back: bool,
}

impl Tree {
    /// What counts against the role's quota.
    pub(crate) fn consumed(&self, no: NodeNo) -> Amounts {
        let Some(node) = self.nodes.get(no) else { return Amounts::default() };
        let mut consumed = node.reserved.clone();
        consumed.add_all(&node.held.unreserved);
        consumed
    }

    /// How much of `name` the role and all beneath it have, as far as it counts.
    fn consumed_of(&self, no: NodeNo, name: Name) -> u128 {
        self.nodes.get(no).map_or(0, |node| {
            node.reserved.get(name).saturating_add(node.held.unreserved.get(name))
        })
    }

    /// How much more of `name` the role may have; `None` if there is no limit.
    pub(crate) fn room(&self, top: NodeNo, name: Name) -> Option<u128> {
        let limit = *self.nodes.get(top)?.quota.limits.get(&name)?;
        Some(limit.saturating_sub(self.consumed_of(top, name)))
    }

    pub(crate) fn set_quota(&mut self, role: &Role, quota: Quota, names: &mut Names) {
        let no = self.node(role);
        let guarantees = names.amounts(quota.guarantees());
        let limits: BTreeMap<_, _> = quota
            .limits()
            .iter()
            .map(|(name, limit)| (names.number(name), limit.thousandths().into()))
            .collect();
        if limits.is_empty() {
            self.limited.remove(&no);
        } else {
            self.limited.insert(no);
        }
        if let Some(node) = self.nodes.get_mut(no) {
            let state = &mut node.quota;
            (state.quota, state.guarantees, state.limits) = (quota, guarantees, limits);
        }
        self.changed.insert(no);
        self.weigh_quota(no, true);
        self.prune(no);
    }

    /// What the role has has changed.
    pub(super) fn count_against_quota(&mut self, top: NodeNo, way: Way) {
        let concerned = self.nodes.get(top).is_some_and(|node| !node.quota.quota.is_default());
        if concerned {
            self.weigh_quota(top, way == Way::Out);
        }
    }

    /// Computes what is missing and what is open anew.
    fn weigh_quota(&mut self, top: NodeNo, looser: bool) {
        let consumed = self.consumed(top);
        let Some(node) = self.nodes.get_mut(top) else { return };
        let state = &mut node.quota;
        let mut missing = state.guarantees.clone();
        missing.subtract_all(&consumed);
        let closed = is_closed(&state.limits, &consumed, &self.total);
        let was_closed = std::mem::replace(&mut state.closed, closed);
        if looser && std::mem::take(&mut state.held_back) {
            self.loosened.insert(top);
        }
        // Whoever is closed is not even asked any more.
        state.held_back |= closed;
        let before = std::mem::replace(&mut state.missing, missing.clone());
        let unmet = (!before.is_empty(), !missing.is_empty());
        if before != missing {
            self.relaxed |= before.iter().any(|(name, amount)| missing.get(name) < amount);
            self.required.subtract_all(&before);
            self.required.add_all(&missing);
        }
        if unmet.0 != unmet.1 || was_closed != closed {
            for client in self.clients_beneath(top) {
                self.wanting.set(client, unmet.1);
                self.closed.set(client, closed);
            }
        }
    }

    /// Considers names that have come up since, and those that are gone.
    pub(crate) fn learn_names(&mut self) {
        if std::mem::take(&mut self.other_names) {
            for top in self.limited.clone() {
                self.weigh_quota(top, false);
            }
        }
    }
}

/// Whether a role may have no more of anything that agents have. One without limits always may,
/// also while there are no agents: nobody would look at it again when they come.
fn is_closed(limits: &BTreeMap<Name, u128>, consumed: &Amounts, total: &Amounts) -> bool {
    let full = |name| limits.get(&name).is_some_and(|limit| *limit <= consumed.get(name));
    !limits.is_empty() && limits.len() >= total.len() && total.iter().all(|(name, _)| full(name))
}
