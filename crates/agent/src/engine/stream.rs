//! The status stream of one task: reliable, ordered, acknowledged delivery of its updates.
//!
//! What holds at every moment:
//!
//! - only the head of the queue travels; the next one waits until the head is acknowledged;
//! - of a checkpointed stream nothing is forwarded, and no executor is told that its update is
//!   safe, before the update is on disk: [`Output::Persist`] comes first in the output, and the
//!   driver carries outputs out in order;
//! - a stream that was replayed from its records is the stream that wrote them.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use model::time::Instant;
use wire::internal::{StatusUpdate, StatusUpdateRecord, status_update_record};

use super::task::{is_terminal, state_of};

/// How long the head waits for its acknowledgement at first.
pub const RETRY_MIN: Duration = Duration::from_secs(10);
/// How long at most; the wait doubles from [`RETRY_MIN`].
pub const RETRY_MAX: Duration = Duration::from_secs(600);
/// How many updates of one task may wait. An executor that reports faster than the scheduler
/// acknowledges is told to come back later.
pub const MAX_WAITING: usize = 1000;
/// How many acknowledged updates are remembered, to recognize a late duplicate.
const REMEMBERED: usize = 64;

/// The id of one update: the 16 bytes of a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId([u8; 16]);

impl UpdateId {
    /// Takes 16 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// `None` unless there are exactly 16 bytes. Everything that names an update from outside
    /// comes through here, so that no other length reaches a stream.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The form on the wire.
    #[must_use]
    pub fn to_wire(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpdateId({self})")
    }
}

/// What happens to a stream.
#[derive(Clone, Debug)]
pub enum Input {
    /// The scheduler has the update.
    Acknowledged(UpdateId),
    /// There is no master to forward to.
    Paused,
    /// There is one (again): the head is sent at once.
    Resumed,
    /// The deadline may have passed.
    TimePassed,
    /// The executor, or the agent itself, reports. The update carries its uuid.
    Update(Box<StatusUpdate>),
}

/// What a stream wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Whoever reported this update may be told that it is safe.
    AckExecutor(UpdateId),
    /// Send this to the master.
    Forward(Box<StatusUpdate>),
    /// Append this to the stream's records, durably, before what follows.
    Persist(Box<StatusUpdateRecord>),
    /// The ending was acknowledged: the stream is over.
    Retire,
}

/// Why an input was not taken. The stream is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The update comes after one that ended the task.
    #[error("status update {0} comes after the end of its task")]
    AfterEnding(UpdateId),
    /// The acknowledgement is not for the update under way.
    #[error("acknowledgement {acknowledged} does not match the update under way")]
    NotUnderWay {
        /// What was acknowledged.
        acknowledged: UpdateId,
    },
    /// [`MAX_WAITING`] updates wait already.
    #[error("{MAX_WAITING} status updates of the task wait for their acknowledgement")]
    TooMany,
    /// The update, or a record, carries no uuid of 16 bytes.
    #[error("status update without a valid uuid")]
    Uuid,
}

/// The head's journey.
#[derive(Clone, Copy, Debug)]
struct Flight {
    interval: Duration,
    retry_at: Instant,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct StatusStream {
    checkpointed: bool,
    waiting: VecDeque<(UpdateId, StatusUpdate)>,
    acknowledged: VecDeque<UpdateId>,
    ending_received: bool,
    retired: bool,
    flight: Option<Flight>,
    paused: bool,
}

impl StatusStream {
    /// An empty stream. `checkpointed` streams ask for their records to be written.
    #[must_use]
    pub fn new(checkpointed: bool, paused: bool) -> Self {
        Self {
            checkpointed,
            waiting: VecDeque::new(),
            acknowledged: VecDeque::new(),
            ending_received: false,
            retired: false,
            flight: None,
            paused,
        }
    }

    /// The stream that wrote these records, paused.
    ///
    /// # Errors
    ///
    /// If a record could not have been written by a stream.
    pub fn replay(
        records: impl IntoIterator<Item = StatusUpdateRecord>,
    ) -> Result<Self, StreamError> {
        let mut stream = Self::new(true, true);
        for record in records {
            match record.r#type() {
                status_update_record::Type::Update => {
                    let update = record.update.ok_or(StreamError::Uuid)?;
                    // A duplicate is never written, so whatever is here was new.
                    stream.take(update)?;
                }
                status_update_record::Type::Ack => {
                    let uuid = record.uuid.as_deref().and_then(UpdateId::from_wire);
                    stream.acknowledge(uuid.ok_or(StreamError::Uuid)?)?;
                }
            }
        }
        Ok(stream)
    }

    /// Feeds one input; what is to be done is appended to `out`.
    ///
    /// # Errors
    ///
    /// If the input cannot be taken: nothing was appended and nothing changed.
    pub fn handle(
        &mut self,
        input: Input,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), StreamError> {
        match input {
            Input::Update(update) => {
                let id = id_of(&update)?;
                if self.knows(id) {
                    out.push(Output::AckExecutor(id));
                    return Ok(());
                }
                if self.waiting.len() >= MAX_WAITING {
                    return Err(StreamError::TooMany);
                }
                self.take((*update).clone())?;
                if self.checkpointed {
                    out.push(Output::Persist(Box::new(StatusUpdateRecord {
                        r#type: status_update_record::Type::Update.into(),
                        update: Some(*update),
                        uuid: None,
                    })));
                }
                out.push(Output::AckExecutor(id));
                if self.flight.is_none() {
                    self.send_head(RETRY_MIN, now, out);
                }
            }
            Input::Acknowledged(id) => {
                self.acknowledge(id)?;
                if self.checkpointed {
                    out.push(Output::Persist(Box::new(StatusUpdateRecord {
                        r#type: status_update_record::Type::Ack.into(),
                        update: None,
                        uuid: Some(id.to_wire()),
                    })));
                }
                if self.retired {
                    out.push(Output::Retire);
                } else {
                    self.send_head(RETRY_MIN, now, out);
                }
            }
            Input::Paused => {
                self.paused = true;
                self.flight = None;
            }
            Input::Resumed => {
                self.paused = false;
                self.send_head(RETRY_MIN, now, out);
            }
            Input::TimePassed => {
                if let Some(flight) = self.flight
                    && flight.retry_at <= now
                {
                    self.send_head((flight.interval * 2).min(RETRY_MAX), now, out);
                }
            }
        }
        Ok(())
    }

    /// When [`Input::TimePassed`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.flight.map(|flight| flight.retry_at)
    }

    /// Whether an update that ends the task was received, acknowledged or not.
    #[must_use]
    pub fn has_ending(&self) -> bool {
        self.ending_received
    }

    /// Whether the ending was acknowledged: nothing more will come of this stream.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// The updates that wait for their acknowledgement, the head first.
    pub fn waiting(&self) -> impl Iterator<Item = &StatusUpdate> {
        self.waiting.iter().map(|(_, update)| update)
    }

    /// Whether this update was received before.
    #[must_use]
    pub fn knows(&self, id: UpdateId) -> bool {
        self.waiting.iter().any(|(known, _)| *known == id) || self.acknowledged.contains(&id)
    }

    /// The transition of an update, live or replayed.
    fn take(&mut self, update: StatusUpdate) -> Result<(), StreamError> {
        let id = id_of(&update)?;
        if self.ending_received {
            return Err(StreamError::AfterEnding(id));
        }
        self.ending_received = is_terminal(state_of(&update.status));
        self.waiting.push_back((id, update));
        Ok(())
    }

    /// The transition of an acknowledgement, live or replayed.
    fn acknowledge(&mut self, id: UpdateId) -> Result<(), StreamError> {
        if self.waiting.front().is_none_or(|(head, _)| *head != id) {
            return Err(StreamError::NotUnderWay { acknowledged: id });
        }
        self.waiting.pop_front();
        if self.acknowledged.len() == REMEMBERED {
            self.acknowledged.pop_front();
        }
        self.acknowledged.push_back(id);
        self.flight = None;
        self.retired = self.ending_received && self.waiting.is_empty();
        Ok(())
    }

    fn send_head(&mut self, interval: Duration, now: Instant, out: &mut Vec<Output>) {
        self.flight = None;
        if self.paused {
            return;
        }
        if let Some((_, head)) = self.waiting.front() {
            out.push(Output::Forward(Box::new(head.clone())));
            self.flight = Some(Flight { interval, retry_at: now + interval });
        }
    }
}

fn id_of(update: &StatusUpdate) -> Result<UpdateId, StreamError> {
    update.uuid.as_deref().and_then(UpdateId::from_wire).ok_or(StreamError::Uuid)
}

#[cfg(test)]
mod tests;
