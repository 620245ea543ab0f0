//! One kind after the other: what is done, what is refused, and in which words.

use model::resources::parse;
use wire::v1::{OperationState, TaskState};

use super::*;

#[test]
fn what_is_reserved_can_be_used_in_the_same_call_and_is_given_back_by_unreserving() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:100");
    let scheduler = web(&mut world, "f");
    let half = reserved("cpus:2", "f");
    let task = task_with("t", &agent, wire(&reserved("cpus:1", "f")));
    let done = world.operate_on(&scheduler, &agent, vec![reserve(&half), launch(vec![task])]);
    // What was made of the offer is offered again at once, what was declined is not.
    assert_eq!(done.names(), ["ApplyOperation", "RunTask", "OFFERS"]);
    let applied = applied(&done).remove(0);
    assert_eq!(applied.framework_id, Some(scheduler.wire_id()));
    assert_eq!(applied.resource_version_uuid.uuid.value, uuid(1));
    assert_eq!(applied.operation_uuid.value.len(), 16);
    let sent = applied.operation_info.reserve.clone().unwrap().resources;
    assert_eq!(sent, wire(&half.allocated_to(&role("web"))), "allocated to the offers' role");
    let rest = parse("cpus:2;mem:100", &Role::any()).unwrap();
    assert_eq!(world.total(&agent), half.plus(&rest));
    let left = reserved("cpus:1", "f").plus(&parse("cpus:2;mem:100", &Role::any()).unwrap());
    assert_eq!(world.offered(&scheduler, &agent), left, "more than was declined");
    assert_eq!(world.operation_state(&applied), Some(OperationState::OperationPending));

    // Nobody asked to be told, so the master itself acknowledges, and forgets the operation.
    let done = world.finish(1, &agent, &applied, 9);
    assert_eq!(done.names(), ["AcknowledgeOperationStatus"]);
    assert_eq!(world.operation_state(&applied), None);

    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFinished, 2);
    world.acknowledge(&scheduler, &agent, "t", 2);
    let done = world.operate_on(&scheduler, &agent, vec![unreserve(&half)]);
    assert_eq!(done.names(), ["ApplyOperation", "OFFERS"]);
    assert_eq!(world.total(&agent), parse("cpus:4;mem:100", &Role::any()).unwrap());
}

#[test]
fn volumes_are_created_resized_and_destroyed() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:100");
    let scheduler = web(&mut world, "f");
    let disk = reserved("disk:100", "f");
    let data = volume("v", 60, "f");
    let done = world.operate_on(
        &scheduler,
        &agent,
        vec![reserve(&disk), create(std::slice::from_ref(&data))],
    );
    assert_eq!(done.names(), ["ApplyOperation", "ApplyOperation", "OFFERS"]);
    let there = |world: &World, size: u64| {
        let total = world.total(&agent);
        let volumes = total.persistent_volumes();
        assert_eq!(volumes.quantities().get("disk").thousandths(), size * 1000);
        assert_eq!(total.quantities().get("disk").thousandths(), 100_000, "none is lost");
    };
    there(&world, 60);

    // What is resized is not for the operations that follow.
    let addition = wire(&reserved("disk:40", "f")).remove(0);
    let grown = volume("v", 100, "f");
    let task = task_with("t", &agent, vec![grown.clone()]);
    let done =
        world.operate_on(&scheduler, &agent, vec![grow(&data, &addition), launch(vec![task])]);
    assert_eq!(done.names(), ["ApplyOperation", "UPDATE", "OFFERS"]);
    there(&world, 100);

    let done = world.operate_on(&scheduler, &agent, vec![shrink(&grown, 90.0)]);
    assert_eq!(done.names(), ["ApplyOperation", "OFFERS"]);
    there(&world, 10);
    let done = world.operate_on(
        &scheduler,
        &agent,
        vec![destroy(&[volume("v", 10, "f")]), unreserve(&disk)],
    );
    assert_eq!(done.names(), ["ApplyOperation", "ApplyOperation", "OFFERS"]);
    there(&world, 0);
    assert_eq!(world.total(&agent), parse("cpus:4;disk:100", &Role::any()).unwrap());
}

#[test]
fn what_a_volume_gives_up_is_added_to_what_lies_beside_it() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:20");
    let scheduler = web(&mut world, "f");
    let data = volume("v", 10, "f");
    let made = vec![reserve(&reserved("disk:20", "f")), create(std::slice::from_ref(&data))];
    world.operate_on(&scheduler, &agent, made);
    world.operate_on(&scheduler, &agent, vec![shrink(&data, 4.0)]);
    world.call(&scheduler, scheduler.call(wire::v1::scheduler::call::Type::Revive));
    let offered = world.offered(&scheduler, &agent);
    assert_eq!(offered, world.total(&agent), "the original loses 4 MB of it");
}

/// Refuses each operation with the text, and leaves everything as it was.
fn refused(
    world: &mut World,
    scheduler: &Scheduler,
    agent: &AgentId,
    cases: &[(v1::offer::Operation, &str)],
) {
    for (operation, text) in cases {
        let before = format!("{:?}", world.state().agents);
        let call = scheduler.call(wire::v1::scheduler::call::Type::Revive);
        world.call(scheduler, call);
        let total = world.total(agent);
        let done = world.operate_on(scheduler, agent, vec![named("o", operation.clone())]);
        let told = statuses(&done, scheduler);
        assert_eq!(told.len(), 1, "{text}: {done:?}");
        assert_eq!(told[0].state(), OperationState::OperationError, "{text}");
        assert_eq!(told[0].operation_id.as_ref().unwrap().value, "o");
        assert!(told[0].message().contains(text), "{} is not {text}", told[0].message());
        assert!(told[0].uuid.is_none(), "nobody acknowledges what was not done");
        assert!(applied(&done).is_empty(), "{text}");
        assert_eq!(world.total(agent), total, "{text}\n{before}");
        assert!(world.state().operations.is_empty(), "{text}");
    }
}

#[test]
fn reservations_that_cannot_be_made_are_refused_in_the_words_of_the_original() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:100");
    let scheduler = web(&mut world, "f");
    let plain = parse("cpus:1", &Role::any()).unwrap();
    let mine = reserved("cpus:1", "f");
    let other_role = plain.push_reservation(&Reservation {
        kind: ReservationKind::Dynamic,
        role: role("db"),
        principal: Some("f".to_owned()),
        labels: None,
    });
    let nobodys = plain.push_reservation(&Reservation {
        kind: ReservationKind::Dynamic,
        role: role("web"),
        principal: None,
        labels: None,
    });
    let mut with_source = reserve(&mine);
    with_source.reserve.as_mut().unwrap().source = wire(&plain);
    let mut broken = reserve(&mine);
    broken.reserve.as_mut().unwrap().resources[0].scalar = None;
    let mut foreign = reserve(&mine);
    foreign.reserve.as_mut().unwrap().resources[0].allocation_info =
        Some(v1::resource::AllocationInfo { role: Some("db".to_owned()) });
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[
            (
                of(Type::Reserve),
                "Operation attempted with invalid resources: A RESERVE offer operation must have the Offer.Operation.reserve field set.",
            ),
            (broken, "Operation attempted with invalid resources: Invalid resource 'cpus'"),
            (with_source, "Reservation updates are not yet implemented for the scheduler API."),
            (
                reserve(&Resources::new()),
                "Invalid resources: The resources have multiple resource providers: ; on agent m-S0 at slave(1)@10.0.0.1:5051 (host-1)",
            ),
            (reserve(&plain), "is not dynamically reserved"),
            (
                reserve(&nobodys),
                "A reserve operation was attempted by principal 'f', but there is a reserved resource in the request with no principal set",
            ),
            (
                reserve(&reserved("cpus:1", "g")),
                "A reserve operation was attempted by authenticated principal 'f', which does not match a reserved resource in the request with principal 'g'",
            ),
            (
                reserve(&other_role),
                "A reserve operation was attempted for a resource with role 'db', but the resource was allocated to role 'web'",
            ),
            (foreign, "the resource was allocated to role 'db'"),
            (reserve(&reserved("cpus:5", "f")), "does not contain cpus(allocated: web):5"),
            (
                reserve(&reserved("gpus:0.5", "f")),
                "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
            ),
            (unreserve(&plain), "is not dynamically reserved"),
            (unreserve(&mine), "does not contain"),
            (unreserve(&Resources::new()), "The resources have multiple resource providers"),
        ],
    );
}

#[test]
fn volumes_that_cannot_be_made_are_refused_in_the_words_of_the_original() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:100");
    let scheduler = web(&mut world, "f");
    let plain = wire(&parse("disk:10", &Role::any()).unwrap()).remove(0);
    let good = volume("v", 10, "f");
    let change = |change: fn(&mut v1::Resource)| {
        let mut volume = good.clone();
        change(&mut volume);
        create(&[volume])
    };
    fn disk(resource: &mut v1::Resource) -> &mut v1::resource::DiskInfo {
        resource.disk.as_mut().unwrap()
    }
    let known = volume("known", 20, "f");
    let rest = wire(&reserved("disk:5", "f")).remove(0);
    world.operate_on(
        &scheduler,
        &agent,
        vec![reserve(&reserved("disk:60", "f")), create(std::slice::from_ref(&known))],
    );
    for uuid in world.state().operations.keys().copied().collect::<Vec<_>>() {
        let applied = internal::ApplyOperationMessage {
            operation_uuid: uuid.write(),
            ..internal::ApplyOperationMessage::default()
        };
        world.finish(1, &agent, &applied, 1);
    }
    let mut other_id = known.clone();
    disk(&mut other_id).persistence.as_mut().unwrap().id = "other".to_owned();
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[
            (create(std::slice::from_ref(&plain)), "Not a persistent volume: Resource"),
            (
                change(|v| disk(v).persistence = None),
                "Invalid resources: Invalid DiskInfo: Non-persistent volume not supported",
            ),
            (
                change(|v| disk(v).volume = None),
                "Invalid DiskInfo: Expecting 'volume' to be set for persistent volume",
            ),
            (
                change(|v| disk(v).volume.as_mut().unwrap().host_path = Some("/".into())),
                "Expecting 'host_path' to be unset for persistent volume",
            ),
            (
                change(|v| disk(v).volume.as_mut().unwrap().set_mode(v1::volume::Mode::Ro)),
                "Read-only persistent volume not supported",
            ),
            (
                change(|v| disk(v).persistence.as_mut().unwrap().id = "a/b".into()),
                "Invalid persistence ID for persistent volume: 'a/b' contains invalid characters",
            ),
            (
                change(|v| disk(v).persistence.as_mut().unwrap().id.clear()),
                "Invalid persistence ID for persistent volume: ",
            ),
            (
                change(|v| disk(v).persistence.as_mut().unwrap().principal = None),
                "there is a volume in the operation with no principal set in 'disk.persistence'",
            ),
            (
                change(|v| disk(v).persistence.as_mut().unwrap().principal = Some("g".into())),
                "does not match a volume in the operation with principal 'g' set in 'disk.persistence'",
            ),
            (
                change(|v| v.reservations.clear()),
                "Persistent volumes cannot be created from unreserved resources",
            ),
            (
                change(|v| v.revocable = Some(v1::resource::RevocableInfo {})),
                "Persistent volumes cannot be created from revocable resources",
            ),
            (create(&[volume("known", 10, "f")]), "Persistence ID 'known' is not unique"),
            (create(&[good.clone(), good.clone()]), "Persistence ID 'v' is not unique"),
            (create(&[volume("v", 50, "f")]), "does not contain"),
            (destroy(std::slice::from_ref(&good)), "Persistent volumes not found"),
            (destroy(&[other_id]), "Persistent volumes not found"),
            (destroy(std::slice::from_ref(&rest)), "Not a persistent volume: "),
            (
                unreserve(&wire::resources::read(std::slice::from_ref(&known)).unwrap()),
                "Please destroy the persistent volume first then unreserve the resource",
            ),
            (
                grow(
                    &known,
                    &wire(&reserved("disk:0", "f")).pop().unwrap_or_else(|| v1::Resource {
                        scalar: Some(v1::value::Scalar { value: 0.0 }),
                        ..rest.clone()
                    }),
                ),
                "The size of 'GrowVolume.addition' field must be greater than zero",
            ),
            (grow(&rest, &rest), "Invalid persistent volume in the 'GrowVolume.volume' field: "),
            (
                grow(&known, &plain),
                "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields",
            ),
            (
                grow(&shared_volume("s", 5, "f"), &rest),
                "Growing a shared persistent volume is not supported",
            ),
            (
                grow(&known, &wire(&reserved("disk:50", "f")).remove(0)),
                "Invalid GROW_VOLUME operation: ",
            ),
            (shrink(&known, 0.0), "Value of 'ShrinkVolume.subtract' must be greater than zero"),
            (
                shrink(&known, f64::NAN),
                "Value of 'ShrinkVolume.subtract' must be greater than zero",
            ),
            (
                shrink(&known, 20.0),
                "Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'",
            ),
            (shrink(&rest, 1.0), "Invalid persistent volume in the 'ShrinkVolume.volume' field: "),
            (
                shrink(&shared_volume("s", 5, "f"), 1.0),
                "Shrinking a shared persistent volume is not supported",
            ),
            (shrink(&good, 1.0), "Invalid SHRINK_VOLUME operation: "),
        ],
    );
}

#[test]
fn an_agent_is_not_asked_for_what_it_does_not_know() {
    use wire::v1::agent_info::capability::Type as Known;
    let without = |lost: &[Known]| {
        let mut message = register_message(1, "cpus:4;disk:100");
        message.agent_capabilities.retain(|c| !lost.contains(&c.r#type()));
        message
    };
    let join = |lost: &[Known]| {
        let mut world = World::new();
        let done = world.say(&host(1), Inbound::RegisterAgent(without(lost)));
        assert!(done.names().contains(&"SlaveRegistered".to_owned()));
        let agent = world.state().agents.keys().next().unwrap().clone();
        let scheduler = web(&mut world, "f");
        (world, agent, scheduler)
    };
    let (mut world, agent, scheduler) = join(&[Known::ReservationRefinement]);
    let twice = reserved("cpus:1", "f").push_reservation(&Reservation {
        kind: ReservationKind::Dynamic,
        role: role("web/shop"),
        principal: Some("f".to_owned()),
        labels: None,
    });
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[(
            reserve(&twice),
            "with reservation refinement cannot be reserved on an agent without RESERVATION_REFINEMENT capability",
        )],
    );
    let (mut world, agent, scheduler) = join(&[Known::HierarchicalRole]);
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[(
            reserve(&twice),
            "with reservation for hierarchical role 'web/shop' cannot be reserved on an agent without HIERARCHICAL_ROLE capability",
        )],
    );
    let (mut world, agent, scheduler) = join(&[Known::ResizeVolume]);
    let data = volume("v", 60, "f");
    let addition = wire(&reserved("disk:10", "f")).remove(0);
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[
            (
                grow(&data, &addition),
                "cannot be grown on an agent without RESIZE_VOLUME capability",
            ),
            (shrink(&data, 10.0), "cannot be shrunk on an agent without RESIZE_VOLUME capability"),
        ],
    );
    let (mut world, agent, scheduler) = join(&[Known::AgentOperationFeedback]);
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[(
            reserve(&reserved("cpus:1", "f")),
            "Operation on agent default resources requested feedback, but agent m-S0 does not have the required AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER capabilities",
        )],
    );
    let (mut world, agent, scheduler) = join(&[Known::ResourceProvider]);
    refused(
        &mut world,
        &scheduler,
        &agent,
        &[(
            reserve(&reserved("cpus:1", "f")),
            "Operation requested feedback, but agent m-S0 does not have the required RESOURCE_PROVIDER capability",
        )],
    );
}

#[test]
fn agents_that_know_no_operations_are_sent_the_result() {
    use wire::v1::agent_info::capability::Type as Known;
    let mut world = World::new();
    let mut message = register_message(1, "cpus:4;disk:100");
    message
        .agent_capabilities
        .retain(|c| !matches!(c.r#type(), Known::ResourceProvider | Known::ReservationRefinement));
    world.say(&host(1), Inbound::RegisterAgent(message));
    let agent = world.state().agents.keys().next().unwrap().clone();
    let scheduler = web(&mut world, "f");
    let checkpointed = |done: &Done| -> Vec<Vec<v1::Resource>> {
        let of = |message: &Outbound| match message {
            Outbound::CheckpointResources(message) => Some(message.resources.clone()),
            _ => None,
        };
        done.sent().into_iter().filter_map(|(_, _, message)| of(message)).collect()
    };
    let two = reserved("cpus:2", "f");
    let done = world.operate_on(&scheduler, &agent, vec![reserve(&two)]);
    assert_eq!(done.names(), ["CheckpointResources", "OFFERS"]);
    assert_eq!(checkpointed(&done), [write(&two, Form::PreRefinement)]);
    let data = volume("v", 60, "f");
    let done = world.operate_on(&scheduler, &agent, vec![reserve(&reserved("disk:60", "f"))]);
    assert_eq!(checkpointed(&done)[0].len(), 2, "all of them, each time");
    world.operate_on(&scheduler, &agent, vec![create(&[data])]);
    assert!(world.state().operations.is_empty(), "nobody will report how they end");

    // It comes back knowing less than the master, which tells it again.
    let total = world.total(&agent);
    world.exited(&host(1));
    let mut again = world.reregister_message(1, &agent);
    again.slave.resources = resources("cpus:4;disk:100");
    again
        .agent_capabilities
        .retain(|c| !matches!(c.r#type(), Known::ResourceProvider | Known::ReservationRefinement));
    let done = world.say(&host(1), Inbound::ReregisterAgent(again.clone()));
    assert_eq!(checkpointed(&done)[0].len(), 2);
    assert_eq!(world.total(&agent), total);

    // With less than was reserved it cannot come back.
    world.exited(&host(1));
    again.slave.resources = resources("cpus:1;disk:100");
    let done = world.say(&host(1), Inbound::ReregisterAgent(again));
    assert_eq!(done.names(), ["Shutdown"]);
}
