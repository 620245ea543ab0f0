//! Calls of schedulers.

use model::id;
use wire::v1::scheduler::{Call, call};

use super::super::refusal::Refusal;

/// Checks the shape of a call. `principal` is who the caller has proven to be, if anybody.
///
/// The HTTP layer asks before it opens a stream for SUBSCRIBE, so that a malformed call is
/// answered with a status; the engine asks again.
pub fn call(call: &Call, principal: Option<&str>) -> Result<call::Type, Refusal> {
    check(call, principal).map_err(Refusal::InvalidCall)
}

fn expect<T>(member: Option<&T>, name: &str) -> Result<(), String> {
    if member.is_some() { Ok(()) } else { Err(format!("Expecting '{name}' to be present")) }
}

fn check(call: &Call, principal: Option<&str>) -> Result<call::Type, String> {
    let kind = call.r#type.and_then(|number| call::Type::try_from(number).ok());
    let Some(kind) = kind else { return Err("Expecting 'type' to be present".to_owned()) };
    if kind == call::Type::Subscribe {
        expect(call.subscribe.as_ref(), "subscribe")?;
        let Some(subscribe) = &call.subscribe else { return Ok(kind) };
        let info = &subscribe.framework_info;
        if info.id != call.framework_id {
            return Err("'framework_id' differs from 'subscribe.framework_info.id'".to_owned());
        }
        check_principal(principal, info.principal.as_deref())?;
        return Ok(kind);
    }
    expect(call.framework_id.as_ref(), "framework_id")?;
    match kind {
        // A literal UNKNOWN is answered after the caller is known to be a subscriber.
        call::Type::Unknown
        | call::Type::Subscribe
        | call::Type::Teardown
        | call::Type::Revive
        | call::Type::Suppress => {}
        call::Type::Accept => expect(call.accept.as_ref(), "accept")?,
        call::Type::Decline => expect(call.decline.as_ref(), "decline")?,
        call::Type::AcceptInverseOffers => {
            expect(call.accept_inverse_offers.as_ref(), "accept_inverse_offers")?;
        }
        call::Type::DeclineInverseOffers => {
            expect(call.decline_inverse_offers.as_ref(), "decline_inverse_offers")?;
        }
        call::Type::Kill => expect(call.kill.as_ref(), "kill")?,
        call::Type::Shutdown => expect(call.shutdown.as_ref(), "shutdown")?,
        call::Type::Acknowledge => {
            expect(call.acknowledge.as_ref(), "acknowledge")?;
            check_uuid(call.acknowledge.as_ref().map(|acknowledge| &acknowledge.uuid[..]))?;
        }
        call::Type::AcknowledgeOperationStatus => {
            let member = call.acknowledge_operation_status.as_ref();
            expect(member, "acknowledge_operation_status")?;
            check_uuid(member.map(|acknowledge| &acknowledge.uuid[..]))?;
            expect(member.and_then(|acknowledge| acknowledge.agent_id.as_ref()), "agent_id")?;
        }
        call::Type::Reconcile => expect(call.reconcile.as_ref(), "reconcile")?,
        call::Type::ReconcileOperations => {
            expect(call.reconcile_operations.as_ref(), "reconcile_operations")?;
        }
        call::Type::Message => expect(call.message.as_ref(), "message")?,
        call::Type::Request => expect(call.request.as_ref(), "request")?,
        call::Type::UpdateFramework => {
            expect(call.update_framework.as_ref(), "update_framework")?;
            let Some(update) = &call.update_framework else { return Ok(kind) };
            let info = &update.framework_info;
            if info.id != call.framework_id {
                return Err(
                    "'framework_id' differs from 'update_framework.framework_info.id'".to_owned()
                );
            }
            check_principal(principal, info.principal.as_deref())?;
        }
    }
    Ok(kind)
}

fn check_principal(proven: Option<&str>, claimed: Option<&str>) -> Result<(), String> {
    match (proven, claimed) {
        (Some(proven), Some(claimed)) if proven != claimed => Err(format!(
            "Authenticated principal '{proven}' does not match principal '{claimed}' set in \
             `FrameworkInfo`"
        )),
        _ => Ok(()),
    }
}

fn check_uuid(uuid: Option<&[u8]>) -> Result<(), String> {
    match uuid {
        Some(uuid) if uuid.len() != 16 => Err("Not a valid UUID".to_owned()),
        _ => Ok(()),
    }
}

/// Checks the syntax of an id in a call.
pub(in super::super) fn id_syntax(text: &str) -> Result<(), String> {
    id::check(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use wire::v1;

    use super::*;

    fn of(kind: call::Type) -> Call {
        let framework_id = Some(v1::FrameworkId { value: "f".into() });
        let mut call = Call { framework_id, ..Call::default() };
        call.set_type(kind);
        call
    }

    #[test]
    fn calls_without_their_member_are_refused_in_the_words_of_the_original() {
        for (kind, text) in [
            (call::Type::Subscribe, "Expecting 'subscribe' to be present"),
            (call::Type::Accept, "Expecting 'accept' to be present"),
            (call::Type::Decline, "Expecting 'decline' to be present"),
            (call::Type::Kill, "Expecting 'kill' to be present"),
            (call::Type::Shutdown, "Expecting 'shutdown' to be present"),
            (call::Type::Acknowledge, "Expecting 'acknowledge' to be present"),
            (call::Type::Reconcile, "Expecting 'reconcile' to be present"),
            (call::Type::Message, "Expecting 'message' to be present"),
            (call::Type::Request, "Expecting 'request' to be present"),
            (call::Type::UpdateFramework, "Expecting 'update_framework' to be present"),
        ] {
            let refusal = super::call(&of(kind), None).unwrap_err();
            assert_eq!(refusal.status(), 400);
            assert_eq!(refusal.to_string(), format!("Failed to validate scheduler::Call: {text}"));
        }
        for kind in [call::Type::Teardown, call::Type::Revive, call::Type::Suppress] {
            assert_eq!(super::call(&of(kind), None), Ok(kind));
        }
        let mut call = of(call::Type::Kill);
        call.framework_id = None;
        assert_eq!(check(&call, None), Err("Expecting 'framework_id' to be present".into()));
        assert_eq!(check(&Call::default(), None), Err("Expecting 'type' to be present".into()));
        call.r#type = Some(99);
        assert_eq!(check(&call, None), Err("Expecting 'type' to be present".into()));
    }

    #[test]
    fn an_acknowledgement_needs_a_uuid_of_sixteen_bytes() {
        for (length, ok) in [(0, false), (15, false), (16, true), (17, false)] {
            let mut call = of(call::Type::Acknowledge);
            call.acknowledge =
                Some(call::Acknowledge { uuid: vec![1; length].into(), ..Default::default() });
            assert_eq!(super::call(&call, None).is_ok(), ok, "{length}");
        }
    }

    #[test]
    fn a_subscriber_cannot_name_another_principal_or_another_id() {
        let mut call = of(call::Type::Subscribe);
        let info = v1::FrameworkInfo {
            principal: Some("b".into()),
            id: call.framework_id.clone(),
            ..Default::default()
        };
        call.subscribe = Some(call::Subscribe { framework_info: info, ..Default::default() });
        assert!(super::call(&call, Some("b")).is_ok());
        assert!(super::call(&call, None).is_ok());
        assert_eq!(
            super::call(&call, Some("a")).unwrap_err().to_string(),
            "Failed to validate scheduler::Call: Authenticated principal 'a' does not match \
             principal 'b' set in `FrameworkInfo`"
        );
        call.framework_id = None;
        assert!(super::call(&call, None).is_err());
    }
}
