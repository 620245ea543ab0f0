//! Lists of resources in calls: what every list must be, and what some must be besides.

use std::collections::BTreeSet;

use model::resources::{Quantities, Resource, Resources, Value};
use wire::resources::{MAX_RESOURCES, read_one};
use wire::v1;
use wire::v1::resource::disk_info::source::Type as SourceType;

/// Reads a list and checks what can be said of each resource alone.
pub(super) fn valid(wire: &[v1::Resource]) -> Result<Vec<Resource>, String> {
    let resources = read(wire).map_err(|error| format!("Invalid resources: {error}"))?;
    let gpus = resources.iter().filter(|resource| &*resource.name == "gpus");
    if !gpus.cloned().collect::<Resources>().scalar("gpus").thousandths().is_multiple_of(1000) {
        return Err(
            "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer".to_owned()
        );
    }
    wire.iter()
        .zip(&resources)
        .try_for_each(|(wire, resource)| disk(wire, resource))
        .map_err(|error| format!("Invalid DiskInfo: {error}"))?;
    for resource in &resources {
        if resource.is_dynamically_reserved() && resource.revocable {
            return Err(format!(
                "Invalid ReservationInfo: Dynamically reserved resource {resource} cannot be \
                 created from revocable resources"
            ));
        }
    }
    Ok(resources)
}

/// Reads a list, each resource for itself.
pub(super) fn read(wire: &[v1::Resource]) -> Result<Vec<Resource>, String> {
    if wire.len() > MAX_RESOURCES {
        return Err(format!("more than {MAX_RESOURCES} of them"));
    }
    wire.iter().map(read_one).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn disk(wire: &v1::Resource, resource: &Resource) -> Result<(), String> {
    let Some(disk) = &wire.disk else { return Ok(()) };
    let Some(persistence) = &disk.persistence else {
        return if disk.volume.is_some() {
            Err("Non-persistent volume not supported".to_owned())
        } else if disk.source.is_none() {
            Err("DiskInfo is set but empty".to_owned())
        } else {
            Ok(())
        };
    };
    if resource.revocable {
        return Err("Persistent volumes cannot be created from revocable resources".to_owned());
    }
    if resource.is_unreserved() {
        return Err("Persistent volumes cannot be created from unreserved resources".to_owned());
    }
    let Some(volume) = &disk.volume else {
        return Err("Expecting 'volume' to be set for persistent volume".to_owned());
    };
    if volume.host_path.is_some() {
        return Err("Expecting 'host_path' to be unset for persistent volume".to_owned());
    }
    model::id::check(&persistence.id)
        .map_err(|error| format!("Invalid persistence ID for persistent volume: {error}"))
}

/// Checks that all are persistent volumes that can be written.
pub(super) fn persistent_volumes(
    wire: &[v1::Resource],
    resources: &[Resource],
) -> Result<(), String> {
    for (wire, resource) in wire.iter().zip(resources) {
        let Some(disk) = &wire.disk else {
            return Err(format!("Resource {resource} does not have DiskInfo"));
        };
        if disk.persistence.is_none() {
            return Err("'persistence' is not set in DiskInfo".to_owned());
        }
        let Some(volume) = &disk.volume else {
            return Err("Expecting 'volume' to be set for persistent volume".to_owned());
        };
        if volume.mode() == v1::volume::Mode::Ro {
            return Err("Read-only persistent volume not supported".to_owned());
        }
    }
    Ok(())
}

/// Checks that no two volumes reserved to one role have one id. Copies of a shared volume are one
/// volume.
pub(super) fn unique_persistence<'a>(
    resources: impl IntoIterator<Item = &'a Resource>,
) -> Result<(), String> {
    let mut seen: Vec<&Resource> = Vec::new();
    let mut ids = BTreeSet::new();
    for resource in resources {
        let Some(id) = resource.persistence_id() else { continue };
        if resource.shared && seen.iter().any(|other| other.same_kind(resource)) {
            continue;
        }
        seen.push(resource);
        if !ids.insert((resource.reserved_to(), id)) {
            return Err(format!("Persistence ID '{id}' is not unique"));
        }
    }
    Ok(())
}

/// Checks that all are allocated, and to one role.
pub(super) fn single_role(resources: &[Resource]) -> Result<(), String> {
    let mut first = None;
    for resource in resources {
        let Some(role) = &resource.allocation else {
            return Err("The resources are not allocated to a role".to_owned());
        };
        let first = *first.get_or_insert(role);
        if role != first {
            return Err(format!(
                "The resources have multiple allocation roles ('{role}' and '{first}') but only \
                 one allocation role is allowed"
            ));
        }
    }
    Ok(())
}

/// Checks that nothing is used both revocably and not.
pub(super) fn not_mixed<'a>(
    resources: impl Iterator<Item = &'a Resource> + Clone,
) -> Result<(), String> {
    let firm: BTreeSet<&str> =
        resources.clone().filter(|r| !r.revocable).map(|r| &*r.name).collect();
    for resource in resources.filter(|resource| resource.revocable) {
        if firm.contains(&*resource.name) {
            return Err(format!(
                "Cannot use both revocable and non-revocable '{}' at the same time",
                resource.name
            ));
        }
    }
    Ok(())
}

/// Checks that all come from one provider, or all from the agent.
pub(super) fn single_provider(resources: &[Resource]) -> Result<(), String> {
    let providers: BTreeSet<_> = resources.iter().map(|resource| &resource.provider).collect();
    if providers.len() == 1 {
        return Ok(());
    }
    if providers.contains(&None) {
        return Err("Some resources have a resource provider and some do not".to_owned());
    }
    let ids: Vec<&str> = providers.into_iter().flatten().map(|id| &**id).collect();
    Err(format!("The resources have multiple resource providers: {}", ids.join(", ")))
}

/// Whether two of the collections have an item of a set or a number of ranges in common.
pub(super) fn overlap<'a>(parts: impl Iterator<Item = &'a Resources> + Clone) -> bool {
    let countable = |resources: &Resources| -> Quantities {
        resources.filter(|r| !matches!(r.value, Value::Scalar(_))).quantities()
    };
    let mut together = Resources::new();
    parts.clone().for_each(|part| together.add_all(part));
    let mut apart = Quantities::default();
    for part in parts {
        for (name, amount) in countable(part).iter() {
            apart.add(name, amount);
        }
    }
    apart != countable(&together)
}

/// What kind of disk it is, if it is one with a source.
pub(super) fn source_type(resource: &v1::Resource) -> Option<SourceType> {
    resource.disk.as_ref()?.source.as_ref().map(|source| source.r#type())
}
