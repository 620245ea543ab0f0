use super::*;
use crate::accounts::Account;

fn plain(secret: &str) -> StoredSecret {
    StoredSecret::Plain(Secret::from(secret))
}

fn scram(secret: &str) -> StoredSecret {
    StoredSecret::Scram(ScramVerifier::derive(&Secret::from(secret), &[1; 16], 4096))
}

fn argon2id(memory: u32, passes: u32) -> String {
    let hash = "A".repeat(43);
    format!("$argon2id$v=19$m={memory},t={passes},p=1$YWFhYWFhYWFhYWFhYWFhYQ${hash}")
}

fn passwords(known: Vec<(&str, Vec<StoredSecret>)>) -> Passwords {
    let account = |(principal, secrets): (&str, _)| Account {
        principal: principal.into(),
        kinds: None,
        secrets,
    };
    Passwords::new(Arc::new(Arc::new(known.into_iter().map(account).collect::<Accounts>())))
}

fn check(passwords: &Passwords, principal: &str, secret: &str) -> Result<(), NotProved> {
    let proved = passwords.check(principal, secret.as_bytes(), Method::BASIC)?;
    assert_eq!(proved.principal.value(), Some(principal));
    assert_eq!(proved.kinds, Kinds::ANY);
    Ok(())
}

#[test]
fn each_form_of_each_valid_secret_is_tried() {
    let passwords = passwords(vec![
        ("plain", vec![plain("new"), plain("old")]),
        ("scram", vec![scram("new"), scram("old")]),
        ("none", vec![]),
        ("empty", vec![plain("")]),
    ]);
    for principal in ["plain", "scram"] {
        assert_eq!(check(&passwords, principal, "new"), Ok(()));
        assert_eq!(check(&passwords, principal, "old"), Ok(()));
        for wrong in ["older", "ne", "", "NEW"] {
            assert_eq!(check(&passwords, principal, wrong), Err(NotProved::Wrong), "{wrong:?}");
        }
    }
    assert_eq!(check(&passwords, "none", "new"), Err(NotProved::Wrong));
    assert_eq!(check(&passwords, "none", ""), Err(NotProved::Wrong));
    assert_eq!(check(&passwords, "empty", ""), Err(NotProved::Wrong));
    assert_eq!(check(&passwords, "nobody", "nobody's"), Err(NotProved::Unknown));
}

#[test]
fn attack_a9_every_question_costs_what_the_most_expensive_account_does() {
    let costly = argon2id(64, 3);
    let accounts: Accounts = [
        ("cheap", vec![plain("x")]),
        ("hashed", vec![StoredSecret::Argon2id(argon2id(64, 2))]),
        ("rotating", vec![StoredSecret::Argon2id(costly.clone()), scram("x"), scram("y")]),
        // What cannot be computed costs nothing, and is not taken for the worst.
        ("odd", vec![StoredSecret::Argon2id(argon2id(1 << 30, 1)), plain("x")]),
    ]
    .into_iter()
    .map(|(name, secrets)| Account { principal: name.into(), kinds: None, secrets })
    .collect();
    let plan = Plan::of(&accounts);
    assert_eq!(plan, Plan { argon2id: Some((1, costly)), scram: Some((2, 4096)) });
    assert_eq!(Plan::of(&Accounts::default()), Plan::default());
}

#[test]
fn attack_a_hash_that_asks_for_too_much_matches_nothing() {
    for hash in [argon2id(1 << 20, 1), argon2id(64, 1000), "$argon2id$".into(), String::new()] {
        let passwords = passwords(vec![("p", vec![StoredSecret::Argon2id(hash.clone())])]);
        assert_eq!(check(&passwords, "p", "x"), Err(NotProved::Wrong), "{hash}");
    }
}

#[test]
fn accounts_that_change_count_at_once() {
    let live = Arc::new(crate::live::Live::new(Accounts::default()));
    let passwords = Passwords::new(Arc::clone(&live) as _);
    assert_eq!(check(&passwords, "p", "x"), Err(NotProved::Unknown));
    let account = Account { principal: "p".into(), kinds: None, secrets: vec![scram("x")] };
    live.replace([account].into_iter().collect());
    assert_eq!(check(&passwords, "p", "x"), Ok(()));
}
