//! Daemons under the names of the original that are restarted with other variables on the same
//! port and directory, and ways to ask them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::certificates::{Authority, Keys, Leaf};
use testkit::daemon::open_to_others;
use testkit::port::Port;
use testkit::process::{Process, Watched};
use tls_policy::{CryptoSupport, Naming, TlsSettings, resolve};
use tokio::runtime::Runtime;
use transport::client::{Call, Client, Settings};
use transport::tls::{Expected, Security};

/// Variables of a process.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// A folder with an authority and certificates of it.
#[derive(Debug)]
pub(crate) struct Certificates {
    directory: TempDir,
    pub(crate) authority: Authority,
}

impl Certificates {
    /// An authority with a certificate for loopback, by name and by address.
    pub(crate) fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        open_to_others(directory.path());
        let authority = Authority::root("a tutorial's CA", Keys::Ecdsa);
        authority.write(&directory.path().join("ca.pem"));
        let this = Self { directory, authority };
        this.issue("node", &loopback());
        this
    }

    /// Writes a certificate and its key, over those of that name if there are some.
    pub(crate) fn issue(&self, name: &str, leaf: &Leaf) -> (PathBuf, PathBuf) {
        self.authority.issue(leaf).write(self.directory.path(), name)
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The first level: a server has a certificate, nobody looks at it.
    pub(crate) fn encrypted(&self) -> Variables {
        vec![
            ("LIBPROCESS_SSL_ENABLED", "true".into()),
            ("LIBPROCESS_SSL_CERT_FILE", self.text("node.pem")),
            ("LIBPROCESS_SSL_KEY_FILE", self.text("node-key.pem")),
        ]
    }

    /// The same, beside plaintext.
    pub(crate) fn beside_plaintext(&self) -> Variables {
        let mut all = self.encrypted();
        all.push(("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", "true".into()));
        all
    }

    /// The second level: whoever connects verifies the server.
    pub(crate) fn verified(&self) -> Variables {
        let mut all = self.encrypted();
        all.push(("LIBPROCESS_SSL_CA_FILE", self.text("ca.pem")));
        all.push(("LIBPROCESS_SSL_VERIFY_SERVER_CERT", "true".into()));
        all.push(("LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME", "openssl".into()));
        all.push(("LIBPROCESS_SSL_VERIFY_IPADD", "true".into()));
        all
    }

    /// The third level: clients present certificates.
    pub(crate) fn mutual(&self) -> Variables {
        let mut all = self.verified();
        all.push(("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", "true".into()));
        all
    }
}

/// What a certificate says for a daemon on loopback.
pub(crate) fn loopback() -> Leaf {
    Leaf::host("localhost", Some(Ipv4Addr::LOCALHOST.into()))
}

/// A daemon that keeps its directory and its port.
#[derive(Debug)]
pub(crate) struct Node {
    // It ends before its directory goes.
    process: Option<Process>,
    name: &'static str,
    flags: Vec<String>,
    directory: TempDir,
    port: Port,
}

impl Node {
    /// A master that is not running yet.
    pub(crate) fn master() -> Self {
        Self::new("mesos-master", Vec::new())
    }

    /// An agent of `master` that is not running yet.
    pub(crate) fn agent(master: &Self) -> Self {
        Self::agent_of(master.address())
    }

    /// The same of a master that is told to be at this address.
    pub(crate) fn agent_of(master: SocketAddrV4) -> Self {
        let flags = vec![
            format!("--master={master}"),
            "--resources=cpus:1;mem:256;disk:256".to_owned(),
            // An executor waits up to two seconds before it comes back, as long as the default
            // here: on a busy machine that would be a matter of chance.
            "--executor_reregistration_timeout=15secs".to_owned(),
        ];
        Self::new("mesos-agent", flags)
    }

    /// The same with more flags.
    #[allow(dead_code, reason = "only the tests of authentication need it")]
    pub(crate) fn with_flags(mut self, flags: &[String]) -> Self {
        self.flags.extend_from_slice(flags);
        self
    }

    fn new(name: &'static str, flags: Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        open_to_others(directory.path());
        let link = directory.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_alcazar"), link).expect("a link");
        Self { process: None, name, flags, directory, port: Port::reserve() }
    }

    /// Starts it and waits until it listens, always on the same port.
    pub(crate) fn start(&mut self, variables: &Variables) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let mut command = Command::new(self.directory.path().join(self.name));
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .args(["--ip=127.0.0.1", "--hostname=127.0.0.1"])
            .arg(format!("--port={}", self.port.address().port()))
            .arg(format!("--work_dir={}", self.directory.path().join("work").display()))
            .args(&self.flags);
        let mut process = Process::start(command);
        process.wait_for_line("listening on ");
        self.process = Some(process);
    }

    /// Ends it as an operator does and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        let process = self.process.take().expect("it runs");
        let watched = Watched::new(process.id());
        process.signal(Signal::TERM);
        watched.wait();
    }

    /// Ends it as an out-of-memory killer does and waits until it is gone.
    #[allow(dead_code, reason = "only the tests of authentication need it")]
    pub(crate) fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        let watched = Watched::new(process.id());
        process.signal(Signal::KILL);
        watched.wait();
    }

    /// [`Self::stop`], then [`Self::start`].
    pub(crate) fn restart(&mut self, variables: &Variables) {
        self.stop();
        self.start(variables);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.port.address()
    }

    /// The running process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }
}

/// What protects the connections of a program with these variables.
pub(crate) fn security(variables: &Variables) -> Security {
    let all = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
    let settings = TlsSettings::read(Naming::Mesos, all, &read).expect("variables that exist");
    let resolved = resolve(&settings, &CryptoSupport::EVERYTHING).expect("a policy");
    Security::load(&resolved.policy).expect("files that are there")
}

/// Asks daemons over HTTP.
#[derive(Debug)]
pub(crate) struct Asking {
    runtime: Runtime,
    client: Client,
}

impl Asking {
    /// As a program with these variables.
    pub(crate) fn with(variables: &Variables) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let settings = Settings {
            connect_deadline: Duration::from_secs(5),
            response_deadline: Duration::from_secs(10),
            ..Settings::default()
        };
        let client = Client::new(security(variables), settings);
        Self { runtime: runtime.expect("a runtime"), client }
    }

    /// The same, in plaintext if that is all that a daemon speaks and the variables allow it.
    pub(crate) fn following(variables: &Variables) -> Self {
        let client = Client::following(security(variables), Settings::default());
        Self { client, ..Self::with(variables) }
    }

    /// The status and the body that a GET brings.
    pub(crate) fn get(&self, at: SocketAddrV4, target: &str) -> Result<(u16, String), String> {
        self.ask(at, Call::get(target))
    }

    /// The status and the body that a call brings.
    pub(crate) fn ask(&self, at: SocketAddrV4, call: Call) -> Result<(u16, String), String> {
        self.runtime.block_on(async {
            let host = at.ip().to_string();
            let expected = Expected::Host(host.clone());
            let connecting = self.client.connect(&host, at.port(), &expected);
            let mut connection = connecting.await.map_err(|e| e.to_string())?;
            let reply = connection.call(call).await.map_err(|e| e.to_string())?;
            let status = reply.status.as_u16();
            let body = reply.body.collect(1 << 24).await.map_err(|e| e.to_string())?;
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        })
    }

    /// The JSON at `target`; `None` while there is none.
    pub(crate) fn json(&self, at: SocketAddrV4, target: &str) -> Option<Value> {
        let (status, body) = self.get(at, target).ok()?;
        (status == 200).then(|| serde_json::from_str(&body).expect("JSON"))
    }
}
