//! A cluster that consists of its allocator.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alcazar_allocator::{
    AgentFacts, Allocator, Event, FrameworkFacts, Held, InverseOffer, Offer, Refusal, Rules,
};
use model::id::{AgentId, FrameworkId};
use model::quota::{Limits, Quota};
use model::resources::{Quantities, Resources, parse};
use model::role::Role;
use model::time::Instant;
use model::weight::Weight;

pub const SECOND: Duration = Duration::from_secs(1);

pub struct Cluster {
    pub allocator: Allocator,
    pub now: Instant,
    /// What the last run asked.
    pub asked: Vec<InverseOffer>,
}

pub fn role(text: &str) -> Role {
    Role::new(text).unwrap()
}

pub fn resources(text: &str) -> Resources {
    parse(text, &Role::any()).unwrap()
}

pub fn agent(text: &str) -> AgentId {
    AgentId::new(text).unwrap()
}

pub fn framework(text: &str) -> FrameworkId {
    FrameworkId::new(text).unwrap()
}

pub fn agent_facts(total: &str) -> AgentFacts {
    AgentFacts {
        total: resources(total),
        multi_role: true,
        hierarchical_role: true,
        hostname: "host".to_owned(),
        region: None,
        zone: None,
        attributes: Vec::new(),
    }
}

pub fn wants(roles: &[&str]) -> FrameworkFacts {
    FrameworkFacts {
        roles: roles.iter().map(|r| role(r)).collect(),
        multi_role: true,
        ..FrameworkFacts::default()
    }
}

impl Cluster {
    pub fn new() -> Self {
        Self::with(Rules::default())
    }

    pub fn with(rules: Rules) -> Self {
        let allocator = Allocator::new(rules, 7);
        Self { allocator, now: Instant::default(), asked: Vec::new() }
    }

    pub fn tell(&mut self, event: Event) {
        self.allocator.handle(event, self.now);
        assert_eq!(self.allocator.check_invariants(), Ok(()));
    }

    /// What is offered, as `framework/role/agent: resources`, sorted.
    pub fn offers_after(&mut self, event: Event) -> Vec<String> {
        self.allocator.handle(event, self.now);
        self.offers()
    }

    pub fn offers(&mut self) -> Vec<String> {
        let made = self.allocator.allocate(self.now);
        assert_eq!(self.allocator.check_invariants(), Ok(()));
        self.asked = made.inverse_offers;
        let offers = made.offers;
        let mut texts: Vec<_> = offers.iter().map(text_of).collect();
        texts.sort();
        texts
    }

    pub fn add_agent(&mut self, id: &str, total: &str) -> Vec<String> {
        self.offers_after(Event::AgentAdded {
            id: agent(id),
            facts: agent_facts(total),
            used: BTreeMap::new(),
            active: true,
        })
    }

    pub fn add_framework(&mut self, id: &str, facts: FrameworkFacts) -> Vec<String> {
        self.offers_after(Event::FrameworkAdded { id: framework(id), facts, active: true })
    }

    pub fn give_back(
        &mut self,
        f: &str,
        a: &str,
        r: &str,
        what: &str,
        refusal: Refusal,
    ) -> Vec<String> {
        self.offers_after(Event::Recovered {
            framework_id: framework(f),
            agent_id: agent(a),
            resources: resources(what).allocated_to(&role(r)),
            held: Held::Offered,
            refusal,
        })
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }
}

pub fn text_of(offer: &Offer) -> String {
    let what = offer.resources.unallocated();
    assert_eq!(what.allocated_to(&offer.role), offer.resources);
    format!("{}/{}/{}: {what}", offer.framework_id, offer.role, offer.agent_id)
}

pub fn quota(guarantees: &str, limits: &str) -> Quota {
    let guarantees = Quantities::parse(guarantees).unwrap();
    let limits = limits.split(';').filter(|limit| !limit.is_empty()).map(|limit| {
        let (name, most) = limit.split_once(':').unwrap();
        let most = model::resources::Scalar::from_f64(most.parse().unwrap()).unwrap();
        (name, most)
    });
    Quota::new(guarantees, limits.collect::<Limits>()).unwrap()
}

pub fn set_quota(of: &str, guarantees: &str, limits: &str) -> Event {
    Event::QuotaSet { role: role(of), quota: quota(guarantees, limits) }
}

pub fn set_weight(of: &str, weight: f64) -> Event {
    Event::WeightsSet(BTreeMap::from([(role(of), Weight::new(weight).unwrap())]))
}

pub fn revive(f: &str, roles: &[&str]) -> Event {
    let roles: BTreeSet<_> = roles.iter().map(|r| role(r)).collect();
    Event::Revived { framework_id: framework(f), roles }
}
