//! The messages of an exchange that proves who somebody is, as libprocess carries them
//! (`authentication.md` §2): for masters, agents, and whoever plays either.

use authn::sasl::message::Message;
use wire::internal::{
    AuthenticateMessage, AuthenticationCompletedMessage, AuthenticationErrorMessage,
    AuthenticationFailedMessage, AuthenticationMechanismsMessage, AuthenticationStartMessage,
    AuthenticationStepMessage,
};
use wire::{Described, Limits, check, encode as bytes_of};

/// The body of a message; its name is [`Message::name`]. `data` is always there, if empty: the
/// original cannot read a step without it.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    match message {
        Message::Authenticate { pid } => bytes_of(&AuthenticateMessage { pid: pid.clone() }),
        Message::Mechanisms(mechanisms) => {
            bytes_of(&AuthenticationMechanismsMessage { mechanisms: mechanisms.clone() })
        }
        Message::Start { mechanism, data } => bytes_of(&AuthenticationStartMessage {
            mechanism: mechanism.clone(),
            data: Some(data.clone().into()),
        }),
        Message::Step(data) => bytes_of(&AuthenticationStepMessage { data: data.clone().into() }),
        Message::Completed => bytes_of(&AuthenticationCompletedMessage {}),
        Message::Failed => bytes_of(&AuthenticationFailedMessage {}),
        Message::Error(text) => bytes_of(&AuthenticationErrorMessage { error: Some(text.clone()) }),
    }
}

/// Whether a message called `name` is one that a client sends in an exchange.
#[must_use]
pub fn is_from_client(name: &str) -> bool {
    [AuthenticateMessage::NAME, AuthenticationStartMessage::NAME, AuthenticationStepMessage::NAME]
        .contains(&name)
}

/// What a client says to a master; `None` for any other message, an error says what is wrong with
/// the body.
#[must_use]
pub fn from_client(name: &str, body: &[u8]) -> Option<Result<Message, String>> {
    Some(match name {
        AuthenticateMessage::NAME => read::<AuthenticateMessage>(body)
            .map(|AuthenticateMessage { pid }| Message::Authenticate { pid }),
        AuthenticationStartMessage::NAME => read::<AuthenticationStartMessage>(body).map(
            |AuthenticationStartMessage { mechanism, data }| Message::Start {
                mechanism,
                data: data.unwrap_or_default().into(),
            },
        ),
        AuthenticationStepMessage::NAME => step(body),
        _ => return None,
    })
}

/// What a master's session says to a client; `None` for any other message, an error says what is
/// wrong with the body.
#[must_use]
pub fn from_session(name: &str, body: &[u8]) -> Option<Result<Message, String>> {
    Some(match name {
        AuthenticationMechanismsMessage::NAME => read::<AuthenticationMechanismsMessage>(body)
            .map(|message| Message::Mechanisms(message.mechanisms)),
        AuthenticationStepMessage::NAME => step(body),
        AuthenticationCompletedMessage::NAME => {
            read::<AuthenticationCompletedMessage>(body).map(|_| Message::Completed)
        }
        AuthenticationFailedMessage::NAME => {
            read::<AuthenticationFailedMessage>(body).map(|_| Message::Failed)
        }
        AuthenticationErrorMessage::NAME => read::<AuthenticationErrorMessage>(body)
            .map(|message| Message::Error(message.error.unwrap_or_default())),
        _ => return None,
    })
}

fn step(body: &[u8]) -> Result<Message, String> {
    read::<AuthenticationStepMessage>(body).map(|message| Message::Step(message.data.into()))
}

fn read<T: Described>(body: &[u8]) -> Result<T, String> {
    let read = check::decode::<T>(body, &Limits::default());
    read.map(|(message, _)| message).map_err(|error| error.to_string())
}

#[cfg(test)]
mod authn_exchange {
    use super::*;

    /// As the original sends it: `authentication.md` §3.
    #[test]
    fn data_is_there_even_if_it_is_empty() {
        let start = Message::Start { mechanism: "CRAM-MD5".into(), data: Vec::new() };
        assert_eq!(encode(&start), b"\x0a\x08CRAM-MD5\x12\x00");
        assert_eq!(encode(&Message::Step(Vec::new())), b"\x0a\x00");
        assert_eq!(encode(&Message::Completed), b"");
        assert_eq!(encode(&Message::Mechanisms(vec!["CRAM-MD5".into()])), b"\x0a\x08CRAM-MD5");
    }

    #[test]
    fn a_start_with_and_without_data_is_read() {
        let name = AuthenticationStartMessage::NAME;
        let start =
            |data: &[u8]| Message::Start { mechanism: "CRAM-MD5".into(), data: data.into() };
        for (body, expected) in [
            // As the original sends it: field 2 present and empty.
            (&b"\x0a\x08CRAM-MD5\x12\x00"[..], start(b"")),
            (b"\x0a\x08CRAM-MD5", start(b"")),
            (b"\x0a\x08CRAM-MD5\x12\x01x", start(b"x")),
        ] {
            assert_eq!(from_client(name, body), Some(Ok(expected)));
        }
    }

    #[test]
    fn what_each_says_is_read_by_the_other_and_by_nobody_else() {
        let session = [
            Message::Mechanisms(vec!["SCRAM-SHA-256".into(), "CRAM-MD5".into()]),
            Message::Completed,
            Message::Failed,
            Message::Error("why".into()),
        ];
        for message in session {
            let body = encode(&message);
            assert!(!is_from_client(message.name()));
            assert_eq!(from_client(message.name(), &body), None);
            assert_eq!(from_session(message.name(), &body), Some(Ok(message)));
        }
        let client = [
            Message::Authenticate { pid: "slave(1)@127.0.0.1:1".into() },
            Message::Start { mechanism: "PLAIN".into(), data: Vec::new() },
        ];
        for message in client {
            let body = encode(&message);
            assert!(is_from_client(message.name()));
            assert_eq!(from_session(message.name(), &body), None);
            assert_eq!(from_client(message.name(), &body), Some(Ok(message)));
        }
        let step = Message::Step(b"<1.2@vm>".to_vec());
        let body = encode(&step);
        assert!(is_from_client(step.name()));
        assert_eq!(from_client(step.name(), &body), Some(Ok(step.clone())));
        assert_eq!(from_session(step.name(), &body), Some(Ok(step.clone())));
        for read in [from_client, from_session] {
            assert!(matches!(read(step.name(), b""), Some(Err(_))), "a step without data is none");
        }
    }
}
