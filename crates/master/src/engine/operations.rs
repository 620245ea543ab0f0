//! Operations: what frameworks and operators do to agents' resources, beyond using them.
//!
//! The result of most of them is known beforehand: RESERVE, UNRESERVE, CREATE, DESTROY,
//! GROW_VOLUME and SHRINK_VOLUME are entered in the agent's total and told to the allocator when
//! they are sent. What becomes of CREATE_DISK and DESTROY_DISK only a resource provider knows:
//! until it says so, what they take counts as used.

mod accept;
mod books;
mod feedback;
mod launch;
pub mod limits;
mod prepare;
mod providers;
mod reconcile;

use std::sync::Arc;

use model::id::{AgentId, FrameworkId};
use model::resources::{Conversion, Resources};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wire::resources::{Form, write};
use wire::v1::agent_info::capability::Type as AgentCapability;
use wire::v1::offer::operation::Type;
use wire::{internal, v1};

use super::Engine;
use super::collections::edit;
use super::effect::Accepted;
use super::message::Outbound;
use super::out::Out;
use super::refusal::Refusal;
use super::state::{Agent, Operation, OperationUuid};
use super::validate::operation::{self as validate, Demand, Setting};
use allocator::Refusal as Declined;

pub(super) use prepare::{resources_of, upgrade};

/// How long a framework does not see again what an operator took back from it to change it: as
/// long as a filter that states no time.
fn default_refusal() -> Declined {
    Declined::from_seconds(v1::Filters::default().refuse_seconds())
}

/// Makes names for operations: those of two masters differ, the same master makes the same ones
/// from the same seed.
#[derive(Debug)]
pub(super) struct Names(StdRng);

impl Names {
    pub(super) fn new(master_id: &str, seed: u64) -> Self {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        for (n, byte) in master_id.bytes().enumerate() {
            let place = &mut bytes[8 + n % 24];
            *place = place.wrapping_mul(31).wrapping_add(byte);
        }
        Self(StdRng::from_seed(bytes))
    }

    pub(super) fn fresh(&mut self) -> OperationUuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        OperationUuid::new(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes())
    }
}

/// What of an agent's total it has to remember over restarts, because its configuration does not
/// state it.
pub(super) fn checkpointed(agent: &Agent) -> Resources {
    agent.total.filter(|resource| resource.provider.is_none() && resource.needs_checkpointing())
}

/// All that an agent without operations has to remember, as it understands it.
pub(super) fn checkpoint_message(agent: &Agent) -> Option<Outbound> {
    let resources = checkpointed(agent);
    let refined = resources.iter().any(|resource| resource.has_refined_reservations());
    let form = form(agent);
    if refined && form == Form::PreRefinement {
        return None;
    }
    let resources = write(&resources, form);
    Some(Outbound::CheckpointResources(internal::CheckpointResourcesMessage { resources }))
}

/// The form of resources that an agent understands.
pub(super) fn form(agent: &Agent) -> Form {
    if agent.has(AgentCapability::ReservationRefinement) {
        Form::PostRefinement
    } else {
        Form::PreRefinement
    }
}

/// The marks of an agent's and its providers' resources.
pub(super) fn resource_versions(agent: &Agent) -> Vec<internal::ResourceVersionUuid> {
    let version =
        |provider: Option<&Arc<str>>, value: &bytes::Bytes| internal::ResourceVersionUuid {
            resource_provider_id: provider
                .map(|id| v1::ResourceProviderId { value: id.to_string() }),
            uuid: v1::Uuid { value: value.clone() },
        };
    let own = agent.resource_version.iter().map(|value| version(None, value));
    let providers = agent.providers.iter();
    own.chain(providers.map(|(id, provider)| version(Some(id), &provider.resource_version)))
        .collect()
}

impl Engine {
    /// Does an operation of an operator: what it needs is taken out of offers if it is not free.
    pub(super) fn apply_operation(
        &mut self,
        agent_id: &AgentId,
        mut operation: v1::offer::Operation,
        principal: Option<&str>,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let agent = self.state.agents.get(agent_id).cloned().ok_or(Refusal::NoAgent)?;
        let kind = operation.r#type();
        prepare::upgrade(&mut operation, None).map_err(Refusal::OperationInvalid)?;
        // What frameworks alone can do has no meaning without one.
        if !super::state::operation::is_speculative(kind) || operation.id.is_some() {
            return Err(Refusal::OperationInvalid("Not an operation for operators".to_owned()));
        }
        let setting = Setting { agent: &agent, framework: None, principal };
        let demand = validate::operation(&operation, setting).map_err(|error| {
            let error = error
                .strip_suffix(&format!("; on agent {}", validate::on(&agent)))
                .unwrap_or(&error)
                .to_owned();
            // The original names the agent but for what is given up.
            let on = match kind {
                Type::Unreserve | Type::Destroy => String::new(),
                _ => format!(" on agent {}", validate::on(&agent)),
            };
            let kind = kind.as_str_name();
            Refusal::OperationInvalid(format!("Invalid {kind} operation{on}: {error}"))
        })?;
        let (Demand::Convert(conversion) | Demand::Resize(conversion)) = demand else {
            return Err(Refusal::OperationInvalid("Not an operation for operators".to_owned()));
        };
        self.may_send(&agent, &operation).map_err(Refusal::OperationConflict)?;
        self.make_room(agent_id, &conversion, out)?;
        out.info(format!("An operator's {} on agent {agent_id}", kind.as_str_name()));
        self.send_operation(None, agent_id, (operation, Resources::new()), out);
        Ok(Accepted::Accepted)
    }

    /// Converts what is free on the agent, taking back offers one by one until it is enough.
    fn make_room(
        &mut self,
        agent_id: &AgentId,
        conversion: &Conversion,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let mut lacking = conversion.consumed();
        if let Some(agent) = self.state.agents.get(agent_id) {
            // If it would not fit without any offers, none is taken back. What is shared can be
            // had while it is used.
            let used = agent.used_by_all().filter(|resource| !resource.shared).unallocated();
            if let Err(error) = agent.total.minus(&used).apply(&conversion.unallocated()) {
                return Err(Refusal::OperationConflict(error.to_string()));
            }
        }
        loop {
            let error = match self.convert(None, agent_id, conversion) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(agent) = self.state.agents.get(agent_id) else { return Err(Refusal::NoAgent) };
            let helpful = agent.offers.iter().find_map(|id| {
                let offered = self.state.offers.get(id)?.resources.unallocated();
                let left = lacking.minus(&offered);
                (left != lacking).then(|| (id.clone(), left))
            });
            let Some((offer, left)) = helpful else {
                return Err(Refusal::OperationConflict(error));
            };
            lacking = left;
            self.rescind_with(&offer, default_refusal(), out);
        }
    }

    /// Enters the result of a conversion in the agent's total and in the allocator's books, of
    /// what is the framework's or, without one, of what is nobody's. Fails without a trace.
    pub(super) fn convert(
        &mut self,
        framework_id: Option<&FrameworkId>,
        agent_id: &AgentId,
        conversion: &Conversion,
    ) -> Result<(), String> {
        let Some(agent) = self.state.agents.get(agent_id) else {
            return Err(format!("agent {agent_id} is not registered"));
        };
        let plain = conversion.unallocated();
        let total = agent.total.apply(&plain).map_err(|error| error.to_string())?;
        self.allocator
            .convert(agent_id, framework_id, &conversion.consumed(), &conversion.converted())
            .map_err(|error| error.to_string())?;
        let Some(agent) = edit(&mut self.state.agents, agent_id) else { return Ok(()) };
        agent.total = total;
        for (_, provider) in agent.providers.clone().iter() {
            // A conversion is of one provider's resources, so it fits one of them or none.
            if let Ok(total) = provider.total.apply(&plain) {
                let id = Arc::from(provider.info.id.as_ref().map_or("", |id| id.value.as_str()));
                if let Some(provider) = edit(&mut agent.providers, &id) {
                    provider.total = total;
                }
            }
        }
        Ok(())
    }

    /// Whether the agent has said all that an operation sent to it has to refer to.
    pub(super) fn may_send(
        &self,
        agent: &Agent,
        operation: &v1::offer::Operation,
    ) -> Result<(), String> {
        limits::on_agent(agent, operation)?;
        let knows = agent.has(AgentCapability::ResourceProvider);
        if knows && validate::provider(operation).is_none() && agent.resource_version.is_none() {
            return Err(format!("Agent {} has not stated its resource version", agent.id));
        }
        Ok(())
    }

    /// Enters an operation that is paid for and sends it to its agent. `consumed` is what it holds
    /// until it ends. Agents that know no operations are sent the result instead.
    pub(super) fn send_operation(
        &mut self,
        framework_id: Option<&FrameworkId>,
        agent_id: &AgentId,
        (mut info, consumed): (v1::offer::Operation, Resources),
        out: &mut Out,
    ) {
        let Some(agent) = self.state.agents.get(agent_id).cloned() else { return };
        if !agent.has(AgentCapability::ResourceProvider) {
            match checkpoint_message(&agent) {
                Some(message) => out.send(&agent.peer, message),
                None => out.warn(format!(
                    "Agent {agent_id} does not know refined reservations and is not sent any"
                )),
            }
            return;
        }
        let uuid = self.operation_names.fresh();
        let provider = validate::provider(&info);
        let wire_provider =
            provider.as_ref().map(|id| v1::ResourceProviderId { value: id.to_string() });
        let mut status = v1::OperationStatus {
            operation_id: info.id.clone(),
            agent_id: Some(v1::AgentId { value: agent_id.to_string() }),
            resource_provider_id: wire_provider.clone(),
            ..v1::OperationStatus::default()
        };
        status.set_state(v1::OperationState::OperationPending);
        let framework = framework_id.map(|id| v1::FrameworkId { value: id.to_string() });
        self.insert_operation(Operation {
            uuid,
            framework_id: framework_id.cloned(),
            agent_id: agent_id.clone(),
            provider: provider.clone(),
            info: v1::Operation {
                framework_id: framework.clone(),
                agent_id: Some(v1::AgentId { value: agent_id.to_string() }),
                info: info.clone(),
                latest_status: status,
                statuses: Vec::new(),
                uuid: uuid.write(),
            },
            consumed,
            orphan: false,
            weight: limits::weight_of(&info),
        });
        let version = match &provider {
            None => agent.resource_version.clone(),
            Some(id) => agent.providers.get(id).map(|provider| provider.resource_version.clone()),
        };
        prepare::rewrite(&mut info, form(&agent));
        let message = internal::ApplyOperationMessage {
            framework_id: framework,
            operation_info: info,
            operation_uuid: uuid.write(),
            resource_version_uuid: internal::ResourceVersionUuid {
                resource_provider_id: wire_provider,
                uuid: v1::Uuid { value: version.unwrap_or_default() },
            },
        };
        out.send(&agent.peer, Outbound::ApplyOperation(message));
    }
}

/// Whether an operation is one that frameworks launch something by.
pub(super) const fn launches(kind: Type) -> bool {
    matches!(kind, Type::Launch | Type::LaunchGroup)
}
