//! Our descriptors against the tables of the original's messages.

use std::collections::{BTreeMap, BTreeSet};

use alcazar_wire::descriptor::{
    ENUMS, EnumDescriptor, FieldDescriptor, Kind, Label, MESSAGES, MessageDescriptor,
};
use alcazar_wire::{Described, Names, v1};

/// Rows of the tables that our one type for both families cannot have, each with the reason.
const DIFFERENT: [(&str, &str, &str); 3] = [
    (
        "mesos.quota.QuotaRequest",
        "force",
        "v0 has a default of false where v1 has none; nobody prints this message",
    ),
    (
        "mesos.scheduler.Response",
        "reconcile_operations",
        "deprecated in v1 only; a message without default, so nothing follows from it",
    ),
    (
        "mesos.scheduler.Response.ReconcileOperations",
        "operation_statuses",
        "deprecated in v1 only; a list, so nothing follows from it",
    ),
];

struct Row {
    number: u32,
    field: String,
    label: String,
    of: String,
    oneof: Option<String>,
    default: Option<String>,
    deprecated: bool,
}

fn rows(name: &str) -> Option<Vec<Vec<String>>> {
    let path = testkit::shared::directory()?.join("reference/wire").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some(text.lines().skip(1).map(|l| l.split('\t').map(str::to_owned).collect()).collect())
}

fn messages() -> Option<Vec<(String, Vec<Row>)>> {
    let some = |text: &str| (text != "-").then(|| text.to_owned());
    let mut messages: Vec<(String, Vec<Row>)> = Vec::new();
    for row in rows("fields.tsv")? {
        let [message, number, field, label, of, oneof, options, _file] = &row[..] else {
            panic!("{row:?}")
        };
        if messages.last().is_none_or(|(name, _)| name != message) {
            messages.push((message.clone(), Vec::new()));
        }
        if number == "-" {
            continue;
        }
        let options: Vec<&str> = options.split(',').collect();
        messages.last_mut().unwrap().1.push(Row {
            number: number.parse().unwrap(),
            field: field.clone(),
            label: label.clone(),
            of: of.clone(),
            oneof: some(oneof),
            default: options.iter().find_map(|o| o.strip_prefix("default=")).map(str::to_owned),
            deprecated: options.contains(&"deprecated"),
        });
    }
    Some(messages)
}

/// Every message by its own name and by that of its v0 twin.
fn by_name() -> BTreeMap<&'static str, (&'static MessageDescriptor, Names)> {
    let mut all = BTreeMap::new();
    for m in MESSAGES {
        assert!(all.insert(m.name, (*m, m.natural_names())).is_none(), "{} twice", m.name);
        if let Some(twin) = m.v0_name {
            assert!(all.insert(twin, (*m, Names::V0)).is_none(), "{twin} twice");
        }
    }
    all
}

fn enums_by_name() -> BTreeMap<&'static str, (&'static EnumDescriptor, Names)> {
    let mut all = BTreeMap::new();
    for e in ENUMS {
        let names = if e.name.starts_with("mesos.v1.") { Names::V1 } else { Names::V0 };
        assert!(all.insert(e.name, (*e, names)).is_none(), "{} twice", e.name);
        if let Some(twin) = e.v0_name {
            assert!(all.insert(twin, (*e, Names::V0)).is_none(), "{twin} twice");
        }
    }
    all
}

/// The type of a field as the tables write it.
fn type_name(field: &FieldDescriptor, names: Names) -> String {
    let of = |name: &'static str, twin: Option<&'static str>| match names {
        Names::V0 => twin.unwrap_or(name).to_owned(),
        Names::V1 => name.to_owned(),
    };
    match field.kind {
        Kind::Double => "double".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Enum(e) => of(e.name, e.v0_name),
        Kind::Message(m) | Kind::Map(m) => of(m.name, m.v0_name),
    }
}

#[test]
fn every_message_and_field_is_as_in_the_tables() {
    let Some(messages) = messages() else { return };
    let ours = by_name();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut different = BTreeSet::new();
    for (name, rows) in &messages {
        let Some((m, names)) = ours.get(name.as_str()).copied() else {
            // Nothing is left out.
            wrong.push(format!("{name}: we do not have it"));
            continue;
        };
        seen.insert(name.as_str());
        // The order of rows is the order of keys in JSON.
        let fields: Vec<_> = m.fields.iter().filter(|f| f.name(names).is_some()).collect();
        let theirs: Vec<_> = rows.iter().map(|r| (r.number, r.field.as_str())).collect();
        let own: Vec<_> = fields.iter().map(|f| (f.number, f.name(names).unwrap())).collect();
        if own != theirs {
            wrong.push(format!("{name}: {theirs:?} are {own:?}"));
            continue;
        }
        for (row, field) in rows.iter().zip(fields) {
            let theirs = (
                row.label.clone(),
                row.of.clone(),
                row.oneof.as_deref(),
                row.default.as_deref(),
                row.deprecated,
            );
            let label = match field.label {
                Label::Optional => "optional",
                Label::Required => "required",
                Label::Repeated => "repeated",
            };
            let own = (
                label.to_owned(),
                type_name(field, names),
                field.oneof,
                field.default,
                field.deprecated,
            );
            if own != theirs {
                if DIFFERENT.iter().any(|(m, f, _)| (*m, *f) == (name, row.field.as_str())) {
                    different.insert(row.field.as_str());
                } else {
                    wrong.push(format!("{name}.{}: {theirs:?} are {own:?}", row.field));
                }
            }
        }
    }
    let beyond: Vec<_> = ours
        .keys()
        .filter(|name| !seen.contains(*name) && !name.starts_with("google.protobuf."))
        .collect();
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(beyond.is_empty(), "not in the tables: {beyond:?}");
    assert_eq!(different.len(), DIFFERENT.len(), "excused without need: {different:?} is all");
    assert_eq!(messages.len(), 975, "messages in the tables");
}

#[test]
fn every_enum_value_is_as_in_the_tables() {
    let Some(rows) = rows("enums.tsv") else { return };
    let mut theirs: BTreeMap<&str, Vec<(i32, &str)>> = BTreeMap::new();
    for row in &rows {
        theirs.entry(&row[0]).or_default().push((row[1].parse().unwrap(), &row[2]));
    }
    let ours = enums_by_name();
    let mut wrong = Vec::new();
    for (name, values) in &theirs {
        let Some((e, names)) = ours.get(name) else {
            wrong.push(format!("{name}: we do not have it"));
            continue;
        };
        let own: Vec<_> = e.values.iter().map(|v| (v.number, v.name(*names))).collect();
        if own != *values {
            wrong.push(format!("{name}: {values:?} are {own:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    let beyond: Vec<_> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
    assert!(beyond.is_empty(), "not in the tables: {beyond:?}");
    assert_eq!(rows.len(), 1020, "values in the tables");
}

#[test]
fn messages_are_called_by_the_names_of_libprocess_paths() {
    assert_eq!(
        alcazar_wire::internal::RegisterSlaveMessage::NAME,
        "mesos.internal.RegisterSlaveMessage"
    );
    assert_eq!(alcazar_wire::protocol::mesos::scheduler::Call::NAME, "mesos.scheduler.Call");
    assert_eq!(v1::AgentInfo::NAME, "mesos.SlaveInfo");
    assert_eq!(v1::scheduler::Call::NAME, "mesos.v1.scheduler.Call");
}

#[test]
fn the_first_name_of_a_number_is_the_one_that_is_printed() {
    let action = ENUMS.iter().find(|e| e.name == "mesos.authorization.Action").unwrap();
    assert_eq!(action.by_number(1).unwrap().v1_name, "REGISTER_FRAMEWORK");
    let alias = action.by_name(Names::V1, "REGISTER_FRAMEWORK_WITH_ROLE").unwrap();
    assert_eq!(alias.number, 1);
    assert!(action.by_number(-1).is_none());
}
