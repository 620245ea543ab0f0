//! Who reaches what.

use std::collections::BTreeSet;

use endpoints::access::Posture;
use endpoints::route::Methods;

use super::executors::{A, served};
use super::fixture::{Asked, JSON};
use crate::engine::event::Event;
use crate::http::table;

const OPERATOR: &str = "spiffe://test/operator/o";

#[test]
fn every_route_has_a_realm_and_an_action_and_strangers_reach_one() {
    let table = table();
    for route in &table.routes {
        println!("{:<32} {:<24} {}", route.path, route.realm.name(), route.action.name());
        assert!(route.realm.name().starts_with("mesos-agent-"), "{}", route.path);
    }
    let open: Vec<_> = table.routes.iter().filter(|r| table.is_unauthenticated(r)).collect();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].path, "/slave(1)/api/v1/executor");
    assert_eq!(open[0].realm.name(), "mesos-agent-executor");
    assert_eq!(table.unauthenticated.len(), 1, "a route that does not exist is open");
    let paths: BTreeSet<_> = table.routes.iter().map(|r| r.path).collect();
    assert_eq!(paths.len(), table.routes.len(), "a path is listed twice");
    for path in ["/version", "/slave(1)/health", "/slave(1)/state", "/files/read"] {
        assert!(paths.contains(path), "{path}");
    }
}

#[tokio::test]
async fn no_route_answers_a_stranger_or_reads_what_it_sends() {
    let mut served = served(Posture::identities());
    for route in table().routes {
        for method in ["GET", "POST", "DELETE"] {
            let asked = Asked { method, ..Asked::call(route.path, "{}") };
            let got = served.ask(&asked).await;
            assert_eq!(got.status, 401, "{method} {}", route.path);
            assert!(!got.body_read, "{method} {}", route.path);
            let challenge = got.header("www-authenticate").unwrap();
            assert!(challenge.contains(route.realm.name()), "{challenge}");
        }
    }
    // Nor does it say which paths exist.
    assert_eq!(served.ask(&Asked::new("GET", "/no-such")).await.status, 401);
}

#[tokio::test]
async fn a_token_opens_the_executor_api_alone() {
    let mut served = served(Posture::identities());
    for route in table().routes {
        let method = if matches!(route.methods, Methods::Any) { "GET" } else { "POST" };
        let got = served.ask(&Asked { method, ..Asked::call(route.path, "{}") }.bearing(A)).await;
        let expected = if route.path.ends_with("/executor") { 400 } else { 401 };
        assert_eq!(got.status, expected, "{}", route.path);
    }
}

#[tokio::test]
async fn operators_read_and_other_components_do_not() {
    let mut served = served(Posture::identities());
    served.recovered();
    let state = Asked::new("GET", "/state");
    for (identity, status) in [
        (OPERATOR, 200),
        ("spiffe://test/master/m", 200),
        ("spiffe://test/agent/other", 403),
        ("spiffe://test/framework/f", 403),
    ] {
        assert_eq!(served.ask(&state.clone().by(identity)).await.status, status, "{identity}");
    }
    // An operator's certificate is no executor's token.
    let call = Asked::call("/api/v1/executor", "{}").by(OPERATOR);
    assert_eq!(served.ask(&call).await.status, 401);
}

#[tokio::test]
async fn while_it_recovers_an_agent_says_so() {
    let mut served = super::executors::recovering(Posture::identities());
    for path in ["/state", "/api/v1", "/api/v1/executor"] {
        let asked = Asked::call(path, "{}").by(OPERATOR).bearing(A);
        let got = served.ask(&asked).await;
        assert_eq!(got.status, 503, "{path}");
        assert!(!got.body_read);
        assert_eq!(got.text().await, "Agent has not finished recovery");
    }
    for path in ["/version", "/health", "/flags", "/metrics/snapshot"] {
        let got = served.ask(&Asked::new("GET", path).by(OPERATOR)).await;
        assert_eq!(got.status, 200, "{path}");
    }
    // Executors are heard before others: recovery waits for them.
    served.handle(Event::ContainersRecovered);
    let got = served.ask(&Asked::call("/api/v1/executor", "{}").bearing(A)).await;
    assert_eq!(got.status, 400);
    let got = served.ask(&Asked::call("/api/v1", "{}").by(OPERATOR)).await;
    assert_eq!(got.status, 503);
}

#[tokio::test]
async fn what_is_wrong_with_an_operators_call_is_told_in_the_originals_words() {
    let mut served = served(Posture::identities());
    served.recovered();
    let validation = "Failed to validate agent::Call: Expecting";
    let cases: [(&str, u16, String); 8] = [
        ("{}", 400, format!("{validation} 'type' to be present")),
        (r#"{"type":"NOPE"}"#, 400, format!("{validation} 'type' to be present")),
        (r#"{"type":"UNKNOWN"}"#, 501, "501 Not Implemented.".into()),
        (r#"{"type":"GET_METRICS"}"#, 400, format!("{validation} 'get_metrics' to be present")),
        (r#"{"type":"READ_FILE"}"#, 400, format!("{validation} 'read_file' to be present")),
        (r#"{"type":"PRUNE_IMAGES"}"#, 501, "PRUNE_IMAGES is not offered by this agent".into()),
        (r#"{"type":"LIST_FILES","list_files":{"path":"/slave/log"}}"#, 404, String::new()),
        ("[]", 400, "Failed to convert JSON into Call protobuf: Expecting a JSON object".into()),
    ];
    for (body, status, text) in cases {
        let got = served.ask(&Asked::call("/api/v1", body).by(OPERATOR)).await;
        assert_eq!(got.status, status, "{body}");
        assert_eq!(got.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(got.text().await, text);
    }
    let got = served.ask(&Asked::new("GET", "/api/v1").by(OPERATOR)).await;
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let typed = Asked::call("/api/v1", "{}").by(OPERATOR).with("content-type", "text/plain");
    assert_eq!(served.ask(&typed).await.status, 415);
    let picky = Asked::call("/api/v1", r#"{"type":"GET_HEALTH"}"#).by(OPERATOR);
    assert_eq!(served.ask(&picky.clone().with("accept", "text/html")).await.status, 406);
    assert_eq!(served.ask(&picky.with("accept", JSON)).await.status, 200);
    let bad = Asked::new("GET", "/containers?executor_id=e").by(OPERATOR);
    assert_eq!(served.ask(&bad).await.status, 400);
}
