//! libprocess messages: what makes a request one, how they are read and written.

use std::net::SocketAddrV4;

use bytes::{BufMut, BytesMut};
use http::header::USER_AGENT;
use http::{HeaderName, Method};
use percent_encoding::percent_decode_str;

use crate::channel::{ALCAZAR_CHANNEL, ChannelClaim};
use crate::head::{RequestHead, last};
use crate::sender::ClaimedPid;
use crate::upid::{Upid, UpidError, is_id};

/// The header that names the sender of a message.
pub const LIBPROCESS_FROM: HeaderName = HeaderName::from_static("libprocess-from");

const USER_AGENT_PREFIX: &str = "libprocess/";

/// Whether a request is a message: a POST with the sender's header (whatever it says) or with a
/// user agent that begins with `libprocess/`.
#[must_use]
pub fn is_message(head: &RequestHead) -> bool {
    head.method == Method::POST
        && (head.headers.contains_key(LIBPROCESS_FROM)
            || last(&head.headers, USER_AGENT)
                .is_some_and(|v| v.as_bytes().starts_with(USER_AGENT_PREFIX.as_bytes())))
}

/// What the head of a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// Who claims to send it, if that is the address of an actor at all.
    pub from: Result<ClaimedPid, UpidError>,
    /// The addressed actor of this instance, percent-decoded; may be empty.
    pub to: String,
    /// The message's name, as sent: as a rule a protobuf type such as
    /// `mesos.internal.PingSlaveMessage`; may be empty.
    pub name: String,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// That the connection belongs to a session, if it says so.
    pub channel: Option<ChannelClaim>,
}

/// Why a message has no addressee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageHeadError {
    /// The request target does not begin with a slash.
    #[error("Request URL path must start with '/'")]
    Path,
    /// The addressee holds a percent sign without two hexadecimal digits. The text is the
    /// original's.
    #[error("Failed to decode URL path: Malformed % escape in '{segment}': '{escape}'")]
    Escape {
        /// The first segment of the path.
        segment: String,
        /// The percent sign and what follows it.
        escape: String,
    },
}

impl MessageHead {
    /// Reads the head of a request for which [`is_message`] holds.
    pub fn read(head: &RequestHead) -> Result<Self, MessageHeadError> {
        let path = crate::route::path_of(&head.target).ok_or(MessageHeadError::Path)?;
        let rest = path.strip_prefix('/').ok_or(MessageHeadError::Path)?;
        let (to, name) = rest.split_once('/').unwrap_or((rest, ""));
        let to = decode(to)
            .map_err(|escape| MessageHeadError::Escape { segment: to.to_owned(), escape })?;
        let gzip = last(&head.headers, http::header::CONTENT_ENCODING)
            .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"gzip"));
        Ok(Self {
            from: claimed_sender(head),
            to,
            name: name.to_owned(),
            keep_alive: head.keep_alive(),
            gzip,
            channel: last(&head.headers, ALCAZAR_CHANNEL)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok()),
        })
    }
}

/// The sender's header if there is one, whatever it says, otherwise the user agent.
fn claimed_sender(head: &RequestHead) -> Result<ClaimedPid, UpidError> {
    let text = match last(&head.headers, LIBPROCESS_FROM) {
        Some(value) => value.to_str().ok(),
        None => last(&head.headers, USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix(USER_AGENT_PREFIX)),
    };
    text.ok_or(UpidError::Id)?.trim().parse().map(ClaimedPid)
}

/// Percent-decodes once, with `+` as a space; the error is the escape that is none.
pub(crate) fn decode(text: &str) -> Result<String, String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let digits = rest.as_bytes().get(1..3);
        if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
            return Err(rest.chars().take(3).collect());
        }
        rest = &rest[3..];
    }
    let spaced = text.replace('+', " ");
    Ok(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// Why a message cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The id of the sender or of the addressee holds a character that would change the meaning
    /// of the head.
    #[error("`{0}` is not the id of an actor")]
    Id(String),
    /// The name holds such a character.
    #[error("`{0}` is not the name of a message")]
    Name(String),
}

/// Writes a message exactly as the original does: the same header fields in the same order, the
/// body in one chunk, and no body at all without `Transfer-Encoding`.
///
/// Ids and names are checked, since they may come from a peer: a line end in one would begin
/// another message in the name of this component.
pub fn encode_message(
    out: &mut BytesMut,
    from: &Upid,
    to: &Upid,
    name: &str,
    body: &[u8],
) -> Result<(), EncodeError> {
    encode_message_head(out, from, to, name, body.len())?;
    if !body.is_empty() {
        out.put_slice(body);
        out.put_slice(MESSAGE_TAIL);
    }
    Ok(())
}

/// Puts a claim into the head of a message that [`encode_message`] has written.
#[must_use]
pub fn with_claim(message: &[u8], claim: &ChannelClaim) -> BytesMut {
    // The request line is the first: nothing in it is a line end.
    let line = message.iter().position(|b| *b == b'\n').map_or(0, |end| end + 1);
    let (line, rest) = message.split_at(line);
    let header = format!("Alcazar-Channel: {claim}\r\n");
    let mut out = BytesMut::with_capacity(message.len() + header.len());
    for part in [line, header.as_bytes(), rest] {
        out.put_slice(part);
    }
    out
}

/// What follows the body of a message that has one.
pub const MESSAGE_TAIL: &[u8] = b"\r\n0\r\n\r\n";

/// Writes what stands before the body of a message; a body that is not empty must be followed by
/// [`MESSAGE_TAIL`].
pub fn encode_message_head(
    out: &mut BytesMut,
    from: &Upid,
    to: &Upid,
    name: &str,
    body_length: usize,
) -> Result<(), EncodeError> {
    for id in [&from.id, &to.id] {
        if !is_id(id) {
            return Err(EncodeError::Id(id.clone()));
        }
    }
    let valid = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#');
    if name.is_empty() || !name.bytes().all(valid) {
        return Err(EncodeError::Name(name.to_owned()));
    }
    out.put_slice(b"POST /");
    if !to.id.is_empty() {
        out.put_slice(to.id.as_bytes());
        out.put_u8(b'/');
    }
    out.put_slice(name.as_bytes());
    let address: SocketAddrV4 = to.address;
    let lines = format!(
        " HTTP/1.1\r\nUser-Agent: libprocess/{from}\r\nLibprocess-From: {from}\r\n\
         Connection: Keep-Alive\r\nHost: {address}\r\n"
    );
    out.put_slice(lines.as_bytes());
    if body_length == 0 {
        out.put_slice(b"\r\n");
    } else {
        out.put_slice(format!("Transfer-Encoding: chunked\r\n\r\n{body_length:x}\r\n").as_bytes());
    }
    Ok(())
}
