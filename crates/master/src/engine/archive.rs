//! Tasks that ended before this master's time, which agents remember.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::{AgentId, FrameworkId};

use super::Engine;
use super::collections::edit;
use super::state::Task;

/// What an agent remembers of a framework that has nothing more there.
#[derive(Debug)]
pub(super) struct Archived {
    /// The framework.
    pub(super) id: FrameworkId,
    /// Whose it is, as the agent knows it.
    pub(super) principal: String,
    /// Its tasks that ended there, the oldest first.
    pub(super) tasks: Vec<Task>,
}

impl Engine {
    /// Gives the frameworks that go on their tasks back that ended on an agent. Those that this
    /// master has seen end it has already. Others' frameworks are not shown what ended under a
    /// name that they have taken.
    pub(super) fn remember_ended(&mut self, agent_id: &AgentId, archived: Vec<Archived>) {
        for Archived { id, principal, tasks } in archived {
            let Some(known) = self.state.frameworks.get(&id) else { continue };
            if known.info.principal() != principal {
                continue;
            }
            let here = known.completed_tasks.iter().filter(|task| task.agent_id == *agent_id);
            let seen: BTreeSet<_> = here.map(|task| task.id.clone()).collect();
            let limit = self.config.max_completed_tasks_per_framework;
            let Some(framework) = edit(&mut self.state.frameworks, &id) else { continue };
            for task in tasks.into_iter().filter(|task| !seen.contains(&task.id)) {
                framework.completed_tasks.push(Arc::new(task), limit);
            }
        }
    }
}
