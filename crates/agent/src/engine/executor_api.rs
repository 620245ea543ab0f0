//! Executors over their HTTP API: they subscribe, report, send messages, come back
//! (`http-apis.md` §6).

use std::time::Duration;

use model::id::{ContainerId, ExecutorId, FrameworkId, TaskId};
use tls_policy::Recognize;
use wire::internal::ExecutorToFrameworkMessage;
use wire::v1::executor::{Call, call, event};
use wire::v1::task_status::Reason;
use wire::v1::{self, TaskState, TaskStatus, executor};

use super::event::{
    Answer, Caller, ConnectionId, Data, Effect, Record, Refusal, RequestId, TokenDigest,
};
use super::launch::dropped;
use super::line::Notice;
use super::state::{Executor, ExecutorPhase, Line};
use super::stream::{StreamError, UpdateId};
use super::task::{from_info, state_of};
use super::timers::Timer;
use super::{Engine, Phase};
use crate::message::AgentMessage;

/// How often a quiet stream carries a sign of life.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The executor that a call comes from: the caller was shown to be it.
struct Proven {
    framework: FrameworkId,
    executor: ExecutorId,
    /// The token that shows it.
    token: Option<TokenDigest>,
}

impl Engine {
    pub(super) fn executor_call(&mut self, request: RequestId, caller: &Caller, call: Call) {
        let kind = call.r#type();
        if kind == call::Type::Heartbeat {
            return self.executor_heartbeat(request, caller, &call);
        }
        let proven = match self.prove(caller, &call) {
            Ok(proven) => proven,
            Err(refusal) => return self.refuse(request, refusal),
        };
        match (kind, call.subscribe, call.update, call.message) {
            (call::Type::Subscribe, Some(subscribe), _, _) => {
                self.subscribe(request, &proven, subscribe);
            }
            (call::Type::Update, _, Some(update), _) => {
                self.update(request, &proven, update.status);
            }
            (call::Type::Message, _, _, Some(message)) => {
                self.executor_message(request, &proven, message.data);
            }
            (call::Type::Subscribe, None, _, _) => {
                self.refuse(request, Refusal::Invalid("Expecting 'subscribe' to be present"));
            }
            (call::Type::Update, _, None, _) => {
                self.refuse(request, Refusal::Invalid("Expecting 'update' to be present"));
            }
            (call::Type::Message, _, _, None) => {
                self.refuse(request, Refusal::Invalid("Expecting 'message' to be present"));
            }
            (call::Type::Unknown | call::Type::Heartbeat, ..) => {
                self.refuse(request, Refusal::Invalid("Expecting 'type' to be present"));
            }
        }
    }

    /// The ids in it are not looked at, as in the original. A proof that is shown must be good all
    /// the same: where executors prove themselves no token outlives its container.
    fn executor_heartbeat(&mut self, request: RequestId, caller: &Caller, call: &Call) {
        let token = match caller {
            Caller::Token(token) => token,
            Caller::Claims(_) => match self.prove(caller, call) {
                Ok(_) => return self.answer(request, Answer::Accepted),
                Err(refusal) => return self.refuse(request, refusal),
            },
            Caller::Container(_) | Caller::Unproven => {
                return self.answer(request, Answer::Accepted);
            }
        };
        let holder = self.state.tokens.get(token).and_then(|of| self.containers.get(of)).cloned();
        let Some((framework, executor)) = holder else {
            return self.refuse(request, Refusal::Revoked);
        };
        let proven = Proven { framework, executor, token: Some(*token) };
        self.accept(request, &proven, None);
    }

    /// Answers a call that was taken; `at` is where among the effects.
    fn accept(&mut self, request: RequestId, who: &Proven, at: Option<usize>) {
        let renewed = who.token.and_then(|t| self.token_used(&who.framework, &who.executor, t));
        let answer = renewed.map_or(Answer::Accepted, Answer::Renewed);
        let at = at.unwrap_or(self.out.len());
        self.out.insert(at, Effect::Answer { request, answer });
    }

    /// Compares what the call says with what its caller proved.
    fn prove(&self, caller: &Caller, call: &Call) -> Result<Proven, Refusal> {
        if !self.state.executors_known {
            return Err(Refusal::Recovering);
        }
        let framework = call.framework_id.value.parse::<FrameworkId>();
        let executor = call.executor_id.value.parse::<ExecutorId>();
        match caller {
            Caller::Token(token) => {
                let container = self.state.tokens.get(token).ok_or(Refusal::Revoked)?;
                let own = self.containers.get(container).ok_or(Refusal::Revoked)?;
                // What else there may be is not told to who is something else.
                if framework.as_ref() != Ok(&own.0) {
                    return Err(Refusal::Claim("fid"));
                }
                if executor.as_ref() != Ok(&own.1) {
                    return Err(Refusal::Claim("eid"));
                }
                let (framework, executor) = own.clone();
                Ok(Proven { framework, executor, token: Some(*token) })
            }
            Caller::Claims(claims) => {
                let says = |name, id: &str| claims.get(name).is_some_and(|claim| claim == id);
                if !says("fid", &call.framework_id.value) {
                    return Err(Refusal::Claim("fid"));
                }
                if !says("eid", &call.executor_id.value) {
                    return Err(Refusal::Claim("eid"));
                }
                let (proven, known) = self.named(framework.ok(), executor.ok())?;
                if !says("cid", known.container.as_str()) {
                    return Err(Refusal::Claim("cid"));
                }
                // Who got a token from this agent is known by what is written down of it, while
                // that is good: this one is older, or over. And nothing stands for a container
                // that has ended.
                let over = !self.containers.contains_key(&known.container);
                if over || known.token.is_some() {
                    return Err(Refusal::Revoked);
                }
                Ok(proven)
            }
            Caller::Container(container) => {
                if self.identities_are_proved() {
                    return Err(Refusal::Forbidden);
                }
                let (proven, known) = self.named(framework.ok(), executor.ok())?;
                // Our own executors use the token that they get; others may know of none.
                if known.container != *container || (known.generated && known.token.is_some()) {
                    return Err(Refusal::Forbidden);
                }
                Ok(proven)
            }
            Caller::Unproven => {
                if !self.identities_are_proved() {
                    self.named(framework.ok(), executor.ok())?;
                }
                Err(Refusal::Forbidden)
            }
        }
    }

    fn identities_are_proved(&self) -> bool {
        let trust = self.rules.executor_trust.as_ref();
        trust.is_some_and(|trust| matches!(trust.recognize, Recognize::Identity { .. }))
    }

    /// The executor of these names.
    fn named(
        &self,
        framework: Option<FrameworkId>,
        executor: Option<ExecutorId>,
    ) -> Result<(Proven, &Executor), Refusal> {
        let framework = framework.ok_or(Refusal::FrameworkUnknown)?;
        let known = self.framework(&framework).ok_or(Refusal::FrameworkUnknown)?;
        let executor = executor.ok_or(Refusal::ExecutorUnknown)?;
        let known = known.executors.get(&executor).ok_or(Refusal::ExecutorUnknown)?;
        Ok((Proven { framework, executor, token: None }, known))
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        self.out.push(Effect::Answer { request, answer });
    }

    fn refuse(&mut self, request: RequestId, refusal: Refusal) {
        self.answer(request, Answer::Refused(refusal));
    }

    fn subscribe(&mut self, request: RequestId, who: &Proven, subscribe: call::Subscribe) {
        let Proven { framework, executor: id, .. } = who;
        let connection = ConnectionId(request.0);
        let Some((info, terminating)) =
            self.framework(framework).map(|f| (f.info.clone(), f.terminating))
        else {
            return self.refuse(request, Refusal::FrameworkUnknown);
        };
        let Some(executor) = self.executor(framework, id) else {
            return self.refuse(request, Refusal::ExecutorUnknown);
        };
        let ending =
            matches!(executor.phase, ExecutorPhase::Terminating | ExecutorPhase::Terminated);
        if ending || terminating || matches!(self.phase, Phase::Terminating { .. }) {
            let container = executor.container.clone();
            self.answer(request, Answer::Subscribed(connection));
            self.tell_shutdown(&container, &Line::Stream(connection));
            self.out.push(Effect::Close(connection));
            return;
        }
        let container = executor.container.clone();
        let subscribed = event::Subscribed {
            executor_info: executor.info.clone(),
            framework_info: info,
            agent_info: self.info.clone(),
            container_id: Some(v1::ContainerId { value: container.to_string(), parent: None }),
        };
        if let Some(old) = executor.connection {
            self.close_connection(framework, id, old);
        }
        self.record_http(framework, id);
        self.timers.cancel(&Timer::Registration(framework.clone(), id.clone(), container));
        if let Some(executor) = self.executor_mut(framework, id) {
            executor.phase = ExecutorPhase::Running;
            executor.connection = Some(connection);
            executor.libprocess = None;
        }
        self.returned(framework, id);
        self.answer(request, Answer::Subscribed(connection));
        let event = executor::Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..Default::default()
        };
        self.out.push(Effect::Tell { connection, event: Box::new(event), after: None });
        if let Some(token) = who.token {
            // It shows that the executor has this one; a new one comes with the next answer.
            self.adopt_next(framework, id, token);
        }
        self.timers.set(
            Timer::Heartbeat(framework.clone(), id.clone(), connection),
            self.now.monotonic + HEARTBEAT_INTERVAL,
        );
        self.take_unacknowledged(framework, id, &subscribe);
        let lost = self.recover_lost_launches(framework, id, &subscribe);
        self.hand_over_kills(framework, id);
        self.ask_for_resources(framework, id);
        self.shutdown_if_needless(framework, id, lost);
        self.executor_came_back();
    }

    fn record_http(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let place = self
            .executor(framework, id)
            .filter(|e| e.checkpointed && !e.http_recorded)
            .and_then(|e| self.run_place(framework, e));
        if let Some(place) = place {
            self.persist(Record::HttpExecutor(place));
            if let Some(executor) = self.executor_mut(framework, id) {
                executor.http_recorded = true;
            }
        }
    }

    /// Updates that the executor was not told to be safe: those that are get answered again,
    /// those that are not are taken.
    fn take_unacknowledged(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        subscribe: &call::Subscribe,
    ) {
        for update in &subscribe.unacknowledged_updates {
            if let Err(refusal) = self.take_update(framework, id, update.status.clone()) {
                self.warn(format!(
                    "Not taken from executor '{id}' of framework {framework}: an update about \
                     task '{}': {refusal}",
                    update.status.task_id.value
                ));
            }
        }
    }

    /// Tasks that were handed over on a stream that broke before the executor read it. While the
    /// agent still has the whole task it hands it over again; after a restart it has only the
    /// record, and the framework must decide. Returns how many those are.
    fn recover_lost_launches(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        subscribe: &call::Subscribe,
    ) -> usize {
        let Some(known) = self.framework(framework) else { return 0 };
        let aware = known.is_partition_aware();
        let Some(executor) = self.executor_mut(framework, id) else { return 0 };
        let received = |task: &TaskId| {
            subscribe.unacknowledged_tasks.iter().any(|t| t.task_id.value == task.as_str())
        };
        let staging = TaskState::TaskStaging as i32;
        let missing: Vec<TaskId> = executor
            .launched
            .iter()
            .filter(|(task, record)| record.state == staging && !received(task))
            .map(|(task, _)| task.clone())
            .collect();
        let mut lost = Vec::new();
        for task in missing {
            match executor.unconfirmed.remove(&task) {
                Some(info) => {
                    executor.launched.remove(&task);
                    executor.queued.push(info);
                }
                None => lost.push(task),
            }
        }
        let count = lost.len();
        for task in lost {
            let report =
                dropped(aware, Reason::AgentRestarted, "Task launched during agent restart");
            self.report_from_agent(framework, Some(id), &task, report);
        }
        count
    }

    pub(super) fn hand_over_kills(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let Some(executor) = self.executor_mut(framework, id) else { return };
        let Some(line) = executor.line() else { return };
        let container = executor.container.clone();
        let kills = std::mem::take(&mut executor.kills);
        for (task, policy) in kills {
            self.notify(&container, &line, Notice::Kill { task, policy }, None);
        }
    }

    /// The container may use what it needs (or may not): the tasks that waited for it go out
    /// (or are reported).
    pub(super) fn container_updated(
        &mut self,
        container: &ContainerId,
        result: Result<(), String>,
    ) {
        let Some((framework, id)) = self.containers.get(container).cloned() else { return };
        let aware = self.framework(&framework).is_some_and(|f| f.is_partition_aware());
        let framework_id = v1::FrameworkId { value: framework.to_string() };
        let Some(executor) = self.executor_mut(&framework, &id) else { return };
        if executor.phase != ExecutorPhase::Running {
            return;
        }
        if let Err(why) = result {
            let queued = executor.queued.clone();
            for task in queued {
                let Ok(task) = task.task_id.value.parse() else { continue };
                let report = super::updates::AgentReport {
                    state: if aware { TaskState::TaskGone } else { TaskState::TaskLost },
                    reason: Reason::ContainerUpdateFailed,
                    message: format!("Failed to update resources for container: {why}"),
                };
                self.report_from_agent(&framework, Some(&id), &task, report);
            }
            return;
        }
        // Without a line they stay queued until the executor is back.
        let Some(line) = executor.line() else { return };
        let queued = std::mem::take(&mut executor.queued);
        for info in &queued {
            if let Ok(task) = info.task_id.value.parse::<TaskId>() {
                let record = std::sync::Arc::new(from_info(info, &framework_id));
                executor.launched.insert(task.clone(), record);
                executor.unconfirmed.insert(task, info.clone());
            }
        }
        for info in queued {
            let launch = Notice::Launch(Box::new((*info).clone()));
            self.notify(container, &line, launch, None);
        }
    }

    fn update(&mut self, request: RequestId, who: &Proven, status: TaskStatus) {
        let phase = self.executor(&who.framework, &who.executor).map(|e| e.phase);
        if phase.is_none_or(|phase| phase == ExecutorPhase::Registering) {
            return self.refuse(request, Refusal::NotSubscribed);
        }
        // The answer first: the executor may wait for it before it reads its stream.
        let at = self.out.len();
        match self.take_update(&who.framework, &who.executor, status) {
            Ok(()) => self.accept(request, who, Some(at)),
            Err(refusal) => self.refuse(request, refusal),
        }
    }

    pub(super) fn take_update(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        status: TaskStatus,
    ) -> Result<(), Refusal> {
        let uuid = status
            .uuid
            .as_deref()
            .and_then(UpdateId::from_wire)
            .ok_or(Refusal::Invalid("Not a valid UUID"))?;
        if state_of(&status) == TaskState::TaskStaging {
            return Err(Refusal::Invalid("TASK_STAGING updates are not allowed"));
        }
        if status.executor_id.as_ref().is_some_and(|e| e.value != id.as_str()) {
            return Err(Refusal::Invalid(
                "ExecutorID in Call does not match ExecutorID in TaskStatus",
            ));
        }
        let task: TaskId = status.task_id.value.parse().map_err(|_| Refusal::TaskUnknown)?;
        let executor = self.executor(framework, id).ok_or(Refusal::ExecutorUnknown)?;
        let key = (framework.clone(), task.clone());
        if !executor.has(&task) {
            if executor.has_completed(&task) {
                self.acknowledge_executor(&key, id, uuid);
                return Ok(());
            }
            self.state.counters.invalid_status_updates += 1;
            return Err(Refusal::TaskUnknown);
        }
        match self.report_from_executor(framework, id, &task, status) {
            Ok(()) => Ok(()),
            // Nothing will ever be done with it: the executor need not send it again.
            Err(StreamError::AfterEnding(_)) => {
                self.acknowledge_executor(&key, id, uuid);
                Ok(())
            }
            Err(StreamError::TooMany) => Err(Refusal::TooManyUpdates),
            Err(StreamError::Uuid | StreamError::NotUnderWay { .. }) => {
                Err(Refusal::Invalid("Not a valid UUID"))
            }
        }
    }

    fn executor_message(&mut self, request: RequestId, who: &Proven, data: Data) {
        let phase = self.executor(&who.framework, &who.executor).map(|e| e.phase);
        if phase.is_none_or(|phase| phase == ExecutorPhase::Registering) {
            return self.refuse(request, Refusal::NotSubscribed);
        }
        self.accept(request, who, None);
        self.forward_data(&who.framework, &who.executor, data);
    }

    /// Bytes of an executor for its scheduler.
    pub(super) fn forward_data(&mut self, framework: &FrameworkId, id: &ExecutorId, data: Data) {
        let Some(slave_id) = self.info.id.clone().filter(|_| matches!(self.phase, Phase::Running))
        else {
            self.state.counters.invalid_framework_messages += 1;
            return self.warn("Dropping an executor's message: there is no master".to_owned());
        };
        self.state.counters.valid_framework_messages += 1;
        let message = ExecutorToFrameworkMessage {
            slave_id,
            framework_id: v1::FrameworkId { value: framework.to_string() },
            executor_id: v1::ExecutorId { value: id.to_string() },
            data,
        };
        self.send(AgentMessage::ExecutorToFramework(Box::new(message)), None);
    }

    pub(super) fn executor_disconnected(&mut self, connection: ConnectionId) {
        let holder = self.containers.values().find(|(framework, id)| {
            self.executor(framework, id).is_some_and(|e| e.connection == Some(connection))
        });
        let Some((framework, id)) = holder.cloned() else { return };
        if let Some(executor) = self.executor_mut(&framework, &id) {
            executor.connection = None;
        }
        self.await_return(&framework, &id);
        self.timers.cancel(&Timer::Heartbeat(framework.clone(), id.clone(), connection));
        self.info_log(format!("Executor '{id}' of framework {framework} disconnected"));
    }

    pub(super) fn close_connection(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        connection: ConnectionId,
    ) {
        self.timers.cancel(&Timer::Heartbeat(framework.clone(), id.clone(), connection));
        if let Some(executor) = self.executor_mut(framework, id) {
            executor.connection = None;
        }
        self.out.push(Effect::Close(connection));
    }

    pub(super) fn heartbeat_due(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
        connection: ConnectionId,
    ) {
        let connected: Option<&Executor> =
            self.executor(framework, id).filter(|e| e.connection == Some(connection));
        if connected.is_some() {
            let event = executor::Event {
                r#type: Some(event::Type::Heartbeat.into()),
                ..Default::default()
            };
            self.out.push(Effect::Tell { connection, event: Box::new(event), after: None });
            self.timers.set(
                Timer::Heartbeat(framework.clone(), id.clone(), connection),
                self.now.monotonic + HEARTBEAT_INTERVAL,
            );
        }
    }
}
