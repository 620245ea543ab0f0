//! The daemons under the names of the original, in plaintext, each on a port of its own.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, getuid};
use tempfile::TempDir;

use crate::process::{Process, Watched};

/// A running `mesos-master` or `mesos-agent` with its working directory.
#[derive(Debug)]
pub struct Daemon {
    /// The process; it is killed first.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddrV4,
    /// Its files, removed with it.
    pub directory: TempDir,
    /// What it was started with, besides its port.
    name: String,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Daemon {
    /// Starts `name` (a link to `binary`) with these flags besides address and directory, and
    /// waits until it listens.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start(binary: &Path, name: &str, flags: &[String]) -> Self {
        Self::start_with(binary, name, flags, &[])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start_with(
        binary: &Path,
        name: &str,
        flags: &[String],
        variables: &[(String, String)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Tasks run as other users must be able to reach their sandboxes.
        open_to_others(directory.path());
        std::os::unix::fs::symlink(binary, directory.path().join(name)).expect("a link");
        let (process, address) = launch(directory.path(), name, 0, flags, variables);
        let (name, flags, variables) = (name.to_owned(), flags.to_vec(), variables.to_vec());
        Self { process, address, directory, name, flags, variables }
    }

    /// Kills it, and starts it again with the same directory and at the same address.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        Watched::new(self.process.id()).wait();
        let port = self.address.port();
        let directory = self.directory.path();
        (self.process, self.address) =
            launch(directory, &self.name, port, &self.flags, &self.variables);
    }

    /// Kills the daemon as an out-of-memory killer would.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }
}

/// Starts it, and waits until it listens.
fn launch(
    directory: &Path,
    name: &str,
    port: u16,
    flags: &[String],
    variables: &[(String, String)],
) -> (Process, SocketAddrV4) {
    let mut command = Command::new(directory.join(name));
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .args(["--ip=127.0.0.1", "--hostname=127.0.0.1"])
        .arg(format!("--port={port}"))
        .arg(format!("--work_dir={}", directory.join("work").display()))
        .args(flags);
    let mut process = Process::start(command);
    let line = process.wait_for_line("listening on ");
    let address = address_in(&line);
    (process, address)
}

/// The address that follows `listening on ` in a line of a daemon's log.
///
/// # Panics
/// If none does.
#[must_use]
pub fn address_in(line: &str) -> SocketAddrV4 {
    let (_, rest) = line.split_once("listening on ").expect("the line says where");
    let address: String =
        rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    address.trim_end_matches(['.', ':']).parse().unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// Makes a directory traversable for everybody, where tasks may run as somebody else.
pub fn open_to_others(directory: &Path) {
    if getuid().is_root() {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory, mode).expect("our own directory");
    }
}
