//! Commands of operators.

mod convert;
mod maintenance;
mod quota;
mod quota_checks;
mod recovery;
mod weights;

use authz::{AnyPermit, Permit};
use model::id::{FrameworkId, TaskId};
use wire::v1;
use wire::v1::scheduler::call;

use super::Engine;
use super::command::OperatorCommand;
use super::effect::Accepted;
use super::out::{Out, quoted};
use super::refusal::Refusal;

impl Engine {
    /// Does what an operator says, or changes nothing.
    pub(super) fn command(
        &mut self,
        command: OperatorCommand,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        match command {
            OperatorCommand::Convert { agent_id, conversion } => {
                self.operator_converts(&agent_id, conversion, out)
            }
            OperatorCommand::DeactivateAgent { permit, agent_id } => {
                by(&permit, out);
                self.deactivate_agent(&agent_id, out)
            }
            OperatorCommand::DrainAgent { permit, mark_gone, agent_id, config } => {
                if config.mark_gone() && mark_gone.is_none() {
                    return Err(Refusal::NotPermitted);
                }
                self.not_scheduled(&agent_id)?;
                by(&permit, out);
                self.drain_agent(&agent_id, config, out)
            }
            OperatorCommand::KillTask { permit, framework_id, task_id, kill_policy } => {
                self.covers_framework(&permit, &framework_id, Refusal::TaskToKillNotFound)?;
                by(&permit, out);
                self.operator_kills(&framework_id, &task_id, kill_policy, out)
            }
            OperatorCommand::MarkAgentGone { permit, agent_id } => {
                by(&permit, out);
                self.mark_agent_gone(&agent_id, out)
            }
            OperatorCommand::ReactivateAgent { permit, agent_id } => {
                by(&permit, out);
                self.reactivate_agent(&agent_id, out)
            }
            OperatorCommand::RemoveQuota { permit, role, path } => {
                by(&permit, out);
                self.remove_quota(&permit, &role, path.as_deref(), out)
            }
            OperatorCommand::SetQuota { permit, request } => {
                by(&permit, out);
                self.set_quota(&permit, &request, out)
            }
            OperatorCommand::StartMaintenance { permit, machines } => {
                by(&permit, out);
                self.start_maintenance(&permit, &machines, out)
            }
            OperatorCommand::StopMaintenance { permit, machines } => {
                by(&permit, out);
                self.stop_maintenance(&permit, &machines, out)
            }
            OperatorCommand::Teardown { permit, framework_id } => {
                let unknown = Refusal::FrameworkToTearDownNotFound;
                self.covers_framework(&permit, &framework_id, unknown)?;
                by(&permit, out);
                out.info(format!("An operator ends framework {framework_id}"));
                self.remove_framework(&framework_id, out);
                Ok(Accepted::Done)
            }
            OperatorCommand::UpdateQuota { permit, configs, force } => {
                by(&permit, out);
                self.update_quota(&permit, &configs, force, out)
            }
            OperatorCommand::UpdateSchedule { permit, schedule } => {
                by(&permit, out);
                self.update_schedule(&permit, &schedule, out)
            }
            OperatorCommand::UpdateWeights { permit, weights } => {
                by(&permit, out);
                self.update_weights(&permit, &weights, out)
            }
        }
    }

    /// Whether the framework exists and the permit is for frameworks of its principal.
    fn covers_framework<A: authz::Action<Object = String>>(
        &self,
        permit: &Permit<A>,
        framework_id: &FrameworkId,
        unknown: Refusal,
    ) -> Result<(), Refusal> {
        let framework = self.state.frameworks.get(framework_id).ok_or(unknown)?;
        covers(permit, framework.info.principal())
    }

    fn operator_kills(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        kill_policy: Option<v1::KillPolicy>,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        if self.task(framework_id, task_id).is_none() {
            return Err(Refusal::TaskToKillNotFound);
        }
        let task = quoted(task_id.as_str());
        out.info(format!("An operator kills task {task} of framework {framework_id}"));
        let task_id = v1::TaskId { value: task_id.to_string() };
        let kill = call::Kill { task_id, agent_id: None, kill_policy };
        self.kill(framework_id, kill, out);
        Ok(Accepted::Accepted)
    }
}

/// Tells the log who asks for what, whether it is then done or refused.
fn by(permit: &dyn AnyPermit, out: &mut Out) {
    let name = permit.subject().principal().map(ToString::to_string);
    let who = name.map_or_else(|| "somebody".to_owned(), |name| quoted(&name));
    out.info(format!("{} by {who}", permit.action()));
}

/// A permit for one object opens no other.
fn covers<A: authz::Action<Object = String>>(
    permit: &Permit<A>,
    object: &str,
) -> Result<(), Refusal> {
    if permit.covers(object) { Ok(()) } else { Err(Refusal::NotPermitted) }
}
