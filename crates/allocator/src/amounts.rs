//! Sums of scalars over agents, roles and the cluster.
//!
//! They are kept in 128 bits: no number of agents, whatever they state, makes a sum overflow, so
//! what was added can always be taken away again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::resources::{Quantities, Resource, Scalar, Value};

/// The number of a resource's name.
pub(crate) type Name = u32;

/// The names of scalars that are in use, and some that were: agents come with whatever names they
/// like, so those that are in no book any more are forgotten now and then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// By number; `None` where the number is free.
    texts: Vec<Option<Arc<str>>>,
    numbers: BTreeMap<Arc<str>, Name>,
    free: Vec<Name>,
    /// How many were in use when the others were last forgotten.
    kept: usize,
}

/// So many names that are not in use are no burden.
const SPARE: usize = 64;

/// So many names are compared one after the other, which is quicker than a search.
const FEW: usize = 6;

impl Names {
    /// The number of `name`, a new one if need be.
    pub(crate) fn number(&mut self, name: &str) -> Name {
        if let Some(known) = self.find(name) {
            return known;
        }
        let text: Arc<str> = name.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.texts.push(None);
            self.texts.len() as Name - 1
        });
        self.texts[number as usize] = Some(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// Whether it is time to [`keep`](Self::keep) only those that are in use: there are twice as
    /// many as there were then, so that each costs its part of the work only.
    pub(crate) fn are_many(&self) -> bool {
        self.numbers.len() > 2 * self.kept + SPARE
    }

    /// Forgets all names but these; their numbers will stand for other names.
    pub(crate) fn keep(&mut self, in_use: &BTreeSet<Name>) {
        let (texts, free) = (&mut self.texts, &mut self.free);
        self.numbers.retain(|_, number| {
            let kept = in_use.contains(number);
            if !kept {
                texts[*number as usize] = None;
                free.push(*number);
            }
            kept
        });
        self.kept = self.numbers.len();
    }

    pub(crate) fn find(&self, name: &str) -> Option<Name> {
        let early = self.texts.iter().take(FEW).position(|known| known.as_deref() == Some(name));
        early
            .map(|at| at as Name)
            .or_else(|| if self.texts.len() > FEW { self.numbers.get(name).copied() } else { None })
    }

    /// One more than the largest number ever in use at a time.
    pub(crate) fn slots(&self) -> usize {
        self.texts.len()
    }

    /// The name of this number; empty if the number is free.
    pub(crate) fn text(&self, name: Name) -> &str {
        self.texts.get(name as usize).and_then(Option::as_deref).unwrap_or_default()
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

    /// Of how many names there is something.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
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
