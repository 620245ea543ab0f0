//! Messages over one link.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use libprocess::upid::Upid;
use model::identity::Kind;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use transport::counters::Counters;
use transport::messenger::{Listeners, Messenger, MessengerParts, Settings};
use transport::tls::{Expected, Security};

use super::Plan;
use crate::authority::{Key, Paths};
use crate::child::Server;
use crate::figures::{Goal, Samples};
use crate::proc;
use crate::serve::How;

/// Messages in one run.
const COUNT: usize = 200_000;
/// Messages that wait at a time at most: what a busy component hands over before it looks again.
const BURST: usize = 10_000;
/// Bytes of the body of a message.
const BODY: usize = 300;
const GOAL: Goal = Goal::AtLeast(0.7);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(plan: &Plan, directory: &Path) -> anyhow::Result<()> {
    println!("Messages with {BODY} bytes over one link, our messenger to our server: per second,");
    println!("per write to the socket, and CPU in µs per message.");
    let runtime = Runtime::new()?;
    let paths = Paths::of(directory, Key::P256);
    let mut sides = [
        Side::new("TLS", How::Ours, directory, Security::load(&paths.policy()?)?)?,
        Side::new("plaintext", How::OursPlain, directory, Security::DangerPlaintext)?,
    ];
    for run in 0..=plan.runs {
        for side in &mut sides {
            side.run(&runtime, run > 0)?;
        }
    }
    for side in &sides {
        println!(
            "  {:10} {:32} per write {:16} CPU of sender {:16} of receiver {}",
            side.name, side.speed, side.per_write, side.sender, side.receiver
        );
    }
    let [tls, plain] = &sides;
    println!("  {:10} {}", "TLS : pl.", GOAL.judge(&tls.speed, &plain.speed));
    Ok(())
}

/// One of the two links.
struct Side {
    name: &'static str,
    server: Server,
    security: Security,
    speed: Samples,
    per_write: Samples,
    sender: Samples,
    receiver: Samples,
}

impl Side {
    fn new(
        name: &'static str,
        how: How,
        directory: &Path,
        security: Security,
    ) -> anyhow::Result<Self> {
        let server = Server::start(how, directory, Key::P256)?;
        let none = Samples::default;
        let (speed, per_write, sender, receiver) = (none(), none(), none(), none());
        Ok(Self { name, server, security, speed, per_write, sender, receiver })
    }

    fn run(&mut self, runtime: &Runtime, counts: bool) -> anyhow::Result<()> {
        let counters = Arc::new(Counters::default());
        let (exits, mut exited) = mpsc::channel(1);
        let messenger = Messenger::new(MessengerParts {
            own: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            security: self.security.clone(),
            settings: Settings::default(),
            counters: Arc::clone(&counters),
            listeners: Arc::new(Listeners::default()),
            exits,
        });
        let to = Upid::new("master", self.server.address);
        let (took, cpu, before) = runtime.block_on(async {
            messenger.link(&to, Expected::Kind(Kind::Master));
            send(&messenger, &to, 1).await?;
            let before = self.server.usage()?;
            let (cpu, start) = (proc::own_cpu(), Instant::now());
            send(&messenger, &to, COUNT).await?;
            let took = start.elapsed();
            anyhow::Ok((took, proc::own_cpu() - cpu, before))
        })?;
        let after = self.server.usage()?;
        if let Ok(exited) = exited.try_recv() {
            bail!("the link ended: {}", exited.reason);
        }
        let received = after.messages - before.messages;
        ensure!(received == COUNT as u64, "{received} of {COUNT} messages were received");
        if counts {
            let count = COUNT as f64;
            let snapshot = counters.snapshot();
            self.speed.push(count / took.as_secs_f64());
            self.per_write.push(snapshot.messages_sent as f64 / snapshot.message_writes as f64);
            self.sender.push(cpu.as_secs_f64() * 1e6 / count);
            self.receiver.push((after.cpu - before.cpu).as_secs_f64() * 1e6 / count);
        }
        Ok(())
    }
}

/// Sends `count` messages and waits until all are answered.
async fn send(messenger: &Messenger, to: &Upid, count: usize) -> anyhow::Result<()> {
    let body = [0; BODY];
    let mut left = count;
    while left > 0 {
        let burst = left.min(BURST);
        for _ in 0..burst {
            let expected = Expected::Kind(Kind::Master);
            messenger.send("bench", to, expected, "bench.Message", &body)?;
        }
        ensure!(messenger.drain(PATIENCE).await, "messages are not answered");
        left -= burst;
    }
    Ok(())
}
