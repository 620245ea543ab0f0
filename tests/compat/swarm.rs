//! A few dozen emulated agents and three frameworks against a real master, while agents crash,
//! lose their connections, leave and join, frameworks are cut off, and the master is killed twice.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::daemon::Daemon;
use testkit::process::eventually;
use testkit::swarm::addresses::Addresses;
use testkit::swarm::book::{Report, Story};
use testkit::swarm::churn::Churn;
use testkit::swarm::framework::{Demand, TaskSize};
use testkit::swarm::{RetrySettings, Settings, Swarm};
use wire::v1::TaskState;

use crate::scheduler_stream::get;

const AGENTS: usize = 30;
const FRAMEWORKS: usize = 3;
/// Of each framework.
const TASKS: u64 = 150;
/// How long any part may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(100);

#[test]
fn a_small_swarm_loses_nothing_whoever_crashes() {
    // Who does not answer for three seconds is unreachable.
    let flags = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"].map(str::to_owned);
    let mut master =
        Daemon::start(Path::new(env!("CARGO_BIN_EXE_alcazar")), "mesos-master", &flags);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let settings = Settings { frameworks: FRAMEWORKS, ..Settings::of(AGENTS, Addresses::Loopback) };
    let mut swarm = Swarm::start(&settings, RetrySettings::default()).expect("a swarm");
    swarm.book.keep_stories();
    let until = |swarm: &Swarm, what: &str, is_so: &dyn Fn(&Report) -> bool| {
        let reached = swarm.book.wait_until(is_so);
        let reached = runtime.block_on(async { tokio::time::timeout(PATIENCE, reached).await });
        reached.unwrap_or_else(|_| {
            let stories = swarm.book.stories();
            let open: Vec<_> = stories.iter().filter(|(_, story)| is_open(story)).collect();
            panic!("not in time: {what}: {:#?}, open: {open:?}", swarm.book.report())
        })
    };

    swarm.detect(master.address);
    until(&swarm, "all agents are registered", &|report| report.registered.count == AGENTS);
    swarm.demand(Some(Demand {
        total: Some(TASKS),
        alive: 50,
        per_offer: 3,
        size: TaskSize::Of { cpus: 0.1, mem: 32.0 },
        life: Some((0.05, 1.0)),
        killed: 0.1,
        refuse: 0.0,
        reconcile: Some(1.0),
    }));
    swarm.churn(Some(Churn {
        seed: 7,
        every: 0.2,
        crash: 5,
        away: (0.0, 2.0),
        cut: 5,
        leave: 1,
        unregister: 1,
        join: 2,
        disconnect: 1,
    }));
    let all = TASKS * FRAMEWORKS as u64;
    for part in 1..=2 {
        until(&swarm, "tasks are launched", &|report| report.stories >= part * all / 3);
        master.restart();
        swarm.detect(master.address);
    }
    until(&swarm, "all tasks are launched", &|report| report.stories == all);
    swarm.churn(None);
    until(&swarm, "all tasks are over", &|report| report.open == 0);

    let stories = swarm.book.stories();
    assert_eq!(swarm.book.report().twice, 0);
    let finished = stories.values().filter(|story| is_over(story, TaskState::TaskFinished)).count();
    // On a slow machine most launches go down with somebody; never all of them.
    assert!(finished * 10 > stories.len(), "only {finished} of {all} finished");
    stories.iter().for_each(|(id, story)| check(id, story));
    is_at_rest(&master, &swarm);
}

fn is_open(story: &Story) -> bool {
    story.over.is_none() && !story.left
}

fn is_over(story: &Story, state: TaskState) -> bool {
    story.over.as_ref().is_some_and(|(over, _)| *over == state)
}

/// What became of a task is what its framework heard, if its agent could tell.
fn check(id: &str, story: &Story) {
    assert!(story.started <= 1, "{id} was started again: {story:?}");
    // What an agent takes along nobody can know.
    if story.left {
        return;
    }
    let (over, why) = story.over.as_ref().expect("it is over");
    match over {
        TaskState::TaskFinished | TaskState::TaskKilled => {
            assert_eq!(story.ended, Some(*over), "{id} has not ended so: {story:?}");
        }
        // The launch, or the order to the agent, went down with somebody.
        TaskState::TaskGone | TaskState::TaskDropped => {
            assert_eq!(story.started, 0, "{id} was given up although it ran: {why:?}, {story:?}");
        }
        _ => panic!("{id}: {story:?}"),
    }
}

/// The agents that stay are there, nothing runs, and nothing is held.
fn is_at_rest(master: &Daemon, swarm: &Swarm) {
    let state = eventually("the master is at rest", || {
        let state = get(master.address, "/state");
        let active = |agent: &&Value| agent["active"] == true;
        let active = state["slaves"].as_array().expect("agents").iter().filter(active).count();
        // An acknowledgement that went down with a connection is made up for when the agent tells
        // of the end again.
        let frameworks = state["frameworks"].as_array().expect("frameworks");
        let ended = frameworks.iter().all(|one| one["tasks"].as_array().is_some_and(Vec::is_empty));
        (active == swarm.present() && ended).then_some(state)
    });
    for agent in state["slaves"].as_array().expect("agents") {
        for resource in ["cpus", "mem"] {
            assert_eq!(agent["used_resources"][resource].as_f64(), Some(0.0), "{agent}");
        }
    }
}
