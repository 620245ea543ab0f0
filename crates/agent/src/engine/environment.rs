//! The environment of executors (`master-agent-protocol.md` §15). Complete: nothing is inherited.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use model::id::AgentId;
use wire::v1::environment::variable::Type;
use wire::v1::{ExecutorInfo, FrameworkInfo};

use super::rules::Rules;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long an executor may wait between two attempts to subscribe again, at most.
const SUBSCRIPTION_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// A variable whose value is a secret: nothing here resolves secrets yet, and its absence must
/// not go unnoticed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Environment variable '{0}' of the executor is a secret, which this agent cannot resolve")]
pub(super) struct SecretVariable(String);

/// The variables of one executor.
pub(super) fn build(
    rules: &Rules,
    agent: &AgentId,
    framework: &FrameworkInfo,
    executor: &ExecutorInfo,
    grace: Duration,
    sandbox: &Path,
) -> Result<BTreeMap<String, String>, SecretVariable> {
    let mut all = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    all.extend(rules.executor_environment.clone());
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    let sandbox = sandbox.display().to_string();
    let framework_id = framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
    set("LIBPROCESS_IP", rules.pid.address.ip().to_string());
    set("LIBPROCESS_PORT", "0".to_owned());
    set("MESOS_AGENT_ENDPOINT", rules.pid.address.to_string());
    set("MESOS_CHECKPOINT", u8::from(framework.checkpoint()).to_string());
    set("MESOS_DIRECTORY", sandbox.clone());
    set("MESOS_EXECUTOR_ID", executor.executor_id.value.clone());
    set("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration(grace));
    set("MESOS_FRAMEWORK_ID", framework_id);
    set("MESOS_HTTP_COMMAND_EXECUTOR", "1".to_owned());
    set("MESOS_SANDBOX", sandbox);
    set("MESOS_SLAVE_ID", agent.to_string());
    set("MESOS_SLAVE_PID", rules.pid.to_string());
    if framework.checkpoint() {
        set("MESOS_RECOVERY_TIMEOUT", duration(rules.recovery_timeout));
        set("MESOS_SUBSCRIPTION_BACKOFF_MAX", duration(SUBSCRIPTION_BACKOFF_MAX));
    }
    let own = executor.command.as_ref().and_then(|c| c.environment.as_ref());
    for variable in own.map(|e| e.variables.as_slice()).unwrap_or_default() {
        match variable.r#type() {
            Type::Secret => return Err(SecretVariable(variable.name.clone())),
            Type::Value | Type::Unknown => {
                all.insert(variable.name.clone(), variable.value.clone().unwrap_or_default());
            }
        }
    }
    Ok(all)
}

/// A duration as the original prints it: in the largest unit that gives a whole number.
pub(super) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    const UNITS: [(u128, &str); 8] = [
        (604_800_000_000_000, "weeks"),
        (86_400_000_000_000, "days"),
        (3_600_000_000_000, "hrs"),
        (60_000_000_000, "mins"),
        (1_000_000_000, "secs"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let fits = UNITS.iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    match fits {
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None => "0ns".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_print_in_the_largest_whole_unit() {
        for (millis, text) in [
            (0, "0ns"),
            (5_000, "5secs"),
            (900_000, "15mins"),
            (90_000, "90secs"),
            (1_500, "1500ms"),
            (3_600_000, "1hrs"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
