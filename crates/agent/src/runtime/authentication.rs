//! What the operator decided about who proves what: the agent to its master, executors to the
//! agent.

use std::sync::Arc;
use std::time::Duration;

use authn::sasl::Authenticatee;
use authn::secret::Secret;

/// How the agent proves to its master who it is (`authentication.md` §9).
#[derive(Clone, Debug)]
pub struct MasterAuthentication {
    /// What it can prove itself with, the strongest first. Without any it registers without
    /// authenticating, and then obeys whom its certificates and the posture let it obey.
    pub mechanisms: Vec<Arc<dyn Authenticatee>>,
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
            mechanisms: Vec::new(),
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
    /// `--jwt_secret_key`: all bytes of the file, as they are. With it tokens are JWTs, and
    /// executors of frameworks get theirs in the environment, as in the original.
    pub jwt_key: Option<Secret>,
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
