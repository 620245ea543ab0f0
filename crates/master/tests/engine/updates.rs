//! Status updates: from the agent to the scheduler, and their acknowledgement back.

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::message::{Inbound, Outbound};
use model::id::AgentId;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::{internal, v1};

use crate::world::*;

fn running() -> (World, AgentId, Scheduler) {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    (world, agent, scheduler)
}

#[test]
fn an_update_reaches_the_scheduler_and_its_acknowledgement_the_agent() {
    let (mut world, agent, scheduler) = running();
    let done = world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 1);
    let status = done.update(scheduler.subscription);
    assert_eq!((status.state(), status.uuid()), (TaskState::TaskRunning, &uuid(1)[..]));
    assert_eq!(status.data.as_deref(), Some(&b"secret"[..]), "for the scheduler");
    let kept = world.state().frameworks[&scheduler.id].tasks.values().next().unwrap().info();
    assert_eq!(kept.statuses.len(), 1);
    assert!(kept.statuses[0].data.is_none(), "not for readers of the state");
    // Sent again, it is forwarded again: the scheduler did not acknowledge it.
    let done = world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 1);
    assert_eq!(done.updates(scheduler.subscription).len(), 1);
    let done = world.acknowledge(&scheduler, &agent, "t", 1);
    let Outbound::StatusUpdateAcknowledgement(ack) = done.sent()[0].2.clone() else { panic!() };
    assert_eq!((ack.uuid, ack.task_id.value.as_str()), (uuid(1), "t"));
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskRunning));
    assert_eq!(world.count(Counter::ValidStatusUpdates), 2);
    assert_eq!(world.count(Counter::ValidStatusUpdateAcknowledgements), 1);
}

#[test]
fn an_ended_task_is_kept_until_its_ending_is_acknowledged_but_its_resources_are_free_at_once() {
    let (mut world, agent, scheduler) = running();
    let done = world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFinished, 1);
    assert_eq!(done.names(), ["UPDATE", "OFFERS"]);
    assert!(world.state().agents[&agent].used.is_empty());
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskFinished));
    assert_eq!(world.count(Counter::TasksFinished), 1);
    world.acknowledge(&scheduler, &agent, "t", 9);
    assert!(world.task_state(&scheduler, "t").is_some(), "that was another update");
    world.acknowledge(&scheduler, &agent, "t", 1);
    assert_eq!(world.task_state(&scheduler, "t"), None);
    let state = world.state();
    let completed = &state.frameworks[&scheduler.id].completed_tasks;
    assert_eq!(completed.iter().next().unwrap().state(), TaskState::TaskFinished);
    // The acknowledgement got lost: the agent sends the update again, and so it goes on.
    let done = world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFinished, 1);
    assert_eq!(done.names(), ["UPDATE"]);
    assert_eq!(world.acknowledge(&scheduler, &agent, "t", 1).sent().len(), 1);
    assert_eq!(world.count(Counter::TasksFinished), 1);
}

#[test]
fn the_latest_state_frees_resources_while_the_scheduler_reads_one_update_after_the_other() {
    let (mut world, agent, scheduler) = running();
    let states = (TaskState::TaskRunning, TaskState::TaskFinished);
    let message = update_message(&host(1), &scheduler, &agent, "t", states, 1);
    let done = world.say(&host(1), Inbound::StatusUpdate(message));
    assert_eq!(done.update(scheduler.subscription).state(), TaskState::TaskRunning);
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskFinished));
    assert!(world.state().agents[&agent].used.is_empty());
    world.acknowledge(&scheduler, &agent, "t", 1);
    assert!(world.task_state(&scheduler, "t").is_some(), "RUNNING is no ending");
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFinished, 2);
    world.acknowledge(&scheduler, &agent, "t", 2);
    assert_eq!(world.task_state(&scheduler, "t"), None);
}

#[test]
fn a_task_that_ended_does_not_live_again() {
    let (mut world, agent, scheduler) = running();
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFailed, 1);
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 2);
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskFailed));
    assert!(world.state().agents[&agent].used.is_empty());
}

#[test]
fn the_ending_of_a_task_that_was_never_forwarded_is_told_when_its_agent_is_lost() {
    let (mut world, agent, scheduler) = running();
    let states = (TaskState::TaskRunning, TaskState::TaskFinished);
    let message = update_message(&host(1), &scheduler, &agent, "t", states, 1);
    world.say(&host(1), Inbound::StatusUpdate(message));
    let done = world.wait(75 * SECOND);
    assert_eq!(done.update(scheduler.subscription).state(), TaskState::TaskFinished);
    // One that was forwarded is not told twice.
    let (mut world, agent, scheduler) = running();
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFinished, 1);
    assert!(world.wait(75 * SECOND).updates(scheduler.subscription).is_empty());
    assert_eq!(world.task_state(&scheduler, "t"), None);
}

#[test]
fn updates_for_a_disconnected_scheduler_wait_at_the_agent() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let info = v1::FrameworkInfo { failover_timeout: Some(60.0), ..framework_info("f", &[]) };
    let (scheduler, _) = world.subscribe("f", info);
    world.launch(&scheduler, &agent, "t");
    let gone =
        alcazar_master::engine::event::Event::Unsubscribed { subscription: scheduler.subscription };
    world.handle(gone);
    let done = world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 1);
    assert!(done.names().is_empty());
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskRunning));
}

#[test]
fn updates_without_what_is_needed_to_acknowledge_them_are_refused() {
    type Change = fn(&mut internal::StatusUpdateMessage);
    let cases: [(&str, Change); 13] = [
        ("no pid", |m| m.pid = None),
        ("an empty pid", |m| m.pid = Some(String::new())),
        ("a pid that is none", |m| m.pid = Some("slave(1)@nowhere".into())),
        ("another's pid", |m| m.pid = Some("slave(1)@10.0.0.2:5051".into())),
        ("no UUID", |m| m.update.uuid = None),
        ("a status without UUID", |m| m.update.status.uuid = None),
        ("a short UUID", |m| {
            m.update.uuid = Some(vec![1; 15].into());
            m.update.status.uuid = m.update.uuid.clone();
        }),
        ("two UUIDs", |m| m.update.status.uuid = Some(vec![2; 16].into())),
        ("no agent", |m| m.update.slave_id = None),
        ("another agent in the status", |m| {
            m.update.status.agent_id = Some(v1::AgentId { value: "other".into() });
        }),
        ("a state that only a master infers", |m| {
            m.update.status.set_state(TaskState::TaskUnreachable);
        }),
        ("a latest state that only a master infers", |m| {
            m.update.set_latest_state(TaskState::TaskUnknown);
        }),
        ("a framework that does not exist", |m| m.update.framework_id.value = "other".into()),
    ];
    let (mut world, agent, scheduler) = running();
    let count = cases.len() as u64;
    for (what, change) in cases {
        let states = (TaskState::TaskFinished, TaskState::TaskFinished);
        let mut message = update_message(&host(1), &scheduler, &agent, "t", states, 1);
        change(&mut message);
        let done = world.say(&host(1), Inbound::StatusUpdate(message));
        assert!(done.names().is_empty(), "{what}: {:?}", done.names());
        assert!(!done.logs().is_empty(), "{what}");
        assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskStaging), "{what}");
    }
    assert_eq!(world.count(Counter::InvalidStatusUpdates), count);
    assert_eq!(world.count(Counter::DroppedMessages), count);
}

#[test]
fn an_acknowledgement_with_a_uuid_that_is_none_never_reaches_an_agent() {
    let (mut world, agent, scheduler) = running();
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 1);
    for length in [0, 1, 15, 17, 64] {
        let mut call = scheduler.call(call::Type::Acknowledge);
        call.acknowledge = Some(call::Acknowledge {
            agent_id: v1::AgentId { value: agent.to_string() },
            task_id: v1::TaskId { value: "t".into() },
            uuid: vec![1; length].into(),
        });
        let stream = alcazar_master::engine::event::Stream::Of(scheduler.subscription);
        let (answer, done) = world.try_call(&scheduler.caller, stream, call);
        assert_eq!(answer.unwrap_err().status(), 400);
        assert!(done.names().is_empty());
    }
}

#[test]
fn acknowledgements_of_what_was_not_forwarded_are_dropped() {
    let (mut world, agent, scheduler) = running();
    assert!(world.acknowledge(&scheduler, &agent, "t", 1).names().is_empty(), "not forwarded yet");
    let other = AgentId::new("other").unwrap();
    assert!(world.acknowledge(&scheduler, &other, "t", 1).names().is_empty());
    let elsewhere = world.join(2, "cpus:4");
    assert!(
        world.acknowledge(&scheduler, &elsewhere, "t", 1).names().iter().all(|n| n == "OFFERS")
    );
    assert_eq!(world.count(Counter::InvalidStatusUpdateAcknowledgements), 3);
}

#[test]
fn an_executor_that_changes_its_mind_without_end_fills_no_memory() {
    let (mut world, agent, scheduler) = running();
    for n in 0..200u8 {
        let state = if n % 2 == 0 { TaskState::TaskRunning } else { TaskState::TaskStarting };
        world.update(&host(1), &scheduler, &agent, "t", state, n);
    }
    let state = world.state();
    let task = state.frameworks[&scheduler.id].tasks.values().next().unwrap();
    assert!(task.info().statuses.len() <= 64);
}
