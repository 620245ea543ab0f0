//! What readers see of the agent: `/state` and its parts, and the answers to the read-only v1
//! calls, made from a snapshot. Nothing here waits for the engine.

use std::collections::BTreeMap;

use endpoints::common::Build;
use libprocess::upid::Upid;
use model::resources::{Resource, Resources};
use model::role::Role;
use model::time::Timestamp;
use wire::v1;

use crate::engine::Engine;
use crate::engine::state::{Executor, State};

mod calls;
mod containers;
mod metrics;
mod state;

pub use containers::{Measured, containers};
pub use metrics::{Outside, metrics};

/// The state after the last batch of events that is durable.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the engine knows.
    pub state: State,
    /// The agent's description, canonical.
    pub info: v1::AgentInfo,
    /// Where it listens.
    pub pid: Upid,
    /// What it has.
    pub total: Resources,
}

impl Snapshot {
    /// What `engine` knows now.
    #[must_use]
    pub fn of(engine: &Engine) -> Self {
        Self {
            state: engine.state().clone(),
            info: engine.info().clone(),
            pid: engine.rules().pid.clone(),
            total: engine.total().clone(),
        }
    }

    /// All executors that are not over.
    fn executors(&self) -> impl Iterator<Item = &Executor> {
        let all = self.state.frameworks.values().flat_map(|f| f.executors.values());
        all.map(AsRef::as_ref)
    }

    /// What the executors here may use, whoever it is allocated to.
    fn allocated(&self) -> Resources {
        let mut all = Resources::new();
        for executor in self.executors() {
            all.add_all(&counted(&executor.allocated()).unallocated());
        }
        all
    }
}

/// What is shown and is not the engine's.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// How it was built.
    pub build: Build,
    /// Its effective flags, sorted by name; nothing secret among them.
    pub flags: BTreeMap<String, String>,
    /// Where it writes its log, if to a directory.
    pub log_dir: Option<String>,
    /// The file that something else writes its log to, if told.
    pub external_log_file: Option<String>,
}

/// One snapshot with what else there is to show.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The state.
    pub snapshot: &'a Snapshot,
    /// The program.
    pub program: &'a Program,
    /// When it started.
    pub started: Timestamp,
}

/// Resources as quantities. What a master or framework said in a form that does not count (it
/// would have been refused by a master of this family) is left out of sums, not of messages.
fn counted(resources: &[v1::Resource]) -> Resources {
    resources.iter().filter_map(|r| wire::resources::read_one(r).ok()).collect()
}

/// The role that resources are allocated to.
fn role_of(resources: &Resources) -> Option<Role> {
    resources.iter().find_map(|r: &Resource| r.allocation.clone())
}
