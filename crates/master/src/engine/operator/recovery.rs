//! What operators had set before this master led.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::machine::Machine;
use model::quota::Quota;
use model::role::Role;
use model::weight::Weight;
use registry::{MachineRecord, Operation};

use crate::engine::Engine;
use crate::engine::out::Out;

impl Engine {
    /// Enters what the registry has. The weights of the flag count only if it has none.
    pub(in crate::engine) fn recover_settings(
        &mut self,
        quotas: BTreeMap<Role, Quota>,
        mut weights: BTreeMap<Role, Weight>,
        machines: BTreeMap<Machine, MachineRecord>,
        out: &mut Out,
    ) {
        let now = out.now.monotonic;
        let flag = std::mem::take(&mut self.config.weights);
        if weights.is_empty() {
            for (role, weight) in &flag {
                out.persist(Operation::PutWeight(role.clone(), *weight));
            }
            weights = flag;
        } else if !flag.is_empty() {
            out.warn("Ignoring --weights: the registry has weights".to_owned());
        }
        let settings = &mut self.state.settings;
        settings.allowed_roles = self.config.roles.clone().map(Arc::new);
        settings.unshared_names =
            Arc::new(self.config.fair_sharing_excluded_resource_names.clone());
        for (role, weight) in &weights {
            settings.weights.insert_mut(role.clone(), *weight);
        }
        if !weights.is_empty() {
            self.allocator.handle(allocator::Event::WeightsSet(weights), now);
        }
        for (role, quota) in quotas {
            let settings = &mut self.state.settings;
            settings.quotas.insert_mut(role.clone(), Arc::new(quota.clone()));
            self.allocator.handle(allocator::Event::QuotaSet { role, quota }, now);
        }
        for (machine, record) in machines {
            self.state.settings.machines.insert_mut(machine, Arc::new(record));
        }
    }

    /// With quotas on record nothing is offered until most of the agents on record are there, or
    /// the time is over: otherwise the first agents would all go to whoever asks first.
    pub(in crate::engine) fn pause_for_quotas(&mut self, out: &mut Out) {
        if self.state.settings.quotas.is_empty() {
            return;
        }
        let share = self.config.allocator_agent_recovery_factor.clamp(0.0, 1.0);
        let expected = (self.recovered_at_start as f64 * share).floor();
        // Not negative, and no more than there were.
        let expected_agents = expected as usize;
        if expected_agents == 0 {
            return;
        }
        let at_most = self.config.allocator_recovery_timeout;
        out.info(format!(
            "Quotas are on record: nothing is offered until {expected_agents} agents are there, \
             or for {at_most:?}"
        ));
        let event = allocator::Event::Paused { expected_agents, at_most };
        self.allocator.handle(event, out.now.monotonic);
    }
}
