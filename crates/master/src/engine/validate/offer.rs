//! Whether offers can be accepted together.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::{AgentId, FrameworkId, OfferId};
use model::resources::Resources;
use model::role::Role;
use wire::v1;

use super::super::state::{Offer, State};

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
    let mut seen = BTreeSet::new();
    if let Some(twice) = ids.iter().find(|id| !seen.insert(&id.value)) {
        return Err(format!("Duplicate offer {} in offer list", twice.value));
    }
    // Another framework's offer is answered like one that does not exist: nobody learns what
    // others are offered.
    let own = |id: &v1::OfferId| {
        OfferId::new(&id.value)
            .ok()
            .and_then(|id| state.offers.get(&id))
            .filter(|offer| offer.framework_id == *framework_id)
            .ok_or_else(|| format!("Offer {} is no longer valid", id.value))
    };
    let all: Vec<&Arc<Offer>> = ids.iter().map(own).collect::<Result<_, _>>()?;
    let Some(first) = all.first() else { return Err("No offers specified".to_owned()) };
    if let Some(other) = all.iter().find(|offer| offer.role != first.role) {
        return Err(format!(
            "Aggregated offers must be allocated to the same role. Offer {} uses role '{} but \
             another is using role '{}",
            other.id, other.role, first.role
        ));
    }
    if let Some(other) = all.iter().find(|offer| offer.agent_id != first.agent_id) {
        return Err(format!(
            "Aggregated offers must belong to one single agent. Offer {} uses agent {} and agent \
             {}",
            other.id, other.agent_id, first.agent_id
        ));
    }
    Ok(Offered {
        offers: all.iter().map(|offer| offer.id.clone()).collect(),
        agent_id: first.agent_id.clone(),
        role: first.role.clone(),
        resources: all.iter().fold(Resources::new(), |sum, offer| sum.plus(&offer.resources)),
    })
}
