//! Where clients prove who they are: the exchanges of `authentication.md` §2–6, beside the engine,
//! so that a thousand of them at once hold nothing else up.
//!
//! A client is an agent or a driver; its *authenticatee* is the actor at the same address that
//! speaks for it in one attempt; the *session actor* is ours for that attempt. An attempt is an
//! entry in a book, and no task: it costs a thread only while a step is computed that takes long.
//!
//! Nobody can touch what is another's (A3): the client that an attempt is for must be at the
//! address of its sender, an attempt is continued only on the connection on which it began, and it
//! ends a session only on a connection that belongs to that session. A session is in the book of
//! sessions before the client hears of it; a registration that comes too early waits here.

mod book;
mod held;
mod turns;

use std::net::{IpAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use authn::audit::{AuditTrail, Decision};
use authn::proved::Certified;
use authn::sasl::message::Message;
use authn::sasl::offer::Authenticators;
use authn::sasl::session::{Ended, Output, Session, Verdict, Work};
use authn::sasl::{Accepted, Channel, Nonce};
use authn::throttle::{Judgement, Tried};
use endpoints::authentication::Guesses;
use endpoints::exchange;
use libprocess::sender::{BoundPid, Finding, PeerFacts, Tie};
use libprocess::upid::Upid;
use model::principal::Kinds;
use model::time::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use transport::messenger::{Exited, Link, Listeners, Messenger};
use transport::seldom;
use transport::server::Receipt;
use transport::sessions::{Established, Peer, Sessions};
use transport::tls::{Expected, Security};

use super::inbox::Inbox;
use book::{Attempt, Begun, Book, Taken};
pub(super) use held::Held;

/// What a desk is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) mechanisms: Authenticators,
    pub(super) timeout: Duration,
    pub(super) audit: Arc<dyn AuditTrail>,
    /// Who has to wait because of too many failures.
    pub(super) guesses: Arc<Guesses>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) security: Security,
    pub(super) messenger: Messenger,
    pub(super) inbox: Inbox,
    pub(super) counted: Arc<Counted>,
}

/// What the desk counts.
#[derive(Debug, Default)]
pub struct Counted {
    /// Requests to authenticate, whatever came of them.
    pub requests: AtomicU64,
    /// Clients that proved who they are.
    pub accepted: AtomicU64,
    /// Clients whose principal is unknown or whose proof is wrong.
    pub refused: AtomicU64,
    /// Attempts that came to no proof: broken off, malformed, or not possible.
    pub failed: AtomicU64,
    /// Attempts that took too long.
    pub timed_out: AtomicU64,
    /// Attempts in whose place a newer one came.
    pub replaced: AtomicU64,
    /// Requests for a client at another address than the sender's.
    pub foreign: AtomicU64,
    /// Requests and results that were withheld after too many failures.
    pub withheld: AtomicU64,
    /// Requests for which there was no room.
    pub no_room: AtomicU64,
    /// Messages to a session actor from somebody else than its client, or out of turn.
    pub stray: AtomicU64,
    /// Registrations that waited for an attempt.
    pub held: AtomicU64,
    /// Registrations that waited in vain.
    pub dropped: AtomicU64,
}

impl Counted {
    /// Each with the name of its metric.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("accepted", &self.accepted),
            ("refused", &self.refused),
            ("failed", &self.failed),
            ("timed_out", &self.timed_out),
            ("replaced", &self.replaced),
            ("foreign_pid", &self.foreign),
            ("withheld", &self.withheld),
            ("no_room", &self.no_room),
            ("stray", &self.stray),
            ("registrations_held", &self.held),
            ("registrations_dropped", &self.dropped),
        ]
        .into_iter()
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The desk. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    book: Mutex<Book>,
    /// Steps that may be computed at a time: each has a thread.
    threads: Arc<Semaphore>,
    /// There is something that will be due, or somebody's turn.
    begun: Arc<Notify>,
}

/// Lets the clock's watch see that the desk is gone.
impl Drop for Shared {
    fn drop(&mut self) {
        self.begun.notify_one();
    }
}

/// The master's actor, to which clients turn.
const MASTER: &str = "master";

/// A message of an exchange that has arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) from: BoundPid,
    /// The addressed actor.
    pub(super) to: String,
    pub(super) message: Message,
    pub(super) facts: Arc<PeerFacts>,
}

impl Desk {
    /// A desk without attempts. Must be called inside the runtime.
    pub(super) fn new(parts: Parts) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            parts,
            book: Mutex::default(),
            threads: Arc::new(Semaphore::new(threads)),
            begun: Arc::default(),
        });
        tokio::spawn(watch_the_clock(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Takes a message of an exchange.
    pub(super) async fn take(&self, arrived: Arrived) -> Receipt {
        let Arrived { from, to, message, facts } = arrived;
        match message {
            Message::Authenticate { pid } if to == MASTER => {
                self.shared.authenticate(&from, &pid, facts);
                Receipt::Accepted
            }
            message @ (Message::Start { .. } | Message::Step(_)) => {
                let Some(number) = book::number_of(&to) else { return Receipt::NoSuchActor };
                self.shared.receive(number, &from, message, &facts).await
            }
            _ => Receipt::NoSuchActor,
        }
    }

    /// Keeps a registration until the attempt of its sender is over; returns it if there is none
    /// to wait for.
    pub(super) fn hold(&self, held: Held) -> Option<Held> {
        let counted = &self.shared.parts.counted;
        match self.shared.book().hold(held) {
            book::Holding::Free(held) => return Some(*held),
            book::Holding::Held => count(&counted.held),
            book::Holding::TooMany => count(&counted.dropped),
        }
        None
    }

    /// Links ended: the attempts over them fail.
    pub(super) fn exited(&self, exited: &Exited) {
        for pid in &exited.upids {
            let attempt = self.shared.book().take_linked(pid, exited.link);
            if let Some(attempt) = attempt {
                self.shared.failed(attempt, "the link to the authenticatee broke");
            }
        }
    }

    /// The link over which this client has just been talked to, if it is fresh: nobody needs a new
    /// connection to know that it is not stale.
    pub(super) fn fresh_link(&self, client: &Upid) -> Option<Link> {
        self.shared.book().take_fresh(client)
    }

    /// Where decisions about clients are written down.
    pub(super) fn audit(&self) -> &Arc<dyn AuditTrail> {
        &self.shared.parts.audit
    }

    /// The book of sessions.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.shared.parts.sessions
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// §6.2: a client wants to authenticate.
    fn authenticate(self: &Arc<Self>, from: &BoundPid, pid: &str, facts: Arc<PeerFacts>) {
        let counted = &self.parts.counted;
        count(&counted.requests);
        let client = match pid.parse::<Upid>() {
            Ok(client) if client.address == from.upid().address && client != *from.upid() => client,
            _ => {
                count(&counted.foreign);
                seldom!(
                    warn,
                    from = %from.upid(), pid = ?quoted(pid),
                    "a request to authenticate somebody who is not at its sender's address"
                );
                let reason = "it asked for a client that is not at its own address";
                return self.write_refusal(&facts, "", None, reason.to_owned());
            }
        };
        // Silence: an answer of any kind would have stock clients try again at once, or give up.
        if let Judgement::Withhold(wait) =
            self.parts.guesses.may_begin(&client.to_string(), host_of(&facts))
        {
            count(&counted.withheld);
            seldom!(info, %client, ?wait, "too many failures before: a request is not answered");
            let reason = "too many failures before".to_owned();
            return self.write_refusal(&facts, "", None, reason);
        }
        // Only who owns a session can end it before another takes its place; coming from the same
        // address is not owning it.
        if let Finding::Tied(proof) = self.parts.sessions.prove(&client, &facts)
            && proof.tie != Tie::DangerSameAddress
        {
            self.parts.sessions.end_if(&client, proof.session.id);
        }
        if self.parts.mechanisms.iter().next().is_none() {
            let message = Message::Error("No authenticator loaded".to_owned());
            self.send(MASTER, from.upid(), expected(from), &message);
            return;
        }
        let mut book = self.book();
        let Begun { number, place, older } = book.begin(&client, from.upid(), &facts);
        let has_turn = number.map(|number| {
            let attempt = Attempt {
                number,
                client: client.clone(),
                authenticatee: from.upid().clone(),
                expected: expected(from),
                facts: Arc::clone(&facts),
                link: None,
                deadline: Instant::now() + self.parts.timeout,
                session: None,
                mechanism: String::new(),
                held: Vec::new(),
            };
            (number, book.enter(attempt, place, Instant::now()))
        });
        drop(book);
        for older in older {
            count(&counted.replaced);
            tracing::info!(client = %older.client, "a newer attempt to authenticate began");
            // A client that begins again and again comes to nothing; but not if it had to wait.
            if older.link.is_some() {
                let _ = self.came_to_nothing(&older);
            }
            self.drop_held(older);
        }
        match has_turn {
            Some((number, true)) => self.open(number),
            Some((_, false)) => {}
            None => {
                count(&counted.no_room);
                seldom!(warn, %client, "no room for an attempt to authenticate; it is ignored");
                self.write_refusal(&facts, "", None, "there was no room".to_owned());
            }
        }
        self.begun.notify_one();
    }

    /// The attempt has its turn: its session begins.
    fn open(&self, number: u64) {
        let Some(opening) = self.book().opening(number) else { return };
        let book::Opening { authenticatee, expected, facts } = opening;
        let nonce = Nonce(rand::random());
        let mechanisms = self.parts.mechanisms.clone();
        let mut session =
            Session::new(mechanisms, channel(&facts), nonce, authenticatee.to_string());
        let link = self.parts.messenger.link(&authenticatee, expected);
        let output = session.start();
        if let Output::Send(message) = output {
            let mut book = self.book();
            // Before the client hears of its actor.
            match book.opened(number, link, session) {
                Some(attempt) => self.tell(attempt, &message),
                // Time or a newer attempt was quicker.
                None => self.parts.messenger.unlink(&authenticatee),
            }
            return;
        }
        let Some(mut attempt) = self.book().take(number) else { return };
        attempt.link = Some(link);
        match output {
            Output::End { send, result } => {
                if let Some(message) = send {
                    self.tell(&attempt, &message);
                }
                let _ = self.came_to_nothing(&attempt);
                let reason = result.err().map_or_else(String::new, |why| why.to_string());
                self.failed(attempt, &reason);
            }
            Output::Send(_) | Output::Stray | Output::Work(_) | Output::Judge(_) => {
                self.failed(attempt, "the session did not begin");
            }
        }
    }

    /// A message to the session actor called `number`.
    async fn receive(
        self: &Arc<Self>,
        number: u64,
        from: &BoundPid,
        message: Message,
        facts: &PeerFacts,
    ) -> Receipt {
        let taken = self.book().take_session(number, from.upid(), facts.connection);
        let mut session = match taken {
            Taken::Session(session) => session,
            Taken::NoSuchAttempt => return Receipt::NoSuchActor,
            Taken::Stray => {
                count(&self.parts.counted.stray);
                seldom!(warn, from = %from.upid(), number, "a stray message to a session");
                return Receipt::Accepted;
            }
        };
        if let Message::Start { mechanism, .. } = &message {
            self.book().chose(number, mechanism);
        }
        // Outside of the book: others go on meanwhile.
        let output = session.receive(&from.upid().to_string(), message);
        self.go_on(number, session, output).await;
        Receipt::Accepted
    }

    /// Does what the session says.
    async fn go_on(self: &Arc<Self>, number: u64, mut session: Session, output: Output) {
        let output = match output {
            Output::Judge(Verdict { claimed, tried }) => {
                // If it is gone, time or a newer attempt was quicker, and nothing is said.
                let Some(facts) = self.book().facts(number) else { return };
                let guesses = &self.parts.guesses;
                session.judged(guesses.judge(claimed.as_deref(), host_of(&facts), tried))
            }
            output => output,
        };
        match output {
            Output::Judge(_) | Output::Stray => {
                count(&self.parts.counted.stray);
                self.book().put_back(number, session);
            }
            Output::Send(message) => {
                let mut book = self.book();
                if let Some(attempt) = book.put_back(number, session) {
                    self.tell(attempt, &message);
                }
            }
            Output::Work(work) => {
                self.book().put_back(number, session);
                self.start(number, work);
            }
            Output::End { send, result } => {
                // If it is gone, time or a newer attempt was quicker.
                let Some(attempt) = self.book().take(number) else { return };
                self.end(attempt, send, result).await;
            }
        }
    }

    /// Begins to compute a step that takes long.
    fn start(self: &Arc<Self>, number: u64, work: Work) {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.work(number, work).await });
    }

    /// Computes a step where that holds nobody up.
    async fn work(self: Arc<Self>, number: u64, work: Work) {
        let Ok(permit) = Arc::clone(&self.threads).acquire_owned().await else { return };
        if !self.book().is_open(number) {
            return;
        }
        let worked = tokio::task::spawn_blocking(move || {
            let worked = work.run();
            drop(permit);
            worked
        })
        .await;
        let Some(mut session) = self.book().take_working(number) else { return };
        let output = match worked {
            Ok(worked) => session.worked(worked),
            Err(error) => {
                tracing::error!(%error, "a step of an authentication failed");
                session.abort("a step failed")
            }
        };
        self.go_on(number, session, output).await;
    }

    /// §6.3: an attempt has come to its end.
    async fn end(&self, attempt: Attempt, send: Option<Message>, result: Result<Accepted, Ended>) {
        let result = match result {
            // A client that errs again and again, which those of the original do at once.
            Err(Ended::Error(reason)) => match self.came_to_nothing(&attempt) {
                Judgement::Answer => Err(Ended::Error(reason)),
                Judgement::Withhold(wait) => Err(Ended::Withheld(wait)),
            },
            result => result,
        };
        match result {
            Err(Ended::Withheld(wait)) => {
                // Right or wrong: nobody learns which, nor by how long the answer takes.
                count(&self.parts.counted.withheld);
                tracing::warn!(client = %attempt.client, ?wait, "too many failures: a result is withheld");
                self.write_down(&attempt, None, Err("too many failures before".to_owned()));
                self.drop_held(attempt);
            }
            Ok(accepted) => match self.establish(&attempt, accepted) {
                Ok(()) => {
                    if let Some(message) = &send {
                        self.tell(&attempt, message);
                    }
                    if let Some(link) = attempt.link {
                        let fresh = (attempt.client.clone(), link);
                        self.book().keep_fresh(fresh, Instant::now() + FRESH);
                    }
                    self.begun.notify_one();
                    self.release(attempt).await;
                }
                Err(reason) => self.failed(attempt, &reason),
            },
            Err(Ended::Refused(refused)) => {
                count(&self.parts.counted.refused);
                let claimed = refused.claimed.as_deref().map(quoted);
                tracing::warn!(
                    client = %attempt.client, ?claimed, reason = refused.reason,
                    "authentication was refused"
                );
                self.write_down(&attempt, refused.claimed, Err(refused.reason));
                if let Some(message) = &send {
                    self.tell(&attempt, message);
                }
                // A definite answer, too.
                self.release(attempt).await;
            }
            Err(Ended::Error(reason)) => {
                if let Some(message) = &send {
                    self.tell(&attempt, message);
                }
                self.failed(attempt, &reason);
            }
        }
    }

    /// The client has neither proved nor failed to prove anything. Says whether it may be told:
    /// only this client is to wait, not all at its address.
    fn came_to_nothing(&self, attempt: &Attempt) -> Judgement {
        let client = attempt.client.to_string();
        self.parts.guesses.judge(Some(&client), host_of(&attempt.facts), Tried::Nothing)
    }

    /// Enters what the client has proved, before it hears of it.
    fn establish(&self, attempt: &Attempt, accepted: Accepted) -> Result<(), String> {
        let Accepted { proved, key } = accepted;
        let Some(principal) = proved.principal.value().map(str::to_owned) else {
            return Err("the proof gives no name".to_owned());
        };
        let mechanism = proved.method.as_str().to_owned();
        let established = Established {
            ours: self.parts.messenger.own(MASTER),
            peer: Peer::Client(attempt.client.clone()),
            channel: Arc::clone(&attempt.facts),
            principal: Some(principal.clone()),
            kinds: proved.kinds,
            mechanism: mechanism.clone(),
            key,
        };
        self.parts.sessions.establish(established).map_err(|error| error.to_string())?;
        count(&self.parts.counted.accepted);
        tracing::info!(client = %attempt.client, principal = ?quoted(&principal), mechanism, "authenticated");
        self.write_down(attempt, Some(principal), Ok(mechanism));
        Ok(())
    }

    /// An attempt ended without a definite answer: whatever waited for it is dropped, and the
    /// client tries again.
    fn failed(&self, attempt: Attempt, reason: &str) {
        count(&self.parts.counted.failed);
        seldom!(warn, client = %attempt.client, reason = quoted(reason), "authentication failed");
        self.write_down(&attempt, None, Err(reason.to_owned()));
        self.drop_held(attempt);
    }

    fn drop_held(&self, attempt: Attempt) {
        self.over(&attempt);
        let dropped = attempt.held.len() as u64;
        self.parts.counted.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// An attempt is not in the book any more: somebody else may have a turn.
    fn over(&self, attempt: &Attempt) {
        if attempt.link.is_some() {
            self.parts.messenger.unlink(&attempt.authenticatee);
        }
        self.begun.notify_one();
    }

    /// Hands over the registrations that waited, from senders who are now what they have proved.
    async fn release(&self, attempt: Attempt) {
        self.over(&attempt);
        for held in attempt.held {
            let Parts { sessions, listeners, security, inbox, counted, .. } = &self.parts;
            match held.bound_again(sessions, listeners, security) {
                // If the engine is gone, so is the master.
                Ok((event, memory)) => drop(inbox.put_message(event, memory).await),
                Err(error) => {
                    count(&counted.dropped);
                    tracing::warn!(%error, "a registration that waited was dropped");
                }
            }
        }
    }

    fn tell(&self, attempt: &Attempt, message: &Message) {
        let from = book::actor(attempt.number);
        self.send(&from, &attempt.authenticatee, attempt.expected.clone(), message);
    }

    fn send(&self, from: &str, to: &Upid, expected: Expected, message: &Message) {
        let body = exchange::encode(message);
        if let Err(error) = self.parts.messenger.send(from, to, expected, message.name(), &body) {
            // The link's end follows.
            tracing::warn!(%error, %to, name = message.name(), "a message was not sent");
        }
    }

    /// Writes a decision down: who, and by which mechanism, or why not.
    fn write_down(
        &self,
        attempt: &Attempt,
        principal: Option<String>,
        decided: Result<String, String>,
    ) {
        match decided {
            Ok(mechanism) => {
                let reason = "authenticated".to_owned();
                self.write(&attempt.facts, (&mechanism, principal), true, reason);
            }
            Err(reason) => {
                self.write_refusal(&attempt.facts, &attempt.mechanism, principal, reason);
            }
        }
    }

    fn write_refusal(
        &self,
        facts: &PeerFacts,
        mechanism: &str,
        principal: Option<String>,
        reason: String,
    ) {
        self.write(facts, (mechanism, principal), false, reason);
    }

    fn write(
        &self,
        facts: &PeerFacts,
        (mechanism, principal): (&str, Option<String>),
        granted: bool,
        reason: String,
    ) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.parts.audit.append(&Decision {
            time: Timestamp::new(now),
            principal,
            address: host_of(facts),
            method: mechanism.to_owned(),
            realm: "mesos.internal.AuthenticateMessage".to_owned(),
            granted,
            reason,
        });
    }

    /// Ends what is due. Returns when something will be.
    fn due(&self, now: Instant) -> Option<Instant> {
        loop {
            let overdue = match self.book().pop_due(now) {
                book::Due::Overdue(attempt) => attempt,
                book::Due::At(at) => return Some(at),
                book::Due::Never => return None,
            };
            count(&self.parts.counted.timed_out);
            tracing::warn!(client = %overdue.client, "an attempt to authenticate took too long");
            self.write_down(&overdue, None, Err("it took too long".to_owned()));
            self.drop_held(*overdue);
        }
    }
}

impl Shared {
    /// Begins with those whose turn it is. Returns when it will be somebody's at the latest.
    fn give_turns(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut book = self.book();
            let Some(number) = book.next_turn(now) else { return book.next_lapse() };
            drop(book);
            self.open(number);
        }
    }
}

/// How long a link over which a client was just talked to counts as fresh.
const FRESH: Duration = Duration::from_secs(5);

/// Ends attempts that take too long and gives others their turn, until the desk is gone.
async fn watch_the_clock(desk: Weak<Shared>) {
    loop {
        let Some(shared) = desk.upgrade() else { return };
        let now = Instant::now();
        let next = [shared.due(now), shared.give_turns(now)].into_iter().flatten().min();
        let begun = Arc::clone(&shared.begun);
        drop(shared);
        match next {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = begun.notified() => {}
            },
            None => begun.notified().await,
        }
    }
}

/// Who must be at the other end when the sender is answered.
fn expected(from: &BoundPid) -> Expected {
    from.identity().map_or(Expected::Member, |identity| Expected::Identity(identity.clone()))
}

/// What the connection of an exchange is worth to a mechanism.
fn channel(facts: &PeerFacts) -> Channel {
    let certificate = match &facts.identity {
        Some(identity) => Some(Certified {
            principal: identity.name().to_owned(),
            kinds: Kinds::only(identity.kind()),
        }),
        None => facts.principal.clone().map(|principal| Certified { principal, kinds: Kinds::ANY }),
    };
    Channel { encrypted: facts.encrypted, binding: facts.channel_binding, certificate }
}

/// Where a connection comes from.
fn host_of(facts: &PeerFacts) -> IpAddr {
    facts.address.ip().to_canonical()
}

/// Text from outside, fit for one line of a log.
fn quoted(text: &str) -> String {
    text.chars().take(300).collect::<String>().escape_debug().to_string()
}

/// The address of a client, for the bounds on how much one may ask for.
fn host(address: SocketAddrV4) -> std::net::Ipv4Addr {
    *address.ip()
}
