//! Who is asked who they are, route by route and as recorded.

use std::collections::BTreeMap as Claims;

use authn::accounts::{Account, Accounts, StoredSecret};
use authn::http::{BasicAuthenticatee, Bearer, HttpAuthenticatee as _, HttpAuthenticator};
use authn::jwt::{Key, TokenIssuer, Verifier};
use endpoints::access::{Action, Realm};
use endpoints::authentication::{Authentication, Known, MasterFlags, Realms};
use model::principal::Principal;

use super::*;

const EVERY: MasterFlags = MasterFlags {
    authenticate_readonly: true,
    authenticate_readwrite: true,
    authenticate_frameworks: true,
    authenticators: None,
    framework_authenticators: None,
};

/// As whom the story's clients come.
fn known() -> Known {
    let account = |name: &str, secret: &str| Account {
        principal: name.to_owned(),
        kinds: None,
        secrets: vec![StoredSecret::Plain(secret.into())],
    };
    let accounts: Accounts = [
        account("operator", "operator-secret"),
        account("guest", "guest-secret"),
        account("scheduler-principal", "scheduler-secret"),
    ]
    .into_iter()
    .collect();
    Known { accounts: Some(Arc::new(Arc::new(accounts))), ..Known::default() }
}

fn asking(flags: &MasterFlags, posture: Posture) -> Option<Site<Master>> {
    let all = exchanges(&story("11-operator-api")?);
    let flags = MasterFlags { framework_authenticators: Some("basic".into()), ..flags.clone() };
    let realms = Realms::master(&flags, &known()).unwrap();
    let authentication = Authentication::new(realms);
    Some(Site::new(master(&all), table(), posture).authenticating(authentication))
}

fn request(first_line: &str, authorization: Option<&str>) -> Message {
    let header = |value: &str| ("authorization".to_owned(), value.to_owned());
    Message {
        first_line: format!("{first_line} HTTP/1.1"),
        headers: authorization.map(header).into_iter().collect(),
        body: Vec::new(),
    }
}

fn basic(pair: &str) -> String {
    let (name, secret) = pair.split_once(':').unwrap();
    let sent = BasicAuthenticatee::new(name, &secret.into()).authorization();
    String::from_utf8(sent.expose().to_vec()).unwrap()
}

#[tokio::test]
async fn http_credentials_are_asked_for_as_recorded() {
    let Some(site) = asking(&EVERY, Posture::danger_plaintext()) else { return };
    let Some(recorded) = story("12-http-authentication-and-acls") else { return };
    let (mut refused, mut admitted) = (0, 0);
    for Exchange { file, request, response } in exchanges(&recorded) {
        if response.status() == 401 {
            let got = ask(&site, &request).await;
            assert_eq!(got.status, 401, "{file}");
            for name in ["www-authenticate", "content-type", "content-length"] {
                let ours = got.headers.get(name).map(|v| v.to_str().unwrap());
                assert_eq!(ours, response.header(name), "{file}: {name}");
            }
            assert_eq!(got.body, response.body, "{file}");
            refused += 1;
        } else if !request.target().1.ends_with("/scheduler") {
            // What these people may see is another question; who they are is known.
            let got = ask(&site, &request).await;
            assert_ne!(got.status, 401, "{file}");
            admitted += 1;
        }
    }
    assert!(refused >= 4 && admitted >= 8, "{refused} and {admitted}");
}

/// Row A10: whatever a realm protects is asked about, and nothing else is.
#[tokio::test]
async fn attack_a10_every_route_of_a_realm_asks_who_it_is() {
    let Some(site) = asking(&EVERY, Posture::danger_plaintext()) else { return };
    let mut greeted = Vec::new();
    for route in &site.table().routes {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let line = format!("{method} {}", route.path);
            for authorization in [None, Some(basic("operator:wrong")), Some("Basic".into())] {
                let got = ask(&site, &request(&line, authorization.as_deref())).await;
                if route.action == Action::Greet {
                    assert_eq!(got.status, 200 + 107 * u16::from(route.path.ends_with("redirect")));
                    greeted.push(route.path);
                    continue;
                }
                assert_eq!(got.status, 401, "{line} {authorization:?}");
                let challenge = format!("Basic realm=\"{}\"", route.realm.name());
                assert_eq!(got.headers["www-authenticate"], challenge, "{line}");
            }
        }
    }
    greeted.dedup();
    assert_eq!(greeted, ["/version", "/master/health", "/master/redirect"]);
}

#[tokio::test]
async fn realms_are_switched_on_one_by_one() {
    let off = MasterFlags { authenticate_readonly: false, ..EVERY };
    let off = MasterFlags { authenticate_readwrite: false, authenticate_frameworks: false, ..off };
    let readonly = MasterFlags { authenticate_readonly: true, ..off.clone() };
    let readwrite = MasterFlags { authenticate_readwrite: true, ..off.clone() };
    for (flags, state, quota) in [(&off, 200, 200), (&readonly, 401, 200), (&readwrite, 200, 401)] {
        let Some(site) = asking(flags, Posture::danger_plaintext()) else { return };
        assert_eq!(ask(&site, &request("GET /state", None)).await.status, state);
        assert_eq!(ask(&site, &request("GET /quota", None)).await.status, quota);
        // Who shows credentials where nobody asks is not asked either.
        let wrong = basic("operator:wrong");
        let readonly = ask(&site, &request("GET /state", Some(&wrong))).await;
        assert_eq!(readonly.status, state);
    }
}

#[tokio::test]
async fn authn_where_certificates_have_identities_either_suffices() {
    let Some(site) = asking(&EVERY, Posture::identities()) else { return };
    let right = basic("operator:operator-secret");
    let wrong = basic("operator:wrong");
    for (authorization, status) in [(Some(right), 200), (Some(wrong), 401), (None, 401)] {
        let got = ask(&site, &request("GET /master/state", authorization.as_deref())).await;
        assert_eq!(got.status, status);
        let got = ask(&site, &request("GET /no-such", authorization.as_deref())).await;
        assert_eq!(got.status, if status == 200 { 404 } else { 401 }, "no path is learned");
    }
}

/// `authentication.md` §19.4: where the original forgot to look, too.
#[tokio::test]
async fn authn_claims_without_a_name_are_nobody_to_the_master() {
    let Some(recorded) = story("11-operator-api") else { return };
    let key = Key::of_file("secret".into());
    let claims = Claims::from([("group".to_owned(), "ops".to_owned())]);
    let bearer = Principal::new(None, claims).unwrap();
    let token = TokenIssuer::new(key.clone()).issue(&bearer, None).unwrap();
    let token = format!("Bearer {}", std::str::from_utf8(token.expose()).unwrap());
    let mut realms = Realms::default();
    for realm in [Realm::MasterReadonly, Realm::MasterReadwrite, Realm::MasterScheduler] {
        let verifier = Verifier::new(Some(key.clone()), None);
        let bearer: Arc<dyn HttpAuthenticator> = Arc::new(Bearer::new(realm.name(), verifier));
        realms.ask(realm, bearer);
    }
    let site = Site::new(master(&exchanges(&recorded)), table(), Posture::danger_plaintext())
        .authenticating(Authentication::new(realms));
    for line in ["GET /state", "POST /api/v1", "POST /api/v1/scheduler", "POST /teardown"] {
        let got = ask(&site, &request(line, Some(&token))).await;
        assert_eq!(got.status, 403, "{line}");
        assert_eq!(
            got.body,
            "The request's authenticated principal contains claims, but no value string. The \
             master currently requires that principals have a value",
            "{line}"
        );
    }
    assert_eq!(ask(&site, &request("GET /slaves", Some(&token))).await.status, 200);
}
