//! What is to run: from what was asked for now and what ran last time.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::checks::{self, TaskUser};
use crate::cluster::{Agent, Cluster};
use crate::lock::{Attempt, try_lock};
use crate::state_dir::StateDir;

/// The master's port unless told otherwise; the agents' follow it.
const PORT: u16 = 5050;

/// Who runs tasks where `up` is root.
const TASK_USER: &str = "nobody";

/// How long the daemons of an `up` that was killed may take to end.
const LAST_RUN: std::time::Duration = std::time::Duration::from_secs(15);

/// What was asked for on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) agents: Option<u16>,
    pub(crate) port: Option<u16>,
    pub(crate) resources: Option<String>,
}

/// What is to run, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The master's port; 0: any.
    pub(crate) master_port: u16,
    /// The agents; their ports may be 0 too.
    pub(crate) agents: Vec<Agent>,
}

impl Plan {
    /// As last time, except for what is wished otherwise.
    pub(crate) fn make(wishes: &Wishes, last: Option<&Cluster>) -> anyhow::Result<Self> {
        let last_port = last.and_then(Cluster::master_port);
        let last_agents = last.map_or(&[][..], |c| &c.agents);
        let master_port = wishes.port.or(last_port).unwrap_or(PORT);
        let count = wishes.agents.map_or(last_agents.len().max(1), usize::from);
        let mut agents: Vec<Agent> = Vec::with_capacity(count);
        for n in 0..count {
            let before = last_agents.get(n);
            let port = match (wishes.port, before) {
                (None, Some(before)) => before.port,
                (Some(0), _) => 0,
                // The next one that is not somebody else's.
                _ => {
                    let highest = agents.iter().map(|a| a.port).fold(master_port, u16::max);
                    highest.checked_add(1).context("there are too few ports above --port")?
                }
            };
            let resources = match (&wishes.resources, before.or(last_agents.first())) {
                (Some(wish), _) => Some(wish.clone()),
                (None, before) => before.and_then(|b| b.resources.clone()),
            };
            agents.push(Agent { name: format!("agent-{}", n + 1), port, resources });
        }
        Ok(Self { master_port, agents })
    }

    /// The names of all daemons, the master's first.
    fn daemons(&self) -> impl Iterator<Item = &str> {
        std::iter::once("master").chain(self.agents.iter().map(|a| a.name.as_str()))
    }

    /// Makes the directories and sees that the daemons of an earlier run are gone and every port
    /// is free.
    pub(crate) async fn check(
        &self,
        dir: &StateDir,
        ip: IpAddr,
        user: &TaskUser,
    ) -> anyhow::Result<()> {
        user.can_reach(dir.path())?;
        if let Some(logs) = dir.log_file("master").parent() {
            checks::make_dir(logs, 0o700)?;
        }
        for daemon in self.daemons() {
            // Tasks go through their agent's directory to their sandboxes.
            let mode = if daemon == "master" { 0o700 } else { 0o711 };
            let work_dir = dir.work_dir(daemon);
            checks::make_dir(&work_dir, mode)?;
            if daemon != "master" {
                user.can_reach(&work_dir)?;
            }
            await_end(daemon, &lock_file(&work_dir)).await?;
        }
        let ports = std::iter::once(self.master_port).chain(self.agents.iter().map(|a| a.port));
        ports.filter(|port| *port != 0).try_for_each(|port| checks::port_is_free(ip, port))
    }
}

/// The file that a daemon holds locked while it uses its directory.
pub(crate) fn lock_file(work_dir: &Path) -> std::path::PathBuf {
    work_dir.join("daemon.lock")
}

/// Waits until nobody holds the lock: after a killed `up` its daemons need a moment.
async fn await_end(daemon: &str, lock: &Path) -> anyhow::Result<()> {
    let Attempt::Taken { holder, waiting } = try_lock(lock)? else { return Ok(()) };
    let ended = tokio::task::spawn_blocking(move || waiting.wait());
    match tokio::time::timeout(LAST_RUN, ended).await {
        Ok(outcome) => outcome.context("waiting failed")?.map(drop),
        Err(_) => {
            let holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
            bail!("the {daemon} of an earlier run{holder} does not end")
        }
    }
}

/// Who runs tasks, if `up` is root: the user who was named, now or last time. Its own user
/// otherwise.
pub(crate) fn task_user(named: Option<&str>, last: Option<&Cluster>) -> anyhow::Result<TaskUser> {
    let ours = TaskUser::ours()?;
    let last = last.map(|c| c.task_user.as_str()).filter(|_| ours.is_root());
    match named.or(last) {
        None if ours.is_root() => TaskUser::named(TASK_USER)
            .context("cannot run tasks as the default user: name another one with --task-user"),
        None => Ok(ours),
        Some(name) if ours.is_root() || name == ours.name => TaskUser::named(name),
        Some(name) => bail!(
            "tasks cannot run as `{name}`: only root can run something as another user, and this \
             is `{}`",
            ours.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(n: u16, port: u16, resources: Option<&str>) -> Agent {
        Agent { name: format!("agent-{n}"), port, resources: resources.map(Into::into) }
    }

    fn last() -> Cluster {
        Cluster::new(
            "https://127.0.0.1:6000".into(),
            "alcazar.local".into(),
            "nobody".into(),
            None,
            vec![agent(1, 6001, Some("cpus:1")), agent(2, 7000, Some("cpus:2"))],
        )
    }

    #[test]
    fn the_first_time_it_is_one_agent_beside_the_usual_port() {
        let plan = Plan::make(&Wishes::default(), None).unwrap();
        assert_eq!(plan, Plan { master_port: 5050, agents: vec![agent(1, 5051, None)] });
    }

    #[test]
    fn without_wishes_everything_is_as_last_time() {
        let plan = Plan::make(&Wishes::default(), Some(&last())).unwrap();
        assert_eq!(plan, Plan { master_port: 6000, agents: last().agents });
    }

    #[test]
    fn wishes_come_before_what_was() {
        let wishes = Wishes { agents: Some(3), ..Wishes::default() };
        let plan = Plan::make(&wishes, Some(&last())).unwrap();
        assert_eq!(plan.agents[..2], last().agents[..]);
        assert_eq!(plan.agents[2], agent(3, 7001, Some("cpus:1")));

        let wishes = Wishes { port: Some(8000), agents: Some(2), resources: Some("mem:1".into()) };
        let plan = Plan::make(&wishes, Some(&last())).unwrap();
        assert_eq!(plan.master_port, 8000);
        assert_eq!(plan.agents, [agent(1, 8001, Some("mem:1")), agent(2, 8002, Some("mem:1"))]);

        let wishes = Wishes { port: Some(0), ..Wishes::default() };
        let plan = Plan::make(&wishes, None).unwrap();
        assert_eq!((plan.master_port, plan.agents[0].port), (0, 0));
        let wishes = Wishes { port: Some(65535), ..Wishes::default() };
        assert!(Plan::make(&wishes, None).is_err());
    }
}
