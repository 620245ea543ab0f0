//! Agents join, are watched, lose their link, come back, and leave.

use std::collections::BTreeSet;
use std::time::Duration;

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::Event;
use alcazar_master::engine::message::{Inbound, Outbound};
use registry::{Operation, Standing};
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::v1::task_status::Reason;
use wire::{internal, v1};

use crate::world::*;

#[test]
fn a_new_agent_is_on_record_before_it_hears_of_it_and_is_pinged_at_once() {
    let mut world = World::new();
    let done = world.say(&host(1), Inbound::RegisterAgent(register_message(1, "cpus:4;mem:1024")));
    assert_eq!(done.names(), ["Persist", "Link", "PingSlave", "SlaveRegistered"]);
    let sent = done.sent();
    assert_eq!(sent[0].0, "slave-observer(1)");
    assert_eq!(sent[1].0, "master");
    for (_, to, _) in &sent {
        assert_eq!((&to.pid, to.identity.as_ref()), (host(1).upid(), host(1).identity()));
    }
    let Outbound::AgentRegistered(answer) = sent[1].2 else { panic!() };
    assert_eq!(answer.slave_id.value, "m-S0");
    assert_eq!(answer.connection.unwrap().total_ping_timeout_seconds, Some(75.0));
    let record = world.registry.agents.values().next().unwrap();
    assert_eq!(record.owner, host(1).owner());
    assert!(matches!(&record.standing, Standing::Admitted(info) if info.hostname == "host-1"));
}

#[test]
fn a_repeated_registration_gets_the_same_answer() {
    let mut world = World::new();
    let id = world.join(1, "cpus:4");
    let done = world.say(&host(1), Inbound::RegisterAgent(register_message(1, "cpus:4")));
    assert_eq!(done.names(), ["SlaveRegistered"]);
    assert_eq!(world.join(1, "cpus:4"), id);
    assert_eq!(world.state().agents.size(), 1);
}

#[test]
fn a_new_agent_in_the_place_of_a_disconnected_one_ends_the_old_one() {
    let mut world = World::new();
    let old = world.join(1, "cpus:4");
    let scheduler = world.aware_scheduler("f");
    world.launch(&scheduler, &old, "t");
    world.exited(&host(1));
    let done = world.say(&host(1), Inbound::RegisterAgent(register_message(1, "cpus:4")));
    let status = done.update(scheduler.subscription);
    assert_eq!((status.state(), status.reason()), (TaskState::TaskLost, Reason::AgentRemoved));
    let message = "Agent host-1 removed: a new agent registered at the same address";
    assert_eq!(status.message(), message);
    let state = world.state();
    assert_eq!(state.agents.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["m-S1"]);
    assert!(!world.registry.agents.contains_key(&old));
    assert_eq!(world.count(Counter::SlaveRemovalsReasonRegistered), 1);
}

#[test]
fn an_agent_that_answers_pings_stays_and_one_that_does_not_is_given_up() {
    let mut world = World::new();
    let alive = world.join(1, "cpus:4");
    let dead = world.join(2, "cpus:4");
    let done = world.wait_with(74 * SECOND, &[&host(1)]);
    assert_eq!(done.names().iter().filter(|name| *name == "PingSlave").count(), 8);
    assert_eq!(world.state().agents.size(), 2);
    let done = world.wait_with(SECOND, &[&host(1)]);
    assert_eq!(done.names(), ["PingSlave", "Persist", "Unlink"]);
    let state = world.state();
    assert!(state.agents.contains_key(&alive) && !state.agents.contains_key(&dead));
    assert!(matches!(world.registry.agents[&dead].standing, Standing::Unreachable { .. }));
    assert_eq!(world.registry.agents[&dead].owner, host(2).owner());
    assert_eq!(world.count(Counter::SlaveRemovalsReasonUnhealthy), 1);
    world.wait_with(10 * MINUTE, &[&host(1)]);
    assert!(world.state().agents.contains_key(&alive));
}

#[test]
fn tasks_of_an_unreachable_agent_are_unreachable_or_lost_by_what_their_framework_understands() {
    for aware in [true, false] {
        let mut world = World::new();
        let agent = world.join(1, "cpus:4");
        let scheduler = if aware { world.aware_scheduler("f") } else { world.scheduler("f") };
        world.launch(&scheduler, &agent, "t");
        let done = world.wait(75 * SECOND);
        let events: Vec<_> = done
            .events(scheduler.subscription)
            .iter()
            .map(|event| event.r#type().as_str_name().to_owned())
            .collect();
        assert_eq!(events, ["UPDATE", "FAILURE"]);
        let status = done.update(scheduler.subscription);
        let expected = if aware { TaskState::TaskUnreachable } else { TaskState::TaskLost };
        assert_eq!((status.state(), status.reason()), (expected, Reason::AgentRemoved));
        assert!(status.unreachable_time.is_some() && status.uuid.is_none());
        let framework = world.state().frameworks[&scheduler.id].as_ref().clone();
        assert_eq!(framework.unreachable_tasks.len(), 1);
        assert!(framework.tasks.is_empty() && framework.used_on_all().is_empty());
    }
}

#[test]
fn an_unreachable_agent_that_comes_back_brings_its_tasks_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.aware_scheduler("f");
    world.launch(&scheduler, &agent, "t");
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskRunning, 1);
    let message = world.reregister_message(1, &agent);
    world.wait(75 * SECOND);
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(
        done.names(),
        [
            "Persist",
            "Link",
            "PingSlave",
            "UPDATE",
            "SlaveReregistered",
            "UpdateFramework",
            "OFFERS"
        ]
    );
    let status = done.update(scheduler.subscription);
    assert_eq!(
        (status.state(), status.reason()),
        (TaskState::TaskRunning, Reason::AgentReregistered)
    );
    assert_eq!(status.message(), "Unreachable agent re-reregistered");
    let state = world.state();
    assert!(state.unreachable_agents.is_empty());
    let framework = &state.frameworks[&scheduler.id];
    assert_eq!((framework.tasks.size(), framework.unreachable_tasks.len()), (1, 0));
    assert!(matches!(world.registry.agents[&agent].standing, Standing::Admitted(_)));
}

#[test]
fn a_broken_link_takes_offers_back_and_pings_say_so_until_the_agent_joins_again() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    assert_eq!(world.offers(&scheduler).len(), 1);
    let done = world.exited(&host(1));
    assert_eq!(done.names(), ["RESCIND"]);
    assert!(world.exited(&host(1)).names().is_empty(), "it is disconnected already");
    let connected = |done: &Done| {
        done.sent().iter().find_map(|(_, _, message)| match message {
            Outbound::Ping(ping) => Some(ping.connected),
            _ => None,
        })
    };
    let done = world.wait_with(15 * SECOND, &[&host(1)]);
    assert_eq!(connected(&done), Some(false));
    let message = world.reregister_message(1, &agent);
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(done.names(), ["Link", "SlaveReregistered", "OFFERS"]);
    let done = world.wait_with(15 * SECOND, &[&host(1)]);
    assert_eq!(connected(&done), Some(true));
    assert!(world.wait_with(20 * MINUTE, &[&host(1)]).names().iter().all(|n| n == "PingSlave"));
}

#[test]
fn a_disconnected_agent_that_does_not_join_again_becomes_unreachable() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    world.exited(&host(1));
    world.wait_with(10 * MINUTE - SECOND, &[&host(1)]);
    assert!(world.state().agents.contains_key(&agent));
    world.wait_with(SECOND, &[&host(1)]);
    assert!(world.state().unreachable_agents.contains_key(&agent));
}

#[test]
fn frameworks_that_do_not_checkpoint_lose_what_runs_on_an_agent_whose_link_breaks() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let info = v1::FrameworkInfo { checkpoint: None, ..framework_info("f", &[]) };
    let (scheduler, _) = world.subscribe("f", info);
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    let status = world.exited(&host(1)).update(scheduler.subscription);
    assert_eq!((status.state(), status.reason()), (TaskState::TaskLost, Reason::AgentDisconnected));
    // The agent was not restarted and runs the task still: it has to end.
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert!(done.names().contains(&"KillTask".to_owned()), "{:?}", done.names());
}

#[test]
fn tasks_that_a_restarted_agent_does_not_know_are_asked_about() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "known");
    world.launch(&scheduler, &agent, "forgotten");
    world.exited(&host(1));
    let mut message = world.reregister_message(1, &agent);
    message.tasks.retain(|task| task.task_id.value == "known");
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    let answer = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::AgentReregistered(message) => Some(message.clone()),
        _ => None,
    });
    let questions = answer.unwrap().reconciliations;
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0].framework_id, scheduler.wire_id());
    assert_eq!(questions[0].framework.as_ref().unwrap().name, "f");
    assert_eq!(questions[0].statuses.len(), 1);
    assert_eq!(questions[0].statuses[0].task_id.value, "forgotten");
    assert_eq!(done.names(), ["Link", "SlaveReregistered", "UpdateFramework"]);
}

#[test]
fn an_agent_that_moved_or_changed_its_name_is_shut_down() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let moved = bound("slave(1)@10.0.0.9:5051", Some(identity("agent/host-1")));
    let message = world.reregister_message(1, &agent);
    let mut renamed = message.clone();
    renamed.slave.hostname = "other".to_owned();
    for (from, message) in [(moved, message), (host(1), renamed)] {
        let done = world.say(&from, Inbound::ReregisterAgent(message));
        assert_eq!(done.names(), ["Shutdown"]);
        let Outbound::Shutdown(shutdown) = done.sent()[0].2.clone() else { panic!() };
        let text = "Agent attempted to reregister with different IP / hostname";
        assert_eq!(shutdown.message(), text);
    }
    assert!(world.state().agents[&agent].connected);
}

#[test]
fn a_certificate_speaks_for_one_agent_at_a_time() {
    let at = |upid: &str| bound(upid, Some(identity("agent/host-1")));
    let register = || Inbound::RegisterAgent(register_message(1, "cpus:4"));
    let mut world = World::new();
    world.say(&at("a1@10.0.0.1:5051"), register()).is_refused();
    world.say(&at("slave()@10.0.0.1:5051"), register()).is_refused();
    let first = world.join(1, "cpus:4");
    for place in ["slave(2)@10.0.0.1:5051", "slave(1)@10.0.0.1:6000", "slave(1)@10.0.0.9:5051"] {
        world.say(&at(place), register()).is_refused();
        let mut other = world.reregister_message(1, &first);
        other.slave.id = Some(v1::AgentId { value: "another".to_owned() });
        world.say(&at(place), Inbound::ReregisterAgent(other)).is_refused();
    }
    assert!(world.state().agents[&first].connected);
    // Once it is away, whoever has its certificate takes its place.
    world.exited(&host(1));
    let done = world.say(&at("slave(1)@10.0.0.1:6000"), register());
    assert!(done.names().iter().any(|name| *name == "SlaveRegistered"), "{:?}", done.names());
    assert_eq!(world.state().agents.keys().count(), 1);
    assert!(!world.state().agents.contains_key(&first));
}

#[test]
fn an_agent_on_another_port_keeps_its_id() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let moved = bound("slave(1)@10.0.0.1:6000", Some(identity("agent/host-1")));
    let message = world.reregister_message(1, &agent);
    let done = world.say(&moved, Inbound::ReregisterAgent(message));
    assert_eq!(done.names(), ["Unlink", "Link", "SlaveReregistered"]);
    assert_eq!(world.state().agents[&agent].peer.pid, *moved.upid());
    assert!(world.exited(&host(1)).names().is_empty(), "nobody is there any more");
    assert!(world.state().agents[&agent].connected);
}

#[test]
fn an_agent_whose_description_changed_is_recorded_anew() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let mut message = world.reregister_message(1, &agent);
    message.slave.resources = resources("cpus:8");
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert_eq!(done.names(), ["Persist", "Link", "RESCIND", "SlaveReregistered", "OFFERS"]);
    assert_eq!(world.state().agents[&agent].total.to_string(), "cpus:8");
    assert_eq!(world.offers(&scheduler).len(), 1);
}

#[test]
fn an_agent_that_unregisters_is_forgotten_and_its_tasks_are_lost() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.aware_scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let slave_id = v1::AgentId { value: agent.to_string() };
    let message = internal::UnregisterSlaveMessage { slave_id };
    let done = world.say(&host(1), Inbound::UnregisterAgent(message));
    assert_eq!(done.update(scheduler.subscription).state(), TaskState::TaskLost);
    assert!(world.registry.agents.is_empty());
    assert!(world.state().agents.is_empty() && world.state().unreachable_agents.is_empty());
    assert_eq!(world.count(Counter::SlaveRemovalsReasonUnregistered), 1);
}

#[test]
fn a_gone_agent_is_shut_down_whenever_it_tries_to_come_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.aware_scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    let done = world.operate(mark_gone(&agent));
    let status = done.update(scheduler.subscription);
    assert_eq!(status.state(), TaskState::TaskGoneByOperator);
    assert_eq!(status.reason(), Reason::AgentRemovedByOperator);
    assert!(done.names().contains(&"Shutdown".to_owned()));
    for _ in 0..2 {
        let done = world.say(&host(1), Inbound::ReregisterAgent(message.clone()));
        assert_eq!(done.names(), ["Shutdown"]);
        world.fail_over();
    }
    assert!(matches!(world.registry.agents[&agent].standing, Standing::Gone { .. }));
    let unknown = mark_gone(&model::id::AgentId::new("x").unwrap());
    let done = world.operate(unknown);
    assert_eq!(done.refusal().unwrap().status(), 404);
}

#[test]
fn oversubscribed_resources_replace_those_before() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let revocable = |text| {
        let mut all = resources(text);
        all.iter_mut().for_each(|r| r.revocable = Some(Default::default()));
        all
    };
    let mut message = internal::UpdateSlaveMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        oversubscribed_resources: revocable("cpus:2"),
        update_oversubscribed_resources: Some(true),
        ..Default::default()
    };
    world.say(&host(1), Inbound::UpdateAgent(message.clone()));
    assert_eq!(world.state().agents[&agent].total.to_string(), "cpus:4; cpus{REV}:2");
    message.oversubscribed_resources = revocable("cpus:1");
    message.update_oversubscribed_resources = Some(false);
    world.say(&host(1), Inbound::UpdateAgent(message.clone()));
    assert_eq!(world.state().agents[&agent].total.to_string(), "cpus:4; cpus{REV}:2");
    message.update_oversubscribed_resources = None;
    world.say(&host(1), Inbound::UpdateAgent(message));
    assert_eq!(world.state().agents[&agent].total.to_string(), "cpus:4; cpus{REV}:1");
}

#[test]
fn records_of_agents_that_left_are_dropped_when_too_old_or_too_many() {
    let mut world = World::with(|config| {
        config.registry_max_agent_count = 2;
        config.registry_max_agent_age = Duration::from_secs(3600);
    });
    for n in 1..=4 {
        world.join(n, "cpus:1");
        world.wait(80 * SECOND);
    }
    assert_eq!(world.state().unreachable_agents.size(), 4);
    world.wait(15 * MINUTE);
    let left: Vec<_> = world.registry.agents.keys().map(|id| id.to_string()).collect();
    assert_eq!(left, ["m-S2", "m-S3"], "the youngest are kept");
    let done = world.wait(2 * 60 * MINUTE);
    let deleted = |effect: &&Effect| matches!(effect, Effect::Persist(Operation::DeleteAgent(_)));
    assert_eq!(done.0.iter().filter(deleted).count(), 2);
    assert!(world.state().unreachable_agents.is_empty());
}

#[test]
fn what_an_agent_said_over_an_older_connection_does_not_count() {
    let mut world = World::new();
    let message = Inbound::RegisterAgent(register_message(1, "cpus:4;mem:1024"));
    let done = world.say(&host_over(1, 1), message);
    assert!(done.names().contains(&"SlaveRegistered".to_owned()), "{:?}", done.names());
    let id = world.state().agents.keys().next().unwrap().clone();
    let again = Inbound::ReregisterAgent(world.reregister_message(1, &id));
    let done = world.say(&host_over(3, 1), again.clone());
    assert!(done.names().contains(&"SlaveReregistered".to_owned()), "{:?}", done.names());
    // It was on its way while the agent registered over connection 3.
    let done = world.say(&host_over(2, 1), again.clone());
    assert!(!done.names().contains(&"SlaveReregistered".to_owned()), "{:?}", done.names());
    assert_eq!(world.count(Counter::SlaveReregistrations), 1);
    let done = world.say(&host_over(3, 1), again);
    assert!(done.names().contains(&"SlaveReregistered".to_owned()), "{:?}", done.names());
}

#[test]
fn what_executors_of_ended_frameworks_have_is_not_free_until_they_have_ended() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let mut message = world.reregister_message(1, &agent);
    let executor_id = v1::ExecutorId { value: "e".to_owned() };
    let role = Some("*".to_owned());
    let mut held = resources("cpus:0.5");
    held[0].allocation_info = Some(v1::resource::AllocationInfo { role });
    message.executor_infos = vec![v1::ExecutorInfo {
        executor_id: executor_id.clone(),
        framework_id: Some(scheduler.wire_id()),
        resources: held,
        ..Default::default()
    }];
    world.wait(75 * SECOND);
    world.teardown(&scheduler.id);
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    assert!(done.names().contains(&"ShutdownFramework".to_owned()), "{:?}", done.names());
    let other = world.scheduler("g");
    let offered = |world: &World| world.state().agents[&agent].offered.to_string();
    assert!(offered(&world).contains("cpus(allocated: *):3.5"), "{}", offered(&world));
    let exited = internal::ExitedExecutorMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        framework_id: scheduler.wire_id(),
        executor_id,
        status: 0,
    };
    world.say(&host(1), Inbound::ExitedExecutor(exited));
    world.call(&other, other.call(v1::scheduler::call::Type::Revive));
    assert!(offered(&world).contains("cpus(allocated: *):4"), "{}", offered(&world));
}

#[test]
fn agents_off_the_whitelist_are_offered_to_nobody_until_they_are_on_it_again() {
    let listed = |world: &mut World, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        world.handle(Event::Whitelisted(hosts))
    };
    // The list is there from the start, and says that there is nobody.
    let mut world = World::with(|config| config.whitelist = Some(BTreeSet::new()));
    let (one, two) = (world.join(1, "cpus:4"), world.join(2, "cpus:4"));
    let scheduler = world.scheduler("f");
    world.wait(SECOND);
    assert!(world.offers(&scheduler).is_empty());
    assert_eq!(world.state().agents.size(), 2, "they are registered all the same");

    listed(&mut world, &["host-2", "host-9"]);
    let of = |world: &World, agent| world.offers_of(&scheduler, agent).len();
    assert_eq!((of(&world, &one), of(&world, &two)), (0, 1));
    // What an agent that is taken off the list has offered stays offered, but what comes back of
    // it does not go out again.
    listed(&mut world, &["host-1"]);
    assert_eq!((of(&world, &one), of(&world, &two)), (1, 1));
    let mut call = scheduler.call(call::Type::Decline);
    let filters = Some(v1::Filters { refuse_seconds: Some(0.0) });
    call.decline = Some(call::Decline { offer_ids: world.offers_of(&scheduler, &two), filters });
    world.call(&scheduler, call);
    world.wait_with(10 * SECOND, &[&host(1), &host(2)]);
    assert_eq!((of(&world, &one), of(&world, &two)), (1, 0));

    listed(&mut world, &["host-1", "host-2"]);
    assert_eq!((of(&world, &one), of(&world, &two)), (1, 1));
}
