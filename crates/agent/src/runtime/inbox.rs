//! The way to the engine: one bounded queue, whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use transport::server::MemoryShare;

use super::AgentError;
use crate::engine::event::{Answer, Event, RequestId};

/// How many events wait for the engine before those who bring more have to wait themselves.
const CAPACITY: usize = 16 * 1024;

/// An event with what hangs on it.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something happened.
    Event {
        /// What.
        event: Event,
        /// The memory that a message's body takes.
        memory: Option<MemoryShare>,
    },
    /// An executor called, and waits for the answer.
    Call {
        /// The call as an event.
        event: Event,
        /// Which call.
        request: RequestId,
        /// Who waits.
        answer: oneshot::Sender<Answer>,
    },
    /// Something that the agent cannot go on without did not happen.
    Failed(AgentError),
}

/// The sending end. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Inbox {
    inputs: mpsc::Sender<Input>,
    next_request: Arc<AtomicU64>,
}

/// The engine is gone: this agent is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopping;

impl Inbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(CAPACITY);
        (Self { inputs, next_request: Arc::default() }, receiver)
    }

    /// Queues an event. Waits while the queue is full.
    ///
    /// # Errors
    ///
    /// If the engine is gone.
    pub async fn put(&self, event: Event) -> Result<(), Stopping> {
        self.put_with(event, None).await
    }

    pub(super) async fn put_with(
        &self,
        event: Event,
        memory: Option<MemoryShare>,
    ) -> Result<(), Stopping> {
        self.inputs.send(Input::Event { event, memory }).await.map_err(|_| Stopping)
    }

    pub(super) async fn fail(&self, error: AgentError) {
        // If the engine is gone the agent has ended already.
        let _ = self.inputs.send(Input::Failed(error)).await;
    }

    /// A number for a call that is about to be made.
    #[must_use]
    pub fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks the engine and waits for its answer.
    ///
    /// # Errors
    ///
    /// If the engine is gone.
    pub async fn ask(&self, request: RequestId, event: Event) -> Result<Answer, Stopping> {
        let (answer, receiver) = oneshot::channel();
        let input = Input::Call { event, request, answer };
        self.inputs.send(input).await.map_err(|_| Stopping)?;
        receiver.await.map_err(|_| Stopping)
    }
}
