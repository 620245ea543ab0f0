//! What operators have set: quotas, weights, the maintenance schedule; and the registry, which is
//! that and the agents.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::machine::Machine;
use registry::{MachineMode, Orders};
use wire::internal::{self, registry as stored};
use wire::json::Style;
use wire::resources::{Form, read, write};
use wire::v1;
use wire::v1::maintenance::{ClusterStatus, Schedule, cluster_status};
use wire::v1::quota::QuotaStatus;

use super::View;
use super::state::time_info;
use crate::engine::state::Agent;
use crate::engine::state::settings::{quota_config, quota_info};

impl View<'_> {
    /// `/quota` and GET_QUOTA.
    #[must_use]
    #[expect(deprecated, reason = "operators' tools still read the older form")]
    pub fn quota_status(&self) -> QuotaStatus {
        let quotas = self.snapshot.settings.quotas.iter();
        let mut status = QuotaStatus::default();
        for (role, quota) in quotas.filter(|(role, _)| self.sight.role(role.as_str())) {
            status.infos.push(quota_info(role, quota));
            status.configs.push(quota_config(role, quota));
        }
        status
    }

    /// `/weights` and GET_WEIGHTS.
    #[must_use]
    pub fn weights(&self) -> Vec<v1::WeightInfo> {
        let weights = self.snapshot.settings.weights.iter();
        weights
            .filter(|(role, _)| self.sight.role(role.as_str()))
            .map(|(role, weight)| v1::WeightInfo {
                role: Some(role.to_string()),
                weight: weight.as_f64(),
            })
            .collect()
    }

    /// `/maintenance/schedule` and GET_MAINTENANCE_SCHEDULE.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let mut schedule = self.snapshot.settings.schedule();
        for window in &mut schedule.windows {
            window.machine_ids.retain(|id| self.sight.machine(id));
        }
        schedule.windows.retain(|window| !window.machine_ids.is_empty());
        schedule
    }

    /// `/maintenance/status` and GET_MAINTENANCE_STATUS.
    #[must_use]
    pub fn maintenance_status(&self) -> ClusterStatus {
        let mut status = ClusterStatus::default();
        let mut agents: BTreeMap<Machine, Vec<&Arc<Agent>>> = BTreeMap::new();
        for agent in self.snapshot.agents.values().filter(|a| !a.inverse_answers.is_empty()) {
            if let Some(machine) = agent.machine() {
                agents.entry(machine).or_default().push(agent);
            }
        }
        let machines = self.snapshot.settings.machines.values();
        for record in machines.filter(|record| self.sight.machine(&record.posted)) {
            let id = record.posted.clone();
            match record.mode {
                MachineMode::Down => status.down_machines.push(id),
                MachineMode::Draining => {
                    let there = agents.get(&record.machine).into_iter().flatten();
                    let statuses =
                        there.flat_map(|agent| agent.inverse_answers.values().cloned()).collect();
                    let machine = cluster_status::DrainingMachine { id, statuses };
                    status.draining_machines.push(machine);
                }
            }
        }
        status
    }

    /// `/registrar(1)/registry`: what the registry holds. The snapshot is published only after what
    /// it holds is written, so that it says so much and no more.
    #[must_use]
    pub fn registry(&self) -> Vec<u8> {
        let mut json = Vec::new();
        wire::json::write(&self.registry_message(), Style::V0, &mut json);
        json
    }

    fn registry_message(&self) -> internal::Registry {
        let snapshot = self.snapshot;
        let settings = &snapshot.settings;
        let registered = snapshot.agents.values().map(|a| (&a.info, &a.orders));
        let recovered = snapshot.recovered_agents.values().map(|a| (&a.info, &a.orders));
        let mut slaves: Vec<_> =
            registered.chain(recovered).map(|(info, orders)| slave(info, orders)).collect();
        let id = |slave: &stored::Slave| slave.info.id.clone().map(|id| id.value);
        slaves.sort_by_key(id);
        let drains = |orders: &Orders| orders.deactivated || orders.drain.is_some();
        let all_orders = registered_orders(snapshot);
        let mut capabilities = Vec::new();
        if all_orders.into_iter().any(drains) {
            capabilities.push("AGENT_DRAINING");
        }
        if !settings.quotas.is_empty() {
            capabilities.push("QUOTA_V2");
        }
        let schedule = settings.schedule();
        internal::Registry {
            master: Some(stored::Master { info: (*snapshot.master).clone() }),
            slaves: Some(stored::Slaves { slaves }),
            unreachable: (!snapshot.unreachable_agents.is_empty()).then(|| {
                let slaves = snapshot.unreachable_agents.iter().map(|(id, agent)| {
                    stored::UnreachableSlave {
                        id: v1::AgentId { value: id.to_string() },
                        timestamp: time_info(agent.since),
                        drain_info: agent.orders.drain,
                        deactivated: agent.orders.deactivated.then_some(true),
                    }
                });
                stored::UnreachableSlaves { slaves: slaves.collect() }
            }),
            gone: (!snapshot.gone_agents.is_empty()).then(|| {
                let slaves = snapshot.gone_agents.iter().map(|(id, agent)| stored::GoneSlave {
                    id: v1::AgentId { value: id.to_string() },
                    timestamp: time_info(agent.since),
                });
                stored::GoneSlaves { slaves: slaves.collect() }
            }),
            machines: (!settings.machines.is_empty()).then(|| {
                let machines = settings.machines.values().map(|record| stored::Machine {
                    info: v1::MachineInfo {
                        id: record.posted.clone(),
                        mode: Some(match record.mode {
                            MachineMode::Draining => v1::machine_info::Mode::Draining.into(),
                            MachineMode::Down => v1::machine_info::Mode::Down.into(),
                        }),
                        unavailability: Some(record.unavailability),
                    },
                });
                stored::Machines { machines: machines.collect() }
            }),
            schedules: if schedule.windows.is_empty() { Vec::new() } else { vec![schedule] },
            quota_configs: settings.quotas.iter().map(|(role, q)| quota_config(role, q)).collect(),
            weights: settings
                .weights
                .iter()
                .map(|(role, weight)| stored::Weight {
                    info: v1::WeightInfo { role: Some(role.to_string()), weight: weight.as_f64() },
                })
                .collect(),
            minimum_capabilities: capabilities
                .into_iter()
                .map(|name| stored::MinimumCapability { capability: name.to_owned() })
                .collect(),
            ..internal::Registry::default()
        }
    }
}

fn registered_orders(snapshot: &crate::engine::state::Snapshot) -> Vec<&Orders> {
    let registered = snapshot.agents.values().map(|agent| &agent.orders);
    let recovered = snapshot.recovered_agents.values().map(|agent| &agent.orders);
    let unreachable = snapshot.unreachable_agents.values().map(|agent| &agent.orders);
    registered.chain(recovered).chain(unreachable).collect()
}

/// An agent as the registry has it: resources in the form before reservation refinement.
fn slave(info: &v1::AgentInfo, orders: &Orders) -> stored::Slave {
    let mut info = info.clone();
    if let Ok(resources) = read(&info.resources) {
        info.resources = write(&resources, Form::PreRefinement);
    }
    stored::Slave {
        info,
        drain_info: orders.drain,
        deactivated: orders.deactivated.then_some(true),
    }
}
