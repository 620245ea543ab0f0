use super::*;

fn at(seconds: u64) -> Instant {
    Instant::new(Duration::from_secs(seconds))
}

fn framework() -> FrameworkInfo {
    FrameworkInfo { user: "nobody".into(), name: "f".into(), ..FrameworkInfo::default() }
}

fn id() -> FrameworkId {
    FrameworkId { value: "m-0000".into() }
}

fn subscribed_event() -> Input {
    Input::EventArrived(Box::new(Event {
        r#type: Some(event::Type::Subscribed as i32),
        subscribed: Some(event::Subscribed {
            framework_id: id(),
            heartbeat_interval_seconds: Some(15.0),
            master_info: None,
        }),
        ..Event::default()
    }))
}

fn typed(kind: event::Type) -> Input {
    Input::EventArrived(Box::new(Event { r#type: Some(kind as i32), ..Event::default() }))
}

fn opened() -> Input {
    Input::StreamOpened { stream_id: Some("stream".into()) }
}

fn subscribed_session() -> Session {
    let mut session = Session::new(framework(), Vec::new(), 1);
    session.handle(Input::Start, at(0));
    session.handle(opened(), at(0));
    session.handle(subscribed_event(), at(0));
    session
}

fn subscribe_call(effects: &[Effect]) -> &Call {
    match effects {
        [Effect::OpenStream { call, .. }] => call,
        other => panic!("expected one OpenStream, got {other:?}"),
    }
}

#[test]
fn the_first_subscription_has_no_id_and_the_next_one_has_the_id_it_got() {
    let mut session = Session::new(framework(), vec!["r".into()], 1);
    let effects = session.handle(Input::Start, at(0));
    let call = subscribe_call(&effects);
    assert_eq!(call.framework_id, None);
    let subscribe = call.subscribe.as_ref().unwrap();
    assert_eq!(subscribe.framework_info.id, None);
    assert_eq!(subscribe.suppressed_roles, ["r"]);

    session.handle(opened(), at(0));
    let effects = session.handle(subscribed_event(), at(0));
    assert_eq!(effects, [Effect::Deliver(Notice::Subscribed { framework_id: id(), again: false })]);

    let effects = session.handle(Input::StreamEnded { reason: "gone".into() }, at(1));
    assert!(matches!(effects[..], [Effect::Deliver(Notice::Disconnected { .. })]));
    let effects = session.handle(Input::DeadlinePassed, at(2));
    let call = subscribe_call(&effects);
    assert_eq!(call.framework_id, Some(id()));
    assert_eq!(call.subscribe.as_ref().unwrap().framework_info.id, Some(id()));
    session.handle(opened(), at(2));
    assert_eq!(
        session.handle(subscribed_event(), at(2)),
        [Effect::Deliver(Notice::Subscribed { framework_id: id(), again: true })]
    );
}

#[test]
fn a_call_carries_id_and_stream_and_is_given_back_while_there_is_no_subscription() {
    let mut session = subscribed_session();
    let call = Call { r#type: Some(call::Type::Revive as i32), ..Call::default() };
    let admitted = session.admit(call.clone()).unwrap();
    assert_eq!(admitted.call.framework_id, Some(id()));
    assert_eq!(admitted.stream_id, "stream");

    session.handle(Input::StreamEnded { reason: "gone".into() }, at(1));
    assert_eq!(*session.admit(call.clone()).unwrap_err(), call);
}

#[test]
fn silence_of_three_heartbeats_ends_the_stream_and_any_event_puts_it_off() {
    let mut session = subscribed_session();
    assert_eq!(session.next_deadline(), Some(at(45)));
    session.handle(typed(event::Type::Heartbeat), at(15));
    assert_eq!(session.next_deadline(), Some(at(60)));
    session.handle(typed(event::Type::Offers), at(20));
    assert_eq!(session.next_deadline(), Some(at(65)));
    assert_eq!(session.handle(Input::DeadlinePassed, at(64)), []);
    let effects = session.handle(Input::DeadlinePassed, at(65));
    assert!(
        matches!(effects[..], [Effect::CloseStream, Effect::Deliver(Notice::Disconnected { .. })]),
        "{effects:?}"
    );
}

#[test]
fn an_unreachable_master_is_tried_again_ever_more_slowly() {
    let mut session = Session::new(framework(), Vec::new(), 1);
    session.handle(Input::Start, at(0));
    let mut now = at(0);
    let mut delays = Vec::new();
    for _ in 0..12 {
        let effects = session.handle(Input::Unreachable { reason: "refused".into() }, now);
        let [Effect::Deliver(Notice::Disconnected { retry_in, .. })] = effects[..] else {
            panic!("{effects:?}")
        };
        delays.push(retry_in);
        now = session.next_deadline().unwrap();
        subscribe_call(&session.handle(Input::DeadlinePassed, now));
    }
    assert!(delays[0] <= Duration::from_millis(100));
    assert!(delays[11] >= Duration::from_secs(7) && delays[11] <= Duration::from_secs(15));
}

#[test]
fn refusals_that_time_does_not_heal_end_the_session() {
    for (status, over) in [
        (400, true),
        (401, true),
        (403, true),
        (415, true),
        (408, false),
        (429, false),
        (500, false),
        (503, false),
    ] {
        let mut session = Session::new(framework(), Vec::new(), 1);
        session.handle(Input::Start, at(0));
        let refused = Input::Refused { status, location: None, reason: "no".into() };
        let effects = session.handle(refused, at(0));
        let ended =
            effects.contains(&Effect::End(SessionError::Refused { status, reason: "no".into() }));
        assert_eq!(ended, over, "{status}: {effects:?}");
    }
}

#[test]
fn a_redirect_is_followed_and_forgotten_when_the_leader_is_gone() {
    let mut session = Session::new(framework(), Vec::new(), 1);
    session.handle(Input::Start, at(0));
    let redirect =
        |to: &str| Input::Refused { status: 307, location: Some(to.into()), reason: String::new() };
    let effects = session.handle(redirect("//m2.example:5050/api/v1/scheduler"), at(0));
    let [Effect::OpenStream { master, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(master.as_deref(), Some("m2.example:5050"));

    // A second redirect in a row waits: two masters may each take the other for the leader.
    let effects = session.handle(redirect("//m1.example:5050/api/v1/scheduler"), at(0));
    assert!(matches!(effects[..], [Effect::Deliver(Notice::Disconnected { .. })]), "{effects:?}");
    let effects = session.handle(Input::DeadlinePassed, at(1));
    let [Effect::OpenStream { master, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(master.as_deref(), Some("m1.example:5050"));

    session.handle(Input::Unreachable { reason: "refused".into() }, at(1));
    let effects = session.handle(Input::DeadlinePassed, at(10));
    let [Effect::OpenStream { master, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*master, None);
}

#[test]
fn an_error_event_ends_the_session_for_good() {
    let mut session = subscribed_session();
    let error = Input::EventArrived(Box::new(Event {
        r#type: Some(event::Type::Error as i32),
        error: Some(event::Error { message: "Framework failed over".into() }),
        ..Event::default()
    }));
    assert_eq!(
        session.handle(error, at(1)),
        [Effect::CloseStream, Effect::End(SessionError::Error("Framework failed over".into()))]
    );
    assert_eq!(session.handle(Input::Start, at(2)), []);
    assert_eq!(session.next_deadline(), None);
}

#[test]
fn a_master_that_breaks_the_protocol_is_left() {
    let ends = |effects: &[Effect]| {
        matches!(effects, [Effect::CloseStream, Effect::Deliver(Notice::Disconnected { .. })])
    };

    let mut session = Session::new(framework(), Vec::new(), 1);
    session.handle(Input::Start, at(0));
    session.handle(opened(), at(0));
    assert!(ends(&session.handle(typed(event::Type::Offers), at(0))), "offers first");

    let mut session = Session::new(framework(), Vec::new(), 1);
    session.handle(Input::Start, at(0));
    session.handle(Input::StreamOpened { stream_id: None }, at(0));
    assert!(ends(&session.handle(subscribed_event(), at(0))), "no stream id");

    let mut session = subscribed_session();
    assert!(ends(&session.handle(subscribed_event(), at(0))), "SUBSCRIBED twice");

    let mut session = Session::new(framework(), Vec::new(), 1);
    session.handle(Input::Start, at(0));
    assert!(ends(&session.handle(Input::DeadlinePassed, at(30))), "no answer");
}

#[test]
fn events_that_nobody_here_knows_are_passed_over() {
    let mut session = subscribed_session();
    let unknown = Input::EventArrived(Box::new(Event { r#type: Some(9999), ..Event::default() }));
    assert_eq!(session.handle(unknown, at(1)), []);
    assert_eq!(session.next_deadline(), Some(at(46)));
}
