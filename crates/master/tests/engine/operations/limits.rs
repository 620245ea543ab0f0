//! How much of operations there can be: of what a framework asks for at once, and of what is kept.

use std::time::{Duration, Instant};

use alcazar_master::engine::event::Stream;
use alcazar_master::engine::operations::limits;
use alcazar_master::engine::validate::accept;
use wire::v1::scheduler::call;

use super::providers::{listed, update_of};
use super::*;

/// ACCEPT of all that is offered of the agent is refused with these words, and nothing happens.
fn refused(
    world: &mut World,
    scheduler: &Scheduler,
    agent: &AgentId,
    operations: Vec<v1::offer::Operation>,
) -> String {
    let offers = world.offers_of(scheduler, agent);
    assert!(!offers.is_empty(), "nothing is offered");
    let mut call = scheduler.call(call::Type::Accept);
    call.accept = Some(call::Accept { offer_ids: offers.clone(), operations, filters: None });
    let (answer, done) =
        world.try_call(&scheduler.caller, Stream::Of(scheduler.subscription), call);
    let refusal = answer.unwrap_err();
    assert_eq!(refusal.status(), 400);
    assert_eq!(done.names(), Vec::<String>::new());
    assert_eq!(world.offers_of(scheduler, agent), offers);
    refusal.to_string()
}

fn group(name_of_executor: usize, tasks: usize, agent: &AgentId) -> v1::offer::Operation {
    let mut executor = v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        name: Some("x".repeat(name_of_executor)),
        ..v1::ExecutorInfo::default()
    };
    executor.set_type(v1::executor_info::Type::Default);
    let tasks = (0..tasks).map(|n| task(&n.to_string(), agent, "cpus:0.001")).collect();
    let task_group = v1::TaskGroupInfo { tasks };
    v1::offer::Operation {
        launch_group: Some(operation::LaunchGroup { executor, task_group }),
        ..of(Type::LaunchGroup)
    }
}

#[test]
fn a_group_whose_executor_would_be_copied_too_often_is_refused_before_it_is() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let size = accept::MAX_COPIED / 8;
    let words = refused(&mut world, &scheduler, &agent, vec![group(size, 8, &agent)]);
    assert!(words.contains("bytes of copies of their group's executor"), "{words}");
    // Less is looked at: here it is refused since its executor needs nothing.
    let done = world.operate_on(&scheduler, &agent, vec![group(100, 8, &agent)]);
    assert_eq!(done.updates(scheduler.subscription).len(), 8);
}

#[test]
fn there_are_bounds_to_one_accept() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let many = accept::MAX_TASKS + 1;
    let tasks = || (0..many).map(|n| task(&n.to_string(), &agent, "cpus:0.001")).collect();
    for operations in [
        vec![launch(tasks())],
        vec![group(1, many, &agent)],
        vec![launch(vec![]); many],
        vec![launch(tasks()), launch(vec![])],
    ] {
        let words = refused(&mut world, &scheduler, &agent, operations);
        assert!(words.ends_with("More than 10000 tasks or launches in one ACCEPT"), "{words}");
    }
    let one = reserve(&reserved("cpus:0.001", "f"));
    let reserves = vec![one; accept::MAX_OPERATIONS + 1];
    let words = refused(&mut world, &scheduler, &agent, reserves);
    assert!(words.ends_with("More than 1000 operations in one ACCEPT"), "{words}");
}

/// As many operations of the framework as an agent may have, numbered from `first` on.
fn brought(framework: &str, first: usize, count: usize) -> Vec<v1::Operation> {
    let info = reserve(&reserved("cpus:0.001", "f"));
    let numbered = |n: usize| {
        let id = named(&n.to_string(), info.clone());
        let mut uuid = vec![0; 8];
        uuid.extend(n.to_be_bytes());
        v1::Operation {
            uuid: v1::Uuid { value: uuid.into() },
            ..listed(framework, id, OperationState::OperationFinished, 0)
        }
    };
    (first..first + count).map(numbered).collect()
}

#[test]
fn who_does_not_acknowledge_can_do_no_more_on_the_agent_and_others_can() {
    let mut world = World::new();
    let (agent, other) = (world.join(1, "cpus:4"), world.join(2, "cpus:4"));
    let scheduler = web(&mut world, "f");
    let most = limits::MAX_OF_FRAMEWORK_ON_AGENT;
    let id = scheduler.id.as_str();
    let too_many = brought(id, 0, limits::BROUGHT_BACK * most + 1);
    let too_many = Inbound::UpdateAgent(update_of(&agent, too_many, None));
    world.say(&host(1), too_many).is_refused();
    assert!(world.state().operations.is_empty());
    world.tell(1, update_of(&agent, brought(id, 0, most), None));
    assert_eq!(world.state().operations.size(), most);

    let one = || vec![named("r", reserve(&reserved("cpus:1", "f")))];
    let done = world.operate_on(&scheduler, &agent, one());
    assert!(applied(&done).is_empty());
    let status = statuses(&done, &scheduler).remove(0);
    assert_eq!(status.state(), OperationState::OperationError);
    assert!(status.message().starts_with("The framework can have 1000 operations on agent m-S0"));
    assert!(world.total(&agent).iter().all(|resource| !resource.is_dynamically_reserved()));
    // On another agent it can, and on this one others can.
    assert_eq!(applied(&world.operate_on(&scheduler, &other, one())).len(), 1);
    world.tell(1, update_of(&agent, brought("another", most, 1), None));
    assert_eq!(world.state().agents[&agent].operations.size(), most + 1);

    // Once it has told that it knows of one there is room again.
    let named = brought(id, 0, 1).remove(0).info;
    let uuid_of = brought(id, 0, 1).remove(0).uuid;
    let said = internal::ApplyOperationMessage {
        framework_id: Some(scheduler.wire_id()),
        operation_info: named,
        operation_uuid: uuid_of,
        ..Default::default()
    };
    world.finish(1, &agent, &said, 3);
    let call = super::feedback::acknowledge(&scheduler, &agent, "0", 3);
    world.call(&scheduler, call);
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    assert_eq!(applied(&world.operate_on(&scheduler, &agent, one())).len(), 1);
}

#[test]
fn a_large_operation_counts_for_many() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1024");
    let scheduler = web(&mut world, "f");
    // So many KiB of labels.
    let one = |kilobytes: usize| {
        let value = Some("x".repeat(kilobytes * 1024));
        let labels = vec![v1::Label { key: "k".to_owned(), value }];
        let mut large = named("r", reserve(&reserved("cpus:0.001", "f")));
        let reservation = &mut large.reserve.as_mut().unwrap().resources[0].reservations[0];
        reservation.labels = Some(v1::Labels { labels });
        vec![large]
    };
    assert_eq!(applied(&world.operate_on(&scheduler, &agent, one(600))).len(), 1);
    let weight = world.state().agents[&agent].operations_weight;
    assert!((600..610).contains(&weight), "{weight}");
    assert_eq!(world.state().frameworks[&scheduler.id].operations_weight, weight);
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let done = world.operate_on(&scheduler, &agent, one(500));
    assert!(applied(&done).is_empty());
    let status = statuses(&done, &scheduler).remove(0);
    assert!(status.message().ends_with("large ones counted by the KiB"), "{status:?}");
    // An agent cannot bring it either.
    let mut large = brought("another", 0, 1);
    large[0].info = one(2001).remove(0);
    world.say(&host(1), Inbound::UpdateAgent(update_of(&agent, large, None))).is_refused();
    assert_eq!(world.state().operations.size(), 1);
    world.operate(mark_gone(&agent));
    assert_eq!(world.state().frameworks[&scheduler.id].operations_weight, 0);
}

/// What a framework was let do does not make its agent's account of it unacceptable.
#[test]
fn what_was_sent_is_taken_back_whatever_the_agent_says_of_it() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let mut all = brought("f", 0, limits::MAX_OF_FRAMEWORK_ON_AGENT);
    for one in &mut all {
        // Almost a KiB when it was sent, and a little more in another form.
        let value = Some("x".repeat(1020));
        let labels = vec![v1::Label { key: "k".to_owned(), value }];
        let reservation = &mut one.info.reserve.as_mut().unwrap().resources[0].reservations[0];
        reservation.labels = Some(v1::Labels { labels });
        one.latest_status.message = Some("x".repeat(3000));
        one.statuses = vec![one.latest_status.clone()];
    }
    world.tell(1, update_of(&agent, all, None));
    assert_eq!(world.state().operations.size(), limits::MAX_OF_FRAMEWORK_ON_AGENT);
}

/// Each step takes the longer the more operations there are, not the longer the square of them:
/// that would be minutes.
#[test]
fn an_agent_full_of_operations_is_entered_and_struck_out_at_once() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let each = limits::MAX_OF_FRAMEWORK_ON_AGENT;
    let frameworks = limits::MAX_ON_AGENT / each;
    let all: Vec<_> =
        (0..frameworks).flat_map(|f| brought(&format!("f{f}"), f * each, each)).collect();
    let began = Instant::now();
    world.tell(1, update_of(&agent, all, None));
    assert_eq!(world.state().operations.size(), limits::MAX_ON_AGENT);
    let room = (limits::BROUGHT_BACK - 1) * limits::MAX_ON_AGENT;
    let mut too_many = brought("g", limits::MAX_ON_AGENT, 1);
    for f in 0..room / each {
        too_many.extend(brought(&format!("g{f}"), limits::MAX_ON_AGENT + 1 + f * each, each));
    }
    world.say(&host(1), Inbound::UpdateAgent(update_of(&agent, too_many, None))).is_refused();
    let mut back = framework_info("f0", &[Capability::MultiRole]);
    back.id = Some(v1::FrameworkId { value: "f0".to_owned() });
    let (scheduler, _) = world.subscribe("f0", back);
    assert_eq!(world.state().frameworks[&scheduler.id].operations.size(), each);
    world.call(&scheduler, scheduler.call(call::Type::Teardown));
    assert_eq!(world.state().operations.size(), limits::MAX_ON_AGENT);
    world.operate(mark_gone(&agent));
    assert!(world.state().operations.is_empty());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_volume_that_is_not_in_hand_is_neither_destroyed_nor_taken_from_offers() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:100");
    let scheduler = web(&mut world, "f");
    let volume = volume("v", 10, "f");
    let made =
        vec![reserve(&reserved("cpus:1;disk:10", "f")), create(std::slice::from_ref(&volume))];
    world.operate_on(&scheduler, &agent, made);
    let mut info = framework_info("g", &[Capability::MultiRole, Capability::ReservationRefinement]);
    info.roles = vec!["other".to_owned()];
    // Its own wants nothing of it for a while.
    let offers = world.offers_of(&scheduler, &agent);
    world.accept_operations(&scheduler, offers, vec![]);
    let (stranger, _) = world.subscribe("g", info);
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let held = world.offers_of(&scheduler, &agent);
    let has = |world: &World| {
        let offered = world.offered(&scheduler, &agent);
        offered.iter().any(|resource| resource.persistence_id() == Some("v"))
    };
    assert!(has(&world), "the volume is offered to its own");

    let destroy = named("d", destroy(std::slice::from_ref(&volume)));
    let done = world.operate_on(&stranger, &agent, vec![destroy]);
    assert!(applied(&done).is_empty());
    assert_eq!(statuses(&done, &stranger)[0].state(), OperationState::OperationError);
    assert!(!done.names().contains(&"RESCIND".to_owned()), "{:?}", done.names());
    let still = world.offers_of(&scheduler, &agent);
    assert!(held.iter().all(|offer| still.contains(offer)) && has(&world));
}
