//! What an operation takes and gives, from the wire.

use model::resources::{Conversion, Resource, Resources, Scalar};
use wire::v1;
use wire::v1::offer::operation::Type;

/// Whether this operation is one that an agent applies to its own resources.
pub(super) fn is_supported(info: &v1::offer::Operation) -> bool {
    match info.r#type() {
        Type::Reserve
        | Type::Unreserve
        | Type::Create
        | Type::Destroy
        | Type::GrowVolume
        | Type::ShrinkVolume => true,
        Type::Unknown | Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk => {
            false
        }
    }
}

/// The provider whose resources the operation is about, if it is about a provider's.
pub(super) fn provider(info: &v1::offer::Operation) -> Option<&str> {
    let of = |resources: &'_ [v1::Resource]| -> Option<usize> {
        resources.iter().position(|resource| resource.provider_id.is_some())
    };
    let lists: [&[v1::Resource]; 9] = [
        info.reserve.as_ref().map_or(&[], |o| &o.resources),
        info.reserve.as_ref().map_or(&[], |o| &o.source),
        info.unreserve.as_ref().map_or(&[], |o| &o.resources),
        info.create.as_ref().map_or(&[], |o| &o.volumes),
        info.destroy.as_ref().map_or(&[], |o| &o.volumes),
        info.grow_volume.as_ref().map_or(&[], |o| std::slice::from_ref(&o.volume)),
        info.shrink_volume.as_ref().map_or(&[], |o| std::slice::from_ref(&o.volume)),
        info.create_disk.as_ref().map_or(&[], |o| std::slice::from_ref(&o.source)),
        info.destroy_disk.as_ref().map_or(&[], |o| std::slice::from_ref(&o.source)),
    ];
    let list = lists.into_iter().find(|list| of(list).is_some())?;
    list.get(of(list)?)?.provider_id.as_ref().map(|id| id.value.as_str())
}

/// Reads the operation. Resources are unallocated, as an agent's are.
pub(super) fn read(info: &v1::offer::Operation) -> Result<Conversion, String> {
    let missing = || format!("{} has no body", info.r#type().as_str_name());
    let conversion = match info.r#type() {
        Type::Reserve => {
            let reserve = info.reserve.as_ref().ok_or_else(missing)?;
            let reserved = resources(&reserve.resources)?;
            if reserve.source.is_empty() {
                Conversion::reserve(&reserved)
            } else {
                Ok(Conversion::re_reserve(&resources(&reserve.source)?, &reserved))
            }
        }
        Type::Unreserve => {
            let unreserve = info.unreserve.as_ref().ok_or_else(missing)?;
            Conversion::unreserve(&resources(&unreserve.resources)?)
        }
        Type::Create => {
            let create = info.create.as_ref().ok_or_else(missing)?;
            Conversion::create(&resources(&create.volumes)?)
        }
        Type::Destroy => {
            let destroy = info.destroy.as_ref().ok_or_else(missing)?;
            Conversion::destroy(&resources(&destroy.volumes)?)
        }
        Type::GrowVolume => {
            let grow = info.grow_volume.as_ref().ok_or_else(missing)?;
            Conversion::grow_volume(&resource(&grow.volume)?, &resource(&grow.addition)?)
        }
        Type::ShrinkVolume => {
            let shrink = info.shrink_volume.as_ref().ok_or_else(missing)?;
            let subtract = Scalar::from_f64(shrink.subtract.value).map_err(|e| e.to_string())?;
            Conversion::shrink_volume(&resource(&shrink.volume)?, subtract)
        }
        Type::Unknown | Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk => {
            return Err(format!("{} converts nothing here", info.r#type().as_str_name()));
        }
    };
    conversion.map_err(|error| error.to_string())
}

fn resource(wire: &v1::Resource) -> Result<Resource, String> {
    let resource = wire::resources::read_one(wire).map_err(|error| error.to_string())?;
    Ok(resource.unallocated())
}

fn resources(wire: &[v1::Resource]) -> Result<Resources, String> {
    let resources = wire::resources::read(wire).map_err(|error| error.to_string())?;
    Ok(resources.unallocated())
}
