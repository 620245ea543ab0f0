//! UPDATE_WEIGHTS: how roles share.

use std::collections::BTreeMap;

use authz::Permit;
use authz::action::UpdateWeight;
use model::role::Role;
use model::weight::Weight;
use registry::Operation;
use wire::v1;

use super::covers;
use crate::engine::Engine;
use crate::engine::effect::Accepted;
use crate::engine::out::Out;
use crate::engine::refusal::Refusal;
use crate::engine::words;

impl Engine {
    pub(super) fn update_weights(
        &mut self,
        permit: &Permit<UpdateWeight>,
        weights: &[v1::WeightInfo],
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let weights = self.valid_weights(weights)?;
        for role in weights.keys() {
            covers(permit, role.as_str())?;
        }
        for (role, weight) in &weights {
            out.info(format!("Role {role} has weight {weight}"));
            out.persist(Operation::PutWeight(role.clone(), *weight));
            self.state.settings.weights.insert_mut(role.clone(), *weight);
        }
        let subscribed =
            |role: &Role| self.state.frameworks.values().any(|f| f.roles.contains(role));
        let shares_change = weights.keys().any(subscribed);
        self.allocator.handle(allocator::Event::WeightsSet(weights), out.now.monotonic);
        if shares_change {
            self.rescind_all_offers(out);
        }
        Ok(Accepted::Done)
    }

    fn valid_weights(&self, weights: &[v1::WeightInfo]) -> Result<BTreeMap<Role, Weight>, Refusal> {
        const FAILED: &str = "Failed to validate update weights request JSON";
        let mut valid = BTreeMap::new();
        for info in weights {
            let text = info.role().trim();
            let refuse = |why: String| Err(Refusal::Invalid(format!("{FAILED}{why}")));
            let role = match Role::new(text) {
                Ok(role) => role,
                Err(why) => {
                    return refuse(format!(": Invalid role '{}': {why}", words::quote(text)));
                }
            };
            if !self.is_whitelisted(&role) {
                return refuse(format!(": Unknown role '{role}'"));
            }
            let Ok(weight) = Weight::new(info.weight) else {
                let number = words::double(info.weight);
                return refuse(format!(
                    " for role '{role}': Invalid weight '{number}': Weights must be positive"
                ));
            };
            valid.insert(role, weight);
        }
        Ok(valid)
    }

    /// Whether frameworks may have the role.
    pub(super) fn is_whitelisted(&self, role: &Role) -> bool {
        let allowed = self.config.roles.as_ref();
        allowed.is_none_or(|roles| roles.contains(role) || *role == Role::any())
    }

    fn rescind_all_offers(&mut self, out: &mut Out) {
        for id in self.state.offers.keys().cloned().collect::<Vec<_>>() {
            self.rescind(&id, out);
        }
    }
}
