//! Messages over one link.

use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use libprocess::upid::Upid;
use model::identity::Kind;
use testkit::usage;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use transport::counters::Counters;
use transport::messenger::{Exited, Listeners, Messenger, MessengerParts, Settings};
use transport::tls::{Expected, Security};

use super::Plan;
use crate::authority::{Key, Paths};
use crate::child::Server;
use crate::figures::{Goal, Samples};
use crate::serve::How;

/// Messages in one slice, handed over at once.
const COUNT: usize = 10_000;
/// Slices of each side in one run, by turns.
const SLICES: usize = 16;
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
    let _guard = runtime.enter();
    let mut sides = [
        Side::new("TLS", How::Ours, directory, Security::load(&paths.policy()?)?)?,
        Side::new("plaintext", How::OursPlain, directory, Security::DangerPlaintext)?,
    ];
    // The first turn opens the links and does not count.
    for run in 0..=plan.runs {
        for _ in 0..SLICES {
            for side in &mut sides {
                side.slice(&runtime)?;
            }
        }
        sides.iter_mut().for_each(|side| side.end_run(run > 0));
    }
    for side in &sides {
        println!(
            "  {:10} {:32} per write {:18} CPU of sender {:18} of receiver {}",
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
    messenger: Messenger,
    counters: Arc<Counters>,
    exited: mpsc::Receiver<Exited>,
    to: Upid,
    /// In the run that is under way.
    now: Cost,
    /// What the counters said when it began: messages, and writes.
    counted: (u64, u64),
    speed: Samples,
    per_write: Samples,
    sender: Samples,
    receiver: Samples,
}

/// What a number of messages took.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    time: Duration,
    sender: Duration,
    receiver: Duration,
}

impl Side {
    fn new(
        name: &'static str,
        how: How,
        directory: &Path,
        security: Security,
    ) -> anyhow::Result<Self> {
        let server = Server::start(how, directory, Key::P256)?;
        let counters = Arc::new(Counters::default());
        let (exits, exited) = mpsc::channel(1);
        let messenger = Messenger::new(MessengerParts {
            own: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            security,
            settings: Settings::default(),
            counters: Arc::clone(&counters),
            listeners: Arc::new(Listeners::default()),
            sessions: Arc::default(),
            exits,
        });
        let to = Upid::new("master", server.address);
        messenger.link(&to, Expected::Kind(Kind::Master));
        let (now, counted) = (Cost::default(), (0, 0));
        let none = Samples::default;
        let (speed, per_write, sender, receiver) = (none(), none(), none(), none());
        Ok(Self {
            name,
            server,
            messenger,
            counters,
            exited,
            to,
            now,
            counted,
            speed,
            per_write,
            sender,
            receiver,
        })
    }

    fn slice(&mut self, runtime: &Runtime) -> anyhow::Result<()> {
        let before = self.server.usage()?;
        let (cpu, start) = (usage::own_cpu(), Instant::now());
        runtime.block_on(send(&self.messenger, &self.to, COUNT))?;
        self.now.time += start.elapsed();
        self.now.sender += usage::own_cpu() - cpu;
        let after = self.server.usage()?;
        self.now.receiver += after.cpu - before.cpu;
        if let Ok(exited) = self.exited.try_recv() {
            bail!("the link ended: {}", exited.reason);
        }
        let received = after.messages - before.messages;
        ensure!(received == COUNT as u64, "{received} of {COUNT} messages were received");
        Ok(())
    }

    fn end_run(&mut self, counts: bool) {
        let cost = mem::take(&mut self.now);
        let snapshot = self.counters.snapshot();
        let counted = (snapshot.messages_sent, snapshot.message_writes);
        let before = mem::replace(&mut self.counted, counted);
        if counts {
            let count = (COUNT * SLICES) as f64;
            self.speed.push(count / cost.time.as_secs_f64());
            let (messages, writes) = (counted.0 - before.0, counted.1 - before.1);
            self.per_write.push(messages as f64 / writes as f64);
            self.sender.push(cost.sender.as_secs_f64() * 1e6 / count);
            self.receiver.push(cost.receiver.as_secs_f64() * 1e6 / count);
        }
    }
}

/// Sends `count` messages and waits until all are answered.
async fn send(messenger: &Messenger, to: &Upid, count: usize) -> anyhow::Result<()> {
    let body = [0; BODY];
    for _ in 0..count {
        messenger.send("bench", to, Expected::Kind(Kind::Master), "bench.Message", &body)?;
    }
    ensure!(messenger.drain(PATIENCE).await, "messages are not answered");
    Ok(())
}
