//! An operator: asks for changes and remembers what was promised. What was answered with yes must
//! be on record then, and stay there until the operator asks for something else.

use std::collections::BTreeMap;
use std::time::Duration;

use master::engine::command::{OperatorCommand, ResourceCommand};
use model::id::AgentId;
use model::machine::Machine;
use model::principal::Principal;
use model::resources::{Resources, Scalar};
use model::time::Instant;
use registry::{Contents, MachineMode, Standing};
use wire::resources::{Form, write};
use wire::v1;
use wire::v1::offer::operation;

use crate::core::{Core, Happening};
use crate::names::{Host, Node, agent_pid};
use crate::net::{Lane, Parcel};
use crate::scheduler::operations::volume_id;

const ME: Node = Node { host: Host::Operator, run: 1 };

/// What the door gives to an operator.
#[expect(clippy::expect_used, reason = "the door permits everything to whom it has let in")]
fn permit<A: authz::Action>(objects: impl IntoIterator<Item = A::Object>) -> authz::Permit<A> {
    let subject = authz::Subject::new(Some(Principal::named("o")));
    authz::Authorizer::door().permit(&subject, objects).expect("a permit")
}

/// What a command is about. A later command about the same puts an end to the earlier promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    Agent(AgentId),
    Resources(AgentId),
    Quota(String),
    Schedule,
    Weight(String),
}

/// What is on record when the command was answered with yes.
#[derive(Clone, Debug, PartialEq)]
enum Promise {
    Gone,
    Deactivated,
    Draining,
    Active,
    /// Of CPUs, at the least and at the most.
    Quota(f64, f64),
    NoQuota,
    Weight(f64),
    /// So many machines are scheduled.
    Scheduled(usize),
    /// These machines are down.
    Down(Vec<v1::MachineId>),
    /// No machine is down.
    NoneDown,
    /// What is done shows elsewhere.
    Nothing,
}

impl Promise {
    /// What an operator has done when it is made.
    fn name(&self) -> &'static str {
        match self {
            Self::Gone => "commands: agent gone",
            Self::Deactivated => "commands: agent deactivated",
            Self::Draining => "commands: agent drains",
            Self::Active => "commands: agent reactivated",
            Self::Quota(..) => "commands: quota set",
            Self::NoQuota => "commands: quota lifted",
            Self::Weight(_) => "commands: weight set",
            Self::Scheduled(_) => "commands: maintenance scheduled",
            Self::Down(_) => "commands: machine down",
            Self::NoneDown => "commands: machines up",
            Self::Nothing => "commands: resources given up",
        }
    }
}

/// A command that waits for its answer.
#[derive(Debug)]
struct Asked {
    at: Instant,
    matter: Matter,
    promise: Promise,
}

/// What was asked and not answered may still be on its way for so long.
const UNDER_WAY: Duration = Duration::from_secs(400);

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    asked: BTreeMap<u64, Asked>,
    /// What holds; `None` while nobody knows.
    promised: BTreeMap<Matter, Option<Promise>>,
    /// The machines of the last schedule that was asked for.
    scheduled: Vec<v1::MachineId>,
    next: u64,
}

fn quota(role: &str, guaranteed: f64, most: f64) -> v1::quota::QuotaConfig {
    let some = |cpus: f64| {
        let scalar = v1::value::Scalar { value: cpus };
        (cpus > 0.0).then(|| ("cpus".to_owned(), scalar)).into_iter().collect()
    };
    v1::quota::QuotaConfig {
        role: role.to_owned(),
        guarantees: some(guaranteed),
        limits: some(most),
    }
}

fn machine(n: u8) -> v1::MachineId {
    v1::MachineId {
        hostname: Some(format!("host-{n}")),
        ip: Some(agent_pid(n).address.ip().to_string()),
    }
}

fn schedule(machines: Vec<v1::MachineId>, core: &Core) -> v1::maintenance::Schedule {
    let start = v1::TimeInfo { nanoseconds: core.now.wall.as_nanos() };
    let window = v1::maintenance::Window {
        machine_ids: machines,
        unavailability: v1::Unavailability { start, duration: None },
    };
    let windows = if window.machine_ids.is_empty() { Vec::new() } else { vec![window] };
    v1::maintenance::Schedule { windows }
}

fn update_quota(role: &str, guaranteed: f64, most: f64) -> OperatorCommand {
    let configs = vec![quota(role, guaranteed, most)];
    OperatorCommand::UpdateQuota { permit: permit([role.to_owned()]), configs, force: true }
}

fn update_weight(role: &str, weight: f64) -> OperatorCommand {
    let weights = vec![v1::WeightInfo { weight, role: Some(role.to_owned()) }];
    OperatorCommand::UpdateWeights { permit: permit([role.to_owned()]), weights }
}

fn drain(agent_id: AgentId, core: &mut Core) -> OperatorCommand {
    let gone = core.dice.percent(30);
    let grace = core.dice.percent(50).then_some(v1::DurationInfo { nanoseconds: 5_000_000_000 });
    let config = v1::DrainConfig { max_grace_period: grace, mark_gone: Some(gone) };
    let mark_gone = gone.then(|| permit([()]));
    OperatorCommand::DrainAgent { permit: permit([()]), mark_gone, agent_id, config }
}

impl Operator {
    /// Does one of the things that operators do.
    pub(crate) fn acts(&mut self, core: &mut Core) {
        if !core.turmoil {
            return;
        }
        let agents: Vec<AgentId> = core.ledger.admitted.iter().cloned().collect();
        let role = core.dice.one_of(&["red", "blue", "*"]).unwrap_or("*");
        match core.dice.below(14) {
            0..2 => self.with_an_agent(&agents, core, |operator, id, core| {
                let command = drain(id.clone(), core);
                operator.ask(Matter::Agent(id), Promise::Draining, command, core);
            }),
            2 => self.with_an_agent(&agents, core, |operator, id, core| {
                let command =
                    OperatorCommand::DeactivateAgent { permit: permit([()]), agent_id: id.clone() };
                operator.ask(Matter::Agent(id), Promise::Deactivated, command, core);
            }),
            3..5 => self.with_an_agent(&agents, core, Self::reactivate),
            5 => self.with_an_agent(&agents, core, Self::gives_up),
            6..8 if role != "*" => {
                let cpus = core.dice.one_of(&[0.5, 2.0, 5.0]).unwrap_or(1.0);
                let guaranteed = if core.dice.percent(40) { cpus } else { 0.0 };
                let matter = Matter::Quota(role.to_owned());
                let command = update_quota(role, guaranteed, cpus);
                self.ask(matter, Promise::Quota(guaranteed, cpus), command, core);
            }
            8 if role != "*" => self.lift_quota(role, core),
            9 => {
                let weight = core.dice.one_of(&[0.5, 2.0, 7.0]).unwrap_or(2.0);
                let matter = Matter::Weight(role.to_owned());
                self.ask(matter, Promise::Weight(weight), update_weight(role, weight), core);
            }
            10 => {
                let machines: Vec<_> = (1..=core.shape.agents.len())
                    .filter(|_| core.dice.percent(50))
                    .filter_map(|n| u8::try_from(n).ok())
                    .map(machine)
                    .collect();
                self.schedules(machines, core);
            }
            11 => {
                if let Some(machine) = core.dice.one_of(&self.scheduled) {
                    self.takes_down(vec![machine], core);
                }
            }
            _ => {}
        }
        let wait = core.dice.between(Duration::from_secs(5), Duration::from_secs(60));
        core.after(wait, Happening::Operator);
    }
}

impl Operator {
    fn with_an_agent(
        &mut self,
        agents: &[AgentId],
        core: &mut Core,
        act: impl FnOnce(&mut Self, AgentId, &mut Core),
    ) {
        if let Some(agent) = core.dice.one_of(agents) {
            act(self, agent, core);
        }
    }

    pub(crate) fn gives_up(&mut self, agent_id: AgentId, core: &mut Core) {
        let command =
            OperatorCommand::MarkAgentGone { permit: permit([()]), agent_id: agent_id.clone() };
        self.ask(Matter::Agent(agent_id), Promise::Gone, command, core);
    }

    fn reactivate(&mut self, agent_id: AgentId, core: &mut Core) {
        let command =
            OperatorCommand::ReactivateAgent { permit: permit([()]), agent_id: agent_id.clone() };
        self.ask(Matter::Agent(agent_id), Promise::Active, command, core);
    }

    fn lift_quota(&mut self, role: &str, core: &mut Core) {
        let matter = Matter::Quota(role.to_owned());
        self.ask(matter, Promise::NoQuota, update_quota(role, 0.0, 0.0), core);
    }

    fn schedules(&mut self, machines: Vec<v1::MachineId>, core: &mut Core) {
        self.scheduled.clone_from(&machines);
        let count = machines.len();
        // A new schedule may leave out any machine.
        let all = (1..=core.shape.agents.len()).filter_map(|n| u8::try_from(n).ok());
        let objects = all.filter_map(|n| known(&machine(n))).collect::<Vec<_>>();
        let schedule = schedule(machines, core);
        let command = OperatorCommand::UpdateSchedule { permit: permit(objects), schedule };
        self.ask(Matter::Schedule, Promise::Scheduled(count), command, core);
    }

    fn takes_down(&mut self, machines: Vec<v1::MachineId>, core: &mut Core) {
        let objects = machines.iter().filter_map(known).collect::<Vec<_>>();
        let promise = Promise::Down(machines.clone());
        let command = OperatorCommand::StartMaintenance { permit: permit(objects), machines };
        self.ask(Matter::Schedule, promise, command, core);
    }

    /// Gives up reservations and volumes that an agent still has: the frameworks that made them
    /// may be gone.
    pub(crate) fn unreserves(&mut self, agent_id: &AgentId, total: &Resources, core: &mut Core) {
        let principals = ["", "f1", "f2", "f3"].map(str::to_owned);
        let volumes = total.filter(|resource| resource.is_persistent_volume());
        let reserved = total.filter(|resource| resource.reserved_to().is_some());
        let conversion = if !volumes.is_empty() {
            let volumes = write(&volumes, Form::PostRefinement);
            for volume in &volumes {
                core.ledger.volume_given_up(&volume_id(volume));
            }
            ResourceCommand::Destroy(permit(principals), operation::Destroy { volumes })
        } else if !reserved.is_empty() {
            let resources = write(&reserved, Form::PostRefinement);
            ResourceCommand::Unreserve(permit(principals), operation::Unreserve { resources })
        } else {
            return;
        };
        let command = OperatorCommand::Convert { agent_id: agent_id.clone(), conversion };
        self.ask(Matter::Resources(agent_id.clone()), Promise::Nothing, command, core);
    }

    /// Lets everything be offered to everybody again, where something is in the way.
    pub(crate) fn tidies(&mut self, contents: &Contents, core: &mut Core) {
        for (id, record) in &contents.agents {
            let kept = record.orders.deactivated || record.orders.drain.is_some();
            if kept && !matches!(record.standing, Standing::Gone { .. }) {
                self.reactivate(id.clone(), core);
            }
        }
        for role in contents.quotas.keys() {
            self.lift_quota(role.as_str(), core);
        }
        let down = contents.machines.values().filter(|m| m.mode == MachineMode::Down);
        let down: Vec<_> = down.map(|machine| machine.posted.clone()).collect();
        if !down.is_empty() {
            let objects = down.iter().filter_map(known).collect::<Vec<_>>();
            let command =
                OperatorCommand::StopMaintenance { permit: permit(objects), machines: down };
            self.ask(Matter::Schedule, Promise::NoneDown, command, core);
        } else if !contents.machines.is_empty() {
            self.schedules(Vec::new(), core);
        }
    }

    fn ask(&mut self, matter: Matter, promise: Promise, command: OperatorCommand, core: &mut Core) {
        let leader = core.leader.clone();
        let Some(to) = leader.and_then(|leader| core.net.listeners.get(&leader.address).copied())
        else {
            return;
        };
        let now = core.now.monotonic;
        self.asked.retain(|_, asked| now.saturating_since(asked.at) < UNDER_WAY);
        if self.asked.values().any(|asked| asked.matter == matter) {
            return;
        }
        self.next += 1;
        core.trace(ME, || format!("wants {command:?}"));
        // Until it is answered nobody knows.
        self.promised.insert(matter.clone(), None);
        self.asked.insert(self.next, Asked { at: now, matter, promise });
        let pipe = core.pipe(ME, to, Lane::Requests);
        core.send(pipe, Parcel::Command { number: self.next, command: Box::new(command) });
    }

    pub(crate) fn receive(&mut self, parcel: Parcel, core: &mut Core) {
        let Parcel::Answer { number, answer } = parcel else { return };
        core.ledger.record_changed = true;
        match answer {
            Ok(_) => {
                if let Some(asked) = self.asked.remove(&number) {
                    core.ledger.count(asked.promise.name());
                    self.promised.insert(asked.matter, Some(asked.promise));
                }
            }
            Err(refusal) => {
                core.ledger.count("commands that were refused");
                core.trace(ME, || format!("is refused: {refusal}"));
                self.asked.remove(&number);
            }
        }
    }

    /// What was promised and is not on record.
    pub(crate) fn broken_promise(&self, contents: &Contents, core: &Core) -> Option<String> {
        let kept = self
            .promised
            .iter()
            .filter_map(|(matter, promise)| promise.as_ref().map(|promise| (matter, promise)));
        for (matter, promise) in kept {
            if matches!(matter, Matter::Agent(id) if core.ledger.forgotten.contains(id)) {
                continue;
            }
            if !is_kept(matter, promise, contents) {
                return Some(format!(
                    "{matter:?} was promised {promise:?}, which is not on record"
                ));
            }
        }
        None
    }
}

fn known(machine: &v1::MachineId) -> Option<Machine> {
    Machine::new(machine.hostname(), machine.ip()).ok()
}

fn is_kept(matter: &Matter, promise: &Promise, contents: &Contents) -> bool {
    let down = |machine: &v1::MachineId| {
        let record = known(machine).and_then(|machine| contents.machines.get(&machine));
        record.is_some_and(|record| record.mode == MachineMode::Down)
    };
    match (matter, promise) {
        (Matter::Agent(id), Promise::Gone) => contents
            .agents
            .get(id)
            .is_some_and(|record| matches!(record.standing, Standing::Gone { .. })),
        (Matter::Agent(id), promise) => {
            // An agent that was forgotten or given up takes its orders with it.
            let record = contents.agents.get(id);
            let record = record.filter(|r| !matches!(r.standing, Standing::Gone { .. }));
            record.is_none_or(|record| match promise {
                Promise::Deactivated => record.orders.deactivated,
                Promise::Draining => record.orders.drain.is_some(),
                Promise::Active => !record.orders.deactivated && record.orders.drain.is_none(),
                _ => true,
            })
        }
        (Matter::Quota(role), Promise::Quota(guaranteed, most)) => {
            let near = |is: Scalar, should: f64| (is.as_f64() - should).abs() < 0.001;
            let quota = contents.quotas.iter().find(|(of, _)| of.as_str() == role);
            quota.is_some_and(|(_, quota)| {
                near(quota.guarantees().get("cpus"), *guaranteed)
                    && quota.limits().get("cpus").is_some_and(|limit| near(limit, *most))
            })
        }
        (Matter::Quota(role), _) => !contents.quotas.keys().any(|of| of.as_str() == role),
        (Matter::Weight(role), Promise::Weight(weight)) => {
            let entered = contents.weights.iter().find(|(of, _)| of.as_str() == role);
            entered.is_some_and(|(_, entered)| (entered.as_f64() - weight).abs() < 0.001)
        }
        (Matter::Schedule, Promise::Scheduled(count)) => contents.machines.len() == *count,
        (Matter::Schedule, Promise::Down(machines)) => machines.iter().all(down),
        (Matter::Schedule, Promise::NoneDown) => {
            contents.machines.values().all(|machine| machine.mode != MachineMode::Down)
        }
        _ => true,
    }
}

/// Whether all that agents were promised is on record.
pub(crate) fn check_admissions(contents: &Contents, core: &mut Core) {
    let missing = core.ledger.admitted.iter().find(|id| !contents.agents.contains_key(*id));
    if let Some(id) = missing {
        let what = format!("{id} was told that it is registered, which is not on record");
        core.ledger.violations.push(what);
    }
}
