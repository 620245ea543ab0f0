//! What the allocator has given out, under `allocator/mesos/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::resources::{Quantities, Resources};
use model::role::Role;

use super::Metrics;
use crate::engine::state::{Agent, Snapshot};
use crate::views::weave::agent as slots;

/// What one agent adds to the metrics.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Of each name in [`super::SCALARS`], what is not revocable and what is: total and used.
    pub(super) scalars: [[(f64, f64); 2]; 4],
    total: Quantities,
    given: Quantities,
    /// What is offered or allocated to each role.
    by_role: Vec<(String, Quantities)>,
    /// What each role, and each above it, consumes of its quota.
    consumed: Vec<(String, Quantities)>,
}

/// The agent's part, made once until it changes.
pub(super) fn figures(agent: &Agent) -> Arc<Figures> {
    agent.cells.get_or(slots::METRICS, || measure(agent))
}

fn measure(agent: &Agent) -> Figures {
    let used = agent.used_by_all();
    let mut figures = Figures { total: agent.total.scalar_quantities(), ..Figures::default() };
    for (name, pair) in super::SCALARS.iter().zip(&mut figures.scalars) {
        for (revocable, sums) in [false, true].into_iter().zip(pair) {
            let sum = |of: &Resources| {
                of.filter(|r| *r.name == **name && r.revocable == revocable).scalar(name).as_f64()
            };
            *sums = (sum(&agent.total), sum(&used));
        }
    }
    let mut by_role: BTreeMap<String, Quantities> = BTreeMap::new();
    let mut consumed: BTreeMap<String, Quantities> = BTreeMap::new();
    for resources in [&used, &agent.offered] {
        figures.given.add_all(&resources.scalar_quantities());
        for resource in resources.iter() {
            if let Some(role) = &resource.allocation {
                let sum = Resources::from_iter([resource.clone()]).scalar_quantities();
                by_role.entry(role.to_string()).or_default().add_all(&sum);
            }
        }
    }
    // Reserved resources count for their role whether used or not; others when allocated, unless
    // they can be taken back at any time.
    let unreserved = used.filter(|r| r.is_unreserved() && !r.revocable);
    let reserved = agent.total.filter(|r| !r.is_unreserved());
    for resource in unreserved.iter().chain(reserved.iter()) {
        let role = resource.reserved_to().or(resource.allocation.as_ref());
        let Some(role) = role else { continue };
        let sum = Resources::from_iter([resource.clone()]).scalar_quantities();
        for node in nodes(role.as_str()) {
            consumed.entry(node.to_owned()).or_default().add_all(&sum);
        }
    }
    figures.by_role = by_role.into_iter().collect();
    figures.consumed = consumed.into_iter().collect();
    figures
}

pub(super) fn publish(all: &mut Metrics, snapshot: &Snapshot) {
    let mut total = Quantities::default();
    let mut given = Quantities::default();
    let mut by_role: BTreeMap<String, Quantities> = BTreeMap::new();
    let mut consumed: BTreeMap<String, Quantities> = BTreeMap::new();
    for agent in snapshot.agents.values() {
        let figures = figures(agent);
        total.add_all(&figures.total);
        given.add_all(&figures.given);
        for (sums, parts) in [(&mut by_role, &figures.by_role), (&mut consumed, &figures.consumed)]
        {
            for (name, part) in parts {
                match sums.get_mut(name) {
                    Some(sum) => sum.add_all(part),
                    None => drop(sums.insert(name.clone(), part.clone())),
                }
            }
        }
    }
    let names: BTreeSet<&str> =
        ["cpus", "mem", "disk"].into_iter().chain(total.iter().map(|(name, _)| name)).collect();
    for name in names {
        let prefix = format!("allocator/mesos/resources/{name}");
        all.gauge(format!("{prefix}/total"), total.get(name).as_f64());
        all.gauge(format!("{prefix}/offered_or_allocated"), given.get(name).as_f64());
    }
    shares(all, snapshot, &total, &by_role);
    for (role, quota) in snapshot.settings.quotas.iter() {
        let prefix = format!("allocator/mesos/quota/roles/{role}/resources");
        for (name, amount) in quota.guarantees().iter() {
            all.gauge(format!("{prefix}/{name}/guarantee"), amount.as_f64());
        }
        for (name, amount) in quota.limits().iter() {
            all.gauge(format!("{prefix}/{name}/limit"), amount.as_f64());
        }
        let held = held_beneath(role.as_str(), &by_role);
        for (name, amount) in held.iter() {
            all.gauge(format!("{prefix}/{name}/offered_or_allocated"), amount.as_f64());
        }
    }
    for (node, sum) in &consumed {
        for (name, amount) in sum.iter() {
            let name = format!("allocator/mesos/quota/roles/{node}/resources/{name}/consumed");
            all.gauge(name, amount.as_f64());
        }
    }
}

/// The shares by which the roles of frameworks are sorted: the largest part of anything in the
/// cluster that counts, divided by the weight.
fn shares(
    all: &mut Metrics,
    snapshot: &Snapshot,
    total: &Quantities,
    by_role: &BTreeMap<String, Quantities>,
) {
    let settings = &snapshot.settings;
    let idle = Quantities::default();
    let frameworks = snapshot.frameworks.values();
    let wanting = frameworks.flat_map(|f| &f.roles).map(|role| (role.as_str(), &idle));
    let roles: BTreeMap<&str, &Quantities> =
        wanting.chain(by_role.iter().map(|(role, held)| (role.as_str(), held))).collect();
    for (role, held) in roles {
        let counted = held.iter().filter(|(name, _)| !settings.unshared_names.contains(*name));
        let part = |(name, amount): (&str, model::resources::Scalar)| {
            let of = total.get(name).as_f64();
            if of > 0.0 { amount.as_f64() / of } else { 0.0 }
        };
        let weight = Role::new(role).ok().and_then(|role| settings.weights.get(&role).copied());
        let share = counted.map(part).fold(0.0, f64::max) / weight.unwrap_or_default().as_f64();
        all.gauge(format!("allocator/mesos/roles/{role}/shares/dominant"), share);
    }
}

/// What is offered or allocated to a role and all beneath it.
fn held_beneath(role: &str, by_role: &BTreeMap<String, Quantities>) -> Quantities {
    let mut sum = Quantities::default();
    for (name, held) in by_role {
        let beneath =
            name.strip_prefix(role).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if beneath {
            sum.add_all(held);
        }
    }
    sum
}

/// The role's node in the tree of roles, those above it, and the root, whose name is empty.
fn nodes(role: &str) -> impl Iterator<Item = &str> {
    let inner = role.match_indices('/').map(|(at, _)| &role[..at]);
    [""].into_iter().chain(inner).chain([role])
}
