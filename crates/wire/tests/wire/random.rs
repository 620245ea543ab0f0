//! Random messages, made along the tables.

use alcazar_wire::descriptor::{Kind, Label, MessageDescriptor};

/// A source of numbers that is the same for the same seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The encoding of a valid message: required fields present, optional ones at times.
pub(crate) fn message(m: &MessageDescriptor, random: &mut Random, depth: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut members = std::collections::BTreeSet::new();
    for field in m.fields {
        let count = match field.label {
            Label::Required => 1,
            // The deeper, the fewer; beyond a depth, none.
            _ if depth > 5 || random.below(3 + u64::from(depth)) > 1 => 0,
            Label::Repeated => random.below(3),
            Label::Optional => 1,
        };
        // Of a oneof, one member at most.
        if count > 0 && field.oneof.is_some_and(|oneof| !members.insert(oneof)) {
            continue;
        }
        for index in 0..count {
            let number = u64::from(field.number) << 3;
            match field.kind {
                Kind::Message(inner) => {
                    let inner = message(inner, random, depth + 1);
                    varint(number | 2, &mut out);
                    varint(inner.len() as u64, &mut out);
                    out.extend(inner);
                }
                Kind::Map(entry) => {
                    let [_, value] = entry.fields else { panic!("an entry has two fields") };
                    let value = match value.kind {
                        Kind::Message(inner) => message(inner, random, depth + 1),
                        _ => text(random).into_bytes(),
                    };
                    // Distinct keys in their order, so that the encoding is the only one.
                    let key = format!("{index}{}", text(random));
                    let mut entry = vec![10];
                    varint(key.len() as u64, &mut entry);
                    entry.extend(key.as_bytes());
                    if !value.is_empty() {
                        entry.push(18);
                        varint(value.len() as u64, &mut entry);
                        entry.extend(value);
                    }
                    varint(number | 2, &mut out);
                    varint(entry.len() as u64, &mut out);
                    out.extend(entry);
                }
                Kind::String | Kind::Bytes => {
                    let text = text(random).into_bytes();
                    varint(number | 2, &mut out);
                    varint(text.len() as u64, &mut out);
                    out.extend(text);
                }
                Kind::Double => {
                    varint(number | 1, &mut out);
                    let value = match random.below(5) {
                        0 => f64::INFINITY,
                        1 => random.below(1000) as f64,
                        2 => -0.0,
                        _ => {
                            let any = f64::from_bits(random.next());
                            if any.is_nan() { 0.1 } else { any }
                        }
                    };
                    out.extend(value.to_le_bytes());
                }
                Kind::Enum(e) => {
                    let value = &e.values[random.below(e.values.len() as u64) as usize];
                    varint(number, &mut out);
                    varint(i64::from(value.number) as u64, &mut out);
                }
                Kind::Bool => {
                    varint(number, &mut out);
                    varint(random.below(2), &mut out);
                }
                Kind::Int32 => {
                    varint(number, &mut out);
                    varint(i64::from(random.next() as i32) as u64, &mut out);
                }
                Kind::Uint32 => {
                    varint(number, &mut out);
                    varint(u64::from(random.next() as u32), &mut out);
                }
                Kind::Int64 | Kind::Uint64 => {
                    varint(number, &mut out);
                    let bits = random.below(64);
                    varint(random.next() >> bits, &mut out);
                }
            }
        }
    }
    out
}

fn text(random: &mut Random) -> String {
    const PIECES: [&str; 12] =
        ["", "a", "\"", "\\", "/", "\n", "\u{1}", "é", "😀", "{}", "\u{7f}", "role/sub"];
    (0..random.below(4)).map(|_| PIECES[random.below(12) as usize]).collect()
}
