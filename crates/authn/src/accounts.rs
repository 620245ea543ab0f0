//! Who is known, and what of their secrets.

pub mod derive;
pub mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::principal::Kinds;

use crate::secret::Secret;

/// All that are known. Of several with the same name the last one counts, as in the original.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    by_name: BTreeMap<String, Account>,
}

/// Where the accounts are, as they are now: credential files are read again while the program
/// runs. Each exchange asks anew.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Those that count from now on. As long as nothing has changed it is the same `Arc`, by
    /// which authenticators recognize what they have computed from it.
    fn current(&self) -> Arc<Accounts>;
}

/// Accounts that never change.
impl Directory for Arc<Accounts> {
    fn current(&self) -> Arc<Accounts> {
        Self::clone(self)
    }
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name; matched byte by byte.
    pub principal: String,
    /// As what kinds of component its bearer may speak; `None` where the file does not say, as
    /// those of the original never do.
    pub kinds: Option<Kinds>,
    /// What is kept of the secrets that are valid now: one, or two during a rotation.
    pub secrets: Vec<StoredSecret>,
}

/// What a client has of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name.
    pub principal: String,
    /// The secret itself.
    pub secret: Secret,
}

/// What is kept of a secret.
#[derive(Clone, Debug)]
pub enum StoredSecret {
    /// All of it. Every mechanism can use it, and so can whoever reads the file.
    Plain(Secret),
    /// What SCRAM-SHA-256 needs to verify a client and to prove itself (RFC 5802 §3).
    Scram(ScramVerifier),
    /// An argon2id hash in PHC form, for schemes that send the secret itself.
    Argon2id(String),
}

/// RFC 5802 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramVerifier {
    /// The salt.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: u32,
    /// `StoredKey`
    pub stored_key: [u8; 32],
    /// `ServerKey`. Whoever has it can pretend to be the server.
    pub server_key: Secret,
}

impl Accounts {
    /// The account called `principal`.
    #[must_use]
    pub fn get(&self, principal: &str) -> Option<&Account> {
        self.by_name.get(principal)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.by_name.values()
    }
}

impl FromIterator<Account> for Accounts {
    fn from_iter<T: IntoIterator<Item = Account>>(accounts: T) -> Self {
        let named = accounts.into_iter().map(|account| (account.principal.clone(), account));
        Self { by_name: named.collect() }
    }
}
