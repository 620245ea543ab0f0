//! The text form of resources, as flags have it: `cpus:4;mem(web):1024;ports:[31000-32000]`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Ranges, Reservation, ReservationKind, Resource, ResourceError, Resources, Scalar, Traits, Value,
};
use crate::role::Role;

/// Reads `name:value;name(role):value;…`. A value is a number, ranges `[1-2,5-6]` or a set
/// `{a,b}`. Resources that name no role get `default_role`; `*` means unreserved, any other role
/// a static reservation. What has one name must have one type.
pub fn parse(text: &str, default_role: &Role) -> Result<Resources, ResourceError> {
    let parsed = text
        .split([';', '\n'])
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .map(|token| parse_one(token, default_role))
        .collect::<Result<Vec<_>, _>>()?;
    one_type_per_name(&parsed)?;
    Ok(parsed.into_iter().collect())
}

/// Checks that what has one name has one type, as the resources that a flag states must.
pub fn one_type_per_name(resources: &[Resource]) -> Result<(), ResourceError> {
    let mut types = BTreeMap::new();
    for resource in resources {
        let value_type = resource.kind().value_type();
        if *types.entry(&resource.name).or_insert(value_type) != value_type {
            return Err(ResourceError::MixedTypes(resource.name.to_string()));
        }
    }
    Ok(())
}

fn parse_one(token: &str, default_role: &Role) -> Result<Resource, ResourceError> {
    let form = || ResourceError::Form(token.to_owned());
    let (key, value) = token.split_once(':').ok_or_else(form)?;
    if value.contains(':') || key.is_empty() || value.trim().is_empty() {
        return Err(form());
    }
    let (name, role) = match key.split_once('(') {
        None => (key.trim(), default_role.clone()),
        Some((name, rest)) => {
            let (role, behind) =
                rest.split_once(')').ok_or_else(|| ResourceError::Parentheses(token.to_owned()))?;
            if !behind.trim().is_empty() {
                return Err(form());
            }
            let role = Role::new(role.trim())
                .map_err(|source| ResourceError::Role { name: name.trim().to_owned(), source })?;
            (name.trim(), role)
        }
    };
    if name.is_empty() {
        return Err(ResourceError::EmptyName);
    }
    let mut traits = Traits::new(name);
    if role != Role::any() {
        traits.reservations.push(Reservation {
            kind: ReservationKind::Static,
            role,
            principal: None,
            labels: None,
        });
    }
    Ok(Resource::of(traits, parse_value(name, value.trim())?))
}

fn parse_value(name: &str, text: &str) -> Result<Value, ResourceError> {
    let bad = |reason| {
        let (name, text) = (name.to_owned(), text.to_owned());
        ResourceError::Text { name, text, reason }
    };
    let items = |open, close| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        Some(inner.split(',').map(str::trim).filter(|item| !item.is_empty()))
    };
    if let Some(items) = items('[', ']') {
        let mut ranges = Vec::new();
        for item in items {
            let (begin, end) =
                item.split_once('-').ok_or_else(|| bad("Expecting one or more \"ranges\""))?;
            let number = |text: &str| {
                text.trim().parse::<u64>().map_err(|_| bad("Expecting non-negative integers"))
            };
            ranges.push((number(begin)?, number(end)?));
        }
        return Ranges::new(ranges).map(Value::Ranges);
    }
    if let Some(items) = items('{', '}') {
        let mut set = BTreeSet::new();
        for item in items {
            if !set.insert(item.to_owned()) {
                return Err(ResourceError::DuplicateItem);
            }
        }
        return Ok(Value::Set(set.into()));
    }
    if text.contains(['[', ']', '{', '}', '(', ')']) {
        return Err(bad("Mismatched brackets"));
    }
    let number = text
        .parse()
        .map_err(|_| ResourceError::IsText { name: name.to_owned(), text: text.to_owned() })?;
    Scalar::from_f64(number).map(Value::Scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_and_prints() {
        for (text, printed) in [
            ("cpus:4;mem:1024;ports:[31000-32000]", "cpus:4; mem:1024; ports:[31000-32000]"),
            (" cpus : 0.5 ; ", "cpus:0.5"),
            ("ports:[1-2, 3-4,8-9]", "ports:[1-4, 8-9]"),
            ("tags:{b, a}", "tags:{a, b}"),
            ("cpus(web):1;cpus:1", "cpus(reservations: [(STATIC,web)]):1; cpus:1"),
            ("cpus(*):1;cpus:0", "cpus:1"),
            ("", "{}"),
        ] {
            assert_eq!(parse(text, &Role::any()).unwrap().to_string(), printed);
        }
        let web = Role::new("web").unwrap();
        assert_eq!(parse("cpus:1", &web).unwrap(), parse("cpus(web):1", &Role::any()).unwrap());
    }

    #[test]
    fn what_is_no_resource_is_an_error() {
        for bad in [
            "cpus",
            "cpus:1:2",
            ":1",
            "cpus:",
            "cpus:x",
            "cpus:-1",
            "cpus:NaN",
            "cpus:inf",
            "cpus:1e300",
            "ports:[5-1]",
            "ports:[1]",
            "ports:[-1-5]",
            "ports:[1-2",
            "tags:{a,a}",
            "cpus(web:1",
            "cpus(a//b):1",
            "cpus(a)b:1",
            "cpus(a:1)",
            "cpus:1;cpus:{a}",
        ] {
            assert!(parse(bad, &Role::any()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_words_are_those_of_the_original() {
        for (text, error) in [
            ("cpus", "Bad value for resources, missing or extra ':' in cpus"),
            ("cpus:1:2", "Bad value for resources, missing or extra ':' in cpus:1:2"),
            ("cpus(a:1", "Bad value for resources, mismatched parentheses in cpus(a:1"),
            ("cpus:x", "Bad type for resource cpus value x type TEXT"),
            (
                "ports:[1]",
                "Failed to parse resource ports value [1] error Expecting one or more \"ranges\"",
            ),
            ("ports:[1-2", "Failed to parse resource ports value [1-2 error Mismatched brackets"),
            ("ports:[5-1]", "Invalid ranges resource: begin > end"),
            ("cpus:-1", "Invalid scalar resource: value < 0"),
            (
                "cpus:1;cpus:{a}",
                "Resources with the same name ('cpus') but different types are not allowed",
            ),
        ] {
            assert_eq!(parse(text, &Role::any()).unwrap_err().to_string(), error);
        }
    }
}
