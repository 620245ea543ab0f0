//! Protobuf records read without knowing what they mean.

/// Why bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A varint, a fixed-width value or a length-delimited field reaches past the end.
    #[error("the input ends inside a field")]
    Truncated,
    /// A varint has more than ten bytes.
    #[error("a varint is longer than ten bytes")]
    Varint,
    /// A tag has field number 0, a number beyond 29 bits, or wire type 6 or 7.
    #[error("a field tag is invalid")]
    Tag,
    /// The end of a group that did not start, or one that never ends.
    #[error("a group does not match its end")]
    Group,
    /// Groups inside groups deeper than any message may be.
    #[error("groups are nested too deeply")]
    Depth,
}

/// The payload of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
    Group,
}

/// One field as it stands in the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    /// All its bytes, the tag included.
    pub(crate) whole: &'a [u8],
}

/// Deepest nesting of unknown groups that is skipped.
const GROUP_DEPTH: u32 = 100;

/// The records of one message, in order. Ends after the first error.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next record starts.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (value, length) = varint(rest)?;
        self.at += length;
        Ok(value)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
        let end = self.at.checked_add(length).ok_or(Malformed::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn record(&mut self, depth: u32) -> Result<Result<Record<'a>, u32>, Malformed> {
        let start = self.at;
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Tag)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed::Tag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Value::Fixed64(u64::from_le_bytes(
                    bytes.try_into().map_err(|_| Malformed::Truncated)?,
                ))
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group(number, depth)?;
                Value::Group
            }
            4 => return Ok(Err(number)),
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            _ => return Err(Malformed::Tag),
        };
        Ok(Ok(Record { number, value, whole: &self.bytes[start..self.at] }))
    }

    fn skip_group(&mut self, number: u32, depth: u32) -> Result<(), Malformed> {
        if depth == 0 {
            return Err(Malformed::Depth);
        }
        loop {
            if self.at == self.bytes.len() {
                return Err(Malformed::Group);
            }
            if let Err(ended) = self.record(depth - 1)? {
                return if ended == number { Ok(()) } else { Err(Malformed::Group) };
            }
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let next = match self.record(GROUP_DEPTH) {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(_)) => Err(Malformed::Group),
            Err(e) => Err(e),
        };
        if next.is_err() {
            self.at = self.bytes.len();
        }
        Some(next)
    }
}

/// The varint at the start of the input and its length.
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, usize), Malformed> {
    let mut value = 0_u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte has one bit of room. What has more is no number, and no encoder writes it.
        if i == 9 && *byte > 1 {
            return Err(Malformed::Varint);
        }
        value |= u64::from(byte & 0x7f).wrapping_shl(7 * u32::try_from(i).unwrap_or(0));
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    Err(if bytes.len() < 10 { Malformed::Truncated } else { Malformed::Varint })
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Starts a length-delimited field whose length is not known yet; [`end_length`] fills it in.
pub(crate) fn begin_length(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; LENGTH]);
    out.len()
}

/// Fills in the length of the field begun at `start`, as a varint of fixed width: not minimal,
/// which every reader accepts, and nothing has to be moved.
pub(crate) fn end_length(out: &mut [u8], start: usize) {
    let mut length = out.len() - start;
    for (i, byte) in out[start - LENGTH..start].iter_mut().enumerate() {
        *byte = (length & 0x7f) as u8 | if i + 1 < LENGTH { 0x80 } else { 0 };
        length >>= 7;
    }
}

/// Enough for every length below 32 GiB.
const LENGTH: usize = 5;
