//! ACCEPT: what a framework does with offers.

use model::id::{AgentId, FrameworkId};
use model::resources::Resources;
use model::role::Role;
use wire::v1;
use wire::v1::TaskState;
use wire::v1::agent_info::capability::Type as AgentCapability;
use wire::v1::offer::operation::Type;
use wire::v1::scheduler::call;
use wire::v1::task_status::Reason;

use allocator::Refusal as Declined;

use super::super::Engine;
use super::super::collections::edit;
use super::super::counters::{Counter, count_in};
use super::super::driver;
use super::super::events;
use super::super::offers::refusal;
use super::super::out::{Out, quoted};
use super::super::status::lost_unless_aware;
use super::super::validate::offer::{self as validate, Offered};
use super::super::validate::operation::{self as checks, Demand, Setting};
use super::{launches, limits, prepare};

/// What a framework has in hand while its ACCEPT is done, one operation after the other.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    /// The role under which it was all offered.
    pub(super) role: Role,
    /// What is left: operations take from it, and their results go back into it.
    pub(super) left: Resources,
    /// The shared resources that it holds, whether tasks use copies of them or not: each task may
    /// use one, however many copies were offered.
    pub(super) shared: Resources,
    /// Volumes of new sizes, which no other operation of the call may use.
    resized: Resources,
}

impl Hand {
    fn new(framework_id: &FrameworkId, offered: &Offered) -> Self {
        Self {
            framework_id: framework_id.clone(),
            agent_id: offered.agent_id.clone(),
            role: offered.role.clone(),
            left: offered.resources.clone(),
            shared: offered.resources.shared(),
            resized: Resources::new(),
        }
    }

    /// What tasks can be launched with.
    pub(super) fn available(&self) -> Resources {
        self.left.non_shared().plus(&self.shared)
    }
}

impl Engine {
    /// ACCEPT
    pub(in super::super) fn accept(
        &mut self,
        framework_id: &FrameworkId,
        accept: call::Accept,
        out: &mut Out,
    ) {
        for launch in accept.operations.iter().filter(|o| o.r#type() == Type::Launch) {
            let tasks = launch.launch.as_ref().is_some_and(|launch| !launch.task_infos.is_empty());
            self.state.counters.count(if tasks {
                Counter::MessagesLaunchTasks
            } else {
                Counter::MessagesDeclineOffers
            });
        }
        let offered = match validate::offers(&accept.offer_ids, framework_id, &self.state) {
            Ok(offered) => offered,
            Err(error) => return self.accept_nothing(framework_id, accept, &error, out),
        };
        for id in &offered.offers {
            self.take_offer(id);
        }
        if let Some(framework) = edit(&mut self.state.frameworks, framework_id) {
            framework.counters.offers_accepted += offered.offers.len() as u64;
        }
        let mut hand = Hand::new(framework_id, &offered);
        // All are looked at before any is done, as in the original: a scheduler hears first of
        // those that are not what they should be.
        let sound: Vec<_> = accept
            .operations
            .into_iter()
            .filter_map(|operation| self.sound(&hand, operation, out))
            .collect();
        for operation in sound {
            self.do_operation(&mut hand, operation, out);
        }
        // What operations have made of the offers is not what the framework declines. The original
        // takes resized volumes into account on one side only, and loses what they gave up.
        let all = hand.left.plus(&hand.resized);
        let made = all.minus(&offered.resources);
        let declined = all.minus(&made);
        let agent_id = &hand.agent_id;
        self.recover_resources(framework_id, agent_id, &made, Declined::None, out);
        let refusal = refusal(accept.filters.as_ref());
        self.recover_resources(framework_id, agent_id, &declined, refusal, out);
    }

    /// Something is wrong with the offers: what of them is the framework's goes back, and every
    /// task gets an update.
    fn accept_nothing(
        &mut self,
        framework_id: &FrameworkId,
        accept: call::Accept,
        error: &str,
        out: &mut Out,
    ) {
        for id in &accept.offer_ids {
            if let Some(offer) = self.own_offer(framework_id, id) {
                self.take_offer(&offer.id);
                self.give_back(&offer, Declined::None, out);
            }
        }
        let Some(framework) = self.state.frameworks.get(framework_id).cloned() else { return };
        let state = lost_unless_aware(&framework.capabilities, TaskState::TaskDropped);
        let message = format!("Task launched with invalid offers: {error}");
        for operation in accept.operations {
            if !launches(operation.r#type()) {
                let error = format!("Operation attempted with invalid offers: {error}");
                self.drop_operation(framework_id, &operation, &error, out);
                continue;
            }
            for task in tasks_of(&operation) {
                let refused = (state, Reason::InvalidOffers, message.as_str());
                self.refuse_task(framework_id, task, refused, out);
            }
        }
    }

    /// The operation with all that a scheduler may leave out filled in, or nothing if it is not
    /// what it should be, which the scheduler is told.
    fn sound(
        &mut self,
        hand: &Hand,
        mut operation: v1::offer::Operation,
        out: &mut Out,
    ) -> Option<v1::offer::Operation> {
        let kind = operation.r#type();
        let framework_id = &hand.framework_id;
        if kind == Type::Unknown {
            out.warn(format!("Ignored an operation of framework {framework_id} of no known kind"));
            return None;
        }
        let mut upgraded = prepare::upgrade(&mut operation, Some(&hand.role));
        if operation.reserve.as_ref().is_some_and(|reserve| !reserve.source.is_empty()) {
            upgraded =
                upgraded
                    .and(Err("Reservation updates are not yet implemented for the scheduler API."
                        .to_owned()));
        }
        match (upgraded, launches(kind)) {
            (Err(error), true) => {
                self.refuse_tasks(framework_id, &operation, &error, out);
                return None;
            }
            (Err(error), false) => {
                let error = format!("Operation attempted with invalid resources: {error}");
                self.drop_operation(framework_id, &operation, &error, out);
                return None;
            }
            (Ok(()), true) if operation.id.is_some() => {
                let error =
                    format!("The `id` field cannot be set on {} operations", kind.as_str_name());
                self.refuse_tasks(framework_id, &operation, &error, out);
                return None;
            }
            (Ok(()), false) if operation.id.is_some() => {
                if let Err(error) = self.may_have_feedback(hand, &operation, out) {
                    self.drop_operation(framework_id, &operation, &error, out);
                    return None;
                }
            }
            (Ok(()), _) => {}
        }
        super::launch::fill_in(&mut operation, framework_id);
        Some(operation)
    }

    /// Whether somebody can be told how the operation ends, who asks for it by naming it.
    fn may_have_feedback(
        &self,
        hand: &Hand,
        operation: &v1::offer::Operation,
        out: &mut Out,
    ) -> Result<(), String> {
        let framework = self.state.frameworks.get(&hand.framework_id);
        if let Some(driver) = framework.and_then(|framework| framework.driver()) {
            let text = "The 'id' field was set in an offer operation, but operation feedback is \
                        not supported for the SchedulerDriver API";
            let end = format!("{text}; please use the HTTP scheduler API for this feature");
            out.send(&driver.peer, driver::error(end));
            return Err(text.to_owned());
        }
        let Some(agent) = self.state.agents.get(&hand.agent_id) else { return Ok(()) };
        if !agent.has(AgentCapability::ResourceProvider) {
            return Err(format!(
                "Operation requested feedback, but agent {} does not have the required \
                 RESOURCE_PROVIDER capability",
                agent.id
            ));
        }
        if checks::provider(operation).is_none()
            && !agent.has(AgentCapability::AgentOperationFeedback)
        {
            return Err(format!(
                "Operation on agent default resources requested feedback, but agent {} does not \
                 have the required AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER capabilities",
                agent.id
            ));
        }
        Ok(())
    }

    fn do_operation(&mut self, hand: &mut Hand, operation: v1::offer::Operation, out: &mut Out) {
        match operation.r#type() {
            Type::Launch => {
                for task in operation.launch.map(|launch| launch.task_infos).unwrap_or_default() {
                    self.launch(hand, task, out);
                }
            }
            Type::LaunchGroup => {
                if let Some(group) = operation.launch_group {
                    self.launch_group(hand, group, out);
                }
            }
            _ => {
                if let Err(error) = self.change(hand, &operation, out) {
                    self.drop_operation(&hand.framework_id, &operation, &error, out);
                }
            }
        }
    }

    /// Does an operation other than a launch. Nothing has changed if it fails.
    fn change(
        &mut self,
        hand: &mut Hand,
        operation: &v1::offer::Operation,
        out: &mut Out,
    ) -> Result<(), String> {
        let (framework_id, agent_id) = (hand.framework_id.clone(), hand.agent_id.clone());
        let (Some(framework), Some(agent)) =
            (self.state.frameworks.get(&framework_id).cloned(), self.state.agents.get(&agent_id))
        else {
            return Err("Agent removed".to_owned());
        };
        let agent = agent.clone();
        let principal = framework.info.principal.as_deref();
        let setting = Setting { agent: &agent, framework: Some(&framework), principal };
        let demand = checks::operation(operation, setting)?;
        self.may_send(&agent, operation)?;
        limits::of_framework(&framework, &agent, operation)?;
        let kind = operation.r#type();
        let consumed = match demand {
            Demand::Convert(conversion) => {
                let left = hand.left.apply(&conversion).map_err(|error| error.to_string())?;
                if kind == Type::Destroy {
                    // What the framework holds is the agent's. Others must not see what is gone,
                    // also if there turn out to be more copies of it.
                    self.rescind_volumes(&agent_id, &conversion.consumed().unallocated(), out);
                }
                self.convert(Some(&framework_id), &agent_id, &conversion)?;
                hand.left = left;
                if matches!(kind, Type::Create | Type::Destroy) {
                    hand.shared = hand.left.shared();
                }
                Resources::new()
            }
            Demand::Resize(conversion) => {
                let left = taken(&hand.left, &conversion.consumed(), kind)?;
                self.convert(Some(&framework_id), &agent_id, &conversion)?;
                hand.left = left;
                hand.resized.add_all(&conversion.converted());
                Resources::new()
            }
            Demand::Consume(consumed) => {
                hand.left = taken(&hand.left, &consumed, kind)?;
                self.launched(&framework_id, &agent_id, &consumed, out);
                consumed
            }
        };
        if let Some(framework) = edit(&mut self.state.frameworks, &framework_id) {
            count_in(&mut framework.counters.operations, kind);
        }
        out.info(format!("{} of framework {framework_id} on agent {agent_id}", kind.as_str_name()));
        self.send_operation(Some(&framework_id), &agent_id, (operation.clone(), consumed), out);
        Ok(())
    }

    /// Takes back all offers of the agent that hold one of the volumes.
    fn rescind_volumes(&mut self, agent_id: &AgentId, volumes: &Resources, out: &mut Out) {
        let concerned = |resource: &model::resources::Resource| {
            let plain = resource.unallocated();
            volumes.iter().any(|volume| volume.same_kind(&plain))
        };
        self.rescind_offers_where(agent_id, concerned, out);
    }

    /// Tells a framework that none of an operation's tasks is launched.
    fn refuse_tasks(
        &mut self,
        framework_id: &FrameworkId,
        operation: &v1::offer::Operation,
        error: &str,
        out: &mut Out,
    ) {
        let reason = match operation.r#type() {
            Type::LaunchGroup => Reason::TaskGroupInvalid,
            _ => Reason::TaskInvalid,
        };
        for task in tasks_of(operation) {
            self.refuse_task(framework_id, task, (TaskState::TaskError, reason, error), out);
        }
    }

    /// Tells a framework that an operation is not done, if it gave it a name to be told by.
    fn drop_operation(
        &mut self,
        framework_id: &FrameworkId,
        operation: &v1::offer::Operation,
        message: &str,
        out: &mut Out,
    ) {
        out.warn(format!(
            "Dropping {} operation from framework {framework_id}: {}",
            operation.r#type().as_str_name(),
            quoted(message)
        ));
        let Some(id) = &operation.id else { return };
        let mut status = v1::OperationStatus {
            operation_id: Some(id.clone()),
            message: Some(message.to_owned()),
            ..v1::OperationStatus::default()
        };
        status.set_state(v1::OperationState::OperationError);
        self.tell(framework_id, events::operation_status(status), out);
    }
}

/// What is left of `left` when an operation takes `consumed`.
fn taken(left: &Resources, consumed: &Resources, kind: Type) -> Result<Resources, String> {
    left.checked_minus(consumed).ok_or_else(|| {
        format!("Invalid {} operation: {left} does not contain {consumed}", kind.as_str_name())
    })
}

fn tasks_of(operation: &v1::offer::Operation) -> Vec<&v1::TaskInfo> {
    let single = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let group = operation.launch_group.iter().flat_map(|launch| &launch.task_group.tasks);
    single.chain(group).collect()
}
