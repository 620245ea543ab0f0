//! A whole cluster in one thread: the master's engine with its allocator and a registry, agents'
//! engines with emulated containers and executors, schedulers of both protocols, operators; under
//! a virtual clock and a network that breaks, delays, reorders and partitions. Masters, agents and
//! schedulers crash at any moment.
//!
//! Everything is decided by one seed: the same seed gives the same run. After each step what must
//! always hold is checked; at the end the network heals, time goes on, and everything must get
//! well again: all tasks ended and acknowledged, all jobs done, all agents registered.
//!
//! See `docs/decisions/0025-simulation.md` for what is real and what is emulated.

mod agent;
mod container;
mod core;
mod dice;
mod disk;
mod inspection;
mod ledger;
mod master;
mod names;
mod net;
mod offering;
mod operator;
mod sabotage;
mod scheduler;
mod shape;
mod trace;
mod trouble;
mod world;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

pub use sabotage::Sabotage;

use world::World;

/// How many steps a run may take; more is a cluster that does not come to rest.
const STEPS: u64 = 200_000;

/// How a run is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether what happens is written down.
    pub traced: bool,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What decided everything.
    pub seed: u64,
    /// What was wrong; `None` if nothing was.
    pub violation: Option<String>,
    /// How many things happened.
    pub steps: u64,
    /// How long it was, in seconds of the virtual clock.
    pub seconds: u64,
    /// How often things happened that are worth counting.
    pub counts: BTreeMap<&'static str, u64>,
    /// What happened, if it was to be written down.
    pub trace: Vec<String>,
}

/// Runs the cluster that `seed` decides.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut world = World::new(seed, options.traced, options.sabotage);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    let violation = match outcome {
        Ok(()) => world.core.ledger.violations.first().cloned(),
        Err(panic) => Some(text_of(panic.as_ref())),
    };
    if let Some(violation) = &violation {
        world.core.trace("VIOLATION", || violation.clone());
    }
    Report {
        seed,
        violation,
        steps: world.steps,
        seconds: world.core.now.monotonic.since_start().as_secs(),
        counts: std::mem::take(&mut world.core.ledger.counts),
        trace: std::mem::take(&mut world.core.trace).into_lines(),
    }
}

/// What must have happened in any hundred clusters: what they are there to survive, and to do.
pub const REACHED: [&str; 50] = [
    "ACCEPT_INVERSE_OFFERS",
    "ACKNOWLEDGE_OPERATION_STATUS",
    "CREATE",
    "DECLINE_INVERSE_OFFERS",
    "DESTROY",
    "KILL",
    "OPERATION_FINISHED",
    "RECONCILE_OPERATIONS",
    "RESERVE",
    "REVIVE",
    "SUPPRESS",
    "TASK_DROPPED",
    "TASK_FAILED",
    "TASK_FINISHED",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
    "TASK_KILLED",
    "TASK_LOST",
    "TEARDOWN",
    "UNRESERVE",
    "UPDATE_FRAMEWORK",
    "commands that were refused",
    "commands: agent deactivated",
    "commands: agent drains",
    "commands: agent gone",
    "commands: agent reactivated",
    "commands: maintenance scheduled",
    "commands: quota lifted",
    "commands: quota set",
    "commands: resources given up",
    "commands: weight set",
    "connections that broke",
    "containers that died",
    "containers that failed to start",
    "crashes of agents",
    "crashes of agents between two effects",
    "crashes of masters",
    "crashes of masters between two effects",
    "crashes of masters while they wrote",
    "crashes of schedulers",
    "groups launched",
    "inverse offers",
    "machines that were started again",
    "masters that were replaced at once",
    "messages that overtook others",
    "messages that were lost",
    "messages that were slow",
    "partitions",
    "registrations",
    "subscriptions again",
];

/// Adds the counts of several runs up.
#[must_use]
pub fn sum<'a>(reports: impl IntoIterator<Item = &'a Report>) -> BTreeMap<&'static str, u64> {
    let mut sum = BTreeMap::new();
    for (what, number) in reports.into_iter().flat_map(|report| &report.counts) {
        *sum.entry(*what).or_default() += number;
    }
    sum
}

/// What of [`REACHED`] never happened.
#[must_use]
pub fn missed(counts: &BTreeMap<&'static str, u64>) -> Vec<&'static str> {
    REACHED.into_iter().filter(|what| !counts.contains_key(what)).collect()
}

fn play(world: &mut World) {
    while !world.content && world.core.ledger.violations.is_empty() {
        if !world.step() {
            world.core.ledger.violation("nothing happens any more".to_owned());
            return;
        }
        inspection::after_step(world);
        if world.steps > STEPS {
            world.core.ledger.violation(format!("no rest after {STEPS} steps"));
        }
    }
    inspection::now_and_then(world);
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a text"))
}

/// The line that replays a seed with all that happened.
#[must_use]
pub fn replay_line(seed: u64) -> String {
    format!("cargo xtask simulate --seed {seed}")
}
