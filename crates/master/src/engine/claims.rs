//! Whose a framework is that was there before this master.
//!
//! The registry knows agents, not frameworks: after a change of masters a framework's id belongs
//! to whom the agents say that run its tasks. A scheduler may come before them, as schedulers do;
//! until an agent has confirmed its principal it only claims the id. What agents bring from before
//! wins over a claim, and is handed to no other principal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{AgentId, FrameworkId};
use model::principal::Owner;
use wire::{internal, v1};

use super::collections::edit;
use super::counters::Counter;
use super::frameworks::{allocator_facts, update_message};
use super::message::Outbound;
use super::out::{Out, quoted};
use super::state::{Connection, Framework, Standing};
use super::timers::Timer;
use super::validate::framework as validate;
use super::{Engine, events};

fn principal(info: &v1::FrameworkInfo) -> &str {
    info.principal.as_deref().unwrap_or_default()
}

/// Whether `info` is how a scheduler described the framework that had no right to it.
fn is_usurped(framework: &Framework, info: &v1::FrameworkInfo) -> bool {
    match &framework.standing {
        Standing::Told { instead_of: Some(usurper) } => {
            usurper == principal(info) && principal(&framework.info) != usurper
        }
        Standing::Told { instead_of: None } | Standing::Granted | Standing::Claimed => false,
    }
}

impl Engine {
    /// Refuses an agent that states another principal for a framework than the one that it has for
    /// certain: what runs there is handed to neither, and goes on.
    pub(super) fn refuse_if_disputed(
        &mut self,
        agent_id: &AgentId,
        frameworks: &BTreeMap<FrameworkId, v1::FrameworkInfo>,
        out: &mut Out,
    ) -> Result<(), String> {
        let disputed = frameworks.iter().find_map(|(id, info)| {
            let known = self.state.frameworks.get(id)?;
            let certain = known.standing != Standing::Claimed;
            let differs = principal(&known.info) != principal(info) && !is_usurped(known, info);
            (certain && differs).then_some((id, info, known))
        });
        let Some((id, info, known)) = disputed else { return Ok(()) };
        let text = format!(
            "framework {id} is of principal {}, but agent {agent_id} states principal {}",
            quoted(principal(&known.info)),
            quoted(principal(info))
        );
        self.state.counters.count(Counter::FrameworkIdsClaimedByOthers);
        out.error(text.clone());
        Err(text)
    }

    /// Compares claims with what an agent states that comes back. If that is `from_before`, it
    /// cannot have the claimant's own word for it, and confirms the claim where it agrees.
    pub(super) fn judge_claims(
        &mut self,
        agent_id: &AgentId,
        frameworks: &BTreeMap<FrameworkId, v1::FrameworkInfo>,
        from_before: bool,
        out: &mut Out,
    ) {
        for (id, info) in frameworks {
            let Some(known) = self.state.frameworks.get(id) else { continue };
            if known.standing != Standing::Claimed {
                continue;
            }
            if principal(&known.info) != principal(info) {
                let known = Arc::clone(known);
                self.reject_claim(&known, agent_id, info, out);
            } else if from_before && let Some(framework) = edit(&mut self.state.frameworks, id) {
                framework.standing = Standing::Told { instead_of: None };
            }
        }
    }

    /// Of these frameworks those that the agent knows from a scheduler that had no right to them.
    pub(super) fn usurped_among(
        &self,
        frameworks: &BTreeMap<FrameworkId, v1::FrameworkInfo>,
    ) -> BTreeSet<FrameworkId> {
        frameworks
            .iter()
            .filter(|(id, info)| {
                self.state.frameworks.get(*id).is_some_and(|known| is_usurped(known, info))
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// An agent states that the framework is somebody else's: whoever claims it is sent away, what
    /// it has started is ended, and the framework waits for its own scheduler.
    fn reject_claim(
        &mut self,
        claimed: &Framework,
        agent_id: &AgentId,
        info: &v1::FrameworkInfo,
        out: &mut Out,
    ) {
        let Ok(checked) = validate::info(info) else { return };
        let id = &claimed.id;
        let usurper = principal(&claimed.info).to_owned();
        self.state.counters.count(Counter::FrameworkIdsClaimedByOthers);
        out.error(format!(
            "Framework {id} is of principal {}, as agent {agent_id} states, but {} has subscribed \
             as it, and is sent away",
            quoted(principal(info)),
            quoted(&usurper)
        ));
        match &claimed.connection {
            Connection::Connected(channel) => {
                let text = "The framework id belongs to another principal";
                self.tell(id, events::error(text), out);
                self.close_channel(channel, out);
            }
            Connection::Disconnected { deadline, .. } | Connection::Recovered { deadline } => {
                self.timers.cancel(*deadline, Timer::Failover(id.clone()));
            }
        }
        let now = out.now.monotonic;
        let off = allocator::Event::FrameworkSwitched { id: id.clone(), active: false };
        self.allocator.handle(off, now);
        self.discard_offers(id, out);
        self.discard_inverse_offers(id, out);
        self.questions.remove(id);
        for task in claimed.tasks.values() {
            self.send_kill(&task.agent_id, (id, &task.id), None, out);
        }
        for (agent_id, executor_id) in claimed.executors.keys() {
            let Some(agent) = self.state.agents.get(agent_id) else { continue };
            let message = internal::ShutdownExecutorMessage {
                executor_id: Some(v1::ExecutorId { value: executor_id.to_string() }),
                framework_id: Some(v1::FrameworkId { value: id.to_string() }),
            };
            out.send(&agent.peer, Outbound::ShutdownExecutor(message));
        }
        let deadline = self.recovered_until(checked.failover_timeout, now);
        self.watch_principal(info.principal.as_deref());
        if let Some(framework) = edit(&mut self.state.frameworks, id) {
            framework.info = Arc::new(info.clone());
            framework.roles = checked.roles;
            framework.capabilities = checked.capabilities;
            framework.suppressed_roles = BTreeSet::new();
            framework.offer_constraints = None;
            framework.constraints = None;
            framework.owner = Owner::default();
            framework.standing = Standing::Told { instead_of: Some(usurper) };
            framework.connection = Connection::Recovered { deadline };
            framework.active = false;
        }
        self.unwatch_principal(claimed.info.principal.as_deref());
        self.timers.set(deadline, Timer::Failover(id.clone()));
        if let Some(framework) = self.state.frameworks.get(id).cloned() {
            let facts = allocator_facts(&framework);
            let event = allocator::Event::FrameworkUpdated { id: id.clone(), facts };
            self.allocator.handle(event, now);
            self.tell_agents(Outbound::UpdateFramework(update_message(&framework)), out);
            self.announce_framework(id, true);
        }
    }
}
