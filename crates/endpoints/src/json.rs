//! A writer for the JSON that the original writes by hand: `/state`, `/version`, `/files/browse`.
//!
//! Straight to bytes, no white space, keys in the order of the calls. Messages are written by
//! `wire::json`; what is written here is what no message describes.

/// Writes one object.
pub fn object(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write_object(&mut out, fill);
    out
}

/// Writes one array.
pub fn array(fill: impl FnOnce(&mut Array<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write_array(&mut out, fill);
    out
}

/// The members of an object being written.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

/// The elements of an array being written.
#[derive(Debug)]
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        comma(self.out, &mut self.first);
        string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A text.
    pub fn text(&mut self, key: &str, value: &str) {
        string(self.key(key), value);
    }

    /// A number that the original prints as a double: `1.0`.
    pub fn double(&mut self, key: &str, value: f64) {
        double(self.key(key), value);
    }

    /// A whole number.
    pub fn integer(&mut self, key: &str, value: i64) {
        self.key(key).extend_from_slice(value.to_string().as_bytes());
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &str, value: bool) {
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.key(key).extend_from_slice(word);
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, key: &str, value: &[u8]) {
        self.key(key).extend_from_slice(value);
    }

    /// An object.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        write_object(self.key(key), fill);
    }

    /// An array.
    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut Array<'_>)) {
        write_array(self.key(key), fill);
    }

    /// An array of texts.
    pub fn texts<'t>(&mut self, key: &str, values: impl IntoIterator<Item = &'t str>) {
        self.array(key, |a| values.into_iter().for_each(|v| a.text(v)));
    }
}

impl Array<'_> {
    fn element(&mut self) -> &mut Vec<u8> {
        comma(self.out, &mut self.first);
        self.out
    }

    /// A text.
    pub fn text(&mut self, value: &str) {
        string(self.element(), value);
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, value: &[u8]) {
        self.element().extend_from_slice(value);
    }

    /// An object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        write_object(self.element(), fill);
    }
}

fn write_object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, first: true });
    out.push(b'}');
}

fn write_array(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    fill(&mut Array { out, first: true });
    out.push(b']');
}

fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0x00..=0x1f | 0x7f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// The shortest text that reads back to the same double, with `.0` if it is whole; infinities are
/// the strings that the original prints. NaN, which the original prints as a bare word that no
/// reader takes, is a string as well.
fn double(out: &mut Vec<u8>, value: f64) {
    let text = if value.is_nan() {
        "\"NaN\"".to_owned()
    } else if value.is_infinite() {
        (if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }).to_owned()
    } else {
        format!("{value:?}")
    };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_without_white_space_and_in_order() {
        let json = object(|o| {
            o.text("b", "x\"\\\n\u{1}é");
            o.double("d", 1.0);
            o.double("e", 1795307459.2173069);
            o.integer("i", -3);
            o.flag("f", true);
            o.texts("t", ["p", "q"]);
            o.object("o", |_| {});
            o.array("a", |a| {
                a.raw(b"1");
                a.object(|o| o.flag("x", false));
            });
            o.double("inf", f64::INFINITY);
        });
        let expected = concat!(
            r#"{"b":"x\"\\\n\u0001é","d":1.0,"e":1795307459.2173069,"i":-3,"f":true,"#,
            r#""t":["p","q"],"o":{},"a":[1,{"x":false}],"inf":"Infinity"}"#
        );
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn any_text_is_read_back_as_it_was() {
        for text in ["", "\u{7f}\u{0}", "\u{2028}", "日本", "a/b", "tab\there\u{8}\u{c}"] {
            let json = array(|a| a.text(text));
            let back: Vec<String> = serde_json::from_slice(&json).unwrap();
            assert_eq!(back, [text]);
        }
    }
}
