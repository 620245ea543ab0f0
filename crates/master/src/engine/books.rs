//! The places where tasks, executors and their resources are entered and struck out, on the
//! agent's side and on the framework's at once.

use std::sync::Arc;

use allocator::{Held, Refusal as Declined};
use model::id::{AgentId, ExecutorId, FrameworkId, TaskId};
use model::resources::Resources;
use wire::v1;
use wire::v1::TaskState;
use wire::v1::task_status::{Reason, Source};

use super::Engine;
use super::announcement::Announcement;
use super::collections::{Map, edit};
use super::counters::{Counter, Ending, count_in};
use super::out::Out;
use super::state::{Agent, Executor, Task};
use super::status::is_terminal;

/// The most statuses kept of one task, the last ones. One per change of state is kept, so only
/// an executor that goes back and forth has more.
const MAX_STATUSES: usize = 64;

/// Whether a status is about a check's result: operators hear of each.
fn is_check_result(status: &v1::TaskStatus) -> bool {
    matches!(status.reason(), Reason::TaskCheckStatusUpdated | Reason::TaskHealthCheckStatusUpdated)
}

fn add_to<K: Ord + Clone>(map: &mut Map<K, Resources>, key: &K, resources: &Resources) {
    let sum = map.get(key).map_or_else(|| resources.clone(), |held| held.plus(resources));
    if !sum.is_empty() {
        map.insert_mut(key.clone(), sum);
    }
}

fn take_from<K: Ord + Clone>(map: &mut Map<K, Resources>, key: &K, resources: &Resources) {
    let Some(left) = map.get(key).map(|held| held.minus(resources)) else { return };
    if left.is_empty() {
        map.remove_mut(key);
    } else {
        map.insert_mut(key.clone(), left);
    }
}

impl Engine {
    pub(super) fn start_using(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        r: &Resources,
    ) {
        if let Some(agent) = edit(&mut self.state.agents, agent_id) {
            add_to(&mut agent.used, framework_id, r);
        }
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            add_to(&mut framework.used, agent_id, r);
        }
    }

    pub(super) fn stop_using(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        r: &Resources,
        out: &Out,
    ) {
        if let Some(agent) = edit(&mut self.state.agents, agent_id) {
            take_from(&mut agent.used, framework_id, r);
        }
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            take_from(&mut framework.used, agent_id, r);
        }
        self.freed((framework_id, agent_id), r, (Held::InUse, Declined::None), out);
    }

    /// Enters that what a framework uses has become something else.
    pub(super) fn used_otherwise(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        (before, after): (&Resources, &Resources),
    ) {
        if let Some(agent) = edit(&mut self.state.agents, agent_id) {
            take_from(&mut agent.used, framework_id, before);
            add_to(&mut agent.used, framework_id, after);
        }
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            take_from(&mut framework.used, agent_id, before);
            add_to(&mut framework.used, agent_id, after);
        }
    }

    /// What was offered and is not used is free again.
    pub(super) fn recover_resources(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refusal: Declined,
        out: &Out,
    ) {
        self.freed((framework_id, agent_id), resources, (Held::Offered, refusal), out);
    }

    fn freed(
        &mut self,
        (framework_id, agent_id): (&FrameworkId, &AgentId),
        resources: &Resources,
        (held, refusal): (Held, Declined),
        out: &Out,
    ) {
        if resources.is_empty() {
            return;
        }
        let event = allocator::Event::Recovered {
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            resources: resources.clone(),
            held,
            refusal,
        };
        self.allocator.handle(event, out.now.monotonic);
    }

    /// What was offered is in use from now on.
    pub(super) fn launched(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        out: &Out,
    ) {
        let event = allocator::Event::Launched {
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            resources: resources.clone(),
        };
        self.allocator.handle(event, out.now.monotonic);
    }

    pub(super) fn insert_task(&mut self, task: Task) {
        let (framework_id, agent_id) = (task.framework_id.clone(), task.agent_id.clone());
        if !is_terminal(task.state()) {
            self.start_using(&framework_id, &agent_id, &task.resources);
        }
        if let Some(agent) = edit(&mut self.state.agents, &agent_id) {
            agent.tasks.insert_mut((framework_id.clone(), task.id.clone()));
        }
        if let Some(framework) = edit(&mut self.state.frameworks, &framework_id) {
            let task = Arc::new(task);
            framework.tasks.insert_mut(task.id.clone(), Arc::clone(&task));
            let framework = Arc::clone(&framework.info);
            self.announce(Announcement::TaskAdded { task, framework });
        }
    }

    /// Strikes out the task; what it used is free.
    pub(super) fn take_task(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        out: &Out,
    ) -> Option<Arc<Task>> {
        let framework = edit(&mut self.state.frameworks, framework_id)?;
        let task = framework.tasks.get(task_id).cloned()?;
        framework.tasks.remove_mut(task_id);
        let key = (framework_id.clone(), task_id.clone());
        self.kills.remove(&key);
        if let Some(agent) = edit(&mut self.state.agents, &task.agent_id) {
            agent.tasks.remove_mut(&key);
        }
        self.maybe_drained(&task.agent_id);
        if !is_terminal(task.state()) {
            self.stop_using(framework_id, &task.agent_id, &task.resources, out);
        }
        Some(task)
    }

    /// Moves the task to the framework's ended ones.
    pub(super) fn complete_task(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        out: &Out,
    ) {
        if let Some(task) = self.take_task(framework_id, task_id, out) {
            self.archive(task);
        }
    }

    pub(super) fn archive(&mut self, task: Arc<Task>) {
        let limit = self.config.max_completed_tasks_per_framework;
        if let Some(framework) = edit(&mut self.state.frameworks, &task.framework_id) {
            framework.completed_tasks.push(task, limit);
        }
    }

    pub(super) fn archive_unreachable(&mut self, task: Arc<Task>) {
        let limit = self.config.max_unreachable_tasks_per_framework;
        if let Some(framework) = edit(&mut self.state.frameworks, &task.framework_id) {
            framework.unreachable_tasks.push(task, limit);
        }
    }

    /// Enters a status of a task. `latest` is the state that the task is in by now, perhaps later
    /// than the one in `status`. A task that has ended stays as it ended. A status with a UUID is
    /// one that is forwarded and to be acknowledged; the master's own have none.
    pub(super) fn record_status(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        status: &v1::TaskStatus,
        latest: TaskState,
        out: &Out,
    ) {
        let Some(framework) = edit(&mut self.state.frameworks, framework_id) else { return };
        let Some(task) = edit(&mut framework.tasks, task_id) else { return };
        let ended_before = is_terminal(task.state());
        let mut entry = status.clone();
        entry.data = None;
        let changed = !ended_before && task.state() != latest;
        task.change(|info| {
            match info.statuses.last_mut() {
                Some(last) if last.state == entry.state => *last = entry,
                _ => info.statuses.push(entry),
            }
            if info.statuses.len() > MAX_STATUSES {
                info.statuses.remove(0);
            }
            if !ended_before {
                info.set_state(latest);
            }
            if status.uuid.is_some() {
                info.status_update_state = Some(status.state);
                info.status_update_uuid.clone_from(&status.uuid);
            }
        });
        let ended = !ended_before && is_terminal(latest);
        let freed = ended.then(|| (task.agent_id.clone(), task.resources.clone()));
        if changed || is_check_result(status) {
            self.announce_update(framework_id, task_id, status);
        }
        if let Some((agent_id, resources)) = freed {
            self.stop_using(framework_id, &agent_id, &resources, out);
            let reason = (status.state() == latest).then_some(status.reason).flatten();
            self.count_ending(Some(framework_id), latest, status.source(), reason);
        }
    }

    fn announce_update(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        status: &v1::TaskStatus,
    ) {
        let Some(framework) = self.state.frameworks.get(framework_id) else { return };
        let Some(task) = framework.tasks.get(task_id).cloned() else { return };
        let framework = Arc::clone(&framework.info);
        let status = Box::new(v1::TaskStatus { data: None, ..status.clone() });
        self.announce(Announcement::TaskUpdated { task, framework, status });
    }

    /// Counts a task that ended.
    pub(super) fn count_ending(
        &mut self,
        framework_id: Option<&FrameworkId>,
        state: TaskState,
        source: Source,
        reason: Option<i32>,
    ) {
        let counter = match state {
            TaskState::TaskDropped => Counter::TasksDropped,
            TaskState::TaskError => Counter::TasksError,
            TaskState::TaskFailed => Counter::TasksFailed,
            TaskState::TaskFinished => Counter::TasksFinished,
            TaskState::TaskGone => Counter::TasksGone,
            TaskState::TaskGoneByOperator => Counter::TasksGoneByOperator,
            TaskState::TaskKilled => Counter::TasksKilled,
            TaskState::TaskLost => Counter::TasksLost,
            _ => return,
        };
        self.state.counters.count(counter);
        let reason = reason.and_then(|n| Reason::try_from(n).ok());
        self.state.counters.count_ending(Ending { state, source, reason });
        if let Some(framework) = framework_id.and_then(|id| edit(&mut self.state.frameworks, id)) {
            count_in(&mut framework.counters.terminal_tasks, state);
        }
    }

    pub(super) fn insert_executor(&mut self, executor: Executor) {
        let (framework_id, agent_id) = (executor.framework_id.clone(), executor.agent_id.clone());
        self.start_using(&framework_id, &agent_id, &executor.resources);
        let executor = Arc::new(executor);
        if let Some(agent) = edit(&mut self.state.agents, &agent_id) {
            let key = (framework_id.clone(), executor.id.clone());
            agent.executors.insert_mut(key, Arc::clone(&executor));
        }
        if let Some(framework) = edit(&mut self.state.frameworks, &framework_id) {
            framework.executors.insert_mut((agent_id, executor.id.clone()), executor);
        }
    }

    /// Strikes out executors of a framework that is not known.
    pub(super) fn drop_orphan_executors(&mut self, framework_id: &FrameworkId, out: &Out) {
        let used = |agent: &&Arc<Agent>| agent.used.contains_key(framework_id);
        let of = |agent: &Arc<Agent>| {
            let own = agent.executors.keys().filter(|(id, _)| id == framework_id);
            own.map(|(_, executor)| (agent.id.clone(), executor.clone())).collect::<Vec<_>>()
        };
        let orphans: Vec<_> = self.state.agents.values().filter(used).flat_map(of).collect();
        for (agent_id, executor_id) in orphans {
            self.remove_executor(framework_id, &agent_id, &executor_id, out);
        }
    }

    /// Strikes out the executor; what it used is free. Says whether there was one.
    pub(super) fn remove_executor(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        executor_id: &ExecutorId,
        out: &Out,
    ) -> bool {
        let Some(agent) = edit(&mut self.state.agents, agent_id) else { return false };
        let key = (framework_id.clone(), executor_id.clone());
        let Some(executor) = agent.executors.get(&key).cloned() else { return false };
        agent.executors.remove_mut(&key);
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            framework.executors.remove_mut(&(agent_id.clone(), executor_id.clone()));
        }
        self.stop_using(framework_id, agent_id, &executor.resources, out);
        true
    }
}
