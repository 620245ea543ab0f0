//! `POST /alcazar/v1/kill-task`: an operator kills a task. The body is the KILL call that the
//! task's framework would make, JSON or protobuf.
//!
//! The original knows no such request: its scheduler API takes KILL from the framework's own
//! stream alone, and its operator API can only end whole frameworks.

use endpoints::call::{absent, invalid, read};
use endpoints::refusal::Refusal;
use endpoints::request::Request;
use endpoints::route::Pending;
use model::id::{FrameworkId, TaskId};
use wire::v1::scheduler::Call;
use wire::v1::scheduler::call::Type;
use wire::{Limits, v1};

use super::{Shared, operator, permits};
use crate::engine::event::OperatorCommand;

/// The word in texts of failed validations.
const KIND: &str = "scheduler";

pub(super) fn call(master: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let call: Call = read(&request, &Limits::default())?;
        let (framework_id, task_id, kill_policy) = asked(call)?;
        let permit = permits::on_framework(&master, &request.caller, &framework_id)?;
        let command = OperatorCommand::KillTask { permit, framework_id, task_id, kill_policy };
        operator::command(&master, command).await
    })
}

fn asked(call: Call) -> Result<(FrameworkId, TaskId, Option<v1::KillPolicy>), Refusal> {
    let kind = call.r#type.and_then(|n| Type::try_from(n).ok());
    match kind.ok_or_else(|| absent(KIND, "type"))? {
        Type::Kill => {}
        other => {
            return Err(invalid(KIND, &format!("Expecting KILL, got {}", other.as_str_name())));
        }
    }
    let framework_id = call.framework_id.ok_or_else(|| absent(KIND, "framework_id"))?.value;
    let kill = call.kill.ok_or_else(|| absent(KIND, "kill"))?;
    // What is no id is the id of nothing.
    let not_found = || Refusal::not_found_because("No task found with specified ID");
    Ok((
        framework_id.parse().map_err(|_| not_found())?,
        kill.task_id.value.parse().map_err(|_| not_found())?,
        kill.kill_policy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::scheduler::call::Kill;

    fn kill(framework: &str, task: &str) -> Call {
        Call {
            framework_id: Some(v1::FrameworkId { value: framework.into() }),
            r#type: Some(Type::Kill as i32),
            kill: Some(Kill {
                task_id: v1::TaskId { value: task.into() },
                agent_id: None,
                kill_policy: None,
            }),
            ..Call::default()
        }
    }

    #[test]
    fn a_kill_names_framework_and_task() {
        let asked = asked(kill("f", "t")).unwrap();
        assert_eq!(asked, ("f".parse().unwrap(), "t".parse().unwrap(), None));
    }

    #[test]
    fn anything_else_is_refused() {
        let status = |call| asked(call).unwrap_err().status().as_u16();
        assert_eq!(status(Call::default()), 400);
        assert_eq!(status(Call { r#type: Some(Type::Teardown as i32), ..kill("f", "t") }), 400);
        assert_eq!(status(Call { framework_id: None, ..kill("f", "t") }), 400);
        assert_eq!(status(Call { kill: None, ..kill("f", "t") }), 400);
        assert_eq!(status(kill("f", "a/b")), 404);
        assert_eq!(status(kill("", "t")), 404);
    }
}
