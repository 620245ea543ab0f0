//! A secure cluster as `alcazar up` makes it, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;

/// A running `alcazar up` and its state directory.
#[derive(Debug)]
pub struct Cluster {
    up: Option<Process>,
    binary: PathBuf,
    directory: TempDir,
}

impl Cluster {
    /// Starts a cluster with one small agent and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    #[must_use]
    pub fn up(binary: &Path) -> Self {
        Self::up_with(binary, &["--resources", "cpus:4;mem:1024;disk:1024"])
    }

    /// The same with other arguments.
    ///
    /// # Panics
    /// If it does not get ready.
    #[must_use]
    pub fn up_with(binary: &Path, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        crate::daemon::open_to_others(directory.path());
        let mut cluster = Self { up: None, binary: binary.to_owned(), directory };
        let mut arguments = arguments.to_vec();
        arguments.extend(["--port", "0"]);
        cluster.start(&arguments);
        cluster
    }

    /// Starts `up` again on the same state directory.
    ///
    /// # Panics
    /// If it does not get ready.
    pub fn start(&mut self, arguments: &[&str]) {
        let mut command = self.command("up");
        command.args(arguments);
        let mut up = Process::start(command);
        up.wait_for_line("alcazar execute");
        self.up = Some(up);
    }

    /// Ends `up` as Ctrl-C does and waits for it.
    ///
    /// # Panics
    /// If it is not running or does not end.
    pub fn interrupt(&mut self) -> (ExitStatus, Vec<String>) {
        let up = self.up.take().expect("a running cluster");
        up.signal(Signal::INT);
        up.wait()
    }

    /// Kills `up` alone, without a chance to say anything to its daemons.
    ///
    /// # Panics
    /// If it is not running.
    pub fn kill_up(&mut self) {
        drop(self.up.take().expect("a running cluster"));
    }

    /// The process `up`.
    ///
    /// # Panics
    /// If it is not running.
    pub fn process(&mut self) -> &mut Process {
        self.up.as_mut().expect("a running cluster")
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// `alcazar <command>` for this cluster.
    #[must_use]
    pub fn command(&self, command: &str) -> Command {
        let mut process = Command::new(&self.binary);
        process.arg(command).env("ALCAZAR_STATE_DIR", self.state_dir()).env_remove("RUST_LOG");
        process
    }

    /// Runs `alcazar <command> <arguments>` to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run(&self, command: &str, arguments: &[&str]) -> Output {
        self.command(command).args(arguments).output().expect("the binary starts")
    }

    /// The process id of the daemon whose command line holds `word` (`master`, `agent`).
    ///
    /// # Panics
    /// If `up` is not running or has no such child.
    #[must_use]
    pub fn daemon(&self, word: &str) -> u32 {
        let up = self.up.as_ref().expect("a running cluster").id();
        children(up)
            .into_iter()
            .find(|child| command_line(*child).iter().any(|argument| argument == word))
            .unwrap_or_else(|| panic!("`up` has no child called {word}"))
    }

    /// What `curl` gets from the master under `path`, with the operator's certificate; after the
    /// body a line with the status. `None`, and a notice, where there is no curl.
    #[must_use]
    pub fn curl(&self, path: &str, arguments: &[&str]) -> Option<String> {
        let file = |key| self.state_dir().join(self.fact(key));
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--cacert"])
            .arg(file("ca"))
            .arg("--cert")
            .arg(file("certificate"))
            .arg("--key")
            .arg(file("key"))
            .args(arguments)
            .arg(format!("{}{path}", self.fact("master")))
            .output();
        if output.is_err() {
            crate::skipped("no curl on this machine");
        }
        Some(String::from_utf8_lossy(&output.ok()?.stdout).into_owned())
    }

    /// The value of one of the master's metrics. `None` where there is no curl.
    ///
    /// # Panics
    /// If the master does not answer or has no such metric.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let answer = self.curl("/metrics/snapshot", &[])?;
        let (_, rest) = answer
            .split_once(&format!("\"{name}\":"))
            .unwrap_or_else(|| panic!("no {name} in {answer}"));
        let number = rest.split([',', '}']).next().unwrap_or_default().trim();
        Some(number.parse().unwrap_or_else(|e| panic!("{name}: {e}: {number}")))
    }

    /// What `cluster.json` says under this key.
    ///
    /// # Panics
    /// If the file is not there.
    #[must_use]
    pub fn fact(&self, key: &str) -> String {
        let text = std::fs::read_to_string(self.state_dir().join("cluster.json")).expect("facts");
        let key = format!("\"{key}\":");
        let (_, rest) = text.split_once(&key).unwrap_or_else(|| panic!("no {key} in {text}"));
        rest.trim_start().trim_start_matches('"').split('"').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Executors outlive `up` and its agents on purpose; a test leaves nothing behind.
        drop(self.up.take());
        let marker = self.directory.path().to_string_lossy().into_owned();
        for process in processes() {
            let inside = std::fs::read_link(format!("/proc/{process}/cwd"))
                .is_ok_and(|cwd| cwd.to_string_lossy().starts_with(&marker))
                || command_line(process).iter().any(|argument| argument.contains(&marker));
            let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
            if let (true, Some(pid)) = (inside, pid) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The ids of all processes.
#[must_use]
pub fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The arguments of a process; empty if it is gone.
#[must_use]
pub fn command_line(process: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    bytes.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect()
}

fn children(parent: u32) -> Vec<u32> {
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything; the parent is the second word after it.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1).and_then(|p| p.parse().ok()) == Some(parent)
    };
    processes().into_iter().filter(is_child).collect()
}
