//! What the agent knows: frameworks, their executors, their tasks.
//!
//! Everything is behind [`Arc`]s, so that the runtime can publish the state after each batch of
//! events by cloning a few pointers, and readers never wait for the engine.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use libprocess::upid::Upid;
use model::id::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use model::resources::Resources;
use model::time::Instant;
use wire::v1;
use wire::v1::framework_info::capability;

use super::drain::Drain;
use super::event::{ConnectionId, TokenDigest};
use super::operations::OperationUuid;

/// What the agent does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waits for a master to take it.
    Disconnected,
    /// It takes over what an earlier run left.
    Recovering,
    /// A master has it.
    Running,
    /// It ends.
    Terminating,
}

/// The whole of it.
#[derive(Clone, Debug)]
pub struct State {
    /// What the agent does.
    pub activity: Activity,
    /// Its id, once a master gave it one.
    pub id: Option<AgentId>,
    /// The leading master.
    pub master: Option<Upid>,
    /// All that it has, as operations have changed what its configuration states.
    pub total: Resources,
    /// Operations whose outcome is not acknowledged.
    pub operations: BTreeMap<OperationUuid, Arc<v1::Operation>>,
    /// Whether it is being emptied.
    pub drain: Option<Drain>,
    /// The frameworks that have something here.
    pub frameworks: BTreeMap<FrameworkId, Arc<Framework>>,
    /// Those that had, the oldest first.
    pub completed_frameworks: VecDeque<Arc<Framework>>,
    /// Whose token is whose. A token is known from before its container's launch to its end.
    pub tokens: BTreeMap<TokenDigest, ContainerId>,
    /// Whether executors of an earlier run are known, so that the executor API can answer.
    pub executors_known: bool,
    /// What was counted since the start.
    pub counters: Counters,
}

/// What was counted since the start; the metrics of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the metric of its name; the list is in http-apis.md §13.2"
)]
pub struct Counters {
    pub container_launch_errors: u64,
    pub dropped_messages: u64,
    pub executor_tokens_expired: u64,
    pub executor_tokens_renewed: u64,
    pub executors_terminated: u64,
    pub invalid_framework_messages: u64,
    pub invalid_status_updates: u64,
    pub recovery_errors: u64,
    pub tasks_failed: u64,
    pub tasks_finished: u64,
    pub tasks_gone: u64,
    pub tasks_killed: u64,
    pub tasks_lost: u64,
    pub valid_framework_messages: u64,
    pub valid_status_updates: u64,
}

/// A framework.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// Its description, as the master last told it.
    pub info: v1::FrameworkInfo,
    /// Its scheduler's address, as text.
    pub pid: String,
    /// Whether it is being shut down: nothing is reported about it any more.
    pub terminating: bool,
    /// Its executors that are not over.
    pub executors: BTreeMap<ExecutorId, Arc<Executor>>,
    /// Those that are, the oldest first.
    pub completed_executors: VecDeque<Arc<Executor>>,
}

impl Framework {
    /// Whether it can be told more than that a task is lost.
    #[must_use]
    pub fn is_partition_aware(&self) -> bool {
        partition_aware(&self.info)
    }

    /// Whether what it has here survives the agent's process.
    #[must_use]
    pub fn checkpoints(&self) -> bool {
        self.info.checkpoint()
    }

    /// The executor that has, or had and has not yet been relieved of, this task.
    #[must_use]
    pub fn executor_of(&self, task: &TaskId) -> Option<&Arc<Executor>> {
        self.executors.values().find(|executor| executor.has(task))
    }
}

/// Whether a framework can be told more than that a task is lost.
pub(super) fn partition_aware(info: &v1::FrameworkInfo) -> bool {
    info.capabilities.iter().any(|c| c.r#type() == capability::Type::PartitionAware)
}

/// How far an executor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorPhase {
    /// It was launched, or left by an earlier run, and has not subscribed.
    Registering,
    /// It has subscribed.
    Running,
    /// Its container is gone; some of its updates are not acknowledged.
    Terminated,
    /// It was told to end.
    Terminating,
}

/// What its tasks get told when its container ends for a reason the agent knows better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The tasks' last state.
    pub state: v1::TaskState,
    /// And its reason.
    pub reason: v1::task_status::Reason,
    /// And its message.
    pub message: String,
}

/// One run of an executor.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Its id.
    pub id: ExecutorId,
    /// Its description.
    pub info: v1::ExecutorInfo,
    /// Whether the agent made it up for a command task.
    pub generated: bool,
    /// Its container.
    pub container: ContainerId,
    /// Its sandbox.
    pub sandbox: PathBuf,
    /// Whether it survives the agent's process.
    pub checkpointed: bool,
    /// How far it is.
    pub phase: ExecutorPhase,
    /// The pid of its first process, once known.
    pub pid: Option<u32>,
    /// What is kept of its token.
    pub token: Option<TokenDigest>,
    /// What is kept of the token that is to take the place of that one, and was not used yet.
    pub next_token: Option<TokenDigest>,
    /// When its latest token was made; `None` if that was an earlier run of the agent.
    pub token_made: Option<Instant>,
    /// Where it listens, if it speaks the v0 protocol.
    pub libprocess: Option<Upid>,
    /// Whether the link to there broke: nothing more is sent, since somebody else may listen there
    /// by now, until it registers again.
    pub unreachable: bool,
    /// Its event stream, while it has one.
    pub connection: Option<ConnectionId>,
    /// Whether it ever subscribed, so that this is on record.
    pub http_recorded: bool,
    /// Tasks that wait for it, in the order in which they came.
    pub queued: Vec<Arc<v1::TaskInfo>>,
    /// Tasks that were handed over and not reported about yet; handed over again to an executor
    /// that comes back without them.
    pub unconfirmed: BTreeMap<TaskId, Arc<v1::TaskInfo>>,
    /// Kills that could not be handed over.
    pub kills: BTreeMap<TaskId, Option<v1::KillPolicy>>,
    /// Tasks that were handed over and have not ended.
    pub launched: BTreeMap<TaskId, Arc<v1::Task>>,
    /// Tasks that ended and whose last update is not acknowledged.
    pub terminated: BTreeMap<TaskId, Arc<v1::Task>>,
    /// Tasks that ended, acknowledged, the oldest first.
    pub completed: VecDeque<Arc<v1::Task>>,
    /// What its tasks get told when its container ends.
    pub ending: Option<Ending>,
    /// Whether its container was told to be destroyed. If its launch was under way then, it may
    /// still succeed, and has to be destroyed again.
    pub destroyed: bool,
}

/// How an executor is told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// On its event stream.
    Stream(ConnectionId),
    /// By messages of the v0 protocol.
    Messages(Upid),
}

impl Executor {
    /// How it is told something now, if it can be.
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        let stream = self.connection.map(Line::Stream);
        let pid = self.libprocess.clone().filter(|_| !self.unreachable);
        stream.or_else(|| pid.map(Line::Messages))
    }

    /// Whether this task is its own and not yet acknowledged as ended.
    #[must_use]
    pub fn has(&self, task: &TaskId) -> bool {
        self.launched.contains_key(task)
            || self.terminated.contains_key(task)
            || self.queued.iter().any(|info| info.task_id.value == task.as_str())
    }

    /// Whether a task is recorded as completed.
    #[must_use]
    pub fn has_completed(&self, task: &TaskId) -> bool {
        self.completed.iter().any(|done| done.task_id.value == task.as_str())
    }

    /// Whether nothing waits for it, runs in it, or waits for an acknowledgement.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queued.is_empty() && self.launched.is_empty() && self.terminated.is_empty()
    }

    /// What its container may use: its own resources and those of its tasks that have not ended.
    #[must_use]
    pub fn allocated(&self) -> Vec<v1::Resource> {
        let queued = self.queued.iter().flat_map(|task| &task.resources);
        let launched = self.launched.values().flat_map(|task| &task.resources);
        self.info.resources.iter().chain(queued).chain(launched).cloned().collect()
    }
}
