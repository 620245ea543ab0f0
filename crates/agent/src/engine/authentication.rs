//! Proving to the master who the agent is, and whom it obeys afterwards (`authentication.md` §9,
//! rows A12, B2 and B3).
//!
//! An agent that has something to prove itself with does so before each registration. What comes
//! out is a session, and from then on only what is tied to it comes from the master, or what a
//! certificate of a master vouches for; whatever detection says about who leads.

use std::sync::Arc;

use libprocess::sender::{BoundPid, Session, SessionProof, Tie};
use libprocess::upid::Upid;
use model::identity::Kind;

use super::event::Effect;
use super::{Engine, Phase};

impl Engine {
    /// Whether the agent has to authenticate before it registers; begins to, then.
    pub(super) fn must_authenticate(&mut self, master: &Upid) -> bool {
        if !self.rules.authenticates {
            if !std::mem::replace(&mut self.told_unauthenticated, true) {
                self.info_log(
                    "No credentials provided. Attempting to register without authentication"
                        .to_owned(),
                );
            }
            return false;
        }
        if self.session.is_some() {
            return false;
        }
        if !std::mem::replace(&mut self.authenticating, true) {
            self.out.push(Effect::Link(master.clone()));
            self.info_log(format!("Authenticating with master {master}"));
            self.out.push(Effect::Authenticate(master.clone()));
        }
        true
    }

    /// Forgets what an earlier authentication brought: the next registration needs another.
    pub(super) fn forget_session(&mut self) {
        let under_way = std::mem::take(&mut self.authenticating);
        if self.session.take().is_some() || under_way {
            self.out.push(Effect::StopAuthenticating);
        }
        self.told_unauthenticated = false;
    }

    pub(super) fn authenticated(&mut self, master: &Upid, session: Arc<Session>) {
        if !self.authenticating || self.state.master.as_ref() != Some(master) {
            return self.info_log(format!(
                "Ignoring the authentication with {master}, which is not the leading master"
            ));
        }
        self.authenticating = false;
        self.info_log(format!(
            "Successfully authenticated with master {master} using {}",
            session.mechanism
        ));
        self.session = Some(session);
        if matches!(self.phase, Phase::Disconnected { .. }) {
            self.register_due();
        }
    }

    /// The end: another attempt would end in the same way, and executors live on meanwhile.
    pub(super) fn authentication_refused(&mut self, master: &Upid) {
        if self.authenticating && self.state.master.as_ref() == Some(master) {
            self.authenticating = false;
            self.fail(format!("Master {master} refused authentication"));
        }
    }

    /// Whether the sender has shown that it is a master, and the one that the agent knows.
    pub(super) fn check_master(&self, from: &BoundPid) -> Result<(), &'static str> {
        if !from.may_speak_as(Kind::Master) {
            return Err("the sender is not a master");
        }
        // Where certificates carry identities, that of a master is proof enough.
        if from.identity().is_some() || !self.rules.authenticates {
            return Ok(());
        }
        let Some(session) = &self.session else {
            return Err("the agent has not authenticated with its master");
        };
        match from.session() {
            Some(proof) if proof.session.id == session.id => is_tied(proof),
            Some(_) => Err("the sender's session is over"),
            None => Err("the sender is not tied to the agent's session with its master"),
        }
    }
}

/// Mechanisms that leave no key behind have nothing better than the address to recognize a stock
/// master's other connections by; with the others that is not enough.
fn is_tied(proof: &SessionProof) -> Result<(), &'static str> {
    let keyless = matches!(proof.session.mechanism.as_str(), "CRAM-MD5" | "PLAIN");
    match proof.tie {
        Tie::Exchange | Tie::Keyed => Ok(()),
        Tie::DangerSameAddress if keyless => Ok(()),
        Tie::DangerSameAddress => {
            Err("an address is not enough to be the master of a session with a key")
        }
    }
}
