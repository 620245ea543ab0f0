//! Running tasks: the checks and failure answers of `master-agent-protocol.md` §5, executors
//! launched, tasks queued until their executor takes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::id::{ContainerId, ExecutorId, FrameworkId, TaskId};
use tls_policy::Recognize;
use wire::internal::{
    ExitedExecutorMessage, ResourceVersionUuid, RunTaskGroupMessage, RunTaskMessage,
};
use wire::v1;
use wire::v1::TaskState;
use wire::v1::task_status::Reason;

use super::event::{Effect, ExecutorPlace, Record, RunPlace, Token};
use super::state::{Ending, Executor, ExecutorPhase, Framework, partition_aware};
use super::task::from_info;
use super::timers::Timer;
use super::tokens::digest;
use super::updates::AgentReport;
use super::{Engine, command_executor, environment, inventory, paths};
use crate::containerizer::{ExecutorSecrets, LaunchRequest, RunAs};
use crate::message::AgentMessage;
use crate::resource_format::upgrade;

/// Where a task goes.
enum Placement {
    /// To an executor that is here.
    Existing(ExecutorId),
    /// To one that is to be launched.
    New(Box<NewExecutor>),
}

struct NewExecutor {
    id: ExecutorId,
    info: v1::ExecutorInfo,
    generated: bool,
    run_as: RunAs,
}

/// Why a task does not run here, and what becomes of the master's idea of its executor.
struct Refused {
    report: AgentReport,
    /// An executor that the master does not expect here, to be ended.
    stray: Option<ExecutorId>,
}

impl From<AgentReport> for Refused {
    fn from(report: AgentReport) -> Self {
        Self { report, stray: None }
    }
}

pub(super) fn new_framework(
    id: FrameworkId,
    mut info: v1::FrameworkInfo,
    pid: String,
) -> Framework {
    info.id = Some(v1::FrameworkId { value: id.to_string() });
    Framework {
        id,
        info,
        pid,
        terminating: false,
        executors: BTreeMap::new(),
        completed_executors: VecDeque::new(),
    }
}

impl Engine {
    pub(super) fn run_task(&mut self, message: RunTaskMessage) {
        let RunTaskMessage {
            framework, task, resource_version_uuids, pid, launch_executor, ..
        } = message;
        let Some(framework_id) = framework.id.as_ref().and_then(|id| id.value.parse().ok()) else {
            return self.drop_message("Dropping a task of a framework without an id".to_owned());
        };
        let Ok(task_id) = task.task_id.value.parse::<TaskId>() else {
            let id = &task.task_id.value;
            return self.drop_message(format!("Dropping a task with an invalid id {id:?}"));
        };
        if let Err(why) = self.may_consider(&framework_id, &task_id, &task.agent_id) {
            return self.drop_message(format!(
                "Dropping task '{task_id}' of framework {framework_id}: {why}"
            ));
        }
        self.ensure_framework(&framework_id, framework, pid.unwrap_or_default());
        let task = upgrade(task);
        let generated = task.command.is_some();
        match self.place(&framework_id, &task, &resource_version_uuids, launch_executor) {
            Ok(Placement::Existing(executor)) => {
                self.queue_task(&framework_id, &executor, task);
                self.ask_for_resources(&framework_id, &executor);
            }
            Ok(Placement::New(new)) => {
                self.launch_executor(&framework_id, *new, task);
            }
            Err(refused) => {
                let text = format!(
                    "Task '{task_id}' of framework {framework_id} is refused: {}",
                    refused.report.message
                );
                self.warn(text);
                self.report_from_agent(&framework_id, None, &task_id, refused.report);
                let executor = task.executor.as_ref().map(|e| e.executor_id.clone());
                if let Some(stray) = refused.stray {
                    self.shutdown_executor(&framework_id, &stray);
                } else if let Some(executor) = executor
                    && launch_executor == Some(true)
                    && !generated
                {
                    self.executor_never_was(&framework_id, executor);
                }
                self.remove_framework_if_idle(&framework_id);
            }
        }
    }

    /// Task groups need an executor that runs them, which this agent does not have yet: every
    /// task of the group gets the answer that an invalid group gets.
    pub(super) fn run_task_group(&mut self, message: RunTaskGroupMessage) {
        let RunTaskGroupMessage { framework, executor, task_group, launch_executor, .. } = message;
        let report = AgentReport {
            state: TaskState::TaskError,
            reason: Reason::TaskGroupInvalid,
            message: "Task groups are not supported by this agent yet".to_owned(),
        };
        let executor = (launch_executor == Some(true)).then_some(executor);
        self.refuse_tasks(&framework, "@0.0.0.0:0", task_group.tasks, executor, &report);
    }

    /// Whether the message speaks of a task that could run here at all.
    pub(super) fn may_consider(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
        agent: &v1::AgentId,
    ) -> Result<(), &'static str> {
        if self.agent_id().is_none_or(|own| own.as_str() != agent.value) {
            return Err("it is meant for another agent");
        }
        if self.framework(framework).is_some_and(|f| f.terminating) {
            return Err("the framework is terminating");
        }
        let taken = self.streams.contains_key(&(framework.clone(), task.clone()))
            || self.framework(framework).is_some_and(|f| f.executor_of(task).is_some());
        if taken { Err("a task of this id is here already") } else { Ok(()) }
    }

    pub(super) fn ensure_framework(
        &mut self,
        id: &FrameworkId,
        info: v1::FrameworkInfo,
        pid: String,
    ) {
        // One that has no executors may be here only to carry the news that a task is unknown, and
        // is on no disk.
        if self.framework(id).is_some_and(|framework| !framework.executors.is_empty()) {
            return;
        }
        let framework = new_framework(id.clone(), info, pid);
        if framework.checkpoints()
            && let Some(agent) = self.agent_id().cloned()
        {
            let record = Record::Framework {
                agent,
                info: Box::new(framework.info.clone()),
                pid: framework.pid.clone(),
            };
            self.persist(record);
        }
        self.state.frameworks.entry(id.clone()).or_insert_with(|| Arc::new(framework));
    }

    /// All checks, in the original's order. Changes nothing.
    fn place(
        &self,
        framework_id: &FrameworkId,
        task: &v1::TaskInfo,
        versions: &[ResourceVersionUuid],
        launch: Option<bool>,
    ) -> Result<Placement, Refused> {
        let Some(framework) = self.framework(framework_id) else {
            return Err(dropped(false, Reason::InvalidFrameworkid, "Framework unknown").into());
        };
        let aware = partition_aware(&framework.info);
        let invalid = |message: &str| -> Refused {
            AgentReport {
                state: TaskState::TaskError,
                reason: Reason::TaskInvalid,
                message: message.to_owned(),
            }
            .into()
        };
        let (executor_id, generated) = match (&task.command, &task.executor) {
            (Some(_), None) => (task.task_id.value.parse::<ExecutorId>(), true),
            (None, Some(executor)) => (executor.executor_id.value.parse(), false),
            (Some(_), Some(_)) | (None, None) => {
                return Err(invalid(
                    "Task should have at least one (but not both) of CommandInfo or ExecutorInfo \
                     present",
                ));
            }
        };
        let executor_id = executor_id
            .map_err(|e| invalid(&format!("Executor of the task has an invalid id: {e}")))?;
        if !task.limits.is_empty() {
            return Err(dropped(
                aware,
                Reason::GcError,
                "Resource limits are not supported by this agent's isolation",
            )
            .into());
        }
        if self.state.drain.is_some() {
            return Err(dropped(aware, Reason::AgentDraining, "Agent is draining").into());
        }
        let own = self.resource_version.to_wire();
        let stale =
            |v: &ResourceVersionUuid| v.resource_provider_id.is_none() && v.uuid.value != own;
        if versions.iter().any(stale) {
            return Err(dropped(
                aware,
                Reason::InvalidOffers,
                "Task assumes outdated resource state",
            )
            .into());
        }
        let executor_resources = task.executor.iter().flat_map(|e| &e.resources);
        if self.inventory.unknown(task.resources.iter().chain(executor_resources)).is_some() {
            return Err(dropped(
                aware,
                Reason::ResourcesUnknown,
                "The checkpointed resources being used by the task or task group are unknown to \
                 the agent",
            )
            .into());
        }
        match framework.executors.get(&executor_id) {
            Some(_) if generated => Err(dropped(
                aware,
                Reason::TaskInvalid,
                "Cannot reuse an already existing executor for a command task",
            )
            .into()),
            Some(executor) if launch == Some(true) => {
                let over = executor.phase == ExecutorPhase::Terminated;
                Err(Refused {
                    report: dropped(
                        aware,
                        Reason::ExecutorTerminated,
                        "Master wants to launch executor, but one already exists",
                    ),
                    stray: (!over).then(|| executor_id.clone()),
                })
            }
            Some(executor) => match executor.phase {
                ExecutorPhase::Registering | ExecutorPhase::Running => {
                    Ok(Placement::Existing(executor_id))
                }
                ExecutorPhase::Terminated | ExecutorPhase::Terminating => {
                    let text = format!("Executor '{executor_id}' is ending or has ended");
                    Err(dropped(aware, Reason::ExecutorTerminated, &text).into())
                }
            },
            None if launch == Some(false) => Err(dropped(
                aware,
                Reason::ExecutorTerminated,
                "Master expects an existing executor, but none exists",
            )
            .into()),
            None => self
                .new_executor(framework, task, executor_id, generated)
                .map(|new| Placement::New(Box::new(new)))
                .map_err(Into::into),
        }
    }

    fn new_executor(
        &self,
        framework: &Framework,
        task: &v1::TaskInfo,
        id: ExecutorId,
        generated: bool,
    ) -> Result<NewExecutor, AgentReport> {
        let invalid = |message: String| AgentReport {
            state: TaskState::TaskError,
            reason: Reason::TaskInvalid,
            message,
        };
        let mut info = match (&task.executor, &task.command) {
            (Some(executor), _) => executor.clone(),
            (None, Some(command)) => command_executor::synthesize(
                task,
                command,
                &framework.info,
                &self.rules.command_executor,
            ),
            (None, None) => return Err(invalid("Task has no command".to_owned())),
        };
        info.framework_id = Some(v1::FrameworkId { value: framework.id.to_string() });
        let Some(command) = &info.command else {
            return Err(invalid(format!(
                "Executor '{id}' has no command, and this agent has no default executor yet"
            )));
        };
        let named = command.user.as_deref().unwrap_or(&framework.info.user);
        let run_as = self.rules.task_users.decide(named).map_err(|e| AgentReport {
            state: TaskState::TaskError,
            reason: Reason::TaskUnauthorized,
            message: e.to_string(),
        })?;
        Ok(NewExecutor { id, info, generated, run_as })
    }

    /// Records the executor, its run and its first task, then launches it.
    fn launch_executor(
        &mut self,
        framework_id: &FrameworkId,
        new: NewExecutor,
        task: v1::TaskInfo,
    ) {
        let Some(agent) = self.agent_id().cloned() else { return };
        let Ok(container) = self.fresh_uuid().to_string().parse::<ContainerId>() else { return };
        let Some(framework) = self.framework(framework_id) else { return };
        let framework_info = framework.info.clone();
        let checkpointed = framework.checkpoints();
        let place = RunPlace {
            executor: ExecutorPlace {
                agent: agent.clone(),
                framework: framework_id.clone(),
                executor: new.id.clone(),
            },
            container: container.clone(),
        };
        let sandbox = paths::sandbox(&self.rules.work_dir, &place);
        // In plaintext a framework's own executor finds its standard input as in the original.
        let trust = self
            .rules
            .executor_trust
            .clone()
            .filter(|trust| new.generated || !matches!(trust.recognize, Recognize::Plaintext));
        // Where tokens can be verified by others each has one, whether it is asked for it or not.
        let foreign = !new.generated && self.rules.tokens.issuer.is_some();
        let bearer = (trust.is_some() || foreign)
            .then(|| self.make_token(framework_id, &new.id, &container, new.generated));
        let token = bearer.as_ref().map(|bearer| digest(bearer.expose()));
        let lifetime = self.token_lifetime();
        let secrets = bearer.clone().zip(trust).map(|(token, trust)| ExecutorSecrets {
            token,
            lifetime,
            trust,
        });
        let environment_token = bearer.filter(|_| foreign);
        if checkpointed {
            self.persist(Record::Executor {
                place: place.executor.clone(),
                info: Box::new(new.info.clone()),
                generated: new.generated,
            });
            self.persist(Record::Run { place: place.clone(), token });
        }
        if let Some(token) = token {
            self.enter_token(token, container.clone(), new.generated);
        }
        self.containers.insert(container.clone(), (framework_id.clone(), new.id.clone()));
        let grace = self.grace_period(&new.info);
        let variables =
            environment::build(&self.rules, &agent, &framework_info, &new.info, grace, &sandbox);
        let executor = Executor {
            id: new.id.clone(),
            info: new.info.clone(),
            generated: new.generated,
            container: container.clone(),
            sandbox: sandbox.clone(),
            checkpointed,
            phase: ExecutorPhase::Registering,
            pid: None,
            token,
            next_token: None,
            token_made: Some(self.now.monotonic),
            libprocess: None,
            unreachable: false,
            connection: None,
            http_recorded: false,
            queued: Vec::new(),
            unconfirmed: BTreeMap::new(),
            kills: BTreeMap::new(),
            launched: BTreeMap::new(),
            terminated: BTreeMap::new(),
            completed: VecDeque::new(),
            ending: None,
            destroyed: false,
        };
        if let Some(framework) = self.framework_mut(framework_id) {
            framework.executors.insert(new.id.clone(), Arc::new(executor));
        }
        let written = self.queue_task(framework_id, &new.id, task);
        let environment = match variables {
            Ok(environment) => environment,
            Err(secret) => return self.launch_failed(&container, &secret.to_string()),
        };
        let resources =
            self.executor(framework_id, &new.id).map(Executor::allocated).unwrap_or_default();
        self.info_log(format!(
            "Launching container {container} for executor '{}' of framework {framework_id}",
            new.id
        ));
        self.out.push(Effect::Launch {
            request: Box::new(LaunchRequest {
                container_id: container.clone(),
                framework_id: framework_id.clone(),
                executor_id: new.id.clone(),
                command: new.info.command.unwrap_or_default(),
                container: new.info.container,
                volumes: inventory::volume_links(&self.rules.work_dir, &resources),
                resources,
                environment,
                run_as: new.run_as,
                sandbox,
                secrets,
                environment_token,
                pid_checkpoint: checkpointed
                    .then(|| paths::forked_pid(&self.rules.work_dir, &place)),
            }),
            after: written,
        });
        self.timers.set(
            Timer::Registration(framework_id.clone(), new.id, container),
            self.now.monotonic + self.rules.executor_registration_timeout,
        );
    }

    /// Records the task and lets it wait for its executor.
    fn queue_task(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        task: v1::TaskInfo,
    ) -> Option<Token> {
        let place = self
            .executor(framework, executor)
            .filter(|e| e.checkpointed)
            .and_then(|e| self.run_place(framework, e));
        let framework_id = v1::FrameworkId { value: framework.to_string() };
        let written = place.map(|place| {
            self.persist(Record::Task { place, task: Box::new(from_info(&task, &framework_id)) })
        });
        if let Some(executor) = self.executor_mut(framework, executor) {
            executor.queued.push(Arc::new(task));
        }
        written
    }

    /// Gives the container what its executor and tasks may use; the queued tasks go out when
    /// that has happened.
    pub(super) fn ask_for_resources(&mut self, framework: &FrameworkId, executor: &ExecutorId) {
        let Some(executor) = self.executor(framework, executor) else { return };
        if executor.phase != ExecutorPhase::Running {
            return;
        }
        let effect = Effect::UpdateContainer {
            container: executor.container.clone(),
            resources: executor.allocated(),
            volumes: inventory::volume_links(&self.rules.work_dir, &executor.allocated()),
        };
        self.out.push(effect);
    }

    pub(super) fn launched(&mut self, container: &ContainerId, pid: u32) {
        let Some((framework, executor)) = self.containers.get(container).cloned() else {
            // It was given up meanwhile: nothing may keep running that nobody knows.
            self.out.push(Effect::Destroy(container.clone()));
            return;
        };
        self.out.push(Effect::Watch(container.clone()));
        if let Some(executor) = self.executor_mut(&framework, &executor) {
            executor.pid = Some(pid);
            if executor.destroyed {
                self.out.push(Effect::Destroy(container.clone()));
            }
        }
    }

    pub(super) fn launch_failed(&mut self, container: &ContainerId, message: &str) {
        self.state.counters.container_launch_errors += 1;
        let Some((framework, executor)) = self.containers.get(container).cloned() else { return };
        self.warn(format!(
            "Container {container} of executor '{executor}' of framework {framework} did not \
             start: {message}"
        ));
        if let Some(executor) = self.executor_mut(&framework, &executor)
            && executor.ending.is_none()
        {
            executor.ending = Some(Ending {
                state: TaskState::TaskFailed,
                reason: Reason::ContainerLaunchFailed,
                message: format!("Failed to launch container: {message}"),
            });
        }
        self.container_terminated(container, crate::containerizer::Termination::default());
    }

    /// So that the master forgets an executor that it believes to be here.
    pub(super) fn executor_never_was(
        &mut self,
        framework: &FrameworkId,
        executor_id: v1::ExecutorId,
    ) {
        let Some(slave_id) = self.info.id.clone() else { return };
        let message = ExitedExecutorMessage {
            slave_id,
            framework_id: v1::FrameworkId { value: framework.to_string() },
            executor_id,
            status: -1,
        };
        self.send(AgentMessage::ExitedExecutor(Box::new(message)), None);
    }

    /// How long the executor may take to end.
    pub(super) fn grace_period(&self, info: &v1::ExecutorInfo) -> Duration {
        info.shutdown_grace_period
            .as_ref()
            .and_then(|d| u64::try_from(d.nanoseconds).ok())
            .map_or(self.rules.executor_shutdown_grace_period, Duration::from_nanos)
    }
}

/// What a task gets that was not run for a reason that is not its own.
pub(super) fn dropped(partition_aware: bool, reason: Reason, message: &str) -> AgentReport {
    AgentReport {
        state: if partition_aware { TaskState::TaskDropped } else { TaskState::TaskLost },
        reason,
        message: message.to_owned(),
    }
}
