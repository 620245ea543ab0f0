//! Clusters under faults get well again, whatever the seed.

use alcazar_simulator::{Options, replay_line, run};

/// How many clusters each test runs.
const SEEDS: u64 = 60;

fn clusters(block: u64) {
    for seed in block * 1000..block * 1000 + SEEDS {
        let report = run(seed, Options::default());
        if let Some(violation) = report.violation {
            let replay = replay_line(seed);
            panic!("seed {seed}: {violation}\nreplay it with: {replay}");
        }
    }
}

#[test]
fn clusters_under_faults_get_well_again_block_0() {
    clusters(0);
}

#[test]
fn clusters_under_faults_get_well_again_block_1() {
    clusters(1);
}

#[test]
fn clusters_under_faults_get_well_again_block_2() {
    clusters(2);
}

#[test]
fn clusters_under_faults_get_well_again_block_3() {
    clusters(3);
}

#[test]
fn clusters_under_faults_get_well_again_block_4() {
    clusters(4);
}

#[test]
fn clusters_under_faults_get_well_again_block_5() {
    clusters(5);
}

#[test]
fn clusters_under_faults_get_well_again_block_6() {
    clusters(6);
}

#[test]
fn clusters_under_faults_get_well_again_block_7() {
    clusters(7);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let options = Options { traced: true, ..Options::default() };
    for seed in 0..6 {
        let (one, other) = (run(seed, options), run(seed, options));
        assert!(one.trace.len() > 100, "a cluster in which nothing happens shows nothing");
        let differs = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one, other, "seed {seed}");
    }
}
