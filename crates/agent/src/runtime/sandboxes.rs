//! Sandboxes as files to browse: under the framework's and executor's ids, and under their own
//! paths, as long as the agent remembers the executor.

use std::collections::HashMap;

use std::sync::Arc;

use endpoints::files::Files;
use model::id::{ContainerId, ExecutorId, FrameworkId};

use crate::engine::state::{Executor, State};

/// How many launches may pass until forgotten executors are looked for.
const SWEEP: usize = 128;

/// What is attached.
#[derive(Debug, Default)]
pub(crate) struct Sandboxes {
    attached: HashMap<ContainerId, (FrameworkId, ExecutorId, [String; 3])>,
    launches: usize,
}

impl Sandboxes {
    /// Attaches the sandboxes of all that the agent remembers.
    pub(crate) fn attach_all(&mut self, files: &Files, state: &State) {
        for (framework, executor) in remembered(state) {
            self.attach(files, framework, executor);
        }
    }

    /// Attaches the sandbox of one that is about to be launched.
    pub(super) fn launched(&mut self, files: &Files, state: &State, container: &ContainerId) {
        self.launches += 1;
        if self.launches.is_multiple_of(SWEEP) {
            self.sweep(files, state);
        }
        let new = state.frameworks.values().find_map(|framework| {
            let mut executors = framework.executors.values();
            let executor = executors.find(|executor| executor.container == *container)?;
            Some((&framework.id, executor))
        });
        if let Some((framework, executor)) = new {
            self.attach(files, framework, executor);
        }
    }

    fn attach(&mut self, files: &Files, framework: &FrameworkId, executor: &Arc<Executor>) {
        let id = &executor.id;
        let latest = executor.sandbox.with_file_name("latest");
        let names = [
            format!("/frameworks/{framework}/executors/{id}/runs/latest"),
            executor.sandbox.display().to_string(),
            latest.display().to_string(),
        ];
        for name in &names {
            if let Err(error) = files.attach(name, &executor.sandbox) {
                tracing::warn!(%error, name, "a sandbox cannot be shown");
            }
        }
        let place = (framework.clone(), id.clone(), names);
        self.attached.insert(executor.container.clone(), place);
    }

    /// Detaches what nobody remembers, but not a newer run under the same name.
    fn sweep(&mut self, files: &Files, state: &State) {
        let known: HashMap<&ContainerId, ()> =
            remembered(state).map(|(_, executor)| (&executor.container, ())).collect();
        let gone: Vec<ContainerId> =
            self.attached.keys().filter(|c| !known.contains_key(c)).cloned().collect();
        for container in gone {
            let Some((framework, executor, names)) = self.attached.remove(&container) else {
                continue;
            };
            let newer = self.attached.values().any(|(f, e, _)| *f == framework && *e == executor);
            let [latest, own, own_latest] = names;
            files.detach(&own);
            if !newer {
                files.detach(&latest);
                files.detach(&own_latest);
            }
        }
    }
}

fn remembered(state: &State) -> impl Iterator<Item = (&FrameworkId, &Arc<Executor>)> {
    // Completed ones first, so that a name shared with a live one is the live one's.
    let completed = state.completed_frameworks.iter();
    completed.chain(state.frameworks.values()).flat_map(|framework| {
        let executors = framework.completed_executors.iter().chain(framework.executors.values());
        executors.map(|executor| (&framework.id, executor))
    })
}
