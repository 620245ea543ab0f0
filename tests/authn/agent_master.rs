//! The agent and its master: whom it proves itself to, and whom it obeys afterwards.

use libprocess::upid::Upid;
use testkit::captures;
use testkit::process::eventually;
use wire::internal as i;
use wire::v1;

use crate::agent_fixture::*;
use crate::instance::Instance;

const MASTER: &str = "127.0.0.2:5050";
const AGENT: &str = "127.0.0.2:5051";

/// The recorded master against our agent: each message of the exchange is the recorded one.
#[test]
fn authn_capture_03_our_agent_answers_the_recorded_master_as_the_original_did() {
    let Some(story) = captures::story("03-cram-md5") else { return };
    let one = |to: &str, name: &str| recorded(&story, to, name).remove(0);
    let mut ours = Story::begin(&[]);
    let authenticate = ours.master.receive();
    assert_eq!(authenticate.name, "mesos.internal.AuthenticateMessage");
    assert_eq!(authenticate.to, "master");
    assert_eq!(authenticate.from, Upid::new("crammd5-authenticatee(1)", ours.agent.address));
    let pid = one(MASTER, "AuthenticateMessage");
    let pid = String::from_utf8(pid).unwrap().replace(AGENT, &ours.agent.address.to_string());
    // The length of the address is the second byte.
    assert_eq!(authenticate.body[2..], pid.as_bytes()[2..]);
    let authenticatee = authenticate.from;
    let say = |ours: &mut Story, name: &str| {
        let name_on_wire = format!("mesos.internal.{name}");
        ours.master.send(SESSION, &authenticatee, &name_on_wire, &one(AGENT, name));
    };
    say(&mut ours, "AuthenticationMechanismsMessage");
    let start = ours.master.receive();
    assert_eq!(start.name, "mesos.internal.AuthenticationStartMessage");
    assert_eq!((start.to.as_str(), &start.from), (SESSION, &authenticatee));
    assert_eq!(start.body, one(MASTER, "AuthenticationStartMessage"));
    say(&mut ours, "AuthenticationStepMessage");
    let step = ours.master.receive();
    assert_eq!((step.to.as_str(), &step.from), (SESSION, &authenticatee));
    assert_eq!(step.body, one(MASTER, "AuthenticationStepMessage"), "the recorded response");
    say(&mut ours, "AuthenticationCompletedMessage");
    ours.registers("M-S0");
    for line in [
        "Authenticating with master ",
        "Using default CRAM-MD5 authenticatee",
        "Successfully authenticated with master ",
        "Registered with master ",
    ] {
        ours.agent.process.wait_for_line(line);
    }
}

/// The recorded refusal: the agent ends with status 1, and what it runs goes on.
#[test]
fn authn_capture_04_a_refused_agent_ends_and_leaves_its_executors_running() {
    let Some(story) = captures::story("04-cram-md5-refused") else { return };
    let mut ours = Story::begin(&[]);
    ours.authenticates();
    ours.registers("M-S0");
    let pid = ours.pid.clone();
    let mark = ours.agent.directory.path().join("task.pid");
    ours.says("master", &pid, "RunTaskMessage", &surviving(long_task("t", &mark)));
    // The executor is subscribed and the task runs.
    eventually("the task's pid", || {
        std::fs::read_to_string(&mark).ok().filter(|t| t.ends_with('\n'))
    });
    let update: i::StatusUpdateMessage = ours.receives("StatusUpdateMessage").1;
    let executor = update.update.status.container_status.unwrap().executor_pid.unwrap();

    // "You are not connected": the agent comes again, and is refused.
    let ping = i::PingSlaveMessage { connected: false };
    ours.says("slave-observer(1)", &pid, "PingSlaveMessage", &ping);
    let authenticatee = loop {
        let message = ours.master.receive();
        if message.name == "mesos.internal.AuthenticateMessage" {
            break message.from;
        }
    };
    assert_eq!(authenticatee.id, "crammd5-authenticatee(2)", "an actor of its own");
    for name in ["AuthenticationMechanismsMessage", "AuthenticationStepMessage"] {
        let body = recorded(&story, AGENT, name).remove(0);
        ours.master.send(SESSION, &authenticatee, &format!("mesos.internal.{name}"), &body);
        ours.master.receive();
    }
    let failed = "mesos.internal.AuthenticationFailedMessage";
    ours.master.send(SESSION, &authenticatee, failed, &[]);
    let Story { agent, .. } = ours;
    let (status, lines) = agent.process.wait();
    assert_eq!(status.code(), Some(1));
    assert!(lines.iter().any(|line| line.contains("refused authentication")), "{lines:?}");
    // Its executor and the task are as they were.
    let task: u32 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    for process in [executor, task] {
        assert!(std::path::Path::new(&format!("/proc/{process}")).exists());
    }
    let first = rustix::process::Pid::from_raw(i32::try_from(executor).unwrap()).unwrap();
    assert!(launch::tree::kill_descendants(first).unwrap() > 0);
}

/// The same for a framework whose tasks survive the agent.
fn surviving(mut run: i::RunTaskMessage) -> i::RunTaskMessage {
    run.framework.checkpoint = Some(true);
    run
}

#[expect(deprecated, reason = "the message still has the field")]
pub(crate) fn long_task(id: &str, mark: &std::path::Path) -> i::RunTaskMessage {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    i::RunTaskMessage {
        framework_id: None,
        framework: v1::FrameworkInfo {
            user: String::new(),
            name: "f".into(),
            id: Some(v1::FrameworkId { value: "M-0000".into() }),
            ..Default::default()
        },
        task: v1::TaskInfo {
            name: id.into(),
            task_id: v1::TaskId { value: id.into() },
            agent_id: v1::AgentId { value: "M-S0".into() },
            resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
            command: Some(v1::CommandInfo {
                value: Some(format!("echo $$ > {}; exec sleep 600", mark.display())),
                ..Default::default()
            }),
            ..Default::default()
        },
        resource_version_uuids: Vec::new(),
        pid: Some("scheduler@127.0.0.1:1".into()),
        launch_executor: Some(true),
    }
}

/// A false master with everything but the secret. `after` is what it does when the agent has
/// begun to prove itself.
fn is_not_taken_for_the_master(mechanisms: &[&str], after: impl Fn(&mut Story, &Upid)) {
    let mut story = Story::begin(&["--sasl_mechanisms=SCRAM-SHA-256-PLUS,SCRAM-SHA-256"]);
    for _ in 0..2 {
        let authenticatee = story.offers(mechanisms);
        after(&mut story, &authenticatee);
        // It acts as if it were the master all the same.
        story.accepts("M-S0");
    }
    // The agent tries again, and again, and never registers.
    let next = story.master.receive();
    assert_eq!(next.name, "mesos.internal.AuthenticateMessage", "{next:?}");
    assert_eq!(story.metric("slave/registered"), 0.0);
}

#[test]
fn attack_a12_a_master_that_says_completed_before_it_proved_itself_is_none() {
    is_not_taken_for_the_master(&["SCRAM-SHA-256"], |story, authenticatee| {
        assert_eq!(story.starts().mechanism, "SCRAM-SHA-256");
        story.complete(authenticatee);
    });
}

#[test]
fn attack_a12_a_master_that_never_shows_its_signature_is_none() {
    is_not_taken_for_the_master(&["SCRAM-SHA-256"], |story, authenticatee| {
        server_first(story, authenticatee);
        story.complete(authenticatee);
    });
}

#[test]
fn attack_a12_a_master_with_a_signature_of_another_secret_is_none() {
    is_not_taken_for_the_master(&["SCRAM-SHA-256"], |story, authenticatee| {
        server_first(story, authenticatee);
        let signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        story.step(authenticatee, signature.as_bytes());
        story.complete(authenticatee);
    });
}

#[test]
fn attack_a12_a_master_that_offers_only_what_asks_nothing_of_it_is_none() {
    is_not_taken_for_the_master(&["CRAM-MD5", "PLAIN"], |story, authenticatee| {
        story.step(authenticatee, b"<1.2@here>");
        story.complete(authenticatee);
    });
}

/// Up to where the agent has shown that it knows the secret.
fn server_first(story: &mut Story, authenticatee: &Upid) {
    let start = story.starts();
    let first = String::from_utf8(start.data.unwrap_or_default().to_vec()).unwrap();
    let nonce = first.split(",r=").nth(1).unwrap().to_owned();
    let first = format!("r={nonce}master,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    story.step(authenticatee, first.as_bytes());
    assert!(story.steps().starts_with(b"c="));
}

/// What a master tells its agents, from somebody else: over a socket of his own, in his own name
/// and in the name of a master elsewhere.
#[test]
fn attack_b2_b3_nobody_but_the_leading_master_is_obeyed() {
    let mut story = Story::begin(&[]);
    story.authenticates();
    story.registers("M-S0");
    let agent = story.pid.clone();
    let mut attacker = Instance::listen();
    let mark = story.agent.directory.path().join("attacked");
    let slave_id = v1::AgentId { value: "M-S0".into() };
    let framework_id = v1::FrameworkId { value: "M-0000".into() };
    let messages: Vec<(&str, Vec<u8>)> = vec![
        ("RunTaskMessage", wire::encode(&long_task("t", &mark))),
        ("ShutdownMessage", wire::encode(&i::ShutdownMessage { message: Some("go".into()) })),
        ("PingSlaveMessage", wire::encode(&i::PingSlaveMessage { connected: false })),
        (
            "KillTaskMessage",
            wire::encode(&i::KillTaskMessage {
                framework_id: framework_id.clone(),
                task_id: v1::TaskId { value: "t".into() },
                kill_policy: None,
            }),
        ),
        (
            "ShutdownFrameworkMessage",
            wire::encode(&i::ShutdownFrameworkMessage { framework_id: framework_id.clone() }),
        ),
        (
            "UpdateFrameworkMessage",
            wire::encode(&i::UpdateFrameworkMessage {
                framework_id: framework_id.clone(),
                pid: None,
                framework_info: None,
            }),
        ),
        ("CheckpointResourcesMessage", wire::encode(&i::CheckpointResourcesMessage::default())),
        (
            "StatusUpdateAcknowledgementMessage",
            wire::encode(&i::StatusUpdateAcknowledgementMessage {
                slave_id: slave_id.clone(),
                framework_id: framework_id.clone(),
                task_id: v1::TaskId { value: "t".into() },
                uuid: vec![1; 16].into(),
            }),
        ),
        (
            "FrameworkToExecutorMessage",
            wire::encode(&i::FrameworkToExecutorMessage {
                slave_id,
                framework_id,
                executor_id: v1::ExecutorId { value: "t".into() },
                data: b"x".to_vec().into(),
            }),
        ),
        // Such a message is for a master: nobody sends it to an agent.
        (
            "UnregisterSlaveMessage",
            wire::encode(&i::UnregisterSlaveMessage {
                slave_id: v1::AgentId { value: "M-S0".into() },
            }),
        ),
    ];
    let before = dropped(&story);
    let names = ["master", "master-2", "slave-observer(1)"];
    for from in names {
        for (name, body) in &messages {
            attacker.send(from, &agent, &format!("mesos.internal.{name}"), body);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let all = (names.len() * messages.len()) as f64;
    eventually("all of them dropped", || (dropped(&story) - before >= all).then_some(()));
    assert_eq!(story.metric("slave/registered"), 1.0);
    assert_eq!(story.metric("slave/tasks_staging"), 0.0);
    assert!(!mark.exists());
    // The real one is heard as before.
    let ping = i::PingSlaveMessage { connected: true };
    story.says("slave-observer(1)", &agent, "PingSlaveMessage", &ping);
    assert_eq!(story.master.receive().name, "mesos.internal.PongSlaveMessage");
}

fn dropped(story: &Story) -> f64 {
    story.metric("alcazar/messages_dropped") + story.metric("alcazar/messages_undecodable")
}
