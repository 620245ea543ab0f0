//! Tasks are launched, refused, killed, asked about.

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::message::{Inbound, Outbound};
use model::id::AgentId;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::v1::task_status::{Reason, Source};
use wire::{internal, v1};

use crate::world::*;

fn run_task(done: &Done) -> internal::RunTaskMessage {
    let runs: Vec<_> = done
        .sent()
        .into_iter()
        .filter_map(|(_, _, message)| match message {
            Outbound::RunTask(message) => Some(message.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(runs.len(), 1, "{:?}", done.names());
    runs[0].clone()
}

#[test]
fn an_accepted_task_goes_to_its_agent_and_the_rest_comes_back_after_the_refusal() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1024");
    let scheduler = world.scheduler("f");
    let done =
        world.accept(&scheduler, world.offers(&scheduler), vec![task("t", &agent, "cpus:1")]);
    assert_eq!(done.names(), ["RunTask"]);
    let run = run_task(&done);
    assert_eq!(run.pid(), "@0.0.0.0:0");
    assert_eq!(run.framework.id, Some(scheduler.wire_id()));
    assert_eq!(run.framework.principal(), "f");
    assert!(run.launch_executor());
    assert_eq!(run.resource_version_uuids.len(), 1);
    assert_eq!(run.resource_version_uuids[0].uuid.value, uuid(1));
    let resource = &run.task.resources[0];
    assert_eq!(resource.allocation_info.as_ref().unwrap().role(), "*");
    let state = world.state();
    assert_eq!(state.agents[&agent].used_by_all().unallocated().to_string(), "cpus:1");
    assert!(state.agents[&agent].offered.is_empty());
    let kept = &state.frameworks[&scheduler.id].tasks.values().next().unwrap().info();
    assert_eq!((kept.state(), kept.executor_id.as_ref()), (TaskState::TaskStaging, None));
    assert_eq!(world.offers(&scheduler).len(), 0);
    world.wait_with(60 * MINUTE, &[&host(1)]);
    let offer = world.state().offers.values().next().unwrap().resources.unallocated();
    assert_eq!(offer.to_string(), "cpus:3; mem:1024");
}

#[test]
fn tasks_that_cannot_run_end_in_task_error_with_the_reason_and_cost_nothing() {
    type Change = fn(&mut v1::TaskInfo);
    let cases: Vec<(Change, &str)> = vec![
        (|t| t.task_id.value = "x/y".into(), "'x/y' contains invalid characters"),
        (|t| t.task_id.value = "running".into(), "Task has duplicate ID: running"),
        (
            |t| t.agent_id.value = "other".into(),
            "Task uses invalid agent other while agent m-S0 is expected",
        ),
        (
            |t| {
                let grace_period = Some(v1::DurationInfo { nanoseconds: -1 });
                t.kill_policy = Some(v1::KillPolicy { grace_period });
            },
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            |t| t.max_completion_time = Some(v1::DurationInfo { nanoseconds: -1 }),
            "Task's `max_completion_time` must be non-negative",
        ),
        (|t| t.check = Some(Default::default()), "Task uses invalid check"),
        (|t| t.health_check = Some(Default::default()), "Task uses invalid health check"),
        (|t| t.resources.clear(), "Task uses no resources"),
        (|t| set_cpus(t, f64::NAN), "Invalid scalar resource: value is not finite"),
        (|t| set_cpus(t, f64::INFINITY), "Invalid scalar resource: value is not finite"),
        (|t| set_cpus(t, -1.0), "Invalid scalar resource: value < 0"),
        (|t| set_cpus(t, 1e300), "Invalid scalar resource: value > "),
        (|t| set_cpus(t, 0.0), "Task uses no resources"),
        (
            |t| {
                let role = Some("web".to_owned());
                t.resources[0].allocation_info = Some(v1::resource::AllocationInfo { role });
            },
            "required by task and its executor is more than available",
        ),
        (
            |t| {
                let mut variable =
                    v1::environment::Variable { name: "A".into(), ..Default::default() };
                variable.set_type(v1::environment::variable::Type::Secret);
                let environment = Some(v1::Environment { variables: vec![variable] });
                t.command = Some(v1::CommandInfo { environment, ..Default::default() });
            },
            "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'SECRET' must have \
             a secret set",
        ),
        (
            |t| {
                let mut container = v1::ContainerInfo::default();
                container.set_type(v1::container_info::Type::Docker);
                t.container = Some(container);
            },
            "Task's `ContainerInfo` is invalid: ",
        ),
        (
            |t| {
                t.limits.insert("disk".into(), v1::value::Scalar { value: 1.0 });
            },
            "Only cpus and mem may be included in a task's resource limits",
        ),
        (
            |t| {
                t.limits.insert("cpus".into(), v1::value::Scalar { value: 0.5 });
            },
            "The cpu limit must be greater than or equal to the cpu request",
        ),
        (
            |t| t.command = None,
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            |t| t.executor = Some(custom_executor("e")),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            |t| {
                t.command = None;
                let framework_id = Some(v1::FrameworkId { value: "other".into() });
                t.executor = Some(v1::ExecutorInfo { framework_id, ..custom_executor("e") });
            },
            "ExecutorInfo has an invalid FrameworkID (Actual: other vs Expected: m-0000)",
        ),
        (
            |t| {
                t.command = None;
                t.executor = Some(v1::ExecutorInfo { command: None, ..custom_executor("e") });
            },
            "'ExecutorInfo.command' must be set",
        ),
        (
            |t| set_cpus(t, 3.001),
            "Total resources cpus(allocated: *):3.001 required by task and its executor is more \
             than available cpus(allocated: *):3",
        ),
        (
            |t| {
                t.command = None;
                let resources = resources("cpus:2.5");
                t.executor = Some(v1::ExecutorInfo { resources, ..custom_executor("e") });
            },
            "Total resources cpus(allocated: *):3.5 required by task and its executor",
        ),
    ];
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "running");
    let count = cases.len() as u64;
    for (change, text) in cases {
        world.call(&scheduler, scheduler.call(call::Type::Revive));
        let mut info = task("t", &agent, "cpus:1");
        change(&mut info);
        let done = world.accept(&scheduler, world.offers(&scheduler), vec![info.clone()]);
        assert_eq!(done.names(), ["UPDATE"], "{text}");
        let status = done.update(scheduler.subscription);
        assert_eq!(status.task_id, info.task_id);
        assert_eq!((status.state(), status.reason()), (TaskState::TaskError, Reason::TaskInvalid));
        assert_eq!((status.source(), status.uuid.as_ref()), (Source::Master, None));
        assert!(status.message().contains(text), "{} is not {text}", status.message());
    }
    assert_eq!(world.count(Counter::TasksError), count);
    assert_eq!(world.state().agents[&agent].tasks.size(), 1);
    let endings: Vec<_> = world.state().counters.endings().collect();
    assert_eq!(endings.len(), 1);
    assert_eq!((endings[0].0.state, endings[0].1), (TaskState::TaskError, count));
}

fn set_cpus(task: &mut v1::TaskInfo, value: f64) {
    task.resources[0].scalar = Some(v1::value::Scalar { value });
}

fn custom_executor(name: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: name.to_owned() },
        command: Some(v1::CommandInfo { value: Some("run".to_owned()), ..Default::default() }),
        resources: resources("cpus:0.1;mem:32"),
        ..Default::default()
    }
}

#[test]
fn one_bad_task_does_not_spoil_the_others() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let tasks =
        ["cpus:3", "cpus:2", "cpus:1"].map(|needs| task(&needs[5..], &agent, needs)).to_vec();
    let done = world.accept(&scheduler, world.offers(&scheduler), tasks);
    assert_eq!(done.names(), ["RunTask", "UPDATE", "RunTask"]);
    assert_eq!(done.update(scheduler.subscription).task_id.value, "2");
}

#[test]
fn tasks_on_offers_that_are_not_valid_are_dropped_or_lost() {
    for aware in [true, false] {
        let mut world = World::new();
        let agent = world.join(1, "cpus:4");
        let other_agent = world.join(2, "cpus:4");
        let scheduler = if aware { world.aware_scheduler("f") } else { world.scheduler("f") };
        let thief = world.scheduler("g");
        world.call(&thief, thief.call(call::Type::Suppress));
        let mine = world.offers_of(&scheduler, &agent);
        let both = world.offers(&scheduler);
        let stale = vec![v1::OfferId { value: "m-O99".into() }];
        let twice = vec![mine[0].clone(), mine[0].clone()];
        for (who, offers, text) in [
            (&thief, mine.clone(), "Offer m-O0 is no longer valid"),
            (&scheduler, stale, "Offer m-O99 is no longer valid"),
            (&scheduler, Vec::new(), "No offers specified"),
        ] {
            let done = world.accept(who, offers, vec![task("t", &agent, "cpus:1")]);
            let status = done.update(who.subscription);
            let lost = if aware && who.id == scheduler.id {
                TaskState::TaskDropped
            } else {
                TaskState::TaskLost
            };
            assert_eq!((status.state(), status.reason()), (lost, Reason::InvalidOffers));
            assert_eq!(status.message(), format!("Task launched with invalid offers: {text}"));
            assert_eq!(world.offers(&scheduler).len(), 2, "the offers still stand");
        }
        let done = world.accept(&scheduler, twice, vec![task("t", &agent, "cpus:1")]);
        let status = done.update(scheduler.subscription);
        assert!(status.message().contains("Duplicate offer"), "{}", status.message());
        let mixed =
            [world.offers_of(&scheduler, &agent), world.offers_of(&scheduler, &other_agent)];
        let done = world.accept(&scheduler, mixed.concat(), vec![task("t", &agent, "cpus:1")]);
        let status = done.update(scheduler.subscription);
        assert!(status.message().contains("one single agent"), "{}", status.message());
        assert_ne!(world.offers(&scheduler), both, "refused offers are void, and made anew");
    }
}

#[test]
fn an_executor_is_launched_once_and_its_resources_are_taken_once() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1024");
    let scheduler = world.scheduler("f");
    let with_executor = |name: &str| v1::TaskInfo {
        command: None,
        executor: Some(custom_executor("e")),
        ..task(name, &agent, "cpus:1")
    };
    let done = world.accept(&scheduler, world.offers(&scheduler), vec![with_executor("a")]);
    let run = run_task(&done);
    assert!(run.launch_executor());
    let executor = run.task.executor.unwrap();
    assert_eq!(executor.framework_id, Some(scheduler.wire_id()));
    // As it was given: agents take it for a custom one.
    assert_eq!(executor.r#type, None);
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let done = world.accept(&scheduler, world.offers(&scheduler), vec![with_executor("b")]);
    assert!(!run_task(&done).launch_executor());
    let used = world.state().agents[&agent].used_by_all().unallocated();
    assert_eq!(used.scalar("cpus").to_string(), "2.1");
    assert_eq!(used.scalar("mem").to_string(), "32");
    // Another description of a running executor is a mistake.
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let mut other = with_executor("c");
    other.executor.as_mut().unwrap().name = Some("other".into());
    let done = world.accept(&scheduler, world.offers(&scheduler), vec![other]);
    assert!(done.update(scheduler.subscription).message().contains("not compatible"));
    // When it ends, what it used is free and its scheduler hears of it.
    let message = internal::ExitedExecutorMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        framework_id: scheduler.wire_id(),
        executor_id: v1::ExecutorId { value: "e".into() },
        status: 9,
    };
    let done = world.say(&host(1), Inbound::ExitedExecutor(message.clone()));
    let failure = done.events(scheduler.subscription)[0].failure.clone().unwrap();
    assert_eq!((failure.status, failure.executor_id.unwrap().value), (Some(9), "e".to_owned()));
    let used = world.state().agents[&agent].used_by_all().unallocated();
    assert_eq!(used.to_string(), "cpus:2");
    world.say(&host(1), Inbound::ExitedExecutor(message)).is_refused();
}

#[test]
fn a_kill_goes_to_the_agent_and_again_when_the_agent_comes_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let mut kill = scheduler.call(call::Type::Kill);
    let grace_period = Some(v1::DurationInfo { nanoseconds: 7 });
    kill.kill = Some(call::Kill {
        task_id: v1::TaskId { value: "t".into() },
        agent_id: None,
        kill_policy: Some(v1::KillPolicy { grace_period }),
    });
    let grace = |done: &Done| match done.sent().last().unwrap().2 {
        Outbound::KillTask(message) => message.kill_policy.unwrap().grace_period,
        other => panic!("{other:?}"),
    };
    assert_eq!(grace(&world.call(&scheduler, kill.clone())), grace_period);
    let mut elsewhere = kill.clone();
    elsewhere.kill.as_mut().unwrap().agent_id = Some(v1::AgentId { value: "other".into() });
    assert!(world.call(&scheduler, elsewhere).names().is_empty());
    world.exited(&host(1));
    assert!(world.call(&scheduler, kill).names().is_empty(), "nobody to send it to");
    let message = world.reregister_message(1, &agent);
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(grace(&done), grace_period);
}

#[test]
fn a_kill_of_an_unknown_task_is_answered_by_what_is_known() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let mut kill = scheduler.call(call::Type::Kill);
    kill.kill =
        Some(call::Kill { task_id: v1::TaskId { value: "t".into() }, ..Default::default() });
    let status = world.call(&scheduler, kill).update(scheduler.subscription);
    assert_eq!((status.state(), status.reason()), (TaskState::TaskLost, Reason::Reconciliation));
}

#[test]
fn messages_travel_between_scheduler_and_executor() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let agent_id = v1::AgentId { value: agent.to_string() };
    let executor_id = v1::ExecutorId { value: "e".into() };
    let mut call = scheduler.call(call::Type::Message);
    call.message = Some(call::Message {
        agent_id: agent_id.clone(),
        executor_id: executor_id.clone(),
        data: b"down".to_vec().into(),
    });
    let done = world.call(&scheduler, call.clone());
    let Outbound::FrameworkToExecutor(message) = done.sent()[0].2.clone() else { panic!() };
    assert_eq!((message.framework_id, &message.data[..]), (scheduler.wire_id(), &b"down"[..]));
    let up = internal::ExecutorToFrameworkMessage {
        slave_id: agent_id,
        framework_id: scheduler.wire_id(),
        executor_id,
        data: b"up".to_vec().into(),
    };
    let done = world.say(&host(1), Inbound::ExecutorToFramework(up));
    let message = done.events(scheduler.subscription)[0].message.clone().unwrap();
    assert_eq!(&message.data[..], b"up");
    world.exited(&host(1));
    assert!(world.call(&scheduler, call).names().is_empty());
    assert_eq!(world.count(Counter::InvalidFrameworkToExecutorMessages), 1);
    assert_eq!(world.count(Counter::ValidFrameworkToExecutorMessages), 1);
}

#[test]
fn a_shutdown_of_an_executor_goes_to_its_agent() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let mut shutdown = scheduler.call(call::Type::Shutdown);
    shutdown.shutdown = Some(call::Shutdown {
        executor_id: v1::ExecutorId { value: "e".into() },
        agent_id: v1::AgentId { value: agent.to_string() },
    });
    let done = world.call(&scheduler, shutdown.clone());
    let Outbound::ShutdownExecutor(message) = done.sent()[0].2.clone() else { panic!() };
    assert_eq!(message.framework_id, Some(scheduler.wire_id()));
    shutdown.shutdown.as_mut().unwrap().agent_id.value = "other".into();
    assert!(world.call(&scheduler, shutdown).names().is_empty());
}

#[test]
fn reconciliation_says_what_is_known_and_waits_for_agents_that_may_come_back() {
    let mut world = World::new();
    let (here, lost, gone) =
        (world.join(1, "cpus:4"), world.join(2, "cpus:4"), world.join(3, "cpus:4"));
    let scheduler = world.aware_scheduler("f");
    world.launch(&scheduler, &here, "known");
    world.launch(&scheduler, &lost, "unreachable");
    world.update(&host(1), &scheduler, &here, "known", TaskState::TaskRunning, 1);
    world.wait_with(75 * SECOND, &[&host(1), &host(3)]);
    let command = crate::world::mark_gone(&gone);
    world.operate(command);
    let ask = |world: &mut World, task: &str, agent: Option<&AgentId>| {
        let mut call = scheduler.call(call::Type::Reconcile);
        let question = call::reconcile::Task {
            task_id: v1::TaskId { value: task.to_owned() },
            agent_id: agent.map(|id| v1::AgentId { value: id.to_string() }),
        };
        call.reconcile = Some(call::Reconcile { tasks: vec![question] });
        world.call(&scheduler, call).updates(scheduler.subscription)
    };
    for (task, agent, state, message) in [
        ("known", None, TaskState::TaskRunning, "Reconciliation: Latest task state"),
        ("known", Some(&lost), TaskState::TaskRunning, "Reconciliation: Latest task state"),
        ("x", Some(&here), TaskState::TaskGone, "Reconciliation: Task is unknown to the agent"),
        ("x", Some(&lost), TaskState::TaskUnreachable, "Reconciliation: Task is unreachable"),
        ("unreachable", None, TaskState::TaskUnreachable, "Reconciliation: Task is unreachable"),
        ("x", Some(&gone), TaskState::TaskGoneByOperator, "Reconciliation: Task is unknown"),
        ("x", None, TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
    ] {
        let updates = ask(&mut world, task, agent);
        assert_eq!(updates.len(), 1, "{task}");
        let status = &updates[0];
        assert_eq!((status.state(), status.message()), (state, message), "{task}");
        assert_eq!((status.source(), status.reason()), (Source::Master, Reason::Reconciliation));
        assert!(status.uuid.is_none());
        let unreachable = state == TaskState::TaskUnreachable;
        assert_eq!(status.unreachable_time.is_some(), unreachable);
    }
    let mut all = scheduler.call(call::Type::Reconcile);
    all.reconcile = Some(call::Reconcile::default());
    let updates = world.call(&scheduler, all.clone()).updates(scheduler.subscription);
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].task_id.value, "known");

    world.fail_over();
    let info = v1::FrameworkInfo { principal: Some("f".into()), ..scheduler.info.clone() };
    let scheduler = world.subscribe("f", info).0;
    let ask = |world: &mut World, task: &str, agent: Option<&AgentId>| {
        let mut call = scheduler.call(call::Type::Reconcile);
        let question = call::reconcile::Task {
            task_id: v1::TaskId { value: task.to_owned() },
            agent_id: agent.map(|id| v1::AgentId { value: id.to_string() }),
        };
        call.reconcile = Some(call::Reconcile { tasks: vec![question] });
        world.call(&scheduler, call).updates(scheduler.subscription).len()
    };
    assert_eq!(ask(&mut world, "known", Some(&here)), 0, "the agent may still come back");
    assert_eq!(ask(&mut world, "known", None), 0);
    assert_eq!(ask(&mut world, "unreachable", Some(&lost)), 1);
}

#[test]
fn ended_tasks_are_remembered_up_to_a_number() {
    let mut world = World::with(|config| config.max_completed_tasks_per_framework = 2);
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        world.launch(&scheduler, &agent, name);
        let n = n as u8 + 1;
        world.update(&host(1), &scheduler, &agent, name, TaskState::TaskFinished, n);
        world.acknowledge(&scheduler, &agent, name, n);
    }
    let state = world.state();
    let kept: Vec<_> = state.frameworks[&scheduler.id]
        .completed_tasks
        .iter()
        .map(|task| task.id.to_string())
        .collect();
    assert_eq!(kept, ["b", "c"]);
}

#[test]
fn so_many_unreachable_tasks_are_kept_of_a_framework_as_the_flag_says() {
    let mut world = World::with(|config| config.max_unreachable_tasks_per_framework = 2);
    let agents = [world.join(1, "cpus:4"), world.join(2, "cpus:4")];
    let scheduler = world.aware_scheduler("f");
    world.launch(&scheduler, &agents[0], "first");
    world.launch(&scheduler, &agents[1], "second");
    world.launch(&scheduler, &agents[1], "third");
    world.wait_with(80 * SECOND, &[&host(2)]);
    world.wait(100 * SECOND);
    let framework = world.state().frameworks[&scheduler.id].clone();
    let kept: Vec<_> = framework.unreachable_tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(kept, ["second", "third"]);
    assert!(framework.tasks.is_empty());
}
