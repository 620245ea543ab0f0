//! A cluster that consists of its allocator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use allocator::{
    AgentFacts, Allocator, Event, FrameworkFacts, Held, Offer, Refusal, Rules, Sorter,
};
use model::id::{AgentId, FrameworkId};
use model::quota::Quota;
use model::resources::{Quantities, Resources, parse};
use model::role::Role;
use model::time::Instant;
use rustix::time::{ClockId, clock_gettime};

pub(super) struct Cluster {
    allocator: Allocator,
    now: Instant,
}

/// The milliseconds of this thread's CPU that `work` takes, and what it returns. All happens on
/// one thread; what else the machine does is not counted.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1000.0 + time.tv_nsec as f64 / 1e6
    };
    let begun = cpu();
    let result = work();
    (cpu() - begun, result)
}

impl Cluster {
    pub(super) fn new(sorter: Sorter) -> Self {
        let rules = Rules { role_sorter: sorter, framework_sorter: sorter, ..Rules::default() };
        Self { allocator: Allocator::new(rules, 1), now: Instant::default() }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.allocator.handle(event, self.now);
    }

    /// One interval later.
    pub(super) fn offers(&mut self) -> Vec<Offer> {
        self.now = self.now + Duration::from_secs(1);
        self.allocator.allocate(self.now).offers
    }

    pub(super) fn add_agents(
        &mut self,
        count: usize,
        total: &Resources,
        used: impl Fn(usize) -> BTreeMap<FrameworkId, Resources>,
    ) -> anyhow::Result<()> {
        for n in 0..count {
            self.tell(Event::AgentAdded {
                id: AgentId::new(&format!("agent-{n}"))?,
                facts: AgentFacts {
                    total: total.clone(),
                    hostname: format!("agent-{n}"),
                    attributes: Vec::new(),
                    region: None,
                    zone: None,
                    multi_role: true,
                    hierarchical_role: true,
                },
                used: used(n),
                active: true,
            });
        }
        Ok(())
    }

    pub(super) fn add_framework(&mut self, id: &str, role: &str) -> anyhow::Result<()> {
        let roles = BTreeSet::from([Role::new(role)?]);
        let facts = FrameworkFacts { roles, multi_role: true, ..FrameworkFacts::default() };
        self.tell(Event::FrameworkAdded { id: FrameworkId::new(id)?, facts, active: true });
        Ok(())
    }

    pub(super) fn set_quota(&mut self, role: &str, quota: &str) -> anyhow::Result<()> {
        let quota = Quota::exactly(Quantities::parse(quota)?);
        self.tell(Event::QuotaSet { role: Role::new(role)?, quota });
        Ok(())
    }

    pub(super) fn give_back(&mut self, offer: &Offer, resources: Resources, refusal: Refusal) {
        self.tell(Event::Recovered {
            framework_id: offer.framework_id.clone(),
            agent_id: offer.agent_id.clone(),
            resources,
            held: Held::Offered,
            refusal,
        });
    }
}

pub(super) fn resources(text: &str) -> anyhow::Result<Resources> {
    Ok(parse(text, &Role::any())?)
}
