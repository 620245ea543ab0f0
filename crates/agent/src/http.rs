//! The agent over HTTP: the old endpoints, the operator API, the executor API.

mod executor;
mod operator;
mod read;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use endpoints::access::Posture;
use endpoints::authentication::Authentication;
use endpoints::common::{Build, Daemon};
use endpoints::files::Files;
use endpoints::refusal::Refusal;
use endpoints::site::Refused;
use endpoints::tls::Tls;
use model::time::Timestamp;
use transport::counters::Counters;

use crate::containerizer::Containerizer;
use crate::runtime::holder::Holders;
use crate::runtime::{Inbox, Stopping, Streams};
use crate::views::{Outside, Program, Snapshot, View, metrics};

pub use table::table;

/// What the handlers see: the latest snapshot, the way to the engine, and what the program is.
#[derive(Debug)]
pub struct Agent {
    /// The state after the last batch of events that is durable.
    pub snapshots: ArcSwap<Snapshot>,
    /// Whether a master has admitted the agent; follows the snapshots.
    pub registered: tokio::sync::watch::Sender<bool>,
    /// The program.
    pub program: Program,
    /// When it started.
    pub started: Timestamp,
    /// How long it took to read what an earlier run left, in seconds.
    pub recovery_seconds: f64,
    /// The files that it shows.
    pub files: Files,
    /// The way to the engine.
    pub inbox: Inbox,
    /// The streams of executors.
    pub streams: Streams,
    /// What runs containers, to ask what they use.
    pub containerizer: Arc<dyn Containerizer>,
    /// Which container the other end of a connection belongs to.
    pub(crate) holders: Holders,
    /// Whether no executor is heard over HTTP without a token.
    pub tokens_required: bool,
    /// What callers have to prove.
    pub posture: Posture,
    /// What was counted before the engine.
    pub counted: Counted,
    /// What protects connections.
    pub tls: Arc<Tls>,
    /// Who is asked who they are.
    pub authentication: Authentication,
}

/// What is counted before the engine.
#[derive(Debug, Default)]
pub struct Counted {
    /// Messages that could not be read.
    pub undecodable: AtomicU64,
    /// Calls of the executor API without a token that counts.
    pub refused_tokens: AtomicU64,
    /// Calls and messages of executors that came from no process of the executor's container.
    pub strangers: AtomicU64,
    /// What the connections count.
    pub transport: Arc<Counters>,
    /// Requests refused, by status; set when the site is there.
    pub refused: OnceLock<Arc<Refused>>,
}

impl Agent {
    /// Shows the latest snapshot.
    fn view<T>(&self, show: impl FnOnce(View<'_>) -> T) -> T {
        let snapshot = self.snapshots.load();
        show(View { snapshot: &snapshot, program: &self.program, started: self.started })
    }
}

impl Daemon for Agent {
    fn build(&self) -> &Build {
        &self.program.build
    }

    fn flags(&self) -> &BTreeMap<String, String> {
        &self.program.flags
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let uptime: Duration = now.saturating_sub(self.started.since_epoch());
        let outside = Outside {
            uptime,
            recovery_seconds: self.recovery_seconds,
            undecodable_messages: self.counted.undecodable.load(Ordering::Relaxed),
            cut_off_executors: self.streams.cut_off(),
            refused_tokens: self.counted.refused_tokens.load(Ordering::Relaxed),
            strangers: self.counted.strangers.load(Ordering::Relaxed),
        };
        let mut all = metrics(&self.snapshots.load(), &outside);
        for (name, count) in self.counted.transport.snapshot().entries() {
            all.insert(format!("alcazar/transport/{name}"), count as f64);
        }
        all.extend(self.counted.refused.get().map(|r| r.metrics()).unwrap_or_default());
        all
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    fn authentication(&self) -> &Authentication {
        &self.authentication
    }
}

/// The engine is gone.
fn stopping(_: Stopping) -> Refusal {
    Refusal::unavailable("The agent is stopping")
}

/// What handlers that take a while hold on to.
type Shared = Arc<Agent>;
