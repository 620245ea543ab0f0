//! The master that is measured: the real program under the name of the original.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use testkit::swarm::tls::Files;
use testkit::usage;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a master is started with, and started again with.
#[derive(Debug)]
pub(crate) struct Place {
    binary: PathBuf,
    directory: PathBuf,
    flags: Vec<String>,
    tls: Option<Files>,
    starts: u32,
}

/// A running master. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Master {
    child: Child,
    pub(crate) address: SocketAddrV4,
}

impl Place {
    /// A place for a master with these flags besides those about where it is.
    pub(crate) fn new(
        directory: &Path,
        flags: Vec<String>,
        tls: Option<Files>,
    ) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let binary = own.with_file_name("alcazar");
        ensure!(binary.exists(), "{} is missing: `cargo xtask bench` builds it", binary.display());
        Ok(Self { binary, directory: directory.to_owned(), flags, tls, starts: 0 })
    }

    /// The same for one that knows `principals`, all with the same secret, and asks agents for it.
    pub(crate) fn strict(
        directory: &Path,
        mechanism: &str,
        principals: impl Iterator<Item = String>,
        secret: &str,
        tls: Option<Files>,
    ) -> anyhow::Result<Self> {
        let one = |principal| json!({"principal": principal, "secret": secret});
        let credentials = json!({"credentials": principals.map(one).collect::<Vec<_>>()});
        let path = directory.join("credentials");
        fs::write(&path, credentials.to_string())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let flags = vec![
            "--authenticate_agents=true".to_owned(),
            format!("--credentials={}", path.display()),
            format!("--sasl_mechanisms={mechanism}"),
        ];
        Self::new(directory, flags, tls)
    }

    /// Starts a master at `port` (0: one that the system chooses) and waits until it listens.
    pub(crate) fn start(&mut self, port: u16) -> anyhow::Result<Master> {
        self.starts += 1;
        let log = self.directory.join(format!("master-{}.log", self.starts));
        let out = File::create(&log)?;
        let child = Command::new(&self.binary)
            .arg0("mesos-master")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.tls.as_ref().map(variables).into_iter().flatten())
            .args(["--ip=127.0.0.1", "--hostname=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--work_dir={}", self.directory.join("work").display()))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("the master does not start")?;
        let mut master = Master { child, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port) };
        let begin = Instant::now();
        loop {
            let text = fs::read_to_string(&log)?;
            if let Some(address) = address_in(&text) {
                master.address = address;
                return Ok(master);
            }
            if let Some(status) = master.child.try_wait()? {
                bail!("the master ended with {status}:\n{text}");
            }
            ensure!(begin.elapsed() < PATIENCE, "the master does not listen:\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The original's settings for TLS. The probes ask in plaintext, which is not what is measured.
fn variables(tls: &Files) -> [(&'static str, PathBuf); 5] {
    [
        ("LIBPROCESS_SSL_ENABLED", "true".into()),
        ("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", "true".into()),
        ("LIBPROCESS_SSL_CERT_FILE", tls.chain.clone()),
        ("LIBPROCESS_SSL_KEY_FILE", tls.key.clone()),
        ("LIBPROCESS_SSL_CA_FILE", tls.roots.clone()),
    ]
}

/// The address in the line of a log that says where a daemon listens.
fn address_in(log: &str) -> Option<SocketAddrV4> {
    let (_, rest) = log.split_once("listening on ")?;
    // A line that is written in part says nothing yet.
    let (line, _) = rest.split_once('\n')?;
    let end = line.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    line[..end.unwrap_or(line.len())].trim_end_matches(['.', ':']).parse().ok()
}

impl Master {
    /// Processor time that it has used since its start.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        usage::whole_cpu_of(self.child.id())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an out-of-memory killer would.
    pub(crate) fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_a_whole_line_only() {
        let line = "INFO the master leads; listening on 127.0.0.1:5050";
        assert_eq!(address_in(line), None);
        let at = |text: &str| address_in(text).map(|address| address.to_string());
        assert_eq!(at(&format!("first\n{line}\n")).unwrap(), "127.0.0.1:5050");
        assert_eq!(at(&format!("{line} id=1 pid=x\n")).unwrap(), "127.0.0.1:5050");
    }
}
