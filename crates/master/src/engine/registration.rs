//! How agents join, and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libprocess::sender::BoundPid;
use model::id::{AgentId, FrameworkId, TaskId};
use model::principal::Owner;
use model::resources::Resources;
use registry::Orders;
use wire::v1::TaskState;
use wire::v1::task_status::Reason;
use wire::{internal, v1};

use super::agents::{Departure, peer_of, record, shut_down};
use super::announcement::Announcement;
use super::collections::{Cells, Map, Set, edit};
use super::counters::Counter;
use super::effect::{Effect, Peer};
use super::message::Outbound;
use super::out::{Out, sender};
use super::removals::Removal;
use super::state::{Agent, Task};
use super::validate::agent::{self as validate, Registration, Reregistration};
use super::{Engine, authentication, events, operations, status};

/// What the master knows of an agent id that somebody wants to come back under.
enum Known {
    Gone(Owner),
    Recovered(Owner),
    Registered(Arc<Agent>),
    Unknown,
    Unreachable(Owner),
}

impl Known {
    /// Whose the id is; nobody's if it is not known.
    fn owner(&self) -> Owner {
        match self {
            Self::Gone(owner) | Self::Recovered(owner) | Self::Unreachable(owner) => owner.clone(),
            Self::Registered(agent) => agent.owner.clone(),
            Self::Unknown => Owner::default(),
        }
    }
}

/// The actor of an agent is `slave(<number>)`. Where nobody proves who they are, any name goes, as
/// in the original.
fn check_actor(from: &BoundPid) -> Result<(), String> {
    let number = |id: &str| {
        let number = id.strip_prefix("slave(")?.strip_suffix(')')?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(())
    };
    match from.identity() {
        Some(_) if number(&from.upid().id).is_none() => {
            Err("an agent's actor is called 'slave(<number>)'".to_owned())
        }
        _ => Ok(()),
    }
}

/// All that an agent has that joins again. What its providers have and what it lends it says in a
/// message of its own. If it knows no operations, the master knows better what was made of its
/// resources.
fn total_again(old: &Agent, registration: &Registration) -> Result<Resources, String> {
    use v1::agent_info::capability::Type;
    let mut total = if registration.capabilities.contains(&Type::ResourceProvider) {
        registration.total.clone()
    } else {
        let own = wire::resources::read(&registration.info.resources)
            .map_err(|error| error.to_string())?;
        own.with_checkpointed(&operations::checkpointed(old)).map_err(|error| error.to_string())?
    };
    total.add_all(&old.total.filter(|r| r.revocable || r.provider.is_some()));
    Ok(total)
}

/// All that an agent has that wants to come back where it is still registered; or what it is told,
/// and what else the log says. Its port may be another.
fn rejoinable(
    agent: &Agent,
    from: &BoundPid,
    registration: &Registration,
) -> Result<Resources, (&'static str, String)> {
    if agent.info.hostname != registration.info.hostname
        || agent.peer.pid.address.ip() != from.upid().address.ip()
    {
        let text = "Agent attempted to reregister with different IP / hostname";
        return Err((text, String::new()));
    }
    total_again(agent, registration).map_err(|error| {
        let text = "Agent attempted to reregister with incompatible resources";
        (text, format!(": {}", error.escape_debug()))
    })
}

impl Engine {
    /// An agent wants to join for the first time.
    pub(super) fn register(
        &mut self,
        from: &BoundPid,
        message: internal::RegisterSlaveMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesRegisterSlave);
        if self.config.authenticate_agents {
            authentication::required(from)?;
        }
        check_actor(from)?;
        let registration = validate::register(message, &self.config)?;
        self.refuse_if_down(from, &registration.info.hostname, out)?;
        let peer = peer_of(from);
        if let Some(agent) = self.agent_of(from).cloned() {
            let same = agent.owner.admits(&from.owner());
            if agent.connected && same {
                // The answer got lost or crossed with the retry; it may have authenticated again.
                if let Some(agent) = edit(&mut self.state.agents, &agent.id) {
                    agent.session = authentication::session_of(from);
                    agent.connection = agent.connection.max(from.connection());
                }
                self.send_registered(&agent.peer, &agent.id, out);
                return Ok(());
            }
            self.take_place_of(&agent, from, "a new agent registered at the same address", out)?;
        }
        self.vacate_identity(from, None, out)?;
        let id = self.fresh_agent_id()?;
        out.info(format!("Registered agent {id} at {} with {}", sender(from), registration.total));
        let orders = Orders::default();
        self.admit(id.clone(), (from, from.owner()), orders, registration, false, out);
        self.send_registered(&peer, &id, out);
        self.state.counters.count(Counter::SlaveRegistrations);
        Ok(())
    }

    fn fresh_agent_id(&mut self) -> Result<AgentId, String> {
        let text = format!("{}-S{}", self.config.master.id, self.next_agent);
        self.next_agent += 1;
        AgentId::new(&text).map_err(|error| error.to_string())
    }

    fn connection(&self) -> internal::MasterSlaveConnection {
        let timeout = self.config.agent_ping_timeout * self.config.max_agent_ping_timeouts;
        internal::MasterSlaveConnection { total_ping_timeout_seconds: Some(timeout.as_secs_f64()) }
    }

    fn send_registered(&self, peer: &Peer, id: &AgentId, out: &mut Out) {
        let message = internal::SlaveRegisteredMessage {
            slave_id: v1::AgentId { value: id.to_string() },
            connection: Some(self.connection()),
        };
        out.send(peer, Outbound::AgentRegistered(message));
    }

    /// Enters an agent that is not registered: record, link, first ping. Tasks and executors
    /// follow, then [`Engine::open_for_offers`].
    fn admit(
        &mut self,
        id: AgentId,
        (from, owner): (&BoundPid, Owner),
        orders: Orders,
        registration: Registration,
        again: bool,
        out: &mut Out,
    ) {
        let peer = peer_of(from);
        let mut info = registration.info;
        info.id = Some(v1::AgentId { value: id.to_string() });
        out.persist(record(&id, &owner, &orders, &info));
        authentication::admitted(from, out);
        let observer = self.start_observing(&id, out);
        let machine = self.state.settings.machine_of(&info.hostname, *peer.pid.address.ip());
        let unavailability = machine.map(|(_, unavailability)| *unavailability);
        let agent = Agent {
            id: id.clone(),
            peer: peer.clone(),
            owner,
            session: authentication::session_of(from),
            connection: from.connection(),
            info: Arc::new(info),
            version: registration.version,
            capabilities: registration.capabilities,
            registered: out.now.wall,
            reregistered: again.then_some(out.now.wall),
            connected: true,
            active: !orders.deactivated,
            orders,
            estimated_drain_start: None,
            total: registration.total,
            used: Map::default(),
            offered: model::resources::Resources::new(),
            resource_version: registration.resource_version,
            executors: Map::default(),
            tasks: Set::default(),
            offers: Set::default(),
            inverse_offers: Set::default(),
            inverse_answers: Map::default(),
            unavailability,
            operations: Set::default(),
            operations_weight: 0,
            operations_by: Map::default(),
            providers: Map::default(),
            observer,
            cells: Cells::default(),
        };
        self.by_peer.insert(peer.clone(), id.clone());
        if let Some(identity) = &peer.identity {
            self.by_identity.insert(identity.clone(), id.clone());
        }
        let agent = Arc::new(agent);
        self.state.agents.insert_mut(id.clone(), Arc::clone(&agent));
        self.announce(Announcement::AgentAdded(agent));
        out.push(Effect::Link { peer });
        self.ping(observer, out);
        if !again {
            self.open_for_offers(&id, out);
        }
    }

    fn open_for_offers(&mut self, id: &AgentId, out: &Out) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let used: BTreeMap<_, _> =
            agent.used.iter().map(|(id, used)| (id.clone(), used.clone())).collect();
        let event = allocator::Event::AgentAdded {
            id: id.clone(),
            facts: agent.allocator_facts(),
            used,
            active: agent.active,
        };
        let scheduled = agent.unavailability.is_some();
        self.allocator.handle(event, out.now.monotonic);
        if scheduled {
            self.tell_allocator_of_maintenance(id, out);
        }
    }

    fn known(&self, id: &AgentId) -> Known {
        if let Some(agent) = self.state.agents.get(id) {
            Known::Registered(Arc::clone(agent))
        } else if let Some(agent) = self.state.recovered_agents.get(id) {
            Known::Recovered(agent.owner.clone())
        } else if let Some(agent) = self.state.unreachable_agents.get(id) {
            Known::Unreachable(agent.owner.clone())
        } else if let Some(agent) = self.state.gone_agents.get(id) {
            Known::Gone(agent.owner.clone())
        } else {
            Known::Unknown
        }
    }

    /// An agent that has an id wants to join again.
    pub(super) fn reregister(
        &mut self,
        from: &BoundPid,
        message: internal::ReregisterSlaveMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesReregisterSlave);
        let id = message.slave.id.as_ref().ok_or("no agent id is given")?;
        let id = AgentId::new(&id.value).map_err(|error| error.to_string())?;
        let known = self.known(&id);
        // Whose id it is comes first: a stranger learns nothing about it, not even that it is gone.
        let owner = known.owner();
        if self.config.authenticate_agents {
            authentication::required(from)?;
        }
        if !owner.admits(&from.owner()) {
            self.state.counters.count(Counter::AgentIdsClaimedByOthers);
            out.error(format!(
                "Agent id {id} belongs to {owner}, but {} claims it, which has proved to be {}",
                sender(from),
                from.owner()
            ));
            return Err(format!("agent id {id} belongs to somebody else"));
        }
        let owner = owner.joined(from.owner());
        if let Known::Gone(_) = known {
            shut_down(&peer_of(from), "Agent has been marked gone".to_owned(), out);
            return Ok(());
        }
        check_actor(from)?;
        let hostname = message.slave.hostname.clone();
        // It was sent before what came over the newer connection, and says what is not so any more.
        if let Known::Registered(agent) = &known
            && from.connection() < agent.connection
        {
            return Err(format!("agent {id} has registered over a newer connection since"));
        }
        let mut reregistration = validate::reregister(message, &self.config)?;
        if let Known::Registered(agent) = &known {
            match rejoinable(agent, from, &reregistration.registration) {
                Ok(total) => reregistration.registration.total = total,
                Err((text, why)) => {
                    out.warn(format!("{text}: agent {id} from {}{why}", sender(from)));
                    shut_down(&peer_of(from), text.to_owned(), out);
                    return Ok(());
                }
            }
        }
        let mut from_before = false;
        match &known {
            // What it runs was told when it came, or started since.
            Known::Registered(_) => {}
            Known::Recovered(_) => from_before = true,
            Known::Unreachable(_) => {
                let departed = self.state.unreachable_agents.get(&id);
                from_before = departed.is_some_and(|agent| agent.since < self.state.elected);
            }
            Known::Gone(_) | Known::Unknown => {}
        }
        if !matches!(known, Known::Registered(_)) {
            self.refuse_if_disputed(&id, &reregistration.frameworks, out)?;
        }
        self.refuse_if_down(from, &hostname, out)?;
        self.vacate(from, &id, out)?;
        self.vacate_identity(from, Some(&id), out)?;
        if !matches!(known, Known::Registered(_)) {
            self.judge_claims(&id, &reregistration.frameworks, from_before, out);
        }
        match known {
            Known::Registered(agent) => self.rejoin((from, owner), &agent, reregistration, out),
            Known::Recovered(_) => self.come_back((from, owner), reregistration, None, out),
            Known::Unreachable(_) => {
                let why = "Unreachable agent re-reregistered";
                self.come_back((from, owner), reregistration, Some(why), out);
            }
            Known::Gone(_) | Known::Unknown => {
                out.warn(format!("Agent {id} is not on record; it is admitted all the same"));
                let why = "Unknown agent reregistered";
                self.come_back((from, owner), reregistration, Some(why), out);
            }
        }
        Ok(())
    }

    /// Makes room at the sender's place if another agent id is registered there.
    fn vacate(&mut self, from: &BoundPid, id: &AgentId, out: &mut Out) -> Result<(), String> {
        match self.agent_of(from).cloned() {
            Some(other) if other.id != *id => {
                let cause = "another agent reregistered at the same address";
                self.take_place_of(&other, from, cause, out)
            }
            _ => Ok(()),
        }
    }

    /// Makes room at the sender's place, unless whoever is registered there is connected. An agent
    /// that is not the sender's can come back elsewhere: only its owner gives its id up.
    fn take_place_of(
        &mut self,
        other: &Agent,
        from: &BoundPid,
        cause: &str,
        out: &mut Out,
    ) -> Result<(), String> {
        if other.connected {
            return Err(format!("agent {} is registered there", other.id));
        }
        if other.owner.admits(&from.owner()) {
            self.state.counters.count(Counter::SlaveRemovalsReasonRegistered);
            self.depart(&other.id, Departure::Removed, cause, out);
        } else {
            self.state.counters.count(Counter::SlaveUnreachableScheduled);
            self.state.counters.count(Counter::SlaveUnreachableCompleted);
            self.depart(&other.id, Departure::Unreachable, cause, out);
        }
        Ok(())
    }

    /// Makes room for an agent of the sender's identity at another place, or of another id: one
    /// certificate speaks for one machine, and does not become a crowd.
    fn vacate_identity(
        &mut self,
        from: &BoundPid,
        id: Option<&AgentId>,
        out: &mut Out,
    ) -> Result<(), String> {
        let other = from
            .identity()
            .and_then(|identity| self.by_identity.get(identity))
            .filter(|other| Some(*other) != id)
            .and_then(|other| self.state.agents.get(other))
            .cloned();
        match other {
            Some(other) if other.connected => Err(format!(
                "its identity is that of agent {}, which is connected at {}",
                other.id, other.peer.pid
            )),
            Some(other) => {
                self.state.counters.count(Counter::SlaveRemovalsReasonRegistered);
                let cause = "a new agent registered with the same identity";
                self.depart(&other.id, Departure::Removed, cause, out);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A registered agent joins again: its link broke, or it was restarted.
    fn rejoin(
        &mut self,
        (from, owner): (&BoundPid, Owner),
        old: &Agent,
        message: Reregistration,
        out: &mut Out,
    ) {
        let peer = peer_of(from);
        let id = &message.id;
        self.state.counters.count(Counter::SlaveReregistrations);
        out.info(format!("Reregistered agent {id} at {}", sender(from)));
        let registration = message.registration;
        let mut info = registration.info;
        info.id = Some(v1::AgentId { value: id.to_string() });
        if info != *old.info || old.owner != owner {
            out.persist(record(id, &owner, &old.orders, &info));
        }
        authentication::admitted(from, out);
        if old.peer != peer {
            self.by_peer.remove(&old.peer);
            self.by_peer.insert(peer.clone(), id.clone());
            // Whoever has an identity keeps it: only one without can have come by another.
            if let Some(identity) = &peer.identity {
                self.by_identity.insert(identity.clone(), id.clone());
            }
            out.push(Effect::Unlink { peer: old.peer.clone() });
            out.end_session(old.peer.pid.clone(), old.session);
        }
        out.push(Effect::Link { peer: peer.clone() });
        if let Some(deadline) = self.away.remove(id) {
            self.cancel_removals(|removal| *removal == Removal::Away(id.clone()), out);
            self.timers.cancel(deadline, super::timers::Timer::Reregistration(id.clone()));
        }
        // What was offered may not be there any more.
        if registration.total != old.total {
            self.rescind_offers_of(id, out);
        }
        if let Some(agent) = edit(&mut self.state.agents, id) {
            agent.peer = peer.clone();
            agent.owner = owner;
            agent.session = authentication::session_of(from);
            agent.connection = from.connection();
            agent.info = Arc::new(info);
            agent.version = registration.version;
            agent.capabilities = registration.capabilities;
            agent.resource_version = registration.resource_version;
            agent.total = registration.total;
            agent.reregistered = Some(out.now.wall);
            agent.connected = true;
            agent.active = !agent.orders.deactivated;
        }
        self.answered(old.observer, out);
        let completed = self.completed_among(message.frameworks.keys());
        for (framework_id, framework) in &message.frameworks {
            self.recover_framework(framework_id, framework, out);
        }
        let reconciliations = self.reconcile_known(id, &message.executors, &message.tasks, out);
        self.refresh_allocator_agent(id, out);
        let active = self.state.agents.get(id).is_some_and(|agent| agent.active);
        let event = allocator::Event::AgentSwitched { id: id.clone(), active };
        self.allocator.handle(event, out.now.monotonic);
        self.finish_reregistration(id, Some(reconciliations), &completed, &message.frameworks, out);
        self.resend_kills(id, out);
        self.kill_strays(id, &message.tasks, out);
    }

    /// Compares what the master believes to run on the agent with what the agent says: executors
    /// that it does not know are struck out, tasks that it does not know become questions.
    fn reconcile_known(
        &mut self,
        id: &AgentId,
        executors: &[super::state::Executor],
        tasks: &[super::state::Task],
        out: &mut Out,
    ) -> Vec<internal::ReconcileTasksMessage> {
        let Some(agent) = self.state.agents.get(id).cloned() else { return Vec::new() };
        let listed: BTreeSet<_> =
            executors.iter().map(|e| (e.framework_id.clone(), e.id.clone())).collect();
        for key in agent.executors.keys().filter(|key| !listed.contains(key)) {
            self.remove_executor(&key.0, id, &key.1, out);
        }
        for executor in executors {
            let key = (executor.framework_id.clone(), executor.id.clone());
            let known = self.state.frameworks.contains_key(&executor.framework_id);
            if known && !agent.executors.contains_key(&key) {
                self.insert_executor(executor.clone());
                let event = allocator::Event::Used {
                    framework_id: executor.framework_id.clone(),
                    agent_id: id.clone(),
                    resources: executor.resources.clone(),
                };
                self.allocator.handle(event, out.now.monotonic);
            }
        }
        let listed: BTreeSet<_> =
            tasks.iter().map(|task| (task.framework_id.clone(), task.id.clone())).collect();
        let mut questions: BTreeMap<FrameworkId, Vec<v1::TaskStatus>> = BTreeMap::new();
        for (framework_id, task_id) in agent.tasks.iter().filter(|key| !listed.contains(key)) {
            let task = self.state.frameworks.get(framework_id).and_then(|f| f.tasks.get(task_id));
            if let Some(task) = task {
                let text = "Reconciliation: Task is unknown to the agent";
                let status = status::latest(task, Reason::Reconciliation, text, out.now.wall);
                questions.entry(framework_id.clone()).or_default().push(status);
            }
        }
        questions
            .into_iter()
            .map(|(framework_id, statuses)| internal::ReconcileTasksMessage {
                framework: self
                    .state
                    .frameworks
                    .get(&framework_id)
                    .map(|framework| framework.info.as_ref().clone()),
                framework_id: v1::FrameworkId { value: framework_id.to_string() },
                statuses,
            })
            .collect()
    }

    /// An agent that is not registered comes back, with what runs there. `lost_before` says why
    /// schedulers have to be told that their tasks are there again.
    fn come_back(
        &mut self,
        (from, owner): (&BoundPid, Owner),
        message: Reregistration,
        lost_before: Option<&str>,
        out: &mut Out,
    ) {
        let id = message.id;
        let recovered = self.state.recovered_agents.get(&id).map(|agent| &agent.orders);
        let unreachable = || self.state.unreachable_agents.get(&id).map(|agent| &agent.orders);
        let orders = recovered.or_else(unreachable).cloned().unwrap_or_default();
        if self.state.recovered_agents.remove_mut(&id) {
            self.cancel_removals(|removal| *removal == Removal::Recovered(id.clone()), out);
        }
        self.state.unreachable_agents.remove_mut(&id);
        self.state.counters.count(Counter::SlaveReregistrations);
        out.info(format!("Agent {id} came back at {}", sender(from)));
        self.admit(id.clone(), (from, owner), orders, message.registration, true, out);
        let mut completed = self.completed_among(message.frameworks.keys());
        for (framework_id, framework) in &message.frameworks {
            self.recover_framework(framework_id, framework, out);
        }
        // What a scheduler started that had no right to the id goes to nobody else.
        completed.extend(self.usurped_among(&message.frameworks));
        // Those of frameworks that have ended too: until they have, what they have is not free.
        for executor in message.executors {
            self.insert_executor(executor);
        }
        if lost_before.is_some() {
            self.not_lost(message.tasks.iter().filter(|t| !completed.contains(&t.framework_id)));
        }
        let mut updates = Vec::new();
        for task in message.tasks {
            if completed.contains(&task.framework_id) {
                continue;
            }
            if let Some(why) = lost_before {
                let mut status = status::about(
                    &task,
                    task.state(),
                    Reason::AgentReregistered,
                    why,
                    out.now.wall,
                );
                if let Some(last) = task.info().statuses.last() {
                    status.healthy = last.healthy;
                }
                updates.push((task.framework_id.clone(), status));
            }
            self.find_again(task, out);
        }
        self.remember_ended(&id, message.archived);
        self.open_for_offers(&id, out);
        for (framework_id, status) in updates {
            self.tell(&framework_id, events::update(status), out);
        }
        self.finish_reregistration(&id, None, &completed, &message.frameworks, out);
    }

    /// Tasks that an agent has brought back go on, or their ends are still to be acknowledged:
    /// they are neither lost nor over.
    fn not_lost<'a>(&mut self, tasks: impl Iterator<Item = &'a Task>) {
        let mut found: BTreeMap<&FrameworkId, BTreeSet<TaskId>> = BTreeMap::new();
        for task in tasks {
            found.entry(&task.framework_id).or_default().insert(task.id.clone());
        }
        for (framework_id, ids) in found {
            if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
                framework.unreachable_tasks.take(&ids);
                framework.completed_tasks.extract(|over| ids.contains(&over.id));
            }
        }
    }

    /// Enters a task that an agent has brought back.
    fn find_again(&mut self, task: Task, out: &mut Out) {
        if let Some(framework) = edit(&mut self.state.frameworks, &task.framework_id) {
            // A framework may have started a task of the same name elsewhere, meanwhile. The
            // newer one is kept; the other has nobody to belong to and is ended.
            if framework.tasks.contains_key(&task.id) {
                out.warn(format!(
                    "Agent {} brought back task {} of framework {}, which runs elsewhere by now; \
                     it is killed",
                    task.agent_id, task.id, task.framework_id
                ));
                self.send_kill(&task.agent_id, (&task.framework_id, &task.id), None, out);
                return;
            }
        }
        self.insert_task(task);
    }

    fn completed_among<'a>(
        &self,
        ids: impl Iterator<Item = &'a FrameworkId>,
    ) -> BTreeSet<FrameworkId> {
        ids.filter(|id| self.is_completed(id)).cloned().collect()
    }

    /// Answers the agent, then tells it of frameworks that ended and of those that go on. Only an
    /// agent that was registered is asked about what it has forgotten.
    fn finish_reregistration(
        &mut self,
        id: &AgentId,
        reconciliations: Option<Vec<internal::ReconcileTasksMessage>>,
        completed: &BTreeSet<FrameworkId>,
        frameworks: &BTreeMap<FrameworkId, v1::FrameworkInfo>,
        out: &mut Out,
    ) {
        let Some(agent) = self.state.agents.get(id).cloned() else { return };
        // The order of the original, which differs between agents known and not.
        let known = reconciliations.is_some();
        if !known {
            self.resume_draining(id, out);
        }
        let message = internal::SlaveReregisteredMessage {
            slave_id: v1::AgentId { value: id.to_string() },
            reconciliations: reconciliations.unwrap_or_default(),
            connection: Some(self.connection()),
        };
        out.send(&agent.peer, Outbound::AgentReregistered(message));
        for framework_id in completed {
            let framework_id = v1::FrameworkId { value: framework_id.to_string() };
            let message = internal::ShutdownFrameworkMessage { framework_id };
            out.send(&agent.peer, Outbound::ShutdownFramework(message));
        }
        if known {
            self.resume_draining(id, out);
        }
        if !agent.has(v1::agent_info::capability::Type::ResourceProvider)
            && let Some(message) = operations::checkpoint_message(&agent)
        {
            out.send(&agent.peer, message);
        }
        for framework_id in frameworks.keys().filter(|id| !completed.contains(*id)) {
            if let Some(framework) = self.state.frameworks.get(framework_id) {
                let message = super::frameworks::update_message(framework);
                out.send(&agent.peer, Outbound::UpdateFramework(message));
            }
        }
    }

    /// Kills again what was to be killed before the agent's link broke.
    fn resend_kills(&mut self, id: &AgentId, out: &mut Out) {
        let Some(agent) = self.state.agents.get(id).cloned() else { return };
        for (framework_id, task_id) in agent.tasks.iter() {
            let Some(policy) = self.kills.get(&(framework_id.clone(), task_id.clone())) else {
                continue;
            };
            let state = self
                .state
                .frameworks
                .get(framework_id)
                .and_then(|framework| framework.tasks.get(task_id))
                .map_or(TaskState::TaskLost, |task| task.state());
            if !status::is_terminal(state) {
                self.send_kill(id, (framework_id, task_id), *policy, out);
            }
        }
    }

    /// Kills what the agent still runs although its scheduler was told that it is lost: tasks of
    /// frameworks that do not checkpoint, after the link broke.
    fn kill_strays(&self, id: &AgentId, tasks: &[super::state::Task], out: &mut Out) {
        for task in tasks.iter().filter(|task| !status::is_terminal(task.state())) {
            let framework = self.state.frameworks.get(&task.framework_id);
            if framework.is_some_and(|framework| !framework.tasks.contains_key(&task.id)) {
                out.warn(format!("Task {} on agent {id} was given up before; killing it", task.id));
                self.send_kill(id, (&task.framework_id, &task.id), None, out);
            }
        }
    }
}
