//! Open event streams of executors.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use endpoints::call::encode;
use endpoints::media::Media;
use endpoints::stream::{Bounds, Ended, Records, Subscriber, channel};
use wire::json::Style;
use wire::v1::executor;

use crate::engine::event::ConnectionId;

/// All open streams of executors. The engine says what goes on them, heartbeats included.
#[derive(Debug, Default)]
pub struct Streams {
    cut_off: AtomicU64,
    open: Mutex<HashMap<ConnectionId, (Subscriber, Media)>>,
}

impl Streams {
    /// Opens a stream under this number; the records are the body of the response.
    #[must_use]
    pub fn open(&self, connection: ConnectionId, media: Media) -> Records {
        let (subscriber, records) = channel(Bounds::default(), None);
        self.lock().insert(connection, (subscriber, media));
        records
    }

    /// Puts an event on a stream. Says why the stream takes none, if it does not; the stream is
    /// closed then.
    ///
    /// # Errors
    ///
    /// If the stream takes none.
    pub fn send(&self, connection: ConnectionId, event: &executor::Event) -> Result<(), Ended> {
        // Without the lock: an event may be long, and others want to open streams meanwhile.
        let media = self.lock().get(&connection).map(|(_, media)| *media).ok_or(Ended::Gone)?;
        let payload = encode(media, event, Style::V1);
        let mut open = self.lock();
        let Some((subscriber, _)) = open.get(&connection) else { return Err(Ended::Gone) };
        let sent = subscriber.send(&payload);
        if sent == Err(Ended::CutOff) {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        if sent.is_err() {
            open.remove(&connection);
        }
        sent
    }

    /// Ends a stream after what was put on it.
    pub fn close(&self, connection: ConnectionId) {
        // Dropping the daemon's end is an orderly end.
        drop(self.lock().remove(&connection));
    }

    /// Ends all streams.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    /// How many executors were cut off because they did not read.
    #[must_use]
    pub fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, (Subscriber, Media)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
