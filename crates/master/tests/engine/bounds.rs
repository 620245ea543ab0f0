//! One call of a framework costs the master no more than it can bear.

use std::sync::Arc;
use std::time::Duration;

use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::Stream;
use alcazar_master::engine::message::Outbound;
use wire::v1;
use wire::v1::framework_info::capability::Type::MultiRole;
use wire::v1::scheduler::call;

use crate::world::*;

#[test]
fn a_description_that_is_too_large_is_refused() {
    let mut world = World::new();
    let long = |n: usize| {
        let mut info = framework_info("f", &[]);
        info.labels = Some(v1::Labels {
            labels: vec![v1::Label { key: "k".to_owned(), value: Some("x".repeat(n)) }],
        });
        info
    };
    let many = |n: usize| {
        let mut info = framework_info("f", &[MultiRole]);
        info.roles = (0..n).map(|n| format!("r{n}")).collect();
        info
    };
    let refused = |world: &mut World, info: v1::FrameworkInfo, suppressed: &[&str]| {
        let (subscription, done) = world.try_subscribe(&caller("f"), info, suppressed);
        done.error(subscription)
    };
    let error = refused(&mut world, long(64 * 1024), &[]);
    assert!(error.ends_with("bytes; at most 65536 are allowed"), "{error}");
    assert_eq!(
        refused(&mut world, many(1025), &[]),
        "'FrameworkInfo.roles' has 1025 entries; at most 1024 are allowed"
    );
    assert_eq!(
        refused(&mut world, many(1), &vec!["r0"; 1025]),
        "'suppressed_roles' has 1025 entries; at most 1024 are allowed"
    );
    let mut filters = many(1);
    filters.offer_filters = (0..1025).map(|n| (n.to_string(), Default::default())).collect();
    assert_eq!(
        refused(&mut world, filters, &[]),
        "'FrameworkInfo.offer_filters' has 1025 entries; at most 1024 are allowed"
    );
    assert!(world.state().frameworks.is_empty());
    let (scheduler, _) = world.subscribe("f", many(1024));
    let mut update = scheduler.call(call::Type::UpdateFramework);
    let framework_info =
        v1::FrameworkInfo { labels: long(64 * 1024).labels, ..scheduler.info.clone() };
    update.update_framework = Some(call::UpdateFramework { framework_info, ..Default::default() });
    let stream = Stream::Of(scheduler.subscription);
    let (answer, done) = world.try_call(&scheduler.caller, stream, update);
    assert!(answer.unwrap_err().to_string().contains("at most 65536 are allowed"));
    assert!(done.names().is_empty());
    world.subscribe("g", long(60 * 1024));
}

#[test]
fn all_agents_are_told_of_a_framework_by_one_message() {
    let mut world = World::new();
    for n in 1..=3 {
        world.join(n, "cpus:4");
    }
    let scheduler = world.scheduler("f");
    let (_, done) = world.subscribe("f", scheduler.info.clone());
    let messages: Vec<_> = done
        .0
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { message, .. } if matches!(**message, Outbound::UpdateFramework(_)) => {
                Some(message)
            }
            _ => None,
        })
        .collect();
    assert_eq!(messages.len(), 3);
    assert!(messages.windows(2).all(|pair| Arc::ptr_eq(pair[0], pair[1])));
}

/// More than a stream could hold at once comes in lots, and every answer comes.
#[test]
fn a_reconciliation_of_many_tasks_comes_in_lots() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:5000");
    let scheduler = world.scheduler("f");
    let offers = world.offers(&scheduler);
    let tasks = (0..2500).map(|n| task(&format!("t{n}"), &agent, "cpus:1")).collect();
    world.accept(&scheduler, offers, tasks);
    let stream = scheduler.subscription;
    let pause = Duration::from_millis(20);
    let all = world.call(&scheduler, about_all(&scheduler));
    assert_eq!(all.updates(stream).len(), 1000);
    assert_eq!(world.wait(pause).updates(stream).len(), 1000);
    // What is asked meanwhile comes first, and all are told again.
    let mut named = scheduler.call(call::Type::Reconcile);
    let about = |n: usize| call::reconcile::Task {
        task_id: v1::TaskId { value: format!("x{n}") },
        agent_id: None,
    };
    named.reconcile = Some(call::Reconcile { tasks: (0..1500).map(about).collect() });
    assert!(world.call(&scheduler, named).updates(stream).is_empty());
    world.call(&scheduler, about_all(&scheduler));
    let mut told = Vec::new();
    for lot in [1000, 1000, 1000, 1000, 0] {
        let updates = world.wait(pause).updates(stream);
        assert_eq!(updates.len(), lot);
        told.extend(updates.into_iter().map(|status| status.task_id.value));
    }
    assert!(told[..1500].iter().all(|id| id.starts_with('x')));
    let ids: std::collections::BTreeSet<_> = told.iter().collect();
    assert_eq!(ids.len(), 4000);
    // Who subscribes again has asked nothing yet.
    world.call(&scheduler, about_all(&scheduler));
    let (again, _) = world.subscribe("f", scheduler.info.clone());
    assert!(world.wait(SECOND).updates(again.subscription).is_empty());
}

/// The same of operations, with those questions that agents have to answer.
#[test]
fn a_reconciliation_of_many_operations_comes_in_lots() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:1");
    let scheduler = world.scheduler("f");
    let mut call = scheduler.call(call::Type::ReconcileOperations);
    let about = |n: usize| call::reconcile_operations::Operation {
        operation_id: v1::OperationId { value: format!("x{n}") },
        agent_id: Some(v1::AgentId { value: agent.to_string() }),
        // The last one only the agent knows.
        resource_provider_id: (n == 2499).then(|| v1::ResourceProviderId { value: "p".to_owned() }),
    };
    let operations = (0..2500).map(about).collect();
    call.reconcile_operations = Some(call::ReconcileOperations { operations });
    let told = |done: &Done| {
        let events = done.events(scheduler.subscription).into_iter();
        events.filter_map(|event| event.update_operation_status).count()
    };
    let first = world.call(&scheduler, call.clone());
    assert_eq!((told(&first), first.sent().len()), (1000, 0));
    let pause = Duration::from_millis(20);
    let second = world.wait(pause);
    assert_eq!((told(&second), second.sent().len()), (1000, 0));
    let last = world.wait(pause);
    assert_eq!(told(&last), 499);
    assert!(last.names().contains(&"ReconcileOperations".to_owned()), "{:?}", last.names());
    assert_eq!(told(&world.wait(pause)), 0);
    // Who asks more than can wait is not heard.
    let one = call.reconcile_operations.as_ref().unwrap().operations[0].clone();
    call.reconcile_operations =
        Some(call::ReconcileOperations { operations: vec![one; 1_000_001] });
    assert_eq!(told(&world.call(&scheduler, call)), 0);
}

fn about_all(scheduler: &Scheduler) -> wire::v1::scheduler::Call {
    let mut call = scheduler.call(call::Type::Reconcile);
    call.reconcile = Some(call::Reconcile::default());
    call
}
