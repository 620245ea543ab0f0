//! A real agent and a real master that have authenticated each other by SCRAM, and those who come
//! in between afterwards.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;

use bytes::BytesMut;
use libprocess::message::encode_message;
use libprocess::upid::Upid;
use testkit::daemon::Daemon;
use testkit::process::eventually;
use wire::internal as i;
use wire::v1;

use crate::agent_fixture::*;

/// A master that demands credentials, and an agent that has them.
struct Pair {
    master: Daemon,
    agent: Daemon,
    _files: tempfile::TempDir,
}

impl Pair {
    fn start(variables: &[(String, String)], mechanism: &str) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let entry = format!(r#"{{"principal":"{PRINCIPAL}","secret":"{SECRET}"}}"#);
        let all = format!(r#"{{"credentials":[{entry}]}}"#);
        let all = private_file(files.path(), "credentials.json", &all);
        let one = private_file(files.path(), "credential.json", &entry);
        let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
        let flags = [
            format!("--credentials={}", all.display()),
            "--authenticate_agents".to_owned(),
            format!("--sasl_mechanisms={mechanism}"),
        ];
        let master = Daemon::start_with(binary, "mesos-master", &flags, variables);
        let flags = [
            format!("--master={}", master.address),
            format!("--credential={}", one.display()),
            format!("--sasl_mechanisms={mechanism}"),
            "--no-switch_user".to_owned(),
            "--registration_backoff_factor=100ms".to_owned(),
            "--resources=cpus:2;mem:512;disk:64;ports:[31000-31010]".to_owned(),
        ];
        let mut agent = Daemon::start_with(binary, "mesos-agent", &flags, variables);
        for line in ["Authenticating with master ", "Successfully authenticated", "Registered with"]
        {
            let line = agent.process.wait_for_line(line);
            assert!(!line.contains("CRAM-MD5"), "{line}");
        }
        Self { master, agent, _files: files }
    }
}

/// Sends messages in somebody's name over one connection; the answers' status codes.
fn forge(from: &Upid, to: &Upid, messages: &[(&str, Vec<u8>)]) -> Vec<u16> {
    let mut stream = TcpStream::connect(to.address).expect("the agent listens");
    stream.set_read_timeout(Some(testkit::process::PATIENCE)).expect("a timeout");
    let mut statuses = Vec::new();
    for (name, body) in messages {
        let mut bytes = BytesMut::new();
        let name = format!("mesos.internal.{name}");
        encode_message(&mut bytes, from, to, &name, body).expect("encodes");
        // A connection may be closed on somebody who is not who he says.
        if stream.write_all(&bytes).is_err() {
            break;
        }
        let Some(status) = status(&mut stream) else { break };
        statuses.push(status);
    }
    statuses
}

fn status(stream: &mut TcpStream) -> Option<u16> {
    let head = {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("text")
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).ok()?;
    head.split(' ').nth(1)?.parse().ok()
}

fn metric_of(address: SocketAddrV4, name: &str) -> f64 {
    metric(address, name)
}

/// The attack: somebody on the same machine, with the master's own address in his messages. In
/// plaintext nothing but the session's key tells the two apart.
#[test]
fn attack_b2_a12_the_masters_address_is_not_enough_to_be_the_master() {
    let pair = Pair::start(&[], "SCRAM-SHA-256");
    let agent = Upid::new("slave(1)", pair.agent.address);
    let mark = pair.agent.directory.path().join("attacked");
    let messages: Vec<(&str, Vec<u8>)> = vec![
        ("RunTaskMessage", wire::encode(&crate::agent_master::long_task("t", &mark))),
        ("PingSlaveMessage", wire::encode(&i::PingSlaveMessage { connected: false })),
        ("ShutdownMessage", wire::encode(&i::ShutdownMessage { message: Some("go".into()) })),
        (
            "SlaveReregisteredMessage",
            wire::encode(&i::SlaveReregisteredMessage {
                slave_id: v1::AgentId { value: "another".into() },
                reconciliations: Vec::new(),
                connection: None,
            }),
        ),
    ];
    for actor in ["master", "slave-observer(1)", "registrar(1)"] {
        for message in &messages {
            let from = Upid::new(actor, pair.master.address);
            for status in forge(&from, &agent, std::slice::from_ref(message)) {
                assert_ne!(status, 202, "{actor}: {}", message.0);
            }
        }
    }
    assert_eq!(metric_of(pair.agent.address, "slave/registered"), 1.0);
    assert_eq!(metric_of(pair.agent.address, "slave/tasks_staging"), 0.0);
    assert!(!mark.exists());
    // The master itself is heard all the while: it would lose the agent otherwise.
    let active = metric_of(pair.master.address, "master/slaves_active");
    assert_eq!(active, 1.0);
}

/// The attack: messages of an exchange that somebody else sends to the agent's attempts.
#[test]
fn attack_a12_messages_to_attempts_that_are_over_or_yet_to_come_do_nothing() {
    let pair = Pair::start(&[], "SCRAM-SHA-256");
    let from = Upid::new("crammd5-authenticator-session(1)", pair.master.address);
    let messages: Vec<(&str, Vec<u8>)> = vec![
        ("AuthenticationFailedMessage", Vec::new()),
        ("AuthenticationCompletedMessage", Vec::new()),
        ("AuthenticationErrorMessage", wire::encode(&i::AuthenticationErrorMessage::default())),
    ];
    for number in 1..4 {
        let to = Upid::new(format!("crammd5-authenticatee({number})"), pair.agent.address);
        for message in &messages {
            let statuses = forge(&from, &to, std::slice::from_ref(message));
            assert!(statuses.iter().all(|status| *status == 404), "{statuses:?}");
        }
    }
    assert_eq!(metric_of(pair.agent.address, "slave/registered"), 1.0);
}

/// After the master's death everything begins anew: another exchange, another session.
#[test]
fn authn_an_agent_authenticates_again_with_the_master_that_comes_back() {
    let mut pair = Pair::start(&[], "SCRAM-SHA-256");
    pair.master.kill();
    pair.agent.process.wait_for_line("The link to the master broke");
    pair.agent.process.wait_for_line("Authenticating with master ");
    eventually("the agent is not registered", || {
        (metric_of(pair.agent.address, "slave/registered") == 0.0).then_some(())
    });
}
