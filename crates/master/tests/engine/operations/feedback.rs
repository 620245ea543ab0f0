//! How frameworks hear of their operations, and how the master knows that they have.

use std::time::Duration;

use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::message::Outbound;
use alcazar_master::engine::state::Task;
use alcazar_master::views::{Everything, Program, Sight, View};
use wire::protocol::mesos::scheduler;
use wire::v1::OperationState;
use wire::v1::scheduler::call;

use super::*;

pub(super) fn acknowledge(
    scheduler: &Scheduler,
    agent: &AgentId,
    name: &str,
    n: u8,
) -> v1::scheduler::Call {
    let mut call = scheduler.call(call::Type::AcknowledgeOperationStatus);
    call.acknowledge_operation_status = Some(call::AcknowledgeOperationStatus {
        agent_id: Some(v1::AgentId { value: agent.to_string() }),
        resource_provider_id: None,
        uuid: uuid(n),
        operation_id: v1::OperationId { value: name.to_owned() },
    });
    call
}

fn question(
    name: &str,
    agent: Option<&str>,
    provider: Option<&str>,
) -> call::reconcile_operations::Operation {
    call::reconcile_operations::Operation {
        operation_id: v1::OperationId { value: name.to_owned() },
        agent_id: agent.map(|id| v1::AgentId { value: id.to_owned() }),
        resource_provider_id: provider.map(|id| v1::ResourceProviderId { value: id.to_owned() }),
    }
}

fn reconcile(
    scheduler: &Scheduler,
    operations: Vec<call::reconcile_operations::Operation>,
) -> v1::scheduler::Call {
    let mut call = scheduler.call(call::Type::ReconcileOperations);
    call.reconcile_operations = Some(call::ReconcileOperations { operations });
    call
}

/// Reserves a CPU under a name; it is pending then.
fn reserve_named(
    world: &mut World,
    scheduler: &Scheduler,
    agent: &AgentId,
    name: &str,
) -> internal::ApplyOperationMessage {
    let by = scheduler.info.name.clone();
    let operation = named(name, reserve(&reserved("cpus:1", &by)));
    let done = world.operate_on(scheduler, agent, vec![operation]);
    applied(&done).remove(0)
}

#[test]
fn whoever_names_an_operation_is_told_until_he_acknowledges() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");
    assert_eq!(world.count(Counter::OperationsFinished), 0);

    for _ in 0..2 {
        let done = world.finish(1, &agent, &applied, 7);
        assert_eq!(done.names(), ["UPDATE_OPERATION_STATUS"]);
        let status = statuses(&done, &scheduler).remove(0);
        assert_eq!(status.state(), OperationState::OperationFinished);
        assert_eq!(status.operation_id.unwrap().value, "r");
        assert_eq!(status.uuid.unwrap().value, uuid(7));
        assert_eq!(status.agent_id.unwrap().value, agent.as_str());
    }
    assert_eq!(world.count(Counter::OperationsFinished), 1, "it ended once");
    assert_eq!(world.count(Counter::ValidOperationStatusUpdates), 2);

    // Not this status, not this operation, not on this agent, not by this framework.
    let other = web(&mut world, "g");
    let nobody = AgentId::new("m-S9").unwrap();
    for (by, agent, name, n) in [
        (&scheduler, &agent, "r", 8),
        (&scheduler, &agent, "x", 7),
        (&scheduler, &nobody, "r", 7),
        (&other, &agent, "r", 7),
    ] {
        let done = world.call(by, acknowledge(by, agent, name, n));
        assert_eq!(done.names(), Vec::<String>::new());
        assert_eq!(world.state().operations.size(), 1);
    }
    assert_eq!(world.count(Counter::InvalidOperationStatusUpdateAcknowledgements), 4);

    let done = world.call(&scheduler, acknowledge(&scheduler, &agent, "r", 7));
    let Outbound::AcknowledgeOperationStatus(sent) = done.sent().remove(0).2 else {
        panic!("{done:?}")
    };
    assert_eq!(sent.operation_uuid, applied.operation_uuid);
    assert_eq!(sent.status_uuid.value, uuid(7));
    assert!(world.state().operations.is_empty());
    assert_eq!(world.count(Counter::ValidOperationStatusUpdateAcknowledgements), 1);
}

#[test]
fn an_agent_without_a_link_cannot_be_acknowledged_to() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");
    world.finish(1, &agent, &applied, 7);
    world.exited(&host(1));
    let done = world.call(&scheduler, acknowledge(&scheduler, &agent, "r", 7));
    assert_eq!(done.names(), Vec::<String>::new());
    assert_eq!(world.state().operations.size(), 1, "the agent says it again when it is back");
}

#[test]
fn an_update_that_nobody_repeats_is_the_end() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");
    // As agents answer about operations that they never got: without names and without UUID.
    let mut message = status_message(&agent, &applied, OperationState::OperationDropped, None);
    message.framework_id = None;
    message.status.operation_id = None;
    message.latest_status = None;
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(message));
    let status = statuses(&done, &scheduler).remove(0);
    assert_eq!(status.state(), OperationState::OperationDropped);
    assert_eq!(status.operation_id.unwrap().value, "r", "the master knows the name");
    assert!(world.state().operations.is_empty());
    assert_eq!(world.count(Counter::OperationsDropped), 1);
}

#[test]
fn launches_cannot_be_named() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let operation = named("l", launch(vec![task("t", &agent, "cpus:1")]));
    let done = world.operate_on(&scheduler, &agent, vec![operation]);
    assert_eq!(done.names(), ["UPDATE"]);
    assert_eq!(
        done.update(scheduler.subscription).message(),
        "The `id` field cannot be set on LAUNCH operations"
    );
}

#[test]
fn a_driver_that_names_an_operation_is_ended_as_by_the_original() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let from = bound("scheduler-1@10.0.1.1:9000", Some(identity("framework/f")));
    let message = internal::RegisterFrameworkMessage { framework: framework_info("f", &[]) };
    world.say(&from, Inbound::RegisterFramework(message));
    let state = world.state();
    let (id, framework) = state.frameworks.iter().next().unwrap();
    let offer_ids: Vec<_> =
        framework.offers.iter().map(|id| v1::OfferId { value: id.to_string() }).collect();
    assert_eq!(offer_ids.len(), 1);
    let mut call = scheduler::Call {
        framework_id: Some(v1::FrameworkId { value: id.to_string() }),
        accept: Some(call::Accept {
            offer_ids,
            operations: vec![named("r", reserve(&reserved("cpus:1", "f")))],
            filters: None,
        }),
        ..scheduler::Call::default()
    };
    call.set_type(call::Type::Accept);
    let done = world.say(&from, Inbound::Call(call));
    let errors: Vec<_> = done
        .sent()
        .into_iter()
        .filter_map(|(_, _, message)| match message {
            Outbound::FrameworkError(error) => Some(error.message.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        errors,
        ["The 'id' field was set in an offer operation, but operation feedback is not supported \
          for the SchedulerDriver API; please use the HTTP scheduler API for this feature"]
    );
    assert!(applied(&done).is_empty());
}

#[test]
fn operators_see_operations_and_how_many_there_were() {
    use alcazar_master::telemetry::{Driver, metrics};
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");
    let shown = |world: &World, sight: &dyn Sight| {
        let snapshot = world.state();
        let program = program();
        let view = View { snapshot: &snapshot, program: &program, sight };
        view.get_operations().operations
    };
    let all = shown(&world, &Everything);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].uuid, applied.operation_uuid);
    assert_eq!(all[0].framework_id, Some(scheduler.wire_id()));
    assert_eq!(all[0].latest_status.state(), OperationState::OperationPending);
    assert_eq!(all[0].info.reserve, applied.operation_info.reserve);
    assert!(shown(&world, &NoRole).is_empty(), "what is reserved to a role is the role's");

    let count = |world: &World, name: &str| {
        let all = metrics(&world.state(), &Driver::default(), world.now.wall, false);
        all.get(&format!("master/operations/{name}")).copied().unwrap_or(-1.0)
    };
    assert_eq!((count(&world, "pending"), count(&world, "total")), (1.0, 1.0));
    assert_eq!((count(&world, "reserve/pending"), count(&world, "create/pending")), (1.0, 0.0));
    world.finish(1, &agent, &applied, 7);
    assert_eq!((count(&world, "pending"), count(&world, "total")), (0.0, 1.0));
    world.call(&scheduler, acknowledge(&scheduler, &agent, "r", 7));
    assert!(shown(&world, &Everything).is_empty());
    assert_eq!((count(&world, "total"), count(&world, "reserve/total")), (0.0, 0.0));
    assert_eq!((count(&world, "finished"), count(&world, "reserve/finished")), (1.0, 1.0));

    // Whether the framework has named it or not, it is gone with its agent.
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    reserve_named(&mut world, &scheduler, &agent, "s");
    world.call(&scheduler, scheduler.call(call::Type::Revive));
    let nameless = reserve(&reserved("cpus:1", "f"));
    world.operate_on(&scheduler, &agent, vec![nameless]);
    assert_eq!((count(&world, "pending"), count(&world, "total")), (2.0, 2.0));
    world.operate(mark_gone(&agent));
    assert_eq!((count(&world, "pending"), count(&world, "total")), (0.0, 0.0));
    assert_eq!(count(&world, "gone_by_operator"), 2.0);
    assert_eq!(count(&world, "reserve/gone_by_operator"), 2.0);
}

pub(crate) fn program() -> Program {
    Program {
        build: endpoints::common::Build {
            version: "1.12.0".to_owned(),
            date: String::new(),
            time: 0.0,
            user: String::new(),
            git_sha: None,
            git_branch: None,
            git_tag: None,
        },
        flags: Default::default(),
        cluster: None,
        log_dir: None,
        external_log_file: None,
    }
}

/// Sees no role.
struct NoRole;

impl Sight for NoRole {
    fn flags(&self) -> bool {
        true
    }
    fn framework(&self, _: &v1::FrameworkInfo) -> bool {
        true
    }
    fn task(&self, _: &v1::FrameworkInfo, _: &Task) -> bool {
        true
    }
    fn executor(&self, _: &v1::FrameworkInfo, _: &v1::ExecutorInfo) -> bool {
        true
    }
    fn machine(&self, _: &v1::MachineId) -> bool {
        true
    }
    fn role(&self, _: &str) -> bool {
        false
    }
    fn everything(&self) -> bool {
        false
    }
}

#[test]
fn schedulers_ask_and_are_answered_as_by_the_original() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let (lost, gone) = (world.join(2, "mem:1"), world.join(3, "mem:1"));
    let scheduler = web(&mut world, "f");
    world.operate(mark_gone(&gone));
    world.exited(&host(2));
    world.wait_with(world_timeout(), &[&host(1)]);
    assert!(world.state().unreachable_agents.contains_key(&lost));
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");

    let questions = vec![
        question("r", None, None),
        question("x", Some(agent.as_str()), None),
        question("x", Some(lost.as_str()), None),
        question("x", Some(gone.as_str()), None),
        question("x", Some("m-S9"), None),
        question("x", None, None),
    ];
    let done = world.call(&scheduler, reconcile(&scheduler, questions));
    let told: Vec<_> = statuses(&done, &scheduler)
        .into_iter()
        .map(|status| (status.state(), status.message().to_owned()))
        .collect();
    let texts = [
        (OperationState::OperationPending, ""),
        (OperationState::OperationUnknown, "Reconciliation: Operation is unknown"),
        (OperationState::OperationUnreachable, "Reconciliation: Agent is unreachable"),
        (OperationState::OperationGoneByOperator, "Reconciliation: Agent marked gone by operator"),
        (OperationState::OperationUnknown, "Reconciliation: Both operation and agent are unknown"),
        (
            OperationState::OperationUnknown,
            "Reconciliation: Operation is unknown and no 'agent_id' was provided",
        ),
    ];
    assert_eq!(told, texts.map(|(state, text)| (state, text.to_owned())));

    // About all: what was said last, without asking for an acknowledgement.
    world.finish(1, &agent, &applied, 7);
    let done = world.call(&scheduler, reconcile(&scheduler, Vec::new()));
    let all = statuses(&done, &scheduler);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].state(), &all[0].uuid), (OperationState::OperationFinished, &None));

    // A provider that the agent may have known before: the agent is asked, and answers for itself.
    let done = world.call(
        &scheduler,
        reconcile(&scheduler, vec![question("x", Some(agent.as_str()), Some("p"))]),
    );
    assert_eq!(done.names(), ["ReconcileOperations"]);
    let Outbound::ReconcileOperations(asked) = done.sent().remove(0).2.clone() else {
        panic!("{done:?}")
    };
    assert_eq!(asked.framework_id, Some(scheduler.wire_id()));
    assert_eq!(asked.operations[0].operation_id.as_ref().unwrap().value, "x");
    assert_eq!(asked.operations[0].operation_uuid, None);
    let mut status = OperationStatus {
        operation_id: Some(v1::OperationId { value: "x".to_owned() }),
        ..OperationStatus::default()
    };
    status.set_state(OperationState::OperationGoneByOperator);
    let answer = internal::UpdateOperationStatusMessage {
        framework_id: Some(scheduler.wire_id()),
        slave_id: Some(v1::AgentId { value: agent.to_string() }),
        status: status.clone(),
        ..internal::UpdateOperationStatusMessage::default()
    };
    let done = world.say(&host(1), Inbound::UpdateOperationStatus(answer));
    assert_eq!(statuses(&done, &scheduler), [status]);
}

fn world_timeout() -> Duration {
    Duration::from_secs(10 * 60 + 1)
}

#[test]
fn frameworks_hear_that_an_agent_with_their_operations_has_left() {
    let mut world = World::new();
    let (lost, gone, left) =
        (world.join(1, "cpus:4"), world.join(2, "cpus:4"), world.join(3, "cpus:4"));
    let scheduler = web(&mut world, "f");
    for (agent, name) in [(&lost, "a"), (&gone, "b"), (&left, "c")] {
        reserve_named(&mut world, &scheduler, agent, name);
    }
    let told = |done: &Done| {
        let of = |status: OperationStatus| {
            (status.operation_id.unwrap().value, status.state, status.message.unwrap())
        };
        statuses(done, &scheduler).into_iter().map(of).collect::<Vec<_>>()
    };
    let done = world.operate(mark_gone(&gone));
    let state = OperationState::OperationGoneByOperator.into();
    assert_eq!(told(&done), [("b".to_owned(), state, "Agent has been marked gone".to_owned())]);
    world.exited(&host(1));
    let done = world.wait_with(world_timeout(), &[&host(3)]);
    let state = OperationState::OperationUnreachable.into();
    assert_eq!(told(&done), [("a".to_owned(), state, "Agent was marked unreachable".to_owned())]);
    let message =
        internal::UnregisterSlaveMessage { slave_id: v1::AgentId { value: left.to_string() } };
    let done = world.say(&host(3), Inbound::UnregisterAgent(message));
    assert_eq!(told(&done), [], "the original says nothing of this");
    assert!(world.state().operations.is_empty());
}

#[test]
fn operations_of_a_framework_that_ends_are_acknowledged_by_the_master() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");
    world.teardown(&scheduler.id);
    assert_eq!(world.state().operations.size(), 1, "the agent is at it");
    let done = world.finish(1, &agent, &applied, 7);
    assert_eq!(done.names(), ["AcknowledgeOperationStatus"]);
    assert!(world.state().operations.is_empty());
}

#[test]
fn an_agent_that_repeats_an_ending_that_was_acknowledged_is_acknowledged_again() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let scheduler = web(&mut world, "f");
    let applied = reserve_named(&mut world, &scheduler, &agent, "r");
    world.finish(1, &agent, &applied, 7);
    world.call(&scheduler, acknowledge(&scheduler, &agent, "r", 7));
    assert!(world.state().operations.is_empty());
    // The acknowledgement got lost on its way.
    let done = world.finish(1, &agent, &applied, 7);
    assert_eq!(done.names(), ["AcknowledgeOperationStatus"]);
    let Outbound::AcknowledgeOperationStatus(sent) = done.sent().remove(0).2 else {
        panic!("{done:?}")
    };
    assert_eq!(sent.operation_uuid, applied.operation_uuid);
    assert_eq!(sent.status_uuid.value, uuid(7));
}
