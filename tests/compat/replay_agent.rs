//! The recorded agent and scheduler of the recording `01-register-and-execute` against our master.

use std::path::Path;

use libprocess::upid::Upid;
use serde_json::Value;
use testkit::captures::{self, Kind, Recorded};
use testkit::daemon::Daemon;

use crate::instance::{Incoming, Instance};
use crate::rewrite::{Rewrite, as_json};
use crate::scheduler_stream::Subscription;

const STORY: &str = "01-register-and-execute";

#[test]
fn the_recorded_agent_registers_with_our_master_and_runs_a_task() {
    let Some(story) = captures::story(STORY) else { return };
    // As the recorded master was started.
    let flags = ["--agent_ping_timeout=3secs", "--max_agent_ping_timeouts=5"].map(str::to_owned);
    let master = Daemon::start(Path::new(env!("CARGO_BIN_EXE_alcazar")), "mesos-master", &flags);
    let mut agent = Instance::listen();
    let master_pid = Upid::new("master", master.address);

    // The recording's addresses on the left, this run's on the right.
    let mut rewrite = Rewrite::default();
    rewrite.add("127.0.0.2:5050", master.address.to_string());
    rewrite.add("127.0.0.2:5051", agent.address().to_string());
    rewrite.add("\"port\":5050", format!("\"port\":{}", master.address.port()));
    rewrite.add("\"port\":5051", format!("\"port\":{}", agent.address().port()));
    rewrite.add("\"ip\":33554559", "\"ip\":16777343");
    rewrite.add("127.0.0.2", "127.0.0.1");

    let register = only(&story, "mesos.internal.RegisterSlaveMessage");
    agent.send("slave(1)", &master_pid, &register.0, &rewrite.to_bytes(&register.0, &register.1));

    // The reply and the first ping come in either order, with nothing between.
    let mut first = [agent.receive(), agent.receive()];
    first.sort_by(|a, b| a.name.cmp(&b.name));
    let [ping, registered] = first;
    assert_eq!(ping.name, "mesos.internal.PingSlaveMessage");
    assert!(ping.from.id.starts_with("slave-observer("), "{}", ping.from);
    assert_eq!(registered.name, "mesos.internal.SlaveRegisteredMessage");
    let recorded = only(&story, &registered.name);
    let recorded_master = master_id(&as_json(&recorded.0, &recorded.1));
    rewrite.add(recorded_master, master_id(&as_json(&registered.name, &registered.body)));
    let back = rewrite.reversed();
    check(&back, &registered, &recorded);

    agent.send("slave(1)", &ping.from, "mesos.internal.PongSlaveMessage", &[]);
    let update = only(&story, "mesos.internal.UpdateSlaveMessage");
    agent.send("slave(1)", &master_pid, &update.0, &rewrite.to_bytes(&update.0, &update.1));

    let calls = scheduler_calls(&story);
    let events = scheduler_events(&story);
    let mut scheduler = Subscription::open(master.address, &rewrite.to_bytes("Call", &calls[0]));
    let mut events = events.iter();
    // SUBSCRIBED, HEARTBEAT, OFFERS
    for _ in 0..3 {
        check_event(&back, &scheduler.event(), events.next().expect("a recorded event"));
    }
    scheduler.call(&rewrite.to_bytes("Call", &calls[1]));
    let run = only(&story, "mesos.internal.RunTaskMessage");
    check(&back, &agent.receive_no_ping("slave(1)"), &run);

    let updates = to_master(&story, "mesos.internal.StatusUpdateMessage");
    let acknowledgements = to_agent(&story, "mesos.internal.StatusUpdateAcknowledgementMessage");
    let mut acknowledgements = acknowledgements.iter();
    let mut acknowledge = calls[2..].iter();
    for update in &updates {
        let body = rewrite.to_bytes(&update.0, &update.1);
        agent.send("slave(1)", &master_pid, &update.0, &body);
        check_event(&back, &scheduler.event(), events.next().expect("a recorded event"));
        // The recorded scheduler left without acknowledging the last one.
        if let Some(call) = acknowledge.next() {
            scheduler.call(&rewrite.to_bytes("Call", call));
            let expected = acknowledgements.next().expect("a recorded acknowledgement");
            check(&back, &agent.receive_no_ping("slave(1)"), expected);
        }
    }
    assert!(events.next().is_none(), "every recorded event was seen");
    assert!(acknowledgements.next().is_none(), "every recorded acknowledgement was seen");

    drop(scheduler);
    let shutdown = only(&story, "mesos.internal.ShutdownFrameworkMessage");
    check(&back, &agent.receive_no_ping("slave(1)"), &shutdown);
}

/// A message's name and body.
type Named = (String, Vec<u8>);

fn named(recorded: &Recorded) -> Named {
    (recorded.actor_and_name().1, recorded.http().body)
}

fn messages<'a>(story: &'a [Recorded], to: &'a str) -> impl Iterator<Item = Named> + 'a {
    story.iter().filter(move |r| r.kind == Kind::Message && r.to == to).map(named)
}

fn to_master(story: &[Recorded], name: &str) -> Vec<Named> {
    messages(story, "127.0.0.2:5050").filter(|m| m.0 == name).collect()
}

/// Messages to the agent, without those of its executor.
fn to_agent(story: &[Recorded], name: &str) -> Vec<Named> {
    messages(story, "127.0.0.2:5051").filter(|m| m.0 == name).collect()
}

fn only(story: &[Recorded], name: &str) -> Named {
    to_master(story, name).into_iter().chain(to_agent(story, name)).next().expect("recorded")
}

fn scheduler_calls(story: &[Recorded]) -> Vec<Vec<u8>> {
    story.iter().filter(|r| r.kind == Kind::Request).map(|r| r.http().body).collect()
}

fn scheduler_events(story: &[Recorded]) -> Vec<Vec<u8>> {
    let stream = story.iter().find(|r| r.kind == Kind::Response && r.file.is_some());
    stream.expect("the recorded stream").http().records()
}

/// The id of the master that made an agent's id.
fn master_id(registered: &Value) -> String {
    let id = registered["slave_id"]["value"].as_str().expect("an agent id");
    id.strip_suffix("-S0").expect("the first agent of its master").to_owned()
}

#[track_caller]
fn check(back: &Rewrite, got: &Incoming, recorded: &Named) {
    assert_eq!(got.name, recorded.0);
    assert_eq!(got.to, "slave(1)");
    let got = back.to_json(&got.name, &got.body);
    assert_eq!(got, as_json(&recorded.0, &recorded.1), "{}", recorded.0);
}

#[track_caller]
fn check_event(back: &Rewrite, got: &[u8], recorded: &[u8]) {
    assert_eq!(back.to_json("Event", got), as_json("Event", recorded));
}
