//! Resource providers: their totals, the operations that only they can do, and those whose
//! framework nobody knows.

use std::time::Duration;

use alcazar_master::engine::message::Outbound;
use wire::v1::OperationState;
use wire::v1::resource::disk_info::source::Type as SourceType;

use super::*;

/// Disk space of provider `p`, of a profile.
pub(crate) fn disk(kind: SourceType, size: f64) -> v1::Resource {
    let mut source = v1::resource::disk_info::Source {
        profile: Some("fast".to_owned()),
        id: Some("csi".to_owned()),
        ..v1::resource::disk_info::Source::default()
    };
    source.set_type(kind);
    let mut disk = v1::Resource {
        name: "disk".to_owned(),
        provider_id: Some(v1::ResourceProviderId { value: "p".to_owned() }),
        scalar: Some(v1::value::Scalar { value: size }),
        disk: Some(Box::new(v1::resource::DiskInfo { source: Some(source), ..Default::default() })),
        ..v1::Resource::default()
    };
    disk.set_type(v1::value::Type::Scalar);
    disk
}

pub(super) fn allocated(resource: &v1::Resource, role: &str) -> v1::Resource {
    let allocation_info = Some(v1::resource::AllocationInfo { role: Some(role.to_owned()) });
    v1::Resource { allocation_info, ..resource.clone() }
}

pub(crate) fn provider(
    total: Vec<v1::Resource>,
    operations: Vec<v1::Operation>,
    version: u8,
) -> internal::update_slave_message::ResourceProvider {
    internal::update_slave_message::ResourceProvider {
        info: Some(v1::ResourceProviderInfo {
            id: Some(v1::ResourceProviderId { value: "p".to_owned() }),
            r#type: "org.apache.mesos.rp.local.storage".to_owned(),
            name: "lvm".to_owned(),
            ..v1::ResourceProviderInfo::default()
        }),
        total_resources: total,
        operations: internal::update_slave_message::Operations { operations },
        resource_version_uuid: v1::Uuid { value: uuid(version) },
    }
}

pub(crate) fn update_of(
    agent: &AgentId,
    own: Vec<v1::Operation>,
    providers: Option<Vec<internal::update_slave_message::ResourceProvider>>,
) -> internal::UpdateSlaveMessage {
    internal::UpdateSlaveMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        update_oversubscribed_resources: Some(false),
        operations: Some(internal::update_slave_message::Operations { operations: own }),
        resource_version_uuid: Some(v1::Uuid { value: uuid(1) }),
        resource_providers: providers
            .map(|providers| internal::update_slave_message::ResourceProviders { providers }),
        ..internal::UpdateSlaveMessage::default()
    }
}

impl World {
    pub(super) fn tell(&mut self, n: u8, message: internal::UpdateSlaveMessage) -> Done {
        self.say(&host(n), Inbound::UpdateAgent(message))
    }
}

pub(crate) fn create_disk(source: &v1::Resource) -> v1::offer::Operation {
    let mut create = operation::CreateDisk { source: source.clone(), ..Default::default() };
    create.set_target_type(SourceType::Mount);
    v1::offer::Operation { create_disk: Some(create), ..of(Type::CreateDisk) }
}

/// An operation as an agent lists it.
pub(crate) fn listed(
    framework: &str,
    info: v1::offer::Operation,
    state: OperationState,
    n: u8,
) -> v1::Operation {
    let mut latest_status =
        OperationStatus { operation_id: info.id.clone(), ..OperationStatus::default() };
    latest_status.set_state(state);
    v1::Operation {
        framework_id: Some(v1::FrameworkId { value: framework.to_owned() }),
        info,
        latest_status,
        uuid: v1::Uuid { value: uuid(n) },
        ..v1::Operation::default()
    }
}

fn disks(resources: &Resources, kind: &str) -> u64 {
    let of_kind = resources.filter(|r| format!("{:?}", r.disk).to_lowercase().contains(kind));
    of_kind.quantities().get("disk").thousandths() / 1000
}

#[test]
fn a_disk_is_created_when_its_provider_says_so() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let raw = disk(SourceType::Raw, 100.0);
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let scheduler = web(&mut world, "f");
    assert_eq!(world.total(&agent).of_provider(Some("p")).quantities().get("disk").as_f64(), 100.0);

    let operation = named("c", create_disk(&raw));
    let done = world.operate_on(&scheduler, &agent, vec![operation]);
    assert_eq!(done.names(), ["ApplyOperation"]);
    let applied = applied(&done).remove(0);
    let version = &applied.resource_version_uuid;
    assert_eq!(version.resource_provider_id.as_ref().unwrap().value, "p");
    assert_eq!(version.uuid.value, uuid(5));
    let used = world.state().agents[&agent].used_by_all();
    assert_eq!(used.quantities().get("disk").as_f64(), 100.0, "held while it is being made");

    let mut message = status_message(&agent, &applied, OperationState::OperationFinished, Some(7));
    let mount = allocated(&disk(SourceType::Mount, 100.0), "web");
    message.status.converted_resources = vec![mount.clone()];
    message.latest_status = Some(message.status.clone());
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(message));
    assert_eq!(done.names(), ["UPDATE_OPERATION_STATUS", "OFFERS"]);
    assert!(world.state().agents[&agent].used.is_empty());
    assert_eq!(world.offered(&scheduler, &agent).to_string().matches("disk").count(), 1);
    let total = world.total(&agent);
    assert_eq!((disks(&total, "raw"), disks(&total, "mount")), (0, 100));
    assert_eq!(world.state().agents[&agent].providers["p"].total, total.of_provider(Some("p")));
    let call = super::feedback::acknowledge(&scheduler, &agent, "c", 7);
    world.call(&scheduler, call);
    assert!(world.state().operations.is_empty());
}

#[test]
fn a_disk_that_was_not_created_is_what_it_was() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let raw = disk(SourceType::Raw, 100.0);
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let scheduler = web(&mut world, "f");
    let done = world.operate_on(&scheduler, &agent, vec![create_disk(&raw)]);
    let applied = applied(&done).remove(0);
    let message = status_message(&agent, &applied, OperationState::OperationFailed, Some(7));
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(message));
    assert_eq!(done.names(), ["AcknowledgeOperationStatus", "OFFERS"]);
    let Outbound::AcknowledgeOperationStatus(sent) = done.sent()[0].2 else { panic!("{done:?}") };
    assert_eq!(sent.resource_provider_id.as_ref().unwrap().value, "p");
    assert_eq!(disks(&world.total(&agent), "raw"), 100);
    assert!(world.state().agents[&agent].used.is_empty());
}

#[test]
fn disks_that_cannot_be_made_are_refused_in_the_words_of_the_original() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:100");
    let raw = disk(SourceType::Raw, 100.0);
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let scheduler = web(&mut world, "f");
    let plain = wire(&parse("disk:1", &Role::any()).unwrap()).remove(0);
    let mut path = create_disk(&raw);
    path.create_disk.as_mut().unwrap().set_target_type(SourceType::Path);
    let mut profiled = create_disk(&raw);
    profiled.create_disk.as_mut().unwrap().target_profile = Some("slow".to_owned());
    let mut elsewhere = raw.clone();
    elsewhere.provider_id = Some(v1::ResourceProviderId { value: "q".to_owned() });
    let destroy = |source: &v1::Resource| {
        let destroy = operation::DestroyDisk { source: source.clone() };
        v1::offer::Operation { destroy_disk: Some(destroy), ..of(Type::DestroyDisk) }
    };
    let mut anonymous = raw.clone();
    anonymous.disk.as_mut().unwrap().source.as_mut().unwrap().id = None;
    for (operation, text) in [
        (create_disk(&plain), "'source' is not managed by a resource provider"),
        (create_disk(&disk(SourceType::Mount, 100.0)), "'source' is not a RAW disk resource"),
        (path, "'target_type' is neither MOUNT or BLOCK"),
        (profiled, "'target_profile' must not be set when 'source' has a profile"),
        (create_disk(&disk(SourceType::Raw, 101.0)), "Invalid CREATE_DISK operation: "),
        (create_disk(&elsewhere), "Resource provider q is unknown"),
        (destroy(&plain), "'source' is not managed by a resource provider"),
        (
            destroy(&disk(SourceType::Path, 1.0)),
            "'source' is neither a MOUNT, BLOCK or RAW disk resource",
        ),
        (destroy(&anonymous), "'source' is not backed by a CSI volume"),
    ] {
        let call = scheduler.call(wire::v1::scheduler::call::Type::Revive);
        world.call(&scheduler, call);
        let done = world.operate_on(&scheduler, &agent, vec![named("o", operation)]);
        let status = statuses(&done, &scheduler).remove(0);
        assert_eq!(status.state(), OperationState::OperationError, "{text}");
        assert!(status.message().contains(text), "{} is not {text}", status.message());
        assert!(world.state().operations.is_empty(), "{text}");
    }
}

#[test]
fn a_provider_that_is_not_listed_is_gone_with_its_operations() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let raw = disk(SourceType::Raw, 100.0);
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let scheduler = web(&mut world, "f");
    world.operate_on(&scheduler, &agent, vec![create_disk(&raw)]);
    // A message that does not speak of providers changes nothing about them.
    world.tell(1, update_of(&agent, vec![], None));
    assert_eq!(world.state().operations.size(), 1);
    world.tell(1, update_of(&agent, vec![], Some(vec![])));
    let state = world.state();
    assert!(state.operations.is_empty() && state.agents[&agent].providers.is_empty());
    assert_eq!(state.agents[&agent].total, parse("cpus:4", &Role::any()).unwrap());
    assert!(state.agents[&agent].used.is_empty());
}

#[test]
fn operations_that_an_agent_does_not_list_are_asked_for() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let operation = named("r", reserve(&reserved("cpus:1", "f")));
    let done = world.operate_on(&scheduler, &agent, vec![operation]);
    let applied = applied(&done).remove(0);
    let done = world.tell(1, update_of(&agent, vec![], None));
    let Outbound::ReconcileOperations(asked) = done.sent().remove(0).2.clone() else {
        panic!("{done:?}")
    };
    assert_eq!(asked.operations[0].operation_uuid, Some(applied.operation_uuid.clone()));
    assert_eq!(asked.framework_id, None);
    let known =
        listed(scheduler.id.as_str(), applied.operation_info, OperationState::OperationPending, 0);
    let known = v1::Operation { uuid: applied.operation_uuid, ..known };
    let done = world.tell(1, update_of(&agent, vec![known], None));
    assert_eq!(done.names(), Vec::<String>::new());
}

/// A master that takes over hears of an operation of a framework that it does not know.
fn orphaned(state: OperationState) -> (World, AgentId) {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let again = world.reregister_message(1, &agent);
    world.fail_over();
    world.say(&host(1), Inbound::ReregisterAgent(again));
    let raw = disk(SourceType::Raw, 100.0);
    let source = allocated(&raw, "web");
    let operation = listed("m-0000", named("c", create_disk(&source)), state, 3);
    let message = update_of(&agent, vec![], Some(vec![provider(vec![raw], vec![operation], 5)]));
    world.tell(1, message);
    assert_eq!(world.state().operations.size(), 1);
    (world, agent)
}

fn status_of_orphan(
    agent: &AgentId,
    state: OperationState,
) -> internal::UpdateOperationStatusMessage {
    let applied = internal::ApplyOperationMessage {
        framework_id: Some(v1::FrameworkId { value: "m-0000".to_owned() }),
        operation_info: named("c", of(Type::CreateDisk)),
        operation_uuid: v1::Uuid { value: uuid(3) },
        ..internal::ApplyOperationMessage::default()
    };
    let mut message = status_message(agent, &applied, state, Some(7));
    message.status.converted_resources = vec![allocated(&disk(SourceType::Mount, 100.0), "web")];
    message.latest_status = None;
    message
}

#[test]
fn what_an_orphan_holds_is_nobodys_until_it_ends() {
    let (mut world, agent) = orphaned(OperationState::OperationPending);
    let other = web(&mut world, "other");
    assert_eq!(world.total(&agent), parse("cpus:4", &Role::any()).unwrap());
    assert_eq!(world.offered(&other, &agent).to_string(), "cpus:4");
    // Its framework may still come back, so nobody acknowledges for ten minutes.
    let update = status_of_orphan(&agent, OperationState::OperationFinished);
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(update.clone()));
    assert!(!done.names().contains(&"AcknowledgeOperationStatus".to_owned()), "{done:?}");
    assert_eq!(disks(&world.total(&agent), "mount"), 100, "but it has ended");
    world.wait_with(Duration::from_secs(10 * 60), &[&host(1)]);
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(update));
    assert!(done.names().contains(&"AcknowledgeOperationStatus".to_owned()), "{done:?}");
    assert!(world.state().operations.is_empty());
    assert_eq!(disks(&world.total(&agent), "mount"), 100, "and is entered once");
}

#[test]
fn a_framework_that_comes_back_gets_its_operations_again() {
    let (mut world, agent) = orphaned(OperationState::OperationPending);
    let mut info = framework_info("f", &[Capability::MultiRole]);
    info.roles = vec!["web".to_owned()];
    info.id = Some(v1::FrameworkId { value: "m-0000".to_owned() });
    let (scheduler, _) = world.subscribe("f", info);
    let used = world.state().agents[&agent].used[&scheduler.id].clone();
    assert_eq!(used.quantities().get("disk").as_f64(), 100.0);
    let update = status_of_orphan(&agent, OperationState::OperationFailed);
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(update));
    let told = statuses(&done, &scheduler).remove(0);
    assert_eq!(told.state(), OperationState::OperationFailed);
    assert_eq!(disks(&world.total(&agent), "raw"), 100);
    assert!(world.state().agents[&agent].used.is_empty());
}

#[test]
fn what_a_framework_that_ended_began_is_finished_without_it() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let raw = disk(SourceType::Raw, 100.0);
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let scheduler = web(&mut world, "f");
    let done = world.operate_on(&scheduler, &agent, vec![named("c", create_disk(&raw))]);
    let applied = applied(&done).remove(0);
    world.teardown(&scheduler.id);
    assert_eq!(disks(&world.total(&agent), "raw"), 0, "it is being changed");
    let message = status_message(&agent, &applied, OperationState::OperationDropped, Some(7));
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(message));
    assert_eq!(done.names(), ["AcknowledgeOperationStatus"]);
    assert_eq!(disks(&world.total(&agent), "raw"), 100);
    assert!(world.state().operations.is_empty());
}

#[test]
fn an_operation_that_ended_unseen_is_in_the_total_that_comes_with_it() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let raw = disk(SourceType::Raw, 100.0);
    world.tell(1, update_of(&agent, vec![], Some(vec![provider(vec![raw.clone()], vec![], 5)])));
    let scheduler = web(&mut world, "f");
    let done = world.operate_on(&scheduler, &agent, vec![named("c", create_disk(&raw))]);
    let applied = applied(&done).remove(0);
    let ended = listed(
        scheduler.id.as_str(),
        applied.operation_info.clone(),
        OperationState::OperationFinished,
        0,
    );
    let ended = v1::Operation { uuid: applied.operation_uuid.clone(), ..ended };
    let mount = disk(SourceType::Mount, 100.0);
    world.tell(
        1,
        update_of(&agent, vec![], Some(vec![provider(vec![mount.clone()], vec![ended], 6)])),
    );
    assert_eq!(disks(&world.total(&agent), "mount"), 100);
    assert!(world.state().agents[&agent].used.is_empty());
    let mut message = status_message(&agent, &applied, OperationState::OperationFinished, Some(7));
    message.status.converted_resources = vec![allocated(&mount, "web")];
    message.latest_status = None;
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(message));
    assert_eq!(statuses(&done, &scheduler).len(), 1);
    assert_eq!(disks(&world.total(&agent), "mount"), 100, "it is not entered twice");
}

#[test]
fn what_an_agent_lends_replaces_what_it_lent_and_is_rescinded_when_it_changes() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let lend = |cpus: f64| {
        let mut resource = wire(&parse("cpus:1", &Role::any()).unwrap()).remove(0);
        resource.revocable = Some(v1::resource::RevocableInfo {});
        resource.scalar = Some(v1::value::Scalar { value: cpus });
        internal::UpdateSlaveMessage {
            slave_id: v1::AgentId { value: agent.to_string() },
            update_oversubscribed_resources: Some(true),
            oversubscribed_resources: vec![resource],
            ..internal::UpdateSlaveMessage::default()
        }
    };
    world.tell(1, lend(2.0));
    let offered = |world: &World| {
        world.offered(&scheduler, &agent).revocable().quantities().get("cpus").as_f64()
    };
    assert_eq!(offered(&world), 2.0);
    let done = world.tell(1, lend(2.0));
    assert_eq!(done.names(), Vec::<String>::new(), "nothing changed");
    let done = world.tell(1, lend(3.0));
    assert_eq!(done.names()[0], "RESCIND");
    assert_eq!(offered(&world), 3.0);

    // What was lent and what providers have is still there when the agent comes back.
    world.tell(
        1,
        update_of(
            &agent,
            vec![],
            Some(vec![provider(vec![disk(SourceType::Raw, 9.0)], vec![], 5)]),
        ),
    );
    let total = world.total(&agent);
    let mut again = world.reregister_message(1, &agent);
    again.slave.resources = resources("cpus:4");
    world.exited(&host(1));
    world.say(&host(1), Inbound::ReregisterAgent(again));
    assert_eq!(world.total(&agent), total);
}
