//! The answers to the read-only v1 calls.

use wire::v1;
use wire::v1::agent::response::{
    GetAgent, GetExecutors, GetFrameworks, GetOperations, GetState, GetTasks, get_executors,
    get_frameworks,
};

use super::View;
use crate::engine::state::{Executor, Framework};
use crate::engine::task::from_info;

impl View<'_> {
    fn all_frameworks(&self) -> impl Iterator<Item = &Framework> {
        let state = &self.snapshot.state;
        let completed = state.completed_frameworks.iter();
        state.frameworks.values().chain(completed).map(AsRef::as_ref)
    }

    fn all_executors(&self) -> impl Iterator<Item = &Executor> {
        self.all_frameworks().flat_map(|framework| {
            let completed = framework.completed_executors.iter();
            framework.executors.values().chain(completed).map(AsRef::as_ref)
        })
    }

    /// GET_AGENT
    #[must_use]
    pub fn get_agent(&self) -> GetAgent {
        let drain = self.snapshot.state.drain.as_ref();
        GetAgent {
            agent_info: Some(self.snapshot.info.clone()),
            drain_config: drain.map(|drain| drain.config),
            estimated_drain_start_time: drain
                .map(|drain| v1::TimeInfo { nanoseconds: drain.since.as_nanos() }),
        }
    }

    /// GET_OPERATIONS: those whose outcome was not acknowledged.
    #[must_use]
    pub fn get_operations(&self) -> GetOperations {
        let operations = self.snapshot.state.operations.values();
        GetOperations { operations: operations.map(|operation| (**operation).clone()).collect() }
    }

    /// GET_FRAMEWORKS
    #[must_use]
    pub fn get_frameworks(&self) -> GetFrameworks {
        let shown = |f: &Framework| get_frameworks::Framework { framework_info: f.info.clone() };
        let state = &self.snapshot.state;
        GetFrameworks {
            frameworks: state.frameworks.values().map(|f| shown(f)).collect(),
            completed_frameworks: state.completed_frameworks.iter().map(|f| shown(f)).collect(),
        }
    }

    /// GET_EXECUTORS
    #[must_use]
    pub fn get_executors(&self) -> GetExecutors {
        let shown = |e: &Executor| get_executors::Executor { executor_info: e.info.clone() };
        let completed = self.all_frameworks().flat_map(|f| &f.completed_executors);
        GetExecutors {
            executors: self
                .all_frameworks()
                .flat_map(|f| f.executors.values())
                .map(|e| shown(e))
                .collect(),
            completed_executors: completed.map(|e| shown(e)).collect(),
        }
    }

    /// GET_TASKS
    #[must_use]
    pub fn get_tasks(&self) -> GetTasks {
        let mut tasks = GetTasks::default();
        for framework in self.all_frameworks() {
            let id = v1::FrameworkId { value: framework.id.to_string() };
            let completed = framework.completed_executors.iter();
            for executor in framework.executors.values().chain(completed) {
                let queued = executor.queued.iter().map(|info| from_info(info, &id));
                tasks.queued_tasks.extend(queued);
            }
        }
        for executor in self.all_executors() {
            let all = |list: &mut dyn Iterator<Item = &std::sync::Arc<v1::Task>>| {
                list.map(|task| (**task).clone()).collect::<Vec<_>>()
            };
            tasks.launched_tasks.extend(all(&mut executor.launched.values()));
            tasks.terminated_tasks.extend(all(&mut executor.terminated.values()));
            tasks.completed_tasks.extend(all(&mut executor.completed.iter()));
        }
        tasks
    }

    /// GET_STATE
    #[must_use]
    pub fn get_state(&self) -> GetState {
        GetState {
            get_tasks: Some(self.get_tasks()),
            get_executors: Some(self.get_executors()),
            get_frameworks: Some(self.get_frameworks()),
        }
    }
}
