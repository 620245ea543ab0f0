//! What was decided and waits for a write to the registry.
//!
//! While a write is under way the engine decides on what comes next; what it wants done waits
//! here, in order, until all that was decided before it is durable. The changes of all batches
//! that have come together meanwhile are one write.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use libprocess::upid::Upid;
use registry::Operation;
use transport::messenger::Exited;

use crate::engine::announcement::Announcement;
use crate::engine::effect::Effect;
use crate::engine::state::Snapshot;

/// What the engine has decided about a batch of events.
pub(super) struct Decided {
    /// What to do once the changes of the registry are durable.
    pub(super) effects: Vec<Effect>,
    /// The state after it.
    pub(super) snapshot: Arc<Snapshot>,
    /// What operators hear.
    pub(super) announcements: Vec<Announcement>,
    operations: Vec<Operation>,
}

impl Decided {
    pub(super) fn new(effects: Vec<Effect>, snapshot: Snapshot) -> Self {
        let (mut operations, mut announcements) = (Vec::new(), Vec::new());
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Announce(announcement) => announcements.push(announcement),
                Effect::Persist(operation) => operations.push(operation),
                effect => rest.push(effect),
            }
        }
        Self { effects: rest, snapshot: Arc::new(snapshot), announcements, operations }
    }
}

/// What waits its turn.
pub(super) enum Turn {
    /// To be carried out.
    Decided(Decided),
    /// The end of a connection, to be judged when the links decided upon before it are made.
    Exited(Exited),
}

/// How many effects may wait before no more events are taken: what waits is bounded.
const MAX_EFFECTS: usize = 64 * 1024;

/// What waits, the oldest first.
#[derive(Default)]
pub(super) struct Queue {
    turns: VecDeque<Turn>,
    /// How many of them rest on the write that is under way.
    covered: usize,
    effects: usize,
    /// Links that are to be made.
    links: HashMap<Upid, usize>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many effects wait.
    pub(super) fn effects(&self) -> usize {
        self.effects
    }

    /// Whether so much waits that no more should be decided.
    pub(super) fn is_full(&self) -> bool {
        self.effects >= MAX_EFFECTS
    }

    pub(super) fn push(&mut self, turn: Turn) {
        if let Turn::Decided(decided) = &turn {
            self.effects += decided.effects.len() + decided.announcements.len();
            for pid in links(decided) {
                *self.links.entry(pid.clone()).or_default() += 1;
            }
        }
        self.turns.push_back(turn);
    }

    /// Whether a new link to `pid` has been decided upon: the end of an older one is no news.
    pub(super) fn will_link(&self, pid: &Upid) -> bool {
        self.links.contains_key(pid)
    }

    /// Gives their turn to those at the front that rest on no write.
    pub(super) fn release(&mut self) {
        let rests =
            |turn: &Turn| matches!(turn, Turn::Decided(decided) if !decided.operations.is_empty());
        self.covered = self.turns.iter().position(rests).unwrap_or(self.turns.len());
    }

    /// All changes of the registry that wait, as one write on which everything rests that waits
    /// now. Empty if there is nothing to write.
    pub(super) fn write(&mut self) -> Vec<Operation> {
        self.covered = self.turns.len();
        let decided = self.turns.iter_mut().filter_map(|turn| match turn {
            Turn::Decided(decided) => Some(decided),
            Turn::Exited(_) => None,
        });
        decided.flat_map(|decided| decided.operations.drain(..)).collect()
    }

    /// The next whose turn it is, after a write or [`Queue::release`].
    pub(super) fn next(&mut self) -> Option<Turn> {
        self.covered = self.covered.checked_sub(1)?;
        let turn = self.turns.pop_front()?;
        if let Turn::Decided(decided) = &turn {
            self.effects -= decided.effects.len() + decided.announcements.len();
            for pid in links(decided) {
                if let Some(count) = self.links.get_mut(pid) {
                    *count -= 1;
                    if *count == 0 {
                        self.links.remove(pid);
                    }
                }
            }
        }
        Some(turn)
    }
}

fn links(decided: &Decided) -> impl Iterator<Item = &Upid> {
    decided.effects.iter().filter_map(|effect| match effect {
        Effect::Link { peer } => Some(&peer.pid),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::config::Config;
    use crate::engine::effect::{Level, Peer};
    use model::time::Now;

    const PID: &str = "slave(1)@127.0.0.1:5051";

    fn decided(name: &str, effects: Vec<Effect>) -> Turn {
        let config = Config::new(wire::v1::MasterInfo::default());
        let (engine, _) = Engine::new(config, registry::Contents::default(), 0, Now::default());
        let log = Effect::Log { level: Level::Info, text: name.to_owned() };
        let all = effects.into_iter().chain([log]).collect();
        Turn::Decided(Decided::new(all, engine.snapshot()))
    }

    fn change() -> Effect {
        Effect::Persist(Operation::PutMaster(Box::default()))
    }

    fn link() -> Effect {
        Effect::Link { peer: Peer { pid: PID.parse().unwrap(), identity: None } }
    }

    fn taken(queue: &mut Queue) -> Vec<String> {
        let turns = std::iter::from_fn(|| queue.next());
        turns
            .filter_map(|turn| match turn {
                Turn::Decided(decided) => decided.effects.into_iter().last(),
                Turn::Exited(_) => None,
            })
            .map(|effect| match effect {
                Effect::Log { text, .. } => text,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn nothing_leaves_before_what_it_rests_on_is_durable() {
        let mut queue = Queue::default();
        queue.push(decided("a", vec![]));
        queue.push(decided("b", vec![change()]));
        queue.push(decided("c", vec![]));
        queue.push(decided("d", vec![change(), change()]));
        queue.release();
        assert_eq!(taken(&mut queue), ["a"]);
        // One write for all that waits.
        assert_eq!(queue.write().len(), 3);
        queue.push(decided("e", vec![change()]));
        queue.push(decided("f", vec![]));
        assert_eq!(taken(&mut queue), ["b", "c", "d"]);
        queue.release();
        assert_eq!(taken(&mut queue), Vec::<String>::new());
        assert_eq!(queue.write().len(), 1);
        assert_eq!(taken(&mut queue), ["e", "f"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_link_that_waits_to_be_made_is_known() {
        let mut queue = Queue::default();
        let pid: Upid = PID.parse().unwrap();
        queue.push(decided("a", vec![change(), link(), link()]));
        queue.push(decided("b", vec![link()]));
        assert!(queue.will_link(&pid));
        queue.write();
        let _ = queue.next();
        assert!(queue.will_link(&pid));
        let _ = queue.next();
        assert!(!queue.will_link(&pid));
        assert!(!queue.is_full());
    }
}
