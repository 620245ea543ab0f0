//! Tokens of frameworks' executors against a real agent (row A11, `authentication.md` §18).

use std::io::Write as _;
use std::net::TcpStream;

use testkit::process::eventually;
use wire::internal as i;
use wire::v1;
use wire::v1::executor::{Call, call};

use crate::agent_fixture::*;
use crate::executor_contained::{Contained, Relay, head, is_left_anywhere};

const VARIABLE: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";

#[expect(deprecated, reason = "the message still has the field")]
fn run(task: &str, executor: &str, command: String) -> i::RunTaskMessage {
    let mut run = crate::agent_master::long_task(task, std::path::Path::new("/dev/null"));
    run.framework_id = None;
    run.task.command = None;
    run.task.executor = Some(v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: executor.into() },
        command: Some(v1::CommandInfo { value: Some(command), ..Default::default() }),
        ..Default::default()
    });
    run
}

fn launches(story: &mut Story, task: &str, executor: &str, relay: Relay) -> Contained {
    let pid = story.pid.clone();
    let message = run(task, executor, relay.command());
    story.says("master", &pid, "RunTaskMessage", &message);
    relay.runs()
}

fn of_kind(executor: &str, kind: call::Type) -> Call {
    Call {
        executor_id: v1::ExecutorId { value: executor.into() },
        framework_id: v1::FrameworkId { value: "M-0000".into() },
        r#type: Some(kind.into()),
        subscribe: (kind == call::Type::Subscribe).then(call::Subscribe::default),
        message: (kind == call::Type::Message).then(call::Message::default),
        ..Default::default()
    }
}

fn request(story: &Story, token: Option<&str>, call: &Call) -> Vec<u8> {
    let body = wire::encode(call);
    let authorization =
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut request = format!(
        "POST /slave(1)/api/v1/executor HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: \
         application/x-protobuf\r\nAccept: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        story.agent.address,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    request
}

/// The head of the answer to a call that this test makes itself, outside of any container.
fn asks(story: &Story, token: Option<&str>, call: &Call) -> String {
    let mut stream = TcpStream::connect(story.agent.address).expect("the agent listens");
    stream.write_all(&request(story, token, call)).expect("the agent reads");
    head(&mut stream)
}

#[track_caller]
fn is(status: u16, head: &str) {
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{status} was expected: {head}");
}

/// An agent that asks executors for tokens.
fn demanding() -> Story {
    let keys = tempfile::tempdir().expect("a directory").keep();
    let key = private_file(&keys, "key", "a key with a newline at its end\n");
    let key = format!("--jwt_secret_key={}", key.display());
    let flags = [key.as_str(), "--authenticate_http_executors", "--http_authenticators=jwt"];
    let mut story = Story::begin(&flags);
    story.authenticates();
    story.registers("M-S0");
    std::fs::remove_dir_all(keys).expect("ours");
    story
}

/// The attack: tokens where they do not belong, and after their time.
#[test]
fn attack_a11_a_token_is_good_for_its_own_container_and_until_that_ends() {
    let (Some(mine), Some(theirs)) = (Relay::prepare(), Relay::prepare()) else { return };
    let mut story = demanding();
    let mine = launches(&mut story, "my-task", "mine", mine);
    let theirs = launches(&mut story, "their-task", "theirs", theirs);
    let (my_token, their_token) = (&mine.environment[VARIABLE], &theirs.environment[VARIABLE]);
    assert_ne!(my_token, their_token);
    let subscribe = of_kind("mine", call::Type::Subscribe);
    let heartbeat = of_kind("mine", call::Type::Heartbeat);

    for call in [&subscribe, &heartbeat] {
        // No token, in the container and outside; a forged one; another key's.
        let foreign = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                       eyJjaWQiOiJjMSIsImVpZCI6ImUxIiwiZmlkIjoiZjEifQ.\
                       7adF6A3egyLJzf8SmHlfDISazOgOcapG2OoM7L4ej94";
        let unsigned = my_token.rsplit_once('.').expect("a JWT").0.to_owned() + ".";
        for token in [None, Some("x"), Some(foreign), Some(&unsigned)] {
            let answer = asks(&story, token, call);
            is(401, &answer);
            assert!(
                answer.to_ascii_lowercase().contains("bearer realm=\"mesos-agent-executor\""),
                "{answer}"
            );
        }
        is(401, &mine.requests(&request(&story, None, call)));
    }
    // Another executor's token: it is known who that is, and it may not.
    is(403, &asks(&story, Some(their_token), &subscribe));
    // It is who it says, and has not subscribed.
    is(403, &asks(&story, Some(my_token), &of_kind("mine", call::Type::Message)));
    is(202, &asks(&story, Some(my_token), &heartbeat));
    is(200, &mine.requests(&request(&story, Some(my_token), &subscribe)));

    // It is in the environment of that process, and nowhere else.
    let left = is_left_anywhere(my_token, story.agent.directory.path());
    assert_eq!(left, None, "a token was left behind");

    // The container ends, and the token with it.
    let process = rustix::process::Pid::from_raw(i32::try_from(mine.process).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    eventually("the end of the container", || {
        (story.metric("slave/executors_terminated") >= 1.0).then_some(())
    });
    for call in [&subscribe, &heartbeat] {
        is(401, &asks(&story, Some(my_token), call));
    }
    is(202, &asks(&story, Some(their_token), &of_kind("theirs", call::Type::Heartbeat)));
}

/// Where nobody is asked for a token, an executor that has none is known by its connection.
#[test]
fn attack_b4_an_http_executor_without_a_token_is_known_by_its_container() {
    let (Some(mine), Some(theirs)) = (Relay::prepare(), Relay::prepare()) else { return };
    let mut story = Story::begin(&[]);
    story.authenticates();
    story.registers("M-S0");
    let mine = launches(&mut story, "my-task", "mine", mine);
    let theirs = launches(&mut story, "their-task", "theirs", theirs);
    assert!(!mine.environment.contains_key(VARIABLE));
    let subscribe = of_kind("mine", call::Type::Subscribe);
    is(403, &asks(&story, None, &subscribe));
    is(403, &theirs.requests(&request(&story, None, &subscribe)));
    is(400, &mine.requests(&request(&story, None, &of_kind("x", call::Type::Subscribe))));
    is(200, &mine.requests(&request(&story, None, &subscribe)));
    is(202, &asks(&story, None, &of_kind("mine", call::Type::Heartbeat)));
    is(401, &asks(&story, Some("wrong"), &of_kind("mine", call::Type::Heartbeat)));
}
