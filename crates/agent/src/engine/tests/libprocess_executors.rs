//! Executors of the v0 protocol: what they are told and what is believed of them (row B4).

use std::time::Duration;

use libprocess::upid::Upid;
use wire::internal as i;
use wire::v1::{self, TaskState};

use super::fixture::*;
use crate::engine::event::{Effect, Event, Record};
use crate::engine::rules::Rules;
use crate::engine::state::ExecutorPhase;
use crate::message::{AgentMessage, ExecutorMessage, MasterMessage, ToExecutor};

const PID: &str = "executor(1)@127.0.0.2:4000";

fn in_plaintext() -> Rules {
    Rules { executor_trust: None, ..rules() }
}

fn framework_id() -> v1::FrameworkId {
    v1::FrameworkId { value: FRAMEWORK.into() }
}

fn executor_id(id: &str) -> v1::ExecutorId {
    v1::ExecutorId { value: id.into() }
}

fn register(id: &str) -> ExecutorMessage {
    ExecutorMessage::Register(Box::new(i::RegisterExecutorMessage {
        framework_id: framework_id(),
        executor_id: executor_id(id),
    }))
}

fn update(id: &str, status: v1::TaskStatus) -> i::StatusUpdate {
    i::StatusUpdate {
        framework_id: framework_id(),
        executor_id: Some(executor_id(id)),
        slave_id: Some(v1::AgentId { value: AGENT_ID.into() }),
        timestamp: 5.0,
        uuid: status.uuid.clone(),
        // As drivers send it: the update has the uuid, the status has none.
        status: v1::TaskStatus { uuid: None, ..status },
        latest_state: None,
    }
}

fn reports(id: &str, status: v1::TaskStatus) -> ExecutorMessage {
    ExecutorMessage::StatusUpdate(Box::new(i::StatusUpdateMessage {
        update: update(id, status),
        pid: Some(PID.into()),
    }))
}

impl Agent {
    fn spoken(&mut self, container: &Container, from: &str, message: ExecutorMessage) {
        let from = sender(from, None);
        self.handle(Event::ExecutorMessage { from, container: container.id.clone(), message });
    }

    /// What executors were told by messages, each with its receiver.
    fn messages(&self) -> Vec<(String, &ToExecutor)> {
        let sent = self.effects.iter().filter_map(|effect| match effect {
            Effect::SendExecutor { to, message, .. } => Some((to.to_string(), &**message)),
            _ => None,
        });
        sent.collect()
    }

    fn told_names(&self) -> Vec<&'static str> {
        let short = |name: &'static str| name.rsplit('.').next().unwrap();
        self.messages().iter().map(|(to, m)| (assert_eq!(to, PID), short(m.name())).1).collect()
    }

    /// A registered executor with a task at work.
    fn v0_at_work(&mut self, task: &str, id: &str) -> Container {
        self.runs(executor_task(task, id), true);
        let container = self.started(id);
        self.spoken(&container, PID, register(id));
        self.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
        container
    }
}

#[test]
fn authn_a_v0_executor_registers_gets_its_task_reports_and_is_acknowledged() {
    let mut agent = Agent::running_with(in_plaintext());
    agent.runs(executor_task("t", "e"), true);
    let container = agent.started("e");
    agent.spoken(&container, PID, register("e"));
    let pid: Upid = PID.parse().unwrap();
    assert!(agent.effects.contains(&Effect::LinkExecutor(pid.clone())));
    let records = agent.records();
    let [Record::LibprocessExecutor { pid: written, .. }] = records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(written, &pid);
    let told = agent.messages();
    let [(_, ToExecutor::Registered(message))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(message.slave_id.value, AGENT_ID);
    assert_eq!(message.executor_info.executor_id.value, "e");
    assert_eq!(message.framework_info.id, Some(framework_id()));
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
    let told = agent.messages();
    let [(_, ToExecutor::RunTask(run))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(run.task.task_id.value, "t");

    agent.spoken(&container, PID, reports("e", status("t", TaskState::TaskRunning, 1)));
    assert_eq!(agent.updates().len(), 1);
    assert_eq!(agent.updates()[0].status.uuid.as_deref(), Some(&[1; 16][..]));
    assert_eq!(agent.told_names(), ["StatusUpdateAcknowledgementMessage"]);
    // The acknowledgement rests on the record.
    let after = agent.effects.iter().find_map(|effect| match effect {
        Effect::SendExecutor { after, .. } => Some(*after),
        _ => None,
    });
    assert!(after.flatten().is_some());

    agent.kills("t");
    assert_eq!(agent.told_names(), ["KillTaskMessage"]);
    agent.told(MasterMessage::FrameworkToExecutor(Box::new(i::FrameworkToExecutorMessage {
        slave_id: v1::AgentId { value: AGENT_ID.into() },
        framework_id: framework_id(),
        executor_id: executor_id("e"),
        data: b"hello".as_slice().into(),
    })));
    assert_eq!(agent.told_names(), ["FrameworkToExecutorMessage"]);
    let says = ExecutorMessage::ExecutorToFramework(Box::new(i::ExecutorToFrameworkMessage {
        slave_id: v1::AgentId { value: AGENT_ID.into() },
        framework_id: framework_id(),
        executor_id: executor_id("e"),
        data: b"there".as_slice().into(),
    }));
    agent.spoken(&container, PID, says);
    assert!(matches!(agent.sent()[..], [AgentMessage::ExecutorToFramework(_)]));
    agent.told(MasterMessage::ShutdownExecutor(Box::new(i::ShutdownExecutorMessage {
        executor_id: Some(executor_id("e")),
        framework_id: Some(framework_id()),
    })));
    assert_eq!(agent.told_names(), ["ShutdownExecutorMessage"]);
    // A broken link is no end: that of the container is.
    agent.handle(Event::ExecutorExited(pid));
    assert_eq!(agent.deeds(), Vec::<&Effect>::new());
    agent.ended(&container, 0);
    assert!(matches!(agent.sent().last(), Some(AgentMessage::ExitedExecutor(_))));
}

/// The attack: the executor's port is free, and somebody else listens there.
#[test]
fn attack_b4_nothing_is_sent_to_where_an_executor_was_until_it_registers_again() {
    let mut agent = Agent::running_with(in_plaintext());
    let container = agent.v0_at_work("t", "e");
    agent.handle(Event::ExecutorExited(PID.parse().unwrap()));
    agent.kills("t");
    agent.runs(executor_task("u", "e"), false);
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
    assert!(agent.messages().is_empty());
    // It still speaks for itself, and hears everything when it is back.
    agent.spoken(&container, PID, reports("e", status("t", TaskState::TaskRunning, 1)));
    assert_eq!(agent.updates().len(), 1);
    assert!(agent.messages().is_empty());
    agent.spoken(&container, PID, register("e"));
    assert_eq!(agent.told_names(), ["ExecutorRegisteredMessage", "KillTaskMessage"]);
    agent.handle(Event::ContainerUpdated { container: container.id.clone(), result: Ok(()) });
    assert_eq!(agent.told_names(), ["RunTaskMessage"]);
}

/// The attack: an executor, or whoever is in its container, speaks for another one.
#[test]
fn attack_b4_a_v0_executor_speaks_for_its_own_container_only() {
    let mut agent = Agent::running_with(in_plaintext());
    let mine = agent.v0_at_work("mine", "m");
    agent.runs(executor_task("theirs", "t"), true);
    let theirs = agent.started("t");
    agent.runs(command_task("ours"), true);
    let ours = agent.started("ours");
    let before = agent.engine.state().counters.dropped_messages;
    let attacks = [
        // From my container, in their name; before and after they have registered.
        (&mine, PID, register("t")),
        (&mine, PID, reports("t", status("theirs", TaskState::TaskFinished, 1))),
        // From their container, in my name.
        (&theirs, PID, reports("m", status("mine", TaskState::TaskFinished, 1))),
        // From my container, but from where I have not registered.
        (
            &mine,
            "executor(2)@127.0.0.2:4001",
            reports("m", status("mine", TaskState::TaskFailed, 2)),
        ),
        // Before a registration.
        (&theirs, PID, reports("t", status("theirs", TaskState::TaskFinished, 1))),
        // From a container that is not here.
        (&Container { id: "elsewhere".parse().unwrap(), ..mine.clone() }, PID, register("m")),
    ];
    let count = attacks.len() as u64;
    for (container, from, message) in attacks {
        agent.spoken(container, from, message);
        assert_eq!(agent.deeds(), Vec::<&Effect>::new());
    }
    assert_eq!(agent.engine.state().counters.dropped_messages, before + count);
    // Their task in my name: it is not one of mine.
    agent.spoken(&mine, PID, reports("m", status("theirs", TaskState::TaskFinished, 1)));
    assert_eq!(agent.deeds(), Vec::<&Effect>::new());
    let _ = ours;
}

/// The attack: a task of ours speaks the old protocol, in which no token is asked for.
#[test]
fn attack_b4_an_executor_with_a_token_is_not_heard_without_it() {
    use tls_policy::Recognize;
    let plaintext = Rules { executor_trust: Some(trust(Recognize::Plaintext)), ..rules() };
    let mut agent = Agent::running_with(plaintext);
    let (ours, _) = agent.task_at_work("t");
    agent.spoken(&ours, PID, register("t"));
    assert_eq!(agent.deeds(), Vec::<&Effect>::new());
    agent.spoken(&ours, PID, reports("t", status("t", TaskState::TaskFinished, 1)));
    assert_eq!(agent.deeds(), Vec::<&Effect>::new());
}

#[test]
fn authn_a_second_v0_registration_and_one_of_an_executor_that_ends_are_told_to_end() {
    let mut agent = Agent::running_with(in_plaintext());
    let container = agent.v0_at_work("t", "e");
    agent.spoken(&container, PID, register("e"));
    assert_eq!(agent.told_names(), ["ShutdownExecutorMessage"]);
    assert!(agent.records().is_empty());
    agent.told(MasterMessage::ShutdownFramework(Box::new(i::ShutdownFrameworkMessage {
        framework_id: framework_id(),
    })));
    agent.spoken(&container, PID, register("e"));
    assert_eq!(agent.told_names(), ["ShutdownExecutorMessage"]);
}

#[test]
fn authn_v0_executors_of_an_earlier_run_are_asked_to_come_back_and_lost_tasks_are_given_up() {
    let mut executor = left_executor("e", "c", None);
    executor.run.http = false;
    executor.run.libprocess = Some(PID.parse().unwrap());
    executor.run.tasks = ["has", "never-got"].map(|id| left_task(id, "e")).to_vec();
    let mut agent = Agent::recovered(in_plaintext(), left(vec![executor]));
    let container = Container { id: "c".parse().unwrap(), executor: "e".into(), token: None };
    // Too early: it is to try again later, as the original says.
    agent.spoken(&container, PID, register("e"));
    assert_eq!(agent.told_names(), ["ShutdownExecutorMessage"]);
    agent.handle(Event::ContainersRecovered);
    assert_eq!(agent.told_names(), ["ReconnectExecutorMessage"]);
    assert!(agent.effects.contains(&Effect::LinkExecutor(PID.parse().unwrap())));
    agent.spoken(
        &container,
        PID,
        ExecutorMessage::Reregister(Box::new(i::ReregisterExecutorMessage {
            executor_id: executor_id("e"),
            framework_id: framework_id(),
            tasks: vec![executor_task("has", "e")],
            updates: vec![update("e", status("has", TaskState::TaskRunning, 3))],
        })),
    );
    assert_eq!(
        agent.told_names(),
        ["ExecutorReregisteredMessage", "StatusUpdateAcknowledgementMessage"]
    );
    assert!(agent.effects.contains(&Effect::Redetect), "nobody is left to wait for");
    let executor = &agent.engine.state().frameworks.values().next().unwrap().executors;
    let executor = executor.values().next().unwrap();
    assert_eq!(executor.phase, ExecutorPhase::Running);
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    let sent = agent.sent();
    let [AgentMessage::Reregister(message)] = sent[..] else { panic!("{sent:?}") };
    let tasks: Vec<(&str, TaskState)> =
        message.tasks.iter().map(|t| (t.task_id.value.as_str(), t.state())).collect();
    assert_eq!(tasks, [("has", TaskState::TaskRunning), ("never-got", TaskState::TaskDropped)]);
}
