//! Schedulers subscribe, fail over, disconnect, come back, and end.

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::effect::{Accepted, Effect};
use alcazar_master::engine::event::{Caller, Event, Stream};
use alcazar_master::engine::message::Outbound;
use alcazar_master::engine::refusal::Refusal;
use model::id::FrameworkId;
use model::principal::Kinds;
use model::role::Role;
use wire::v1;
use wire::v1::TaskState;
use wire::v1::framework_info::capability::Type as Capability;
use wire::v1::scheduler::{call, event};

use crate::world::*;

#[test]
fn a_scheduler_hears_subscribed_then_a_heartbeat_then_offers() {
    let mut world = World::new();
    world.join(1, "ports:[31000-32000];cpus:4;mem:1024");
    let (scheduler, done) =
        world.subscribe("f", framework_info("f", &[Capability::ReservationRefinement]));
    assert_eq!(done.names(), ["SUBSCRIBED", "HEARTBEAT", "OFFERS"]);
    assert_eq!(scheduler.id.as_str(), "m-0000");
    let events = done.events(scheduler.subscription);
    let subscribed = events[0].subscribed.clone().unwrap();
    assert_eq!(subscribed.heartbeat_interval_seconds, Some(15.0));
    assert_eq!(subscribed.master_info.unwrap().id, "m");
    let offer = events[2].offers.clone().unwrap().offers.remove(0);
    assert_eq!((offer.id.value.as_str(), offer.hostname.as_str()), ("m-O0", "host-1"));
    let url = offer.url.unwrap();
    assert_eq!((url.scheme.as_str(), url.path()), ("http", "/slave(1)"));
    assert_eq!((url.address.ip(), url.address.port), ("10.0.0.1", 5051));
    // Without MULTI_ROLE nothing says for which role; with refinement there is no `role` either.
    assert!(offer.allocation_info.is_none());
    let names: Vec<_> = offer.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["ports", "cpus", "mem"]);
    #[expect(deprecated, reason = "must be unset")]
    let plain = |r: &v1::Resource| r.role.is_none() && r.allocation_info.is_none();
    assert!(offer.resources.iter().all(plain));
    assert_eq!(world.state().frameworks[&scheduler.id].info.principal(), "f");
}

#[test]
fn offers_are_written_as_the_framework_understands_them() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let mut info = framework_info("f", &[Capability::MultiRole]);
    info.roles = vec!["web".to_owned()];
    let (scheduler, done) = world.subscribe("f", info);
    let offer = done.events(scheduler.subscription)[2].offers.clone().unwrap().offers.remove(0);
    assert_eq!(offer.allocation_info.unwrap().role(), "web");
    let resource = &offer.resources[0];
    assert_eq!(resource.allocation_info.as_ref().unwrap().role(), "web");
    #[expect(deprecated, reason = "frameworks without refinement read this")]
    let role = resource.role.as_deref();
    assert_eq!(role, Some("*"));
}

#[test]
fn subscriptions_that_cannot_be_are_answered_by_an_error_on_the_stream() {
    type Change = fn(&mut v1::FrameworkInfo);
    let cases: [(Change, &str); 6] = [
        (
            |info| info.roles = vec!["a".into()],
            "must not be set when the framework is not MULTI_ROLE",
        ),
        (
            |info| {
                info.capabilities = framework_info("", &[Capability::MultiRole]).capabilities;
                info.roles = vec!["r/../x".into()];
            },
            "'FrameworkInfo.roles' contains invalid role: Role 'r/../x' cannot include '..' as a \
             component",
        ),
        (|info| info.failover_timeout = Some(-1.0), "failover_timeout"),
        (|info| info.failover_timeout = Some(f64::NAN), "failover_timeout"),
        (
            |info| info.user = "root".into(),
            "User 'root' is not allowed to run frameworks without --root_submissions set",
        ),
        (
            |info| info.principal = Some("other".into()),
            "Authenticated principal 'f' does not match principal 'other' set in `FrameworkInfo`",
        ),
    ];
    let mut world = World::with(|config| config.root_submissions = false);
    for (change, text) in cases {
        let mut info = framework_info("f", &[]);
        change(&mut info);
        let (subscription, done) = world.try_subscribe(&caller("f"), info, &[]);
        let error = done.error(subscription);
        assert!(error.contains(text), "{error}");
        assert_eq!(done.names(), ["ERROR", "CloseStream"]);
    }
    let (subscription, done) =
        world.try_subscribe(&caller("f"), framework_info("f", &[]), &["y", "*", "x"]);
    let text = "Suppressed roles { x, y } are not contained in the set of roles";
    assert_eq!(done.error(subscription), text);
    assert!(world.state().frameworks.is_empty());
}

#[test]
fn roles_outside_the_whitelist_are_refused() {
    let mut world = World::with(|config| {
        config.roles = Some([Role::new("web").unwrap()].into());
    });
    for (role, ok) in [("web", true), ("*", true), ("other", false)] {
        let mut info = framework_info("f", &[Capability::MultiRole]);
        info.roles = vec![role.to_owned()];
        let (_, done) = world.try_subscribe(&caller("f"), info, &[]);
        assert_eq!(done.names().contains(&"SUBSCRIBED".to_owned()), ok, "{role}");
    }
}

#[test]
fn a_second_scheduler_with_the_same_id_takes_over_and_the_first_is_told() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let old = world.scheduler("f");
    world.launch(&old, &agent, "t");
    world.call(&old, old.call(call::Type::Revive));
    let offers = world.offers(&old);
    assert_eq!(offers.len(), 1);
    let (new, done) = world.subscribe("f", old.info.clone());
    assert_eq!(
        done.names(),
        ["ERROR", "CloseStream", "SUBSCRIBED", "HEARTBEAT", "UpdateFramework", "OFFERS"]
    );
    assert_eq!(
        done.events(old.subscription)[0].error.clone().unwrap().message,
        "Framework failed over"
    );
    assert_eq!(new.id, old.id);
    assert_ne!(world.offers(&new), offers, "old offers are void");
    // The first one's stream says nothing any more, and its end changes nothing.
    let (answer, _) =
        world.try_call(&old.caller, Stream::Of(old.subscription), old.call(call::Type::Teardown));
    assert_eq!(answer, Err(Refusal::OtherStream(new.id.clone())));
    world.handle(Event::Unsubscribed { subscription: old.subscription });
    assert!(world.state().frameworks[&new.id].is_connected());
    assert_eq!(world.task_state(&new, "t"), Some(TaskState::TaskStaging));
}

#[test]
fn only_who_subscribed_a_framework_can_take_it_over_or_call_for_it() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let thief = caller("thief");
    // Somebody who has learned principal and id, but has another certificate.
    let forger = Caller { principal: Some("f".to_owned()), ..thief.clone() };
    for caller in [&thief, &forger] {
        let (subscription, done) = world.try_subscribe(caller, scheduler.info.clone(), &[]);
        assert_eq!(done.error(subscription), "Changing framework's principal is not allowed.");
        let stream = Stream::Of(scheduler.subscription);
        let (answer, done) = world.try_call(caller, stream, scheduler.call(call::Type::Teardown));
        assert!(matches!(answer, Err(Refusal::OtherPrincipal { .. })), "{answer:?}");
        assert!(done.names().is_empty());
    }
    assert!(world.state().frameworks[&scheduler.id].is_connected());
}

#[test]
fn only_certificates_of_frameworks_and_operators_can_subscribe() {
    let mut world = World::new();
    for (kind, ok) in [
        ("framework", true),
        ("operator", true),
        ("agent", false),
        ("executor", false),
        ("master", false),
    ] {
        let identity = identity(&format!("{kind}/x"));
        let kinds = Kinds::only(identity.kind());
        let principal = Some("x".to_owned());
        let caller = Caller { principal, identity: Some(identity), kinds, ..Caller::default() };
        let (_, done) = world.try_subscribe(&caller, framework_info("f", &[]), &[]);
        assert_eq!(done.names().contains(&"SUBSCRIBED".to_owned()), ok, "{kind}");
    }
}

#[test]
fn calls_that_do_not_belong_to_the_current_stream_are_refused() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let other = world.scheduler("g");
    let teardown = scheduler.call(call::Type::Teardown);
    for (stream, refusal) in [
        (Stream::Missing, Refusal::StreamMissing),
        (Stream::Unknown, Refusal::OtherStream(scheduler.id.clone())),
        (Stream::Of(other.subscription), Refusal::OtherStream(scheduler.id.clone())),
    ] {
        let (answer, done) = world.try_call(&scheduler.caller, stream, teardown.clone());
        assert_eq!(refusal.status(), 400);
        assert_eq!(answer, Err(refusal));
        assert!(done.names().is_empty());
    }
    let mut unknown = teardown.clone();
    unknown.framework_id = Some(v1::FrameworkId { value: "nobody".to_owned() });
    let stream = Stream::Of(scheduler.subscription);
    let (answer, _) = world.try_call(&scheduler.caller, stream, unknown);
    assert_eq!(answer, Err(Refusal::FrameworkNotFound));
}

#[test]
fn a_call_of_type_unknown_is_refused_and_the_master_goes_on() {
    let mut world = World::new();
    let scheduler = world.scheduler("f");
    let stream = Stream::Of(scheduler.subscription);
    let unknown = scheduler.call(call::Type::Unknown);
    let (answer, done) = world.try_call(&scheduler.caller, stream, unknown.clone());
    assert_eq!(answer, Err(Refusal::NotImplemented));
    assert_eq!(answer.unwrap_err().status(), 501);
    assert!(done.names().is_empty());
    let mut stranger = unknown;
    stranger.framework_id = Some(v1::FrameworkId { value: "nobody".to_owned() });
    let (answer, _) = world.try_call(&scheduler.caller, stream, stranger);
    assert_eq!(answer.unwrap_err().status(), 400);
    let mut untyped = scheduler.call(call::Type::Revive);
    untyped.r#type = Some(77);
    let (answer, _) = world.try_call(&scheduler.caller, stream, untyped);
    let text = "Failed to validate scheduler::Call: Expecting 'type' to be present";
    assert_eq!(answer.unwrap_err().to_string(), text);
}

#[test]
fn a_framework_without_failover_timeout_ends_when_its_stream_does() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let done = world.handle(Event::Unsubscribed { subscription: scheduler.subscription });
    assert!(done.names().contains(&"ShutdownFramework".to_owned()), "{:?}", done.names());
    let state = world.state();
    assert!(state.frameworks.is_empty());
    assert!(state.agents[&agent].used.is_empty() && state.agents[&agent].tasks.is_empty());
    let ended = state.completed_frameworks.iter().next().unwrap();
    assert!(ended.unregistered.is_some() && !ended.active && !ended.is_connected());
    let task = ended.completed_tasks.iter().next().unwrap();
    assert_eq!(task.state(), TaskState::TaskKilled);
    // It can not come back under this id.
    let (subscription, done) = world.try_subscribe(&caller("f"), scheduler.info.clone(), &[]);
    assert_eq!(done.error(subscription), "Framework has been removed");
}

#[test]
fn a_framework_may_come_back_within_its_failover_timeout() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let info = v1::FrameworkInfo { failover_timeout: Some(60.0), ..framework_info("f", &[]) };
    let (scheduler, _) = world.subscribe("f", info);
    world.launch(&scheduler, &agent, "t");
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    assert_eq!(world.offers(&scheduler).len(), 1);
    world.handle(Event::Unsubscribed { subscription: scheduler.subscription });
    assert!(world.state().offers.is_empty(), "nobody is there to take them");
    let (answer, _) = world.try_call(
        &scheduler.caller,
        Stream::Of(scheduler.subscription),
        scheduler.call(call::Type::Revive),
    );
    assert_eq!(answer, Err(Refusal::FrameworkNotSubscribed));
    world.wait_with(59 * SECOND, &[&host(1)]);
    let (again, done) = world.subscribe("f", scheduler.info.clone());
    assert_eq!(done.names(), ["SUBSCRIBED", "HEARTBEAT", "UpdateFramework", "OFFERS"]);
    world.wait_with(10 * MINUTE, &[&host(1)]);
    assert_eq!(world.task_state(&again, "t"), Some(TaskState::TaskStaging));
    world.handle(Event::Unsubscribed { subscription: again.subscription });
    world.wait_with(60 * SECOND, &[&host(1)]);
    assert!(world.state().frameworks.is_empty());
}

#[test]
fn teardown_ends_the_stream_without_an_error() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    world.launch(&scheduler, &agent, "t");
    let done = world.call(&scheduler, scheduler.call(call::Type::Teardown));
    assert_eq!(done.names(), ["ShutdownFramework", "CloseStream"]);
    assert!(done.events(scheduler.subscription).is_empty());
    let operated = world.teardown(&scheduler.id);
    let answer = |done: &Done| match &done.0[0] {
        Effect::Answer { answer, .. } => answer.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(answer(&operated), Err(Refusal::FrameworkToTearDownNotFound));
    let other = world.scheduler("g");
    let done = world.teardown(&other.id);
    let last = done.0.iter().rev().find(|e| matches!(e, Effect::Answer { .. }));
    assert!(matches!(last, Some(Effect::Answer { answer: Ok(Accepted::Done), .. })));
    assert!(world.state().frameworks.is_empty());
}

#[test]
fn ended_frameworks_are_remembered_up_to_a_number() {
    let mut world = World::with(|config| config.max_completed_frameworks = 3);
    for n in 0..5 {
        let scheduler = world.scheduler(&format!("f{n}"));
        world.call(&scheduler, scheduler.call(call::Type::Teardown));
    }
    let state = world.state();
    let kept: Vec<_> = state.completed_frameworks.iter().map(|f| f.info.name.clone()).collect();
    assert_eq!(kept, ["f2", "f3", "f4"]);
}

#[test]
fn suppressed_frameworks_get_no_offers_until_they_revive() {
    let mut world = World::new();
    let (subscription, _) = world.try_subscribe(&caller("f"), framework_info("f", &[]), &["*"]);
    assert!(world.join(1, "cpus:4").as_str() == "m-S0" && world.state().offers.is_empty());
    let id = FrameworkId::new("m-0000").unwrap();
    let info = world.state().frameworks[&id].info.as_ref().clone();
    let scheduler = Scheduler { id, caller: caller("f"), subscription, info };
    let done = world.call(&scheduler, scheduler.call(call::Type::Revive));
    assert_eq!(done.names(), ["OFFERS"]);
    let mut suppress = scheduler.call(call::Type::Suppress);
    suppress.suppress = Some(call::Suppress { roles: vec!["other".into()] });
    world.call(&scheduler, suppress.clone());
    assert!(world.state().frameworks[&scheduler.id].suppressed_roles.is_empty());
    suppress.suppress = None;
    world.call(&scheduler, suppress);
    world.join(2, "cpus:4");
    assert_eq!(world.state().offers.size(), 1);
    assert_eq!(world.count(Counter::MessagesSuppressOffers), 2);
}

#[test]
fn update_framework_changes_what_may_change_and_refuses_the_rest() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let mut info = framework_info("f", &[Capability::MultiRole]);
    info.roles = vec!["a".into(), "b".into()];
    let (scheduler, done) = world.subscribe("f", info);
    let role = done.events(scheduler.subscription)[2].offers.clone().unwrap().offers[0].clone();
    let offered = role.allocation_info.unwrap().role().to_owned();
    let update = |change: &dyn Fn(&mut v1::FrameworkInfo)| {
        let mut framework_info = scheduler.info.clone();
        change(&mut framework_info);
        let mut call = scheduler.call(call::Type::UpdateFramework);
        call.update_framework =
            Some(call::UpdateFramework { framework_info, ..Default::default() });
        call
    };
    let stream = Stream::Of(scheduler.subscription);
    let user = update(&|info| info.user = "somebody".into());
    let (answer, done) = world.try_call(&scheduler.caller, stream, user);
    assert_eq!(
        answer.unwrap_err().to_string(),
        "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; \
         attempted to update from 'nobody' to 'somebody'"
    );
    assert!(done.names().is_empty());
    let keep = if offered == "a" { "b" } else { "a" };
    let fewer = update(&|info| {
        info.name = "renamed".into();
        info.roles = vec![keep.to_owned()];
    });
    let (answer, done) = world.try_call(&scheduler.caller, stream, fewer);
    assert_eq!(answer, Ok(Accepted::Done));
    assert_eq!(done.names(), ["RESCIND", "UpdateFramework", "OFFERS"]);
    let Outbound::UpdateFramework(message) = done.sent()[0].2 else { panic!() };
    assert_eq!(message.framework_info.as_ref().unwrap().name, "renamed");
    assert_eq!(message.pid(), "@0.0.0.0:0");
}

#[test]
fn offers_that_nobody_takes_are_taken_back_in_time() {
    let mut world = World::with(|config| config.offer_timeout = Some(30 * SECOND));
    world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let first = world.offers(&scheduler);
    let done = world.wait_with(30 * SECOND, &[&host(1)]);
    let kinds: Vec<_> =
        done.events(scheduler.subscription).iter().map(|event| event.r#type()).collect();
    assert_eq!(kinds, [event::Type::Rescind, event::Type::Offers]);
    assert_ne!(world.offers(&scheduler), first);
    assert_eq!(world.state().frameworks[&scheduler.id].counters.offers_rescinded, 1);
}

#[test]
fn declined_offers_come_again_when_the_refusal_is_over() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let other = world.scheduler("g");
    let mut decline = scheduler.call(call::Type::Decline);
    let offer_ids = world.offers(&scheduler);
    let filters = Some(v1::Filters { refuse_seconds: Some(10.0) });
    decline.decline = Some(call::Decline { offer_ids, filters });
    let done = world.call(&scheduler, decline.clone());
    assert_eq!(done.events(other.subscription).len(), 1, "the other one is offered at once");
    let mut theirs = other.call(call::Type::Decline);
    theirs.decline = Some(call::Decline { offer_ids: world.offers(&other), filters });
    assert!(world.call(&other, theirs).names().is_empty());
    // Nobody can decline twice, or what is another's.
    assert!(world.call(&scheduler, decline).names().is_empty());
    let done = world.wait_with(10 * SECOND, &[&host(1)]);
    assert!(done.names().contains(&"OFFERS".to_owned()));
}
