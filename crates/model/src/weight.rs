//! How much more than others a role is to get.

use std::cmp::Ordering;
use std::fmt;

/// Why a number is no weight.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum WeightError {
    /// Zero, or less.
    #[error("Weight must be greater than 0, got {0}")]
    NotPositive(f64),
    /// NaN, infinite, or so near to zero that dividing by it is no number any more.
    #[error("Weight must be a finite number, got {0}")]
    NotFinite(f64),
}

/// A role's weight: its share of the cluster is divided by it before shares are compared.
///
/// A value proves that the number is finite, normal and greater than zero, so that shares have an
/// order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight(f64);

impl Weight {
    /// The weight of a role that has been given none.
    pub const ONE: Self = Self(1.0);

    /// Takes `number` as a weight. NaN, infinite, subnormal, zero and negative numbers are errors.
    pub fn new(number: f64) -> Result<Self, WeightError> {
        if number <= 0.0 {
            Err(WeightError::NotPositive(number))
        } else if number.is_normal() {
            Ok(Self(number))
        } else {
            Err(WeightError::NotFinite(number))
        }
    }

    /// The number.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl Eq for Weight {}

impl PartialOrd for Weight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Weight {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_order_or_cannot_be_divided_by_is_no_weight() {
        for bad in [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 2.0] {
            assert!(matches!(Weight::new(bad), Err(WeightError::NotFinite(_))), "{bad}");
        }
        for bad in [0.0, -0.0, -1.0, f64::NEG_INFINITY] {
            assert!(matches!(Weight::new(bad), Err(WeightError::NotPositive(_))), "{bad}");
        }
        for good in [1.0, 0.001, 1e300] {
            assert_eq!(Weight::new(good).unwrap().as_f64(), good);
        }
    }
}
