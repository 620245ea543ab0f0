//! Calls that every framework makes, ready to send.

use wire::v1::TaskStatus;
use wire::v1::scheduler::{Call, call};

/// The call that tells the agent that `status` has arrived and need not be sent again. `None` if
/// nobody waits for that: the status has no uuid, or no agent sent it.
#[must_use]
pub fn acknowledgement(status: &TaskStatus) -> Option<Call> {
    let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) else { return None };
    Some(Call {
        r#type: Some(call::Type::Acknowledge as i32),
        acknowledge: Some(call::Acknowledge {
            agent_id: agent_id.clone(),
            task_id: status.task_id.clone(),
            uuid: uuid.clone(),
        }),
        ..Call::default()
    })
}

/// The call that ends the framework: its tasks are killed and its id is never accepted again.
#[must_use]
pub fn teardown() -> Call {
    Call { r#type: Some(call::Type::Teardown as i32), ..Call::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::{AgentId, TaskId};

    #[test]
    fn only_a_status_that_is_waited_for_is_acknowledged() {
        let mut status = TaskStatus {
            task_id: TaskId { value: "t".into() },
            agent_id: Some(AgentId { value: "a".into() }),
            uuid: Some(vec![7; 16].into()),
            ..TaskStatus::default()
        };
        let call = acknowledgement(&status).unwrap();
        assert_eq!(call.r#type(), call::Type::Acknowledge);
        assert_eq!(call.acknowledge.unwrap().uuid, vec![7; 16]);
        status.uuid = None;
        assert_eq!(acknowledgement(&status), None);
    }
}
