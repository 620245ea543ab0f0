//! All mechanisms of this crate, with all forms in which secrets are kept, against the rules that
//! every mechanism must hold.

use std::sync::Arc;

use model::identity::Kind;
use model::principal::Kinds;
use proptest::prelude::*;

use super::attempt::{self, Attempt};
use super::offer::{Authenticatees, Authenticators, ClientSettings, MECHANISMS, ServerSettings};
use super::*;
use crate::accounts::derive::argon2id;
use crate::accounts::{Account, Accounts, Credential, Directory, ScramVerifier, StoredSecret};
use crate::conformance::{self, Case, ServerEnd};
use crate::live::Live;
use crate::proved::Method;
use crate::secret::Secret;

const ALL: [&str; 5] = MECHANISMS;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn plain(secret: &str) -> StoredSecret {
    StoredSecret::Plain(Secret::from(secret))
}

fn scram(secret: &str, salt: &[u8; 16]) -> StoredSecret {
    StoredSecret::Scram(ScramVerifier::derive(&Secret::from(secret), salt, 4096))
}

fn hashed(secret: &str) -> StoredSecret {
    // Small parameters: what they cost is not what is tested.
    let salt = "YWxjYXphcnRlc3RzYWx0";
    let mut hash = [0; 32];
    let params = argon2::Params::new(16, 1, 1, Some(32)).unwrap();
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(secret.as_bytes(), b"alcazartestsalt", &mut hash)
        .unwrap();
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, hash);
    StoredSecret::Argon2id(format!("$argon2id$v=19$m=16,t=1,p=1${salt}${hash}"))
}

fn account(principal: &str, secrets: Vec<StoredSecret>) -> Account {
    let kinds = Some(Kinds::only(Kind::Agent));
    Account { principal: principal.into(), kinds, secrets }
}

fn accounts(secrets: Vec<StoredSecret>) -> Accounts {
    [account("agent-principal", secrets)].into_iter().collect()
}

fn server(mechanisms: &[&str], directory: Arc<dyn Directory>) -> Authenticators {
    let settings = ServerSettings {
        mechanisms: names(mechanisms),
        danger_plaintext_secrets: true,
        host: "master.example.com".into(),
        salt_key: Secret::from("a key for salts"),
        iterations: 4096,
    };
    Authenticators::from_settings(&settings, &directory).unwrap()
}

fn clients(mechanisms: &[&str], principal: &str, secret: &str) -> Authenticatees {
    let credential = Credential { principal: principal.into(), secret: Secret::from(secret) };
    let settings = ClientSettings {
        mechanisms: names(mechanisms),
        danger_plaintext_secrets: true,
        credential: Some(credential),
        certificate: true,
    };
    Authenticatees::from_settings(&settings).unwrap()
}

fn client(mechanism: &str, principal: &str, secret: &str) -> Arc<dyn Authenticatee> {
    let all = clients(&ALL, principal, secret);
    Arc::clone(all.iter().find(|one| one.mechanism() == mechanism).unwrap())
}

/// An encrypted connection on which both ends have shown certificates.
fn tls(binding: u8) -> Channel {
    let certificate =
        Certified { principal: "agent-principal".into(), kinds: Kinds::only(Kind::Agent) };
    Channel { encrypted: true, binding: Some([binding; 32]), certificate: Some(certificate) }
}

fn case(mechanism: &str, secrets: Vec<StoredSecret>) -> Case {
    let has_secret = mechanism != external::NAME;
    let some = |principal, secret| has_secret.then(|| client(mechanism, principal, secret));
    Case {
        server: server(&ALL, Arc::new(Arc::new(accounts(secrets)))),
        server_channel: tls(7),
        client_channel: tls(7),
        client: client(mechanism, "agent-principal", "agent-secret"),
        principal: "agent-principal".into(),
        impostor: some("agent-principal", "agent-secreT"),
        stranger: some("agent-principaL", "agent-secret"),
        rests_on_channel: matches!(mechanism, external::NAME | plain::NAME),
        binds_channel: mechanism == scram::PLUS,
        is_mutual: matches!(mechanism, scram::PLUS | scram::NAME),
    }
}

fn conforms(mechanism: &str, secrets: Vec<StoredSecret>) {
    if let Err(violation) = conformance::check(&case(mechanism, secrets)) {
        panic!("{violation}");
    }
}

#[test]
fn attack_conformance_of_scram_with_channel_binding() {
    conforms(scram::PLUS, vec![scram("agent-secret", &[1; 16])]);
}

#[test]
fn attack_conformance_of_scram_with_plain_secrets() {
    conforms(scram::NAME, vec![plain("agent-secret")]);
}

#[test]
fn attack_conformance_of_external() {
    conforms(external::NAME, vec![]);
}

#[test]
fn attack_conformance_of_plain_with_each_form() {
    conforms(plain::NAME, vec![plain("agent-secret")]);
    conforms(plain::NAME, vec![hashed("agent-secret")]);
    // Each question derives, which takes its time: not each bit of it.
    let case = case(plain::NAME, vec![scram("agent-secret", &[1; 16])]);
    conformance::completes(&case).unwrap();
    conformance::wrong_secrets_are_refused(&case).unwrap();
    conformance::strangers_look_like_impostors(&case).unwrap();
}

#[test]
fn attack_conformance_of_cram_md5() {
    conforms(cram_md5::NAME, vec![plain("agent-secret")]);
}

/// The suite itself finds what is wrong: a server that lets everybody in fails it.
#[test]
fn authn_conformance_fails_what_does_not_conform() {
    #[derive(Debug)]
    struct Open;
    impl Authenticator for Open {
        fn mechanism(&self) -> &str {
            "PLAIN"
        }
        fn is_offered(&self, _: &Channel) -> bool {
            true
        }
        fn cost(&self) -> Cost {
            Cost::Light
        }
        fn begin(&self, _: &Channel, _: &[String], _: Nonce) -> Box<dyn ServerExchange> {
            Box::new(Self)
        }
    }
    impl ServerExchange for Open {
        fn step(&mut self, _: &[u8]) -> ServerStep {
            let principal = model::principal::Principal::named("agent-principal");
            let method = Method::new("PLAIN");
            let proved = Proved { principal, kinds: Kinds::ANY, method };
            ServerStep::Completed(Accepted { proved, key: None })
        }
    }
    let server = Authenticators::new(vec![Arc::new(Open)]);
    let case = Case { server, ..case(plain::NAME, vec![]) };
    conformance::completes(&case).unwrap();
    for rule in [
        conformance::is_not_offered_where_it_is_not_safe,
        conformance::wrong_secrets_are_refused,
        conformance::no_flipped_bit_authenticates,
        conformance::no_shortened_message_authenticates,
        conformance::no_replay_authenticates,
        conformance::no_garbage_authenticates,
        conformance::check,
    ] {
        assert!(rule(&case).is_err());
    }
}

#[test]
fn authn_secrets_are_not_said_in_plaintext_unless_that_is_allowed() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let settings = ServerSettings {
        mechanisms: names(&ALL),
        danger_plaintext_secrets: false,
        host: String::new(),
        salt_key: Secret::from("key"),
        iterations: 4096,
    };
    let careful = Authenticators::from_settings(&settings, &directory).unwrap();
    assert_eq!(careful.offered(&Channel::default()), ["SCRAM-SHA-256"]);
    assert_eq!(careful.offered(&tls(1)), ALL);
    let open = server(&ALL, directory);
    assert_eq!(open.offered(&Channel::default()), ["SCRAM-SHA-256", "CRAM-MD5"]);
    let credential = Credential { principal: "p".into(), secret: Secret::from("agent-secret") };
    let settings = ClientSettings {
        mechanisms: names(&ALL),
        danger_plaintext_secrets: false,
        credential: Some(credential),
        certificate: true,
    };
    let clients = Authenticatees::from_settings(&settings).unwrap();
    let usable = |channel: &Channel| {
        clients
            .iter()
            .filter(|one| one.is_usable(channel))
            .map(|one| one.mechanism().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(usable(&Channel::default()), ["SCRAM-SHA-256"]);
    assert_eq!(usable(&tls(1)), ALL);
    // Encrypted, but to whom?
    let unverified = Channel { certificate: None, ..tls(1) };
    assert!(!usable(&unverified).contains(&"PLAIN".to_owned()));
}

#[test]
fn authn_mechanisms_are_offered_where_some_account_could_use_them() {
    let offered =
        |secrets| server(&ALL, Arc::new(Arc::new(accounts(secrets)))).offered(&Channel::default());
    assert_eq!(offered(vec![plain("s")]), ["SCRAM-SHA-256", "CRAM-MD5"]);
    assert_eq!(offered(vec![scram("s", &[1; 16])]), ["SCRAM-SHA-256"]);
    assert!(offered(vec![hashed("s")]).is_empty());
    // Without any account everybody is told that they are unknown.
    assert_eq!(offered(vec![]), ["SCRAM-SHA-256", "CRAM-MD5"]);
}

#[test]
fn authn_anonymous_is_not_offered_and_unknown_names_are_errors() {
    assert!(!ALL.contains(&"ANONYMOUS"));
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(Accounts::default()));
    for name in ["ANONYMOUS", "scram-sha-256", ""] {
        let server_settings = ServerSettings {
            mechanisms: names(&["CRAM-MD5", name]),
            danger_plaintext_secrets: false,
            host: String::new(),
            salt_key: Secret::from("key"),
            iterations: 4096,
        };
        let error = Authenticators::from_settings(&server_settings, &directory).unwrap_err();
        assert_eq!(error.0, name);
        let settings = ClientSettings {
            mechanisms: names(&[name]),
            danger_plaintext_secrets: false,
            credential: None,
            certificate: false,
        };
        assert_eq!(Authenticatees::from_settings(&settings).unwrap_err().0, name);
    }
}

#[test]
fn authn_a_client_without_secret_and_certificate_is_refused_without_asking() {
    for secret in [None, Some("")] {
        let credential =
            secret.map(|secret| Credential { principal: "p".into(), secret: Secret::from(secret) });
        let settings = ClientSettings {
            mechanisms: names(&ALL),
            danger_plaintext_secrets: true,
            credential,
            certificate: false,
        };
        let clients = Authenticatees::from_settings(&settings).unwrap();
        let mut attempt = Attempt::new(clients, tls(1), Nonce([0; 24]));
        let output = attempt.start("slave(1)@192.0.2.1:5051".into());
        assert!(matches!(output, attempt::Output::End(attempt::Ended::Refused)), "{output:?}");
    }
}

#[test]
fn authn_both_secrets_of_a_rotation_come_in_by_every_mechanism_that_can_use_them() {
    let salt = [9; 16];
    for (secrets, mechanisms) in [
        (vec![plain("new"), plain("old")], &[scram::PLUS, scram::NAME, "PLAIN", "CRAM-MD5"][..]),
        (vec![scram("new", &salt), scram("old", &salt)], &[scram::PLUS, scram::NAME, "PLAIN"]),
        (vec![plain("new"), scram("old", &salt)], &[scram::PLUS, scram::NAME, "PLAIN"]),
        (vec![scram("new", &salt), plain("old")], &[scram::PLUS, scram::NAME, "PLAIN"]),
        (vec![hashed("new"), hashed("old")], &["PLAIN"]),
        (vec![hashed("new"), plain("old")], &["PLAIN"]),
    ] {
        for mechanism in mechanisms {
            let case = case(mechanism, secrets.clone());
            for (secret, comes_in) in [("new", true), ("old", true), ("older", false)] {
                let client = client(mechanism, "agent-principal", secret);
                let run = case.run(&*client, 1, |_, _| {});
                let came_in = matches!(run.server, Some(ServerEnd::Completed(_)));
                assert_eq!(came_in, comes_in, "{mechanism} with {secret}: {run:?}");
                let proved = run.client.is_ok_and(|proof| proof.mutual);
                assert_eq!(proved, comes_in && mechanism.starts_with("SCRAM"));
            }
        }
    }
}

#[test]
fn authn_verifiers_with_different_salts_admit_the_first_of_them() {
    let case = case(scram::NAME, vec![scram("new", &[1; 16]), scram("old", &[2; 16])]);
    for (secret, comes_in) in [("new", true), ("old", false)] {
        let run = case.run(&*client(scram::NAME, "agent-principal", secret), 1, |_, _| {});
        assert_eq!(matches!(run.server, Some(ServerEnd::Completed(_))), comes_in);
        assert!(comes_in || matches!(run.server, Some(ServerEnd::Refused(_))));
    }
}

#[test]
fn authn_an_empty_secret_admits_nobody() {
    for mechanism in [scram::NAME, scram::PLUS, "PLAIN", "CRAM-MD5"] {
        let case = case(mechanism, vec![plain("")]);
        let clients = Authenticatees::from_settings(&ClientSettings {
            mechanisms: names(&ALL),
            danger_plaintext_secrets: true,
            credential: Some(Credential {
                principal: "agent-principal".into(),
                secret: Secret::from("x"),
            }),
            certificate: false,
        })
        .unwrap();
        let client = clients.iter().find(|one| one.mechanism() == mechanism).unwrap();
        let run = case.run(&**client, 1, |_, _| {});
        match run.server {
            // As the original has it.
            Some(ServerEnd::Malformed(text)) if mechanism == "CRAM-MD5" => {
                assert_eq!(text, "SASL(-1): generic failure: empty secret");
            }
            Some(ServerEnd::Refused(_)) if mechanism != "CRAM-MD5" => {}
            other => panic!("{mechanism}: {other:?}"),
        }
    }
}

#[test]
fn authn_accounts_that_change_count_at_once_even_within_an_exchange() {
    let live = Arc::new(Live::new(accounts(vec![plain("agent-secret")])));
    let server = server(&ALL, Arc::clone(&live) as Arc<dyn Directory>);
    for mechanism in [scram::NAME, "CRAM-MD5"] {
        live.replace(accounts(vec![plain("agent-secret")]));
        let client = client(mechanism, "agent-principal", "agent-secret");
        let mut ours = client.begin(&Channel::default(), &[], Nonce([1; 24]));
        let authenticator = server.get(mechanism).unwrap();
        let mut theirs = authenticator.begin(&Channel::default(), &[], Nonce([2; 24]));
        let ServerStep::Continue(challenge) = theirs.step(&ours.start().unwrap()) else { panic!() };
        live.replace(Accounts::default());
        let step = theirs.step(&ours.step(&challenge).unwrap());
        assert!(matches!(step, ServerStep::Refused(_)), "{mechanism}: {step:?}");
    }
}

#[test]
fn authn_the_principal_of_cram_md5_is_that_of_the_account() {
    let case = case("CRAM-MD5", vec![plain("agent-secret")]);
    let client = client("CRAM-MD5", " \tagent-principal\n", "agent-secret");
    let run = case.run(&*client, 1, |_, _| {});
    let Some(ServerEnd::Completed(accepted)) = run.server else { panic!("{:?}", run.server) };
    assert_eq!(accepted.proved.principal.value(), Some("agent-principal"));
}

#[test]
fn attack_nobody_is_taken_for_somebody_else() {
    let case = case("PLAIN", vec![plain("agent-secret")]);
    for (mechanism, first) in [
        ("PLAIN", &b"root\0agent-principal\0agent-secret"[..]),
        ("EXTERNAL", b"root"),
        (scram::NAME, b"n,a=root,n=agent-principal,r=abc"),
        (scram::PLUS, b"p=tls-exporter,a=root,n=agent-principal,r=abc"),
    ] {
        let server = case.server.get(mechanism).unwrap();
        let step = server.begin(&tls(7), &[], Nonce([1; 24])).step(first);
        assert!(matches!(step, ServerStep::Refused(_)), "{mechanism}: {step:?}");
    }
    for (mechanism, first) in [
        ("PLAIN", &b"agent-principal\0agent-principal\0agent-secret"[..]),
        ("EXTERNAL", b"agent-principal"),
        (scram::NAME, b"n,a=agent-principal,n=agent-principal,r=abc"),
    ] {
        let server = case.server.get(mechanism).unwrap();
        let step = server.begin(&tls(7), &[], Nonce([1; 24])).step(first);
        let goes_on = !matches!(step, ServerStep::Refused(_) | ServerStep::Malformed(_));
        assert!(goes_on, "{mechanism}: {step:?}");
    }
}

#[test]
fn authn_real_argon2id_hashes_are_verified_at_the_cost_of_everybody() {
    let hash = argon2id(&Secret::from("agent-secret"), &[5; 16]).unwrap();
    let case = case("PLAIN", vec![StoredSecret::Argon2id(hash)]);
    conformance::completes(&case).unwrap();
    conformance::wrong_secrets_are_refused(&case).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever name and secret: with SCRAM, whoever has both comes in, and who has another secret
    /// does not. Names are what files can have, but for control characters.
    #[test]
    fn authn_any_name_and_secret_work_with_scram(
        name in "[^\\p{Cc}]{1,40}",
        secret in "\\PC{1,40}",
        other in "\\PC{1,40}",
    ) {
        let directory: Accounts = [account(&name, vec![plain(&secret)])].into_iter().collect();
        let case = Case {
            server: server(&ALL, Arc::new(Arc::new(directory))),
            client: client(scram::NAME, &name, &secret),
            principal: name.clone(),
            ..case(scram::NAME, vec![])
        };
        prop_assert!(conformance::completes(&case).is_ok());
        if other != secret {
            let run = case.run(&*client(scram::NAME, &name, &other), 1, |_, _| {});
            prop_assert!(matches!(run.server, Some(ServerEnd::Refused(_))), "{:?}", run);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is done to one message of an exchange, if it is done at all nobody comes in.
    #[test]
    fn attack_whatever_is_changed_on_the_way_never_authenticates(
        mechanism in prop::sample::select(vec![scram::PLUS, scram::NAME, "PLAIN", "CRAM-MD5"]),
        nth in 0_usize..4,
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..6),
        remove in 0_usize..6,
    ) {
        let case = case(mechanism, vec![plain("agent-secret")]);
        let mut changed = false;
        let run = case.run(&*case.client, 1, |n, message| {
            if n == nth && !message.is_empty() {
                let start = at.index(message.len());
                let end = (start + remove).min(message.len());
                let before = message.clone();
                message.splice(start..end, bytes.iter().copied());
                // White space around a name, and what follows a digest, do not count in CRAM-MD5.
                let same = mechanism == "CRAM-MD5" && n == 2
                    && message.trim_ascii_start().starts_with(before.trim_ascii());
                // A message of PLAIN may come after an empty one.
                let later = mechanism == "PLAIN" && message.is_empty();
                changed = *message != before && !same && !later;
            }
        });
        if changed {
            prop_assert!(!matches!(run.server, Some(ServerEnd::Completed(_))), "{:?}", run);
            let mutual = run.client.as_ref().is_ok_and(|proof| proof.mutual);
            prop_assert!(!mutual, "{:?}", run);
        }
    }
}

mod exchanges;
