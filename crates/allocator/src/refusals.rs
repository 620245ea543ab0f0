//! Refusals: made, ended, forgotten; and the order to leave off or go on.

use std::collections::BTreeSet;

use model::id::FrameworkId;
use model::resources::Resources;
use model::role::Role;
use model::time::Instant;

use crate::Allocator;
use crate::facts::Refusal;
use crate::filters::{self, Filter};
use crate::tree::ClientNo;

impl Allocator {
    /// Notes that a framework does not want `refused`, which is unallocated.
    pub(crate) fn refuse(
        &mut self,
        no: u32,
        (framework_id, role): (&FrameworkId, &Role),
        refused: &Resources,
        refusal: Refusal,
        now: Instant,
    ) {
        let interval = self.rules.allocation_interval;
        let (time, brief) = match refusal {
            Refusal::None => return,
            Refusal::Brief => (interval, true),
            Refusal::For(time) => (time.max(interval), false),
        };
        let Some(client_no) = self.client(framework_id, role) else { return };
        let Some(agent) = self.agents.get_mut(no) else { return };
        let Some(client) = self.tree.clients.get_mut(client_no) else { return };
        let expires = now + time;
        // Most often it refuses all there is, and need not be asked next time.
        agent.blocked.renew(&agent.available);
        let covers_all = refused.contains(&agent.available);
        let known = agent.filters.entry(client_no).or_default();
        let new = Filter { refused: refused.clone(), expires, brief };
        if let Some(dropped) = filters::add(known, new) {
            if !dropped.is_empty() {
                agent.blocked.clients.remove(client_no);
            }
            client.refusals += usize::from(!brief);
            for filter in dropped {
                client.refusals -= usize::from(!filter.brief);
                if known.iter().all(|kept| kept.expires != filter.expires) {
                    self.filter_ends.remove(&(filter.expires, no, client_no));
                }
            }
            self.filter_ends.insert((expires, no, client_no));
        }
        client.filtered_on.insert(no);
        if covers_all {
            agent.blocked.note(client_no, &agent.available);
        }
    }

    /// Ends refusals whose time is over; their agents are looked at again.
    pub(crate) fn end_refusals(&mut self, now: Instant) {
        while let Some(end) = self.filter_ends.pop_first() {
            let (expires, no, client_no) = end;
            if expires > now {
                self.filter_ends.insert(end);
                return;
            }
            let Some(agent) = self.agents.get_mut(no) else { continue };
            let Some(client) = self.tree.clients.get_mut(client_no) else { continue };
            if let Some(known) = agent.filters.get_mut(&client_no) {
                for over in known.extract_if(.., |filter| filter.expires <= now) {
                    client.refusals -= usize::from(!over.brief);
                }
                if known.is_empty() {
                    agent.filters.remove(&client_no);
                    client.filtered_on.remove(&no);
                }
            }
            agent.blocked.clients.remove(client_no);
            self.dirty.insert(no);
        }
    }

    /// Forgets all refusals of a client.
    pub(crate) fn forget_refusals(&mut self, client_no: ClientNo) {
        let Some(client) = self.tree.clients.get_mut(client_no) else { return };
        client.refusals = 0;
        for no in std::mem::take(&mut client.filtered_on) {
            let Some(agent) = self.agents.get_mut(no) else { continue };
            agent.blocked.clients.remove(client_no);
            for filter in agent.filters.remove(&client_no).into_iter().flatten() {
                self.filter_ends.remove(&(filter.expires, no, client_no));
            }
        }
    }

    /// Forgets all refusals about an agent.
    pub(crate) fn forget_refusals_about(&mut self, no: u32) {
        let Some(agent) = self.agents.get_mut(no) else { return };
        agent.blocked.clients.clear();
        for (client_no, filters) in std::mem::take(&mut agent.filters) {
            for filter in filters {
                self.filter_ends.remove(&(filter.expires, no, client_no));
                if let Some(client) = self.tree.clients.get_mut(client_no) {
                    client.refusals -= usize::from(!filter.brief);
                    client.filtered_on.remove(&no);
                }
            }
        }
    }

    /// How many refusals keep offers from frameworks of exactly `role`.
    #[must_use]
    pub fn active_filters(&self, role: &Role) -> usize {
        let node = self.tree.by_role.get(role).and_then(|no| self.tree.nodes.get(*no));
        let clients = node.into_iter().flat_map(|node| node.clients());
        clients.filter_map(|no| self.tree.clients.get(no)).map(|client| client.refusals).sum()
    }

    pub(crate) fn suppress(&mut self, framework_id: &FrameworkId, roles: BTreeSet<Role>) {
        let Some(no) = self.framework_nos.get(framework_id).copied() else { return };
        let Some(facts) = self.frameworks.get_mut(no).and_then(|f| f.facts.as_mut()) else {
            return;
        };
        facts.suppressed.extend(roles);
        self.refresh_clients(no);
    }

    pub(crate) fn revive(&mut self, framework_id: &FrameworkId, roles: &BTreeSet<Role>) {
        let Some(no) = self.framework_nos.get(framework_id).copied() else { return };
        let Some(facts) = self.frameworks.get_mut(no).and_then(|f| f.facts.as_mut()) else {
            return;
        };
        facts.suppressed.retain(|role| !roles.contains(role));
        for role in roles {
            if let Some(client) = self.client(framework_id, role) {
                self.forget_refusals(client);
                self.fresh.insert(client);
            }
        }
        self.refresh_clients(no);
        self.forget_questions_refused(no);
    }
}
