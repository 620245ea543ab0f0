//! JSON by hand: objects and arrays whose keys and elements come in the order of the calls.

use std::collections::BTreeMap;

use super::text;
use super::write::{self, Style};
use crate::descriptor::Described;

/// Something with a JSON form.
pub trait ToJson {
    /// Appends the JSON text.
    fn to_json(&self, out: &mut Vec<u8>);
}

/// Appends an object.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, first: true });
    out.push(b'}');
}

/// Appends an array.
pub fn array(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    fill(&mut Array { out, first: true });
    out.push(b']');
}

/// An object that is being written.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        text::string(key.as_bytes(), self.out);
        self.out.push(b':');
    }

    /// A member.
    pub fn field(&mut self, key: &str, value: impl ToJson) -> &mut Self {
        self.key(key);
        value.to_json(self.out);
        self
    }

    /// A member that is left out where there is no value.
    pub fn optional(&mut self, key: &str, value: Option<impl ToJson>) -> &mut Self {
        if let Some(value) = value {
            self.field(key, value);
        }
        self
    }

    /// A member that is an object.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.key(key);
        object(self.out, fill);
        self
    }

    /// A member that is an array.
    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut Array<'_>)) -> &mut Self {
        self.key(key);
        array(self.out, fill);
        self
    }

    /// All members of a message, as members of this object.
    pub fn members<T: Described>(&mut self, message: &T, style: Style) -> &mut Self {
        self.first = write::members(message, style, self.out, self.first);
        self
    }
}

/// An array that is being written.
#[derive(Debug)]
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Array<'_> {
    fn next(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// An element.
    pub fn push(&mut self, value: impl ToJson) -> &mut Self {
        self.next();
        value.to_json(self.out);
        self
    }

    /// An element that is an object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.next();
        object(self.out, fill);
        self
    }

    /// An element that is an array.
    pub fn array(&mut self, fill: impl FnOnce(&mut Array<'_>)) -> &mut Self {
        self.next();
        array(self.out, fill);
        self
    }
}

/// JSON text that is there already, as is.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(
    /// One well-formed JSON value.
    pub &'a [u8],
);

impl ToJson for Raw<'_> {
    fn to_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// A message as a JSON value; [`message`] makes it.
#[derive(Debug)]
pub struct Proto<'a, T> {
    message: &'a T,
    style: Style,
}

/// A message as a value for [`Object::field`] and [`Array::push`].
pub fn message<T: Described>(message: &T, style: Style) -> Proto<'_, T> {
    Proto { message, style }
}

impl<T: Described> ToJson for Proto<'_, T> {
    fn to_json(&self, out: &mut Vec<u8>) {
        write::write(self.message, self.style, out);
    }
}

impl ToJson for str {
    fn to_json(&self, out: &mut Vec<u8>) {
        text::string(self.as_bytes(), out);
    }
}

impl ToJson for String {
    fn to_json(&self, out: &mut Vec<u8>) {
        text::string(self.as_bytes(), out);
    }
}

impl ToJson for bool {
    fn to_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl ToJson for f64 {
    fn to_json(&self, out: &mut Vec<u8>) {
        text::double(*self, out);
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl ToJson for $integer {
            fn to_json(&self, out: &mut Vec<u8>) {
                text::integer(*self, out);
            }
        }
    )*};
}
integers!(i32, i64, u16, u32, u64, usize);

impl<T: ToJson + ?Sized> ToJson for &T {
    fn to_json(&self, out: &mut Vec<u8>) {
        (**self).to_json(out);
    }
}

impl<T: ToJson> ToJson for [T] {
    fn to_json(&self, out: &mut Vec<u8>) {
        array(out, |a| {
            for value in self {
                a.push(value);
            }
        });
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self, out: &mut Vec<u8>) {
        self.as_slice().to_json(out);
    }
}

/// Keys in alphabetical order, as `/metrics/snapshot` and its like print them.
impl<K: AsRef<str>, T: ToJson> ToJson for BTreeMap<K, T> {
    fn to_json(&self, out: &mut Vec<u8>) {
        object(out, |o| {
            for (key, value) in self {
                o.field(key.as_ref(), value);
            }
        });
    }
}
