//! Reservations and volumes that operators make and give up.

use alcazar_master::engine::command::{ResourceCommand, objects};
use alcazar_master::engine::event::OperatorCommand;
use alcazar_master::engine::message::Outbound;
use alcazar_master::engine::refusal::Refusal;
use model::id::AgentId;
use wire::v1;
use wire::v1::offer::operation;
use wire::v1::resource::ReservationInfo;
use wire::v1::resource::reservation_info::Type as Kind;

use crate::world::*;

/// Resources reserved for `role` by the operator of the tests.
#[expect(deprecated, reason = "the form after refinement names no role")]
pub(crate) fn reserved(text: &str, role: &str) -> Vec<v1::Resource> {
    let mut all = resources(text);
    for resource in &mut all {
        resource.role = None;
        resource.reservations = vec![ReservationInfo {
            r#type: Some(Kind::Dynamic.into()),
            role: Some(role.to_owned()),
            principal: Some("ops".to_owned()),
            ..ReservationInfo::default()
        }];
    }
    all
}

/// A persistent volume on reserved disk.
pub(crate) fn volume(megabytes: u32, id: &str) -> v1::Resource {
    let mut volume = reserved(&format!("disk:{megabytes}"), "ops").remove(0);
    volume.disk = Some(Box::new(v1::resource::DiskInfo {
        persistence: Some(v1::resource::disk_info::Persistence {
            id: id.to_owned(),
            principal: Some("ops".to_owned()),
        }),
        volume: Some(v1::Volume {
            mode: v1::volume::Mode::Rw.into(),
            container_path: "data".to_owned(),
            ..v1::Volume::default()
        }),
        ..v1::resource::DiskInfo::default()
    }));
    volume
}

pub(crate) fn reserve(agent_id: &AgentId, resources: Vec<v1::Resource>) -> OperatorCommand {
    let reserve = operation::Reserve { source: Vec::new(), resources };
    let (roles, principals) = objects::reserve(&reserve);
    let conversion = ResourceCommand::Reserve(permit(roles), permit(principals), reserve);
    OperatorCommand::Convert { agent_id: agent_id.clone(), conversion }
}

pub(crate) fn unreserve(agent_id: &AgentId, resources: Vec<v1::Resource>) -> OperatorCommand {
    let unreserve = operation::Unreserve { resources };
    let permit = permit(objects::unreserve(&unreserve));
    let conversion = ResourceCommand::Unreserve(permit, unreserve);
    OperatorCommand::Convert { agent_id: agent_id.clone(), conversion }
}

fn create(agent_id: &AgentId, volumes: Vec<v1::Resource>) -> OperatorCommand {
    let create = operation::Create { volumes };
    let conversion = ResourceCommand::Create(permit(objects::create(&create)), create);
    OperatorCommand::Convert { agent_id: agent_id.clone(), conversion }
}

fn destroy(agent_id: &AgentId, volumes: Vec<v1::Resource>) -> OperatorCommand {
    let destroy = operation::Destroy { volumes };
    let conversion = ResourceCommand::Destroy(permit(objects::destroy(&destroy)), destroy);
    OperatorCommand::Convert { agent_id: agent_id.clone(), conversion }
}

fn applied(done: &Done) -> Vec<operation::Type> {
    done.sent()
        .into_iter()
        .filter_map(|(_, _, message)| match message {
            Outbound::ApplyOperation(message) => Some(message.operation_info.r#type()),
            _ => None,
        })
        .collect()
}

const TOTAL: &str = "cpus:4;mem:1024;disk:2048";

#[test]
fn an_operator_reserves_out_of_offers_and_gives_back() {
    let mut world = World::new();
    let agent = world.join(1, TOTAL);
    let scheduler = world.scheduler("one");
    world.wait(SECOND);
    let offered = world.offers(&scheduler);
    assert_eq!(offered.len(), 1);

    let done = world.operate(reserve(&agent, reserved("cpus:1;mem:256", "ops")));
    assert_eq!(done.refusal(), None);
    assert_eq!(applied(&done), [operation::Type::Reserve]);
    let kinds: Vec<_> = done.events(scheduler.subscription).iter().map(|e| e.r#type()).collect();
    assert_eq!(kinds[0], v1::scheduler::event::Type::Rescind);
    let held = |world: &World| {
        let reserved = world.state().agents[&agent].total.filter(|r| !r.is_unreserved());
        (reserved.scalar("cpus").as_f64(), reserved.scalar("mem").as_f64())
    };
    assert_eq!(held(&world), (1.0, 256.0));

    let done = world.operate(unreserve(&agent, reserved("cpus:1", "ops")));
    assert_eq!((done.refusal(), applied(&done)), (None, vec![operation::Type::Unreserve]));
    assert_eq!(held(&world), (0.0, 256.0));
}

#[test]
fn volumes_are_made_on_what_is_reserved_and_destroyed() {
    let mut world = World::new();
    let agent = world.join(1, TOTAL);
    assert_eq!(world.operate(reserve(&agent, reserved("disk:512", "ops"))).refusal(), None);
    let done = world.operate(create(&agent, vec![volume(100, "v")]));
    assert_eq!((done.refusal(), applied(&done)), (None, vec![operation::Type::Create]));
    let volumes = |world: &World| {
        world.state().agents[&agent].total.iter().filter(|r| r.is_persistent_volume()).count()
    };
    assert_eq!(volumes(&world), 1);

    // Growing and shrinking keep the volume one volume.
    let addition = reserved("disk:50", "ops").remove(0);
    let grow = operation::GrowVolume { volume: volume(100, "v"), addition };
    let conversion = ResourceCommand::Grow(permit([objects::role(&grow.volume)]), Box::new(grow));
    let command = OperatorCommand::Convert { agent_id: agent.clone(), conversion };
    assert_eq!(applied(&world.operate(command)), [operation::Type::GrowVolume]);
    let subtract = v1::value::Scalar { value: 100.0 };
    let shrink = operation::ShrinkVolume { volume: volume(150, "v"), subtract };
    let conversion =
        ResourceCommand::Shrink(permit([objects::role(&shrink.volume)]), Box::new(shrink));
    let command = OperatorCommand::Convert { agent_id: agent.clone(), conversion };
    assert_eq!(applied(&world.operate(command)), [operation::Type::ShrinkVolume]);

    assert_eq!(volumes(&world), 1);
    let done = world.operate(destroy(&agent, vec![volume(50, "v")]));
    assert_eq!((done.refusal(), applied(&done)), (None, vec![operation::Type::Destroy]));
    assert_eq!(volumes(&world), 0);
}

#[test]
fn what_is_in_use_is_not_taken_and_no_offer_is_taken_back_for_nothing() {
    let mut world = World::new();
    let agent = world.join(1, TOTAL);
    let scheduler = world.scheduler("one");
    world.wait(SECOND);
    // The task takes part of the agent, the rest is offered again.
    world.launch(&scheduler, &agent, "task");
    world.call(&scheduler, scheduler.call(v1::scheduler::call::Type::Revive));
    let offers = world.offers(&scheduler);
    assert!(!offers.is_empty());
    let total = world.state().agents[&agent].total.clone();
    let done = world.operate(reserve(&agent, reserved("cpus:4", "ops")));
    assert_eq!(done.refusal().unwrap().status(), 409);
    assert_eq!(world.offers(&scheduler), offers);
    assert_eq!(world.state().agents[&agent].total, total);
    assert!(applied(&done).is_empty());
}

#[test]
fn what_is_wrong_with_an_operation_is_said() {
    let mut world = World::new();
    let agent = world.join(1, TOTAL);
    let refusal = |world: &mut World, command| -> Refusal {
        let total = world.state().agents[&agent].total.clone();
        let refusal = world.operate(command).refusal().unwrap();
        assert_eq!(world.state().agents[&agent].total, total);
        refusal
    };
    let stranger = AgentId::new("m-S99").unwrap();
    let unknown = refusal(&mut world, reserve(&stranger, reserved("cpus:1", "ops")));
    let text = "No agent found with specified ID";
    assert_eq!((unknown.status(), unknown.to_string().as_str()), (400, text));
    let unreserved = refusal(&mut world, reserve(&agent, resources("cpus:1")));
    assert_eq!(unreserved.status(), 400);
    assert!(
        unreserved.to_string().starts_with(&format!("Invalid RESERVE operation on agent {agent}")),
        "{unreserved}"
    );
    let nothing_there = refusal(&mut world, unreserve(&agent, reserved("cpus:1", "ops")));
    assert_eq!(nothing_there.status(), 409);
    let plain = refusal(&mut world, unreserve(&agent, resources("cpus:1"))).to_string();
    assert!(plain.starts_with("Invalid UNRESERVE operation: "), "{plain}");
}

#[test]
fn a_permit_for_one_role_reserves_for_no_other() {
    let mut world = World::new();
    let agent = world.join(1, TOTAL);
    let reserve =
        operation::Reserve { source: Vec::new(), resources: reserved("cpus:1", "secret") };
    let other = permit(["ops".to_owned()]);
    let conversion = ResourceCommand::Reserve(other, permit([]), reserve);
    let command = OperatorCommand::Convert { agent_id: agent, conversion };
    assert_eq!(world.operate(command).refusal().unwrap().status(), 403);
}
