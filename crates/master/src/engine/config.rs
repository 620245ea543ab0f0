//! What the engine is told once, at start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use allocator::Sorter;
pub use allocator::constraints::RegexLimits;
use model::principal::Provable;
use model::resources::MinAllocatable;
use model::role::Role;
use model::weight::Weight;
use wire::v1;

use super::throttle::RateLimits;

/// The engine's settings; the names are those of the flags.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this master is. `id` is fresh for each start: it is the prefix of all ids made here.
    pub master: v1::MasterInfo,
    /// Whether agents that have not proved who they are, by SASL or by the identity in their
    /// certificate, are ignored.
    pub authenticate_agents: bool,
    /// Whether v0 frameworks that have not proved who they are, likewise, are refused.
    pub authenticate_frameworks: bool,
    /// What agents can prove here: owners in the registry who proved more are not held to it.
    pub provable: Provable,
    /// How long an agent may take to answer a ping.
    pub agent_ping_timeout: Duration,
    /// How many pings in a row may stay unanswered.
    pub max_agent_ping_timeouts: u32,
    /// The time between two agents that become unreachable; `None`: they do so at once.
    pub agent_removal_interval: Option<Duration>,
    /// How much drivers may send.
    pub rate_limits: RateLimits,
    /// How long a disconnected agent, or one that the registry knows, may take to come back.
    pub agent_reregister_timeout: Duration,
    /// The share of the registry's agents, 0 to 1, that may be missing when that time is over;
    /// if more are, the master stops rather than give them all up.
    pub recovery_agent_removal_limit: f64,
    /// Whether agents must state a fault domain.
    pub require_agent_domain: bool,
    /// How long records of unreachable and gone agents are kept.
    pub registry_max_agent_age: Duration,
    /// How many unreachable and how many gone agents are kept on record.
    pub registry_max_agent_count: usize,
    /// How often records too old or too many are dropped.
    pub registry_gc_interval: Duration,
    /// The hosts whose agents are offered at the start; `None`: all.
    pub whitelist: Option<BTreeSet<String>>,
    /// The roles that frameworks may have; `None` allows all. `*` is always allowed.
    pub roles: Option<BTreeSet<Role>>,
    /// Weights of roles, if the registry has none.
    pub weights: BTreeMap<Role, Weight>,
    /// After a failover with quotas, the share of the registry's agents, 0 to 1, that are waited
    /// for before anything is offered.
    pub allocator_agent_recovery_factor: f64,
    /// The longest such wait.
    pub allocator_recovery_timeout: Duration,
    /// Whether frameworks may run as the user `root`.
    pub root_submissions: bool,
    /// What an offer must hold at the least.
    pub min_allocatable_resources: MinAllocatable,
    /// Whether agents with GPUs are kept for frameworks that know of GPUs.
    pub filter_gpu_resources: bool,
    /// How often everything is offered again; also the shortest life of a filter.
    pub allocation_interval: Duration,
    /// What one regular expression in offer constraints may need.
    pub regex_limits: RegexLimits,
    /// In which order roles are served.
    pub role_sorter: Sorter,
    /// In which order the frameworks of a role are served.
    pub framework_sorter: Sorter,
    /// Resources that do not count in dominant shares.
    pub fair_sharing_excluded_resource_names: BTreeSet<String>,
    /// When offers are taken back; `None` is never.
    pub offer_timeout: Option<Duration>,
    /// How many ended frameworks are kept for readers.
    pub max_completed_frameworks: usize,
    /// How many ended tasks of each framework are kept for readers.
    pub max_completed_tasks_per_framework: usize,
    /// How many unreachable tasks of each framework are kept for readers.
    pub max_unreachable_tasks_per_framework: usize,
    /// How many streams of the operator API may be open; not the engine's concern, but one of the
    /// limits that flags set.
    pub max_operator_event_stream_subscribers: usize,
    /// How often the driver sends a HEARTBEAT; announced in SUBSCRIBED.
    pub heartbeat_interval: Duration,
}

impl Config {
    /// The defaults of the flags.
    #[must_use]
    pub fn new(master: v1::MasterInfo) -> Self {
        Self {
            master,
            authenticate_agents: false,
            authenticate_frameworks: false,
            provable: Provable { certificates: true, principals: true },
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            agent_removal_interval: None,
            rate_limits: RateLimits::default(),
            agent_reregister_timeout: Duration::from_secs(10 * 60),
            recovery_agent_removal_limit: 1.0,
            require_agent_domain: false,
            registry_max_agent_age: Duration::from_secs(14 * 24 * 3600),
            registry_max_agent_count: 102_400,
            registry_gc_interval: Duration::from_secs(15 * 60),
            whitelist: None,
            roles: None,
            weights: BTreeMap::new(),
            allocator_agent_recovery_factor: 0.8,
            allocator_recovery_timeout: Duration::from_secs(10 * 60),
            root_submissions: true,
            min_allocatable_resources: MinAllocatable::default(),
            filter_gpu_resources: true,
            allocation_interval: Duration::from_secs(1),
            regex_limits: RegexLimits::default(),
            role_sorter: Sorter::Drf,
            framework_sorter: Sorter::Drf,
            fair_sharing_excluded_resource_names: BTreeSet::new(),
            offer_timeout: None,
            max_completed_frameworks: 50,
            max_completed_tasks_per_framework: 1000,
            max_unreachable_tasks_per_framework: 1000,
            max_operator_event_stream_subscribers: 1000,
            heartbeat_interval: Duration::from_secs(15),
        }
    }
}
