//! An agent's disk: what its engine has asked to be written, folded into what the next run finds.
//! The same as the files of `agent::checkpoint`, without the files.

use std::collections::{BTreeMap, BTreeSet};

use agent::engine::event::{Record, RunPlace};
use agent::engine::inventory::VolumeDirectory;
use agent::engine::operations::OperationUuid;
use agent::engine::recovered::{
    Recovered, RecoveredExecutor, RecoveredFramework, RecoveredResources, RecoveredRun,
    RecoveredTask,
};
use model::id::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use wire::{internal, v1};

use crate::scheduler::operations::volume_id;

#[derive(Debug, Default)]
struct Executor {
    info: Option<(v1::ExecutorInfo, bool)>,
    latest: Option<ContainerId>,
    runs: BTreeMap<ContainerId, RecoveredRun>,
}

#[derive(Debug, Default)]
struct Framework {
    info: Option<(v1::FrameworkInfo, String)>,
    executors: BTreeMap<ExecutorId, Executor>,
}

#[derive(Debug, Default)]
struct Agent {
    info: Option<v1::AgentInfo>,
    drain: Option<v1::DrainConfig>,
    updates: BTreeMap<OperationUuid, Vec<internal::UpdateOperationStatusRecord>>,
    frameworks: BTreeMap<FrameworkId, Framework>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    latest: Option<AgentId>,
    agents: BTreeMap<AgentId, Agent>,
    /// The pids that the containerizer has written.
    pids: BTreeMap<ContainerId, u32>,
    /// What belongs to the machine and outlives the agent's id.
    resources: internal::slave::ResourceState,
    volumes: BTreeSet<VolumeDirectory>,
    rebooted: bool,
}

fn empty_run(container: ContainerId) -> RecoveredRun {
    RecoveredRun {
        container,
        completed: false,
        pid: None,
        http: false,
        libprocess: None,
        token: None,
        next_token: None,
        tasks: Vec::new(),
    }
}

impl Disk {
    fn run(&mut self, place: &RunPlace) -> &mut RecoveredRun {
        let agent = self.agents.entry(place.executor.agent.clone()).or_default();
        let framework = agent.frameworks.entry(place.executor.framework.clone()).or_default();
        let executor = framework.executors.entry(place.executor.executor.clone()).or_default();
        let container = place.container.clone();
        executor.runs.entry(container.clone()).or_insert_with(|| empty_run(container))
    }

    /// Writes one record.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Agent(info) => {
                let id = info.id.as_ref().and_then(|id| id.value.parse::<AgentId>().ok());
                if let Some(id) = id {
                    self.agents.entry(id.clone()).or_default().info = Some(*info);
                    self.latest = Some(id);
                }
            }
            Record::Completed(place) => self.run(&place).completed = true,
            Record::Drain { agent, config } => {
                self.agents.entry(agent).or_default().drain = config;
            }
            Record::Executor { place, info, generated } => {
                let agent = self.agents.entry(place.agent).or_default();
                let framework = agent.frameworks.entry(place.framework).or_default();
                let executor = framework.executors.entry(place.executor).or_default();
                executor.info = Some((*info, generated));
            }
            Record::Forget => self.latest = None,
            Record::Framework { agent, info, pid } => {
                let id = info.id.as_ref().and_then(|id| id.value.parse().ok());
                if let Some(id) = id {
                    let agent = self.agents.entry(agent).or_default();
                    let framework: &mut Framework = agent.frameworks.entry(id).or_default();
                    framework.info = Some((*info, pid));
                }
            }
            Record::HttpExecutor(place) => self.run(&place).http = true,
            Record::LibprocessExecutor { place, pid } => {
                self.run(&place).libprocess = Some(pid);
            }
            Record::Operation { agent, uuid, record } => {
                let agent = self.agents.entry(agent).or_default();
                agent.updates.entry(uuid).or_default().push(*record);
            }
            Record::OperationOver { agent, uuid } => {
                self.agents.entry(agent).or_default().updates.remove(&uuid);
            }
            Record::Resources(state) => self.resources = *state,
            Record::Volumes { create, remove } => {
                self.volumes.extend(create);
                for volume in remove {
                    self.volumes.remove(&volume);
                }
            }
            Record::Run { place, token } => {
                let run = self.run(&place);
                run.token = token;
                let agent = self.agents.entry(place.executor.agent).or_default();
                let framework = agent.frameworks.entry(place.executor.framework).or_default();
                let executor = framework.executors.entry(place.executor.executor).or_default();
                executor.latest = Some(place.container);
            }
            Record::Tokens { place, present, next } => {
                let run = self.run(&place);
                run.token = Some(present);
                run.next_token = next;
            }
            Record::Task { place, task } => {
                if let Ok(id) = task.task_id.value.parse::<TaskId>() {
                    let tasks = &mut self.run(&place).tasks;
                    match tasks.iter_mut().find(|known| known.id == id) {
                        Some(known) => known.task = *task,
                        None => tasks.push(RecoveredTask { id, task: *task, updates: Vec::new() }),
                    }
                }
            }
            Record::Update { place, task, record } => {
                let tasks = &mut self.run(&place).tasks;
                if let Some(known) = tasks.iter_mut().find(|known| known.id == task) {
                    known.updates.push(*record);
                }
            }
        }
    }

    /// A container's first process runs.
    pub(crate) fn note_pid(&mut self, container: ContainerId, pid: u32) {
        self.pids.insert(container, pid);
    }

    /// The machine was started again: no process of before runs any more.
    pub(crate) fn reboot(&mut self) {
        self.pids.clear();
        self.rebooted = true;
    }

    /// Whether it has the persistent volume of this id: remembered, and with its directory.
    pub(crate) fn has_volume(&self, id: &str) -> bool {
        let remembered = self.resources.resources.iter().any(|resource| volume_id(resource) == id);
        remembered && self.volumes.iter().any(|volume| volume.path.ends_with(id))
    }

    /// Which agent this is, if it knows.
    pub(crate) fn agent_id(&self) -> Option<&AgentId> {
        self.latest.as_ref()
    }

    /// Everything that an earlier run left.
    pub(crate) fn recover(&mut self) -> Recovered {
        let rebooted = std::mem::take(&mut self.rebooted);
        let resources = RecoveredResources {
            resources: self.resources.resources.clone(),
            operations: self.resources.operations.clone(),
            ..RecoveredResources::default()
        };
        let mut recovered = Recovered { rebooted, resources, ..Recovered::default() };
        let Some(id) = self.latest.clone() else { return recovered };
        let Some(agent) = self.agents.get(&id) else { return recovered };
        let Some(info) = agent.info.clone() else { return recovered };
        recovered.agent = Some((id, info));
        recovered.drain.clone_from(&agent.drain);
        recovered.resources.updates.clone_from(&agent.updates);
        for (id, framework) in &agent.frameworks {
            let Some((info, pid)) = framework.info.clone() else { continue };
            let executors = framework.executors.iter().filter_map(|(id, executor)| {
                let (info, generated) = executor.info.clone()?;
                let mut run = executor.runs.get(executor.latest.as_ref()?)?.clone();
                run.pid = self.pids.get(&run.container).copied();
                Some(RecoveredExecutor { id: id.clone(), info, generated, run })
            });
            let executors = executors.collect();
            recovered.frameworks.push(RecoveredFramework { id: id.clone(), info, pid, executors });
        }
        recovered
    }
}
