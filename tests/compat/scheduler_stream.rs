//! A v1 scheduler made by hand: one connection that streams events, others for calls.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use testkit::process::PATIENCE;

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    reader: BufReader<TcpStream>,
    master: SocketAddrV4,
    stream_id: String,
    pending: Vec<u8>,
}

impl Subscription {
    /// Posts SUBSCRIBE (protobuf) and reads the head of the answer.
    pub(crate) fn open(master: SocketAddrV4, call: &[u8]) -> Self {
        let mut stream = TcpStream::connect(master).expect("the master listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        post(&mut stream, master, None, call);
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader);
        assert!(head[0].starts_with("HTTP/1.1 200 "), "{head:?}");
        let stream_id = header(&head, "mesos-stream-id").expect("a stream id");
        assert_eq!(header(&head, "content-type").as_deref(), Some("application/x-protobuf"));
        Self { reader, master, stream_id, pending: Vec::new() }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Vec<u8> {
        loop {
            if let Some(newline) = self.pending.iter().position(|b| *b == b'\n') {
                let length = std::str::from_utf8(&self.pending[..newline]).expect("a length");
                let length: usize = length.parse().expect("a length");
                if self.pending.len() > newline + length {
                    let record = self.pending[newline + 1..=newline + length].to_vec();
                    self.pending.drain(..=newline + length);
                    return record;
                }
            }
            let mut size = String::new();
            self.reader.read_line(&mut size).expect("a chunk");
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
            assert_ne!(size, 0, "the stream ended");
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).expect("a whole chunk");
            self.pending.extend_from_slice(&chunk[..size]);
        }
    }

    /// Posts a call on a connection of its own; the master must accept it.
    pub(crate) fn call(&self, call: &[u8]) {
        let mut stream = TcpStream::connect(self.master).expect("the master listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        post(&mut stream, self.master, Some(&self.stream_id), call);
        let head = read_head(&mut BufReader::new(stream));
        assert!(head[0].starts_with("HTTP/1.1 202 "), "{head:?}");
    }
}

fn post(stream: &mut TcpStream, master: SocketAddrV4, stream_id: Option<&str>, call: &[u8]) {
    let stream_id = stream_id.map(|id| format!("Mesos-Stream-Id: {id}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /master/api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\n{stream_id}\
         Accept: application/x-protobuf\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\n\r\n",
        call.len()
    );
    stream.write_all(head.as_bytes()).expect("the master reads");
    stream.write_all(call).expect("the master reads");
}

fn read_head(reader: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        let line = line.trim_end();
        if line.is_empty() {
            return lines;
        }
        lines.push(line.to_owned());
    }
}

fn header(head: &[String], name: &str) -> Option<String> {
    head.iter().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The records of a stream that was kept as a whole.
pub(crate) fn records(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(newline) = body.iter().position(|b| *b == b'\n') {
        let length = std::str::from_utf8(&body[..newline]).expect("a length");
        let length: usize = length.parse().expect("a length");
        let (record, rest) = body[newline + 1..].split_at(length);
        records.push(record.to_vec());
        body = rest;
    }
    records
}

/// What the master answers under `path`, which is JSON.
pub(crate) fn get(master: SocketAddrV4, path: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(master).expect("the master listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {master}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the master reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("a whole answer");
    let answer = testkit::http::Message::parse(&answer);
    assert!(answer.first_line.starts_with("HTTP/1.1 200 "), "{}", answer.first_line);
    serde_json::from_slice(&answer.body).expect("JSON")
}
