//! A client that takes no longer than the server: it reads and forgets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What an answer was.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) took: Duration,
    /// Bytes of the body.
    pub(super) body: u64,
    pub(super) tag: Option<String>,
}

impl Client {
    pub(super) fn new(master: SocketAddrV4) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(master)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 * 1024] })
    }

    /// Sends a request and reads the answer, which says how long it is.
    pub(super) fn ask(&mut self, request: &str) -> anyhow::Result<Answered> {
        let begin = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        let head = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(read > 0, "the connection ended");
            filled += read;
            let end = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?.to_owned();
        let header = |name: &str| {
            text.lines().find_map(|line| {
                let (own, value) = line.split_once(':')?;
                own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let status: u16 = text.get(9..12).context("no status")?.parse()?;
        ensure!(status == 200 || status == 304, "answered with {status}");
        let body: u64 = match status {
            304 => 0,
            _ => header("content-length").context("no length")?.parse()?,
        };
        let mut left = body.saturating_sub((filled - head - 4) as u64);
        while left > 0 {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the connection ended");
            left = left.saturating_sub(read as u64);
        }
        Ok(Answered { status, took: begin.elapsed(), body, tag: header("etag") })
    }
}
