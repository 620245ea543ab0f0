//! The one thread that owns the engine.
//!
//! It is no thread of the runtime: whatever keeps the engine busy, connections are served and
//! `/health` is answered meanwhile; and whatever keeps the connections busy, the engine decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use endpoints::stream::Ended;
use libprocess::upid::Upid;
use model::identity::Identity;
use registry::{Operation, Registry};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use transport::messenger::{Exited, Link, Messenger};
use transport::tls::Expected;

use super::desk::Desk;
use super::inbox::{Answer, Input, Inputs};
use super::queue::{Decided, Queue, Turn};
use super::waiting::wait_until;
use super::{Clock, MasterError};
use crate::engine::Engine;
use crate::engine::effect::{Effect, Level, Peer};
use crate::engine::event::{Event, RequestId};
use crate::engine::message::Outbound;
use crate::http::Master;

/// What the driver is made of.
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) registry: Box<dyn Registry>,
    pub(super) master: Arc<Master>,
    pub(super) messenger: Messenger,
    pub(super) desk: Desk,
    pub(super) clock: Clock,
    pub(super) inputs: Inputs,
    pub(super) exited: mpsc::Receiver<Exited>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Owns the engine, feeds it, and does what it says.
pub(super) struct Driver {
    parts: Parts,
    /// Requests that wait for [`Effect::Answer`].
    pending: HashMap<RequestId, oneshot::Sender<Answer>>,
    /// Who was expected at the other end of each link, and over which connection.
    links: HashMap<Upid, (Option<Identity>, Link)>,
    /// The last message that several are sent, and its bytes: they are made once.
    shared: Option<(Arc<Outbound>, Bytes)>,
    queue: Queue,
    /// The write that is under way; the registry comes back with its end.
    writing: Option<JoinHandle<Written>>,
    /// Connections that ended, and whose turn it is.
    ended: Vec<Exited>,
    /// When filters were counted for the metrics.
    filters_counted: Option<Instant>,
}

/// How often filters are counted, at most: that takes a look at every role.
const FILTERS_EVERY: Duration = Duration::from_secs(1);

type Written = (Box<dyn Registry>, Result<(), registry::RegistryError>, Duration);

/// What the driver waits for.
enum Next {
    Exited(Exited),
    Inputs,
    Stop,
    Written(Result<Written, tokio::task::JoinError>),
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            pending: HashMap::new(),
            links: HashMap::new(),
            shared: None,
            queue: Queue::default(),
            writing: None,
            ended: Vec::new(),
            filters_counted: None,
        }
    }

    /// Runs on a thread of its own until told to stop or unable to go on; then what is returned
    /// says why, or is closed if it panicked. `first` is what the engine wants done at once.
    pub(super) fn start(
        self,
        first: Vec<Effect>,
    ) -> std::io::Result<oneshot::Receiver<Result<(), MasterError>>> {
        let (sender, ended) = oneshot::channel();
        let runtime = Handle::current();
        thread::Builder::new().name("engine".to_owned()).spawn(move || {
            // For the tasks of connections that are begun here.
            let _entered = runtime.enter();
            // Nobody may be interested any more.
            let _ = sender.send(self.run(first));
        })?;
        Ok(ended)
    }

    fn run(mut self, first: Vec<Effect>) -> Result<(), MasterError> {
        self.carry_out(first)?;
        let mut batch = Vec::new();
        loop {
            if !self.ended.is_empty() {
                let ended = std::mem::take(&mut self.ended);
                self.decide(|driver, effects| {
                    for exited in &ended {
                        driver.exited(exited, effects);
                    }
                })?;
            }
            let deadline = self.parts.engine.next_deadline();
            let deadline = deadline.map(|at| self.parts.clock.deadline(at).into_std());
            match self.wait(&mut batch, deadline) {
                None => self.decide(|driver, effects| driver.handle(Event::Deadline, effects))?,
                Some(Next::Inputs) if batch.is_empty() => return self.finish(),
                Some(Next::Inputs) => self.decide(|driver, effects| {
                    for input in batch.drain(..) {
                        driver.input(input, effects);
                    }
                })?,
                Some(Next::Exited(exited)) => {
                    self.parts.desk.exited(&exited);
                    if self.queue.is_empty() {
                        self.ended.push(exited);
                    } else {
                        self.queue.push(Turn::Exited(exited));
                    }
                }
                Some(Next::Written(written)) => self.written(written)?,
                Some(Next::Stop) => return self.finish(),
            }
        }
    }

    /// What happens next, or `None` at the deadline.
    fn wait(&mut self, batch: &mut Vec<Input>, deadline: Option<Instant>) -> Option<Next> {
        let (parts, writing) = (&mut self.parts, &mut self.writing);
        let full = self.queue.is_full();
        let next = async {
            tokio::select! {
                biased;
                () = told_to_stop(&mut parts.stopped) => Next::Stop,
                written = finished(writing) => Next::Written(written),
                Some(exited) = parts.exited.recv() => Next::Exited(exited),
                () = parts.inputs.take(batch), if !full => Next::Inputs,
            }
        };
        wait_until(next, deadline)
    }

    /// Lets the engine decide about some events, then about offers.
    fn decide(
        &mut self,
        events: impl FnOnce(&mut Self, &mut Vec<Effect>),
    ) -> Result<(), MasterError> {
        let (mut effects, begun) = (Vec::new(), Instant::now());
        events(self, &mut effects);
        let settling = Instant::now();
        effects.extend(self.parts.engine.settle(self.parts.clock.now()));
        let runs = self.parts.engine.allocation_runs();
        let measures = &self.parts.master.measures;
        measures.allocated(runs, settling - begun, settling.elapsed());
        if self.filters_counted.is_none_or(|at| at.elapsed() >= FILTERS_EVERY) {
            self.filters_counted = Some(settling);
            measures.filtered(self.parts.engine.offer_filters());
        }
        self.carry_out(effects)
    }

    fn handle(&mut self, event: Event, effects: &mut Vec<Effect>) {
        effects.extend(self.parts.engine.handle(event, self.parts.clock.now()));
    }

    fn input(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Input { event, answer, memory } = input;
        if let Some((request, sender)) = answer {
            self.pending.insert(request, sender);
        }
        self.handle(event, effects);
        // The message is in the engine's state, or gone.
        drop(memory);
    }

    fn exited(&mut self, exited: &Exited, effects: &mut Vec<Effect>) {
        for pid in &exited.upids {
            // A link that the engine has given up is nobody's news, and the end of a connection
            // that was or will be replaced does not end the link over the new one.
            if self.queue.will_link(pid)
                || self.links.get(pid).is_none_or(|(_, link)| exited.link < *link)
            {
                continue;
            }
            let Some((identity, _)) = self.links.remove(pid) else { continue };
            tracing::info!(%pid, reason = exited.reason, "a link ended");
            self.handle(Event::Exited { pid: pid.clone(), identity }, effects);
        }
    }

    /// Writes what has to be durable, shows the new state, then does the rest in order: at once
    /// if nothing has to be waited for.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), MasterError> {
        let decided = Decided::new(effects, self.parts.engine.snapshot());
        self.queue.push(Turn::Decided(decided));
        if self.writing.is_none() {
            self.advance()?;
        }
        let waiting = self.queue.effects() as u64;
        self.parts.master.counted.queued_effects.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    /// Does what rests on no write and begins the next one.
    fn advance(&mut self) -> Result<(), MasterError> {
        self.queue.release();
        self.take_turns()?;
        let operations = self.queue.write();
        let gauge = &self.parts.master.counted.queued_operations;
        gauge.store(operations.len() as u64, Ordering::Relaxed);
        if !operations.is_empty() {
            self.writing = Some(self.begin_write(operations));
        }
        Ok(())
    }

    fn begin_write(&mut self, operations: Vec<Operation>) -> JoinHandle<Written> {
        let broken: Box<dyn Registry> = Box::new(InUse);
        let mut registry = std::mem::replace(&mut self.parts.registry, broken);
        spawn_blocking(move || {
            let begun = Instant::now();
            let written = registry.commit(&operations);
            (registry, written, begun.elapsed())
        })
    }

    /// A failed write is the end of this master: nobody knows what the registry holds now.
    fn written(
        &mut self,
        written: Result<Written, tokio::task::JoinError>,
    ) -> Result<(), MasterError> {
        self.writing = None;
        let panicked = |error: tokio::task::JoinError| MasterError::Panicked(error.to_string());
        let (registry, written, took) = written.map_err(panicked)?;
        self.parts.registry = registry;
        self.parts.master.measures.stored(took);
        self.parts.master.measures.sized(self.parts.registry.bytes());
        written.map_err(MasterError::Registry)?;
        self.take_turns()?;
        self.advance()
    }

    fn take_turns(&mut self) -> Result<(), MasterError> {
        while let Some(turn) = self.queue.next() {
            match turn {
                Turn::Exited(exited) => self.ended.push(exited),
                Turn::Decided(Decided { effects, snapshot, announcements, .. }) => {
                    self.parts.master.publish(snapshot, &announcements);
                    for effect in effects {
                        self.execute(effect)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What was decided is carried out before the end.
    fn finish(mut self) -> Result<(), MasterError> {
        while let Some(writing) = self.writing.take() {
            if let Some(written) = wait_until(writing, None) {
                self.written(written)?;
            }
        }
        Ok(())
    }

    /// Links to a peer over a new connection, because an open one may be stale: unless the peer has
    /// just authenticated, and so answered what came over it.
    fn link(&self, peer: &Peer) -> Link {
        let messenger = &self.parts.messenger;
        if let Some(fresh) = self.parts.desk.fresh_link(&peer.pid) {
            let link = messenger.link(&peer.pid, expected(peer));
            if link == fresh {
                return link;
            }
        }
        messenger.relink(&peer.pid, expected(peer))
    }

    fn encoded(&mut self, message: &Arc<Outbound>) -> Bytes {
        match &self.shared {
            Some((last, body)) if Arc::ptr_eq(last, message) => body.clone(),
            _ => {
                let body = message.encode();
                let others = Arc::strong_count(message) > 1;
                self.shared = others.then(|| (Arc::clone(message), body.clone()));
                body
            }
        }
    }

    fn execute(&mut self, effect: Effect) -> Result<(), MasterError> {
        match effect {
            // Published before, with the state.
            Effect::Announce(announcement) => {
                tracing::error!(?announcement, "operators were not told");
            }
            Effect::Answer { request, answer } => match self.pending.remove(&request) {
                // If nobody waits any more the caller has hung up; what was decided stands.
                Some(sender) => drop(sender.send(answer)),
                None => tracing::error!(?request, "an answer to no request"),
            },
            Effect::Audit(decision) => self.parts.desk.audit().append(&decision),
            Effect::EndSession { pid, session } => {
                self.parts.desk.sessions().end_if(&pid, session);
            }
            Effect::CloseStream { subscription } => {
                self.parts.master.streams.close(subscription);
            }
            Effect::Link { peer } => {
                let link = self.link(&peer);
                self.links.insert(peer.pid, (peer.identity, link));
            }
            Effect::Unlink { peer } => {
                // The connection ends by itself when it is idle; its end is no news.
                if self.links.remove(&peer.pid).is_some() {
                    self.parts.messenger.unlink(&peer.pid);
                }
            }
            Effect::Log { level, text } => match level {
                Level::Info => tracing::info!("{text}"),
                Level::Warn => tracing::warn!("{text}"),
                Level::Error => tracing::error!("{text}"),
            },
            // Written before, in one go.
            Effect::Persist(operation) => {
                tracing::error!(?operation, "a change of the registry was not written");
            }
            Effect::Send { from, to, message } => {
                let (name, body) = (message.name(), self.encoded(&message));
                let sent = self.parts.messenger.send(&from, &to.pid, expected(&to), name, &body);
                if let Err(error) = sent {
                    // The link's end follows, and the engine acts on that.
                    tracing::warn!(%error, to = %to.pid, name, "a message was not sent");
                }
            }
            Effect::Stop { reason } => return Err(MasterError::Stopped(reason)),
            Effect::Stream { subscription, event } => {
                match self.parts.master.streams.send(subscription, &event) {
                    // Whoever watches the stream tells the engine.
                    Ok(()) | Err(Ended::Gone | Ended::Finished) => {}
                    Err(why @ Ended::CutOff) => {
                        tracing::warn!(?subscription, %why, "a scheduler was cut off");
                    }
                }
            }
        }
        Ok(())
    }
}

/// The end of the write that is under way; never, if there is none.
async fn finished(
    writing: &mut Option<JoinHandle<Written>>,
) -> Result<Written, tokio::task::JoinError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that whoever could tell us to stop is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Who must be at the other end. Where there are no identities nobody proves anything.
fn expected(peer: &Peer) -> Expected {
    match &peer.identity {
        Some(identity) => Expected::Identity(identity.clone()),
        None => Expected::Member,
    }
}

/// Stands in for the registry while another thread writes to it. Never asked: the driver waits
/// for that thread; if it panics, the driver ends.
#[derive(Debug)]
struct InUse;

impl Registry for InUse {
    fn recover(&mut self) -> Result<registry::Contents, registry::RegistryError> {
        Err(registry::RegistryError::Broken)
    }

    fn commit(&mut self, _: &[Operation]) -> Result<(), registry::RegistryError> {
        Err(registry::RegistryError::Broken)
    }
}
