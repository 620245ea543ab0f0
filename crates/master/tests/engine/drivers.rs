//! Schedulers that speak libprocess (`authentication.md` §7.1, §8; `master-agent-protocol.md` §13).

use alcazar_master::engine::config::Config;
use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::event::Stream;
use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::refusal::Refusal;
use libprocess::sender::{BoundPid, SessionId};
use model::id::{AgentId, FrameworkId};
use model::identity::Kind;
use model::principal::Kinds;
use wire::protocol::mesos::scheduler as v0;
use wire::v1::TaskState;
use wire::v1::scheduler::call;
use wire::{internal, v1};

use crate::world::*;

const FRAMEWORK: Kinds = Kinds::only(Kind::Framework);
const HERE: &str = "scheduler-1@10.0.1.1:4000";
const THERE: &str = "scheduler-2@10.0.1.2:4000";

fn strict(config: &mut Config) {
    config.authenticate_frameworks = true;
}

/// A driver in plaintext that has proved nothing.
fn stranger() -> BoundPid {
    bound(HERE, None)
}

fn driver(upid: &str, principal: &str, session: u64) -> BoundPid {
    proved(upid, principal, FRAMEWORK, session)
}

fn info(principal: Option<&str>) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        principal: principal.map(str::to_owned),
        failover_timeout: Some(60.0),
        ..framework_info("f", &[])
    }
}

fn subscribe_with(info: v1::FrameworkInfo, force: bool) -> Inbound {
    let mut call = v0::Call {
        framework_id: info.id.clone(),
        subscribe: Some(v0::call::Subscribe {
            framework_info: info,
            force: force.then_some(true),
            suppressed_roles: Vec::new(),
            offer_constraints: Some(v1::scheduler::OfferConstraints::default()),
        }),
        ..v0::Call::default()
    };
    call.set_type(call::Type::Subscribe);
    Inbound::Call(call)
}

fn wire_id(id: &FrameworkId) -> v1::FrameworkId {
    v1::FrameworkId { value: id.to_string() }
}

fn call_of(id: &FrameworkId, kind: call::Type) -> v0::Call {
    let mut call = v0::Call { framework_id: Some(wire_id(id)), ..v0::Call::default() };
    call.set_type(kind);
    call
}

/// What was sent to that address: names without the prefix.
fn sent_to(done: &Done, upid: &str) -> Vec<String> {
    let to = |(_, peer, message): &(String, _, &Outbound)| {
        let peer: &alcazar_master::engine::effect::Peer = peer;
        let name = message.name().trim_start_matches("mesos.internal.").trim_end_matches("Message");
        (peer.pid.to_string() == upid).then(|| name.to_owned())
    };
    done.sent().iter().filter_map(to).collect()
}

/// The text of the one `FrameworkErrorMessage`.
fn error(done: &Done) -> String {
    let sent = done.sent();
    let errors: Vec<_> = sent
        .iter()
        .filter_map(|(_, _, message)| match message {
            Outbound::FrameworkError(message) => Some(message.message.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(errors.len(), 1, "{done:?}");
    errors[0].clone()
}

fn greeted(done: &Done) -> FrameworkId {
    let sent = done.sent();
    let mut ids = sent.iter().filter_map(|(_, _, message)| match message {
        Outbound::FrameworkRegistered(message) => Some(&message.framework_id),
        Outbound::FrameworkReregistered(message) => Some(&message.framework_id),
        _ => None,
    });
    FrameworkId::new(&ids.next().unwrap_or_else(|| panic!("no greeting: {done:?}")).value).unwrap()
}

fn ended_sessions(done: &Done) -> Vec<SessionId> {
    let ended = |effect: &Effect| match effect {
        Effect::EndSession { session, .. } => Some(*session),
        _ => None,
    };
    done.0.iter().filter_map(ended).collect()
}

fn subscribe(world: &mut World, from: &BoundPid) -> FrameworkId {
    greeted(&world.say(from, subscribe_with(info(None), false)))
}

fn with_id(id: &FrameworkId) -> v1::FrameworkInfo {
    v1::FrameworkInfo { id: Some(wire_id(id)), ..info(None) }
}

// ---- Who may subscribe: §7.1, §8 ---------------------------------------------------------------

#[test]
fn authn_a_driver_that_has_proved_nothing_is_told_so_where_proof_is_asked() {
    let mut world = World::with(strict);
    let done = world.say(&stranger(), subscribe_with(info(None), false));
    assert_eq!(error(&done), format!("Framework at {HERE} is not authenticated"));
    assert_eq!(world.state().frameworks.size(), 0);
    // In the older words, too.
    let message = internal::RegisterFrameworkMessage { framework: info(None) };
    let done = world.say(&stranger(), Inbound::RegisterFramework(message));
    assert_eq!(error(&done), format!("Framework at {HERE} is not authenticated"));
    // What is wrong with the framework itself is told first.
    let bad = v1::FrameworkInfo { failover_timeout: Some(f64::NAN), ..info(None) };
    let done = world.say(&stranger(), subscribe_with(bad, false));
    assert!(error(&done).contains("failover_timeout"));
}

#[test]
fn authn_where_proof_is_not_asked_drivers_may_come_with_and_without() {
    let mut world = World::new();
    let id = greeted(&world.say(&stranger(), subscribe_with(info(Some("claimed")), false)));
    assert_eq!(world.state().frameworks[&id].info.principal(), "claimed", "unproven, as there");
    subscribe(&mut world, &driver(THERE, "p", 1));
}

#[test]
fn authn_a_principal_is_filled_in_and_another_one_is_refused_also_where_none_is_asked() {
    for change in [strict as fn(&mut Config), |_| {}] {
        let mut world = World::with(change);
        let from = driver(HERE, "p", 1);
        let done = world.say(&from, subscribe_with(info(Some("q")), false));
        assert_eq!(
            error(&done),
            "Framework principal 'q' does not match authenticated principal 'p'"
        );
        let id = subscribe(&mut world, &from);
        assert_eq!(world.state().frameworks[&id].info.principal(), "p");
        let done = world.say(&driver(THERE, "r", 2), subscribe_with(info(Some("r")), false));
        greeted(&done);
    }
}

#[test]
fn attack_a6_credentials_of_agents_subscribe_no_framework() {
    let mut world = World::with(strict);
    for kind in [Kind::Agent, Kind::Executor, Kind::Master] {
        let from = proved(HERE, "p", Kinds::only(kind), 1);
        let done = world.say(&from, subscribe_with(info(None), false));
        assert_eq!(error(&done), "Not authorized to register as a framework", "{kind}");
    }
    assert_eq!(world.state().frameworks.size(), 0);
}

#[test]
fn authn_another_principal_cannot_take_a_framework_over_and_the_first_hears_nothing() {
    let mut world = World::new();
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    for (principal, stated) in [("q", None), ("q", Some("q"))] {
        let info = v1::FrameworkInfo { id: Some(wire_id(&id)), ..info(stated) };
        let done = world.say(&driver(THERE, principal, 2), subscribe_with(info, true));
        assert_eq!(error(&done), "Changing framework's principal is not allowed.");
        assert_eq!(sent_to(&done, HERE), [] as [&str; 0]);
    }
    // Nor can somebody who only states the principal.
    let info = v1::FrameworkInfo { id: Some(wire_id(&id)), ..info(Some("p")) };
    let done = world.say(&bound(THERE, None), subscribe_with(info, true));
    assert_eq!(error(&done), "Changing framework's principal is not allowed.");
    assert!(world.state().frameworks[&id].is_connected());
}

// ---- Subscribing, failing over, leaving: §13.3, §13.4 ------------------------------------------

#[test]
fn authn_a_driver_that_asks_again_is_greeted_again() {
    let mut world = World::new();
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    let done = world.say(&driver(HERE, "p", 1), subscribe_with(info(None), false));
    assert_eq!((greeted(&done), sent_to(&done, HERE)), (id, vec!["FrameworkRegistered".into()]));
    // It may have authenticated again before it asked: that session ends with its link.
    world.say(&driver(HERE, "p", 9), subscribe_with(info(None), false));
    assert_eq!(
        world.state().frameworks.values().next().unwrap().driver().unwrap().session,
        Some(SessionId(9))
    );
    // Nobody else gets in by that.
    world.say(&stranger(), subscribe_with(info(None), false)).is_refused();
    assert_eq!(world.state().frameworks.size(), 1);
}

#[test]
fn authn_a_second_driver_takes_over_by_force_and_the_first_is_told() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    assert_eq!(world.state().offers.size(), 1);
    let done = world.say(&driver(THERE, "p", 2), subscribe_with(with_id(&id), false));
    assert_eq!(error(&done), "Framework failed over");
    assert_eq!(sent_to(&done, HERE), [] as [&str; 0]);

    let done = world.say(&driver(THERE, "p", 2), subscribe_with(with_id(&id), true));
    assert_eq!(sent_to(&done, HERE), ["FrameworkError"]);
    assert_eq!(error(&done), "Framework failed over");
    assert_eq!(ended_sessions(&done), [SessionId(1)]);
    // The new one's offers come after its greeting; the old ones are not rescinded.
    assert_eq!(sent_to(&done, THERE), ["FrameworkRegistered", "ResourceOffers"]);
    let update = done.sent().into_iter().find_map(|(_, peer, message)| match message {
        Outbound::UpdateFramework(update) => Some((peer.pid.to_string(), update.clone())),
        _ => None,
    });
    let (to, update) = update.unwrap();
    assert_eq!((to, update.pid()), (host(1).upid().to_string(), THERE));
    assert!(world.state().agents[&agent].connected);

    // The old one is nobody any more.
    let teardown = call_of(&id, call::Type::Teardown);
    world.say(&driver(HERE, "p", 3), Inbound::Call(teardown)).is_refused();
}

#[test]
fn authn_the_same_driver_comes_back_without_force_and_its_offers_are_rescinded() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    let done = world.say(&driver(HERE, "p", 2), subscribe_with(with_id(&id), false));
    assert_eq!(
        sent_to(&done, HERE),
        ["RescindResourceOffer", "FrameworkReregistered", "ResourceOffers"]
    );
    // The link is made before anything goes over it.
    let names = done.names();
    let at = |name: &str| names.iter().position(|n| n == name).unwrap();
    assert!(at("Link") < at("RescindResourceOffer"), "{names:?}");
    // With force it is a failover, though to itself: nothing is rescinded, it hears no error.
    let done = world.say(&driver(HERE, "p", 2), subscribe_with(with_id(&id), true));
    assert_eq!(sent_to(&done, HERE), ["FrameworkRegistered", "ResourceOffers"]);
}

#[test]
fn authn_a_framework_goes_from_a_driver_to_http_and_back() {
    let mut world = World::new();
    let id = subscribe(&mut world, &stranger());
    let anonymous = alcazar_master::engine::event::Caller::default();
    let (stream, done) = world.try_subscribe(&anonymous, with_id(&id), &[]);
    assert_eq!(sent_to(&done, HERE), ["FrameworkError"]);
    assert_eq!(error(&done), "Framework failed over");
    assert!(done.events(stream).iter().any(|event| event.subscribed.is_some()));
    assert!(world.state().frameworks[&id].pid().is_none());

    let done = world.say(&stranger(), subscribe_with(with_id(&id), false));
    assert_eq!(error(&done), "Framework failed over", "not without force");
    let done = world.say(&stranger(), subscribe_with(with_id(&id), true));
    assert_eq!(done.error(stream), "Framework failed over");
    assert_eq!(greeted(&done), id);
    // Whoever calls over HTTP now is told to whom the framework belongs.
    let mut teardown =
        v1::scheduler::Call { framework_id: Some(wire_id(&id)), ..Default::default() };
    teardown.set_type(call::Type::Teardown);
    let (answer, _) = world.try_call(&anonymous, Stream::Of(stream), teardown);
    assert_eq!(answer, Err(Refusal::FrameworkNotHttp));
    assert_eq!(answer.unwrap_err().status(), 403);
}

#[test]
fn authn_a_framework_that_agents_brought_back_is_taken_by_its_driver_without_force() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    launch(&mut world, &driver(HERE, "p", 1), &id, &agent, "t");
    let message = world.reregister_message(1, &agent);
    world.fail_over();
    world.say(&host(1), Inbound::ReregisterAgent(message));
    let done = world.say(&driver(HERE, "q", 2), subscribe_with(with_id(&id), false));
    assert_eq!(error(&done), "Changing framework's principal is not allowed.");
    let done = world.say(&driver(HERE, "p", 2), subscribe_with(with_id(&id), false));
    assert_eq!(sent_to(&done, HERE)[0], "FrameworkRegistered");
}

#[test]
fn authn_a_broken_link_disconnects_the_framework_until_it_comes_back_or_its_time_is_over() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    let done = world.exited(&driver(HERE, "p", 1));
    assert_eq!(error(&done), "Framework disconnected");
    assert_eq!(ended_sessions(&done), [SessionId(1)]);
    assert_eq!(world.state().offers.size(), 0);
    // A driver that does not know is told when it calls, and ends itself.
    let suppress = call_of(&id, call::Type::Suppress);
    let done = world.say(&driver(HERE, "p", 1), Inbound::Call(suppress));
    assert_eq!(error(&done), "Framework disconnected");
    let done = world.say(&driver(HERE, "p", 2), subscribe_with(with_id(&id), false));
    assert_eq!(sent_to(&done, HERE)[0], "FrameworkReregistered");

    world.exited(&driver(HERE, "p", 2));
    world.wait_with(61 * SECOND, &[&host(1)]);
    assert!(!world.state().frameworks.contains_key(&id));
    let done = world.say(&driver(HERE, "p", 3), subscribe_with(with_id(&id), true));
    assert_eq!(error(&done), "Framework has been removed");
}

#[test]
fn authn_a_deactivated_framework_gets_no_offers_and_goes_on() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let from = driver(HERE, "p", 1);
    let id = subscribe(&mut world, &from);
    launch(&mut world, &from, &id, &agent, "t");
    world.wait_with(MINUTE, &[&host(1)]);
    let message = internal::DeactivateFrameworkMessage { framework_id: wire_id(&id) };
    let before = world.state().offers.size();
    let done = world.say(&from, Inbound::DeactivateFramework(message));
    let rescinded = vec!["RescindResourceOffer".to_owned(); before];
    assert_eq!(sent_to(&done, HERE), rescinded);
    assert_eq!(world.count(Counter::MessagesDeactivateFramework), 1);
    world.wait_with(MINUTE, &[&host(1)]);
    assert_eq!(world.state().offers.size(), 0);
    let framework = &world.state().frameworks[&id];
    assert!(framework.is_connected() && !framework.active && framework.tasks.size() == 1);
}

// ---- Running tasks: §13.1, §13.2 ---------------------------------------------------------------

/// Launches a command task out of the offers that there are.
fn launch(
    world: &mut World,
    from: &BoundPid,
    id: &FrameworkId,
    agent: &AgentId,
    name: &str,
) -> Done {
    let offers = world.state().frameworks[id].offers.clone();
    let message = internal::LaunchTasksMessage {
        framework_id: wire_id(id),
        tasks: vec![task(name, agent, "cpus:1")],
        filters: v1::Filters::default(),
        offer_ids: offers.iter().map(|id| v1::OfferId { value: id.to_string() }).collect(),
    };
    let done = world.say(from, Inbound::LaunchTasks(message));
    assert!(done.names().contains(&"RunTask".to_owned()), "{:?}", done.names());
    done
}

#[test]
fn authn_each_offer_comes_with_the_address_of_its_agent() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    world.join(2, "cpus:4");
    let done = world.say(&driver(HERE, "p", 1), subscribe_with(info(None), false));
    let sent = done.sent();
    let message = sent.iter().find_map(|(_, _, message)| match message {
        Outbound::ResourceOffers(message) => Some(message),
        _ => None,
    });
    let message = message.unwrap();
    assert_eq!((message.offers.len(), message.pids.len()), (2, 2));
    for (offer, pid) in message.offers.iter().zip(&message.pids) {
        let agent = &world.state().agents[&AgentId::new(&offer.agent_id.value).unwrap()];
        assert_eq!(*pid, agent.peer.pid.to_string());
    }
}

#[test]
fn authn_a_task_of_a_driver_runs_from_its_launch_to_its_last_acknowledgement() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let from = driver(HERE, "p", 1);
    let id = subscribe(&mut world, &from);
    let done = launch(&mut world, &from, &id, &agent, "t");
    let run = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::RunTask(run) => Some(run.clone()),
        _ => None,
    });
    assert_eq!(run.unwrap().pid(), HERE);

    let scheduler = as_scheduler(&id);
    let states = (TaskState::TaskFinished, TaskState::TaskFinished);
    let update = update_message(&host(1), &scheduler, &agent, "t", states, 1);
    let done = world.say(&host(1), Inbound::StatusUpdate(update.clone()));
    let forwarded = done.sent().into_iter().find_map(|(_, peer, message)| match message {
        Outbound::StatusUpdate(message) => Some((peer.pid.to_string(), message.clone())),
        _ => None,
    });
    // As the agent sent it, with the address to acknowledge to.
    assert_eq!(forwarded, Some((HERE.to_owned(), update)));

    let acknowledgement = internal::StatusUpdateAcknowledgementMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        framework_id: wire_id(&id),
        task_id: v1::TaskId { value: "t".into() },
        uuid: uuid(1),
    };
    let message = Inbound::StatusUpdateAcknowledgement(acknowledgement.clone());
    let done = world.say(&from, message);
    let forwarded = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::StatusUpdateAcknowledgement(message) => Some(message.clone()),
        _ => None,
    });
    assert_eq!(forwarded, Some(acknowledgement));
    assert_eq!(world.state().frameworks[&id].tasks.size(), 0);
}

/// The scheduler, for helpers that only look at its id.
fn as_scheduler(id: &FrameworkId) -> Scheduler {
    Scheduler {
        id: id.clone(),
        caller: caller("unused"),
        subscription: alcazar_master::engine::event::SubscriptionId(0),
        info: info(None),
    }
}

#[test]
fn authn_what_the_master_makes_up_itself_asks_for_no_acknowledgement() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let from = driver(HERE, "p", 1);
    let id = subscribe(&mut world, &from);
    launch(&mut world, &from, &id, &agent, "t");
    let message = internal::ReconcileTasksMessage {
        framework_id: wire_id(&id),
        statuses: Vec::new(),
        framework: None,
    };
    let done = world.say(&from, Inbound::ReconcileTasks(message));
    let update = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::StatusUpdate(message) => Some(message.clone()),
        _ => None,
    });
    let update = update.unwrap();
    assert_eq!(update.pid(), "@0.0.0.0:0");
    assert_eq!(update.update.uuid.as_deref(), Some(&b""[..]));
    assert_eq!(update.update.status.uuid, None);
    assert_eq!(update.update.status.state(), TaskState::TaskStaging);
}

#[test]
fn authn_the_older_messages_mean_what_the_calls_mean() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let from = driver(HERE, "p", 1);
    let id = subscribe(&mut world, &from);
    launch(&mut world, &from, &id, &agent, "t");
    let framework_id = || wire_id(&id);
    let slave_id = || v1::AgentId { value: agent.to_string() };
    let kill = internal::KillTaskMessage {
        framework_id: framework_id(),
        task_id: v1::TaskId { value: "t".into() },
        kill_policy: None,
    };
    assert_eq!(world.say(&from, Inbound::KillTask(kill)).names(), ["KillTask"]);
    let message = internal::FrameworkToExecutorMessage {
        slave_id: slave_id(),
        framework_id: framework_id(),
        executor_id: v1::ExecutorId { value: "e".into() },
        data: b"x".to_vec().into(),
    };
    let done = world.say(&from, Inbound::FrameworkToExecutor(message));
    assert_eq!(done.names(), ["FrameworkToExecutor"]);
    // Without tasks it declines, and is filtered as long as it says.
    world.wait_with(10 * SECOND, &[&host(1)]);
    let offers = world.state().frameworks[&id].offers.clone();
    assert_eq!(offers.size(), 1);
    let decline = internal::LaunchTasksMessage {
        framework_id: framework_id(),
        tasks: Vec::new(),
        filters: v1::Filters { refuse_seconds: Some(3600.0) },
        offer_ids: offers.iter().map(|id| v1::OfferId { value: id.to_string() }).collect(),
    };
    world.say(&from, Inbound::LaunchTasks(decline));
    assert_eq!(world.state().frameworks[&id].counters.offers_declined, 1);
    assert_eq!(world.state().offers.size(), 0);
    let revive = internal::ReviveOffersMessage { framework_id: framework_id(), roles: Vec::new() };
    world.say(&from, Inbound::ReviveOffers(revive));
    assert_eq!(world.state().offers.size(), 1);
    let request =
        internal::ResourceRequestMessage { framework_id: framework_id(), requests: Vec::new() };
    world.say(&from, Inbound::ResourceRequest(request));
    assert_eq!(world.count(Counter::MessagesResourceRequest), 1);
    let submit = internal::SubmitSchedulerRequest { name: "x".into() };
    let done = world.say(&from, Inbound::SubmitScheduler(submit));
    assert!(matches!(done.sent()[0].2, Outbound::SubmitScheduler(m) if !m.okay));

    let leave = internal::UnregisterFrameworkMessage { framework_id: framework_id() };
    let done = world.say(&from, Inbound::UnregisterFramework(leave));
    assert!(done.names().contains(&"ShutdownFramework".to_owned()));
    assert_eq!(ended_sessions(&done), [SessionId(1)]);
    assert_eq!(world.state().frameworks.size(), 0);
}

#[test]
fn authn_older_registrations_state_what_they_are() {
    let mut world = World::new();
    let id = v1::FrameworkId { value: "x".into() };
    let framework = v1::FrameworkInfo { id: Some(id), ..info(None) };
    let message = internal::RegisterFrameworkMessage { framework };
    let done = world.say(&stranger(), Inbound::RegisterFramework(message));
    assert_eq!(error(&done), "Registering with 'id' already set");
    let message = internal::ReregisterFrameworkMessage { framework: info(None), failover: false };
    let done = world.say(&stranger(), Inbound::ReregisterFramework(message));
    assert_eq!(error(&done), "Re-registering without an 'id'");
    let message = internal::RegisterFrameworkMessage { framework: info(None) };
    greeted(&world.say(&stranger(), Inbound::RegisterFramework(message)));
}

#[test]
fn authn_calls_that_drivers_do_not_have_are_dropped() {
    let mut world = World::new();
    let from = driver(HERE, "p", 1);
    let id = subscribe(&mut world, &from);
    let mut reconcile = call_of(&id, call::Type::ReconcileOperations);
    reconcile.reconcile_operations = Some(call::ReconcileOperations::default());
    world.say(&from, Inbound::Call(reconcile)).is_refused();
    world.say(&from, Inbound::Call(call_of(&id, call::Type::Unknown)));
    assert!(world.state().frameworks[&id].is_connected());
}

// ---- Hostile senders and ids: B1, C10 ----------------------------------------------------------

/// Every message of a driver that names a framework.
fn messages_about(id: &str) -> Vec<Inbound> {
    let framework_id = || v1::FrameworkId { value: id.to_owned() };
    let agent = || v1::AgentId { value: id.to_owned() };
    let executor = || v1::ExecutorId { value: id.to_owned() };
    let task = || v1::TaskId { value: id.to_owned() };
    let mut teardown = v0::Call { framework_id: Some(framework_id()), ..v0::Call::default() };
    teardown.set_type(call::Type::Teardown);
    vec![
        Inbound::Call(teardown),
        Inbound::DeactivateFramework(internal::DeactivateFrameworkMessage {
            framework_id: framework_id(),
        }),
        Inbound::UnregisterFramework(internal::UnregisterFrameworkMessage {
            framework_id: framework_id(),
        }),
        Inbound::KillTask(internal::KillTaskMessage {
            framework_id: framework_id(),
            task_id: task(),
            kill_policy: None,
        }),
        Inbound::LaunchTasks(internal::LaunchTasksMessage {
            framework_id: framework_id(),
            ..Default::default()
        }),
        Inbound::ReviveOffers(internal::ReviveOffersMessage {
            framework_id: framework_id(),
            roles: Vec::new(),
        }),
        Inbound::ReconcileTasks(internal::ReconcileTasksMessage {
            framework_id: framework_id(),
            ..Default::default()
        }),
        Inbound::StatusUpdateAcknowledgement(internal::StatusUpdateAcknowledgementMessage {
            slave_id: agent(),
            framework_id: framework_id(),
            task_id: task(),
            uuid: uuid(1),
        }),
        Inbound::FrameworkToExecutor(internal::FrameworkToExecutorMessage {
            slave_id: agent(),
            framework_id: framework_id(),
            executor_id: executor(),
            data: bytes::Bytes::new(),
        }),
        Inbound::ResourceRequest(internal::ResourceRequestMessage {
            framework_id: framework_id(),
            requests: Vec::new(),
        }),
    ]
}

#[test]
fn attack_b1_nobody_speaks_for_a_framework_but_its_driver() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    let before = format!("{:?}", world.state().frameworks);
    let certified = bound(HERE, Some(identity("framework/other")));
    for from in [
        // Somebody else, somebody who claims its address, and a principal that is not its own.
        driver(THERE, "p", 2),
        stranger(),
        driver(HERE, "q", 3),
        certified,
        // Its neighbour in the same process.
        driver("scheduler-9@10.0.1.1:4000", "p", 4),
    ] {
        for message in messages_about(id.as_str()) {
            let name = message.name();
            let done = world.say(&from, message);
            assert!(done.names().is_empty(), "{name} from {from:?}: {:?}", done.names());
        }
    }
    assert_eq!(format!("{:?}", world.state().frameworks), before);
}

#[test]
fn attack_c10_hostile_ids_reach_nothing() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let from = driver(HERE, "p", 1);
    let id = subscribe(&mut world, &from);
    let before = format!("{:?}", world.state().frameworks);
    for hostile in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(300), "\u{1F600}\0"] {
        for message in messages_about(hostile) {
            let name = message.name();
            let done = world.say(&from, message);
            assert!(done.names().is_empty(), "{name} with {hostile:?}: {:?}", done.names());
        }
        if !hostile.is_empty() {
            let info = v1::FrameworkInfo {
                id: Some(v1::FrameworkId { value: hostile.to_owned() }),
                ..info(None)
            };
            let done = world.say(&driver(THERE, "p", 2), subscribe_with(info, true));
            assert_eq!(sent_to(&done, THERE), ["FrameworkError"], "{hostile:?}");
        }
    }
    assert_eq!(format!("{:?}", world.state().frameworks), before);
    // And ids of agents, executors and tasks in calls of a framework that is there.
    for hostile in ["..", "a/b", "a\nb"] {
        let mut message = call_of(&id, call::Type::Message);
        message.message = Some(call::Message {
            agent_id: v1::AgentId { value: hostile.to_owned() },
            executor_id: v1::ExecutorId { value: hostile.to_owned() },
            data: bytes::Bytes::new(),
        });
        assert!(world.say(&from, Inbound::Call(message)).names().is_empty());
    }
}

#[test]
fn attack_c10_an_agents_driver_and_a_drivers_agent_are_told_apart() {
    let mut world = World::new();
    let id = subscribe(&mut world, &driver(HERE, "p", 1));
    // A driver that says it is an agent at its own address: kinds of credentials forbid it.
    let from = driver(HERE, "p", 1);
    world.say(&from, Inbound::RegisterAgent(register_message(1, "cpus:4"))).is_refused();
    // Where credentials say nothing about kinds both may live at one address, apart.
    let both = proved("slave(1)@10.0.1.1:4000", "p", Kinds::ANY, 2);
    world.say(&both, Inbound::RegisterAgent(register_message(1, "cpus:4")));
    assert_eq!(world.state().agents.size(), 1);
    world.exited(&both);
    assert!(world.state().frameworks[&id].is_connected());
}
