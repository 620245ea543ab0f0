//! Recorded agents and schedulers of the original talk to this engine: it answers as the recorded
//! master did, byte for byte where that is not a matter of time.

use std::time::Duration;

use alcazar_master::engine::Engine;
use alcazar_master::engine::config::Config;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::{Caller, Event, RequestId, Stream, SubscriptionId};
use alcazar_master::engine::message::Inbound;
use model::time::{Instant, Now, Timestamp};
use testkit::captures::{self, Kind, Recorded};
use wire::v1::scheduler::{self, call, event};
use wire::{Limits, v1};

use crate::world::bound;

const MASTER: &str = "127.0.0.2:5050";

fn decode<T: wire::Described>(body: &[u8]) -> T {
    wire::check::decode(body, &Limits::default()).unwrap().0
}

/// What the recorded master sent to agents, in order: actor, message name, body.
fn answers(story: &[Recorded]) -> Vec<(String, String, Vec<u8>)> {
    story
        .iter()
        .filter(|recorded| recorded.kind == Kind::Message && recorded.file.is_some())
        .filter_map(|recorded| {
            let http = recorded.http();
            let from = http.header("libprocess-from")?.to_owned();
            let actor = from.strip_suffix(&format!("@{MASTER}"))?.to_owned();
            let (_, name) = recorded.actor_and_name();
            Some((actor, name, http.body))
        })
        .collect()
}

/// The events on the recorded scheduler's streams.
fn recorded_events(story: &[Recorded]) -> Vec<scheduler::Event> {
    story
        .iter()
        .filter(|r| r.kind == Kind::Response && r.from == MASTER && r.file.is_some())
        .map(Recorded::http)
        .filter(|http| http.header("mesos-stream-id").is_some())
        .flat_map(|http| http.records())
        .map(|record| decode(&record))
        .collect()
}

struct Played {
    sent: Vec<(String, String, Vec<u8>)>,
    events: Vec<scheduler::Event>,
}

/// Feeds what the recorded agent and scheduler said to an engine, each at its time. The scheduler
/// hangs up at the end, or as the master noticed it: just before its last call.
fn play(story: &[Recorded], ping_timeout: Duration, hangs_up_before: Option<&str>) -> Played {
    let subscribed = recorded_events(story).remove(0).subscribed.unwrap();
    let mut config = Config::new(subscribed.master_info.unwrap());
    config.agent_ping_timeout = ping_timeout;
    let at = |seconds: f64| Now {
        monotonic: Instant::new(Duration::from_secs_f64(seconds)),
        wall: Timestamp::new(Duration::from_secs_f64(seconds)),
    };
    let (mut engine, _) = Engine::new(config, registry::Contents::default(), 1, at(0.0));
    let subscription = SubscriptionId(1);
    let caller = Caller::default();
    let mut effects = Vec::new();
    for (n, recorded) in story.iter().enumerate() {
        while let Some(deadline) =
            engine.next_deadline().filter(|deadline| *deadline < at(recorded.seconds).monotonic)
        {
            let now = at(deadline.since_start().as_secs_f64());
            effects.extend(engine.handle(Event::Deadline, now));
            effects.extend(engine.settle(now));
        }
        if recorded.to != MASTER || recorded.file.is_none() {
            continue;
        }
        if hangs_up_before.is_some() && recorded.file.as_deref() == hangs_up_before {
            let event = Event::Unsubscribed { subscription };
            effects.extend(engine.handle(event, at(recorded.seconds)));
            break;
        }
        let http = recorded.http();
        let event = match recorded.kind {
            Kind::Message => {
                let (to, name) = recorded.actor_and_name();
                let from = bound(http.header("libprocess-from").unwrap(), None);
                let message = Box::new(Inbound::decode(&name, http.body.into()).unwrap());
                Event::Message { from, to, message }
            }
            Kind::Request => {
                let call: scheduler::Call = decode(&http.body);
                let kind = call.r#type();
                let call = Box::new(call);
                if kind == call::Type::Subscribe {
                    Event::Subscribe { subscription, caller: caller.clone(), call }
                } else {
                    let (request, stream) = (RequestId(n as u64), Stream::Of(subscription));
                    Event::Call { request, caller: caller.clone(), stream, call }
                }
            }
            Kind::Response => continue,
        };
        let mut done = engine.handle(event, at(recorded.seconds));
        done.extend(engine.settle(at(recorded.seconds)));
        for effect in &done {
            if let Effect::Answer { answer, .. } = effect {
                assert!(answer.is_ok(), "{:?}: {answer:?}", recorded.file);
            }
        }
        effects.extend(done);
        assert_eq!(engine.check_invariants(), Ok(()));
    }
    if hangs_up_before.is_none() {
        let end = at(story.last().unwrap().seconds);
        effects.extend(engine.handle(Event::Unsubscribed { subscription }, end));
    }
    let mut played = Played { sent: Vec::new(), events: Vec::new() };
    for effect in effects {
        match effect {
            Effect::Send { from, message, .. } => {
                played.sent.push((from, message.name().to_owned(), message.encode().to_vec()));
            }
            Effect::Stream { event, .. } => played.events.push(*event),
            _ => {}
        }
    }
    played
}

/// Pings are a matter of time, but for the first.
fn without_later_pings(sent: Vec<(String, String, Vec<u8>)>) -> Vec<(String, String, Vec<u8>)> {
    let mut pings = 0;
    let ping = |name: &str| name == "mesos.internal.PingSlaveMessage";
    sent.into_iter()
        .filter(|(_, name, _)| {
            pings += usize::from(ping(name));
            !ping(name) || pings == 1
        })
        .collect()
}

fn is_repeated_by_the_engine(name: &str, ping_timeout: Duration, hangs_up_before: Option<&str>) {
    let Some(story) = captures::story(name) else { return };
    let played = play(&story, ping_timeout, hangs_up_before);
    let expected = without_later_pings(answers(&story));
    let sent = without_later_pings(played.sent);
    let names = |sent: &[(String, String, Vec<u8>)]| {
        sent.iter().map(|(from, name, _)| format!("{from} {name}")).collect::<Vec<_>>()
    };
    assert_eq!(names(&sent), names(&expected), "{name}");
    for ((_, message, body), (_, _, recorded)) in sent.iter().zip(&expected) {
        assert_eq!(body, recorded, "{name}: {message}");
    }
    // Offers come when something changed, not when a second is over: only the first is compared.
    let mut offers = 0;
    let mut compared = |events: Vec<scheduler::Event>| {
        offers = 0;
        events
            .into_iter()
            .filter(|event| event.r#type() != event::Type::Heartbeat)
            .filter(|event| {
                offers += usize::from(event.r#type() == event::Type::Offers);
                event.r#type() != event::Type::Offers || offers == 1
            })
            .map(|mut event| {
                // The original puts ranges before scalars here; the order means nothing.
                for offer in event.offers.iter_mut().flat_map(|all| &mut all.offers) {
                    offer.resources.sort_by(|a, b| a.name.cmp(&b.name));
                }
                event
            })
            .collect::<Vec<_>>()
    };
    let expected = compared(recorded_events(&story));
    let events = compared(played.events);
    let kinds = |events: &[scheduler::Event]| {
        events.iter().map(|event| event.r#type().as_str_name()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&events), kinds(&expected), "{name}");
    for (event, recorded) in events.iter().zip(&expected) {
        assert_eq!(event, recorded, "{name}");
    }
    let updates: Vec<&v1::TaskStatus> =
        events.iter().filter_map(|event| event.update.as_ref().map(|u| &u.status)).collect();
    assert!(!updates.is_empty());
}

#[test]
fn a_recorded_agent_and_scheduler_run_a_task() {
    is_repeated_by_the_engine("01-register-and-execute", Duration::from_secs(3), None);
}

#[test]
fn a_recorded_agent_and_scheduler_run_a_group_of_tasks() {
    let last = Some("0076-message.http");
    is_repeated_by_the_engine("09-default-executor-task-group", Duration::from_secs(15), last);
}

#[test]
fn a_recorded_agent_restarts_under_its_task() {
    let last_call = Some("0070-request.http");
    is_repeated_by_the_engine("05-agent-restart-recovers-task", Duration::from_secs(15), last_call);
}
