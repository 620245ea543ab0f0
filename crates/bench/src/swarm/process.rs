//! A swarm in a process of its own, told over a pipe what to do.
//!
//! The first line that it reads are its settings; it answers `ready`. Then each line is an order:
//! `detect <address>`, answered with `detected`, or `report`, answered with a [`Report`]. It ends
//! with its standard input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddrV4;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use authn::sasl::retry::RetrySettings;

use super::book::Report;
use super::{Settings, Swarm, limits};

/// A swarm in another process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct SwarmProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl SwarmProcess {
    /// Starts it, and waits until all of its agents listen.
    pub(crate) fn start(settings: &Settings) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["swarm", "--by-pipe"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().context("no pipe")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut process = Self { child, orders, answers };
        let ready = process.ask(&serde_json::to_string(settings)?)?;
        ensure!(ready == "ready", "the swarm did not start");
        Ok(process)
    }

    /// Tells all agents at once that `master` leads.
    pub(crate) fn detect(&mut self, master: SocketAddrV4) -> anyhow::Result<()> {
        let answer = self.ask(&format!("detect {master}"))?;
        ensure!(answer == "detected", "the swarm ended");
        Ok(())
    }

    /// What came of them since.
    pub(crate) fn report(&mut self) -> anyhow::Result<Report> {
        Ok(serde_json::from_str(&self.ask("report")?)?)
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
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let first = lines.next().context("no settings")??;
    let settings: Settings = serde_json::from_str(&first)?;
    limits::make_room(settings.agents)?;
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let swarm = Swarm::start(&settings, RetrySettings::default())?;
    say("ready")?;
    for line in lines {
        let line = line?;
        match line.split_once(' ') {
            Some(("detect", master)) => {
                swarm.detect(master.parse()?);
                say("detected")?;
            }
            None if line == "report" => say(&serde_json::to_string(&swarm.book.report())?)?,
            _ => bail!("`{line}` is no order"),
        }
    }
    Ok(())
}

/// What agents run on: a thread for each core, and as many for what computes long. What is more
/// than that waits, as the steps of one exchange do in one agent.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism()?.get();
    tokio::runtime::Builder::new_multi_thread().max_blocking_threads(cores).enable_all().build()
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// A swarm against a master that somebody else runs: one line of figures a second.
pub(crate) fn against(master: SocketAddrV4, settings: &Settings) -> anyhow::Result<()> {
    limits::make_room(settings.agents)?;
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let swarm = Swarm::start(settings, RetrySettings::default())?;
    swarm.detect(master);
    let mut said = Report::default();
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let report = swarm.book.report();
        println!("{report}");
        for (why, count) in &report.trouble {
            if said.trouble.get(why) != Some(count) {
                println!("    {count} × {why}");
            }
        }
        said = report;
    }
}
