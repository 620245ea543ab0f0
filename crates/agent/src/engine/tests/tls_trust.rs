//! Whom the agent hears as an executor, by what protects its connections now and by what did when
//! the executor was started.

use tls_policy::{NameCheck, Recognize};
use wire::v1::executor::call::Subscribe;

use super::fixture::*;
use crate::engine::event::{Answer, Caller, Event, Refusal, TokenDigest};
use crate::engine::recovered::RecoveredExecutor;
use crate::engine::rules::Rules;

fn ruled_by(recognize: Option<Recognize>) -> Rules {
    Rules { executor_trust: recognize.map(trust), ..rules() }
}

/// TLS in which nobody proves an identity.
fn without_identities() -> [Recognize; 2] {
    [Recognize::Unverified, Recognize::Chain { roots: None, depth: 4, names: NameCheck::ChainOnly }]
}

fn is_heard(agent: &mut Agent, caller: Caller, container: &Container) -> bool {
    match agent.call(caller, container.subscribe_call(Subscribe::default())) {
        Answer::Subscribed(_) => true,
        Answer::Refused(Refusal::Forbidden) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tls_without_identities_asks_our_own_executors_for_their_token() {
    for recognize in without_identities() {
        let mut agent = Agent::running_with(ruled_by(Some(recognize.clone())));
        agent.runs(command_task("t"), true);
        let secrets = agent.launch().secrets.clone().unwrap();
        assert_eq!(secrets.trust, trust(recognize));
        let container = agent.started("t");
        assert!(!is_heard(&mut agent, container.without_token(), &container));
        assert!(is_heard(&mut agent, container.caller(), &container));
    }
}

#[test]
fn tls_without_identities_hears_a_frameworks_own_executor_by_its_connection() {
    for recognize in without_identities() {
        let mut agent = Agent::running_with(ruled_by(Some(recognize)));
        agent.runs(executor_task("t", "e"), true);
        let container = agent.started("e");
        // The ids that it states are not enough.
        assert!(!is_heard(&mut agent, Caller::Unproven, &container));
        assert!(is_heard(&mut agent, container.without_token(), &container));
    }
}

/// A token also in plaintext, so that what runs now can prove itself when TLS demands proof; but
/// nothing that the original does not give goes to executors that are not ours.
#[test]
fn before_tls_our_own_executors_get_a_token_and_others_get_nothing() {
    let mut agent = Agent::running_with(ruled_by(Some(Recognize::Plaintext)));
    agent.runs(executor_task("t", "e"), true);
    assert_eq!(agent.launch().secrets, None);
    let theirs = agent.started("e");
    assert!(is_heard(&mut agent, theirs.without_token(), &theirs));
    agent.runs(command_task("ours"), true);
    assert!(agent.launch().secrets.is_some());
    let ours = agent.started("ours");
    assert!(!is_heard(&mut agent, ours.without_token(), &ours));
    assert!(is_heard(&mut agent, ours.caller(), &ours));
}

/// Row D5: new roots reach the executors that are started from then on.
#[test]
fn tls_trust_that_has_changed_is_what_the_next_executor_gets() {
    let mut agent = Agent::running();
    let new = trust(Recognize::Identity {
        roots: b"NEW".to_vec(),
        identity: "spiffe://test/agent/a".parse().unwrap(),
    });
    agent.runs(command_task("before"), true);
    assert_ne!(agent.launch().secrets.as_ref().unwrap().trust, new);
    agent.handle(Event::TrustChanged(new.clone()));
    agent.runs(command_task("after"), true);
    assert_eq!(agent.launch().secrets.as_ref().unwrap().trust, new);
}

/// An agent that finds an executor of ours that an earlier run started, with a token or without.
fn recovering(now: Option<Recognize>, token: Option<TokenDigest>) -> (Agent, Container) {
    let executor = RecoveredExecutor { generated: true, ..left_executor("t", "c", token) };
    let mut agent = Agent::recovered(ruled_by(now), left(vec![executor]));
    agent.handle(Event::ContainersRecovered);
    (agent, Container { id: "c".parse().unwrap(), executor: "t".into(), token })
}

/// Plaintext to TLS and back: an executor proves what it got when it was started.
#[test]
fn tls_comes_and_goes_and_executors_are_known_by_what_they_got() {
    let [unverified, chain] = without_identities();
    for now in [None, Some(unverified), Some(chain)] {
        let (mut agent, container) = recovering(now.clone(), None);
        assert!(is_heard(&mut agent, container.without_token(), &container), "{now:?}");
        let (mut agent, container) = recovering(now.clone(), Some(TokenDigest([7; 32])));
        assert!(!is_heard(&mut agent, container.without_token(), &container), "{now:?}");
        assert!(is_heard(&mut agent, container.caller(), &container), "{now:?}");
    }
    // Where identities are proved nobody is heard who proves nothing.
    let identities = rules().executor_trust.unwrap().recognize;
    let (mut agent, container) = recovering(Some(identities), None);
    assert!(!is_heard(&mut agent, container.without_token(), &container));
    assert!(!is_heard(&mut agent, Caller::Unproven, &container));
}
