use std::sync::Arc;

use super::*;
use crate::sasl::Authenticatee;

const SESSION: &str = "session(1)@192.0.2.9:5050";

/// A mechanism that does what the server says.
#[derive(Clone, Copy, Debug)]
struct Obedient {
    cost: Cost,
    is_proved: bool,
}

impl Authenticatee for Obedient {
    fn mechanism(&self) -> &str {
        "OBEDIENT"
    }

    fn is_usable(&self, channel: &Channel) -> bool {
        !channel.encrypted
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn begin(&self, _: &Channel, _: &[String], _: Nonce) -> Box<dyn ClientExchange> {
        Box::new(*self)
    }
}

impl ClientExchange for Obedient {
    fn start(&mut self) -> Result<Vec<u8>, ClientError> {
        Ok(b"begin".to_vec())
    }

    fn has_shown_its_proof(&self) -> bool {
        true
    }

    fn step(&mut self, input: &[u8]) -> Result<Vec<u8>, ClientError> {
        match input {
            b"fail" => {
                Err(ClientError::Malformed { mechanism: "OBEDIENT", what: "this".to_owned() })
            }
            other => {
                self.is_proved |= other == b"proof";
                Ok(other.to_vec())
            }
        }
    }

    fn completed(&mut self) -> Result<ServerProof, ClientError> {
        match self.is_proved {
            true => Ok(ServerProof { mutual: true, key: None }),
            false => Err(ClientError::Unproven("nothing shown".to_owned())),
        }
    }
}

fn attempt_with(cost: Cost, channel: Channel) -> Attempt {
    let one = Obedient { cost, is_proved: false };
    Attempt::new(Authenticatees::new(vec![Arc::new(one)]), channel, Nonce([0; 24]))
}

fn attempt() -> Attempt {
    attempt_with(Cost::Light, Channel::default())
}

fn started() -> Attempt {
    let mut attempt = attempt();
    let output = attempt.start("slave(1)@192.0.2.1:5051".into());
    let Output::Send(Message::Authenticate { pid }) = output else { panic!("{output:?}") };
    assert_eq!(pid, "slave(1)@192.0.2.1:5051");
    attempt
}

fn mechanisms() -> Message {
    Message::Mechanisms(vec!["OTHER".into(), "OBEDIENT".into()])
}

fn stepping() -> Attempt {
    let mut attempt = started();
    let _ = attempt.receive(SESSION, mechanisms());
    attempt
}

fn shown(output: &Output) -> String {
    match output {
        Output::Stray => "stray".into(),
        Output::Send(message) => format!("send {message:?}"),
        Output::Work(_) => "work".into(),
        Output::End(Ended::Authenticated { method, .. }) => format!("true by {method}"),
        Output::End(Ended::Refused) => "false".into(),
        Output::End(Ended::Failed(error)) => error.to_string(),
    }
}

#[test]
fn every_message_in_every_state() {
    let working = || {
        let mut attempt = attempt_with(Cost::Blocking, Channel::default());
        let _ = attempt.start("slave(1)@192.0.2.1:5051".into());
        assert!(matches!(attempt.receive(SESSION, mechanisms()), Output::Work(_)));
        attempt
    };
    let ended = || {
        let mut attempt = started();
        let _ = attempt.discard();
        attempt
    };
    let states: [(&str, &dyn Fn() -> Attempt); 5] = [
        ("ready", &attempt),
        ("starting", &started),
        ("stepping", &stepping),
        ("working", &working),
        ("ended", &ended),
    ];
    for (name, message) in [
        ("mechanisms", mechanisms()),
        ("step", Message::Step(b"hm".to_vec())),
        ("completed", Message::Completed),
        ("failed", Message::Failed),
        ("error", Message::Error("no".into())),
        ("authenticate", Message::Authenticate { pid: SESSION.into() }),
        ("start", Message::Start { mechanism: "OBEDIENT".into(), data: Vec::new() }),
    ] {
        for (state, make) in states {
            let mut attempt = make();
            let output = attempt.receive(SESSION, message.clone());
            let unexpected = format!("Unexpected authentication '{name}' received");
            let expected = match (name, state) {
                (_, "ready" | "ended") | ("authenticate" | "start", _) => "stray",
                ("failed", "stepping") => "false",
                ("error", _) => "Authentication error: no",
                ("mechanisms", "starting") => "send Start { mechanism: \"OBEDIENT\", 5 bytes }",
                ("step", "stepping") => "send Step(2 bytes)",
                ("completed", "stepping") => "the server has not proved who it is: nothing shown",
                _ => &unexpected,
            };
            assert_eq!(shown(&output), expected, "{name} in state {state}");
            if matches!(output, Output::End(_)) {
                assert_eq!(shown(&attempt.receive(SESSION, message.clone())), "stray");
            }
        }
    }
}

#[test]
fn an_attempt_that_completes_says_by_what() {
    let mut attempt = stepping();
    let _ = attempt.receive(SESSION, Message::Step(b"proof".to_vec()));
    let output = attempt.receive(SESSION, Message::Completed);
    assert_eq!(shown(&output), "true by OBEDIENT");
    assert_eq!(attempt.session(), Some(SESSION));
}

#[test]
fn attack_only_the_session_that_offered_mechanisms_is_heard() {
    for other in ["session(2)@192.0.2.9:5050", "session(1)@192.0.2.66:5050"] {
        for message in [
            Message::Completed,
            Message::Failed,
            Message::Error("go away".into()),
            Message::Step(b"proof".to_vec()),
            mechanisms(),
        ] {
            let mut attempt = stepping();
            assert_eq!(shown(&attempt.receive(other, message)), "stray");
            // And the session does not notice.
            let output = attempt.receive(SESSION, Message::Step(b"hm".to_vec()));
            assert_eq!(shown(&output), "send Step(2 bytes)");
        }
    }
}

#[test]
fn what_takes_long_is_given_out_and_taken_back() {
    let mut attempt = attempt_with(Cost::Blocking, Channel::default());
    let _ = attempt.start("slave(1)@192.0.2.1:5051".into());
    let mut seen = Vec::new();
    for message in [mechanisms(), Message::Step(b"proof".to_vec()), Message::Completed] {
        let Output::Work(work) = attempt.receive(SESSION, message) else { panic!() };
        seen.push(shown(&attempt.worked(work.run())));
    }
    let begun = "send Start { mechanism: \"OBEDIENT\", 5 bytes }";
    assert_eq!(seen, [begun, "send Step(5 bytes)", "true by OBEDIENT"]);
}

#[test]
fn an_attempt_that_was_discarded_has_no_result_whatever_comes() {
    let mut attempt = attempt_with(Cost::Blocking, Channel::default());
    let _ = attempt.start("slave(1)@192.0.2.1:5051".into());
    let Output::Work(work) = attempt.receive(SESSION, mechanisms()) else { panic!() };
    assert_eq!(shown(&attempt.discard()), "Authentication discarded");
    assert_eq!(shown(&attempt.worked(work.run())), "stray");
    assert_eq!(shown(&attempt.discard()), "stray");
}

#[test]
fn a_mechanism_that_gives_up_ends_the_attempt() {
    let mut attempt = stepping();
    let output = attempt.receive(SESSION, Message::Step(b"fail".to_vec()));
    assert_eq!(shown(&output), "the server does not follow OBEDIENT: this");
}

#[test]
fn what_cannot_be_used_says_why() {
    let channel = Channel { encrypted: true, ..Channel::default() };
    for (channel, offered, expected) in [
        (
            channel,
            vec!["OBEDIENT".to_owned()],
            "of the mechanisms that the master offers (OBEDIENT) none can be used: OBEDIENT (not \
             on this connection)",
        ),
        (
            Channel::default(),
            vec!["X\n".to_owned(), "Y".to_owned()],
            "of the mechanisms that the master offers (X\\n, Y) none can be used: OBEDIENT",
        ),
    ] {
        let mut attempt = attempt_with(Cost::Light, channel);
        let _ = attempt.start("slave(1)@192.0.2.1:5051".into());
        let output = attempt.receive(SESSION, Message::Mechanisms(offered));
        assert_eq!(shown(&output), expected);
    }
}

#[test]
fn attack_texts_of_the_master_are_cut_and_escaped() {
    let mut attempt = started();
    let text = format!("it's \u{1b}[31m{}", "x".repeat(100_000));
    let shown = shown(&attempt.receive(SESSION, Message::Error(text)));
    assert!(shown.starts_with("Authentication error: it's \\u{1b}[31mxxx"), "{shown}");
    assert!(shown.len() < 500);
}
