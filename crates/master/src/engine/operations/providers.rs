//! UpdateSlaveMessage: what an agent has now, and which operations are not over for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use libprocess::sender::BoundPid;
use model::id::AgentId;
use model::resources::Resources;
use wire::internal::reconcile_operations_message;
use wire::v1::agent_info::capability::Type as AgentCapability;
use wire::{internal, v1};

use super::super::Engine;
use super::super::collections::edit;
use super::super::counters::Counter;
use super::super::message::Outbound;
use super::super::out::Out;
use super::super::state::{Agent, Operation};
use super::super::validate::update::{self as validate, Reported, Update};
use super::limits;

impl Engine {
    /// An agent says what it has now.
    pub(in super::super) fn update_agent(
        &mut self,
        from: &BoundPid,
        message: internal::UpdateSlaveMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesUpdateSlave);
        let id = self.agent_speaking(from, Some(&message.slave_id))?;
        let update = validate::update(message, &id)?;
        let Some(agent) = self.state.agents.get(&id).cloned() else { return Ok(()) };
        self.check_update(&agent, &update)?;
        let questions = unlisted(&agent, &update, |uuid| self.operation(uuid));
        let lends = update
            .revocable
            .as_ref()
            .is_some_and(|revocable| agent.total.revocable() != *revocable);
        let provides = update.providers.as_ref().is_some_and(|providers| {
            providers.len() != agent.providers.size()
                || providers.iter().any(|reported| {
                    agent.providers.get(&reported.id).is_none_or(|p| **p != reported.provider)
                })
        });
        // Before the total changes, so that nothing is offered that is not there.
        self.rescind_offers_where(
            &id,
            |resource| (lends && resource.revocable) || (provides && resource.provider.is_some()),
            out,
        );
        if let Some(agent) = edit(&mut self.state.agents, &id) {
            if let Some(version) = update.resource_version {
                agent.resource_version = Some(version);
            }
            if let Some(revocable) = update.revocable.filter(|_| lends) {
                agent.total.retain(|resource| !resource.revocable);
                agent.total.add_all(&revocable);
            }
        }
        if lends {
            self.refresh_allocator_agent(&id, out);
        }
        let mut brought = update.operations;
        if let Some(providers) = update.providers {
            self.update_providers(&id, providers, &mut brought, out);
        }
        self.learn_of(&id, brought, out);
        if !questions.is_empty() {
            out.info(format!(
                "Agent {id} did not list {} of its operations and is asked for them",
                questions.len()
            ));
            let message =
                internal::ReconcileOperationsMessage { operations: questions, framework_id: None };
            out.send(&agent.peer, Outbound::ReconcileOperations(message));
        }
        // Only now all its operations are known.
        self.maybe_drained(&id);
        Ok(())
    }

    /// Whether an update fits what is known. The original ends when one does not.
    fn check_update(&self, agent: &Agent, update: &Update) -> Result<(), String> {
        let reported = update.providers.iter().flatten();
        let listed = reported.clone().flat_map(|r| &r.operations).chain(&update.operations);
        let mut listed = listed.peekable();
        let states = update.providers.as_ref().is_some_and(|providers| !providers.is_empty());
        if (states || listed.peek().is_some()) && !agent.has(AgentCapability::ResourceProvider) {
            return Err("it has no RESOURCE_PROVIDER capability but operations".to_owned());
        }
        let new = |o: &&Operation| !self.state.operations.contains_key(&o.uuid);
        limits::all(agent, listed.clone().filter(new))?;
        for operation in listed {
            let known = self.operation(operation.uuid);
            if known.is_some_and(|known| {
                known.agent_id != agent.id || known.provider != operation.provider
            }) {
                return Err(format!("operation {} is not on these resources", operation.uuid));
            }
        }
        for Reported { id, provider, operations } in reported {
            let pending = || operations.iter().filter(|operation| !operation.is_terminal());
            if agent.providers.contains_key(id) {
                // It cannot have been told of an operation by anybody else.
                let unknown = pending().find(|o| !agent.operations.contains(&o.uuid));
                if let Some(unknown) = unknown {
                    return Err(format!(
                        "operation {} of a known provider is not known, but not over",
                        unknown.uuid
                    ));
                }
                continue;
            }
            let held: Resources = pending()
                .flat_map(|operation| {
                    operation.consumed.unallocated().iter().cloned().collect::<Vec<_>>()
                })
                .collect();
            if !provider.total.contains(&held) {
                return Err(format!("operations hold {held} of provider {id}, which has less"));
            }
        }
        Ok(())
    }

    /// Enters those operations that an agent has brought which are not known, and sums up its
    /// total.
    fn learn_of(&mut self, agent_id: &AgentId, brought: Vec<Operation>, out: &mut Out) {
        let mut held = Vec::new();
        for mut operation in brought {
            if self.state.operations.contains_key(&operation.uuid) {
                continue;
            }
            let framework = operation.framework_id.as_ref();
            operation.orphan = framework.is_some_and(|id| !self.state.frameworks.contains_key(id));
            out.info(format!(
                "Agent {agent_id} brought operation {}{}",
                operation.uuid,
                if operation.orphan { ", whose framework is not known" } else { "" }
            ));
            if self.is_named_elsewhere(&operation) {
                out.warn(format!(
                    "The framework's name for operation {} of agent {agent_id} stands for an \
                     operation on another agent: it is kept without the name",
                    operation.uuid
                ));
                operation.lose_name();
            }
            held.extend(operation.held().map(|(id, consumed)| (id.clone(), consumed.clone())));
            self.insert_operation(operation);
        }
        // Before the frameworks are charged: what they hold is part of the total.
        self.sum_up(agent_id, out);
        for (framework_id, consumed) in held {
            self.charge(&framework_id, agent_id, &consumed, out);
        }
    }

    /// Enters what an agent has said of its providers; the operations that come with new ones are
    /// added to `brought`. Its total is to be summed up afterwards.
    fn update_providers(
        &mut self,
        id: &AgentId,
        reported: Vec<Reported>,
        brought: &mut Vec<Operation>,
        out: &mut Out,
    ) {
        let Some(agent) = self.state.agents.get(id).cloned() else { return };
        let stays: BTreeSet<_> = reported.iter().map(|reported| Arc::clone(&reported.id)).collect();
        for gone in agent.providers.keys().filter(|id| !stays.contains(*id)) {
            self.remove_provider(&agent, gone, out);
        }
        for Reported { id: provider_id, provider, operations } in reported {
            if agent.providers.contains_key(&provider_id) {
                operations.iter().for_each(|operation| self.catch_up(operation, out));
            } else {
                brought.extend(operations);
            }
            if let Some(agent) = edit(&mut self.state.agents, id) {
                agent.providers.insert_mut(provider_id, Arc::new(provider));
            }
        }
    }

    /// An operation has ended without the master having been told: the total that comes with it
    /// has its result.
    fn catch_up(&mut self, reported: &Operation, out: &mut Out) {
        let open = self.operation(reported.uuid).is_some_and(|known| !known.is_terminal());
        if open && reported.is_terminal() {
            let latest = &reported.info.latest_status;
            // Summed up it is with all else that the agent has said.
            let _ = self.update_operation(reported.uuid, (latest, latest), true, out);
        }
    }

    fn remove_provider(&mut self, agent: &Agent, provider: &Arc<str>, out: &mut Out) {
        out.info(format!("Resource provider {provider} of agent {} is gone", agent.id));
        let its = |operation: &Operation| operation.provider.as_ref() == Some(provider);
        self.strike_out_all(&agent.id, its, out);
        if let Some(agent) = edit(&mut self.state.agents, &agent.id) {
            agent.providers.remove_mut(provider);
        }
    }
}

/// What to ask an agent because it did not list it.
fn unlisted(
    agent: &Agent,
    update: &Update,
    operation: impl Fn(super::OperationUuid) -> Option<Arc<Operation>>,
) -> Vec<reconcile_operations_message::Operation> {
    let reported = update.providers.iter().flatten();
    let listed: BTreeSet<_> = reported
        .clone()
        .flat_map(|reported| &reported.operations)
        .chain(&update.operations)
        .map(|operation| operation.uuid)
        .collect();
    // Nothing is said about providers that are not listed, unless all are.
    let spoken_of = |operation: &Operation| match &operation.provider {
        None => true,
        Some(id) => reported.clone().any(|reported| reported.id == *id),
    };
    agent
        .operations
        .iter()
        .filter(|uuid| !listed.contains(uuid))
        .filter_map(|uuid| operation(*uuid))
        .filter(|operation| spoken_of(operation))
        .map(|operation| reconcile_operations_message::Operation {
            operation_uuid: Some(operation.uuid.write()),
            operation_id: None,
            resource_provider_id: operation
                .provider
                .as_ref()
                .map(|id| v1::ResourceProviderId { value: id.to_string() }),
        })
        .collect()
}
