//! Reading and writing on one connection, without one waiting for the other.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use libprocess::decode::Decoder;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::stream::Stream;

/// The bytes of one connection in both directions.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// What was received.
    pub(super) decoder: Decoder,
    /// Answers that wait to be written.
    pub(super) out: BytesMut,
    /// Whether the peer sends nothing more.
    pub(super) ended: bool,
}

/// Bytes read at once.
const READ: usize = 32 * 1024;
/// Unwritten answers above which nothing more is read: many thousand answers to messages.
const MAX_OUT: usize = 1024 * 1024;
/// How long to listen to a peer that is still sending when the connection is closed.
const LINGER: Duration = Duration::from_secs(2);

/// Why an answer was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteFailure {
    /// The peer took nothing for too long.
    Deadline,
    /// The peer is gone.
    Gone,
}

impl Wire {
    pub(super) fn new(stream: Stream, decoder: Decoder) -> Self {
        Self { stream, decoder, out: BytesMut::new(), ended: false }
    }

    /// Waits for more bytes, or for the end. Meanwhile writes what waits to be written, as far as
    /// the peer takes it; a peer that never reads its answers does not keep its messages from
    /// being read. Cancel-safe.
    pub(super) async fn fill(&mut self) {
        let read = poll_fn(|cx| self.poll_fill(cx)).await;
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "reading from a connection failed");
                self.ended = true;
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.poll_drain(cx).is_pending() && self.out.len() > MAX_OUT {
            return Poll::Pending;
        }
        let buffer = self.decoder.buffer();
        buffer.reserve(READ);
        let polled = pin!(self.stream.read_buf(buffer)).poll(cx);
        if polled.is_pending() && buffer.is_empty() {
            // An idle connection holds no buffer.
            *buffer = BytesMut::new();
        }
        polled
    }

    /// Writes what waits to be written. Ready when nothing waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.out.is_empty() {
            if self.stream.is_broken() {
                self.out.clear();
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(written)) if written > 0 => self.out.advance(written),
                // A write that fails leaves what can be read.
                Poll::Ready(Ok(_) | Err(_)) => self.out.clear(),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.out.is_empty() && self.out.capacity() > 0 {
            self.out = BytesMut::new();
        }
        Poll::Ready(())
    }

    /// Waits for `work`, and meanwhile writes what waits to be written: a peer gets the answers to
    /// its first messages even while the program has no room for the next one.
    pub(super) async fn writing_during<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let done = work.as_mut().poll(cx);
            if done.is_pending() {
                let _ = self.poll_drain(cx);
            }
            done
        })
        .await
    }

    /// Writes everything that waits to be written, and then `bytes`.
    pub(super) async fn write(
        &mut self,
        bytes: &[u8],
        deadline: Duration,
    ) -> Result<(), WriteFailure> {
        self.flush(deadline).await?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.write_some(rest, deadline).await?;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Writes everything that waits to be written.
    pub(super) async fn flush(&mut self, deadline: Duration) -> Result<(), WriteFailure> {
        while !self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            let mut rest = &out[..];
            while !rest.is_empty() {
                let written = self.write_some(rest, deadline).await?;
                rest = &rest[written..];
            }
        }
        Ok(())
    }

    async fn write_some(&mut self, rest: &[u8], deadline: Duration) -> Result<usize, WriteFailure> {
        let written = timeout(deadline, self.stream.write(rest)).await;
        if self.stream.is_broken() {
            return Err(WriteFailure::Gone);
        }
        match written {
            Ok(Ok(written)) if written > 0 => Ok(written),
            Ok(_) => Err(WriteFailure::Gone),
            Err(_) => Err(WriteFailure::Deadline),
        }
    }

    /// Ends the connection so that the peer can read what was written to it: closing while
    /// received bytes are unread would reset the connection.
    pub(super) async fn close(mut self, deadline: Duration) {
        if self.flush(deadline).await.is_err() {
            return;
        }
        let farewell = async {
            if self.stream.shutdown().await.is_err() || self.ended {
                return;
            }
            let mut discarded = [0_u8; 4096];
            while matches!(self.stream.read(&mut discarded).await, Ok(read) if read > 0) {}
        };
        // A peer that goes on sending is not waited for.
        let _ = timeout(LINGER, farewell).await;
    }
}
