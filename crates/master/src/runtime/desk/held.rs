//! Registrations that wait until their sender's attempt is over.

use std::sync::Arc;

use libprocess::sender::{BindError, BoundPid, ClaimedPid, PeerFacts, bind};
use transport::messenger::Listeners;
use transport::server::MemoryShare;
use transport::sessions::Sessions;
use transport::tls::Security;

use crate::engine::event::Event;
use crate::engine::message::Inbound;

/// A registration.
#[derive(Debug)]
pub(in super::super) struct Held {
    /// Who sent it, as far as that was proved when it came.
    pub(in super::super) from: BoundPid,
    /// The addressed actor.
    pub(in super::super) to: String,
    /// What it says.
    pub(in super::super) message: Box<Inbound>,
    /// The connection on which it came.
    pub(in super::super) facts: Arc<PeerFacts>,
    /// The memory that it takes.
    pub(in super::super) memory: MemoryShare,
}

impl Held {
    /// What the engine is told when there is nothing to wait for.
    pub(in super::super) fn at_once(self) -> (Event, MemoryShare) {
        let Self { from, to, message, memory, .. } = self;
        (Event::Message { from, to, message }, memory)
    }

    /// What the engine is told after the attempt: the sender is bound anew, to what it has proved
    /// meanwhile.
    pub(super) fn bound_again(
        self,
        sessions: &Sessions,
        listeners: &Listeners,
        security: &Security,
    ) -> Result<(Event, MemoryShare), BindError> {
        let Self { from, to, message, facts, memory } = self;
        let upid = from.upid().clone();
        let listener = listeners.at(upid.address);
        let finding = sessions.prove(&upid, &facts);
        let rule = security.binding(&facts);
        let from = bind(ClaimedPid(upid), &facts, rule, listener.as_ref(), finding)?;
        Ok((Event::Message { from, to, message }, memory))
    }
}
