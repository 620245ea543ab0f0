//! The recorded master of the recording `01-register-and-execute` against our agent, which runs the recorded task for real.

use std::path::Path;

use libprocess::upid::Upid;
use serde_json::Value;
use testkit::captures::{self, Kind, Recorded};
use testkit::daemon::Daemon;

use crate::instance::Instance;
use crate::rewrite::{Rewrite, as_json, encode};

const STORY: &str = "01-register-and-execute";
const AGENT: &str = "127.0.0.2:5051";
const MASTER: &str = "127.0.0.2:5050";

#[test]
fn our_agent_registers_with_the_recorded_master_and_runs_its_task() {
    let Some(story) = captures::story(STORY) else { return };
    let mut master = Instance::listen();
    let flags = [
        format!("--master={}", master.address()),
        // The recorded task names no user; tasks run as whoever runs this test.
        "--no-switch_user".to_owned(),
    ];
    let recorded_register = one(&story, MASTER, "RegisterSlaveMessage");
    let flags = with_recorded_resources(&flags, &recorded_register);
    let agent = Daemon::start(Path::new(env!("CARGO_BIN_EXE_alcazar")), "mesos-agent", &flags);
    let agent_pid = Upid::new("slave(1)", agent.address);

    let mut rewrite = Rewrite::default();
    rewrite.add(MASTER, master.address().to_string());
    rewrite.add(AGENT, agent.address.to_string());
    rewrite.add("\"port\":5050", format!("\"port\":{}", master.address().port()));
    rewrite.add("\"port\":5051", format!("\"port\":{}", agent.address.port()));
    rewrite.add("127.0.0.2", "127.0.0.1");
    let back = rewrite.reversed();

    let register = master.receive();
    assert_eq!(register.name, "mesos.internal.RegisterSlaveMessage");
    assert_eq!((register.to.as_str(), &register.from), ("master", &agent_pid));
    let mut got = back.to_json(&register.name, &register.body);
    let mut expected = recorded_register;
    let version = got["resource_version_uuid"].take();
    expected["resource_version_uuid"].take();
    assert_eq!(got, expected);

    let send = |master: &mut Instance, from: &str, name: &str| {
        let recorded = one(&story, AGENT, name);
        let name = format!("mesos.internal.{name}");
        let body = rewrite.to_bytes(&name, &encode(&name, &recorded));
        master.send(from, &agent_pid, &name, &body);
    };
    send(&mut master, "slave-observer(1)", "PingSlaveMessage");
    send(&mut master, "master", "SlaveRegisteredMessage");

    // The pong and the update come in either order, with nothing between.
    let mut next = [master.receive(), master.receive()];
    next.sort_by(|a, b| a.name.cmp(&b.name));
    let [pong, update] = next;
    assert_eq!(
        (pong.to.as_str(), pong.name.as_str()),
        ("slave-observer(1)", "mesos.internal.PongSlaveMessage")
    );
    assert_eq!(update.name, "mesos.internal.UpdateSlaveMessage");
    let mut got = back.to_json(&update.name, &update.body);
    let mut expected = one(&story, MASTER, "UpdateSlaveMessage");
    assert_eq!(got["resource_version_uuid"]["value"], version["value"], "one process, one version");
    got["resource_version_uuid"].take();
    expected["resource_version_uuid"].take();
    assert_eq!(got, expected);

    // The task carries the version that this agent chose.
    let mut run = one(&story, AGENT, "RunTaskMessage");
    run["resource_version_uuids"][0]["uuid"] = version;
    let name = "mesos.internal.RunTaskMessage";
    master.send("master", &agent_pid, name, &rewrite.to_bytes(name, &encode(name, &run)));

    let acknowledgement = one(&story, AGENT, "StatusUpdateAcknowledgementMessage");
    for expected in all(&story, MASTER, "StatusUpdateMessage") {
        let update = master.receive();
        assert_eq!(update.name, "mesos.internal.StatusUpdateMessage");
        let got = back.to_json(&update.name, &update.body);
        for path in [
            "/pid",
            "/update/framework_id",
            "/update/executor_id",
            "/update/slave_id",
            "/update/status/task_id",
            "/update/status/state",
            "/update/status/source",
            "/update/status/slave_id",
            "/update/status/executor_id",
            "/update/status/message",
            "/update/status/container_status/network_infos",
        ] {
            assert_eq!(got.pointer(path), expected.pointer(path), "{path} of {got}");
        }
        assert_eq!(keys(&got), keys(&expected));
        assert_eq!(keys(&got["update"]), keys(&expected["update"]));
        assert_eq!(got["update"]["uuid"], got["update"]["status"]["uuid"]);
        let mut acknowledgement = acknowledgement.clone();
        acknowledgement["uuid"] = got["update"]["uuid"].clone();
        let name = "mesos.internal.StatusUpdateAcknowledgementMessage";
        let body = rewrite.to_bytes(name, &encode(name, &acknowledgement));
        master.send("master", &agent_pid, name, &body);
    }
    send(&mut master, "master", "ShutdownFrameworkMessage");
}

fn all(story: &[Recorded], to: &str, name: &str) -> Vec<Value> {
    let name = format!("mesos.internal.{name}");
    story
        .iter()
        .filter(|r| r.kind == Kind::Message && r.to == to && r.actor_and_name().1 == name)
        .map(|r| as_json(&name, &r.http().body))
        .collect()
}

fn one(story: &[Recorded], to: &str, name: &str) -> Value {
    all(story, to, name).into_iter().next().expect("recorded")
}

fn keys(object: &Value) -> Vec<&String> {
    object.as_object().expect("an object").keys().collect()
}

/// The flags with `--resources` as the recorded agent had them.
fn with_recorded_resources(flags: &[String], register: &Value) -> Vec<String> {
    let resources = register["slave"]["resources"].as_array().expect("resources");
    let text: Vec<String> = resources
        .iter()
        .map(|resource| {
            let name = resource["name"].as_str().expect("a name");
            match resource.pointer("/scalar/value") {
                Some(value) => format!("{name}:{value}"),
                None => {
                    let range = &resource["ranges"]["range"][0];
                    format!("{name}:[{}-{}]", range["begin"], range["end"])
                }
            }
        })
        .collect();
    let mut flags = flags.to_vec();
    flags.push(format!("--resources={}", text.join(";")));
    flags
}
