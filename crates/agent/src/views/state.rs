//! `/state`. Keys come in the original's order.

use endpoints::resources::{attributes, bytes_of, object_of};
use model::resources::{Resource, Resources};
use model::role::Role;
use wire::json::{self, Object, Style};
use wire::resources::Form;
use wire::v1;

use super::{View, counted, role_of};
use crate::engine::state::{Executor, Framework};

impl View<'_> {
    /// `/state`
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let snapshot = self.snapshot;
        let info = &snapshot.info;
        bytes_of(|o| {
            self.build(o);
            o.field("start_time", self.started.as_secs_f64());
            o.field("id", info.id.as_ref().map_or("", |id| id.value.as_str()));
            o.field("pid", snapshot.pid.to_string());
            o.field("hostname", &info.hostname);
            o.array("capabilities", |a| {
                for capability in crate::engine::capabilities() {
                    a.push(capability.r#type().as_str_name());
                }
            });
            o.optional("domain", info.domain.as_ref().map(|d| json::message(d, Style::V0)));
            let drain = snapshot.state.drain.as_ref();
            o.optional("drain_config", drain.map(|d| json::message(&d.config, Style::V0)));
            o.optional(
                "estimated_drain_start_time_seconds",
                drain.map(|drain| drain.since.as_secs_f64()),
            );
            self.resources(o);
            o.array("resource_providers", |_| {});
            attributes(o, "attributes", &info.attributes);
            let master = snapshot.state.master.as_ref();
            o.optional("master_hostname", master.map(|pid| pid.address.ip().to_string()));
            o.optional("log_dir", self.program.log_dir.as_ref());
            o.optional("external_log_file", self.program.external_log_file.as_ref());
            o.field("flags", &self.program.flags);
            o.array("frameworks", |a| {
                for f in snapshot.state.frameworks.values() {
                    a.object(|o| framework(o, f));
                }
            });
            o.array("completed_frameworks", |a| {
                for f in &snapshot.state.completed_frameworks {
                    a.object(|o| framework(o, f));
                }
            });
        })
    }

    fn build(&self, o: &mut Object<'_>) {
        let build = &self.program.build;
        o.field("version", &build.version);
        o.optional("git_sha", build.git_sha.as_ref());
        o.optional("git_branch", build.git_branch.as_ref());
        o.optional("git_tag", build.git_tag.as_ref());
        o.field("build_date", &build.date);
        o.field("build_time", build.time);
        o.field("build_user", &build.user);
    }

    fn resources(&self, o: &mut Object<'_>) {
        let total = &self.snapshot.total;
        let allocated = self.snapshot.allocated();
        object_of(o, "resources", total);
        let mut roles: Vec<Role> =
            total.iter().filter_map(Resource::reserved_to).cloned().collect();
        roles.sort();
        roles.dedup();
        let by_role = |o: &mut Object<'_>, key: &str, all: &Resources| {
            o.object(key, |o| {
                for role in &roles {
                    let reserved = all.filter(|r| r.reserved_to() == Some(role));
                    if !reserved.is_empty() {
                        object_of(o, role.as_str(), &reserved);
                    }
                }
            });
        };
        by_role(o, "reserved_resources", total);
        object_of(o, "unreserved_resources", &total.filter(Resource::is_unreserved));
        o.object("reserved_resources_full", |o| {
            for role in &roles {
                full(o, role.as_str(), &total.filter(|r| r.reserved_to() == Some(role)));
            }
        });
        full(o, "unreserved_resources_full", &total.filter(Resource::is_unreserved));
        by_role(o, "reserved_resources_allocated", &allocated);
        let unreserved = allocated.filter(Resource::is_unreserved);
        object_of(o, "unreserved_resources_allocated", &unreserved);
    }
}

fn full(o: &mut Object<'_>, key: &str, resources: &Resources) {
    o.array(key, |a| {
        for resource in &wire::resources::write(resources, Form::Endpoint) {
            a.push(json::message(resource, Style::V0));
        }
    });
}

fn framework(o: &mut Object<'_>, framework: &Framework) {
    use v1::framework_info::capability::Type;
    let info = &framework.info;
    o.field("id", framework.id.as_str());
    o.field("name", &info.name);
    o.field("user", &info.user);
    o.field("failover_timeout", info.failover_timeout());
    o.field("checkpoint", info.checkpoint());
    o.field("hostname", info.hostname());
    o.optional("principal", info.principal.as_ref());
    if info.capabilities.iter().any(|c| c.r#type() == Type::MultiRole) {
        o.field("roles", &info.roles);
    } else {
        o.field("role", info.role());
    }
    o.array("executors", |a| {
        for e in framework.executors.values() {
            a.object(|o| executor(o, e));
        }
    });
    o.array("completed_executors", |a| {
        for e in &framework.completed_executors {
            a.object(|o| executor(o, e));
        }
    });
}

fn executor(o: &mut Object<'_>, executor: &Executor) {
    let info = &executor.info;
    o.field("id", executor.id.as_str());
    o.field("name", info.name());
    o.field("source", info.source());
    o.field("container", executor.container.as_str());
    o.field("directory", executor.sandbox.display().to_string());
    let allocated = counted(&executor.allocated());
    object_of(o, "resources", &allocated);
    o.optional("role", role_of(&allocated).as_ref().map(Role::as_str));
    labels(o, info.labels.as_ref());
    o.optional("type", info.r#type.map(|_| info.r#type().as_str_name()));
    o.array("tasks", |a| {
        for t in executor.launched.values() {
            a.object(|o| task(o, t));
        }
    });
    o.array("queued_tasks", |a| {
        for t in &executor.queued {
            a.object(|o| queued_task(o, t));
        }
    });
    o.array("completed_tasks", |a| {
        for t in executor.completed.iter().chain(executor.terminated.values()) {
            a.object(|o| task(o, t));
        }
    });
}

fn labels(o: &mut Object<'_>, labels: Option<&v1::Labels>) {
    if let Some(labels) = labels {
        o.array("labels", |a| {
            for label in &labels.labels {
                a.push(json::message(label, Style::V0));
            }
        });
    }
}

fn task(o: &mut Object<'_>, task: &v1::Task) {
    o.field("id", &task.task_id.value);
    o.field("name", &task.name);
    o.field("framework_id", &task.framework_id.value);
    o.field("executor_id", task.executor_id.as_ref().map_or("", |id| id.value.as_str()));
    o.field("slave_id", &task.agent_id.value);
    o.field("state", task.state().as_str_name());
    let resources = counted(&task.resources);
    object_of(o, "resources", &resources);
    if !task.limits.is_empty() {
        o.object("limits", |o| {
            for (name, limit) in &task.limits {
                o.field(name, limit.value);
            }
        });
    }
    o.optional("role", role_of(&resources).as_ref().map(Role::as_str));
    o.array("statuses", |a| {
        for s in &task.statuses {
            a.object(|o| status(o, s));
        }
    });
    o.optional("user", task.user.as_ref());
    labels(o, task.labels.as_ref());
    o.optional("discovery", task.discovery.as_ref().map(|m| json::message(m, Style::V0)));
    o.optional("container", task.container.as_ref().map(|m| json::message(m, Style::V0)));
    o.optional("health_check", task.health_check.as_ref().map(|m| json::message(m, Style::V0)));
}

fn status(o: &mut Object<'_>, status: &v1::TaskStatus) {
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

fn queued_task(o: &mut Object<'_>, task: &v1::TaskInfo) {
    o.field("id", &task.task_id.value);
    o.field("name", &task.name);
    o.field("slave_id", &task.agent_id.value);
    let resources = counted(&task.resources);
    object_of(o, "resources", &resources);
    o.optional("role", role_of(&resources).as_ref().map(Role::as_str));
    o.optional("command", task.command.as_ref().map(|m| json::message(m, Style::V0)));
    o.optional("executor_id", task.executor.as_ref().map(|e| &e.executor_id.value));
    o.optional("discovery", task.discovery.as_ref().map(|m| json::message(m, Style::V0)));
    o.optional("container", task.container.as_ref().map(|m| json::message(m, Style::V0)));
}
