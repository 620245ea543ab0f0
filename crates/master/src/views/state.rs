//! `/state`, `/slaves`, `/frameworks`.

use std::sync::Arc;

use endpoints::rope::{Rope, Weaver};
use model::time::Timestamp;
use wire::json::{self, Object, Style};

use super::View;
use super::entities::recovered_agent;
use super::weave::{List, begin_object};
use crate::engine::state::Framework;
use endpoints::resources::bytes_of;

impl View<'_> {
    /// `/state`
    #[must_use]
    pub fn state(&self) -> Rope {
        let mut out = Weaver::default();
        begin_object(&mut out, &bytes_of(|o| self.state_head(o)));
        out.text(b",");
        self.agent_lists(&mut out, false);
        out.text(b",");
        self.framework_lists(&mut out, None);
        out.text(b",\"orphan_tasks\":[],\"unregistered_frameworks\":[]}");
        out.finish()
    }

    fn state_head(&self, o: &mut Object<'_>) {
        let master = &*self.snapshot.master;
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

    /// Members of an object: the agents.
    fn agent_lists(&self, out: &mut Weaver, full: bool) {
        out.text(b"\"slaves\":");
        let mut list = List::new(out);
        for agent in self.snapshot.agents.values() {
            list.element(&if full { self.agent_in_full(agent) } else { self.agent(agent) });
        }
        list.end();
        out.text(b",\"recovered_slaves\":");
        let mut list = List::new(out);
        for agent in self.snapshot.recovered_agents.values() {
            list.element(&bytes_of(|o| recovered_agent(o, agent)));
        }
        list.end();
    }

    /// Members of an object: the frameworks, all of them or the one called `only`.
    fn framework_lists(&self, out: &mut Weaver, only: Option<&str>) {
        let named = |f: &&Arc<Framework>| only.is_none_or(|only| only == f.id.as_str());
        out.text(b"\"frameworks\":");
        let mut list = List::new(out);
        for framework in self.frameworks().filter(named) {
            list.rope(&self.framework(framework));
        }
        list.end();
        out.text(b",\"completed_frameworks\":");
        let mut list = List::new(out);
        for framework in self.completed_frameworks().filter(named) {
            list.rope(&self.framework(framework));
        }
        list.end();
    }

    /// `/slaves`, all of them or the one called `only`.
    #[must_use]
    pub fn slaves(&self, only: Option<&str>) -> Rope {
        let mut out = Weaver::default();
        out.text(b"{");
        match only {
            None => self.agent_lists(&mut out, true),
            Some(only) => {
                out.text(b"\"slaves\":");
                let mut list = List::new(&mut out);
                if let Some(agent) = self.snapshot.agents.get(only) {
                    list.element(&self.agent_in_full(agent));
                }
                list.end();
                out.text(b",\"recovered_slaves\":");
                let mut list = List::new(&mut out);
                if let Some(agent) = self.snapshot.recovered_agents.get(only) {
                    list.element(&bytes_of(|o| recovered_agent(o, agent)));
                }
                list.end();
            }
        }
        out.text(b"}");
        out.finish()
    }

    /// `/frameworks`, all of them or the one called `only`.
    #[must_use]
    pub fn framework_list(&self, only: Option<&str>) -> Rope {
        let mut out = Weaver::default();
        out.text(b"{");
        self.framework_lists(&mut out, only);
        out.text(b",\"unregistered_frameworks\":[]}");
        out.finish()
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> f64 {
    items.count() as f64
}

/// Seconds as the v1 API prints them.
pub(super) fn time_info(moment: Timestamp) -> wire::v1::TimeInfo {
    wire::v1::TimeInfo { nanoseconds: moment.as_nanos() }
}
