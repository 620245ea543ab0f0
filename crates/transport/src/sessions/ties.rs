//! The sessions of one connection.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use libprocess::channel::ChannelClaim;
use libprocess::sender::{Finding, PeerFacts, SessionId, SessionProof, Tie};
use libprocess::upid::Upid;

use super::Sessions;
use super::entry::{Certificates, Entry};

/// Claims of one connection that are kept until the session that they are about is known: the
/// other end may be ready before us.
const MOST_CLAIMS: usize = 8;
/// Sessions of one connection after which those that are over are looked for.
const MANY: usize = 64;

/// What ties a connection that we accepted to sessions. Ends with the connection, and says so.
#[derive(Debug)]
pub(crate) struct Ties {
    sessions: Arc<Sessions>,
    facts: Arc<PeerFacts>,
    certificates: Certificates,
    /// Made and not looked at.
    claims: Vec<ChannelClaim>,
    /// Those that a claim has proved.
    keyed: Known,
    /// Whom the message before this was from.
    last: Option<(Arc<Entry>, Tie)>,
}

impl Ties {
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        facts: Arc<PeerFacts>,
        certificates: Certificates,
    ) -> Self {
        sessions.opened(facts.connection);
        let (claims, keyed, last) = Default::default();
        Self { sessions, facts, certificates, claims, keyed, last }
    }

    /// The head of a message claims that this connection belongs to a session.
    pub(crate) fn claim(&mut self, claim: ChannelClaim) {
        if self.claims.contains(&claim) {
            return;
        }
        if self.claims.len() == MOST_CLAIMS {
            self.claims.remove(0);
        }
        self.claims.push(claim);
    }

    /// What there is to say about a message from `claimed` to our actor `to` on this connection.
    pub(crate) fn prove(&mut self, claimed: &Upid, to: &str) -> Finding {
        if let Some((entry, tie)) = &self.last
            && !entry.is_over()
            && entry.covers(claimed, to)
        {
            return tied(entry, *tie);
        }
        self.last = None;
        if self.sessions.count() == 0 {
            return Finding::Nothing;
        }
        let Some(entry) = self.sessions.book().from(claimed, to) else { return Finding::Nothing };
        let Some(tie) = self.tie(&entry) else {
            return Finding::Untied(Arc::clone(&entry.session));
        };
        let finding = tied(&entry, tie);
        // Only this one ends by time.
        if tie != Tie::DangerSameAddress {
            self.last = Some((entry, tie));
        }
        finding
    }

    fn tie(&mut self, entry: &Arc<Entry>) -> Option<Tie> {
        if entry.is_exchange(&self.facts) {
            return Some(Tie::Exchange);
        }
        if self.is_keyed(entry) {
            return Some(Tie::Keyed);
        }
        let rule = self.sessions.same_address;
        entry
            .is_same_address(&self.facts, rule, self.certificates)
            .then_some(Tie::DangerSameAddress)
    }

    fn is_keyed(&mut self, entry: &Arc<Entry>) -> bool {
        if self.keyed.contains(entry) {
            return true;
        }
        if self.claims.is_empty() || !entry.agrees(&self.facts, self.certificates) {
            return false;
        }
        let mut admitted = false;
        // Those about this session are looked at once.
        self.claims.retain(|claim| {
            let about = entry.is_claimed_by(claim);
            admitted |= about && entry.admits(claim, &self.facts);
            !about
        });
        if admitted {
            self.keyed.insert(entry);
        } else {
            let address = self.facts.address;
            tracing::debug!(%address, "no claim ties this connection to the session");
        }
        admitted
    }
}

impl Drop for Ties {
    fn drop(&mut self) {
        self.sessions.ended(self.facts.connection);
    }
}

fn tied(entry: &Entry, tie: Tie) -> Finding {
    Finding::Tied(SessionProof { session: Arc::clone(&entry.session), tie })
}

/// The sessions that were introduced on a connection that we opened. Ends with the connection, and
/// says so.
#[derive(Debug)]
pub(crate) struct Introductions {
    sessions: Arc<Sessions>,
    facts: Arc<PeerFacts>,
    made: Known,
}

impl Introductions {
    pub(crate) fn new(sessions: Arc<Sessions>, facts: Arc<PeerFacts>) -> Self {
        sessions.opened(facts.connection);
        Self { sessions, facts, made: Known::default() }
    }

    /// The claim that has to stand in the head of a message from our actor `from` to `to`; `None`
    /// if none has to.
    pub(crate) fn introduce(&mut self, from: &str, to: &Upid) -> Option<ChannelClaim> {
        if self.sessions.count() == 0 {
            return None;
        }
        let entry = self.sessions.book().to(from, to)?;
        if self.made.contains(&entry) {
            return None;
        }
        self.made.insert(&entry);
        entry.claim(&self.facts)
    }
}

#[cfg(test)]
impl Introductions {
    pub(super) fn known(&self) -> usize {
        self.made.0.len()
    }
}

impl Drop for Introductions {
    fn drop(&mut self) {
        self.sessions.ended(self.facts.connection);
    }
}

/// A set of sessions, about as large as those of them that live.
#[derive(Debug, Default)]
struct Known(HashMap<SessionId, Weak<Entry>>);

impl Known {
    fn contains(&self, entry: &Entry) -> bool {
        self.0.contains_key(&entry.session.id)
    }

    fn insert(&mut self, entry: &Arc<Entry>) {
        if self.0.len() >= MANY && self.0.len() == self.0.capacity() {
            self.0.retain(|_, entry| entry.upgrade().is_some_and(|entry| !entry.is_over()));
        }
        self.0.insert(entry.session.id, Arc::downgrade(entry));
    }
}
