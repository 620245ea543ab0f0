//! Frameworks: subscription, failover, disconnection, and their end.

use std::sync::Arc;
use std::time::Duration;

use model::id::{AgentId, FrameworkId, TaskId};
use model::identity::Kind;
use model::principal::Owner;
use model::time::Instant;
use wire::v1::TaskState;
use wire::v1::scheduler::{self, call, event};
use wire::v1::task_status::Reason;
use wire::{internal, v1};

use super::announcement::Announcement;
use super::collections::{Cells, History, Map, Set, Shelf, edit};
use super::counters::{Counter, FrameworkCounters, count_in};
use super::driver::{self, Greeting};
use super::effect::Effect;
use super::event::{Caller, SubscriptionId};
use super::message::Outbound;
use super::out::{Out, quoted};
use super::refusal::Refusal;
use super::state::{Channel, Connection, Driver, Framework, Standing, UnreachableTasks};
use super::timers::Timer;
use super::validate::constraints;
use super::validate::framework::{self as validate, Checked};
use super::{Engine, events, status};

/// How the wire writes "no address", for schedulers that have none.
pub(super) const NO_PID: &str = "@0.0.0.0:0";

const OTHER_PRINCIPAL: &str = "Changing framework's principal is not allowed.";

/// What an agent is told when a framework changed.
pub(super) fn update_message(framework: &Framework) -> internal::UpdateFrameworkMessage {
    internal::UpdateFrameworkMessage {
        framework_id: v1::FrameworkId { value: framework.id.to_string() },
        pid: Some(pid_text(framework)),
        framework_info: Some(framework.info.as_ref().clone()),
    }
}

/// Where the framework's scheduler is, as agents are told.
pub(super) fn pid_text(framework: &Framework) -> String {
    framework.pid().map_or_else(|| NO_PID.to_owned(), ToString::to_string)
}

/// Keeps watch over a driver.
fn link(channel: &Channel, out: &mut Out) {
    if let Channel::Driver(driver) = channel {
        out.push(Effect::Link { peer: driver.peer.clone() });
    }
}

/// Who wants to subscribe, and how it would be reached.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) channel: Channel,
    pub(super) owner: Owner,
    /// The name that it has proved to have.
    pub(super) principal: Option<String>,
    /// Whether it has proved who it is, or need not.
    pub(super) authenticated: bool,
    /// Whether it takes the place of a scheduler elsewhere. Over HTTP everybody does.
    pub(super) force: bool,
}

/// Why somebody is not subscribed.
#[derive(Debug)]
pub(super) enum Unsubscribable {
    /// It is told so.
    Refused(String),
    /// Nobody is told; the text is for the log.
    Ignored(String),
}

impl From<String> for Unsubscribable {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl From<&str> for Unsubscribable {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

pub(super) fn allocator_facts(framework: &Framework) -> allocator::FrameworkFacts {
    let capabilities = framework.capabilities;
    allocator::FrameworkFacts {
        roles: framework.roles.clone(),
        suppressed: framework.suppressed_roles.clone(),
        // What is no minimum was refused when the framework subscribed.
        min_allocatable: validate::min_allocatable(&framework.info).unwrap_or_default(),
        gpu_resources: capabilities.gpu_resources,
        multi_role: capabilities.multi_role,
        region_aware: capabilities.region_aware,
        reservation_refinement: capabilities.reservation_refinement,
        revocable_resources: capabilities.revocable_resources,
        shared_resources: capabilities.shared_resources,
        constraints: framework.constraints.clone(),
    }
}

impl Engine {
    /// Sends an event to a framework if it is connected.
    pub(super) fn tell(&mut self, id: &FrameworkId, event: scheduler::Event, out: &mut Out) {
        let Some(framework) = self.count_event(id, event.r#type()) else { return };
        match &framework.connection {
            Connection::Connected(Channel::Stream(subscription)) => {
                out.stream(*subscription, event);
            }
            Connection::Connected(Channel::Driver(driver)) => {
                let pid_of = |id: &v1::AgentId| {
                    let id = AgentId::new(&id.value).ok()?;
                    self.state.agents.get(&id).map(|agent| agent.peer.pid.to_string())
                };
                if let Some(message) = driver::devolve(id, event, pid_of) {
                    out.send(&driver.peer, message);
                }
            }
            Connection::Disconnected { .. } | Connection::Recovered { .. } => {}
        }
    }

    /// Passes an agent's update on, for the scheduler to acknowledge to the agent at `pid`.
    pub(super) fn forward(
        &mut self,
        id: &FrameworkId,
        update: internal::StatusUpdate,
        pid: String,
        out: &mut Out,
    ) {
        let Some(framework) = self.state.frameworks.get(id) else { return };
        let Some(driver) = framework.driver() else {
            let status = v1::TaskStatus { uuid: update.uuid, ..update.status };
            return self.tell(id, events::update(status), out);
        };
        let peer = driver.peer.clone();
        self.count_event(id, event::Type::Update);
        let message = internal::StatusUpdateMessage { update, pid: Some(pid) };
        out.send(&peer, Outbound::StatusUpdate(message));
    }

    /// Counts an event for a framework that is connected, and returns the framework.
    fn count_event(&mut self, id: &FrameworkId, kind: event::Type) -> Option<Arc<Framework>> {
        self.state.frameworks.get(id).filter(|framework| framework.is_connected())?;
        let framework = edit(&mut self.state.frameworks, id)?;
        count_in(&mut framework.counters.events, kind);
        self.state.frameworks.get(id).cloned()
    }

    /// Whether the framework has ended, as far as the master remembers.
    pub(super) fn is_completed(&self, id: &FrameworkId) -> bool {
        self.state.completed_frameworks.iter().any(|framework| framework.id == *id)
    }

    /// A scheduler subscribes.
    pub(super) fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        caller: &Caller,
        call: scheduler::Call,
        out: &mut Out,
    ) {
        self.state.counters.count(if call.framework_id.is_some() {
            Counter::MessagesReregisterFramework
        } else {
            Counter::MessagesRegisterFramework
        });
        if let Err(reason) = self.try_subscribe(subscription, caller, call, out) {
            out.warn(format!(
                "Refused a subscription of {}: {}",
                quoted(caller.principal.as_deref().unwrap_or("")),
                reason.escape_debug()
            ));
            out.stream(subscription, events::error(&reason));
            out.push(Effect::CloseStream { subscription });
        }
    }

    fn try_subscribe(
        &mut self,
        subscription: SubscriptionId,
        caller: &Caller,
        call: scheduler::Call,
        out: &mut Out,
    ) -> Result<(), String> {
        match super::validate::call::call(&call, caller.principal.as_deref()) {
            Ok(call::Type::Subscribe) => {}
            Ok(_) => return Err("Expecting a SUBSCRIBE call".to_owned()),
            Err(refusal) => return Err(refusal.to_string()),
        }
        // A certificate or credential says what its bearer is; an agent's makes nobody a scheduler.
        if ![Kind::Framework, Kind::Operator].into_iter().any(|kind| caller.kinds.contains(kind)) {
            return Err("Not authorized to register as a framework".to_owned());
        }
        let subscribe = call.subscribe.ok_or("Expecting 'subscribe' to be present")?;
        let subscriber = Subscriber {
            channel: Channel::Stream(subscription),
            owner: caller.owner.clone(),
            principal: caller.principal.clone(),
            authenticated: true,
            force: true,
        };
        self.enter(subscriber, subscribe, out).map_err(|why| match why {
            Unsubscribable::Refused(reason) | Unsubscribable::Ignored(reason) => reason,
        })
    }

    /// Enters a subscriber whose call is well formed.
    pub(super) fn enter(
        &mut self,
        subscriber: Subscriber,
        subscribe: call::Subscribe,
        out: &mut Out,
    ) -> Result<(), Unsubscribable> {
        let mut info = subscribe.framework_info;
        validate::bounded(&info, &subscribe.suppressed_roles)?;
        let checked = validate::info(&info)?;
        validate::allowed(&info, &checked.roles, &self.config)?;
        let id = match &info.id {
            Some(id) if !id.value.is_empty() => {
                Some(FrameworkId::new(&id.value).map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        if id.as_ref().is_some_and(|id| self.is_completed(id)) {
            return Err("Framework has been removed".into());
        }
        driver::may_subscribe(&subscriber, &info)?;
        if info.principal.is_none() {
            info.principal.clone_from(&subscriber.principal);
        }
        let suppressed = validate::suppressed(&subscribe.suppressed_roles, &checked.roles)?;
        let constraints = constraints::compile(
            subscribe.offer_constraints.as_ref(),
            &checked.roles,
            self.config.regex_limits,
        )?;
        let stated = subscribe.offer_constraints.map(Arc::new);
        let known = id.as_ref().and_then(|id| self.state.frameworks.get(id)).cloned();
        if let Some(known) = &known
            && (known.info.principal != info.principal || !known.owner.admits(&subscriber.owner))
        {
            return Err(OTHER_PRINCIPAL.into());
        }
        let greeting = match &subscriber.channel {
            Channel::Stream(_) => Greeting::Subscribed,
            Channel::Driver(driver) => {
                match self.greeting(driver, id.as_ref(), known.as_deref(), subscriber.force)? {
                    Some(greeting) => greeting,
                    None => return self.greet_again(driver, &subscriber.owner, out),
                }
            }
        };
        let again = known.is_some();
        let id = match (id, known) {
            (Some(id), Some(known)) => {
                // These two never change; a scheduler that differs is not told.
                info.user.clone_from(&known.info.user);
                info.checkpoint = known.info.checkpoint;
                // Before anything is sent there: messages of an older link may get lost.
                link(&subscriber.channel, out);
                self.displace(&known, &subscriber.channel, greeting, out);
                id
            }
            (Some(id), None) => {
                link(&subscriber.channel, out);
                self.add_framework(&id, &info, &checked, Standing::Claimed, out);
                id
            }
            (None, _) => {
                let id = self.fresh_framework_id()?;
                link(&subscriber.channel, out);
                info.id = Some(v1::FrameworkId { value: id.to_string() });
                self.add_framework(&id, &info, &checked, Standing::Granted, out);
                id
            }
        };
        if let Some(framework) = edit(&mut self.state.frameworks, &id) {
            framework.info = Arc::new(info);
            framework.roles = checked.roles;
            framework.capabilities = checked.capabilities;
            framework.suppressed_roles = suppressed;
            framework.offer_constraints = stated;
            framework.constraints = constraints;
            framework.owner = framework.owner.clone().joined(subscriber.owner);
        }
        self.connect(&id, subscriber.channel, greeting, again, out);
        Ok(())
    }

    fn fresh_framework_id(&mut self) -> Result<FrameworkId, String> {
        let text = format!("{}-{:04}", self.config.master.id, self.next_framework);
        self.next_framework += 1;
        FrameworkId::new(&text).map_err(|error| error.to_string())
    }

    /// Ends what a framework's former subscription still has: its stream or link, and its offers.
    fn displace(&mut self, framework: &Framework, by: &Channel, greeting: Greeting, out: &mut Out) {
        let id = &framework.id;
        self.questions.remove(id);
        match &framework.connection {
            Connection::Connected(old) => {
                let here =
                    |driver: &Driver| matches!(by, Channel::Driver(new) if new.peer == driver.peer);
                match old {
                    // It is the same scheduler, which has not lost count of anything but offers.
                    Channel::Driver(driver) if here(driver) => {
                        if greeting == Greeting::Reregistered {
                            self.rescind_offers_to(id, out);
                        }
                    }
                    Channel::Stream(_) | Channel::Driver(_) => {
                        self.tell(id, events::error("Framework failed over"), out);
                        self.close_channel(old, out);
                    }
                }
                // What the old scheduler refused binds the new one no more.
                let off = allocator::Event::FrameworkSwitched { id: id.clone(), active: false };
                self.allocator.handle(off, out.now.monotonic);
                self.discard_offers(id, out);
                self.discard_inverse_offers(id, out);
            }
            Connection::Disconnected { deadline, .. } | Connection::Recovered { deadline } => {
                self.timers.cancel(*deadline, Timer::Failover(id.clone()));
            }
        }
    }

    /// Nobody is reached through this any more.
    pub(super) fn close_channel(&mut self, channel: &Channel, out: &mut Out) {
        match channel {
            Channel::Stream(subscription) => {
                self.subscriptions.remove(subscription);
                out.push(Effect::CloseStream { subscription: *subscription });
            }
            Channel::Driver(driver) => {
                self.by_driver.remove(&driver.peer.pid);
                out.push(Effect::Unlink { peer: driver.peer.clone() });
                out.end_session(driver.peer.pid.clone(), driver.session);
            }
        }
    }

    /// Enters a framework that is not known, not connected.
    fn add_framework(
        &mut self,
        id: &FrameworkId,
        info: &v1::FrameworkInfo,
        checked: &Checked,
        standing: Standing,
        out: &mut Out,
    ) {
        let deadline = self.recovered_until(checked.failover_timeout, out.now.monotonic);
        let framework = Framework {
            id: id.clone(),
            info: Arc::new(info.clone()),
            roles: checked.roles.clone(),
            suppressed_roles: std::collections::BTreeSet::new(),
            offer_constraints: None,
            constraints: None,
            capabilities: checked.capabilities,
            owner: Owner::default(),
            standing,
            connection: Connection::Recovered { deadline },
            active: false,
            registered: out.now.wall,
            reregistered: out.now.wall,
            unregistered: None,
            tasks: Shelf::default(),
            unreachable_tasks: UnreachableTasks::default(),
            completed_tasks: History::default(),
            executors: Map::default(),
            used: Map::default(),
            offers: Set::default(),
            inverse_offers: Set::default(),
            operations: Set::default(),
            operations_weight: 0,
            operation_names: Map::default(),
            counters: FrameworkCounters::default(),
            cells: Cells::default(),
        };
        // Executors of a framework that had this id and ended are nobody's: the new one knows not of
        // them.
        self.drop_orphan_executors(id, out);
        let event = allocator::Event::FrameworkAdded {
            id: id.clone(),
            facts: allocator_facts(&framework),
            active: false,
        };
        self.allocator.handle(event, out.now.monotonic);
        self.state.frameworks.insert_mut(id.clone(), Arc::new(framework));
        self.adopt_orphans(id, out);
        self.watch_principal(info.principal.as_deref());
    }

    /// A framework that only agents know has at least as long to come back as agents have: its
    /// scheduler may look for this master just as long.
    pub(super) fn recovered_until(&self, failover_timeout: Duration, now: Instant) -> Instant {
        now + failover_timeout.max(self.config.agent_reregister_timeout)
    }

    /// Enters a framework that an agent knows, unless it is known or has ended.
    pub(super) fn recover_framework(
        &mut self,
        id: &FrameworkId,
        info: &v1::FrameworkInfo,
        out: &mut Out,
    ) {
        if self.state.frameworks.contains_key(id) || self.is_completed(id) {
            return;
        }
        let Ok(checked) = validate::info(info) else { return };
        out.info(format!("Framework {id} is known from agents; waiting for its scheduler"));
        self.add_framework(id, info, &checked, Standing::Told { instead_of: None }, out);
        self.announce_framework(id, false);
        if let Some(Connection::Recovered { deadline }) =
            self.state.frameworks.get(id).map(|framework| framework.connection.clone())
        {
            self.timers.set(deadline, Timer::Failover(id.clone()));
        }
    }

    /// Makes `channel` the framework's current one, tells it so, and opens it for offers.
    fn connect(
        &mut self,
        id: &FrameworkId,
        channel: Channel,
        greeting: Greeting,
        again: bool,
        out: &mut Out,
    ) {
        let Some(framework) = edit(&mut self.state.frameworks, id) else { return };
        framework.connection = Connection::Connected(channel.clone());
        framework.active = true;
        if again {
            framework.reregistered = out.now.wall;
        }
        count_in(&mut framework.counters.calls, call::Type::Subscribe);
        let framework = framework.clone();
        out.info(format!(
            "Framework {id} {} subscribed as {}",
            quoted(&framework.info.name),
            quoted(framework.info.principal.as_deref().unwrap_or(""))
        ));
        match channel {
            Channel::Stream(subscription) => {
                self.subscriptions.insert(subscription, id.clone());
                let heartbeat = self.config.heartbeat_interval.as_secs_f64();
                let master = self.config.master.clone();
                self.tell(id, events::subscribed(id.as_str(), heartbeat, master), out);
                self.tell(id, events::heartbeat(), out);
            }
            Channel::Driver(driver) => {
                self.by_driver.insert(driver.peer.pid.clone(), id.clone());
                self.greet(id, &driver.peer, greeting, out);
            }
        }
        let now = out.now.monotonic;
        let facts = allocator_facts(&framework);
        self.allocator.handle(allocator::Event::FrameworkUpdated { id: id.clone(), facts }, now);
        let switched = allocator::Event::FrameworkSwitched { id: id.clone(), active: true };
        self.allocator.handle(switched, now);
        if again {
            self.tell_agents(Outbound::UpdateFramework(update_message(&framework)), out);
        }
        self.announce_framework(id, again);
    }

    /// Sends a message to all connected agents.
    pub(super) fn tell_agents(&self, message: Outbound, out: &mut Out) {
        let message = Arc::new(message);
        for agent in self.state.agents.values().filter(|agent| agent.connected) {
            out.send_shared(&agent.peer, Arc::clone(&message));
        }
    }

    /// A stream ended.
    pub(super) fn unsubscribed(&mut self, subscription: SubscriptionId, out: &mut Out) {
        let Some(id) = self.subscriptions.remove(&subscription) else { return };
        self.disconnect_framework(&id, out);
    }

    /// A framework has lost its scheduler, which has some time to come back.
    pub(super) fn disconnect_framework(&mut self, id: &FrameworkId, out: &mut Out) {
        let deadline = out.now.monotonic + self.failover_timeout(id);
        let Some(framework) = edit(&mut self.state.frameworks, id) else { return };
        let pid = framework.pid().cloned();
        framework.connection = Connection::Disconnected { deadline, pid };
        framework.active = false;
        out.warn(format!("Framework {id} disconnected"));
        self.timers.set(deadline, Timer::Failover(id.clone()));
        self.questions.remove(id);
        let switched = allocator::Event::FrameworkSwitched { id: id.clone(), active: false };
        self.allocator.handle(switched, out.now.monotonic);
        self.discard_offers(id, out);
        self.discard_inverse_offers(id, out);
    }

    fn failover_timeout(&self, id: &FrameworkId) -> Duration {
        self.state
            .frameworks
            .get(id)
            .and_then(|f| Duration::try_from_secs_f64(f.info.failover_timeout()).ok())
            .unwrap_or_default()
    }

    /// A framework has not come back in time.
    pub(super) fn failover_timed_out(&mut self, id: &FrameworkId, out: &mut Out) {
        let waiting = self.state.frameworks.get(id).is_some_and(|f| !f.is_connected());
        if waiting {
            out.warn(format!("Framework {id} has not come back in time"));
            self.remove_framework(id, out);
        }
    }

    /// Ends a framework and all that it runs.
    pub(super) fn remove_framework(&mut self, id: &FrameworkId, out: &mut Out) {
        let Some(framework) = self.state.frameworks.get(id).cloned() else { return };
        out.info(format!("Framework {id} ended"));
        self.questions.remove(id);
        let framework_id = v1::FrameworkId { value: id.to_string() };
        let message = internal::ShutdownFrameworkMessage { framework_id };
        self.tell_agents(Outbound::ShutdownFramework(message), out);
        self.discard_offers(id, out);
        self.discard_inverse_offers(id, out);
        let text = format!("Framework {id} removed");
        let ending = (TaskState::TaskKilled, Reason::FrameworkRemoved, text.as_str());
        for task_id in framework.tasks.keys() {
            self.kill_in_the_books(id, task_id, ending, out);
        }
        self.kill_unreachable(id, ending, out);
        for (agent_id, executor_id) in framework.executors.keys() {
            self.remove_executor(id, agent_id, executor_id, out);
        }
        self.orphan_operations_of(id, out);
        match &framework.connection {
            Connection::Connected(channel) => self.close_channel(channel, out),
            Connection::Disconnected { deadline, .. } | Connection::Recovered { deadline } => {
                self.timers.cancel(*deadline, Timer::Failover(id.clone()));
            }
        }
        self.allocator.handle(allocator::Event::FrameworkRemoved(id.clone()), out.now.monotonic);
        let Some(framework) = self.state.frameworks.get(id) else { return };
        let mut framework = framework.as_ref().clone();
        self.state.frameworks.remove_mut(id);
        self.forget_answers_of(id);
        let pid = framework.pid().cloned();
        framework.connection = Connection::Disconnected { deadline: out.now.monotonic, pid };
        framework.active = false;
        framework.unregistered = Some(out.now.wall);
        self.announce(Announcement::FrameworkRemoved(Arc::clone(&framework.info)));
        let limit = self.config.max_completed_frameworks;
        let principal = framework.info.principal.clone();
        self.state.completed_frameworks.push(Arc::new(framework), limit);
        self.unwatch_principal(principal.as_deref());
    }

    /// Enters that the task ended with its framework; nobody is left to be told.
    fn kill_in_the_books(
        &mut self,
        id: &FrameworkId,
        task_id: &TaskId,
        (state, reason, message): (TaskState, Reason, &str),
        out: &mut Out,
    ) {
        let task = self.state.frameworks.get(id).and_then(|f| f.tasks.get(task_id)).cloned();
        let Some(task) = task else { return };
        if !status::is_terminal(task.state()) {
            let update = status::about(&task, state, reason, message, out.now.wall);
            self.record_status(id, task_id, &update, state, out);
        }
        self.complete_task(id, task_id, out);
    }

    fn kill_unreachable(
        &mut self,
        id: &FrameworkId,
        (state, reason, message): (TaskState, Reason, &str),
        out: &Out,
    ) {
        let Some(framework) = edit(&mut self.state.frameworks, id) else { return };
        let info = Arc::clone(&framework.info);
        for task in framework.unreachable_tasks.take_all() {
            let mut task = task.as_ref().clone();
            let update = status::about(&task, state, reason, message, out.now.wall);
            task.change(|info| {
                info.statuses.push(update.clone());
                info.set_state(state);
            });
            let task = Arc::new(task);
            self.announce(Announcement::TaskUpdated {
                task: Arc::clone(&task),
                framework: Arc::clone(&info),
                status: Box::new(update),
            });
            self.archive(task);
        }
    }

    /// UPDATE_FRAMEWORK
    pub(super) fn update_framework(
        &mut self,
        id: &FrameworkId,
        update: call::UpdateFramework,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let Some(known) = self.state.frameworks.get(id).cloned() else {
            return Err(Refusal::FrameworkNotFound);
        };
        let mut info = update.framework_info;
        if info.principal.is_none() {
            info.principal.clone_from(&known.info.principal);
        }
        let check = || -> Result<_, String> {
            validate::bounded(&info, &update.suppressed_roles)?;
            let checked = validate::info(&info)?;
            validate::allowed(&info, &checked.roles, &self.config)?;
            let suppressed = validate::suppressed(&update.suppressed_roles, &checked.roles)?;
            let stated = update.offer_constraints.as_ref();
            let limits = self.config.regex_limits;
            let constraints = constraints::compile(stated, &checked.roles, limits)?;
            validate::update(&known.info, &info)?;
            Ok((checked, suppressed, constraints))
        };
        let (checked, suppressed, constraints) = check().map_err(Refusal::FrameworkUpdate)?;
        let left: Vec<_> = known.roles.difference(&checked.roles).cloned().collect();
        if let Some(framework) = edit(&mut self.state.frameworks, id) {
            framework.info = Arc::new(info);
            framework.roles = checked.roles;
            framework.capabilities = checked.capabilities;
            framework.suppressed_roles = suppressed;
            framework.offer_constraints = update.offer_constraints.map(Arc::new);
            framework.constraints = constraints;
        }
        let offers: Vec<_> = known
            .offers
            .iter()
            .filter(|id| self.state.offers.get(*id).is_some_and(|o| left.contains(&o.role)))
            .cloned()
            .collect();
        for offer_id in offers {
            self.rescind(&offer_id, out);
        }
        if let Some(framework) = self.state.frameworks.get(id).cloned() {
            let facts = allocator_facts(&framework);
            let event = allocator::Event::FrameworkUpdated { id: id.clone(), facts };
            self.allocator.handle(event, out.now.monotonic);
            self.tell_agents(Outbound::UpdateFramework(update_message(&framework)), out);
            self.announce_framework(id, true);
        }
        Ok(())
    }

    /// Passes a message of a framework's executor on.
    pub(super) fn executor_message(
        &mut self,
        agent_id: &AgentId,
        message: internal::ExecutorToFrameworkMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        let id = FrameworkId::new(&message.framework_id.value).map_err(|e| e.to_string())?;
        model::id::check(&message.executor_id.value).map_err(|e| e.to_string())?;
        let connected = self.state.frameworks.get(&id).is_some_and(|f| f.is_connected());
        if !connected {
            return Err(format!("framework {id} is not connected"));
        }
        let message = event::Message {
            agent_id: v1::AgentId { value: agent_id.to_string() },
            executor_id: message.executor_id,
            data: message.data,
        };
        self.tell(&id, events::message(message), out);
        Ok(())
    }
}
