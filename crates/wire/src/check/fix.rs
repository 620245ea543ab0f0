//! Puts right what the scan found wrong.

use super::{packed_is_valid, packed_varints, replace_not_utf8};
use crate::descriptor::{Kind, Label, MessageDescriptor};
use crate::raw::{self, Records, Value};

/// Writes a message that passed the scan once more, without what has to go.
pub(super) fn fix(m: &'static MessageDescriptor, bytes: &[u8], out: &mut Vec<u8>) {
    // How often each singular message occurs, to merge them where the last one stands.
    let mut left = vec![0_usize; m.fields.len()];
    for record in Records::new(bytes).flatten() {
        if let Some(position) = m.position(record.number) {
            left[position] += 1;
        }
    }
    for record in Records::new(bytes).flatten() {
        let Some(position) = m.position(record.number) else { continue };
        left[position] -= 1;
        let field = &m.fields[position];
        match (field.kind, record.value) {
            (Kind::Message(inner), Value::Bytes(payload)) => {
                if field.label == Label::Repeated {
                    fix_nested(inner, record.number, payload, out);
                } else if left[position] == 0 {
                    // The encodings of two messages, one after the other, are their merger.
                    let mut merged = Vec::new();
                    for other in Records::new(bytes).flatten() {
                        if let (true, Value::Bytes(part)) =
                            (other.number == record.number, other.value)
                        {
                            merged.extend_from_slice(part);
                        }
                    }
                    fix_nested(inner, record.number, &merged, out);
                }
            }
            (Kind::Map(entry), Value::Bytes(payload)) => {
                fix_nested(entry, record.number, payload, out);
            }
            (Kind::String, Value::Bytes(text)) => {
                out.extend_from_slice(&record.whole[..record.whole.len() - text.len()]);
                replace_not_utf8(text, out);
            }
            (Kind::Enum(e), Value::Varint(value)) if e.by_number(value as i32).is_none() => {}
            (Kind::Enum(e), Value::Bytes(packed)) if packed_is_valid(field.kind, packed) => {
                for value in packed_varints(packed) {
                    if e.by_number(value as i32).is_some() {
                        raw::put_varint(u64::from(record.number) << 3, out);
                        raw::put_varint(value, out);
                    }
                }
            }
            (Kind::Bytes, Value::Bytes(_))
            | (Kind::Double, Value::Fixed64(_))
            | (
                Kind::Enum(_)
                | Kind::Int32
                | Kind::Int64
                | Kind::Uint32
                | Kind::Uint64
                | Kind::Bool,
                Value::Varint(_),
            ) => out.extend_from_slice(record.whole),
            (kind, Value::Bytes(packed))
                if field.label == Label::Repeated && packed_is_valid(kind, packed) =>
            {
                out.extend_from_slice(record.whole);
            }
            _ => {}
        }
    }
}

fn fix_nested(m: &'static MessageDescriptor, number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    raw::put_varint(u64::from(number) << 3 | 2, out);
    let start = raw::begin_length(out);
    fix(m, bytes, out);
    raw::end_length(out, start);
}
