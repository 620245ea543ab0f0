//! What others notice of a storm: how long a master takes to answer `/health`, which never goes
//! to its engine, and a scheduler's call, which is answered when the engine has decided.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::json;

/// One question of each kind in so much time.
const PACE: Duration = Duration::from_millis(10);
/// A question that is not answered for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A framework with an open stream. It wants no offers.
#[derive(Debug)]
pub(super) struct Scheduler {
    framework: String,
    stream_id: String,
    /// Kept open, and read from by a thread of its own until it ends.
    _stream: TcpStream,
}

/// Questions that are being asked.
#[derive(Debug)]
pub(super) struct Probes {
    stop: Arc<AtomicBool>,
    health: JoinHandle<anyhow::Result<Vec<f64>>>,
    call: JoinHandle<anyhow::Result<Vec<f64>>>,
}

/// How long answers took, in milliseconds, each since the question was due.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    pub(super) health: Vec<f64>,
    pub(super) call: Vec<f64>,
}

impl Scheduler {
    /// Subscribes a framework at `master`.
    pub(super) fn subscribe(master: SocketAddrV4) -> anyhow::Result<Self> {
        let info = json!({
            "user": "nobody", "name": "probe", "roles": ["probe"],
            "capabilities": [{"type": "MULTI_ROLE"}],
        });
        let subscribe = json!({"framework_info": info, "suppressed_roles": ["probe"]});
        let call = json!({"type": "SUBSCRIBE", "subscribe": subscribe});
        let mut stream = connect(master)?;
        stream.write_all(post(master, "", &call.to_string()).as_bytes())?;
        let mut text = String::new();
        let framework = loop {
            // The first event follows the head at once.
            if let Some(id) = between(&text, "\"framework_id\":{\"value\":\"", "\"") {
                break id.to_owned();
            }
            ensure!(text.len() < 1 << 16, "no framework id in {text}");
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk)?;
            ensure!(read > 0, "the subscription ended: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        };
        let lower = text.to_ascii_lowercase();
        let id = between(&lower, "mesos-stream-id: ", "\r\n").context("no stream id")?.to_owned();
        let mut reader = stream.try_clone()?;
        reader.set_read_timeout(None)?;
        // Heartbeats; it ends with the stream.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Ok(Self { framework, stream_id: id, _stream: stream })
    }

    /// A call that changes nothing, and that the engine decides on.
    fn call(&self, master: SocketAddrV4) -> String {
        let call = json!({"type": "SUPPRESS", "framework_id": {"value": self.framework}});
        let header = format!("Mesos-Stream-Id: {}\r\n", self.stream_id);
        post(master, &header, &call.to_string())
    }
}

impl Probes {
    /// Begins to ask.
    pub(super) fn start(master: SocketAddrV4, scheduler: &Scheduler) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |request: String, status: &'static str| -> anyhow::Result<_> {
            let (stream, stop) = (connect(master)?, Arc::clone(&stop));
            Ok(std::thread::spawn(move || ask(stream, &request, status, &stop)))
        };
        let health = ask(format!("GET /health HTTP/1.1\r\nHost: {master}\r\n\r\n"), "200")?;
        let call = ask(scheduler.call(master), "202")?;
        Ok(Self { stop, health, call })
    }

    /// Ends it.
    pub(super) fn stop(self) -> anyhow::Result<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("a probe panicked");
        Ok(Latencies {
            health: self.health.join().map_err(panicked)?.context("GET /health")?,
            call: self.call.join().map_err(panicked)?.context("a scheduler's call")?,
        })
    }
}

/// Asks the same again and again, by the clock: when an answer is late, what was due meanwhile is
/// late too, and is asked as soon as it can be.
fn ask(
    mut stream: TcpStream,
    request: &str,
    status: &str,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes())?;
        answer(&mut stream, status)?;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
        due += PACE;
    }
    Ok(latencies)
}

/// Reads one answer.
fn answer(stream: &mut TcpStream, status: &str) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk)?;
        ensure!(read > 0, "the connection ended");
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.split(' ').nth(1) != Some(status) {
            bail!("answered with {text}");
        }
        let lower = head.to_ascii_lowercase();
        let length = between(&lower, "content-length: ", "\r\n")
            .or_else(|| lower.split_once("content-length: ").map(|(_, rest)| rest));
        let length: usize = length.map_or(Ok(0), |n| n.trim().parse())?;
        if body.len() >= length {
            return Ok(());
        }
    }
}

fn connect(master: SocketAddrV4) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(master)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn post(master: SocketAddrV4, headers: &str, body: &str) -> String {
    format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}
