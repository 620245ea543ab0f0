use std::net::{IpAddr, Ipv4Addr};

use model::principal::{Kinds, Principal};
use model::time::Timestamp;

use super::*;
use crate::proved::{Method, Proved};

/// Says what it is told to say, and must not be asked where it is told nothing.
#[derive(Debug)]
struct Says(&'static str, Option<Result<Outcome, Failed>>);

impl HttpAuthenticator for Says {
    fn scheme(&self) -> &str {
        self.0
    }

    fn cost(&self, _: &Presented<'_>) -> Cost {
        Cost::Light
    }

    fn authenticate(&self, _: &Presented<'_>) -> Result<Outcome, Failed> {
        self.1.clone().expect("not asked after somebody knew the client")
    }
}

fn proved(name: &str) -> Result<Outcome, Failed> {
    let principal = Principal::named(name);
    Ok(Outcome::Proved(Proved { principal, kinds: Kinds::ANY, method: Method::BASIC }))
}

fn unknown(challenge: &str, body: &str) -> Result<Outcome, Failed> {
    Ok(Outcome::Unauthorized(Unauthorized {
        challenge: challenge.into(),
        body: body.into(),
        claimed: None,
        tried: false,
        reason: "why".into(),
    }))
}

fn forbidden(body: &str) -> Result<Outcome, Failed> {
    Ok(Outcome::Forbidden { body: body.into(), reason: "why".into() })
}

fn failed(text: &str) -> Result<Outcome, Failed> {
    Err(Failed(text.into()))
}

fn ask(parts: Vec<(&'static str, Option<Result<Outcome, Failed>>)>) -> Result<Outcome, Failed> {
    let parts = parts.into_iter().map(|(scheme, says)| {
        let part: Arc<dyn HttpAuthenticator> = Arc::new(Says(scheme, says));
        part
    });
    Combined::new(parts.collect()).authenticate(&Presented {
        authorization: None,
        certificate: None,
        encrypted: false,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        now: Timestamp::default(),
    })
}

#[test]
fn the_first_that_knows_the_client_wins() {
    for before in [unknown("A", "a"), forbidden("a"), failed("a")] {
        let asked = ask(vec![("A", Some(before)), ("B", Some(proved("b"))), ("C", None)]);
        assert_eq!(asked, proved("b"));
    }
}

#[test]
fn refusals_are_joined_and_a_401_counts_most() {
    let asked = ask(vec![
        ("A", Some(unknown("A realm=\"R\"", "401 Unauthorized."))),
        ("B", Some(forbidden("b"))),
        ("C", Some(failed("c"))),
        ("D", Some(unknown("D realm=\"R\"", ""))),
        ("E", Some(unknown("E realm=\"R\"", "e"))),
    ]);
    let Ok(Outcome::Unauthorized(why)) = asked else { panic!("{asked:?}") };
    assert_eq!(why.challenge, "A realm=\"R\",D realm=\"R\",E realm=\"R\"");
    let body =
        "\"A\" authenticator returned:\n401 Unauthorized.\n\n\"E\" authenticator returned:\ne";
    assert_eq!(why.body, body);
}

#[test]
fn a_403_counts_more_than_a_failure() {
    let asked = ask(vec![
        ("A", Some(failed("a"))),
        ("B", Some(forbidden("b"))),
        ("C", Some(forbidden("c"))),
    ]);
    let Ok(Outcome::Forbidden { body, .. }) = asked else { panic!("{asked:?}") };
    assert_eq!(body, "\"B\" authenticator returned:\nb\n\n\"C\" authenticator returned:\nc");
}

#[test]
fn where_all_fail_the_request_does() {
    let asked = ask(vec![("A", Some(failed("a"))), ("B", Some(failed("b")))]);
    let text = "\"A\" authenticator returned:\na\n\n\"B\" authenticator returned:\nb";
    assert_eq!(asked, failed(text));
    assert!(ask(Vec::new()).is_err(), "nobody to ask is a failure");
}

#[test]
fn basic_and_jwt_answer_as_the_original_does() {
    use crate::accounts::Accounts;
    use crate::http::{Basic, Bearer};
    use crate::jwt::{Key, Verifier};
    let verifier = Verifier::new(Some(Key::of_file("secret".into())), None);
    let combined = Combined::new(vec![
        Arc::new(Basic::new("R", Arc::new(Arc::new(Accounts::default())), [0; 32])),
        Arc::new(Bearer::new("R", verifier)),
    ]);
    assert_eq!(combined.scheme(), "Basic Bearer");
    let ask = |header: Option<&[u8]>| {
        let outcome = combined.authenticate(&Presented {
            authorization: header,
            certificate: None,
            encrypted: false,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now: Timestamp::default(),
        });
        let Ok(Outcome::Unauthorized(why)) = outcome else { panic!("{outcome:?}") };
        why
    };
    let nothing = ask(None);
    assert_eq!(nothing.challenge, "Basic realm=\"R\",Bearer realm=\"R\"");
    assert_eq!(
        nothing.body,
        "\"Basic\" authenticator returned:\n401 Unauthorized.\n\n\
         \"Bearer\" authenticator returned:\n401 Unauthorized."
    );
    assert_eq!(
        ask(Some(b"Basic dTpw")).challenge,
        "Basic realm=\"R\",Bearer realm=\"R\", error=\"invalid_token\", \
         error_description=\"Scheme 'Basic' unsupported\""
    );
}
