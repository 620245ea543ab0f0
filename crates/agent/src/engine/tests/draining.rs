use std::time::Duration;

use super::fixture::*;
use crate::engine::event::{Effect, Record};
use crate::engine::recovered::Recovered;
use crate::message::MasterMessage;
use wire::internal as i;
use wire::v1::executor::event;
use wire::v1::{self, TaskState};

fn drain(grace: Option<u64>) -> MasterMessage {
    let nanoseconds = |seconds: u64| i64::try_from(seconds * 1_000_000_000).unwrap();
    MasterMessage::Drain(Box::new(i::DrainSlaveMessage {
        config: v1::DrainConfig {
            max_grace_period: grace
                .map(|grace| v1::DurationInfo { nanoseconds: nanoseconds(grace) }),
            mark_gone: None,
        },
    }))
}

#[test]
fn a_draining_agent_ends_its_tasks_takes_none_and_is_done_when_all_is_over() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.told(drain(Some(7)));
    assert!(matches!(agent.records()[..], [Record::Drain { config: Some(_), .. }]));
    let kill = agent.effects.iter().find_map(|effect| match effect {
        Effect::Tell { event, .. } if event.r#type() == event::Type::Kill => event.kill.clone(),
        _ => None,
    });
    let policy = kill.expect("the task is ended").kill_policy.expect("the operator's grace period");
    assert_eq!(policy.grace_period.unwrap().nanoseconds, 7_000_000_000);
    assert!(agent.engine.state().drain.is_some());

    agent.runs(command_task("u"), true);
    assert_eq!(agent.news(), "TASK_DROPPED REASON_AGENT_DRAINING Agent is draining");
    let refused = agent.updates()[0].uuid.clone().unwrap();
    agent.acknowledged("u", &refused);

    agent.reports(&container, status("t", TaskState::TaskKilled, 1));
    agent.ended(&container, 0);
    assert!(agent.engine.state().drain.is_some(), "the scheduler does not know yet");
    agent.acknowledged("t", &[1; 16]);
    assert!(agent.engine.state().drain.is_none());
    let records = agent.records();
    assert!(matches!(records.last(), Some(Record::Drain { config: None, .. })), "{records:?}");
    agent.runs(command_task("v"), true);
    assert_eq!(agent.launch().executor_id.as_str(), "v");
}

#[test]
fn a_task_keeps_a_shorter_grace_period_of_its_own() {
    let mut agent = Agent::running();
    let mut task = command_task("t");
    task.kill_policy =
        Some(v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds: 3 }) });
    agent.runs(task, true);
    let container = agent.started("t");
    agent.connected(&container);
    agent.told(drain(Some(7)));
    let kill = agent.effects.iter().find_map(|effect| match effect {
        Effect::Tell { event, .. } => event.kill.clone(),
        _ => None,
    });
    assert_eq!(kill.expect("the task is ended").kill_policy, None);
}

#[test]
fn an_agent_without_anything_has_nothing_to_drain() {
    let mut agent = Agent::running();
    agent.told(drain(None));
    assert!(agent.records().is_empty() && agent.engine.state().drain.is_none());
}

#[test]
fn an_agent_that_was_draining_goes_on_until_nothing_is_left() {
    let found = Recovered { drain: Some(v1::DrainConfig::default()), ..left(Vec::new()) };
    let mut agent = Agent::recovered(rules(), found);
    assert!(agent.engine.state().drain.is_some());
    agent.handle(crate::engine::event::Event::ContainersRecovered);
    agent.handle(crate::engine::event::Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    let reregistered = i::SlaveReregisteredMessage {
        slave_id: v1::AgentId { value: AGENT_ID.into() },
        ..Default::default()
    };
    agent.told(MasterMessage::Reregistered(Box::new(reregistered)));
    assert!(agent.engine.state().drain.is_none());
}
