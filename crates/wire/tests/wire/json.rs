//! What JSON is accepted, what is printed, and in which words something is refused.

use alcazar_wire::json::{self, JsonError, Names, Style};
use alcazar_wire::protocol::mesos::AcLs;
use alcazar_wire::{Described, Limits, internal, v1};

fn read<T: Described>(text: &str) -> Result<T, JsonError> {
    json::read(text.as_bytes(), Names::V1, &Limits::default())
}

fn refused<T: Described + std::fmt::Debug>(text: &str) -> String {
    read::<T>(text).expect_err(text).body_text()
}

fn print<T: Described>(message: &T, style: Style) -> String {
    let mut out = Vec::new();
    json::write(message, style, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_not_json() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deeper = format!("{}1{}", "[".repeat(201), "]".repeat(201));
    for (text, near) in [
        ("", "1 near: "),
        ("{", "1 near: "),
        ("{\n", "1 near: "),
        ("hello", "1 near: hello"),
        ("nul", "1 near: "),
        ("nuxl", "1 near: xl"),
        ("{\"a\" 1}", "1 near: 1}"),
        ("{\"a\":1,}", "1 near: }"),
        ("{a:1}", "1 near: a:1}"),
        ("[1,]", "1 near: ]"),
        ("[1 2]", "1 near: 2]"),
        ("{\n\"a\":\n  x y\nz}", "3 near: x y"),
        ("{\"a\":\"\\x\"}", "1 near: \"}"),
        ("{\"a\":\"\\ud800x\"}", "1 near: x\"}"),
        ("{\"a\":\"\\udc00\"}", "1 near: \"}"),
        ("{\"a\":\"\u{1}b\"}", "1 near: b\"}"),
        ("1-1", "1 near: "),
        ("-", "1 near: "),
        ("+1", "1 near: +1"),
        ("NaN", "1 near: NaN"),
        (deeper.as_str(), &format!("1 near: 1{}", "]".repeat(201))),
    ] {
        assert_eq!(
            refused::<v1::master::Call>(text),
            format!("Failed to parse body into JSON: syntax error at line {near}"),
            "{text}"
        );
    }
    for (text, rest) in [("{}x", "x"), ("{} \n ] [ \n", " \n ] ["), ("{}{}", "{}"), ("{}\0", "\0")]
    {
        assert_eq!(
            refused::<v1::master::Call>(text),
            format!(
                "Failed to parse body into JSON: \
                 Parsed JSON included non-whitespace trailing characters: {rest}"
            )
        );
    }
    assert_eq!(
        refused::<v1::master::Call>(&deep),
        "Failed to convert JSON into Call protobuf: Expecting a JSON object"
    );
    assert_eq!(read::<v1::master::Call>(" \t\r\n{} \t\r\n").unwrap(), Default::default());
}

#[test]
fn an_error_repeats_only_so_much() {
    let long = "x".repeat(100_000);
    assert!(refused::<v1::TaskId>(&long).len() < 2000);
    assert!(refused::<v1::TaskId>(&format!("{{}}{long}")).len() < 2000);
    let number = refused::<v1::TaskInfo>(&format!("{{\"max_completion_time\":\"{long}\"}}"));
    assert!(number.len() < 2000);
    let port = refused::<v1::Address>(&format!("{{\"port\":\"{long}\"}}"));
    assert!(port.len() < 4000, "{}", port.len());
    assert!(refused::<v1::Address>(&format!("{{\"port\":{}}}", "1".repeat(100_000))).len() < 4000);
}

#[test]
fn json_of_the_wrong_shape() {
    for (text, reason) in [
        ("[]", "Expecting a JSON object"),
        ("1", "Expecting a JSON object"),
        ("null", "Expecting a JSON object"),
        (r#"{"name":{}}"#, "Not expecting a JSON object for field 'name'"),
        (r#"{"name":1}"#, "Not expecting a JSON number for field 'name'"),
        (r#"{"name":true}"#, "Not expecting a JSON boolean for field 'name'"),
        (r#"{"name":["a"]}"#, "Not expecting a JSON array for field 'name'"),
        (r#"{"task_id":"a"}"#, "Not expecting a JSON string for field 'task_id'"),
        (
            r#"{"max_completion_time":"10mins"}"#,
            "Not expecting a JSON string for field 'max_completion_time'",
        ),
        (r#"{"limits":"a"}"#, "Not expecting a JSON string for field 'limits'"),
        (r#"{"resources":[{"type":1}]}"#, "Not expecting a JSON number for field 'type'"),
        (r#"{"resources":[{"type":"NOPE"}]}"#, "Failed to find enum for 'NOPE'"),
        (
            r#"{"data":"*"}"#,
            "Failed to base64 decode bytes field 'data': Invalid symbol 42, offset 0.",
        ),
        (
            r#"{"command":{"shell":"maybe"}}"#,
            "Failed to parse 'maybe' as a JSON boolean for field 'shell': \
             syntax error at line 1 near: maybe",
        ),
        (
            r#"{"command":{"shell":"1"}}"#,
            "Failed to parse '1' as a JSON boolean for field 'shell': Unexpected JSON type parsed",
        ),
        // The first error in the order of keys, whatever the order in the text.
        (r#"{"name":1,"data":1}"#, "Not expecting a JSON number for field 'data'"),
        (r#"{"name":"a"}"#, "Missing required fields: task_id, agent_id"),
        (
            r#"{"name":"a","task_id":{},"agent_id":{"value":"a"},"resources":[{"type":"SCALAR"}]}"#,
            "Missing required fields: task_id.value, resources[0].name",
        ),
    ] {
        assert_eq!(
            refused::<v1::TaskInfo>(text),
            format!("Failed to convert JSON into Call protobuf: {reason}"),
            "{text}"
        );
    }
    let names = json::read::<v1::TaskInfo>(br#"{"name":"a"}"#, Names::V0, &Limits::default());
    assert_eq!(names.unwrap_err().to_string(), "Missing required fields: task_id, slave_id");
    let subscribe = read::<v1::scheduler::Call>(r#"{"subscribe":{"framework_info":{"name":"x"}}}"#);
    assert_eq!(
        subscribe.unwrap_err().to_string(),
        "Missing required fields: subscribe.framework_info.user"
    );
}

#[test]
fn what_is_accepted() {
    let task: v1::TaskInfo = read(
        r#"{
            "no_such_key": [{"deep": null}], "executor": null, "container": null,
            "name": "a", "name": "\u00e9\ud83d\ude00\n\/\"",
            "task_id": {"value": "first"}, "task_id": {"value": "last"},
            "agent_id": {"value": "s"},
            "resources": {"name": "cpus", "type": "SCALAR", "scalar": {"value": "0.5"}},
            "command": {"shell": "false", "arguments": "one"},
            "data": "aGk=",
            "kill_policy": {"grace_period": {"nanoseconds": "-7"}},
            "limits": {"mem": {"value": "Infinity"}, "cpus": {"value": 2}}
        }"#,
    )
    .unwrap();
    assert_eq!(task.name, "é😀\n/\"");
    assert_eq!(task.task_id.value, "last");
    assert_eq!(task.resources.len(), 1);
    assert_eq!(task.resources[0].scalar.as_ref().unwrap().value, 0.5);
    let command = task.command.as_ref().unwrap();
    assert_eq!(
        (command.shell, command.arguments.as_slice()),
        (Some(false), &["one".to_owned()][..])
    );
    assert_eq!(task.data.as_deref(), Some(&b"hi"[..]));
    let period = task.kill_policy.as_ref().unwrap().grace_period.as_ref().unwrap();
    assert_eq!(period.nanoseconds, -7);
    assert_eq!(task.limits["mem"].value, f64::INFINITY);
    assert_eq!(task.limits["cpus"].value, 2.0);

    // Duplicate lists do not add up either, nested arrays are one, nulls inside are nothing.
    let roles: v1::FrameworkInfo =
        read(r#"{"name":"n","user":"u","roles":["x"],"roles":["a",["b",null]]}"#).unwrap();
    assert_eq!(roles.roles, ["a", "b"]);
    // An enum that is not required and not known is unset.
    assert_eq!(read::<v1::master::Call>(r#"{"type":"NOPE"}"#).unwrap().r#type, None);
    // Numbers are cut to whole ones, within the range of the field.
    let read_file = |text: &str| read::<v1::master::call::ReadFile>(text);
    assert_eq!(read_file(r#"{"path":"p","offset":1.9}"#).unwrap().offset, 1);
    let most = read_file(r#"{"path":"p","offset":18446744073709551615}"#).unwrap();
    assert_eq!(most.offset, u64::MAX);
    for number in ["-1", "18446744073709551616", "1e999", "\"-1\""] {
        let error = read_file(&format!(r#"{{"path":"p","offset":{number}}}"#)).unwrap_err();
        assert!(error.to_string().ends_with("for field 'offset': out of range"), "{error}");
    }
    // Bytes in a key or a string need not be UTF-8.
    let odd = json::read::<v1::TaskId>(
        b"{\"\xff\":1,\"value\":\"a\xffb\"}",
        Names::V1,
        &Limits::default(),
    );
    assert_eq!(odd.unwrap().value, "a?b");
}

#[test]
fn names_of_both_families() {
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t".to_owned() },
        state: v1::TaskState::TaskLost.into(),
        agent_id: Some(v1::AgentId { value: "s".to_owned() }),
        reason: Some(v1::task_status::Reason::AgentRemoved.into()),
        source: Some(v1::task_status::Source::Agent.into()),
        ..Default::default()
    };
    let v1 = r#"{"task_id":{"value":"t"},"state":"TASK_LOST","source":"SOURCE_AGENT","reason":"REASON_AGENT_REMOVED","agent_id":{"value":"s"}}"#;
    let v0 = r#"{"task_id":{"value":"t"},"state":"TASK_LOST","source":"SOURCE_SLAVE","reason":"REASON_SLAVE_REMOVED","slave_id":{"value":"s"}}"#;
    assert_eq!(print(&status, Style::V1), v1);
    assert_eq!(print(&status, Style::V0), v0);
    assert_eq!(read::<v1::TaskStatus>(v1).unwrap(), status);
    let old = json::read::<v1::TaskStatus>(v0.as_bytes(), Names::V0, &Limits::default());
    assert_eq!(old.unwrap(), status);
    // The other family's key is an unknown one, and the other family's value unknown.
    let mixed: v1::TaskStatus = read(v0).unwrap();
    assert_eq!((mixed.agent_id, mixed.reason), (None, None));
}

#[test]
fn explicit_defaults_are_printed() {
    let agent = v1::AgentInfo { hostname: "h".to_owned(), ..Default::default() };
    assert_eq!(print(&agent, Style::V1), r#"{"hostname":"h","port":5051}"#);
    assert_eq!(print(&agent, Style::V0), r#"{"hostname":"h","port":5051,"checkpoint":false}"#);
    assert_eq!(print(&agent, Style::MASTER_READ), print(&agent, Style::V0));
    for (text, expected) in [
        (
            print(
                &v1::FrameworkInfo {
                    user: "u".to_owned(),
                    name: "n".to_owned(),
                    ..Default::default()
                },
                Style::V1,
            ),
            r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#,
        ),
        (
            print(&v1::HealthCheck::default(), Style::V1),
            r#"{"delay_seconds":15.0,"interval_seconds":10.0,"timeout_seconds":20.0,"consecutive_failures":3,"grace_period_seconds":10.0}"#,
        ),
        (print(&v1::Filters::default(), Style::V1), r#"{"refuse_seconds":5.0}"#),
        (print(&v1::DrainConfig::default(), Style::V1), r#"{"mark_gone":false}"#),
        (print(&v1::LinuxInfo::default(), Style::V1), r#"{"share_cgroups":true}"#),
        (print(&v1::CommandInfo::default(), Style::V1), r#"{"shell":true}"#),
        (
            print(
                &v1::environment::Variable { name: "n".to_owned(), ..Default::default() },
                Style::V1,
            ),
            r#"{"name":"n","type":"VALUE"}"#,
        ),
        (
            print(&v1::Resource { name: "r".to_owned(), ..Default::default() }, Style::V1),
            r#"{"name":"r","type":"SCALAR"}"#,
        ),
        (
            print(&internal::registry::Slave::default(), Style::V0),
            r#"{"info":{"hostname":"","port":5051,"checkpoint":false},"deactivated":false}"#,
        ),
        (
            print(
                &v1::container_info::DockerInfo { image: "i".to_owned(), ..Default::default() },
                Style::V1,
            ),
            r#"{"image":"i","network":"HOST","privileged":false}"#,
        ),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn durations_are_objects() {
    let call = r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"a"},"max_grace_period":{"seconds":10,"nanos":5},"mark_gone":true}}"#;
    let read: v1::master::Call = read(call).unwrap();
    let period = read.drain_agent.as_ref().unwrap().max_grace_period.unwrap();
    assert_eq!((period.seconds, period.nanos), (10, 5));
    assert_eq!(print(&read, Style::V1), call);
}

#[test]
fn a_list_and_access_rules() {
    let weights: Vec<v1::WeightInfo> = json::read_list(
        br#"[{"role":"a","weight":1},{"role":"b","weight":2.5}]"#,
        Names::V1,
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(weights[1].weight, 2.5);
    let refused =
        json::read_list::<v1::WeightInfo>(b"[{\"weight\":1},2]", Names::V1, &Limits::default());
    assert_eq!(refused.unwrap_err().to_string(), "Expecting a JSON object");
    let acls: AcLs = read(
        r#"{"permissive":false,"run_tasks":[{"principals":{"type":"ANY"},"users":{"values":["bob"]}}]}"#,
    )
    .unwrap();
    assert_eq!(acls.run_tasks[0].users.values, ["bob"]);
}

#[test]
fn lists_that_are_printed_even_when_empty() {
    let tasks = v1::master::response::GetTasks::default();
    assert_eq!(print(&tasks, Style::V1), "{}");
    assert_eq!(
        print(&tasks, Style::MASTER_READ),
        r#"{"tasks":[],"unreachable_tasks":[],"completed_tasks":[]}"#
    );
    let tasks = v1::agent::response::GetTasks::default();
    assert_eq!(
        print(&tasks, Style::AGENT_READ),
        r#"{"pending_tasks":[],"queued_tasks":[],"launched_tasks":[],"terminated_tasks":[],"completed_tasks":[]}"#
    );
}

#[test]
fn a_map_value_that_equals_the_default_is_sent_and_printed() {
    let quota = v1::quota::QuotaConfig {
        role: "r".to_owned(),
        limits: [("cpus".to_owned(), v1::value::Scalar { value: 0.0 })].into(),
        ..Default::default()
    };
    assert_eq!(print(&quota, Style::V1), r#"{"role":"r","limits":{"cpus":{"value":0.0}}}"#);
    let call = v1::master::Call {
        update_quota: Some(v1::master::call::UpdateQuota {
            quota_configs: vec![quota],
            ..Default::default()
        }),
        ..Default::default()
    };
    let bytes = alcazar_wire::encode(&call);
    assert_eq!(
        bytes,
        b"\xa2\x01\x18\x12\x16\x0a\x01r\x1a\x11\x0a\x04cpus\x12\x09\x09\0\0\0\0\0\0\0\0"
    );
    let decode = |bytes| alcazar_wire::check::decode::<v1::master::Call>(bytes, &Limits::default());
    assert_eq!(decode(&bytes).unwrap().0, call);
    // What prost alone would send is refused, as by the original.
    #[expect(clippy::disallowed_methods, reason = "to show what is wrong with it")]
    let bare = prost::Message::encode_to_vec(&call);
    assert_eq!(
        decode(&bare).unwrap_err().to_string(),
        "Missing required fields: update_quota.quota_configs[0].limits[0].value.value"
    );
}

#[test]
fn kept_bytes_become_json_without_being_decoded() {
    // A singular message twice: the merger of both.
    let bytes = b"\x0a\x05\x0a\x03one\x0a\x05\x0a\x03two\x10\x06";
    let mut out = b"[".to_vec();
    json::transcode(v1::TaskStatus::DESCRIPTOR, bytes, Style::V1, &mut out).unwrap();
    assert_eq!(out, br#"[{"task_id":{"value":"two"},"state":"TASK_STAGING"}"#);
    let before = out.clone();
    json::transcode(v1::TaskStatus::DESCRIPTOR, &bytes[..9], Style::V1, &mut out).unwrap_err();
    assert_eq!(out, before);
}

#[test]
fn by_hand() {
    let mut out = Vec::new();
    let extra: std::collections::BTreeMap<_, _> = [("b", 2_u64), ("a", 1)].into();
    json::object(&mut out, |o| {
        o.field("s", "x\"").optional("none", None::<&str>).optional("some", Some(1_i32));
        o.object("o", |o| {
            o.members(&v1::TaskId { value: "t".to_owned() }, Style::V0).field("more", true);
        });
        o.array("a", |a| {
            a.push(1.5).object(|o| {
                o.field("k", &extra);
            });
            a.array(|a| {
                a.push(json::Raw(b"null"));
            });
        });
        o.field("v", vec![1_usize, 2]);
    });
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"s":"x\"","some":1,"o":{"value":"t","more":true},"a":[1.5,{"k":{"a":1,"b":2}},[null]],"v":[1,2]}"#
    );
}

#[test]
fn thousands_of_levels_are_an_error_and_nothing_worse() {
    for (open, close) in [("[", "]"), ("{\"parent\":", "}"), ("{\"a\":[", "]}")] {
        let text = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(refused::<v1::ContainerId>(&text).starts_with("Failed to parse body into JSON: "));
    }
    let nested = |levels: usize| {
        format!(
            "{}{{\"value\":\"\"}}{}",
            "{\"value\":\"\",\"parent\":".repeat(levels),
            "}".repeat(levels)
        )
    };
    assert!(read::<v1::ContainerId>(&nested(99)).is_ok());
    assert!(read::<v1::ContainerId>(&nested(100)).is_ok());
    assert!(matches!(read::<v1::ContainerId>(&nested(101)), Err(JsonError::Message(_))));
    assert!(matches!(read::<v1::ContainerId>(&nested(200)), Err(JsonError::Syntax { .. })));
    let small = Limits { max_bytes: 10, ..Limits::default() };
    let large = json::read::<v1::TaskId>(b"{\"value\":\"\"}", Names::V1, &small);
    assert!(matches!(large, Err(JsonError::TooLarge { size: 12, limit: 10 })));
    let few = Limits { max_decoded: 1600, ..Limits::default() };
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(200));
    let wide = json::read::<v1::TaskId>(wide.as_bytes(), Names::V1, &few);
    assert!(matches!(wide, Err(JsonError::TooMany { limit: 100 })), "{wide:?}");
}
