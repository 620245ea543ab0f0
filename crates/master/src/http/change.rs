//! What operators change, however they say it: as a call, or with an older endpoint. A change is
//! well formed, then permitted, and then a command for the engine.

use std::sync::Arc;

use endpoints::access::Caller;
use endpoints::call::{absent, invalid};
use endpoints::refusal::Refusal;
use endpoints::reply::Answer;
use model::id::{AgentId, FrameworkId};
use model::machine::Machine;
use wire::v1;
use wire::v1::maintenance::Schedule;
use wire::v1::master::Call;
use wire::v1::master::call::{self, Type};
use wire::v1::offer::operation;
use wire::v1::quota::{QuotaConfig, QuotaRequest};

use super::{Master, operator, permits};
use crate::engine::command::{ResourceCommand, objects};
use crate::engine::event::OperatorCommand;

/// The word in texts of failed validations.
const KIND: &str = "master";

/// A change of something, well formed.
#[derive(Debug)]
pub(super) enum Change {
    Create(String, operation::Create),
    Deactivate(String),
    Destroy(String, operation::Destroy),
    Drain(String, v1::DrainConfig),
    Grow(String, Box<operation::GrowVolume>),
    MarkGone(String),
    Reactivate(String),
    RemoveQuota { role: String, path: Option<String> },
    Reserve(String, operation::Reserve),
    Schedule(Schedule),
    SetQuota(QuotaRequest),
    Shrink(String, Box<operation::ShrinkVolume>),
    StartMaintenance(Vec<v1::MachineId>),
    StopMaintenance(Vec<v1::MachineId>),
    Teardown(String),
    Unreserve(String, operation::Unreserve),
    UpdateQuota(Vec<QuotaConfig>, bool),
    UpdateWeights(Vec<v1::WeightInfo>),
}

/// The member of a call that its type requires.
macro_rules! member {
    ($call:ident.$member:ident) => {
        $call.$member.ok_or_else(|| absent(KIND, stringify!($member)))?
    };
}

impl Change {
    /// The change that a call of this type is; `None` if it changes nothing.
    #[expect(deprecated, reason = "operators' tools still make the older calls")]
    pub(super) fn of_call(kind: Type, call: Call) -> Result<Option<Self>, Refusal> {
        Ok(Some(match kind {
            Type::CreateVolumes => {
                let call::CreateVolumes { agent_id, volumes } = member!(call.create_volumes);
                Self::Create(agent_id.value, operation::Create { volumes })
            }
            Type::DeactivateAgent => {
                Self::Deactivate(member!(call.deactivate_agent).agent_id.value)
            }
            Type::DestroyVolumes => {
                let call::DestroyVolumes { agent_id, volumes } = member!(call.destroy_volumes);
                Self::Destroy(agent_id.value, operation::Destroy { volumes })
            }
            Type::DrainAgent => drain(member!(call.drain_agent))?,
            Type::GrowVolume => {
                let call::GrowVolume { agent_id, volume, addition } = member!(call.grow_volume);
                Self::Grow(agents(agent_id)?, Box::new(operation::GrowVolume { volume, addition }))
            }
            Type::MarkAgentGone => Self::MarkGone(member!(call.mark_agent_gone).agent_id.value),
            Type::ReactivateAgent => {
                Self::Reactivate(member!(call.reactivate_agent).agent_id.value)
            }
            Type::RemoveQuota => {
                Self::RemoveQuota { role: member!(call.remove_quota).role, path: None }
            }
            Type::ReserveResources => {
                let call::ReserveResources { agent_id, source, resources } =
                    member!(call.reserve_resources);
                are_resources(&resources)?;
                Self::Reserve(agent_id.value, operation::Reserve { source, resources })
            }
            Type::SetQuota => Self::SetQuota(member!(call.set_quota).quota_request),
            Type::ShrinkVolume => {
                let call::ShrinkVolume { agent_id, volume, subtract } = member!(call.shrink_volume);
                Self::Shrink(
                    agents(agent_id)?,
                    Box::new(operation::ShrinkVolume { volume, subtract }),
                )
            }
            Type::StartMaintenance => {
                Self::StartMaintenance(member!(call.start_maintenance).machines)
            }
            Type::StopMaintenance => Self::StopMaintenance(member!(call.stop_maintenance).machines),
            Type::Teardown => Self::Teardown(member!(call.teardown).framework_id.value),
            Type::UnreserveResources => {
                let call::UnreserveResources { agent_id, resources } =
                    member!(call.unreserve_resources);
                are_resources(&resources)?;
                Self::Unreserve(agent_id.value, operation::Unreserve { resources })
            }
            Type::UpdateMaintenanceSchedule => {
                Self::Schedule(member!(call.update_maintenance_schedule).schedule)
            }
            Type::UpdateQuota => {
                let update = member!(call.update_quota);
                let force = update.force();
                Self::UpdateQuota(update.quota_configs, force)
            }
            Type::UpdateWeights => Self::UpdateWeights(member!(call.update_weights).weight_infos),
            _ => return Ok(None),
        }))
    }

    /// Asks for the permit and has the engine do it.
    pub(super) async fn make(self, master: &Arc<Master>, caller: &Caller) -> Answer {
        operator::command(master, self.permitted(master, caller)?).await
    }

    fn permitted(self, master: &Master, caller: &Caller) -> Result<OperatorCommand, Refusal> {
        use OperatorCommand as Command;
        // What is no id is the id of no agent.
        let convert = |agent_id: String, conversion| {
            let agent_id = agent(&agent_id, "No agent found with specified ID")?;
            Ok::<_, Refusal>(Command::Convert { agent_id, conversion })
        };
        Ok(match self {
            Self::Create(agent_id, create) => {
                let permit = permits::permit(master, caller, objects::create(&create))?;
                convert(agent_id, ResourceCommand::Create(permit, create))?
            }
            Self::Deactivate(agent_id) => {
                let permit = permits::permit(master, caller, [()])?;
                Command::DeactivateAgent { permit, agent_id: agent(&agent_id, UNKNOWN_AGENT)? }
            }
            Self::Destroy(agent_id, destroy) => {
                let permit = permits::permit(master, caller, objects::destroy(&destroy))?;
                convert(agent_id, ResourceCommand::Destroy(permit, destroy))?
            }
            Self::Drain(agent_id, config) => {
                let permit = permits::permit(master, caller, [()])?;
                let mark_gone = match config.mark_gone() {
                    true => Some(permits::permit(master, caller, [()])?),
                    false => None,
                };
                let agent_id = agent(&agent_id, UNKNOWN_AGENT)?;
                Command::DrainAgent { permit, mark_gone, agent_id, config }
            }
            Self::Grow(agent_id, grow) => {
                let permit = permits::permit(master, caller, [objects::role(&grow.volume)])?;
                convert(agent_id, ResourceCommand::Grow(permit, grow))?
            }
            Self::MarkGone(agent_id) => {
                let permit = permits::permit(master, caller, [()])?;
                // What is no id is the id of no agent.
                let agent_id = agent_id.parse().map_err(|_| {
                    let shown = agent_id.escape_debug();
                    Refusal::not_found_because(format!("Agent '{shown}' not found"))
                })?;
                Command::MarkAgentGone { permit, agent_id }
            }
            Self::Reactivate(agent_id) => {
                let permit = permits::permit(master, caller, [()])?;
                let agent_id = agent(&agent_id, "Agent is not deactivated")?;
                Command::ReactivateAgent { permit, agent_id }
            }
            Self::RemoveQuota { role, path } => {
                let permit = permits::permit(master, caller, [role.clone()])?;
                Command::RemoveQuota { permit, role, path }
            }
            Self::Reserve(agent_id, reserve) => {
                let (roles, principals) = objects::reserve(&reserve);
                let reserves = permits::permit(master, caller, roles)?;
                let gives_up = permits::permit(master, caller, principals)?;
                convert(agent_id, ResourceCommand::Reserve(reserves, gives_up, reserve))?
            }
            Self::Schedule(schedule) => {
                let ids = schedule.windows.iter().flat_map(|window| &window.machine_ids);
                // Machines that it leaves out are changed by it too. One that is scheduled
                // meanwhile, by somebody else, is not covered: the engine refuses then.
                let known = master.snapshots.load().settings.machines.clone();
                let objects = machines(ids).into_iter().chain(known.keys().cloned());
                let permit = permits::permit(master, caller, objects)?;
                Command::UpdateSchedule { permit, schedule }
            }
            Self::SetQuota(request) => {
                let permit = permits::permit(master, caller, [request.role().to_owned()])?;
                Command::SetQuota { permit, request }
            }
            Self::Shrink(agent_id, shrink) => {
                let permit = permits::permit(master, caller, [objects::role(&shrink.volume)])?;
                convert(agent_id, ResourceCommand::Shrink(permit, shrink))?
            }
            Self::StartMaintenance(ids) => {
                let permit = permits::permit(master, caller, machines(&ids))?;
                Command::StartMaintenance { permit, machines: ids }
            }
            Self::StopMaintenance(ids) => {
                let permit = permits::permit(master, caller, machines(&ids))?;
                Command::StopMaintenance { permit, machines: ids }
            }
            Self::Teardown(id) => {
                // What is no id is the id of no framework.
                let framework_id: FrameworkId = id
                    .parse()
                    .map_err(|_| Refusal::bad_request("No framework found with specified ID"))?;
                let permit = permits::on_framework(master, caller, &framework_id)?;
                Command::Teardown { permit, framework_id }
            }
            Self::Unreserve(agent_id, unreserve) => {
                let permit = permits::permit(master, caller, objects::unreserve(&unreserve))?;
                convert(agent_id, ResourceCommand::Unreserve(permit, unreserve))?
            }
            Self::UpdateQuota(configs, force) => {
                let roles = configs.iter().map(|config| config.role.clone());
                let permit = permits::permit(master, caller, roles)?;
                Command::UpdateQuota { permit, configs, force }
            }
            Self::UpdateWeights(weights) => {
                let roles = weights.iter().map(|info| info.role().trim().to_owned());
                let permit = permits::permit(master, caller, roles)?;
                Command::UpdateWeights { permit, weights }
            }
        })
    }
}

const UNKNOWN_AGENT: &str = "Unknown agent";

/// What is no id is the id of no agent.
fn agent(id: &str, unknown: &'static str) -> Result<AgentId, Refusal> {
    id.parse().map_err(|_| Refusal::bad_request(unknown))
}

/// Machines that have names; the engine says what is wrong with the others.
fn machines<'a>(ids: impl IntoIterator<Item = &'a v1::MachineId>) -> Vec<Machine> {
    ids.into_iter().filter_map(|id| Machine::new(id.hostname(), id.ip()).ok()).collect()
}

/// The agent of a volume; without one it would be a resource provider's.
fn agents(id: Option<v1::AgentId>) -> Result<String, Refusal> {
    id.map(|id| id.value).ok_or_else(|| {
        absent_but("Expecting 'agent_id' to be present; only agent default resources are supported right now")
    })
}

fn absent_but(text: &str) -> Refusal {
    invalid(KIND, text)
}

fn are_resources(resources: &[v1::Resource]) -> Result<(), Refusal> {
    match wire::resources::read(resources) {
        Ok(_) => Ok(()),
        Err(why) => Err(invalid(KIND, &why.to_string())),
    }
}

fn drain(call: call::DrainAgent) -> Result<Change, Refusal> {
    let max_grace_period = match &call.max_grace_period {
        None => None,
        Some(period) => {
            let nanoseconds = period
                .seconds
                .checked_mul(1_000_000_000)
                .and_then(|nanos| nanos.checked_add(period.nanos.into()))
                .filter(|nanos| *nanos >= 0)
                .ok_or_else(|| {
                    invalid(KIND, "'max_grace_period' is negative or too long to be counted")
                })?;
            Some(v1::DurationInfo { nanoseconds })
        }
    };
    let config = v1::DrainConfig { max_grace_period, mark_gone: Some(call.mark_gone()) };
    Ok(Change::Drain(call.agent_id.value, config))
}
