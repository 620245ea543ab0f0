//! Offers.

use model::id::{AgentId, FrameworkId, OfferId};
use model::resources::Resources;
use model::role::Role;
use model::time::Instant;
use wire::v1;

use super::Agent;

/// An outstanding offer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// Of which agent.
    pub agent_id: AgentId,
    /// Under which role.
    pub role: Role,
    /// What, allocated to `role`.
    pub resources: Resources,
    /// When it is taken back, if offers time out.
    pub deadline: Option<Instant>,
}

impl Offer {
    /// The offer as a message; `agent` is the one that it is of, `resources` how its resources are
    /// to be shown.
    #[must_use]
    pub fn message(&self, agent: &Agent, resources: Vec<v1::Resource>) -> v1::Offer {
        let executors = agent.executors.keys().filter(|(id, _)| *id == self.framework_id);
        v1::Offer {
            id: v1::OfferId { value: self.id.to_string() },
            framework_id: v1::FrameworkId { value: self.framework_id.to_string() },
            agent_id: v1::AgentId { value: self.agent_id.to_string() },
            hostname: agent.info.hostname.clone(),
            url: Some(agent.url()),
            domain: agent.info.domain.clone(),
            resources,
            attributes: agent.info.attributes.clone(),
            executor_ids: executors
                .map(|(_, id)| v1::ExecutorId { value: id.to_string() })
                .collect(),
            unavailability: agent.unavailability,
            allocation_info: Some(v1::resource::AllocationInfo {
                role: Some(self.role.to_string()),
            }),
        }
    }
}
