//! Many resources at once.

use std::fmt;

use super::{Quantities, Resource, Scalar, Value};
use crate::role::Role;

/// Resources, those of one kind merged into one entry, in the order in which each kind came.
///
/// Two collections are equal if they hold the same amounts, whatever the order.
#[derive(Clone, Debug, Default)]
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

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> + Clone {
        self.0.iter()
    }

    /// Adds one resource.
    pub fn add(&mut self, resource: Resource) {
        if resource.value.is_empty() {
            return;
        }
        let place = if resource.is_indivisible() {
            None
        } else {
            self.0.iter_mut().find(|entry| entry.same_kind(&resource))
        };
        match place {
            Some(entry) => entry.value.add(&resource.value),
            None => self.0.push(resource),
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for resource in &other.0 {
            self.add(resource.clone());
        }
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
        let mut left = self.clone();
        for resource in &other.0 {
            let whole = resource.is_indivisible();
            let place = left.0.iter().position(|entry| {
                entry.same_kind(resource)
                    && if whole {
                        entry.value == resource.value
                    } else {
                        entry.value.contains(&resource.value)
                    }
            })?;
            left.take(place, &resource.value);
        }
        Some(left)
    }

    /// What is left after taking away as much of `other` as is here.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = self.clone();
        for resource in &other.0 {
            let whole = resource.is_indivisible();
            let place = left.0.iter().position(|entry| {
                entry.same_kind(resource) && (!whole || entry.value == resource.value)
            });
            if let Some(place) = place {
                left.take(place, &resource.value);
            }
        }
        left
    }

    fn take(&mut self, place: usize, value: &Value) {
        let entry = &mut self.0[place];
        entry.value.subtract(value);
        if entry.value.is_empty() {
            self.0.remove(place);
        }
    }

    /// Whether all of `other` is here.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.checked_minus(other).is_some()
    }

    /// The entries that satisfy `keep`.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self(self.0.iter().filter(|resource| keep(resource)).cloned().collect())
    }

    /// The same, allocated to `role`.
    #[must_use]
    pub fn allocated_to(&self, role: &Role) -> Self {
        self.map(|resource| resource.allocation = Some(role.clone()))
    }

    /// The same, allocated to nobody.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        self.map(|resource| resource.allocation = None)
    }

    /// Each resource as its agent's configuration states it (see [`Resource::stripped`]).
    #[must_use]
    pub fn stripped(&self) -> Self {
        self.0.iter().map(Resource::stripped).collect()
    }

    fn map(&self, change: impl Fn(&mut Resource)) -> Self {
        self.0
            .iter()
            .cloned()
            .map(|mut resource| {
                change(&mut resource);
                resource
            })
            .collect()
    }

    /// How much there is of the scalar `name`, whoever it is reserved or allocated to.
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
            quantities.add(&resource.name, resource.value.quantity());
        }
        quantities
    }

    /// How much there is of each scalar, by name.
    #[must_use]
    pub fn scalar_quantities(&self) -> Quantities {
        let mut quantities = Quantities::default();
        for resource in &self.0 {
            if let Value::Scalar(scalar) = resource.value {
                quantities.add(&resource.name, scalar);
            }
        }
        quantities
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.checked_minus(other).is_some_and(|left| left.is_empty())
    }
}

impl Eq for Resources {}

impl FromIterator<Resource> for Resources {
    fn from_iter<T: IntoIterator<Item = Resource>>(resources: T) -> Self {
        let mut all = Self::new();
        for resource in resources {
            all.add(resource);
        }
        all
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resources::{Disk, Persistence, parse};

    fn resources(text: &str) -> Resources {
        parse(text, &Role::any()).unwrap()
    }

    #[test]
    fn taking_away_what_is_not_there_is_no_result() {
        let all = resources("cpus:4;mem:1024;ports:[31000-32000]");
        assert_eq!(
            all.checked_minus(&resources("cpus:1.5;ports:[31000-31000]")),
            Some(resources("cpus:2.5;mem:1024;ports:[31001-32000]"))
        );
        for more in ["cpus:4.001", "gpus:1", "ports:[30999-31000]", "cpus(web):1", "disk:1"] {
            assert_eq!(all.checked_minus(&resources(more)), None, "{more}");
        }
        assert_eq!(
            all.minus(&resources("cpus:9;gpus:1;mem:24")),
            resources("mem:1000;ports:[31000-32000]")
        );
    }

    #[test]
    fn reserved_resources_are_not_merged_with_unreserved_ones() {
        let all = resources("cpus:1;cpus(web):2;cpus:3");
        assert_eq!(all.iter().count(), 2);
        assert_eq!(all.scalar("cpus"), Scalar::from_thousandths(6000));
        assert!(!all.contains(&resources("cpus:5")));
        let web = Role::new("web/shop").unwrap();
        assert!(all.iter().all(|r| r.is_allocatable_to(&web)));
        assert_eq!(all.filter(|r| r.is_allocatable_to(&Role::any())), resources("cpus:4"));
    }

    #[test]
    fn a_volume_is_taken_as_a_whole() {
        let volume = |size: u64| {
            let value = Value::Scalar(Scalar::from_thousandths(size));
            let mut volume = Resource::new("disk", value);
            volume.disk = Some(std::sync::Arc::new(Disk {
                persistence: Some(Persistence { id: "v".into(), principal: None }),
                volume: None,
                source: None,
                whole: false,
            }));
            Resources::from_iter([volume])
        };
        assert!(!volume(10).contains(&volume(5)));
        assert!(volume(10).contains(&volume(10)));
        assert_eq!(volume(10).plus(&volume(10)).iter().count(), 2);
        assert_eq!(volume(10).stripped(), resources("disk:0.01"));
    }

    fn any_resources() -> impl Strategy<Value = Resources> {
        let one = (0usize..3, 0usize..3, 0u64..5000).prop_map(|(name, role, amount)| {
            let name = ["cpus", "mem", "ports"][name];
            let value = if name == "ports" {
                let begin = amount % 30;
                Value::Ranges(super::super::Ranges::new([(begin, begin + amount % 7)]).unwrap())
            } else {
                Value::Scalar(Scalar::from_thousandths(amount))
            };
            let mut resource = Resource::new(name, value);
            resource.allocation = [None, Some("a"), Some("b")][role].map(|r| Role::new(r).unwrap());
            resource
        });
        prop::collection::vec(one, 0..8).prop_map(Resources::from_iter)
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_away(a in any_resources(), b in any_resources()) {
            let sum = a.plus(&b);
            prop_assert!(sum.contains(&a) && sum.contains(&b));
            prop_assert_eq!(&sum, &b.plus(&a));
            // Integers in ranges count once, so only disjoint sums come apart again.
            let left = sum.checked_minus(&b).unwrap();
            prop_assert!(a.contains(&left));
            prop_assert_eq!(left.plus(&b), sum);
        }

        #[test]
        fn minus_and_checked_minus_agree_where_both_have_a_result(
            a in any_resources(), b in any_resources()
        ) {
            if let Some(left) = a.checked_minus(&b) {
                prop_assert_eq!(a.minus(&b), left);
            }
        }
    }
}
