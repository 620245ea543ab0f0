//! Operations: `master/operations/…`, of all kinds and of each.

use wire::v1::OperationState;
use wire::v1::offer::operation::Type;

use super::Metrics;
use crate::engine::state::Snapshot;

/// The kinds that have metrics of their own.
const KINDS: [Type; 8] = [
    Type::Reserve,
    Type::Unreserve,
    Type::Create,
    Type::Destroy,
    Type::GrowVolume,
    Type::ShrinkVolume,
    Type::CreateDisk,
    Type::DestroyDisk,
];

/// The states in which an operation goes on: counted as they are now.
const GOING_ON: [(OperationState, &str); 3] = [
    (OperationState::OperationPending, "pending"),
    (OperationState::OperationRecovering, "recovering"),
    (OperationState::OperationUnreachable, "unreachable"),
];

/// The states in which it is over: counted since the master leads.
const OVER: [(OperationState, &str); 5] = [
    (OperationState::OperationFinished, "finished"),
    (OperationState::OperationFailed, "failed"),
    (OperationState::OperationError, "error"),
    (OperationState::OperationDropped, "dropped"),
    (OperationState::OperationGoneByOperator, "gone_by_operator"),
];

/// Adds the metrics of operations. `total` is those that the master knows now: that go on, or whose
/// end has not been acknowledged.
pub(super) fn publish(all: &mut Metrics, snapshot: &Snapshot) {
    for kind in KINDS {
        let name = kind.as_str_name().to_lowercase();
        for (state, ending) in OVER {
            let count = snapshot.counters.operations(kind, state) as f64;
            all.gauge(format!("master/operations/{name}/{ending}"), count);
        }
        all.gauge(format!("master/operations/{name}/total"), 0.0);
        for (_, going) in GOING_ON {
            all.gauge(format!("master/operations/{name}/{going}"), 0.0);
        }
    }
    for (_, going) in GOING_ON {
        all.gauge(format!("master/operations/{going}"), 0.0);
    }
    all.number("master/operations/total", snapshot.operations.size());
    for operation in snapshot.operations.values() {
        let name = operation.kind().as_str_name().to_lowercase();
        all.add(&format!("master/operations/{name}/total"), 1.0);
        let going = GOING_ON.iter().find(|(state, _)| *state == operation.state());
        if let Some((_, going)) = going {
            all.add(&format!("master/operations/{going}"), 1.0);
            all.add(&format!("master/operations/{name}/{going}"), 1.0);
        }
    }
}
