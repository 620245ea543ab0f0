use std::time::Duration;

use super::fixture::*;
use crate::engine::event::{Effect, Event, Exit, Record};
use crate::engine::state::Activity;
use crate::message::{AgentMessage, MasterMessage};
use wire::internal as i;
use wire::v1;

const SECOND: Duration = Duration::from_secs(1);

fn detected(agent: &mut Agent) {
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
}

fn names(agent: &Agent) -> Vec<&'static str> {
    agent.sent().iter().map(|message| message.name().rsplit('.').next().unwrap()).collect()
}

#[test]
fn an_agent_registers_after_a_random_part_of_the_back_off_with_what_it_has() {
    let mut agent = Agent::fresh(rules());
    agent.handle(Event::ContainersRecovered);
    assert_eq!(agent.effects.last(), Some(&Effect::Redetect));
    detected(&mut agent);
    assert!(agent.sent().is_empty());
    agent.wait(SECOND);
    assert!(agent.effects.contains(&Effect::Link(MASTER.parse().unwrap())));
    let sent = agent.sent();
    let [AgentMessage::Register(message)] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(message.version.as_deref(), Some("1.12.0"));
    let capabilities: Vec<i32> =
        message.agent_capabilities.iter().map(|c| c.r#type.unwrap()).collect();
    assert_eq!(capabilities, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(message.slave.checkpoint, Some(true));
    assert_eq!(message.resource_version_uuid.as_ref().unwrap().value.len(), 16);
}

#[test]
fn registration_is_repeated_ever_more_slowly_and_at_least_once_a_minute() {
    let mut agent = Agent::fresh(rules());
    agent.handle(Event::ContainersRecovered);
    detected(&mut agent);
    agent.wait(SECOND);
    for attempt in 1..20_u32 {
        let start = agent.now.monotonic;
        let at = agent.engine.next_deadline().unwrap();
        let most = SECOND.saturating_mul(2_u32.saturating_pow(attempt)).min(60 * SECOND);
        assert!(at - start <= most, "attempt {attempt} waits {:?}", at - start);
        agent.wait(at - start);
        assert_eq!(names(&agent), ["RegisterSlaveMessage"]);
    }
}

#[test]
fn the_answer_to_a_registration_is_on_disk_before_anything_is_said_about_it() {
    let agent = Agent::running();
    assert!(matches!(agent.records()[..], [Record::Agent(_)]));
    assert_eq!(names(&agent), ["UpdateSlaveMessage"]);
    let position = |f: &dyn Fn(&Effect) -> bool| agent.effects.iter().position(f).unwrap();
    let persisted = position(&|e| matches!(e, Effect::Persist { .. }));
    assert!(persisted < position(&|e| matches!(e, Effect::Send { .. })));
    assert_eq!(agent.engine.state().activity, Activity::Running);
}

#[test]
fn pings_are_answered_to_whoever_of_the_leader_sent_them() {
    let mut agent = Agent::running();
    let observer = sender("slave-observer(1)@127.0.0.2:5050", Some("spiffe://test/master/m"));
    let ping = MasterMessage::Ping(Box::new(i::PingSlaveMessage { connected: true }));
    agent.handle(Event::Message { from: observer.clone(), message: ping });
    let answered = agent.effects.iter().any(|effect| {
        matches!(effect, Effect::Send { to, message, .. }
            if to == observer.upid() && matches!(**message, AgentMessage::Pong(_)))
    });
    assert!(answered);
}

/// The attack: anybody in the cluster, or outside, plays the master.
#[test]
fn only_the_leading_master_is_heard() {
    let strangers = [
        // Another component at the master's own address.
        sender(MASTER, Some("spiffe://test/agent/evil")),
        sender(MASTER, Some("spiffe://test/framework/evil")),
        sender(MASTER, Some("spiffe://test/operator/evil")),
        // A master that does not lead, and another actor of the leader.
        sender("master@127.0.0.3:5050", Some("spiffe://test/master/other")),
        sender("scheduler@127.0.0.2:5050", Some("spiffe://test/master/m")),
        // In plaintext: another address.
        sender("master@127.0.0.4:5050", None),
    ];
    let id = || v1::FrameworkId { value: FRAMEWORK.into() };
    let messages = [
        MasterMessage::RunTask(Box::new(run_task(command_task("t"), true))),
        MasterMessage::ShutdownFramework(Box::new(i::ShutdownFrameworkMessage {
            framework_id: id(),
        })),
        MasterMessage::Shutdown(Box::new(i::ShutdownMessage { message: None })),
        MasterMessage::UpdateFramework(Box::new(i::UpdateFrameworkMessage {
            framework_id: id(),
            pid: None,
            framework_info: None,
        })),
        MasterMessage::Drain(Box::default()),
        MasterMessage::ApplyOperation(Box::default()),
        MasterMessage::CheckpointResources(Box::default()),
        MasterMessage::ReconcileOperations(Box::default()),
        MasterMessage::AcknowledgeOperationStatus(Box::default()),
        MasterMessage::FrameworkToExecutor(Box::default()),
        MasterMessage::StatusUpdateAcknowledgement(Box::default()),
        reregistered(Vec::new()),
    ];
    let mut agent = Agent::running();
    for stranger in &strangers {
        for message in &messages {
            let before = agent.engine.state().counters.dropped_messages;
            let (from, message) = (stranger.clone(), message.clone());
            agent.handle(Event::Message { from, message });
            assert_eq!(agent.deeds(), [] as [&Effect; 0], "{stranger:?}");
            assert_eq!(agent.warnings().len(), 1);
            assert_eq!(agent.engine.state().counters.dropped_messages, before + 1);
        }
    }
    let ping = || MasterMessage::Ping(Box::new(i::PingSlaveMessage { connected: false }));
    for stranger in [&strangers[0], &strangers[3], &strangers[5]] {
        agent.handle(Event::Message { from: stranger.clone(), message: ping() });
        assert_eq!(agent.deeds(), [] as [&Effect; 0], "a stranger's ping is not answered");
    }
    assert_eq!(agent.engine.state().activity, Activity::Running);
}

#[test]
fn without_pings_the_agent_asks_again_who_leads_and_registers_again() {
    let mut agent = Agent::running();
    let ping = |connected| MasterMessage::Ping(Box::new(i::PingSlaveMessage { connected }));
    agent.wait(70 * SECOND);
    agent.told(ping(true));
    agent.wait(74 * SECOND);
    assert_eq!(agent.engine.state().activity, Activity::Running);
    agent.wait(SECOND);
    assert!(agent.effects.contains(&Effect::Redetect));
    detected(&mut agent);
    agent.wait(SECOND);
    assert_eq!(names(&agent), ["ReregisterSlaveMessage"]);
    agent.told(reregistered(Vec::new()));
    assert_eq!(names(&agent), ["UpdateSlaveMessage"]);

    agent.told(ping(false));
    assert!(agent.effects.contains(&Effect::Redetect), "the master thinks it is disconnected");
}

#[test]
fn a_broken_link_is_followed_by_a_new_registration_and_further_breaks_do_not_hurry_it() {
    let mut agent = Agent::running();
    agent.handle(Event::MasterExited("master@127.0.0.9:5050".parse().unwrap()));
    assert_eq!(agent.engine.state().activity, Activity::Running);
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    assert!(agent.effects.contains(&Effect::Redetect));
    detected(&mut agent);
    agent.wait(SECOND);
    assert_eq!(names(&agent), ["ReregisterSlaveMessage"]);
    let next = agent.engine.next_deadline();
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    assert_eq!(agent.deeds(), [] as [&Effect; 0]);
    assert_eq!(agent.engine.next_deadline(), next);
}

#[test]
fn another_id_than_its_own_ends_the_agent() {
    let mut agent = Agent::running();
    agent.told(MasterMessage::Registered(Box::new(registered("M-S9"))));
    assert!(matches!(agent.deeds()[..], [Effect::Exit(Exit::Failed(_))]));
}

#[test]
fn a_shut_down_agent_forgets_who_it_was() {
    let mut agent = Agent::running();
    agent.told(MasterMessage::Shutdown(Box::new(i::ShutdownMessage {
        message: Some("Agent has been marked gone".into()),
    })));
    let deeds = agent.deeds();
    assert!(matches!(deeds[0], Effect::Persist { record, .. } if **record == Record::Forget));
    assert_eq!(*deeds[1], Effect::Exit(Exit::Done("Agent has been marked gone".into())));
}

#[test]
fn an_agent_that_leaves_says_so() {
    let mut agent = Agent::running();
    agent.handle(Event::ShutdownRequested);
    assert_eq!(names(&agent), ["UnregisterSlaveMessage"]);
    assert!(matches!(agent.effects.last(), Some(Effect::Exit(Exit::Done(_)))));
}

#[test]
fn tasks_that_only_the_master_knows_are_reported_as_dropped_or_lost() {
    for (aware, state) in [(true, "TASK_DROPPED"), (false, "TASK_LOST")] {
        let mut agent = Agent::running();
        agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
        detected(&mut agent);
        agent.wait(SECOND);
        agent.told(reregistered(vec![i::ReconcileTasksMessage {
            framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
            statuses: vec![v1::TaskStatus {
                task_id: v1::TaskId { value: "t".into() },
                ..Default::default()
            }],
            framework: Some(framework_info(true, aware)),
        }]));
        assert_eq!(
            agent.news(),
            format!("{state} REASON_RECONCILIATION Reconciliation: task unknown to the agent")
        );
        let uuid = agent.updates()[0].uuid.clone().unwrap();
        agent.acknowledged("t", &uuid);
        assert!(agent.engine.state().frameworks.is_empty());
    }
}

#[test]
fn the_recorded_agent_says_the_same_in_the_same_bytes() {
    let Some(story) = testkit::captures::story("01-register-and-execute") else {
        return testkit::skipped("there is no recorded traffic");
    };
    let recorded = |name: &str| {
        let named = |r: &&testkit::captures::Recorded| {
            r.kind == testkit::captures::Kind::Message && r.actor_and_name().1.ends_with(name)
        };
        story.iter().find(named).unwrap().http().body
    };
    let mut rules = rules();
    rules.resources = vec![
        scalar("cpus", 4.0),
        scalar("mem", 4096.0),
        scalar("disk", 4096.0),
        v1::Resource {
            name: "ports".into(),
            r#type: v1::value::Type::Ranges.into(),
            ranges: Some(v1::value::Ranges {
                range: vec![v1::value::Range { begin: 31000, end: 32000 }],
            }),
            ..Default::default()
        },
    ];
    let mut agent = Agent::fresh(rules);
    agent.handle(Event::ContainersRecovered);
    detected(&mut agent);
    agent.wait(SECOND);
    let bytes = recorded("RegisterSlaveMessage");
    let (recorded_first, _) =
        wire::check::decode::<i::RegisterSlaveMessage>(&bytes, &wire::Limits::default()).unwrap();
    let uuid = recorded_first.resource_version_uuid;
    let sent = agent.sent();
    let [AgentMessage::Register(ours)] = sent[..] else { panic!("{sent:?}") };
    let ours = i::RegisterSlaveMessage { resource_version_uuid: uuid.clone(), ..(**ours).clone() };
    assert_eq!(wire::encode(&ours), bytes);

    let answer = recorded("SlaveRegisteredMessage");
    agent.told(MasterMessage::decode("mesos.internal.SlaveRegisteredMessage", &answer).unwrap());
    let sent = agent.sent();
    let [AgentMessage::Update(ours)] = sent[..] else { panic!("{sent:?}") };
    let ours = i::UpdateSlaveMessage { resource_version_uuid: uuid, ..(**ours).clone() };
    assert_eq!(wire::encode(&ours), recorded("UpdateSlaveMessage"));
}

#[test]
fn the_end_of_an_executor_between_two_registrations_is_told_afterwards() {
    let mut agent = Agent::running();
    agent.runs(executor_task("t", "e"), true);
    let container = agent.started("e");
    agent.connected(&container);
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(SECOND);
    assert!(matches!(agent.sent()[..], [AgentMessage::Reregister(_)]), "{:?}", agent.sent());
    // The master has the list with this executor, and takes no news of the agent yet.
    agent.ended(&container, 0);
    agent.told(reregistered(Vec::new()));
    let exited = agent.sent().into_iter().filter_map(|message| match message {
        AgentMessage::ExitedExecutor(message) => Some(message.executor_id.value.as_str()),
        _ => None,
    });
    assert_eq!(exited.collect::<Vec<_>>(), ["e"]);
}
