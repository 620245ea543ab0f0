//! Agents and drivers made by hand, honest and not, before a real master in plaintext.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use libprocess::message::encode_message;
use libprocess::upid::Upid;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use tempfile::TempDir;
use testkit::daemon::Daemon;
use testkit::http::Message;
use testkit::process::PATIENCE;
use wire::{Described, Limits, internal, v1};

use crate::instance::{Incoming, Instance};

pub(crate) const CREDENTIALS: &str = r#"{"credentials": [
    {"principal": "agent-a", "secret": "secret-a", "kinds": ["agent"]},
    {"principal": "agent-b", "secret": "secret-b", "kinds": ["agent"]},
    {"principal": "framework", "secret": "secret-f", "kinds": ["framework"]},
    {"principal": "anything", "secret": "secret-x"}
]}"#;

/// A master that asks agents and frameworks who they are.
pub(crate) struct Strict {
    pub(crate) daemon: Daemon,
    _files: TempDir,
}

impl Strict {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("credentials.json");
        std::fs::write(&path, CREDENTIALS).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut all = vec![
            "--authenticate_agents".to_owned(),
            "--authenticate_frameworks".to_owned(),
            format!("--credentials={}", path.display()),
        ];
        all.extend(flags.iter().map(|&flag| flag.to_owned()));
        let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
        Self { daemon: Daemon::start(binary, "mesos-master", &all), _files: files }
    }

    pub(crate) fn upid(&self) -> Upid {
        Upid::new("master", self.daemon.address)
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let body = get(self.daemon.address, "/metrics/snapshot");
        let all: serde_json::Value = serde_json::from_slice(&body).unwrap();
        all[name].as_f64().unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// Waits until the metric has the value.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, value: f64) {
        let end = Instant::now() + PATIENCE;
        while self.metric(name) != value {
            assert!(Instant::now() < end, "{name} is {}, not {value}", self.metric(name));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn get(address: SocketAddrV4, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Message::parse(&bytes).body
}

/// Says something over a connection of its own, as whoever it likes, and returns the status of the
/// answer.
pub(crate) fn claim<M: Described>(from: &Upid, to: &Upid, message: &M) -> u16 {
    let mut bytes = BytesMut::new();
    encode_message(&mut bytes, from, to, M::NAME, &wire::encode(message)).unwrap();
    let mut stream = TcpStream::connect(to.address).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

/// A client with a listener, which says everything over one connection.
pub(crate) struct Client {
    pub(crate) instance: Instance,
    /// Its first actor.
    pub(crate) name: &'static str,
    master: Upid,
    attempts: u32,
}

impl Client {
    pub(crate) fn agent(master: &Strict) -> Self {
        Self::called(master, "slave(1)")
    }

    pub(crate) fn called(master: &Strict, name: &'static str) -> Self {
        Self { instance: Instance::listen(), name, master: master.upid(), attempts: 0 }
    }

    pub(crate) fn upid(&self) -> Upid {
        self.instance.actor(self.name)
    }

    /// The actor that speaks for it in the current attempt.
    pub(crate) fn authenticatee(&self) -> String {
        format!("crammd5-authenticatee({})", self.attempts)
    }

    pub(crate) fn say<M: Described>(&mut self, message: &M) {
        self.instance.send(self.name, &self.master, M::NAME, &wire::encode(message));
    }

    /// Says something over its connection in the name of anybody.
    pub(crate) fn say_as<M: Described>(&mut self, from: &Upid, message: &M) {
        let body = wire::encode(message);
        self.instance.send_as(from, &self.master, M::NAME, &body);
    }

    /// The next message, which is not a ping.
    #[track_caller]
    pub(crate) fn hear<M: Described>(&mut self) -> (Incoming, M) {
        let got = self.instance.receive_no_ping(self.name);
        assert_eq!(got.name, M::NAME);
        let (message, _) = wire::check::decode(&got.body, &Limits::default()).unwrap();
        (got, message)
    }

    /// Begins an attempt; returns the session's actor once it has offered its mechanisms.
    pub(crate) fn begin(&mut self) -> Upid {
        self.ask();
        let (got, mechanisms) = self.hear::<internal::AuthenticationMechanismsMessage>();
        assert_eq!(got.to, self.authenticatee());
        assert!(mechanisms.mechanisms.contains(&"CRAM-MD5".to_owned()), "{mechanisms:?}");
        assert!(got.from.id.starts_with("crammd5-authenticator-session("), "{}", got.from);
        got.from
    }

    /// Asks for an attempt.
    pub(crate) fn ask(&mut self) {
        self.attempts += 1;
        let pid = self.upid().to_string();
        let message = internal::AuthenticateMessage { pid };
        self.whisper(&self.master.clone(), &message);
    }

    /// The session's actor when it offers its mechanisms, unless that becomes true before.
    pub(crate) fn session_unless(&mut self, given_up: impl Fn() -> bool) -> Option<Upid> {
        loop {
            if let Some(got) = self.instance.receive_within(Duration::from_millis(50)) {
                return Some(got.from);
            }
            if given_up() {
                return None;
            }
        }
    }

    /// Says something as the authenticatee.
    pub(crate) fn whisper<M: Described>(&mut self, to: &Upid, message: &M) {
        let from = self.authenticatee();
        self.instance.send(&from, to, M::NAME, &wire::encode(message));
    }

    /// Chooses CRAM-MD5; returns the challenge.
    pub(crate) fn choose(&mut self, session: &Upid) -> Vec<u8> {
        let mechanism = "CRAM-MD5".to_owned();
        let start =
            internal::AuthenticationStartMessage { mechanism, data: Some(bytes::Bytes::new()) };
        self.whisper(session, &start);
        self.hear::<internal::AuthenticationStepMessage>().1.data.to_vec()
    }

    /// Answers a challenge.
    pub(crate) fn answer(&mut self, session: &Upid, challenge: &[u8], who: (&str, &str)) {
        let (principal, secret) = who;
        let data = cram_md5(principal, secret, challenge).into();
        self.whisper(session, &internal::AuthenticationStepMessage { data });
    }

    /// A whole attempt with the right secret.
    pub(crate) fn authenticate(&mut self, who: (&str, &str)) {
        let session = self.begin();
        let challenge = self.choose(&session);
        self.answer(&session, &challenge, who);
        self.hear::<internal::AuthenticationCompletedMessage>();
    }

    /// What an agent registers with.
    pub(crate) fn registration(&self) -> internal::RegisterSlaveMessage {
        let scalar = |name: &str, value: f64| v1::Resource {
            name: name.to_owned(),
            r#type: v1::value::Type::Scalar as i32,
            scalar: Some(v1::value::Scalar { value }),
            ..Default::default()
        };
        let capability = |n: i32| v1::agent_info::Capability { r#type: Some(n) };
        internal::RegisterSlaveMessage {
            slave: v1::AgentInfo {
                hostname: "127.0.0.1".to_owned(),
                port: Some(i32::from(self.instance.address().port())),
                resources: vec![scalar("cpus", 4.0), scalar("mem", 1024.0)],
                checkpoint: Some(true),
                ..Default::default()
            },
            version: Some("1.12.0".to_owned()),
            agent_capabilities: (1..=8).map(capability).collect(),
            ..Default::default()
        }
    }

    /// Registers as an agent; returns its id.
    pub(crate) fn register(&mut self) -> v1::AgentId {
        self.say(&self.registration());
        self.hear::<internal::SlaveRegisteredMessage>().1.slave_id
    }

    /// What it comes back with, under that id.
    pub(crate) fn reregistration(&self, id: &v1::AgentId) -> internal::ReregisterSlaveMessage {
        let internal::RegisterSlaveMessage { mut slave, version, agent_capabilities, .. } =
            self.registration();
        slave.id = Some(id.clone());
        internal::ReregisterSlaveMessage {
            slave,
            version,
            agent_capabilities,
            ..Default::default()
        }
    }
}

/// RFC 2195, by OpenSSL and not by us.
pub(crate) fn cram_md5(principal: &str, secret: &str, challenge: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(secret.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::md5(), &key).unwrap();
    signer.update(challenge).unwrap();
    let digest = signer.sign_to_vec().unwrap();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{principal} {hex}").into_bytes()
}
