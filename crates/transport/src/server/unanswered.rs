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

/// How often is read before a socket is closed: 16 KiB in all, which is a whole record.
const ROUNDS: usize = 8;

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
            // What is unread when a socket is closed resets the connection, and the alert may go
            // with it. What has come is read, as far as a hello goes; nothing is waited for.
            let mut hello = [0; 2048];
            for _ in 0..ROUNDS {
                if !matches!((&*socket).read(&mut hello), Ok(read) if read > 0) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn d3_a_large_tls_hello_does_not_reset_the_alert_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        client.write_all(&[0x16; 16_000]).await.unwrap();
        let mut seen = vec![0; 16_000];
        while socket.peek(&mut seen).await.unwrap() < seen.len() {
            tokio::task::yield_now().await;
        }
        drop(Unanswered::new(socket, true));
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, ALERT);
    }
}
