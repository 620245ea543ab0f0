//! Messages that a master must not act on: from senders that are not who they say, and of a shape
//! that ends the original.

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::message::Inbound;
use model::id::AgentId;
use wire::v1::TaskState;
use wire::{internal, v1};

use crate::world::*;

fn agent_id(id: &AgentId) -> v1::AgentId {
    v1::AgentId { value: id.to_string() }
}

/// What an agent may say of itself while it runs task `t`.
fn messages_of(scheduler: &Scheduler, victim: &AgentId, from: u8) -> Vec<Inbound> {
    let states = (TaskState::TaskFinished, TaskState::TaskFinished);
    let executor_id = v1::ExecutorId { value: "e".into() };
    vec![
        Inbound::StatusUpdate(update_message(&host(from), scheduler, victim, "t", states, 1)),
        Inbound::UpdateAgent(internal::UpdateSlaveMessage {
            slave_id: agent_id(victim),
            ..Default::default()
        }),
        Inbound::ExitedExecutor(internal::ExitedExecutorMessage {
            slave_id: agent_id(victim),
            framework_id: scheduler.wire_id(),
            executor_id: executor_id.clone(),
            status: 0,
        }),
        Inbound::ExecutorToFramework(internal::ExecutorToFrameworkMessage {
            slave_id: agent_id(victim),
            framework_id: scheduler.wire_id(),
            executor_id,
            data: b"x".to_vec().into(),
        }),
        Inbound::UpdateOperationStatus(internal::UpdateOperationStatusMessage {
            slave_id: Some(agent_id(victim)),
            operation_uuid: Some(v1::Uuid { value: uuid(1) }),
            ..Default::default()
        }),
        Inbound::UnregisterAgent(internal::UnregisterSlaveMessage { slave_id: agent_id(victim) }),
    ]
}

#[test]
fn an_agent_cannot_speak_for_another() {
    let mut world = World::new();
    let victim = world.join(1, "cpus:4");
    world.join(2, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &victim, "t");
    let before = format!("{:?}", world.state().agents);
    for message in messages_of(&scheduler, &victim, 2) {
        world.say(&host(2), message).is_refused();
    }
    // Nor can one that is registered nowhere, nor another identity at the victim's own address.
    let impostor = bound("slave(1)@10.0.0.1:5051", Some(identity("agent/impostor")));
    for from in [host(9), impostor] {
        for message in messages_of(&scheduler, &victim, 1) {
            world.say(&from, message).is_refused();
        }
    }
    assert_eq!(world.count(Counter::DroppedMessages), 18);
    assert_eq!(format!("{:?}", world.state().agents), before);
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskStaging));
}

#[test]
fn an_agent_cannot_report_on_a_task_that_runs_elsewhere() {
    let mut world = World::new();
    let victim = world.join(1, "cpus:4");
    let liar = world.join(2, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &victim, "t");
    world.update(&host(2), &scheduler, &liar, "t", TaskState::TaskFinished, 1).is_refused();
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskStaging));
}

#[test]
fn a_pong_counts_only_from_the_agent_that_was_pinged() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    world.join(2, "cpus:4");
    let pong = || Inbound::Pong(internal::PongSlaveMessage {});
    for (to, from) in [
        ("slave-observer(1)", host(2)),
        ("slave-observer(1)", host(9)),
        ("slave-observer(9)", host(1)),
        ("master", host(1)),
    ] {
        world.say_to(to, &from, pong()).is_refused();
    }
    assert!(world.say_to("slave-observer(1)", &host(1), pong()).logs().is_empty());
    let registration = Inbound::RegisterAgent(register_message(3, "cpus:1"));
    world.say_to("slave-observer(1)", &host(3), registration).is_refused();
}

#[test]
fn only_a_certificate_of_an_agent_can_speak_as_one() {
    let mut world = World::new();
    for kind in ["framework", "operator", "executor", "master"] {
        let from = bound("slave(1)@10.0.0.1:5051", Some(identity(&format!("{kind}/host-1"))));
        world.say(&from, Inbound::RegisterAgent(register_message(1, "cpus:4"))).is_refused();
    }
    assert!(world.state().agents.is_empty() && world.registry.agents.is_empty());
}

#[test]
fn nobody_comes_back_under_the_id_of_another() {
    let thief = || bound("slave(1)@10.0.0.1:5051", Some(identity("agent/thief")));
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let message = world.reregister_message(1, &agent);
    let refused = |world: &mut World, what: &str| {
        let done = world.say(&thief(), Inbound::ReregisterAgent(message.clone()));
        assert!(done.names().is_empty(), "{what}: {:?}", done.names());
        assert!(done.logs().iter().any(|line| line.contains("belongs to")), "{what}");
    };
    refused(&mut world, "registered");
    world.exited(&host(1));
    refused(&mut world, "disconnected");
    world.fail_over();
    refused(&mut world, "recovered");
    world.wait(10 * MINUTE);
    assert_eq!(world.state().unreachable_agents.size(), 1);
    refused(&mut world, "unreachable");
    let done = world.say(&host(1), Inbound::ReregisterAgent(message.clone()));
    assert!(done.names().contains(&"SlaveReregistered".to_owned()), "its owner can");
    let gone = crate::world::mark_gone(&agent);
    world.operate(gone);
    refused(&mut world, "gone: not even that is told");
}

#[test]
fn registrations_that_say_something_impossible_are_refused() {
    type Change = fn(&mut internal::RegisterSlaveMessage);
    let cases: [(&str, Change); 12] = [
        ("an old version", |m| m.version = Some("0.28.0".into())),
        ("no version", |m| m.version = None),
        ("a version that is none", |m| m.version = Some("new".into())),
        ("an id with a path", |m| m.slave.id = Some(v1::AgentId { value: "../x".into() })),
        ("NaN", |m| scalar(m, f64::NAN)),
        ("infinity", |m| scalar(m, f64::INFINITY)),
        ("less than nothing", |m| scalar(m, -1.0)),
        ("too much", |m| scalar(m, 1e300)),
        ("allocated resources", |m| {
            let role = Some("*".to_owned());
            m.slave.resources[0].allocation_info = Some(v1::resource::AllocationInfo { role });
        }),
        ("checkpointed resources without checkpoints", |m| {
            m.checkpointed_resources = resources("cpus:1");
            m.slave.checkpoint = None;
        }),
        ("checkpointed resources that it does not have", |m| {
            m.checkpointed_resources = resources("cpus:5");
        }),
        ("a domain", |m| m.slave.domain = Some(v1::DomainInfo::default())),
    ];
    let mut world = World::new();
    for (what, change) in cases {
        let mut message = register_message(1, "cpus:4");
        change(&mut message);
        let done = world.say(&host(1), Inbound::RegisterAgent(message));
        assert!(done.names().is_empty(), "{what}: {:?}", done.names());
        assert!(!done.logs().is_empty(), "{what}");
    }
    assert!(world.state().agents.is_empty());
    world.join(1, "cpus:4");
}

fn scalar(message: &mut internal::RegisterSlaveMessage, value: f64) {
    message.slave.resources[0].scalar = Some(v1::value::Scalar { value });
}

#[test]
fn reregistrations_that_say_something_impossible_are_refused() {
    type Change = fn(&mut internal::ReregisterSlaveMessage);
    let cases: [(&str, Change); 11] = [
        ("no id", |m| m.slave.id = None),
        ("a framework twice", |m| m.frameworks.push(m.frameworks[0].clone())),
        ("a framework without id", |m| m.frameworks[0].id = None),
        ("a task of a framework that is not listed", |m| m.frameworks.clear()),
        ("a task on another agent", |m| m.tasks[0].agent_id.value = "other".into()),
        ("a task twice", |m| m.tasks.push(m.tasks[0].clone())),
        ("a task in a state that no agent can see", |m| {
            m.tasks[0].set_state(TaskState::TaskUnreachable);
        }),
        ("a task in no state", |m| m.tasks[0].state = 99),
        ("a task without role", |m| m.tasks[0].resources[0].allocation_info = None),
        ("a running task whose executor is not listed", |m| {
            m.tasks[0].set_state(TaskState::TaskRunning);
            m.tasks[0].executor_id = Some(v1::ExecutorId { value: "e".into() });
        }),
        ("a task that uses NaN", |m| {
            m.tasks[0].resources[0].scalar = Some(v1::value::Scalar { value: f64::NAN });
        }),
    ];
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let mut info = framework_info("f", &[v1::framework_info::capability::Type::MultiRole]);
    info.roles = vec!["a".into(), "b".into()];
    let scheduler = world.subscribe("f", info).0;
    world.launch(&scheduler, &agent, "t");
    world.exited(&host(1));
    for (what, change) in cases {
        let mut message = world.reregister_message(1, &agent);
        change(&mut message);
        let done = world.say(&host(1), Inbound::ReregisterAgent(message));
        assert!(done.names().is_empty(), "{what}: {:?}", done.names());
        assert!(!done.logs().is_empty(), "{what}");
        assert!(!world.state().agents[&agent].connected, "{what}");
    }
    let message = world.reregister_message(1, &agent);
    world.say(&host(1), Inbound::ReregisterAgent(message));
    assert!(world.state().agents[&agent].connected);
}

#[test]
fn the_one_role_of_a_framework_is_filled_in_where_older_agents_leave_it_out() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let mut message = world.reregister_message(1, &agent);
    message.tasks[0].resources[0].allocation_info = None;
    world.fail_over();
    world.say(&host(1), Inbound::ReregisterAgent(message));
    let used = world.state().agents[&agent].used_by_all();
    assert_eq!(used.to_string(), "cpus(allocated: *):1");
}

#[test]
fn updates_of_agents_that_say_something_impossible_are_refused() {
    type Change = fn(&mut internal::UpdateSlaveMessage);
    fn provider() -> internal::update_slave_message::ResourceProvider {
        internal::update_slave_message::ResourceProvider {
            info: Some(v1::ResourceProviderInfo {
                id: Some(v1::ResourceProviderId { value: "p".into() }),
                ..Default::default()
            }),
            resource_version_uuid: v1::Uuid { value: uuid(1) },
            ..Default::default()
        }
    }
    fn with(
        message: &mut internal::UpdateSlaveMessage,
        providers: Vec<internal::update_slave_message::ResourceProvider>,
    ) {
        let providers = internal::update_slave_message::ResourceProviders { providers };
        message.resource_providers = Some(providers);
    }
    let cases: [(&str, Change); 9] = [
        ("a provider without info", |m| {
            with(
                m,
                vec![internal::update_slave_message::ResourceProvider { info: None, ..provider() }],
            );
        }),
        ("a provider without id", |m| {
            let mut nameless = provider();
            nameless.info.as_mut().unwrap().id = None;
            with(m, vec![nameless]);
        }),
        ("a provider twice", |m| with(m, vec![provider(), provider()])),
        ("a provider that claims the agent's own", |m| {
            let total_resources = resources("cpus:1");
            with(
                m,
                vec![internal::update_slave_message::ResourceProvider {
                    total_resources,
                    ..provider()
                }],
            );
        }),
        ("an operation of no kind", |m| {
            let operation =
                v1::Operation { uuid: v1::Uuid { value: uuid(1) }, ..Default::default() };
            let operations = vec![operation];
            m.operations = Some(internal::update_slave_message::Operations { operations });
        }),
        ("an operation without UUID", |m| {
            let mut operation = v1::Operation::default();
            operation.info.set_type(v1::offer::operation::Type::Reserve);
            let operations = vec![operation];
            m.operations = Some(internal::update_slave_message::Operations { operations });
        }),
        ("oversubscribed resources that are not revocable", |m| {
            m.oversubscribed_resources = resources("cpus:1");
        }),
        ("oversubscribed resources that are NaN", |m| {
            m.oversubscribed_resources = resources("cpus:1");
            m.oversubscribed_resources[0].revocable = Some(Default::default());
            m.oversubscribed_resources[0].scalar = Some(v1::value::Scalar { value: f64::NAN });
        }),
        ("a resource version that is no UUID", |m| {
            m.resource_version_uuid = Some(v1::Uuid { value: vec![1; 3].into() });
        }),
    ];
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    for (what, change) in cases {
        let mut message =
            internal::UpdateSlaveMessage { slave_id: agent_id(&agent), ..Default::default() };
        change(&mut message);
        let done = world.say(&host(1), Inbound::UpdateAgent(message));
        assert!(done.names().is_empty(), "{what}");
        assert!(!done.logs().is_empty(), "{what}");
        assert_eq!(world.state().agents[&agent].total.to_string(), "cpus:4", "{what}");
    }
}

#[test]
fn operation_updates_that_name_nothing_are_refused() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let whole = internal::UpdateOperationStatusMessage {
        slave_id: Some(agent_id(&agent)),
        operation_uuid: Some(v1::Uuid { value: uuid(1) }),
        ..Default::default()
    };
    let homeless = internal::UpdateOperationStatusMessage { slave_id: None, ..whole.clone() };
    let nameless = internal::UpdateOperationStatusMessage { operation_uuid: None, ..whole.clone() };
    let short = internal::UpdateOperationStatusMessage {
        operation_uuid: Some(v1::Uuid { value: vec![1; 3].into() }),
        ..whole.clone()
    };
    for message in [homeless, nameless, short] {
        world.say(&host(1), Inbound::UpdateOperationStatus(message)).is_refused();
    }
    assert_eq!(world.count(Counter::InvalidOperationStatusUpdates), 3);
    // The second answer to a question of the master's about an operation that is over.
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(whole));
    assert_eq!(done.names(), Vec::<String>::new());
    assert_eq!(world.count(Counter::InvalidOperationStatusUpdates), 3);
}

#[test]
fn bodies_that_are_not_what_their_name_says_do_not_decode() {
    let name = "mesos.internal.StatusUpdateMessage";
    for body in [&b""[..], b"\xff", b"\x0a\x00"] {
        assert!(Inbound::decode(name, body.to_vec().into()).is_err(), "{body:?}");
    }
    assert!(Inbound::decode("mesos.internal.NoSuchMessage", Vec::new().into()).is_err());
    for name in Inbound::NAMES {
        if let Ok(message) = Inbound::decode(name, Vec::new().into()) {
            assert_eq!(message.name(), *name);
        }
    }
}
