//! The answers to the read-only v1 calls, as messages.

use std::sync::Arc;

use wire::v1;
use wire::v1::master::Response;
use wire::v1::master::response::{
    GetAgents, GetExecutors, GetFrameworks, GetMaster, GetRoles, GetState, GetTasks, Type as Kind,
    get_agents, get_executors, get_frameworks,
};

use super::View;
use super::assembled::Large;
use super::state::time_info;
use crate::engine::state::{Agent, Executor, Framework, Task};
use endpoints::resources::shown;

/// One executor of GET_EXECUTORS.
pub(super) fn executor_message(executor: &Executor) -> get_executors::Executor {
    get_executors::Executor {
        executor_info: executor.info.clone(),
        agent_id: v1::AgentId { value: executor.agent_id.as_str().to_owned() },
    }
}

impl View<'_> {
    /// The answer to a large call as a message.
    #[must_use]
    pub fn large_message(&self, what: Large) -> Response {
        let mut response = Response { r#type: Some(what.kind() as i32), ..Response::default() };
        match what {
            Large::Agents => response.get_agents = Some(self.get_agents()),
            Large::Executors => response.get_executors = Some(self.get_executors()),
            Large::Frameworks => response.get_frameworks = Some(self.get_frameworks()),
            Large::State => response.get_state = Some(self.get_state()),
            Large::Tasks => response.get_tasks = Some(self.get_tasks()),
        }
        response
    }

    /// GET_STATE, and what SUBSCRIBED begins with.
    #[must_use]
    pub fn get_state(&self) -> GetState {
        GetState {
            get_tasks: Some(self.get_tasks()),
            get_executors: Some(self.get_executors()),
            get_frameworks: Some(self.get_frameworks()),
            get_agents: Some(self.get_agents()),
        }
    }

    /// GET_AGENTS
    #[must_use]
    pub fn get_agents(&self) -> GetAgents {
        GetAgents {
            agents: self.snapshot.agents.values().map(|agent| self.agent_message(agent)).collect(),
            recovered_agents: self
                .snapshot
                .recovered_agents
                .values()
                .map(|agent| (*agent.info).clone())
                .collect(),
        }
    }

    /// One agent of GET_AGENTS.
    #[must_use]
    pub fn agent_message(&self, agent: &Agent) -> get_agents::Agent {
        let seen = |resources| shown(&self.visible(resources));
        get_agents::Agent {
            agent_info: (*agent.info).clone(),
            active: agent.active,
            deactivated: Some(agent.is_deactivated()),
            version: agent.version.clone(),
            pid: Some(agent.peer.pid.to_string()),
            registered_time: Some(time_info(agent.registered)),
            reregistered_time: agent.reregistered.map(time_info),
            total_resources: seen(&agent.total),
            allocated_resources: seen(&agent.used_by_all()),
            offered_resources: seen(&agent.offered),
            capabilities: agent
                .capabilities
                .iter()
                .map(|c| v1::agent_info::Capability { r#type: Some(*c as i32) })
                .collect(),
            resource_providers: agent
                .providers
                .values()
                .map(|provider| get_agents::agent::ResourceProvider {
                    resource_provider_info: provider.info.clone(),
                    total_resources: seen(&provider.total),
                })
                .collect(),
            drain_info: agent.orders.drain,
            estimated_drain_start_time: agent.estimated_drain_start.map(time_info),
        }
    }

    /// GET_FRAMEWORKS
    #[must_use]
    #[expect(deprecated, reason = "the message has a field that is never filled")]
    pub fn get_frameworks(&self) -> GetFrameworks {
        GetFrameworks {
            frameworks: self.frameworks().map(|f| self.framework_message(f)).collect(),
            completed_frameworks: self
                .completed_frameworks()
                .map(|f| self.framework_message(f))
                .collect(),
            recovered_frameworks: Vec::new(),
        }
    }

    /// One framework of GET_FRAMEWORKS.
    #[must_use]
    pub fn framework_message(&self, framework: &Framework) -> get_frameworks::Framework {
        let seen = |resources| shown(&self.visible(resources));
        let offers = framework.offers.iter().filter_map(|id| self.snapshot.offers.get(id));
        get_frameworks::Framework {
            framework_info: (*framework.info).clone(),
            active: framework.active,
            connected: framework.is_connected(),
            recovered: framework.is_recovered(),
            registered_time: Some(time_info(framework.registered)),
            reregistered_time: Some(time_info(framework.reregistered)),
            unregistered_time: framework.unregistered.map(time_info),
            offers: offers
                .filter_map(|offer| {
                    let agent = self.snapshot.agents.get(&offer.agent_id)?;
                    Some(offer.message(agent, seen(&offer.resources)))
                })
                .collect(),
            inverse_offers: framework
                .inverse_offers
                .iter()
                .filter_map(|id| self.snapshot.inverse_offers.get(id))
                .filter_map(|offer| {
                    let agent = self.snapshot.agents.get(&offer.agent_id)?;
                    Some(offer.message(agent))
                })
                .collect(),
            allocated_resources: seen(&framework.used_on_all()),
            offered_resources: seen(&self.snapshot.offered_to(framework)),
            offer_constraints: Some(
                framework.offer_constraints.as_deref().cloned().unwrap_or_default(),
            ),
        }
    }

    /// GET_EXECUTORS
    #[must_use]
    #[expect(deprecated, reason = "the message has a field that is never filled")]
    pub fn get_executors(&self) -> GetExecutors {
        let executors = self.frameworks().flat_map(|framework| {
            framework
                .executors
                .values()
                .filter(|e| self.sight.executor(&framework.info, &e.info))
                .map(|executor| executor_message(executor))
        });
        GetExecutors { executors: executors.collect(), orphan_executors: Vec::new() }
    }

    /// GET_TASKS
    #[must_use]
    #[expect(deprecated, reason = "the message has fields that are never filled")]
    pub fn get_tasks(&self) -> GetTasks {
        let mut all = GetTasks {
            pending_tasks: Vec::new(),
            tasks: Vec::new(),
            unreachable_tasks: Vec::new(),
            completed_tasks: Vec::new(),
            orphan_tasks: Vec::new(),
        };
        for framework in self.frameworks().chain(self.completed_frameworks()) {
            let seen = |task: &&Arc<Task>| self.sight.task(&framework.info, task);
            let info = |task: &Arc<Task>| task.info();
            all.tasks.extend(framework.tasks.values().filter(seen).map(info));
            let unreachable = framework.unreachable_tasks.iter().filter(seen).map(info);
            all.unreachable_tasks.extend(unreachable);
            let completed = framework.completed_tasks.iter().filter(seen).map(info);
            all.completed_tasks.extend(completed);
        }
        all
    }

    /// GET_ROLES
    #[must_use]
    pub fn get_roles(&self) -> Response {
        let get_roles = Some(GetRoles { roles: self.role_messages() });
        let mut response = Response { get_roles, ..Response::default() };
        response.set_type(Kind::GetRoles);
        response
    }

    /// GET_MASTER
    #[must_use]
    pub fn get_master(&self) -> GetMaster {
        GetMaster {
            master_info: Some((*self.snapshot.master).clone()),
            start_time: Some(self.snapshot.started.as_secs_f64()),
            elected_time: Some(self.snapshot.elected.as_secs_f64()),
        }
    }
}
