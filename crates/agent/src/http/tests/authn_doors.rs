//! Who is asked who they are, route by route and as recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use authn::accounts::{Account, Accounts, StoredSecret};
use authn::http::{BasicAuthenticatee, HttpAuthenticatee as _};
use authn::jwt::{Key, TokenIssuer};
use endpoints::access::{Action, Posture};
use endpoints::authentication::{AgentFlags, Authentication, Known, Realms};
use endpoints::site::Site;
use model::principal::Principal;
use testkit::captures::{Kind, story};

use super::executors::served;
use super::fixture::{Asked, Served};
use crate::http::{Agent, table};

const KEY: &str = "a key\n";

const EVERY: AgentFlags = AgentFlags {
    authenticate_readonly: true,
    authenticate_readwrite: true,
    authenticate_executors: true,
    authenticators: None,
};

fn known() -> Known {
    let operator = Account {
        principal: "operator".to_owned(),
        kinds: None,
        secrets: vec![StoredSecret::Plain("operator-secret".into())],
    };
    let accounts: Accounts = [operator].into_iter().collect();
    let accounts: Arc<dyn authn::accounts::Directory> = Arc::new(Arc::new(accounts));
    Known { accounts: Some(accounts), key: Some(Key::of_file(KEY.into())), published: None }
}

fn asking(served: &Served, flags: &AgentFlags) -> Site<Agent> {
    let state = Arc::clone(served.site.state());
    let posture = state.posture.clone();
    let realms = Realms::agent(flags, &known()).unwrap();
    Site::new(state, table(), posture).authenticating(Authentication::new(realms))
}

fn basic(secret: &str) -> String {
    let sent = BasicAuthenticatee::new("operator", &secret.into()).authorization();
    String::from_utf8(sent.expose().to_vec()).unwrap()
}

fn token(key: &str, claims: &[(&str, &str)]) -> String {
    let claims = claims.iter().map(|(name, claim)| ((*name).to_owned(), (*claim).to_owned()));
    let bearer = Principal::new(None, claims.collect::<BTreeMap<_, _>>()).unwrap();
    let token = TokenIssuer::new(Key::of_file(key.into())).issue(&bearer, None).unwrap();
    String::from_utf8(token.expose().to_vec()).unwrap()
}

#[tokio::test]
async fn the_agents_credentials_are_asked_for_as_recorded() {
    let Some(recorded) = story("12-http-authentication-and-acls") else { return };
    let mut served = served(Posture::danger_plaintext());
    served.recovered();
    let flags = AgentFlags { authenticate_executors: false, ..EVERY };
    let site = asking(&served, &flags);
    let mut compared = 0;
    for (at, request) in recorded.iter().enumerate() {
        if request.kind != Kind::Request || request.to != "127.0.0.2:5051" {
            continue;
        }
        let answers = |r: &&testkit::captures::Recorded| {
            r.kind == Kind::Response && r.connection == request.connection
        };
        let response = recorded[at..].iter().find(answers).unwrap().http();
        let request = request.http();
        let got = Asked::recorded(&request).answer(&site).await;
        assert_eq!(got.status, response.status());
        if got.status == 401 {
            for name in ["www-authenticate", "content-type", "content-length"] {
                assert_eq!(got.header(name), response.header(name), "{name}");
            }
            assert_eq!(got.bytes().await, response.body);
        }
        compared += 1;
    }
    assert_eq!(compared, 2);
}

/// Row A10: that of resource providers too, which nothing in the original can protect.
#[tokio::test]
async fn attack_a10_every_route_of_an_agents_realms_asks_who_it_is() {
    let mut served = served(Posture::danger_plaintext());
    served.recovered();
    let site = asking(&served, &EVERY);
    let mut greeted = Vec::new();
    let mut realms = std::collections::BTreeSet::new();
    let stranger = token("another key", &[("cid", "c")]);
    for route in &site.table().routes {
        for method in ["GET", "POST", "DELETE"] {
            let asked = Asked { method, ..Asked::call(route.path, "{}") };
            for asked in [
                asked.clone(),
                asked.clone().with("authorization", basic("wrong")),
                asked.clone().bearing(&stranger),
            ] {
                let got = asked.answer(&site).await;
                if route.action == Action::Greet {
                    assert_eq!(got.status, 200, "{}", route.path);
                    greeted.push(route.path);
                    continue;
                }
                assert_eq!(got.status, 401, "{method} {}", route.path);
                assert!(!got.body_read, "{method} {}", route.path);
                let name = route.realm.name();
                let challenge = format!("Basic realm=\"{name}\",Bearer realm=\"{name}\"");
                let header = got.header("www-authenticate").unwrap();
                assert!(header.starts_with(&challenge), "{header}");
                realms.insert(name);
            }
        }
    }
    greeted.dedup();
    assert_eq!(greeted, ["/version", "/slave(1)/health"]);
    let expected = ["executor", "readonly", "readwrite", "resource-provider"];
    assert_eq!(
        realms,
        expected
            .iter()
            .map(|name| format!("mesos-agent-{name}"))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect()
    );
}

/// `authentication.md` §21.4, and what a token of the right key opens.
#[tokio::test]
async fn authn_tokens_are_for_executors_and_passwords_for_operators() {
    let mut served = served(Posture::danger_plaintext());
    served.recovered();
    let site = asking(&served, &EVERY);
    let wrong = Asked::call("/api/v1", "{}").bearing(&token("b key\n", &[("cid", "c")]));
    let got = wrong.answer(&site).await;
    let header = got.header("www-authenticate").unwrap();
    assert!(header.contains("Invalid JWT: Token signature does not match"), "{header}");
    // Both readings of the key.
    for key in [KEY, "a key"] {
        let executor = token(key, &[("fid", "f"), ("eid", "e"), ("cid", "c")]);
        for (target, status) in [("/state", 403), ("/api/v1", 403), ("/health", 200)] {
            let asked = Asked { method: "POST", ..Asked::call(target, "{}") }.bearing(&executor);
            assert_eq!(asked.answer(&site).await.status, status, "{target}");
        }
        // Past the door: the body is what is wrong.
        let asked = Asked::call("/api/v1/executor", "{}").bearing(&executor);
        assert_eq!(asked.answer(&site).await.status, 400);
        let asked = Asked::call("/api/v1/resource_provider", "{}").bearing(&executor);
        assert_eq!(asked.answer(&site).await.status, 501);
    }
    let operator =
        |target| Asked::call(target, "{}").with("authorization", basic("operator-secret"));
    assert_eq!(operator("/api/v1").answer(&site).await.status, 400);
    assert_eq!(operator("/state").answer(&site).await.status, 200);
}
