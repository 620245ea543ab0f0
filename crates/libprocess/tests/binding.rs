//! Which claims bind: a matrix of who claims what over which connection.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use alcazar_libprocess as libprocess;
use libprocess::sender::{
    BindError, Binding, ClaimedPid, ConnectionId, Finding, PeerFacts, Session, SessionId,
    SessionProof, Tie, bind,
};
use libprocess::upid::Upid;
use model::identity::{Identity, Kind};
use model::principal::Kinds;

fn identity(path: &str) -> Identity {
    format!("spiffe://d/{path}").parse().unwrap()
}

fn claim(text: &str) -> ClaimedPid {
    ClaimedPid(text.parse::<Upid>().unwrap())
}

fn encrypted(from: &str, who: Option<&str>, vouched: &[&str]) -> PeerFacts {
    PeerFacts {
        address: from.parse::<SocketAddr>().unwrap(),
        identity: who.map(identity),
        vouched_addresses: vouched.iter().map(|a| a.parse().unwrap()).collect(),
        principal: None,
        certified: who.is_some(),
        encrypted: true,
        connection: ConnectionId(1),
        channel_binding: None,
        channel_secret: None,
    }
}

#[test]
fn a_certificate_binds_the_addresses_it_vouches_for_and_the_one_it_comes_from() {
    let facts = encrypted("10.0.0.1:4444", Some("agent/a"), &["10.0.0.9"]);
    for text in ["slave(1)@10.0.0.1:5051", "slave(1)@10.0.0.9:5051"] {
        let bound =
            bind(claim(text), &facts, Binding::Certificate, None, Finding::Nothing).unwrap();
        assert_eq!(bound.upid().to_string(), text);
        assert_eq!(bound.identity(), Some(&identity("agent/a")));
        assert!(bound.may_speak_as(Kind::Agent) && !bound.may_speak_as(Kind::Master));
    }
    let other =
        bind(claim("slave(1)@10.0.0.2:5051"), &facts, Binding::Certificate, None, Finding::Nothing);
    assert!(matches!(other, Err(BindError::OtherAddress { .. })), "{other:?}");
}

#[test]
fn encryption_without_a_certificate_binds_nothing() {
    let facts = encrypted("10.0.0.1:4444", None, &[]);
    let bound =
        bind(claim("slave(1)@10.0.0.1:5051"), &facts, Binding::Certificate, None, Finding::Nothing);
    assert!(matches!(bound, Err(BindError::NoCertificate { .. })), "{bound:?}");
}

#[test]
fn plaintext_never_satisfies_the_rule_for_certificates() {
    let facts = PeerFacts::plaintext(ConnectionId(0), "10.0.0.1:4444".parse().unwrap());
    let bound =
        bind(claim("slave(1)@10.0.0.1:5051"), &facts, Binding::Certificate, None, Finding::Nothing);
    assert!(matches!(bound, Err(BindError::NoCertificate { .. })), "{bound:?}");
}

#[test]
fn the_port_of_a_neighbour_on_the_same_machine_is_not_bound() {
    let thief = encrypted("10.0.0.1:4444", Some("agent/b"), &["10.0.0.1"]);
    let claimed = claim("slave(1)@10.0.0.1:5051");
    let listener = identity("agent/a");
    let bound =
        bind(claimed.clone(), &thief, Binding::Certificate, Some(&listener), Finding::Nothing);
    assert!(matches!(bound, Err(BindError::OtherListener { .. })), "{bound:?}");
    let owner = encrypted("10.0.0.1:4444", Some("agent/a"), &["10.0.0.1"]);
    bind(claimed, &owner, Binding::Certificate, Some(&listener), Finding::Nothing).unwrap();
}

#[test]
fn in_plaintext_only_the_source_address_binds() {
    let facts = PeerFacts::plaintext(ConnectionId(0), "10.0.0.1:4444".parse().unwrap());
    let rule = Binding::DangerSourceAddress;
    let bound =
        bind(claim("slave(1)@10.0.0.1:5051"), &facts, rule, None, Finding::Nothing).unwrap();
    assert_eq!(bound.identity(), None);
    let other = bind(claim("slave(1)@10.0.0.2:5051"), &facts, rule, None, Finding::Nothing);
    assert!(matches!(other, Err(BindError::OtherAddress { .. })), "{other:?}");
    // An IPv4 peer of a listener that serves both families.
    let mapped = PeerFacts::plaintext(ConnectionId(0), "[::ffff:10.0.0.1]:4444".parse().unwrap());
    bind(claim("slave(1)@10.0.0.1:5051"), &mapped, rule, None, Finding::Nothing).unwrap();
}

/// Who has authenticated is spoken for by the connections of the session, and by nobody else but
/// the holder of a certificate with an identity, who then speaks without the session.
#[test]
fn authn_who_has_a_session_is_not_spoken_for_by_other_connections() {
    let session = Arc::new(Session {
        id: SessionId(1),
        principal: Some("agent-principal".to_owned()),
        kinds: Kinds::only(Kind::Agent),
        mechanism: "SCRAM-SHA-256".to_owned(),
    });
    let text = "slave(1)@10.0.0.1:5051";
    let facts = encrypted("10.0.0.1:4444", Some("agent/a"), &[]);
    for rule in [Binding::Certificate, Binding::AnyCertificate, Binding::DangerSourceAddress] {
        for tie in [Tie::Exchange, Tie::Keyed, Tie::DangerSameAddress] {
            let proof = SessionProof { session: Arc::clone(&session), tie };
            let finding = Finding::Tied(proof.clone());
            let bound = bind(claim(text), &facts, rule, None, finding).unwrap();
            assert_eq!(bound.session(), Some(&proof));
            assert_eq!(bound.principal(), Some("agent-principal"));
        }
        let untied = Finding::Untied(Arc::clone(&session));
        let bound = bind(claim(text), &facts, rule, None, untied);
        match rule {
            Binding::Certificate => assert_eq!(bound.unwrap().session(), None),
            Binding::AnyCertificate | Binding::DangerSourceAddress => {
                assert!(matches!(bound, Err(BindError::OtherSession { .. })), "{bound:?}");
            }
        }
        // A session does not bind a claim that is not the connection's.
        let proof = SessionProof { session: Arc::clone(&session), tie: Tie::Keyed };
        let elsewhere = claim("slave(1)@10.0.0.2:5051");
        let bound = bind(elsewhere, &facts, rule, None, Finding::Tied(proof));
        assert!(matches!(bound, Err(BindError::OtherAddress { .. })), "{bound:?}");
    }
}
