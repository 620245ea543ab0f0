//! RECONCILE_OPERATIONS: what a scheduler gets to know of operations that it is not sure about.

use std::collections::BTreeMap;

use model::id::{AgentId, FrameworkId};
use wire::internal::reconcile_operations_message;
use wire::v1::agent_info::capability::Type as AgentCapability;
use wire::v1::scheduler::call;
use wire::v1::scheduler::call::reconcile_operations as question;
use wire::v1::{OperationState, OperationStatus};
use wire::{internal, v1};

use super::super::Engine;
use super::super::counters::Counter;
use super::super::events;
use super::super::message::Outbound;
use super::super::out::Out;
use super::super::state::{Framework, Operation, OperationUuid};

/// Questions of a framework that are passed on.
type ToAgents = BTreeMap<AgentId, internal::ReconcileOperationsMessage>;

/// What the master says to one question.
enum Answer {
    /// It says this.
    Status(Box<OperationStatus>),
    /// Only the agent can say.
    Ask(AgentId),
}

impl Engine {
    /// RECONCILE_OPERATIONS: about the operations named, or about all of the framework.
    pub(in super::super) fn reconcile_operations(
        &mut self,
        framework_id: &FrameworkId,
        reconcile: call::ReconcileOperations,
        out: &mut Out,
    ) {
        self.state.counters.count(Counter::MessagesReconcileOperations);
        self.ask(framework_id, reconcile.operations.len(), out, |framework, waiting| {
            if reconcile.operations.is_empty() {
                waiting.all_operations = framework.operations.iter().copied().collect();
            } else {
                waiting.named_operations.extend(reconcile.operations);
            }
        });
    }

    /// Tells a framework what is known of an operation, unless it is over by now.
    pub(in super::super) fn tell_of_operation(
        &mut self,
        framework_id: &FrameworkId,
        uuid: OperationUuid,
        out: &mut Out,
    ) {
        if let Some(operation) = self.operation(uuid) {
            self.tell(framework_id, events::operation_status(known(&operation)), out);
        }
    }

    /// Answers about one operation, or adds the question to those that only agents can answer.
    pub(in super::super) fn answer_operation(
        &mut self,
        framework: &Framework,
        question: question::Operation,
        to_agents: &mut ToAgents,
        out: &mut Out,
    ) {
        let named = framework.operation_names.get(&question.operation_id.value);
        let answer = match named.and_then(|uuid| self.operation(*uuid)) {
            Some(operation) => Answer::Status(Box::new(known(&operation))),
            None => self.unknown(&question),
        };
        match answer {
            Answer::Status(status) => {
                self.tell(&framework.id, events::operation_status(*status), out);
            }
            Answer::Ask(agent_id) => {
                let questions = to_agents.entry(agent_id).or_default();
                questions.framework_id = Some(v1::FrameworkId { value: framework.id.to_string() });
                questions.operations.push(reconcile_operations_message::Operation {
                    operation_uuid: None,
                    operation_id: Some(question.operation_id),
                    resource_provider_id: question.resource_provider_id,
                });
            }
        }
    }

    /// Passes on what only agents can answer.
    pub(in super::super) fn ask_agents(&self, questions: ToAgents, out: &mut Out) {
        for (agent_id, message) in questions {
            if let Some(agent) = self.state.agents.get(&agent_id) {
                out.send(&agent.peer, Outbound::ReconcileOperations(message));
            }
        }
    }

    /// What can be said of an operation that is not known: what its agent allows to conclude.
    fn unknown(&self, question: &question::Operation) -> Answer {
        let state = &self.state;
        let agent_id = question.agent_id.as_ref().and_then(|id| AgentId::new(&id.value).ok());
        let provider = question.resource_provider_id.as_ref();
        let (said, message) = match agent_id {
            None if question.agent_id.is_none() => (
                OperationState::OperationUnknown,
                "Reconciliation: Operation is unknown and no 'agent_id' was provided",
            ),
            Some(id) if state.recovered_agents.contains_key(&id) => (
                OperationState::OperationRecovering,
                "Reconciliation: Agent is recovered but has not re-registered",
            ),
            Some(id) if state.agents.contains_key(&id) => {
                let silent = |agent: &super::super::state::Agent| {
                    agent.has(AgentCapability::AgentOperationFeedback)
                        && provider.is_some_and(|p| !agent.providers.contains_key(&*p.value))
                };
                if state.agents.get(&id).is_some_and(|agent| silent(agent)) {
                    return Answer::Ask(id);
                }
                (OperationState::OperationUnknown, "Reconciliation: Operation is unknown")
            }
            Some(id) if state.unreachable_agents.contains_key(&id) => {
                (OperationState::OperationUnreachable, "Reconciliation: Agent is unreachable")
            }
            Some(id) if state.gone_agents.contains_key(&id) => (
                OperationState::OperationGoneByOperator,
                "Reconciliation: Agent marked gone by operator",
            ),
            Some(_) | None => (
                OperationState::OperationUnknown,
                "Reconciliation: Both operation and agent are unknown",
            ),
        };
        let mut status = OperationStatus {
            operation_id: Some(question.operation_id.clone()),
            agent_id: question.agent_id.clone(),
            resource_provider_id: question.resource_provider_id.clone(),
            message: Some(message.to_owned()),
            ..OperationStatus::default()
        };
        status.set_state(said);
        Answer::Status(Box::new(status))
    }
}

/// What was told of an operation last; it is not repeated, so nobody has to acknowledge it.
fn known(operation: &Operation) -> OperationStatus {
    OperationStatus { uuid: None, ..operation.last_told().clone() }
}
