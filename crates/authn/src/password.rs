//! Is this the secret? For schemes that send the secret itself: PLAIN, and Basic over HTTP.
//!
//! What is kept of secrets differs ([`StoredSecret`]), and so does the time that comparing takes.
//! So that the time tells nobody who is known, each question costs the same: whatever the
//! accounts have of the slow forms at most is computed for everybody, on made-up values where
//! somebody has less, and for those who are unknown.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Argon2, PasswordVerifier};
use model::principal::{Kinds, Principal};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::accounts::derive::acceptable_argon2id;
use crate::accounts::{Accounts, Directory, ScramVerifier, StoredSecret};
use crate::proved::{Method, Proved};
use crate::secret::Secret;

/// Answers such questions. Asking takes long wherever a hashed form is kept.
#[derive(Debug)]
pub struct Passwords {
    directory: Arc<dyn Directory>,
    plan: Mutex<Option<(Arc<Accounts>, Plan)>>,
}

/// What each question costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    /// How many argon2id hashes one account has at most, and the most expensive of all.
    argon2id: Option<(usize, String)>,
    /// How many SCRAM verifiers one account has at most, and the highest iteration count.
    scram: Option<(usize, u32)>,
}

/// Why somebody is not who they say, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProved {
    /// Nobody is called that.
    #[error("unknown principal")]
    Unknown,
    /// It is known, and the secret is another.
    #[error("wrong secret")]
    Wrong,
}

impl Passwords {
    /// Answers from `directory`, as it is at each question.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self { directory, plan: Mutex::default() }
    }

    /// Whether `secret` is one of those of `principal`. An empty one never is.
    pub fn check(
        &self,
        principal: &str,
        secret: &[u8],
        method: Method,
    ) -> Result<Proved, NotProved> {
        let accounts = self.directory.current();
        let plan = self.plan(&accounts);
        let account = accounts.get(principal);
        let kept = account.map_or(&[][..], |account| &account.secrets);
        let mut matched = Choice::from(0);
        let (mut argon2id, mut scram) = (0, 0);
        // Each of them, whether or not one has matched.
        for one in kept {
            matched |= match one {
                StoredSecret::Plain(kept) => same(kept.expose(), secret),
                StoredSecret::Argon2id(hash) => {
                    argon2id += 1;
                    Choice::from(u8::from(argon2id_matches(hash, secret)))
                }
                StoredSecret::Scram(verifier) => {
                    scram += 1;
                    scram_matches(verifier, secret)
                }
            };
        }
        if let Some((most, hash)) = &plan.argon2id {
            for _ in argon2id..*most {
                let _ = std::hint::black_box(argon2id_matches(hash, secret));
            }
        }
        if let Some((most, iterations)) = plan.scram {
            for _ in scram..most {
                let made_up = ScramVerifier {
                    salt: vec![0; 16],
                    iterations,
                    stored_key: [0; 32],
                    server_key: Secret::new(Vec::new()),
                };
                let _ = std::hint::black_box(scram_matches(&made_up, secret));
            }
        }
        let _ = std::hint::black_box(same(b"nobody's", secret));
        let matched = bool::from(matched & Choice::from(u8::from(!secret.is_empty())));
        match account {
            Some(account) if matched => Ok(Proved {
                principal: Principal::named(account.principal.clone()),
                kinds: account.kinds.unwrap_or(Kinds::ANY),
                method,
            }),
            Some(_) => Err(NotProved::Wrong),
            None => Err(NotProved::Unknown),
        }
    }

    fn plan(&self, accounts: &Arc<Accounts>) -> Plan {
        let mut known = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_ref() {
            Some((of, plan)) if Arc::ptr_eq(of, accounts) => plan.clone(),
            _ => {
                let plan = Plan::of(accounts);
                *known = Some((Arc::clone(accounts), plan.clone()));
                plan
            }
        }
    }
}

impl Plan {
    fn of(accounts: &Accounts) -> Self {
        let mut plan = Self::default();
        let mut most_work = 0;
        for account in accounts.iter() {
            let (mut argon2id, mut scram) = (0, 0);
            for secret in &account.secrets {
                match secret {
                    StoredSecret::Plain(_) => {}
                    StoredSecret::Argon2id(hash) => {
                        argon2id += 1;
                        let (most, worst) = plan.argon2id.get_or_insert((0, hash.clone()));
                        *most = argon2id.max(*most);
                        let work = acceptable_argon2id(hash).map_or(0, |(_, work)| work);
                        if work > most_work {
                            most_work = work;
                            worst.clone_from(hash);
                        }
                    }
                    StoredSecret::Scram(verifier) => {
                        scram += 1;
                        let (most, iterations) = plan.scram.get_or_insert((0, 0));
                        *most = scram.max(*most);
                        *iterations = verifier.iterations.max(*iterations);
                    }
                }
            }
        }
        plan
    }
}

/// Compares without telling more than the lengths.
fn same(kept: &[u8], shown: &[u8]) -> Choice {
    Sha256::digest(kept).as_slice().ct_eq(Sha256::digest(shown).as_slice())
}

fn scram_matches(verifier: &ScramVerifier, secret: &[u8]) -> Choice {
    let secret = Secret::new(secret.to_vec());
    let derived = ScramVerifier::derive(&secret, &verifier.salt, verifier.iterations);
    derived.stored_key.ct_eq(&verifier.stored_key)
}

fn argon2id_matches(hash: &str, secret: &[u8]) -> bool {
    acceptable_argon2id(hash)
        .is_ok_and(|(hash, _)| Argon2::default().verify_password(secret, &hash).is_ok())
}

#[cfg(test)]
mod authn_password;
