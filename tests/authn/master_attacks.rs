//! A3 to A6 and B1 of the ledger of gaps, played against a running master.

use libprocess::upid::Upid;
use wire::protocol::mesos::scheduler as v0;
use wire::v1::scheduler::call::Type;
use wire::{internal, v1};

use crate::master_peers::{Client, Strict, claim};

const A: (&str, &str) = ("agent-a", "secret-a");
const B: (&str, &str) = ("agent-b", "secret-b");
const FRAMEWORK: (&str, &str) = ("framework", "secret-f");

fn subscribe() -> v0::Call {
    let framework_info = v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: "f".to_owned(),
        ..v1::FrameworkInfo::default()
    };
    let subscribe = v0::call::Subscribe { framework_info, ..Default::default() };
    let mut call = v0::Call { subscribe: Some(subscribe), ..v0::Call::default() };
    call.set_type(Type::Subscribe);
    call
}

/// Something that only the agent may say, and that the master acts on where everybody can see it.
fn leave(id: &v1::AgentId) -> internal::UnregisterSlaveMessage {
    internal::UnregisterSlaveMessage { slave_id: id.clone() }
}

const AGENTS: &str = "master/slaves_active";

#[test]
fn attack_a3_nobody_begins_or_ends_the_authentication_of_somebody_elsewhere() {
    let master = Strict::start(&[]);
    let mut victim = Client::agent(&master);
    victim.authenticate(A);
    let id = victim.register();
    let pid = victim.upid().to_string();

    // From elsewhere: the pid is not at the address of its sender.
    let mut thief = Client::agent(&master);
    thief.whisper(&master.upid(), &internal::AuthenticateMessage { pid: pid.clone() });
    master.wait_for("alcazar/authentication/foreign_pid", 1.0);
    // With the victim's address as the sender's, over a connection of the thief's.
    for id in ["crammd5-authenticatee(7)", "slave(1)", ""] {
        let from = Upid::new(id, victim.upid().address);
        claim(&from, &master.upid(), &internal::AuthenticateMessage { pid: pid.clone() });
    }
    assert!(master.metric("master/messages_authenticate") >= 3.0);

    // The victim is still who it was: it may leave.
    victim.say(&leave(&id));
    master.wait_for("master/slave_removals/reason_unregistered", 1.0);
}

#[test]
fn attack_a3_an_attempt_is_not_continued_from_another_connection() {
    let master = Strict::start(&[]);
    let mut victim = Client::agent(&master);
    let session = victim.begin();
    // Somebody who knows the session's actor and claims to be the authenticatee.
    let from = Upid::new(victim.authenticatee(), victim.upid().address);
    let mechanism = "CRAM-MD5".to_owned();
    let start = internal::AuthenticationStartMessage { mechanism, data: None };
    claim(&from, &session, &start);
    let step = internal::AuthenticationStepMessage { data: b"agent-b 0".to_vec().into() };
    claim(&from, &session, &step);
    master.wait_for("alcazar/authentication/stray", 2.0);
    // It goes on as if nothing had happened.
    let challenge = victim.choose(&session);
    victim.answer(&session, &challenge, A);
    victim.hear::<internal::AuthenticationCompletedMessage>();
    victim.register();
}

#[test]
fn attack_one_connection_does_not_have_the_master_dial_many_addresses() {
    let master = Strict::start(&[]);
    let mut first = Client::agent(&master);
    first.begin();
    // Over the connection of the first, in the name of somebody at another port of the same host.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(other) = other.local_addr().unwrap() else { panic!("IPv4") };
    let from = Upid::new("crammd5-authenticatee(1)", other);
    let pid = Upid::new("slave(1)", other).to_string();
    first.say_as(&from, &internal::AuthenticateMessage { pid });
    master.wait_for("alcazar/authentication/no_room", 1.0);
    // Another actor of its own is welcome.
    let pid = Upid::new("slave(2)", first.upid().address).to_string();
    let from = Upid::new("crammd5-authenticatee(2)", first.upid().address);
    first.say_as(&from, &internal::AuthenticateMessage { pid });
    first.hear::<internal::AuthenticationMechanismsMessage>();
}

#[test]
fn attack_a4_who_takes_over_the_address_takes_nothing_else_over() {
    let master = Strict::start(&["--no-danger_same_address_sessions"]);
    let mut victim = Client::agent(&master);
    victim.authenticate(A);
    let id = victim.register();
    assert_eq!(claim(&victim.upid(), &master.upid(), &leave(&id)), 403);
    let registration = victim.registration();
    assert_eq!(claim(&victim.upid(), &master.upid(), &registration), 403);
    assert_eq!(master.metric(AGENTS), 1.0);
    victim.say(&leave(&id));
    master.wait_for(AGENTS, 0.0);
}

#[test]
fn attack_a5_another_principal_does_not_come_back_under_an_agents_id() {
    let master = Strict::start(&[]);
    let mut owner = Client::agent(&master);
    owner.authenticate(A);
    let id = owner.register();
    let mut thief = Client::agent(&master);
    thief.authenticate(B);
    thief.say(&thief.reregistration(&id));
    master.wait_for("alcazar/agent_ids_claimed_by_others", 1.0);
    // It hears nothing, and can still become an agent of its own.
    let own = thief.register();
    assert_ne!(own, id);
    master.wait_for(AGENTS, 2.0);
}

#[test]
fn attack_a6_credentials_of_one_kind_are_worth_nothing_to_another() {
    let master = Strict::start(&[]);
    let mut scheduler = Client::agent(&master);
    scheduler.authenticate(FRAMEWORK);
    scheduler.say(&scheduler.registration());
    master.wait_for("alcazar/messages_forbidden", 1.0);
    let mut agent = Client::called(&master, "scheduler-1");
    agent.authenticate(A);
    agent.say(&subscribe());
    master.wait_for("alcazar/messages_forbidden", 2.0);
    assert_eq!(master.metric(AGENTS), 0.0);
    assert_eq!(master.metric("master/frameworks_active"), 0.0);
    // The same with the right ones.
    let mut scheduler = Client::called(&master, "scheduler-2");
    scheduler.authenticate(FRAMEWORK);
    scheduler.say(&subscribe());
    scheduler.hear::<internal::FrameworkRegisteredMessage>();
}

#[test]
fn attack_b1_an_agent_does_not_speak_for_another_nor_a_framework_for_another() {
    let master = Strict::start(&[]);
    let mut victim = Client::agent(&master);
    victim.authenticate(A);
    let id = victim.register();
    let mut other = Client::agent(&master);
    other.authenticate(B);
    other.register();
    let dropped = master.metric("master/dropped_messages");
    other.say(&leave(&id));
    other.say(&internal::UpdateSlaveMessage { slave_id: id.clone(), ..Default::default() });
    other.say(&internal::ExitedExecutorMessage {
        slave_id: id.clone(),
        framework_id: v1::FrameworkId { value: "f".into() },
        executor_id: v1::ExecutorId { value: "e".into() },
        status: 0,
    });
    master.wait_for("master/dropped_messages", dropped + 3.0);
    assert_eq!(master.metric(AGENTS), 2.0);

    let mut scheduler = Client::called(&master, "scheduler-1");
    scheduler.authenticate(FRAMEWORK);
    scheduler.say(&subscribe());
    let framework_id = scheduler.hear::<internal::FrameworkRegisteredMessage>().1.framework_id;
    let mut neighbour = Client::called(&master, "scheduler-2");
    neighbour.authenticate(FRAMEWORK);
    let dropped = master.metric("master/dropped_messages");
    neighbour.say(&internal::UnregisterFrameworkMessage { framework_id });
    master.wait_for("master/dropped_messages", dropped + 1.0);
    assert_eq!(master.metric("master/frameworks_active"), 1.0);
}

#[test]
fn attack_c10_a_sender_that_is_nobody_is_answered_and_nothing_breaks() {
    use std::io::{Read, Write};
    let master = Strict::start(&[]);
    for from in
        ["", "@0.0.0.0:0", "scheduler@0.0.0.0:0", "x@127.0.0.1:0", "no address", "a b@127.0.0.1:1"]
    {
        for name in ["SubmitSchedulerRequest", "RegisterFrameworkMessage", "AuthenticateMessage"] {
            let mut stream = std::net::TcpStream::connect(master.daemon.address).unwrap();
            let head = format!(
                "POST /master/mesos.internal.{name} HTTP/1.1\r\nUser-Agent: libprocess/{from}\r\n\
                 Libprocess-From: {from}\r\nConnection: close\r\nHost: x\r\n\
                 Content-Length: 3\r\n\r\n\n\u{1}x"
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer[9..], b"400", "{name} from {from:?}");
        }
    }
    let mut agent = Client::agent(&master);
    agent.authenticate(A);
    agent.register();
}
