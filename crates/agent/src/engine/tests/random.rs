//! Anything, in any order: the engine contradicts itself never, whatever it is told. The check of
//! its invariants runs after every event in debug builds.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::fixture::*;
use crate::containerizer::Termination;
use crate::engine::event::{Caller, ConnectionId, Effect, Event, RequestId, Token};
use crate::engine::rules::Rules;
use crate::message::{AgentMessage, ExecutorMessage, MasterMessage};
use wire::internal as i;
use wire::v1::executor::call::{Subscribe, Type};
use wire::v1::{self, TaskState, executor};

struct Chaos {
    agent: Agent,
    rng: StdRng,
    requests: u64,
    connections: Vec<ConnectionId>,
    containers: Vec<model::id::ContainerId>,
    uuids: Vec<bytes::Bytes>,
    durable: Option<Token>,
    /// What a sane world would say next, sooner or later.
    plan: Vec<Event>,
    over: bool,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        Self {
            agent: match seed % 4 {
                0 => Agent::fresh(rules()),
                // Executors may come without tokens, and speak the v0 protocol.
                1 => Agent::running_with(Rules { executor_trust: None, ..rules() }),
                _ => Agent::running(),
            },
            rng: StdRng::seed_from_u64(seed),
            requests: 1000,
            connections: vec![ConnectionId(7)],
            containers: vec!["stranger".parse().unwrap()],
            uuids: vec![vec![1; 16].into()],
            durable: None,
            plan: Vec::new(),
            over: false,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next_u64() % limit as u64).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len());
        of[at].clone()
    }

    fn framework(&mut self) -> v1::FrameworkId {
        v1::FrameworkId { value: self.one(&[FRAMEWORK, FRAMEWORK, "M-0001", "", ".."]).into() }
    }

    fn name(&mut self) -> String {
        match self.below(12) {
            0 => self.one(&["a/b", ""]).to_owned(),
            _ => format!("t{}", self.below(30)),
        }
    }

    fn uuid(&mut self) -> bytes::Bytes {
        let known = self.uuids.clone();
        match self.below(4) {
            0 => vec![0; 3].into(),
            1 => {
                let mut bytes = vec![0; 16];
                self.rng.fill_bytes(&mut bytes);
                bytes.into()
            }
            _ => self.one(&known),
        }
    }

    fn state(&mut self) -> TaskState {
        let number = i32::try_from(self.below(16)).unwrap();
        TaskState::try_from(number).unwrap_or(TaskState::TaskRunning)
    }

    fn message(&mut self) -> MasterMessage {
        let slave_id = v1::AgentId { value: self.one(&[AGENT_ID, AGENT_ID, "M-S1"]).into() };
        let framework_id = self.framework();
        let name = self.name();
        let task_id = v1::TaskId { value: name.clone() };
        match self.below(12) {
            0 => MasterMessage::Registered(Box::new(registered(AGENT_ID))),
            1 => reregistered(vec![i::ReconcileTasksMessage {
                framework_id,
                statuses: vec![v1::TaskStatus { task_id, ..Default::default() }],
                framework: Some(framework_info(true, self.below(2) == 0)),
            }]),
            2..=5 => {
                let task = match self.below(3) {
                    0 => executor_task(&name, &self.name()),
                    _ => command_task(&name),
                };
                let launch = self.below(3) != 0;
                let mut message = run_task(task, launch);
                message.framework = framework_info(self.below(2) == 0, self.below(2) == 0);
                message.framework.id = Some(framework_id);
                MasterMessage::RunTask(Box::new(message))
            }
            6 => MasterMessage::KillTask(Box::new(i::KillTaskMessage {
                framework_id,
                task_id,
                kill_policy: None,
            })),
            7 | 8 => MasterMessage::StatusUpdateAcknowledgement(Box::new(
                i::StatusUpdateAcknowledgementMessage {
                    slave_id,
                    framework_id,
                    task_id,
                    uuid: self.uuid(),
                },
            )),
            9 if self.below(4) == 0 => {
                MasterMessage::ShutdownFramework(Box::new(i::ShutdownFrameworkMessage {
                    framework_id,
                }))
            }
            10 => MasterMessage::ShutdownExecutor(Box::new(i::ShutdownExecutorMessage {
                executor_id: Some(v1::ExecutorId { value: name }),
                framework_id: Some(framework_id),
            })),
            _ => MasterMessage::UpdateFramework(Box::new(i::UpdateFrameworkMessage {
                framework_id,
                pid: None,
                framework_info: Some(framework_info(false, true)),
            })),
        }
    }

    fn call(&mut self) -> (Caller, executor::Call) {
        let containers = self.containers.clone();
        let caller = match self.below(8) {
            0 => Caller::Unproven,
            1 => Caller::Container(self.one(&containers)),
            _ => {
                let container = self.one(&containers);
                self.caller(&container)
            }
        };
        let tokens = &self.agent.engine.state().tokens;
        let container = match &caller {
            Caller::Container(container) => Some(container.clone()),
            Caller::Token(token) => tokens.get(token).cloned(),
            Caller::Claims(_) | Caller::Unproven => None,
        };
        // As a rule the caller says who it is.
        let own = match &container {
            Some(container) => {
                self.agent.engine.state().frameworks.values().find_map(|framework| {
                    let mut all = framework.executors.values();
                    let executor = all.find(|e| e.container == *container)?;
                    Some((framework.id.to_string(), executor.id.to_string()))
                })
            }
            None => None,
        };
        let (framework, executor) = match own {
            Some(own) if self.below(10) != 0 => own,
            _ => (self.framework().value, self.name()),
        };
        let mut status = status(&self.name(), self.state(), 1);
        status.uuid = Some(self.uuid());
        let kind = self.one(&[Type::Subscribe, Type::Update, Type::Update, Type::Message]);
        let call = executor::Call {
            executor_id: v1::ExecutorId { value: executor },
            framework_id: v1::FrameworkId { value: framework },
            r#type: Some(kind.into()),
            subscribe: Some(Subscribe {
                unacknowledged_tasks: Vec::new(),
                unacknowledged_updates: vec![executor::call::Update { status: status.clone() }],
            }),
            update: Some(executor::call::Update { status }),
            message: Some(executor::call::Message { data: bytes::Bytes::new() }),
        };
        (caller, call)
    }

    fn event(&mut self) -> Event {
        let container = self.one(&self.containers.clone());
        match self.below(22) {
            0 => Event::ContainersRecovered,
            1 => Event::MasterDetected(Some(MASTER.parse().unwrap())),
            2 if self.below(4) == 0 => Event::MasterExited(MASTER.parse().unwrap()),
            3 => Event::Launched { container, pid: 17 },
            4 => Event::LaunchFailed { container, message: "no".into() },
            5 => Event::ContainerTerminated { container, termination: Termination::default() },
            6 | 7 => Event::ContainerUpdated {
                container,
                result: if self.below(4) == 0 { Err("no".into()) } else { Ok(()) },
            },
            8 => Event::ExecutorDisconnected(self.one(&self.connections.clone())),
            9..=13 => Event::Message { from: master(), message: self.message() },
            14..=17 => {
                let (caller, call) = self.call();
                self.requests += 1;
                let request = RequestId(self.requests);
                Event::ExecutorCall { request, caller, call: Box::new(call) }
            }
            18 if self.below(400) == 0 => Event::ShutdownRequested,
            18 | 19 => self.executor_message(),
            _ => Event::TimePassed,
        }
    }

    fn says(&mut self, message: MasterMessage) {
        self.plan.push(Event::Message { from: master(), message });
    }

    /// What a master that works would say to this.
    fn answer(&mut self, message: AgentMessage) {
        match message {
            AgentMessage::Register(_) => {
                self.says(MasterMessage::Registered(Box::new(registered(AGENT_ID))));
            }
            AgentMessage::Reregister(_) => self.says(reregistered(Vec::new())),
            AgentMessage::StatusUpdate(message) => {
                let update = message.update;
                let uuid = update.uuid.unwrap();
                self.uuids.push(uuid.clone());
                self.says(MasterMessage::StatusUpdateAcknowledgement(Box::new(
                    i::StatusUpdateAcknowledgementMessage {
                        slave_id: v1::AgentId { value: AGENT_ID.into() },
                        framework_id: update.framework_id,
                        task_id: update.status.task_id,
                        uuid,
                    },
                )));
            }
            _ => {}
        }
    }

    /// How an executor proves itself: by one of its tokens, if it has any.
    fn caller(&mut self, container: &model::id::ContainerId) -> Caller {
        let tokens = &self.agent.engine.state().tokens;
        let own = tokens.iter().filter(|(_, of)| *of == container);
        let own: Vec<_> = own.map(|(token, _)| *token).collect();
        match own[..] {
            [] => Caller::Container(container.clone()),
            _ => Caller::Token(self.one(&own)),
        }
    }

    /// What an executor of the v0 protocol might say.
    fn executor_message(&mut self) -> Event {
        let containers = self.containers.clone();
        let container = self.one(&containers);
        let place = self.agent.engine.state().frameworks.values().find_map(|framework| {
            let executor = framework.executors.values().find(|e| e.container == container)?;
            Some((framework.id.to_string(), executor.id.to_string()))
        });
        let (framework, executor) = match place {
            Some(place) if self.below(10) != 0 => place,
            _ => (self.framework().value, self.name()),
        };
        let framework_id = v1::FrameworkId { value: framework };
        let executor_id = v1::ExecutorId { value: executor };
        let mut status = status(&self.name(), self.state(), 1);
        status.uuid = Some(self.uuid());
        let update = i::StatusUpdate {
            framework_id: framework_id.clone(),
            executor_id: Some(executor_id.clone()),
            slave_id: None,
            timestamp: 0.0,
            uuid: status.uuid.clone(),
            status,
            latest_state: None,
        };
        let message = match self.below(6) {
            0 => ExecutorMessage::Register(Box::new(i::RegisterExecutorMessage {
                framework_id,
                executor_id,
            })),
            1 => ExecutorMessage::Reregister(Box::new(i::ReregisterExecutorMessage {
                executor_id,
                framework_id,
                tasks: Vec::new(),
                updates: vec![update],
            })),
            2 => ExecutorMessage::ExecutorToFramework(Box::new(i::ExecutorToFrameworkMessage {
                slave_id: v1::AgentId { value: AGENT_ID.into() },
                framework_id,
                executor_id,
                data: bytes::Bytes::new(),
            })),
            _ => ExecutorMessage::StatusUpdate(Box::new(i::StatusUpdateMessage {
                update,
                pid: None,
            })),
        };
        let pid = ["executor(1)@127.0.0.2:4000", "executor(1)@127.0.0.2:4001"];
        let from = sender(self.one(&pid), None);
        Event::ExecutorMessage { from, container, message }
    }

    /// A call of an executor that works.
    fn own_call(
        &mut self,
        container: &model::id::ContainerId,
        (framework, executor): &(String, String),
        kind: Type,
    ) -> Event {
        self.requests += 1;
        let call = executor::Call {
            executor_id: v1::ExecutorId { value: executor.clone() },
            framework_id: v1::FrameworkId { value: framework.clone() },
            r#type: Some(kind.into()),
            subscribe: Some(Subscribe::default()),
            ..Default::default()
        };
        let caller = self.caller(container);
        Event::ExecutorCall { request: RequestId(self.requests), caller, call: Box::new(call) }
    }

    /// What an executor that works reports about a task that it was given.
    fn reports(&mut self, connection: ConnectionId, task: &str) {
        let place = self.agent.engine.state().frameworks.values().find_map(|framework| {
            let mut all = framework.executors.values();
            let executor = all.find(|e| e.connection == Some(connection))?;
            let place = (framework.id.to_string(), executor.id.to_string());
            Some((executor.container.clone(), place))
        });
        let Some((container, place)) = place else { return };
        for state in [TaskState::TaskRunning, TaskState::TaskFinished] {
            let mut event = self.own_call(&container, &place, Type::Update);
            let Event::ExecutorCall { call, .. } = &mut event else { continue };
            let mut status = status(task, state, 1);
            status.uuid = Some(self.uuid());
            call.update = Some(executor::call::Update { status });
            self.plan.push(event);
        }
    }

    fn step(&mut self) {
        let event = if self.plan.is_empty() || self.below(3) == 0 {
            self.event()
        } else {
            let at = self.below(self.plan.len());
            self.plan.swap_remove(at)
        };
        let asked = match &event {
            Event::ExecutorCall { request, .. } => Some(*request),
            _ => None,
        };
        let pause = self.one(&[0, 0, 10, 1000, 20_000]);
        self.agent.now.monotonic = self.agent.now.monotonic + Duration::from_millis(pause);
        self.agent.handle(event);
        let mut answers = 0;
        for effect in std::mem::take(&mut self.agent.effects) {
            match effect {
                Effect::Persist { token, .. } => {
                    assert!(Some(token) > self.durable, "tokens ascend");
                    self.durable = Some(token);
                }
                Effect::Launch { request, after } => {
                    assert!(after <= self.durable, "a launch before its record");
                    let container = request.container_id.clone();
                    self.containers.push(container.clone());
                    self.plan.push(Event::Launched { container: container.clone(), pid: 17 });
                    let place = (request.framework_id.to_string(), request.executor_id.to_string());
                    let subscribe = self.own_call(&container, &place, Type::Subscribe);
                    self.plan.push(subscribe);
                }
                Effect::UpdateContainer { container, .. } => {
                    self.plan.push(Event::ContainerUpdated { container, result: Ok(()) });
                }
                Effect::Watch(container) if self.below(3) == 0 => {
                    let termination = Termination::default();
                    self.plan.push(Event::ContainerTerminated { container, termination });
                }
                Effect::Destroy(container) => {
                    let termination = Termination::default();
                    self.plan.push(Event::ContainerTerminated { container, termination });
                }
                Effect::Redetect => {
                    let master = Some(MASTER.parse().unwrap());
                    self.plan.push(Event::MasterDetected(master));
                }
                Effect::Send { after, message, .. } => {
                    assert!(after <= self.durable, "a message before its record");
                    self.answer(*message);
                }
                Effect::Tell { after, event, connection } => {
                    assert!(after <= self.durable, "an event before its record");
                    if let Some(launch) = event.launch {
                        self.reports(connection, &launch.task.task_id.value);
                    }
                }
                Effect::Answer { request, answer } => {
                    assert_eq!(Some(request), asked, "an answer to nobody");
                    answers += 1;
                    if let crate::engine::event::Answer::Subscribed(connection) = answer {
                        self.connections.push(connection);
                    }
                }
                Effect::Exit(_) => self.over = true,
                _ => {}
            }
        }
        assert_eq!(answers, usize::from(asked.is_some()), "every call is answered once");
    }
}

#[test]
fn whatever_happens_the_engine_does_not_contradict_itself() {
    let (mut longest, mut launched, mut finished) = (0, 0, 0);
    for seed in 0..400 {
        let mut chaos = Chaos::new(seed);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut steps = 0;
            while steps < 600 && !chaos.over {
                chaos.step();
                steps += 1;
            }
            steps
        }));
        match played {
            Ok(steps) => longest = longest.max(steps),
            Err(cause) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(cause);
            }
        }
        launched += chaos.containers.len();
        finished += chaos.agent.engine.state().counters.tasks_finished;
    }
    assert_eq!(longest, 600, "some stories do not end early");
    assert!(launched > 2000 && finished > 500, "{launched} launched, {finished} finished");
}
