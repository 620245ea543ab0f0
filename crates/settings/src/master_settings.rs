//! What a master is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::resources::MinAllocatable;
use model::role::Role;
use model::weight::Weight;

use crate::authentication::MasterAuthentication;
use crate::common_settings::{Listen, LogSettings, Protection, domain};
use crate::rate_limits::RateLimits;
use crate::row::Program;
use crate::typed::{EffectiveFlags, Reading, Typed};

/// Where the registry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// In memory: gone with the process.
    InMemory,
    /// On disk, below `work_dir` (under the name that the original has for its own log).
    OnDisk,
}

/// The settings of a master that have an effect; the names are those of the flags.
#[derive(Clone, Debug, PartialEq)]
pub struct MasterSettings {
    /// Where it listens.
    pub listen: Listen,
    /// What is logged.
    pub log: LogSettings,
    /// What protects connections.
    pub protection: Protection,
    /// Who must be who, and how they show it.
    pub authentication: MasterAuthentication,
    /// The time between two agents that become unreachable; `None`: they do so at once.
    pub agent_removal_interval: Option<Duration>,
    /// How long an agent may take to answer a ping.
    pub agent_ping_timeout: Duration,
    /// After a failover, how long agents may stay away before they count as unreachable.
    pub agent_reregister_timeout: Duration,
    /// How often everything that is free is offered again.
    pub allocation_interval: Duration,
    /// After a failover with quotas, the share of agents, 0 to 1, that is waited for.
    pub allocator_agent_recovery_factor: f64,
    /// The longest such wait.
    pub allocator_recovery_timeout: Duration,
    /// The cluster's name, for people.
    pub cluster: Option<String>,
    /// The fault domain: JSON text of a `DomainInfo`.
    pub domain: Option<String>,
    /// Resources that do not count in dominant shares.
    pub fair_sharing_excluded_resource_names: BTreeSet<String>,
    /// Whether agents with GPUs are kept for frameworks that know of GPUs.
    pub filter_gpu_resources: bool,
    /// In which order the frameworks of a role are served.
    pub framework_sorter: Sorter,
    /// How many pings in a row may stay unanswered; at least 1.
    pub max_agent_ping_timeouts: u32,
    /// How many clients may follow events; the oldest is dropped for a new one.
    pub max_operator_event_stream_subscribers: usize,
    /// How many ended frameworks are remembered.
    pub max_completed_frameworks: usize,
    /// How many ended tasks of each framework are remembered.
    pub max_completed_tasks_per_framework: usize,
    /// How many unreachable tasks of each framework are remembered.
    pub max_unreachable_tasks_per_framework: usize,
    /// What an offer must hold at the least.
    pub min_allocatable_resources: MinAllocatable,
    /// The memory in bytes that one regular expression in offer constraints may need.
    pub offer_constraints_re2_max_mem: usize,
    /// How many instructions one regular expression in offer constraints may have.
    pub offer_constraints_re2_max_program_size: usize,
    /// When offers are taken back; longer than zero.
    pub offer_timeout: Option<Duration>,
    /// Whether metrics of each framework are published.
    pub publish_per_framework_metrics: bool,
    /// How many messages drivers may send.
    pub rate_limits: RateLimits,
    /// The share of agents, 0 to 1, that may be given up after a failover.
    pub recovery_agent_removal_limit: f64,
    /// Where the registry lies.
    pub registry: RegistryKind,
    /// How often records of unreachable and gone agents are pruned.
    pub registry_gc_interval: Duration,
    /// How long records of unreachable and gone agents are kept.
    pub registry_max_agent_age: Duration,
    /// How many records of unreachable, and of gone, agents are kept.
    pub registry_max_agent_count: usize,
    /// Whether agents must name a fault domain.
    pub require_agent_domain: bool,
    /// The roles that frameworks may have besides `*`; `None`: all.
    pub roles: Option<BTreeSet<Role>>,
    /// In which order roles are served.
    pub role_sorter: Sorter,
    /// Whether frameworks may run as the user `root`.
    pub root_submissions: bool,
    /// A file with the host names of the agents that are offered; `None`: all.
    pub whitelist: Option<PathBuf>,
    /// Weights of roles, if the registry has none.
    pub weights: BTreeMap<Role, Weight>,
    /// Where the registry lies; given if it is on disk.
    pub work_dir: Option<PathBuf>,
    /// Every flag with its value, for `/flags`.
    pub effective_flags: EffectiveFlags,
}

/// In which order who wants offers is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorter {
    /// Whoever has the smallest dominant share first.
    Drf,
    /// By chance, the heavier the earlier.
    Random,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Typed for MasterSettings {
    const PROGRAM: Program = Program::Master;

    fn read(r: &mut Reading<'_>) -> Option<Self> {
        r.not_both("ip", "ip_discovery_command");
        if r.flag("registry_strict") {
            r.invalid("registry_strict", "cannot be true: strict registries do not exist any more");
        }
        let registry = r.choice(
            "registry",
            &[
                ("in_memory", RegistryKind::InMemory),
                ("log_storage", RegistryKind::OnDisk),
                ("replicated_log", RegistryKind::OnDisk),
            ],
        );
        let work_dir = r.text("work_dir").map(PathBuf::from);
        if work_dir.is_none() && registry == Some(RegistryKind::OnDisk) {
            r.invalid("work_dir", "is required unless --registry=in_memory");
        }
        let agent_reregister_timeout = r.duration("agent_reregister_timeout");
        if agent_reregister_timeout < 10 * MINUTE {
            r.invalid("agent_reregister_timeout", "is less than 10mins");
        }
        let agent_ping_timeout = r.duration("agent_ping_timeout");
        if !(Duration::from_secs(1)..=15 * MINUTE).contains(&agent_ping_timeout) {
            r.invalid("agent_ping_timeout", "is not between 1secs and 15mins");
        }
        let offer_timeout = r.optional_duration("offer_timeout");
        if offer_timeout.is_some_and(|timeout| timeout.is_zero()) {
            r.invalid("offer_timeout", "is not longer than zero");
        }
        let max_agent_ping_timeouts = r.size("max_agent_ping_timeouts");
        if max_agent_ping_timeouts == 0 {
            r.invalid("max_agent_ping_timeouts", "is less than 1");
        }
        let sorters = [("drf", Sorter::Drf), ("random", Sorter::Random)];
        let role_sorter = r.choice("role_sorter", &sorters);
        let framework_sorter = r.choice("framework_sorter", &sorters);
        let excluded = r.several("fair_sharing_excluded_resource_names");
        let protection = Protection::read(r);
        let authentication = protection.as_ref().map(|p| MasterAuthentication::read(r, p));
        Some(Self {
            listen: Listen::read(r),
            log: LogSettings::read(r),
            protection: protection?,
            authentication: authentication?,
            agent_removal_interval: removal_interval(r),
            agent_ping_timeout,
            agent_reregister_timeout,
            allocation_interval: r.duration("allocation_interval"),
            allocator_agent_recovery_factor: recovery_factor(r),
            allocator_recovery_timeout: r.duration("allocator_recovery_timeout"),
            cluster: r.text("cluster"),
            domain: domain(r),
            fair_sharing_excluded_resource_names: excluded.into_iter().collect(),
            filter_gpu_resources: r.flag("filter_gpu_resources"),
            framework_sorter: framework_sorter?,
            max_agent_ping_timeouts: u32::try_from(max_agent_ping_timeouts).unwrap_or(u32::MAX),
            max_completed_frameworks: r.size("max_completed_frameworks"),
            max_operator_event_stream_subscribers: r.size("max_operator_event_stream_subscribers"),
            max_completed_tasks_per_framework: r.size("max_completed_tasks_per_framework"),
            max_unreachable_tasks_per_framework: r.size("max_unreachable_tasks_per_framework"),
            min_allocatable_resources: min_allocatable(r),
            offer_constraints_re2_max_mem: r.bytes("offer_constraints_re2_max_mem"),
            offer_constraints_re2_max_program_size: program_size(r),
            offer_timeout,
            publish_per_framework_metrics: r.flag("publish_per_framework_metrics"),
            rate_limits: RateLimits::read(r),
            recovery_agent_removal_limit: removal_limit(r),
            registry: registry?,
            registry_gc_interval: r.duration("registry_gc_interval"),
            registry_max_agent_age: r.duration("registry_max_agent_age"),
            registry_max_agent_count: r.size("registry_max_agent_count"),
            require_agent_domain: r.flag("require_agent_domain"),
            roles: roles(r),
            role_sorter: role_sorter?,
            root_submissions: r.flag("root_submissions"),
            // `*` is an old way to say that there is none.
            whitelist: r.path("whitelist").filter(|path| path != Path::new("*")),
            weights: weights(r),
            work_dir,
            effective_flags: r.effective(),
        })
    }
}

/// A share of agents.
fn recovery_factor(r: &mut Reading<'_>) -> f64 {
    let factor = r.double("allocator_agent_recovery_factor");
    if !(0.0..=1.0).contains(&factor) {
        let why = format!("is `{factor}`, expected a number from 0 to 1");
        r.invalid("allocator_agent_recovery_factor", why);
    }
    factor
}

/// `role=weight,…`
fn weights(r: &mut Reading<'_>) -> BTreeMap<Role, Weight> {
    let mut weights = BTreeMap::new();
    let Some(text) = r.text("weights") else { return weights };
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let Some((role, weight)) = pair.split_once('=') else {
            r.invalid("weights", format!("has `{pair}`, expected `role=weight`"));
            continue;
        };
        let number = weight.trim().parse::<f64>().map_err(|error| error.to_string());
        let weight = number.and_then(|n| Weight::new(n).map_err(|error| error.to_string()));
        match (Role::new(role.trim()), weight) {
            (Ok(role), Ok(weight)) => {
                weights.insert(role, weight);
            }
            (Err(error), _) => r.invalid("weights", format!("names `{role}`: {error}")),
            (_, Err(error)) => r.invalid("weights", format!("has `{pair}`: {error}")),
        }
    }
    weights
}

fn min_allocatable(r: &mut Reading<'_>) -> MinAllocatable {
    let text = r.text("min_allocatable_resources").unwrap_or_default();
    MinAllocatable::parse(&text).unwrap_or_else(|error| {
        r.invalid("min_allocatable_resources", format!("is `{text}`: {error}"));
        MinAllocatable::default()
    })
}

/// The share before the `%`.
fn removal_limit(r: &mut Reading<'_>) -> f64 {
    let text = r.text("recovery_agent_removal_limit").unwrap_or_default();
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => percent / 100.0,
        _ => {
            let why = format!("is `{text}`, expected a percentage from 0% to 100%");
            r.invalid("recovery_agent_removal_limit", why);
            1.0
        }
    }
}

/// The time from one agent to the next that `--agent_removal_rate_limit` asks for.
fn removal_interval(r: &mut Reading<'_>) -> Option<Duration> {
    let rate = r.rate("agent_removal_rate_limit")?;
    let interval = u32::try_from(rate.events).ok().and_then(|events| rate.per.checked_div(events));
    if interval.is_none() {
        r.invalid("agent_removal_rate_limit", format!("is `{rate}`: not one at any time"));
    }
    interval
}

fn program_size(r: &mut Reading<'_>) -> usize {
    let size = r.int("offer_constraints_re2_max_program_size");
    usize::try_from(size).unwrap_or_else(|_| {
        let why = format!("is {size}, expected a number that is not negative");
        r.invalid("offer_constraints_re2_max_program_size", why);
        0
    })
}

fn roles(r: &mut Reading<'_>) -> Option<BTreeSet<Role>> {
    let text = r.text("roles")?;
    let mut roles = BTreeSet::from([Role::any()]);
    for name in text.split(',').filter(|name| !name.is_empty()) {
        match Role::new(name) {
            Ok(role) => {
                roles.insert(role);
            }
            Err(error) => r.invalid("roles", format!("names `{name}`: {error}")),
        }
    }
    Some(roles)
}
