//! Who may be an agent, and whose an agent id is (`authentication.md` §7.2, A5, A6).

use alcazar_master::engine::config::Config;
use alcazar_master::engine::counters::Counter;
use alcazar_master::engine::effect::Effect;
use alcazar_master::engine::message::{Inbound, Outbound};
use authn::audit::Decision;
use libprocess::sender::{BoundPid, SessionId};
use model::id::AgentId;
use model::identity::Kind;
use model::principal::Kinds;
use wire::internal;
use wire::v1;

use crate::world::*;

const AGENT: Kinds = Kinds::only(Kind::Agent);

fn strict(config: &mut Config) {
    config.authenticate_agents = true;
}

fn upid(n: u8) -> String {
    format!("slave(1)@10.0.0.{n}:5051")
}

/// Agent number `n` as `principal`.
fn agent(n: u8, principal: &str, session: u64) -> BoundPid {
    proved(&upid(n), principal, AGENT, session)
}

fn register(world: &mut World, from: &BoundPid, n: u8) -> Done {
    world.say(from, Inbound::RegisterAgent(register_message(n, "cpus:4")))
}

fn registered(done: &Done) -> AgentId {
    let sent = done.sent();
    let mut ids = sent.iter().filter_map(|(_, _, message)| match message {
        Outbound::AgentRegistered(message) => Some(message.slave_id.value.clone()),
        _ => None,
    });
    AgentId::new(&ids.next().expect("a registration")).unwrap()
}

fn decisions(done: &Done) -> Vec<Decision> {
    let audited = |effect: &Effect| match effect {
        Effect::Audit(decision) => Some(decision.clone()),
        _ => None,
    };
    done.0.iter().filter_map(audited).collect()
}

#[test]
fn authn_an_agent_that_has_proved_nothing_hears_nothing_where_proof_is_asked() {
    let mut world = World::with(strict);
    let done = register(&mut world, &bound(&upid(1), None), 1);
    // No answer, no shutdown: it tries again.
    done.is_refused();
    let line =
        "Refusing registration of agent at slave(1)@10.0.0.1:5051 because it is not authenticated";
    assert!(done.logs().contains(&line), "{:?}", done.logs());
    assert_eq!(decisions(&done)[0].reason, "it is not authenticated");
    assert!(!decisions(&done)[0].granted);
    assert_eq!(world.state().agents.size(), 0);

    let id = registered(&register(&mut world, &agent(1, "p", 1), 1));
    let message = world.reregister_message(1, &id);
    world.exited(&agent(1, "p", 1));
    world.say(&bound(&upid(1), None), Inbound::ReregisterAgent(message.clone())).is_refused();
    let done = world.say(&agent(1, "p", 2), Inbound::ReregisterAgent(message));
    assert!(done.names().contains(&"SlaveReregistered".to_owned()), "{:?}", done.names());
    let decisions = decisions(&done);
    assert!(decisions[0].granted);
    assert_eq!(decisions[0].principal.as_deref(), Some("p"));
    assert_eq!(decisions[0].method, "CRAM-MD5");
}

#[test]
fn authn_where_proof_is_not_asked_it_counts_all_the_same() {
    let mut world = World::new();
    let id = registered(&register(&mut world, &bound(&upid(1), None), 1));
    assert!(world.registry.agents[&id].owner.is_nobody());
    let id = registered(&register(&mut world, &agent(2, "p", 1), 2));
    assert_eq!(world.registry.agents[&id].owner.principal.as_deref(), Some("p"));
}

#[test]
fn authn_an_identity_in_a_certificate_is_proof_enough() {
    let mut world = World::with(strict);
    registered(&register(&mut world, &host(1), 1));
}

#[test]
fn attack_a5_an_agent_id_belongs_to_the_principal_that_registered_it() {
    let mut world = World::with(strict);
    let id = registered(&register(&mut world, &agent(1, "owner", 1), 1));
    let message = world.reregister_message(1, &id);
    let claim = |world: &mut World, from: &BoundPid| {
        let counted = world.count(Counter::AgentIdsClaimedByOthers);
        let done = world.say(from, Inbound::ReregisterAgent(message.clone()));
        done.is_refused();
        assert_eq!(world.count(Counter::AgentIdsClaimedByOthers), counted + 1);
        let decision = decisions(&done).remove(0);
        assert!(!decision.granted);
        assert_eq!(decision.principal.as_deref(), Some("thief"));
    };
    let thief = agent(1, "thief", 2);
    // While it is registered, while it is away, after it was given up, after it was marked gone,
    // and from the thief's own address.
    claim(&mut world, &thief);
    claim(&mut world, &agent(9, "thief", 3));
    world.exited(&agent(1, "owner", 1));
    claim(&mut world, &thief);
    world.wait(20 * MINUTE);
    assert!(world.state().unreachable_agents.contains_key(&id));
    claim(&mut world, &thief);
    world.operate(mark_gone(&id));
    claim(&mut world, &thief);
    // The owner learns that it is gone.
    let done = world.say(&agent(1, "owner", 4), Inbound::ReregisterAgent(message.clone()));
    assert_eq!(done.names(), ["Shutdown"]);
}

#[test]
fn attack_a5_the_record_survives_a_change_of_masters() {
    let mut world = World::with(strict);
    let id = registered(&register(&mut world, &agent(1, "owner", 1), 1));
    let message = world.reregister_message(1, &id);
    world.fail_over();
    let thief = agent(1, "thief", 2);
    world.say(&thief, Inbound::ReregisterAgent(message.clone())).is_refused();
    let done = world.say(&agent(1, "owner", 3), Inbound::ReregisterAgent(message));
    assert!(done.names().contains(&"SlaveReregistered".to_owned()));
}

#[test]
fn authn_an_agent_of_nobody_belongs_to_whom_it_proves_to_be_next() {
    let mut world = World::new();
    let id = registered(&register(&mut world, &bound(&upid(1), None), 1));
    let message = world.reregister_message(1, &id);
    world.say(&agent(1, "first", 1), Inbound::ReregisterAgent(message.clone()));
    assert_eq!(world.registry.agents[&id].owner.principal.as_deref(), Some("first"));
    world.say(&bound(&upid(1), None), Inbound::ReregisterAgent(message.clone())).is_refused();
    world.say(&agent(1, "second", 2), Inbound::ReregisterAgent(message)).is_refused();
}

#[test]
fn attack_a6_credentials_of_frameworks_and_operators_register_no_agent() {
    for kind in Kind::ALL {
        let mut world = World::with(strict);
        let from = proved(&upid(1), "p", Kinds::only(kind), 1);
        let done = register(&mut world, &from, 1);
        assert_eq!(world.state().agents.size(), usize::from(kind == Kind::Agent), "{kind}");
        if kind != Kind::Agent {
            done.is_refused();
        }
    }
    let mut world = World::with(strict);
    let any = proved(&upid(1), "p", Kinds::ANY, 1);
    registered(&register(&mut world, &any, 1));
}

#[test]
fn attack_b1_who_only_claims_the_address_of_an_agent_does_not_speak_for_it() {
    let mut world = World::with(strict);
    let id = registered(&register(&mut world, &agent(1, "owner", 1), 1));
    let slave_id = v1::AgentId { value: id.to_string() };
    let leaves = || {
        let slave_id = slave_id.clone();
        Inbound::UnregisterAgent(internal::UnregisterSlaveMessage { slave_id })
    };
    for from in [bound(&upid(1), None), agent(1, "other", 2)] {
        world.say(&from, leaves()).is_refused();
        let update =
            internal::UpdateSlaveMessage { slave_id: slave_id.clone(), ..Default::default() };
        world.say(&from, Inbound::UpdateAgent(update)).is_refused();
        let pong = Inbound::Pong(internal::PongSlaveMessage {});
        world.say_to("slave-observer(1)", &from, pong).is_refused();
        // Nor does it get its answers, nor its place.
        register(&mut world, &from, 1).is_refused();
    }
    assert_eq!(world.state().agents.size(), 1);
    // A new session of the same principal is the same agent.
    world.say(&agent(1, "owner", 3), leaves());
    assert_eq!(world.state().agents.size(), 0);
}

#[test]
fn attack_a5_a_stranger_at_the_address_of_an_agent_that_is_away_does_not_end_it_for_good() {
    let mut world = World::with(strict);
    let id = registered(&register(&mut world, &agent(1, "owner", 1), 1));
    let message = world.reregister_message(1, &id);
    world.exited(&agent(1, "owner", 1));
    registered(&register(&mut world, &agent(1, "stranger", 2), 1));
    assert!(world.state().unreachable_agents.contains_key(&id));
    // It comes back elsewhere, under its id.
    let done = world.say(&agent(2, "owner", 3), Inbound::ReregisterAgent(message));
    assert!(done.names().contains(&"SlaveReregistered".to_owned()));
}

#[test]
fn authn_the_session_of_an_agent_ends_with_its_link_and_with_the_agent() {
    let ended = |done: &Done| -> Vec<SessionId> {
        let ended = |effect: &Effect| match effect {
            Effect::EndSession { session, .. } => Some(*session),
            _ => None,
        };
        done.0.iter().filter_map(ended).collect()
    };
    let mut world = World::with(strict);
    let id = registered(&register(&mut world, &agent(1, "p", 1), 1));
    let message = world.reregister_message(1, &id);
    // It authenticated again before the end of the old link was noticed: that ends nothing new.
    let done = world.say(&agent(1, "p", 2), Inbound::ReregisterAgent(message));
    assert_eq!(ended(&done), []);
    assert_eq!(ended(&world.exited(&agent(1, "p", 2))), [SessionId(2)]);
    assert_eq!(ended(&world.wait(20 * MINUTE)), [], "it has ended already");

    // The same when it only asked again for its registration.
    registered(&register(&mut world, &agent(3, "p", 4), 3));
    registered(&register(&mut world, &agent(3, "p", 5), 3));
    assert_eq!(ended(&world.exited(&agent(3, "p", 5))), [SessionId(5)]);

    registered(&register(&mut world, &agent(2, "p", 3), 2));
    let at = |a: &&std::sync::Arc<alcazar_master::engine::state::Agent>| a.connected;
    let id = world.state().agents.values().find(at).unwrap().id.clone();
    assert_eq!(ended(&world.operate(mark_gone(&id))), [SessionId(3)]);
}
