//! What operators hear.

use alcazar_master::engine::announcement::Announcement;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::message::Inbound;
use wire::internal;
use wire::v1::TaskState;
use wire::v1::task_status::Reason;

use crate::world::{Done, World, host, register_message, update_message};

/// The announcements in short.
fn heard(done: &Done) -> Vec<String> {
    let announced = done.0.iter().filter_map(|effect| match effect {
        Effect::Announce(announcement) => Some(announcement),
        _ => None,
    });
    announced
        .map(|announcement| match announcement {
            Announcement::AgentAdded(agent) => format!("agent added {}", agent.info.hostname),
            Announcement::AgentRemoved(_) => "agent removed".to_owned(),
            Announcement::FrameworkAdded(f) => format!("framework added {}", f.info.name),
            Announcement::FrameworkUpdated(f) => format!("framework updated {}", f.info.name),
            Announcement::FrameworkRemoved(info) => format!("framework removed {}", info.name),
            Announcement::TaskAdded { task, .. } => format!("task added {}", task.id),
            Announcement::TaskUpdated { task, status, .. } => {
                let (status, now) = (status.state().as_str_name(), task.state().as_str_name());
                format!("task updated {} {status} {now}", task.id)
            }
        })
        .collect()
}

#[test]
fn operators_hear_of_each_change_once() {
    let mut world = World::new();
    let message = Inbound::RegisterAgent(register_message(1, "cpus:4;mem:4096"));
    let done = world.say(&host(1), message);
    assert_eq!(heard(&done).len(), 1, "{:?}", heard(&done));
    assert!(heard(&done)[0].starts_with("agent added "));
    let agent = world.join(2, "cpus:4;mem:4096");
    let (scheduler, done) = world.subscribe("f", crate::world::framework_info("f", &[]));
    assert_eq!(heard(&done), ["framework added f"]);

    let done = world.launch(&scheduler, &agent, "t");
    assert_eq!(heard(&done), ["task added t"]);
    let update =
        |world: &mut World, n, state| world.update(&host(2), &scheduler, &agent, "t", state, n);
    let done = update(&mut world, 1, TaskState::TaskRunning);
    assert_eq!(heard(&done), ["task updated t TASK_RUNNING TASK_RUNNING"]);
    // The same again is no news.
    assert_eq!(heard(&update(&mut world, 1, TaskState::TaskRunning)), Vec::<String>::new());
    // But the result of a check is.
    let mut checked = update_message(
        &host(2),
        &scheduler,
        &agent,
        "t",
        (TaskState::TaskRunning, TaskState::TaskRunning),
        2,
    );
    checked.update.status.set_reason(Reason::TaskHealthCheckStatusUpdated);
    let done = world.say(&host(2), Inbound::StatusUpdate(checked));
    assert_eq!(heard(&done), ["task updated t TASK_RUNNING TASK_RUNNING"]);
    // What is told is the task as it is kept: nothing of it is changed after that.
    let told = |effect: &Effect| match effect {
        Effect::Announce(Announcement::TaskUpdated { task, .. }) => Some(task.clone()),
        _ => None,
    };
    let task = done.0.iter().find_map(told).unwrap();
    let kept = &world.state().frameworks[&scheduler.id].tasks;
    assert!(std::sync::Arc::ptr_eq(&task, kept.get(&task.id).unwrap()));
    assert!(task.info().status_update_uuid.is_some());
    let done = update(&mut world, 3, TaskState::TaskFinished);
    assert_eq!(heard(&done), ["task updated t TASK_FINISHED TASK_FINISHED"]);
    assert_eq!(heard(&world.acknowledge(&scheduler, &agent, "t", 3)), Vec::<String>::new());

    world.launch(&scheduler, &agent, "u");
    let slave_id = wire::v1::AgentId { value: agent.to_string() };
    let leaves = Inbound::UnregisterAgent(internal::UnregisterSlaveMessage { slave_id });
    let done = world.say(&host(2), leaves);
    assert_eq!(heard(&done), ["task updated u TASK_LOST TASK_LOST", "agent removed"]);
    let done = world.teardown(&scheduler.id);
    assert_eq!(heard(&done), ["framework removed f"]);
}
