//! The streams of the operator API: who follows events, and what waits for them.
//!
//! A subscriber is entered between two batches of the engine, under the lock under which a new
//! snapshot is published: what SUBSCRIBED shows and what comes after it fit together. An event is
//! rendered once for each form in which somebody wants it, and all who wait for it share the bytes;
//! so what one slow reader may leave waiting bounds what all of them cost.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use endpoints::call::encode;
use endpoints::media::Media;
use endpoints::stream::{Bounds, Ended, Heartbeat, Records, Subscriber, Watch, channel, frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wire::json::Style;
use wire::v1::master::Event;

use crate::engine::announcement::Announcement;
use crate::engine::state::Snapshot;
use crate::views::heartbeat;

/// What may wait for one subscriber, beyond the SUBSCRIBED that it begins with: the events of so
/// many batches, however many each has. Those who wait for the same share the bytes.
const BOUNDS: Bounds = Bounds { records: 16 * 1024, bytes: 64 * 1024 * 1024 };

/// How many subscribers may be reading their SUBSCRIBED at a time: each may be about another
/// state, and all of it waits for whoever reads it.
const GREETED_AT_A_TIME: usize = 16;

/// How many of them may be of one caller.
const GREETED_OF_ONE: usize = 2;

/// How long the others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a subscriber may take to read it.
const GREETING_TIME: Duration = Duration::from_secs(120);

/// All open streams of the operator API.
#[derive(Debug)]
pub struct Operators {
    open: Mutex<Open>,
    limit: usize,
    heartbeat_interval: Duration,
    greetings: Arc<Semaphore>,
    greetings_of: Mutex<HashMap<String, Arc<Semaphore>>>,
    cut_off: AtomicU64,
}

/// Why a stream is not opened; it may be tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The caller has others open whose beginning it has not read.
    #[error("{GREETED_OF_ONE} streams of this caller have not been read to the end of SUBSCRIBED")]
    Unread,
    /// Too many others are being greeted.
    #[error("too many streams are being opened")]
    Busy,
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
    turn: [OwnedSemaphorePermit; 2],
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
            greetings_of: Mutex::default(),
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

    /// The places that a caller has for streams that are being greeted.
    fn places_of(&self, caller: String) -> Arc<Semaphore> {
        let mut all = self.greetings_of.lock().unwrap_or_else(PoisonError::into_inner);
        // Those in which nobody stands, and for which nobody waits, are forgotten.
        all.retain(|_, places| Arc::strong_count(places) > 1);
        let places = all.entry(caller).or_insert_with(|| Semaphore::new(GREETED_OF_ONE).into());
        Arc::clone(places)
    }

    /// Opens a stream for `caller`. Waits a little while too many are being greeted, of its own or
    /// of others. The oldest stream is ended if there are too many.
    ///
    /// # Errors
    /// As [`NotOpened`] says.
    pub async fn open(
        &self,
        caller: String,
        media: Media,
        snapshots: &ArcSwap<Snapshot>,
    ) -> Result<(Opening, Watched), NotOpened> {
        let deadline = Instant::now() + PATIENCE;
        // First among its own: who waits for itself is in nobody's way.
        let own = timeout_at(deadline, self.places_of(caller).acquire_owned()).await;
        let Ok(Ok(own)) = own else { return Err(NotOpened::Unread) };
        let of_all = timeout_at(deadline, Arc::clone(&self.greetings).acquire_owned()).await;
        let Ok(Ok(of_all)) = of_all else { return Err(NotOpened::Busy) };
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
        let watched = Watched { number, watch: records.watch(), turn: [own, of_all] };
        Ok((Opening { snapshot, records, subscriber }, watched))
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
        let events: Vec<Event> = announcements.iter().filter_map(render).collect();
        if events.is_empty() {
            return;
        }
        // All of a batch at once: a subscriber is woken once, however much has happened.
        let mut forms: [Option<Bytes>; 2] = [None, None];
        let mut ended = Vec::new();
        for (number, entry) in &open.by_number {
            let form = &mut forms[usize::from(entry.media == Media::Protobuf)];
            let records = form.get_or_insert_with(|| {
                let mut all = Vec::new();
                for event in &events {
                    wire::recordio::encode(&encode(entry.media, event, Style::V1), &mut all);
                }
                all.into()
            });
            if let Err(why) = entry.subscriber.send_record(records.clone()) {
                ended.push((*number, why));
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

    /// Waits for the end of a stream, however it comes, and forgets it.
    pub async fn watch(&self, watched: Watched) {
        let Watched { number, watch, turn } = watched;
        let greeted = tokio::select! {
            () = watch.greeted() => true,
            _ = watch.ended() => true,
            () = tokio::time::sleep(GREETING_TIME) => false,
        };
        drop(turn);
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
            let caller = "a".to_owned();
            let (opening, watched) = operators.open(caller, Media::Json, &snapshots).await.unwrap();
            (opening.greet(vec![Bytes::from_static(b"2\n{}")]), watched)
        };
        let (silent, watched) = open().await;
        let (mut reader, _watched) = open().await;
        let mut read = async || std::future::poll_fn(|cx| reader.poll_record(cx)).await;
        assert_eq!(read().await, Some(Ok(Bytes::from_static(b"2\n{}"))));
        for _ in 0..80 {
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
        let open = |caller: &str| operators.open(caller.to_owned(), Media::Protobuf, &snapshots);
        let (opening, watched) = open("a").await.unwrap();
        let records = opening.greet(vec![Bytes::from_static(b"2\n{}")]);
        operators.watch(watched).await;
        assert_eq!(records.watch().ended().await, Ended::CutOff);
        assert!(operators.is_empty());
    }

    /// Who does not read takes no place from others.
    #[tokio::test(start_paused = true)]
    async fn attack_c13_one_caller_cannot_keep_the_others_from_subscribing() {
        let (operators, snapshots) = (Operators::new(100, Duration::from_secs(15)), snapshots());
        let open = |caller: &str| operators.open(caller.to_owned(), Media::Json, &snapshots);
        let mut held = Vec::new();
        for caller in 0..GREETED_AT_A_TIME / GREETED_OF_ONE {
            for _ in 0..GREETED_OF_ONE {
                held.push(open(&caller.to_string()).await.unwrap());
            }
            assert_eq!(open(&caller.to_string()).await.unwrap_err(), NotOpened::Unread);
        }
        // All places are taken, by many: whoever comes is told so, soon.
        assert_eq!(open("x").await.unwrap_err(), NotOpened::Busy);
        drop(held.pop());
        drop(open("x").await.unwrap());
    }

    /// Several pages of one operator, or of several behind one address, come back at once when
    /// another master takes over.
    #[tokio::test(start_paused = true)]
    async fn who_comes_third_waits_for_its_turn() {
        let (operators, snapshots) = (Operators::new(100, Duration::from_secs(15)), snapshots());
        let open = || operators.open("a".to_owned(), Media::Json, &snapshots);
        let (first, second) = (open().await.unwrap(), open().await.unwrap());
        let leave = async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(first);
        };
        let (third, ()) = tokio::join!(open(), leave);
        assert!(third.is_ok());
        drop(third);
        // Nothing is kept of callers that left.
        drop(operators.open("b".to_owned(), Media::Json, &snapshots).await.unwrap());
        drop(second);
        drop(operators.open("c".to_owned(), Media::Json, &snapshots).await.unwrap());
        assert_eq!(operators.greetings_of.lock().unwrap().len(), 1);
    }

    /// What happens while a large state is on its way waits for its reader.
    #[tokio::test]
    async fn many_events_wait_for_whoever_is_being_greeted() {
        let (operators, snapshots) = (Operators::new(10, Duration::from_secs(15)), snapshots());
        let open = operators.open("a".to_owned(), Media::Json, &snapshots);
        let (opening, _watched) = open.await.unwrap();
        let removed = vec![Announcement::FrameworkRemoved(Arc::default()); 20_000];
        let event = Event { r#type: Some(8), ..Event::default() };
        let snapshot = snapshots.load_full();
        operators.publish(&snapshots, snapshot, &removed, |_| Some(event.clone()));
        let mut records = opening.greet(vec![Bytes::from_static(b"2\n{}")]);
        let mut read = async || std::future::poll_fn(|cx| records.poll_record(cx)).await;
        assert_eq!(read().await, Some(Ok(Bytes::from_static(b"2\n{}"))));
        let all = read().await.unwrap().unwrap();
        let mut decoder = wire::recordio::Decoder::new(1 << 20);
        decoder.push(&all);
        let mut count = 0;
        while decoder.next().unwrap().is_some() {
            count += 1;
        }
        assert_eq!((count, operators.cut_off()), (20_000, 0));
    }
}
