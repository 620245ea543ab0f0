//! How operators say how roles share.

use alcazar_master::engine::event::OperatorCommand;
use model::role::Role;
use model::weight::Weight;
use wire::v1;

use crate::world::*;

pub(crate) fn weights(all: &[(&str, f64)]) -> OperatorCommand {
    let info = |(role, weight): &(&str, f64)| v1::WeightInfo {
        role: Some((*role).to_owned()),
        weight: *weight,
    };
    OperatorCommand::UpdateWeights {
        permit: permit(all.iter().map(|(role, _)| role.trim().to_owned())),
        weights: all.iter().map(info).collect(),
    }
}

fn role(text: &str) -> Role {
    Role::new(text).unwrap()
}

#[test]
fn weights_are_on_record_and_outlive_the_master() {
    let mut world = World::new();
    let done = world.operate(weights(&[(" eng/web ", 2.5), ("ops", 0.5)]));
    assert_eq!(done.names(), ["Persist", "Persist"]);
    assert_eq!(done.refusal(), None);
    for _ in 0..2 {
        let set = world.state().settings.weights;
        assert_eq!(set.get(&role("eng/web")), Some(&Weight::new(2.5).unwrap()));
        assert_eq!(set.get(&role("ops")), Some(&Weight::new(0.5).unwrap()));
        assert_eq!(set.size(), 2);
        world.fail_over();
    }
}

#[test]
fn weights_that_have_no_order_or_are_of_no_role_change_nothing() {
    let mut world = World::with(|config| {
        config.roles = Some([Role::any(), role("ops"), role("web")].into());
    });
    let failed = "Failed to validate update weights request JSON";
    let not_positive = |number: &str| {
        format!("{failed} for role 'ops': Invalid weight '{number}': Weights must be positive")
    };
    let cases = [
        (("ops", f64::NAN), not_positive("nan")),
        (("ops", f64::INFINITY), not_positive("inf")),
        (("ops", f64::NEG_INFINITY), not_positive("-inf")),
        (("ops", 0.0), not_positive("0")),
        (("ops", -0.0), not_positive("-0")),
        (("ops", -1.5), not_positive("-1.5")),
        (("ops", 1e-320), not_positive("9.99989e-321")),
        (("db", 1.0), format!("{failed}: Unknown role 'db'")),
        (("", 1.0), format!("{failed}: Invalid role '': Role names cannot be the empty string")),
        (("/a", 1.0), format!("{failed}: Invalid role '/a': Role '/a' cannot start with a slash")),
    ];
    for (wrong, text) in cases {
        // A good one beside it is not set either.
        let refusal = world.operate(weights(&[("web", 3.0), wrong])).refusal().unwrap();
        assert_eq!((refusal.to_string(), refusal.status()), (text, 400));
        assert!(world.state().settings.weights.is_empty());
        assert!(world.registry.weights.is_empty());
    }
    assert_eq!(world.operate(weights(&[("*", 3.0)])).refusal(), None);
}

#[test]
fn a_weight_of_a_role_with_frameworks_takes_all_offers_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1024");
    let scheduler = world.scheduler("one");
    world.wait(SECOND);
    assert_eq!(world.offers_of(&scheduler, &agent).len(), 1);
    let before = world.offers(&scheduler);
    let done = world.operate(weights(&[("nobody's", 2.0)]));
    assert_eq!(done.refusal(), None);
    assert_eq!(world.offers(&scheduler), before);
    world.operate(weights(&[("*", 2.0)]));
    assert_ne!(world.offers(&scheduler), before);
}

#[test]
fn the_flags_weights_count_only_where_the_registry_has_none() {
    let flag = |config: &mut alcazar_master::engine::config::Config| {
        config.weights = [(role("ops"), Weight::new(3.0).unwrap())].into();
    };
    let mut world = World::with(flag);
    assert_eq!(world.registry.weights.len(), 1);
    assert_eq!(world.state().settings.weights.size(), 1);
    world.operate(weights(&[("web", 2.0)]));
    world.operate(weights(&[("ops", 5.0)]));
    world.fail_over();
    let set = world.state().settings.weights;
    assert_eq!(set.get(&role("ops")).unwrap().as_f64(), 5.0);
    assert_eq!(set.size(), 2);
}

#[test]
fn a_permit_for_one_role_weighs_no_other() {
    let mut world = World::new();
    let OperatorCommand::UpdateWeights { weights, .. } = weights(&[("a", 1.0), ("b", 2.0)]) else {
        panic!()
    };
    let permit = permit(["a".to_owned()]);
    let done = world.operate(OperatorCommand::UpdateWeights { permit, weights });
    let refusal = done.refusal().unwrap();
    assert_eq!((refusal.status(), refusal.to_string()), (403, "403 Forbidden.".to_owned()));
    assert!(world.state().settings.weights.is_empty());
}
