//! The server's end of an exchange: the session that a master makes for each attempt of a client
//! (`authentication.md` §5.2).
//!
//! The driver gives it what comes, sends what it says, and ends its actor when it says [`End`]:
//! what arrives later reaches nobody. Deadlines are the driver's too: a session that takes too
//! long is dropped, and nothing is sent.
//!
//! Whether the client is right leaves a session only after the driver has had it judged
//! ([`Judge`]): until then there is no message in its hands that says so, whatever the mechanism.
//!
//! [`End`]: Output::End
//! [`Judge`]: Output::Judge

use std::fmt;
use std::time::Duration;

use super::message::{LONGEST_DATA, Message};
use super::offer::Authenticators;
use super::{Accepted, Channel, Nonce, Refused, ServerExchange, ServerStep, text};
use crate::Cost;
use crate::throttle::{Judgement, Tried};

/// One session.
#[derive(Debug)]
pub struct Session {
    authenticators: Authenticators,
    channel: Channel,
    nonce: Nonce,
    client: String,
    state: State,
    /// Who the client has proved to be, and was told so.
    confirmed: Option<String>,
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
    /// A step has been computed of which nobody may know yet.
    Judging(Judging),
    /// It is over.
    Ended,
}

/// What follows if it is not withheld.
#[derive(Debug)]
enum Judging {
    Confirm(Running, Vec<u8>),
    Completed(Accepted),
    Refused(Refused),
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
    /// The client was right or wrong. Ask whether it may hear of it, and give the answer to
    /// [`Session::judged`]; nothing may be said before.
    Judge(Verdict),
    /// It is over. What is to be remembered of a completed one is remembered *before* the message
    /// is sent, since the client goes on as soon as it has it.
    End {
        /// What the client is told, if anything.
        send: Option<Message>,
        /// What came of it.
        result: Result<Accepted, Ended>,
    },
}

/// What a try came to, for [`crate::throttle::Throttle::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who the client says that it is, if it came to that; from outside.
    pub claimed: Option<String>,
    /// Whether it is: [`Tried::Proved`] or [`Tried::Failed`].
    pub tried: Tried,
}

/// Why a session ended without success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The principal is unknown or the proof wrong. The only end that counts as a failed try.
    #[error("refused: {}", .0.reason)]
    Refused(Refused),
    /// There were too many failures before: whether the client was right is not said for so long.
    #[error("too many failures before: nothing is judged for {} s", .0.as_secs().max(1))]
    Withheld(Duration),
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
        let (state, confirmed) = (State::Ready, None);
        Self { authenticators, channel, nonce, client, state, confirmed }
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

    /// Goes on after [`Output::Judge`].
    pub fn judged(&mut self, judgement: Judgement) -> Output {
        let judging = match std::mem::replace(&mut self.state, State::Ended) {
            State::Judging(judging) => judging,
            state => {
                self.state = state;
                return Output::Stray;
            }
        };
        if let Judgement::Withhold(wait) = judgement {
            return Output::End { send: None, result: Err(Ended::Withheld(wait)) };
        }
        match judging {
            Judging::Confirm(running, data) => {
                self.state = State::Stepping(running);
                Output::Send(Message::Step(data))
            }
            Judging::Completed(accepted) => {
                Output::End { send: Some(Message::Completed), result: Ok(accepted) }
            }
            Judging::Refused(refused) => {
                Output::End { send: Some(Message::Failed), result: Err(Ended::Refused(refused)) }
            }
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
            ServerStep::Confirm { principal, data } => {
                self.confirmed = Some(principal.clone());
                let verdict = Verdict { claimed: Some(principal), tried: Tried::Proved };
                self.judge(Judging::Confirm(running, data), verdict)
            }
            ServerStep::Completed(accepted) => {
                let claimed = accepted.proved.principal.value().map(str::to_owned);
                // It was told so before.
                if claimed.is_some() && claimed == self.confirmed {
                    return Output::End { send: Some(Message::Completed), result: Ok(accepted) };
                }
                let verdict = Verdict { claimed, tried: Tried::Proved };
                self.judge(Judging::Completed(accepted), verdict)
            }
            ServerStep::Refused(refused) => {
                let verdict = Verdict { claimed: refused.claimed.clone(), tried: Tried::Failed };
                self.judge(Judging::Refused(refused), verdict)
            }
            ServerStep::Malformed(text) => self.fail(text),
        }
    }

    fn judge(&mut self, judging: Judging, verdict: Verdict) -> Output {
        self.state = State::Judging(judging);
        Output::Judge(verdict)
    }

    fn fail(&mut self, text: String) -> Output {
        self.state = State::Ended;
        Output::End { send: Some(Message::Error(text.clone())), result: Err(Ended::Error(text)) }
    }
}

#[cfg(test)]
mod authn_session;
