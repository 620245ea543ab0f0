//! Agents, frameworks, tasks, executors and offers as the old endpoints print them. Keys come in
//! the original's order.

use std::sync::Arc;

use bytes::Bytes;
use endpoints::rope::{Rope, Weaver};
use model::resources::{Resource, Resources};
use model::role::Role;
use model::time::Timestamp;
use wire::json::{self, Object, Style};
use wire::v1;

use super::View;
use super::runs::run_of;
use super::weave::{
    List, agent as slots, begin_object, framework as framework_slots, more_members, run,
};
use crate::engine::collections::Shelf;
use crate::engine::state::{Agent, Executor, Framework, Offer, RecoveredAgent, Task};
use endpoints::resources::{attributes, bytes_of, object_of, shown};

/// Labels as an array of `{"key":…,"value":…}`.
fn labels(out: &mut Object<'_>, labels: Option<&v1::Labels>) {
    if let Some(labels) = labels {
        out.array("labels", |a| {
            for label in &labels.labels {
                a.push(json::message(label, Style::V0));
            }
        });
    }
}

/// A moment; 0 stands for "never".
fn seconds(moment: Timestamp) -> f64 {
    moment.as_secs_f64()
}

fn description(o: &mut Object<'_>, info: &v1::AgentInfo) {
    o.optional("id", info.id.as_ref().map(|id| &id.value));
    o.field("hostname", &info.hostname);
    o.field("port", info.port());
    attributes(o, "attributes", &info.attributes);
    o.optional("domain", info.domain.as_ref().map(|d| json::message(d, Style::V0)));
}

/// The reservations of an agent by role, in the order of the roles' names.
fn reserved_roles(total: &Resources) -> Vec<Role> {
    let mut roles: Vec<Role> = total.iter().filter_map(Resource::reserved_to).cloned().collect();
    roles.sort();
    roles.dedup();
    roles
}

impl View<'_> {
    /// The members of an agent that `/state`, `/slaves` and `/state-summary` share, without the
    /// braces around them.
    fn agent_members(&self, o: &mut Object<'_>, agent: &Agent) {
        description(o, &agent.info);
        o.field("pid", agent.peer.pid.to_string());
        o.field("registered_time", seconds(agent.registered));
        o.optional("reregistered_time", agent.reregistered.map(seconds));
        let total = self.visible(&agent.total);
        object_of(o, "resources", &total);
        object_of(o, "used_resources", &self.visible(&agent.used_by_all()));
        object_of(o, "offered_resources", &self.visible(&agent.offered));
        o.object("reserved_resources", |o| {
            for role in reserved_roles(&total) {
                object_of(o, role.as_str(), &total.filter(|r| r.reserved_to() == Some(&role)));
            }
        });
        object_of(o, "unreserved_resources", &total.filter(Resource::is_unreserved));
        o.field("active", agent.active);
        o.field("deactivated", agent.is_deactivated());
        o.field("version", &agent.version);
        o.array("capabilities", |a| {
            for capability in &agent.capabilities {
                a.push(capability.as_str_name());
            }
        });
        let drain = agent.orders.drain.as_ref();
        o.optional("drain_info", drain.map(|d| json::message(d, Style::V0)));
        let start = agent.estimated_drain_start.map(seconds);
        o.optional("estimated_drain_start_time_seconds", start);
    }

    /// What the caller may see of `resources`: what is reserved or allocated to no hidden role.
    pub(super) fn visible(&self, resources: &Resources) -> Resources {
        if self.sight.everything() {
            return resources.clone();
        }
        resources.filter(|r| {
            let seen = |role: Option<&Role>| role.is_none_or(|role| self.sight.role(role.as_str()));
            seen(r.reserved_to()) && seen(r.allocation.as_ref())
        })
    }

    /// An agent with its braces, rendered once for those who see everything.
    pub(super) fn agent(&self, agent: &Agent) -> Arc<Bytes> {
        let render = || bytes_of(|o| self.agent_members(o, agent)).into();
        self.agent_kept(agent, slots::V0, render)
    }

    /// The same with its resources in full.
    pub(super) fn agent_in_full(&self, agent: &Agent) -> Arc<Bytes> {
        self.agent_kept(agent, slots::V0_FULL, || {
            bytes_of(|o| {
                self.agent_members(o, agent);
                self.agent_full(o, agent);
            })
            .into()
        })
    }

    fn agent_kept(&self, agent: &Agent, slot: usize, render: impl Fn() -> Bytes) -> Arc<Bytes> {
        if self.sight.everything() { agent.cells.get_or(slot, render) } else { Arc::new(render()) }
    }

    /// The members that only `/slaves` adds: resources in full.
    fn agent_full(&self, o: &mut Object<'_>, agent: &Agent) {
        let list = |o: &mut Object<'_>, key: &str, resources: &Resources| {
            o.array(key, |a| {
                for resource in &shown(resources) {
                    a.push(json::message(resource, Style::V0));
                }
            });
        };
        let total = self.visible(&agent.total);
        o.object("reserved_resources_full", |o| {
            for role in reserved_roles(&total) {
                list(o, role.as_str(), &total.filter(|r| r.reserved_to() == Some(&role)));
            }
        });
        list(o, "unreserved_resources_full", &total.filter(Resource::is_unreserved));
        list(o, "used_resources_full", &self.visible(&agent.used_by_all()));
        list(o, "offered_resources_full", &self.visible(&agent.offered));
    }

    /// A framework as in `/state` and `/frameworks`, rendered once for those who see everything.
    pub(super) fn framework(&self, framework: &Framework) -> Arc<Rope> {
        if self.sight.everything() {
            framework.cells.get_or(framework_slots::V0, || self.framework_rope(framework))
        } else {
            Arc::new(self.framework_rope(framework))
        }
    }

    fn framework_rope(&self, framework: &Framework) -> Rope {
        let mut out = Weaver::default();
        begin_object(&mut out, &bytes_of(|o| self.framework_head(o, framework)));
        let info = &*framework.info;
        out.text(b",\"tasks\":");
        self.task_list(&mut out, info, &framework.tasks);
        out.text(b",\"unreachable_tasks\":");
        self.task_list(&mut out, info, framework.unreachable_tasks.shelf());
        out.text(b",\"completed_tasks\":");
        self.task_list(&mut out, info, framework.completed_tasks.shelf());
        more_members(&mut out, &bytes_of(|o| self.framework_tail(o, framework)));
        out.finish()
    }

    fn framework_head(&self, o: &mut Object<'_>, framework: &Framework) {
        let info = &*framework.info;
        self.framework_summary(o, framework);
        o.field("user", &info.user);
        o.field("failover_timeout", info.failover_timeout());
        o.field("checkpoint", info.checkpoint());
        o.field("registered_time", seconds(framework.registered));
        o.field("unregistered_time", framework.unregistered.map_or(0.0, seconds));
        o.optional("principal", info.principal.as_ref());
        let used = framework.used_on_all();
        let offered = self.snapshot.offered_to(framework);
        object_of(o, "resources", &self.visible(&used.plus(&offered)));
        if framework.reregistered != framework.registered {
            o.field("reregistered_time", seconds(framework.reregistered));
        }
        if framework.capabilities.multi_role {
            o.array("roles", |a| {
                for role in &info.roles {
                    a.push(role);
                }
            });
        } else {
            o.field("role", info.role());
        }
    }

    fn framework_tail(&self, o: &mut Object<'_>, framework: &Framework) {
        let info = &*framework.info;
        o.array("offers", |a| {
            for offer in framework.offers.iter().filter_map(|id| self.snapshot.offers.get(id)) {
                a.object(|o| self.offer(o, offer));
            }
        });
        o.array("executors", |a| {
            let seen = |e: &&Arc<Executor>| self.sight.executor(info, &e.info);
            for executor in framework.executors.values().filter(seen) {
                a.object(|o| executor_members(o, executor));
            }
        });
        labels(o, info.labels.as_ref());
        match &framework.offer_constraints {
            Some(constraints) => {
                o.field("offer_constraints", json::message(&**constraints, Style::V0));
            }
            None => {
                o.object("offer_constraints", |_| {});
            }
        }
    }

    fn task_list<K>(
        &self,
        out: &mut Weaver,
        framework: &v1::FrameworkInfo,
        tasks: &Shelf<K, Arc<Task>>,
    ) {
        let mut list = List::new(out);
        for leaf in tasks.leaves() {
            if self.sight.everything() {
                list.run(&run_of(&leaf, run::V0, |task, text| {
                    text.push(b',');
                    text.extend(task_json(task));
                }));
            } else {
                let all = leaf.entries.iter().map(|(_, task)| task);
                for task in all.filter(|task| self.sight.task(framework, task)) {
                    list.element(&task_json(task));
                }
            }
        }
        list.end();
    }

    /// The members of a framework that `/state-summary` has too.
    pub(super) fn framework_summary(&self, o: &mut Object<'_>, framework: &Framework) {
        let info = &*framework.info;
        o.field("id", framework.id.as_str());
        o.field("name", &info.name);
        if let Some(pid) = framework.pid() {
            o.field("pid", pid.to_string());
        }
        object_of(o, "used_resources", &self.visible(&framework.used_on_all()));
        let offered = self.snapshot.offered_to(framework);
        object_of(o, "offered_resources", &self.visible(&offered));
        o.array("capabilities", |a| {
            for capability in &info.capabilities {
                a.push(capability.r#type().as_str_name());
            }
        });
        o.field("hostname", info.hostname());
        o.field("webui_url", info.webui_url());
        o.field("active", framework.active);
        o.field("connected", framework.is_connected());
        o.field("recovered", framework.is_recovered());
    }

    fn offer(&self, o: &mut Object<'_>, offer: &Offer) {
        o.field("id", offer.id.as_str());
        o.field("framework_id", offer.framework_id.as_str());
        o.object("allocation_info", |o| {
            o.field("role", offer.role.as_str());
        });
        o.field("slave_id", offer.agent_id.as_str());
        object_of(o, "resources", &self.visible(&offer.resources));
    }
}

/// An agent that the registry knows and that has not come back.
pub(super) fn recovered_agent(o: &mut Object<'_>, agent: &RecoveredAgent) {
    description(o, &agent.info);
}

/// A task as the old endpoints print it.
pub(super) fn task_json(task: &Task) -> Vec<u8> {
    bytes_of(|o| task_members(o, task))
}

fn task_members(o: &mut Object<'_>, task: &Task) {
    let info = &task.info();
    o.field("id", &info.task_id.value);
    o.field("name", &info.name);
    o.field("framework_id", &info.framework_id.value);
    o.field("executor_id", info.executor_id.as_ref().map_or("", |id| id.value.as_str()));
    o.field("slave_id", &info.agent_id.value);
    o.field("state", info.state().as_str_name());
    object_of(o, "resources", &task.resources);
    if !info.limits.is_empty() {
        o.object("limits", |o| {
            for (name, limit) in &info.limits {
                o.field(name, limit.value);
            }
        });
    }
    let role = task.resources.iter().find_map(|r| r.allocation.as_ref());
    o.optional("role", role.map(Role::as_str));
    o.array("statuses", |a| {
        for status in &info.statuses {
            a.object(|o| status_members(o, status));
        }
    });
    o.optional("user", info.user.as_ref());
    labels(o, info.labels.as_ref());
    o.optional("discovery", info.discovery.as_ref().map(|m| json::message(m, Style::V0)));
    o.optional("container", info.container.as_ref().map(|m| json::message(m, Style::V0)));
    o.optional("health_check", info.health_check.as_ref().map(|m| json::message(m, Style::V0)));
}

fn status_members(o: &mut Object<'_>, status: &v1::TaskStatus) {
    o.field("state", status.state().as_str_name());
    o.field("timestamp", status.timestamp());
    labels(o, status.labels.as_ref());
    if let Some(container) = &status.container_status {
        // The old endpoints do not know the executor's pid.
        let shown = v1::ContainerStatus { executor_pid: None, ..container.clone() };
        o.field("container_status", json::message(&shown, Style::V0));
    }
    o.optional("healthy", status.healthy);
}

fn executor_members(o: &mut Object<'_>, executor: &Executor) {
    let info = &executor.info;
    o.field("executor_id", executor.id.as_str());
    o.field("name", info.name());
    o.field("framework_id", executor.framework_id.as_str());
    o.object("command", |o| {
        if let Some(command) = &info.command {
            command_members(o, command);
        }
    });
    object_of(o, "resources", &executor.resources);
    let role = executor.resources.iter().find_map(|r| r.allocation.as_ref());
    o.optional("role", role.map(Role::as_str));
    labels(o, info.labels.as_ref());
    o.optional("type", info.r#type.map(|_| info.r#type().as_str_name()));
    o.field("slave_id", executor.agent_id.as_str());
}

fn command_members(o: &mut Object<'_>, command: &v1::CommandInfo) {
    o.optional("shell", command.shell);
    o.optional("value", command.value.as_ref());
    o.array("argv", |a| {
        for argument in &command.arguments {
            a.push(argument);
        }
    });
    let environment = command.environment.as_ref();
    o.optional("environment", environment.map(|e| json::message(e, Style::V0)));
    o.array("uris", |a| {
        for uri in &command.uris {
            a.object(|o| {
                o.field("value", &uri.value);
                o.field("executable", uri.executable());
            });
        }
    });
}
