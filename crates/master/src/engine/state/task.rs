//! Tasks, of which there are many.

use model::id::{AgentId, FrameworkId, TaskId};
use model::resources::Resources;
use wire::v1;

/// A task.
///
/// All but what is asked for often is kept as the bytes of a message: a tenth of what the message
/// takes in memory, and readers pass the bytes on as they are.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// Where it runs.
    pub agent_id: AgentId,
    /// What it uses, for arithmetic: allocated to one role.
    pub resources: Resources,
    state: v1::TaskState,
    begun: f64,
    packed: Box<[u8]>,
}

impl Task {
    /// A task as `info` describes it, whose resources are `resources`.
    #[must_use]
    pub fn new(
        id: TaskId,
        framework_id: FrameworkId,
        agent_id: AgentId,
        resources: Resources,
        info: &v1::Task,
    ) -> Self {
        let mut task = Self {
            id,
            framework_id,
            agent_id,
            resources,
            state: v1::TaskState::default(),
            begun: f64::NEG_INFINITY,
            packed: Box::default(),
        };
        task.pack(info);
        task
    }

    /// Its latest state.
    #[must_use]
    pub fn state(&self) -> v1::TaskState {
        self.state
    }

    /// When its first status was made, in seconds; before all others if there is none.
    #[must_use]
    pub fn begun(&self) -> f64 {
        self.begun
    }

    /// All of it, in the form in which `/state` and GET_TASKS show it, unpacked. `state` is the
    /// latest known; `status_update_state` and `status_update_uuid` belong to the update that was
    /// forwarded last. `statuses` have no `data`.
    #[must_use]
    pub fn info(&self) -> v1::Task {
        wire::reread(&self.packed)
    }

    /// The same as bytes.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Changes what [`Self::info`] gives.
    pub fn change(&mut self, change: impl FnOnce(&mut v1::Task)) {
        let mut info = self.info();
        change(&mut info);
        self.pack(&info);
    }

    fn pack(&mut self, info: &v1::Task) {
        self.state = info.state();
        self.begun = info.statuses.first().map_or(f64::NEG_INFINITY, v1::TaskStatus::timestamp);
        self.packed = wire::encode(info).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::TaskState;

    #[test]
    fn what_is_changed_is_what_is_read() {
        let mut info = v1::Task { name: "n".to_owned(), ..v1::Task::default() };
        info.set_state(TaskState::TaskStaging);
        let id = || "t".parse().unwrap();
        let mut task =
            Task::new(id(), "f".parse().unwrap(), "a".parse().unwrap(), Resources::new(), &info);
        assert_eq!((task.state(), task.begun()), (TaskState::TaskStaging, f64::NEG_INFINITY));
        assert_eq!(task.info(), info);
        task.change(|info| {
            info.set_state(TaskState::TaskRunning);
            info.statuses.push(v1::TaskStatus { timestamp: Some(5.0), ..Default::default() });
        });
        assert_eq!((task.state(), task.begun()), (TaskState::TaskRunning, 5.0));
        assert_eq!(task.info().statuses.len(), 1);
        assert_eq!(task.packed(), wire::encode(&task.info()));
        assert!(std::mem::size_of::<Task>() <= 128);
    }
}
