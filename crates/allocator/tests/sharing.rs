//! Turns, shared and revocable resources, conversions, maintenance, whitelist, pause.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alcazar_allocator::constraints::{Constraint, Constraints, Predicate, RegexLimits, Selector};
use alcazar_allocator::{
    Attribute, AttributeValue, ConvertError, Event, FrameworkFacts, Held, MaintenanceAnswer,
    Refusal, Unavailability,
};
use cluster::{Cluster, SECOND, agent, agent_facts, framework, resources, revive, role, wants};
use model::resources::{Disk, Persistence, Resources};
use model::time::Timestamp;

#[test]
fn whoever_returns_an_offer_unused_waits_until_the_others_had_their_turn() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    let mut order = vec![cluster.add_framework("f0", wants(&["r0"]))[0][..2].to_owned()];
    for n in 1..5 {
        cluster.add_framework(&format!("f{n}"), wants(&[&format!("r{n}")]));
    }
    for _ in 0..14 {
        let last = order.last().unwrap().clone();
        let role = last.replace('f', "r");
        let next = cluster.give_back(&last, "a", &role, "cpus:4", Refusal::None);
        order.push(next[0][..2].to_owned());
    }
    for round in order.chunks(5) {
        let round: BTreeSet<_> = round.iter().collect();
        assert_eq!(round.len(), 5, "{order:?}");
    }
}

#[test]
fn whoever_uses_something_of_an_offer_keeps_its_turn() {
    let mut cluster = Cluster::new();
    cluster.add_agent("big", "cpus:100");
    cluster.add_framework("rich", wants(&["rich"]));
    cluster.add_framework("poor", wants(&["poor"]));
    assert_eq!(cluster.add_agent("a", "cpus:4"), ["poor/poor/a: cpus:4"]);
    let used = resources("cpus:3").allocated_to(&role("poor"));
    cluster.tell(Event::Launched {
        framework_id: framework("poor"),
        agent_id: agent("a"),
        resources: used,
    });
    let rest = cluster.give_back("poor", "a", "poor", "cpus:1", Refusal::None);
    assert_eq!(rest, ["poor/poor/a: cpus:1"]);
    let rest = cluster.give_back("poor", "a", "poor", "cpus:1", Refusal::None);
    assert_eq!(rest, ["rich/rich/a: cpus:1"]);
}

#[test]
fn a_new_framework_need_not_wait_for_the_end_of_a_round() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["*"]));
    assert_eq!(cluster.give_back("f", "a", "*", "cpus:4", Refusal::Brief).len(), 0);
    assert_eq!(cluster.add_framework("g", wants(&["*"])), ["g/*/a: cpus:4"]);
    assert_eq!(cluster.give_back("g", "a", "*", "cpus:4", Refusal::Brief).len(), 0);
    cluster.wait(SECOND);
    assert_eq!(cluster.offers().len(), 1);
}

#[test]
fn revocable_resources_go_to_those_who_take_them_and_count_nothing_against_quota() {
    let mut cluster = Cluster::new();
    let mut facts = agent_facts("cpus:1");
    let revocable = resources("cpus:3").iter().map(|r| r.with(|t| t.revocable = true)).collect();
    facts.total = facts.total.plus(&revocable);
    cluster.tell(cluster::set_quota("web", "", "cpus:1"));
    let takes = FrameworkFacts { revocable_resources: true, ..wants(&["web"]) };
    cluster.add_framework("careful", wants(&["*"]));
    cluster.add_framework("web", takes);
    let used = BTreeMap::new();
    let offers =
        cluster.offers_after(Event::AgentAdded { id: agent("a"), facts, used, active: true });
    assert_eq!(offers, ["careful/*/a: cpus:1", "web/web/a: cpus{REV}:3"]);
    assert!(cluster.allocator.capacity().get("cpus") < cluster.allocator.total().get("cpus"));
}

fn shared_volume() -> Resources {
    let disk = Disk {
        persistence: Some(Persistence { id: "v".into(), principal: None }),
        volume: None,
        source: None,
    };
    let with = |r: &model::resources::Resource| {
        r.with(|traits| {
            traits.disk = Some(Arc::new(disk.clone()));
            traits.shared = true;
        })
    };
    resources("disk(web):100").iter().map(with).collect()
}

#[test]
fn a_shared_volume_is_offered_to_one_after_the_other_and_counts_once() {
    let mut cluster = Cluster::new();
    let shares = || FrameworkFacts { shared_resources: true, ..wants(&["web"]) };
    for id in ["f", "g"] {
        cluster.add_framework(id, shares());
    }
    cluster.add_framework("private", wants(&["web"]));
    let mut facts = agent_facts("cpus:1");
    facts.total = facts.total.plus(&shared_volume());
    let used = BTreeMap::new();
    let added = Event::AgentAdded { id: agent("a"), facts, used, active: true };
    let first = cluster.offers_after(added);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].starts_with("f/web/a: ") && first[0].contains("SHARED"));
    assert!(cluster.offers().is_empty(), "the volume alone is too little");
    // One CPU comes back while the volume is in use: whoever gets it gets the volume as well.
    let volume = shared_volume().allocated_to(&role("web"));
    let launched = |resources| Event::Launched {
        framework_id: framework("f"),
        agent_id: agent("a"),
        resources,
    };
    cluster.tell(launched(volume.clone()));
    let second = cluster.give_back("f", "a", "web", "cpus:1", Refusal::For(1000 * SECOND));
    assert!(second[0].starts_with("g/web/a: ") && second[0].contains("SHARED"), "{second:?}");
    let id = framework("f");
    let used = Event::Used { framework_id: id, agent_id: agent("a"), resources: volume.clone() };
    cluster.tell(used);
    let view = cluster.allocator.role_view();
    let allocated = view[&role("web")].allocated.get("disk");
    assert_eq!(allocated.to_string(), "100", "two copies of `f` count once");
    cluster.tell(Event::FrameworkRemoved(framework("f")));
    assert!(cluster.allocator.role_view()[&role("web")].allocated.is_empty());
}

#[test]
fn an_operation_replaces_what_it_consumes_or_changes_nothing() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    let reserved = resources("cpus(web):1");
    let convert = |cluster: &mut Cluster, f: Option<&str>, from: &Resources| {
        let f = f.map(framework);
        cluster.allocator.convert(&agent("a"), f.as_ref(), from, &reserved)
    };
    let one = resources("cpus:1");
    assert_eq!(convert(&mut cluster, None, &one), Ok(()));
    assert_eq!(cluster.allocator.check_invariants(), Ok(()));
    assert_eq!(cluster.allocator.quota_consumed(&role("web")).get("cpus").to_string(), "1");
    let offers = cluster.add_framework("f", wants(&["web"]));
    assert_eq!(offers, ["f/web/a: cpus:3; cpus(reservations: [(STATIC,web)]):1"]);
    let missing = ConvertError::NotThere { agent_id: agent("a"), missing: one.clone() };
    assert_eq!(convert(&mut cluster, None, &one), Err(missing), "all is offered");
    assert_eq!(convert(&mut cluster, Some("f"), &one), Err(ConvertError::NotOneRole));
    let mine = one.allocated_to(&role("web"));
    let error = convert(&mut cluster, Some("stranger"), &mine).unwrap_err();
    assert!(matches!(error, ConvertError::NotThere { .. }));
    assert_eq!(convert(&mut cluster, Some("f"), &mine), Ok(()));
    assert_eq!(cluster.allocator.check_invariants(), Ok(()));
    let back = cluster.give_back("f", "a", "web", "cpus:2;cpus(web):2", Refusal::None);
    assert_eq!(back, ["f/web/a: cpus:2; cpus(reservations: [(STATIC,web)]):2"]);
    let unknown = cluster.allocator.convert(&agent("b"), None, &one, &one);
    assert_eq!(unknown, Err(ConvertError::UnknownAgent(agent("b"))));
}

#[test]
fn only_whitelisted_hosts_are_offered() {
    let mut cluster = Cluster::new();
    cluster.add_framework("f", wants(&["*"]));
    let list = |hosts: &[&str]| {
        Event::Whitelisted(Some(hosts.iter().map(|host| (*host).to_owned()).collect()))
    };
    cluster.tell(list(&[]));
    assert!(cluster.add_agent("a", "cpus:1").is_empty());
    assert!(cluster.offers_after(list(&["other"])).is_empty());
    assert_eq!(cluster.offers_after(list(&["other", "host"])).len(), 1);
    cluster.tell(list(&[]));
    assert!(cluster.add_agent("b", "cpus:1").is_empty());
    assert_eq!(cluster.offers_after(Event::Whitelisted(None)).len(), 1);
}

#[test]
fn nothing_is_offered_until_enough_agents_are_back_or_the_time_is_over() {
    let mut cluster = Cluster::new();
    let pause = Event::Paused { expected_agents: 2, at_most: 10 * SECOND };
    cluster.tell(pause.clone());
    cluster.add_framework("f", wants(&["*"]));
    assert!(cluster.add_agent("a", "cpus:1").is_empty());
    assert_eq!(cluster.allocator.next_deadline(), Some(cluster.now + 10 * SECOND));
    assert_eq!(cluster.add_agent("b", "cpus:1").len(), 2);
    let mut cluster = Cluster::new();
    cluster.tell(pause);
    cluster.add_framework("f", wants(&["*"]));
    cluster.add_agent("a", "cpus:1");
    cluster.wait(10 * SECOND);
    assert_eq!(cluster.offers().len(), 1);
    assert_eq!(cluster.allocator.next_deadline(), None);
}

#[test]
fn frameworks_are_asked_about_planned_maintenance_until_they_answer_and_again_later() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:1");
    cluster.add_framework("f", wants(&["*"]));
    cluster.add_framework("idle", wants(&["*"]));
    let unavailability = Some(Unavailability { start: 5, duration: Some(7) });
    let planned = Event::UnavailabilitySet { agent_id: agent("a"), unavailability };
    cluster.offers_after(planned.clone());
    assert_eq!(cluster.asked.len(), 1);
    assert_eq!(cluster.asked[0].framework_id, framework("f"));
    assert_eq!(Some(cluster.asked[0].unavailability), unavailability);
    cluster.wait(SECOND);
    cluster.offers();
    assert!(cluster.asked.is_empty(), "it has not answered");
    let at = Timestamp::new(9 * SECOND);
    let answer = |accepted, seconds| Event::InverseOfferAnswered {
        framework_id: framework("f"),
        agent_id: agent("a"),
        accepted,
        at,
        refusal: Refusal::from_seconds(seconds),
    };
    cluster.offers_after(answer(false, 5.0));
    assert!(cluster.asked.is_empty());
    let said = cluster.allocator.maintenance_answers(&agent("a"));
    assert_eq!(said.get(&framework("f")), Some(&MaintenanceAnswer { accepted: false, at }));
    assert_eq!(cluster.allocator.next_deadline(), Some(cluster.now + 5 * SECOND));
    cluster.wait(5 * SECOND);
    cluster.offers();
    assert_eq!(cluster.asked.len(), 1);
    cluster.offers_after(answer(true, 0.0));
    assert!(cluster.asked.is_empty(), "questions keep to the interval");
    cluster.wait(SECOND);
    cluster.offers();
    assert_eq!(cluster.asked.len(), 1);
    let id = framework("f");
    cluster.offers_after(Event::InverseOfferWithdrawn { framework_id: id, agent_id: agent("a") });
    assert_eq!(cluster.asked.len(), 1);
    cluster.offers_after(answer(true, 1000.0));
    cluster.offers_after(revive("f", &["*"]));
    assert_eq!(cluster.asked.len(), 1, "REVIVE is for questions as well");
    cluster.offers_after(planned);
    assert_eq!(cluster.asked.len(), 1);
    assert!(cluster.allocator.maintenance_answers(&agent("a")).is_empty(), "another plan");
    let none = Event::UnavailabilitySet { agent_id: agent("a"), unavailability: None };
    cluster.offers_after(none);
    assert!(cluster.asked.is_empty());
}

#[test]
fn constraints_admit_agents_as_the_original_reads_them() {
    let attribute = |name: &str, value| Attribute { name: name.to_owned(), value };
    let mut facts = agent_facts("cpus:1");
    facts.region = Some("north".to_owned());
    facts.attributes = vec![
        attribute("rack", AttributeValue::Text("r1".to_owned())),
        attribute("rack", AttributeValue::Text("r2".to_owned())),
        attribute("size", AttributeValue::Other("4".to_owned())),
    ];
    let named = |name: &str| Selector::Attribute(name.to_owned());
    let text = |of: &str| of.to_owned();
    let cases = [
        (named("rack"), Predicate::Exists, true),
        (named("row"), Predicate::Exists, false),
        (named("rack"), Predicate::NotExists, false),
        (named("row"), Predicate::NotExists, true),
        (named("rack"), Predicate::TextEquals(text("r1")), true),
        (named("rack"), Predicate::TextEquals(text("r2")), false),
        (named("row"), Predicate::TextEquals(text("r1")), false),
        (named("row"), Predicate::TextNotEquals(text("r1")), true),
        (named("rack"), Predicate::TextNotEquals(text("r1")), false),
        (named("rack"), Predicate::TextMatches(text("r[0-9]")), true),
        (named("rack"), Predicate::TextMatches(text("r")), false),
        (named("rack"), Predicate::TextNotMatches(text("r")), true),
        (named("row"), Predicate::TextMatches(text(".*")), false),
        (named("row"), Predicate::TextNotMatches(text(".*")), true),
        (named("size"), Predicate::TextEquals(text("r1")), true),
        (named("size"), Predicate::TextNotEquals(text("4")), true),
        (named("size"), Predicate::TextMatches(text("x")), true),
        (named("size"), Predicate::TextNotMatches(text(".*")), true),
        (Selector::Hostname, Predicate::TextEquals(text("host")), true),
        (Selector::Region, Predicate::TextEquals(text("north")), true),
        (Selector::Zone, Predicate::NotExists, true),
    ];
    let limits = RegexLimits::default();
    for (selector, predicate, admitted) in cases {
        let what = format!("{selector:?} {predicate:?}");
        let constraint = Constraint { selector: Some(selector), predicate: Some(predicate) };
        let wishes = BTreeMap::from([(role("web"), vec![vec![constraint]])]);
        let constraints = Constraints::compile(wishes, limits).unwrap();
        assert_eq!(constraints.admit(&role("web"), &facts), admitted, "{what}");
        assert!(constraints.admit(&role("other"), &facts), "{what}");
        let mut cluster = Cluster::new();
        let wants = FrameworkFacts { constraints: Some(constraints), ..wants(&["web"]) };
        cluster.add_framework("f", wants);
        let (facts, used) = (facts.clone(), BTreeMap::new());
        let mut facts = facts;
        facts.region = None;
        let added = Event::AgentAdded { id: agent("a"), facts, used, active: true };
        let expected = admitted && !what.contains("Region");
        assert_eq!(cluster.offers_after(added).len(), usize::from(expected), "{what}");
    }
}

#[test]
fn constraints_that_make_no_sense_are_refused() {
    let limits = RegexLimits::default();
    let exists =
        Constraint { selector: Some(Selector::Hostname), predicate: Some(Predicate::Exists) };
    let no_selector = Constraint { selector: None, ..exists.clone() };
    let no_predicate = Constraint { predicate: None, ..exists.clone() };
    let bad_regex =
        Constraint { predicate: Some(Predicate::TextMatches("(".into())), ..exists.clone() };
    for groups in [vec![], vec![vec![]], vec![vec![exists.clone()], vec![]]] {
        assert!(Constraints::compile(BTreeMap::from([(role("r"), groups)]), limits).is_err());
    }
    for one in [no_selector, no_predicate, bad_regex] {
        let wishes = BTreeMap::from([(role("r"), vec![vec![exists.clone(), one.clone()]])]);
        assert!(Constraints::compile(wishes, limits).is_err(), "{one:?}");
    }
}

#[test]
fn what_is_in_use_and_what_is_only_offered_stand_apart() {
    let mut cluster = Cluster::new();
    cluster.add_agent("a", "cpus:4");
    cluster.add_framework("f", wants(&["web"]));
    let shown = |cluster: &mut Cluster| {
        let facts = cluster.allocator.role_view()[&role("web")].clone();
        let cpus = [&facts.offered, &facts.allocated, &facts.consumed].map(|q| q.get("cpus"));
        cpus.map(|n| n.to_string()).join(" ")
    };
    assert_eq!(shown(&mut cluster), "4 0 0");
    let resources = resources("cpus:3").allocated_to(&role("web"));
    let (framework_id, agent_id) = (framework("f"), agent("a"));
    cluster.tell(Event::Launched { framework_id, agent_id, resources: resources.clone() });
    assert_eq!(shown(&mut cluster), "1 3 3");
    let (framework_id, agent_id) = (framework("f"), agent("a"));
    cluster.tell(Event::Recovered {
        framework_id,
        agent_id,
        resources,
        held: Held::InUse,
        refusal: Refusal::None,
    });
    assert_eq!(shown(&mut cluster), "1 0 0");
}

/// Frameworks that launch some tasks of each offer, give back the rest, and want nothing more once
/// they have them all.
struct Demand {
    tasks: usize,
    per_offer: usize,
    task: Resources,
}

#[test]
fn many_satisfied_frameworks_do_not_starve_the_others() {
    let mut cluster = Cluster::new();
    for n in 0..80 {
        let (facts, used) = (agent_facts("cpus:64;mem:488000"), BTreeMap::new());
        let id = agent(&format!("a{n}"));
        let added = Event::AgentAdded { id, facts, used, active: true };
        cluster.allocator.handle(added, cluster.now);
    }
    let mut demands = BTreeMap::new();
    let mut join = |cluster: &mut Cluster, id: String, of: &str, tasks, per_offer, task| {
        let (id, active) = (framework(&id), true);
        let added = Event::FrameworkAdded { id: id.clone(), facts: wants(&[of]), active };
        cluster.allocator.handle(added, cluster.now);
        demands.insert(id, Demand { tasks, per_offer, task: resources(task) });
    };
    for n in 0..4 {
        let id = format!("marathon{n}");
        join(&mut cluster, id.clone(), &id, 4000, 100, "cpus:0.07;mem:400");
    }
    for n in 0..500 {
        join(&mut cluster, format!("jenkins{n}"), "jenkins", 5, 1, "cpus:0.1;mem:4000");
    }
    for n in 0..50 {
        let id = format!("spark{n}");
        join(&mut cluster, id.clone(), &id, 20, 5, "cpus:1;mem:1000");
    }
    let mut rounds = 0;
    while demands.values().any(|demand| demand.tasks > 0) {
        rounds += 1;
        assert!(rounds < 600, "each agent goes round all frameworks in 554 runs");
        cluster.wait(SECOND);
        for offer in cluster.allocator.allocate(cluster.now).offers {
            let demand = demands.get_mut(&offer.framework_id).unwrap();
            let (mut left, mut used) = (offer.resources.clone(), Resources::new());
            let task = demand.task.allocated_to(&offer.role);
            for _ in 0..demand.per_offer.min(demand.tasks) {
                left = left.checked_minus(&task).unwrap();
                used.add_all(&task);
                demand.tasks -= 1;
            }
            let (framework_id, agent_id) = (offer.framework_id, offer.agent_id);
            if !used.is_empty() {
                let (framework_id, agent_id) = (framework_id.clone(), agent_id.clone());
                let launched = Event::Launched { framework_id, agent_id, resources: used };
                cluster.allocator.handle(launched, cluster.now);
            }
            let (held, refusal) = (Held::Offered, Refusal::None);
            let given_back =
                Event::Recovered { framework_id, agent_id, resources: left, held, refusal };
            cluster.allocator.handle(given_back, cluster.now);
        }
    }
    assert_eq!(cluster.allocator.check_invariants(), Ok(()));
}
