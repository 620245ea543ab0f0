//! Whether offers can be accepted together.

use model::id::{AgentId, FrameworkId, OfferId};
use model::resources::Resources;
use model::role::Role;
use wire::v1;

use super::super::state::State;

/// Offers that a framework may accept together.
#[derive(Debug)]
pub(in super::super) struct Offered {
    pub(in super::super) offers: Vec<OfferId>,
    pub(in super::super) agent_id: AgentId,
    pub(in super::super) role: Role,
    pub(in super::super) resources: Resources,
}

/// Checks the offers that `framework_id` accepts.
pub(in super::super) fn offers(
    ids: &[v1::OfferId],
    framework_id: &FrameworkId,
    state: &State,
) -> Result<Offered, String> {
    let mut offered: Option<Offered> = None;
    for id in ids {
        let text = &id.value;
        // Another framework's offer is answered like one that does not exist: nobody learns what
        // others are offered.
        let offer = OfferId::new(text)
            .ok()
            .and_then(|id| state.offers.get(&id))
            .filter(|offer| offer.framework_id == *framework_id)
            .ok_or_else(|| format!("Offer {text} is no longer valid"))?;
        let Some(all) = &mut offered else {
            offered = Some(Offered {
                offers: vec![offer.id.clone()],
                agent_id: offer.agent_id.clone(),
                role: offer.role.clone(),
                resources: offer.resources.clone(),
            });
            continue;
        };
        if all.offers.contains(&offer.id) {
            return Err(format!("Duplicate offer {text} in offer list"));
        }
        let first = &all.offers[0];
        if offer.agent_id != all.agent_id {
            return Err(format!(
                "Aggregated offers must belong to one single agent. Offer {text} uses agent {} \
                 and offer {first} uses agent {}",
                offer.agent_id, all.agent_id
            ));
        }
        if offer.role != all.role {
            return Err(format!(
                "Aggregated offers must be allocated to the same role. Offer {text} uses role {} \
                 but another is using role {}",
                offer.role, all.role
            ));
        }
        all.offers.push(offer.id.clone());
        all.resources.add_all(&offer.resources);
    }
    offered.ok_or_else(|| "No offers specified".to_owned())
}
