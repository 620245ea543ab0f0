//! The engine alone: agents that were registered with an earlier master come back with their
//! tasks, all at once.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant as Clock};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use libprocess::sender::{Binding, BoundPid, ClaimedPid, ConnectionId, Finding, PeerFacts, bind};
use libprocess::upid::Upid;
use master::engine::Engine;
use master::engine::config::Config;
use master::engine::effect::Effect;
use master::engine::event::Event;
use master::engine::message::{Inbound, Outbound};
use model::id::AgentId;
use model::principal::Owner;
use model::time::Now;
use registry::{AgentRecord, Contents, Orders, Standing};
use testkit::swarm::messages::{Identity, Size};
use wire::v1;

use crate::figures::{Goal, settled_memory};

const AGENTS: usize = 20_000;
const TASKS: usize = 5;
/// Messages between two looks at what there is to offer, as a master under load has them.
const BATCH: usize = 256;
const LABELS: usize = 10;

pub(super) fn run() -> anyhow::Result<()> {
    println!("The engine in memory: {AGENTS} agents with {TASKS} tasks each register again.");
    // Nothing that is freed later is there yet, so that its place is not used again for what is
    // to be weighed.
    let before = settled_memory()?;
    let mut contents = Contents::default();
    for number in 0..AGENTS {
        let record = agent(number)?.1;
        contents.agents.insert(record.id.clone(), record);
    }
    let config = Config::new(v1::MasterInfo {
        id: "m2".to_owned(),
        ip: 16_777_343,
        port: 5050,
        hostname: Some("master".to_owned()),
        ..v1::MasterInfo::default()
    });
    let (mut engine, _) = Engine::new(config, contents, 1, Now::default());
    let (mut time, mut cpu) = (Duration::ZERO, Duration::ZERO);
    let mut registered = 0;
    let mut count = |effects: Vec<Effect>| {
        registered += effects
            .iter()
            .filter(|effect| {
                matches!(effect, Effect::Send { message, .. }
                    if matches!(**message, Outbound::AgentReregistered(_)))
            })
            .count();
    };
    for number in 0..AGENTS {
        // Made one by one: all of them would weigh as much as what becomes of them.
        let (from, _, name, body) = agent(number)?;
        let begin = (Clock::now(), testkit::usage::own_cpu());
        let message = Box::new(Inbound::decode(name, body)?);
        let event = Event::Message { from, to: "master".to_owned(), message };
        count(engine.handle(event, Now::default()));
        if number % BATCH == BATCH - 1 || number == AGENTS - 1 {
            count(engine.settle(Now::default()));
            // What readers are shown.
            drop(engine.snapshot());
        }
        time += begin.0.elapsed();
        cpu += testkit::usage::own_cpu() - begin.1;
    }
    let (time, cpu) = (time.as_secs_f64(), cpu.as_secs_f64());
    ensure!(registered == AGENTS, "only {registered} are registered");
    println!(
        "  decoded and registered after {time:.2} s, {cpu:.2} s of a processor   goal {}   original: no \
         figure here",
        Goal::AtMost(10.0).verdict(time)
    );
    let tasks: usize = engine.snapshot().frameworks.values().map(|one| one.tasks.size()).sum();
    ensure!(tasks == AGENTS * TASKS, "there are {tasks} tasks");
    let memory = settled_memory()?.saturating_sub(before) as f64 / 1024.0;
    drop(engine);
    println!("  {:.1} KB for each of them with its tasks", memory / AGENTS as f64);
    Ok(())
}

/// An agent: who it is, what the registry knows of it, and what it says.
fn agent(number: usize) -> anyhow::Result<(BoundPid, AgentRecord, &'static str, Bytes)> {
    let [.., b, c, d] = number.to_be_bytes();
    let address = SocketAddrV4::new(Ipv4Addr::new(10, b, c, d), 5051);
    let id = v1::AgentId { value: format!("m1-S{number}") };
    let size = Size { cpus: 20.0, mem: 10240.0 };
    let identity = Identity { address, size, id: Some(id.clone()), resource_version: [1; 16] };
    let framework = v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: "framework0".to_owned(),
        id: Some(v1::FrameworkId { value: "m1-0000".to_owned() }),
        checkpoint: Some(true),
        failover_timeout: Some(3600.0),
        ..v1::FrameworkInfo::default()
    };
    let tasks = (0..TASKS).map(|task| one_task(number, task, &id)).collect();
    let (name, body) = identity.registration(tasks, vec![framework]);
    let message = Inbound::decode(name, body.clone().into())?;
    let Inbound::ReregisterAgent(message) = message else {
        anyhow::bail!("an agent with an id registers again");
    };
    let record = AgentRecord {
        id: AgentId::new(&id.value).context("an id")?,
        owner: Owner::default(),
        standing: Standing::Admitted(Box::new(message.slave)),
        orders: Orders::default(),
    };
    let upid = Upid::new("slave(1)", address);
    let facts = PeerFacts::plaintext(ConnectionId(number as u64), SocketAddr::V4(address));
    let from = bind(ClaimedPid(upid), &facts, Binding::DangerSourceAddress, None, Finding::Nothing)
        .ok()
        .context("nobody speaks from there")?;
    Ok((from, record, name, body.into()))
}

fn one_task(agent: usize, number: usize, id: &v1::AgentId) -> v1::Task {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some("*".to_owned()) }),
        ..v1::Resource::default()
    };
    let label = |n: usize| v1::Label { key: format!("key{n}"), value: Some(format!("value{n}")) };
    let mut task = v1::Task {
        name: "task".to_owned(),
        task_id: v1::TaskId { value: format!("task-{agent}-{number}") },
        framework_id: v1::FrameworkId { value: "m1-0000".to_owned() },
        agent_id: id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 5.0)],
        labels: Some(v1::Labels { labels: (0..LABELS).map(label).collect() }),
        ..v1::Task::default()
    };
    task.set_state(v1::TaskState::TaskRunning);
    task
}
