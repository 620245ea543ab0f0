use std::time::Duration;

use super::fixture::*;
use crate::containerizer::{RunAs, Termination};
use crate::engine::event::{Answer, Effect, Event, Record};
use crate::engine::state::ExecutorPhase;
use crate::engine::users::{Confined, TaskUserPolicy};
use crate::message::{AgentMessage, MasterMessage};
use wire::internal as i;
use wire::v1;

#[test]
fn a_command_task_gets_an_executor_of_its_own_on_record_before_it_is_launched() {
    let mut agent = Agent::running();
    agent.runs(command_task("t"), true);
    let records: Vec<&str> = agent
        .records()
        .iter()
        .map(|record| match record {
            Record::Framework { .. } => "framework",
            Record::Executor { generated: true, .. } => "executor",
            Record::Run { token: Some(_), .. } => "run",
            Record::Task { .. } => "task",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(records, ["framework", "executor", "run", "task"]);
    let last = agent.effects.iter().rposition(|e| matches!(e, Effect::Persist { .. })).unwrap();
    let launch = agent.effects.iter().position(|e| matches!(e, Effect::Launch { .. })).unwrap();
    assert!(last < launch);

    let request = agent.launch();
    assert_eq!(request.command.value.as_deref(), Some("/usr/bin/alcazar"));
    assert_eq!(request.command.arguments, ["alcazar", "executor"]);
    assert_eq!(request.run_as, RunAs::User("alice".into()));
    let cpus: f64 = request
        .resources
        .iter()
        .filter(|r| r.name == "cpus")
        .map(|r| r.scalar.as_ref().unwrap().value)
        .sum();
    assert!((cpus - 1.1).abs() < 1e-9, "the executor's own share comes on top: {cpus}");
    let id = &request.container_id;
    let sandbox = format!("/w/slaves/M-S0/frameworks/M-0000/executors/t/runs/{id}");
    assert_eq!(request.sandbox.to_str(), Some(sandbox.as_str()));
    let pid = request.pid_checkpoint.as_ref().unwrap().display().to_string();
    assert!(pid.starts_with("/w/meta/slaves/M-S0/") && pid.ends_with("pids/forked.pid"), "{pid}");
    let environment: Vec<(&str, &str)> =
        request.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        environment,
        [
            ("LIBPROCESS_IP", "127.0.0.2"),
            ("LIBPROCESS_PORT", "0"),
            ("MESOS_AGENT_ENDPOINT", "127.0.0.2:5051"),
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_DIRECTORY", sandbox.as_str()),
            ("MESOS_EXECUTOR_ID", "t"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
            ("MESOS_FRAMEWORK_ID", "M-0000"),
            ("MESOS_HTTP_COMMAND_EXECUTOR", "1"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SANDBOX", sandbox.as_str()),
            ("MESOS_SLAVE_ID", "M-S0"),
            ("MESOS_SLAVE_PID", "slave(1)@127.0.0.2:5051"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ]
    );
}

#[test]
fn the_token_is_in_no_record_no_variable_and_no_log_line() {
    let mut agent = Agent::running();
    agent.runs(command_task("t"), true);
    let bearer = agent.launch().secrets.as_ref().unwrap().token.expose().to_owned();
    assert_eq!(bearer.len(), 64);
    assert!(!format!("{:?}", agent.effects).contains(&bearer));
    assert!(!format!("{:?}", agent.launch().environment).contains(&bearer));
}

#[test]
fn nothing_is_on_record_about_a_framework_that_does_not_checkpoint() {
    let mut agent = Agent::running();
    let mut message = run_task(command_task("t"), true);
    message.framework = framework_info(false, true);
    agent.told(MasterMessage::RunTask(Box::new(message)));
    assert_eq!(agent.records(), [] as [&Record; 0]);
    assert_eq!(agent.launch().pid_checkpoint, None);
    assert_eq!(agent.launch().environment["MESOS_CHECKPOINT"], "0");
}

/// C7: the original aborts.
#[test]
fn a_task_with_both_or_neither_of_command_and_executor_is_refused_and_the_agent_goes_on() {
    let mut both = executor_task("t", "e");
    both.command = command_task("t").command;
    let mut neither = command_task("t");
    neither.command = None;
    for task in [both, neither] {
        let mut agent = Agent::running();
        agent.runs(task, true);
        let news = agent.news();
        assert!(news.starts_with("TASK_ERROR REASON_TASK_INVALID Task should have"), "{news}");
        agent.runs(command_task("u"), true);
        assert_eq!(agent.launch().executor_id.as_str(), "u");
    }
}

/// C7: the check of the sender comes before anything else.
#[test]
fn a_strangers_task_is_not_even_looked_at() {
    let mut agent = Agent::running();
    let mut neither = command_task("t");
    neither.command = None;
    let message = MasterMessage::RunTask(Box::new(run_task(neither, true)));
    let from = sender("master@127.0.0.9:1", None);
    agent.handle(Event::Message { from, message });
    assert_eq!(agent.deeds(), [] as [&Effect; 0]);
}

#[test]
fn ids_that_could_leave_their_directory_never_get_near_one() {
    for id in ["", ".", "..", "a/b", "../../etc", "a\nb"] {
        let mut agent = Agent::running();
        agent.runs(command_task(id), true);
        assert_eq!(agent.deeds(), [] as [&Effect; 0], "task {id:?}");
        agent.runs(executor_task("t", id), true);
        assert!(agent.news().starts_with("TASK_ERROR REASON_TASK_INVALID"), "executor {id:?}");
        let mut message = run_task(command_task("t"), true);
        message.framework.id = Some(v1::FrameworkId { value: id.into() });
        agent.told(MasterMessage::RunTask(Box::new(message)));
        assert_eq!(agent.deeds(), [] as [&Effect; 0], "framework {id:?}");
    }
}

#[test]
fn a_task_for_another_agent_is_dropped() {
    let mut agent = Agent::running();
    let mut task = command_task("t");
    task.agent_id.value = "M-S9".into();
    agent.runs(task, true);
    assert_eq!(agent.deeds(), [] as [&Effect; 0]);
}

#[test]
fn a_second_task_of_the_same_id_is_dropped() {
    let mut agent = Agent::running();
    agent.launched("t");
    agent.runs(command_task("t"), true);
    assert_eq!(agent.deeds(), [] as [&Effect; 0]);
}

/// The failure answers, as a table: what is wrong, and the news for frameworks that are, and are
/// not, partition aware.
#[test]
fn a_task_that_cannot_run_gets_the_answer_that_the_original_gives() {
    type Change = fn(&mut i::RunTaskMessage);
    let table: &[(&str, Change, &str, &str)] = &[
        (
            "limits",
            |m| {
                m.task.limits.insert("cpus".into(), v1::value::Scalar { value: 2.0 });
            },
            "TASK_DROPPED REASON_GC_ERROR",
            "TASK_LOST REASON_GC_ERROR",
        ),
        (
            "stale resource version",
            |m| {
                m.resource_version_uuids.push(i::ResourceVersionUuid {
                    resource_provider_id: None,
                    uuid: v1::Uuid { value: vec![9; 16].into() },
                });
            },
            "TASK_DROPPED REASON_INVALID_OFFERS Task assumes outdated resource state",
            "TASK_LOST REASON_INVALID_OFFERS Task assumes outdated resource state",
        ),
        (
            "a reservation that the agent does not have",
            |m| {
                m.task.resources[0].reservations.push(v1::resource::ReservationInfo {
                    r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
                    role: Some("ops".into()),
                    ..Default::default()
                });
            },
            "TASK_DROPPED REASON_RESOURCES_UNKNOWN",
            "TASK_LOST REASON_RESOURCES_UNKNOWN",
        ),
        (
            "an executor that should be here",
            |m| {
                m.task = executor_task("t", "e");
                m.launch_executor = Some(false);
            },
            "TASK_DROPPED REASON_EXECUTOR_TERMINATED Master expects an existing executor",
            "TASK_LOST REASON_EXECUTOR_TERMINATED Master expects an existing executor",
        ),
        (
            "an executor without command",
            |m| {
                m.task = executor_task("t", "e");
                m.task.executor.as_mut().unwrap().command = None;
            },
            "TASK_ERROR REASON_TASK_INVALID",
            "TASK_ERROR REASON_TASK_INVALID",
        ),
    ];
    for (what, change, aware_news, other_news) in table {
        for (aware, expected) in [(true, aware_news), (false, other_news)] {
            let mut agent = Agent::running();
            let mut message = run_task(command_task("t"), true);
            message.framework = framework_info(true, aware);
            change(&mut message);
            agent.told(MasterMessage::RunTask(Box::new(message)));
            assert!(agent.news().starts_with(expected), "{what}: {}", agent.news());
            let status = &agent.updates()[0].status;
            assert_eq!(status.source(), v1::task_status::Source::Agent);
            assert!(status.executor_id.is_none() && status.container_status.is_none());
            // The news is repeated until it is acknowledged; then nothing is left.
            agent.wait(Duration::from_secs(10));
            let uuid = agent.updates()[0].uuid.clone().unwrap();
            agent.acknowledged("t", &uuid);
            assert!(agent.engine.state().frameworks.is_empty(), "{what}");
        }
    }
}

#[test]
fn when_an_executor_is_not_launched_the_master_hears_that_it_exited() {
    let mut agent = Agent::running();
    let mut message = run_task(executor_task("t", "e"), true);
    message.resource_version_uuids.push(i::ResourceVersionUuid {
        resource_provider_id: None,
        uuid: v1::Uuid { value: vec![9; 16].into() },
    });
    agent.told(MasterMessage::RunTask(Box::new(message)));
    let exited = agent.sent().into_iter().find_map(|message| match message {
        AgentMessage::ExitedExecutor(m) => Some((m.executor_id.value.clone(), m.status)),
        _ => None,
    });
    assert_eq!(exited, Some(("e".to_owned(), -1)));
}

#[test]
fn task_groups_are_refused_honestly() {
    let mut agent = Agent::running();
    let executor = executor_task("t", "e").executor.unwrap();
    agent.told(MasterMessage::RunTaskGroup(Box::new(i::RunTaskGroupMessage {
        framework: framework_info(true, true),
        executor,
        task_group: v1::TaskGroupInfo { tasks: vec![command_task("t"), command_task("u")] },
        resource_version_uuids: Vec::new(),
        launch_executor: Some(true),
    })));
    let updates = agent.updates();
    assert_eq!(updates.len(), 2);
    for update in updates {
        assert_eq!(update.status.state(), v1::TaskState::TaskError);
        assert_eq!(update.status.reason(), v1::task_status::Reason::TaskGroupInvalid);
    }
    assert!(agent.sent().iter().any(|m| matches!(m, AgentMessage::ExitedExecutor(_))));
}

#[test]
fn a_task_that_names_a_user_it_may_not_have_is_refused_with_the_reason() {
    let mut rules = rules();
    rules.task_users = TaskUserPolicy::Confined(Confined {
        agent_user: "root".into(),
        agent_is_root: true,
        default_user: "nobody".into(),
        allow_root_tasks: false,
    });
    let mut agent = Agent::running_with(rules);
    let mut task = command_task("t");
    task.command.as_mut().unwrap().user = Some("root".into());
    agent.runs(task, true);
    assert_eq!(
        agent.news(),
        "TASK_ERROR REASON_TASK_UNAUTHORIZED Agent refuses to run tasks as user 'root'"
    );
    // Nobody named: never the caller, but the cluster's task user.
    let mut message = run_task(command_task("u"), true);
    message.framework.user = String::new();
    message.framework.id = Some(v1::FrameworkId { value: "M-0001".into() });
    agent.told(MasterMessage::RunTask(Box::new(message)));
    assert_eq!(agent.launch().run_as, RunAs::User("nobody".into()));
}

#[test]
fn tasks_wait_for_their_executor_and_go_out_in_order_once_it_has_its_resources() {
    let mut agent = Agent::running();
    agent.runs(executor_task("t1", "e"), true);
    let container = agent.started("e");
    agent.runs(executor_task("t2", "e"), false);
    assert!(agent.events().is_empty());
    agent.subscribes(&container, Default::default());
    assert_eq!(agent.events(), ["SUBSCRIBED"]);
    assert!(matches!(agent.effects.last(), Some(Effect::UpdateContainer { .. })));
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
    let tasks: Vec<&str> = agent
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell { event, .. } => Some(event.launch.as_ref()?.task.task_id.value.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(tasks, ["t1", "t2"]);
}

#[test]
fn tasks_whose_container_cannot_be_updated_are_reported() {
    let mut agent = Agent::running();
    let container = agent.launched("t");
    agent.subscribes(&container, Default::default());
    let result = Err("no space".to_owned());
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result });
    assert_eq!(
        agent.news(),
        "TASK_GONE REASON_CONTAINER_UPDATE_FAILED Failed to update resources for container: no \
         space"
    );
}

#[test]
fn a_container_that_does_not_start_fails_its_tasks_with_the_reason() {
    let mut agent = Agent::running();
    agent.runs(command_task("t"), true);
    let container = agent.launch().container_id.clone();
    agent.handle(Event::LaunchFailed { container, message: "no such user 'x'".into() });
    assert_eq!(
        agent.news(),
        "TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED Failed to launch container: no such user 'x'"
    );
    assert!(agent.engine.state().tokens.is_empty(), "its token is worth nothing any more");
    assert_eq!(agent.engine.state().counters.container_launch_errors, 1);
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_destroyed_and_its_tasks_fail() {
    let mut agent = Agent::running();
    let container = agent.launched("t");
    agent.wait(Duration::from_secs(60));
    assert!(agent.deeds().contains(&&Effect::Destroy(container.id.clone())));
    agent.ended(&container, 9);
    assert_eq!(
        agent.news(),
        "TASK_FAILED REASON_EXECUTOR_REGISTRATION_TIMEOUT Executor did not register within 1mins"
    );
}

#[test]
fn an_executor_that_ends_takes_its_tasks_with_it_and_the_master_hears_of_both() {
    let mut agent = Agent::running();
    agent.runs(executor_task("t", "e"), true);
    let container = agent.started("e");
    agent.connected(&container);
    agent.handle(Event::ContainerTerminated {
        container: container.id.clone(),
        termination: Termination {
            status: Some(256),
            state: None,
            reason: None,
            message: Some("out of memory".into()),
        },
    });
    assert_eq!(agent.news(), "TASK_FAILED REASON_EXECUTOR_TERMINATED out of memory");
    let exited = agent.sent().into_iter().find_map(|message| match message {
        AgentMessage::ExitedExecutor(m) => Some(m.status),
        _ => None,
    });
    assert_eq!(exited, Some(256));
    // A token ends with its container.
    let answer = agent.call(container.caller(), container.subscribe_call(Default::default()));
    assert!(matches!(answer, Answer::Refused(_)));
    // The executor stays until its task's ending is acknowledged.
    let executor = |agent: &Agent| {
        let framework = agent.engine.state().frameworks.values().next().cloned();
        framework.and_then(|f| f.executors.values().next().map(|e| e.phase))
    };
    assert_eq!(executor(&agent), Some(ExecutorPhase::Terminated));
    agent.wait(Duration::from_secs(10));
    let uuid = agent.updates()[0].uuid.clone().unwrap();
    agent.acknowledged("t", &uuid);
    assert_eq!(executor(&agent), None);
    assert!(matches!(agent.records()[..], [Record::Update { .. }, Record::Completed(_)]));
    assert_eq!(agent.engine.state().completed_frameworks.len(), 1);
}

#[test]
fn a_container_that_nobody_knows_any_more_does_not_keep_running() {
    let mut agent = Agent::running();
    let container: model::id::ContainerId = "c".parse().unwrap();
    agent.handle(Event::Launched { container: container.clone(), pid: 1 });
    assert_eq!(agent.deeds(), [&Effect::Destroy(container)]);
}

#[test]
fn a_container_that_starts_after_it_was_given_up_is_destroyed_again() {
    let mut agent = Agent::running();
    agent.runs(command_task("t"), true);
    let container = agent.launch().container_id.clone();
    agent.wait(Duration::from_secs(60));
    let destroy = Effect::Destroy(container.clone());
    assert!(agent.effects.contains(&destroy));
    agent.handle(Event::Launched { container, pid: 1 });
    assert!(agent.effects.contains(&destroy));
}

#[test]
fn a_launch_over_an_older_connection_than_the_registration_does_not_count() {
    let over = |connection| sender_over(connection, MASTER, Some("spiffe://test/master/m"));
    let run = |task| MasterMessage::RunTask(Box::new(run_task(command_task(task), true)));
    let mut agent = Agent::running();
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    agent.handle(Event::Message { from: over(2), message: reregistered(Vec::new()) });
    // The agent has answered for it when it registered, by not knowing of it.
    agent.handle(Event::Message { from: over(1), message: run("late") });
    assert_eq!(agent.records(), [] as [&Record; 0]);
    let operation = MasterMessage::ApplyOperation(Box::default());
    agent.handle(Event::Message { from: over(1), message: operation });
    assert_eq!(agent.records(), [] as [&Record; 0]);
    let why = "the agent has been registered over a newer connection since";
    assert!(agent.warnings().iter().any(|text| text.contains(why)), "{:?}", agent.warnings());
    agent.handle(Event::Message { from: over(2), message: run("new") });
    assert!(!agent.records().is_empty());
}

#[test]
fn what_was_launched_before_the_agent_knew_of_its_registration_is_given_up() {
    let mut agent = Agent::fresh(rules());
    agent.handle(Event::ContainersRecovered);
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    // The master's word for the registration was lost.
    agent.runs(command_task("early"), true);
    let mut elsewhere = command_task("elsewhere");
    elsewhere.agent_id.value = "m-S77".to_owned();
    agent.runs(elsewhere, true);
    assert!(agent.updates().is_empty());
    agent.told(MasterMessage::Registered(Box::new(registered(AGENT_ID))));
    let told: Vec<_> = agent
        .updates()
        .iter()
        .map(|u| (u.status.task_id.value.clone(), u.status.state()))
        .collect();
    assert_eq!(told, [("early".to_owned(), v1::TaskState::TaskDropped)]);
    // It is told once, and what comes now runs.
    agent.told(MasterMessage::Registered(Box::new(registered(AGENT_ID))));
    assert!(agent.updates().is_empty());
    agent.runs(command_task("t"), true);
    assert!(!agent.records().is_empty());
}

#[test]
fn a_framework_that_was_here_only_to_carry_news_is_put_on_record_with_its_first_task() {
    let mut agent = Agent::running();
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    agent.told(reregistered(vec![i::ReconcileTasksMessage {
        framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
        statuses: vec![status("lost", v1::TaskState::TaskRunning, 1)],
        framework: Some(framework_info(true, true)),
    }]));
    agent.runs(command_task("t"), true);
    let records = agent.records();
    assert!(matches!(records[0], Record::Framework { .. }), "{records:?}");
}
