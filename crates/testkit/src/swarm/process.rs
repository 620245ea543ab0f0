//! A swarm in a process of its own, told over a pipe what to do.
//!
//! The first line that it reads are its settings; it answers `"Ready"`. Then each line is an
//! [`Order`] and is answered with a [`Report`]. It ends with its standard input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddrV4;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use authn::sasl::retry::RetrySettings;
use serde::{Deserialize, Serialize};

use super::book::Report;
use super::churn::Churn;
use super::framework::Demand;
use super::{Settings, Swarm, limits};

/// What a swarm can be told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// This master leads. The book begins anew.
    Detect(SocketAddrV4),
    /// What each framework is to run.
    Demand(Option<Demand>),
    /// What is done to agents and frameworks.
    Churn(Option<Churn>),
    /// Nothing but what the answer says.
    Report,
    /// The book begins anew.
    Begin,
}

/// What answers the settings.
const READY: &str = "\"Ready\"";

/// A swarm in another process. It ends when this is dropped.
#[derive(Debug)]
pub struct SwarmProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl SwarmProcess {
    /// Starts it by a command whose program calls [`serve`], and waits until all of its agents
    /// listen.
    ///
    /// # Errors
    /// It does not start; it has said why on its standard error, which is ours.
    pub fn start(mut command: Command, settings: &Settings) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().context("no pipe")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut process = Self { child, orders, answers };
        let ready = process.ask(&serde_json::to_string(settings)?)?;
        ensure!(ready == READY, "the swarm did not start");
        Ok(process)
    }

    /// Tells it something; the answer is what has come of it so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn tell(&mut self, order: Order) -> anyhow::Result<Report> {
        let answer = self.ask(&serde_json::to_string(&order)?)?;
        serde_json::from_str(&answer).context("the swarm ended")
    }

    /// What came of it since the last detection.
    ///
    /// # Errors
    /// It has ended.
    pub fn report(&mut self) -> anyhow::Result<Report> {
        self.tell(Order::Report)
    }

    fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        writeln!(self.orders, "{line}").context("the swarm ended")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for SwarmProcess {
    fn drop(&mut self) {
        // It has no state to lose; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other end of the pipe.
///
/// # Errors
/// The pipe broke, or the swarm cannot be started.
pub fn serve() -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let first = lines.next().context("no settings")??;
    let settings: Settings = serde_json::from_str(&first)?;
    limits::make_room(settings.agents)?;
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let mut swarm = Swarm::start(&settings, RetrySettings::default())?;
    say(READY)?;
    for line in lines {
        let line = line?;
        match serde_json::from_str(&line).with_context(|| format!("`{line}` is no order"))? {
            Order::Detect(master) => swarm.detect(master),
            Order::Demand(demand) => swarm.demand(demand),
            Order::Churn(churn) => swarm.churn(churn),
            Order::Begin => swarm.book.begin(),
            Order::Report => {}
        }
        say(&serde_json::to_string(&swarm.book.report())?)?;
    }
    Ok(())
}

/// What agents run on: a thread for each core, and as many for what computes long. What is more
/// than that waits, as the steps of one exchange do in one agent.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism()?.get();
    tokio::runtime::Builder::new_multi_thread().max_blocking_threads(cores).enable_all().build()
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// A swarm against a master that somebody else runs: one line of figures a second, for ever.
///
/// # Errors
/// The swarm cannot be started.
pub fn against(
    master: SocketAddrV4,
    settings: &Settings,
    demand: Option<Demand>,
    churn: Option<Churn>,
) -> anyhow::Result<()> {
    limits::make_room(settings.agents)?;
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let mut swarm = Swarm::start(settings, RetrySettings::default())?;
    swarm.detect(master);
    swarm.demand(demand);
    swarm.churn(churn);
    let mut said = Report::default();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let report = swarm.book.report();
        println!("{report}");
        for (why, count) in report.trouble.iter().chain(&report.over) {
            if said.trouble.get(why).or(said.over.get(why)) != Some(count) {
                println!("    {count} × {why}");
            }
        }
        said = report;
    }
}
