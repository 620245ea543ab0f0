//! Many emulated agents and frameworks, against any master at an address.
//!
//! Each agent has its own listener, its own link to the master and its own state, and speaks what
//! an agent of the original speaks while it authenticates, registers, is pinged and runs tasks;
//! each framework has a stream of events and a connection for calls, and speaks the v1 scheduler
//! API. All of them are tasks of one runtime, as a rule in a process of their own ([`process`]).
//!
//! [`agent::Agent`] and [`framework::Framework`] decide, without sockets; [`book::Book`] is what
//! came of all of them; [`churn::Churn`] is what is done to them meanwhile.

pub mod addresses;
pub mod agent;
pub mod book;
pub mod churn;
pub mod framework;
pub mod limits;
pub mod messages;
pub mod process;
mod session;
mod sockets;
#[cfg(test)]
mod storm_tests;
mod stream;
#[cfg(test)]
mod tests;
pub mod tls;

use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use authn::accounts::Credential;
use authn::sasl::offer::{Authenticatees, ClientSettings};
pub use authn::sasl::retry::RetrySettings;
use authn::secret::Secret;
use libprocess::upid::Upid;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use addresses::Addresses;
use agent::{Agent, Input, Output};
use book::Book;
use churn::{Churn, Disturbance};
use framework::{Demand, Framework};
use messages::Size;
use sockets::Sockets;

/// An agent that has left for good takes its leave within this.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a swarm is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// How many agents.
    pub agents: usize,
    /// How much each of them has.
    pub size: Size,
    /// How many frameworks.
    pub frameworks: usize,
    /// Where they live.
    pub addresses: Addresses,
    /// What agents prove themselves with; without it they register at once.
    pub proof: Option<Proof>,
    /// What protects their connections; plaintext without it.
    pub tls: Option<tls::Files>,
}

impl Settings {
    /// So many agents of the usual size where `addresses` says, without frameworks, proof or
    /// protection.
    #[must_use]
    pub fn of(agents: usize, addresses: Addresses) -> Self {
        let size = Size::default();
        Self { agents, size, frameworks: 0, addresses, proof: None, tls: None }
    }
}

/// What agents prove themselves with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The mechanisms, strongest first.
    pub mechanisms: Vec<String>,
    /// The principal, if all agents share one; otherwise what stands before the agent's number.
    pub principal: String,
    /// Whether they share it.
    pub shared: bool,
    /// The secret of all of them.
    pub secret: String,
}

impl Proof {
    /// The principal of the agent with this number.
    #[must_use]
    pub fn principal(&self, number: usize) -> String {
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

/// What all are told.
#[derive(Clone, Debug, Default)]
struct Orders {
    /// Who leads.
    master: Option<SocketAddrV4>,
    /// Counts detections: the same master may come again.
    detections: u64,
    /// What each framework is to run, and which demand that is.
    demand: Option<Demand>,
    round: u64,
    /// Counts how often frameworks were told to connect anew.
    cuts: u64,
}

/// Agents and frameworks at work. They end when this is dropped.
#[derive(Debug)]
pub struct Swarm {
    /// What came of them since the last detection.
    pub book: Arc<Book>,
    orders: watch::Sender<Orders>,
    agents: Arc<Agents>,
    /// Aborted when dropped.
    frameworks: JoinSet<()>,
    churn: Option<JoinSet<()>>,
}

/// The agents, of which there may come to be more.
#[derive(Debug)]
struct Agents {
    settings: Settings,
    retry: RetrySettings,
    tls: Option<tls::Contexts>,
    book: Arc<Book>,
    orders: watch::Receiver<Orders>,
    working: Mutex<Working>,
}

#[derive(Debug, Default)]
struct Working {
    /// Aborted when dropped.
    tasks: JoinSet<()>,
    /// How many there have ever been.
    started: usize,
    /// Those that have not left.
    present: Vec<mpsc::UnboundedSender<Disturbance>>,
}

impl Swarm {
    /// Opens all listeners; nobody knows a master yet. To be called on a runtime.
    ///
    /// # Errors
    /// A listener cannot be opened, or the files of `settings` cannot be read.
    pub fn start(settings: &Settings, retry: RetrySettings) -> anyhow::Result<Self> {
        let book = Arc::new(Book::default());
        let (sender, orders) = watch::channel(Orders::default());
        let tls = settings.tls.as_ref().map(tls::Contexts::load).transpose()?;
        let agents = Arc::new(Agents {
            settings: settings.clone(),
            retry,
            tls: tls.clone(),
            book: Arc::clone(&book),
            orders: orders.clone(),
            working: Mutex::default(),
        });
        for _ in 0..settings.agents {
            agents.add()?;
        }
        let mut frameworks = JoinSet::new();
        for number in 0..settings.frameworks {
            let framework = Framework::new(&format!("framework{number}"));
            // Behind those of the agents that may come yet.
            let own = *settings.addresses.of((1 << 21) + number).ip();
            let (orders, book) = (orders.clone(), Arc::clone(&book));
            frameworks.spawn(session::run(framework, own, tls.clone(), orders, book));
        }
        Ok(Self { book, orders: sender, agents, frameworks, churn: None })
    }

    /// Tells all at once that `master` leads, as ZooKeeper would. The book begins anew.
    pub fn detect(&self, master: SocketAddrV4) {
        self.book.begin();
        self.orders.send_modify(|orders| {
            orders.master = Some(master);
            orders.detections += 1;
        });
    }

    /// Tells each framework what to run from now on.
    pub fn demand(&self, demand: Option<Demand>) {
        self.orders.send_modify(|orders| {
            orders.demand = demand;
            orders.round += 1;
        });
    }

    /// How many agents have not left.
    #[must_use]
    pub fn present(&self) -> usize {
        self.agents.working().present.len()
    }

    /// How many frameworks there are.
    #[must_use]
    pub fn frameworks(&self) -> usize {
        self.frameworks.len()
    }

    /// What is done to agents and frameworks from now on; nothing without it.
    pub fn churn(&mut self, churn: Option<Churn>) {
        self.churn = churn.map(|churn| {
            let mut task = JoinSet::new();
            task.spawn(churn::run(churn, Arc::clone(&self.agents), self.orders.clone()));
            task
        });
    }
}

impl Agents {
    fn working(&self) -> MutexGuard<'_, Working> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    fn add(&self) -> anyhow::Result<()> {
        let mut working = self.working();
        let number = working.started;
        let address = self.settings.addresses.of(number);
        let sockets = Sockets::bind(address, self.tls.clone(), Arc::clone(&self.book))
            .with_context(|| format!("agent {number} cannot listen at {address}"))?;
        let upid = Upid::new("slave(1)", sockets.address());
        let proof = self.settings.proof.as_ref().map(|proof| proof.authenticatees(number));
        let agent = Agent::new(upid, self.settings.size, proof.transpose()?, self.retry);
        let (sender, disturbances) = mpsc::unbounded_channel();
        let emulated = Emulated {
            agent,
            sockets,
            orders: self.orders.clone(),
            detection: 0,
            disturbances,
            tls: self.tls.clone(),
            book: Arc::clone(&self.book),
        };
        working.started += 1;
        working.present.push(sender);
        working.tasks.spawn(emulated.run());
        Ok(())
    }

    /// Does this to one of them.
    fn disturb(&self, which: usize, how: Disturbance) {
        let mut working = self.working();
        if working.present.is_empty() {
            return;
        }
        let index = which % working.present.len();
        let leaves = matches!(how, Disturbance::Leave | Disturbance::Unregister);
        let sender = if leaves {
            working.present.swap_remove(index)
        } else {
            working.present[index].clone()
        };
        // One that has ended cannot be disturbed any more.
        let _ = sender.send(how);
    }
}

/// One agent with its sockets.
struct Emulated {
    agent: Agent,
    sockets: Sockets,
    orders: watch::Receiver<Orders>,
    /// The number of the last detection that it has heard of.
    detection: u64,
    disturbances: mpsc::UnboundedReceiver<Disturbance>,
    tls: Option<tls::Contexts>,
    book: Arc<Book>,
}

impl Emulated {
    /// Until it leaves.
    async fn run(mut self) {
        let mut leaves = None;
        loop {
            let deadline = self.agent.deadline().into_iter().chain(leaves).min();
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                changed = self.orders.changed() => match changed {
                    Ok(()) => match self.detected() {
                        Some(master) => Input::Detected(master),
                        None => continue,
                    },
                    // The swarm is gone.
                    Err(_) => return,
                },
                Some(how) = self.disturbances.recv(), if leaves.is_none() => match how {
                    Disturbance::Leave => {
                        self.left();
                        return self.sockets.cut();
                    }
                    Disturbance::Unregister => {
                        self.left();
                        leaves = Some(Instant::now() + FAREWELL);
                        Input::Leaves
                    }
                    Disturbance::Cut => {
                        self.sockets.cut();
                        Input::LinkBroke
                    }
                    Disturbance::Crash { seconds } => match self.crashes(seconds).await {
                        Some(master) => Input::Detected(master),
                        None => continue,
                    },
                },
                input = self.sockets.next() => input,
                () = due => Input::Woken,
            };
            if leaves.is_some_and(|at| at <= Instant::now()) {
                return;
            }
            self.hears(input);
        }
    }

    fn left(&self) {
        if let Some(id) = self.agent.id() {
            self.book.enter(book::Fact::Left(id.to_owned()));
        }
    }

    fn hears(&mut self, input: Input) {
        for output in self.agent.handle(input, Instant::now()) {
            match output {
                Output::Fact(fact) => self.book.enter(fact),
                Output::Link(master) => self.sockets.link(master.address),
                Output::Send { from, to, name, body } => self.sockets.send(&from, &to, name, &body),
                Output::Work(number, work) => self.sockets.work(number, work),
            }
        }
    }

    /// The master, if it has been detected anew.
    fn detected(&mut self) -> Option<Upid> {
        let orders = self.orders.borrow_and_update();
        let new = std::mem::replace(&mut self.detection, orders.detections) != orders.detections;
        orders.master.filter(|_| new).map(|master| Upid::new("master", master))
    }

    /// Its process is killed, and another one, with the same directory and at the same address,
    /// is there so many seconds later.
    async fn crashes(&mut self, seconds: f64) -> Option<Upid> {
        let address = self.sockets.address();
        self.sockets.cut();
        self.sockets.close();
        self.agent.restarted();
        tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default()).await;
        match Sockets::bind(address, self.tls.clone(), Arc::clone(&self.book)) {
            Ok(sockets) => self.sockets = sockets,
            Err(error) => {
                // It can be reached no more, which is as if it had left.
                self.book.enter(book::Fact::Refused(format!("{address} is taken: {error}")));
                return None;
            }
        }
        self.detection = 0;
        self.detected()
    }
}
