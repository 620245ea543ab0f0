//! `alcazar master` and `mesos-master`.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use endpoints::tls::Tls;
use master::engine::config::{Config, RegexLimits, Sorter};
use master::engine::throttle::{RateLimit, RateLimits};
use master::runtime::{Running, Settings};
use master::views::Program;
use registry::{Contents, MemoryRegistry, RedbRegistry, Registry};
use settings::{MasterSettings, Naming, RegistryKind};
use wire::json::{self, Names};
use wire::v1::DomainInfo;

use super::daemon::{Called, Place, block_on, build, start_log, take_work_dir, told_to_end, url};
use super::memory;
use crate::authentication::{OfMaster, of_master};
use crate::exit;
use crate::security;
use crate::signals::Signals;

/// Runs a master until it is told to end.
pub(crate) fn run(naming: Naming, arguments: Vec<OsString>) -> anyhow::Result<u8> {
    let mut called = Called::new(naming, arguments)?;
    let (settings, notices) = match called.settings(settings::master)? {
        Ok(read) => read,
        Err(status) => return Ok(status),
    };
    start_log(settings.log);
    memory::give_back();
    let tls = security::of_daemon(&settings.protection, &called.environment, notices)?;
    let _lock = match &settings.work_dir {
        Some(work_dir) => Some(take_work_dir(work_dir)?),
        None => None,
    };
    let (ready, lifeline) = match called.ends.take() {
        Some(ends) => (Some(ends.ready), Some(ends.lifeline)),
        None => (None, None),
    };
    let shown = Arc::clone(&tls);
    let ready = move |running: &Running| {
        if let Some(ready) = ready {
            ready.say(&url(shown.security(), running.address()));
        }
    };
    let host = Place::of(&settings.listen)?.hostname.unwrap_or_else(|| "localhost".to_owned());
    let authentication = of_master(&settings, naming, tls.security(), &host)?;
    let files = Arc::clone(&authentication.files);
    let settings = described(settings, Arc::clone(&tls), authentication)?;
    block_on(async {
        let signals = Signals::take().context("cannot catch signals")?;
        let end = told_to_end(signals, lifeline, tls, Arc::clone(&files));
        let ended = master::runtime::run(settings, ready, end).await;
        files.close();
        ended?;
        Ok(exit::SUCCESS)
    })
}

/// What the master is started with, from what its operator said.
fn described(
    settings: MasterSettings,
    tls: Arc<Tls>,
    authentication: OfMaster,
) -> anyhow::Result<Settings> {
    let place = Place::of(&settings.listen)?;
    let domain: Option<DomainInfo> = match &settings.domain {
        Some(text) => Some(
            json::read(text.as_bytes(), Names::V1, &wire::Limits::default())
                .context("--domain is no DomainInfo")?,
        ),
        None => None,
    };
    Ok(Settings {
        listen: place.listen,
        advertise_ip: place.advertise_ip,
        advertise_port: place.advertise_port,
        hostname: place.hostname,
        domain,
        tls,
        sasl: authentication.sasl,
        authentication: authentication.http,
        server: transport::server::Settings::default(),
        messenger: transport::messenger::Settings::default(),
        registry: open_registry(&settings)?,
        program: Program {
            build: build(),
            flags: settings.effective_flags.clone(),
            cluster: settings.cluster.clone(),
            log_dir: None,
            external_log_file: None,
        },
        per_framework_metrics: settings.publish_per_framework_metrics,
        whitelist: settings.whitelist.clone(),
        files: Vec::new(),
        tune: Box::new(move |config| tune(config, &settings)),
    })
}

fn open_registry(settings: &MasterSettings) -> anyhow::Result<Box<dyn Registry>> {
    match (settings.registry, &settings.work_dir) {
        (RegistryKind::OnDisk, Some(work_dir)) => {
            let path = work_dir.join("registry.redb");
            let registry = RedbRegistry::open(&path)
                .with_context(|| format!("cannot open the registry {}", path.display()))?;
            Ok(Box::new(registry))
        }
        (RegistryKind::OnDisk, None) => anyhow::bail!("a registry on disk needs --work_dir"),
        (RegistryKind::InMemory, _) => Ok(Box::new(MemoryRegistry::new(Contents::default()))),
    }
}

fn tune(config: &mut Config, settings: &MasterSettings) {
    config.authenticate_agents = settings.authentication.agents;
    config.authenticate_frameworks = settings.authentication.frameworks;
    config.agent_removal_interval = settings.agent_removal_interval;
    config.rate_limits = rate_limits(&settings.rate_limits);
    config.regex_limits = RegexLimits {
        max_memory: settings.offer_constraints_re2_max_mem,
        max_program_size: settings.offer_constraints_re2_max_program_size,
    };
    config.agent_ping_timeout = settings.agent_ping_timeout;
    config.max_agent_ping_timeouts = settings.max_agent_ping_timeouts;
    config.agent_reregister_timeout = settings.agent_reregister_timeout;
    config.recovery_agent_removal_limit = settings.recovery_agent_removal_limit;
    config.require_agent_domain = settings.require_agent_domain;
    config.registry_max_agent_age = settings.registry_max_agent_age;
    config.registry_max_agent_count = settings.registry_max_agent_count;
    config.registry_gc_interval = settings.registry_gc_interval;
    config.roles.clone_from(&settings.roles);
    config.weights.clone_from(&settings.weights);
    config.allocator_agent_recovery_factor = settings.allocator_agent_recovery_factor;
    config.allocator_recovery_timeout = settings.allocator_recovery_timeout;
    config.root_submissions = settings.root_submissions;
    config.min_allocatable_resources = settings.min_allocatable_resources.clone();
    config.filter_gpu_resources = settings.filter_gpu_resources;
    config.allocation_interval = settings.allocation_interval;
    config.role_sorter = sorter(settings.role_sorter);
    config.framework_sorter = sorter(settings.framework_sorter);
    config
        .fair_sharing_excluded_resource_names
        .clone_from(&settings.fair_sharing_excluded_resource_names);
    config.offer_timeout = settings.offer_timeout;
    config.max_completed_frameworks = settings.max_completed_frameworks;
    config.max_operator_event_stream_subscribers = settings.max_operator_event_stream_subscribers;
    config.max_completed_tasks_per_framework = settings.max_completed_tasks_per_framework;
    config.max_unreachable_tasks_per_framework = settings.max_unreachable_tasks_per_framework;
}

const fn sorter(named: settings::Sorter) -> Sorter {
    match named {
        settings::Sorter::Drf => Sorter::Drf,
        settings::Sorter::Random => Sorter::Random,
    }
}

fn rate_limits(limits: &settings::RateLimits) -> RateLimits {
    let limit = |limit: &settings::RateLimit| RateLimit {
        interval: Duration::from_secs_f64(1.0 / limit.qps),
        capacity: limit.capacity,
    };
    let own = |(principal, own): (&String, &Option<settings::RateLimit>)| {
        (principal.clone(), own.as_ref().map(limit))
    };
    RateLimits {
        principals: limits.principals.iter().map(own).collect(),
        others: limits.others.as_ref().map(limit),
    }
}
