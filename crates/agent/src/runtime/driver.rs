//! The one task that owns the engine.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use endpoints::stream::Ended;
use libprocess::upid::Upid;
use model::identity::Kind;
use tokio::sync::{mpsc, oneshot, watch};
use transport::messenger::{Exited, Link, Messenger};
use transport::tls::Expected;

use super::authenticatee::Authenticatee;
use super::containers::Containers;
use super::detector::Detector;
use super::inbox::Input;
use super::sandboxes::Sandboxes;
use super::{ACTOR, AgentError, Clock, blocking};
use crate::checkpoint::Store;
use crate::containerizer::Containerizer;
use crate::engine::Engine;
use crate::engine::event::{Answer, Effect, Event, Exit, Record, RequestId, Severity, Token};
use crate::engine::state::Activity;
use crate::http::Agent;
use crate::views::Snapshot;

/// How many events are decided upon before their effects are carried out: their records share
/// one wait for the disk.
const BATCH: usize = 256;

/// What the driver is made of.
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) agent: Arc<Agent>,
    pub(super) containerizer: Arc<dyn Containerizer>,
    pub(super) detector: Detector,
    pub(super) messenger: Messenger,
    pub(super) authenticatee: Authenticatee,
    pub(super) clock: Clock,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) exited: mpsc::Receiver<Exited>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Owns the engine, feeds it, and does what it says.
pub(super) struct Driver {
    parts: Parts,
    containers: Containers,
    sandboxes: Sandboxes,
    /// Executors that wait for [`Effect::Answer`].
    pending: HashMap<RequestId, oneshot::Sender<Answer>>,
    /// The last record that is on disk.
    durable: Option<Token>,
    /// The connection to the master, once there was one.
    link: Option<Link>,
    /// The executors that there are links to.
    executors: HashSet<Upid>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let containers =
            Containers::new(Arc::clone(&parts.containerizer), parts.agent.inbox.clone());
        let mut sandboxes = Sandboxes::default();
        sandboxes.attach_all(&parts.agent.files, parts.engine.state());
        Self {
            parts,
            containers,
            sandboxes,
            pending: HashMap::new(),
            durable: None,
            link: None,
            executors: HashSet::new(),
        }
    }

    /// Runs until told to stop, done, or unable to go on. `first` is what the engine wants done
    /// at once.
    pub(super) async fn run(mut self, first: Vec<Effect>) -> Result<Exit, AgentError> {
        if let Some(exit) = self.carry_out(first).await? {
            return Ok(exit);
        }
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
                () = told_to_stop(&mut self.parts.stopped) => {
                    return Ok(Exit::Done("it was told to stop".to_owned()));
                }
                Some(exited) = self.parts.exited.recv() => self.exited(exited, &mut effects),
                received = self.parts.inputs.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return Err(AgentError::Defect("nobody is left to be served".to_owned()));
                    }
                    for input in batch.drain(..) {
                        self.input(input, &mut effects)?;
                    }
                }
                () = due => effects.extend(self.handle(Event::TimePassed)),
            }
            if let Some(exit) = self.carry_out(effects).await? {
                return Ok(exit);
            }
        }
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        self.parts.engine.handle(event, self.parts.clock.now())
    }

    fn input(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<(), AgentError> {
        match input {
            Input::Event { event, memory } => {
                effects.extend(self.handle(event));
                // The message is in the engine's state, or gone.
                drop(memory);
            }
            Input::Call { event, request, answer } => {
                self.pending.insert(request, answer);
                effects.extend(self.handle(event));
            }
            Input::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn exited(&mut self, exited: Exited, effects: &mut Vec<Effect>) {
        for pid in exited.upids {
            if self.executors.remove(&pid) {
                tracing::info!(%pid, reason = exited.reason, "a link to an executor ended");
                effects.extend(self.handle(Event::ExecutorExited(pid)));
                continue;
            }
            // The end of a connection that was replaced meanwhile does not end the new one.
            if self.link.is_some_and(|link| exited.link < link) {
                continue;
            }
            tracing::info!(%pid, reason = exited.reason, "a link ended");
            self.parts.authenticatee.link_broke(&pid, &exited.reason);
            effects.extend(self.handle(Event::MasterExited(pid)));
        }
    }

    /// Writes what has to be durable, shows the new state, then does the rest in order. Returns
    /// why the agent ends, if it does.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Option<Exit>, AgentError> {
        let mut records = Vec::new();
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Persist { token, record } => records.push((token, *record)),
                effect => rest.push(effect),
            }
        }
        self.persist(records).await?;
        let snapshot = Snapshot::of(&self.parts.engine);
        let registered = snapshot.state.activity == Activity::Running;
        self.parts.agent.snapshots.store(Arc::new(snapshot));
        self.parts
            .agent
            .registered
            .send_if_modified(|was| std::mem::replace(was, registered) != registered);
        for effect in rest {
            if let Some(exit) = self.execute(effect)? {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    /// A failed write is the end of this run: what would have rested on it may not be said.
    async fn persist(&mut self, records: Vec<(Token, Record)>) -> Result<(), AgentError> {
        let Some((last, _)) = records.last() else { return Ok(()) };
        let last = *last;
        let store = self.parts.store.clone();
        blocking(move || records.iter().try_for_each(|(_, record)| store.apply(record))).await??;
        self.durable = Some(last);
        Ok(())
    }

    /// Refuses to do what rests on a write that did not happen.
    fn check(&self, after: Option<Token>) -> Result<(), AgentError> {
        if after > self.durable {
            return Err(AgentError::Defect(format!(
                "an effect that rests on write {after:?} came before it; the last is {:?}",
                self.durable
            )));
        }
        Ok(())
    }

    fn execute(&mut self, effect: Effect) -> Result<Option<Exit>, AgentError> {
        match effect {
            Effect::Answer { request, answer } => match self.pending.remove(&request) {
                // If nobody waits any more the caller has hung up; what was decided stands.
                Some(sender) => drop(sender.send(answer)),
                None => tracing::error!(?request, "an answer to no request"),
            },
            Effect::Authenticate(master) => self.parts.authenticatee.begin(master),
            Effect::StopAuthenticating => self.parts.authenticatee.stop(),
            Effect::Close(connection) => self.parts.agent.streams.close(connection),
            Effect::Destroy(container) => self.containers.destroy(container),
            Effect::Exit(exit) => return Ok(Some(exit)),
            Effect::Launch { request, after } => {
                self.check(after)?;
                let state = self.parts.engine.state();
                self.sandboxes.launched(&self.parts.agent.files, state, &request.container_id);
                self.containers.launch(*request);
            }
            Effect::Link(master) => {
                let link = self.parts.messenger.relink(&master, Expected::Kind(Kind::Master));
                self.link = Some(link);
            }
            Effect::LinkExecutor(pid) => {
                self.parts.messenger.link(&pid, Expected::Kind(Kind::Executor));
                self.executors.insert(pid);
            }
            Effect::Log(severity, text) => match severity {
                Severity::Info => tracing::info!("{text}"),
                Severity::Warning => tracing::warn!("{text}"),
            },
            Effect::Persist { token, .. } => {
                return Err(AgentError::Defect(format!("write {token:?} was left out")));
            }
            Effect::RecoverContainers(known) => self.containers.recover(known),
            Effect::Redetect => {
                let (detector, inbox) =
                    (self.parts.detector.clone(), self.parts.agent.inbox.clone());
                tokio::spawn(async move {
                    let master = detector.detect().await;
                    // If the engine is gone, nobody has to know.
                    let _ = inbox.put(Event::MasterDetected(Some(master))).await;
                });
            }
            Effect::Send { to, message, after } => {
                self.check(after)?;
                let (name, body) = (message.name(), message.encode());
                let expected = Expected::Kind(Kind::Master);
                if let Err(error) = self.parts.messenger.send(ACTOR, &to, expected, name, &body) {
                    // The link's end follows, and the engine acts on that.
                    tracing::warn!(%error, %to, name, "a message was not sent");
                }
            }
            Effect::SendExecutor { to, message, after } => {
                self.check(after)?;
                let (name, body) = (message.name(), message.encode());
                let expected = Expected::Kind(Kind::Executor);
                if let Err(error) = self.parts.messenger.send(ACTOR, &to, expected, name, &body) {
                    tracing::warn!(%error, %to, name, "a message to an executor was not sent");
                }
            }
            Effect::Tell { connection, event, after } => {
                self.check(after)?;
                match self.parts.agent.streams.send(connection, &event) {
                    // Whoever watches the stream tells the engine.
                    Ok(()) | Err(Ended::Gone | Ended::Finished) => {}
                    Err(why @ Ended::CutOff) => {
                        tracing::warn!(?connection, %why, "an executor was cut off");
                    }
                }
            }
            Effect::UpdateContainer { container, resources, volumes } => {
                self.containers.update(container, resources, volumes);
            }
            Effect::Watch(container) => self.containers.watch(container),
        }
        Ok(None)
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that whoever could tell us to stop is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
