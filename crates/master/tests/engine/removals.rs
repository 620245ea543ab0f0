//! `--agent_removal_rate_limit`: agents become unreachable one after the other, if they are still
//! silent when their turn comes.

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::message::Inbound;
use wire::internal;

use crate::world::*;

fn limited() -> World {
    World::with(|config| config.agent_removal_interval = Some(10 * MINUTE))
}

fn unreachable(world: &World) -> usize {
    world.state().unreachable_agents.size()
}

fn counts(world: &World) -> [u64; 3] {
    [
        Counter::SlaveUnreachableScheduled,
        Counter::SlaveUnreachableCompleted,
        Counter::SlaveUnreachableCanceled,
    ]
    .map(|counter| world.count(counter))
}

#[test]
fn silent_agents_become_unreachable_one_by_one() {
    let mut world = limited();
    for n in 1..=3 {
        world.join(n, "cpus:4");
    }
    let done = world.wait(75 * SECOND);
    assert_eq!((unreachable(&world), counts(&world)), (1, [3, 1, 0]));
    // The others are still pinged, lest one of them comes round.
    assert!(done.names().ends_with(&["PingSlave".to_owned(), "PingSlave".to_owned()]));
    world.wait(9 * MINUTE);
    assert_eq!(unreachable(&world), 1);
    world.wait(MINUTE);
    assert_eq!((unreachable(&world), counts(&world)), (2, [3, 2, 0]));
    world.wait(10 * MINUTE);
    assert_eq!((unreachable(&world), counts(&world)), (3, [3, 3, 0]));
}

#[test]
fn an_agent_that_answers_before_its_turn_stays() {
    let mut world = limited();
    for n in 1..=3 {
        world.join(n, "cpus:4");
    }
    world.wait(75 * SECOND);
    let state = world.state();
    let first = state.agents.values().next().unwrap();
    let n = first.peer.pid.address.ip().octets()[3];
    let pong = Inbound::Pong(internal::PongSlaveMessage {});
    world.say_to(&format!("slave-observer({n})"), &host(n), pong);
    assert_eq!((unreachable(&world), counts(&world)), (1, [3, 1, 1]));
    // Its turn goes to the next.
    world.wait_with(10 * MINUTE, &[&host(n)]);
    assert_eq!((unreachable(&world), counts(&world)), (2, [3, 2, 1]));
    world.wait_with(30 * MINUTE, &[&host(n)]);
    assert!(world.state().agents.contains_key(&first.id));
}

#[test]
fn agents_that_do_not_come_back_become_unreachable_one_by_one() {
    let mut world = limited();
    let ids: Vec<_> = (1..=3).map(|n| world.join(n, "cpus:4")).collect();
    let message = world.reregister_message(3, &ids[2]);
    for n in 1..=3 {
        world.exited(&host(n));
    }
    // Pings to agents that are disconnected go on, and none is answered.
    world.wait(10 * MINUTE);
    let before = counts(&world);
    assert_eq!(unreachable(&world), 1);
    let left: Vec<_> = ids.iter().filter(|id| world.state().agents.contains_key(*id)).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&&ids[2]), "the first to become unreachable is another");
    world.say(&host(3), Inbound::ReregisterAgent(message));
    assert!(counts(&world)[2] > before[2], "it is there again before its turn");
    world.wait_with(60 * MINUTE, &[&host(3)]);
    assert_eq!(unreachable(&world), 2);
    assert!(world.state().agents[&ids[2]].connected);
}

#[test]
fn agents_of_the_registry_become_unreachable_one_by_one() {
    let mut world = limited();
    let ids: Vec<_> = (1..=3).map(|n| world.join(n, "cpus:4")).collect();
    let messages: Vec<_> =
        (1..=3).map(|n| world.reregister_message(n, &ids[usize::from(n) - 1])).collect();
    world.fail_over();
    world.wait(10 * MINUTE);
    assert_eq!((unreachable(&world), counts(&world)), (1, [3, 1, 0]));
    assert_eq!(world.count(Counter::RecoverySlaveRemovals), 1);
    world.say(&host(3), Inbound::ReregisterAgent(messages[2].clone()));
    assert_eq!(counts(&world), [3, 1, 1]);
    world.wait_with(10 * MINUTE, &[&host(3)]);
    assert_eq!((unreachable(&world), counts(&world)), (2, [3, 2, 1]));
    assert!(world.state().recovered_agents.is_empty());
}

#[test]
fn too_many_missing_agents_end_the_master_before_any_becomes_unreachable() {
    let mut world = World::with(|config| config.recovery_agent_removal_limit = 0.5);
    let ids: Vec<_> = (1..=3).map(|n| world.join(n, "cpus:4")).collect();
    let message = world.reregister_message(1, &ids[0]);
    world.fail_over();
    world.say(&host(1), Inbound::ReregisterAgent(message));
    let done = world.wait_with(10 * MINUTE, &[&host(1)]);
    assert_eq!(done.names().last().unwrap(), "Stop");
    assert_eq!(unreachable(&world), 0);
}
