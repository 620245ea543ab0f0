//! Operations other than launches.

use std::sync::Arc;

use model::resources::{Conversion, Resource, Resources, Scalar};
use wire::v1;
use wire::v1::agent_info::capability::Type as AgentCapability;
use wire::v1::offer::Operation;
use wire::v1::offer::operation::{self as of, Type};
use wire::v1::resource::disk_info::source::Type as SourceType;

use super::super::state::{Agent, Framework};
use super::resources;

/// Who wants an operation, and on whose resources.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Setting<'a> {
    pub(in super::super) agent: &'a Agent,
    /// The framework that wants it; `None` for an operator.
    pub(in super::super) framework: Option<&'a Framework>,
    /// Who has proved to be the one that wants it.
    pub(in super::super) principal: Option<&'a str>,
}

/// What an operation that may be done does.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Demand {
    /// Its result is known and can be used at once.
    Convert(Conversion),
    /// Its result is known, but is not for other operations of the same call.
    Resize(Conversion),
    /// Only a provider knows what becomes of these.
    Consume(Resources),
}

/// Checks an operation whose resources are in the form after reservation refinement.
pub(in super::super) fn operation(
    operation: &Operation,
    setting: Setting<'_>,
) -> Result<Demand, String> {
    let agent = setting.agent;
    let demand = match operation.r#type() {
        Type::Reserve => reserve(operation.reserve.as_ref().ok_or(MISSING)?, setting),
        Type::Unreserve => unreserve(operation.unreserve.as_ref().ok_or(MISSING)?),
        Type::Create => create(operation.create.as_ref().ok_or(MISSING)?, setting),
        Type::Destroy => destroy(operation.destroy.as_ref().ok_or(MISSING)?, agent),
        Type::GrowVolume => grow(operation.grow_volume.as_ref().ok_or(MISSING)?, agent),
        Type::ShrinkVolume => shrink(operation.shrink_volume.as_ref().ok_or(MISSING)?, agent),
        Type::CreateDisk | Type::DestroyDisk if !agent.has(AgentCapability::ResourceProvider) => {
            return Err(format!(
                "Not supported on agent {} because it does not have RESOURCE_PROVIDER capability",
                on(agent)
            ));
        }
        Type::CreateDisk => create_disk(operation.create_disk.as_ref().ok_or(MISSING)?),
        Type::DestroyDisk => destroy_disk(operation.destroy_disk.as_ref().ok_or(MISSING)?),
        Type::Launch | Type::LaunchGroup | Type::Unknown => Err(MISSING.to_owned()),
    };
    let demand = demand.map_err(|error| format!("{error}; on agent {}", on(agent)))?;
    // The original ends when it is asked for the resources of a provider that it does not know.
    if let Some(provider) = provider(operation)
        && !agent.providers.contains_key(&provider)
    {
        return Err(format!("Resource provider {provider} is unknown; on agent {}", on(agent)));
    }
    Ok(demand)
}

/// The members are looked at before.
const MISSING: &str = "The operation has no such member";

/// An agent, as the original names it in texts.
pub(in super::super) fn on(agent: &Agent) -> String {
    format!("{} at {} ({})", agent.id, agent.peer.pid, agent.info.hostname)
}

/// The provider of the resources that an operation is about.
pub(in super::super) fn provider(operation: &Operation) -> Option<Arc<str>> {
    let first = super::super::operations::resources_of(operation).next();
    first.and_then(|resource| resource.provider_id.as_ref()).map(|id| id.value.as_str().into())
}

fn invalid(error: impl std::fmt::Display) -> String {
    format!("Invalid resources: {error}")
}

fn reserve(reserve: &of::Reserve, setting: Setting<'_>) -> Result<Demand, String> {
    let target = resources::valid(&reserve.resources).map_err(invalid)?;
    let source =
        resources::valid(&reserve.source).map_err(|error| format!("Invalid source: {error}"))?;
    let (to, from): (Resources, Resources) =
        (target.iter().cloned().collect(), source.iter().cloned().collect());
    if !source.is_empty() {
        alike(&source).map_err(|error| format!("Invalid source: {error}"))?;
        alike(&target).map_err(invalid)?;
        let (have, want) = (from.to_unreserved(), to.to_unreserved());
        if have != want {
            return Err(format!(
                "Source and target resources should refer to identical resource quantities: \
                 {have} vs. {want}"
            ));
        }
    }
    resources::single_provider(&target).map_err(invalid)?;
    target.iter().try_for_each(|resource| reservation(resource, setting))?;
    if setting.framework.is_some() {
        resources::single_role(&target)
            .map_err(|error| format!("Invalid reservation resources: {error}"))?;
    }
    if !source.is_empty() {
        return Ok(Demand::Convert(Conversion::re_reserve(&from, &to)));
    }
    Conversion::reserve(&to).map(Demand::Convert).map_err(|error| error.to_string())
}

/// Checks that all have the same reservations.
fn alike(list: &[Resource]) -> Result<(), String> {
    let Some(first) = list.first() else { return Err("Resource cannot be empty".to_owned()) };
    if list.iter().any(|resource| resource.reservations != first.reservations) {
        let all: Resources = list.iter().cloned().collect();
        return Err(format!("Mixed reservations are not supported{all}"));
    }
    Ok(())
}

fn reservation(resource: &Resource, setting: Setting<'_>) -> Result<(), String> {
    let Some(last) = resource.reservations.last().filter(|_| resource.is_dynamically_reserved())
    else {
        return Err(format!("Resource {resource} is not dynamically reserved"));
    };
    let (agent, role) = (setting.agent, &last.role);
    if !agent.has(AgentCapability::HierarchicalRole) && role.is_nested() {
        return Err(format!(
            "Resource {resource} with reservation for hierarchical role '{role}' cannot be \
             reserved on an agent without HIERARCHICAL_ROLE capability"
        ));
    }
    if !agent.has(AgentCapability::ReservationRefinement) && resource.has_refined_reservations() {
        return Err(format!(
            "Resource {resource} with reservation refinement cannot be reserved on an agent \
             without RESERVATION_REFINEMENT capability"
        ));
    }
    if let Some(principal) = setting.principal {
        match &last.principal {
            None => {
                return Err(format!(
                    "A reserve operation was attempted by principal '{principal}', but there is a \
                     reserved resource in the request with no principal set"
                ));
            }
            Some(other) if **other != *principal => {
                return Err(format!(
                    "A reserve operation was attempted by authenticated principal '{principal}', \
                     which does not match a reserved resource in the request with principal \
                     '{other}'"
                ));
            }
            Some(_) => {}
        }
    }
    let Some(framework) = setting.framework else {
        return match resource.allocation {
            None => Ok(()),
            Some(_) => {
                Err("A reserve operation was attempted with an allocated resource, but the \
                            operator API only allows reservations to be made to unallocated \
                            resources"
                    .to_owned())
            }
        };
    };
    let Some(allocation) = &resource.allocation else {
        return Err(format!(
            "A reserve operation was attempted on unallocated resource {resource}, but frameworks \
             can only perform reservations on allocated resources"
        ));
    };
    if allocation != role {
        return Err(format!(
            "A reserve operation was attempted for a resource with role '{role}', but the resource \
             was allocated to role '{allocation}'"
        ));
    }
    if !framework.roles.contains(allocation) {
        let roles: Vec<_> = framework.roles.iter().map(|role| role.as_str()).collect();
        return Err(format!(
            "A reserve operation was attempted for a resource allocated to role '{allocation}', \
             but the framework only has roles '{{ {} }}'",
            roles.join(", ")
        ));
    }
    Ok(())
}

fn unreserve(unreserve: &of::Unreserve) -> Result<Demand, String> {
    let list = resources::valid(&unreserve.resources).map_err(invalid)?;
    resources::single_provider(&list).map_err(invalid)?;
    for resource in &list {
        if !resource.is_dynamically_reserved() {
            return Err(format!("Resource {resource} is not dynamically reserved"));
        }
        if resource.is_persistent_volume() {
            return Err(format!(
                "A dynamically reserved persistent volume {resource} cannot be unreserved \
                 directly. Please destroy the persistent volume first then unreserve the resource"
            ));
        }
    }
    let reserved: Resources = list.into_iter().collect();
    Conversion::unreserve(&reserved).map(Demand::Convert).map_err(|error| error.to_string())
}

fn create(create: &of::Create, setting: Setting<'_>) -> Result<Demand, String> {
    let volumes = resources::valid(&create.volumes).map_err(invalid)?;
    resources::single_provider(&volumes).map_err(invalid)?;
    resources::persistent_volumes(&create.volumes, &volumes)
        .map_err(|error| format!("Not a persistent volume: {error}"))?;
    resources::unique_persistence(setting.agent.total.iter().chain(&volumes))?;
    volumes.iter().try_for_each(|volume| new_volume(volume, setting))?;
    if setting.framework.is_some() {
        resources::single_role(&volumes)
            .map_err(|error| format!("Invalid volume resources: {error}"))?;
    }
    let volumes: Resources = volumes.into_iter().collect();
    Conversion::create(&volumes).map(Demand::Convert).map_err(|error| error.to_string())
}

fn new_volume(volume: &Resource, setting: Setting<'_>) -> Result<(), String> {
    let agent = setting.agent;
    if let Some(framework) = setting.framework
        && volume.shared
        && !framework.capabilities.shared_resources
    {
        return Err(format!(
            "Create volume operation for '{volume}' has been attempted by framework '{}' with no \
             SHARED_RESOURCES capability",
            framework.id
        ));
    }
    let role = volume.reserved_to().filter(|role| role.is_nested());
    if let Some(role) = role
        && !agent.has(AgentCapability::HierarchicalRole)
    {
        return Err(format!(
            "Volume {volume} with reservation for hierarchical role '{role}' cannot be created on \
             an agent without HIERARCHICAL_ROLE capability"
        ));
    }
    if !agent.has(AgentCapability::ReservationRefinement) && volume.has_refined_reservations() {
        return Err(format!(
            "Volume {volume} with reservation refinement cannot be created on an agent without \
             RESERVATION_REFINEMENT capability"
        ));
    }
    let Some(principal) = setting.principal else { return Ok(()) };
    let disk = volume.disk.as_ref();
    let persistence = disk.and_then(|disk| disk.persistence.as_ref());
    match persistence.and_then(|persistence| persistence.principal.as_deref()) {
        None => Err(format!(
            "Create volume operation attempted by principal '{principal}', but there is a volume \
             in the operation with no principal set in 'disk.persistence'"
        )),
        Some(other) if other != principal => Err(format!(
            "Create volume operation attempted by authenticated principal '{principal}', which \
             does not match a volume in the operation with principal '{other}' set in \
             'disk.persistence'"
        )),
        Some(_) => Ok(()),
    }
}

fn destroy(destroy: &of::Destroy, agent: &Agent) -> Result<Demand, String> {
    let volumes = resources::valid(&destroy.volumes).map_err(invalid)?;
    resources::single_provider(&volumes).map_err(invalid)?;
    resources::persistent_volumes(&destroy.volumes, &volumes)
        .map_err(|error| format!("Not a persistent volume: {error}"))?;
    let plain: Vec<_> = volumes.iter().map(Resource::unallocated).collect();
    for volume in plain.iter().filter(|volume| volume.provider.is_none()) {
        if !agent.total.contains(&volume.clone().into()) {
            return Err("Persistent volumes not found".to_owned());
        }
    }
    // Only shared volumes can be offered while they are in use.
    let used = |volume: &Resource| {
        let mut all = agent.used.values().flat_map(|used| used.iter());
        all.any(|one| one.unallocated().same_kind(volume))
    };
    if plain.iter().any(used) {
        return Err("Persistent volumes in use".to_owned());
    }
    let volumes: Resources = volumes.into_iter().collect();
    Conversion::destroy(&volumes).map(Demand::Convert).map_err(|error| error.to_string())
}

/// Reads the one volume that is to change its size.
fn one(wire: &v1::Resource, field: &str) -> Result<Resource, String> {
    wire::resources::read_one(wire)
        .map_err(|error| format!("Invalid resource in the '{field}' field: {error}"))
}

fn is_positive(scalar: Option<&v1::value::Scalar>) -> Option<Scalar> {
    Scalar::from_f64(scalar?.value).ok().filter(|size| !size.is_zero())
}

fn grow(grow: &of::GrowVolume, agent: &Agent) -> Result<Demand, String> {
    let volume = one(&grow.volume, "GrowVolume.volume")?;
    let addition = one(&grow.addition, "GrowVolume.addition")?;
    if is_positive(grow.addition.scalar.as_ref()).is_none() {
        return Err("The size of 'GrowVolume.addition' field must be greater than zero".to_owned());
    }
    if volume.provider.is_some() {
        return Err("Growing a volume from a resource provider is not supported".to_owned());
    }
    let listed = std::slice::from_ref(&volume);
    resources::persistent_volumes(std::slice::from_ref(&grow.volume), listed).map_err(|error| {
        format!("Invalid persistent volume in the 'GrowVolume.volume' field: {error}")
    })?;
    if volume.shared {
        return Err("Growing a shared persistent volume is not supported".to_owned());
    }
    let beneath = volume.without_volume();
    if !beneath.same_kind(&addition) || beneath.is_indivisible() {
        return Err("Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' \
                    fields"
            .to_owned());
    }
    if !agent.has(AgentCapability::ResizeVolume) {
        return Err(format!(
            "Volume {volume} cannot be grown on an agent without RESIZE_VOLUME capability"
        ));
    }
    let conversion =
        Conversion::grow_volume(&volume, &addition).map_err(|error| error.to_string())?;
    Ok(Demand::Resize(conversion))
}

fn shrink(shrink: &of::ShrinkVolume, agent: &Agent) -> Result<Demand, String> {
    let volume = one(&shrink.volume, "ShrinkVolume.volume")?;
    let Some(subtract) = is_positive(Some(&shrink.subtract)) else {
        return Err("Value of 'ShrinkVolume.subtract' must be greater than zero".to_owned());
    };
    if is_positive(shrink.volume.scalar.as_ref()).is_none_or(|size| size <= subtract) {
        return Err("Value of 'ShrinkVolume.subtract' must be smaller than the size of \
                    'ShrinkVolume.volume'"
            .to_owned());
    }
    if volume.provider.is_some() {
        return Err("Shrinking a volume from a resource provider is not supported".to_owned());
    }
    if resources::source_type(&shrink.volume) == Some(SourceType::Mount) {
        return Err("Shrinking a volume on a MOUNT disk is not supported".to_owned());
    }
    let listed = std::slice::from_ref(&volume);
    resources::persistent_volumes(std::slice::from_ref(&shrink.volume), listed).map_err(
        |error| format!("Invalid persistent volume in the 'ShrinkVolume.volume' field: {error}"),
    )?;
    if volume.shared {
        return Err("Shrinking a shared persistent volume is not supported".to_owned());
    }
    if !agent.has(AgentCapability::ResizeVolume) {
        return Err(format!(
            "Volume {volume} cannot be shrunk on an agent without RESIZE_VOLUME capability"
        ));
    }
    let conversion =
        Conversion::shrink_volume(&volume, subtract).map_err(|error| error.to_string())?;
    Ok(Demand::Resize(conversion))
}

/// Reads the one disk that a provider is to change.
fn managed(wire: &v1::Resource) -> Result<Resource, String> {
    let mut list = resources::valid(std::slice::from_ref(wire))
        .map_err(|error| format!("Invalid resource: {error}"))?;
    let source = list.pop().ok_or(MISSING)?;
    if source.provider.is_none() {
        return Err("'source' is not managed by a resource provider".to_owned());
    }
    Ok(source)
}

fn create_disk(create: &of::CreateDisk) -> Result<Demand, String> {
    let source = managed(&create.source)?;
    if resources::source_type(&create.source) != Some(SourceType::Raw) {
        return Err("'source' is not a RAW disk resource".to_owned());
    }
    if !matches!(create.target_type(), SourceType::Mount | SourceType::Block) {
        return Err("'target_type' is neither MOUNT or BLOCK".to_owned());
    }
    let disk = create.source.disk.as_ref().and_then(|disk| disk.source.as_ref());
    let has_profile = disk.is_some_and(|disk| disk.profile.is_some());
    match (has_profile, create.target_profile.is_some()) {
        (true, true) => {
            Err("'target_profile' must not be set when 'source' has a profile".to_owned())
        }
        (false, false) => {
            Err("'target_profile' must be set when 'source' has no profile".to_owned())
        }
        _ => Ok(Demand::Consume(source.into())),
    }
}

fn destroy_disk(destroy: &of::DestroyDisk) -> Result<Demand, String> {
    let source = managed(&destroy.source)?;
    let kind = resources::source_type(&destroy.source);
    if !matches!(kind, Some(SourceType::Mount | SourceType::Block | SourceType::Raw)) {
        return Err("'source' is neither a MOUNT, BLOCK or RAW disk resource".to_owned());
    }
    let disk = destroy.source.disk.as_ref().and_then(|disk| disk.source.as_ref());
    if disk.is_none_or(|disk| disk.id.is_none()) {
        return Err("'source' is not backed by a CSI volume".to_owned());
    }
    if source.is_persistent_volume() {
        return Err(format!(
            "A disk resource containing a persistent volume {source} cannot be destroyed directly. \
             Please destroy the persistent volume first then destroy the disk resource"
        ));
    }
    Ok(Demand::Consume(source.into()))
}
