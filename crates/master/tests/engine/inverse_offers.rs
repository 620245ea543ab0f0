//! Frameworks are asked whether they can leave an agent before its maintenance.

use alcazar_master::engine::event::OperatorCommand;
use alcazar_master::engine::message::{Inbound, Outbound};
use wire::v1::allocator::inverse_offer_status::Status;
use wire::v1::scheduler::{call, event};
use wire::{internal, v1};

use crate::operator_maintenance::{machine_of, schedule, window};
use crate::world::*;

const START: i64 = 1_000_000;

fn planned(world: &World, n: u8, start: i64) -> OperatorCommand {
    schedule(world, vec![window(vec![machine_of(n)], start, Some(5))])
}

fn asked(done: &Done, scheduler: &Scheduler) -> Vec<v1::InverseOffer> {
    let events = done.events(scheduler.subscription).into_iter();
    events.filter_map(|event| event.inverse_offers).flat_map(|o| o.inverse_offers).collect()
}

fn rescinded(done: &Done, scheduler: &Scheduler) -> Vec<v1::OfferId> {
    let events = done.events(scheduler.subscription).into_iter();
    events.filter_map(|event| event.rescind_inverse_offer).map(|r| r.inverse_offer_id).collect()
}

fn answer(
    world: &mut World,
    scheduler: &Scheduler,
    id: &v1::OfferId,
    accept: bool,
    seconds: f64,
) -> Done {
    let filters = Some(v1::Filters { refuse_seconds: Some(seconds) });
    let inverse_offer_ids = vec![id.clone()];
    let call = match accept {
        true => {
            let mut call = scheduler.call(call::Type::AcceptInverseOffers);
            call.accept_inverse_offers =
                Some(call::AcceptInverseOffers { inverse_offer_ids, filters });
            call
        }
        false => {
            let mut call = scheduler.call(call::Type::DeclineInverseOffers);
            call.decline_inverse_offers =
                Some(call::DeclineInverseOffers { inverse_offer_ids, filters });
            call
        }
    };
    world.call(scheduler, call)
}

#[test]
fn who_has_something_there_is_asked_and_the_answer_is_kept_until_the_plan_changes() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let other = world.join(2, "cpus:4");
    let scheduler = world.scheduler("f");
    let idle = world.scheduler("idle");
    world.call(&idle, idle.call(call::Type::Suppress));
    world.launch(&scheduler, &agent, "t");
    world.launch(&scheduler, &other, "u");
    let done = world.operate(planned(&world, 1, START));
    let questions = asked(&done, &scheduler);
    assert_eq!(questions.len(), 1, "{:?}", done.names());
    let question = &questions[0];
    assert_eq!(question.agent_id.as_ref().unwrap().value, agent.as_str());
    assert_eq!(question.framework_id, scheduler.wire_id());
    assert_eq!(question.unavailability.start.nanoseconds, START);
    assert!(question.resources.is_empty());
    let url = question.url.as_ref().unwrap();
    assert_eq!((url.scheme.as_str(), url.path()), ("http", "/slave(1)"));
    assert!(asked(&done, &idle).is_empty(), "it has nothing there");
    assert_eq!(world.state().inverse_offers.size(), 1);

    // Somebody else's answer is none.
    answer(&mut world, &idle, &question.id, true, 0.0);
    assert!(world.state().agents[&agent].inverse_answers.is_empty());
    answer(&mut world, &scheduler, &question.id, true, 30.0);
    let state = world.state();
    let kept = state.agents[&agent].inverse_answers.get(&scheduler.id).unwrap();
    assert_eq!(kept.status(), Status::Accept);
    assert!(state.inverse_offers.is_empty());
    // It is asked again when the refusal is over, and may think otherwise by then.
    let done = world.wait_with(29 * SECOND, &[&host(1), &host(2)]);
    assert!(asked(&done, &scheduler).is_empty());
    let done = world.wait_with(2 * SECOND, &[&host(1), &host(2)]);
    let again = asked(&done, &scheduler);
    assert_eq!(again.len(), 1);
    answer(&mut world, &scheduler, &again[0].id, false, 3600.0);
    let kept = world.state().agents[&agent].inverse_answers.get(&scheduler.id).unwrap().status();
    assert_eq!(kept, Status::Decline);
    // Another plan, another question.
    let done = world.operate(planned(&world, 1, 2 * START));
    assert!(world.state().agents[&agent].inverse_answers.is_empty());
    let questions = asked(&done, &scheduler);
    assert_eq!(questions[0].unavailability.start.nanoseconds, 2 * START);
    // No plan, no question.
    let done = world.operate(schedule(&world, Vec::new()));
    assert_eq!(rescinded(&done, &scheduler), [questions[0].id.clone()]);
    assert!(world.state().inverse_offers.is_empty());
}

#[test]
fn normal_offers_say_when_their_agent_will_be_out_of_service() {
    let mut world = World::new();
    world.join(1, "cpus:4");
    let scheduler = world.scheduler("f");
    let done = world.operate(planned(&world, 1, START));
    let events = done.events(scheduler.subscription);
    let kinds: Vec<_> = events.iter().map(|event| event.r#type()).collect();
    // What was offered without mention of it is taken back; who has an offer is not asked first.
    assert_eq!(kinds[0], event::Type::Rescind);
    let offers = events.iter().find_map(|event| event.offers.clone()).unwrap().offers;
    assert_eq!(offers[0].unavailability.unwrap().start.nanoseconds, START);
}

#[test]
fn questions_are_taken_back_in_time_and_with_whom_they_are_about() {
    let mut world = World::with(|config| config.offer_timeout = Some(30 * SECOND));
    let agent = world.join(1, "cpus:4");
    let mut info = framework_info("f", &[]);
    info.failover_timeout = Some(1e5);
    let (scheduler, _) = world.subscribe("f", info);
    world.launch(&scheduler, &agent, "t");
    let done = world.operate(planned(&world, 1, START));
    let first = asked(&done, &scheduler)[0].id.clone();
    let done = world.wait_with(30 * SECOND, &[&host(1)]);
    assert!(rescinded(&done, &scheduler).contains(&first));
    let again = asked(&done, &scheduler);
    assert_eq!(again.len(), 1, "it is asked again");
    // The scheduler goes: nobody is left to be told.
    let unsubscribed =
        alcazar_master::engine::event::Event::Unsubscribed { subscription: scheduler.subscription };
    let done = world.handle(unsubscribed);
    assert!(rescinded(&done, &scheduler).is_empty());
    assert!(world.state().inverse_offers.is_empty());
    // It comes back and is asked; then the agent goes.
    let info = v1::FrameworkInfo { id: Some(scheduler.wire_id()), ..scheduler.info.clone() };
    let (scheduler, done) = world.subscribe("f", info);
    assert_eq!(asked(&done, &scheduler).len(), 1, "{:?}", done.names());
    let done = world.exited(&host(1));
    assert_eq!(rescinded(&done, &scheduler).len(), 1);
    assert!(world.state().inverse_offers.is_empty());
}

#[test]
fn drivers_are_asked_in_their_own_words() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4");
    let driver = bound("scheduler-1@10.0.1.1:4000", Some(identity("framework/d")));
    let message = internal::RegisterFrameworkMessage { framework: framework_info("d", &[]) };
    let done = world.say(&driver, Inbound::RegisterFramework(message));
    let offer = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::ResourceOffers(message) => Some(message.offers[0].clone()),
        _ => None,
    });
    let offer = offer.unwrap();
    let message = internal::LaunchTasksMessage {
        framework_id: offer.framework_id.clone(),
        tasks: vec![task("t", &agent, "cpus:1")],
        offer_ids: vec![offer.id.clone()],
        ..Default::default()
    };
    world.say(&driver, Inbound::LaunchTasks(message));
    let done = world.operate(planned(&world, 1, START));
    let question = done.sent().into_iter().find_map(|(_, _, message)| match message {
        Outbound::InverseOffers(message) => Some(message.clone()),
        _ => None,
    });
    let question = question.unwrap();
    assert_eq!(question.pids, ["slave(1)@10.0.0.1:5051"]);
    let id = &question.inverse_offers[0].id;
    let mut call = v1::scheduler::Call {
        framework_id: Some(offer.framework_id),
        ..v1::scheduler::Call::default()
    };
    call.set_type(call::Type::DeclineInverseOffers);
    let inverse_offer_ids = vec![id.clone()];
    call.decline_inverse_offers =
        Some(call::DeclineInverseOffers { inverse_offer_ids, filters: None });
    let bytes = wire::encode(&call);
    let call = Inbound::decode("mesos.scheduler.Call", bytes.into()).unwrap();
    world.say(&driver, call);
    let answers = world.state().agents[&agent].inverse_answers.clone();
    assert_eq!(answers.values().next().unwrap().status(), Status::Decline);
    // A framework that ends takes its answers with it.
    let framework_id = v1::FrameworkId { value: answers.keys().next().unwrap().to_string() };
    let message = internal::UnregisterFrameworkMessage { framework_id };
    world.say(&driver, Inbound::UnregisterFramework(message));
    assert!(world.state().agents[&agent].inverse_answers.is_empty());
}
