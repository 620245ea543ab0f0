//! Operations turn some resources of an agent into others: in the books of the agent, and of the
//! framework whose doing it is.

use model::id::{AgentId, FrameworkId};
use model::resources::Resources;

use crate::Allocator;
use crate::agent::Agent;
use crate::books::has_role;
use crate::event::ConvertError;
use crate::tree::{Book, ClientNo, Way};

impl Allocator {
    /// Replaces resources of an agent by others that an operation makes of them: free ones if
    /// `framework_id` is `None` (an operator's doing), else what the framework has been offered
    /// or uses.
    ///
    /// Either list may be allocated or not, but what a framework converts belongs to one role,
    /// which the allocation of `consumed` names. Fails if what is consumed is not there; nothing
    /// has changed then.
    pub fn convert(
        &mut self,
        agent_id: &AgentId,
        framework_id: Option<&FrameworkId>,
        consumed: &Resources,
        converted: &Resources,
    ) -> Result<(), ConvertError> {
        let unknown = || ConvertError::UnknownAgent(agent_id.clone());
        let no = self.agent_nos.get(agent_id).copied().ok_or_else(unknown)?;
        let agent = self.agents.get(no).ok_or_else(unknown)?;
        let missing =
            || ConvertError::NotThere { agent_id: agent_id.clone(), missing: consumed.clone() };
        let bare = consumed.unallocated();
        let total = agent.facts.total.checked_minus(&bare).ok_or_else(missing)?;
        let total = total.plus(&converted.unallocated());
        match framework_id {
            None if agent.available.contains(&bare) => {
                self.unsettle(no);
            }
            None => return Err(missing()),
            Some(id) => {
                let mut roles = consumed.iter().map(|resource| resource.allocation.as_ref());
                let role = roles.next().flatten().cloned().ok_or(ConvertError::NotOneRole)?;
                if roles.any(|other| other != Some(&role)) {
                    return Err(ConvertError::NotOneRole);
                }
                let held = agent.held.get(id).ok_or_else(missing)?;
                let left = held.checked_minus(consumed).ok_or_else(missing)?;
                let client = self.client(id, &role).ok_or_else(missing)?;
                let converted = converted.unallocated().allocated_to(&role);
                self.unsettle(no);
                self.replace_held(no, (id, client), (consumed, &converted), left);
            }
        }
        self.change_agent_total(no, total);
        if let Some(agent) = self.agents.get_mut(no) {
            agent.recount(&mut self.names);
        }
        self.settle(no);
        self.headroom_grew = true;
        self.dirty.insert(no);
        Ok(())
    }

    fn replace_held(
        &mut self,
        no: u32,
        (id, client): (&FrameworkId, ClientNo),
        (consumed, converted): (&Resources, &Resources),
        left: Resources,
    ) {
        let Some(agent) = self.agents.get_mut(no) else { return };
        agent.touched.insert(client);
        let was_offered = agent.offered.get(id).is_some_and(|offered| offered.contains(consumed));
        let gone = Agent::weight_of(&left, consumed, &mut self.names);
        let come = Agent::weight_of(&left, converted, &mut self.names);
        agent.held.insert(id.clone(), left.plus(converted));
        self.tree.book(client, Book::Held, Way::Out, &gone);
        self.tree.book(client, Book::Held, Way::In, &come);
        if was_offered {
            let offered = agent.offered.entry(id.clone()).or_default();
            let left = offered.minus(consumed);
            let gone = Agent::weight_of(&left, consumed, &mut self.names);
            let come = Agent::weight_of(&left, converted, &mut self.names);
            *offered = left.plus(converted);
            if offered.is_empty() {
                agent.offered.remove(id);
            }
            self.tree.book(client, Book::Offered, Way::Out, &gone);
            self.tree.book(client, Book::Offered, Way::In, &come);
        } else {
            self.shrink_offered(no, (id, client), None);
        }
        self.drop_place_if_empty(no, id, client);
    }

    /// A conversion may leave nothing, for example of a volume that is destroyed with its disk.
    fn drop_place_if_empty(&mut self, no: u32, id: &FrameworkId, client: ClientNo) {
        let Some(agent) = self.agents.get_mut(no) else { return };
        let role = self
            .tree
            .clients
            .get(client)
            .and_then(|client| self.tree.nodes.get(client.node))
            .and_then(|node| node.role.clone());
        let (Some(role), Some(held)) = (role, agent.held.get(id)) else { return };
        if has_role(held, &role) {
            return;
        }
        let all_gone = held.is_empty();
        if all_gone {
            agent.held.remove(id);
        }
        if let Some(client) = self.tree.clients.get_mut(client) {
            client.places = client.places.saturating_sub(1);
            if let Some(framework) = self.frameworks.get_mut(client.framework).filter(|_| all_gone)
            {
                framework.agents.remove(&no);
            }
        }
        self.drop_idle_client(client);
    }
}
