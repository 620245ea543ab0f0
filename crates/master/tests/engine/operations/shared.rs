//! Shared volumes: several tasks use one, and it is destroyed when none does.

use wire::v1::scheduler::call;
use wire::v1::{OperationState, TaskState};

use super::*;

/// A world with a shared volume `s` of framework `f`, and its disk space all used up by it.
fn with_volume() -> (World, AgentId, Scheduler, v1::Resource) {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;disk:10");
    let scheduler = web(&mut world, "f");
    let volume = shared_volume("s", 10, "f");
    let done = world.operate_on(
        &scheduler,
        &agent,
        vec![reserve(&reserved("disk:10", "f")), create(std::slice::from_ref(&volume))],
    );
    assert_eq!(applied(&done).len(), 2, "{done:?}");
    for (n, applied) in applied(&done).iter().enumerate() {
        world.finish(1, &agent, applied, n as u8);
    }
    (world, agent, scheduler, volume)
}

fn with_volume_and_cpu(name: &str, agent: &AgentId, volume: &v1::Resource) -> v1::TaskInfo {
    let mut task = task(name, agent, "cpus:1");
    task.resources.push(volume.clone());
    task
}

#[test]
fn tasks_of_one_call_use_one_copy_together() {
    let (mut world, agent, scheduler, volume) = with_volume();
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let tasks = ["a", "b", "c"].map(|name| with_volume_and_cpu(name, &agent, &volume));
    let done = world.operate_on(&scheduler, &agent, vec![launch(tasks.to_vec())]);
    assert_eq!(&done.names()[..3], ["RunTask", "RunTask", "RunTask"], "{done:?}");
    let state = world.state();
    let used = &state.agents[&agent].used[&scheduler.id];
    let copies: u32 = used.shared().iter().map(|copy| copy.copies()).sum();
    assert_eq!(copies, 3);
    assert_eq!(state.agents[&agent].total.shared().iter().map(|v| v.copies()).sum::<u32>(), 1);

    // In use it is not destroyed.
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let destroy = named("d", destroy(std::slice::from_ref(&volume)));
    let done = world.operate_on(&scheduler, &agent, vec![destroy]);
    let status = statuses(&done, &scheduler).remove(0);
    assert_eq!(status.state(), OperationState::OperationError);
    assert!(status.message().starts_with("Persistent volumes in use"), "{}", status.message());

    for (n, name) in ["a", "b", "c"].iter().enumerate() {
        let n = n as u8 + 1;
        world.update(&host(1), &scheduler, &agent, name, TaskState::TaskFinished, n);
        world.acknowledge(&scheduler, &agent, name, n);
    }
    assert!(world.state().agents[&agent].used.is_empty());
}

#[test]
fn a_volume_that_goes_is_taken_out_of_the_offers_of_others() {
    let (mut world, agent, scheduler, volume) = with_volume();
    let other = web(&mut world, "g");
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let offers = world.offers_of(&scheduler, &agent);
    assert!(!offers.is_empty());
    let holds = |world: &World| {
        world
            .state()
            .offers
            .values()
            .any(|offer| offer.framework_id == other.id && !offer.resources.shared().is_empty())
    };
    let held = holds(&world);
    let done = world.operate_on(&scheduler, &agent, vec![destroy(std::slice::from_ref(&volume))]);
    assert_eq!(applied(&done).len(), 1, "{done:?}");
    assert!(!holds(&world));
    let rescinded = done.events(other.subscription).iter().any(|event| event.rescind.is_some());
    assert_eq!(rescinded, held, "whoever was offered it hears that it is gone");
    assert!(world.total(&agent).shared().is_empty());
}

#[test]
fn a_framework_that_does_not_share_cannot_create_shared_volumes() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:1;disk:10");
    let mut info = framework_info("f", &[Capability::MultiRole, Capability::ReservationRefinement]);
    info.roles = vec!["web".to_owned()];
    let (scheduler, _) = world.subscribe("f", info);
    let volume = shared_volume("s", 10, "f");
    let create = named("c", create(&[volume]));
    let reserve = reserve(&reserved("disk:10", "f"));
    let done = world.operate_on(&scheduler, &agent, vec![reserve, create]);
    let status = statuses(&done, &scheduler).remove(0);
    assert!(status.message().contains("with no SHARED_RESOURCES capability"), "{status:?}");
}
