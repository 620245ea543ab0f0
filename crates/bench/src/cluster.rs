//! A whole master: how fast agents come and come back, how many tasks it launches, how quickly it
//! offers what is free and says what it knows, and what it takes for that.
//!
//! The master is the real program under the name of the original, in a process of its own, or any
//! at an address; agents and frameworks are emulated, in one other process.

mod memory;
mod reads;

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use testkit::swarm::addresses::Addresses;
use testkit::swarm::book::{Report, Times};
use testkit::swarm::framework::{Demand, TaskSize};
use testkit::swarm::messages::Size;
use testkit::swarm::process::{Order, SwarmProcess};
use testkit::swarm::{Settings, limits};
use testkit::usage;

use crate::auth::part;
use crate::daemon::{Master, Place};
use crate::figures::Goal;
use crate::swarm_process;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) sockets: bool,
    pub(crate) memory: bool,
    /// Over sockets no more than what agents that have registered cost.
    pub(crate) idle: bool,
    /// How many agents, over sockets.
    pub(crate) agents: usize,
    /// How many tasks each of them has when the master dies.
    pub(crate) tasks: usize,
    pub(crate) frameworks: usize,
    /// A master that runs already; ours is started without it.
    pub(crate) against: Option<SocketAddrV4>,
    /// The process of that one.
    pub(crate) pid: Option<u32>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sockets: false,
            memory: false,
            idle: false,
            agents: 5_000,
            tasks: 20,
            frameworks: 10,
            against: None,
            pid: None,
        }
    }
}

/// How long anything may take before it counts as not ending.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long something is watched.
const WATCH: Duration = Duration::from_secs(10);
/// Until a master has done what it does after something.
const REST: Duration = Duration::from_secs(5);
/// A task of those that stay, in megabytes; processors are enough.
const MEM: f64 = 32.0;
/// What a master says of how many tasks run.
const RUNNING: &str = "master/tasks_running";

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    if plan.memory {
        memory::run()?;
    }
    if plan.sockets {
        sockets(plan)?;
    }
    Ok(())
}

/// The master that is measured.
enum Subject {
    Ours { place: Place, master: Master, _directory: tempfile::TempDir },
    Theirs { address: SocketAddrV4, pid: Option<u32> },
}

impl Subject {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        if let Some(address) = plan.against {
            return Ok(Self::Theirs { address, pid: plan.pid });
        }
        let directory = tempfile::tempdir()?;
        let mut place = Place::new(directory.path(), Vec::new(), None)?;
        let master = place.start(0)?;
        Ok(Self::Ours { place, master, _directory: directory })
    }

    fn address(&self) -> SocketAddrV4 {
        match self {
            Self::Ours { master, .. } => master.address,
            Self::Theirs { address, .. } => *address,
        }
    }

    fn pid(&self) -> Option<u32> {
        match self {
            Self::Ours { master, .. } => Some(master.pid()),
            Self::Theirs { pid, .. } => *pid,
        }
    }

    /// Its memory that is not in a file, if its process is known.
    fn memory(&self) -> anyhow::Result<Option<f64>> {
        self.pid().map(|pid| Ok(usage::memory_of(pid)? as f64)).transpose()
    }

    /// Processor time that it has used, in seconds, if its process is known.
    fn used(&self) -> anyhow::Result<Option<f64>> {
        self.pid().map(|pid| Ok(usage::whole_cpu_of(pid)?.as_secs_f64())).transpose()
    }

    /// How much of a processor it takes, in percent, if its process is known.
    fn cpu(&self, during: Duration) -> anyhow::Result<Option<f64>> {
        let (before, begin) = (self.used()?, Instant::now());
        if before.is_some() {
            std::thread::sleep(during);
        }
        let used = self.used()?.zip(before).map(|(after, before)| after - before);
        Ok(used.map(|seconds| 100.0 * seconds / begin.elapsed().as_secs_f64()))
    }
}

/// A cluster under measurement.
struct Bench<'a> {
    plan: &'a Plan,
    subject: Subject,
    swarm: SwarmProcess,
}

fn sockets(plan: &Plan) -> anyhow::Result<()> {
    limits::make_room(plan.agents)?;
    let cores = std::thread::available_parallelism()?;
    println!(
        "{} agents and {} frameworks in a process apart, a real master, {cores} cores for all.",
        plan.agents, plan.frameworks
    );
    let subject = Subject::new(plan)?;
    let settings = Settings::of(plan.agents, Addresses::towards(subject.address())?);
    // So that as many tasks as are to stay fit, and no more of that kind.
    let size = Size { cpus: 4.0, mem: MEM * plan.tasks as f64 + MEM - 1.0 };
    let settings = Settings { frameworks: plan.frameworks, size, ..settings };
    let swarm = swarm_process(&settings)?;
    let mut bench = Bench { plan, subject, swarm };
    let empty = bench.subject.memory()?;
    bench.register("registered", None)?;
    std::thread::sleep(REST);
    let idle = bench.subject.memory()?;
    let each = |after: Option<f64>, before: Option<f64>, count: usize| {
        Some((after? - before?).max(0.0) / 1024.0 / count as f64)
    };
    say_memory("empty", empty.map(|bytes| bytes / 1024.0), "original: 7,000 to 10,000 KB");
    let goal = |kilobytes: Option<f64>, most| {
        kilobytes.map(|figure| Goal::AtMost(most).verdict(figure)).unwrap_or_default()
    };
    let figure = each(idle, empty, plan.agents);
    say_memory("for each idle agent", figure, &format!("goal {}", goal(figure, 8.0)));
    if plan.idle {
        return Ok(());
    }
    bench.say_cpu("with idle agents")?;
    bench.launch()?;
    std::thread::sleep(REST);
    let figure = each(bench.subject.memory()?, idle, plan.agents * plan.tasks);
    say_memory("for each running task", figure, &format!("goal {}", goal(figure, 4.0)));
    bench.say_cpu("with running tasks")?;
    bench.reads("quiet")?;
    bench.sustain()?;
    bench.offers()?;
    bench.fail_over()
}

impl Bench<'_> {
    /// Until something is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Report) -> bool) -> anyhow::Result<Report> {
        let begin = Instant::now();
        loop {
            let report = self.swarm.report()?;
            if is_so(&report) {
                return Ok(report);
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "not in time: {what}: {report}\n{:?} {:?}",
                report.trouble,
                report.over
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn register(&mut self, what: &str, goal: Option<Goal>) -> anyhow::Result<()> {
        self.swarm.tell(Order::Detect(self.subject.address()))?;
        let agents = self.plan.agents;
        let report = self.until(what, |report| report.registered.count >= agents)?;
        let Times { median, last, .. } = report.registered;
        let goal = goal.map(|goal| format!("   goal {}", goal.verdict(last))).unwrap_or_default();
        println!(
            "  all agents {what} after {last:.2} s, half after {median:.2} s, {} messages for it{goal}",
            report.registrations
        );
        Ok(())
    }

    fn say_cpu(&self, when: &str) -> anyhow::Result<()> {
        if let Some(percent) = self.subject.cpu(2 * WATCH)? {
            println!("  processor at rest {when}: {percent:.1} % of one");
        }
        Ok(())
    }

    /// The tasks that stay.
    fn launch(&mut self) -> anyhow::Result<()> {
        let all = (self.plan.agents * self.plan.tasks) as u64;
        let share = all.div_ceil(self.plan.frameworks as u64);
        self.swarm.tell(Order::Begin)?;
        self.swarm.tell(Order::Demand(Some(Demand {
            total: Some(share),
            alive: usize::MAX,
            per_offer: self.plan.tasks,
            size: TaskSize::Of { cpus: 0.1, mem: MEM },
            life: None,
            killed: 0.0,
            refuse: 60.0,
            reconcile: None,
        })))?;
        let wanted = usize::try_from(share * self.plan.frameworks as u64)?;
        let running =
            |report: &Report| report.runs.count >= wanted.min(self.plan.agents * self.plan.tasks);
        let begin = Instant::now();
        let report = loop {
            let report = self.swarm.report()?;
            if running(&report) {
                break report;
            }
            ensure!(begin.elapsed() < PATIENCE, "not all tasks run: {report} {:?}", report.over);
            // Each report puts all that is known in order.
            std::thread::sleep(Duration::from_millis(250));
        };
        let rate = report.runs.count as f64 / begin.elapsed().as_secs_f64();
        println!(
            "  {} tasks launched and running after {:.1} s: {rate:.0} a second",
            report.runs.count,
            begin.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// `/state` and `/health`, alone and together.
    fn reads(&mut self, when: &str) -> anyhow::Result<()> {
        let master = self.subject.address();
        let health = reads::paced(master, "/health", WATCH / 2)?;
        println!("  {when}, /health alone: {} ms   original 0.60 (half)", parts(&health));
        let (state, size) = reads::looped(master, "/state", WATCH)?;
        println!(
            "  {when}, /state alone: {} ms, {:.1} MB, {:.1} a second   original 3,980 ms with 10,000 \
             agents, 100,000 tasks",
            parts(&state),
            size as f64 / 1e6,
            state.len() as f64 / WATCH.as_secs_f64(),
        );
        let readers = reads::Readers::start(master, "/state", 5)?;
        let beneath = reads::paced(master, "/health", WATCH)?;
        let answered = readers.stop()?;
        let goal = Goal::AtMost(2.0).verdict(part(&beneath, 0.5) / part(&health, 0.5));
        println!(
            "  {when}, /health beneath 5 clients that loop on /state ({:.1} answers a second): {} ms   \
             goal, half against alone {goal}   original 3,300 (half), 7,500 (slowest) with 1,000 agents",
            answered as f64 / WATCH.as_secs_f64(),
            parts(&beneath)
        );
        Ok(())
    }

    /// Short tasks, as many as the master can launch.
    fn sustain(&mut self) -> anyhow::Result<()> {
        let staying = self.plan.agents * self.plan.tasks / self.plan.frameworks;
        let demand = Demand {
            total: None,
            // Of those that end there are at most 8,000.
            alive: staying + 8_000 / self.plan.frameworks,
            per_offer: 4,
            size: TaskSize::Of { cpus: 0.01, mem: 1.0 },
            life: Some((0.5, 1.5)),
            killed: 0.0,
            refuse: 0.0,
            reconcile: None,
        };
        self.swarm.tell(Order::Begin)?;
        self.swarm.tell(Order::Demand(Some(demand)))?;
        std::thread::sleep(WATCH);
        let before = (self.swarm.tell(Order::Begin)?.cpu, self.subject.used()?);
        let begin = Instant::now();
        let health = reads::paced(self.subject.address(), "/health", WATCH)?;
        let (after, used) = (self.swarm.report()?, self.subject.used()?);
        let seconds = begin.elapsed().as_secs_f64();
        let (launched, over) = (after.runs.count as f64 / seconds, after.over() as f64 / seconds);
        println!(
            "  sustained through offers: {launched:.0} tasks a second begin to run, {over:.0} end   goal {}",
            Goal::AtLeast(1500.0).verdict(launched.min(over))
        );
        println!(
            "    from launch to running: {} ; /health {} ms",
            times(&after.runs),
            parts(&health)
        );
        let percent = |used: f64| 100.0 * used / seconds;
        println!(
            "    processor: {:.0} % of one for the master, {:.0} % for the swarm",
            percent(used.zip(before.1).map_or(f64::NAN, |(after, before)| after - before)),
            percent(after.cpu - before.0),
        );
        for (why, count) in after.over.iter().chain(&after.trouble) {
            println!("    {count} × {why}");
        }
        let (state, size) = reads::looped(self.subject.address(), "/state", WATCH)?;
        println!("    /state meanwhile: {} ms, {:.1} MB", parts(&state), size as f64 / 1e6);
        self.calm()
    }

    /// Nothing more is launched, and what was to end has ended.
    fn calm(&mut self) -> anyhow::Result<()> {
        self.swarm.tell(Order::Demand(None))?;
        let begin = Instant::now();
        let mut last = self.swarm.report()?;
        loop {
            std::thread::sleep(REST);
            let report = self.swarm.report()?;
            if report.over() == last.over() {
                return Ok(());
            }
            ensure!(begin.elapsed() < PATIENCE, "tasks do not end: {report}");
            last = report;
        }
    }

    /// How long it takes until something that is free again is offered, with nothing else to do.
    fn offers(&mut self) -> anyhow::Result<()> {
        let staying = self.plan.agents * self.plan.tasks / self.plan.frameworks;
        let demand = Demand {
            total: None,
            alive: staying + 1,
            per_offer: 1,
            size: TaskSize::WholeOffer,
            life: Some((0.1, 0.3)),
            killed: 0.0,
            refuse: 0.0,
            reconcile: None,
        };
        self.swarm.tell(Order::Demand(Some(demand)))?;
        // All that is free is offered, and kept by those who do not need it.
        std::thread::sleep(WATCH);
        self.swarm.tell(Order::Begin)?;
        std::thread::sleep(WATCH);
        let report = self.swarm.report()?;
        println!(
            "  from freed to offered, {} ends in {} s: {}",
            report.over(),
            WATCH.as_secs(),
            times(&report.offered)
        );
        self.calm()
    }

    /// The master dies, and another one takes its place.
    fn fail_over(&mut self) -> anyhow::Result<()> {
        let tasks = reads::metric(self.subject.address(), RUNNING)?;
        let mut goal = None;
        match &mut self.subject {
            Subject::Ours { place, master, .. } => {
                let port = master.address.port();
                let begin = Instant::now();
                master.kill()?;
                *master = place.start(port).context("the master does not start again")?;
                println!(
                    "  killed, and listening again after {:.2} s",
                    begin.elapsed().as_secs_f64()
                );
                goal = Some(Goal::AtMost(5.0));
            }
            Subject::Theirs { .. } => {
                println!("  this master is not ours to kill: agents are only told of it again");
            }
        }
        self.register("registered again", goal)?;
        // The figures that it tells are of its last batch, perhaps of the one before.
        let begin = Instant::now();
        loop {
            let known = reads::metric(self.subject.address(), RUNNING)?;
            if known == tasks {
                break;
            }
            ensure!(begin.elapsed() < REST, "{known} of {tasks} tasks are known again");
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("    and all {tasks} tasks are known that ran before");
        println!(
            "    original: 20,000 agents with 5 tasks each are its benchmark, without a figure here"
        );
        Ok(())
    }
}

fn say_memory(what: &str, kilobytes: Option<f64>, beside: &str) {
    if let Some(kilobytes) = kilobytes {
        println!("  memory {what}: {kilobytes:.1} KB   {beside}");
    }
}

fn parts(latencies: &[f64]) -> String {
    let [half, most, all] = [0.5, 0.99, 1.0].map(|of| part(latencies, of));
    format!("{half:.2} / {most:.2} / {all:.2} (half / 99 % / slowest)")
}

fn times(times: &Times) -> String {
    let [half, most, all] = [times.median, times.most, times.last].map(|seconds| 1e3 * seconds);
    format!("{half:.1} / {most:.1} / {all:.1} ms (half / 99 % / slowest of {})", times.count)
}
