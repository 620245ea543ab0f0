//! Operations on the agent's own resources (`master-agent-protocol.md` §8): applied once,
//! whatever happens, and told to the master until it acknowledges.
//!
//! What holds at every moment:
//!
//! - an operation is on record as pending before anything of it is done, and as finished, with
//!   the resources that it made, before anybody hears of it;
//! - the two are one record, so that after a crash an operation is either still to be done or
//!   done, and never half done without anybody knowing;
//! - an operation stays on record until its outcome was acknowledged.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use model::id::FrameworkId;
use model::resources::Resources;
use wire::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, CheckpointResourcesMessage,
    ReconcileOperationsMessage, UpdateOperationStatusMessage, UpdateOperationStatusRecord,
    reconcile_operations_message, slave::ResourceState, update_operation_status_record,
};
use wire::resources::Form;
use wire::v1::{self, OperationState};

use super::event::{Record, Token};
use super::inventory::Inventory;
use super::registration::Why;
use super::stream::UpdateId;
use super::timers::Timer;
use super::{Engine, Phase};
use crate::message::AgentMessage;
use crate::resource_format::{downgrade, upgrade};

mod conversion;
mod recovery;
mod stream;

pub use stream::OperationStream;

/// How many operations may wait for the acknowledgement of their outcome. A master of this family
/// acknowledges what no framework will.
pub const MAX_OPERATIONS: usize = 10_000;

/// The name that the master gave to an operation: the 16 bytes of a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationUuid([u8; 16]);

impl OperationUuid {
    /// `None` unless there are exactly 16 bytes.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The form on the wire.
    #[must_use]
    pub fn to_wire(self) -> v1::Uuid {
        v1::Uuid { value: Bytes::copy_from_slice(&self.0) }
    }
}

impl fmt::Display for OperationUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for OperationUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationUuid({self})")
    }
}

/// The outcome of an operation on its way, and the write that it rests on.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) stream: OperationStream,
    pub(super) written: Option<Token>,
}

impl Engine {
    pub(super) fn apply_operation(&mut self, message: ApplyOperationMessage) {
        let Some(uuid) = OperationUuid::from_wire(&message.operation_uuid.value) else {
            return self.drop_message("Dropping an operation without a valid uuid".to_owned());
        };
        if self.state.operations.contains_key(&uuid) {
            return self.info_log(format!("Operation {uuid} is known already"));
        }
        let info = upgrade(message.operation_info);
        let operation = v1::Operation {
            framework_id: message.framework_id,
            agent_id: self.info.id.clone(),
            latest_status: self.operation_status(&info, OperationState::OperationPending, None),
            statuses: Vec::new(),
            uuid: uuid.to_wire(),
            info,
        };
        // The agent does not look at the version for its own resources: the books decide.
        if let Some(why) = self.cannot_apply(&operation.info) {
            self.warn(format!("Dropping operation {uuid}: {why}"));
            let dropped = OperationState::OperationDropped;
            let status = self.operation_status(&operation.info, dropped, Some(why));
            return self.tell_of_operation(&operation, status, None);
        }
        self.state.operations.insert(uuid, Arc::new(operation));
        self.persist_resources();
        self.complete_operation(uuid);
    }

    /// Why an operation is not for this agent at all.
    fn cannot_apply(&self, info: &v1::offer::Operation) -> Option<String> {
        if let Some(provider) = conversion::provider(info) {
            return Some(format!("resource provider '{provider}' is not subscribed"));
        }
        if !conversion::is_supported(info) {
            return Some(format!(
                "{} is not for an agent's own resources",
                info.r#type().as_str_name()
            ));
        }
        let many = self.state.operations.len() >= MAX_OPERATIONS;
        many.then(|| format!("{MAX_OPERATIONS} operations wait for their acknowledgement"))
    }

    /// Does what a recorded operation says, and reports the outcome.
    fn complete_operation(&mut self, uuid: OperationUuid) {
        let Some(operation) = self.state.operations.get(&uuid).cloned() else { return };
        let converted = conversion::read(&operation.info)
            .and_then(|conversion| {
                self.inventory.total().apply(&conversion).map_err(|error| error.to_string())
            })
            .and_then(|total| self.inventory.with_total(total).map_err(|error| error.to_string()));
        let refused = converted.as_ref().err().cloned();
        let state = match converted {
            Ok(next) => {
                self.change_inventory(next);
                self.info_log(format!("Applied operation {uuid}"));
                OperationState::OperationFinished
            }
            Err(why) => {
                self.warn(format!("Operation {uuid} cannot be applied: {why}"));
                OperationState::OperationError
            }
        };
        let mut status = self.operation_status(&operation.info, state, refused.clone());
        let id = UpdateId::new(*self.fresh_uuid().as_bytes());
        status.uuid = Some(v1::Uuid { value: id.to_wire() });
        if let Some(operation) = self.state.operations.get_mut(&uuid).map(Arc::make_mut) {
            operation.latest_status = status.clone();
            operation.statuses.push(status);
        }
        self.persist_resources();
        self.report_operation(uuid);
        if refused.is_some() && matches!(self.phase, Phase::Running) {
            // The master has already entered it in its books, which differ from ours from now on.
            // A registration with all that is here sets them right.
            self.reconnect(Why::BooksDiffer);
        }
    }

    /// Sends an operation's outcome until it is acknowledged.
    fn report_operation(&mut self, uuid: OperationUuid) {
        let Some(operation) = self.state.operations.get(&uuid).cloned() else { return };
        let update = outcome(&operation);
        let Some(id) = update_id(&update.status) else { return };
        let written = self.agent_id().cloned().map(|agent| {
            self.persist(Record::Operation {
                agent,
                uuid,
                record: Box::new(UpdateOperationStatusRecord {
                    r#type: update_operation_status_record::Type::Update.into(),
                    update: Some(update.clone()),
                    uuid: None,
                }),
            })
        });
        let stream = OperationStream::new(update, id);
        self.outcomes.insert(uuid, Outcome { stream, written });
        if matches!(self.phase, Phase::Running) {
            self.resume_operation(uuid);
        }
    }

    /// Makes `next` what the agent has, with the directories of its volumes.
    fn change_inventory(&mut self, next: Inventory) {
        let (create, remove) = self.inventory.changed_volumes(&next, &self.rules.work_dir);
        if !create.is_empty() || !remove.is_empty() {
            self.persist(Record::Volumes { create, remove });
        }
        self.inventory = next;
        self.state.total = self.inventory.total().clone();
    }

    fn persist_resources(&mut self) {
        let resources = self.inventory.checkpointed();
        let operations = self.state.operations.values().map(|o| (**o).clone()).collect();
        let state = ResourceState {
            operations,
            resources: wire::resources::write(&resources, Form::PostRefinement),
        };
        self.persist(Record::Resources(Box::new(state)));
    }

    fn operation_status(
        &self,
        info: &v1::offer::Operation,
        state: OperationState,
        message: Option<String>,
    ) -> v1::OperationStatus {
        v1::OperationStatus {
            operation_id: info.id.clone(),
            state: state.into(),
            message,
            converted_resources: Vec::new(),
            uuid: None,
            agent_id: self.info.id.clone(),
            resource_provider_id: None,
        }
    }

    /// Tells the master once, without waiting for an acknowledgement.
    fn tell_of_operation(
        &mut self,
        operation: &v1::Operation,
        status: v1::OperationStatus,
        after: Option<Token>,
    ) {
        let message = UpdateOperationStatusMessage {
            framework_id: operation.framework_id.clone(),
            slave_id: self.info.id.clone(),
            latest_status: Some(status.clone()),
            status,
            operation_uuid: Some(operation.uuid.clone()),
        };
        self.send(AgentMessage::UpdateOperationStatus(Box::new(message)), after);
    }

    pub(super) fn operation_due(&mut self, uuid: OperationUuid) {
        let now = self.now.monotonic;
        if let Some(outcome) = self.outcomes.get_mut(&uuid)
            && outcome.stream.take_due(now)
        {
            self.send_outcome(uuid);
        }
    }

    /// There is a master (again).
    pub(super) fn resume_operations(&mut self) {
        let all: Vec<OperationUuid> = self.outcomes.keys().copied().collect();
        for uuid in all {
            self.resume_operation(uuid);
        }
    }

    fn resume_operation(&mut self, uuid: OperationUuid) {
        let now = self.now.monotonic;
        if let Some(outcome) = self.outcomes.get_mut(&uuid) {
            outcome.stream.resume(now);
            self.send_outcome(uuid);
        }
    }

    /// There is no master to tell anything.
    pub(super) fn pause_operations(&mut self) {
        for (uuid, outcome) in &mut self.outcomes {
            outcome.stream.pause();
            self.timers.cancel(&Timer::Operation(*uuid));
        }
    }

    fn send_outcome(&mut self, uuid: OperationUuid) {
        let Some(outcome) = self.outcomes.get(&uuid) else { return };
        let (update, after) = (outcome.stream.update().clone(), outcome.written);
        if let Some(at) = outcome.stream.next_deadline() {
            self.timers.set(Timer::Operation(uuid), at);
        }
        let message = AgentMessage::UpdateOperationStatus(Box::new(downgrade(update)));
        self.send(message, after);
    }

    pub(super) fn operation_acknowledged(&mut self, message: &AcknowledgeOperationStatusMessage) {
        let uuid = OperationUuid::from_wire(&message.operation_uuid.value);
        let status = UpdateId::from_wire(&message.status_uuid.value);
        let (Some(uuid), Some(status)) = (uuid, status) else {
            return self.drop_message(
                "Dropping the acknowledgement of an operation without valid uuids".to_owned(),
            );
        };
        let known = self.outcomes.get(&uuid).map(|outcome| outcome.stream.id());
        if known != Some(status) {
            return self.drop_message(format!(
                "Dropping the acknowledgement {status} of operation {uuid}: it is not under way"
            ));
        }
        self.outcomes.remove(&uuid);
        self.timers.cancel(&Timer::Operation(uuid));
        self.state.operations.remove(&uuid);
        self.persist_resources();
        if let Some(agent) = self.agent_id().cloned() {
            self.persist(Record::OperationOver { agent, uuid });
        }
        self.maybe_drained();
    }

    /// Tells about operations that the master asks about, or has and did not hear of here.
    pub(super) fn reconcile_operations(&mut self, message: &ReconcileOperationsMessage) {
        for asked in &message.operations {
            match &message.framework_id {
                Some(framework) => self.answer_framework(framework, asked),
                None => self.answer_master(asked),
            }
        }
    }

    fn answer_framework(
        &mut self,
        framework: &v1::FrameworkId,
        asked: &reconcile_operations_message::Operation,
    ) {
        if framework.value.parse::<FrameworkId>().is_err() || asked.operation_id.is_none() {
            return self.drop_message(
                "Dropping a question of a framework that names no operation".to_owned(),
            );
        }
        let known = self.state.operations.values().find(|operation| {
            operation.framework_id.as_ref() == Some(framework)
                && operation.info.id == asked.operation_id
        });
        let mut status = match known {
            Some(operation) => operation.latest_status.clone(),
            None => v1::OperationStatus {
                operation_id: asked.operation_id.clone(),
                state: OperationState::OperationUnknown.into(),
                agent_id: self.info.id.clone(),
                resource_provider_id: asked.resource_provider_id.clone(),
                ..v1::OperationStatus::default()
            },
        };
        // An answer is not acknowledged.
        status.uuid = None;
        let message = UpdateOperationStatusMessage {
            framework_id: Some(framework.clone()),
            slave_id: self.info.id.clone(),
            status,
            latest_status: None,
            operation_uuid: known.map(|operation| operation.uuid.clone()),
        };
        self.send(AgentMessage::UpdateOperationStatus(Box::new(message)), None);
    }

    fn answer_master(&mut self, asked: &reconcile_operations_message::Operation) {
        let uuid = asked.operation_uuid.as_ref().map(|uuid| &uuid.value);
        let Some(uuid) = uuid.and_then(|uuid| OperationUuid::from_wire(uuid)) else {
            return self.drop_message("Dropping a question about no operation".to_owned());
        };
        // The outcome of one that is known is on its way already.
        if self.state.operations.contains_key(&uuid) {
            return;
        }
        let status = v1::OperationStatus {
            state: OperationState::OperationDropped.into(),
            agent_id: self.info.id.clone(),
            resource_provider_id: asked.resource_provider_id.clone(),
            ..v1::OperationStatus::default()
        };
        let message = UpdateOperationStatusMessage {
            framework_id: None,
            slave_id: self.info.id.clone(),
            latest_status: None,
            status,
            operation_uuid: Some(uuid.to_wire()),
        };
        self.send(AgentMessage::UpdateOperationStatus(Box::new(message)), None);
    }

    /// Replaces all that is remembered: what masters send to agents that take no operations.
    pub(super) fn checkpoint_resources(&mut self, message: &CheckpointResourcesMessage) {
        let next = wire::resources::read(&message.resources)
            .map_err(|error| error.to_string())
            .and_then(|resources| {
                self.inventory.with_checkpointed(&resources).map_err(|error| error.to_string())
            });
        match next {
            Ok(next) if next.checkpointed() == self.inventory.checkpointed() => {}
            Ok(next) => {
                self.change_inventory(next);
                self.persist_resources();
            }
            Err(why) => {
                self.drop_message(format!("Dropping the resources to be remembered: {why}"));
            }
        }
    }

    /// What masters are told at registration.
    pub(super) fn checkpointed_resources(&self) -> Vec<v1::Resource> {
        wire::resources::write(&self.inventory.checkpointed(), Form::PreRefinement)
    }

    /// What masters are told behind it.
    pub(super) fn operations_under_way(&self) -> Vec<v1::Operation> {
        downgrade(self.state.operations.values().map(|o| (**o).clone()).collect::<Vec<_>>())
    }

    /// All that the agent has.
    #[must_use]
    pub fn total(&self) -> &Resources {
        self.inventory.total()
    }
}

/// The message about an operation's latest status.
fn outcome(operation: &v1::Operation) -> UpdateOperationStatusMessage {
    UpdateOperationStatusMessage {
        framework_id: operation.framework_id.clone(),
        slave_id: operation.agent_id.clone(),
        status: operation.latest_status.clone(),
        latest_status: Some(operation.latest_status.clone()),
        operation_uuid: Some(operation.uuid.clone()),
    }
}

fn update_id(status: &v1::OperationStatus) -> Option<UpdateId> {
    UpdateId::from_wire(&status.uuid.as_ref()?.value)
}
