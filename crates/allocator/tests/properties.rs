//! Whatever happens, in whatever order, the books add up.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alcazar_allocator::{
    AgentFacts, Allocator, Event, FrameworkFacts, Held, Offer, Refusal, Rules,
};
use model::id::{AgentId, FrameworkId};
use model::resources::{Resources, parse};
use model::role::Role;
use model::time::Instant;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    AddAgent(u8, u8),
    RemoveAgent(u8),
    SwitchAgent(u8, bool),
    AddFramework(u8, u8),
    RemoveFramework(u8),
    SwitchFramework(u8, bool),
    GiveBackOffer(usize, u8),
    Suppress(u8),
    Revive(u8),
    Wait(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..4, 1u8..9).prop_map(|(a, n)| Step::AddAgent(a, n)),
        (0u8..4).prop_map(Step::RemoveAgent),
        (0u8..4, any::<bool>()).prop_map(|(a, on)| Step::SwitchAgent(a, on)),
        (0u8..4, 0u8..4).prop_map(|(f, r)| Step::AddFramework(f, r)),
        (0u8..4).prop_map(Step::RemoveFramework),
        (0u8..4, any::<bool>()).prop_map(|(f, on)| Step::SwitchFramework(f, on)),
        (any::<usize>(), 0u8..4).prop_map(|(o, r)| Step::GiveBackOffer(o, r)),
        (0u8..4).prop_map(Step::Suppress),
        (0u8..4).prop_map(Step::Revive),
        (0u16..8000).prop_map(Step::Wait),
    ]
}

fn agent(n: u8) -> AgentId {
    AgentId::new(&format!("a{n}")).unwrap()
}

fn framework(n: u8) -> FrameworkId {
    FrameworkId::new(&format!("f{n}")).unwrap()
}

fn roles(n: u8) -> BTreeSet<Role> {
    let some: &[&str] = [&["*"][..], &["web"], &["web", "web/shop"], &["*", "zoo"]][n as usize];
    some.iter().map(|r| Role::new(r).unwrap()).collect()
}

/// What the test itself believes to be true.
#[derive(Default)]
struct Model {
    totals: BTreeMap<AgentId, Resources>,
    frameworks: BTreeSet<FrameworkId>,
    offers: Vec<Offer>,
}

fn play(steps: &[Step], seed: u64) -> Vec<Offer> {
    let mut allocator = Allocator::new(Rules::default(), seed);
    let mut model = Model::default();
    let mut now = Instant::default();
    let mut made = Vec::new();
    for step in steps {
        let event = match step {
            Step::Wait(millis) => {
                now = now + Duration::from_millis((*millis).into());
                None
            }
            Step::AddAgent(a, n) => {
                let text = format!("cpus:{n};cpus(web):1;mem:{n}00;ports:[1-{n}]");
                let total = parse(&text, &Role::any()).unwrap();
                model.totals.insert(agent(*a), total.clone());
                model.offers.retain(|offer| offer.agent_id != agent(*a));
                let facts = AgentFacts {
                    total,
                    multi_role: true,
                    hierarchical_role: n % 2 == 0,
                    hostname: "host".to_owned(),
                    attributes: Vec::new(),
                    region: None,
                    zone: None,
                };
                let used = BTreeMap::new();
                Some(Event::AgentAdded { id: agent(*a), facts, used, active: true })
            }
            Step::RemoveAgent(a) => {
                model.totals.remove(&agent(*a));
                model.offers.retain(|offer| offer.agent_id != agent(*a));
                Some(Event::AgentRemoved(agent(*a)))
            }
            Step::SwitchAgent(a, active) => {
                Some(Event::AgentSwitched { id: agent(*a), active: *active })
            }
            Step::AddFramework(f, r) if model.frameworks.insert(framework(*f)) => {
                let facts = FrameworkFacts { roles: roles(*r), ..FrameworkFacts::default() };
                Some(Event::FrameworkAdded { id: framework(*f), facts, active: true })
            }
            Step::AddFramework(..) => None,
            Step::RemoveFramework(f) => {
                model.frameworks.remove(&framework(*f));
                model.offers.retain(|offer| offer.framework_id != framework(*f));
                Some(Event::FrameworkRemoved(framework(*f)))
            }
            Step::SwitchFramework(f, active) => {
                Some(Event::FrameworkSwitched { id: framework(*f), active: *active })
            }
            Step::GiveBackOffer(o, r) if !model.offers.is_empty() => {
                let offer = model.offers.swap_remove(o % model.offers.len());
                Some(Event::Recovered {
                    framework_id: offer.framework_id,
                    agent_id: offer.agent_id,
                    resources: offer.resources,
                    held: Held::Offered,
                    refusal: match r {
                        0 => Refusal::None,
                        1 => Refusal::Brief,
                        n => Refusal::For(Duration::from_secs((*n).into())),
                    },
                })
            }
            Step::GiveBackOffer(..) => None,
            Step::Suppress(f) => {
                let framework_id = framework(*f);
                Some(Event::Suppressed { framework_id, roles: roles(f % 4) })
            }
            Step::Revive(f) => {
                let framework_id = framework(*f);
                Some(Event::Revived { framework_id, roles: roles(f % 4) })
            }
        };
        if let Some(event) = event {
            allocator.handle(event, now);
        }
        let offers = allocator.allocate(now).offers;
        assert_eq!(allocator.check_invariants(), Ok(()), "after {step:?}");
        model.offers.extend(offers.iter().cloned());
        made.extend(offers);
        check(&allocator, &model);
    }
    made
}

fn check(allocator: &Allocator, model: &Model) {
    for (id, total) in &model.totals {
        let offered = model
            .offers
            .iter()
            .filter(|offer| offer.agent_id == *id)
            .fold(Resources::new(), |sum, offer| sum.plus(&offer.resources.unallocated()));
        assert!(total.contains(&offered), "{offered} of {total} on {id}");
        let booked = allocator
            .allocated(id)
            .unwrap()
            .values()
            .fold(Resources::new(), |sum, taken| sum.plus(&taken.unallocated()));
        assert_eq!(booked, offered, "{id}");
    }
    for offer in &model.offers {
        assert!(model.frameworks.contains(&offer.framework_id));
        assert!(offer.resources.iter().all(|r| r.is_allocatable_to(&offer.role)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_offered_twice_and_nothing_to_the_wrong_role(
        steps in prop::collection::vec(any_step(), 0..60), seed in any::<u64>()
    ) {
        play(&steps, seed);
    }

    #[test]
    fn the_same_events_and_the_same_seed_give_the_same_offers(
        steps in prop::collection::vec(any_step(), 0..40), seed in any::<u64>()
    ) {
        prop_assert_eq!(play(&steps, seed), play(&steps, seed));
    }
}
