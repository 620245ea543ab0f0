//! From flags to authenticators.

use std::collections::BTreeMap;
use std::sync::Arc;

use authn::accounts::Directory;
use authn::http::{Basic, Bearer, ClientCertificate, Combined, HttpAuthenticator};
use authn::jwt::{Key, Published, Verifier};

use crate::access::Realm;

/// What the flags of a master say about HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterFlags {
    /// `--authenticate_http_readonly`
    pub authenticate_readonly: bool,
    /// `--authenticate_http_readwrite`
    pub authenticate_readwrite: bool,
    /// `--authenticate_http_frameworks`
    pub authenticate_frameworks: bool,
    /// `--http_authenticators`, names with commas between: `basic` unless it is said.
    pub authenticators: Option<String>,
    /// `--http_framework_authenticators`, likewise; has to be said if frameworks are asked.
    pub framework_authenticators: Option<String>,
}

/// What the flags of an agent say about HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFlags {
    /// `--authenticate_http_readonly`
    pub authenticate_readonly: bool,
    /// `--authenticate_http_readwrite`
    pub authenticate_readwrite: bool,
    /// `--authenticate_http_executors`
    pub authenticate_executors: bool,
    /// `--http_authenticators`, names with commas between: `basic` unless it is said, or
    /// `basic,jwt` if executors are asked.
    pub authenticators: Option<String>,
}

/// What is known about those who may come.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The accounts of `--credentials` or `--http_credentials`.
    pub accounts: Option<Arc<dyn Directory>>,
    /// `--jwt_secret_key`
    pub key: Option<Key>,
    /// `--jwks`
    pub published: Option<Published>,
}

/// Why a daemon does not start. The words are the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Frameworks are to be asked, and it is not said by what.
    #[error(
        "Missing `--http_framework_authenticators` flag. This must be used in conjunction with \
         `--authenticate_http_frameworks`"
    )]
    NoFrameworkAuthenticators,
    /// Executors are to be asked, and nothing says what their tokens are made with.
    #[error("--jwt_secret_key must be specified when --authenticate_http_executors is set to true")]
    NoExecutorKey,
    /// An empty list.
    #[error("No HTTP authenticators specified for realm '{0}'")]
    NoAuthenticators(&'static str),
    /// An authenticator cannot be made.
    #[error("Failed to create HTTP authenticator module '{name}': {source}")]
    Authenticator {
        /// Its name in the list.
        name: String,
        /// Why.
        source: AuthenticatorError,
    },
}

/// Why an authenticator cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorError {
    /// Nobody has an account.
    #[error(
        "No credentials provided for the default 'basic' HTTP authenticator for realm '{realm}'"
    )]
    NoCredentials {
        /// The realm.
        realm: &'static str,
    },
    /// Nothing verifies tokens.
    #[error("No secret key provided for the default 'jwt' HTTP authenticator for realm '{realm}'")]
    NoKey {
        /// The realm.
        realm: &'static str,
    },
    /// There is none of this name.
    #[error(
        "HTTP authenticator '{name}' not found. Check the spelling (compare to 'basic') or verify \
         that the authenticator was loaded successfully (see --modules)"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// There is no randomness.
    #[error("no random bytes: {0}")]
    Random(String),
}

/// What asks for credentials in each realm. In those that are not here nothing does.
#[derive(Clone, Debug, Default)]
pub struct Realms(BTreeMap<Realm, Arc<dyn HttpAuthenticator>>);

/// The name of the original's Basic authenticator.
const BASIC: &str = "basic";
/// The name of the original's JWT authenticator.
const JWT: &str = "jwt";
/// Ours: the principal of the client certificate.
const CERTIFICATE: &str = "certificate";

impl Realms {
    /// Those of a master. Unlike the original's, it can have `jwt`: with `--jwks`.
    pub fn master(flags: &MasterFlags, known: &Known) -> Result<Self, StartError> {
        let mut realms = Self::default();
        let names = flags.authenticators.as_deref().unwrap_or(BASIC);
        for (asked, realm) in [
            (flags.authenticate_readonly, Realm::MasterReadonly),
            (flags.authenticate_readwrite, Realm::MasterReadwrite),
        ] {
            if asked {
                realms.ask(realm, make(realm, names, known)?);
            }
        }
        if flags.authenticate_frameworks {
            let names = flags.framework_authenticators.as_deref();
            let names = names.ok_or(StartError::NoFrameworkAuthenticators)?;
            realms.ask(Realm::MasterScheduler, make(Realm::MasterScheduler, names, known)?);
        }
        Ok(realms)
    }

    /// Those of an agent. Unlike in the original, that of resource providers is asked with those
    /// of executors: a provider is a local component that carries a token of the same key.
    pub fn agent(flags: &AgentFlags, known: &Known) -> Result<Self, StartError> {
        if flags.authenticate_executors && known.key.is_none() {
            return Err(StartError::NoExecutorKey);
        }
        let default = if flags.authenticate_executors { "basic,jwt" } else { BASIC };
        let names = flags.authenticators.as_deref().unwrap_or(default);
        let mut realms = Self::default();
        for (asked, realm) in [
            (flags.authenticate_readonly, Realm::AgentReadonly),
            (flags.authenticate_readwrite, Realm::AgentReadwrite),
            (flags.authenticate_executors, Realm::AgentExecutor),
            (flags.authenticate_executors, Realm::AgentResourceProvider),
        ] {
            if asked {
                realms.ask(realm, make(realm, names, known)?);
            }
        }
        Ok(realms)
    }

    /// Has `authenticator` ask in `realm`, in the place of what asked there before: the way for
    /// authenticators that have no name in the flags.
    pub fn ask(&mut self, realm: Realm, authenticator: Arc<dyn HttpAuthenticator>) {
        self.0.insert(realm, authenticator);
    }

    /// What asks in `realm`.
    #[must_use]
    pub fn of(&self, realm: Realm) -> Option<&Arc<dyn HttpAuthenticator>> {
        self.0.get(&realm)
    }

    /// The realms in which anything asks.
    pub fn asked(&self) -> impl Iterator<Item = Realm> {
        self.0.keys().copied()
    }
}

/// What the list `names` says, for `realm`. Blanks are not trimmed, as in the original.
fn make(
    realm: Realm,
    names: &str,
    known: &Known,
) -> Result<Arc<dyn HttpAuthenticator>, StartError> {
    if names.is_empty() {
        return Err(StartError::NoAuthenticators(realm.name()));
    }
    let mut parts = Vec::new();
    for name in names.split(',') {
        let part = make_one(realm.name(), name, known);
        parts.push(
            part.map_err(|source| StartError::Authenticator { name: name.to_owned(), source })?,
        );
    }
    if parts.len() > 1 {
        return Ok(Arc::new(Combined::new(parts)));
    }
    parts.pop().ok_or(StartError::NoAuthenticators(realm.name()))
}

fn make_one(
    realm: &'static str,
    name: &str,
    known: &Known,
) -> Result<Arc<dyn HttpAuthenticator>, AuthenticatorError> {
    match name {
        BASIC => {
            let accounts = known.accounts.as_ref();
            let accounts = accounts.ok_or(AuthenticatorError::NoCredentials { realm })?;
            let mut key = [0; 32];
            openssl::rand::rand_bytes(&mut key)
                .map_err(|e| AuthenticatorError::Random(e.to_string()))?;
            Ok(Arc::new(Basic::new(realm, Arc::clone(accounts), key)))
        }
        JWT => {
            if known.key.is_none() && known.published.is_none() {
                return Err(AuthenticatorError::NoKey { realm });
            }
            let verifier = Verifier::new(known.key.clone(), known.published.clone());
            Ok(Arc::new(Bearer::new(realm, verifier)))
        }
        CERTIFICATE => Ok(Arc::new(ClientCertificate::new(realm))),
        name => Err(AuthenticatorError::Unknown { name: name.to_owned() }),
    }
}
