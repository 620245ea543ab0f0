//! What must hold after every event. A violation is a bug in the engine.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{AgentId, FrameworkId};
use model::resources::Resources;

use super::Engine;
use super::state::{Channel, Connection, OperationUuid};
use super::status::is_terminal;

impl Engine {
    /// Says what is wrong if the engine's books contradict each other.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.allocator.check_invariants()?;
        self.check_agents()?;
        self.check_frameworks()?;
        self.check_offers()?;
        self.check_operations()?;
        self.check_indexes()
    }

    fn check_agents(&self) -> Result<(), String> {
        for (id, agent) in self.state.agents.iter() {
            let mut used: BTreeMap<FrameworkId, Resources> = BTreeMap::new();
            for (framework_id, task_id) in agent.tasks.iter() {
                let task = self
                    .task(framework_id, task_id)
                    .filter(|task| task.agent_id == *id)
                    .ok_or_else(|| format!("{task_id} on {id} is not its framework's"))?;
                if !is_terminal(task.state()) {
                    used.entry(framework_id.clone()).or_default().add_all(&task.resources);
                }
            }
            for ((framework_id, executor_id), executor) in agent.executors.iter() {
                // One of a framework that has ended holds what it has until the agent says that it
                // has ended too.
                let known = self.state.frameworks.get(framework_id).is_none_or(|framework| {
                    framework.executors.contains_key(&(id.clone(), executor_id.clone()))
                });
                if !known {
                    return Err(format!("{executor_id} on {id} is not its framework's"));
                }
                used.entry(framework_id.clone()).or_default().add_all(&executor.resources);
            }
            for operation in agent.operations.iter().filter_map(|u| self.state.operations.get(u)) {
                if let Some((framework_id, consumed)) = operation.held() {
                    used.entry(framework_id.clone()).or_default().add_all(consumed);
                }
            }
            used.retain(|_, resources| !resources.is_empty());
            if !used.iter().eq(agent.used.iter()) {
                return Err(format!("{id} uses {used:?}, entered is {:?}", agent.used));
            }
            if agent.active && !agent.connected {
                return Err(format!("{id} is active but not connected"));
            }
            if agent.connected == self.away.contains_key(id) {
                return Err(format!("{id} is connected and awaited, or neither"));
            }
            self.check_against_allocator(id, used)?;
        }
        Ok(())
    }

    /// What frameworks use and are offered is what the allocator has given out: so offered, used
    /// and free are the total, and nothing is given twice.
    fn check_against_allocator(
        &self,
        id: &AgentId,
        mut given: BTreeMap<FrameworkId, Resources>,
    ) -> Result<(), String> {
        let Some(agent) = self.state.agents.get(id) else { return Ok(()) };
        let mut offered = Resources::new();
        for offer in agent.offers.iter().filter_map(|id| self.state.offers.get(id)) {
            offered.add_all(&offer.resources);
            given.entry(offer.framework_id.clone()).or_default().add_all(&offer.resources);
        }
        if offered != agent.offered {
            return Err(format!("{id} offers {offered}, entered is {}", agent.offered));
        }
        // Nothing is offered that is not there or in use. Shared volumes can be both.
        let taken = agent.used_by_all().unallocated();
        let free = agent.total.minus(&taken);
        let given_away = offered.non_shared().unallocated();
        if !free.contains(&given_away) {
            return Err(format!("{id} offers {given_away} but has {free}"));
        }
        let allocated = self.allocator.allocated(id);
        if allocated != Some(&given) {
            return Err(format!("{id} gives {given:?}, the allocator says {allocated:?}"));
        }
        Ok(())
    }

    fn check_frameworks(&self) -> Result<(), String> {
        let mut entered = 0;
        for (id, framework) in self.state.frameworks.iter() {
            for task in framework.tasks.values() {
                let key = (id.clone(), task.id.clone());
                let agent = self.state.agents.get(&task.agent_id);
                if !agent.is_some_and(|agent| agent.tasks.contains(&key)) {
                    return Err(format!("{} is not on its agent {}", task.id, task.agent_id));
                }
            }
            for ((agent_id, executor_id), executor) in framework.executors.iter() {
                let key = (id.clone(), executor_id.clone());
                let agent = self.state.agents.get(agent_id);
                let there = agent.and_then(|agent| agent.executors.get(&key));
                if there.is_none_or(|there| there.resources != executor.resources) {
                    return Err(format!("{executor_id} is not on its agent {agent_id}"));
                }
            }
            let mut weight = 0;
            for uuid in framework.operations.iter() {
                let operation = self.state.operations.get(uuid);
                let own = |o: &&std::sync::Arc<super::state::Operation>| {
                    o.framework_id.as_ref() == Some(id) && !o.orphan
                };
                let Some(operation) = operation.filter(own) else {
                    return Err(format!("operation {uuid} is not one of {id}"));
                };
                weight += operation.weight;
            }
            if weight != framework.operations_weight {
                return Err(format!("{id} has operations for {weight}"));
            }
            if let Some(name) = framework.operation_names.iter().find_map(|(name, uuid)| {
                let operation = self.state.operations.get(uuid).and_then(|o| o.id());
                (operation.map(|id| &id.value) != Some(name)).then_some(name)
            }) {
                return Err(format!("{id} has no operation {name}"));
            }
            // On agents the sums were checked, and what is on agents is what frameworks have.
            for (agent_id, used) in framework.used.iter() {
                entered += 1;
                let agent = self.state.agents.get(agent_id);
                if agent.and_then(|agent| agent.used.get(id)) != Some(used) {
                    return Err(format!("{id} uses on {agent_id} what the agent does not know"));
                }
            }
            if framework.active && !framework.is_connected() {
                return Err(format!("{id} is active but not connected"));
            }
            if !framework.unreachable_tasks.is_sound() {
                return Err(format!("not exactly the unreachable tasks of {id} are found"));
            }
            if !framework.suppressed_roles.is_subset(&framework.roles) {
                return Err(format!("{id} suppresses roles that it does not have"));
            }
            let entered = match &framework.connection {
                Connection::Connected(Channel::Stream(stream)) => self.subscriptions.get(stream),
                Connection::Connected(Channel::Driver(driver)) => {
                    self.by_driver.get(&driver.peer.pid)
                }
                Connection::Disconnected { .. } | Connection::Recovered { .. } => Some(id),
            };
            if entered != Some(id) {
                return Err(format!("{id} has a subscription that is not its own"));
            }
        }
        let known = |id: &&FrameworkId| self.state.frameworks.contains_key(*id);
        let agents = self.state.agents.values();
        if agents.map(|agent| agent.used.keys().filter(known).count()).sum::<usize>() != entered {
            return Err("agents are used by frameworks that do not know it".to_owned());
        }
        Ok(())
    }

    fn check_offers(&self) -> Result<(), String> {
        for (id, offer) in self.state.offers.iter() {
            let agent = self.state.agents.get(&offer.agent_id);
            let framework = self.state.frameworks.get(&offer.framework_id);
            if !agent.is_some_and(|agent| agent.active && agent.offers.contains(id)) {
                return Err(format!("{id} is of {}, which does not offer", offer.agent_id));
            }
            let to = framework.filter(|f| f.active && f.offers.contains(id));
            if !to.is_some_and(|framework| framework.roles.contains(&offer.role)) {
                return Err(format!("{id} is to {}, which cannot take it", offer.framework_id));
            }
        }
        let entered = self.state.agents.values().map(|agent| agent.offers.size()).sum::<usize>();
        if entered != self.state.offers.size() {
            return Err("agents have offers that do not exist".to_owned());
        }
        Ok(())
    }

    /// Every operation is entered where it belongs, and what providers have adds up to the agent's
    /// total, but for what is held by operations that nobody is charged for.
    fn check_operations(&self) -> Result<(), String> {
        let mut entered = 0;
        let mut orphans: BTreeMap<FrameworkId, BTreeSet<OperationUuid>> = BTreeMap::new();
        for (id, agent) in self.state.agents.iter() {
            let mut weight = 0;
            let mut total = agent.total.of_provider(None);
            for provider in agent.providers.values() {
                total.add_all(&provider.total);
            }
            let mut by: BTreeMap<FrameworkId, usize> = BTreeMap::new();
            for uuid in agent.operations.iter() {
                entered += 1;
                let operation = self.state.operations.get(uuid);
                let Some(operation) = operation.filter(|o| o.agent_id == *id) else {
                    return Err(format!("operation {uuid} is not one on {id}"));
                };
                let provider = operation.provider.as_ref();
                if provider.is_some_and(|provider| !agent.providers.contains_key(provider)) {
                    return Err(format!("operation {uuid} is of a provider that {id} has not"));
                }
                if operation.orphan && !operation.is_terminal() {
                    total.subtract_all(&operation.consumed.unallocated());
                }
                let framework = operation.framework_id.as_ref();
                if let Some(framework) = framework.filter(|_| operation.orphan) {
                    orphans.entry(framework.clone()).or_default().insert(*uuid);
                }
                weight += operation.weight;
                if let Some(id) = framework {
                    *by.entry(id.clone()).or_default() += operation.weight;
                }
                let known = framework.and_then(|id| self.state.frameworks.get(id));
                let entered = known.is_some_and(|framework| framework.operations.contains(uuid));
                if framework.is_some()
                    && (entered == operation.orphan || known.is_some() != entered)
                {
                    return Err(format!("operation {uuid} is an orphan, or should be one"));
                }
            }
            if weight != agent.operations_weight || !by.iter().eq(agent.operations_by.iter()) {
                return Err(format!("{id} has operations for {weight}, by frameworks {by:?}"));
            }
            if total != agent.total {
                return Err(format!("{id} has {}, its parts are {total}", agent.total));
            }
        }
        if entered != self.state.operations.size() {
            return Err("there are operations on agents that are not registered".to_owned());
        }
        if orphans != self.orphans {
            return Err(format!("orphans are {orphans:?}, entered are {:?}", self.orphans));
        }
        Ok(())
    }

    fn check_indexes(&self) -> Result<(), String> {
        // Each agent is found by its own keys, and there are not more keys than that.
        let mut owners = 0;
        for (id, agent) in self.state.agents.iter() {
            if self.by_peer.get(&agent.peer) != Some(id) {
                return Err(format!("{id} is not found by its address"));
            }
            if let Some(identity) = &agent.peer.identity {
                owners += 1;
                if self.by_identity.get(identity) != Some(id) {
                    return Err(format!("{id} is not found by its identity"));
                }
            }
            if self.observers.get(&agent.observer).is_none_or(|o| o.agent_id != *id) {
                return Err(format!("{id} is not observed"));
            }
        }
        let agents = self.state.agents.size();
        if self.by_peer.len() != agents
            || self.by_identity.len() != owners
            || self.observers.len() != agents
        {
            return Err("agents that are not registered are found or observed".to_owned());
        }
        let connected = self.state.frameworks.values().filter(|f| f.is_connected()).count();
        if connected != self.subscriptions.len() + self.by_driver.len() {
            return Err("subscriptions and connected frameworks differ".to_owned());
        }
        if let Some((_, task_id)) = self.kills.keys().find(|(f, t)| self.task(f, t).is_none()) {
            return Err(format!("{task_id} is to be killed but does not exist"));
        }
        let limits =
            [(self.state.completed_frameworks.len(), self.config.max_completed_frameworks)];
        if limits.iter().any(|(length, limit)| length > limit) {
            return Err("a history is longer than allowed".to_owned());
        }
        Ok(())
    }
}
