//! Throughput of a download.

use std::fs::File;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use openssl::ssl::SslVersion;
use testkit::usage;

use super::Plan;
use crate::authority::{Key, Paths};
use crate::child::Server;
use crate::figures::{Goal, Samples};
use crate::hammer::Client;
use crate::serve::How;

/// The length of what is downloaded.
const LENGTH: u64 = 128 * 1024 * 1024;
/// Downloads from each server in one run, by turns.
const SLICES: u32 = 6;
const GOAL: Goal = Goal::AtLeast(0.9);

pub(super) fn measure(plan: &Plan, directory: &Path) -> anyhow::Result<()> {
    println!(
        "Throughput of a streamed download over one connection, TLS 1.3, AES-256-GCM, {SLICES}"
    );
    println!("times {} MiB: MiB per second, and server CPU in ms per GiB.", LENGTH >> 20);
    // Nobody looks at what is in it; it has no blocks on disk.
    File::create(directory.join("data"))?.set_len(LENGTH)?;
    let mut ours = Server::start(How::Ours, directory, Key::P256)?;
    let mut bare = Server::start(How::Bare, directory, Key::P256)?;
    let command = SServer::start(directory)?;
    let client = Client::new(SslVersion::TLS1_3)?;
    let mut sides = [Side::default(), Side::default(), Side::default()];
    // The first turn warms up and does not count.
    for run in 0..=plan.runs {
        for _ in 0..SLICES {
            for (server, side) in [&mut ours, &mut bare].into_iter().zip(&mut sides) {
                let before = server.usage()?.cpu;
                let took = download(&client, server.address)?;
                side.add(took, Some(server.usage()?.cpu - before));
            }
            if let Some(command) = &command {
                let before = usage::cpu_of(command.child.id());
                let took = download(&client, command.address)?;
                let cpu = before.zip(usage::cpu_of(command.child.id())).map(|(b, a)| a - b);
                sides[2].add(took, cpu);
            }
        }
        sides.iter_mut().for_each(|side| side.end_run(run > 0));
    }
    let [ours, bare, theirs] = sides;
    ours.print("ours");
    bare.print("bare loop, 16 KiB at a time");
    println!("  {:30}{}", "ours : bare loop", GOAL.judge(&ours.speed, &bare.speed));
    if let Some(command) = &command {
        theirs.print("openssl s_server -WWW");
        println!("  {:30}{}", "ours : s_server", GOAL.judge(&ours.speed, &theirs.speed));
        let own = openssl::version::version();
        let same = own.split(' ').take(2).eq(command.version.split(' ').take(2));
        let remark = if same { "the same" } else { "NOT the same as ours" };
        println!("  s_server is {}: {remark}", command.version);
    } else {
        println!("  (no openssl command on this machine)");
    }
    Ok(())
}

fn download(client: &Client, address: SocketAddrV4) -> anyhow::Result<Duration> {
    let (bytes, took) = client.download(address, "/data")?;
    ensure!(bytes == LENGTH, "{bytes} of {LENGTH} bytes came");
    Ok(took)
}

/// What one of the servers achieved.
#[derive(Default)]
struct Side {
    /// In the run that is under way.
    took: Duration,
    /// Likewise; `None` where the system does not say.
    used: Option<Duration>,
    speed: Samples,
    cpu: Samples,
}

impl Side {
    fn add(&mut self, took: Duration, used: Option<Duration>) {
        self.took += took;
        self.used = used.map(|used| self.used.unwrap_or_default() + used);
    }

    fn end_run(&mut self, counts: bool) {
        let (took, used) = (mem::take(&mut self.took), mem::take(&mut self.used));
        let mebibytes = (LENGTH >> 20) as f64 * f64::from(SLICES);
        if counts && !took.is_zero() {
            self.speed.push(mebibytes / took.as_secs_f64());
            if let Some(used) = used {
                self.cpu.push(used.as_secs_f64() * 1e3 * 1024.0 / mebibytes);
            }
        }
    }

    fn print(&self, name: &str) {
        println!("  {name:30}{:24}  CPU {}", self.speed, self.cpu);
    }
}

/// `openssl s_server -WWW`.
struct SServer {
    child: Child,
    address: SocketAddrV4,
    version: String,
}

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

impl SServer {
    /// `None` if there is no such command.
    fn start(directory: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(version) = Command::new("openssl").arg("version").output() else { return Ok(None) };
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        // It cannot be asked which port it chose.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free);
        let paths = Paths::of(directory, Key::P256);
        let child = Command::new("openssl")
            .args(["s_server", "-WWW", "-quiet", "-accept", &address.to_string()])
            .arg("-cert")
            .arg(&paths.chain)
            .arg("-key")
            .arg(&paths.key)
            .arg("-cert_chain")
            .arg(&paths.issuer)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("openssl s_server")?;
        let server = Self { child, address, version };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > PATIENCE {
                bail!("openssl s_server does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(server))
    }
}

impl Drop for SServer {
    fn drop(&mut self) {
        // It has no state to lose; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
