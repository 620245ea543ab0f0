//! Agents that operators drain, deactivate, reactivate and give up.

use alcazar_master::engine::event::OperatorCommand;
use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::refusal::Refusal;
use alcazar_master::engine::state::Agent;
use model::id::AgentId;
use wire::v1::{DrainState, TaskState};
use wire::{internal, v1};

use crate::world::*;

fn deactivate(agent_id: &AgentId) -> OperatorCommand {
    OperatorCommand::DeactivateAgent { permit: permit([()]), agent_id: agent_id.clone() }
}

fn reactivate(agent_id: &AgentId) -> OperatorCommand {
    OperatorCommand::ReactivateAgent { permit: permit([()]), agent_id: agent_id.clone() }
}

fn drain(agent_id: &AgentId, mark_gone: bool) -> OperatorCommand {
    let max_grace_period = Some(v1::DurationInfo { nanoseconds: 5_000_000_000 });
    let config = v1::DrainConfig { max_grace_period, mark_gone: Some(mark_gone) };
    OperatorCommand::DrainAgent {
        permit: permit([()]),
        mark_gone: config.mark_gone().then(|| permit([()])),
        agent_id: agent_id.clone(),
        config,
    }
}

fn state_of(agent: &Agent) -> Option<DrainState> {
    agent.orders.drain.map(|drain| drain.state())
}

fn finish(world: &mut World, scheduler: &Scheduler, agent: &AgentId, task: &str) -> Done {
    world.update(&host(1), scheduler, agent, task, TaskState::TaskKilled, 7);
    world.acknowledge(scheduler, agent, task, 7)
}

#[test]
fn a_draining_agent_is_offered_no_more_and_has_drained_when_its_last_task_is_acknowledged() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    world.call(&scheduler, scheduler.call(v1::scheduler::call::Type::Revive));
    assert_eq!(world.offers_of(&scheduler, &agent).len(), 1);
    let done = world.operate(drain(&agent, false));
    assert_eq!(done.names(), ["Persist", "RESCIND", "DrainSlave"]);
    let sent = done.sent();
    let Outbound::DrainAgent(message) = sent[0].2 else { panic!() };
    assert_eq!(message.config.max_grace_period.unwrap().nanoseconds, 5_000_000_000);
    let state = world.state();
    assert_eq!(state_of(&state.agents[&agent]), Some(DrainState::Draining));
    assert!(state.agents[&agent].connected && !state.agents[&agent].active);
    assert_eq!(state.agents[&agent].estimated_drain_start, Some(world.now.wall));
    world.wait_with(MINUTE, &[&host(1)]);
    assert!(world.offers(&scheduler).is_empty());

    let done = world.operate(reactivate(&agent));
    assert_eq!(done.refusal(), Some(Refusal::AgentDrains));
    world.update(&host(1), &scheduler, &agent, "t", TaskState::TaskKilled, 7);
    let state = world.state();
    assert_eq!(state_of(&state.agents[&agent]), Some(DrainState::Draining), "not acknowledged");
    let done = world.acknowledge(&scheduler, &agent, "t", 7);
    assert_eq!(done.names(), ["StatusUpdateAcknowledgement", "Persist"]);
    assert_eq!(state_of(&world.state().agents[&agent]), Some(DrainState::Drained));
    let orders = &world.registry.agents[&agent].orders;
    assert_eq!(orders.drain.map(|drain| drain.state()), Some(DrainState::Drained));

    let done = world.operate(reactivate(&agent));
    assert_eq!(done.names(), ["Persist", "OFFERS"]);
    assert_eq!(world.offers_of(&scheduler, &agent).len(), 1, "it is offered again");
    assert_eq!(world.registry.agents[&agent].orders, registry::Orders::default());
}

#[test]
fn an_idle_agent_has_drained_at_once() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    world.operate(drain(&agent, false));
    assert_eq!(state_of(&world.state().agents[&agent]), Some(DrainState::Drained));
}

#[test]
fn an_agent_that_drains_to_be_given_up_is_gone_when_it_is_idle() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    world.operate(drain(&agent, true));
    let done = finish(&mut world, &scheduler, &agent, "t");
    assert!(done.names().contains(&"Shutdown".to_owned()), "{:?}", done.names());
    assert!(world.state().gone_agents.contains_key(&agent));
    assert!(!world.state().agents.contains_key(&agent));
}

#[test]
fn orders_bind_an_agent_that_is_away_and_are_repeated_when_it_comes_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let message = world.reregister_message(1, &agent);
    world.operate(drain(&agent, false));
    // The link breaks.
    world.exited(&host(1));
    let done = world.say(&host(1), Inbound::ReregisterAgent(message.clone()));
    let names = done.names();
    assert_eq!(names, ["Link", "SlaveReregistered", "DrainSlave", "UpdateFramework"]);
    assert!(!world.state().agents[&agent].active);
    // It becomes unreachable.
    world.exited(&host(1));
    world.wait(11 * MINUTE);
    let unreachable = world.state().unreachable_agents[&agent].clone();
    assert!(unreachable.orders.deactivated && unreachable.orders.drain.is_some());
    // The master dies, and the agent comes back to another.
    world.fail_over();
    assert_eq!(world.state().unreachable_agents[&agent].orders, unreachable.orders);
    let done = world.say(&host(1), Inbound::ReregisterAgent(message));
    let names = done.names();
    assert_eq!(names[3..], ["DrainSlave", "SlaveReregistered", "UpdateFramework"]);
    let back = world.state().agents[&agent].clone();
    assert_eq!((back.active, state_of(&back)), (false, Some(DrainState::Draining)));
    world.fail_over();
    assert!(world.state().recovered_agents[&agent].orders.deactivated);
}

#[test]
fn an_agent_that_comes_back_without_tasks_has_drained() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let mut message = world.reregister_message(1, &agent);
    message.tasks.clear();
    world.fail_over();
    assert_eq!(world.operate(drain(&agent, false)).names(), ["Persist"]);
    world.say(&host(1), Inbound::ReregisterAgent(message));
    let draining = Some(DrainState::Draining);
    assert_eq!(state_of(&world.state().agents[&agent]), draining, "its operations are not known");
    let update = internal::UpdateSlaveMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        update_oversubscribed_resources: Some(false),
        ..Default::default()
    };
    world.say(&host(1), Inbound::UpdateAgent(update));
    assert_eq!(state_of(&world.state().agents[&agent]), Some(DrainState::Drained));
}

#[test]
fn a_deactivated_agent_keeps_its_tasks() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let done = world.operate(deactivate(&agent));
    assert_eq!(done.names(), ["Persist"]);
    world.wait_with(2 * 60 * MINUTE, &[&host(1)]);
    assert!(world.offers(&scheduler).is_empty());
    assert_eq!(world.task_state(&scheduler, "t"), Some(TaskState::TaskStaging));
    assert!(world.state().agents[&agent].is_deactivated());
    assert_eq!(state_of(&world.state().agents[&agent]), None);
    world.operate(reactivate(&agent));
    world.wait_with(MINUTE, &[&host(1)]);
    assert_eq!(world.offers_of(&scheduler, &agent).len(), 1);
}

#[test]
fn orders_that_cannot_be_followed_are_refused_in_the_words_of_the_original() {
    let mut world = World::new();
    let mut message = register_message(1, "cpus:4");
    message.agent_capabilities.retain(|capability| capability.r#type != Some(7));
    world.say(&host(1), Inbound::RegisterAgent(message));
    let old = world.state().agents.keys().next().unwrap().clone();
    let stranger = AgentId::new("m-S9").unwrap();
    let before = format!("{:?}", world.state());
    for (command, words) in [
        (drain(&old, false), "Agent m-S0 is not capable of draining"),
        (drain(&stranger, false), "Unknown agent"),
        (deactivate(&stranger), "Unknown agent"),
        (reactivate(&stranger), "Agent is not deactivated"),
        (reactivate(&old), "Agent is not deactivated"),
    ] {
        let done = world.operate(command);
        let refusal = done.refusal().unwrap();
        assert_eq!((refusal.status(), refusal.to_string().as_str()), (400, words));
        assert!(done.names().is_empty());
    }
    assert_eq!(format!("{:?}", world.state()), before);
}
