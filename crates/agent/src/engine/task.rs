//! Tasks as the agent keeps them, and what their states mean.

use wire::v1::{FrameworkId, Task, TaskInfo, TaskState, TaskStatus};

/// The state of a status. An unknown number means a state newer than this program: it says
/// nothing that could be acted on.
#[must_use]
pub fn state_of(status: &TaskStatus) -> TaskState {
    TaskState::try_from(status.state).unwrap_or(TaskState::TaskUnknown)
}

/// Whether a task in this state has ended and holds no resources any more. Unreachable and
/// unknown are what a master concludes about tasks that may well be running.
#[must_use]
pub fn is_terminal(state: TaskState) -> bool {
    match state {
        TaskState::TaskFinished
        | TaskState::TaskFailed
        | TaskState::TaskKilled
        | TaskState::TaskError
        | TaskState::TaskLost
        | TaskState::TaskDropped
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator => true,
        TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskRunning
        | TaskState::TaskKilling
        | TaskState::TaskUnreachable
        | TaskState::TaskUnknown => false,
    }
}

/// The record of a task that was given to an executor, or is about to be.
#[must_use]
pub fn from_info(info: &TaskInfo, framework: &FrameworkId) -> Task {
    let command = info.command.as_ref();
    let executor = info.executor.as_ref();
    let user = command
        .and_then(|c| c.user.clone())
        .or_else(|| executor.and_then(|e| e.command.as_ref()).and_then(|c| c.user.clone()));
    Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: framework.clone(),
        // A command task's executor is the agent's affair: the record does not name it.
        executor_id: executor.map(|e| e.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: TaskState::TaskStaging.into(),
        resources: info.resources.clone(),
        statuses: Vec::new(),
        status_update_state: None,
        status_update_uuid: None,
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        user,
        limits: info.limits.clone(),
    }
}

/// Applies a status: the task's state follows it, and of several statuses in a row with the same
/// state the last one is kept.
pub fn apply_status(task: &mut Task, status: &TaskStatus) {
    task.state = status.state;
    if task.statuses.last().is_some_and(|last| last.state == status.state) {
        task.statuses.pop();
    }
    task.statuses.push(status.clone());
}
