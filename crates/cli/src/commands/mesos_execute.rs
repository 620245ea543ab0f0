//! `mesos-execute`: one task, as the original's program of that name runs it.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use authn::http::BasicAuthenticatee;
use authn::secret::Secret;
use model::identity::Kind;
use scheduler::{CallError, Config, SessionError};
use settings::{ContentType, ExecuteSettings, Naming, What};
use transport::client;
use transport::tls::{Expected, Security};
use wire::json::{self, Names};
use wire::v1::framework_info::{Capability, capability};
use wire::v1::scheduler::call;
use wire::v1::{
    CommandInfo, Environment, FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus, environment,
};

use super::daemon::{Called, start_log};
use crate::printer::{printable, say, write_stdout};
use crate::task::drive::{Drive, Happening};
use crate::task::run::{Run, Step};
use crate::up::checks::TaskUser;
use crate::{exit, security, task};

/// Runs the task to its end. The exit status says nothing about the task.
pub(crate) fn run(arguments: Vec<OsString>) -> anyhow::Result<u8> {
    let called = Called::new(Naming::Mesos, arguments)?;
    let (settings, notices) = match called.settings(|_, sources| settings::execute(sources))? {
        Ok(read) => read,
        Err(status) => return Ok(status),
    };
    start_log(settings.log);
    let (security, more) = security::of_variables(&called.environment)?;
    let notices: Vec<String> = notices.into_iter().chain(more).collect();
    security::log(&security, &notices);
    let task = task_of(&settings)?;
    let user = TaskUser::ours()?.name;
    let config = Config {
        client: client_of(&settings, security),
        host: settings.master.host.clone(),
        port: settings.master.port,
        expected: Expected::Kind(Kind::Master),
        content_type: match settings.content_type {
            ContentType::Json => scheduler::ContentType::Json,
            ContentType::Protobuf => scheduler::ContentType::Protobuf,
        },
        framework: framework_of(&settings, user),
        suppressed_roles: Vec::new(),
    };
    tracing::info!("New master detected at master@{}", settings.master);
    match crate::block_on(until_ended(config, task, settings.kill_after)) {
        Ok(()) => Ok(exit::SUCCESS),
        Err(error) => {
            let error = with_hint(error);
            match error.downcast_ref().map(farewell) {
                Some(text) => {
                    say(&printable(&text));
                    Ok(exit::FAILURE)
                }
                None => Err(error),
            }
        }
    }
}

/// Who makes requests: whoever the flags say, with HTTP Basic, as the original's does it on every
/// connection.
fn client_of(settings: &ExecuteSettings, security: Security) -> client::Client {
    let plaintext = matches!(security, Security::DangerPlaintext);
    let client = client::Client::new(security, client::Settings::default());
    match (&settings.principal, &settings.secret) {
        (Some(principal), Some(secret)) => {
            if plaintext {
                tracing::warn!("the secret is sent in plaintext: whoever listens can read it");
            }
            let secret = Secret::from(secret.expose());
            let authenticatee = BasicAuthenticatee::new(principal, &secret);
            client.authenticating(Arc::new(authenticatee), client::Exposure::DangerAnybody)
        }
        _ => client,
    }
}

#[expect(deprecated, reason = "the original puts the role into the field without `s`")]
fn framework_of(settings: &ExecuteSettings, user: String) -> FrameworkInfo {
    let mut capabilities = vec![
        capability::Type::ReservationRefinement,
        capability::Type::TaskKillingState,
        capability::Type::RevocableResources,
    ];
    if settings.gpu_resources {
        capabilities.push(capability::Type::GpuResources);
    }
    if settings.partition_aware {
        capabilities.push(capability::Type::PartitionAware);
    }
    FrameworkInfo {
        user,
        name: "mesos-execute instance".to_owned(),
        role: Some(settings.role.clone()),
        checkpoint: Some(settings.checkpoint),
        principal: settings.principal.clone(),
        capabilities: capabilities
            .into_iter()
            .map(|c| Capability { r#type: Some(c as i32) })
            .collect(),
        ..FrameworkInfo::default()
    }
}

fn task_of(settings: &ExecuteSettings) -> anyhow::Result<TaskInfo> {
    match &settings.what {
        What::Task(text) => json::read(text.as_bytes(), Names::V1, &wire::Limits::default())
            .context("--task is no TaskInfo"),
        What::Command { name, command, environment } => {
            let resources = task::resources(&settings.resources)
                .map_err(|e| anyhow::anyhow!("--resources `{}`: {e}", settings.resources))?;
            let variables: Vec<environment::Variable> = environment
                .iter()
                .map(|(name, value)| environment::Variable {
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..environment::Variable::default()
                })
                .collect();
            let value = if settings.shell { command.clone() } else { None };
            Ok(TaskInfo {
                name: name.clone(),
                task_id: TaskId { value: name.clone() },
                resources,
                command: Some(CommandInfo {
                    shell: Some(settings.shell),
                    value,
                    environment: (!variables.is_empty()).then_some(Environment { variables }),
                    ..CommandInfo::default()
                }),
                ..TaskInfo::default()
            })
        }
    }
}

async fn until_ended(
    config: Config,
    task: TaskInfo,
    kill_after: Option<std::time::Duration>,
) -> anyhow::Result<()> {
    let name = task.name.clone();
    let mut run = Run::new(task);
    let mut drive = Drive::start(config);
    let mut kill_at: Option<tokio::time::Instant> = None;
    let mut done = false;
    while !done {
        let steps = tokio::select! {
            happening = drive.happening() => match happening? {
                Happening::Notice(notice) => run.handle(notice),
                Happening::Failed(failed) => {
                    if failed.kind == call::Type::Accept {
                        if let CallError::Refused { .. } = failed.error {
                            bail!("the master refused the launch: {}", failed.error)
                        }
                        run.accept_refused();
                    }
                    Vec::new()
                }
            },
            () = crate::task::at(kill_at) => {
                kill_at = None;
                write_stdout(format!("Asked to kill task '{}'\n", printable(&name)).as_bytes())?;
                run.kill()
            }
        };
        for step in steps {
            match step {
                Step::Call(call) => drive.call(*call),
                Step::Done => done = true,
                Step::Lost { reason } => say(&format!("Disconnected: {}", printable(&reason))),
                Step::Passed { .. } => {}
                Step::Placed(placement) => {
                    let agent = printable(&placement.agent_id.value);
                    let text =
                        format!("Submitted task '{}' to agent '{agent}'\n", printable(&name));
                    write_stdout(text.as_bytes())?;
                }
                Step::Subscribed(id) => {
                    let text = format!("Subscribed with ID {}\n", printable(&id.value));
                    write_stdout(text.as_bytes())?;
                }
                Step::Updated(status) => {
                    write_stdout(told(&status).as_bytes())?;
                    if status.state() == TaskState::TaskRunning && kill_at.is_none() {
                        kill_at = kill_after.map(|after| tokio::time::Instant::now() + after);
                    }
                }
            }
        }
    }
    // The last status is acknowledged; the framework ends with its connection.
    drive.finish().await;
    Ok(())
}

/// The original's last words.
fn farewell(error: &SessionError) -> String {
    let event = match error {
        SessionError::Error(text) => text.clone(),
        SessionError::Refused { status, reason } => {
            let phrase = http::StatusCode::from_u16(*status).ok();
            let phrase = phrase.and_then(|status| status.canonical_reason()).unwrap_or_default();
            // The original has not read the body when it says this.
            let reason = if *status == 401 { "" } else { reason };
            format!("Received unexpected '{status} {phrase}' ({reason}) for SUBSCRIBE")
        }
    };
    format!("EXIT with status 1: Received an ERROR event: {event}")
}

/// What to do about a master that only listens to TLS.
fn with_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(SessionError::Refused { status: 400, reason }) if reason.contains("speaks TLS") => {
            anyhow::anyhow!(
                "{error} (set LIBPROCESS_SSL_ENABLED=true, with a certificate and a key)"
            )
        }
        _ => error,
    }
}

/// A status as the original prints it.
fn told(status: &TaskStatus) -> String {
    let id = printable(&status.task_id.value);
    let state = status.state().as_str_name();
    let mut text = format!("Received status update {state} for task '{id}'\n");
    if let Some(message) = &status.message {
        text.push_str(&format!("  message: '{}'\n", printable(message)));
    }
    if status.source.is_some() {
        text.push_str(&format!("  source: {}\n", status.source().as_str_name()));
    }
    if status.reason.is_some() {
        text.push_str(&format!("  reason: {}\n", status.reason().as_str_name()));
    }
    if let Some(healthy) = status.healthy {
        text.push_str(&format!("  healthy?: {healthy}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::{Loaded, Sources};

    fn settings(arguments: &[&str]) -> ExecuteSettings {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let read_file = |_: &std::path::Path| Err("no files here".to_owned());
        let sources = Sources { arguments: &arguments, environment: &[], read_file: &read_file };
        match settings::execute(&sources).unwrap() {
            Loaded::Run { settings, .. } => *settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_framework_is_the_originals() {
        let settings = settings(&["--master=h:1", "--name=n", "--command=true", "--role=r"]);
        let framework = framework_of(&settings, "u".into());
        assert_eq!(framework.name, "mesos-execute instance");
        assert_eq!((framework.role(), framework.checkpoint()), ("r", false));
        let capabilities: Vec<_> = framework.capabilities.iter().map(|c| c.r#type()).collect();
        use capability::Type;
        assert_eq!(
            capabilities,
            [
                Type::ReservationRefinement,
                Type::TaskKillingState,
                Type::RevocableResources,
                Type::PartitionAware
            ]
        );
        assert_eq!(framework.failover_timeout, None);
    }

    #[test]
    fn the_name_is_the_id_and_the_defaults_are_the_originals() {
        let settings = settings(&["--master=h:1", "--name=n", "--command=true"]);
        let task = task_of(&settings).unwrap();
        assert_eq!((task.name.as_str(), task.task_id.value.as_str()), ("n", "n"));
        let amounts: Vec<_> = task
            .resources
            .iter()
            .map(|r| (r.name.as_str(), r.scalar.as_ref().unwrap().value))
            .collect();
        assert_eq!(amounts.len(), 2);
        assert!(amounts.contains(&("cpus", 1.0)) && amounts.contains(&("mem", 128.0)));
        assert_eq!(task.command.unwrap().value.as_deref(), Some("true"));
    }

    #[test]
    fn a_task_is_taken_as_it_is_given() {
        let text = r#"--task={"name":"x","task_id":{"value":"y"},"agent_id":{"value":""},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}],"command":{"value":"true"}}"#;
        let task = task_of(&settings(&["--master=h:1", text])).unwrap();
        assert_eq!((task.name.as_str(), task.task_id.value.as_str()), ("x", "y"));
        assert_eq!(task.resources.len(), 1);
        let settings = settings(&["--master=h:1", r#"--task={"name":"x"}"#]);
        assert!(task_of(&settings).is_err());
    }

    #[test]
    fn whoever_meets_tls_learns_how_to_speak_it() {
        let refused = |reason: &str| SessionError::Refused { status: 400, reason: reason.into() };
        let told = with_hint(refused("This port speaks TLS only: use https.").into()).to_string();
        assert!(told.contains("use https.") && told.contains("LIBPROCESS_SSL_ENABLED"), "{told}");
        let other = with_hint(refused("no role").into()).to_string();
        assert!(!other.contains("LIBPROCESS"), "{other}");
    }

    #[test]
    fn authn_a_refusal_is_told_in_the_originals_words() {
        let refused =
            |status, reason: &str| SessionError::Refused { status, reason: reason.into() };
        assert_eq!(
            farewell(&refused(401, "401 Unauthorized.")),
            "EXIT with status 1: Received an ERROR event: Received unexpected '401 Unauthorized' \
             () for SUBSCRIBE"
        );
        assert_eq!(
            farewell(&refused(403, "no role")),
            "EXIT with status 1: Received an ERROR event: Received unexpected '403 Forbidden' \
             (no role) for SUBSCRIBE"
        );
        assert_eq!(
            farewell(&SessionError::Error("gone".into())),
            "EXIT with status 1: Received an ERROR event: gone"
        );
    }

    #[test]
    fn a_status_is_told_line_by_line() {
        let mut status = TaskStatus {
            task_id: TaskId { value: "t".into() },
            message: Some("gone\nwrong".into()),
            ..TaskStatus::default()
        };
        status.set_state(TaskState::TaskFailed);
        status.set_source(wire::v1::task_status::Source::Executor);
        assert_eq!(
            told(&status),
            "Received status update TASK_FAILED for task 't'\n  \
             message: 'gone\u{fffd}wrong'\n  source: SOURCE_EXECUTOR\n"
        );
    }
}
