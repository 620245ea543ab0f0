//! What happens to the master.

use std::collections::BTreeSet;

use libprocess::sender::BoundPid;
use libprocess::upid::Upid;
use model::identity::Identity;
use model::principal::{Kinds, Owner};
use wire::v1::scheduler;

pub use super::command::{OperatorCommand, ResourceCommand};
use super::message::Inbound;

/// The driver's number for a request that waits for [`super::effect::Effect::Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The driver's number for one scheduler's event stream: fresh for each SUBSCRIBE. The secret
/// `Mesos-Stream-Id` that goes with it is known to the driver and the scheduler only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// Who made an HTTP request, as the door has proven it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The authenticated principal, if authentication took place.
    pub principal: Option<String>,
    /// The identity in the verified certificate; `None` only on plaintext connections.
    pub identity: Option<Identity>,
    /// To whom belongs what this caller brings.
    pub owner: Owner,
    /// As what kinds of component it may speak.
    pub kinds: Kinds,
}

/// Somebody who has proved nothing.
impl Default for Caller {
    fn default() -> Self {
        Self { principal: None, identity: None, owner: Owner::default(), kinds: Kinds::ANY }
    }
}

/// Which stream the `Mesos-Stream-Id` of a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// There was no such header.
    Missing,
    /// It names a stream that this master opened.
    Of(SubscriptionId),
    /// It names no stream of this master.
    Unknown,
}

/// Something that happened. Each event carries all that the engine needs to know of it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A scheduler's call other than SUBSCRIBE. Answered.
    Call {
        /// What the answer is for.
        request: RequestId,
        /// Who called.
        caller: Caller,
        /// Which stream it claims to belong to.
        stream: Stream,
        /// The call, decoded; not validated.
        call: Box<scheduler::Call>,
    },
    /// The moment of [`super::Engine::next_deadline`] has come.
    Deadline,
    /// The link to a peer broke.
    Exited {
        /// The peer's address.
        pid: Upid,
        /// The identity that answered there, if the link was encrypted.
        identity: Option<Identity>,
    },
    /// A libprocess message.
    Message {
        /// Who sent it; the connection vouches for this.
        from: BoundPid,
        /// The actor it is addressed to: `master` or `slave-observer(N)`.
        to: String,
        /// The message, decoded; not validated.
        message: Box<Inbound>,
    },
    /// An operator's command, authorized by the door. Answered.
    Operator {
        /// What the answer is for.
        request: RequestId,
        /// The command.
        command: OperatorCommand,
    },
    /// A scheduler's SUBSCRIBE. The answer is what comes on the stream: SUBSCRIBED or ERROR.
    Subscribe {
        /// The stream that the driver has opened for it.
        subscription: SubscriptionId,
        /// Who called.
        caller: Caller,
        /// The call, decoded; not validated.
        call: Box<scheduler::Call>,
    },
    /// From now on only agents on these hosts are offered.
    Whitelisted(BTreeSet<String>),
    /// A scheduler's stream ended: it hung up, or it read too slowly and was cut off.
    Unsubscribed {
        /// Which stream.
        subscription: SubscriptionId,
    },
}
