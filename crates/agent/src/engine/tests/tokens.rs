//! Executors' tokens (row A11): whose they are, how long they are good for, what takes their place.

use std::collections::BTreeMap;
use std::time::Duration;

use authn::jwt::{Key, TokenIssuer};
use authn::secret::Secret;
use wire::v1::TaskState;
use wire::v1::executor::call::{Subscribe, Type};

use super::fixture::*;
use crate::engine::event::{Answer, Caller, Event, Record, Refusal, TokenDigest};
use crate::engine::recovered::RecoveredExecutor;
use crate::engine::rules::{Rules, TokenRules};
use crate::engine::tokens::digest;

const LIFETIME: Duration = Duration::from_secs(3600);

fn heartbeat(container: &Container) -> wire::v1::executor::Call {
    let mut call = container.message_call(b"");
    call.r#type = Some(Type::Heartbeat.into());
    call.message = None;
    call
}

/// A sign of life; what the executor gets to use from now on, if anything.
fn lives(agent: &mut Agent, container: &Container) -> Option<TokenDigest> {
    match agent.call(container.caller(), heartbeat(container)) {
        Answer::Accepted => None,
        Answer::Renewed(token) => Some(digest(token.expose())),
        other => panic!("{other:?}"),
    }
}

fn is_revoked(agent: &mut Agent, container: &Container) -> bool {
    let answers = [
        agent.call(container.caller(), heartbeat(container)),
        agent.call(container.caller(), container.subscribe_call(Subscribe::default())),
        agent.reports(container, status("t", TaskState::TaskRunning, 1)),
    ];
    let revoked = Answer::Refused(Refusal::Revoked);
    assert!(answers.iter().all(|answer| (*answer == revoked) == (answers[0] == revoked)));
    answers[0] == revoked
}

fn with_key() -> Rules {
    let issuer = Some(TokenIssuer::new(Key::of_file(Secret::from("secret"))));
    Rules { tokens: TokenRules { issuer, lifetime: LIFETIME }, ..rules() }
}

/// The claims in a JWT; that they are signed is the business of the `authn` crate.
fn claims_of(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = payload
        .bytes()
        .map(|byte| alphabet.iter().position(|c| *c == byte).unwrap() as u8)
        .flat_map(|six| (0..6).rev().map(move |bit| six >> bit & 1))
        .collect();
    let bytes: Vec<u8> =
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect();
    serde_json::from_slice(&bytes).unwrap()
}

/// The attack: a token that was stolen is used when the executor has another, or is gone.
#[test]
fn attack_a11_a_token_dies_with_its_successor_and_with_its_container() {
    let mut agent = Agent::running();
    let (old, connection) = agent.task_at_work("t");
    assert_eq!(lives(&mut agent, &old), None, "it is young");
    agent.wait(LIFETIME / 2);
    let next = lives(&mut agent, &old).expect("half of the time is over");
    // It is on disk before it is told.
    let records = agent.records();
    let [Record::Tokens { present, next: Some(written), .. }] = records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((Some(*present), *written), (old.token, next));
    let new = Container { token: Some(next), ..old.clone() };
    // The answer may be lost: the old one is good until the new one is used.
    assert!(!is_revoked(&mut agent, &old));
    assert_eq!(lives(&mut agent, &new), None);
    assert!(matches!(agent.records()[..], [Record::Tokens { next: None, .. }]));
    assert!(is_revoked(&mut agent, &old));
    assert!(!is_revoked(&mut agent, &new));
    agent.handle(Event::ExecutorDisconnected(connection));
    agent.ended(&new, 0);
    assert!(is_revoked(&mut agent, &new));
    assert!(is_revoked(&mut agent, &old));
}

#[test]
fn authn_a_lost_answer_is_repeated_with_another_token_but_not_at_every_call() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.wait(LIFETIME / 2);
    let lost = lives(&mut agent, &container).unwrap();
    assert_eq!(lives(&mut agent, &container), None);
    agent.wait(LIFETIME / 16);
    let again = lives(&mut agent, &container).unwrap();
    assert_ne!(lost, again);
    assert!(is_revoked(&mut agent, &Container { token: Some(lost), ..container.clone() }));
    assert!(!is_revoked(&mut agent, &Container { token: Some(again), ..container }));
}

/// The attack: somebody waits.
#[test]
fn attack_a11_a_token_expires_unless_its_executor_gets_another() {
    let mut agent = Agent::running();
    let (container, late) = agent.task_at_work("t");
    let (other, connection) = agent.task_at_work("u");
    agent.wait(LIFETIME - Duration::from_secs(1));
    assert_eq!(agent.engine.state().counters.executor_tokens_expired, 0);
    agent.handle(Event::ExecutorDisconnected(connection));
    agent.wait(Duration::from_secs(1));
    // Nor does the next run of the agent know it.
    let records = agent.records();
    let [Record::Tokens { present, next: None, .. }] = records[..] else { panic!("{records:?}") };
    assert_ne!(Some(*present), container.token);
    assert!(is_revoked(&mut agent, &container));
    assert_eq!(agent.engine.state().counters.executor_tokens_expired, 1);
    // It does not come back to life when the stream breaks; one that was good then lasts longer.
    agent.handle(Event::ExecutorDisconnected(late));
    assert!(is_revoked(&mut agent, &container));
    agent.wait(Duration::from_secs(898));
    assert!(matches!(
        agent.call(other.caller(), other.subscribe_call(Subscribe::default())),
        Answer::Subscribed(_)
    ));
    agent.wait(Duration::from_secs(2));
    assert!(is_revoked(&mut agent, &other));
    assert!(is_revoked(&mut agent, &container));
}

/// Libraries of frameworks' executors cannot change their token.
#[test]
fn authn_a_frameworks_executor_keeps_its_token_while_it_is_subscribed() {
    let mut agent = Agent::running_with(with_key());
    agent.runs(executor_task("t", "e"), true);
    let launch = agent.launch();
    let bearer = launch.environment_token.as_ref().unwrap().expose().to_owned();
    assert_eq!(launch.secrets.as_ref().unwrap().token.expose(), bearer);
    assert!(!launch.environment.values().any(|value| *value == bearer), "not where it is written");
    assert!(!format!("{launch:?}").contains(&bearer));
    let cid = launch.container_id.to_string();
    assert_eq!(
        claims_of(&bearer),
        serde_json::json!({ "fid": FRAMEWORK, "eid": "e", "cid": cid }),
        "without an end that its library could do nothing about"
    );
    let container = agent.started("e");
    let connection = agent.connected(&container);
    agent.wait(LIFETIME * 100);
    assert_eq!(lives(&mut agent, &container), None);
    agent.handle(Event::ExecutorDisconnected(connection));
    agent.wait(Duration::from_secs(899));
    assert!(!is_revoked(&mut agent, &container));
    // It has subscribed just now, and goes again.
    let connection = agent.connected(&container);
    agent.handle(Event::ExecutorDisconnected(connection));
    agent.wait(Duration::from_secs(901));
    assert!(is_revoked(&mut agent, &container));
}

#[test]
fn authn_tokens_of_our_own_executors_say_when_they_end_and_differ() {
    let mut agent = Agent::running_with(with_key());
    agent.runs(command_task("t"), true);
    let launch = agent.launch();
    assert_eq!(launch.environment_token, None, "it gets its token by the memory file alone");
    let secrets = launch.secrets.as_ref().unwrap();
    assert_eq!(secrets.lifetime, LIFETIME);
    let claims = claims_of(secrets.token.expose());
    assert_eq!(claims["fid"], FRAMEWORK);
    assert_eq!(claims["eid"], "t");
    assert_eq!(claims["cid"], launch.container_id.as_str());
    let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    // As long as the lease can be, with the time that its executor may take to come back.
    assert_eq!((iat, exp - iat), (1_800_000_000, 3600 + 900));
    let container = agent.started("t");
    agent.connected(&container);
    agent.wait(LIFETIME / 2);
    let first = lives(&mut agent, &container).unwrap();
    agent.wait(LIFETIME / 16);
    // The clock on the wall stands still in these tests.
    assert_ne!(lives(&mut agent, &container).unwrap(), first);
}

/// The attack: who has the key's signature on other claims, or on a token that was replaced.
#[test]
fn attack_a11_claims_count_only_for_the_active_container_and_not_past_a_renewal() {
    let mut agent = Agent::running_with(with_key());
    agent.runs(executor_task("t", "e"), true);
    let theirs = agent.started("e");
    agent.runs(command_task("ours"), true);
    let ours = agent.started("ours");
    let says = |fid: &str, eid: &str, cid: &str| {
        Caller::Claims(BTreeMap::from(
            [("fid", fid), ("eid", eid), ("cid", cid)].map(|(n, v)| (n.to_owned(), v.to_owned())),
        ))
    };
    let cid = theirs.id.to_string();
    for (caller, claim) in [
        (says("M-0001", "e", &cid), "fid"),
        (says(FRAMEWORK, "x", &cid), "eid"),
        (says(FRAMEWORK, "e", ours.id.as_str()), "cid"),
        // An operator has a name and no claims.
        (Caller::Claims(BTreeMap::new()), "fid"),
    ] {
        let answer = agent.call(caller, theirs.subscribe_call(Subscribe::default()));
        assert_eq!(answer, Answer::Refused(Refusal::Claim(claim)));
    }
    // Ours are known by what is written down.
    let caller = says(FRAMEWORK, "ours", ours.id.as_str());
    let answer = agent.call(caller, ours.subscribe_call(Subscribe::default()));
    assert_eq!(answer, Answer::Refused(Refusal::Revoked));
    // A lease that is over is over, whatever the signature says.
    let stale = says(FRAMEWORK, "e", &cid);
    let answer = agent.call(stale, theirs.subscribe_call(Subscribe::default()));
    assert_eq!(answer, Answer::Refused(Refusal::Revoked));
}

/// An agent of the original left an executor, and of its token nothing but the key.
#[test]
fn authn_claims_are_what_an_executor_of_the_original_is_known_by() {
    let executor = RecoveredExecutor { generated: true, ..left_executor("e", "c", None) };
    let mut agent = Agent::recovered(with_key(), left(vec![executor]));
    agent.handle(Event::ContainersRecovered);
    let container = Container { id: "c".parse().unwrap(), executor: "e".into(), token: None };
    let claims = |cid: &str| {
        Caller::Claims(BTreeMap::from(
            [("fid", FRAMEWORK), ("eid", "e"), ("cid", cid)]
                .map(|(n, v)| (n.to_owned(), v.to_owned())),
        ))
    };
    let subscribe = container.subscribe_call(Subscribe::default());
    let answer = agent.call(claims("other"), subscribe.clone());
    assert_eq!(answer, Answer::Refused(Refusal::Claim("cid")));
    assert!(matches!(agent.call(claims("c"), subscribe.clone()), Answer::Subscribed(_)));
    agent.ended(&container, 0);
    let answer = agent.call(claims("c"), subscribe);
    assert!(matches!(
        answer,
        Answer::Refused(Refusal::Revoked | Refusal::ExecutorUnknown | Refusal::FrameworkUnknown)
    ));
}
