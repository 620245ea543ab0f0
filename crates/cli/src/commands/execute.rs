//! `alcazar execute`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use model::identity::Kind;
use model::role::Role;
use scheduler::{Config, ContentType};
use transport::tls::Expected;
use wire::v1::command_info::Uri;
use wire::v1::framework_info::{Capability, capability};
use wire::v1::{CommandInfo, Environment, FrameworkInfo, TaskId, TaskInfo, environment};

use crate::client::Client;
use crate::exit;
use crate::printer::Color;
use crate::signals::Signals;
use crate::task::capacity::some_agent_is_large_enough;
use crate::task::drive::Drive;
use crate::task::execution::Execution;
use crate::task::screen::Screen;
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
    let mut framework = options.framework(&client.cluster().task_user);
    framework.principal = client.principal().map(ToOwned::to_owned);
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
    let execution = Execution::new(task, &options.resources, client, drive, screen, signals);
    execution.run(options.timeout).await
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
