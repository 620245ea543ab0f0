//! The agent proves itself to its master, and obeys nobody who did not take part in that (rows
//! A12, B2, B3).

use std::sync::Arc;
use std::time::Duration;

use libprocess::sender::{
    Binding, BoundPid, ClaimedPid, Finding, PeerFacts, Session, SessionId, SessionProof, Tie, bind,
};
use libprocess::upid::Upid;
use model::identity::Kind;
use model::principal::Kinds;
use wire::internal as i;

use super::fixture::*;
use crate::engine::event::{Effect, Event, Exit};
use crate::engine::rules::Rules;
use crate::engine::state::Activity;
use crate::message::{AgentMessage, MasterMessage};

const SECOND: Duration = Duration::from_secs(1);

fn pid() -> Upid {
    MASTER.parse().unwrap()
}

fn session(id: u64, mechanism: &str) -> Arc<Session> {
    Arc::new(Session {
        id: SessionId(id),
        principal: None,
        kinds: Kinds::only(Kind::Master),
        mechanism: mechanism.into(),
    })
}

/// A sender over a connection that proves nothing but its tie to a session.
fn tied(from: &str, session: Option<(&Arc<Session>, Tie)>) -> BoundPid {
    let upid: Upid = from.parse().unwrap();
    let address = upid.address.into();
    let peer = PeerFacts::plaintext(libprocess::sender::ConnectionId(1), address);
    let found = session.map_or(Finding::Nothing, |(session, tie)| {
        Finding::Tied(SessionProof { session: Arc::clone(session), tie })
    });
    bind(ClaimedPid(upid), &peer, Binding::DangerSourceAddress, None, found).unwrap()
}

/// An agent with a credential that has found its master.
fn detected() -> Agent {
    let mut agent = Agent::fresh(Rules { authenticates: true, ..rules() });
    agent.handle(Event::ContainersRecovered);
    agent.handle(Event::MasterDetected(Some(pid())));
    agent
}

fn authenticated(agent: &mut Agent, session: &Arc<Session>) {
    agent.handle(Event::Authenticated { master: pid(), session: Arc::clone(session) });
}

fn hears(agent: &mut Agent, from: BoundPid, message: MasterMessage) {
    agent.handle(Event::Message { from, message });
}

fn registration() -> MasterMessage {
    MasterMessage::Registered(Box::new(registered(AGENT_ID)))
}

/// One of each kind that a master sends.
fn everything() -> Vec<MasterMessage> {
    MasterMessage::NAMES
        .iter()
        .filter_map(|name| MasterMessage::decode(name, &[]).ok())
        .chain([
            registration(),
            reregistered(Vec::new()),
            MasterMessage::Ping(Box::new(i::PingSlaveMessage { connected: false })),
            MasterMessage::Shutdown(Box::new(i::ShutdownMessage { message: Some("x".into()) })),
            MasterMessage::RunTask(Box::new(run_task(command_task("t"), true))),
            MasterMessage::ShutdownFramework(Box::new(i::ShutdownFrameworkMessage {
                framework_id: wire::v1::FrameworkId { value: FRAMEWORK.into() },
            })),
        ])
        .collect()
}

#[test]
fn authn_comes_before_registration_and_again_with_each_master() {
    let mut agent = detected();
    agent.wait(SECOND);
    assert!(agent.effects.contains(&Effect::Link(pid())));
    assert!(agent.effects.contains(&Effect::Authenticate(pid())));
    assert!(agent.sent().is_empty(), "not before it is known who listens");
    // Nothing is hurried by time.
    agent.wait(60 * SECOND);
    assert_eq!(agent.deeds(), Vec::<&Effect>::new());
    let first = session(1, "SCRAM-SHA-256");
    authenticated(&mut agent, &first);
    assert!(matches!(agent.sent()[..], [AgentMessage::Register(_)]));
    assert!(!agent.effects.contains(&Effect::Link(pid())), "the exchange's connection is used");
    // A retry of the registration needs no other exchange.
    agent.wait(60 * SECOND);
    assert!(matches!(agent.sent()[..], [AgentMessage::Register(_)]));
    hears(&mut agent, tied(MASTER, Some((&first, Tie::Keyed))), registration());
    assert_eq!(agent.engine.state().activity, Activity::Running);
    // The same master again: everything begins anew.
    agent.handle(Event::MasterDetected(Some(pid())));
    assert!(agent.effects.contains(&Effect::StopAuthenticating));
    agent.wait(SECOND);
    assert!(agent.effects.contains(&Effect::Authenticate(pid())));
    assert!(agent.sent().is_empty());
}

#[test]
fn authn_that_is_refused_ends_the_agent_and_touches_no_executor() {
    let mut agent = detected();
    agent.wait(SECOND);
    // That of a master that is not the leading one means nothing.
    agent.handle(Event::AuthenticationRefused("master@127.0.0.9:5050".parse().unwrap()));
    assert_eq!(agent.deeds(), Vec::<&Effect>::new());
    agent.handle(Event::AuthenticationRefused(pid()));
    let deeds = agent.deeds();
    let [Effect::Exit(Exit::Failed(why))] = deeds[..] else { panic!("{deeds:?}") };
    assert_eq!(why, &format!("Master {MASTER} refused authentication"));
}

#[test]
fn authn_without_a_credential_is_left_out_and_said_so() {
    let mut agent = Agent::fresh(rules());
    agent.handle(Event::ContainersRecovered);
    agent.handle(Event::MasterDetected(Some(pid())));
    agent.wait(SECOND);
    assert!(matches!(agent.sent()[..], [AgentMessage::Register(_)]));
    let said = agent.effects.iter().any(|effect| {
        matches!(effect, Effect::Log(_, text)
            if text == "No credentials provided. Attempting to register without authentication")
    });
    assert!(said);
}

#[test]
fn authn_with_a_master_that_does_not_lead_any_more_comes_too_late() {
    let mut agent = detected();
    agent.wait(SECOND);
    let other: Upid = "master@127.0.0.3:5050".parse().unwrap();
    agent.handle(Event::MasterDetected(Some(other.clone())));
    assert!(agent.effects.contains(&Effect::StopAuthenticating));
    authenticated(&mut agent, &session(1, "SCRAM-SHA-256"));
    assert!(agent.sent().is_empty());
    agent.wait(SECOND);
    assert!(agent.effects.contains(&Effect::Authenticate(other)));
}

#[test]
fn authn_a_broken_link_takes_the_session_with_it_also_before_the_registration() {
    let mut agent = detected();
    agent.wait(SECOND);
    let first = session(1, "SCRAM-SHA-256");
    authenticated(&mut agent, &first);
    agent.handle(Event::MasterExited(pid()));
    assert!(agent.effects.contains(&Effect::StopAuthenticating));
    assert!(agent.effects.contains(&Effect::Redetect));
    let late = tied(MASTER, Some((&first, Tie::Keyed)));
    hears(&mut agent, late, registration());
    assert_eq!(agent.engine.state().activity, Activity::Disconnected);
}

/// The attack: somebody else at the master's address, with or without a tie of some other sort.
#[test]
fn attack_a12_b2_nobody_is_obeyed_who_is_not_tied_to_the_session() {
    let own = session(1, "SCRAM-SHA-256");
    let older = session(0, "SCRAM-SHA-256");
    for from in [
        tied(MASTER, None),
        tied(MASTER, Some((&older, Tie::Keyed))),
        tied(MASTER, Some((&own, Tie::DangerSameAddress))),
        tied("master@127.0.0.2:5051", Some((&own, Tie::Keyed))),
        tied("slave(2)@127.0.0.2:5050", Some((&own, Tie::Keyed))),
    ] {
        let mut agent = detected();
        agent.wait(SECOND);
        authenticated(&mut agent, &own);
        hears(&mut agent, tied(MASTER, Some((&own, Tie::Keyed))), registration());
        let before = agent.engine.state().clone();
        for message in everything() {
            // Its pings come from another actor of it.
            let is_ping = matches!(message, MasterMessage::Ping(_));
            if is_ping
                && from.session().is_some_and(|s| s.tie != Tie::DangerSameAddress)
                && from.session().is_some_and(|s| s.session.id == own.id)
                && from.upid().address == pid().address
            {
                continue;
            }
            let name = message.name();
            hears(&mut agent, from.clone(), message);
            assert_eq!(agent.deeds(), Vec::<&Effect>::new(), "{name} from {from:?}");
            assert!(agent.warnings()[0].starts_with(&format!("Dropping {name}")), "{name}");
        }
        let after = agent.engine.state();
        assert!(after.counters.dropped_messages > before.counters.dropped_messages);
        assert_eq!((after.activity, after.frameworks.len()), (before.activity, 0));
    }
}

/// A stock master opens its own connection and leaves no key: its address is all there is.
#[test]
fn authn_by_a_mechanism_without_a_key_takes_the_address_for_the_master() {
    for (mechanism, obeyed) in [("CRAM-MD5", true), ("PLAIN", true), ("SCRAM-SHA-256", false)] {
        let mut agent = detected();
        agent.wait(SECOND);
        let own = session(1, mechanism);
        authenticated(&mut agent, &own);
        let from = tied(MASTER, Some((&own, Tie::DangerSameAddress)));
        hears(&mut agent, from, registration());
        let running = agent.engine.state().activity == Activity::Running;
        assert_eq!(running, obeyed, "{mechanism}");
    }
}

/// Where certificates carry identities, that of a master is proof.
#[test]
fn authn_a_masters_certificate_is_proof_without_a_session() {
    let mut agent = detected();
    agent.wait(SECOND);
    authenticated(&mut agent, &session(1, "SCRAM-SHA-256-PLUS"));
    hears(&mut agent, sender(MASTER, Some("spiffe://test/agent/a")), registration());
    assert_eq!(agent.engine.state().activity, Activity::Disconnected);
    agent.told(registration());
    assert_eq!(agent.engine.state().activity, Activity::Running);
}

/// B3, the attack: an acknowledgement from an actor whose name begins with `master`.
#[test]
fn attack_b3_an_acknowledgement_comes_from_the_master_or_the_frameworks_own_scheduler() {
    let mut agent = Agent::running();
    let scheduler = "scheduler-1@127.0.0.2:6000";
    let mut run = run_task(command_task("t"), true);
    run.pid = Some(scheduler.into());
    agent.told(MasterMessage::RunTask(Box::new(run)));
    let container = agent.started("t");
    agent.connected(&container);
    agent.reports(&container, status("t", wire::v1::TaskState::TaskRunning, 7));
    let acknowledgement = |framework: &str| {
        MasterMessage::StatusUpdateAcknowledgement(Box::new(
            i::StatusUpdateAcknowledgementMessage {
                slave_id: wire::v1::AgentId { value: AGENT_ID.into() },
                framework_id: wire::v1::FrameworkId { value: framework.into() },
                task_id: wire::v1::TaskId { value: "t".into() },
                uuid: vec![7; 16].into(),
            },
        ))
    };
    for from in [
        sender("master-of-puppets@127.0.0.3:5050", None),
        sender("scheduler-2@127.0.0.2:6000", None),
        sender("scheduler-1@127.0.0.2:6001", None),
        sender(scheduler, Some("spiffe://test/agent/a")),
    ] {
        hears(&mut agent, from, acknowledgement(FRAMEWORK));
        assert!(agent.records().is_empty());
        assert_eq!(agent.warnings().len(), 1);
    }
    // Another framework's id is not its own.
    hears(&mut agent, sender(scheduler, None), acknowledgement("M-0001"));
    assert!(agent.records().is_empty());
    hears(&mut agent, sender(scheduler, None), acknowledgement(FRAMEWORK));
    assert_eq!(agent.records().len(), 1, "the acknowledgement is on record");
}
