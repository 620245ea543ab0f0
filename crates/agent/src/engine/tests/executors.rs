use std::time::Duration;

use super::fixture::*;
use crate::engine::event::{Answer, Caller, Effect, Event, Refusal, TokenDigest};
use crate::engine::recovered::{Recovered, RecoveredTask};
use crate::engine::rules::Rules;
use crate::message::{AgentMessage, MasterMessage};
use wire::internal as i;
use wire::v1::executor::call::{Subscribe, Type};
use wire::v1::{self, TaskState, executor};

const SECOND: Duration = Duration::from_secs(1);

fn refusal(answer: &Answer) -> &Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_executor_learns_who_it_is_and_gets_its_task() {
    let mut agent = Agent::running();
    let container = agent.launched("t");
    agent.subscribes(&container, Subscribe::default());
    let subscribed = agent.effects.iter().find_map(|effect| match effect {
        Effect::Tell { event, .. } => event.subscribed.clone(),
        _ => None,
    });
    let subscribed = subscribed.unwrap();
    assert_eq!(subscribed.executor_info.executor_id.value, "t");
    assert_eq!(subscribed.container_id.unwrap().value, container.id.as_str());
    assert_eq!(subscribed.agent_info.id.unwrap().value, AGENT_ID);
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
    assert_eq!(agent.events(), ["LAUNCH"]);
}

/// B4, the attack: an executor plays another one, or nobody in particular plays one.
#[test]
fn no_executor_speaks_for_another() {
    let mut agent = Agent::running();
    let (mine, _) = agent.task_at_work("mine");
    let (theirs, _) = agent.task_at_work("theirs");
    // My token, their name.
    for call in [
        theirs.subscribe_call(Subscribe::default()),
        theirs.update_call(status("theirs", TaskState::TaskFinished, 1)),
        theirs.message_call(b"x"),
    ] {
        let answer = agent.call(mine.caller(), call);
        assert_eq!(refusal(&answer), &Refusal::Claim("eid"));
        assert_eq!(agent.deeds().len(), 1, "nothing but the answer");
    }
    // My token, my name, their task.
    let answer = agent.reports(&mine, status("theirs", TaskState::TaskFinished, 1));
    assert_eq!(refusal(&answer), &Refusal::TaskUnknown);
    // No token.
    let answer = agent.call(Caller::Unproven, theirs.subscribe_call(Subscribe::default()));
    assert_eq!(refusal(&answer), &Refusal::Forbidden);
    // A token of a container that is not here.
    let stranger = Caller::Container("elsewhere".parse().unwrap());
    let answer = agent.call(stranger, theirs.subscribe_call(Subscribe::default()));
    assert_eq!(refusal(&answer), &Refusal::Forbidden);
    let forged = Caller::Token(TokenDigest([9; 32]));
    let answer = agent.call(forged, theirs.subscribe_call(Subscribe::default()));
    assert_eq!(refusal(&answer), &Refusal::Revoked);
    assert!(agent.updates().is_empty());
}

#[test]
fn where_nobody_proves_anything_the_named_executor_is_found_or_not() {
    let mut rules = rules();
    rules.executor_trust = None;
    let mut agent = Agent::running_with(rules);
    let container = agent.launched("t");
    let call = container.subscribe_call(Subscribe::default());
    let mut other_framework = call.clone();
    other_framework.framework_id.value = "M-9999".into();
    let mut other_executor = call.clone();
    other_executor.executor_id.value = "x".into();
    let answer = agent.call(Caller::Unproven, other_framework);
    assert_eq!(refusal(&answer).to_string(), "Framework cannot be found");
    let answer = agent.call(Caller::Unproven, other_executor);
    assert_eq!(refusal(&answer).to_string(), "Executor cannot be found");
    let early = container.update_call(status("t", TaskState::TaskRunning, 1));
    let answer = agent.call(container.without_token(), early);
    assert_eq!(refusal(&answer).to_string(), "Executor is not subscribed");
    // To state the right names is not enough.
    let answer = agent.call(Caller::Unproven, call.clone());
    assert_eq!(refusal(&answer), &Refusal::Forbidden);
    assert!(matches!(agent.call(container.without_token(), call), Answer::Subscribed(_)));
}

#[test]
fn before_containers_are_recovered_executors_are_told_to_come_back() {
    let mut agent = Agent::fresh(rules());
    let container = Container { id: "c".parse().unwrap(), executor: "e".into(), token: None };
    let answer = agent.call(container.caller(), container.subscribe_call(Subscribe::default()));
    assert_eq!(refusal(&answer), &Refusal::Recovering);
}

#[test]
fn a_second_subscription_takes_the_place_of_the_first() {
    let mut agent = Agent::running();
    let (container, first) = agent.task_at_work("t");
    let has = Subscribe {
        unacknowledged_tasks: vec![command_task("t")],
        unacknowledged_updates: Vec::new(),
    };
    let second = agent.subscribes(&container, has);
    assert!(agent.deeds().contains(&&Effect::Close(first)));
    // The news that the first is gone must not end the second.
    agent.handle(Event::ExecutorDisconnected(first));
    agent.kills("t");
    assert!(
        matches!(agent.deeds()[..], [Effect::Tell { connection, .. }] if *connection == second)
    );
}

#[test]
fn a_task_that_got_lost_on_a_broken_stream_is_handed_over_again() {
    let mut agent = Agent::running();
    let (container, connection) = agent.task_at_work("t");
    agent.handle(Event::ExecutorDisconnected(connection));
    agent.connected(&container);
    assert_eq!(agent.events(), ["LAUNCH"]);
}

#[test]
fn a_task_that_the_executor_has_is_not_handed_over_again() {
    let mut agent = Agent::running();
    let (container, connection) = agent.task_at_work("t");
    agent.handle(Event::ExecutorDisconnected(connection));
    let has = Subscribe {
        unacknowledged_tasks: vec![command_task("t")],
        unacknowledged_updates: Vec::new(),
    };
    agent.subscribes(&container, has);
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
    assert!(agent.events().is_empty());
}

#[test]
fn updates_that_were_not_answered_are_taken_from_the_next_subscription() {
    let mut agent = Agent::running();
    let (container, connection) = agent.task_at_work("t");
    agent.reports(&container, status("t", TaskState::TaskStarting, 1));
    agent.handle(Event::ExecutorDisconnected(connection));
    let update = |state, uuid| executor::call::Update { status: status("t", state, uuid) };
    let subscribe = Subscribe {
        unacknowledged_tasks: vec![command_task("t")],
        unacknowledged_updates: vec![
            update(TaskState::TaskStarting, 1),
            update(TaskState::TaskRunning, 2),
        ],
    };
    agent.subscribes(&container, subscribe);
    assert_eq!(agent.events(), ["SUBSCRIBED", "ACKNOWLEDGED", "ACKNOWLEDGED"]);
    assert_eq!(agent.records().len(), 1, "only the new one is written");
}

#[test]
fn kills_reach_the_executor_now_or_when_it_is_back() {
    let mut agent = Agent::running();
    let (container, connection) = agent.task_at_work("t");
    agent.kills("t");
    assert_eq!(agent.events(), ["KILL"]);
    agent.handle(Event::ExecutorDisconnected(connection));
    agent.kills("t");
    assert!(agent.events().is_empty());
    let has = Subscribe {
        unacknowledged_tasks: vec![command_task("t")],
        unacknowledged_updates: Vec::new(),
    };
    agent.subscribes(&container, has);
    assert_eq!(agent.events(), ["SUBSCRIBED", "KILL"]);
}

#[test]
fn a_task_killed_before_its_executor_came_is_reported_and_the_executor_sent_home() {
    let mut agent = Agent::running();
    let container = agent.launched("t");
    agent.kills("t");
    assert!(agent.news().starts_with("TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH"));
    agent.subscribes(&container, Subscribe::default());
    assert_eq!(agent.events(), ["SHUTDOWN"]);
    assert!(matches!(agent.effects.last(), Some(Effect::Close(_))));
}

#[test]
fn the_kill_of_a_task_that_is_not_here_is_answered() {
    let mut agent = Agent::running();
    agent.task_at_work("t");
    agent.kills("unknown");
    assert_eq!(agent.news(), "TASK_DROPPED REASON_EXECUTOR_TERMINATED Cannot find executor");
}

#[test]
fn messages_go_both_ways() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.told(MasterMessage::FrameworkToExecutor(Box::new(i::FrameworkToExecutorMessage {
        slave_id: v1::AgentId { value: AGENT_ID.into() },
        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
        executor_id: v1::ExecutorId { value: "t".into() },
        data: b"down"[..].into(),
    })));
    assert_eq!(agent.events(), ["MESSAGE"]);
    assert_eq!(agent.call(container.caller(), container.message_call(b"up")), Answer::Accepted);
    let sent = agent.sent();
    let [AgentMessage::ExecutorToFramework(message)] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(message.data, &b"up"[..]);
    assert_eq!(agent.engine.state().counters.valid_framework_messages, 2);
}

#[test]
fn a_heartbeat_is_answered_and_a_quiet_stream_gets_one() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    let call =
        executor::Call { r#type: Some(Type::Heartbeat.into()), ..container.message_call(b"") };
    assert_eq!(agent.call(container.caller(), call), Answer::Accepted);
    agent.wait(1800 * SECOND);
    assert!(agent.events().contains(&"HEARTBEAT"));
}

#[test]
fn calls_without_a_type_or_its_member_are_refused() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    for kind in [Type::Unknown, Type::Subscribe, Type::Update, Type::Message] {
        let call = executor::Call {
            r#type: Some(kind.into()),
            message: None,
            ..container.message_call(b"")
        };
        let answer = agent.call(container.caller(), call);
        assert!(matches!(refusal(&answer), Refusal::Invalid(_)), "{kind:?}");
    }
}

#[test]
fn an_agent_that_comes_back_waits_for_its_executors_and_gives_up_those_that_do_not_come() {
    let token = Some(TokenDigest([1; 32]));
    let mut executors =
        vec![left_executor("back", "c-back", token), left_executor("gone", "c-gone", None)];
    executors[0].run.tasks = vec![left_task("t-back", "back")];
    executors[1].run.tasks = vec![left_task("t-gone", "gone")];
    let mut agent = Agent::recovered(rules(), left(executors));
    let Some(Effect::RecoverContainers(known)) = agent.effects.last() else { panic!() };
    assert_eq!(known.len(), 2);
    assert_eq!(known[0].pid, Some(17));
    agent.handle(Event::ContainersRecovered);
    let back = Container {
        id: "c-back".parse().unwrap(),
        executor: "back".into(),
        token: Some(TokenDigest([1; 32])),
    };
    // It never got the task that was launched while the agent went down.
    agent.subscribes(&back, Subscribe::default());
    agent.wait(2 * SECOND);
    assert!(agent.deeds().contains(&&Effect::Destroy("c-gone".parse().unwrap())));
    assert!(agent.effects.contains(&Effect::Redetect));
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(SECOND);
    let sent = agent.sent();
    let [AgentMessage::Reregister(message)] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(message.slave.id.as_ref().unwrap().value, AGENT_ID);
    assert_eq!(message.frameworks.len(), 1);
    assert_eq!(message.executor_infos.len(), 2);
    let tasks: Vec<(&str, TaskState)> =
        message.tasks.iter().map(|t| (t.task_id.value.as_str(), t.state())).collect();
    assert_eq!(tasks, [("t-back", TaskState::TaskDropped), ("t-gone", TaskState::TaskStaging)]);
    #[expect(deprecated, reason = "the older form is what goes on the wire")]
    let role = message.tasks[0].resources[0].role.as_deref();
    assert_eq!(role, Some("*"));

    agent.told(reregistered(Vec::new()));
    assert_eq!(
        agent.news(),
        "TASK_DROPPED REASON_AGENT_RESTARTED Task launched during agent restart"
    );
    agent.ended(
        &Container { id: "c-gone".parse().unwrap(), executor: "gone".into(), token: None },
        9,
    );
    assert_eq!(
        agent.news(),
        "TASK_GONE REASON_EXECUTOR_REREGISTRATION_TIMEOUT Executor did not reregister within 2secs"
    );
}

#[test]
fn an_agent_that_is_to_clean_up_ends_what_was_left_and_then_itself() {
    let found = left(vec![left_executor("e", "c", Some(TokenDigest([1; 32])))]);
    let mut rules = rules();
    rules.recover = crate::engine::rules::Recover::Cleanup;
    let mut agent = Agent::recovered(rules, found);
    agent.handle(Event::ContainersRecovered);
    let container = Container {
        id: "c".parse().unwrap(),
        executor: "e".into(),
        token: Some(TokenDigest([1; 32])),
    };
    agent.subscribes(&container, Subscribe::default());
    assert_eq!(agent.events(), ["SHUTDOWN"]);
    agent.wait(5 * SECOND);
    assert!(agent.deeds().contains(&&Effect::Destroy(container.id.clone())));
    agent.ended(&container, 9);
    assert!(matches!(
        agent.effects.last(),
        Some(Effect::Exit(crate::engine::event::Exit::Done(_)))
    ));
}

#[test]
fn an_agent_whose_description_changed_does_not_start_unless_the_machine_did() {
    let mut info = Agent::running().engine.info().clone();
    info.hostname = "another".into();
    let found = |rebooted| Recovered {
        agent: Some((AGENT_ID.parse().unwrap(), info.clone())),
        rebooted,
        ..Default::default()
    };
    let agent = Agent::recovered(rules(), found(false));
    assert!(matches!(agent.effects.last(), Some(Effect::Exit(_))));
    let agent = Agent::recovered(rules(), found(true));
    assert!(matches!(agent.effects.last(), Some(Effect::RecoverContainers(_))));
    assert_eq!(agent.engine.state().id, None);
}

#[test]
fn an_executor_that_is_told_to_end_has_its_time_and_not_more() {
    let mut agent = Agent::running();
    let (container, _) = agent.task_at_work("t");
    agent.told(MasterMessage::ShutdownExecutor(Box::new(i::ShutdownExecutorMessage {
        executor_id: Some(v1::ExecutorId { value: "t".into() }),
        framework_id: Some(v1::FrameworkId { value: FRAMEWORK.into() }),
    })));
    assert_eq!(agent.events(), ["SHUTDOWN"]);
    agent.wait(Duration::from_millis(4999));
    assert_eq!(agent.deeds(), [] as [&Effect; 0]);
    agent.wait(Duration::from_millis(1));
    assert_eq!(agent.deeds(), [&Effect::Destroy(container.id.clone())]);
}

#[test]
fn an_executor_that_was_never_given_a_task_is_ended_when_it_comes_back() {
    let rules = Rules { executor_trust: None, ..rules() };
    let mut agent = Agent::recovered(rules, left(vec![left_executor("e", "c", None)]));
    agent.handle(Event::ContainersRecovered);
    let container = Container { id: "c".parse().unwrap(), executor: "e".into(), token: None };
    agent.subscribes(&container, Default::default());
    assert_eq!(agent.events(), ["SUBSCRIBED", "SHUTDOWN"]);
}

/// What is left of a task that was killed, which was acknowledged.
fn killed(id: &str) -> Vec<i::StatusUpdateRecord> {
    use i::status_update_record::Type;
    let uuid = Some(bytes::Bytes::from_static(&[7; 16]));
    let mut status = v1::TaskStatus {
        task_id: v1::TaskId { value: id.into() },
        uuid: uuid.clone(),
        ..Default::default()
    };
    status.set_state(TaskState::TaskKilled);
    let update = i::StatusUpdate {
        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
        executor_id: Some(v1::ExecutorId { value: id.into() }),
        status,
        uuid: uuid.clone(),
        ..Default::default()
    };
    vec![
        i::StatusUpdateRecord { r#type: Type::Update.into(), update: Some(update), uuid: None },
        i::StatusUpdateRecord { r#type: Type::Ack.into(), update: None, uuid },
    ]
}

#[test]
fn a_command_executor_whose_task_ended_without_it_is_ended_when_it_comes_back() {
    let rules = Rules { executor_trust: None, ..rules() };
    let mut executor = left_executor("t", "c", None);
    executor.generated = true;
    executor.run.tasks = vec![RecoveredTask { updates: killed("t"), ..left_task("t", "t") }];
    let mut agent = Agent::recovered(rules, left(vec![executor]));
    agent.handle(Event::ContainersRecovered);
    let container = Container { id: "c".parse().unwrap(), executor: "t".into(), token: None };
    agent.subscribes(&container, Default::default());
    assert_eq!(agent.events(), ["SUBSCRIBED", "SHUTDOWN"]);
}

#[test]
fn the_end_of_an_executor_is_told_although_its_framework_is_ending() {
    let mut agent = Agent::running();
    agent.runs(executor_task("t", "e"), true);
    let container = agent.started("e");
    agent.connected(&container);
    let framework_id = v1::FrameworkId { value: FRAMEWORK.into() };
    let message = i::ShutdownFrameworkMessage { framework_id };
    agent.told(MasterMessage::ShutdownFramework(Box::new(message)));
    agent.ended(&container, 0);
    let sent = agent.sent();
    assert!(matches!(sent[..], [AgentMessage::ExitedExecutor(_)]), "{sent:?}");
}
