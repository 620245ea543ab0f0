use std::sync::Arc;

use super::*;
use crate::resources::{
    Disk, DiskKind, DiskSource, Opaque, Persistence, Reservation, ReservationKind, parse,
};

fn resources(text: &str) -> Resources {
    parse(text, &Role::any()).unwrap()
}

fn labelled(labels: &[(&str, &str)]) -> Reservation {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())));
    Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("role").unwrap(),
        principal: Some("principal".into()),
        labels: Some(labels.collect()),
    }
}

fn volume(size: u64) -> Resource {
    Resource::new("disk", Value::Scalar(Scalar::from_thousandths(size))).with(|traits| {
        traits.disk = Some(Arc::new(Disk {
            persistence: Some(Persistence { id: "v".into(), principal: None }),
            ..Disk::default()
        }));
    })
}

fn shared(size: u64) -> Resource {
    volume(size).with(|traits| traits.shared = true)
}

fn disk(size: u64, source: DiskSource) -> Resource {
    Resource::new("disk", Value::Scalar(Scalar::from_thousandths(size))).with(|traits| {
        traits.disk = Some(Arc::new(Disk { source: Some(source), ..Disk::default() }));
    })
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
    assert_eq!(all.len(), 2);
    assert_eq!(all.scalar("cpus"), Scalar::from_thousandths(6000));
    assert!(!all.contains(&resources("cpus:5")));
    let web = Role::new("web/shop").unwrap();
    assert!(all.iter().all(|r| r.is_allocatable_to(&web)));
    assert_eq!(all.allocatable_to(&Role::any()), resources("cpus:4"));
}

#[test]
fn a_volume_is_taken_as_a_whole() {
    let volume = |size: u64| Resources::from_iter([volume(size)]);
    assert!(!volume(10).contains(&volume(5)));
    assert!(volume(10).contains(&volume(10)));
    assert_eq!(volume(10).plus(&volume(10)).len(), 2);
    assert!(!volume(10).contains(&volume(10).plus(&volume(10))));
    assert_eq!(volume(10).plus(&volume(10)).minus(&volume(10)), volume(10));
    assert_eq!(volume(10).minus(&volume(5)), volume(10));
    assert_eq!(volume(10).stripped(), resources("disk:0.01"));
}

#[test]
fn a_shared_volume_counts_its_copies() {
    let one = Resources::from(shared(10));
    let two = one.plus(&one);
    assert_eq!((two.len(), two.count(&shared(10))), (1, 2));
    assert_eq!(two.scalar("disk"), one.scalar("disk"));
    assert!(two.contains(&one) && !one.contains(&two));
    assert_ne!(one, two);
    assert_eq!(two.minus(&one), one);
    assert_eq!(one.checked_minus(&two), None);
    assert_eq!(one.minus(&two), Resources::new());
    assert_eq!(two.without_further_copies(), one);
    // Of another size it is another volume, and unshared it is another thing.
    assert_eq!(one.plus(&shared(20).into()).len(), 2);
    assert!(!one.contains(&volume(10).into()));
}

#[test]
fn which_disks_can_be_divided() {
    let identified = |kind| DiskSource { id: Some("i".into()), ..DiskSource::new(kind) };
    for (source, divisible) in [
        (DiskSource::new(DiskKind::Path), true),
        (identified(DiskKind::Path), true),
        (DiskSource::new(DiskKind::Mount), false),
        (DiskSource::new(DiskKind::Block), false),
        (DiskSource::new(DiskKind::Raw), true),
        (identified(DiskKind::Raw), false),
    ] {
        let (large, small) = (disk(10, source.clone()), disk(4, source.clone()));
        let all = Resources::from(large.clone());
        assert_eq!(all.contains(&small.clone().into()), divisible, "{source}");
        assert_eq!(all.plus(&all).len() == 1, divisible, "{source}");
        let left = if divisible { disk(6, source) } else { large };
        assert_eq!(all.minus(&small.into()), left.into());
    }
}

#[test]
fn what_says_how_a_resource_is_used_makes_no_other_resource() {
    let used = volume(10).with(|traits| {
        traits.disk = Some(Arc::new(Disk {
            persistence: Some(Persistence { id: "v".into(), principal: Some("p".into()) }),
            volume: Some(Opaque(Arc::new([1, 2]))),
            source: None,
        }));
    });
    assert_eq!(used, volume(10));
    assert!(Resources::from(volume(10)).contains(&used.clone().into()));
    let allocated = |resource: &Resource| resource.allocated_to(&Role::new("a").unwrap());
    assert_eq!(allocated(&used), allocated(&volume(10)));
    assert_ne!(allocated(&used), volume(10));
    // Yet it is kept.
    assert!(allocated(&used).disk.as_ref().unwrap().volume.is_some());
    let other = volume(10).with(|traits| {
        traits.disk = Some(Arc::new(Disk {
            persistence: Some(Persistence { id: "w".into(), principal: None }),
            ..Disk::default()
        }));
    });
    assert_ne!(other, volume(10));

    let (ab, ba) = (labelled(&[("a", "1"), ("b", "2")]), labelled(&[("b", "2"), ("a", "1")]));
    let cpus = |reservation: &Reservation| resources("cpus:1").push_reservation(reservation);
    assert_eq!(cpus(&ab), cpus(&ba));
    assert_eq!(cpus(&ab).plus(&cpus(&ba)).len(), 1);
    assert_ne!(cpus(&ab), cpus(&labelled(&[("a", "1"), ("b", "3")])));
    let metadata = |order: [usize; 2]| {
        let labels = [("x".to_owned(), None), ("y".to_owned(), None)];
        let metadata = Some(order.map(|i| labels[i].clone()).to_vec());
        disk(1, DiskSource { metadata, ..DiskSource::new(DiskKind::Raw) })
    };
    assert_eq!(metadata([0, 1]), metadata([1, 0]));
}

#[test]
fn many_kinds_are_found_in_any_order() {
    let entry = |i: usize| {
        let reservation = labelled(&[("key", &format!("value_{i}"))]);
        let mut all = resources("cpus:1;mem:2").push_reservation(&reservation);
        all.add(disk(i as u64 + 1, DiskSource::new(DiskKind::Mount)));
        all
    };
    let forwards: Resources = (0..100).flat_map(|i| entry(i).0).collect();
    let backwards: Resources = (0..100).rev().flat_map(|i| entry(i).0).collect();
    assert_eq!(forwards.len(), 300);
    assert_eq!(forwards, backwards);
    let mut twice = forwards.clone();
    twice.add_all(&backwards);
    assert_eq!(twice.len(), 400);
    assert!(twice.contains(&forwards));
    twice.subtract_all(&backwards);
    assert_eq!(twice, forwards);
    twice.subtract_all(&backwards);
    assert!(twice.is_empty(), "{twice}");
}

#[test]
fn the_order_is_that_in_which_kinds_came() {
    let mut all = resources("cpus:1;mem:2;disk:3");
    all.subtract_all(&resources("cpus:1"));
    all.add_all(&resources("ports:[1-2];mem:1"));
    assert_eq!(all.to_string(), "mem:3; disk:3; ports:[1-2]");
}
