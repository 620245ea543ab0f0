//! The streams of the operator API: who follows events, and what waits for them.
//!
//! A subscriber is entered between two batches of the engine, under the lock under which a new
//! snapshot is published: what SUBSCRIBED shows and what comes after it fit together. An event is
//! rendered once for each form in which somebody wants it, and all who wait for it share the bytes;
//! so what one slow reader may leave waiting bounds what all of them cost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use endpoints::call::encode;
use endpoints::media::Media;
use endpoints::stream::{Bounds, Ended, Heartbeat, Records, Subscriber, Watch, channel, frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::json::Style;
use wire::v1::master::Event;

use crate::engine::announcement::Announcement;
use crate::engine::state::Snapshot;
use crate::views::heartbeat;

/// What may wait for one subscriber, beyond the SUBSCRIBED that it begins with.
const BOUNDS: Bounds = Bounds { records: 8 * 1024, bytes: 16 * 1024 * 1024 };

/// How many subscribers may be reading their SUBSCRIBED at a time: each may be about another
/// state, and all of it waits for whoever reads it.
const GREETED_AT_A_TIME: usize = 16;

/// How long a subscriber may take to read it.
const GREETING_TIME: Duration = Duration::from_secs(120);

/// All open streams of the operator API.
#[derive(Debug)]
pub struct Operators {
    open: Mutex<Open>,
    limit: usize,
    heartbeat_interval: Duration,
    greetings: Arc<Semaphore>,
    cut_off: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    subscriber: Arc<Subscriber>,
    media: Media,
}

/// A stream that was just opened. It delivers nothing before it was greeted.
#[derive(Debug)]
pub struct Opening {
    /// The state on which the events rest that follow.
    pub snapshot: Arc<Snapshot>,
    /// The body of the response.
    pub records: Records,
    subscriber: Arc<Subscriber>,
}

/// A stream whose end has to be waited for.
#[derive(Debug)]
pub struct Watched {
    number: u64,
    watch: Watch,
    permit: OwnedSemaphorePermit,
}

impl Operators {
    /// No streams yet, of which `limit` may be open, each with a heartbeat.
    #[must_use]
    pub fn new(limit: usize, heartbeat_interval: Duration) -> Self {
        Self {
            open: Mutex::default(),
            limit,
            heartbeat_interval,
            greetings: Arc::new(Semaphore::new(GREETED_AT_A_TIME)),
            cut_off: AtomicU64::new(0),
        }
    }

    /// How often a stream beats.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    /// How many streams are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_number.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many subscribers were cut off because they did not read.
    #[must_use]
    pub fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Opens a stream. Waits while too many others are being greeted. The oldest stream is ended
    /// if there are too many.
    pub async fn open(
        &self,
        media: Media,
        snapshots: &ArcSwap<Snapshot>,
    ) -> Option<(Opening, Watched)> {
        let permit = Arc::clone(&self.greetings).acquire_owned().await.ok()?;
        let beat = frame(&encode(media, &heartbeat(), Style::V1));
        let beat = Heartbeat { every: self.heartbeat_interval, record: beat };
        let mut open = self.lock();
        let (subscriber, records) = channel(BOUNDS, Some(beat));
        subscriber.hold();
        let subscriber = Arc::new(subscriber);
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Entry { subscriber: Arc::clone(&subscriber), media });
        while open.by_number.len() > self.limit.max(1) {
            let Some((_, oldest)) = open.by_number.pop_first() else { break };
            tracing::info!(
                "an operator's stream is ended: there are more than --max_operator_event_stream_subscribers"
            );
            oldest.subscriber.finish();
        }
        // Under the lock, so that no event between this state and the first one is missed.
        let snapshot = snapshots.load_full();
        let watched = Watched { number, watch: records.watch(), permit };
        Some((Opening { snapshot, records, subscriber }, watched))
    }

    /// Puts a state into the place of the last one, and tells subscribers what has changed.
    /// `render` makes an event of an announcement, or nothing if it is hidden.
    pub fn publish(
        &self,
        snapshots: &ArcSwap<Snapshot>,
        snapshot: Arc<Snapshot>,
        announcements: &[Announcement],
        render: impl Fn(&Announcement) -> Option<Event>,
    ) {
        let mut open = self.lock();
        snapshots.store(snapshot);
        if open.by_number.is_empty() {
            return;
        }
        for event in announcements.iter().filter_map(render) {
            let mut forms: [Option<Bytes>; 2] = [None, None];
            let mut ended = Vec::new();
            for (number, entry) in &open.by_number {
                let form = &mut forms[usize::from(entry.media == Media::Protobuf)];
                let record =
                    form.get_or_insert_with(|| frame(&encode(entry.media, &event, Style::V1)));
                match entry.subscriber.send_record(record.clone()) {
                    Ok(()) => {}
                    Err(why) => ended.push((*number, why)),
                }
            }
            for (number, why) in ended {
                if why == Ended::CutOff {
                    self.cut_off.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(number, %why, "an operator was cut off");
                }
                open.by_number.remove(&number);
            }
        }
    }

    /// Waits for the end of a stream, however it comes, and forgets it.
    pub async fn watch(&self, watched: Watched) {
        let Watched { number, watch, permit } = watched;
        let greeted = tokio::select! {
            () = watch.greeted() => true,
            _ = watch.ended() => true,
            () = tokio::time::sleep(GREETING_TIME) => false,
        };
        drop(permit);
        if greeted {
            watch.ended().await;
        } else if let Some(entry) = self.lock().by_number.get(&number) {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(number, "an operator was cut off: it does not read the state");
            entry.subscriber.cut_off();
        }
        self.lock().by_number.remove(&number);
    }

    /// Ends all streams.
    pub fn close_all(&self) {
        for entry in std::mem::take(&mut self.lock().by_number).into_values() {
            entry.subscriber.finish();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    /// Lets the stream begin with `subscribed`, records that may be in pieces. What happened
    /// meanwhile follows.
    #[must_use]
    pub fn greet(self, subscribed: Vec<Bytes>) -> Records {
        self.subscriber.begin(subscribed);
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::config::Config;
    use model::time::Now;

    fn snapshots() -> ArcSwap<Snapshot> {
        let config = Config::new(wire::v1::MasterInfo::default());
        let (engine, _) = Engine::new(config, registry::Contents::default(), 0, Now::default());
        ArcSwap::from_pointee(engine.snapshot())
    }

    fn large_event() -> Event {
        let hostname = Some("x".repeat(1 << 20));
        let info = wire::v1::FrameworkInfo { hostname, ..Default::default() };
        let removed = wire::v1::master::event::FrameworkRemoved { framework_info: info };
        Event { framework_removed: Some(removed), ..Event::default() }
    }

    fn publish(operators: &Operators, snapshots: &ArcSwap<Snapshot>) {
        let removed = Announcement::FrameworkRemoved(Arc::default());
        let snapshot = snapshots.load_full();
        operators.publish(snapshots, snapshot, &[removed], |_| Some(large_event()));
    }

    /// Rows C12 and C13.
    #[tokio::test]
    async fn attack_c13_a_subscriber_that_never_reads_is_cut_off_and_the_others_go_on() {
        let (operators, snapshots) = (Operators::new(10, Duration::from_secs(15)), snapshots());
        let open = async || {
            let (opening, watched) = operators.open(Media::Json, &snapshots).await.unwrap();
            (opening.greet(vec![Bytes::from_static(b"2\n{}")]), watched)
        };
        let (silent, watched) = open().await;
        let (mut reader, _watched) = open().await;
        let mut read = async || std::future::poll_fn(|cx| reader.poll_record(cx)).await;
        assert_eq!(read().await, Some(Ok(Bytes::from_static(b"2\n{}"))));
        for _ in 0..20 {
            publish(&operators, &snapshots);
            assert!(read().await.unwrap().unwrap().len() > 1 << 20);
        }
        assert_eq!((operators.len(), operators.cut_off()), (1, 1));
        assert_eq!(silent.watch().ended().await, Ended::CutOff);
        operators.watch(watched).await;
        assert_eq!(operators.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_read_the_state_is_cut_off() {
        let (operators, snapshots) = (Operators::new(10, Duration::from_secs(15)), snapshots());
        let (opening, watched) = operators.open(Media::Protobuf, &snapshots).await.unwrap();
        let records = opening.greet(vec![Bytes::from_static(b"2\n{}")]);
        operators.watch(watched).await;
        assert_eq!(records.watch().ended().await, Ended::CutOff);
        assert!(operators.is_empty());
    }
}
