//! Clients that read from a master, one question after the other, and how long each took.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use bytes::BufMut as _;
use libprocess::answer::AnswerDecoder;

/// One question in so much time, of those that are asked by the clock.
const PACE: Duration = Duration::from_millis(10);
/// A question that is not answered for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection for questions about one path.
struct Client {
    stream: TcpStream,
    request: String,
    answers: AnswerDecoder,
    /// Bytes that were read.
    read: u64,
}

impl Client {
    fn new(master: SocketAddrV4, path: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(master)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {master}\r\n\r\n");
        Ok(Self { stream, request, answers: AnswerDecoder::default(), read: 0 })
    }

    fn ask(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(self.request.as_bytes())?;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(status) = self.answers.poll()? {
                ensure!(status == 200, "{} was answered with {status}", self.request);
                return Ok(());
            }
            let read = self.stream.read(&mut chunk)?;
            ensure!(read > 0, "the connection ended");
            self.read += read as u64;
            self.answers.buffer().put_slice(&chunk[..read]);
        }
    }
}

/// One of the figures that a master tells of itself.
pub(super) fn metric(master: SocketAddrV4, name: &str) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(master)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = "GET /metrics/snapshot HTTP/1.1";
    write!(stream, "{request}\r\nHost: {master}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    let metrics: serde_json::Value = serde_json::from_str(body)?;
    metrics[name].as_f64().with_context(|| format!("{master} tells no {name}"))
}

/// Asks by the clock: when an answer is late, what was due meanwhile is late too, and is asked as
/// soon as it can be. How long answers took, in milliseconds, each since the question was due.
pub(super) fn paced(
    master: SocketAddrV4,
    path: &str,
    during: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::new(master, path)?;
    let mut latencies = Vec::new();
    let begin = Instant::now();
    let mut due = begin;
    while begin.elapsed() < during {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        client.ask()?;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
        due += PACE;
    }
    Ok(latencies)
}

/// Asks again as soon as there is an answer, at least once. How long answers took, in milliseconds,
/// and how long the last one was, in bytes.
pub(super) fn looped(
    master: SocketAddrV4,
    path: &str,
    during: Duration,
) -> anyhow::Result<(Vec<f64>, u64)> {
    let mut client = Client::new(master, path)?;
    let (mut latencies, mut size) = (Vec::new(), 0);
    let begin = Instant::now();
    while begin.elapsed() < during || latencies.is_empty() {
        let (now, before) = (Instant::now(), client.read);
        client.ask()?;
        latencies.push(now.elapsed().as_secs_f64() * 1e3);
        size = client.read - before;
    }
    Ok((latencies, size))
}

/// Clients that ask again as soon as there is an answer.
pub(super) struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<u64>>>,
}

impl Readers {
    pub(super) fn start(master: SocketAddrV4, path: &str, count: usize) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..count {
            let (mut client, stop) = (Client::new(master, path)?, Arc::clone(&stop));
            threads.push(std::thread::spawn(move || {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.ask()?;
                    answered += 1;
                }
                Ok(answered)
            }));
        }
        Ok(Self { stop, threads })
    }

    /// How many answers there were.
    pub(super) fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for thread in self.threads {
            answered += thread.join().map_err(|_| anyhow!("a reader panicked"))??;
        }
        Ok(answered)
    }
}
