//! Calls and events as bytes, in either of the two forms that a master speaks.

use bytes::Bytes;
use wire::check::DecodeError;
use wire::json::{self, JsonError, Names, Style};
use wire::v1::scheduler::{Call, Event};
use wire::{Limits, check};

/// The form of calls and events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    #[default]
    Protobuf,
}

/// Why bytes are no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// They are not the JSON of one.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// They are not the protobuf of one.
    #[error(transparent)]
    Protobuf(#[from] DecodeError),
}

impl ContentType {
    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// The bytes of a call.
    #[must_use]
    pub fn encode(self, call: &Call) -> Bytes {
        match self {
            Self::Json => {
                let mut out = Vec::new();
                json::write(call, Style::V1, &mut out);
                out.into()
            }
            Self::Protobuf => wire::encode(call).into(),
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    /// The bytes are none, or exceed the limits.
    pub fn decode(self, bytes: &[u8], limits: &Limits) -> Result<Event, EventError> {
        match self {
            Self::Json => Ok(json::read(bytes, Names::V1, limits)?),
            Self::Protobuf => Ok(check::decode(bytes, limits)?.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::scheduler::{call, event};

    #[test]
    fn a_heartbeat_is_read_in_both_forms() {
        let limits = Limits::default();
        for (form, bytes) in [
            (ContentType::Protobuf, &b"\x08\x08"[..]),
            (ContentType::Json, br#"{"type":"HEARTBEAT"}"#),
        ] {
            let event = form.decode(bytes, &limits).unwrap();
            assert_eq!(event.r#type(), event::Type::Heartbeat);
        }
        assert!(ContentType::Json.decode(b"\x08\x08", &limits).is_err());
        assert!(ContentType::Protobuf.decode(b"{", &limits).is_err());
    }

    #[test]
    fn a_call_is_written_in_both_forms() {
        let call = Call { r#type: Some(call::Type::Revive as i32), ..Call::default() };
        assert_eq!(&ContentType::Json.encode(&call)[..], br#"{"type":"REVIVE"}"#);
        assert_eq!(&ContentType::Protobuf.encode(&call)[..], b"\x10\x05");
    }
}
