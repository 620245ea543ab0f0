//! What is done to a swarm while it works: agents leave, crash, come back, others come.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::book::Fact;
use super::{Agents, Orders};

/// What is done, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// Of two runs with the same seed the same things are done in the same order.
    pub seed: u64,
    /// Seconds between one thing and the next.
    pub every: f64,
    /// Of so many things, how many are an agent's crash.
    pub crash: u32,
    /// How long a crashed agent is away, in seconds: something between these.
    pub away: (f64, f64),
    /// How many are an abrupt end of an agent's connections.
    pub cut: u32,
    /// How many are an agent that disappears for good, without a word.
    pub leave: u32,
    /// How many are an agent that takes its leave of the master.
    pub unregister: u32,
    /// How many are a new agent.
    pub join: u32,
    /// How many are an abrupt end of all frameworks' connections.
    pub disconnect: u32,
}

/// What is done to one agent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disturbance {
    /// Its process is killed, and started again after so many seconds.
    Crash {
        /// How long it is away.
        seconds: f64,
    },
    /// Its connections end abruptly.
    Cut,
    /// It disappears for good.
    Leave,
    /// It tells the master that it leaves, and disappears.
    Unregister,
}

/// Does it, for ever.
pub(super) async fn run(churn: Churn, agents: Arc<Agents>, orders: watch::Sender<Orders>) {
    let mut random = StdRng::seed_from_u64(churn.seed);
    let weights =
        [churn.crash, churn.cut, churn.leave, churn.unregister, churn.join, churn.disconnect];
    let sum: u32 = weights.iter().sum();
    if sum == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(
        Duration::try_from_secs_f64(churn.every.max(0.001)).unwrap_or(Duration::from_secs(1)),
    );
    loop {
        ticks.tick().await;
        let mut at = random.random_range(0..sum);
        let mut what = 0;
        while at >= weights[what] {
            at -= weights[what];
            what += 1;
        }
        let which: usize = random.random_range(0..usize::MAX / 2);
        let seconds = churn.away.0 + (churn.away.1 - churn.away.0) * random.random::<f64>();
        match what {
            0 => agents.disturb(which, Disturbance::Crash { seconds }),
            1 => agents.disturb(which, Disturbance::Cut),
            2 => agents.disturb(which, Disturbance::Leave),
            3 => agents.disturb(which, Disturbance::Unregister),
            4 => {
                if let Err(error) = agents.add() {
                    agents.book.enter(Fact::Refused(format!("no new agent: {error:#}")));
                }
            }
            _ => orders.send_modify(|orders| orders.cuts += 1),
        }
    }
}
