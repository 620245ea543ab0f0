//! What must hold after every event and every run. A violation is a bug in the allocator.

use std::collections::{BTreeMap, BTreeSet};

use model::resources::Resources;
use model::role::Role;

use crate::Allocator;
use crate::agent::{Agent, is_common, split_shared};
use crate::amounts::{Amounts, Names};
use crate::books::by_role;
use crate::filters::MAX_PER_CLIENT;
use crate::tree::{ClientNo, Holding};

/// Sums computed from the agents alone.
#[derive(Debug, Default)]
struct Sums {
    total: Amounts,
    lasting: Amounts,
    headroom: Amounts,
    reserved: BTreeMap<Role, Amounts>,
    held: BTreeMap<ClientNo, Holding>,
    offered: BTreeMap<ClientNo, Holding>,
    places: BTreeMap<ClientNo, u32>,
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, should: &T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?}, not {should:?}")) }
}

impl Allocator {
    /// Says what is wrong if the books contradict each other. Costs much: it computes everything
    /// from the start.
    pub fn check_invariants(&self) -> Result<(), String> {
        // With the numbers that are in use.
        let mut names = self.names.clone();
        if let Some(name) = self.tree.names_in_use().iter().find(|no| names.text(**no).is_empty()) {
            return Err(format!("the name of number {name} is forgotten"));
        }
        let mut sums = Sums::default();
        for (id, no) in &self.agent_nos {
            let agent = self.agents.get(*no).ok_or_else(|| format!("{id} has no entry"))?;
            self.check_agent(*no, agent, &mut sums, &mut names)?;
        }
        same("agents", &self.agents.iter().count(), &self.agent_nos.len())?;
        same("total", self.tree.total(), &sums.total)?;
        same("lasting", &self.lasting, &sums.lasting)?;
        same("headroom", &self.headroom, &sums.headroom)?;
        self.check_clients(&sums)?;
        self.check_tree(&sums)?;
        self.check_ends()
    }

    fn check_agent(
        &self,
        no: u32,
        agent: &Agent,
        sums: &mut Sums,
        names: &mut Names,
    ) -> Result<(), String> {
        let id = &agent.id;
        let mut gone = agent.noted_clients();
        gone.subtract(&self.tree.clients.retired().iter().copied().collect());
        if let Some(client) = gone.iter().find(|client| self.tree.clients.get(*client).is_none()) {
            return Err(format!("something is noted on {id} about client {client}, who is gone"));
        }
        for framework_id in agent.maintenance.noted_frameworks() {
            let framework = self.framework_nos.get(framework_id);
            let framework = framework.and_then(|no| self.frameworks.get(*no));
            if !framework.is_some_and(|framework| framework.questioned.contains(&no)) {
                return Err(format!("{framework_id} is not known to have spoken about {id}"));
            }
        }
        let (shared, mut left) = split_shared(&agent.facts.total);
        for (framework_id, held) in &agent.held {
            if held.is_empty() {
                return Err(format!("{framework_id} has an empty allocation on {id}"));
            }
            if held.iter().any(|resource| resource.allocation.is_none()) {
                return Err(format!("{framework_id} has something without a role on {id}"));
            }
            left = left.minus(&split_shared(&held.unallocated()).1);
        }
        let available = left.plus(&shared);
        same(&format!("available on {id}"), &agent.available, &available)?;
        let free = names.sum(available.iter().filter(|r| is_common(r)));
        same(&format!("free on {id}"), &agent.free, &free)?;
        same("other", &agent.other, &available.iter().any(|r| !is_common(r)))?;
        same("open", &self.open.contains(&no), &agent.is_open())?;
        if agent.is_usable() {
            sums.headroom.add_all(&free);
        }
        sums.total.add_all(&names.sum(agent.facts.total.iter()));
        sums.lasting.add_all(&names.sum(agent.facts.total.iter().filter(|r| !r.revocable)));
        for resource in agent.facts.total.iter() {
            if let Some(role) = resource.reserved_to() {
                let amounts = names.sum(std::iter::once(resource));
                sums.reserved.entry(role.clone()).or_default().add_all(&amounts);
            }
        }
        let books = [(&agent.held, true), (&agent.offered, false)];
        for (book, is_held) in books {
            for (framework_id, all) in book {
                for (role, part) in by_role(all) {
                    let client = self
                        .client(framework_id, &role)
                        .ok_or_else(|| format!("{framework_id} is no client of {role}"))?;
                    let what = holding_of(&part, names);
                    let sum = if is_held { &mut sums.held } else { &mut sums.offered };
                    let sum = sum.entry(client).or_default();
                    sum.all.add_all(&what.all);
                    sum.unreserved.add_all(&what.unreserved);
                    if is_held {
                        *sums.places.entry(client).or_default() += 1;
                    }
                }
                let held = agent.held.get(framework_id);
                if !is_held && !held.is_some_and(|held| held.contains(all)) {
                    return Err(format!("{framework_id} is offered on {id} what it has not"));
                }
            }
        }
        Ok(())
    }

    fn check_clients(&self, sums: &Sums) -> Result<(), String> {
        let none = Holding::default();
        for (no, client) in self.tree.clients.iter() {
            let framework = self
                .frameworks
                .get(client.framework)
                .ok_or_else(|| format!("{} has a client and no entry", client.id))?;
            let node = self.tree.nodes.get(client.node);
            let role = node.and_then(|node| node.role.as_ref());
            let role = role.ok_or_else(|| format!("{} is in no role", client.id))?;
            let what = format!("{} in {role}", client.id);
            same(&what, &framework.clients.get(role), &Some(&no))?;
            same(&what, &client.held, &sums.held.get(&no).unwrap_or(&none).all)?;
            same(&what, &client.offered, &sums.offered.get(&no).unwrap_or(&none).all)?;
            same(&what, &client.places, &sums.places.get(&no).copied().unwrap_or_default())?;
            let facts = framework.facts.as_ref();
            same(&what, &client.subscribed, &facts.is_some_and(|f| f.roles.contains(role)))?;
            let suppressed = facts.is_some_and(|f| f.suppressed.contains(role));
            let active = framework.is_active() && client.subscribed && !suppressed;
            same(&what, &self.tree.active().contains(no), &active)?;
            if !client.subscribed && client.places == 0 {
                return Err(format!("{what} neither wants nor has anything"));
            }
        }
        for (id, no) in &self.framework_nos {
            let framework = self.frameworks.get(*no).ok_or_else(|| format!("{id} has no entry"))?;
            let holds = |agent: &Agent| agent.held.contains_key(id);
            let agents: BTreeSet<_> =
                self.agents.iter().filter(|(_, agent)| holds(agent)).map(|(no, _)| no).collect();
            same(&format!("agents of {id}"), &framework.agents, &agents)?;
        }
        Ok(())
    }

    fn check_tree(&self, sums: &Sums) -> Result<(), String> {
        let mut required = Amounts::default();
        for (role, no) in &self.tree.by_role {
            let node = self.tree.nodes.get(*no).ok_or_else(|| format!("{role} has no node"))?;
            let mut reserved = Amounts::default();
            for (owner, amounts) in &sums.reserved {
                if owner == role || role.is_ancestor_of(owner) {
                    reserved.add_all(amounts);
                }
            }
            same(&format!("reserved for {role}"), &node.reserved, &reserved)?;
            let beneath = self.tree.clients_beneath(*no);
            for (book, all) in [(&node.held, &sums.held), (&node.offered, &sums.offered)] {
                let mut sum = Holding::default();
                for holding in beneath.iter().filter_map(|client| all.get(client)) {
                    sum.all.add_all(&holding.all);
                    sum.unreserved.add_all(&holding.unreserved);
                }
                same(&format!("sums of {role}"), book, &sum)?;
            }
            let active =
                beneath.iter().filter(|client| self.tree.active().contains(**client)).count();
            same(&format!("active in {role}"), &(node.active as usize), &active)?;
            let mut missing = node.quota.guarantees.clone();
            missing.subtract_all(&self.tree.consumed(*no));
            same(&format!("missing in {role}"), &node.quota.missing, &missing)?;
            required.add_all(&missing);
            if self.tree.top_of(*no) == *no {
                for client in beneath {
                    let (wanting, closed) = (!missing.is_empty(), node.quota.closed);
                    same("wanting", &self.tree.wanting.contains(client), &wanting)?;
                    same("closed", &self.tree.closed.contains(client), &closed)?;
                }
            }
        }
        same("required", &self.tree.required, &required)?;
        self.tree.check_order()
    }

    fn check_ends(&self) -> Result<(), String> {
        let mut ends = BTreeSet::new();
        for (no, agent) in self.agents.iter() {
            for (client, filters) in &agent.filters {
                if filters.is_empty() || filters.len() > MAX_PER_CLIENT {
                    return Err(format!("{} filters of one client", filters.len()));
                }
                ends.extend(filters.iter().map(|filter| (filter.expires, no, *client)));
                let known = self.tree.clients.get(*client);
                if !known.is_some_and(|client| client.filtered_on.contains(&no)) {
                    return Err(format!("a filter about {} is nobody's", agent.id));
                }
            }
        }
        same("ends of filters", &self.filter_ends, &ends)?;
        let known = |no: &u32| self.agents.get(*no).is_some();
        let sets = [&self.dirty, &self.deferred, &self.held_back, &self.to_ask, &self.open];
        if !sets.into_iter().flatten().all(known) {
            return Err("a removed agent is still to be looked at".to_owned());
        }
        Ok(())
    }
}

/// The scalars of `all`, of a shared resource one copy.
fn holding_of(all: &Resources, names: &mut Names) -> Holding {
    let mut seen = Resources::new();
    let mut sum = Holding::default();
    for resource in all.iter() {
        let one = Resources::from_iter([resource.clone()]);
        let part = Agent::weight_of(&seen, &one, names);
        sum.all.add_all(&part.all);
        sum.unreserved.add_all(&part.unreserved);
        seen.add_all(&one);
    }
    sum
}
