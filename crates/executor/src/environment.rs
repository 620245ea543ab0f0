//! What an executor learns from its environment: who it is and where its agent listens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use libprocess::upid::{Upid, UpidError};
use model::id::{ExecutorId, FrameworkId, IdError};

use crate::duration;

/// How long an executor may take to end after a SHUTDOWN, unless the agent says otherwise.
pub const DEFAULT_SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Variables that no task may see, whatever put them there.
pub const NEVER_FOR_TASKS: [&str; 2] =
    ["MESOS_EXECUTOR_AUTHENTICATION_TOKEN", launch::material::VARIABLE];

/// What the agent tells each executor in `MESOS_*` variables. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `MESOS_FRAMEWORK_ID`.
    pub framework_id: FrameworkId,
    /// `MESOS_EXECUTOR_ID`.
    pub executor_id: ExecutorId,
    /// `MESOS_SLAVE_PID`: the agent's address, and the actor whose path the executor API has.
    pub agent: Upid,
    /// `MESOS_RECOVERY_TIMEOUT` and `MESOS_SUBSCRIPTION_BACKOFF_MAX`; `None` unless
    /// `MESOS_CHECKPOINT` is `1`.
    pub recovery: Option<Recovery>,
    /// `MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`.
    pub shutdown_grace_period: Duration,
    /// `MESOS_SANDBOX`, or else `MESOS_DIRECTORY`: where tasks run; `None` if neither is set.
    pub sandbox: Option<PathBuf>,
}

/// How long the executor of a checkpointing framework waits for an agent that went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// An executor that has not subscribed again after this time ends itself.
    pub timeout: Duration,
    /// The longest pause before an attempt to subscribe.
    pub backoff_max: Duration,
}

/// Why the environment is not that of an executor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A variable that must be there is not.
    #[error("Expecting '{0}' to be set in the environment")]
    Missing(&'static str),
    /// A variable does not hold an id.
    #[error("'{name}' in the environment: {source}")]
    Id {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        source: IdError,
    },
    /// `MESOS_SLAVE_PID` does not hold a UPID.
    #[error("'MESOS_SLAVE_PID' in the environment: {0}")]
    AgentPid(UpidError),
    /// A variable does not hold a duration.
    #[error("Failed to parse value '{value}' of '{name}': expected a duration such as '5secs'")]
    Duration {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl Environment {
    /// Reads the variables of a process. Values that are not UTF-8 count as missing: the agent
    /// writes none.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, EnvironmentError> {
        use EnvironmentError::{AgentPid, Id, Missing};
        let get = |name: &'static str| variables.get(name).map(String::as_str).ok_or(Missing(name));
        let duration = |name: &'static str| {
            let value = get(name)?;
            duration::parse(value)
                .ok_or_else(|| EnvironmentError::Duration { name, value: value.to_owned() })
        };
        let recovery = match variables.get("MESOS_CHECKPOINT").map(String::as_str) {
            Some("1") => Some(Recovery {
                timeout: duration("MESOS_RECOVERY_TIMEOUT")?,
                backoff_max: duration("MESOS_SUBSCRIPTION_BACKOFF_MAX")?,
            }),
            _ => None,
        };
        let shutdown_grace_period = match duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD") {
            Err(Missing(_)) => DEFAULT_SHUTDOWN_GRACE_PERIOD,
            other => other?,
        };
        Ok(Self {
            framework_id: FrameworkId::new(get("MESOS_FRAMEWORK_ID")?)
                .map_err(|source| Id { name: "MESOS_FRAMEWORK_ID", source })?,
            executor_id: ExecutorId::new(get("MESOS_EXECUTOR_ID")?)
                .map_err(|source| Id { name: "MESOS_EXECUTOR_ID", source })?,
            agent: get("MESOS_SLAVE_PID")?.parse().map_err(AgentPid)?,
            recovery,
            shutdown_grace_period,
            sandbox: variables
                .get("MESOS_SANDBOX")
                .or_else(|| variables.get("MESOS_DIRECTORY"))
                .map(PathBuf::from),
        })
    }

    /// The path of the executor API at the agent.
    #[must_use]
    pub fn api_path(&self) -> String {
        format!("/{}/api/v1/executor", self.agent.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [
            ("MESOS_FRAMEWORK_ID", "f-0000"),
            ("MESOS_EXECUTOR_ID", "hello"),
            ("MESOS_SLAVE_PID", "slave(1)@127.0.0.2:5051"),
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
            ("MESOS_DIRECTORY", "/sandbox"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn an_agents_environment_is_read() {
        let environment = Environment::from_variables(&variables()).unwrap();
        assert_eq!(environment.executor_id.as_str(), "hello");
        assert_eq!(environment.api_path(), "/slave(1)/api/v1/executor");
        assert_eq!(environment.shutdown_grace_period, DEFAULT_SHUTDOWN_GRACE_PERIOD);
        assert_eq!(
            environment.recovery,
            Some(Recovery {
                timeout: Duration::from_secs(900),
                backoff_max: Duration::from_secs(2)
            })
        );
    }

    #[test]
    fn each_variable_that_must_be_there_is_asked_for_by_name() {
        for name in ["MESOS_FRAMEWORK_ID", "MESOS_EXECUTOR_ID", "MESOS_SLAVE_PID"] {
            let mut variables = variables();
            variables.remove(name);
            assert_eq!(
                Environment::from_variables(&variables),
                Err(EnvironmentError::Missing(name))
            );
        }
        let mut unclear = variables();
        unclear.insert("MESOS_RECOVERY_TIMEOUT".into(), "soon".into());
        let error = Environment::from_variables(&unclear).unwrap_err().to_string();
        assert!(error.contains("'soon' of 'MESOS_RECOVERY_TIMEOUT'"), "{error}");
    }

    #[test]
    fn without_checkpointing_there_is_no_recovery() {
        let mut variables = variables();
        variables.insert("MESOS_CHECKPOINT".into(), "0".into());
        variables.remove("MESOS_RECOVERY_TIMEOUT");
        assert_eq!(Environment::from_variables(&variables).unwrap().recovery, None);
    }
}
