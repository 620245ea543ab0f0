//! What readers see of the master: `/state` and its parts, and the answers to the read-only v1
//! calls, made from a snapshot.
//!
//! Nothing here waits for the engine. A [`View`] joins one snapshot with what the program is and
//! with what the caller may see; every function that shows something asks that [`Sight`] first.

mod assembled;
mod calls;
mod constraints;
mod entities;
mod events;
mod operations;
mod roles;
mod runs;
mod settings;
mod state;
mod summary;
mod tasks;
pub(crate) mod weave;

use std::collections::BTreeMap;
use std::sync::Arc;

use endpoints::common::Build;
use wire::v1;

use crate::engine::state::{Snapshot, Task};

pub use assembled::Large;
pub use events::heartbeat;
pub use tasks::TaskQuery;

/// What one caller may see. An object that is not seen is left out, as if it did not exist.
pub trait Sight: Send + Sync {
    /// The configuration.
    fn flags(&self) -> bool;
    /// A framework, and that it has tasks and executors.
    fn framework(&self, framework: &v1::FrameworkInfo) -> bool;
    /// A task of a framework that is seen.
    fn task(&self, framework: &v1::FrameworkInfo, task: &Task) -> bool;
    /// An executor of a framework that is seen.
    fn executor(&self, framework: &v1::FrameworkInfo, executor: &v1::ExecutorInfo) -> bool;
    /// A role, and what is reserved to it.
    fn role(&self, role: &str) -> bool;
    /// A machine in the maintenance schedule.
    fn machine(&self, machine: &v1::MachineId) -> bool;
    /// Whether all of the above is seen but perhaps the flags, so that what is kept for those who
    /// see everything can be used.
    fn everything(&self) -> bool;
}

/// Sees everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Everything;

impl Sight for Everything {
    fn flags(&self) -> bool {
        true
    }
    fn framework(&self, _: &v1::FrameworkInfo) -> bool {
        true
    }
    fn task(&self, _: &v1::FrameworkInfo, _: &Task) -> bool {
        true
    }
    fn executor(&self, _: &v1::FrameworkInfo, _: &v1::ExecutorInfo) -> bool {
        true
    }
    fn role(&self, _: &str) -> bool {
        true
    }
    fn machine(&self, _: &v1::MachineId) -> bool {
        true
    }
    fn everything(&self) -> bool {
        true
    }
}

/// What is shown and is not the engine's.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// How it was built.
    pub build: Build,
    /// Its effective flags, sorted by name; nothing secret among them.
    pub flags: BTreeMap<String, String>,
    /// The name of the cluster, if it was given one.
    pub cluster: Option<String>,
    /// Where it writes its log, if to a directory.
    pub log_dir: Option<String>,
    /// The file that something else writes its log to, if told.
    pub external_log_file: Option<String>,
}

/// One snapshot as one caller sees it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The state.
    pub snapshot: &'a Snapshot,
    /// The program.
    pub program: &'a Program,
    /// What the caller may see.
    pub sight: &'a dyn Sight,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("agents", &self.snapshot.agents.size()).finish_non_exhaustive()
    }
}

/// Frameworks seen, in the order of their ids.
impl View<'_> {
    fn frameworks(&self) -> impl Iterator<Item = &Arc<crate::engine::state::Framework>> {
        self.snapshot.frameworks.values().filter(|f| self.sight.framework(&f.info))
    }

    fn completed_frameworks(&self) -> impl Iterator<Item = &Arc<crate::engine::state::Framework>> {
        self.snapshot.completed_frameworks.iter().filter(|f| self.sight.framework(&f.info))
    }
}
