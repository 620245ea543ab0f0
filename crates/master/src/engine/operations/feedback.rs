//! How operations end: what agents say of it, and that frameworks have heard it.

use std::time::Duration;

use libprocess::sender::BoundPid;
use model::id::{AgentId, FrameworkId};
use wire::v1::agent_info::capability::Type as AgentCapability;
use wire::v1::scheduler::call;
use wire::v1::{OperationState, OperationStatus};
use wire::{internal, v1};

use super::super::Engine;
use super::super::counters::Counter;
use super::super::events;
use super::super::message::Outbound;
use super::super::out::{Out, quoted};
use super::super::state::operation::is_terminal;
use super::super::state::{Operation, OperationUuid};
use super::super::validate::agent as validate;

/// How long after an agent has come back the framework of an operation that it brought may take to
/// come back too. Then nobody else will acknowledge.
const ORPHANS_WAIT: Duration = Duration::from_secs(10 * 60);

/// Whether an agent can say this of an operation that the master knows.
const fn can_be_reported(state: OperationState) -> bool {
    !matches!(state, OperationState::OperationUnsupported | OperationState::OperationUnknown)
}

impl Engine {
    /// An operation's state changed.
    pub(in super::super) fn operation_status(
        &mut self,
        from: &BoundPid,
        message: internal::UpdateOperationStatusMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        self.state.counters.count(Counter::MessagesOperationStatusUpdate);
        let result = self.try_operation_status(from, message, out);
        match result {
            Ok(true) => self.state.counters.count(Counter::ValidOperationStatusUpdates),
            Ok(false) => {}
            Err(_) => self.state.counters.count(Counter::InvalidOperationStatusUpdates),
        }
        result.map(|_| ())
    }

    /// Says whether the update was about an operation that is known.
    fn try_operation_status(
        &mut self,
        from: &BoundPid,
        message: internal::UpdateOperationStatusMessage,
        out: &mut Out,
    ) -> Result<bool, String> {
        validate::operation_status(&message)?;
        let agent_id = self.agent_speaking(from, message.slave_id.as_ref())?;
        let framework_id = message
            .framework_id
            .as_ref()
            .map(|id| FrameworkId::new(&id.value).map_err(|error| error.to_string()))
            .transpose()?;
        let uuid = message.operation_uuid.as_ref().and_then(OperationUuid::read);
        let known = uuid.and_then(|uuid| self.operation(uuid));
        // The agent told of all its operations when it registered. One that is not known since
        // was acknowledged at its end; that got lost, and the agent would repeat itself for ever.
        let repeats = self
            .state
            .agents
            .get(&agent_id)
            .is_some_and(|agent| agent.connected && from.connection() >= agent.connection);
        if let (None, Some(operation), Some(status)) = (&known, uuid, &message.status.uuid)
            && repeats
        {
            out.info(format!("Agent {agent_id} repeats how operation {operation} ended"));
            let provider = message.status.resource_provider_id.clone();
            self.send_acknowledgement(&agent_id, operation, provider, status.clone(), out);
            return Ok(false);
        }
        match (known, uuid, framework_id) {
            (Some(operation), ..) => {
                if operation.agent_id != agent_id {
                    return Err(format!("operation {} is on another agent", operation.uuid));
                }
                self.known_operation_status(&operation, message, out)?;
                Ok(true)
            }
            // The answer to a framework's question that was passed on, about an operation of which
            // nothing is known here, or which ended while the question was on its way.
            (None, uuid, Some(framework_id)) => {
                self.own_affair(&agent_id, &framework_id, &message.status)?;
                if uuid.is_some() {
                    self.state.counters.count(Counter::InvalidOperationStatusUpdates);
                }
                self.tell(&framework_id, events::operation_status(message.status), out);
                Ok(false)
            }
            // The second answer to a question of the master's own.
            (None, Some(uuid), None) => {
                out.info(format!("Agent {agent_id} told of operation {uuid}, which is over"));
                Ok(false)
            }
            (None, None, None) => Err("neither an operation nor a framework is named".to_owned()),
        }
    }

    /// Whether an agent may answer a framework's question: not about what another agent does.
    fn own_affair(
        &self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        status: &OperationStatus,
    ) -> Result<(), String> {
        let elsewhere = |named: &str| named != agent_id.as_str();
        if status.agent_id.as_ref().is_some_and(|id| elsewhere(&id.value)) {
            return Err("its status names another agent".to_owned());
        }
        let id = status.operation_id.as_ref().ok_or("its status names no operation")?;
        let known = self
            .state
            .frameworks
            .get(framework_id)
            .and_then(|framework| framework.operation_names.get(&id.value))
            .and_then(|uuid| self.operation(*uuid));
        if known.is_some_and(|operation| elsewhere(operation.agent_id.as_str())) {
            return Err(format!("operation {} is on another agent", quoted(&id.value)));
        }
        Ok(())
    }

    fn known_operation_status(
        &mut self,
        operation: &Operation,
        message: internal::UpdateOperationStatusMessage,
        out: &mut Out,
    ) -> Result<(), String> {
        let mut told = message.status;
        let mut latest = message.latest_status.unwrap_or_else(|| told.clone());
        for status in [&mut told, &mut latest] {
            if !can_be_reported(status.state()) {
                return Err("it names a state that no agent can see".to_owned());
            }
            if status.agent_id.as_ref().is_some_and(|id| id.value != operation.agent_id.as_str()) {
                return Err("its status names another agent".to_owned());
            }
            converted_resources(status, operation)?;
            // Agents that do not know the operation leave this out.
            status.operation_id = operation.id().cloned();
        }
        if self.update_operation(operation.uuid, (&told, &latest), false, out) {
            self.sum_up(&operation.agent_id, out);
        }
        let ended = is_terminal(told.state());
        let reliable = told.uuid.clone();
        if self.framework_will_acknowledge(operation) {
            if let Some(framework_id) = &operation.framework_id {
                self.tell(framework_id, events::operation_status(told), out);
            }
            if ended && reliable.is_none() {
                self.remove_operation(operation.uuid, out);
            }
            return Ok(());
        }
        if let Some(uuid) = reliable {
            if self.framework_may_come_back(operation, out) {
                out.info(format!(
                    "An update of operation {} waits for its framework to come back",
                    operation.uuid
                ));
                return Ok(());
            }
            self.acknowledge_to_agent(operation, uuid, out);
        }
        if ended {
            self.remove_operation(operation.uuid, out);
        }
        Ok(())
    }

    /// Whether the framework wants to be told, and is not over.
    fn framework_will_acknowledge(&self, operation: &Operation) -> bool {
        let known = |id: &FrameworkId| self.state.frameworks.contains_key(id);
        operation.id().is_some()
            && !operation.orphan
            && operation.framework_id.as_ref().is_some_and(known)
    }

    /// Whether the framework of an operation that an agent has brought back may still subscribe.
    fn framework_may_come_back(&self, operation: &Operation, out: &Out) -> bool {
        let over = operation.framework_id.as_ref().is_none_or(|id| self.is_completed(id));
        if operation.id().is_none() || over {
            return false;
        }
        let came_back = self.state.agents.get(&operation.agent_id).and_then(|a| a.reregistered);
        came_back.is_some_and(|since| {
            out.now.wall.since_epoch().saturating_sub(since.since_epoch()) < ORPHANS_WAIT
        })
    }

    fn acknowledge_to_agent(&self, operation: &Operation, status: v1::Uuid, out: &mut Out) {
        let provider = operation.provider.as_ref();
        let provider = provider.map(|id| v1::ResourceProviderId { value: id.to_string() });
        self.send_acknowledgement(&operation.agent_id, operation.uuid, provider, status, out);
    }

    fn send_acknowledgement(
        &self,
        agent_id: &AgentId,
        operation: OperationUuid,
        resource_provider_id: Option<v1::ResourceProviderId>,
        status_uuid: v1::Uuid,
        out: &mut Out,
    ) {
        let Some(agent) = self.state.agents.get(agent_id) else { return };
        let message = internal::AcknowledgeOperationStatusMessage {
            status_uuid,
            operation_uuid: operation.write(),
            resource_provider_id,
        };
        out.send(&agent.peer, Outbound::AcknowledgeOperationStatus(message));
    }

    /// ACKNOWLEDGE_OPERATION_STATUS
    pub(in super::super) fn acknowledge_operation(
        &mut self,
        framework_id: &FrameworkId,
        acknowledge: &call::AcknowledgeOperationStatus,
        out: &mut Out,
    ) {
        self.state.counters.count(Counter::MessagesOperationStatusUpdateAcknowledgement);
        match self.try_acknowledge_operation(framework_id, acknowledge, out) {
            Ok(()) => {
                self.state.counters.count(Counter::ValidOperationStatusUpdateAcknowledgements);
            }
            Err(reason) => {
                let counter = Counter::InvalidOperationStatusUpdateAcknowledgements;
                self.state.counters.count(counter);
                out.warn(format!(
                    "Cannot send operation status update acknowledgement of framework \
                     {framework_id}: {}",
                    quoted(&reason)
                ));
            }
        }
    }

    fn try_acknowledge_operation(
        &mut self,
        framework_id: &FrameworkId,
        acknowledge: &call::AcknowledgeOperationStatus,
        out: &mut Out,
    ) -> Result<(), String> {
        let named = acknowledge.agent_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        let agent = AgentId::new(named)
            .ok()
            .and_then(|id| self.state.agents.get(&id))
            .ok_or_else(|| format!("agent {named} is not registered"))?;
        if !agent.connected {
            return Err(format!("agent {named} is disconnected"));
        }
        let provider = acknowledge.resource_provider_id.as_ref();
        let needed = match provider {
            Some(_) => AgentCapability::ResourceProvider,
            None => AgentCapability::AgentOperationFeedback,
        };
        if !agent.has(needed) {
            return Err(format!(
                "agent {named} does not have the {} capability",
                needed.as_str_name()
            ));
        }
        let name = &acknowledge.operation_id.value;
        let operation = self
            .state
            .frameworks
            .get(framework_id)
            .and_then(|framework| framework.operation_names.get(name))
            .and_then(|uuid| self.operation(*uuid))
            .ok_or_else(|| format!("operation {name} is unknown"))?;
        // The original ends if the operation is on another agent.
        if operation.agent_id.as_str() != named
            || provider.is_some_and(|id| operation.provider.as_deref() != Some(id.value.as_str()))
        {
            return Err(format!("operation {name} is on agent {}", operation.agent_id));
        }
        let is_it = |status: &&OperationStatus| {
            status.uuid.as_ref().is_some_and(|uuid| uuid.value == acknowledge.uuid)
        };
        let status = operation
            .info
            .statuses
            .iter()
            .find(is_it)
            .ok_or_else(|| format!("the status of operation {name} is unknown"))?;
        let uuid = v1::Uuid { value: acknowledge.uuid.clone() };
        self.acknowledge_to_agent(&operation, uuid, out);
        if is_terminal(status.state()) {
            self.remove_operation(operation.uuid, out);
        }
        Ok(())
    }

    /// Tells frameworks what becomes of their operations on an agent that leaves, and counts it.
    /// Nobody repeats it; whoever misses it has to ask.
    pub(in super::super) fn tell_of_operations_on(
        &mut self,
        agent_id: &AgentId,
        (state, message): (OperationState, &str),
        out: &mut Out,
    ) {
        let Some(agent) = self.state.agents.get(agent_id).cloned() else { return };
        for uuid in agent.operations.iter() {
            let Some(operation) = self.operation(*uuid) else { continue };
            if !operation.is_terminal() {
                self.state.counters.count_operation(operation.kind(), state);
            }
            let framework = operation.framework_id.as_ref().filter(|_| !operation.orphan);
            let (Some(framework_id), Some(id)) = (framework, operation.id()) else { continue };
            let provider = operation.provider.as_ref();
            let mut status = OperationStatus {
                operation_id: Some(id.clone()),
                message: Some(message.to_owned()),
                agent_id: Some(v1::AgentId { value: agent_id.to_string() }),
                resource_provider_id: provider
                    .map(|id| v1::ResourceProviderId { value: id.to_string() }),
                ..OperationStatus::default()
            };
            status.set_state(state);
            self.tell(framework_id, events::operation_status(status), out);
        }
    }
}

/// Checks what an agent says that became of what an operation took.
fn converted_resources(status: &OperationStatus, operation: &Operation) -> Result<(), String> {
    let converted = wire::resources::read(&status.converted_resources)
        .map_err(|error| format!("converted resources: {error}"))?;
    let provider = operation.provider.as_deref();
    if converted.iter().any(|resource| resource.provider.as_deref() != provider) {
        return Err("converted resources are another provider's".to_owned());
    }
    Ok(())
}
