//! How much of a resource there is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::{Ranges, Scalar};

/// The type of a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// A number of units.
    Scalar,
    /// Some integers.
    Ranges,
    /// Some names.
    Set,
}

/// An amount of one resource. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A number of units.
    Scalar(Scalar),
    /// Some integers, for example ports.
    Ranges(Ranges),
    /// Some names.
    Set(Arc<BTreeSet<String>>),
}

impl Value {
    /// Its type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(_) => ValueType::Scalar,
            Self::Ranges(_) => ValueType::Ranges,
            Self::Set(_) => ValueType::Set,
        }
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    /// Whether the two are of one type, so that they can be added.
    #[must_use]
    pub fn same_type(&self, other: &Self) -> bool {
        self.value_type() == other.value_type()
    }

    /// Adds `other`; nothing happens if its type is another.
    pub(super) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.plus(*b),
            (Self::Ranges(a), Self::Ranges(b)) => a.unite(b),
            (Self::Set(a), Self::Set(b)) if !b.is_subset(a) => {
                Arc::make_mut(a).extend(b.iter().cloned());
            }
            _ => {}
        }
    }

    /// Takes `other` away, as far as it is there.
    pub(super) fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.minus(*b),
            (Self::Ranges(a), Self::Ranges(b)) => a.subtract(b),
            (Self::Set(a), Self::Set(b)) if !a.is_disjoint(b) => {
                Arc::make_mut(a).retain(|item| !b.contains(item));
            }
            _ => {}
        }
    }

    /// Whether all of `other` is here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains(b),
            (Self::Set(a), Self::Set(b)) => b.is_subset(a),
            _ => false,
        }
    }

    /// The amount as a number: the scalar itself, how many integers, how many names.
    #[must_use]
    pub fn quantity(&self) -> Scalar {
        let count = |n: u64| Scalar::from_thousandths(n.saturating_mul(1000));
        match self {
            Self::Scalar(scalar) => *scalar,
            Self::Ranges(ranges) => count(ranges.count()),
            Self::Set(items) => count(items.len() as u64),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Ranges(ranges) => ranges.fmt(f),
            Self::Set(items) => {
                f.write_str("{")?;
                for (i, item) in items.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(f, "{separator}{item}")?;
                }
                f.write_str("}")
            }
        }
    }
}
