//! The master's durable record: which agents it admitted, whose they are, which are unreachable
//! or gone, and what operators have set: quotas, weights, when machines are not available.
//!
//! One writer, the leading master. It decides; a backend only keeps: every [`Operation`] replaces
//! or deletes one small record, and a batch of them is durable as a whole or not at all.

mod memory;
mod record;
mod redb;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use model::id::AgentId;
use model::machine::Machine;
use model::principal::Owner;
use model::quota::Quota;
use model::role::Role;
use model::time::Timestamp;
use model::weight::Weight;
use wire::v1;

pub use crate::memory::MemoryRegistry;
pub use crate::redb::{RedbRegistry, SCHEMA_VERSION};
pub use crate::settings::{MachineMode, MachineRecord};

/// What the record says of one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Which agent.
    pub id: AgentId,
    /// Who registered under this id: nobody else may use it. Nobody only if whoever it was proved
    /// nothing.
    pub owner: Owner,
    /// Its standing in the cluster.
    pub standing: Standing,
    /// What operators have ordered for it.
    pub orders: Orders,
}

/// What operators have ordered for an agent: it binds the agent while it is admitted, and when it
/// comes back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orders {
    /// Its tasks are to end, or have ended.
    pub drain: Option<v1::DrainInfo>,
    /// Nothing of it is offered.
    pub deactivated: bool,
}

/// An agent's standing in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// May run tasks; known by this description, resources in the form before reservation
    /// refinement where that can express them.
    Admitted(Box<v1::AgentInfo>),
    /// Marked gone by an operator; never to come back under this id.
    Gone {
        /// Since when.
        since: Timestamp,
    },
    /// Did not answer in time; may come back.
    Unreachable {
        /// Since when.
        since: Timestamp,
    },
}

/// One change of the record.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Forgets the agent.
    DeleteAgent(AgentId),
    /// Forgets the machine: it is up, and nothing is scheduled.
    DeleteMachine(Machine),
    /// Forgets the role's quota: it has no guarantees and no limits.
    DeleteQuota(Role),
    /// Forgets the role's weight: it is 1.
    DeleteWeight(Role),
    /// Writes the agent's record, whatever was there before.
    PutAgent(AgentRecord),
    /// Writes when the machine is not available, and whether it is down.
    PutMachine(Box<MachineRecord>),
    /// Writes who leads.
    PutMaster(Box<v1::MasterInfo>),
    /// Writes the role's quota.
    PutQuota(Role, Quota),
    /// Writes the role's weight.
    PutWeight(Role, Weight),
}

/// The whole record, as a new leader finds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Who led last.
    pub master: Option<v1::MasterInfo>,
    /// All agents known.
    pub agents: BTreeMap<AgentId, AgentRecord>,
    /// The machines for which something is scheduled, or that are down.
    pub machines: BTreeMap<Machine, MachineRecord>,
    /// The roles that have a quota.
    pub quotas: BTreeMap<Role, Quota>,
    /// The roles whose weight was set.
    pub weights: BTreeMap<Role, Weight>,
}

impl Contents {
    /// Does what `operation` says.
    pub fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::DeleteAgent(id) => {
                self.agents.remove(&id);
            }
            Operation::DeleteMachine(machine) => {
                self.machines.remove(&machine);
            }
            Operation::DeleteQuota(role) => {
                self.quotas.remove(&role);
            }
            Operation::DeleteWeight(role) => {
                self.weights.remove(&role);
            }
            Operation::PutAgent(record) => {
                self.agents.insert(record.id.clone(), record);
            }
            Operation::PutMachine(record) => {
                self.machines.insert(record.machine.clone(), *record);
            }
            Operation::PutMaster(master) => self.master = Some(*master),
            Operation::PutQuota(role, quota) => {
                self.quotas.insert(role, quota);
            }
            Operation::PutWeight(role, weight) => {
                self.weights.insert(role, weight);
            }
        }
    }
}

/// A place that keeps the record.
pub trait Registry: Send + fmt::Debug {
    /// Reads the whole record.
    fn recover(&mut self) -> Result<Contents, RegistryError>;

    /// Makes all of `operations` durable, in order, or none of them. After an error nothing more
    /// is written: whether the batch reached the disk is then known only to a new
    /// [`Registry::recover`].
    fn commit(&mut self, operations: &[Operation]) -> Result<(), RegistryError>;

    /// How many bytes the record takes where it is kept; 0 where that is not known.
    fn bytes(&self) -> u64 {
        0
    }
}

/// Why the record could not be read or written. All of these end the master.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// An earlier write failed.
    #[error("an earlier write failed, nothing more is written")]
    Broken,
    /// A record does not decode: the file was damaged or written by something else.
    #[error("the record of {what} cannot be read: {reason}")]
    Damaged {
        /// Which record.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "{path} has schema version {found}; this program knows versions up to {SCHEMA_VERSION}"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The store failed.
    #[error("{doing} {path} failed: {source}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
