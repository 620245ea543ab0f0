//! Offer constraints, from the call that states them to the list of agents that they exclude.

use alcazar_master::engine::event::{Event, SubscriptionId};
use alcazar_master::views::{Everything, Program, View};
use wire::v1;
use wire::v1::scheduler::attribute_constraint::{Predicate, Selector, predicate, selector};
use wire::v1::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};
use wire::v1::scheduler::{self, AttributeConstraint, OfferConstraints, call};

use crate::world::*;

fn attribute(name: &str) -> Selector {
    Selector { selector: Some(selector::Selector::AttributeName(name.into())) }
}

fn pseudo(number: i32) -> Selector {
    Selector { selector: Some(selector::Selector::PseudoattributeType(number)) }
}

fn matches(regex: &str) -> Predicate {
    let regex = predicate::TextMatches { regex: regex.into() };
    Predicate { predicate: Some(predicate::Predicate::TextMatches(regex)) }
}

fn exists() -> Predicate {
    Predicate { predicate: Some(predicate::Predicate::Exists(predicate::Exists {})) }
}

fn one(role: &str, selector: Selector, predicate: Predicate) -> OfferConstraints {
    let group = Group { attribute_constraints: vec![AttributeConstraint { selector, predicate }] };
    of(role, vec![group])
}

fn group(predicate: Predicate, times: usize) -> Group {
    let constraint = AttributeConstraint { selector: attribute("a"), predicate };
    Group { attribute_constraints: vec![constraint; times] }
}

fn of(role: &str, groups: Vec<Group>) -> OfferConstraints {
    OfferConstraints { role_constraints: [(role.to_owned(), RoleConstraints { groups })].into() }
}

fn subscribe(world: &mut World, constraints: OfferConstraints, n: u64) -> Done {
    let mut call = scheduler::Call::default();
    call.set_type(call::Type::Subscribe);
    call.subscribe = Some(call::Subscribe {
        framework_info: framework_info("f", &[]),
        offer_constraints: Some(constraints),
        ..Default::default()
    });
    let (subscription, call) = (SubscriptionId(n), Box::new(call));
    world.handle(Event::Subscribe { subscription, caller: caller("f"), call })
}

/// What nobody can follow, and the words that say so.
fn impossible() -> Vec<(OfferConstraints, &'static str)> {
    vec![
        (
            one("other", attribute("a"), exists()),
            "Offer constraints specify `role_constraints` for a role 'other'not contained in the \
             set of roles",
        ),
        (
            of("*", vec![group(matches("a"), 1025)]),
            "Offer constraints are not valid: 1025 regular expressions; at most 1024 are allowed",
        ),
        (
            of("*", vec![group(exists(), 4097)]),
            "Offer constraints are not valid: 4097 constraints; at most 4096 are allowed",
        ),
        (
            of("*", vec![group(exists(), 0); 4097]),
            "Offer constraints are not valid: 4097 groups; at most 4096 are allowed",
        ),
        (of("*", vec![]), "Offer constraints are not valid: "),
        (of("*", vec![Group::default()]), "Offer constraints are not valid: "),
        (one("*", Selector { selector: None }, exists()), "Offer constraints are not valid: "),
        (one("*", pseudo(0), exists()), "Offer constraints are not valid: "),
        (one("*", pseudo(99), exists()), "Offer constraints are not valid: "),
        (
            one("*", attribute("a"), Predicate { predicate: None }),
            "Offer constraints are not valid: ",
        ),
        (one("*", attribute("a"), matches("(")), "Offer constraints are not valid: "),
        (
            one("*", attribute("a"), matches("(.{1,100}){1,100}")),
            "Offer constraints are not valid: ",
        ),
    ]
}

#[test]
fn constraints_that_make_no_sense_are_refused_to_subscribers() {
    let mut world = World::new();
    for (constraints, words) in impossible() {
        let done = subscribe(&mut world, constraints, 9);
        let error = done.error(SubscriptionId(9));
        assert!(error.starts_with(words), "{error}");
    }
    assert!(world.state().frameworks.is_empty());
}

#[test]
fn constraints_that_make_no_sense_leave_the_framework_as_it_was() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let before = format!("{:?}", world.state().frameworks[&scheduler.id].info);
    for (constraints, words) in impossible() {
        let mut framework_info = scheduler.info.clone();
        framework_info.name = "renamed".to_owned();
        let mut call = scheduler.call(call::Type::UpdateFramework);
        let offer_constraints = Some(constraints);
        call.update_framework =
            Some(call::UpdateFramework { framework_info, offer_constraints, ..Default::default() });
        let stream = alcazar_master::engine::event::Stream::Of(scheduler.subscription);
        let (answer, _) = world.try_call(&scheduler.caller, stream, call);
        let refusal = answer.unwrap_err();
        assert_eq!(refusal.status(), 400);
        let text = refusal.to_string();
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(format!("{:?}", world.state().frameworks[&scheduler.id].info), before);
}

#[test]
fn agents_that_constraints_exclude_are_listed_and_not_offered() {
    let mut world = World::new();
    for (n, rack) in [(1, "r1"), (2, "r2")] {
        let mut message = register_message(n, "cpus:4");
        let mut attribute = v1::Attribute { name: "rack".into(), ..Default::default() };
        attribute.set_type(v1::value::Type::Text);
        attribute.text = Some(v1::value::Text { value: rack.into() });
        message.slave.attributes = vec![attribute];
        world.say(&host(n), alcazar_master::engine::message::Inbound::RegisterAgent(message));
    }
    let done = subscribe(&mut world, one("*", attribute("rack"), matches("r[12]")), 1);
    let offered = |done: &Done, n| -> Vec<String> {
        let offers = done.events(SubscriptionId(n)).into_iter().filter_map(|event| event.offers);
        let mut hosts: Vec<_> = offers.flat_map(|o| o.offers).map(|o| o.hostname).collect();
        hosts.sort();
        hosts
    };
    assert_eq!(offered(&done, 1), ["host-1", "host-2"]);
    let first = world.state().frameworks.keys().next().unwrap().clone();
    world.teardown(&first);
    let done = subscribe(&mut world, one("*", attribute("rack"), matches("r1")), 2);
    assert_eq!(offered(&done, 2), ["host-1"]);

    let state = world.state();
    let program = Program {
        build: endpoints::common::Build {
            version: "1.12.0".to_owned(),
            date: String::new(),
            time: 0.0,
            user: String::new(),
            git_sha: None,
            git_branch: None,
            git_tag: None,
        },
        flags: Default::default(),
        cluster: None,
        log_dir: None,
        external_log_file: None,
    };
    let view = View { snapshot: &state, program: &program, sight: &Everything };
    let id = state.frameworks.keys().next().unwrap();
    let excluded = state.agents.values().find(|agent| agent.info.hostname == "host-2").unwrap();
    let expected = format!(
        r#"{{"frameworks":{{"{id}":{{"suppressed_roles":[],"excluded_by_attribute_constraints":{{"*":["{}"]}}}}}}}}"#,
        excluded.id
    );
    assert_eq!(String::from_utf8(view.offer_constraints_debug()).unwrap(), expected);
}
