//! TLS of daemons that are called by names of our own and told by flags.

use std::process::Command;

use serde_json::Value;
use testkit::daemon::address_in;
use testkit::process::Process;

use crate::nodes::{Asking, Certificates};

fn master(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alcazar"));
    command
        .env_clear()
        .arg("master")
        .args(["--registry=in_memory", "--ip=127.0.0.1", "--port=0", "--hostname=127.0.0.1"])
        .args(arguments);
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
fn a_master_is_told_by_flags_what_protects_it() {
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
