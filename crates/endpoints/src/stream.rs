//! Streams of records: what a subscriber is sent until one of the two sides ends it.
//!
//! The queue between the daemon and a subscriber is bounded. A subscriber that does not read is
//! cut off when the bound is reached: what is queued is dropped, the body ends in an error (so the
//! connection is closed, not ended in order), and [`Subscriber::send`] says why. Nothing in the
//! daemon ever waits for a subscriber.
//!
//! A stream may be held at first: what is sent waits until its beginning is there, which may take
//! long to make and may be larger than the bounds.
//!
//! Heartbeats are made on the reading side: one that nobody reads is never queued.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

/// What a record that waits costs beside its bytes.
const OVERHEAD: usize = 64;

/// How much may wait for a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records.
    pub records: usize,
    /// Bytes of all waiting records, with 64 more for each. One record may be larger than this, if it waits alone.
    pub bytes: usize,
}

impl Default for Bounds {
    /// Enough for a burst of updates to a busy framework, and little enough to hold for thousands.
    fn default() -> Self {
        Self { records: 256 * 1024, bytes: 64 * 1024 * 1024 }
    }
}

/// What keeps a silent stream alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The time from one to the next. The first is due after one such time: what is sent at once
    /// is sent by the caller.
    pub every: Duration,
    /// The record, framed: see [`frame`].
    pub record: Bytes,
}

/// Why a stream takes no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The connection is gone.
    #[error("the subscriber's connection is gone")]
    Gone,
    /// The subscriber did not read, and what waited for it reached the bounds.
    #[error("the subscriber does not read: more than it may leave waiting was waiting for it")]
    CutOff,
    /// The daemon ended it.
    #[error("the stream was ended")]
    Finished,
}

#[derive(Debug, Default)]
struct State {
    /// What comes before everything else, in pieces.
    beginning: VecDeque<Bytes>,
    /// Whether the beginning is still to come.
    held: bool,
    queue: VecDeque<Bytes>,
    bytes: usize,
    ended: Option<Ended>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
    /// Notified when the stream has ended and when its beginning was taken.
    ended: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the queue half changed: nothing in between can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: Ended) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(why);
        if why != Ended::Finished {
            state.beginning.clear();
            state.queue.clear();
            state.bytes = 0;
        }
        let waker = state.waker.take();
        drop(state);
        self.ended.notify_waiters();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Makes both ends of a stream.
#[must_use]
pub fn channel(bounds: Bounds, heartbeat: Option<Heartbeat>) -> (Subscriber, Records) {
    let shared =
        Arc::new(Shared { bounds, state: Mutex::new(State::default()), ended: Notify::new() });
    let heartbeat = heartbeat.map(|Heartbeat { every, record }| Beat { every, record, due: None });
    (Subscriber { shared: shared.clone() }, Records { shared, heartbeat })
}

/// A payload as a record: its length stands before it.
#[must_use]
pub fn frame(payload: &[u8]) -> Bytes {
    let mut record = Vec::with_capacity(payload.len() + 12);
    wire::recordio::encode(payload, &mut record);
    record.into()
}

/// The daemon's end. Dropping it ends the stream after what is queued.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
}

impl Subscriber {
    /// Queues one payload, or says why the stream takes no more. Never waits.
    pub fn send(&self, payload: &[u8]) -> Result<(), Ended> {
        self.send_record(frame(payload))
    }

    /// Keeps all that is sent back until [`Self::begin`].
    pub fn hold(&self) {
        self.shared.state().held = true;
    }

    /// Lets a stream go on that is held, with records that may come in pieces, framed already.
    /// They do not count against the bounds.
    pub fn begin(&self, pieces: impl IntoIterator<Item = Bytes>) {
        let mut state = self.shared.state();
        if matches!(state.ended, None | Some(Ended::Finished)) {
            state.beginning.extend(pieces);
        }
        state.held = false;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Cuts the subscriber off.
    pub fn cut_off(&self) {
        self.shared.end(Ended::CutOff);
    }

    /// [`Self::send`] of a payload that is framed already.
    pub fn send_record(&self, record: Bytes) -> Result<(), Ended> {
        let mut state = self.shared.state();
        if let Some(why) = state.ended {
            return Err(why);
        }
        let full = state.queue.len() >= self.shared.bounds.records
            || (!state.queue.is_empty()
                && state.bytes.saturating_add(record.len() + OVERHEAD) > self.shared.bounds.bytes);
        if full {
            drop(state);
            self.shared.end(Ended::CutOff);
            return Err(Ended::CutOff);
        }
        state.bytes += record.len() + OVERHEAD;
        state.queue.push_back(record);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Ends the stream in order: what is queued is still sent.
    pub fn finish(&self) {
        self.shared.end(Ended::Finished);
    }

    /// Why the stream takes no more, if it does not.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.shared.state().ended
    }

    /// Something to wait on until the stream has ended, whoever ended it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { shared: self.shared.clone() }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.end(Ended::Finished);
    }
}

/// Waits for the end of a stream without keeping it open.
#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    /// Returns when the stream has ended, with the reason.
    pub async fn ended(&self) -> Ended {
        loop {
            let notified = self.shared.ended.notified();
            if let Some(why) = self.shared.state().ended {
                return why;
            }
            notified.await;
        }
    }

    /// Returns when the reader has taken what a stream began with that was held, or the stream has
    /// ended.
    pub async fn greeted(&self) {
        loop {
            let notified = self.shared.ended.notified();
            let over = {
                let state = self.shared.state();
                state.ended.is_some() || (!state.held && state.beginning.is_empty())
            };
            if over {
                return;
            }
            notified.await;
        }
    }
}

#[derive(Debug)]
struct Beat {
    every: Duration,
    record: Bytes,
    due: Option<Pin<Box<Sleep>>>,
}

/// The subscriber's end: the body of the response.
#[derive(Debug)]
pub struct Records {
    shared: Arc<Shared>,
    heartbeat: Option<Beat>,
}

impl Records {
    /// Something to wait on until the stream has ended, whoever ended it. A connection that is
    /// stuck in a write does not come back for the next record; whoever drives it waits for
    /// [`Ended::CutOff`] here and drops it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { shared: self.shared.clone() }
    }

    /// The next record, framed. `None` at an orderly end; an error if the subscriber is cut off.
    pub fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Ended>>> {
        {
            let mut state = self.shared.state();
            if let Some(piece) = state.beginning.pop_front() {
                let last = state.beginning.is_empty();
                drop(state);
                if last {
                    self.shared.ended.notify_waiters();
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            if state.held && state.ended != Some(Ended::CutOff) {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if let Some(record) = state.queue.pop_front() {
                state.bytes -= record.len() + OVERHEAD;
                return Poll::Ready(Some(Ok(record)));
            }
            match state.ended {
                Some(Ended::CutOff) => return Poll::Ready(Some(Err(Ended::CutOff))),
                Some(_) => return Poll::Ready(None),
                None => state.waker = Some(cx.waker().clone()),
            }
        }
        let Some(beat) = &mut self.heartbeat else { return Poll::Pending };
        let due = beat.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(beat.every)));
        if due.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        due.as_mut().reset(Instant::now() + beat.every);
        // Registers the timer, so that the task is woken for the next beat too.
        let _ = due.as_mut().poll(cx);
        Poll::Ready(Some(Ok(beat.record.clone())))
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.shared.end(Ended::Gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn next(records: &mut Records) -> Option<Result<Bytes, Ended>> {
        poll_fn(|cx| records.poll_record(cx)).await
    }

    #[tokio::test]
    async fn records_come_in_order_and_framed() {
        let (subscriber, mut records) = channel(Bounds::default(), None);
        subscriber.send(b"hello").unwrap();
        subscriber.send(b"").unwrap();
        subscriber.finish();
        assert_eq!(subscriber.send(b"late"), Err(Ended::Finished));
        assert_eq!(next(&mut records).await, Some(Ok(Bytes::from_static(b"5\nhello"))));
        assert_eq!(next(&mut records).await, Some(Ok(Bytes::from_static(b"0\n"))));
        assert_eq!(next(&mut records).await, None);
    }

    #[tokio::test]
    async fn a_subscriber_that_does_not_read_is_cut_off_with_a_reason() {
        let (subscriber, mut records) = channel(Bounds { records: 3, bytes: 1 << 20 }, None);
        for _ in 0..3 {
            subscriber.send(b"x").unwrap();
        }
        let watch = records.watch();
        assert_eq!(subscriber.send(b"x"), Err(Ended::CutOff));
        assert_eq!(watch.ended().await, Ended::CutOff);
        assert_eq!(subscriber.send(b"x"), Err(Ended::CutOff));
        // Nothing of the backlog is kept, and the body ends in an error.
        assert_eq!(next(&mut records).await, Some(Err(Ended::CutOff)));
    }

    #[tokio::test]
    async fn bytes_are_bounded_too_but_one_large_record_passes() {
        let (subscriber, mut records) = channel(Bounds { records: 100, bytes: 10 }, None);
        subscriber.send(&[b'x'; 50]).unwrap();
        assert!(next(&mut records).await.unwrap().is_ok());
        subscriber.send(b"1234").unwrap();
        assert_eq!(subscriber.send(b"56789"), Err(Ended::CutOff));
    }

    /// A scheduler is told of all its tasks at once when it asks, and when many agents come back.
    #[tokio::test]
    async fn a_burst_of_updates_waits_for_whoever_reads_it_later() {
        let (subscriber, mut records) = channel(Bounds::default(), None);
        for n in 0..50_000 {
            assert_eq!(subscriber.send(&[b'x'; 800]), Ok(()), "record {n}");
        }
        subscriber.finish();
        let mut read = 0;
        while let Some(Ok(_)) = next(&mut records).await {
            read += 1;
        }
        assert_eq!(read, 50_000);
    }

    #[tokio::test]
    async fn the_daemon_learns_that_the_connection_is_gone() {
        let (subscriber, records) = channel(Bounds::default(), None);
        let watch = subscriber.watch();
        let waiting = tokio::spawn(async move { watch.ended().await });
        drop(records);
        assert_eq!(waiting.await.unwrap(), Ended::Gone);
        assert_eq!(subscriber.send(b"x"), Err(Ended::Gone));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_beats() {
        let every = Duration::from_secs(15);
        let beat = Heartbeat { every, record: Bytes::from_static(b"4\nbeat") };
        let (subscriber, mut records) = channel(Bounds::default(), Some(beat));
        let start = Instant::now();
        for n in 1..=3 {
            assert_eq!(next(&mut records).await, Some(Ok(Bytes::from_static(b"4\nbeat"))));
            assert_eq!(start.elapsed().as_secs(), n * 15);
        }
        subscriber.send(b"x").unwrap();
        assert_eq!(next(&mut records).await, Some(Ok(Bytes::from_static(b"1\nx"))));
        drop(subscriber);
        assert_eq!(next(&mut records).await, None);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_a_record_and_by_the_end() {
        let (subscriber, mut records) = channel(Bounds::default(), None);
        let reader =
            tokio::spawn(async move { (next(&mut records).await, next(&mut records).await) });
        tokio::task::yield_now().await;
        subscriber.send(b"x").unwrap();
        tokio::task::yield_now().await;
        subscriber.finish();
        let (first, second) = reader.await.unwrap();
        assert!(first.is_some_and(|r| r.is_ok()));
        assert_eq!(second, None);
    }

    #[tokio::test]
    async fn a_held_stream_begins_with_its_beginning() {
        let (subscriber, mut records) = channel(Bounds { records: 1, bytes: 1 }, None);
        subscriber.hold();
        let watch = subscriber.watch();
        subscriber.send(b"after").unwrap();
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(Ok(record)) = next(&mut records).await {
                all.push(record);
            }
            all
        });
        tokio::task::yield_now().await;
        subscriber.begin([&b"10\nlarge"[..], b"state"].map(Bytes::from_static));
        watch.greeted().await;
        drop(subscriber);
        assert_eq!(reader.await.unwrap(), ["10\nlarge", "state", "5\nafter"]);
    }

    #[tokio::test]
    async fn whoever_does_not_take_the_beginning_can_be_cut_off() {
        let (subscriber, mut records) = channel(Bounds::default(), None);
        subscriber.hold();
        subscriber.begin([Bytes::from_static(b"x")]);
        subscriber.cut_off();
        assert_eq!(next(&mut records).await, Some(Err(Ended::CutOff)));
    }
}
