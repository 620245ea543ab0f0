//! The one task that owns the engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use endpoints::stream::Ended;
use libprocess::upid::Upid;
use model::identity::Identity;
use registry::{Operation, Registry};
use tokio::sync::{mpsc, oneshot, watch};
use transport::messenger::{Exited, Link, Messenger};
use transport::tls::Expected;

use super::desk::Desk;
use super::inbox::{Answer, Input};
use super::{Clock, MasterError, blocking};
use crate::engine::Engine;
use crate::engine::effect::{Effect, Level, Peer};
use crate::engine::event::{Event, RequestId};
use crate::http::Master;

/// How many events are decided upon before their effects are carried out: a write to the registry
/// costs a flush to the disk, whether it holds one change or hundreds.
const BATCH: usize = 1024;

/// What the driver is made of.
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) registry: Box<dyn Registry>,
    pub(super) master: Arc<Master>,
    pub(super) messenger: Messenger,
    pub(super) desk: Desk,
    pub(super) clock: Clock,
    pub(super) inputs: mpsc::Receiver<Input>,
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
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, pending: HashMap::new(), links: HashMap::new() }
    }

    /// Runs until told to stop or unable to go on. `first` is what the engine wants done at once.
    pub(super) async fn run(mut self, first: Vec<Effect>) -> Result<(), MasterError> {
        self.carry_out(first).await?;
        let mut batch = Vec::new();
        loop {
            let deadline = self.parts.engine.next_deadline();
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(self.parts.clock.deadline(at)).await,
                    None => std::future::pending().await,
                }
            };
            let mut effects = Vec::new();
            tokio::select! {
                () = told_to_stop(&mut self.parts.stopped) => return Ok(()),
                Some(exited) = self.parts.exited.recv() => self.exited(&exited, &mut effects),
                received = self.parts.inputs.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return Ok(());
                    }
                    for input in batch.drain(..) {
                        self.input(input, &mut effects);
                    }
                }
                () = due => {
                    let now = self.parts.clock.now();
                    effects.extend(self.parts.engine.handle(Event::Deadline, now));
                }
            }
            self.carry_out(effects).await?;
        }
    }

    fn input(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Input { event, answer, memory } = input;
        if let Some((request, sender)) = answer {
            self.pending.insert(request, sender);
        }
        effects.extend(self.parts.engine.handle(event, self.parts.clock.now()));
        // The message is in the engine's state, or gone.
        drop(memory);
    }

    fn exited(&mut self, exited: &Exited, effects: &mut Vec<Effect>) {
        self.parts.desk.exited(exited);
        for pid in &exited.upids {
            // A link that the engine has given up is nobody's news, and the end of a connection
            // that was replaced meanwhile does not end the link over the new one.
            if self.links.get(pid).is_none_or(|(_, link)| exited.link < *link) {
                continue;
            }
            let Some((identity, _)) = self.links.remove(pid) else { continue };
            tracing::info!(%pid, reason = exited.reason, "a link ended");
            let event = Event::Exited { pid: pid.clone(), identity };
            effects.extend(self.parts.engine.handle(event, self.parts.clock.now()));
        }
    }

    /// Writes what has to be durable, shows the new state, then does the rest in order.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), MasterError> {
        let mut operations = Vec::new();
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Persist(operation) => operations.push(operation),
                effect => rest.push(effect),
            }
        }
        self.persist(operations).await?;
        self.parts.master.snapshots.store(Arc::new(self.parts.engine.snapshot()));
        for effect in rest {
            self.execute(effect)?;
        }
        Ok(())
    }

    /// A failed write is the end of this master: nobody knows what the registry holds now.
    async fn persist(&mut self, operations: Vec<Operation>) -> Result<(), MasterError> {
        if operations.is_empty() {
            return Ok(());
        }
        let gauge = &self.parts.master.counted.queued_operations;
        gauge.store(operations.len() as u64, Ordering::Relaxed);
        let broken: Box<dyn Registry> = Box::new(InUse);
        let mut registry = std::mem::replace(&mut self.parts.registry, broken);
        let (registry, written) = blocking(move || {
            let written = registry.commit(&operations);
            (registry, written)
        })
        .await?;
        self.parts.registry = registry;
        self.parts.master.counted.queued_operations.store(0, Ordering::Relaxed);
        written.map_err(MasterError::Registry)
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

    fn execute(&mut self, effect: Effect) -> Result<(), MasterError> {
        match effect {
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
                let (name, body) = (message.name(), message.encode());
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
