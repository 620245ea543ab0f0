//! The client's end of an exchange: one attempt of an agent or framework
//! (`authentication.md` §5.1).
//!
//! The driver gives it what comes, sends what it says, and drops it when its time is over or
//! another master is detected. What it must look after itself: that messages come from the
//! leading master's address and certificate. That they all come from *one* session is seen to
//! here.

use std::fmt;

use super::message::{LONGEST_DATA, Message};
use super::offer::Authenticatees;
use super::{Channel, ClientError, ClientExchange, Nonce, ServerProof};
use crate::Cost;
use crate::proved::Method;

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    authenticatees: Authenticatees,
    channel: Channel,
    nonce: Nonce,
    /// The session of the master, known from its first message.
    session: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    Ready,
    Starting,
    Stepping(Running),
    Working,
    Ended,
}

/// A mechanism at work.
#[derive(Debug)]
struct Running {
    exchange: Box<dyn ClientExchange>,
    mechanism: String,
    cost: Cost,
}

/// What the driver is to do next.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// Nothing: the message came from somebody else than the session, or after the end.
    Stray,
    /// Send this and wait: [`Message::Authenticate`] to the master, anything else to the session,
    /// which is the sender of the message just received.
    Send(Message),
    /// Run this on a thread for it ([`Cost::Blocking`]) and give the result to
    /// [`Attempt::worked`].
    Work(Work),
    /// It is over.
    End(Ended),
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The master knows who this is: result true.
    Authenticated {
        /// By which mechanism.
        method: Method,
        /// What the client has of it: whether the master has proved itself, and a key.
        proof: ServerProof,
    },
    /// The master with which the exchange was refuses this credential, after the client has shown
    /// its proof; or there is nothing to prove oneself with: result
    /// false. There is no point in trying again.
    Refused,
    /// Neither; to be tried again, but not at once.
    Failed(AttemptError),
}

/// Why an attempt came to no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// The master said so.
    #[error("Authentication error: {0}")]
    Master(String),
    /// A message that has no place here.
    #[error("Unexpected authentication '{0}' received")]
    Unexpected(&'static str),
    /// None of the mechanisms that the master offers may be used by this client on this
    /// connection.
    #[error("of the mechanisms that the master offers ({offered}) none can be used: {own}")]
    NoMechanism {
        /// Those of the master.
        offered: String,
        /// Those of the client, each with the reason if it does not fit the connection.
        own: String,
    },
    /// The mechanism gave up.
    #[error(transparent)]
    Mechanism(#[from] ClientError),
    /// The connection or this program failed.
    #[error("{0}")]
    Aborted(String),
}

/// A step that takes its time.
pub struct Work {
    running: Running,
    input: Input,
}

enum Input {
    Begin,
    Step(Vec<u8>),
    Completed,
}

/// A step that took its time.
pub struct Worked {
    running: Running,
    result: Result<Answer, ClientError>,
}

enum Answer {
    Start(Vec<u8>),
    Step(Vec<u8>),
    Proof(ServerProof),
}

impl Work {
    /// Does it, now and here.
    #[must_use]
    pub fn run(mut self) -> Worked {
        let exchange = &mut self.running.exchange;
        let result = match self.input {
            Input::Begin => exchange.start().map(Answer::Start),
            Input::Step(input) => exchange.step(&input).map(Answer::Step),
            Input::Completed => exchange.completed().map(Answer::Proof),
        };
        Worked { running: self.running, result }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({})", self.running.mechanism)
    }
}

impl fmt::Debug for Worked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worked({})", self.running.mechanism)
    }
}

impl Attempt {
    /// An attempt over `channel`, the connection that the client dialled.
    #[must_use]
    pub fn new(authenticatees: Authenticatees, channel: Channel, nonce: Nonce) -> Self {
        Self { authenticatees, channel, nonce, session: None, state: State::Ready }
    }

    /// Asks the master for a session for `client`, the UPID of the agent or framework. Without
    /// anything to prove oneself with the result is known at once.
    pub fn start(&mut self, client: String) -> Output {
        if !matches!(self.state, State::Ready) {
            return Output::Stray;
        }
        if self.authenticatees.is_empty() {
            return self.end(Ended::Refused);
        }
        self.state = State::Starting;
        Output::Send(Message::Authenticate { pid: client })
    }

    /// The UPID of the session with which the attempt is, once it has spoken.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Takes a message that `from` sent.
    pub fn receive(&mut self, from: &str, message: Message) -> Output {
        if self.session.as_deref().is_some_and(|session| session != from) {
            return Output::Stray;
        }
        match (std::mem::replace(&mut self.state, State::Ended), message) {
            (State::Ended, _) => Output::Stray,
            (state @ State::Ready, _) => {
                self.state = state;
                Output::Stray
            }
            // Before there was anything to judge it comes from a stranger; to be believed by
            // none of whose words an agent ends.
            (State::Stepping(running), Message::Failed)
                if running.exchange.has_shown_its_proof() =>
            {
                self.end(Ended::Refused)
            }
            (_, Message::Error(text)) => {
                self.end(Ended::Failed(AttemptError::Master(shown(&text))))
            }
            (State::Starting, Message::Mechanisms(offered)) => {
                self.session = Some(from.to_owned());
                self.choose(&offered)
            }
            (State::Stepping(running), Message::Step(data)) if data.len() <= LONGEST_DATA => {
                self.work(running, Input::Step(data))
            }
            (State::Stepping(running), Message::Completed) => self.work(running, Input::Completed),
            (
                _,
                message @ (Message::Mechanisms(_)
                | Message::Step(_)
                | Message::Completed
                | Message::Failed),
            ) => self.end(Ended::Failed(AttemptError::Unexpected(message.word()))),
            // Clients have no handler for what clients say.
            (state, Message::Authenticate { .. } | Message::Start { .. }) => {
                self.state = state;
                Output::Stray
            }
        }
    }

    /// Goes on after [`Output::Work`].
    pub fn worked(&mut self, worked: Worked) -> Output {
        match self.state {
            State::Working => self.answered(worked),
            // Something came in between that ended it.
            _ => Output::Stray,
        }
    }

    /// The connection broke, or the work failed.
    pub fn abort(&mut self, reason: &str) -> Output {
        match self.state {
            State::Ended => Output::Stray,
            _ => self.end(Ended::Failed(AttemptError::Aborted(reason.to_owned()))),
        }
    }

    /// Its owner has lost interest: another master, or time is up.
    pub fn discard(&mut self) -> Output {
        self.abort("Authentication discarded")
    }

    /// Takes the first of the client's own mechanisms that the master offers: the client's order
    /// counts, since the master's list is what somebody in between would change.
    fn choose(&mut self, offered: &[String]) -> Output {
        let usable = self.authenticatees.iter().find(|authenticatee| {
            authenticatee.is_usable(&self.channel)
                && offered.iter().any(|name| name == authenticatee.mechanism())
        });
        let Some(authenticatee) = usable else {
            let own = self.authenticatees.iter().map(|one| match one.is_usable(&self.channel) {
                true => one.mechanism().to_owned(),
                false => format!("{} (not on this connection)", one.mechanism()),
            });
            let own = own.collect::<Vec<_>>().join(", ");
            let offered = shown(&offered.join(", "));
            return self.end(Ended::Failed(AttemptError::NoMechanism { offered, own }));
        };
        let running = Running {
            exchange: authenticatee.begin(&self.channel, offered, self.nonce),
            mechanism: authenticatee.mechanism().to_owned(),
            cost: authenticatee.cost(),
        };
        self.work(running, Input::Begin)
    }

    fn work(&mut self, running: Running, input: Input) -> Output {
        let cost = running.cost;
        let work = Work { running, input };
        match cost {
            Cost::Light => self.answered(work.run()),
            Cost::Blocking => {
                self.state = State::Working;
                Output::Work(work)
            }
        }
    }

    fn answered(&mut self, Worked { running, result }: Worked) -> Output {
        match result {
            Ok(Answer::Start(data)) => {
                let mechanism = running.mechanism.clone();
                self.state = State::Stepping(running);
                Output::Send(Message::Start { mechanism, data })
            }
            Ok(Answer::Step(data)) => {
                self.state = State::Stepping(running);
                Output::Send(Message::Step(data))
            }
            Ok(Answer::Proof(proof)) => {
                let method = Method::from(running.mechanism);
                self.end(Ended::Authenticated { method, proof })
            }
            Err(error) => self.end(Ended::Failed(AttemptError::Mechanism(error))),
        }
    }

    fn end(&mut self, ended: Ended) -> Output {
        self.state = State::Ended;
        Output::End(ended)
    }
}

/// A text from outside: a part of it, escaped.
fn shown(text: &str) -> String {
    text.chars()
        .take(300)
        .flat_map(|c| if c == '\'' { vec![c] } else { c.escape_debug().collect() })
        .collect()
}

#[cfg(test)]
mod authn_attempt;
