//! Rows A1 and A2 of the ledger: nobody speaks without a proof.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use testkit::cluster::Cluster;

fn cluster() -> Cluster {
    Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")))
}

/// `curl` with the cluster's CA and no certificate, printing the status alone. `None` where there
/// is no curl.
fn curl(cluster: &Cluster, path: &str) -> Option<Output> {
    let ca = cluster.state_dir().join(cluster.fact("ca"));
    let url = format!("{}{path}", cluster.fact("master"));
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert"])
        .arg(ca)
        .arg(url)
        .output();
    if output.is_err() {
        testkit::skipped("no curl on this machine");
    }
    output.ok()
}

#[test]
fn every_route_of_the_master_is_closed_without_a_certificate() {
    let cluster = cluster();
    for path in ["/health", "/state", "/master/state", "/api/v1", "/metrics/snapshot", "/flags"] {
        let Some(output) = curl(&cluster, path) else { return };
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(status == "401" || status == "000", "{path}: {status}");
    }
    let Some(answer) = cluster.curl("/health", &[]) else { return };
    assert_eq!(answer.trim(), "200");
}

#[test]
fn a_plaintext_message_to_a_secure_master_is_not_heard() {
    let cluster = cluster();
    let address = cluster.fact("master");
    let address = address.strip_prefix("https://").expect("a secure cluster").to_owned();
    let mut stream = TcpStream::connect(&address).expect("the master listens");
    let message = "POST /master/mesos.internal.UnregisterSlaveMessage HTTP/1.1\r\n\
                   Libprocess-From: slave(1)@127.0.0.1:5051\r\nContent-Length: 0\r\n\r\n";
    // The master may have closed the connection already.
    let _ = stream.write_all(message.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("202"), "{answer}");
}

#[test]
fn an_operator_cannot_speak_as_an_agent() {
    let cluster = cluster();
    let message = wire::internal::RegisterSlaveMessage {
        slave: wire::v1::AgentInfo {
            hostname: "intruder".to_owned(),
            ..wire::v1::AgentInfo::default()
        },
        version: Some("1.12.0".to_owned()),
        ..wire::internal::RegisterSlaveMessage::default()
    };
    let body = cluster.state_dir().join("../body");
    std::fs::write(&body, wire::encode(&message)).expect("our own directory");
    let counted = || {
        let metric = |name| cluster.metric(name);
        Some((metric("alcazar/messages_forbidden")?, metric("alcazar/messages_undecodable")?))
    };
    let Some((forbidden, undecodable)) = counted() else { return };
    let path = "/master/mesos.internal.RegisterSlaveMessage";
    let body = format!("@{}", body.display());
    let from = "Libprocess-From: slave(1)@127.0.0.1:5051";
    let Some(answer) = cluster.curl(path, &["--header", from, "--data-binary", &body]) else {
        return;
    };
    // It was taken as a message, and read as far as to know that it is none of theirs.
    assert!(answer.ends_with("202"), "{answer}");
    assert_eq!(counted(), Some((forbidden + 1.0, undecodable)));
    let agents = cluster.run("agents", &["--output", "json"]);
    let agents: serde_json::Value = serde_json::from_slice(&agents.stdout).expect("JSON");
    assert_eq!(agents.as_array().map(Vec::len), Some(1), "only the real one: {agents}");
}
