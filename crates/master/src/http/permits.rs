//! Asking for permits: each request that changes something asks here before it becomes a command.

use authz::{Action, Permit, Subject};
use endpoints::access::Caller;
use endpoints::refusal::Refusal;
use model::id::FrameworkId;
use model::principal::Principal;

use super::Master;

/// A permit for `A` on all of `objects`, or 403.
pub(super) fn permit<A: Action>(
    master: &Master,
    caller: &Caller,
    objects: impl IntoIterator<Item = A::Object>,
) -> Result<Permit<A>, Refusal> {
    let proved = caller.proved().map(|proved| proved.principal.clone());
    let subject = Subject::new(proved.or_else(|| caller.principal().map(Principal::named)));
    master
        .authorizer
        .permit::<A>(&subject, objects)
        .map_err(|denied| Refusal::forbidden().because(denied.to_string()))
}

/// A permit to do `A` to a framework: rules know frameworks by their principals.
pub(super) fn on_framework<A: Action<Object = String>>(
    master: &Master,
    caller: &Caller,
    id: &FrameworkId,
) -> Result<Permit<A>, Refusal> {
    let snapshot = master.snapshots.load();
    let principal = snapshot.frameworks.get(id).map(|f| f.info.principal().to_owned());
    permit(master, caller, principal)
}
