//! What operators change, over HTTPS: by the older endpoints and by calls, with an agent behind the
//! master.

use http::Method;
use serde_json::{Value as Json, json};
use transport::client::{Call, Reply};
use wire::internal;

use crate::agent::Agent;
use crate::fixture::{Cluster, Trust, soon};

const WHO: &str = "operator/root";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

async fn send(cluster: &Cluster, call: Call) -> (u16, String) {
    let mut connection = cluster.connect(Some(WHO)).await;
    let Reply { status, body, .. } = soon(connection.call(call)).await.unwrap();
    let body = soon(body.collect(1 << 20)).await.unwrap();
    (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}

async fn request(cluster: &Cluster, method: Method, path: &str, body: &str) -> (u16, String) {
    let kind = if body.starts_with(['[', '{']) { JSON } else { FORM };
    let mut call = Call::post(path, kind, body.to_owned());
    call.method = method;
    send(cluster, call).await
}

async fn post(cluster: &Cluster, path: &str, body: &str) -> (u16, String) {
    request(cluster, Method::POST, path, body).await
}

async fn get(cluster: &Cluster, path: &str) -> Json {
    let (status, body) = send(cluster, Call::get(path)).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn call(cluster: &Cluster, call: Json) -> (u16, String) {
    send(cluster, Call::post("/api/v1", JSON, call.to_string())).await
}

fn done() -> (u16, String) {
    (200, String::new())
}

fn accepted() -> (u16, String) {
    (202, String::new())
}

#[tokio::test]
async fn quotas_and_weights_are_set_shown_and_removed() {
    let cluster = Cluster::start(Trust::certificates()).await;
    assert_eq!(get(&cluster, "/quota").await, json!({}));
    assert_eq!(get(&cluster, "/weights").await, json!([]));
    let put = |body: &'static str| request(&cluster, Method::PUT, "/weights", body);
    assert_eq!(put(r#"[{"role":"ops","weight":2.5}]"#).await, done());
    assert_eq!(get(&cluster, "/weights").await, json!([{"role": "ops", "weight": 2.5}]));
    let (status, text) = put(r#"[{"role":"ops","weight":-1}]"#).await;
    let words = "Failed to validate update weights request JSON for role 'ops': Invalid weight \
                 '-1': Weights must be positive";
    assert_eq!((status, text.as_str()), (400, words));
    let (status, text) = put(r#"{"role":"ops"}"#).await;
    assert_eq!(status, 400);
    let begin = r#"Failed to parse update weights request JSON '{"role":"ops"}': "#;
    assert!(text.starts_with(begin), "{text}");
    let (status, text) = put(r#"[{"role":"ops"}]"#).await;
    assert_eq!(status, 400);
    let begin = r#"Failed to convert weights JSON array to protobuf '[{"role":"ops"}]': "#;
    assert!(text.starts_with(begin), "{text}");

    let cpus = |n: f64| format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":{n}}}}}"#);
    let quota = format!(r#"{{"role":"ops","guarantee":[{}],"force":true}}"#, cpus(2.0));
    assert_eq!(post(&cluster, "/quota", &quota).await, done());
    let shown = get(&cluster, "/quota").await;
    let two = json!({"cpus": {"value": 2.0}});
    assert_eq!(shown["configs"], json!([{"role": "ops", "guarantees": two, "limits": two}]));
    assert_eq!(shown["infos"][0]["guarantee"][0]["scalar"]["value"], 2.0);
    let forced = format!(r#"{{"role":"web","guarantee":[{}]}}"#, cpus(2.0));
    assert_eq!(post(&cluster, "/quota", &forced).await.0, 409);
    let (status, text) = post(&cluster, "/quota", r#"{"guarantee":3}"#).await;
    assert_eq!(status, 400);
    let begin = r#"Failed to validate set quota request JSON '{"guarantee":3}': "#;
    assert!(text.starts_with(begin), "{text}");

    // Both are shown where roles are, and counted.
    let roles = get(&cluster, "/roles").await["roles"].clone();
    let role = |name: &str| {
        let all = roles.as_array().unwrap().iter();
        all.clone().find(|role| role["name"] == name).cloned().unwrap()
    };
    assert_eq!(role("ops")["weight"], 2.5);
    assert_eq!(role("ops")["quota"]["guarantee"], json!({"cpus": 2.0}));
    assert_eq!(role("ops")["quota"]["limit"], json!({"cpus": 2.0}));
    for name in ["guarantee", "limit"] {
        let metric = format!("allocator/mesos/quota/roles/ops/resources/cpus/{name}");
        assert_eq!(cluster.metric(&metric).await, 2.0);
    }
    let roles = call(&cluster, json!({"type": "GET_ROLES"})).await.1;
    assert!(roles.contains(r#""name":"ops","weight":2.5"#), "{roles}");

    let registry = get(&cluster, "/registrar(1)/registry").await;
    assert_eq!(registry["weights"], json!([{"info": {"role": "ops", "weight": 2.5}}]));
    assert_eq!(registry["quota_configs"], shown["configs"]);
    assert_eq!(registry["minimum_capabilities"], json!([{"capability": "QUOTA_V2"}]));
    assert!(registry["master"]["info"]["id"].is_string());

    let delete = |path: &'static str| request(&cluster, Method::DELETE, path, "");
    let (status, text) = delete("/quota/web").await;
    let words = "Failed to remove quota for path '/master/quota/web': Role 'web' has no quota set";
    assert_eq!((status, text.as_str()), (400, words));
    let (status, text) = delete("/quota").await;
    let words = "Failed to parse remove quota request for path '/master/quota': expected 3 \
                 tokens, found 2 tokens";
    assert_eq!((status, text.as_str()), (400, words));
    assert_eq!(delete("/master/quota/ops").await, done());
    assert_eq!(get(&cluster, "/quota").await, json!({}));
    // The call is refused, where the original ends itself.
    let remove = json!({"type": "REMOVE_QUOTA", "remove_quota": {"role": "ops"}});
    let words = "Failed to remove quota: Role 'ops' has no quota set";
    assert_eq!(call(&cluster, remove).await, (400, words.to_owned()));
    let (status, text) = request(&cluster, Method::PUT, "/quota", "{}").await;
    let words = "405 Method Not Allowed. Expecting one of { 'GET', 'POST', 'DELETE' }, but \
                 received 'PUT'.";
    assert_eq!((status, text.as_str()), (405, words));
}

#[tokio::test]
async fn machines_are_scheduled_taken_down_and_brought_up() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut agent = Agent::new(&cluster, "a1");
    agent.register().await;
    let machine = json!({"hostname": "127.0.0.1", "ip": "127.0.0.1"});
    let machines = json!([machine]).to_string();
    let window = json!({
        "machine_ids": [machine],
        "unavailability": {
            "start": {"nanoseconds": 5}, "duration": {"nanoseconds": 3_600_000_000_000i64},
        },
    });
    let schedule = json!({"windows": [window]});
    assert_eq!(get(&cluster, "/maintenance/schedule").await, json!({}));
    // A schedule is replaced, whatever it was about.
    let other = schedule.to_string().replace("127.0.0.1", "127.0.0.2");
    assert_eq!(post(&cluster, "/maintenance/schedule", &other).await, done());
    assert_eq!(post(&cluster, "/maintenance/schedule", &schedule.to_string()).await, done());
    assert_eq!(get(&cluster, "/maintenance/schedule").await, schedule);
    let draining = json!({"draining_machines": [{"id": machine}]});
    assert_eq!(get(&cluster, "/maintenance/status").await, draining);

    assert_eq!(post(&cluster, "/machine/down", &machines).await, done());
    let shutdown: internal::ShutdownMessage = agent.hear().await;
    assert_eq!(shutdown.message.as_deref(), Some("Operator initiated 'Machine DOWN'"));
    let down = json!({"down_machines": [machine]});
    assert_eq!(get(&cluster, "/maintenance/status").await, down);
    agent.say(&agent.registration());
    let shutdown: internal::ShutdownMessage = agent.hear().await;
    assert_eq!(shutdown.message.as_deref(), Some("Machine is `DOWN`"));

    let stop = json!({"type": "STOP_MAINTENANCE", "stop_maintenance": {"machines": [machine]}});
    assert_eq!(call(&cluster, stop).await, done());
    assert_eq!(get(&cluster, "/maintenance/status").await, json!({}));
    assert_eq!(get(&cluster, "/maintenance/schedule").await, json!({}));
    agent.register().await;

    let (status, text) = post(&cluster, "/machine/up", "{}").await;
    assert_eq!((status, text.as_str()), (400, "Expecting a JSON array"));
    let (status, text) = post(&cluster, "/maintenance/schedule", r#"{"windows":[{}]}"#).await;
    assert_eq!(status, 400);
    assert!(text.contains("Missing required fields"), "{text}");
}

#[tokio::test]
async fn resources_are_reserved_and_given_back_by_both_forms() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut agent = Agent::new(&cluster, "a1");
    let id = agent.register().await;
    let reservation = json!({"type": "DYNAMIC", "role": "ops", "principal": "root"});
    let cpus = json!([{
        "name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "reservations": [reservation],
    }]);
    let form = format!("slaveId={id}&resources={}", percent(&cpus.to_string()));
    assert_eq!(post(&cluster, "/reserve", &form).await, accepted());
    let apply: internal::ApplyOperationMessage = agent.hear().await;
    assert!(apply.operation_info.reserve.is_some() && apply.framework_id.is_none());
    let unreserve = json!({"agent_id": {"value": id}, "resources": cpus});
    let unreserve = json!({"type": "UNRESERVE_RESOURCES", "unreserve_resources": unreserve});
    assert_eq!(call(&cluster, unreserve.clone()).await, accepted());
    let apply: internal::ApplyOperationMessage = agent.hear().await;
    assert!(apply.operation_info.unreserve.is_some());
    // There is nothing left to give back.
    assert_eq!(call(&cluster, unreserve).await.0, 409);

    let missing =
        |name: &str| (400, format!("Missing '{name}' query parameter in the request body"));
    assert_eq!(post(&cluster, "/reserve", "resources=[]").await, missing("slaveId"));
    assert_eq!(post(&cluster, "/reserve", "slaveId=x").await, missing("resources"));
    assert_eq!(post(&cluster, "/create-volumes", "slaveId=x").await, missing("volumes"));
    let (status, text) = post(&cluster, "/reserve", "slaveId=x&resources={}").await;
    let words = "Error parsing 'resources' query parameter in the request body: ";
    assert!(status == 400 && text.starts_with(words), "{text}");
    let (status, text) = post(&cluster, "/destroy-volumes", "slaveId=x&volumes=1").await;
    let words = "Error in parsing 'volumes' query parameter in the request body: ";
    assert!(status == 400 && text.starts_with(words), "{text}");
    let unknown = (400, "No agent found with specified ID".to_owned());
    assert_eq!(post(&cluster, "/unreserve", "slaveId=x&resources=[]").await, unknown);
    // What is in the original's number range only.
    for value in ["1e400", "-1", "\"NaN\""] {
        let bad = cpus.to_string().replace("1.0", value);
        let form = format!("slaveId={id}&resources={}", percent(&bad));
        let (status, text) = post(&cluster, "/reserve", &form).await;
        assert_eq!(status, 400, "{value}: {text}");
    }
}

#[tokio::test]
async fn volumes_are_made_grown_shrunk_and_destroyed_by_calls() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut agent = Agent::new(&cluster, "a1");
    let id = agent.register().await;
    let agent_id = json!({"value": id});
    let disk = |size: f64| {
        json!({
            "name": "disk", "type": "SCALAR", "scalar": {"value": size},
            "reservations": [{"type": "DYNAMIC", "role": "ops", "principal": "root"}],
        })
    };
    let volume = |size: f64| {
        let mut volume = disk(size);
        volume["disk"] = json!({
            "persistence": {"id": "v", "principal": "root"},
            "volume": {"mode": "RW", "container_path": "data"},
        });
        volume
    };
    let ask = |kind: &str, mut members: Json| {
        members["agent_id"] = agent_id.clone();
        json!({"type": kind, kind.to_lowercase(): members})
    };
    let reserve = ask("RESERVE_RESOURCES", json!({"resources": [disk(60.0)]}));
    let create = ask("CREATE_VOLUMES", json!({"volumes": [volume(40.0)]}));
    let grow = ask("GROW_VOLUME", json!({"volume": volume(40.0), "addition": disk(20.0)}));
    let shrink = ask("SHRINK_VOLUME", json!({"volume": volume(60.0), "subtract": {"value": 50.0}}));
    let destroy = ask("DESTROY_VOLUMES", json!({"volumes": [volume(10.0)]}));
    // What does not fit what is there changes nothing.
    assert_eq!(call(&cluster, grow.clone()).await.0, 409);
    for asked in [reserve, create, grow.clone(), shrink.clone(), destroy] {
        assert_eq!(call(&cluster, asked.clone()).await, accepted(), "{asked}");
        let apply: internal::ApplyOperationMessage = agent.hear().await;
        let kind = apply.operation_info.r#type();
        assert!(asked["type"].as_str().unwrap().starts_with(kind.as_str_name()), "{kind:?}");
    }
    assert_eq!(call(&cluster, shrink).await.0, 409);
    let mut negative = grow;
    negative["grow_volume"]["addition"]["scalar"]["value"] = json!(-1.0);
    assert_eq!(call(&cluster, negative).await.0, 400);
}

/// A text as a value in a form.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn json_nested_thousands_deep_is_refused_everywhere() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    for (method, path) in [
        (Method::PUT, "/weights"),
        (Method::POST, "/quota"),
        (Method::POST, "/maintenance/schedule"),
        (Method::POST, "/machine/down"),
        (Method::POST, "/machine/up"),
        (Method::POST, "/api/v1"),
    ] {
        for body in [&deep, &deep_object] {
            let (status, text) = request(&cluster, method.clone(), path, body).await;
            assert_eq!(status, 400, "{path}: {text}");
            assert!(text.len() < 4096, "{path}: an answer of {} bytes", text.len());
        }
    }
    for path in ["/reserve", "/unreserve"] {
        let form = format!("slaveId=x&resources={deep}");
        assert_eq!(post(&cluster, path, &form).await.0, 400, "{path}");
    }
    assert_eq!(get(&cluster, "/weights").await, json!([]));
}

#[tokio::test]
async fn agents_are_drained_deactivated_and_given_up_by_calls() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut agent = Agent::new(&cluster, "a1");
    let id = agent.register().await;
    let of = |kind: &str, member: &str, more: Json| {
        let mut body = json!({"agent_id": {"value": id}});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        json!({"type": kind, member: body})
    };
    let none = || json!({});
    assert_eq!(call(&cluster, of("DEACTIVATE_AGENT", "deactivate_agent", none())).await, done());
    assert_eq!(call(&cluster, of("REACTIVATE_AGENT", "reactivate_agent", none())).await, done());
    let not = (400, "Agent is not deactivated".to_owned());
    assert_eq!(call(&cluster, of("REACTIVATE_AGENT", "reactivate_agent", none())).await, not);
    let negative = json!({"max_grace_period": {"seconds": -5}});
    assert_eq!(call(&cluster, of("DRAIN_AGENT", "drain_agent", negative)).await.0, 400);
    let period = json!({"max_grace_period": {"seconds": 5, "nanos": 1}});
    assert_eq!(call(&cluster, of("DRAIN_AGENT", "drain_agent", period)).await, done());
    let drain: internal::DrainSlaveMessage = agent.hear().await;
    assert_eq!(drain.config.max_grace_period.unwrap().nanoseconds, 5_000_000_001);
    for path in ["/state", "/slaves", "/state-summary"] {
        let shown = get(&cluster, path).await["slaves"][0].clone();
        assert_eq!(
            shown["drain_info"]["config"]["max_grace_period"],
            json!({"nanoseconds": 5_000_000_001_i64})
        );
        assert!(shown["estimated_drain_start_time_seconds"].as_f64().unwrap() > 1e9, "{path}");
    }
    let gone = of("MARK_AGENT_GONE", "mark_agent_gone", none());
    assert_eq!(call(&cluster, gone).await, done());
    let shutdown: internal::ShutdownMessage = agent.hear().await;
    assert_eq!(shutdown.message.as_deref(), Some("Agent has been marked gone"));
    let registry = get(&cluster, "/registrar(1)/registry").await;
    assert_eq!(registry["gone"]["slaves"][0]["id"]["value"], id);
    let stranger = json!({"agent_id": {"value": "no/agent"}});
    let stranger = json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": stranger});
    assert_eq!(call(&cluster, stranger).await, (404, "Agent 'no/agent' not found".to_owned()));
}

#[tokio::test]
async fn the_log_says_more_for_a_while() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let level = || async { send(&cluster, Call::get("/logging/toggle")).await };
    assert_eq!(level().await, (200, "0\n".to_owned()));
    let duration = json!({"nanoseconds": 3_600_000_000_000i64});
    let set = |level| {
        let set = json!({"level": level, "duration": duration});
        json!({"type": "SET_LOGGING_LEVEL", "set_logging_level": set})
    };
    assert_eq!(call(&cluster, set(2)).await, done());
    assert_eq!(level().await, (200, "2\n".to_owned()));
    let get = call(&cluster, json!({"type": "GET_LOGGING_LEVEL"})).await.1;
    assert!(get.contains(r#""level":2"#), "{get}");
    let toggle = |query: &str| Call::get(format!("/logging/toggle?{query}"));
    assert_eq!(send(&cluster, toggle("level=0&duration=1secs")).await, done());
    assert_eq!(level().await, (200, "0\n".to_owned()));
    for (query, text) in [
        ("level=1", "Expecting 'duration=value' in query.\n"),
        ("duration=1secs", "Expecting 'level=value' in query.\n"),
        ("level=x&duration=1secs", "Failed to convert 'x' to number.\n"),
        ("level=-1&duration=1secs", "Invalid level '-1'.\n"),
    ] {
        assert_eq!(send(&cluster, toggle(query)).await, (400, text.to_owned()));
    }
    assert_eq!(send(&cluster, toggle("level=1&duration=1")).await.0, 400);
    // It ends by itself.
    assert_eq!(send(&cluster, toggle("level=1&duration=1ms")).await, done());
    soon(async {
        while level().await.1 != "0\n" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
