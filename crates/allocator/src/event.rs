//! What the allocator is told, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::id::{AgentId, FrameworkId};
use model::quota::Quota;
use model::resources::{Quantities, Resources};
use model::role::Role;
use model::time::Timestamp;
use model::weight::Weight;

use crate::facts::{AgentFacts, FrameworkFacts, Held, Refusal, Unavailability};

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
        /// Whether that was only offered or in use.
        held: Held,
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
    /// Tasks or executors use what their framework was offered.
    Launched {
        /// Which framework.
        framework_id: FrameworkId,
        /// On which agent.
        agent_id: AgentId,
        /// What, allocated to one role.
        resources: Resources,
    },
    /// A role has another quota.
    QuotaSet {
        /// Which role; quota is enforced for roles that are no paths.
        role: Role,
        /// Its quota; the default takes it away.
        quota: Quota,
    },
    /// Roles have other weights; those that are not named keep theirs.
    WeightsSet(BTreeMap<Role, Weight>),
    /// An agent's planned maintenance changed: what frameworks said about the old is forgotten.
    UnavailabilitySet {
        /// Which agent.
        agent_id: AgentId,
        /// When it will be out of service, if so.
        unavailability: Option<Unavailability>,
    },
    /// A framework said whether it can leave an agent in time.
    InverseOfferAnswered {
        /// Which framework.
        framework_id: FrameworkId,
        /// About which agent.
        agent_id: AgentId,
        /// Whether it agrees.
        accepted: bool,
        /// When it said so.
        at: Timestamp,
        /// For how long it does not want to be asked again.
        refusal: Refusal,
    },
    /// An inverse offer was taken back unanswered.
    InverseOfferWithdrawn {
        /// To which framework.
        framework_id: FrameworkId,
        /// About which agent.
        agent_id: AgentId,
    },
    /// Only agents on these hosts are offered; `None` lifts the restriction.
    Whitelisted(Option<BTreeSet<String>>),
    /// Nothing is offered until so many agents have been added, or the time is over.
    Paused {
        /// How many agents.
        expected_agents: usize,
        /// The longest time.
        at_most: Duration,
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

/// A question to make: whether the framework can leave the agent in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// To whom.
    pub framework_id: FrameworkId,
    /// About which agent.
    pub agent_id: AgentId,
    /// When the agent will be out of service.
    pub unavailability: Unavailability,
}

/// What one run decided, in the order in which it was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Offers to make.
    pub offers: Vec<Offer>,
    /// Questions to make.
    pub inverse_offers: Vec<InverseOffer>,
}

/// What a framework said about planned maintenance of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceAnswer {
    /// Whether it agrees.
    pub accepted: bool,
    /// When it said so.
    pub at: Timestamp,
}

/// Why a conversion did not happen. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// No such agent.
    #[error("unknown agent {0}")]
    UnknownAgent(AgentId),
    /// What is to be converted is not all there: free if an operator converts it, offered to or
    /// used by the framework otherwise.
    #[error("{missing} is not available on agent {agent_id}")]
    NotThere {
        /// On which agent.
        agent_id: AgentId,
        /// What is to be converted.
        missing: Resources,
    },
    /// What a framework converts is allocated to no role, or to several.
    #[error("what is converted is not allocated to one role")]
    NotOneRole,
}

/// What a role and all beneath it have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// The role's weight.
    pub weight: Weight,
    /// The role's quota.
    pub quota: Quota,
    /// Frameworks that want offers in exactly this role, or hold something in it.
    pub frameworks: Arc<BTreeSet<FrameworkId>>,
    /// What counts against the quota: reservations, used or not, and unreserved resources in use,
    /// none of them revocable.
    pub consumed: Quantities,
    /// Scalars offered, whoever they are reserved to.
    pub offered: Quantities,
    /// Scalars in use, whoever they are reserved to.
    pub allocated: Quantities,
    /// Scalars reserved, whether used or not.
    pub reserved: Quantities,
}

/// Roles with what they have. Cloning costs a pointer, and a clone never changes.
pub type RoleView = rpds::RedBlackTreeMapSync<Role, Arc<RoleFacts>>;
