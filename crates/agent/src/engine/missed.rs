//! What was sent before the agent knew that it is registered.
//!
//! The master lists an agent as soon as its registration is on record, launches tasks there and
//! changes its resources. If its word for it is lost, because it came before the agent knew who leads,
//! all this comes to an agent that has no id. It is told again and never asked what it has: whoever
//! registers for the first time has nothing.
//!
//! Operations are applied when it knows: the resources are what they were when it stated them. Tasks
//! are given up, since somebody may have wished to kill them meanwhile.

use model::id::TaskId;
use wire::v1;
use wire::v1::task_status::Reason;

use super::Engine;
use super::launch::dropped;
use super::state::partition_aware;
use super::updates::AgentReport;
use crate::message::MasterMessage;

/// How many messages are remembered. The master sends none to an agent whose pings are not answered.
const MOST: usize = 1_000;

impl Engine {
    /// Remembers a launch or an operation that comes before the first registration.
    pub(super) fn miss(&mut self, message: MasterMessage) {
        let counts = matches!(
            message,
            MasterMessage::RunTask(_)
                | MasterMessage::RunTaskGroup(_)
                | MasterMessage::ApplyOperation(_)
                | MasterMessage::CheckpointResources(_)
        );
        if counts && self.state.id.is_none() && self.missed.len() < MOST {
            self.missed.push(message);
        }
    }

    /// Does what was missed, or says that it is not done.
    pub(super) fn make_up(&mut self) {
        for message in std::mem::take(&mut self.missed) {
            match message {
                MasterMessage::RunTask(m) => {
                    let executor = m.task.executor.clone();
                    let executor = executor.filter(|_| m.launch_executor == Some(true));
                    self.give_up(m.framework, m.pid, vec![m.task], executor);
                }
                MasterMessage::RunTaskGroup(m) => {
                    let executor = (m.launch_executor == Some(true)).then_some(m.executor);
                    self.give_up(m.framework, None, m.task_group.tasks, executor);
                }
                MasterMessage::ApplyOperation(m) => self.apply_operation(*m),
                MasterMessage::CheckpointResources(m) => self.checkpoint_resources(&m),
                // Nothing else is missed.
                _ => {}
            }
        }
    }

    fn give_up(
        &mut self,
        framework: v1::FrameworkInfo,
        pid: Option<String>,
        tasks: Vec<v1::TaskInfo>,
        executor: Option<v1::ExecutorInfo>,
    ) {
        let message = "The agent did not know yet that it was registered";
        let aware = partition_aware(&framework);
        let report = dropped(aware, Reason::AgentDisconnected, message);
        self.refuse_tasks(&framework, &pid.unwrap_or_default(), tasks, executor, &report);
    }

    /// Reports each of the tasks that could run here at all, and that `executor` is not there, which
    /// the master expects to be launched with them.
    pub(super) fn refuse_tasks(
        &mut self,
        framework: &v1::FrameworkInfo,
        pid: &str,
        tasks: Vec<v1::TaskInfo>,
        executor: Option<v1::ExecutorInfo>,
        report: &AgentReport,
    ) {
        let Some(framework_id) = framework.id.as_ref().and_then(|id| id.value.parse().ok()) else {
            return self.drop_message("Dropping tasks of a framework without an id".to_owned());
        };
        for task in tasks {
            let Ok(task_id) = task.task_id.value.parse::<TaskId>() else {
                let id = &task.task_id.value;
                self.drop_message(format!("Dropping a task with an invalid id {id:?}"));
                continue;
            };
            if let Err(why) = self.may_consider(&framework_id, &task_id, &task.agent_id) {
                self.drop_message(format!(
                    "Dropping task '{task_id}' of framework {framework_id}: {why}"
                ));
                continue;
            }
            self.ensure_framework(&framework_id, framework.clone(), pid.to_owned());
            self.report_from_agent(&framework_id, None, &task_id, report.clone());
        }
        if let Some(executor) = executor {
            self.executor_never_was(&framework_id, executor.executor_id);
        }
        self.remove_framework_if_idle(&framework_id);
    }
}
