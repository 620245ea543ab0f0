//! Our master and our agent authenticate, and every connection between them is tied to that; in
//! plaintext, where nothing else is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;

use tempfile::TempDir;
use testkit::daemon::Daemon;
use testkit::process::eventually;

use crate::agent_fixture::{PRINCIPAL, SECRET, agent, metric, private_file};

struct Cluster {
    master: Daemon,
    agent: Daemon,
    _files: TempDir,
}

impl Cluster {
    /// They know this mechanism only.
    fn new(mechanism: &str, master_flags: &[&str], agent_flags: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"principal":"{PRINCIPAL}","secret":"{SECRET}"}}"#);
        let credential = private_file(files.path(), "credential.json", &text);
        let text = format!(r#"{{"credentials":[{text}]}}"#);
        let credentials = private_file(files.path(), "credentials.json", &text);
        let mechanisms = format!("--sasl_mechanisms={mechanism}");
        let mut flags = vec![
            "--authenticate_agents".to_owned(),
            format!("--credentials=file://{}", credentials.display()),
            mechanisms.clone(),
        ];
        flags.extend(master_flags.iter().map(|&flag| flag.to_owned()));
        let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
        let master = Daemon::start(binary, "mesos-master", &flags);
        let own = [
            format!("--master={}", master.address),
            format!("--credential=file://{}", credential.display()),
            mechanisms,
        ];
        let agent = agent(&own, agent_flags);
        Self { master, agent, _files: files }
    }

    fn until(address: SocketAddrV4, name: &str, enough: impl Fn(f64) -> bool) {
        eventually(name, || enough(metric(address, name)).then_some(()));
    }

    /// The agent is in, and knows it: it believed what the master sent on the reverse connection.
    fn registers(&self) {
        Self::until(self.agent.address, "slave/registered", |value| value == 1.0);
        Self::until(self.master.address, "master/slaves_connected", |value| value == 1.0);
    }
}

const STRICT: &str = "--no-danger_same_address_sessions";
const UNBOUND: &str = "alcazar/transport/messages_dropped_unbound";

#[test]
fn authn_an_agent_with_scram_needs_nobodys_address() {
    let cluster = Cluster::new("SCRAM-SHA-256", &[STRICT], &[STRICT]);
    cluster.registers();
    assert_eq!(metric(cluster.agent.address, UNBOUND), 0.0);
    assert_eq!(metric(cluster.master.address, UNBOUND), 0.0);
}

/// CRAM-MD5 leaves no key behind: without TLS the master's answers come on a connection that
/// nothing ties to the exchange but its address.
#[test]
fn authn_an_agent_with_cram_md5_in_plaintext_needs_the_rule_for_addresses() {
    Cluster::new("CRAM-MD5", &[], &[]).registers();
    let cluster = Cluster::new("CRAM-MD5", &[], &[STRICT]);
    Cluster::until(cluster.agent.address, UNBOUND, |dropped| dropped >= 1.0);
    assert_eq!(metric(cluster.agent.address, "slave/registered"), 0.0);
}

/// Somebody on the same machine, who may claim any of its ports.
#[test]
fn attack_a1_a_neighbour_speaks_neither_for_the_master_nor_for_the_agent() {
    let cluster = Cluster::new("SCRAM-SHA-256", &[], &[]);
    cluster.registers();
    let (master, agent) = (cluster.master.address, cluster.agent.address);
    for (to, actor, from, name) in [
        (agent, "slave(1)", format!("master@{master}"), "ShutdownMessage"),
        (agent, "slave(1)", format!("slave-observer(1)@{master}"), "PingSlaveMessage"),
        (master, "master", format!("slave(1)@{agent}"), "UnregisterSlaveMessage"),
    ] {
        let mut stream = TcpStream::connect(to).unwrap();
        let message = format!(
            "POST /{actor}/mesos.internal.{name} HTTP/1.1\r\nLibprocess-From: {from}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{from}: {answer}");
    }
    assert_eq!(metric(agent, UNBOUND), 2.0);
    assert_eq!(metric(master, UNBOUND), 1.0);
    cluster.registers();
}
