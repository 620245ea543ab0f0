//! Weights, guarantees and limits.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;

use std::collections::{BTreeMap, BTreeSet};

use alcazar_allocator::{Refusal, Rules, Sorter};
use cluster::{Cluster, SECOND, role, set_quota, set_weight, wants};
use model::quota::Quota;
use model::resources::Quantities;

#[test]
fn a_guarantee_is_served_first_and_kept_free_until_it_is_met() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("prod", "cpus:6", ""));
    cluster.add_framework("other", wants(&["*"]));
    assert!(cluster.add_agent("a", "cpus:4").is_empty(), "four are less than the six promised");
    assert!(cluster.add_agent("b", "cpus:2").is_empty());
    assert_eq!(cluster.add_agent("c", "cpus:3"), ["other/*/c: cpus:3"], "three are left over");
    let offers = cluster.add_framework("prod", wants(&["prod"]));
    assert_eq!(offers, ["prod/prod/a: cpus:4", "prod/prod/b: cpus:2"]);
}

#[test]
fn what_a_guaranteed_role_gets_beyond_its_guarantee_is_not_kept_from_others() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("prod", "cpus:1;mem:100", ""));
    cluster.tell(set_quota("late", "cpus:2", ""));
    cluster.add_framework("prod", wants(&["prod"]));
    // Of four, one is promised to `prod` and two to `late`, which has no framework yet.
    assert_eq!(cluster.add_agent("a", "cpus:4;mem:900"), ["prod/prod/a: cpus:2; mem:900"]);
    assert_eq!(cluster.add_framework("late", wants(&["late"])), ["late/late/a: cpus:2"]);
}

#[test]
fn nobody_gets_more_than_the_limit_and_of_what_is_not_limited_all() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("web", "", "cpus:3;gpus:0"));
    cluster.add_framework("web", wants(&["web"]));
    assert_eq!(cluster.add_agent("a", "cpus:2;mem:64"), ["web/web/a: cpus:2; mem:64"]);
    let offers = cluster.add_agent("b", "cpus:2;mem:64;ports:[1-9]");
    assert_eq!(offers, ["web/web/b: ports:[1-9]; cpus:1; mem:64"]);
    assert!(cluster.add_agent("c", "cpus:2;disk:99").is_empty(), "disk alone is no offer");
    // One comes back: after the interval the rest of another agent is offered as well.
    assert_eq!(
        cluster.give_back("web", "b", "web", "cpus:1", Refusal::For(1000 * SECOND)),
        Vec::<String>::new()
    );
    cluster.wait(SECOND);
    assert_eq!(cluster.offers(), ["web/web/c: cpus:1; disk:99"]);
}

#[test]
fn a_quota_without_limits_closes_nobody_out_though_it_is_set_before_there_are_agents() {
    for guarantees in ["", "cpus:1"] {
        let mut cluster = Cluster::new();
        cluster.add_framework("web", wants(&["web"]));
        cluster.tell(set_quota("web", guarantees, ""));
        assert_eq!(cluster.add_agent("a", "cpus:4"), ["web/web/a: cpus:4"], "{guarantees:?}");
    }
}

#[test]
fn a_changed_quota_leads_to_offers_at_once() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("web", "", "cpus:0"));
    cluster.add_framework("web", wants(&["web"]));
    assert!(cluster.add_agent("a", "cpus:4").is_empty());
    assert_eq!(cluster.offers_after(set_quota("web", "", "cpus:1")), ["web/web/a: cpus:1"]);
    assert_eq!(cluster.offers_after(set_quota("web", "", "")), ["web/web/a: cpus:3"]);
    cluster.tell(set_quota("late", "cpus:4", ""));
    cluster.add_framework("other", wants(&["*"]));
    assert!(cluster.add_agent("b", "cpus:4").is_empty());
    assert_eq!(cluster.offers_after(set_quota("late", "", "")).len(), 1);
}

#[test]
fn quota_counts_for_all_that_is_beneath_its_role() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("eng", "cpus:3", "cpus:5"));
    cluster.add_framework("other", wants(&["*"]));
    assert!(cluster.add_agent("a", "cpus:3").is_empty());
    let offers = cluster.add_framework("dev", wants(&["eng/dev"]));
    assert_eq!(offers, ["dev/eng/dev/a: cpus:3"], "it draws on the guarantee of `eng`");
    let offers = cluster.add_agent("b", "cpus:9");
    assert_eq!(offers, ["other/*/b: cpus:9"]);
    let offers = cluster.give_back("other", "b", "*", "cpus:9", Refusal::For(1000 * SECOND));
    assert_eq!(offers, ["dev/eng/dev/b: cpus:2"], "and is bound by the limit of `eng`");
    assert!(cluster.add_framework("ops", wants(&["eng/ops"])).is_empty());
    let text = |quantities: &Quantities| format!("{quantities:?}");
    let view = cluster.allocator.role_view();
    assert!(text(&view[&role("eng")].offered).contains("5000"), "{view:?}");
    assert!(view[&role("eng")].consumed.is_empty(), "offers do not count");
}

#[test]
fn a_limit_below_what_is_used_gives_nothing_and_takes_nothing() {
    let mut cluster = Cluster::new();
    cluster.add_framework("web", wants(&["web"]));
    assert_eq!(cluster.add_agent("a", "cpus:4").len(), 1);
    cluster.tell(set_quota("web", "", "cpus:1"));
    assert!(cluster.add_agent("b", "cpus:4").is_empty());
    cluster.give_back("web", "a", "web", "cpus:2", Refusal::None);
    cluster.wait(SECOND);
    assert!(cluster.offers().is_empty());
}

#[test]
fn reservations_count_and_are_never_held_back() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("web", "cpus:2", "cpus:2"));
    cluster.tell(set_quota("late", "cpus:9", ""));
    cluster.add_framework("web", wants(&["web"]));
    let offers = cluster.add_agent("a", "cpus(web):3;cpus:4");
    assert_eq!(offers, ["web/web/a: cpus(reservations: [(STATIC,web)]):3"]);
    let consumed = cluster.allocator.quota_consumed(&role("web"));
    assert_eq!(consumed, Quantities::parse("cpus:3").unwrap());
}

#[test]
fn a_guarantee_rests_on_agents_that_can_be_offered() {
    let mut cluster = Cluster::new();
    cluster.tell(set_quota("late", "cpus:4", ""));
    cluster.add_framework("other", wants(&["*"]));
    cluster.add_agent("a", "cpus:4");
    assert_eq!(cluster.add_agent("b", "cpus:4").len(), 1);
    let switch =
        |active| alcazar_allocator::Event::AgentSwitched { id: cluster::agent("a"), active };
    cluster.tell(switch(false));
    assert!(cluster.add_agent("c", "cpus:4").is_empty(), "`a` cannot be promised any more");
    assert_eq!(cluster.offers_after(switch(true)).len(), 1);
}

#[test]
fn the_heavier_role_gets_more() {
    let mut cluster = Cluster::new();
    cluster.tell(set_weight("heavy", 3.0));
    cluster.add_framework("h", wants(&["heavy"]));
    cluster.add_framework("l", wants(&["light"]));
    let mut served = BTreeMap::new();
    for n in 0..40 {
        for offer in cluster.add_agent(&format!("a{n:02}"), "cpus:1") {
            *served.entry(offer[..1].to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(served, BTreeMap::from([("h".to_owned(), 30), ("l".to_owned(), 10)]));
}

#[test]
fn siblings_share_what_their_role_gets() {
    let mut cluster = Cluster::new();
    for (id, of) in [("x", "a/x"), ("y", "a/y"), ("own", "a"), ("b", "b")] {
        cluster.add_framework(id, wants(&[of]));
    }
    let mut served = BTreeMap::new();
    for n in 0..36 {
        for offer in cluster.add_agent(&format!("a{n:02}"), "cpus:1") {
            let id = offer.split('/').next().unwrap().to_owned();
            *served.entry(id).or_insert(0) += 1;
        }
    }
    let expected = [("b", 18), ("own", 6), ("x", 6), ("y", 6)];
    assert_eq!(served, expected.map(|(id, n)| (id.to_owned(), n)).into());
}

#[test]
fn what_is_excluded_from_fair_sharing_is_offered_but_does_not_count() {
    let names = BTreeSet::from(["gpus".to_owned()]);
    let mut cluster = Cluster::with(Rules {
        fair_sharing_excluded_resource_names: names,
        filter_gpu_resources: false,
        ..Rules::default()
    });
    cluster.add_framework("x", wants(&["x"]));
    assert_eq!(cluster.add_agent("a", "gpus:8;cpus:1").len(), 1);
    cluster.add_framework("y", wants(&["y"]));
    assert_eq!(cluster.add_agent("b", "cpus:2"), ["y/y/b: cpus:2"]);
    assert_eq!(cluster.add_agent("c", "cpus:1"), ["x/x/c: cpus:1"], "a quarter against a half");
}

#[test]
fn chance_prefers_the_heavier_role_and_the_same_seed_repeats_it() {
    let serve = || {
        let mut cluster = Cluster::with(Rules {
            role_sorter: Sorter::Random,
            framework_sorter: Sorter::Random,
            ..Rules::default()
        });
        cluster.tell(set_weight("heavy", 4.0));
        cluster.add_framework("h", wants(&["heavy"]));
        cluster.add_framework("l", wants(&["light"]));
        cluster.add_framework("m", wants(&["light"]));
        let mut served = String::new();
        for n in 0..1000 {
            let used = BTreeMap::new();
            let (id, facts) = (cluster::agent(&format!("a{n}")), cluster::agent_facts("cpus:1"));
            let added = alcazar_allocator::Event::AgentAdded { id, facts, used, active: true };
            cluster.allocator.handle(added, cluster.now);
        }
        for offer in cluster.offers() {
            served.push_str(&offer[..1]);
        }
        served
    };
    let served = serve();
    let count = |id| served.matches(id).count();
    // Four in five, and of the rest one half each; four standard deviations either way.
    assert!((750..850).contains(&count("h")), "{}", count("h"));
    assert!((60..140).contains(&count("l")), "{}", count("l"));
    assert_eq!(serve(), served);
}

#[test]
fn a_role_is_shown_as_long_as_there_is_something_to_say() {
    let mut cluster = Cluster::new();
    cluster.tell(set_weight("w", 2.0));
    cluster.tell(set_quota("q", "cpus:1", ""));
    cluster.add_framework("f", wants(&["a/b"]));
    cluster.add_agent("x", "cpus(r/s):1;cpus:2");
    let roles = |cluster: &mut Cluster| -> Vec<String> {
        cluster.allocator.role_view().keys().map(ToString::to_string).collect()
    };
    assert_eq!(roles(&mut cluster), ["a", "a/b", "q", "r", "r/s", "w"]);
    let view = cluster.allocator.role_view();
    assert_eq!(view[&role("a")].offered, Quantities::parse("cpus:1").unwrap());
    assert_eq!(view[&role("r")].reserved, Quantities::parse("cpus:1").unwrap());
    assert!(view[&role("a")].frameworks.is_empty() && view[&role("a/b")].frameworks.len() == 1);
    cluster.tell(set_weight("w", 1.0));
    cluster.tell(alcazar_allocator::Event::QuotaSet { role: role("q"), quota: Quota::default() });
    cluster.tell(alcazar_allocator::Event::FrameworkRemoved(cluster::framework("f")));
    cluster.tell(alcazar_allocator::Event::AgentRemoved(cluster::agent("x")));
    assert_eq!(roles(&mut cluster), Vec::<String>::new());
}
