//! One resource: what it is and how much of it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{Kind, Reservation, ReservationKind, Traits, Value};
use crate::role::Role;

/// A resource and its amount. It dereferences to its [`Traits`].
///
/// Equality is the original's: kind and amount, not how many copies of a shared one.
#[derive(Clone)]
pub struct Resource {
    kind: Kind,
    /// How much of it.
    pub value: Value,
    /// How many copies of a shared resource; 1 of any other.
    pub(super) copies: u32,
}

impl Resource {
    /// An unreserved, unallocated resource of the agent itself.
    #[must_use]
    pub fn new(name: &str, value: Value) -> Self {
        Self::of(Traits::new(name), value)
    }

    /// A resource with these traits.
    #[must_use]
    pub fn of(traits: Traits, value: Value) -> Self {
        Self { kind: Kind::new(traits, value.value_type()), value, copies: 1 }
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// How many copies of a shared resource this is; 1 of any other.
    #[must_use]
    pub const fn copies(&self) -> u32 {
        self.copies
    }

    /// The same amount of what `change` makes of its traits.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Traits)) -> Self {
        let mut traits = (*self.kind).clone();
        change(&mut traits);
        let kind = Kind::new(traits, self.kind.value_type());
        let copies = if kind.shared { self.copies } else { 1 };
        Self { kind, value: self.value.clone(), copies }
    }

    /// As much of the same as `value` says. A value of another type makes another kind.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        if value.value_type() == self.kind.value_type() {
            Self { kind: self.kind.clone(), value, copies: self.copies }
        } else {
            Self::of((*self.kind).clone(), value)
        }
    }

    /// The same, allocated to `role`.
    #[must_use]
    pub fn allocated_to(&self, role: &Role) -> Self {
        Self { kind: self.kind.allocated_to(role), value: self.value.clone(), copies: self.copies }
    }

    /// The same, allocated to nobody.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        Self {
            kind: self.kind.unallocated().clone(),
            value: self.value.clone(),
            copies: self.copies,
        }
    }

    /// The same with one more layer of reservation.
    #[must_use]
    pub fn push_reservation(&self, reservation: Reservation) -> Self {
        self.with(|traits| traits.reservations.push(reservation))
    }

    /// The same without its innermost reservation.
    #[must_use]
    pub fn pop_reservation(&self) -> Self {
        self.with(|traits| {
            traits.reservations.pop();
        })
    }

    /// Whether nobody has reserved it.
    #[must_use]
    pub fn is_unreserved(&self) -> bool {
        self.reservations.is_empty()
    }

    /// Whether its innermost reservation was made while the agent ran.
    #[must_use]
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations.last().is_some_and(|r| r.kind == ReservationKind::Dynamic)
    }

    /// Whether its reservation has been refined: there are two layers or more.
    #[must_use]
    pub fn has_refined_reservations(&self) -> bool {
        self.reservations.len() > 1
    }

    /// The role it is reserved to, all refinements considered.
    #[must_use]
    pub fn reserved_to(&self) -> Option<&Role> {
        self.reservations.last().map(|reservation| &reservation.role)
    }

    /// Whether it may be offered to `role`: it is unreserved, or reserved to `role` or to an
    /// ancestor of it.
    #[must_use]
    pub fn is_allocatable_to(&self, role: &Role) -> bool {
        self.reserved_to().is_none_or(|owner| owner == role || owner.is_ancestor_of(role))
    }

    /// Whether it is a persistent volume.
    #[must_use]
    pub fn is_persistent_volume(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
    }

    /// The identity of the persistent volume that it is.
    #[must_use]
    pub fn persistence_id(&self) -> Option<&str> {
        self.disk.as_ref()?.persistence.as_ref().map(|persistence| &*persistence.id)
    }

    /// Whether an agent must remember it over restarts: it was reserved dynamically or is a
    /// volume, and is the agent's own.
    #[must_use]
    pub fn needs_checkpointing(&self) -> bool {
        self.provider.is_none() && (self.is_dynamically_reserved() || self.is_persistent_volume())
    }

    /// Whether it can only be given or taken as a whole.
    #[must_use]
    pub fn is_indivisible(&self) -> bool {
        self.kind.is_indivisible()
    }

    /// Whether the two are the same but for their amount.
    #[must_use]
    pub fn same_kind(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    /// Whether arithmetic takes only the whole of it: a volume, an indivisible disk, a copy of
    /// something shared.
    pub(super) fn is_taken_whole(&self) -> bool {
        self.kind.is_indivisible() || self.kind.shared
    }

    /// The resource as its agent's configuration states it: without dynamic reservations and
    /// without the volume on it.
    #[must_use]
    pub fn stripped(&self) -> Self {
        self.with(|traits| {
            traits.reservations.retain(|r| r.kind == ReservationKind::Static);
            strip_volume(traits);
        })
    }

    /// The disk space on which the volume lies that this is.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        self.with(strip_volume)
    }
}

fn strip_volume(traits: &mut Traits) {
    traits.shared = false;
    traits.disk = traits.disk.take().and_then(|disk| disk.without_volume()).map(Arc::new);
}

impl Deref for Resource {
    type Target = Traits;
    fn deref(&self) -> &Traits {
        &self.kind
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.value == other.value
    }
}

impl Eq for Resource {}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Resource {
    /// The original's form for logs and error texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(role) = &self.allocation {
            write!(f, "(allocated: {role})")?;
        }
        if !self.reservations.is_empty() {
            f.write_str("(reservations: [")?;
            for (i, reservation) in self.reservations.iter().enumerate() {
                let kind = match reservation.kind {
                    ReservationKind::Dynamic => "DYNAMIC",
                    ReservationKind::Static => "STATIC",
                };
                let separator = if i == 0 { "" } else { "," };
                write!(f, "{separator}({kind},{}", reservation.role)?;
                if let Some(principal) = &reservation.principal {
                    write!(f, ",{principal}")?;
                }
                if let Some(labels) = &reservation.labels {
                    f.write_str(",{")?;
                    for (i, (key, value)) in labels.iter().enumerate() {
                        let separator = if i == 0 { "" } else { ", " };
                        write!(f, "{separator}{key}")?;
                        if let Some(value) = value {
                            write!(f, ": {value}")?;
                        }
                    }
                    f.write_str("}")?;
                }
                f.write_str(")")?;
            }
            f.write_str("])")?;
        }
        if let Some(disk) = &self.disk {
            write!(f, "[{disk}]")?;
        }
        if self.revocable {
            f.write_str("{REV}")?;
        }
        if self.shared {
            f.write_str("<SHARED>")?;
        }
        write!(f, ":{}", self.value)
    }
}
