//! `/allocator/offer_constraints_debug`: which agents frameworks exclude by their offer
//! constraints.

use endpoints::resources::bytes_of;

use super::View;
use crate::engine::state::Framework;

impl View<'_> {
    /// Each framework's suppressed roles, and for each role the agents that its constraints keep
    /// away.
    #[must_use]
    pub fn offer_constraints_debug(&self) -> Vec<u8> {
        bytes_of(|o| {
            o.object("frameworks", |o| {
                for framework in self.frameworks() {
                    o.object(framework.id.as_str(), |o| self.excluded(o, framework));
                }
            });
        })
    }

    fn excluded(&self, o: &mut wire::json::Object<'_>, framework: &Framework) {
        o.array("suppressed_roles", |a| {
            for role in &framework.suppressed_roles {
                a.push(role.as_str());
            }
        });
        o.object("excluded_by_attribute_constraints", |o| {
            for role in &framework.roles {
                o.array(role.as_str(), |a| {
                    let Some(constraints) = &framework.constraints else { return };
                    for agent in self.snapshot.agents.values() {
                        if !constraints.admit(role, &agent.allocator_facts()) {
                            a.push(agent.id.as_str());
                        }
                    }
                });
            }
        });
    }
}
