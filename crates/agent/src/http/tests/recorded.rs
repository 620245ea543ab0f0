//! The recorded answers of the original's agent, reproduced from a snapshot that holds the facts
//! of the story.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use endpoints::access::Posture;
use endpoints::common::{Build, Daemon as _};
use endpoints::site::Site;
use model::time::Timestamp;
use serde_json::Value as Json;
use testkit::captures::{Kind, Recorded, story};
use testkit::http::Message;
use wire::json::{Names, Style};
use wire::v1::agent::Response;
use wire::{Limits, v1};

use super::fixture::{Asked, PROTOBUF, Told, agent as new_agent};
use crate::engine::state::{Activity, Counters, Executor, ExecutorPhase, Framework, State};
use crate::http::{Agent, table};
use crate::runtime::Sandboxes;
use crate::views::{Program, Snapshot};

const AGENT: &str = "127.0.0.2:5051";

/// A request to the agent and its answer.
struct Exchange {
    file: String,
    request: Message,
    response: Message,
}

impl Exchange {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.response.body).unwrap()
    }
}

/// All requests to the agent that were answered whole, in order.
fn exchanges(story: &[Recorded]) -> Vec<Exchange> {
    let asked = |r: &&Recorded| r.kind == Kind::Request && r.to == AGENT;
    story
        .iter()
        .enumerate()
        .filter(|(_, r)| asked(r))
        .filter_map(|(at, request)| {
            let response = story[at..]
                .iter()
                .find(|r| r.kind == Kind::Response && r.connection == request.connection)?;
            response.file.as_ref()?;
            Some(Exchange {
                file: request.file.clone()?,
                request: request.http(),
                response: response.http(),
            })
        })
        .collect()
}

fn got<'e>(all: &'e [Exchange], path: &str) -> &'e Exchange {
    let found = all.iter().find(|e| e.request.target() == ("GET", path));
    found.expect("the story has this request")
}

fn called(all: &[Exchange], kind: &str) -> Response {
    let body = format!("{{\"type\":\"{kind}\"}}");
    let found = all.iter().find(|e| e.request.body == body.as_bytes());
    let response = &found.expect("the story has this call").response;
    wire::json::read(&response.body, Names::V1, &Limits::default()).unwrap()
}

fn text(json: &Json) -> String {
    json.as_str().expect("a text").to_owned()
}

/// What the story's agent was.
fn snapshot(all: &[Exchange]) -> Snapshot {
    let state = got(all, "/state").json();
    let mut info = called(all, "GET_AGENT").get_agent.unwrap().agent_info.unwrap();
    // The v1 reader does not know this key.
    info.checkpoint = Some(true);
    let call = called(all, "GET_STATE").get_state.unwrap();
    let status = called(all, "GET_CONTAINERS").get_containers.unwrap().containers.remove(0);
    let framework_info = call.get_frameworks.unwrap().frameworks.remove(0).framework_info;
    let executor_info = call.get_executors.unwrap().executors.remove(0).executor_info;
    let shown = &state["frameworks"][0]["executors"][0];
    let tasks = call.get_tasks.unwrap().launched_tasks;
    let executor = Executor {
        id: executor_info.executor_id.value.parse().unwrap(),
        info: executor_info,
        generated: true,
        container: text(&shown["container"]).parse().unwrap(),
        sandbox: text(&shown["directory"]).into(),
        checkpointed: true,
        phase: ExecutorPhase::Running,
        pid: status.container_status.unwrap().executor_pid,
        token: None,
        next_token: None,
        token_made: None,
        libprocess: None,
        unreachable: false,
        connection: None,
        http_recorded: false,
        queued: Vec::new(),
        unconfirmed: BTreeMap::new(),
        kills: BTreeMap::new(),
        launched: tasks
            .into_iter()
            .map(|task| (task.task_id.value.parse().unwrap(), Arc::new(task)))
            .collect(),
        terminated: BTreeMap::new(),
        completed: VecDeque::new(),
        ending: None,
        destroyed: false,
    };
    let framework = Framework {
        id: framework_info.id.as_ref().unwrap().value.parse().unwrap(),
        info: framework_info,
        pid: String::new(),
        terminating: false,
        executors: BTreeMap::from([(executor.id.clone(), Arc::new(executor))]),
        completed_executors: VecDeque::new(),
    };
    Snapshot {
        total: wire::resources::read(&info.resources).unwrap(),
        state: State {
            drain: None,
            operations: BTreeMap::new(),
            total: model::resources::Resources::new(),
            activity: Activity::Running,
            id: Some(text(&state["id"]).parse().unwrap()),
            master: Some("master@127.0.0.2:5050".parse().unwrap()),
            frameworks: BTreeMap::from([(framework.id.clone(), Arc::new(framework))]),
            completed_frameworks: VecDeque::new(),
            tokens: BTreeMap::new(),
            executors_known: true,
            counters: Counters { valid_status_updates: 2, ..Default::default() },
        },
        pid: text(&state["pid"]).parse().unwrap(),
        info,
    }
}

fn program(all: &[Exchange]) -> Program {
    let state = got(all, "/state").json();
    let flags = state["flags"].as_object().unwrap();
    Program {
        build: Build {
            version: text(&state["version"]),
            date: text(&state["build_date"]),
            time: state["build_time"].as_f64().unwrap(),
            user: text(&state["build_user"]),
            git_sha: Some(text(&state["git_sha"])),
            git_branch: Some(text(&state["git_branch"])),
            git_tag: None,
        },
        flags: flags.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        log_dir: None,
        external_log_file: None,
    }
}

/// What was measured, in the order in which the story asks; without the limits, which are the
/// agent's to add.
fn measured(all: &[Exchange]) -> Vec<v1::ResourceStatistics> {
    let shown = ["/monitor/statistics", "/containers"].map(|path| {
        let statistics = got(all, path).json()[0]["statistics"].to_string();
        wire::json::read(statistics.as_bytes(), Names::V0, &Limits::default()).unwrap()
    });
    let last = called(all, "GET_CONTAINERS").get_containers.unwrap().containers.remove(0);
    let mut all: Vec<v1::ResourceStatistics> = shown.into();
    all.push(last.resource_statistics.unwrap());
    for statistics in &mut all {
        let limits = (statistics.cpus_soft_limit.take(), statistics.mem_limit_bytes.take());
        assert_eq!(limits, (Some(0.2), Some(64 << 20)));
        statistics.mem_soft_limit_bytes = None;
    }
    // The last one is taken first.
    all.reverse();
    all
}

/// An agent that shows the story's facts. No engine is behind it: nothing in the story asks one.
fn agent(all: &[Exchange]) -> Arc<Agent> {
    let status = called(all, "GET_CONTAINERS").get_containers.unwrap().containers.remove(0);
    let containers = Told { status: status.container_status, usages: Mutex::new(measured(all)) };
    let (mut agent, _) =
        new_agent(snapshot(all), program(all), containers, Posture::danger_plaintext());
    let started = got(all, "/state").json()["start_time"].as_f64().unwrap();
    agent.started = Timestamp::new(Duration::from_secs_f64(started));
    Sandboxes::default().attach_all(&agent.files, &agent.snapshots.load().state);
    Arc::new(agent)
}

/// Requests of the story that are not answered as recorded, and why.
const SKIPPED: [(&str, &str); 1] =
    [("/metrics/snapshot", "the names are compared below, the values are of the run")];

/// What has its keys sorted in the original, as in no other answer, and not here: clients must
/// not depend on it.
const UNSORTED: [&str; 2] = ["/monitor/statistics", "/containers"];

#[tokio::test]
async fn the_agents_part_of_the_operators_story_is_answered_as_recorded() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let site = Site::new(agent(&all), table(), Posture::danger_plaintext());
    let mut compared = 0;
    for Exchange { file, request, response } in &all {
        let (_, target) = request.target();
        if SKIPPED.iter().any(|(skipped, _)| *skipped == target) {
            continue;
        }
        let got = Asked::recorded(request).answer(&site).await;
        assert_eq!(got.status, response.status(), "{file}");
        for name in ["content-type", "content-length", "allow", "location"] {
            assert_eq!(got.header(name), response.header(name), "{file}: {name}");
        }
        let is_json = got.header("content-type") == Some("application/json");
        let body = got.bytes().await;
        if is_json {
            let ours: Json = serde_json::from_slice(&body).unwrap();
            let recorded: Json = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(ours, recorded, "{file}");
        }
        if !UNSORTED.contains(&target) {
            // Even the order of keys is the original's.
            let recorded = String::from_utf8_lossy(&response.body);
            assert_eq!(String::from_utf8_lossy(&body), recorded, "{file}");
        }
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} exchanges were compared");
}

#[tokio::test]
async fn every_answer_has_a_protobuf_form_that_says_the_same() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let mut compared = 0;
    for Exchange { file, request, response } in &all {
        if request.target() != ("POST", "/api/v1") || response.status() != 200 {
            continue;
        }
        let agent = agent(&all);
        if request.body.ends_with(b"\"GET_CONTAINERS\"}") {
            let last = measured(&all).remove(0);
            let (told, _) = new_agent(
                (**agent.snapshots.load()).clone(),
                program(&all),
                Told {
                    status: called(&all, "GET_CONTAINERS")
                        .get_containers
                        .unwrap()
                        .containers
                        .remove(0)
                        .container_status,
                    usages: Mutex::new(vec![last]),
                },
                Posture::danger_plaintext(),
            );
            compare(file, &Arc::new(told), request, response).await;
        } else {
            compare(file, &agent, request, response).await;
        }
        compared += 1;
    }
    assert!(compared >= 11, "only {compared} answers were compared");
}

async fn compare(file: &str, agent: &Arc<Agent>, request: &Message, response: &Message) {
    let site = Site::new(Arc::clone(agent), table(), Posture::danger_plaintext());
    let got = Asked::recorded(request).with("accept", PROTOBUF).answer(&site).await;
    assert_eq!(got.status, 200, "{file}");
    assert_eq!(got.header("content-type"), Some(PROTOBUF), "{file}");
    let body = got.bytes().await;
    let (message, report): (Response, _) = wire::check::decode(&body, &Limits::default()).unwrap();
    assert_eq!(report, wire::check::Report::default(), "{file}");
    let recorded: Response =
        wire::json::read(&response.body, Names::V1, &Limits::default()).unwrap();
    let print = |message: &Response| {
        let mut out = Vec::new();
        wire::json::write(message, Style::V1, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(print(&message), print(&recorded), "{file}");
}

/// Metrics that the original publishes and this agent does not yet, by the beginning of their
/// names, and what is missing.
const WITHOUT_SUBJECT: [(&str, &str); 6] = [
    ("containerizer/fetcher/", "the fetcher has no cache, and its runs are not counted yet"),
    ("containerizer/mesos/container_destroy_errors", "destroying does not report errors"),
    ("containerizer/mesos/provisioner/", "there are no images"),
    ("gc/", "sandboxes are not collected yet"),
    ("resource_provider_manager/", "there are no resource providers"),
    ("slave/executor_directory_max_allowed_age_secs", "sandboxes are not collected yet"),
];

#[tokio::test]
async fn metrics_have_the_originals_names_or_stand_in_the_list() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let recorded = got(&all, "/metrics/snapshot").json();
    let recorded: BTreeMap<String, Json> = serde_json::from_value(recorded).unwrap();
    let mut ours = agent(&all).metrics();
    ours.extend(endpoints::common::system_metrics());

    let excused = |name: &str| WITHOUT_SUBJECT.iter().find(|(begin, _)| name.starts_with(begin));
    let missing: Vec<_> = recorded.keys().filter(|name| !ours.contains_key(*name)).collect();
    let unexplained: Vec<_> = missing.iter().filter(|name| excused(name).is_none()).collect();
    assert_eq!(unexplained, Vec::<&&String>::new(), "neither published nor in the list");
    for (begin, why) in WITHOUT_SUBJECT {
        assert!(
            missing.iter().any(|name| name.starts_with(begin)),
            "{begin} ({why}) is published now: take it off the list"
        );
        println!("without a subject: {begin}*: {why}");
    }
    let invented: Vec<_> = ours
        .keys()
        .filter(|name| !recorded.contains_key(*name) && !name.starts_with("alcazar/"))
        .collect();
    assert_eq!(invented, Vec::<&String>::new(), "names that the original does not have");
    // What the story says is in the numbers.
    let of_the_run = ["slave/uptime_secs", "slave/recovery_time_secs"];
    let same = recorded.iter().filter(|(name, _)| {
        name.starts_with("slave/") && excused(name).is_none() && !of_the_run.contains(&&***name)
    });
    for (name, value) in same {
        assert_eq!(ours.get(name).copied(), value.as_f64(), "{name}");
    }
}
