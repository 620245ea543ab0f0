//! Whether a secret is one that is stored, so that what it costs does not tell whether there is
//! such a principal, or how its secret is stored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::principal::Kinds;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::accounts::{Account, Accounts, ScramVerifier, StoredSecret};
use crate::secret::Secret;

/// What a client sent.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) principal: String,
    pub(super) secret: Secret,
}

/// Slow computations made to check secrets. Each attempt makes the same ones, whoever it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Of argon2id.
    pub argon2id: u64,
    /// Of PBKDF2.
    pub pbkdf2: u64,
}

/// What every attempt computes: as much as the most laborious account asks for. Where an account
/// asks for less, the rest is computed against these and comes to nothing.
#[derive(Debug, Default)]
struct Profile {
    plain: usize,
    argon2id: Vec<String>,
    scram: Vec<ScramVerifier>,
}

impl Profile {
    fn of(accounts: &Accounts) -> Self {
        let mut profile = Self::default();
        let (mut hash, mut verifier): (Option<&String>, Option<&ScramVerifier>) = (None, None);
        let (mut hashes, mut verifiers) = (0, 0);
        for account in accounts.iter() {
            let mut own = (0, 0, 0);
            for secret in &account.secrets {
                match secret {
                    StoredSecret::Plain(_) => own.0 += 1,
                    StoredSecret::Argon2id(text) => {
                        own.1 += 1;
                        if hash.is_none_or(|h| expense(text) > expense(h)) {
                            hash = Some(text);
                        }
                    }
                    StoredSecret::Scram(one) => {
                        own.2 += 1;
                        if verifier.is_none_or(|v| one.iterations > v.iterations) {
                            verifier = Some(one);
                        }
                    }
                }
            }
            profile.plain = profile.plain.max(own.0);
            hashes = hashes.max(own.1);
            verifiers = verifiers.max(own.2);
        }
        profile.argon2id = vec![hash.cloned().unwrap_or_default(); hashes];
        profile.scram = verifier.into_iter().cycle().take(verifiers).cloned().collect();
        profile
    }
}

/// How laborious a PHC string of argon2id is: memory times passes.
fn expense(phc: &str) -> u64 {
    let parameter = |name: &str| {
        let parameters = phc.split('$').nth(3).unwrap_or_default();
        let value = parameters.split(',').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    parameter("m").saturating_mul(parameter("t"))
}

/// Checks secrets and counts what that costs.
#[derive(Debug, Default)]
pub(super) struct Checker {
    argon2id: AtomicU64,
    pbkdf2: AtomicU64,
    /// That of the accounts that were seen last.
    profile: Mutex<Option<(Arc<Accounts>, Arc<Profile>)>>,
}

impl Checker {
    pub(super) fn work(&self) -> Work {
        Work {
            argon2id: self.argon2id.load(Ordering::Relaxed),
            pbkdf2: self.pbkdf2.load(Ordering::Relaxed),
        }
    }

    /// Whether an attempt takes slow computations.
    pub(super) fn is_slow(&self, accounts: &Arc<Accounts>) -> bool {
        let profile = self.profile(accounts);
        !profile.argon2id.is_empty() || !profile.scram.is_empty()
    }

    fn profile(&self, accounts: &Arc<Accounts>) -> Arc<Profile> {
        let mut known = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((of, profile)) if Arc::ptr_eq(of, accounts) => Arc::clone(profile),
            _ => {
                let profile = Arc::new(Profile::of(accounts));
                *known = Some((Arc::clone(accounts), Arc::clone(&profile)));
                profile
            }
        }
    }

    /// As what the client may speak, if its secret is one that is stored for its principal.
    pub(super) fn check(&self, accounts: &Arc<Accounts>, given: &Given) -> Option<Kinds> {
        let profile = self.profile(accounts);
        let account = accounts.get(&given.principal);
        let none = Secret::new(Vec::new());
        let decoy = Account { principal: String::new(), kinds: None, secrets: Vec::new() };
        let stored = &account.unwrap_or(&decoy).secrets;
        let mut right = Choice::from(0);
        let (mut plain, mut argon2id, mut scram) = (0, 0, 0);
        for secret in stored {
            right |= match secret {
                StoredSecret::Plain(secret) => {
                    plain += 1;
                    is_plain(secret, given)
                }
                StoredSecret::Argon2id(phc) => {
                    argon2id += 1;
                    self.is_argon2id(phc, given)
                }
                StoredSecret::Scram(verifier) => {
                    scram += 1;
                    self.is_scram(verifier, given)
                }
            };
        }
        let mut nothing = Choice::from(0);
        for _ in plain..profile.plain {
            nothing |= is_plain(&none, given);
        }
        for phc in profile.argon2id.iter().skip(argon2id) {
            nothing |= self.is_argon2id(phc, given);
        }
        for verifier in profile.scram.iter().skip(scram) {
            nothing |= self.is_scram(verifier, given);
        }
        std::hint::black_box(nothing);
        account.filter(|_| bool::from(right)).map(|account| account.kinds.unwrap_or(Kinds::ANY))
    }

    fn is_argon2id(&self, phc: &str, given: &Given) -> Choice {
        self.argon2id.fetch_add(1, Ordering::Relaxed);
        // What is no hash of argon2id was refused when the accounts were read.
        let right = phc.starts_with("$argon2id$")
            && PasswordHash::new(phc).is_ok_and(|hash| {
                Argon2::default().verify_password(given.secret.expose(), &hash).is_ok()
            });
        Choice::from(u8::from(right))
    }

    /// RFC 5802 §3, from the secret to `StoredKey`.
    fn is_scram(&self, verifier: &ScramVerifier, given: &Given) -> Choice {
        self.pbkdf2.fetch_add(1, Ordering::Relaxed);
        let mut salted = Zeroizing::new([0; 32]);
        let ScramVerifier { salt, iterations, stored_key, .. } = verifier;
        pbkdf2::pbkdf2_hmac::<Sha256>(given.secret.expose(), salt, *iterations, &mut *salted);
        let Ok(mut client_key) = Hmac::<Sha256>::new_from_slice(&*salted) else {
            // Keys of any length are taken.
            return Choice::from(0);
        };
        client_key.update(b"Client Key");
        let shown: [u8; 32] = Sha256::digest(client_key.finalize().into_bytes()).into();
        shown.ct_eq(stored_key)
    }
}

/// By digests: how long it takes tells nothing, not even the lengths.
fn is_plain(secret: &Secret, given: &Given) -> Choice {
    Sha256::digest(secret.expose()).ct_eq(&Sha256::digest(given.secret.expose()))
}
