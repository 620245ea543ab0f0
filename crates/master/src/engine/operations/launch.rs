//! LAUNCH and LAUNCH_GROUP.

use model::id::FrameworkId;
use wire::resources::write;
use wire::v1::TaskState;
use wire::v1::offer::operation::{LaunchGroup, Type};
use wire::v1::task_status::Reason;
use wire::{internal, v1};

use super::super::Engine;
use super::super::collections::edit;
use super::super::counters::count_in;
use super::super::frameworks::pid_text;
use super::super::message::Outbound;
use super::super::out::Out;
use super::super::state::{Agent, Executor, Framework};
use super::super::tasks::created;
use super::super::validate::check::infer_type;
use super::super::validate::executor::{self, LaunchExecutor};
use super::super::validate::group;
use super::super::validate::task::{self as validate, Launch, Place};
use super::accept::Hand;
use super::{form, resource_versions};

/// The most characters of the reason why a group is not launched.
const MAX_REASON: usize = 4096;

/// Fills in what schedulers may leave out of launches.
pub(super) fn fill_in(operation: &mut v1::offer::Operation, framework_id: &FrameworkId) {
    for task in operation.launch.iter_mut().flat_map(|launch| &mut launch.task_infos) {
        if let Some(executor) = &mut task.executor {
            executor
                .framework_id
                .get_or_insert_with(|| v1::FrameworkId { value: framework_id.to_string() });
        }
        if let Some(check) = &mut task.health_check {
            infer_type(check);
        }
    }
}

impl Engine {
    /// Launches a task out of what the framework has in hand. A task that cannot be launched ends
    /// in TASK_ERROR.
    pub(super) fn launch(&mut self, hand: &mut Hand, task: v1::TaskInfo, out: &mut Out) {
        let (Some(framework), Some(agent)) = (
            self.state.frameworks.get(&hand.framework_id).cloned(),
            self.state.agents.get(&hand.agent_id).cloned(),
        ) else {
            return;
        };
        let available = hand.available();
        let place = Place { framework: &framework, agent: &agent, available: &available };
        let launch = match validate::launch(&task, place) {
            Ok(launch) => launch,
            Err(reason) => {
                let refused = (TaskState::TaskError, Reason::TaskInvalid, reason.as_str());
                return self.refuse_task(&hand.framework_id, &task, refused, out);
            }
        };
        if let Some(executor) = &launch.executor
            && let Err(warning) = executor::minimum(executor)
        {
            out.warn(format!("{warning}; its task is launched all the same"));
        }
        let consumed = launch.consumed();
        // More copies of a shared volume than were offered: there is no end of them.
        let further = consumed.shared().minus(&hand.left.shared());
        if !further.is_empty() {
            let event = allocator::Event::Used {
                framework_id: framework.id.clone(),
                agent_id: agent.id.clone(),
                resources: further.clone(),
            };
            self.allocator.handle(event, out.now.monotonic);
        }
        hand.left.subtract_all(&consumed);
        self.launched(&framework.id, &agent.id, &consumed.minus(&further), out);
        self.run(&framework, &agent, task, launch, out);
        self.count_operation(&framework.id, Type::Launch);
    }

    fn count_operation(&mut self, framework_id: &FrameworkId, kind: Type) {
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            count_in(&mut framework.counters.operations, kind);
        }
    }

    fn run(
        &mut self,
        framework: &Framework,
        agent: &Agent,
        mut task: v1::TaskInfo,
        launch: Launch,
        out: &mut Out,
    ) {
        let known = created(&task, framework, agent, (launch.task_id, launch.resources));
        task.resources = write(&known.resources, form(agent));
        let mut launch_executor = true;
        if let Some(executor) = launch.executor {
            launch_executor = !executor.running;
            task.executor = Some(self.start_executor(executor, framework, agent));
        }
        out.info(format!("Launching task {} of framework {}", known.id, framework.id));
        self.insert_task(known);
        #[expect(deprecated, reason = "one deprecated field stays unset")]
        let message = internal::RunTaskMessage {
            framework_id: None,
            framework: framework.info.as_ref().clone(),
            task,
            resource_version_uuids: resource_versions(agent),
            pid: Some(pid_text(framework)),
            launch_executor: Some(launch_executor),
        };
        out.send(&agent.peer, Outbound::RunTask(message));
    }

    /// Enters an executor unless it runs already, and returns it as the agent is to see it.
    fn start_executor(
        &mut self,
        executor: LaunchExecutor,
        framework: &Framework,
        agent: &Agent,
    ) -> v1::ExecutorInfo {
        let mut info = executor.info.clone();
        info.resources = write(&executor.resources, form(agent));
        if !executor.running {
            self.insert_executor(Executor {
                id: executor.id,
                framework_id: framework.id.clone(),
                agent_id: agent.id.clone(),
                info: executor.info,
                resources: executor.resources,
            });
        }
        info
    }

    /// Launches all tasks of a group, or none of them.
    pub(super) fn launch_group(&mut self, hand: &mut Hand, launch: LaunchGroup, out: &mut Out) {
        let (Some(framework), Some(agent)) = (
            self.state.frameworks.get(&hand.framework_id).cloned(),
            self.state.agents.get(&hand.agent_id).cloned(),
        ) else {
            return;
        };
        let LaunchGroup { executor, task_group } = launch;
        let mut tasks = task_group.tasks;
        let place = Place { framework: &framework, agent: &agent, available: &hand.left };
        let group = match group::launch(&tasks, &executor, place) {
            Ok(group) => group,
            Err(reason) => {
                // Each task is told: what the reason quotes must not be there once per task.
                let reason: String = reason.chars().take(MAX_REASON).collect();
                let refused = (TaskState::TaskError, Reason::TaskGroupInvalid, reason.as_str());
                for task in &tasks {
                    self.refuse_task(&framework.id, task, refused, out);
                }
                return;
            }
        };
        let consumed = group.consumed();
        hand.left.subtract_all(&consumed);
        self.launched(&framework.id, &agent.id, &consumed, out);
        let launch_executor = !group.executor.running;
        out.info(format!(
            "Launching a group of {} tasks of framework {}",
            tasks.len(),
            framework.id
        ));
        let executor = self.start_executor(group.executor, &framework, &agent);
        for (task, checked) in tasks.iter_mut().zip(group.tasks) {
            task.executor = Some(executor.clone());
            let known = created(task, &framework, &agent, checked);
            task.resources = write(&known.resources, form(&agent));
            self.insert_task(known);
        }
        let message = internal::RunTaskGroupMessage {
            framework: framework.info.as_ref().clone(),
            executor,
            task_group: v1::TaskGroupInfo { tasks },
            resource_version_uuids: resource_versions(&agent),
            launch_executor: Some(launch_executor),
        };
        out.send(&agent.peer, Outbound::RunTaskGroup(message));
        self.count_operation(&framework.id, Type::LaunchGroup);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_may_leave_out_what_follows() {
        let framework_id = FrameworkId::new("f").unwrap();
        let mut operation = v1::offer::Operation::default();
        let task = v1::TaskInfo { executor: Some(Default::default()), ..Default::default() };
        operation.launch = Some(v1::offer::operation::Launch { task_infos: vec![task] });
        fill_in(&mut operation, &framework_id);
        let task = operation.launch.unwrap().task_infos.remove(0);
        assert_eq!(task.executor.unwrap().framework_id.unwrap().value, "f");
    }
}
