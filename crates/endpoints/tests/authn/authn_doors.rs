use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alcazar_endpoints::access::{Action, Posture, Realm};
use alcazar_endpoints::authentication::{Authentication, Realms};
use alcazar_endpoints::body::Body;
use alcazar_endpoints::reply::Reply;
use alcazar_endpoints::route::{Handler, Methods, Route, Table, Unauthenticated};
use alcazar_endpoints::site::{Head, Site};
use authn::Cost;
use authn::accounts::{Account, Accounts, StoredSecret};
use authn::audit::{AuditTrail, Decision};
use authn::http::{
    Basic, BasicAuthenticatee, Failed, HttpAuthenticatee as _, HttpAuthenticator, Outcome,
    Presented, Unauthorized,
};
use authn::proved::{Method, Proved};
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use libprocess::sender::{ConnectionId, PeerFacts};
use model::identity::Kind;
use model::principal::{Kinds, Principal};

/// Says what it is told to say.
#[derive(Debug)]
struct Says(Result<Outcome, Failed>);

impl HttpAuthenticator for Says {
    fn scheme(&self) -> &str {
        "Says"
    }

    fn cost(&self, _: &Presented<'_>) -> Cost {
        Cost::Light
    }

    fn authenticate(&self, _: &Presented<'_>) -> Result<Outcome, Failed> {
        self.0.clone()
    }
}

/// What was decided.
#[derive(Debug, Default)]
struct Trail(Mutex<Vec<Decision>>);

impl AuditTrail for Trail {
    fn append(&self, decision: &Decision) {
        self.0.lock().unwrap().push(decision.clone());
    }
}

impl Trail {
    /// Who, how, whether, why.
    fn take(&self) -> Vec<String> {
        let text = |d: &Decision| {
            let who = d.principal.as_deref().unwrap_or("-");
            let result = if d.granted { "granted" } else { "refused" };
            format!("{who} {} {} {result}: {}", d.method, d.realm, d.reason)
        };
        self.0.lock().unwrap().drain(..).collect::<Vec<_>>().iter().map(text).collect()
    }
}

fn proved(name: &str, kinds: Kinds) -> Outcome {
    let (principal, method) = (Principal::named(name), Method::new("Says"));
    Outcome::Proved(Proved { principal, kinds, method })
}

fn table() -> Table<()> {
    let route = |path, realm, action| Route {
        path,
        methods: Methods::Any,
        realm,
        action,
        handler: Handler::Now(|(), request| {
            let name = request.caller.principal().unwrap_or("nobody");
            Ok(Reply::Json(format!("\"{name}\"").into()))
        }),
    };
    Table {
        delegate: "master",
        routes: vec![
            route("/master/state", Realm::MasterReadonly, Action::ViewState),
            route("/master/scheduler", Realm::MasterScheduler, Action::Call),
            route("/master/health", Realm::MasterReadonly, Action::Greet),
            route("/master/open", Realm::MasterReadwrite, Action::Call),
        ],
        unauthenticated: &[Unauthenticated { path: "/master/open", because: "its own proof" }],
        own_proof: |(), request, _| request.header("x-proof").is_some(),
        gate: |(), _, _| Ok(()),
    }
}

/// A site where `authenticator` asks in every realm.
fn asking(posture: Posture, authenticator: Arc<dyn HttpAuthenticator>) -> (Site<()>, Arc<Trail>) {
    let mut realms = Realms::default();
    for realm in Realm::ALL {
        realms.ask(realm, Arc::clone(&authenticator));
    }
    let trail = Arc::new(Trail::default());
    let authentication = Authentication::new(realms).with_audit(trail.clone());
    (Site::new(Arc::new(()), table(), posture).authenticating(authentication), trail)
}

fn saying(posture: Posture, says: Result<Outcome, Failed>) -> (Site<()>, Arc<Trail>) {
    asking(posture, Arc::new(Says(says)))
}

fn basic() -> Arc<dyn HttpAuthenticator> {
    let account = |name: &str, kinds| Account {
        principal: name.to_owned(),
        kinds,
        secrets: vec![StoredSecret::Plain("right".into())],
    };
    let accounts: Accounts = [
        account("ops", Some(Kinds::only(Kind::Operator))),
        account("any", None),
        account("a1", Some(Kinds::only(Kind::Agent))),
    ]
    .into_iter()
    .collect();
    Arc::new(Basic::new("r", Arc::new(Arc::new(accounts)), [1; 32]))
}

fn credentials(name: &str, secret: &str) -> String {
    let sent = BasicAuthenticatee::new(name, &secret.into()).authorization();
    String::from_utf8(sent.expose().to_vec()).unwrap()
}

/// From where, with which certificate.
#[derive(Clone, Copy)]
struct From(&'static str, Option<&'static str>);

const HERE: From = From("10.0.0.1:40000", None);

struct Got {
    head: Response<()>,
    body: String,
}

impl Got {
    fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

async fn ask(site: &Site<()>, from: From, target: &str, headers: &[(&str, &str)]) -> Got {
    let From(address, identity) = from;
    let mut peer = PeerFacts::plaintext(ConnectionId(0), address.parse().unwrap());
    peer.identity = identity.map(|identity| identity.parse().unwrap());
    peer.certified = identity.is_some();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    let head = Head {
        method: http::Method::GET,
        path: path.to_owned(),
        query: query.to_owned(),
        target: target.to_owned(),
        headers: map,
        peer: Arc::new(peer),
    };
    let response = site.answer(head, async { Ok(Bytes::new()) }).await;
    let (parts, body): (_, Body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Got { head: Response::from_parts(parts, ()), body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn with(site: &Site<()>, from: From, target: &str, name: &str, secret: &str) -> Got {
    ask(site, from, target, &[("authorization", &credentials(name, secret))]).await
}

/// `authentication.md` §12.
#[tokio::test]
async fn each_outcome_has_its_answer_and_its_line_in_the_trail() {
    let unauthorized = Unauthorized {
        challenge: "Says realm=\"r\"".into(),
        body: "401 Unauthorized.".into(),
        claimed: Some("p".into()),
        tried: true,
        reason: "wrong".into(),
    };
    let forbidden = Outcome::Forbidden { body: "not you".into(), reason: "it is you".into() };
    for (says, status, body, line) in [
        (
            Ok(proved("p", Kinds::ANY)),
            200,
            "\"p\"",
            "p Says mesos-master-readonly granted: valid credentials",
        ),
        (
            Ok(Outcome::Unauthorized(unauthorized)),
            401,
            "401 Unauthorized.",
            "p Says mesos-master-readonly refused: wrong",
        ),
        (Ok(forbidden), 403, "not you", "- Says mesos-master-readonly refused: it is you"),
        (
            Err(Failed("no socket".into())),
            500,
            "no socket",
            "- Says mesos-master-readonly refused: no socket",
        ),
    ] {
        let (site, trail) = saying(Posture::danger_plaintext(), says);
        let got = ask(&site, HERE, "/state", &[]).await;
        assert_eq!((got.status(), got.body.as_str()), (status, body));
        assert_eq!(trail.take(), [line]);
        let challenge = (status == 401).then_some("Says realm=\"r\"");
        assert_eq!(got.header("www-authenticate"), challenge);
        // Greetings are for everybody.
        assert_eq!(ask(&site, HERE, "/health", &[]).await.status(), 200);
        assert!(trail.take().is_empty(), "nobody was asked");
    }
}

#[tokio::test]
async fn credentials_are_good_for_the_realms_of_their_kinds() {
    let (site, trail) = asking(Posture::danger_plaintext(), basic());
    for (name, state, scheduler) in [("ops", 200, 200), ("any", 200, 200), ("a1", 403, 403)] {
        assert_eq!(with(&site, HERE, "/state", name, "right").await.status(), state, "{name}");
        assert_eq!(with(&site, HERE, "/scheduler", name, "right").await.status(), scheduler);
    }
    let refused = "a1 Basic mesos-master-scheduler refused: credentials of kind agent are not for \
                   realm mesos-master-scheduler";
    assert_eq!(trail.take().last().map(String::as_str), Some(refused));
}

/// Row A7: a certificate alone or with a second factor, and then both count.
#[tokio::test]
async fn attack_a7_a_second_factor_has_to_be_right_too() {
    let (site, trail) = asking(Posture::identities(), basic());
    let operator = From("10.0.0.1:40000", Some("spiffe://d/operator/root"));
    let agent = From("10.0.0.1:40000", Some("spiffe://d/agent/a1"));
    let alone = ask(&site, operator, "/state", &[]).await;
    assert_eq!((alone.status(), alone.body.as_str()), (200, "\"root\""));
    let both = with(&site, operator, "/state", "ops", "right").await;
    assert_eq!((both.status(), both.body.as_str()), (200, "\"ops\""));
    let wrong = with(&site, operator, "/state", "ops", "wrong").await;
    assert_eq!(wrong.status(), 401);
    // The agent's certificate does not become an operator's by a password, nor the other way.
    assert_eq!(with(&site, agent, "/state", "ops", "right").await.status(), 403);
    assert_eq!(with(&site, operator, "/state", "a1", "right").await.status(), 403);
    let without = with(&site, HERE, "/state", "ops", "right").await;
    assert_eq!((without.status(), without.body.as_str()), (200, "\"ops\""));
    assert_eq!(ask(&site, HERE, "/state", &[]).await.status(), 401);
    assert_eq!(ask(&site, HERE, "/health", &[]).await.status(), 401);
    assert_eq!(with(&site, HERE, "/health", "ops", "right").await.status(), 200);
    let lines = trail.take();
    let first = "spiffe://d/operator/root certificate mesos-master-readonly granted: a client \
                 certificate";
    assert_eq!(lines.len(), 9, "{lines:#?}");
    assert_eq!(lines[0], first);
    assert_eq!(lines[2], "ops Basic mesos-master-readonly refused: wrong secret");
}

/// Row A9: after some failures whoever guesses hears neither that it is right nor that it is not.
#[tokio::test]
async fn attack_a9_guessing_over_http_is_slowed() {
    let (site, trail) = asking(Posture::danger_plaintext(), basic());
    let blank = ask(&site, HERE, "/state", &[]).await;
    let mut heard = 0;
    loop {
        let got = with(&site, HERE, "/state", "any", "wrong").await;
        assert_eq!(got.status(), 401);
        if got.header("retry-after").is_some() {
            break;
        }
        heard += 1;
        assert!(heard < 50, "as many guesses as one likes");
    }
    let right = with(&site, HERE, "/state", "any", "right").await;
    assert_eq!(right.status(), 401);
    let wait: u64 = right.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
    assert_eq!(right.body, blank.body);
    assert_eq!(right.header("www-authenticate"), blank.header("www-authenticate"));
    let last = trail.take().pop().unwrap();
    assert!(last.contains("refused: too many failures"), "{last}");
    // The owner, elsewhere, is not kept out; nor are others here.
    let elsewhere = From("10.0.0.2:40000", None);
    assert_eq!(with(&site, elsewhere, "/state", "any", "right").await.status(), 200);
    assert_eq!(with(&site, HERE, "/state", "ops", "right").await.status(), 200);
    let metrics = site.refused().metrics();
    assert_eq!(metrics["alcazar/guesses/failures"], heard as f64);
    assert_eq!(metrics["alcazar/guesses/withheld"], 2.0);
}

/// Row A9, where secrets are hashed: a guess that was right and withheld is not told from others by
/// being quicker the second time, and costs nothing while it is withheld.
#[tokio::test]
async fn attack_a9_a_withheld_success_is_not_remembered_for_the_guesser() {
    let salt = b"sixteen bytes ..";
    let verifier = authn::accounts::ScramVerifier::derive(&"right".into(), salt, 4096);
    let account = Account {
        principal: "ops".into(),
        kinds: None,
        secrets: vec![StoredSecret::Scram(verifier)],
    };
    let accounts: Accounts = [account].into_iter().collect();
    let basic = Arc::new(Basic::new("r", Arc::new(Arc::new(accounts)), [1; 32]));
    let (site, _) = asking(Posture::danger_plaintext(), basic.clone());
    while with(&site, HERE, "/state", "ops", "wrong").await.header("retry-after").is_none() {}
    let work = basic.work();
    for secret in ["right", "right", "wrong"] {
        let got = with(&site, HERE, "/state", "ops", secret).await;
        assert!(got.header("retry-after").is_some());
    }
    assert_eq!(basic.work(), work, "nothing was computed, and nothing looked up");
}

#[tokio::test]
async fn a_routes_own_proof_is_asked_first() {
    let (site, trail) = asking(Posture::danger_plaintext(), basic());
    let own = ask(&site, HERE, "/open", &[("x-proof", "1")]).await;
    assert_eq!((own.status(), own.body.as_str()), (200, "\"nobody\""));
    assert!(trail.take().is_empty());
    assert_eq!(ask(&site, HERE, "/open", &[]).await.status(), 401);
    let other = with(&site, HERE, "/open", "ops", "right").await;
    assert_eq!((other.status(), other.body.as_str()), (200, "\"ops\""));
}

#[tokio::test]
async fn of_several_headers_the_last_counts() {
    let (site, _) = asking(Posture::danger_plaintext(), basic());
    let (right, wrong) = (credentials("ops", "right"), credentials("ops", "wrong"));
    for (first, second, status) in [(&wrong, &right, 200), (&right, &wrong, 401)] {
        let headers = [("authorization", first.as_str()), ("Authorization", second.as_str())];
        assert_eq!(ask(&site, HERE, "/state", &headers).await.status(), status);
    }
}

/// A browser adds the password that it remembers to what any page asks for.
#[tokio::test]
async fn attack_no_script_is_made_of_what_credentials_opened() {
    let (site, _) = asking(Posture::danger_plaintext(), basic());
    let got = with(&site, HERE, "/state?jsonp=f", "ops", "right").await;
    assert_eq!(got.status(), 400);
    assert_eq!(got.body, "'jsonp' is not served to callers with credentials");
}

/// Blocks until it is told to go on.
#[derive(Debug)]
struct Blocks(Mutex<std::sync::mpsc::Receiver<()>>, AtomicU64);

impl HttpAuthenticator for Blocks {
    fn scheme(&self) -> &str {
        "Blocks"
    }

    fn cost(&self, presented: &Presented<'_>) -> Cost {
        if presented.authorization.is_some() { Cost::Blocking } else { Cost::Light }
    }

    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed> {
        self.1.fetch_add(1, Ordering::Relaxed);
        if presented.authorization.is_some() {
            let waited = self.0.lock().unwrap().recv_timeout(Duration::from_secs(60));
            waited.map_err(|error| Failed(error.to_string()))?;
        }
        Ok(proved("p", Kinds::ANY))
    }
}

/// On one thread: if the slow one kept it, the quick one would not be answered.
#[tokio::test]
async fn a_slow_authenticator_keeps_nobody_else_waiting() {
    let (go_on, blocked) = std::sync::mpsc::channel();
    let blocks = Arc::new(Blocks(Mutex::new(blocked), AtomicU64::new(0)));
    let (site, _) = asking(Posture::danger_plaintext(), blocks.clone());
    let slow = ask(&site, HERE, "/state", &[("authorization", "Blocks x")]);
    let quick = async {
        while blocks.1.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let got = ask(&site, HERE, "/state", &[]).await;
        go_on.send(()).unwrap();
        got.status()
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!((slow.status(), quick), (200, 200));
}
