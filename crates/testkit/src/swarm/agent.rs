//! One emulated agent, as a machine: what it hears goes in, what it says comes out.
//!
//! It links, authenticates by [`Attempt`] and [`Retries`], each attempt under a name of its own
//! (`authentication.md` §3, §9.2), registers with the back-off of `master-agent-protocol.md` §3.1,
//! answers pings, and begins anew when it is told of a master or misses its pings. Of the tasks
//! that it is to run it keeps the books ([`tasks`]); nothing is on a disk.

mod tasks;

use std::time::{Duration, Instant};

use authn::sasl::attempt::{self, Attempt, Ended, Work, Worked};
use authn::sasl::message::Message;
use authn::sasl::offer::Authenticatees;
use authn::sasl::retry::{Effect, Event, Number, Retries, RetrySettings};
use authn::sasl::{Channel, Nonce};
use bytes::Bytes;
use endpoints::exchange;
use libprocess::upid::Upid;
use wire::Limits;
use wire::check::decode;
use wire::internal::{
    KillTaskMessage, PingSlaveMessage, RunTaskMessage, ShutdownFrameworkMessage,
    SlaveRegisteredMessage, SlaveReregisteredMessage, StatusUpdateAcknowledgementMessage,
    UnregisterSlaveMessage, UpdateFrameworkMessage,
};

use super::book::Fact;
use super::messages::{Identity, Size};
pub use tasks::is_terminal;
use tasks::{Said, Tasks};

/// Without a ping for so long, an agent takes its master for another: the original's default.
const PATIENCE: Duration = Duration::from_secs(75);
/// No retry of a registration waits longer.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What an agent hears of.
#[derive(Debug)]
pub enum Input {
    /// This master leads.
    Detected(Upid),
    /// There is a link to the master now; an exchange may bind this.
    Linked(Channel),
    /// There is none any more, or there will be none.
    LinkBroke,
    /// A message.
    Received(Received),
    /// A step of an exchange that took its time.
    Worked(Number, Worked),
    /// [`Agent::deadline`] is over.
    Woken,
    /// It is to leave for good.
    Leaves,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who says that it sends it.
    pub from: Upid,
    /// To which actor.
    pub to: String,
    /// Its name.
    pub name: String,
    /// Its body.
    pub body: Bytes,
}

/// What an agent wants done.
#[derive(Debug)]
pub enum Output {
    /// To be counted.
    Fact(Fact),
    /// A link to this master, unless there is one; [`Input::Linked`] or [`Input::LinkBroke`]
    /// follows.
    Link(Upid),
    /// A message over the link.
    Send {
        /// Which of the agent's actors sends it.
        from: String,
        /// To whom.
        to: Upid,
        /// Its name.
        name: &'static str,
        /// Its body.
        body: Vec<u8>,
    },
    /// To be run on a thread for such things; [`Input::Worked`] follows.
    Work(Number, Work),
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    upid: Upid,
    identity: Identity,
    /// `None`: it has no credential and registers at once.
    authenticatees: Option<Authenticatees>,
    backoff: Duration,
    retries: Retries,
    master: Option<Upid>,
    /// The number in the name of the actor of the last attempt.
    authenticatee: u64,
    phase: Phase,
    tasks: Tasks,
    /// At most one thing is waited for at any time, besides what is due of tasks.
    timer: Option<(Instant, Timer)>,
    /// What has been entered in the book since the detection.
    authenticated: bool,
    registered: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing to do, or waiting to begin.
    Idle,
    /// An attempt waits for its link.
    Linking(Number),
    /// An attempt is under way, as the actor of this name.
    Trying {
        number: Number,
        actor: String,
        attempt: Box<Attempt>,
    },
    /// So many messages were sent to be registered.
    Registering {
        sent: u32,
    },
    Registered,
    /// The master does not want it. An agent of the original has ended here.
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Before an attempt.
    Wait(Number),
    /// The time of an attempt.
    Time(Number),
    /// Before the next message that registers.
    Register,
    /// For pings.
    Pings,
}

impl Agent {
    /// An agent that listens at the address of `upid`.
    #[must_use]
    pub fn new(
        upid: Upid,
        size: Size,
        authenticatees: Option<Authenticatees>,
        retry: RetrySettings,
    ) -> Self {
        let resource_version = rand::random();
        let identity = Identity { address: upid.address, size, id: None, resource_version };
        Self {
            upid,
            identity,
            authenticatees,
            backoff: retry.first_wait,
            retries: Retries::new(retry),
            master: None,
            tasks: Tasks::default(),
            authenticatee: 0,
            phase: Phase::Idle,
            timer: None,
            authenticated: false,
            registered: false,
        }
    }

    /// When it wants to be woken.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timer.as_ref().map(|(at, _)| *at);
        timer.into_iter().chain(self.tasks.deadline()).min()
    }

    /// Its process has ended without a word, and another one goes on with what was on its disk and
    /// with the tasks, which have not noticed.
    pub fn restarted(&mut self) {
        self.identity.resource_version = rand::random();
        self.master = None;
        self.phase = Phase::Idle;
        self.timer = None;
    }

    /// Its id, once a master has given it one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.identity.id.as_ref().map(|id| id.value.as_str())
    }

    /// Takes what it hears.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Output> {
        let mut turn = Turn { now, out: Vec::new() };
        if matches!(self.phase, Phase::Ended) {
            return turn.out;
        }
        match input {
            Input::Detected(master) => {
                self.master = Some(master);
                (self.authenticated, self.registered) = (false, false);
                self.begin(&mut turn);
            }
            Input::Linked(channel) => self.linked(channel, &mut turn),
            Input::LinkBroke => self.link_broke(&mut turn),
            Input::Received(message) => self.received(message, &mut turn),
            Input::Worked(number, worked) => match &mut self.phase {
                Phase::Trying { number: current, attempt, .. } if *current == number => {
                    let output = attempt.worked(worked);
                    self.attempted(output, &mut turn);
                }
                // Of an attempt that was given up meanwhile.
                _ => {}
            },
            Input::Woken => self.woken(&mut turn),
            Input::Leaves => self.leaves(&mut turn),
        }
        turn.out
    }

    /// There is a master, or again one: everything from the beginning.
    fn begin(&mut self, turn: &mut Turn) {
        self.phase = Phase::Idle;
        self.timer = None;
        if self.authenticatees.is_some() {
            self.retry(Event::MasterDetected, turn);
        } else {
            self.phase = Phase::Registering { sent: 0 };
            self.set(random_part(self.backoff), Timer::Register, turn);
        }
    }

    fn set(&mut self, after: Duration, timer: Timer, turn: &Turn) {
        self.timer = Some((turn.now + after, timer));
    }

    fn woken(&mut self, turn: &mut Turn) {
        let said = self.tasks.woken(self.identity.id.as_ref(), turn.now);
        self.says(said, turn);
        let Some((at, timer)) = self.timer else { return };
        if at > turn.now {
            return;
        }
        self.timer = None;
        match timer {
            Timer::Wait(number) => self.retry(Event::WaitOver(number), turn),
            Timer::Time(number) => {
                turn.fact(Fact::TimedOut);
                self.retry(Event::TimeUp(number), turn);
            }
            Timer::Register => self.register(turn),
            Timer::Pings => self.begin(turn),
        }
    }

    fn retry(&mut self, event: Event, turn: &mut Turn) {
        for effect in self.retries.handle(event, rand::random()) {
            match effect {
                Effect::Discard(_) => self.phase = Phase::Idle,
                Effect::Wait(number, wait) => self.set(wait, Timer::Wait(number), turn),
                Effect::Begin { number, time } => {
                    let Some(master) = self.master.clone() else { continue };
                    turn.fact(Fact::Attempt);
                    self.set(time, Timer::Time(number), turn);
                    self.phase = Phase::Linking(number);
                    turn.out.push(Output::Link(master));
                }
                Effect::Authenticated(..) => {
                    if !std::mem::replace(&mut self.authenticated, true) {
                        turn.fact(Fact::Authenticated);
                    }
                    self.phase = Phase::Registering { sent: 0 };
                    self.register(turn);
                }
                Effect::Refused => self.end("the master refused authentication".to_owned(), turn),
            }
        }
    }

    /// Tells the master that it leaves, and says nothing more.
    fn leaves(&mut self, turn: &mut Turn) {
        if let (Some(master), Some(slave_id)) = (self.master.clone(), self.identity.id.clone()) {
            let body = wire::encode(&UnregisterSlaveMessage { slave_id });
            self.send(master, "mesos.internal.UnregisterSlaveMessage", body, turn);
        }
        self.phase = Phase::Ended;
        self.timer = None;
    }

    fn end(&mut self, why: String, turn: &mut Turn) {
        turn.fact(Fact::Refused(why));
        self.phase = Phase::Ended;
        self.timer = None;
    }

    fn linked(&mut self, channel: Channel, turn: &mut Turn) {
        let (Phase::Linking(number), Some(authenticatees)) = (&self.phase, &self.authenticatees)
        else {
            return;
        };
        let number = *number;
        let mut attempt =
            Box::new(Attempt::new(authenticatees.clone(), channel, Nonce(rand::random())));
        let output = attempt.start(self.upid.to_string());
        self.authenticatee += 1;
        let actor = format!("crammd5-authenticatee({})", self.authenticatee);
        self.phase = Phase::Trying { number, actor, attempt };
        self.attempted(output, turn);
    }

    fn link_broke(&mut self, turn: &mut Turn) {
        turn.fact(Fact::LinkBroke);
        match &mut self.phase {
            Phase::Linking(number) => {
                let number = *number;
                let error = attempt::AttemptError::Aborted("the link broke".to_owned());
                self.failed(number, error, turn);
            }
            Phase::Trying { attempt, .. } => {
                let output = attempt.abort("the link broke");
                self.attempted(output, turn);
            }
            // As in the original only news: whoever tells of masters decides, or pings stop.
            Phase::Idle | Phase::Registering { .. } | Phase::Registered | Phase::Ended => {}
        }
    }

    fn failed(&mut self, number: Number, error: attempt::AttemptError, turn: &mut Turn) {
        turn.fact(Fact::Failed(error.to_string()));
        self.phase = Phase::Idle;
        self.timer = None;
        self.retry(Event::Ended(number, Ended::Failed(error)), turn);
    }

    /// Does what the attempt says.
    fn attempted(&mut self, output: attempt::Output, turn: &mut Turn) {
        let Phase::Trying { number, actor, attempt } = &self.phase else { return };
        let number = *number;
        match output {
            attempt::Output::Stray => {
                turn.fact(Fact::Stray("a message that is none of the session's".to_owned()));
            }
            attempt::Output::Send(message) => {
                let to = match (&message, attempt.session()) {
                    (Message::Authenticate { .. }, _) | (_, None) => self.master.clone(),
                    (_, Some(session)) => session.parse().ok(),
                };
                let Some(to) = to else { return };
                let (from, name) = (actor.clone(), message.name());
                turn.out.push(Output::Send { from, to, name, body: exchange::encode(&message) });
            }
            attempt::Output::Work(work) => turn.out.push(Output::Work(number, work)),
            attempt::Output::End(Ended::Failed(error)) => self.failed(number, error, turn),
            attempt::Output::End(ended) => {
                self.timer = None;
                self.retry(Event::Ended(number, ended), turn);
            }
        }
    }

    fn register(&mut self, turn: &mut Turn) {
        let (Phase::Registering { sent }, Some(master)) = (&mut self.phase, self.master.clone())
        else {
            return;
        };
        *sent = sent.saturating_add(1);
        // Beyond this the doubled wait is longer than the longest one anyway.
        let longest = self.backoff.saturating_mul(1 << (*sent).min(16)).min(LONGEST_WAIT);
        turn.fact(Fact::Registration);
        turn.out.push(Output::Link(master.clone()));
        let (tasks, frameworks) = self.tasks.listed();
        let (name, body) = self.identity.registration(tasks, frameworks);
        self.send(master, name, body, turn);
        self.set(random_part(longest), Timer::Register, turn);
    }

    fn send(&self, to: Upid, name: &'static str, body: Vec<u8>, turn: &mut Turn) {
        turn.out.push(Output::Send { from: self.upid.id.clone(), to, name, body });
    }

    fn received(&mut self, message: Received, turn: &mut Turn) {
        let Received { from, to, name, body } = message;
        if self.master.as_ref().is_none_or(|master| master.address != from.address) {
            return turn.stray(&name, "is not from the master");
        }
        if let Some(message) = exchange::from_session(&name, &body) {
            let Phase::Trying { actor, attempt, .. } = &mut self.phase else {
                return turn.stray(&name, "belongs to no attempt");
            };
            if *actor != to {
                return turn.stray(&name, "belongs to an earlier attempt");
            }
            return match message {
                Ok(message) => {
                    let output = attempt.receive(&from.to_string(), message);
                    self.attempted(output, turn);
                }
                Err(error) => turn.stray(&name, &error),
            };
        }
        if to != self.upid.id {
            return turn.stray(&name, "is for nobody here");
        }
        if let Err(error) = self.told(from, &name, &body, turn) {
            turn.stray(&name, &error.to_string());
        }
    }

    /// What the master, or an observer of its, tells the agent.
    fn told(
        &mut self,
        from: Upid,
        name: &str,
        body: &[u8],
        turn: &mut Turn,
    ) -> Result<(), wire::check::DecodeError> {
        let limits = Limits::default();
        match name {
            "mesos.internal.PingSlaveMessage" => {
                let (ping, _) = decode::<PingSlaveMessage>(body, &limits)?;
                turn.fact(Fact::Pinged);
                self.send(from, "mesos.internal.PongSlaveMessage", Vec::new(), turn);
                if matches!(self.phase, Phase::Registered) {
                    if ping.connected {
                        self.set(PATIENCE, Timer::Pings, turn);
                    } else {
                        self.begin(turn);
                    }
                }
            }
            "mesos.internal.SlaveRegisteredMessage" => {
                let (message, _) = decode::<SlaveRegisteredMessage>(body, &limits)?;
                self.is_registered(message.slave_id, turn);
            }
            "mesos.internal.SlaveReregisteredMessage" => {
                let (message, _) = decode::<SlaveReregisteredMessage>(body, &limits)?;
                let id = message.slave_id;
                self.is_registered(id.clone(), turn);
                let said = self.tasks.reconcile(message.reconciliations, &id, turn.now);
                self.says(said, turn);
            }
            "mesos.internal.ShutdownMessage" => {
                self.end("the master told it to shut down".to_owned(), turn);
            }
            _ => self.told_of_tasks(name, body, turn)?,
        }
        Ok(())
    }

    fn told_of_tasks(
        &mut self,
        name: &str,
        body: &[u8],
        turn: &mut Turn,
    ) -> Result<(), wire::check::DecodeError> {
        let limits = Limits::default();
        let Some(id) = self.identity.id.clone() else {
            turn.stray(name, "is for an agent that is registered");
            return Ok(());
        };
        let said = match name {
            "mesos.internal.RunTaskMessage" => {
                let (message, _) = decode::<RunTaskMessage>(body, &limits)?;
                self.tasks.run(message, &id, turn.now)
            }
            "mesos.internal.KillTaskMessage" => {
                let (message, _) = decode::<KillTaskMessage>(body, &limits)?;
                self.tasks.kill(message.framework_id, message.task_id, &id, turn.now)
            }
            "mesos.internal.ShutdownFrameworkMessage" => {
                let (message, _) = decode::<ShutdownFrameworkMessage>(body, &limits)?;
                self.tasks.shut_down(&message.framework_id)
            }
            "mesos.internal.StatusUpdateAcknowledgementMessage" => {
                let (message, _) = decode::<StatusUpdateAcknowledgementMessage>(body, &limits)?;
                self.tasks.acknowledged(message, &id, turn.now)
            }
            // Where the framework is; it is read so that a malformed one is noticed.
            "mesos.internal.UpdateFrameworkMessage" => {
                decode::<UpdateFrameworkMessage>(body, &limits)?;
                Said::default()
            }
            _ => {
                turn.stray(name, "is nothing that emulated agents know");
                return Ok(());
            }
        };
        self.says(said, turn);
        Ok(())
    }

    /// Tells the master of tasks, if it is one that it is registered with: what is not told now is
    /// told when it is registered again.
    fn says(&self, said: Said, turn: &mut Turn) {
        said.facts.into_iter().for_each(|fact| turn.fact(fact));
        let (Phase::Registered, Some(master)) = (&self.phase, &self.master) else { return };
        for mut update in said.updates {
            update.pid = Some(self.upid.to_string());
            if let (true, Some(id)) = (is_terminal(update.update.latest_state()), self.id()) {
                turn.fact(Fact::Freed(id.to_owned()));
            }
            let body = wire::encode(&update);
            self.send(master.clone(), "mesos.internal.StatusUpdateMessage", body, turn);
        }
    }

    fn is_registered(&mut self, id: wire::v1::AgentId, turn: &mut Turn) {
        if !matches!(self.phase, Phase::Registering { .. }) {
            return;
        }
        let Some(master) = self.master.clone() else { return };
        if !std::mem::replace(&mut self.registered, true) {
            turn.fact(Fact::Registered);
        }
        self.phase = Phase::Registered;
        self.set(PATIENCE, Timer::Pings, turn);
        let (name, body) = self.identity.update(id.clone());
        self.identity.id = Some(id.clone());
        self.send(master, name, body, turn);
        let said = self.tasks.resume(&id, turn.now);
        self.says(said, turn);
    }
}

/// One input's worth of outputs.
struct Turn {
    now: Instant,
    out: Vec<Output>,
}

impl Turn {
    fn fact(&mut self, fact: Fact) {
        self.out.push(Output::Fact(fact));
    }

    fn stray(&mut self, name: &str, why: &str) {
        self.fact(Fact::Stray(format!("{name} {why}")));
    }
}

fn random_part(of: Duration) -> Duration {
    of.mul_f64(rand::random::<f64>())
}
