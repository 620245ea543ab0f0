//! The answers to our own messages: counted, and otherwise thrown away.

use bytes::{Buf, BytesMut};

/// Counts the answers that arrive on a connection over which messages are sent.
///
/// What an answer says is not acted upon (delivery is unconfirmed, as in the original), but a
/// connection that was opened for a few messages stays open until they are answered, and an
/// answer other than 202 is worth a line in a log.
#[derive(Debug)]
pub struct AnswerDecoder {
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Sized { status: u16, left: u64 },
    ChunkSize { status: u16 },
    ChunkData { status: u16, left: u64 },
    LastChunk { status: u16 },
}

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
const MAX_CHUNK_LINE: usize = 256;

/// What arrived is not an answer to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what arrived is not an HTTP response of known length")]
pub struct AnswerError;

impl Default for AnswerDecoder {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), state: State::Head }
    }
}

impl AnswerDecoder {
    /// The buffer into which received bytes are appended. Only append.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The status of the next answer that has arrived completely.
    pub fn poll(&mut self) -> Result<Option<u16>, AnswerError> {
        loop {
            match self.state {
                State::Head => {
                    let Some(next) = self.head()? else { return Ok(None) };
                    self.state = next;
                }
                State::Sized { status, left } => {
                    let left = self.skip(left);
                    if left > 0 {
                        self.state = State::Sized { status, left };
                        return Ok(None);
                    }
                    self.state = State::Head;
                    // 100 Continue and its like announce an answer, they are none.
                    if status >= 200 {
                        return Ok(Some(status));
                    }
                }
                State::ChunkSize { status } => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    let text = std::str::from_utf8(&line).map_err(|_| AnswerError)?;
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(digits, 16).map_err(|_| AnswerError)?;
                    self.state = match size {
                        0 => State::LastChunk { status },
                        // With the line end that closes the chunk.
                        size => State::ChunkData { status, left: size.saturating_add(2) },
                    };
                }
                State::ChunkData { status, left } => match self.skip(left) {
                    0 => self.state = State::ChunkSize { status },
                    left => {
                        self.state = State::ChunkData { status, left };
                        return Ok(None);
                    }
                },
                State::LastChunk { status } => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if line.is_empty() {
                        self.state = State::Head;
                        return Ok(Some(status));
                    }
                }
            }
        }
    }

    fn head(&mut self) -> Result<Option<State>, AnswerError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let end = match response.parse(&self.buffer) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(AnswerError),
        };
        let status = response.code.ok_or(AnswerError)?;
        let field = |name: &str| {
            let found = response.headers.iter().rfind(|h| h.name.eq_ignore_ascii_case(name));
            found.map(|h| h.value.trim_ascii())
        };
        let next = match (field("transfer-encoding"), field("content-length")) {
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
                State::ChunkSize { status }
            }
            (None, Some(length)) => {
                let text = std::str::from_utf8(length).map_err(|_| AnswerError)?;
                State::Sized { status, left: text.parse().map_err(|_| AnswerError)? }
            }
            (None, None) if status < 200 || matches!(status, 204 | 304) => {
                State::Sized { status, left: 0 }
            }
            _ => return Err(AnswerError),
        };
        self.buffer.advance(end);
        Ok(Some(next))
    }

    /// Throws away at most `left` bytes; returns how many are still to come.
    fn skip(&mut self, left: u64) -> u64 {
        let here = usize::try_from(left).map_or(self.buffer.len(), |l| l.min(self.buffer.len()));
        self.buffer.advance(here);
        left - here as u64
    }

    fn line(&mut self) -> Result<Option<BytesMut>, AnswerError> {
        let Some(newline) = self.buffer.iter().position(|b| *b == b'\n') else {
            return if self.buffer.len() < MAX_CHUNK_LINE { Ok(None) } else { Err(AnswerError) };
        };
        let mut line = self.buffer.split_to(newline + 1);
        let end = line.trim_ascii_end().len();
        line.truncate(end);
        Ok(Some(line))
    }
}
