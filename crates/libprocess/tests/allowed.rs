//! The table of who may send what: complete, ordered, and what the original's components did.

#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use alcazar_libprocess as libprocess;
use libprocess::allowed::{Refusal, TABLE, may_send, senders};
use libprocess::sender::{Binding, BoundPid, ClaimedPid, ConnectionId, Finding, PeerFacts, bind};
use libprocess::upid::Upid;
use model::identity::{Identity, Kind, TrustDomain};
use model::principal::Kinds;

/// Which kind of component an actor belongs to, by the ids that the original gives.
fn kind_of(actor: &str) -> Kind {
    let of = |prefixes: &[&str]| prefixes.iter().any(|prefix| actor.starts_with(prefix));
    if of(&["master", "slave-observer(", "crammd5-authenticator-session("]) {
        Kind::Master
    } else if of(&["slave(", "task-status-update-manager"]) {
        Kind::Agent
    } else if of(&["scheduler-"]) {
        Kind::Framework
    } else if of(&["executor("]) {
        Kind::Executor
    } else {
        panic!("whose actor is {actor}?")
    }
}

fn bound(text: &str, kind: Option<Kind>) -> BoundPid {
    let upid: Upid = text.parse().unwrap();
    let address = SocketAddr::V4(upid.address);
    let mut facts = PeerFacts::plaintext(ConnectionId(1), address);
    let domain = TrustDomain::new("test.local").unwrap();
    facts.identity = kind.map(|kind| Identity::new(domain, kind, "one").unwrap());
    bind(ClaimedPid(upid), &facts, Binding::DangerSourceAddress, None, Finding::Nothing).unwrap()
}

#[test]
fn authn_every_message_that_travels_has_its_senders() {
    let Some(shared) = testkit::shared::directory() else { return };
    let fields = std::fs::read_to_string(shared.join("reference/wire/fields.tsv")).unwrap();
    let mut missing = BTreeSet::new();
    let mut count = 0;
    for row in fields.lines().skip(1) {
        let (message, file) = (row.split('\t').next().unwrap(), row.rsplit('\t').next().unwrap());
        let travels = [
            "authentication/authentication.proto",
            "messages/messages.proto",
            "messages/log.proto",
        ];
        if !travels.iter().any(|suffix| file.ends_with(suffix)) {
            continue;
        }
        // The others are parts of these, or records in files.
        if ["Message", "Request", "Response"].iter().any(|suffix| message.ends_with(suffix)) {
            count += 1;
            if !TABLE.iter().any(|row| row.name == message) {
                missing.insert(message.to_owned());
            }
        }
    }
    assert!(count > 100, "only {count} fields");
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn authn_the_table_is_in_order_and_every_row_is_found() {
    assert!(TABLE.is_sorted_by(|a, b| (a.name, a.to) < (b.name, b.to)));
    for row in TABLE {
        assert_eq!(senders(row.to, row.name), Some(row.from), "{}", row.name);
        assert!(!row.from.contains(Kind::Operator), "{}: operators speak HTTP", row.name);
        assert_eq!(senders(Kind::Operator, row.name), None);
    }
}

#[test]
fn authn_what_the_original_sent_is_allowed() {
    let Some(stories) = testkit::captures::stories() else { return };
    let mut seen = BTreeSet::new();
    for story in stories {
        for recorded in testkit::captures::story(&story).unwrap() {
            if recorded.kind != testkit::captures::Kind::Message {
                continue;
            }
            let (to, name) = recorded.actor_and_name();
            let head = String::from_utf8_lossy(&recorded.bytes).into_owned();
            let from = head.lines().find_map(|line| line.strip_prefix("Libprocess-From: "));
            let from = from.unwrap_or_else(|| panic!("{head}"));
            // Whose authenticatee it is, its name does not say.
            let clients = Kinds::only(Kind::Agent).with(Kind::Framework);
            let of = |actor: &str| {
                if actor.starts_with("crammd5-authenticatee(") {
                    clients
                } else {
                    Kinds::only(kind_of(actor))
                }
            };
            for to in of(&to).iter() {
                let allowed = senders(to, &name).unwrap_or_else(|| panic!("{name} to {to}"));
                assert_ne!(allowed.and(of(from)), Kinds::NONE, "{name} from {from} to {to}");
            }
            seen.insert(name);
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
}

#[test]
fn authn_senders_are_judged_by_what_they_proved() {
    const PING: &str = "mesos.internal.PingSlaveMessage";
    const STEP: &str = "mesos.internal.AuthenticationStepMessage";
    let one = "x@10.0.0.1:5050";
    let master = bound(one, Some(Kind::Master));
    assert_eq!(may_send(&master, Kind::Agent, PING), Ok(Kinds::only(Kind::Master)));
    let unknown = Err(Refusal::Unknown { to: Kind::Master });
    assert_eq!(may_send(&master, Kind::Master, PING), unknown);
    assert_eq!(may_send(&master, Kind::Master, "mesos.internal.Registry"), unknown);
    for kind in [Kind::Agent, Kind::Executor, Kind::Framework, Kind::Operator] {
        let allowed = Kinds::only(Kind::Master);
        let refusal = Refusal::Forbidden { allowed, speaks_as: Kinds::only(kind) };
        assert_eq!(may_send(&bound(one, Some(kind)), Kind::Agent, PING), Err(refusal));
    }
    // Who proved nothing about its kind may be any that sends it, and no more than that.
    let nobody = bound(one, None);
    let clients = Kinds::only(Kind::Agent).with(Kind::Framework);
    assert_eq!(may_send(&nobody, Kind::Master, STEP), Ok(clients));
    for row in TABLE.iter().filter(|row| row.from == Kinds::NONE) {
        assert!(may_send(&nobody, row.to, row.name).is_err(), "{}", row.name);
    }
}
