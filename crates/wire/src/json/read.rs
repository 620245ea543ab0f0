//! JSON text to a message.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::parse::{Document, JsonError, Token};
use crate::check;
use crate::descriptor::{
    Described, EnumDescriptor, FieldDescriptor, Kind, Label, MessageDescriptor, Names,
};
use crate::limits::Limits;
use crate::raw;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Reads one message.
///
/// # Errors
/// See [`JsonError`]; [`JsonError::body_text`] is what an HTTP API answers.
pub fn read<T: Described>(text: &[u8], names: Names, limits: &Limits) -> Result<T, JsonError> {
    let document = Document::parse(text, limits)?;
    if document.node(0).token != Token::Object {
        return Err(JsonError::Shape("Expecting a JSON object".to_owned()));
    }
    Reader::new(&document, names, limits).finish(0)
}

/// Reads an array of messages.
///
/// # Errors
/// See [`JsonError`].
pub fn read_list<T: Described>(
    text: &[u8],
    names: Names,
    limits: &Limits,
) -> Result<Vec<T>, JsonError> {
    let document = Document::parse(text, limits)?;
    if document.node(0).token != Token::Array {
        return Err(JsonError::Shape("Expecting a JSON array".to_owned()));
    }
    let mut messages = Vec::new();
    let mut at = 1;
    while at < document.after(0) {
        if document.node(at).token != Token::Object {
            return Err(JsonError::Shape("Expecting a JSON object".to_owned()));
        }
        messages.push(Reader::new(&document, names, limits).finish(at)?);
        at = document.after(at);
    }
    Ok(messages)
}

fn shape(text: String) -> JsonError {
    JsonError::Shape(text)
}

/// The members of the objects being read, innermost last: the node of the key, the text of the key.
type Members<'a> = Vec<(Cow<'a, [u8]>, usize)>;

struct Reader<'d, 'a> {
    document: &'d Document<'a>,
    names: Names,
    limits: &'d Limits,
    out: Vec<u8>,
    members: Members<'a>,
}

impl<'d, 'a> Reader<'d, 'a> {
    fn new(document: &'d Document<'a>, names: Names, limits: &'d Limits) -> Self {
        Self { document, names, limits, out: Vec::new(), members: Vec::new() }
    }

    fn finish<T: Described>(mut self, at: usize) -> Result<T, JsonError> {
        self.object(T::DESCRIPTOR, at)?;
        // The text was within the limit; its protobuf form is what it is.
        let limits = Limits { max_bytes: usize::MAX, ..*self.limits };
        let (bytes, _) = check::check(T::DESCRIPTOR, self.names, &self.out, &limits)
            .map_err(JsonError::Message)?;
        check::decode_checked(&bytes).map_err(JsonError::Message)
    }

    /// The members of an object, sorted by key, the last of equal ones only: the original keeps
    /// them in a map, so its first error is that of the first key in this order.
    fn collect(&mut self, at: usize) -> usize {
        let base = self.members.len();
        let end = self.document.after(at);
        let mut key = at + 1;
        while key < end {
            self.members.push((self.document.string(key), key));
            key = self.document.after(key + 1);
        }
        let own = &mut self.members[base..];
        if !own.is_sorted_by(|a, b| a.0 < b.0) {
            own.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            let mut kept = base + 1;
            for i in base + 1..self.members.len() {
                if self.members[i].0 != self.members[kept - 1].0 {
                    self.members.swap(i, kept);
                    kept += 1;
                }
            }
            self.members.truncate(kept);
        }
        base
    }

    fn object(&mut self, m: &'static MessageDescriptor, at: usize) -> Result<(), JsonError> {
        let base = self.collect(at);
        for i in base..self.members.len() {
            let (name, key) = &self.members[i];
            let key = *key;
            let Some(position) = std::str::from_utf8(name)
                .ok()
                .and_then(|name| m.position_of_name(self.names, name))
            else {
                continue;
            };
            self.value(&m.fields[position], key + 1)?;
        }
        self.members.truncate(base);
        Ok(())
    }

    fn value(&mut self, field: &'static FieldDescriptor, at: usize) -> Result<(), JsonError> {
        match self.document.node(at).token {
            Token::Null => Ok(()),
            Token::Array => {
                if field.label != Label::Repeated {
                    return Err(self.unexpected("array", field));
                }
                let end = self.document.after(at);
                let mut element = at + 1;
                while element < end {
                    self.value(field, element)?;
                    element = self.document.after(element);
                }
                Ok(())
            }
            Token::Object => match field.kind {
                Kind::Message(inner) => {
                    let start = self.begin(field);
                    self.object(inner, at)?;
                    raw::end_length(&mut self.out, start);
                    Ok(())
                }
                Kind::Map(entry) => self.map(field, entry, at),
                _ => Err(self.unexpected("object", field)),
            },
            Token::True | Token::False => match field.kind {
                Kind::Bool => {
                    self.varint(field, u64::from(self.document.node(at).token == Token::True));
                    Ok(())
                }
                _ => Err(self.unexpected("boolean", field)),
            },
            Token::Number => {
                let number = String::from_utf8_lossy(self.document.source(at));
                self.number(field, &number)
            }
            Token::String | Token::Escaped => {
                let text = self.document.string(at);
                self.string(field, &text)
            }
        }
    }

    fn unexpected(&self, what: &str, field: &FieldDescriptor) -> JsonError {
        let name = field.label_in(self.names);
        shape(format!("Not expecting a JSON {what} for field '{name}'"))
    }

    fn tag(&mut self, field: &FieldDescriptor, wire_type: u64) {
        raw::put_varint(u64::from(field.number) << 3 | wire_type, &mut self.out);
    }

    fn begin(&mut self, field: &FieldDescriptor) -> usize {
        self.tag(field, 2);
        raw::begin_length(&mut self.out)
    }

    fn varint(&mut self, field: &FieldDescriptor, value: u64) {
        self.tag(field, 0);
        raw::put_varint(value, &mut self.out);
    }

    fn double(&mut self, field: &FieldDescriptor, value: f64) {
        self.tag(field, 1);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn bytes(&mut self, field: &FieldDescriptor, bytes: &[u8]) {
        self.tag(field, 2);
        raw::put_varint(bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    fn map(
        &mut self,
        field: &'static FieldDescriptor,
        entry: &'static MessageDescriptor,
        at: usize,
    ) -> Result<(), JsonError> {
        let [key, value] = entry.fields else { return Ok(()) };
        let base = self.collect(at);
        for i in base..self.members.len() {
            let start = self.begin(field);
            let (name, node) = self.members[i].clone();
            self.bytes(key, &name);
            self.value(value, node + 1)?;
            raw::end_length(&mut self.out, start);
        }
        self.members.truncate(base);
        Ok(())
    }

    fn number(&mut self, field: &'static FieldDescriptor, text: &str) -> Result<(), JsonError> {
        let failed = || {
            let (text, name) = (excerpt(text.as_bytes()), field.label_in(self.names));
            shape(format!(
                "Failed to parse '{text}' as a JSON number for field '{name}': out of range"
            ))
        };
        match field.kind {
            Kind::Double => {
                let value = text.parse().map_err(|_| failed())?;
                self.double(field, value);
            }
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
                let value = whole(text).ok_or_else(failed)?;
                let fits = match field.kind {
                    Kind::Int32 => i32::try_from(value).is_ok(),
                    Kind::Int64 => i64::try_from(value).is_ok(),
                    Kind::Uint32 => u32::try_from(value).is_ok(),
                    _ => u64::try_from(value).is_ok(),
                };
                if !fits {
                    return Err(failed());
                }
                self.varint(field, value as u64);
            }
            _ => return Err(self.unexpected("number", field)),
        }
        Ok(())
    }

    fn string(&mut self, field: &'static FieldDescriptor, text: &[u8]) -> Result<(), JsonError> {
        match field.kind {
            Kind::String => self.bytes(field, text),
            Kind::Bytes => {
                let solid: Vec<u8> =
                    text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
                let bytes = BASE64.decode(&solid).map_err(|e| {
                    let name = field.label_in(self.names);
                    shape(format!("Failed to base64 decode bytes field '{name}': {e}"))
                })?;
                self.bytes(field, &bytes);
            }
            Kind::Enum(e) => self.enumeration(field, e, text)?,
            Kind::Bool => match self.scalar(field, text, "boolean")? {
                (Token::True, _) => self.varint(field, 1),
                (Token::False, _) => self.varint(field, 0),
                _ => return Err(self.mistyped(field, text, "boolean")),
            },
            Kind::Double if text == b"Infinity" => self.double(field, f64::INFINITY),
            Kind::Double if text == b"-Infinity" => self.double(field, f64::NEG_INFINITY),
            Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
                match self.scalar(field, text, "number")? {
                    (Token::Number, number) => self.number(field, &number)?,
                    _ => return Err(self.mistyped(field, text, "number")),
                }
            }
            Kind::Message(_) | Kind::Map(_) => return Err(self.unexpected("string", field)),
        }
        Ok(())
    }

    fn enumeration(
        &mut self,
        field: &'static FieldDescriptor,
        e: &'static EnumDescriptor,
        text: &[u8],
    ) -> Result<(), JsonError> {
        let known = std::str::from_utf8(text).ok().and_then(|text| e.by_name(self.names, text));
        match known {
            Some(value) => self.varint(field, i64::from(value.number) as u64),
            None if field.label == Label::Required => {
                let text = excerpt(text);
                return Err(shape(format!("Failed to find enum for '{text}'")));
            }
            None => {}
        }
        Ok(())
    }

    /// A string that holds a scalar, as JSON inside JSON.
    fn scalar(
        &self,
        field: &FieldDescriptor,
        text: &[u8],
        kind: &str,
    ) -> Result<(Token, String), JsonError> {
        let document = Document::parse(text, self.limits).map_err(|e| {
            let (text, name) = (excerpt(text), field.label_in(self.names));
            shape(format!("Failed to parse '{text}' as a JSON {kind} for field '{name}': {e}"))
        })?;
        let number = String::from_utf8_lossy(document.source(0)).into_owned();
        Ok((document.node(0).token, number))
    }

    fn mistyped(&self, field: &FieldDescriptor, text: &[u8], kind: &str) -> JsonError {
        let (text, name) = (excerpt(text), field.label_in(self.names));
        shape(format!(
            "Failed to parse '{text}' as a JSON {kind} for field '{name}': \
             Unexpected JSON type parsed"
        ))
    }
}

/// As much of a refused text as an error repeats.
fn excerpt(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(JsonError::NEAR)])
}

/// The whole number that a JSON number stands for: fractions are cut off, as the original does.
fn whole(text: &str) -> Option<i128> {
    if let Ok(exact) = text.parse::<i64>() {
        return Some(exact.into());
    }
    if let Ok(exact) = text.parse::<u64>() {
        return Some(exact.into());
    }
    let double = text.parse::<f64>().ok()?;
    // Beyond 2^64 nothing fits, so the conversion below is exact enough.
    (double.is_finite() && double.abs() < 1e20).then_some(double as i128)
}
