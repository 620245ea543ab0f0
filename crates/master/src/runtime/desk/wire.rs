//! The messages of an exchange as libprocess carries them (`authentication.md` §2).

use ::wire::internal::{
    AuthenticateMessage, AuthenticationErrorMessage, AuthenticationMechanismsMessage,
    AuthenticationStartMessage, AuthenticationStepMessage,
};
use ::wire::{Described, Limits, check, encode};
use authn::sasl::message::Message;
use bytes::Bytes;

/// Whether the message called `name` belongs to an exchange, as a client sends it.
pub(in super::super) fn is_exchange(name: &str) -> bool {
    [AuthenticateMessage::NAME, AuthenticationStartMessage::NAME, AuthenticationStepMessage::NAME]
        .contains(&name)
}

/// Reads the body of a message for which [`is_exchange`] holds; an error says what is wrong.
pub(in super::super) fn read(name: &str, body: &Bytes) -> Result<Message, String> {
    fn decode<M: Described>(body: &Bytes) -> Result<M, String> {
        let decoded = check::decode::<M>(body, &Limits::default());
        decoded.map(|(message, _)| message).map_err(|error| error.to_string())
    }
    if name == AuthenticateMessage::NAME {
        let AuthenticateMessage { pid } = decode(body)?;
        Ok(Message::Authenticate { pid })
    } else if name == AuthenticationStartMessage::NAME {
        let AuthenticationStartMessage { mechanism, data } = decode(body)?;
        Ok(Message::Start { mechanism, data: data.unwrap_or_default().to_vec() })
    } else if name == AuthenticationStepMessage::NAME {
        let AuthenticationStepMessage { data } = decode(body)?;
        Ok(Message::Step(data.to_vec()))
    } else {
        Err("it is no message of an exchange".to_owned())
    }
}

/// The body of a message to a client. What only clients send has none here.
pub(super) fn body(message: &Message) -> Vec<u8> {
    match message {
        Message::Mechanisms(mechanisms) => {
            encode(&AuthenticationMechanismsMessage { mechanisms: mechanisms.clone() })
        }
        Message::Step(data) => encode(&AuthenticationStepMessage { data: data.clone().into() }),
        Message::Error(error) => encode(&AuthenticationErrorMessage { error: Some(error.clone()) }),
        Message::Completed
        | Message::Failed
        | Message::Authenticate { .. }
        | Message::Start { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod authn_wire {
    use super::*;

    #[test]
    fn a_start_with_and_without_data_is_read() {
        let name = AuthenticationStartMessage::NAME;
        let start =
            |data: &[u8]| Message::Start { mechanism: "CRAM-MD5".into(), data: data.into() };
        for (body, read) in [
            // As the original sends it: field 2 present and empty.
            (&b"\x0a\x08CRAM-MD5\x12\x00"[..], start(b"")),
            (b"\x0a\x08CRAM-MD5", start(b"")),
            (b"\x0a\x08CRAM-MD5\x12\x01x", start(b"x")),
        ] {
            assert_eq!(super::read(name, &Bytes::copy_from_slice(body)), Ok(read));
        }
    }

    #[test]
    fn a_step_without_data_is_none_and_ours_always_has_some() {
        assert!(read(AuthenticationStepMessage::NAME, &Bytes::new()).is_err());
        assert_eq!(body(&Message::Step(Vec::new())), b"\x0a\x00");
        assert_eq!(body(&Message::Completed), b"");
        assert_eq!(body(&Message::Mechanisms(vec!["CRAM-MD5".into()])), b"\x0a\x08CRAM-MD5");
    }
}
