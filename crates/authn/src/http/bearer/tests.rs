use std::net::{IpAddr, Ipv4Addr};

use model::time::Timestamp;

use super::*;
use crate::jwt::Key;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                     eyJjaWQiOiJjMSIsImVpZCI6ImUxIiwiZmlkIjoiZjEifQ.\
                     7adF6A3egyLJzf8SmHlfDISazOgOcapG2OoM7L4ej94";

fn ask(key: &str, header: Option<&[u8]>) -> Outcome {
    let verifier = Verifier::new(Some(Key::of_file(key.into())), None);
    let presented = Presented {
        authorization: header,
        certificate: None,
        encrypted: false,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        now: Timestamp::default(),
    };
    Bearer::new("r", verifier).authenticate(&presented).unwrap()
}

#[test]
fn challenges_are_the_originals() {
    let error = |why: &str| {
        format!("Bearer realm=\"r\", error=\"invalid_token\", error_description=\"{why}\"")
    };
    let malformed = error("Malformed 'Authorization' header");
    let other_key = error("Invalid JWT: Token signature does not match");
    let right = format!("Bearer {TOKEN}");
    for (key, header, expected) in [
        ("secret", None, "Bearer realm=\"r\"".to_owned()),
        ("secret", Some(""), malformed.clone()),
        ("secret", Some("Bearer"), malformed.clone()),
        ("secret", Some("Bearer a b"), malformed),
        ("secret", Some("Basic dTpw"), error("Scheme 'Basic' unsupported")),
        ("secret", Some("bearer x"), error("Scheme 'bearer' unsupported")),
        ("secret", Some("Bearer x"), error("Invalid JWT: Expected 3 components in token, got 1")),
        ("other", Some(&right), other_key),
    ] {
        let outcome = ask(key, header.map(str::as_bytes));
        let Outcome::Unauthorized(why) = outcome else { panic!("{header:?}: {outcome:?}") };
        assert_eq!(why.challenge, expected);
        assert_eq!(why.body, "401 Unauthorized.");
    }
    assert!(matches!(ask("secret", Some(right.as_bytes())), Outcome::Proved(_)));
}

#[test]
fn what_comes_from_outside_does_not_break_out_of_the_challenge() {
    for header in [&b"x\", realm=\"evil y"[..], b"\xff\x01 y", "é\r\n y".as_bytes()] {
        let Outcome::Unauthorized(why) = ask("secret", Some(header)) else { panic!("refused") };
        assert!(why.challenge.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", why.challenge);
        // A quote is written with a backslash in front: five pairs open and close.
        let plain = why.challenge.replace("\\\"", "");
        assert_eq!(plain.matches('"').count(), 6, "{}", why.challenge);
    }
}
