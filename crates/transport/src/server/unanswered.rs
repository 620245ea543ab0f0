//! A connection that has not been answered yet.

use std::io::Read;

use tokio::net::TcpStream;

/// A socket on a TLS port before the first byte of its handshake was answered. If it must go
/// before that (no room, the server stops), the peer is told so as TLS says it: who closes without
/// a word passes for somebody that speaks no TLS, and a peer that may fall back to plaintext would.
#[derive(Debug)]
pub(super) struct Unanswered {
    socket: Option<TcpStream>,
    /// Whether the port speaks TLS. On any other there is nothing to be told.
    tls: bool,
}

/// A record of kind alert: fatal, `internal_error` (RFC 8446 §6.2).
const ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50];

impl Unanswered {
    pub(super) fn new(socket: TcpStream, tls: bool) -> Self {
        Self { socket: Some(socket), tls }
    }

    /// The first byte of the peer, when it comes. `None`: it ended the connection.
    pub(super) async fn first(&self) -> Option<u8> {
        let mut first = [0_u8];
        match self.socket.as_ref()?.peek(&mut first).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(first[0]),
        }
    }

    /// The socket, for who answers now.
    pub(super) fn answer(mut self) -> Option<TcpStream> {
        self.socket.take()
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.as_ref().filter(|_| self.tls) {
            // Past the runtime, which does not know yet whether a new socket can be written.
            let socket = socket2::SockRef::from(socket);
            // Nobody is waited for: what does not fit, or meets a peer that is gone, is lost.
            let _ = socket.send(&ALERT);
            // What is unread when a socket is closed resets the connection.
            let _ = (&*socket).read(&mut [0; 2048]);
        }
    }
}
