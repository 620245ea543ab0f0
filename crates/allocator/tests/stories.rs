//! The allocator's promises, each told as a story.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alcazar_allocator::{AgentFacts, Attribute, AttributeValue, Event, FrameworkFacts, Refusal};
use cluster::{Cluster, SECOND, agent, agent_facts, framework, resources, role, wants};
use model::role::Role;

#[test]
fn whoever_comes_second_the_agent_or_the_framework_an_offer_follows_at_once() {
    let mut cluster = Cluster::new();
    assert!(cluster.add_agent("a", "cpus:4;mem:1024").is_empty());
    assert_eq!(cluster.add_framework("f", wants(&["*"])), ["f/*/a: cpus:4; mem:1024"]);
    assert_eq!(cluster.add_agent("b", "cpus:2"), ["f/*/b: cpus:2"]);
    assert!(cluster.add_framework("g", wants(&["*"])).is_empty(), "nothing is offered twice");
}

#[test]
fn declined_resources_go_to_the_others_at_once_and_come_back_when_the_filter_expires() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["*"]));
    cluster.add_framework("g", wants(&["*"]));
    let refusal = Refusal::For(5 * SECOND);
    assert_eq!(cluster.give_back("f", "a", "*", "cpus:4", refusal), ["g/*/a: cpus:4"]);
    assert!(cluster.give_back("g", "a", "*", "cpus:4", refusal).is_empty());
    assert_eq!(cluster.allocator.next_deadline(), Some(cluster.now + 5 * SECOND));
    cluster.wait(5 * SECOND);
    assert_eq!(cluster.offers().len(), 1);
}

#[test]
fn a_filter_lives_at_least_one_interval_and_blocks_no_more_than_was_refused() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4;mem:64");
    cluster.add_framework("f", wants(&["*"]));
    let brief = Refusal::For(Duration::from_millis(1));
    assert!(cluster.give_back("f", "a", "*", "cpus:1", brief).is_empty());
    cluster.wait(Duration::from_millis(999));
    assert!(cluster.offers().is_empty());
    let more = cluster.give_back("f", "a", "*", "cpus:2", Refusal::None);
    assert_eq!(more, ["f/*/a: cpus:3"], "three are more than the one refused");
}

#[test]
fn a_scheduler_that_declines_without_a_filter_waits_for_the_timer() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["*"]));
    for _ in 0..3 {
        assert!(cluster.give_back("f", "a", "*", "cpus:4", Refusal::Brief).is_empty());
        assert_eq!(cluster.allocator.next_deadline(), Some(cluster.now + SECOND));
        cluster.wait(SECOND);
        assert_eq!(cluster.offers(), ["f/*/a: cpus:4"]);
    }
}

#[test]
fn suppressed_roles_get_nothing_and_revive_forgets_refusals() {
    let mut cluster = Cluster::new();
    cluster.add_framework("f", wants(&["x", "y"]));
    let all = |roles: &[&str]| roles.iter().map(|r| role(r)).collect::<BTreeSet<_>>();
    let id = || framework("f");
    cluster.offers_after(Event::Suppressed { framework_id: id(), roles: all(&["x", "y"]) });
    assert!(cluster.add_agent("a", "cpus:4").is_empty());
    let revive = |roles: &[&str]| Event::Revived { framework_id: id(), roles: all(roles) };
    assert_eq!(cluster.offers_after(revive(&["y"])), ["f/y/a: cpus:4"]);
    let long = Refusal::For(Duration::from_secs(1000));
    assert!(cluster.give_back("f", "a", "y", "cpus:4", long).is_empty());
    assert_eq!(cluster.allocator.active_filters(&role("y")), 1);
    assert_eq!(cluster.offers_after(revive(&["y"])), ["f/y/a: cpus:4"]);
    assert_eq!(cluster.allocator.active_filters(&role("y")), 0);
}

#[test]
fn the_framework_that_has_least_of_what_is_scarcest_is_next() {
    let mut cluster = Cluster::new();
    cluster.add_agent("small", "cpus:1;mem:900");
    cluster.add_framework("memory", wants(&["m"]));
    // `memory` holds 900 of 10,000 MB but one of two CPUs: half of the cluster.
    assert!(cluster.add_framework("nothing", wants(&["n"])).is_empty());
    assert_eq!(
        cluster.add_agent("large", "cpus:1;mem:9100"),
        ["nothing/n/large: cpus:1; mem:9100"]
    );
    // Now `nothing` holds 91 % of the memory, so `memory` is next.
    assert_eq!(cluster.add_agent("third", "cpus:1"), ["memory/m/third: cpus:1"]);
}

#[test]
fn equal_frameworks_take_turns() {
    let mut cluster = Cluster::new();
    cluster.add_framework("f", wants(&["*"]));
    cluster.add_framework("g", wants(&["*"]));
    let mut served = BTreeMap::new();
    for n in 0..10 {
        for offer in cluster.add_agent(&format!("a{n}"), "cpus:1") {
            *served.entry(offer[..1].to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(served, BTreeMap::from([("f".to_owned(), 5), ("g".to_owned(), 5)]));
}

#[test]
fn reserved_resources_go_to_their_role_and_what_is_beneath_it_only() {
    let mut cluster = Cluster::new();
    cluster.add_framework("any", wants(&["*"]));
    cluster.add_framework("web", wants(&["web/shop"]));
    cluster.add_framework("zoo", wants(&["zoo"]));
    let offers = cluster.add_agent("a", "cpus(web):1;cpus(zoo):1;cpus(web/blog):1;cpus:1");
    assert_eq!(
        offers,
        [
            "any/*/a: cpus:1",
            "web/web/shop/a: cpus(reservations: [(STATIC,web)]):1",
            "zoo/zoo/a: cpus(reservations: [(STATIC,zoo)]):1",
        ]
    );
}

#[test]
fn agents_that_a_framework_cannot_use_are_not_offered_to_it() {
    type Change = fn(&mut AgentFacts, &mut FrameworkFacts);
    let cases: [(&str, Change); 6] = [
        ("gpus for a framework that knows none", |a, _| a.total = resources("cpus:1;gpus:1")),
        ("another region", |a, _| a.region = Some("far".into())),
        ("an agent for one role per framework", |a, _| a.multi_role = false),
        ("an agent that knows no nested roles", |a, f| {
            a.hierarchical_role = false;
            f.roles = BTreeSet::from([role("a/b")]);
        }),
        ("too little", |a, _| a.total = resources("cpus:0.009;mem:31;ports:[1-100]")),
        ("a minimum of its own", |_, f| {
            let minimum = model::resources::MinAllocatable::parse("cpus:99").unwrap();
            f.min_allocatable.insert(Role::any(), minimum);
        }),
    ];
    for (why, change) in cases {
        let mut cluster = Cluster::new();
        let (mut a, mut f) = (agent_facts("cpus:1"), wants(&["*"]));
        change(&mut a, &mut f);
        cluster.add_framework("f", f);
        let used = BTreeMap::new();
        let event = Event::AgentAdded { id: agent("a"), facts: a, used, active: true };
        assert!(cluster.offers_after(event).is_empty(), "{why}");
    }
}

#[test]
fn an_agent_that_is_switched_off_is_not_offered_until_it_is_on_again() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    let switch = |active| Event::AgentSwitched { id: agent("a"), active };
    assert!(cluster.offers_after(switch(false)).is_empty());
    assert!(cluster.add_framework("f", wants(&["*"])).is_empty());
    assert_eq!(cluster.offers_after(switch(true)), ["f/*/a: cpus:4"]);
}

#[test]
fn what_a_removed_framework_held_is_offered_to_the_others() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["*"]));
    cluster.add_framework("g", wants(&["*"]));
    assert_eq!(cluster.offers_after(Event::FrameworkRemoved(framework("f"))), ["g/*/a: cpus:4"]);
}

#[test]
fn giving_back_twice_creates_nothing() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["*"]));
    let long = Refusal::For(Duration::from_secs(1000));
    cluster.give_back("f", "a", "*", "cpus:4", long);
    cluster.give_back("f", "a", "*", "cpus:4", Refusal::None);
    assert_eq!(cluster.add_framework("g", wants(&["*"])), ["g/*/a: cpus:4"]);
}

#[test]
fn resources_in_use_when_an_agent_joins_are_not_offered() {
    let mut cluster = Cluster::new();
    cluster.add_framework("f", wants(&["*"]));
    let used = BTreeMap::from([(framework("f"), resources("cpus:3").allocated_to(&Role::any()))]);
    let facts = agent_facts("cpus:4");
    let event = Event::AgentAdded { id: agent("a"), facts, used, active: true };
    assert_eq!(cluster.offers_after(event), ["f/*/a: cpus:1"]);
}

#[test]
fn changed_attributes_make_old_refusals_void() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["*"]));
    let long = Refusal::For(Duration::from_secs(1000));
    assert!(cluster.give_back("f", "a", "*", "cpus:4", long).is_empty());
    let update = |rack: &str| {
        let value = AttributeValue::Text(rack.to_owned());
        let attributes = vec![Attribute { name: "rack".to_owned(), value }];
        let attributes = if rack.is_empty() { Vec::new() } else { attributes };
        let facts = AgentFacts { attributes, ..agent_facts("cpus:4") };
        Event::AgentUpdated { id: agent("a"), facts }
    };
    assert!(cluster.offers_after(update("")).is_empty());
    assert_eq!(cluster.offers_after(update("1")), ["f/*/a: cpus:4"]);
}

#[test]
fn refuse_seconds_reads_as_the_original_reads_it_and_nan_is_no_trap() {
    let year = Duration::from_secs(365 * 24 * 3600);
    for (seconds, refusal) in [
        (0.0, Refusal::Brief),
        (-0.0, Refusal::Brief),
        (5.0, Refusal::For(5 * SECOND)),
        (0.5, Refusal::For(Duration::from_millis(500))),
        (-1.0, Refusal::For(5 * SECOND)),
        (f64::NAN, Refusal::For(5 * SECOND)),
        (f64::NEG_INFINITY, Refusal::For(5 * SECOND)),
        (f64::INFINITY, Refusal::For(year)),
        (1e300, Refusal::For(year)),
    ] {
        assert_eq!(Refusal::from_seconds(seconds), refusal, "{seconds}");
    }
}

#[test]
fn refusals_of_one_scheduler_do_not_pile_up() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:1000");
    cluster.add_framework("f", wants(&["*"]));
    for n in 1..200 {
        let refusal = Refusal::For(Duration::from_secs(10_000 - 50 * n));
        cluster.give_back("f", "a", "*", "cpus:1", refusal);
        cluster.give_back("f", "a", "*", &format!("mem:{n}"), refusal);
    }
    assert!(cluster.allocator.active_filters(&Role::any()) <= 16);
}
