//! `--rate_limits`: drivers that say more than their principal may.

use std::time::Duration;

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::event::Event;
use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::throttle::{RateLimit, RateLimits};
use libprocess::sender::BoundPid;
use model::id::FrameworkId;
use wire::{internal, v1};

use crate::world::*;

fn limit(per_second: u64, capacity: u64) -> RateLimit {
    let interval = Duration::from_millis(1000 / per_second);
    RateLimit { interval, capacity: Some(capacity) }
}

fn world(principals: &[(&str, Option<RateLimit>)], others: Option<RateLimit>) -> World {
    let principals = principals.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
    World::with(|config| config.rate_limits = RateLimits { principals, others })
}

fn driver(n: u8) -> BoundPid {
    bound(&format!("scheduler-{n}@10.0.1.{n}:9000"), Some(identity(&format!("framework/f-{n}"))))
}

/// Subscribes driver number `n`, whose principal is `f-<n>`.
fn subscribe(world: &mut World, n: u8) -> FrameworkId {
    let mut info = framework_info("f", &[]);
    info.failover_timeout = Some(1e6);
    let message = internal::RegisterFrameworkMessage { framework: info };
    let done = world.say(&driver(n), Inbound::RegisterFramework(message));
    let id = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::FrameworkRegistered(message) => Some(message.framework_id.value.clone()),
        _ => None,
    });
    FrameworkId::new(&id.expect("a registration")).unwrap()
}

/// A message with an effect that is counted.
fn ask(world: &mut World, n: u8, id: &FrameworkId) -> Done {
    let framework_id = v1::FrameworkId { value: id.to_string() };
    let message = internal::ResourceRequestMessage { framework_id, requests: Vec::new() };
    world.say(&driver(n), Inbound::ResourceRequest(message))
}

fn handled(world: &World) -> u64 {
    world.count(Counter::MessagesResourceRequest)
}

fn errors(done: &Done) -> Vec<String> {
    done.sent()
        .into_iter()
        .filter_map(|(_, _, message)| match message {
            Outbound::FrameworkError(error) => Some(error.message.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_too_much_waits_and_what_is_far_too_much_is_dropped_and_told() {
    let mut world = world(&[("f-1", Some(limit(10, 2)))], None);
    let id = subscribe(&mut world, 1);
    for _ in 0..3 {
        assert_eq!(errors(&ask(&mut world, 1, &id)), [""; 0]);
    }
    assert_eq!(handled(&world), 1);
    assert_eq!(
        errors(&ask(&mut world, 1, &id)),
        ["Message mesos.internal.ResourceRequestMessage dropped: capacity(2) exceeded"]
    );
    world.wait(Duration::from_millis(99));
    assert_eq!(handled(&world), 1);
    world.wait(Duration::from_millis(1));
    assert_eq!(handled(&world), 2);
    world.wait(Duration::from_millis(100));
    assert_eq!(handled(&world), 3);
    world.wait(SECOND);
    assert_eq!(handled(&world), 3, "what was dropped is gone");
    let counts = world.state().principals["f-1"];
    assert_eq!((counts.received, counts.processed), (4, 3));
}

#[test]
fn everybody_without_a_limit_of_his_own_shares_one() {
    let mut world = world(&[("f-1", None)], Some(limit(1, 10)));
    let ids = [1, 2, 3].map(|n| subscribe(&mut world, n));
    for _ in 0..5 {
        ask(&mut world, 1, &ids[0]);
    }
    assert_eq!(handled(&world), 5, "this one has no limit");
    ask(&mut world, 2, &ids[1]);
    ask(&mut world, 3, &ids[2]);
    assert_eq!(handled(&world), 6, "these two have one between them");
    world.wait(SECOND);
    assert_eq!(handled(&world), 7);
}

#[test]
fn whoever_is_no_subscribed_framework_is_not_limited_and_uses_nothing_up() {
    let mut world = world(&[("f-1", Some(limit(1, 1)))], Some(limit(1, 1)));
    let id = subscribe(&mut world, 1);
    let impostor = bound("scheduler-1@10.0.1.1:9000", Some(identity("framework/f-2")));
    let framework_id = || v1::FrameworkId { value: id.to_string() };
    for _ in 0..50 {
        let message =
            internal::ResourceRequestMessage { framework_id: framework_id(), requests: Vec::new() };
        let done = world.say(&impostor, Inbound::ResourceRequest(message));
        assert!(errors(&done).iter().all(|text| !text.contains("capacity")), "{done:?}");
    }
    assert_eq!(handled(&world), 0);
    assert_eq!(world.state().principals["f-1"].received, 0);
    for n in 1..=20 {
        world.join(n, "cpus:1");
    }
    ask(&mut world, 1, &id);
    assert_eq!(handled(&world), 1);
}

#[test]
fn a_broken_link_is_told_in_order_and_never_dropped() {
    let mut world = world(&[("f-1", Some(limit(1, 1)))], None);
    let id = subscribe(&mut world, 1);
    for _ in 0..5 {
        ask(&mut world, 1, &id);
    }
    let peer = driver(1);
    let (pid, identity) = (peer.upid().clone(), peer.identity().cloned());
    world.handle(Event::Exited { pid, identity });
    assert!(world.state().frameworks[&id].is_connected(), "what it said before comes first");
    world.wait(SECOND);
    assert_eq!(handled(&world), 2);
    assert!(world.state().frameworks[&id].is_connected());
    world.wait(SECOND);
    assert!(!world.state().frameworks[&id].is_connected());
    // With nothing before it, it is told at once.
    let message = internal::ReregisterFrameworkMessage {
        framework: v1::FrameworkInfo {
            id: Some(v1::FrameworkId { value: id.to_string() }),
            failover_timeout: Some(1e6),
            ..framework_info("f", &[])
        },
        failover: true,
    };
    world.say(&peer, Inbound::ReregisterFramework(message));
    assert!(world.state().frameworks[&id].is_connected());
    world.exited(&peer);
    assert!(!world.state().frameworks[&id].is_connected());
}

#[test]
fn messages_are_counted_as_long_as_their_principal_has_a_framework() {
    let mut world = World::new();
    let id = subscribe(&mut world, 1);
    ask(&mut world, 1, &id);
    let counts = world.state().principals["f-1"];
    assert_eq!((counts.received, counts.processed), (1, 1));
    let framework_id = v1::FrameworkId { value: id.to_string() };
    let message = internal::UnregisterFrameworkMessage { framework_id };
    world.say(&driver(1), Inbound::UnregisterFramework(message));
    assert!(world.state().principals.is_empty());
}

/// However many may wait, their bytes are bounded too.
#[test]
fn messages_that_wait_are_bounded_by_bytes() {
    let mut world = world(&[("f-1", Some(limit(10, 1000)))], None);
    let id = subscribe(&mut world, 1);
    let data = bytes::Bytes::from(vec![b'x'; 24 << 20]);
    let say = |world: &mut World| {
        let message = internal::FrameworkToExecutorMessage {
            framework_id: v1::FrameworkId { value: id.to_string() },
            slave_id: v1::AgentId { value: "a".to_owned() },
            executor_id: v1::ExecutorId { value: "e".to_owned() },
            data: data.clone(),
        };
        errors(&world.say(&driver(1), Inbound::FrameworkToExecutor(message)))
    };
    // The first has its turn at once.
    for _ in 0..3 {
        assert_eq!(say(&mut world), [""; 0]);
    }
    let words = "Message mesos.internal.FrameworkToExecutorMessage dropped: \
                 capacity(67108864B) exceeded";
    assert_eq!(say(&mut world), [words]);
    world.wait(Duration::from_millis(100));
    assert_eq!(say(&mut world), [""; 0]);
}
