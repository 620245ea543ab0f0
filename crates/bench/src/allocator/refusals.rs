//! Frameworks that decline, and frameworks that want nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use allocator::{Event, Refusal, Sorter};
use anyhow::ensure;
use model::id::FrameworkId;
use model::resources::Resources;
use model::role::Role;

use super::cluster::{Cluster, resources, timed};
use super::show;

const FOR_EVER: Refusal = Refusal::For(Duration::from_secs(365 * 24 * 3600));

pub(super) fn run() -> anyhow::Result<()> {
    declines(100, 10, None)?;
    declines(1000, 100, Some(640.0))?;
    declines(1000, 1000, None)?;
    suppressed(500, 100, None)?;
    suppressed(5000, 100, Some(205.0))
}

/// Half of an agent is used, by one framework after the other.
fn cluster(agents: usize, frameworks: usize) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::new(Sorter::Drf);
    for n in 0..frameworks {
        cluster.add_framework(&format!("framework-{n}"), "*")?;
    }
    let total = resources("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")?;
    let ports: Vec<_> = (0..16).map(|n| format!("{}-{}", 31000 + n * 62, 31030 + n * 62)).collect();
    let used = format!("cpus:16;mem:2014;disk:1024;ports:[{}]", ports.join(","));
    let used: Resources = resources(&used)?.allocated_to(&Role::any());
    let ids: Result<Vec<_>, _> =
        (0..frameworks).map(|n| FrameworkId::new(&format!("framework-{n}"))).collect();
    let ids = ids?;
    cluster.add_agents(agents, &total, |n| {
        BTreeMap::from([(ids[n % frameworks].clone(), used.clone())])
    })?;
    Ok(cluster)
}

/// All agents are declined by all frameworks, for ever.
fn declines(agents: usize, frameworks: usize, original: Option<f64>) -> anyhow::Result<()> {
    let mut cluster = cluster(agents, frameworks)?;
    let (mut telling, mut running, mut rounds) = (0.0, 0.0, 0);
    let last = loop {
        let (time, offers) = timed(|| cluster.offers());
        if offers.is_empty() {
            break time;
        }
        running += time;
        rounds += 1;
        telling += timed(|| {
            for offer in &offers {
                cluster.give_back(offer, offer.resources.clone(), FOR_EVER);
            }
        })
        .0;
    };
    ensure!(rounds >= frameworks, "only {rounds} rounds");
    let filters = agents * frameworks;
    let size = format!("{agents} agents, {frameworks} frameworks");
    show(&format!("{size}: declines of {agents}"), telling / rounds as f64, None, None);
    show(&format!("{size}: run after them"), running / rounds as f64, None, None);
    let goal = (filters == 100_000).then_some(5.0);
    show(&format!("{size}: run after {filters} refusals, no offer"), last, original, goal);
    Ok(())
}

/// A fifth of the frameworks after the other wants nothing any more.
fn suppressed(agents: usize, frameworks: usize, original: Option<f64>) -> anyhow::Result<()> {
    let mut cluster = cluster(agents, frameworks)?;
    let mut offers = cluster.offers();
    let size = format!("{agents} agents, {frameworks} frameworks");
    for round in 1..=4 {
        for offer in &offers {
            cluster.give_back(offer, offer.resources.clone(), Refusal::None);
        }
        let fifth = frameworks / 5;
        for n in (round - 1) * fifth..round * fifth {
            cluster.tell(Event::Suppressed {
                framework_id: FrameworkId::new(&format!("framework-{n}"))?,
                roles: BTreeSet::from([Role::any()]),
            });
        }
        let (time, made) = timed(|| cluster.offers());
        ensure!(made.len() == agents, "{} offers", made.len());
        let case = format!("{size}, {} suppressed: run, {} offers", round * fifth, made.len());
        show(&case, time, original, None);
        offers = made;
    }
    Ok(())
}
