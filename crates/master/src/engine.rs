//! The master's decisions: events and the time go in, effects come out.
//!
//! No sockets, no files, no clock and no randomness in here. The driver (the `runtime` module)
//! owns the one [`Engine`], hands it one event at a time, executes the effects in their order
//! and publishes a snapshot after each batch:
//!
//! ```text
//! let effects = engine.handle(event, now);     // one mutation
//! // group the Effect::Persist of the batch, make them durable, then execute the rest in order
//! snapshots.store(engine.snapshot());           // after the writes: nobody reads what may be lost
//! // wait for the next event, at the longest until engine.next_deadline()
//! ```
//!
//! Historic words: the wire says *slave* where we say *agent*.

pub mod counters;
pub mod effect;
pub mod event;
pub mod message;
pub mod refusal;
pub mod state;

pub mod collections;
pub mod config;

use std::sync::Arc;

use model::time::{Instant, Now};

use collections::{History, Map};
use config::Config;
use counters::Counters;
use effect::Effect;
use event::Event;
use state::{Snapshot, State};

/// The master's decisions.
#[derive(Debug)]
pub struct Engine {
    #[expect(dead_code, reason = "read by the handlers that are being written")]
    config: Config,
    state: State,
}

impl Engine {
    /// An engine for a master that has become the leader and has read the registry, and what it
    /// does first. `seed` decides what the allocator leaves to chance; the same events with the
    /// same seed give the same effects.
    #[must_use]
    pub fn new(
        config: Config,
        recovered: registry::Contents,
        seed: u64,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let _ = (recovered, seed);
        let state = State {
            master: Arc::new(config.master.clone()),
            started: now.wall,
            elected: now.wall,
            agents: Map::default(),
            recovered_agents: Map::default(),
            unreachable_agents: Map::default(),
            gone_agents: Map::default(),
            frameworks: Map::default(),
            completed_frameworks: History::default(),
            offers: Map::default(),
            counters: Counters::default(),
        };
        (Self { config, state }, Vec::new())
    }

    /// Takes one event and says what to do about it.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let _ = (event, now);
        self.state.counters.count(counters::Counter::DroppedMessages);
        Vec::new()
    }

    /// When [`Event::Deadline`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// The state after the events so far; costs a few pointers.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.clone()
    }
}
