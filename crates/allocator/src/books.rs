//! The places where resources are entered and struck out, for agents, roles and frameworks at
//! once.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{AgentId, FrameworkId};
use model::resources::Resources;
use model::role::Role;
use model::time::Instant;

use crate::agent::Agent;
use crate::amounts::Amounts;
use crate::bits::Bits;
use crate::facts::{Held, Refusal};
use crate::tree::{Book, ClientNo, Way};
use crate::{Allocator, Framework};

/// The parts of `resources` by the role that they are allocated to. What is allocated to none is
/// nobody's.
pub(crate) fn by_role(resources: &Resources) -> BTreeMap<Role, Resources> {
    let mut entries = resources.iter();
    let Some(first) = entries.next().and_then(|first| first.allocation.as_ref()) else {
        return split_by_role(resources);
    };
    if entries.all(|entry| entry.allocation.as_ref() == Some(first)) {
        return BTreeMap::from([(first.clone(), resources.clone())]);
    }
    split_by_role(resources)
}

fn split_by_role(resources: &Resources) -> BTreeMap<Role, Resources> {
    let roles: BTreeSet<_> = resources.iter().filter_map(|r| r.allocation.clone()).collect();
    let part = |role: &Role| resources.filter(|r| r.allocation.as_ref() == Some(role));
    roles.into_iter().map(|role| (role.clone(), part(&role))).collect()
}

pub(crate) fn has_role(resources: &Resources, role: &Role) -> bool {
    resources.iter().any(|resource| resource.allocation.as_ref() == Some(role))
}

impl Allocator {
    /// Takes an agent out of the sums over what is free, to be changed.
    pub(crate) fn unsettle(&mut self, no: u32) {
        if let Some(agent) = self.agents.get(no).filter(|agent| agent.is_usable()) {
            self.headroom.subtract_all(&agent.free);
        }
    }

    /// Puts an agent that has changed into the sums again.
    pub(crate) fn settle(&mut self, no: u32) {
        let Some(agent) = self.agents.get(no) else { return };
        if agent.is_usable() {
            self.headroom.add_all(&agent.free);
        }
        if agent.is_open() {
            self.open.insert(no);
        } else {
            self.open.remove(&no);
        }
    }

    /// The framework's client in the role, made if need be.
    pub(crate) fn client_for(&mut self, framework_id: &FrameworkId, role: &Role) -> ClientNo {
        let framework_no = self.framework_nos.get(framework_id).copied().unwrap_or_else(|| {
            let no = self.frameworks.insert(Framework::new(framework_id.clone()));
            self.framework_nos.insert(framework_id.clone(), no);
            no
        });
        let known = self.frameworks.get(framework_no).and_then(|f| f.clients.get(role)).copied();
        known.unwrap_or_else(|| {
            let client = self.tree.add_client(framework_no, framework_id, role);
            if let Some(framework) = self.frameworks.get_mut(framework_no) {
                framework.clients.insert(role.clone(), client);
            }
            client
        })
    }

    /// Forgets the client if its framework neither wants the role nor holds anything in it, and
    /// the framework if it is not known and holds nothing.
    pub(crate) fn drop_idle_client(&mut self, no: ClientNo) {
        let Some(client) = self.tree.clients.get(no) else { return };
        if client.subscribed || client.places > 0 {
            return;
        }
        let framework_no = client.framework;
        let role = self.tree.nodes.get(client.node).and_then(|node| node.role.clone());
        self.forget_refusals(no);
        self.tree.remove_client(no);
        self.fresh.remove(no);
        self.deferred_fresh.remove(no);
        if self.tree.clients.has_many_retired() {
            self.forget_retired_clients();
        }
        let Some(framework) = self.frameworks.get_mut(framework_no) else { return };
        if let Some(role) = role {
            framework.clients.remove(&role);
        }
        if framework.facts.is_none() && framework.clients.is_empty() {
            self.forget_framework(framework_no);
        }
    }

    /// Takes the numbers of clients that are no more out of all that is noted about agents. That
    /// is a walk over all agents, so it is made for many clients at once.
    fn forget_retired_clients(&mut self) {
        let gone: Bits = self.tree.clients.retired().iter().copied().collect();
        for (_, agent) in self.agents.iter_mut() {
            agent.forget_clients(&gone);
        }
        self.tree.clients.reuse_retired();
    }

    /// Forgets a framework that has no clients left, and what it said.
    pub(crate) fn forget_framework(&mut self, no: u32) {
        let Some(framework) = self.frameworks.remove(no) else { return };
        self.framework_nos.remove(&framework.id);
        for agent in framework.questioned {
            self.forget_answers(agent, &framework.id);
        }
    }

    /// Enters what a framework uses without having been offered it.
    pub(crate) fn hold(&mut self, no: u32, framework_id: &FrameworkId, resources: &Resources) {
        self.unsettle(no);
        for (role, part) in by_role(resources) {
            let client = self.client_for(framework_id, &role);
            self.enter(no, (framework_id, client), &role, &part);
            let Some(agent) = self.agents.get_mut(no) else { continue };
            agent.take(&part.unallocated(), &mut self.names);
        }
        self.settle(no);
    }

    fn enter(
        &mut self,
        no: u32,
        (framework_id, client): (&FrameworkId, ClientNo),
        role: &Role,
        part: &Resources,
    ) {
        let Some(mut agent) = self.agents.take(no) else { return };
        self.enter_held(no, &mut agent, (client, framework_id), (role, part));
        self.agents.put(no, agent);
    }

    /// Enters what a client has from now on, on an agent in hand, into all books but what is
    /// available.
    fn enter_held(
        &mut self,
        no: u32,
        agent: &mut Agent,
        (client, framework_id): (ClientNo, &FrameworkId),
        (role, part): (&Role, &Resources),
    ) {
        let held = agent.held.entry(framework_id.clone()).or_default();
        let what = Agent::weight_of(held, part, &mut self.names);
        let is_new = !has_role(held, role);
        held.add_all(part);
        self.tree.book(client, Book::Held, Way::In, &what);
        if !is_new {
            return;
        }
        if let Some(client) = self.tree.clients.get_mut(client) {
            client.places += 1;
            if let Some(framework) = self.frameworks.get_mut(client.framework) {
                framework.agents.insert(no);
            }
        }
        if agent.maintenance.is_planned() {
            self.to_ask.insert(no);
        }
    }

    /// Enters what a client is offered, on an agent in hand, into all books but what is
    /// available.
    pub(crate) fn enter_into_books(
        &mut self,
        no: u32,
        agent: &mut Agent,
        (client, framework_id): (ClientNo, &FrameworkId),
        (role, part): (&Role, &Resources),
    ) {
        self.enter_held(no, agent, (client, framework_id), (role, part));
        let offered = agent.offered.entry(framework_id.clone()).or_default();
        let what = Agent::weight_of(offered, part, &mut self.names);
        offered.add_all(part);
        self.tree.book(client, Book::Offered, Way::In, &what);
        self.tree.count_offer(client);
    }

    /// Strikes out as much of `resources` as the framework holds on the agent, and returns it:
    /// giving back twice creates nothing.
    pub(crate) fn release(
        &mut self,
        no: u32,
        framework_id: &FrameworkId,
        resources: &Resources,
        book: Held,
    ) -> Resources {
        self.unsettle(no);
        let mut released = Resources::new();
        for (role, part) in by_role(resources) {
            released.add_all(&self.release_part(no, framework_id, (&role, part), book));
        }
        self.settle(no);
        self.headroom_grew = true;
        released
    }

    fn release_part(
        &mut self,
        no: u32,
        framework_id: &FrameworkId,
        (role, part): (&Role, Resources),
        book: Held,
    ) -> Resources {
        let client = self.client(framework_id, role);
        let (Some(agent), Some(client)) = (self.agents.get_mut(no), client) else {
            return Resources::new();
        };
        let Some(held) = agent.held.get(framework_id) else { return Resources::new() };
        let (left, part) = match held.checked_minus(&part) {
            Some(left) => (left, part),
            None => (held.minus(&part), held.minus(&held.minus(&part))),
        };
        let what = Agent::weight_of(&left, &part, &mut self.names);
        let still = has_role(&left, role);
        let had = has_role(held, role);
        let all_gone = left.is_empty();
        if all_gone {
            agent.held.remove(framework_id);
        } else {
            agent.held.insert(framework_id.clone(), left);
        }
        agent.put_back(&part.unallocated(), &mut self.names);
        self.tree.book(client, Book::Held, Way::Out, &what);
        self.shrink_offered(no, (framework_id, client), (book == Held::Offered).then_some(&part));
        if had && !still {
            if let Some(client) = self.tree.clients.get_mut(client) {
                client.places = client.places.saturating_sub(1);
                if let Some(framework) =
                    self.frameworks.get_mut(client.framework).filter(|_| all_gone)
                {
                    framework.agents.remove(&no);
                }
            }
            self.drop_idle_client(client);
        }
        part
    }

    /// Takes `gone` out of what the framework is offered, and whatever it does not hold any more.
    pub(crate) fn shrink_offered(
        &mut self,
        no: u32,
        (framework_id, client): (&FrameworkId, ClientNo),
        gone: Option<&Resources>,
    ) {
        let Some(agent) = self.agents.get_mut(no) else { return };
        let Some(offered) = agent.offered.get(framework_id) else { return };
        let mut left = gone.map_or_else(|| offered.clone(), |gone| offered.minus(gone));
        let nothing = Resources::new();
        let held = agent.held.get(framework_id).unwrap_or(&nothing);
        if !held.contains(&left) {
            left = left.minus(&left.minus(held));
        }
        let lost = offered.minus(&left);
        let what = Agent::weight_of(&left, &lost, &mut self.names);
        if left.is_empty() {
            agent.offered.remove(framework_id);
        } else {
            agent.offered.insert(framework_id.clone(), left);
        }
        self.tree.book(client, Book::Offered, Way::Out, &what);
    }

    /// A framework gives something back.
    pub(crate) fn recover(
        &mut self,
        (framework_id, agent_id): (&FrameworkId, &AgentId),
        resources: &Resources,
        (book, refusal): (Held, Refusal),
        now: Instant,
    ) {
        let Some(no) = self.agent_nos.get(agent_id).copied() else { return };
        let parts = by_role(resources);
        if book == Held::Offered {
            for role in parts.keys() {
                self.end_turn(no, framework_id, role);
            }
        }
        self.release(no, framework_id, resources, book);
        for (role, part) in parts {
            self.refuse(no, (framework_id, &role), &part.unallocated(), refusal, now);
        }
        self.dirty.insert(no);
    }

    /// Whoever returns an offer without having used anything of it gives up its turn on the agent
    /// until everybody else had one.
    fn end_turn(&mut self, no: u32, framework_id: &FrameworkId, role: &Role) {
        let Some(client) = self.client(framework_id, role) else { return };
        let Some(agent) = self.agents.get_mut(no) else { return };
        if !agent.touched.contains(client) {
            agent.had.insert(client);
        }
    }

    /// What was offered is in use.
    pub(crate) fn launched(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
    ) {
        let Some(no) = self.agent_nos.get(agent_id).copied() else { return };
        for (role, part) in by_role(resources) {
            let Some(client) = self.client(framework_id, &role) else { continue };
            if let Some(agent) = self.agents.get_mut(no) {
                agent.touched.insert(client);
            }
            self.shrink_offered(no, (framework_id, client), Some(&part));
        }
    }

    /// Enters the agent's new total into all sums over totals. What is available is for the
    /// caller to compute.
    pub(crate) fn change_agent_total(&mut self, no: u32, total: Resources) {
        let Some(agent) = self.agents.get_mut(no) else { return };
        let before = (agent.scalars.clone(), agent.lasting.clone());
        let reserved = std::mem::take(&mut agent.reserved);
        agent.facts.total = total;
        agent.survey(&mut self.names);
        let after = (agent.scalars.clone(), agent.lasting.clone());
        let reserved_now = agent.reserved.clone();
        self.tree.change_total(&self.names, &before.0, &after.0);
        self.lasting.subtract_all(&before.1);
        self.lasting.add_all(&after.1);
        let none = Amounts::default();
        // First what comes, lest a role be forgotten in between.
        for (role, amounts) in &reserved_now {
            if reserved.get(role) != Some(amounts) {
                self.tree.reserve(role, Way::In, amounts);
            }
        }
        for (role, amounts) in &reserved {
            if reserved_now.get(role).unwrap_or(&none) != amounts {
                self.tree.reserve(role, Way::Out, amounts);
            }
        }
    }
}
