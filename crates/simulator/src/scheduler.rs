//! A scheduler: what it wants, what it believes, what it does with what it is told. How it speaks,
//! over HTTP or as a driver, is in [`speech`].
//!
//! It is a careful one: it writes down a task before it launches it and an update before it
//! acknowledges it, and asks again and again about tasks that have not ended.

pub(crate) mod operations;
mod speech;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libprocess::upid::Upid;
use model::resources::parse;
use model::role::Role;
use model::time::Instant;
use wire::resources::{Form, write};
use wire::v1::offer::operation;
use wire::v1::scheduler::{Call, call};
use wire::v1::{self, TaskState, framework_info};

use crate::core::{Core, Happening, Inner};
use crate::names::{Host, Node};
use crate::net::{Parcel, PipeId};
use crate::shape::{Life, SchedulerShape};
use operations::Operations;
pub(crate) use speech::News;
use speech::Speech;

/// Something that a scheduler wants to have run to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// How many more tasks it is worth.
    lives: u8,
    /// In tenths of a CPU.
    cpus: u32,
    mem: u32,
}

/// What a scheduler believes of a task.
#[derive(Clone, Debug)]
pub(crate) struct Belief {
    pub(crate) agent: String,
    pub(crate) state: TaskState,
    since: Instant,
    job: Job,
    killed: bool,
    /// The endings that it has acknowledged.
    pub(crate) acknowledged: Vec<TaskState>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) n: u8,
    pub(crate) shape: SchedulerShape,
    runs: u32,
    pub(crate) up: bool,
    /// It never comes back.
    pub(crate) over: bool,
    // What it has written down.
    pub(crate) id: Option<String>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) tasks: BTreeMap<String, Belief>,
    made: u32,
    pub(crate) operations: Operations,
    roles: Vec<String>,
    // What its process knows.
    leader: Option<Upid>,
    speech: Speech,
    offers: BTreeMap<String, v1::Offer>,
    /// The roles in which it wants no offers now.
    suppressed: BTreeSet<String>,
    /// It ends its process, to be started again.
    pub(crate) dead: bool,
}

/// Whether nothing more is expected of a task in this state.
pub(crate) fn is_final(state: TaskState) -> bool {
    !matches!(
        state,
        TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
    )
}

/// Whether a task in this state may turn out to be alive.
fn may_live(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskLost
            | TaskState::TaskUnknown
            | TaskState::TaskGone
            | TaskState::TaskDropped
            | TaskState::TaskUnreachable
    )
}

impl Scheduler {
    pub(crate) fn new(n: u8, shape: SchedulerShape, core: &mut Core) -> Self {
        let jobs = (0..shape.jobs).map(|_| Job {
            lives: 6,
            cpus: 1 + u32::try_from(core.dice.below(15)).unwrap_or(0),
            mem: 16 + u32::try_from(core.dice.below(100)).unwrap_or(0),
        });
        Self {
            n,
            jobs: jobs.collect(),
            runs: 0,
            up: false,
            over: false,
            id: None,
            tasks: BTreeMap::new(),
            made: 0,
            operations: Operations {
                left: u8::try_from(core.dice.below(8)).unwrap_or(0),
                ..Operations::default()
            },
            leader: None,
            speech: Speech::new(shape.driver),
            offers: BTreeMap::new(),
            suppressed: BTreeSet::new(),
            roles: ["red", "blue"].map(str::to_owned).into(),
            dead: false,
            shape,
        }
    }

    pub(crate) fn node(&self) -> Node {
        Node { host: Host::Scheduler(self.n), run: self.runs }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.up && self.speech.is_subscribed()
    }

    pub(crate) fn start(&mut self, core: &mut Core) {
        if self.up || self.over {
            return;
        }
        self.runs += 1;
        self.up = true;
        self.dead = false;
        self.offers.clear();
        self.suppressed.clear();
        self.speech = Speech::new(self.shape.driver);
        let node = self.node();
        core.running.insert(node.host, node.run);
        self.speech.listen(node, core);
        core.trace(node, || format!("starts as {:?}", self.id));
        core.detect(node);
        self.again(Duration::from_secs(20), Inner::Watch, core);
        self.again(Duration::from_secs(90), Inner::Reconcile, core);
        self.again(Duration::from_secs(60), Inner::Kill, core);
        self.again(Duration::from_secs(40), Inner::Whim, core);
    }

    /// Its process ends.
    pub(crate) fn ends(&mut self, core: &mut Core) {
        if self.up {
            core.trace(self.node(), || "ends".to_owned());
            self.up = false;
            core.process_ended(self.node());
        }
    }

    fn again(&self, at_most: Duration, inner: Inner, core: &mut Core) {
        let wait = core.dice.between(at_most / 3, at_most);
        core.after(wait, Happening::In(self.node(), inner));
    }

    fn info(&self) -> v1::FrameworkInfo {
        use framework_info::capability::Type;
        let mut capabilities = Vec::new();
        if self.shape.partition_aware {
            capabilities.push(Type::PartitionAware);
        }
        let mut roles = Vec::new();
        if self.shape.multi_role {
            capabilities.push(Type::MultiRole);
            if self.shape.operates {
                capabilities.push(Type::ReservationRefinement);
            }
            roles.clone_from(&self.roles);
        }
        v1::FrameworkInfo {
            user: "nobody".to_owned(),
            name: format!("f{}", self.n),
            id: self.id.clone().map(|value| v1::FrameworkId { value }),
            checkpoint: Some(self.shape.checkpoint),
            failover_timeout: Some(self.shape.failover_timeout.as_secs_f64()),
            principal: Some(format!("f{}", self.n)),
            roles,
            capabilities: capabilities
                .into_iter()
                .map(|kind| framework_info::Capability { r#type: Some(kind.into()) })
                .collect(),
            ..v1::FrameworkInfo::default()
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        let framework_id = self.id.clone().map(|value| v1::FrameworkId { value });
        let mut call = Call { framework_id, ..Call::default() };
        call.set_type(kind);
        call
    }

    fn say(&mut self, call: Call, core: &mut Core) {
        let node = self.node();
        core.ledger.count(call.r#type().as_str_name());
        self.speech.call(node, call, core);
    }

    pub(crate) fn happens(&mut self, inner: Inner, core: &mut Core) {
        match inner {
            Inner::Detected => {
                self.leader.clone_from(&core.leader);
                self.subscribe(core);
            }
            Inner::Subscribe => self.subscribe(core),
            Inner::Watch => {
                let node = self.node();
                if !self.speech.is_well(node, core) {
                    self.speech.hang_up(node, core);
                    self.offers.clear();
                    core.detect(node);
                }
                self.again(Duration::from_secs(20), Inner::Watch, core);
            }
            Inner::Consider(id) => self.consider(&id, core),
            Inner::Leave(id) if self.is_subscribed() => self.answers(id, core),
            Inner::Reconcile => {
                self.reconcile(core);
                self.reconcile_operations(core);
                self.again(Duration::from_secs(90), Inner::Reconcile, core);
            }
            Inner::Kill => {
                self.kill(core);
                self.again(Duration::from_secs(60), Inner::Kill, core);
            }
            Inner::Whim => {
                self.whim(core);
                self.again(Duration::from_secs(40), Inner::Whim, core);
            }
            Inner::Acknowledge(acknowledge) => {
                let mut call = self.call(call::Type::Acknowledge);
                call.acknowledge = Some(*acknowledge);
                self.say(call, core);
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, core: &mut Core) {
        if self.speech.is_subscribed() {
            return;
        }
        let node = self.node();
        if let Some(leader) = self.leader.clone() {
            self.speech.subscribe(node, &leader, self.wish(), core);
        }
    }

    pub(crate) fn noticed(&mut self, pipe: PipeId, core: &mut Core) {
        let node = self.node();
        if self.speech.noticed(pipe) {
            core.trace(node, || "its connection broke".to_owned());
            self.speech.hang_up(node, core);
            self.offers.clear();
            core.detect(node);
        }
    }

    pub(crate) fn receive(&mut self, via: PipeId, parcel: Parcel, core: &mut Core) {
        let node = self.node();
        for news in self.speech.receive(node, via, parcel, core) {
            self.hear(news, core);
        }
    }

    fn hear(&mut self, news: News, core: &mut Core) {
        match news {
            News::Subscribed(id) => {
                core.trace(self.node(), || format!("is subscribed as {id}"));
                let again = self.id.replace(id).is_some();
                core.ledger.count(if again { "subscriptions again" } else { "subscriptions" });
                self.offers.clear();
                self.reconcile(core);
            }
            News::Offers(offers) => {
                for offer in offers {
                    core.ledger.count("offers");
                    core.trace(self.node(), || format!("is offered {}", offer.id.value));
                    let wait = match core.dice.below(10) {
                        0 => core.dice.secs(1, 60),
                        _ => core.dice.millis(1, 1000),
                    };
                    let id = offer.id.clone();
                    core.after(wait, Happening::In(self.node(), Inner::Consider(id.clone())));
                    self.offers.insert(id.value, offer);
                }
            }
            News::InverseOffers(offers) => self.is_asked_to_leave(offers, core),
            News::Rescinded(id) => {
                // Some do not listen in time.
                if !core.dice.percent(10) {
                    self.offers.remove(&id);
                }
            }
            News::Update(status, needs_acknowledgement) => {
                self.update(&status, needs_acknowledgement, core);
            }
            News::Operation(status) => self.operation_status(&status, core),
            News::Refused(why) => {
                core.trace(self.node(), || format!("is refused: {why}"));
                self.offers.clear();
                if why.contains("has been removed") {
                    self.is_removed(core);
                }
                // A driver aborts its scheduler, others subscribe again.
                if self.shape.driver {
                    self.dead = true;
                } else {
                    let node = self.node();
                    self.speech.hang_up(node, core);
                    core.detect(node);
                }
            }
            News::Ended => {
                self.offers.clear();
                let node = self.node();
                self.speech.hang_up(node, core);
                core.detect(node);
            }
            News::Other => {}
        }
    }

    /// The framework is no more: it begins anew.
    fn is_removed(&mut self, core: &mut Core) {
        if let Some(id) = self.id.take() {
            core.ledger.ended.insert(id);
        }
        self.operations.known.clear();
        let tasks = std::mem::take(&mut self.tasks);
        let alive = tasks.into_values().filter(|task| !is_final(task.state));
        self.jobs.extend(alive.map(|task| task.job));
    }

    fn update(&mut self, status: &v1::TaskStatus, wants_acknowledgement: bool, core: &mut Core) {
        let name = status.task_id.value.clone();
        let state = status.state();
        core.trace(self.node(), || {
            format!(
                "hears that {name} is {} {} {:?}",
                state.as_str_name(),
                status.reason().as_str_name(),
                status.message.as_deref().unwrap_or_default()
            )
        });
        core.ledger.count(state.as_str_name());
        if let Some(task) = self.tasks.get_mut(&name) {
            let was = task.state;
            if !is_final(was) || (may_live(was) && state != TaskState::TaskUnknown) {
                task.state = state;
            }
            if wants_acknowledgement && is_final(state) && !task.acknowledged.contains(&state) {
                task.acknowledged.push(state);
            }
            let (job, killed) = (task.job, task.killed);
            if is_final(state) && !is_final(was) {
                let done = state == TaskState::TaskFinished || killed || job.lives == 0;
                if !done {
                    self.jobs.push(Job { lives: job.lives - 1, ..job });
                    self.revive(core);
                }
            }
        }
        if wants_acknowledgement {
            let acknowledge = call::Acknowledge {
                agent_id: status.agent_id.clone().unwrap_or_default(),
                task_id: status.task_id.clone(),
                uuid: status.uuid.clone().unwrap_or_default(),
            };
            let wait = match core.dice.below(10) {
                0 => core.dice.secs(1, 30),
                _ => core.dice.millis(0, 100),
            };
            let acknowledge = Inner::Acknowledge(Box::new(acknowledge));
            core.after(wait, Happening::In(self.node(), acknowledge));
        }
    }

    /// Asks about all tasks that have not ended, except for those that may be on their way.
    fn reconcile(&mut self, core: &mut Core) {
        if !self.is_subscribed() {
            return;
        }
        let now = core.now.monotonic;
        let old = Duration::from_secs(30);
        let open = self
            .tasks
            .iter()
            .filter(|(_, task)| !is_final(task.state) && now.saturating_since(task.since) > old);
        let tasks: Vec<_> = open
            .map(|(name, task)| call::reconcile::Task {
                task_id: v1::TaskId { value: name.clone() },
                agent_id: Some(v1::AgentId { value: task.agent.clone() }),
            })
            .collect();
        if tasks.is_empty() && !core.dice.percent(20) {
            return;
        }
        let mut call = self.call(call::Type::Reconcile);
        call.reconcile = Some(call::Reconcile { tasks });
        self.say(call, core);
    }

    fn kill(&mut self, core: &mut Core) {
        if !self.is_subscribed() {
            return;
        }
        let again: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.killed && !is_final(task.state))
            .map(|(name, _)| name.clone())
            .collect();
        for name in again {
            self.kill_task(&name, core);
        }
        if core.turmoil && core.dice.percent(40) {
            let alive = self.tasks.iter().filter(|(_, task)| !is_final(task.state));
            let alive: Vec<_> = alive.map(|(name, _)| name.clone()).collect();
            if let Some(name) = core.dice.one_of(&alive) {
                self.kill_task(&name, core);
            }
        }
    }

    fn kill_task(&mut self, name: &str, core: &mut Core) {
        let Some(task) = self.tasks.get_mut(name) else { return };
        task.killed = true;
        let agent_id = core.dice.percent(50).then(|| v1::AgentId { value: task.agent.clone() });
        let mut call = self.call(call::Type::Kill);
        let task_id = v1::TaskId { value: name.to_owned() };
        call.kill = Some(call::Kill { task_id, agent_id, kill_policy: None });
        self.say(call, core);
    }

    /// Takes an offer or declines it.
    fn consider(&mut self, id: &v1::OfferId, core: &mut Core) {
        let Some(offer) = self.offers.remove(&id.value) else { return };
        core.trace(self.node(), || format!("considers {}", offer.id.value));
        let mut resources = operations::plain(&offer.resources);
        let (mut all, volumes) = self.convert(&offer, &mut resources, core);
        let mut cpus = resources.scalar("cpus").as_f64();
        let mut mem = resources.scalar("mem").as_f64();
        let mut tasks = Vec::new();
        while let Some(job) = self.jobs.last().copied() {
            let (more_cpus, more_mem) =
                if self.shape.own_executors { (0.1, 32.0) } else { (0.0, 0.0) };
            let need = f64::from(job.cpus) / 10.0 + more_cpus;
            if need > cpus || f64::from(job.mem) + more_mem > mem || tasks.len() == 3 {
                break;
            }
            cpus -= need;
            mem -= f64::from(job.mem) + more_mem;
            self.jobs.pop();
            tasks.push(self.task(job, &offer, core));
        }
        if tasks.is_empty() && all.is_empty() {
            return self.decline(offer, core);
        }
        core.trace(self.node(), || format!("converts: {}", operations::brief(&all)));
        let mut call = self.call(call::Type::Accept);
        if let Some(task) = tasks.first_mut() {
            task.resources.extend(volumes);
        }
        if !tasks.is_empty() {
            let disk = resources.scalar("disk").as_f64() > 2.0;
            all.push(if self.shape.own_executors && disk && core.dice.percent(30) {
                self.group(tasks, &offer, core)
            } else {
                let mut launch = v1::offer::Operation {
                    launch: Some(operation::Launch { task_infos: tasks }),
                    ..v1::offer::Operation::default()
                };
                launch.set_type(operation::Type::Launch);
                launch
            });
        }
        let filters = core.dice.percent(50).then(|| self.filters(core));
        call.accept = Some(call::Accept { offer_ids: vec![offer.id], operations: all, filters });
        self.say(call, core);
    }

    /// Tasks that run together or not at all, in an executor of their own.
    fn group(
        &mut self,
        mut tasks: Vec<v1::TaskInfo>,
        offer: &v1::Offer,
        core: &mut Core,
    ) -> v1::offer::Operation {
        self.made += 1;
        for task in &mut tasks {
            task.executor = None;
            task.command = Some(v1::CommandInfo::default());
        }
        let executor = v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: format!("x-group-{}-{}", self.n, self.made) },
            framework_id: self.id.clone().map(|value| v1::FrameworkId { value }),
            r#type: Some(v1::executor_info::Type::Custom.into()),
            command: Some(v1::CommandInfo {
                value: Some("work".to_owned()),
                ..v1::CommandInfo::default()
            }),
            resources: resources("cpus:0.1;mem:32;disk:1", offer),
            ..v1::ExecutorInfo::default()
        };
        let task_group = v1::TaskGroupInfo { tasks };
        core.ledger.count("groups launched");
        let mut group = v1::offer::Operation {
            launch_group: Some(operation::LaunchGroup { executor, task_group }),
            ..v1::offer::Operation::default()
        };
        group.set_type(operation::Type::LaunchGroup);
        group
    }

    fn filters(&self, core: &mut Core) -> v1::Filters {
        let seconds = core.dice.one_of(&[0.0, 0.5, 5.0, 30.0]).unwrap_or_default();
        v1::Filters { refuse_seconds: Some(seconds) }
    }

    fn decline(&mut self, offer: v1::Offer, core: &mut Core) {
        let filters = match self.jobs.is_empty() {
            true => Some(v1::Filters { refuse_seconds: Some(1000.0) }),
            false => Some(self.filters(core)),
        };
        let mut call = self.call(call::Type::Decline);
        call.decline = Some(call::Decline { offer_ids: vec![offer.id], filters });
        self.say(call, core);
        if self.jobs.is_empty() && self.suppressed.is_empty() && core.dice.percent(50) {
            self.suppress(core);
        }
    }

    /// Writes down a task that is about to be launched.
    fn task(&mut self, job: Job, offer: &v1::Offer, core: &mut Core) -> v1::TaskInfo {
        self.made += 1;
        let name = format!("t{}-{}", self.n, self.made);
        let belief = Belief {
            agent: offer.agent_id.value.clone(),
            state: TaskState::TaskStaging,
            since: core.now.monotonic,
            job,
            killed: false,
            acknowledged: Vec::new(),
        };
        self.tasks.insert(name.clone(), belief);
        core.ledger.count("tasks launched");
        let command =
            v1::CommandInfo { value: Some("work".to_owned()), ..v1::CommandInfo::default() };
        let needs = format!("cpus:{}.{};mem:{}", job.cpus / 10, job.cpus % 10, job.mem);
        let mut task = v1::TaskInfo {
            name: name.clone(),
            task_id: v1::TaskId { value: name },
            agent_id: offer.agent_id.clone(),
            resources: resources(&needs, offer),
            ..v1::TaskInfo::default()
        };
        if self.shape.own_executors {
            task.executor = Some(v1::ExecutorInfo {
                executor_id: v1::ExecutorId { value: format!("x-{}", self.made % 2) },
                command: Some(command),
                resources: resources("cpus:0.1;mem:32", offer),
                ..v1::ExecutorInfo::default()
            });
        } else {
            task.command = Some(command);
        }
        task
    }
}

fn resources(text: &str, offer: &v1::Offer) -> Vec<v1::Resource> {
    let mut all = write(&parse(text, &Role::any()).unwrap_or_default(), Form::PostRefinement);
    for resource in &mut all {
        resource.allocation_info.clone_from(&offer.allocation_info);
    }
    all
}

impl Scheduler {
    /// Ends its framework, and with it all that it runs.
    pub(crate) fn tear_down(&mut self, core: &mut Core) {
        if self.is_subscribed() {
            let call = self.call(call::Type::Teardown);
            self.say(call, core);
        }
    }

    /// What keeps it from being content, if it stays.
    pub(crate) fn complaint(&self) -> Option<String> {
        if self.shape.life != Life::Stays {
            return None;
        }
        if !self.is_subscribed() {
            return Some(format!("scheduler {} is not subscribed", self.n));
        }
        if !self.jobs.is_empty() {
            let count = self.jobs.len();
            return Some(format!("scheduler {} has {count} jobs and no offer for them", self.n));
        }
        let open = self.operations.known.iter().find(|(_, o)| !operations::is_over(o.state));
        if let Some((name, operation)) = open {
            let state = operation.state;
            return Some(format!("scheduler {} still believes that {name} is {state:?}", self.n));
        }
        let open = self.tasks.iter().find(|(_, task)| !is_final(task.state));
        let (name, task) = open?;
        Some(format!("scheduler {} still believes that {name} is {:?}", self.n, task.state))
    }
}
