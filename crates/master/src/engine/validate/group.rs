//! Groups of tasks, which are launched together or not at all.

use std::collections::BTreeSet;

use model::id::TaskId;
use model::resources::Resources;
use wire::v1;
use wire::v1::executor_info::Type;

use super::container;
use super::executor::{self, LaunchExecutor};
use super::resources;
use super::task::{self, Place};

/// What a group that may be launched needs.
#[derive(Debug)]
pub(in super::super) struct LaunchGroup {
    /// Its tasks in their order, with their resources allocated to a role.
    pub(in super::super) tasks: Vec<(TaskId, Resources)>,
    pub(in super::super) executor: LaunchExecutor,
}

impl LaunchGroup {
    /// What the launch takes from the offers.
    pub(in super::super) fn consumed(&self) -> Resources {
        let mut sum = self.executor.price();
        self.tasks.iter().for_each(|(_, task)| sum.add_all(task));
        sum
    }
}

/// Checks a group. A task of it may carry a copy of the executor.
pub(in super::super) fn launch(
    tasks: &[v1::TaskInfo],
    info: &v1::ExecutorInfo,
    place: Place<'_>,
) -> Result<LaunchGroup, String> {
    let mut checked: Vec<(TaskId, Resources)> = Vec::with_capacity(tasks.len());
    let mut seen = BTreeSet::new();
    for task in tasks {
        let one = self::task(task, place)
            .map_err(|error| format!("Task '{}' is invalid: {error}", task.task_id.value))?;
        // The original counts both in, and loses one of them.
        if !seen.insert(one.0.clone()) {
            return Err(format!("Task '{}' is invalid: Task has duplicate ID: {}", one.0, one.0));
        }
        checked.push(one);
    }
    let executor = executor::executor(info, place)?;
    if info.r#type.is_none() {
        return Err("'ExecutorInfo.type' must be set".to_owned());
    }
    if executor::kind(info) == Type::Unknown {
        return Err("Unknown executor type".to_owned());
    }
    if is_docker(info.container.as_ref()) {
        return Err("Docker ContainerInfo is not supported on the executor".to_owned());
    }
    for task in tasks {
        if task.executor.as_ref().is_some_and(|own| own != info) {
            return Err(format!(
                "The `ExecutorInfo` of task '{}' is different from executor '{}'",
                task.task_id.value, executor.id
            ));
        }
    }
    executor::minimum(&executor)?;
    if !executor.resources.iter().any(|resource| &*resource.name == "disk") {
        return Err(format!("Executor '{}' uses no disk", executor.id));
    }
    let group = LaunchGroup { tasks: checked, executor };
    together(&group)?;
    let (total, available) = (group.consumed(), place.available);
    if !available.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task group and its executor are more than \
             available {available}"
        ));
    }
    share_cgroups(tasks, info, &group.executor, place)?;
    Ok(group)
}

fn is_docker(container: Option<&v1::ContainerInfo>) -> bool {
    container.is_some_and(|c| c.r#type() == v1::container_info::Type::Docker)
}

fn task(task: &v1::TaskInfo, place: Place<'_>) -> Result<(TaskId, Resources), String> {
    use v1::health_check::Type as Check;
    let checked = task::task(task, place)?;
    if let Some(container) = &task.container {
        let check = task.health_check.as_ref().map(|check| check.r#type());
        if !container.network_infos.is_empty() && matches!(check, Some(Check::Http | Check::Tcp)) {
            return Err("HTTP and TCP health checks are not supported for nested containers not \
                        joining parent's network"
                .to_owned());
        }
        if is_docker(Some(container)) {
            return Err("Docker ContainerInfo is not supported on the task".to_owned());
        }
    }
    let apart = container::share_cgroups(task.container.as_ref()) == Some(false);
    if !task.limits.is_empty() && !apart {
        return Err("Resource limits may only be set for tasks within a task group when the \
                    'share_cgroups' field is set to 'false'."
            .to_owned());
    }
    Ok(checked)
}

/// Checks the tasks' and the executor's resources, taken together.
fn together(group: &LaunchGroup) -> Result<(), String> {
    let executor = &group.executor.resources;
    let parts = || std::iter::once(executor).chain(group.tasks.iter().map(|(_, r)| r));
    let all = || executor.iter().chain(group.tasks.iter().flat_map(|(_, r)| r.iter()));
    resources::unique_persistence(all()).map_err(|error| {
        format!("Task group and executor use duplicate persistence ID: {error}")
    })?;
    resources::not_mixed(all()).map_err(|error| {
        format!("Task group and executor mix revocable and non-revocable resources: {error}")
    })?;
    if resources::overlap(parts()) {
        let tasks: Vec<String> = group.tasks.iter().map(|(_, r)| format!("{{ {r} }}")).collect();
        return Err(format!(
            "There are overlapping resources in the task group's task resources {} and/or \
             executor resources {executor}",
            tasks.join(", ")
        ));
    }
    Ok(())
}

/// Checks that all tasks of the executor share its cgroups, or none does.
fn share_cgroups(
    tasks: &[v1::TaskInfo],
    info: &v1::ExecutorInfo,
    executor: &LaunchExecutor,
    place: Place<'_>,
) -> Result<(), String> {
    executor::not_sharing(info)?;
    let shares =
        |container: Option<&v1::ContainerInfo>| container::share_cgroups(container).unwrap_or(true);
    let Place { framework, agent, .. } = place;
    // Only if it runs are there others of it: those on the agent, which are not many.
    let own = |(owner, id): &(_, _)| (owner == &framework.id).then(|| framework.tasks.get(id));
    let running = agent.tasks.iter().filter(|_| executor.running).filter_map(own).flatten();
    let running = running.map(|task| task.info()).filter(|info| {
        info.executor_id.as_ref().is_some_and(|own| own.value == executor.id.as_str())
    });
    let mut all = tasks
        .iter()
        .map(|task| shares(task.container.as_ref()))
        .chain(running.map(|info| shares(info.container.as_ref())));
    let Some(first) = all.next() else { return Ok(()) };
    if all.all(|other| other == first) {
        return Ok(());
    }
    Err("If set, the value of 'share_cgroups' must be the same for all tasks in each task group \
         and under a single executor"
        .to_owned())
}
