//! `/state`, `/slaves`, `/frameworks`.

use model::time::Timestamp;
use wire::json::{self, Object, Style};

use super::View;
use super::entities::recovered_agent;
use endpoints::resources::bytes_of;

impl View<'_> {
    /// `/state`
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let master = &*self.snapshot.master;
        bytes_of(|o| {
            self.build(o);
            o.field("start_time", self.snapshot.started.as_secs_f64());
            o.field("elected_time", self.snapshot.elected.as_secs_f64());
            o.field("id", &master.id);
            o.field("pid", master.pid());
            o.field("hostname", master.hostname());
            o.array("capabilities", |a| {
                for capability in &master.capabilities {
                    a.push(capability.r#type().as_str_name());
                }
            });
            // Counts are printed as doubles here.
            let agents = || self.snapshot.agents.values();
            o.field("activated_slaves", count(agents().filter(|a| a.active)));
            o.field("deactivated_slaves", count(agents().filter(|a| !a.active)));
            o.field("unreachable_slaves", count(self.snapshot.unreachable_agents.keys()));
            let domain = master.domain.as_ref();
            o.optional("domain", domain.map(|d| json::message(d, Style::V0)));
            // This master is the one that leads: others answer nothing.
            o.field("leader", master.pid());
            o.object("leader_info", |o| {
                o.field("id", &master.id);
                o.field("pid", master.pid());
                o.field("port", master.port);
                o.field("hostname", master.hostname());
                o.optional("domain", domain.map(|d| json::message(d, Style::V0)));
            });
            if self.sight.flags() {
                o.optional("cluster", self.program.cluster.as_ref());
                o.optional("log_dir", self.program.log_dir.as_ref());
                o.optional("external_log_file", self.program.external_log_file.as_ref());
                o.field("flags", &self.program.flags);
            }
            self.agent_lists(o, false);
            self.framework_lists(o);
            o.array("orphan_tasks", |_| {});
            o.array("unregistered_frameworks", |_| {});
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

    fn agent_lists(&self, o: &mut Object<'_>, full: bool) {
        o.array("slaves", |a| {
            for agent in self.snapshot.agents.values() {
                self.agent(a, agent, |o| {
                    if full {
                        self.agent_full(o, agent);
                    }
                });
            }
        });
        o.array("recovered_slaves", |a| {
            for agent in self.snapshot.recovered_agents.values() {
                a.object(|o| recovered_agent(o, agent));
            }
        });
    }

    fn framework_lists(&self, o: &mut Object<'_>) {
        o.array("frameworks", |a| {
            for framework in self.frameworks() {
                a.object(|o| self.framework(o, framework));
            }
        });
        o.array("completed_frameworks", |a| {
            for framework in self.completed_frameworks() {
                a.object(|o| self.framework(o, framework));
            }
        });
    }

    /// `/slaves`, all of them or the one called `only`.
    #[must_use]
    pub fn slaves(&self, only: Option<&str>) -> Vec<u8> {
        let Some(only) = only else { return bytes_of(|o| self.agent_lists(o, true)) };
        bytes_of(|o| {
            o.array("slaves", |a| {
                if let Some(agent) = self.snapshot.agents.get(only) {
                    self.agent(a, agent, |o| self.agent_full(o, agent));
                }
            });
            o.array("recovered_slaves", |a| {
                if let Some(agent) = self.snapshot.recovered_agents.get(only) {
                    a.object(|o| recovered_agent(o, agent));
                }
            });
        })
    }

    /// `/frameworks`, all of them or the one called `only`.
    #[must_use]
    pub fn framework_list(&self, only: Option<&str>) -> Vec<u8> {
        let named = |id: &str| only.is_none_or(|only| only == id);
        bytes_of(|o| {
            o.array("frameworks", |a| {
                for framework in self.frameworks().filter(|f| named(f.id.as_str())) {
                    a.object(|o| self.framework(o, framework));
                }
            });
            o.array("completed_frameworks", |a| {
                for framework in self.completed_frameworks().filter(|f| named(f.id.as_str())) {
                    a.object(|o| self.framework(o, framework));
                }
            });
            o.array("unregistered_frameworks", |_| {});
        })
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> f64 {
    items.count() as f64
}

/// Seconds as the v1 API prints them.
pub(super) fn time_info(moment: Timestamp) -> wire::v1::TimeInfo {
    wire::v1::TimeInfo { nanoseconds: moment.as_nanos() }
}
