use model::principal::{Kinds, Principal};

use super::*;
use crate::Cost;
use crate::accounts::{Account, Accounts, ScramVerifier, StoredSecret};
use crate::http::{
    Basic, BasicAuthenticatee, Bearer, ClientCertificate, Combined, Failed, HttpAuthenticatee as _,
};
use crate::jwt::{Key, TokenIssuer, Verifier};
use crate::proved::{Method, Proved};

fn header(name: &str, secret: &str) -> Option<Vec<u8>> {
    let sent = BasicAuthenticatee::new(name, &secret.into()).authorization();
    Some(sent.expose().to_vec())
}

fn basic(secret: StoredSecret) -> Arc<dyn HttpAuthenticator> {
    let account = Account { principal: "user".into(), kinds: None, secrets: vec![secret] };
    let accounts: Accounts = [account].into_iter().collect();
    Arc::new(Basic::new("r", Arc::new(Arc::new(accounts)), [3; 32]))
}

fn case(authenticator: Arc<dyn HttpAuthenticator>) -> Case {
    Case {
        authenticator,
        realm: "r".into(),
        right: header("user", "secret"),
        certificate: None,
        impostor: header("user", "sesret"),
        stranger: header("uses", "secret"),
        now: Timestamp::default(),
    }
}

fn bearer() -> Arc<dyn HttpAuthenticator> {
    Arc::new(Bearer::new("r", Verifier::new(Some(Key::of_file("key".into())), None)))
}

fn token(key: &str) -> Option<Vec<u8>> {
    let claims = [("cid".to_owned(), "c".to_owned())].into();
    let principal = Principal::new(None, claims).unwrap();
    let token = TokenIssuer::new(Key::of_file(key.into())).issue(&principal, None).unwrap();
    Some([b"Bearer ", token.expose()].concat())
}

#[test]
fn attack_conformance_of_basic_with_plain_secrets() {
    check(&case(basic(StoredSecret::Plain("secret".into())))).unwrap();
}

#[test]
fn attack_conformance_of_basic_with_hashed_secrets() {
    // One iteration: how many there are is another question.
    let verifier = ScramVerifier::derive(&"secret".into(), b"sixteen bytes ..", 1);
    check(&case(basic(StoredSecret::Scram(verifier)))).unwrap();
}

#[test]
fn attack_conformance_of_bearer() {
    let (right, impostor) = (token("key"), token("another"));
    check(&Case { right, impostor, stranger: None, ..case(bearer()) }).unwrap();
}

#[test]
fn attack_conformance_of_the_client_certificate() {
    let certificate = Some(Certified { principal: "user".into(), kinds: Kinds::ANY });
    let authenticator: Arc<dyn HttpAuthenticator> = Arc::new(ClientCertificate::new("r"));
    let none = Case { right: None, impostor: None, stranger: None, ..case(authenticator) };
    check(&Case { certificate, ..none }).unwrap();
}

#[test]
fn attack_conformance_of_several_at_once() {
    let combined = || -> Arc<dyn HttpAuthenticator> {
        Arc::new(Combined::new(vec![basic(StoredSecret::Plain("secret".into())), bearer()]))
    };
    check(&case(combined())).unwrap();
    let (right, impostor) = (token("key"), token("another"));
    check(&Case { right, impostor, stranger: None, ..case(combined()) }).unwrap();
}

/// Takes whatever begins as the right one does.
#[derive(Debug)]
struct Lax;

impl HttpAuthenticator for Lax {
    fn scheme(&self) -> &str {
        "Basic"
    }

    fn cost(&self, _: &Presented<'_>) -> Cost {
        Cost::Light
    }

    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed> {
        if presented.authorization.is_some_and(|shown| shown.starts_with(b"Basic dXNlc")) {
            let principal = Principal::named("user");
            return Ok(Outcome::Proved(Proved {
                principal,
                kinds: Kinds::ANY,
                method: Method::BASIC,
            }));
        }
        Ok(Outcome::Unauthorized(Unauthorized {
            challenge: "Basic realm=\"r\"".into(),
            body: "401 Unauthorized.".into(),
            claimed: None,
            tried: false,
            reason: String::new(),
        }))
    }
}

#[test]
fn authn_conformance_over_http_fails_what_does_not_conform() {
    let rule = |case: &Case| check(case).unwrap_err().rule;
    let lax = Case { impostor: None, stranger: None, ..case(Arc::new(Lax)) };
    assert_eq!(rule(&lax), "no flipped bit comes in");
    let other_realm = Case { realm: "s".into(), ..lax.clone() };
    assert_eq!(rule(&other_realm), "a challenge names its schemes and its realm in printable text");
    let wrong = Case { right: header("x", "y"), ..lax };
    assert_eq!(rule(&wrong), "what is right comes in");
}
