//! What of an agent can be offered to one client.

use model::resources::{Resource, Resources, Scalar, Value};
use model::role::Role;

use crate::agent::{Agent, is_common};
use crate::amounts::Name;
use crate::random::Random;
use crate::tree::{ClientNo, NodeNo};
use crate::{Allocator, FrameworkFacts};

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Roles get what they are promised, and with it more of the same agent.
    Guarantees,
    /// All get what is left.
    Everyone,
}

/// How much of one name is still given.
#[derive(Debug)]
struct Allowance {
    name: Name,
    /// What is missing of the guarantee.
    guaranteed: u128,
    /// Beyond that, what the role may have; `None` is without limit.
    limit: Option<u128>,
    /// Beyond that, what need not be kept for others; `None` if nothing need be.
    surplus: Option<u128>,
}

impl Allowance {
    /// How much of `amount` is given; of what cannot be divided all or nothing.
    fn take(&mut self, amount: u128, divisible: bool, held: &mut HeldBack) -> u128 {
        let promised = amount.min(self.guaranteed);
        let more = amount - promised;
        let by_limit = self.limit.map_or(more, |limit| more.min(limit));
        let more_given = self.surplus.map_or(by_limit, |surplus| by_limit.min(surplus));
        held.by_limit |= by_limit < more;
        held.by_others |= more_given < by_limit;
        let given = promised + more_given;
        if !divisible && given < amount {
            return 0;
        }
        self.guaranteed -= promised;
        self.limit = self.limit.map(|limit| limit - more_given);
        self.surplus = self.surplus.map(|surplus| surplus - more_given);
        given
    }
}

/// Why somebody got less.
#[derive(Debug, Default)]
struct HeldBack {
    by_limit: bool,
    by_others: bool,
}

impl Allocator {
    /// What of the agent, in hand, is offered to the client in this stage, unallocated.
    pub(crate) fn offer_to(
        &mut self,
        no: u32,
        agent: &mut Agent,
        client_no: ClientNo,
        stage: Stage,
    ) -> Option<Resources> {
        let client = self.tree.clients.get(client_no)?;
        let node = self.tree.nodes.get(client.node)?;
        let facts = self.frameworks.get(client.framework)?.facts.as_ref()?;
        let role = node.role.as_ref()?;
        let top = node.top;
        if !agent.judged.contains(client_no) {
            agent.judged.insert(client_no);
            if !self.may_use(agent, facts, role) {
                agent.barred.insert(client_no);
            }
        }
        if agent.barred.contains(client_no) {
            return None;
        }
        let visible = if agent.other {
            let offered = agent.offered.get(&client.id);
            visible(agent, offered, facts, role)
        } else {
            agent.available.clone()
        };
        let minimum = client.min_allocatable.as_ref().unwrap_or(&self.rules.min_allocatable);
        if !minimum.is_met_by(&visible) {
            return None;
        }
        let filters = agent.filters.get(&client_no);
        let refused = |resources: &Resources| {
            filters.is_some_and(|all| all.iter().any(|f| f.refused.contains(resources)))
        };
        if refused(&visible) {
            agent.blocked.note(client_no, &agent.available);
            return None;
        }
        let mut random = self.random.clone();
        let cut = self.cut(agent, &visible, (role, top), stage, &mut random);
        let (offer, held) = cut?;
        let is_whole = !held.by_limit && !held.by_others && stage == Stage::Everyone;
        let given = (is_whole || (minimum.is_met_by(&offer) && !refused(&offer))).then_some(offer);
        self.random = random;
        if held.by_others {
            self.held_back.insert(no);
        }
        if let Some(top) = self.tree.nodes.get_mut(top).filter(|_| held.by_limit) {
            top.quota.held_back = true;
        }
        given
    }

    /// Whether the framework may be offered the agent at all.
    fn may_use(&self, agent: &Agent, guest: &FrameworkFacts, role: &Role) -> bool {
        let host = &agent.facts;
        let remote = host.region.is_some() && host.region != self.rules.region;
        (guest.gpu_resources || !self.rules.filter_gpu_resources || !agent.has_gpus())
            && (guest.region_aware || !remote)
            && (host.multi_role || !guest.multi_role)
            && (host.hierarchical_role || !role.is_nested())
            && guest.constraints.as_ref().is_none_or(|wanted| wanted.admit(role, host))
    }

    /// What remains of `visible` when limits and others' guarantees are kept. `None` in the first
    /// stage if nothing of it is promised.
    fn cut(
        &self,
        agent: &Agent,
        visible: &Resources,
        (role, top): (&Role, NodeNo),
        stage: Stage,
        random: &mut Random,
    ) -> Option<(Resources, HeldBack)> {
        let mut held = HeldBack::default();
        let free = agent.free.iter();
        let mut allowances: Vec<_> =
            free.map(|(name, _)| self.allowance(top, name, stage)).collect();
        let unlimited = |a: &Allowance| a.limit.is_none() && a.surplus.is_none();
        if stage == Stage::Everyone && allowances.iter().all(unlimited) {
            return Some((visible.clone(), held));
        }
        if stage == Stage::Guarantees && allowances.iter().all(|a| a.guaranteed == 0) {
            return None;
        }
        let mut common: Vec<_> = visible.iter().filter(|r| is_common(r)).collect();
        if common.len() > allowances.len() {
            // Several disks, say: not always the same one is left over.
            random.shuffle(&mut common);
        }
        let mut offer = visible.filter(|resource| {
            !is_common(resource)
                // The first stage leaves alone what is reserved for roles above: they too are
                // looked at in the second.
                && (stage == Stage::Everyone
                    || resource.reserved_to().is_none_or(|owner| owner == role))
        });
        let mut promised = false;
        for resource in common {
            let Value::Scalar(amount) = resource.value else { continue };
            let name = self.names.find(&resource.name);
            // They are in the order of names, as what is free is.
            let place = allowances.binary_search_by_key(&name, |allowance| Some(allowance.name));
            let Some(allowance) = place.ok().and_then(|at| allowances.get_mut(at)) else {
                continue;
            };
            let before = allowance.guaranteed;
            let given =
                allowance.take(amount.thousandths().into(), !resource.is_indivisible(), &mut held);
            promised |= allowance.guaranteed < before;
            // No more than `amount`, so it fits.
            let given = Scalar::from_thousandths(u64::try_from(given).unwrap_or(u64::MAX));
            offer.add(resource.with_value(Value::Scalar(given)));
        }
        (promised || stage == Stage::Everyone).then_some((offer, held))
    }

    fn allowance(&self, top: NodeNo, name: Name, stage: Stage) -> Allowance {
        let required = self.tree.required.get(name);
        let guaranteed = match stage {
            Stage::Everyone => 0,
            Stage::Guarantees => {
                self.tree.nodes.get(top).map_or(0, |node| node.quota.missing.get(name))
            }
        };
        Allowance {
            name,
            guaranteed,
            // A guarantee is never above its limit, so what is missing fits.
            limit: self.tree.room(top, name).map(|room| room.saturating_sub(guaranteed)),
            surplus: (required > 0).then(|| self.headroom.get(name).saturating_sub(required)),
        }
    }
}

/// What of the agent the client may see.
fn visible(
    agent: &Agent,
    offered: Option<&Resources>,
    facts: &FrameworkFacts,
    role: &Role,
) -> Resources {
    let is_in = |resources: &Resources, resource: &Resource| {
        resources.iter().any(|r| r.same_kind(resource) && r.value == resource.value)
    };
    let may_share = |resource: &Resource| {
        // Offered to somebody in this run, or offered to this one and not answered yet.
        facts.shared_resources
            && !is_in(&agent.lent, resource)
            && !offered.is_some_and(|offered| is_in(&offered.unallocated(), resource))
    };
    agent.available.filter(|resource| {
        resource.is_allocatable_to(role)
            && (!resource.revocable || facts.revocable_resources)
            && (resource.reservations.len() <= 1 || facts.reservation_refinement)
            && (!resource.shared || may_share(resource))
    })
}
