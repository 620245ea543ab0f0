//! `/roles` and GET_ROLES.

use std::collections::BTreeMap;

use model::resources::{Quantities, Resource, Resources};
use model::role::Role;
use wire::json::Object;
use wire::v1;

use super::View;
use endpoints::resources::{bytes_of, kept};

/// What is known of one role. What its descendants have counts for it too.
#[derive(Clone, Debug, Default)]
struct RoleFacts {
    frameworks: Vec<String>,
    allocated: Quantities,
    offered: Quantities,
    reserved: Quantities,
    /// Allocated of what is neither reserved nor revocable: with `reserved`, whether that is used
    /// or not, what counts against the quota.
    lasting: Quantities,
}

/// One of the sums of [`RoleFacts`].
type Sum = fn(&mut RoleFacts) -> &mut Quantities;

/// Adds the scalars of `resources` to a sum of the role that each belongs to, and of all above it.
fn add<'r>(
    roles: &mut BTreeMap<Role, RoleFacts>,
    resources: &'r Resources,
    role_of: impl Fn(&'r Resource) -> Option<&'r Role>,
    sum: Sum,
) {
    // First by role: the names of few roles stand in the resources of one agent.
    let mut by_role: BTreeMap<&Role, Resources> = BTreeMap::new();
    for resource in resources.iter() {
        if let Some(role) = role_of(resource) {
            by_role.entry(role).or_default().add(resource.clone());
        }
    }
    for (role, resources) in by_role {
        let quantities = resources.scalar_quantities();
        for role in lineage(role) {
            sum(roles.entry(role).or_default()).add_all(&quantities);
        }
    }
}

fn plus(a: &Quantities, b: &Quantities) -> Quantities {
    let mut sum = a.clone();
    sum.add_all(b);
    sum
}

/// `{"cpus":0.1,"mem":32.0}`
fn quantities(o: &mut Object<'_>, key: &str, quantities: &Quantities) {
    o.object(key, |o| {
        for (name, amount) in quantities.iter() {
            o.field(name, amount.as_f64());
        }
    });
}

impl View<'_> {
    /// Every role that a framework subscribes to, that has something, for which an operator has
    /// set something, or that is named in the list of roles that frameworks may have; by name.
    fn role_facts(&self) -> BTreeMap<Role, RoleFacts> {
        let mut roles: BTreeMap<Role, RoleFacts> = BTreeMap::new();
        for framework in self.frameworks() {
            for role in &framework.roles {
                let facts = roles.entry(role.clone()).or_default();
                facts.frameworks.push(framework.id.as_str().to_owned());
            }
        }
        for agent in self.snapshot.agents.values() {
            let used = agent.used_by_all();
            let lasting = used.filter(|r| r.is_unreserved() && !r.revocable);
            add(&mut roles, &used, |r| r.allocation.as_ref(), |facts| &mut facts.allocated);
            add(&mut roles, &agent.offered, |r| r.allocation.as_ref(), |facts| &mut facts.offered);
            add(&mut roles, &agent.total, Resource::reserved_to, |facts| &mut facts.reserved);
            add(&mut roles, &lasting, |r| r.allocation.as_ref(), |facts| &mut facts.lasting);
        }
        let settings = &self.snapshot.settings;
        let set = settings.quotas.keys().chain(settings.weights.keys());
        for role in set.chain(settings.allowed_roles.iter().flat_map(|roles| roles.iter())) {
            roles.entry(role.clone()).or_default();
        }
        roles.retain(|role, _| self.sight.role(role.as_str()));
        roles
    }

    fn weight(&self, role: &Role) -> f64 {
        self.snapshot.settings.weights.get(role).copied().unwrap_or_default().as_f64()
    }

    /// `/roles`
    #[must_use]
    pub fn roles(&self) -> Vec<u8> {
        bytes_of(|o| {
            o.array("roles", |a| {
                for (role, facts) in self.role_facts() {
                    a.object(|o| {
                        o.field("name", role.as_str());
                        o.field("weight", self.weight(&role));
                        o.object("quota", |o| {
                            o.field("role", role.as_str());
                            let quota = self.snapshot.settings.quotas.get(&role);
                            o.object("guarantee", |o| {
                                let amounts = quota.map(|quota| quota.guarantees().iter());
                                for (name, amount) in amounts.into_iter().flatten() {
                                    o.field(name, amount.as_f64());
                                }
                            });
                            o.object("limit", |o| {
                                let amounts = quota.map(|quota| quota.limits().iter());
                                for (name, amount) in amounts.into_iter().flatten() {
                                    o.field(name, amount.as_f64());
                                }
                            });
                            quantities(o, "consumed", &plus(&facts.reserved, &facts.lasting));
                        });
                        quantities(o, "resources", &plus(&facts.allocated, &facts.offered));
                        quantities(o, "allocated", &facts.allocated);
                        quantities(o, "offered", &facts.offered);
                        quantities(o, "reserved", &facts.reserved);
                        o.field("frameworks", &facts.frameworks);
                    });
                }
            });
        })
    }

    /// The roles of GET_ROLES.
    pub(super) fn role_messages(&self) -> Vec<v1::Role> {
        self.role_facts()
            .into_iter()
            .map(|(role, facts)| {
                let sum = plus(&facts.allocated, &facts.offered);
                let resources = sum
                    .iter()
                    .map(|(name, amount)| {
                        let value = model::resources::Value::Scalar(amount);
                        model::resources::Resource::new(name, value)
                    })
                    .collect();
                v1::Role {
                    name: role.as_str().to_owned(),
                    weight: self.weight(&role),
                    frameworks: facts
                        .frameworks
                        .into_iter()
                        .map(|value| v1::FrameworkId { value })
                        .collect(),
                    resources: kept(&resources),
                }
            })
            .collect()
    }
}

/// A role and all roles that it lies beneath.
fn lineage(role: &Role) -> impl Iterator<Item = Role> {
    let text = role.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    ends.filter_map(|end| Role::new(&text[..end]).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_counts_for_its_ancestors() {
        let names: Vec<_> = lineage(&Role::new("a/b/c").unwrap()).map(|r| r.to_string()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c"]);
        assert_eq!(lineage(&Role::any()).count(), 1);
    }
}
