//! The executor API: who is heard, and what is answered.

use std::future::{Future as _, poll_fn};
use std::task::Poll;
use std::time::Duration;

use endpoints::access::Posture;
use model::time::{Instant, Now, Timestamp};
use sha2::{Digest as _, Sha256};
use wire::Limits;
use wire::json::{Names, Style};
use wire::v1::executor::{Event as Said, call, event};
use wire::v1::{self, executor};

use super::fixture::{Asked, Got, JSON, PROTOBUF, Served};
use crate::engine::Engine;
use crate::engine::event::{Event, TokenDigest};
use crate::engine::recovered::RecoveredExecutor;
use crate::engine::tests::fixture::{FRAMEWORK, left, left_executor, left_task, rules, status};

/// The tokens of two executors, each in its container.
pub(super) const A: &str = "token-of-a";
const B: &str = "token-of-b";
const API: &str = "/slave(1)/api/v1/executor";

fn executor_of(id: &str, token: Option<&str>) -> RecoveredExecutor {
    let token = token.map(|token| TokenDigest(Sha256::digest(token.as_bytes()).into()));
    let mut executor = left_executor(id, &format!("container-of-{id}"), token);
    // One without any would be ended as soon as it comes.
    let mut task = left_task(&format!("task-of-{id}"), id);
    task.task.set_state(v1::TaskState::TaskRunning);
    executor.run.tasks.push(task);
    executor
}

/// An agent that finds two executors of an earlier run.
pub(super) fn recovering(posture: Posture) -> Served {
    let mut rules = rules();
    let proven = posture == Posture::identities();
    if !proven {
        rules.executor_trust = None;
    }
    let token = |token| proven.then_some(token);
    let found = left(vec![executor_of("a", token(A)), executor_of("b", token(B))]);
    let (engine, _) = Engine::new(rules, [7; 32], found, Now::default());
    Served::new(engine, posture)
}

/// The same, when executors are heard.
pub(super) fn served(posture: Posture) -> Served {
    let mut served = recovering(posture);
    served.handle(Event::ContainersRecovered);
    served
}

impl Served {
    /// Lets the executors miss their time, so that recovery is over.
    pub(super) fn recovered(&mut self) {
        let late =
            Now { monotonic: Instant::new(Duration::from_secs(3600)), wall: Timestamp::default() };
        self.engine.handle(Event::TimePassed, late);
        self.handle(Event::TimePassed);
    }
}

fn message(id: &str, kind: call::Type) -> executor::Call {
    executor::Call {
        r#type: Some(kind.into()),
        executor_id: v1::ExecutorId { value: id.into() },
        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
        ..Default::default()
    }
}

fn subscribe(id: &str) -> executor::Call {
    let subscribe = Some(call::Subscribe::default());
    executor::Call { subscribe, ..message(id, call::Type::Subscribe) }
}

fn update(id: &str, status: v1::TaskStatus) -> executor::Call {
    executor::Call { update: Some(call::Update { status }), ..message(id, call::Type::Update) }
}

fn says(id: &str) -> executor::Call {
    let says = Some(call::Message { data: b"hello".as_slice().into() });
    executor::Call { message: says, ..message(id, call::Type::Message) }
}

fn json(call: &executor::Call) -> Asked<'static> {
    let mut body = Vec::new();
    wire::json::write(call, Style::V1, &mut body);
    Asked::call(API, body)
}

fn protobuf(call: &executor::Call) -> Asked<'static> {
    Asked::call(API, wire::encode(call)).with("content-type", PROTOBUF).with("accept", PROTOBUF)
}

async fn event(got: &mut Got) -> Said {
    let payload = got.record().await.expect("an event");
    if got.header("content-type") == Some(JSON) {
        wire::json::read(&payload, Names::V1, &Limits::default()).unwrap()
    } else {
        wire::check::decode(&payload, &Limits::default()).unwrap().0
    }
}

#[tokio::test]
async fn an_executor_subscribes_in_either_form_with_its_own_token() {
    let mut served = served(Posture::identities());
    for (id, token, asked, form) in
        [("a", A, json(&subscribe("a")), JSON), ("b", B, protobuf(&subscribe("b")), PROTOBUF)]
    {
        let mut got = served.ask(&asked.bearing(token)).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("content-type"), Some(form));
        assert_eq!(got.header("mesos-stream-id"), None);
        let said = event(&mut got).await;
        assert_eq!(said.r#type(), event::Type::Subscribed);
        let subscribed = said.subscribed.unwrap();
        assert_eq!(subscribed.executor_info.executor_id.value, id);
        assert_eq!(subscribed.container_id.unwrap().value, format!("container-of-{id}"));
    }
}

#[tokio::test]
async fn another_containers_token_is_refused_and_none_is_asked_for() {
    let mut served = served(Posture::identities());
    let mut own = served.ask(&json(&subscribe("a")).bearing(A)).await;
    assert_eq!(event(&mut own).await.r#type(), event::Type::Subscribed);
    let unknown_task = update("a", status("t", v1::TaskState::TaskRunning, 1));
    for call in [subscribe("a"), unknown_task, says("a")] {
        let got = served.ask(&json(&call).bearing(B)).await;
        assert_eq!(got.status, 403, "{:?}", call.r#type());
        let text = got.text().await;
        assert!(text.contains("does not contain 'eid' claim"), "{text}");
        for asked in [json(&call), json(&call).bearing("x"), json(&call).bearing("")] {
            let got = served.ask(&asked).await;
            assert_eq!(got.status, 401);
            let challenge = got.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer realm=\"mesos-agent-executor\""));
            assert!(!got.body_read);
        }
        let basic = json(&call).with("authorization", format!("Basic {A}"));
        assert_eq!(served.ask(&basic).await.status, 401);
    }
    // The digest is kept, and is no token.
    let digest =
        Sha256::digest(A.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(served.ask(&json(&says("a")).bearing(&digest)).await.status, 401);
    let refused = &served.site.state().counted.refused_tokens;
    assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), 13);
    // Who holds the stream was not disturbed.
    assert_eq!(served.ask(&json(&says("a")).bearing(A)).await.status, 202);
    assert!(served.disconnected.is_empty());
}

#[tokio::test]
async fn what_is_not_an_update_to_take_is_told_in_the_originals_words() {
    let mut served = served(Posture::identities());
    let running = || status("t", v1::TaskState::TaskRunning, 1);
    let mut of_other = running();
    of_other.executor_id = Some(v1::ExecutorId { value: "b".into() });
    let mut by_agent = running();
    by_agent.source = Some(v1::task_status::Source::Agent.into());
    let without = v1::TaskStatus { uuid: None, ..running() };
    let short = v1::TaskStatus { uuid: Some(b"short".as_slice().into()), ..running() };
    let staging = status("t", v1::TaskState::TaskStaging, 1);
    let by = format!("executor a of framework {FRAMEWORK}");
    let cases = [
        (message("a", call::Type::Subscribe), 400, "Expecting 'subscribe' to be present".into()),
        (message("a", call::Type::Update), 400, "Expecting 'update' to be present".into()),
        (message("a", call::Type::Message), 400, "Expecting 'message' to be present".into()),
        (update("a", without), 400, "Expecting 'uuid' to be present".to_owned()),
        (update("a", short), 400, "Not a valid UUID".into()),
        (
            update("a", of_other),
            400,
            "ExecutorID in Call: a does not match ExecutorID in TaskStatus: b".into(),
        ),
        (
            update("a", by_agent),
            400,
            format!("Received Call from {by} with invalid source, expecting 'SOURCE_EXECUTOR'"),
        ),
        (
            update("a", staging),
            400,
            format!("Received TASK_STAGING from {by} which is not allowed"),
        ),
    ];
    for (call, status, text) in cases {
        let got = served.ask(&json(&call).bearing(A)).await;
        assert_eq!(got.status, status, "{text}");
        assert_eq!(got.text().await, format!("Failed to validate Executor::Call: {text}"));
    }
    for call in [update("a", running()), says("a")] {
        let got = served.ask(&json(&call).bearing(A)).await;
        assert_eq!(got.status, 403);
        assert_eq!(got.text().await, "Executor is not subscribed");
    }
    let heartbeat = message("a", call::Type::Heartbeat);
    assert_eq!(served.ask(&json(&heartbeat).bearing(A)).await.status, 202);
    let get = Asked::new("GET", API).bearing(A);
    assert_eq!(served.ask(&get).await.status, 405);
    let html = json(&subscribe("a")).bearing(A).with("accept", "text/html");
    assert_eq!(served.ask(&html).await.status, 406);
    for (form, body) in [(JSON, "{"), (PROTOBUF, "\u{7f}"), (JSON, r#"{"type":"SUBSCRIBE"}"#)] {
        let got = served.ask(&Asked::call(API, body).with("content-type", form).bearing(A)).await;
        assert_eq!(got.status, 400, "{body}");
    }
}

#[tokio::test]
async fn in_plaintext_the_ids_in_the_call_are_taken() {
    let mut served = served(Posture::danger_plaintext());
    let mut got = served.ask(&json(&subscribe("a"))).await;
    assert_eq!(event(&mut got).await.r#type(), event::Type::Subscribed);
    assert_eq!(served.ask(&json(&says("a"))).await.status, 202);
    let mut elsewhere = says("a");
    elsewhere.framework_id.value = "other".into();
    for (call, text) in
        [(elsewhere, "Framework cannot be found"), (says("c"), "Executor cannot be found")]
    {
        let got = served.ask(&json(&call)).await;
        assert_eq!(got.status, 400);
        assert_eq!(got.text().await, text);
    }
}

#[tokio::test]
async fn a_newer_subscription_ends_the_older_stream() {
    let mut served = served(Posture::identities());
    let mut old = served.ask(&json(&subscribe("a")).bearing(A)).await;
    let mut new = served.ask(&json(&subscribe("a")).bearing(A)).await;
    assert_eq!(event(&mut old).await.r#type(), event::Type::Subscribed);
    assert_eq!(old.record().await, None);
    assert_eq!(event(&mut new).await.r#type(), event::Type::Subscribed);
    assert!(served.disconnected.is_empty(), "the engine ended it itself");
}

#[tokio::test]
async fn the_engine_hears_of_an_executor_that_hangs_up() {
    let mut served = served(Posture::identities());
    let got = served.ask(&json(&subscribe("a")).bearing(A)).await;
    drop(got);
    served.take_next().await;
    assert_eq!(served.disconnected.len(), 1);
}

#[tokio::test]
async fn the_engine_hears_of_an_executor_that_hangs_up_before_it_is_answered() {
    let mut served = served(Posture::identities());
    {
        let asked = json(&subscribe("a")).bearing(A);
        let answer = asked.answer(&served.site);
        tokio::pin!(answer);
        // As far as it comes without the engine; then the caller is gone.
        let pending = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
    }
    served.take_next().await;
    let framework = &served.engine.state().frameworks[FRAMEWORK];
    assert!(framework.executors.values().any(|executor| executor.connection.is_some()));
    served.take_next().await;
    assert_eq!(served.disconnected.len(), 1);
    let framework = &served.engine.state().frameworks[FRAMEWORK];
    assert!(framework.executors.values().all(|executor| executor.connection.is_none()));
}
