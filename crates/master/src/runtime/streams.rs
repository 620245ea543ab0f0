//! Open streams of schedulers, and the secrets that name them.
//!
//! A `Mesos-Stream-Id` is 128 random bits, told to one scheduler in the response to its
//! SUBSCRIBE. Whoever presents it must also be who subscribed: the identity of the certificate
//! and what the credentials proved are compared with those of the SUBSCRIBE.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use endpoints::call::encode;
use endpoints::media::Media;
use endpoints::stream::{Bounds, Ended, Heartbeat, Records, Subscriber, channel, frame};
use subtle::ConstantTimeEq;
use wire::json::Style;
use wire::v1::scheduler;

use crate::engine::event::{Caller, SubscriptionId};

/// How many streams one identity may have open at a time.
pub const MAX_PER_IDENTITY: usize = 64;

/// All open streams of schedulers.
#[derive(Debug, Default)]
pub struct Streams {
    next: AtomicU64,
    cut_off: AtomicU64,
    /// Hashes secrets with a key of this process: the time that a lookup takes says nothing
    /// about the secrets that are there.
    hasher: RandomState,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<SubscriptionId, Entry>,
    by_hash: HashMap<u64, SubscriptionId>,
}

#[derive(Debug)]
struct Entry {
    subscriber: Subscriber,
    media: Media,
    owner: Caller,
    secret: String,
}

/// A stream that was just opened.
#[derive(Debug)]
pub struct Opened {
    /// The engine's name for it.
    pub subscription: SubscriptionId,
    /// The value of `Mesos-Stream-Id`.
    pub secret: String,
    /// The body of the response.
    pub records: Records,
}

impl Streams {
    /// Opens a stream for `owner`; `None` if it has [`MAX_PER_IDENTITY`] open already. Callers
    /// without an identity (of the original, many frameworks share a principal) cannot be told apart, and are not counted here.
    pub fn open(
        &self,
        owner: Caller,
        media: Media,
        heartbeat: std::time::Duration,
    ) -> Option<Opened> {
        let subscription = SubscriptionId(self.next.fetch_add(1, Ordering::Relaxed));
        let heartbeat = Heartbeat { every: heartbeat, record: heartbeat_record(media) };
        let (subscriber, records) = channel(Bounds::default(), Some(heartbeat));
        let secret = fresh_secret();
        let mut open = self.lock();
        let of_the_same = |entry: &&Entry| entry.owner.identity == owner.identity;
        if owner.identity.is_some()
            && open.by_id.values().filter(of_the_same).count() >= MAX_PER_IDENTITY
        {
            return None;
        }
        open.by_hash.insert(self.hasher.hash_one(&secret), subscription);
        open.by_id.insert(subscription, Entry { subscriber, media, owner, secret: secret.clone() });
        Some(Opened { subscription, secret, records })
    }

    /// The stream that `secret` names, if `caller` is who opened it.
    #[must_use]
    pub fn find(&self, secret: &str, caller: &Caller) -> Option<SubscriptionId> {
        let open = self.lock();
        let subscription = open.by_hash.get(&self.hasher.hash_one(secret))?;
        let entry = open.by_id.get(subscription)?;
        let same = entry.secret.as_bytes().ct_eq(secret.as_bytes());
        (bool::from(same) && entry.owner == *caller).then_some(*subscription)
    }

    /// Puts an event on a stream. Says why the stream takes none, if it does not; the stream is
    /// closed then.
    pub fn send(
        &self,
        subscription: SubscriptionId,
        event: &scheduler::Event,
    ) -> Result<(), Ended> {
        let media = self.lock().by_id.get(&subscription).map(|entry| entry.media);
        // Without the lock: an event may be long, and calls look for their streams meanwhile.
        let payload = encode(media.ok_or(Ended::Gone)?, event, Style::V1);
        let mut open = self.lock();
        let Some(entry) = open.by_id.get(&subscription) else { return Err(Ended::Gone) };
        let sent = entry.subscriber.send(&payload);
        if sent == Err(Ended::CutOff) {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        if sent.is_err() {
            remove(&mut open, &self.hasher, subscription);
        }
        sent
    }

    /// Ends a stream after what was put on it.
    pub fn close(&self, subscription: SubscriptionId) {
        // Dropping the daemon's end is an orderly end.
        drop(remove(&mut self.lock(), &self.hasher, subscription));
    }

    /// Ends all streams.
    pub fn close_all(&self) {
        *self.lock() = Open::default();
    }

    /// How many subscribers were cut off because they did not read.
    #[must_use]
    pub fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(open: &mut Open, hasher: &RandomState, subscription: SubscriptionId) -> Option<Entry> {
    let entry = open.by_id.remove(&subscription)?;
    open.by_hash.remove(&hasher.hash_one(&entry.secret));
    Some(entry)
}

fn heartbeat_record(media: Media) -> Bytes {
    let event = scheduler::Event {
        r#type: Some(scheduler::event::Type::Heartbeat as i32),
        ..Default::default()
    };
    frame(&encode(media, &event, Style::V1))
}

/// 128 random bits in the form of a UUID, which is what schedulers expect to see. A real version
/// 4 UUID would have only 122.
fn fresh_secret() -> String {
    uuid::Uuid::from_u128(rand::random()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::identity::Kind;
    use model::principal::{Kinds, Owner};
    use std::collections::HashSet;
    use std::future::poll_fn;
    use std::time::Duration;

    const BEAT: Duration = Duration::from_secs(15);

    fn caller(name: &str) -> Caller {
        let uri = format!("spiffe://d/framework/{name}");
        Caller {
            principal: Some(name.to_owned()),
            identity: uri.parse().ok(),
            owner: Owner { certificate: Some(uri), principal: None },
            kinds: Kinds::only(Kind::Framework),
        }
    }

    #[test]
    fn a_secret_is_worth_nothing_to_anybody_else() {
        let streams = Streams::default();
        let opened = streams.open(caller("a"), Media::Json, BEAT).unwrap();
        let find = |secret: &str, who| streams.find(secret, &caller(who));
        assert_eq!(find(&opened.secret, "a"), Some(opened.subscription));
        assert_eq!(find(&opened.secret, "b"), None);
        assert_eq!(streams.find(&opened.secret, &Caller::default()), None);
        assert_eq!(find(&opened.secret[1..], "a"), None);
        assert_eq!(find(&opened.secret.to_uppercase().replace('-', ""), "a"), None);
        assert_eq!(find("", "a"), None);
        streams.close(opened.subscription);
        assert_eq!(find(&opened.secret, "a"), None);
    }

    /// With credentials in the place of a certificate, and with both.
    #[test]
    fn attack_a_stolen_stream_id_needs_the_credentials_too() {
        let streams = Streams::default();
        let with = |principal: &str, mut caller: Caller| {
            caller.principal = Some(principal.to_owned());
            caller.owner.principal = Some(principal.to_owned());
            caller
        };
        for victim in [with("p", Caller::default()), with("p", caller("a"))] {
            let opened = streams.open(victim.clone(), Media::Json, BEAT).unwrap();
            let find = |who: &Caller| streams.find(&opened.secret, who);
            assert_eq!(find(&victim), Some(opened.subscription));
            for thief in [
                with("q", Caller::default()),
                with("q", caller("a")),
                with("p", caller("b")),
                caller("a"),
                caller("p"),
                Caller::default(),
            ] {
                assert_eq!(find(&thief), None, "{thief:?}");
            }
        }
    }

    #[test]
    fn one_identity_has_so_many_streams_and_no_more() {
        let streams = Streams::default();
        let open = |who| streams.open(who, Media::Json, BEAT);
        let first = open(caller("a")).unwrap();
        let _others: Vec<_> = (1..MAX_PER_IDENTITY).map(|_| open(caller("a")).unwrap()).collect();
        assert!(open(caller("a")).is_none());
        open(caller("b")).unwrap();
        for _ in 0..=MAX_PER_IDENTITY {
            open(Caller::default()).unwrap();
        }
        streams.close(first.subscription);
        open(caller("a")).unwrap();
    }

    #[test]
    fn secrets_use_all_their_bits() {
        let secrets: Vec<String> = (0..200).map(|_| fresh_secret()).collect();
        assert_eq!(secrets.iter().collect::<HashSet<_>>().len(), 200);
        // The digits that a version 4 UUID fixes vary.
        let digits = |at: usize| secrets.iter().map(|s| s.as_bytes()[at]).collect::<HashSet<_>>();
        assert!(digits(14).len() > 4 && digits(19).len() > 4);
    }

    #[tokio::test]
    async fn events_come_as_recorded_and_the_end_is_orderly() {
        for (media, beat) in [
            (Media::Json, &b"20\n{\"type\":\"HEARTBEAT\"}"[..]),
            (Media::Protobuf, &b"2\n\x08\x08"[..]),
        ] {
            let streams = Streams::default();
            let Opened { subscription, mut records, .. } =
                streams.open(caller("a"), media, BEAT).unwrap();
            let event = |kind: scheduler::event::Type| scheduler::Event {
                r#type: Some(kind as i32),
                ..Default::default()
            };
            streams.send(subscription, &event(scheduler::event::Type::Subscribed)).unwrap();
            streams.send(subscription, &event(scheduler::event::Type::Heartbeat)).unwrap();
            streams.send(subscription, &event(scheduler::event::Type::Error)).unwrap();
            streams.close(subscription);
            let late = streams.send(subscription, &event(scheduler::event::Type::Error));
            assert_eq!(late, Err(Ended::Gone));
            let mut got = Vec::new();
            while let Some(record) = poll_fn(|cx| records.poll_record(cx)).await {
                got.push(record.unwrap());
            }
            assert_eq!(got.len(), 3);
            assert_eq!(got[1], beat);
        }
    }

    #[tokio::test]
    async fn a_scheduler_that_does_not_read_loses_its_stream() {
        let streams = Streams::default();
        let opened = streams.open(caller("a"), Media::Json, BEAT).unwrap();
        let event = scheduler::Event {
            r#type: Some(scheduler::event::Type::Error as i32),
            error: Some(scheduler::event::Error { message: "x".repeat(1 << 20) }),
            ..Default::default()
        };
        let why = (0..1000).find_map(|_| streams.send(opened.subscription, &event).err());
        assert_eq!(why, Some(Ended::CutOff));
        assert_eq!(streams.cut_off(), 1);
        assert_eq!(streams.find(&opened.secret, &caller("a")), None);
        assert_eq!(opened.records.watch().ended().await, Ended::CutOff);
    }
}
