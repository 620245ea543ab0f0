//! A storm: a master is killed and started again, and all agents learn of it at once.
//!
//! Three processes besides this one's probes: the master, which is the real program under the name
//! of the original; the agents, in one process; and nobody else. What is measured is what an
//! operator waits for.

mod probe;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use testkit::swarm::addresses::Addresses;
use testkit::swarm::book::Report;
use testkit::swarm::process::{Order, SwarmProcess};
use testkit::swarm::tls::Files;
use testkit::swarm::{Proof, Settings, limits};

use crate::authority::{self, Key, Paths};
use crate::daemon::{Master, Place};
use crate::figures::{Goal, Samples};
use crate::swarm_process;
use probe::{Latencies, Probes, Scheduler};

/// A mechanism to storm with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    CramMd5,
    ScramSha256,
    /// Over TLS; the others are in plaintext.
    ScramSha256Plus,
}

impl Mechanism {
    const ALL: [Self; 3] = [Self::CramMd5, Self::ScramSha256, Self::ScramSha256Plus];

    /// Until all agents are authenticated, in seconds, on two cores.
    fn goal(self) -> Goal {
        match self {
            Self::CramMd5 => Goal::AtMost(10.0),
            Self::ScramSha256 | Self::ScramSha256Plus => Goal::AtMost(20.0),
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        })
    }
}

impl FromStr for Mechanism {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "cram-md5" => Self::CramMd5,
            "scram-sha-256" => Self::ScramSha256,
            "scram-sha-256-plus" => Self::ScramSha256Plus,
            other => bail!("`{other}` is none of cram-md5, scram-sha-256, scram-sha-256-plus"),
        })
    }
}

/// What to measure, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Empty: all.
    pub(crate) mechanisms: Vec<Mechanism>,
    /// How often each figure is measured.
    pub(crate) runs: usize,
    /// How many agents.
    pub(crate) agents: usize,
    /// Whether all agents share one principal, each has its own, or (`None`) both are measured.
    pub(crate) shared: Option<bool>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { mechanisms: Vec::new(), runs: 3, agents: 5_000, shared: None }
    }
}

/// How long a storm may take before it counts as not ending.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long the probes ask a master that has nothing else to do.
const IDLE: Duration = Duration::from_secs(3);
/// What agents prove; nothing depends on it.
const SECRET: &str = "a secret of the benchmark";
/// Until what others ask is answered, in milliseconds: half of the answers, 99 of 100.
const HALF: Goal = Goal::AtMost(5.0);
const MOST: Goal = Goal::AtMost(100.0);

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    limits::make_room(plan.agents)?;
    let cores = std::thread::available_parallelism()?;
    println!("{} agents in a process apart, a real master, {cores} cores for both.", plan.agents);
    println!(
        "Each run: a new master and new agents (first), then the master is killed and started"
    );
    println!("again and all agents learn of it at once (again). Times in s since then.");
    for mechanism in Mechanism::ALL {
        if !plan.mechanisms.is_empty() && !plan.mechanisms.contains(&mechanism) {
            continue;
        }
        for shared in [true, false] {
            if plan.shared.is_none_or(|only| only == shared) {
                println!();
                measure(plan, mechanism, shared)?;
            }
        }
    }
    Ok(())
}

/// What the runs of one kind came to.
#[derive(Default)]
struct Figures {
    authenticated: Samples,
    registered: Samples,
    half: [Samples; 2],
    most: [Samples; 2],
}

fn measure(plan: &Plan, mechanism: Mechanism, shared: bool) -> anyhow::Result<()> {
    let principals = if shared { "one principal for all" } else { "a principal for each" };
    println!("{mechanism}, {principals}");
    let mut figures = Figures::default();
    for run in 1..=plan.runs {
        println!("  run {run}");
        one(plan, mechanism, shared, &mut figures)?;
    }
    println!("  all runs, by the storm after the restart: smallest / median / largest");
    let goal = mechanism.goal().verdict(figures.authenticated.median());
    println!("    all authenticated after {} s   goal {goal}", figures.authenticated);
    println!("    all registered after {} s", figures.registered);
    for (index, what) in ["/health", "a scheduler's call"].iter().enumerate() {
        let (half, most) = (&figures.half[index], &figures.most[index]);
        println!("    {what}: half within {half} ms   goal {}", HALF.verdict(half.median()));
        println!("    {what}: 99 % within {most} ms   goal {}", MOST.verdict(most.median()));
    }
    Ok(())
}

fn one(
    plan: &Plan,
    mechanism: Mechanism,
    shared: bool,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let proof = Proof {
        mechanisms: vec![mechanism.to_string()],
        principal: "agent".to_owned(),
        shared,
        secret: SECRET.to_owned(),
    };
    let known = if shared { 1 } else { plan.agents };
    let principals = (0..known).map(|number| proof.principal(number));
    let tls = match mechanism {
        Mechanism::ScramSha256Plus => Some(certificates(directory.path())?),
        Mechanism::CramMd5 | Mechanism::ScramSha256 => None,
    };
    let name = mechanism.to_string();
    let mut place = Place::strict(directory.path(), &name, principals, SECRET, tls.clone())?;
    let addresses = Addresses::Loopback;
    let settings = Settings { proof: Some(proof), tls, ..Settings::of(plan.agents, addresses) };
    let mut swarm = swarm_process(&settings)?;

    let mut master = place.start(0)?;
    let scheduler = Scheduler::subscribe(master.address)?;
    let idle = idle(&master, &scheduler)?;
    let first = storm(plan, &master, &scheduler, &mut swarm)?;
    first.print("first", &idle);

    // The agents' listeners, and the directory, stay; everything else of the master is gone.
    let port = master.address.port();
    drop(scheduler);
    master.kill()?;
    let master = place.start(port)?;
    let scheduler = Scheduler::subscribe(master.address)?;
    let again = storm(plan, &master, &scheduler, &mut swarm)?;
    again.print("again", &idle);

    figures.authenticated.push(again.report.authenticated.last);
    figures.registered.push(again.report.registered.last);
    for (index, latencies) in [&again.latencies.health, &again.latencies.call].iter().enumerate() {
        figures.half[index].push(part(latencies, 0.5));
        figures.most[index].push(part(latencies, 0.99));
    }
    Ok(())
}

/// One certificate for the master and all agents. Nobody asks for those of clients: who agents are
/// is what they authenticate for.
fn certificates(directory: &Path) -> anyhow::Result<Files> {
    authority::create(directory)?;
    let Paths { roots, chain, key, .. } = Paths::of(directory, Key::P256);
    Ok(Files { roots, chain, key })
}

fn idle(master: &Master, scheduler: &Scheduler) -> anyhow::Result<Latencies> {
    let probes = Probes::start(master.address, scheduler)?;
    std::thread::sleep(IDLE);
    probes.stop()
}

/// What one storm came to.
struct Storm {
    report: Report,
    /// Processor time of the master and of the agents, in seconds.
    cpu: [f64; 2],
    latencies: Latencies,
}

fn storm(
    plan: &Plan,
    master: &Master,
    scheduler: &Scheduler,
    swarm: &mut SwarmProcess,
) -> anyhow::Result<Storm> {
    let before = (master.cpu()?, swarm.report()?.cpu);
    let probes = Probes::start(master.address, scheduler)?;
    let begin = Instant::now();
    swarm.tell(Order::Detect(master.address))?;
    let report = loop {
        std::thread::sleep(Duration::from_millis(50));
        let report = swarm.report()?;
        if report.registered.count == plan.agents {
            break report;
        }
        ensure!(
            begin.elapsed() < PATIENCE && report.refused == 0,
            "not all agents are registered: {report}\n{:?}",
            report.trouble
        );
    };
    let latencies = probes.stop()?;
    let cpu = [(master.cpu()? - before.0).as_secs_f64(), report.cpu - before.1];
    Ok(Storm { report, cpu, latencies })
}

impl Storm {
    fn print(&self, what: &str, idle: &Latencies) {
        let Report { authenticated, registered, .. } = &self.report;
        println!(
            "    {what}: authenticated {:.2} (half {:.2}), registered {:.2} (half {:.2})",
            authenticated.last, authenticated.median, registered.last, registered.median
        );
        let report = &self.report;
        println!(
            "      {} attempts for {}: {} timed out, {} failed; {} registrations; {} answers other \
             than 202, {} links broken, {} stray messages",
            report.attempts,
            authenticated.count,
            report.timed_out,
            report.failed,
            report.registrations,
            report.not_accepted,
            report.broken_links,
            report.stray,
        );
        for (why, count) in &report.trouble {
            println!("        {count} × {why}");
        }
        let [master, agents] = self.cpu;
        println!("      CPU: master {master:.2} s, agents {agents:.2} s");
        let both = [
            ("/health", &idle.health, &self.latencies.health),
            ("a scheduler's call", &idle.call, &self.latencies.call),
        ];
        for (what, idle, storm) in both {
            println!("      {what}, ms: idle {}, beneath the storm {}", parts(idle), parts(storm));
        }
    }
}

/// The latency below which this part of all is.
pub(crate) fn part(latencies: &[f64], part: f64) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn parts(latencies: &[f64]) -> String {
    let [half, most, all] = [0.5, 0.99, 1.0].map(|of| part(latencies, of));
    format!("{half:.2} / {most:.2} / {all:.2} (half / 99 % / slowest)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_latencies_below_a_bound_is_counted_from_the_smallest() {
        let all: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((part(&all, 0.5) - 51.0).abs() < f64::EPSILON);
        assert!((part(&all, 0.99) - 100.0).abs() < f64::EPSILON);
        assert!((part(&all, 1.0) - 100.0).abs() < f64::EPSILON);
        assert!(part(&[], 0.5).is_nan());
    }
}
