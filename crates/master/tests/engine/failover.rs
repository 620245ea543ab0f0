//! Another master takes over: what it knows from the registry, from agents and from schedulers.

use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::message::Inbound;
use registry::Standing;
use wire::v1;
use wire::v1::TaskState;
use wire::v1::scheduler::call;

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
