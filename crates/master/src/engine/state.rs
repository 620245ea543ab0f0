//! What the master knows. A clone is a snapshot: all collections are persistent, all entities
//! shared, so that it costs a few pointers and never changes again.

mod agent_facts;
pub mod inverse_offer;
pub mod offer;
pub mod operation;
mod same;
pub mod settings;
mod task;
mod unreachable;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use libprocess::sender::{ConnectionId, SessionId};
use libprocess::upid::Upid;
use model::id::{AgentId, ExecutorId, FrameworkId, OfferId, TaskId};
use model::principal::Owner;
use model::resources::Resources;
use model::role::Role;
use model::time::{Instant, Timestamp};
use registry::Orders;
use wire::v1;

use super::collections::{Cells, History, Map, Set, Shelf};
use super::counters::{Counters, FrameworkCounters};
use super::effect::Peer;
use super::event::SubscriptionId;

pub use inverse_offer::InverseOffer;
pub use offer::Offer;
pub use operation::{Operation, OperationUuid, Provider};
pub use settings::Settings;
pub use task::Task;
pub use unreachable::UnreachableTasks;

/// An immutable view of the whole master, for readers on other threads.
pub type Snapshot = State;

/// Everything the master knows.
#[derive(Clone, Debug)]
pub struct State {
    /// Who this master is.
    pub master: Arc<v1::MasterInfo>,
    /// When the program started.
    pub started: Timestamp,
    /// When it became the leader.
    pub elected: Timestamp,
    /// Registered agents, connected or not.
    pub agents: Map<AgentId, Arc<Agent>>,
    /// Agents in the registry that have not come back since this master leads.
    pub recovered_agents: Map<AgentId, Arc<RecoveredAgent>>,
    /// Agents that did not answer in time, and since when.
    pub unreachable_agents: Map<AgentId, DepartedAgent>,
    /// Agents that an operator gave up, and since when.
    pub gone_agents: Map<AgentId, DepartedAgent>,
    /// Frameworks that exist: connected, disconnected or known only from agents.
    pub frameworks: Map<FrameworkId, Arc<Framework>>,
    /// Frameworks that ended, the oldest first; bounded.
    pub completed_frameworks: History<Framework>,
    /// Outstanding offers.
    pub offers: Map<OfferId, Arc<Offer>>,
    /// Outstanding inverse offers.
    pub inverse_offers: Map<OfferId, Arc<InverseOffer>>,
    /// Operations on registered agents' resources, until their endings are acknowledged.
    pub operations: Map<OperationUuid, Arc<Operation>>,
    /// How many messages drivers have sent, by the principals of their frameworks.
    pub principals: Map<String, MessageCounts>,
    /// What operators have set.
    pub settings: Settings,
    /// What has been counted.
    pub counters: Counters,
}

/// How many messages the drivers of one principal have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// How many came in.
    pub received: u64,
    /// How many were handled: neither dropped nor still waiting for their turn.
    pub processed: u64,
}

/// A registered agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its address, and the identity that must answer there.
    pub peer: Peer,
    /// Who owns its id: whatever comes in its name must show as much.
    pub owner: Owner,
    /// The session under which it registered last, if it has authenticated.
    pub session: Option<SessionId>,
    /// The connection over which it registered last.
    pub connection: ConnectionId,
    /// Its description, with `id`, resources in the form after reservation refinement.
    pub info: Arc<v1::AgentInfo>,
    /// The version that it runs.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<v1::agent_info::capability::Type>,
    /// When it registered, with this master.
    pub registered: Timestamp,
    /// When it registered again, if it did.
    pub reregistered: Option<Timestamp>,
    /// Whether the link to it stands.
    pub connected: bool,
    /// Whether it gets offered: it is connected and not deactivated.
    pub active: bool,
    /// What operators have ordered for it.
    pub orders: Orders,
    /// When it was told last to drain.
    pub estimated_drain_start: Option<Timestamp>,
    /// All that it has, unallocated.
    pub total: Resources,
    /// What tasks that have not ended and executors use, allocated to roles.
    pub used: Map<FrameworkId, Resources>,
    /// What is in outstanding offers, allocated to roles.
    pub offered: Resources,
    /// The agent's mark for the state of its resources: 16 bytes.
    pub resource_version: Option<Bytes>,
    /// Executors on it other than those made for command tasks.
    pub executors: Map<(FrameworkId, ExecutorId), Arc<Executor>>,
    /// Tasks on it, those that ended included until the ending is acknowledged.
    pub tasks: Set<(FrameworkId, TaskId)>,
    /// Outstanding offers of its resources.
    pub offers: Set<OfferId>,
    /// Outstanding inverse offers about it.
    pub inverse_offers: Set<OfferId>,
    /// What frameworks said about that last.
    pub inverse_answers: Map<FrameworkId, v1::allocator::InverseOfferStatus>,
    /// When it will be out of service, if that is planned.
    pub unavailability: Option<v1::Unavailability>,
    /// Operations on its resources, its providers' included.
    pub operations: Set<OperationUuid>,
    /// For how many they count.
    pub operations_weight: usize,
    /// The same by frameworks, those that are not known included.
    pub operations_by: Map<FrameworkId, usize>,
    /// Its resource providers, by their ids.
    pub providers: Map<Arc<str>, Arc<Provider>>,
    /// The number of its observer: pings come from `slave-observer(<number>)`.
    pub observer: u64,
    /// What readers have made of it.
    pub cells: Cells,
}

impl Agent {
    /// What all frameworks use.
    #[must_use]
    pub fn used_by_all(&self) -> Resources {
        let mut sum = Resources::new();
        self.used.values().for_each(|used| sum.add_all(used));
        sum
    }

    /// Whether an operator has deactivated it.
    #[must_use]
    pub fn is_deactivated(&self) -> bool {
        self.orders.deactivated
    }

    /// Whether it drains; not whether it has drained.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.orders.drain.is_some_and(|drain| drain.state() == v1::DrainState::Draining)
    }

    /// Whether nothing is there that an agent which drains waits for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.operations.is_empty()
    }

    /// Whether it has `capability`.
    #[must_use]
    pub fn has(&self, capability: v1::agent_info::capability::Type) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// An agent that the registry knows but that has not come back yet.
#[derive(Clone, Debug)]
pub struct RecoveredAgent {
    /// Its description, as the registry has it.
    pub info: Arc<v1::AgentInfo>,
    /// Who owns its id.
    pub owner: Owner,
    /// What operators have ordered for it.
    pub orders: Orders,
}

/// An agent that left without being forgotten.
#[derive(Clone, Debug)]
pub struct DepartedAgent {
    /// Since when.
    pub since: Timestamp,
    /// Who owns its id.
    pub owner: Owner,
    /// What operators have ordered for it, should it come back.
    pub orders: Orders,
}

/// How a subscribed scheduler is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By events on this stream, over HTTP.
    Stream(SubscriptionId),
    /// By libprocess messages: a driver of the old kind.
    Driver(Driver),
}

/// A scheduler that speaks libprocess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its address, and the identity that must answer there.
    pub peer: Peer,
    /// The session under which it subscribed, if it has authenticated.
    pub session: Option<SessionId>,
}

/// Where a framework's scheduler is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Subscribed.
    Connected(Channel),
    /// Its stream or link ended; it has until then to come back.
    Disconnected {
        /// When it will be removed.
        deadline: Instant,
        /// Where it was, if it is a driver.
        pid: Option<Upid>,
    },
    /// Known from agents only, after a change of masters.
    Recovered {
        /// When it will be removed.
        deadline: Instant,
    },
}

/// What a framework understands; see `FrameworkInfo.Capability`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameworkCapabilities {
    /// GPU_RESOURCES
    pub gpu_resources: bool,
    /// MULTI_ROLE
    pub multi_role: bool,
    /// PARTITION_AWARE
    pub partition_aware: bool,
    /// REGION_AWARE
    pub region_aware: bool,
    /// RESERVATION_REFINEMENT
    pub reservation_refinement: bool,
    /// REVOCABLE_RESOURCES
    pub revocable_resources: bool,
    /// SHARED_RESOURCES
    pub shared_resources: bool,
    /// TASK_KILLING_STATE
    pub task_killing_state: bool,
}

/// What a framework's id rests on: who may say whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This master has made the id.
    Granted,
    /// A scheduler has come with it from before this master's time, and no agent has confirmed
    /// its principal yet.
    Claimed,
    /// An agent has brought it from before this master's time.
    Told {
        /// The principal of a scheduler that had claimed it before the agent came.
        instead_of: Option<String>,
    },
}

/// A framework.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// Its description, with `id` and, once authenticated, `principal`.
    pub info: Arc<v1::FrameworkInfo>,
    /// The roles it subscribes to.
    pub roles: BTreeSet<Role>,
    /// Those of them for which it wants no offers now.
    pub suppressed_roles: BTreeSet<Role>,
    /// What it wants of agents, as given.
    pub offer_constraints: Option<Arc<v1::scheduler::OfferConstraints>>,
    /// The same, ready to be asked; `None` if it wants any agent.
    pub constraints: Option<allocator::Constraints>,
    /// What it understands.
    pub capabilities: FrameworkCapabilities,
    /// What its schedulers have proved; nobody where nothing is asked, and for recovered
    /// frameworks.
    pub owner: Owner,
    /// What its id rests on.
    pub standing: Standing,
    /// Where its scheduler is.
    pub connection: Connection,
    /// Whether it gets offers.
    pub active: bool,
    /// When it subscribed first, with this master.
    pub registered: Timestamp,
    /// When it subscribed last; equal to `registered` unless it subscribed again.
    pub reregistered: Timestamp,
    /// When it ended.
    pub unregistered: Option<Timestamp>,
    /// Tasks that have not ended, and those that have until the ending is acknowledged.
    pub tasks: Shelf<TaskId, Arc<Task>>,
    /// Tasks on agents that became unreachable, the oldest first; bounded.
    pub unreachable_tasks: UnreachableTasks,
    /// Tasks that ended, the oldest first; bounded.
    pub completed_tasks: History<Task>,
    /// Executors other than those made for command tasks.
    pub executors: Map<(AgentId, ExecutorId), Arc<Executor>>,
    /// What its tasks and executors use, allocated to roles.
    pub used: Map<AgentId, Resources>,
    /// Outstanding offers to it.
    pub offers: Set<OfferId>,
    /// Outstanding inverse offers to it.
    pub inverse_offers: Set<OfferId>,
    /// Its operations.
    pub operations: Set<OperationUuid>,
    /// For how many they count.
    pub operations_weight: usize,
    /// Those of them that it has named, by its names; of several of one name the last.
    pub operation_names: Map<String, OperationUuid>,
    /// What has been counted for it.
    pub counters: FrameworkCounters,
    /// What readers have made of it.
    pub cells: Cells,
}

impl Framework {
    /// Whether its scheduler is subscribed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.connection, Connection::Connected(_))
    }

    /// Whether it is known from agents only.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        matches!(self.connection, Connection::Recovered { .. })
    }

    /// The stream of its scheduler, if it is subscribed over HTTP.
    #[must_use]
    pub fn subscription(&self) -> Option<SubscriptionId> {
        match self.connection {
            Connection::Connected(Channel::Stream(subscription)) => Some(subscription),
            _ => None,
        }
    }

    /// Its scheduler, if it is subscribed over libprocess.
    #[must_use]
    pub fn driver(&self) -> Option<&Driver> {
        match &self.connection {
            Connection::Connected(Channel::Driver(driver)) => Some(driver),
            _ => None,
        }
    }

    /// The address of its scheduler if that is a driver, also of one that is not connected now.
    #[must_use]
    pub fn pid(&self) -> Option<&Upid> {
        match &self.connection {
            Connection::Connected(Channel::Driver(driver)) => Some(&driver.peer.pid),
            Connection::Disconnected { pid, .. } => pid.as_ref(),
            Connection::Connected(Channel::Stream(_)) | Connection::Recovered { .. } => None,
        }
    }

    /// What it uses on all agents. Ranges of different agents run together.
    #[must_use]
    pub fn used_on_all(&self) -> Resources {
        let mut sum = Resources::new();
        self.used.values().for_each(|used| sum.add_all(used));
        sum
    }
}

/// An executor other than one made for a command task.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Its id.
    pub id: ExecutorId,
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// Where it runs.
    pub agent_id: AgentId,
    /// Its description.
    pub info: v1::ExecutorInfo,
    /// `info.resources`, for arithmetic: allocated to one role.
    pub resources: Resources,
}

impl State {
    /// What is offered to `framework` on all agents. Ranges of different agents run together.
    #[must_use]
    pub fn offered_to(&self, framework: &Framework) -> Resources {
        let mut sum = Resources::new();
        let offers = framework.offers.iter().filter_map(|id| self.offers.get(id));
        offers.for_each(|offer| sum.add_all(&offer.resources));
        sum
    }
}
