use std::sync::Arc;

use model::principal::{Kinds, Principal};

use super::*;
use crate::proved::{Method, Proved};
use crate::sasl::Authenticator;

const CLIENT: &str = "authenticatee(1)@192.0.2.1:5051";

/// A mechanism that does what the client says.
#[derive(Clone, Copy, Debug)]
struct Obedient {
    cost: Cost,
    is_offered: bool,
}

impl Authenticator for Obedient {
    fn mechanism(&self) -> &str {
        "OBEDIENT"
    }

    fn is_offered(&self, _: &Channel) -> bool {
        self.is_offered
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn begin(&self, _: &Channel, offered: &[String], _: Nonce) -> Box<dyn ServerExchange> {
        assert_eq!(offered, ["OBEDIENT"]);
        Box::new(*self)
    }
}

fn accepted(name: &str) -> Accepted {
    let principal = Principal::named(name);
    let proved = Proved { principal, kinds: Kinds::ANY, method: Method::new("OBEDIENT") };
    Accepted { proved, key: None }
}

fn refused() -> Refused {
    Refused { claimed: Some("p".into()), reason: "wrong secret".into() }
}

impl ServerExchange for Obedient {
    fn step(&mut self, input: &[u8]) -> ServerStep {
        match input {
            b"complete" => ServerStep::Completed(accepted("p")),
            b"other" => ServerStep::Completed(accepted("q")),
            b"refuse" => ServerStep::Refused(refused()),
            b"fail" => ServerStep::Malformed("SASL(-5): no".into()),
            b"confirm" => ServerStep::Confirm { principal: "p".to_owned(), data: b"yes".to_vec() },
            other => ServerStep::Continue(other.to_vec()),
        }
    }
}

fn session_with(cost: Cost, is_offered: bool) -> Session {
    let authenticators = Authenticators::new(vec![Arc::new(Obedient { cost, is_offered })]);
    Session::new(authenticators, Channel::default(), Nonce([0; 24]), CLIENT.into())
}

fn session() -> Session {
    session_with(Cost::Light, true)
}

fn start(data: &[u8]) -> Message {
    Message::Start { mechanism: "OBEDIENT".into(), data: data.to_vec() }
}

fn step(data: &[u8]) -> Message {
    Message::Step(data.to_vec())
}

/// Each state in which a session can be.
fn states() -> [(&'static str, Session); 6] {
    let ready = session();
    let mut starting = session();
    let _ = starting.start();
    let mut stepping = session();
    let _ = stepping.start();
    let _ = stepping.receive(CLIENT, start(b""));
    let mut working = session_with(Cost::Blocking, true);
    let _ = working.start();
    assert!(matches!(working.receive(CLIENT, start(b"")), Output::Work(_)));
    let mut judging = session();
    let _ = judging.start();
    assert!(matches!(judging.receive(CLIENT, start(b"confirm")), Output::Judge(_)));
    let mut ended = session();
    let _ = ended.abort("over");
    [
        ("ready", ready),
        ("starting", starting),
        ("stepping", stepping),
        ("working", working),
        ("judging", judging),
        ("ended", ended),
    ]
}

fn shown(output: &Output) -> String {
    match output {
        Output::Stray => "stray".into(),
        Output::Send(message) => format!("send {message:?}"),
        Output::Work(_) => "work".into(),
        Output::Judge(verdict) => format!("judge {:?}", verdict.tried),
        Output::End { send, result } => {
            let result = match result {
                Ok(_) => "completed".to_owned(),
                Err(Ended::Refused(_)) => "refused".to_owned(),
                Err(Ended::Withheld(wait)) => format!("withheld for {wait:?}"),
                Err(Ended::Error(_)) => "error".to_owned(),
            };
            match send {
                Some(message) => format!("{result}, send {message:?}"),
                None => result,
            }
        }
    }
}

/// What comes out if nothing is withheld.
fn answered(session: &mut Session, output: Output) -> Output {
    assert!(!matches!(output, Output::End { result: Ok(_) | Err(Ended::Refused(_)), .. }));
    match output {
        Output::Judge(_) => session.judged(Judgement::Answer),
        other => other,
    }
}

#[test]
fn every_message_in_every_state() {
    let unexpected =
        |what| format!("error, send Error(\"Unexpected authentication '{what}' received\")");
    let (start_unexpected, step_unexpected) = (unexpected("start"), unexpected("step"));
    let messages = [
        ("start", start(b"hm")),
        ("step", step(b"hm")),
        ("authenticate", Message::Authenticate { pid: CLIENT.into() }),
        ("mechanisms", Message::Mechanisms(Vec::new())),
        ("completed", Message::Completed),
        ("failed", Message::Failed),
        ("error", Message::Error("no".into())),
    ];
    for (name, message) in messages {
        for (state, mut session) in states() {
            let output = session.receive(CLIENT, message.clone());
            let expected = match (name, state) {
                (_, "ended") => "stray",
                ("start", "starting") => "send Step(2 bytes)",
                ("start", _) => &start_unexpected,
                ("step", "stepping") => "send Step(2 bytes)",
                ("step", _) => &step_unexpected,
                _ => "stray",
            };
            assert_eq!(shown(&output), expected, "{name} in state {state}");
            // An error is an end.
            if expected.starts_with("error") {
                let again = session.receive(CLIENT, message.clone());
                assert_eq!(shown(&again), "stray", "{name} in state {state}");
            }
        }
    }
}

#[test]
fn attack_nobody_but_the_client_speaks_with_a_session() {
    for from in ["authenticatee(2)@192.0.2.1:5051", "authenticatee(1)@192.0.2.66:5051", ""] {
        for message in [start(b"complete"), step(b"complete")] {
            for (state, mut session) in states() {
                let output = session.receive(from, message.clone());
                assert_eq!(shown(&output), "stray", "{from} in state {state}");
                // And the client does not notice.
                if state == "starting" {
                    let output = session.receive(CLIENT, start(b"complete"));
                    assert_eq!(shown(&answered(&mut session, output)), "completed, send Completed");
                }
            }
        }
    }
}

#[test]
fn results_of_mechanisms_become_messages() {
    for (data, expected) in [
        ("complete", "completed, send Completed"),
        ("refuse", "refused, send Failed"),
        ("fail", "error, send Error(\"SASL(-5): no\")"),
        ("more", "send Step(4 bytes)"),
        ("", "send Step(0 bytes)"),
    ] {
        let mut at_once = session();
        let _ = at_once.start();
        let output = at_once.receive(CLIENT, start(data.as_bytes()));
        assert_eq!(shown(&answered(&mut at_once, output)), expected);
        let mut later = session();
        let _ = later.start();
        let _ = later.receive(CLIENT, start(b""));
        let output = later.receive(CLIENT, step(data.as_bytes()));
        assert_eq!(shown(&answered(&mut later, output)), expected);
    }
}

#[test]
fn what_takes_long_is_given_out_and_taken_back() {
    let mut session = session_with(Cost::Blocking, true);
    let _ = session.start();
    let Output::Work(work) = session.receive(CLIENT, start(b"more")) else { panic!() };
    let output = session.worked(work.run());
    assert_eq!(shown(&output), "send Step(4 bytes)");
    let Output::Work(work) = session.receive(CLIENT, step(b"complete")) else { panic!() };
    let output = session.worked(work.run());
    assert_eq!(shown(&answered(&mut session, output)), "completed, send Completed");
}

#[test]
fn attack_work_that_is_done_after_the_end_completes_nothing() {
    let mut session = session_with(Cost::Blocking, true);
    let _ = session.start();
    let Output::Work(work) = session.receive(CLIENT, start(b"complete")) else { panic!() };
    let worked = work.run();
    assert_eq!(shown(&session.abort("the link to the authenticatee broke")), "error");
    assert_eq!(shown(&session.worked(worked)), "stray");
    let mut session = session_with(Cost::Blocking, true);
    let _ = session.start();
    let Output::Work(work) = session.receive(CLIENT, start(b"complete")) else { panic!() };
    assert!(shown(&session.receive(CLIENT, step(b"complete"))).starts_with("error"));
    assert_eq!(shown(&session.worked(work.run())), "stray");
}

#[test]
fn attack_a_mechanism_that_was_not_offered_cannot_be_chosen() {
    let mut session = session();
    let _ = session.start();
    let evil = "X\u{1b}".repeat(1000);
    let message = Message::Start { mechanism: evil, data: Vec::new() };
    let output = session.receive(CLIENT, message);
    let Output::End { send: Some(Message::Error(text)), .. } = output else { panic!() };
    assert!(text.starts_with("SASL(-4): no mechanism available: Couldn't find mech X"), "{text}");
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");

    // Known to the server, but not for this connection.
    let hidden = Obedient { cost: Cost::Light, is_offered: false };
    #[derive(Debug)]
    struct Other;
    impl Authenticator for Other {
        fn mechanism(&self) -> &str {
            "OTHER"
        }
        fn is_offered(&self, _: &Channel) -> bool {
            true
        }
        fn cost(&self) -> Cost {
            Cost::Light
        }
        fn begin(&self, _: &Channel, _: &[String], _: Nonce) -> Box<dyn ServerExchange> {
            unreachable!("nobody chooses it")
        }
    }
    let both = Authenticators::new(vec![Arc::new(hidden), Arc::new(Other)]);
    let mut session = Session::new(both, Channel::default(), Nonce([0; 24]), CLIENT.into());
    assert_eq!(shown(&session.start()), "send Mechanisms([\"OTHER\"])");
    let output = session.receive(CLIENT, start(b"complete"));
    assert!(matches!(output, Output::End { result: Err(Ended::Error(_)), .. }), "{output:?}");
}

#[test]
fn without_any_mechanism_it_is_an_error_and_no_refusal() {
    let mut session = session_with(Cost::Light, false);
    let output = session.start();
    assert!(shown(&output).starts_with("error, send Error"), "{output:?}");
}

#[test]
fn attack_too_much_data_never_reaches_a_mechanism() {
    let mut session = session_with(Cost::Blocking, true);
    let _ = session.start();
    let output = session.receive(CLIENT, start(&vec![0; LONGEST_DATA + 1]));
    assert!(shown(&output).starts_with("error, send Error"), "{output:?}");
}

#[test]
fn a_session_is_started_once() {
    let mut session = session();
    assert_eq!(shown(&session.start()), "send Mechanisms([\"OBEDIENT\"])");
    assert_eq!(shown(&session.start()), "stray");
    let output = session.receive(CLIENT, start(b"complete"));
    assert_eq!(shown(&answered(&mut session, output)), "completed, send Completed");
}

#[test]
fn attack_a9_whatever_a_mechanism_finds_is_judged_before_anything_is_said() {
    let wait = Duration::from_secs(7);
    for cost in [Cost::Light, Cost::Blocking] {
        for (data, tried) in [
            (&b"confirm"[..], Tried::Proved),
            (b"complete", Tried::Proved),
            (b"refuse", Tried::Failed),
        ] {
            let mut session = session_with(cost, true);
            let _ = session.start();
            let output = match session.receive(CLIENT, start(data)) {
                Output::Work(work) => session.worked(work.run()),
                output => output,
            };
            let Output::Judge(verdict) = output else { panic!("{output:?}") };
            assert_eq!(verdict, Verdict { claimed: Some("p".to_owned()), tried });
            // Right and wrong are the same, and the end.
            let output = session.judged(Judgement::Withhold(wait));
            assert_eq!(shown(&output), "withheld for 7s");
            for _ in 0..2 {
                assert_eq!(shown(&session.judged(Judgement::Answer)), "stray");
                assert_eq!(shown(&session.receive(CLIENT, step(b"complete"))), "stray");
            }
        }
    }
}

#[test]
fn authn_who_was_told_that_it_is_right_is_not_judged_again_unless_it_is_somebody_else() {
    let mut session = session();
    let _ = session.start();
    let output = session.receive(CLIENT, start(b"confirm"));
    let output = answered(&mut session, output);
    assert_eq!(shown(&output), "send Step(3 bytes)");
    let output = session.receive(CLIENT, step(b"complete"));
    assert_eq!(shown(&output), "completed, send Completed");

    for (data, expected) in [(&b"refuse"[..], "judge Failed"), (b"other", "judge Proved")] {
        let mut session = self::session();
        let _ = session.start();
        let output = session.receive(CLIENT, start(b"confirm"));
        let _ = answered(&mut session, output);
        assert_eq!(shown(&session.receive(CLIENT, step(data))), expected);
    }
}

#[test]
fn a_judgement_that_nobody_asked_for_changes_nothing() {
    for (state, mut session) in states() {
        if state != "judging" {
            assert_eq!(shown(&session.judged(Judgement::Answer)), "stray", "{state}");
        }
    }
}
