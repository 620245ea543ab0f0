//! Reading and writing on one connection, without one waiting for the other.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::StatusCode;
use libprocess::decode::Decoder;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connected;
use super::pace::{Pace, Progress};
use super::{Response, head};
use crate::stream::{EmptyRecords, Stream};

/// The bytes of one connection in both directions.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// What was received.
    pub(super) decoder: Decoder,
    /// Answers that wait to be written.
    pub(super) out: BytesMut,
    /// How many times `202 Accepted` waits to be written after `out`. A peer that never reads its
    /// answers costs no more memory for the next million messages.
    accepted: u64,
    /// Room for bytes to be read at once.
    room: usize,
    /// How fast the peer takes what waits.
    progress: Progress,
    /// Bytes of answers written since other connections had their turn.
    since_turn: usize,
    /// Whether the peer sends nothing more.
    pub(super) ended: bool,
    /// Whether the connection was ended because the peer sends TLS records that carry nothing.
    pub(super) floods: bool,
}

/// Room for bytes to be read at once, for a peer of whom nothing is known, and for one that fills
/// it. Who stops in the middle of a head has cost no more than it sent, and the least.
const LEAST_ROOM: usize = 4 * 1024;
const MOST_ROOM: usize = 32 * 1024;
/// A read of so many bytes is as large as TLS gives them.
const MOST_OF_A_RECORD: usize = 16 * 1024;
/// Unwritten bytes above which no further answer is put to them.
const MAX_OUT: usize = 16 * 1024;
/// Unwritten bytes that are written although more is there to be read: about a hundred answers to
/// messages.
const WORTH_A_WRITE: usize = 8 * 1024;
/// How much of a long answer is written in one go. The socket of a peer that is quick takes all of
/// it: after so much, others that have something to read or to write get their turn.
pub(super) const A_TURN: usize = 128 * 1024;
/// How long to listen to a peer that is still sending when the connection is closed.
const LINGER: Duration = Duration::from_secs(2);

/// Why an answer was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteFailure {
    /// The peer takes it too slowly.
    Deadline,
    /// The peer is gone.
    Gone,
}

impl Wire {
    pub(super) fn new(stream: Stream, decoder: Decoder, pace: Pace) -> Self {
        let out = BytesMut::new();
        let progress = Progress::new(pace);
        let room = LEAST_ROOM;
        Self {
            stream,
            decoder,
            out,
            accepted: 0,
            room,
            progress,
            since_turn: 0,
            ended: false,
            floods: false,
        }
    }

    /// Answers a message with `202 Accepted`, after everything that waits to be written. Never
    /// waits.
    pub(super) fn accept(&mut self) {
        self.accepted += 1;
        self.spell_out();
    }

    /// Waits until something other than `202 Accepted` may be put to `out`: until its place in
    /// the order of answers has come, and there is room. Cancel-safe.
    pub(super) async fn make_room(&mut self) -> Result<(), WriteFailure> {
        while self.accepted > 0 || self.out.len() > MAX_OUT {
            let until = self.progress.waits();
            let drained = timeout_at(until, poll_fn(|cx| self.poll_drain(cx))).await;
            if drained.is_err() && self.progress.is_too_slow() {
                return Err(WriteFailure::Deadline);
            }
        }
        Ok(())
    }

    /// Until when the peer must have taken more of what waits; `None` if nothing waits.
    pub(super) fn must_take_until(&mut self) -> Option<Instant> {
        (!self.out.is_empty()).then(|| self.progress.waits())
    }

    /// Whether the peer takes what waits too slowly.
    pub(super) fn is_stuck(&self) -> bool {
        self.progress.is_too_slow()
    }

    /// Writes out answers that are only counted, as far as there is room.
    fn spell_out(&mut self) {
        if self.accepted == 0 || self.out.len() >= MAX_OUT {
            return;
        }
        let mut one = BytesMut::new();
        let response = Response::new(StatusCode::ACCEPTED);
        head::write(&mut one, &response, Connected::Stay, true);
        while self.accepted > 0 && self.out.len() < MAX_OUT {
            self.out.extend_from_slice(&one);
            self.accepted -= 1;
        }
    }

    /// Waits for more bytes, or for the end. Meanwhile writes what waits to be written, as far as
    /// the peer takes it; while bytes keep coming it waits until it is worth a write. A peer that never reads its answers does not keep its messages from
    /// being read. Cancel-safe.
    pub(super) async fn fill(&mut self) {
        let read = poll_fn(|cx| self.poll_fill(cx)).await;
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "reading from a connection failed");
                self.ended = true;
                self.floods = error.get_ref().is_some_and(|e| e.is::<EmptyRecords>());
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // What a drain leaves is bounded: more than `MAX_OUT` and a count does not come together.
        if self.out.len() >= WORTH_A_WRITE {
            let _ = self.poll_drain(cx);
        }
        let buffer = self.decoder.buffer();
        buffer.reserve(self.room);
        let room = buffer.capacity() - buffer.len();
        let polled = pin!(self.stream.read_buf(buffer)).poll(cx);
        if let Poll::Ready(Ok(read)) = &polled
            && *read >= room.min(MOST_OF_A_RECORD)
        {
            self.room = MOST_ROOM;
        }
        if polled.is_pending() {
            self.room = LEAST_ROOM;
            if buffer.is_empty() {
                // An idle connection holds no buffer.
                *buffer = BytesMut::new();
            } else if buffer.len() < LEAST_ROOM && buffer.capacity() > 2 * LEAST_ROOM {
                *buffer = BytesMut::from(&buffer[..]);
            }
            let _ = self.poll_drain(cx);
        }
        polled
    }

    /// Writes what waits to be written. Ready when nothing waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.spell_out();
        while !self.out.is_empty() {
            if self.stream.is_broken() {
                self.forget_answers();
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.out.advance(written);
                    self.progress.took(written);
                }
                // A write that fails leaves what can be read.
                Poll::Ready(Ok(_) | Err(_)) => self.forget_answers(),
                Poll::Pending => {
                    self.progress.waits();
                    return Poll::Pending;
                }
            }
            if self.out.is_empty() {
                self.spell_out();
            }
        }
        self.progress.done();
        if self.out.is_empty() && self.out.capacity() > 0 {
            self.out = BytesMut::new();
        }
        Poll::Ready(())
    }

    /// Nobody takes answers any more.
    fn forget_answers(&mut self) {
        self.out.clear();
        self.accepted = 0;
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
    pub(super) async fn write(&mut self, bytes: impl Buf) -> Result<(), WriteFailure> {
        self.flush().await?;
        self.write_all(bytes).await?;
        self.progress.done();
        Ok(())
    }

    /// Writes everything that waits to be written.
    pub(super) async fn flush(&mut self) -> Result<(), WriteFailure> {
        while !self.out.is_empty() {
            let out = std::mem::take(&mut self.out);
            self.write_all(out).await?;
            self.spell_out();
        }
        self.progress.done();
        Ok(())
    }

    async fn write_all(&mut self, mut bytes: impl Buf) -> Result<(), WriteFailure> {
        while bytes.has_remaining() {
            if self.since_turn >= A_TURN {
                self.since_turn = 0;
                // Not before the runtime has seen what the other sockets are ready for.
                yield_now().await;
            }
            let until = self.progress.waits();
            let mut turn = (&mut bytes).take(A_TURN);
            let written = timeout_at(until, self.stream.write_buf(&mut turn)).await;
            if self.stream.is_broken() {
                return Err(WriteFailure::Gone);
            }
            match written {
                Ok(Ok(written)) if written > 0 => {
                    self.progress.took(written);
                    self.since_turn += written;
                }
                Ok(_) => return Err(WriteFailure::Gone),
                Err(_) => return Err(WriteFailure::Deadline),
            }
        }
        Ok(())
    }

    /// Ends the connection so that the peer can read what was written to it: closing while
    /// received bytes are unread would reset the connection.
    pub(super) async fn close(mut self) {
        if self.flush().await.is_err() {
            return;
        }
        let farewell = async {
            if self.stream.shutdown().await.is_err() || self.ended {
                return;
            }
            // On the heap: every connection has the size of what it may become.
            let mut discarded = vec![0; 4096];
            while matches!(self.stream.read(&mut discarded).await, Ok(read) if read > 0) {}
        };
        // A peer that goes on sending is not waited for.
        let _ = timeout(LINGER, farewell).await;
    }
}

#[cfg(test)]
mod tests {
    use libprocess::decode::Limits;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::stream::Enduring;

    async fn wire() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let stream = Stream::Plain(Enduring::new(socket));
        (Wire::new(stream, Decoder::new(Limits::default()), Pace::default()), client)
    }

    #[tokio::test]
    async fn accepted_messages_cost_a_count_and_are_all_answered_in_their_place() {
        const MANY: usize = 200_000;
        let (mut wire, mut client) = wire().await;
        for _ in 0..MANY {
            wire.accept();
        }
        assert!(wire.out.len() < MAX_OUT + 1000, "{}", wire.out.len());
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            text
        });
        wire.make_room().await.unwrap();
        wire.out.extend_from_slice(b"the next answer");
        wire.flush().await.unwrap();
        drop(wire);
        let text = reading.await.unwrap();
        assert_eq!(text.matches("HTTP/1.1 202 Accepted\r\n").count(), MANY);
        assert!(text.ends_with("\r\n\r\nthe next answer"));
    }

    #[tokio::test]
    async fn others_get_their_turn_while_a_quick_peer_takes_a_long_answer() {
        let (mut wire, _client) = wire().await;
        let others = tokio::spawn(async {});
        // The socket takes all of it at once.
        wire.write(&[0; 2 * A_TURN][..]).await.unwrap();
        assert!(others.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_deadline_for_a_peer_that_reads_nothing() {
        let (mut wire, _client) = wire().await;
        // Far more than any socket's buffers hold.
        wire.accepted = 10_000_000;
        assert_eq!(wire.make_room().await, Err(WriteFailure::Deadline));
        assert!(wire.is_stuck() && wire.must_take_until().is_some());
    }
}
