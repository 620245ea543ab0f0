//! The session against what executors and agents of the original said to one another.

use std::time::Duration;

use alcazar_executor::environment::{Environment, Recovery};
use alcazar_executor::session::{Effect, Input, Session};
use bytes::Bytes;
use model::time::Instant;
use testkit::captures::{self, Kind};
use wire::v1::executor::{Call, Event, call, event};
use wire::{Limits, check};

const STORY: &str = "08-v1-scheduler-and-executor";

#[test]
fn a_session_says_what_a_recorded_executor_said() {
    // Absence is said on standard error.
    let Some(story) = captures::story(STORY) else { return };
    let mut calls: Vec<Vec<u8>> = Vec::new();
    let mut events: Option<Vec<Vec<u8>>> = None;
    for recorded in &story {
        let http = || recorded.http();
        match recorded.kind {
            Kind::Request if http().first_line.contains("/api/v1/executor") => {
                calls.push(http().body);
            }
            // The stream answers the first call; the others are answered without a body.
            Kind::Response if calls.len() == 1 && events.is_none() => {
                events = Some(http().records());
            }
            _ => {}
        }
    }
    let decode = |bytes: &[u8]| check::decode::<Call>(bytes, &Limits::default()).unwrap().0;
    let subscribe = decode(&calls[0]);
    let environment = Environment {
        framework_id: subscribe.framework_id.value.parse().unwrap(),
        executor_id: subscribe.executor_id.value.parse().unwrap(),
        agent: "slave(1)@127.0.0.2:5051".parse().unwrap(),
        recovery: Some(Recovery {
            timeout: Duration::from_secs(900),
            backoff_max: Duration::from_secs(2),
        }),
        shutdown_grace_period: Duration::from_secs(5),
        sandbox: None,
    };
    let now = Instant::default();
    let mut session = Session::new(&environment, 1);
    let effects = session.handle(Input::Start, now);
    assert_eq!(encoded(&effects), [calls[0].as_slice()]);

    // What that executor reported leaves this one in the same bytes.
    let mut reported = calls[1..].iter().map(|bytes| decode(bytes));
    let mut settled = Vec::new();
    let mut seen = Vec::new();
    for record in events.unwrap() {
        let (event, _) = check::decode::<Event>(&record, &Limits::default()).unwrap();
        let kind = event.r#type();
        for effect in session.handle(Input::Event(Box::new(event)), now) {
            match effect {
                Effect::Deliver(delivered) => seen.push(delivered.r#type()),
                Effect::Settled(status) => settled.push(status),
                other => panic!("{other:?}"),
            }
        }
        if kind == event::Type::Launch {
            for _ in 0..2 {
                let call = reported.next().unwrap();
                assert_eq!(call.r#type(), call::Type::Update);
                let status = call.update.clone().unwrap().status;
                let effects = session.handle(Input::Update(Box::new(status)), now);
                assert_eq!(effects, [Effect::Send(Box::new(call))]);
            }
        }
    }
    assert!(reported.next().is_none());
    let mut expected = vec![event::Type::Subscribed];
    expected.extend([event::Type::Launch; 5]);
    expected.push(event::Type::Shutdown);
    assert_eq!(seen, expected);
    assert_eq!(settled.len(), 10, "every update was acknowledged");
}

/// The bytes of the calls that leave.
fn encoded(effects: &[Effect]) -> Vec<Bytes> {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Subscribe(call) | Effect::Send(call) => wire::encode(&**call).into(),
            other => panic!("{other:?}"),
        })
        .collect()
}
