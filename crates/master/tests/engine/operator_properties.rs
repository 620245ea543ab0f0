//! Whatever operators ask for, in whatever order: what is refused changes nothing, what is done is
//! on record, and the next master knows it.

use alcazar_master::engine::command::{ResourceCommand, objects};
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::OperatorCommand;
use model::id::AgentId;
use proptest::prelude::*;
use wire::v1;
use wire::v1::offer::operation;

use crate::operator_maintenance::{down, id, machine_of, schedule, up, window};
use crate::operator_quota::{config, update};
use crate::operator_resources::{reserve, reserved, unreserve, volume};
use crate::operator_weights::weights;
use crate::world::*;

/// Something that an operator asks for; numbers choose among few, good and bad.
#[derive(Clone, Debug)]
enum Ask {
    Create(u8, u8),
    Deactivate(u8),
    Down(Vec<u8>),
    Drain(u8, bool),
    Gone(u8),
    Quota(Vec<(u8, u8, u8)>, bool),
    Reactivate(u8),
    RemoveQuota(u8),
    Reserve(u8, u8, bool),
    Schedule(Vec<(Vec<u8>, i64)>),
    SetQuota(u8, u8, bool),
    Teardown(bool),
    Unreserve(u8, u8),
    Up(Vec<u8>),
    Weights(Vec<(u8, u8)>),
}

fn asks() -> impl Strategy<Value = Ask> {
    let some = |n| prop::collection::vec(0u8..7, 0..n);
    prop_oneof![
        (0u8..5, 0u8..4).prop_map(|(agent, size)| Ask::Create(agent, size)),
        (0u8..5).prop_map(Ask::Deactivate),
        some(3).prop_map(Ask::Down),
        (0u8..5, any::<bool>()).prop_map(|(agent, gone)| Ask::Drain(agent, gone)),
        (0u8..9).prop_map(Ask::Gone),
        (prop::collection::vec((0u8..7, 0u8..9, 0u8..9), 0..3), any::<bool>())
            .prop_map(|(configs, force)| Ask::Quota(configs, force)),
        (0u8..5).prop_map(Ask::Reactivate),
        (0u8..7).prop_map(Ask::RemoveQuota),
        (0u8..5, 0u8..6, any::<bool>()).prop_map(|(a, n, well)| Ask::Reserve(a, n, well)),
        prop::collection::vec((some(3), -2i64..3), 0..3).prop_map(Ask::Schedule),
        (0u8..7, 0u8..9, any::<bool>()).prop_map(|(r, n, force)| Ask::SetQuota(r, n, force)),
        prop::bool::weighted(0.1).prop_map(Ask::Teardown),
        (0u8..5, 0u8..6).prop_map(|(agent, amount)| Ask::Unreserve(agent, amount)),
        some(3).prop_map(Ask::Up),
        prop::collection::vec((0u8..7, 0u8..9), 0..3).prop_map(Ask::Weights),
    ]
}

const ROLES: [&str; 7] = ["a", "b", "eng", "eng/web", "*", "..", ""];
const NUMBERS: [f64; 9] = [0.0, 0.5, 1.0, 3.0, 5.0, -1.0, f64::NAN, f64::INFINITY, 1e-310];

fn role(n: u8) -> &'static str {
    ROLES[usize::from(n)]
}

fn number(n: u8) -> f64 {
    NUMBERS[usize::from(n)]
}

fn machine(n: u8) -> v1::MachineId {
    match n {
        0..=3 => machine_of(n + 1),
        4 => id("only-a-name", ""),
        5 => id("", ""),
        _ => id("x", "no address"),
    }
}

fn machines(numbers: &[u8]) -> Vec<v1::MachineId> {
    numbers.iter().map(|n| machine(*n)).collect()
}

struct Cluster {
    world: World,
    agents: Vec<AgentId>,
    scheduler: Scheduler,
}

impl Cluster {
    fn new() -> Self {
        let mut world = World::new();
        let agents = (1..=4).map(|n| world.join(n, "cpus:4;mem:1024;disk:512")).collect();
        let scheduler = world.scheduler("one");
        world.wait(SECOND);
        let mut cluster = Self { world, agents, scheduler };
        let first = cluster.agents[0].clone();
        cluster.world.launch(&cluster.scheduler, &first, "task");
        cluster
    }

    fn agent(&self, n: u8) -> AgentId {
        let known = self.agents.get(usize::from(n)).cloned();
        known.unwrap_or_else(|| AgentId::new("m-S99").unwrap())
    }

    fn command(&self, ask: &Ask) -> OperatorCommand {
        match ask {
            Ask::Create(agent, size) => {
                let volume = volume(u32::from(*size) + 1, "v");
                let create = operation::Create { volumes: vec![volume] };
                let permit = permit(objects::create(&create));
                let conversion = ResourceCommand::Create(permit, create);
                OperatorCommand::Convert { agent_id: self.agent(*agent), conversion }
            }
            Ask::Deactivate(agent) => {
                let (permit, agent_id) = (permit([()]), self.agent(*agent));
                OperatorCommand::DeactivateAgent { permit, agent_id }
            }
            Ask::Down(ids) => down(&machines(ids)),
            Ask::Drain(agent, gone) => OperatorCommand::DrainAgent {
                permit: permit([()]),
                // Half of those who want it gone are not permitted to.
                mark_gone: (*agent % 2 == 0).then(|| permit([()])),
                agent_id: self.agent(*agent),
                config: v1::DrainConfig { max_grace_period: None, mark_gone: Some(*gone) },
            },
            Ask::Gone(agent) => mark_gone(&self.agent(*agent)),
            Ask::Quota(all, force) => {
                let config = |(r, guarantee, limit): &(u8, u8, u8)| {
                    let limits = [("cpus", number(*limit))];
                    let limits = if *limit == 1 { &[][..] } else { &limits };
                    config(role(*r), &[("cpus", number(*guarantee))], limits)
                };
                update(all.iter().map(config).collect(), *force)
            }
            Ask::Reactivate(agent) => {
                let (permit, agent_id) = (permit([()]), self.agent(*agent));
                OperatorCommand::ReactivateAgent { permit, agent_id }
            }
            Ask::RemoveQuota(r) => OperatorCommand::RemoveQuota {
                permit: permit([role(*r).to_owned()]),
                role: role(*r).to_owned(),
                path: None,
            },
            Ask::Reserve(agent, amount, well) => {
                let text = format!("cpus:{amount};disk:{amount}");
                let wanted = if *well { reserved(&text, "ops") } else { resources(&text) };
                reserve(&self.agent(*agent), wanted)
            }
            Ask::Schedule(windows) => {
                let window =
                    |(ids, duration): &(Vec<u8>, i64)| window(machines(ids), 7, Some(*duration));
                schedule(&self.world, windows.iter().map(window).collect())
            }
            Ask::SetQuota(r, amount, force) => OperatorCommand::SetQuota {
                permit: permit([role(*r).to_owned()]),
                request: v1::quota::QuotaRequest {
                    force: Some(*force),
                    role: Some(role(*r).to_owned()),
                    guarantee: vec![v1::Resource {
                        name: "cpus".to_owned(),
                        r#type: v1::value::Type::Scalar.into(),
                        scalar: Some(v1::value::Scalar { value: number(*amount) }),
                        ..v1::Resource::default()
                    }],
                },
            },
            Ask::Teardown(known) => {
                let stranger = "nobody".parse().unwrap();
                OperatorCommand::Teardown {
                    permit: permit(["".to_owned(), "one".to_owned()]),
                    framework_id: if *known { self.scheduler.id.clone() } else { stranger },
                }
            }
            Ask::Unreserve(agent, amount) => {
                unreserve(&self.agent(*agent), reserved(&format!("cpus:{amount}"), "ops"))
            }
            Ask::Up(ids) => up(&machines(ids)),
            Ask::Weights(all) => {
                let all: Vec<_> = all.iter().map(|(r, n)| (role(*r), number(*n))).collect();
                weights(&all)
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_operators_are_refused_leaves_no_trace_and_what_they_are_granted_stays(
        asks in prop::collection::vec(asks(), 1..24)
    ) {
        let mut cluster = Cluster::new();
        for ask in &asks {
            let command = cluster.command(ask);
            let before = (format!("{:?}", cluster.world.state()), cluster.world.registry.clone());
            let done = cluster.world.operate(command);
            if let Some(refusal) = done.refusal() {
                prop_assert!((400..=499).contains(&refusal.status()), "{ask:?}: {refusal}");
                let after = (format!("{:?}", cluster.world.state()), cluster.world.registry.clone());
                prop_assert_eq!(&before.1, &after.1, "{:?}: {}", ask, refusal);
                prop_assert!(before.0 == after.0, "{ask:?}: {refusal}");
                let quiet = |effect: &Effect| {
                    matches!(effect, Effect::Answer { .. } | Effect::Log { .. })
                };
                prop_assert!(done.0.iter().all(quiet), "{ask:?}: {:?}", done.names());
            }
            // The record and what is shown say the same.
            let settings = cluster.world.state().settings;
            let record = &cluster.world.registry;
            prop_assert_eq!(settings.quotas.size(), record.quotas.len());
            prop_assert_eq!(settings.weights.size(), record.weights.len());
            prop_assert_eq!(settings.machines.size(), record.machines.len());
        }
        let settings = cluster.world.state().settings;
        cluster.world.fail_over();
        prop_assert_eq!(cluster.world.state().settings, settings);
    }
}
