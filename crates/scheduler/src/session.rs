//! The session of a framework with its master, as a machine: what is sent when, what a silent
//! or broken stream means, when to try again. No sockets, no clock, no entropy but a seed.
//!
//! Outside things happen to it as [`Input`]s; it answers with [`Effect`]s, which the driver
//! executes in order. [`Session::next_deadline`] says when to come back with
//! [`Input::DeadlinePassed`] if nothing else happens before.

use std::time::Duration;

use model::time::Instant;
use wire::v1::scheduler::{Call, Event, call, event};
use wire::v1::{FrameworkId, FrameworkInfo};

use crate::backoff::Backoff;

/// How long the master may take from our SUBSCRIBE to its SUBSCRIBED.
pub const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many heartbeat intervals of silence mean that the stream is dead.
pub const SILENT_HEARTBEATS: u32 = 3;

/// Something that happened to the session.
#[derive(Clone, Debug)]
pub enum Input {
    /// Begin. Once, first.
    Start,
    /// The master could not be reached, or did not prove to be the master.
    Unreachable {
        /// What went wrong, for people.
        reason: String,
    },
    /// The head of the answer to SUBSCRIBE has arrived; a stream follows.
    StreamOpened {
        /// The `Mesos-Stream-Id` header.
        stream_id: Option<String>,
    },
    /// The master answered SUBSCRIBE with something else than a stream.
    Refused {
        /// The HTTP status code.
        status: u16,
        /// The `Location` header.
        location: Option<String>,
        /// The text of the answer.
        reason: String,
    },
    /// An event arrived on the stream.
    EventArrived(Box<Event>),
    /// The stream ended, or carried something that is no event.
    StreamEnded {
        /// What went wrong, for people.
        reason: String,
    },
    /// The moment of [`Session::next_deadline`] has come.
    DeadlinePassed,
}

/// Something that the driver has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Drop the stream and everything that is still on its way on it.
    CloseStream,
    /// Hand this to the framework.
    Deliver(Notice),
    /// Send this call and keep the answer open as the stream of events.
    OpenStream {
        /// `host:port` of the master to ask; `None` is the one given at construction.
        master: Option<String>,
        /// The SUBSCRIBE call.
        call: Box<Call>,
    },
    /// The session is over; nothing follows.
    End(SessionError),
}

/// What the framework is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The master accepted the subscription; calls may be made from now on. After a
    /// reconnection offers made before are void, and a wise framework reconciles.
    Subscribed {
        /// The framework's id, the same after every reconnection.
        framework_id: FrameworkId,
        /// Whether the session had been subscribed before.
        again: bool,
    },
    /// An event other than SUBSCRIBED, HEARTBEAT and ERROR.
    Event(Box<Event>),
    /// There is no stream at the moment; the session tries again by itself.
    Disconnected {
        /// What went wrong, for people.
        reason: String,
        /// How long the session waits before it tries again.
        retry_in: Duration,
    },
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The master sent an ERROR event: the subscription was not acceptable, the framework was
    /// removed, or another instance of it took over.
    #[error("the master ended the session: {0}")]
    Error(String),
    /// The master refused the SUBSCRIBE in a way that trying again does not change.
    #[error("the master refused the subscription with status {status}: {reason}")]
    Refused {
        /// The HTTP status code.
        status: u16,
        /// The text of the answer.
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Not started.
    Idle,
    /// SUBSCRIBE is sent, SUBSCRIBED has not arrived.
    Subscribing { stream_id: Option<String>, give_up: Instant },
    /// SUBSCRIBED has arrived.
    Subscribed { stream_id: String, silence: Option<Duration>, give_up: Option<Instant> },
    /// Nothing is open; the next attempt is due at `retry`.
    Waiting { retry: Instant },
    /// [`Effect::End`] was given.
    Over,
}

/// One framework's session, over as many connections and masters as it takes.
#[derive(Debug)]
pub struct Session {
    info: FrameworkInfo,
    suppressed_roles: Vec<String>,
    leader: Option<String>,
    subscribed_before: bool,
    backoff: Backoff,
    state: State,
}

impl Session {
    /// A session for the framework `info`; with an `id` in it, one that takes over from an
    /// earlier instance. `seed` spreads the reconnections of many frameworks over time.
    #[must_use]
    pub fn new(info: FrameworkInfo, suppressed_roles: Vec<String>, seed: u64) -> Self {
        Self {
            info,
            suppressed_roles,
            leader: None,
            subscribed_before: false,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(15), seed),
            state: State::Idle,
        }
    }

    /// Takes one input and says what follows from it.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        if self.state == State::Over {
            return Vec::new();
        }
        match input {
            Input::Start => vec![self.subscribe(now)],
            Input::Unreachable { reason } => {
                // The leader that somebody named may be gone: ask where we were told to ask.
                self.leader = None;
                self.disconnected(reason, false, now)
            }
            Input::StreamOpened { stream_id } => {
                if let State::Subscribing { stream_id: slot, .. } = &mut self.state {
                    *slot = stream_id;
                }
                Vec::new()
            }
            Input::Refused { status, location, reason } => {
                self.refused(status, location, reason, now)
            }
            Input::EventArrived(event) => self.event(*event, now),
            Input::StreamEnded { reason } => self.disconnected(reason, false, now),
            Input::DeadlinePassed => self.deadline(now),
        }
    }

    /// When the driver has to come back with [`Input::DeadlinePassed`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle | State::Over => None,
            State::Subscribing { give_up, .. } => Some(*give_up),
            State::Subscribed { give_up, .. } => *give_up,
            State::Waiting { retry } => Some(*retry),
        }
    }

    /// The framework's id, once the master has given it.
    #[must_use]
    pub fn framework_id(&self) -> Option<&FrameworkId> {
        self.info.id.as_ref()
    }

    /// Fills in `call` what every call carries and names the stream that it belongs to; the
    /// call is given back if there is no subscription at the moment.
    ///
    /// # Errors
    /// The call, unchanged, while the session is not subscribed.
    pub fn admit(&self, mut call: Call) -> Result<Admitted, Box<Call>> {
        match &self.state {
            State::Subscribed { stream_id, .. } => {
                call.framework_id = self.info.id.clone();
                Ok(Admitted { call, stream_id: stream_id.clone(), master: self.leader.clone() })
            }
            _ => Err(Box::new(call)),
        }
    }

    fn subscribe(&mut self, now: Instant) -> Effect {
        self.state = State::Subscribing { stream_id: None, give_up: now + SUBSCRIBE_TIMEOUT };
        Effect::OpenStream {
            master: self.leader.clone(),
            call: Box::new(Call {
                framework_id: self.info.id.clone(),
                r#type: Some(call::Type::Subscribe as i32),
                subscribe: Some(call::Subscribe {
                    framework_info: self.info.clone(),
                    suppressed_roles: self.suppressed_roles.clone(),
                    offer_constraints: None,
                }),
                ..Call::default()
            }),
        }
    }

    fn refused(
        &mut self,
        status: u16,
        location: Option<String>,
        reason: String,
        now: Instant,
    ) -> Vec<Effect> {
        match status {
            307 => {
                let leader = location.as_deref().and_then(authority);
                match leader {
                    // Two masters that each name the other are tried at the pace of failures.
                    Some(leader) if self.leader.as_deref() != Some(leader) => {
                        self.leader = Some(leader.to_owned());
                        if self.backoff.is_fresh() {
                            let _ = self.backoff.next_delay();
                            return vec![self.subscribe(now)];
                        }
                        self.disconnected(format!("sent on to {leader}"), false, now)
                    }
                    _ => {
                        self.leader = None;
                        self.disconnected("sent on to nowhere".to_owned(), false, now)
                    }
                }
            }
            // What we are or what we said will not be any better in a second.
            400..=499 if status != 408 && status != 429 => {
                self.end(SessionError::Refused { status, reason })
            }
            _ => {
                self.leader = None;
                self.disconnected(format!("status {status}: {reason}"), false, now)
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        if let State::Subscribed { silence, give_up, .. } = &mut self.state {
            *give_up = silence.map(|silence| now + silence);
        }
        match event.r#type() {
            event::Type::Subscribed => match event.subscribed {
                Some(subscribed) => self.subscribed(subscribed, now),
                None => self.disconnected("SUBSCRIBED without content".to_owned(), true, now),
            },
            event::Type::Error => {
                let text = event.error.map_or_else(|| "no reason given".to_owned(), |e| e.message);
                self.end(SessionError::Error(text))
            }
            event::Type::Heartbeat => Vec::new(),
            // A newer master may know events that we do not.
            event::Type::Unknown => Vec::new(),
            _ if matches!(self.state, State::Subscribed { .. }) => {
                vec![Effect::Deliver(Notice::Event(Box::new(event)))]
            }
            other => self.disconnected(
                format!("{} came before SUBSCRIBED", other.as_str_name()),
                true,
                now,
            ),
        }
    }

    fn subscribed(&mut self, subscribed: event::Subscribed, now: Instant) -> Vec<Effect> {
        let State::Subscribing { stream_id, .. } = &mut self.state else {
            return self.disconnected("SUBSCRIBED came unasked".to_owned(), true, now);
        };
        let Some(stream_id) = stream_id.take() else {
            return self.disconnected("no Mesos-Stream-Id header".to_owned(), true, now);
        };
        let silence = subscribed
            .heartbeat_interval_seconds
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .filter(|s| !s.is_zero())
            .map(|s| s.saturating_mul(SILENT_HEARTBEATS));
        let again = std::mem::replace(&mut self.subscribed_before, true);
        self.info.id = Some(subscribed.framework_id.clone());
        self.backoff.reset();
        self.state =
            State::Subscribed { stream_id, silence, give_up: silence.map(|silence| now + silence) };
        vec![Effect::Deliver(Notice::Subscribed { framework_id: subscribed.framework_id, again })]
    }

    fn deadline(&mut self, now: Instant) -> Vec<Effect> {
        match self.next_deadline() {
            Some(due) if due <= now => {}
            _ => return Vec::new(),
        }
        match &self.state {
            State::Waiting { .. } => vec![self.subscribe(now)],
            State::Subscribing { .. } => {
                self.leader = None;
                self.disconnected("no answer to SUBSCRIBE".to_owned(), true, now)
            }
            State::Subscribed { .. } => {
                self.disconnected("the master has fallen silent".to_owned(), true, now)
            }
            State::Idle | State::Over => Vec::new(),
        }
    }

    /// Leaves the current stream, if any, and waits. `open`: the driver still holds a stream.
    fn disconnected(&mut self, reason: String, open: bool, now: Instant) -> Vec<Effect> {
        if matches!(self.state, State::Waiting { .. } | State::Idle) {
            return Vec::new();
        }
        let retry_in = self.backoff.next_delay();
        self.state = State::Waiting { retry: now + retry_in };
        let mut effects = Vec::with_capacity(2);
        if open {
            effects.push(Effect::CloseStream);
        }
        effects.push(Effect::Deliver(Notice::Disconnected { reason, retry_in }));
        effects
    }

    fn end(&mut self, error: SessionError) -> Vec<Effect> {
        self.state = State::Over;
        vec![Effect::CloseStream, Effect::End(error)]
    }
}

/// A call that may be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// The call, with the framework's id.
    pub call: Call,
    /// What the `Mesos-Stream-Id` header has to say.
    pub stream_id: String,
    /// `host:port` of the master that holds the subscription; `None` is the one given at
    /// construction.
    pub master: Option<String>,
}

/// `host:port` of a `Location`: the original writes `//host:port/path`, without a scheme.
fn authority(location: &str) -> Option<&str> {
    let (_, rest) = location.split_once("//")?;
    let authority = rest.split(['/', '?']).next()?;
    (!authority.is_empty()).then_some(authority)
}

#[cfg(test)]
mod tests;
