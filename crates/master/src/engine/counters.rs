//! What the master counts, under the names that `/metrics/snapshot` prints.

use std::fmt;

use wire::v1;

use super::collections::Map;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A count that only grows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter {
            $($(#[$doc])* #[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Counter {
            /// All counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name after the prefix `master/`, which those of ours do not have.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    AgentIdsClaimedByOthers = "alcazar/agent_ids_claimed_by_others";
    DroppedMessages = "dropped_messages";
    FrameworkIdsClaimedByOthers = "alcazar/framework_ids_claimed_by_others";
    HttpCacheHits = "http_cache_hits";
    InvalidExecutorToFrameworkMessages = "invalid_executor_to_framework_messages";
    InvalidFrameworkToExecutorMessages = "invalid_framework_to_executor_messages";
    InvalidOperationStatusUpdateAcknowledgements = "invalid_operation_status_update_acknowledgements";
    InvalidOperationStatusUpdates = "invalid_operation_status_updates";
    InvalidStatusUpdateAcknowledgements = "invalid_status_update_acknowledgements";
    InvalidStatusUpdates = "invalid_status_updates";
    MessagesAuthenticate = "messages_authenticate";
    MessagesDeactivateFramework = "messages_deactivate_framework";
    MessagesDeclineOffers = "messages_decline_offers";
    MessagesExecutorToFramework = "messages_executor_to_framework";
    MessagesExitedExecutor = "messages_exited_executor";
    MessagesFrameworkToExecutor = "messages_framework_to_executor";
    MessagesKillTask = "messages_kill_task";
    MessagesLaunchTasks = "messages_launch_tasks";
    MessagesOperationStatusUpdate = "messages_operation_status_update";
    MessagesOperationStatusUpdateAcknowledgement = "messages_operation_status_update_acknowledgement";
    MessagesReconcileOperations = "messages_reconcile_operations";
    MessagesReconcileTasks = "messages_reconcile_tasks";
    MessagesRegisterFramework = "messages_register_framework";
    MessagesRegisterSlave = "messages_register_slave";
    MessagesReregisterFramework = "messages_reregister_framework";
    MessagesReregisterSlave = "messages_reregister_slave";
    MessagesResourceRequest = "messages_resource_request";
    MessagesReviveOffers = "messages_revive_offers";
    MessagesStatusUpdate = "messages_status_update";
    MessagesStatusUpdateAcknowledgement = "messages_status_update_acknowledgement";
    MessagesSuppressOffers = "messages_suppress_offers";
    MessagesUnregisterFramework = "messages_unregister_framework";
    MessagesUnregisterSlave = "messages_unregister_slave";
    MessagesUpdateSlave = "messages_update_slave";
    OperationsDropped = "operations/dropped";
    OperationsError = "operations/error";
    OperationsFailed = "operations/failed";
    OperationsFinished = "operations/finished";
    OperationsGoneByOperator = "operations/gone_by_operator";
    RecoverySlaveRemovals = "recovery_slave_removals";
    SlaveRegistrations = "slave_registrations";
    SlaveRemovals = "slave_removals";
    SlaveRemovalsReasonRegistered = "slave_removals/reason_registered";
    SlaveRemovalsReasonUnhealthy = "slave_removals/reason_unhealthy";
    SlaveRemovalsReasonUnregistered = "slave_removals/reason_unregistered";
    SlaveReregistrations = "slave_reregistrations";
    SlaveShutdownsCanceled = "slave_shutdowns_canceled";
    SlaveShutdownsCompleted = "slave_shutdowns_completed";
    SlaveShutdownsScheduled = "slave_shutdowns_scheduled";
    SlaveUnreachableCanceled = "slave_unreachable_canceled";
    SlaveUnreachableCompleted = "slave_unreachable_completed";
    SlaveUnreachableScheduled = "slave_unreachable_scheduled";
    TasksDropped = "tasks_dropped";
    TasksError = "tasks_error";
    TasksFailed = "tasks_failed";
    TasksFinished = "tasks_finished";
    TasksGone = "tasks_gone";
    TasksGoneByOperator = "tasks_gone_by_operator";
    TasksKilled = "tasks_killed";
    TasksLost = "tasks_lost";
    ValidExecutorToFrameworkMessages = "valid_executor_to_framework_messages";
    ValidFrameworkToExecutorMessages = "valid_framework_to_executor_messages";
    ValidOperationStatusUpdateAcknowledgements = "valid_operation_status_update_acknowledgements";
    ValidOperationStatusUpdates = "valid_operation_status_updates";
    ValidStatusUpdateAcknowledgements = "valid_status_update_acknowledgements";
    ValidStatusUpdates = "valid_status_updates";
}

/// A task's ending, who told of it and why: the subject of the counters
/// `master/task_<state>/source_<source>/reason_<reason>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// The state in which the task ended.
    pub state: v1::TaskState,
    /// Who told of it.
    pub source: v1::task_status::Source,
    /// Why, if that was said.
    pub reason: Option<v1::task_status::Reason>,
}

/// All counts of one master.
#[derive(Clone)]
pub struct Counters {
    counts: [u64; Counter::ALL.len()],
    endings: Map<Ending, u64>,
    operations: Map<(v1::offer::operation::Type, v1::OperationState), u64>,
}

impl Counters {
    /// How often `counter` was counted.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// How often tasks ended in which way.
    pub fn endings(&self) -> impl Iterator<Item = (Ending, u64)> {
        self.endings.iter().map(|(ending, count)| (*ending, *count))
    }

    /// How many operations of `kind` ended in `state`.
    #[must_use]
    pub fn operations(&self, kind: v1::offer::operation::Type, state: v1::OperationState) -> u64 {
        self.operations.get(&(kind, state)).copied().unwrap_or_default()
    }

    /// Counts an operation that ended.
    pub(super) fn count_operation(
        &mut self,
        kind: v1::offer::operation::Type,
        state: v1::OperationState,
    ) {
        self.count(match state {
            v1::OperationState::OperationDropped => Counter::OperationsDropped,
            v1::OperationState::OperationError => Counter::OperationsError,
            v1::OperationState::OperationFailed => Counter::OperationsFailed,
            v1::OperationState::OperationFinished => Counter::OperationsFinished,
            v1::OperationState::OperationGoneByOperator => Counter::OperationsGoneByOperator,
            _ => return,
        });
        count_in(&mut self.operations, (kind, state));
    }

    pub(super) fn count(&mut self, counter: Counter) {
        let count = &mut self.counts[counter as usize];
        *count = count.saturating_add(1);
    }

    pub(super) fn count_ending(&mut self, ending: Ending) {
        count_in(&mut self.endings, ending);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counts: [0; Counter::ALL.len()],
            endings: Map::default(),
            operations: Map::default(),
        }
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Counter::ALL.iter().filter(|c| self.get(**c) > 0);
        f.debug_map().entries(counted.map(|c| (c.name(), self.get(*c)))).finish()
    }
}

pub(super) fn count_in<K: Ord + Clone>(counts: &mut Map<K, u64>, key: K) {
    let count = counts.get(&key).copied().unwrap_or(0);
    counts.insert_mut(key, count.saturating_add(1));
}

/// What is counted for one framework.
#[derive(Clone, Debug, Default)]
pub struct FrameworkCounters {
    /// Calls received, by type.
    pub calls: Map<v1::scheduler::call::Type, u64>,
    /// Events sent, by type.
    pub events: Map<v1::scheduler::event::Type, u64>,
    /// Operations accepted from it, by type.
    pub operations: Map<v1::offer::operation::Type, u64>,
    /// Tasks that ended, by state.
    pub terminal_tasks: Map<v1::TaskState, u64>,
    /// Offers sent.
    pub offers_sent: u64,
    /// Offers accepted.
    pub offers_accepted: u64,
    /// Offers declined.
    pub offers_declined: u64,
    /// Offers taken back.
    pub offers_rescinded: u64,
}
