//! What an earlier run of the agent left behind, as values.

use std::collections::BTreeMap;

use libprocess::upid::Upid;
use model::id::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use wire::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use wire::v1;

use super::event::TokenDigest;
use super::operations::OperationUuid;

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The agent's description, with its id; `None` on a first start.
    pub agent: Option<(AgentId, v1::AgentInfo)>,
    /// What it remembered of its resources, and the operations on them.
    pub resources: RecoveredResources,
    /// How it was being emptied, if it was.
    pub drain: Option<v1::DrainConfig>,
    /// Its frameworks.
    pub frameworks: Vec<RecoveredFramework>,
    /// Whether the machine was started again since: no process of then runs any more.
    pub rebooted: bool,
    /// How many files could not be read and were left out.
    pub errors: u64,
}

/// Resources and operations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveredResources {
    /// What was reserved or made a volume at run time.
    pub resources: Vec<v1::Resource>,
    /// What an agent of the other kind was about to change that to.
    pub target: Option<Vec<v1::Resource>>,
    /// The operations whose outcome was not acknowledged.
    pub operations: Vec<v1::Operation>,
    /// What was to be delivered of them.
    pub updates: BTreeMap<OperationUuid, Vec<UpdateOperationStatusRecord>>,
}

/// A framework.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredFramework {
    /// Its id.
    pub id: FrameworkId,
    /// Its description.
    pub info: v1::FrameworkInfo,
    /// Its scheduler's address, as text.
    pub pid: String,
    /// Its executors.
    pub executors: Vec<RecoveredExecutor>,
}

/// An executor and its latest run.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredExecutor {
    /// Its id.
    pub id: ExecutorId,
    /// Its description.
    pub info: v1::ExecutorInfo,
    /// Whether the agent made it up for a command task.
    pub generated: bool,
    /// The latest run.
    pub run: RecoveredRun,
}

/// A run of an executor.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredRun {
    /// Its container.
    pub container: ContainerId,
    /// Whether it was over and accounted for.
    pub completed: bool,
    /// The pid of its first process; `None` if it never ran, or on another boot.
    pub pid: Option<u32>,
    /// Whether its executor speaks the HTTP API.
    pub http: bool,
    /// Where its executor listens, if it speaks the v0 protocol.
    pub libprocess: Option<Upid>,
    /// What is kept of its token.
    pub token: Option<TokenDigest>,
    /// What is kept of the token that was to take the place of that one.
    pub next_token: Option<TokenDigest>,
    /// Its tasks.
    pub tasks: Vec<RecoveredTask>,
}

/// A task and the records of its status stream.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredTask {
    /// Its id.
    pub id: TaskId,
    /// The task as it was given to the run.
    pub task: v1::Task,
    /// What its stream wrote since.
    pub updates: Vec<StatusUpdateRecord>,
}
