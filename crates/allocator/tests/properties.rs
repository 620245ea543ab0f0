//! Whatever happens, in whatever order: the books add up, every offer is one that may be made, and
//! none that could be made is missing. The model that says so is slow and plain.

#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod game;
mod model;

use std::collections::BTreeMap;

use ::model::time::Instant;
use alcazar_allocator::{Allocator, Event, FrameworkFacts, Offer, Rules, Sorter};
use cluster::{agent, agent_facts, framework, role};
use game::{Game, Step, any_step};
use model::Model;
use proptest::prelude::*;

fn play(steps: &[Step], seed: u64, sorter: Sorter) -> Vec<Offer> {
    let rules = Rules {
        role_sorter: sorter,
        framework_sorter: sorter,
        region: Some(game::HERE.to_owned()),
        ..Rules::default()
    };
    let mut game = Game {
        model: Model::new(rules.clone()),
        allocator: Allocator::new(rules, seed),
        now: Instant::default(),
        made: Vec::new(),
    };
    for (n, step) in steps.iter().enumerate() {
        game.step(step);
        assert_eq!(game.allocator.check_invariants(), Ok(()), "after {step:?}");
        // Events come in batches of one, two or three.
        if n % 3 != 1 {
            game.run();
        }
        if n % 5 == 4 {
            game.settle();
        }
    }
    game.made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn every_offer_may_be_made_and_none_that_could_be_made_is_missing(
        steps in prop::collection::vec(any_step(), 0..60), seed in 0u64..4
    ) {
        play(&steps, seed, Sorter::Drf);
    }

    #[test]
    fn the_same_holds_for_the_random_order(
        steps in prop::collection::vec(any_step(), 0..60), seed in 0u64..4
    ) {
        play(&steps, seed, Sorter::Random);
    }

    #[test]
    fn the_same_events_with_the_same_seed_lead_to_the_same_offers(
        steps in prop::collection::vec(any_step(), 0..40), random in any::<bool>()
    ) {
        let sorter = if random { Sorter::Random } else { Sorter::Drf };
        prop_assert_eq!(play(&steps, 1, sorter), play(&steps, 1, sorter));
    }

    /// Agents come one by one, so that the order of agents is no chance: the next is always the
    /// role with the smallest weighted share, at each level of the tree.
    #[test]
    fn the_smallest_share_is_served_first(
        sizes in prop::collection::vec(1u64..9, 1..30),
        weights in prop::collection::vec(1u8..4, 5),
    ) {
        const ROLES: [&str; 5] = ["a", "b", "b/x", "b/y", "c/z"];
        let mut allocator = Allocator::new(Rules::default(), 1);
        let now = Instant::default();
        for (n, of) in ROLES.iter().enumerate() {
            allocator.handle(cluster::set_weight(of, weights[n].into()), now);
            let facts = FrameworkFacts {
                roles: [role(of)].into(),
                multi_role: true,
                ..FrameworkFacts::default()
            };
            let id = framework(&format!("f{n}"));
            allocator.handle(Event::FrameworkAdded { id, facts, active: true }, now);
        }
        let mut held = [0u64; 5];
        let mut offers = [0u64; 5];
        for (n, size) in sizes.iter().enumerate() {
            let facts = agent_facts(&format!("cpus:{size}"));
            let (id, used) = (agent(&format!("a{n}")), BTreeMap::new());
            allocator.handle(Event::AgentAdded { id, facts, used, active: true }, now);
            let made = allocator.allocate(now).offers;
            prop_assert_eq!(made.len(), 1);
            let total: u64 = sizes[..=n].iter().sum();
            let key = |members: &[usize], weight: f64, path: &'static str| {
                let sum: u64 = members.iter().map(|m| held[*m]).sum();
                let count: u64 = members.iter().map(|m| offers[*m]).sum();
                // As the allocator computes it, to the last bit.
                let share = (sum * 1000) as f64 * (1.0 / (total * 1000) as f64) / weight;
                (share, count, path)
            };
            let least = |keys: Vec<((f64, u64, &'static str), usize)>| {
                let before = |a: &(f64, u64, &str), b: &(f64, u64, &str)| {
                    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(b.2))
                };
                keys.into_iter().min_by(|a, b| before(&a.0, &b.0)).unwrap().1
            };
            let weight = |n: usize| f64::from(weights[n]);
            let branch = least(vec![
                (key(&[0], weight(0), "a"), 0),
                (key(&[1, 2, 3], weight(1), "b"), 1),
                // `c` itself has no weight of its own.
                (key(&[4], 1.0, "c"), 4),
            ]);
            let expected = if branch == 1 {
                least((1..4).map(|m| (key(&[m], weight(m), ROLES[m]), m)).collect())
            } else {
                branch
            };
            prop_assert_eq!(made[0].role.as_str(), ROLES[expected]);
            held[expected] += size;
            offers[expected] += 1;
        }
    }
}
