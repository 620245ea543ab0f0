//! Reservations and volumes that operators make and give up.

use std::collections::BTreeSet;

use authz::{AnyPermit, Permit};
use model::id::AgentId;
use wire::v1::offer::Operation;
use wire::v1::offer::operation::Type;

use super::{by, covers};
use crate::engine::Engine;
use crate::engine::command::{ResourceCommand, objects};
use crate::engine::effect::Accepted;
use crate::engine::out::Out;
use crate::engine::refusal::Refusal;

impl Engine {
    /// RESERVE_RESOURCES and its like: converts what the agent has free, and takes offers back
    /// until that is enough.
    pub(super) fn operator_converts(
        &mut self,
        agent_id: &AgentId,
        conversion: ResourceCommand,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let mut operation = Operation::default();
        let name;
        match conversion {
            ResourceCommand::Create(permit, create) => {
                all_covered(&permit, objects::create(&create))?;
                name = named(&permit, out);
                operation.set_type(Type::Create);
                operation.create = Some(create);
            }
            ResourceCommand::Destroy(permit, destroy) => {
                all_covered(&permit, objects::destroy(&destroy))?;
                name = named(&permit, out);
                operation.set_type(Type::Destroy);
                operation.destroy = Some(destroy);
            }
            ResourceCommand::Grow(permit, grow) => {
                covers(&permit, &objects::role(&grow.volume))?;
                name = named(&permit, out);
                operation.set_type(Type::GrowVolume);
                operation.grow_volume = Some(*grow);
            }
            ResourceCommand::Reserve(reserves, gives_up, reserve) => {
                let (roles, principals) = objects::reserve(&reserve);
                all_covered(&reserves, roles)?;
                all_covered(&gives_up, principals)?;
                name = named(&reserves, out);
                operation.set_type(Type::Reserve);
                operation.reserve = Some(reserve);
            }
            ResourceCommand::Shrink(permit, shrink) => {
                covers(&permit, &objects::role(&shrink.volume))?;
                name = named(&permit, out);
                operation.set_type(Type::ShrinkVolume);
                operation.shrink_volume = Some(*shrink);
            }
            ResourceCommand::Unreserve(permit, unreserve) => {
                all_covered(&permit, objects::unreserve(&unreserve))?;
                name = named(&permit, out);
                operation.set_type(Type::Unreserve);
                operation.unreserve = Some(unreserve);
            }
        }
        self.apply_operation(agent_id, operation, name.as_deref(), out)
    }
}

fn all_covered<A: authz::Action<Object = String>>(
    permit: &Permit<A>,
    objects: BTreeSet<String>,
) -> Result<(), Refusal> {
    objects.iter().try_for_each(|object| covers(permit, object))
}

/// Tells the log, and says under which name the operator reserves.
fn named(permit: &dyn AnyPermit, out: &mut Out) -> Option<String> {
    by(permit, out);
    permit.subject().name().map(str::to_owned)
}
