//! What the agent decides: events in, effects out. No sockets, no files, no clock, no entropy.
//!
//! The three machines of an agent (`master-agent-protocol.md` §3–§7, §16.3):
//!
//! - the agent's own phase, shown as [`Activity`]: recovering, disconnected, running, terminating;
//! - each executor's phase ([`state::ExecutorPhase`]) and its tasks, queued, launched, terminated,
//!   completed;
//! - each task's [`StatusStream`].
//!
//! What must hold, whatever is received:
//!
//! - a master's message counts only if its sender is the detected leader, bound to its connection;
//! - an executor's call or message counts only for the container whose token it carries, or
//!   whose process holds the connection;
//! - nothing is forwarded or acknowledged before the record it rests on was asked to be written,
//!   and the effects that follow carry the token of that write;
//! - a message that cannot be acted on is dropped, logged and counted, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libprocess::sender::{ConnectionId, Session};
use libprocess::upid::Upid;
use model::id::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use model::time::Now;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use wire::v1;

pub mod drain;
pub mod event;
pub mod inventory;
pub mod operations;
pub mod recovered;
pub mod rules;
pub mod state;
pub mod stream;
pub mod task;
pub mod users;

mod admission;
mod authentication;
mod command_executor;
mod compatibility;
mod ending;
mod environment;
mod executor_api;
mod launch;
mod libprocess_executor;
mod line;
mod missed;
pub(crate) mod paths;
mod recovery;
mod registration;
mod timers;
pub(crate) mod tokens;
mod updates;

use crate::message::{AgentMessage, MasterMessage};
use event::{Effect, Event, Record, RunPlace, Severity, Token};
use inventory::Inventory;
use operations::{OperationUuid, Outcome};
use recovered::Recovered;
use rules::Rules;
use state::{Activity, Executor, Framework, State};
use stream::{StatusStream, UpdateId};
use timers::{Timer, Timers};

pub use paths::sandbox;
pub use registration::capabilities;

/// The agent's phase and what only that phase needs.
#[derive(Clone, Debug)]
enum Phase {
    /// Without a master. Counts the attempts to register since the master was detected.
    Disconnected { attempts: u32 },
    /// Takes over what an earlier run left.
    Recovering,
    /// A master has the agent.
    Running,
    /// Ends as soon as no framework is left.
    Terminating { why: String },
}

/// A status stream and where its records go.
#[derive(Clone, Debug)]
struct StreamEntry {
    stream: StatusStream,
    /// `None` if it is not checkpointed.
    place: Option<RunPlace>,
    /// The last write of the stream.
    written: Option<Token>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    rng: StdRng,
    now: Now,
    phase: Phase,
    /// The agent's description, canonical, with its id once it has one.
    info: v1::AgentInfo,
    /// What it has, as operations have changed it.
    inventory: Inventory,
    /// Chosen anew by each run.
    resource_version: UpdateId,
    ping_timeout: std::time::Duration,
    state: State,
    containers: BTreeMap<ContainerId, (FrameworkId, ExecutorId)>,
    streams: BTreeMap<(FrameworkId, TaskId), StreamEntry>,
    /// The outcomes of operations that are not acknowledged.
    outcomes: BTreeMap<OperationUuid, Outcome>,
    timers: Timers,
    tokens: u64,
    /// Whether an authentication is under way.
    authenticating: bool,
    /// What the leading master has shown of itself when it authenticated the agent.
    session: Option<Arc<Session>>,
    /// Over which connection the master has told the agent last that it is registered.
    registered_over: Option<ConnectionId>,
    /// Launches and operations that came before the first registration.
    missed: Vec<MasterMessage>,
    /// The executors that the master was told of in attempts to register again.
    listed: BTreeSet<(FrameworkId, ExecutorId)>,
    /// Whether the operator knows that there is nothing to authenticate with.
    told_unauthenticated: bool,
    out: Vec<Effect>,
}

impl Engine {
    /// An engine that goes on from what an earlier run left, and the first effects. `seed` must
    /// come from the system's source of randomness: executors' tokens are drawn from it.
    #[must_use]
    pub fn new(
        rules: Rules,
        seed: [u8; 32],
        recovered: Recovered,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let mut rng = StdRng::from_seed(seed);
        let mut uuid = [0; 16];
        rng.fill_bytes(&mut uuid);
        let info = v1::AgentInfo {
            hostname: rules.hostname.clone(),
            port: Some(i32::from(rules.pid.address.port())),
            resources: rules.resources.clone(),
            attributes: rules.attributes.clone(),
            id: None,
            domain: rules.domain.clone(),
            checkpoint: Some(true),
        };
        let inventory = Inventory::new(&rules.resources);
        let mut engine = Self {
            rules,
            rng,
            now,
            phase: Phase::Recovering,
            info,
            resource_version: UpdateId::new(
                *uuid::Builder::from_random_bytes(uuid).as_uuid().as_bytes(),
            ),
            ping_timeout: registration::DEFAULT_PING_TIMEOUT,
            state: State {
                activity: Activity::Recovering,
                id: None,
                master: None,
                total: inventory.total().clone(),
                operations: BTreeMap::new(),
                drain: None,
                frameworks: BTreeMap::new(),
                completed_frameworks: std::collections::VecDeque::new(),
                tokens: BTreeMap::new(),
                executors_known: false,
                counters: state::Counters::default(),
            },
            inventory,
            outcomes: BTreeMap::new(),
            containers: BTreeMap::new(),
            streams: BTreeMap::new(),
            timers: Timers::default(),
            tokens: 0,
            authenticating: false,
            session: None,
            registered_over: None,
            missed: Vec::new(),
            listed: BTreeSet::new(),
            told_unauthenticated: false,
            out: Vec::new(),
        };
        engine.recover(recovered);
        let effects = engine.finish();
        (engine, effects)
    }

    /// Takes one event. What it leads to is to be carried out in the order given, after what
    /// earlier events led to; only writes may be brought forward, so that several can share one
    /// wait for the disk.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Authenticated { master, session } => self.authenticated(&master, session),
            Event::AuthenticationRefused(master) => self.authentication_refused(&master),
            Event::ContainerTerminated { container, termination } => {
                self.container_terminated(&container, termination);
            }
            Event::ContainerUpdated { container, result } => {
                self.container_updated(&container, result);
            }
            Event::ContainersRecovered => self.containers_recovered(),
            Event::ExecutorCall { request, caller, call } => {
                self.executor_call(request, &caller, *call);
            }
            Event::ExecutorExited(pid) => self.executor_exited(&pid),
            Event::ExecutorMessage { from, container, message } => {
                self.executor_spoke(&from, &container, message);
            }
            Event::ExecutorDisconnected(connection) => self.executor_disconnected(connection),
            Event::Launched { container, pid } => self.launched(&container, pid),
            Event::LaunchFailed { container, message } => self.launch_failed(&container, &message),
            Event::MasterDetected(master) => self.master_detected(master),
            Event::MasterExited(master) => self.master_exited(&master),
            Event::Message { from, message } => self.master_message(&from, message),
            Event::ShutdownRequested => self.leave(),
            Event::TimePassed => {}
            Event::TrustChanged(trust) => self.rules.executor_trust = Some(trust),
        }
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            self.timer_due(timer);
        }
        self.finish()
    }

    /// When the next [`Event::TimePassed`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<model::time::Instant> {
        self.timers.next()
    }

    /// What the agent knows, to be published to readers.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The agent's description, in canonical form.
    #[must_use]
    pub fn info(&self) -> &v1::AgentInfo {
        &self.info
    }

    /// What the agent was told at construction.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn timer_due(&mut self, timer: Timer) {
        match timer {
            Timer::Heartbeat(framework, executor, connection) => {
                self.heartbeat_due(&framework, &executor, connection);
            }
            Timer::Lease(token) => self.lease_over(token),
            Timer::Operation(uuid) => self.operation_due(uuid),
            Timer::Ping => self.ping_overdue(),
            Timer::Recovery => self.recovery_overdue(),
            Timer::Register => self.register_due(),
            Timer::Registration(framework, executor, container) => {
                self.registration_overdue(&framework, &executor, &container);
            }
            Timer::Shutdown(framework, executor, container) => {
                self.shutdown_overdue(&framework, &executor, &container);
            }
            Timer::Stream(framework, task) => self.stream_due(framework, task),
        }
    }

    fn finish(&mut self) -> Vec<Effect> {
        self.state.activity = match self.phase {
            Phase::Disconnected { .. } => Activity::Disconnected,
            Phase::Recovering => Activity::Recovering,
            Phase::Running => Activity::Running,
            Phase::Terminating { .. } => Activity::Terminating,
        };
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        std::mem::take(&mut self.out)
    }

    /// Panics if the engine contradicts itself. Runs after every event in debug builds.
    pub fn check_invariants(&self) {
        for ((framework_id, executor_id), container) in
            self.containers.iter().map(|(container, place)| (place, container))
        {
            let executor = self.executor(framework_id, executor_id);
            assert!(
                executor.is_some_and(|e| e.container == *container),
                "container {container} belongs to an executor"
            );
        }
        for container in self.state.tokens.values() {
            assert!(self.containers.contains_key(container), "a token outlived {container}");
        }
        for framework in self.state.frameworks.values() {
            for executor in framework.executors.values() {
                let terminated = executor.phase == state::ExecutorPhase::Terminated;
                assert_eq!(
                    !terminated,
                    self.containers.contains_key(&executor.container),
                    "a container is known until its executor is terminated"
                );
                assert!(
                    !terminated || (executor.queued.is_empty() && executor.launched.is_empty()),
                    "tasks of {} outlived it",
                    executor.id
                );
                for task in executor.terminated.keys() {
                    let key = (framework.id.clone(), task.clone());
                    assert!(
                        framework.terminating || self.streams.contains_key(&key),
                        "the ending of {task} waits for an acknowledgement that cannot come"
                    );
                }
            }
        }
        assert!(
            self.outcomes.keys().eq(self.state.operations.keys()),
            "every operation's outcome is on its way"
        );
        for (key, entry) in &self.streams {
            assert!(self.state.frameworks.contains_key(&key.0), "a stream outlived {}", key.0);
            assert!(!entry.stream.is_retired(), "a retired stream was kept");
        }
    }

    // Small things that all parts use.

    fn framework(&self, id: &FrameworkId) -> Option<&Framework> {
        self.state.frameworks.get(id).map(AsRef::as_ref)
    }

    fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.state.frameworks.get_mut(id).map(std::sync::Arc::make_mut)
    }

    fn executor(&self, framework: &FrameworkId, id: &ExecutorId) -> Option<&Executor> {
        self.framework(framework)?.executors.get(id).map(AsRef::as_ref)
    }

    fn executor_mut(&mut self, framework: &FrameworkId, id: &ExecutorId) -> Option<&mut Executor> {
        self.framework_mut(framework)?.executors.get_mut(id).map(std::sync::Arc::make_mut)
    }

    fn agent_id(&self) -> Option<&AgentId> {
        self.state.id.as_ref()
    }

    fn log(&mut self, severity: Severity, text: String) {
        self.out.push(Effect::Log(severity, text));
    }

    fn info_log(&mut self, text: String) {
        self.log(Severity::Info, text);
    }

    fn warn(&mut self, text: String) {
        self.log(Severity::Warning, text);
    }

    /// Drops a message: logged and counted, nothing else.
    fn drop_message(&mut self, text: String) {
        self.state.counters.dropped_messages += 1;
        self.warn(text);
    }

    fn persist(&mut self, record: Record) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.out.push(Effect::Persist { token, record: Box::new(record) });
        token
    }

    /// Sends to the detected master, if there is one.
    fn send(&mut self, message: AgentMessage, after: Option<Token>) {
        if let Some(master) = self.state.master.clone() {
            self.send_to(master, message, after);
        }
    }

    fn send_to(&mut self, to: Upid, message: AgentMessage, after: Option<Token>) {
        self.out.push(Effect::Send { to, message: Box::new(message), after });
    }

    fn run_place(&self, framework: &FrameworkId, executor: &Executor) -> Option<RunPlace> {
        let agent = self.agent_id()?.clone();
        Some(RunPlace {
            executor: event::ExecutorPlace {
                agent,
                framework: framework.clone(),
                executor: executor.id.clone(),
            },
            container: executor.container.clone(),
        })
    }

    fn fresh_uuid(&mut self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A random part of `limit`.
    fn random_part(&mut self, limit: std::time::Duration) -> std::time::Duration {
        // 53 bits: what a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let part = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        limit.mul_f64(part)
    }
}

#[cfg(test)]
pub(crate) mod tests;
