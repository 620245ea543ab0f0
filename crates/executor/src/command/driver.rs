//! The process around the [`Machine`].

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::DumpableBehavior;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wire::v1;
use wire::v1::executor::{Event, event};

use super::children::Children;
use super::{Effect, Input, Machine, TaskCommand};
use crate::environment::Environment;
use crate::link::{Clock, Incoming, Link};
use launch::material::{self, Material};

/// How long to wait for killed processes before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Runs the command executor. To be called when the program is called as `executor`;
/// `arguments` are those that follow it. To be called first thing: the process must have one
/// thread.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

/// Says something to whoever reads the sandbox's `stderr`. Nobody else could be told if that
/// fails.
pub(super) fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

fn run(arguments: &[OsString]) -> Result<(), String> {
    // First of all: the token is in this process's reach, and the task runs as the same user.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("Failed to hide the executor's memory: {error}"))?;
    // The sandbox's `stderr` is the task's: only what cannot be put right is written there.
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::ERROR);
    // It fails only if whoever called us has a log already, which serves as well.
    let _ = log.try_init();
    if !arguments.is_empty() {
        return Err(format!("Unknown arguments: {arguments:?}"));
    }
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let material = match variables.get(material::VARIABLE).map(String::as_str) {
        None => None,
        Some(material::STDIN) => {
            Some(Material::take_from_stdin().map_err(|error| error.to_string())?)
        }
        Some(other) => {
            return Err(format!("'{other}' of '{}' is not standard input", material::VARIABLE));
        }
    };
    let environment = Environment::from_variables(&variables).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("Failed to start the executor: {error}"))?;
    runtime.block_on(async {
        let mut executor = Executor::new(&environment, variables, material)?;
        executor.run().await.map_err(|error| format!("Executor failed: {error}"))
    })
}

struct Executor {
    machine: Machine,
    link: Link,
    children: Children,
    clock: Clock,
    variables: BTreeMap<String, String>,
    sandbox: PathBuf,
    child_ended: Signal,
    asked_to_end: Signal,
}

impl Executor {
    fn new(
        environment: &Environment,
        variables: BTreeMap<String, String>,
        material: Option<Material>,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("Failed to start the executor: {error}");
        let executor_id = v1::ExecutorId { value: environment.executor_id.to_string() };
        let sandbox = match &environment.sandbox {
            Some(sandbox) => sandbox.clone(),
            None => std::env::current_dir().map_err(failed)?,
        };
        let clock = Clock::new();
        Ok(Self {
            machine: Machine::new(executor_id, environment.shutdown_grace_period),
            link: Link::open(environment, material, clock).map_err(|error| error.to_string())?,
            children: Children::adopt().map_err(failed)?,
            clock,
            variables,
            sandbox,
            child_ended: signal(SignalKind::child()).map_err(failed)?,
            asked_to_end: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let wake = self.clock.sleep_until(self.machine.deadline());
            let look_again = async {
                match self.children.are_ending() {
                    true => tokio::time::sleep(LOOK_AGAIN).await,
                    false => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                incoming = self.link.next() => self.incoming(incoming),
                _ = self.child_ended.recv() => self.children.reap()?.map(Input::Ended),
                () = look_again => self.children.reap()?.map(Input::Ended),
                _ = self.asked_to_end.recv() => Some(Input::Shutdown),
                () = wake => Some(Input::Timer),
            };
            if let Some(input) = input
                && self.handle(input)?
            {
                return Ok(());
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) -> Option<Input> {
        match incoming {
            Incoming::Event(event) => from_event(*event),
            Incoming::Settled(status) => Some(Input::Settled(status)),
            Incoming::ShutDown(why) => {
                complain(&format!("Shutting down: {why}"));
                Some(Input::Shutdown)
            }
        }
    }

    /// Returns whether the executor is to end.
    fn handle(&mut self, input: Input) -> io::Result<bool> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.machine.handle(input, self.clock.now()) {
                match effect {
                    Effect::Start(task) => inputs.push_back(self.start(&task)),
                    Effect::Terminate => self.children.signal(rustix::process::Signal::TERM),
                    Effect::Kill => self.children.signal(rustix::process::Signal::KILL),
                    Effect::Update(status) => self.link.update(*status),
                    Effect::Exit => return Ok(true),
                }
            }
        }
        Ok(false)
    }

    fn start(&mut self, task: &v1::TaskInfo) -> Input {
        if task.check.is_some() || task.health_check.is_some() {
            complain("Checks and health checks are not performed by this executor yet");
        }
        let started = TaskCommand::new(task, &self.variables, &self.sandbox)
            .map_err(|error| error.to_string())
            .and_then(|command| {
                let started = self.children.start(&command);
                started.map_err(|error| format!("Failed to start the command: {error}"))
            });
        match started {
            Ok(()) => Input::Started,
            Err(why) => Input::NotStarted(why),
        }
    }
}

fn from_event(event: Event) -> Option<Input> {
    match event.r#type() {
        event::Type::Subscribed => {
            event.subscribed.map(|s| Input::Subscribed(Box::new(s.framework_info)))
        }
        event::Type::Launch => event.launch.map(|launch| Input::Launch(Box::new(launch.task))),
        event::Type::Kill => {
            event.kill.map(|kill| Input::Kill { task_id: kill.task_id, policy: kill.kill_policy })
        }
        event::Type::Shutdown => Some(Input::Shutdown),
        event::Type::Error => {
            complain(&format!("Error: {}", event.error.unwrap_or_default().message));
            None
        }
        event::Type::LaunchGroup => {
            complain("Ignored a task group: a command executor runs one task");
            None
        }
        // Messages have no meaning for a command; the session deals with the others.
        event::Type::Message
        | event::Type::Acknowledged
        | event::Type::Heartbeat
        | event::Type::Unknown => None,
    }
}
