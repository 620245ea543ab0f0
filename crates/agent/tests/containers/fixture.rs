//! A containerizer in a directory of its own.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alcazar_agent::containerizer::{
    Containerizer as _, ExecutorSecrets, ExecutorToken, LaunchError, LaunchRequest, Launched,
    ProcessContainerizer, RecoveredContainer, RunAs, Settings, Termination, fetcher,
};
use launch::exit::Exit;
use launch::tree::Process;
use model::id::ContainerId;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;
use tls_policy::{Recognize, ServerTrust, Suites, Versions};
use wire::v1;

/// A directory for an agent, which anybody may pass through.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn sandbox(&self, container: &str) -> PathBuf {
        self.path().join("work/runs").join(container)
    }

    pub(crate) fn output(&self, container: &str, name: &str) -> String {
        std::fs::read_to_string(self.sandbox(container).join(name)).unwrap()
    }

    pub(crate) fn checkpoint(&self, container: &str) -> PathBuf {
        self.path().join("meta").join(container).join("pids/forked.pid")
    }

    pub(crate) fn records(&self) -> usize {
        std::fs::read_dir(self.path().join("run/containers")).unwrap().count()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            command_executor: "/usr/libexec/mesos/mesos-executor".into(),
            runtime_dir: self.path().join("run"),
            address: Some([127, 0, 0, 2].into()),
            allow_root: false,
            fetch: fetcher::Settings {
                max_bytes: 1 << 20,
                stall_timeout: Duration::from_secs(20),
                roots: None,
            },
        }
    }

    pub(crate) fn containerizer(&self) -> ProcessContainerizer {
        ProcessContainerizer::new(self.settings()).unwrap()
    }

    /// What is needed to run `arguments`, as the agent's user, under the name `container`.
    pub(crate) fn request(&self, container: &str, arguments: &[&str]) -> LaunchRequest {
        LaunchRequest {
            container_id: id(container),
            framework_id: "f".parse().unwrap(),
            executor_id: "e".parse().unwrap(),
            command: v1::CommandInfo {
                shell: Some(false),
                value: Some(arguments[0].to_owned()),
                arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
                ..v1::CommandInfo::default()
            },
            container: None,
            resources: Vec::new(),
            volumes: Vec::new(),
            environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            run_as: RunAs::Agent,
            sandbox: self.sandbox(container),
            environment_token: None,
            secrets: None,
            pid_checkpoint: Some(self.checkpoint(container)),
        }
    }

    pub(crate) fn shell(&self, container: &str, text: &str) -> LaunchRequest {
        self.request(container, &["/bin/sh", "-c", text])
    }

    pub(crate) fn recovered(&self, container: &str, pid: u32) -> RecoveredContainer {
        RecoveredContainer {
            container_id: id(container),
            framework_id: "f".parse().unwrap(),
            executor_id: "e".parse().unwrap(),
            pid: Some(pid),
            pid_checkpoint: self.checkpoint(container),
            sandbox: self.sandbox(container),
        }
    }
}

pub(crate) fn id(container: &str) -> ContainerId {
    ContainerId::new(container).unwrap()
}

pub(crate) fn secrets() -> ExecutorSecrets {
    ExecutorSecrets {
        token: ExecutorToken::new("ab".repeat(32)),
        lifetime: std::time::Duration::from_secs(3600),
        trust: ServerTrust {
            recognize: Recognize::Identity {
                roots: b"certificates".to_vec(),
                identity: "spiffe://alcazar.local/agent/a".parse().unwrap(),
            },
            versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
            suites: Suites::Named("ECDHE+AESGCM".into()),
            groups: None,
        },
    }
}

/// Runs a test's future, at most for a minute.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(testkit::process::PATIENCE, future).await.unwrap() })
}

/// Launches and waits for the end.
pub(crate) async fn run_to_end(
    containerizer: &ProcessContainerizer,
    request: LaunchRequest,
) -> Result<Termination, LaunchError> {
    let container = request.container_id.clone();
    containerizer.launch(request).await?;
    Ok(containerizer.wait(&container).await.unwrap())
}

pub(crate) async fn launch(
    containerizer: &ProcessContainerizer,
    request: LaunchRequest,
) -> Launched {
    containerizer.launch(request).await.unwrap()
}

pub(crate) fn exit(termination: &Termination) -> Option<Exit> {
    Exit::from_wait_status(termination.status?)
}

/// Waits until the file has a whole line, and returns it.
pub(crate) async fn line_of(path: &Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim_end().to_owned(),
            // There is no event for the growth of a file without a watcher of the kernel.
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

pub(crate) fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().unwrap()).unwrap()
}

/// Whether the process is gone, or ended and only waits to be reaped.
pub(crate) fn has_ended(pid: Pid) -> bool {
    Process::read(pid).unwrap().is_none_or(|process| process.ended)
}

/// Waits for the end of a process that is not a child of this one.
pub(crate) fn await_end(pid: Pid) {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
}
