//! The master's decisions: events and the time go in, effects come out.
//!
//! No sockets, no files, no clock and no randomness in here. The driver (the `runtime` module)
//! owns the one [`Engine`], hands it the events of a batch one by one, executes the effects in
//! their order and publishes a snapshot after each batch:
//!
//! ```text
//! let mut effects = Vec::new();
//! for event in batch {
//!     effects.extend(engine.handle(event, now)); // one mutation
//! }
//! effects.extend(engine.settle(now));           // offers, once for all of it
//! // group the Effect::Persist of the batch, make them durable, then execute the rest in order
//! snapshots.store(engine.snapshot());           // after the writes: nobody reads what may be lost
//! // wait for the next event, at the longest until engine.next_deadline()
//! ```
//!
//! Historic words: the wire says *slave* where we say *agent*.

mod agents;
pub mod announcement;
mod archive;
mod authentication;
mod books;
mod calls;
mod claims;
pub mod collections;
pub mod command;
pub mod config;
pub mod counters;
mod drain;
mod driver;
pub mod effect;
pub mod event;
mod events;
mod frameworks;
mod invariants;
mod inverse_offers;
pub mod message;
mod offers;
pub mod operations;
mod operator;
mod out;
mod pace;
mod reconcile;
pub mod refusal;
mod registration;
mod removals;
pub mod state;
mod status;
mod tasks;
pub mod throttle;
mod timers;
mod updates;
pub mod validate;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use allocator::{Allocator, Rules};
use libprocess::sender::BoundPid;
use libprocess::upid::Upid;
use model::id::{AgentId, FrameworkId, TaskId};
use model::identity::{Identity, Kind};
use model::time::{Instant, Now};
use registry::{Operation, Standing};
use wire::resources::{Form, read, write};
use wire::v1;

use agents::Observer;
use announcement::Announcement;
use collections::{History, Map};
use config::Config;
use counters::{Counter, Counters};
use effect::{Effect, Peer};
use event::{Event, SubscriptionId};
use message::{Inbound, Sender};
use out::{MASTER, Out, quoted};
use pace::Paced;
use removals::Removal;
use state::settings::Settings;
use state::{DepartedAgent, RecoveredAgent, Snapshot, State};
use throttle::Throttle;
use timers::{Timer, Timers};

/// The master's decisions.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    state: State,
    allocator: Allocator,
    /// Where registered agents are.
    by_peer: BTreeMap<Peer, AgentId>,
    /// Whose registered agents are, for those that have an identity: each has one at most.
    by_identity: BTreeMap<Identity, AgentId>,
    /// Who watches which agent, by the observer's number.
    observers: BTreeMap<u64, Observer>,
    /// Disconnected agents, and when they are given up.
    away: BTreeMap<AgentId, Instant>,
    /// Current streams.
    subscriptions: BTreeMap<SubscriptionId, FrameworkId>,
    /// Drivers that are subscribed, by their addresses.
    by_driver: BTreeMap<Upid, FrameworkId>,
    /// Agents that drain and on which something has ended since the last event.
    maybe_drained: BTreeSet<AgentId>,
    /// Tasks to be killed, until they end.
    kills: BTreeMap<(FrameworkId, TaskId), Option<v1::KillPolicy>>,
    /// Agents that are to become unreachable, if that is limited.
    removals: Option<Paced<Removal>>,
    throttle: Throttle,
    /// Questions of frameworks that wait for their turn.
    questions: BTreeMap<FrameworkId, reconcile::Waiting>,
    timers: Timers,
    /// What the operators' streams are told of the event at hand.
    announced: Vec<Announcement>,
    /// How many agents the registry knew at start.
    recovered_at_start: usize,
    /// Operations whose frameworks are not known, by these.
    orphans: BTreeMap<FrameworkId, BTreeSet<state::OperationUuid>>,
    /// Makes names for operations.
    operation_names: operations::Names,
    next_agent: u64,
    next_framework: u64,
    next_observer: u64,
    next_offer: u64,
}

impl Engine {
    /// An engine for a master that has become the leader and has read the registry, and what it
    /// does first. `seed` decides what the allocator leaves to chance; the same events with the
    /// same seed give the same effects.
    #[must_use]
    pub fn new(
        config: Config,
        recovered: registry::Contents,
        seed: u64,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let domain = config.master.domain.as_ref().and_then(|d| d.fault_domain.as_ref());
        let rules = Rules {
            min_allocatable: config.min_allocatable_resources.clone(),
            filter_gpu_resources: config.filter_gpu_resources,
            allocation_interval: config.allocation_interval,
            region: domain.map(|domain| domain.region.name.clone()),
            role_sorter: config.role_sorter,
            framework_sorter: config.framework_sorter,
            fair_sharing_excluded_resource_names: config
                .fair_sharing_excluded_resource_names
                .clone(),
        };
        let mut engine = Self {
            state: State {
                master: Arc::new(config.master.clone()),
                started: now.wall,
                elected: now.wall,
                agents: Map::default(),
                recovered_agents: Map::default(),
                unreachable_agents: Map::default(),
                gone_agents: Map::default(),
                frameworks: Map::default(),
                completed_frameworks: History::default(),
                offers: Map::default(),
                inverse_offers: Map::default(),
                principals: Map::default(),
                operations: Map::default(),
                settings: Settings::default(),
                counters: Counters::default(),
            },
            allocator: Allocator::new(rules, seed),
            by_peer: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            observers: BTreeMap::new(),
            away: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            by_driver: BTreeMap::new(),
            maybe_drained: BTreeSet::new(),
            kills: BTreeMap::new(),
            removals: Self::removals(config.agent_removal_interval),
            throttle: Throttle::new(&config.rate_limits),
            questions: BTreeMap::new(),
            timers: Timers::default(),
            announced: Vec::new(),
            recovered_at_start: 0,
            orphans: BTreeMap::new(),
            operation_names: operations::Names::new(&config.master.id, seed),
            next_agent: 0,
            next_framework: 0,
            next_observer: 0,
            next_offer: 0,
            config,
        };
        if let Some(hosts) = engine.config.whitelist.clone() {
            let event = allocator::Event::Whitelisted(Some(hosts));
            engine.allocator.handle(event, now.monotonic);
        }
        let mut out = Out::new(now);
        engine.recover(recovered, &mut out);
        (engine, out.into_effects())
    }

    fn recover(&mut self, contents: registry::Contents, out: &mut Out) {
        out.persist(Operation::PutMaster(Box::new(self.config.master.clone())));
        self.recover_settings(contents.quotas, contents.weights, contents.machines, out);
        for (id, record) in contents.agents {
            let owner = record.owner.as_far_as(self.config.provable);
            let orders = record.orders;
            match record.standing {
                Standing::Admitted(mut info) => {
                    if let Ok(resources) = read(&info.resources) {
                        info.resources = write(&resources, Form::PostRefinement);
                    }
                    let agent = RecoveredAgent { info: Arc::new(*info), owner, orders };
                    self.state.recovered_agents.insert_mut(id, Arc::new(agent));
                }
                Standing::Gone { since } => {
                    let agent = DepartedAgent { since, owner, orders };
                    self.state.gone_agents.insert_mut(id, agent);
                }
                Standing::Unreachable { since } => {
                    let agent = DepartedAgent { since, owner, orders };
                    self.state.unreachable_agents.insert_mut(id, agent);
                }
            }
        }
        self.recovered_at_start = self.state.recovered_agents.size();
        self.pause_for_quotas(out);
        out.info(format!("Recovered {} agents from the registry", self.recovered_at_start));
        let now = out.now.monotonic;
        self.timers.set(now + self.config.agent_reregister_timeout, Timer::Recovery);
        self.timers.set(now + self.config.registry_gc_interval, Timer::RecordsAge);
    }

    /// Takes one event and says what to do about it. After the last event of a batch comes
    /// [`Engine::settle`].
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Out::new(now);
        match event {
            Event::Call { request, caller, stream, call } => {
                let answer = self.call(&caller, stream, *call, &mut out);
                out.answer(request, answer);
            }
            Event::Deadline => {}
            Event::Exited { pid, identity } => self.take_exit(pid, identity, &mut out),
            Event::Message { from, to, message } => {
                self.take_message(from, to, message, &mut out);
            }
            Event::Operator { request, command } => {
                let answer = self.command(command, &mut out);
                out.answer(request, answer);
            }
            Event::Subscribe { subscription, caller, call } => {
                self.subscribe(subscription, &caller, *call, &mut out);
            }
            Event::Unsubscribed { subscription } => self.unsubscribed(subscription, &mut out),
            Event::Whitelisted(hosts) => {
                let event = allocator::Event::Whitelisted(Some(hosts));
                self.allocator.handle(event, now.monotonic);
            }
        }
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            self.due(timer, &mut out);
        }
        self.finish(out)
    }

    /// Ends a batch of events: offers what they have freed, once for all of them.
    pub fn settle(&mut self, now: Now) -> Vec<Effect> {
        let mut out = Out::new(now);
        self.finish_draining(&mut out);
        self.make_offers(&mut out);
        let effects = self.finish(out);
        debug_assert_eq!(
            self.check_invariants(),
            Ok(()),
            "the engine's books contradict each other"
        );
        effects
    }

    fn finish(&mut self, mut out: Out) -> Vec<Effect> {
        for announcement in self.announced.drain(..) {
            out.push(Effect::Announce(announcement));
        }
        out.into_effects()
    }

    /// When [`Event::Deadline`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.allocator.next_deadline()].into_iter().flatten().min()
    }

    /// The state after the events so far; costs a few pointers.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.clone()
    }

    /// How many allocation runs there were, for the metric `allocator/mesos/allocation_runs`.
    #[must_use]
    pub fn allocation_runs(&self) -> u64 {
        self.allocator.runs()
    }

    /// How many filters there are of each role that frameworks want offers in, or that has
    /// something.
    #[must_use]
    pub fn offer_filters(&self) -> Vec<(String, usize)> {
        let roles = self.allocator.role_shares().map(|(role, _)| role);
        roles.map(|role| (role.to_string(), self.allocator.active_filters(role))).collect()
    }

    fn due(&mut self, timer: Timer, out: &mut Out) {
        match timer {
            Timer::Failover(id) => self.failover_timed_out(&id, out),
            Timer::InverseOffer(id) => self.rescind_inverse(&id, out),
            Timer::Reconciliation(id) => self.reconcile_on(&id, out),
            Timer::Held(limit) => self.held_due(&limit, out),
            Timer::Offer(id) => self.rescind(&id, out),
            Timer::Ping(number) => self.ping(number, out),
            Timer::RecordsAge => self.prune_records(out),
            Timer::Recovery => self.recovery_over(out),
            Timer::Removal => self.removal_due(out),
            Timer::Reregistration(id) => self.reregistration_timed_out(&id, out),
        }
    }

    fn message(&mut self, from: &BoundPid, to: &str, message: Inbound, out: &mut Out) {
        let name = message.name();
        let registers = message.registers();
        if let Err(why) = self.try_message(from, to, message, out) {
            if registers {
                authentication::refused(from, name, why.clone(), out);
            }
            self.refuse(from, name, &why, out);
        }
    }

    fn try_message(
        &mut self,
        from: &BoundPid,
        to: &str,
        message: Inbound,
        out: &mut Out,
    ) -> Result<(), String> {
        if to != MASTER && !matches!(message, Inbound::Pong(_)) {
            return Err(format!("{} does not understand it", quoted(to)));
        }
        // Each message says in the body which agent or framework it is about, and is held to the
        // one that registered from where it comes.
        if message.sender() == Sender::Driver {
            return self.driver_message(from, message, out);
        }
        if !from.may_speak_as(Kind::Agent) {
            return Err("what it has proved does not let it be an agent".to_owned());
        }
        match message {
            Inbound::ExitedExecutor(message) => self.exited_executor(from, &message, out),
            Inbound::ExecutorToFramework(message) => self.executor_to_framework(from, message, out),
            Inbound::Pong(_) => self.pong(from, to, out),
            Inbound::RegisterAgent(message) => self.register(from, message, out),
            Inbound::ReregisterAgent(message) => self.reregister(from, message, out),
            Inbound::StatusUpdate(message) => self.status_update(from, message, out),
            Inbound::UnregisterAgent(message) => self.unregister(from, &message, out),
            Inbound::UpdateAgent(message) => self.update_agent(from, message, out),
            Inbound::UpdateOperationStatus(message) => self.operation_status(from, message, out),
            other => Err(format!("{} is not an agent's", other.name())),
        }
    }

    /// Counts a message that never became an event: no sender could be bound to it, or it did not
    /// decode.
    pub fn count_dropped_message(&mut self) {
        self.state.counters.count(Counter::DroppedMessages);
    }
}
