//! What others read: roles, shares, sums.

use std::sync::Arc;

use model::resources::Quantities;
use model::role::Role;

use crate::Allocator;
use crate::event::{RoleFacts, RoleView};

impl Allocator {
    /// The roles with frameworks, reservations, a quota or a weight, and those above them. Costs
    /// what changed since it was last called.
    pub fn role_view(&mut self) -> RoleView {
        for role in std::mem::take(&mut self.tree.gone) {
            self.view.remove_mut(&role);
        }
        for no in std::mem::take(&mut self.tree.changed).iter() {
            let frameworks = self.tree.frameworks_in(no);
            let Some(node) = self.tree.nodes.get(no) else { continue };
            let Some(role) = node.role.clone() else { continue };
            let mut allocated = node.held.all.clone();
            allocated.subtract_all(&node.offered.all);
            let mut consumed = node.reserved.clone();
            consumed.add_all(&node.held.unreserved);
            consumed.subtract_all(&node.offered.unreserved);
            let facts = RoleFacts {
                weight: node.weight,
                quota: node.quota.quota.clone(),
                frameworks,
                consumed: self.names.quantities(&consumed),
                offered: self.names.quantities(&node.offered.all),
                allocated: self.names.quantities(&allocated),
                reserved: self.names.quantities(&node.reserved),
            };
            self.view.insert_mut(role, Arc::new(facts));
        }
        self.view.clone()
    }

    /// What counts against the quota of `role`: what is reserved for it and all beneath it, used
    /// or not, and what they use that is neither reserved nor revocable. What is only offered
    /// does not count.
    #[must_use]
    pub fn quota_consumed(&self, role: &Role) -> Quantities {
        let Some(no) = self.tree.by_role.get(role) else { return Quantities::default() };
        let mut consumed = self.tree.consumed(*no);
        if let Some(node) = self.tree.nodes.get(*no) {
            consumed.subtract_all(&node.offered.unreserved);
        }
        self.names.quantities(&consumed)
    }

    /// The scalars of all agents, revocable ones included.
    #[must_use]
    pub fn total(&self) -> Quantities {
        self.names.quantities(self.tree.total())
    }

    /// The scalars of all agents that are not revocable: what guarantees can rest on.
    #[must_use]
    pub fn capacity(&self) -> Quantities {
        self.names.quantities(&self.lasting)
    }

    /// The dominant share of each role with all beneath it: the largest part of anything in the
    /// cluster that it was offered or uses, without regard to weights.
    pub fn role_shares(&self) -> impl Iterator<Item = (&Role, f64)> {
        self.tree.by_role.iter().filter_map(|(role, no)| {
            Some((role, self.tree.dominant(&self.tree.nodes.get(*no)?.held.all)))
        })
    }
}
