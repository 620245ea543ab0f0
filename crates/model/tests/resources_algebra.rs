//! The laws that arithmetic on resources obeys, for every mixture of kinds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use alcazar_model::resources::{
    Conversion, Disk, DiskKind, DiskSource, Persistence, Ranges, Reservation, ReservationKind,
    Resource, Resources, Scalar, Value,
};
use alcazar_model::role::Role;
use proptest::prelude::*;

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn reservations() -> impl Strategy<Value = Vec<Reservation>> {
    let layer = |name: &'static str, kind| {
        (
            proptest::option::of("[pq]"),
            proptest::option::of(proptest::sample::select(vec![0, 1, 2])),
        )
            .prop_map(move |(principal, labels)| Reservation {
                kind,
                role: role(name),
                principal,
                labels: labels.map(|n| {
                    let all = [("k", "v"), ("l", "w")];
                    let label = |i: usize| (all[i].0.to_owned(), Some(all[i].1.to_owned()));
                    match n {
                        0 => vec![],
                        1 => vec![label(0), label(1)],
                        _ => vec![label(1), label(0)],
                    }
                }),
            })
    };
    prop_oneof![
        3 => Just(Vec::new()),
        1 => layer("a", ReservationKind::Static).prop_map(|one| vec![one]),
        1 => layer("a", ReservationKind::Dynamic).prop_map(|one| vec![one]),
        1 => (layer("a", ReservationKind::Static), layer("a/b", ReservationKind::Dynamic))
            .prop_map(|(outer, inner)| vec![outer, inner]),
    ]
}

fn disk() -> impl Strategy<Value = Option<(Disk, bool)>> {
    let source = (0usize..4, any::<bool>()).prop_map(|(kind, id)| {
        let kind = [DiskKind::Path, DiskKind::Mount, DiskKind::Block, DiskKind::Raw][kind];
        DiskSource { id: id.then(|| "i".to_owned()), ..DiskSource::new(kind) }
    });
    let persistence = (0usize..2, any::<bool>()).prop_map(|(id, principal)| Persistence {
        id: ["v", "w"][id].into(),
        principal: principal.then(|| "p".to_owned()),
    });
    proptest::option::of(
        (proptest::option::of(source), proptest::option::of(persistence), any::<bool>()).prop_map(
            |(source, persistence, shared)| {
                let shared = shared && persistence.is_some();
                (Disk { persistence, volume: None, source }, shared)
            },
        ),
    )
    .prop_map(|disk| disk.filter(|(disk, _)| *disk != Disk::default()))
}

fn any_resource() -> impl Strategy<Value = Resource> {
    (0usize..4, 0u64..5, reservations(), disk(), 0usize..3, any::<bool>(), any::<bool>()).prop_map(
        |(name, amount, reservations, disk, allocation, revocable, provided)| {
            let (name, value) = match name {
                0 => ("cpus", Value::Scalar(Scalar::from_thousandths(amount))),
                1 => ("disk", Value::Scalar(Scalar::from_thousandths(amount))),
                2 => ("ports", {
                    Value::Ranges(Ranges::new([(amount * 3, amount * 3 + amount)]).unwrap())
                }),
                _ => {
                    let items: Vec<String> = (0..amount).map(|i| i.to_string()).collect();
                    ("tags", Value::Set(Arc::new(items.into_iter().collect())))
                }
            };
            Resource::new(name, value).with(|traits| {
                traits.reservations = reservations;
                traits.allocation = [None, Some("a"), Some("a/b")][allocation].map(role);
                traits.revocable = revocable;
                traits.provider = provided.then(|| "p".into());
                if let ("disk", Some((disk, shared))) = (name, disk) {
                    traits.disk = Some(Arc::new(disk));
                    traits.shared = shared;
                }
            })
        },
    )
}

fn any_resources() -> impl Strategy<Value = Resources> {
    proptest::collection::vec(any_resource(), 0..40).prop_map(Resources::from_iter)
}

/// Without ranges and sets, whose members count once however often they are added.
fn countable() -> impl Strategy<Value = Resources> {
    any_resources().prop_map(|all| all.scalars())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn addition_is_commutative_and_associative(
        a in any_resources(), b in any_resources(), c in any_resources()
    ) {
        prop_assert_eq!(a.plus(&b), b.plus(&a));
        prop_assert_eq!(a.plus(&b).plus(&c), a.plus(&b.plus(&c)));
        prop_assert_eq!(a.plus(&Resources::new()), a.clone());
        prop_assert_eq!(Resources::new().plus(&a), a);
    }

    #[test]
    fn subtraction_undoes_addition(a in countable(), b in countable()) {
        prop_assert_eq!(a.plus(&b).checked_minus(&b), Some(a.clone()));
        prop_assert_eq!(a.plus(&b).minus(&b), a);
    }

    #[test]
    fn what_is_contained_can_be_taken_and_nothing_else(a in any_resources(), b in any_resources()) {
        let left = a.checked_minus(&b);
        prop_assert_eq!(left.is_some(), a.contains(&b));
        if let Some(left) = left {
            prop_assert_eq!(&a.minus(&b), &left);
            prop_assert_eq!(left.plus(&b), a);
        }
    }

    #[test]
    fn containment_is_an_order(a in any_resources(), b in any_resources(), c in any_resources()) {
        prop_assert!(a.contains(&a));
        let (ab, abc) = (a.plus(&b), a.plus(&b).plus(&c));
        prop_assert!(ab.contains(&a) && abc.contains(&ab) && abc.contains(&a));
        prop_assert_eq!(a.contains(&b) && b.contains(&a), a == b);
    }

    #[test]
    fn a_filter_and_its_opposite_are_the_whole(a in any_resources()) {
        for keep in [
            Resource::is_unreserved,
            Resource::is_persistent_volume,
            |r: &Resource| r.revocable,
            |r: &Resource| r.shared,
            |r: &Resource| r.allocation.is_some(),
        ] {
            let (yes, no) = (a.filter(keep), a.filter(|r| !keep(r)));
            prop_assert_eq!(yes.len() + no.len(), a.len());
            prop_assert_eq!(yes.plus(&no), a.clone());
            prop_assert!(yes.iter().all(keep));
        }
    }

    #[test]
    fn copies_of_what_is_shared_are_counted(volume in any_resource(), n in 1u32..9, m in 0u32..9) {
        let volume = volume.with(|traits| {
            traits.name = "disk".into();
            traits.shared = true;
        });
        prop_assume!(!volume.value.is_empty());
        let times = |n: u32| (0..n).map(|_| volume.clone()).collect::<Resources>();
        prop_assert_eq!(times(n).count(&volume), n);
        prop_assert_eq!(times(n).contains(&times(m)), n >= m);
        prop_assert_eq!(times(n).minus(&times(m)), times(n.saturating_sub(m)));
        prop_assert_eq!(times(n).plus(&times(m)), times(n + m));
        prop_assert_eq!(times(n).quantities(), times(1).quantities());
    }

    #[test]
    fn allocation_comes_off_again(a in any_resources()) {
        let bare = a.unallocated();
        let allocated = bare.allocated_to(&role("a"));
        prop_assert_eq!(&allocated.unallocated(), &bare);
        prop_assert_eq!(allocated.quantities(), bare.quantities());
        prop_assert!(allocated.is_empty() || !bare.contains(&allocated));
    }

    #[test]
    fn conversions_conserve_quantities(a in countable(), more in countable()) {
        let unreserved = a.filter(|r| r.is_unreserved() && !r.is_persistent_volume());
        let reservation = Reservation {
            kind: ReservationKind::Dynamic,
            role: role("z"),
            principal: None,
            labels: None,
        };
        let reserve = Conversion::reserve(&unreserved.push_reservation(&reservation)).unwrap();
        let volumes: Resources = a
            .filter(|r| &*r.name == "disk" && !r.is_persistent_volume())
            .iter()
            .enumerate()
            .map(|(i, disk)| disk.with(|traits| {
                let source = traits.disk.take().and_then(|disk| disk.source.clone());
                let persistence = Some(Persistence { id: format!("n{i}"), principal: None });
                traits.disk = Some(Arc::new(Disk { persistence, volume: None, source }));
            }))
            .collect();
        let create = Conversion::create(&volumes).unwrap();
        let undo_reserve =
            Conversion::unreserve(&unreserved.push_reservation(&reservation)).unwrap();
        let undo_create = Conversion::destroy(&volumes).unwrap();
        let all = a.plus(&more);
        for (there, back) in [(reserve, undo_reserve), (create, undo_create)] {
            let converted = all.apply(&there).unwrap();
            prop_assert_eq!(converted.scalar_quantities(), all.scalar_quantities());
            prop_assert!(converted.contains(&there.converted()));
            prop_assert_eq!(converted.apply(&back).unwrap(), all.clone());
        }
    }

    #[test]
    fn volumes_grow_and_shrink_without_loss(size in 2u64..100, change in 1u64..100) {
        let amount = |n| Value::Scalar(Scalar::from_thousandths(n));
        let space = Resource::new("disk", amount(1000));
        let volume = Resource::new("disk", amount(size)).with(|traits| {
            let persistence = Some(Persistence { id: "v".into(), principal: None });
            traits.disk = Some(Arc::new(Disk { persistence, ..Disk::default() }));
        });
        let all = Resources::from_iter([space.clone(), volume.clone()]);
        let grow = Conversion::grow_volume(&volume, &space.with_value(amount(change))).unwrap();
        let grown = all.apply(&grow).unwrap();
        prop_assert_eq!(grown.scalar("disk"), all.scalar("disk"));
        let larger = volume.with_value(amount(size + change));
        let shrink = Conversion::shrink_volume(&larger, Scalar::from_thousandths(change)).unwrap();
        prop_assert_eq!(grown.apply(&shrink).unwrap(), all);
    }
}
