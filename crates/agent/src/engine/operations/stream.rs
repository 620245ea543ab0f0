//! The outcome of one operation on its way to whoever acknowledges it. An agent's own resources
//! take one status to become others, so there is one update, sent again ever more slowly.

use std::time::Duration;

use model::time::Instant;
use wire::internal::UpdateOperationStatusMessage;

use crate::engine::stream::{RETRY_MAX, RETRY_MIN, UpdateId};

/// See the module's text.
#[derive(Clone, Debug)]
pub struct OperationStream {
    update: UpdateOperationStatusMessage,
    id: UpdateId,
    /// How long is waited now, and until when; `None` while there is no master.
    flight: Option<(Duration, Instant)>,
}

impl OperationStream {
    /// Of this update, which carries this uuid. It is paused until [`OperationStream::resume`].
    #[must_use]
    pub fn new(update: UpdateOperationStatusMessage, id: UpdateId) -> Self {
        Self { update, id, flight: None }
    }

    /// What is sent.
    #[must_use]
    pub fn update(&self) -> &UpdateOperationStatusMessage {
        &self.update
    }

    /// What an acknowledgement must name.
    #[must_use]
    pub fn id(&self) -> UpdateId {
        self.id
    }

    /// There is a master: the update is to be sent now.
    pub fn resume(&mut self, now: Instant) {
        self.flight = Some((RETRY_MIN, now + RETRY_MIN));
    }

    /// There is no master.
    pub fn pause(&mut self) {
        self.flight = None;
    }

    /// Whether the update is to be sent again now; if so the next time is twice as far away.
    pub fn take_due(&mut self, now: Instant) -> bool {
        match self.flight {
            Some((interval, at)) if at <= now => {
                let interval = (interval * 2).min(RETRY_MAX);
                self.flight = Some((interval, now + interval));
                true
            }
            _ => false,
        }
    }

    /// When [`OperationStream::take_due`] is to be asked.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.flight.map(|(_, at)| at)
    }
}
