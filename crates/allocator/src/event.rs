//! What the allocator is told, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{AgentId, FrameworkId};
use model::resources::{MinAllocatable, Resources};
use model::role::Role;

/// The longest that a refusal lasts: 365 days.
const MAX_REFUSAL: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a refusal lasts that states no usable time.
const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);

/// What matters about an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFacts {
    /// All that it has, unallocated.
    pub total: Resources,
    /// Whether it can run tasks of frameworks with several roles.
    pub multi_role: bool,
    /// Whether it knows roles that are paths.
    pub hierarchical_role: bool,
    /// Its region, if it states one.
    pub region: Option<String>,
    /// A text that changes when its attributes do: refusals made before then count no more.
    pub attributes: String,
}

/// What matters about a framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkFacts {
    /// The roles it wants offers for.
    pub roles: BTreeSet<Role>,
    /// Those for which it wants none now.
    pub suppressed: BTreeSet<Role>,
    /// What an offer must hold at the least, by role, where it differs from the rule.
    pub min_allocatable: BTreeMap<Role, MinAllocatable>,
    /// Whether it knows of GPUs.
    pub gpu_resources: bool,
    /// Whether it has several roles.
    pub multi_role: bool,
    /// Whether it knows of regions.
    pub region_aware: bool,
    /// Whether it knows stacks of reservations.
    pub reservation_refinement: bool,
    /// Whether it takes what can be taken back.
    pub revocable_resources: bool,
}

/// Whether a framework that gives something back would rather not see it again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not say so, and there is no filter. Offered again with the next run of the timer,
    /// lest a scheduler that declines everything keep the master busy.
    Brief,
    /// It does not want as much or less of this agent for so long.
    For(Duration),
    /// It was not asked: a task ended, an offer was taken back.
    None,
}

impl Refusal {
    /// Reads `Filters.refuse_seconds`: zero is no filter, more than 365 days counts as 365 days,
    /// what is no time at all (negative, NaN) as 5 seconds.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        if seconds == 0.0 {
            Self::Brief
        } else if seconds >= MAX_REFUSAL.as_secs_f64() {
            Self::For(MAX_REFUSAL)
        } else {
            Self::For(Duration::try_from_secs_f64(seconds).unwrap_or(DEFAULT_REFUSAL))
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An agent joined.
    AgentAdded {
        /// Which.
        id: AgentId,
        /// What it has and can do.
        facts: AgentFacts,
        /// What frameworks already use there, allocated to roles.
        used: BTreeMap<FrameworkId, Resources>,
        /// Whether it is to be offered.
        active: bool,
    },
    /// An agent left; all allocations there end.
    AgentRemoved(AgentId),
    /// An agent is to be offered from now on, or no longer.
    AgentSwitched {
        /// Which.
        id: AgentId,
        /// Whether it is to be offered.
        active: bool,
    },
    /// An agent changed.
    AgentUpdated {
        /// Which.
        id: AgentId,
        /// What it has and can do now.
        facts: AgentFacts,
    },
    /// A framework joined.
    FrameworkAdded {
        /// Which.
        id: FrameworkId,
        /// What it wants and understands.
        facts: FrameworkFacts,
        /// Whether it gets offers.
        active: bool,
    },
    /// A framework left; all its allocations end.
    FrameworkRemoved(FrameworkId),
    /// A framework gets offers from now on, or no longer; in that case its refusals are forgotten.
    FrameworkSwitched {
        /// Which.
        id: FrameworkId,
        /// Whether it gets offers.
        active: bool,
    },
    /// A framework changed.
    FrameworkUpdated {
        /// Which.
        id: FrameworkId,
        /// What it wants and understands now.
        facts: FrameworkFacts,
    },
    /// A framework no longer has what it was offered or used.
    Recovered {
        /// Which framework.
        framework_id: FrameworkId,
        /// On which agent.
        agent_id: AgentId,
        /// What, allocated to one role.
        resources: Resources,
        /// Whether it wants it again.
        refusal: Refusal,
    },
    /// A framework wants offers again; its refusals are forgotten.
    Revived {
        /// Which framework.
        framework_id: FrameworkId,
        /// For which roles.
        roles: BTreeSet<Role>,
    },
    /// A framework wants no offers for now.
    Suppressed {
        /// Which framework.
        framework_id: FrameworkId,
        /// For which roles.
        roles: BTreeSet<Role>,
    },
    /// A framework turned out to use something that it was not offered.
    Used {
        /// Which framework.
        framework_id: FrameworkId,
        /// On which agent.
        agent_id: AgentId,
        /// What, allocated to one role.
        resources: Resources,
    },
}

/// An offer to make. The resources count as the framework's from now on, until they are recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// To whom.
    pub framework_id: FrameworkId,
    /// Of which agent.
    pub agent_id: AgentId,
    /// Under which role.
    pub role: Role,
    /// What, allocated to `role`.
    pub resources: Resources,
}
