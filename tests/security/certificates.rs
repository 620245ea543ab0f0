//! Rows A1 and A2 of the ledger: nobody speaks without a proof.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use testkit::cluster::Cluster;

fn cluster() -> Cluster {
    Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")))
}

/// `curl` with the cluster's CA, printing the status alone. `None` where there is no curl.
fn curl(cluster: &Cluster, path: &str, arguments: &[&str]) -> Option<Output> {
    let ca = cluster.state_dir().join(cluster.fact("ca"));
    let url = format!("{}{path}", cluster.fact("master"));
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert"])
        .arg(ca)
        .args(arguments)
        .arg(url)
        .output();
    if output.is_err() {
        testkit::skipped("no curl on this machine");
    }
    output.ok()
}

fn with_certificate(cluster: &Cluster) -> [String; 4] {
    let path = |key| cluster.state_dir().join(cluster.fact(key)).display().to_string();
    ["--cert".to_owned(), path("certificate"), "--key".to_owned(), path("key")]
}

#[test]
fn every_route_of_the_master_is_closed_without_a_certificate() {
    let cluster = cluster();
    for path in ["/health", "/state", "/master/state", "/api/v1", "/metrics/snapshot", "/flags"] {
        let Some(output) = curl(&cluster, path, &[]) else { return };
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(status == "401" || status == "000", "{path}: {status}");
    }
    let certificate = with_certificate(&cluster);
    let certificate: Vec<&str> = certificate.iter().map(String::as_str).collect();
    let Some(output) = curl(&cluster, "/health", &certificate) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200");
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
    let mut arguments: Vec<String> = with_certificate(&cluster).into();
    arguments.extend(
        ["--header", "Libprocess-From: slave(1)@127.0.0.1:5051", "--data-binary", "@/dev/null"]
            .map(str::to_owned),
    );
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let path = "/master/mesos.internal.RegisterSlaveMessage";
    let Some(_) = curl(&cluster, path, &arguments) else { return };
    let agents = cluster.run("agents", &["--output", "json"]);
    let agents: serde_json::Value = serde_json::from_slice(&agents.stdout).expect("JSON");
    assert_eq!(agents.as_array().map(Vec::len), Some(1), "only the real one: {agents}");
}
