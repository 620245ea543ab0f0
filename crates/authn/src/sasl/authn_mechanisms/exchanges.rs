//! Whole exchanges of a session with an attempt, and with somebody in between.

use super::*;
use crate::sasl::attempt::AttemptError;
use crate::sasl::message::Message;
use crate::sasl::session::{self, Session};
use crate::throttle::{Judgement, Throttle, ThrottleSettings, Tried};

/// Carries messages between a session and an attempt until both have ended. `meddle` may change
/// each, or answer it with nothing.
fn exchange(
    session: &mut Session,
    attempt: &mut Attempt,
    meddle: impl FnMut(Message) -> Option<Message>,
) -> (Option<Result<Accepted, session::Ended>>, Option<attempt::Ended>) {
    exchange_judged(session, attempt, meddle, |_| Judgement::Answer)
}

/// The same, with somebody who judges.
fn exchange_judged(
    session: &mut Session,
    attempt: &mut Attempt,
    mut meddle: impl FnMut(Message) -> Option<Message>,
    mut judge: impl FnMut(&session::Verdict) -> Judgement,
) -> (Option<Result<Accepted, session::Ended>>, Option<attempt::Ended>) {
    let (mut accepted, mut ended) = (None, None);
    match attempt.start("slave(1)@192.0.2.1:5051".into()) {
        attempt::Output::Send(Message::Authenticate { .. }) => {}
        other => panic!("{other:?}"),
    }
    let mut outputs = vec![session.start()];
    for _ in 0..40 {
        let Some(output) = outputs.pop() else { break };
        let to_client = match output {
            session::Output::Stray => None,
            session::Output::Send(message) => Some(message),
            session::Output::Work(work) => {
                outputs.push(session.worked(work.run()));
                continue;
            }
            session::Output::Judge(verdict) => {
                outputs.push(session.judged(judge(&verdict)));
                continue;
            }
            session::Output::End { send, result } => {
                accepted = Some(result);
                send
            }
        };
        let Some(message) = to_client.and_then(&mut meddle) else { continue };
        let mut output = attempt.receive("session(1)@192.0.2.9:5050", message);
        while let attempt::Output::Work(work) = output {
            output = attempt.worked(work.run());
        }
        match output {
            attempt::Output::Send(message) => {
                if let Some(message) = meddle(message) {
                    outputs.push(session.receive("authenticatee(1)@192.0.2.1:5051", message));
                }
            }
            attempt::Output::End(end) => ended = Some(end),
            attempt::Output::Stray => {}
            attempt::Output::Work(_) => unreachable!("it has been run"),
        }
    }
    (accepted, ended)
}

fn ends(
    server: &Authenticators,
    server_channel: Channel,
    clients: Authenticatees,
    client_channel: Channel,
) -> (Session, Attempt) {
    let authenticatee = "authenticatee(1)@192.0.2.1:5051".to_owned();
    (
        Session::new(server.clone(), server_channel, Nonce([3; 24]), authenticatee),
        Attempt::new(clients, client_channel, Nonce([4; 24])),
    )
}

#[test]
fn authn_the_strongest_mechanism_that_both_have_is_used_on_each_kind_of_connection() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let unbound = Channel { binding: None, ..tls(1) };
    let anonymous = Channel { certificate: None, ..tls(1) };
    for (channel, known, expected) in [
        (tls(1), &ALL[..], "SCRAM-SHA-256-PLUS"),
        (unbound, &ALL[..], "SCRAM-SHA-256"),
        (Channel::default(), &ALL[..], "SCRAM-SHA-256"),
        (Channel::default(), &["CRAM-MD5"][..], "CRAM-MD5"),
        (tls(1), &["CRAM-MD5"][..], "CRAM-MD5"),
        (tls(1), &["EXTERNAL", "CRAM-MD5"][..], "EXTERNAL"),
        (tls(1), &["PLAIN", "CRAM-MD5"][..], "PLAIN"),
        (anonymous, &["PLAIN", "EXTERNAL", "CRAM-MD5"][..], "CRAM-MD5"),
    ] {
        let server = server(&ALL, Arc::clone(&directory));
        let clients = clients(known, "agent-principal", "agent-secret");
        let (mut session, mut attempt) = ends(&server, channel.clone(), clients, channel);
        let (accepted, ended) = exchange(&mut session, &mut attempt, Some);
        let accepted = accepted.unwrap().unwrap();
        assert_eq!(accepted.proved.method.as_str(), expected);
        let Some(attempt::Ended::Authenticated { method, proof }) = ended else {
            panic!("{expected}: {ended:?}")
        };
        assert_eq!((method.as_str(), proof.key), (expected, accepted.key));
    }
}

/// Somebody between two TLS connections who passes everything on unchanged, or takes -PLUS out of
/// the server's list, or everything but one mechanism.
#[test]
fn attack_man_in_the_middle_of_two_channels_with_scram_never_authenticates() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let own = [scram::PLUS, scram::NAME];
    for left in [&own[..], &[scram::PLUS], &[scram::NAME], &[scram::NAME, "CRAM-MD5"]] {
        let server = server(&ALL, Arc::clone(&directory));
        let clients = clients(&own, "agent-principal", "agent-secret");
        let (mut session, mut attempt) = ends(&server, tls(1), clients, tls(2));
        let (accepted, ended) = exchange(&mut session, &mut attempt, |message| match message {
            Message::Mechanisms(_) => Some(Message::Mechanisms(names(left))),
            other => Some(other),
        });
        assert!(!matches!(accepted, Some(Ok(_))), "{left:?}: {accepted:?}");
        assert!(!matches!(ended, Some(attempt::Ended::Authenticated { .. })), "{ended:?}");
        let Some(Err(session::Ended::Error(text))) = accepted else { panic!("{accepted:?}") };
        assert!(text.contains("somebody is in between"), "{text}");
    }
}

/// Somebody who gives the client a connection without a binding (TLS 1.2 without extended master
/// secret, or none at all) and has one with the server that has it.
#[test]
fn attack_man_in_the_middle_who_gives_the_client_no_binding_never_authenticates() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let own = [scram::PLUS, scram::NAME];
    let unbound = Channel { binding: None, ..tls(2) };
    let unverified = Channel { certificate: None, ..unbound.clone() };
    for channel in [unbound, unverified, Channel::default()] {
        for left in [None, Some(&own[..]), Some(&[scram::PLUS]), Some(&[scram::NAME])] {
            let server = server(&ALL, Arc::clone(&directory));
            let clients = clients(&own, "agent-principal", "agent-secret");
            let (mut session, mut attempt) = ends(&server, tls(1), clients, channel.clone());
            let mut said = Vec::new();
            let (accepted, ended) = exchange(&mut session, &mut attempt, |message| match message {
                Message::Mechanisms(all) => Some(Message::Mechanisms(left.map_or(all, names))),
                other => {
                    said.push(other.name());
                    Some(other)
                }
            });
            assert!(!matches!(accepted, Some(Ok(_))), "{left:?}: {accepted:?}");
            let Some(attempt::Ended::Failed(error)) = ended else { panic!("{left:?}: {ended:?}") };
            if left == Some(&[scram::PLUS]) {
                assert!(matches!(error, AttemptError::NoMechanism { .. }), "{error}");
            } else {
                assert!(error.to_string().contains("somebody is in between"), "{error}");
            }
            // Where the client sees it, it says nothing; else the server does, before any proof.
            let seen_by_client = left != Some(&[scram::NAME]);
            assert_eq!(said.is_empty(), seen_by_client, "{left:?}: {said:?}");
            assert!(!said.contains(&"mesos.internal.AuthenticationStepMessage"), "{said:?}");
        }
    }
}

#[test]
fn attack_a12_external_is_not_used_with_a_server_whose_certificate_was_not_verified() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(Accounts::default()));
    let server = server(&ALL, directory);
    for (channel, expected) in [
        (Channel { certificate: None, ..tls(1) }, false),
        (Channel { encrypted: false, ..tls(1) }, false),
        (tls(1), true),
    ] {
        let clients = clients(&["EXTERNAL"], "", "");
        let (mut session, mut attempt) = ends(&server, tls(1), clients, channel);
        let (_, ended) = exchange(&mut session, &mut attempt, Some);
        match (expected, ended) {
            (true, Some(attempt::Ended::Authenticated { .. })) => {}
            (false, Some(attempt::Ended::Failed(AttemptError::NoMechanism { .. }))) => {}
            (_, ended) => panic!("{ended:?}"),
        }
    }
}

/// Strangers, and masters before they can know, say that the credential is wrong.
#[test]
fn attack_a_refusal_is_believed_only_after_the_client_has_shown_its_proof() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let server = server(&ALL, directory);
    for (mechanism, proof_after) in
        [(scram::PLUS, 2), (scram::NAME, 2), ("CRAM-MD5", 2), ("PLAIN", 1)]
    {
        // Instead of the message of the server with this number.
        for place in 0..3 {
            let clients = clients(&[mechanism], "agent-principal", "agent-secret");
            let (mut session, mut attempt) = ends(&server, tls(1), clients, tls(1));
            let mut said = 0;
            let (_, ended) = exchange(&mut session, &mut attempt, |message| {
                let is_servers = match &message {
                    Message::Mechanisms(_) | Message::Completed => true,
                    Message::Start { .. } => false,
                    // The words of the two alternate.
                    _ => said % 2 == 0,
                };
                said += 1;
                let now = is_servers && said == 2 * place + 1;
                Some(if now { Message::Failed } else { message })
            });
            match ended {
                Some(attempt::Ended::Refused) => {
                    assert!(place >= proof_after, "{mechanism} {place}")
                }
                Some(attempt::Ended::Failed(AttemptError::Unexpected("failed"))) => {
                    assert!(place < proof_after, "{mechanism} {place}");
                }
                Some(attempt::Ended::Authenticated { .. }) => {
                    assert!(mechanism == "PLAIN" && place == 2)
                }
                ended => panic!("{mechanism} {place}: {ended:?}"),
            }
        }
    }
}

#[test]
fn attack_a_downgrade_to_what_the_client_does_not_use_is_an_error_and_not_an_attempt() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let server = server(&ALL, directory);
    let clients = clients(&[scram::PLUS, scram::NAME], "agent-principal", "agent-secret");
    let (mut session, mut attempt) = ends(&server, tls(1), clients, tls(1));
    let mut said = Vec::new();
    let (_, ended) = exchange(&mut session, &mut attempt, |message| {
        said.push(message.name());
        match message {
            Message::Mechanisms(_) => Some(Message::Mechanisms(names(&["PLAIN", "CRAM-MD5"]))),
            other => Some(other),
        }
    });
    let Some(attempt::Ended::Failed(error @ AttemptError::NoMechanism { .. })) = ended else {
        panic!("{ended:?}")
    };
    assert!(error.to_string().contains("PLAIN, CRAM-MD5"), "{error}");
    assert_eq!(said, ["mesos.internal.AuthenticationMechanismsMessage"]);
}

#[test]
fn attack_a12_a_master_that_is_satisfied_without_having_proved_itself_is_no_master() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let server = server(&ALL, directory);
    for early in 0..3 {
        let clients = clients(&[scram::NAME], "agent-principal", "agent-secret");
        let (mut session, mut attempt) =
            ends(&server, Channel::default(), clients, Channel::default());
        let mut steps = 0;
        let (_, ended) = exchange(&mut session, &mut attempt, |message| match message {
            Message::Step(data) if !data.starts_with(b"c=") && !data.is_empty() => {
                steps += 1;
                Some(if steps > early { Message::Completed } else { Message::Step(data) })
            }
            other => Some(other),
        });
        match (early, ended) {
            (2, Some(attempt::Ended::Authenticated { proof, .. })) => assert!(proof.mutual),
            (0 | 1, Some(attempt::Ended::Failed(AttemptError::Mechanism(error)))) => {
                assert!(matches!(error, ClientError::Unproven(_)), "{error}");
            }
            (_, ended) => panic!("{early}: {ended:?}"),
        }
    }
}

/// Somebody guesses at one principal by each mechanism, and sees whatever is sent.
#[test]
fn attack_a9_who_guesses_too_often_sees_the_same_of_right_and_wrong_guesses() {
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts(vec![plain("agent-secret")])));
    let server = server(&ALL, directory);
    let address = "192.0.2.66".parse().unwrap();
    for mechanism in [scram::PLUS, scram::NAME, "PLAIN", "CRAM-MD5"] {
        let mut throttle = Throttle::new(ThrottleSettings::default());
        let mut guess = |secret| {
            let clients = clients(&[mechanism], "agent-principal", secret);
            let (mut session, mut attempt) = ends(&server, tls(1), clients, tls(1));
            let mut seen = Vec::new();
            let seeing = |message: Message| {
                seen.push((message.name(), format!("{message:?}").len()));
                Some(message)
            };
            let now = model::time::Instant::default();
            let (result, _) = exchange_judged(&mut session, &mut attempt, seeing, |verdict| {
                throttle.judge(verdict.claimed.as_deref(), address, verdict.tried, now)
            });
            (seen, result.unwrap())
        };
        for _ in 0..6 {
            let (seen, result) = guess("wrong-secret");
            assert!(matches!(result, Err(session::Ended::Refused(_))), "{mechanism}: {result:?}");
            assert_eq!(seen.last().unwrap().0, Message::Failed.name());
        }
        let (wrong, unsaid) = guess("wrong-secret");
        assert!(matches!(unsaid, Err(session::Ended::Withheld(_))), "{mechanism}: {unsaid:?}");
        let (right, withheld) = guess("agent-secret");
        assert_eq!(unsaid, withheld, "{mechanism}");
        // The last thing to be seen is the proof.
        assert_eq!(wrong, right, "{mechanism}");
    }
}

/// A mechanism, such as one from elsewhere, that tells who is right by going on.
#[test]
fn authn_a_mechanism_that_lets_its_verdict_slip_does_not_conform() {
    #[derive(Debug)]
    struct Slipping(Arc<dyn Authenticator>);
    #[derive(Debug)]
    struct Slips(Box<dyn ServerExchange>);
    impl Authenticator for Slipping {
        fn mechanism(&self) -> &str {
            self.0.mechanism()
        }
        fn is_offered(&self, channel: &Channel) -> bool {
            self.0.is_offered(channel)
        }
        fn cost(&self) -> Cost {
            self.0.cost()
        }
        fn begin(
            &self,
            channel: &Channel,
            offered: &[String],
            nonce: Nonce,
        ) -> Box<dyn ServerExchange> {
            Box::new(Slips(self.0.begin(channel, offered, nonce)))
        }
    }
    impl ServerExchange for Slips {
        fn step(&mut self, input: &[u8]) -> ServerStep {
            match self.0.step(input) {
                ServerStep::Confirm { data, .. } => ServerStep::Continue(data),
                step => step,
            }
        }
    }
    let honest = case(scram::NAME, vec![plain("agent-secret")]);
    let slipping = Slipping(Arc::clone(honest.server.get(scram::NAME).unwrap()));
    let server = Authenticators::new(vec![Arc::new(slipping)]);
    let case = Case { server, ..honest };
    let violation = conformance::check(&case).unwrap_err();
    assert_eq!(violation.rule, "nobody learns the verdict before it is judged");
}

/// Something that a client or server could have said, or nobody would.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "n,,n=agent-principal,r=abc",
        "p=tls-exporter,,n=agent-principal,r=abc",
        "c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "r=abcdef,s=AAAA,i=4096",
        "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "\0agent-principal\0agent-secreT",
        "agent-principal 00000000000000000000000000000000",
        "",
    ]);
    prop_oneof![
        known.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..80),
        "[npy,=arcevsi0-9A-Z+/ \0]{0,60}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whoever does not know the secret may say what they like, as often as they like: the server
    /// never takes them for anybody, and nothing panics.
    #[test]
    fn attack_no_words_authenticate_a_client(
        mechanism in prop::sample::select(vec![scram::PLUS, scram::NAME, "PLAIN", "CRAM-MD5"]),
        said in prop::collection::vec(words(), 1..6),
    ) {
        let directory = accounts(vec![plain("agent-secret")]);
        let server = server(&ALL, Arc::new(Arc::new(directory)));
        let (mut session, _) = ends(&server, tls(1), clients(&[], "p", "s"), tls(1));
        let from = "authenticatee(1)@192.0.2.1:5051";
        let _ = session.start();
        for (n, data) in said.into_iter().enumerate() {
            let message = match n {
                0 => Message::Start { mechanism: mechanism.into(), data },
                _ => Message::Step(data),
            };
            let mut output = session.receive(from, message);
            while let session::Output::Work(work) = output {
                output = session.worked(work.run());
            }
            if let session::Output::Judge(verdict) = output {
                prop_assert_eq!(verdict.tried, Tried::Failed);
                output = session.judged(Judgement::Answer);
            }
            if let session::Output::End { result, .. } = output {
                prop_assert!(result.is_err(), "{:?}", result);
            }
        }
    }

    /// Whoever does not know the secret may say to a client what they like: it does not take them
    /// for a master that has proved itself, and nothing panics.
    #[test]
    fn attack_a12_no_words_make_a_master(
        mechanism in prop::sample::select(vec![scram::PLUS, scram::NAME]),
        said in prop::collection::vec(words(), 0..5),
    ) {
        let clients = clients(&[mechanism], "agent-principal", "agent-secret");
        let mut attempt = Attempt::new(clients, tls(1), Nonce([4; 24]));
        let from = "session(1)@192.0.2.9:5050";
        let _ = attempt.start("slave(1)@192.0.2.1:5051".into());
        let offered = Message::Mechanisms(names(&[mechanism]));
        let said = said.into_iter().map(Message::Step);
        for message in [offered].into_iter().chain(said).chain([Message::Completed]) {
            let mut output = attempt.receive(from, message);
            while let attempt::Output::Work(work) = output {
                output = attempt.worked(work.run());
            }
            let is_true = matches!(
                output,
                attempt::Output::End(attempt::Ended::Authenticated { .. })
            );
            prop_assert!(!is_true);
        }
    }
}
