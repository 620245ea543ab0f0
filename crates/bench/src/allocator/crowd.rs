//! Three kinds of framework, of which most want little: does everybody get what it wants?

use std::collections::BTreeMap;

use allocator::{Event, Refusal, Sorter};
use model::resources::Resources;

use super::cluster::{Cluster, resources, timed};

struct Kind {
    name: &'static str,
    count: usize,
    /// Whether each has a role of its own.
    own_roles: bool,
    tasks: usize,
    per_offer: usize,
    task: Resources,
}

struct Member {
    kind: usize,
    launched: usize,
}

/// So many runs without a task being placed are taken for starvation.
const PATIENCE: usize = 2000;

pub(super) fn run() -> anyhow::Result<()> {
    let kind = |name, count, own_roles, tasks, per_offer, task| {
        anyhow::Ok(Kind { name, count, own_roles, tasks, per_offer, task: resources(task)? })
    };
    let kinds = [
        kind("marathon", 4, true, 4000, 100, "cpus:0.07;mem:400")?,
        kind("jenkins", 500, false, 5, 1, "cpus:0.1;mem:4000")?,
        kind("spark", 50, true, 20, 5, "cpus:1;mem:1000")?,
    ];
    for (sorter, refusal) in [
        (Sorter::Drf, Refusal::None),
        (Sorter::Random, Refusal::None),
        (Sorter::Drf, Refusal::Brief),
        (Sorter::Drf, Refusal::from_seconds(5.0)),
    ] {
        place(&kinds, sorter, refusal)?;
    }
    Ok(())
}

fn place(kinds: &[Kind], sorter: Sorter, refusal: Refusal) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(sorter);
    cluster.add_agents(80, &resources("cpus:64;mem:488000")?, |_| BTreeMap::new())?;
    let mut members = BTreeMap::new();
    for (kind, of) in kinds.iter().enumerate() {
        for n in 0..of.count {
            let id = format!("{}-{n}", of.name);
            let role = if of.own_roles { id.clone() } else { of.name.to_owned() };
            cluster.add_framework(&id, &role)?;
            members.insert(id, Member { kind, launched: 0 });
        }
    }
    let wanted: usize = kinds.iter().map(|kind| kind.count * kind.tasks).sum();
    let (mut placed, mut rounds, mut made, mut in_vain, mut running) = (0, 0, 0, 0, 0.0);
    while placed < wanted && in_vain < PATIENCE {
        let (time, offers) = timed(|| cluster.offers());
        running += time;
        rounds += 1;
        made += offers.len();
        let before = placed;
        for offer in offers {
            let Some(member) = members.get_mut(offer.framework_id.as_str()) else { continue };
            let kind = &kinds[member.kind];
            let task = kind.task.allocated_to(&offer.role);
            let mut left = offer.resources.clone();
            let mut used = Resources::new();
            for _ in 0..kind.per_offer.min(kind.tasks - member.launched) {
                let Some(rest) = left.checked_minus(&task) else { break };
                left = rest;
                used.add_all(&task);
                member.launched += 1;
                placed += 1;
            }
            if !used.is_empty() {
                cluster.tell(Event::Launched {
                    framework_id: offer.framework_id.clone(),
                    agent_id: offer.agent_id.clone(),
                    resources: used,
                });
            }
            cluster.give_back(&offer, left, refusal);
        }
        in_vain = if placed == before { in_vain + 1 } else { 0 };
    }
    let verdict = if placed == wanted { "met" } else { "MISSED" };
    println!(
        "80 agents, 554 frameworks, {sorter:?}, refusing {refusal:?}: {placed} of {wanted} tasks \
         placed in {rounds} runs with {made} offers, {running:.1} ms   (original: 4205, then \
         nothing)   goal all: {verdict}"
    );
    Ok(())
}
