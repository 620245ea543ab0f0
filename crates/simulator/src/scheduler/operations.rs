//! What a scheduler does with resources beside running tasks: it reserves some, makes volumes of
//! them, and gives all of that up again; and it follows what becomes of its operations.

use std::collections::BTreeMap;
use std::time::Duration;

use model::resources::Resources;
use model::time::Instant;
use wire::resources::read_one;
use wire::v1;
use wire::v1::OperationState;
use wire::v1::offer::{Operation, operation};
use wire::v1::resource::disk_info::Persistence;
use wire::v1::resource::{DiskInfo, ReservationInfo, reservation_info};
use wire::v1::scheduler::call;

use super::Scheduler;
use crate::core::Core;

/// What a scheduler believes of an operation.
#[derive(Clone, Debug)]
pub(crate) struct OperationBelief {
    agent: String,
    pub(crate) state: OperationState,
    since: Instant,
    /// The volume that it makes.
    volume: Option<String>,
}

/// What a scheduler has written down of its operations.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    /// How many more it makes.
    pub(crate) left: u8,
    pub(crate) made: u32,
    pub(crate) known: BTreeMap<String, OperationBelief>,
}

/// Whether nothing more is expected of an operation in this state.
pub(crate) fn is_over(state: OperationState) -> bool {
    !matches!(
        state,
        OperationState::OperationPending
            | OperationState::OperationUnreachable
            | OperationState::OperationRecovering
    )
}

fn of(kind: operation::Type) -> Operation {
    let mut operation = Operation::default();
    operation.set_type(kind);
    operation
}

/// What the resource is besides its amount: reserved to a role, a volume on top of that.
fn is_reserved(resource: &v1::Resource) -> bool {
    !resource.reservations.is_empty()
}

fn is_volume(resource: &v1::Resource) -> bool {
    resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
}

pub(crate) fn volume_id(resource: &v1::Resource) -> String {
    let persistence = resource.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
    persistence.map(|persistence| persistence.id.clone()).unwrap_or_default()
}

/// The part of an offer that tasks may use here.
pub(super) fn plain(resources: &[v1::Resource]) -> Resources {
    let plain = resources.iter().filter(|r| !is_reserved(r) && !is_volume(r));
    plain.filter_map(|resource| read_one(resource).ok()).fold(
        Resources::new(),
        |mut all, resource| {
            all.add(resource);
            all
        },
    )
}

impl Scheduler {
    /// What it does to the offered resources. Takes what it uses out of `left`.
    pub(super) fn convert(
        &mut self,
        offer: &v1::Offer,
        left: &mut Resources,
        core: &mut Core,
    ) -> (Vec<Operation>, Vec<v1::Resource>) {
        let mut operations = Vec::new();
        let mut volumes = Vec::new();
        if !self.shape.operates {
            return (operations, volumes);
        }
        // In the end it gives up all that it sees.
        let gives_up = |core: &mut Core| !core.turmoil || core.dice.percent(40);
        for resource in &offer.resources {
            if is_volume(resource) {
                let addition = offer
                    .resources
                    .iter()
                    .find(|other| is_reserved(other) && !is_volume(other) && other.name == "disk");
                if gives_up(core) {
                    core.ledger.volume_given_up(&volume_id(resource));
                    let destroy = operation::Destroy { volumes: vec![resource.clone()] };
                    let destroy =
                        Operation { destroy: Some(destroy), ..of(operation::Type::Destroy) };
                    operations.push(self.named(destroy, None, offer, core));
                } else if let Some(addition) = addition {
                    let (volume, addition) = (resource.clone(), addition.clone());
                    let grow = operation::GrowVolume { volume, addition };
                    let grow =
                        Operation { grow_volume: Some(grow), ..of(operation::Type::GrowVolume) };
                    operations.push(self.named(grow, None, offer, core));
                    // What it is made of is used up.
                    break;
                } else if core.dice.percent(50) {
                    let volume = resource.clone();
                    let subtract = v1::value::Scalar { value: 8.0 };
                    let shrink = operation::ShrinkVolume { volume, subtract };
                    let shrink = Operation {
                        shrink_volume: Some(shrink),
                        ..of(operation::Type::ShrinkVolume)
                    };
                    operations.push(self.named(shrink, None, offer, core));
                } else {
                    volumes.push(resource.clone());
                }
            } else if is_reserved(resource) {
                if resource.name == "disk" && self.operations.left > 0 && core.dice.percent(60) {
                    operations.push(self.volume(resource, offer, core));
                } else if gives_up(core) {
                    let unreserve = operation::Unreserve { resources: vec![resource.clone()] };
                    let unreserve =
                        Operation { unreserve: Some(unreserve), ..of(operation::Type::Unreserve) };
                    operations.push(self.named(unreserve, None, offer, core));
                }
            }
        }
        if core.turmoil && self.operations.left > 0 && core.dice.percent(40) {
            operations.extend(self.reservation(offer, left, core));
        }
        (operations, volumes)
    }

    fn reservation(
        &mut self,
        offer: &v1::Offer,
        left: &mut Resources,
        core: &mut Core,
    ) -> Option<Operation> {
        let role = offer.allocation_info.as_ref()?.role.clone()?;
        let what = if left.scalar("disk").as_f64() > 100.0 { "disk:64" } else { "cpus:0.5" };
        let mut resources = super::resources(what, offer);
        let taken = plain(&resources);
        *left = left.checked_minus(&taken)?;
        for resource in &mut resources {
            resource.reservations = vec![ReservationInfo {
                r#type: Some(reservation_info::Type::Dynamic.into()),
                role: Some(role.clone()),
                principal: Some(format!("f{}", self.n)),
                ..ReservationInfo::default()
            }];
        }
        self.operations.left -= 1;
        let reserve = operation::Reserve { source: Vec::new(), resources };
        let reserve = Operation { reserve: Some(reserve), ..of(operation::Type::Reserve) };
        Some(self.named(reserve, None, offer, core))
    }

    fn volume(&mut self, resource: &v1::Resource, offer: &v1::Offer, core: &mut Core) -> Operation {
        self.operations.left -= 1;
        let mut volume = resource.clone();
        let id = format!("v{}-{}", self.n, self.operations.made);
        let mount = v1::Volume {
            container_path: "data".to_owned(),
            mode: v1::volume::Mode::Rw.into(),
            ..v1::Volume::default()
        };
        volume.disk = Some(Box::new(DiskInfo {
            persistence: Some(Persistence {
                id: id.clone(),
                principal: Some(format!("f{}", self.n)),
            }),
            volume: Some(mount),
            ..DiskInfo::default()
        }));
        let create = operation::Create { volumes: vec![volume] };
        let create = Operation { create: Some(create), ..of(operation::Type::Create) };
        self.named(create, Some(id), offer, core)
    }

    /// Writes down an operation that is about to be asked for. Drivers cannot follow theirs.
    fn named(
        &mut self,
        mut operation: Operation,
        volume: Option<String>,
        offer: &v1::Offer,
        core: &mut Core,
    ) -> Operation {
        self.operations.made += 1;
        core.ledger.count(operation.r#type().as_str_name());
        if !self.shape.driver && core.dice.percent(70) {
            let name = format!("o{}-{}", self.n, self.operations.made);
            let belief = OperationBelief {
                agent: offer.agent_id.value.clone(),
                state: OperationState::OperationPending,
                since: core.now.monotonic,
                volume,
            };
            self.operations.known.insert(name.clone(), belief);
            operation.id = Some(v1::OperationId { value: name });
        }
        operation
    }

    pub(super) fn operation_status(&mut self, status: &v1::OperationStatus, core: &mut Core) {
        let Some(id) = status.operation_id.clone() else { return };
        core.trace(self.node(), || {
            let message = status.message();
            format!("hears that {} is {} {message:?}", id.value, status.state().as_str_name())
        });
        if let Some(belief) = self.operations.known.get_mut(&id.value)
            && !is_over(belief.state)
        {
            belief.state = status.state();
            if let (OperationState::OperationFinished, Some(volume)) =
                (belief.state, &belief.volume)
            {
                core.ledger.volume_made(volume, &belief.agent);
            }
            core.ledger.count(belief.state.as_str_name());
        }
        if let Some(uuid) = status.uuid.clone() {
            let mut call = self.call(call::Type::AcknowledgeOperationStatus);
            call.acknowledge_operation_status = Some(call::AcknowledgeOperationStatus {
                agent_id: status.agent_id.clone(),
                resource_provider_id: status.resource_provider_id.clone(),
                uuid: uuid.value,
                operation_id: id,
            });
            self.say(call, core);
        }
    }

    /// Asks about operations that are not over.
    pub(super) fn reconcile_operations(&mut self, core: &mut Core) {
        let now = core.now.monotonic;
        let old = Duration::from_secs(30);
        let open = self.operations.known.iter().filter(|(_, operation)| {
            !is_over(operation.state) && now.saturating_since(operation.since) > old
        });
        let operations: Vec<_> = open
            .map(|(name, operation)| call::reconcile_operations::Operation {
                operation_id: v1::OperationId { value: name.clone() },
                agent_id: Some(v1::AgentId { value: operation.agent.clone() }),
                resource_provider_id: None,
            })
            .collect();
        if !operations.is_empty() {
            let mut call = self.call(call::Type::ReconcileOperations);
            call.reconcile_operations = Some(call::ReconcileOperations { operations });
            self.say(call, core);
        }
    }
}

/// The same as text, for the trace.
pub(super) fn brief(operations: &[Operation]) -> String {
    operations
        .iter()
        .map(|o| format!("{} {}", o.r#type().as_str_name(), o.id.as_ref().map_or("", |i| &i.value)))
        .collect::<Vec<_>>()
        .join(", ")
}
