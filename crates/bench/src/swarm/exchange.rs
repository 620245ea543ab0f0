//! The messages of an exchange as bytes (`authentication.md` §2).

use authn::sasl::message::Message;
use wire::check::{DecodeError, decode};
use wire::internal::{
    AuthenticateMessage, AuthenticationCompletedMessage, AuthenticationErrorMessage,
    AuthenticationFailedMessage, AuthenticationMechanismsMessage, AuthenticationStartMessage,
    AuthenticationStepMessage,
};
use wire::{Limits, encode as bytes_of};

/// The body of `message`.
pub(crate) fn encode(message: Message) -> Vec<u8> {
    match message {
        Message::Authenticate { pid } => bytes_of(&AuthenticateMessage { pid }),
        Message::Mechanisms(mechanisms) => {
            bytes_of(&AuthenticationMechanismsMessage { mechanisms })
        }
        Message::Start { mechanism, data } => {
            bytes_of(&AuthenticationStartMessage { mechanism, data: Some(data.into()) })
        }
        Message::Step(data) => bytes_of(&AuthenticationStepMessage { data: data.into() }),
        Message::Completed => bytes_of(&AuthenticationCompletedMessage {}),
        Message::Failed => bytes_of(&AuthenticationFailedMessage {}),
        Message::Error(text) => bytes_of(&AuthenticationErrorMessage { error: Some(text) }),
    }
}

/// What a session may say; `None` if `name` is nothing of the kind.
pub(crate) fn decode_of_session(name: &str, body: &[u8]) -> Option<Result<Message, DecodeError>> {
    let limits = Limits::default();
    let short = name.strip_prefix("mesos.internal.Authentication")?;
    Some(match short {
        "MechanismsMessage" => decode::<AuthenticationMechanismsMessage>(body, &limits)
            .map(|(message, _)| Message::Mechanisms(message.mechanisms)),
        "StepMessage" => decode::<AuthenticationStepMessage>(body, &limits)
            .map(|(message, _)| Message::Step(message.data.to_vec())),
        "CompletedMessage" => {
            decode::<AuthenticationCompletedMessage>(body, &limits).map(|_| Message::Completed)
        }
        "FailedMessage" => {
            decode::<AuthenticationFailedMessage>(body, &limits).map(|_| Message::Failed)
        }
        "ErrorMessage" => decode::<AuthenticationErrorMessage>(body, &limits)
            .map(|(message, _)| Message::Error(message.error.unwrap_or_default())),
        _ => return None,
    })
}
