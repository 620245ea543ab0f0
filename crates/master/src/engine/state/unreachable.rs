//! A framework's tasks on agents that became unreachable.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use model::id::TaskId;

use super::Task;
use crate::engine::collections::{History, Map};

/// Tasks on agents that became unreachable, the oldest first, bounded; and found by their ids,
/// because their ids are asked for with each task that is launched.
#[derive(Clone, Debug, Default)]
pub struct UnreachableTasks {
    history: History<Task>,
    /// Of those of one id, which may have been lost on several agents, the newest.
    by_id: Map<TaskId, Arc<Task>>,
}

impl Deref for UnreachableTasks {
    type Target = History<Task>;

    fn deref(&self) -> &History<Task> {
        &self.history
    }
}

impl UnreachableTasks {
    /// The task of this id that was lost last.
    #[must_use]
    pub fn get(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.by_id.get(id)
    }

    /// Adds the newest, and forgets the oldest beyond `limit`.
    pub(in crate::engine) fn push(&mut self, task: Arc<Task>, limit: usize) {
        self.by_id.insert_mut(task.id.clone(), Arc::clone(&task));
        if let Some(forgotten) = self.history.push(task, limit)
            && self.by_id.get(&forgotten.id).is_some_and(|known| Arc::ptr_eq(known, &forgotten))
        {
            self.by_id.remove_mut(&forgotten.id);
        }
    }

    /// Takes out all tasks of these ids.
    pub(in crate::engine) fn take(&mut self, ids: &BTreeSet<TaskId>) {
        if ids.iter().any(|id| self.by_id.contains_key(id)) {
            for id in ids {
                self.by_id.remove_mut(id);
            }
            self.history.extract(|task| ids.contains(&task.id));
        }
    }

    /// Takes out all, the oldest first.
    pub(in crate::engine) fn take_all(&mut self) -> Vec<Arc<Task>> {
        self.by_id = Map::default();
        self.history.extract(|_| true)
    }

    /// Whether exactly those that are kept are found.
    pub(in crate::engine) fn is_sound(&self) -> bool {
        let newest =
            |task: &Arc<Task>| self.history.iter().filter(|other| other.id == task.id).last();
        let known = |task| newest(task).is_some_and(|newest| Arc::ptr_eq(newest, task));
        let all = self.history.iter().all(|task| self.by_id.contains_key(&task.id));
        all && self.by_id.values().all(known)
    }
}

#[cfg(test)]
mod tests {
    use model::resources::Resources;
    use wire::v1;

    use super::*;

    fn task(id: &str, agent: &str) -> Arc<Task> {
        let (id, agent) = (id.parse().unwrap(), agent.parse().unwrap());
        let info = v1::Task::default();
        Arc::new(Task::new(id, "f".parse().unwrap(), agent, Resources::new(), &info))
    }

    fn place(tasks: &UnreachableTasks, id: &str) -> Option<String> {
        assert!(tasks.is_sound());
        tasks.get(&id.parse().unwrap()).map(|task| task.agent_id.to_string())
    }

    #[test]
    fn tasks_that_are_kept_are_found_and_others_are_not() {
        let mut tasks = UnreachableTasks::default();
        tasks.push(task("a", "one"), 2);
        tasks.push(task("a", "two"), 2);
        assert_eq!(place(&tasks, "a").as_deref(), Some("two"));
        // The older of that name is forgotten, the newer is not.
        tasks.push(task("b", "one"), 2);
        assert_eq!((tasks.len(), place(&tasks, "a").as_deref()), (2, Some("two")));
        tasks.push(task("c", "one"), 2);
        assert_eq!((place(&tasks, "a"), place(&tasks, "b").is_some()), (None, true));
        tasks.take(&["b".parse().unwrap(), "x".parse().unwrap()].into());
        assert_eq!((place(&tasks, "b"), place(&tasks, "c").is_some()), (None, true));
        assert_eq!(tasks.take_all().len(), 1);
        assert_eq!(place(&tasks, "c"), None);
        // Where none is kept none is found.
        tasks.push(task("d", "one"), 0);
        assert_eq!((tasks.len(), place(&tasks, "d")), (0, None));
    }
}
