//! The server's end of an exchange: the session that a master makes for each attempt of a client
//! (`authentication.md` §5.2).
//!
//! The driver gives it what comes, sends what it says, and ends its actor when it says [`End`]:
//! what arrives later reaches nobody. Deadlines are the driver's too: a session that takes too
//! long is dropped, and nothing is sent.
//!
//! [`End`]: Output::End

use std::fmt;

use super::message::{LONGEST_DATA, Message};
use super::offer::Authenticators;
use super::{Accepted, Channel, Nonce, Refused, ServerExchange, ServerStep, text};
use crate::Cost;

/// One session.
#[derive(Debug)]
pub struct Session {
    authenticators: Authenticators,
    channel: Channel,
    nonce: Nonce,
    client: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing sent yet.
    Ready,
    /// The mechanisms are sent, the client chooses.
    Starting { offered: Vec<String> },
    /// The client has the next word.
    Stepping(Running),
    /// A step is being computed elsewhere.
    Working,
    /// It is over.
    Ended,
}

/// A mechanism at work.
#[derive(Debug)]
struct Running {
    exchange: Box<dyn ServerExchange>,
    cost: Cost,
}

/// What the driver is to do next.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Nothing: the message came from somebody else than the client, or after the end. To be
    /// counted.
    Stray,
    /// Send this to the authenticatee and wait.
    Send(Message),
    /// Run this on a thread for it ([`Cost::Blocking`]) and give the result to
    /// [`Session::worked`].
    Work(Work),
    /// It is over. What is to be remembered of a completed one is remembered *before* the message
    /// is sent, since the client goes on as soon as it has it.
    End {
        /// What the client is told, if anything.
        send: Option<Message>,
        /// What came of it.
        result: Result<Accepted, Ended>,
    },
}

/// Why a session ended without success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The principal is unknown or the proof wrong. The only end that counts as a failed try.
    #[error("refused: {}", .0.reason)]
    Refused(Refused),
    /// Client and server did not come to a proof.
    #[error("{0}")]
    Error(String),
}

/// A step that takes its time.
pub struct Work {
    running: Running,
    input: Vec<u8>,
}

/// A step that took its time.
pub struct Worked {
    running: Running,
    step: ServerStep,
}

impl Work {
    /// Does it, now and here.
    #[must_use]
    pub fn run(mut self) -> Worked {
        let step = self.running.exchange.step(&self.input);
        Worked { running: self.running, step }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({} bytes)", self.input.len())
    }
}

impl fmt::Debug for Worked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worked")
    }
}

impl Session {
    /// A session for `client`, the UPID of the authenticatee, whose messages come on `channel`.
    #[must_use]
    pub fn new(
        authenticators: Authenticators,
        channel: Channel,
        nonce: Nonce,
        client: String,
    ) -> Self {
        Self { authenticators, channel, nonce, client, state: State::Ready }
    }

    /// Offers the mechanisms that may be used on this channel. Without any it is an error, and
    /// not a refusal, upon which agents would exit.
    pub fn start(&mut self) -> Output {
        let offered = self.authenticators.offered(&self.channel);
        if !matches!(self.state, State::Ready) {
            return Output::Stray;
        }
        if offered.is_empty() {
            return self.fail(text::no_mechanism("for this connection"));
        }
        self.state = State::Starting { offered: offered.clone() };
        Output::Send(Message::Mechanisms(offered))
    }

    /// Takes a message that `from` sent.
    pub fn receive(&mut self, from: &str, message: Message) -> Output {
        if from != self.client {
            return Output::Stray;
        }
        match (std::mem::replace(&mut self.state, State::Ended), message) {
            (State::Ended, _) => Output::Stray,
            (State::Starting { offered }, Message::Start { mechanism, data }) => {
                self.choose(&offered, &mechanism, data)
            }
            (State::Stepping(running), Message::Step(data)) => self.step(running, data),
            (_, message @ (Message::Start { .. } | Message::Step(_))) => {
                self.fail(format!("Unexpected authentication '{}' received", message.word()))
            }
            // Sessions have no handler for anything else.
            (state, _) => {
                self.state = state;
                Output::Stray
            }
        }
    }

    /// Goes on after [`Output::Work`].
    pub fn worked(&mut self, worked: Worked) -> Output {
        match self.state {
            State::Working => self.stepped(worked),
            // Something came in between that ended it.
            _ => Output::Stray,
        }
    }

    /// The link to the authenticatee broke, or the work failed: nothing is sent.
    pub fn abort(&mut self, reason: &str) -> Output {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => Output::Stray,
            _ => Output::End { send: None, result: Err(Ended::Error(reason.to_owned())) },
        }
    }

    fn choose(&mut self, offered: &[String], mechanism: &str, data: Vec<u8>) -> Output {
        let chosen = offered.iter().any(|name| name == mechanism);
        let Some(authenticator) = self.authenticators.get(mechanism).filter(|_| chosen) else {
            return self.fail(text::no_mechanism(mechanism));
        };
        let exchange = authenticator.begin(&self.channel, offered, self.nonce);
        let running = Running { exchange, cost: authenticator.cost() };
        self.step(running, data)
    }

    fn step(&mut self, running: Running, input: Vec<u8>) -> Output {
        if input.len() > LONGEST_DATA {
            return self.fail(text::bad_protocol("too much data"));
        }
        let cost = running.cost;
        let work = Work { running, input };
        match cost {
            Cost::Light => self.stepped(work.run()),
            Cost::Blocking => {
                self.state = State::Working;
                Output::Work(work)
            }
        }
    }

    fn stepped(&mut self, Worked { running, step }: Worked) -> Output {
        self.state = State::Ended;
        match step {
            ServerStep::Continue(data) => {
                self.state = State::Stepping(running);
                Output::Send(Message::Step(data))
            }
            ServerStep::Completed(accepted) => {
                Output::End { send: Some(Message::Completed), result: Ok(accepted) }
            }
            ServerStep::Refused(refused) => {
                Output::End { send: Some(Message::Failed), result: Err(Ended::Refused(refused)) }
            }
            ServerStep::Malformed(text) => self.fail(text),
        }
    }

    fn fail(&mut self, text: String) -> Output {
        self.state = State::Ended;
        Output::End { send: Some(Message::Error(text.clone())), result: Err(Ended::Error(text)) }
    }
}

#[cfg(test)]
mod authn_session;
