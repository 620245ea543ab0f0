//! Messages to bytes.

use crate::descriptor::{Described, Kind, Label, MessageDescriptor};
use crate::raw::{Record, Records, Value, put_varint};

/// Encodes a message as the original does: known fields in ascending order of their numbers,
/// lists unpacked, what is set written even if it equals its default.
///
/// `prost` alone does all of that but one: it leaves out the value of a map entry that equals the
/// default of its type. The original refuses such an entry where the value has required fields: a
/// limit of `{"cpus": 0.0}` could not be sent. So every message is encoded here.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is what the others use instead")]
pub fn encode<T: Described>(message: &T) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    if T::DESCRIPTOR.has_maps && !is_whole(T::DESCRIPTOR, &bytes) {
        let mut whole = Vec::with_capacity(bytes.len() + 64);
        complete(T::DESCRIPTOR, &bytes, &mut whole);
        return whole;
    }
    bytes
}

/// Reads back what [`encode`] has written. For bytes that never left this program: nothing is
/// checked.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "nothing here comes from outside")]
pub fn reread<T: crate::Described>(bytes: &[u8]) -> T {
    let message = T::decode(bytes);
    debug_assert!(message.is_ok(), "bytes of {} are no such message", T::NAME);
    message.unwrap_or_default()
}

/// The part of a message that a field holds, if maps may occur there, and whether it is an entry.
fn part<'a>(
    m: &'static MessageDescriptor,
    record: &Record<'a>,
) -> Option<(&'static MessageDescriptor, &'a [u8], bool)> {
    let field = &m.fields[m.position(record.number)?];
    match (field.kind, record.value) {
        (Kind::Message(inner), Value::Bytes(bytes)) if inner.has_maps => {
            Some((inner, bytes, false))
        }
        (Kind::Map(entry), Value::Bytes(bytes)) => Some((entry, bytes, true)),
        _ => None,
    }
}

/// Whether every map entry has its key and its value.
fn is_whole(m: &'static MessageDescriptor, bytes: &[u8]) -> bool {
    Records::new(bytes).flatten().all(|record| match part(m, &record) {
        Some((entry, bytes, true)) => {
            Records::new(bytes).count() == entry.fields.len() && is_whole(entry, bytes)
        }
        Some((inner, bytes, false)) => is_whole(inner, bytes),
        None => true,
    })
}

fn complete(m: &'static MessageDescriptor, bytes: &[u8], out: &mut Vec<u8>) {
    for record in Records::new(bytes).flatten() {
        let Some((inner, bytes, is_entry)) = part(m, &record) else {
            out.extend_from_slice(record.whole);
            continue;
        };
        let mut whole = Vec::with_capacity(bytes.len() + 16);
        if is_entry {
            for number in [1, 2] {
                let present = Records::new(bytes).flatten().find(|r| r.number == number);
                match present {
                    Some(present) => complete(inner, present.whole, &mut whole),
                    None => put_default(inner, number, &mut whole),
                }
            }
        } else {
            complete(inner, bytes, &mut whole);
        }
        put_bytes(record.number, &whole, out);
    }
}

fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes one field with the value that the type of its message has by default.
fn put_default(m: &'static MessageDescriptor, number: u32, out: &mut Vec<u8>) {
    let Some(position) = m.position(number) else { return };
    let tag = u64::from(number) << 3;
    match m.fields[position].kind {
        Kind::String | Kind::Bytes | Kind::Map(_) => put_bytes(number, b"", out),
        Kind::Message(inner) => {
            let mut required: Vec<u32> = inner
                .fields
                .iter()
                .filter(|f| f.label == Label::Required)
                .map(|f| f.number)
                .collect();
            required.sort_unstable();
            let mut bytes = Vec::new();
            for number in required {
                put_default(inner, number, &mut bytes);
            }
            put_bytes(number, &bytes, out);
        }
        Kind::Double => {
            put_varint(tag | 1, out);
            out.extend_from_slice(&[0; 8]);
        }
        Kind::Enum(e) => {
            put_varint(tag, out);
            let first = e.values.first().map_or(0, |value| value.number);
            put_varint(i64::from(first) as u64, out);
        }
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool => {
            put_varint(tag, out);
            put_varint(0, out);
        }
    }
}
