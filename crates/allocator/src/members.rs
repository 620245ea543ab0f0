//! Agents and frameworks that come, change and go; quotas and the whitelist.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{AgentId, FrameworkId};
use model::quota::Quota;
use model::resources::Resources;
use model::role::Role;

use crate::agent::Agent;
use crate::bits::Bits;
use crate::facts::{AgentFacts, FrameworkFacts, Held};
use crate::{Allocator, Framework};

impl Allocator {
    fn is_whitelisted(&self, hostname: &str) -> bool {
        self.whitelist.as_ref().is_none_or(|hosts| hosts.contains(hostname))
    }

    pub(crate) fn add_agent(
        &mut self,
        id: AgentId,
        facts: AgentFacts,
        used: BTreeMap<FrameworkId, Resources>,
        active: bool,
    ) {
        self.remove_agent(&id);
        let whitelisted = self.is_whitelisted(&facts.hostname);
        let total = facts.total.clone();
        let agent = Agent::new(id.clone(), facts, active, whitelisted);
        let no = self.agents.insert(agent);
        self.agent_nos.insert(id, no);
        self.change_agent_total(no, total);
        for (framework_id, resources) in used {
            self.hold(no, &framework_id, &resources);
        }
        self.unsettle(no);
        if let Some(agent) = self.agents.get_mut(no) {
            agent.recount(&mut self.names);
        }
        self.settle(no);
        self.headroom_grew = true;
        self.dirty.insert(no);
        if let Some(pause) = &mut self.pause {
            pause.agents_left = pause.agents_left.saturating_sub(1);
        }
    }

    pub(crate) fn remove_agent(&mut self, id: &AgentId) {
        let Some(no) = self.agent_nos.get(id).copied() else { return };
        let held = self.agents.get(no).map(|agent| agent.held.clone()).unwrap_or_default();
        for (framework_id, resources) in held {
            self.release(no, &framework_id, &resources, Held::Offered);
        }
        self.forget_refusals_about(no);
        self.forget_quiet(no, None);
        self.unsettle(no);
        self.change_agent_total(no, Resources::new());
        self.agents.remove(no);
        self.agent_nos.remove(id);
        self.open.remove(&no);
        self.dirty.remove(&no);
        self.deferred.remove(&no);
        self.held_back.remove(&no);
        self.to_ask.remove(&no);
    }

    pub(crate) fn update_agent(&mut self, id: &AgentId, facts: AgentFacts) {
        let Some(no) = self.agent_nos.get(id).copied() else { return };
        let Some(agent) = self.agents.get(no) else { return };
        if agent.facts == facts {
            return;
        }
        if agent.facts.attributes != facts.attributes {
            self.forget_refusals_about(no);
            self.forget_quiet(no, None);
        }
        let whitelisted = self.is_whitelisted(&facts.hostname);
        self.unsettle(no);
        self.change_agent_total(no, facts.total.clone());
        if let Some(agent) = self.agents.get_mut(no) {
            agent.facts = facts;
            agent.whitelisted = whitelisted;
            agent.barred.clear();
            agent.judged.clear();
            agent.recount(&mut self.names);
        }
        self.settle(no);
        self.headroom_grew = true;
        self.dirty.insert(no);
    }

    pub(crate) fn switch_agent(&mut self, id: &AgentId, active: bool) {
        let Some(no) = self.agent_nos.get(id).copied() else { return };
        self.switch(no, |agent| agent.active = active);
    }

    fn switch(&mut self, no: u32, change: impl FnOnce(&mut Agent)) {
        let Some(agent) = self.agents.get(no) else { return };
        let before = agent.is_usable();
        self.unsettle(no);
        let Some(agent) = self.agents.get_mut(no) else { return };
        change(agent);
        let (after, planned) = (agent.is_usable(), agent.maintenance.is_planned());
        self.settle(no);
        if after && !before {
            self.headroom_grew = true;
            self.dirty.insert(no);
            if planned {
                self.to_ask.insert(no);
            }
        }
    }

    pub(crate) fn set_whitelist(&mut self, hosts: Option<BTreeSet<String>>) {
        self.whitelist = hosts;
        for no in self.agent_nos.values().copied().collect::<Vec<_>>() {
            let Some(agent) = self.agents.get(no) else { continue };
            let whitelisted = self.is_whitelisted(&agent.facts.hostname);
            self.switch(no, |agent| agent.whitelisted = whitelisted);
        }
    }

    pub(crate) fn add_framework(&mut self, id: FrameworkId, facts: FrameworkFacts, active: bool) {
        if let Some(no) = self.framework_nos.get(&id).copied() {
            self.update_framework(&id, facts);
            return self.set_framework_active(no, active);
        }
        let no = self.frameworks.insert(Framework { active, ..Framework::new(id.clone()) });
        self.framework_nos.insert(id.clone(), no);
        self.update_framework(&id, facts);
    }

    pub(crate) fn update_framework(&mut self, id: &FrameworkId, facts: FrameworkFacts) {
        let Some(no) = self.framework_nos.get(id).copied() else { return };
        let Some(framework) = self.frameworks.get_mut(no) else { return };
        if framework.facts.as_ref() == Some(&facts) {
            return;
        }
        let old = framework.facts.replace(facts.clone());
        let is_new = old.is_none();
        for role in &facts.roles {
            self.client_for(id, role);
        }
        let Some(framework) = self.frameworks.get(no) else { return };
        let clients: Vec<_> =
            framework.clients.iter().map(|(role, client)| (role.clone(), *client)).collect();
        let old = old.unwrap_or_default();
        let alike = |facts: FrameworkFacts| FrameworkFacts {
            roles: BTreeSet::new(),
            suppressed: BTreeSet::new(),
            ..facts
        };
        // Of a new one nothing has been found out yet.
        let differs = !is_new && alike(old.clone()) != alike(facts.clone());
        if differs {
            // It takes other things than before: what it was kept from counts no more.
            let clients: Bits = clients.iter().map(|(_, client)| *client).collect();
            for (_, agent) in self.agents.iter_mut() {
                agent.forget_judgement(&clients);
            }
            self.fresh.unite(&clients);
        }
        for (role, client_no) in clients {
            let wanted = facts.roles.contains(&role);
            let was_suppressed = old.suppressed.contains(&role);
            if !wanted || (was_suppressed && !facts.suppressed.contains(&role)) {
                self.forget_refusals(client_no);
            }
            if let Some(client) = self.tree.clients.get_mut(client_no) {
                client.subscribed = wanted;
                client.min_allocatable = facts.min_allocatable.get(&role).cloned();
            }
            self.drop_idle_client(client_no);
        }
        self.refresh_clients(no);
    }

    /// Computes anew which of the framework's clients want offers.
    pub(crate) fn refresh_clients(&mut self, no: u32) {
        let Some(framework) = self.frameworks.get(no) else { return };
        for (role, client_no) in &framework.clients {
            let suppressed = framework.facts.as_ref().is_some_and(|f| f.suppressed.contains(role));
            let Some(client) = self.tree.clients.get_mut(*client_no) else { continue };
            client.suppressed = suppressed;
            let active = framework.is_active() && client.subscribed && !suppressed;
            if self.tree.set_active(*client_no, active) && active {
                self.fresh.insert(*client_no);
            }
        }
    }

    pub(crate) fn switch_framework(&mut self, id: &FrameworkId, active: bool) {
        if let Some(no) = self.framework_nos.get(id).copied() {
            self.set_framework_active(no, active);
        }
    }

    fn set_framework_active(&mut self, no: u32, active: bool) {
        let Some(framework) = self.frameworks.get_mut(no) else { return };
        framework.active = active;
        let clients: Vec<_> = framework.clients.values().copied().collect();
        if active {
            // It may be asked about maintenance again.
            self.to_ask.extend(&framework.agents);
        } else {
            for client in clients {
                self.forget_refusals(client);
            }
            self.forget_questions(no);
        }
        self.refresh_clients(no);
    }

    pub(crate) fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(no) = self.framework_nos.get(id).copied() else { return };
        self.set_framework_active(no, false);
        let Some(framework) = self.frameworks.get_mut(no) else { return };
        framework.facts = None;
        let clients: Vec<_> = framework.clients.values().copied().collect();
        for agent_no in framework.agents.clone() {
            let held = self.agents.get(agent_no).and_then(|agent| agent.held.get(id)).cloned();
            self.release(agent_no, id, &held.unwrap_or_default(), Held::Offered);
            self.dirty.insert(agent_no);
        }
        for client_no in clients {
            if let Some(client) = self.tree.clients.get_mut(client_no) {
                client.subscribed = false;
            }
            self.drop_idle_client(client_no);
        }
        // It has no clients left, perhaps because it never had any.
        if self.frameworks.get(no).is_some_and(|framework| framework.clients.is_empty()) {
            self.forget_framework(no);
        }
    }

    pub(crate) fn set_quota(&mut self, role: &Role, quota: Quota) {
        // Quota belongs to the roles right beneath the root, and counts for all beneath them.
        if role.is_nested() {
            return;
        }
        self.tree.set_quota(role, quota, &mut self.names);
        if let Some(top) = self.tree.by_role.get(role).copied() {
            self.tree.loosened.remove(&top);
            for client in self.tree.clients_beneath(top) {
                self.fresh.insert(client);
            }
        }
        self.dirty.append(&mut self.held_back);
    }
}
