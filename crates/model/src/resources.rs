//! Resources and their arithmetic: what agents have, offers carry and tasks use.
//!
//! Amounts are exact: scalars count thousandths, ranges count integers, sets count names. What a
//! resource *is* (its name, who it is reserved to, which disk it is) never changes by arithmetic;
//! only resources that are the same but for their amount are added together.

mod collection;
mod quantities;
mod ranges;
mod resource;
mod scalar;
mod text;
mod value;

pub use collection::Resources;
pub use quantities::{MinAllocatable, Quantities};
pub use ranges::Ranges;
pub use resource::{Disk, Labels, Opaque, Persistence, Reservation, ReservationKind, Resource};
pub use scalar::Scalar;
pub use text::parse;
pub use value::Value;

/// Why something is not a resource. The texts that the original has are the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The name is empty.
    #[error("Empty resource name")]
    EmptyName,
    /// A scalar below zero.
    #[error("Invalid scalar resource: value < 0")]
    NegativeScalar,
    /// A scalar that is NaN or infinite.
    #[error("Invalid scalar resource: value is not finite")]
    NotFinite,
    /// A scalar above [`Scalar::MAX`].
    #[error("Invalid scalar resource: value > {}", Scalar::MAX)]
    TooLarge,
    /// A range that ends before it begins.
    #[error("Invalid ranges resource: begin > end")]
    BackwardRange,
    /// A set that names an item twice.
    #[error("Invalid set resource: duplicated elements")]
    DuplicateItem,
    /// The value has another type than the resource says, or none.
    #[error("Invalid resource '{0}': value does not match its type")]
    ValueMismatch(String),
    /// The resource has a type that resources cannot have.
    #[error("Unsupported resource type")]
    UnsupportedType,
    /// A reservation or allocation names something that is no role.
    #[error("Invalid role of resource '{name}': {source}")]
    Role {
        /// The resource.
        name: String,
        /// What is wrong with the role.
        source: crate::role::RoleError,
    },
    /// The forms before and after reservation refinement are mixed in one resource, or a stack
    /// of reservations contradicts itself.
    #[error("Invalid reservation of resource '{name}': {reason}")]
    Reservation {
        /// The resource.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Text that is not `name:value` or `name(role):value`.
    #[error("Bad value for resources, missing or extra ':' in {0}")]
    Form(String),
    /// A value in text form that is neither a number, nor ranges, nor a set.
    #[error("Bad value for resource '{name}': {text}")]
    Text {
        /// The resource.
        name: String,
        /// The value as given.
        text: String,
    },
    /// More entries than any real resource list has.
    #[error("Too many resources: more than {0}")]
    TooMany(usize),
}
