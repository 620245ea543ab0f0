//! What can be permitted: one type per action, after the original's list.

use std::fmt;

use model::machine::Machine;

/// An action. A name only: there are no values.
pub trait Action: sealed::Sealed {
    /// The original's name.
    const NAME: &'static str;

    /// The original's number; `None` for what only we have.
    const NUMBER: Option<u32>;

    /// To what it is done, as far as rules can tell objects apart; `()` where they cannot.
    type Object: Clone + Ord + fmt::Debug;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal, $number:expr, $object:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $action {}

            impl sealed::Sealed for $action {}

            impl Action for $action {
                const NAME: &'static str = $name;
                const NUMBER: Option<u32> = $number;
                type Object = $object;
            }
        )*
    };
}

actions! {
    /// Creates persistent volumes; object: the role of the resources.
    CreateVolume = "CREATE_VOLUME", Some(6), String;
    /// Keeps an agent from being offered.
    DeactivateAgent = "DEACTIVATE_AGENT", Some(52), ();
    /// Destroys persistent volumes; object: the principal that made the volume, empty if nobody
    /// is named.
    DestroyVolume = "DESTROY_VOLUME", Some(7), String;
    /// Ends what runs on an agent.
    DrainAgent = "DRAIN_AGENT", Some(51), ();
    /// Kills a task of a framework; object: the principal of the framework, empty if it has
    /// none. Ours: the original's operators cannot.
    KillTask = "KILL_TASK", None, String;
    /// Gives an agent up for good.
    MarkAgentGone = "MARK_AGENT_GONE", Some(34), ();
    /// Lets an agent be offered again.
    ReactivateAgent = "REACTIVATE_AGENT", Some(53), ();
    /// Reserves resources; object: the role.
    ReserveResources = "RESERVE_RESOURCES", Some(4), String;
    /// Grows or shrinks a persistent volume; object: its role.
    ResizeVolume = "RESIZE_VOLUME", Some(42), String;
    /// Changes how much the daemon writes to its log.
    SetLogLevel = "SET_LOG_LEVEL", Some(26), ();
    /// Takes machines down.
    StartMaintenance = "START_MAINTENANCE", Some(31), Machine;
    /// Brings machines up.
    StopMaintenance = "STOP_MAINTENANCE", Some(32), Machine;
    /// Ends a framework; object: its principal, empty if it has none.
    TeardownFramework = "TEARDOWN_FRAMEWORK", Some(3), String;
    /// Gives up reservations; object: the principal that made the reservation, empty if nobody
    /// is named.
    UnreserveResources = "UNRESERVE_RESOURCES", Some(5), String;
    /// Schedules when machines are not available.
    UpdateMaintenanceSchedule = "UPDATE_MAINTENANCE_SCHEDULE", Some(29), Machine;
    /// Sets or removes a quota in its old form; object: the role.
    UpdateQuota = "UPDATE_QUOTA", Some(12), String;
    /// Sets guarantees and limits; object: the role.
    UpdateQuotaWithConfig = "UPDATE_QUOTA_WITH_CONFIG", Some(50), String;
    /// Changes a role's weight; object: the role.
    UpdateWeight = "UPDATE_WEIGHT", Some(10), String;
}
