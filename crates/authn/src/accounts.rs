//! Who is known, and what of their secrets.

use std::collections::BTreeMap;

use model::principal::Kinds;

use crate::secret::Secret;

/// All that are known. Of several with the same name the last one counts, as in the original.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    by_name: BTreeMap<String, Account>,
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
