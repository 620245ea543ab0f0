//! Machines that are scheduled for maintenance, taken down and brought up.

use alcazar_master::engine::event::OperatorCommand;
use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::refusal::Refusal;
use model::machine::Machine;
use registry::MachineMode;
use wire::v1;
use wire::v1::maintenance::{Schedule, Window};

use crate::world::*;

pub(crate) fn id(hostname: &str, ip: &str) -> v1::MachineId {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    v1::MachineId { hostname: some(hostname), ip: some(ip) }
}

/// The machine of agent number `n`.
pub(crate) fn machine_of(n: u8) -> v1::MachineId {
    id(&format!("Host-{n}"), &format!("10.0.0.{n}"))
}

pub(crate) fn window(machine_ids: Vec<v1::MachineId>, start: i64, duration: Option<i64>) -> Window {
    let duration = duration.map(|nanoseconds| v1::DurationInfo { nanoseconds });
    let unavailability =
        v1::Unavailability { start: v1::TimeInfo { nanoseconds: start }, duration };
    Window { machine_ids, unavailability }
}

fn machines(ids: &[v1::MachineId]) -> Vec<Machine> {
    ids.iter().filter_map(|id| Machine::new(id.hostname(), id.ip()).ok()).collect()
}

/// By somebody who may schedule these machines, and no others.
fn schedule_with(may: Vec<Machine>, windows: Vec<Window>) -> OperatorCommand {
    OperatorCommand::UpdateSchedule { permit: permit(may), schedule: Schedule { windows } }
}

/// By somebody who may schedule the machines of the windows and those that are scheduled.
pub(crate) fn schedule(world: &World, windows: Vec<Window>) -> OperatorCommand {
    let ids: Vec<_> = windows.iter().flat_map(|w| w.machine_ids.clone()).collect();
    let mut may = machines(&ids);
    may.extend(world.state().settings.machines.keys().cloned());
    schedule_with(may, windows)
}

pub(crate) fn down(ids: &[v1::MachineId]) -> OperatorCommand {
    OperatorCommand::StartMaintenance { permit: permit(machines(ids)), machines: ids.to_vec() }
}

pub(crate) fn up(ids: &[v1::MachineId]) -> OperatorCommand {
    OperatorCommand::StopMaintenance { permit: permit(machines(ids)), machines: ids.to_vec() }
}

fn refused(world: &mut World, command: OperatorCommand) -> String {
    let before = world.state().settings.machines;
    let refusal = world.operate(command).refusal().unwrap();
    assert_eq!(refusal.status(), 400);
    assert_eq!(world.state().settings.machines, before);
    assert_eq!(world.registry.machines.len(), before.size());
    refusal.to_string()
}

#[test]
fn a_schedule_is_shown_as_it_was_posted_and_outlives_the_master() {
    let mut world = World::new();
    let windows = vec![
        window(vec![machine_of(2), id("only-a-name", "")], 5, Some(7)),
        window(vec![id("", "10.0.0.9")], 9, None),
    ];
    assert_eq!(world.operate(schedule(&world, windows.clone())).refusal(), None);
    for _ in 0..2 {
        assert_eq!(world.state().settings.schedule().windows, windows);
        world.fail_over();
    }
    // Another schedule replaces the whole.
    let windows = vec![window(vec![id("only-a-name", "")], 6, None)];
    world.operate(schedule(&world, windows.clone()));
    world.fail_over();
    assert_eq!(world.state().settings.schedule().windows, windows);
    world.operate(schedule(&world, Vec::new()));
    assert!(world.registry.machines.is_empty());
}

#[test]
fn schedules_that_are_none_change_nothing() {
    let mut world = World::new();
    let down_one = machine_of(1);
    world.operate(schedule(&world, vec![window(vec![down_one.clone()], 1, None)]));
    world.operate(down(std::slice::from_ref(&down_one)));
    let shown = r#"{"hostname":"Host-1","ip":"10.0.0.1"}"#;
    let cases = [
        (vec![window(vec![], 1, None)], "List of machines in the maintenance window is empty"),
        (
            vec![window(vec![down_one.clone()], 1, Some(-1))],
            "Unavailability 'duration' is negative",
        ),
        (
            vec![window(vec![down_one.clone(), id("", "")], 1, None)],
            "Both 'hostname' and 'ip' for a machine are empty",
        ),
        (
            vec![window(vec![down_one.clone(), id("a", "10.0.0")], 1, None)],
            "Failed to parse IPv4: 10.0.0",
        ),
    ];
    for (windows, text) in cases {
        let command = schedule(&world, windows);
        assert_eq!(refused(&mut world, command), text);
    }
    let twice = vec![
        window(vec![down_one.clone()], 1, None),
        window(vec![id("hOST-1", "10.0.0.1")], 2, None),
    ];
    let command = schedule(&world, twice);
    let text = refused(&mut world, command);
    let other = r#"{"hostname":"hOST-1","ip":"10.0.0.1"}"#;
    assert_eq!(text, format!("Machine '{other}' appears more than once in the schedule"));
    let command = schedule(&world, vec![window(vec![machine_of(2)], 1, None)]);
    let text = refused(&mut world, command);
    let words = "is deactivated and cannot be removed from the schedule";
    assert_eq!(text, format!("Machine '{shown}' {words}"));
}

#[test]
fn who_posts_a_schedule_may_schedule_the_machines_that_it_leaves_out_too() {
    let mut world = World::new();
    let two = vec![window(vec![machine_of(1), machine_of(2)], 1, None)];
    world.operate(schedule(&world, two.clone()));
    // Who may schedule the first only does not take the second out of the schedule.
    let one = vec![window(vec![machine_of(1)], 1, None)];
    let may = machines(&[machine_of(1)]);
    for windows in [one.clone(), Vec::new()] {
        let refusal = world.operate(schedule_with(may.clone(), windows)).refusal().unwrap();
        assert_eq!(refusal, Refusal::NotPermitted);
        assert_eq!(world.state().settings.schedule().windows, two);
    }
    let may = machines(&[machine_of(1), machine_of(2)]);
    assert_eq!(world.operate(schedule_with(may, one.clone())).refusal(), None);
    assert_eq!(world.state().settings.schedule().windows, one);
}

#[test]
fn a_machine_goes_down_with_its_agents_and_comes_up_unscheduled() {
    let mut world = World::new();
    let (one, two) = (world.join(1, "cpus:4;mem:1024"), world.join(2, "cpus:4;mem:1024"));
    let scheduler = world.scheduler("one");
    world.wait(SECOND);
    let shown = |n: u8| format!(r#"{{"hostname":"Host-{n}","ip":"10.0.0.{n}"}}"#);
    assert_eq!(
        refused(&mut world, down(&[machine_of(1)])),
        format!("Machine '{}' is not in DRAINING mode and cannot be brought down", shown(1))
    );
    assert_eq!(
        refused(&mut world, down(&[machine_of(9)])),
        format!("Machine '{}' is not part of a maintenance schedule", shown(9))
    );
    assert_eq!(refused(&mut world, down(&[])), "List of machines is empty");
    world.operate(schedule(&world, vec![window(vec![machine_of(1)], 1, None)]));
    assert_eq!(
        refused(&mut world, up(&[machine_of(1)])),
        format!("Machine '{}' is not in DOWN mode and cannot be brought up", shown(1))
    );

    let old = world.reregister_message(1, &one);
    let done = world.operate(down(&[machine_of(1)]));
    assert_eq!(done.refusal(), None);
    let told: Vec<_> = done
        .sent()
        .into_iter()
        .filter_map(|(_, to, message)| match message {
            Outbound::Shutdown(message) => Some((to.pid.to_string(), message.message.clone())),
            _ => None,
        })
        .collect();
    let cause = Some("Operator initiated 'Machine DOWN'".to_owned());
    assert_eq!(told, [("slave(1)@10.0.0.1:5051".to_owned(), cause)]);
    assert!(!world.state().agents.contains_key(&one) && world.state().agents.contains_key(&two));
    assert!(done.events(scheduler.subscription).iter().any(|e| e.failure.is_some()));
    world.fail_over();
    let machine = Machine::new("host-1", "10.0.0.1").unwrap();
    assert_eq!(world.state().settings.machines.get(&machine).unwrap().mode, MachineMode::Down);

    // Neither a new agent nor the old one is let in there.
    let said = |done: &Done| match done.sent()[..] {
        [(_, _, Outbound::Shutdown(message))] => message.message.clone(),
        ref other => panic!("{other:?}"),
    };
    let is_down = Some("Machine is `DOWN`".to_owned());
    let new = Inbound::RegisterAgent(register_message(1, "cpus:4;mem:1024"));
    assert_eq!(said(&world.say(&host(1), new)), is_down);
    assert_eq!(said(&world.say(&host(1), Inbound::ReregisterAgent(old))), is_down);
    assert!(world.state().agents.is_empty());

    assert_eq!(world.operate(up(&[machine_of(1)])).refusal(), None);
    assert!(world.state().settings.machines.is_empty() && world.registry.machines.is_empty());
    world.say(&host(1), Inbound::RegisterAgent(register_message(1, "cpus:4;mem:1024")));
    assert_eq!(world.state().agents.size(), 1);
}

#[test]
fn agents_of_scheduled_machines_are_offered_with_the_time() {
    let mut world = World::new();
    world.operate(schedule(&world, vec![window(vec![machine_of(1)], 5, Some(7))]));
    world.join(1, "cpus:4;mem:1024");
    let scheduler = world.scheduler("one");
    let done = world.wait(SECOND);
    let offers = |done: &Done| -> Vec<v1::Offer> {
        let events = done.events(scheduler.subscription).into_iter();
        events.filter_map(|event| event.offers).flat_map(|offers| offers.offers).collect()
    };
    let made = offers(&done);
    let made = if made.is_empty() { offers(&world.wait(SECOND)) } else { made };
    let start = |offer: &v1::Offer| offer.unavailability.as_ref().map(|u| u.start.nanoseconds);
    assert!(made.iter().all(|offer| start(offer) == Some(5)), "{made:?}");
}

#[test]
fn a_new_time_takes_back_what_is_offered_of_the_machines_agents() {
    let mut world = World::new();
    let (one, two) = (world.join(1, "cpus:4;mem:1024"), world.join(2, "cpus:4;mem:1024"));
    let scheduler = world.scheduler("one");
    world.wait(SECOND);
    let of = |world: &World, agent| world.offers_of(&scheduler, agent);
    let (before, other) = (of(&world, &one), of(&world, &two));
    assert!(!before.is_empty() && !other.is_empty());
    world.operate(schedule(&world, vec![window(vec![machine_of(1)], 1, None)]));
    assert_ne!(of(&world, &one), before);
    assert_eq!(of(&world, &two), other);
}

#[test]
fn an_agent_in_the_schedule_is_not_drained() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1024");
    world.operate(schedule(&world, vec![window(vec![machine_of(1)], 1, None)]));
    let command = OperatorCommand::DrainAgent {
        permit: permit([()]),
        mark_gone: None,
        agent_id: agent.clone(),
        config: v1::DrainConfig::default(),
    };
    let refusal = world.operate(command).refusal().unwrap();
    let text =
        format!("Agent {agent} is part of a maintenance schedule under Machine host-1 (10.0.0.1)");
    assert_eq!((refusal.status(), refusal.to_string()), (400, text));
}
