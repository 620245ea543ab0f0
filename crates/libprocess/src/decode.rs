//! The incremental decoder: bytes of a connection in, heads and pieces of bodies out.

use bytes::{Buf, Bytes, BytesMut};

use crate::head::{Framing, RequestHead};
use crate::message::{MessageHead, MessageHeadError, is_message};

/// How much a peer may send before somebody has to say stop. There is no decoder without limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one head: request line, header fields and the empty line.
    pub head: usize,
    /// Header fields of one head.
    pub headers: usize,
    /// Bytes of one body after chunk decoding.
    pub body: u64,
}

impl Default for Limits {
    /// The original's limit on the head, and a body as large as the largest message of a large
    /// cluster (an agent that re-registers with tens of thousands of tasks).
    fn default() -> Self {
        Self { head: 80 * 1024, headers: 100, body: 64 * 1024 * 1024 }
    }
}

/// What the decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of the body of the current message or request, never empty.
    Data(Bytes),
    /// The current message or request is complete. Follows every head.
    End,
    /// A message begins.
    Message(MessageHead),
    /// A message begins that says no valid addressee; its body follows all the same, so that the
    /// answer can be given in its place.
    MessageRefused(MessageHeadError),
    /// An ordinary HTTP request begins.
    Request(RequestHead),
}

/// Where in the stream of requests the decoder stands, which decides the deadline that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Between two requests: silence is legitimate.
    Between,
    /// Inside a body.
    Body,
    /// Inside a head.
    Head,
}

/// Why a connection cannot be understood further. Nothing that follows on it means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is longer than the limit.
    #[error("the body is longer than {0} bytes")]
    BodyTooLarge(u64),
    /// A chunk of a chunked body is malformed.
    #[error("malformed chunk: {0}")]
    Chunk(&'static str),
    /// The length of the body is contradictory or unreadable.
    #[error("{0}")]
    Framing(&'static str),
    /// The head is longer than the limit.
    #[error("the head is longer than {0} bytes")]
    HeadTooLarge(usize),
    /// The request line or a header field is malformed.
    #[error("{0}")]
    Syntax(&'static str),
    /// More header fields than the limit.
    #[error("too many header fields")]
    TooManyHeaders,
    /// The chunked body has trailers.
    #[error("trailers are not supported")]
    Trailers,
    /// A transfer coding other than `chunked`.
    #[error("unsupported transfer coding")]
    UnknownCoding,
}

/// Decodes the requests of one connection, in order.
///
/// The outcome does not depend on how the bytes were cut into pushes. After an error the decoder
/// stays in error. It holds at most one head, or what was pushed since the last poll.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before the end of a head; so many bytes of the buffer hold no end.
    Head {
        scanned: usize,
    },
    /// Inside a body of known length.
    Sized {
        left: u64,
    },
    /// Before the end of a line that says a chunk's size; so many bytes of body were seen.
    ChunkSize {
        seen: u64,
    },
    /// Inside a chunk.
    ChunkData {
        seen: u64,
        left: u64,
    },
    /// Before the line end that closes a chunk.
    ChunkEnd {
        seen: u64,
    },
    /// After the chunk of size zero.
    LastChunk,
    /// The body was given out, its end was not.
    Ended,
    Failed(DecodeError),
}

/// A line with a chunk's size is longer only if somebody plays with chunk extensions.
const MAX_CHUNK_LINE: usize = 1024;

impl Decoder {
    /// A decoder at the beginning of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), state: State::Head { scanned: 0 } }
    }

    /// Adds bytes that were received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer into which received bytes may be appended directly. Only append.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes received and not yet understood.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Where the decoder stands, once [`poll`](Self::poll) has returned `None`.
    #[must_use]
    pub fn position(&self) -> Position {
        match self.state {
            State::Head { .. } if self.buffer.is_empty() => Position::Between,
            State::Head { .. } => Position::Head,
            State::Ended | State::Failed(_) => Position::Between,
            State::Sized { .. }
            | State::ChunkSize { .. }
            | State::ChunkData { .. }
            | State::ChunkEnd { .. }
            | State::LastChunk => Position::Body,
        }
    }

    /// The next event; `None` if more bytes are needed.
    pub fn poll(&mut self) -> Result<Option<Event>, DecodeError> {
        let outcome = self.step();
        if let Err(error) = outcome {
            self.state = State::Failed(error);
            self.buffer = BytesMut::new();
        }
        outcome
    }

    fn step(&mut self) -> Result<Option<Event>, DecodeError> {
        loop {
            match self.state {
                State::Head { scanned } => return self.head(scanned),
                State::Sized { left } => {
                    let Some(data) = self.take(left) else { return Ok(None) };
                    let left = left - data.len() as u64;
                    self.state = if left == 0 { State::Ended } else { State::Sized { left } };
                    return Ok(Some(Event::Data(data)));
                }
                State::ChunkSize { seen } => {
                    let Some(size) = self.chunk_size()? else { return Ok(None) };
                    let total = seen.saturating_add(size);
                    if total > self.limits.body {
                        return Err(DecodeError::BodyTooLarge(self.limits.body));
                    }
                    self.state = match size {
                        0 => State::LastChunk,
                        left => State::ChunkData { seen: total, left },
                    };
                }
                State::ChunkData { seen, left } => {
                    let Some(data) = self.take(left) else { return Ok(None) };
                    self.state = match left - data.len() as u64 {
                        0 => State::ChunkEnd { seen },
                        left => State::ChunkData { seen, left },
                    };
                    return Ok(Some(Event::Data(data)));
                }
                State::ChunkEnd { seen } => {
                    if !self.line_end(DecodeError::Chunk("longer than its size"))? {
                        return Ok(None);
                    }
                    self.state = State::ChunkSize { seen };
                }
                State::LastChunk => {
                    if !self.line_end(DecodeError::Trailers)? {
                        return Ok(None);
                    }
                    self.state = State::Ended;
                }
                State::Ended => {
                    self.state = State::Head { scanned: 0 };
                    return Ok(Some(Event::End));
                }
                State::Failed(error) => return Err(error),
            }
        }
    }

    fn head(&mut self, scanned: usize) -> Result<Option<Event>, DecodeError> {
        // Empty lines before a request are tolerated, as RFC 9112 §2.2 asks.
        if scanned == 0 {
            let empty = self.buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.buffer.advance(empty);
        }
        let Some(first) = self.buffer.first() else { return Ok(None) };
        if !first.is_ascii_uppercase() {
            return Err(DecodeError::Syntax("invalid request line"));
        }
        let window = self.buffer.len().min(self.limits.head);
        let Some(end) = end_of_head(&self.buffer[..window], scanned) else {
            if self.buffer.len() >= self.limits.head {
                return Err(DecodeError::HeadTooLarge(self.limits.head));
            }
            // The end may have begun: its last three bytes are looked at again.
            self.state = State::Head { scanned: self.buffer.len().saturating_sub(3) };
            return Ok(None);
        };
        let bytes = self.buffer.split_to(end);
        let head = RequestHead::parse(&bytes, self.limits.headers)?;
        self.state = match head.framing {
            Framing::Chunked => State::ChunkSize { seen: 0 },
            Framing::Length(left) if left > self.limits.body => {
                return Err(DecodeError::BodyTooLarge(self.limits.body));
            }
            Framing::Length(left) => State::Sized { left },
            Framing::Nothing => State::Ended,
        };
        if !is_message(&head) {
            return Ok(Some(Event::Request(head)));
        }
        Ok(Some(match MessageHead::read(&head) {
            Ok(message) => Event::Message(message),
            Err(error) => Event::MessageRefused(error),
        }))
    }

    /// At most `most` bytes of the buffer, `None` if it is empty.
    fn take(&mut self, most: u64) -> Option<Bytes> {
        let length = usize::try_from(most).map_or(self.buffer.len(), |m| m.min(self.buffer.len()));
        (length > 0).then(|| self.buffer.split_to(length).freeze())
    }

    /// Consumes the line that says the size of a chunk.
    fn chunk_size(&mut self) -> Result<Option<u64>, DecodeError> {
        let window = &self.buffer[..self.buffer.len().min(MAX_CHUNK_LINE)];
        let Some(newline) = window.iter().position(|b| *b == b'\n') else {
            let digits = window.iter().take_while(|b| b.is_ascii_hexdigit()).count();
            let strange = window.get(digits).is_some_and(|b| !matches!(b, b'\r' | b';' | b' '));
            if (digits == 0 && !window.is_empty()) || strange || digits > 15 {
                return Err(DecodeError::Chunk("invalid size"));
            }
            if window.len() == MAX_CHUNK_LINE {
                return Err(DecodeError::Chunk("its size line is too long"));
            }
            return Ok(None);
        };
        let line = window[..newline].strip_suffix(b"\r");
        let line = line.ok_or(DecodeError::Chunk("invalid size"))?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let rest = line[digits..].trim_ascii_start();
        if digits == 0 || digits > 15 || !(rest.is_empty() || rest.starts_with(b";")) {
            return Err(DecodeError::Chunk("invalid size"));
        }
        let size = line[..digits].iter().fold(0_u64, |sum, digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                _ => (digit | 0x20) - b'a' + 10,
            };
            sum * 16 + u64::from(value)
        });
        self.buffer.advance(newline + 1);
        Ok(Some(size))
    }

    /// Consumes CR LF; `false` if it has not arrived, `otherwise` if something else has.
    fn line_end(&mut self, otherwise: DecodeError) -> Result<bool, DecodeError> {
        match (self.buffer.first(), self.buffer.get(1)) {
            (Some(b'\r'), Some(b'\n')) => {
                self.buffer.advance(2);
                Ok(true)
            }
            (None, _) | (Some(b'\r'), None) => Ok(false),
            _ => Err(otherwise),
        }
    }
}

/// The index behind the empty line that ends a head, looking from `from` on.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(newline) = bytes[at..].iter().position(|b| *b == b'\n') {
        let next = at + newline + 1;
        match (bytes.get(next), bytes.get(next + 1)) {
            (Some(b'\n'), _) => return Some(next + 1),
            (Some(b'\r'), Some(b'\n')) => return Some(next + 2),
            _ => at = next,
        }
    }
    None
}
