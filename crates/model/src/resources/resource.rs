//! One resource: what it is and how much of it.

use std::fmt;
use std::sync::Arc;

use super::Value;
use crate::role::Role;

/// Keys with optional values, in order.
pub type Labels = Vec<(String, Option<String>)>;

/// How a reservation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKind {
    /// By a framework or an operator, while the agent runs.
    Dynamic,
    /// By the agent's own configuration.
    Static,
}

/// One layer of a stack of reservations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reservation {
    /// How it came about.
    pub kind: ReservationKind,
    /// For whom.
    pub role: Role,
    /// Who made it.
    pub principal: Option<String>,
    /// What its maker wrote on it; the wire tells no labels from an empty list.
    pub labels: Option<Labels>,
}

/// Bytes whose meaning only the wire knows; compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque(pub Arc<[u8]>);

/// The persistent volume on a disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// Unique per role and agent.
    pub id: String,
    /// Who created it.
    pub principal: Option<String>,
}

/// Which disk a disk resource is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disk {
    /// The volume on it, if there is one.
    pub persistence: Option<Persistence>,
    /// Where the volume appears in containers.
    pub volume: Option<Opaque>,
    /// The device or directory it comes from; `None` is the agent's work directory.
    pub source: Option<Opaque>,
    /// Whether the source can be used only as a whole (MOUNT, BLOCK and RAW disks).
    pub whole: bool,
}

/// A resource and its amount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// `cpus`, `mem`, `ports`, …
    pub name: Arc<str>,
    /// How much of it.
    pub value: Value,
    /// Who it is reserved to, outermost first; empty if to nobody. Each role lies beneath the
    /// one before.
    pub reservations: Vec<Reservation>,
    /// The role to which it is offered or allocated, once it is.
    pub allocation: Option<Role>,
    /// Which disk it is, unless it is plain disk space or no disk.
    pub disk: Option<Arc<Disk>>,
    /// Whether it may be taken back at any time.
    pub revocable: bool,
    /// Whether several tasks may use it at once.
    pub shared: bool,
    /// The provider that it comes from, unless from the agent itself.
    pub provider: Option<Arc<str>>,
}

impl Resource {
    /// An unreserved, unallocated resource of the agent itself.
    #[must_use]
    pub fn new(name: &str, value: Value) -> Self {
        Self {
            name: name.into(),
            value,
            reservations: Vec::new(),
            allocation: None,
            disk: None,
            revocable: false,
            shared: false,
            provider: None,
        }
    }

    /// Whether nobody has reserved it.
    #[must_use]
    pub fn is_unreserved(&self) -> bool {
        self.reservations.is_empty()
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

    /// Whether it can only be given or taken as a whole.
    #[must_use]
    pub fn is_indivisible(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.whole || disk.persistence.is_some())
    }

    /// Whether the two are the same but for their amount.
    #[must_use]
    pub fn same_kind(&self, other: &Self) -> bool {
        self.name == other.name
            && self.value.same_type(&other.value)
            && self.revocable == other.revocable
            && self.shared == other.shared
            && self.allocation == other.allocation
            && self.reservations == other.reservations
            && self.disk == other.disk
            && self.provider == other.provider
    }

    /// The resource as its agent's configuration states it: without dynamic reservations and
    /// without the volume on it.
    #[must_use]
    pub fn stripped(&self) -> Self {
        let mut stripped = self.clone();
        stripped.reservations.retain(|r| r.kind == ReservationKind::Static);
        stripped.shared = false;
        stripped.disk = stripped.disk.and_then(|disk| {
            disk.source.is_some().then(|| {
                Arc::new(Disk { persistence: None, volume: None, ..disk.as_ref().clone() })
            })
        });
        stripped
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
                f.write_str(")")?;
            }
            f.write_str("])")?;
        }
        if let Some(persistence) = self.disk.as_ref().and_then(|disk| disk.persistence.as_ref()) {
            write!(f, "[{}]", persistence.id)?;
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
