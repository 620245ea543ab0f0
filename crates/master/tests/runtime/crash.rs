//! A master that is killed at any moment has on record whatever it answered.
//!
//! The master is this very program, started again: a process with its sockets and its registry on
//! disk, killed with SIGKILL while several clients change things, so that writes are grouped. Each
//! client knows what it was answered last and what it had asked for when the connection broke; the
//! next master must show one of the two, and of a command that sets two things both or neither.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use registry::RedbRegistry;
use serde_json::{Value as Json, json};

use crate::fixture::{Cluster, Trust};

/// Where the started master keeps its registry: that it is set makes this program a master.
const FOLDER: &str = "ALCAZAR_TEST_MASTER_TO_KILL";

/// How often each test kills its master; `ALCAZAR_CRASHES` says otherwise.
const CRASHES: u32 = 50;

/// How long a master may take to start or to answer before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many clients change things at once, so that writes are grouped.
const CLIENTS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_to_be_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let registry = RedbRegistry::open(&Path::new(&folder).join("registry.redb")).unwrap();
    let cluster = Cluster::start_with(Trust::Plaintext, Box::new(registry), |_| ()).await;
    println!("listening on {}", cluster.master.address().port());
    std::future::pending::<()>().await;
}

/// A master in a process of its own.
struct Master {
    process: Child,
    port: u16,
}

impl Master {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_master_to_be_killed", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut ports = lines.map_while(Result::ok).filter_map(|line| {
            let (_, port) = line.split_once("listening on ")?;
            port.trim().parse().ok()
        });
        let (found, port) = mpsc::channel();
        std::thread::spawn(move || ports.next().map(|port| found.send(port)));
        // Dropped, it ends, whatever becomes of this.
        let mut master = Self { process, port: 0 };
        master.port = port.recv_timeout(PATIENCE).expect("the master starts after every crash");
        master
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // Of a test that failed; a process that is gone already is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a call; `None` if the master is gone before it has answered.
fn call(stream: &mut BufReader<TcpStream>, call: &Json) -> Option<(u16, Vec<u8>)> {
    let body = call.to_string();
    let request = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: master\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes()).ok()?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((status, body))
}

fn connect(port: u16) -> Option<BufReader<TcpStream>> {
    TcpStream::connect(("127.0.0.1", port)).ok().map(BufReader::new)
}

/// What one client has set: numbers that grow, so that none is taken for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts {
    /// The weight of its role.
    weight: u64,
    /// The guarantee of each of its two roles, set together.
    quota: (u64, u64),
    /// Its machine's window: when it starts, and whether the machine is down. 0: none.
    window: (u64, bool),
}

impl Facts {
    /// What the client numbered `client` asks next, and what it has set then.
    fn next(self, client: u64, number: u64, chance: &mut StdRng) -> (Json, Self) {
        let mut then = self;
        // There is one schedule for all, so that one client alone has machines.
        let call = match chance.random_range(0..if client == 0 { 4 } else { 2 }) {
            0 => {
                then.weight = number;
                let info = json!({"role": format!("w{client}"), "weight": number});
                json!({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": [info]}})
            }
            1 => {
                // Now and then both quotas are taken away.
                let cpus = if number.is_multiple_of(7) { 0 } else { number };
                then.quota = (cpus, cpus);
                let config = |name: &str| {
                    let guarantees = json!({"cpus": {"value": cpus}});
                    json!({"role": format!("{name}{client}"), "guarantees": guarantees})
                };
                let update = json!({"force": true, "quota_configs": [config("a"), config("b")]});
                json!({"type": "UPDATE_QUOTA", "update_quota": update})
            }
            _ => match self.window {
                (0, _) => {
                    then.window = (number, false);
                    schedule(number)
                }
                (_, false) => {
                    then.window.1 = true;
                    json!({"type": "START_MAINTENANCE", "start_maintenance": {"machines": [machine()]}})
                }
                (_, true) => {
                    then.window = (0, false);
                    json!({"type": "STOP_MAINTENANCE", "stop_maintenance": {"machines": [machine()]}})
                }
            },
        };
        (call, then)
    }
}

fn machine() -> Json {
    json!({"hostname": "host", "ip": "10.0.0.1"})
}

fn schedule(start: u64) -> Json {
    let unavailability = json!({"start": {"nanoseconds": start}});
    let window = json!({"machine_ids": [machine()], "unavailability": unavailability});
    let update = json!({"schedule": {"windows": [window]}});
    json!({"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": update})
}

/// What the master shows of what the client has set.
fn shown(port: u16, client: u64) -> Facts {
    let mut stream = connect(port).unwrap();
    let mut get = |what: &str| -> Json {
        let (status, body) = call(&mut stream, &json!({"type": what})).expect("an answer");
        assert_eq!(status, 200, "{what}");
        serde_json::from_slice(&body).unwrap()
    };
    let find = |list: &Json, role: String| {
        let all = list.as_array().cloned().unwrap_or_default();
        all.into_iter().find(|entry| entry["role"] == role)
    };
    let number = |json: &Json| json.as_f64().unwrap_or(0.0) as u64;
    let weights = get("GET_WEIGHTS");
    let weight = find(&weights["get_weights"]["weight_infos"], format!("w{client}"));
    let quotas = get("GET_QUOTA");
    let quota = |name: &str| {
        let config = find(&quotas["get_quota"]["status"]["configs"], format!("{name}{client}"));
        config.map_or(0, |config| number(&config["guarantees"]["cpus"]["value"]))
    };
    let mut window = (0, false);
    if client == 0 {
        let schedule = get("GET_MAINTENANCE_SCHEDULE");
        let windows = &schedule["get_maintenance_schedule"]["schedule"]["windows"];
        window.0 = number(&windows[0]["unavailability"]["start"]["nanoseconds"]);
        let status = get("GET_MAINTENANCE_STATUS");
        window.1 = status["get_maintenance_status"]["status"]["down_machines"].is_array();
    }
    let weight = weight.map_or(0, |info| number(&info["weight"]));
    Facts { weight, quota: (quota("a"), quota("b")), window }
}

/// What a client knows when its master is gone.
struct Memory {
    /// What it was answered.
    answered: Facts,
    /// What it had asked for and was not answered.
    asked: Option<Facts>,
}

/// Changes one thing after the other until the master is gone.
fn client(
    port: u16,
    client: u64,
    mut answered: Facts,
    numbers: &AtomicU64,
    seed: u64,
    told: &mpsc::Sender<()>,
) -> Memory {
    let mut chance = StdRng::seed_from_u64(seed ^ client);
    let Some(mut stream) = connect(port) else { return Memory { answered, asked: None } };
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let (request, then) = answered.next(client, number, &mut chance);
        let Some((status, body)) = call(&mut stream, &request) else {
            return Memory { answered, asked: Some(then) };
        };
        assert_eq!(status, 200, "{request}: {}", String::from_utf8_lossy(&body));
        answered = then;
        if told.send(()).is_err() {
            return Memory { answered, asked: None };
        }
    }
}

#[test]
fn whatever_was_answered_outlives_a_kill_at_any_moment_block_0() {
    crash(0);
}

#[test]
fn whatever_was_answered_outlives_a_kill_at_any_moment_block_1() {
    crash(1);
}

#[test]
fn whatever_was_answered_outlives_a_kill_at_any_moment_block_2() {
    crash(2);
}

#[test]
fn whatever_was_answered_outlives_a_kill_at_any_moment_block_3() {
    crash(3);
}

fn crash(block: u64) {
    let crashes = std::env::var("ALCAZAR_CRASHES").ok().and_then(|n| n.parse().ok());
    let crashes: u32 = crashes.unwrap_or(CRASHES);
    let seed = std::env::var("ALCAZAR_SEED").ok().and_then(|n| n.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("seed {seed}: run again with ALCAZAR_SEED={seed}");
    let seed = seed ^ block << 48;
    let mut chance = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let numbers = Arc::new(AtomicU64::new(0));
    let mut facts = [Facts::default(); CLIENTS as usize];
    let (mut answers, mut undecided, begun) = (0, 0, Instant::now());
    let mut master = Master::start(folder.path());
    for crash in 0..crashes {
        let (told, heard) = mpsc::channel();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (told, numbers, known) =
                    (told.clone(), Arc::clone(&numbers), facts[n as usize]);
                let (port, seed) = (master.port, seed ^ u64::from(crash) << 8);
                std::thread::spawn(move || client(port, n, known, &numbers, seed, &told))
            })
            .collect();
        drop(told);
        // Some answers, and then any moment of what follows.
        for _ in 0..chance.random_range(0..12) {
            heard.recv_timeout(PATIENCE).expect("the master answers");
            answers += 1;
        }
        let until = Instant::now() + Duration::from_micros(chance.random_range(0..3000));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        master.kill();
        let memories: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        answers += heard.try_iter().count();

        master = Master::start(folder.path());
        for (n, memory) in memories.into_iter().enumerate() {
            let now = shown(master.port, n as u64);
            assert!(
                now == memory.answered || Some(now) == memory.asked,
                "crash {crash}, client {n}: answered {:?}, asked {:?}, on record {now:?}",
                memory.answered,
                memory.asked
            );
            undecided += usize::from(memory.asked == Some(now) && now != memory.answered);
            facts[n] = now;
        }
    }
    println!(
        "{crashes} crashes in {:?}: {answers} answers, all on record; {undecided} changes were on \
         record without having been answered",
        begun.elapsed()
    );
    assert!(answers > usize::try_from(crashes).unwrap(), "only {answers} answers");
}
