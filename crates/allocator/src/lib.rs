//! Who is offered what.
//!
//! A machine without clock and without chance of its own: events and the time go in, offers come
//! out, and the same events with the same seed give the same offers. The order is by dominant
//! share: first the role that has the least of what is scarcest for it, then within the role the
//! framework that has the least; whoever is eligible first takes all that is left on the agent.
//!
//! Runs follow from events, and only agents about which something changed are looked at. What
//! the original leaves to its timer (declines without a filter, updates) waits for the timer here
//! too, so that no scheduler can make the master spin.

pub mod constraints;
mod event;
mod facts;
mod filters;
mod random;
mod shares;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{AgentId, FrameworkId};
use model::quota::Quota;
use model::resources::{MinAllocatable, Resources, Scalar};
use model::role::Role;
use model::time::Instant;
use model::weight::Weight;

pub use constraints::Constraints;
pub use event::{
    Allocations, ConvertError, Event, InverseOffer, MaintenanceAnswer, Offer, RoleFacts, RoleView,
};
pub use facts::{
    AgentFacts, Attribute, AttributeValue, FrameworkFacts, Held, Refusal, Unavailability,
};

use filters::Filters;
use random::Random;
use shares::Shares;

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
struct Agent {
    facts: AgentFacts,
    active: bool,
    /// What each framework has been offered or uses, allocated to roles.
    allocated: BTreeMap<FrameworkId, Resources>,
    /// Total minus allocated, unallocated.
    available: Resources,
}

impl Agent {
    fn refresh(&mut self) {
        let taken = self
            .allocated
            .values()
            .fold(Resources::new(), |sum, taken| sum.plus(&taken.unallocated()));
        self.available = self.facts.total.minus(&taken);
    }
}

#[derive(Debug)]
struct Framework {
    facts: FrameworkFacts,
    active: bool,
}

/// Decides who is offered what.
#[derive(Debug)]
pub struct Allocator {
    rules: Rules,
    random: Random,
    agents: BTreeMap<AgentId, Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    quotas: BTreeMap<Role, Quota>,
    weights: BTreeMap<Role, Weight>,
    shares: Shares,
    filters: Filters,
    /// Agents to look at in the next run.
    candidates: BTreeSet<AgentId>,
    /// Agents to look at when the timer says so.
    deferred: BTreeSet<AgentId>,
    timer: Option<Instant>,
    runs: u64,
}

impl Allocator {
    /// An allocator that knows nobody yet. `seed` decides in which order agents are looked at.
    #[must_use]
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            random: Random::new(seed),
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            quotas: BTreeMap::new(),
            weights: BTreeMap::new(),
            shares: Shares::default(),
            filters: Filters::default(),
            candidates: BTreeSet::new(),
            deferred: BTreeSet::new(),
            timer: None,
            runs: 0,
        }
    }

    /// Takes one event. What follows from it is known after [`Allocator::allocate`].
    ///
    /// An event about an agent or a framework that is not known (any more) changes nothing.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::AgentAdded { id, facts, used, active } => {
                self.add_agent(id, facts, used, active)
            }
            Event::AgentRemoved(id) => self.remove_agent(&id),
            Event::AgentSwitched { id, active } => {
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.active = active;
                    self.defer(id, now);
                }
            }
            Event::AgentUpdated { id, facts } => self.update_agent(id, facts),
            Event::FrameworkAdded { id, facts, active } => {
                let framework = Framework { facts, active };
                self.frameworks.insert(id, framework);
                if active {
                    self.consider_all();
                }
            }
            Event::FrameworkRemoved(id) => self.remove_framework(&id),
            Event::FrameworkSwitched { id, active } => {
                if let Some(framework) = self.frameworks.get_mut(&id) {
                    framework.active = active;
                    if active {
                        self.consider_all();
                    } else {
                        self.filters.forget_framework(&id);
                    }
                }
            }
            Event::FrameworkUpdated { id, facts } => self.update_framework(&id, facts, now),
            Event::Recovered { framework_id, agent_id, resources, refusal, held: _ } => {
                self.recover(&framework_id, &agent_id, &resources, refusal, now);
            }
            Event::Revived { framework_id, roles } => {
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    for role in &roles {
                        framework.facts.suppressed.remove(role);
                        self.filters.forget_role(&framework_id, role);
                    }
                    self.consider_all();
                }
            }
            Event::Suppressed { framework_id, roles } => {
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.facts.suppressed.extend(roles);
                }
            }
            Event::Used { framework_id, agent_id, resources } => {
                self.book(&framework_id, &agent_id, &resources);
            }
            Event::QuotaSet { role, quota } => {
                self.quotas.insert(role, quota);
            }
            Event::WeightsSet(weights) => self.weights.extend(weights),
            Event::Launched { .. }
            | Event::UnavailabilitySet { .. }
            | Event::InverseOfferAnswered { .. }
            | Event::InverseOfferWithdrawn { .. }
            | Event::Whitelisted(_)
            | Event::Paused { .. } => {}
        }
    }

    /// Replaces resources of an agent by others that an operation makes of them: an operator's
    /// if `framework_id` is `None`, else what the framework has been offered or uses.
    ///
    /// Either list may be allocated or not; what a framework converts belongs to one role.
    /// Fails if what is consumed is not there; nothing changes then.
    pub fn convert(
        &mut self,
        agent_id: &AgentId,
        framework_id: Option<&FrameworkId>,
        consumed: &Resources,
        converted: &Resources,
    ) -> Result<(), ConvertError> {
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return Err(ConvertError::UnknownAgent(agent_id.clone()));
        };
        let missing =
            || ConvertError::NotThere { agent_id: agent_id.clone(), missing: consumed.clone() };
        let bare = consumed.unallocated();
        let left = agent.facts.total.checked_minus(&bare).ok_or_else(missing)?;
        let total = left.plus(&converted.unallocated());
        match framework_id {
            None if agent.available.contains(&bare) => {}
            None => return Err(missing()),
            Some(id) => {
                let roles = roles_of(consumed);
                let mut roles = roles.iter();
                let (Some(role), None) = (roles.next(), roles.next()) else {
                    return Err(ConvertError::NotOneRole);
                };
                let consumed = bare.allocated_to(role);
                let converted = converted.unallocated().allocated_to(role);
                let held = agent.allocated.get(id).ok_or_else(missing)?;
                let left = held.checked_minus(&consumed).ok_or_else(missing)?;
                let held = left.plus(&converted);
                self.shares.give_back(id, &consumed);
                self.shares.take(id, &converted);
                agent.allocated.insert(id.clone(), held);
                agent.allocated.retain(|_, held| !held.is_empty());
            }
        }
        self.shares.shrink(&agent.facts.total);
        self.shares.grow(&total);
        agent.facts.total = total;
        agent.refresh();
        self.candidates.insert(agent_id.clone());
        Ok(())
    }

    /// When [`Allocator::allocate`] is due, if no event comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.timer, self.filters.next_expiry()].into_iter().flatten().min()
    }

    /// Offers what can be offered on the agents about which something changed.
    pub fn allocate(&mut self, now: Instant) -> Allocations {
        for agent_id in self.filters.expire(now) {
            self.candidates.insert(agent_id);
        }
        if self.timer.is_some_and(|timer| timer <= now) {
            self.timer = None;
            self.candidates.append(&mut self.deferred);
        }
        let mut agents: Vec<_> = std::mem::take(&mut self.candidates).into_iter().collect();
        if agents.is_empty() {
            return Allocations::default();
        }
        self.runs += 1;
        self.random.shuffle(&mut agents);
        let mut offers = Vec::new();
        for agent_id in &agents {
            self.allocate_agent(agent_id, &mut offers);
        }
        Allocations { offers, inverse_offers: Vec::new() }
    }

    /// What frameworks said about the agent's planned maintenance.
    #[must_use]
    pub fn maintenance_answers(
        &self,
        _agent_id: &AgentId,
    ) -> &BTreeMap<FrameworkId, MaintenanceAnswer> {
        const NONE: &BTreeMap<FrameworkId, MaintenanceAnswer> = &BTreeMap::new();
        NONE
    }

    /// The roles with a weight, a quota, frameworks or reservations, and those above them.
    pub fn role_view(&mut self) -> RoleView {
        RoleView::default()
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many filters keep offers from frameworks of `role`.
    #[must_use]
    pub fn active_filters(&self, role: &Role) -> usize {
        self.filters.count(role)
    }

    /// The dominant share of each role that frameworks subscribe to or have something in.
    pub fn role_shares(&self) -> impl Iterator<Item = (&Role, f64)> {
        self.shares.roles()
    }

    fn add_agent(
        &mut self,
        id: AgentId,
        facts: AgentFacts,
        used: BTreeMap<FrameworkId, Resources>,
        active: bool,
    ) {
        self.remove_agent(&id);
        self.shares.grow(&facts.total);
        let mut agent =
            Agent { facts, active, allocated: BTreeMap::new(), available: Resources::new() };
        agent.refresh();
        self.agents.insert(id.clone(), agent);
        for (framework_id, resources) in used {
            self.book(&framework_id, &id, &resources);
        }
        self.candidates.insert(id);
    }

    fn remove_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.remove(id) else { return };
        self.shares.shrink(&agent.facts.total);
        for (framework_id, resources) in &agent.allocated {
            self.shares.give_back(framework_id, resources);
        }
        self.filters.forget_agent(id);
        self.candidates.remove(id);
        self.deferred.remove(id);
    }

    fn update_agent(&mut self, id: AgentId, facts: AgentFacts) {
        let Some(agent) = self.agents.get_mut(&id) else { return };
        if agent.facts.attributes != facts.attributes {
            self.filters.forget_agent(&id);
        }
        self.shares.shrink(&agent.facts.total);
        self.shares.grow(&facts.total);
        agent.facts = facts;
        agent.refresh();
        self.candidates.insert(id);
    }

    fn remove_framework(&mut self, id: &FrameworkId) {
        if self.frameworks.remove(id).is_none() {
            return;
        }
        self.filters.forget_framework(id);
        for (agent_id, agent) in &mut self.agents {
            if let Some(resources) = agent.allocated.remove(id) {
                self.shares.give_back(id, &resources);
                agent.refresh();
                self.candidates.insert(agent_id.clone());
            }
        }
        self.shares.forget_framework(id);
    }

    fn update_framework(&mut self, id: &FrameworkId, facts: FrameworkFacts, now: Instant) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let old = std::mem::replace(&mut framework.facts, facts);
        let facts = &framework.facts;
        for role in &old.roles {
            let revived = old.suppressed.contains(role) && !facts.suppressed.contains(role);
            if revived || !facts.roles.contains(role) {
                self.filters.forget_role(id, role);
            }
        }
        let all: Vec<_> = self.agents.keys().cloned().collect();
        for agent_id in all {
            self.defer(agent_id, now);
        }
    }

    fn recover(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refusal: Refusal,
        now: Instant,
    ) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let Some(allocated) = agent.allocated.get_mut(framework_id) else { return };
        // What was never booked cannot come back: a double return must not create resources.
        let returned = allocated.minus(&allocated.minus(resources));
        *allocated = allocated.minus(&returned);
        if allocated.is_empty() {
            agent.allocated.remove(framework_id);
        }
        agent.refresh();
        self.shares.give_back(framework_id, &returned);
        match refusal {
            Refusal::None => {
                self.candidates.insert(agent_id.clone());
            }
            Refusal::Brief => self.defer(agent_id.clone(), now),
            Refusal::For(time) => {
                let expires = now + time.max(self.rules.allocation_interval);
                for role in roles_of(resources) {
                    let refused = resources
                        .filter(|resource| resource.allocation.as_ref() == Some(&role))
                        .unallocated();
                    self.filters.add(framework_id, &role, agent_id, refused, expires);
                }
                self.candidates.insert(agent_id.clone());
            }
        }
    }

    fn book(&mut self, framework_id: &FrameworkId, agent_id: &AgentId, resources: &Resources) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        if resources.is_empty() {
            return;
        }
        agent.allocated.entry(framework_id.clone()).or_default().add_all(resources);
        agent.refresh();
        self.shares.take(framework_id, resources);
    }

    fn consider_all(&mut self) {
        self.candidates.extend(self.agents.keys().cloned());
    }

    fn defer(&mut self, agent_id: AgentId, now: Instant) {
        self.deferred.insert(agent_id);
        self.timer.get_or_insert(now + self.rules.allocation_interval);
    }

    fn allocate_agent(&mut self, agent_id: &AgentId, offers: &mut Vec<Offer>) {
        for (role, framework_id) in self.takers() {
            let Some(resources) = self.offerable(agent_id, &role, &framework_id) else { continue };
            let resources = resources.allocated_to(&role);
            self.book(&framework_id, agent_id, &resources);
            self.shares.count_allocation(&role, &framework_id);
            offers.push(Offer { framework_id, agent_id: agent_id.clone(), role, resources });
        }
    }

    /// Who may take something now, the neediest first.
    fn takers(&self) -> Vec<(Role, FrameworkId)> {
        let takers = self.frameworks.iter().filter(|(_, framework)| framework.active).flat_map(
            |(id, framework)| {
                let facts = &framework.facts;
                let roles = facts.roles.iter().filter(|role| !facts.suppressed.contains(*role));
                roles.map(|role| (role.clone(), id.clone()))
            },
        );
        self.shares.sorted(takers.collect())
    }

    /// What of the agent can be offered to the framework in the role: enough to be worth it,
    /// allowed, and not refused before.
    fn offerable(
        &self,
        agent_id: &AgentId,
        role: &Role,
        framework_id: &FrameworkId,
    ) -> Option<Resources> {
        let agent = self.agents.get(agent_id).filter(|agent| agent.active)?;
        let framework = self.frameworks.get(framework_id)?;
        if agent.available.is_empty() || !self.may_use(agent, framework, role) {
            return None;
        }
        let facts = &framework.facts;
        let resources = agent.available.filter(|resource| {
            resource.is_allocatable_to(role)
                && (!resource.revocable || facts.revocable_resources)
                && (resource.reservations.len() <= 1 || facts.reservation_refinement)
                // Copies of shared volumes are not counted yet, so they are not offered.
                && !resource.shared
        });
        let minimum = facts.min_allocatable.get(role).unwrap_or(&self.rules.min_allocatable);
        let enough = minimum.is_met_by(&resources);
        let refused = self.filters.block(framework_id, role, agent_id, &resources);
        (enough && !refused).then_some(resources)
    }

    fn may_use(&self, agent: &Agent, framework: &Framework, role: &Role) -> bool {
        let (host, guest) = (&agent.facts, &framework.facts);
        let gpus = host.total.scalar("gpus") > Scalar::ZERO;
        let remote = host.region.is_some() && host.region != self.rules.region;
        (guest.gpu_resources || !gpus || !self.rules.filter_gpu_resources)
            && (guest.region_aware || !remote)
            && (host.multi_role || !guest.multi_role)
            && (host.hierarchical_role || !role.is_nested())
    }

    /// Says what is wrong if the books contradict each other; that is a bug.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut shares = Shares::default();
        for (id, agent) in &self.agents {
            shares.grow(&agent.facts.total);
            let mut taken = Resources::new();
            for (framework_id, resources) in &agent.allocated {
                if resources.is_empty() {
                    return Err(format!("{framework_id} has an empty allocation on {id}"));
                }
                if resources.iter().any(|resource| resource.allocation.is_none()) {
                    return Err(format!("{framework_id} has something without a role on {id}"));
                }
                shares.take(framework_id, resources);
                taken.add_all(&resources.unallocated());
            }
            let expected = agent.facts.total.minus(&taken);
            if agent.available != expected {
                return Err(format!("{id} has {} available, not {expected}", agent.available));
            }
        }
        self.shares.check_same_amounts(&shares)?;
        self.filters.check_invariants()?;
        let known = |id: &AgentId| self.agents.contains_key(id);
        if !self.candidates.iter().chain(&self.deferred).all(known) {
            return Err("a removed agent is still a candidate".to_owned());
        }
        if !self.filters.agents().all(known) {
            return Err("a removed agent still has filters".to_owned());
        }
        Ok(())
    }

    /// What each framework holds on the agent, offered or in use.
    #[must_use]
    pub fn allocated(&self, agent_id: &AgentId) -> Option<&BTreeMap<FrameworkId, Resources>> {
        self.agents.get(agent_id).map(|agent| &agent.allocated)
    }
}

/// The roles to which `resources` are allocated.
fn roles_of(resources: &Resources) -> BTreeSet<Role> {
    resources.iter().filter_map(|resource| resource.allocation.clone()).collect()
}
