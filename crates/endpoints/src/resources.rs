//! Resources and attributes as the endpoints of both daemons print them.

use std::collections::BTreeMap;

use model::resources::{Resources, Value};
use wire::json::{Object, object};
use wire::resources::Form;
use wire::v1;

/// The *Resources object* of the old endpoints: scalars as numbers, of which four are always
/// there; ranges and sets as text; what is revocable under a name of its own.
pub fn object_of(out: &mut Object<'_>, key: &str, resources: &Resources) {
    out.object(key, |o| members(o, resources));
}

fn members(out: &mut Object<'_>, resources: &Resources) {
    for name in ["disk", "mem", "gpus", "cpus"] {
        out.field(name, scalar(resources, name, false));
    }
    let mut others: BTreeMap<String, String> = BTreeMap::new();
    let mut revocable: BTreeMap<String, f64> = BTreeMap::new();
    let mut scalars: BTreeMap<&str, f64> = BTreeMap::new();
    let mut texts: BTreeMap<String, Value> = BTreeMap::new();
    for resource in resources.iter() {
        let name: &str = &resource.name;
        match (&resource.value, resource.revocable) {
            (Value::Scalar(_), true) => {
                revocable.insert(format!("{name}_revocable"), scalar(resources, name, true));
            }
            (Value::Scalar(_), false) if !matches!(name, "disk" | "mem" | "gpus" | "cpus") => {
                scalars.insert(name, scalar(resources, name, false));
            }
            (Value::Scalar(_), false) => {}
            (value, revocable) => {
                let key = if revocable { format!("{name}_revocable") } else { name.to_owned() };
                match texts.remove(&key) {
                    Some(sum) => texts.insert(key, union(&sum, value)),
                    None => texts.insert(key, value.clone()),
                };
            }
        }
    }
    others.extend(texts.into_iter().map(|(name, value)| (name, value.to_string())));
    for (name, value) in &scalars {
        out.field(name, *value);
    }
    for (name, value) in &revocable {
        out.field(name, *value);
    }
    for (name, text) in &others {
        out.field(name, text);
    }
}

fn scalar(resources: &Resources, name: &str, revocable: bool) -> f64 {
    let of = |r: &model::resources::Resource| *r.name == *name && r.revocable == revocable;
    resources.filter(of).scalar(name).as_f64()
}

/// Ranges or sets of one name, which may stand under several reservations.
fn union(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Ranges(a), Value::Ranges(b)) => Value::Ranges(a.union(b)),
        (Value::Set(a), Value::Set(b)) => {
            Value::Set(a.union(b).cloned().collect::<std::collections::BTreeSet<_>>().into())
        }
        _ => b.clone(),
    }
}

/// Quantities of scalars: `{"cpus":0.1,"mem":32.0}`.
pub fn quantities(out: &mut Object<'_>, key: &str, resources: &Resources) {
    out.object(key, |o| {
        for (name, amount) in resources.scalar_quantities().iter() {
            o.field(name, amount.as_f64());
        }
    });
}

/// Resources as messages, in the form that endpoints show.
pub fn shown(resources: &Resources) -> Vec<v1::Resource> {
    wire::resources::write(resources, Form::Endpoint)
}

/// Resources as messages, in the form after reservation refinement.
pub fn kept(resources: &Resources) -> Vec<v1::Resource> {
    wire::resources::write(resources, Form::PostRefinement)
}

/// Attributes by name; numbers as numbers, ranges and sets as text.
pub fn attributes(out: &mut Object<'_>, key: &str, attributes: &[v1::Attribute]) {
    out.object(key, |o| {
        for attribute in attributes {
            match attribute.r#type() {
                v1::value::Type::Scalar => {
                    let value = attribute.scalar.as_ref().map_or(0.0, |s| s.value);
                    o.field(&attribute.name, value);
                }
                v1::value::Type::Ranges => {
                    let ranges = attribute.ranges.iter().flat_map(|r| &r.range);
                    let texts: Vec<_> = ranges.map(|r| format!("{}-{}", r.begin, r.end)).collect();
                    o.field(&attribute.name, format!("[{}]", texts.join(", ")));
                }
                v1::value::Type::Set => {
                    let items: Vec<_> =
                        attribute.set.iter().flat_map(|s| &s.item).cloned().collect();
                    o.field(&attribute.name, format!("{{{}}}", items.join(", ")));
                }
                v1::value::Type::Text => {
                    o.optional(&attribute.name, attribute.text.as_ref().map(|t| &t.value));
                }
            }
        }
    });
}

/// One object as bytes.
pub fn bytes_of(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, fill);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::resources::{Ranges, Resource, Scalar};
    use model::role::Role;

    fn print(resources: &Resources) -> String {
        String::from_utf8(bytes_of(|o| members(o, resources))).unwrap()
    }

    #[test]
    fn four_scalars_are_always_there_and_others_when_they_are() {
        assert_eq!(print(&Resources::new()), r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":0.0}"#);
        let ranges = |a, b| Value::Ranges(Ranges::new([(a, b)]).unwrap());
        let cpus = |n| Value::Scalar(Scalar::from_f64(n).unwrap());
        let mut all = Resources::new();
        all.add(Resource::new("cpus", cpus(1.5)));
        all.add(Resource::new("cpus", cpus(2.0)).with(|traits| traits.revocable = true));
        all.add(Resource::new("ports", ranges(31000, 31005)));
        let reserved =
            Resource::new("ports", ranges(32000, 32001)).allocated_to(&Role::new("r").unwrap());
        all.add(reserved);
        assert_eq!(
            print(&all),
            concat!(
                r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":1.5,"cpus_revocable":2.0,"#,
                r#""ports":"[31000-31005, 32000-32001]"}"#
            )
        );
    }
}
