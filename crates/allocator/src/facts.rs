//! What matters about agents and frameworks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::resources::{MinAllocatable, Resources};
use model::role::Role;

use crate::constraints::Constraints;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A scalar, ranges or a set, written in any way that differs when they differ.
    Other(String),
}

/// What an agent says of itself beside its resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name; several may have the same.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
}

/// What matters about an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFacts {
    /// All that it has, unallocated, oversubscribed resources included.
    pub total: Resources,
    /// Its host name, as whitelists and constraints name it.
    pub hostname: String,
    /// Its attributes, in their order. Refusals made before they changed count no more.
    pub attributes: Vec<Attribute>,
    /// Its region, if it states one.
    pub region: Option<String>,
    /// Its zone, if it states one.
    pub zone: Option<String>,
    /// Whether it can run tasks of frameworks with several roles.
    pub multi_role: bool,
    /// Whether it knows roles that are paths.
    pub hierarchical_role: bool,
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
    /// Which agents it wants, if not all.
    pub constraints: Option<Constraints>,
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
    /// Whether it takes what several tasks use at once.
    pub shared_resources: bool,
}

/// When an agent is to be out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unavailability {
    /// From when, in nanoseconds since the epoch.
    pub start: i64,
    /// For how long, in nanoseconds; `None` is for ever.
    pub duration: Option<i64>,
}

/// The longest that a refusal lasts: 365 days.
const MAX_REFUSAL: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a refusal lasts that states no usable time.
const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);

/// Whether a framework that gives something back would rather not see it again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not say so: there is no filter. Others are offered it at once, the framework itself
    /// after the allocation interval, lest one that declines everything keep the master busy.
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

/// In which book something stands that a framework has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It was offered, and nothing runs on it.
    Offered,
    /// Tasks or executors use it.
    InUse,
}
