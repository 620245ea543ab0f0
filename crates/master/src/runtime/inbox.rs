//! The way to the engine: one bounded queue, whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use transport::server::MemoryShare;

use crate::engine::effect::Accepted;
use crate::engine::event::{Event, RequestId};
use crate::engine::refusal::Refusal;

/// How many events wait for the engine before those who bring more have to wait themselves.
pub(super) const CAPACITY: usize = 64 * 1024;

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
    inputs: mpsc::Sender<Input>,
    next_request: Arc<AtomicU64>,
    waiting: Arc<AtomicUsize>,
}

/// The engine is gone: this master is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the master is stopping")]
pub struct Stopping;

impl Inbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(CAPACITY);
        let next_request = Arc::new(AtomicU64::new(0));
        (Self { inputs, next_request, waiting: Arc::default() }, receiver)
    }

    /// Queues an event that is not answered. Waits while the queue is full.
    pub async fn put(&self, event: Event) -> Result<(), Stopping> {
        self.put_with(event, None).await
    }

    pub(super) async fn put_with(
        &self,
        event: Event,
        memory: Option<MemoryShare>,
    ) -> Result<(), Stopping> {
        self.inputs.send(Input { event, answer: None, memory }).await.map_err(|_| Stopping)
    }

    /// Asks the engine and waits for its answer.
    pub async fn ask(&self, event: impl FnOnce(RequestId) -> Event) -> Result<Answer, Stopping> {
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting::new(&self.waiting);
        let input = Input { event: event(request), answer: Some((request, sender)), memory: None };
        self.inputs.send(input).await.map_err(|_| Stopping)?;
        let answer = receiver.await.map_err(|_| Stopping);
        drop(waiting);
        answer
    }

    /// How many events wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inputs.max_capacity() - self.inputs.capacity()
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
    inputs: &mut mpsc::Receiver<Input>,
) -> Option<(Event, Option<oneshot::Sender<Answer>>)> {
    let Input { event, answer, .. } = inputs.recv().await?;
    Some((event, answer.map(|(_, sender)| sender)))
}
