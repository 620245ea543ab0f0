//! What the allocator has given out, under `allocator/mesos/`.

use std::collections::{BTreeMap, BTreeSet};

use model::resources::{Quantities, Resources};

use super::Metrics;
use crate::engine::state::Snapshot;

pub(super) fn publish(all: &mut Metrics, snapshot: &Snapshot) {
    let mut total = Quantities::default();
    let mut given = Quantities::default();
    // By role, what is offered or allocated to it, and what it consumes of its quota.
    let mut by_role: BTreeMap<String, Quantities> = BTreeMap::new();
    let mut consumed: BTreeMap<String, Quantities> = BTreeMap::new();
    for agent in snapshot.agents.values() {
        total.add_all(&agent.total.scalar_quantities());
        let used = agent.used_by_all();
        for resources in [&used, &agent.offered] {
            given.add_all(&resources.scalar_quantities());
            for resource in resources.iter() {
                if let Some(role) = &resource.allocation {
                    let sum = Resources::from_iter([resource.clone()]).scalar_quantities();
                    by_role.entry(role.to_string()).or_default().add_all(&sum);
                }
            }
        }
        // Reserved resources count for their role whether used or not; others when allocated.
        let unreserved = used.filter(model::resources::Resource::is_unreserved);
        let reserved = agent.total.filter(|r| !r.is_unreserved());
        for resource in unreserved.iter().chain(reserved.iter()) {
            let role = resource.reserved_to().or(resource.allocation.as_ref());
            let Some(role) = role else { continue };
            let sum = Resources::from_iter([resource.clone()]).scalar_quantities();
            for node in nodes(role.as_str()) {
                consumed.entry(node.to_owned()).or_default().add_all(&sum);
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
    for (role, sum) in &by_role {
        let share = |(name, amount): (&str, model::resources::Scalar)| {
            let of = total.get(name).as_f64();
            if of > 0.0 { amount.as_f64() / of } else { 0.0 }
        };
        let dominant = sum.iter().map(share).fold(0.0, f64::max);
        all.gauge(format!("allocator/mesos/roles/{role}/shares/dominant"), dominant);
    }
    for (node, sum) in &consumed {
        for (name, amount) in sum.iter() {
            let name = format!("allocator/mesos/quota/roles/{node}/resources/{name}/consumed");
            all.gauge(name, amount.as_f64());
        }
    }
}

/// The role's node in the tree of roles, those above it, and the root, whose name is empty.
fn nodes(role: &str) -> impl Iterator<Item = &str> {
    let inner = role.match_indices('/').map(|(at, _)| &role[..at]);
    [""].into_iter().chain(inner).chain([role])
}
