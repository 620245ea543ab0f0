//! The recorded agents and drivers of the original against our master: what they said is said
//! again, and what they heard must come again: the same kinds of messages, in the same order for
//! each of them, with the same contents, identifiers and times aside.

use std::path::Path;

use libprocess::upid::Upid;
use serde_json::Value;
use testkit::captures::{self, Kind, Recorded};
use testkit::daemon::Daemon;
use wire::internal::ResourceOffersMessage;
use wire::protocol::mesos::scheduler as v0;
use wire::v1::Filters;
use wire::v1::scheduler::call::{Decline, Type};

use crate::instance::{Incoming, Instance};
use crate::master_peers::cram_md5;
use crate::rewrite::{Rewrite, as_json};

const MASTER: &str = "127.0.0.2:5050";
const AGENT: &str = "127.0.0.2:5051";
const OFFERS: &str = "mesos.internal.ResourceOffersMessage";
const STEP: &str = "mesos.internal.AuthenticationStepMessage";

/// One who talks to the master: where it was, and where it is now.
struct Client {
    recorded: String,
    instance: Instance,
    /// The challenge that it was sent last.
    challenge: Vec<u8>,
}

/// A replay of a story.
struct Replay {
    master: Daemon,
    clients: Vec<Client>,
    rewrite: Rewrite,
    secrets: fn(&str) -> &'static str,
}

impl Replay {
    fn new(story: &[Recorded], flags: &[String], secrets: fn(&str) -> &'static str) -> Self {
        let master = Daemon::start(Path::new(env!("CARGO_BIN_EXE_alcazar")), "mesos-master", flags);
        let mut rewrite = Rewrite::default();
        rewrite.add(MASTER, master.address.to_string());
        let senders = story.iter().filter(|r| is_message(r) && r.to == MASTER).map(sender);
        let mut addresses: Vec<String> = senders.map(|upid| upid.address.to_string()).collect();
        addresses.dedup();
        addresses.sort();
        addresses.dedup();
        let mut clients = Vec::new();
        for recorded in addresses {
            let instance = Instance::listen();
            rewrite.add(recorded.clone(), instance.address().to_string());
            clients.push(Client { recorded, instance, challenge: Vec::new() });
        }
        let agent = clients.iter().find(|c| c.recorded == AGENT).expect("an agent");
        let port = agent.instance.address().port();
        rewrite.add("\"port\":5050", format!("\"port\":{}", master.address.port()));
        rewrite.add("\"port\":5051", format!("\"port\":{port}"));
        rewrite.add("\"ip\":33554559", "\"ip\":16777343");
        rewrite.add("127.0.0.2", "127.0.0.1");
        Self { master, clients, rewrite, secrets }
    }

    fn client(&mut self, address: &str) -> &mut Client {
        self.clients.iter_mut().find(|c| c.recorded == address).expect("a client of the story")
    }

    /// Plays the whole story, in the recorded order.
    fn play(&mut self, story: &[Recorded]) {
        for recorded in story.iter().filter(|r| is_message(r)) {
            if recorded.to == MASTER {
                self.say(recorded);
            } else if sender(recorded).address.to_string() == MASTER {
                self.hear(recorded);
            }
        }
    }

    fn say(&mut self, recorded: &Recorded) {
        let (to, name) = recorded.actor_and_name();
        // Pings come when they come, and are answered then.
        if name == "mesos.internal.PongSlaveMessage" {
            return;
        }
        let from = sender(recorded);
        let to = Upid::new(to, self.master.address);
        let secrets = self.secrets;
        let body = recorded.http().body;
        let rewritten = (name != STEP).then(|| self.rewrite.to_bytes(&name, &body));
        let client = self.client(&from.address.to_string());
        let body = rewritten.unwrap_or_else(|| {
            let principal = principal_in(&body);
            step(&cram_md5(&principal, secrets(&principal), &client.challenge))
        });
        client.instance.send(&from.id, &to, &name, &body);
    }

    fn hear(&mut self, recorded: &Recorded) {
        let (to, name) = recorded.actor_and_name();
        if name == "mesos.internal.PingSlaveMessage" {
            return;
        }
        let from = sender(recorded);
        if name == OFFERS {
            return self.hear_offers(recorded);
        }
        let got = loop {
            let got = self.next(&recorded.to);
            // We offer what is free at once, the original with its next tick.
            if got.name != OFFERS {
                break got;
            }
            self.decline(&recorded.to, &got);
        };
        let client = self.client(&recorded.to);
        assert_eq!((&got.to, &got.name), (&to, &name), "{:?}", recorded.file);
        assert_eq!(got.from.id, from.id, "{:?}", recorded.file);
        let body = recorded.http().body;
        if name == STEP {
            // `<1888030161.145260@vm>`, and nothing else.
            client.challenge = data_of(&got.body);
            let form = |challenge: &[u8]| {
                let text = String::from_utf8(challenge.to_vec()).unwrap();
                text.starts_with('<') && text.ends_with('>') && text.contains('@')
            };
            assert!(form(&client.challenge) && form(&data_of(&body)), "{:?}", client.challenge);
            return;
        }
        if name == "mesos.internal.SlaveRegisteredMessage" {
            let ours = master_id(&name, &got.body);
            self.rewrite.add(master_id(&name, &body), ours);
        }
        let back = self.rewrite.reversed();
        assert_eq!(back.to_json(&name, &got.body), as_json(&name, &body), "{:?}", recorded.file);
    }
}

impl Replay {
    fn next(&mut self, address: &str) -> Incoming {
        self.client(address).instance.receive_no_ping("slave(1)")
    }

    /// Waits for the offer that was recorded; others are declined for no time at all.
    fn hear_offers(&mut self, recorded: &Recorded) {
        let (_, name) = recorded.actor_and_name();
        let expected = as_json(&name, &recorded.http().body);
        let ids = |offers: &Value| offers["offers"][0]["id"]["value"].as_str().unwrap().to_owned();
        loop {
            let got = self.next(&recorded.to);
            assert_eq!(got.name, OFFERS, "{:?}", recorded.file);
            let mut offers = self.rewrite.reversed().to_json(&name, &got.body);
            let (theirs, ours) = (ids(&expected), ids(&offers));
            offers["offers"][0]["id"]["value"] = theirs.clone().into();
            if offers == expected {
                let number = |id: &str| format!("{}\"", &id[id.rfind("-O").unwrap()..]);
                if theirs != ours {
                    self.rewrite.add(number(&theirs), number(&ours));
                }
                return;
            }
            self.decline(&recorded.to, &got);
        }
    }

    fn decline(&mut self, address: &str, got: &Incoming) {
        let limits = wire::Limits::default();
        let decoded = wire::check::decode::<ResourceOffersMessage>(&got.body, &limits);
        let offers = decoded.expect("offers").0.offers;
        let mut call = v0::Call {
            framework_id: Some(offers[0].framework_id.clone()),
            decline: Some(Decline {
                offer_ids: offers.into_iter().map(|offer| offer.id).collect(),
                filters: Some(Filters { refuse_seconds: Some(0.0) }),
            }),
            ..v0::Call::default()
        };
        call.set_type(Type::Decline);
        let to = Upid::new("master", self.master.address);
        let body = wire::encode(&call);
        self.client(address).instance.send(&got.to, &to, "mesos.scheduler.Call", &body);
    }
}

fn is_message(recorded: &Recorded) -> bool {
    recorded.kind == Kind::Message
}

fn sender(recorded: &Recorded) -> Upid {
    let http = recorded.http();
    http.header("libprocess-from").expect("a sender").parse().expect("a UPID")
}

/// The id of the master that made an agent's id.
fn master_id(name: &str, registered: &[u8]) -> String {
    let json = as_json(name, registered);
    let id = json["slave_id"]["value"].as_str().expect("an agent id");
    id.strip_suffix("-S0").expect("the first agent of its master").to_owned()
}

/// The data of a step.
fn data_of(body: &[u8]) -> Vec<u8> {
    let decoded = wire::check::decode::<wire::internal::AuthenticationStepMessage>(
        body,
        &wire::Limits::default(),
    );
    decoded.expect("a step").0.data.to_vec()
}

fn step(data: &[u8]) -> Vec<u8> {
    wire::encode(&wire::internal::AuthenticationStepMessage { data: data.to_vec().into() })
}

/// Whom a recorded answer to a challenge is from.
fn principal_in(body: &[u8]) -> String {
    let answer = String::from_utf8(data_of(body)).unwrap();
    answer.rsplit_once(' ').expect("a principal").0.to_owned()
}

fn right(principal: &str) -> &'static str {
    match principal {
        "agent-principal" => "agent-secret",
        "scheduler-principal" => "scheduler-secret",
        other => panic!("nobody in the story is called {other}"),
    }
}

fn wrong(_: &str) -> &'static str {
    "wrong"
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
