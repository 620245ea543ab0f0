//! Connections that do nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openssl::ssl::{SslStream, SslVersion};
use rustix::process::{Resource, getrlimit};

use super::Plan;
use crate::authority::Key;
use crate::child::Server;
use crate::figures::Goal;
use crate::hammer::Client;
use crate::serve::How;

/// How long they do nothing.
const REST: Duration = Duration::from_secs(5);
/// Descriptors that a process needs for other things.
const OTHERS: u64 = 100;
const MEMORY_GOAL: Goal = Goal::AtMost(20.0);
/// None: that it is asked what it has used costs it about a tenth of this.
const CPU_GOAL: Goal = Goal::AtMost(0.2);

pub(super) fn measure(plan: &Plan, directory: &Path) -> anyhow::Result<()> {
    // Client and server are processes of their own: each has the whole limit.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(limit.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    let count = plan.connections.min(room);
    println!(
        "{count} idle TLS connections: memory of the server per connection, KiB, without what"
    );
    println!("the kernel holds; CPU at rest, ms per second over {} s.", REST.as_secs());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for used in [false, true] {
            one(directory, count, version, used)?;
        }
    }
    Ok(())
}

fn one(directory: &Path, count: usize, version: SslVersion, used: bool) -> anyhow::Result<()> {
    let mut server = Server::start(How::Ours, directory, Key::P256)?;
    let client = Client::new(version)?;
    // What the first ones need once and for all is not theirs.
    for _ in 0..100 {
        drop(open(&client, &server, used)?);
    }
    let before = server.usage()?;
    let connections = (0..count).map(|_| open(&client, &server, used));
    let connections = connections.collect::<anyhow::Result<Vec<_>>>()?;
    let opened = server.usage()?;
    std::thread::sleep(REST);
    let rested = server.usage_now()?;
    let memory = rested.memory.saturating_sub(before.memory) as f64 / 1024.0 / count as f64;
    let busy = (rested.cpu - opened.cpu).as_secs_f64() * 1e3 / REST.as_secs_f64();
    println!(
        "  {} {}   {memory:5.1} KiB  goal {}    CPU {busy:.2} ms/s  goal none, {}",
        if version == SslVersion::TLS1_3 { "TLS 1.3" } else { "TLS 1.2" },
        if used { "after one request  " } else { "after the handshake" },
        MEMORY_GOAL.verdict(memory),
        CPU_GOAL.verdict(busy),
    );
    drop(connections);
    Ok(())
}

fn open(client: &Client, server: &Server, used: bool) -> anyhow::Result<SslStream<TcpStream>> {
    let mut stream = client.connect(server.address, None)?;
    if used {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).context("no answer")?;
        ensure!(answer[..read].starts_with(b"HTTP/1.1 200 "), "not served");
    }
    Ok(stream)
}
