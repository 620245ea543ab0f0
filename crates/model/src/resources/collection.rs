//! Many resources at once.

use std::collections::HashMap;
use std::fmt;

use super::{Kind, Quantities, Resource, Scalar, Value};
use crate::role::Role;

/// Resources, those of one kind merged into one entry, in the order in which each kind came.
///
/// Volumes and indivisible disks are entries of their own; equal shared volumes are one entry
/// that counts its copies.
///
/// Two collections are equal if they hold the same amounts, whatever the order.
#[derive(Clone, Default)]
pub struct Resources(Vec<Resource>);

impl Resources {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The entries.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// Adds one resource.
    pub fn add(&mut self, resource: Resource) {
        self.add_found(resource, &mut Finder::new(1));
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        let mut finder = Finder::new(other.0.len());
        for resource in &other.0 {
            match finder.mergeable(&self.0, resource) {
                Some(place) => merge(&mut self.0[place], resource),
                None => self.push(resource.clone(), &mut finder),
            }
        }
    }

    fn add_found(&mut self, resource: Resource, finder: &mut Finder) {
        if resource.value.is_empty() || resource.copies == 0 {
            return;
        }
        match finder.mergeable(&self.0, &resource) {
            Some(place) => merge(&mut self.0[place], &resource),
            None => self.push(resource, finder),
        }
    }

    fn push(&mut self, resource: Resource, finder: &mut Finder) {
        finder.note(&resource, self.0.len());
        self.0.push(resource);
    }

    /// The two together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add_all(other);
        sum
    }

    /// What is left after taking `other` away, or `None` if `other` is not all here.
    #[must_use]
    pub fn checked_minus(&self, other: &Self) -> Option<Self> {
        self.contains(other).then(|| self.minus(other))
    }

    /// What is left after taking away as much of `other` as is here.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract_all(other);
        left
    }

    /// Takes away as much of `other` as is here.
    pub fn subtract_all(&mut self, other: &Self) {
        let mut finder = Finder::new(other.0.len());
        let mut emptied = false;
        for resource in &other.0 {
            let Some(place) = finder.find(&self.0, resource) else { continue };
            let entry = &mut self.0[place];
            if resource.shared {
                entry.copies = entry.copies.saturating_sub(resource.copies);
            } else if resource.is_indivisible() {
                entry.copies = 0;
            } else {
                entry.value.subtract(&resource.value);
                if entry.value.is_empty() {
                    entry.copies = 0;
                }
            }
            emptied |= entry.copies == 0;
        }
        if emptied {
            self.0.retain(|entry| entry.copies > 0);
        }
    }

    /// Whether all of `other` is here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut finder = Finder::new(other.0.len());
        other.0.iter().all(|resource| {
            let Some(place) = finder.find(&self.0, resource) else { return false };
            let entry = &self.0[place];
            if resource.shared {
                entry.copies >= resource.copies
            } else if resource.is_indivisible() {
                // Equal ones are entries of their own.
                let count = |all: &Self| all.0.iter().filter(|r| same_entry(r, resource)).count();
                other.0.len() == 1 || count(self) >= count(other)
            } else {
                entry.value.contains(&resource.value)
            }
        })
    }

    /// How many copies of `resource` are here: of one that is not shared 0 or 1.
    #[must_use]
    pub fn count(&self, resource: &Resource) -> u32 {
        self.0.iter().find(|entry| *entry == resource).map_or(0, |entry| entry.copies)
    }

    /// The entries that satisfy `keep`.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self(self.0.iter().filter(|resource| keep(resource)).cloned().collect())
    }

    /// Removes the entries that do not satisfy `keep`.
    pub fn retain(&mut self, keep: impl Fn(&Resource) -> bool) {
        self.0.retain(|resource| keep(resource));
    }

    /// The same, allocated to `role`.
    #[must_use]
    pub fn allocated_to(&self, role: &Role) -> Self {
        self.0.iter().map(|resource| resource.allocated_to(role)).collect()
    }

    /// The same, allocated to nobody.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        self.0.iter().map(Resource::unallocated).collect()
    }

    /// Each resource as its agent's configuration states it (see [`Resource::stripped`]).
    #[must_use]
    pub fn stripped(&self) -> Self {
        self.0.iter().map(Resource::stripped).collect()
    }

    /// How much there is of the scalar `name`, whoever it is reserved or allocated to. A shared
    /// volume counts once, however many copies there are.
    #[must_use]
    pub fn scalar(&self, name: &str) -> Scalar {
        self.0.iter().filter(|r| *r.name == *name).fold(Scalar::ZERO, |sum, r| match r.value {
            Value::Scalar(scalar) => sum.plus(scalar),
            Value::Ranges(_) | Value::Set(_) => sum,
        })
    }

    /// How much there is of everything, by name; ranges and sets count their members.
    #[must_use]
    pub fn quantities(&self) -> Quantities {
        let mut quantities = Quantities::default();
        for resource in &self.0 {
            quantities.add_shared(&resource.name, resource.value.quantity());
        }
        quantities
    }

    /// How much there is of each scalar, by name.
    #[must_use]
    pub fn scalar_quantities(&self) -> Quantities {
        let mut quantities = Quantities::default();
        for resource in &self.0 {
            if let Value::Scalar(scalar) = resource.value {
                quantities.add_shared(&resource.name, scalar);
            }
        }
        quantities
    }
}

fn merge(entry: &mut Resource, resource: &Resource) {
    if resource.shared {
        entry.copies = entry.copies.saturating_add(resource.copies);
    } else {
        entry.value.add(&resource.value);
    }
}

/// Whether `entry` is where `resource` would be taken from.
#[inline]
fn same_entry(entry: &Resource, resource: &Resource) -> bool {
    resource.kind().same(entry.kind())
        && (!resource.is_taken_whole() || (entry.value == resource.value && entry.copies > 0))
}

/// From how many entries on they are found by an index instead of by looking at each.
const MANY: usize = 24;

/// Finds the entries for one resource after another.
///
/// Two collections most often list the same kinds in the same order, so the entry after the last
/// one found is tried first. When that fails again and again among many, an index is made.
struct Finder {
    next: usize,
    /// For how many resources this finder was made.
    wanted: usize,
    /// By kind and, of what is taken as a whole, value.
    index: Option<HashMap<(usize, u64), usize, std::hash::BuildHasherDefault<Mix>>>,
}

impl Finder {
    const fn new(wanted: usize) -> Self {
        Self { next: 0, wanted, index: None }
    }

    fn mergeable(&mut self, entries: &[Resource], resource: &Resource) -> Option<usize> {
        if resource.is_indivisible() && !resource.shared {
            return None;
        }
        self.find(entries, resource)
    }

    #[inline]
    fn find(&mut self, entries: &[Resource], resource: &Resource) -> Option<usize> {
        let place = match entries.get(self.next) {
            Some(entry) if same_entry(entry, resource) => self.next,
            _ => self.look(entries, resource)?,
        };
        self.next = place + 1;
        Some(place)
    }

    fn look(&mut self, entries: &[Resource], resource: &Resource) -> Option<usize> {
        let by_look = || entries.iter().position(|entry| same_entry(entry, resource));
        if entries.len() < MANY || self.wanted < MANY {
            return by_look();
        }
        let index = self.index.get_or_insert_with(|| {
            entries.iter().enumerate().rev().map(|(i, entry)| (key(entry), i)).collect()
        });
        let place = *index.get(&key(resource))?;
        // The one indexed may have been taken already, while an equal one is still there; values
        // that are no scalars are not told apart by the index.
        if same_entry(&entries[place], resource) { Some(place) } else { by_look() }
    }

    fn note(&mut self, resource: &Resource, place: usize) {
        if let Some(index) = &mut self.index {
            index.entry(key(resource)).or_insert(place);
        }
        self.next = place + 1;
    }
}

fn key(resource: &Resource) -> (usize, u64) {
    let kind: &Kind = resource.kind();
    let value = match resource.value {
        Value::Scalar(scalar) if resource.is_taken_whole() => scalar.thousandths(),
        _ => 0,
    };
    (kind.identity(), value)
}

/// Enough of a hash for addresses, which nobody outside can choose.
#[derive(Default)]
struct Mix(u64);

impl std::hash::Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.contains(other) && other.contains(self)
    }
}

impl Eq for Resources {}

impl Extend<Resource> for Resources {
    fn extend<T: IntoIterator<Item = Resource>>(&mut self, resources: T) {
        // How many there will be is not known; an index is made only among many entries anyway.
        let mut finder = Finder::new(usize::MAX);
        for resource in resources {
            self.add_found(resource, &mut finder);
        }
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<T: IntoIterator<Item = Resource>>(resources: T) -> Self {
        let resources = resources.into_iter();
        let mut all = Self(Vec::with_capacity(resources.size_hint().0.min(64)));
        all.extend(resources);
        all
    }
}

impl From<Resource> for Resources {
    fn from(resource: Resource) -> Self {
        let mut all = Self::new();
        all.add(resource);
        all
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Resources {
    /// The original's form for logs and error texts; `{}` if there is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (i, resource) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{resource}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "collection_tests.rs"]
mod tests;
