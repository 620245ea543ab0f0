//! Operations as they come in: which resources they name, and in which form.

use model::role::Role;
use wire::resources::{Form, MAX_RESOURCES, read_one, write_one};
use wire::v1;
use wire::v1::offer::Operation;
use wire::v1::offer::operation::Type;

/// How many more resources an operation may name for each of its tasks, executors' included.
const RESOURCES_PER_TASK: usize = 16;

/// All resources that an operation other than a launch names.
pub(in super::super) fn resources_of(operation: &Operation) -> impl Iterator<Item = &v1::Resource> {
    let reserve = operation.reserve.iter().flat_map(|o| o.resources.iter().chain(&o.source));
    let unreserve = operation.unreserve.iter().flat_map(|o| &o.resources);
    let create = operation.create.iter().flat_map(|o| &o.volumes);
    let destroy = operation.destroy.iter().flat_map(|o| &o.volumes);
    let grow = operation.grow_volume.iter().flat_map(|o| [&o.volume, &o.addition]);
    let shrink = operation.shrink_volume.iter().map(|o| &o.volume);
    let create_disk = operation.create_disk.iter().map(|o| &o.source);
    let destroy_disk = operation.destroy_disk.iter().map(|o| &o.source);
    let volumes = create.chain(destroy).chain(grow).chain(shrink);
    reserve.chain(unreserve).chain(volumes).chain(create_disk).chain(destroy_disk)
}

/// All resources that an operation names, those of tasks and executors included.
fn all_resources(operation: &mut Operation) -> Vec<&mut v1::Resource> {
    let mut all: Vec<&mut v1::Resource> = Vec::new();
    if let Some(reserve) = &mut operation.reserve {
        all.extend(reserve.source.iter_mut().chain(&mut reserve.resources));
    }
    if let Some(unreserve) = &mut operation.unreserve {
        all.extend(&mut unreserve.resources);
    }
    if let Some(create) = &mut operation.create {
        all.extend(&mut create.volumes);
    }
    if let Some(destroy) = &mut operation.destroy {
        all.extend(&mut destroy.volumes);
    }
    if let Some(grow) = &mut operation.grow_volume {
        all.extend([&mut grow.volume, &mut grow.addition]);
    }
    if let Some(shrink) = &mut operation.shrink_volume {
        all.push(&mut shrink.volume);
    }
    if let Some(create) = &mut operation.create_disk {
        all.push(&mut create.source);
    }
    if let Some(destroy) = &mut operation.destroy_disk {
        all.push(&mut destroy.source);
    }
    let mut tasks: Vec<&mut v1::TaskInfo> = Vec::new();
    if let Some(launch) = &mut operation.launch {
        tasks.extend(&mut launch.task_infos);
    }
    if let Some(group) = &mut operation.launch_group {
        all.extend(&mut group.executor.resources);
        tasks.extend(&mut group.task_group.tasks);
    }
    for task in tasks {
        all.extend(&mut task.resources);
        all.extend(task.executor.iter_mut().flat_map(|executor| &mut executor.resources));
    }
    all
}

fn tasks(operation: &Operation) -> usize {
    let group = operation.launch_group.as_ref();
    operation.launch.as_ref().map_or(0, |launch| launch.task_infos.len())
        + group.map_or(0, |group| group.task_group.tasks.len())
}

/// The member that the type names, if it is missing.
fn missing_member(operation: &Operation) -> Option<&'static str> {
    let (set, member) = match operation.r#type() {
        Type::Unknown => return None,
        Type::Launch => (operation.launch.is_some(), "launch"),
        Type::LaunchGroup => (operation.launch_group.is_some(), "launch_group"),
        Type::Reserve => (operation.reserve.is_some(), "reserve"),
        Type::Unreserve => (operation.unreserve.is_some(), "unreserve"),
        Type::Create => (operation.create.is_some(), "create"),
        Type::Destroy => (operation.destroy.is_some(), "destroy"),
        Type::GrowVolume => (operation.grow_volume.is_some(), "grow_volume"),
        Type::ShrinkVolume => (operation.shrink_volume.is_some(), "shrink_volume"),
        Type::CreateDisk => (operation.create_disk.is_some(), "create_disk"),
        Type::DestroyDisk => (operation.destroy_disk.is_some(), "destroy_disk"),
    };
    (!set).then_some(member)
}

/// Checks that the operation has its member and that all its resources are such, brings them into
/// the form after reservation refinement, and says of those that do not that they are allocated
/// to `role`.
pub(in super::super) fn upgrade(
    operation: &mut Operation,
    role: Option<&Role>,
) -> Result<(), String> {
    if let Some(member) = missing_member(operation) {
        return Err(format!(
            "A {} offer operation must have the Offer.Operation.{member} field set.",
            operation.r#type().as_str_name()
        ));
    }
    let most = MAX_RESOURCES + RESOURCES_PER_TASK * tasks(operation);
    let mut all = all_resources(operation);
    if all.len() > most {
        return Err(format!("Too many resources: more than {most}"));
    }
    let read: Vec<_> = all
        .iter()
        .map(|resource| read_one(resource))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    for (wire, mut resource) in all.iter_mut().zip(read) {
        if let Some(role) = role.filter(|_| resource.allocation.is_none()) {
            resource = resource.allocated_to(role);
        }
        **wire = write_one(&resource, Form::PostRefinement);
    }
    Ok(())
}

/// Brings the resources of an upgraded operation into another form.
pub(super) fn rewrite(operation: &mut Operation, form: Form) {
    if form == Form::PostRefinement {
        return;
    }
    for wire in all_resources(operation) {
        // What does not read was refused when it was upgraded.
        if let Ok(resource) = read_one(wire) {
            *wire = write_one(&resource, form);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(resources_of: impl Fn(usize) -> usize, tasks: usize) -> Operation {
        let cpus = v1::Resource {
            name: "cpus".to_owned(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value: 1.0 }),
            ..v1::Resource::default()
        };
        let task_infos = (0..tasks)
            .map(|n| v1::TaskInfo {
                resources: vec![cpus.clone(); resources_of(n)],
                ..v1::TaskInfo::default()
            })
            .collect();
        let launch = v1::offer::operation::Launch { task_infos };
        let mut operation = Operation { launch: Some(launch), ..Operation::default() };
        operation.set_type(Type::Launch);
        operation
    }

    /// Tasks that need no more than others do are launched as many at a time as an ACCEPT may have.
    #[test]
    fn many_tasks_may_name_many_resources_in_all_and_few_may_not() {
        let most = crate::engine::validate::accept::MAX_TASKS;
        assert_eq!(upgrade(&mut launch(|_| 5, most), None), Ok(()));
        assert_eq!(upgrade(&mut launch(|_| MAX_RESOURCES, 1), None), Ok(()));
        let all_in_one = |n| if n == 0 { MAX_RESOURCES + 33 } else { 0 };
        let words = "Too many resources: more than 10032".to_owned();
        assert_eq!(upgrade(&mut launch(all_in_one, 2), None), Err(words));
    }
}
