//! A run: which agents are looked at, and who is asked in which order.

use std::collections::BTreeMap;

use model::resources::Resources;
use model::time::Instant;

use crate::Allocator;
use crate::agent::Agent;
use crate::bits::Bits;
use crate::event::{Allocations, Offer};
use crate::offering::Stage;
use crate::tree::{ClientNo, Ordering};

/// What a run has decided so far.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) offers: Vec<Offer>,
    /// Where in `offers` an agent's offer to a client stands that may grow in the second stage.
    places: BTreeMap<(u32, ClientNo), usize>,
    /// Agents of which something shared was offered.
    lent: Vec<u32>,
    /// Who may have another turn on the agent in hand.
    again: Bits,
    /// For the next clients to ask.
    found: Vec<ClientNo>,
    mask: Bits,
}

/// An agent to look at.
#[derive(Clone, Copy, Debug)]
struct Visit {
    agent: u32,
    /// Whether on behalf of all clients, or only of those about which something changed.
    all: bool,
}

/// So many clients are looked up at first; most agents are taken by one of them.
const FIRST_LOOK: usize = 4;

impl Allocator {
    /// Offers what can be offered, as far as something changed since the last time.
    pub fn allocate(&mut self, now: Instant) -> Allocations {
        self.end_refusals(now);
        self.end_quiet(now);
        self.defer_loosened(now);
        if self.timer.is_some_and(|timer| timer <= now) {
            self.timer = None;
            self.dirty.append(&mut self.deferred);
            self.fresh.unite(&self.deferred_fresh);
            self.deferred_fresh.clear();
        }
        if let Some(pause) = &self.pause {
            if pause.agents_left > 0 && now < pause.until {
                return Allocations::default();
            }
            self.pause = None;
        }
        self.fresh.intersect(self.tree.active());
        if self.dirty.is_empty() && self.to_ask.is_empty() && self.fresh.is_empty() {
            return Allocations::default();
        }
        self.runs += 1;
        let offers = self.make_offers(now);
        Allocations { offers, inverse_offers: self.ask() }
    }

    /// What limits or others' guarantees held back may be there now: the timer will say.
    fn defer_loosened(&mut self, now: Instant) {
        for top in std::mem::take(&mut self.tree.loosened) {
            for client in self.tree.clients_beneath(top) {
                self.deferred_fresh.insert(client);
            }
            self.set_timer(now);
        }
        let grew = std::mem::take(&mut self.tree.relaxed) | std::mem::take(&mut self.headroom_grew);
        if grew && !self.held_back.is_empty() {
            self.deferred.append(&mut self.held_back);
            self.set_timer(now);
        }
    }

    fn make_offers(&mut self, now: Instant) -> Vec<Offer> {
        self.tree.learn_names();
        let dirty = std::mem::take(&mut self.dirty);
        let mut visits: Vec<_> = dirty
            .intersection(&self.open)
            .map(|agent| Visit { agent: *agent, all: true })
            .collect();
        if !self.fresh.is_empty() {
            let others = self.open.difference(&dirty);
            visits.extend(others.map(|agent| Visit { agent: *agent, all: false }));
        }
        let mut run = Run::default();
        if !self.tree.wanting.is_empty() {
            self.random.shuffle(&mut visits);
            for visit in &visits {
                self.visit(*visit, Stage::Guarantees, &mut run);
            }
        }
        self.random.shuffle(&mut visits);
        for visit in &visits {
            self.visit(*visit, Stage::Everyone, &mut run);
        }
        self.fresh.clear();
        // What is shared is offered to one after the other.
        for no in std::mem::take(&mut run.lent) {
            if let Some(agent) = self.agents.get_mut(no) {
                agent.lent = Resources::new();
                self.deferred.insert(no);
                self.set_timer(now);
            }
        }
        run.offers
    }

    fn visit(&mut self, visit: Visit, stage: Stage, run: &mut Run) {
        let no = visit.agent;
        let Some(mut agent) = self.agents.take(no) else { return };
        let available = std::mem::take(&mut agent.available);
        agent.blocked.renew(&available);
        agent.available = available;
        self.serve(no, &mut agent, (visit, stage, Turn::First), run);
        if stage == Stage::Everyone && self.round_is_on(&agent) && !agent.available.is_empty() {
            // Nobody is left who has not had a turn: the round is over if anybody begins another.
            run.again.copy(&agent.had);
            self.serve(no, &mut agent, (visit, Stage::Guarantees, Turn::Again), run);
            self.serve(no, &mut agent, (visit, Stage::Everyone, Turn::Again), run);
        }
        if !agent.is_open() {
            self.open.remove(&no);
        }
        self.agents.put(no, agent);
    }

    /// Whether somebody who is still there has had a turn while others have not.
    fn round_is_on(&self, agent: &Agent) -> bool {
        agent.had.iter().any(|client| self.tree.clients.get(client).is_some())
    }

    /// Asks clients, in their order, until nothing is left.
    fn serve(
        &mut self,
        no: u32,
        agent: &mut Agent,
        (visit, stage, turn): (Visit, Stage, Turn),
        run: &mut Run,
    ) {
        let mut mask = std::mem::take(&mut run.mask);
        mask.copy(self.tree.active());
        if !visit.all {
            mask.intersect(&self.fresh);
        }
        match stage {
            Stage::Guarantees => mask.intersect(&self.tree.wanting),
            Stage::Everyone if !agent.other => mask.subtract(&self.tree.closed),
            Stage::Everyone => {}
        }
        mask.subtract(&agent.barred);
        mask.subtract(&agent.blocked.clients);
        match turn {
            Turn::First => mask.subtract(&agent.had),
            Turn::Again => mask.intersect(&run.again),
        }
        let ordering =
            Ordering { roles: self.rules.role_sorter, frameworks: self.rules.framework_sorter };
        let mut found = std::mem::take(&mut run.found);
        let mut most = FIRST_LOOK;
        while !agent.available.is_empty() && !mask.is_empty() {
            self.tree.next(&mask, most, ordering, &mut self.random, &mut found);
            if found.is_empty() {
                break;
            }
            most *= 4;
            for client in &found {
                mask.remove(*client);
                if let Some(resources) = self.offer_to(no, agent, *client, stage) {
                    if turn == Turn::Again {
                        agent.had.clear();
                    }
                    self.enter_offer(no, agent, (*client, resources), run);
                    // Shares have changed, and with them the order.
                    most = FIRST_LOOK;
                    break;
                }
            }
        }
        run.found = found;
        run.mask = mask;
    }

    fn enter_offer(
        &mut self,
        no: u32,
        agent: &mut Agent,
        (client_no, bare): (ClientNo, Resources),
        run: &mut Run,
    ) {
        let Some(client) = self.tree.clients.get(client_no) else { return };
        let role = self.tree.nodes.get(client.node).and_then(|node| node.role.clone());
        let (Some(role), framework_id) = (role, client.id.clone()) else { return };
        let resources = bare.allocated_to(&role);
        if bare.iter().any(|resource| resource.shared) {
            agent.lent.add_all(&bare.filter(|resource| resource.shared));
            run.lent.push(no);
        }
        self.enter_into_books(no, agent, (client_no, &framework_id), (&role, &resources));
        self.headroom.subtract_all(&agent.free);
        agent.take(&bare, &mut self.names);
        self.headroom.add_all(&agent.free);
        agent.touched.remove(client_no);
        if self.round_is_on(agent) {
            agent.had.insert(client_no);
        }
        let place = *run.places.entry((no, client_no)).or_insert(run.offers.len());
        match run.offers.get_mut(place) {
            Some(offer) => offer.resources.add_all(&resources),
            None => {
                run.offers.push(Offer { framework_id, agent_id: agent.id.clone(), role, resources })
            }
        }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Of those who have not had one in this round.
    First,
    /// Of the others.
    Again,
}
