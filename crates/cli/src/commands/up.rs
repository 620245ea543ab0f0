//! `alcazar up`.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use model::identity::Kind;
use pki::LeafPaths;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::cluster::{Agent, Cluster, Tls};
use crate::printer::{Color, Tone, say, write_stdout};
use crate::signals::Signals;
use crate::state_dir::StateDir;
use crate::up::checks::{self, TaskUser};
use crate::up::daemon::{Daemon, Spec};
use crate::up::plan::{Plan, Wishes, task_user};
use crate::up::supervise::{Report, describe, supervise};
use crate::up::trust::{Trust, days, now};

/// Where everything listens: nothing outside of this machine reaches it.
const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// How long a daemon takes to get ready before we say that we wait for it.
const LONG: std::time::Duration = std::time::Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many agents to run [default: as many as last time, at first 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    agents: Option<u16>,
    /// What each agent offers, such as cpus:2;mem:1024 [default: as last time, at first what it
    /// detects]
    #[arg(long, value_name = "RESOURCES")]
    resources: Option<String>,
    /// The master's port; those of the agents follow it. 0: any free ones [default: as last time,
    /// at first 5050]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The user that tasks run as, if up runs as root [default: as last time, at first nobody]
    #[arg(long, value_name = "USER")]
    task_user: Option<String>,
}

/// Starts the cluster and watches over it until a signal comes.
pub(crate) async fn run(options: &Options, dir: &StateDir, color: Color) -> anyhow::Result<()> {
    let mut signals = Signals::take().context("cannot catch signals")?;
    let _lock = checks::take_state_dir(dir)?;
    let last = Cluster::read(dir)?;
    let wishes =
        Wishes { agents: options.agents, port: options.port, resources: options.resources.clone() };
    let plan = Plan::make(&wishes, last.as_ref())?;
    let user = task_user(options.task_user.as_deref(), last.as_ref())?;
    plan.check(dir, IP, &user).await?;
    let trust = Trust::open(&dir.pki(), IP)?;

    let (reports, inbox) = mpsc::channel(64);
    let mut up = Up {
        dir,
        plan,
        user,
        trust,
        color,
        program: std::env::current_exe().context("cannot find this program's own file")?,
        stop: watch::Sender::new(false),
        reports,
        inbox,
        starting: None,
        watched: JoinSet::new(),
    };
    let outcome = tokio::select! {
        biased;
        _ = signals.next() => Ok(()),
        outcome = up.live() => outcome,
    };
    up.end().await;
    if outcome.is_ok() {
        say("The daemons have stopped. Checkpointed tasks go on; the next start finds them.");
    }
    outcome
}

/// The cluster while it runs.
struct Up<'a> {
    dir: &'a StateDir,
    plan: Plan,
    user: TaskUser,
    trust: Trust,
    color: Color,
    program: PathBuf,
    stop: watch::Sender<bool>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    /// What was started and is not watched over yet: if we are interrupted, it has to end, too.
    starting: Option<Daemon>,
    watched: JoinSet<()>,
}

impl Up<'_> {
    /// Starts everything, says so, and then what happens. Returns only with an error.
    async fn live(&mut self) -> anyhow::Result<()> {
        let operator = self.trust.operator()?;
        let paths = self.trust.daemon(Kind::Master, "master")?;
        let spec = |up: &Self, port| up.master_spec(&paths, port);
        self.plan.master_port = self.start(&spec, self.plan.master_port).await?;
        for n in 0..self.plan.agents.len() {
            let agent = self.plan.agents[n].clone();
            let paths = self.trust.daemon(Kind::Agent, &agent.name)?;
            let spec = |up: &Self, port| up.agent_spec(&agent, &paths, port);
            self.plan.agents[n].port = self.start(&spec, agent.port).await?;
        }
        self.write_facts(&operator)?;
        self.announce(&operator)?;
        let mut daily = tokio::time::interval(pki::DAY);
        loop {
            tokio::select! {
                // We hold a sender ourselves: there is always a next one.
                Some(report) = self.inbox.recv() => self.tell(&report),
                _ = daily.tick() => if let Some(warning) = self.trust.expiry_warning(now()?) {
                    self.warn(&warning);
                },
            }
        }
    }

    /// Starts one daemon and has it watched over. Returns the port that it got, which it will
    /// have when it is started again, too.
    async fn start(&mut self, spec: &dyn Fn(&Self, u16) -> Spec, port: u16) -> anyhow::Result<u16> {
        let first = spec(self, port);
        let (name, log) = (&first.name, first.log.display());
        let color = self.color;
        let daemon = self.starting.insert(Daemon::start(&first)?);
        let ready = tokio::select! {
            ready = daemon.ready() => ready,
            () = tokio::time::sleep(LONG) => {
                warn(color, &format!("waiting for {name} to get ready (its log: {log})"));
                daemon.ready().await
            }
        };
        let Some(url) = ready else {
            let how = describe(daemon.ended().await);
            let words = daemon.last_words().unwrap_or(how);
            bail!("{name} did not start: {words} (its log: {log})");
        };
        let port = url
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .with_context(|| format!("the {name} is ready at `{url}`, which is no URL"))?;
        let again = spec(self, port);
        if let Some(daemon) = self.starting.take() {
            let watching = supervise(again, daemon, self.stop.subscribe(), self.reports.clone());
            self.watched.spawn(watching);
        }
        Ok(port)
    }

    fn master_spec(&self, paths: &LeafPaths, port: u16) -> Spec {
        self.spec("master", "master", paths, port, Vec::new())
    }

    fn agent_spec(&self, agent: &Agent, paths: &LeafPaths, port: u16) -> Spec {
        let mut more = vec![
            flag("master", format!("{IP}:{}", self.plan.master_port)),
            flag("task_user", &self.user.name),
            // Master and agents are one machine: there is no crowd to spread over a second.
            flag("registration_backoff_factor", "100ms"),
        ];
        if let Some(resources) = &agent.resources {
            more.push(flag("resources", resources));
        }
        if self.user.is_root() {
            more.push("--danger_root_tasks".into());
        }
        self.spec("agent", &agent.name, paths, port, more)
    }

    fn spec(
        &self,
        command: &str,
        name: &str,
        paths: &LeafPaths,
        port: u16,
        more: Vec<OsString>,
    ) -> Spec {
        let mut args: Vec<OsString> = vec![
            command.into(),
            "--supervised".into(),
            flag("ip", IP.to_string()),
            flag("port", port.to_string()),
            flag("work_dir", self.dir.work_dir(name)),
            flag("tls_trust_bundle", self.trust.ca()),
            flag("tls_certificate", &paths.certificate),
            flag("tls_key", &paths.key),
            flag("audit_log", self.dir.audit_file(name)),
        ];
        args.extend(more);
        Spec {
            name: name.to_owned(),
            program: self.program.clone(),
            args,
            log: self.dir.log_file(name),
            audit: self.dir.audit_file(name),
        }
    }

    /// `cluster.json`, from which every other command learns where the cluster is.
    fn write_facts(&self, operator: &LeafPaths) -> anyhow::Result<()> {
        let relative = |path: &PathBuf| {
            path.strip_prefix(self.dir.path()).map_or_else(|_| path.clone(), Into::into)
        };
        let tls = Tls {
            ca: relative(&self.trust.ca()),
            certificate: relative(&operator.certificate),
            key: relative(&operator.key),
        };
        Cluster::new(
            self.url(self.plan.master_port),
            self.trust.trust_domain().to_string(),
            self.user.name.clone(),
            Some(tls),
            self.plan.agents.clone(),
        )
        .write(self.dir)
    }

    fn url(&self, port: u16) -> String {
        format!("https://{IP}:{port}")
    }

    /// Says where the cluster is, what protects it, and what to do next.
    fn announce(&self, operator: &LeafPaths) -> anyhow::Result<()> {
        for warning in &self.trust.warnings {
            self.warn(warning);
        }
        if self.user.is_root() {
            self.warn("tasks run as root: whoever may launch one owns this machine");
        }
        let state_dir = self.dir.path().display();
        let agents: Vec<String> =
            self.plan.agents.iter().map(|a| format!("{} {}", a.name, self.url(a.port))).collect();
        let made = if self.trust.created { "a CA made just now" } else { "its own CA" };
        let with =
            if self.dir.is_default() { String::new() } else { format!(" --state-dir {state_dir}") };
        let text = format!(
            "The cluster is up: {url}\n\
             \n\
             agents      {agents}\n\
             state       {state_dir}\n\
             protection  TLS both ways between all parts, by {made} in {pki};\n            \
                         without a certificate of it nothing is shown or obeyed\n            \
                         (the operator's: {operator}).\n            \
                         New certificates at each start, good for {life}.\n\
             tasks       run as the user {user}\n\
             \n\
             Ctrl-C stops the daemons. Checkpointed tasks go on, and the next start finds them.\n\
             Next, in another terminal:\n\
             \n    \
                 alcazar execute{with} --command 'echo hello'\n",
            url = self.url(self.plan.master_port),
            agents = agents.join(", "),
            pki = self.dir.pki().display(),
            operator = operator.certificate.display(),
            life = days(pki::LEAF_LIFETIME),
            user = self.user.name,
        );
        write_stdout(text.as_bytes())
    }

    fn tell(&self, report: &Report) {
        match report {
            Report::Died { name, why, last_words, retry_in } => {
                let words = last_words.as_ref().map_or_else(String::new, |w| format!(" ({w})"));
                let again = format!("starting it again in {} ms", retry_in.as_millis());
                self.warn(&format!("{name} {why}{words}; {again}"));
            }
            Report::Back { name, pid } => {
                let pid = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                self.warn(&format!("{name} restarted{pid}"));
            }
            Report::Killed { name } => {
                self.warn(&format!("{name} did not end when it was told to, and was killed"));
            }
        }
    }

    fn warn(&self, text: &str) {
        warn(self.color, text);
    }

    /// Lets go of every daemon's lifeline and waits until all have ended.
    async fn end(mut self) {
        self.stop.send_replace(true);
        if let Some(daemon) = self.starting.take() {
            let name = daemon.name().to_owned();
            let reports = self.reports.clone();
            self.watched.spawn(async move {
                if !matches!(daemon.stop().await, Ok(false)) {
                    let _ = reports.send(Report::Killed { name }).await;
                }
            });
        }
        loop {
            tokio::select! {
                next = self.watched.join_next() => if next.is_none() { break },
                Some(report) = self.inbox.recv() => self.tell(&report),
            }
        }
    }
}

fn warn(color: Color, text: &str) {
    say(&Tone::Warn.paint(text, color.on_stderr()));
}

/// `--name=value`.
fn flag(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}
