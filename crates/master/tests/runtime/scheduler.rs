//! The scheduler API from outside, on TLS, with an agent behind the master.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue, header};
use registry::{Contents, MemoryRegistry, Operation, Registry, RegistryError};
use serde_json::{Value as Json, json};
use transport::client::{Call, Reply, ReplyBody};
use wire::{internal, v1};

use crate::agent::Agent;
use crate::fixture::{Cluster, Trust, soon};

const JSON: &str = "application/json";
const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// A subscribed scheduler.
struct Scheduler<'c> {
    cluster: &'c Cluster,
    who: &'static str,
    stream_id: String,
    framework_id: String,
    body: ReplyBody,
    decoder: wire::recordio::Decoder,
    events: VecDeque<Json>,
}

fn post(body: &Json) -> Call {
    Call::post("/api/v1/scheduler", JSON, body.to_string()).accept(JSON)
}

async fn answer(cluster: &Cluster, who: &str, call: Call) -> (u16, String) {
    let mut connection = cluster.connect(Some(who)).await;
    let Reply { status, body, .. } = soon(connection.call(call)).await.unwrap();
    let body = soon(body.collect(1 << 20)).await.unwrap();
    (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}

impl<'c> Scheduler<'c> {
    async fn subscribe(cluster: &'c Cluster, who: &'static str, call: &Json) -> Self {
        let mut connection = cluster.connect(Some(who)).await;
        let Reply { status, headers, body } = soon(connection.call(post(call))).await.unwrap();
        assert_eq!(status, 200);
        assert_eq!(headers[header::CONTENT_TYPE], JSON);
        let stream_id = headers[&STREAM_ID].to_str().unwrap().to_owned();
        // The connection lives as long as its response is read.
        tokio::spawn(async move {
            let _connection = connection;
            std::future::pending::<()>().await;
        });
        Self {
            cluster,
            who,
            stream_id,
            framework_id: String::new(),
            body,
            decoder: wire::recordio::Decoder::new(1 << 20),
            events: VecDeque::new(),
        }
    }

    async fn new(cluster: &'c Cluster, who: &'static str) -> Self {
        let info = json!({"user": "nobody", "name": "f", "roles": ["*"],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}]});
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        let mut scheduler = Self::subscribe(cluster, who, &call).await;
        let subscribed = scheduler.next("SUBSCRIBED").await;
        assert_eq!(subscribed["subscribed"]["heartbeat_interval_seconds"], 15.0);
        let id = &subscribed["subscribed"]["framework_id"]["value"];
        scheduler.framework_id = id.as_str().unwrap().to_owned();
        scheduler.next("HEARTBEAT").await;
        scheduler
    }

    /// The next event, which is of this type; `None` at the end of the stream.
    async fn event(&mut self) -> Option<Json> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let piece = soon(self.body.next()).await?.unwrap();
            self.decoder.push(&piece);
            while let Some(record) = self.decoder.next().unwrap() {
                self.events.push_back(serde_json::from_slice(&record).unwrap());
            }
        }
    }

    async fn next(&mut self, kind: &str) -> Json {
        let event = self.event().await.expect("the stream goes on");
        assert_eq!(event["type"], kind, "{event}");
        event
    }

    /// A call of this framework, by whoever and with whatever stream id.
    async fn call_as(&self, who: &str, stream_id: Option<&str>, mut call: Json) -> (u16, String) {
        call["framework_id"] = json!({"value": self.framework_id});
        let mut call = post(&call);
        if let Some(id) = stream_id {
            call = call.header(STREAM_ID, HeaderValue::from_str(id).unwrap());
        }
        answer(self.cluster, who, call).await
    }

    async fn call(&self, call: Json) -> (u16, String) {
        self.call_as(self.who, Some(&self.stream_id), call).await
    }
}

fn task(id: &str, agent: &str) -> Json {
    let scalar = |name: &str, value: f64| {
        json!({"name": name, "type": "SCALAR", "scalar": {"value": value},
            "allocation_info": {"role": "*"}})
    };
    json!({"name": id, "task_id": {"value": id}, "agent_id": {"value": agent},
        "resources": [scalar("cpus", 1.0), scalar("mem", 32.0)],
        "command": {"value": "true"}})
}

#[tokio::test]
async fn a_task_goes_from_the_scheduler_to_the_agent_and_its_update_comes_back() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut agent = Agent::new(&cluster, "a1");
    let agent_id = agent.register().await;
    let mut scheduler = Scheduler::new(&cluster, "framework/f1").await;
    let offers = scheduler.next("OFFERS").await;
    let offer = &offers["offers"]["offers"][0];
    assert_eq!(offer["agent_id"]["value"], agent_id.as_str());
    let accept = json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task("t1", &agent_id)]}}]}});
    assert_eq!(scheduler.call(accept).await, (202, String::new()));

    let run: internal::RunTaskMessage = agent.hear().await;
    assert_eq!(run.task.task_id.value, "t1");
    let uuid = bytes::Bytes::from(vec![3; 16]);
    agent.say(&internal::StatusUpdateMessage {
        update: internal::StatusUpdate {
            framework_id: v1::FrameworkId { value: scheduler.framework_id.clone() },
            slave_id: Some(v1::AgentId { value: agent_id.clone() }),
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: "t1".to_owned() },
                state: v1::TaskState::TaskRunning as i32,
                uuid: Some(uuid.clone()),
                agent_id: Some(v1::AgentId { value: agent_id.clone() }),
                source: Some(v1::task_status::Source::Executor as i32),
                timestamp: Some(1.0),
                ..Default::default()
            },
            timestamp: 1.0,
            uuid: Some(uuid),
            ..Default::default()
        },
        pid: Some(agent.pid.to_string()),
    });
    let update = scheduler.next("UPDATE").await;
    assert_eq!(update["update"]["status"]["state"], "TASK_RUNNING");
    let (status, _, state) = cluster.ask(Some("operator/root"), "GET /state").await;
    assert_eq!(status, 200);
    let state: Json = serde_json::from_str(&state).unwrap();
    assert_eq!(state["frameworks"][0]["tasks"][0]["state"], "TASK_RUNNING");
    assert_eq!(state["slaves"][0]["used_resources"]["cpus"], 1.0);

    let uuid = &update["update"]["status"]["uuid"];
    let acknowledge = json!({"type": "ACKNOWLEDGE", "acknowledge": {
        "agent_id": {"value": agent_id}, "task_id": {"value": "t1"}, "uuid": uuid}});
    assert_eq!(scheduler.call(acknowledge).await.0, 202);
    let _: internal::StatusUpdateAcknowledgementMessage = agent.hear().await;

    // Teardown ends the stream in order, without an ERROR.
    assert_eq!(scheduler.call(json!({"type": "TEARDOWN"})).await.0, 202);
    let _: internal::ShutdownFrameworkMessage = agent.hear().await;
    assert_eq!(scheduler.event().await, None);

    // The framework and its task are still shown, as completed.
    let show = async |path: &str| -> Json {
        let (status, _, body) = cluster.ask(Some("operator/root"), &format!("GET {path}")).await;
        assert_eq!(status, 200, "{path}");
        serde_json::from_str(&body).unwrap()
    };
    let state = show("/state").await;
    assert_eq!(state["frameworks"], json!([]));
    let completed = &state["completed_frameworks"][0];
    assert_eq!(completed["id"], scheduler.framework_id.as_str());
    assert_eq!(completed["active"], false);
    assert!(completed["unregistered_time"].as_f64().unwrap() > 0.0);
    assert_eq!(completed["completed_tasks"][0]["id"], "t1");
    assert_eq!(state["slaves"][0]["used_resources"]["cpus"], 0.0);
    for (path, count) in [
        ("/tasks", 1),
        ("/tasks?task_id=t1", 1),
        ("/tasks?task_id=t2", 0),
        ("/tasks?framework_id=x", 0),
        ("/tasks?offset=1", 0),
        ("/tasks?limit=0", 0),
    ] {
        assert_eq!(show(path).await["tasks"].as_array().unwrap().len(), count, "{path}");
    }
    assert_eq!(show("/slaves?slave_id=x").await["slaves"], json!([]));
    let one = show(&format!("/slaves?slave_id={agent_id}")).await;
    assert_eq!(one["slaves"][0]["id"], agent_id.as_str());
    // A summary is of frameworks that go on.
    let summary = show("/state-summary").await;
    assert_eq!(summary["slaves"][0]["framework_ids"], json!([]));
    soon(cluster.master.stop()).await.unwrap();
}

#[tokio::test]
async fn attack_a_stolen_stream_id_is_worth_nothing_to_anybody_else() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let scheduler = Scheduler::new(&cluster, "framework/f1").await;
    let id = scheduler.stream_id.clone();
    let revive = || json!({"type": "REVIVE"});
    assert_eq!(scheduler.call(revive()).await.0, 202);
    let (status, text) = scheduler.call_as("framework/f1", None, revive()).await;
    assert_eq!(status, 400);
    assert_eq!(text, "All non-subscribe calls should include the 'Mesos-Stream-Id' header");
    let (status, text) = scheduler.call_as("framework/f1", Some("x'y"), revive()).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("The stream ID 'x\\'y' included in this request didn't match"));
    // Somebody else who has got hold of it.
    for other in ["framework/f2", "operator/root"] {
        let (status, _) = scheduler.call_as(other, Some(&id), revive()).await;
        assert_eq!(status, 400, "{other}");
    }
    // A type that is not in the enum, and the literal that killed the original.
    let (status, text) = scheduler.call(json!({"type": "NOPE"})).await;
    assert_eq!(status, 400);
    assert_eq!(text, "Failed to validate scheduler::Call: Expecting 'type' to be present");
    assert!(matches!(scheduler.call(json!({"type": "UNKNOWN"})).await.0, 400 | 501));
    assert_eq!(scheduler.call(revive()).await.0, 202);
    soon(cluster.master.stop()).await.unwrap();
}

#[tokio::test]
async fn a_second_subscription_takes_over_from_the_first() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut first = Scheduler::new(&cluster, "framework/f1").await;
    let id = json!({"value": first.framework_id});
    let info = json!({"user": "nobody", "name": "f", "roles": ["*"], "id": id,
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}]});
    let again = json!({"type": "SUBSCRIBE", "framework_id": id,
        "subscribe": {"framework_info": info, "force": true}});
    let mut second = Scheduler::subscribe(&cluster, "framework/f1", &again).await;
    second.next("SUBSCRIBED").await;
    second.next("HEARTBEAT").await;
    second.framework_id.clone_from(&first.framework_id);
    let error = first.next("ERROR").await;
    assert_eq!(error["error"]["message"], "Framework failed over");
    assert_eq!(first.event().await, None);
    assert_eq!(first.call(json!({"type": "REVIVE"})).await.0, 400);
    assert_eq!(second.call(json!({"type": "REVIVE"})).await.0, 202);

    // Another identity may not take it.
    let mut thief = Scheduler::subscribe(&cluster, "framework/f2", &again).await;
    thief.next("ERROR").await;
    assert_eq!(thief.event().await, None);
    assert_eq!(second.call(json!({"type": "REVIVE"})).await.0, 202);
    soon(cluster.master.stop()).await.unwrap();
}

#[tokio::test]
async fn a_scheduler_that_hangs_up_is_disconnected() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut connection = cluster.connect(Some("framework/f1")).await;
    let info = json!({"user": "nobody", "name": "f", "failover_timeout": 3600.0});
    let call = post(&json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}));
    let mut body = soon(connection.call(call)).await.unwrap().body;
    soon(body.next()).await.unwrap().unwrap();
    assert_eq!(cluster.metric("master/frameworks_connected").await, 1.0);
    drop((body, connection));
    soon(async {
        while cluster.metric("master/frameworks_disconnected").await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(cluster.master.stop()).await.unwrap();
}

/// A registry that says when it is about to admit an agent, waits until it may, and fails when
/// told to.
#[derive(Debug)]
struct Watched {
    inner: MemoryRegistry,
    begun: tokio::sync::mpsc::UnboundedSender<()>,
    may_go_on: std::sync::mpsc::Receiver<()>,
    admitted: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl Registry for Watched {
    fn recover(&mut self) -> Result<Contents, RegistryError> {
        self.inner.recover()
    }

    fn commit(&mut self, operations: &[Operation]) -> Result<(), RegistryError> {
        let agents = operations.iter().filter(|o| matches!(o, Operation::PutAgent(_))).count();
        if agents > 0 && self.fails.load(Ordering::SeqCst) {
            return Err(RegistryError::Broken);
        }
        self.inner.commit(operations)?;
        if agents > 0 {
            self.begun.send(()).unwrap();
            self.may_go_on.recv().unwrap();
        }
        self.admitted.fetch_add(agents, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn an_agent_is_answered_when_its_admission_is_durable_and_never_if_it_cannot_be() {
    let (admitted, fails) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let registry = Watched {
        inner: MemoryRegistry::default(),
        begun,
        may_go_on,
        admitted: Arc::clone(&admitted),
        fails: Arc::clone(&fails),
    };
    let mut cluster = Cluster::start_with(Trust::certificates(), Box::new(registry), |_| ()).await;
    let mut agent = Agent::new(&cluster, "a1");
    agent.say(&agent.registration());
    soon(begins.recv()).await.unwrap();
    // An answer that did not wait would be here before that to a whole request.
    cluster.metric("master/uptime_secs").await;
    assert!(agent.heard_nothing());
    go_on.send(()).unwrap();
    let _: internal::SlaveRegisteredMessage = agent.hear().await;
    assert_eq!(admitted.load(Ordering::SeqCst), 1);

    fails.store(true, Ordering::SeqCst);
    let mut second = Agent::new(&cluster, "a2");
    second.say(&second.registration());
    let ended = soon(cluster.master.ended()).await;
    assert!(matches!(ended, Err(alcazar_master::runtime::MasterError::Registry(_))), "{ended:?}");
    assert!(second.heard_nothing());
}
