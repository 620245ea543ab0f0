//! An executor's link to its agent: a [`Session`] with sockets and a clock.
//!
//! ```no_run
//! # async fn executor() -> Result<(), Box<dyn std::error::Error>> {
//! use alcazar_executor::environment::Environment;
//! use alcazar_executor::link::{Clock, Incoming, Link};
//!
//! let variables = std::env::vars().collect();
//! let environment = Environment::from_variables(&variables)?;
//! let mut link = Link::open(&environment, None, Clock::new())?;
//! loop {
//!     match link.next().await {
//!         Incoming::Event(event) => println!("{event:?}"),
//!         Incoming::Settled(status) => println!("the agent has {status:?}"),
//!         Incoming::ShutDown(why) => break println!("ending: {why}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use launch::material::Material;
use model::time::Instant;
use uuid::Uuid;
use wire::v1;
use wire::v1::executor::Event;

use crate::client::{Client, Report};
use crate::environment::Environment;
use crate::session::{Effect, Input, Session};

pub use transport::tls::MaterialError;

/// The agent gets no signs of life more often than this.
const HEARTBEAT_MIN: Duration = Duration::from_millis(200);

/// The monotonic clock of one run of a program.
#[derive(Clone, Copy, Debug)]
pub struct Clock(tokio::time::Instant);

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no value of it is neutral")]
    pub fn new() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Now.
    #[must_use]
    pub fn now(self) -> Instant {
        Instant::new(self.0.elapsed())
    }

    /// Waits for a moment; forever if there is none.
    pub async fn sleep_until(self, moment: Option<Instant>) {
        match moment {
            Some(moment) => match self.0.checked_add(moment.since_start()) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

/// What comes from the agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// An event, other than acknowledgements and heartbeats. SUBSCRIBED comes after each
    /// reconnection too.
    Event(Box<Event>),
    /// The agent has this status, or will never take it.
    Settled(Box<v1::TaskStatus>),
    /// The agent is gone for good: the executor is to kill its tasks and to end. Statuses that
    /// it reports from now on are settled at once, since nobody is there to hear them.
    ShutDown(String),
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    session: Session,
    client: Client,
    clock: Clock,
    incoming: VecDeque<Incoming>,
}

impl Link {
    /// Opens the link of the executor of `environment`: it subscribes at the next
    /// [`Link::next`]. Without `material` it speaks plaintext, to whoever answers, and follows an
    /// agent that is restarted with TLS.
    pub fn open(
        environment: &Environment,
        material: Option<Material>,
        clock: Clock,
    ) -> Result<Self, MaterialError> {
        // Several calls fall into the second half of the token's time, in which it is renewed.
        let heartbeat = material.as_ref().map(|material| material.lifetime / 8);
        let heartbeat = heartbeat.map(|every| every.max(HEARTBEAT_MIN));
        let mut link = Self {
            session: Session::new(environment, rand::random()).with_heartbeat(heartbeat),
            client: Client::new(environment, material)?,
            clock,
            incoming: VecDeque::new(),
        };
        link.handle(Input::Start);
        Ok(link)
    }

    /// What comes next. Nothing is lost if the future is dropped before it is ready; the link
    /// makes progress only while somebody waits here.
    pub async fn next(&mut self) -> Incoming {
        loop {
            if let Some(incoming) = self.incoming.pop_front() {
                return incoming;
            }
            let wake = self.clock.sleep_until(self.session.deadline());
            let input = tokio::select! {
                report = self.client.next() => match report {
                    Report::Event(event) => Input::Event(event),
                    Report::Lost(why) => Input::Lost(why),
                    Report::Refused(why) => Input::Refused(why),
                    Report::UpdateRejected { uuid, why } => {
                        tracing::error!(%why, "the agent rejected a status update");
                        Input::UpdateRejected(uuid)
                    }
                },
                () = wake => Input::Timer,
            };
            self.handle(input);
        }
    }

    /// Reports a status. A missing `uuid` and `timestamp` are filled in. It is kept and repeated
    /// until the agent has it.
    pub fn update(&mut self, mut status: v1::TaskStatus) {
        status.uuid.get_or_insert_with(|| Bytes::copy_from_slice(Uuid::new_v4().as_bytes()));
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        status.timestamp.get_or_insert(since_epoch.as_secs_f64());
        self.handle(Input::Update(Box::new(status)));
    }

    /// Sends a message to the framework's scheduler. Best effort.
    pub fn message(&mut self, data: Bytes) {
        self.handle(Input::Message(data));
    }

    fn handle(&mut self, input: Input) {
        match &input {
            // It is tried again, and a restart of the agent is nothing that the task's owner, who
            // reads this in the sandbox's `stderr`, has to know.
            Input::Lost(why) => tracing::debug!(%why, "not subscribed to the agent"),
            // It may be tried again, too, but no agent that knows us answers so.
            Input::Refused(why) => tracing::error!(%why, "not subscribed to the agent"),
            _ => {}
        }
        for effect in self.session.handle(input, self.clock.now()) {
            match effect {
                Effect::Subscribe(call) => self.client.subscribe(*call),
                Effect::Disconnect => self.client.disconnect(),
                Effect::Send(call) => self.client.send(*call),
                Effect::Deliver(event) => self.incoming.push_back(Incoming::Event(event)),
                Effect::Settled(status) => self.incoming.push_back(Incoming::Settled(status)),
                Effect::ShutDown(why) => self.incoming.push_back(Incoming::ShutDown(why)),
            }
        }
    }
}
