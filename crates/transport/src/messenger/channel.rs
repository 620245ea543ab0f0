//! What the connection to an address proves: for whoever binds an exchange to it.

use std::net::SocketAddrV4;
use std::sync::Arc;

use libprocess::sender::PeerFacts;
use libprocess::upid::Upid;
use tokio::sync::oneshot;

use super::{Item, Messenger};
use crate::tls::Expected;

/// Why there is no connection whose facts could be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// It was not opened, or ended meanwhile.
    #[error("there is no connection to {address}: {reason}")]
    NoConnection {
        /// Where it should have led.
        address: SocketAddrV4,
        /// Why.
        reason: String,
    },
    /// It leads to somebody else.
    #[error("{expected} was expected at {address}, and somebody else is there")]
    SomebodyElse {
        /// Where it leads.
        address: SocketAddrV4,
        /// Who was expected.
        expected: Expected,
    },
    /// Too many messages wait for the peer.
    #[error("too many messages wait for {0}")]
    QueueFull(SocketAddrV4),
}

/// Where the facts of a connection, or the reason why there are none, are put.
pub(super) type Answer = oneshot::Sender<Result<Arc<PeerFacts>, ChannelError>>;

impl Messenger {
    /// What the connection to the address of `to` proves about its other end. Opens it if there is
    /// none, and waits for the end of the handshake. Must be called inside the runtime.
    ///
    /// Messages to that address that are sent after the answer travel on this very connection, and
    /// if it ends, on another one with another
    /// [`ConnectionId`](libprocess::sender::ConnectionId). A link keeps it open; without one it
    /// ends when it was idle for a while.
    pub async fn channel(
        &self,
        to: &Upid,
        expected: Expected,
    ) -> Result<Arc<PeerFacts>, ChannelError> {
        let address = to.address;
        let (answer, answered) = oneshot::channel();
        {
            let mut peers = self.inner.peers();
            let peer = self.inner.peer(&mut peers, address, &expected);
            let item = Item::Channel { expected, answer };
            peer.queue.put(item).map_err(|_| ChannelError::QueueFull(address))?;
        }
        let gone = |_| ChannelError::NoConnection { address, reason: "it was given up".to_owned() };
        answered.await.map_err(gone)?
    }
}
