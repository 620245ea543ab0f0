//! What is refused leaves everything as it was: calls of schedulers and messages of agents and
//! drivers, well formed and not, from those who may send them and from others.

use std::sync::Arc;

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::{Caller, Event, Stream, SubscriptionId};
use alcazar_master::engine::message::Inbound;
use alcazar_master::engine::state::Offer;
use libprocess::sender::BoundPid;
use model::id::{AgentId, FrameworkId};
use proptest::prelude::*;
use wire::v1::framework_info::capability::Type as Capability;
use wire::v1::offer::operation::Type;
use wire::v1::resource::disk_info::source::Type as SourceType;
use wire::v1::scheduler::{self, call};
use wire::v1::{OperationState, TaskState, offer};
use wire::{internal, v1};

use crate::operations::groups::{executor, group};
use crate::operations::providers::{create_disk, disk, listed, provider, update_of};
use crate::operations::{
    applied, create, destroy, grow, launch, named, of, reserve, reserved, shared_volume, shrink,
    task_with, unreserve, volume, web, wire,
};
use crate::world::*;

/// Numbers that come out as they were drawn, then zeros.
struct Dice<'a> {
    left: &'a [u8],
    /// Whom it is about, more often than not: who speaks.
    agent: Option<AgentId>,
    framework: Option<FrameworkId>,
}

impl<'a> Dice<'a> {
    fn of(left: &'a [u8]) -> Self {
        Self { left, agent: None, framework: None }
    }

    fn roll(&mut self) -> u8 {
        match self.left.split_first() {
            Some((first, rest)) => {
                self.left = rest;
                *first
            }
            None => 0,
        }
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[usize::from(self.roll()) % from.len()]
    }

    fn odds(&mut self, one_in: u8) -> bool {
        self.roll().is_multiple_of(one_in)
    }
}

/// A cluster in which something of everything is there.
struct Stage {
    world: World,
    agents: Vec<AgentId>,
    plain: Scheduler,
    multi: Scheduler,
    /// Has reservations and volumes on the first two agents.
    web: Scheduler,
    driver: BoundPid,
    driven: FrameworkId,
    /// What agent 1 says when it comes back.
    back: internal::ReregisterSlaveMessage,
    /// Whether ACCEPTs come without their operations.
    bare: bool,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Taken,
    Refused,
    /// An ACCEPT of which no operation was done.
    Dropped,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new();
        let total = "cpus:8;mem:512;disk:256";
        let mut agents: Vec<_> = (1..=4).map(|n| world.join(n, total)).collect();
        let raw = provider(vec![disk(SourceType::Raw, 100.0)], vec![], 5);
        world.say(&host(2), Inbound::UpdateAgent(update_of(&agents[1], vec![], Some(vec![raw]))));
        let web = web(&mut world, "web");
        for (n, agent) in (1..).zip(&agents[..2]) {
            let made = vec![
                reserve(&reserved("cpus:2;disk:128", "web")),
                create(&[volume("v", 64, "web"), shared_volume("s", 32, "web")]),
            ];
            let done = world.operate_on(&web, agent, made);
            for (number, applied) in (100..).zip(&applied(&done)) {
                world.finish(n, agent, applied, number);
            }
        }
        for offer in world.offers(&web) {
            world.accept_operations(&web, vec![offer], vec![]);
        }
        let plain = world.scheduler("plain");
        for (name, agent) in [("t1", 0), ("t2", 0), ("t3", 1), ("t4", 2)] {
            world.launch(&plain, &agents[agent], name);
        }
        let mut info = framework_info("multi", &[Capability::MultiRole]);
        info.roles = vec!["a".into(), "b".into(), "web".into()];
        info.failover_timeout = Some(1e5);
        let (multi, _) = world.subscribe("multi", info);
        let driver = bound("scheduler-1@10.0.1.1:4000", Some(identity("framework/driven")));
        let message =
            internal::RegisterFrameworkMessage { framework: framework_info("driven", &[]) };
        world.say(&driver, Inbound::RegisterFramework(message));
        let state = world.state();
        let driven = state.frameworks.values().find(|f| f.info.name == "driven").unwrap();
        let driven = driven.id.clone();
        let running = (TaskState::TaskRunning, TaskState::TaskRunning);
        let update = update_message(&host(1), &plain, &agents[0], "t1", running, 1);
        world.say(&host(1), Inbound::StatusUpdate(update));
        let back = world.reregister_message(1, &agents[0]);
        // Operations that go on, one of them of a framework that is not there.
        let pending = OperationState::OperationPending;
        let info = named("o", reserve(&reserved("cpus:1", "plain")));
        let own = listed(plain.id.as_str(), info.clone(), pending, 1);
        let orphan = listed("m-9999", info, pending, 2);
        world.say(&host(1), Inbound::UpdateAgent(update_of(&agents[0], vec![own, orphan], None)));
        assert!(world.state().operations.size() >= 2);
        // One is gone, one is away.
        world.operate(mark_gone(&agents[3]));
        world.exited(&host(3));
        world.call(&web, web.call(call::Type::Revive));
        world.call(&plain, plain.call(call::Type::Revive));
        agents.push(AgentId::new("m-S77").unwrap());
        Self { world, agents, plain, multi, web, driver, driven, back, bare: false }
    }

    fn agent(&self, dice: &mut Dice<'_>) -> v1::AgentId {
        if let Some(own) = dice.agent.clone()
            && !dice.odds(4)
        {
            return v1::AgentId { value: own.to_string() };
        }
        let value = match dice.roll() % 8 {
            0 => String::new(),
            1 => "../x".to_owned(),
            _ => dice.pick(&self.agents).to_string(),
        };
        v1::AgentId { value }
    }

    fn framework(&self, dice: &mut Dice<'_>) -> v1::FrameworkId {
        if let Some(own) = dice.framework.clone()
            && !dice.odds(10)
        {
            return v1::FrameworkId { value: own.to_string() };
        }
        let value = match dice.roll() % 8 {
            0 => "m-9999".to_owned(),
            1 => "a/b".to_owned(),
            2 | 3 => self.multi.id.to_string(),
            4 => self.driven.to_string(),
            _ => self.plain.id.to_string(),
        };
        v1::FrameworkId { value }
    }

    fn task(dice: &mut Dice<'_>) -> v1::TaskId {
        let value = (*dice.pick(&["t1", "t2", "t3", "t4", "t9", "", "a/b", "."])).to_owned();
        v1::TaskId { value }
    }

    fn executor(dice: &mut Dice<'_>) -> v1::ExecutorId {
        v1::ExecutorId { value: (*dice.pick(&["t1", "e", "", "../e"])).to_owned() }
    }

    fn uuid(dice: &mut Dice<'_>) -> bytes::Bytes {
        let length = *dice.pick(&[16, 16, 16, 0, 15, 17]);
        vec![dice.roll() % 3; length].into()
    }

    fn number(dice: &mut Dice<'_>) -> f64 {
        if !dice.odds(4) {
            return 1.0;
        }
        *dice.pick(&[0.0, -1.0, 0.5, 1e300, f64::NAN, f64::INFINITY, 5e-324, 1e12])
    }

    fn filters(dice: &mut Dice<'_>) -> Option<v1::Filters> {
        let seconds = Self::number(dice);
        (!dice.odds(3)).then_some(v1::Filters { refuse_seconds: Some(seconds) })
    }

    fn offers(&self, dice: &mut Dice<'_>) -> Vec<v1::OfferId> {
        let state = self.world.state();
        let own = dice.framework.clone().filter(|_| !dice.odds(4));
        let of_own =
            |offer: &&Arc<Offer>| own.as_ref().is_none_or(|own| offer.framework_id == *own);
        let ids: Vec<_> = state.offers.values().filter(of_own).map(|o| o.id.clone()).collect();
        let mut picked = Vec::new();
        for _ in 0..*dice.pick(&[1, 1, 1, 0, 2]) {
            let value = match ids.is_empty() || dice.odds(10) {
                true => "m-O999".to_owned(),
                false => dice.pick(&ids).to_string(),
            };
            picked.push(v1::OfferId { value });
        }
        picked
    }

    fn roles(dice: &mut Dice<'_>) -> Vec<String> {
        let roles = ["a", "b", "*", "../c", "", "d"];
        (0..dice.roll() % 3).map(|_| (*dice.pick(&roles)).to_owned()).collect()
    }

    fn resources(dice: &mut Dice<'_>) -> Vec<v1::Resource> {
        let mut all = resources("cpus:2;mem:64");
        if dice.odds(2)
            && let Some(first) = all.first_mut()
        {
            first.scalar = Some(v1::value::Scalar { value: Self::number(dice) });
        }
        if dice.odds(3) {
            let role = Some((*dice.pick(&["*", "a", "b", "../c"])).to_owned());
            all[0].allocation_info = Some(v1::resource::AllocationInfo { role });
        }
        all
    }

    fn operation(&self, dice: &mut Dice<'_>) -> offer::Operation {
        let volumes = [
            volume("v", 64, "web"),
            shared_volume("s", 32, "web"),
            volume("w", 16, "web"),
            volume("v", 8, "web"),
            disk(SourceType::Raw, 100.0),
        ];
        let volume = dice.pick(&volumes).clone();
        let amounts = ["cpus:1", "disk:16", "cpus:1;disk:8", "cpus:99", "disk:64"];
        let by = *dice.pick(&["web", "web", "web", "somebody"]);
        let amount = *dice.pick(&amounts);
        let reserved = reserved(amount, by);
        let mut wanted = Self::resources(dice);
        if dice.odds(4) {
            wanted.push(volume.clone());
        }
        let agent = match dice.odds(4) {
            true => dice.pick(&self.agents).clone(),
            false => self.agents[0].clone(),
        };
        let task = task_with(&Self::task(dice).value, &agent, wanted);
        let operation = match dice.roll() % 14 {
            0..3 => launch(vec![task]),
            3 => group(executor(&self.web, "cpus:0.1;mem:32"), vec![task]),
            4 => reserve(&reserved),
            5 => unreserve(&reserved),
            6 => create(&[volume]),
            7 | 8 => destroy(&[volume]),
            9 => grow(&volume, &wire(&reserved)[0]),
            10 => shrink(&volume, Self::number(dice)),
            11 => create_disk(&volume),
            // With nothing of what belongs to it.
            _ => of(Type::try_from(i32::from(dice.roll() % 12)).unwrap_or_default()),
        };
        let name = *dice.pick(&["o", "o1", "", "a/b"]);
        match dice.odds(3) {
            true => named(name, operation),
            false => operation,
        }
    }

    fn info(&self, dice: &mut Dice<'_>) -> v1::FrameworkInfo {
        let mut info = match dice.odds(2) {
            true => self.plain.info.clone(),
            false => self.multi.info.clone(),
        };
        match dice.roll() % 8 {
            0 => info.user = "somebody".to_owned(),
            1 => info.principal = Some("somebody".to_owned()),
            2 => info.checkpoint = Some(false),
            3 => info.roles = Self::roles(dice),
            4 => info.failover_timeout = Some(Self::number(dice)),
            5 => {
                let value = v1::value::Scalar { value: Self::number(dice) };
                let quantities = [("cpus".to_owned(), value)].into();
                let minimum = v1::offer_filters::ResourceQuantities { quantities };
                let minimum =
                    v1::offer_filters::MinAllocatableResources { quantities: vec![minimum] };
                let filters = v1::OfferFilters { min_allocatable_resources: Some(minimum) };
                info.offer_filters.insert("*".to_owned(), filters);
            }
            6 => info.id = None,
            _ => info.name = "renamed".to_owned(),
        }
        info
    }

    fn call(&self, dice: &mut Dice<'_>) -> scheduler::Call {
        let mut call = scheduler::Call {
            framework_id: (!dice.odds(16)).then(|| self.framework(dice)),
            ..scheduler::Call::default()
        };
        let kind = match dice.odds(3) {
            true => call::Type::Accept.into(),
            false => i32::from(dice.roll() % 19),
        };
        call.r#type = (!dice.odds(12)).then_some(kind);
        if dice.odds(10) {
            return call;
        }
        match call::Type::try_from(kind).unwrap_or_default() {
            call::Type::Accept => {
                let (offer_ids, filters) = (self.offers(dice), Self::filters(dice));
                let mut operations = vec![self.operation(dice)];
                if self.bare {
                    operations.clear();
                }
                call.accept = Some(call::Accept { offer_ids, operations, filters });
            }
            call::Type::Decline => {
                let (offer_ids, filters) = (self.offers(dice), Self::filters(dice));
                call.decline = Some(call::Decline { offer_ids, filters });
            }
            call::Type::AcceptInverseOffers => {
                let (inverse_offer_ids, filters) = (self.offers(dice), Self::filters(dice));
                call.accept_inverse_offers =
                    Some(call::AcceptInverseOffers { inverse_offer_ids, filters });
            }
            call::Type::DeclineInverseOffers => {
                let (inverse_offer_ids, filters) = (self.offers(dice), Self::filters(dice));
                call.decline_inverse_offers =
                    Some(call::DeclineInverseOffers { inverse_offer_ids, filters });
            }
            call::Type::Revive => call.revive = Some(call::Revive { roles: Self::roles(dice) }),
            call::Type::Suppress => {
                call.suppress = Some(call::Suppress { roles: Self::roles(dice) });
            }
            call::Type::Kill => {
                call.kill = Some(call::Kill {
                    task_id: Self::task(dice),
                    agent_id: dice.odds(2).then(|| self.agent(dice)),
                    kill_policy: None,
                });
            }
            call::Type::Shutdown => {
                let (executor_id, agent_id) = (Self::executor(dice), self.agent(dice));
                call.shutdown = Some(call::Shutdown { executor_id, agent_id });
            }
            call::Type::Acknowledge => {
                call.acknowledge = Some(call::Acknowledge {
                    agent_id: self.agent(dice),
                    task_id: Self::task(dice),
                    uuid: Self::uuid(dice),
                });
            }
            call::Type::AcknowledgeOperationStatus => {
                call.acknowledge_operation_status = Some(call::AcknowledgeOperationStatus {
                    agent_id: dice.odds(2).then(|| self.agent(dice)),
                    uuid: Self::uuid(dice),
                    ..call::AcknowledgeOperationStatus::default()
                });
            }
            call::Type::Reconcile => {
                let task_id = Self::task(dice);
                let agent_id = dice.odds(2).then(|| self.agent(dice));
                let tasks = vec![call::reconcile::Task { task_id, agent_id }];
                call.reconcile = Some(call::Reconcile { tasks });
            }
            call::Type::Message => {
                call.message = Some(call::Message {
                    agent_id: self.agent(dice),
                    executor_id: Self::executor(dice),
                    data: bytes::Bytes::new(),
                });
            }
            call::Type::UpdateFramework => {
                call.update_framework = Some(call::UpdateFramework {
                    framework_info: self.info(dice),
                    suppressed_roles: Self::roles(dice),
                    offer_constraints: None,
                });
                if !dice.odds(4)
                    && let Some(update) = &call.update_framework
                {
                    call.framework_id.clone_from(&update.framework_info.id);
                }
            }
            call::Type::Subscribe => {
                call.subscribe = Some(call::Subscribe {
                    framework_info: self.info(dice),
                    suppressed_roles: Self::roles(dice),
                    offer_constraints: None,
                });
                if !dice.odds(4)
                    && let Some(subscribe) = &call.subscribe
                {
                    call.framework_id.clone_from(&subscribe.framework_info.id);
                }
            }
            _ => {}
        }
        call
    }

    fn status_update(&self, dice: &mut Dice<'_>) -> internal::StatusUpdateMessage {
        let states = [TaskState::TaskRunning, TaskState::TaskFinished, TaskState::TaskKilled];
        let states = (*dice.pick(&states), *dice.pick(&states));
        let n = 1 + dice.roll() % 3;
        let agent = self.agents[usize::from(n) - 1].clone();
        let task = Self::task(dice).value;
        let mut message = update_message(&host(n), &self.plain, &agent, &task, states, n);
        match dice.roll() % 9 {
            0 => message.pid = None,
            1 => message.pid = Some("@0.0.0.0:0".to_owned()),
            2 => message.pid = Some("nonsense".to_owned()),
            3 => message.update.status.uuid = None,
            4 => message.update.uuid = Some(Self::uuid(dice)),
            5 => message.update.status.state = i32::from(dice.roll() % 20),
            6 => message.update.framework_id = self.framework(dice),
            7 => message.update.slave_id = Some(self.agent(dice)),
            _ => {}
        }
        message
    }

    fn reregistration(&self, dice: &mut Dice<'_>) -> internal::ReregisterSlaveMessage {
        let mut message = self.back.clone();
        match dice.roll() % 12 {
            0 => message.slave.id = Some(self.agent(dice)),
            1 => message.slave.hostname = "elsewhere".to_owned(),
            2 => message.slave.resources = Self::resources(dice),
            3 => message.version = Some((*dice.pick(&["0.9.0", "", "1.99.0"])).to_owned()),
            4 => message.frameworks.clear(),
            5 => message.tasks.iter_mut().for_each(|task| task.agent_id = self.agent(dice)),
            6 => message.tasks.iter_mut().for_each(|task| task.resources = Self::resources(dice)),
            7 => message.tasks.iter_mut().for_each(|t| t.state = i32::from(dice.roll() % 16)),
            8 => message.tasks.extend(self.back.tasks.clone()),
            9 => message.checkpointed_resources = Self::resources(dice),
            10 => message.resource_version_uuid = Some(v1::Uuid { value: Self::uuid(dice) }),
            _ => {}
        }
        message
    }

    fn message(&self, dice: &mut Dice<'_>) -> Inbound {
        let slave_id = self.agent(dice);
        let framework_id = self.framework(dice);
        let kinds: &[u8] = match (&dice.agent, &dice.framework) {
            (Some(_), _) => &[0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 14],
            (_, Some(_)) => &[0, 11, 12, 13, 14, 14, 14, 14, 14, 14],
            _ => &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        };
        match *dice.pick(kinds) {
            0 | 1 => Inbound::StatusUpdate(self.status_update(dice)),
            2 | 3 => Inbound::ReregisterAgent(self.reregistration(dice)),
            4 => {
                let mut message = register_message(1 + dice.roll() % 5, "cpus:8");
                if dice.odds(2) {
                    message.slave.resources = Self::resources(dice);
                }
                Inbound::RegisterAgent(message)
            }
            5 => {
                let mut message = internal::UpdateSlaveMessage { slave_id, ..Default::default() };
                message.oversubscribed_resources = Self::resources(dice);
                for resource in &mut message.oversubscribed_resources {
                    resource.revocable =
                        (!dice.odds(3)).then_some(v1::resource::RevocableInfo::default());
                }
                if dice.odds(3) {
                    let value = Self::uuid(dice);
                    message.resource_version_uuid = Some(v1::Uuid { value });
                }
                if dice.odds(2) {
                    let framework = self.framework(dice).value;
                    let info = named("o", reserve(&reserved("cpus:1", "plain")));
                    let state = i32::from(dice.roll() % 12);
                    let state = OperationState::try_from(state).unwrap_or_default();
                    let listed = listed(&framework, info, state, dice.roll() % 4);
                    let operations =
                        internal::update_slave_message::Operations { operations: vec![listed] };
                    message.operations = Some(operations);
                }
                if dice.odds(2) {
                    let framework = self.framework(dice).value;
                    let raw = disk(SourceType::Raw, Self::number(dice));
                    let info = named("p", create_disk(&raw));
                    let listed =
                        listed(&framework, info, OperationState::OperationPending, dice.roll() % 4);
                    let operations = if dice.odds(2) { vec![listed] } else { vec![] };
                    let one = provider(vec![raw], operations, dice.roll() % 4);
                    let providers = vec![one; usize::from(dice.roll() % 3)];
                    message.resource_providers =
                        Some(internal::update_slave_message::ResourceProviders { providers });
                }
                Inbound::UpdateAgent(message)
            }
            6 => Inbound::ExitedExecutor(internal::ExitedExecutorMessage {
                slave_id,
                framework_id,
                executor_id: Self::executor(dice),
                status: 0,
            }),
            7 => Inbound::ExecutorToFramework(internal::ExecutorToFrameworkMessage {
                slave_id,
                framework_id,
                executor_id: Self::executor(dice),
                data: bytes::Bytes::new(),
            }),
            8 => {
                let value = Self::uuid(dice);
                let mut status = v1::OperationStatus {
                    operation_id: dice.odds(2).then(|| v1::OperationId { value: "o".to_owned() }),
                    agent_id: dice.odds(3).then(|| self.agent(dice)),
                    ..Default::default()
                };
                let state = i32::from(dice.roll() % 12);
                status.set_state(OperationState::try_from(state).unwrap_or_default());
                Inbound::UpdateOperationStatus(internal::UpdateOperationStatusMessage {
                    status,
                    slave_id: (!dice.odds(4)).then_some(slave_id),
                    framework_id: dice.odds(2).then_some(framework_id),
                    operation_uuid: (!dice.odds(4)).then_some(v1::Uuid { value }),
                    ..Default::default()
                })
            }
            9 => Inbound::UnregisterAgent(internal::UnregisterSlaveMessage { slave_id }),
            10 => Inbound::Pong(internal::PongSlaveMessage {}),
            11 => {
                let framework = self.info(dice);
                Inbound::RegisterFramework(internal::RegisterFrameworkMessage { framework })
            }
            12 => {
                let (framework, failover) = (self.info(dice), dice.odds(2));
                let message = internal::ReregisterFrameworkMessage { framework, failover };
                Inbound::ReregisterFramework(message)
            }
            13 => {
                let message = internal::UnregisterFrameworkMessage { framework_id };
                Inbound::UnregisterFramework(message)
            }
            _ => {
                let bytes = wire::encode(&self.call(dice));
                match Inbound::decode("mesos.scheduler.Call", bytes.into()) {
                    Ok(call) => call,
                    Err(_) => Inbound::Pong(internal::PongSlaveMessage {}),
                }
            }
        }
    }

    fn sender(&self, dice: &mut Dice<'_>) -> BoundPid {
        match dice.roll() % 12 {
            0 => bound("slave(1)@10.0.0.1:5051", Some(identity("agent/thief"))),
            1 => bound("scheduler-1@10.0.1.1:4000", Some(identity("framework/thief"))),
            2..5 => {
                dice.framework = Some(self.driven.clone());
                self.driver.clone()
            }
            // The same machine at another port.
            // The place of an agent that is away, by one that is connected elsewhere.
            6 => bound("slave(1)@10.0.0.3:5051", Some(identity("agent/host-1"))),
            5 => bound("slave(2)@10.0.0.1:6051", Some(identity("agent/host-1"))),
            _ => {
                let n = 1 + dice.roll() % 5;
                dice.agent = self.agents.get(usize::from(n) - 1).cloned();
                host(n)
            }
        }
    }

    /// Lets one thing happen.
    fn act(&mut self, dice: &mut Dice<'_>) -> (End, Done) {
        let (refused, accepts, done) = self.let_happen(dice);
        let done_for = ["RunTask", "RunTaskGroup", "ApplyOperation", "CheckpointResources"];
        let nothing = done.names().iter().all(|name| !done_for.contains(&name.as_str()));
        let end = match (refused, accepts && nothing) {
            (true, _) => End::Refused,
            (false, true) => End::Dropped,
            (false, false) => End::Taken,
        };
        (end, done)
    }

    /// Whether it was refused, and whether it is an ACCEPT.
    fn let_happen(&mut self, dice: &mut Dice<'_>) -> (bool, bool, Done) {
        match dice.roll() % 4 {
            0 | 1 => {
                let speaker = dice.pick(&[&self.plain, &self.multi, &self.web]).to_owned().clone();
                dice.framework = Some(speaker.id.clone());
                let call = self.call(dice);
                let caller: Caller = match dice.odds(16) {
                    true => caller("stranger"),
                    false => speaker.caller.clone(),
                };
                if call.r#type == Some(call::Type::Subscribe.into()) {
                    let subscription = SubscriptionId(1000 + u64::from(dice.roll()));
                    let call = Box::new(call);
                    let done = self.world.handle(Event::Subscribe { subscription, caller, call });
                    let refused = |effect: &Effect| match effect {
                        Effect::Stream { subscription: to, event } => {
                            *to == subscription && event.error.is_some()
                        }
                        _ => false,
                    };
                    return (done.0.iter().any(refused), false, done);
                }
                let own = Stream::Of(speaker.subscription);
                let other = Stream::Of(self.multi.subscription);
                let other = [other, Stream::Missing, Stream::Unknown];
                let accepts = call.r#type() == call::Type::Accept;
                let stream = if dice.odds(8) { *dice.pick(&other) } else { own };
                let (answer, done) = self.world.try_call(&caller, stream, call);
                (answer.is_err(), accepts, done)
            }
            _ => {
                let (from, message) = (self.sender(dice), self.message(dice));
                let to = match (&message, dice.roll() % 8) {
                    (Inbound::Pong(_), n) => format!("slave-observer({n})"),
                    (_, 0) => "slave-observer(1)".to_owned(),
                    _ => "master".to_owned(),
                };
                let accepts =
                    matches!(&message, Inbound::Call(call) if call.r#type() == call::Type::Accept);
                let before = self.world.count(Counter::DroppedMessages);
                let done = self.world.say_to(&to, &from, message);
                let shut_down = done.names().contains(&"Shutdown".to_owned());
                let dropped = self.world.count(Counter::DroppedMessages) > before;
                (shut_down || dropped, accepts, done)
            }
        }
    }

    /// All that there is, counts aside: those count what was refused, too.
    fn picture(&self) -> String {
        without_counts(&format!("{:?} {:?}", self.world.engine, self.world.registry))
    }
}

/// What is debugged, without the values of fields in which calls and messages are counted.
fn without_counts(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    let next = |rest: &str| {
        let places = ["counters: ", "principals: "].map(|name| rest.find(name));
        places.into_iter().flatten().min()
    };
    while let Some(at) = next(rest) {
        kept.push_str(&rest[..at]);
        let mut depth = 0;
        let end = rest[at..].find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == '}' && depth == 0
        });
        rest = &rest[at + end.expect("a whole value")..];
    }
    kept + rest
}

/// Where two pictures begin to differ.
fn difference(before: &str, after: &str) -> Option<String> {
    let same = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| {
        let text = &text.as_bytes()[same.saturating_sub(300).min(text.len())..];
        String::from_utf8_lossy(&text[..text.len().min(600)]).into_owned()
    };
    (before != after).then(|| format!("before: …{}\n\nafter: …{}", part(before), part(after)))
}

/// What a refusal may lead to: words to whoever was refused, and to the log.
fn is_an_answer(effect: &Effect) -> bool {
    match effect {
        Effect::Answer { .. }
        | Effect::Audit(_)
        | Effect::CloseStream { .. }
        | Effect::Log { .. }
        | Effect::Stream { .. } => true,
        Effect::Send { message, .. } => {
            matches!(
                message.as_ref(),
                alcazar_master::engine::message::Outbound::FrameworkError(_)
                    | alcazar_master::engine::message::Outbound::Shutdown(_)
            )
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_is_refused_leaves_everything_as_it_was(
        rolls in prop::collection::vec(prop::collection::vec(any::<u8>(), 32), 1..20)
    ) {
        let mut stage = Stage::new();
        for (n, roll) in rolls.iter().enumerate() {
            let before = stage.picture();
            let (end, done) = stage.act(&mut Dice::of(roll));
            match end {
                End::Taken => {}
                End::Refused => {
                    prop_assert_eq!(difference(&before, &stage.picture()), None, "{:?}", done);
                    prop_assert!(done.0.iter().all(is_an_answer), "{:?}", done);
                }
                // What is left is what an ACCEPT without operations does.
                End::Dropped => {
                    let mut twin = Stage::new();
                    for roll in &rolls[..n] {
                        twin.act(&mut Dice::of(roll));
                    }
                    twin.bare = true;
                    twin.act(&mut Dice::of(roll));
                    let difference = difference(&twin.picture(), &stage.picture());
                    prop_assert_eq!(difference, None, "{:?}", done);
                }
            }
        }
    }
}

/// A number that looks like chance (splitmix64).
fn scattered(n: u64) -> u8 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as u8
}

#[test]
fn of_what_comes_in_at_random_much_is_refused_and_much_is_not() {
    let (mut refused, mut dropped, mut taken) = (0, 0, 0);
    let mut stage = Stage::new();
    for seed in 0..400_u64 {
        // Before all of it is over.
        if seed % 8 == 0 {
            stage = Stage::new();
        }
        let roll: Vec<u8> = (0..32_u64).map(|n| scattered(seed * 32 + n)).collect();
        match stage.act(&mut Dice::of(&roll)).0 {
            End::Refused => refused += 1,
            End::Dropped => dropped += 1,
            End::Taken => taken += 1,
        }
    }
    let counts = format!("{refused} refused, {dropped} dropped, {taken} taken");
    assert!(refused > 80 && dropped > 4 && taken > 40, "{counts}");
}
