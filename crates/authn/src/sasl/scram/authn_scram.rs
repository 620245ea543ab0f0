//! Vectors of the standards, and what one side says to a peer that does not follow them.

use std::sync::Arc;

use model::identity::Kind;
use model::principal::Kinds;

use super::*;
use crate::accounts::{Account, Accounts, Credential, Directory, ScramVerifier, StoredSecret};
use crate::sasl::{Authenticator, Channel, ClientExchange, ServerExchange, ServerStep};
use crate::secret::Secret;

/// RFC 7677 §3.
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn account(secrets: Vec<StoredSecret>) -> Arc<dyn Directory> {
    let kinds = Some(Kinds::only(Kind::Agent));
    let account = Account { principal: "user".into(), kinds, secrets };
    Arc::new(Arc::new([account].into_iter().collect::<Accounts>()))
}

fn vector_verifier() -> ScramVerifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramVerifier::derive(&Secret::from("pencil"), &salt, 4096)
}

fn server(secrets: Vec<StoredSecret>, plus: bool) -> Server {
    let key = Secret::from("the key of the salts");
    Server::new(Arc::new(Book::new(account(secrets), key, 4096)), plus)
}

fn client(secret: &str, plus: bool, plus_known: bool) -> Client {
    let credential = Credential { principal: "user".into(), secret: Secret::from(secret) };
    Client::new(Arc::new(Salted::new(credential)), plus, plus_known)
}

fn bound(binding: u8) -> Channel {
    Channel { encrypted: true, binding: Some([binding; 32]), certificate: None }
}

fn goes_on(step: ServerStep) -> String {
    match step {
        ServerStep::Continue(data) => String::from_utf8(data).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn malformed(step: ServerStep) -> String {
    match step {
        ServerStep::Malformed(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_vector_of_rfc_7677_is_spoken_by_both_sides() {
    let channel = Channel::default();
    let server = server(vec![StoredSecret::Scram(vector_verifier())], false);
    let mut server = server.exchange(&channel, &[], SERVER_NONCE.into());
    let mut client =
        client("pencil", false, false).exchange(&channel, &[], "rOprNGfwEbeRWgbNEkqO".into());
    assert_eq!(client.start(), CLIENT_FIRST.as_bytes());
    assert_eq!(goes_on(server.step(CLIENT_FIRST.as_bytes())), SERVER_FIRST);
    assert_eq!(client.step(SERVER_FIRST.as_bytes()).unwrap(), CLIENT_FINAL.as_bytes());
    assert_eq!(goes_on(server.step(CLIENT_FINAL.as_bytes())), SERVER_FINAL);
    assert_eq!(client.step(SERVER_FINAL.as_bytes()).unwrap(), b"");
    let ServerStep::Completed(accepted) = server.step(b"") else { panic!() };
    assert_eq!(accepted.proved.principal.value(), Some("user"));
    assert_eq!(accepted.proved.kinds, Kinds::only(Kind::Agent));
    assert_eq!(accepted.proved.method.as_str(), "SCRAM-SHA-256");
    let proof = client.completed().unwrap();
    assert!(proof.mutual);
    assert!(accepted.key.is_some() && accepted.key == proof.key);
}

#[test]
fn bound_and_unbound_exchanges_are_not_mixed() {
    let verifier = || vec![StoredSecret::Scram(vector_verifier())];
    let plus = server(verifier(), true);
    let plain = server(verifier(), false);
    let offered = [PLUS.to_owned(), NAME.to_owned()];
    let rest = ",,n=user,r=abc";
    for (server, channel, offered, flag, expected) in [
        (&plus, bound(1), &offered[..], "p=tls-exporter", None),
        (&plus, bound(1), &offered[..], "n", Some("the client has none")),
        (&plus, bound(1), &offered[..], "y", Some("the client has none")),
        (&plus, bound(1), &offered[..], "p=tls-unique", Some("only tls-exporter")),
        (&plus, bound(1), &offered[..], "p=tls-server-end-point", Some("only tls-exporter")),
        (&plus, bound(1), &offered[..], "p=", Some("does not say")),
        (&plus, Channel::default(), &offered[..], "p=tls-exporter", Some("no channel binding")),
        (&plain, bound(1), &offered[..], "n", None),
        (&plain, bound(1), &offered[..], "y", Some("somebody is in between")),
        (&plain, bound(1), &offered[1..], "y", None),
        (&plain, bound(1), &offered[..], "p=tls-exporter", Some("has no channel binding")),
        (&plain, bound(1), &offered[..], "N", Some("does not say")),
    ] {
        let mut exchange = server.begin(&channel, offered, Nonce([7; 24]));
        let step = exchange.step(format!("{flag}{rest}").as_bytes());
        match expected {
            None => assert!(goes_on(step).starts_with("r=abc"), "{flag}"),
            Some(part) => {
                let text = malformed(step);
                assert!(text.contains(part), "{flag}: {text}");
            }
        }
    }
}
