//! The network: connections that keep the order of what they carry until they break, delays,
//! machines that cannot reach one another.
//!
//! A message is never given twice, since TCP does not, and never overtakes another on the same
//! connection. What was sent just before a connection broke may arrive or not, from the front;
//! what is sent over a new connection may overtake it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;

use libprocess::upid::Upid;
use master::engine::command::OperatorCommand;
use master::engine::effect::Accepted;
use master::engine::event::SubscriptionId;
use master::engine::message::{Inbound, Outbound};
use master::engine::refusal::Refusal;
use model::time::Instant;
use wire::v1::scheduler;

use crate::names::{Host, Node};

/// What goes over a connection.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// A libprocess message between master and agent, as bytes.
    Message { from: Upid, to: String, name: &'static str, body: bytes::Bytes },
    /// A libprocess message from a driver.
    FromDriver { from: Upid, message: Box<Inbound> },
    /// A libprocess message to a driver.
    ToDriver(Box<Outbound>),
    /// SUBSCRIBE over HTTP.
    Subscribe(Box<scheduler::Call>),
    /// Another call over HTTP, for the stream that it names.
    Call { number: u64, stream: SubscriptionId, call: Box<scheduler::Call> },
    /// What a subscriber is told.
    Event { stream: SubscriptionId, event: Box<scheduler::Event> },
    /// The subscriber is told nothing more.
    EndOfStream,
    /// An operator's request.
    Command { number: u64, command: Box<OperatorCommand> },
    /// What was answered to a call or a request.
    Answer { number: u64, answer: Result<Accepted, Refusal> },
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Libprocess messages.
    Messages,
    /// Requests over HTTP.
    Requests,
    /// Answers to them.
    Answers,
    /// Events for a subscriber.
    Events(SubscriptionId),
}

/// Which connection; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PipeId(pub(crate) u64);

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) from: Node,
    pub(crate) to: Node,
    pub(crate) lane: Lane,
    pub(crate) parcels: VecDeque<(Instant, Parcel)>,
    /// When the last parcel arrives, at the earliest.
    pub(crate) last: Instant,
    /// Nothing more can be sent.
    pub(crate) broken: bool,
    /// Its end has been decided.
    pub(crate) doomed: bool,
    /// The connection whose other direction it is: it breaks with it.
    pub(crate) tied: Option<PipeId>,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Net {
    next: u64,
    pub(crate) pipes: BTreeMap<PipeId, Pipe>,
    current: BTreeMap<(Node, Node, Lane), PipeId>,
    /// Which process listens where.
    pub(crate) listeners: BTreeMap<SocketAddrV4, Node>,
    /// From where to where nothing gets through, and until when.
    cuts: BTreeMap<(Host, Host), Instant>,
}

impl Net {
    /// Until when nothing gets through, if that lies ahead.
    pub(crate) fn cut(&self, from: Host, to: Host, now: Instant) -> Option<Instant> {
        self.cuts.get(&(from, to)).copied().filter(|until| *until > now)
    }

    pub(crate) fn cut_off(&mut self, from: Host, to: Host, until: Instant) {
        let entry = self.cuts.entry((from, to)).or_insert(until);
        *entry = until.max(*entry);
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// A new connection in the place of the current one, which still delivers what it carries.
    pub(crate) fn open(&mut self, from: Node, to: Node, lane: Lane, now: Instant) -> PipeId {
        self.next += 1;
        let id = PipeId(self.next);
        let pipe = Pipe {
            from,
            to,
            lane,
            parcels: VecDeque::new(),
            last: now,
            broken: false,
            doomed: false,
            tied: None,
        };
        self.pipes.insert(id, pipe);
        if let Some(old) = self.current.insert((from, to, lane), id) {
            self.collect(old);
        }
        id
    }

    pub(crate) fn current(&self, from: Node, to: Node, lane: Lane) -> Option<PipeId> {
        self.current.get(&(from, to, lane)).copied()
    }

    /// Whether anything can be sent on it.
    pub(crate) fn is_open(&self, id: PipeId) -> bool {
        self.pipes.get(&id).is_some_and(|pipe| !pipe.broken)
    }

    /// Nothing more is sent on it; the first `kept` parcels still arrive.
    pub(crate) fn shut(&mut self, id: PipeId, kept: usize) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        pipe.broken = true;
        pipe.parcels.truncate(kept);
        let key = (pipe.from, pipe.to, pipe.lane);
        if self.current.get(&key) == Some(&id) {
            self.current.remove(&key);
        }
        self.collect(id);
    }

    /// Forgets a connection that is of no use any more.
    pub(crate) fn collect(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get(&id) else { return };
        let current = self.current.get(&(pipe.from, pipe.to, pipe.lane)) == Some(&id);
        if pipe.parcels.is_empty() && !current {
            self.pipes.remove(&id);
        }
    }

    /// Whether an older connection of the same two still carries something.
    pub(crate) fn overtakes(&self, id: PipeId, from: Node, to: Node, lane: Lane) -> bool {
        let of = (from.host, to.host, lane);
        let mut older = self.pipes.range(..id).map(|(_, pipe)| pipe);
        older.any(|p| (p.from.host, p.to.host, p.lane) == of && !p.parcels.is_empty())
    }

    /// The other directions of a connection.
    pub(crate) fn tied_to(&self, id: PipeId) -> Vec<PipeId> {
        let tied = self.pipes.iter().filter(|(_, pipe)| pipe.tied == Some(id));
        tied.map(|(id, _)| *id).collect()
    }

    pub(crate) fn of(&self, node: Node) -> Vec<PipeId> {
        let of = self.pipes.iter().filter(|(_, pipe)| pipe.from == node || pipe.to == node);
        of.map(|(id, _)| *id).collect()
    }
}
