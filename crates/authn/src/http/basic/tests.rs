use std::net::{IpAddr, Ipv4Addr};

use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::identity::Kind;
use model::principal::Kinds;
use model::time::Timestamp;

use super::recent::REMEMBERED;
use super::*;
use crate::accounts::{Account, Accounts, ScramVerifier, StoredSecret};
use crate::live::Live;

/// The cheapest that argon2 knows: these tests count computations.
fn argon2id(secret: &str) -> StoredSecret {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(secret.as_bytes(), b"sixteen bytes ..").unwrap();
    StoredSecret::Argon2id(hash.to_string())
}

fn scram(secret: &str) -> StoredSecret {
    StoredSecret::Scram(ScramVerifier::derive(&secret.into(), b"sixteen bytes ..", 4096))
}

fn plain(secret: &str) -> StoredSecret {
    StoredSecret::Plain(secret.into())
}

fn account(principal: &str, secrets: Vec<StoredSecret>) -> Account {
    Account { principal: principal.to_owned(), kinds: None, secrets }
}

fn basic(accounts: Vec<Account>) -> (Basic, Arc<Live<Accounts>>) {
    let live = Arc::new(Live::new(accounts.into_iter().collect::<Accounts>()));
    (Basic::new("r", live.clone(), [7; 32]), live)
}

fn at(authorization: Option<&[u8]>, seconds: u64) -> Presented<'_> {
    Presented {
        authorization,
        certificate: None,
        encrypted: false,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        now: Timestamp::new(Duration::from_secs(seconds)),
    }
}

fn header(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn ask(basic: &Basic, header: &str) -> Outcome {
    basic.authenticate(&at(Some(header.as_bytes()), 0)).unwrap()
}

/// Who gets in with it.
fn who(basic: &Basic, header: &str) -> Option<String> {
    match ask(basic, header) {
        Outcome::Proved(proved) => Some(proved.principal.to_string()),
        Outcome::Unauthorized(why) => {
            assert_eq!(why.challenge, "Basic realm=\"r\"");
            assert_eq!(why.body, "401 Unauthorized.");
            None
        }
        Outcome::Forbidden { .. } => panic!("Basic forbids nobody"),
    }
}

#[test]
fn the_header_is_read_as_the_original_reads_it() {
    let (basic, _) = basic(vec![
        account("user", vec![plain("password")]),
        account("empty", vec![plain("")]),
        account("a:b", vec![plain("c")]),
        account("é", vec![plain("\u{1f511}")]),
    ]);
    let unpadded = format!("Basic {}", STANDARD_NO_PAD.encode("user:password"));
    let spread = header("user:password").replace("Basic dXNlc", "Basic dXN\tlc");
    for (right, expected) in [
        (header("user:password"), "user"),
        (unpadded, "user"),
        (spread, "user"),
        (header("empty:"), "empty"),
        (header("é:\u{1f511}"), "é"),
    ] {
        assert_eq!(who(&basic, &right).as_deref(), Some(expected), "{right}");
    }
    let encoded = STANDARD.encode("user:password");
    for wrong in [
        String::new(),
        "Basic".into(),
        "Basic ".into(),
        header("user:passwort"),
        header("user:"),
        header(":"),
        header("user"),
        header("User:password"),
        header("empty:x"),
        header("nobody:password"),
        // Whoever has a colon in name or secret does not get in.
        header("a:b:c"),
        header("user:password:"),
        format!("basic {encoded}"),
        format!("BASIC {encoded}"),
        format!("Basic  {encoded}"),
        format!(" Basic {encoded}"),
        format!("Basic {encoded} "),
        format!("Basic {encoded} x"),
        format!("Basic\t{encoded}"),
        format!("Basic {encoded}!"),
        format!("Bearer {encoded}"),
    ] {
        assert_eq!(who(&basic, &wrong), None, "{wrong:?}");
    }
    let not_text =
        header("\u{0}:x").replace(&STANDARD.encode("\u{0}:x"), &STANDARD.encode(b"\xff:x"));
    assert_eq!(who(&basic, &not_text), None);
}

#[test]
fn who_claimed_to_be_whom_is_told_only_where_it_came_to_a_secret() {
    let (basic, _) = basic(vec![account("user", vec![plain("password")])]);
    for (header, claimed, reason) in [
        (Some(header("user:x")), Some("user"), "wrong secret"),
        (Some(header("nobody:x")), Some("nobody"), "unknown principal"),
        (Some("Basic x".into()), None, "not base64"),
        (None, None, "no credentials"),
    ] {
        let outcome = basic.authenticate(&at(header.as_deref().map(str::as_bytes), 0)).unwrap();
        let Outcome::Unauthorized(why) = outcome else { panic!("{outcome:?}") };
        assert_eq!((why.claimed.as_deref(), why.reason.as_str()), (claimed, reason));
        assert_eq!(why.tried, claimed.is_some());
    }
}

#[test]
fn without_accounts_nobody_gets_in() {
    let (basic, _) = basic(Vec::new());
    assert_eq!(basic.scheme(), "Basic");
    for header in [header("user:password"), header(":"), String::new()] {
        assert_eq!(who(&basic, &header), None);
    }
}

#[test]
fn both_secrets_of_a_rotation_are_right_and_kinds_are_kept() {
    let kinds = Some(Kinds::only(Kind::Operator));
    let secrets = vec![plain("new"), argon2id("old")];
    let (basic, _) = basic(vec![Account { kinds, ..account("ops", secrets) }]);
    for secret in ["new", "old"] {
        let Outcome::Proved(proved) = ask(&basic, &header(&format!("ops:{secret}"))) else {
            panic!("{secret} is right")
        };
        assert_eq!((proved.kinds, proved.method), (Kinds::only(Kind::Operator), Method::BASIC));
    }
    assert_eq!(who(&basic, &header("ops:older")), None);
}

/// Row A9: who is known cannot be told by what an attempt costs.
#[test]
fn attack_a9_every_wrong_attempt_costs_the_same() {
    let (basic, _) = basic(vec![
        account("plain", vec![plain("a")]),
        account("argon", vec![argon2id("b")]),
        account("rotated", vec![argon2id("c"), argon2id("d"), scram("e")]),
        account("scram", vec![scram("f")]),
    ]);
    let cost = |pair: &str| {
        let before = basic.work();
        assert_eq!(who(&basic, &header(pair)), None, "{pair}");
        let after = basic.work();
        (after.argon2id - before.argon2id, after.pbkdf2 - before.pbkdf2)
    };
    for pair in ["plain:x", "argon:x", "rotated:x", "scram:x", "nobody:x", ":x", "plain:"] {
        assert_eq!(cost(pair), (2, 1), "{pair}");
    }
    // And a right one for the first time.
    let before = basic.work();
    assert!(who(&basic, &header("plain:a")).is_some());
    assert_eq!(basic.work().argon2id - before.argon2id, 2);
}

#[test]
fn a_client_that_asks_often_computes_once_until_the_accounts_change() {
    let (basic, live) = basic(vec![account("user", vec![argon2id("password")])]);
    let right = header("user:password");
    let wrong = header("user:passwort");
    let presented = |header| at(Some(header), 0);
    assert_eq!(basic.cost(&presented(right.as_bytes())), Cost::Blocking);
    for _ in 0..100 {
        assert!(who(&basic, &right).is_some());
    }
    assert_eq!(basic.work().argon2id, 1);
    assert_eq!(basic.cost(&presented(right.as_bytes())), Cost::Light);
    // Failures are not remembered, and what needs no computation takes no thread.
    for n in 2..5 {
        assert_eq!(basic.cost(&presented(wrong.as_bytes())), Cost::Blocking);
        assert!(who(&basic, &wrong).is_none());
        assert_eq!(basic.work().argon2id, n);
    }
    assert_eq!(basic.cost(&presented(b"Basic")), Cost::Light);
    assert_eq!(basic.cost(&at(None, 0)), Cost::Light);
    // Nor is anything remembered for long.
    assert_eq!(basic.cost(&at(Some(right.as_bytes()), 299)), Cost::Light);
    assert_eq!(basic.cost(&at(Some(right.as_bytes()), 300)), Cost::Blocking);

    live.replace([account("user", vec![argon2id("another")])].into_iter().collect());
    assert_eq!(who(&basic, &right), None);
    assert!(who(&basic, &header("user:another")).is_some());
    live.replace([account("user", vec![plain("password")])].into_iter().collect());
    assert_eq!(basic.cost(&presented(right.as_bytes())), Cost::Light);
    assert!(who(&basic, &right).is_some());
}

#[test]
fn what_is_remembered_is_bounded() {
    let accounts = Arc::new(Accounts::default());
    let recent = Recent::new([1; 32], REMEMBERED_FOR);
    let given = |n: usize| Given { principal: n.to_string(), secret: "s".into() };
    let now = Timestamp::default();
    for n in 0..=REMEMBERED {
        recent.remember(&accounts, &given(n), Kinds::ANY, now);
        recent.remember(&accounts, &given(n), Kinds::ANY, now);
    }
    assert_eq!(recent.find(&accounts, &given(0), now), None, "the oldest is forgotten");
    assert_eq!(recent.find(&accounts, &given(1), now), Some(Kinds::ANY));
    assert_eq!(recent.find(&accounts, &given(REMEMBERED), now), Some(Kinds::ANY));
    // One pair is not another one with the same bytes.
    let shifted = Given { principal: "1s".into(), secret: Secret::new(Vec::new()) };
    assert_eq!(recent.find(&accounts, &shifted, now), None);
}

#[test]
fn what_the_client_sends_is_what_the_server_reads() {
    let (basic, _) = basic(vec![account("user", vec![plain("pass word")])]);
    let client = BasicAuthenticatee::new("user", &"pass word".into());
    assert_eq!(client.scheme(), "Basic");
    let sent = client.authorization();
    assert_eq!(who(&basic, std::str::from_utf8(sent.expose()).unwrap()).as_deref(), Some("user"));
    assert!(!format!("{client:?} {basic:?}").contains("pass word"));
}
