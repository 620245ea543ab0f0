//! A cluster without anything but the engine: agents and schedulers are values, time is a number,
//! and the registry is what the engine has asked to persist.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alcazar_master::engine::Engine;
use alcazar_master::engine::config::Config;
use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::effect::{Accepted, Effect, Peer};
use alcazar_master::engine::event::{
    Caller, Event, OperatorCommand, RequestId, Stream, SubscriptionId,
};
use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::refusal::Refusal;
use alcazar_master::engine::state::State;
use libprocess::sender::{
    Binding, BoundPid, ClaimedPid, Finding, PeerFacts, Session, SessionId, SessionProof, Tie, bind,
};
use libprocess::upid::Upid;
use model::id::{AgentId, FrameworkId, TaskId};
use model::identity::Identity;
use model::principal::{Kinds, Owner};
use model::resources::parse;
use model::role::Role;
use model::time::{Now, Timestamp};
use wire::resources::{Form, write};
use wire::v1::scheduler::{self, call, event};
use wire::v1::{TaskState, framework_info};
use wire::{internal, v1};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    pub(crate) registry: registry::Contents,
    config: Config,
    next: u64,
}

/// The effects of something, in their order.
#[derive(Debug)]
pub(crate) struct Done(pub(crate) Vec<Effect>);

pub(crate) fn identity(kind_and_name: &str) -> Identity {
    format!("spiffe://alcazar.local/{kind_and_name}").parse().unwrap()
}

/// A sender whose connection proves `identity`.
pub(crate) fn bound(upid: &str, identity: Option<Identity>) -> BoundPid {
    bound_over(0, upid, identity)
}

/// The same over the connection of this number.
pub(crate) fn bound_over(connection: u64, upid: &str, identity: Option<Identity>) -> BoundPid {
    let upid: Upid = upid.parse().unwrap();
    let facts = PeerFacts {
        vouched_addresses: vec![(*upid.address.ip()).into()],
        certified: identity.is_some(),
        encrypted: identity.is_some(),
        identity,
        ..PeerFacts::plaintext(
            libprocess::sender::ConnectionId(connection),
            SocketAddr::V4(upid.address),
        )
    };
    let rule = if facts.encrypted { Binding::Certificate } else { Binding::DangerSourceAddress };
    bind(ClaimedPid(upid), &facts, rule, None, Finding::Nothing).unwrap()
}

/// A sender in plaintext whose connection belongs to session `number` of a principal that may speak
/// as `kinds`.
pub(crate) fn proved(upid: &str, principal: &str, kinds: Kinds, number: u64) -> BoundPid {
    let upid: Upid = upid.parse().unwrap();
    let id = libprocess::sender::ConnectionId(number);
    let facts = PeerFacts::plaintext(id, SocketAddr::V4(upid.address));
    let session = Session {
        id: SessionId(number),
        principal: Some(principal.to_owned()),
        kinds,
        mechanism: "CRAM-MD5".to_owned(),
    };
    let proof = SessionProof { session: Arc::new(session), tie: Tie::Exchange };
    let finding = Finding::Tied(proof);
    bind(ClaimedPid(upid), &facts, Binding::DangerSourceAddress, None, finding).unwrap()
}

/// Agent number `n`, at its own address, with its own certificate.
pub(crate) fn host(n: u8) -> BoundPid {
    bound(&format!("slave(1)@10.0.0.{n}:5051"), Some(identity(&format!("agent/host-{n}"))))
}

/// The same over the connection of this number.
pub(crate) fn host_over(connection: u64, n: u8) -> BoundPid {
    let identity = identity(&format!("agent/host-{n}"));
    bound_over(connection, &format!("slave(1)@10.0.0.{n}:5051"), Some(identity))
}

pub(crate) fn resources(text: &str) -> Vec<v1::Resource> {
    write(&parse(text, &Role::any()).unwrap(), Form::PreRefinement)
}

pub(crate) fn agent_info(n: u8, total: &str) -> v1::AgentInfo {
    v1::AgentInfo {
        hostname: format!("host-{n}"),
        port: Some(5051),
        resources: resources(total),
        checkpoint: Some(true),
        ..v1::AgentInfo::default()
    }
}

pub(crate) fn agent_capabilities() -> Vec<v1::agent_info::Capability> {
    (1..=8).map(|n| v1::agent_info::Capability { r#type: Some(n) }).collect()
}

pub(crate) fn register_message(n: u8, total: &str) -> internal::RegisterSlaveMessage {
    internal::RegisterSlaveMessage {
        slave: agent_info(n, total),
        checkpointed_resources: Vec::new(),
        version: Some("1.12.0".to_owned()),
        agent_capabilities: agent_capabilities(),
        resource_version_uuid: Some(v1::Uuid { value: vec![n; 16].into() }),
    }
}

pub(crate) fn framework_info(
    name: &str,
    capabilities: &[framework_info::capability::Type],
) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: name.to_owned(),
        checkpoint: Some(true),
        capabilities: capabilities
            .iter()
            .map(|kind| framework_info::Capability { r#type: Some((*kind).into()) })
            .collect(),
        ..v1::FrameworkInfo::default()
    }
}

pub(crate) fn caller(name: &str) -> Caller {
    let identity = identity(&format!("framework/{name}"));
    Caller {
        principal: Some(name.to_owned()),
        owner: Owner { certificate: Some(identity.to_string()), principal: None },
        kinds: Kinds::only(identity.kind()),
        identity: Some(identity),
    }
}

/// A subscribed scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    pub(crate) id: FrameworkId,
    pub(crate) caller: Caller,
    pub(crate) subscription: SubscriptionId,
    pub(crate) info: v1::FrameworkInfo,
}

impl Scheduler {
    pub(crate) fn wire_id(&self) -> v1::FrameworkId {
        v1::FrameworkId { value: self.id.to_string() }
    }

    pub(crate) fn call(&self, kind: call::Type) -> scheduler::Call {
        let mut call =
            scheduler::Call { framework_id: Some(self.wire_id()), ..scheduler::Call::default() };
        call.set_type(kind);
        call
    }
}

/// A command task.
pub(crate) fn task(name: &str, agent: &AgentId, needs: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: name.to_owned(),
        task_id: v1::TaskId { value: name.to_owned() },
        agent_id: v1::AgentId { value: agent.to_string() },
        resources: resources(needs)
            .into_iter()
            .map(|mut resource| {
                #[expect(deprecated, reason = "tasks name no role")]
                {
                    resource.role = None;
                }
                resource
            })
            .collect(),
        command: Some(v1::CommandInfo {
            value: Some("true".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}

pub(crate) fn uuid(n: u8) -> bytes::Bytes {
    vec![n; 16].into()
}

/// A status update as an agent sends it: `uuid` numbers it.
pub(crate) fn update_message(
    from: &BoundPid,
    scheduler: &Scheduler,
    agent: &AgentId,
    task: &str,
    (state, latest): (TaskState, TaskState),
    n: u8,
) -> internal::StatusUpdateMessage {
    let agent_id = v1::AgentId { value: agent.to_string() };
    let mut status = v1::TaskStatus {
        task_id: v1::TaskId { value: task.to_owned() },
        agent_id: Some(agent_id.clone()),
        uuid: Some(uuid(n)),
        timestamp: Some(1.0),
        data: Some(b"secret".to_vec().into()),
        ..v1::TaskStatus::default()
    };
    status.set_state(state);
    status.set_source(v1::task_status::Source::Executor);
    internal::StatusUpdateMessage {
        update: internal::StatusUpdate {
            framework_id: scheduler.wire_id(),
            executor_id: Some(v1::ExecutorId { value: task.to_owned() }),
            slave_id: Some(agent_id),
            status,
            timestamp: 1.0,
            uuid: Some(uuid(n)),
            latest_state: Some(latest.into()),
        },
        pid: Some(from.upid().to_string()),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(v1::MasterInfo {
            id: "m".to_owned(),
            ip: 16_777_343,
            port: 5050,
            hostname: Some("master".to_owned()),
            ..v1::MasterInfo::default()
        });
        change(&mut config);
        Self::start(config, registry::Contents::default(), Now::default())
    }

    pub(crate) fn start(config: Config, contents: registry::Contents, now: Now) -> Self {
        let (engine, effects) = Engine::new(config.clone(), contents.clone(), 1, now);
        let mut world = Self { engine, now, registry: contents, config, next: 0 };
        world.execute(effects);
        world
    }

    /// The master dies and another one takes over, knowing only what was persisted.
    pub(crate) fn fail_over(&mut self) {
        let mut config = self.config.clone();
        config.master.id = format!("{}'", config.master.id);
        self.pass(SECOND);
        let old = std::mem::take(&mut self.registry);
        *self = Self::start(config, old, self.now);
    }

    fn execute(&mut self, effects: Vec<Effect>) -> Done {
        assert_eq!(self.engine.check_invariants(), Ok(()));
        for effect in &effects {
            if let Effect::Persist(operation) = effect {
                self.registry.apply(operation.clone());
            }
        }
        Done(effects)
    }

    pub(crate) fn handle(&mut self, event: Event) -> Done {
        let mut effects = self.engine.handle(event, self.now);
        effects.extend(self.engine.settle(self.now));
        self.execute(effects)
    }

    fn pass(&mut self, time: Duration) {
        self.now.monotonic = self.now.monotonic + time;
        self.now.wall = Timestamp::new(self.now.wall.since_epoch() + time);
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn wait(&mut self, time: Duration) -> Done {
        let end = self.now.monotonic + time;
        let mut all = Vec::new();
        while let Some(deadline) = self.engine.next_deadline().filter(|at| *at <= end) {
            let step = deadline - self.now.monotonic;
            self.pass(step);
            all.extend(self.handle(Event::Deadline).0);
        }
        let rest = end - self.now.monotonic;
        self.pass(rest);
        Done(all)
    }

    /// The same, with the agents answering every ping.
    pub(crate) fn wait_with(&mut self, time: Duration, agents: &[&BoundPid]) -> Done {
        let end = self.now.monotonic + time;
        let mut all = Vec::new();
        while let Some(deadline) = self.engine.next_deadline().filter(|at| *at <= end) {
            let step = deadline - self.now.monotonic;
            self.pass(step);
            let done = self.handle(Event::Deadline);
            for (from, to, message) in done.sent() {
                let agent = agents.iter().find(|agent| *agent.upid() == to.pid);
                if let (Outbound::Ping(_), Some(agent)) = (message, agent) {
                    self.say_to(&from, agent, Inbound::Pong(internal::PongSlaveMessage {}));
                }
            }
            all.extend(done.0);
        }
        let rest = end - self.now.monotonic;
        self.pass(rest);
        Done(all)
    }

    pub(crate) fn say(&mut self, from: &BoundPid, message: Inbound) -> Done {
        self.say_to("master", from, message)
    }

    pub(crate) fn say_to(&mut self, to: &str, from: &BoundPid, message: Inbound) -> Done {
        let message = Box::new(message);
        self.handle(Event::Message { from: from.clone(), to: to.to_owned(), message })
    }

    pub(crate) fn exited(&mut self, peer: &BoundPid) -> Done {
        let (pid, identity) = (peer.upid().clone(), peer.identity().cloned());
        self.handle(Event::Exited { pid, identity })
    }

    /// Registers agent number `n` and returns its id.
    pub(crate) fn join(&mut self, n: u8, total: &str) -> AgentId {
        let done = self.say(&host(n), Inbound::RegisterAgent(register_message(n, total)));
        let ids = done.sent().into_iter().filter_map(|(_, _, message)| match message {
            Outbound::AgentRegistered(message) => Some(message.slave_id.value.clone()),
            _ => None,
        });
        AgentId::new(&ids.last().expect("a registration")).unwrap()
    }

    /// What agent number `n` says of itself when it comes back, with what the master knows to be
    /// there.
    pub(crate) fn reregister_message(
        &self,
        n: u8,
        id: &AgentId,
    ) -> internal::ReregisterSlaveMessage {
        let state = self.state();
        let agent = &state.agents[id];
        let mut info = agent.info.as_ref().clone();
        info.resources = write(&agent.total, Form::PreRefinement);
        let frameworks: BTreeMap<_, _> = agent
            .tasks
            .iter()
            .map(|(id, _)| id)
            .chain(agent.executors.keys().map(|(id, _)| id))
            .map(|id| (id.clone(), state.frameworks[id].info.as_ref().clone()))
            .collect();
        let tasks = agent
            .tasks
            .iter()
            .map(|(framework, task)| state.frameworks[framework].tasks[task].info());
        internal::ReregisterSlaveMessage {
            slave: info,
            executor_infos: agent.executors.values().map(|e| e.info.clone()).collect(),
            tasks: tasks.collect(),
            frameworks: frameworks.into_values().collect(),
            version: Some("1.12.0".to_owned()),
            agent_capabilities: agent_capabilities(),
            resource_version_uuid: Some(v1::Uuid { value: vec![n; 16].into() }),
            ..internal::ReregisterSlaveMessage::default()
        }
    }

    pub(crate) fn state(&self) -> State {
        self.engine.snapshot()
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.state().counters.get(counter)
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sends a SUBSCRIBE and returns the stream and what came of it.
    pub(crate) fn try_subscribe(
        &mut self,
        caller: &Caller,
        info: v1::FrameworkInfo,
        suppressed: &[&str],
    ) -> (SubscriptionId, Done) {
        let subscription = SubscriptionId(self.fresh());
        let mut call = scheduler::Call {
            framework_id: info.id.clone(),
            subscribe: Some(call::Subscribe {
                framework_info: info,
                suppressed_roles: suppressed.iter().map(|&role| role.to_owned()).collect(),
                offer_constraints: None,
            }),
            ..scheduler::Call::default()
        };
        call.set_type(call::Type::Subscribe);
        let (caller, call) = (caller.clone(), Box::new(call));
        let done = self.handle(Event::Subscribe { subscription, caller, call });
        (subscription, done)
    }

    pub(crate) fn subscribe(&mut self, name: &str, info: v1::FrameworkInfo) -> (Scheduler, Done) {
        let (subscription, done) = self.try_subscribe(&caller(name), info.clone(), &[]);
        let id = done
            .events(subscription)
            .iter()
            .find_map(|event| event.subscribed.clone())
            .unwrap_or_else(|| panic!("not subscribed: {done:?}"))
            .framework_id;
        let info = v1::FrameworkInfo { id: Some(id.clone()), ..info };
        let id = FrameworkId::new(&id.value).unwrap();
        (Scheduler { id, caller: caller(name), subscription, info }, done)
    }

    pub(crate) fn scheduler(&mut self, name: &str) -> Scheduler {
        self.subscribe(name, framework_info(name, &[])).0
    }

    pub(crate) fn aware_scheduler(&mut self, name: &str) -> Scheduler {
        let aware = framework_info::capability::Type::PartitionAware;
        self.subscribe(name, framework_info(name, &[aware])).0
    }

    pub(crate) fn try_call(
        &mut self,
        caller: &Caller,
        stream: Stream,
        call: scheduler::Call,
    ) -> (Result<Accepted, Refusal>, Done) {
        let request = RequestId(self.fresh());
        let (caller, call) = (caller.clone(), Box::new(call));
        let done = self.handle(Event::Call { request, caller, stream, call });
        let answers: Vec<_> = done
            .0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Answer { request: id, answer } => Some((*id, answer.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "every call is answered once");
        assert_eq!(answers[0].0, request);
        (answers[0].1.clone(), done)
    }

    /// A call of a subscribed scheduler, which is accepted.
    pub(crate) fn call(&mut self, scheduler: &Scheduler, call: scheduler::Call) -> Done {
        let stream = Stream::Of(scheduler.subscription);
        let (answer, done) = self.try_call(&scheduler.caller, stream, call);
        assert!(answer.is_ok(), "{answer:?}");
        done
    }

    /// Ends a framework, as an operator may.
    pub(crate) fn teardown(&mut self, framework_id: &FrameworkId) -> Done {
        let framework = self.state().frameworks.get(framework_id).cloned();
        let permit = permit(framework.map(|f| f.info.principal().to_owned()));
        let framework_id = framework_id.clone();
        self.operate(OperatorCommand::Teardown { permit, framework_id })
    }

    pub(crate) fn operate(&mut self, command: OperatorCommand) -> Done {
        let request = RequestId(self.fresh());
        self.handle(Event::Operator { request, command })
    }

    /// Ids of all offers outstanding to the scheduler.
    pub(crate) fn offers(&self, scheduler: &Scheduler) -> Vec<v1::OfferId> {
        let state = self.state();
        let offers = state.frameworks[&scheduler.id].offers.iter();
        offers.map(|id| v1::OfferId { value: id.to_string() }).collect()
    }

    /// Ids of the offers of `agent` outstanding to the scheduler.
    pub(crate) fn offers_of(&self, scheduler: &Scheduler, agent: &AgentId) -> Vec<v1::OfferId> {
        let state = self.state();
        state
            .offers
            .values()
            .filter(|offer| offer.framework_id == scheduler.id && offer.agent_id == *agent)
            .map(|offer| v1::OfferId { value: offer.id.to_string() })
            .collect()
    }

    pub(crate) fn accept(
        &mut self,
        scheduler: &Scheduler,
        offer_ids: Vec<v1::OfferId>,
        tasks: Vec<v1::TaskInfo>,
    ) -> Done {
        let mut operation = v1::offer::Operation {
            launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
            ..v1::offer::Operation::default()
        };
        operation.set_type(v1::offer::operation::Type::Launch);
        self.accept_operations(scheduler, offer_ids, vec![operation])
    }

    pub(crate) fn accept_operations(
        &mut self,
        scheduler: &Scheduler,
        offer_ids: Vec<v1::OfferId>,
        operations: Vec<v1::offer::Operation>,
    ) -> Done {
        let mut call = scheduler.call(call::Type::Accept);
        let filters = Some(v1::Filters { refuse_seconds: Some(3600.0) });
        call.accept = Some(call::Accept { offer_ids, operations, filters });
        self.call(scheduler, call)
    }

    /// Launches a command task with 1 CPU out of whatever is offered of the agent.
    pub(crate) fn launch(&mut self, scheduler: &Scheduler, agent: &AgentId, name: &str) -> Done {
        let mut offers = self.offers_of(scheduler, agent);
        if offers.is_empty() {
            self.call(scheduler, scheduler.call(call::Type::Revive));
            offers = self.offers_of(scheduler, agent);
        }
        let done = self.accept(scheduler, offers, vec![task(name, agent, "cpus:1")]);
        assert!(done.names().contains(&"RunTask".to_owned()), "{done:?}");
        done
    }

    pub(crate) fn update(
        &mut self,
        from: &BoundPid,
        scheduler: &Scheduler,
        agent: &AgentId,
        task: &str,
        state: TaskState,
        n: u8,
    ) -> Done {
        let message = update_message(from, scheduler, agent, task, (state, state), n);
        self.say(from, Inbound::StatusUpdate(message))
    }

    pub(crate) fn acknowledge(
        &mut self,
        scheduler: &Scheduler,
        agent: &AgentId,
        task: &str,
        n: u8,
    ) -> Done {
        let mut call = scheduler.call(call::Type::Acknowledge);
        call.acknowledge = Some(call::Acknowledge {
            agent_id: v1::AgentId { value: agent.to_string() },
            task_id: v1::TaskId { value: task.to_owned() },
            uuid: uuid(n),
        });
        self.call(scheduler, call)
    }

    pub(crate) fn task_state(&self, scheduler: &Scheduler, task: &str) -> Option<TaskState> {
        let state = self.state();
        let tasks = &state.frameworks.get(&scheduler.id)?.tasks;
        tasks.get(&TaskId::new(task).unwrap()).map(|task| task.state())
    }
}

impl Done {
    /// Why the one request was refused, if it was.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.0.iter().find_map(|effect| match effect {
            Effect::Answer { answer: Err(refusal), .. } => Some(refusal.clone()),
            _ => None,
        })
    }

    /// The messages, with who speaks and to whom.
    pub(crate) fn sent(&self) -> Vec<(String, Peer, &Outbound)> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { from, to, message } => Some((from.clone(), to.clone(), &**message)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn events(&self, to: SubscriptionId) -> Vec<scheduler::Event> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Stream { subscription, event } if *subscription == to => {
                    Some(event.as_ref().clone())
                }
                _ => None,
            })
            .collect()
    }

    /// What happens, in order, in one word each; logs and answers aside.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Announce(_)
                | Effect::Answer { .. }
                | Effect::Audit(_)
                | Effect::Log { .. } => None,
                Effect::EndSession { .. } => Some("EndSession".to_owned()),
                Effect::CloseStream { .. } => Some("CloseStream".to_owned()),
                Effect::Link { .. } => Some("Link".to_owned()),
                Effect::Persist(_) => Some("Persist".to_owned()),
                Effect::Send { message, .. } => {
                    let name = message.name().trim_start_matches("mesos.internal.");
                    Some(name.trim_end_matches("Message").to_owned())
                }
                Effect::Stop { .. } => Some("Stop".to_owned()),
                Effect::Stream { event, .. } => Some(event.r#type().as_str_name().to_owned()),
                Effect::Unlink { .. } => Some("Unlink".to_owned()),
            })
            .collect()
    }

    pub(crate) fn logs(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|effect| match effect {
                Effect::Log { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The status updates on a stream: task, state, reason and message.
    pub(crate) fn updates(&self, to: SubscriptionId) -> Vec<v1::TaskStatus> {
        self.events(to).into_iter().filter_map(|e| e.update).map(|u| u.status).collect()
    }

    /// The one status update on a stream.
    pub(crate) fn update(&self, to: SubscriptionId) -> v1::TaskStatus {
        let updates = self.updates(to);
        assert_eq!(updates.len(), 1, "{self:?}");
        updates[0].clone()
    }

    /// The text of the one ERROR on a stream, which then ends.
    pub(crate) fn error(&self, to: SubscriptionId) -> String {
        let events = self.events(to);
        let last = events.last().unwrap_or_else(|| panic!("no event: {self:?}"));
        assert_eq!(last.r#type(), event::Type::Error);
        let closed = |effect: &Effect| matches!(effect, Effect::CloseStream { subscription } if *subscription == to);
        assert!(self.0.iter().any(closed), "the stream goes on");
        last.error.clone().unwrap().message
    }

    /// Nothing happens but that the log says so.
    #[track_caller]
    pub(crate) fn is_refused(&self) {
        assert!(self.names().is_empty(), "{:?}", self.names());
        assert!(!self.logs().is_empty(), "not even logged");
    }
}

/// A permit for what a test does.
pub(crate) fn permit<A: authz::Action>(
    objects: impl IntoIterator<Item = A::Object>,
) -> authz::Permit<A> {
    let operator = model::principal::Principal::named("ops");
    let subject = authz::Subject::new(Some(operator));
    authz::Authorizer::door().permit(&subject, objects).unwrap()
}

/// MARK_AGENT_GONE
pub(crate) fn mark_gone(agent_id: &AgentId) -> OperatorCommand {
    OperatorCommand::MarkAgentGone { permit: permit([()]), agent_id: agent_id.clone() }
}
