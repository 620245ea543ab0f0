//! Protobuf bytes to JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text;
use crate::check::packed_varints;
use crate::descriptor::{Described, FieldDescriptor, Kind, Label, MessageDescriptor, Names};
use crate::encode::encode;
use crate::raw::{Malformed, Records, Value};
use crate::v1;

/// How a message is printed.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Which names it uses.
    pub names: Names,
    /// Repeated fields, by message and number, that are printed as `[]` when they are empty.
    pub even_empty: &'static [(&'static MessageDescriptor, &'static [u32])],
    /// Whether an agent's information has the key `checkpoint`, which v1 does not know, in v1
    /// names, too.
    pub agent_checkpoint: bool,
}

impl Style {
    /// v0 names.
    pub const V0: Self = Self { names: Names::V0, even_empty: &[], agent_checkpoint: true };
    /// v1 names.
    pub const V1: Self = Self { names: Names::V1, even_empty: &[], agent_checkpoint: false };
    /// What the master answers to its read-only v1 calls (GET_STATE, GET_AGENTS, GET_FRAMEWORKS,
    /// GET_EXECUTORS, GET_TASKS) and in the event SUBSCRIBED: the original writes these by hand,
    /// with their lists present even when empty and an agent's information printed from v0.
    pub const MASTER_READ: Self = Self {
        names: Names::V1,
        even_empty: &[
            (v1::master::response::GetAgents::DESCRIPTOR, &[1, 2]),
            (v1::master::response::GetExecutors::DESCRIPTOR, &[1]),
            (v1::master::response::GetFrameworks::DESCRIPTOR, &[1, 2]),
            (v1::master::response::GetTasks::DESCRIPTOR, &[2, 3, 5]),
        ],
        agent_checkpoint: true,
    };
    /// What the agent answers to GET_STATE, GET_TASKS, GET_FRAMEWORKS and GET_EXECUTORS.
    pub const AGENT_READ: Self = Self {
        names: Names::V1,
        even_empty: &[
            (v1::agent::response::GetExecutors::DESCRIPTOR, &[1, 2]),
            (v1::agent::response::GetFrameworks::DESCRIPTOR, &[1, 2]),
            (v1::agent::response::GetTasks::DESCRIPTOR, &[1, 2, 3, 4, 5]),
        ],
        agent_checkpoint: false,
    };
}

impl From<Names> for Style {
    fn from(names: Names) -> Self {
        match names {
            Names::V0 => Self::V0,
            Names::V1 => Self::V1,
        }
    }
}

/// Appends a message as a JSON object.
pub fn write<T: Described>(message: &T, style: Style, out: &mut Vec<u8>) {
    let bytes = encode(message);
    out.push(b'{');
    Transcoder::new(style, out).message(T::DESCRIPTOR, &bytes, true);
    out.push(b'}');
}

/// Appends the members of a message to an object that has been begun; `first` says whether it is
/// still empty, and so does the result.
pub fn members<T: Described>(message: &T, style: Style, out: &mut Vec<u8>, first: bool) -> bool {
    let bytes = encode(message);
    Transcoder::new(style, out).message(T::DESCRIPTOR, &bytes, first)
}

/// Appends the JSON form of an encoded message, for payloads that are kept as bytes. They should
/// have passed [`crate::check`].
///
/// # Errors
/// When the bytes are no protobuf or nested more than 100 deep; what was written until then is
/// taken back.
pub fn transcode(
    message: &'static MessageDescriptor,
    bytes: &[u8],
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let before = out.len();
    out.push(b'{');
    let mut transcoder = Transcoder::new(style, out);
    transcoder.message(message, bytes, true);
    let malformed = transcoder.malformed;
    match malformed {
        Some(e) => {
            out.truncate(before);
            Err(e)
        }
        None => {
            out.push(b'}');
            Ok(())
        }
    }
}

struct Transcoder<'a, 'o> {
    style: Style,
    out: &'o mut Vec<u8>,
    /// The fields of the messages being written, innermost last, each by its position in the order
    /// of declaration.
    entries: Vec<(usize, Value<'a>)>,
    depth: u32,
    malformed: Option<Malformed>,
}

impl<'a, 'o> Transcoder<'a, 'o> {
    fn new(style: Style, out: &'o mut Vec<u8>) -> Self {
        Self { style, out, entries: Vec::new(), depth: 0, malformed: None }
    }

    /// Whether the object is still without members.
    fn message(&mut self, m: &'static MessageDescriptor, bytes: &'a [u8], first: bool) -> bool {
        if self.depth > 100 {
            self.malformed = Some(Malformed::Depth);
            return first;
        }
        self.depth += 1;
        let base = self.entries.len();
        for record in Records::new(bytes) {
            match record {
                Ok(record) => {
                    if let Some(position) = m.position(record.number) {
                        self.entries.push((position, record.value));
                    }
                }
                Err(e) => self.malformed = Some(e),
            }
        }
        if !self.entries[base..].is_sorted_by_key(|(position, _)| *position) {
            self.entries[base..].sort_by_key(|(position, _)| *position);
        }
        let mut first = first;
        let mut at = base;
        let mut end = self.entries.len();
        let last = end;
        for (position, field) in m.fields.iter().enumerate() {
            let start = at;
            while at < last && self.entries[at].0 == position {
                at += 1;
            }
            end = at;
            if let Some(key) = self.key(m, field) {
                self.field(m, field, key, start..end, &mut first);
            }
        }
        debug_assert_eq!(end, last, "every entry has a position among the fields");
        self.entries.truncate(base);
        self.depth -= 1;
        first
    }

    fn key(&self, m: &'static MessageDescriptor, field: &FieldDescriptor) -> Option<&'static str> {
        field.name(self.style.names).or_else(|| {
            let extra = self.style.agent_checkpoint && std::ptr::eq(m, v1::AgentInfo::DESCRIPTOR);
            extra.then_some(field.v0_name)
        })
    }

    fn begin(&mut self, key: &'static str, first: &mut bool) {
        self.out.extend_from_slice(if *first { b"\"" } else { b",\"" });
        *first = false;
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn field(
        &mut self,
        m: &'static MessageDescriptor,
        field: &'static FieldDescriptor,
        key: &'static str,
        range: std::ops::Range<usize>,
        first: &mut bool,
    ) {
        let before = (self.out.len(), *first);
        if field.label == Label::Repeated {
            if range.is_empty() && !self.even_empty(m, field) {
                return;
            }
            self.begin(key, first);
            if let Kind::Map(entry) = field.kind {
                self.map(entry, range);
            } else {
                self.list(field.kind, range);
            }
            return;
        }
        if range.is_empty() {
            if let Some(default) = field.default_json {
                self.begin(key, first);
                self.out.extend_from_slice(default.as_bytes());
            }
            return;
        }
        self.begin(key, first);
        let written = match field.kind {
            Kind::Message(inner) if range.len() > 1 => {
                // The encodings of two messages, one after the other, are their merger.
                let mut merged = Vec::new();
                for (_, value) in &self.entries[range] {
                    if let Value::Bytes(part) = value {
                        merged.extend_from_slice(part);
                    }
                }
                self.out.push(b'{');
                let mut nested = Transcoder::new(self.style, self.out);
                nested.depth = self.depth;
                nested.message(inner, &merged, true);
                self.malformed = self.malformed.or(nested.malformed);
                self.out.push(b'}');
                true
            }
            kind => self.value(kind, self.entries[range.end - 1].1),
        };
        if !written {
            self.out.truncate(before.0);
            *first = before.1;
            if let Some(default) = field.default_json {
                self.begin(key, first);
                self.out.extend_from_slice(default.as_bytes());
            }
        }
    }

    fn even_empty(&self, m: &'static MessageDescriptor, field: &FieldDescriptor) -> bool {
        let mut listed = self.style.even_empty.iter();
        listed.any(|(of, numbers)| std::ptr::eq(*of, m) && numbers.contains(&field.number))
    }

    fn list(&mut self, kind: Kind, range: std::ops::Range<usize>) {
        self.out.push(b'[');
        let mut empty = true;
        for at in range {
            let value = self.entries[at].1;
            match (kind, value) {
                (
                    Kind::Int32
                    | Kind::Int64
                    | Kind::Uint32
                    | Kind::Uint64
                    | Kind::Bool
                    | Kind::Enum(_),
                    Value::Bytes(packed),
                ) => {
                    for each in packed_varints(packed) {
                        self.element(kind, Value::Varint(each), &mut empty);
                    }
                }
                (Kind::Double, Value::Bytes(packed)) => {
                    for each in packed.as_chunks::<8>().0 {
                        let each = Value::Fixed64(u64::from_le_bytes(*each));
                        self.element(kind, each, &mut empty);
                    }
                }
                _ => self.element(kind, value, &mut empty),
            }
        }
        self.out.push(b']');
    }

    fn element(&mut self, kind: Kind, value: Value<'a>, empty: &mut bool) {
        let before = self.out.len();
        if !*empty {
            self.out.push(b',');
        }
        if self.value(kind, value) {
            *empty = false;
        } else {
            self.out.truncate(before);
        }
    }

    fn map(&mut self, entry: &'static MessageDescriptor, range: std::ops::Range<usize>) {
        self.out.push(b'{');
        let mut empty = true;
        for at in range {
            let Value::Bytes(bytes) = self.entries[at].1 else { continue };
            let (mut key, mut value) = (&b""[..], None);
            for record in Records::new(bytes).flatten() {
                match (record.number, record.value) {
                    (1, Value::Bytes(bytes)) => key = bytes,
                    (2, found) => value = Some(found),
                    _ => {}
                }
            }
            let Some(field) = entry.fields.iter().find(|f| f.number == 2) else { continue };
            // An entry without a value has the empty one.
            let value = value.unwrap_or(match field.kind {
                Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Map(_) => Value::Bytes(b""),
                Kind::Double => Value::Fixed64(0),
                _ => Value::Varint(0),
            });
            let before = self.out.len();
            if !empty {
                self.out.push(b',');
            }
            text::string(key, self.out);
            self.out.push(b':');
            if self.value(field.kind, value) {
                empty = false;
            } else {
                self.out.truncate(before);
            }
        }
        self.out.push(b'}');
    }

    /// Whether there was a value to write.
    fn value(&mut self, kind: Kind, value: Value<'a>) -> bool {
        match (kind, value) {
            (Kind::String, Value::Bytes(bytes)) => text::string(bytes, self.out),
            (Kind::Message(m), Value::Bytes(bytes)) => {
                self.out.push(b'{');
                self.message(m, bytes, true);
                self.out.push(b'}');
            }
            (Kind::Double, Value::Fixed64(bits)) => text::double(f64::from_bits(bits), self.out),
            (Kind::Int32, Value::Varint(v)) => text::integer(v as i32, self.out),
            (Kind::Int64, Value::Varint(v)) => text::integer(v as i64, self.out),
            (Kind::Uint32, Value::Varint(v)) => text::integer(v as u32, self.out),
            (Kind::Uint64, Value::Varint(v)) => text::integer(v, self.out),
            (Kind::Bool, Value::Varint(v)) => {
                self.out.extend_from_slice(if v == 0 { b"false" } else { b"true" });
            }
            (Kind::Enum(e), Value::Varint(v)) => {
                let Some(known) = e.by_number(v as i32) else { return false };
                self.out.push(b'"');
                self.out.extend_from_slice(known.name(self.style.names).as_bytes());
                self.out.push(b'"');
            }
            (Kind::Bytes, Value::Bytes(bytes)) => {
                self.out.push(b'"');
                let start = self.out.len();
                self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
                // The room is what the encoding needs, so nothing is refused.
                let written = STANDARD.encode_slice(bytes, &mut self.out[start..]).unwrap_or(0);
                self.out.truncate(start + written);
                self.out.push(b'"');
            }
            _ => return false,
        }
        true
    }
}
