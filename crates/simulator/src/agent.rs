//! An agent's machine: the agent's process, which may crash, its disk, which stays, and its
//! containers, which live through the agent's crashes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use agent::containerizer::{LaunchRequest, RecoveredContainer, Termination};
use agent::engine::Engine;
use agent::engine::event::{Answer, Effect, Event, Exit, Record, RequestId};
use agent::engine::rules::{ExecutorProgram, Reconfiguration, Recover, Rules, TokenRules};
use agent::engine::users::TaskUserPolicy;
use agent::message::{AgentMessage, MasterMessage};
use model::id::ContainerId;
use model::resources::parse;
use model::role::Role;
use model::time::Instant;
use wire::resources::{Form, write};

use crate::container::Container;
use crate::core::{Core, Happening, Inner, Outer};
use crate::disk::Disk;
use crate::names::{Host, Node, agent_pid, bound, certificate};
use crate::net::{Parcel, PipeId};
use crate::sabotage::Sabotage;

/// The agent's process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) engine: Engine,
    link: Option<PipeId>,
    armed: Option<Instant>,
    /// Containers that were asked for and do not run yet.
    launching: BTreeMap<ContainerId, Box<LaunchRequest>>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) n: u8,
    runs: u32,
    rules: Rules,
    pub(crate) process: Option<Process>,
    pub(crate) disk: Disk,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    requests: u64,
    /// Which container waits for the answer to which call.
    pub(crate) asked: BTreeMap<RequestId, ContainerId>,
    /// After how many effects the agent crashes.
    pub(crate) crash: Option<usize>,
    /// It has crashed.
    pub(crate) dead: bool,
}

fn rules(n: u8, resources: &str) -> Rules {
    let resources = parse(resources, &Role::any()).unwrap_or_default();
    Rules {
        pid: agent_pid(n),
        hostname: format!("host-{n}"),
        resources: write(&resources, Form::PostRefinement),
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
        executor_trust: None,
        tokens: TokenRules { issuer: None, lifetime: Duration::from_secs(3600) },
        authenticates: false,
        reconfiguration: Reconfiguration::Equal,
        recover: Recover::Reconnect,
        max_completed_frameworks: 50,
        max_completed_executors: 150,
        max_completed_tasks: 200,
    }
}

impl Machine {
    pub(crate) fn new(n: u8, resources: &str) -> Self {
        Self {
            n,
            runs: 0,
            rules: rules(n, resources),
            process: None,
            disk: Disk::default(),
            containers: BTreeMap::new(),
            requests: 0,
            asked: BTreeMap::new(),
            crash: None,
            dead: false,
        }
    }

    pub(crate) fn node(&self) -> Node {
        Node { host: Host::Agent(self.n), run: self.runs }
    }

    /// The agent starts, and goes on from what is on the disk.
    pub(crate) fn start(&mut self, core: &mut Core) {
        if self.process.is_some() {
            return;
        }
        self.runs += 1;
        self.crash = None;
        self.dead = false;
        let node = self.node();
        core.running.insert(node.host, node.run);
        core.net.listeners.insert(agent_pid(self.n).address, node);
        let found = self.disk.recover();
        core.trace(node, || {
            let runs = found.frameworks.iter().flat_map(|f| f.executors.iter().map(|e| &e.run));
            let runs = runs.map(|run| {
                let tasks = run.tasks.iter().map(|t| format!("{} ({})", t.id, t.updates.len()));
                format!(
                    "{}: {:?}",
                    if run.completed { "over" } else { "open" },
                    tasks.collect::<Vec<_>>()
                )
            });
            format!("starts as {:?} with {:?}", self.disk.agent_id(), runs.collect::<Vec<_>>())
        });
        let seed = core.dice.bytes();
        let (engine, effects) = Engine::new(self.rules.clone(), seed, found, core.now);
        let process = Process { engine, link: None, armed: None, launching: BTreeMap::new() };
        self.process = Some(process);
        self.carry_out(effects, core);
        self.arm(core);
    }

    /// The agent's process ends, whatever it was about to do.
    pub(crate) fn ends(&mut self, core: &mut Core) {
        let Some(process) = self.process.take() else { return };
        core.trace(self.node(), || "ends".to_owned());
        core.process_ended(self.node());
        self.asked.clear();
        // A container that was being started comes up all the same, or never does.
        for (id, request) in process.launching {
            if core.dice.percent(50) {
                self.begin(&id, &request, core);
            }
        }
        for container in self.containers.values_mut() {
            container.agent_lost(self.n, core);
        }
    }

    /// The machine is started again: nothing runs any more.
    pub(crate) fn reboot(&mut self, core: &mut Core) {
        self.ends(core);
        for container in self.containers.values_mut() {
            container.ended = true;
        }
        self.disk.reboot();
    }

    pub(crate) fn tell(&mut self, event: Event, core: &mut Core) {
        let Some(process) = &mut self.process else { return };
        let effects = process.engine.handle(event, core.now);
        self.carry_out(effects, core);
        self.arm(core);
    }

    pub(crate) fn receive(&mut self, via: PipeId, parcel: Parcel, core: &mut Core) {
        let Parcel::Message { from, name, body, .. } = parcel else { return };
        if core.sabotage == Some(Sabotage::LostAcknowledgements)
            && name.ends_with("StatusUpdateAcknowledgementMessage")
        {
            return;
        }
        match MasterMessage::decode(name, &body) {
            Ok(message) => {
                core.trace(self.node(), || format!("hears {}", brief(&message)));
                let from = bound(from, certificate(Host::Master), via);
                self.tell(Event::Message { from, message }, core);
            }
            Err(error) => core.ledger.violation(format!("an agent cannot read {name}: {error}")),
        }
    }

    pub(crate) fn noticed(&mut self, pipe: PipeId, core: &mut Core) {
        let Some(process) = self.process.as_mut().filter(|process| process.link == Some(pipe))
        else {
            return;
        };
        process.link = None;
        if let Some(master) = process.engine.state().master.clone() {
            core.trace(self.node(), || format!("the link to {master} broke"));
            self.tell(Event::MasterExited(master), core);
        }
    }

    pub(crate) fn happens(&mut self, inner: Inner, core: &mut Core) {
        match inner {
            Inner::Deadline => {
                let Some(process) = &mut self.process else { return };
                process.armed = None;
                if process.engine.next_deadline().is_some_and(|at| at <= core.now.monotonic) {
                    return self.tell(Event::TimePassed, core);
                }
            }
            Inner::Detected => return self.tell(Event::MasterDetected(core.leader.clone()), core),
            Inner::Told(event) => return self.tell(*event, core),
            Inner::Launch(container) => return self.launch(&container, core),
            _ => {}
        }
        self.arm(core);
    }

    fn arm(&mut self, core: &mut Core) {
        let node = self.node();
        let Some(process) = &mut self.process else { return };
        let Some(at) = process.engine.next_deadline() else { return };
        if process.armed.is_none_or(|armed| at < armed) {
            process.armed = Some(at);
            core.at(at, Happening::In(node, Inner::Deadline));
        }
    }

    fn soon(&self, event: Event, core: &mut Core) {
        let wait = core.dice.millis(1, 20);
        core.after(wait, Happening::In(self.node(), Inner::Told(Box::new(event))));
    }

    fn carry_out(&mut self, effects: Vec<Effect>, core: &mut Core) {
        for effect in effects {
            match &mut self.crash {
                Some(0) => {
                    core.ledger.count("crashes of agents between two effects");
                    self.dead = true;
                    return;
                }
                Some(left) => *left -= 1,
                None => {}
            }
            self.execute(effect, core);
            if self.dead {
                return;
            }
        }
    }

    fn execute(&mut self, effect: Effect, core: &mut Core) {
        match effect {
            Effect::Answer { request, answer } => self.answer(request, answer, core),
            Effect::Authenticate(_) | Effect::StopAuthenticating => {
                core.ledger.violation("an agent wants to authenticate".to_owned());
            }
            Effect::Close(connection) => {
                // After what was sent on it before.
                let of = self.containers.values().find(|c| c.connection == Some(connection));
                if let Some(container) = of {
                    let closed = Outer::Closed(container.id.clone(), connection);
                    core.after(Duration::from_millis(1), Happening::On(self.n, closed));
                }
            }
            Effect::Destroy(container) => {
                let wait = core.dice.millis(5, 300);
                core.after(wait, Happening::On(self.n, Outer::Ends(container, 9)));
            }
            Effect::Exit(exit) => self.exits(&exit, core),
            Effect::Launch { request, .. } => {
                let wait = core.dice.millis(10, 1500);
                let id = request.container_id.clone();
                let node = self.node();
                if let Some(process) = &mut self.process {
                    process.launching.insert(id.clone(), request);
                }
                core.after(wait, Happening::In(node, Inner::Launch(id)));
            }
            Effect::Link(master) => {
                let pipe = core.link(self.node(), master.address);
                if let Some(process) = &mut self.process {
                    process.link = Some(pipe);
                }
            }
            Effect::LinkExecutor(_) | Effect::SendExecutor { .. } => {
                core.ledger.violation("an executor is spoken to in the old protocol".to_owned());
            }
            Effect::Log(severity, text) => {
                let info = severity == agent::engine::event::Severity::Info;
                core.trace(self.node(), || format!("{} {text}", if info { "-" } else { "!" }));
            }
            Effect::Persist { record, .. } => {
                let forgets = core.sabotage == Some(Sabotage::ForgetfulAgents)
                    && matches!(*record, Record::Update { .. });
                if !forgets {
                    self.disk.apply(*record);
                }
            }
            Effect::RecoverContainers(known) => self.take_over(&known, core),
            Effect::Redetect => core.detect(self.node()),
            Effect::Send { to, message, .. } => self.send(&to, &message, core),
            Effect::Tell { connection, event, .. } => self.hears(connection, event, core),
            Effect::UpdateContainer { container, .. } => {
                let runs = self.containers.get(&container).is_some_and(|c| !c.ended);
                let result = if runs { Ok(()) } else { Err("it has ended".to_owned()) };
                self.soon(Event::ContainerUpdated { container, result }, core);
            }
            Effect::Watch(container) => {
                let runs = self.containers.get(&container).is_some_and(|c| !c.ended);
                if !runs {
                    let termination = Termination::default();
                    self.soon(Event::ContainerTerminated { container, termination }, core);
                }
            }
        }
    }

    fn exits(&mut self, exit: &Exit, core: &mut Core) {
        core.trace(self.node(), || format!("exits: {exit}"));
        self.dead = true;
    }

    fn send(&mut self, to: &libprocess::upid::Upid, message: &AgentMessage, core: &mut Core) {
        let Some(pipe) = core.reach(self.node(), to.address) else { return };
        let (name, body) = (message.name(), message.encode());
        let (from, to) = (agent_pid(self.n), to.id.clone());
        core.send(pipe, Parcel::Message { from, to, name, body });
    }

    fn take_over(&mut self, known: &[RecoveredContainer], core: &mut Core) {
        for container in self.containers.values_mut().filter(|container| !container.ended) {
            let pid = Some(container.pid);
            if !known.iter().any(|k| k.container_id == container.id && k.pid == pid) {
                core.trace(format!("host-{}", self.n), || {
                    format!("destroys the unknown container of {}", container.executor)
                });
                container.ended = true;
            }
        }
        self.soon(Event::ContainersRecovered, core);
    }

    /// A container that was asked for runs, or fails to.
    fn launch(&mut self, id: &ContainerId, core: &mut Core) {
        let Some(process) = &mut self.process else { return };
        let Some(request) = process.launching.remove(id) else { return };
        if core.turmoil && core.dice.percent(3) {
            core.ledger.count("containers that failed to start");
            let message = "no luck".to_owned();
            return self.tell(Event::LaunchFailed { container: id.clone(), message }, core);
        }
        self.begin(id, &request, core);
        let Some(pid) = self.containers.get(id).map(|container| container.pid) else { return };
        self.tell(Event::Launched { container: id.clone(), pid }, core);
    }

    fn begin(&mut self, id: &ContainerId, request: &LaunchRequest, core: &mut Core) {
        let pid = u32::try_from(self.containers.len()).unwrap_or(0) + 100;
        let checkpointed = request.pid_checkpoint.is_some();
        if checkpointed {
            self.disk.note_pid(id.clone(), pid);
        }
        core.trace(format!("host-{}", self.n), || format!("runs {}", request.executor_id));
        let mut container = Container::new(request, pid, checkpointed);
        let wait = core.dice.millis(5, 500);
        container.later(self.n, wait, core);
        self.containers.insert(id.clone(), container);
    }

    fn answer(&mut self, request: RequestId, answer: Answer, core: &mut Core) {
        let Some(id) = self.asked.remove(&request) else { return };
        if let Some(container) = self.containers.get_mut(&id) {
            container.answered(answer, self.n, core);
        }
    }

    fn hears(
        &mut self,
        connection: agent::engine::event::ConnectionId,
        event: Box<wire::v1::executor::Event>,
        core: &mut Core,
    ) {
        let of =
            self.containers.values().find(|container| container.connection == Some(connection));
        if let Some(container) = of {
            let hears = Outer::Hears(container.id.clone(), connection, event);
            core.after(Duration::from_millis(1), Happening::On(self.n, hears));
        }
    }

    /// A container that does not run yet is given up.
    pub(crate) fn abandon(&mut self, id: &ContainerId, core: &mut Core) {
        let launching = self.process.as_mut().and_then(|process| process.launching.remove(id));
        if launching.is_some() {
            let message = "Container destroyed while it was being launched".to_owned();
            self.tell(Event::LaunchFailed { container: id.clone(), message }, core);
        }
    }

    /// A number for a new call of an executor.
    pub(crate) fn fresh_request(&mut self, container: &ContainerId) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.asked.insert(request, container.clone());
        request
    }
}

fn brief(message: &MasterMessage) -> String {
    match message {
        MasterMessage::RunTask(message) => format!("that {} is to run", message.task.task_id.value),
        MasterMessage::KillTask(message) => format!("that {} is to end", message.task_id.value),
        MasterMessage::StatusUpdateAcknowledgement(message) => {
            format!("that an update of {} is acknowledged", message.task_id.value)
        }
        message => message.name().to_owned(),
    }
}
