//! The master's side of exchanges in every state, and what waits for them (§5 to §7, §21.1).

use libprocess::upid::Upid;
use wire::protocol::mesos::scheduler as v0;
use wire::v1::scheduler::call::Type;
use wire::{internal, v1};

use crate::master_peers::{Client, Strict, claim};

const A: (&str, &str) = ("agent-a", "secret-a");
const FRAMEWORK: (&str, &str) = ("framework", "secret-f");

fn subscribe(principal: Option<&str>) -> v0::Call {
    let framework_info = v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: "f".to_owned(),
        principal: principal.map(str::to_owned),
        ..v1::FrameworkInfo::default()
    };
    let subscribe = v0::call::Subscribe { framework_info, ..Default::default() };
    let mut call = v0::Call { subscribe: Some(subscribe), ..v0::Call::default() };
    call.set_type(Type::Subscribe);
    call
}

#[test]
fn authn_who_has_proved_nothing_hears_nothing_as_an_agent_and_an_error_as_a_driver() {
    let master = Strict::start(&[]);
    let mut agent = Client::agent(&master);
    agent.say(&agent.registration());
    let mut driver = Client::called(&master, "scheduler-1");
    driver.say(&subscribe(None));
    let (_, error) = driver.hear::<internal::FrameworkErrorMessage>();
    assert_eq!(error.message, format!("Framework at {} is not authenticated", driver.upid()));
    // The agent is neither answered nor shut down: what it hears first is the desk.
    agent.authenticate(A);
    agent.register();
    driver.authenticate(FRAMEWORK);
    driver.say(&subscribe(Some("somebody")));
    let (_, error) = driver.hear::<internal::FrameworkErrorMessage>();
    assert_eq!(
        error.message,
        "Framework principal 'somebody' does not match authenticated principal 'framework'"
    );
}

#[test]
fn authn_wrong_secrets_and_unknown_principals_are_refused_alike() {
    let master = Strict::start(&[]);
    for who in [("agent-a", "wrong"), ("nobody", "secret-a")] {
        let mut agent = Client::agent(&master);
        let session = agent.begin();
        let challenge = agent.choose(&session);
        agent.answer(&session, &challenge, who);
        let (got, _) = agent.hear::<internal::AuthenticationFailedMessage>();
        assert!(got.body.is_empty());
    }
    assert_eq!(master.metric("alcazar/authentication/refused"), 2.0);
}

#[test]
fn authn_messages_out_of_turn_end_the_attempt_in_the_words_of_the_original() {
    let master = Strict::start(&[]);
    let mut agent = Client::agent(&master);
    let step = internal::AuthenticationStepMessage { data: b"x".to_vec().into() };
    let start = |mechanism: &str| internal::AuthenticationStartMessage {
        mechanism: mechanism.to_owned(),
        data: None,
    };
    // A step before the start.
    let session = agent.begin();
    agent.whisper(&session, &step);
    let (_, error) = agent.hear::<internal::AuthenticationErrorMessage>();
    assert_eq!(error.error(), "Unexpected authentication 'step' received");
    // A second start. By another client each time: who comes to nothing again and again waits.
    let mut agent = Client::agent(&master);
    let session = agent.begin();
    agent.choose(&session);
    agent.whisper(&session, &start("CRAM-MD5"));
    let (_, error) = agent.hear::<internal::AuthenticationErrorMessage>();
    assert_eq!(error.error(), "Unexpected authentication 'start' received");
    // Mechanisms that were not offered.
    for mechanism in ["PLAIN", "ANONYMOUS", "", "cram-md5"] {
        let mut agent = Client::agent(&master);
        let session = agent.begin();
        agent.whisper(&session, &start(mechanism));
        agent.hear::<internal::AuthenticationErrorMessage>();
    }
    // An actor that is gone, and one that never was.
    for actor in [session.id.as_str(), "crammd5-authenticator-session(9999)"] {
        let from = Upid::new(agent.authenticatee(), agent.upid().address);
        assert_eq!(claim(&from, &Upid::new(actor, session.address), &step), 404);
    }
    agent.authenticate(A);
    agent.register();
}

#[test]
fn attack_a_client_that_comes_to_nothing_again_and_again_is_not_answered_any_more() {
    let master = Strict::start(&[]);
    let mut agent = Client::agent(&master);
    let step = internal::AuthenticationStepMessage { data: b"x".to_vec().into() };
    // As a driver of the original that knows none of the mechanisms would, without a pause.
    let mut answered = 0;
    while master.metric("alcazar/authentication/withheld") == 0.0 {
        assert!(answered < 50, "it goes on and on");
        agent.ask();
        if let Some(session) =
            agent.session_unless(|| master.metric("alcazar/authentication/withheld") > 0.0)
        {
            agent.whisper(&session, &step);
            agent.hear::<internal::AuthenticationErrorMessage>();
            answered += 1;
        }
    }
    // Others at its address are not concerned.
    let mut other = Client::agent(&master);
    other.authenticate(A);
    other.register();
}

#[test]
fn authn_a_newer_attempt_takes_the_place_of_an_older_one() {
    let master = Strict::start(&[]);
    let mut agent = Client::agent(&master);
    let old = agent.begin();
    agent.choose(&old);
    agent.authenticate(A);
    master.wait_for("alcazar/authentication/replaced", 1.0);
    agent.register();
}

#[test]
fn authn_a_lost_final_message_is_made_up_for_by_the_next_attempt() {
    let master = Strict::start(&[]);
    let mut agent = Client::agent(&master);
    // As far as the master knows this client is authenticated; the client does not know it.
    agent.authenticate(A);
    agent.authenticate(A);
    agent.register();
    // An attempt ends the session that there is: what follows is proved anew, or not at all.
    let session = agent.begin();
    let challenge = agent.choose(&session);
    agent.answer(&session, &challenge, ("agent-a", "wrong"));
    agent.hear::<internal::AuthenticationFailedMessage>();
    let dropped = master.metric("master/dropped_messages");
    agent.say(&agent.registration());
    master.wait_for("master/dropped_messages", dropped + 1.0);
}

#[test]
fn authn_an_attempt_that_takes_too_long_is_forgotten() {
    let master = Strict::start(&["--authentication_v0_timeout=200ms"]);
    let mut agent = Client::agent(&master);
    let session = agent.begin();
    master.wait_for("alcazar/authentication/timed_out", 1.0);
    let from = Upid::new(agent.authenticatee(), agent.upid().address);
    let step = internal::AuthenticationStepMessage { data: b"x".to_vec().into() };
    assert_eq!(claim(&from, &session, &step), 404);
}

#[test]
fn authn_an_attempt_ends_with_the_link_to_the_authenticatee() {
    let master = Strict::start(&[]);
    // Somebody who cannot be reached: its port was given back.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let std::net::SocketAddr::V4(gone) = gone else { panic!("IPv4") };
    let from = Upid::new("crammd5-authenticatee(1)", gone);
    let pid = Upid::new("slave(1)", gone).to_string();
    claim(&from, &master.upid(), &internal::AuthenticateMessage { pid });
    master.wait_for("alcazar/authentication/failed", 1.0);
}

#[test]
fn authn_a_registration_waits_for_the_attempt_and_is_then_judged_by_it() {
    let master = Strict::start(&[]);
    // It succeeds.
    let mut agent = Client::agent(&master);
    let session = agent.begin();
    agent.say(&agent.registration());
    let challenge = agent.choose(&session);
    agent.answer(&session, &challenge, A);
    agent.hear::<internal::AuthenticationCompletedMessage>();
    agent.hear::<internal::SlaveRegisteredMessage>();
    // It is refused, which is an answer too.
    let mut driver = Client::called(&master, "scheduler-1");
    let session = driver.begin();
    driver.say(&subscribe(None));
    let challenge = driver.choose(&session);
    driver.answer(&session, &challenge, ("framework", "wrong"));
    driver.hear::<internal::AuthenticationFailedMessage>();
    driver.hear::<internal::FrameworkErrorMessage>();
    // It comes to nothing: the registration is dropped, and the client tries again.
    let mut driver = Client::called(&master, "scheduler-2");
    let session = driver.begin();
    driver.say(&subscribe(None));
    let step = internal::AuthenticationStepMessage { data: b"x".to_vec().into() };
    driver.whisper(&session, &step);
    driver.hear::<internal::AuthenticationErrorMessage>();
    master.wait_for("alcazar/authentication/registrations_dropped", 1.0);
    driver.authenticate(FRAMEWORK);
    driver.say(&subscribe(None));
    driver.hear::<internal::FrameworkRegisteredMessage>();
    assert_eq!(master.metric("alcazar/authentication/registrations_held"), 3.0);
}

#[test]
fn authn_a_second_scheduler_takes_over_and_a_restarted_agent_comes_back() {
    let master = Strict::start(&[]);
    let mut first = Client::called(&master, "scheduler-1");
    first.authenticate(FRAMEWORK);
    first.say(&subscribe(None));
    let id = first.hear::<internal::FrameworkRegisteredMessage>().1.framework_id;
    let mut second = Client::called(&master, "scheduler-2");
    second.authenticate(FRAMEWORK);
    let mut call = subscribe(None);
    call.framework_id = Some(id.clone());
    if let Some(subscribe) = &mut call.subscribe {
        subscribe.framework_info.id = Some(id.clone());
        subscribe.force = Some(true);
    }
    second.say(&call);
    assert_eq!(second.hear::<internal::FrameworkRegisteredMessage>().1.framework_id, id);
    let (_, error) = first.hear::<internal::FrameworkErrorMessage>();
    assert_eq!(error.message, "Framework failed over");

    let mut agent = Client::agent(&master);
    agent.authenticate(A);
    let id = agent.register();
    // Another process at another port, with the same credential and the same files.
    let mut again = Client::agent(&master);
    again.authenticate(A);
    again.say(&again.reregistration(&id));
    let (_, answer) = again.hear::<internal::SlaveReregisteredMessage>();
    assert_eq!(answer.slave_id, id);
}
