//! Telling executors, whichever protocol they speak.

use model::id::{ContainerId, TaskId};
use wire::internal::{
    FrameworkToExecutorMessage, KillTaskMessage, RunTaskMessage, ShutdownExecutorMessage,
    StatusUpdateAcknowledgementMessage,
};
use wire::v1::executor::{self, event};
use wire::v1::{self, KillPolicy, TaskInfo};

use super::Engine;
use super::event::{Data, Effect, Token};
use super::state::Line;
use super::stream::UpdateId;
use crate::message::ToExecutor;

/// What an executor is told.
#[derive(Clone, Debug)]
pub(super) enum Notice {
    /// The agent has an update.
    Acknowledged { task: TaskId, update: UpdateId },
    /// End a task.
    Kill { task: TaskId, policy: Option<KillPolicy> },
    /// Run a task.
    Launch(Box<TaskInfo>),
    /// Bytes from the scheduler.
    Message(Data),
    /// End.
    Shutdown,
}

impl Engine {
    /// Tells the executor of a container, not before `after` is durable.
    pub(super) fn notify(
        &mut self,
        container: &ContainerId,
        line: &Line,
        notice: Notice,
        after: Option<Token>,
    ) {
        match line {
            Line::Stream(connection) => {
                let event = Box::new(as_event(notice));
                self.out.push(Effect::Tell { connection: *connection, event, after });
            }
            Line::Messages(to) => {
                let Some(message) = self.as_message(container, notice) else { return };
                let (to, message) = (to.clone(), Box::new(message));
                self.out.push(Effect::SendExecutor { to, message, after });
            }
        }
    }

    fn as_message(&self, container: &ContainerId, notice: Notice) -> Option<ToExecutor> {
        let (framework, executor) = self.containers.get(container)?;
        let framework_id = v1::FrameworkId { value: framework.to_string() };
        let executor_id = v1::ExecutorId { value: executor.to_string() };
        let slave_id = self.info.id.clone()?;
        Some(match notice {
            Notice::Acknowledged { task, update } => ToExecutor::StatusUpdateAcknowledgement(
                Box::new(StatusUpdateAcknowledgementMessage {
                    slave_id,
                    framework_id,
                    task_id: v1::TaskId { value: task.to_string() },
                    uuid: update.to_wire(),
                }),
            ),
            Notice::Kill { task, policy } => ToExecutor::KillTask(Box::new(KillTaskMessage {
                framework_id,
                task_id: v1::TaskId { value: task.to_string() },
                kill_policy: policy,
            })),
            Notice::Launch(task) => {
                let known = self.framework(framework)?;
                #[expect(deprecated, reason = "the message still has the field")]
                ToExecutor::RunTask(Box::new(RunTaskMessage {
                    framework_id: None,
                    framework: known.info.clone(),
                    task: *task,
                    resource_version_uuids: Vec::new(),
                    pid: Some(known.pid.clone()),
                    launch_executor: None,
                }))
            }
            Notice::Message(data) => {
                ToExecutor::FrameworkToExecutor(Box::new(FrameworkToExecutorMessage {
                    slave_id,
                    framework_id,
                    executor_id,
                    data,
                }))
            }
            Notice::Shutdown => ToExecutor::Shutdown(Box::new(ShutdownExecutorMessage {
                executor_id: None,
                framework_id: None,
            })),
        })
    }
}

fn as_event(notice: Notice) -> executor::Event {
    let of = |kind: event::Type, event: executor::Event| executor::Event {
        r#type: Some(kind.into()),
        ..event
    };
    let none = executor::Event::default;
    match notice {
        Notice::Acknowledged { task, update } => {
            let acknowledged = event::Acknowledged {
                task_id: v1::TaskId { value: task.to_string() },
                uuid: update.to_wire(),
            };
            let event = executor::Event { acknowledged: Some(acknowledged), ..none() };
            of(event::Type::Acknowledged, event)
        }
        Notice::Kill { task, policy } => {
            let task_id = v1::TaskId { value: task.to_string() };
            let kill = event::Kill { task_id, kill_policy: policy };
            of(event::Type::Kill, executor::Event { kill: Some(kill), ..none() })
        }
        Notice::Launch(task) => {
            let launch = event::Launch { task: *task };
            of(event::Type::Launch, executor::Event { launch: Some(launch), ..none() })
        }
        Notice::Message(data) => {
            let message = event::Message { data };
            of(event::Type::Message, executor::Event { message: Some(message), ..none() })
        }
        Notice::Shutdown => of(event::Type::Shutdown, none()),
    }
}
