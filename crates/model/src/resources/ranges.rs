//! Sets of integers written as ranges: ports, above all.

use std::fmt;
use std::sync::Arc;

use super::ResourceError;

/// A set of integers, kept as ascending ranges with gaps between them. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranges(Arc<Vec<(u64, u64)>>);

impl Ranges {
    /// The union of `ranges`, each from its first to its last member.
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, ResourceError> {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        if ranges.iter().any(|(begin, end)| begin > end) {
            return Err(ResourceError::BackwardRange);
        }
        if !ranges.is_sorted() {
            ranges.sort_unstable();
        }
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for range in ranges {
            append(&mut joined, range);
        }
        joined.shrink_to_fit();
        Ok(Self(Arc::new(joined)))
    }

    /// [`Ranges::new`] of ranges that have no member in common, as the wire must write them.
    pub fn disjoint(ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, ResourceError> {
        let ranges: Vec<_> = ranges.into_iter().collect();
        let given = ranges
            .iter()
            .fold(0u128, |sum, &(begin, end)| sum + u128::from(end.saturating_sub(begin)) + 1);
        let joined = Self::new(ranges)?;
        let members = joined.0.iter().map(|&(begin, end)| u128::from(end - begin) + 1);
        if members.sum::<u128>() == given {
            Ok(joined)
        } else {
            Err(ResourceError::OverlappingRanges)
        }
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
        let mut union = self.clone();
        union.unite(other);
        union
    }

    /// Members of `self` that are not members of `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        difference.subtract(other);
        difference
    }

    pub(super) fn unite(&mut self, other: &Self) {
        if other.is_empty() || Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        let (a, b) = (&self.0[..], &other.0[..]);
        let mut joined = Vec::with_capacity(a.len() + b.len());
        // What lies before all of `other` stays as it is.
        let before = a.partition_point(|range| range.1 < b[0].0.saturating_sub(1));
        joined.extend_from_slice(&a[..before]);
        let (mut i, mut j) = (before, 0);
        while i < a.len() && j < b.len() {
            if a[i] <= b[j] {
                append(&mut joined, a[i]);
                i += 1;
            } else {
                append(&mut joined, b[j]);
                j += 1;
            }
        }
        for rest in [&a[i..], &b[j..]] {
            for (k, &range) in rest.iter().enumerate() {
                if joined.last().is_some_and(|last| last.1 < range.0.saturating_sub(1)) {
                    joined.extend_from_slice(&rest[k..]);
                    break;
                }
                append(&mut joined, range);
            }
        }
        self.0 = Arc::new(joined);
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        if self.is_empty() || other.is_empty() {
            return;
        }
        let (a, b) = (&self.0[..], &other.0[..]);
        // What lies before all of `other`, and what lies behind it, stays as it is.
        let first = a.partition_point(|range| range.1 < b[0].0);
        let behind = a.partition_point(|range| range.0 <= b[b.len() - 1].1);
        if first == behind {
            return;
        }
        let mut left = Vec::with_capacity(a.len() + b.len().min(behind - first + 1));
        left.extend_from_slice(&a[..first]);
        let mut cuts = &b[b.partition_point(|cut| cut.1 < a[first].0)..];
        for &(mut begin, end) in &a[first..behind] {
            let mut open = true;
            while let Some(&(cut_begin, cut_end)) = cuts.first() {
                if cut_end < begin {
                    cuts = &cuts[1..];
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
                    cuts = &cuts[1..];
                }
            }
            if open {
                left.push((begin, end));
            }
        }
        left.extend_from_slice(&a[behind..]);
        self.0 = Arc::new(left);
    }

    /// Whether every member of `other` is a member of `self`.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut rest = &self.0[..];
        Arc::ptr_eq(&self.0, &other.0)
            || other.0.iter().all(|&(begin, end)| {
                // The next one is most often near by; otherwise it is looked for.
                let near = rest.iter().take(4).position(|range| range.1 >= begin);
                let skipped = near.unwrap_or_else(|| rest.partition_point(|r| r.1 < begin));
                rest = &rest[skipped..];
                rest.first().is_some_and(|range| range.0 <= begin && end <= range.1)
            })
    }
}

/// Adds a range that begins at or after the last of `joined`.
fn append(joined: &mut Vec<(u64, u64)>, (begin, end): (u64, u64)) {
    match joined.last_mut() {
        Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
        _ => joined.push((begin, end)),
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
    fn ranges_with_a_member_in_common_are_not_disjoint() {
        let touching = Ranges::disjoint([(5, 6), (1, 2), (3, 4)]).unwrap();
        assert_eq!(touching, Ranges::new([(1, 6)]).unwrap());
        for overlapping in [[(1, 2), (2, 3)], [(1, 9), (3, 4)], [(0, u64::MAX), (0, u64::MAX)]] {
            assert_eq!(Ranges::disjoint(overlapping), Err(ResourceError::OverlappingRanges));
        }
        assert_eq!(Ranges::disjoint([(2, 1)]), Err(ResourceError::BackwardRange));
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
