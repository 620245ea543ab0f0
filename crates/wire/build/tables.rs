//! Writes the descriptor tables (`src/descriptor.rs` says what they mean) as Rust statics.
//!
//! The v0 names are not in the `.proto` sources: they follow from the v1 names by the rules at the
//! end of this file, which the test over the wire tables holds to the original's names.
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

#[derive(Default)]
struct Index<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
}

impl<'a> Index<'a> {
    fn message(&mut self, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            self.message(&name, nested);
        }
        for nested in &message.enum_type {
            self.enums.push((format!("{name}.{}", nested.name()), nested));
        }
        self.messages.push((name, message));
    }
}

/// The text of `tables.rs`.
pub(crate) fn generate(files: &FileDescriptorSet) -> String {
    let mut index = Index::default();
    for file in &files.file {
        for message in &file.message_type {
            index.message(file.package(), message);
        }
        for each in &file.enum_type {
            index.enums.push((format!("{}.{}", file.package(), each.name()), each));
        }
    }
    let message_ids: HashMap<&str, usize> =
        index.messages.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    let enum_ids: HashMap<&str, usize> =
        index.enums.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    let entries: HashMap<&str, bool> = index
        .messages
        .iter()
        .map(|(name, m)| (name.as_str(), m.options.as_ref().is_some_and(|o| o.map_entry())))
        .collect();
    let with_maps = with_maps(&index, &entries);

    let mut out = String::new();
    for (id, (name, each)) in index.enums.iter().enumerate() {
        enumeration(&mut out, id, name, each);
    }
    for (id, (name, message)) in index.messages.iter().enumerate() {
        let is_entry = entries[name.as_str()];
        let mut fields = String::new();
        let mut required = 0_u128;
        let mut numbers = Vec::new();
        assert!(message.field.len() < 128, "{name}: more fields than the bit sets of `check` hold");
        for (position, field) in message.field.iter().enumerate() {
            let number = usize::try_from(field.number()).expect("field numbers are positive");
            assert!(number < 256, "{name}: a field number too large for a dense table");
            if numbers.len() <= number {
                numbers.resize(number + 1, 0_u8);
            }
            numbers[number] = u8::try_from(position + 1).expect("fewer than 128 fields");
            if field.label() == Label::Required {
                required |= 1 << position;
            }
            let kind = kind(name, field, &message_ids, &enum_ids, &entries);
            field_row(&mut fields, name, message, field, &kind);
        }
        let size = if is_entry {
            // An entry has no type of its own: a key, a value and their share of the tree.
            "96".to_owned()
        } else {
            format!("size_of::<{}>()", rust_path(name))
        };
        writeln!(
            out,
            "static M{id}: MessageDescriptor = MessageDescriptor {{ name: {name:?}, v0_name: {:?}, \
             fields: &[{fields}], numbers: &{numbers:?}, required: {required}, \
             has_maps: {}, size: {size} }};",
            v0_type(name),
            with_maps.contains(name.as_str()),
        )
        .expect("writing to a String succeeds");
        if !is_entry {
            writeln!(
                out,
                "impl Described for {} {{ const DESCRIPTOR: &'static MessageDescriptor = &M{id}; \
                 const NAME: &'static str = {:?}; }}",
                rust_path(name),
                v0_type(name).as_ref().unwrap_or(name),
            )
            .expect("writing to a String succeeds");
        }
    }
    let all: Vec<String> = (0..index.messages.len()).map(|i| format!("&M{i}")).collect();
    let enums: Vec<String> = (0..index.enums.len()).map(|i| format!("&E{i}")).collect();
    writeln!(
        out,
        "/// Every message, map entries included, in no order.\n\
         pub static MESSAGES: &[&MessageDescriptor] = &[{}];\n\
         /// Every enum, in no order.\n\
         pub static ENUMS: &[&EnumDescriptor] = &[{}];",
        all.join(", "),
        enums.join(", ")
    )
    .expect("writing to a String succeeds");
    out
}

/// The messages in which maps occur at any depth, the entries themselves included.
fn with_maps<'a>(index: &'a Index<'_>, entries: &HashMap<&'a str, bool>) -> HashSet<&'a str> {
    let mut found: HashSet<&str> =
        entries.iter().filter(|(_, is_entry)| **is_entry).map(|(name, _)| *name).collect();
    loop {
        let before = found.len();
        for (name, message) in &index.messages {
            let of =
                |f: &FieldDescriptorProto| found.contains(f.type_name().trim_start_matches('.'));
            if message.field.iter().any(of) {
                found.insert(name.as_str());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn enumeration(out: &mut String, id: usize, name: &str, each: &EnumDescriptorProto) {
    let mut values = String::new();
    for value in &each.value {
        write!(
            values,
            "EnumValue {{ number: {}, v1_name: {:?}, v0_name: {:?} }}, ",
            value.number(),
            value.name(),
            v0_value(name, value.name()),
        )
        .expect("writing to a String succeeds");
    }
    // The first name of a number is the one that is printed, so later aliases are left out here.
    let mut sorted: Vec<(i32, usize)> = Vec::new();
    for (position, value) in each.value.iter().enumerate() {
        if !sorted.iter().any(|(number, _)| *number == value.number()) {
            sorted.push((value.number(), position));
        }
    }
    sorted.sort_unstable();
    let sorted: Vec<usize> = sorted.into_iter().map(|(_, position)| position).collect();
    writeln!(
        out,
        "static E{id}: EnumDescriptor = EnumDescriptor {{ name: {name:?}, v0_name: {:?}, \
         values: &[{values}], by_number: &{sorted:?} }};",
        v0_type(name),
    )
    .expect("writing to a String succeeds");
}

fn kind(
    message: &str,
    field: &FieldDescriptorProto,
    messages: &HashMap<&str, usize>,
    enums: &HashMap<&str, usize>,
    entries: &HashMap<&str, bool>,
) -> String {
    let target = field.type_name().trim_start_matches('.');
    match field.r#type() {
        Type::Double => "Kind::Double".to_owned(),
        Type::Int32 => "Kind::Int32".to_owned(),
        Type::Int64 => "Kind::Int64".to_owned(),
        Type::Uint32 => "Kind::Uint32".to_owned(),
        Type::Uint64 => "Kind::Uint64".to_owned(),
        Type::Bool => "Kind::Bool".to_owned(),
        Type::String => "Kind::String".to_owned(),
        Type::Bytes => "Kind::Bytes".to_owned(),
        Type::Enum => format!("Kind::Enum(&E{})", enums[target]),
        Type::Message if entries[target] => format!("Kind::Map(&M{})", messages[target]),
        Type::Message => format!("Kind::Message(&M{})", messages[target]),
        other => panic!("{message}.{}: Mesos has no {other:?} fields", field.name()),
    }
}

fn field_row(
    out: &mut String,
    message_name: &str,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
    kind: &str,
) {
    let deprecated = field.options.as_ref().is_some_and(|o| o.deprecated());
    let default = field.default_value.as_deref();
    let default_json = default.filter(|_| !deprecated).map(|text| match field.r#type() {
        Type::Double if !text.contains('.') => format!("{text}.0"),
        Type::String | Type::Enum => format!("\"{text}\""),
        _ => text.to_owned(),
    });
    let oneof = field.oneof_index.map(|i| {
        message.oneof_decl[usize::try_from(i).expect("an index is positive")].name().to_owned()
    });
    let v1_name = (!v0_only(message_name, field.name())).then(|| field.name());
    write!(
        out,
        "FieldDescriptor {{ number: {}, v1_name: {v1_name:?}, v0_name: {:?}, \
         label: Label::{:?}, kind: {kind}, default: {default:?}, default_json: {default_json:?}, \
         oneof: {oneof:?}, deprecated: {deprecated} }}, ",
        field.number(),
        v0_field(message_name, field.name()),
        field.label(),
    )
    .expect("writing to a String succeeds");
}

/// Where prost-build puts the type of a message.
fn rust_path(name: &str) -> String {
    if let Some(known) = name.strip_prefix("google.protobuf.") {
        return format!("::prost_types::{known}");
    }
    let (scope, last) = name.rsplit_once('.').expect("every message is in a package");
    let mut path = "crate::protocol::".to_owned();
    for segment in scope.split('.') {
        path.push_str(&segment.to_snake_case());
        path.push_str("::");
    }
    path.push_str(&last.to_upper_camel_case());
    path
}

// The rules of the v0 names.

/// Types of v1 whose v0 form is a type of its own, or that v0 never had.
const WITHOUT_TWIN: [&str; 5] = [
    "mesos.v1.master.Call",
    "mesos.v1.master.Call.DrainAgent",
    "mesos.v1.scheduler.APIResult",
    "mesos.v1.scheduler.Call",
    "mesos.v1.scheduler.Call.Subscribe",
];

fn v0_type(name: &str) -> Option<String> {
    let rest = name.strip_prefix("mesos.v1.")?;
    if WITHOUT_TWIN.contains(&name) {
        return None;
    }
    let mut twin = "mesos".to_owned();
    for segment in rest.split('.') {
        twin.push('.');
        twin.push_str(match segment {
            "AgentID" => "SlaveID",
            "AgentInfo" => "SlaveInfo",
            other => other,
        });
    }
    Some(twin)
}

fn v0_field<'a>(message: &str, field: &'a str) -> &'a str {
    match (message, field) {
        ("mesos.v1.master.Response.GetAgents.Agent", "agent_info")
        | ("mesos.v1.master.Event.AgentRemoved", "agent_id") => field,
        (_, "agent_id") if message.starts_with("mesos.v1.") => "slave_id",
        (_, "agent_info") if message.starts_with("mesos.v1.") => "slave_info",
        _ => field,
    }
}

/// The one field that v0 has and v1 dropped, in a type that is otherwise shared.
fn v0_only(message: &str, field: &str) -> bool {
    message == "mesos.v1.AgentInfo" && field == "checkpoint"
}

fn v0_value(of: &str, value: &str) -> String {
    match of {
        "mesos.v1.TaskStatus.Reason" | "mesos.v1.TaskStatus.Source" => {
            value.replace("_AGENT", "_SLAVE")
        }
        _ => value.to_owned(),
    }
}
