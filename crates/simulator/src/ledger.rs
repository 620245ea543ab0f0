//! What is really so, whatever the programs believe: what ran, what was promised.

use std::collections::{BTreeMap, BTreeSet};

use model::id::AgentId;
use model::time::Instant;
use wire::v1::TaskState;

/// A task as the machines know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RealTask {
    /// How often an executor was given it.
    pub(crate) given: u32,
    /// What its executor reported last, and was told to be safe.
    pub(crate) safe: Option<TaskState>,
    /// On which agent.
    pub(crate) agent: Option<AgentId>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// All that ever ran, by the framework's id and the task's.
    pub(crate) tasks: BTreeMap<(String, String), RealTask>,
    /// Agents that were told that they are registered, and have not been removed since.
    pub(crate) admitted: BTreeSet<AgentId>,
    /// Agents that may have lost what they had to tell: they left, or were given up.
    pub(crate) departed: BTreeSet<AgentId>,
    /// Volumes that a scheduler was told to be there and that nobody has given up since, and on
    /// which agent.
    pub(crate) volumes: BTreeMap<String, String>,
    given_up: BTreeSet<String>,
    /// Agents that left and were forgotten, and with them what operators wanted of them.
    pub(crate) forgotten: BTreeSet<AgentId>,
    /// Agents that give more than they have, and since when.
    pub(crate) strained: BTreeMap<AgentId, Instant>,
    /// Frameworks that have ended.
    pub(crate) ended: BTreeSet<String>,
    /// Whether the record, or what is promised to be on it, has changed since it was looked at.
    pub(crate) record_changed: bool,
    /// What is wrong; the first thing ends the run.
    pub(crate) violations: Vec<String>,
    /// How often things happened, for the summary.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Ledger {
    pub(crate) fn volume_made(&mut self, volume: &str, agent: &str) {
        if !self.given_up.contains(volume) {
            self.volumes.insert(volume.to_owned(), agent.to_owned());
        }
    }

    pub(crate) fn volume_given_up(&mut self, volume: &str) {
        self.volumes.remove(volume);
        self.given_up.insert(volume.to_owned());
    }

    pub(crate) fn violation(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    /// Something happened so often at once.
    pub(crate) fn count_many(&mut self, what: &'static str, times: usize) {
        *self.counts.entry(what).or_default() += times as u64;
    }
}
