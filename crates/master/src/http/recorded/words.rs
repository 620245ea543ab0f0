//! What is wrong with a call.

use super::*;

/// A request with a body of a type.
fn post(path: &str, content_type: &str, body: &[u8]) -> Message {
    Message {
        first_line: format!("POST {path} HTTP/1.1"),
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: body.to_vec(),
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_told_in_the_originals_words() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let site = Site::new(master(&all), table(), Posture::danger_plaintext());
    let json = "application/json";
    let subscribe = |more: &str| {
        format!(
            r#"{{"type":"SUBSCRIBE"{more},"subscribe":{{"framework_info":{{"user":"u","name":"n"}}}}}}"#
        )
    };
    let other_id = subscribe(r#","framework_id":{"value":"x"}"#);
    let deep = format!("{{\"type\":{}", "[".repeat(100_000));
    let cases: [(&str, &str, &[u8], u16, &str); 16] = [
        (
            "/api/v1",
            json,
            b"{}",
            400,
            "Failed to validate master::Call: Expecting 'type' to be present",
        ),
        (
            "/api/v1",
            json,
            b"[]",
            400,
            "Failed to convert JSON into Call protobuf: Expecting a JSON object",
        ),
        ("/api/v1", json, b"{\"type\":\"UNKNOWN\"}", 501, "501 Not Implemented."),
        (
            "/api/v1",
            json,
            b"{\"type\":\"SET_QUOTA\"}",
            400,
            "Failed to validate master::Call: Expecting 'set_quota' to be present",
        ),
        (
            "/api/v1",
            json,
            b"{\"type\":\"READ_FILE\"}",
            400,
            "Failed to validate master::Call: Expecting 'read_file' to be present",
        ),
        (
            "/api/v1",
            json,
            b"{\"type\":\"LIST_FILES\",\"list_files\":{\"path\":\"/master/log\"}}",
            404,
            "",
        ),
        (
            "/api/v1",
            "application/x-protobuf",
            b"\xff\xff",
            400,
            "Failed to parse body into Call protobuf",
        ),
        // A number that the enum does not have is no type.
        (
            "/api/v1",
            "application/x-protobuf",
            b"\x08\x7f",
            400,
            "Failed to validate master::Call: Expecting 'type' to be present",
        ),
        (
            "/api/v1",
            "application/json; charset=utf-8",
            b"{}",
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        ),
        (
            "/api/v1/scheduler",
            json,
            b"{\"type\":\"NOPE\"}",
            400,
            "Failed to validate scheduler::Call: Expecting 'type' to be present",
        ),
        (
            "/api/v1/scheduler",
            json,
            other_id.as_bytes(),
            400,
            "Failed to validate scheduler::Call: 'framework_id' differs from 'subscribe.framework_info.id'",
        ),
        (
            "/api/v1/scheduler",
            json,
            b"{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{\"user\":\"u\"}}}",
            400,
            "Failed to convert JSON into Call protobuf: Missing required fields: subscribe.framework_info.name",
        ),
        ("/api/v1/scheduler", json, deep.as_bytes(), 400, "Failed to parse body into JSON: "),
        (
            "/teardown",
            "application/x-www-form-urlencoded",
            b"x=1",
            400,
            "Missing 'frameworkId' query parameter in the request body",
        ),
        ("/machine/down", json, b"[]", 400, "List of machines is empty"),
        ("/tasks?limit=-1", json, b"", 400, "Failed to parse limit: '-1' is negative"),
    ];
    for (path, content_type, body, status, text) in cases {
        let got = ask(&site, &post(path, content_type, body)).await;
        let shown = String::from_utf8_lossy(&got.body);
        assert_eq!(got.status, status, "{path}: {shown}");
        assert!(shown.starts_with(text), "{path}: {shown}");
        assert_eq!(shown.is_empty(), text.is_empty(), "{path}");
        assert_eq!(got.headers["content-type"], "text/plain; charset=utf-8");
    }
    let mut with_stream = post("/api/v1/scheduler", json, subscribe("").as_bytes());
    with_stream.headers.push(("mesos-stream-id".to_owned(), "x".to_owned()));
    let got = ask(&site, &with_stream).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.body, "Subscribe calls should not include the 'Mesos-Stream-Id' header");
    let missing = Message { headers: Vec::new(), ..post("/api/v1", json, b"{}") };
    assert_eq!(ask(&site, &missing).await.body, "Expecting 'Content-Type' to be present");
}
