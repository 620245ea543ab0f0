//! The connection to one address.

use std::future::poll_fn;
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use libprocess::answer::AnswerDecoder;
use libprocess::message::with_claim;
use libprocess::sender::PeerFacts;
use libprocess::upid::Upid;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::queue::Queue;
use super::{ChannelError, Exited, Inner, Item, Link, Stop, upids};
use crate::counters::Counters;
use crate::dial::Dial;
use crate::sessions::Introductions;
use crate::stream::Stream;
use crate::tls::Expected;

/// Opens the connection, writes what is queued, reads the answers, and ends.
pub(super) struct Task {
    pub(super) messenger: Arc<Inner>,
    pub(super) address: SocketAddrV4,
    pub(super) generation: u64,
    pub(super) expected: Expected,
    pub(super) queue: Arc<Queue>,
}

/// An open connection.
struct Conversation {
    stream: Stream,
    facts: Arc<PeerFacts>,
    introductions: Introductions,
    out: BytesMut,
    answers: AnswerDecoder,
    /// Messages written, or about to be, and not answered.
    owed: usize,
}

/// Unwritten bytes above which nothing more is taken from the queue.
const MAX_OUT: usize = 256 * 1024;
const READ: usize = 4 * 1024;
/// How long the end of a connection may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// However it ends, nothing more is put into its queue, and nobody waits for what is in it.
impl Drop for Task {
    fn drop(&mut self) {
        self.queue.close();
        while self.queue.take().is_some() {}
    }
}

impl Task {
    /// The connection from its beginning to its end. What opens it and what ends it are on the
    /// heap, and only while they run: for the most part it is at rest, and there is one for each
    /// agent.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
    pub(super) fn run(mut self, mut stopped: oneshot::Receiver<Stop>) -> impl Future<Output = ()> {
        async move {
            let mut conversation = None;
            let ended = tokio::select! {
                biased;
                stop = &mut stopped => Err(stop.ok()),
                reason = self.converse(&mut conversation) => Ok(reason),
            };
            Box::pin(self.end(conversation, ended, stopped)).await;
        }
    }

    /// Says and counts what ended with the connection, and closes it.
    async fn end(
        mut self,
        conversation: Option<Box<Conversation>>,
        ended: Result<String, Option<Stop>>,
        mut stopped: oneshot::Receiver<Stop>,
    ) {
        let (links, reason) = match ended {
            Ok(reason) => (self.forget(&mut stopped), reason),
            Err(Some(Stop::QueueFull(links))) => (links, "too many messages wait for it".into()),
            Err(Some(Stop::Replaced)) => (Vec::new(), "it was replaced".into()),
            // The messenger is gone, and with it everybody who could be told.
            Err(None) => (Vec::new(), "the messenger is gone".into()),
        };
        self.messenger.parts.listeners.take(self.address, self.generation);
        self.settle(conversation.as_deref(), &reason);
        // Before the farewell, which may take a while.
        if !links.is_empty() {
            let link = Link(self.generation);
            let exited = Exited { address: self.address, upids: links, link, reason };
            // Nobody who listens: nobody who could be told.
            let _ = self.messenger.parts.exits.send(exited).await;
        }
        if let Some(mut conversation) = conversation {
            // Whether the peer hears the farewell does not matter any more.
            let _ = timeout(FAREWELL, conversation.stream.shutdown()).await;
        }
    }

    /// Takes the connection out of the book, unless another has taken its place, and returns the
    /// links it had. Nothing is queued for it from then on.
    fn forget(&self, stopped: &mut oneshot::Receiver<Stop>) -> Vec<Upid> {
        let mut peers = self.messenger.peers();
        if peers.by_address.get(&self.address).is_some_and(|p| p.generation == self.generation) {
            let peer = peers.by_address.remove(&self.address);
            return peer.map_or(Vec::new(), |peer| upids(peer.links));
        }
        // Whoever took it out of the book did so with the book in hand, and has said why: its
        // links ended with a full queue, or went over to another connection.
        match stopped.try_recv() {
            Ok(Stop::QueueFull(links)) => links,
            Ok(Stop::Replaced) | Err(_) => Vec::new(),
        }
    }

    /// Counts what was lost.
    fn settle(&mut self, conversation: Option<&Conversation>, reason: &str) {
        self.queue.close();
        let mut lost = 0;
        while let Some(item) = self.queue.take() {
            match item {
                Item::Message { .. } => lost += 1,
                Item::Linked { .. } | Item::Unlinked => {}
                Item::Channel { answer, .. } => {
                    let (address, reason) = (self.address, reason.to_owned());
                    // Whoever asked may have given up.
                    let _ = answer.send(Err(ChannelError::NoConnection { address, reason }));
                }
            }
        }
        let owed = conversation.map_or(0, |c| c.owed);
        self.messenger.answered(lost + owed);
        self.messenger.parts.counters.messages_lost.add(lost as u64);
        if lost + owed > 0 {
            let address = self.address;
            tracing::warn!(%address, lost, unanswered = owed, reason, "a connection ended");
        }
    }

    /// Opens the connection and keeps it until its end. Returns why it ended.
    async fn converse(&mut self, slot: &mut Option<Box<Conversation>>) -> String {
        match Box::pin(self.open()).await {
            Ok(conversation) => self.keep(slot.insert(conversation)).await,
            Err(reason) => reason,
        }
    }

    async fn open(&self) -> Result<Box<Conversation>, String> {
        let parts = &self.messenger.parts;
        let address = SocketAddr::V4(self.address);
        let dial = Dial {
            security: &parts.security,
            address,
            name: None,
            expected: &self.expected,
            keep_alive: parts.settings.keep_alive,
            deadline: parts.settings.connect_deadline,
        };
        let (stream, facts) = match dial.open_or_downgrade().await {
            Ok(opened) => opened,
            Err(error) => {
                parts.counters.dial_failures.increment();
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%address, %error, source, "a connection was not opened");
                return Err(error.to_string());
            }
        };
        if let Some(identity) = &facts.identity {
            parts.listeners.put(self.address, self.generation, identity.clone());
        }
        let facts = Arc::new(facts);
        Ok(Box::new(Conversation {
            stream,
            introductions: Introductions::new(Arc::clone(&parts.sessions), Arc::clone(&facts)),
            facts,
            out: BytesMut::new(),
            answers: AnswerDecoder::default(),
            owed: 0,
        }))
    }

    async fn keep(&self, conversation: &mut Conversation) -> String {
        let parts = &self.messenger.parts;
        let mut idle_since = Instant::now();
        // A link that is at rest costs nothing, not even a timer.
        let mut needed = false;
        loop {
            let idle = !needed && conversation.owed == 0 && conversation.out.is_empty();
            let until = idle_since + parts.settings.linger;
            // On the heap as well.
            let timer = idle.then(|| Box::pin(sleep_until(until)));
            tokio::select! {
                received = conversation.move_bytes(&parts.counters) => {
                    let Some(received) = received else { return "the peer ended it".into() };
                    if let Err(reason) = self.answers(conversation, received) {
                        return reason;
                    }
                    idle_since = Instant::now();
                    needed = false;
                }
                item = self.queue.next(), if conversation.out.len() < MAX_OUT => {
                    for exited in self.take(item, conversation) {
                        // Nobody who listens: nobody who could be told.
                        let _ = Box::pin(parts.exits.send(exited)).await;
                    }
                    idle_since = Instant::now();
                    needed = false;
                }
                () = async { if let Some(timer) = timer { timer.await } }, if idle => {
                    if self.leave() {
                        return "it was not needed any more".into();
                    }
                    // What makes it less needed, or asks for it again, comes as an item.
                    needed = true;
                }
            }
        }
    }

    /// Takes the connection out of the book if nobody needs it, unless another has taken its
    /// place there. Returns whether nobody needs it.
    fn leave(&self) -> bool {
        let mut peers = self.messenger.peers();
        let ours = peers.by_address.get(&self.address).filter(|p| p.generation == self.generation);
        let Some(peer) = ours else { return true };
        let needed = !peer.links.is_empty() || !self.queue.is_empty();
        if !needed {
            peers.by_address.remove(&self.address);
        }
        !needed
    }

    /// Does what an item asks for and what waits with it, so that it is written with it. Returns
    /// which links have ended.
    fn take(&self, item: Item, conversation: &mut Conversation) -> Vec<Exited> {
        let mut ended = Vec::new();
        let mut next = Some(item);
        while let Some(item) = next {
            ended.extend(self.take_one(item, conversation));
            let room = conversation.out.len() < MAX_OUT;
            next = if room { self.queue.take() } else { None };
        }
        ended
    }

    /// Does what an item asks for. Returns the link that has ended with it.
    fn take_one(&self, item: Item, conversation: &mut Conversation) -> Option<Exited> {
        match item {
            Item::Message { bytes, expected, from, to, name } => {
                if expected.admits(&conversation.facts, &self.expected) {
                    let to = Upid { id: to, address: self.address };
                    match conversation.introductions.introduce(&from, &to) {
                        None => conversation.out.extend_from_slice(&bytes),
                        Some(claim) => {
                            conversation.out.extend_from_slice(&with_claim(&bytes, &claim));
                        }
                    }
                    conversation.owed += 1;
                    self.messenger.parts.counters.messages_sent.increment();
                    return None;
                }
                self.messenger.answered(1);
                self.messenger.parts.counters.messages_lost.increment();
                let (address, actual) = (self.address, &conversation.facts.identity);
                tracing::warn!(%address, %expected, ?actual, to, name, "a message was not sent");
                None
            }
            Item::Channel { expected, answer } => {
                let address = self.address;
                let facts = if expected.admits(&conversation.facts, &self.expected) {
                    Ok(Arc::clone(&conversation.facts))
                } else {
                    Err(ChannelError::SomebodyElse { address, expected })
                };
                // Whoever asked may have given up.
                let _ = answer.send(facts);
                None
            }
            // It may not be needed any more, which is looked at when it has been idle for a while.
            Item::Unlinked => None,
            Item::Linked { to, expected } => {
                if expected.admits(&conversation.facts, &self.expected) {
                    return None;
                }
                let mut peers = self.messenger.peers();
                let peer = peers.by_address.get_mut(&self.address);
                let peer = peer.filter(|peer| peer.generation == self.generation)?;
                peer.links.remove(&to)?;
                let reason = format!("{expected} was expected there");
                let link = Link(self.generation);
                Some(Exited { address: self.address, upids: vec![to], link, reason })
            }
        }
    }

    fn answers(&self, conversation: &mut Conversation, received: usize) -> Result<(), String> {
        if received == 0 {
            return Ok(());
        }
        loop {
            match conversation.answers.poll() {
                Ok(None) => return Ok(()),
                Ok(Some(_)) if conversation.owed == 0 => {
                    return Err("it answered what was not asked".to_owned());
                }
                Ok(Some(status)) => {
                    conversation.owed -= 1;
                    self.messenger.answered(1);
                    if status != 202 {
                        self.messenger.parts.counters.messages_refused_by_peer.increment();
                        let address = self.address;
                        tracing::info!(%address, status, "a message was refused by its receiver");
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl Conversation {
    /// Writes what waits and reads what has come. Returns when something was read (how much), or
    /// something written (0); `None` at the end of the connection. Cancel-safe.
    async fn move_bytes(&mut self, counters: &Counters) -> Option<usize> {
        poll_fn(|cx| self.poll_move(cx, counters)).await
    }

    fn poll_move(&mut self, cx: &mut Context<'_>, counters: &Counters) -> Poll<Option<usize>> {
        let mut wrote = false;
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.out.advance(written);
                    counters.message_writes.increment();
                    wrote = true;
                }
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        if self.stream.is_broken() {
            return Poll::Ready(None);
        }
        if self.out.is_empty() && self.out.capacity() > 0 {
            self.out = BytesMut::new();
        }
        let buffer = self.answers.buffer();
        buffer.reserve(READ);
        match pin!(self.stream.read_buf(buffer)).poll(cx) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(read)) => Poll::Ready(Some(read)),
            Poll::Pending => {
                if self.answers.buffer().is_empty() {
                    *self.answers.buffer() = BytesMut::new();
                }
                if wrote { Poll::Ready(Some(0)) } else { Poll::Pending }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Mutex;

    use tokio::sync::{mpsc, watch};

    use super::super::{Links, MessengerParts, Peer, Peers, Settings};
    use super::*;
    use crate::tls::Security;

    const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);

    /// The task of a connection that is not in the book any more.
    fn task() -> Task {
        let (exits, _) = mpsc::channel(1);
        let parts = MessengerParts {
            own: ADDRESS,
            security: Security::DangerPlaintext,
            settings: Settings::default(),
            counters: Arc::default(),
            listeners: Arc::default(),
            sessions: Arc::default(),
            exits,
        };
        let peers = Mutex::new(Peers::default());
        let messenger = Arc::new(Inner { parts, peers, pending: watch::Sender::new(0) });
        Task {
            messenger,
            address: ADDRESS,
            generation: 1,
            expected: Expected::Member,
            queue: Arc::new(Queue::new(1, 1)),
        }
    }

    #[test]
    fn links_of_a_full_queue_exit_although_their_connection_was_just_ending() {
        let task = task();
        let links = vec![Upid::new("x", ADDRESS)];
        let (stop, mut stopped) = oneshot::channel();
        stop.send(Stop::QueueFull(links.clone())).unwrap();
        assert_eq!(task.forget(&mut stopped), links);
        // Those of a replaced connection have gone over to the new one.
        let (stop, mut stopped) = oneshot::channel();
        stop.send(Stop::Replaced).unwrap();
        assert_eq!(task.forget(&mut stopped), []);
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let (_stop, stopped) = oneshot::channel();
        let size = size_of_val(&task().run(stopped));
        assert!(size <= 640, "{size}");
    }

    #[test]
    fn an_idle_connection_leaves_the_one_that_has_taken_its_place() {
        let task = task();
        let put = |generation| {
            let (stop, _) = oneshot::channel();
            let queue = Arc::clone(&task.queue);
            let peer = Peer { generation, queue, links: Links::new(), stop };
            task.messenger.peers().by_address.insert(ADDRESS, peer);
        };
        put(2);
        assert!(task.leave());
        assert!(task.messenger.peers().by_address.contains_key(&ADDRESS));
        put(1);
        assert!(task.leave());
        assert!(task.messenger.peers().by_address.is_empty());
    }
}
