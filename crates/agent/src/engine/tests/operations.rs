use std::time::Duration;

use super::fixture::*;
use crate::engine::event::{Effect, Event, Record};
use crate::engine::recovered::{Recovered, RecoveredResources};
use crate::engine::rules::Rules;
use crate::engine::state::Activity;
use crate::message::{AgentMessage, MasterMessage};
use wire::internal as i;
use wire::v1::{self, OperationState};

fn with_disk() -> Rules {
    Rules {
        resources: vec![scalar("cpus", 4.0), scalar("mem", 4096.0), scalar("disk", 1000.0)],
        ..rules()
    }
}

fn agent() -> Agent {
    Agent::running_with(with_disk())
}

impl Agent {
    fn outcomes(&self) -> Vec<i::UpdateOperationStatusMessage> {
        self.sent()
            .into_iter()
            .filter_map(|message| match message {
                AgentMessage::UpdateOperationStatus(message) => Some((**message).clone()),
                _ => None,
            })
            .collect()
    }

    fn outcome(&self) -> i::UpdateOperationStatusMessage {
        let outcomes = self.outcomes();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes[0].clone()
    }

    /// What the agent has, in words.
    fn total(&self) -> String {
        self.engine.total().to_string()
    }

    fn registers_again(&mut self) -> i::ReregisterSlaveMessage {
        self.wait(Duration::from_secs(1));
        let sent = self.sent();
        let [AgentMessage::Reregister(message)] = sent[..] else { panic!("{sent:?}") };
        (**message).clone()
    }
}

const RESERVED: &str = "cpus:3; mem:4096; disk:1000; cpus(reservations: [(DYNAMIC,ops,p)]):1";

#[test]
fn an_operation_is_on_record_before_and_after_it_is_applied_and_then_reported() {
    let mut agent = agent();
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    assert_eq!(agent.total(), RESERVED);
    let records = agent.records();
    let [Record::Resources(before), Record::Resources(after), Record::Operation { .. }] =
        records[..]
    else {
        panic!("{records:?}")
    };
    assert_eq!(before.operations[0].latest_status.state(), OperationState::OperationPending);
    assert!(before.resources.is_empty());
    assert_eq!(after.operations[0].latest_status.state(), OperationState::OperationFinished);
    assert_eq!(after.resources, [reserved("cpus", 1.0)]);

    let sent = agent.effects.iter().position(|e| matches!(e, Effect::Send { .. })).unwrap();
    let written = agent.effects.iter().rposition(|e| matches!(e, Effect::Persist { .. })).unwrap();
    assert!(written < sent);
    let Effect::Persist { token, .. } = &agent.effects[written] else { unreachable!() };
    let Effect::Send { after, .. } = &agent.effects[sent] else { unreachable!() };
    assert_eq!(after.as_ref(), Some(token));

    let outcome = agent.outcome();
    assert_eq!(outcome.operation_uuid, Some(uuid_of(1)));
    assert_eq!(outcome.framework_id.as_ref().unwrap().value, FRAMEWORK);
    assert_eq!(outcome.slave_id.as_ref().unwrap().value, AGENT_ID);
    assert_eq!(outcome.latest_status.as_ref(), Some(&outcome.status));
    assert_eq!(outcome.status.operation_id.as_ref().unwrap().value, "o");
    assert_eq!(outcome.status.uuid.as_ref().unwrap().value.len(), 16);
    assert_eq!(outcome.status.agent_id.as_ref().unwrap().value, AGENT_ID);

    // The same message again is not applied again.
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    assert!(agent.records().is_empty() && agent.outcomes().is_empty());
    assert_eq!(agent.total(), RESERVED);
}

#[test]
fn an_outcome_is_sent_ever_more_slowly_until_it_is_acknowledged() {
    let mut agent = agent();
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    let outcome = agent.outcome();
    for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
        // So that no missing ping ends the connection.
        let ping = MasterMessage::Ping(Box::new(i::PingSlaveMessage { connected: true }));
        let half = Duration::from_millis(seconds * 500);
        let mut left = half * 2;
        while left > Duration::from_secs(20) {
            agent.wait(Duration::from_secs(20));
            assert!(agent.outcomes().is_empty(), "{seconds}");
            agent.told(ping.clone());
            left -= Duration::from_secs(20);
        }
        agent.wait(left);
        assert_eq!(agent.outcome(), outcome, "{seconds}");
        agent.told(ping);
    }
    // Of another status, or no status: nothing happens.
    let mut wrong = outcome.clone();
    wrong.status.uuid = Some(uuid_of(9));
    agent.told(acknowledge(&wrong));
    wrong.status.uuid = Some(v1::Uuid { value: vec![1, 2].into() });
    agent.told(acknowledge(&wrong));
    assert!(agent.records().is_empty());
    assert_eq!(agent.engine.state().operations.len(), 1);

    agent.told(acknowledge(&outcome));
    let records = agent.records();
    let [Record::Resources(state), Record::OperationOver { .. }] = records[..] else {
        panic!("{records:?}")
    };
    assert!(state.operations.is_empty());
    assert_eq!(state.resources, [reserved("cpus", 1.0)]);
    agent.wait(Duration::from_secs(60));
    assert!(agent.outcomes().is_empty());
    assert_eq!(agent.total(), RESERVED);
}

#[test]
fn a_volume_has_a_directory_as_long_as_it_is_one() {
    let mut agent = agent();
    agent.told(apply(1, reserve(vec![reserved("disk", 100.0)])));
    agent.told(apply(2, create(vec![volume("v", 40.0)])));
    let volumes = |agent: &Agent| {
        let path = |v: &crate::engine::inventory::VolumeDirectory| v.path.display().to_string();
        agent.records().into_iter().find_map(|record| match record {
            Record::Volumes { create, remove } => {
                Some((create.iter().map(path).collect(), remove.iter().map(path).collect()))
            }
            _ => None,
        })
    };
    let path = vec!["/w/volumes/roles/ops/v".to_owned()];
    assert_eq!(volumes(&agent), Some((path.clone(), Vec::new())));
    // The directory is there before anybody hears that the volume is.
    let at = |wanted: fn(&Record) -> bool| agent.records().into_iter().position(wanted).unwrap();
    assert!(
        at(|r| matches!(r, Record::Volumes { .. })) < at(|r| matches!(r, Record::Operation { .. }))
    );
    assert!(agent.total().contains("[v]:40"), "{}", agent.total());

    agent.told(apply(
        3,
        operation(|info| {
            info.set_type(v1::offer::operation::Type::GrowVolume);
            info.grow_volume = Some(v1::offer::operation::GrowVolume {
                volume: volume("v", 40.0),
                addition: reserved("disk", 10.0),
            });
        }),
    ));
    assert!(agent.total().contains("[v]:50"), "{}", agent.total());
    assert_eq!(volumes(&agent), None);
    agent.told(apply(
        4,
        operation(|info| {
            info.set_type(v1::offer::operation::Type::ShrinkVolume);
            info.shrink_volume = Some(v1::offer::operation::ShrinkVolume {
                volume: volume("v", 50.0),
                subtract: v1::value::Scalar { value: 20.0 },
            });
        }),
    ));
    assert!(agent.total().contains("[v]:30"), "{}", agent.total());
    assert_eq!(volumes(&agent), None);
    agent.told(apply(5, destroy(vec![volume("v", 30.0)])));
    assert_eq!(volumes(&agent), Some((Vec::new(), path)));
    assert!(!agent.total().contains("[v]"), "{}", agent.total());
    assert_eq!(agent.engine.total().scalar("disk").as_f64(), 1000.0);
}

/// The attack: a volume whose name leads out of the directory of volumes.
#[test]
fn a_volume_cannot_lie_outside_of_its_directory() {
    for id in ["..", "../../../etc", "a/b", ""] {
        let mut agent = agent();
        agent.told(apply(1, reserve(vec![reserved("disk", 100.0)])));
        agent.told(apply(2, create(vec![volume(id, 40.0)])));
        assert!(agent.records().iter().all(|r| !matches!(r, Record::Volumes { .. })), "{id}");
        assert!(!agent.total().contains(")])["), "{}", agent.total());
        let status = agent.engine.state().operations.values().last().unwrap();
        assert_eq!(status.latest_status.state(), OperationState::OperationError);
    }
}

#[test]
fn what_cannot_be_applied_is_an_error_and_the_master_learns_what_is_here() {
    let mut agent = agent();
    let before = agent.total();
    agent.told(apply(1, reserve(vec![reserved("cpus", 5.0)])));
    assert_eq!(agent.total(), before);
    let operation = agent.engine.state().operations.values().next().unwrap();
    assert_eq!(operation.latest_status.state(), OperationState::OperationError);
    assert_eq!(
        operation.latest_status.message.as_deref(),
        Some("cpus:4; mem:4096; disk:1000 does not contain cpus:5")
    );
    assert_eq!(agent.engine.state().activity, Activity::Disconnected);
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    assert!(agent.registers_again().checkpointed_resources.is_empty());
}

#[test]
fn what_is_not_for_an_agent_is_dropped_without_a_trace() {
    use v1::offer::operation::Type;
    let mut provided = reserved("disk", 1.0);
    provided.provider_id = Some(v1::ResourceProviderId { value: "rp".into() });
    let disk = operation(|info| {
        info.set_type(Type::CreateDisk);
        info.create_disk = Some(v1::offer::operation::CreateDisk {
            source: reserved("disk", 1.0),
            target_type: v1::resource::disk_info::source::Type::Mount.into(),
            target_profile: None,
        });
    });
    for (info, why) in [
        (reserve(vec![provided]), "resource provider 'rp' is not subscribed"),
        (disk, "CREATE_DISK is not for an agent's own resources"),
        (
            operation(|info| info.set_type(Type::Launch)),
            "LAUNCH is not for an agent's own resources",
        ),
    ] {
        let mut agent = agent();
        let before = agent.total();
        agent.told(apply(1, info));
        let outcome = agent.outcome();
        assert_eq!(outcome.status.state(), OperationState::OperationDropped);
        assert_eq!(outcome.status.message.as_deref(), Some(why));
        assert_eq!(outcome.status.uuid, None, "nobody has to acknowledge it");
        assert!(agent.records().is_empty());
        assert_eq!(agent.total(), before);
    }
    let mut agent = agent();
    let mut bad = apply(1, reserve(vec![reserved("cpus", 1.0)]));
    if let MasterMessage::ApplyOperation(message) = &mut bad {
        message.operation_uuid.value = vec![1].into();
    }
    agent.told(bad);
    assert!(agent.sent().is_empty() && agent.records().is_empty());
    // An operation whose body is another's.
    agent.told(apply(2, operation(|info| info.set_type(Type::Unreserve))));
    let operation = agent.engine.state().operations.values().next().unwrap();
    assert_eq!(operation.latest_status.message.as_deref(), Some("UNRESERVE has no body"));
}

#[test]
fn an_operation_before_the_agent_knew_of_its_registration_is_applied_when_it_knows() {
    let mut agent = Agent::fresh(with_disk());
    agent.handle(Event::ContainersRecovered);
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    assert!(agent.outcomes().is_empty() && agent.records().is_empty());
    agent.told(MasterMessage::Registered(Box::new(registered(AGENT_ID))));
    assert_eq!(agent.total(), RESERVED);
    assert_eq!(agent.outcome().status.state(), OperationState::OperationFinished);
}

#[test]
fn a_master_that_asks_hears_of_operations_that_are_unknown() {
    let mut agent = agent();
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    let ask = |framework: bool, uuid: Option<v1::Uuid>, id: Option<&str>| {
        MasterMessage::ReconcileOperations(Box::new(i::ReconcileOperationsMessage {
            framework_id: framework.then(|| v1::FrameworkId { value: FRAMEWORK.into() }),
            operations: vec![i::reconcile_operations_message::Operation {
                operation_uuid: uuid,
                operation_id: id.map(|id| v1::OperationId { value: id.into() }),
                resource_provider_id: None,
            }],
        }))
    };
    agent.told(ask(false, Some(uuid_of(1)), None));
    assert!(agent.outcomes().is_empty(), "it is on its way");
    agent.told(ask(false, Some(uuid_of(2)), None));
    let outcome = agent.outcome();
    assert_eq!(outcome.status.state(), OperationState::OperationDropped);
    assert_eq!((outcome.operation_uuid, outcome.status.uuid), (Some(uuid_of(2)), None));
    for (id, state) in
        [("o", OperationState::OperationFinished), ("x", OperationState::OperationUnknown)]
    {
        agent.told(ask(true, None, Some(id)));
        let outcome = agent.outcome();
        assert_eq!((outcome.status.state(), outcome.status.uuid), (state, None), "{id}");
    }
    // The original ends here.
    for nonsense in [ask(false, None, None), ask(true, None, None)] {
        agent.told(nonsense);
        assert!(agent.sent().is_empty());
        assert_eq!(agent.warnings().len(), 1);
    }
}

#[test]
fn a_master_is_told_what_is_remembered_and_under_way() {
    let mut agent = agent();
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    let outcome = agent.outcome();
    agent.handle(Event::MasterExited(MASTER.parse().unwrap()));
    agent.wait(Duration::from_secs(3600));
    assert!(agent.outcomes().is_empty(), "there is no master");
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    let message = agent.registers_again();
    // Whoever can hold it in the older form gets that.
    #[expect(deprecated, reason = "the older form")]
    let old = (
        message.checkpointed_resources[0].role.as_deref(),
        message.checkpointed_resources[0].reservations.len(),
    );
    assert_eq!(old, (Some("ops"), 0));
    let reregistered = i::SlaveReregisteredMessage {
        slave_id: v1::AgentId { value: AGENT_ID.into() },
        ..Default::default()
    };
    agent.told(MasterMessage::Reregistered(Box::new(reregistered)));
    let sent = agent.sent();
    let [AgentMessage::Update(update), AgentMessage::UpdateOperationStatus(_)] = sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(update.operations.as_ref().unwrap().operations[0].uuid, uuid_of(1));
    assert_eq!(update.resource_providers.as_ref().unwrap().providers.len(), 0);
    assert_eq!(update.resource_version_uuid.as_ref().unwrap().value.len(), 16);
    assert_eq!(update.update_oversubscribed_resources, Some(false));
    assert_eq!(agent.outcome(), outcome);
}

#[test]
fn resources_outlive_the_agents_id_and_operations_do_not() {
    let mut first = agent();
    first.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    let records = first.records();
    let [_, Record::Resources(left), _] = records[..] else { panic!("{records:?}") };
    assert_eq!(left.operations[0].agent_id.as_ref().unwrap().value, AGENT_ID);
    // The operations that the agent tells of when it has come back under an id.
    let under = |id: &str| {
        let id = v1::AgentId { value: id.into() };
        let info = v1::AgentInfo { id: Some(id.clone()), ..first.engine.info().clone() };
        let found = Recovered {
            agent: Some((id.value.parse().unwrap(), info)),
            resources: RecoveredResources {
                resources: left.resources.clone(),
                operations: left.operations.clone(),
                ..RecoveredResources::default()
            },
            ..Recovered::default()
        };
        let mut agent = Agent::recovered(with_disk(), found);
        assert_eq!(agent.total(), RESERVED);
        agent.handle(Event::ContainersRecovered);
        agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
        assert_eq!(agent.registers_again().checkpointed_resources.len(), 1);
        let reregistered = i::SlaveReregisteredMessage { slave_id: id, ..Default::default() };
        agent.told(MasterMessage::Reregistered(Box::new(reregistered)));
        let sent = agent.sent();
        let told = sent.iter().find_map(|message| match message {
            AgentMessage::Update(update) => update.operations.clone(),
            _ => None,
        });
        (told.unwrap_or_default().operations.len(), agent.outcomes().len())
    };
    assert_eq!(under(AGENT_ID), (1, 1));
    assert_eq!(under("M-S1"), (0, 0));
}

#[test]
fn resources_are_replaced_for_masters_that_send_no_operations() {
    let checkpoint = |resources| {
        MasterMessage::CheckpointResources(Box::new(i::CheckpointResourcesMessage { resources }))
    };
    let mut agent = agent();
    agent.told(checkpoint(vec![reserved("disk", 60.0), volume("v", 40.0)]));
    assert!(agent.total().contains("[v]:40"), "{}", agent.total());
    let records = agent.records();
    assert!(matches!(records[..], [Record::Volumes { .. }, Record::Resources(_)]), "{records:?}");
    agent.told(checkpoint(vec![reserved("disk", 60.0), volume("v", 40.0)]));
    assert!(agent.records().is_empty());

    // The original ends at each of these.
    let before = agent.total();
    let mut provided = reserved("disk", 1.0);
    provided.provider_id = Some(v1::ResourceProviderId { value: "rp".into() });
    let mut allocated = reserved("disk", 1.0);
    allocated.allocation_info = Some(v1::resource::AllocationInfo { role: Some("ops".into()) });
    for bad in [
        vec![reserved("disk", 1001.0)],
        vec![reserved("gpus", 1.0)],
        vec![scalar("cpus", 1.0)],
        vec![provided],
        vec![allocated],
        vec![scalar("cpus", f64::NAN)],
    ] {
        agent.told(checkpoint(bad));
        assert_eq!((agent.total(), agent.records().len()), (before.clone(), 0));
        assert_eq!(agent.warnings().len(), 1);
    }
    agent.told(checkpoint(Vec::new()));
    assert_eq!(agent.total(), "cpus:4; mem:4096; disk:1000");
}

#[test]
fn a_task_runs_on_reserved_resources_that_are_known() {
    let mut task = command_task("t");
    let mut resource = reserved("cpus", 1.0);
    resource.allocation_info = Some(v1::resource::AllocationInfo { role: Some("ops".into()) });
    task.resources.push(resource);
    let mut agent = agent();
    agent.runs(task.clone(), true);
    assert_eq!(
        agent.news(),
        "TASK_DROPPED REASON_RESOURCES_UNKNOWN The checkpointed resources being used by the task \
         or task group are unknown to the agent"
    );
    agent.told(apply(1, reserve(vec![reserved("cpus", 1.0)])));
    task.task_id.value = "u".into();
    agent.runs(task, true);
    assert_eq!(agent.launch().executor_id.as_str(), "u");
}

#[test]
fn resources_that_do_not_go_with_the_configuration_end_the_agent() {
    let resources =
        RecoveredResources { resources: vec![reserved("cpus", 9.0)], ..Default::default() };
    let agent = Agent::recovered(rules(), Recovered { resources, ..Recovered::default() });
    let [Effect::Exit(exit)] = agent.deeds()[..] else { panic!("{:?}", agent.effects) };
    let text = exit.to_string();
    assert!(
        text.contains("does not contain cpus:9") && text.contains("/w/meta/resources"),
        "{text}"
    );
}

#[test]
fn what_an_agent_of_the_other_kind_was_about_to_do_is_done() {
    let found = Recovered {
        resources: RecoveredResources {
            resources: vec![reserved("disk", 100.0)],
            target: Some(vec![reserved("disk", 60.0), volume("v", 40.0)]),
            ..RecoveredResources::default()
        },
        ..Recovered::default()
    };
    let agent = Agent::recovered(with_disk(), found);
    assert!(agent.total().contains("[v]:40"), "{}", agent.total());
    let records = agent.records();
    assert!(matches!(records[..], [Record::Volumes { .. }, Record::Resources(_)]), "{records:?}");
}

#[test]
fn the_recorded_operations_are_answered_in_the_same_bytes() {
    let Some(story) = testkit::captures::story("06-dynamic-reservation") else {
        return testkit::skipped("there is no recorded traffic");
    };
    let said = |end: &str| -> Vec<Vec<u8>> {
        story
            .iter()
            .filter(|r| r.kind == testkit::captures::Kind::Message)
            .filter(|r| r.actor_and_name().1.ends_with(end))
            .map(|r| r.http().body)
            .collect()
    };
    let body = |name: &str, bytes: &[u8]| MasterMessage::decode(name, bytes).unwrap();
    let (first, _) = wire::check::decode::<i::RegisterSlaveMessage>(
        &said("RegisterSlaveMessage")[0],
        &wire::Limits::default(),
    )
    .unwrap();
    let resources = crate::resource_format::upgrade(first.slave).resources;
    let mut agent = Agent::fresh(Rules { resources, ..rules() });
    let configured = agent.engine.total().clone();
    agent.handle(Event::ContainersRecovered);
    agent.handle(Event::MasterDetected(Some(MASTER.parse().unwrap())));
    agent.wait(Duration::from_secs(1));
    let name = "mesos.internal.SlaveRegisteredMessage";
    agent.told(body(name, &said("SlaveRegisteredMessage")[0]));

    let outcomes = said("UpdateOperationStatusMessage");
    let operations = said("ApplyOperationMessage");
    assert_eq!((operations.len(), outcomes.len()), (2, 2));
    for (operation, recorded) in operations.iter().zip(&outcomes) {
        agent.told(body("mesos.internal.ApplyOperationMessage", operation));
        let mut ours = agent.outcome();
        let acknowledgement = acknowledge(&ours);
        let (theirs, _) = wire::check::decode::<i::UpdateOperationStatusMessage>(
            recorded,
            &wire::Limits::default(),
        )
        .unwrap();
        ours.status.uuid.clone_from(&theirs.status.uuid);
        if let (Some(ours), Some(theirs)) = (&mut ours.latest_status, &theirs.latest_status) {
            ours.uuid.clone_from(&theirs.uuid);
        }
        assert_eq!(ours, theirs);
        assert_eq!(wire::encode(&ours), *recorded);
        agent.told(acknowledgement);
    }
    // What the first reserved, the second gave back.
    assert_eq!(*agent.engine.total(), configured);
}
