//! Whether what the master offers may be offered, by its books of the same moment and by what the
//! schedulers have asked for.

use master::engine::Engine;
use master::engine::effect::Effect;
use master::engine::message::Outbound;
use master::engine::state::{Offer, Snapshot};
use model::id::OfferId;
use registry::MachineMode;
use wire::v1;

use crate::core::Core;
use crate::shape::Shape;

/// Complains about new offers that the master should not have made.
pub(crate) fn check(engine: &Engine, effects: &[Effect], core: &mut Core) {
    let offers = effects.iter().filter_map(|effect| match effect {
        Effect::Stream { event, .. } => event.offers.as_ref().map(|event| &event.offers),
        Effect::Send { message, .. } => match &**message {
            Outbound::ResourceOffers(message) => Some(&message.offers),
            _ => None,
        },
        _ => None,
    });
    let mut offers = offers.flatten().peekable();
    if offers.peek().is_none() {
        return;
    }
    let state = engine.snapshot();
    for message in offers {
        // One that was taken back at the same moment has no entry any more.
        let id = message.id.value.parse::<OfferId>().ok();
        let Some(offer) = id.and_then(|id| state.offers.get(&id)) else { continue };
        if let Some(why) = objection(&state, offer, message, &core.shape) {
            core.ledger.violation(format!("{} was offered although {why}", offer.id));
        }
    }
}

fn objection(
    state: &Snapshot,
    offer: &Offer,
    message: &v1::Offer,
    shape: &Shape,
) -> Option<String> {
    let (role, agent_id) = (&offer.role, &offer.agent_id);
    let Some(framework) = state.frameworks.get(&offer.framework_id) else {
        return Some(format!("{} does not exist", offer.framework_id));
    };
    let Some(agent) = state.agents.get(agent_id) else {
        return Some(format!("{agent_id} is not registered"));
    };
    if !framework.roles.contains(role) || framework.suppressed_roles.contains(role) {
        return Some(format!("{} wants none in {role}", framework.id));
    }
    if agent.is_deactivated() || agent.orders.drain.is_some() {
        return Some(format!("{agent_id} drains or is deactivated"));
    }
    let address = *agent.peer.pid.address.ip();
    let scheduled = state.settings.machine_of(&agent.info.hostname, address);
    if scheduled.is_some_and(|(mode, _)| mode == MachineMode::Down) {
        return Some(format!("the machine of {agent_id} is down"));
    }
    if scheduled.is_some() != message.unavailability.is_some() {
        return Some(format!("it does not say what is planned for {agent_id}"));
    }
    let of = (1..).zip(&shape.schedulers).find(|(n, _)| framework.info.name == format!("f{n}"));
    let avoids = of.and_then(|(_, scheduler): (u8, _)| scheduler.avoids);
    if avoids.is_some_and(|host| message.hostname == format!("host-{host}")) {
        return Some(format!("{} wants none of {}", framework.id, message.hostname));
    }
    beyond_quota(state, offer)
}

/// Something unreserved was offered, although the role has more than its quota allows.
fn beyond_quota(state: &Snapshot, offer: &Offer) -> Option<String> {
    let limit = state.settings.quotas.get(&offer.role)?.limits().get("cpus")?;
    let role = Some(&offer.role);
    let unreserved = offer.resources.filter(|resource| resource.is_unreserved());
    if unreserved.scalar("cpus").as_f64() <= 0.0 {
        return None;
    }
    let cpus = state.agents.values().map(|agent| {
        let reserved = agent.total.filter(|resource| resource.reserved_to() == role);
        let given = agent.used_by_all().plus(&agent.offered);
        let of_role = |r: &model::resources::Resource| r.allocation.as_ref() == role;
        let given = given.filter(|resource| resource.is_unreserved() && of_role(resource));
        reserved.scalar("cpus").as_f64() + given.scalar("cpus").as_f64()
    });
    let consumed: f64 = cpus.sum();
    (consumed > limit.as_f64() + 0.001)
        .then(|| format!("{} has {consumed} CPUs of {}", offer.role, limit.as_f64()))
}
