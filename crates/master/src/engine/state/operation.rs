//! Operations on agents' resources, from when they are sent until their endings are acknowledged.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use model::id::{AgentId, FrameworkId};
use model::resources::Resources;
use wire::v1;
use wire::v1::OperationState;
use wire::v1::offer::operation::Type;

/// The master's name for an operation: 16 bytes that no other operation of any master has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationUuid([u8; 16]);

impl OperationUuid {
    /// A name made of `bytes`.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a name from the wire; `None` unless it has 16 bytes.
    #[must_use]
    pub fn read(uuid: &v1::Uuid) -> Option<Self> {
        <[u8; 16]>::try_from(&uuid.value[..]).ok().map(Self)
    }

    /// The name on the wire.
    #[must_use]
    pub fn write(self) -> v1::Uuid {
        v1::Uuid { value: Bytes::copy_from_slice(&self.0) }
    }
}

impl fmt::Display for OperationUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

/// An operation on an agent's resources.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The master's name for it.
    pub uuid: OperationUuid,
    /// Who asked for it; `None` for an operator.
    pub framework_id: Option<FrameworkId>,
    /// On whose resources.
    pub agent_id: AgentId,
    /// The provider of those resources, unless they are the agent's own.
    pub provider: Option<Arc<str>>,
    /// All else, in the form in which GET_OPERATIONS shows it: resources in the form after
    /// reservation refinement, `latest_status` the latest known, `statuses` those that were
    /// forwarded, the oldest first.
    pub info: v1::Operation,
    /// What it holds until it ends, allocated to a role: nothing if its result was entered when
    /// it was sent.
    pub consumed: Resources,
    /// Whether its framework is not known, so that nobody can be told of it or charged for it.
    pub orphan: bool,
    /// For how many it counts where there is a limit, see [`weight`]. It stays the same.
    pub weight: usize,
}

/// For how many an operation counts that takes so many bytes: one, and one more for each KiB. Most
/// are smaller.
#[must_use]
pub const fn weight(bytes: usize) -> usize {
    1 + bytes / 1024
}

/// The most statuses kept of one operation, the last ones. An operation changes its state once or
/// twice; only an agent that goes back and forth has more.
pub(in crate::engine) const MAX_STATUSES: usize = 16;

impl Operation {
    /// Takes from it the framework's name for it: nobody is told of it by that.
    pub(in crate::engine) fn lose_name(&mut self) {
        self.info.info.id = None;
        self.info.latest_status.operation_id = None;
        self.info.statuses.iter_mut().for_each(|status| status.operation_id = None);
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> Type {
        self.info.info.r#type()
    }

    /// The framework's own name for it: whoever gives one wants to be told how it ends.
    #[must_use]
    pub fn id(&self) -> Option<&v1::OperationId> {
        self.info.info.id.as_ref()
    }

    /// The resources that it names.
    pub fn resources(&self) -> impl Iterator<Item = &v1::Resource> {
        crate::engine::operations::resources_of(&self.info.info)
    }

    /// Its latest state.
    #[must_use]
    pub fn state(&self) -> OperationState {
        self.info.latest_status.state()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        is_terminal(self.state())
    }

    /// Whether its result is entered when it is sent, because it cannot but succeed.
    #[must_use]
    pub fn is_speculative(&self) -> bool {
        is_speculative(self.kind())
    }

    /// What it holds of what its framework is charged for.
    #[must_use]
    pub fn held(&self) -> Option<(&FrameworkId, &Resources)> {
        let holds = !self.orphan && !self.is_terminal() && !self.consumed.is_empty();
        self.framework_id.as_ref().filter(|_| holds).map(|id| (id, &self.consumed))
    }

    /// What was told of it last; the latest state if nothing was.
    #[must_use]
    pub fn last_told(&self) -> &v1::OperationStatus {
        self.info.statuses.last().unwrap_or(&self.info.latest_status)
    }
}

/// Whether the result of such an operation is entered when it is sent.
#[must_use]
pub const fn is_speculative(kind: Type) -> bool {
    matches!(
        kind,
        Type::Reserve
            | Type::Unreserve
            | Type::Create
            | Type::Destroy
            | Type::GrowVolume
            | Type::ShrinkVolume
    )
}

/// Whether an operation in this state has ended.
#[must_use]
pub const fn is_terminal(state: OperationState) -> bool {
    matches!(
        state,
        OperationState::OperationDropped
            | OperationState::OperationError
            | OperationState::OperationFailed
            | OperationState::OperationFinished
            | OperationState::OperationGoneByOperator
    )
}

/// A provider of resources on an agent, other than the agent itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Its description.
    pub info: v1::ResourceProviderInfo,
    /// All that it has, unallocated; part of the agent's total, but for what orphans hold.
    pub total: Resources,
    /// Its mark for the state of its resources: 16 bytes.
    pub resource_version: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_sixteen_bytes_and_reads_as_uuids_do() {
        let uuid = |n| v1::Uuid { value: vec![0xa5; n].into() };
        assert_eq!(OperationUuid::read(&uuid(15)), None);
        assert_eq!(OperationUuid::read(&uuid(17)), None);
        let name = OperationUuid::read(&uuid(16)).unwrap();
        assert_eq!(name.write(), uuid(16));
        assert_eq!(name.to_string(), "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5");
    }

    #[test]
    fn an_operation_is_over_when_no_update_can_follow() {
        let over = |n| OperationState::try_from(n).ok().map(is_terminal);
        let states: Vec<_> = (0..10).map_while(over).collect();
        assert_eq!(states, [false, false, true, true, true, true, false, true, false, false]);
    }
}
