//! Another master takes over: what it knows from the registry, from agents and from schedulers.

use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::message::Inbound;
use model::id::AgentId;
use registry::Standing;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::{internal, v1};

use crate::world::*;

#[test]
fn after_a_failover_agents_and_schedulers_find_each_other_and_no_task_is_touched() {
    for scheduler_first in [true, false] {
        let mut world = World::new();
        let agent = world.join(1, "cpus:4");
        let info = v1::FrameworkInfo { failover_timeout: Some(0.0), ..framework_info("f", &[]) };
        let (mut scheduler, _) = world.subscribe("f", info);
        world.launch(&scheduler, &agent, "t");
        world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 1);
        world.acknowledge(&scheduler, &agent, "t", 1);
        let message = world.reregister_message(1, &agent);
        let info = v1::FrameworkInfo { principal: Some("f".to_owned()), ..scheduler.info.clone() };
        world.fail_over();
        assert_eq!(world.state().recovered_agents.size(), 1);
        if scheduler_first {
            scheduler = world.subscribe("f", info.clone()).0;
        }
        let done = world.say(&host(1), Inbound::ReregisterAgent(message));
        let expected: &[&str] = if scheduler_first {
            &["Persist", "Link", "PingSlave", "SlaveReregistered", "UpdateFramework", "OFFERS"]
        } else {
            &["Persist", "Link", "PingSlave", "SlaveReregistered", "UpdateFramework"]
        };
        assert_eq!(done.names(), expected);
        if !scheduler_first {
            assert!(world.state().frameworks[&scheduler.id].is_recovered());
            world.wait_with(60 * SECOND, &[&host(1)]);
            let (again, done) = world.subscribe("f", info);
            scheduler = again;
            assert_eq!(done.names(), ["SUBSCRIBED", "HEARTBEAT", "UpdateFramework", "OFFERS"]);
        }
        assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskRunning));
        let agent_state = world.state().agents[&agent].as_ref().clone();
        assert_eq!(agent_state.used_by_all().unallocated().to_string(), "cpus:1");
        // Nobody has acknowledged anything to this master yet; the agent sends it again.
        world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskFinished, 2);
        world.acknowledge(&scheduler, &agent, "t", 2);
        assert_eq!(world.task_state(&scheduler, "t"), None);
    }
}

#[test]
fn agents_that_do_not_come_back_after_a_failover_become_unreachable() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    world.fail_over();
    let scheduler = world.scheduler("f");
    world.wait(10 * MINUTE - SECOND);
    assert!(world.state().recovered_agents.contains_key(&agent));
    let done = world.wait(SECOND);
    assert_eq!(done.names(), ["Persist", "FAILURE"]);
    assert_eq!(done.events(scheduler.subscription).len(), 1);
    assert!(matches!(world.registry.agents[&agent].standing, Standing::Unreachable { .. }));
}

#[test]
fn a_master_that_misses_too_many_agents_stops_rather_than_give_them_up() {
    let mut world = World::with(|config| config.recovery_agent_removal_limit = 0.5);
    for n in 1..=3 {
        world.join(n, "cpus:4");
    }
    let id = model::id::AgentId::new("m-S0").unwrap();
    let message = world.reregister_message(1, &id);
    world.fail_over();
    world.say(&host(1), Inbound::ReregisterAgent(message));
    let done = world.wait_with(10 * MINUTE, &[&host(1)]);
    let stopped = done.0.iter().find_map(|effect| match effect {
        Effect::Stop { reason } => Some(reason.clone()),
        _ => None,
    });
    let words = "Post-recovery agent removal limit exceeded! After 10mins there were 2 (";
    assert!(stopped.unwrap().starts_with(words));
    let admitted = |standing: &Standing| matches!(standing, Standing::Admitted(_));
    assert!(world.registry.agents.values().all(|record| admitted(&record.standing)));
}

#[test]
fn a_framework_whose_scheduler_never_comes_back_ends_with_its_tasks() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    world.fail_over();
    world.say(&host(1), Inbound::ReregisterAgent(message));
    world.wait_with(9 * MINUTE, &[&host(1)]);
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskStaging));
    let done = world.wait_with(2 * MINUTE, &[&host(1)]);
    assert!(done.names().contains(&"ShutdownFramework".to_owned()));
    assert!(world.state().frameworks.is_empty());
}

#[test]
fn an_agent_that_comes_back_with_an_ended_framework_is_told_to_end_it() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    world.wait(75 * SECOND);
    world.call(&scheduler, scheduler.call(call::Type::Teardown));
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(
        done.names(),
        ["Persist", "Link", "PingSlave", "SlaveReregistered", "ShutdownFramework"]
    );
    assert!(world.state().agents[&agent].tasks.is_empty());
}

#[test]
fn an_agent_that_no_master_remembers_is_admitted_with_its_tasks() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    let mut other = World::new();
    let done = other.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(
        done.names(),
        ["Persist", "Link", "PingSlave", "SlaveReregistered", "UpdateFramework"]
    );
    assert!(done.logs().iter().any(|line| line.contains("not on record")));
    assert_eq!(other.task_state(&scheduler, "t"), Some(TaskState::TaskStaging));
}

/// What an agent remembers of `scheduler`'s framework, of which nothing is there any more.
fn archive(
    scheduler: &Scheduler,
    agent: &AgentId,
    tasks: &[(&str, TaskState)],
) -> internal::archive::Framework {
    let task = |&(name, state): &(&str, TaskState)| {
        let mut task = v1::Task {
            name: name.to_owned(),
            task_id: v1::TaskId { value: name.to_owned() },
            framework_id: scheduler.wire_id(),
            agent_id: v1::AgentId { value: agent.to_string() },
            resources: resources("cpus:1"),
            ..v1::Task::default()
        };
        task.set_state(state);
        task
    };
    internal::archive::Framework {
        framework_info: v1::FrameworkInfo {
            principal: scheduler.caller.principal.clone(),
            ..scheduler.info.clone()
        },
        pid: None,
        tasks: tasks.iter().map(task).collect(),
    }
}

fn completed(world: &World, scheduler: &Scheduler) -> Vec<String> {
    let state = world.state();
    let completed = state.frameworks[&scheduler.id].completed_tasks.iter();
    completed.map(|task| task.id.to_string()).collect()
}

#[test]
fn what_ended_before_a_failover_is_remembered_by_agents() {
    let mut world = World::with(|config| config.max_completed_tasks_per_framework = 3);
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let other = world.scheduler("other");
    let mut message = world.reregister_message(1, &agent);
    let done = |name| (name, TaskState::TaskFinished);
    let elsewhere = AgentId::new("m-S9").unwrap();
    message.completed_frameworks = vec![
        archive(&scheduler, &agent, &[done("a"), done("b"), ("runs", TaskState::TaskRunning)]),
        archive(&scheduler, &elsewhere, &[done("elsewhere")]),
        archive(&other, &agent, &[done("others")]),
    ];
    // It says of one framework's task that it is another's.
    let stray = archive(&other, &agent, &[done("stray")]).tasks;
    message.completed_frameworks[0].tasks.extend(stray);

    world.fail_over();
    let again = |world: &mut World, of: &Scheduler, name: &str| {
        let info = of.info.clone();
        world.try_subscribe(&caller(name), info, &[])
    };
    let (subscription, _) = again(&mut world, &scheduler, "f");
    world.say(&host(1), Inbound::ReregisterAgent(message.clone()));
    assert_eq!(completed(&world, &scheduler), ["a", "b"]);
    assert_eq!(world.state().agents[&agent].used_by_all(), model::resources::Resources::new());
    // Nobody has come for the other one yet, and agents do not keep it alive.
    assert!(!world.state().frameworks.contains_key(&other.id));

    // What the master knows by now is not entered twice nor pushed out, and a task counts once.
    world.wait(75 * SECOND);
    let scheduler = Scheduler { subscription, ..scheduler };
    let more = archive(&scheduler, &agent, &[done("c"), done("d"), done("b")]).tasks;
    message.completed_frameworks[0].tasks.extend(more);
    world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(completed(&world, &scheduler), ["a", "b", "d"]);
}

#[test]
fn what_ended_is_not_shown_to_another_principal() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let mut message = world.reregister_message(1, &agent);
    let mut archive = archive(&scheduler, &agent, &[("a", TaskState::TaskFinished)]);
    archive.framework_info.principal = Some("somebody".to_owned());
    message.completed_frameworks = vec![archive];
    world.wait(75 * SECOND);
    world.say(&host(1), Inbound::ReregisterAgent(message));
    assert!(world.state().agents.contains_key(&agent));
    assert!(completed(&world, &scheduler).is_empty());
}
