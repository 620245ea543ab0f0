//! Calls of schedulers that have subscribed.

use model::id::FrameworkId;
use wire::v1::scheduler::{Call, call};

use super::Engine;
use super::collections::edit;
use super::counters::{Counter, count_in};
use super::effect::Accepted;
use super::event::{Caller, Stream};
use super::out::Out;
use super::refusal::Refusal;
use super::validate;

impl Engine {
    /// Does what a call says, if its caller may say it.
    pub(super) fn call(
        &mut self,
        caller: &Caller,
        stream: Stream,
        call: Call,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let kind = validate::call::call(&call, caller.principal.as_deref())?;
        let id = self.subscribed_caller(caller, stream, &call)?;
        self.perform(&id, kind, call, out)
    }

    /// Does what the scheduler of framework `id` wants, however it said so.
    pub(super) fn perform(
        &mut self,
        id: &FrameworkId,
        kind: call::Type,
        call: Call,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        if let Some(framework) = edit(&mut self.state.frameworks, id) {
            count_in(&mut framework.counters.calls, kind);
        }
        match kind {
            // Ends the original; here it is one call that means nothing.
            call::Type::Unknown | call::Type::Subscribe => return Err(Refusal::NotImplemented),
            call::Type::Teardown => {
                self.state.counters.count(Counter::MessagesUnregisterFramework);
                self.remove_framework(id, out);
            }
            call::Type::Accept => {
                let accept = call.accept.unwrap_or_default();
                if let Some(framework) = self.state.frameworks.get(id) {
                    validate::accept::accept(&accept, &framework.info)
                        .map_err(Refusal::InvalidCall)?;
                }
                self.accept(id, accept, out);
            }
            call::Type::Decline => self.decline(id, &call.decline.unwrap_or_default(), out),
            call::Type::AcceptInverseOffers => {
                let accept = call.accept_inverse_offers.unwrap_or_default();
                let ids = (accept.inverse_offer_ids.as_slice(), true);
                self.answer_inverse_offers(id, ids, accept.filters.as_ref(), out);
            }
            call::Type::DeclineInverseOffers => {
                let decline = call.decline_inverse_offers.unwrap_or_default();
                let ids = (decline.inverse_offer_ids.as_slice(), false);
                self.answer_inverse_offers(id, ids, decline.filters.as_ref(), out);
            }
            call::Type::Revive => self.revive(id, &call.revive.unwrap_or_default().roles, out),
            call::Type::Suppress => {
                self.suppress(id, &call.suppress.unwrap_or_default().roles, out);
            }
            call::Type::Kill => self.kill(id, call.kill.unwrap_or_default(), out),
            call::Type::Shutdown => {
                self.shutdown_executor(id, call.shutdown.unwrap_or_default(), out);
            }
            call::Type::Acknowledge => {
                self.acknowledge(id, call.acknowledge.unwrap_or_default(), out);
            }
            call::Type::AcknowledgeOperationStatus => {
                let acknowledge = call.acknowledge_operation_status.unwrap_or_default();
                self.acknowledge_operation(id, &acknowledge, out);
            }
            call::Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default(), out),
            call::Type::ReconcileOperations => {
                let reconcile = call.reconcile_operations.unwrap_or_default();
                self.reconcile_operations(id, reconcile, out);
            }
            call::Type::Message => {
                self.framework_message(id, call.message.unwrap_or_default(), out);
            }
            call::Type::Request => {
                self.state.counters.count(Counter::MessagesResourceRequest);
            }
            call::Type::UpdateFramework => {
                self.update_framework(id, call.update_framework.unwrap_or_default(), out)?;
                return Ok(Accepted::Done);
            }
        }
        Ok(Accepted::Accepted)
    }

    /// The framework that the call names, if the caller is the one who subscribed it, on the
    /// stream that is current.
    fn subscribed_caller(
        &self,
        caller: &Caller,
        stream: Stream,
        call: &Call,
    ) -> Result<FrameworkId, Refusal> {
        let framework = call
            .framework_id
            .as_ref()
            .and_then(|id| FrameworkId::new(&id.value).ok())
            .and_then(|id| self.state.frameworks.get(&id))
            .ok_or(Refusal::FrameworkNotFound)?;
        let principal = caller.principal.as_deref();
        let same_principal = principal
            .is_none_or(|principal| framework.info.principal.as_deref() == Some(principal));
        let same_owner = framework.owner.admits(&caller.owner);
        if !same_principal || !same_owner {
            let known = framework.info.principal.clone().unwrap_or_default();
            let shown = principal.unwrap_or_default().to_owned();
            return Err(Refusal::OtherPrincipal { shown, known });
        }
        let Some(subscription) = framework.subscription() else {
            return Err(match framework.driver() {
                Some(_) => Refusal::FrameworkNotHttp,
                None => Refusal::FrameworkNotSubscribed,
            });
        };
        match stream {
            Stream::Missing => Err(Refusal::StreamMissing),
            Stream::Of(claimed) if claimed == subscription => Ok(framework.id.clone()),
            Stream::Of(_) | Stream::Unknown => Err(Refusal::OtherStream(framework.id.clone())),
        }
    }
}
