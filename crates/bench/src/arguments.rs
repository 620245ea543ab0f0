//! What stands behind the name of a benchmark.

use std::net::SocketAddrV4;
use std::path::Path;
use std::slice::Iter;

use anyhow::{Context as _, bail};
use testkit::swarm::addresses::Addresses;
use testkit::swarm::churn::Churn;
use testkit::swarm::framework::{Demand, TaskSize};
use testkit::swarm::tls::Files;
use testkit::swarm::{Proof, Settings};

use crate::{auth, cluster, tls};

/// How many agents a swarm has unless it is said.
const AGENTS: usize = 100;

pub(crate) fn tls(words: &[&str]) -> anyhow::Result<tls::Plan> {
    let mut plan = tls::Plan::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--runs" => plan.runs = number(word, &mut words)?,
            "--connections" => plan.connections = number(word, &mut words)?,
            part => plan.parts.push(part.parse()?),
        }
    }
    Ok(plan)
}

pub(crate) fn auth(words: &[&str]) -> anyhow::Result<auth::Plan> {
    let mut plan = auth::Plan::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--runs" => plan.runs = number(word, &mut words)?,
            "--agents" => plan.agents = number(word, &mut words)?,
            "--principals" => plan.shared = Some(shared(value(word, &mut words)?)?),
            mechanism => plan.mechanisms.push(mechanism.parse()?),
        }
    }
    Ok(plan)
}

/// What of a master is measured.
pub(crate) fn master(words: &[&str]) -> anyhow::Result<cluster::Plan> {
    let mut plan = cluster::Plan::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "sockets" => plan.sockets = true,
            "memory" => plan.memory = true,
            "idle" => (plan.sockets, plan.idle) = (true, true),
            "--agents" => plan.agents = number(word, &mut words)?,
            "--tasks" => plan.tasks = number(word, &mut words)?,
            "--frameworks" => plan.frameworks = number(word, &mut words)?,
            "--against" => {
                let address = value(word, &mut words)?;
                plan.against = Some(address.parse().with_context(|| format!("`{address}`"))?);
            }
            "--pid" => plan.pid = Some(u32::try_from(number(word, &mut words)?)?),
            other => bail!("`{other}` is nothing that is measured of a master"),
        }
    }
    if !plan.sockets && !plan.memory {
        (plan.sockets, plan.memory) = (true, plan.against.is_none());
    }
    Ok(plan)
}

/// A swarm that goes on until it is interrupted.
#[derive(Debug)]
pub(crate) struct Swarm {
    /// Against whom.
    pub(crate) master: SocketAddrV4,
    pub(crate) settings: Settings,
    /// What each framework runs.
    pub(crate) demand: Option<Demand>,
    pub(crate) churn: Option<Churn>,
}

/// The master, and what is sent against it.
pub(crate) fn swarm(words: &[&str]) -> anyhow::Result<Swarm> {
    let (mut master, mut agents) = (None, AGENTS);
    let (mut frameworks, mut tasks, mut life, mut every) = (0, 100, 10, None);
    let (mut principal, mut secret) = (None, None);
    let (mut one, mut mechanisms) = (true, "SCRAM-SHA-256-PLUS,SCRAM-SHA-256,CRAM-MD5");
    let (mut roots, mut chain, mut key) = (None, None, None);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--tls-roots" => roots = Some(value(word, &mut words)?.into()),
            "--tls-chain" => chain = Some(value(word, &mut words)?.into()),
            "--tls-key" => key = Some(value(word, &mut words)?.into()),
            "--against" => {
                let address = value(word, &mut words)?;
                master = Some(address.parse().with_context(|| format!("`{address}`"))?);
            }
            "--agents" => agents = number(word, &mut words)?,
            "--frameworks" => frameworks = number(word, &mut words)?,
            "--tasks" => tasks = number(word, &mut words)?,
            "--life" => life = number(word, &mut words)?,
            "--churn" => every = Some(number(word, &mut words)?),
            "--principal" => principal = Some(value(word, &mut words)?),
            "--secret-file" => secret = Some(secret_in(value(word, &mut words)?.as_ref())?),
            "--principals" => one = shared(value(word, &mut words)?)?,
            "--mechanisms" => mechanisms = value(word, &mut words)?,
            other => bail!("`{other}` is nothing that a swarm knows"),
        }
    }
    let proof = match (principal, secret) {
        (None, None) => None,
        (Some(principal), Some(secret)) => Some(Proof {
            mechanisms: mechanisms.split(',').map(str::to_owned).collect(),
            principal: principal.to_owned(),
            shared: one,
            secret,
        }),
        _ => bail!("--principal and --secret-file belong together"),
    };
    let tls = match (roots, chain, key) {
        (None, None, None) => None,
        (Some(roots), Some(chain), Some(key)) => Some(Files { roots, chain, key }),
        _ => bail!("--tls-roots, --tls-chain and --tls-key belong together"),
    };
    let master = master.context("--against says which master")?;
    let settings = Settings::of(agents, Addresses::towards(master)?);
    let settings = Settings { frameworks, proof, tls, ..settings };
    let demand = (frameworks > 0).then_some(Demand {
        total: None,
        alive: tasks,
        per_offer: 4,
        size: TaskSize::Of { cpus: 0.1, mem: 32.0 },
        life: Some((life as f64 / 2.0, life as f64)),
        killed: 0.0,
        refuse: 0.0,
        reconcile: Some(60.0),
    });
    let churn = every.map(|every: usize| Churn {
        seed: 1,
        every: every as f64,
        crash: 4,
        away: (0.0, 10.0),
        cut: 2,
        leave: 1,
        unregister: 1,
        join: 2,
        disconnect: 0,
    });
    Ok(Swarm { master, settings, demand, churn })
}

/// A secret alone in a file; the end of its line does not belong to it.
fn secret_in(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn value<'a>(word: &str, words: &mut Iter<'_, &'a str>) -> anyhow::Result<&'a str> {
    words.next().copied().with_context(|| format!("{word} needs a value"))
}

fn number(word: &str, words: &mut Iter<'_, &str>) -> anyhow::Result<usize> {
    let next = words.next().and_then(|word| word.parse().ok());
    next.filter(|number| *number > 0).with_context(|| format!("{word} needs a number"))
}

fn shared(word: &str) -> anyhow::Result<bool> {
    match word {
        "one" => Ok(true),
        "each" => Ok(false),
        other => bail!("--principals is `one` or `each`, not `{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_has_a_master_and_a_whole_credential_or_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let one = swarm(&["--against", "127.0.0.1:5050", "--agents", "3"]).unwrap();
        let agents = (one.settings.agents, one.settings.proof.is_none());
        assert_eq!((one.master.port(), agents, one.demand), (5050, (3, true), None));
        let words = ["--against", "127.0.0.1:1", "--principal", "p", "--secret-file", path];
        let proof = swarm(&words).unwrap().settings.proof.unwrap();
        assert_eq!((proof.principal(7).as_str(), proof.secret.as_str()), ("p", "s3cret"));
        let each = [words.as_slice(), &["--principals", "each"]].concat();
        assert_eq!(swarm(&each).unwrap().settings.proof.unwrap().principal(7), "p7");
        assert!(swarm(&words[..4]).unwrap_err().to_string().contains("belong together"));
        assert!(swarm(&words[2..]).unwrap_err().to_string().contains("--against"));
    }
}
