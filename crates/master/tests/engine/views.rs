//! What operators are shown of a cluster that the recorded stories do not have.

use std::collections::BTreeMap;

use alcazar_master::engine::message::Inbound;
use alcazar_master::telemetry::{Driver, metrics};
use alcazar_master::views::{Everything, TaskQuery, View};
use model::id::AgentId;
use serde_json::{Value as Json, json};
use wire::v1::TaskState;
use wire::v1::framework_info::capability::Type as Capability;
use wire::v1::scheduler::call;
use wire::{internal, v1};

use crate::operations::feedback::program;
use crate::operations::task_with;
use crate::operator_resources::{reserve, reserved};
use crate::operator_weights::weights;
use crate::world::*;

fn seen<T>(world: &World, show: impl FnOnce(&View<'_>) -> T) -> T {
    let (snapshot, program) = (world.state(), program());
    show(&View { snapshot: &snapshot, program: &program, sight: &Everything })
}

fn json_of(bytes: impl AsRef<[u8]>) -> Json {
    serde_json::from_slice(bytes.as_ref()).unwrap()
}

fn gauges(world: &World) -> BTreeMap<String, f64> {
    metrics(&world.state(), &Driver::default(), world.now.wall, false)
}

/// A framework of a role that knows all there is to know of resources.
fn of_role(name: &str, role: &str) -> v1::FrameworkInfo {
    let capabilities = [
        Capability::GpuResources,
        Capability::MultiRole,
        Capability::ReservationRefinement,
        Capability::RevocableResources,
    ];
    let roles = vec![role.to_owned()];
    v1::FrameworkInfo { roles, ..framework_info(name, &capabilities) }
}

fn plain(text: &str) -> Vec<v1::Resource> {
    task("any", &AgentId::new("a").unwrap(), text).resources
}

fn revocable(text: &str) -> Vec<v1::Resource> {
    let mut all = plain(text);
    all.iter_mut().for_each(|resource| resource.revocable = Some(Default::default()));
    all
}

#[test]
fn what_can_be_taken_back_is_not_consumed_and_a_reservation_is_consumed_by_whose_it_is() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let message = internal::UpdateSlaveMessage {
        slave_id: v1::AgentId { value: agent.to_string() },
        oversubscribed_resources: revocable("cpus:2"),
        update_oversubscribed_resources: Some(true),
        ..Default::default()
    };
    world.say(&host(1), Inbound::UpdateAgent(message));
    let done = world.operate(reserve(&agent, reserved("cpus:1", "a")));
    assert_eq!(done.refusal(), None);
    let (scheduler, _) = world.subscribe("f", of_role("f", "a/b"));
    let offers = world.offers(&scheduler);
    let tasks = [
        ("reserved", reserved("cpus:1", "a")),
        ("revocable", revocable("cpus:2")),
        ("plain", plain("cpus:0.5")),
    ];
    let tasks = tasks.map(|(name, resources)| task_with(name, &agent, resources));
    let done = world.accept(&scheduler, offers, tasks.to_vec());
    assert_eq!(done.names(), ["RunTask", "RunTask", "RunTask"]);

    let roles = json_of(seen(&world, |view| view.roles()));
    let of = |role: &str| {
        let all = roles["roles"].as_array().unwrap();
        all.iter().find(|shown| shown["name"] == role).unwrap().clone()
    };
    for role in ["a", "a/b"] {
        assert_eq!(of(role)["allocated"], json!({"cpus": 3.5}), "{role}");
    }
    assert_eq!(of("a")["quota"]["consumed"], json!({"cpus": 1.5}));
    assert_eq!(of("a/b")["quota"]["consumed"], json!({"cpus": 0.5}));
    let gauges = gauges(&world);
    let consumed =
        |role: &str| gauges[&format!("allocator/mesos/quota/roles/{role}/resources/cpus/consumed")];
    assert_eq!((consumed("a"), consumed("a/b"), consumed("")), (1.5, 0.5, 1.5));
}

#[test]
fn shares_are_those_by_which_roles_are_sorted() {
    let mut world = World::with(|config| {
        config.fair_sharing_excluded_resource_names = ["gpus".to_owned()].into();
    });
    let agent = world.join(1, "cpus:4;mem:100;gpus:1");
    assert_eq!(world.operate(weights(&[("heavy", 2.0)])).refusal(), None);
    let (scheduler, _) = world.subscribe("f", of_role("f", "heavy"));
    world.try_subscribe(&caller("g"), of_role("g", "idle"), &["idle"]);
    let of = |world: &World, role: &str| {
        let name = format!("allocator/mesos/roles/{role}/shares/dominant");
        gauges(world).get(&name).copied()
    };
    let offers = world.offers(&scheduler);
    let needs = plain("cpus:1;mem:50;gpus:1");
    let done = world.accept(&scheduler, offers, vec![task_with("t", &agent, needs)]);
    assert_eq!(done.names(), ["RunTask"]);
    assert_eq!(of(&world, "heavy"), Some(0.25), "half of all memory, of twice the weight");
    assert_eq!(of(&world, "idle"), Some(0.0));
    assert_eq!(of(&world, "nobodys"), None);
}

#[test]
fn offers_are_shown_whole() {
    let mut world = World::new();
    let mut message = register_message(1, "cpus:4");
    let attribute = v1::Attribute {
        name: "rack".to_owned(),
        r#type: v1::value::Type::Text.into(),
        text: Some(v1::value::Text { value: "r1".to_owned() }),
        ..v1::Attribute::default()
    };
    message.slave.attributes = vec![attribute];
    let done = world.say(&host(1), Inbound::RegisterAgent(message));
    assert!(done.names().contains(&"SlaveRegistered".to_owned()));
    let (scheduler, done) = world.subscribe("f", of_role("f", "web"));
    let sent: Vec<_> = done
        .events(scheduler.subscription)
        .into_iter()
        .filter_map(|event| event.offers)
        .flat_map(|offers| offers.offers)
        .collect();
    assert_eq!((sent.len(), sent[0].attributes.len()), (1, 1));
    let shown = seen(&world, |view| view.get_frameworks());
    let shown = &shown.frameworks[0].offers;
    // Resources are shown in the form of the endpoints.
    let alike = |offer: &v1::Offer| v1::Offer { resources: Vec::new(), ..offer.clone() };
    assert_eq!(shown.iter().map(alike).collect::<Vec<_>>(), [alike(&sent[0])]);
    assert_eq!(shown[0].resources.len(), 1);
}

#[test]
fn a_summary_is_of_frameworks_that_have_not_ended() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let over = world.scheduler("over");
    world.launch(&over, &agent, "a");
    let goes_on = world.scheduler("goes-on");
    world.call(&over, over.call(call::Type::Suppress));
    world.launch(&goes_on, &agent, "b");
    let summary = |world: &World| json_of(seen(world, |view| view.state_summary().to_bytes()));
    assert_eq!(summary(&world)["slaves"][0]["framework_ids"].as_array().unwrap().len(), 2);
    world.teardown(&over.id);
    let summary = summary(&world);
    let shown = &summary["slaves"][0];
    assert_eq!(shown["framework_ids"], json!([goes_on.id.as_str()]));
    assert_eq!((&shown["TASK_KILLED"], &shown["TASK_STAGING"]), (&json!(0), &json!(1)));
    assert_eq!(summary["frameworks"].as_array().unwrap().len(), 1);
    assert_eq!(summary["frameworks"][0]["slave_ids"], json!([agent.as_str()]));
}

/// The names of the tasks of a page of `/tasks`.
fn page(world: &World, query: TaskQuery) -> Vec<String> {
    let page = json_of(seen(world, |view| view.tasks(&query).to_bytes()));
    let tasks = page["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tasks_come_in_pages_the_newest_first() {
    let mut world = World::new();
    let agents = [world.join(1, "cpus:9"), world.join(2, "cpus:9")];
    let names = ["f", "g"];
    let mut schedulers = Vec::new();
    for name in names {
        let scheduler = world.aware_scheduler(name);
        world.call(&scheduler, scheduler.call(call::Type::Suppress));
        schedulers.push(scheduler);
    }
    let [f, g] = [&schedulers[0], &schedulers[1]];
    let mut begin = |of: &Scheduler, host_of: u8, name: &str, begun: Option<f64>| {
        let agent = &agents[usize::from(host_of) - 1];
        world.launch(of, agent, name);
        world.call(of, of.call(call::Type::Suppress));
        if let Some(begun) = begun {
            let states = (TaskState::TaskRunning, TaskState::TaskRunning);
            let mut message = update_message(&host(host_of), of, agent, name, states, 1);
            message.update.status.timestamp = Some(begun);
            message.update.timestamp = begun;
            world.say(&host(host_of), Inbound::StatusUpdate(message));
        }
    };
    begin(f, 1, "third", Some(30.0));
    begin(g, 1, "first", Some(10.0));
    begin(f, 2, "lost", Some(40.0));
    begin(g, 1, "over", Some(20.0));
    begin(f, 1, "unheard", None);
    world.update(&host(1), g, &agents[0], "over", TaskState::TaskFinished, 2);
    world.acknowledge(g, &agents[0], "over", 2);
    world.wait_with(80 * SECOND, &[&host(1)]);
    let state = world.state();
    assert_eq!(state.frameworks[&f.id].unreachable_tasks.len(), 1);
    assert_eq!(state.frameworks[&g.id].completed_tasks.len(), 1);

    let all = ["lost", "third", "over", "first", "unheard"];
    assert_eq!(page(&world, TaskQuery::default()), all);
    let ascending = TaskQuery { ascending: true, ..TaskQuery::default() };
    assert_eq!(page(&world, ascending), ["unheard", "first", "over", "third", "lost"]);
    for (offset, limit) in [(0, 2), (1, 3), (3, 100), (5, 1), (99, 1), (0, 0)] {
        let wanted: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
        assert_eq!(page(&world, TaskQuery { offset, limit, ..TaskQuery::default() }), wanted);
    }
    let of = |id: &str| TaskQuery { framework_id: Some(id.to_owned()), ..TaskQuery::default() };
    assert_eq!(page(&world, of(f.id.as_str())), ["lost", "third", "unheard"]);
    let second = TaskQuery { offset: 1, limit: 1, ..of(g.id.as_str()) };
    assert_eq!(page(&world, second), ["first"]);
    let one = TaskQuery { task_id: Some("over".to_owned()), ..TaskQuery::default() };
    assert_eq!(page(&world, one), ["over"]);
}
