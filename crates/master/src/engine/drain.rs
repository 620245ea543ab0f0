//! What operators order for agents: to drain, to take no more work, to take work again, to be
//! given up for good.
//!
//! The orders are on record and bind an agent also while it is away.

use std::sync::Arc;

use model::id::AgentId;
use registry::{AgentRecord, Operation, Orders, Standing};
use wire::{internal, v1};

use super::Engine;
use super::agents::{Departure, record};
use super::collections::edit;
use super::effect::Accepted;
use super::message::Outbound;
use super::out::{Out, quoted};
use super::refusal::Refusal;
use super::removals::Removal;
use super::state::{Agent, State};

impl Engine {
    /// The orders for an agent that is registered, expected back, or unreachable; `None` if it is
    /// none of these.
    fn orders(&self, id: &AgentId) -> Option<&Orders> {
        let State { agents, recovered_agents, unreachable_agents, .. } = &self.state;
        None.or_else(|| agents.get(id).map(|agent| &agent.orders))
            .or_else(|| recovered_agents.get(id).map(|agent| &agent.orders))
            .or_else(|| unreachable_agents.get(id).map(|agent| &agent.orders))
    }

    /// Enters new orders for an agent, on record and in the state.
    fn order(&mut self, id: &AgentId, orders: Orders, out: &mut Out) {
        if let Some(agent) = edit(&mut self.state.agents, id) {
            agent.orders = orders;
            out.persist(record(id, &agent.owner, &agent.orders, &agent.info));
        } else if let Some(agent) = edit(&mut self.state.recovered_agents, id) {
            agent.orders = orders;
            out.persist(record(id, &agent.owner, &agent.orders, &agent.info));
        } else if let Some(agent) = self.state.unreachable_agents.get_mut(id) {
            agent.orders = orders.clone();
            out.persist(Operation::PutAgent(AgentRecord {
                id: id.clone(),
                owner: agent.owner.clone(),
                standing: Standing::Unreachable { since: agent.since },
                orders,
            }));
        }
    }

    /// DRAIN_AGENT: its tasks are to end, and nothing of it is offered until it is reactivated. An
    /// agent that is away is told when it comes back.
    pub(super) fn drain_agent(
        &mut self,
        id: &AgentId,
        config: v1::DrainConfig,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        if self.orders(id).is_none() {
            return Err(Refusal::UnknownAgent);
        }
        let incapable =
            |agent: &Arc<Agent>| !agent.has(v1::agent_info::capability::Type::AgentDraining);
        if self.state.agents.get(id).is_some_and(incapable) {
            return Err(Refusal::AgentCannotDrain(id.clone()));
        }
        out.info(format!("Agent {id} is to drain"));
        let drain = v1::DrainInfo { state: v1::DrainState::Draining.into(), config };
        self.order(id, Orders { drain: Some(drain), deactivated: true }, out);
        self.close_for_offers(id, out);
        self.send_drain(id, out);
        self.maybe_drained(id);
        Ok(Accepted::Done)
    }

    /// Tells an agent that it drains, if it does. One that has drained is told too: it may have
    /// forgotten.
    pub(super) fn send_drain(&mut self, id: &AgentId, out: &mut Out) {
        let Some(agent) = edit(&mut self.state.agents, id) else { return };
        let Some(drain) = &agent.orders.drain else { return };
        let message = internal::DrainSlaveMessage { config: drain.config };
        agent.estimated_drain_start = Some(out.now.wall);
        out.send(&agent.peer, Outbound::DrainAgent(message));
    }

    /// An agent has come back: if it drains, it goes on with that.
    pub(super) fn resume_draining(&mut self, id: &AgentId, out: &mut Out) {
        self.send_drain(id, out);
        // Agents that know of resource providers say which operations are pending only after this.
        let provider = v1::agent_info::capability::Type::ResourceProvider;
        if self.state.agents.get(id).is_some_and(|agent| !agent.has(provider)) {
            self.maybe_drained(id);
        }
    }

    /// DEACTIVATE_AGENT: nothing of it is offered until it is reactivated; what runs there goes on.
    pub(super) fn deactivate_agent(
        &mut self,
        id: &AgentId,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let Some(orders) = self.orders(id).cloned() else { return Err(Refusal::UnknownAgent) };
        out.info(format!("Agent {id} is deactivated"));
        self.order(id, Orders { deactivated: true, ..orders }, out);
        self.close_for_offers(id, out);
        Ok(Accepted::Done)
    }

    /// REACTIVATE_AGENT: it is offered again, now or when it comes back.
    pub(super) fn reactivate_agent(
        &mut self,
        id: &AgentId,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let Some(orders) = self.orders(id).filter(|orders| orders.deactivated) else {
            return Err(Refusal::AgentNotDeactivated);
        };
        let drains = |drain: &v1::DrainInfo| drain.state() == v1::DrainState::Draining;
        if orders.drain.as_ref().is_some_and(drains) {
            return Err(Refusal::AgentDrains);
        }
        out.info(format!("Agent {id} is reactivated"));
        self.order(id, Orders::default(), out);
        if let Some(agent) = edit(&mut self.state.agents, id) {
            agent.estimated_drain_start = None;
            agent.active = agent.connected;
            let event = allocator::Event::AgentSwitched { id: id.clone(), active: agent.active };
            self.allocator.handle(event, out.now.monotonic);
        }
        Ok(Accepted::Done)
    }

    /// Offers nothing of the agent, and takes back what is offered.
    pub(super) fn close_for_offers(&mut self, id: &AgentId, out: &mut Out) {
        let Some(agent) = edit(&mut self.state.agents, id) else { return };
        agent.active = false;
        let event = allocator::Event::AgentSwitched { id: id.clone(), active: false };
        self.allocator.handle(event, out.now.monotonic);
        self.rescind_offers_of(id, out);
        self.rescind_inverse_offers_of(id, out);
    }

    /// Something ended on the agent. If it drains, the end of the event at hand is the time to see
    /// whether that was all.
    pub(super) fn maybe_drained(&mut self, id: &AgentId) {
        let drains = |agent: &Arc<Agent>| agent.is_draining();
        if self.state.agents.get(id).is_some_and(drains) {
            self.maybe_drained.insert(id.clone());
        }
    }

    /// Agents that drain and on which nothing is left have drained, or are gone if that was wanted.
    pub(super) fn finish_draining(&mut self, out: &mut Out) {
        while let Some(id) = self.maybe_drained.pop_first() {
            let Some(agent) = self.state.agents.get(&id) else { continue };
            if !agent.is_draining() || !agent.is_idle() {
                continue;
            }
            let Some(drain) = agent.orders.drain else { continue };
            if drain.config.mark_gone() {
                out.info(format!("Agent {id} has drained and is given up"));
                self.depart(&id, Departure::Gone, "it was drained", out);
                continue;
            }
            out.info(format!("Agent {id} has drained"));
            let drained = v1::DrainInfo { state: v1::DrainState::Drained.into(), ..drain };
            let orders = Orders { drain: Some(drained), ..agent.orders.clone() };
            self.order(&id, orders, out);
        }
    }

    /// MARK_AGENT_GONE: the agent is lost for good, and its id may never come back.
    pub(super) fn mark_agent_gone(
        &mut self,
        id: &AgentId,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        if self.state.agents.contains_key(id) {
            self.depart(id, Departure::Gone, "by an operator", out);
            return Ok(Accepted::Done);
        }
        let recovered = self.state.recovered_agents.get(id).map(|agent| agent.owner.clone());
        let unreachable = || self.state.unreachable_agents.get(id).map(|agent| agent.owner.clone());
        let Some(owner) = recovered.or_else(unreachable) else {
            return if self.state.gone_agents.contains_key(id) {
                Ok(Accepted::Done)
            } else {
                Err(Refusal::AgentNotFound(id.to_string()))
            };
        };
        out.info(format!("An operator marks agent {} gone", quoted(id.as_str())));
        if self.state.recovered_agents.remove_mut(id) {
            self.cancel_removals(|removal| *removal == Removal::Recovered(id.clone()), out);
        }
        self.record_departure(id, owner, Orders::default(), Departure::Gone, out);
        self.tell_agent_lost(id, out);
        Ok(Accepted::Done)
    }
}
