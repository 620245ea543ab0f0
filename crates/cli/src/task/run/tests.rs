use super::*;
use wire::v1::value::{Scalar, Type};
use wire::v1::{AgentId, Resource, TaskId};

fn cpus(value: f64) -> Resource {
    Resource {
        name: "cpus".into(),
        r#type: Type::Scalar as i32,
        scalar: Some(Scalar { value }),
        ..Resource::default()
    }
}

fn task(id: &str, resources: Vec<Resource>) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId { value: id.into() },
        resources,
        ..TaskInfo::default()
    }
}

fn run() -> Run {
    let mut run = Run::new(task("t", vec![cpus(1.0)]));
    run.handle(subscribed());
    run
}

fn subscribed() -> Notice {
    Notice::Subscribed { framework_id: FrameworkId { value: "f".into() }, again: false }
}

fn offers(offers: &[(&str, f64)]) -> Notice {
    let offers = offers
        .iter()
        .map(|(id, has)| Offer {
            id: OfferId { value: (*id).into() },
            agent_id: AgentId { value: format!("agent of {id}") },
            hostname: "host".into(),
            resources: vec![cpus(*has)],
            ..Offer::default()
        })
        .collect();
    Notice::Event(Box::new(Event {
        r#type: Some(event::Type::Offers as i32),
        offers: Some(event::Offers { offers }),
        ..Event::default()
    }))
}

fn update(state: TaskState, uuid: Option<&'static [u8]>) -> Notice {
    Notice::Event(Box::new(Event {
        r#type: Some(event::Type::Update as i32),
        update: Some(event::Update {
            status: TaskStatus {
                task_id: TaskId { value: "t".into() },
                state: state as i32,
                agent_id: Some(AgentId { value: "a".into() }),
                uuid: uuid.map(Into::into),
                ..TaskStatus::default()
            },
        }),
        ..Event::default()
    }))
}

/// The steps in a few words.
fn words(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .map(|s| match s {
            Step::Call(call) => call.r#type().as_str_name().to_owned(),
            Step::Done => "done".into(),
            Step::Lost { .. } => "lost".into(),
            Step::Passed { .. } => "passed".into(),
            Step::Placed(p) => format!("placed on {}", p.agent_id.value),
            Step::Subscribed(_) => "subscribed".into(),
            Step::Updated(s) => s.state().as_str_name().to_owned(),
        })
        .collect()
}

#[test]
fn the_first_offer_that_fits_is_taken_and_every_other_declined() {
    let mut run = run();
    assert_eq!(
        words(&run.handle(offers(&[("1", 0.5), ("2", 2.0), ("3", 2.0)]))),
        ["passed", "DECLINE", "ACCEPT", "SUPPRESS", "placed on agent of 2", "DECLINE"]
    );
    assert_eq!(words(&run.handle(offers(&[("4", 2.0)]))), ["DECLINE"]);
}

#[test]
fn the_launch_names_agent_and_resources_of_the_offer() {
    let mut run = run();
    let steps = run.handle(offers(&[("1", 4.0)]));
    let Some(Step::Call(call)) = steps.first() else { panic!("{steps:?}") };
    let accept = call.accept.as_ref().unwrap();
    assert_eq!(accept.offer_ids, [OfferId { value: "1".into() }]);
    let launched = &accept.operations[0].launch.as_ref().unwrap().task_infos[0];
    assert_eq!(launched.agent_id.value, "agent of 1");
    assert_eq!(launched.resources, [cpus(1.0)]);
}

#[test]
fn updates_with_a_uuid_are_acknowledged_and_repetitions_are_not_shown() {
    let mut run = run();
    run.handle(offers(&[("1", 4.0)]));
    assert_eq!(
        words(&run.handle(update(TaskState::TaskRunning, Some(b"u1")))),
        ["ACKNOWLEDGE", "TASK_RUNNING"]
    );
    assert_eq!(words(&run.handle(update(TaskState::TaskRunning, Some(b"u1")))), ["ACKNOWLEDGE"]);
    assert!(words(&run.handle(update(TaskState::TaskRunning, None))).is_empty());
    assert_eq!(
        words(&run.handle(update(TaskState::TaskFinished, Some(b"u2")))),
        ["ACKNOWLEDGE", "TASK_FINISHED", "done"]
    );
    assert_eq!(
        words(&run.handle(update(TaskState::TaskLost, Some(b"u3")))),
        ["ACKNOWLEDGE"],
        "a terminal state stays"
    );
    assert_eq!(run.status().unwrap().state(), TaskState::TaskFinished);
}

#[test]
fn after_a_reconnection_the_task_is_asked_about_and_a_kill_repeated() {
    let mut run = run();
    assert_eq!(words(&run.handle(subscribed())), ["subscribed"], "nothing launched yet");
    run.handle(offers(&[("1", 4.0)]));
    assert_eq!(words(&run.handle(subscribed())), ["subscribed", "RECONCILE"]);
    assert_eq!(words(&run.kill()), ["KILL"]);
    assert_eq!(words(&run.handle(subscribed())), ["subscribed", "RECONCILE", "KILL"]);
}

#[test]
fn a_kill_before_the_launch_ends_the_run() {
    assert_eq!(words(&run().kill()), ["done"]);
}

#[test]
fn a_refused_accept_waits_for_the_next_offer() {
    let mut run = run();
    run.handle(offers(&[("1", 4.0)]));
    run.accept_refused();
    assert_eq!(words(&run.handle(offers(&[("2", 4.0)])))[0], "ACCEPT");
}
