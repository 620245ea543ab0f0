//! The master's process: the engine, and around it what its driver does. Writes take time; what
//! arrives meanwhile waits. A crash may come before a write, after it, or between two effects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use libprocess::upid::Upid;
use master::engine::Engine;
use master::engine::config::Config;
use master::engine::effect::{Effect, Level, Peer};
use master::engine::event::{Caller, Event, RequestId, Stream, SubscriptionId};
use master::engine::message::{Inbound, Outbound};
use model::id::AgentId;
use model::principal::{Kinds, Owner};
use model::time::Instant;
use registry::{Operation, Registry};
use wire::v1;
use wire::v1::scheduler;

use crate::core::{Core, Happening, Inner};
use crate::names::{Host, Node, bound, certificate, master_pid};
use crate::net::{Lane, Parcel, PipeId};
use crate::offering;
use crate::sabotage::Sabotage;

const HEARTBEAT: Duration = Duration::from_secs(15);

/// Where a master that is going to crash does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// While a batch is being written, which happens or not.
    Writing,
    /// After so many effects.
    Effect(usize),
}

/// Something that waits for its turn.
#[derive(Debug)]
enum Turn {
    /// To be written, then to be done.
    Decided(Vec<Operation>, Vec<Effect>),
    /// The end of a connection, to be judged when the links decided upon before it are made.
    Noticed(PipeId),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) node: Node,
    pub(crate) pid: Upid,
    pub(crate) engine: Engine,
    /// What was decided or has happened and waits for what was decided before to be durable.
    queue: VecDeque<Turn>,
    /// What is being written, and how many turns rest on it.
    writing: Option<(Vec<Operation>, usize)>,
    /// A turn is being taken: what comes of it waits behind the others.
    taking: bool,
    armed: Option<Instant>,
    links: BTreeMap<Upid, (PipeId, Peer)>,
    streams: BTreeMap<SubscriptionId, PipeId>,
    pending: BTreeMap<RequestId, (Node, u64)>,
    next: u64,
    pub(crate) crash: Option<CrashPoint>,
    /// It has crashed: nothing of it is left to be asked.
    pub(crate) dead: bool,
}

fn caller(host: Host) -> Caller {
    let identity = certificate(host);
    let principal = identity.as_ref().map(|identity| identity.name().to_owned());
    let owner = Owner { certificate: identity.as_ref().map(ToString::to_string), principal: None };
    let kinds = identity.as_ref().map_or(Kinds::ANY, |identity| Kinds::only(identity.kind()));
    Caller { principal, identity, owner, kinds }
}

impl Master {
    /// A new leader, which has read `registry`.
    pub(crate) fn start(run: u32, registry: &mut dyn Registry, core: &mut Core) -> Self {
        let node = Node { host: Host::Master, run };
        let place = if core.shape.announced { u8::try_from(run % 2).unwrap_or(0) } else { 0 };
        let pid = master_pid(place);
        let mut config = Config::new(v1::MasterInfo {
            id: format!("m{run}"),
            ip: 0,
            port: 5050,
            hostname: Some("master".to_owned()),
            pid: Some(pid.to_string()),
            ..v1::MasterInfo::default()
        });
        config.agent_reregister_timeout = core.shape.reregister_timeout;
        config.offer_timeout = core.shape.offer_timeout;
        config.max_completed_tasks_per_framework = 5;
        let contents = match registry.recover() {
            Ok(contents) => contents,
            Err(error) => {
                core.ledger.violation(format!("the registry cannot be read: {error}"));
                registry::Contents::default()
            }
        };
        core.trace(node, || format!("starts with {} agents on record", contents.agents.len()));
        let seed = core.dice.number();
        let (engine, effects) = Engine::new(config, contents, seed, core.now);
        core.running.insert(Host::Master, run);
        core.net.listeners.insert(pid.address, node);
        core.leader = Some(pid.clone());
        let mut master = Self {
            node,
            pid,
            engine,
            queue: VecDeque::new(),
            writing: None,
            taking: false,
            armed: None,
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            pending: BTreeMap::new(),
            next: 0,
            crash: None,
            dead: false,
        };
        master.settle(effects, core);
        master
    }

    /// Something arrives over the network.
    pub(crate) fn receive(&mut self, from: Node, via: PipeId, parcel: Parcel, core: &mut Core) {
        let event = match parcel {
            Parcel::Message { from: pid, to, name, body } => match Inbound::decode(name, body) {
                Ok(message) => {
                    let from = bound(pid, certificate(from.host), via);
                    Event::Message { from, to, message: Box::new(message) }
                }
                Err(error) => {
                    core.ledger.violation(format!("the master cannot read {name}: {error}"));
                    return;
                }
            },
            Parcel::FromDriver { from: pid, message } => {
                let declines = matches!(&*message, Inbound::Call(call) if call.decline.is_some());
                if declines && core.sabotage == Some(Sabotage::DeafToDeclines) {
                    return;
                }
                let from = bound(pid, certificate(from.host), via);
                Event::Message { from, to: "master".to_owned(), message }
            }
            Parcel::Subscribe(mut call) => {
                if core.sabotage == Some(Sabotage::LostConstraints)
                    && let Some(wish) = &mut call.subscribe
                {
                    wish.offer_constraints = None;
                }
                self.next += 1;
                let subscription = SubscriptionId(self.next);
                let lane = Lane::Events(subscription);
                let pipe = core.pipe(self.node, from, lane);
                self.streams.insert(subscription, pipe);
                core.after(HEARTBEAT, Happening::In(self.node, Inner::Heartbeat(subscription)));
                if let Some(pipe) = core.net.pipes.get_mut(&pipe) {
                    pipe.tied = Some(via);
                }
                if !core.is_running(from) || !core.net.is_open(via) {
                    core.break_pipe(pipe);
                }
                Event::Subscribe { subscription, caller: caller(from.host), call }
            }
            Parcel::Call { call, .. }
                if call.decline.is_some() && core.sabotage == Some(Sabotage::DeafToDeclines) =>
            {
                return;
            }
            Parcel::Call { number, stream, call } => {
                let request = self.request(from, number);
                let caller = caller(from.host);
                Event::Call { request, caller, stream: Stream::Of(stream), call }
            }
            Parcel::Command { number, command } => {
                Event::Operator { request: self.request(from, number), command: *command }
            }
            Parcel::ToDriver(_)
            | Parcel::Event { .. }
            | Parcel::EndOfStream
            | Parcel::Answer { .. } => return,
        };
        self.give(event, core);
    }

    fn request(&mut self, from: Node, number: u64) -> RequestId {
        self.next += 1;
        let request = RequestId(self.next);
        self.pending.insert(request, (from, number));
        request
    }

    pub(crate) fn happens(&mut self, inner: Inner, registry: &mut dyn Registry, core: &mut Core) {
        match inner {
            Inner::Deadline => {
                self.armed = None;
                if self.engine.next_deadline().is_some_and(|at| at <= core.now.monotonic) {
                    self.give(Event::Deadline, core);
                }
            }
            Inner::Written => self.written(registry, core),
            Inner::Heartbeat(subscription) => {
                if let Some(pipe) = self.streams.get(&subscription) {
                    let mut event = scheduler::Event::default();
                    event.set_type(scheduler::event::Type::Heartbeat);
                    let event = Box::new(event);
                    core.send(*pipe, Parcel::Event { stream: subscription, event });
                    let again = Happening::In(self.node, Inner::Heartbeat(subscription));
                    core.after(HEARTBEAT, again);
                }
            }
            _ => {}
        }
        self.arm(core);
    }

    /// A connection broke.
    pub(crate) fn noticed(&mut self, pipe: PipeId, core: &mut Core) {
        if !self.queue.is_empty() {
            return self.queue.push_back(Turn::Noticed(pipe));
        }
        self.judge(pipe, core);
    }

    fn judge(&mut self, pipe: PipeId, core: &mut Core) {
        let link = self.links.iter().find(|(_, (of, _))| *of == pipe);
        if let Some((pid, (_, peer))) = link.map(|(pid, link)| (pid.clone(), link.clone())) {
            self.links.remove(&pid);
            core.trace(self.node, || format!("the link to {pid} broke"));
            return self.give(Event::Exited { pid, identity: peer.identity }, core);
        }
        let stream = self.streams.iter().find(|(_, of)| **of == pipe).map(|(id, _)| *id);
        if let Some(subscription) = stream {
            self.streams.remove(&subscription);
            core.trace(self.node, || format!("stream {} broke", subscription.0));
            self.give(Event::Unsubscribed { subscription }, core);
        }
    }

    /// Decides about an event, and about more that come at the same moment.
    fn give(&mut self, event: Event, core: &mut Core) {
        core.trace(self.node, || format!("hears {}", brief(&event)));
        let mut effects = self.engine.handle(event, core.now);
        effects.extend(self.engine.settle(core.now));
        offering::check(&self.engine, &effects, core);
        self.settle(effects, core);
        self.arm(core);
    }

    /// Lets what was decided wait for its turn, which may be now.
    fn settle(&mut self, effects: Vec<Effect>, core: &mut Core) {
        let mut operations = Vec::new();
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(operation) => operations.push(operation),
                effect => rest.push(effect),
            }
        }
        self.queue.push_back(Turn::Decided(operations, rest));
        if self.writing.is_none() && !self.taking {
            self.advance(core);
        }
    }

    /// Does what rests on no write, and begins to write what the rest rests on, all in one.
    fn advance(&mut self, core: &mut Core) {
        let at_once = |turn: &Turn| match turn {
            Turn::Decided(operations, _) => operations.is_empty(),
            Turn::Noticed(_) => true,
        };
        while self.queue.front().is_some_and(at_once) {
            self.take_turn(core);
            if self.dead {
                return;
            }
        }
        let mut operations = Vec::new();
        for turn in &self.queue {
            if let Turn::Decided(of, _) = turn {
                operations.extend(of.iter().cloned());
            }
        }
        if operations.is_empty() {
            return;
        }
        for operation in &operations {
            core.trace(self.node, || format!("writes {}", brief_operation(operation)));
        }
        let wait = if core.dice.percent(5) {
            core.dice.millis(100, 3000)
        } else {
            core.dice.millis(1, 20)
        };
        self.writing = Some((operations, self.queue.len()));
        core.after(wait, Happening::In(self.node, Inner::Written));
        if self.crash == Some(CrashPoint::Writing) {
            // The batch is whole or not there at all; which, the crash decides.
            core.ledger.count("crashes of masters while they wrote");
            self.dead = true;
        }
    }

    fn take_turn(&mut self, core: &mut Core) {
        self.taking = true;
        match self.queue.pop_front() {
            Some(Turn::Decided(_, effects)) => self.carry_out(effects, core),
            Some(Turn::Noticed(pipe)) => self.judge(pipe, core),
            None => {}
        }
        self.taking = false;
    }

    fn written(&mut self, registry: &mut dyn Registry, core: &mut Core) {
        let Some((operations, turns)) = self.writing.take() else { return };
        commit(&operations, registry, core);
        for _ in 0..turns {
            self.take_turn(core);
            if self.dead {
                return;
            }
        }
        self.advance(core);
    }

    /// The end of the process. A write in flight reaches the disk or not, as a whole.
    pub(crate) fn crashes(&mut self, registry: &mut dyn Registry, core: &mut Core) {
        self.dead = true;
        if let Some((operations, _)) = self.writing.take() {
            let reached = core.dice.percent(50);
            core.trace(self.node, || format!("its last write reaches the disk: {reached}"));
            if reached {
                commit(&operations, registry, core);
            }
        }
        core.trace(self.node, || "crashes".to_owned());
        core.ledger.count("crashes of masters");
        core.process_ended(self.node);
        // Whoever knows one address only knows it still.
        if core.shape.announced {
            core.leader = None;
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>, core: &mut Core) {
        for (n, effect) in effects.into_iter().enumerate() {
            if self.crash == Some(CrashPoint::Effect(n)) {
                core.ledger.count("crashes of masters between two effects");
                self.dead = true;
                return;
            }
            self.execute(effect, core);
        }
    }

    fn execute(&mut self, effect: Effect, core: &mut Core) {
        match effect {
            Effect::Answer { request, answer } => {
                let Some((node, number)) = self.pending.remove(&request) else {
                    core.ledger.violation(format!("{request:?} is answered, but was not asked"));
                    return;
                };
                let pipe = core.pipe(self.node, node, Lane::Answers);
                core.send(pipe, Parcel::Answer { number, answer });
            }
            Effect::Announce(_) | Effect::Audit(_) | Effect::EndSession { .. } => {}
            Effect::CloseStream { subscription } => {
                if let Some(pipe) = self.streams.remove(&subscription) {
                    core.send(pipe, Parcel::EndOfStream);
                }
            }
            Effect::Link { peer } => {
                let pipe = core.link(self.node, peer.pid.address);
                self.links.insert(peer.pid.clone(), (pipe, peer));
            }
            Effect::Unlink { peer } => {
                self.links.remove(&peer.pid);
            }
            Effect::Log { level, text } => {
                let mark = if level == Level::Info { "-" } else { "!" };
                core.trace(self.node, || format!("{mark} {text}"));
            }
            Effect::Persist(operation) => {
                core.ledger.violation(format!("{operation:?} was not written before"));
            }
            Effect::Send { from, to, message } => self.post(&from, &to, message, core),
            Effect::Stop { reason } => {
                core.trace(self.node, || format!("stops: {reason}"));
                self.dead = true;
            }
            Effect::Stream { subscription, event } => {
                if let Some(pipe) = self.streams.get(&subscription) {
                    core.send(*pipe, Parcel::Event { stream: subscription, event });
                }
            }
        }
    }

    fn post(&mut self, from: &str, to: &Peer, message: Arc<Outbound>, core: &mut Core) {
        if let Outbound::AgentRegistered(told) = &*message {
            core.ledger.count("registrations");
            if let Ok(id) = told.slave_id.value.parse::<AgentId>() {
                core.ledger.admitted.insert(id);
                core.ledger.record_changed = true;
            }
        }
        if let Outbound::ShutdownFramework(message) = &*message {
            core.ledger.ended.insert(message.framework_id.value.clone());
        }
        let Some(pipe) = core.reach(self.node, to.pid.address) else {
            core.trace(self.node, || {
                format!("{} to {} has nobody to go to", message.name(), to.pid)
            });
            return;
        };
        let listener = core.net.pipes.get(&pipe).map(|pipe| pipe.to.host);
        match listener {
            Some(Host::Agent(_)) => {
                let sender = Upid::new(from, self.pid.address);
                let (name, body) = (message.name(), message.encode());
                if core.sabotage == Some(Sabotage::TasksTwice) {
                    self.run_elsewhere(&message, core);
                }
                let to = to.pid.id.clone();
                core.send(pipe, Parcel::Message { from: sender, to, name, body });
            }
            _ => core.send(pipe, Parcel::ToDriver(Box::new(Arc::unwrap_or_clone(message)))),
        }
    }

    /// A network that is broken on purpose has a task run on another agent, too.
    fn run_elsewhere(&self, message: &Outbound, core: &mut Core) {
        let Outbound::RunTask(message) = message else { return };
        let state = self.engine.snapshot();
        let id = &message.task.agent_id.value;
        let Some(other) = state.agents.values().find(|agent| agent.id.as_str() != id) else {
            return;
        };
        let mut message = message.clone();
        message.task.agent_id.value = other.id.to_string();
        message.resource_version_uuids.clear();
        let message = Outbound::RunTask(message);
        if let Some(pipe) = core.reach(self.node, other.peer.pid.address) {
            let (name, body) = (message.name(), message.encode());
            let (from, to) = (self.pid.clone(), other.peer.pid.id.clone());
            core.send(pipe, Parcel::Message { from, to, name, body });
        }
    }

    fn arm(&mut self, core: &mut Core) {
        let Some(at) = self.engine.next_deadline() else { return };
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            core.at(at, Happening::In(self.node, Inner::Deadline));
        }
    }
}

fn commit(operations: &[Operation], registry: &mut dyn Registry, core: &mut Core) {
    core.ledger.record_changed = true;
    for operation in operations {
        if let Operation::DeleteAgent(id) = operation {
            core.ledger.admitted.remove(id);
            core.ledger.departed.insert(id.clone());
            core.ledger.forgotten.insert(id.clone());
        }
        if let Operation::PutAgent(record) = operation
            && !matches!(record.standing, registry::Standing::Admitted(_))
        {
            core.ledger.departed.insert(record.id.clone());
        }
    }
    let forgets = core.sabotage == Some(Sabotage::ForgetfulRegistry) && core.dice.percent(30);
    if !forgets && let Err(error) = registry.commit(operations) {
        core.ledger.violation(format!("a write failed: {error}"));
    }
}

fn brief_operation(operation: &Operation) -> String {
    match operation {
        Operation::DeleteAgent(id) => format!("that {id} is forgotten"),
        Operation::PutAgent(record) => {
            let standing = match record.standing {
                registry::Standing::Admitted(_) => "admitted",
                registry::Standing::Gone { .. } => "gone",
                registry::Standing::Unreachable { .. } => "unreachable",
            };
            format!("that {} is {standing}", record.id)
        }
        Operation::PutMaster(master) => format!("that {} leads", master.id),
        other => format!("{other:?}"),
    }
}

fn brief(event: &Event) -> String {
    match event {
        Event::Call { call, .. } => {
            format!("{} of {:?}", call.r#type().as_str_name(), call.framework_id)
        }
        Event::Deadline => "a deadline".to_owned(),
        Event::Exited { pid, .. } => format!("the end of the link to {pid}"),
        Event::Message { from, message, .. } => match &**message {
            Inbound::StatusUpdate(message) => format!(
                "that {} is {} ({:?}) from {}",
                message.update.status.task_id.value,
                message.update.status.state().as_str_name(),
                message.update.latest_state,
                from.upid()
            ),
            Inbound::Call(call) => format!("{} of {}", call.r#type().as_str_name(), from.upid()),
            message => format!("{} of {}", message.name(), from.upid()),
        },
        Event::Operator { command, .. } => format!("{command:?}"),
        Event::Subscribe { subscription, call, .. } => {
            format!("SUBSCRIBE of {:?} as stream {}", call.framework_id, subscription.0)
        }
        Event::Whitelisted(hosts) => format!("that only {hosts:?} are offered"),
        Event::Unsubscribed { subscription } => format!("the end of stream {}", subscription.0),
    }
}
