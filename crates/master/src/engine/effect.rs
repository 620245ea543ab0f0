//! What the master does.

use std::sync::Arc;

use authn::audit::Decision;
use libprocess::sender::SessionId;
use libprocess::upid::Upid;
use model::identity::Identity;
use wire::v1::scheduler;

use super::announcement::Announcement;
use super::event::{RequestId, SubscriptionId};
use super::message::Outbound;
use super::refusal::Refusal;

/// The address of an agent or a driver, and who must answer there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Where it listens.
    pub pid: Upid,
    /// The identity that its certificate must carry; `None` only in plaintext clusters.
    pub identity: Option<Identity>,
}

/// How loudly something is said in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something happened as it should.
    Info,
    /// Something was refused or went wrong, and the master goes on.
    Warn,
    /// Something an operator has to look at.
    Error,
}

/// What a request is answered with when it is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// `202 Accepted`: noted, what follows comes on the stream.
    Accepted,
    /// `200 OK`: done.
    Done,
}

/// Something to do. Effects are executed in their order; what follows an
/// [`Effect::Persist`] happens only after the write is durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Tell the operators' streams.
    Announce(Announcement),
    /// Answer the request.
    Answer {
        /// Which request.
        request: RequestId,
        /// Accepted, or why not.
        answer: Result<Accepted, Refusal>,
    },
    /// Write down who was let in or refused.
    Audit(Decision),
    /// End the stream, after what was sent on it before.
    CloseStream {
        /// Which stream.
        subscription: SubscriptionId,
    },
    /// Believe nothing more on account of this session, if it is still the one with this client:
    /// a new one has nothing to do with what ended.
    EndSession {
        /// The client.
        pid: Upid,
        /// Which session.
        session: SessionId,
    },
    /// Keep a connection to the peer and report its end as [`super::event::Event::Exited`].
    /// A link that exists is made anew.
    Link {
        /// To whom.
        peer: Peer,
    },
    /// Tell the log.
    Log {
        /// How loudly.
        level: Level,
        /// What; one line, values from outside escaped.
        text: String,
    },
    /// Make the change durable, before anything that follows.
    Persist(registry::Operation),
    /// Send a libprocess message.
    Send {
        /// The actor that speaks: `master` or `slave-observer(N)`.
        from: String,
        /// To whom. A peer with another identity must not get it.
        to: Peer,
        /// What.
        message: Arc<Outbound>,
    },
    /// End this master: it can no longer do its duty.
    Stop {
        /// Why.
        reason: String,
    },
    /// Send an event on a scheduler's stream.
    Stream {
        /// Which stream.
        subscription: SubscriptionId,
        /// What.
        event: Box<scheduler::Event>,
    },
    /// The link to the peer is no longer needed.
    Unlink {
        /// To whom.
        peer: Peer,
    },
}
