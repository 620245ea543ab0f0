//! One connection, encrypted or not.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Enduring),
    /// One that we accepted.
    Tls(SslStream<Enduring>),
    /// One that we opened.
    Dialled(Dialled),
}

/// An encrypted connection that we opened.
pub(crate) type Dialled = TokioIo<hyper_openssl::SslStream<TokioIo<Enduring>>>;

impl Stream {
    /// Whether writing has failed: the peer receives nothing more.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.broken,
            Self::Tls(stream) => stream.get_ref().broken,
            Self::Dialled(stream) => stream.inner().get_ref().inner().broken,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => read_counted(stream, SslStream::get_mut, cx, buf),
            Self::Dialled(stream) => {
                let beneath: fn(&mut Dialled) -> &mut Enduring =
                    |stream| stream.inner_mut().get_mut().inner_mut();
                read_counted(stream, beneath, cx, buf)
            }
        }
    }
}

/// Reads from `stream`, and sees to it that what comes carries something. `beneath` is the socket
/// of the stream.
fn read_counted<S: AsyncRead + Unpin>(
    stream: &mut S,
    beneath: impl Fn(&mut S) -> &mut Enduring,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buf.filled().len();
    beneath(stream).contents.get_or_insert(Contents { received: 0, contents: 0 });
    let polled = Pin::new(&mut *stream).poll_read(cx, buf);
    let read = buf.filled().len() - before;
    let account = &mut beneath(stream).contents;
    if account.as_mut().is_some_and(|account| account.read(read)) {
        polled
    } else {
        Poll::Ready(Err(io::Error::other(EmptyRecords)))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Dialled(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Dialled(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // TLS copies what it writes.
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Dialled(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Dialled(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What came over a TLS connection after its handshake.
///
/// Records that carry nothing of what the peer has to say (requests for new keys, tickets,
/// handshakes that are refused) cost us more than they cost the peer, and no deadline ends them.
/// So there may be only so many of them for what it says.
#[derive(Debug)]
struct Contents {
    /// Bytes received.
    received: u64,
    /// Bytes that they carried.
    contents: u64,
}

/// Bytes that may be received for nothing: some thousand requests for new keys.
const FOR_NOTHING: u64 = 64 * 1024;
/// Bytes that may be received for each byte of contents: a record for each with the longest
/// padding.
const FOR_ONE: u64 = 512;

impl Contents {
    /// So many bytes of contents were read. Returns whether that is enough for what came.
    fn read(&mut self, more: usize) -> bool {
        self.contents += more as u64;
        self.received <= FOR_NOTHING.saturating_add(self.contents.saturating_mul(FOR_ONE))
    }
}

/// The peer sends TLS records without end that carry nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer sends TLS records that carry nothing")]
pub(crate) struct EmptyRecords;

/// A socket beneath TLS and HTTP on which a peer's disappearance does not hide what the peer sent
/// before it disappeared.
///
/// A peer may reset the connection right after the last byte of a message (the original does).
/// Then our answers cannot be written, while what we received is still in the kernel, or half
/// decrypted in the TLS library, which refuses to go on after an error. So a failed write is
/// remembered and otherwise taken for done, and a reset is the end of what can be read.
#[derive(Debug)]
pub(crate) struct Enduring {
    socket: TcpStream,
    broken: bool,
    shown: Shown,
    /// From the end of the TLS handshake on.
    contents: Option<Contents>,
    /// Learns whether the peer has shown that it speaks no TLS.
    told: Option<Arc<AtomicBool>>,
}

/// What a peer has shown of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Nothing yet.
    Nothing,
    /// It sent something, and this first.
    Byte(u8),
    /// It ended the connection without a byte.
    End,
    /// The network lost it before it showed anything.
    Loss,
}

impl Enduring {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, broken: false, shown: Shown::Nothing, contents: None, told: None }
    }

    /// Tells `told` whether the peer has shown that it speaks no TLS, as soon as it shows
    /// something: whoever fails a handshake takes the socket along.
    pub(crate) fn telling(self, told: Arc<AtomicBool>) -> Self {
        Self { told: Some(told), ..self }
    }

    /// Whether the peer has shown that it speaks no TLS: the first that it ever sent was no TLS
    /// record, or it ended the connection without having sent anything. For a client, which has
    /// said hello. An alert, a failed verification or a lost network show nothing of the kind.
    pub(crate) fn speaks_no_tls(&self) -> bool {
        match self.shown {
            Shown::Byte(first) => !TLS_RECORDS.contains(&first),
            Shown::End => true,
            Shown::Nothing | Shown::Loss => false,
        }
    }

    fn show(&mut self, shown: Shown) {
        if self.shown == Shown::Nothing {
            self.shown = shown;
            if let Some(told) = &self.told {
                told.store(self.speaks_no_tls(), Ordering::Relaxed);
            }
        }
    }
}

impl AsyncRead for Enduring {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buf) {
            Poll::Ready(Err(error)) if is_disappearance(&error) => {
                self.broken = true;
                self.show(if is_loss(&error) { Shown::Loss } else { Shown::End });
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                let received = &buf.filled()[before..];
                self.show(received.first().map_or(Shown::End, |first| Shown::Byte(*first)));
                if let Some(account) = &mut self.contents {
                    account.received += received.len() as u64;
                }
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl Enduring {
    /// What a write comes to, `wanted` bytes of it: one that fails is remembered.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) => {
                self.broken = true;
                if is_loss(&error) {
                    self.show(Shown::Loss);
                }
                Poll::Ready(Ok(wanted))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Enduring {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        if self.broken {
            return Poll::Ready(Ok(wanted));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(written, wanted)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The kinds of TLS records.
const TLS_RECORDS: std::ops::RangeInclusive<u8> = 0x14..=0x17;

/// Whether the network, and not the peer, ended a connection.
fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut
    )
}

fn is_disappearance(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
    )
}

/// How the kernel probes a silent connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between two probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection is broken.
    pub probes: u32,
}

impl Default for KeepAlive {
    /// A vanished peer is noticed within two minutes.
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(15), probes: 4 }
    }
}

/// Sets what every socket has: no delay for small writes, and keep-alive probes. The sockets that
/// a listener accepts have what it has.
pub(crate) fn prepare(socket: &impl AsFd, keep_alive: KeepAlive) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let probes = socket2::TcpKeepalive::new()
        .with_time(keep_alive.idle)
        .with_interval(keep_alive.interval)
        .with_retries(keep_alive.probes);
    socket.set_tcp_keepalive(&probes)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What a peer that does this has shown.
    async fn shown(act: impl AsyncFnOnce(TcpStream)) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut socket = Enduring::new(socket);
        socket.write_all(b"hello").await.unwrap();
        act(listener.accept().await.unwrap().0).await;
        while socket.read(&mut [0; 100]).await.unwrap() > 0 {}
        socket.speaks_no_tls()
    }

    #[tokio::test]
    async fn accepted_sockets_have_what_their_listener_has() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        prepare(&listener, KeepAlive::default()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let of = |socket: &TcpStream| {
            let socket = socket2::SockRef::from(socket);
            let idle = socket.tcp_keepalive_time().unwrap();
            let probes =
                (socket.tcp_keepalive_interval().unwrap(), socket.tcp_keepalive_retries().unwrap());
            (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap(), idle, probes)
        };
        let KeepAlive { idle, interval, probes } = KeepAlive::default();
        assert_eq!(of(&accepted), (true, true, idle, (interval, probes)));
        assert_ne!(of(&client), of(&accepted));
    }

    #[tokio::test]
    async fn what_a_peer_does_shows_whether_it_speaks_tls() {
        // It answers as HTTP does, closes, or resets.
        assert!(shown(async |mut peer| peer.write_all(b"HTTP/1.1 400 ").await.unwrap()).await);
        assert!(shown(async |mut peer| peer.shutdown().await.unwrap()).await);
        assert!(shown(async |peer| peer.set_zero_linger().unwrap()).await);
        // It sends an alert or a part of a handshake, whatever it does then.
        assert!(!shown(async |mut peer| peer.write_all(b"\x15").await.unwrap()).await);
        assert!(!shown(async |mut peer| peer.write_all(b"\x15\x03\x01HTTP").await.unwrap()).await);
        let partly = async |mut peer: TcpStream| {
            peer.write_all(b"\x16\x03").await.unwrap();
            peer.shutdown().await.unwrap();
        };
        assert!(!shown(partly).await);
    }

    #[test]
    fn who_is_lost_or_silent_has_not_shown_that_it_speaks_no_tls() {
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable] {
            assert!(is_disappearance(&kind.into()) && is_loss(&kind.into()));
        }
        assert!(!is_loss(&io::ErrorKind::ConnectionReset.into()));
    }

    #[test]
    fn tls_records_without_contents_are_bounded() {
        let mut account = Contents { received: 0, contents: 0 };
        // An hour of messages of one byte, and a new key now and then.
        for n in 0..1_000_000 {
            account.received += if n % 1000 == 0 { 27 } else { 300 };
            assert!(account.read(1));
        }
        let mut account = Contents { received: 0, contents: 0 };
        let flood = (0..).take_while(|_| {
            account.received += 27;
            account.read(0)
        });
        assert_eq!(flood.count(), 2427);
    }
}
