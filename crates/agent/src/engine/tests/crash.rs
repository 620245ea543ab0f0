//! The agent dies after every single effect, and comes back.
//!
//! One task from launch to end, in a small world: a master that reconciles, a scheduler that
//! acknowledges, a container, an executor that keeps what was not acknowledged. The agent's
//! checkpoints are real files. Whatever the moment of its death, in the end the scheduler has
//! heard of the task's end, and of every update that the executor was told is safe, in order.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::fixture::*;
use crate::checkpoint::Store;
use crate::containerizer::Termination;
use crate::engine::Engine;
use crate::engine::event::{Answer, ConnectionId, Effect, Event, RequestId, TokenDigest};
use crate::engine::rules::Rules;
use crate::engine::stream::UpdateId;
use crate::engine::task::{is_terminal, state_of};
use crate::engine::tokens::digest;
use crate::message::{AgentMessage, MasterMessage};
use model::id::ContainerId;
use model::time::{Instant, Now, Timestamp};
use std::time::Duration;
use wire::internal as i;
use wire::v1::executor::{call, event};
use wire::v1::{self, TaskState};

/// What the executor reports, in this order, each with a uuid of its own.
const SCRIPT: [(TaskState, u8); 3] =
    [(TaskState::TaskStarting, 1), (TaskState::TaskRunning, 2), (TaskState::TaskFinished, 3)];

/// An executor that lives through the deaths of its agent.
#[derive(Default)]
struct Executor {
    connection: Option<ConnectionId>,
    asked: Option<RequestId>,
    has_task: bool,
    reported: usize,
    unacknowledged: Vec<v1::TaskStatus>,
    /// Updates that it was told are safe.
    safe: Vec<u8>,
    told_to_end: bool,
    /// What is kept of the token that it uses.
    token: Option<TokenDigest>,
}

struct Run {
    container: ContainerId,
    pid_checkpoint: PathBuf,
    executor: Executor,
    watched: bool,
    ended: bool,
}

struct World {
    rules: Rules,
    store: Store,
    engine: Engine,
    now: Now,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
    /// How many effects were carried out, and after which one the agent dies.
    carried: usize,
    dies_after: Option<usize>,
    launched: bool,
    run: Option<Run>,
    requests: u64,
    /// What the scheduler heard: state and uuid.
    heard: Vec<(TaskState, u8)>,
    ended: bool,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(dies_after: Option<usize>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut rules = rules();
        rules.work_dir = directory.path().to_owned();
        let store = Store::open(directory.path()).unwrap();
        let now = Now {
            monotonic: Instant::default(),
            wall: Timestamp::new(Duration::from_secs(1_800_000_000)),
        };
        let found = store.recover(true, "boot").unwrap();
        let (engine, effects) = Engine::new(rules.clone(), [1; 32], found, now);
        Self {
            rules,
            store,
            engine,
            now,
            effects: effects.into(),
            events: VecDeque::new(),
            carried: 0,
            dies_after,
            launched: false,
            run: None,
            requests: 0,
            heard: Vec::new(),
            ended: false,
            _directory: directory,
        }
    }

    /// The agent's process is gone, and a new one starts.
    fn die(&mut self) {
        self.events.clear();
        if let Some(run) = &mut self.run {
            run.executor.connection = None;
            run.executor.asked = None;
            run.watched = false;
        }
        let found = self.store.recover(true, "boot").unwrap();
        let seed = [u8::try_from(self.carried % 250).unwrap() + 2; 32];
        let (engine, effects) = Engine::new(self.rules.clone(), seed, found, self.now);
        self.engine = engine;
        self.effects = effects.into();
    }

    /// Runs until nothing more will happen. Returns whether the agent died.
    fn play(&mut self) -> bool {
        let mut died = false;
        for _ in 0..2000 {
            if let Some(effect) = self.effects.pop_front() {
                self.carry_out(effect);
                self.carried += 1;
                if self.dies_after == Some(self.carried) {
                    died = true;
                    self.die();
                }
            } else if let Some(event) = self.events.pop_front() {
                self.effects = self.engine.handle(event, self.now).into();
            } else if self.executor_acts() {
            } else if self.ended && self.run.as_ref().is_none_or(|run| run.ended) {
                return died;
            } else if let Some(at) = self.engine.next_deadline() {
                self.now.monotonic = self.now.monotonic.max(at);
                self.events.push_back(Event::TimePassed);
            } else {
                panic!("nothing happens any more; heard {:?}", self.heard);
            }
        }
        panic!("the story does not end; heard {:?}", self.heard);
    }

    fn says(&mut self, message: MasterMessage) {
        self.events.push_back(Event::Message { from: master(), message });
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { record, .. } => self.store.apply(&record).unwrap(),
            Effect::Redetect => {
                self.events.push_back(Event::MasterDetected(Some(MASTER.parse().unwrap())));
            }
            Effect::Send { message, .. } => self.master_hears(*message),
            Effect::RecoverContainers(known) => {
                if let Some(run) = &mut self.run {
                    let is_known = known
                        .iter()
                        .any(|k| k.container_id == run.container && k.pid == Some(4711));
                    // What the agent does not know, or what never ran, is ended.
                    run.ended |= !is_known;
                } else if let Some(known) = known.first() {
                    self.run = Some(Run {
                        container: known.container_id.clone(),
                        pid_checkpoint: PathBuf::new(),
                        executor: Executor::default(),
                        watched: false,
                        ended: true,
                    });
                }
                self.events.push_back(Event::ContainersRecovered);
            }
            Effect::Launch { request, .. } => {
                let pid_checkpoint = request.pid_checkpoint.clone().unwrap();
                std::fs::create_dir_all(pid_checkpoint.parent().unwrap()).unwrap();
                std::fs::write(&pid_checkpoint, "4711").unwrap();
                let container = request.container_id.clone();
                let token = &request.secrets.as_ref().unwrap().token;
                let executor =
                    Executor { token: Some(digest(token.expose())), ..Executor::default() };
                self.run = Some(Run {
                    container: container.clone(),
                    pid_checkpoint,
                    executor,
                    watched: false,
                    ended: false,
                });
                self.events.push_back(Event::Launched { container, pid: 4711 });
            }
            Effect::Watch(container) => {
                let run = self.run.as_mut().filter(|run| run.container == container);
                match run {
                    Some(run) => {
                        run.watched = true;
                        if run.ended {
                            self.container_ended();
                        }
                    }
                    None => self.events.push_back(Event::ContainerTerminated {
                        container,
                        termination: Termination::default(),
                    }),
                }
            }
            Effect::Destroy(container) => {
                if self.run.as_ref().is_some_and(|run| run.container == container) {
                    self.container_ended();
                }
            }
            Effect::UpdateContainer { container, .. } => {
                self.events.push_back(Event::ContainerUpdated { container, result: Ok(()) });
            }
            Effect::Answer { request, answer } => {
                let executor = self.run.as_mut().map(|run| &mut run.executor);
                if let Some(executor) = executor.filter(|e| e.asked == Some(request)) {
                    executor.asked = None;
                    match answer {
                        Answer::Subscribed(connection) => executor.connection = Some(connection),
                        // A restarted agent does not know how old the token is.
                        Answer::Renewed(token) => executor.token = Some(digest(token.expose())),
                        Answer::Accepted => {}
                        Answer::Refused(refusal) => panic!("refused: {refusal:?}"),
                    }
                }
            }
            Effect::Tell { connection, event, .. } => {
                let executor = self.run.as_mut().map(|run| &mut run.executor);
                if let Some(executor) = executor.filter(|e| e.connection == Some(connection)) {
                    executor.hear(&event);
                }
            }
            Effect::Close(connection) => {
                let executor = self.run.as_mut().map(|run| &mut run.executor);
                if let Some(executor) = executor.filter(|e| e.connection == Some(connection)) {
                    executor.connection = None;
                }
            }
            Effect::Link(_) | Effect::Log(..) => {}
            other @ (Effect::Authenticate(_)
            | Effect::LinkExecutor(_)
            | Effect::SendExecutor { .. }
            | Effect::StopAuthenticating) => panic!("nobody asked for {other:?}"),
            Effect::Exit(exit) => panic!("the agent gave up: {exit}"),
        }
    }

    fn container_ended(&mut self) {
        let Some(run) = &mut self.run else { return };
        run.ended = true;
        if run.watched {
            self.events.push_back(Event::ContainerTerminated {
                container: run.container.clone(),
                termination: Termination { status: Some(0), ..Default::default() },
            });
        }
    }

    fn master_hears(&mut self, message: AgentMessage) {
        match message {
            AgentMessage::Register(_) => {
                self.says(MasterMessage::Registered(Box::new(registered(AGENT_ID))));
            }
            AgentMessage::Reregister(message) => {
                let listed = message.tasks.iter().any(|t| t.task_id.value == "t");
                let missing = self.launched && !self.ended && !listed;
                self.says(reregistered(
                    missing
                        .then(|| i::ReconcileTasksMessage {
                            framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
                            statuses: vec![v1::TaskStatus {
                                task_id: v1::TaskId { value: "t".into() },
                                ..Default::default()
                            }],
                            framework: Some(framework_info(true, true)),
                        })
                        .into_iter()
                        .collect(),
                ));
            }
            AgentMessage::Update(_) if !self.launched => {
                self.launched = true;
                let message = run_task(command_task("t"), true);
                self.says(MasterMessage::RunTask(Box::new(message)));
            }
            AgentMessage::StatusUpdate(message) => {
                let update = message.update;
                let uuid = update.uuid.clone().unwrap();
                assert!(UpdateId::from_wire(&uuid).is_some());
                let state = state_of(&update.status);
                if self.heard.last() != Some(&(state, uuid[0])) {
                    self.heard.push((state, uuid[0]));
                }
                self.ended |= is_terminal(state);
                self.says(MasterMessage::StatusUpdateAcknowledgement(Box::new(
                    i::StatusUpdateAcknowledgementMessage {
                        slave_id: v1::AgentId { value: AGENT_ID.into() },
                        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
                        task_id: v1::TaskId { value: "t".into() },
                        uuid,
                    },
                )));
            }
            _ => {}
        }
    }

    /// Lets the executor do its next thing; `false` if it has nothing to do.
    fn executor_acts(&mut self) -> bool {
        let can_answer = self.engine.state().executors_known;
        let Some(run) = self.run.as_mut().filter(|run| !run.ended) else { return false };
        let token = run.executor.token;
        let container = Container { id: run.container.clone(), executor: "t".into(), token };
        let executor = &mut run.executor;
        assert!(run.pid_checkpoint.exists());
        if executor.asked.is_some() {
            return false;
        }
        if executor.told_to_end || (executor.reported == SCRIPT.len() && executor.is_done()) {
            self.container_ended();
            return true;
        }
        if !can_answer {
            return false;
        }
        let call = if executor.connection.is_none() {
            container.subscribe_call(call::Subscribe {
                unacknowledged_tasks: executor
                    .has_task
                    .then(|| command_task("t"))
                    .into_iter()
                    .collect(),
                unacknowledged_updates: executor
                    .unacknowledged
                    .iter()
                    .map(|status| call::Update { status: status.clone() })
                    .collect(),
            })
        } else if executor.has_task && executor.reported < SCRIPT.len() {
            let (state, uuid) = SCRIPT[executor.reported];
            executor.reported += 1;
            let status = status("t", state, uuid);
            executor.unacknowledged.push(status.clone());
            container.update_call(status)
        } else {
            return false;
        };
        self.requests += 1;
        let request = RequestId(self.requests);
        executor.asked = Some(request);
        let caller = container.caller();
        self.events.push_back(Event::ExecutorCall { request, caller, call: Box::new(call) });
        true
    }
}

impl Executor {
    fn is_done(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    fn hear(&mut self, event: &v1::executor::Event) {
        match event.r#type() {
            event::Type::Launch => self.has_task = true,
            event::Type::Acknowledged => {
                let uuid = &event.acknowledged.as_ref().unwrap().uuid;
                self.unacknowledged.retain(|status| status.uuid.as_ref() != Some(uuid));
                if !self.safe.contains(&uuid[0]) {
                    self.safe.push(uuid[0]);
                }
            }
            event::Type::Shutdown => self.told_to_end = true,
            _ => {}
        }
    }
}

#[test]
fn a_task_runs_from_launch_to_end() {
    let mut world = World::new(None);
    world.play();
    assert_eq!(world.heard, SCRIPT);
}

#[test]
fn whenever_the_agent_dies_no_update_is_lost() {
    let mut finished = 0;
    let mut deaths = 0;
    for dies_after in 1.. {
        let mut world = World::new(Some(dies_after));
        if !world.play() {
            break;
        }
        deaths += 1;
        let heard = &world.heard;
        let last = heard.last().expect("the scheduler hears of the end");
        assert!(is_terminal(last.0), "{dies_after}: {heard:?}");
        let script: Vec<u8> = heard.iter().map(|h| h.1).filter(|uuid| *uuid <= 3).collect();
        // In order; a resent head may come twice, but nothing comes after what follows it.
        assert!(script.is_sorted(), "{dies_after}: {heard:?}");
        if let Some(run) = &world.run {
            for safe in &run.executor.safe {
                assert!(script.contains(safe), "{dies_after}: {safe} was lost: {heard:?}");
            }
            if run.executor.has_task {
                assert_eq!(script.last(), Some(&3), "{dies_after}: {heard:?}");
                finished += 1;
            }
        }
    }
    assert!(deaths > 30, "{deaths}");
    // Most deaths cost nothing at all.
    assert!(finished * 2 > deaths, "{finished} of {deaths}");
}
