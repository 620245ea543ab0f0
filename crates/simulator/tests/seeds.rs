//! Clusters under faults get well again, whatever the seed.

use alcazar_simulator::{Options, missed, replay_line, run, sum};

/// How many clusters each test runs: all together two thousand.
const SEEDS: u64 = 125;

fn clusters(block: u64) {
    let mut reports = Vec::new();
    for seed in block * 1000..block * 1000 + SEEDS {
        let report = run(seed, Options::default());
        if let Some(violation) = report.violation {
            let replay = replay_line(seed);
            panic!("seed {seed}: {violation}\nreplay it with: {replay}");
        }
        reports.push(report);
    }
    // A simulation in which nothing goes wrong any more would be content with everything.
    assert_eq!(missed(&sum(&reports)), [""; 0], "never happened from seed {} on", block * 1000);
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
fn clusters_under_faults_get_well_again_block_8() {
    clusters(8);
}

#[test]
fn clusters_under_faults_get_well_again_block_9() {
    clusters(9);
}

#[test]
fn clusters_under_faults_get_well_again_block_10() {
    clusters(10);
}

#[test]
fn clusters_under_faults_get_well_again_block_11() {
    clusters(11);
}

#[test]
fn clusters_under_faults_get_well_again_block_12() {
    clusters(12);
}

#[test]
fn clusters_under_faults_get_well_again_block_13() {
    clusters(13);
}

#[test]
fn clusters_under_faults_get_well_again_block_14() {
    clusters(14);
}

#[test]
fn clusters_under_faults_get_well_again_block_15() {
    clusters(15);
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
