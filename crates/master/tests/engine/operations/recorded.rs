//! A recorded agent and a recorded driver of the original reserve, use and unreserve resources: the
//! master answers as the recorded one did, identifiers and times aside.

use std::collections::BTreeMap;
use std::time::Duration;

use alcazar_master::engine::Engine;
use alcazar_master::engine::config::Config;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::Event;
use alcazar_master::engine::message::Inbound;
use model::time::{Instant, Now, Timestamp};
use testkit::captures::{self, Kind, Recorded};
use wire::Limits;
use wire::internal;

use crate::world::bound;

const MASTER: &str = "127.0.0.2:5050";

fn decode<T: wire::Described>(body: &[u8]) -> T {
    wire::check::decode(body, &Limits::default()).unwrap().0
}

/// What identifies nothing between two runs: names that each master makes for itself, and when.
fn plain(name: &str, body: &[u8], names: &BTreeMap<Vec<u8>, Vec<u8>>) -> String {
    match name.rsplit('.').next().unwrap() {
        "ApplyOperationMessage" => {
            let mut message: internal::ApplyOperationMessage = decode(body);
            if let Some(ours) = names.get(&message.operation_uuid.value[..]) {
                message.operation_uuid.value = ours.clone().into();
            }
            format!("{message:?}")
        }
        "AcknowledgeOperationStatusMessage" => {
            let mut message: internal::AcknowledgeOperationStatusMessage = decode(body);
            if let Some(ours) = names.get(&message.operation_uuid.value[..]) {
                message.operation_uuid.value = ours.clone().into();
            }
            format!("{message:?}")
        }
        "ResourceOffersMessage" => {
            let mut message: internal::ResourceOffersMessage = decode(body);
            for offer in &mut message.offers {
                offer.resources.sort_by_key(|resource| format!("{resource:?}"));
            }
            format!("{message:?}")
        }
        "RunTaskMessage" => format!("{:?}", decode::<internal::RunTaskMessage>(body)),
        _ => format!("{body:?}"),
    }
}

fn at(seconds: f64) -> Now {
    Now {
        monotonic: Instant::new(Duration::from_secs_f64(seconds)),
        wall: Timestamp::new(Duration::from_secs_f64(seconds)),
    }
}

/// What the recorded master sent, in order: to whom, message name, body.
fn recorded_answers(story: &[Recorded]) -> Vec<(String, String, Vec<u8>)> {
    story
        .iter()
        .filter(|recorded| recorded.kind == Kind::Message && recorded.file.is_some())
        .filter_map(|recorded| {
            let http = recorded.http();
            let from = http.header("libprocess-from")?.to_owned();
            from.strip_suffix(&format!("@{MASTER}"))?;
            let (_, name) = recorded.actor_and_name();
            Some((recorded.to.clone(), name, http.body))
        })
        // Pings go their own way, by their own clock.
        .filter(|(_, name, _)| !name.ends_with("PingSlaveMessage"))
        .collect()
}

#[test]
fn a_recorded_agent_and_driver_reserve_and_unreserve() {
    let Some(story) = captures::story("06-dynamic-reservation") else { return };
    let expected = recorded_answers(&story);
    let greeting = expected
        .iter()
        .find(|(_, name, _)| name.ends_with("FrameworkRegisteredMessage"))
        .map(|(_, _, body)| decode::<internal::FrameworkRegisteredMessage>(body))
        .unwrap();
    let config = Config::new(greeting.master_info);
    let (mut engine, _) = Engine::new(config, registry::Contents::default(), 1, at(0.0));
    let mut sent: Vec<(String, String, Vec<u8>)> = Vec::new();
    // The recorded names of operations and ours, in the order in which they were made.
    let mut names: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let apply = "mesos.internal.ApplyOperationMessage";
    let theirs: Vec<Vec<u8>> = expected
        .iter()
        .filter(|(_, name, _)| name == apply)
        .map(|(_, _, body)| {
            decode::<internal::ApplyOperationMessage>(body).operation_uuid.value.to_vec()
        })
        .collect();
    let collect = |effects: Vec<Effect>, sent: &mut Vec<_>| {
        for effect in effects {
            if let Effect::Send { to, message, .. } = effect
                && !message.name().ends_with("PingSlaveMessage")
            {
                sent.push((
                    to.pid.address.to_string(),
                    message.name().to_owned(),
                    message.encode().to_vec(),
                ));
            }
        }
    };
    for recorded in &story {
        while let Some(deadline) =
            engine.next_deadline().filter(|deadline| *deadline < at(recorded.seconds).monotonic)
        {
            let now = at(deadline.since_start().as_secs_f64());
            let mut effects = engine.handle(Event::Deadline, now);
            effects.extend(engine.settle(now));
            collect(effects, &mut sent);
        }
        if recorded.to != MASTER || recorded.file.is_none() || recorded.kind != Kind::Message {
            continue;
        }
        let http = recorded.http();
        let (to, name) = recorded.actor_and_name();
        let from = bound(http.header("libprocess-from").unwrap(), None);
        let mut message = Inbound::decode(&name, http.body.into()).unwrap();
        if let Inbound::UpdateOperationStatus(message) = &mut message
            && let Some(uuid) = &mut message.operation_uuid
        {
            uuid.value = names[&uuid.value[..]].clone().into();
        }
        let now = at(recorded.seconds);
        let mut effects =
            engine.handle(Event::Message { from, to, message: Box::new(message) }, now);
        effects.extend(engine.settle(now));
        assert_eq!(engine.check_invariants(), Ok(()), "{:?}", recorded.file);
        collect(effects, &mut sent);
        let ours: Vec<Vec<u8>> = sent
            .iter()
            .filter(|(_, name, _)| name == apply)
            .map(|(_, _, body)| {
                decode::<internal::ApplyOperationMessage>(body).operation_uuid.value.to_vec()
            })
            .collect();
        names.extend(theirs.iter().cloned().zip(ours));
    }
    // Each hears the same in the same order; who hears first is a matter of how long the recorded
    // allocator waited.
    let heard = |all: &[(String, String, Vec<u8>)]| {
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (to, name, body) in all {
            let said = format!("{name} {}", plain(name, body, &names));
            heard.entry(to.clone()).or_default().push(said);
        }
        heard
    };
    let (ours, theirs) = (heard(&sent), heard(&expected));
    for (who, theirs) in &theirs {
        for (n, (ours, theirs)) in ours[who].iter().zip(theirs).enumerate() {
            assert_eq!(ours, theirs, "message {n} to {who}");
        }
        assert_eq!(ours[who].len(), theirs.len(), "{who}");
    }
    let (reserved, unreserved) = (2, names.len());
    assert_eq!(reserved, unreserved, "one RESERVE and one UNRESERVE");
}
