//! Inverse offers: frameworks are asked whether they can leave an agent before its maintenance.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::Refusal as Declined;
use model::id::{AgentId, FrameworkId, OfferId};
use model::time::Timestamp;
use wire::v1;

use super::Engine;
use super::collections::{Map, Set, edit};
use super::events;
use super::offers::refusal;
use super::out::{Out, few_of};
use super::state::{Agent, InverseOffer};
use super::timers::Timer;

/// Planned maintenance as the allocator is told of it.
pub(super) fn facts(unavailability: &v1::Unavailability) -> allocator::Unavailability {
    allocator::Unavailability {
        start: unavailability.start.nanoseconds,
        duration: unavailability.duration.map(|duration| duration.nanoseconds),
    }
}

/// What a framework said, as the maintenance status shows it.
fn answer(
    framework_id: &FrameworkId,
    accepted: bool,
    now: Timestamp,
) -> v1::allocator::InverseOfferStatus {
    let mut status = v1::allocator::InverseOfferStatus {
        framework_id: v1::FrameworkId { value: framework_id.to_string() },
        timestamp: v1::TimeInfo { nanoseconds: now.as_nanos() },
        ..v1::allocator::InverseOfferStatus::default()
    };
    use v1::allocator::inverse_offer_status::Status;
    status.set_status(if accepted { Status::Accept } else { Status::Decline });
    status
}

impl Engine {
    /// Sends what the allocator wants to know, one event per framework.
    pub(super) fn make_inverse_offers(
        &mut self,
        wanted: Vec<allocator::InverseOffer>,
        out: &mut Out,
    ) {
        let mut events: BTreeMap<FrameworkId, Vec<v1::InverseOffer>> = BTreeMap::new();
        for offer in wanted {
            let framework_id = offer.framework_id.clone();
            if let Some(message) = self.make_inverse_offer(offer, out) {
                events.entry(framework_id).or_default().push(message);
            }
        }
        for (framework_id, offers) in events {
            self.tell(&framework_id, events::inverse_offers(offers), out);
        }
    }

    fn make_inverse_offer(
        &mut self,
        offer: allocator::InverseOffer,
        out: &Out,
    ) -> Option<v1::InverseOffer> {
        let id = OfferId::new(&format!("{}-O{}", self.config.master.id, self.next_offer)).ok()?;
        let framework = edit(&mut self.state.frameworks, &offer.framework_id)?;
        let agent = edit(&mut self.state.agents, &offer.agent_id)?;
        let unavailability = agent.unavailability?;
        if !framework.active || !agent.active {
            return None;
        }
        self.next_offer += 1;
        let deadline = self.config.offer_timeout.map(|timeout| out.now.monotonic + timeout);
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Timer::InverseOffer(id.clone()));
        }
        let offer = InverseOffer {
            id: id.clone(),
            framework_id: offer.framework_id,
            agent_id: offer.agent_id,
            unavailability,
            deadline,
        };
        agent.inverse_offers.insert_mut(id.clone());
        framework.inverse_offers.insert_mut(id.clone());
        let message = offer.message(agent);
        self.state.inverse_offers.insert_mut(id, Arc::new(offer));
        Some(message)
    }

    /// Strikes out an inverse offer.
    fn take_inverse_offer(&mut self, id: &OfferId) -> Option<Arc<InverseOffer>> {
        let offer = self.state.inverse_offers.get(id).cloned()?;
        self.state.inverse_offers.remove_mut(id);
        if let Some(deadline) = offer.deadline {
            self.timers.cancel(deadline, Timer::InverseOffer(id.clone()));
        }
        if let Some(agent) = edit(&mut self.state.agents, &offer.agent_id) {
            agent.inverse_offers.remove_mut(id);
        }
        if let Some(framework) = edit(&mut self.state.frameworks, &offer.framework_id) {
            framework.inverse_offers.remove_mut(id);
        }
        Some(offer)
    }

    /// Strikes out an inverse offer that nobody has answered.
    fn withdraw(&mut self, id: &OfferId, out: &Out) -> Option<Arc<InverseOffer>> {
        let offer = self.take_inverse_offer(id)?;
        let event = allocator::Event::InverseOfferWithdrawn {
            framework_id: offer.framework_id.clone(),
            agent_id: offer.agent_id.clone(),
        };
        self.allocator.handle(event, out.now.monotonic);
        Some(offer)
    }

    /// Takes an inverse offer back and tells its framework.
    pub(super) fn rescind_inverse(&mut self, id: &OfferId, out: &mut Out) {
        if let Some(offer) = self.withdraw(id, out) {
            let event = events::rescind_inverse_offer(id.as_str());
            self.tell(&offer.framework_id, event, out);
        }
    }

    /// Takes back all inverse offers about an agent, and tells their frameworks.
    pub(super) fn rescind_inverse_offers_of(&mut self, agent_id: &AgentId, out: &mut Out) {
        let offers = self.state.agents.get(agent_id).map(|agent| agent.inverse_offers.clone());
        for id in offers.unwrap_or_default().iter() {
            self.rescind_inverse(id, out);
        }
    }

    /// Takes back all inverse offers to a framework that nobody listens for any more.
    pub(super) fn discard_inverse_offers(&mut self, framework_id: &FrameworkId, out: &Out) {
        let none: Set<OfferId> = Set::default();
        let framework = self.state.frameworks.get(framework_id);
        let offers = framework.map_or(none, |framework| framework.inverse_offers.clone());
        for id in offers.iter() {
            self.withdraw(id, out);
        }
    }

    /// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS
    pub(super) fn answer_inverse_offers(
        &mut self,
        framework_id: &FrameworkId,
        (ids, accepted): (&[v1::OfferId], bool),
        filters: Option<&v1::Filters>,
        out: &mut Out,
    ) {
        let refusal: Declined = refusal(filters);
        let mut ignored = Vec::new();
        for id in ids {
            let own = OfferId::new(&id.value).ok().filter(|id| {
                let offer = self.state.inverse_offers.get(id);
                offer.is_some_and(|offer| offer.framework_id == *framework_id)
            });
            let Some(offer) = own.and_then(|id| self.take_inverse_offer(&id)) else {
                ignored.push(id.value.as_str());
                continue;
            };
            if let Some(agent) = edit(&mut self.state.agents, &offer.agent_id) {
                let status = answer(framework_id, accepted, out.now.wall);
                agent.inverse_answers.insert_mut(framework_id.clone(), status);
            }
            let event = allocator::Event::InverseOfferAnswered {
                framework_id: framework_id.clone(),
                agent_id: offer.agent_id.clone(),
                accepted,
                at: out.now.wall,
                refusal,
            };
            self.allocator.handle(event, out.now.monotonic);
        }
        if !ignored.is_empty() {
            let ids = few_of(&ignored);
            out.info(format!("Ignored an answer to inverse offers {ids}, no longer valid"));
        }
    }

    /// Forgets what a framework said that is no more.
    pub(super) fn forget_answers_of(&mut self, framework_id: &FrameworkId) {
        let with = |agent: &&Arc<Agent>| agent.inverse_answers.contains_key(framework_id);
        let agents = self.state.agents.values().filter(with);
        let agents: Vec<_> = agents.map(|agent| agent.id.clone()).collect();
        for id in agents {
            if let Some(agent) = edit(&mut self.state.agents, &id) {
                agent.inverse_answers.remove_mut(framework_id);
            }
        }
    }

    /// The planned maintenance of an agent's machine changed. What was offered without mention of
    /// it is taken back, and what frameworks said about the old plan counts no more.
    pub(super) fn set_unavailability(
        &mut self,
        agent_id: &AgentId,
        unavailability: Option<v1::Unavailability>,
        out: &mut Out,
    ) {
        if !self.state.agents.contains_key(agent_id) {
            return;
        }
        self.rescind_offers_of(agent_id, out);
        self.rescind_inverse_offers_of(agent_id, out);
        if let Some(agent) = edit(&mut self.state.agents, agent_id) {
            agent.unavailability = unavailability;
            agent.inverse_answers = Map::default();
        }
        self.tell_allocator_of_maintenance(agent_id, out);
    }

    /// Tells the allocator when the agent will be out of service.
    pub(super) fn tell_allocator_of_maintenance(&mut self, agent_id: &AgentId, out: &Out) {
        let Some(agent) = self.state.agents.get(agent_id) else { return };
        let event = allocator::Event::UnavailabilitySet {
            agent_id: agent_id.clone(),
            unavailability: agent.unavailability.as_ref().map(facts),
        };
        self.allocator.handle(event, out.now.monotonic);
    }
}
