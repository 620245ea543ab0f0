//! Messages of agents.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::id::{AgentId, ExecutorId, FrameworkId, TaskId};
use model::resources::Resources;
use model::role::Role;
use semver::Version;
use wire::resources::Form;
use wire::v1::TaskState;
use wire::v1::agent_info::capability::Type as Capability;
use wire::{internal, v1};

use super::super::config::Config;
use super::super::state::{Executor, Task};
use super::super::status;
use super::framework;

/// What an agent that may register has said of itself.
#[derive(Debug)]
pub(in super::super) struct Registration {
    /// Its description, resources in the form after reservation refinement.
    pub(in super::super) info: v1::AgentInfo,
    pub(in super::super) version: String,
    pub(in super::super) capabilities: Vec<Capability>,
    pub(in super::super) resource_version: Option<Bytes>,
    /// All that it has.
    pub(in super::super) total: Resources,
}

/// What an agent that may register again has said of itself and of what runs there.
#[derive(Debug)]
pub(in super::super) struct Reregistration {
    pub(in super::super) id: AgentId,
    pub(in super::super) registration: Registration,
    pub(in super::super) frameworks: BTreeMap<FrameworkId, v1::FrameworkInfo>,
    pub(in super::super) executors: Vec<Executor>,
    pub(in super::super) tasks: Vec<Task>,
    /// What ended there, not read yet, see [`ended`].
    pub(in super::super) archived: Vec<internal::archive::Framework>,
}

/// Checks a first registration.
pub(in super::super) fn register(
    message: internal::RegisterSlaveMessage,
    config: &Config,
) -> Result<Registration, String> {
    registration(
        message.slave,
        &message.checkpointed_resources,
        message.version,
        &message.agent_capabilities,
        message.resource_version_uuid,
        config,
    )
}

fn registration(
    mut info: v1::AgentInfo,
    checkpointed: &[v1::Resource],
    version: Option<String>,
    capabilities: &[v1::agent_info::Capability],
    resource_version: Option<v1::Uuid>,
    config: &Config,
) -> Result<Registration, String> {
    if let Some(id) = &info.id {
        model::id::check(&id.value).map_err(|error| error.to_string())?;
    }
    let own = wire::resources::read(&info.resources).map_err(|error| error.to_string())?;
    let checkpointed = wire::resources::read(checkpointed).map_err(|error| error.to_string())?;
    if own.iter().chain(checkpointed.iter()).any(|resource| resource.allocation.is_some()) {
        return Err("an agent's resources cannot be allocated".to_owned());
    }
    if own.iter().chain(checkpointed.iter()).any(|resource| resource.provider.is_some()) {
        return Err("an agent's own resources cannot be a resource provider's".to_owned());
    }
    if !checkpointed.is_empty() && !info.checkpoint() {
        return Err("checkpointed resources are given by an agent that does not checkpoint".into());
    }
    let total = with_checkpointed(&own, &checkpointed)?;
    let version = version.ok_or("no version is given")?;
    let parsed =
        Version::parse(&version).map_err(|error| format!("version '{version}': {error}"))?;
    if parsed < Version::new(1, 0, 0) {
        return Err(format!("version {version} is older than 1.0.0"));
    }
    if info.domain.is_some() && config.master.domain.is_none() {
        return Err("it states a domain but the master has none".to_owned());
    }
    if info.domain.is_none() && config.require_agent_domain {
        return Err("it states no domain".to_owned());
    }
    let resource_version = resource_version.map(|uuid| uuid.value);
    if resource_version.as_ref().is_some_and(|uuid| uuid.len() != 16) {
        return Err("the resource version is not a valid UUID".to_owned());
    }
    info.resources = wire::resources::write(&own, Form::PostRefinement);
    let capabilities = capabilities.iter().map(|capability| capability.r#type()).collect();
    Ok(Registration { info, version, capabilities, resource_version, total })
}

/// The agent's resources after the operations whose result it has checkpointed.
fn with_checkpointed(own: &Resources, checkpointed: &Resources) -> Result<Resources, String> {
    let plain = own.checked_minus(&checkpointed.stripped()).ok_or_else(|| {
        format!("checkpointed resources {checkpointed} are not part of its resources {own}")
    })?;
    Ok(plain.plus(checkpointed))
}

/// Checks a registration by an agent that has an id.
pub(in super::super) fn reregister(
    message: internal::ReregisterSlaveMessage,
    config: &Config,
) -> Result<Reregistration, String> {
    let id = message.slave.id.as_ref().ok_or("no agent id is given")?;
    let id = AgentId::new(&id.value).map_err(|error| error.to_string())?;
    let mut frameworks = BTreeMap::new();
    let mut roles = BTreeMap::new();
    for info in message.frameworks {
        let framework_id = framework_id(info.id.as_ref())?;
        let checked =
            framework::info(&info).map_err(|error| format!("framework {framework_id}: {error}"))?;
        roles.insert(framework_id.clone(), only_role(&checked));
        if frameworks.insert(framework_id.clone(), info).is_some() {
            return Err(format!("framework {framework_id} is listed twice"));
        }
    }
    let known =
        |id: &FrameworkId| roles.get(id).ok_or_else(|| format!("framework {id} is not listed"));
    let mut seen = BTreeSet::new();
    let mut executors = Vec::new();
    for info in message.executor_infos {
        let framework_id = framework_id(info.framework_id.as_ref())?;
        let executor = executor(info, &framework_id, &id, known(&framework_id)?.as_ref())?;
        if !seen.insert((framework_id, executor.id.clone())) {
            return Err(format!("executor {} is listed twice", executor.id));
        }
        executors.push(executor);
    }
    let mut task_ids = BTreeSet::new();
    let mut tasks = Vec::new();
    for info in message.tasks {
        let framework_id = framework_id(Some(&info.framework_id))?;
        let task = task(info, &framework_id, &id, known(&framework_id)?.as_ref())?;
        if !task_ids.insert((framework_id.clone(), task.id.clone())) {
            return Err(format!("task {} is listed twice", task.id));
        }
        // A command task's executor is the agent's own and not listed; it has the task's name.
        let executor = task.info().executor_id.map(|id| id.value);
        let listed = |name: &str| {
            ExecutorId::new(name).is_ok_and(|id| seen.contains(&(framework_id.clone(), id)))
        };
        if task.state() == TaskState::TaskRunning && executor.is_some_and(|name| !listed(&name)) {
            return Err(format!("the executor of running task {} is not listed", task.id));
        }
        tasks.push(task);
    }
    let archived = message.completed_frameworks;
    let registration = registration(
        message.slave,
        &message.checkpointed_resources,
        message.version,
        &message.agent_capabilities,
        message.resource_version_uuid,
        config,
    )?;
    Ok(Reregistration { id, registration, frameworks, executors, tasks, archived })
}

fn framework_id(id: Option<&v1::FrameworkId>) -> Result<FrameworkId, String> {
    let id = id.ok_or("a framework has no id")?;
    FrameworkId::new(&id.value).map_err(|error| error.to_string())
}

/// Reads resources in use. `only` is the role of a framework that has one: what older agents
/// leave out is filled in. For the others the role must be given; the original ends here.
fn allocated(wire: &[v1::Resource], only: Option<&Role>) -> Result<Resources, String> {
    let resources = wire::resources::read(wire).map_err(|error| error.to_string())?;
    resources
        .iter()
        .cloned()
        .map(|mut resource| {
            if let (None, Some(only)) = (&resource.allocation, only) {
                resource = resource.allocated_to(only);
            }
            if resource.allocation.is_none() {
                return Err(format!("{} has no allocation role", resource.name));
            }
            Ok(resource)
        })
        .collect()
}

/// The role of a framework that has one.
fn only_role(framework: &framework::Checked) -> Option<Role> {
    let several = framework.capabilities.multi_role;
    (!several).then(|| framework.roles.first().cloned()).flatten()
}

/// The tasks that ended on an agent of a framework that has nothing more there, as the agent
/// remembers them, the newest first. They are shown and nothing else, so that what does not read is
/// left out, and all the rest of the message counts.
pub(in super::super) fn ended(
    archive: internal::archive::Framework,
    id: &FrameworkId,
    agent_id: &AgentId,
) -> impl Iterator<Item = Task> {
    let only = framework::info(&archive.framework_info).ok().as_ref().and_then(only_role);
    let of_it =
        archive.tasks.into_iter().rev().filter(|task| task.framework_id.value == id.as_str());
    let read = of_it.filter_map(move |task| self::task(task, id, agent_id, only.as_ref()).ok());
    read.filter(|task| status::is_terminal(task.state()))
}

fn executor(
    mut info: v1::ExecutorInfo,
    framework_id: &FrameworkId,
    agent_id: &AgentId,
    only: Option<&Role>,
) -> Result<Executor, String> {
    let id = ExecutorId::new(&info.executor_id.value).map_err(|error| error.to_string())?;
    let resources =
        allocated(&info.resources, only).map_err(|error| format!("executor {id}: {error}"))?;
    info.resources = wire::resources::write(&resources, Form::PostRefinement);
    Ok(Executor {
        id,
        framework_id: framework_id.clone(),
        agent_id: agent_id.clone(),
        info,
        resources,
    })
}

fn task(
    mut info: v1::Task,
    framework_id: &FrameworkId,
    agent_id: &AgentId,
    only: Option<&Role>,
) -> Result<Task, String> {
    let id = TaskId::new(&info.task_id.value).map_err(|error| error.to_string())?;
    if info.agent_id.value != agent_id.as_str() {
        return Err(format!("task {id} is said to run on agent '{}'", info.agent_id.value));
    }
    match TaskState::try_from(info.state) {
        Ok(state) if !status::is_inferred(state) => {}
        _ => return Err(format!("task {id} is in a state that no agent can see")),
    }
    if let Some(uuid) = &info.status_update_uuid
        && uuid.len() != 16
    {
        return Err(format!("task {id} has a status update with an invalid UUID"));
    }
    let resources =
        allocated(&info.resources, only).map_err(|error| format!("task {id}: {error}"))?;
    info.resources = wire::resources::write(&resources, Form::PostRefinement);
    for status in &mut info.statuses {
        status.data = None;
    }
    Ok(Task::new(id, framework_id.clone(), agent_id.clone(), resources, &info))
}

/// Checks the shape of an UpdateOperationStatusMessage.
pub(in super::super) fn operation_status(
    message: &internal::UpdateOperationStatusMessage,
) -> Result<(), String> {
    if message.slave_id.is_none() {
        return Err("no agent id is given".to_owned());
    }
    if message.operation_uuid.is_none() && message.framework_id.is_none() {
        return Err("neither an operation nor a framework is named".to_owned());
    }
    if message.operation_uuid.as_ref().is_some_and(|uuid| uuid.value.len() != 16) {
        return Err("the operation's UUID is not valid".to_owned());
    }
    Ok(())
}
