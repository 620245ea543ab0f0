//! Executors of the v0 protocol against a real agent: the recorded one, and those who play one.

use testkit::captures;
use testkit::process::eventually;
use wire::internal as i;
use wire::v1;

use crate::agent_fixture::*;
use crate::executor_contained::{Contained, Relay};
use crate::instance::Instance;

const AGENT: &str = "127.0.0.2:5051";

fn decode<T: wire::Described>(body: &[u8]) -> T {
    wire::check::decode::<T>(body, &wire::Limits::default()).expect("well-formed").0
}

/// A registered agent with a master made by hand that asks for no proof.
fn registered(id: &str, flags: &[&str]) -> Story {
    let mut story = Story::begin(flags);
    story.authenticates();
    story.registers(id);
    story
}

/// Has a framework's executor started, as a recorded or made-up message asks.
fn launches(story: &mut Story, mut run: i::RunTaskMessage, relay: Relay) -> Contained {
    run.resource_version_uuids.clear();
    run.task.agent_id = v1::AgentId { value: "M-S0".into() };
    let executor = run.task.executor.as_mut().expect("an executor of its own");
    executor.command =
        Some(v1::CommandInfo { value: Some(relay.command()), user: None, ..Default::default() });
    run.framework.user = String::new();
    let pid = story.pid.clone();
    story.says("master", &pid, "RunTaskMessage", &run);
    relay.runs()
}

/// The executor's side of the recordings, from inside the container: what the agent tells it, and
/// what it makes of the executor's updates.
fn recorded_executor(name: &str) {
    let Some(story) = captures::story(name) else { return };
    let Some(relay) = Relay::prepare() else { return };
    let mut ours = registered("M-S0", &[]);
    let pid = ours.pid.clone();
    let listens = story
        .iter()
        .filter(|r| r.kind == captures::Kind::Message)
        .find(|r| r.actor_and_name().1.ends_with(".ExecutorRegisteredMessage"))
        .expect("recorded")
        .to
        .clone();
    let expected: i::ExecutorRegisteredMessage =
        decode(&recorded(&story, &listens, "ExecutorRegisteredMessage")[0]);
    let mut runs: Vec<i::RunTaskMessage> =
        recorded(&story, AGENT, "RunTaskMessage").iter().map(|body| decode(body)).collect();
    // A command task is run by our own executor here: the recorded one plays a framework's.
    if runs[0].task.command.take().is_some() {
        runs[0].task.executor = Some(expected.executor_info.clone());
    }
    let mut executor = launches(&mut ours, runs[0].clone(), relay);
    for name in ["MESOS_SLAVE_PID", "MESOS_SLAVE_ID", "MESOS_FRAMEWORK_ID", "MESOS_EXECUTOR_ID"] {
        assert!(executor.environment.contains_key(name), "{name}");
    }
    assert_eq!(executor.environment["MESOS_SLAVE_PID"], pid.to_string());

    // The recorded registration, literally: it carries nothing but ids.
    let register = recorded(&story, AGENT, "RegisterExecutorMessage").remove(0);
    executor.sends(&pid, "RegisterExecutorMessage", &register);
    let told: i::ExecutorRegisteredMessage = read(&executor.hears("ExecutorRegisteredMessage"));
    assert_eq!(told.framework_id, expected.framework_id);
    assert_eq!(told.executor_info.executor_id, expected.executor_info.executor_id);
    assert_eq!(told.executor_info.framework_id, expected.executor_info.framework_id);
    assert_eq!(told.executor_info.resources, expected.executor_info.resources);
    assert_eq!(told.slave_id.value, "M-S0");
    assert_eq!(told.slave_info.id, Some(told.slave_id.clone()));
    let without_user = |info: v1::FrameworkInfo| v1::FrameworkInfo { user: String::new(), ..info };
    assert_eq!(without_user(told.framework_info), without_user(expected.framework_info));

    let told: i::RunTaskMessage = read(&executor.hears("RunTaskMessage"));
    let expected: i::RunTaskMessage = decode(&recorded(&story, &listens, "RunTaskMessage")[0]);
    assert_eq!(told.pid, expected.pid);
    assert_eq!(told.launch_executor, expected.launch_executor);
    assert_eq!(told.resource_version_uuids, expected.resource_version_uuids);
    assert_eq!(told.task.task_id, expected.task.task_id);
    assert_eq!(told.task.name, expected.task.name);
    assert_eq!(told.task.data, expected.task.data);
    assert_eq!(told.task.resources, expected.task.resources);

    // What it reported about this task, literally; the driver puts the uuid beside the status.
    let updates: Vec<Vec<u8>> = recorded(&story, AGENT, "StatusUpdateMessage")
        .into_iter()
        .filter(|body| {
            let message: i::StatusUpdateMessage = decode(body);
            message.update.status.task_id == told.task.task_id
        })
        .collect();
    assert!(updates.len() > 1, "a beginning and an end");
    for body in updates {
        let sent: i::StatusUpdateMessage = decode(&body);
        executor.sends(&pid, "StatusUpdateMessage", &body);
        let acknowledged: i::StatusUpdateAcknowledgementMessage =
            read(&executor.hears("StatusUpdateAcknowledgementMessage"));
        assert_eq!(Some(&acknowledged.uuid), sent.update.uuid.as_ref());
        assert_eq!(acknowledged.task_id, sent.update.status.task_id);
        let forwarded: i::StatusUpdateMessage = ours.receives("StatusUpdateMessage").1;
        assert_eq!(forwarded.update.uuid, sent.update.uuid);
        assert_eq!(forwarded.update.status.state, sent.update.status.state);
        assert_eq!(forwarded.update.executor_id, sent.update.executor_id);
        assert_eq!(forwarded.pid, Some(pid.to_string()));
        let acknowledgement = i::StatusUpdateAcknowledgementMessage {
            slave_id: v1::AgentId { value: "M-S0".into() },
            framework_id: forwarded.update.framework_id,
            task_id: forwarded.update.status.task_id,
            uuid: acknowledged.uuid,
        };
        ours.says("master", &pid, "StatusUpdateAcknowledgementMessage", &acknowledgement);
    }
    let shutdown = i::ShutdownFrameworkMessage { framework_id: told.framework.id.unwrap() };
    ours.says("master", &pid, "ShutdownFrameworkMessage", &shutdown);
    assert!(executor.hears("ShutdownExecutorMessage").body.is_empty(), "as recorded");
}

#[test]
fn authn_capture_01_the_recorded_v0_executor_works_with_our_agent() {
    recorded_executor("01-register-and-execute");
}

#[test]
fn authn_capture_02_the_recorded_v0_executor_works_with_our_agent() {
    recorded_executor("02-v0-scheduler-and-executor");
}

#[test]
fn authn_capture_03_the_recorded_v0_executor_works_with_our_agent() {
    recorded_executor("03-cram-md5");
}

#[expect(deprecated, reason = "the message still has the field")]
fn custom(task: &str, executor: &str) -> i::RunTaskMessage {
    let mut run = crate::agent_master::long_task(task, std::path::Path::new("/dev/null"));
    run.framework_id = None;
    run.task.command = None;
    run.task.executor = Some(v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: executor.into() },
        ..Default::default()
    });
    run
}

fn register(executor: &str) -> Vec<u8> {
    wire::encode(&i::RegisterExecutorMessage {
        framework_id: v1::FrameworkId { value: "M-0000".into() },
        executor_id: v1::ExecutorId { value: executor.into() },
    })
}

fn finished(executor: &str, task: &str) -> Vec<u8> {
    let uuid = bytes::Bytes::from_static(&[5; 16]);
    wire::encode(&i::StatusUpdateMessage {
        update: i::StatusUpdate {
            framework_id: v1::FrameworkId { value: "M-0000".into() },
            executor_id: Some(v1::ExecutorId { value: executor.into() }),
            slave_id: None,
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: task.into() },
                state: v1::TaskState::TaskFinished.into(),
                uuid: Some(uuid.clone()),
                ..Default::default()
            },
            timestamp: 0.0,
            uuid: Some(uuid),
            latest_state: None,
        },
        pid: None,
    })
}

/// B4 over real sockets: a stranger on the machine, and an executor, speak for an executor that is
/// not theirs.
#[test]
fn attack_b4_only_a_process_of_the_container_speaks_for_its_executor() {
    let (Some(mine), Some(theirs)) = (Relay::prepare(), Relay::prepare()) else { return };
    let mut ours = registered("M-S0", &[]);
    let agent = ours.pid.clone();
    let mut mine = launches(&mut ours, custom("my-task", "mine"), mine);
    let mut theirs = launches(&mut ours, custom("their-task", "theirs"), theirs);
    let strangers = |ours: &Story| ours.metric("alcazar/executors_not_in_their_container");

    // A stranger registers before the executor does, and reports.
    let mut stranger = Instance::listen();
    stranger.send(
        "executor(1)",
        &agent,
        "mesos.internal.RegisterExecutorMessage",
        &register("theirs"),
    );
    stranger.send(
        "executor(1)",
        &agent,
        "mesos.internal.StatusUpdateMessage",
        &finished("theirs", "their-task"),
    );
    eventually("both dropped", || (strangers(&ours) >= 2.0).then_some(()));
    // Another executor does.
    mine.sends(&agent, "RegisterExecutorMessage", &register("theirs"));
    mine.sends(&agent, "StatusUpdateMessage", &finished("theirs", "their-task"));
    eventually("both dropped", || (strangers(&ours) >= 4.0).then_some(()));
    // A process of the container names a port that is not its own: what the agent would say to its
    // executor must not go there.
    let elsewhere = stranger.actor("executor(1)");
    theirs.sends_as(&elsewhere, &agent, "RegisterExecutorMessage", &register("theirs"));
    eventually("dropped", || (strangers(&ours) >= 5.0).then_some(()));
    assert_eq!(ours.metric("slave/executors_registering"), 2.0);

    // The real ones are heard, and each for its own tasks only.
    theirs.sends(&agent, "RegisterExecutorMessage", &register("theirs"));
    theirs.hears("ExecutorRegisteredMessage");
    theirs.hears("RunTaskMessage");
    mine.sends(&agent, "RegisterExecutorMessage", &register("mine"));
    mine.hears("ExecutorRegisteredMessage");
    mine.hears("RunTaskMessage");
    let invalid = ours.metric("slave/invalid_status_updates");
    mine.sends(&agent, "StatusUpdateMessage", &finished("mine", "their-task"));
    eventually("refused", || (ours.metric("slave/invalid_status_updates") > invalid).then_some(()));
    // A stranger at the address from which it registered.
    stranger.send(
        "executor(1)",
        &agent,
        "mesos.internal.StatusUpdateMessage",
        &finished("theirs", "their-task"),
    );
    eventually("dropped", || (strangers(&ours) >= 6.0).then_some(()));
    theirs.sends(&agent, "StatusUpdateMessage", &finished("theirs", "their-task"));
    theirs.hears("StatusUpdateAcknowledgementMessage");
    let update: i::StatusUpdateMessage = ours.receives("StatusUpdateMessage").1;
    assert_eq!(update.update.status.task_id.value, "their-task");
}

/// B5, at our own executor: it takes messages from nobody, since it listens nowhere. What it
/// obeys comes on the connection that it opened to its agent.
#[test]
fn attack_b5_our_executor_listens_nowhere() {
    let mut ours = registered("M-S0", &[]);
    let pid = ours.pid.clone();
    let mark = ours.agent.directory.path().join("task.pid");
    ours.says("master", &pid, "RunTaskMessage", &crate::agent_master::long_task("t", &mark));
    let update: i::StatusUpdateMessage = ours.receives("StatusUpdateMessage").1;
    let first = update.update.status.container_status.unwrap().executor_pid.unwrap();
    let first = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    let mut inodes = std::collections::BTreeSet::new();
    for process in launch::tree::descendants(first).unwrap() {
        let directory = format!("/proc/{}/fd", process.pid.as_raw_nonzero());
        for descriptor in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
            if let Some(inode) = target.to_str().and_then(|t| t.strip_prefix("socket:[")) {
                inodes.insert(inode.trim_end_matches(']').to_owned());
            }
        }
    }
    assert!(!inodes.is_empty(), "its connections to the agent are seen");
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            assert!(fields[3] != "0A" || !inodes.contains(fields[9]), "it listens: {line}");
        }
    }
}
