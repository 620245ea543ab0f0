//! The places where operations are entered and struck out, on the agent's side and on the
//! framework's at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::{AgentId, FrameworkId};
use model::resources::{Conversion, Resources};
use wire::v1;
use wire::v1::OperationState;

use super::super::Engine;
use super::super::collections::edit;
use super::super::out::Out;
use super::super::state::operation::{MAX_STATUSES, is_terminal};
use super::super::state::{Operation, OperationUuid};

impl Engine {
    pub(super) fn operation(&self, uuid: OperationUuid) -> Option<Arc<Operation>> {
        self.state.operations.get(&uuid).cloned()
    }

    /// Enters an operation. What it holds is in use, or not the agent's to give if nobody can be
    /// charged for it.
    pub(super) fn insert_operation(&mut self, operation: Operation) {
        let uuid = operation.uuid;
        if let Some((framework_id, consumed)) = operation.held() {
            let (framework_id, consumed) = (framework_id.clone(), consumed.clone());
            self.start_using(&framework_id, &operation.agent_id, &consumed);
        }
        if let Some(agent) = edit(&mut self.state.agents, &operation.agent_id) {
            agent.operations.insert_mut(uuid);
            agent.operations_weight += operation.weight;
            if let Some(id) = &operation.framework_id {
                let before = agent.operations_by.get(id).copied().unwrap_or_default();
                agent.operations_by.insert_mut(id.clone(), before + operation.weight);
            }
        }
        let framework = operation.framework_id.as_ref().filter(|_| !operation.orphan);
        if let Some(framework) = framework.and_then(|id| edit(&mut self.state.frameworks, id)) {
            framework.operations.insert_mut(uuid);
            framework.operations_weight += operation.weight;
            if let Some(id) = operation.id() {
                framework.operation_names.insert_mut(id.value.clone(), uuid);
            }
        }
        if let Some(id) = operation.framework_id.as_ref().filter(|_| operation.orphan) {
            self.orphans.entry(id.clone()).or_default().insert(uuid);
        }
        if operation.is_terminal() {
            self.state.counters.count_operation(operation.kind(), operation.state());
        }
        self.state.operations.insert_mut(uuid, Arc::new(operation));
    }

    /// Strikes out an operation. What it still holds is free.
    pub(in super::super) fn remove_operation(&mut self, uuid: OperationUuid, out: &mut Out) {
        let Some(operation) = self.operation(uuid) else { return };
        self.strike_out(&operation, out);
        if operation.orphan && !operation.is_terminal() {
            self.sum_up(&operation.agent_id, out);
        }
        self.maybe_drained(&operation.agent_id);
    }

    /// The same of many operations on an agent, whose total is to be summed up afterwards.
    fn strike_out(&mut self, operation: &Operation, out: &Out) {
        let uuid = operation.uuid;
        self.state.operations.remove_mut(&uuid);
        self.leave_framework(operation);
        if let Some(id) = operation.framework_id.as_ref().filter(|_| operation.orphan)
            && let Some(orphans) = self.orphans.get_mut(id)
        {
            orphans.remove(&uuid);
            if orphans.is_empty() {
                self.orphans.remove(id);
            }
        }
        if let Some((framework_id, consumed)) = operation.held() {
            self.stop_using(framework_id, &operation.agent_id, consumed, out);
        }
        if let Some(agent) = edit(&mut self.state.agents, &operation.agent_id) {
            agent.operations.remove_mut(&uuid);
            agent.operations_weight -= operation.weight;
            if let Some(id) = &operation.framework_id
                && let Some(before) = agent.operations_by.get(id).copied()
            {
                if before > operation.weight {
                    agent.operations_by.insert_mut(id.clone(), before - operation.weight);
                } else {
                    agent.operations_by.remove_mut(id);
                }
            }
        }
    }

    fn leave_framework(&mut self, operation: &Operation) {
        let framework = operation.framework_id.as_ref();
        let Some(framework) = framework.and_then(|id| edit(&mut self.state.frameworks, id)) else {
            return;
        };
        if framework.operations.remove_mut(&operation.uuid) {
            framework.operations_weight -= operation.weight;
        }
        // Another operation may have got the name since.
        if let Some(id) = operation.id()
            && framework.operation_names.get(&id.value) == Some(&operation.uuid)
        {
            framework.operation_names.remove_mut(&id.value);
        }
    }

    /// Enters that an operation changed its state. `told` is what its framework is to acknowledge,
    /// `latest` how it is by now; an operation that has ended stays as it ended. Unless
    /// `reported` says that its agent's total has the result already, it is entered there. Says
    /// whether the agent's total is to be summed up.
    #[must_use]
    pub(super) fn update_operation(
        &mut self,
        uuid: OperationUuid,
        (told, latest): (&v1::OperationStatus, &v1::OperationStatus),
        reported: bool,
        out: &mut Out,
    ) -> bool {
        let Some(before) = self.operation(uuid) else { return false };
        let Some(operation) = edit(&mut self.state.operations, &uuid) else { return false };
        let statuses = &mut operation.info.statuses;
        if statuses.last() != Some(told) {
            statuses.push(told.clone());
            if statuses.len() > MAX_STATUSES {
                statuses.remove(0);
            }
        }
        if before.is_terminal() {
            return false;
        }
        operation.info.latest_status = latest.clone();
        let state = latest.state();
        if !is_terminal(state) {
            return false;
        }
        self.state.counters.count_operation(before.kind(), state);
        if before.consumed.is_empty() {
            return false;
        }
        let converted = (state == OperationState::OperationFinished)
            .then(|| given(&before.consumed, &latest.converted_resources));
        if before.orphan {
            self.end_orphan(&before, converted, reported, out);
        } else if let Some(framework_id) = &before.framework_id {
            self.end_consuming(framework_id, &before, converted, reported, out);
        }
        before.orphan
    }

    /// Nobody is charged for what an orphan holds: it is missing in the agent's total.
    fn end_orphan(
        &mut self,
        operation: &Operation,
        converted: Option<Resources>,
        reported: bool,
        out: &mut Out,
    ) {
        let agent_id = &operation.agent_id;
        if let Some(converted) = converted.filter(|_| !reported)
            && let Some(agent) = edit(&mut self.state.agents, agent_id)
            && let Some(id) = &operation.provider
            && let Some(provider) = edit(&mut agent.providers, id)
        {
            let conversion =
                Conversion::of(operation.consumed.unallocated(), converted.unallocated());
            match provider.total.apply(&conversion) {
                Ok(total) => provider.total = total,
                Err(error) => out.warn(format!(
                    "The result of operation {} on agent {agent_id} is not entered: {}",
                    operation.uuid,
                    error.to_string().escape_debug()
                )),
            }
        }
    }

    fn end_consuming(
        &mut self,
        framework_id: &FrameworkId,
        operation: &Operation,
        converted: Option<Resources>,
        reported: bool,
        out: &mut Out,
    ) {
        let (agent_id, consumed) = (&operation.agent_id, &operation.consumed);
        let Some(converted) = converted.filter(|_| !reported) else {
            return self.stop_using(framework_id, agent_id, consumed, out);
        };
        let conversion = Conversion::of(consumed.clone(), converted.clone());
        match self.convert(Some(framework_id), agent_id, &conversion) {
            Ok(()) => {
                self.used_otherwise(framework_id, agent_id, (consumed, &converted));
                self.stop_using(framework_id, agent_id, &converted, out);
            }
            Err(error) => {
                // The provider has changed its total meanwhile; what it states next counts.
                out.warn(format!(
                    "The result of operation {} on agent {agent_id} is not entered: {}",
                    operation.uuid,
                    error.escape_debug()
                ));
                self.stop_using(framework_id, agent_id, consumed, out);
            }
        }
    }

    /// Makes an operation one that nobody is charged for, because its framework is gone. Returns
    /// the agent, whose total is to be summed up.
    fn orphan(&mut self, uuid: OperationUuid, out: &Out) -> Option<AgentId> {
        let before = self.operation(uuid).filter(|operation| !operation.orphan)?;
        self.leave_framework(&before);
        if let Some((framework_id, consumed)) = before.held() {
            self.stop_using(framework_id, &before.agent_id, consumed, out);
        }
        if let Some(operation) = edit(&mut self.state.operations, &uuid) {
            operation.orphan = true;
        }
        if let Some(id) = &before.framework_id {
            self.orphans.entry(id.clone()).or_default().insert(uuid);
        }
        Some(before.agent_id.clone())
    }

    /// Gives a framework that has become known its operations.
    pub(in super::super) fn adopt_orphans(&mut self, framework_id: &FrameworkId, out: &Out) {
        let Some(orphans) = self.orphans.remove(framework_id) else { return };
        let orphans: Vec<_> = orphans.into_iter().filter_map(|uuid| self.operation(uuid)).collect();
        let mut agents = BTreeSet::new();
        for orphan in &orphans {
            let named_elsewhere = self.is_named_elsewhere(orphan);
            if let Some(operation) = edit(&mut self.state.operations, &orphan.uuid) {
                operation.orphan = false;
                if named_elsewhere {
                    operation.lose_name();
                }
            }
            agents.insert(&orphan.agent_id);
            if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
                framework.operations.insert_mut(orphan.uuid);
                framework.operations_weight += orphan.weight;
                if let Some(id) = orphan.id().filter(|_| !named_elsewhere) {
                    framework.operation_names.insert_mut(id.value.clone(), orphan.uuid);
                }
            }
        }
        for agent_id in agents {
            self.sum_up(agent_id, out);
        }
        for orphan in &orphans {
            if orphan.is_terminal() || orphan.consumed.is_empty() {
                continue;
            }
            let agent_id = &orphan.agent_id;
            self.start_using(framework_id, agent_id, &orphan.consumed);
            self.charge(framework_id, agent_id, &orphan.consumed, out);
        }
    }

    /// Whether the framework's name for an operation that an agent has brought stands for one on
    /// another agent: agents have no say in what others do.
    pub(super) fn is_named_elsewhere(&self, operation: &Operation) -> bool {
        let framework = operation.framework_id.as_ref();
        framework
            .and_then(|id| self.state.frameworks.get(id))
            .zip(operation.id())
            .and_then(|(framework, id)| framework.operation_names.get(&id.value))
            .and_then(|uuid| self.state.operations.get(uuid))
            .is_some_and(|known| known.agent_id != operation.agent_id)
    }

    /// Tells the allocator that the framework turned out to use something.
    pub(super) fn charge(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        out: &Out,
    ) {
        let event = allocator::Event::Used {
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            resources: resources.clone(),
        };
        self.allocator.handle(event, out.now.monotonic);
    }

    /// Enters as the agent's total what is its own and what its providers have, but for what
    /// orphans hold.
    pub(in super::super) fn sum_up(&mut self, agent_id: &AgentId, out: &Out) {
        let Some(agent) = self.state.agents.get(agent_id) else { return };
        let mut total = agent.total.filter(|resource| resource.provider.is_none());
        for provider in agent.providers.values() {
            total.add_all(&provider.total);
        }
        for operation in agent.operations.iter().filter_map(|uuid| self.operation(*uuid)) {
            if operation.orphan && !operation.is_terminal() {
                total.subtract_all(&operation.consumed.unallocated());
            }
        }
        if let Some(agent) = edit(&mut self.state.agents, agent_id).filter(|a| a.total != total) {
            agent.total = total;
            self.refresh_allocator_agent(agent_id, out);
        }
    }

    /// Strikes out all operations on an agent that leaves.
    pub(in super::super) fn remove_operations_on(&mut self, agent_id: &AgentId, out: &mut Out) {
        self.strike_out_all(agent_id, |_| true, out);
        self.sum_up(agent_id, out);
    }

    /// Strikes out all operations on an agent that `leaves` says; its total is to be summed up.
    pub(super) fn strike_out_all(
        &mut self,
        agent_id: &AgentId,
        leaves: impl Fn(&Operation) -> bool,
        out: &Out,
    ) {
        let Some(agent) = self.state.agents.get(agent_id).cloned() else { return };
        for uuid in agent.operations.iter() {
            if let Some(operation) = self.operation(*uuid).filter(|o| leaves(o)) {
                self.strike_out(&operation, out);
            }
        }
        self.maybe_drained(agent_id);
    }

    /// The operations of a framework that ends go on without it.
    pub(in super::super) fn orphan_operations_of(
        &mut self,
        framework_id: &FrameworkId,
        out: &mut Out,
    ) {
        let Some(framework) = self.state.frameworks.get(framework_id).cloned() else { return };
        let agents: BTreeSet<_> =
            framework.operations.iter().filter_map(|uuid| self.orphan(*uuid, out)).collect();
        for agent_id in agents {
            self.sum_up(&agent_id, out);
        }
    }
}

/// What a provider gave for what it took: it belongs to whom that was allocated. Whatever does not
/// read or is another provider's was refused before.
fn given(consumed: &Resources, converted: &[v1::Resource]) -> Resources {
    let converted = wire::resources::read(converted).unwrap_or_default();
    match consumed.iter().find_map(|resource| resource.allocation.clone()) {
        Some(role) => converted.allocated_to(&role),
        None => converted,
    }
}
