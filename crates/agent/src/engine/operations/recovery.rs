//! Going on with the resources and operations that an earlier run left.

use std::sync::Arc;

use wire::internal::{UpdateOperationStatusRecord, update_operation_status_record};
use wire::v1;
use wire::v1::OperationState;

use super::{OperationStream, OperationUuid, Outcome, update_id};
use crate::engine::Engine;
use crate::engine::event::Record;
use crate::engine::recovered::RecoveredResources;
use crate::resource_format::upgrade;

impl Engine {
    /// Takes in what is remembered of the agent's resources.
    ///
    /// # Errors
    ///
    /// If the configuration does not state any more what they were made from.
    pub(in crate::engine) fn recover_resources(
        &mut self,
        found: &RecoveredResources,
    ) -> Result<(), String> {
        let read =
            |list: &[v1::Resource]| wire::resources::read(list).map_err(|error| error.to_string());
        let remembered = read(&found.resources)?;
        let next = self.inventory.with_checkpointed(&remembered).map_err(|e| e.to_string())?;
        self.state.total = next.total().clone();
        self.inventory = next;
        // An agent of the other kind was about to change to this when it ended.
        if let Some(target) = &found.target {
            let target = read(target)?;
            let next = self.inventory.with_checkpointed(&target).map_err(|e| e.to_string())?;
            self.change_inventory(next);
            self.persist_resources();
        }
        Ok(())
    }

    /// Takes in the operations, does what was still to be done, and makes ready to report what was
    /// not acknowledged.
    pub(in crate::engine) fn recover_operations(&mut self, found: RecoveredResources) {
        let Some(agent) = self.agent_id().cloned() else { return };
        for operation in found.operations {
            // Resources outlive the agent's id; nobody asks for operations under an older one.
            let of_another = |id: &v1::AgentId| id.value != agent.as_str();
            if operation.agent_id.as_ref().is_some_and(of_another) {
                continue;
            }
            match OperationUuid::from_wire(&operation.uuid.value) {
                Some(uuid) => {
                    self.state.operations.insert(uuid, Arc::new(upgrade(operation)));
                }
                None => {
                    self.state.counters.recovery_errors += 1;
                    self.warn("A recorded operation without a valid uuid is left out".to_owned());
                }
            }
        }
        for uuid in found.updates.keys().filter(|uuid| !self.state.operations.contains_key(uuid)) {
            // Its acknowledgement came, and then the end of the run.
            self.tokens += 1;
            let record = Record::OperationOver { agent: agent.clone(), uuid: *uuid };
            let token = crate::engine::event::Token(self.tokens);
            self.out
                .push(crate::engine::event::Effect::Persist { token, record: Box::new(record) });
        }
        let all: Vec<OperationUuid> = self.state.operations.keys().copied().collect();
        for uuid in all {
            let Some(operation) = self.state.operations.get(&uuid) else { continue };
            if operation.latest_status.state() == OperationState::OperationPending {
                self.complete_operation(uuid);
                continue;
            }
            let recorded = found.updates.get(&uuid).and_then(|records| last_update(records));
            match recorded {
                Some(stream) => {
                    self.outcomes.insert(uuid, Outcome { stream, written: None });
                }
                None => self.report_operation(uuid),
            }
        }
    }
}

/// The update that waits for its acknowledgement, if one is on record.
fn last_update(records: &[UpdateOperationStatusRecord]) -> Option<OperationStream> {
    let update = records
        .iter()
        .rev()
        .find(|record| record.r#type() == update_operation_status_record::Type::Update)?
        .update
        .clone()?;
    let id = update_id(&update.status)?;
    Some(OperationStream::new(update, id))
}
