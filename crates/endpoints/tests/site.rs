//! Requests against a small site: statuses, texts, headers and the order of checks.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use alcazar_endpoints::access::{Action, Posture, Realm};
use alcazar_endpoints::authentication::Authentication;
use alcazar_endpoints::common::{Build, Daemon, Program, routes};
use alcazar_endpoints::files::Files;
use alcazar_endpoints::refusal::Refusal;
use alcazar_endpoints::reply::Reply;
use alcazar_endpoints::route::{Handler, Methods, POST, Route, Table, Unauthenticated};
use alcazar_endpoints::site::{Head, Site};
use alcazar_endpoints::tls::Tls;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use libprocess::sender::PeerFacts;
use model::identity::TrustDomain;
use tls_policy::{Demand, IdentityRules, MaterialPaths, TlsPolicy};
use transport::tls::Security;

struct Host {
    build: Build,
    flags: BTreeMap<String, String>,
    files: Files,
    tls: Arc<Tls>,
    authentication: Authentication,
}

impl Daemon for Host {
    fn build(&self) -> &Build {
        &self.build
    }
    fn flags(&self) -> &BTreeMap<String, String> {
        &self.flags
    }
    fn metrics(&self) -> BTreeMap<String, f64> {
        BTreeMap::from([("master/elected".to_owned(), 1.0), ("bad".to_owned(), f64::NAN)])
    }
    fn files(&self) -> &Files {
        &self.files
    }
    fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }
    fn authentication(&self) -> &Authentication {
        &self.authentication
    }
}

fn site(posture: Posture) -> Site<Host> {
    let host = Host {
        build: Build {
            version: "1.12.0".to_owned(),
            date: "2026-11-22 00:15:28 UTC".to_owned(),
            time: 1795306528.0,
            user: String::new(),
            git_sha: Some("c1b4".to_owned()),
            git_branch: None,
            git_tag: None,
        },
        flags: BTreeMap::from([("port".to_owned(), "5050".to_owned())]),
        files: Files::default(),
        tls: Tls::new(Security::DangerPlaintext, Vec::new()),
        authentication: Authentication::default(),
    };
    let route = |path, methods, handler| Route {
        path,
        methods,
        realm: Realm::MasterReadwrite,
        action: Action::Call,
        handler: Handler::Now(handler),
    };
    let mut all = routes(Program::Master);
    all.push(route("/master/api/v1", POST, |_: &Host, r| {
        Ok(Reply::Text("text/plain", format!("{} bytes", r.body.len())))
    }));
    all.push(route("/master/big", Methods::Any, |_, _| {
        Ok(Reply::Json(format!("\"{}\"", "x".repeat(2000)).into()))
    }));
    all.push(route("/master/token", Methods::Any, |_, r| match r.header("authorization") {
        Some("Bearer right") => Ok(Reply::Accepted),
        _ => Err(Refusal::unauthorized(Realm::AgentExecutor)),
    }));
    let table = Table {
        delegate: "master",
        routes: all,
        unauthenticated: &[Unauthenticated { path: "/master/token", because: "its own proof" }],
        own_proof: |_, r, _| r.header("x-proof").is_some(),
        gate: |_, r, _| match r.header("x-gate") {
            Some(_) => Err(Refusal::unavailable("No leader elected")),
            None => Ok(()),
        },
    };
    Site::new(Arc::new(host), table, posture)
}

const OPERATOR: Option<&str> = Some("spiffe://d/operator/root");

fn peer(identity: Option<&str>) -> PeerFacts {
    PeerFacts {
        vouched_addresses: Vec::new(),
        identity: identity.map(|i| i.parse().unwrap()),
        certified: identity.is_some(),
        encrypted: identity.is_some(),
        ..PeerFacts::plaintext(
            libprocess::sender::ConnectionId(0),
            "127.0.0.1:40000".parse().unwrap(),
        )
    }
}

struct Got {
    head: Response<()>,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|v| v.to_str().unwrap())
    }
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn ask(
    site: &Site<Host>,
    identity: Option<&str>,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Got {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
    let head = Head {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        target: target.to_owned(),
        headers: headers.iter().map(pair).collect(),
        peer: Arc::new(peer(identity)),
    };
    let body = Bytes::copy_from_slice(body);
    let (parts, body) = site.answer(head, async { Ok(body) }).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Got { head: Response::from_parts(parts, ()), body }
}

async fn plain(line: &str, headers: &[(&str, &str)]) -> Got {
    ask(&site(Posture::danger_plaintext()), None, line, headers, b"").await
}

#[tokio::test]
async fn the_common_endpoints_answer_as_recorded() {
    let health = plain("GET /health", &[]).await;
    assert_eq!(health.head.status(), 200);
    assert_eq!(health.header("content-length"), Some("0"));
    assert_eq!(health.header("content-type"), None);
    assert!(health.header("date").unwrap().ends_with("GMT"));

    let version = plain("GET /version", &[]).await;
    assert_eq!(
        version.text(),
        concat!(
            r#"{"build_date":"2026-11-22 00:15:28 UTC","build_time":1795306528.0,"#,
            r#""build_user":"","git_sha":"c1b4","version":"1.12.0"}"#
        )
    );
    assert_eq!(version.header("content-type"), Some("application/json"));
    assert_eq!(plain("GET /master/flags", &[]).await.text(), r#"{"flags":{"port":"5050"}}"#);

    let metrics = plain("GET /metrics/snapshot", &[]).await;
    assert!(metrics.text().contains(r#""master/elected":1.0"#), "{}", metrics.text());
    assert!(metrics.text().contains(r#""system/mem_total_bytes":"#));
    assert!(!metrics.text().contains("bad"));
    let late = plain("GET /metrics/snapshot?timeout=soon", &[]).await;
    assert_eq!(late.head.status(), 400);
    assert!(late.text().starts_with("Invalid timeout 'soon': "));

    let stats = plain("GET /system/stats.json", &[]).await;
    let stats: BTreeMap<String, f64> = serde_json::from_slice(&stats.body).unwrap();
    assert!(stats["cpus_total"] >= 1.0 && stats["mem_total_bytes"] > stats["mem_free_bytes"]);
}

#[tokio::test]
async fn errors_are_plain_text_with_the_originals_words() {
    let missing = plain("GET /no-such", &[]).await;
    assert_eq!(missing.head.status(), 404);
    assert_eq!(missing.text(), "404 Not Found.");
    assert_eq!(missing.header("content-type"), Some("text/plain; charset=utf-8"));
    let method = plain("GET /api/v1", &[]).await;
    assert_eq!(method.head.status(), 405);
    assert_eq!(method.header("allow"), Some("POST"));
    assert_eq!(
        method.text(),
        "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'."
    );
    // Whether this master leads comes before the method, longer paths reach the same handler.
    assert_eq!(plain("GET /api/v1", &[("x-gate", "")]).await.head.status(), 503);
    assert_eq!(plain("GET /master/api/v1/x", &[]).await.head.status(), 405);
    for climbing in ["/master/../etc", "/master/%2e%2e/x", "/%2fmaster/flags"] {
        assert_eq!(plain(&format!("GET {climbing}"), &[]).await.head.status(), 404, "{climbing}");
    }
}

#[tokio::test]
async fn strangers_get_401_for_what_exists_and_what_does_not() {
    let site = site(Posture::identities());
    for path in ["/health", "/version", "/flags", "/no-such", "/metrics/snapshot"] {
        let got = ask(&site, None, &format!("GET {path}"), &[], b"").await;
        assert_eq!(got.head.status(), StatusCode::UNAUTHORIZED, "{path}");
        let text = "401 Unauthorized. A verified client certificate is required in realm \
                    mesos-master-readonly.";
        assert_eq!(got.text(), text);
        let challenge = got.header("www-authenticate").unwrap();
        assert_eq!(challenge, "ClientCertificate realm=\"mesos-master-readonly\"");
    }
    assert_eq!(ask(&site, OPERATOR, "GET /health", &[], b"").await.head.status(), 200);
    assert_eq!(ask(&site, OPERATOR, "GET /no-such", &[], b"").await.head.status(), 404);
    assert_eq!(site.refused().counts(), BTreeMap::from([(401, 5), (404, 1)]));
}

/// Row D9: one port, and what is asked of clients differs by realm.
#[tokio::test]
async fn tls_without_a_certificate_an_opened_realm_is_read_and_no_other_is() {
    let doors = BTreeMap::from([("mesos-master-readonly".to_owned(), Demand::None)]);
    let policy = TlsPolicy::identities(
        MaterialPaths::one("c", "k"),
        IdentityRules { trust_bundle: "b".into(), trust_domain: TrustDomain::new("d").unwrap() },
    );
    let TlsPolicy::Tls(mut rules) = policy else { panic!("encrypted") };
    rules.client_certificates.doors = doors;
    let site = site(Posture::of_rules(&rules));
    let flags = ask(&site, None, "GET /flags", &[], b"").await;
    assert_eq!((flags.head.status().as_u16(), flags.text()), (200, r#"{"flags":{"port":"5050"}}"#));
    let refused = ask(&site, None, "POST /api/v1", &[], b"x").await;
    let text = "401 Unauthorized. A verified client certificate is required in realm \
                mesos-master-readwrite.";
    assert_eq!((refused.head.status().as_u16(), refused.text()), (401, text));
    // Who has identified itself as something else is still denied.
    let agent = Some("spiffe://d/agent/a1");
    assert_eq!(ask(&site, agent, "GET /flags", &[], b"").await.head.status(), 403);
}

#[tokio::test]
async fn the_wrong_kind_of_component_gets_403() {
    let site = site(Posture::identities());
    let agent = Some("spiffe://d/agent/a1");
    assert_eq!(ask(&site, agent, "GET /health", &[], b"").await.head.status(), 200);
    let flags = ask(&site, agent, "GET /flags", &[], b"").await;
    assert_eq!((flags.head.status().as_u16(), flags.text()), (403, "403 Forbidden."));
    // Before anything of the request is looked at.
    assert_eq!(ask(&site, agent, "GET /api/v1", &[], b"").await.head.status(), 403);
}

#[tokio::test]
async fn what_has_its_own_proof_is_reached_without_identity() {
    let site = site(Posture::identities());
    let refused = ask(&site, None, "POST /token", &[], b"").await;
    assert_eq!(refused.head.status(), 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"mesos-agent-executor\""));
    let right = [("authorization", "Bearer right")];
    assert_eq!(ask(&site, None, "POST /token", &right, b"").await.head.status(), 202);
}

#[tokio::test]
async fn large_bodies_are_compressed_for_those_who_ask() {
    let raw = plain("GET /big", &[]).await;
    assert_eq!(raw.header("content-encoding"), None);
    let packed = plain("GET /big", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("content-length"), Some(packed.body.len().to_string().as_str()));
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut inflated).unwrap();
    assert_eq!(inflated, raw.body);
    let small = plain("GET /version", &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn compressed_requests_are_inflated_and_bombs_are_not() {
    let pack = |bytes: &[u8]| {
        let mut packed = Vec::new();
        flate2::read::GzEncoder::new(bytes, flate2::Compression::best())
            .read_to_end(&mut packed)
            .unwrap();
        packed
    };
    let site = site(Posture::danger_plaintext());
    let gzip = [("content-encoding", "gzip")];
    let good = ask(&site, None, "POST /api/v1", &gzip, &pack(b"hello")).await;
    assert_eq!(good.text(), "5 bytes");
    let broken = ask(&site, None, "POST /api/v1", &gzip, b"hello").await;
    assert_eq!(broken.head.status(), 400);
    let bomb = pack(&vec![0; alcazar_endpoints::site::MAX_BODY_BYTES + 1]);
    let refused = ask(&site, None, "POST /api/v1", &gzip, &bomb).await;
    assert_eq!(refused.head.status(), 413);
}

#[tokio::test]
async fn jsonp_wraps_for_anonymous_callers_only() {
    let got = plain("GET /flags?jsonp=f.g", &[]).await;
    assert_eq!(got.text(), r#"f.g({"flags":{"port":"5050"}})"#);
    assert_eq!(got.header("content-type"), Some("text/javascript"));
    for bad in ["alert(1)//", "", "a%3Cb"] {
        let got = plain(&format!("GET /flags?jsonp={bad}"), &[]).await;
        assert_eq!(got.head.status(), 400, "{bad}");
    }
    let site = site(Posture::identities());
    let refused = ask(&site, OPERATOR, "GET /flags?jsonp=f", &[], b"").await;
    assert_eq!(refused.head.status(), 400);
    // A stranger learns of no parameter before of its being a stranger.
    let stranger = ask(&site, None, "GET /flags?jsonp=a(b", &[], b"").await;
    assert_eq!(stranger.head.status(), 401);
}

#[tokio::test]
async fn files_are_served_from_what_is_attached() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stdout"), b"hello\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
    let site = site(Posture::danger_plaintext());
    site.state().files.attach("/sandbox", dir.path()).unwrap();
    let ask = async |line: &str| ask(&site, None, line, &[], b"").await;

    let read = ask("GET /files/read?path=/sandbox/stdout&offset=0").await;
    assert_eq!(read.text(), r#"{"data":"hello\n","offset":0}"#);
    let size = ask("GET /files/read?path=//sandbox/stdout").await;
    assert_eq!(size.text(), r#"{"data":"","offset":6}"#);
    let list = ask("GET /files/browse?path=/sandbox").await;
    let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list[1]["path"], "/sandbox/stdout");
    assert_eq!(list[1]["size"], 6);
    let download = ask("GET /files/download?path=/sandbox/stdout").await;
    assert_eq!(download.text(), "hello\n");
    assert_eq!(download.header("content-type"), Some("application/octet-stream"));
    assert_eq!(download.header("content-disposition"), Some("attachment; filename=\"stdout\""));

    for (line, status) in [
        ("GET /files/read?path=/sandbox/none", 404),
        ("GET /files/read?path=/sandbox/link", 404),
        ("GET /files/read?path=/sandbox/../x", 404),
        ("GET /files/read?path=/etc/passwd", 404),
        ("GET /files/browse?path=/slave/log", 404),
        ("GET /files/read?path=/sandbox", 400),
        ("GET /files/read", 400),
        ("GET /files/read?path=/sandbox/stdout&offset=-2", 400),
        ("GET /files/read?path=/sandbox/stdout&offset=x", 400),
        ("POST /files/read?path=/sandbox/stdout", 405),
    ] {
        let got = ask(line).await;
        assert_eq!(got.head.status(), status, "{line}");
        if status == 404 {
            assert_eq!(got.text(), "", "{line}");
            assert_eq!(got.header("content-type"), Some("text/plain; charset=utf-8"));
        }
    }
}
