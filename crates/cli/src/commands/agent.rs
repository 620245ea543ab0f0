//! `alcazar agent` and `mesos-agent`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;

use agent::containerizer::{self, Containerizer, ProcessContainerizer, fetcher};
use agent::engine::rules::{ExecutorProgram, Reconfiguration, Recover, Rules};
use agent::engine::users::TaskUserPolicy;
use agent::runtime::{Machine, Running, Settings, own_task_users};
use agent::views::Program;
use anyhow::Context as _;
use endpoints::tls::Tls;
use settings::{AgentSettings, Naming, ReconfigurationPolicy, TaskUsers};

use super::daemon::{Called, Place, block_on, build, start_log, take_work_dir, told_to_end, url};
use super::memory;
use crate::authentication::{OfAgent, of_agent};
use crate::exit;
use crate::security;
use crate::signals::Signals;

/// Runs an agent until it is told to end. Tasks of frameworks that checkpoint go on.
pub(crate) fn run(naming: Naming, arguments: Vec<OsString>) -> anyhow::Result<u8> {
    let mut called = Called::new(naming, arguments)?;
    let (settings, notices) = match called.settings(settings::agent)? {
        Ok(read) => read,
        Err(status) => return Ok(status),
    };
    start_log(settings.log);
    memory::give_back();
    let tls = security::of_daemon(&settings.protection, &called.environment, notices)?;
    let _lock = take_work_dir(&settings.work_dir)?;
    let (ready, lifeline) = match called.ends.take() {
        Some(ends) => (Some(ends.ready), Some(ends.lifeline)),
        None => (None, None),
    };
    let shown = Arc::clone(&tls);
    let ready = move |running: &Running| {
        if let Some(ready) = ready {
            let url = url(shown.security(), running.address());
            let mut registered = running.registered();
            // `up` waits for an agent that takes tasks, not only requests.
            tokio::spawn(async move {
                // An agent that ends before it is registered has nothing to say here.
                if registered.wait_for(|registered| *registered).await.is_ok() {
                    ready.say(&url);
                }
            });
        }
    };
    let authentication = of_agent(&settings, naming, tls.security())?;
    let files = Arc::clone(&authentication.files);
    let settings = described(settings, Arc::clone(&tls), authentication)?;
    block_on(async {
        let signals = Signals::take().context("cannot catch signals")?;
        let end = told_to_end(signals, lifeline, tls, Arc::clone(&files));
        let ended = agent::runtime::run(settings, ready, end).await;
        files.close();
        ended?;
        Ok(exit::SUCCESS)
    })
}

/// What the agent is started with, from what its operator said.
fn described(
    settings: AgentSettings,
    tls: Arc<Tls>,
    authentication: OfAgent,
) -> anyhow::Result<Settings> {
    let place = Place::of(&settings.listen)?;
    let work_dir = std::path::absolute(&settings.work_dir)
        .with_context(|| format!("cannot make {} absolute", settings.work_dir.display()))?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let (task_users, allow_root) = match &settings.task_users {
        TaskUsers::Own(own) => {
            (own_task_users(own.task_user.clone(), own.danger_root_tasks)?, own.danger_root_tasks)
        }
        // Whoever may launch tasks may name any user: the original's rule.
        TaskUsers::SwitchUser(switch) => (TaskUserPolicy::SwitchUser(*switch), true),
    };
    let containers = containerizer::Settings {
        command_executor: program.clone(),
        runtime_dir: work_dir.join("run"),
        address: None,
        allow_root,
        fetch: fetcher::Settings {
            stall_timeout: settings.fetcher_stall_timeout,
            ..fetcher::Settings::default()
        },
    };
    Ok(Settings {
        listen: place.listen,
        advertise_ip: place.advertise_ip,
        advertise_port: place.advertise_port,
        hostname: place.hostname,
        tls,
        authentication: authentication.http,
        server: transport::server::Settings::default(),
        messenger: transport::messenger::Settings::default(),
        master_authentication: authentication.master,
        executor_tokens: authentication.executor_tokens,
        master_host: settings.master.host.clone(),
        master_port: settings.master.port,
        work_dir,
        machine: Machine {
            resources: settings.resources.clone(),
            default_role: settings.default_role.clone(),
            attributes: settings.attributes.clone(),
            domain: settings.domain.clone(),
        },
        task_users,
        command_executor: ExecutorProgram {
            path: program,
            arguments: vec!["alcazar".to_owned(), executor::COMMAND.to_owned()],
        },
        containerizer: Box::new(move |ip| {
            let containers =
                containerizer::Settings { address: Some(IpAddr::V4(ip)), ..containers };
            let containerizer: Arc<dyn Containerizer> =
                Arc::new(ProcessContainerizer::new(containers)?);
            Ok(containerizer)
        }),
        strict: settings.strict,
        program: Program {
            build: build(),
            flags: settings.effective_flags.clone(),
            log_dir: None,
            external_log_file: None,
        },
        files: Vec::new(),
        tune: Box::new(move |rules| tune(rules, &settings)),
    })
}

fn tune(rules: &mut Rules, settings: &AgentSettings) {
    rules.registration_backoff = settings.registration_backoff_factor;
    rules.executor_registration_timeout = settings.executor_registration_timeout;
    rules.executor_reregistration_timeout = settings.executor_reregistration_timeout;
    rules.executor_shutdown_grace_period = settings.executor_shutdown_grace_period;
    rules.recovery_timeout = settings.recovery_timeout;
    if let Some(variables) = &settings.executor_environment_variables {
        rules.executor_environment.clone_from(variables);
    }
    rules.reconfiguration = match settings.reconfiguration_policy {
        ReconfigurationPolicy::Additive => Reconfiguration::Additive,
        ReconfigurationPolicy::Equal => Reconfiguration::Equal,
    };
    rules.recover = match settings.recover {
        settings::Recover::Cleanup => Recover::Cleanup,
        settings::Recover::Reconnect => Recover::Reconnect,
    };
    rules.max_completed_executors = settings.max_completed_executors_per_framework;
}
