//! The agent dies after every single effect of a chain of operations, and comes back.
//!
//! Whatever the moment, each operation is in the end applied once or was never heard of; a
//! volume's directory is there exactly if the volume is; and the master learns of every outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fixture::*;
use crate::checkpoint::Store;
use crate::engine::Engine;
use crate::engine::event::{Effect, Event};
use crate::engine::rules::Rules;
use crate::message::{AgentMessage, MasterMessage};
use model::time::{Instant, Now, Timestamp};
use wire::internal as i;
use wire::v1::{self, OperationState};

struct World {
    rules: Rules,
    store: Store,
    engine: Engine,
    now: Now,
    carried: usize,
    dies_after: usize,
    died: bool,
    /// What the master heard of each operation, and whether it is to acknowledge it yet.
    heard: BTreeMap<u8, OperationState>,
    acknowledges: Vec<MasterMessage>,
    directory: tempfile::TempDir,
}

impl World {
    fn new(dies_after: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut rules = rules();
        rules.resources.push(scalar("disk", 1000.0));
        rules.work_dir = directory.path().to_owned();
        let store = Store::open(directory.path()).unwrap();
        let now = Now {
            monotonic: Instant::default(),
            wall: Timestamp::new(Duration::from_secs(1_800_000_000)),
        };
        let found = store.recover(true, "boot").unwrap();
        let (engine, effects) = Engine::new(rules.clone(), [1; 32], found, now);
        let mut world = Self {
            rules,
            store,
            engine,
            now,
            carried: 0,
            dies_after: usize::MAX,
            died: false,
            heard: BTreeMap::new(),
            acknowledges: Vec::new(),
            directory,
        };
        world.carry_out(effects);
        world.register();
        world.dies_after = world.carried + dies_after;
        world
    }

    /// Carries out what is wanted, or dies on the way; then the rest is lost.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist { record, .. } => self.store.apply(&record).unwrap(),
                Effect::Send { message, .. } => self.master_hears(*message),
                Effect::Exit(exit) => panic!("{exit}"),
                _ => {}
            }
            self.carried += 1;
            if self.carried == self.dies_after {
                self.died = true;
                let found = self.store.recover(true, "boot").unwrap();
                assert_eq!(found.errors, 0);
                let (engine, effects) = Engine::new(self.rules.clone(), [2; 32], found, self.now);
                self.engine = engine;
                self.carry_out(effects);
                return self.register();
            }
        }
    }

    fn register(&mut self) {
        self.handle(Event::ContainersRecovered);
        self.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
        self.now.monotonic = self.now.monotonic + Duration::from_secs(2);
        self.handle(Event::TimePassed);
        let id = v1::AgentId { value: AGENT_ID.into() };
        let message = if self.engine.state().id.is_some() {
            MasterMessage::Reregistered(Box::new(i::SlaveReregisteredMessage {
                slave_id: id,
                ..Default::default()
            }))
        } else {
            MasterMessage::Registered(Box::new(registered(AGENT_ID)))
        };
        self.told(message);
    }

    fn handle(&mut self, event: Event) {
        let effects = self.engine.handle(event, self.now);
        self.carry_out(effects);
    }

    fn told(&mut self, message: MasterMessage) {
        self.handle(Event::Message { from: master(), message });
    }

    fn master_hears(&mut self, message: AgentMessage) {
        let AgentMessage::UpdateOperationStatus(update) = message else { return };
        let uuid = update.operation_uuid.as_ref().unwrap().value[0];
        let before = self.heard.insert(uuid, update.status.state());
        assert!(before.is_none_or(|before| before == update.status.state()), "{uuid}");
        self.acknowledges.push(acknowledge(&update));
    }

    /// One operation, repeated if the agent died before it knew of it, up to its acknowledgement.
    fn operate(&mut self, uuid: u8, info: v1::offer::Operation) {
        self.told(apply(uuid, info.clone()));
        if !self.heard.contains_key(&uuid) {
            // A master that asks would hear that it is unknown, and its framework tries again.
            assert!(self.died);
            self.told(apply(uuid, info));
        }
        assert_eq!(self.heard.get(&uuid), Some(&OperationState::OperationFinished), "{uuid}");
        for acknowledgement in std::mem::take(&mut self.acknowledges) {
            self.told(acknowledgement);
        }
        // What was sent twice was acknowledged twice, and what was lost is sent again.
        self.now.monotonic = self.now.monotonic + Duration::from_secs(11);
        self.handle(Event::TimePassed);
        for acknowledgement in std::mem::take(&mut self.acknowledges) {
            self.told(acknowledgement);
        }
        assert!(self.engine.state().operations.is_empty(), "{:?}", self.engine.state().operations);
        let is_volume = self.engine.total().to_string().contains("[v]");
        let path = self.directory.path().join("volumes/roles/ops/v");
        assert_eq!(path.is_dir(), is_volume);
    }

    /// Whether the agent died on the way.
    fn play(&mut self) -> bool {
        self.operate(1, reserve(vec![reserved("disk", 100.0), reserved("cpus", 1.0)]));
        self.operate(2, create(vec![volume("v", 40.0)]));
        let file = self.directory.path().join("volumes/roles/ops/v/data");
        std::fs::write(&file, "kept").unwrap();
        self.operate(
            3,
            operation(|info| {
                info.set_type(v1::offer::operation::Type::GrowVolume);
                info.grow_volume = Some(v1::offer::operation::GrowVolume {
                    volume: volume("v", 40.0),
                    addition: reserved("disk", 10.0),
                });
            }),
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        self.operate(4, destroy(vec![volume("v", 50.0)]));
        let left = wire::resources::read(&[
            scalar("cpus", 3.0),
            scalar("mem", 4096.0),
            scalar("disk", 900.0),
            reserved("cpus", 1.0),
            reserved("disk", 100.0),
        ]);
        assert_eq!(*self.engine.total(), left.unwrap());
        let leftovers = self.directory.path().join("meta/slaves/M-S0/operations");
        assert_eq!(std::fs::read_dir(leftovers).unwrap().count(), 0);
        self.died
    }
}

#[test]
fn an_agent_that_dies_at_any_moment_applies_each_operation_once() {
    assert!(!World::new(usize::MAX / 2).play());
    for dies_after in 1.. {
        assert!(dies_after < 1000, "the story does not end");
        if !World::new(dies_after).play() {
            assert!(dies_after > 20, "the agent died {dies_after} times only");
            return;
        }
    }
}
