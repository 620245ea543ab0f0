//! Steps of a random game, played by the allocator and by the model at once.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unreachable_pub, reason = "a module of a test program")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::model::resources::parse;
use ::model::role::Role;
use ::model::time::{Instant, Timestamp};
use alcazar_allocator::{
    AgentFacts, Allocator, Event, FrameworkFacts, Held, Offer, Refusal, Unavailability,
};
use proptest::prelude::*;

use crate::cluster::{agent, agent_facts, framework, role, set_quota, set_weight};
use crate::model::Model;

#[derive(Clone, Debug)]
pub enum Step {
    AddAgent(u8, u8),
    RemoveAgent(u8),
    SwitchAgent(u8, bool),
    UpdateAgent(u8, u8),
    AddFramework(u8, u8, u8),
    UpdateFramework(u8, u8, u8),
    RemoveFramework(u8),
    SwitchFramework(u8, bool),
    GiveBackOffer(usize, u8),
    Launch(usize, u8),
    End(usize),
    Reserve(usize),
    OperatorReserves(u8, u8),
    Suppress(u8),
    Revive(u8),
    Quota(u8, u8, u8),
    Weight(u8, u8),
    Whitelist(Option<u8>),
    Maintain(u8, bool),
    Answer(u8, u8, u8),
    Wait(u16),
}

pub fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..4, 1u8..9).prop_map(|(a, n)| Step::AddAgent(a, n)),
        1 => (0u8..4).prop_map(Step::RemoveAgent),
        1 => (0u8..4, any::<bool>()).prop_map(|(a, on)| Step::SwitchAgent(a, on)),
        1 => (0u8..4, 1u8..9).prop_map(|(a, n)| Step::UpdateAgent(a, n)),
        4 => (0u8..5, 0u8..6, 0u8..16).prop_map(|(f, r, c)| Step::AddFramework(f, r, c)),
        1 => (0u8..5, 0u8..6, 0u8..16).prop_map(|(f, r, c)| Step::UpdateFramework(f, r, c)),
        1 => (0u8..5).prop_map(Step::RemoveFramework),
        1 => (0u8..5, any::<bool>()).prop_map(|(f, on)| Step::SwitchFramework(f, on)),
        6 => (any::<usize>(), 0u8..4).prop_map(|(o, r)| Step::GiveBackOffer(o, r)),
        4 => (any::<usize>(), 0u8..4).prop_map(|(o, r)| Step::Launch(o, r)),
        2 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Reserve),
        1 => (0u8..4, 0u8..4).prop_map(|(a, r)| Step::OperatorReserves(a, r)),
        1 => (0u8..5).prop_map(Step::Suppress),
        1 => (0u8..5).prop_map(Step::Revive),
        3 => (0u8..4, 0u8..6, 0u8..9).prop_map(|(r, g, l)| Step::Quota(r, g, l)),
        1 => (0u8..5, 0u8..3).prop_map(|(r, w)| Step::Weight(r, w)),
        1 => prop::option::of(0u8..3).prop_map(Step::Whitelist),
        1 => (0u8..4, any::<bool>()).prop_map(|(a, on)| Step::Maintain(a, on)),
        1 => (0u8..5, 0u8..4, 0u8..4).prop_map(|(f, a, r)| Step::Answer(f, a, r)),
        4 => (0u16..8000).prop_map(Step::Wait),
    ]
}

/// The master's region.
pub const HERE: &str = "here";

const ROLES: [&str; 5] = ["*", "web", "web/shop", "zoo", "zoo/ape"];

fn roles(n: u8) -> BTreeSet<Role> {
    let some: [&[&str]; 6] =
        [&["*"], &["web"], &["web", "web/shop"], &["*", "zoo"], &["zoo/ape"], &["web/shop"]];
    some[n as usize].iter().map(|r| role(r)).collect()
}

fn wants(r: u8, capabilities: u8) -> FrameworkFacts {
    let bit = |bit: u8| capabilities & bit != 0;
    FrameworkFacts {
        roles: roles(r),
        revocable_resources: bit(1),
        gpu_resources: bit(2),
        region_aware: bit(4),
        multi_role: !bit(8) || roles(r).len() > 1,
        ..FrameworkFacts::default()
    }
}

fn facts(a: u8, n: u8) -> AgentFacts {
    let gpus = if n == 8 { ";gpus:1" } else { "" };
    let text = format!("cpus:{n};cpus(web):1;mem:{n}00;mem(zoo/ape):50;ports:[1-{n}]{gpus}");
    let mut facts = agent_facts(&text);
    facts.hostname = format!("host{}", a % 3);
    facts.hierarchical_role = !n.is_multiple_of(3);
    facts.multi_role = n != 7;
    facts.region = match n {
        4 => Some(HERE.to_owned()),
        5 => Some("far".to_owned()),
        _ => None,
    };
    let spare = parse("cpus:1", &Role::any()).unwrap();
    let spare = spare.iter().map(|r| r.with(|traits| traits.revocable = n.is_multiple_of(2)));
    facts.total.add_all(&spare.collect());
    facts
}

const fn refusal(n: u8) -> Refusal {
    match n {
        0 => Refusal::None,
        1 => Refusal::Brief,
        2 => Refusal::For(Duration::from_millis(10)),
        _ => Refusal::For(Duration::from_secs(5)),
    }
}

fn agent_of(n: u8) -> ::model::id::AgentId {
    agent(&format!("a{n}"))
}

fn framework_of(n: u8) -> ::model::id::FrameworkId {
    framework(&format!("f{n}"))
}

pub struct Game {
    pub allocator: Allocator,
    pub model: Model,
    pub now: Instant,
    pub made: Vec<Offer>,
}

impl Game {
    fn tell(&mut self, event: Event) {
        self.model.tell(&event, self.now);
        self.allocator.handle(event, self.now);
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Wait(millis) => self.now = self.now + Duration::from_millis(millis.into()),
            Step::AddAgent(a, n) => {
                // What was there is gone with the agent.
                self.tell(Event::AgentRemoved(agent_of(a)));
                let (id, used) = (agent_of(a), BTreeMap::new());
                self.tell(Event::AgentAdded { id, facts: facts(a, n), used, active: true });
            }
            Step::RemoveAgent(a) => self.tell(Event::AgentRemoved(agent_of(a))),
            Step::SwitchAgent(a, active) => {
                self.tell(Event::AgentSwitched { id: agent_of(a), active });
            }
            Step::UpdateAgent(a, n) => {
                self.tell(Event::AgentUpdated { id: agent_of(a), facts: facts(a, n) });
            }
            Step::Whitelist(host) => {
                let hosts = host.map(|n| BTreeSet::from([format!("host{n}")]));
                self.tell(Event::Whitelisted(hosts));
            }
            Step::Maintain(a, on) => {
                let unavailability = on.then_some(Unavailability { start: 1, duration: None });
                self.tell(Event::UnavailabilitySet { agent_id: agent_of(a), unavailability });
            }
            Step::Quota(r, g, l) => {
                let of = ["*", "web", "zoo", "empty"][r as usize];
                let guarantee = if g == 0 { String::new() } else { format!("cpus:{g}") };
                // Eight is no limit.
                let limit = if l == 8 { String::new() } else { format!("cpus:{}", l.max(g)) };
                self.tell(set_quota(of, &guarantee, &limit));
            }
            Step::Weight(r, w) => {
                self.tell(set_weight(ROLES[r as usize], [0.5, 1.0, 3.0][w as usize]));
            }
            Step::GiveBackOffer(..)
            | Step::Launch(..)
            | Step::End(_)
            | Step::Reserve(_)
            | Step::OperatorReserves(..) => self.use_something(step),
            _ => self.change_framework(step),
        }
    }

    fn change_framework(&mut self, step: &Step) {
        match *step {
            Step::AddFramework(f, r, c) => {
                let id = framework_of(f);
                if !self.model.frameworks.contains_key(&id) {
                    self.tell(Event::FrameworkAdded { id, facts: wants(r, c), active: true });
                }
            }
            Step::UpdateFramework(f, r, c) => {
                self.tell(Event::FrameworkUpdated { id: framework_of(f), facts: wants(r, c) });
            }
            Step::RemoveFramework(f) => self.tell(Event::FrameworkRemoved(framework_of(f))),
            Step::SwitchFramework(f, active) => {
                self.tell(Event::FrameworkSwitched { id: framework_of(f), active });
            }
            Step::Suppress(f) => {
                let framework_id = framework_of(f);
                let roles = self.model.roles_of(&framework_id);
                self.tell(Event::Suppressed { framework_id, roles });
            }
            Step::Revive(f) => {
                let framework_id = framework_of(f);
                let roles = self.model.roles_of(&framework_id);
                self.tell(Event::Revived { framework_id, roles });
            }
            Step::Answer(f, a, r) => self.tell(Event::InverseOfferAnswered {
                framework_id: framework_of(f),
                agent_id: agent_of(a),
                accepted: r > 1,
                at: Timestamp::default(),
                refusal: refusal(r),
            }),
            _ => {}
        }
    }

    fn use_something(&mut self, step: &Step) {
        match *step {
            Step::GiveBackOffer(at, r) => {
                let Some(offer) = self.model.take_offer(at) else { return };
                self.give_back(&offer, Held::Offered, refusal(r));
            }
            Step::Launch(at, r) => {
                let Some(mut offer) = self.model.take_offer(at) else { return };
                let task = parse("cpus:0.5", &Role::any()).unwrap().allocated_to(&offer.role);
                if let Some(left) = offer.resources.checked_minus(&task) {
                    self.tell(Event::Launched {
                        framework_id: offer.framework_id.clone(),
                        agent_id: offer.agent_id.clone(),
                        resources: task.clone(),
                    });
                    self.model.tasks.push(Offer { resources: task, ..offer.clone() });
                    offer.resources = left;
                }
                self.give_back(&offer, Held::Offered, refusal(r));
            }
            Step::End(at) => {
                if self.model.tasks.is_empty() {
                    return;
                }
                let task = self.model.tasks.swap_remove(at % self.model.tasks.len());
                self.give_back(&task, Held::InUse, Refusal::None);
            }
            Step::Reserve(at) => {
                let Some(mut offer) = self.model.take_offer(at) else { return };
                let one = parse("cpus:1", &Role::any()).unwrap().allocated_to(&offer.role);
                let reserved = parse("cpus:1", &offer.role).unwrap().allocated_to(&offer.role);
                let (agent_id, id) = (offer.agent_id.clone(), offer.framework_id.clone());
                if !offer.resources.contains(&one) {
                    return self.give_back(&offer, Held::Offered, Refusal::None);
                }
                let done = self.allocator.convert(&agent_id, Some(&id), &one, &reserved);
                assert_eq!(done.is_ok(), self.model.convert(&agent_id, Some(&id), &one, &reserved));
                if done.is_ok() {
                    offer.resources = offer.resources.minus(&one).plus(&reserved);
                }
                self.give_back(&offer, Held::Offered, Refusal::None);
            }
            Step::OperatorReserves(a, r) => {
                let one = parse("cpus:1", &Role::any()).unwrap();
                let of = role(["web", "zoo", "web/shop", "x"][r as usize]);
                let reserved = parse("cpus:1", &of).unwrap();
                let done = self.allocator.convert(&agent_of(a), None, &one, &reserved);
                let expected = self.model.convert(&agent_of(a), None, &one, &reserved);
                assert_eq!(done.is_ok(), expected);
            }
            _ => {}
        }
    }

    fn give_back(&mut self, what: &Offer, held: Held, refusal: Refusal) {
        self.tell(Event::Recovered {
            framework_id: what.framework_id.clone(),
            agent_id: what.agent_id.clone(),
            resources: what.resources.clone(),
            held,
            refusal,
        });
    }

    pub fn run(&mut self) {
        self.model.expire(self.now);
        let before = self.model.surplus();
        let offers = self.allocator.allocate(self.now).offers;
        assert_eq!(self.allocator.check_invariants(), Ok(()));
        for offer in offers {
            self.model.enter(&offer, &self.allocator);
            self.made.push(offer);
        }
        self.model.check_surplus(&before);
        self.model.check_view(&mut self.allocator);
    }

    /// Lets pass what waits for the interval; then nothing more could be offered.
    pub fn settle(&mut self) {
        self.run();
        for _ in 0..20 {
            let soon = self.now + Duration::from_secs(1);
            let Some(next) = self.allocator.next_deadline().filter(|next| *next <= soon) else {
                return self.model.check_complete();
            };
            self.now = self.now.max(next);
            self.run();
        }
        panic!("the allocator does not come to rest");
    }
}
