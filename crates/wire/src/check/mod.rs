//! One pass over raw protobuf before it is decoded.
//!
//! `prost` loses the absence of `required` fields, rejects a whole message for one byte that is not
//! UTF-8 and keeps unknown enum values. The original decides otherwise in each case, and its peers
//! rely on that. [`decode`] is the only way in for bytes from outside.

mod fix;
mod missing;

use std::borrow::Cow;
use std::fmt;

use crate::descriptor::{Described, Kind, Label, MessageDescriptor, Names};
use crate::limits::Limits;
use crate::raw::{self, Malformed, Record, Records, Value};

/// What the pass put right. All zero for a message that nothing is wrong with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes of strings that were not UTF-8 and became `?`.
    pub not_utf8: usize,
    /// Enum values without a name here, treated as unset.
    pub unknown_enums: usize,
    /// Fields with a known number and a wire type that does not fit, treated as unknown.
    pub mismatched: usize,
    /// Fields with an unknown number, skipped.
    pub unknown_fields: usize,
    /// Second and later occurrences of a message that may occur once, merged into the first.
    pub merged: usize,
}

/// Why bytes are not a valid message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no protobuf.
    #[error("malformed {message} at byte {offset}: {reason}")]
    Malformed {
        /// The message, or the message inside it, that is broken.
        message: &'static str,
        /// Where in that message.
        offset: usize,
        /// What is wrong.
        reason: Malformed,
    },
    /// Required fields are absent. Prints exactly as the original says it.
    #[error("{0}")]
    Missing(Missing),
    /// More bytes than allowed.
    #[error("{message} of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The message.
        message: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested more deeply than allowed.
    #[error("{message} nests messages more than {limit} deep")]
    TooDeep {
        /// The message.
        message: &'static str,
        /// The limit.
        limit: u32,
    },
    /// The decoded form would need more memory than allowed.
    #[error("{message} would take more than {limit} bytes when decoded")]
    TooMuch {
        /// The message.
        message: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The decoder refused what the pass let through. This would be a defect of the pass.
    #[error("{message}: {reason}")]
    Rejected {
        /// The message.
        message: &'static str,
        /// The decoder's words.
        reason: prost::DecodeError,
    },
}

/// The required fields that are absent, by path (`subscribe.framework_info.user`,
/// `tasks[0].name`), in the original's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The paths. At most [`Missing::MOST`] of them are listed.
    pub paths: Vec<String>,
}

impl Missing {
    /// How many paths are listed; a hostile message could lack millions.
    pub const MOST: usize = 100;
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Missing required fields: {}", self.paths.join(", "))
    }
}

/// Checks and decodes one message from outside.
///
/// # Errors
/// See [`DecodeError`]. Nothing larger than the limits is allocated before an error is found.
pub fn decode<T: Described>(bytes: &[u8], limits: &Limits) -> Result<(T, Report), DecodeError> {
    let (bytes, report) = check(T::DESCRIPTOR, T::DESCRIPTOR.natural_names(), bytes, limits)?;
    decode_checked(&bytes).map(|message| (message, report))
}

#[expect(clippy::disallowed_methods, reason = "this is what the others use instead")]
pub(crate) fn decode_checked<T: Described>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::decode(bytes).map_err(|reason| DecodeError::Rejected { message: T::DESCRIPTOR.name, reason })
}

/// Checks a message and returns bytes that decode without surprises: the same bytes unless
/// something had to be put right. `names` chooses the names in the error about missing fields.
///
/// # Errors
/// See [`DecodeError`].
pub fn check<'a>(
    message: &'static MessageDescriptor,
    names: Names,
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<(Cow<'a, [u8]>, Report), DecodeError> {
    if bytes.len() > limits.max_bytes {
        let (size, limit) = (bytes.len(), limits.max_bytes);
        return Err(DecodeError::TooLarge { message: message.name, size, limit });
    }
    let mut scan = Scan::new(limits);
    scan.message(message, bytes, 0)?;
    let report = scan.report;
    let mut missing = scan.missing;
    let bytes = if scan.dirty {
        let mut fixed = Vec::with_capacity(bytes.len() + 64);
        fix::fix(message, bytes, &mut fixed);
        // What was removed may have been required, and what was merged may be complete now.
        let mut again = Scan::new(limits);
        again.message(message, &fixed, 0)?;
        missing = again.missing;
        Cow::Owned(fixed)
    } else {
        Cow::Borrowed(bytes)
    };
    if missing {
        let mut paths = Vec::new();
        missing::find(message, names, &bytes, &mut String::new(), &mut paths);
        return Err(DecodeError::Missing(Missing { paths }));
    }
    Ok((bytes, report))
}

struct Scan<'a> {
    limits: &'a Limits,
    /// Memory that the decoded form would take so far.
    decoded: usize,
    report: Report,
    missing: bool,
    dirty: bool,
}

impl<'a> Scan<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, decoded: 0, report: Report::default(), missing: false, dirty: false }
    }

    fn spend(&mut self, m: &'static MessageDescriptor, bytes: usize) -> Result<(), DecodeError> {
        self.decoded = self.decoded.saturating_add(bytes);
        let limit = self.limits.max_decoded;
        if self.decoded > limit {
            return Err(DecodeError::TooMuch { message: m.name, limit });
        }
        Ok(())
    }

    fn message(
        &mut self,
        m: &'static MessageDescriptor,
        bytes: &[u8],
        depth: u32,
    ) -> Result<(), DecodeError> {
        if depth > self.limits.max_depth.min(100) {
            return Err(DecodeError::TooDeep { message: m.name, limit: self.limits.max_depth });
        }
        self.spend(m, m.size)?;
        let mut seen = 0_u128;
        let mut records = Records::new(bytes);
        loop {
            let offset = records.offset();
            let Some(next) = records.next() else { break };
            let record =
                next.map_err(|reason| DecodeError::Malformed { message: m.name, offset, reason })?;
            let Some(position) = m.position(record.number) else {
                self.report.unknown_fields += 1;
                continue;
            };
            let bit = 1_u128 << position;
            if self.field(m, position, &record, seen & bit != 0, depth)? {
                seen |= bit;
            }
        }
        self.missing |= m.required & !seen != 0;
        Ok(())
    }

    /// Whether the field counts as present.
    fn field(
        &mut self,
        m: &'static MessageDescriptor,
        position: usize,
        record: &Record<'_>,
        seen: bool,
        depth: u32,
    ) -> Result<bool, DecodeError> {
        let field = &m.fields[position];
        let repeated = field.label == Label::Repeated;
        match (field.kind, record.value) {
            (Kind::Message(inner), Value::Bytes(bytes)) => {
                if seen && !repeated {
                    self.report.merged += 1;
                    self.dirty = true;
                }
                self.message(inner, bytes, depth + 1)?;
            }
            (Kind::Map(entry), Value::Bytes(bytes)) => {
                self.message(entry, bytes, depth + 1)?;
                // An entry without a value has the empty one, which may lack what is required.
                self.missing |=
                    missing::empty_value(entry, bytes).is_some_and(|value| value.required != 0);
            }
            (Kind::String, Value::Bytes(bytes)) => {
                self.spend(m, bytes.len() + if repeated { size_of::<String>() } else { 0 })?;
                let wrong = not_utf8(bytes);
                self.report.not_utf8 += wrong;
                self.dirty |= wrong > 0;
            }
            (Kind::Bytes, Value::Bytes(bytes)) => {
                self.spend(m, bytes.len() + if repeated { size_of::<bytes::Bytes>() } else { 0 })?;
            }
            (Kind::Enum(e), Value::Varint(value)) => {
                if e.by_number(value as i32).is_none() {
                    self.report.unknown_enums += 1;
                    self.dirty = true;
                    return Ok(false);
                }
                if repeated {
                    self.spend(m, size_of::<i32>())?;
                }
            }
            (
                Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool,
                Value::Varint(_),
            )
            | (Kind::Double, Value::Fixed64(_)) => {
                if repeated {
                    self.spend(m, size_of::<u64>())?;
                }
            }
            (kind, Value::Bytes(bytes)) if repeated && packed_is_valid(kind, bytes) => {
                self.packed(m, kind, bytes)?;
            }
            _ => {
                self.report.mismatched += 1;
                self.dirty = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn packed(
        &mut self,
        m: &'static MessageDescriptor,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        self.spend(m, bytes.len().saturating_mul(size_of::<u64>()))?;
        if let Kind::Enum(e) = kind {
            let unknown =
                packed_varints(bytes).filter(|v| e.by_number(*v as i32).is_none()).count();
            self.report.unknown_enums += unknown;
            self.dirty |= unknown > 0;
        }
        Ok(())
    }
}

/// Whether bytes can be a packed run of this kind of scalar.
fn packed_is_valid(kind: Kind, mut bytes: &[u8]) -> bool {
    match kind {
        Kind::Double => bytes.len().is_multiple_of(8),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            while !bytes.is_empty() {
                let Ok((_, length)) = raw::varint(bytes) else { return false };
                bytes = &bytes[length..];
            }
            true
        }
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Map(_) => false,
    }
}

/// The values of a packed run, up to its first malformed one.
pub(crate) fn packed_varints(mut bytes: &[u8]) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let (value, length) = raw::varint(bytes).ok()?;
        bytes = &bytes[length..];
        Some(value)
    })
}

fn not_utf8(bytes: &[u8]) -> usize {
    if std::str::from_utf8(bytes).is_ok() {
        return 0;
    }
    bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum()
}

/// The text with every byte that is not UTF-8 replaced by `?`, so that no length changes.
pub(crate) fn replace_not_utf8(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        out.resize(out.len() + chunk.invalid().len(), b'?');
    }
}
