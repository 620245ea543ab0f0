//! Open files: what a process may have, and what a swarm needs.

use anyhow::ensure;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Of an agent: its listener, its link to the master, the master's link to it.
const PER_AGENT: usize = 3;
/// Of a master, for each agent: one link in each direction.
const OF_MASTER: usize = 2;
/// What a process needs besides: a runtime, files, probes, connections that come and go.
const OTHERS: usize = 200;

/// Lets this process, and those that it starts, have as many open files as it may, and refuses
/// `agents` that do not fit.
pub fn make_room(agents: usize) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let may = limit.current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    check(agents, may)
}

fn check(agents: usize, may: usize) -> anyhow::Result<()> {
    let needs = agents.saturating_mul(PER_AGENT).saturating_add(OTHERS);
    let master = agents.saturating_mul(OF_MASTER).saturating_add(OTHERS);
    let most = may.saturating_sub(OTHERS) / PER_AGENT;
    ensure!(
        needs <= may,
        "{agents} agents need {needs} open files in their process ({PER_AGENT} each and {OTHERS} \
         besides) and {master} in the master's; a process may have {may} here (`ulimit -Hn`), \
         enough for {most} agents"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_for_which_there_are_not_enough_open_files_is_refused_by_name() {
        check(5_000, 15_200).unwrap();
        let text = check(5_001, 15_200).unwrap_err().to_string();
        assert!(text.contains("5001 agents need 15203 open files"), "{text}");
        assert!(text.contains("may have 15200 here (`ulimit -Hn`), enough for 5000"), "{text}");
    }
}
