//! One emulated framework, as a machine: events go in, calls come out (`http-apis.md` §5).
//!
//! It runs as many tasks as it is told to, on whatever it is offered, acknowledges what it hears of
//! them, and asks about those of which it has heard nothing. It remembers its tasks when its
//! connections break, as one with a database would.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wire::v1::framework_info::{Capability, capability};
use wire::v1::offer::{self, operation};
use wire::v1::scheduler::{Call, Event, call, event};
use wire::v1::{
    CommandInfo, Filters, FrameworkId, FrameworkInfo, Offer, OfferId, Resource, TaskId, TaskInfo,
    TaskState, TaskStatus, value,
};

use super::agent::is_terminal;
use super::book::Fact;

/// A framework that comes back within this has not lost its tasks.
const FAILOVER: Duration = Duration::from_hours(24);

/// What a framework is to run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// So many tasks in all, from now on; without it there is no end.
    pub total: Option<u64>,
    /// At most so many at a time.
    pub alive: usize,
    /// At most so many from one offer.
    pub per_offer: usize,
    /// How large each is.
    pub size: TaskSize,
    /// How long each runs, in seconds: something between these; for ever without.
    pub life: Option<(f64, f64)>,
    /// The part of them that is killed as soon as they run.
    pub killed: f64,
    /// For how long, in seconds, what a launch leaves of an offer is not wanted.
    pub refuse: f64,
    /// A task of which nothing new was heard for so long, in seconds, is asked about.
    pub reconcile: Option<f64>,
}

/// How large a task is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum TaskSize {
    /// So many processors and megabytes.
    Of {
        /// Processors.
        cpus: f64,
        /// Megabytes of memory.
        mem: f64,
    },
    /// All that is in the offer.
    WholeOffer,
}

/// The framework.
#[derive(Debug)]
pub struct Framework {
    info: FrameworkInfo,
    demand: Option<Demand>,
    /// Which demand that is.
    round: u64,
    /// How many tasks of the present demand were launched.
    launched: u64,
    /// The number in the name of the next task.
    next: u64,
    tasks: HashMap<String, Known>,
    /// Offers that may be wanted when a task ends.
    offers: BTreeMap<String, Offer>,
    /// Whether the master knows that no offers are wanted.
    suppressed: bool,
}

/// A task that has not ended.
#[derive(Debug)]
struct Known {
    agent: String,
    launched: Instant,
    /// What was heard last, and when.
    heard: (Option<TaskState>, Instant),
    /// The one that is not acknowledged twice.
    killed: bool,
}

/// What comes of something.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be sent, in this order.
    pub calls: Vec<Call>,
    /// To be entered in the book.
    pub facts: Vec<Fact>,
}

impl Framework {
    /// A framework of this name, in a role of the same name. It wants nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let capabilities = [
            capability::Type::MultiRole,
            capability::Type::PartitionAware,
            capability::Type::ReservationRefinement,
        ];
        let info = FrameworkInfo {
            user: "nobody".to_owned(),
            name: name.to_owned(),
            roles: vec![name.to_owned()],
            checkpoint: Some(true),
            failover_timeout: Some(FAILOVER.as_secs_f64()),
            capabilities: capabilities
                .map(|kind| Capability { r#type: Some(kind.into()) })
                .to_vec(),
            ..FrameworkInfo::default()
        };
        Self {
            info,
            demand: None,
            round: 0,
            launched: 0,
            next: 0,
            tasks: HashMap::new(),
            offers: BTreeMap::new(),
            suppressed: true,
        }
    }

    /// How many tasks have not ended, as far as it knows.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.tasks.len()
    }

    /// It has no stream any more: offers of that are void.
    pub fn disconnected(&mut self) {
        self.offers.clear();
    }

    /// The call that opens its stream.
    pub fn subscribe(&mut self) -> Call {
        self.suppressed = !self.wants();
        let suppressed_roles = if self.suppressed { self.info.roles.clone() } else { Vec::new() };
        Call {
            r#type: Some(call::Type::Subscribe.into()),
            framework_id: self.info.id.clone(),
            subscribe: Some(call::Subscribe {
                framework_info: self.info.clone(),
                suppressed_roles,
                offer_constraints: None,
            }),
            ..Call::default()
        }
    }

    /// What it is to run from now on; nothing new if it has heard of this round. What runs goes
    /// on.
    pub fn demands(&mut self, round: u64, demand: Option<Demand>, now: Instant) -> Turn {
        let mut turn = Turn::default();
        if std::mem::replace(&mut self.round, round) != round {
            self.demand = demand;
            self.launched = 0;
            self.launch(now, &mut turn);
        }
        turn
    }

    /// When it wants [`Framework::woken`] to be called.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        let reconcile = self.demand.and_then(|demand| demand.reconcile)?;
        (!self.tasks.is_empty()).then_some(())?;
        Duration::try_from_secs_f64(reconcile).ok()
    }

    /// Asks about tasks that it has heard nothing of for too long.
    pub fn woken(&mut self, now: Instant) -> Turn {
        let mut turn = Turn::default();
        let Some(after) = self.pause() else { return turn };
        let silent = |known: &Known| {
            now.saturating_duration_since(known.heard.1) >= after
                && known.heard.0 != Some(TaskState::TaskRunning)
        };
        let asked = self.tasks.iter().filter(|(_, known)| silent(known)).map(|(id, known)| {
            call::reconcile::Task {
                task_id: TaskId { value: id.clone() },
                agent_id: Some(wire::v1::AgentId { value: known.agent.clone() }),
            }
        });
        let tasks: Vec<_> = asked.collect();
        if !tasks.is_empty() {
            turn.facts.push(Fact::Asked(tasks.len() as u64));
            turn.calls.push(Call {
                reconcile: Some(call::Reconcile { tasks }),
                ..self.call(call::Type::Reconcile)
            });
        }
        turn
    }

    /// It was disconnected for a while: it asks about everything.
    pub fn asks_about_everything(&mut self, now: Instant) -> Turn {
        for known in self.tasks.values_mut() {
            known.heard.0 = known.heard.0.filter(|state| *state != TaskState::TaskRunning);
            if let Some(long_ago) = now.checked_sub(Duration::from_hours(1)) {
                known.heard.1 = long_ago;
            }
        }
        self.woken(now)
    }

    /// Takes an event of its stream.
    pub fn event(&mut self, event: Event, now: Instant) -> Turn {
        let mut turn = Turn::default();
        match event.r#type() {
            event::Type::Subscribed => {
                if let Some(subscribed) = event.subscribed {
                    self.info.id = Some(subscribed.framework_id);
                    turn.facts.push(Fact::Subscribed);
                }
            }
            event::Type::Offers => {
                for offer in event.offers.map(|offers| offers.offers).unwrap_or_default() {
                    turn.facts.push(Fact::Offered(offer.agent_id.value.clone()));
                    self.offers.insert(offer.id.value.clone(), offer);
                }
                self.launch(now, &mut turn);
            }
            event::Type::Rescind => {
                if let Some(rescind) = event.rescind {
                    self.offers.remove(&rescind.offer_id.value);
                    turn.facts.push(Fact::Rescinded);
                }
            }
            event::Type::Update => {
                if let Some(update) = event.update {
                    self.updated(update.status, now, &mut turn);
                }
            }
            event::Type::Error => {
                let text = event.error.map(|error| error.message).unwrap_or_default();
                turn.facts.push(Fact::Error(text));
            }
            // Whoever leaves takes its tasks along, of which there are updates.
            event::Type::Failure | event::Type::Heartbeat => {}
            other => turn.facts.push(Fact::Stray(format!("an event {}", other.as_str_name()))),
        }
        turn
    }

    fn updated(&mut self, status: TaskStatus, now: Instant, turn: &mut Turn) {
        let (id, state) = (&status.task_id, status.state());
        if let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) {
            turn.calls.push(Call {
                acknowledge: Some(call::Acknowledge {
                    agent_id: agent_id.clone(),
                    task_id: id.clone(),
                    uuid: uuid.clone(),
                }),
                ..self.call(call::Type::Acknowledge)
            });
        }
        let Some(known) = self.tasks.get_mut(&id.value) else {
            turn.facts.push(Fact::Repeated(id.value.clone(), state));
            return;
        };
        let before = std::mem::replace(&mut known.heard, (Some(state), now)).0;
        if is_terminal(state) {
            let why = (state != TaskState::TaskFinished && status.reason.is_some())
                .then(|| status.reason().as_str_name().to_owned());
            self.tasks.remove(&id.value);
            turn.facts.push(Fact::Over(id.value.clone(), state, why));
            return self.launch(now, turn);
        }
        if state == TaskState::TaskRunning && before.is_none() {
            turn.facts.push(Fact::Runs(now.saturating_duration_since(known.launched)));
        }
        let killed = self.demand.map_or(0.0, |demand| demand.killed);
        if state == TaskState::TaskRunning && !known.killed && rand::random::<f64>() < killed {
            known.killed = true;
            turn.calls.push(Call {
                kill: Some(call::Kill { task_id: id.clone(), ..call::Kill::default() }),
                ..self.call(call::Type::Kill)
            });
        }
        if state == TaskState::TaskUnreachable {
            turn.facts.push(Fact::Unreachable(id.value.clone()));
        }
    }

    /// Whether it will launch more than it has.
    fn wants(&self) -> bool {
        self.demand.is_some_and(|demand| demand.total.is_none_or(|total| self.launched < total))
    }

    /// Launches what is wanted from the offers at hand, and says whether more are wanted.
    fn launch(&mut self, now: Instant, turn: &mut Turn) {
        if self.info.id.is_none() {
            return;
        }
        while let Some(demand) = self.demand
            && self.wants()
            && self.tasks.len() < demand.alive
            && let Some((_, offer)) = self.offers.pop_first()
        {
            let left = demand.total.map_or(u64::MAX, |total| total - self.launched);
            let most = demand
                .per_offer
                .min(demand.alive - self.tasks.len())
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let tasks = self.tasks_for(&offer, &demand, most);
            if tasks.is_empty() {
                // Its agent is full: nothing of it is wanted until something ends there.
                turn.calls.push(self.decline(vec![offer.id], None));
                continue;
            }
            turn.facts.push(Fact::Launched {
                tasks: tasks.iter().map(|task| task.task_id.value.clone()).collect(),
                agent: offer.agent_id.value.clone(),
            });
            self.launched += tasks.len() as u64;
            for task in &tasks {
                let known = Known {
                    agent: offer.agent_id.value.clone(),
                    launched: now,
                    heard: (None, now),
                    killed: false,
                };
                self.tasks.insert(task.task_id.value.clone(), known);
            }
            let mut operation = offer::Operation {
                launch: Some(operation::Launch { task_infos: tasks }),
                ..offer::Operation::default()
            };
            operation.set_type(operation::Type::Launch);
            turn.calls.push(Call {
                accept: Some(call::Accept {
                    offer_ids: vec![offer.id],
                    operations: vec![operation],
                    filters: Some(Filters { refuse_seconds: Some(demand.refuse) }),
                }),
                ..self.call(call::Type::Accept)
            });
        }
        if self.wants() == self.suppressed {
            self.suppressed = !self.suppressed;
            if self.suppressed {
                let offers = std::mem::take(&mut self.offers);
                let ids: Vec<OfferId> = offers.into_values().map(|offer| offer.id).collect();
                turn.calls.push(self.call(call::Type::Suppress));
                if !ids.is_empty() {
                    turn.calls.push(self.decline(ids, Some(0.0)));
                }
            } else {
                turn.calls.push(self.call(call::Type::Revive));
            }
        } else if self.suppressed && !self.offers.is_empty() {
            // They were under way when it said that it wants none.
            let offers = std::mem::take(&mut self.offers);
            let ids = offers.into_values().map(|offer| offer.id).collect();
            turn.calls.push(self.decline(ids, Some(0.0)));
        }
    }

    fn tasks_for(&mut self, offer: &Offer, demand: &Demand, most: usize) -> Vec<TaskInfo> {
        let of = |name: &str| {
            let scalars = offer.resources.iter().filter(|resource| resource.name == name);
            scalars.filter_map(|resource| Some(resource.scalar?.value)).sum::<f64>()
        };
        let (cpus, mem) = (of("cpus"), of("mem"));
        let (count, cpus, mem) = match demand.size {
            TaskSize::WholeOffer => (usize::from(cpus > 0.0), cpus, mem),
            // A little is forgiven: sums of fractions are not exact.
            TaskSize::Of { cpus: one, mem: megabytes } => {
                let fits = ((cpus / one) + 1e-6).min((mem / megabytes) + 1e-6);
                (most.min(fits as usize), one, megabytes)
            }
        };
        let name = self.info.name.clone();
        let task = |_| {
            self.next += 1;
            let id = format!("{name}-{}", self.next);
            let life = demand.life.map_or_else(
                || "infinity".to_owned(),
                |(least, most)| format!("{:.3}", least + (most - least) * rand::random::<f64>()),
            );
            TaskInfo {
                name: name.clone(),
                task_id: TaskId { value: id },
                agent_id: offer.agent_id.clone(),
                resources: vec![scalar("cpus", cpus), scalar("mem", mem)],
                command: Some(CommandInfo {
                    value: Some(format!("sleep {life}")),
                    ..CommandInfo::default()
                }),
                ..TaskInfo::default()
            }
        };
        (0..count.min(most)).map(task).collect()
    }

    fn decline(&self, offer_ids: Vec<OfferId>, refuse_seconds: Option<f64>) -> Call {
        Call {
            decline: Some(call::Decline { offer_ids, filters: Some(Filters { refuse_seconds }) }),
            ..self.call(call::Type::Decline)
        }
    }

    fn call(&self, kind: call::Type) -> Call {
        let framework_id: Option<FrameworkId> = self.info.id.clone();
        Call { r#type: Some(kind.into()), framework_id, ..Call::default() }
    }
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand {
            total: Some(3),
            alive: 2,
            per_offer: 4,
            size: TaskSize::Of { cpus: 0.1, mem: 32.0 },
            life: None,
            killed: 0.0,
            refuse: 0.0,
            reconcile: Some(1.0),
        }
    }

    fn event(kind: event::Type) -> Event {
        Event { r#type: Some(kind.into()), ..Event::default() }
    }

    fn offers(ids: &[&str]) -> Event {
        let offer = |id: &&str| {
            let mut offer = Offer::default();
            offer.id.value = (*id).to_owned();
            offer.agent_id.value = format!("agent of {id}");
            offer.resources = vec![scalar("cpus", 0.3), scalar("mem", 4096.0)];
            offer
        };
        let offers = ids.iter().map(offer).collect();
        Event { offers: Some(event::Offers { offers }), ..event(event::Type::Offers) }
    }

    fn update(task: &str, state: TaskState) -> Event {
        let mut status = TaskStatus {
            task_id: TaskId { value: task.to_owned() },
            agent_id: Some(wire::v1::AgentId { value: "a".to_owned() }),
            uuid: Some(vec![1; 16].into()),
            ..TaskStatus::default()
        };
        status.set_state(state);
        Event { update: Some(event::Update { status }), ..event(event::Type::Update) }
    }

    fn kinds(turn: &Turn) -> Vec<call::Type> {
        turn.calls.iter().map(Call::r#type).collect()
    }

    fn subscribed() -> Framework {
        let mut framework = Framework::new("f");
        assert_eq!(framework.subscribe().subscribe.unwrap().suppressed_roles, ["f"]);
        let mut event = event(event::Type::Subscribed);
        let framework_id = FrameworkId { value: "id".to_owned() };
        event.subscribed = Some(event::Subscribed { framework_id, ..Default::default() });
        framework.event(event, Instant::now());
        framework
    }

    #[test]
    fn it_runs_what_it_is_told_to_and_then_wants_no_offers() {
        let now = Instant::now();
        let mut framework = subscribed();
        assert_eq!(kinds(&framework.demands(1, Some(demand()), now)), [call::Type::Revive]);
        let turn = framework.event(offers(&["o1", "o2"]), now);
        // Two at a time: the second offer is kept for the third task.
        assert_eq!(kinds(&turn), [call::Type::Accept]);
        let accept = turn.calls[0].accept.as_ref().unwrap();
        assert_eq!(accept.operations[0].launch.as_ref().unwrap().task_infos.len(), 2);
        let turn = framework.event(update("f-1", TaskState::TaskFinished), now);
        let expected = [call::Type::Acknowledge, call::Type::Accept, call::Type::Suppress];
        assert_eq!(kinds(&turn), expected);
        assert_eq!(framework.alive(), 2);
        assert_eq!(kinds(&framework.event(offers(&["o3"]), now)), [call::Type::Decline]);
        // Of what has ended nothing more is expected.
        let again = framework.event(update("f-1", TaskState::TaskFinished), now);
        let repeated = Fact::Repeated("f-1".to_owned(), TaskState::TaskFinished);
        assert_eq!((kinds(&again), again.facts), (vec![call::Type::Acknowledge], vec![repeated]));
    }

    #[test]
    fn it_asks_about_tasks_of_which_it_hears_nothing() {
        let now = Instant::now();
        let mut framework = subscribed();
        framework.demands(1, Some(demand()), now);
        framework.event(offers(&["o1"]), now);
        framework.event(update("f-1", TaskState::TaskRunning), now);
        let later = now + framework.pause().unwrap();
        let asked = |turn: &Turn| turn.calls[0].reconcile.as_ref().unwrap().tasks.len();
        assert_eq!(asked(&framework.woken(later)), 1, "one of them runs");
        assert_eq!(asked(&framework.asks_about_everything(later)), 2);
    }
}
