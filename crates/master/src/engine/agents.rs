//! Agents that are there: who may speak for them, pings, broken links, and how they leave.

use std::sync::Arc;

use libprocess::sender::BoundPid;
use libprocess::upid::Upid;
use model::id::{AgentId, FrameworkId};
use model::identity::Identity;
use model::principal::Owner;
use model::time::Instant;
use registry::{AgentRecord, Operation, Orders, Standing};
use wire::resources::{Form, read, write};
use wire::v1::task_status::Reason;
use wire::v1::{OperationState, TaskState};
use wire::{internal, v1};

use super::Engine;
use super::announcement::Announcement;
use super::authentication::NOT_AUTHENTICATED;
use super::collections::edit;
use super::counters::Counter;
use super::effect::{Effect, Peer};
use super::message::Outbound;
use super::out::{Out, quoted, sender};
use super::removals::{self, Removal};
use super::state::{Agent, DepartedAgent};
use super::timers::Timer;
use super::{events, status};

/// Watches one agent.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) agent_id: AgentId,
    /// Whether the last ping is unanswered.
    pub(super) awaiting: bool,
    /// How many pings in a row are unanswered.
    pub(super) missed: u32,
    /// Whether it is to become unreachable, unless it answers before its turn.
    pub(super) leaving: bool,
    /// When the next ping is due.
    pub(super) next: Instant,
}

/// How an agent leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// An operator gave it up.
    Gone,
    /// It left, or another took its place.
    Removed,
    /// It did not answer in time.
    Unreachable,
}

/// What frameworks are told of their operations on an agent that leaves so.
fn told_of_operations(how: Departure) -> Option<(OperationState, &'static str)> {
    match how {
        Departure::Gone => {
            Some((OperationState::OperationGoneByOperator, "Agent has been marked gone"))
        }
        Departure::Removed => None,
        Departure::Unreachable => {
            Some((OperationState::OperationUnreachable, "Agent was marked unreachable"))
        }
    }
}

/// The actor that pings from observer `number`.
fn observer_actor(number: u64) -> String {
    format!("slave-observer({number})")
}

/// The description as the registry keeps it.
pub(super) fn record(
    id: &AgentId,
    owner: &Owner,
    orders: &Orders,
    info: &v1::AgentInfo,
) -> Operation {
    let mut info = info.clone();
    // What is not resources was refused when the agent registered.
    if let Ok(resources) = read(&info.resources) {
        info.resources = write(&resources, Form::PreRefinement);
    }
    let standing = Standing::Admitted(Box::new(info));
    let (id, owner, orders) = (id.clone(), owner.clone(), orders.clone());
    Operation::PutAgent(AgentRecord { id, owner, standing, orders })
}

impl Engine {
    /// The registered agent that the sender is.
    pub(super) fn agent_of(&self, from: &BoundPid) -> Option<&Arc<Agent>> {
        let peer = peer_of(from);
        self.by_peer.get(&peer).and_then(|id| self.state.agents.get(id))
    }

    /// The registered agent that a message is about, if the sender is that agent.
    pub(super) fn agent_speaking(
        &self,
        from: &BoundPid,
        named: Option<&v1::AgentId>,
    ) -> Result<AgentId, String> {
        let named = named.ok_or("no agent id is given")?;
        match self.agent_of(from) {
            Some(agent) if !agent.owner.admits(&from.owner()) => {
                Err(format!("it has not proved to be agent {}, as that did before", agent.id))
            }
            Some(agent) if agent.id.as_str() == named.value => Ok(agent.id.clone()),
            Some(agent) => Err(format!("it is agent {}, not {}", agent.id, quoted(&named.value))),
            None => Err(format!("it is not registered as agent {}", quoted(&named.value))),
        }
    }

    /// Counts and logs a message that is not acted on.
    pub(super) fn refuse(&mut self, from: &BoundPid, name: &str, why: &str, out: &mut Out) {
        self.state.counters.count(Counter::DroppedMessages);
        let name = name.rsplit('.').next().unwrap_or(name);
        // The original's words, for which people look in logs.
        let words = match (why, name) {
            (NOT_AUTHENTICATED, "RegisterSlaveMessage") => "registration",
            (NOT_AUTHENTICATED, "ReregisterSlaveMessage") => "reregistration",
            _ => {
                return out.warn(format!(
                    "Refused {name} from {}: {}",
                    sender(from),
                    why.escape_debug()
                ));
            }
        };
        let pid = from.upid().to_string();
        let pid = pid.escape_debug();
        out.warn(format!("Refusing {words} of agent at {pid} because it is not authenticated"));
    }

    pub(super) fn start_observing(&mut self, agent_id: &AgentId, out: &mut Out) -> u64 {
        self.next_observer += 1;
        let number = self.next_observer;
        let observer = Observer {
            agent_id: agent_id.clone(),
            awaiting: false,
            missed: 0,
            leaving: false,
            next: out.now.monotonic,
        };
        self.observers.insert(number, observer);
        number
    }

    /// The moment of a ping: counts the one before as missed if it was, gives the agent up if too
    /// many were, and pings again.
    pub(super) fn ping(&mut self, number: u64, out: &mut Out) {
        let Some(observer) = self.observers.get_mut(&number) else { return };
        let agent_id = observer.agent_id.clone();
        if observer.awaiting {
            observer.missed += 1;
            if observer.missed >= self.config.max_agent_ping_timeouts && !observer.leaving {
                observer.leaving = true;
                self.schedule_removal(Removal::Silent(number), out);
            }
        }
        // An agent that has to wait for its turn to become unreachable may still answer.
        let Some(observer) = self.observers.get_mut(&number) else { return };
        observer.awaiting = true;
        observer.next = out.now.monotonic + self.config.agent_ping_timeout;
        self.timers.set(observer.next, Timer::Ping(number));
        if let Some(agent) = self.state.agents.get(&agent_id) {
            let message = internal::PingSlaveMessage { connected: agent.connected };
            out.send_as(observer_actor(number), &agent.peer, Outbound::Ping(message));
        }
    }

    pub(super) fn pong(&mut self, from: &BoundPid, to: &str, out: &mut Out) -> Result<(), String> {
        let agent = self.agent_of(from).ok_or("it is no registered agent")?;
        if !agent.owner.admits(&from.owner()) {
            return Err(format!("it has not proved to be agent {}, as that did before", agent.id));
        }
        if observer_actor(agent.observer) != to {
            return Err(format!("{} does not ping it", quoted(to)));
        }
        let number = agent.observer;
        self.answered(number, out);
        Ok(())
    }

    /// An agent has shown that it is there.
    pub(super) fn answered(&mut self, number: u64, out: &mut Out) {
        let Some(observer) = self.observers.get_mut(&number) else { return };
        observer.awaiting = false;
        observer.missed = 0;
        if std::mem::take(&mut observer.leaving) {
            self.cancel_removals(|removal| *removal == Removal::Silent(number), out);
        }
    }

    /// The link to a peer broke.
    pub(super) fn exited(&mut self, pid: Upid, identity: Option<Identity>, out: &mut Out) {
        let peer = Peer { pid, identity };
        if let Some(agent_id) = self.by_peer.get(&peer).cloned() {
            self.disconnect_agent(&agent_id, out);
        }
        self.driver_exited(&peer, out);
    }

    fn disconnect_agent(&mut self, agent_id: &AgentId, out: &mut Out) {
        let Some(agent) = edit(&mut self.state.agents, agent_id) else { return };
        if !agent.connected {
            return;
        }
        agent.connected = false;
        agent.active = false;
        let (pid, session) = (agent.peer.pid.clone(), agent.session.take());
        out.warn(format!("Agent {agent_id} at {} disconnected", agent.info.hostname));
        let event = allocator::Event::AgentSwitched { id: agent_id.clone(), active: false };
        self.allocator.handle(event, out.now.monotonic);
        out.end_session(pid, session);
        self.rescind_offers_of(agent_id, out);
        self.rescind_inverse_offers_of(agent_id, out);
        self.lose_uncheckpointed(agent_id, out);
        let deadline = out.now.monotonic + self.config.agent_reregister_timeout;
        self.away.insert(agent_id.clone(), deadline);
        self.timers.set(deadline, Timer::Reregistration(agent_id.clone()));
    }

    /// Frameworks that do not checkpoint lose what runs there: the agent will not know it again.
    fn lose_uncheckpointed(&mut self, agent_id: &AgentId, out: &mut Out) {
        let Some(agent) = self.state.agents.get(agent_id).cloned() else { return };
        let lost = |id: &FrameworkId| {
            self.state.frameworks.get(id).is_some_and(|framework| !framework.info.checkpoint())
        };
        let tasks: Vec<_> = agent.tasks.iter().filter(|(id, _)| lost(id)).cloned().collect();
        let executors: Vec<_> =
            agent.executors.keys().filter(|(id, _)| lost(id)).cloned().collect();
        let message = format!("Agent {} disconnected", agent.info.hostname);
        for (framework_id, task_id) in tasks {
            self.end_task(
                &framework_id,
                &task_id,
                (TaskState::TaskLost, Reason::AgentDisconnected, &message),
                out,
            );
        }
        for (framework_id, executor_id) in executors {
            self.remove_executor(&framework_id, agent_id, &executor_id, out);
        }
    }

    /// A disconnected agent has not come back in time.
    pub(super) fn reregistration_timed_out(&mut self, agent_id: &AgentId, out: &mut Out) {
        // It stays among those that are away until its turn to become unreachable has come.
        if self.away.contains_key(agent_id) {
            self.schedule_removal(Removal::Away(agent_id.clone()), out);
        }
    }

    /// Takes a registered agent out of the cluster.
    pub(super) fn depart(&mut self, id: &AgentId, how: Departure, cause: &str, out: &mut Out) {
        let Some(agent) = self.state.agents.get(id).cloned() else { return };
        let hostname = &agent.info.hostname;
        let message = match how {
            Departure::Gone => format!("Agent {hostname} has been marked gone: {cause}"),
            Departure::Removed => format!("Agent {hostname} removed: {cause}"),
            Departure::Unreachable => format!("Agent {hostname} is unreachable: {cause}"),
        };
        out.warn(format!("{message} (agent {id})"));
        self.record_departure(id, agent.owner.clone(), agent.orders.clone(), how, out);
        self.rescind_offers_of(id, out);
        if let Some((state, text)) = told_of_operations(how) {
            self.tell_of_operations_on(id, (state, text), out);
        }
        self.remove_operations_on(id, out);
        self.rescind_inverse_offers_of(id, out);
        for (framework_id, task_id) in agent.tasks.iter().cloned().collect::<Vec<_>>() {
            self.lose_task(&framework_id, &task_id, how, &message, out);
        }
        let executors: Vec<_> = agent.executors.keys().cloned().collect();
        for (framework_id, executor_id) in executors {
            self.remove_executor(&framework_id, id, &executor_id, out);
        }
        self.allocator.handle(allocator::Event::AgentRemoved(id.clone()), out.now.monotonic);
        self.forget_place(&agent, out);
        self.state.agents.remove_mut(id);
        if how == Departure::Removed {
            self.announce(Announcement::AgentRemoved(id.clone()));
        }
        if how == Departure::Gone {
            let message = "Agent has been marked gone".to_owned();
            shut_down(&agent.peer, message, out);
        }
        out.push(Effect::Unlink { peer: agent.peer.clone() });
        out.end_session(agent.peer.pid.clone(), agent.session);
        self.tell_agent_lost(id, out);
        self.state.counters.count(Counter::SlaveRemovals);
    }

    /// Enters in the record and in the state how the agent left.
    pub(super) fn record_departure(
        &mut self,
        id: &AgentId,
        owner: Owner,
        orders: Orders,
        how: Departure,
        out: &mut Out,
    ) {
        let since = out.now.wall;
        // Who is gone has no more use for orders.
        let orders = if how == Departure::Unreachable { orders } else { Orders::default() };
        let departed = DepartedAgent { since, owner: owner.clone(), orders: orders.clone() };
        let put = |standing| {
            let (id, owner) = (id.clone(), owner.clone());
            Operation::PutAgent(AgentRecord { id, owner, standing, orders: orders.clone() })
        };
        self.state.unreachable_agents.remove_mut(id);
        match how {
            Departure::Gone => {
                out.persist(put(Standing::Gone { since }));
                self.state.gone_agents.insert_mut(id.clone(), departed);
            }
            Departure::Removed => out.persist(Operation::DeleteAgent(id.clone())),
            Departure::Unreachable => {
                out.persist(put(Standing::Unreachable { since }));
                self.state.unreachable_agents.insert_mut(id.clone(), departed);
            }
        }
    }

    /// Ends the pings to an agent and all that waits for it.
    pub(super) fn forget_place(&mut self, agent: &Agent, out: &mut Out) {
        let its = |removal: &Removal| match removal {
            Removal::Away(id) | Removal::Recovered(id) => *id == agent.id,
            Removal::Silent(number) => *number == agent.observer,
        };
        self.cancel_removals(its, out);
        if self.by_peer.get(&agent.peer) == Some(&agent.id) {
            self.by_peer.remove(&agent.peer);
        }
        if let Some(identity) = &agent.peer.identity
            && self.by_identity.get(identity) == Some(&agent.id)
        {
            self.by_identity.remove(identity);
        }
        if let Some(observer) = self.observers.remove(&agent.observer) {
            self.timers.cancel(observer.next, Timer::Ping(agent.observer));
        }
        if let Some(deadline) = self.away.remove(&agent.id) {
            self.timers.cancel(deadline, Timer::Reregistration(agent.id.clone()));
        }
    }

    fn lose_task(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &model::id::TaskId,
        how: Departure,
        message: &str,
        out: &mut Out,
    ) {
        let Some(framework) = self.state.frameworks.get(framework_id).cloned() else { return };
        let Some(task) = framework.tasks.get(task_id).cloned() else { return };
        let aware = framework.capabilities.partition_aware;
        let (state, reason) = match (how, aware) {
            (Departure::Gone, true) => {
                (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator)
            }
            (Departure::Unreachable, true) => (TaskState::TaskUnreachable, Reason::AgentRemoved),
            _ => (TaskState::TaskLost, Reason::AgentRemoved),
        };
        if how != Departure::Unreachable || status::is_terminal(task.state()) {
            self.end_task(framework_id, task_id, (state, reason, message), out);
            return;
        }
        let mut update = status::about(&task, state, reason, message, out.now.wall);
        update.unreachable_time = Some(v1::TimeInfo { nanoseconds: out.now.wall.as_nanos() });
        self.record_status(framework_id, task_id, &update, state, out);
        if let Some(task) = self.take_task(framework_id, task_id, out) {
            self.archive_unreachable(task);
        }
        self.tell(framework_id, events::update(update), out);
    }

    /// Tells all schedulers that the agent is no more.
    pub(super) fn tell_agent_lost(&mut self, id: &AgentId, out: &mut Out) {
        let frameworks: Vec<_> = self.state.frameworks.keys().cloned().collect();
        for framework_id in frameworks {
            self.tell(&framework_id, events::failure(id.as_str(), None), out);
        }
    }

    /// An agent says that it leaves.
    pub(super) fn unregister(
        &mut self,
        from: &BoundPid,
        message: &internal::UnregisterSlaveMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesUnregisterSlave);
        let id = self.agent_speaking(from, Some(&message.slave_id))?;
        self.state.counters.count(Counter::SlaveRemovalsReasonUnregistered);
        self.depart(&id, Departure::Removed, "the agent unregistered", out);
        Ok(())
    }

    pub(super) fn refresh_allocator_agent(&mut self, id: &AgentId, out: &Out) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let event =
            allocator::Event::AgentUpdated { id: id.clone(), facts: agent.allocator_facts() };
        self.allocator.handle(event, out.now.monotonic);
    }

    /// The registry's agents have had their time.
    pub(super) fn recovery_over(&mut self, out: &mut Out) {
        let missing: Vec<_> = self.state.recovered_agents.keys().cloned().collect();
        let share = missing.len() as f64 / self.recovered_at_start.max(1) as f64;
        let limit = self.config.recovery_agent_removal_limit;
        if share > limit {
            let after = removals::written(self.config.agent_reregister_timeout);
            let share = share * 100.0;
            out.push(Effect::Stop {
                reason: format!(
                    "Post-recovery agent removal limit exceeded! After {after} there were {} \
                     ({share}%) agents recovered from the registry that did not reregister; the \
                     configured limit is {}%",
                    missing.len(),
                    limit * 100.0
                ),
            });
            return;
        }
        for id in missing {
            self.schedule_removal(Removal::Recovered(id), out);
        }
    }

    /// Drops records of departed agents that are too old or too many.
    pub(super) fn prune_records(&mut self, out: &mut Out) {
        let next = out.now.monotonic + self.config.registry_gc_interval;
        self.timers.set(next, Timer::RecordsAge);
        let (age, count) =
            (self.config.registry_max_agent_age, self.config.registry_max_agent_count);
        for agents in [&mut self.state.unreachable_agents, &mut self.state.gone_agents] {
            let mut oldest: Vec<_> =
                agents.iter().map(|(id, agent)| (agent.since, id.clone())).collect();
            oldest.sort();
            let surplus = oldest.len().saturating_sub(count);
            for (n, (since, id)) in oldest.into_iter().enumerate() {
                let lived = out.now.wall.since_epoch().saturating_sub(since.since_epoch());
                if n < surplus || lived > age {
                    agents.remove_mut(&id);
                    out.persist(Operation::DeleteAgent(id));
                }
            }
        }
    }
}

/// The peer that a bound sender is.
pub(super) fn peer_of(from: &BoundPid) -> Peer {
    Peer { pid: from.upid().clone(), identity: from.identity().cloned() }
}

pub(super) fn shut_down(peer: &Peer, message: String, out: &mut Out) {
    let message = internal::ShutdownMessage { message: Some(message) };
    out.send(peer, Outbound::Shutdown(message));
}
