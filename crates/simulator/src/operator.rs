//! An operator: asks for changes and remembers what was promised. What was answered with yes must
//! be on record then, and stay there.

use std::collections::BTreeMap;
use std::time::Duration;

use master::engine::command::OperatorCommand;
use model::id::AgentId;
use model::principal::Principal;
use registry::Standing;

use crate::core::{Core, Happening};
use crate::names::{Host, Node};
use crate::net::{Lane, Parcel};

const ME: Node = Node { host: Host::Operator, run: 1 };

/// What the door gives to an operator.
#[expect(clippy::expect_used, reason = "the door permits everything to whom it has let in")]
fn permit<A: authz::Action>(objects: impl IntoIterator<Item = A::Object>) -> authz::Permit<A> {
    let subject = authz::Subject::new(Some(Principal::named("o")));
    authz::Authorizer::door().permit(&subject, objects).expect("a permit")
}

fn mark_gone(agent_id: AgentId) -> OperatorCommand {
    OperatorCommand::MarkAgentGone { permit: permit([()]), agent_id }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    asked: BTreeMap<u64, OperatorCommand>,
    next: u64,
}

impl Operator {
    pub(crate) fn acts(&mut self, core: &mut Core) {
        if !core.turmoil {
            return;
        }
        let agents: Vec<AgentId> = core.ledger.admitted.iter().cloned().collect();
        if core.dice.percent(25)
            && let Some(agent) = core.dice.one_of(&agents)
        {
            self.ask(mark_gone(agent), core);
        }
        let wait = core.dice.between(Duration::from_secs(10), Duration::from_secs(90));
        core.after(wait, Happening::Operator);
    }

    pub(crate) fn gives_up(&mut self, agent: AgentId, core: &mut Core) {
        self.ask(mark_gone(agent), core);
    }

    fn ask(&mut self, command: OperatorCommand, core: &mut Core) {
        let leader = core.leader.clone();
        let Some(to) = leader.and_then(|leader| core.net.listeners.get(&leader.address).copied())
        else {
            return;
        };
        self.next += 1;
        core.trace(ME, || format!("wants {command:?}"));
        self.asked.insert(self.next, command.clone());
        let pipe = core.pipe(ME, to, Lane::Requests);
        core.send(pipe, Parcel::Command { number: self.next, command: Box::new(command) });
    }

    pub(crate) fn receive(&mut self, parcel: Parcel, core: &mut Core) {
        let Parcel::Answer { number, answer } = parcel else { return };
        let Some(command) = self.asked.remove(&number) else { return };
        if answer.is_err() {
            return;
        }
        core.ledger.count("operators' commands done");
        if let OperatorCommand::MarkAgentGone { agent_id, .. } = command {
            core.ledger.gone.insert(agent_id);
        }
    }
}

/// Whether all that was promised is on record.
pub(crate) fn check_promises(contents: &registry::Contents, core: &mut Core) {
    for id in &core.ledger.gone {
        let gone = contents
            .agents
            .get(id)
            .is_some_and(|record| matches!(record.standing, Standing::Gone { .. }));
        if !gone {
            let what = format!("{id} was marked gone, which is not on record");
            core.ledger.violations.push(what);
            return;
        }
    }
    for id in &core.ledger.admitted {
        if !contents.agents.contains_key(id) {
            let what = format!("{id} was told that it is registered, which is not on record");
            core.ledger.violations.push(what);
            return;
        }
    }
}
