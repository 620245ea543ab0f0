//! Fixed-point amounts.

use std::fmt;

use super::ResourceError;

/// An amount in thousandths, never negative, at most [`Scalar::MAX`] when it comes from outside.
///
/// The wire carries doubles; the original rounds them to three decimals in every operation, and
/// so do we, once, on the way in. Sums saturate far above anything an agent may declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(u64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that one resource may state: 10^12 units. A double still tells its
    /// thousandths apart, and thousands of them can be added before a sum saturates.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// Rounds `value` to thousandths. NaN, infinite, negative and too large values are errors.
    pub fn from_f64(value: f64) -> Result<Self, ResourceError> {
        if !value.is_finite() {
            return Err(ResourceError::NotFinite);
        }
        let thousandths = (value * 1000.0).round();
        if thousandths < 0.0 {
            return Err(ResourceError::NegativeScalar);
        }
        if thousandths > Self::MAX.0 as f64 {
            return Err(ResourceError::TooLarge);
        }
        Ok(Self(thousandths as u64))
    }

    /// `thousandths` thousandths of a unit.
    #[must_use]
    pub const fn from_thousandths(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// The amount in thousandths of a unit.
    #[must_use]
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// The amount in units, as the wire writes it.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; saturates at the end of the type, far above [`Scalar::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left after taking `other` away; nothing if `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Scalar {
    /// The shortest decimal text: `4`, `0.1`, `0.125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let text = format!("{rest:03}");
        write!(f, "{whole}.{}", text.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_are_no_amounts_are_errors() {
        for (value, error) in [
            (f64::NAN, ResourceError::NotFinite),
            (f64::INFINITY, ResourceError::NotFinite),
            (f64::NEG_INFINITY, ResourceError::NotFinite),
            (-0.001, ResourceError::NegativeScalar),
            (1e12 + 1.0, ResourceError::TooLarge),
            (f64::MAX, ResourceError::TooLarge),
        ] {
            assert_eq!(Scalar::from_f64(value), Err(error), "{value}");
        }
    }

    #[test]
    fn amounts_are_rounded_to_thousandths_once() {
        let scalar = |v| Scalar::from_f64(v).unwrap();
        assert_eq!(scalar(0.1).plus(scalar(0.2)), scalar(0.3));
        assert_eq!(scalar(0.0004), Scalar::ZERO);
        assert_eq!(scalar(-0.0004), Scalar::ZERO);
        assert_eq!(scalar(1e12), Scalar::MAX);
        assert_eq!(scalar(0.1).as_f64(), 0.1);
        for (value, text) in [(4.0, "4"), (0.1, "0.1"), (0.125, "0.125"), (1.05, "1.05")] {
            assert_eq!(scalar(value).to_string(), text);
        }
    }
}
