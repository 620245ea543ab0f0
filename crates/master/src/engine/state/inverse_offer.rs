//! Questions to frameworks about planned maintenance.

use model::id::{AgentId, FrameworkId, OfferId};
use model::time::Instant;
use wire::v1;

use super::Agent;

/// An outstanding inverse offer: can the framework leave the agent in time?
#[derive(Clone, Debug)]
pub struct InverseOffer {
    /// Its id, unique among offers of both kinds.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// About which agent.
    pub agent_id: AgentId,
    /// When the agent will be out of service.
    pub unavailability: v1::Unavailability,
    /// When it is taken back, if offers time out.
    pub deadline: Option<Instant>,
}

impl InverseOffer {
    /// The inverse offer as its framework sees it; `agent` is the one that it is about.
    #[must_use]
    pub fn message(&self, agent: &Agent) -> v1::InverseOffer {
        v1::InverseOffer {
            id: v1::OfferId { value: self.id.to_string() },
            url: Some(agent.url()),
            framework_id: v1::FrameworkId { value: self.framework_id.to_string() },
            agent_id: Some(v1::AgentId { value: self.agent_id.to_string() }),
            unavailability: self.unavailability,
            resources: Vec::new(),
        }
    }
}
