//! Names what a message lacks.

use std::fmt::Write;

use super::Missing;
use crate::descriptor::{Kind, Label, MessageDescriptor, Names};
use crate::raw::{Records, Value};

/// The message that the value of a map entry is, if it is one and absent.
pub(super) fn empty_value(
    entry: &'static MessageDescriptor,
    bytes: &[u8],
) -> Option<&'static MessageDescriptor> {
    let value = entry.position(2)?;
    let Kind::Message(value) = entry.fields[value].kind else { return None };
    let present = Records::new(bytes).flatten().any(|record| record.number == 2);
    (!present).then_some(value)
}

/// Collects the paths of missing fields of a message without singular messages that occur twice:
/// the message's own in the order of declaration, then those of its parts in the order of numbers.
pub(super) fn find(
    m: &'static MessageDescriptor,
    names: Names,
    bytes: &[u8],
    prefix: &mut String,
    paths: &mut Vec<String>,
) {
    let (mut seen, mut parts) = (0_u128, 0_u128);
    for record in Records::new(bytes).flatten() {
        let Some(position) = m.position(record.number) else { continue };
        seen |= 1 << position;
        if let (Kind::Message(_) | Kind::Map(_), Value::Bytes(_)) =
            (m.fields[position].kind, record.value)
        {
            parts |= 1 << position;
        }
    }
    for (position, field) in m.fields.iter().enumerate() {
        if m.required & !seen & (1 << position) != 0 && paths.len() < Missing::MOST {
            paths.push(format!("{prefix}{}", field.label_in(names)));
        }
    }
    let mut parts: Vec<_> = m
        .fields
        .iter()
        .enumerate()
        .filter(|(at, _)| parts & (1 << at) != 0)
        .map(|(_, f)| f)
        .collect();
    parts.sort_unstable_by_key(|field| field.number);
    let length = prefix.len();
    for field in parts {
        let (Kind::Message(inner) | Kind::Map(inner)) = field.kind else { continue };
        let payloads = Records::new(bytes).flatten().filter_map(|record| match record.value {
            Value::Bytes(payload) if record.number == field.number => Some(payload),
            _ => None,
        });
        for (index, payload) in payloads.enumerate() {
            if paths.len() >= Missing::MOST {
                return;
            }
            prefix.push_str(field.label_in(names));
            if field.label == Label::Repeated {
                // Writing to a String cannot fail.
                let _ = write!(prefix, "[{index}]");
            }
            prefix.push('.');
            find(inner, names, payload, prefix, paths);
            if let (Kind::Map(_), Some(value)) = (field.kind, empty_value(inner, payload)) {
                prefix.push_str("value.");
                find(value, names, b"", prefix, paths);
            }
            prefix.truncate(length);
        }
    }
}
