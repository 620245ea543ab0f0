//! An agent to tell stories about, and short names for what goes in and comes out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use libprocess::sender::{Binding, BoundPid, ClaimedPid, Finding, PeerFacts, bind};
use libprocess::upid::Upid;
use model::time::{Instant, Now, Timestamp};
use tls_policy::{Recognize, ServerTrust, Suites, Versions};
use wire::internal as i;
use wire::v1::{self, TaskState, executor};

use crate::containerizer::{LaunchRequest, Termination};
use crate::engine::Engine;
use crate::engine::event::{
    Answer, Caller, ConnectionId, Effect, Event, Record, RequestId, TokenDigest,
};
use crate::engine::recovered::{
    Recovered, RecoveredExecutor, RecoveredFramework, RecoveredRun, RecoveredTask,
};
use crate::engine::rules::{ExecutorProgram, Reconfiguration, Recover, Rules, TokenRules};
use crate::engine::tokens::digest;
use crate::engine::users::TaskUserPolicy;
use crate::message::{AgentMessage, MasterMessage};

pub(super) const MASTER: &str = "master@127.0.0.2:5050";
pub(crate) const AGENT_ID: &str = "M-S0";
pub(crate) const FRAMEWORK: &str = "M-0000";

/// What an executor gets to recognize the agent.
pub(crate) fn trust(recognize: Recognize) -> ServerTrust {
    ServerTrust {
        recognize,
        versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
        suites: Suites::Modern,
        groups: None,
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        pid: "slave(1)@127.0.0.2:5051".parse().unwrap(),
        hostname: "127.0.0.2".into(),
        resources: vec![scalar("cpus", 4.0), scalar("mem", 4096.0)],
        attributes: Vec::new(),
        domain: None,
        work_dir: PathBuf::from("/w"),
        registration_backoff: Duration::from_secs(1),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        recovery_timeout: Duration::from_secs(900),
        command_executor: ExecutorProgram {
            path: "/usr/bin/alcazar".into(),
            arguments: vec!["alcazar".into(), "executor".into()],
        },
        executor_environment: BTreeMap::new(),
        task_users: TaskUserPolicy::SwitchUser(true),
        executor_trust: Some(trust(Recognize::Identity {
            roots: b"PEM".to_vec(),
            identity: "spiffe://test/agent/a".parse().unwrap(),
        })),
        tokens: TokenRules { issuer: None, lifetime: Duration::from_secs(3600) },
        authenticates: false,
        reconfiguration: Reconfiguration::Equal,
        recover: Recover::Reconnect,
        max_completed_frameworks: 50,
        max_completed_executors: 150,
        max_completed_tasks: 200,
    }
}

pub(crate) fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    }
}

/// A sender that its connection vouches for.
pub(super) fn sender(pid: &str, identity: Option<&str>) -> BoundPid {
    sender_over(0, pid, identity)
}

/// The same over the connection of this number.
pub(super) fn sender_over(connection: u64, pid: &str, identity: Option<&str>) -> BoundPid {
    let upid: Upid = pid.parse().unwrap();
    let peer = PeerFacts {
        identity: identity.map(|i| i.parse().unwrap()),
        vouched_addresses: vec![(*upid.address.ip()).into()],
        certified: identity.is_some(),
        encrypted: identity.is_some(),
        ..PeerFacts::plaintext(libprocess::sender::ConnectionId(connection), upid.address.into())
    };
    let rule = if identity.is_some() { Binding::Certificate } else { Binding::DangerSourceAddress };
    bind(ClaimedPid(upid), &peer, rule, None, Finding::Nothing).unwrap()
}

pub(super) fn master() -> BoundPid {
    sender(MASTER, Some("spiffe://test/master/m"))
}

pub(crate) fn framework_info(checkpoint: bool, partition_aware: bool) -> v1::FrameworkInfo {
    use v1::framework_info::{Capability, capability::Type};
    v1::FrameworkInfo {
        user: "alice".into(),
        name: "f".into(),
        id: Some(v1::FrameworkId { value: FRAMEWORK.into() }),
        checkpoint: Some(checkpoint),
        capabilities: partition_aware
            .then(|| Capability { r#type: Some(Type::PartitionAware.into()) })
            .into_iter()
            .collect(),
        ..Default::default()
    }
}

pub(super) fn command_task(id: &str) -> v1::TaskInfo {
    let mut resources = vec![scalar("cpus", 1.0), scalar("mem", 128.0)];
    for resource in &mut resources {
        resource.allocation_info = Some(v1::resource::AllocationInfo { role: Some("ops".into()) });
    }
    v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: v1::AgentId { value: AGENT_ID.into() },
        resources,
        command: Some(v1::CommandInfo { value: Some("sleep 1".into()), ..Default::default() }),
        ..Default::default()
    }
}

pub(super) fn executor_task(id: &str, executor: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        command: None,
        executor: Some(v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: executor.into() },
            command: Some(v1::CommandInfo {
                value: Some("./executor".into()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..command_task(id)
    }
}

#[expect(deprecated, reason = "the message still has the field")]
pub(super) fn run_task(task: v1::TaskInfo, launch_executor: bool) -> i::RunTaskMessage {
    i::RunTaskMessage {
        framework_id: None,
        framework: framework_info(true, true),
        task,
        resource_version_uuids: Vec::new(),
        pid: Some("@0.0.0.0:0".into()),
        launch_executor: Some(launch_executor),
    }
}

pub(crate) fn status(task: &str, state: TaskState, uuid: u8) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: v1::TaskId { value: task.into() },
        state: state.into(),
        uuid: Some(vec![uuid; 16].into()),
        source: Some(v1::task_status::Source::Executor.into()),
        ..Default::default()
    }
}

/// An agent, the time, and what it last wanted done.
pub(super) struct Agent {
    pub(super) engine: Engine,
    pub(super) now: Now,
    pub(super) effects: Vec<Effect>,
    requests: u64,
}

impl Agent {
    /// As it comes up for the first time: recovered, without a master.
    pub(super) fn fresh(rules: Rules) -> Self {
        Self::recovered(rules, Recovered::default())
    }

    pub(super) fn recovered(rules: Rules, found: Recovered) -> Self {
        let now = Now {
            monotonic: Instant::default(),
            wall: Timestamp::new(Duration::from_secs(1_800_000_000)),
        };
        let (engine, effects) = Engine::new(rules, [7; 32], found, now);
        Self { engine, now, effects, requests: 0 }
    }

    /// Registered with the master.
    pub(super) fn running() -> Self {
        Self::running_with(rules())
    }

    pub(super) fn running_with(rules: Rules) -> Self {
        let mut agent = Self::fresh(rules);
        agent.handle(Event::ContainersRecovered);
        agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
        agent.wait(Duration::from_secs(1));
        agent.told(MasterMessage::Registered(Box::new(registered(AGENT_ID))));
        agent
    }

    pub(super) fn handle(&mut self, event: Event) {
        self.effects = self.engine.handle(event, self.now);
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now.monotonic = self.now.monotonic + time;
        self.handle(Event::TimePassed);
    }

    /// The leading master says something.
    pub(super) fn told(&mut self, message: MasterMessage) {
        self.handle(Event::Message { from: master(), message });
    }

    pub(super) fn runs(&mut self, task: v1::TaskInfo, launch_executor: bool) {
        self.told(MasterMessage::RunTask(Box::new(run_task(task, launch_executor))));
    }

    pub(super) fn kills(&mut self, task: &str) {
        self.told(MasterMessage::KillTask(Box::new(i::KillTaskMessage {
            framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
            task_id: v1::TaskId { value: task.into() },
            kill_policy: None,
        })));
    }

    /// The scheduler has the update with this uuid.
    pub(super) fn acknowledged(&mut self, task: &str, uuid: &[u8]) {
        self.told(MasterMessage::StatusUpdateAcknowledgement(Box::new(
            i::StatusUpdateAcknowledgementMessage {
                slave_id: v1::AgentId { value: AGENT_ID.into() },
                framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
                task_id: v1::TaskId { value: task.into() },
                uuid: uuid.to_vec().into(),
            },
        )));
    }

    /// The container of the launch that was asked for last.
    pub(super) fn launch(&self) -> &LaunchRequest {
        self.effects
            .iter()
            .find_map(|effect| match effect {
                Effect::Launch { request, .. } => Some(&**request),
                _ => None,
            })
            .expect("a launch was asked for")
    }

    /// Has a command task launched up to where its executor could subscribe.
    pub(super) fn launched(&mut self, task: &str) -> Container {
        self.runs(command_task(task), true);
        self.started(task)
    }

    /// Says that the launch asked for last succeeded.
    pub(super) fn started(&mut self, executor: &str) -> Container {
        let id = self.launch().container_id.clone();
        let secrets = self.launch().secrets.as_ref();
        let token = secrets.map(|secrets| digest(secrets.token.expose()));
        self.handle(Event::Launched { container: id.clone(), pid: 4711 });
        Container { id, executor: executor.to_owned(), token }
    }

    /// Makes a call and returns its answer.
    pub(super) fn call(&mut self, caller: Caller, call: executor::Call) -> Answer {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.handle(Event::ExecutorCall { request, caller, call: Box::new(call) });
        let answers: Vec<Answer> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Answer { request: of, answer } if *of == request => Some(answer.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "every call is answered once");
        answers[0].clone()
    }

    pub(super) fn subscribes(
        &mut self,
        container: &Container,
        subscribe: executor::call::Subscribe,
    ) -> ConnectionId {
        let answer = self.call(container.caller(), container.subscribe_call(subscribe));
        match answer {
            Answer::Subscribed(connection) => connection,
            other => panic!("{other:?}"),
        }
    }

    /// Subscribes and takes what waited.
    pub(super) fn connected(&mut self, container: &Container) -> ConnectionId {
        let connection = self.subscribes(container, executor::call::Subscribe::default());
        self.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
        connection
    }

    pub(super) fn reports(&mut self, container: &Container, status: v1::TaskStatus) -> Answer {
        self.call(container.caller(), container.update_call(status))
    }

    pub(super) fn ended(&mut self, container: &Container, status: i32) {
        self.handle(Event::ContainerTerminated {
            container: container.id.clone(),
            termination: Termination { status: Some(status), ..Default::default() },
        });
    }

    /// A task whose executor runs it.
    pub(super) fn task_at_work(&mut self, task: &str) -> (Container, ConnectionId) {
        let container = self.launched(task);
        let connection = self.connected(&container);
        (container, connection)
    }

    /// What was sent to the master, by name.
    pub(super) fn sent(&self) -> Vec<&AgentMessage> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { to, message, .. } => {
                    assert_eq!(to.address, MASTER.parse::<Upid>().unwrap().address);
                    Some(&**message)
                }
                _ => None,
            })
            .collect()
    }

    /// The status updates that were sent to the master.
    pub(super) fn updates(&self) -> Vec<&i::StatusUpdate> {
        self.sent()
            .into_iter()
            .filter_map(|message| match message {
                AgentMessage::StatusUpdate(message) => Some(&message.update),
                _ => None,
            })
            .collect()
    }

    /// `state reason message` of the one status update that was sent.
    pub(super) fn news(&self) -> String {
        let updates = self.updates();
        assert_eq!(updates.len(), 1, "{updates:?}");
        let status = &updates[0].status;
        format!(
            "{} {} {}",
            status.state().as_str_name(),
            status.reason.map_or("-", |_| status.reason().as_str_name()),
            status.message.as_deref().unwrap_or("-")
        )
    }

    /// The events that an executor was told, by type.
    pub(super) fn events(&self) -> Vec<&'static str> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Tell { event, .. } => Some(event.r#type().as_str_name()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<&str> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Log(crate::engine::event::Severity::Warning, text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn records(&self) -> Vec<&Record> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Persist { record, .. } => Some(&**record),
                _ => None,
            })
            .collect()
    }

    /// What is not a log line.
    pub(super) fn deeds(&self) -> Vec<&Effect> {
        self.effects.iter().filter(|e| !matches!(e, Effect::Log(..))).collect()
    }
}

/// An executor's container, from outside.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) id: model::id::ContainerId,
    pub(super) executor: String,
    /// What is kept of its token, if it got one.
    pub(super) token: Option<TokenDigest>,
}

impl Container {
    /// The executor, as it proves itself.
    pub(super) fn caller(&self) -> Caller {
        match self.token {
            Some(token) => Caller::Token(token),
            None => self.without_token(),
        }
    }

    /// A process of the container that shows no token.
    pub(super) fn without_token(&self) -> Caller {
        Caller::Container(self.id.clone())
    }

    fn call(&self, kind: executor::call::Type) -> executor::Call {
        executor::Call {
            executor_id: v1::ExecutorId { value: self.executor.clone() },
            framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
            r#type: Some(kind.into()),
            ..Default::default()
        }
    }

    pub(super) fn subscribe_call(&self, subscribe: executor::call::Subscribe) -> executor::Call {
        executor::Call { subscribe: Some(subscribe), ..self.call(executor::call::Type::Subscribe) }
    }

    pub(super) fn update_call(&self, status: v1::TaskStatus) -> executor::Call {
        executor::Call {
            update: Some(executor::call::Update { status }),
            ..self.call(executor::call::Type::Update)
        }
    }

    pub(super) fn message_call(&self, data: &[u8]) -> executor::Call {
        executor::Call {
            message: Some(executor::call::Message { data: data.to_vec().into() }),
            ..self.call(executor::call::Type::Message)
        }
    }
}

pub(super) fn registered(id: &str) -> i::SlaveRegisteredMessage {
    i::SlaveRegisteredMessage {
        slave_id: v1::AgentId { value: id.into() },
        connection: Some(i::MasterSlaveConnection { total_ping_timeout_seconds: Some(75.0) }),
    }
}

pub(super) fn reregistered(reconciliations: Vec<i::ReconcileTasksMessage>) -> MasterMessage {
    MasterMessage::Reregistered(Box::new(i::SlaveReregisteredMessage {
        slave_id: v1::AgentId { value: AGENT_ID.into() },
        reconciliations,
        connection: Some(i::MasterSlaveConnection { total_ping_timeout_seconds: Some(75.0) }),
    }))
}

/// A dynamic reservation of `amount` of `name` to `ops`.
pub(crate) fn reserved(name: &str, amount: f64) -> v1::Resource {
    use v1::resource::{ReservationInfo, reservation_info};
    v1::Resource {
        reservations: vec![ReservationInfo {
            r#type: Some(reservation_info::Type::Dynamic.into()),
            role: Some("ops".into()),
            principal: Some("p".into()),
            labels: None,
        }],
        ..scalar(name, amount)
    }
}

/// A persistent volume on disk that is reserved to `ops`.
pub(crate) fn volume(id: &str, size: f64) -> v1::Resource {
    v1::Resource {
        disk: Some(Box::new(v1::resource::DiskInfo {
            persistence: Some(v1::resource::disk_info::Persistence {
                id: id.into(),
                principal: None,
            }),
            volume: Some(v1::Volume {
                container_path: "data".into(),
                mode: v1::volume::Mode::Rw.into(),
                ..Default::default()
            }),
            source: None,
        })),
        ..reserved("disk", size)
    }
}

/// An operation as a master sends it: `ops` in place of the resources' allocation.
pub(crate) fn operation(change: impl FnOnce(&mut v1::offer::Operation)) -> v1::offer::Operation {
    let mut info = v1::offer::Operation {
        id: Some(v1::OperationId { value: "o".into() }),
        ..Default::default()
    };
    change(&mut info);
    info
}

pub(crate) fn reserve(resources: Vec<v1::Resource>) -> v1::offer::Operation {
    operation(|info| {
        info.set_type(v1::offer::operation::Type::Reserve);
        let source = Vec::new();
        info.reserve = Some(v1::offer::operation::Reserve { source, resources });
    })
}

pub(crate) fn create(volumes: Vec<v1::Resource>) -> v1::offer::Operation {
    operation(|info| {
        info.set_type(v1::offer::operation::Type::Create);
        info.create = Some(v1::offer::operation::Create { volumes });
    })
}

pub(crate) fn destroy(volumes: Vec<v1::Resource>) -> v1::offer::Operation {
    operation(|info| {
        info.set_type(v1::offer::operation::Type::Destroy);
        info.destroy = Some(v1::offer::operation::Destroy { volumes });
    })
}

pub(crate) fn apply(uuid: u8, mut info: v1::offer::Operation) -> MasterMessage {
    use crate::resource_format::HoldsResources as _;
    // Frameworks' operations speak of what was offered to a role.
    info.each_resource(&mut |resource| {
        resource.allocation_info = Some(v1::resource::AllocationInfo { role: Some("ops".into()) });
    });
    MasterMessage::ApplyOperation(Box::new(i::ApplyOperationMessage {
        framework_id: Some(v1::FrameworkId { value: FRAMEWORK.into() }),
        operation_info: info,
        operation_uuid: uuid_of(uuid),
        resource_version_uuid: i::ResourceVersionUuid {
            resource_provider_id: None,
            uuid: uuid_of(0),
        },
    }))
}

pub(crate) fn uuid_of(byte: u8) -> v1::Uuid {
    v1::Uuid { value: vec![byte; 16].into() }
}

/// The master acknowledges this update of an operation.
pub(crate) fn acknowledge(update: &i::UpdateOperationStatusMessage) -> MasterMessage {
    MasterMessage::AcknowledgeOperationStatus(Box::new(i::AcknowledgeOperationStatusMessage {
        status_uuid: update.status.uuid.clone().unwrap(),
        operation_uuid: update.operation_uuid.clone().unwrap(),
        resource_provider_id: None,
    }))
}

/// What an earlier run left: the agent, and executors of one framework.
pub(crate) fn left(executors: Vec<RecoveredExecutor>) -> Recovered {
    let (fresh, _) = Engine::new(rules(), [7; 32], Recovered::default(), Now::default());
    let mut info = fresh.info().clone();
    info.id = Some(v1::AgentId { value: AGENT_ID.into() });
    let framework = RecoveredFramework {
        id: FRAMEWORK.parse().unwrap(),
        info: framework_info(true, true),
        pid: String::new(),
        executors,
    };
    Recovered {
        agent: Some((AGENT_ID.parse().unwrap(), info)),
        frameworks: vec![framework],
        ..Recovered::default()
    }
}

/// An executor in its container that speaks HTTP, without a task.
pub(crate) fn left_executor(
    id: &str,
    container: &str,
    token: Option<TokenDigest>,
) -> RecoveredExecutor {
    RecoveredExecutor {
        id: id.parse().unwrap(),
        info: executor_task("x", id).executor.unwrap(),
        generated: false,
        run: RecoveredRun {
            container: container.parse().unwrap(),
            completed: false,
            pid: Some(17),
            http: true,
            libprocess: None,
            token,
            next_token: None,
            tasks: Vec::new(),
        },
    }
}

/// A task of which no update is left.
pub(crate) fn left_task(id: &str, executor: &str) -> RecoveredTask {
    let framework_id = v1::FrameworkId { value: FRAMEWORK.into() };
    RecoveredTask {
        id: id.parse().unwrap(),
        task: crate::engine::task::from_info(&executor_task(id, executor), &framework_id),
        updates: Vec::new(),
    }
}
