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
    Grow(Permit<ResizeVolume>, Box<operation::GrowVolume>),
    /// RESERVE. Where reservations of the source are given up that takes a permit too.
    Reserve(Permit<ReserveResources>, Permit<UnreserveResources>, operation::Reserve),
    /// SHRINK_VOLUME
    Shrink(Permit<ResizeVolume>, Box<operation::ShrinkVolume>),
    /// UNRESERVE
    Unreserve(Permit<UnreserveResources>, operation::Unreserve),
}

/// To what a conversion of resources is done, as rules know it: the roles for which something is
/// reserved, the principals whose reservations and volumes are given up.
pub mod objects {
    use std::collections::BTreeSet;

    use wire::v1;
    use wire::v1::offer::operation;

    /// The reservations of a resource, the outermost first, as (role, principal).
    #[expect(deprecated, reason = "schedulers and operators still send the older form")]
    fn reservations(resource: &v1::Resource) -> Vec<(&str, &str)> {
        if resource.reservations.is_empty() {
            let principal = resource.reservation.as_ref().map_or("", |r| r.principal());
            let role = resource.role.as_deref().filter(|role| *role != "*");
            return role.map(|role| (role, principal)).into_iter().collect();
        }
        resource.reservations.iter().map(|r| (r.role(), r.principal())).collect()
    }

    /// The role for which a resource is reserved, or `*`.
    #[must_use]
    pub fn role(resource: &v1::Resource) -> String {
        reservations(resource).last().map_or("*", |(role, _)| role).to_owned()
    }

    /// The roles of the volumes.
    #[must_use]
    pub fn create(create: &operation::Create) -> BTreeSet<String> {
        create.volumes.iter().map(role).collect()
    }

    /// The principals that made the volumes.
    #[must_use]
    pub fn destroy(destroy: &operation::Destroy) -> BTreeSet<String> {
        let persistence = |volume: &v1::Resource| {
            volume
                .disk
                .as_ref()
                .and_then(|disk| disk.persistence.as_ref())
                .map(|p| p.principal().to_owned())
        };
        destroy.volumes.iter().filter_map(persistence).collect()
    }

    /// The roles for which something is reserved, and the principals of the reservations of its
    /// source that are given up for that.
    #[must_use]
    pub fn reserve(reserve: &operation::Reserve) -> (BTreeSet<String>, BTreeSet<String>) {
        let targets: Vec<_> = reserve.resources.iter().map(reservations).collect();
        let sources: Vec<_> = reserve.source.iter().map(reservations).collect();
        if sources.is_empty() {
            return (reserve.resources.iter().map(role).collect(), BTreeSet::new());
        }
        // How many reservations all have in common.
        let shortest = targets.iter().chain(&sources).map(Vec::len).min().unwrap_or(0);
        let same = |n: &usize| {
            let mut all = targets.iter().chain(&sources).map(|stack| stack[*n]);
            all.next().is_none_or(|first| all.all(|other| other == first))
        };
        let common = (0..shortest).take_while(same).count();
        let above = |stacks: &[Vec<(&str, &str)>], pick: fn((&str, &str)) -> String| {
            let own = stacks.iter().flat_map(|stack| stack[common..].iter().copied());
            own.map(pick).collect::<BTreeSet<_>>()
        };
        (above(&targets, |(role, _)| role.to_owned()), above(&sources, |(_, by)| by.to_owned()))
    }

    /// The principals that made the reservations.
    #[must_use]
    pub fn unreserve(unreserve: &operation::Unreserve) -> BTreeSet<String> {
        let last = |r: &v1::Resource| reservations(r).last().map_or("", |(_, by)| by).to_owned();
        unreserve.resources.iter().map(last).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn reserved(stack: &[(&str, &str)]) -> v1::Resource {
            let reservation = |(role, principal): &(&str, &str)| v1::resource::ReservationInfo {
                role: Some((*role).to_owned()),
                principal: Some((*principal).to_owned()),
                ..v1::resource::ReservationInfo::default()
            };
            let reservations = stack.iter().map(reservation).collect();
            v1::Resource { name: "cpus".to_owned(), reservations, ..v1::Resource::default() }
        }

        fn set<const N: usize>(all: [&str; N]) -> BTreeSet<String> {
            all.map(str::to_owned).into()
        }

        #[test]
        fn what_a_reservation_needs_is_what_is_pushed_and_what_is_popped() {
            let of = |source: Vec<v1::Resource>, target: &[(&str, &str)]| {
                reserve(&operation::Reserve { source, resources: vec![reserved(target)] })
            };
            assert_eq!(of(vec![], &[("a", "p"), ("a/b", "q")]), (set(["a/b"]), set([])));
            let source = || vec![reserved(&[("foo", "p"), ("foo/bar", "q")])];
            let other = of(source(), &[("baz", "r"), ("baz/bar", "r")]);
            assert_eq!(other, (set(["baz", "baz/bar"]), set(["p", "q"])));
            let refined = of(source(), &[("foo", "p"), ("foo/bar", "q"), ("foo/bar/x", "q")]);
            assert_eq!(refined, (set(["foo/bar/x"]), set([])));
            assert_eq!(of(source(), &[("foo", "p"), ("foo/bar", "q")]), (set([]), set([])));
            // The same role reserved by somebody else is another reservation.
            assert_eq!(of(source(), &[("foo", "z")]), (set(["foo"]), set(["p", "q"])));
        }

        #[test]
        #[expect(deprecated, reason = "the older form")]
        fn both_forms_of_resources_name_the_same_objects() {
            let old = v1::Resource {
                role: Some("r".to_owned()),
                reservation: Some(v1::resource::ReservationInfo {
                    principal: Some("p".to_owned()),
                    ..v1::resource::ReservationInfo::default()
                }),
                ..v1::Resource::default()
            };
            assert_eq!(role(&old), "r");
            let unreserve_of = |r| unreserve(&operation::Unreserve { resources: vec![r] });
            assert_eq!(unreserve_of(old), set(["p"]));
            assert_eq!(unreserve_of(v1::Resource::default()), set([""]));
            assert_eq!(role(&v1::Resource::default()), "*");
        }
    }
}
