//! Calls: the body of a v1 request as a message, and a message as a response.

use wire::json::{self, Names, Style};
use wire::{Described, Limits};

use crate::heavy;
use crate::media::{self, Media};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::request::Request;

/// Reads the call in a request's body. The content type is checked before the body is looked at.
///
/// # Errors
/// 400 and 415, in the original's words. A `type` that the enum does not have is no error here: it
/// is unset in the message, as in the original, and validation says what is missing.
pub fn read<T: Described>(request: &Request, limits: &Limits) -> Result<T, Refusal> {
    heavy::run(request.body.len(), || parse(request, limits))
}

fn parse<T: Described>(request: &Request, limits: &Limits) -> Result<T, Refusal> {
    match media::content_type(&request.headers)? {
        Media::Json => json::read(&request.body, Names::V1, limits)
            .map_err(|e| Refusal::bad_request(e.body_text())),
        Media::Protobuf => match wire::check::decode(&request.body, limits) {
            Ok((call, report)) => {
                if report != wire::check::Report::default() {
                    tracing::debug!(?report, message = T::NAME, "a call was put right");
                }
                Ok(call)
            }
            // The original says only that; the reason is worth having in the log.
            Err(error) => Err(Refusal::bad_request("Failed to parse body into Call protobuf")
                .because(error.to_string())),
        },
    }
}

/// 400 with the text of a failed validation: `Failed to validate <kind>::Call: <what>`.
#[must_use]
pub fn invalid(kind: &str, what: &str) -> Refusal {
    Refusal::bad_request(format!("Failed to validate {kind}::Call: {what}"))
}

/// 400 for a member that the call's type requires.
#[must_use]
pub fn absent(kind: &str, member: &str) -> Refusal {
    invalid(kind, &format!("Expecting '{member}' to be present"))
}

/// A message as a reply in the form that was negotiated; `style` is for JSON.
#[must_use]
pub fn reply<T: Described>(media: Media, message: &T, style: Style) -> Reply {
    Reply::Message(media, encode(media, message, style).into())
}

/// A message as bytes in one of the two forms.
#[must_use]
pub fn encode<T: Described>(media: Media, message: &T, style: Style) -> Vec<u8> {
    match media {
        Media::Protobuf => wire::encode(message),
        Media::Json => {
            let mut out = Vec::new();
            json::write(message, style, &mut out);
            out
        }
    }
}
