//! Many roles, with quota and without.

use std::collections::BTreeMap;

use allocator::Sorter;
use anyhow::ensure;

use super::cluster::{Cluster, resources, timed};
use super::show;

const AGENT: &str = "cpus:2;mem:2048;disk:2048";

pub(super) fn run() -> anyhow::Result<()> {
    for (small, large, original) in [
        (25, 5, None),
        (250, 50, Some((76.0, 53.0, 82.0))),
        (2500, 500, Some((13_300.0, 11_500.0, 24_600.0))),
    ] {
        for sorter in [Sorter::Drf, Sorter::Random] {
            large_and_small(small, large, sorter, original.filter(|_| sorter == Sorter::Drf))?;
        }
    }
    for roles in [10, 100, 1000] {
        for sorter in [Sorter::Drf, Sorter::Random] {
            for with_quota in [false, true] {
                whole_agents(roles, sorter, with_quota)?;
            }
        }
    }
    Ok(())
}

/// Roles that need half an agent, and roles that need two.
fn large_and_small(
    small: usize,
    large: usize,
    sorter: Sorter,
    original: Option<(f64, f64, f64)>,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(sorter);
    let agents = small / 5 + large * 5;
    let (adding_agents, added) =
        timed(|| cluster.add_agents(agents, &resources(AGENT)?, |_| BTreeMap::new()));
    added?;
    let (adding_frameworks, added) = timed(|| {
        for n in 0..small {
            cluster.add_framework(&format!("small-{n}"), &format!("small-{n}"))?;
        }
        for n in 0..large {
            cluster.add_framework(&format!("large-{n}"), &format!("large-{n}"))?;
        }
        anyhow::Ok(())
    });
    added?;
    let (setting, set) = timed(|| {
        for n in 0..small {
            cluster.set_quota(&format!("small-{n}"), "cpus:1;mem:1024;disk:1024")?;
        }
        for n in 0..large {
            cluster.set_quota(&format!("large-{n}"), "cpus:4;mem:4096;disk:4096")?;
        }
        anyhow::Ok(())
    });
    set?;
    let (run, offers) = timed(|| cluster.offers());
    ensure!(offers.len() >= small + 2 * large, "{} offers", offers.len());
    let (idle, none) = timed(|| cluster.offers());
    ensure!(none.is_empty(), "an idle run makes offers");
    let size = format!("{agents} agents, {} roles with quota, {sorter:?}", small + large);
    let goal = |goal| (agents == 3000).then_some(goal);
    show(&format!("{size}: adding agents"), adding_agents, None, None);
    show(&format!("{size}: adding frameworks"), adding_frameworks, original.map(|o| o.2), None);
    show(&format!("{size}: setting quotas"), setting, None, None);
    show(&format!("{size}: run, {} offers", offers.len()), run, original.map(|o| o.0), goal(100.0));
    show(&format!("{size}: idle run"), idle, original.map(|o| o.1), goal(1.0));
    Ok(())
}

/// Two agents and two frameworks for each role, which needs them whole.
fn whole_agents(roles: usize, sorter: Sorter, with_quota: bool) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(sorter);
    cluster.add_agents(2 * roles, &resources(AGENT)?, |_| BTreeMap::new())?;
    for n in 0..roles {
        for twin in ["a", "b"] {
            cluster.add_framework(&format!("framework-{n}-{twin}"), &format!("role-{n}"))?;
        }
        if with_quota {
            cluster.set_quota(&format!("role-{n}"), "cpus:4;mem:4096;disk:4096")?;
        }
    }
    let (run, offers) = timed(|| cluster.offers());
    ensure!(offers.len() >= 2 * roles, "{} offers", offers.len());
    let (idle, none) = timed(|| cluster.offers());
    ensure!(none.is_empty(), "an idle run makes offers");
    let with = if with_quota { "with quota" } else { "no quota" };
    let size = format!("{} agents, {roles} roles, {with}, {sorter:?}", 2 * roles);
    let known = roles == 1000 && sorter == Sorter::Drf && !with_quota;
    show(&format!("{size}: run, {} offers", offers.len()), run, known.then_some(151.0), None);
    show(&format!("{size}: idle run"), idle, known.then_some(102.0), None);
    Ok(())
}
