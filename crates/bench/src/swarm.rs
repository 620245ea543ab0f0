//! Many agents that run nothing: each has its own listener, its own link to the master and its
//! own state, and speaks what an agent of the original speaks while it authenticates, registers
//! and is pinged. All of them are tasks of one runtime.
//!
//! [`agent::Agent`] decides, without sockets; [`sockets::Sockets`] moves the bytes of one agent;
//! [`book::Book`] is what came of all of them. The master may be anybody's, at any address.

pub(crate) mod addresses;
pub(crate) mod agent;
pub(crate) mod book;
pub(crate) mod exchange;
pub(crate) mod limits;
pub(crate) mod messages;
pub(crate) mod process;
mod sockets;
#[cfg(test)]
mod storm_tests;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use authn::accounts::Credential;
use authn::sasl::offer::{Authenticatees, ClientSettings};
use authn::sasl::retry::RetrySettings;
use authn::secret::Secret;
use libprocess::upid::Upid;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;

use addresses::Addresses;
use agent::{Agent, Input, Output};
use book::Book;
use sockets::Sockets;

/// What a swarm is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// How many agents.
    pub(crate) agents: usize,
    /// Where they live.
    pub(crate) addresses: Addresses,
    /// What they prove themselves with; without it they register at once.
    pub(crate) proof: Option<Proof>,
    /// What protects their connections; plaintext without it.
    pub(crate) tls: Option<tls::Files>,
}

/// What agents prove themselves with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// The mechanisms, strongest first.
    pub(crate) mechanisms: Vec<String>,
    /// The principal, if all agents share one; otherwise what stands before the agent's number.
    pub(crate) principal: String,
    /// Whether they share it.
    pub(crate) shared: bool,
    /// The secret of all of them.
    pub(crate) secret: String,
}

impl Proof {
    /// The principal of the agent with this number.
    pub(crate) fn principal(&self, number: usize) -> String {
        if self.shared { self.principal.clone() } else { format!("{}{number}", self.principal) }
    }

    fn authenticatees(&self, number: usize) -> anyhow::Result<Authenticatees> {
        let secret = Secret::from(self.secret.as_str());
        Ok(Authenticatees::from_settings(&ClientSettings {
            mechanisms: self.mechanisms.clone(),
            // A bench in plaintext is what the caller asked for.
            danger_plaintext_secrets: true,
            credential: Some(Credential { principal: self.principal(number), secret }),
            certificate: false,
        })?)
    }
}

/// Agents at work. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Swarm {
    /// What came of them since the last detection.
    pub(crate) book: Arc<Book>,
    detected: watch::Sender<Option<Upid>>,
    /// Aborted when dropped.
    _agents: JoinSet<()>,
}

impl Swarm {
    /// Opens all listeners; nobody knows a master yet. To be called on a runtime.
    pub(crate) fn start(settings: &Settings, retry: RetrySettings) -> anyhow::Result<Self> {
        let book = Arc::new(Book::default());
        let (detected, detection) = watch::channel(None);
        let tls = settings.tls.as_ref().map(tls::Contexts::load).transpose()?;
        let mut agents = JoinSet::new();
        for number in 0..settings.agents {
            let address = settings.addresses.of(number);
            let sockets = Sockets::bind(address, tls.clone(), Arc::clone(&book))
                .with_context(|| format!("agent {number} cannot listen at {address}"))?;
            let upid = Upid::new("slave(1)", sockets.address());
            let proof = settings.proof.as_ref().map(|proof| proof.authenticatees(number));
            let agent = Agent::new(upid, proof.transpose()?, retry);
            agents.spawn(run(agent, sockets, detection.clone(), Arc::clone(&book)));
        }
        Ok(Self { book, detected, _agents: agents })
    }

    /// Tells all agents at once that `master` leads, as ZooKeeper would. The book begins anew.
    pub(crate) fn detect(&self, master: SocketAddrV4) {
        self.book.begin();
        self.detected.send_replace(Some(Upid::new("master", master)));
    }
}

/// One agent, for ever.
async fn run(
    mut agent: Agent,
    mut sockets: Sockets,
    mut detection: watch::Receiver<Option<Upid>>,
    book: Arc<Book>,
) {
    loop {
        let deadline = agent.deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let input = tokio::select! {
            changed = detection.changed() => match changed {
                Ok(()) => match detection.borrow_and_update().clone() {
                    Some(master) => Input::Detected(master),
                    None => continue,
                },
                // The swarm is gone.
                Err(_) => return,
            },
            input = sockets.next() => input,
            () = due => Input::Woken,
        };
        for output in agent.handle(input, Instant::now()) {
            match output {
                Output::Fact(fact) => book.enter(fact),
                Output::Link(master) => sockets.link(master.address),
                Output::Send { from, to, name, body } => sockets.send(&from, &to, name, &body),
                Output::Work(number, work) => sockets.work(number, work),
            }
        }
    }
}
