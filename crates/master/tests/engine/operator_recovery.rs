//! What of the operators' settings matters right after a failover.

use std::time::Duration;

use alcazar_master::engine::message::Inbound;
use wire::internal;

use crate::operator_quota::{config, update};
use crate::world::*;

/// A cluster of ten agents with a quota, whose master has just been replaced.
fn failed_over(factor: f64) -> (World, Vec<internal::ReregisterSlaveMessage>, Scheduler) {
    let mut world = World::with(|config| {
        config.allocator_agent_recovery_factor = factor;
        config.allocator_recovery_timeout = Duration::from_secs(60);
    });
    let agents: Vec<_> = (1..=10).map(|n| world.join(n, "cpus:4;mem:1024")).collect();
    world.operate(update(vec![config("vip", &[("cpus", 1.0)], &[])], false));
    let messages = (1..=10).zip(&agents).map(|(n, id)| world.reregister_message(n, id)).collect();
    world.fail_over();
    let scheduler = world.scheduler("one");
    (world, messages, scheduler)
}

fn come_back(
    world: &mut World,
    messages: &[internal::ReregisterSlaveMessage],
    numbers: std::ops::RangeInclusive<u8>,
) {
    for n in numbers {
        let message = messages[usize::from(n) - 1].clone();
        world.say(&host(n), Inbound::ReregisterAgent(message));
    }
}

#[test]
fn with_quotas_offers_wait_for_most_agents() {
    let (mut world, agents, scheduler) = failed_over(0.5);
    come_back(&mut world, &agents, 1..=4);
    world.wait(2 * SECOND);
    assert!(world.offers(&scheduler).is_empty());
    come_back(&mut world, &agents, 5..=5);
    world.wait(2 * SECOND);
    assert!(!world.offers(&scheduler).is_empty());
}

#[test]
fn with_quotas_offers_wait_no_longer_than_allowed() {
    let (mut world, agents, scheduler) = failed_over(0.8);
    come_back(&mut world, &agents, 1..=1);
    let back = host(1);
    world.wait_with(Duration::from_secs(55), &[&back]);
    assert!(world.offers(&scheduler).is_empty());
    world.wait_with(Duration::from_secs(10), &[&back]);
    assert!(!world.offers(&scheduler).is_empty());
}

#[test]
fn without_a_share_to_wait_for_offers_start_at_once() {
    let (mut world, agents, scheduler) = failed_over(0.05);
    come_back(&mut world, &agents, 1..=1);
    world.wait(2 * SECOND);
    assert!(!world.offers(&scheduler).is_empty());
}
