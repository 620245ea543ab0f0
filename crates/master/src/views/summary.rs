//! `/state-summary`: agents and frameworks with counts of tasks instead of tasks.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{AgentId, FrameworkId};
use wire::json::Object;
use wire::v1::TaskState;

use super::View;
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

#[derive(Default)]
struct Summary<'s> {
    by_agent: BTreeMap<&'s str, Counts>,
    by_framework: BTreeMap<&'s str, Counts>,
    frameworks_of: BTreeMap<&'s str, BTreeSet<&'s str>>,
    agents_of: BTreeMap<&'s str, BTreeSet<&'s str>>,
}

impl<'s> Summary<'s> {
    fn task(&mut self, framework: &'s FrameworkId, agent: &'s AgentId, state: TaskState) {
        let (framework, agent) = (framework.as_str(), agent.as_str());
        self.by_agent.entry(agent).or_default().count(state);
        self.by_framework.entry(framework).or_default().count(state);
        self.frameworks_of.entry(agent).or_default().insert(framework);
        self.agents_of.entry(framework).or_default().insert(agent);
    }
}

impl View<'_> {
    /// `/state-summary`
    #[must_use]
    pub fn state_summary(&self) -> Vec<u8> {
        let mut summary = Summary::default();
        for framework in self.frameworks().chain(self.completed_frameworks()) {
            let all = framework
                .tasks
                .values()
                .chain(framework.unreachable_tasks.iter())
                .chain(framework.completed_tasks.iter());
            for task in all.filter(|t| self.sight.task(&framework.info, &t.info)) {
                summary.task(&task.framework_id, &task.agent_id, task.state());
            }
        }
        let none = BTreeSet::new();
        bytes_of(|o| {
            o.field("hostname", self.snapshot.master.hostname());
            o.optional("cluster", self.program.cluster.as_ref());
            o.array("slaves", |a| {
                for agent in self.snapshot.agents.values() {
                    let id = agent.id.as_str();
                    self.agent(a, agent, |o| {
                        summary.by_agent.get(id).copied().unwrap_or_default().print(o);
                        let frameworks = summary.frameworks_of.get(id).unwrap_or(&none);
                        o.array("framework_ids", |a| {
                            for framework in frameworks {
                                a.push(framework);
                            }
                        });
                    });
                }
            });
            o.array("frameworks", |a| {
                for framework in self.frameworks() {
                    let id = framework.id.as_str();
                    a.object(|o| {
                        self.framework_summary(o, framework);
                        summary.by_framework.get(id).copied().unwrap_or_default().print(o);
                        let agents = summary.agents_of.get(id).unwrap_or(&none);
                        o.array("slave_ids", |a| {
                            for agent in agents {
                                a.push(agent);
                            }
                        });
                    });
                }
            });
        })
    }
}
