//! Vectors of the standards, and what one side says to a peer that does not follow them.

use std::sync::Arc;

use model::identity::Kind;
use model::principal::Kinds;

use super::*;
use crate::accounts::{Account, Accounts, Credential, Directory, ScramVerifier, StoredSecret};
use crate::sasl::{
    Authenticator, Channel, ClientError, ClientExchange, ServerExchange, ServerStep,
};
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
        ServerStep::Continue(data) | ServerStep::Confirm { data, .. } => {
            String::from_utf8(data).unwrap()
        }
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
    assert_eq!(client.start().unwrap(), CLIENT_FIRST.as_bytes());
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

#[test]
fn first_messages_of_clients_are_read_strictly() {
    use super::message::{Flag, client_first};
    let first = client_first("p=tls-exporter,a=o=2Cne,n=t=3Dw=2Co,r=x,e=1").unwrap();
    assert_eq!(first.header, "p=tls-exporter,a=o=2Cne,");
    assert_eq!(first.bare, "n=t=3Dw=2Co,r=x,e=1");
    assert_eq!((first.flag, first.nonce), (Flag::Used("tls-exporter"), "x"));
    assert_eq!((first.authorization.as_deref(), &*first.principal), (Some("o,ne"), "t=w,o"));
    for (text, expected) in [
        ("", "the first message has no header"),
        ("n,", "the first message has no header"),
        ("n,,", "an attribute is missing or out of its place"),
        (",,n=u,r=x", "the header does not say whether there is channel binding"),
        ("x,,n=u,r=x", "the header does not say whether there is channel binding"),
        ("n,b=u,n=u,r=x", "the header has an unknown part"),
        ("n,a=,n=u,r=x", "a name is empty"),
        ("n,,m=1,n=u,r=x", "mandatory extensions are not known here"),
        ("n,,n=u,m=1,r=x", "mandatory extensions are not known here"),
        ("n,,n=u,r=x,m=1", "mandatory extensions are not known here"),
        ("n,,r=x,n=u", "an attribute is missing or out of its place"),
        ("n,,n=,r=x", "an attribute is missing or out of its place"),
        ("n,,n=u,r=", "an attribute is missing or out of its place"),
        ("n,,n=u", "an attribute is missing or out of its place"),
        ("n,,n=u=2c,r=x", "a name has an = that does not stand for a character"),
        ("n,,n=u=,r=x", "a name has an = that does not stand for a character"),
        ("n,,n=u=2,r=x", "a name has an = that does not stand for a character"),
        ("n,,n=u,r=x y", "the nonce has characters that it may not have"),
        ("n,,n=u,r=x\u{e4}", "the nonce has characters that it may not have"),
        ("n,,n=u,r=x,", "an extension is malformed"),
        ("n,,n=u,r=x,1=2", "an extension is malformed"),
        ("n,,n=u,r=x,e=", "an extension is malformed"),
    ] {
        assert_eq!(client_first(text).unwrap_err(), expected, "{text}");
    }
    for (bytes, expected) in [
        (&b"n,,n=u\0,r=x"[..], "the message has control characters"),
        (b"n,,n=u\x7f,r=x", "the message has control characters"),
        ("n,,n=u\u{85},r=x".as_bytes(), "the message has control characters"),
        (b"n,,n=\xff,r=x", "the message is not UTF-8"),
        (&[b'n'; 1025], "the message is longer than 1024 bytes"),
    ] {
        assert_eq!(message::text(bytes).unwrap_err(), expected);
    }
}

#[test]
fn names_survive_escaping() {
    for name in ["user", "a,b=c", "=2C", ",", "==", "\u{e4}\u{1f600}"] {
        let text = format!("n,,n={},r=x", message::escaped(name));
        assert_eq!(message::client_first(&text).unwrap().principal, name);
    }
}

/// What a client makes of a server's first message.
fn answer(server_first: &str) -> Result<String, String> {
    let mut client = client("pencil", false, false).exchange(
        &Channel::default(),
        &[],
        "rOprNGfwEbeRWgbNEkqO".into(),
    );
    let _ = client.start();
    let answer = client.step(server_first.as_bytes());
    answer.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn attack_clients_compute_nothing_for_servers_that_do_not_follow() {
    assert_eq!(answer(SERVER_FIRST).unwrap(), CLIENT_FINAL);
    let with = |iterations: &str| SERVER_FIRST.replace("4096", iterations);
    for (text, expected) in [
        (with("4095"), "the iteration count is below 4096"),
        (with("1"), "the iteration count is below 4096"),
        (with("1000001"), "the iteration count is above 1000000"),
        (with("4294967296"), "the iteration count is no number"),
        (with("04096"), "the iteration count is no number"),
        (with("+4096"), "the iteration count is no number"),
        (with("0"), "the iteration count is no number"),
        (with(""), "an attribute is missing or out of its place"),
        (with("4096,m=1"), "mandatory extensions are not known here"),
        (format!("m=1,{SERVER_FIRST}"), "mandatory extensions are not known here"),
        (SERVER_FIRST.replace("r=rOpr", "r=rOpR"), "the nonce is not that of this exchange"),
        (SERVER_FIRST.replace(SERVER_NONCE, ""), "the nonce has nothing of the server's"),
        (SERVER_FIRST.replace("6gQ==", "6gR=="), "what should be base64 is not"),
        (SERVER_FIRST.replace("6gQ==", "6gQ"), "what should be base64 is not"),
        (SERVER_FIRST.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "="), "what should be base64 is not"),
        ("e=other-error".to_owned(), "an attribute is missing or out of its place"),
        (String::new(), "an attribute is missing or out of its place"),
    ] {
        let error = answer(&text).unwrap_err();
        assert_eq!(
            error,
            format!("the server does not follow SCRAM-SHA-256: {expected}"),
            "{text}"
        );
    }
    // What is optional is read over, and part of what is proved.
    let extended = answer(&with("4096,x=1")).unwrap();
    assert_ne!(extended, CLIENT_FINAL);
    assert!(extended.starts_with("c=biws,"));
}

#[test]
fn attack_a12_a_server_with_a_wrong_signature_or_none_has_not_proved_itself() {
    for (last, is_malformed) in [
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", true),
        ("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", false),
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjk=", false),
        ("v=", true),
        ("", true),
        ("e=invalid-proof", true),
        (SERVER_FIRST, true),
    ] {
        let mut client = client("pencil", false, false).exchange(
            &Channel::default(),
            &[],
            "rOprNGfwEbeRWgbNEkqO".into(),
        );
        let _ = client.start();
        let _ = client.step(SERVER_FIRST.as_bytes()).unwrap();
        let error = client.step(last.as_bytes()).unwrap_err();
        assert_eq!(matches!(error, ClientError::Malformed { .. }), is_malformed, "{last}");
        assert!(matches!(client.completed(), Err(ClientError::Unproven(_))), "{last}");
    }
}

/// What a server makes of the last message of the client in the vector, somehow changed.
fn verdict(client_final: &str) -> ServerStep {
    let server = server(vec![StoredSecret::Scram(vector_verifier())], false);
    let mut server = server.exchange(&Channel::default(), &[], SERVER_NONCE.into());
    let _ = server.step(CLIENT_FIRST.as_bytes());
    server.step(client_final.as_bytes())
}

#[test]
fn attack_last_messages_of_clients_are_read_strictly() {
    for (from, to, expected) in [
        ("c=biws", "c=eSws", "the channel bindings differ: somebody is in between"),
        ("c=biws", "c=biwt", "the channel bindings differ: somebody is in between"),
        ("c=biws", "", "an attribute is missing or out of its place"),
        ("r=rOpr", "r=rOpR", "the nonce is another"),
        (",p=", ",m=1,p=", "mandatory extensions are not known here"),
        (",p=", ",P=", "the last message has no proof"),
        ("VQ=", "VR=", "what should be base64 is not"),
        ("AndVQ=", "And", "what should be base64 is not"),
        ("p=dHzbZapW", "p=", "the proof has not 32 bytes"),
    ] {
        assert!(CLIENT_FINAL.contains(from));
        let text = malformed(verdict(&CLIENT_FINAL.replacen(from, to, 1)));
        assert_eq!(text, format!("SASL(-5): bad protocol / cancel: {expected}"));
    }
    let wrong = CLIENT_FINAL.replace("p=dHz", "p=eHz");
    let ServerStep::Refused(refused) = verdict(&wrong) else { panic!() };
    assert_eq!((refused.claimed.as_deref(), &*refused.reason), (Some("user"), "wrong secret"));
}

#[test]
fn attack_nothing_follows_the_servers_proof_but_an_empty_message() {
    for (last, completes) in [(&b""[..], true), (b" ", false), (CLIENT_FINAL.as_bytes(), false)] {
        let server = server(vec![StoredSecret::Scram(vector_verifier())], false);
        let mut server = server.exchange(&Channel::default(), &[], SERVER_NONCE.into());
        let _ = goes_on(server.step(CLIENT_FIRST.as_bytes()));
        let _ = goes_on(server.step(CLIENT_FINAL.as_bytes()));
        let step = server.step(last);
        assert_eq!(matches!(step, ServerStep::Completed(_)), completes, "{step:?}");
        // And never again.
        assert!(malformed(server.step(b"")).contains("over"));
    }
}

#[test]
fn what_a_client_says_of_channel_binding_depends_on_what_it_was_offered() {
    let both = [PLUS.to_owned(), NAME.to_owned()];
    for (plus, plus_known, channel, offered, expected) in [
        (true, true, bound(1), &both[..], "p=tls-exporter,,"),
        // It could, and the server seems not to.
        (false, true, bound(1), &both[1..], "y,,"),
        // It does not, although both could; or cannot.
        (false, true, bound(1), &both[..], "n,,"),
        (false, false, bound(1), &both[1..], "n,,"),
        // The connection has none. That could be the doing of somebody in between.
        (false, true, Channel { encrypted: true, ..Channel::default() }, &both[1..], "y,,"),
        (false, true, Channel::default(), &both[1..], "y,,"),
        (false, false, Channel::default(), &both[1..], "n,,"),
    ] {
        let client = client("pencil", plus, plus_known);
        let first = client.exchange(&channel, offered, "x".into()).start().unwrap();
        assert_eq!(String::from_utf8(first).unwrap(), format!("{expected}n=user,r=x"));
    }
}

mod book {
    use super::super::book::{Book, Parameters};
    use super::*;
    use crate::live::Live;

    fn accounts(accounts: Vec<(&str, Vec<StoredSecret>)>) -> Accounts {
        let one = |(principal, secrets): (&str, _)| Account {
            principal: principal.into(),
            kinds: None,
            secrets,
        };
        accounts.into_iter().map(one).collect()
    }

    fn book(known: Vec<(&str, Vec<StoredSecret>)>) -> Book {
        Book::new(Arc::new(Arc::new(accounts(known))), Secret::from("key"), 5000)
    }

    fn plain(secret: &str) -> StoredSecret {
        StoredSecret::Plain(Secret::from(secret))
    }

    fn kept(salt: &[u8], iterations: u32) -> StoredSecret {
        StoredSecret::Scram(ScramVerifier {
            salt: salt.to_vec(),
            iterations,
            stored_key: [1; 32],
            server_key: Secret::new(vec![2; 32]),
        })
    }

    #[test]
    fn a_storm_of_exchanges_derives_once() {
        let book = book(vec![("agent", vec![plain("secret")])]);
        let parameters = book.parameters("agent");
        assert_eq!((parameters.salt.len(), parameters.iterations), (16, 5000));
        let first = book.candidates("agent", &parameters).keys.remove(0);
        for _ in 0..5000 {
            assert_eq!(book.parameters("agent"), parameters);
            let keys = book.candidates("agent", &parameters).keys;
            assert!(keys.len() == 1 && Arc::ptr_eq(&keys[0], &first));
        }
        let expected = ScramVerifier::derive(&Secret::from("secret"), &parameters.salt, 5000);
        assert_eq!(first.get(), Some(&expected));
    }

    #[test]
    fn what_was_derived_stays_while_the_secret_does_and_goes_with_it() {
        let live = Arc::new(Live::new(accounts(vec![("agent", vec![plain("secret")])])));
        let book = Book::new(Arc::clone(&live) as _, Secret::from("key"), 4096);
        let parameters = book.parameters("agent");
        let first = book.candidates("agent", &parameters).keys.remove(0);
        let other = ("other", vec![plain("x")]);
        live.replace(accounts(vec![("agent", vec![plain("secret")]), other]));
        let again = book.candidates("agent", &parameters).keys.remove(0);
        assert!(Arc::ptr_eq(&first, &again));
        live.replace(accounts(vec![("agent", vec![plain("changed")])]));
        let changed = book.candidates("agent", &parameters).keys.remove(0);
        assert_ne!(first.get(), changed.get());
        live.replace(accounts(vec![]));
        assert!(book.candidates("agent", &parameters).account.is_none());
        // Two changes later nothing of it is left: the book has no other holder of it.
        live.replace(accounts(vec![("z", vec![])]));
        let _ = book.parameters("z");
        drop(again);
        assert_eq!(Arc::strong_count(&first), 1);
    }

    #[test]
    fn attack_a9_strangers_have_salts_that_stay_and_counts_that_occur() {
        let book = book(vec![
            ("a", vec![kept(&[1; 24], 8192)]),
            ("b", vec![kept(&[2; 24], 8192)]),
            ("c", vec![plain("x")]),
            ("d", vec![StoredSecret::Argon2id("$argon2id$".into())]),
        ]);
        let mut counts = std::collections::BTreeMap::new();
        let mut salts = std::collections::BTreeSet::new();
        for n in 0..300 {
            let name = format!("stranger-{n}");
            let parameters = book.parameters(&name);
            assert_eq!(parameters, book.parameters(&name));
            *counts.entry((parameters.iterations, parameters.salt.len())).or_insert(0) += 1;
            salts.insert(parameters.salt);
        }
        assert_eq!(salts.len(), 300);
        let kinds: Vec<_> = counts.keys().copied().collect();
        assert_eq!(kinds, [(5000, 16), (8192, 24)]);
        assert!(counts[&(8192, 24)] > counts[&(5000, 16)]);
        // Who is known, but not to SCRAM, is a stranger to it.
        assert!(kinds.contains(&{
            let parameters = book.parameters("d");
            (parameters.iterations, parameters.salt.len())
        }));
        let candidates = book.candidates("d", &book.parameters("d"));
        assert!(candidates.account.is_none() && candidates.keys.len() == 1);
        // Another key, other salts.
        let other = Book::new(Arc::new(Arc::new(Accounts::default())), Secret::from("k2"), 4096);
        assert_ne!(other.parameters("stranger-1").salt, book.parameters("stranger-1").salt);
    }

    #[test]
    fn during_a_rotation_the_first_verifier_counts() {
        let book = book(vec![
            ("both", vec![kept(&[1; 16], 4096), kept(&[2; 16], 4096)]),
            ("shared", vec![kept(&[1; 16], 4096), kept(&[1; 16], 4096)]),
            ("mixed", vec![plain("new"), kept(&[1; 16], 4096)]),
        ]);
        for (name, keys) in [("both", 1), ("shared", 2), ("mixed", 2)] {
            let parameters = book.parameters(name);
            assert_eq!(parameters, Parameters { salt: vec![1; 16], iterations: 4096 });
            assert_eq!(book.candidates(name, &parameters).keys.len(), keys, "{name}");
        }
    }

    #[test]
    fn attack_a9_guesses_at_strangers_take_bounded_memory() {
        let book = book(vec![("agent", vec![plain("secret")])]);
        // A short salt and one iteration: what is kept is what is tested.
        let parameters = Parameters { salt: vec![1], iterations: 1 };
        for n in 0..5000 {
            let _ = book.candidates(&format!("stranger-{n}"), &parameters);
        }
        assert!(book.remembered() <= 2 * 1024 + 1, "{}", book.remembered());
    }
}
