//! What senders have proved, as far as the engine asks for it, and what it writes down about that.

use authn::audit::Decision;
use libprocess::sender::{BoundPid, SessionId};

use super::effect::Effect;
use super::out::Out;

/// Why the engine lets nobody in who has proved nothing.
pub(super) const NOT_AUTHENTICATED: &str = "it is not authenticated";

/// Whether the sender has proved who it is: by SASL, or by the identity in its certificate. A
/// certificate without identity says what a connection is worth, not which component speaks.
pub(super) fn has_authenticated(from: &BoundPid) -> bool {
    from.principal().is_some() || from.identity().is_some()
}

/// Asks for it.
pub(super) fn required(from: &BoundPid) -> Result<(), String> {
    if has_authenticated(from) { Ok(()) } else { Err(NOT_AUTHENTICATED.to_owned()) }
}

/// The session that the sender's connection belongs to.
pub(super) fn session_of(from: &BoundPid) -> Option<SessionId> {
    from.session().map(|proof| proof.session.id)
}

/// The name that the sender has proved to have: its principal, or else that of its identity.
pub(super) fn principal_of(from: &BoundPid) -> Option<&str> {
    from.principal().or_else(|| from.identity().map(|identity| identity.name()))
}

/// Writes down that the sender was let in, if it had to prove anything.
pub(super) fn admitted(from: &BoundPid, out: &mut Out) {
    if !from.owner().is_nobody() {
        write_down(from, true, "registered".to_owned(), out);
    }
}

/// Writes down that the sender was refused.
pub(super) fn refused(from: &BoundPid, realm: &str, reason: String, out: &mut Out) {
    let decision = decision(from, realm, false, reason, out);
    out.push(Effect::Audit(decision));
}

fn write_down(from: &BoundPid, granted: bool, reason: String, out: &mut Out) {
    let decision = decision(from, "registration", granted, reason, out);
    out.push(Effect::Audit(decision));
}

fn decision(from: &BoundPid, realm: &str, granted: bool, reason: String, out: &Out) -> Decision {
    let method = match (from.session(), from.owner().certificate) {
        (Some(proof), _) => proof.session.mechanism.clone(),
        (None, Some(_)) => "certificate".to_owned(),
        (None, None) => String::new(),
    };
    Decision {
        time: out.now.wall,
        principal: from.principal().map(str::to_owned).or(from.owner().certificate),
        address: (*from.upid().address.ip()).into(),
        method,
        realm: realm.to_owned(),
        granted,
        reason,
    }
}
