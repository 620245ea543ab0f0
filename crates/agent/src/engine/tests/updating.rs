use std::time::Duration;

use super::fixture::*;
use crate::engine::event::{Answer, Effect, Event, Record, Refusal};
use crate::message::MasterMessage;
use wire::internal as i;
use wire::v1::{self, TaskState};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_update_is_on_disk_before_the_executor_or_the_master_hears_of_it() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    let answer = agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    assert_eq!(answer, Answer::Accepted);
    let deeds = agent.deeds();
    let [
        Effect::Answer { .. },
        Effect::Persist { token, record },
        Effect::Tell { event, after: told_after, .. },
        Effect::Send { after: sent_after, .. },
    ] = deeds[..]
    else {
        panic!("{deeds:#?}")
    };
    assert!(matches!(**record, Record::Update { .. }));
    assert_eq!(event.acknowledged.as_ref().unwrap().uuid, vec![1; 16]);
    assert_eq!(told_after.as_ref(), Some(token));
    assert_eq!(sent_after.as_ref(), Some(token));
}

#[test]
fn an_update_arrives_at_the_master_with_what_the_agent_knows() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    let updates = agent.updates();
    let update = updates[0];
    let id = |value: &str| v1::AgentId { value: value.into() };
    assert_eq!(update.slave_id, Some(id(AGENT_ID)));
    assert_eq!(update.status.agent_id, Some(id(AGENT_ID)));
    assert_eq!(update.status.executor_id.as_ref().unwrap().value, "t");
    assert_eq!(update.status.source(), v1::task_status::Source::Executor);
    assert_eq!(update.status.timestamp, None, "an executor's silence is not filled in");
    assert_eq!(update.latest_state(), TaskState::TaskRunning);
    let container_status = update.status.container_status.as_ref().unwrap();
    assert_eq!(container_status.executor_pid, Some(4711));
    assert_eq!(container_status.container_id.as_ref().unwrap().value, container.id.as_str());
    let address = &container_status.network_infos[0].ip_addresses[0];
    assert_eq!((address.protocol, address.ip_address.as_deref()), (None, Some("127.0.0.2")));
}

#[test]
fn the_head_travels_with_the_latest_state_and_the_next_follows_its_acknowledgement() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    agent.reports(&container, status("t", TaskState::TaskFinished, 2));
    assert!(agent.updates().is_empty(), "there is no master to tell");
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(SECOND);
    agent.told(reregistered(Vec::new()));
    let update = agent.updates()[0];
    assert_eq!(update.status.state(), TaskState::TaskRunning);
    assert_eq!(update.latest_state(), TaskState::TaskFinished);
    agent.acknowledged("t", &[1; 16]);
    assert_eq!(agent.updates()[0].status.state(), TaskState::TaskFinished);
    agent.acknowledged("t", &[2; 16]);
    let framework = agent.engine.state().frameworks.values().next().unwrap();
    let executor = framework.executors.values().next().unwrap();
    assert_eq!(executor.completed.len(), 1);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_ten_seconds_and_when_the_framework_moved() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    agent.wait(9 * SECOND);
    assert!(agent.updates().is_empty());
    agent.wait(SECOND);
    assert_eq!(agent.updates().len(), 1);
    agent.told(MasterMessage::UpdateFramework(Box::new(i::UpdateFrameworkMessage {
        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
        pid: Some("@0.0.0.0:0".into()),
        framework_info: Some(framework_info(true, true)),
    })));
    assert!(matches!(agent.records()[..], [Record::Framework { .. }]));
    assert_eq!(agent.updates().len(), 1);
}

/// C8: the original aborts.
#[test]
fn acknowledgements_whose_uuid_is_not_sixteen_bytes_are_dropped() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    for uuid in [&[][..], &[1; 15], &[1; 17], &[1; 1]] {
        let before = agent.engine.state().counters.dropped_messages;
        agent.acknowledged("t", uuid);
        assert_eq!(agent.deeds(), [] as [&Effect; 0]);
        assert_eq!(agent.engine.state().counters.dropped_messages, before + 1);
    }
    agent.acknowledged("t", &[1; 16]);
    assert_eq!(agent.records().len(), 1);
}

#[test]
fn a_duplicate_is_answered_and_told_to_the_master_no_second_time() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    assert_eq!(agent.events(), ["ACKNOWLEDGED"]);
    assert!(agent.updates().is_empty() && agent.records().is_empty());
    let framework = agent.engine.state().frameworks.values().next().unwrap();
    let executor = framework.executors.values().next().unwrap();
    assert_eq!(executor.launched.values().next().unwrap().statuses.len(), 1);
}

#[test]
fn updates_after_the_end_are_answered_and_nothing_else() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskFinished, 1));
    agent.reports(&container, status("t", TaskState::TaskRunning, 2));
    assert_eq!(agent.events(), ["ACKNOWLEDGED"]);
    assert!(agent.updates().is_empty() && agent.records().is_empty());
    agent.acknowledged("t", &[1; 16]);
    agent.reports(&container, status("t", TaskState::TaskFinished, 1));
    assert_eq!(agent.events(), ["ACKNOWLEDGED"]);
    assert!(agent.updates().is_empty() && agent.records().is_empty());
}

#[test]
fn what_no_executor_may_report_is_refused() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    let refused = |answer| match answer {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let mut short = status("t", TaskState::TaskRunning, 1);
    short.uuid = Some(vec![1; 15].into());
    let mut foreign = status("t", TaskState::TaskRunning, 1);
    foreign.executor_id = Some(v1::ExecutorId { value: "other".into() });
    for bad in [short, foreign, status("t", TaskState::TaskStaging, 1)] {
        let refusal = refused(agent.reports(&container, bad));
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
        assert!(agent.records().is_empty());
    }
}

#[test]
fn frameworks_that_are_shut_down_hear_nothing_more() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskRunning, 1));
    agent.told(MasterMessage::ShutdownFramework(Box::new(i::ShutdownFrameworkMessage {
        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
    })));
    assert_eq!(agent.events(), ["SHUTDOWN"]);
    agent.wait(5 * SECOND);
    assert_eq!(agent.deeds(), [&Effect::Destroy(container.id.clone())], "its time is up");
    agent.wait(60 * SECOND);
    assert!(agent.updates().is_empty());
    agent.ended(&container, 0);
    assert!(agent.sent().is_empty());
    assert!(matches!(agent.records()[..], [Record::Completed(_)]));
    assert!(agent.engine.state().frameworks.is_empty());
}
