//! Guessing at a master by SCRAM, where the answer to a right proof is not yet the end (A9).

use std::time::{Duration, Instant};

use authn::accounts::Credential;
use authn::sasl::attempt::{Attempt, Output};
use authn::sasl::message::Message;
use authn::sasl::offer::{Authenticatees, ClientSettings};
use authn::sasl::{Channel, Nonce};
use authn::secret::Secret;
use libprocess::upid::Upid;
use wire::internal;

use crate::master_peers::{Client, Strict};

/// After the sixth failure a second has to pass.
const FREE: u32 = 6;

/// A client that has only its proof left to say.
struct Guess {
    client: Client,
    session: Upid,
    proof: Vec<u8>,
}

impl Guess {
    fn new(master: &Strict, principal: &str, secret: &str) -> Self {
        let mut client = Client::agent(master);
        let session = client.begin();
        let credential = Credential { principal: principal.into(), secret: Secret::from(secret) };
        let settings = ClientSettings {
            mechanisms: vec!["SCRAM-SHA-256".to_owned()],
            danger_plaintext_secrets: false,
            credential: Some(credential),
            certificate: false,
        };
        let clients = Authenticatees::from_settings(&settings).unwrap();
        let mut attempt = Attempt::new(clients, Channel::default(), Nonce(rand::random()));
        let _ = attempt.start(client.upid().to_string());
        let offered = Message::Mechanisms(settings.mechanisms);
        let Message::Start { mechanism, data } = said(&mut attempt, &session, offered) else {
            panic!("no start")
        };
        let data = Some(data.into());
        client.whisper(&session, &internal::AuthenticationStartMessage { mechanism, data });
        let (_, salted) = client.hear::<internal::AuthenticationStepMessage>();
        let Message::Step(proof) =
            said(&mut attempt, &session, Message::Step(salted.data.to_vec()))
        else {
            panic!("no proof")
        };
        Self { client, session, proof }
    }

    fn say(&mut self) {
        let data = self.proof.clone().into();
        self.client.whisper(&self.session, &internal::AuthenticationStepMessage { data });
    }

    fn is_refused(&mut self) {
        self.say();
        self.client.hear::<internal::AuthenticationFailedMessage>();
    }
}

/// What the client answers.
fn said(attempt: &mut Attempt, session: &Upid, message: Message) -> Message {
    let mut output = attempt.receive(&session.to_string(), message);
    while let Output::Work(work) = output {
        output = attempt.worked(work.run());
    }
    match output {
        Output::Send(message) => message,
        other => panic!("{other:?}"),
    }
}

/// Judged results, whether or not they were told.
fn judged(master: &Strict) -> f64 {
    ["accepted", "withheld", "refused"]
        .iter()
        .map(|name| master.metric(&format!("alcazar/authentication/{name}")))
        .sum()
}

#[test]
fn attack_a9_who_guesses_by_scram_does_not_see_which_guess_was_right() {
    let master = Strict::start(&[]);
    for (principal, secret) in [("agent-a", "secret-a"), ("agent-b", "secret-b")] {
        for n in 1..FREE {
            Guess::new(&master, principal, &format!("wrong-{n}")).is_refused();
        }
        let mut last = Guess::new(&master, principal, "wrong");
        let (mut wrong, mut right) =
            (Guess::new(&master, principal, "secret-"), Guess::new(&master, principal, secret));
        let before = judged(&master);
        let begun = Instant::now();
        last.is_refused();
        wrong.say();
        right.say();
        let deadline = begun + testkit::process::PATIENCE;
        while judged(&master) < before + 3.0 {
            assert!(Instant::now() < deadline, "the guesses were not judged");
        }
        if begun.elapsed() >= Duration::from_secs(1) {
            // So slow that they may have waited; another principal.
            continue;
        }
        assert_eq!(master.metric("alcazar/authentication/accepted"), 0.0);
        // Neither has heard anything: what comes next answers their next attempt.
        for mut guess in [wrong, right] {
            guess.client.begin();
        }
        return;
    }
    panic!("this machine is too slow for guesses within a second");
}
