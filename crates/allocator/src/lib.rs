//! Who is offered what.
//!
//! A machine without clock and without chance of its own: events and the time go in, offers come
//! out, and the same events with the same seed give the same offers. The order is by dominant
//! share: first the role that has the least of what is scarcest for it, then within the role the
//! framework that has the least; whoever is eligible first takes all that is left on the agent.
//!
//! Runs follow from events. A run looks at the agents about which something changed, and at the
//! others only on behalf of frameworks about which something changed: whoever was turned away from
//! an agent before would be again. What could make the master spin waits for the interval: a
//! framework that declines without a filter, shared resources offered once more, and what was
//! held back by limits or for others' guarantees.

mod agent;
mod amounts;
mod bits;
mod books;
#[cfg(test)]
mod bounded;
pub mod constraints;
mod convert;
mod event;
mod facts;
mod filters;
mod invariants;
mod maintenance;
mod members;
mod offering;
mod random;
mod refusals;
mod run;
mod slab;
mod tree;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{AgentId, FrameworkId};
use model::resources::{MinAllocatable, Resources};
use model::role::Role;
use model::time::Instant;

pub use constraints::Constraints;
pub use event::{
    Allocations, ConvertError, Event, InverseOffer, MaintenanceAnswer, Offer, RoleFacts, RoleView,
};
pub use facts::{
    AgentFacts, Attribute, AttributeValue, FrameworkFacts, Held, Refusal, Unavailability,
};

use agent::Agent;
use amounts::{Amounts, Names};
use bits::Bits;
use random::Random;
use slab::Slab;
use tree::{ClientNo, Tree};

/// What the allocator is told once.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What an offer must hold at the least, unless the framework says otherwise for a role.
    pub min_allocatable: MinAllocatable,
    /// Whether agents with GPUs are kept for frameworks that know of GPUs.
    pub filter_gpu_resources: bool,
    /// How long what is not urgent waits, and the shortest life of a filter.
    pub allocation_interval: Duration,
    /// The region of the master; agents in another are for frameworks that know of regions.
    pub region: Option<String>,
    /// In which order roles are served.
    pub role_sorter: Sorter,
    /// In which order frameworks of one role are served.
    pub framework_sorter: Sorter,
    /// Names that do not count when shares are compared.
    pub fair_sharing_excluded_resource_names: BTreeSet<String>,
}

/// In which order who wants offers gets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sorter {
    /// Whoever has the smallest dominant share first.
    #[default]
    Drf,
    /// By chance, the heavier the earlier.
    Random,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_allocatable: MinAllocatable::default(),
            filter_gpu_resources: true,
            allocation_interval: Duration::from_secs(1),
            region: None,
            role_sorter: Sorter::Drf,
            framework_sorter: Sorter::Drf,
            fair_sharing_excluded_resource_names: BTreeSet::new(),
        }
    }
}

#[derive(Debug)]
struct Framework {
    id: FrameworkId,
    /// `None` if it is only known from what it uses.
    facts: Option<FrameworkFacts>,
    active: bool,
    clients: BTreeMap<Role, ClientNo>,
    /// Agents on which it holds something.
    agents: BTreeSet<u32>,
    /// Agents about whose maintenance it was asked or said something, and perhaps others.
    questioned: BTreeSet<u32>,
}

impl Framework {
    /// One that is known from what it uses.
    const fn new(id: FrameworkId) -> Self {
        Self {
            id,
            facts: None,
            active: false,
            clients: BTreeMap::new(),
            agents: BTreeSet::new(),
            questioned: BTreeSet::new(),
        }
    }

    const fn is_active(&self) -> bool {
        self.active && self.facts.is_some()
    }
}

#[derive(Debug)]
struct Pause {
    agents_left: usize,
    until: Instant,
}

/// Decides who is offered what.
#[derive(Debug)]
pub struct Allocator {
    rules: Rules,
    names: Names,
    random: Random,
    agents: Slab<Agent>,
    agent_nos: BTreeMap<AgentId, u32>,
    frameworks: Slab<Framework>,
    framework_nos: BTreeMap<FrameworkId, u32>,
    tree: Tree,
    whitelist: Option<BTreeSet<String>>,
    /// Agents of which something can be offered.
    open: BTreeSet<u32>,
    /// What is free of them: scalars, unreserved and here to stay.
    headroom: Amounts,
    /// Whether there is more of it than when agents were last held back.
    headroom_grew: bool,
    /// Scalars of all agents that are here to stay.
    lasting: Amounts,
    /// The ends of refusals: when, of which agent, by whom.
    filter_ends: BTreeSet<(Instant, u32, ClientNo)>,
    /// The ends of times in which a framework is not asked about an agent's maintenance.
    quiet_ends: BTreeSet<(Instant, u32, FrameworkId)>,
    /// Agents to look at in the next run.
    dirty: BTreeSet<u32>,
    /// Clients on whose behalf all agents are looked at in the next run.
    fresh: Bits,
    /// Agents of which something was kept for others' guarantees.
    held_back: BTreeSet<u32>,
    /// Agents with planned maintenance about which frameworks may have to be asked.
    to_ask: BTreeSet<u32>,
    /// Agents to look at when the timer says so.
    deferred: BTreeSet<u32>,
    /// Clients on whose behalf all agents are looked at when the timer says so.
    deferred_fresh: Bits,
    timer: Option<Instant>,
    pause: Option<Pause>,
    view: RoleView,
    runs: u64,
}

impl Allocator {
    /// An allocator that knows nobody yet. `seed` decides what is left to chance.
    #[must_use]
    pub fn new(rules: Rules, seed: u64) -> Self {
        let tree = Tree::new(rules.fair_sharing_excluded_resource_names.clone());
        Self {
            rules,
            names: Names::default(),
            random: Random::new(seed),
            agents: Slab::default(),
            agent_nos: BTreeMap::new(),
            frameworks: Slab::default(),
            framework_nos: BTreeMap::new(),
            tree,
            whitelist: None,
            open: BTreeSet::new(),
            headroom: Amounts::default(),
            headroom_grew: false,
            lasting: Amounts::default(),
            filter_ends: BTreeSet::new(),
            quiet_ends: BTreeSet::new(),
            dirty: BTreeSet::new(),
            fresh: Bits::default(),
            held_back: BTreeSet::new(),
            to_ask: BTreeSet::new(),
            deferred: BTreeSet::new(),
            deferred_fresh: Bits::default(),
            timer: None,
            pause: None,
            view: RoleView::default(),
            runs: 0,
        }
    }

    /// Takes one event. What follows from it is known after [`Allocator::allocate`].
    ///
    /// An event about an agent or a framework that is not known (any more) changes nothing.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::AgentAdded { id, facts, used, active } => {
                self.add_agent(id, facts, used, active);
            }
            Event::AgentRemoved(id) => self.remove_agent(&id),
            Event::AgentSwitched { id, active } => self.switch_agent(&id, active),
            Event::AgentUpdated { id, facts } => self.update_agent(&id, facts),
            Event::FrameworkAdded { id, facts, active } => self.add_framework(id, facts, active),
            Event::FrameworkRemoved(id) => self.remove_framework(&id),
            Event::FrameworkSwitched { id, active } => self.switch_framework(&id, active),
            Event::FrameworkUpdated { id, facts } => self.update_framework(&id, facts),
            Event::Recovered { framework_id, agent_id, resources, held, refusal } => {
                self.recover((&framework_id, &agent_id), &resources, (held, refusal), now);
            }
            Event::Revived { framework_id, roles } => self.revive(&framework_id, &roles),
            Event::Suppressed { framework_id, roles } => self.suppress(&framework_id, roles),
            Event::Used { framework_id, agent_id, resources } => {
                if let Some(no) = self.agent_nos.get(&agent_id).copied() {
                    self.hold(no, &framework_id, &resources);
                }
            }
            Event::Launched { framework_id, agent_id, resources } => {
                self.launched(&framework_id, &agent_id, &resources);
            }
            Event::QuotaSet { role, quota } => self.set_quota(&role, quota),
            Event::WeightsSet(weights) => {
                for (role, weight) in weights {
                    self.tree.set_weight(&role, weight);
                }
            }
            Event::UnavailabilitySet { agent_id, unavailability } => {
                self.set_unavailability(&agent_id, unavailability);
            }
            Event::InverseOfferAnswered { framework_id, agent_id, accepted, at, refusal } => {
                let answer = MaintenanceAnswer { accepted, at };
                self.inverse_answered((framework_id, &agent_id), answer, refusal, now);
            }
            Event::InverseOfferWithdrawn { framework_id, agent_id } => {
                self.inverse_withdrawn(&framework_id, &agent_id);
            }
            Event::Whitelisted(hosts) => self.set_whitelist(hosts),
            Event::Paused { expected_agents, at_most } => {
                let until = now + at_most;
                self.pause = Some(Pause { agents_left: expected_agents, until });
            }
        }
        if self.names.are_many() {
            self.names.keep(&self.tree.names_in_use());
        }
    }

    /// When [`Allocator::allocate`] is due, if no event comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if let Some(pause) = self.pause.as_ref().filter(|pause| pause.agents_left > 0) {
            return Some(pause.until);
        }
        let filter = self.filter_ends.first().map(|(end, ..)| *end);
        let quiet = self.quiet_ends.first().map(|(end, ..)| *end);
        [self.timer, filter, quiet].into_iter().flatten().min()
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// What each framework holds on the agent, offered or in use.
    #[must_use]
    pub fn allocated(&self, agent_id: &AgentId) -> Option<&BTreeMap<FrameworkId, Resources>> {
        self.agent(agent_id).map(|agent| &agent.held)
    }

    /// What of that is only offered.
    #[must_use]
    pub fn offered(&self, agent_id: &AgentId) -> Option<&BTreeMap<FrameworkId, Resources>> {
        self.agent(agent_id).map(|agent| &agent.offered)
    }

    fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agent_nos.get(id).and_then(|no| self.agents.get(*no))
    }

    fn client(&self, framework_id: &FrameworkId, role: &Role) -> Option<ClientNo> {
        let framework = self.frameworks.get(*self.framework_nos.get(framework_id)?)?;
        framework.clients.get(role).copied()
    }

    fn set_timer(&mut self, now: Instant) {
        self.timer.get_or_insert(now + self.rules.allocation_interval);
    }
}
