//! Proving to the master who the agent is: the messages, the timers and the threads of the
//! machines in `authn::sasl` (`authentication.md` §3, §9).
//!
//! One task runs one wish of the engine until it is settled or replaced. Each attempt has an actor
//! of its own, whose messages the door puts into the attempt's mailbox.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authn::live::Live;
use authn::sasl::attempt::{Attempt, Ended, Output};
use authn::sasl::message::Message;
use authn::sasl::offer::Authenticatees;
use authn::sasl::retry::{Effect, Event as Happened, Number, Retries, RetrySettings};
use authn::sasl::{Channel, Nonce, ServerProof};
use endpoints::exchange;
use libprocess::sender::{BoundPid, PeerFacts};
use libprocess::upid::Upid;
use model::identity::Kind;
use model::principal::Kinds;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use transport::messenger::Messenger;
use transport::sessions::{Established, Peer, Sessions};
use transport::tls::Expected;
use transport::with_causes;

use super::ACTOR;
use super::authentication::MasterAuthentication;
use super::inbox::Inbox;
use crate::engine::event::Event;

/// The actors of attempts, before their number; the original's name.
const ACTORS: &str = "crammd5-authenticatee(";
/// Messages of an exchange that wait for the attempt. One that is too many is dropped: an honest
/// master waits for our answers.
const WAITING: usize = 16;

/// What the attempt that is under way is to be told; shared with the door.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Option<Slot>>);

#[derive(Debug)]
struct Slot {
    actor: String,
    /// The master's address: the session is one of its actors.
    master: Upid,
    letters: mpsc::Sender<Letter>,
}

/// What came for an attempt.
#[derive(Debug)]
enum Letter {
    Message {
        from: Upid,
        message: Message,
    },
    /// The connection of the exchange broke.
    Broken(String),
}

/// What became of a message for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The attempt gets it.
    Taken,
    /// It is dropped, for this reason.
    Dropped(&'static str),
    /// There is no such attempt.
    NoSuchActor,
}

impl Mailbox {
    /// Whether an actor is, or was, that of an attempt.
    pub(super) fn is_for(actor: &str) -> bool {
        actor.starts_with(ACTORS)
    }

    /// Takes a message for an attempt, if it comes from the master that it is with.
    pub(super) fn deliver(
        &self,
        actor: &str,
        from: &BoundPid,
        name: &str,
        body: &[u8],
    ) -> Delivery {
        let slot = self.slot();
        let Some(slot) = slot.as_ref().filter(|slot| slot.actor == actor) else {
            return Delivery::NoSuchActor;
        };
        if from.upid().address != slot.master.address || !from.may_speak_as(Kind::Master) {
            return Delivery::Dropped("it is not from the master that the exchange is with");
        }
        let message = match exchange::from_session(name, body) {
            Some(Ok(message)) => message,
            Some(Err(_)) => return Delivery::Dropped("it is malformed"),
            None => return Delivery::Dropped("it is no message of an exchange"),
        };
        let from = from.upid().clone();
        match slot.letters.try_send(Letter::Message { from, message }) {
            Ok(()) => Delivery::Taken,
            Err(_) => Delivery::Dropped("too many messages wait for the attempt"),
        }
    }

    /// The link to the master broke.
    fn broken(&self, master: &Upid, reason: &str) {
        let slot = self.slot();
        if let Some(slot) = slot.as_ref().filter(|slot| slot.master == *master) {
            // If its mailbox is full the attempt ends by its deadline.
            let _ = slot.letters.try_send(Letter::Broken(reason.to_owned()));
        }
    }

    fn open(&self, actor: String, master: Upid) -> mpsc::Receiver<Letter> {
        let (letters, receiver) = mpsc::channel(WAITING);
        *self.slot() = Some(Slot { actor, master, letters });
        receiver
    }

    fn close(&self) {
        *self.slot() = None;
    }

    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an authenticatee is made of.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) settings: MasterAuthentication,
    pub(super) messenger: Messenger,
    pub(super) sessions: Arc<Sessions>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) inbox: Inbox,
}

/// Runs the engine's wishes, one at a time.
#[derive(Debug)]
pub(super) struct Authenticatee {
    parts: Parts,
    /// How many attempts there were.
    attempts: Arc<std::sync::atomic::AtomicU64>,
    current: Option<(Upid, JoinHandle<()>)>,
}

impl Authenticatee {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, attempts: Arc::default(), current: None }
    }

    /// Authenticates with a master, in place of whatever was under way.
    pub(super) fn begin(&mut self, master: Upid) {
        self.stop();
        let Some(authenticatees) = self.parts.settings.mechanisms.clone() else {
            tracing::error!(%master, "there is nothing to authenticate with");
            return;
        };
        let run = Run {
            parts: self.parts.clone(),
            attempts: Arc::clone(&self.attempts),
            authenticatees,
            master: master.clone(),
        };
        self.current = Some((master, tokio::spawn(run.run())));
    }

    /// Gives up what is under way, and what came of it.
    pub(super) fn stop(&mut self) {
        if let Some((master, task)) = self.current.take() {
            task.abort();
            self.parts.mailbox.close();
            self.parts.sessions.end(&master);
        }
    }

    /// The link to a master broke.
    pub(super) fn link_broke(&self, master: &Upid, reason: &str) {
        self.parts.mailbox.broken(master, reason);
    }
}

impl Drop for Authenticatee {
    fn drop(&mut self) {
        if let Some((_, task)) = self.current.take() {
            task.abort();
        }
    }
}

/// One wish.
struct Run {
    parts: Parts,
    attempts: Arc<std::sync::atomic::AtomicU64>,
    authenticatees: Arc<Live<Authenticatees>>,
    master: Upid,
}

/// An attempt that is under way.
struct Trying {
    number: Number,
    actor: String,
    attempt: Attempt,
    channel: Arc<PeerFacts>,
    letters: mpsc::Receiver<Letter>,
    /// Whom the next answer goes to.
    session: Upid,
}

impl Run {
    async fn run(self) {
        let settings = RetrySettings {
            timeout_min: self.parts.settings.timeout_min,
            timeout_max: self.parts.settings.timeout_max,
            backoff_factor: self.parts.settings.backoff_factor,
            // The engine has waited.
            first_wait: Duration::ZERO,
        };
        let mut retries = Retries::new(settings);
        let mut effects = retries.handle(Happened::MasterDetected, rand::random());
        loop {
            // One of them leads on, or it is over.
            let mut next = None;
            for effect in effects {
                match effect {
                    Effect::Discard(_) => self.parts.mailbox.close(),
                    Effect::Wait(number, pause) => {
                        tokio::time::sleep(pause).await;
                        next = Some(Happened::WaitOver(number));
                    }
                    Effect::Begin { number, time } => {
                        let ended = tokio::time::timeout(time, self.attempt(number)).await;
                        next = Some(if let Ok((ended, channel)) = ended {
                            self.after(number, ended, channel).await
                        } else {
                            let master = &self.master;
                            tracing::warn!(%master, "authentication with the master timed out");
                            Happened::TimeUp(number)
                        });
                    }
                    Effect::Authenticated(..) => return,
                    Effect::Refused => {
                        self.tell(Event::AuthenticationRefused(self.master.clone())).await;
                        return;
                    }
                }
            }
            let Some(happened) = next else { return };
            effects = retries.handle(happened, rand::random());
        }
    }

    /// Enters the session, before anything that comes of it can be believed.
    async fn after(
        &self,
        number: Number,
        ended: Ended,
        channel: Option<Arc<PeerFacts>>,
    ) -> Happened {
        self.parts.mailbox.close();
        let ended = match (ended, channel) {
            (Ended::Authenticated { method, proof }, Some(channel)) => {
                let ServerProof { mutual, key } = proof;
                let established = Established {
                    ours: self.parts.messenger.own(ACTOR),
                    peer: Peer::Server(self.master.clone()),
                    channel,
                    principal: None,
                    kinds: Kinds::only(Kind::Master),
                    mechanism: method.as_str().to_owned(),
                    key: key.clone(),
                };
                match self.parts.sessions.establish(established) {
                    Ok(session) => {
                        if !mutual {
                            tracing::warn!(
                                master = %self.master,
                                mechanism = %method,
                                "this mechanism does not show that the master knows the secret: \
                                 whoever answers at its address is obeyed"
                            );
                        }
                        let master = self.master.clone();
                        self.tell(Event::Authenticated { master, session }).await;
                        Ended::Authenticated { method, proof: ServerProof { mutual, key } }
                    }
                    Err(error) => aborted(&error.to_string()),
                }
            }
            (Ended::Authenticated { .. }, None) => aborted("it ended before it began"),
            (ended, _) => ended,
        };
        if let Ended::Failed(error) = &ended {
            tracing::warn!(master = %self.master, %error, "failed to authenticate with the master");
        }
        Happened::Ended(number, ended)
    }

    /// One attempt, until it ends.
    async fn attempt(&self, number: Number) -> (Ended, Option<Arc<PeerFacts>>) {
        let started = Instant::now();
        let mut trying = match self.begin(number).await {
            Ok(trying) => trying,
            Err(reason) => return (aborted(&reason), None),
        };
        let mut output = trying.attempt.start(self.parts.messenger.own(ACTOR).to_string());
        loop {
            output = match output {
                Output::Send(message) => {
                    if let Err(reason) = self.send(&trying, &message) {
                        trying.attempt.abort(&reason)
                    } else {
                        self.listen(&mut trying).await
                    }
                }
                Output::Stray => self.listen(&mut trying).await,
                Output::Work(work) => match tokio::task::spawn_blocking(move || work.run()).await {
                    Ok(worked) => trying.attempt.worked(worked),
                    Err(error) => trying.attempt.abort(&error.to_string()),
                },
                Output::End(ended) => {
                    tracing::debug!(took = ?started.elapsed(), "an attempt to authenticate ended");
                    return (ended, Some(trying.channel));
                }
            };
        }
    }

    /// The connection first: what it proves goes into the exchange, and messages sent from now on
    /// travel on it.
    async fn begin(&self, number: Number) -> Result<Trying, String> {
        use std::sync::atomic::Ordering;
        // Nothing of an earlier session counts from here on.
        self.parts.sessions.end(&self.master);
        let expected = Expected::Kind(Kind::Master);
        let channel = self.parts.messenger.channel(&self.master, expected);
        let channel = channel.await.map_err(|error| with_causes(&error))?;
        self.parts.messenger.link(&self.master, Expected::Kind(Kind::Master));
        let count = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let actor = format!("{ACTORS}{count})");
        let letters = self.parts.mailbox.open(actor.clone(), self.master.clone());
        let attempt = Attempt::new(
            (*self.authenticatees.current()).clone(),
            Channel {
                encrypted: channel.encrypted,
                binding: channel.channel_binding,
                certificate: certified(&channel),
            },
            Nonce(rand::random()),
        );
        let session = self.master.clone();
        Ok(Trying { number, actor, attempt, channel, letters, session })
    }

    fn send(&self, trying: &Trying, message: &Message) -> Result<(), String> {
        if let Message::Start { mechanism, .. } = message {
            if mechanism == "CRAM-MD5" {
                tracing::info!("Using default CRAM-MD5 authenticatee");
            } else {
                tracing::info!("Using {mechanism} authenticatee");
            }
        }
        let (name, body) = (message.name(), exchange::encode(message));
        let expected = Expected::Kind(Kind::Master);
        tracing::trace!(number = ?trying.number, name, to = %trying.session, "authenticating");
        self.parts
            .messenger
            .send(&trying.actor, &trying.session, expected, name, &body)
            .map_err(|error| with_causes(&error))
    }

    async fn listen(&self, trying: &mut Trying) -> Output {
        match trying.letters.recv().await {
            Some(Letter::Message { from, message }) => {
                let output = trying.attempt.receive(&from.to_string(), message);
                // The session makes itself known by its first message, and stays the same.
                if matches!(output, Output::Send(_) | Output::Work(_)) {
                    trying.session = from;
                }
                output
            }
            Some(Letter::Broken(reason)) => {
                trying.attempt.abort(&format!("the connection to the master broke: {reason}"))
            }
            None => trying.attempt.discard(),
        }
    }

    async fn tell(&self, event: Event) {
        // If the engine is gone the agent is ending.
        let _ = self.parts.inbox.put(event).await;
    }
}

fn aborted(reason: &str) -> Ended {
    Ended::Failed(authn::sasl::attempt::AttemptError::Aborted(reason.to_owned()))
}

/// What the master's verified certificate says; a client uses it only to know that there is one.
fn certified(channel: &PeerFacts) -> Option<authn::proved::Certified> {
    if !channel.certified {
        return None;
    }
    let identity = channel.identity.as_ref();
    let principal = identity.map(ToString::to_string).or_else(|| channel.principal.clone());
    Some(authn::proved::Certified {
        principal: principal.unwrap_or_default(),
        kinds: identity.map_or(Kinds::ANY, |identity| Kinds::only(identity.kind())),
    })
}
