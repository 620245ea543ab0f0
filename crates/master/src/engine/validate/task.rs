//! Tasks that a framework wants to launch.

use std::collections::BTreeSet;

use model::id::{ExecutorId, TaskId};
use model::resources::{Resources, Scalar};
use model::role::Role;
use wire::v1;
use wire::v1::agent_info::capability::Type as AgentCapability;

use super::super::state::{Agent, Executor, Framework};

/// What a task that may be launched needs.
#[derive(Debug)]
pub(in super::super) struct Launch {
    pub(in super::super) task_id: TaskId,
    /// Its resources, allocated to the offers' role.
    pub(in super::super) resources: Resources,
    /// Its executor, unless it is a command.
    pub(in super::super) executor: Option<LaunchExecutor>,
}

/// The executor of a task that may be launched.
#[derive(Debug)]
pub(in super::super) struct LaunchExecutor {
    pub(in super::super) id: ExecutorId,
    pub(in super::super) info: v1::ExecutorInfo,
    /// Its resources, allocated to the offers' role.
    pub(in super::super) resources: Resources,
    /// Whether it runs on the agent already, so that its resources are paid for.
    pub(in super::super) running: bool,
}

impl Launch {
    /// What the launch takes from the offers.
    pub(in super::super) fn consumed(&self) -> Resources {
        match &self.executor {
            Some(executor) if !executor.running => self.resources.plus(&executor.resources),
            _ => self.resources.clone(),
        }
    }
}

/// Where a task is to be launched, and from what.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Place<'a> {
    pub(in super::super) framework: &'a Framework,
    pub(in super::super) agent: &'a Agent,
    pub(in super::super) role: &'a Role,
    /// What is left of the offers.
    pub(in super::super) left: &'a Resources,
}

/// Checks a task.
pub(in super::super) fn launch(task: &v1::TaskInfo, place: Place<'_>) -> Result<Launch, String> {
    let Place { framework, agent, role, left } = place;
    let task_id = TaskId::new(&task.task_id.value).map_err(|error| error.to_string())?;
    if framework.tasks.contains_key(&task_id)
        || framework.unreachable_tasks.iter().any(|known| known.id == task_id)
    {
        return Err(format!("Task has duplicate ID: {task_id}"));
    }
    if task.agent_id.value != agent.id.as_str() {
        return Err(format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id.value, agent.id
        ));
    }
    times(task)?;
    if let Some(check) = &task.check {
        self::check(check).map_err(|error| format!("Task uses invalid check: {error}"))?;
    }
    if let Some(check) = &task.health_check {
        health_check(check).map_err(|error| format!("Task uses invalid health check: {error}"))?;
    }
    if task.resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let resources = resources(&task.resources, role)
        .map_err(|error| format!("Task uses invalid resources: {error}"))?;
    if resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    if let Some(command) = &task.command {
        self::command(command)
            .map_err(|error| format!("Task's `CommandInfo` is invalid: {error}"))?;
    }
    if let Some(container) = &task.container {
        self::container(container)
            .map_err(|error| format!("Task's `ContainerInfo` is invalid: {error}"))?;
    }
    limits(task, agent, &resources)?;
    if task.command.is_some() == task.executor.is_some() {
        return Err("Task should have at least one (but not both) of CommandInfo or ExecutorInfo \
                    present"
            .to_owned());
    }
    let executor = match &task.executor {
        Some(info) => Some(executor(info, place)?),
        None => None,
    };
    let launch = Launch { task_id, resources, executor };
    let total = launch.consumed();
    if !left.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available \
             {left}"
        ));
    }
    let linux = task.container.as_ref().and_then(|container| container.linux_info.as_ref());
    if linux.is_some_and(|linux| linux.share_cgroups == Some(false)) {
        return Err(
            "Task with 'share_cgroups' set to false must be part of a task group".to_owned()
        );
    }
    Ok(launch)
}

fn times(task: &v1::TaskInfo) -> Result<(), String> {
    let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    if grace.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if task.max_completion_time.as_ref().is_some_and(|time| time.nanoseconds < 0) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    Ok(())
}

/// Reads resources of a task or executor and allocates them to the offers' role.
fn resources(wire: &[v1::Resource], role: &Role) -> Result<Resources, String> {
    let mut resources = wire::resources::read(wire).map_err(|error| error.to_string())?;
    for resource in resources.iter() {
        if resource.allocation.as_ref().is_some_and(|allocation| allocation != role) {
            return Err(format!(
                "The resources are allocated to another role than the offers' '{role}'"
            ));
        }
    }
    resources = resources.allocated_to(role);
    let mut volumes = BTreeSet::new();
    for resource in resources.iter() {
        let persistence = resource.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
        if persistence.is_some_and(|persistence| !volumes.insert(&persistence.id)) {
            return Err("Duplicate persistence IDs are used".to_owned());
        }
        let mixed = |other: &model::resources::Resource| {
            other.name == resource.name && other.revocable != resource.revocable
        };
        if resources.iter().any(mixed) {
            return Err(format!("Revocable and non-revocable '{}' are mixed", resource.name));
        }
    }
    Ok(resources)
}

fn limits(task: &v1::TaskInfo, agent: &Agent, resources: &Resources) -> Result<(), String> {
    if task.limits.is_empty() {
        return Ok(());
    }
    if !agent.has(AgentCapability::TaskResourceLimits) {
        return Err(format!("Agent {} is not capable of task resource limits", agent.id));
    }
    for (name, limit) in &task.limits {
        if name != "cpus" && name != "mem" {
            return Err(format!("Task uses invalid resource limit '{name}': only cpus and mem"));
        }
        let request = resources.scalar(name);
        if request.is_zero() {
            return Err(format!("Task has a limit on '{name}' but requests none of it"));
        }
        // An infinite limit means no limit; it is the one place where infinity is meant.
        if limit.value == f64::INFINITY {
            continue;
        }
        let limit = Scalar::from_f64(limit.value)
            .map_err(|error| format!("Task's limit on '{name}' is invalid: {error}"))?;
        if limit < request {
            return Err(format!("Task's limit on '{name}' is less than the task's request"));
        }
    }
    Ok(())
}

fn executor(info: &v1::ExecutorInfo, place: Place<'_>) -> Result<LaunchExecutor, String> {
    use v1::executor_info::Type;
    let Place { framework, agent, role, .. } = place;
    let id = ExecutorId::new(&info.executor_id.value).map_err(|error| error.to_string())?;
    let mut info = info.clone();
    // LAUNCH fills in what older frameworks leave out.
    let owner = info
        .framework_id
        .get_or_insert_with(|| v1::FrameworkId { value: framework.id.to_string() });
    if owner.value != framework.id.as_str() {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {} vs Expected: {})",
            owner.value, framework.id
        ));
    }
    match info.r#type.map_or(Ok(Type::Custom), Type::try_from) {
        Ok(Type::Custom) => {}
        Ok(Type::Default) => {
            return Err("The default executor can only run task groups".to_owned());
        }
        _ => return Err("Unknown executor type".to_owned()),
    }
    let Some(command) = &info.command else {
        return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".to_owned());
    };
    self::command(command)
        .map_err(|error| format!("Executor's `CommandInfo` is invalid: {error}"))?;
    if let Some(container) = &info.container {
        self::container(container)
            .map_err(|error| format!("Executor's `ContainerInfo` is invalid: {error}"))?;
    }
    if info.shutdown_grace_period.as_ref().is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned());
    }
    let resources = resources(&info.resources, role)
        .map_err(|error| format!("Executor uses invalid resources: {error}"))?;
    if resources.iter().any(|resource| resource.shared) {
        return Err("Executor resources must not be shared".to_owned());
    }
    info.resources = wire::resources::write(&resources, wire::resources::Form::PostRefinement);
    let key = (framework.id.clone(), id.clone());
    let known: Option<&std::sync::Arc<Executor>> = agent.executors.get(&key);
    if known.is_some_and(|known| known.info != info) {
        return Err(format!(
            "ExecutorInfo is not compatible with existing ExecutorInfo of executor {id}"
        ));
    }
    Ok(LaunchExecutor { id, info, resources, running: known.is_some() })
}

fn command(command: &v1::CommandInfo) -> Result<(), String> {
    let Some(environment) = &command.environment else { return Ok(()) };
    environment.variables.iter().try_for_each(variable)
}

fn variable(variable: &v1::environment::Variable) -> Result<(), String> {
    use v1::environment::variable::Type;
    let name = &variable.name;
    match variable.r#type() {
        Type::Value if variable.value.is_none() => {
            Err(format!("Environment variable '{name}' of type 'VALUE' must have a value set"))
        }
        Type::Value if variable.secret.is_some() => {
            Err(format!("Environment variable '{name}' of type 'VALUE' must not have a secret set"))
        }
        Type::Secret if variable.secret.is_none() => {
            Err(format!("Environment variable '{name}' of type 'SECRET' must have a secret set"))
        }
        Type::Secret if variable.value.is_some() => {
            Err(format!("Environment variable '{name}' of type 'SECRET' must not have a value set"))
        }
        Type::Unknown => {
            Err(format!("Environment variable '{name}' must not be of type 'UNKNOWN'"))
        }
        Type::Value | Type::Secret => Ok(()),
    }
}

fn container(container: &v1::ContainerInfo) -> Result<(), String> {
    use v1::container_info::Type;
    match container.r#type() {
        Type::Docker if container.docker.is_none() => {
            Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned())
        }
        Type::Mesos if container.docker.is_some() => Err(
            "Protobuf union `mesos.ContainerInfo` with `Type == MESOS` should not have the field \
             `docker` set."
                .to_owned(),
        ),
        Type::Docker | Type::Mesos => container.volumes.iter().try_for_each(volume),
    }
}

fn volume(volume: &v1::Volume) -> Result<(), String> {
    if volume.container_path.is_empty() {
        return Err("Volume needs a 'container_path'".to_owned());
    }
    let beneath = |path: &str| !path.split('/').any(|component| component == "..");
    if !beneath(&volume.container_path) {
        return Err(format!("Volume path '{}' contains '..'", volume.container_path));
    }
    if let Some(source) = &volume.source {
        if volume.host_path.is_some() || volume.image.is_some() {
            return Err("Only one of 'host_path', 'image' and 'source' may be set".to_owned());
        }
        let sandbox = source.sandbox_path.as_ref();
        if sandbox.is_some_and(|sandbox| !beneath(&sandbox.path)) {
            return Err("Path of a SANDBOX_PATH volume contains '..'".to_owned());
        }
    }
    Ok(())
}

fn non_negative(times: &[(&str, Option<f64>)]) -> Result<(), String> {
    for (name, seconds) in times {
        if seconds.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
            return Err(format!("Expecting '{name}' to be non-negative"));
        }
    }
    Ok(())
}

fn check(check: &v1::CheckInfo) -> Result<(), String> {
    use v1::check_info::Type;
    let members = [check.command.is_some(), check.http.is_some(), check.tcp.is_some()];
    let expected = match check.r#type() {
        Type::Command => [true, false, false],
        Type::Http => [false, true, false],
        Type::Tcp => [false, false, true],
        Type::Unknown => return Err("CheckInfo must specify 'type'".to_owned()),
    };
    if members != expected {
        return Err("Expecting exactly the member that 'type' names to be set".to_owned());
    }
    if let Some(given) = &check.command {
        command(&given.command)?;
    }
    non_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

fn health_check(check: &v1::HealthCheck) -> Result<(), String> {
    use v1::health_check::Type;
    let missing = match check.r#type() {
        Type::Command if check.command.is_none() => Some("command"),
        Type::Http if check.http.is_none() => Some("http"),
        Type::Tcp if check.tcp.is_none() => Some("tcp"),
        Type::Unknown => return Err("HealthCheck must specify 'type'".to_owned()),
        Type::Command | Type::Http | Type::Tcp => None,
    };
    if let Some(member) = missing {
        return Err(format!("Expecting '{member}' to be set"));
    }
    if let Some(given) = &check.command {
        command(given)?;
    }
    non_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}
