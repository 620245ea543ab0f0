//! Getting a master, keeping it, getting it back (`master-agent-protocol.md` §3, §4).

use std::time::Duration;

use libprocess::upid::Upid;
use model::id::{AgentId, ExecutorId, FrameworkId, TaskId};
use wire::internal::{
    ReconcileTasksMessage, RegisterSlaveMessage, ReregisterSlaveMessage, SlaveRegisteredMessage,
    SlaveReregisteredMessage, UpdateSlaveMessage, archive, update_slave_message,
};
use wire::v1;
use wire::v1::agent_info::{Capability, capability};
use wire::v1::task_status::Reason;

use super::event::{Effect, Exit, Record};
use super::rules::VERSION;
use super::state::{ExecutorPhase, Framework};
use super::task::from_info;
use super::timers::Timer;
use super::{Engine, Phase, stream};
use crate::message::AgentMessage;
use crate::resource_format::downgrade;

/// How long a master may be silent if it does not say.
pub(super) const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(75);
/// What a master may ask for at most; a longer silence is not waited for.
const MAX_PING_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// No retry waits longer.
const REGISTER_RETRY_MAX: Duration = Duration::from_secs(60);

/// Why a running agent registers again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    BooksDiffer,
    LinkBroke,
    MasterThinksDisconnected,
    NoPings,
}

/// What an agent of this family can do, in the order in which it says so.
#[must_use]
pub fn capabilities() -> Vec<Capability> {
    use capability::Type;
    [
        Type::MultiRole,
        Type::HierarchicalRole,
        Type::ReservationRefinement,
        Type::ResourceProvider,
        Type::ResizeVolume,
        Type::AgentOperationFeedback,
        Type::AgentDraining,
        Type::TaskResourceLimits,
    ]
    .map(|kind| Capability { r#type: Some(kind.into()) })
    .to_vec()
}

impl Engine {
    pub(super) fn master_detected(&mut self, master: Option<Upid>) {
        self.state.master = master;
        self.forget_session();
        match self.phase {
            Phase::Recovering | Phase::Terminating { .. } => {}
            Phase::Disconnected { .. } | Phase::Running => self.begin_registration(),
        }
    }

    /// Waits a random while, so that not all agents come at once, and registers.
    pub(super) fn begin_registration(&mut self) {
        self.phase = Phase::Disconnected { attempts: 0 };
        self.timers.cancel(&Timer::Ping);
        self.pause_streams();
        match &self.state.master {
            Some(master) => {
                let text = format!("New master detected at {master}");
                self.info_log(text);
                let wait = self.random_part(self.rules.registration_backoff);
                self.timers.set(Timer::Register, self.now.monotonic + wait);
            }
            None => {
                self.timers.cancel(&Timer::Register);
                self.warn("There is no leading master; waiting for one".to_owned());
            }
        }
    }

    pub(super) fn register_due(&mut self) {
        let Some(master) = self.state.master.clone() else { return };
        if !matches!(self.phase, Phase::Disconnected { .. }) || self.must_authenticate(&master) {
            return;
        }
        let Phase::Disconnected { attempts } = &mut self.phase else { return };
        *attempts = attempts.saturating_add(1);
        // Beyond this the doubled wait is longer than the longest one anyway.
        let exponent = (*attempts).min(16);
        // The connection of the exchange is the one that counts, if there was an exchange.
        if self.session.is_none() {
            self.out.push(Effect::Link(master.clone()));
        }
        let message = if self.state.id.is_some() {
            self.listed.extend(self.live_executors());
            AgentMessage::Reregister(Box::new(self.reregister_message()))
        } else {
            AgentMessage::Register(Box::new(RegisterSlaveMessage {
                slave: downgrade(self.info.clone()),
                checkpointed_resources: self.checkpointed_resources(),
                version: Some(VERSION.to_owned()),
                agent_capabilities: capabilities(),
                resource_version_uuid: Some(self.resource_version_uuid()),
            }))
        };
        self.send_to(master, message, None);
        let longest = self.rules.registration_backoff.saturating_mul(1 << exponent);
        let wait = self.random_part(longest.min(REGISTER_RETRY_MAX));
        self.timers.set(Timer::Register, self.now.monotonic + wait);
    }

    pub(super) fn resource_version_uuid(&self) -> v1::Uuid {
        v1::Uuid { value: self.resource_version.to_wire() }
    }

    /// The executors that a master is told of.
    fn live_executors(&self) -> Vec<(FrameworkId, ExecutorId)> {
        let executors = self.state.frameworks.values().flat_map(|framework| {
            framework.executors.values().map(move |executor| (framework, executor))
        });
        executors
            .filter(|(_, e)| !e.generated && e.phase != ExecutorPhase::Terminated)
            .map(|(framework, executor)| (framework.id.clone(), executor.id.clone()))
            .collect()
    }

    /// The master has heard of executors that ended before it took the agent back, and dropped
    /// the news of their end, if any reached it: they would use their resources for ever.
    fn report_ended_meanwhile(&mut self) {
        let live = self.live_executors();
        for (framework, executor) in std::mem::take(&mut self.listed) {
            if !live.contains(&(framework.clone(), executor.clone())) {
                self.exited_executor(&framework, &executor, -1);
            }
        }
    }

    fn reregister_message(&self) -> ReregisterSlaveMessage {
        let mut executor_infos = Vec::new();
        let mut tasks = Vec::new();
        for framework in self.state.frameworks.values() {
            let id = v1::FrameworkId { value: framework.id.to_string() };
            for executor in framework.executors.values() {
                if !executor.generated && executor.phase != ExecutorPhase::Terminated {
                    let mut info = executor.info.clone();
                    info.framework_id = Some(id.clone());
                    executor_infos.push(info);
                }
                tasks.extend(executor.queued.iter().map(|info| from_info(info, &id)));
                let known = executor.launched.values().chain(executor.terminated.values());
                tasks.extend(known.map(|task| (**task).clone()));
            }
        }
        let frameworks = self.state.frameworks.values().map(|f| f.info.clone()).collect();
        ReregisterSlaveMessage {
            slave: downgrade(self.info.clone()),
            checkpointed_resources: self.checkpointed_resources(),
            executor_infos: downgrade(executor_infos),
            tasks: downgrade(tasks),
            frameworks,
            completed_frameworks: self
                .state
                .completed_frameworks
                .iter()
                .map(|framework| archived(framework))
                .collect(),
            version: Some(VERSION.to_owned()),
            agent_capabilities: capabilities(),
            resource_version_uuid: Some(self.resource_version_uuid()),
        }
    }

    pub(super) fn registered(&mut self, message: SlaveRegisteredMessage) {
        let Ok(id) = message.slave_id.value.parse::<AgentId>() else {
            return self.drop_message("Dropping a registration without a valid id".to_owned());
        };
        match &self.state.id {
            Some(own) if *own != id => {
                return self
                    .fail(format!("Registered as agent {id}, but this agent's id is {own}"));
            }
            Some(_) if matches!(self.phase, Phase::Running) => {
                return self.info_log(format!("Already registered as agent {id}"));
            }
            _ => {}
        }
        let master = self.state.master.as_ref().map(ToString::to_string).unwrap_or_default();
        self.info_log(format!("Registered with master {master}; given agent ID {id}"));
        self.info.id = Some(message.slave_id);
        self.state.id = Some(id);
        let record = Record::Agent(Box::new(self.info.clone()));
        self.persist(record);
        self.run(message.connection.as_ref());
        self.make_up();
    }

    pub(super) fn reregistered(&mut self, message: SlaveReregisteredMessage) {
        let own = self.state.id.as_ref().map_or("", AgentId::as_str);
        if own != message.slave_id.value {
            return self.fail(format!(
                "Registered again as agent '{}', but this agent's id is '{own}'",
                message.slave_id.value
            ));
        }
        if matches!(self.phase, Phase::Running) {
            self.info_log("Already registered again".to_owned());
        } else {
            let master = self.state.master.as_ref().map(ToString::to_string).unwrap_or_default();
            self.info_log(format!("Re-registered with master {master} as agent {own}"));
            self.run(message.connection.as_ref());
        }
        for reconciliation in message.reconciliations {
            self.reconcile(reconciliation);
        }
    }

    /// The master has the agent: tell it what there is, then what was not acknowledged.
    fn run(&mut self, connection: Option<&wire::internal::MasterSlaveConnection>) {
        self.phase = Phase::Running;
        self.timers.cancel(&Timer::Register);
        let seconds = connection.and_then(|c| c.total_ping_timeout_seconds);
        self.ping_timeout =
            seconds.filter(|s| s.is_finite() && *s > 0.0).map_or(DEFAULT_PING_TIMEOUT, |s| {
                Duration::try_from_secs_f64(s).unwrap_or(MAX_PING_TIMEOUT).min(MAX_PING_TIMEOUT)
            });
        self.await_ping();
        if let Some(slave_id) = self.info.id.clone() {
            let message = UpdateSlaveMessage {
                slave_id,
                update_oversubscribed_resources: Some(false),
                oversubscribed_resources: Vec::new(),
                operations: Some(update_slave_message::Operations {
                    operations: self.operations_under_way(),
                }),
                resource_version_uuid: Some(self.resource_version_uuid()),
                resource_providers: Some(update_slave_message::ResourceProviders::default()),
            };
            self.send(AgentMessage::Update(Box::new(message)), None);
        }
        self.report_ended_meanwhile();
        self.resume_streams(None);
        self.resume_operations();
        self.maybe_drained();
    }

    /// Tells about the tasks that the master has and the agent does not know.
    fn reconcile(&mut self, message: ReconcileTasksMessage) {
        let Ok(framework_id) = message.framework_id.value.parse::<FrameworkId>() else { return };
        let aware = message.framework.as_ref().is_some_and(super::state::partition_aware);
        for status in message.statuses {
            let Ok(task) = status.task_id.value.parse::<TaskId>() else { continue };
            let known = self.streams.contains_key(&(framework_id.clone(), task.clone()))
                || self.framework(&framework_id).is_some_and(|f| f.executor_of(&task).is_some());
            if known {
                continue;
            }
            if self.framework(&framework_id).is_none()
                && let Some(info) = &message.framework
            {
                // Only to carry the news; not on disk, since the master asks again.
                self.state.frameworks.insert(
                    framework_id.clone(),
                    std::sync::Arc::new(super::launch::new_framework(
                        framework_id.clone(),
                        info.clone(),
                        String::new(),
                    )),
                );
            }
            self.report_from_agent(
                &framework_id,
                None,
                &task,
                super::updates::AgentReport {
                    state: if aware { v1::TaskState::TaskDropped } else { v1::TaskState::TaskLost },
                    reason: Reason::Reconciliation,
                    message: "Reconciliation: task unknown to the agent".to_owned(),
                },
            );
        }
    }

    pub(super) fn await_ping(&mut self) {
        self.timers.set(Timer::Ping, self.now.monotonic + self.ping_timeout);
    }

    pub(super) fn ping_overdue(&mut self) {
        if matches!(self.phase, Phase::Running) {
            self.reconnect(Why::NoPings);
        }
    }

    /// A broken link is not waited out: the master counts this agent as disconnected from now on.
    pub(super) fn master_exited(&mut self, master: &Upid) {
        if self.state.master.as_ref() != Some(master) {
            return;
        }
        match self.phase {
            Phase::Running => self.reconnect(Why::LinkBroke),
            // The session's proof is gone with its connection.
            Phase::Disconnected { .. } if self.session.is_some() => {
                self.reconnect(Why::LinkBroke);
            }
            _ => {}
        }
    }

    pub(super) fn reconnect(&mut self, why: Why) {
        let text = match why {
            Why::BooksDiffer => {
                "What the master believes to be here is not what is here".to_owned()
            }
            Why::LinkBroke => "The link to the master broke".to_owned(),
            Why::MasterThinksDisconnected => {
                "The master thinks that this agent is disconnected".to_owned()
            }
            Why::NoPings => format!(
                "No pings from the master received within {}",
                super::environment::duration(self.ping_timeout)
            ),
        };
        self.warn(format!("{text}; registering again"));
        self.phase = Phase::Disconnected { attempts: 0 };
        self.forget_session();
        self.timers.cancel(&Timer::Ping);
        self.pause_streams();
        self.out.push(Effect::Redetect);
    }

    pub(super) fn fail(&mut self, text: String) {
        self.out.push(Effect::Exit(Exit::Failed(text)));
    }

    fn pause_streams(&mut self) {
        let keys: Vec<_> = self.streams.keys().cloned().collect();
        for (framework, task) in keys {
            self.feed_stream(&framework, &task, stream::Input::Paused);
        }
        self.pause_operations();
    }
}

fn archived(framework: &Framework) -> archive::Framework {
    let tasks = framework.completed_executors.iter().flat_map(|executor| {
        executor.completed.iter().chain(executor.terminated.values()).map(|task| (**task).clone())
    });
    archive::Framework {
        framework_info: framework.info.clone(),
        pid: None,
        tasks: downgrade(tasks.collect::<Vec<_>>()),
    }
}
