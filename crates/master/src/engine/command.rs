//! What operators ask for. Each command carries the permit of whoever asked: without having asked
//! an authorizer there is no command.

use authz::Permit;
use authz::action::{
    CreateVolume, DeactivateAgent, DestroyVolume, DrainAgent, KillTask, MarkAgentGone,
    ReactivateAgent, ReserveResources, ResizeVolume, StartMaintenance, StopMaintenance,
    TeardownFramework, UnreserveResources, UpdateMaintenanceSchedule, UpdateQuota,
    UpdateQuotaWithConfig, UpdateWeight,
};
use model::id::{AgentId, FrameworkId, TaskId};
use wire::v1;
use wire::v1::offer::operation;

/// What an operator asks for. Texts and messages in it are as they came: the engine validates.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorCommand {
    /// Converts resources of an agent, those in outstanding offers included.
    Convert {
        /// Which agent.
        agent_id: AgentId,
        /// What becomes of which resources.
        conversion: ResourceCommand,
    },
    /// Keeps the agent from being offered.
    DeactivateAgent {
        /// The permit.
        permit: Permit<DeactivateAgent>,
        /// Which agent.
        agent_id: AgentId,
    },
    /// Ends what runs on the agent and keeps it from being offered.
    DrainAgent {
        /// The permit.
        permit: Permit<DrainAgent>,
        /// That the agent may be gone when it has drained takes a permit of its own.
        mark_gone: Option<Permit<MarkAgentGone>>,
        /// Which agent.
        agent_id: AgentId,
        /// How gently, and what then.
        config: v1::DrainConfig,
    },
    /// Kills a task that has not ended, as its framework could.
    KillTask {
        /// The permit.
        permit: Permit<KillTask>,
        /// Whose task.
        framework_id: FrameworkId,
        /// Which of the framework's.
        task_id: TaskId,
        /// How gently; `None`: as the task says.
        kill_policy: Option<v1::KillPolicy>,
    },
    /// The agent is lost for good: its tasks are gone and its id may never come back.
    MarkAgentGone {
        /// The permit.
        permit: Permit<MarkAgentGone>,
        /// Which agent.
        agent_id: AgentId,
    },
    /// Lets the agent be offered again.
    ReactivateAgent {
        /// The permit.
        permit: Permit<ReactivateAgent>,
        /// Which agent.
        agent_id: AgentId,
    },
    /// Removes a role's quota: REMOVE_QUOTA and `DELETE /quota/<role>`.
    RemoveQuota {
        /// The permit.
        permit: Permit<UpdateQuota>,
        /// The role.
        role: String,
        /// The path of the request, if it was not a call: texts of refusals name it.
        path: Option<String>,
    },
    /// Sets a quota in its old form: SET_QUOTA and `POST /quota`.
    SetQuota {
        /// The permit.
        permit: Permit<UpdateQuota>,
        /// Guarantees, which are the limits too.
        request: v1::quota::QuotaRequest,
    },
    /// Takes machines down: START_MAINTENANCE.
    StartMaintenance {
        /// The permit.
        permit: Permit<StartMaintenance>,
        /// Which machines.
        machines: Vec<v1::MachineId>,
    },
    /// Brings machines up: STOP_MAINTENANCE.
    StopMaintenance {
        /// The permit.
        permit: Permit<StopMaintenance>,
        /// Which machines.
        machines: Vec<v1::MachineId>,
    },
    /// Ends the framework and all its tasks.
    Teardown {
        /// The permit.
        permit: Permit<TeardownFramework>,
        /// Which framework.
        framework_id: FrameworkId,
    },
    /// Sets guarantees and limits: UPDATE_QUOTA.
    UpdateQuota {
        /// The permit.
        permit: Permit<UpdateQuotaWithConfig>,
        /// One per role; all or none are set.
        configs: Vec<v1::quota::QuotaConfig>,
        /// Whether to set them although the cluster has less or the role uses more.
        force: bool,
    },
    /// Replaces the maintenance schedule.
    UpdateSchedule {
        /// The permit.
        permit: Permit<UpdateMaintenanceSchedule>,
        /// When which machines are not available.
        schedule: v1::maintenance::Schedule,
    },
    /// Sets weights of roles; all or none are set.
    UpdateWeights {
        /// The permit.
        permit: Permit<UpdateWeight>,
        /// The weights.
        weights: Vec<v1::WeightInfo>,
    },
}

/// A conversion of an agent's resources.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceCommand {
    /// CREATE
    Create(Permit<CreateVolume>, operation::Create),
    /// DESTROY
    Destroy(Permit<DestroyVolume>, operation::Destroy),
    /// GROW_VOLUME
    Grow(Permit<ResizeVolume>, operation::GrowVolume),
    /// RESERVE. Where reservations of the source are given up that takes a permit too.
    Reserve(Permit<ReserveResources>, Permit<UnreserveResources>, operation::Reserve),
    /// SHRINK_VOLUME
    Shrink(Permit<ResizeVolume>, operation::ShrinkVolume),
    /// UNRESERVE
    Unreserve(Permit<UnreserveResources>, operation::Unreserve),
}
