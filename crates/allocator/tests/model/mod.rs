//! What the tests themselves believe to be true: plain lists, everything computed anew each time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(unreachable_pub, reason = "a module of a test program")]

use std::collections::{BTreeMap, BTreeSet};

use alcazar_allocator::{AgentFacts, Allocator, Event, FrameworkFacts, Offer, Refusal, Rules};
use model::id::{AgentId, FrameworkId};
use model::quota::Quota;
use model::resources::{Resource, Resources, Scalar, Value};
use model::role::Role;
use model::time::Instant;

pub struct Agent {
    facts: AgentFacts,
    active: bool,
    held: BTreeMap<FrameworkId, Resources>,
}

pub struct Framework {
    facts: FrameworkFacts,
    active: bool,
}

struct Filter {
    framework_id: FrameworkId,
    role: Role,
    agent_id: AgentId,
    refused: Resources,
    expires: Instant,
}

pub struct Model {
    rules: Rules,
    pub agents: BTreeMap<AgentId, Agent>,
    pub frameworks: BTreeMap<FrameworkId, Framework>,
    quotas: BTreeMap<Role, Quota>,
    whitelist: Option<BTreeSet<String>>,
    filters: Vec<Filter>,
    pub offers: Vec<Offer>,
    pub tasks: Vec<Offer>,
}

/// Thousandths, which may be less than none.
type Signed = BTreeMap<String, i128>;

fn is_common(resource: &Resource) -> bool {
    resource.is_unreserved() && !resource.revocable && matches!(resource.value, Value::Scalar(_))
}

fn top(role: &Role) -> Role {
    Role::new(role.as_str().split('/').next().unwrap()).unwrap()
}

fn sum<'a>(resources: impl Iterator<Item = &'a Resource>) -> Signed {
    let mut sum = Signed::new();
    for resource in resources {
        if let Value::Scalar(scalar) = resource.value {
            *sum.entry(resource.name.to_string()).or_default() += i128::from(scalar.thousandths());
        }
    }
    sum
}

impl Model {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            quotas: BTreeMap::new(),
            whitelist: None,
            filters: Vec::new(),
            offers: Vec::new(),
            tasks: Vec::new(),
        }
    }

    fn may_use(&self, agent: &Agent, framework: &Framework, role: &Role) -> bool {
        let (host, guest) = (&agent.facts, &framework.facts);
        let gpus = host.total.scalar("gpus") > Scalar::ZERO;
        let elsewhere = host.region.is_some() && host.region != self.rules.region;
        (guest.gpu_resources || !gpus)
            && (guest.region_aware || !elsewhere)
            && (host.multi_role || !guest.multi_role)
            && (host.hierarchical_role || !role.is_nested())
    }

    pub fn roles_of(&self, id: &FrameworkId) -> BTreeSet<Role> {
        self.frameworks.get(id).map(|f| f.facts.roles.clone()).unwrap_or_default()
    }

    pub fn take_offer(&mut self, at: usize) -> Option<Offer> {
        (!self.offers.is_empty()).then(|| self.offers.swap_remove(at % self.offers.len()))
    }

    pub fn expire(&mut self, now: Instant) {
        self.filters.retain(|filter| filter.expires > now);
    }

    pub fn tell(&mut self, event: &Event, now: Instant) {
        match event.clone() {
            Event::AgentAdded { id, facts, active, .. } => {
                self.agents.insert(id, Agent { facts, active, held: BTreeMap::new() });
            }
            Event::AgentRemoved(id) => {
                self.agents.remove(&id);
                self.filters.retain(|filter| filter.agent_id != id);
                self.forget(|offer| offer.agent_id == id);
            }
            Event::AgentSwitched { id, active } => {
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.active = active;
                }
            }
            Event::AgentUpdated { id, facts } => {
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.facts = facts;
                }
            }
            Event::FrameworkAdded { id, facts, active } => {
                self.frameworks.insert(id, Framework { facts, active });
            }
            Event::FrameworkRemoved(id) => {
                self.frameworks.remove(&id);
                self.filters.retain(|filter| filter.framework_id != id);
                for agent in self.agents.values_mut() {
                    agent.held.remove(&id);
                }
                self.forget(|offer| offer.framework_id == id);
            }
            Event::FrameworkSwitched { id, active } => {
                if let Some(framework) = self.frameworks.get_mut(&id) {
                    framework.active = active;
                }
                if !active {
                    self.filters.retain(|filter| filter.framework_id != id);
                }
            }
            Event::FrameworkUpdated { id, facts } => self.update_framework(&id, facts),
            Event::Revived { framework_id, roles } => {
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.facts.suppressed.retain(|role| !roles.contains(role));
                }
                self.filters.retain(|f| f.framework_id != framework_id || !roles.contains(&f.role));
            }
            Event::Suppressed { framework_id, roles } => {
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.facts.suppressed.extend(roles);
                }
            }
            Event::QuotaSet { role, quota } => {
                self.quotas.insert(role, quota);
            }
            Event::Whitelisted(hosts) => self.whitelist = hosts,
            Event::Recovered { framework_id, agent_id, resources, refusal, .. } => {
                self.recover(framework_id, agent_id, &resources, refusal, now);
            }
            _ => {}
        }
        self.forgive();
    }

    /// A framework that has left a role, and has nothing there any more, holds no grudge in it.
    fn forgive(&mut self) {
        let Self { frameworks, agents, filters, .. } = self;
        filters.retain(|Filter { framework_id: id, role, .. }| {
            let of_role = |r: &Resource| r.allocation.as_ref() == Some(role);
            let mut held = agents.values().filter_map(|agent| agent.held.get(id));
            frameworks.get(id).is_some_and(|framework| framework.facts.roles.contains(role))
                || held.any(|held| held.iter().any(of_role))
        });
    }

    fn forget(&mut self, gone: impl Fn(&Offer) -> bool) {
        self.offers.retain(|offer| !gone(offer));
        self.tasks.retain(|task| !gone(task));
    }

    fn update_framework(&mut self, id: &FrameworkId, facts: FrameworkFacts) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let revived = &framework.facts.suppressed - &facts.suppressed;
        self.filters.retain(|filter| {
            filter.framework_id != *id
                || (facts.roles.contains(&filter.role) && !revived.contains(&filter.role))
        });
        framework.facts = facts;
    }

    fn recover(
        &mut self,
        framework_id: FrameworkId,
        agent_id: AgentId,
        resources: &Resources,
        refusal: Refusal,
        now: Instant,
    ) {
        let Some(agent) = self.agents.get_mut(&agent_id) else { return };
        let held = agent.held.entry(framework_id.clone()).or_default();
        *held = held.checked_minus(resources).expect("it is held");
        if held.is_empty() {
            agent.held.remove(&framework_id);
        }
        let interval = self.rules.allocation_interval;
        let time = match refusal {
            Refusal::None => return,
            Refusal::Brief => interval,
            Refusal::For(time) => time.max(interval),
        };
        let role = resources.iter().find_map(|r| r.allocation.clone());
        let known = self.frameworks.contains_key(&framework_id);
        let (Some(role), true) = (role, known) else { return };
        let (refused, expires) = (resources.unallocated(), now + time);
        self.filters.push(Filter { framework_id, role, agent_id, refused, expires });
    }

    pub fn convert(
        &mut self,
        agent_id: &AgentId,
        framework_id: Option<&FrameworkId>,
        consumed: &Resources,
        converted: &Resources,
    ) -> bool {
        let Some(agent) = self.agents.get_mut(agent_id) else { return false };
        let Some(left) = agent.facts.total.checked_minus(&consumed.unallocated()) else {
            return false;
        };
        match framework_id {
            None if !available(agent).contains(consumed) => return false,
            None => {}
            Some(id) => {
                let Some(held) = agent.held.get_mut(id) else { return false };
                let Some(left) = held.checked_minus(consumed) else { return false };
                *held = left.plus(converted);
            }
        }
        agent.facts.total = left.plus(&converted.unallocated());
        true
    }

    fn is_usable(&self, agent: &Agent) -> bool {
        let listed = |hosts: &BTreeSet<String>| hosts.contains(&agent.facts.hostname);
        agent.active && self.whitelist.as_ref().is_none_or(listed)
    }

    /// What counts against the quota of `of`.
    fn consumed(&self, of: &Role) -> Signed {
        let mut all = Vec::new();
        for agent in self.agents.values() {
            let reserved = |r: &&Resource| r.reserved_to().is_some_and(|role| top(role) == *of);
            all.extend(agent.facts.total.iter().filter(reserved).cloned());
            for held in agent.held.values() {
                let counts = |r: &&Resource| {
                    is_common(r) && r.allocation.as_ref().is_some_and(|role| top(role) == *of)
                };
                all.extend(held.iter().filter(counts).cloned());
            }
        }
        sum(all.iter())
    }

    fn missing(&self, of: &Role) -> Signed {
        let consumed = self.consumed(of);
        let guarantees = self.quotas.get(of).map(|quota| quota.guarantees().clone());
        let missing = guarantees.iter().flat_map(|all| all.iter()).map(|(name, amount)| {
            let has = consumed.get(name).copied().unwrap_or_default();
            (name.to_owned(), (i128::from(amount.thousandths()) - has).max(0))
        });
        missing.collect()
    }

    fn required(&self) -> Signed {
        let mut required = Signed::new();
        for role in self.quotas.keys() {
            for (name, amount) in self.missing(role) {
                *required.entry(name).or_default() += amount;
            }
        }
        required
    }

    /// What is free beyond all guarantees that are not met.
    pub fn surplus(&self) -> Signed {
        let mut surplus = Signed::new();
        for agent in self.agents.values().filter(|agent| self.is_usable(agent)) {
            for (name, amount) in sum(available(agent).iter().filter(|r| is_common(r))) {
                *surplus.entry(name).or_default() += amount;
            }
        }
        for (name, amount) in self.required() {
            *surplus.entry(name).or_default() -= amount;
        }
        surplus
    }

    /// No offer has taken what was kept for guarantees, but for those it was kept for.
    pub fn check_surplus(&self, before: &Signed) {
        let after = self.surplus();
        for (name, before) in before {
            let after = after.get(name).copied().unwrap_or_default();
            assert!(after >= (*before).min(0), "{name}: from {before} to {after}");
        }
    }

    /// Enters an offer, which must be one that may be made.
    pub fn enter(&mut self, offer: &Offer, allocator: &Allocator) {
        let Offer { framework_id, agent_id, role, resources } = offer;
        let what = format!("{framework_id} {agent_id} {role} {resources}");
        let agent = &self.agents[agent_id];
        let framework = &self.frameworks[framework_id];
        let bare = resources.unallocated();
        assert_eq!(bare.allocated_to(role), *resources);
        assert!(self.is_usable(agent) && framework.active, "{what}");
        assert!(wants(framework, role) && self.may_use(agent, framework, role), "{what}");
        let visible = visible(agent, framework, role);
        assert!(visible.contains(&bare), "{what} of {visible}");
        assert!(!self.is_refused(offer), "{what} was refused");
        let room = self.room(role);
        for (name, amount) in sum(bare.iter().filter(|r| is_common(r))) {
            assert!(room.get(&name).is_none_or(|room| amount <= *room), "{what} exceeds {room:?}");
        }
        let held = self.agents.get_mut(agent_id).unwrap();
        held.held.entry(framework_id.clone()).or_default().add_all(resources);
        self.offers.push(offer.clone());
        // Later offers of the same run may be to the same framework.
        let held = &self.agents[agent_id].held[framework_id];
        let known = &allocator.allocated(agent_id).unwrap()[framework_id];
        assert!(known.contains(held), "{held} of {known}");
    }

    fn room(&self, role: &Role) -> Signed {
        let consumed = self.consumed(&top(role));
        let limits = self.quotas.get(&top(role)).map(|quota| quota.limits().clone());
        let room = limits.iter().flat_map(|all| all.iter()).map(|(name, limit)| {
            let has = consumed.get(name).copied().unwrap_or_default();
            (name.to_owned(), (i128::from(limit.thousandths()) - has).max(0))
        });
        room.collect()
    }

    fn is_refused(&self, offer: &Offer) -> bool {
        self.filters.iter().any(|filter| {
            filter.framework_id == offer.framework_id
                && filter.role == offer.role
                && filter.agent_id == offer.agent_id
                && filter.refused.contains(&offer.resources.unallocated())
        })
    }

    /// Nobody could be offered anything more.
    pub fn check_complete(&self) {
        let surplus = self.surplus();
        let required = self.required();
        for (agent_id, agent) in self.agents.iter().filter(|(_, agent)| self.is_usable(agent)) {
            for (framework_id, framework) in self.frameworks.iter().filter(|(_, f)| f.active) {
                for role in framework.facts.roles.iter().filter(|role| wants(framework, role)) {
                    if !self.may_use(agent, framework, role) {
                        continue;
                    }
                    let (room, missing) = (self.room(role), self.missing(&top(role)));
                    let visible = visible(agent, framework, role);
                    for guaranteed in [true, false] {
                        let limits = (&room, &missing, &required, &surplus);
                        let Some(resources) = cut(&visible, role, limits, guaranteed) else {
                            continue;
                        };
                        let offer = Offer {
                            framework_id: framework_id.clone(),
                            agent_id: agent_id.clone(),
                            role: role.clone(),
                            resources,
                        };
                        let enough = self.rules.min_allocatable.is_met_by(&offer.resources);
                        assert!(
                            !enough || self.is_refused(&offer),
                            "{framework_id} could have {} of {agent_id} as {role}",
                            offer.resources
                        );
                    }
                }
            }
        }
    }

    pub fn check_view(&self, allocator: &mut Allocator) {
        let view = allocator.role_view();
        for (role, facts) in view.iter() {
            let beneath = |other: &Role| other == role || role.is_ancestor_of(other);
            let mut held = Vec::new();
            let mut reserved = Vec::new();
            for agent in self.agents.values() {
                let is_reserved = |r: &&Resource| r.reserved_to().is_some_and(beneath);
                reserved.extend(agent.facts.total.iter().filter(is_reserved).cloned());
                let all = agent.held.values().flat_map(|held| held.iter());
                held.extend(all.filter(|r| r.allocation.as_ref().is_some_and(beneath)).cloned());
            }
            let shown = facts.offered.iter().chain(facts.allocated.iter());
            let mut both = Signed::new();
            for (name, amount) in shown {
                *both.entry(name.to_owned()).or_default() += i128::from(amount.thousandths());
            }
            assert_eq!(both, sum(held.iter()), "offered and allocated in {role}");
            let shown = facts.reserved.iter();
            let shown: Signed =
                shown.map(|(n, a)| (n.to_owned(), i128::from(a.thousandths()))).collect();
            assert_eq!(shown, sum(reserved.iter()), "reserved for {role}");
        }
        for (id, framework) in &self.frameworks {
            for role in &framework.facts.roles {
                assert!(view[role].frameworks.contains(id), "{id} in {role}");
            }
        }
    }
}

fn wants(framework: &Framework, role: &Role) -> bool {
    framework.facts.roles.contains(role) && !framework.facts.suppressed.contains(role)
}

fn available(agent: &Agent) -> Resources {
    agent
        .held
        .values()
        .fold(agent.facts.total.clone(), |left, held| left.minus(&held.unallocated()))
}

fn visible(agent: &Agent, framework: &Framework, role: &Role) -> Resources {
    available(agent).filter(|resource| {
        resource.is_allocatable_to(role)
            && (!resource.revocable || framework.facts.revocable_resources)
    })
}

/// What of `visible` remains for a role, by its guarantee or without it.
fn cut(
    visible: &Resources,
    role: &Role,
    (room, missing, required, surplus): (&Signed, &Signed, &Signed, &Signed),
    guaranteed: bool,
) -> Option<Resources> {
    let mut offer = visible.filter(|resource| {
        !is_common(resource)
            && (!guaranteed || resource.reserved_to().is_none_or(|owner| owner == role))
    });
    let mut promised = false;
    for resource in visible.iter().filter(|r| is_common(r)) {
        let Value::Scalar(all) = resource.value else { continue };
        let all = i128::from(all.thousandths());
        let of = |amounts: &Signed| amounts.get(&*resource.name).copied();
        let first = if guaranteed { all.min(of(missing).unwrap_or_default()) } else { 0 };
        promised |= first > 0;
        let mut more = all - first;
        if let Some(room) = of(room) {
            more = more.min(room - first);
        }
        if of(required).is_some_and(|required| required > 0) {
            more = more.min(of(surplus).unwrap_or_default().max(0));
        }
        let amount = Scalar::from_thousandths(u64::try_from(first + more.max(0)).unwrap());
        offer.add(resource.with_value(Value::Scalar(amount)));
    }
    (promised || !guaranteed).then_some(offer)
}
