//! From a task's description to the program that is started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use wire::v1;
use wire::v1::environment::variable;
use wire::v1::secret;

use crate::environment::NEVER_FOR_TASKS;
use launch::{Input, Program, Start};

/// The shell of commands in the shell form.
const SHELL: &str = "/bin/sh";

/// Why a task's command cannot be started. The text goes to the framework.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no command at all.
    #[error("Expecting task '{0}' to have a command")]
    NoCommand(String),
    /// The shell form without a shell command.
    #[error("Shell command of task '{0}' is not specified!")]
    NoShellCommand(String),
    /// The argv form without a program.
    #[error("Executable of task '{0}' is not specified!")]
    NoExecutable(String),
    /// A variable whose value lies in a store of secrets.
    #[error("Environment variable '{0}' refers to a secret, which cannot be resolved here")]
    SecretReference(String),
    /// A variable that no process can have.
    #[error("Environment variable '{0}' has an invalid name or value")]
    Variable(String),
    /// An argument that no process can have.
    #[error("The command of task '{0}' contains a NUL character")]
    Nul(String),
}

/// The command of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskCommand(Start);

impl TaskCommand {
    /// Reads `task`. The task gets the executor's own environment, without what is not for
    /// tasks; then `MESOS_ALLOCATION_ROLE`; then its own variables, which win. It runs in
    /// `directory` and as the user of the executor: that is the task's already, whatever the
    /// command names, since the agent decided it.
    pub fn new(
        task: &v1::TaskInfo,
        executor: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Self, PlanError> {
        let id = || task.task_id.value.clone();
        let command = task.command.as_ref().ok_or_else(|| PlanError::NoCommand(id()))?;
        let (program, arguments) = if command.shell() {
            let text = command.value.clone().ok_or_else(|| PlanError::NoShellCommand(id()))?;
            (SHELL.to_owned(), vec!["sh".to_owned(), "-c".to_owned(), text])
        } else {
            let program = command.value.clone().ok_or_else(|| PlanError::NoExecutable(id()))?;
            let arguments = if command.arguments.is_empty() {
                vec![program.clone()]
            } else {
                command.arguments.clone()
            };
            (program, arguments)
        };
        if arguments.iter().chain([&program]).any(|text| text.contains('\0')) {
            return Err(PlanError::Nul(id()));
        }
        Ok(Self(Start {
            program: Program::Named(program.into()),
            arguments: arguments.into_iter().map(OsString::from).collect(),
            environment: environment(task, command, executor)?,
            directory: directory.to_owned(),
            user: None,
            input: Input::Null,
            // The agent has decided that for this whole container.
            may_gain_privileges: true,
        }))
    }

    /// What to start.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.0
    }
}

fn environment(
    task: &v1::TaskInfo,
    command: &v1::CommandInfo,
    executor: &BTreeMap<String, String>,
) -> Result<BTreeMap<OsString, OsString>, PlanError> {
    let mut environment: BTreeMap<OsString, OsString> = executor
        .iter()
        .filter(|(name, _)| !NEVER_FOR_TASKS.contains(&name.as_str()))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let role = task.resources.first().and_then(|r| r.allocation_info.as_ref()?.role.as_ref());
    if let Some(role) = role {
        environment.insert("MESOS_ALLOCATION_ROLE".into(), role.into());
    }
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        let name = &variable.name;
        let value = value(variable)?;
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(PlanError::Variable(name.clone()));
        }
        environment.insert(name.into(), value.into());
    }
    Ok(environment)
}

fn value(variable: &v1::environment::Variable) -> Result<String, PlanError> {
    if variable.r#type() != variable::Type::Secret {
        return Ok(variable.value.clone().unwrap_or_default());
    }
    let secret = variable.secret.as_ref();
    match secret.filter(|secret| secret.r#type() == secret::Type::Value) {
        Some(secret) => {
            let data = secret.value.as_ref().map(|value| value.data.clone()).unwrap_or_default();
            String::from_utf8(data.into()).map_err(|_| PlanError::Variable(variable.name.clone()))
        }
        None => Err(PlanError::SecretReference(variable.name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executor() -> BTreeMap<String, String> {
        [
            ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "s3cret"),
            ("ALCAZAR_EXECUTOR_MATERIAL_FD", "0"),
            ("MESOS_DIRECTORY", "/sandbox"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn task(command: v1::CommandInfo) -> v1::TaskInfo {
        v1::TaskInfo {
            task_id: v1::TaskId { value: "t".into() },
            command: Some(command),
            ..v1::TaskInfo::default()
        }
    }

    fn variable(name: &str, value: &str) -> v1::environment::Variable {
        v1::environment::Variable {
            name: name.into(),
            value: Some(value.into()),
            ..v1::environment::Variable::default()
        }
    }

    fn start(task: &v1::TaskInfo) -> Result<Start, PlanError> {
        TaskCommand::new(task, &executor(), Path::new("/sandbox")).map(|command| command.0)
    }

    #[test]
    fn the_shell_form_is_the_default() {
        let command = v1::CommandInfo { value: Some("exit 3".into()), ..Default::default() };
        let start = start(&task(command)).unwrap();
        assert_eq!(start.program, Program::Named(SHELL.into()));
        assert_eq!(start.arguments, ["sh", "-c", "exit 3"]);
        assert_eq!(start.directory, Path::new("/sandbox"));
        assert_eq!(start.user, None);
    }

    #[test]
    fn in_the_argv_form_the_first_argument_is_the_name() {
        let command = v1::CommandInfo {
            shell: Some(false),
            value: Some("echo".into()),
            arguments: vec!["name".into(), "a b".into()],
            ..Default::default()
        };
        let start = start(&task(command.clone())).unwrap();
        assert_eq!(start.program, Program::Named("echo".into()));
        assert_eq!(start.arguments, ["name", "a b"]);
        let bare = v1::CommandInfo { arguments: Vec::new(), ..command };
        assert_eq!(super::tests::start(&task(bare)).unwrap().arguments, ["echo"]);
    }

    #[test]
    fn the_tasks_own_variables_win_and_the_token_is_not_among_them() {
        let secret = v1::environment::Variable {
            name: "PASSWORD".into(),
            r#type: Some(variable::Type::Secret.into()),
            secret: Some(v1::Secret {
                r#type: Some(secret::Type::Value.into()),
                value: Some(secret::Value { data: "hunter2".into() }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let command = v1::CommandInfo {
            value: Some("env".into()),
            environment: Some(v1::Environment {
                variables: vec![variable("PATH", "/opt/bin"), secret],
            }),
            ..Default::default()
        };
        let mut task = task(command);
        task.resources = vec![v1::Resource {
            allocation_info: Some(v1::resource::AllocationInfo { role: Some("dev".into()) }),
            ..Default::default()
        }];
        let environment = start(&task).unwrap().environment;
        let expected: BTreeMap<OsString, OsString> = [
            ("MESOS_ALLOCATION_ROLE", "dev"),
            ("MESOS_DIRECTORY", "/sandbox"),
            ("PASSWORD", "hunter2"),
            ("PATH", "/opt/bin"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        assert_eq!(environment, expected);
    }

    #[test]
    fn what_no_process_can_have_is_refused_by_name() {
        assert_eq!(
            start(&v1::TaskInfo { command: None, ..task(Default::default()) }),
            Err(PlanError::NoCommand("t".into()))
        );
        assert_eq!(start(&task(Default::default())), Err(PlanError::NoShellCommand("t".into())));
        let argv = v1::CommandInfo { shell: Some(false), ..Default::default() };
        assert_eq!(start(&task(argv)), Err(PlanError::NoExecutable("t".into())));
        for (name, value) in [("", "x"), ("A=B", "x"), ("A", "x\0y")] {
            let command = v1::CommandInfo {
                value: Some("env".into()),
                environment: Some(v1::Environment { variables: vec![variable(name, value)] }),
                ..Default::default()
            };
            assert_eq!(start(&task(command)), Err(PlanError::Variable(name.into())));
        }
        let reference = v1::environment::Variable {
            name: "KEY".into(),
            r#type: Some(variable::Type::Secret.into()),
            secret: Some(v1::Secret {
                r#type: Some(secret::Type::Reference.into()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let command = v1::CommandInfo {
            value: Some("env".into()),
            environment: Some(v1::Environment { variables: vec![reference] }),
            ..Default::default()
        };
        assert_eq!(start(&task(command)), Err(PlanError::SecretReference("KEY".into())));
    }
}
