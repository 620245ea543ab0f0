//! Operations: what frameworks make of what they are offered, and how they hear of it.

mod attacks;
pub(crate) mod feedback;
pub(crate) mod groups;
mod kinds;
mod limits;
mod properties;
pub(crate) mod providers;
mod recorded;
mod shared;

use alcazar_master::engine::message::{Inbound, Outbound};
use alcazar_master::engine::state::OperationUuid;
use model::id::AgentId;
use model::resources::{Reservation, ReservationKind, Resources, parse};
use model::role::Role;
use wire::resources::{Form, write};
use wire::v1::framework_info::capability::Type as Capability;
use wire::v1::offer::operation::{self, Type};
use wire::v1::{OperationState, OperationStatus};
use wire::{internal, v1};

use crate::world::*;

pub(crate) fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

/// A framework of role `web` that knows all there is to know of resources.
pub(crate) fn web(world: &mut World, name: &str) -> Scheduler {
    let capabilities = [
        Capability::MultiRole,
        Capability::ReservationRefinement,
        Capability::SharedResources,
        Capability::RevocableResources,
        Capability::PartitionAware,
    ];
    let mut info = framework_info(name, &capabilities);
    info.roles = vec!["web".to_owned()];
    world.subscribe(name, info).0
}

/// Resources reserved to `web` by the framework of this name.
pub(crate) fn reserved(text: &str, by: &str) -> Resources {
    parse(text, &Role::any()).unwrap().push_reservation(&Reservation {
        kind: ReservationKind::Dynamic,
        role: role("web"),
        principal: Some(by.to_owned()),
        labels: None,
    })
}

pub(crate) fn wire(resources: &Resources) -> Vec<v1::Resource> {
    write(resources, Form::PostRefinement)
}

/// A persistent volume of `size` MB on disk space reserved to `web`.
pub(crate) fn volume(id: &str, size: u32, by: &str) -> v1::Resource {
    let mut disk = wire(&reserved(&format!("disk:{size}"), by)).remove(0);
    let mut volume = v1::Volume { container_path: "data".to_owned(), ..v1::Volume::default() };
    volume.set_mode(v1::volume::Mode::Rw);
    disk.disk = Some(Box::new(v1::resource::DiskInfo {
        persistence: Some(v1::resource::disk_info::Persistence {
            id: id.to_owned(),
            principal: Some(by.to_owned()),
        }),
        volume: Some(volume),
        source: None,
    }));
    disk
}

pub(crate) fn shared_volume(id: &str, size: u32, by: &str) -> v1::Resource {
    v1::Resource { shared: Some(v1::resource::SharedInfo {}), ..volume(id, size, by) }
}

pub(crate) fn of(kind: Type) -> v1::offer::Operation {
    let mut operation = v1::offer::Operation::default();
    operation.set_type(kind);
    operation
}

pub(crate) fn named(name: &str, operation: v1::offer::Operation) -> v1::offer::Operation {
    v1::offer::Operation { id: Some(v1::OperationId { value: name.to_owned() }), ..operation }
}

pub(crate) fn reserve(resources: &Resources) -> v1::offer::Operation {
    let reserve = operation::Reserve { source: Vec::new(), resources: wire(resources) };
    v1::offer::Operation { reserve: Some(reserve), ..of(Type::Reserve) }
}

pub(crate) fn unreserve(resources: &Resources) -> v1::offer::Operation {
    let unreserve = operation::Unreserve { resources: wire(resources) };
    v1::offer::Operation { unreserve: Some(unreserve), ..of(Type::Unreserve) }
}

pub(crate) fn create(volumes: &[v1::Resource]) -> v1::offer::Operation {
    let create = operation::Create { volumes: volumes.to_vec() };
    v1::offer::Operation { create: Some(create), ..of(Type::Create) }
}

pub(crate) fn destroy(volumes: &[v1::Resource]) -> v1::offer::Operation {
    let destroy = operation::Destroy { volumes: volumes.to_vec() };
    v1::offer::Operation { destroy: Some(destroy), ..of(Type::Destroy) }
}

pub(crate) fn grow(volume: &v1::Resource, addition: &v1::Resource) -> v1::offer::Operation {
    let grow = operation::GrowVolume { volume: volume.clone(), addition: addition.clone() };
    v1::offer::Operation { grow_volume: Some(grow), ..of(Type::GrowVolume) }
}

pub(crate) fn shrink(volume: &v1::Resource, by: f64) -> v1::offer::Operation {
    let subtract = v1::value::Scalar { value: by };
    let shrink = operation::ShrinkVolume { volume: volume.clone(), subtract };
    v1::offer::Operation { shrink_volume: Some(shrink), ..of(Type::ShrinkVolume) }
}

pub(crate) fn launch(tasks: Vec<v1::TaskInfo>) -> v1::offer::Operation {
    let launch = operation::Launch { task_infos: tasks };
    v1::offer::Operation { launch: Some(launch), ..of(Type::Launch) }
}

/// A command task that uses these.
pub(crate) fn task_with(name: &str, agent: &AgentId, resources: Vec<v1::Resource>) -> v1::TaskInfo {
    v1::TaskInfo { resources, ..task(name, agent, "cpus:1") }
}

/// The operations that an agent is sent.
pub(crate) fn applied(done: &Done) -> Vec<internal::ApplyOperationMessage> {
    done.sent()
        .into_iter()
        .filter_map(|(_, _, message)| match message {
            Outbound::ApplyOperation(message) => Some(message.clone()),
            _ => None,
        })
        .collect()
}

/// The statuses of operations that a scheduler is sent.
pub(crate) fn statuses(done: &Done, scheduler: &Scheduler) -> Vec<OperationStatus> {
    let events = done.events(scheduler.subscription).into_iter();
    events.filter_map(|event| event.update_operation_status).map(|update| update.status).collect()
}

/// What an agent says of an operation: in `state`, to be acknowledged under number `n`.
pub(crate) fn status_message(
    agent: &AgentId,
    applied: &internal::ApplyOperationMessage,
    state: OperationState,
    n: Option<u8>,
) -> internal::UpdateOperationStatusMessage {
    let mut status = OperationStatus {
        operation_id: applied.operation_info.id.clone(),
        uuid: n.map(|n| v1::Uuid { value: uuid(n) }),
        agent_id: Some(v1::AgentId { value: agent.to_string() }),
        ..OperationStatus::default()
    };
    status.set_state(state);
    internal::UpdateOperationStatusMessage {
        framework_id: applied.framework_id.clone(),
        slave_id: Some(v1::AgentId { value: agent.to_string() }),
        latest_status: Some(status.clone()),
        status,
        operation_uuid: Some(applied.operation_uuid.clone()),
    }
}

impl World {
    /// Accepts whatever is offered of the agent, with operations.
    pub(crate) fn operate_on(
        &mut self,
        scheduler: &Scheduler,
        agent: &AgentId,
        operations: Vec<v1::offer::Operation>,
    ) -> Done {
        let offers = self.offers_of(scheduler, agent);
        assert!(!offers.is_empty(), "nothing is offered");
        self.accept_operations(scheduler, offers, operations)
    }

    /// Agent number `n` says that an operation ended.
    pub(crate) fn finish(
        &mut self,
        n: u8,
        agent: &AgentId,
        applied: &internal::ApplyOperationMessage,
        status: u8,
    ) -> Done {
        let finished = OperationState::OperationFinished;
        let message = status_message(agent, applied, finished, Some(status));
        self.say(&host(n), Inbound::UpdateOperationStatus(message))
    }

    pub(crate) fn total(&self, agent: &AgentId) -> Resources {
        self.state().agents[agent].total.clone()
    }

    /// The state of an operation, while it is known.
    pub(crate) fn operation_state(
        &self,
        applied: &internal::ApplyOperationMessage,
    ) -> Option<OperationState> {
        let uuid = OperationUuid::read(&applied.operation_uuid).unwrap();
        self.state().operations.get(&uuid).map(|operation| operation.state())
    }

    /// All that is offered of the agent to the scheduler, allocated to nobody.
    pub(crate) fn offered(&self, scheduler: &Scheduler, agent: &AgentId) -> Resources {
        let state = self.state();
        let offers = state.offers.values();
        offers
            .filter(|o| o.framework_id == scheduler.id && o.agent_id == *agent)
            .fold(Resources::new(), |sum, offer| sum.plus(&offer.resources.unallocated()))
    }
}
