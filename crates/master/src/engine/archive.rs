//! Tasks that ended before this master's time, which agents remember.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{AgentId, FrameworkId, TaskId};
use wire::internal::archive;

use super::Engine;
use super::collections::edit;
use super::validate::agent::ended;

impl Engine {
    /// Gives the frameworks that go on the last of their tasks back that ended on an agent, as far
    /// as there is room: what this master has seen end is never pushed out by what an agent says.
    /// Others' frameworks are not shown what ended under a name that they have taken.
    ///
    /// An agent remembers much that is known here, or of nobody: only what is entered is read.
    pub(super) fn remember_ended(&mut self, agent_id: &AgentId, archived: Vec<archive::Framework>) {
        let limit = self.config.max_completed_tasks_per_framework;
        let mut known: BTreeMap<FrameworkId, BTreeSet<TaskId>> = BTreeMap::new();
        for archive in archived {
            let id = archive.framework_info.id.as_ref().map(|id| FrameworkId::new(&id.value));
            let Some(Ok(id)) = id else { continue };
            let Some(framework) = self.state.frameworks.get(&id) else { continue };
            let room = limit.saturating_sub(framework.completed_tasks.len());
            if room == 0 || framework.info.principal() != archive.framework_info.principal() {
                continue;
            }
            let seen = known.entry(id.clone()).or_insert_with(|| {
                let all = framework.completed_tasks.iter();
                all.filter(|task| task.agent_id == *agent_id).map(|task| task.id.clone()).collect()
            });
            let newest = ended(archive, &id, agent_id);
            let new = newest.filter(|task| seen.insert(task.id.clone())).take(room);
            let new: Vec<_> = new.map(Arc::new).collect();
            let Some(framework) = edit(&mut self.state.frameworks, &id) else { continue };
            for task in new.into_iter().rev() {
                framework.completed_tasks.push(task, limit);
            }
        }
    }
}
