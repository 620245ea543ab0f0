//! Reservations and volumes outlive the daemons.

use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::process::{Watched, eventually};

use super::{agent, agent_is_back, cluster};

/// Makes an operator's call; `None` where that cannot be done.
fn operator(cluster: &Cluster, call: &Value) -> Option<()> {
    let call = call.to_string();
    let arguments = ["--header", "Content-Type: application/json", "--data", &call];
    let answer = cluster.curl("/api/v1", &arguments)?;
    assert!(answer.ends_with("\n202"), "{call}: {answer}");
    Some(())
}

/// Some of the agent's disk, reserved.
fn reserved(size: f64) -> Value {
    let reservation = json!({"type": "DYNAMIC", "role": "ops", "principal": "local"});
    json!({"name": "disk", "type": "SCALAR", "scalar": {"value": size},
           "reservations": [reservation]})
}

fn volume(size: f64) -> Value {
    let mut volume = reserved(size);
    volume["disk"] = json!({"persistence": {"id": "v", "principal": "local"},
                            "volume": {"container_path": "data", "mode": "RW"}});
    volume
}

/// How much disk is reserved to `ops` on the agent, as the master has it.
fn reserved_disk(cluster: &Cluster) -> Option<f64> {
    let answer = cluster.curl("/slaves", &[])?;
    let (body, _) = answer.rsplit_once('\n')?;
    let all: Value = serde_json::from_str(body).ok()?;
    Some(all["slaves"][0]["reserved_resources"]["ops"]["disk"].as_f64().unwrap_or_default())
}

/// Where the volume lies, once it does.
fn directory(cluster: &Cluster) -> PathBuf {
    cluster.state_dir().join("agent-1/volumes/roles/ops/v")
}

#[test]
fn a_volume_survives_the_death_of_agent_and_master() {
    let mut cluster = cluster();
    let before = agent(&cluster);
    let agent_id = json!({"value": before["id"]});
    let reserve = json!({"type": "RESERVE_RESOURCES", "reserve_resources": {
        "agent_id": agent_id, "resources": [reserved(64.0)]}});
    // Without curl there is nobody who could ask.
    if operator(&cluster, &reserve).is_none() {
        return;
    }
    let create = json!({"type": "CREATE_VOLUMES", "create_volumes": {
        "agent_id": agent_id, "volumes": [volume(32.0)]}});
    operator(&cluster, &create);
    let directory = directory(&cluster);
    eventually("the volume has a directory", || directory.is_dir().then_some(()));
    std::fs::write(directory.join("data"), "kept").expect("the volume");

    let daemons = ["agent", "master"].map(|word| Watched::new(cluster.daemon(word)));
    cluster.process().freeze();
    daemons.iter().for_each(Watched::kill);
    cluster.process().thaw();
    cluster.process().wait_for_line("agent-1 restarted");
    cluster.process().wait_for_line("master restarted");
    agent_is_back(&cluster, &before);
    assert_eq!(reserved_disk(&cluster), Some(64.0));
    let kept = std::fs::read_to_string(directory.join("data")).expect("the volume");
    assert_eq!(kept, "kept");

    let destroy = json!({"type": "DESTROY_VOLUMES", "destroy_volumes": {
        "agent_id": agent_id, "volumes": [volume(32.0)]}});
    operator(&cluster, &destroy);
    eventually("the volume is gone", || (!directory.exists()).then_some(()));
    let unreserve = json!({"type": "UNRESERVE_RESOURCES", "unreserve_resources": {
        "agent_id": agent_id, "resources": [reserved(64.0)]}});
    operator(&cluster, &unreserve);
    eventually("nothing is reserved", || (reserved_disk(&cluster) == Some(0.0)).then_some(()));
}
