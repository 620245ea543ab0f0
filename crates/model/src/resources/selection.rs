//! Parts of collections.

use super::{Resource, Resources, Value};
use crate::role::Role;

impl Resources {
    /// What nobody has reserved.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(Resource::is_unreserved)
    }

    /// What is reserved, for whomever.
    #[must_use]
    pub fn reserved(&self) -> Self {
        self.filter(|resource| !resource.is_unreserved())
    }

    /// What is reserved to `role` itself.
    #[must_use]
    pub fn reserved_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.reserved_to() == Some(role))
    }

    /// What may be offered to `role`.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.is_allocatable_to(role))
    }

    /// What may be taken back at any time.
    #[must_use]
    pub fn revocable(&self) -> Self {
        self.filter(|resource| resource.revocable)
    }

    /// What is not taken back at any time.
    #[must_use]
    pub fn non_revocable(&self) -> Self {
        self.filter(|resource| !resource.revocable)
    }

    /// What several tasks may use at once.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.filter(|resource| resource.shared)
    }

    /// What one task at a time may use.
    #[must_use]
    pub fn non_shared(&self) -> Self {
        self.filter(|resource| !resource.shared)
    }

    /// The persistent volumes.
    #[must_use]
    pub fn persistent_volumes(&self) -> Self {
        self.filter(Resource::is_persistent_volume)
    }

    /// What is a number of units.
    #[must_use]
    pub fn scalars(&self) -> Self {
        self.filter(|resource| matches!(resource.value, Value::Scalar(_)))
    }

    /// What an agent must remember over restarts (see [`Resource::needs_checkpointing`]).
    #[must_use]
    pub fn checkpointed(&self) -> Self {
        self.filter(Resource::needs_checkpointing)
    }

    /// What the provider `id` has, or what is the agent's own.
    #[must_use]
    pub fn of_provider(&self, id: Option<&str>) -> Self {
        self.filter(|resource| resource.provider.as_deref() == id)
    }

    /// The same with all reservations taken off.
    #[must_use]
    pub fn to_unreserved(&self) -> Self {
        self.iter()
            .map(|resource| {
                if resource.is_unreserved() {
                    resource.clone()
                } else {
                    resource.with(|traits| traits.reservations.clear())
                }
            })
            .collect()
    }

    /// The same, each copy of a shared resource but one left out.
    #[must_use]
    pub fn without_further_copies(&self) -> Self {
        self.iter()
            .cloned()
            .map(|mut resource| {
                resource.copies = 1;
                resource
            })
            .collect()
    }
}
