//! What the exit status of a command says.

use std::fmt;

use wire::v1::{TaskState, TaskStatus};

/// The command did what it was asked.
pub(crate) const SUCCESS: u8 = 0;
/// The command failed; the line on stderr says why.
pub(crate) const FAILURE: u8 = 1;
/// The arguments were wrong (`clap` uses the same number).
pub(crate) const USAGE: u8 = 2;
/// There is no cluster there, or it does not answer.
pub(crate) const NO_CLUSTER: u8 = 3;
/// The cluster refused the request.
pub(crate) const REFUSED: u8 = 4;
/// There is no such task, or more than one.
pub(crate) const NOT_FOUND: u8 = 5;

/// `execute`: the task was lost: `TASK_LOST`, `TASK_DROPPED`, `TASK_GONE`,
/// `TASK_GONE_BY_OPERATOR`.
pub(crate) const TASK_LOST: u8 = 121;
/// `execute`: the task failed without an exit status of its own: `TASK_ERROR`, or `TASK_FAILED`
/// because it could not be launched.
pub(crate) const TASK_WITHOUT_STATUS: u8 = 122;
/// `execute`: `--timeout` passed and the task was killed; the number is timeout(1)'s.
pub(crate) const TIMEOUT: u8 = 124;
/// `execute`: the command itself failed: no cluster, refused, the session ended.
pub(crate) const EXECUTE_FAILED: u8 = 125;
/// `execute`: Ctrl-C; the task was killed.
pub(crate) const INTERRUPTED: u8 = 130;
/// `execute`: the task was killed by somebody else.
pub(crate) const KILLED: u8 = 137;

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  done
  1  failed; the line on stderr says why
  2  wrong arguments
  3  no cluster there, or it does not answer
  4  the cluster refused
  5  no such task, or more than one";

/// The table for `execute --help`.
pub(crate) const EXECUTE_HELP: &str = "\
Exit status:
  that of the task's command; 128+n if signal n ended it; and
  2    wrong arguments
  121  the task was lost (TASK_LOST, TASK_DROPPED, TASK_GONE, TASK_GONE_BY_OPERATOR)
  122  the task failed without an exit status (TASK_ERROR, or it could not be launched)
  124  --timeout passed; the task was killed
  125  execute itself failed: no cluster, refused, the session ended
  130  Ctrl-C (143: SIGTERM, 129: SIGHUP); the task was killed
  137  somebody else killed the task";

/// A failure with an exit status of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// [`NO_CLUSTER`].
    NoCluster(String),
    /// [`NOT_FOUND`].
    NotFound(String),
    /// [`REFUSED`].
    Refused(String),
    /// [`USAGE`].
    Usage(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCluster(text)
            | Self::NotFound(text)
            | Self::Refused(text)
            | Self::Usage(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

/// The exit status that an error ends the program with.
pub(crate) fn status_of(error: &anyhow::Error) -> u8 {
    match error.chain().find_map(|cause| cause.downcast_ref::<Failure>()) {
        Some(Failure::NoCluster(_)) => NO_CLUSTER,
        Some(Failure::NotFound(_)) => NOT_FOUND,
        Some(Failure::Refused(_)) => REFUSED,
        Some(Failure::Usage(_)) => USAGE,
        None => FAILURE,
    }
}

/// The exit status that a terminal status of the task stands for; `None` while it is not
/// terminal.
pub(crate) fn of_task(status: &TaskStatus) -> Option<u8> {
    match status.state() {
        TaskState::TaskFinished => Some(SUCCESS),
        TaskState::TaskFailed => Some(of_failure(status.message())),
        TaskState::TaskKilled => Some(KILLED),
        TaskState::TaskError => Some(TASK_WITHOUT_STATUS),
        TaskState::TaskLost
        | TaskState::TaskDropped
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator => Some(TASK_LOST),
        _ => None,
    }
}

/// Reads what the command executor says about how the command ended: `Command exited with
/// status 3`, `Command terminated with signal Segmentation fault (core dumped)`.
fn of_failure(message: &str) -> u8 {
    if let Some((_, rest)) = message.split_once(" exited with status ") {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if let Ok(status) = digits.parse::<u8>()
            && status != 0
        {
            return status;
        }
    }
    if let Some((_, rest)) = message.split_once(" terminated with signal ") {
        let name = rest.trim_end().trim_end_matches(" (core dumped)");
        let number = name.parse::<u8>().ok().or_else(|| {
            let position = SIGNALS.iter().position(|s| *s == name)?;
            u8::try_from(position + 1).ok()
        });
        if let Some(number) = number {
            return number.saturating_add(128);
        }
    }
    TASK_WITHOUT_STATUS
}

/// What Linux' C library calls signals 1 to 31.
const SIGNALS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_state_has_its_exit_status() {
        let table: [(TaskState, &str, Option<u8>); 20] = [
            (TaskState::TaskStaging, "", None),
            (TaskState::TaskStarting, "", None),
            (TaskState::TaskRunning, "", None),
            (TaskState::TaskKilling, "", None),
            (TaskState::TaskUnreachable, "", None),
            (TaskState::TaskUnknown, "", None),
            (TaskState::TaskFinished, "Command exited with status 0", Some(0)),
            (TaskState::TaskFailed, "Command exited with status 3", Some(3)),
            (TaskState::TaskFailed, "Command exited with status 255", Some(255)),
            (TaskState::TaskFailed, "Command terminated with signal Killed", Some(137)),
            (
                TaskState::TaskFailed,
                "Command terminated with signal Segmentation fault (core dumped)",
                Some(139),
            ),
            (TaskState::TaskFailed, "Command terminated with signal 34", Some(162)),
            (TaskState::TaskFailed, "Command exited with status 256", Some(TASK_WITHOUT_STATUS)),
            (TaskState::TaskFailed, "Failed to fetch all URIs", Some(TASK_WITHOUT_STATUS)),
            (TaskState::TaskKilled, "", Some(137)),
            (TaskState::TaskError, "Task uses more resources", Some(122)),
            (TaskState::TaskLost, "", Some(121)),
            (TaskState::TaskDropped, "", Some(121)),
            (TaskState::TaskGone, "", Some(121)),
            (TaskState::TaskGoneByOperator, "", Some(121)),
        ];
        for (state, message, expected) in table {
            let status = TaskStatus {
                state: state as i32,
                message: Some(message.to_owned()),
                ..TaskStatus::default()
            };
            assert_eq!(of_task(&status), expected, "{state:?} `{message}`");
        }
    }

    #[test]
    fn a_failure_is_found_beneath_its_context() {
        let error = anyhow::Error::new(Failure::NotFound("no task `x`".into())).context("logs");
        assert_eq!(status_of(&error), NOT_FOUND);
        assert_eq!(status_of(&anyhow::anyhow!("anything")), FAILURE);
    }
}
