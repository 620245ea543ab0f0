//! Whose a framework is after a change of masters: that of whom the agents say.

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::state::Standing;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::{internal, v1};

use crate::world::*;

/// A framework of `f` with a task on host 1 before a change of masters, and what that host will
/// say.
fn before(world: &mut World) -> (Scheduler, internal::ReregisterSlaveMessage) {
    let agent = world.join(1, "cpus:4");
    world.join(2, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    world.fail_over();
    (scheduler, message)
}

/// The second host of [`before`] comes back, with nothing on it.
fn second_host(world: &mut World) -> model::id::AgentId {
    let id = model::id::AgentId::new("m-S1").unwrap();
    let message = internal::ReregisterSlaveMessage {
        slave: v1::AgentInfo {
            id: Some(v1::AgentId { value: id.to_string() }),
            ..agent_info(2, "cpus:4")
        },
        version: Some("1.12.0".to_owned()),
        agent_capabilities: agent_capabilities(),
        resource_version_uuid: Some(v1::Uuid { value: vec![2; 16].into() }),
        ..internal::ReregisterSlaveMessage::default()
    };
    world.say(&host(2), Inbound::ReregisterAgent(message));
    id
}

#[test]
fn attack_who_subscribes_first_after_a_failover_gets_no_task_of_another_principal() {
    let mut world = World::new();
    let (owner, message) = before(&mut world);
    let (thief, _) = world.subscribe("thief", owner.info.clone());
    assert_eq!(thief.id, owner.id);
    assert_eq!(world.state().frameworks[&owner.id].standing, Standing::Claimed);
    let second = second_host(&mut world);
    world.launch(&thief, &second, "theirs");
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(done.error(thief.subscription), "The framework id belongs to another principal");
    assert_eq!(world.count(Counter::FrameworkIdsClaimedByOthers), 1);
    assert!(done.logs().iter().any(|line| line.contains("'thief' has subscribed as it")));
    let killed = done.sent().into_iter().find_map(|(_, to, message)| match message {
        Outbound::KillTask(kill) => Some((to.pid, kill.task_id.value.clone())),
        _ => None,
    });
    assert_eq!(killed, Some((host(2).upid().clone(), "theirs".to_owned())));
    // Agents are told whose it is; the thief hears no more, and cannot come back.
    for (_, _, message) in done.sent() {
        if let Outbound::UpdateFramework(update) = message {
            assert_eq!(update.framework_info.as_ref().unwrap().principal(), "f");
        }
    }
    let done = world.update(&host(1), &owner, &agent_of(1), "t", TaskState::TaskRunning, 1);
    assert!(done.events(thief.subscription).is_empty());
    let (again, done) = world.try_subscribe(&thief.caller, thief.info.clone(), &[]);
    assert_eq!(done.error(again), "Changing framework's principal is not allowed.");
    let (owner, _) = world.subscribe("f", owner.info.clone());
    assert_eq!(world.task_state(&owner, "t"), Some(TaskState::TaskRunning));
    let done = world.call(&owner, about_all(&owner));
    assert_eq!(done.updates(owner.subscription).len(), 2);
}

fn agent_of(n: u8) -> model::id::AgentId {
    model::id::AgentId::new(&format!("m-S{}", n - 1)).unwrap()
}

#[test]
fn what_a_thief_started_is_ended_when_its_agent_comes_back_late() {
    let mut world = World::new();
    let (owner, message) = before(&mut world);
    let (thief, _) = world.subscribe("thief", owner.info.clone());
    let second = second_host(&mut world);
    world.launch(&thief, &second, "theirs");
    let late = world.reregister_message(2, &second);
    world.say(&host(1), Inbound::ReregisterAgent(message));
    let (owner, _) = world.subscribe("f", owner.info.clone());
    world.wait_with(80 * SECOND, &[&host(1)]);
    assert!(!world.state().agents.contains_key(&second));
    let done = world.say(&host(2), Inbound::ReregisterAgent(late));
    assert!(done.names().contains(&"ShutdownFramework".to_owned()), "{:?}", done.names());
    assert!(!done.names().contains(&"UpdateFramework".to_owned()));
    assert!(world.state().agents[&second].tasks.is_empty());
    assert_eq!(world.task_state(&owner, "theirs"), None);
}

#[test]
fn attack_an_agent_cannot_give_a_framework_of_certain_owner_to_another() {
    let mut world = World::new();
    let (owner, message) = before(&mut world);
    let (owner, _) = world.subscribe("f", owner.info.clone());
    world.say(&host(1), Inbound::ReregisterAgent(message.clone()));
    // An agent that came back confirms the claim.
    let standing = world.state().frameworks[&owner.id].standing.clone();
    assert_eq!(standing, Standing::Told { instead_of: None });
    let mut lie = message;
    lie.slave.id = Some(v1::AgentId { value: "m-S1".to_owned() });
    lie.slave.hostname = "host-2".to_owned();
    lie.tasks[0].agent_id = v1::AgentId { value: "m-S1".to_owned() };
    lie.tasks[0].task_id.value = "u".to_owned();
    lie.frameworks[0].principal = Some("thief".to_owned());
    let done = world.say(&host(2), Inbound::ReregisterAgent(lie));
    done.is_refused();
    assert_eq!(world.count(Counter::FrameworkIdsClaimedByOthers), 1);
    assert!(world.state().frameworks[&owner.id].is_connected());
    assert_eq!(world.task_state(&owner, "u"), None);
    assert!(world.state().recovered_agents.contains_key(&agent_of(2)));
}

fn about_all(scheduler: &Scheduler) -> wire::v1::scheduler::Call {
    let mut call = scheduler.call(call::Type::Reconcile);
    call.reconcile = Some(call::Reconcile::default());
    call
}
