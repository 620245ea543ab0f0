//! Reads of a large cluster's state: how long they take, what they weigh, and what the state weighs
//! in memory.
//!
//! The cluster is made by the engine itself from what agents say that come back with their tasks;
//! the answers are asked for over HTTP, from the routes and the server of a real master.

mod client;
mod exhibit;
mod made;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};

use crate::figures::{Goal, Samples, settled_memory};
use client::Client;
use exhibit::Exhibit;
use made::{Made, Size};

/// What is measured unless numbers are given: the largest case of the original's figures.
const LARGE: Size = Size { agents: 10_000, running: 10, ended: 10 };

/// Seconds of the original for that case: `/state`, GET_STATE in protobuf and in JSON.
const ORIGINAL: [f64; 3] = [3.98, 1.06, 4.50];

/// How many status updates a second change the cluster while it is read.
const CHURN: u32 = 5_000;

const RUNS: usize = 7;

pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    let mut size = LARGE;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let number = words.next().and_then(|n| n.parse().ok());
        let number: usize = number.with_context(|| format!("{word} needs a number"))?;
        match *word {
            // How the process for the figure of agents is started.
            "--bare" => return bare(number),
            "--agents" => size.agents = number,
            "--tasks" => (size.running, size.ended) = (number, number),
            _ => bail!("`state` takes --agents and --tasks, not {word}"),
        }
    }
    println!(
        "{} agents, {} running and {} ended tasks",
        size.agents,
        size.agents * size.running,
        size.agents * size.ended
    );
    let comparable = size == LARGE;
    let made = memory(size)?;
    let exhibit = Exhibit::start(made.snapshot())?;
    reads(&exhibit, comparable)?;
    println!("  memory with all that was rendered: {}", megabytes(settled_memory()?));
    health(&exhibit)?;
    churn(&exhibit, made, comparable)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// What a cluster without tasks takes, printed: for the process that asks.
fn bare(agents: usize) -> anyhow::Result<()> {
    let before = settled_memory()?;
    let made = Made::new(Size { agents, running: 0, ended: 0 })?;
    println!("{}", settled_memory()?.saturating_sub(before));
    drop(made);
    Ok(())
}

/// Makes the cluster, without tasks in a process of its own and with them here, and says what each
/// weighs.
fn memory(size: Size) -> anyhow::Result<Made> {
    let mut child = Command::new(std::env::current_exe()?);
    let said = child.args(["state", "--bare", &size.agents.to_string()]).output()?;
    ensure!(said.status.success(), "the cluster without tasks: {}", said.status);
    let agents: f64 = String::from_utf8(said.stdout)?.trim().parse()?;
    let agent = agents / size.agents.max(1) as f64;
    println!(
        "  an idle agent   {:6.2} KB   goal {}",
        agent / 1e3,
        Goal::AtMost(8.0).verdict(agent / 1e3)
    );
    let before = settled_memory()?;
    let made = Made::new(size)?;
    let all = settled_memory()?.saturating_sub(before) as f64;
    let tasks = (size.agents * (size.running + size.ended)).max(1) as f64;
    let task = (all - agents).max(0.0) / tasks;
    println!(
        "  a task          {:6.2} KB   goal {}",
        task / 1e3,
        Goal::AtMost(4.0).verdict(task / 1e3)
    );
    Ok(made)
}

fn reads(exhibit: &Exhibit, comparable: bool) -> anyhow::Result<()> {
    let mut client = Client::new(exhibit.address())?;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: m\r\n\r\n");
    let call = |accept: &str| {
        let body = r#"{"type":"GET_STATE"}"#;
        format!(
            "POST /api/v1 HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n\
             Accept: {accept}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let questions = [
        ("/state", get("/state"), Some(ORIGINAL[0])),
        ("GET_STATE, protobuf", call("application/x-protobuf"), Some(ORIGINAL[1])),
        ("GET_STATE, JSON", call("application/json"), Some(ORIGINAL[2])),
        ("/state-summary", get("/state-summary"), None),
        ("/slaves", get("/slaves"), None),
        ("/frameworks", get("/frameworks"), None),
        ("/tasks", get("/tasks"), None),
        ("/roles", get("/roles"), None),
        ("/metrics/snapshot", get("/metrics/snapshot"), None),
    ];
    println!("Quiet; milliseconds, the first time and then min / median / max of {RUNS}:");
    for (name, request, original) in questions {
        let first = client.ask(&request)?;
        let mut again = Samples::default();
        for _ in 0..RUNS {
            again.push(client.ask(&request)?.took.as_secs_f64() * 1e3);
        }
        let against = match original.filter(|_| comparable) {
            Some(seconds) => {
                let times = seconds * 1e3 / again.median();
                let goal = match name {
                    "/state" => format!("   goal {}", Goal::AtLeast(40.0).verdict(times)),
                    _ => String::new(),
                };
                format!("original {:.0} ms: {times:.0} times{goal}", seconds * 1e3)
            }
            None => String::new(),
        };
        println!(
            "  {name:<20} {:8.1}   {again:<22} {:>8}   {against}",
            first.took.as_secs_f64() * 1e3,
            megabytes(first.body),
        );
    }
    let known = client.ask(&get("/state"))?;
    let tag = known.tag.context("/state has no ETag")?;
    let poll = format!("GET /state HTTP/1.1\r\nHost: m\r\nIf-None-Match: {tag}\r\n\r\n");
    let polled = client.ask(&poll)?;
    println!(
        "  /state, unchanged    {:8.1}   status {}",
        polled.took.as_secs_f64() * 1e3,
        polled.status
    );
    let packed = "GET /state HTTP/1.1\r\nHost: m\r\nAccept-Encoding: gzip\r\n\r\n";
    let (first, second) = (client.ask(packed)?, client.ask(packed)?);
    println!(
        "  /state, gzip         {:8.1}   {:.1} the second time {:>14}",
        first.took.as_secs_f64() * 1e3,
        second.took.as_secs_f64() * 1e3,
        megabytes(second.body)
    );
    Ok(())
}

/// Clients that ask for `/state` without end, until the flag is set.
fn readers(
    exhibit: &Exhibit,
    count: usize,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<thread::JoinHandle<anyhow::Result<u64>>>> {
    (0..count)
        .map(|_| {
            let (mut client, stop) = (Client::new(exhibit.address())?, Arc::clone(stop));
            Ok(thread::spawn(move || {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.ask("GET /state HTTP/1.1\r\nHost: m\r\n\r\n")?;
                    answered += 1;
                }
                Ok(answered)
            }))
        })
        .collect()
}

fn health_latency(exhibit: &Exhibit, during: Duration) -> anyhow::Result<Samples> {
    let mut client = Client::new(exhibit.address())?;
    let mut samples = Samples::default();
    let begin = Instant::now();
    while begin.elapsed() < during {
        let answer = client.ask("GET /health HTTP/1.1\r\nHost: m\r\n\r\n")?;
        samples.push(answer.took.as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(2));
    }
    Ok(samples)
}

fn health(exhibit: &Exhibit) -> anyhow::Result<()> {
    let during = Duration::from_secs(5);
    let idle = health_latency(exhibit, during)?;
    let stop = Arc::new(AtomicBool::new(false));
    let readers = readers(exhibit, 5, &stop)?;
    let beneath = health_latency(exhibit, during)?;
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for reader in readers {
        answered += reader.join().map_err(|_| anyhow!("a reader panicked"))??;
    }
    let ratio = beneath.median() / idle.median();
    println!("/health, ms, min / median / max: idle {idle}");
    println!(
        "  beneath 5 clients that loop on /state ({answered} answers): {beneath}   goal {}",
        Goal::AtMost(2.0).verdict(ratio)
    );
    Ok(())
}

fn churn(exhibit: &Exhibit, mut made: Made, comparable: bool) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, shown) = (Arc::clone(&stop), exhibit.master());
    let changing = thread::spawn(move || -> anyhow::Result<u64> {
        let (begin, mut changed) = (Instant::now(), 0u64);
        while !stopped.load(Ordering::Relaxed) {
            let due = (begin.elapsed().as_secs_f64() * f64::from(CHURN)) as u64;
            let turn = due.saturating_sub(changed).min(1_000);
            made.update(turn as usize)?;
            changed += turn;
            shown.snapshots.store(Arc::new(made.snapshot()));
            thread::sleep(Duration::from_millis(2));
        }
        Ok(changed)
    });
    let begun = Instant::now();
    let mut client = Client::new(exhibit.address())?;
    let mut samples = Samples::default();
    for _ in 0..2 * RUNS {
        let answer = client.ask("GET /state HTTP/1.1\r\nHost: m\r\n\r\n")?;
        samples.push(answer.took.as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(300));
    }
    stop.store(true, Ordering::Relaxed);
    let took = begun.elapsed().as_secs_f64();
    let changed = changing.join().map_err(|_| anyhow!("the engine's thread panicked"))??;
    let times = ORIGINAL[0] * 1e3 / samples.median();
    let verdict = Goal::AtLeast(10.0).verdict(times);
    let against = match comparable {
        true => format!("original, quiet: {times:.0} times   goal {verdict}"),
        false => String::new(),
    };
    println!(
        "/state while {:.0} status updates a second come ({CHURN} were wanted): {samples} ms   {against}",
        changed as f64 / took
    );
    Ok(())
}
