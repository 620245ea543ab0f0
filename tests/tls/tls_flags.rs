//! TLS of daemons that are called by names of our own and told by flags.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::certificates::{Authority, Keys, Leaf};
use testkit::daemon::address_in;
use testkit::process::{Process, eventually};

use crate::nodes::{Asking, Certificates};

fn alcazar(daemon: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alcazar"));
    command.env_clear().arg(daemon).args(["--ip=127.0.0.1", "--port=0", "--hostname=127.0.0.1"]);
    command
}

fn master(arguments: &[String]) -> Command {
    let mut command = alcazar("master");
    command.arg("--registry=in_memory").args(arguments);
    command
}

fn files(certificates: &Certificates) -> Vec<String> {
    let path = |name: &str| certificates.path(name).display().to_string();
    vec![
        "--tls-enabled".to_owned(),
        format!("--tls-cert-file={}", path("node.pem")),
        format!("--tls-key-file={}", path("node-key.pem")),
        format!("--tls-ca-file={}", path("ca.pem")),
    ]
}

#[test]
fn master_and_agent_are_told_by_flags_what_protects_them() {
    let certificates = Certificates::make();
    let mut arguments = files(&certificates);
    arguments.push("--tls-require-client-cert".to_owned());
    arguments.push("--tls_client_certs=mesos-master-readonly=optional".to_owned());
    let mut process = Process::start(master(&arguments));
    let address = address_in(&process.wait_for_line("listening on "));
    let asking = Asking::with(&certificates.mutual());
    let said: Value = asking.json(address, "/alcazar/v1/tls").expect("an answer");
    assert_eq!(said["posture"], "client certificates required");
    assert_eq!(said["profile"], "intermediate");
    assert_eq!(said["outbound_names"], "dialled, addresses too");
    assert_eq!(said["client_certificates"]["otherwise"], "required");
    let holes = said["holes"].as_array().expect("holes");
    assert_eq!(holes.len(), 1, "{said}");
    assert_eq!(holes[0]["id"], "open-doors");
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = alcazar("agent");
    command
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .arg(format!("--master={address}"))
        .arg(format!("--work_dir={}", directory.path().join("work").display()))
        .args(["--resources=cpus:1;mem:256;disk:256"])
        .args(&arguments);
    let _agent = Process::start(command);
    eventually("the agent registers", || {
        let agents = asking.json(address, "/slaves")?;
        agents["slaves"].get(0).is_some_and(|agent| agent["active"] == true).then_some(())
    });
}

#[test]
fn flags_that_would_let_somebody_around_tls_are_refused_with_the_status_of_wrong_usage() {
    let certificates = Certificates::make();
    for (more, words) in [
        (&["--tls-require-client-cert", "--tls-support-downgrade"][..], "--tls-support-downgrade"),
        (&[], "LIBPROCESS_SSL_VERIFY_SERVER_CERT"),
        (&["--tls-require-client-cert", "--tls-client-certs=messages=none"], "--tls-client-certs"),
    ] {
        let mut arguments = files(&certificates);
        arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        let output = master(&arguments).output().expect("the binary starts");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
}

#[test]
fn a_revocation_list_beside_an_identity_of_tls_keeps_the_revoked_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::root("a cluster", Keys::Ecdsa);
    let ca = authority.write(&path("ca.pem"));
    let loopback = || Leaf::host("localhost", Some(Ipv4Addr::LOCALHOST.into()));
    let master_pair =
        authority.issue(&loopback().uri("spiffe://d/master/m")).write(directory.path(), "m");
    let operators = ["o", "p"]
        .map(|name| authority.issue(&Leaf::new(name).uri(&format!("spiffe://d/operator/{name}"))));
    let list = path("crl.pem");
    std::fs::write(&list, authority.revocation_list(&[&operators[0]])).expect("a file");
    let file = |flag: &str, path: &Path| format!("{flag}={}", path.display());
    let mut process = Process::start(master(&[
        file("--tls-certificate", &master_pair.0),
        file("--tls-key", &master_pair.1),
        file("--tls-trust-bundle", &ca),
        file("--tls-crl-file", &list),
    ]));
    let address = address_in(&process.wait_for_line("listening on "));
    for (name, operator, status) in [("o", &operators[0], Some(3)), ("p", &operators[1], Some(0))] {
        let (certificate, key) = operator.write(directory.path(), name);
        let output = Command::new(env!("CARGO_BIN_EXE_alcazar"))
            .args(["state", "--master", &format!("https://{address}")])
            .arg(file("--tls-ca", &ca))
            .arg(file("--tls-certificate", &certificate))
            .arg(file("--tls-key", &key))
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), status, "{name}: {output:?}");
    }
}
