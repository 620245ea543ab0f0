//! Servers in processes of their own, and what they have used.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::authority::Key;
use crate::serve::How;

/// A server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) address: SocketAddrV4,
}

/// What a server has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Bytes of memory that it holds now.
    pub(crate) memory: u64,
    /// Messages received.
    pub(crate) messages: u64,
}

/// How long a server must have been at rest before its usage counts.
const REST: Duration = Duration::from_millis(15);
/// Processor time below which it is at rest.
const NOTHING: Duration = Duration::from_micros(300);

impl Server {
    pub(crate) fn start(how: How, directory: &Path, key: Key) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &how.to_string()])
            .arg(directory)
            .arg(key.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = child.stdin.take().context("no pipe")?;
        let mut answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let address = line.trim().parse().context("a server did not start")?;
        Ok(Self { child, asks, answers, address })
    }

    /// What it has used, once it is at rest.
    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        let mut before = self.usage_now()?;
        loop {
            std::thread::sleep(REST);
            let now = self.usage_now()?;
            if now.cpu - before.cpu < NOTHING {
                return Ok(now);
            }
            before = now;
        }
    }

    /// What it has used.
    pub(crate) fn usage_now(&mut self) -> anyhow::Result<Usage> {
        self.asks.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        ensure!(numbers.len() == 3, "a server ended");
        Ok(Usage {
            cpu: Duration::from_nanos(numbers[0]),
            memory: numbers[1],
            messages: numbers[2],
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has no state to lose; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
