//! Emulated agents against recorded traffic of the original.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::captures::{self, Kind, Recorded};
use authn::accounts::Credential;
use authn::sasl::Channel;
use authn::sasl::offer::{Authenticatees, ClientSettings};
use authn::sasl::retry::RetrySettings;
use authn::secret::Secret;
use bytes::{Bytes, BytesMut};
use libprocess::message::encode_message;
use libprocess::upid::Upid;

use super::agent::{Agent, Input, Output, Received};
use super::book::Fact;
use super::messages::Size;

const MASTER: &str = "127.0.0.2:5050";
const AGENT: &str = "127.0.0.2:5051";

fn agent(secret: &str) -> Agent {
    let credential =
        Credential { principal: "agent-principal".to_owned(), secret: Secret::from(secret) };
    let authenticatees = Authenticatees::from_settings(&ClientSettings {
        mechanisms: vec!["CRAM-MD5".to_owned()],
        danger_plaintext_secrets: true,
        credential: Some(credential),
        certificate: false,
    });
    let upid = Upid::new("slave(1)", AGENT.parse().unwrap());
    let retry = RetrySettings { first_wait: Duration::ZERO, ..RetrySettings::default() };
    Agent::new(upid, Size::default(), Some(authenticatees.unwrap()), retry)
}

/// What it says, as it stands on the wire.
fn said(outputs: &[Output]) -> Vec<Vec<u8>> {
    let own: SocketAddrV4 = AGENT.parse().unwrap();
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { from, to, name, body } => Some((from, to, name, body)),
        _ => None,
    });
    sent.map(|(from, to, name, body)| {
        let mut out = BytesMut::new();
        encode_message(&mut out, &Upid::new(from, own), to, name, body).unwrap();
        out.to_vec()
    })
    .collect()
}

fn facts(outputs: &[Output]) -> Vec<&Fact> {
    let facts = outputs.iter().filter_map(|output| match output {
        Output::Fact(fact) => Some(fact),
        _ => None,
    });
    facts.collect()
}

fn heard(recorded: &Recorded) -> Input {
    let (to, name) = recorded.actor_and_name();
    let http = recorded.http();
    let from = http.header("libprocess-from").unwrap().parse().unwrap();
    Input::Received(Received { from, to, name, body: Bytes::from(http.body) })
}

/// The messages between the agent and its master in a story of the recordings.
fn story(name: &str) -> Option<Vec<Recorded>> {
    let all = captures::story(name)?;
    let own = |recorded: &Recorded| {
        recorded.kind == Kind::Message
            && recorded.file.is_some()
            && String::from_utf8_lossy(&recorded.bytes).contains(AGENT)
    };
    Some(all.into_iter().filter(own).collect())
}

#[test]
fn authn_an_emulated_agent_says_what_the_original_said() {
    let Some(story) = story("03-cram-md5") else { return };
    let now = Instant::now();
    let mut agent = agent("agent-secret");
    let outputs = agent.handle(Input::Detected(Upid::new("master", MASTER.parse().unwrap())), now);
    assert!(matches!(outputs.last(), Some(Output::Link(_))), "it links first");
    let mut spoken = said(&agent.handle(Input::Linked(Channel::default()), now)).into_iter();
    let mut authenticated = false;
    // Up to the registration, whose resources are another machine's.
    for recorded in &story {
        let (to, name) = recorded.actor_and_name();
        let file = recorded.file.as_deref().unwrap();
        if to.starts_with("crammd5-authenticatee") {
            assert!(spoken.next().is_none(), "it says something more before {file}");
            let outputs = agent.handle(heard(recorded), now);
            authenticated |= facts(&outputs).contains(&&Fact::Authenticated);
            spoken = said(&outputs).into_iter();
        } else if name == "mesos.internal.RegisterSlaveMessage" {
            let own = spoken.next().unwrap();
            assert!(own.starts_with(b"POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1"));
            break;
        } else {
            assert_eq!(
                spoken.next().unwrap().escape_ascii().to_string(),
                recorded.bytes.escape_ascii().to_string(),
                "{file}"
            );
        }
    }
    assert!(authenticated);
    let ping = story.iter().find(|r| r.actor_and_name().1.ends_with("PingSlaveMessage")).unwrap();
    let pong = story.iter().find(|r| r.actor_and_name().1.ends_with("PongSlaveMessage")).unwrap();
    assert_eq!(said(&agent.handle(heard(ping), now)), std::slice::from_ref(&pong.bytes));
    let done =
        story.iter().find(|r| r.actor_and_name().1.ends_with("SlaveRegisteredMessage")).unwrap();
    let outputs = agent.handle(heard(done), now);
    assert_eq!(facts(&outputs), [&Fact::Registered]);
    assert_eq!(said(&outputs).len(), 1, "it tells of its resources");
}

#[test]
fn authn_an_emulated_agent_that_is_refused_says_nothing_more() {
    let Some(story) = story("04-cram-md5-refused") else { return };
    let now = Instant::now();
    let mut agent = agent("wrong");
    agent.handle(Input::Detected(Upid::new("master", MASTER.parse().unwrap())), now);
    agent.handle(Input::Linked(Channel::default()), now);
    let mut last = Vec::new();
    for recorded in &story {
        if recorded.actor_and_name().0.starts_with("crammd5-authenticatee(1)") {
            last = agent.handle(heard(recorded), now);
            if recorded.actor_and_name().1.ends_with("FailedMessage") {
                break;
            }
        }
    }
    assert!(matches!(facts(&last)[..], [Fact::Refused(_)]), "{last:?}");
    assert_eq!(agent.deadline(), None);
    let again = agent.handle(Input::Detected(Upid::new("master", MASTER.parse().unwrap())), now);
    assert!(again.is_empty());
}

#[test]
fn authn_an_attempt_without_an_answer_is_repeated_at_once_under_another_name() {
    let now = Instant::now();
    let mut agent = agent("agent-secret");
    agent.handle(Input::Detected(Upid::new("master", MASTER.parse().unwrap())), now);
    let first = said(&agent.handle(Input::Linked(Channel::default()), now)).concat();
    let deadline = agent.deadline().unwrap();
    let waits = deadline - now;
    assert!((Duration::from_secs(5)..=Duration::from_secs(7)).contains(&waits), "{waits:?}");
    let outputs = agent.handle(Input::Woken, deadline);
    assert_eq!(facts(&outputs), [&Fact::TimedOut, &Fact::Attempt]);
    let second = said(&agent.handle(Input::Linked(Channel::default()), deadline)).concat();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    assert!(text(first).contains("crammd5-authenticatee(1)@"));
    assert!(text(second).contains("crammd5-authenticatee(2)@"));
}

#[test]
fn authn_what_comes_from_elsewhere_than_the_master_is_not_obeyed() {
    let now = Instant::now();
    let mut agent = agent("agent-secret");
    agent.handle(Input::Detected(Upid::new("master", MASTER.parse().unwrap())), now);
    agent.handle(Input::Linked(Channel::default()), now);
    let from = "crammd5-authenticator-session(1)@127.0.0.3:5050".parse().unwrap();
    let outputs = agent.handle(
        Input::Received(Received {
            from,
            to: "crammd5-authenticatee(1)".to_owned(),
            name: "mesos.internal.AuthenticationFailedMessage".to_owned(),
            body: Bytes::new(),
        }),
        now,
    );
    assert!(matches!(facts(&outputs)[..], [Fact::Stray(_)]), "{outputs:?}");
}
