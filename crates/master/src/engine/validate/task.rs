//! Tasks that a framework wants to launch.

use model::id::TaskId;
use model::resources::{Resources, Scalar};
use wire::v1;
use wire::v1::agent_info::capability::Type as AgentCapability;

use super::super::state::{Agent, Framework};
use super::check;
use super::container;
use super::executor;
pub(in super::super) use super::executor::LaunchExecutor;
use super::resources;

/// What a task that may be launched needs.
#[derive(Debug)]
pub(in super::super) struct Launch {
    pub(in super::super) task_id: TaskId,
    /// Its resources, allocated to a role.
    pub(in super::super) resources: Resources,
    /// Its executor, unless it is a command.
    pub(in super::super) executor: Option<LaunchExecutor>,
}

impl Launch {
    /// What the launch takes from the offers.
    pub(in super::super) fn consumed(&self) -> Resources {
        match &self.executor {
            Some(executor) => self.resources.plus(&executor.price()),
            None => self.resources.clone(),
        }
    }
}

/// Where a task is to be launched, and from what.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Place<'a> {
    pub(in super::super) framework: &'a Framework,
    pub(in super::super) agent: &'a Agent,
    /// What is left of the offers, shared resources as often as they were offered.
    pub(in super::super) available: &'a Resources,
}

/// Checks a task that is launched for itself.
pub(in super::super) fn launch(task: &v1::TaskInfo, place: Place<'_>) -> Result<Launch, String> {
    let (task_id, resources) = self::task(task, place)?;
    if task.command.is_some() == task.executor.is_some() {
        return Err("Task should have at least one (but not both) of CommandInfo or ExecutorInfo \
                    present"
            .to_owned());
    }
    let executor = match &task.executor {
        Some(info) => {
            let executor = executor::executor(info, place)?;
            executor::of_task(&executor)?;
            Some(executor)
        }
        None => None,
    };
    let launch = Launch { task_id, resources, executor };
    together(&launch)?;
    let (total, available) = (launch.consumed(), place.available);
    if !available.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available \
             {available}"
        ));
    }
    if container::share_cgroups(task.container.as_ref()) == Some(false) {
        return Err("Only tasks in a task group may have 'share_cgroups' set to 'false'".to_owned());
    }
    Ok(launch)
}

/// Checks the task's and its executor's resources, taken together.
fn together(launch: &Launch) -> Result<(), String> {
    let Some(executor) = &launch.executor else { return Ok(()) };
    let both = [&launch.resources, &executor.resources];
    if resources::overlap(both.into_iter()) {
        return Err(format!(
            "There are overlapping resources in the task resources {} and executor resources {}",
            launch.resources, executor.resources
        ));
    }
    let all = || launch.resources.iter().chain(executor.resources.iter());
    resources::unique_persistence(all())
        .map_err(|error| format!("Task and its executor use duplicate persistence ID: {error}"))?;
    resources::not_mixed(all()).map_err(|error| {
        format!("Task and its executor mix revocable and non-revocable resources: {error}")
    })
}

/// Checks what every task must be, its executor aside.
pub(super) fn task(task: &v1::TaskInfo, place: Place<'_>) -> Result<(TaskId, Resources), String> {
    let Place { framework, agent, .. } = place;
    let task_id = TaskId::new(&task.task_id.value).map_err(|error| error.to_string())?;
    if framework.tasks.contains_key(&task_id) {
        return Err(format!("Task has duplicate ID: {task_id}"));
    }
    if framework.unreachable_tasks.get(&task_id).is_some() {
        return Err(format!("Task reuses the ID of an unreachable task: {task_id}"));
    }
    if task.agent_id.value != agent.id.as_str() {
        return Err(format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id.value, agent.id
        ));
    }
    times(task)?;
    if let Some(given) = &task.check {
        check::check(given).map_err(|error| format!("Task uses invalid check: {error}"))?;
    }
    if let Some(given) = &task.health_check {
        check::health_check(given)
            .map_err(|error| format!("Task uses invalid health check: {error}"))?;
    }
    let resources = task_resources(task)?;
    if let Some(command) = &task.command {
        container::command(command)
            .map_err(|error| format!("Task's `CommandInfo` is invalid: {error}"))?;
    }
    if let Some(container) = &task.container {
        container::container(container)
            .map_err(|error| format!("Task's `ContainerInfo` is invalid: {error}"))?;
    }
    limits(task, agent, &resources)?;
    Ok((task_id, resources))
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

fn task_resources(task: &v1::TaskInfo) -> Result<Resources, String> {
    if task.resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let listed = resources::valid(&task.resources)
        .map_err(|error| format!("Task uses invalid resources: {error}"))?;
    resources::unique_persistence(&listed)
        .map_err(|error| format!("Task uses duplicate persistence ID: {error}"))?;
    resources::single_role(&listed).map_err(|error| format!("Invalid task resources: {error}"))?;
    resources::not_mixed(listed.iter())
        .map_err(|error| format!("Task mixes revocable and non-revocable resources: {error}"))?;
    let resources: Resources = listed.into_iter().collect();
    // A list of nothings, which the original lets pass: a task that costs nothing has no end.
    if resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    Ok(resources)
}

fn limits(task: &v1::TaskInfo, agent: &Agent, resources: &Resources) -> Result<(), String> {
    if task.limits.is_empty() {
        return Ok(());
    }
    if !agent.has(AgentCapability::TaskResourceLimits) {
        return Err("Agent is not capable of handling task resource limits".to_owned());
    }
    if task.limits.keys().any(|name| name != "cpus" && name != "mem") {
        return Err("Only cpus and mem may be included in a task's resource limits".to_owned());
    }
    for (name, upper, lower) in [("cpus", "CPU", "cpu"), ("mem", "memory", "memory")] {
        let Some(limit) = task.limits.get(name) else { continue };
        let request = resources.scalar(name);
        if request.is_zero() {
            return Err(format!(
                "When a {upper} limit is specified, a {upper} request must also be specified"
            ));
        }
        // An infinite limit means no limit; it is the one place where infinity is meant.
        if limit.value == f64::INFINITY {
            continue;
        }
        let less =
            format!("The {lower} limit must be greater than or equal to the {lower} request");
        if limit.value < 0.0 {
            return Err(less);
        }
        let limit = Scalar::from_f64(limit.value)
            .map_err(|error| format!("The {lower} limit is invalid: {error}"))?;
        if limit < request {
            return Err(less);
        }
    }
    Ok(())
}
