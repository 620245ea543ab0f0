//! Whole recorded stories of masters, with our master in the place of the original's.

use testkit::captures;

use crate::replay::Replay;

/// Nobody is asked who it is in these stories.
fn nobody(principal: &str, _: &[u8]) -> Vec<u8> {
    panic!("{principal} is challenged")
}

#[test]
fn the_recorded_v0_driver_runs_five_tasks_with_our_master() {
    let Some(story) = captures::story("02-v0-scheduler-and-executor") else { return };
    Replay::new(&story, &[], nobody).play(&story);
}

#[test]
fn the_recorded_driver_reserves_runs_and_unreserves_with_our_master() {
    let Some(story) = captures::story("06-dynamic-reservation") else { return };
    Replay::new(&story, &[], nobody).play(&story);
}

#[test]
fn the_recorded_agent_and_schedulers_survive_the_death_of_our_master() {
    let Some(story) = captures::story("10-master-failover") else { return };
    let at = |seconds: f64| {
        story.iter().position(|recorded| recorded.seconds >= seconds).expect("it is longer")
    };
    // The master is killed six seconds after the beginning. One framework is gone, for good, when
    // the agent comes back, and the other one as soon as its task is over.
    let (killed, back, end) = (at(6.0), at(75.0), at(75.813));
    let mut replay = Replay::new(&story, &[], nobody);
    replay.play(&story[..killed]);
    replay.hear_the_rest();
    replay.restart_master();
    replay.play(&story[killed..back]);
    replay.hangs_up("-0000");
    replay.play(&story[back..end]);
    replay.hear_the_rest();
    replay.hangs_up("-0001");
    replay.play(&story[end..]);
}
