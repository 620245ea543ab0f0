//! What an agent is told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use model::role::Role;

use crate::authentication::AgentAuthentication;
use crate::common_settings::{Listen, LogSettings, Protection, domain};
use crate::parse::Naming;
use crate::row::Program;
use crate::typed::{EffectiveFlags, Reading, Typed};

/// Where the master is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    /// A host name or an address.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for MasterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What becomes of executors that outlived the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recover {
    /// They are killed, and the agent ends.
    Cleanup,
    /// They are taken up again.
    Reconnect,
}

/// What may change across a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconfigurationPolicy {
    /// Resources and attributes may grow, a domain may be added.
    Additive,
    /// Nothing.
    Equal,
}

/// As whom tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskUsers {
    /// As our own commands have it.
    Own(OwnTaskUsers),
    /// As `--switch_user` says: the original's names.
    SwitchUser(bool),
}

/// As whom tasks run under our own commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTaskUsers {
    /// Who runs tasks that name nobody, if the agent is root.
    pub task_user: String,
    /// Whether an agent that is root runs tasks as root.
    pub danger_root_tasks: bool,
}

/// The settings of an agent that have an effect; the names are those of the flags.
#[derive(Clone, PartialEq)]
pub struct AgentSettings {
    /// Where it listens.
    pub listen: Listen,
    /// What is logged.
    pub log: LogSettings,
    /// What protects connections.
    pub protection: Protection,
    /// Who must be who, and how they show it.
    pub authentication: AgentAuthentication,
    /// As whom tasks run.
    pub task_users: TaskUsers,
    /// What frameworks are told about this machine, as it was written.
    pub attributes: Option<String>,
    /// The role of resources that are given without one.
    pub default_role: Role,
    /// The fault domain: JSON text of a `DomainInfo`.
    pub domain: Option<String>,
    /// The environment of executors in place of the agent's own. May hold secrets.
    pub executor_environment_variables: Option<BTreeMap<String, String>>,
    /// How long executors have to register.
    pub executor_registration_timeout: Duration,
    /// How long executors have to come back after a restart; at most 15 seconds.
    pub executor_reregistration_timeout: Duration,
    /// How long executors have to end by themselves.
    pub executor_shutdown_grace_period: Duration,
    /// When downloads that stand still are given up.
    pub fetcher_stall_timeout: Duration,
    /// Where the master is.
    pub master: MasterAddress,
    /// How many ended executors of each framework are remembered.
    pub max_completed_executors_per_framework: usize,
    /// What may change across a restart.
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// What becomes of executors that outlived the agent.
    pub recover: Recover,
    /// How long executors wait for an agent that is away.
    pub recovery_timeout: Duration,
    /// The longest wait before the first attempt to register; at most a minute.
    pub registration_backoff_factor: Duration,
    /// What is offered, as it was written: text or a JSON array. The rest is detected.
    pub resources: Option<String>,
    /// Whether anything that cannot be recovered ends the agent.
    pub strict: bool,
    /// Where checkpoints and sandboxes lie.
    pub work_dir: PathBuf,
    /// Every flag with its value, for `/flags`.
    pub effective_flags: EffectiveFlags,
}

impl fmt::Debug for AgentSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The effective flags say it all, without secrets.
        f.debug_tuple("AgentSettings").field(&self.effective_flags).finish()
    }
}

impl Typed for AgentSettings {
    const PROGRAM: Program = Program::Agent;

    fn read(r: &mut Reading<'_>) -> Option<Self> {
        r.not_both("ip", "ip_discovery_command");
        r.not_both("ip6", "ip6_discovery_command");
        r.not_both("master", "master_detector");
        if !r.is_given("master") && !r.is_given("master_detector") {
            r.invalid("master", "is required, but it was not provided");
        }
        if r.duration("perf_duration") > r.duration("perf_interval") {
            r.invalid("perf_duration", "is longer than --perf_interval");
        }
        if !(0.0..=1.0).contains(&r.double("gc_disk_headroom")) {
            r.invalid("gc_disk_headroom", "is not between 0 and 1");
        }
        let executor_reregistration_timeout = r.duration("executor_reregistration_timeout");
        if executor_reregistration_timeout > Duration::from_secs(15) {
            r.invalid("executor_reregistration_timeout", "is more than 15secs");
        }
        let registration_backoff_factor = r.duration("registration_backoff_factor");
        if registration_backoff_factor > Duration::from_secs(60) {
            r.invalid("registration_backoff_factor", "is more than 1mins");
        }
        isolation(r);
        let recover = [("cleanup", Recover::Cleanup), ("reconnect", Recover::Reconnect)];
        let reconfiguration = [
            ("additive", ReconfigurationPolicy::Additive),
            ("equal", ReconfigurationPolicy::Equal),
        ];
        let reconfiguration_policy = r.choice("reconfiguration_policy", &reconfiguration);
        let recover = r.choice("recover", &recover);
        let task_users = task_users(r);
        let work_dir = r.text("work_dir");
        if work_dir.as_deref() == Some("") {
            r.invalid("work_dir", "is empty");
        }
        let protection = Protection::read(r);
        let authentication = protection.as_ref().map(|p| AgentAuthentication::read(r, p));
        let default_role = default_role(r);
        let master = master(r);
        Some(Self {
            listen: Listen::read(r),
            log: LogSettings::read(r),
            protection: protection?,
            authentication: authentication?,
            task_users,
            attributes: r.text("attributes"),
            default_role: default_role?,
            domain: domain(r),
            executor_environment_variables: r.strings("executor_environment_variables"),
            executor_registration_timeout: r.duration("executor_registration_timeout"),
            executor_reregistration_timeout,
            executor_shutdown_grace_period: r.duration("executor_shutdown_grace_period"),
            fetcher_stall_timeout: r.duration("fetcher_stall_timeout"),
            master: master?,
            max_completed_executors_per_framework: r.size("max_completed_executors_per_framework"),
            reconfiguration_policy: reconfiguration_policy?,
            recover: recover?,
            recovery_timeout: r.duration("recovery_timeout"),
            registration_backoff_factor,
            resources: r.text("resources"),
            strict: r.flag("strict"),
            work_dir: work_dir?.into(),
            effective_flags: r.effective(),
        })
    }
}

fn task_users(r: &mut Reading<'_>) -> TaskUsers {
    match r.naming() {
        Naming::Mesos => TaskUsers::SwitchUser(r.flag("switch_user")),
        Naming::Alcazar => {
            let task_user = r.text("task_user").unwrap_or_default();
            if task_user.is_empty() || task_user == "root" {
                r.invalid("task_user", "must name a user, and not root");
            }
            let danger_root_tasks = r.flag("danger_root_tasks");
            if danger_root_tasks {
                r.weak("danger_root_tasks", "whoever may run a task may be root on this machine");
            }
            TaskUsers::Own(OwnTaskUsers { task_user, danger_root_tasks })
        }
    }
}

fn default_role(r: &mut Reading<'_>) -> Option<Role> {
    let text = r.text("default_role").unwrap_or_default();
    Role::new(&text)
        .map_err(|error| r.invalid("default_role", format!("is `{text}`: {error}")))
        .ok()
}

/// No isolator may be named twice.
fn isolation(r: &mut Reading<'_>) {
    let text = r.text("isolation").unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    for name in text.split(',') {
        if !seen.insert(name) {
            r.invalid("isolation", format!("names `{name}` twice"));
        }
    }
}

/// `host:port`, also with the `master@` in front that the original takes.
pub(crate) fn master(r: &mut Reading<'_>) -> Option<MasterAddress> {
    let text = r.text("master")?;
    let text = text.trim();
    if text.starts_with("zk://") {
        r.not_honoured("master");
        return None;
    }
    let address = text.strip_prefix("master@").unwrap_or(text);
    let parsed = address.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let fits = (1..=253).contains(&host.len()) && host.chars().all(valid);
        fits.then(|| MasterAddress { host: host.to_owned(), port })
    });
    if parsed.is_none() {
        r.invalid("master", "is not of the form host:port");
    }
    parsed
}
