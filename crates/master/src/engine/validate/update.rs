//! UpdateSlaveMessage: what an agent says of its resources, its providers and their operations.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use model::id::{AgentId, FrameworkId};
use model::resources::Resources;
use prost::Message;
use wire::v1::OperationState;
use wire::{internal, v1};

use super::super::operations::{launches, resources_of, upgrade};
use super::super::state::operation::{MAX_STATUSES, is_speculative, weight};
use super::super::state::{Operation, OperationUuid, Provider};

/// The most resource providers of one agent.
const MAX_PROVIDERS: usize = 256;

/// What an agent has said.
#[derive(Debug)]
pub(in super::super) struct Update {
    /// All that it has to lend, if it says that.
    pub(in super::super) revocable: Option<Resources>,
    pub(in super::super) resource_version: Option<Bytes>,
    /// The operations on its own resources that are not over for it.
    pub(in super::super) operations: Vec<Operation>,
    /// All its providers, if it says that.
    pub(in super::super) providers: Option<Vec<Reported>>,
}

/// What an agent has said of one of its providers.
#[derive(Debug)]
pub(in super::super) struct Reported {
    pub(in super::super) id: Arc<str>,
    pub(in super::super) provider: Provider,
    pub(in super::super) operations: Vec<Operation>,
}

/// Checks what `agent_id` says, as far as that can be said without knowing what is true.
pub(in super::super) fn update(
    message: internal::UpdateSlaveMessage,
    agent_id: &AgentId,
) -> Result<Update, String> {
    let resource_version = message.resource_version_uuid.map(|uuid| uuid.value);
    if resource_version.as_ref().is_some_and(|uuid| uuid.len() != 16) {
        return Err("the resource version is not a valid UUID".to_owned());
    }
    let mut seen = BTreeSet::new();
    let own = message.operations.unwrap_or_default().operations;
    let own = operations(own, agent_id, None, &mut seen)?;
    let providers = match message.resource_providers {
        Some(all) => Some(providers(all.providers, agent_id, &mut seen)?),
        None => None,
    };
    let revocable = if message.update_oversubscribed_resources.unwrap_or(true) {
        Some(revocable(&message.oversubscribed_resources)?)
    } else {
        None
    };
    Ok(Update { revocable, resource_version, operations: own, providers })
}

fn revocable(wire: &[v1::Resource]) -> Result<Resources, String> {
    let revocable = wire::resources::read(wire).map_err(|error| error.to_string())?;
    if revocable.iter().any(|r| !r.revocable || r.allocation.is_some() || r.provider.is_some()) {
        return Err("oversubscribed resources must be revocable and the agent's own".to_owned());
    }
    Ok(revocable)
}

fn providers(
    providers: Vec<internal::update_slave_message::ResourceProvider>,
    agent_id: &AgentId,
    seen: &mut BTreeSet<OperationUuid>,
) -> Result<Vec<Reported>, String> {
    if providers.len() > MAX_PROVIDERS {
        return Err(format!("more than {MAX_PROVIDERS} resource providers"));
    }
    let mut all: Vec<Reported> = Vec::with_capacity(providers.len());
    for provider in providers {
        let info = provider.info.ok_or("a resource provider has no info")?;
        let id = info.id.as_ref().ok_or("a resource provider has no id")?;
        model::id::check(&id.value).map_err(|error| error.to_string())?;
        let id: Arc<str> = id.value.as_str().into();
        if all.iter().any(|other| other.id == id) {
            return Err("a resource provider is listed twice".to_owned());
        }
        let resource_version = provider.resource_version_uuid.value;
        if resource_version.len() != 16 {
            return Err("a provider's resource version is not a valid UUID".to_owned());
        }
        let total =
            wire::resources::read(&provider.total_resources).map_err(|error| error.to_string())?;
        if total.iter().any(|r| r.provider.as_ref() != Some(&id)) {
            return Err("a resource provider claims what is not its own".to_owned());
        }
        if total.iter().any(|resource| resource.allocation.is_some()) {
            return Err("a resource provider's resources cannot be allocated".to_owned());
        }
        let operations = operations(provider.operations.operations, agent_id, Some(&id), seen)?;
        let provider = Provider { info, total, resource_version };
        all.push(Reported { id, provider, operations });
    }
    Ok(all)
}

fn operations(
    operations: Vec<v1::Operation>,
    agent_id: &AgentId,
    provider: Option<&Arc<str>>,
    seen: &mut BTreeSet<OperationUuid>,
) -> Result<Vec<Operation>, String> {
    let mut all = Vec::with_capacity(operations.len());
    for wire in operations {
        let operation = operation(wire, agent_id, provider)?;
        if !seen.insert(operation.uuid) {
            return Err(format!("operation {} is listed twice", operation.uuid));
        }
        all.push(operation);
    }
    Ok(all)
}

fn operation(
    mut info: v1::Operation,
    agent_id: &AgentId,
    provider: Option<&Arc<str>>,
) -> Result<Operation, String> {
    let uuid = OperationUuid::read(&info.uuid).ok_or("an operation's UUID is not valid")?;
    let wrong = |what: &str| Err(format!("operation {uuid} {what}"));
    let kind = info.info.r#type();
    if kind == v1::offer::operation::Type::Unknown || launches(kind) {
        return wrong("is of no kind that goes on");
    }
    if info.agent_id.as_ref().is_some_and(|id| id.value != agent_id.as_str()) {
        return wrong("is another agent's");
    }
    info.agent_id = Some(v1::AgentId { value: agent_id.to_string() });
    let framework_id = match &info.framework_id {
        Some(id) => Some(FrameworkId::new(&id.value).map_err(|error| error.to_string())?),
        None => None,
    };
    if framework_id.is_none() && (info.info.id.is_some() || !is_speculative(kind)) {
        return wrong("is one that only frameworks can ask for, but has none");
    }
    if matches!(
        info.latest_status.state(),
        OperationState::OperationUnsupported | OperationState::OperationUnknown
    ) {
        return wrong("is in a state that no agent can see");
    }
    let mut told = info.statuses.iter().chain([&info.latest_status]);
    let elsewhere = |id: &v1::AgentId| id.value != agent_id.as_str();
    if told.any(|status| status.agent_id.as_ref().is_some_and(elsewhere)) {
        return wrong("has a status that names another agent");
    }
    drop(told);
    let past = info.statuses.len().saturating_sub(MAX_STATUSES);
    info.statuses.drain(..past);
    upgrade(&mut info.info, None).map_err(|error| format!("operation {uuid}: {error}"))?;
    let named: Vec<_> = resources_of(&info.info).collect();
    let theirs = |resource: &&v1::Resource| {
        resource.provider_id.as_ref().map(|id| id.value.as_str()) == provider.map(|id| &**id)
    };
    if !named.iter().all(theirs) {
        return wrong("is about another provider's resources");
    }
    let consumed = if is_speculative(kind) {
        Resources::new()
    } else {
        let wire: Vec<_> = named.into_iter().cloned().collect();
        wire::resources::read(&wire).map_err(|error| format!("operation {uuid}: {error}"))?
    };
    if consumed.iter().any(|r| r.allocation.is_none() || r.provider.is_none()) {
        return wrong("holds what is allocated to nobody, or no provider's");
    }
    // As when it was sent: what is told of it later is not its framework's doing.
    let weight = weight(info.info.encoded_len());
    Ok(Operation {
        uuid,
        framework_id,
        agent_id: agent_id.clone(),
        provider: provider.cloned(),
        info,
        consumed,
        orphan: false,
        weight,
    })
}
