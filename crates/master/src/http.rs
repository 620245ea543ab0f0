//! The master over HTTP: the old endpoints, the operator API, the scheduler API.

mod change;
mod documents;
mod forms;
mod kill_task;
mod operator;
mod permits;
mod read;
#[cfg(test)]
mod recorded;
mod scheduler;
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use endpoints::access::Caller;
use endpoints::authentication::Authentication;
use endpoints::common::{Block, Build, Daemon};
use endpoints::files::Files;
use endpoints::refusal::Refusal;
use endpoints::site::Refused;
use endpoints::tls::Tls;
use endpoints::workers::Workers;
use model::time::Timestamp;
use transport::counters::Counters;

use crate::engine::announcement::Announcement;
use crate::engine::event::Caller as EngineCaller;
use crate::engine::state::Snapshot;
use crate::runtime::{
    DeskCounted, Inbox, Measures, OPERATOR_HEARTBEAT, Operators, Stopping, Streams,
};
use crate::telemetry::{self, Driver};
use crate::views::{Everything, Program, View};

pub use documents::Documents;
pub use table::table;

/// What the handlers see: the latest snapshot, the way to the engine, and what the program is.
#[derive(Debug)]
pub struct Master {
    /// The state after the last batch of events that is durable.
    pub snapshots: ArcSwap<Snapshot>,
    /// The program.
    pub program: Program,
    /// The files that it shows.
    pub files: Files,
    /// Who may do what.
    pub authorizer: authz::Authorizer,
    /// The way to the engine.
    pub inbox: Inbox,
    /// The streams of schedulers.
    pub streams: Streams,
    /// The streams of operators.
    pub operators: Operators,
    /// How often a stream beats.
    pub heartbeat_interval: Duration,
    /// `--publish_per_framework_metrics`
    pub per_framework_metrics: bool,
    /// What the driver measures.
    pub measures: Measures,
    /// What was counted before the engine.
    pub counted: Counted,
    /// The large answers that were made last.
    pub documents: Documents,
    /// The threads that make them.
    pub workers: Workers,
    /// What protects connections.
    pub tls: Arc<Tls>,
    /// Who is asked who they are.
    pub authentication: Authentication,
}

/// What the driver counts.
#[derive(Debug, Default)]
pub struct Counted {
    /// Messages that could not be read.
    pub undecodable: AtomicU64,
    /// Messages from a sender that may not send them.
    pub forbidden: AtomicU64,
    /// What the desk counts, where clients authenticate.
    pub desk: Arc<DeskCounted>,
    /// Changes of the registry that are being written.
    pub queued_operations: AtomicU64,
    /// Decisions that wait to be carried out.
    pub queued_effects: AtomicU64,
    /// What the connections count.
    pub transport: Arc<Counters>,
    /// Requests refused, by status; set when the site is there.
    pub refused: OnceLock<Arc<Refused>>,
}

impl Master {
    /// What `caller` may see.
    fn sight(&self, _caller: &Caller) -> Everything {
        // Every caller who is admitted sees everything until rules say otherwise.
        Everything
    }

    /// Shows the latest snapshot to `caller`.
    fn view<T>(&self, caller: &Caller, show: impl FnOnce(View<'_>) -> T) -> T {
        let (snapshot, sight) = (self.snapshots.load(), self.sight(caller));
        show(View { snapshot: &snapshot, program: &self.program, sight: &sight })
    }

    /// Shows one snapshot to somebody who sees everything.
    fn view_of<'a>(&'a self, snapshot: &'a Snapshot) -> View<'a> {
        View { snapshot, program: &self.program, sight: &Everything }
    }

    /// Shows a new state, and tells operators what has changed.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>, announcements: &[Announcement]) {
        let shown = Arc::clone(&snapshot);
        let view = self.view_of(&shown);
        self.operators.publish(&self.snapshots, snapshot, announcements, |a| view.event(a));
        self.documents.tidy();
    }
}

impl Daemon for Master {
    fn build(&self) -> &Build {
        &self.program.build
    }

    fn flags(&self) -> &BTreeMap<String, String> {
        &self.program.flags
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        self.collect(self.per_framework_metrics)
    }

    fn metrics_in_blocks(&self) -> (BTreeMap<String, f64>, Vec<Block>) {
        let blocks = match self.per_framework_metrics {
            true => telemetry::blocks(&self.snapshots.load()),
            false => Vec::new(),
        };
        (self.collect(false), blocks)
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

impl Master {
    /// A master that shows one state and whose engine is gone, to measure what reads cost.
    #[must_use]
    pub fn exhibit(snapshot: Snapshot, program: Program) -> Arc<Self> {
        let (inbox, _) = Inbox::new();
        Arc::new(Self {
            snapshots: ArcSwap::from_pointee(snapshot),
            program,
            files: Files::default(),
            inbox,
            streams: Streams::default(),
            operators: Operators::new(1000, OPERATOR_HEARTBEAT),
            heartbeat_interval: OPERATOR_HEARTBEAT,
            per_framework_metrics: true,
            measures: Measures::default(),
            counted: Counted::default(),
            documents: Documents::default(),
            workers: Workers::default(),
            tls: Tls::new(transport::tls::Security::DangerPlaintext, Vec::new()),
            authentication: Authentication::default(),
            authorizer: authz::Authorizer::door(),
        })
    }

    /// All metrics; those of frameworks only if `per_framework`.
    fn collect(&self, per_framework: bool) -> BTreeMap<String, f64> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let queued = count(&self.counted.queued_operations);
        let driver = Driver {
            queued_events: self.inbox.queued(),
            queued_requests: self.inbox.waiting(),
            operator_streams: self.operators.len(),
            queued_operations: usize::try_from(queued).unwrap_or(usize::MAX),
            queued_effects: count(&self.counted.queued_effects),
            undecodable_messages: count(&self.counted.undecodable),
            forbidden_messages: count(&self.counted.forbidden),
            cut_off_subscribers: self.streams.cut_off() + self.operators.cut_off(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let snapshot = self.snapshots.load();
        let now = Timestamp::new(now);
        let mut all = telemetry::metrics(&snapshot, &driver, now, per_framework);
        for (name, count) in self.counted.transport.snapshot().entries() {
            all.insert(format!("alcazar/transport/{name}"), count as f64);
        }
        for (name, count) in self.counted.desk.entries() {
            all.insert(format!("alcazar/authentication/{name}"), count as f64);
        }
        all.extend(self.measures.metrics());
        let hits = self.documents.hits();
        *all.entry("master/http_cache_hits".to_owned()).or_default() += hits as f64;
        let requests = count(&self.counted.desk.requests);
        *all.entry("master/messages_authenticate".to_owned()).or_default() += requests as f64;
        all.extend(self.counted.refused.get().map(|r| r.metrics()).unwrap_or_default());
        all
    }
}

/// Who called, as the engine wants to know it.
fn engine_caller(caller: &Caller) -> EngineCaller {
    EngineCaller {
        principal: caller.principal().map(str::to_owned),
        identity: caller.identity().cloned(),
        owner: caller.owner(),
        kinds: caller.kinds(),
    }
}

/// The engine is gone.
fn stopping(_: Stopping) -> Refusal {
    Refusal::unavailable("The master is stopping")
}

/// The engine's refusal as a response.
fn refused(refusal: &crate::engine::refusal::Refusal) -> Refusal {
    let text = refusal.to_string();
    match refusal.status() {
        403 => Refusal::forbidden_because(text),
        404 => Refusal::not_found_because(text),
        409 => Refusal::conflict(text),
        501 => Refusal::not_implemented(text),
        503 => Refusal::unavailable(text),
        _ => Refusal::bad_request(text),
    }
}

/// A handler that takes a while, from an async function.
type Shared = Arc<Master>;
