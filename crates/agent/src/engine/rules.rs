//! What the engine is told once, at construction.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use authn::jwt::TokenIssuer;
use libprocess::upid::Upid;
use tls_policy::ServerTrust;
use wire::v1;

use super::users::TaskUserPolicy;

/// The version that agents of this family announce; masters refuse anything before 1.0.0.
pub const VERSION: &str = "1.12.0";

/// The agent's settings, as far as decisions depend on them.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where the agent listens, as it tells others.
    pub pid: Upid,
    /// The name of the machine, as it tells others.
    pub hostname: String,
    /// What it has, in canonical form (no `role` on unreserved resources).
    pub resources: Vec<v1::Resource>,
    /// What describes it.
    pub attributes: Vec<v1::Attribute>,
    /// Where it stands.
    pub domain: Option<v1::DomainInfo>,
    /// Beneath it lie sandboxes and checkpoints. Absolute.
    pub work_dir: PathBuf,
    /// The first registration waits a random part of this; each retry up to twice as long as the
    /// one before, at most a minute.
    pub registration_backoff: Duration,
    /// How long a new executor may take until it subscribes.
    pub executor_registration_timeout: Duration,
    /// How long the executors of an earlier run may take until they subscribe again.
    pub executor_reregistration_timeout: Duration,
    /// How long an executor may take to end after it was told to, unless it says otherwise.
    pub executor_shutdown_grace_period: Duration,
    /// How long an executor waits for the agent to come back; told to executors.
    pub recovery_timeout: Duration,
    /// What runs a command task.
    pub command_executor: ExecutorProgram,
    /// Variables for every executor; those of the protocol win over them.
    pub executor_environment: BTreeMap<String, String>,
    /// As whom tasks run.
    pub task_users: TaskUserPolicy,
    /// What executors need to recognize the agent. With it every container gets a token, those of
    /// a framework's own executors only where the agent speaks TLS. Where it names an identity no
    /// executor is heard without its own token; elsewhere none of ours is that got one. `None`:
    /// there are no tokens.
    pub executor_trust: Option<ServerTrust>,
    /// How tokens are made and how long they are good for.
    pub tokens: TokenRules,
    /// Whether the agent has something to prove itself with to the master: it then does so before
    /// it registers, and obeys only what is tied to that, or a certificate of a master.
    pub authenticates: bool,
    /// Which changes of the agent's own description an agent id survives.
    pub reconfiguration: Reconfiguration,
    /// What to do with executors that an earlier run left.
    pub recover: Recover,
    /// How many completed frameworks are remembered.
    pub max_completed_frameworks: usize,
    /// How many completed executors of each framework are remembered.
    pub max_completed_executors: usize,
    /// How many completed tasks of each executor are remembered.
    pub max_completed_tasks: usize,
}

/// How executors' tokens are made and how long they are good for.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// Makes them JWTs; without it they are random bytes. With it executors of frameworks get
    /// theirs in the environment.
    pub issuer: Option<TokenIssuer>,
    /// How long a token of our own executor is good for. It gets another one when half of the
    /// time is over.
    pub lifetime: Duration,
}

/// What runs a command task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorProgram {
    /// The program's absolute path.
    pub path: PathBuf,
    /// Its arguments, from the program's name on.
    pub arguments: Vec<String>,
}

/// `--reconfiguration_policy`: which changes of hostname, port, resources, attributes and domain
/// an agent id survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reconfiguration {
    /// More is fine: larger scalars, wider ranges and sets, new attributes, a first domain.
    Additive,
    /// None.
    #[default]
    Equal,
}

/// `--recover`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recover {
    /// End them, then end the agent.
    Cleanup,
    /// Take them back.
    #[default]
    Reconnect,
}
