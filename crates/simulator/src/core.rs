//! What all actors share: the clock, chance, the network, and what happens next.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddrV4;
use std::time::Duration;

use agent::engine::event::ConnectionId;
use libprocess::upid::Upid;
use master::engine::event::SubscriptionId;
use model::id::ContainerId;
use model::time::{Instant, Now, Timestamp};
use wire::v1;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::names::{Host, Node};
use crate::net::{Lane, Net, Parcel, PipeId};
use crate::sabotage::Sabotage;
use crate::shape::Shape;
use crate::trace::Trace;

/// When the world begins, on the wall clock.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The next parcel of a connection arrives.
    Arrives(PipeId),
    /// A connection breaks.
    Breaks(PipeId),
    /// A process notices that a connection broke.
    Noticed(Node, PipeId),
    /// Something in a process; nothing if it has ended by then.
    In(Node, Inner),
    /// Something on an agent's machine, whether its agent runs or not.
    On(u8, Outer),
    /// A process starts.
    Start(Host),
    /// Something goes wrong.
    Trouble,
    /// An operator does something.
    Operator,
    /// A look at whether all is well again.
    Inspection,
}

/// Something that happens in a process.
#[derive(Debug)]
pub(crate) enum Inner {
    /// A deadline of its engine has come.
    Deadline,
    /// The master's writes are durable.
    Written,
    /// A sign of life for a subscriber is due.
    Heartbeat(SubscriptionId),
    /// A component hears who leads now.
    Detected,
    /// The agent's engine is told something that its own machine did.
    Told(Box<agent::engine::event::Event>),
    /// A container is about to run.
    Launch(ContainerId),
    /// A scheduler is to subscribe.
    Subscribe,
    /// A scheduler makes up its mind about an offer.
    Consider(v1::OfferId),
    /// A scheduler says whether it can leave an agent.
    Leave(v1::OfferId),
    /// A scheduler asks how its tasks are.
    Reconcile,
    /// A scheduler ends a task before its time.
    Kill,
    /// A scheduler does one of the rarer things.
    Whim,
    /// A scheduler looks after its connection.
    Watch,
    /// A scheduler has stored an update and says so.
    Acknowledge(Box<v1::scheduler::call::Acknowledge>),
}

/// Something that happens on an agent's machine.
#[derive(Debug)]
pub(crate) enum Outer {
    /// An executor does its next thing.
    Executor(ContainerId),
    /// An executor is told something, if the connection still stands.
    Hears(ContainerId, ConnectionId, Box<v1::executor::Event>),
    /// The agent has ended an executor's connection.
    Closed(ContainerId, ConnectionId),
    /// A task of an executor goes on.
    Progress(ContainerId, String),
    /// A container ends.
    Ends(ContainerId, i32),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) now: Now,
    pub(crate) dice: Dice,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    pub(crate) shape: Shape,
    pub(crate) ledger: Ledger,
    pub(crate) sabotage: Option<Sabotage>,
    /// Which process of each machine runs.
    pub(crate) running: BTreeMap<Host, u32>,
    /// Who leads, as whoever asks is told.
    pub(crate) leader: Option<Upid>,
    /// Whether things may still go wrong.
    pub(crate) turmoil: bool,
    schedule: BTreeMap<(Instant, u64), Happening>,
    next: u64,
}

impl Core {
    pub(crate) fn new(seed: u64, traced: bool, sabotage: Option<Sabotage>) -> Self {
        let mut dice = match sabotage {
            Some(Sabotage::Indeterminate) => Dice::new(RandomState::new().hash_one(seed)),
            _ => Dice::new(seed),
        };
        let shape = Shape::new(&mut dice);
        Self {
            now: Now { monotonic: Instant::default(), wall: Timestamp::new(EPOCH) },
            dice,
            net: Net::default(),
            trace: Trace::new(traced),
            shape,
            ledger: Ledger::default(),
            sabotage,
            running: BTreeMap::new(),
            leader: None,
            turmoil: true,
            schedule: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn at(&mut self, at: Instant, happening: Happening) {
        self.next += 1;
        self.schedule.insert((at.max(self.now.monotonic), self.next), happening);
    }

    pub(crate) fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now.monotonic + wait, happening);
    }

    /// Goes to the next moment at which something happens.
    pub(crate) fn advance(&mut self) -> Option<Happening> {
        let ((at, _), happening) = self.schedule.pop_first()?;
        self.now.monotonic = at;
        self.now.wall = Timestamp::new(EPOCH + at.since_start());
        Some(happening)
    }

    pub(crate) fn trace(&mut self, who: impl std::fmt::Display, what: impl FnOnce() -> String) {
        if self.trace.is_kept() {
            self.trace.add(self.now.monotonic, who, &what());
        }
    }

    pub(crate) fn is_running(&self, node: Node) -> bool {
        self.running.get(&node.host) == Some(&node.run)
    }

    /// A connection to whoever listens at `address`: the current one or a new one.
    pub(crate) fn reach(&mut self, from: Node, address: SocketAddrV4) -> Option<PipeId> {
        let to = *self.net.listeners.get(&address)?;
        Some(self.pipe(from, to, Lane::Messages))
    }

    /// The current connection between two processes, or a new one.
    pub(crate) fn pipe(&mut self, from: Node, to: Node, lane: Lane) -> PipeId {
        let now = self.now.monotonic;
        self.net.current(from, to, lane).unwrap_or_else(|| self.net.open(from, to, lane, now))
    }

    /// A new connection that `from` watches; if nobody listens its end is noticed soon.
    pub(crate) fn link(&mut self, from: Node, address: SocketAddrV4) -> PipeId {
        let now = self.now.monotonic;
        match self.net.listeners.get(&address).copied() {
            Some(to) => self.net.open(from, to, Lane::Messages, now),
            None => {
                let nobody = Node { host: from.host, run: 0 };
                let pipe = self.net.open(from, nobody, Lane::Messages, now);
                self.net.shut(pipe, 0);
                let wait = self.dice.millis(1, 100);
                self.after(wait, Happening::Noticed(from, pipe));
                pipe
            }
        }
    }

    /// Sends on a connection; what is sent on one that broke is lost.
    pub(crate) fn send(&mut self, id: PipeId, parcel: Parcel) {
        let delay = match self.dice.below(100) {
            n if n < self.shape.slow => {
                self.ledger.count("messages that were slow");
                self.dice.millis(20, 3000)
            }
            _ => self.dice.between(Duration::from_micros(50), Duration::from_millis(4)),
        };
        let at = self.now.monotonic + delay;
        let Some(pipe) = self.net.pipes.get_mut(&id).filter(|pipe| !pipe.broken) else { return };
        pipe.last = pipe.last.max(at);
        let at = pipe.last;
        pipe.parcels.push_back((at, parcel));
        if pipe.parcels.len() == 1 {
            self.at(at, Happening::Arrives(id));
        }
    }

    /// The next parcel of a connection, if it gets through now.
    pub(crate) fn arrival(&mut self, id: PipeId) -> Option<(Node, Node, Lane, Parcel)> {
        let now = self.now.monotonic;
        let (from, to) = self.net.pipes.get(&id).map(|pipe| (pipe.from, pipe.to))?;
        if let Some(until) = self.net.cut(from.host, to.host, now) {
            self.doom(id);
            self.at(until, Happening::Arrives(id));
            return None;
        }
        let pipe = self.net.pipes.get_mut(&id)?;
        let lane = pipe.lane;
        let (_, parcel) = pipe.parcels.pop_front()?;
        let next = pipe.parcels.front().map(|(at, _)| *at);
        if self.net.overtakes(id, from, to, lane) {
            self.ledger.count("messages that overtook others");
        }
        if let Some(at) = next {
            self.at(at, Happening::Arrives(id));
        }
        self.net.collect(id);
        Some((from, to, lane, parcel))
    }

    /// A connection over which nothing gets through may break for it.
    fn doom(&mut self, id: PipeId) {
        let fate = self.dice.percent(60);
        let wait = self.dice.secs(1, 90);
        let Some(pipe) = self.net.pipes.get_mut(&id).filter(|pipe| !pipe.doomed) else { return };
        pipe.doomed = true;
        if fate {
            self.after(wait, Happening::Breaks(id));
        }
    }

    /// Breaks a connection. What it carries arrives from the front, up to somewhere.
    pub(crate) fn break_pipe(&mut self, id: PipeId) {
        let Some(pipe) = self.net.pipes.get(&id).filter(|pipe| !pipe.broken) else { return };
        let (from, to, lane, waiting) = (pipe.from, pipe.to, pipe.lane, pipe.parcels.len());
        let cut = self.net.cut(from.host, to.host, self.now.monotonic).is_some();
        let alive = self.is_running(to);
        let kept = if cut || !alive { 0 } else { self.dice.index(waiting + 1) };
        self.trace("network", || {
            format!("{from} -> {to} {lane:?} breaks; {} messages are lost", waiting - kept)
        });
        self.ledger.count("connections that broke");
        self.ledger.count_many("messages that were lost", waiting - kept);
        self.net.shut(id, kept);
        // Whoever is watching notices, each in its own time.
        for node in [from, to] {
            if !self.is_running(node) || (node == to && lane == Lane::Messages) {
                continue;
            }
            let wait = if cut { self.dice.secs(1, 60) } else { self.dice.millis(1, 2000) };
            self.after(wait, Happening::Noticed(node, id));
        }
        for tied in self.net.tied_to(id) {
            self.break_pipe(tied);
        }
    }

    /// A process is gone: so are its connections.
    pub(crate) fn process_ended(&mut self, node: Node) {
        self.running.remove(&node.host);
        self.net.listeners.retain(|_, listener| *listener != node);
        for pipe in self.net.of(node) {
            self.break_pipe(pipe);
        }
    }

    /// A component asks who leads and is told some time later.
    pub(crate) fn detect(&mut self, node: Node) {
        let wait = self.dice.millis(1, 500);
        self.after(wait, Happening::In(node, Inner::Detected));
    }
}
