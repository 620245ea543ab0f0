//! How much one ACCEPT may ask for. The original knows no bounds: it can be made to copy without
//! end by a call of some megabytes.

use prost::Message;
use wire::v1;
use wire::v1::offer::operation::Type;
use wire::v1::scheduler::call::Accept;

use super::super::operations::launches;

/// The most tasks in one ACCEPT, and the most operations that launch some. All are for one agent.
pub const MAX_TASKS: usize = 10_000;

/// The most operations in one ACCEPT that launch nothing.
pub const MAX_OPERATIONS: usize = 1_000;

/// The most bytes that launches may take by copying: what an agent is sent of each task has the
/// framework's description with it, and within a group a copy of the executor's.
pub const MAX_COPIED: usize = 64 << 20;

/// Checks how much an ACCEPT of the framework asks for, before anything of it is copied.
pub(in super::super) fn accept(
    accept: &Accept,
    framework: &v1::FrameworkInfo,
) -> Result<(), String> {
    let of = |kind| accept.operations.iter().filter(move |o| launches(o.r#type()) == kind);
    if of(false).count() > MAX_OPERATIONS {
        return Err(format!("More than {MAX_OPERATIONS} operations in one ACCEPT"));
    }
    let (mut launches, mut tasks, mut copied) = (0, 0_usize, 0_usize);
    let description = framework.encoded_len();
    for operation in of(true) {
        launches += 1;
        if let Some(launch) = operation.launch.as_ref().filter(|_| is(operation, Type::Launch)) {
            tasks += launch.task_infos.len();
            copied = copied.saturating_add(description.saturating_mul(launch.task_infos.len()));
        }
        if let Some(group) =
            operation.launch_group.as_ref().filter(|_| is(operation, Type::LaunchGroup))
        {
            let members = group.task_group.tasks.len();
            tasks += members;
            let executors = group.executor.encoded_len().saturating_mul(members);
            copied = copied.saturating_add(description).saturating_add(executors);
        }
    }
    if launches > MAX_TASKS || tasks > MAX_TASKS {
        return Err(format!("More than {MAX_TASKS} tasks or launches in one ACCEPT"));
    }
    if copied > MAX_COPIED {
        return Err(format!(
            "The tasks of one ACCEPT would take {copied} bytes of copies of their group's executor \
             and of their framework's description, which is more than {MAX_COPIED}"
        ));
    }
    Ok(())
}

fn is(operation: &v1::offer::Operation, kind: Type) -> bool {
    operation.r#type() == kind
}
