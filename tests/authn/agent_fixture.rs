//! An agent called by its Mesos name, in plaintext, with a credential; and masters made by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use libprocess::upid::Upid;
use tempfile::TempDir;
use testkit::captures::{Kind, Recorded};
use testkit::daemon::Daemon;
use wire::internal as i;
use wire::{Described, Limits, v1};

use crate::instance::{Incoming, Instance};

pub(crate) const PRINCIPAL: &str = "agent-principal";
pub(crate) const SECRET: &str = "agent-secret";
/// The actor of a session, as the original calls it.
pub(crate) const SESSION: &str = "crammd5-authenticator-session(1)";

/// A file that only its owner reads.
pub(crate) fn private_file(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(content.as_bytes())).expect("a file");
    path
}

/// An agent and its master, made by hand.
pub(crate) struct Story {
    pub(crate) master: Instance,
    pub(crate) agent: Daemon,
    pub(crate) pid: Upid,
    _credential: TempDir,
}

impl Story {
    pub(crate) fn begin(flags: &[&str]) -> Self {
        let master = Instance::listen();
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(r#"{{"principal":"{PRINCIPAL}","secret":"{SECRET}"}}"#);
        let credential = private_file(directory.path(), "credential.json", &text);
        let agent = agent(
            &[
                format!("--master={}", master.address()),
                format!("--credential=file://{}", credential.display()),
                "--authentication_backoff_factor=100ms".to_owned(),
            ],
            flags,
        );
        let pid = Upid::new("slave(1)", agent.address);
        Self { master, agent, pid, _credential: directory }
    }

    /// The next message of this type; pings of ours are not answered by anybody here.
    #[track_caller]
    pub(crate) fn receives<T: Described>(&mut self, name: &str) -> (Incoming, T) {
        let incoming = self.master.receive();
        assert_eq!(incoming.name, format!("mesos.internal.{name}"), "{incoming:?}");
        let body = read(&incoming);
        (incoming, body)
    }

    pub(crate) fn says<T: Described>(&mut self, from: &str, to: &Upid, name: &str, body: &T) {
        let name = format!("mesos.internal.{name}");
        self.master.send(from, to, &name, &wire::encode(body));
    }

    /// Takes the agent's wish to authenticate and names mechanisms; returns its actor.
    #[track_caller]
    pub(crate) fn offers(&mut self, mechanisms: &[&str]) -> Upid {
        let (incoming, authenticate) =
            self.receives::<i::AuthenticateMessage>("AuthenticateMessage");
        assert_eq!(incoming.to, "master");
        assert_eq!(authenticate.pid, self.pid.to_string());
        let authenticatee = incoming.from;
        let message = i::AuthenticationMechanismsMessage {
            mechanisms: mechanisms.iter().map(|&mechanism| mechanism.to_owned()).collect(),
        };
        self.says(SESSION, &authenticatee, "AuthenticationMechanismsMessage", &message);
        authenticatee
    }

    #[track_caller]
    pub(crate) fn starts(&mut self) -> i::AuthenticationStartMessage {
        self.receives("AuthenticationStartMessage").1
    }

    #[track_caller]
    pub(crate) fn steps(&mut self) -> Vec<u8> {
        let step: i::AuthenticationStepMessage = self.receives("AuthenticationStepMessage").1;
        step.data.into()
    }

    pub(crate) fn step(&mut self, to: &Upid, data: &[u8]) {
        let message = i::AuthenticationStepMessage { data: data.to_vec().into() };
        self.says(SESSION, to, "AuthenticationStepMessage", &message);
    }

    pub(crate) fn complete(&mut self, to: &Upid) {
        let message = i::AuthenticationCompletedMessage {};
        self.says(SESSION, to, "AuthenticationCompletedMessage", &message);
    }

    /// By CRAM-MD5, which asks nothing of a master.
    pub(crate) fn authenticates(&mut self) {
        let authenticatee = self.offers(&["CRAM-MD5"]);
        assert_eq!(self.starts().mechanism, "CRAM-MD5");
        self.step(&authenticatee, b"<1.2@here>");
        assert!(self.steps().starts_with(format!("{PRINCIPAL} ").as_bytes()));
        self.complete(&authenticatee);
    }

    /// Takes the registration that follows.
    pub(crate) fn registers(&mut self, id: &str) {
        let register = self.master.receive();
        assert_eq!(register.name, "mesos.internal.RegisterSlaveMessage");
        assert_eq!(register.from, self.pid);
        self.accepts(id);
        assert_eq!(self.master.receive().name, "mesos.internal.UpdateSlaveMessage");
    }

    pub(crate) fn accepts(&mut self, id: &str) {
        let message = i::SlaveRegisteredMessage {
            slave_id: v1::AgentId { value: id.into() },
            connection: Some(i::MasterSlaveConnection { total_ping_timeout_seconds: Some(75.0) }),
        };
        let pid = self.pid.clone();
        self.says("master", &pid, "SlaveRegisteredMessage", &message);
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        metric(self.agent.address, name)
    }
}

/// An agent under its Mesos name with these flags.
pub(crate) fn agent(own: &[String], flags: &[&str]) -> Daemon {
    let mut all = vec![
        // Tasks run as whoever runs this test.
        "--no-switch_user".to_owned(),
        "--resources=cpus:2;mem:512;disk:64;ports:[31000-31010]".to_owned(),
        "--registration_backoff_factor=300ms".to_owned(),
    ];
    all.extend_from_slice(own);
    all.extend(flags.iter().map(|&flag| flag.to_owned()));
    Daemon::start(Path::new(env!("CARGO_BIN_EXE_alcazar")), "mesos-agent", &all)
}

#[track_caller]
pub(crate) fn read<T: Described>(incoming: &Incoming) -> T {
    wire::check::decode::<T>(&incoming.body, &Limits::default()).expect("well-formed").0
}

/// The bodies of a recorded message with this name, to this address, in order.
pub(crate) fn recorded(story: &[Recorded], to: &str, name: &str) -> Vec<Vec<u8>> {
    let name = format!("mesos.internal.{name}");
    let wanted = story
        .iter()
        .filter(|r| r.kind == Kind::Message && r.to == to && r.actor_and_name().1 == name);
    wanted.map(|r| r.http().body).collect()
}

/// An answer over a connection of its own: status line, headers and body.
pub(crate) fn http(address: SocketAddrV4, request: &[u8]) -> testkit::http::Message {
    let mut stream = TcpStream::connect(address).expect("the daemon listens");
    stream.write_all(request).expect("the daemon reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the daemon answers");
    testkit::http::Message::parse(&answer)
}

pub(crate) fn metric(address: SocketAddrV4, name: &str) -> f64 {
    let request =
        format!("GET /metrics/snapshot HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = http(address, request.as_bytes());
    let all: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    all[name].as_f64().unwrap_or_else(|| panic!("there is no metric {name}: {all}"))
}
