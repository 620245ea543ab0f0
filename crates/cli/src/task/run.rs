//! One launch, from the first offer to the last status, as a machine: notices of the session and
//! the user's wishes go in, steps for the driver come out.

use scheduler::session::Notice;
use wire::v1::offer::{Operation, operation};
use wire::v1::scheduler::{Call, Event, call, event};
use wire::v1::{FrameworkId, Offer, OfferId, TaskInfo, TaskState, TaskStatus, Url};

use super::fit::Pool;

/// Something for the driver to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Make this call.
    Call(Box<Call>),
    /// The task has ended.
    Done,
    /// The master was lost; the session tries again.
    Lost { reason: String },
    /// An offer was too small.
    Passed { hostname: String },
    /// The task was sent to an agent.
    Placed(Box<Placement>),
    /// The session is there (again).
    Subscribed(FrameworkId),
    /// The task has a new status.
    Updated(Box<TaskStatus>),
}

/// Where the task went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    pub(crate) framework_id: FrameworkId,
    pub(crate) agent_id: wire::v1::AgentId,
    pub(crate) hostname: String,
    /// Where the agent serves HTTP; the scheme in it says nothing.
    pub(crate) url: Option<Url>,
}

/// One launch.
#[derive(Debug)]
pub(crate) struct Run {
    /// Agent and resources are filled in from the offer.
    task: TaskInfo,
    framework_id: Option<FrameworkId>,
    placement: Option<Placement>,
    status: Option<TaskStatus>,
    killing: bool,
}

impl Run {
    /// Nothing has happened yet.
    pub(crate) fn new(task: TaskInfo) -> Self {
        Self { task, framework_id: None, placement: None, status: None, killing: false }
    }

    /// Whether the task was sent to an agent.
    pub(crate) fn is_placed(&self) -> bool {
        self.placement.is_some()
    }

    /// The task's latest status.
    pub(crate) fn status(&self) -> Option<&TaskStatus> {
        self.status.as_ref()
    }

    /// Takes a notice and says what follows.
    pub(crate) fn handle(&mut self, notice: Notice) -> Vec<Step> {
        match notice {
            Notice::Subscribed { framework_id, .. } => self.subscribed(framework_id),
            Notice::Disconnected { reason, .. } => vec![Step::Lost { reason }],
            Notice::Event(event) => self.event(*event),
        }
    }

    /// The task is to end. Before it is placed there is nothing to end: [`Step::Done`].
    pub(crate) fn kill(&mut self) -> Vec<Step> {
        if !self.is_placed() {
            return vec![Step::Done];
        }
        self.killing = true;
        vec![self.kill_call()]
    }

    /// The master refused the ACCEPT: there is no launch to wait for.
    pub(crate) fn accept_refused(&mut self) {
        if self.status.is_none() {
            self.placement = None;
        }
    }

    fn subscribed(&mut self, framework_id: FrameworkId) -> Vec<Step> {
        self.framework_id = Some(framework_id.clone());
        let mut steps = vec![Step::Subscribed(framework_id)];
        if let Some(placement) = &self.placement {
            // What happened while nobody listened, including a launch that never arrived.
            let task = call::reconcile::Task {
                task_id: self.task.task_id.clone(),
                agent_id: Some(placement.agent_id.clone()),
            };
            steps.push(step(Call {
                r#type: Some(call::Type::Reconcile as i32),
                reconcile: Some(call::Reconcile { tasks: vec![task] }),
                ..Call::default()
            }));
        }
        if self.killing {
            steps.push(self.kill_call());
        }
        steps
    }

    fn event(&mut self, event: Event) -> Vec<Step> {
        match event.r#type() {
            event::Type::Offers => event.offers.map_or_else(Vec::new, |o| self.offers(&o.offers)),
            event::Type::Update => event.update.map_or_else(Vec::new, |u| self.update(u.status)),
            // A lost agent or executor is followed by the statuses of its tasks.
            _ => Vec::new(),
        }
    }

    fn offers(&mut self, offers: &[Offer]) -> Vec<Step> {
        let mut steps = Vec::new();
        for offer in offers {
            let accepted = if self.is_placed() { None } else { self.accept(offer) };
            match accepted {
                Some(accept) => {
                    steps.push(step(accept));
                    steps.push(step(Call {
                        r#type: Some(call::Type::Suppress as i32),
                        suppress: Some(call::Suppress::default()),
                        ..Call::default()
                    }));
                    steps.extend(self.placement.clone().map(|p| Step::Placed(Box::new(p))));
                }
                None => {
                    if !self.is_placed() {
                        steps.push(Step::Passed { hostname: offer.hostname.clone() });
                    }
                    steps.push(step(decline(offer.id.clone())));
                }
            }
        }
        steps
    }

    /// The call that launches the task on this offer, if it fits.
    fn accept(&mut self, offer: &Offer) -> Option<Call> {
        let mut task = self.task.clone();
        task.resources = Pool::of(offer).take(&task.resources)?;
        task.agent_id = offer.agent_id.clone();
        let operation = Operation {
            r#type: Some(operation::Type::Launch as i32),
            launch: Some(operation::Launch { task_infos: vec![task] }),
            ..Operation::default()
        };
        self.placement = Some(Placement {
            framework_id: self.framework_id.clone()?,
            agent_id: offer.agent_id.clone(),
            hostname: offer.hostname.clone(),
            url: offer.url.clone(),
        });
        Some(Call {
            r#type: Some(call::Type::Accept as i32),
            accept: Some(call::Accept {
                offer_ids: vec![offer.id.clone()],
                operations: vec![operation],
                filters: None,
            }),
            ..Call::default()
        })
    }

    fn update(&mut self, status: TaskStatus) -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend(scheduler::acknowledgement(&status).map(step));
        // After a terminal status nothing changes any more, whatever is still on its way.
        let over = self.status.as_ref().is_some_and(|s| is_terminal(s.state()));
        if over || status.task_id != self.task.task_id {
            return steps;
        }
        let known = self.status.as_ref().is_some_and(|old| {
            old.state == status.state
                && old.message == status.message
                && old.reason == status.reason
        });
        let done = is_terminal(status.state());
        self.status = Some(status.clone());
        if !known {
            steps.push(Step::Updated(Box::new(status)));
        }
        if done {
            steps.push(Step::Done);
        }
        steps
    }

    fn kill_call(&self) -> Step {
        step(Call {
            r#type: Some(call::Type::Kill as i32),
            kill: Some(call::Kill {
                task_id: self.task.task_id.clone(),
                agent_id: self.placement.as_ref().map(|p| p.agent_id.clone()),
                kill_policy: None,
            }),
            ..Call::default()
        })
    }
}

/// Whether a task in this state has ended for good.
pub(crate) fn is_terminal(state: TaskState) -> bool {
    match state {
        TaskState::TaskDropped
        | TaskState::TaskError
        | TaskState::TaskFailed
        | TaskState::TaskFinished
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator
        | TaskState::TaskKilled
        | TaskState::TaskLost => true,
        TaskState::TaskKilling
        | TaskState::TaskRunning
        | TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskUnknown
        | TaskState::TaskUnreachable => false,
    }
}

/// The same for a state's name, as JSON has it. What nobody here knows has not ended.
pub(crate) fn is_terminal_name(state: &str) -> bool {
    TaskState::from_str_name(state).is_some_and(is_terminal)
}

fn step(call: Call) -> Step {
    Step::Call(Box::new(call))
}

fn decline(offer_id: OfferId) -> Call {
    Call {
        r#type: Some(call::Type::Decline as i32),
        decline: Some(call::Decline { offer_ids: vec![offer_id], filters: None }),
        ..Call::default()
    }
}

#[cfg(test)]
mod tests;
