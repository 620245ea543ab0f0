//! Recorded agents, drivers and schedulers of the original against our master: what they said is
//! said again, and what they heard must come again: the same kinds of messages and events, in the
//! same order for each of them, with the same contents, identifiers and times aside.

use std::collections::VecDeque;
use std::path::Path;

use libprocess::upid::Upid;
use serde_json::Value;
use testkit::captures::{Kind, Recorded};
use testkit::daemon::Daemon;
use testkit::process::eventually;
use wire::internal::{AuthenticationStepMessage, ResourceOffersMessage};
use wire::protocol::mesos::scheduler as v0;
use wire::v1::Filters;
use wire::v1::scheduler::Call;
use wire::v1::scheduler::call::{Decline, Type};

use crate::instance::{Incoming, Instance};
use crate::rewrite::{Rewrite, as_json};
use crate::scheduler_stream::{Subscription, get, records};

const MASTER: &str = "127.0.0.2:5050";
const AGENT: &str = "127.0.0.2:5051";
const OFFERS: &str = "mesos.internal.ResourceOffersMessage";
const STEP: &str = "mesos.internal.AuthenticationStepMessage";
const PATH: &str = "POST /master/api/v1/scheduler ";

/// What a recorded client answers to a challenge: its principal and the challenge go in.
pub(crate) type Answer = fn(&str, &[u8]) -> Vec<u8>;

/// One who talks to the master by messages: where it was, and where it is now.
struct Client {
    recorded: String,
    instance: Instance,
    /// The challenge that it was sent last.
    challenge: Vec<u8>,
}

/// One who has subscribed over HTTP.
struct Scheduler {
    framework: String,
    /// The id of its stream in the recording.
    recorded: String,
    subscription: Subscription,
    /// What it heard in the recording, and has not heard yet.
    expected: VecDeque<Value>,
}

/// A replay of a story.
pub(crate) struct Replay {
    pub(crate) master: Daemon,
    clients: Vec<Client>,
    schedulers: Vec<Scheduler>,
    rewrite: Rewrite,
    answer: Answer,
}

/// So many offers that are not the recorded one are declined before the replay has failed.
const MOST_OFFERS: usize = 20;

impl Replay {
    pub(crate) fn new(story: &[Recorded], flags: &[String], answer: Answer) -> Self {
        let master = Daemon::start(Path::new(env!("CARGO_BIN_EXE_alcazar")), "mesos-master", flags);
        let mut rewrite = Rewrite::default();
        rewrite.add(MASTER, master.address.to_string());
        let senders = story.iter().filter(|r| is_message(r) && r.to == MASTER).map(sender);
        let mut addresses: Vec<String> = senders.map(|upid| upid.address.to_string()).collect();
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
        Self { master, clients, schedulers: Vec::new(), rewrite, answer }
    }

    /// Plays a part of a story, in the recorded order.
    pub(crate) fn play(&mut self, story: &[Recorded]) {
        for (index, recorded) in story.iter().enumerate() {
            match recorded.kind {
                Kind::Message if recorded.to == MASTER => self.say(recorded),
                Kind::Message if sender(recorded).address.to_string() == MASTER => {
                    self.hear(recorded);
                }
                Kind::Request if recorded.http().first_line.starts_with(PATH) => {
                    self.calls(recorded, &story[index..]);
                }
                _ => {}
            }
        }
    }

    /// All schedulers hear what they heard until they hung up.
    pub(crate) fn hear_the_rest(&mut self) {
        for index in 0..self.schedulers.len() {
            while let Some(expected) = self.schedulers[index].expected.pop_front() {
                self.hear_event(index, &expected);
            }
        }
    }

    /// The master is killed, and started again where it was.
    pub(crate) fn restart_master(&mut self) {
        self.master.restart();
        self.schedulers.clear();
        for client in &mut self.clients {
            client.instance.hang_up();
        }
    }

    /// The framework with that recorded number closes its stream, and is gone with that.
    pub(crate) fn hangs_up(&mut self, framework: &str) {
        let before = self.schedulers.len();
        self.schedulers.retain(|scheduler| !scheduler.framework.ends_with(framework));
        assert_eq!(self.schedulers.len() + 1, before);
        eventually("the framework is removed", || {
            let frameworks = get(self.master.address, "/frameworks");
            let completed = frameworks["completed_frameworks"].as_array().expect("an array");
            completed.iter().any(|one| text(&one["id"]).ends_with(framework)).then_some(())
        });
    }

    fn client(&mut self, address: &str) -> &mut Client {
        self.clients.iter_mut().find(|c| c.recorded == address).expect("a client of the story")
    }

    fn say(&mut self, recorded: &Recorded) {
        let (to, name) = recorded.actor_and_name();
        // Pings come when they come, and are answered then.
        if name == "mesos.internal.PongSlaveMessage" {
            return;
        }
        let from = sender(recorded);
        let to = Upid::new(to, self.master.address);
        let answer = self.answer;
        let body = recorded.http().body;
        let rewritten = (name != STEP).then(|| self.rewrite.to_bytes(&name, &body));
        let client = self.client(&from.address.to_string());
        let body =
            rewritten.unwrap_or_else(|| step(&answer(&principal_in(&body), &client.challenge)));
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
                let text = String::from_utf8(challenge.to_vec()).expect("a challenge is text");
                text.starts_with('<') && text.ends_with('>') && text.contains('@')
            };
            assert!(form(&client.challenge) && form(&data_of(&body)), "{:?}", client.challenge);
            return;
        }
        let (expected, fresh) = (as_json(&name, &body), as_json(&name, &got.body));
        // What the master has made up.
        if name == "mesos.internal.SlaveRegisteredMessage" {
            self.rewrite.add(master_id(&expected, "-S0"), master_id(&fresh, "-S0"));
        }
        if name == "mesos.internal.ApplyOperationMessage" {
            let uuid = |message: &Value| text(&message["operation_uuid"]["value"]);
            self.rewrite.add(uuid(&expected), uuid(&fresh));
        }
        let back = self.rewrite.reversed();
        assert_eq!(back.to_json(&name, &got.body), expected, "{:?}", recorded.file);
    }

    fn next(&mut self, address: &str) -> Incoming {
        self.client(address).instance.receive_no_ping("slave(1)")
    }

    /// Waits for the offer that was recorded; others are declined for no time at all.
    fn hear_offers(&mut self, recorded: &Recorded) {
        let (_, name) = recorded.actor_and_name();
        let expected = as_json(&name, &recorded.http().body);
        let mut others = Vec::new();
        loop {
            assert!(others.len() < MOST_OFFERS, "{:?}: {expected}\n{:?}", recorded.file, others[0]);
            let got = self.next(&recorded.to);
            assert_eq!(got.name, OFFERS, "{:?}", recorded.file);
            let offers = self.rewrite.reversed().to_json(&name, &got.body);
            let fresh = as_json(&name, &got.body);
            others.push(offers.to_string());
            if self.is_offer(&expected, &text(&fresh["offers"][0]["id"]["value"]), offers) {
                return;
            }
            self.decline(&recorded.to, &got);
        }
    }

    /// Whether `got` holds, but for its id, the offer that `expected` does; if so, the one is now
    /// known to be what is called `ours` here.
    fn is_offer(&mut self, expected: &Value, ours: &str, mut got: Value) -> bool {
        let theirs = text(&expected["offers"][0]["id"]["value"]);
        got["offers"][0]["id"]["value"] = theirs.clone().into();
        if got != *expected {
            return false;
        }
        // With the end of the text: otherwise the first is found in the tenth.
        self.rewrite.add(format!("{theirs}\""), format!("{ours}\""));
        true
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

    /// A recorded call over HTTP, after what it answers was heard.
    fn calls(&mut self, recorded: &Recorded, rest: &[Recorded]) {
        let http = recorded.http();
        let call = as_json("Call", &http.body);
        let Some(stream) = http.header("mesos-stream-id") else {
            let answer = rest
                .iter()
                .find(|r| r.kind == Kind::Response && r.connection == recorded.connection)
                .expect("a recorded answer")
                .http();
            let bytes = self.rewrite.to_bytes("Call", &http.body);
            let expected = records(&answer.body).into_iter().map(|body| as_json("Event", &body));
            self.schedulers.push(Scheduler {
                framework: String::new(),
                recorded: answer.header("mesos-stream-id").expect("a stream").to_owned(),
                subscription: Subscription::open(self.master.address, &bytes),
                // They come by the clock.
                expected: expected.filter(|event| event["type"] != "HEARTBEAT").collect(),
            });
            let index = self.schedulers.len() - 1;
            let subscribed = self.hear_until(index, |event| event["type"] == "SUBSCRIBED");
            let subscribed = subscribed.expect("SUBSCRIBED comes first");
            self.schedulers[index].framework =
                text(&subscribed["subscribed"]["framework_id"]["value"]);
            return;
        };
        let index = self
            .schedulers
            .iter()
            .position(|scheduler| scheduler.recorded == stream)
            .expect("a stream of the story");
        if let Some(offer) =
            call.pointer("/accept/offer_ids/0").or(call.pointer("/decline/offer_ids/0"))
        {
            self.hear_until(index, |event| event["offers"]["offers"][0]["id"] == *offer);
        } else if let Some(uuid) = call.pointer("/acknowledge/uuid") {
            self.hear_until(index, |event| event["update"]["status"]["uuid"] == *uuid);
        }
        let bytes = self.rewrite.to_bytes("Call", &http.body);
        self.schedulers[index].subscription.call(&bytes);
    }

    /// Hears what a scheduler heard in the recording, up to the event of which `is_last` holds,
    /// unless that was heard before.
    fn hear_until(&mut self, index: usize, is_last: impl Fn(&Value) -> bool) -> Option<Value> {
        let more = self.schedulers[index].expected.iter().position(is_last)?;
        let mut last = None;
        for _ in 0..=more {
            last = self.schedulers[index].expected.pop_front();
            self.hear_event(index, last.as_ref()?);
        }
        last
    }

    fn hear_event(&mut self, index: usize, expected: &Value) {
        let mut others = Vec::new();
        loop {
            assert!(others.len() < MOST_OFFERS, "{expected}\n{:?}", others[0]);
            let bytes = self.schedulers[index].subscription.event();
            let fresh = as_json("Event", &bytes);
            if fresh["type"] == "HEARTBEAT" {
                continue;
            }
            if fresh["type"] == "SUBSCRIBED" {
                let id = |event: &Value| text(&event["subscribed"]["master_info"]["id"]);
                self.rewrite.add(id(expected), id(&fresh));
            }
            let got = self.rewrite.reversed().to_json("Event", &bytes);
            if got["type"] == "OFFERS" {
                if expected["type"] == "OFFERS"
                    && self.is_offer(
                        &expected["offers"],
                        &text(&fresh["offers"]["offers"][0]["id"]["value"]),
                        got["offers"].clone(),
                    )
                {
                    return;
                }
                others.push(got.to_string());
                self.decline_event(index, &fresh);
                continue;
            }
            assert_eq!(got, *expected, "{}", self.schedulers[index].framework);
            return;
        }
    }

    fn decline_event(&mut self, index: usize, event: &Value) {
        let offers = event["offers"]["offers"].as_array().expect("offers");
        let offer_id = |offer: &Value| wire::v1::OfferId { value: text(&offer["id"]["value"]) };
        let framework_id = text(&offers[0]["framework_id"]["value"]);
        let mut call = Call {
            framework_id: Some(wire::v1::FrameworkId { value: framework_id }),
            decline: Some(Decline {
                offer_ids: offers.iter().map(offer_id).collect(),
                filters: Some(Filters { refuse_seconds: Some(0.0) }),
            }),
            ..Call::default()
        };
        call.set_type(Type::Decline);
        self.schedulers[index].subscription.call(&wire::encode(&call));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

fn is_message(recorded: &Recorded) -> bool {
    recorded.kind == Kind::Message
}

fn sender(recorded: &Recorded) -> Upid {
    let http = recorded.http();
    http.header("libprocess-from").expect("a sender").parse().expect("a UPID")
}

/// The id of the master that made an agent's id.
fn master_id(registered: &Value, suffix: &str) -> String {
    let id = text(&registered["slave_id"]["value"]);
    id.strip_suffix(suffix).expect("the first agent of its master").to_owned()
}

/// The data of a step.
fn data_of(body: &[u8]) -> Vec<u8> {
    let decoded = wire::check::decode::<AuthenticationStepMessage>(body, &wire::Limits::default());
    decoded.expect("a step").0.data.to_vec()
}

fn step(data: &[u8]) -> Vec<u8> {
    wire::encode(&AuthenticationStepMessage { data: data.to_vec().into() })
}

/// Whom a recorded answer to a challenge is from.
fn principal_in(body: &[u8]) -> String {
    let answer = String::from_utf8(data_of(body)).expect("an answer is text");
    answer.rsplit_once(' ').expect("a principal").0.to_owned()
}
