//! What must hold: after each step, and at the end, when nothing has gone wrong for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use agent::engine::state::Activity;
use model::id::FrameworkId;
use model::time::Instant;
use wire::v1::TaskState;

use crate::core::Happening;
use crate::operator::check_admissions;
use crate::scheduler::is_final;
use crate::shape::Life;
use crate::world::World;

/// How long all may take to be well again.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// How long an agent may give more than it has: when a conversion and a task that uses its outcome
/// got lost together, the conversion is taken back at once, the task when the agent has answered.
const STRAIN: Duration = Duration::from_secs(900);

/// What must hold after every step.
pub(crate) fn after_step(world: &mut World) {
    // Where debug assertions are on the engine has looked already.
    if !cfg!(debug_assertions)
        && let Some(master) = &world.master
        && let Err(why) = master.engine.check_invariants()
    {
        world.core.ledger.violation(why);
    }
    // These cost more and change less.
    if world.steps.is_multiple_of(16) {
        now_and_then(world);
    }
}

/// What must hold always, looked at now and then.
pub(crate) fn now_and_then(world: &mut World) {
    if std::mem::take(&mut world.core.ledger.record_changed) {
        let contents = world.record();
        check_admissions(&contents, &mut world.core);
        if let Some(what) = world.operator.broken_promise(&contents, &world.core) {
            world.core.ledger.violation(what);
        }
    }
    conserved(world);
    asked(world);
    volumes(world);
}

/// No agent gives more than it has, and no task is in two places of the master's books.
fn conserved(world: &mut World) {
    let Some(master) = &world.master else { return };
    let state = master.engine.snapshot();
    let now = world.core.now.monotonic;
    for agent in state.agents.values() {
        let given = agent.used_by_all().plus(&agent.offered).unallocated();
        let strained = &mut world.core.ledger.strained;
        if agent.total.contains(&given) {
            strained.remove(&agent.id);
        } else if now.saturating_since(*strained.entry(agent.id.clone()).or_insert(now)) > STRAIN {
            let what = format!("{} has {} and gives {given}", agent.id, agent.total);
            world.core.ledger.violation(what);
        }
    }
    for framework in state.frameworks.values() {
        for task in framework.unreachable_tasks.iter() {
            if framework.tasks.contains_key(&task.id) {
                let what = format!("{} is unreachable and is not", task.id);
                world.core.ledger.violation(what);
            }
        }
    }
}

/// Who is asked to leave an agent is asked once, while it can answer and the plan stands.
fn asked(world: &mut World) {
    let Some(master) = &world.master else { return };
    let state = master.engine.snapshot();
    let mut pairs = BTreeSet::new();
    for (id, offer) in state.inverse_offers.iter() {
        let agent = state.agents.get(&offer.agent_id);
        let plan = agent.filter(|agent| agent.active && agent.inverse_offers.contains(id));
        let framework = state.frameworks.get(&offer.framework_id);
        let stands = plan.is_some_and(|agent| agent.unavailability == Some(offer.unavailability))
            && framework.is_some_and(|f| f.active && f.inverse_offers.contains(id))
            && pairs.insert((&offer.framework_id, &offer.agent_id));
        if !stands {
            let (who, agent) = (&offer.framework_id, &offer.agent_id);
            let what = format!("{who} is still asked to leave {agent}, or twice");
            world.core.ledger.violation(what);
        }
    }
}

/// A volume that a scheduler was told to be there is there, whatever crashed since.
fn volumes(world: &mut World) {
    let lost = world.core.ledger.volumes.iter().find(|(volume, agent)| {
        let machine = world.machines.iter().find(|machine| {
            machine.disk.agent_id().is_some_and(|id| id.as_str() == agent.as_str())
        });
        machine.is_some_and(|machine| !machine.disk.has_volume(volume))
    });
    if let Some((volume, agent)) = lost {
        let what = format!("{volume} was made on {agent} and is not on its disk");
        world.core.ledger.violation(what);
    }
}

/// Whether all is well now; asks again later if not, and complains when it takes too long.
pub(crate) fn look(world: &mut World) {
    give_up_phantoms(world);
    let contents = world.record();
    world.operator.tidies(&contents, &mut world.core);
    if let Some(master) = &world.master {
        for (id, agent) in master.engine.snapshot().agents.iter() {
            world.operator.unreserves(id, &agent.total, &mut world.core);
        }
    }
    let healed = world.core.shape.turmoil;
    match complaint(world) {
        None => world.content = true,
        Some(what) if world.core.now.monotonic > Instant::new(healed + PATIENCE) => {
            world.core.ledger.violation(format!("it does not get well: {what}"));
        }
        Some(what) => {
            world.core.trace("inspection", || what);
            world.core.after(Duration::from_secs(60), Happening::Inspection);
        }
    }
}

/// An agent that never heard of the id that it was given comes back under another one. Its tasks
/// are unreachable until an operator says that it is gone.
fn give_up_phantoms(world: &mut World) {
    for (id, record) in world.record().agents {
        let real = world.machines.iter().any(|machine| machine.disk.agent_id() == Some(&id));
        if !real && matches!(record.standing, registry::Standing::Unreachable { .. }) {
            world.operator.gives_up(id, &mut world.core);
        }
    }
}

fn complaint(world: &World) -> Option<String> {
    agents(world).or_else(|| frameworks(world)).or_else(|| updates(world))
}

/// Every agent is registered and has nothing left to tell.
fn agents(world: &World) -> Option<String> {
    let Some(master) = &world.master else { return Some("nobody leads".to_owned()) };
    let state = master.engine.snapshot();
    for machine in &world.machines {
        let n = machine.n;
        let Some(process) = &machine.process else {
            return Some(format!("agent {n} does not run"));
        };
        let own = process.engine.state();
        if own.activity != Activity::Running {
            return Some(format!("agent {n} is {:?}", own.activity));
        }
        let known = own.id.as_ref().and_then(|id| state.agents.get(id));
        let Some(known) = known.filter(|agent| agent.connected) else {
            return Some(format!("agent {n} is not registered"));
        };
        if !known.used.is_empty() {
            return Some(format!("agent {n} has {} in use", known.used_by_all()));
        }
        if known.total != own.total {
            let (here, there) = (&own.total, &known.total);
            return Some(format!("agent {n} has {here}, the master believes {there}"));
        }
        if known.total.iter().any(|resource| resource.reserved_to().is_some()) {
            return Some(format!("agent {n} still has reservations: {}", known.total));
        }
        if known.unavailability.is_some() || !known.inverse_offers.is_empty() {
            return Some(format!("the master still plans maintenance of agent {n}"));
        }
        if let Some(operation) = own.operations.values().next() {
            return Some(format!("agent {n} still has operation {:?}", operation.uuid));
        }
        if let Some(uuid) = known.operations.iter().next() {
            return Some(format!("the master still has an operation of agent {n}: {uuid:?}"));
        }
        if let Some(container) = machine.containers.values().find(|container| !container.ended) {
            let of = &container.framework;
            return Some(format!("{} of {of} still runs on host-{n}", container.executor));
        }
        for framework in own.frameworks.values() {
            for executor in framework.executors.values() {
                if !executor.launched.is_empty()
                    || !executor.queued.is_empty()
                    || !executor.terminated.is_empty()
                {
                    return Some(format!("agent {n} still has tasks of {}", framework.id));
                }
            }
        }
    }
    None
}

/// Every scheduler that stays is content; the frameworks of the others are gone.
fn frameworks(world: &World) -> Option<String> {
    let master = world.master.as_ref()?;
    let state = master.engine.snapshot();
    for scheduler in &world.schedulers {
        let id = scheduler.id.as_ref().and_then(|id| id.parse::<FrameworkId>().ok());
        let known = id.as_ref().and_then(|id| state.frameworks.get(id));
        if let Some(complaint) = scheduler.complaint() {
            let (active, offers, suppressed) = known.map_or_else(Default::default, |known| {
                (known.active, known.offers.size(), known.suppressed_roles.clone())
            });
            return Some(format!(
                "{complaint}; the master has it as active: {active}, with {offers} offers, and \
                 none in {suppressed:?}"
            ));
        }
        match (scheduler.shape.life, known) {
            (Life::Stays, None) => {
                return Some(format!("scheduler {}'s framework does not exist", scheduler.n));
            }
            (Life::Stays, Some(framework)) => {
                if let Some(task) = framework.tasks.values().next() {
                    return Some(format!("the master has {} as {:?}", task.id, task.state()));
                }
            }
            (Life::Leaves | Life::TearsDown, Some(_)) => {
                return Some(format!("scheduler {}'s framework still exists", scheduler.n));
            }
            (Life::Leaves | Life::TearsDown, None) => {}
        }
    }
    None
}

/// What executors were told to be safe has reached the schedulers, unless the agent was given up
/// in between.
fn updates(world: &World) -> Option<String> {
    for scheduler in world.schedulers.iter().filter(|s| s.shape.life == Life::Stays) {
        // One that was taken for dead may come back, after a change of masters, and find that its
        // tasks were ended.
        let id = scheduler.id.as_ref().filter(|id| !world.core.ledger.ended.contains(*id));
        let Some(id) = id else { continue };
        for (name, task) in &scheduler.tasks {
            let Some(real) = world.core.ledger.tasks.get(&(id.clone(), name.clone())) else {
                continue;
            };
            let Some(safe) = real.safe.filter(|state| is_final(*state)) else { continue };
            let departed =
                real.agent.as_ref().is_none_or(|agent| world.core.ledger.departed.contains(agent));
            if !departed && scheduler.shape.checkpoint && !task.acknowledged.contains(&safe) {
                return Some(format!(
                    "{name} was {safe:?}, scheduler {} has acknowledged {:?}",
                    scheduler.n, task.acknowledged
                ));
            }
            if task.state == TaskState::TaskRunning {
                return Some(format!("{name} is believed to run"));
            }
        }
    }
    None
}
