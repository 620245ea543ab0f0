//! `alcazar doctor tls`: the posture of an environment or of a running cluster, its holes, and the
//! line that closes each.

use std::process::{Command, Output};

use serde_json::Value;
use testkit::certificates::{Keys, Leaf};
use testkit::cluster::Cluster;
use testkit::process::eventually;

use crate::nodes::{Certificates, Node, Variables};

fn doctor(variables: &Variables, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_alcazar"))
        .args(["doctor", "tls", "--from-env"])
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the binary starts")
}

/// Its exit status and what it says in JSON.
#[track_caller]
fn examined(variables: &Variables) -> (i32, Value) {
    let output = doctor(variables, &["--json"]);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {output:?}");
    });
    (output.status.code().expect("it ends by itself"), value)
}

fn ids<'a>(component: &'a Value, key: &str) -> Vec<&'a str> {
    let all = component[key].as_array().expect("an array");
    all.iter().map(|finding| finding["id"].as_str().expect("a word")).collect()
}

/// The posture of the environment, its status and its holes.
#[track_caller]
fn posture(variables: &Variables) -> (i32, String, Vec<String>) {
    let (status, value) = examined(variables);
    let component = &value["components"][0];
    assert_eq!(value["status"], status, "{value}");
    let holes = ids(component, "holes").into_iter().map(ToOwned::to_owned).collect();
    (status, component["posture"].as_str().expect("a posture").to_owned(), holes)
}

#[test]
fn each_posture_of_an_environment_has_its_name_and_its_holes() {
    let certificates = Certificates::make();
    let found = |status, name: &str, holes: &[&str]| {
        (status, name.to_owned(), holes.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(posture(&Vec::new()), found(1, "plaintext", &["plaintext"]));
    assert_eq!(
        posture(&certificates.encrypted()),
        found(1, "server certificate", &["clients-unverified", "servers-unverified"])
    );
    assert_eq!(
        posture(&certificates.verified()),
        found(1, "verified outgoing", &["clients-unverified"])
    );
    assert_eq!(posture(&certificates.mutual()), found(0, "client certificates required", &[]));
    let (status, value) = examined(&certificates.beside_plaintext());
    assert_eq!(status, 1);
    let component = &value["components"][0];
    assert_eq!(component["downgrade"], true);
    assert_eq!(ids(component, "holes")[0], "downgrade");
}

#[test]
fn following_the_doctor_line_by_line_ends_in_an_environment_without_holes() {
    let certificates = Certificates::make();
    let file = certificates.path("ca.pem").display().to_string();
    // As the tutorial has it, with certificates by name and address of this machine.
    let mut variables = certificates.beside_plaintext();
    variables.push(("LIBPROCESS_SSL_ENABLE_TLS_V1_0", "true".into()));
    let mut applied = Vec::new();
    loop {
        let (status, value) = examined(&variables);
        let Some(hole) = value["components"][0]["holes"].get(0) else {
            assert_eq!(status, 0);
            break;
        };
        assert_eq!(status, 1);
        let line = hole["closed_by"].as_str().expect("a line").replace("<file>", &file);
        let (name, said) = line.split_once('=').expect("a variable");
        let name: &'static str = name.to_owned().leak();
        variables.retain(|(n, _)| *n != name);
        variables.push((name, said.to_owned()));
        applied.push(line);
        assert!(applied.len() < 10, "{applied:?}");
    }
    assert!(applied.len() >= 4, "{applied:?}");
    assert_eq!(posture(&variables).1, "client certificates required");
}

#[test]
fn an_environment_that_would_not_start_is_told_apart_from_one_with_holes() {
    let certificates = Certificates::make();
    let mut missing = certificates.encrypted();
    missing.retain(|(name, _)| !name.ends_with("KEY_FILE"));
    let mut unreadable = missing.clone();
    unreadable.push(("LIBPROCESS_SSL_KEY_FILE", "/nowhere/key.pem".into()));
    let mut foreign = missing.clone();
    let (_, key) = certificates.issue("other", &Leaf::host("other", None).keys(Keys::Rsa));
    foreign.push(("LIBPROCESS_SSL_KEY_FILE", key.display().to_string()));
    for (variables, part) in [
        (missing, "LIBPROCESS_SSL_KEY_FILE"),
        (unreadable, "/nowhere/key.pem"),
        (foreign, "does not belong"),
    ] {
        let (status, value) = examined(&variables);
        assert_eq!(status, 2, "{value}");
        assert_eq!(value["components"][0]["trouble"], "does not start");
        let errors = value["components"][0]["errors"].to_string();
        assert!(errors.contains(part), "{errors}");
        let output = doctor(&variables, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stdout).contains("does not start"), "{output:?}");
    }
}

#[test]
fn the_doctor_speaks_to_people_too() {
    let output = doctor(&Certificates::make().verified(), &[]);
    let text = String::from_utf8(output.stdout).expect("text");
    for part in [
        "environment: verified outgoing\n",
        "An attacker on the network can:\n",
        "closed by: LIBPROCESS_SSL_REQUIRE_CLIENT_CERT=true\n",
        "TLS library: OpenSSL ",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 200), "{text}");
}

#[test]
fn the_tls_of_a_running_cluster_is_that_of_identities() {
    let cluster = Cluster::up(std::path::Path::new(env!("CARGO_BIN_EXE_alcazar")));
    let output = cluster.run("doctor", &["tls", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{value}");
    let components = value["components"].as_array().expect("components");
    assert!(components.len() >= 2, "the master and its agents: {value}");
    for component in components {
        assert_eq!(component["posture"], "identities", "{component}");
        assert_eq!(component["downgrade"], false);
        assert_eq!(ids(component, "holes"), [""; 0]);
    }
    let connection = &components[0]["connection"];
    assert_eq!(connection["version"], "TLSv1.3", "{value}");
    assert!(connection["suite"].is_string() && connection["group"].is_string(), "{value}");
    assert!(value["tls_library"]["line"].is_string(), "{value}");
}

#[test]
fn the_tls_of_a_cluster_elsewhere_is_what_its_daemons_say() {
    let certificates = Certificates::make();
    let path = |name: &str| certificates.path(name).display().to_string();
    let believed = ["--tls-ca".to_owned(), path("ca.pem")];
    let own = [
        "--tls-certificate".to_owned(),
        path("node.pem"),
        "--tls-key".to_owned(),
        path("node-key.pem"),
    ];
    let unverified = ["--danger-unverified".to_owned()];
    for (variables, posture, scheme, arguments) in [
        (Vec::new(), "plaintext", "http", Vec::new()),
        (certificates.encrypted(), "server certificate", "https", unverified.to_vec()),
        (certificates.verified(), "verified outgoing", "https", believed.to_vec()),
        (
            certificates.mutual(),
            "client certificates required",
            "https",
            [&believed[..], &own[..]].concat(),
        ),
    ] {
        let mut master = Node::master();
        master.start(&variables);
        let mut agent = Node::agent(&master);
        agent.start(&variables);
        let url = format!("{scheme}://{}", master.address());
        let value = eventually("the agent is there", || {
            let output = Command::new(env!("CARGO_BIN_EXE_alcazar"))
                .args(["doctor", "tls", "--json", "--master", &url])
                .args(&arguments)
                .output()
                .expect("the binary starts");
            let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
                panic!("{error}: {output:?}");
            });
            assert_eq!(output.status.code().map(Into::into), value["status"].as_i64());
            (value["components"].as_array().map(Vec::len) == Some(2)).then_some(value)
        });
        for component in value["components"].as_array().expect("components") {
            assert_eq!(component["posture"], posture, "{value}");
            let none = posture == "client certificates required";
            assert_eq!(ids(component, "holes").is_empty(), none, "{value}");
        }
    }
}
