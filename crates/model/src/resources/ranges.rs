//! Sets of integers written as ranges: ports, above all.

use std::fmt;

use super::ResourceError;

/// A set of integers, kept as ascending ranges with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The union of `ranges`, each from its first to its last member.
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, ResourceError> {
        let ranges: Vec<_> = ranges.into_iter().collect();
        if ranges.iter().any(|(begin, end)| begin > end) {
            return Err(ResourceError::BackwardRange);
        }
        Ok(Self::joined(ranges))
    }

    fn joined(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (begin, end) in ranges {
            match joined.last_mut() {
                Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => joined.push((begin, end)),
            }
        }
        Self(joined)
    }

    /// The ranges, ascending, with gaps between them.
    #[must_use]
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many integers are members; saturates.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0u64, |sum, (begin, end)| sum.saturating_add((end - begin).saturating_add(1)))
    }

    /// Members of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::joined(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Members of `self` that are not members of `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut cuts = other.0.iter().peekable();
        for &(mut begin, end) in &self.0 {
            let mut open = true;
            while let Some(&&(cut_begin, cut_end)) = cuts.peek() {
                if cut_end < begin {
                    cuts.next();
                } else if cut_begin > end {
                    break;
                } else {
                    if cut_begin > begin {
                        left.push((begin, cut_begin - 1));
                    }
                    if cut_end >= end {
                        open = false;
                        break;
                    }
                    begin = cut_end + 1;
                    cuts.next();
                }
            }
            if open {
                left.push((begin, end));
            }
        }
        Self(left)
    }

    /// Whether every member of `other` is a member of `self`.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|&(begin, end)| {
            let after = self.0.partition_point(|range| range.0 <= begin);
            after > 0 && self.0[after - 1].1 >= end
        })
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (begin, end)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{begin}-{end}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn members(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.as_slice().iter().flat_map(|&(begin, end)| begin..=end).collect()
    }

    fn any_ranges() -> impl Strategy<Value = Ranges> {
        prop::collection::vec((0u64..40, 0u64..6), 0..6).prop_map(|ranges| {
            Ranges::new(ranges.into_iter().map(|(begin, more)| (begin, begin + more))).unwrap()
        })
    }

    proptest! {
        #[test]
        fn ranges_behave_as_sets_of_integers(a in any_ranges(), b in any_ranges()) {
            let (x, y) = (members(&a), members(&b));
            prop_assert_eq!(members(&a.union(&b)), x.union(&y).copied().collect());
            prop_assert_eq!(members(&a.difference(&b)), x.difference(&y).copied().collect());
            prop_assert_eq!(a.contains(&b), y.is_subset(&x));
            prop_assert_eq!(a.count(), x.len() as u64);
        }
    }

    #[test]
    fn the_whole_of_u64_is_a_range() {
        let all = Ranges::new([(0, u64::MAX)]).unwrap();
        assert_eq!(all.count(), u64::MAX);
        assert!(all.difference(&all).is_empty());
        assert!(all.contains(&Ranges::new([(u64::MAX, u64::MAX)]).unwrap()));
        assert_eq!(all.union(&all), all);
        assert_eq!(Ranges::new([(2, 1)]), Err(ResourceError::BackwardRange));
    }
}
