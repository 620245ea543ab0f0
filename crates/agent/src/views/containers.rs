//! Containers with what was measured of them: `/containers`, `/monitor/statistics`,
//! GET_CONTAINERS.

use std::sync::Arc;

use endpoints::resources::bytes_of;
use futures_util::future::join_all;
use model::id::{ContainerId, ExecutorId, FrameworkId};
use wire::json::{self, Style};
use wire::v1::agent::response::get_containers;
use wire::v1::{self, ContainerStatus, ResourceStatistics};

use super::{Snapshot, counted};
use crate::containerizer::Containerizer;

/// A container and what was measured of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Whose executor it runs.
    pub framework: FrameworkId,
    /// Which of them.
    pub executor: ExecutorId,
    /// Its name, for people.
    pub name: String,
    /// The old name for what a tool attributes it to.
    pub source: String,
    /// The container.
    pub container: ContainerId,
    /// What it is.
    pub status: Option<ContainerStatus>,
    /// What it uses, and may use.
    pub statistics: Option<ResourceStatistics>,
}

/// Measures the containers of a snapshot that are wanted.
pub async fn containers(
    snapshot: &Snapshot,
    containerizer: &Arc<dyn Containerizer>,
    wanted: impl Fn(&FrameworkId, &ExecutorId, &ContainerId) -> bool,
) -> Vec<Measured> {
    let all = snapshot.state.frameworks.values().flat_map(|framework| {
        framework.executors.values().map(move |executor| (&framework.id, executor))
    });
    let wanted = all.filter(|(framework, e)| wanted(framework, &e.id, &e.container));
    join_all(wanted.map(async |(framework, executor)| {
        let mut statistics = containerizer.usage(&executor.container).await;
        if let Some(statistics) = &mut statistics {
            limits(statistics, &executor.allocated());
        }
        Measured {
            framework: framework.clone(),
            executor: executor.id.clone(),
            name: executor.info.name().to_owned(),
            source: executor.info.source().to_owned(),
            container: executor.container.clone(),
            status: containerizer.status(&executor.container).await,
            statistics,
        }
    }))
    .await
}

/// What it may use stands beside what it uses.
fn limits(statistics: &mut ResourceStatistics, allocated: &[v1::Resource]) {
    let allocated = counted(allocated);
    let cpus = allocated.scalar("cpus").as_f64();
    statistics.cpus_soft_limit.get_or_insert(cpus);
    // Megabytes; a share of one beyond what a machine could have is no limit.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let bytes = (allocated.scalar("mem").as_f64() * 1_048_576.0) as u64;
    statistics.mem_limit_bytes.get_or_insert(bytes);
    statistics.mem_soft_limit_bytes.get_or_insert(bytes);
}

impl Measured {
    /// An element of `/monitor/statistics`, and with more of `/containers`.
    fn members(&self, o: &mut json::Object<'_>, more: bool) {
        if more {
            o.field("container_id", self.container.as_str());
        }
        o.field("executor_id", self.executor.as_str());
        o.field("executor_name", &self.name);
        o.field("framework_id", self.framework.as_str());
        o.field("source", &self.source);
        let statistics = self.statistics.as_ref();
        o.optional("statistics", statistics.map(|s| json::message(s, Style::V0)));
        if more {
            o.optional("status", self.status.as_ref().map(|s| json::message(s, Style::V0)));
        }
    }

    /// An element of GET_CONTAINERS.
    #[must_use]
    pub fn to_call(&self) -> get_containers::Container {
        get_containers::Container {
            framework_id: Some(v1::FrameworkId { value: self.framework.to_string() }),
            executor_id: Some(v1::ExecutorId { value: self.executor.to_string() }),
            executor_name: Some(self.name.clone()),
            container_id: v1::ContainerId { value: self.container.to_string(), parent: None },
            container_status: self.status.clone(),
            resource_statistics: self.statistics.clone(),
        }
    }

    /// `/containers`
    #[must_use]
    pub fn containers_json(all: &[Self]) -> Vec<u8> {
        Self::json(all, true)
    }

    /// `/monitor/statistics`: what cannot be measured is left out.
    #[must_use]
    pub fn statistics_json(all: &[Self]) -> Vec<u8> {
        let measured: Vec<Self> =
            all.iter().filter(|one| one.statistics.is_some()).cloned().collect();
        Self::json(&measured, false)
    }

    fn json(all: &[Self], more: bool) -> Vec<u8> {
        let mut out = Vec::new();
        json::array(&mut out, |a| {
            for one in all {
                a.push(json::Raw(&bytes_of(|o| one.members(o, more))));
            }
        });
        out
    }
}
