//! What roles are promised and may not exceed: UPDATE_QUOTA, and SET_QUOTA and REMOVE_QUOTA of old.
//!
//! The order of checks and their words are the original's, but that nobody without a permit comes
//! here at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use authz::Permit;
use authz::action::{UpdateQuota, UpdateQuotaWithConfig};
use model::quota::Quota;
use model::resources::{Quantities, Resource};
use model::role::Role;
use registry::Operation;
use wire::v1::quota::{QuotaConfig, QuotaRequest};

use super::{covers, quota_checks as checks};
use crate::engine::Engine;
use crate::engine::effect::Accepted;
use crate::engine::out::Out;
use crate::engine::refusal::Refusal;
use crate::engine::state::Offer;
use crate::engine::words;

impl Engine {
    /// UPDATE_QUOTA: all configs are set or none.
    pub(super) fn update_quota(
        &mut self,
        permit: &Permit<UpdateQuotaWithConfig>,
        configs: &[QuotaConfig],
        force: bool,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let mut wanted: BTreeMap<Role, Quota> = BTreeMap::new();
        for config in configs {
            let (role, quota) = self.valid_config(config)?;
            // Of several for one role the last counts, as it does in the original.
            wanted.insert(role, quota);
        }
        for (role, quota) in &wanted {
            let consumed = self.consumed(role);
            if quota.limits().admit(&consumed) {
                continue;
            }
            let (used, limits) =
                (words::amounts(consumed.iter()), words::amounts(quota.limits().iter()));
            if !force {
                return Err(Refusal::Invalid(format!(
                    "Invalid QuotaConfig: Role '{role}' is already consuming '{used}'; this is \
                     more than the requested limits '{limits}' (use 'force' flag to bypass this \
                     check)"
                )));
            }
            out.info(format!(
                "The limits '{limits}' of role '{role}' are below what it uses, '{used}': forced"
            ));
        }
        let guaranteed = self.guaranteed_with(&wanted);
        let capacity = self.capacity();
        if !capacity.contains(&guaranteed) {
            if !force {
                return Err(Refusal::Invalid(format!(
                    "Invalid QuotaConfig: total quota guarantees '{}' exceed cluster capacity \
                     '{}' (use 'force' flag to bypass this check)",
                    words::amounts(guaranteed.iter()),
                    words::amounts(capacity.iter())
                )));
            }
            out.info("Quotas guarantee more than the cluster has: forced".to_owned());
        }
        for role in wanted.keys() {
            covers(permit, role.as_str())?;
        }
        for (role, quota) in &wanted {
            self.enter_quota(role, quota.clone(), out);
        }
        for (role, quota) in &wanted {
            self.rescind_for_quota(role, quota, out);
        }
        Ok(Accepted::Done)
    }

    fn valid_config(&self, config: &QuotaConfig) -> Result<(Role, Quota), Refusal> {
        let name = &config.role;
        let listed = self.config.roles.as_ref().is_none_or(|roles| {
            name == "*" || roles.iter().any(|role| role.as_str() == name.as_str())
        });
        if !listed {
            return Err(Refusal::Invalid(format!(
                "Invalid QuotaConfig: '{}' is not on the roles whitelist",
                words::quote(name)
            )));
        }
        if name.contains('/') {
            return Err(Refusal::Invalid(format!(
                "Updating quota on nested role '{}' is not supported yet",
                words::quote(name)
            )));
        }
        checks::config(config)
            .map_err(|why| Refusal::Invalid(format!("Invalid QuotaConfig: {why}")))
    }

    /// SET_QUOTA: guarantees that are limits too, for a role that has none yet.
    pub(super) fn set_quota(
        &mut self,
        permit: &Permit<UpdateQuota>,
        request: &QuotaRequest,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let failed =
            |why: String| Refusal::Invalid(format!("Failed to validate set quota request: {why}"));
        let (role, amounts) = checks::request(request).map_err(failed)?;
        if !self.is_whitelisted(&role) {
            return Err(failed(format!("Unknown role '{role}'")));
        }
        if self.state.settings.quotas.contains_key(&role) {
            return Err(failed(format!(
                "Cannot set quota for role '{role}' which already has quota"
            )));
        }
        if role.is_nested() {
            return Err(Refusal::Invalid(format!(
                "Setting quota on nested role '{role}' is not supported yet"
            )));
        }
        covers(permit, role.as_str())?;
        let quota = Quota::exactly(amounts);
        if !request.force() {
            let wanted = BTreeMap::from([(role.clone(), quota.clone())]);
            let (guaranteed, capacity) = (self.guaranteed_with(&wanted), self.capacity());
            if !capacity.contains(&guaranteed) {
                return Err(Refusal::Conflict(format!(
                    "Quota guarantees overcommit the cluster (use 'force' to bypass this check): \
                     Total quota guarantees '{}' exceed cluster capacity '{}'",
                    words::amounts(guaranteed.iter()),
                    words::amounts(capacity.iter())
                )));
            }
        }
        self.enter_quota(&role, quota.clone(), out);
        self.rescind_for_request(&role, quota.guarantees(), out);
        Ok(Accepted::Done)
    }

    /// REMOVE_QUOTA and `DELETE /quota/<role>`. The call ends the original where the role has no
    /// quota; here that is said.
    pub(super) fn remove_quota(
        &mut self,
        permit: &Permit<UpdateQuota>,
        name: &str,
        path: Option<&str>,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let shown = words::quote(name);
        let role = Role::new(name).ok();
        if let Some(path) = path
            && !role.as_ref().is_some_and(|role| self.is_whitelisted(role))
        {
            return Err(Refusal::Invalid(format!(
                "Failed to validate remove quota request for path '{}': Unknown role '{shown}'",
                words::quote(path)
            )));
        }
        let known = role.filter(|role| self.state.settings.quotas.contains_key(role));
        let Some(role) = known else {
            let place =
                path.map_or_else(String::new, |p| format!(" for path '{}'", words::quote(p)));
            return Err(Refusal::Invalid(format!(
                "Failed to remove quota{place}: Role '{shown}' has no quota set"
            )));
        };
        covers(permit, role.as_str())?;
        self.enter_quota(&role, Quota::default(), out);
        Ok(Accepted::Done)
    }

    /// Sets the quota, on record, in the state and with the allocator.
    fn enter_quota(&mut self, role: &Role, quota: Quota, out: &mut Out) {
        let quotas = &mut self.state.settings.quotas;
        if quota.is_default() {
            out.info(format!("Role {role} has no quota"));
            if quotas.remove_mut(role) {
                out.persist(Operation::DeleteQuota(role.clone()));
            }
        } else {
            out.info(format!(
                "Role {role} has the guarantees {} and the limits {}",
                words::amounts(quota.guarantees().iter()),
                words::amounts(quota.limits().iter())
            ));
            out.persist(Operation::PutQuota(role.clone(), quota.clone()));
            quotas.insert_mut(role.clone(), Arc::new(quota.clone()));
        }
        let event = allocator::Event::QuotaSet { role: role.clone(), quota };
        self.allocator.handle(event, out.now.monotonic);
    }

    /// What counts against the role's quota.
    fn consumed(&mut self, role: &Role) -> Quantities {
        let view = self.allocator.role_view();
        view.get(role).map(|facts| facts.consumed.clone()).unwrap_or_default()
    }

    fn offered(&mut self, role: &Role) -> Quantities {
        let view = self.allocator.role_view();
        view.get(role).map(|facts| facts.offered.clone()).unwrap_or_default()
    }

    /// What all roles together would be promised. Nested roles have no quota of their own.
    fn guaranteed_with(&self, wanted: &BTreeMap<Role, Quota>) -> Quantities {
        let mut sum = Quantities::default();
        let kept =
            self.state.settings.quotas.iter().filter(|(role, _)| !wanted.contains_key(*role));
        for quota in kept.map(|(_, quota)| quota.as_ref()).chain(wanted.values()) {
            sum.add_all(quota.guarantees());
        }
        sum
    }

    /// What registered agents have, connected or not, of what cannot be taken back.
    fn capacity(&self) -> Quantities {
        let mut sum = Quantities::default();
        for agent in self.state.agents.values() {
            let lasting = agent.total.filter(|resource| !resource.revocable);
            sum.add_all(&lasting.scalar_quantities());
        }
        sum
    }

    /// Takes offers back so that the quota can be kept: first from the role itself until it is
    /// within its limits, then from others until the guarantees could be met.
    fn rescind_for_quota(&mut self, role: &Role, quota: &Quota, out: &mut Out) {
        let in_role = |offer: &Offer| offer.role == *role || role.is_ancestor_of(&offer.role);
        // What is reserved and offered counts twice, so that too much is taken back, if anything.
        let mut held = self.consumed(role);
        held.add_all(&self.offered(role));
        let exceeds = !quota.limits().admit(&held);
        let own = self.state.offers.values().filter(|offer| exceeds && in_role(offer));
        let offers: Vec<_> = own.cloned().collect();
        for offer in offers {
            if quota.limits().admit(&held) {
                break;
            }
            held.subtract_all(&lasting(&offer));
            self.rescind(&offer.id, out);
        }
        if held.contains(quota.guarantees()) {
            return;
        }
        let agents: Vec<_> = self.state.agents.values().cloned().collect();
        for agent in agents {
            for id in agent.offers.iter() {
                if held.contains(quota.guarantees()) {
                    return;
                }
                let Some(offer) = self.state.offers.get(id).cloned() else { continue };
                if !in_role(&offer) {
                    held.add_all(&lasting(&offer));
                    self.rescind(id, out);
                }
            }
        }
    }

    /// Takes back all offers of agent after agent until enough is free, on at least as many agents
    /// as the role has frameworks.
    fn rescind_for_request(&mut self, role: &Role, guarantees: &Quantities, out: &mut Out) {
        let served = |f: &Arc<crate::engine::state::Framework>| {
            f.is_connected() && f.active && f.roles.contains(role)
        };
        let frameworks = self.state.frameworks.values().filter(|f| served(f)).count();
        let (mut freed, mut visited) = (Quantities::default(), 0);
        let agents: Vec<_> = self.state.agents.values().filter(|a| a.active).cloned().collect();
        for agent in agents {
            if freed.contains(guarantees) && visited >= frameworks {
                break;
            }
            if agent.offers.is_empty() {
                continue;
            }
            for id in agent.offers.iter() {
                if let Some(offer) = self.state.offers.get(id).cloned() {
                    freed.add_all(&lasting(&offer));
                    self.rescind(id, out);
                }
            }
            visited += 1;
        }
    }
}

/// What of an offer can count against a quota.
fn lasting(offer: &Offer) -> Quantities {
    offer.resources.filter(|resource: &Resource| !resource.revocable).scalar_quantities()
}
