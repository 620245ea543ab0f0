//! The messages of an exchange as libprocess carries them (`authentication.md` §2).

use authn::sasl::message::Message;
use wire::Limits;
use wire::internal::{
    AuthenticateMessage, AuthenticationCompletedMessage, AuthenticationErrorMessage,
    AuthenticationFailedMessage, AuthenticationMechanismsMessage, AuthenticationStartMessage,
    AuthenticationStepMessage,
};

/// The name and the body of a message. `data` is always there, if empty: the original cannot read
/// a step without it.
pub(super) fn encode(message: &Message) -> (&'static str, Vec<u8>) {
    let body = match message {
        Message::Authenticate { pid } => wire::encode(&AuthenticateMessage { pid: pid.clone() }),
        Message::Mechanisms(mechanisms) => {
            wire::encode(&AuthenticationMechanismsMessage { mechanisms: mechanisms.clone() })
        }
        Message::Start { mechanism, data } => wire::encode(&AuthenticationStartMessage {
            mechanism: mechanism.clone(),
            data: Some(data.clone().into()),
        }),
        Message::Step(data) => {
            wire::encode(&AuthenticationStepMessage { data: data.clone().into() })
        }
        Message::Completed => wire::encode(&AuthenticationCompletedMessage {}),
        Message::Failed => wire::encode(&AuthenticationFailedMessage {}),
        Message::Error(text) => {
            wire::encode(&AuthenticationErrorMessage { error: Some(text.clone()) })
        }
    };
    (message.name(), body)
}

/// What a master's session may say to a client; `None` for any other message.
pub(super) fn decode(name: &str, body: &[u8]) -> Option<Result<Message, String>> {
    fn read<T: wire::Described>(body: &[u8]) -> Result<T, String> {
        let read = wire::check::decode::<T>(body, &Limits::default());
        read.map(|(message, _)| message).map_err(|error| error.to_string())
    }
    Some(match name {
        "mesos.internal.AuthenticationMechanismsMessage" => {
            read::<AuthenticationMechanismsMessage>(body)
                .map(|message| Message::Mechanisms(message.mechanisms))
        }
        "mesos.internal.AuthenticationStepMessage" => read::<AuthenticationStepMessage>(body)
            .map(|message| Message::Step(message.data.into())),
        "mesos.internal.AuthenticationCompletedMessage" => {
            read::<AuthenticationCompletedMessage>(body).map(|_| Message::Completed)
        }
        "mesos.internal.AuthenticationFailedMessage" => {
            read::<AuthenticationFailedMessage>(body).map(|_| Message::Failed)
        }
        "mesos.internal.AuthenticationErrorMessage" => read::<AuthenticationErrorMessage>(body)
            .map(|message| Message::Error(message.error.unwrap_or_default())),
        _ => return None,
    })
}

#[cfg(test)]
mod authn_wire {
    use super::*;

    /// As the original sends it: `authentication.md` §3.
    #[test]
    fn a_start_without_data_carries_the_field() {
        let start = Message::Start { mechanism: "CRAM-MD5".into(), data: Vec::new() };
        let (_, body) = encode(&start);
        assert_eq!(body, b"\x0a\x08CRAM-MD5\x12\x00");
        assert_eq!(encode(&Message::Step(Vec::new())).1, b"\x0a\x00");
        assert_eq!(encode(&Message::Completed).1, b"");
    }

    #[test]
    fn what_a_session_says_is_read_back_and_nothing_else() {
        for message in [
            Message::Mechanisms(vec!["SCRAM-SHA-256".into(), "CRAM-MD5".into()]),
            Message::Step(b"<1.2@vm>".to_vec()),
            Message::Completed,
            Message::Failed,
            Message::Error("why".into()),
        ] {
            let (name, body) = encode(&message);
            assert_eq!(decode(name, &body), Some(Ok(message)));
        }
        for client in [
            Message::Authenticate { pid: "slave(1)@127.0.0.1:1".into() },
            Message::Start { mechanism: "PLAIN".into(), data: Vec::new() },
        ] {
            let (name, body) = encode(&client);
            assert_eq!(decode(name, &body), None);
        }
        assert!(matches!(decode("mesos.internal.AuthenticationStepMessage", b""), Some(Err(_))));
    }
}
