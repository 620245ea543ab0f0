//! Task states and the status updates that the master itself makes.

use model::time::Timestamp;
use wire::v1;
use wire::v1::TaskState;
use wire::v1::task_status::{Reason, Source};

use super::state::{FrameworkCapabilities, Task};

/// Whether a task in this state holds nothing and never changes again.
pub(super) const fn is_terminal(state: TaskState) -> bool {
    match state {
        TaskState::TaskDropped
        | TaskState::TaskError
        | TaskState::TaskFailed
        | TaskState::TaskFinished
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator
        | TaskState::TaskKilled
        | TaskState::TaskLost => true,
        TaskState::TaskKilling
        | TaskState::TaskRunning
        | TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskUnknown
        | TaskState::TaskUnreachable => false,
    }
}

/// Whether only a master concludes this state; an agent that reports it is wrong.
pub(super) const fn is_inferred(state: TaskState) -> bool {
    matches!(state, TaskState::TaskUnknown | TaskState::TaskUnreachable)
}

/// `aware` for frameworks that understand it, TASK_LOST for the others.
pub(super) const fn lost_unless_aware(
    capabilities: &FrameworkCapabilities,
    aware: TaskState,
) -> TaskState {
    if capabilities.partition_aware { aware } else { TaskState::TaskLost }
}

/// A status made by the master: no uuid, so nobody acknowledges it.
pub(super) fn from_master(
    task_id: &str,
    agent_id: Option<&str>,
    state: TaskState,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> v1::TaskStatus {
    let mut status = v1::TaskStatus {
        task_id: v1::TaskId { value: task_id.to_owned() },
        agent_id: agent_id.map(|id| v1::AgentId { value: id.to_owned() }),
        message: Some(message.to_owned()),
        timestamp: Some(now.as_secs_f64()),
        ..v1::TaskStatus::default()
    };
    status.set_state(state);
    status.set_source(Source::Master);
    status.set_reason(reason);
    status
}

/// A status made by the master about a task that it knows.
pub(super) fn about(
    task: &Task,
    state: TaskState,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> v1::TaskStatus {
    let mut status =
        from_master(task.id.as_str(), Some(task.agent_id.as_str()), state, reason, message, now);
    status.executor_id = task.info().executor_id;
    status
}

/// A status that repeats what is known of the task.
pub(super) fn latest(task: &Task, reason: Reason, message: &str, now: Timestamp) -> v1::TaskStatus {
    let info = task.info();
    let forwarded = info.status_update_state.and_then(|n| TaskState::try_from(n).ok());
    let mut status = about(task, forwarded.unwrap_or(task.state()), reason, message, now);
    if let Some(last) = info.statuses.last() {
        status.healthy = last.healthy;
        status.check_status.clone_from(&last.check_status);
        status.container_status.clone_from(&last.container_status);
    }
    status
}
