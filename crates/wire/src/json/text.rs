//! Strings and numbers as the original prints them.

use std::io::Write;

/// A string in quotes. Bytes that are not UTF-8 become `?`.
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    match std::str::from_utf8(bytes) {
        Ok(_) => escape(bytes, out),
        Err(_) => {
            let mut replaced = Vec::with_capacity(bytes.len());
            crate::check::replace_not_utf8(bytes, &mut replaced);
            escape(&replaced, out);
        }
    }
    out.push(b'"');
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text[plain..]);
}

/// An integer.
pub(crate) fn integer(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// A double: the shortest text that reads back to the same value, always with a point or an
/// exponent; infinities as strings; NaN as a bare token, which is not JSON.
pub(crate) fn double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value == 0.0 {
        return out.extend_from_slice(b"0.0");
    }
    // "d.ddde-n": shortest digits and exponent, to be laid out below.
    let mut scientific = Small::default();
    let _ = write!(scientific, "{:e}", value.abs());
    let text = scientific.as_bytes();
    let split = text.iter().position(|b| *b == b'e').unwrap_or(text.len());
    let exponent = std::str::from_utf8(text.get(split + 1..).unwrap_or_default())
        .ok()
        .and_then(|e| e.parse::<i32>().ok())
        .unwrap_or(0);
    let mut digits = Small::default();
    for byte in text[..split].iter().filter(|b| **b != b'.') {
        let _ = digits.write(&[*byte]);
    }
    let digits = digits.as_bytes();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // How many digits stand before the point.
    let before = exponent + 1;
    if count <= before && before <= 21 {
        out.extend_from_slice(digits);
        zeros(before - count, out);
        out.extend_from_slice(b".0");
    } else if 0 < before && before <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(before).unwrap_or(0));
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else if -6 < before && before <= 0 {
        out.extend_from_slice(b"0.");
        zeros(-before, out);
        out.extend_from_slice(digits);
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        integer(exponent, out);
    }
}

fn zeros(count: i32, out: &mut Vec<u8>) {
    out.resize(out.len() + usize::try_from(count).unwrap_or(0), b'0');
}

/// Room for the digits of one number, without an allocation.
#[derive(Default)]
struct Small {
    bytes: [u8; 32],
    length: usize,
}

impl Small {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = &mut self.bytes[self.length..];
        let length = room.len().min(bytes.len());
        room[..length].copy_from_slice(&bytes[..length]);
        self.length += length;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn doubles() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (5051.0, "5051.0"),
            (1_795_307_459.217_306_9, "1795307459.2173069"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e21"),
            (1.5e300, "1.5e300"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
            (f64::NAN, "NaN"),
        ] {
            let mut out = Vec::new();
            super::double(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn strings() {
        let mut out = Vec::new();
        super::string("a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é".as_bytes(), &mut out);
        super::string(b"\xff\xfeok\xe2\x82", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001F\u{7f}é\"\"??ok??\""
        );
    }
}
