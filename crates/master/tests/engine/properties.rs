//! Whatever happens, in whatever order: the books add up, nothing is given twice, and no scheduler
//! is left waiting for a task that is no more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::Event;
use alcazar_master::engine::message::{Inbound, Outbound};
use model::id::{AgentId, FrameworkId};
use proptest::prelude::*;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::{internal, v1};

use crate::world::*;

#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Break(u8),
    Rejoin(u8, bool),
    Leave(u8),
    MarkGone(u8),
    Subscribe(u8),
    Unsubscribe(u8),
    Teardown(u8),
    Launch(u8, u8),
    Update(u8, u8),
    Acknowledge(u8),
    Kill(u8),
    Decline(u8, u8),
    Revive(u8),
    Suppress(u8),
    Reconcile(u8),
    Wait(u16),
    FailOver,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..4).prop_map(Step::Join),
        1 => (1u8..4).prop_map(Step::Break),
        2 => (1u8..4, any::<bool>()).prop_map(|(n, amnesia)| Step::Rejoin(n, amnesia)),
        1 => (1u8..4).prop_map(Step::Leave),
        1 => (1u8..4).prop_map(Step::MarkGone),
        3 => (0u8..3).prop_map(Step::Subscribe),
        1 => (0u8..3).prop_map(Step::Unsubscribe),
        1 => (0u8..3).prop_map(Step::Teardown),
        6 => (0u8..3, 1u8..5).prop_map(|(f, cpus)| Step::Launch(f, cpus)),
        5 => (any::<u8>(), 0u8..6).prop_map(|(t, state)| Step::Update(t, state)),
        4 => any::<u8>().prop_map(Step::Acknowledge),
        1 => any::<u8>().prop_map(Step::Kill),
        2 => (0u8..3, 0u8..3).prop_map(|(f, seconds)| Step::Decline(f, seconds)),
        1 => (0u8..3).prop_map(Step::Revive),
        1 => (0u8..3).prop_map(Step::Suppress),
        1 => (0u8..3).prop_map(Step::Reconcile),
        3 => (0u16..200).prop_map(Step::Wait),
        1 => Just(Step::FailOver),
    ]
}

/// What a scheduler believes of a task.
#[derive(Clone, Debug, PartialEq)]
struct Believed {
    framework: u8,
    agent: u8,
    agent_id: AgentId,
    state: TaskState,
    last_uuid: Option<u8>,
}

struct Play {
    world: World,
    /// Agents by number, while they have an id.
    agents: BTreeMap<u8, AgentId>,
    /// What an agent says when it joins again, as of its last contact.
    memories: BTreeMap<u8, internal::ReregisterSlaveMessage>,
    schedulers: BTreeMap<u8, Scheduler>,
    /// Agents on record before the effect at hand.
    recorded: BTreeSet<AgentId>,
    tasks: BTreeMap<String, Believed>,
    next_task: u32,
    next_uuid: u8,
}

/// Whether a scheduler that was told this state waits for nothing more.
fn terminal(state: TaskState) -> bool {
    !matches!(
        state,
        TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
    )
}

fn is_at(agent: &alcazar_master::engine::state::Agent, n: u8) -> bool {
    agent.peer.pid == *host(n).upid()
}

impl Play {
    fn new() -> Self {
        Self {
            world: World::with(|config| config.max_completed_tasks_per_framework = 5),
            agents: BTreeMap::new(),
            memories: BTreeMap::new(),
            schedulers: BTreeMap::new(),
            recorded: BTreeSet::new(),
            tasks: BTreeMap::new(),
            next_task: 0,
            next_uuid: 0,
        }
    }

    fn hear(&mut self, done: &Done) {
        for effect in &done.0 {
            match effect {
                Effect::Stream { event, .. } => {
                    if let Some(update) = &event.update {
                        let status = &update.status;
                        if let Some(task) = self.tasks.get_mut(&status.task_id.value)
                            && !terminal(task.state)
                        {
                            task.state = status.state();
                        }
                    }
                }
                Effect::Persist(registry::Operation::PutAgent(record)) => {
                    self.recorded.insert(record.id.clone());
                }
                // Nothing leaves before what it rests on is durable.
                Effect::Send { message, .. } => {
                    if let Outbound::AgentRegistered(message) = &**message {
                        let id = AgentId::new(&message.slave_id.value).unwrap();
                        assert!(self.recorded.contains(&id), "{id} is told before it is recorded");
                    }
                }
                _ => {}
            }
        }
        self.recorded = self.world.registry.agents.keys().cloned().collect();
        self.agents.retain(|_, id| self.world.registry.agents.contains_key(id));
        // An agent remembers what it last knew.
        let state = self.world.state();
        for n in 1..4 {
            let here = |agent: &&std::sync::Arc<_>| is_at(agent, n);
            if let Some(agent) = state.agents.values().find(here) {
                self.agents.insert(n, agent.id.clone());
            }
        }
        for (n, id) in &self.agents {
            if state.agents.contains_key(id) {
                self.memories.insert(*n, self.world.reregister_message(*n, id));
            }
        }
        let connected = |scheduler: &Scheduler| {
            state
                .frameworks
                .get(&scheduler.id)
                .is_some_and(|framework| framework.subscription() == Some(scheduler.subscription))
        };
        self.schedulers.retain(|_, scheduler| connected(scheduler));
    }

    fn step(&mut self, step: &Step) {
        let done = match step {
            Step::Join(n) => {
                let message = register_message(*n, "cpus:8;mem:256");
                let done = self.world.say(&host(*n), Inbound::RegisterAgent(message));
                let id = done.sent().into_iter().find_map(|(_, _, message)| match message {
                    Outbound::AgentRegistered(message) => Some(message.slave_id.value.clone()),
                    _ => None,
                });
                if let Some(id) = id {
                    self.hear(&done);
                    self.agents.insert(*n, AgentId::new(&id).unwrap());
                }
                done
            }
            Step::Break(n) => self.world.exited(&host(*n)),
            Step::Rejoin(n, amnesia) => {
                let Some(mut message) = self.memories.get(n).cloned() else { return };
                if *amnesia {
                    message.tasks.clear();
                }
                self.world.say(&host(*n), Inbound::ReregisterAgent(message))
            }
            Step::Leave(n) => {
                let Some(id) = self.agents.get(n) else { return };
                let slave_id = v1::AgentId { value: id.to_string() };
                let message = internal::UnregisterSlaveMessage { slave_id };
                self.world.say(&host(*n), Inbound::UnregisterAgent(message))
            }
            Step::MarkGone(n) => {
                let Some(id) = self.agents.get(n).cloned() else { return };
                self.world.operate(mark_gone(&id))
            }
            Step::Subscribe(f) => return self.subscribe(*f),
            Step::Unsubscribe(f) => {
                let Some(scheduler) = self.schedulers.remove(f) else { return };
                self.world.handle(Event::Unsubscribed { subscription: scheduler.subscription })
            }
            Step::Teardown(f) => {
                let Some(scheduler) = self.schedulers.remove(f) else { return };
                self.tasks.retain(|_, task| task.framework != *f);
                self.world.call(&scheduler, scheduler.call(call::Type::Teardown))
            }
            Step::Launch(f, cpus) => return self.launch(*f, *cpus),
            Step::Update(t, state) => {
                let state = [
                    TaskState::TaskStarting,
                    TaskState::TaskRunning,
                    TaskState::TaskRunning,
                    TaskState::TaskFinished,
                    TaskState::TaskFailed,
                    TaskState::TaskKilled,
                ][*state as usize];
                let Some((name, task)) = self.pick(*t) else { return };
                let Some(scheduler) = self.schedulers.get(&task.framework).cloned() else { return };
                self.next_uuid = self.next_uuid.wrapping_add(1);
                let n = self.next_uuid;
                if let Some(task) = self.tasks.get_mut(&name) {
                    task.last_uuid = Some(n);
                }
                self.world.update(&host(task.agent), &scheduler, &task.agent_id, &name, state, n)
            }
            Step::Acknowledge(t) => {
                let Some((name, task)) = self.pick(*t) else { return };
                let (Some(scheduler), Some(n)) =
                    (self.schedulers.get(&task.framework).cloned(), task.last_uuid)
                else {
                    return;
                };
                self.world.acknowledge(&scheduler, &task.agent_id, &name, n)
            }
            Step::Kill(t) => {
                let Some((name, task)) = self.pick(*t) else { return };
                let Some(scheduler) = self.schedulers.get(&task.framework).cloned() else { return };
                let mut call = scheduler.call(call::Type::Kill);
                let task_id = v1::TaskId { value: name };
                call.kill = Some(call::Kill { task_id, ..Default::default() });
                self.world.call(&scheduler, call)
            }
            Step::Decline(f, seconds) => {
                let Some(scheduler) = self.schedulers.get(f).cloned() else { return };
                let mut call = scheduler.call(call::Type::Decline);
                let filters = Some(v1::Filters { refuse_seconds: Some((*seconds).into()) });
                let offer_ids = self.world.offers(&scheduler);
                call.decline = Some(call::Decline { offer_ids, filters });
                self.world.call(&scheduler, call)
            }
            Step::Revive(f) | Step::Suppress(f) => {
                let Some(scheduler) = self.schedulers.get(f).cloned() else { return };
                let kind = match step {
                    Step::Revive(_) => call::Type::Revive,
                    _ => call::Type::Suppress,
                };
                self.world.call(&scheduler, scheduler.call(kind))
            }
            Step::Reconcile(f) => {
                let Some(scheduler) = self.schedulers.get(f).cloned() else { return };
                return self.reconcile(*f, &scheduler);
            }
            Step::Wait(seconds) => {
                let time = Duration::from_secs((*seconds).into());
                self.world.wait_with(time, &[&host(1), &host(2)])
            }
            Step::FailOver => {
                self.world.fail_over();
                self.schedulers.clear();
                Done(Vec::new())
            }
        };
        self.hear(&done);
    }

    fn pick(&self, t: u8) -> Option<(String, Believed)> {
        let n = (t as usize).checked_rem(self.tasks.len())?;
        self.tasks.iter().nth(n).map(|(name, task)| (name.clone(), task.clone()))
    }

    /// Scheduler `f` keeps its framework's name and id for ever, if the master lets it.
    fn subscribe(&mut self, f: u8) {
        let name = format!("f{f}");
        let aware = v1::framework_info::capability::Type::PartitionAware;
        let capabilities: &[_] = if f == 0 { &[aware] } else { &[] };
        let mut info = framework_info(&name, capabilities);
        info.failover_timeout = Some(if f == 2 { 0.0 } else { 100.0 });
        info.checkpoint = Some(f != 1);
        info.principal = Some(name.clone());
        let id = FrameworkId::new(&format!("framework-{f}")).unwrap();
        info.id = Some(v1::FrameworkId { value: id.to_string() });
        let (subscription, done) = self.world.try_subscribe(&caller(&name), info.clone(), &[]);
        if done.events(subscription).iter().any(|event| event.subscribed.is_some()) {
            let scheduler = Scheduler { id, caller: caller(&name), subscription, info };
            self.schedulers.insert(f, scheduler.clone());
            self.hear(&done);
            // Updates made while nobody listened are not kept: who comes back has to ask.
            return self.reconcile(f, &scheduler);
        }
        self.tasks.retain(|_, task| task.framework != f);
        self.hear(&done);
    }

    fn launch(&mut self, f: u8, cpus: u8) {
        let Some(scheduler) = self.schedulers.get(&f).cloned() else { return };
        for (n, agent_id) in self.agents.clone() {
            let offers = self.world.offers_of(&scheduler, &agent_id);
            if offers.is_empty() {
                continue;
            }
            self.next_task += 1;
            let name = format!("t{}", self.next_task);
            let believed = Believed {
                framework: f,
                agent: n,
                agent_id: agent_id.clone(),
                state: TaskState::TaskStaging,
                last_uuid: None,
            };
            self.tasks.insert(name.clone(), believed);
            let needs = format!("cpus:{cpus}");
            let done = self.world.accept(&scheduler, offers, vec![task(&name, &agent_id, &needs)]);
            self.hear(&done);
            return;
        }
    }

    /// A scheduler asks about all that it believes to be alive, and believes the answer.
    fn reconcile(&mut self, f: u8, scheduler: &Scheduler) {
        let tasks: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.framework == f && !terminal(task.state))
            .map(|(name, task)| call::reconcile::Task {
                task_id: v1::TaskId { value: name.clone() },
                agent_id: Some(v1::AgentId { value: task.agent_id.to_string() }),
            })
            .collect();
        if tasks.is_empty() {
            return;
        }
        let asked = tasks.len();
        let waiting = tasks
            .iter()
            .filter_map(|task| task.agent_id.clone())
            .filter(|id| {
                let id = AgentId::new(&id.value).unwrap();
                self.world.state().recovered_agents.contains_key(&id)
            })
            .count();
        let mut call = scheduler.call(call::Type::Reconcile);
        call.reconcile = Some(call::Reconcile { tasks });
        let done = self.world.call(scheduler, call);
        let answered = done.updates(scheduler.subscription).len();
        assert!(answered >= asked - waiting, "{answered} answers to {asked} questions");
        self.hear(&done);
    }

    /// A task that its connected scheduler believes alive is alive for the master, or on an agent
    /// that may still come back.
    fn check_no_task_is_lost_without_an_update(&self) {
        let state = self.world.state();
        for (name, task) in self.tasks.iter().filter(|(_, task)| !terminal(task.state)) {
            let Some(scheduler) = self.schedulers.get(&task.framework) else { continue };
            let framework = &state.frameworks[&scheduler.id];
            let live = framework.tasks.values().any(|known| known.id.as_str() == name);
            let away = framework.unreachable_tasks.iter().any(|known| known.id.as_str() == name);
            // After a change of masters only the agent knows, and reconciliation asks it.
            let unheard = self.world.state().master.id != "m";
            assert!(live || away || unheard, "{name} is lost and nobody was told: {task:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_books_add_up_and_no_task_is_lost_without_an_update(
        steps in prop::collection::vec(any_step(), 0..50)
    ) {
        let mut play = Play::new();
        for step in &steps {
            play.step(step);
            play.check_no_task_is_lost_without_an_update();
        }
    }
}
