//! `alcazar execute`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use model::identity::Kind;
use model::role::Role;
use scheduler::{Config, ContentType};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport::tls::Expected;
use wire::v1::command_info::Uri;
use wire::v1::framework_info::{Capability, capability};
use wire::v1::scheduler::call;
use wire::v1::{CommandInfo, Environment, FrameworkInfo, Resource, TaskId, TaskInfo, environment};

use crate::client::Client;
use crate::exit;
use crate::printer::{Color, Tone};
use crate::signals::{End, Signals};
use crate::task::drive::{Drive, Happening};
use crate::task::output::{Piece, follow};
use crate::task::run::{Placement, Run, Step};
use crate::task::screen::{Screen, Stream};
use crate::{duration, task};

/// How long the master keeps the task for an `execute` that vanished, in seconds.
const FAILOVER_TIMEOUT: f64 = 60.0;

#[derive(Debug, Args)]
#[command(
    after_help = exit::EXECUTE_HELP,
    override_usage = "alcazar execute [OPTIONS] --command <COMMAND>\n       \
                      alcazar execute [OPTIONS] -- <PROGRAM> [ARGUMENT]...",
    group = clap::ArgGroup::new("what").required(true).args(["command", "argv"]),
)]
pub(crate) struct Options {
    /// What to run, as a line for /bin/sh
    #[arg(long, short, value_name = "COMMAND")]
    command: Option<String>,
    /// What to run, without a shell
    #[arg(last = true, value_name = "PROGRAM")]
    argv: Vec<String>,
    /// A name for people; also the beginning of the task's id [default: the program's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A variable for the task's environment; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// What the task needs
    #[arg(long, value_name = "RESOURCES", default_value = "cpus:0.5;mem:128")]
    resources: String,
    /// The role whose resources the task uses
    #[arg(long, value_name = "ROLE", default_value = "*", value_parser = role)]
    role: String,
    /// The user to run as [default: the cluster's task user]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A file to fetch into the sandbox first; may be repeated
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// Kill the task if it has not ended after this time, waiting for resources included
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Print what the task prints and nothing else
    #[arg(long, short)]
    quiet: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn role(text: &str) -> Result<String, String> {
    Role::new(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

/// Runs the task to its end and says with which exit status.
pub(crate) async fn run(
    options: &Options,
    client: &mut Client,
    color: Color,
) -> anyhow::Result<u8> {
    let task = options.task(rand::random())?;
    some_agent_is_large_enough(client, &task.resources).await?;
    let framework = options.framework(&client.cluster().task_user);
    let signals = Signals::take().context("cannot catch signals")?;
    let (host, port) = client.master_place();
    let drive = Drive::start(Config {
        client: client.transport().clone(),
        host: host.to_owned(),
        port,
        expected: Expected::Kind(Kind::Master),
        content_type: ContentType::Protobuf,
        framework,
        suppressed_roles: Vec::new(),
    });
    let mut screen = Screen::new(options.quiet, color);
    screen.progress("asking the master for resources");
    let (pieces, inbox) = mpsc::channel(16);
    let (ended, _) = watch::channel(false);
    let execution = Execution {
        client,
        task_id: task.task_id.value.clone(),
        wanted: &options.resources,
        needs: task.resources.clone(),
        run: Run::new(task),
        drive,
        screen,
        signals,
        pieces,
        inbox,
        ended,
        readers: Vec::new(),
        killed_for: None,
        placement: None,
        waited: false,
        passed: false,
    };
    execution.run(options.timeout).await
}

/// Fails if no agent will ever offer what is wanted, so that nobody waits for it. Agents that are
/// still to come, or to come back, might.
async fn some_agent_is_large_enough(
    client: &mut Client,
    wanted: &[Resource],
) -> anyhow::Result<()> {
    let expected = client.cluster().agents.len().max(1);
    let answer = client.get("/slaves").await?;
    let list = |key: &str| answer[key].as_array().map_or(&[][..], Vec::as_slice);
    let agents = list("slaves");
    if agents.len() < expected || !list("recovered_slaves").is_empty() {
        return Ok(());
    }
    let amount = |agent: &Value, name: &str| agent["resources"][name].as_f64().unwrap_or(0.0);
    let scalars = || wanted.iter().filter_map(|r| Some((&r.name, r.scalar.as_ref()?.value)));
    // Thousandths, as the master counts.
    let fits = |agent: &&Value| scalars().all(|(name, n)| amount(agent, name) + 0.0005 > n);
    if agents.iter().any(|agent| fits(&agent)) {
        return Ok(());
    }
    let most = |name: &str| agents.iter().map(|a| amount(a, name)).fold(0.0, f64::max);
    let missing: Vec<String> = scalars()
        .filter(|(name, n)| most(name) + 0.0005 <= *n)
        .map(|(name, n)| format!("{name}:{n} (the most on one agent is {})", most(name)))
        .collect();
    if missing.is_empty() {
        bail!("no single agent has all of what the task needs")
    }
    bail!("no agent has {}", missing.join(" and "))
}

impl Options {
    fn framework(&self, task_user: &str) -> FrameworkInfo {
        let capabilities = [
            capability::Type::MultiRole,
            capability::Type::PartitionAware,
            capability::Type::ReservationRefinement,
            capability::Type::TaskKillingState,
        ];
        FrameworkInfo {
            user: self.user.clone().unwrap_or_else(|| task_user.to_owned()),
            name: "alcazar execute".to_owned(),
            roles: vec![self.role.clone()],
            checkpoint: Some(true),
            failover_timeout: Some(FAILOVER_TIMEOUT),
            hostname: Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
            capabilities: capabilities.map(|c| Capability { r#type: Some(c as i32) }).to_vec(),
            ..FrameworkInfo::default()
        }
    }

    fn task(&self, random: u32) -> anyhow::Result<TaskInfo> {
        let resources = task::resources(&self.resources)
            .map_err(|e| exit::Failure::Usage(format!("--resources `{}`: {e}", self.resources)))?;
        let name = self.name.clone().unwrap_or_else(|| self.program());
        let task_id = format!("{name}-{random:08x}");
        model::id::check(&task_id)
            .map_err(|e| exit::Failure::Usage(format!("--name `{name}`: {e}")))?;
        let mut variables: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in &self.env {
            if variables.insert(name, value).is_some() {
                return Err(exit::Failure::Usage(format!("--env {name} is given twice")).into());
            }
        }
        let variables: Vec<environment::Variable> = variables
            .into_iter()
            .map(|(name, value)| environment::Variable {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                ..environment::Variable::default()
            })
            .collect();
        let uris = self
            .uri
            .iter()
            .map(|uri| Uri { value: uri.clone(), extract: Some(false), ..Uri::default() })
            .collect();
        let environment = (!variables.is_empty()).then_some(Environment { variables });
        let command = match &self.command {
            Some(line) => CommandInfo {
                shell: Some(true),
                value: Some(line.clone()),
                uris,
                environment,
                ..CommandInfo::default()
            },
            None => CommandInfo {
                shell: Some(false),
                value: self.argv.first().cloned(),
                // As in exec(3): the first argument is the program's name.
                arguments: self.argv.clone(),
                uris,
                environment,
                ..CommandInfo::default()
            },
        };
        Ok(TaskInfo {
            name,
            task_id: TaskId { value: task_id },
            resources,
            command: Some(command),
            ..TaskInfo::default()
        })
    }

    /// The first word of what is run, as far as it can stand in an id.
    fn program(&self) -> String {
        let first = match &self.command {
            Some(line) => line.split_whitespace().next().unwrap_or_default(),
            None => self.argv.first().map_or("", String::as_str),
        };
        let base = first.rsplit('/').next().unwrap_or_default();
        let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name: String = base.chars().filter(fit).take(40).collect();
        if name.is_empty() { "task".to_owned() } else { name }
    }
}

/// Why we killed the task ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KilledFor {
    Signal(End),
    Timeout,
}

impl KilledFor {
    fn exit_status(self) -> u8 {
        match self {
            Self::Signal(end) => end.exit_status(),
            Self::Timeout => exit::TIMEOUT,
        }
    }
}

struct Execution<'a> {
    client: &'a mut Client,
    task_id: String,
    /// What the task needs, as it was written and as it was read.
    wanted: &'a str,
    needs: Vec<Resource>,
    run: Run,
    drive: Drive,
    screen: Screen,
    signals: Signals,
    pieces: mpsc::Sender<Piece>,
    inbox: mpsc::Receiver<Piece>,
    /// Says true when the task has ended: what the readers read from then on is all.
    ended: watch::Sender<bool>,
    readers: Vec<JoinHandle<()>>,
    killed_for: Option<KilledFor>,
    /// Where the task went, until its output is read there.
    placement: Option<Placement>,
    /// Whether the user knows that no offer fits yet.
    waited: bool,
    /// Whether an offer was too small since we last asked how large agents are.
    passed: bool,
}

impl Execution<'_> {
    async fn run(mut self, timeout: Option<Duration>) -> anyhow::Result<u8> {
        let deadline = timeout.map(|t| tokio::time::Instant::now() + t);
        let outcome = self.until_ended(deadline).await;
        // The calls that are still to be made come first: what the agent hears, it need not
        // repeat. The last one ends the framework, whatever became of the task.
        self.drive.call(scheduler::teardown());
        let read = match &outcome {
            Ok(_) => self.rest_of_output().await,
            Err(_) => Ok(()),
        };
        let Self { drive, mut screen, run, task_id, killed_for, .. } = self;
        drive.finish().await;
        screen.close();
        outcome?;
        read?;
        let Some(status) = run.status() else {
            return Ok(killed_for.map_or(exit::EXECUTE_FAILED, KilledFor::exit_status));
        };
        let state = status.state().as_str_name();
        let mut line = format!("{task_id}: {state}");
        if !matches!(exit::of_task(status), Some(exit::SUCCESS)) && !status.message().is_empty() {
            line = format!("{line}: {}", status.message());
        }
        screen.say(&line, Tone::of_task_state(state));
        let killed = status.state() == wire::v1::TaskState::TaskKilled;
        match killed_for {
            Some(why) if killed => Ok(why.exit_status()),
            _ => Ok(exit::of_task(status).unwrap_or(exit::EXECUTE_FAILED)),
        }
    }

    /// Until every task has ended, or there is no use in waiting any longer.
    async fn until_ended(
        &mut self,
        mut deadline: Option<tokio::time::Instant>,
    ) -> anyhow::Result<()> {
        loop {
            let steps = tokio::select! {
                happening = self.drive.happening() => match happening? {
                    Happening::Notice(notice) => self.run.handle(notice),
                    Happening::Failed(failed) => {
                        if failed.kind == call::Type::Accept {
                            use scheduler::CallError;
                            match failed.error {
                                CallError::NotSubscribed | CallError::Busy => {
                                    self.run.accept_refused();
                                }
                                CallError::Refused { .. } => {
                                    bail!("the master refused the launch: {}", failed.error)
                                }
                                // Whether it arrived is known after the next subscription.
                                CallError::Unanswered(_) | CallError::Over => {}
                            }
                        }
                        Vec::new()
                    }
                },
                Some(piece) = self.inbox.recv() => {
                    self.print(piece)?;
                    continue;
                },
                end = self.signals.next() => {
                    if self.killed_for.replace(KilledFor::Signal(end)).is_some() {
                        self.screen.say("not waiting for the task any longer", Tone::Warn);
                        return Ok(());
                    }
                    self.screen.progress("killing the task; once more to stop waiting for it");
                    self.run.kill()
                },
                () = task::at(deadline) => {
                    deadline = None;
                    self.killed_for.get_or_insert(KilledFor::Timeout);
                    self.screen.progress("the time is over, killing the task");
                    self.run.kill()
                },
            };
            for step in steps {
                if self.step(step) {
                    return Ok(());
                }
            }
            if std::mem::take(&mut self.passed) {
                let checked = some_agent_is_large_enough(self.client, &self.needs).await;
                // A master that has just gone away is the session's affair.
                if checked.as_ref().is_err_and(|e| exit::status_of(e) != exit::NO_CLUSTER) {
                    return checked;
                }
            }
        }
    }

    /// Does what the run says; whether it has ended.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Call(call) => self.drive.call(*call),
            Step::Done => return true,
            Step::Lost { reason } => {
                self.screen.progress(&format!("cannot reach the master, trying again: {reason}"));
            }
            Step::Passed { hostname } => {
                self.passed = true;
                if !std::mem::replace(&mut self.waited, true) {
                    let wanted = self.wanted;
                    let text = format!("waiting: {hostname} offers less than {wanted}");
                    self.screen.say(&text, Tone::Warn);
                }
                self.screen.progress(&format!("waiting for {}", self.wanted));
            }
            Step::Placed(placement) => {
                self.screen.progress(&format!("{} goes to {}", self.task_id, placement.hostname));
                self.placement = Some(*placement);
            }
            Step::Subscribed(framework) => {
                if !self.run.is_placed() {
                    let text = format!("waiting for {} ({})", self.wanted, framework.value);
                    self.screen.progress(&text);
                }
            }
            Step::Updated(status) => {
                let state = status.state().as_str_name();
                self.screen.progress(&format!("{}: {state}", self.task_id));
                // From the first status on there is a sandbox, if there will be one.
                if let Some(placement) = self.placement.take() {
                    self.read_output(&placement);
                }
            }
        }
        false
    }

    /// Starts to read what the task prints, on the agent that it was sent to.
    fn read_output(&mut self, placement: &Placement) {
        let Some(address) = placement.url.as_ref().map(|url| &url.address) else {
            self.screen.say("the offer does not say where the agent is: no output", Tone::Warn);
            return;
        };
        let Ok(port) = u16::try_from(address.port) else { return };
        let host = address.ip.as_deref().or(address.hostname.as_deref()).unwrap_or_default();
        for stream in [Stream::Stdout, Stream::Stderr] {
            // A command task is its own executor and gives it its id.
            let framework = &placement.framework_id.value;
            let sandbox = self.client.sandbox((host, port), framework, &self.task_id);
            let (ended, pieces) = (self.ended.subscribe(), self.pieces.clone());
            self.readers.push(tokio::spawn(follow(sandbox, stream, ended, pieces)));
        }
    }

    /// Prints what the task printed before it ended and we have not read yet.
    async fn rest_of_output(&mut self) -> anyhow::Result<()> {
        if self.run.status().is_none() {
            // It never ran: there is nothing to read.
            self.readers.iter().for_each(JoinHandle::abort);
        }
        self.ended.send_replace(true);
        let readers = std::mem::take(&mut self.readers);
        let all_read = async {
            for reader in readers {
                let _ = reader.await;
            }
        };
        tokio::pin!(all_read);
        loop {
            tokio::select! {
                biased;
                Some(piece) = self.inbox.recv() => self.print(piece)?,
                () = &mut all_read => break,
                _ = self.signals.next() => break,
            }
        }
        while let Ok(piece) = self.inbox.try_recv() {
            self.print(piece)?;
        }
        Ok(())
    }

    fn print(&mut self, piece: Piece) -> anyhow::Result<()> {
        match piece {
            Piece::Bytes(stream, bytes) => self
                .screen
                .output(stream, &bytes)
                .with_context(|| format!("cannot write to {}", stream.file())),
            // A task that never started printed nothing.
            Piece::Cut(_, error) if error.is_not_found() => Ok(()),
            Piece::Cut(stream, error) => {
                let error = anyhow::Error::new(error);
                let text =
                    format!("the rest of the task's {} is missing: {error:#}", stream.file());
                self.screen.say(&text, Tone::Warn);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(args: &[&str]) -> Result<Options, clap::Error> {
        let line = std::iter::once("execute").chain(args.iter().copied());
        Line::try_parse_from(line).map(|l| l.options)
    }

    #[test]
    fn a_line_is_for_the_shell() {
        let task = options(&["--command", "/bin/echo hi", "--env", "A=b=c", "--uri", "file:///x"])
            .unwrap()
            .task(0xab)
            .unwrap();
        assert_eq!((task.name.as_str(), task.task_id.value.as_str()), ("echo", "echo-000000ab"));
        let command = task.command.unwrap();
        assert_eq!(command.shell, Some(true));
        assert_eq!(command.value.as_deref(), Some("/bin/echo hi"));
        assert_eq!(command.uris[0].value, "file:///x");
        let variable = &command.environment.unwrap().variables[0];
        assert_eq!((variable.name.as_str(), variable.value()), ("A", "b=c"));
    }

    #[test]
    fn an_argv_is_passed_on_as_it_is() {
        let task = options(&["--name", "n", "--", "sleep", "--help"]).unwrap().task(1).unwrap();
        assert_eq!(task.task_id.value, "n-00000001");
        let command = task.command.unwrap();
        assert_eq!(command.shell, Some(false));
        assert_eq!(command.value.as_deref(), Some("sleep"));
        assert_eq!(command.arguments, ["sleep", "--help"]);
        assert_eq!(command.environment, None);
    }

    #[test]
    fn a_name_is_found_in_every_command() {
        let name = |command: &str| options(&["--command", command]).unwrap().program();
        assert_eq!(name("  sleep 5"), "sleep");
        assert_eq!(name("/usr/bin/env x"), "env");
        assert_eq!(name("$(x)"), "x");
        assert_eq!(name("((("), "task");
        assert_eq!(name(""), "task");
    }

    #[test]
    fn bad_arguments_are_refused() {
        for bad in [
            &[][..],
            &["--command", "a", "--", "b"],
            &["--command", "a", "--env", "=x"],
            &["--command", "a", "--env", "x"],
            &["--command", "a", "--role", "a//b"],
            &["--command", "a", "--timeout", "5"],
            &["a"],
        ] {
            assert!(options(bad).is_err(), "{bad:?}");
        }
        for bad in [
            &["--command", "a", "--resources", "cpus"][..],
            &["--command", "a", "--name", "a/b"],
            &["--command", "a", "--env", "x=1", "--env", "x=2"],
        ] {
            let error = options(bad).unwrap().task(0).unwrap_err();
            assert_eq!(exit::status_of(&error), exit::USAGE, "{bad:?}");
        }
    }

    #[test]
    fn the_framework_runs_as_the_task_user_and_checkpoints() {
        let framework = options(&["--command", "a"]).unwrap().framework("nobody");
        assert_eq!(framework.user, "nobody");
        assert!(framework.checkpoint());
        let framework = options(&["--command", "a", "--user", "u"]).unwrap().framework("nobody");
        assert_eq!(framework.user, "u");
    }
}
