//! The executor that the agent makes up for a task that has only a command
//! (`master-agent-protocol.md` §5).

use std::time::Duration;

use wire::v1::resource::AllocationInfo;
use wire::v1::value::{Scalar, Type};
use wire::v1::{CommandInfo, DurationInfo, ExecutorInfo, FrameworkInfo, Resource, TaskInfo};

use super::rules::ExecutorProgram;

/// What a command executor gets on top of its task. The master does not know of it.
const CPUS: f64 = 0.1;
/// In megabytes; see [`CPUS`].
const MEM: f64 = 32.0;
/// How much longer than the task's own grace period the executor may take to end.
const AFTER_KILL: Duration = Duration::from_secs(2);
/// How many characters of the command stand in the executor's name.
const SHOWN: usize = 15;

/// The executor for a command task.
#[expect(deprecated, reason = "tools still read `source`")]
pub(super) fn synthesize(
    task: &TaskInfo,
    command: &CommandInfo,
    framework: &FrameworkInfo,
    program: &ExecutorProgram,
) -> ExecutorInfo {
    let id = &task.task_id.value;
    let role = task.resources.iter().find_map(|r| r.allocation_info.as_ref()?.role.clone());
    let grace = task.kill_policy.as_ref().and_then(|p| p.grace_period.as_ref());
    ExecutorInfo {
        executor_id: wire::v1::ExecutorId { value: id.clone() },
        framework_id: framework.id.clone(),
        command: Some(CommandInfo {
            uris: command.uris.clone(),
            environment: None,
            shell: Some(false),
            value: Some(program.path.display().to_string()),
            arguments: program.arguments.clone(),
            user: command.user.clone(),
        }),
        container: task.container.clone(),
        resources: vec![scalar("cpus", CPUS, role.as_deref()), scalar("mem", MEM, role.as_deref())],
        name: Some(format!("Command Executor (Task: {id}) (Command: {})", shown(command))),
        source: Some(id.clone()),
        discovery: task.discovery.clone(),
        shutdown_grace_period: grace.map(|g| DurationInfo {
            nanoseconds: g.nanoseconds.saturating_add(nanoseconds(AFTER_KILL)),
        }),
        labels: task.labels.clone(),
        ..Default::default()
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn scalar(name: &str, value: f64, role: Option<&str>) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: Type::Scalar.into(),
        scalar: Some(Scalar { value }),
        allocation_info: role.map(|role| AllocationInfo { role: Some(role.to_owned()) }),
        ..Default::default()
    }
}

fn shown(command: &CommandInfo) -> String {
    let cut = |text: &str| {
        if text.chars().count() > SHOWN {
            text.chars().take(SHOWN - 3).chain("...".chars()).collect()
        } else {
            text.to_owned()
        }
    };
    match (command.shell(), &command.value) {
        (true, Some(value)) => format!("sh -c '{}'", cut(value)),
        (true, None) => "NO COMMAND".to_owned(),
        (false, Some(value)) => {
            let words: Vec<&str> = std::iter::once(value.as_str())
                .chain(command.arguments.iter().map(String::as_str))
                .collect();
            format!("[{}]", cut(&words.join(", ")))
        }
        (false, None) => "NO EXECUTABLE".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(value: &str) -> CommandInfo {
        CommandInfo { value: Some(value.into()), ..Default::default() }
    }

    #[test]
    fn the_name_shows_the_beginning_of_the_command() {
        assert_eq!(shown(&command("echo hello && sleep 1")), "sh -c 'echo hello &...'");
        assert_eq!(shown(&command("true")), "sh -c 'true'");
        assert_eq!(shown(&CommandInfo::default()), "NO COMMAND");
        let mut argv = command("/bin/echo");
        argv.shell = Some(false);
        argv.arguments = vec!["echo".into(), "ü".into()];
        assert_eq!(shown(&argv), "[/bin/echo, e...]");
        assert_eq!(shown(&command("üüüüüüüüüüüüüüüü")), "sh -c 'üüüüüüüüüüüü...'");
    }
}
