//! The checks can fail: what is broken on purpose is found, and named for what it is.

use std::collections::BTreeMap;

use alcazar_simulator::{Options, REACHED, Sabotage, missed, run};

/// Runs clusters until the sabotage is found, and returns what was said of it.
fn found(sabotage: Sabotage) -> String {
    let options = Options { sabotage: Some(sabotage), ..Options::default() };
    let found = (0..30).find_map(|seed| run(seed, options).violation);
    found.unwrap_or_else(|| panic!("{sabotage:?} goes unnoticed"))
}

#[test]
fn a_registry_that_forgets_is_found_out() {
    let violation = found(Sabotage::ForgetfulRegistry);
    assert!(violation.contains("not on record"), "{violation}");
}

#[test]
fn a_task_that_runs_twice_is_found_out() {
    let violation = found(Sabotage::TasksTwice);
    assert!(violation.contains("was given to executors 2 times"), "{violation}");
}

#[test]
fn an_agent_that_forgets_updates_is_found_out() {
    let violation = found(Sabotage::ForgetfulAgents);
    assert!(violation.contains("has acknowledged"), "{violation}");
}

#[test]
fn acknowledgements_that_get_lost_are_found_out() {
    let violation = found(Sabotage::LostAcknowledgements);
    assert!(violation.contains("does not get well"), "{violation}");
}

#[test]
fn resources_that_are_never_given_back_are_found_out() {
    let violation = found(Sabotage::DeafToDeclines);
    assert!(violation.contains("no offer for them"), "{violation}");
}

#[test]
fn offers_that_nobody_wants_are_found_out() {
    let violation = found(Sabotage::LostConstraints);
    assert!(violation.contains("was offered although"), "{violation}");
}

#[test]
fn a_simulation_in_which_nothing_happens_is_found_out() {
    assert_eq!(missed(&BTreeMap::new()), REACHED);
}

#[test]
fn chance_beside_the_seed_is_found_out() {
    let options = Options { traced: true, sabotage: Some(Sabotage::Indeterminate) };
    assert_ne!(run(0, options).trace, run(0, options).trace);
}
