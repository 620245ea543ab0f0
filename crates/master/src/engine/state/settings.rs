//! What operators have set.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::machine::Machine;
use model::quota::Quota;
use model::resources::Scalar;
use model::role::Role;
use model::weight::Weight;
use registry::{MachineMode, MachineRecord};
use wire::v1;

use super::Agent;
use crate::engine::collections::Map;

/// Quotas, weights, and when machines are not available: what the registry has of them; and
/// two flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Roles with a quota; none of these is the default.
    pub quotas: Map<Role, Arc<Quota>>,
    /// Roles whose weight was set.
    pub weights: Map<Role, Weight>,
    /// Machines for which something is scheduled, or that are down.
    pub machines: Map<Machine, Arc<MachineRecord>>,
    /// The roles that frameworks may have, by the flag `--roles`; `None` allows all.
    pub allowed_roles: Option<Arc<BTreeSet<Role>>>,
    /// Resources that do not count for shares, by the flag
    /// `--fair_sharing_excluded_resource_names`.
    pub unshared_names: Arc<BTreeSet<String>>,
}

impl Settings {
    /// What is scheduled for the machine with this host name and address; `None` if nothing is.
    #[must_use]
    pub fn machine_of(
        &self,
        hostname: &str,
        ip: Ipv4Addr,
    ) -> Option<(MachineMode, &v1::Unavailability)> {
        let machine = Machine::new(hostname, &ip.to_string()).ok()?;
        self.machines.get(&machine).map(|record| (record.mode, &record.unavailability))
    }

    /// The schedule: windows in their order, in each the machines in theirs.
    #[must_use]
    pub fn schedule(&self) -> v1::maintenance::Schedule {
        let mut records: Vec<_> = self.machines.values().collect();
        records.sort_by_key(|record| (record.window, record.place));
        let mut windows: Vec<(u32, v1::maintenance::Window)> = Vec::new();
        for record in records {
            let posted = record.posted.clone();
            match windows.last_mut() {
                Some((number, window)) if *number == record.window => {
                    window.machine_ids.push(posted);
                }
                _ => {
                    let unavailability = record.unavailability;
                    let window =
                        v1::maintenance::Window { machine_ids: vec![posted], unavailability };
                    windows.push((record.window, window));
                }
            }
        }
        v1::maintenance::Schedule { windows: windows.into_iter().map(|(_, w)| w).collect() }
    }
}

impl Agent {
    /// The machine that it runs on: its host name and the address of its libprocess. `None` if
    /// that is no name of a machine, and then nothing can be scheduled for it.
    #[must_use]
    pub fn machine(&self) -> Option<Machine> {
        let ip = self.peer.pid.address.ip().to_string();
        Machine::new(&self.info.hostname, &ip).ok()
    }
}

/// A quota in its older form, as readers are still shown it.
#[must_use]
pub fn quota_info(role: &Role, quota: &Quota) -> v1::quota::QuotaInfo {
    let resource = |(name, amount): (&str, Scalar)| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value: amount.as_f64() }),
        ..v1::Resource::default()
    };
    v1::quota::QuotaInfo {
        role: Some(role.to_string()),
        principal: None,
        guarantee: quota.guarantees().iter().map(resource).collect(),
    }
}

/// A quota as readers are shown it.
#[must_use]
pub fn quota_config(role: &Role, quota: &Quota) -> v1::quota::QuotaConfig {
    let entry = |(name, amount): (&str, Scalar)| {
        (name.to_owned(), v1::value::Scalar { value: amount.as_f64() })
    };
    v1::quota::QuotaConfig {
        role: role.to_string(),
        guarantees: quota.guarantees().iter().map(entry).collect(),
        limits: quota.limits().iter().map(entry).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hostname: &str, window: u32, place: u32, start: i64) -> Arc<MachineRecord> {
        let posted = v1::MachineId { hostname: Some(hostname.to_owned()), ip: None };
        Arc::new(MachineRecord {
            machine: Machine::new(hostname, "").unwrap(),
            posted,
            mode: MachineMode::Draining,
            unavailability: v1::Unavailability {
                start: v1::TimeInfo { nanoseconds: start },
                duration: None,
            },
            window,
            place,
        })
    }

    #[test]
    fn a_schedule_is_put_together_again_as_it_was_posted() {
        let mut settings = Settings::default();
        for record in [record("C", 1, 0, 5), record("A", 0, 1, 5), record("B", 0, 0, 5)] {
            settings.machines.insert_mut(record.machine.clone(), record);
        }
        let windows = settings.schedule().windows;
        let names: Vec<Vec<_>> = windows
            .iter()
            .map(|window| window.machine_ids.iter().map(v1::MachineId::hostname).collect())
            .collect();
        assert_eq!(names, [vec!["B", "A"], vec!["C"]]);
        // An agent's machine has an address; the one posted has none.
        assert_eq!(settings.machine_of("c", Ipv4Addr::LOCALHOST), None);
    }
}
