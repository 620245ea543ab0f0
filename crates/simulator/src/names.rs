//! Who is where, and how senders are bound to what their connections prove.

use std::net::{Ipv4Addr, SocketAddrV4};

use libprocess::sender::{Binding, BoundPid, ClaimedPid, Finding, PeerFacts, bind};
use libprocess::upid::Upid;
use model::identity::Identity;

use crate::net::PipeId;

/// A machine. What is cut off by a partition is machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Master,
    Agent(u8),
    Scheduler(u8),
    Operator,
}

/// A process: a machine has one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) host: Host,
    /// Which of the machine's processes, from 1.
    pub(crate) run: u32,
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host {
            Host::Master => write!(f, "master/{}", self.run),
            Host::Agent(n) => write!(f, "agent-{n}/{}", self.run),
            Host::Scheduler(n) => write!(f, "scheduler-{n}/{}", self.run),
            Host::Operator => write!(f, "operator"),
        }
    }
}

/// Where masters listen: a new one may take another address than the last.
pub(crate) fn master_pid(place: u8) -> Upid {
    Upid::new("master", SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1 + place), 5050))
}

pub(crate) fn agent_pid(n: u8) -> Upid {
    Upid::new("slave(1)", SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, n), 5051))
}

/// Where the driver of scheduler `n` listens: each process of it elsewhere.
pub(crate) fn driver_pid(n: u8, run: u32) -> Upid {
    let port = 6000 + u16::try_from(run % 50_000).unwrap_or(0);
    let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, n), port);
    Upid::new(format!("scheduler-{n}-{run}"), address)
}

/// What the certificate of a component says.
fn identity(kind_and_name: &str) -> Option<Identity> {
    format!("spiffe://alcazar.local/{kind_and_name}").parse().ok()
}

/// What the certificate of a machine's components says.
pub(crate) fn certificate(host: Host) -> Option<Identity> {
    identity(&match host {
        Host::Master => "master/m".to_owned(),
        Host::Agent(n) => format!("agent/host-{n}"),
        Host::Scheduler(n) => format!("framework/f{n}"),
        Host::Operator => "operator/o".to_owned(),
    })
}

/// A sender whose connection proves `identity` and that it comes from where it says.
#[expect(clippy::expect_used, reason = "the facts are those that the rule asks for")]
pub(crate) fn bound(upid: Upid, identity: Option<Identity>, over: PipeId) -> BoundPid {
    let facts = PeerFacts {
        vouched_addresses: vec![(*upid.address.ip()).into()],
        certified: true,
        encrypted: true,
        identity,
        ..PeerFacts::plaintext(libprocess::sender::ConnectionId(over.0), upid.address.into())
    };
    bind(ClaimedPid(upid), &facts, Binding::Certificate, None, Finding::Nothing)
        .expect("a certificate for this address")
}
