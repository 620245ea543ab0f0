//! Attacks on the master by schedulers and agents that may speak: numbers that are none, calls
//! that mean nothing, agents that bring back what cannot be.

use alcazar_master::engine::event::Stream;
use alcazar_master::engine::message::Inbound;
use wire::internal;
use wire::v1::framework_info::capability::Type as Capability;
use wire::v1::scheduler::{self, call};
use wire::v1::{self, TaskState};

use crate::world::*;

fn declined(
    framework_id: &v1::FrameworkId,
    offer_ids: Vec<v1::OfferId>,
    seconds: f64,
) -> scheduler::Call {
    let filters = Some(v1::Filters { refuse_seconds: Some(seconds) });
    let mut call =
        scheduler::Call { framework_id: Some(framework_id.clone()), ..Default::default() };
    call.decline = Some(call::Decline { offer_ids, filters });
    call.set_type(call::Type::Decline);
    call
}

/// What is no time at all counts as 5 seconds, what is too long as a year. Offers come back either
/// way: a call that is not performed would leave them with a driver, which hears of no refusal.
#[test]
fn attack_c6_a_refusal_for_a_strange_time_has_a_bounded_end() {
    for (seconds, comes_back) in [
        (-1.0, true),
        (f64::NAN, true),
        (f64::NEG_INFINITY, true),
        (f64::MAX, false),
        (f64::INFINITY, false),
    ] {
        let mut world = World::new();
        world.join(1, "cpus:4");
        let scheduler = world.scheduler("f");
        let offers = world.offers(&scheduler);
        assert_eq!(offers.len(), 1);
        world.call(&scheduler, declined(&scheduler.wire_id(), offers, seconds));
        assert!(world.offers(&scheduler).is_empty(), "{seconds}");
        world.wait_with(10 * SECOND, &[&host(1)]);
        assert_eq!(world.offers(&scheduler).len(), usize::from(comes_back), "{seconds}");
    }
}

#[test]
fn attack_c6_a_driver_that_refuses_for_a_strange_time_keeps_nothing() {
    let driver = bound("scheduler-1@10.0.1.1:4000", Some(identity("framework/d")));
    let mut world = World::new();
    world.join(1, "cpus:4");
    let message = internal::RegisterFrameworkMessage { framework: framework_info("d", &[]) };
    world.say(&driver, Inbound::RegisterFramework(message));
    let id = world.state().frameworks.keys().next().unwrap().to_string();
    for seconds in [f64::NAN, f64::INFINITY] {
        let offers = world.state().offers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(offers.len(), 1);
        let offers = offers.into_iter().map(|value| v1::OfferId { value }).collect();
        let call = declined(&v1::FrameworkId { value: id.clone() }, offers, seconds);
        let bytes = wire::encode(&call);
        let call = Inbound::decode("mesos.scheduler.Call", bytes.into()).unwrap();
        world.say(&driver, call);
        assert!(world.state().offers.is_empty(), "{seconds}");
        world.wait_with(10 * SECOND, &[&host(1)]);
    }
}

#[test]
fn attack_c6_descriptions_of_frameworks_with_numbers_that_are_none_are_refused() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let numbers = [
        (f64::NAN, "NaN not supported"),
        (f64::INFINITY, "Infinite values not supported"),
        (f64::NEG_INFINITY, "Infinite values not supported"),
        (-1.0, "Negative values not supported"),
        (5e-324, "Subnormal values not supported"),
        (1e300, ""),
    ];
    let with_minimum = |value: f64| {
        let quantities = [("cpus".to_owned(), v1::value::Scalar { value })].into();
        let minimum = v1::offer_filters::ResourceQuantities { quantities };
        let minimum = v1::offer_filters::MinAllocatableResources { quantities: vec![minimum] };
        let filters = v1::OfferFilters { min_allocatable_resources: Some(minimum) };
        v1::FrameworkInfo {
            offer_filters: [("*".to_owned(), filters)].into(),
            ..framework_info("f", &[])
        }
    };
    for (value, words) in numbers {
        let words = format!("Invalid resource quantity for 'cpus': {words}");
        let (subscription, done) = world.try_subscribe(&caller("g"), with_minimum(value), &[]);
        let error = done.error(subscription);
        assert!(error.starts_with(&words), "{value}: {error}");
        let mut update = scheduler.call(call::Type::UpdateFramework);
        let info = v1::FrameworkInfo { id: Some(scheduler.wire_id()), ..with_minimum(value) };
        update.update_framework =
            Some(call::UpdateFramework { framework_info: info, ..Default::default() });
        let stream = Stream::Of(scheduler.subscription);
        let (answer, _) = world.try_call(&scheduler.caller, stream, update);
        let refusal = answer.unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert!(refusal.to_string().contains(&words), "{refusal}");
    }
    for seconds in [f64::NAN, f64::INFINITY, -1.0, 1e10, 1e300] {
        let mut info = framework_info("g", &[]);
        info.failover_timeout = Some(seconds);
        let (subscription, done) = world.try_subscribe(&caller("g"), info, &[]);
        let words = format!("The framework failover_timeout ({seconds}) is invalid");
        assert_eq!(done.error(subscription), words);
    }
    assert_eq!(world.state().frameworks.size(), 1);
}

#[test]
fn attack_c15_a_call_of_no_type_ends_nothing_however_it_comes() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let driver = bound("scheduler-1@10.0.1.1:4000", Some(identity("framework/d")));
    let message = internal::RegisterFrameworkMessage { framework: framework_info("d", &[]) };
    world.say(&driver, Inbound::RegisterFramework(message));
    let driven = world.state().frameworks.values().find(|f| f.info.name == "d").unwrap().clone();
    for number in [Some(0), Some(99), Some(-1), None] {
        let call = scheduler::Call { r#type: number, ..scheduler.call(call::Type::Revive) };
        let stream = Stream::Of(scheduler.subscription);
        let (answer, done) = world.try_call(&scheduler.caller, stream, call);
        let status = if number == Some(0) { 501 } else { 400 };
        assert_eq!(answer.unwrap_err().status(), status, "{number:?}");
        assert!(done.names().is_empty());
        let framework_id = Some(v1::FrameworkId { value: driven.id.to_string() });
        let call = scheduler::Call { framework_id, r#type: number, ..Default::default() };
        // What the reader does not let pass never becomes a message.
        let bytes = wire::encode(&call);
        if let Ok(call) = Inbound::decode("mesos.scheduler.Call", bytes.into()) {
            world.say(&driver, call).is_refused();
        }
    }
    assert!(world.state().frameworks.values().all(|framework| framework.is_connected()));
}

#[test]
fn attack_c4_tasks_of_no_role_or_in_a_state_that_only_masters_see_do_not_come_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let mut info = framework_info("f", &[Capability::MultiRole]);
    info.roles = vec!["a".into(), "b".into()];
    let (scheduler, _) = world.subscribe("f", info);
    let offer = world.offers_of(&scheduler, &agent).remove(0);
    world.accept(&scheduler, vec![offer], vec![task("t", &agent, "cpus:1")]);
    let message = world.reregister_message(1, &agent);
    assert_eq!(message.tasks.len(), 1);
    type Change = fn(&mut internal::ReregisterSlaveMessage);
    let without_role: Change = |message| {
        for resource in &mut message.tasks[0].resources {
            resource.allocation_info = None;
        }
    };
    let unreachable: Change = |m| m.tasks[0].set_state(TaskState::TaskUnreachable);
    let unknown: Change = |m| m.tasks[0].set_state(TaskState::TaskUnknown);
    let of_no_state: Change = |m| m.tasks[0].state = 4711;
    let old: Change = |message| message.agent_capabilities.retain(|c| c.r#type != Some(1));
    let as_it_is: Change = |_| {};
    for fail_over in [false, true] {
        if fail_over {
            world.fail_over();
        }
        for capabilities in [as_it_is, old] {
            for change in [without_role, unreachable, unknown, of_no_state] {
                let mut message = message.clone();
                capabilities(&mut message);
                change(&mut message);
                world.say(&host(1), Inbound::ReregisterAgent(message)).is_refused();
            }
        }
    }
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert!(done.names().contains(&"SlaveReregistered".to_owned()), "{:?}", done.names());
}
