//! Whatever frameworks make of what they are offered, and whatever becomes of it on the way:
//! nothing is lost, nothing is had twice, and the books add up.

use std::cell::Cell;
use std::time::Duration;

use alcazar_master::engine::event::{Event, Stream};
use model::resources::{Quantities, Resource, Value};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use wire::resources::write_one;
use wire::v1::scheduler::call;
use wire::v1::{OperationState, TaskState};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A framework does something with its first offer of an agent.
    Operate(u8, u8, Kind, u8),
    /// An agent says how an operation ended; it may say so again later.
    Report(u8, OperationState),
    /// A framework acknowledges what it was told last of an operation.
    Acknowledge(u8),
    /// An agent lists what it has, or forgets to.
    List(u8, bool),
    Break(u8),
    Rejoin(u8),
    Unsubscribe(u8),
    Subscribe(u8),
    Teardown(u8),
    FinishTask(u8),
    Revive(u8),
    Wait(u16),
    FailOver,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Reserve,
    Unreserve,
    Create,
    CreateShared,
    Destroy,
    Grow,
    Shrink,
    Launch,
    /// Something that is not there.
    Nonsense,
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Reserve),
        2 => Just(Kind::Unreserve),
        3 => Just(Kind::Create),
        2 => Just(Kind::CreateShared),
        2 => Just(Kind::Destroy),
        2 => Just(Kind::Grow),
        2 => Just(Kind::Shrink),
        4 => Just(Kind::Launch),
        1 => Just(Kind::Nonsense),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        4 => Just(OperationState::OperationFinished),
        1 => Just(OperationState::OperationPending),
        1 => Just(OperationState::OperationError),
        1 => Just(OperationState::OperationDropped),
    ];
    prop_oneof![
        14 => (0u8..3, 1u8..3, any_kind(), 1u8..20)
            .prop_map(|(f, n, kind, size)| Step::Operate(f, n, kind, size)),
        6 => (any::<u8>(), ending).prop_map(|(op, state)| Step::Report(op, state)),
        4 => any::<u8>().prop_map(Step::Acknowledge),
        2 => (1u8..3, any::<bool>()).prop_map(|(n, all)| Step::List(n, all)),
        1 => (1u8..3).prop_map(Step::Break),
        2 => (1u8..3).prop_map(Step::Rejoin),
        1 => (0u8..3).prop_map(Step::Unsubscribe),
        3 => (0u8..3).prop_map(Step::Subscribe),
        1 => (0u8..3).prop_map(Step::Teardown),
        4 => any::<u8>().prop_map(Step::FinishTask),
        4 => (0u8..3).prop_map(Step::Revive),
        2 => (0u16..90).prop_map(Step::Wait),
        1 => Just(Step::FailOver),
    ]
}

const HAS: &str = "cpus:8;mem:64;disk:100";

struct Play {
    world: World,
    agents: Vec<AgentId>,
    memories: Vec<internal::ReregisterSlaveMessage>,
    schedulers: [Option<Scheduler>; 3],
    /// Operations with the agent's number and the number of the last status said of them.
    sent: Vec<(u8, internal::ApplyOperationMessage, u8)>,
    tasks: Vec<(u8, usize, String)>,
    next: u32,
}

impl Play {
    fn new() -> Self {
        let mut world = World::new();
        let agents = vec![world.join(1, HAS), world.join(2, HAS)];
        let memories =
            vec![world.reregister_message(1, &agents[0]), world.reregister_message(2, &agents[1])];
        let schedulers = [None, None, None];
        Self { world, agents, memories, schedulers, sent: Vec::new(), tasks: Vec::new(), next: 0 }
    }

    fn agent(&self, n: u8) -> AgentId {
        self.agents[usize::from(n) - 1].clone()
    }

    /// What an agent will remember: what it has been told by now.
    fn remember(&mut self) {
        for n in 1..3u8 {
            let agent = self.agent(n);
            if self.world.state().agents.get(&agent).is_some_and(|agent| agent.connected) {
                self.memories[usize::from(n) - 1] = self.world.reregister_message(n, &agent);
            }
        }
    }

    fn operation(
        &mut self,
        scheduler: &Scheduler,
        agent: &AgentId,
        kind: Kind,
        size: u8,
    ) -> Vec<v1::offer::Operation> {
        let by = scheduler.info.name.clone();
        let offered = self.world.offered(scheduler, agent);
        let written = |resource: &Resource| write_one(resource, Form::PostRefinement);
        let volumes = offered.persistent_volumes();
        let volume = volumes.iter().next().cloned();
        let free = offered.filter(|r| !r.is_unreserved() && !r.is_persistent_volume());
        self.next += 1;
        let id = format!("v{}", self.next);
        match (kind, volume) {
            (Kind::Reserve, _) => {
                vec![reserve(&reserved(&format!("cpus:0.{size};disk:{size}"), &by))]
            }
            (Kind::Unreserve, _) => vec![unreserve(&free)],
            (Kind::Create, _) => vec![
                reserve(&reserved(&format!("disk:{size}"), &by)),
                create(&[volume_of(&id, size, &by, false)]),
            ],
            (Kind::CreateShared, _) => vec![
                reserve(&reserved(&format!("disk:{size}"), &by)),
                create(&[volume_of(&id, size, &by, true)]),
            ],
            (Kind::Destroy, Some(volume)) => vec![destroy(&[written(&volume)])],
            (Kind::Grow, Some(volume)) => {
                let addition = volume.without_volume().with_value(Value::Scalar(
                    model::resources::Scalar::from_thousandths(u64::from(size) * 500),
                ));
                vec![grow(&written(&volume), &written(&addition))]
            }
            (Kind::Shrink, Some(volume)) => vec![shrink(&written(&volume), f64::from(size) / 2.0)],
            (Kind::Launch, volume) => {
                let name = format!("t{}", self.next);
                let mut task = task(&name, agent, "cpus:0.5");
                let mut second = task.clone();
                second.task_id.value.push('b');
                if let Some(volume) = volume {
                    let one: Resource = volume;
                    task.resources.push(written(&one));
                    second.resources.push(written(&one));
                }
                vec![launch(vec![task, second])]
            }
            (Kind::Destroy | Kind::Grow | Kind::Shrink, None) | (Kind::Nonsense, _) => vec![
                reserve(&reserved("cpus:100", &by)),
                destroy(&[volume_of("none", 1, &by, false)]),
                unreserve(&Resources::new()),
            ],
        }
    }

    fn hear(&mut self, n: u8, scheduler: usize, done: &Done) {
        for applied in applied(done) {
            self.sent.push((n, applied, 0));
        }
        for (_, _, message) in done.sent() {
            if let Outbound::RunTask(message) = message {
                self.tasks.push((n, scheduler, message.task.task_id.value.clone()));
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Operate(f, n, kind, size) => {
                let Some(scheduler) = self.schedulers[usize::from(f)].clone() else { return };
                let agent = self.agent(n);
                let offers = self.world.offers_of(&scheduler, &agent);
                if offers.is_empty() {
                    return;
                }
                let operations = self.operation(&scheduler, &agent, kind, size);
                let named = operations.into_iter().enumerate().map(|(place, operation)| {
                    let launches = operation.r#type() == Type::Launch;
                    if launches || size.is_multiple_of(2) {
                        operation
                    } else {
                        named(&format!("o{}-{place}", self.next), operation)
                    }
                });
                let named = named.collect();
                let done = self.world.accept_operations(&scheduler, offers, named);
                self.hear(n, f.into(), &done);
            }
            Step::Report(place, state) => {
                let count = self.sent.len();
                if count == 0 {
                    return;
                }
                let place = usize::from(place) % count;
                let (n, applied, said) = &mut self.sent[place];
                *said = said.wrapping_add(1).max(1);
                let (n, said, applied) = (*n, *said, applied.clone());
                let message = status_message(&self.agent(n), &applied, state, Some(said));
                self.world.say(&host(n), Inbound::UpdateOperationStatus(message));
            }
            Step::Acknowledge(place) => {
                let count = self.sent.len();
                if count == 0 {
                    return;
                }
                let (n, applied, said) = self.sent[usize::from(place) % count].clone();
                let of = |s: &&Scheduler| applied.framework_id.as_ref() == Some(&s.wire_id());
                let Some(scheduler) = self.schedulers.iter().flatten().find(of).cloned() else {
                    return;
                };
                let Some(id) = &applied.operation_info.id else { return };
                let agent = self.agent(n);
                let call = super::feedback::acknowledge(&scheduler, &agent, &id.value, said);
                self.world.call(&scheduler, call);
            }
            Step::List(n, all) => {
                let agent = self.agent(n);
                let state = self.world.state();
                let known = state.operations.values().filter(|o| o.agent_id == agent && all);
                let own = known.map(|operation| operation.info.clone()).collect();
                self.world.tell(n, super::providers::update_of(&agent, own, None));
            }
            Step::Break(n) => {
                self.remember();
                self.world.exited(&host(n));
            }
            Step::Rejoin(n) => {
                let message = self.memories[usize::from(n) - 1].clone();
                self.world.say(&host(n), Inbound::ReregisterAgent(message));
            }
            Step::Unsubscribe(f) => {
                if let Some(scheduler) = &self.schedulers[usize::from(f)] {
                    let subscription = scheduler.subscription;
                    self.world.handle(Event::Unsubscribed { subscription });
                    self.schedulers[usize::from(f)] = None;
                }
            }
            Step::Subscribe(f) => {
                if self.schedulers[usize::from(f)].is_none() {
                    let scheduler = web(&mut self.world, &format!("f{f}"));
                    self.schedulers[usize::from(f)] = Some(scheduler);
                }
            }
            Step::Teardown(f) => {
                if let Some(scheduler) = self.schedulers[usize::from(f)].take() {
                    self.world.teardown(&scheduler.id);
                }
            }
            Step::FinishTask(place) => {
                if self.tasks.is_empty() {
                    return;
                }
                let place = usize::from(place) % self.tasks.len();
                let (n, f, name) = self.tasks.swap_remove(place);
                let Some(scheduler) = self.schedulers[f].clone() else { return };
                let agent = self.agent(n);
                let finished = TaskState::TaskFinished;
                self.world.update(&host(n), &scheduler, &agent, &name, finished, 1);
                self.world.acknowledge(&scheduler, &agent, &name, 1);
            }
            Step::Revive(f) => {
                if let Some(scheduler) = self.schedulers[usize::from(f)].clone() {
                    let stream = Stream::Of(scheduler.subscription);
                    let call = scheduler.call(call::Type::Revive);
                    let (answer, _) = self.world.try_call(&scheduler.caller, stream, call);
                    assert!(answer.is_ok());
                }
            }
            Step::Wait(seconds) => {
                self.world.wait_with(Duration::from_secs(seconds.into()), &[&host(1), &host(2)]);
            }
            Step::FailOver => {
                self.remember();
                self.world.fail_over();
                self.schedulers = [None, None, None];
                self.tasks.clear();
            }
        }
    }

    fn check(&self) {
        let has: Quantities = parse(HAS, &Role::any()).unwrap().quantities();
        for agent in self.world.state().agents.values() {
            assert_eq!(agent.total.quantities(), has, "{}", agent.total);
        }
    }
}

fn volume_of(id: &str, size: u8, by: &str, shared: bool) -> v1::Resource {
    if shared { shared_volume(id, size.into(), by) } else { volume(id, size.into(), by) }
}

#[test]
fn operations_neither_make_nor_lose_resources() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(150));
    let (sent, ran) = (Cell::new(0), Cell::new(0));
    let played = runner.run(&prop::collection::vec(any_step(), 1..80), |steps| {
        let mut play = Play::new();
        for f in 0..3 {
            play.step(Step::Subscribe(f));
        }
        for step in steps {
            play.step(step);
            play.check();
        }
        sent.set(sent.get() + play.sent.len());
        ran.set(ran.get() + play.next as usize);
        Ok(())
    });
    played.unwrap();
    assert!(sent.get() * 10 > ran.get(), "{} of {} were done", sent.get(), ran.get());
}
