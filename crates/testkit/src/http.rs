//! The least of HTTP/1.1 that it takes to read recorded traffic and to talk to a daemon by hand.

use std::io::Read;

/// A request or response, its body whole: chunks joined, gzip undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The request line or status line.
    pub first_line: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// Reads one whole message.
    ///
    /// # Panics
    /// If `bytes` are not one complete HTTP/1.1 message (a body without length may end with the
    /// bytes, and so may a chunked one that was cut off with its connection).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head ends");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let rest = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let first_line = lines.next().expect("split yields something").to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header has a colon");
                (name.trim().to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let mut message = Self { first_line, headers, body: Vec::new() };
        let body = if message.header("transfer-encoding") == Some("chunked") {
            join_chunks(rest)
        } else if let Some(length) = message.header("content-length") {
            rest[..length.parse::<usize>().expect("a length is a number")].to_vec()
        } else {
            rest.to_vec()
        };
        message.body = if message.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
            plain
        } else {
            body
        };
        message
    }

    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The status of a response.
    ///
    /// # Panics
    /// If this is a request.
    #[must_use]
    pub fn status(&self) -> u16 {
        let status = self.first_line.strip_prefix("HTTP/1.1 ").expect("a status line");
        status[..3].parse().expect("a status is a number")
    }

    /// The method and path of a request.
    ///
    /// # Panics
    /// If this is a response.
    #[must_use]
    pub fn target(&self) -> (&str, &str) {
        let mut words = self.first_line.split(' ');
        (words.next().expect("a method"), words.next().expect("a path"))
    }

    /// The body as RecordIO records: a decimal length, a newline, that many bytes. The last one
    /// may be cut off.
    ///
    /// # Panics
    /// If the body is not RecordIO.
    #[must_use]
    pub fn records(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut rest = &self.body[..];
        while let Some(newline) = rest.iter().position(|b| *b == b'\n') {
            let length = std::str::from_utf8(&rest[..newline]).expect("a length is text");
            let length: usize = length.parse().expect("a length is a number");
            let after = &rest[newline + 1..];
            if after.len() < length {
                break;
            }
            records.push(after[..length].to_vec());
            rest = &after[length..];
        }
        records
    }
}

fn join_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).expect("a chunk size is text");
        let size = usize::from_str_radix(size, 16).expect("a chunk size is hexadecimal");
        let data = &rest[line + 2..];
        if size == 0 || data.len() < size {
            break;
        }
        body.extend_from_slice(&data[..size]);
        rest = data.get(size + 2..).unwrap_or_default();
    }
    body
}
