//! The command executor: runs the one task it is given.
//!
//! [`Machine`] decides (what to report, when to kill, when to end) and touches nothing; the
//! driver starts processes, watches them and talks to the agent.
//!
//! The task is a child of the executor, in a session of its own, and dies with it. The executor
//! inherits whatever the task leaves behind, and reports the end of the task only when nothing
//! of it runs any more.

mod children;
mod driver;
mod plan;

pub use driver::main;
pub use plan::{PlanError, TaskCommand};

use std::time::Duration;

use model::time::Instant;
use wire::v1;
use wire::v1::task_status::{Reason, Source};
use wire::v1::{TaskState, framework_info};

use launch::exit::Exit;

/// The time between SIGTERM and SIGKILL if neither the kill nor the task says otherwise.
pub const DEFAULT_KILL_GRACE_PERIOD: Duration = Duration::from_secs(3);

/// What is taken off the agent's grace period for an executor that shuts down, so that SIGKILL,
/// and the report of it, come before the agent destroys the container.
pub const SHUTDOWN_MARGIN: Duration = Duration::from_secs(2);

/// How long the executor stays for the acknowledgement of its task's last update.
pub const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The agent knows the executor; this is the framework as of now.
    Subscribed(Box<v1::FrameworkInfo>),
    /// The agent gives a task.
    Launch(Box<v1::TaskInfo>),
    /// The agent wants the task to end.
    Kill {
        /// Which task.
        task_id: v1::TaskId,
        /// Goes before the task's own policy.
        policy: Option<v1::KillPolicy>,
    },
    /// The agent, or the session that lost it, wants the executor to end.
    Shutdown,
    /// The agent has this status, or will never take it.
    Settled(Box<v1::TaskStatus>),
    /// What [`Effect::Start`] asked for was done.
    Started,
    /// It could not be done, for this reason.
    NotStarted(String),
    /// The task ended like this, and nothing of it runs any more.
    Ended(Exit),
    /// The deadline of [`Machine::deadline`] has come.
    Timer,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start this task's command.
    Start(Box<v1::TaskInfo>),
    /// Send SIGTERM to everything that runs.
    Terminate,
    /// Send SIGKILL to everything that runs.
    Kill,
    /// Report this status; `uuid` and `timestamp` are still missing.
    Update(Box<v1::TaskStatus>),
    /// End the executor.
    Exit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No task yet.
    Idle,
    /// The command is being started.
    Starting,
    /// The command runs.
    Running,
    /// The task's last update was made; the executor ends when it is acknowledged, or then.
    Ended { exit_by: Instant },
    /// Nothing follows.
    Exited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Killing {
    began: Instant,
    grace: Duration,
    /// SIGKILL was sent.
    escalated: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Machine {
    executor_id: v1::ExecutorId,
    shutdown_grace_period: Duration,
    framework: Option<v1::FrameworkInfo>,
    task: Option<v1::TaskInfo>,
    phase: Phase,
    killing: Option<Killing>,
    /// When the task has run for its `max_completion_time`.
    complete_by: Option<Instant>,
    ran_too_long: bool,
}

impl Machine {
    /// The machine of executor `executor_id`, which the agent lets live for
    /// `shutdown_grace_period` after it told it to shut down.
    #[must_use]
    pub fn new(executor_id: v1::ExecutorId, shutdown_grace_period: Duration) -> Self {
        Self {
            executor_id,
            shutdown_grace_period,
            framework: None,
            task: None,
            phase: Phase::Idle,
            killing: None,
            complete_by: None,
            ran_too_long: false,
        }
    }

    /// When to say [`Input::Timer`] unless something else happens first.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ended { exit_by } => Some(exit_by),
            Phase::Starting | Phase::Running => {
                let kill = self.killing.filter(|k| !k.escalated).map(|k| k.began + k.grace);
                [kill, self.complete_by].into_iter().flatten().min()
            }
            Phase::Idle | Phase::Exited => None,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Subscribed(framework) => self.framework = Some(*framework),
            Input::Launch(task) => self.launch(*task, &mut effects),
            Input::Kill { task_id, policy } => self.kill(&task_id, policy, now, &mut effects),
            Input::Shutdown => self.shutdown(now, &mut effects),
            Input::Settled(status) => self.settled(&status, &mut effects),
            Input::Started => self.started(now, &mut effects),
            Input::NotStarted(why) => {
                if self.phase == Phase::Starting {
                    self.end(TaskState::TaskFailed, None, &why, now, &mut effects);
                }
            }
            Input::Ended(exit) => self.ended(exit, now, &mut effects),
            Input::Timer => self.timer(now, &mut effects),
        }
        effects
    }

    fn launch(&mut self, task: v1::TaskInfo, effects: &mut Vec<Effect>) {
        if self.task.is_some() {
            let message = "Attempted to run multiple tasks using a \"command\" executor";
            let mut status = self.status(&task.task_id, TaskState::TaskFailed);
            status.message = Some(message.to_owned());
            effects.push(Effect::Update(Box::new(status)));
            return;
        }
        let starting = self.status(&task.task_id, TaskState::TaskStarting);
        effects.push(Effect::Update(Box::new(starting)));
        effects.push(Effect::Start(Box::new(task.clone())));
        self.task = Some(task);
        self.phase = Phase::Starting;
    }

    fn started(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(task) = self.task.as_ref().filter(|_| self.phase == Phase::Starting) else {
            return;
        };
        self.phase = Phase::Running;
        self.complete_by =
            task.max_completion_time.as_ref().map(|time| now + nanoseconds(time.nanoseconds));
        let running = self.status(&task.task_id, TaskState::TaskRunning);
        effects.push(Effect::Update(Box::new(running)));
    }

    fn kill(
        &mut self,
        task_id: &v1::TaskId,
        policy: Option<v1::KillPolicy>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.task.as_ref().filter(|task| task.task_id == *task_id) else {
            return;
        };
        let grace = policy
            .and_then(|policy| policy.grace_period)
            .or_else(|| task.kill_policy.as_ref()?.grace_period)
            .map_or(DEFAULT_KILL_GRACE_PERIOD, |period| nanoseconds(period.nanoseconds));
        self.begin_kill(grace, now, effects);
    }

    fn shutdown(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Exited;
                effects.push(Effect::Exit);
            }
            Phase::Starting | Phase::Running => {
                let grace = self.shutdown_grace_period.saturating_sub(SHUTDOWN_MARGIN);
                self.begin_kill(grace, now, effects);
            }
            Phase::Ended { .. } | Phase::Exited => {}
        }
    }

    /// The first kill sends SIGTERM; those that follow can only shorten the time to SIGKILL,
    /// since schedulers repeat kills.
    fn begin_kill(&mut self, grace: Duration, now: Instant, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Starting | Phase::Running) {
            return;
        }
        if let Some(killing) = &mut self.killing {
            killing.grace = killing.grace.min(grace);
        } else {
            self.killing = Some(Killing { began: now, grace, escalated: false });
            if let Some(task) = &self.task
                && self.framework_wants_task_killing()
            {
                let killing = self.status(&task.task_id, TaskState::TaskKilling);
                effects.push(Effect::Update(Box::new(killing)));
            }
            effects.push(Effect::Terminate);
        }
        self.escalate(now, effects);
    }

    fn framework_wants_task_killing(&self) -> bool {
        use framework_info::capability::Type::TaskKillingState;
        self.framework
            .iter()
            .flat_map(|framework| &framework.capabilities)
            .any(|capability| capability.r#type() == TaskKillingState)
    }

    fn escalate(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(killing) = &mut self.killing
            && !killing.escalated
            && now >= killing.began + killing.grace
        {
            killing.escalated = true;
            effects.push(Effect::Kill);
        }
    }

    fn timer(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Ended { exit_by } if now >= exit_by => {
                self.phase = Phase::Exited;
                effects.push(Effect::Exit);
            }
            Phase::Starting | Phase::Running => {
                if self.complete_by.is_some_and(|by| now >= by) {
                    self.complete_by = None;
                    self.ran_too_long = true;
                    self.begin_kill(Duration::ZERO, now, effects);
                }
                self.escalate(now, effects);
            }
            Phase::Idle | Phase::Ended { .. } | Phase::Exited => {}
        }
    }

    fn ended(&mut self, exit: Exit, now: Instant, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Starting | Phase::Running) {
            return;
        }
        let (state, reason) = if self.ran_too_long {
            (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached))
        } else if exit.success() {
            (TaskState::TaskFinished, None)
        } else if self.killing.is_some() {
            (TaskState::TaskKilled, None)
        } else {
            (TaskState::TaskFailed, None)
        };
        self.end(state, reason, &exit.message(), now, effects);
    }

    fn end(
        &mut self,
        state: TaskState,
        reason: Option<Reason>,
        message: &str,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = &self.task else { return };
        let mut status = self.status(&task.task_id, state);
        status.message = Some(message.to_owned());
        status.reason = reason.map(Into::into);
        self.phase = Phase::Ended { exit_by: now + ACKNOWLEDGEMENT_TIMEOUT };
        self.complete_by = None;
        effects.push(Effect::Update(Box::new(status)));
    }

    fn settled(&mut self, status: &v1::TaskStatus, effects: &mut Vec<Effect>) {
        let ours = self.task.as_ref().is_some_and(|task| task.task_id == status.task_id);
        if ours && matches!(self.phase, Phase::Ended { .. }) && is_terminal(status.state()) {
            self.phase = Phase::Exited;
            effects.push(Effect::Exit);
        }
    }

    fn status(&self, task_id: &v1::TaskId, state: TaskState) -> v1::TaskStatus {
        v1::TaskStatus {
            task_id: task_id.clone(),
            state: state.into(),
            source: Some(Source::Executor.into()),
            executor_id: Some(self.executor_id.clone()),
            ..v1::TaskStatus::default()
        }
    }
}

/// Of the states that this executor reports.
fn is_terminal(state: TaskState) -> bool {
    matches!(state, TaskState::TaskFinished | TaskState::TaskFailed | TaskState::TaskKilled)
}

/// A duration of the wire; negative ones, which masters refuse, count as none.
fn nanoseconds(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
