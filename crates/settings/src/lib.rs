//! One table of all flags and environment variables, and what reads it.
//!
//! A [`Row`] says all there is to say about one setting: its names, what a value may be, what
//! holds if nobody gives one, who may see it, and what giving it does. Help, the page for people
//! ([`page()`]), parsing and `/flags` read the [table](SECTIONS); nothing else knows a flag.
//!
//! [`master`], [`agent`] and [`execute`] turn arguments and variables into typed settings. All
//! [`Sources`] are arguments: this crate opens no file and reads no environment. A value that
//! restricts who may do what and is not honoured yet is an error by name: a daemon never runs
//! more open than it was told. Anything else without effect is a [`Notice`].
//!
//! Historic words: some aliases say *slave* where the flag says *agent*.

mod agent_settings;
mod authentication;
mod common_settings;
mod error;
mod execute_settings;
mod master_settings;
mod page;
mod parse;
mod rate_limits;
mod row;
mod rows;
mod suggest;
mod typed;
pub mod units;
mod value;

pub use agent_settings::{
    AgentSettings, MasterAddress, OwnTaskUsers, ReconfigurationPolicy, Recover, TaskUsers,
};
pub use authentication::{
    AgentAuthentication, HttpScheme, HttpSettings, MasterAuthentication, SaslMechanism,
    SaslSettings,
};
pub use common_settings::{Listen, LogLevel, LogSettings, Protection, TlsFlag};
pub use error::{Failure, Notice, SettingsError};
pub use execute_settings::{ContentType, ExecuteSettings, SecretText, What};
pub use master_settings::{MasterSettings, RegistryKind, Sorter};
pub use page::{page, usage};
pub use parse::{Naming, Sources};
pub use rate_limits::{RateLimit, RateLimits};
pub use row::{
    Builds, Default, Effect, JsonShape, Kind, Place, Program, Restricts, Row, Section, Sensitivity,
};
pub use rows::{SECTIONS, flags};
pub use typed::{EffectiveFlags, Loaded, agent, execute, master};
pub use value::REDACTED;
