//! Planned maintenance of agents: asking frameworks whether they can leave in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{AgentId, FrameworkId};
use model::time::Instant;

use crate::event::{InverseOffer, MaintenanceAnswer};
use crate::facts::{Refusal, Unavailability};
use crate::{Allocator, Framework};

/// What is planned for an agent, and what frameworks said to it.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    unavailability: Option<Unavailability>,
    answers: BTreeMap<FrameworkId, MaintenanceAnswer>,
    /// Frameworks that were asked and have not answered.
    asked: BTreeSet<FrameworkId>,
    /// Frameworks that do not want to be asked again, and until when.
    quiet: BTreeMap<FrameworkId, Instant>,
}

impl Maintenance {
    /// Whether frameworks are to be asked at all.
    pub(crate) fn is_planned(&self) -> bool {
        self.unavailability.is_some()
    }

    /// The frameworks of which something is noted.
    pub(crate) fn noted_frameworks(&self) -> impl Iterator<Item = &FrameworkId> {
        self.answers.keys().chain(&self.asked).chain(self.quiet.keys())
    }
}

impl Allocator {
    /// What frameworks said about the agent's planned maintenance.
    #[must_use]
    pub fn maintenance_answers(
        &self,
        agent_id: &AgentId,
    ) -> &BTreeMap<FrameworkId, MaintenanceAnswer> {
        const NONE: &BTreeMap<FrameworkId, MaintenanceAnswer> = &BTreeMap::new();
        self.agent(agent_id).map_or(NONE, |agent| &agent.maintenance.answers)
    }

    pub(crate) fn set_unavailability(
        &mut self,
        agent_id: &AgentId,
        unavailability: Option<Unavailability>,
    ) {
        let Some(no) = self.agent_nos.get(agent_id).copied() else { return };
        self.forget_quiet(no, None);
        let Some(agent) = self.agents.get_mut(no) else { return };
        agent.maintenance = Maintenance { unavailability, ..Maintenance::default() };
        self.to_ask.insert(no);
        self.dirty.insert(no);
    }

    pub(crate) fn inverse_answered(
        &mut self,
        (framework_id, agent_id): (FrameworkId, &AgentId),
        answer: MaintenanceAnswer,
        refusal: Refusal,
        now: Instant,
    ) {
        let Some(no) = self.agent_nos.get(agent_id).copied() else { return };
        let Some(framework) = self.framework_nos.get(&framework_id) else { return };
        let Some(framework) = self.frameworks.get_mut(*framework) else { return };
        framework.questioned.insert(no);
        let interval = self.rules.allocation_interval;
        self.forget_quiet(no, Some(&framework_id));
        let Some(agent) = self.agents.get_mut(no) else { return };
        // An answer to what is not planned any more says nothing.
        if !agent.maintenance.is_planned() {
            return;
        }
        agent.maintenance.asked.remove(&framework_id);
        agent.maintenance.answers.insert(framework_id.clone(), answer);
        let time = match refusal {
            Refusal::None | Refusal::Brief => Duration::ZERO,
            Refusal::For(time) => time,
        };
        // Runs are not tied to the interval here, questions are.
        let until = now + time.max(interval);
        agent.maintenance.quiet.insert(framework_id.clone(), until);
        self.quiet_ends.insert((until, no, framework_id));
    }

    pub(crate) fn inverse_withdrawn(&mut self, framework_id: &FrameworkId, agent_id: &AgentId) {
        let Some(no) = self.agent_nos.get(agent_id).copied() else { return };
        let Some(agent) = self.agents.get_mut(no) else { return };
        if agent.maintenance.asked.remove(framework_id) {
            self.to_ask.insert(no);
        }
    }

    /// Forgets what keeps the agent's frameworks, or one of them, from being asked.
    pub(crate) fn forget_quiet(&mut self, no: u32, framework: Option<&FrameworkId>) {
        let Some(agent) = self.agents.get_mut(no) else { return };
        let quiet = &mut agent.maintenance.quiet;
        let over = match framework {
            Some(id) => quiet.remove_entry(id).into_iter().collect(),
            None => std::mem::take(quiet),
        };
        for (id, until) in over {
            self.quiet_ends.remove(&(until, no, id));
        }
        if agent.maintenance.is_planned() {
            self.to_ask.insert(no);
        }
    }

    /// Forgets what a framework that is no more was asked about the agent and said.
    pub(crate) fn forget_answers(&mut self, no: u32, id: &FrameworkId) {
        self.forget_quiet(no, Some(id));
        if let Some(agent) = self.agents.get_mut(no) {
            agent.maintenance.answers.remove(id);
            agent.maintenance.asked.remove(id);
        }
    }

    /// Forgets that a framework does not want to be asked.
    pub(crate) fn forget_questions_refused(&mut self, framework_no: u32) {
        let Some(Framework { id, agents, .. }) = self.frameworks.get(framework_no) else { return };
        let (id, agents) = (id.clone(), agents.clone());
        for no in agents {
            self.forget_quiet(no, Some(&id));
        }
    }

    /// Forgets all that a framework was asked and does not want to be asked.
    pub(crate) fn forget_questions(&mut self, framework_no: u32) {
        self.forget_questions_refused(framework_no);
        let Some(Framework { id, agents, .. }) = self.frameworks.get(framework_no) else { return };
        let (id, agents) = (id.clone(), agents.clone());
        for no in agents {
            if let Some(agent) = self.agents.get_mut(no) {
                agent.maintenance.asked.remove(&id);
            }
        }
    }

    /// Frameworks that may be asked again from now on.
    pub(crate) fn end_quiet(&mut self, now: Instant) {
        while let Some(end) = self.quiet_ends.pop_first() {
            if end.0 > now {
                self.quiet_ends.insert(end);
                return;
            }
            let (_, no, id) = end;
            if let Some(agent) = self.agents.get_mut(no) {
                agent.maintenance.quiet.remove(&id);
                self.to_ask.insert(no);
            }
        }
    }

    /// Asks whoever holds something on an agent with planned maintenance.
    pub(crate) fn ask(&mut self) -> Vec<InverseOffer> {
        let mut questions = Vec::new();
        for no in std::mem::take(&mut self.to_ask) {
            let Some(agent) = self.agents.get_mut(no).filter(|agent| agent.is_usable()) else {
                continue;
            };
            let Some(unavailability) = agent.maintenance.unavailability else { continue };
            for id in agent.held.keys() {
                let framework_no = self.framework_nos.get(id).copied();
                let framework = framework_no.and_then(|no| self.frameworks.get_mut(no));
                let Some(framework) = framework.filter(|framework| framework.is_active()) else {
                    continue;
                };
                let Maintenance { asked, quiet, .. } = &mut agent.maintenance;
                if !quiet.contains_key(id) && asked.insert(id.clone()) {
                    framework.questioned.insert(no);
                    questions.push(InverseOffer {
                        framework_id: id.clone(),
                        agent_id: agent.id.clone(),
                        unavailability,
                    });
                }
            }
        }
        questions
    }
}
