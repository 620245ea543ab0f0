use std::sync::Arc;

use super::*;
use crate::resources::{Disk, Persistence, ReservationKind, parse};
use crate::role::Role;

fn resources(text: &str) -> Resources {
    parse(text, &Role::any()).unwrap()
}

fn reservation(role: &str) -> Reservation {
    Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new(role).unwrap(),
        principal: Some("p".into()),
        labels: None,
    }
}

fn reserved(text: &str, role: &str) -> Resources {
    resources(text).push_reservation(&reservation(role))
}

fn volume(size: u64, shared: bool) -> Resource {
    let disk = reserved(&format!("disk:{size}"), "a");
    let disk = disk.iter().next().unwrap();
    disk.with(|traits| {
        traits.shared = shared;
        traits.disk = Some(Arc::new(Disk {
            persistence: Some(Persistence { id: "v".into(), principal: None }),
            ..Disk::default()
        }));
    })
}

#[test]
fn reservations_come_and_go_one_layer_at_a_time() {
    let all = resources("cpus:4;mem:100");
    let reserve = Conversion::reserve(&reserved("cpus:1;mem:10", "a")).unwrap();
    let once = all.apply(&reserve).unwrap();
    assert_eq!(once, resources("cpus:3;mem:90").plus(&reserved("cpus:1;mem:10", "a")));

    let refined = reserved("cpus:1", "a").push_reservation(&reservation("a/b"));
    let refine = Conversion::reserve(&refined).unwrap();
    assert!(matches!(all.apply(&refine), Err(ConversionError::NotContained { .. })));
    let twice = once.apply(&refine).unwrap();
    assert!(twice.contains(&refined));
    assert_eq!(twice.apply(&Conversion::unreserve(&refined).unwrap()).unwrap(), once);
    let back = Conversion::unreserve(&reserved("cpus:1;mem:10", "a")).unwrap();
    assert_eq!(once.apply(&back).unwrap(), all);

    let error = all.apply(&Conversion::reserve(&reserved("gpus:1", "a")).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "cpus:4; mem:100 does not contain gpus:1");
    assert!(Conversion::reserve(&resources("cpus:1")).is_err());
    assert!(Conversion::unreserve(&resources("cpus:1")).is_err());
}

#[test]
fn reservations_change_hands_with_a_source() {
    let (a, b) = (reserved("cpus:1", "a"), reserved("cpus:1", "b"));
    let change = Conversion::re_reserve(&a, &b);
    assert_eq!(a.apply(&change).unwrap(), b);
    assert!(b.apply(&change).is_err());
}

#[test]
fn steps_build_upon_each_other() {
    let one = reserved("cpus:1", "a");
    let two = one.push_reservation(&reservation("a/b"));
    let both = Conversion::reserve(&one.plus(&two)).unwrap();
    assert_eq!(resources("cpus:1").apply(&both).unwrap(), two);
}

#[test]
fn volumes_are_made_from_disk_space_and_become_it_again() {
    let disk = reserved("disk:100", "a");
    let create = Conversion::create(&volume(30, false).into()).unwrap();
    let created = disk.apply(&create).unwrap();
    assert_eq!(created, reserved("disk:70", "a").plus(&volume(30, false).into()));
    let destroy = Conversion::destroy(&volume(30, false).into()).unwrap();
    assert_eq!(created.apply(&destroy).unwrap(), disk);
    assert!(disk.apply(&destroy).is_err());
    assert!(resources("disk:100").apply(&create).is_err());
    assert!(Conversion::create(&disk).is_err());
}

#[test]
fn a_shared_volume_with_more_copies_is_not_destroyed() {
    let shared = Resources::from(volume(30, true));
    let destroy = Conversion::destroy(&shared).unwrap();
    let twice = shared.plus(&shared);
    assert_eq!(
        twice.apply(&destroy).unwrap_err().to_string(),
        "Persistent volume disk(reservations: [(DYNAMIC,a,p)])[v]<SHARED>:30 cannot be removed \
         due to additional shared copies"
    );
    assert_eq!(shared.apply(&destroy).unwrap(), reserved("disk:30", "a"));
}

#[test]
fn volumes_grow_and_shrink() {
    let all = reserved("disk:70", "a").plus(&volume(30, false).into());
    let ten = reserved("disk:10", "a");
    let ten = ten.iter().next().unwrap();
    let grown = all.apply(&Conversion::grow_volume(&volume(30, false), ten).unwrap()).unwrap();
    assert_eq!(grown, reserved("disk:60", "a").plus(&volume(40, false).into()));
    let shrink = Conversion::shrink_volume(&volume(40, false), Scalar::from_thousandths(10_000));
    assert_eq!(grown.apply(&shrink.unwrap()).unwrap(), all);
    for size in [0, 30_000, 40_000] {
        let size = Scalar::from_thousandths(size);
        assert!(Conversion::shrink_volume(&volume(30, false), size).is_err());
    }
    let provided = volume(30, false).with(|traits| traits.provider = Some("p".into()));
    assert_eq!(
        Conversion::grow_volume(&provided, ten).unwrap_err().to_string(),
        "Operation not supported for resource provider"
    );
}

#[test]
fn remembered_resources_take_the_place_of_what_they_were_made_from() {
    let configured = resources("cpus:4;disk:100");
    let remembered = reserved("cpus:1", "a").plus(&volume(30, true).into());
    let total = configured.with_checkpointed(&remembered).unwrap();
    assert_eq!(total, resources("cpus:3;disk:70").plus(&remembered));
    assert_eq!(total.checkpointed(), remembered);
    assert_eq!(
        resources("cpus:4;disk:20").with_checkpointed(&remembered).unwrap_err().to_string(),
        "Incompatible agent resources: cpus:3; disk:20; cpus(reservations: [(DYNAMIC,a,p)]):1 \
         does not contain disk:30"
    );
    assert!(configured.with_checkpointed(&resources("cpus(a):1")).is_err());
}
