//! A real agent and a real master that have authenticated each other by SCRAM, and those who come
//! in between afterwards.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;

use bytes::BytesMut;
use libprocess::message::encode_message;
use libprocess::upid::Upid;
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslStream, SslVerifyMode};
use testkit::certificates::{Authority, Keys, Leaf};
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

/// Certificates that nobody verifies: the first of the original's levels.
fn encrypted(directory: &Path) -> Vec<(String, String)> {
    let authority = Authority::root("ca", Keys::Ecdsa);
    let leaf = Leaf::host("localhost", Some(Ipv4Addr::LOCALHOST.into()));
    let (certificate, key) = authority.issue(&leaf).write(directory, "node");
    [
        ("LIBPROCESS_SSL_ENABLED", "true".to_owned()),
        ("LIBPROCESS_SSL_CERT_FILE", certificate.display().to_string()),
        ("LIBPROCESS_SSL_KEY_FILE", key.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Over TLS in which nobody verifies anybody's certificate the channel itself is bound.
#[test]
fn authn_over_tls_the_exchange_is_bound_to_the_channel() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut pair = Pair::start(&encrypted(directory.path()), "SCRAM-SHA-256-PLUS");
    // Whoever forges the master's address over TLS of his own is not heard.
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("TLS");
    connector.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect(pair.agent.address).expect("the agent listens");
    let mut stream = connector
        .build()
        .configure()
        .expect("TLS")
        .verify_hostname(false)
        .connect("localhost", stream)
        .expect("a handshake");
    let mut bytes = BytesMut::new();
    let from = Upid::new("master", pair.master.address);
    let to = Upid::new("slave(1)", pair.agent.address);
    let shutdown = wire::encode(&i::ShutdownMessage { message: Some("go".into()) });
    encode_message(&mut bytes, &from, &to, "mesos.internal.ShutdownMessage", &shutdown)
        .expect("encodes");
    stream.write_all(&bytes).expect("the agent reads");
    let answer = crate::executor_contained::head(&mut stream);
    assert!(!answer.starts_with("HTTP/1.1 202"), "{answer}");
    // It goes on with its own master: when that one dies, the agent notices.
    pair.master.kill();
    pair.agent.process.wait_for_line("The link to the master broke");
}

/// The attack: a man in the middle of the connection that the agent dials, with TLS of his own at
/// both ends. He changes nothing, so that each of the two sees only the other's messages.
#[test]
fn attack_a12_a_relay_between_two_channels_is_not_the_master() {
    let directory = tempfile::tempdir().expect("a directory");
    let variables = encrypted(directory.path());
    for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"] {
        let files = tempfile::tempdir().expect("a directory");
        let entry = format!(r#"{{"principal":"{PRINCIPAL}","secret":"{SECRET}"}}"#);
        let all = format!(r#"{{"credentials":[{entry}]}}"#);
        let all = private_file(files.path(), "credentials.json", &all);
        let one = private_file(files.path(), "credential.json", &entry);
        let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = relay.local_addr().expect("an address").port();
        let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
        let flags = [
            format!("--credentials={}", all.display()),
            "--authenticate_agents".to_owned(),
            // What a man in the middle of the network brings about by his place in it.
            "--advertise_ip=127.0.0.1".to_owned(),
            format!("--advertise_port={port}"),
        ];
        let master = Daemon::start_with(binary, "mesos-master", &flags, &variables);
        relay_between(relay, master.address, directory.path());
        let flags = [
            format!("--master=127.0.0.1:{port}"),
            format!("--credential={}", one.display()),
            format!("--sasl_mechanisms={mechanism}"),
            "--no-switch_user".to_owned(),
            "--registration_backoff_factor=100ms".to_owned(),
            "--authentication_timeout_min=1secs".to_owned(),
            "--resources=cpus:2;mem:512;disk:64;ports:[31000-31010]".to_owned(),
        ];
        let mut agent = Daemon::start_with(binary, "mesos-agent", &flags, &variables);
        agent.process.wait_for_line("Authenticating with master ");
        if mechanism == "SCRAM-SHA-256-PLUS" {
            // The proof is about another channel than the one that the master sees.
            agent.process.wait_for_line("the channel bindings differ");
        } else {
            // The exchange gets through, and leaves two keys: what the master says after it is
            // tied to nothing that the agent knows.
            agent.process.wait_for_line("Successfully authenticated with master ");
            agent.process.wait_for_line("this connection does not belong to its session");
        }
        agent.kill();
        let (_, lines) = agent.process.wait();
        assert!(!lines.iter().any(|line| line.contains("Registered with")), "{lines:?}");
    }
}

/// Carries bytes between TLS connections of its own to both sides.
fn relay_between(listener: TcpListener, master: SocketAddrV4, directory: &Path) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("TLS");
    acceptor.set_certificate_chain_file(directory.join("node.pem")).expect("a certificate");
    acceptor.set_private_key_file(directory.join("node-key.pem"), SslFiletype::PEM).expect("a key");
    let acceptor = acceptor.build();
    std::thread::spawn(move || {
        for theirs in listener.incoming() {
            let Ok(theirs) = theirs else { break };
            let acceptor = acceptor.clone();
            std::thread::spawn(move || -> Option<()> {
                let mut connector = SslConnector::builder(SslMethod::tls()).ok()?;
                connector.set_verify(SslVerifyMode::NONE);
                let connector = connector.build().configure().ok()?.verify_hostname(false);
                let ours = TcpStream::connect(master).ok()?;
                let mut ours = connector.connect("localhost", ours).ok()?;
                let mut theirs = acceptor.accept(theirs).ok()?;
                // One thread for both ways: each side is asked in turn whether it has something.
                for socket in [ours.get_ref(), theirs.get_ref()] {
                    socket.set_read_timeout(Some(std::time::Duration::from_millis(5))).ok()?;
                }
                loop {
                    carry(&mut theirs, &mut ours)?;
                    carry(&mut ours, &mut theirs)?;
                }
            });
        }
    });
}

/// Carries what is there; `None` at the end.
fn carry(from: &mut SslStream<TcpStream>, to: &mut SslStream<TcpStream>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    match from.read(&mut buffer) {
        Ok(0) => None,
        Ok(count) => to.write_all(buffer.get(..count)?).ok(),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(()),
        Err(_) => None,
    }
}
