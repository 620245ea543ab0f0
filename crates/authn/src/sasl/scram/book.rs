//! What the server needs to know of a principal, and what it shows of those who do not exist.
//!
//! Unknown principals, and those of whom nothing is kept that SCRAM could use, look like the
//! others. Their salt and iteration count follow from their name under a key; which lengths and
//! counts occur, and how often, is taken from those that exist. And where the first exchange of a
//! principal costs a derivation, since its secret is kept in plain, it costs one for everybody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::principal::Kinds;

use super::{FEWEST_ITERATIONS, SALT_LENGTH};
use crate::accounts::{Accounts, Directory, ScramVerifier, StoredSecret};
use crate::mac::hmac_sha256;
use crate::secret::Secret;

/// Derivations that are remembered for those who do not exist, twice.
const MOST_UNKNOWN: usize = 1024;

/// Shared by all exchanges of a server.
#[derive(Debug)]
pub(in crate::sasl) struct Book {
    directory: Arc<dyn Directory>,
    salt_key: Secret,
    iterations: u32,
    pages: Mutex<Pages>,
}

/// What has been computed from the accounts.
#[derive(Debug, Default)]
struct Pages {
    of: Option<Arc<Accounts>>,
    has_plain: bool,
    /// The iteration count and length of salt of each account.
    parameters: Arc<[(u32, usize)]>,
    known: Derived,
    unknown: Derived,
}

/// Derived verifiers by what they were derived from, in two generations: what nobody has asked for
/// during one of them is forgotten.
#[derive(Debug, Default)]
struct Derived {
    now: BTreeMap<[u8; 32], Arc<OnceLock<ScramVerifier>>>,
    before: BTreeMap<[u8; 32], Arc<OnceLock<ScramVerifier>>>,
}

/// How a secret was turned into keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

/// Against what a proof is checked.
#[derive(Debug)]
pub(super) struct Candidates {
    /// The keys of each secret that is valid now; for who is unknown one that fits nothing.
    pub(super) keys: Vec<Arc<OnceLock<ScramVerifier>>>,
    /// Whose they are: as what kinds they may speak. `None` for who is unknown.
    pub(super) account: Option<Kinds>,
}

impl Book {
    /// `iterations` are raised to what the standard asks for.
    pub(in crate::sasl) fn new(
        directory: Arc<dyn Directory>,
        salt_key: Secret,
        iterations: u32,
    ) -> Self {
        let iterations = iterations.max(FEWEST_ITERATIONS);
        Self { directory, salt_key, iterations, pages: Mutex::default() }
    }

    /// Whether an exchange may take a derivation.
    pub(super) fn has_plain(&self) -> bool {
        self.with_pages(&self.directory.current(), |pages| pages.has_plain)
    }

    /// Whether there is an account that could use SCRAM, or none at all.
    pub(super) fn is_of_use(&self) -> bool {
        let accounts = self.directory.current();
        let mut secrets = accounts.iter().flat_map(|account| &account.secrets).peekable();
        secrets.peek().is_none() || secrets.any(|one| !matches!(one, StoredSecret::Argon2id(_)))
    }

    /// What `principal` is told to derive its keys with. During a rotation those of the first
    /// verifier count.
    pub(super) fn parameters(&self, principal: &str) -> Parameters {
        let accounts = self.directory.current();
        let all = self.with_pages(&accounts, |pages| Arc::clone(&pages.parameters));
        let made_up = self.made_up(principal, &all);
        let secrets = accounts.get(principal).map_or(&[][..], |account| &account.secrets);
        let (mut plain, mut kept) = (false, None);
        for secret in secrets {
            match secret {
                StoredSecret::Scram(verifier) if kept.is_none() => kept = Some(verifier),
                StoredSecret::Plain(_) => plain = true,
                StoredSecret::Scram(_) | StoredSecret::Argon2id(_) => {}
            }
        }
        match kept {
            Some(kept) => Parameters { salt: kept.salt.clone(), iterations: kept.iterations },
            None if plain => {
                Parameters { salt: self.salt(principal, SALT_LENGTH), iterations: self.iterations }
            }
            None => made_up,
        }
    }

    /// The keys with which `principal` could prove itself now, if it was told `parameters`.
    pub(super) fn candidates(&self, principal: &str, parameters: &Parameters) -> Candidates {
        let accounts = self.directory.current();
        let account = accounts.get(principal);
        let secrets = account.map_or(&[][..], |account| &account.secrets);
        let mut keys = Vec::new();
        let mut derived = false;
        for secret in secrets {
            match secret {
                StoredSecret::Plain(secret) if !secret.is_empty() => {
                    derived = true;
                    keys.push(self.derived(&accounts, true, principal, secret, parameters));
                }
                StoredSecret::Scram(verifier)
                    if verifier.salt == parameters.salt
                        && verifier.iterations == parameters.iterations =>
                {
                    keys.push(Arc::new(OnceLock::from(verifier.clone())));
                }
                _ => {}
            }
        }
        if !derived && self.with_pages(&accounts, |pages| pages.has_plain) {
            // The time is what counts; the secret is one that nobody knows.
            let label = b"the secret of nobody";
            let secret = hmac_sha256(self.salt_key.expose(), &[label, principal.as_bytes()]);
            let secret = Secret::new(secret.to_vec());
            let known = account.is_some();
            let _ = self.derived(&accounts, known, principal, &secret, parameters);
        }
        let account = account.filter(|_| !keys.is_empty());
        if keys.is_empty() {
            keys.push(Arc::new(OnceLock::from(ScramVerifier {
                salt: Vec::new(),
                iterations: 0,
                stored_key: [0; 32],
                server_key: Secret::new(vec![0; 32]),
            })));
        }
        Candidates { keys, account: account.map(|account| account.kinds.unwrap_or(Kinds::ANY)) }
    }

    /// How many derivations are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let both = [&pages.known, &pages.unknown];
        both.into_iter().map(|derived| derived.now.len() + derived.before.len()).sum()
    }

    fn salt(&self, principal: &str, length: usize) -> Vec<u8> {
        let mut salt = Vec::with_capacity(length);
        for n in 0_u8..=u8::MAX {
            if salt.len() >= length {
                break;
            }
            let label = [b"salt", &[n][..]].concat();
            let part = hmac_sha256(self.salt_key.expose(), &[&label, principal.as_bytes()]);
            salt.extend(part);
        }
        salt.truncate(length);
        salt
    }

    /// The parameters of somebody who does not exist: those that somebody has who does.
    fn made_up(&self, principal: &str, all: &[(u32, usize)]) -> Parameters {
        let draw = hmac_sha256(self.salt_key.expose(), &[b"parameters", principal.as_bytes()]);
        let draw = draw.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let drawn = usize::try_from(draw).unwrap_or(usize::MAX).checked_rem(all.len());
        let (iterations, length) =
            drawn.and_then(|n| all.get(n)).copied().unwrap_or((self.iterations, SALT_LENGTH));
        Parameters { salt: self.salt(principal, length), iterations }
    }

    /// Derives at most once, however many ask at the same time.
    fn derived(
        &self,
        accounts: &Arc<Accounts>,
        known: bool,
        principal: &str,
        secret: &Secret,
        parameters: &Parameters,
    ) -> Arc<OnceLock<ScramVerifier>> {
        let Parameters { salt, iterations } = parameters;
        let name = hmac_sha256(self.salt_key.expose(), &[b"name", principal.as_bytes()]);
        let mut key = hmac_sha256(self.salt_key.expose(), &[b"secret", secret.expose()]);
        key = hmac_sha256(&key, &[&name, &iterations.to_be_bytes(), salt]);
        let cell = self.with_pages(accounts, |pages| match known {
            true => pages.known.get(key, usize::MAX),
            false => pages.unknown.get(key, MOST_UNKNOWN),
        });
        cell.get_or_init(|| ScramVerifier::derive(secret, salt, *iterations));
        cell
    }

    fn with_pages<T>(&self, accounts: &Arc<Accounts>, f: impl FnOnce(&mut Pages) -> T) -> T {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if !pages.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, accounts)) {
            pages.of = Some(Arc::clone(accounts));
            // Of the known there are as many as secrets: bounded by the accounts. The others are
            // forgotten with them, so that it takes the same time to come back.
            pages.known.turn();
            pages.unknown.turn();
            let has_plain = |secret: &StoredSecret| matches!(secret, StoredSecret::Plain(_));
            pages.has_plain = accounts.iter().flat_map(|account| &account.secrets).any(has_plain);
            let of = |secrets: &[StoredSecret]| {
                let kept = secrets.iter().find_map(|secret| match secret {
                    StoredSecret::Scram(kept) => Some((kept.iterations, kept.salt.len())),
                    StoredSecret::Plain(_) | StoredSecret::Argon2id(_) => None,
                });
                let plain = secrets.iter().any(has_plain);
                kept.or_else(|| plain.then_some((self.iterations, SALT_LENGTH)))
            };
            pages.parameters = accounts.iter().filter_map(|one| of(&one.secrets)).collect();
        }
        f(&mut pages)
    }
}

impl Derived {
    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn get(&mut self, key: [u8; 32], most: usize) -> Arc<OnceLock<ScramVerifier>> {
        if self.now.len() >= most {
            self.turn();
        }
        let before = &mut self.before;
        let cell = self.now.entry(key).or_insert_with(|| before.remove(&key).unwrap_or_default());
        Arc::clone(cell)
    }
}
