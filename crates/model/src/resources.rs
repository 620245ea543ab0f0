//! Resources and their arithmetic: what agents have, offers carry and tasks use.
//!
//! Amounts are exact: scalars count thousandths, ranges count integers, sets count names. What a
//! resource *is* (its name, who it is reserved to, which disk it is) never changes by arithmetic;
//! only resources that are the same but for their amount are added together.

mod collection;
mod conversion;
mod disk;
mod kind;
mod quantities;
mod ranges;
mod resource;
mod scalar;
mod selection;
mod text;
mod value;

pub use collection::Resources;
pub use conversion::{CheckpointedError, Conversion, ConversionError};
pub use disk::{Disk, DiskKind, DiskSource, Labels, Opaque, Persistence};
pub use kind::{Kind, Reservation, ReservationKind, Traits};
pub use quantities::{MinAllocatable, Quantities};
pub use ranges::Ranges;
pub use resource::Resource;
pub use scalar::Scalar;
pub use text::{one_type_per_name, parse};
pub use value::{Value, ValueType};

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
    /// Ranges that have a member in common.
    #[error("Invalid ranges resource: overlapping ranges")]
    OverlappingRanges,
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
    /// Disk information on something that is no disk.
    #[error("DiskInfo should not be set for {0} resource")]
    DiskOf(String),
    /// A disk that comes from what no disk can come from.
    #[error("Unsupported 'DiskInfo.Source.Type' in '{0}'")]
    DiskKind(String),
    /// A disk that states a path or a mount although it comes from something else.
    #[error("{what} should not be set for {kind} disk source")]
    DiskRoot {
        /// `Path` or `Mount`.
        what: &'static str,
        /// What the disk comes from.
        kind: &'static str,
    },
    /// Something that can never be shared.
    #[error("Resource {0} cannot be shared")]
    NotShareable(String),
    /// Shared disk space without a volume on it.
    #[error("Only persistent volumes can be shared")]
    SharedWithoutVolume,
    /// Text that is not `name:value` or `name(role):value`.
    #[error("Bad value for resources, missing or extra ':' in {0}")]
    Form(String),
    /// Text of which the parentheses around the role do not match.
    #[error("Bad value for resources, mismatched parentheses in {0}")]
    Parentheses(String),
    /// A value in text form that cannot be read.
    #[error("Failed to parse resource {name} value {text} error {reason}")]
    Text {
        /// The resource.
        name: String,
        /// The value as given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value that is neither a number, nor ranges, nor a set.
    #[error("Bad type for resource {name} value {text} type TEXT")]
    IsText {
        /// The resource.
        name: String,
        /// The value as given.
        text: String,
    },
    /// One name is used for values of several types.
    #[error("Resources with the same name ('{0}') but different types are not allowed")]
    MixedTypes(String),
    /// Something that only comes about at run time is stated in a flag.
    #[error("{0} cannot be specified at the command line")]
    NotForFlags(&'static str),
    /// More entries than any real resource list has.
    #[error("Too many resources: more than {0}")]
    TooMany(usize),
}
