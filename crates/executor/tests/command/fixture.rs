//! An executor in a container, and tasks for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ExitStatus};

use alcazar_executor::material::{BearerToken, Material, STDIN, VARIABLE};
use launch::image::THIS_PROGRAM;
use launch::tree::{self, Process};
use launch::{Input, Program, Start, User, init};
use rustix::process::Pid;
use tempfile::TempDir;
use testkit::process::PATIENCE;
use tls_policy::{Recognize, ServerTrust, Suites, Versions};
use wire::v1;

use crate::agent::TOKEN;

/// An executor's process with its sandbox; killed with all that it started when dropped.
pub(crate) struct Executor {
    init: Child,
    sandbox: TempDir,
}

/// How an executor is started.
pub(crate) struct Options {
    pub(crate) checkpoint: bool,
    pub(crate) trust: Option<Recognize>,
    pub(crate) token: &'static str,
    pub(crate) user: Option<User>,
}

impl Default for Options {
    fn default() -> Self {
        Self { checkpoint: true, trust: None, token: TOKEN, user: None }
    }
}

impl Executor {
    pub(crate) fn start(agent: SocketAddr, options: Options) -> Self {
        let sandbox = tempfile::tempdir().unwrap();
        std::fs::set_permissions(sandbox.path(), Permissions::from_mode(0o777)).unwrap();
        let directory = sandbox.path().canonicalize().unwrap();
        let mut environment: BTreeMap<OsString, OsString> = [
            ("MESOS_FRAMEWORK_ID", "f"),
            ("MESOS_EXECUTOR_ID", "t"),
            ("MESOS_SLAVE_PID", &format!("slave(1)@{agent}")),
            ("MESOS_CHECKPOINT", if options.checkpoint { "1" } else { "0" }),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "100ms"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "2100ms"),
            ("MESOS_SANDBOX", directory.to_str().unwrap()),
            ("PATH", "/usr/bin:/bin"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let input = match options.trust {
            None => Input::Null,
            Some(recognize) => {
                environment.insert(VARIABLE.into(), STDIN.into());
                let token = BearerToken::new(options.token.to_owned());
                let trust = ServerTrust {
                    recognize,
                    versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
                    suites: Suites::Modern,
                    groups: None,
                };
                Input::Bytes(
                    Material { token, lifetime: std::time::Duration::from_secs(3600), trust }
                        .encode(),
                )
            }
        };
        let output = |name: &str| {
            File::options().create(true).append(true).open(directory.join(name)).unwrap()
        };
        let mut init = init::command(THIS_PROGRAM.as_ref())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap();
        let start = Start {
            program: Program::Ourselves,
            arguments: ["alcazar", alcazar_executor::COMMAND].map(OsString::from).to_vec(),
            environment,
            directory,
            user: options.user,
            input,
            may_gain_privileges: false,
        };
        start.write_to(&mut init.stdin.take().unwrap()).unwrap();
        Self { init, sandbox }
    }

    pub(crate) fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.sandbox.path().join(name)).unwrap()
    }

    pub(crate) fn sandbox(&self) -> String {
        self.sandbox.path().canonicalize().unwrap().display().to_string()
    }

    /// Lets a task that waits for the pipe `go` go on.
    pub(crate) fn go(&self) {
        std::fs::write(self.sandbox.path().join("go"), "\n").unwrap();
    }

    /// Waits for the end of the container.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.init);
        tokio::task::spawn_blocking(move || {
            let options =
                rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
        })
        .await
        .unwrap();
        self.init.wait().unwrap()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the executor said: {}", self.output("stderr"));
        }
        if matches!(self.init.try_wait(), Ok(None)) {
            tree::kill_descendants(Pid::from_child(&self.init)).unwrap();
            self.init.kill().unwrap();
            self.init.wait().unwrap();
        }
    }
}

pub(crate) fn task_id() -> v1::TaskId {
    v1::TaskId { value: "t".into() }
}

/// A task that runs a shell command.
pub(crate) fn task(text: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: "t".into(),
        task_id: task_id(),
        command: Some(v1::CommandInfo {
            value: Some(text.to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}

/// A framework that knows TASK_KILLING.
pub(crate) fn framework() -> v1::FrameworkInfo {
    use v1::framework_info::{Capability, capability::Type};
    v1::FrameworkInfo {
        user: "u".into(),
        name: "f".into(),
        capabilities: vec![Capability { r#type: Some(Type::TaskKillingState.into()) }],
        ..v1::FrameworkInfo::default()
    }
}

pub(crate) fn milliseconds(milliseconds: i64) -> v1::DurationInfo {
    v1::DurationInfo { nanoseconds: milliseconds * 1_000_000 }
}

pub(crate) fn kill_policy(grace_ms: i64) -> v1::KillPolicy {
    v1::KillPolicy { grace_period: Some(milliseconds(grace_ms)) }
}

/// Runs a test's future, at most for a minute.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

/// Whether the process is gone, or ended and only waits to be reaped.
pub(crate) fn has_ended(pid: &str) -> bool {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    Process::read(pid).unwrap().is_none_or(|process| process.ended)
}
