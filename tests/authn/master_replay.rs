//! The recorded agents and drivers of the original, who prove who they are, against our master.

use std::path::Path;

use testkit::captures;

use crate::master_peers::cram_md5;
use crate::replay::Replay;

fn right(principal: &str, challenge: &[u8]) -> Vec<u8> {
    let secret = match principal {
        "agent-principal" => "agent-secret",
        "scheduler-principal" => "scheduler-secret",
        other => panic!("nobody in the story is called {other}"),
    };
    cram_md5(principal, secret, challenge)
}

fn wrong(principal: &str, challenge: &[u8]) -> Vec<u8> {
    cram_md5(principal, "wrong", challenge)
}

/// The flags of the recorded masters, and the file that they name.
fn strict(directory: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join("credentials.json");
    let credentials = r#"{"credentials": [
        {"principal": "agent-principal", "secret": "agent-secret"},
        {"principal": "scheduler-principal", "secret": "scheduler-secret"}
    ]}"#;
    std::fs::write(&path, credentials).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    vec![
        "--authenticate_agents".to_owned(),
        "--authenticate_frameworks".to_owned(),
        format!("--credentials={}", path.display()),
        "--sasl_mechanisms=CRAM-MD5".to_owned(),
    ]
}

#[test]
fn authn_the_recorded_driver_runs_its_tasks_with_our_master() {
    let Some(story) = captures::story("02-v0-scheduler-and-executor") else { return };
    Replay::new(&story, &[], right).play(&story);
}

#[test]
fn authn_the_recorded_agent_and_driver_authenticate_and_run_their_tasks_with_our_master() {
    let Some(story) = captures::story("03-cram-md5") else { return };
    let directory = tempfile::tempdir().unwrap();
    Replay::new(&story, &strict(directory.path()), right).play(&story);
}

#[test]
fn authn_the_recorded_agent_and_driver_with_wrong_secrets_are_refused_by_our_master() {
    let Some(story) = captures::story("04-cram-md5-refused") else { return };
    let directory = tempfile::tempdir().unwrap();
    Replay::new(&story, &strict(directory.path()), wrong).play(&story);
}
