//! What is gone is forgotten, whatever comes and goes, and at a price that does not grow with what
//! there is.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{AgentId, FrameworkId};
use model::quota::{Limits, Quota};
use model::resources::{Quantities, Resources, Scalar, parse};
use model::role::Role;
use model::time::{Instant, Timestamp};

use crate::{AgentFacts, Allocator, Event, FrameworkFacts, Held, Refusal, Rules, Unavailability};

fn allocator() -> Allocator {
    Allocator::new(Rules::default(), 1)
}

fn tell(allocator: &mut Allocator, event: Event) {
    allocator.handle(event, Instant::default());
    assert_eq!(allocator.check_invariants(), Ok(()));
}

fn resources(text: &str) -> Resources {
    parse(text, &Role::any()).unwrap()
}

fn agent(n: usize) -> AgentId {
    AgentId::new(&format!("a{n}")).unwrap()
}

fn framework(text: &str) -> FrameworkId {
    FrameworkId::new(text).unwrap()
}

fn role(text: &str) -> Role {
    Role::new(text).unwrap()
}

fn facts(total: &str) -> AgentFacts {
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

fn agent_added(n: usize, total: &str) -> Event {
    Event::AgentAdded { id: agent(n), facts: facts(total), used: BTreeMap::new(), active: true }
}

fn wants(roles: impl IntoIterator<Item = String>) -> FrameworkFacts {
    let roles = roles.into_iter().map(|text| role(&text)).collect();
    FrameworkFacts { roles, multi_role: true, ..FrameworkFacts::default() }
}

/// The role `web` may have so much of this.
fn limited(name: &str, most: f64) -> Event {
    let limits: Limits = [(name, Scalar::from_f64(most).unwrap())].into_iter().collect();
    let quota = Quota::new(Quantities::default(), limits).unwrap();
    Event::QuotaSet { role: role("web"), quota }
}

#[test]
fn names_that_nobody_uses_any_more_are_forgotten_and_those_in_use_are_not() {
    let mut allocator = allocator();
    tell(&mut allocator, agent_added(0, "cpus:4;mem:1024;spare:7"));
    tell(&mut allocator, limited("promised", 3.0));
    let mine = resources("old:5").allocated_to(&Role::any());
    tell(
        &mut allocator,
        Event::Used { framework_id: framework("f"), agent_id: agent(0), resources: mine.clone() },
    );
    for round in 0..1_000 {
        let names: Vec<_> = (0..5).map(|n| format!("made-up-{round}-{n}:1")).collect();
        let total = format!("cpus:4;mem:1024;spare:7;{}", names.join(";"));
        tell(&mut allocator, Event::AgentUpdated { id: agent(0), facts: facts(&total) });
        assert!(allocator.names.slots() < 200, "{} names", allocator.names.slots());
    }
    for name in ["cpus", "mem", "spare", "promised", "old"] {
        assert!(allocator.names.find(name).is_some(), "{name}");
    }
    // What is held is still held under its name, and can be given back.
    tell(
        &mut allocator,
        Event::Recovered {
            framework_id: framework("f"),
            agent_id: agent(0),
            resources: mine,
            held: Held::InUse,
            refusal: Refusal::None,
        },
    );
    tell(&mut allocator, Event::AgentRemoved(agent(0)));
    assert_eq!(allocator.total(), Quantities::default());
    // Those that are made up now get old numbers, and mean what they say.
    tell(&mut allocator, agent_added(1, "cpus:2;fresh:9"));
    assert_eq!(allocator.total(), Quantities::parse("cpus:2;fresh:9").unwrap());
}

#[test]
fn a_role_at_its_limits_is_closed_as_long_as_no_agent_has_anything_else() {
    let mut allocator = allocator();
    tell(&mut allocator, agent_added(0, "cpus:4"));
    tell(&mut allocator, limited("cpus", 1.0));
    let facts = wants(["web".to_owned()]);
    let id = framework("f");
    tell(&mut allocator, Event::FrameworkAdded { id, facts, active: true });
    let is_closed = |allocator: &mut Allocator| {
        allocator.allocate(Instant::default());
        allocator.tree.closed.iter().next().is_some()
    };
    // It is offered the one that it may have.
    assert!(is_closed(&mut allocator));
    tell(&mut allocator, agent_added(1, "cpus:4;mem:7"));
    assert!(!is_closed(&mut allocator));
    // A name that was there once is no reason to ask for ever. The next run finds that out.
    tell(&mut allocator, Event::AgentRemoved(agent(1)));
    tell(&mut allocator, agent_added(2, "cpus:4"));
    assert!(is_closed(&mut allocator));
}

#[test]
fn the_numbers_of_lost_roles_are_cleared_away_for_many_at_once() {
    let mut allocator = allocator();
    for n in 0..3 {
        tell(&mut allocator, agent_added(n, "cpus:4;mem:1024"));
    }
    let roles = |range: std::ops::Range<usize>| range.map(|n| format!("role-{n}"));
    let id = framework("f");
    let added = Event::FrameworkAdded { id: id.clone(), facts: wants(roles(0..100)), active: true };
    tell(&mut allocator, added);
    // Each agent finds out about each role.
    for n in 0..3 {
        let all: Vec<_> = allocator.tree.clients.iter().map(|(no, _)| no).collect();
        let noted = allocator.agents.get_mut(n).unwrap();
        for client in all {
            noted.judged.insert(client);
        }
    }
    // A few wait for more to come.
    let updated = |facts| Event::FrameworkUpdated { id: id.clone(), facts };
    tell(&mut allocator, updated(wants(roles(20..100))));
    assert_eq!(allocator.tree.clients.retired().len(), 20);
    tell(&mut allocator, updated(wants(roles(30..100))));
    assert!(allocator.tree.clients.retired().len() < 25);
    // Their numbers are not given to others before.
    tell(&mut allocator, updated(wants(roles(30..140))));
    tell(&mut allocator, Event::FrameworkRemoved(id.clone()));
    assert!(allocator.tree.clients.retired().len() < 40);
    assert!(allocator.frameworks.iter().next().is_none());
    // Numbers are used again: nothing grows with those that come and go.
    for _ in 0..50 {
        let facts = wants(roles(0..100));
        tell(&mut allocator, Event::FrameworkAdded { id: id.clone(), facts, active: true });
        tell(&mut allocator, Event::FrameworkRemoved(id.clone()));
    }
    let highest = allocator.tree.clients.retired().iter().max().copied();
    assert!(highest.is_none_or(|highest| highest < 400), "{highest:?}");
}

#[test]
fn what_a_framework_said_about_maintenance_goes_with_it_even_if_its_tasks_went_before() {
    let mut allocator = allocator();
    tell(&mut allocator, agent_added(0, "cpus:4;mem:1024"));
    let unavailability = Some(Unavailability { start: 1, duration: None });
    tell(&mut allocator, Event::UnavailabilitySet { agent_id: agent(0), unavailability });
    for round in 0..3 {
        let id = framework(&format!("f{round}"));
        let (facts, active) = (wants(["*".to_owned()]), true);
        tell(&mut allocator, Event::FrameworkAdded { id: id.clone(), facts, active });
        let task = resources("cpus:1").allocated_to(&Role::any());
        let (framework_id, agent_id) = (id.clone(), agent(0));
        tell(&mut allocator, Event::Used { framework_id, agent_id, resources: task.clone() });
        assert_eq!(allocator.allocate(Instant::default()).inverse_offers.len(), 1);
        tell(
            &mut allocator,
            Event::InverseOfferAnswered {
                framework_id: id.clone(),
                agent_id: agent(0),
                accepted: true,
                at: Timestamp::default(),
                refusal: Refusal::For(Duration::from_secs(365 * 24 * 3600)),
            },
        );
        let recovered = Event::Recovered {
            framework_id: id.clone(),
            agent_id: agent(0),
            resources: allocator.allocated(&agent(0)).unwrap()[&id].clone(),
            held: Held::InUse,
            refusal: Refusal::None,
        };
        tell(&mut allocator, recovered);
        // The answer stays as long as the framework: operators look at it.
        assert_eq!(allocator.maintenance_answers(&agent(0)).len(), 1);
        tell(&mut allocator, Event::FrameworkRemoved(id));
        assert!(allocator.maintenance_answers(&agent(0)).is_empty());
        assert_eq!(allocator.quiet_ends, BTreeSet::new());
    }
}
