//! Which changes of its own description an agent id survives (`--reconfiguration_policy`).

use wire::v1::{AgentInfo, Attribute, Resource, value};

use super::rules::Reconfiguration;
use crate::resource_format::upgrade;

/// What changed. Names the first difference that the policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Difference {
    #[error("the attributes differ")]
    Attributes,
    #[error("the attributes `{0}` changed or is gone")]
    Attribute(String),
    #[error("the domain differs")]
    Domain,
    #[error("the host name was `{0}` and is `{1}`")]
    Hostname(String, String),
    #[error("the port was {0} and is {1}")]
    Port(i32, i32),
    #[error("the resource `{0}` shrank or is gone")]
    Resource(String),
    #[error("the resources differ")]
    Resources,
}

/// Compares what an earlier run registered with what this one is.
pub(super) fn check(
    policy: Reconfiguration,
    before: &AgentInfo,
    now: &AgentInfo,
) -> Result<(), Difference> {
    if before.hostname != now.hostname {
        return Err(Difference::Hostname(before.hostname.clone(), now.hostname.clone()));
    }
    if before.port() != now.port() {
        return Err(Difference::Port(before.port(), now.port()));
    }
    let (old, new) = (upgrade(before.resources.clone()), upgrade(now.resources.clone()));
    match policy {
        Reconfiguration::Equal => {
            if !same_set(&old, &new) {
                return Err(Difference::Resources);
            }
            if !same_set(&before.attributes, &now.attributes) {
                return Err(Difference::Attributes);
            }
            if before.domain != now.domain {
                return Err(Difference::Domain);
            }
        }
        Reconfiguration::Additive => {
            if let Some(shrunk) = old.iter().find(|o| !new.iter().any(|n| contains(n, o))) {
                return Err(Difference::Resource(shrunk.name.clone()));
            }
            let lost = |a: &&Attribute| !now.attributes.contains(a);
            if let Some(attribute) = before.attributes.iter().find(lost) {
                return Err(Difference::Attribute(attribute.name.clone()));
            }
            if before.domain.is_some() && before.domain != now.domain {
                return Err(Difference::Domain);
            }
        }
    }
    Ok(())
}

fn same_set<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.contains(x))
}

/// Whether `now` is the resource `before`, or more of it.
fn contains(now: &Resource, before: &Resource) -> bool {
    let mut same_kind = before.clone();
    same_kind.scalar.clone_from(&now.scalar);
    same_kind.ranges.clone_from(&now.ranges);
    same_kind.set.clone_from(&now.set);
    if same_kind != *now {
        return false;
    }
    let covers = |outer: &value::Range, inner: &value::Range| {
        outer.begin <= inner.begin && inner.end <= outer.end
    };
    let scalar = match (&now.scalar, &before.scalar) {
        (Some(now), Some(before)) => now.value >= before.value,
        (now, before) => now == before,
    };
    let ranges = match (&now.ranges, &before.ranges) {
        (Some(now), Some(before)) => {
            before.range.iter().all(|inner| now.range.iter().any(|outer| covers(outer, inner)))
        }
        (now, before) => now == before,
    };
    let set = match (&now.set, &before.set) {
        (Some(now), Some(before)) => before.item.iter().all(|item| now.item.contains(item)),
        (now, before) => now == before,
    };
    scalar && ranges && set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(cpus: f64, attributes: &[&str]) -> AgentInfo {
        AgentInfo {
            hostname: "h".into(),
            resources: vec![Resource {
                name: "cpus".into(),
                scalar: Some(value::Scalar { value: cpus }),
                ..Default::default()
            }],
            attributes: attributes
                .iter()
                .map(|name| Attribute { name: (*name).into(), ..Default::default() })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    #[expect(deprecated, reason = "the older form of a resource")]
    fn equal_allows_no_change_but_another_spelling_and_order() {
        let mut old_form = info(4.0, &["a", "b"]);
        old_form.resources[0].role = Some("*".into());
        assert_eq!(check(Reconfiguration::Equal, &old_form, &info(4.0, &["b", "a"])), Ok(()));
        for changed in [info(5.0, &["a", "b"]), info(4.0, &["a"]), info(4.0, &["a", "c"])] {
            assert!(check(Reconfiguration::Equal, &old_form, &changed).is_err());
        }
    }

    #[test]
    fn additive_allows_more_and_never_less() {
        let before = info(4.0, &["a"]);
        assert_eq!(check(Reconfiguration::Additive, &before, &info(5.0, &["a", "b"])), Ok(()));
        let less = check(Reconfiguration::Additive, &before, &info(3.0, &["a"]));
        assert_eq!(less, Err(Difference::Resource("cpus".into())));
        let gone = check(Reconfiguration::Additive, &before, &info(4.0, &[]));
        assert_eq!(gone, Err(Difference::Attribute("a".into())));
    }

    #[test]
    fn host_name_and_port_never_change() {
        for policy in [Reconfiguration::Equal, Reconfiguration::Additive] {
            let mut other = info(4.0, &[]);
            other.port = Some(1);
            assert!(matches!(check(policy, &info(4.0, &[]), &other), Err(Difference::Port(..))));
            other = info(4.0, &[]);
            other.hostname = "other".into();
            assert!(check(policy, &info(4.0, &[]), &other).is_err());
        }
    }
}
