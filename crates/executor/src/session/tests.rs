use libprocess::upid::Upid;

use super::*;

const BACKOFF_MAX: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(900);

fn at(seconds: f64) -> Instant {
    Instant::new(Duration::from_secs_f64(seconds))
}

fn session(checkpoint: bool) -> Session {
    let environment = Environment {
        framework_id: "f".parse().unwrap(),
        executor_id: "e".parse().unwrap(),
        agent: Upid::new("slave(1)", "127.0.0.2:5051".parse().unwrap()),
        recovery: checkpoint.then_some(Recovery { timeout: TIMEOUT, backoff_max: BACKOFF_MAX }),
        shutdown_grace_period: Duration::from_secs(5),
        sandbox: None,
    };
    Session::new(&environment, 7)
}

fn subscribed() -> Input {
    Input::Event(Box::new(Event {
        r#type: Some(event::Type::Subscribed.into()),
        subscribed: Some(event::Subscribed::default()),
        ..Event::default()
    }))
}

fn launch(task: &str) -> Input {
    let task =
        v1::TaskInfo { task_id: v1::TaskId { value: task.to_owned() }, ..v1::TaskInfo::default() };
    Input::Event(Box::new(Event {
        r#type: Some(event::Type::Launch.into()),
        launch: Some(event::Launch { task }),
        ..Event::default()
    }))
}

fn acknowledged(task: &str, uuid: u8) -> Input {
    Input::Event(Box::new(Event {
        r#type: Some(event::Type::Acknowledged.into()),
        acknowledged: Some(event::Acknowledged {
            task_id: v1::TaskId { value: task.to_owned() },
            uuid: Bytes::from(vec![uuid; 16]),
        }),
        ..Event::default()
    }))
}

fn status(task: &str, uuid: u8) -> Box<v1::TaskStatus> {
    Box::new(v1::TaskStatus {
        task_id: v1::TaskId { value: task.to_owned() },
        uuid: Some(Bytes::from(vec![uuid; 16])),
        ..v1::TaskStatus::default()
    })
}

/// The uuids' first bytes in the calls that leave, SUBSCRIBEs included.
fn uuids_sent(effects: &[Effect]) -> Vec<u8> {
    let mut uuids = Vec::new();
    for effect in effects {
        let updates = match effect {
            Effect::Send(call) => call.update.iter().cloned().collect(),
            Effect::Subscribe(call) => {
                call.subscribe.clone().map(|s| s.unacknowledged_updates).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        uuids.extend(updates.iter().filter_map(|u| Some(u.status.uuid.as_ref()?[0])));
    }
    uuids
}

fn tasks_sent(effects: &[Effect]) -> Vec<String> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Subscribe(call) => call.subscribe.clone(),
            _ => None,
        })
        .flat_map(|subscribe| subscribe.unacknowledged_tasks)
        .map(|task| task.task_id.value)
        .collect()
}

#[test]
fn the_first_call_is_an_empty_subscribe() {
    let effects = session(true).handle(Input::Start, at(0.0));
    let [Effect::Subscribe(call)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(call.r#type(), call::Type::Subscribe);
    assert_eq!(call.subscribe, Some(call::Subscribe::default()));
    assert_eq!((call.executor_id.value.as_str(), call.framework_id.value.as_str()), ("e", "f"));
}

#[test]
fn an_update_is_kept_until_it_is_acknowledged() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(launch("t"), at(0.0));
    assert_eq!(uuids_sent(&session.handle(Input::Update(status("t", 1)), at(0.1))), [1]);
    assert_eq!(uuids_sent(&session.handle(Input::Update(status("t", 2)), at(0.2))), [2]);

    let effects = session.handle(acknowledged("t", 1), at(0.3));
    assert_eq!(effects, [Effect::Settled(status("t", 1))]);
    assert_eq!(session.handle(acknowledged("t", 1), at(0.3)), [], "acknowledged twice");

    session.handle(Input::Lost("gone".into()), at(1.0));
    let effects = session.handle(Input::Timer, session.deadline().unwrap());
    assert_eq!(uuids_sent(&effects), [2]);
    assert_eq!(tasks_sent(&effects), Vec::<String>::new(), "its first update is acknowledged");
}

#[test]
fn a_task_is_named_until_one_of_its_updates_is_acknowledged() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(launch("t"), at(0.0));
    session.handle(Input::Lost("gone".into()), at(1.0));
    let effects = session.handle(Input::Timer, session.deadline().unwrap());
    assert_eq!(tasks_sent(&effects), ["t"]);
}

#[test]
fn what_is_reported_while_the_agent_is_away_arrives_once() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(Input::Lost("gone".into()), at(1.0));
    assert_eq!(session.handle(Input::Update(status("t", 1)), at(1.1)), []);
    let until = session.deadline().unwrap();
    assert_eq!(uuids_sent(&session.handle(Input::Timer, until)), [1]);
    // Reported between SUBSCRIBE and SUBSCRIBED: not in the call, so it follows.
    assert_eq!(session.handle(Input::Update(status("t", 2)), until), []);
    assert_eq!(uuids_sent(&session.handle(subscribed(), until)), [2]);
}

#[test]
fn the_pause_before_subscribing_again_is_random_and_bounded() {
    let mut pauses = Vec::new();
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    let mut now = at(0.0);
    for _ in 0..50 {
        session.handle(Input::Lost("refused".into()), now);
        let until = session.deadline().unwrap();
        let pause = until - now;
        assert!(pause >= BACKOFF_MIN && pause <= BACKOFF_MAX, "{pause:?}");
        pauses.push(pause);
        let effects = session.handle(Input::Timer, until);
        assert!(matches!(effects.as_slice(), [Effect::Subscribe(_)]));
        now = until;
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 40, "{pauses:?}");
}

#[test]
fn without_checkpointing_the_loss_of_the_agent_is_the_end() {
    let mut session = session(false);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    let effects = session.handle(Input::Lost("reset".into()), at(1.0));
    assert!(matches!(effects.as_slice(), [Effect::Disconnect, Effect::ShutDown(_)]));
    assert_eq!(session.deadline(), None);
    assert_eq!(session.handle(Input::Timer, at(9.0)), []);
}

#[test]
fn nobody_waits_for_acknowledgements_from_an_agent_that_was_given_up() {
    let mut session = session(false);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(Input::Update(status("t", 1)), at(0.5));
    let effects = session.handle(Input::Lost("reset".into()), at(1.0));
    assert_eq!(effects.last(), Some(&Effect::Settled(status("t", 1))));
    let effects = session.handle(Input::Update(status("t", 2)), at(2.0));
    assert_eq!(effects, [Effect::Settled(status("t", 2))]);
}

#[test]
fn an_agent_that_does_not_come_back_in_time_is_given_up() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(Input::Lost("reset".into()), at(100.0));
    let mut attempts = 0;
    loop {
        let now = session.deadline().unwrap();
        let effects = session.handle(Input::Timer, now);
        match effects.as_slice() {
            [Effect::Subscribe(_)] => {
                attempts += 1;
                session.handle(Input::Lost("refused".into()), now);
            }
            [Effect::ShutDown(_)] => {
                assert_eq!(now, at(100.0) + TIMEOUT);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(attempts > 100, "{attempts}");
}

#[test]
fn an_agent_that_came_back_may_go_again_for_as_long() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(Input::Lost("refused".into()), at(0.0));
    session.handle(Input::Timer, session.deadline().unwrap());
    session.handle(subscribed(), at(3.0));
    assert_eq!(session.deadline(), None);
    session.handle(Input::Lost("reset".into()), at(1000.0));
    let effects = session.handle(Input::Timer, session.deadline().unwrap());
    assert!(matches!(effects.as_slice(), [Effect::Subscribe(_)]));
}

#[test]
fn a_silent_agent_is_tried_again() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    let until = session.deadline().unwrap();
    assert_eq!(until, at(0.0) + SUBSCRIBE_TIMEOUT);
    assert_eq!(session.handle(Input::Timer, until), [Effect::Disconnect]);
    let effects = session.handle(Input::Timer, session.deadline().unwrap());
    assert!(matches!(effects.as_slice(), [Effect::Subscribe(_)]));
}

#[test]
fn an_agent_that_keeps_refusing_does_not_know_the_executor() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    let mut now = at(0.0);
    loop {
        let effects = session.handle(Input::Refused("Executor cannot be found".into()), now);
        if let [Effect::Disconnect, Effect::ShutDown(why)] = effects.as_slice() {
            assert!(why.contains("Executor cannot be found"));
            break;
        }
        assert_eq!(effects, [Effect::Disconnect]);
        now = session.deadline().unwrap();
        session.handle(Input::Timer, now);
    }
    assert!(now >= at(0.0) + REFUSED_FOR && now < at(0.0) + REFUSED_FOR * 2);
}

#[test]
fn events_of_a_stream_that_was_given_up_are_ignored() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(Input::Lost("reset".into()), at(1.0));
    assert_eq!(session.handle(launch("t"), at(1.0)), []);
}

#[test]
fn an_update_that_the_agent_will_never_take_is_settled() {
    let mut session = session(true);
    session.handle(Input::Start, at(0.0));
    session.handle(subscribed(), at(0.0));
    session.handle(Input::Update(status("t", 1)), at(0.0));
    let effects = session.handle(Input::UpdateRejected(Bytes::from(vec![1; 16])), at(0.0));
    assert_eq!(effects, [Effect::Settled(status("t", 1))]);
}
