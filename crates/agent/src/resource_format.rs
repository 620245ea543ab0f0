//! The two forms that a resource has on the wire and on disk (`master-agent-protocol.md` §11).
//!
//! Inside the agent resources are canonical: a stack of `reservations`, empty for what nobody
//! reserved. What the agent tells a master, and what it checkpoints, is in the older form, where
//! `role` names the one reservation and unreserved is `*`. Both are accepted from outside.

#![expect(deprecated, reason = "the older form is what this module is about")]

use wire::v1::resource::{ReservationInfo, reservation_info};
use wire::v1::{ExecutorInfo, Resource, Task, TaskInfo};

const UNRESERVED: &str = "*";

/// Something that holds resources.
pub trait HoldsResources {
    /// Calls `change` on each of them.
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource));
}

impl HoldsResources for Resource {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        change(self);
    }
}

impl<T: HoldsResources> HoldsResources for Vec<T> {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.iter_mut().for_each(|item| item.each_resource(change));
    }
}

impl<T: HoldsResources> HoldsResources for Option<T> {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        if let Some(item) = self {
            item.each_resource(change);
        }
    }
}

impl HoldsResources for ExecutorInfo {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.resources.each_resource(change);
    }
}

impl HoldsResources for Task {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.resources.each_resource(change);
    }
}

impl HoldsResources for TaskInfo {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.resources.each_resource(change);
        self.executor.each_resource(change);
    }
}

impl HoldsResources for wire::v1::AgentInfo {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.resources.each_resource(change);
    }
}

impl HoldsResources for wire::v1::offer::Operation {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        if let Some(reserve) = &mut self.reserve {
            reserve.source.each_resource(change);
            reserve.resources.each_resource(change);
        }
        if let Some(unreserve) = &mut self.unreserve {
            unreserve.resources.each_resource(change);
        }
        if let Some(create) = &mut self.create {
            create.volumes.each_resource(change);
        }
        if let Some(destroy) = &mut self.destroy {
            destroy.volumes.each_resource(change);
        }
        if let Some(grow) = &mut self.grow_volume {
            grow.volume.each_resource(change);
            grow.addition.each_resource(change);
        }
        if let Some(shrink) = &mut self.shrink_volume {
            shrink.volume.each_resource(change);
        }
        if let Some(create) = &mut self.create_disk {
            create.source.each_resource(change);
        }
        if let Some(destroy) = &mut self.destroy_disk {
            destroy.source.each_resource(change);
        }
    }
}

impl HoldsResources for wire::v1::OperationStatus {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.converted_resources.each_resource(change);
    }
}

impl HoldsResources for wire::v1::Operation {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.info.each_resource(change);
        self.latest_status.each_resource(change);
        self.statuses.each_resource(change);
    }
}

impl HoldsResources for wire::internal::UpdateOperationStatusMessage {
    fn each_resource(&mut self, change: &mut dyn FnMut(&mut Resource)) {
        self.status.each_resource(change);
        self.latest_status.each_resource(change);
    }
}

/// Brings everything into the canonical form.
pub fn upgrade<T: HoldsResources>(mut holder: T) -> T {
    holder.each_resource(&mut upgrade_one);
    holder
}

/// Brings everything into the older form. A refined reservation (two or more on the stack) has
/// no older form and stays as it is, which every receiver that can hold one understands.
pub fn downgrade<T: HoldsResources>(mut holder: T) -> T {
    holder.each_resource(&mut downgrade_one);
    holder
}

fn upgrade_one(resource: &mut Resource) {
    let role = resource.role.take();
    let reservation = resource.reservation.take();
    if !resource.reservations.is_empty() {
        return;
    }
    if let Some(role) = role.filter(|role| role != UNRESERVED) {
        let kind = if reservation.is_some() {
            reservation_info::Type::Dynamic
        } else {
            reservation_info::Type::Static
        };
        let mut info = reservation.unwrap_or_default();
        info.r#type = Some(kind.into());
        info.role = Some(role);
        resource.reservations.push(info);
    }
}

fn downgrade_one(resource: &mut Resource) {
    match &resource.reservations[..] {
        [] => {
            resource.role.get_or_insert_with(|| UNRESERVED.to_owned());
        }
        [one] => {
            let dynamic = one.r#type() == reservation_info::Type::Dynamic;
            resource.role = Some(one.role.clone().unwrap_or_else(|| UNRESERVED.to_owned()));
            resource.reservation = dynamic.then(|| ReservationInfo {
                r#type: None,
                role: None,
                principal: one.principal.clone(),
                labels: one.labels.clone(),
            });
            resource.reservations.clear();
        }
        _ => {}
    }
}

/// Whether the agent must have checkpointed this resource before anything may use it: it was
/// reserved at run time, or it is a persistent volume.
#[must_use]
pub fn needs_checkpoint(resource: &Resource) -> bool {
    let dynamic = |r: &ReservationInfo| r.r#type() == reservation_info::Type::Dynamic;
    resource.reservation.is_some()
        || resource.reservations.iter().any(dynamic)
        || resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(role: Option<&str>) -> Resource {
        Resource { name: "cpus".into(), role: role.map(str::to_owned), ..Default::default() }
    }

    #[test]
    fn unreserved_resources_lose_and_regain_the_star() {
        let canonical = upgrade(resource(Some("*")));
        assert_eq!(canonical, resource(None));
        assert_eq!(downgrade(canonical), resource(Some("*")));
    }

    #[test]
    fn a_role_without_reservation_is_a_static_one() {
        let canonical = upgrade(resource(Some("ops")));
        assert_eq!(canonical.reservations.len(), 1);
        assert_eq!(canonical.reservations[0].r#type(), reservation_info::Type::Static);
        assert!(!needs_checkpoint(&canonical));
        assert_eq!(downgrade(canonical), resource(Some("ops")));
    }

    #[test]
    fn a_dynamic_reservation_keeps_its_principal_both_ways() {
        let mut old = resource(Some("ops"));
        old.reservation =
            Some(ReservationInfo { principal: Some("p".into()), ..Default::default() });
        let canonical = upgrade(old.clone());
        assert!(needs_checkpoint(&canonical));
        assert_eq!(downgrade(canonical), old);
    }

    #[test]
    fn a_refined_reservation_has_no_older_form() {
        let mut refined = resource(None);
        refined.reservations = vec![ReservationInfo::default(), ReservationInfo::default()];
        assert_eq!(downgrade(refined.clone()), refined);
    }
}
