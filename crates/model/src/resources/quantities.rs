//! Amounts by name, without regard to who they are reserved to.

use std::sync::Arc;

use super::{ResourceError, Resources, Scalar};

/// How much of each name.
///
/// There are few names, so they stand sorted in one vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(Vec<(Arc<str>, Scalar)>);

impl Quantities {
    /// Adds `amount` of `name`.
    pub fn add(&mut self, name: &str, amount: Scalar) {
        self.add_named(name, amount, || name.into());
    }

    /// [`Quantities::add`] of a name that is held already.
    pub(super) fn add_shared(&mut self, name: &Arc<str>, amount: Scalar) {
        self.add_named(name, amount, || Arc::clone(name));
    }

    fn add_named(&mut self, name: &str, amount: Scalar, own: impl FnOnce() -> Arc<str>) {
        if amount.is_zero() {
            return;
        }
        match self.place(name) {
            Ok(place) => self.0[place].1 = self.0[place].1.plus(amount),
            Err(place) => self.0.insert(place, (own(), amount)),
        }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| (**held).cmp(name))
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            self.add_shared(name, *amount);
        }
    }

    /// Takes `other` away, as far as it is there.
    pub fn subtract_all(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Ok(place) = self.place(name) {
                self.0[place].1 = self.0[place].1.minus(*amount);
            }
        }
        self.0.retain(|(_, amount)| !amount.is_zero());
    }

    /// How much there is of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Scalar {
        self.place(name).map_or(Scalar::ZERO, |place| self.0[place].1)
    }

    /// Names with their amounts, none of them zero, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Scalar)> {
        self.0.iter().map(|(name, amount)| (&**name, *amount))
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is at least as much of everything as in `other`.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, amount)| self.get(name) >= *amount)
    }

    /// Reads `cpus:0.01;mem:32`: scalars only, zeros dropped.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let mut quantities = Self::default();
        for token in text.split(';').map(str::trim).filter(|token| !token.is_empty()) {
            let (name, value) = token
                .split_once(':')
                .filter(|(name, value)| !name.is_empty() && !value.contains(':'))
                .ok_or_else(|| ResourceError::Form(token.to_owned()))?;
            let value = value.trim();
            let amount = value.parse().map_err(|_| ResourceError::IsText {
                name: name.to_owned(),
                text: value.to_owned(),
            })?;
            quantities.add(name.trim(), Scalar::from_f64(amount)?);
        }
        Ok(quantities)
    }
}

/// What an offer must hold at the least: all of one of these sets. Without any set, anything
/// that is not empty will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinAllocatable(pub Vec<Quantities>);

impl Default for MinAllocatable {
    /// `cpus:0.01|mem:32`.
    fn default() -> Self {
        let one = |name: &str, thousandths| {
            let mut quantities = Quantities::default();
            quantities.add(name, Scalar::from_thousandths(thousandths));
            quantities
        };
        Self(vec![one("cpus", 10), one("mem", 32_000)])
    }
}

impl MinAllocatable {
    /// Reads `cpus:0.01|mem:32`. The empty text is no minimum.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let sets = text.split('|').map(Quantities::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(sets.into_iter().filter(|set| !set.is_empty()).collect()))
    }

    /// Whether `resources` are enough to be worth an offer.
    #[must_use]
    pub fn is_met_by(&self, resources: &Resources) -> bool {
        if resources.is_empty() {
            return false;
        }
        let quantities = resources.quantities();
        self.0.is_empty() || self.0.iter().any(|set| quantities.contains(set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::parse;
    use crate::role::Role;

    #[test]
    fn an_offer_needs_one_of_the_minimal_sets() {
        let minimum = MinAllocatable::parse("cpus:0.01|mem:32").unwrap();
        assert_eq!(minimum, MinAllocatable::default());
        let met =
            |minimum: &MinAllocatable, text| minimum.is_met_by(&parse(text, &Role::any()).unwrap());
        assert!(met(&minimum, "cpus:0.01"));
        assert!(met(&minimum, "mem:32"));
        assert!(!met(&minimum, "cpus:0.009;mem:31"));
        assert!(!met(&minimum, "ports:[1-1000]"));
        let both = MinAllocatable::parse("cpus:1;mem:32").unwrap();
        assert!(!met(&both, "cpus:1"));
        let none = MinAllocatable::parse("").unwrap();
        assert!(met(&none, "disk:1"));
        assert!(!met(&none, ""));
        assert!(MinAllocatable::parse("cpus:NaN").is_err());
        assert!(MinAllocatable::parse("cpus").is_err());
    }
}
