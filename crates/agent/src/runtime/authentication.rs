//! What the operator decided about who proves what: the agent to its master, executors to the
//! agent.

use std::sync::Arc;
use std::time::Duration;

use authn::jwt::Key;
use authn::live::Live;
use authn::sasl::offer::Authenticatees;

/// How the agent proves to its master who it is (`authentication.md` §9).
#[derive(Clone, Debug)]
pub struct MasterAuthentication {
    /// What it can prove itself with, the strongest first. `None` if it was given no credential:
    /// it then registers without authenticating, and obeys whom its certificates and the posture
    /// let it obey. With an empty list every attempt is refused at once, as with a credential
    /// without a secret. What replaces it counts from the next attempt on.
    pub mechanisms: Option<Arc<Live<Authenticatees>>>,
    /// `--authentication_timeout_min`: no attempt is given up before.
    pub timeout_min: Duration,
    /// `--authentication_timeout_max`: none takes longer.
    pub timeout_max: Duration,
    /// `--authentication_backoff_factor`
    pub backoff_factor: Duration,
    /// `--danger_same_address_sessions`: a master that authenticated the agent by a mechanism
    /// without a key is obeyed on other connections from the same address for some time.
    pub danger_same_address_sessions: bool,
}

impl Default for MasterAuthentication {
    fn default() -> Self {
        Self {
            mechanisms: None,
            timeout_min: Duration::from_secs(5),
            timeout_max: Duration::from_secs(60),
            backoff_factor: Duration::from_secs(1),
            danger_same_address_sessions: false,
        }
    }
}

/// How executors prove to the agent who they are (`authentication.md` §18).
#[derive(Clone, Debug)]
pub struct ExecutorTokens {
    /// `--jwt_secret_key`. With it tokens are JWTs, and executors of frameworks get theirs in the
    /// environment, as in the original.
    pub jwt_key: Option<Key>,
    /// `--authenticate_http_executors`: no executor is heard over HTTP without a token.
    pub required: bool,
    /// `--executor_token_lifetime`: how long a token of our own executor is good for; it gets
    /// another one when half of the time is over.
    pub lifetime: Duration,
}

impl Default for ExecutorTokens {
    fn default() -> Self {
        Self { jwt_key: None, required: false, lifetime: Duration::from_secs(60 * 60) }
    }
}
