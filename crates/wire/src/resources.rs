//! Resources on the wire and in the model.
//!
//! The wire has two forms. Before *reservation refinement* a resource carries its one role in
//! `role` and, if reserved dynamically, a `reservation`; after it, the whole stack stands in
//! `reservations`. Peers send either; the model has only the second. Resources go out in the form
//! that the receiver understands, which for one reservation or none can be both.

#![allow(deprecated, reason = "the older form is the newer's deprecated fields")]

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Described;
use model::resources::{
    Disk, DiskKind, DiskSource, Labels, Opaque, Persistence, Ranges, Reservation, ReservationKind,
    Resource, ResourceError, Resources, Scalar, Traits, Value,
};
use model::role::Role;

use crate::{json, v1};

/// The most entries that one list of resources may have. Real agents have tens.
pub const MAX_RESOURCES: usize = 10_000;

/// Which form resources are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Both at once, as JSON for people and tools has it: `role` and `reservation` where one
    /// layer can say it, and `reservations` always.
    Endpoint,
    /// With the whole stack in `reservations`.
    PostRefinement,
    /// With `role` and `reservation`. A resource with two reservations or more cannot be said
    /// so and is written as after refinement.
    PreRefinement,
}

/// Reads a list of resources in either form; every entry is checked.
pub fn read(resources: &[v1::Resource]) -> Result<Resources, ResourceError> {
    if resources.len() > MAX_RESOURCES {
        return Err(ResourceError::TooMany(MAX_RESOURCES));
    }
    resources.iter().map(read_one).collect()
}

/// What `--resources` states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The resources, those of nothing left out.
    pub resources: Resources,
    /// All names that were stated, those of nothing too: who says `cpus:0` wants no `cpus`.
    pub names: BTreeSet<String>,
}

/// Why the text of `--resources` is none. The texts are the original's where it has any.
#[derive(Debug, thiserror::Error)]
pub enum StatedError {
    /// A JSON list that is not one of resources.
    #[error("Some JSON resources were not formatted properly: {0}")]
    Json(#[from] json::JsonError),
    /// Something that is no resource, or none for a flag.
    #[error(transparent)]
    Resource(#[from] ResourceError),
}

/// Reads the text of `--resources`: a JSON list of resources, or `name(role):value;…`. What names
/// no role gets `default_role`. What only comes about at run time is refused.
pub fn parse_stated(text: &str, default_role: &Role) -> Result<Stated, StatedError> {
    let text = text.trim();
    if !text.starts_with('[') {
        let names = text.split([';', '\n']).filter_map(|token| {
            let (name, _) = token.split_once(':')?;
            Some(name.split('(').next().unwrap_or(name).trim().to_owned())
        });
        return Ok(Stated {
            resources: model::resources::parse(text, default_role)?,
            names: names.collect(),
        });
    }
    let mut list: Vec<v1::Resource> =
        json::read_list(text.as_bytes(), json::Names::V1, &crate::Limits::default())?;
    if list.len() > MAX_RESOURCES {
        return Err(ResourceError::TooMany(MAX_RESOURCES).into());
    }
    let mut resources = Vec::with_capacity(list.len());
    for wire in &mut list {
        if wire.role.is_none() && wire.reservations.is_empty() {
            wire.role = Some(default_role.to_string());
        }
        let resource = read_one(wire)?;
        let run_time = [
            (resource.is_persistent_volume(), "Persistent volumes"),
            (resource.revocable, "Revocable resources"),
            (resource.is_dynamically_reserved(), "Dynamic reservations"),
            (resource.has_refined_reservations(), "Refined reservations"),
            (resource.allocation.is_some(), "Allocations"),
        ];
        if let Some((_, what)) = run_time.iter().find(|(is, _)| *is) {
            return Err(ResourceError::NotForFlags(what).into());
        }
        resources.push(resource);
    }
    model::resources::one_type_per_name(&resources)?;
    Ok(Stated {
        resources: resources.into_iter().collect(),
        names: list.into_iter().map(|wire| wire.name).collect(),
    })
}

/// Reads one resource in either form.
pub fn read_one(resource: &v1::Resource) -> Result<Resource, ResourceError> {
    if resource.name.is_empty() {
        return Err(ResourceError::EmptyName);
    }
    let role = |text: &str| {
        Role::new(text)
            .map_err(|source| ResourceError::Role { name: resource.name.clone(), source })
    };
    let allocation = match &resource.allocation_info {
        Some(info) => info.role.as_deref().map(role).transpose()?,
        None => None,
    };
    let disk = resource.disk.as_ref().map(|disk| read_disk(resource, disk)).transpose()?;
    let traits = Traits {
        name: resource.name.as_str().into(),
        reservations: read_reservations(resource)?,
        allocation,
        disk: disk.map(Arc::new),
        revocable: resource.revocable.is_some(),
        shared: resource.shared.is_some(),
        provider: resource.provider_id.as_ref().map(|id| id.value.as_str().into()),
    };
    if traits.shared {
        if &*traits.name != "disk" {
            return Err(ResourceError::NotShareable(resource.name.clone()));
        }
        if traits.disk.as_ref().is_none_or(|disk| disk.persistence.is_none()) {
            return Err(ResourceError::SharedWithoutVolume);
        }
    }
    Ok(Resource::of(traits, read_value(resource)?))
}

fn read_value(resource: &v1::Resource) -> Result<Value, ResourceError> {
    let mismatch = || ResourceError::ValueMismatch(resource.name.clone());
    let kind =
        v1::value::Type::try_from(resource.r#type).map_err(|_| ResourceError::UnsupportedType)?;
    let given = (resource.scalar.is_some(), resource.ranges.is_some(), resource.set.is_some());
    match (kind, given) {
        (v1::value::Type::Scalar, (true, false, false)) => {
            let scalar = resource.scalar.as_ref().ok_or_else(mismatch)?;
            Scalar::from_f64(scalar.value).map(Value::Scalar)
        }
        (v1::value::Type::Ranges, (false, true, false)) => {
            let ranges = resource.ranges.as_ref().ok_or_else(mismatch)?;
            Ranges::disjoint(ranges.range.iter().map(|r| (r.begin, r.end))).map(Value::Ranges)
        }
        (v1::value::Type::Set, (false, false, true)) => {
            let set = resource.set.as_ref().ok_or_else(mismatch)?;
            let items: BTreeSet<_> = set.item.iter().cloned().collect();
            if items.len() == set.item.len() {
                Ok(Value::Set(items.into()))
            } else {
                Err(ResourceError::DuplicateItem)
            }
        }
        (v1::value::Type::Text, _) => Err(ResourceError::UnsupportedType),
        _ => Err(mismatch()),
    }
}

fn read_reservations(resource: &v1::Resource) -> Result<Vec<Reservation>, ResourceError> {
    let wrong = |reason| ResourceError::Reservation { name: resource.name.clone(), reason };
    let role = |text: &str| {
        Role::new(text)
            .map_err(|source| ResourceError::Role { name: resource.name.clone(), source })
    };
    if resource.reservations.is_empty() {
        let text = resource.role.as_deref().unwrap_or("*");
        return match (&resource.reservation, text) {
            (None, "*") => Ok(Vec::new()),
            (Some(_), "*") => Err(wrong("a dynamic reservation needs a role other than '*'")),
            (None, _) => Ok(vec![Reservation {
                kind: ReservationKind::Static,
                role: role(text)?,
                principal: None,
                labels: None,
            }]),
            (Some(info), _) => {
                if info.r#type.is_some() || info.role.is_some() {
                    return Err(wrong("'reservation' must not have a type or a role"));
                }
                Ok(vec![Reservation {
                    kind: ReservationKind::Dynamic,
                    role: role(text)?,
                    principal: info.principal.clone(),
                    labels: info.labels.as_ref().map(read_labels),
                }])
            }
        };
    }
    if resource.reservation.is_some() {
        return Err(wrong("'reservation' and 'reservations' must not both be set"));
    }
    let mut stack: Vec<Reservation> = Vec::with_capacity(resource.reservations.len());
    for info in &resource.reservations {
        let kind = match info.r#type() {
            v1::resource::reservation_info::Type::Dynamic => ReservationKind::Dynamic,
            v1::resource::reservation_info::Type::Static => ReservationKind::Static,
            v1::resource::reservation_info::Type::Unknown => {
                return Err(wrong("a reservation needs a type"));
            }
        };
        let text = info.role.as_deref().ok_or_else(|| wrong("a reservation needs a role"))?;
        if text == "*" {
            return Err(wrong("nothing can be reserved to '*'"));
        }
        let role = role(text)?;
        if let Some(outer) = stack.last() {
            if kind == ReservationKind::Static {
                return Err(wrong("only the outermost reservation can be static"));
            }
            if !outer.role.is_ancestor_of(&role) {
                return Err(wrong("each reservation's role must lie beneath the one before"));
            }
        }
        stack.push(Reservation {
            kind,
            role,
            principal: info.principal.clone(),
            labels: info.labels.as_ref().map(read_labels),
        });
    }
    // The endpoint form states the same again; anything else is a contradiction.
    let innermost = stack.last().map_or("*", |r| r.role.as_str());
    if resource.role.as_deref().is_some_and(|role| role != "*" && role != innermost) {
        return Err(wrong("'role' contradicts 'reservations'"));
    }
    Ok(stack)
}

fn read_labels(labels: &v1::Labels) -> Labels {
    labels.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect()
}

fn read_disk(
    resource: &v1::Resource,
    disk: &v1::resource::DiskInfo,
) -> Result<Disk, ResourceError> {
    if resource.name != "disk" {
        return Err(ResourceError::DiskOf(resource.name.clone()));
    }
    Ok(Disk {
        persistence: disk.persistence.as_ref().map(|persistence| Persistence {
            id: persistence.id.clone(),
            principal: persistence.principal.clone(),
        }),
        volume: disk.volume.as_ref().map(opaque),
        source: disk.source.as_ref().map(read_source).transpose()?,
    })
}

fn read_source(source: &v1::resource::disk_info::Source) -> Result<DiskSource, ResourceError> {
    use v1::resource::disk_info::source::Type;
    let kind = match source.r#type() {
        Type::Path => DiskKind::Path,
        Type::Mount => DiskKind::Mount,
        Type::Block => DiskKind::Block,
        Type::Raw => DiskKind::Raw,
        Type::Unknown => return Err(ResourceError::DiskKind("UNKNOWN".to_owned())),
    };
    let path = source.path.as_ref().map(|path| path.root.clone());
    let mount = source.mount.as_ref().map(|mount| mount.root.clone());
    let wrong = |what| Err(ResourceError::DiskRoot { what, kind: kind.as_str() });
    let root = match (kind, path, mount) {
        (DiskKind::Path | DiskKind::Block | DiskKind::Raw, _, Some(_)) => return wrong("Mount"),
        (DiskKind::Mount | DiskKind::Block | DiskKind::Raw, Some(_), _) => return wrong("Path"),
        (_, path, mount) => path.or(mount),
    };
    Ok(DiskSource {
        kind,
        root,
        vendor: source.vendor.clone(),
        id: source.id.clone(),
        metadata: source.metadata.as_ref().map(read_labels),
        profile: source.profile.clone(),
    })
}

fn opaque(message: &impl Described) -> Opaque {
    Opaque(crate::encode(message).into())
}

/// Writes a list of resources.
#[must_use]
pub fn write(resources: &Resources, form: Form) -> Vec<v1::Resource> {
    resources.iter().map(|resource| write_one(resource, form)).collect()
}

/// Writes one resource.
#[must_use]
pub fn write_one(resource: &Resource, form: Form) -> v1::Resource {
    let mut wire = v1::Resource {
        provider_id: resource
            .provider
            .as_ref()
            .map(|id| v1::ResourceProviderId { value: id.to_string() }),
        name: resource.name.to_string(),
        allocation_info: resource
            .allocation
            .as_ref()
            .map(|role| v1::resource::AllocationInfo { role: Some(role.to_string()) }),
        disk: resource.disk.as_deref().map(|disk| Box::new(write_disk(disk))),
        revocable: resource.revocable.then(v1::resource::RevocableInfo::default),
        shared: resource.shared.then(v1::resource::SharedInfo::default),
        ..v1::Resource::default()
    };
    match &resource.value {
        Value::Scalar(scalar) => {
            wire.set_type(v1::value::Type::Scalar);
            wire.scalar = Some(v1::value::Scalar { value: scalar.as_f64() });
        }
        Value::Ranges(ranges) => {
            wire.set_type(v1::value::Type::Ranges);
            let range = ranges
                .as_slice()
                .iter()
                .map(|&(begin, end)| v1::value::Range { begin, end })
                .collect();
            wire.ranges = Some(v1::value::Ranges { range });
        }
        Value::Set(items) => {
            wire.set_type(v1::value::Type::Set);
            wire.set = Some(v1::value::Set { item: items.iter().cloned().collect() });
        }
    }
    write_reservations(resource, form, &mut wire);
    wire
}

fn write_reservations(resource: &Resource, form: Form, wire: &mut v1::Resource) {
    let sayable_before = resource.reservations.len() <= 1;
    if sayable_before && form != Form::PostRefinement {
        wire.role = Some(resource.reserved_to().map_or("*", Role::as_str).to_owned());
        wire.reservation = resource
            .reservations
            .last()
            .filter(|reservation| reservation.kind == ReservationKind::Dynamic)
            .map(|reservation| v1::resource::ReservationInfo {
                principal: reservation.principal.clone(),
                labels: reservation.labels.as_ref().map(write_labels),
                ..v1::resource::ReservationInfo::default()
            });
    }
    if !sayable_before || form != Form::PreRefinement {
        wire.reservations = resource.reservations.iter().map(write_reservation).collect();
    }
}

fn write_reservation(reservation: &Reservation) -> v1::resource::ReservationInfo {
    let mut info = v1::resource::ReservationInfo {
        role: Some(reservation.role.to_string()),
        principal: reservation.principal.clone(),
        labels: reservation.labels.as_ref().map(write_labels),
        ..v1::resource::ReservationInfo::default()
    };
    info.set_type(match reservation.kind {
        ReservationKind::Dynamic => v1::resource::reservation_info::Type::Dynamic,
        ReservationKind::Static => v1::resource::reservation_info::Type::Static,
    });
    info
}

fn write_labels(labels: &Labels) -> v1::Labels {
    let labels = labels
        .iter()
        .map(|(key, value)| v1::Label { key: key.clone(), value: value.clone() })
        .collect();
    v1::Labels { labels }
}

fn write_disk(disk: &Disk) -> v1::resource::DiskInfo {
    v1::resource::DiskInfo {
        persistence: disk.persistence.as_ref().map(|persistence| {
            v1::resource::disk_info::Persistence {
                id: persistence.id.clone(),
                principal: persistence.principal.clone(),
            }
        }),
        volume: disk.volume.as_ref().map(transparent),
        source: disk.source.as_ref().map(write_source),
    }
}

fn write_source(source: &DiskSource) -> v1::resource::disk_info::Source {
    use v1::resource::disk_info::source::{Mount, Path, Type};
    let root = source.root.clone();
    let (kind, path, mount) = match source.kind {
        DiskKind::Path => (Type::Path, root.map(|root| Path { root }), None),
        DiskKind::Mount => (Type::Mount, None, root.map(|root| Mount { root })),
        DiskKind::Block => (Type::Block, None, None),
        DiskKind::Raw => (Type::Raw, None, None),
    };
    let mut wire = v1::resource::disk_info::Source {
        path,
        mount,
        vendor: source.vendor.clone(),
        id: source.id.clone(),
        metadata: source.metadata.as_ref().map(write_labels),
        profile: source.profile.clone(),
        ..v1::resource::disk_info::Source::default()
    };
    wire.set_type(kind);
    wire
}

/// Undoes [`opaque`], which alone makes such values; so the bytes always decode.
fn transparent<M: Described>(bytes: &Opaque) -> M {
    crate::check::decode_checked(&bytes.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(name: &str, value: f64) -> v1::Resource {
        let mut resource = v1::Resource { name: name.into(), ..v1::Resource::default() };
        resource.set_type(v1::value::Type::Scalar);
        resource.scalar = Some(v1::value::Scalar { value });
        resource
    }

    fn dynamic(role: &str) -> v1::resource::ReservationInfo {
        let mut info = v1::resource::ReservationInfo {
            role: Some(role.into()),
            principal: Some("p".into()),
            ..v1::resource::ReservationInfo::default()
        };
        info.set_type(v1::resource::reservation_info::Type::Dynamic);
        info
    }

    #[test]
    fn both_forms_of_a_reservation_read_as_the_same() {
        let unreserved = scalar("cpus", 1.0);
        let mut star = unreserved.clone();
        star.role = Some("*".into());
        assert_eq!(read_one(&unreserved).unwrap(), read_one(&star).unwrap());

        let mut before = unreserved.clone();
        before.role = Some("web".into());
        before.reservation = Some(v1::resource::ReservationInfo {
            principal: Some("p".into()),
            ..v1::resource::ReservationInfo::default()
        });
        let mut after = unreserved.clone();
        after.reservations = vec![dynamic("web")];
        let mut endpoint = after.clone();
        endpoint.role = before.role.clone();
        let resource = read_one(&before).unwrap();
        assert_eq!(read_one(&after).unwrap(), resource);
        assert_eq!(read_one(&endpoint).unwrap(), resource);

        assert_eq!(write_one(&resource, Form::PreRefinement), before);
        assert_eq!(write_one(&resource, Form::PostRefinement), after);
        endpoint.reservation = before.reservation;
        assert_eq!(write_one(&resource, Form::Endpoint), endpoint);
        assert_eq!(write_one(&read_one(&star).unwrap(), Form::PreRefinement), star);
        assert_eq!(write_one(&read_one(&star).unwrap(), Form::PostRefinement), unreserved);
    }

    #[test]
    fn a_refined_reservation_is_never_lost() {
        let mut refined = scalar("cpus", 1.0);
        refined.reservations = vec![dynamic("a"), dynamic("a/b")];
        let resource = read_one(&refined).unwrap();
        for form in [Form::PreRefinement, Form::PostRefinement] {
            assert_eq!(write_one(&resource, form), refined);
        }
    }

    #[test]
    fn resources_that_contradict_themselves_are_errors() {
        let refuse = |change: fn(&mut v1::Resource)| {
            let mut resource = scalar("cpus", 1.0);
            change(&mut resource);
            assert!(read(&[resource.clone()]).is_err(), "{resource:?}");
        };
        refuse(|r| r.name.clear());
        refuse(|r| r.scalar = Some(v1::value::Scalar { value: f64::NAN }));
        refuse(|r| r.scalar = Some(v1::value::Scalar { value: f64::INFINITY }));
        refuse(|r| r.scalar = Some(v1::value::Scalar { value: -1.0 }));
        refuse(|r| r.scalar = Some(v1::value::Scalar { value: 1e13 }));
        refuse(|r| r.scalar = None);
        refuse(|r| r.set = Some(v1::value::Set::default()));
        refuse(|r| r.set_type(v1::value::Type::Ranges));
        refuse(|r| r.r#type = 99);
        refuse(|r| r.role = Some("a//b".into()));
        refuse(|r| r.reservation = Some(v1::resource::ReservationInfo::default()));
        refuse(|r| r.reservations = vec![dynamic("*")]);
        refuse(|r| r.reservations = vec![dynamic("a/b"), dynamic("a")]);
        refuse(|r| r.reservations = vec![v1::resource::ReservationInfo::default()]);
        refuse(|r| {
            r.reservations = vec![dynamic("a")];
            r.role = Some("b".into());
        });
        refuse(|r| {
            r.reservations = vec![dynamic("a")];
            r.reservation = Some(v1::resource::ReservationInfo::default());
        });
        refuse(|r| {
            r.allocation_info = Some(v1::resource::AllocationInfo { role: Some("..".into()) });
        });
        refuse(|r| {
            r.set_type(v1::value::Type::Ranges);
            r.scalar = None;
            r.ranges =
                Some(v1::value::Ranges { range: vec![v1::value::Range { begin: 2, end: 1 }] });
        });
    }

    #[test]
    fn disks_come_back_as_they_went() {
        let mut disk = scalar("disk", 100.0);
        let mut source = v1::resource::disk_info::Source {
            mount: Some(v1::resource::disk_info::source::Mount { root: Some("/mnt".into()) }),
            profile: Some("fast".into()),
            ..v1::resource::disk_info::Source::default()
        };
        source.set_type(v1::resource::disk_info::source::Type::Mount);
        disk.disk = Some(Box::new(v1::resource::DiskInfo {
            persistence: Some(v1::resource::disk_info::Persistence {
                id: "v".into(),
                principal: None,
            }),
            volume: None,
            source: Some(source),
        }));
        let resource = read_one(&disk).unwrap();
        assert!(resource.is_indivisible());
        assert_eq!(write_one(&resource, Form::PostRefinement), disk);
    }

    #[test]
    fn raw_disks_with_an_identity_cannot_be_divided() {
        use v1::resource::disk_info::{Source, source};
        let disk = |id: Option<&str>| {
            let mut disk = scalar("disk", 100.0);
            let mut source = Source {
                id: id.map(str::to_owned),
                metadata: Some(v1::Labels {
                    labels: vec![v1::Label { key: "k".into(), value: None }],
                }),
                ..Source::default()
            };
            source.set_type(source::Type::Raw);
            disk.disk = Some(Box::new(v1::resource::DiskInfo {
                source: Some(source),
                ..Default::default()
            }));
            disk
        };
        for (id, whole) in [(None, false), (Some("i"), true)] {
            let resource = read_one(&disk(id)).unwrap();
            assert_eq!(resource.is_indivisible(), whole);
            assert_eq!(write_one(&resource, Form::PostRefinement), disk(id));
        }
        let mut rooted = disk(None);
        if let Some(source) = rooted.disk.as_mut().and_then(|disk| disk.source.as_mut()) {
            source.mount = Some(source::Mount::default());
        }
        let error = read_one(&rooted).unwrap_err().to_string();
        assert_eq!(error, "Mount should not be set for RAW disk source");
        let mut cpus = disk(None);
        cpus.name = "cpus".into();
        let error = read_one(&cpus).unwrap_err().to_string();
        assert_eq!(error, "DiskInfo should not be set for cpus resource");
    }

    #[test]
    fn only_persistent_volumes_are_shared() {
        let mut cpus = scalar("cpus", 1.0);
        cpus.shared = Some(v1::resource::SharedInfo::default());
        assert_eq!(read_one(&cpus).unwrap_err().to_string(), "Resource cpus cannot be shared");
        let mut disk = scalar("disk", 1.0);
        disk.shared = Some(v1::resource::SharedInfo::default());
        let error = read_one(&disk).unwrap_err().to_string();
        assert_eq!(error, "Only persistent volumes can be shared");
        disk.disk = Some(Box::new(v1::resource::DiskInfo {
            persistence: Some(v1::resource::disk_info::Persistence {
                id: "v".into(),
                principal: None,
            }),
            ..v1::resource::DiskInfo::default()
        }));
        let twice = read(&[disk.clone(), disk.clone()]).unwrap();
        assert_eq!(twice.count(&read_one(&disk).unwrap()), 2);
        // On the wire it stands once, however many use it.
        assert_eq!(write(&twice, Form::PostRefinement), [disk]);
    }

    #[test]
    fn overlapping_ranges_are_refused() {
        let mut ports = scalar("ports", 0.0);
        ports.scalar = None;
        ports.set_type(v1::value::Type::Ranges);
        let range = |begin, end| v1::value::Range { begin, end };
        ports.ranges = Some(v1::value::Ranges { range: vec![range(1, 5), range(5, 9)] });
        let error = read_one(&ports).unwrap_err().to_string();
        assert_eq!(error, "Invalid ranges resource: overlapping ranges");
    }

    #[test]
    fn a_resource_is_small_since_agents_and_tasks_keep_several() {
        let size = size_of::<v1::Resource>();
        assert!(size <= 288, "{size}");
    }

    #[test]
    fn both_forms_of_the_flag_state_the_same() {
        let any = Role::any();
        let ops = Role::new("ops").unwrap();
        let json = r#"[
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 0}},
            {"name": "ports", "type": "RANGES", "role": "web",
             "ranges": {"range": [{"begin": 1, "end": 9}]}}
        ]"#;
        let text = "cpus:4;mem:0;ports(web):[1-9]";
        for role in [&any, &ops] {
            let stated = parse_stated(json, role).unwrap();
            assert_eq!(stated, parse_stated(text, role).unwrap());
            assert_eq!(stated.resources.reserved_to(role).is_empty(), *role == any);
            assert!(stated.names.contains("mem") && stated.resources.scalar("mem").is_zero());
        }
        for (json, error) in [
            (
                r#"[{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "revocable": {}}]"#,
                "Revocable resources cannot be specified at the command line",
            ),
            (
                r#"[{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "role": "a",
                     "reservation": {}}]"#,
                "Dynamic reservations cannot be specified at the command line",
            ),
            (
                r#"[{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
                    {"name": "cpus", "type": "SET", "set": {"item": ["a"]}}]"#,
                "Resources with the same name ('cpus') but different types are not allowed",
            ),
        ] {
            assert_eq!(parse_stated(json, &any).unwrap_err().to_string(), error);
        }
        let error = parse_stated("[{]", &any).unwrap_err().to_string();
        assert!(error.starts_with("Some JSON resources were not formatted properly: "), "{error}");
    }
}
