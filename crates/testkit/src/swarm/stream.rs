//! The body of an answer that never ends: chunks taken apart, and records out of them.

use bytes::{Buf as _, Bytes, BytesMut};
use wire::recordio;

/// More than any answer's head, or the line before a chunk, has.
const LONGEST_HEAD: usize = 16 * 1024;
/// More than any event has: all offers of a large cluster come in one.
const LONGEST_RECORD: usize = 1 << 28;

/// What is read from a connection on which somebody has subscribed.
#[derive(Debug)]
pub(super) struct Subscription {
    buffer: BytesMut,
    state: State,
    records: recordio::Decoder,
    stream_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Size,
    Data(usize),
    /// The line end that closes a chunk.
    Close,
    Over,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            state: State::Head,
            records: recordio::Decoder::new(LONGEST_RECORD),
            stream_id: None,
        }
    }
}

impl Subscription {
    /// The buffer into which received bytes are appended. Only append.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The `Mesos-Stream-Id` of the answer, once its head is here.
    pub(super) fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
    }

    /// Whether the master has ended the stream.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The next record that has arrived.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if let Some(record) = self.records.next().map_err(|error| error.to_string())? {
                return Ok(Some(record));
            }
            match self.state {
                State::Head => {
                    let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
                        return self.incomplete("the head of an answer");
                    };
                    let head = self.buffer.split_to(end + 4);
                    self.stream_id = Some(stream_id(&head)?);
                    self.state = State::Size;
                }
                State::Size => {
                    let Some(end) = find(&self.buffer, b"\r\n") else {
                        return self.incomplete("the size of a chunk");
                    };
                    let line = self.buffer.split_to(end + 2);
                    let text = String::from_utf8_lossy(&line[..end]).into_owned();
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(digits, 16)
                        .map_err(|_| format!("`{text}` is no size of a chunk"))?;
                    self.state = if size == 0 { State::Over } else { State::Data(size) };
                }
                State::Data(0) => self.state = State::Close,
                State::Data(left) if !self.buffer.is_empty() => {
                    let here = self.buffer.split_to(left.min(self.buffer.len()));
                    self.records.push(&here);
                    self.state = State::Data(left - here.len());
                }
                State::Close if self.buffer.len() >= 2 => {
                    self.buffer.advance(2);
                    self.state = State::Size;
                }
                State::Data(_) | State::Close | State::Over => return Ok(None),
            }
        }
    }

    fn incomplete(&self, what: &str) -> Result<Option<Bytes>, String> {
        if self.buffer.len() > LONGEST_HEAD {
            return Err(format!("{what} does not end"));
        }
        Ok(None)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The id of the stream that this head opens.
fn stream_id(head: &[u8]) -> Result<String, String> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).map_err(|error| error.to_string())?;
    if response.code != Some(200) {
        let reason = response.reason.unwrap_or_default();
        return Err(format!("SUBSCRIBE was answered with {:?} {reason}", response.code));
    }
    let field = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("mesos-stream-id"));
    let value = field.map(|field| String::from_utf8_lossy(field.value).into_owned());
    value.ok_or_else(|| "the answer to SUBSCRIBE names no stream".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
        Mesos-Stream-Id: 1-2\r\n\r\n3\r\n3\na\r\n4;x=y\r\nbc2\n\r\n2\r\nde\r\n0\r\n\r\n";

    #[test]
    fn records_come_out_whatever_the_pieces() {
        for piece in [1, 2, 7, ANSWER.len()] {
            let mut stream = Subscription::default();
            let mut records = Vec::new();
            for bytes in ANSWER.chunks(piece) {
                assert!(!stream.is_over() || piece == 1 || piece == 2);
                stream.buffer().extend_from_slice(bytes);
                while let Some(record) = stream.next().unwrap() {
                    records.push(record);
                }
            }
            assert_eq!(records, [&b"abc"[..], b"de"]);
            assert_eq!((stream.stream_id(), stream.is_over()), (Some("1-2"), true));
        }
    }

    #[test]
    fn an_answer_that_is_no_subscription_says_what_it_is() {
        let mut stream = Subscription::default();
        stream.buffer().extend_from_slice(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert!(stream.next().unwrap_err().contains("503"));
    }
}
