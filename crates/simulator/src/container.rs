//! A container and the executor in it, which speaks the HTTP API and lives on when its agent does
//! not: it keeps what was not acknowledged and comes back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent::containerizer::{LaunchRequest, Termination};
use agent::engine::event::{Answer, Caller, ConnectionId, Event, Refusal, RequestId};
use model::id::ContainerId;
use model::time::Instant;
use wire::v1::executor::{Call, call, event};
use wire::v1::{self, TaskState};

use crate::agent::Machine;
use crate::core::{Core, Happening, Outer};

/// How long an executor waits for its agent to come back.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long an executor of a framework's own stays without anything to do.
const IDLE: Duration = Duration::from_secs(20);

/// A task in the hands of its executor.
#[derive(Debug)]
struct Run {
    info: v1::TaskInfo,
    /// Whether the agent has acknowledged an update of it.
    confirmed: bool,
    over: bool,
    plan: VecDeque<(Duration, TaskState)>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) framework: String,
    pub(crate) executor: String,
    pub(crate) pid: u32,
    checkpointed: bool,
    pub(crate) ended: bool,
    pub(crate) connection: Option<ConnectionId>,
    asked: Option<RequestId>,
    runs: BTreeMap<String, Run>,
    reports: VecDeque<v1::TaskStatus>,
    unacknowledged: Vec<v1::TaskStatus>,
    told_to_end: bool,
    alone_since: Option<Instant>,
    idle_since: Option<Instant>,
    /// When it does its next thing.
    next: Option<Instant>,
}

fn is_terminal(state: TaskState) -> bool {
    matches!(state, TaskState::TaskFinished | TaskState::TaskFailed | TaskState::TaskKilled)
}

impl Container {
    pub(crate) fn new(request: &LaunchRequest, pid: u32, checkpointed: bool) -> Self {
        Self {
            id: request.container_id.clone(),
            framework: request.framework_id.to_string(),
            executor: request.executor_id.to_string(),
            pid,
            checkpointed,
            ended: false,
            connection: None,
            asked: None,
            runs: BTreeMap::new(),
            reports: VecDeque::new(),
            unacknowledged: Vec::new(),
            told_to_end: false,
            alone_since: None,
            idle_since: None,
            next: None,
        }
    }

    pub(crate) fn later(&mut self, n: u8, wait: Duration, core: &mut Core) {
        let at = core.now.monotonic + wait;
        if self.next.is_none_or(|next| at < next) {
            self.next = Some(at);
            core.at(at, Happening::On(n, Outer::Executor(self.id.clone())));
        }
    }

    /// The agent's process has ended, and with it the connection.
    pub(crate) fn agent_lost(&mut self, n: u8, core: &mut Core) {
        self.connection = None;
        self.asked = None;
        if self.ended {
            return;
        }
        if self.checkpointed {
            self.alone_since = Some(core.now.monotonic);
            let wait = core.dice.millis(100, 1000);
            self.later(n, wait, core);
        } else {
            let wait = core.dice.millis(1, 50);
            core.after(wait, Happening::On(n, Outer::Ends(self.id.clone(), 0)));
        }
    }

    /// The agent has ended this connection.
    pub(crate) fn closed(&mut self, connection: ConnectionId, n: u8, core: &mut Core) {
        if self.connection == Some(connection) {
            self.connection = None;
            self.later(n, Duration::from_millis(100), core);
        }
    }

    /// The agent has answered the last call.
    pub(crate) fn answered(&mut self, answer: Answer, n: u8, core: &mut Core) {
        self.asked = None;
        core.trace(format!("{}@host-{n}", self.executor), || format!("is answered {answer:?}"));
        match answer {
            Answer::Subscribed(connection) => {
                self.connection = Some(connection);
                self.alone_since = None;
            }
            Answer::Accepted | Answer::Renewed(_) => {}
            Answer::Refused(Refusal::NotSubscribed) => self.connection = None,
            Answer::Refused(Refusal::Recovering | Refusal::TooManyUpdates) => {}
            Answer::Refused(_) => self.told_to_end = true,
        }
        let wait = core.dice.millis(5, 200);
        self.later(n, wait, core);
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: v1::ExecutorId { value: self.executor.clone() },
            framework_id: v1::FrameworkId { value: self.framework.clone() },
            r#type: Some(kind.into()),
            ..Call::default()
        }
    }

    fn subscribe(&self) -> Call {
        let unconfirmed = self.runs.values().filter(|run| !run.confirmed);
        let updates = self.unacknowledged.iter().cloned();
        Call {
            subscribe: Some(call::Subscribe {
                unacknowledged_tasks: unconfirmed.map(|run| run.info.clone()).collect(),
                unacknowledged_updates: updates.map(|status| call::Update { status }).collect(),
            }),
            ..self.call(call::Type::Subscribe)
        }
    }

    fn report(&mut self, task: &str, state: TaskState, core: &mut Core) {
        let mut status = v1::TaskStatus {
            task_id: v1::TaskId { value: task.to_owned() },
            uuid: Some(core.dice.bytes::<16>().to_vec().into()),
            timestamp: Some(core.now.wall.as_secs_f64()),
            ..v1::TaskStatus::default()
        };
        status.set_state(state);
        status.set_source(v1::task_status::Source::Executor);
        self.reports.push_back(status);
    }

    fn given(&mut self, task: v1::TaskInfo, n: u8, core: &mut Core) {
        let name = task.task_id.value.clone();
        let agent = task.agent_id.value.parse().ok();
        let key = (self.framework.clone(), name.clone());
        let real = core.ledger.tasks.entry(key).or_default();
        real.given += 1;
        real.agent = agent;
        // So it never runs twice either.
        if real.given > 1 {
            let what = format!("{name} was given to executors {} times", real.given);
            core.ledger.violation(what);
        }
        core.ledger.count("tasks given to executors");
        let long = core.dice.percent(10);
        let lasts = if long { core.dice.secs(60, 300) } else { core.dice.millis(200, 40_000) };
        let end =
            if core.dice.percent(88) { TaskState::TaskFinished } else { TaskState::TaskFailed };
        let mut plan = VecDeque::new();
        if core.dice.percent(30) {
            plan.push_back((core.dice.millis(1, 100), TaskState::TaskStarting));
        }
        plan.push_back((core.dice.millis(1, 1000), TaskState::TaskRunning));
        plan.push_back((lasts, end));
        let next = plan.front().map(|(wait, _)| *wait).unwrap_or_default();
        self.runs.insert(name.clone(), Run { info: task, confirmed: false, over: false, plan });
        self.idle_since = None;
        core.after(next, Happening::On(n, Outer::Progress(self.id.clone(), name)));
    }

    fn kill(&mut self, task: &str, core: &mut Core) {
        if let Some(run) = self.runs.get_mut(task).filter(|run| !run.over) {
            run.over = true;
            run.plan.clear();
            self.report(task, TaskState::TaskKilled, core);
        }
    }

    fn hears(&mut self, event: &v1::executor::Event, n: u8, core: &mut Core) {
        core.trace(format!("{}@host-{n}", self.executor), || {
            format!("hears {}", event.r#type().as_str_name())
        });
        match event.r#type() {
            event::Type::Launch => {
                if let Some(launch) = event.launch.clone() {
                    self.given(launch.task, n, core);
                }
            }
            event::Type::LaunchGroup => {
                if let Some(launch) = event.launch_group.clone() {
                    for task in launch.task_group.tasks {
                        self.given(task, n, core);
                    }
                }
            }
            event::Type::Acknowledged => {
                let Some(acknowledged) = &event.acknowledged else { return };
                let uuid = Some(&acknowledged.uuid);
                let of = self.unacknowledged.iter().find(|status| status.uuid.as_ref() == uuid);
                let Some(state) = of.map(v1::TaskStatus::state) else { return };
                let task = acknowledged.task_id.value.clone();
                self.unacknowledged.retain(|status| status.uuid.as_ref() != uuid);
                if let Some(run) = self.runs.get_mut(&task) {
                    run.confirmed = true;
                }
                let key = (self.framework.clone(), task);
                core.ledger.tasks.entry(key).or_default().safe = Some(state);
            }
            event::Type::Kill => {
                if let Some(kill) = &event.kill {
                    self.kill(&kill.task_id.value, core);
                }
            }
            event::Type::Shutdown => {
                self.told_to_end = true;
                for run in self.runs.values_mut() {
                    run.over = true;
                    run.plan.clear();
                }
            }
            _ => {}
        }
        let wait = core.dice.millis(1, 100);
        self.later(n, wait, core);
    }

    fn progress(&mut self, task: &str, n: u8, core: &mut Core) {
        let Some(run) = self.runs.get_mut(task).filter(|run| !run.over) else { return };
        let Some((_, state)) = run.plan.pop_front() else { return };
        run.over = is_terminal(state);
        if let Some((wait, _)) = run.plan.front() {
            let progress = Outer::Progress(self.id.clone(), task.to_owned());
            core.after(*wait, Happening::On(n, progress));
        }
        self.report(task, state, core);
        self.later(n, Duration::ZERO, core);
    }

    /// Whether there is nothing left to do, and when that is found out.
    fn is_done(&mut self, now: Instant) -> bool {
        let busy = self.runs.values().any(|run| !run.over)
            || !self.reports.is_empty()
            || !self.unacknowledged.is_empty();
        if busy || self.runs.is_empty() {
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        let own = self.executor.starts_with("x-");
        !own || now.saturating_since(since) >= IDLE
    }
}

impl Machine {
    /// Something happens on the machine, whether its agent runs or not.
    pub(crate) fn happens_on(&mut self, outer: Outer, core: &mut Core) {
        let n = self.n;
        match outer {
            Outer::Executor(id) => self.executor_acts(&id, core),
            Outer::Hears(id, connection, event) => {
                let container = self.containers.get_mut(&id).filter(|container| !container.ended);
                if let Some(container) = container.filter(|c| c.connection == Some(connection)) {
                    container.hears(&event, n, core);
                }
            }
            Outer::Closed(id, connection) => {
                if let Some(container) = self.containers.get_mut(&id).filter(|c| !c.ended) {
                    container.closed(connection, n, core);
                }
            }
            Outer::Progress(id, task) => {
                if let Some(container) = self.containers.get_mut(&id).filter(|c| !c.ended) {
                    container.progress(&task, n, core);
                }
            }
            Outer::Ends(id, status) => self.container_ends(&id, status, core),
        }
    }

    fn container_ends(&mut self, id: &ContainerId, status: i32, core: &mut Core) {
        let Some(container) = self.containers.get_mut(id) else {
            // It was destroyed before it ran.
            self.abandon(id, core);
            return;
        };
        if container.ended {
            return;
        }
        container.ended = true;
        let connection = container.connection.take();
        core.trace(format!("host-{}", self.n), || {
            format!("{} ended with {status}", container.executor)
        });
        if let Some(connection) = connection {
            self.tell(Event::ExecutorDisconnected(connection), core);
        }
        let termination = Termination { status: Some(status), ..Termination::default() };
        self.tell(Event::ContainerTerminated { container: id.clone(), termination }, core);
    }

    fn executor_acts(&mut self, id: &ContainerId, core: &mut Core) {
        let n = self.n;
        let now = core.now.monotonic;
        let known = self.process.as_ref().map(|process| process.engine.state().executors_known);
        let Some(container) = self.containers.get_mut(id).filter(|c| !c.ended) else { return };
        if container.next != Some(now) {
            return;
        }
        container.next = None;
        if container.told_to_end || container.is_done(now) {
            let wait = core.dice.millis(1, 2000);
            core.after(wait, Happening::On(n, Outer::Ends(id.clone(), 0)));
            return;
        }
        if container.idle_since.is_some() {
            container.later(n, IDLE, core);
        }
        if known != Some(true) {
            let since = *container.alone_since.get_or_insert(now);
            if now.saturating_since(since) > PATIENCE {
                core.after(Duration::ZERO, Happening::On(n, Outer::Ends(id.clone(), 0)));
            } else {
                container.later(n, Duration::from_secs(1), core);
            }
            return;
        }
        if container.asked.is_some() {
            return;
        }
        let call = if container.connection.is_none() {
            container.unacknowledged.extend(container.reports.drain(..));
            container.subscribe()
        } else if let Some(status) = container.reports.pop_front() {
            container.unacknowledged.push(status.clone());
            let update = Some(call::Update { status });
            Call { update, ..container.call(call::Type::Update) }
        } else {
            return;
        };
        let caller = Caller::Container(id.clone());
        let request = self.fresh_request(id);
        if let Some(container) = self.containers.get_mut(id) {
            container.asked = Some(request);
        }
        let call = Box::new(call);
        self.tell(Event::ExecutorCall { request, caller, call }, core);
    }
}
