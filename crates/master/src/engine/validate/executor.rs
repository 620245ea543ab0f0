//! Executors that come with tasks.

use model::id::ExecutorId;
use model::resources::{Resource, Resources, Scalar};
use wire::resources::{Form, write};
use wire::v1;
use wire::v1::executor_info::Type;

use super::super::state::Executor;
use super::container;
use super::resources;
use super::task::Place;

/// The fewest CPUs and the least memory, in MB, that an executor should have.
const MIN_CPUS: Scalar = Scalar::from_thousandths(10);
const MIN_MEM: Scalar = Scalar::from_thousandths(32_000);

/// The executor of tasks that may be launched.
#[derive(Debug)]
pub(in super::super) struct LaunchExecutor {
    pub(in super::super) id: ExecutorId,
    pub(in super::super) info: v1::ExecutorInfo,
    /// Its resources, allocated to a role.
    pub(in super::super) resources: Resources,
    /// Whether it runs on the agent already, so that its resources are paid for.
    pub(in super::super) running: bool,
}

impl LaunchExecutor {
    /// What has to be paid for it.
    pub(in super::super) fn price(&self) -> Resources {
        if self.running { Resources::new() } else { self.resources.clone() }
    }
}

/// Its type, of those that the wire knows.
pub(super) fn kind(info: &v1::ExecutorInfo) -> Type {
    info.r#type.map_or(Type::Unknown, |number| Type::try_from(number).unwrap_or(Type::Unknown))
}

/// Checks what every executor must be.
pub(super) fn executor(
    info: &v1::ExecutorInfo,
    place: Place<'_>,
) -> Result<LaunchExecutor, String> {
    by_type(info)?;
    let id = ExecutorId::new(&info.executor_id.value).map_err(|error| error.to_string())?;
    if info.shutdown_grace_period.as_ref().is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned());
    }
    if let Some(command) = &info.command {
        container::command(command)
            .map_err(|error| format!("Executor's `CommandInfo` is invalid: {error}"))?;
    }
    if let Some(container) = &info.container {
        container::container(container)
            .map_err(|error| format!("Executor's `ContainerInfo` is invalid: {error}"))?;
    }
    let framework = &place.framework.id;
    let Some(owner) = &info.framework_id else {
        return Err("'ExecutorInfo.framework_id' must be set".to_owned());
    };
    if owner.value != framework.as_str() {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {} vs Expected: {framework})",
            owner.value
        ));
    }
    let listed = resources::valid(&info.resources)
        .map_err(|error| format!("Executor uses invalid resources: {error}"))?;
    resources::unique_persistence(&listed)
        .map_err(|error| format!("Executor uses duplicate persistence ID: {error}"))?;
    resources::single_role(&listed)
        .map_err(|error| format!("Invalid executor resources: {error}"))?;
    resources::not_mixed(listed.iter()).map_err(|error| {
        format!("Executor mixes revocable and non-revocable resources: {error}")
    })?;
    let resources: Resources = listed.into_iter().collect();
    let known = place.agent.executors.get(&(framework.clone(), id.clone()));
    if known.is_some_and(|known| !same(known, info, &resources)) {
        return Err(
            "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID."
                .to_owned(),
        );
    }
    let mut info = info.clone();
    info.resources = write(&resources, Form::PostRefinement);
    Ok(LaunchExecutor { id, info, resources, running: known.is_some() })
}

/// Whether it is described as it was when it was started; resources may come in another order.
fn same(known: &Executor, info: &v1::ExecutorInfo, resources: &Resources) -> bool {
    let mut info = info.clone();
    info.resources.clone_from(&known.info.resources);
    known.info == info && known.resources == *resources
}

fn by_type(info: &v1::ExecutorInfo) -> Result<(), String> {
    match kind(info) {
        Type::Default => {
            if info.command.is_some() {
                return Err(
                    "'ExecutorInfo.command' must not be set for 'DEFAULT' executor".to_owned()
                );
            }
            let Some(container) = &info.container else { return Ok(()) };
            if container.r#type() != v1::container_info::Type::Mesos {
                return Err("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
                    .to_owned());
            }
            if container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
                return Err("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' \
                            executor"
                    .to_owned());
            }
            Ok(())
        }
        Type::Custom if info.command.is_none() => {
            Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".to_owned())
        }
        Type::Custom | Type::Unknown => Ok(()),
    }
}

/// Checks what the executor of a single task must be besides.
pub(super) fn of_task(executor: &LaunchExecutor) -> Result<(), String> {
    let LaunchExecutor { info, resources, .. } = executor;
    if info.r#type.is_some() && kind(info) != Type::Custom {
        return Err("'ExecutorInfo.type' must be 'CUSTOM'".to_owned());
    }
    if info.command.is_none() {
        return Err("'ExecutorInfo.command' must be set".to_owned());
    }
    if resources.iter().any(|resource| resource.shared) {
        return Err(format!(
            "Executor resources {resources} should not contain any shared resources"
        ));
    }
    not_sharing(info)
}

pub(super) fn not_sharing(info: &v1::ExecutorInfo) -> Result<(), String> {
    if container::share_cgroups(info.container.as_ref()) == Some(true) {
        return Err(
            "The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned()
        );
    }
    Ok(())
}

/// Checks that it has the least that an executor should have. Executors of single tasks are only
/// warned about, those of groups refused.
pub(in super::super) fn minimum(executor: &LaunchExecutor) -> Result<(), String> {
    let LaunchExecutor { id, resources, .. } = executor;
    let amount = |name: &str| {
        let there = resources.iter().any(|resource: &Resource| *resource.name == *name);
        there.then(|| resources.scalar(name))
    };
    let said = |amount: Option<Scalar>| amount.map_or("None".to_owned(), |a| a.to_string());
    let cpus = amount("cpus");
    if cpus.is_none_or(|cpus| cpus < MIN_CPUS) {
        return Err(format!(
            "Executor '{id}' uses less CPUs ({}) than the minimum required ({MIN_CPUS})",
            said(cpus)
        ));
    }
    let mem = amount("mem");
    if mem.is_none_or(|mem| mem < MIN_MEM) {
        let said = mem.map_or("None".to_owned(), |mem| format!("{mem}MB"));
        return Err(format!(
            "Executor '{id}' uses less memory ({said}) than the minimum required ({MIN_MEM}MB)"
        ));
    }
    Ok(())
}
