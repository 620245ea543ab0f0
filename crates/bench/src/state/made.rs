//! A cluster in the engine's memory.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libprocess::sender::{Binding, BoundPid, ClaimedPid, ConnectionId, Finding, PeerFacts, bind};
use libprocess::upid::Upid;
use master::engine::Engine;
use master::engine::config::Config;
use master::engine::counters::Counter;
use master::engine::event::Event;
use master::engine::message::Inbound;
use master::engine::state::Snapshot;
use model::time::{Instant, Now, Timestamp};
use registry::Contents;
use testkit::swarm::messages::{Identity, Size as Machine};
use wire::{internal, v1};

/// How large a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) agents: usize,
    /// Running tasks of each agent.
    pub(super) running: usize,
    /// Ended tasks of each agent.
    pub(super) ended: usize,
}

/// Frameworks that go on, and as many that are over.
const FRAMEWORKS: usize = 100;

/// Messages between two looks at what there is to offer.
const BATCH: usize = 256;

/// The engine of a master with a cluster.
#[derive(Debug)]
pub(super) struct Made {
    engine: Engine,
    now: Now,
    size: Size,
    updates: u64,
}

impl Made {
    pub(super) fn new(size: Size) -> anyhow::Result<Self> {
        let mut config = Config::new(v1::MasterInfo {
            id: "0e5b2a36-9b8f-4a6d-8d5e-0123456789ab".to_owned(),
            ip: 16_777_343,
            port: 5050,
            pid: Some("master@127.0.0.1:5050".to_owned()),
            hostname: Some("master".to_owned()),
            ..v1::MasterInfo::default()
        });
        config.agent_ping_timeout = Duration::from_secs(24 * 3600);
        config.max_completed_frameworks = FRAMEWORKS;
        config.max_completed_tasks_per_framework = usize::MAX;
        let patience = config.agent_reregister_timeout;
        let now = Now {
            monotonic: Instant::new(Duration::ZERO),
            wall: Timestamp::new(Duration::from_secs(1_800_000_000)),
        };
        let (engine, _) = Engine::new(config, Contents::default(), 1, now);
        let mut made = Self { engine, now, size, updates: 0 };
        for number in 0..size.agents {
            let (name, body) =
                identity(number).registration(made.tasks(number), made.frameworks(number));
            let message = Box::new(Inbound::decode(name, body.into())?);
            let event = Event::Message { from: speaker(number)?, to: "master".to_owned(), message };
            made.engine.handle(event, now);
            if number % BATCH == 0 {
                made.engine.settle(now);
                drop(made.engine.snapshot());
            }
        }
        // Those whose scheduler never comes are over then, with their tasks.
        for number in 0..=FRAMEWORKS as u64 {
            made.now.monotonic = now.monotonic + patience + Duration::from_secs(number + 1);
            made.engine.handle(Event::Deadline, made.now);
        }
        made.engine.settle(made.now);
        let state = made.engine.snapshot();
        let tasks = |all: &mut dyn Iterator<Item = usize>| all.sum::<usize>();
        let running = tasks(&mut state.frameworks.values().map(|one| one.tasks.size()));
        let ended =
            tasks(&mut state.completed_frameworks.iter().map(|one| one.completed_tasks.len()));
        ensure!(state.agents.size() == size.agents, "{} agents", state.agents.size());
        ensure!(running == size.agents * size.running, "{running} tasks run");
        ensure!(ended == size.agents * size.ended, "{ended} tasks have ended");
        Ok(made)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    /// So many tasks change their state.
    pub(super) fn update(&mut self, count: usize) -> anyhow::Result<()> {
        let taken = |engine: &Engine| engine.snapshot().counters.get(Counter::ValidStatusUpdates);
        let before = taken(&self.engine);
        for _ in 0..count {
            self.updates += 1;
            // Far apart from one another, and each again before long.
            let task =
                (self.updates.wrapping_mul(7919)) as usize % (self.size.agents * self.size.running);
            let (agent, number) = (task / self.size.running, task % self.size.running);
            let round = self.updates as usize / (self.size.agents * self.size.running);
            let state = match round % 2 {
                0 => v1::TaskState::TaskStarting,
                _ => v1::TaskState::TaskRunning,
            };
            let message =
                Box::new(Inbound::StatusUpdate(update(agent, number, state, self.updates)?));
            let event = Event::Message { from: speaker(agent)?, to: "master".to_owned(), message };
            self.engine.handle(event, self.now);
        }
        self.engine.settle(self.now);
        ensure!(taken(&self.engine) - before == count as u64, "status updates are refused");
        Ok(())
    }

    fn tasks(&self, agent: usize) -> Vec<v1::Task> {
        (0..self.size.running + self.size.ended)
            .map(|n| task(agent, n, n >= self.size.running))
            .collect()
    }

    fn frameworks(&self, agent: usize) -> Vec<v1::FrameworkInfo> {
        let mut all: Vec<_> =
            self.tasks(agent).into_iter().map(|task| task.framework_id.value).collect();
        all.sort();
        all.dedup();
        all.into_iter().map(framework).collect()
    }
}

fn identity(number: usize) -> Identity {
    Identity {
        address: place(number),
        size: Machine { cpus: 64.0, mem: 65536.0 },
        id: Some(v1::AgentId { value: agent_id(number) }),
        resource_version: [1; 16],
    }
}

fn agent_id(number: usize) -> String {
    format!("0e5b2a36-9b8f-4a6d-8d5e-0123456789ab-S{number}")
}

fn place(number: usize) -> SocketAddrV4 {
    let [.., b, c, d] = number.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(10, b, c, d), 5051)
}

fn speaker(number: usize) -> anyhow::Result<BoundPid> {
    let address = place(number);
    let upid = Upid::new("slave(1)", address);
    let facts = PeerFacts::plaintext(ConnectionId(number as u64), SocketAddr::V4(address));
    bind(ClaimedPid(upid), &facts, Binding::DangerSourceAddress, None, Finding::Nothing)
        .ok()
        .context("nobody speaks from there")
}

/// The frameworks of ended tasks have names of their own.
fn framework_id(agent: usize, number: usize, ended: bool) -> String {
    let kind = if ended { "9" } else { "0" };
    format!("0e5b2a36-9b8f-4a6d-8d5e-0123456789ab-{kind}{:03}", (agent + number) % FRAMEWORKS)
}

fn framework(id: String) -> v1::FrameworkInfo {
    let last = id.rsplit('-').next().unwrap_or_default();
    // One after the other: each end is told to all agents.
    let over = last.strip_prefix('9').and_then(|number| number.parse::<f64>().ok());
    v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: format!("framework {id}"),
        id: Some(v1::FrameworkId { value: id }),
        checkpoint: Some(true),
        failover_timeout: Some(over.map_or(7.0 * 24.0 * 3600.0, |number| 601.0 + number)),
        ..v1::FrameworkInfo::default()
    }
}

fn task_id(agent: usize, number: usize) -> String {
    // As schedulers name them: neighbours are far apart.
    let n = (agent as u64 * 1_000 + number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{n:016x}-7a3c-4d5e-{agent:06}-{number:03}")
}

fn status(agent: usize, number: usize, state: v1::TaskState, n: u64) -> v1::TaskStatus {
    let mut uuid = [7; 16];
    uuid[..8].copy_from_slice(&n.to_be_bytes());
    let mut status = v1::TaskStatus {
        task_id: v1::TaskId { value: task_id(agent, number) },
        agent_id: Some(v1::AgentId { value: agent_id(agent) }),
        executor_id: Some(v1::ExecutorId { value: task_id(agent, number) }),
        timestamp: Some(1_795_307_441.070_616 + n as f64),
        uuid: Some(uuid.to_vec().into()),
        container_status: Some(v1::ContainerStatus {
            container_id: Some(v1::ContainerId {
                value: "e7a2e6b7-506d-44b5-8087-d207b72a3bd0".to_owned(),
                parent: None,
            }),
            executor_pid: Some(25_076),
            ..v1::ContainerStatus::default()
        }),
        ..v1::TaskStatus::default()
    };
    status.set_state(state);
    status.set_source(v1::task_status::Source::Executor);
    status
}

fn task(agent: usize, number: usize, ended: bool) -> v1::Task {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some("*".to_owned()) }),
        ..v1::Resource::default()
    };
    let mut task = v1::Task {
        name: format!("task {number}"),
        task_id: v1::TaskId { value: task_id(agent, number) },
        framework_id: v1::FrameworkId { value: framework_id(agent, number, ended) },
        agent_id: v1::AgentId { value: agent_id(agent) },
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        statuses: vec![status(agent, number, v1::TaskState::TaskRunning, 1)],
        ..v1::Task::default()
    };
    task.set_state(v1::TaskState::TaskRunning);
    task
}

fn update(
    agent: usize,
    number: usize,
    state: v1::TaskState,
    n: u64,
) -> anyhow::Result<internal::StatusUpdateMessage> {
    let status = status(agent, number, state, n);
    Ok(internal::StatusUpdateMessage {
        update: internal::StatusUpdate {
            framework_id: v1::FrameworkId { value: framework_id(agent, number, false) },
            executor_id: status.executor_id.clone(),
            slave_id: status.agent_id.clone(),
            timestamp: status.timestamp(),
            uuid: status.uuid.clone(),
            latest_state: Some(state as i32),
            status,
        },
        pid: Some(speaker(agent)?.upid().to_string()),
    })
}
