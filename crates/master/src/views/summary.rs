//! `/state-summary`: agents and frameworks with counts of tasks instead of tasks.

use std::collections::HashMap;
use std::sync::Arc;

use endpoints::rope::{Rope, Weaver};
use model::id::AgentId;
use wire::json::Object;
use wire::v1::TaskState;

use super::View;
use super::weave::{List, begin_object};
use crate::engine::state::{Agent, Framework};
use endpoints::resources::bytes_of;

/// How many tasks are in which state. Only these states are printed; each is, even at zero.
#[derive(Clone, Copy, Default)]
struct Counts([i64; STATES.len()]);

const STATES: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

impl Counts {
    fn count(&mut self, state: TaskState) {
        if let Some(at) = STATES.iter().position(|s| *s == state) {
            self.0[at] += 1;
        }
    }

    fn print(&self, o: &mut Object<'_>) {
        for (state, count) in STATES.iter().zip(self.0) {
            o.field(state.as_str_name(), count);
        }
    }
}

/// Counts of tasks for each pair of a framework that has not ended and an agent that have any, by
/// their places in the lists of both.
#[derive(Default)]
struct Summary {
    by_agent: Vec<Counts>,
    by_framework: Vec<Counts>,
    pairs: Vec<(u32, u32)>,
}

impl View<'_> {
    fn summarize(&self, agents: &HashMap<&AgentId, u32>) -> Summary {
        let mut summary =
            Summary { by_agent: vec![Counts::default(); agents.len()], ..Summary::default() };
        for (n, framework) in self.frameworks().enumerate() {
            let mut counts = Counts::default();
            let from = summary.pairs.len();
            let all = framework
                .tasks
                .values()
                .chain(framework.unreachable_tasks.iter())
                .chain(framework.completed_tasks.iter());
            for task in all.filter(|task| self.sight.task(&framework.info, task)) {
                counts.count(task.state());
                if let Some(agent) = agents.get(&task.agent_id) {
                    summary.by_agent[*agent as usize].count(task.state());
                    summary.pairs.push((n as u32, *agent));
                }
            }
            summary.pairs[from..].sort_unstable();
            let mut kept = from;
            for at in from..summary.pairs.len() {
                if kept == from || summary.pairs[kept - 1] != summary.pairs[at] {
                    summary.pairs[kept] = summary.pairs[at];
                    kept += 1;
                }
            }
            summary.pairs.truncate(kept);
            summary.by_framework.push(counts);
        }
        summary
    }

    /// `/state-summary`
    #[must_use]
    pub fn state_summary(&self) -> Rope {
        let agents: Vec<&Arc<Agent>> = self.snapshot.agents.values().collect();
        let places = agents.iter().zip(0..).map(|(agent, at)| (&agent.id, at)).collect();
        let summary = self.summarize(&places);
        let frameworks: Vec<&Arc<Framework>> = self.frameworks().collect();
        let mut agents_of: Vec<Vec<&str>> = vec![Vec::new(); frameworks.len()];
        let mut frameworks_of: Vec<Vec<&str>> = vec![Vec::new(); agents.len()];
        for (framework, agent) in &summary.pairs {
            let (framework, agent) = (*framework as usize, *agent as usize);
            agents_of[framework].push(agents[agent].id.as_str());
            frameworks_of[agent].push(frameworks[framework].id.as_str());
        }
        let mut out = Weaver::default();
        begin_object(
            &mut out,
            &bytes_of(|o| {
                o.field("hostname", self.snapshot.master.hostname());
                o.optional("cluster", self.program.cluster.as_ref());
            }),
        );
        out.text(b",\"slaves\":");
        let mut list = List::new(&mut out);
        for (at, agent) in agents.iter().enumerate() {
            let mut all = self.agent(agent).to_vec();
            let more = bytes_of(|o| {
                summary.by_agent[at].print(o);
                frameworks_of[at].sort_unstable();
                o.field("framework_ids", &frameworks_of[at]);
            });
            all.pop();
            all.push(b',');
            all.extend_from_slice(&more[1..]);
            list.element(&all);
        }
        list.end();
        out.text(b",\"frameworks\":");
        let mut list = List::new(&mut out);
        for (at, framework) in frameworks.iter().enumerate() {
            list.element(&bytes_of(|o| {
                self.framework_summary(o, framework);
                summary.by_framework[at].print(o);
                o.field("slave_ids", &agents_of[at]);
            }));
        }
        list.end();
        out.text(b"}");
        out.finish()
    }
}
