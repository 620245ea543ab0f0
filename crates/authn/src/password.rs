//! Is this the secret? For schemes that send the secret itself: PLAIN, and Basic over HTTP.
//!
//! What is kept of secrets differs ([`StoredSecret`]), and so does the time that comparing takes.
//! So that the time tells nobody who is known, each question costs the same: whatever the
//! accounts have of the slow forms at most is computed for everybody, on made-up values where
//! somebody has less, and for those who are unknown.

use std::sync::atomic::{AtomicU64, Ordering};
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
    argon2id: AtomicU64,
    pbkdf2: AtomicU64,
}

/// Slow computations that were made. Each question makes the same ones, whoever it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Of argon2id.
    pub argon2id: u64,
    /// Of PBKDF2.
    pub pbkdf2: u64,
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
        let (argon2id, pbkdf2) = Default::default();
        Self { directory, plan: Mutex::default(), argon2id, pbkdf2 }
    }

    /// How many slow computations were made so far.
    #[must_use]
    pub fn work(&self) -> Work {
        let made = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Work { argon2id: made(&self.argon2id), pbkdf2: made(&self.pbkdf2) }
    }

    /// Whether a question takes slow computations.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        let plan = self.plan(&self.directory.current());
        plan.argon2id.is_some() || plan.scram.is_some()
    }

    /// Whether `secret` is one of those of `principal`. An empty one never is.
    pub fn check(
        &self,
        principal: &str,
        secret: &[u8],
        method: Method,
    ) -> Result<Proved, NotProved> {
        let checked = self.check_even_empty(principal, secret, method);
        checked
            .and_then(|proved| if secret.is_empty() { Err(NotProved::Wrong) } else { Ok(proved) })
    }

    /// The same where an empty secret is one like any other: Basic lets in who has one.
    pub fn check_even_empty(
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
                    Choice::from(u8::from(self.argon2id_matches(hash, secret)))
                }
                StoredSecret::Scram(verifier) => {
                    scram += 1;
                    self.scram_matches(verifier, secret)
                }
            };
        }
        if let Some((most, hash)) = &plan.argon2id {
            for _ in argon2id..*most {
                let _ = std::hint::black_box(self.argon2id_matches(hash, secret));
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
                let _ = std::hint::black_box(self.scram_matches(&made_up, secret));
            }
        }
        let _ = std::hint::black_box(same(b"nobody's", secret));
        let matched = bool::from(matched);
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

    fn scram_matches(&self, verifier: &ScramVerifier, secret: &[u8]) -> Choice {
        self.pbkdf2.fetch_add(1, Ordering::Relaxed);
        let secret = Secret::new(secret.to_vec());
        let derived = ScramVerifier::derive(&secret, &verifier.salt, verifier.iterations);
        derived.stored_key.ct_eq(&verifier.stored_key)
    }

    fn argon2id_matches(&self, hash: &str, secret: &[u8]) -> bool {
        self.argon2id.fetch_add(1, Ordering::Relaxed);
        acceptable_argon2id(hash)
            .is_ok_and(|(hash, _)| Argon2::default().verify_password(secret, &hash).is_ok())
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

#[cfg(test)]
mod authn_password;
