//! What credential files mean, and what is refused.

use model::identity::Kind;
use proptest::prelude::*;

use super::*;
use crate::accounts::derive::argon2id;

const WORKSHOP: &str = r#"{"credentials":[
    {"principal":"agent-principal","secret":"agent-secret"},
    {"principal":"scheduler-principal","secret":"scheduler-secret"}]}"#;

fn mesos(text: &str) -> Result<CredentialFile, FileError> {
    CredentialFile::parse(text.as_bytes(), Rules::Mesos)
}

fn own(text: &str) -> Result<CredentialFile, FileError> {
    CredentialFile::parse(text.as_bytes(), Rules::Own)
}

fn plain(account: &Account) -> Vec<&[u8]> {
    account
        .secrets
        .iter()
        .filter_map(|secret| match secret {
            StoredSecret::Plain(secret) => Some(secret.expose()),
            _ => None,
        })
        .collect()
}

#[test]
fn the_originals_file_is_read_as_it_is() {
    let file = mesos(WORKSHOP).unwrap();
    let accounts = file.accounts();
    let agent = accounts.get("agent-principal").unwrap();
    assert_eq!(plain(agent), [b"agent-secret"]);
    assert_eq!(agent.kinds, None);
    assert!(accounts.get("Agent-principal").is_none(), "byte by byte");
    assert_eq!(accounts.iter().count(), 2);
    let remarks = file.remarks();
    assert_eq!(remarks.len(), 4, "{remarks:?}");
    assert!(remarks.contains(&Remark::Plaintext("agent-principal".into())));
    assert!(remarks.contains(&Remark::WithoutKinds("scheduler-principal".into())));
}

#[test]
fn under_the_originals_names_the_originals_rules_hold() {
    // A missing secret is an empty one, what is unknown is not seen, the last of two counts.
    let file =
        mesos(r#"{"credentials":[{"principal":"p"},{"principal":"p","secret":"s","x":1}],"y":2}"#)
            .unwrap();
    assert_eq!(plain(file.accounts().get("p").unwrap()), [b"s"]);
    assert!(file.remarks().contains(&Remark::Duplicate("p".into())));
    let file = mesos(r#"{"credentials":[{"principal":"p","secret":null}]}"#).unwrap();
    assert_eq!(plain(file.accounts().get("p").unwrap()), [b""]);
    assert_eq!(file.remarks()[0], Remark::EmptySecret("p".into()));
    for nobody in ["{}", r#"{"credentials":[]}"#, r#"{"credentials":null}"#] {
        let file = mesos(nobody).unwrap();
        assert_eq!(file.accounts().iter().count(), 0);
        assert_eq!(file.remarks(), [Remark::Nobody]);
    }
}

#[test]
fn what_cannot_be_used_is_refused_under_every_name_without_secrets_in_the_text() {
    for (text, expected) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{", "it is not JSON: line 1"),
        ("ops s3cret\nweb s3cret\n", "the form `principal secret`"),
        ("[]", "no JSON object"),
        (r#""s3cret""#, "no JSON object"),
        (r#"{"credentials":{}}"#, "no list `credentials`"),
        (r#"{"credentials":["s3cret"]}"#, "entry 1: is no JSON object"),
        (r#"{"credentials":[{"secret":"s3cret"}]}"#, "entry 1: has no `principal`"),
        (r#"{"credentials":[{"principal":7,"secret":"s3cret"}]}"#, "that is no string"),
        (
            r#"{"credentials":[{"principal":"p","secret":["s3cret"]}]}"#,
            "`secret` that is no string",
        ),
        (r#"{"credentials":[{"principal":"p","scram-sha-256":"s3cret"}]}"#, "is not of the form"),
        (r#"{"credentials":[{"principal":"p","argon2id":"s3cret"}]}"#, "is no argon2id hash"),
        (r#"{"credentials":[{"principal":"p","kinds":["s3cret"]}]}"#, "no list of some of"),
        (r#"{"credentials":[{"principal":"p","kinds":[]}]}"#, "no list of some of"),
        (r#"{"credentials":[{"principal":"p","kinds":"agent"}]}"#, "no list of some of"),
        (r#"{"credentials":[{"principal":"p","secret":"a","previous":"s3cret"}]}"#, "`previous`"),
        (r#"{"credentials":[{"principal":"p","secret":"a","previous":{}}]}"#, "`previous`"),
    ] {
        for rules in [Rules::Mesos, Rules::Own] {
            let error = CredentialFile::parse(text.as_bytes(), rules).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}

#[test]
fn under_our_names_every_entry_says_all_that_there_is_to_say() {
    let error = own(WORKSHOP).unwrap_err().to_string();
    let expected = "entry 1 (\"agent-principal\"): does not say for what it is: add \"kinds\": ";
    assert!(error.starts_with(expected), "{error}");
    for (text, expected) in [
        (r#"{"credentials":[{"principal":"p","kinds":["agent"]}]}"#, "no secret"),
        (r#"{"credentials":[{"principal":"p","secret":"","kinds":["agent"]}]}"#, "an empty one"),
        (r#"{"credentials":[{"principal":"","secret":"s","kinds":["agent"]}]}"#, "is empty"),
        (
            r#"{"credentials":[{"principal":"p","Secret":"s","kinds":["agent"]}]}"#,
            "unknown key `Secret`; did you mean `secret`?",
        ),
        (
            r#"{"credentials":[{"principal":"p","secret":"s","kinds":["agent"],"scram_sha256":""}]}"#,
            "unknown key `scram_sha256`; did you mean `scram-sha-256`?",
        ),
        (r#"{"credentials":[],"principals":[]}"#, "the file: unknown key `principals`"),
        ("{}", "no list `credentials`"),
    ] {
        let error = own(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let file =
        own(r#"{"credentials":[{"principal":"p","secret":"s","kinds":["operator","agent"]}]}"#)
            .unwrap();
    let kinds = file.accounts().get("p").unwrap().kinds.unwrap();
    assert!(kinds.contains(Kind::Agent) && kinds.contains(Kind::Operator));
    assert!(!kinds.contains(Kind::Master));
}

#[test]
fn attack_a_misspelt_secret_does_not_become_an_empty_one() {
    for key in ["scram_sha_256", "argon2", "Secret", "password"] {
        let text = format!(r#"{{"credentials":[{{"principal":"p","{key}":"s3cret"}}]}}"#);
        let error = mesos(&text).unwrap_err().to_string();
        assert!(error.contains(&format!("unknown key `{key}`")), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        let single = format!(r#"{{"principal":"p","{key}":"s3cret"}}"#);
        assert!(Entry::parse_single(single.as_bytes(), Rules::Mesos).is_err());
    }
}

#[test]
fn two_secrets_are_valid_during_a_rotation() {
    let file = own(r#"{"credentials":[{"principal":"p","secret":"new","kinds":["agent"],
            "previous":{"secret":"old"}}]}"#)
    .unwrap();
    assert_eq!(plain(file.accounts().get("p").unwrap()), [b"new", b"old"]);
    assert!(file.remarks().contains(&Remark::Rotating("p".into())));
}

#[test]
fn hashed_forms_verify_the_secret_that_they_were_made_of() {
    let secret = Secret::from("s3cret");
    let scram = ScramVerifier::derive(&secret, b"salt", 4096);
    let stored = Stored {
        scram: Some(scram),
        argon2id: Some(argon2id(&secret, &[1; 16]).unwrap()),
        secret: None,
    };
    let entry = Entry::new("p", Some(Kinds::only(Kind::Agent)), stored);
    let file = CredentialFile { entries: vec![entry], ..CredentialFile::default() };
    assert!(!file.to_text().contains("s3cret"));
    let read = own(&file.to_text()).unwrap();
    let secrets = &read.accounts().get("p").unwrap().secrets.clone();
    assert_eq!(secrets.len(), 2);
    assert!(secrets.iter().all(|stored| stored.verifies(&secret)));
    assert!(!secrets.iter().any(|stored| stored.verifies(&Secret::from("S3cret"))));
    assert_eq!(read.remarks(), []);
}

#[test]
fn an_agents_file_is_one_entry_with_the_secret_itself() {
    let parse = |text: &str, rules| Entry::parse_single(text.as_bytes(), rules);
    for rules in [Rules::Mesos, Rules::Own] {
        let entry = parse(r#"{"principal":"a","secret":"s"}"#, rules).unwrap();
        let credential = entry.credential();
        assert_eq!((credential.principal.as_str(), credential.secret.expose()), ("a", &b"s"[..]));
        for (text, expected) in [
            ("", "it is empty"),
            ("[]", "no JSON object"),
            (WORKSHOP, "it is a list"),
            (r#"{"secret":"s"}"#, "has no `principal`"),
        ] {
            let error = parse(text, rules).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
    let without = r#"{"principal":"a"}"#;
    assert!(parse(without, Rules::Mesos).unwrap().credential().secret.is_empty());
    assert!(parse(without, Rules::Own).is_err());
    let text = VerifierText(&ScramVerifier::derive(&Secret::from("s"), b"salt", 4096)).to_string();
    let hashed = format!(r#"{{"principal":"a","scram-sha-256":"{text}"}}"#);
    assert!(parse(&hashed, Rules::Mesos).unwrap_err().to_string().contains("no secret itself"));
}

#[test]
fn what_is_unknown_survives_being_written() {
    let text = r#"{"credentials":[{"principal":"p","secret":"s","x":{"y":[1]}}],"z":true}"#;
    let written = mesos(text).unwrap().to_text();
    let value: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn nothing_secret_is_printed_by_debug() {
    let file = mesos(r#"{"credentials":[{"principal":"p","secret":"s3cret"}]}"#).unwrap();
    assert!(!format!("{file:?}{:?}", file.accounts()).contains("s3cret"));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        entries in proptest::collection::vec(
            (".{1,12}", ".{0,12}", proptest::option::of(0_usize..5), proptest::bool::ANY), 0..5)
    ) {
        let entries = entries.into_iter().map(|(principal, secret, kind, rotating)| {
            let kinds = kind.map(|kind| Kinds::only(Kind::ALL[kind]));
            let mut entry = Entry::new(principal, kinds, Stored::plain(Secret::from(&*secret)));
            entry.previous = rotating.then(|| Stored::plain(Secret::from("before")));
            entry
        });
        let file = CredentialFile { entries: entries.collect(), ..CredentialFile::default() };
        let read = mesos(&file.to_text()).unwrap();
        prop_assert_eq!(read.entries.len(), file.entries.len());
        for (read, written) in read.entries.iter().zip(&file.entries) {
            prop_assert_eq!(&read.principal, &written.principal);
            prop_assert_eq!(read.kinds, written.kinds);
            prop_assert_eq!(&read.stored.secret, &written.stored.secret);
            prop_assert_eq!(read.previous.is_some(), written.previous.is_some());
        }
    }

    #[test]
    fn nothing_panics_on_what_comes_from_outside(text in proptest::collection::vec(any::<u8>(), 0..99)) {
        for rules in [Rules::Mesos, Rules::Own] {
            let _ = CredentialFile::parse(&text, rules);
            let _ = Entry::parse_single(&text, rules);
        }
    }
}
