//! LAUNCH_GROUP: all tasks of a group, or none of them.

use alcazar_master::engine::message::Outbound;
use wire::v1::TaskState;
use wire::v1::task_status::Reason;

use super::*;

pub(crate) fn executor(scheduler: &Scheduler, needs: &str) -> v1::ExecutorInfo {
    let mut executor = v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".to_owned() },
        framework_id: Some(scheduler.wire_id()),
        resources: wire(&parse(needs, &Role::any()).unwrap()),
        ..v1::ExecutorInfo::default()
    };
    executor.set_type(v1::executor_info::Type::Default);
    executor
}

pub(crate) fn group(executor: v1::ExecutorInfo, tasks: Vec<v1::TaskInfo>) -> v1::offer::Operation {
    let task_group = v1::TaskGroupInfo { tasks };
    v1::offer::Operation {
        launch_group: Some(operation::LaunchGroup { executor, task_group }),
        ..of(Type::LaunchGroup)
    }
}

fn sent(done: &Done) -> internal::RunTaskGroupMessage {
    let of = |message: &Outbound| match message {
        Outbound::RunTaskGroup(message) => Some(message.clone()),
        _ => None,
    };
    done.sent().into_iter().find_map(|(_, _, message)| of(message)).expect("a group")
}

#[test]
fn a_group_is_launched_with_its_executor_which_is_paid_for_once() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1000;disk:1000");
    let scheduler = web(&mut world, "f");
    let own = executor(&scheduler, "cpus:0.1;mem:32;disk:32");
    let two = vec![task("a", &agent, "cpus:1"), task("b", &agent, "cpus:1;mem:100")];
    let done = world.operate_on(&scheduler, &agent, vec![group(own.clone(), two)]);
    assert_eq!(done.names(), ["RunTaskGroup"]);
    let message = sent(&done);
    assert_eq!(message.launch_executor, Some(true));
    assert_eq!(message.framework.id, Some(scheduler.wire_id()));
    assert_eq!(message.resource_version_uuids[0].uuid.value, uuid(1));
    assert_eq!(message.task_group.tasks.len(), 2);
    for task in &message.task_group.tasks {
        assert_eq!(task.executor.as_ref(), Some(&message.executor), "each carries a copy");
        assert!(task.resources.iter().all(|r| r.allocation_info.is_some()));
    }
    for name in ["a", "b"] {
        assert_eq!(world.task_state(&scheduler, name), Some(TaskState::TaskStaging));
    }
    let used = world.state().agents[&agent].used_by_all();
    assert_eq!(used.unallocated(), parse("cpus:2.1;mem:132;disk:32", &Role::any()).unwrap());

    let call = scheduler.call(wire::v1::scheduler::call::Type::Revive);
    world.call(&scheduler, call);
    // Resources in another order are the same executor.
    let mut turned = own;
    turned.resources.reverse();
    let done = world.operate_on(
        &scheduler,
        &agent,
        vec![group(turned, vec![task("c", &agent, "cpus:1")])],
    );
    assert_eq!(sent(&done).launch_executor, Some(false));
    let used = world.state().agents[&agent].used_by_all();
    assert_eq!(used.unallocated(), parse("cpus:3.1;mem:132;disk:32", &Role::any()).unwrap());
}

#[test]
fn one_bad_task_spoils_the_group_and_every_task_hears_why() {
    type Change = fn(&mut v1::ExecutorInfo, &mut Vec<v1::TaskInfo>);
    fn container(kind: v1::container_info::Type) -> v1::ContainerInfo {
        let mut container = v1::ContainerInfo::default();
        container.set_type(kind);
        container
    }
    fn linux(share_cgroups: bool) -> v1::ContainerInfo {
        let share_cgroups = Some(share_cgroups);
        let linux_info = Some(v1::LinuxInfo { share_cgroups, ..Default::default() });
        v1::ContainerInfo { linux_info, ..container(v1::container_info::Type::Mesos) }
    }
    let cases: Vec<(Change, &str)> = vec![
        (
            |_, t| t[1].task_id.value = "x/y".into(),
            "Task 'x/y' is invalid: 'x/y' contains invalid characters",
        ),
        (|_, t| t[1].task_id.value = "a".into(), "Task 'a' is invalid: Task has duplicate ID: a"),
        (|_, t| t[1].resources.clear(), "Task 'b' is invalid: Task uses no resources"),
        (
            |_, t| t[1].executor = Some(Default::default()),
            "The `ExecutorInfo` of task 'b' is different from executor 'e'",
        ),
        (
            |_, t| t[1].container = Some(container(v1::container_info::Type::Docker)),
            "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo",
        ),
        (
            |_, t| {
                let docker = Some(v1::container_info::DockerInfo::default());
                t[1].container = Some(v1::ContainerInfo {
                    docker,
                    ..container(v1::container_info::Type::Docker)
                });
            },
            "Docker ContainerInfo is not supported on the task",
        ),
        (
            |_, t| {
                t[1].limits.insert("cpus".into(), v1::value::Scalar { value: 2.0 });
            },
            "Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set to 'false'.",
        ),
        (
            |_, t| t[1].container = Some(linux(false)),
            "If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a single executor",
        ),
        (
            |e, _| e.container = Some(linux(true)),
            "The 'share_cgroups' field cannot be set to 'true' on executor containers",
        ),
        (|e, _| e.r#type = None, "'ExecutorInfo.type' must be set"),
        (|e, _| e.r#type = Some(0), "Unknown executor type"),
        (|e, _| e.framework_id = None, "'ExecutorInfo.framework_id' must be set"),
        (|e, _| e.executor_id.value.clear(), "ID must not be empty"),
        (
            |e, _| e.command = Some(Default::default()),
            "'ExecutorInfo.command' must not be set for 'DEFAULT' executor",
        ),
        (
            |e, _| e.container = Some(container(v1::container_info::Type::Docker)),
            "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor",
        ),
        (
            |e, _| e.shutdown_grace_period = Some(v1::DurationInfo { nanoseconds: -1 }),
            "ExecutorInfo's 'shutdown_grace_period' must be non-negative",
        ),
        (
            |e, _| e.resources = wire(&parse("cpus:0.009;mem:32;disk:1", &Role::any()).unwrap()),
            "Executor 'e' uses less CPUs (0.009) than the minimum required (0.01)",
        ),
        (
            |e, _| e.resources = wire(&parse("cpus:1;disk:1", &Role::any()).unwrap()),
            "Executor 'e' uses less memory (None) than the minimum required (32MB)",
        ),
        (
            |e, _| e.resources = wire(&parse("cpus:1;mem:32", &Role::any()).unwrap()),
            "Executor 'e' uses no disk",
        ),
        (
            |e, _| e.resources = wire(&parse("cpus:3;mem:32;disk:1", &Role::any()).unwrap()),
            "required by task group and its executor are more than available",
        ),
        (
            |_, t| {
                for task in t {
                    task.resources = wire(&parse("ports:[5-9]", &Role::any()).unwrap());
                }
            },
            "There are overlapping resources in the task group's task resources",
        ),
    ];
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1000;disk:1000;ports:[1-10]");
    let scheduler = web(&mut world, "f");
    for (change, text) in cases {
        let call = scheduler.call(wire::v1::scheduler::call::Type::Revive);
        world.call(&scheduler, call);
        let mut executor = executor(&scheduler, "cpus:0.1;mem:32;disk:32");
        let mut tasks = vec![task("a", &agent, "cpus:1"), task("b", &agent, "cpus:1")];
        change(&mut executor, &mut tasks);
        let done = world.operate_on(&scheduler, &agent, vec![group(executor, tasks)]);
        assert_eq!(done.names(), ["UPDATE", "UPDATE"], "{text}");
        for status in done.updates(scheduler.subscription) {
            assert_eq!(status.state(), TaskState::TaskError, "{text}");
            assert_eq!(status.reason(), Reason::TaskGroupInvalid, "{text}");
            assert!(status.message().contains(text), "{} is not {text}", status.message());
        }
        assert!(world.state().frameworks[&scheduler.id].tasks.is_empty(), "{text}");
        assert!(world.state().agents[&agent].used.is_empty(), "{text}");
    }
}
