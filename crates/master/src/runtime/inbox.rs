//! The way to the engine: two bounded queues, one for calls and one for messages, so that calls do
//! not wait behind a storm of agents.
//!
//! What comes over one connection is in one queue, so its order is kept. Between connections there
//! is none to keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use transport::server::MemoryShare;

use crate::engine::effect::Accepted;
use crate::engine::event::{Event, RequestId};
use crate::engine::refusal::Refusal;

/// How many events of a kind wait for the engine before those who bring more have to wait
/// themselves.
pub(super) const CAPACITY: usize = 64 * 1024;

/// How many events of a kind are decided upon in one go.
const BATCH: usize = 256;

/// What a request is answered with.
pub type Answer = Result<Accepted, Refusal>;

/// An event with what hangs on it.
#[derive(Debug)]
pub(crate) struct Input {
    /// The event.
    pub(super) event: Event,
    /// Who waits for the answer, if it is a request.
    pub(super) answer: Option<(RequestId, oneshot::Sender<Answer>)>,
    /// The memory that the message's body takes.
    pub(super) memory: Option<MemoryShare>,
}

/// The sending end. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Inbox {
    calls: mpsc::Sender<Input>,
    messages: mpsc::Sender<Input>,
    next_request: Arc<AtomicU64>,
    waiting: Arc<AtomicUsize>,
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Inputs {
    calls: mpsc::Receiver<Input>,
    messages: mpsc::Receiver<Input>,
}

impl Inputs {
    /// Waits for events and takes what is there, of both kinds. Takes none only if there is
    /// nobody left who could bring any. Nothing is lost if the waiting is broken off.
    pub(super) async fn take(&mut self, batch: &mut Vec<Input>) {
        let first = tokio::select! {
            Some(input) = self.calls.recv() => input,
            Some(input) = self.messages.recv() => input,
            else => return,
        };
        batch.push(first);
        for queue in [&mut self.calls, &mut self.messages] {
            for _ in 0..BATCH {
                let Ok(input) = queue.try_recv() else { break };
                batch.push(input);
            }
        }
    }
}

/// The engine is gone: this master is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the master is stopping")]
pub struct Stopping;

impl Inbox {
    pub(crate) fn new() -> (Self, Inputs) {
        let (calls, taken_calls) = mpsc::channel(CAPACITY);
        let (messages, taken_messages) = mpsc::channel(CAPACITY);
        let next_request = Arc::new(AtomicU64::new(0));
        let inputs = Inputs { calls: taken_calls, messages: taken_messages };
        (Self { calls, messages, next_request, waiting: Arc::default() }, inputs)
    }

    /// Queues a call that is not answered. Waits while the queue is full.
    pub async fn put(&self, event: Event) -> Result<(), Stopping> {
        let input = Input { event, answer: None, memory: None };
        self.calls.send(input).await.map_err(|_| Stopping)
    }

    /// Queues a message. Waits while the queue is full.
    pub(super) async fn put_message(
        &self,
        event: Event,
        memory: MemoryShare,
    ) -> Result<(), Stopping> {
        let input = Input { event, answer: None, memory: Some(memory) };
        self.messages.send(input).await.map_err(|_| Stopping)
    }

    /// Asks the engine and waits for its answer.
    pub async fn ask(&self, event: impl FnOnce(RequestId) -> Event) -> Result<Answer, Stopping> {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting::new(&self.waiting);
        let input = Input { event: event(request), answer: Some((request, sender)), memory: None };
        self.calls.send(input).await.map_err(|_| Stopping)?;
        let answer = receiver.await.map_err(|_| Stopping);
        drop(waiting);
        answer
    }

    /// How many events wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        [&self.calls, &self.messages]
            .map(|queue| queue.max_capacity() - queue.capacity())
            .iter()
            .sum()
    }

    /// How many requests wait for their answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Counts one request for as long as it waits, however the waiting ends.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The next event and who waits for its answer, for tests that stand in for the driver.
#[cfg(test)]
pub(crate) async fn inputs_of(
    inputs: &mut Inputs,
) -> Option<(Event, Option<oneshot::Sender<Answer>>)> {
    let Input { event, answer, .. } = inputs.calls.recv().await?;
    Some((event, answer.map(|(_, sender)| sender)))
}
