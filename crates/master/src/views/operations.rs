//! GET_OPERATIONS

use wire::v1;
use wire::v1::master::response::GetOperations;

use super::View;
use crate::engine::state::Operation;

impl View<'_> {
    /// GET_OPERATIONS: those on resources of roles that are seen.
    #[must_use]
    pub fn get_operations(&self) -> GetOperations {
        let seen = self.snapshot.operations.values().filter(|operation| self.sees(operation));
        GetOperations { operations: seen.map(|operation| operation.info.clone()).collect() }
    }

    fn sees(&self, operation: &Operation) -> bool {
        self.sight.everything() || {
            let mut resources = operation.resources();
            resources.all(|resource| self.sees_resource(resource))
        }
    }

    fn sees_resource(&self, resource: &v1::Resource) -> bool {
        let allocation = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref());
        let reservations = resource.reservations.iter().filter_map(|r| r.role.as_deref());
        allocation.into_iter().chain(reservations).all(|role| self.sight.role(role))
    }
}
