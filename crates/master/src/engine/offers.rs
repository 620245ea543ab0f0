//! Offers: made, taken back, declined, accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use allocator::Refusal as Declined;
use model::id::{AgentId, FrameworkId, OfferId};
use model::resources::{Resource, Resources};
use model::role::Role;
use wire::resources::{Form, write};
use wire::v1;
use wire::v1::scheduler::call;

use super::Engine;
use super::collections::{Set, edit};
use super::counters::Counter;
use super::events;
use super::out::{Out, few_of};
use super::state::{Agent, Framework, Offer};
use super::timers::Timer;

/// An offer as its framework sees it.
fn message(offer: &Offer, agent: &Agent, framework: &Framework) -> v1::Offer {
    let form = if framework.capabilities.reservation_refinement {
        Form::PostRefinement
    } else {
        Form::PreRefinement
    };
    let multi_role = framework.capabilities.multi_role;
    // The agent keeps these to itself.
    let visible = offer.resources.filter(|resource| &*resource.name != "ephemeral_ports");
    let visible = if multi_role { visible } else { visible.unallocated() };
    let whole = offer.message(agent, write(&visible, form));
    v1::Offer { allocation_info: whole.allocation_info.filter(|_| multi_role), ..whole }
}

impl Engine {
    /// Runs the allocator and sends what it offers, one event per framework.
    pub(super) fn make_offers(&mut self, out: &mut Out) {
        let mut events: BTreeMap<FrameworkId, Vec<v1::Offer>> = BTreeMap::new();
        let allocations = self.allocator.allocate(out.now.monotonic);
        for offer in allocations.offers {
            let (framework_id, agent_id) = (offer.framework_id.clone(), offer.agent_id.clone());
            match self.make_offer(offer, out) {
                Ok(message) => events.entry(framework_id).or_default().push(message),
                Err(resources) => {
                    let none = Declined::None;
                    self.recover_resources(&framework_id, &agent_id, &resources, none, out);
                }
            }
        }
        for (framework_id, offers) in events {
            self.tell(&framework_id, events::offers(offers), out);
        }
        self.make_inverse_offers(allocations.inverse_offers, out);
    }

    /// Enters an offer. Returns its resources if nobody is there to take it.
    fn make_offer(&mut self, offer: allocator::Offer, out: &Out) -> Result<v1::Offer, Resources> {
        let text = format!("{}-O{}", self.config.master.id, self.next_offer);
        let (Ok(id), Some(framework), Some(agent)) = (
            OfferId::new(&text),
            edit(&mut self.state.frameworks, &offer.framework_id),
            edit(&mut self.state.agents, &offer.agent_id),
        ) else {
            return Err(offer.resources);
        };
        if !framework.active || !agent.active {
            return Err(offer.resources);
        }
        self.next_offer += 1;
        let deadline = self.config.offer_timeout.map(|timeout| out.now.monotonic + timeout);
        if let Some(deadline) = deadline {
            self.timers.set(deadline, Timer::Offer(id.clone()));
        }
        let offer = Offer {
            id: id.clone(),
            framework_id: offer.framework_id,
            agent_id: offer.agent_id,
            role: offer.role,
            resources: offer.resources,
            deadline,
        };
        agent.offered.add_all(&offer.resources);
        agent.offers.insert_mut(id.clone());
        framework.offers.insert_mut(id.clone());
        framework.counters.offers_sent += 1;
        let message = message(&offer, agent, framework);
        self.state.offers.insert_mut(id, Arc::new(offer));
        Ok(message)
    }

    /// Strikes out an offer; its resources still count as the framework's.
    pub(super) fn take_offer(&mut self, id: &OfferId) -> Option<Arc<Offer>> {
        let offer = self.state.offers.get(id).cloned()?;
        self.state.offers.remove_mut(id);
        if let Some(deadline) = offer.deadline {
            self.timers.cancel(deadline, Timer::Offer(id.clone()));
        }
        if let Some(agent) = edit(&mut self.state.agents, &offer.agent_id) {
            agent.offered = agent.offered.minus(&offer.resources);
            agent.offers.remove_mut(id);
        }
        if let Some(framework) = edit(&mut self.state.frameworks, &offer.framework_id) {
            framework.offers.remove_mut(id);
        }
        Some(offer)
    }

    pub(super) fn give_back(&mut self, offer: &Offer, refusal: Declined, out: &Out) {
        let Offer { framework_id, agent_id, resources, .. } = offer;
        self.recover_resources(framework_id, agent_id, resources, refusal, out);
    }

    /// Takes an offer back and tells its framework.
    pub(super) fn rescind(&mut self, id: &OfferId, out: &mut Out) {
        self.rescind_with(id, Declined::None, out);
    }

    /// Takes an offer back and tells its framework, which does not see the same again for a while
    /// if `refusal` says so.
    pub(super) fn rescind_with(&mut self, id: &OfferId, refusal: Declined, out: &mut Out) {
        let Some(offer) = self.take_offer(id) else { return };
        self.give_back(&offer, refusal, out);
        if let Some(framework) = edit(&mut self.state.frameworks, &offer.framework_id) {
            framework.counters.offers_rescinded += 1;
        }
        self.tell(&offer.framework_id, events::rescind(id.as_str()), out);
    }

    pub(super) fn rescind_offers_of(&mut self, agent_id: &AgentId, out: &mut Out) {
        self.rescind_offers_where(agent_id, |_| true, out);
    }

    /// Takes back the agent's offers that hold something `concerned`.
    pub(super) fn rescind_offers_where(
        &mut self,
        agent_id: &AgentId,
        concerned: impl Fn(&Resource) -> bool,
        out: &mut Out,
    ) {
        let offers: Vec<_> = self
            .state
            .agents
            .get(agent_id)
            .into_iter()
            .flat_map(|agent| agent.offers.iter())
            .filter_map(|id| self.state.offers.get(id))
            .filter(|offer| offer.resources.iter().any(&concerned))
            .map(|offer| offer.id.clone())
            .collect();
        for id in offers {
            self.rescind(&id, out);
        }
    }

    /// Takes back all offers to a framework, and tells it.
    pub(super) fn rescind_offers_to(&mut self, framework_id: &FrameworkId, out: &mut Out) {
        let offers = self.state.frameworks.get(framework_id).map(|f| f.offers.clone());
        for id in offers.unwrap_or_default().iter() {
            self.rescind(id, out);
        }
    }

    /// Takes back all offers of a framework that nobody listens for any more.
    pub(super) fn discard_offers(&mut self, framework_id: &FrameworkId, out: &Out) {
        let none: Set<OfferId> = Set::default();
        let offers = self
            .state
            .frameworks
            .get(framework_id)
            .map_or(none, |framework| framework.offers.clone());
        for id in offers.iter() {
            if let Some(offer) = self.take_offer(id) {
                self.give_back(&offer, Declined::None, out);
            }
        }
    }

    /// DECLINE
    pub(super) fn decline(
        &mut self,
        framework_id: &FrameworkId,
        decline: &call::Decline,
        out: &mut Out,
    ) {
        self.state.counters.count(Counter::MessagesDeclineOffers);
        let refusal = refusal(decline.filters.as_ref());
        let mut ignored = Vec::new();
        for id in &decline.offer_ids {
            let Some(offer) = self.own_offer(framework_id, id) else {
                ignored.push(id.value.as_str());
                continue;
            };
            self.take_offer(&offer.id);
            self.give_back(&offer, refusal, out);
            if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
                framework.counters.offers_declined += 1;
            }
        }
        if !ignored.is_empty() {
            out.info(format!("Ignored a decline of {}, no longer valid", few_of(&ignored)));
        }
    }

    pub(super) fn own_offer(
        &self,
        framework_id: &FrameworkId,
        id: &v1::OfferId,
    ) -> Option<Arc<Offer>> {
        let id = OfferId::new(&id.value).ok()?;
        self.state.offers.get(&id).filter(|offer| offer.framework_id == *framework_id).cloned()
    }

    /// SUPPRESS and REVIVE name roles of the framework; none means all. A call with any other
    /// role is ignored as a whole.
    fn named_roles(&self, framework_id: &FrameworkId, roles: &[String]) -> Option<BTreeSet<Role>> {
        let framework = self.state.frameworks.get(framework_id)?;
        if roles.is_empty() {
            return Some(framework.roles.clone());
        }
        roles.iter().map(|text| framework.roles.get(text.as_str()).cloned()).collect()
    }

    /// SUPPRESS
    pub(super) fn suppress(&mut self, framework_id: &FrameworkId, roles: &[String], out: &mut Out) {
        self.state.counters.count(Counter::MessagesSuppressOffers);
        let Some(roles) = self.named_roles(framework_id, roles) else {
            out.warn(format!("Ignored a SUPPRESS of framework {framework_id} for other roles"));
            return;
        };
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            framework.suppressed_roles.extend(roles.iter().cloned());
        }
        let event = allocator::Event::Suppressed { framework_id: framework_id.clone(), roles };
        self.allocator.handle(event, out.now.monotonic);
    }

    /// REVIVE
    pub(super) fn revive(&mut self, framework_id: &FrameworkId, roles: &[String], out: &mut Out) {
        self.state.counters.count(Counter::MessagesReviveOffers);
        let Some(roles) = self.named_roles(framework_id, roles) else {
            out.warn(format!("Ignored a REVIVE of framework {framework_id} for other roles"));
            return;
        };
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            framework.suppressed_roles.retain(|role| !roles.contains(role));
        }
        let event = allocator::Event::Revived { framework_id: framework_id.clone(), roles };
        self.allocator.handle(event, out.now.monotonic);
    }
}

/// How long the framework does not want to see again what it gives back.
pub(super) fn refusal(filters: Option<&v1::Filters>) -> Declined {
    let seconds = filters.map_or(v1::Filters::default().refuse_seconds(), |f| f.refuse_seconds());
    Declined::from_seconds(seconds)
}
