//! An executor's session with its agent, as a machine without I/O.
//!
//! It knows when to subscribe, what the SUBSCRIBE call must carry, which updates the agent has
//! not acknowledged, and when to give up on an agent that went away. It moves no bytes, reads no
//! clock and draws no randomness but from the seed it was given: a driver tells it what happened
//! ([`Input`]) and does what it says ([`Effect`]), in order.
//!
//! Invariants:
//!
//! - An update is kept from the moment the program hands it in until the agent acknowledges it.
//!   Each subscription carries all that are kept, so none is lost with a connection or an agent.
//! - A task is named in subscriptions from its launch to its first acknowledged update: an agent
//!   that crashed in between learns of it again.
//! - Without a checkpointing framework the loss of the agent ends the executor at once; with one,
//!   after the recovery timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use model::time::Instant;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use wire::v1;
use wire::v1::executor::{Call, Event, call, event};

use crate::environment::{Environment, Recovery};

/// An agent that does not answer a SUBSCRIBE, or does not follow its answer by SUBSCRIBED,
/// within this time is taken for gone.
pub const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// An agent that refuses the executor for this long does not know it any more.
pub const REFUSED_FOR: Duration = Duration::from_secs(30);

/// The shortest pause between two attempts to subscribe.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The executor began.
    Start,
    /// An event arrived on the stream of the current subscription.
    Event(Box<Event>),
    /// The current subscription, or the attempt, is over: no connection, an answer that says
    /// "later" (503), the end of the stream, or a call that did not get through.
    Lost(String),
    /// The agent answered SUBSCRIBE with an error of the client (4xx).
    Refused(String),
    /// The program reports a status, with `uuid` set.
    Update(Box<v1::TaskStatus>),
    /// The agent will never take the update with this uuid (400).
    UpdateRejected(Bytes),
    /// The program has a message for its scheduler.
    Message(Bytes),
    /// The deadline of [`Session::deadline`] has come.
    Timer,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Give up any earlier stream and send this SUBSCRIBE on a new one.
    Subscribe(Box<Call>),
    /// Give up the current stream or attempt.
    Disconnect,
    /// Send this call; should that fail, say [`Input::Lost`], [`Input::UpdateRejected`] if only
    /// this call is at fault.
    Send(Box<Call>),
    /// Hand this event to the program.
    Deliver(Box<Event>),
    /// Tell the program that the agent has this status, or will never take it.
    Settled(Box<v1::TaskStatus>),
    /// The agent is gone for good: the program is to end everything. Nothing but
    /// [`Effect::Settled`] follows.
    ShutDown(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Subscribing { until: Instant },
    Subscribed,
    Pausing { until: Instant },
    GivenUp,
}

#[derive(Debug)]
struct Kept {
    status: v1::TaskStatus,
    /// Whether the current subscription has brought it to the agent.
    sent: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Session {
    executor_id: v1::ExecutorId,
    framework_id: v1::FrameworkId,
    recovery: Option<Recovery>,
    rng: SmallRng,
    state: State,
    /// In the order in which the program made them.
    updates: Vec<Kept>,
    tasks: BTreeMap<String, v1::TaskInfo>,
    give_up: Option<Instant>,
    refused_since: Option<Instant>,
    /// How often the agent gets a sign of life, and when next.
    heartbeat: Option<Duration>,
    next_heartbeat: Option<Instant>,
}

impl Session {
    /// A session for the executor of `environment`. `seed` decides the length of pauses.
    #[must_use]
    pub fn new(environment: &Environment, seed: u64) -> Self {
        Self {
            executor_id: v1::ExecutorId { value: environment.executor_id.to_string() },
            framework_id: v1::FrameworkId { value: environment.framework_id.to_string() },
            recovery: environment.recovery,
            rng: SmallRng::seed_from_u64(seed),
            state: State::Idle,
            updates: Vec::new(),
            tasks: BTreeMap::new(),
            give_up: None,
            refused_since: None,
            heartbeat: None,
            next_heartbeat: None,
        }
    }

    /// Has the session make a call at least this often while it is subscribed: the agent answers
    /// with a new token when the old one grows old.
    #[must_use]
    pub fn with_heartbeat(mut self, every: Option<Duration>) -> Self {
        self.heartbeat = every;
        self
    }

    /// When to say [`Input::Timer`] unless something else happens first.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let next = match self.state {
            State::Subscribing { until } | State::Pausing { until } => Some(until),
            State::Subscribed => self.next_heartbeat,
            State::Idle | State::GivenUp => None,
        };
        match (next, self.give_up) {
            (Some(next), Some(give_up)) => Some(next.min(give_up)),
            (next, give_up) => next.or(give_up),
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Start => {
                if self.state == State::Idle {
                    self.subscribe(now, &mut effects);
                }
            }
            Input::Event(event) => self.event(*event, now, &mut effects),
            Input::Lost(why) => self.lost(why, now, &mut effects),
            Input::Refused(why) => self.refused(why, now, &mut effects),
            Input::Update(status) => self.update(*status, &mut effects),
            Input::UpdateRejected(uuid) => self.settle(&uuid, &mut effects),
            Input::Message(data) => {
                // Best effort, as the original: without a subscription it is dropped.
                if self.state == State::Subscribed {
                    let message = call::Message { data };
                    effects.push(Effect::Send(Box::new(Call {
                        message: Some(message),
                        ..self.call(call::Type::Message)
                    })));
                }
            }
            Input::Timer => self.timer(now, &mut effects),
        }
        effects
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: self.executor_id.clone(),
            framework_id: self.framework_id.clone(),
            r#type: Some(kind.into()),
            ..Call::default()
        }
    }

    fn subscribe(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for update in &mut self.updates {
            update.sent = true;
        }
        let subscribe = call::Subscribe {
            unacknowledged_tasks: self.tasks.values().cloned().collect(),
            unacknowledged_updates: self
                .updates
                .iter()
                .map(|kept| call::Update { status: kept.status.clone() })
                .collect(),
        };
        self.state = State::Subscribing { until: now + SUBSCRIBE_TIMEOUT };
        effects.push(Effect::Subscribe(Box::new(Call {
            subscribe: Some(subscribe),
            ..self.call(call::Type::Subscribe)
        })));
    }

    fn event(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.state, State::Idle | State::Pausing { .. } | State::GivenUp) {
            // Left over from a stream that was given up.
            return;
        }
        match event.r#type() {
            event::Type::Subscribed => {
                self.state = State::Subscribed;
                self.next_heartbeat = self.heartbeat.map(|every| now + every);
                self.give_up = None;
                self.refused_since = None;
                effects.push(Effect::Deliver(Box::new(event)));
                // What the program reported since the SUBSCRIBE left.
                let late: Vec<_> = self
                    .updates
                    .iter_mut()
                    .filter_map(|kept| {
                        let sent = std::mem::replace(&mut kept.sent, true);
                        (!sent).then(|| kept.status.clone())
                    })
                    .collect();
                effects.extend(late.into_iter().map(|status| self.send_update(status)));
            }
            event::Type::Launch => {
                if let Some(launch) = &event.launch {
                    self.remember(&launch.task);
                }
                effects.push(Effect::Deliver(Box::new(event)));
            }
            event::Type::LaunchGroup => {
                if let Some(launch) = &event.launch_group {
                    for task in &launch.task_group.tasks {
                        self.remember(task);
                    }
                }
                effects.push(Effect::Deliver(Box::new(event)));
            }
            event::Type::Acknowledged => {
                if let Some(acknowledged) = event.acknowledged {
                    self.tasks.remove(&acknowledged.task_id.value);
                    self.settle(&acknowledged.uuid, effects);
                }
            }
            event::Type::Heartbeat | event::Type::Unknown => {}
            event::Type::Kill
            | event::Type::Message
            | event::Type::Error
            | event::Type::Shutdown => effects.push(Effect::Deliver(Box::new(event))),
        }
    }

    fn remember(&mut self, task: &v1::TaskInfo) {
        self.tasks.insert(task.task_id.value.clone(), task.clone());
    }

    fn settle(&mut self, uuid: &Bytes, effects: &mut Vec<Effect>) {
        let found = self.updates.iter().position(|kept| kept.status.uuid.as_ref() == Some(uuid));
        // An agent may acknowledge what was settled before: after a reconnection it got it twice.
        if let Some(index) = found {
            effects.push(Effect::Settled(Box::new(self.updates.remove(index).status)));
        }
    }

    fn update(&mut self, status: v1::TaskStatus, effects: &mut Vec<Effect>) {
        if self.state == State::GivenUp {
            // Nobody will ever acknowledge it.
            effects.push(Effect::Settled(Box::new(status)));
            return;
        }
        let sent = self.state == State::Subscribed;
        if sent {
            effects.push(self.send_update(status.clone()));
        }
        self.updates.push(Kept { status, sent });
    }

    fn send_update(&self, status: v1::TaskStatus) -> Effect {
        Effect::Send(Box::new(Call {
            update: Some(call::Update { status }),
            ..self.call(call::Type::Update)
        }))
    }

    fn lost(&mut self, why: String, now: Instant, effects: &mut Vec<Effect>) {
        if !matches!(self.state, State::Subscribing { .. } | State::Subscribed) {
            return;
        }
        effects.push(Effect::Disconnect);
        let Some(recovery) = self.recovery else {
            self.give_up_because(
                format!("lost the agent ({why}), and the framework does not checkpoint"),
                effects,
            );
            return;
        };
        self.give_up.get_or_insert(now + recovery.timeout);
        self.pause(recovery.backoff_max, now);
    }

    fn refused(&mut self, why: String, now: Instant, effects: &mut Vec<Effect>) {
        if !matches!(self.state, State::Subscribing { .. }) {
            return;
        }
        effects.push(Effect::Disconnect);
        let since = *self.refused_since.get_or_insert(now);
        if now.saturating_since(since) >= REFUSED_FOR {
            self.give_up_because(format!("refused by the agent: {why}"), effects);
            return;
        }
        self.pause(Duration::from_secs(1), now);
    }

    /// Waits a random time, so that the executors of an agent do not all come at once.
    fn pause(&mut self, longest: Duration, now: Instant) {
        let longest = longest.max(BACKOFF_MIN);
        let pause = longest.mul_f64(self.rng.random::<f64>()).max(BACKOFF_MIN);
        self.state = State::Pausing { until: now + pause };
    }

    fn timer(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.give_up.is_some_and(|give_up| now >= give_up) {
            if matches!(self.state, State::Subscribing { .. }) {
                effects.push(Effect::Disconnect);
            }
            self.give_up_because("the agent did not come back in time".to_owned(), effects);
            return;
        }
        match self.state {
            State::Subscribed if self.next_heartbeat.is_some_and(|next| now >= next) => {
                self.next_heartbeat = self.heartbeat.map(|every| now + every);
                effects.push(Effect::Send(Box::new(self.call(call::Type::Heartbeat))));
            }
            State::Pausing { until } if now >= until => self.subscribe(now, effects),
            State::Subscribing { until } if now >= until => {
                self.lost("it does not answer".to_owned(), now, effects);
            }
            _ => {}
        }
    }

    fn give_up_because(&mut self, why: String, effects: &mut Vec<Effect>) {
        self.state = State::GivenUp;
        self.give_up = None;
        effects.push(Effect::ShutDown(why));
        let unheard = self.updates.drain(..).map(|kept| Effect::Settled(Box::new(kept.status)));
        effects.extend(unheard);
    }
}

#[cfg(test)]
mod tests;
