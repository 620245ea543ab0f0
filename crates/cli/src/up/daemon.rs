//! One daemon as a child process of `up`: started, heard to be ready, stopped by its lifeline.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a daemon may take to end after its lifeline has: agents finish their writes.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A log or audit trail that is larger than this is put aside when its daemon starts.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// `master` or `agent-<n>`.
    pub(crate) name: String,
    /// The program: this one.
    pub(crate) program: PathBuf,
    /// Its arguments, the command first.
    pub(crate) args: Vec<OsString>,
    /// Where stderr goes.
    pub(crate) log: PathBuf,
    /// Its audit trail, which it writes itself.
    pub(crate) audit: PathBuf,
}

/// A daemon that was started.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Child,
    /// Held, never written to.
    lifeline: ChildStdin,
    ready: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    log_start: u64,
}

impl Daemon {
    /// Starts it, in a process group of its own: Ctrl-C on the terminal is for `up` alone.
    pub(crate) fn start(spec: &Spec) -> anyhow::Result<Self> {
        put_aside(&spec.audit)?;
        let (log, log_start) = open_log(&spec.log)?;
        let mut child = Command::new(&spec.program)
            .args(&spec.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", spec.program.display()))?;
        let (Some(lifeline), Some(ready)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("a process was started without the pipes it was to have");
        };
        Ok(Self {
            name: spec.name.clone(),
            child,
            lifeline,
            ready: BufReader::new(ready).lines(),
            log: spec.log.clone(),
            log_start,
        })
    }

    /// Its name, as in its [`Spec`].
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id, until the process was waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the line that says that it is ready; `None` if it ended, or said something else,
    /// first. Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn ready(&mut self) -> Option<String> {
        match self.ready.next_line().await {
            Ok(Some(line)) => line.strip_prefix("ready ").map(str::to_owned),
            Ok(None) | Err(_) => None,
        }
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        // Child::wait would close a stdin that it still held; ours was taken out.
        self.child.wait().await
    }

    /// Ends it: lets go of the lifeline and, should that not do, kills it. Says whether it had to
    /// be killed.
    pub(crate) async fn stop(self) -> std::io::Result<bool> {
        let Self { mut child, lifeline, .. } = self;
        drop(lifeline);
        match tokio::time::timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(status) => status.map(|_| false),
            Err(_) => child.kill().await.map(|()| true),
        }
    }

    /// The error that it ended with, if it wrote one to its log.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut file = File::open(&self.log).ok()?;
        let length = file.metadata().ok()?.len();
        let from = self.log_start.max(length.saturating_sub(4096));
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let error = text.lines().rev().find_map(|l| l.strip_prefix("error: "))?;
        Some(crate::printer::printable(error))
    }
}

/// Opens the log for appending and says where this run's part of it begins.
fn open_log(path: &std::path::Path) -> anyhow::Result<(File, u64)> {
    let cannot = || format!("cannot write {}", path.display());
    put_aside(path)?;
    let file = OpenOptions::new().create(true).append(true).open(path).with_context(cannot)?;
    let start = file.metadata().with_context(cannot)?.len();
    Ok((file, start))
}

/// Gives a file that has grown large another name, in the place of the last one.
fn put_aside(path: &std::path::Path) -> anyhow::Result<()> {
    if std::fs::metadata(path).is_ok_and(|m| m.len() > LOG_LIMIT) {
        std::fs::rename(path, path.with_extension("log.1"))
            .with_context(|| format!("cannot rename {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &std::path::Path, script: &str) -> Spec {
        Spec {
            name: "d".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            log: dir.join("d.log"),
            audit: dir.join("d.audit.log"),
        }
    }

    #[tokio::test]
    async fn a_daemon_is_ready_when_it_says_so_and_ends_with_its_lifeline() {
        let temp = tempfile::tempdir().unwrap();
        let spec = shell(temp.path(), "echo ready https://x:1; cat >/dev/null; echo bye >&2");
        let mut daemon = Daemon::start(&spec).unwrap();
        assert_eq!(daemon.ready().await.as_deref(), Some("https://x:1"));
        assert!(!daemon.stop().await.unwrap(), "the end of stdin should have been enough");
        assert_eq!(std::fs::read_to_string(temp.path().join("d.log")).unwrap(), "bye\n");
    }

    #[tokio::test]
    async fn a_daemon_that_ends_before_it_is_ready_leaves_its_last_words() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("d.log"), "error: of an earlier run\n").unwrap();
        let spec = shell(temp.path(), "echo 'error: no such port' >&2; exit 1");
        let mut daemon = Daemon::start(&spec).unwrap();
        assert_eq!(daemon.ready().await, None);
        assert_eq!(daemon.ended().await.unwrap().code(), Some(1));
        assert_eq!(daemon.last_words().as_deref(), Some("no such port"));

        let mut silent = Daemon::start(&shell(temp.path(), "exit 1")).unwrap();
        silent.ended().await.unwrap();
        assert_eq!(silent.last_words(), None);
    }
}
