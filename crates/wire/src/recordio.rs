//! RecordIO: how streams of messages are cut into records, both directions.
//!
//! A record is the decimal length of its payload, a line feed, and the payload.

use bytes::{Bytes, BytesMut};

/// Appends one record.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    crate::json::ToJson::to_json(&payload.len(), out);
    out.push(b'\n');
    out.extend_from_slice(payload);
}

/// Why a stream cannot be read on. The stream is useless after the first error: where the next
/// record starts is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The length is not a number.
    #[error("Failed to decode length '{0}': Failed to convert '{0}' to number")]
    Length(String),
    /// The record is larger than the reader allows.
    #[error("a record of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The announced length.
        size: u64,
        /// The limit.
        limit: usize,
    },
    /// An earlier error ended this stream.
    #[error("Decoder is in a FAILED state")]
    Failed,
}

/// Cuts a stream into records, whatever pieces it arrives in.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: BytesMut,
    /// The payload length of the record being read, once its header is complete.
    length: Option<usize>,
    failed: bool,
}

/// The longest header that can be a length: the digits of 2^64.
const HEADER: usize = 20;

impl Decoder {
    /// A decoder that refuses records with more than `limit` bytes of payload.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: BytesMut::new(), length: None, failed: false }
    }

    /// Takes bytes as they arrive; after an error they are dropped. What is held is bounded by the
    /// limit on records only if all complete ones are taken with [`Decoder::next`] in between.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next complete record, `None` until more bytes come.
    ///
    /// # Errors
    /// [`RecordError`]; from then on always [`RecordError::Failed`].
    #[expect(clippy::should_implement_trait, reason = "None is no end: there may be more later")]
    pub fn next(&mut self) -> Result<Option<Bytes>, RecordError> {
        if self.failed {
            return Err(RecordError::Failed);
        }
        self.record().inspect_err(|_| {
            self.failed = true;
            self.buffer = BytesMut::new();
        })
    }

    /// Whether the stream could end here: no record has been begun.
    #[must_use]
    pub fn is_between_records(&self) -> bool {
        !self.failed && self.length.is_none() && self.buffer.is_empty()
    }

    fn record(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(end) = self.buffer.iter().take(HEADER + 1).position(|b| *b == b'\n')
                else {
                    if self.buffer.len() > HEADER {
                        return Err(length_error(&self.buffer[..HEADER]));
                    }
                    return Ok(None);
                };
                let header = self.buffer.split_to(end + 1);
                let header = &header[..end];
                let size = std::str::from_utf8(header)
                    .ok()
                    .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|text| text.parse::<u64>().ok())
                    .ok_or_else(|| length_error(header))?;
                let limit = self.limit;
                let length = usize::try_from(size)
                    .ok()
                    .filter(|length| *length <= limit)
                    .ok_or(RecordError::TooLarge { size, limit })?;
                self.length = Some(length);
                length
            }
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn length_error(header: &[u8]) -> RecordError {
    RecordError::Length(String::from_utf8_lossy(header).into_owned())
}
