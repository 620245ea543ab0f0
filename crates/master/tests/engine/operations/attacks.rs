//! Messages that end the original: here each is refused, and nothing has changed.

use alcazar_master::engine::counters::Counter;
use wire::v1::OperationState;
use wire::v1::resource::disk_info::source::Type as SourceType;
use wire::v1::scheduler::call;

use super::providers::{allocated, disk, listed, provider, update_of};
use super::*;

/// Says each message, which is refused without a trace but in the log and in the count.
fn all_refused(world: &mut World, messages: Vec<(&str, Inbound)>) {
    for (what, message) in messages {
        let before = state_of(world);
        let done = world.say(&host(1), message);
        assert_eq!(done.names(), Vec::<String>::new(), "{what}");
        assert!(done.logs().iter().any(|line| line.starts_with("Refused")), "{what}: {done:?}");
        assert_eq!(state_of(world), before, "{what}");
    }
}

fn state_of(world: &World) -> String {
    let state = world.state();
    format!("{:?} {:?} {:?} {:?}", state.agents, state.frameworks, state.operations, state.offers)
}

#[test]
fn attack_c2_an_operation_update_that_names_nothing_or_somebody_else() {
    let mut world = World::new();
    let (agent, other) = (world.join(1, "cpus:4"), world.join(2, "cpus:4"));
    let scheduler = web(&mut world, "f");
    let done =
        world.operate_on(&scheduler, &other, vec![named("r", reserve(&reserved("cpus:1", "f")))]);
    let theirs = applied(&done).remove(0);
    let finished = OperationState::OperationFinished;
    let whole = status_message(&agent, &theirs, finished, Some(1));
    let with = |change: fn(&mut internal::UpdateOperationStatusMessage)| {
        let mut message = whole.clone();
        change(&mut message);
        Inbound::UpdateOperationStatus(message)
    };
    let refused = world.count(Counter::InvalidOperationStatusUpdates);
    let messages = vec![
        ("no agent", with(|m| m.slave_id = None)),
        (
            "neither operation nor framework",
            with(|m| {
                m.operation_uuid = None;
                m.framework_id = None;
            }),
        ),
        (
            "a UUID that is too short",
            with(|m| m.operation_uuid = Some(v1::Uuid { value: uuid(1).slice(..15) })),
        ),
        ("another agent's operation", with(|_| {})),
        (
            "in another agent's name",
            with(|m| m.slave_id = Some(v1::AgentId { value: "m-S1".to_owned() })),
        ),
        (
            "another agent's operation by its name",
            with(|m| {
                m.operation_uuid = None;
                m.status.agent_id = None;
            }),
        ),
        (
            "another agent in the status",
            with(|m| {
                m.operation_uuid = None;
                m.status.operation_id = Some(v1::OperationId { value: "x".to_owned() });
                m.status.agent_id = Some(v1::AgentId { value: "m-S1".to_owned() });
            }),
        ),
        (
            "no operation in the status",
            with(|m| {
                m.operation_uuid = None;
                m.status.operation_id = None;
            }),
        ),
        (
            "a framework that is none",
            with(|m| m.framework_id = Some(v1::FrameworkId { value: "a/b".to_owned() })),
        ),
    ];
    let count = messages.len() as u64;
    all_refused(&mut world, messages);
    assert_eq!(world.count(Counter::InvalidOperationStatusUpdates), refused + count);
    // It goes on: the one whose operation it is can say so.
    let done = world.finish(2, &other, &theirs, 1);
    assert_eq!(done.names(), ["UPDATE_OPERATION_STATUS"]);
}

#[test]
fn attack_c2_an_operation_update_in_a_state_that_no_agent_sees() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let done =
        world.operate_on(&scheduler, &agent, vec![named("r", reserve(&reserved("cpus:1", "f")))]);
    let applied = applied(&done).remove(0);
    let of = |state| status_message(&agent, &applied, state, Some(1));
    let mut claims = of(OperationState::OperationFinished);
    claims.status.converted_resources = vec![disk(SourceType::Mount, 1e6)];
    let mut nonsense = of(OperationState::OperationFinished);
    nonsense.status.converted_resources = vec![v1::Resource::default()];
    all_refused(
        &mut world,
        vec![
            (
                "unsupported",
                Inbound::UpdateOperationStatus(of(OperationState::OperationUnsupported)),
            ),
            ("unknown", Inbound::UpdateOperationStatus(of(OperationState::OperationUnknown))),
            ("another provider's resources", Inbound::UpdateOperationStatus(claims)),
            ("no resources at all", Inbound::UpdateOperationStatus(nonsense)),
        ],
    );
    assert_eq!(world.operation_state(&applied), Some(OperationState::OperationPending));
}

fn create_disk(source: v1::Resource) -> v1::offer::Operation {
    let mut create = operation::CreateDisk { source, ..operation::CreateDisk::default() };
    create.set_target_type(SourceType::Mount);
    v1::offer::Operation { create_disk: Some(create), ..of(Type::CreateDisk) }
}

#[test]
fn attack_c3_an_agent_whose_providers_are_not_what_they_should_be() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:100");
    let raw = disk(SourceType::Raw, 100.0);
    let tell = |providers| Inbound::UpdateAgent(update_of(&agent, vec![], Some(providers)));
    let with = |change: fn(&mut internal::update_slave_message::ResourceProvider)| {
        let mut provider = provider(vec![disk(SourceType::Raw, 100.0)], vec![], 5);
        change(&mut provider);
        tell(vec![provider])
    };
    let pending = OperationState::OperationPending;
    let held = create_disk(allocated(&raw, "web"));
    let lists =
        |operation: v1::Operation| tell(vec![provider(vec![raw.clone()], vec![operation], 5)]);
    let one = |change: fn(&mut v1::Operation)| {
        let mut operation = listed("f", held.clone(), pending, 3);
        change(&mut operation);
        lists(operation)
    };
    let twice = listed("f", held.clone(), pending, 3);
    let own = |operation| Inbound::UpdateAgent(update_of(&agent, vec![operation], None));
    let messages = vec![
        ("a provider without info", with(|p| p.info = None)),
        ("a provider without id", with(|p| p.info.as_mut().unwrap().id = None)),
        (
            "a provider whose id is none",
            with(|p| p.info.as_mut().unwrap().id.as_mut().unwrap().value = "../x".to_owned()),
        ),
        (
            "a provider that claims the agent's own",
            with(|p| p.total_resources[0].provider_id = None),
        ),
        (
            "a provider that claims another's",
            with(|p| p.total_resources[0].provider_id.as_mut().unwrap().value = "q".to_owned()),
        ),
        (
            "a provider without a version",
            with(|p| p.resource_version_uuid.value = uuid(5).slice(..3)),
        ),
        (
            "a provider whose resources are allocated",
            with(|p| p.total_resources[0] = allocated(&p.total_resources[0], "web")),
        ),
        ("a provider twice", tell(vec![provider(vec![], vec![], 5), provider(vec![], vec![], 5)])),
        ("an operation of kind UNKNOWN", one(|o| o.info.set_type(Type::Unknown))),
        (
            "an orphan of kind UNKNOWN",
            one(|o| {
                o.framework_id = None;
                o.info = v1::offer::Operation::default();
            }),
        ),
        ("a launch", one(|o| o.info = launch(vec![]))),
        ("an operation without its member", one(|o| o.info.create_disk = None)),
        ("an operation without a UUID", one(|o| o.uuid.value = uuid(3).slice(..3))),
        (
            "an operation without a known state",
            one(|o| o.latest_status.set_state(OperationState::OperationUnsupported)),
        ),
        (
            "an operation of another agent",
            one(|o| o.agent_id = Some(v1::AgentId { value: "m-S7".to_owned() })),
        ),
        ("an operation of no framework that only frameworks have", one(|o| o.framework_id = None)),
        (
            "an operation that holds more than there is",
            one(|o| {
                o.info.create_disk.as_mut().unwrap().source.scalar =
                    Some(v1::value::Scalar { value: 101.0 })
            }),
        ),
        (
            "an operation that holds what nobody was given",
            one(|o| o.info.create_disk.as_mut().unwrap().source.allocation_info = None),
        ),
        (
            "an operation on the agent's own in a provider's name",
            one(|o| o.info = reserve(&reserved("cpus:1", "f"))),
        ),
        (
            "an operation twice",
            tell(vec![provider(vec![raw.clone()], vec![twice.clone(), twice.clone()], 5)]),
        ),
        ("a provider's operation in the agent's name", own(twice)),
    ];
    all_refused(&mut world, messages);

    // A provider that is known cannot have been given work by anybody else.
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let unknown = lists(listed("f", held, pending, 3));
    all_refused(&mut world, vec![("an unknown operation of a known provider", unknown)]);
}

#[test]
fn attack_c3_an_agent_that_claims_anothers_operation() {
    let mut world = World::new();
    let (agent, other) = (world.join(1, "cpus:4"), world.join(2, "cpus:4"));
    let scheduler = web(&mut world, "f");
    let done =
        world.operate_on(&scheduler, &other, vec![named("r", reserve(&reserved("cpus:1", "f")))]);
    let theirs = applied(&done).remove(0);
    let claimed = v1::Operation {
        uuid: theirs.operation_uuid.clone(),
        ..listed(scheduler.id.as_str(), theirs.operation_info, OperationState::OperationFinished, 0)
    };
    let message = Inbound::UpdateAgent(update_of(&agent, vec![claimed], None));
    all_refused(&mut world, vec![("another agent's operation", message)]);
}

#[test]
fn attack_b1_an_agent_that_takes_the_name_of_an_operation_on_another() {
    let mut world = World::new();
    let (agent, other) = (world.join(1, "cpus:4"), world.join(2, "cpus:4"));
    let scheduler = web(&mut world, "f");
    let done =
        world.operate_on(&scheduler, &other, vec![named("x", reserve(&reserved("cpus:1", "f")))]);
    let theirs = applied(&done).remove(0);
    let finished = OperationState::OperationFinished;
    let mut lie = listed(scheduler.id.as_str(), theirs.operation_info.clone(), finished, 9);
    lie.latest_status.agent_id = Some(v1::AgentId { value: other.to_string() });
    let message = Inbound::UpdateAgent(update_of(&agent, vec![lie.clone()], None));
    all_refused(&mut world, vec![("a status in another agent's name", message)]);

    // Without that it cannot be known to be a lie, but the name is not its own.
    lie.latest_status.agent_id = None;
    world.tell(1, update_of(&agent, vec![lie], None));
    assert_eq!(world.state().operations.size(), 2);
    let says = internal::ApplyOperationMessage {
        operation_uuid: v1::Uuid { value: uuid(9) },
        ..theirs.clone()
    };
    let done = world.finish(1, &agent, &says, 4);
    assert_eq!(done.names(), ["AcknowledgeOperationStatus"], "its framework is not told");
    assert_eq!(world.operation_state(&theirs), Some(OperationState::OperationPending));

    let mut call = scheduler.call(call::Type::ReconcileOperations);
    call.reconcile_operations = Some(call::ReconcileOperations {
        operations: vec![call::reconcile_operations::Operation {
            operation_id: v1::OperationId { value: "x".to_owned() },
            ..Default::default()
        }],
    });
    let told = statuses(&world.call(&scheduler, call), &scheduler).remove(0);
    assert_eq!(told.state(), OperationState::OperationPending);
    assert_eq!(told.agent_id.unwrap().value, other.as_str());

    // Nor can it speak for the other one of the two.
    let mut status = status_message(&other, &theirs, finished, Some(5));
    status.status.agent_id = Some(v1::AgentId { value: agent.to_string() });
    let done = world.say(&host(2), Inbound::UpdateOperationStatus(status));
    assert_eq!(done.names(), Vec::<String>::new(), "a status that names another agent");
    assert_eq!(world.finish(2, &other, &theirs, 6).names(), ["UPDATE_OPERATION_STATUS"]);
    let call = super::feedback::acknowledge(&scheduler, &other, "x", 6);
    assert_eq!(world.call(&scheduler, call).names(), ["AcknowledgeOperationStatus"]);
    assert!(world.state().operations.is_empty());
}

#[test]
fn attack_b1_an_agent_that_takes_a_name_before_its_framework_is_back() {
    let mut world = World::new();
    let (agent, other) = (world.join(1, "cpus:4"), world.join(2, "cpus:4"));
    let pending = OperationState::OperationPending;
    let info = named("x", reserve(&reserved("cpus:1", "f")));
    for (n, id) in [(1, &agent), (2, &other)] {
        world.tell(n, update_of(id, vec![listed("gone", info.clone(), pending, n)], None));
    }
    let mut back = framework_info("f", &[Capability::MultiRole]);
    back.roles = vec!["web".to_owned()];
    back.id = Some(v1::FrameworkId { value: "gone".to_owned() });
    let (scheduler, _) = world.subscribe("f", back);
    let state = world.state();
    let framework = &state.frameworks[&scheduler.id];
    assert_eq!((framework.operations.size(), framework.operation_names.size()), (2, 1));
    let named = state.operations.values().filter(|operation| operation.id().is_some());
    assert_eq!(named.count(), 1, "one name, one operation");
}

#[test]
fn attack_c3_an_agent_whose_own_resources_are_a_providers() {
    let mut world = World::new();
    let mut message = register_message(1, "cpus:4");
    message.slave.resources[0].provider_id = Some(v1::ResourceProviderId { value: "p".to_owned() });
    world.say(&host(1), Inbound::RegisterAgent(message)).is_refused();
}

#[test]
fn attack_c9_operations_on_more_than_there_is_or_without_a_provider() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:10");
    let scheduler = web(&mut world, "f");
    let huge = reserved("cpus:1000000000000", "f");
    let mut nan = reserve(&reserved("cpus:1", "f"));
    nan.reserve.as_mut().unwrap().resources[0].scalar = Some(v1::value::Scalar { value: f64::NAN });
    let plain = wire(&parse("disk:1", &Role::any()).unwrap()).remove(0);
    let mut both = reserve(&reserved("cpus:1", "f"));
    let mut providers = wire(&reserved("cpus:1;disk:1", "f"));
    providers[1].provider_id = Some(v1::ResourceProviderId { value: "p".to_owned() });
    both.reserve.as_mut().unwrap().resources = providers;
    let of_nobody = {
        let mut reserve = reserve(&reserved("cpus:1", "f"));
        for resource in &mut reserve.reserve.as_mut().unwrap().resources {
            resource.provider_id = Some(v1::ResourceProviderId { value: "p".to_owned() });
        }
        reserve
    };
    for operation in [
        reserve(&huge),
        nan,
        create_disk(plain),
        create_disk(disk(SourceType::Raw, 1.0)),
        both,
        of_nobody,
        unreserve(&reserved("cpus:1", "f")),
        v1::offer::Operation { id: None, ..of(Type::GrowVolume) },
        grow(&v1::Resource::default(), &v1::Resource::default()),
        shrink(&v1::Resource::default(), f64::INFINITY),
        v1::offer::Operation::default(),
    ] {
        world.call(&scheduler, scheduler.call(call::Type::Revive));
        let (total, offered) = (world.total(&agent), world.offered(&scheduler, &agent));
        let done = world.operate_on(&scheduler, &agent, vec![operation.clone()]);
        assert!(applied(&done).is_empty(), "{operation:?}");
        world.call(&scheduler, scheduler.call(call::Type::Revive));
        assert_eq!(world.total(&agent), total, "{operation:?}");
        assert_eq!(world.offered(&scheduler, &agent), offered, "{operation:?}");
        assert!(world.state().operations.is_empty(), "{operation:?}");
    }
}

#[test]
fn attack_c8_an_acknowledgement_of_an_operation_whose_uuid_is_none() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let done =
        world.operate_on(&scheduler, &agent, vec![named("r", reserve(&reserved("cpus:1", "f")))]);
    world.finish(1, &agent, &applied(&done)[0], 7);
    let mut call = super::feedback::acknowledge(&scheduler, &agent, "r", 7);
    call.acknowledge_operation_status.as_mut().unwrap().uuid = uuid(7).slice(..15);
    let stream = alcazar_master::engine::event::Stream::Of(scheduler.subscription);
    let (answer, done) = world.try_call(&scheduler.caller, stream, call);
    assert_eq!(answer.unwrap_err().status(), 400);
    assert_eq!(done.names(), Vec::<String>::new());
    assert_eq!(world.state().operations.size(), 1);
}
