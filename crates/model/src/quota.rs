//! What a role is promised, and what it may not exceed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resources::{Quantities, Scalar};

/// The most of each name; a name that is absent has no limit, one with zero is not given at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<Arc<str>, Scalar>);

impl Limits {
    /// Sets the most of `name`.
    pub fn set(&mut self, name: &str, most: Scalar) {
        self.0.insert(name.into(), most);
    }

    /// The most of `name`, unless there is no limit.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Scalar> {
        self.0.get(name).copied()
    }

    /// Names with their limits, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Scalar)> {
        self.0.iter().map(|(name, most)| (&**name, *most))
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `amounts` stay within the limits.
    #[must_use]
    pub fn admit(&self, amounts: &Quantities) -> bool {
        self.0.iter().all(|(name, most)| amounts.get(name) <= *most)
    }
}

impl<'a> FromIterator<(&'a str, Scalar)> for Limits {
    fn from_iter<T: IntoIterator<Item = (&'a str, Scalar)>>(limits: T) -> Self {
        let mut all = Self::default();
        for (name, most) in limits {
            all.set(name, most);
        }
        all
    }
}

/// Why guarantees and limits do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guarantee of {guarantee} {name} exceeds the limit of {limit}")]
pub struct QuotaError {
    /// Of what.
    pub name: String,
    /// What would be promised.
    pub guarantee: Scalar,
    /// What it may not exceed.
    pub limit: Scalar,
}

/// The quota of a role and all beneath it. The default is no quota.
///
/// A value proves that no guarantee exceeds its limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    guarantees: Quantities,
    limits: Limits,
}

impl Quota {
    /// Takes the two together if no guarantee exceeds its limit.
    pub fn new(guarantees: Quantities, limits: Limits) -> Result<Self, QuotaError> {
        for (name, guarantee) in guarantees.iter() {
            if let Some(limit) = limits.get(name).filter(|limit| *limit < guarantee) {
                return Err(QuotaError { name: name.to_owned(), guarantee, limit });
            }
        }
        Ok(Self { guarantees, limits })
    }

    /// As much as `amounts` and no more: what the original's older call sets.
    #[must_use]
    pub fn exactly(amounts: Quantities) -> Self {
        let limits = amounts.iter().collect();
        Self { guarantees: amounts, limits }
    }

    /// What is kept for the role as long as it has less.
    #[must_use]
    pub const fn guarantees(&self) -> &Quantities {
        &self.guarantees
    }

    /// What the role may not exceed.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether nothing is promised and nothing limited.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_guarantee_exceeds_its_limit() {
        let cpus = |n| Quantities::parse(&format!("cpus:{n}")).unwrap();
        let at_most = |n| [("cpus", Scalar::from_thousandths(n))].into_iter().collect::<Limits>();
        assert!(Quota::new(cpus(2), at_most(2000)).is_ok());
        assert!(Quota::new(cpus(2), Limits::default()).is_ok());
        let error = Quota::new(cpus(2), at_most(1999)).unwrap_err();
        assert_eq!(error.to_string(), "the guarantee of 2 cpus exceeds the limit of 1.999");
        assert!(Quota::default().is_default());
        let none = Quota::new(Quantities::default(), at_most(0)).unwrap();
        assert!(!none.is_default() && !none.limits().admit(&cpus(1)));
        assert_eq!(Quota::exactly(cpus(1)).limits().get("mem"), None);
    }
}
