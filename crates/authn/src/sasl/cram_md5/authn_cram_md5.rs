use model::identity::Kind;

use super::*;
use crate::accounts::{Account, Accounts, ScramVerifier};

/// RFC 2195 §2, and what was recorded of the original.
const VECTORS: [(&str, &str, &str, &str); 4] = [
    (
        "tim",
        "tanstaaftanstaaf",
        "<1896.697170952@postoffice.reston.mci.net>",
        "tim b913a602c7eda7a495b4e6e7334d3890",
    ),
    (
        "principal1",
        "secret1",
        "<1234567890.1234567@master.example.com>",
        "principal1 77c3d60df119eefd0555e0ee777b6235",
    ),
    (
        "agent-principal",
        "agent-secret",
        "<1888030161.145260@vm>",
        "agent-principal 426f6a86375cadcb5e37b12088634d33",
    ),
    (
        "scheduler-principal",
        "scheduler-secret",
        "<3635830951.145262@vm>",
        "scheduler-principal 535b2353feb3355182ff01f92a859186",
    ),
];

fn account(principal: &str, secrets: Vec<StoredSecret>) -> Account {
    Account { principal: principal.into(), kinds: Some(Kinds::only(Kind::Framework)), secrets }
}

fn plain(secret: &str) -> StoredSecret {
    StoredSecret::Plain(Secret::from(secret))
}

fn directory() -> Arc<dyn Directory> {
    let vectors = VECTORS.iter().map(|(name, secret, ..)| account(name, vec![plain(secret)]));
    let salt = [0; 16];
    let hashed = StoredSecret::Scram(ScramVerifier::derive(&Secret::from("x"), &salt, 4096));
    let others = [
        account("two words", vec![plain("secret1")]),
        account("empty", vec![plain("")]),
        account("nul", vec![plain("secret1\0more")]),
        account("hashed", vec![hashed]),
    ];
    Arc::new(Arc::new(vectors.chain(others).collect::<Accounts>()))
}

/// What the server answers to `response` after `challenge`.
fn verify(challenge: &str, response: &[u8]) -> String {
    let mut exchange = Exchange {
        directory: directory(),
        challenge: challenge.as_bytes().to_vec(),
        state: State::Begun,
    };
    let ServerStep::Continue(sent) = exchange.step(b"") else { panic!() };
    assert_eq!(sent, challenge.as_bytes());
    match exchange.step(response) {
        ServerStep::Continue(_) | ServerStep::Confirm { .. } => {
            panic!("there is nothing more to say")
        }
        ServerStep::Completed(accepted) => {
            assert_eq!(accepted.proved.kinds, Kinds::only(Kind::Framework));
            assert_eq!(accepted.key, None);
            format!("completed {}", accepted.proved.principal)
        }
        ServerStep::Refused(refused) => {
            format!("refused {:?}: {}", refused.claimed.unwrap(), refused.reason)
        }
        ServerStep::Malformed(text) => text,
    }
}

#[test]
fn vectors_are_spoken_by_both_sides() {
    for (principal, secret, challenge, response) in VECTORS {
        let credential = Credential { principal: principal.into(), secret: Secret::from(secret) };
        let client = Client::new(credential, true);
        let mut client = client.begin(&Channel::default(), &[], Nonce([0; 24]));
        assert_eq!(client.start().unwrap(), b"");
        assert_eq!(client.step(challenge.as_bytes()).unwrap(), response.as_bytes());
        assert_eq!(client.completed(), Ok(ServerProof { mutual: false, key: None }));
        assert_eq!(verify(challenge, response.as_bytes()), format!("completed {principal}"));
    }
}

#[test]
fn responses_are_judged_as_the_original_judges_them() {
    let (principal, secret, challenge, response) = VECTORS[1];
    let digits = &response[principal.len() + 1..];
    let mine = |secret: &str| {
        String::from_utf8(digest(&Secret::from(secret), challenge.as_bytes()).to_vec()).unwrap()
    };
    assert_eq!(mine(secret), digits);
    let bad = |detail: &str| format!("SASL(-5): bad protocol / cancel: {detail}");
    for (response, expected) in [
        // The name ends at the last space, is stripped, and belongs to an account exactly.
        (format!("two words {digits}"), "completed two words".to_owned()),
        (format!(" \t\r\n\x0b\x0c{principal}\n {digits}"), format!("completed {principal}")),
        (format!("Principal1 {digits}"), "refused \"Principal1\": unknown principal".into()),
        (format!("two  words {digits}"), "refused \"two  words\": unknown principal".into()),
        (digits.to_owned(), bad("the response has no space")),
        (format!(" {digits}"), bad("the response names nobody")),
        (format!(" \t {digits}"), bad("the name in the response is blank")),
        // 32 characters count.
        (format!("{response}and-more"), format!("completed {principal}")),
        (format!("{response} "), format!("refused {:?}: unknown principal", response)),
        (response[..response.len() - 1].into(), format!("refused {principal:?}: wrong secret")),
        (format!("{principal} "), format!("refused {principal:?}: wrong secret")),
        (
            format!("{principal} {}", digits.to_uppercase()),
            format!("refused {principal:?}: wrong secret"),
        ),
        (format!("{principal} {}", mine("other")), format!("refused {principal:?}: wrong secret")),
        // Secrets that are none.
        (format!("empty {}", mine("")), "SASL(-1): generic failure: empty secret".into()),
        (format!("nul {}", mine("secret1\0more")), "refused \"nul\": wrong secret".into()),
        (format!("nul {}", mine("secret1")), "refused \"nul\": wrong secret".into()),
        (
            format!("hashed {}", mine("x")),
            "refused \"hashed\": of this principal no secret is kept that CRAM-MD5 could use"
                .into(),
        ),
        (format!("nobody {}", mine("nobody's")), "refused \"nobody\": unknown principal".into()),
        // Lengths.
        (String::new(), bad("the response has no space")),
        (
            format!("{} {digits}", "x".repeat(1024 - 33)),
            format!("refused {:?}: unknown principal", "x".repeat(1024 - 33)),
        ),
        (format!("{} {digits}", "x".repeat(1024 - 32)), bad("the response is too long")),
    ] {
        assert_eq!(verify(challenge, response.as_bytes()), expected, "{response:?}");
    }
    let not_utf8 = [b"\xff ", digits.as_bytes()].concat();
    assert_eq!(verify(challenge, &not_utf8), "refused \"\u{fffd}\": unknown principal");
}

#[test]
fn initial_data_is_no_protocol() {
    let server = Server::new(directory(), "vm", true);
    let mut exchange = server.begin(&Channel::default(), &[], Nonce([0; 24]));
    let ServerStep::Malformed(text) = exchange.step(b"tim") else { panic!() };
    assert_eq!(text, "SASL(-5): bad protocol / cancel: CRAM-MD5 takes no initial data");
}

#[test]
fn challenges_look_like_those_of_the_original_and_differ() {
    let challenge = |host: &str, nonce: u8| {
        let server = Server::new(directory(), host, true);
        let mut exchange = server.begin(&Channel::default(), &[], Nonce([nonce; 24]));
        let ServerStep::Continue(challenge) = exchange.step(b"") else { panic!() };
        String::from_utf8(challenge).unwrap()
    };
    let first = challenge("master1.example.com", 1);
    let inner = first.strip_prefix('<').unwrap().strip_suffix("@master1.example.com>").unwrap();
    let (number, time) = inner.split_once('.').unwrap();
    assert!([number, time].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit())), "{first}");
    assert_ne!(first, challenge("master1.example.com", 2));
    let odd = challenge(&format!("a<b>\u{0}\u{e4} c{}", "x".repeat(500)), 255);
    assert!(odd.len() <= 199 && odd.contains("@abcx"), "{odd}");
    assert!(odd.bytes().all(|byte| byte.is_ascii_graphic()), "{odd}");
}

#[test]
fn attack_a_client_answers_one_challenge_of_bounded_length_and_believes_nobody_before() {
    let client = || {
        let credential = Credential { principal: "p".into(), secret: Secret::from("s") };
        Client::new(credential, true).begin(&Channel::default(), &[], Nonce([0; 24]))
    };
    assert!(matches!(client().completed(), Err(ClientError::Unproven(_))));
    assert!(matches!(client().step(b""), Err(ClientError::Malformed { .. })));
    assert!(client().step(&[b'x'; 1024]).is_ok());
    assert!(matches!(client().step(&[b'x'; 1025]), Err(ClientError::Malformed { .. })));
    let mut twice = client();
    assert!(twice.step(b"<1.2@h>").is_ok());
    assert!(matches!(twice.step(b"<1.2@h>"), Err(ClientError::Malformed { .. })));
}
