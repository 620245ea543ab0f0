//! Sets of small numbers.

/// A set of numbers of a [`Slab`](crate::slab::Slab).
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl FromIterator<u32> for Bits {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> Self {
        let mut bits = Self::default();
        for no in numbers {
            bits.insert(no);
        }
        bits
    }
}

impl Bits {
    pub(crate) fn insert(&mut self, no: u32) {
        let word = no as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (no % 64);
    }

    pub(crate) fn remove(&mut self, no: u32) {
        if let Some(word) = self.0.get_mut(no as usize / 64) {
            *word &= !(1 << (no % 64));
        }
    }

    pub(crate) fn set(&mut self, no: u32, member: bool) {
        if member {
            self.insert(no);
        } else {
            self.remove(no);
        }
    }

    pub(crate) fn contains(&self, no: u32) -> bool {
        self.0.get(no as usize / 64).is_some_and(|word| word & (1 << (no % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Makes this a copy of `other`, in the memory it has.
    pub(crate) fn copy(&mut self, other: &Self) {
        self.0.clear();
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= !other;
        }
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    /// The members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                (left != 0).then(|| {
                    left &= left - 1;
                    at as u32 * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bits(of: &BTreeSet<u32>) -> Bits {
        of.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn bits_are_sets(
            a in prop::collection::btree_set(0u32..300, 0..40),
            b in prop::collection::btree_set(0u32..300, 0..40),
        ) {
            let same = |bits: &Bits, set: BTreeSet<u32>| {
                bits.is_empty() == set.is_empty()
                    && bits.iter().eq(set.iter().copied())
                    && (0..300).all(|no| bits.contains(no) == set.contains(&no))
            };
            let mut both = bits(&a);
            both.intersect(&bits(&b));
            prop_assert!(same(&both, &a & &b));
            let mut left = bits(&a);
            left.subtract(&bits(&b));
            prop_assert!(same(&left, &a - &b));
            let mut all = bits(&a);
            all.unite(&bits(&b));
            prop_assert!(same(&all, &a | &b));
            for no in &a {
                all.remove(*no);
            }
            prop_assert!(same(&all, &b - &a));
        }
    }
}
