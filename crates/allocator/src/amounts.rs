//! Sums of scalars over agents, roles and the cluster.
//!
//! They are kept in 128 bits: no number of agents, whatever they state, makes a sum overflow, so
//! what was added can always be taken away again.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::resources::{Quantities, Resource, Scalar, Value};

/// The number of a resource's name.
pub(crate) type Name = u32;

/// The names of scalars seen so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    texts: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, Name>,
}

/// So many names are compared one after the other, which is quicker than a search.
const FEW: usize = 6;

impl Names {
    /// The number of `name`, a new one if need be.
    pub(crate) fn number(&mut self, name: &str) -> Name {
        if let Some(known) = self.find(name) {
            return known;
        }
        let text: Arc<str> = name.into();
        let number = self.texts.len() as Name;
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    pub(crate) fn find(&self, name: &str) -> Option<Name> {
        let early = self.texts.iter().take(FEW).position(|known| **known == *name);
        early
            .map(|at| at as Name)
            .or_else(|| if self.texts.len() > FEW { self.numbers.get(name).copied() } else { None })
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        self.texts.get(name as usize).map_or("", |text| text)
    }

    pub(crate) fn quantities(&self, amounts: &Amounts) -> Quantities {
        let mut quantities = Quantities::default();
        for (name, amount) in amounts.iter() {
            let amount = u64::try_from(amount).unwrap_or(u64::MAX);
            quantities.add(self.text(name), Scalar::from_thousandths(amount));
        }
        quantities
    }

    pub(crate) fn amounts(&mut self, quantities: &Quantities) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, amount) in quantities.iter() {
            amounts.add(self.number(name), amount.thousandths().into());
        }
        amounts
    }

    /// The scalars among `resources`.
    pub(crate) fn sum<'a>(&mut self, resources: impl Iterator<Item = &'a Resource>) -> Amounts {
        let mut sum = Amounts::default();
        for resource in resources {
            if let Value::Scalar(amount) = resource.value {
                sum.add(self.number(&resource.name), amount.thousandths().into());
            }
        }
        sum
    }
}

/// Thousandths by name, none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(Vec<(Name, u128)>);

impl Amounts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Name, u128)> {
        self.0.iter().copied()
    }

    pub(crate) fn get(&self, name: Name) -> u128 {
        self.0.binary_search_by_key(&name, |(known, _)| *known).map_or(0, |at| self.0[at].1)
    }

    pub(crate) fn add(&mut self, name: Name, amount: u128) {
        if amount == 0 {
            return;
        }
        match self.0.binary_search_by_key(&name, |(known, _)| *known) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(amount),
            Err(at) => self.0.insert(at, (name, amount)),
        }
    }

    pub(crate) fn subtract(&mut self, name: Name, amount: u128) {
        if let Ok(at) = self.0.binary_search_by_key(&name, |(known, _)| *known) {
            self.0[at].1 = self.0[at].1.saturating_sub(amount);
            if self.0[at].1 == 0 {
                self.0.remove(at);
            }
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.add(name, amount);
        }
    }

    pub(crate) fn subtract_all(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.subtract(name, amount);
        }
    }
}
