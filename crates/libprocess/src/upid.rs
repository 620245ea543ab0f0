//! The address of an actor: `<id>@<ip>:<port>`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

/// The address of an actor inside a libprocess instance, as a plain name: who really answers
/// there, or really speaks from there, is another question (see [`crate::sender`]).
///
/// IPv4 only, since the wire has no form for anything else. The id may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upid {
    /// Which actor of the instance, for example `master` or `slave(1)`.
    pub id: String,
    /// The instance's advertised address.
    pub address: SocketAddrV4,
}

impl Upid {
    /// The address of actor `id` at `address`.
    #[must_use]
    pub fn new(id: impl Into<String>, address: SocketAddrV4) -> Self {
        Self { id: id.into(), address }
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

/// Why a text is not a UPID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpidError {
    /// The id holds something other than visible ASCII, or a character that has a meaning in a
    /// request line.
    #[error("the id in the UPID has characters that no id has")]
    Id,
    /// There is no `@`.
    #[error("no '@' in UPID")]
    NoAt,
    /// What follows the `@` is not `<IPv4 address>:<port>`.
    #[error("no IPv4 address and port after '@' in UPID")]
    Address,
    /// The address or port is zero, or all parts are empty: the null UPID.
    #[error("UPID names no address")]
    Null,
    /// Longer than any real UPID.
    #[error("UPID is longer than {MAX_UPID_BYTES} bytes")]
    TooLong,
}

/// The longest UPID accepted, in bytes.
pub const MAX_UPID_BYTES: usize = 1024;

/// Whether `text` may be the id of an actor: visible ASCII without the characters that would
/// change the meaning of a request line that holds it unescaped. The original escapes nothing
/// and checks nothing; its own ids are letters, digits, `-`, `_`, `(` and `)`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let valid =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'%' | b'+' | b'@');
    text.bytes().all(valid)
}

impl FromStr for Upid {
    type Err = UpidError;

    /// Stricter than the original, which resolves names and ignores what follows the port: a
    /// message never makes us ask a name server, and an address that could mean two things is
    /// refused.
    fn from_str(text: &str) -> Result<Self, UpidError> {
        if text.len() > MAX_UPID_BYTES {
            return Err(UpidError::TooLong);
        }
        let (id, address) = text.split_once('@').ok_or(UpidError::NoAt)?;
        if !is_id(id) {
            return Err(UpidError::Id);
        }
        let address: SocketAddrV4 = address.parse().map_err(|_| UpidError::Address)?;
        if *address.ip() == Ipv4Addr::UNSPECIFIED || address.port() == 0 {
            return Err(UpidError::Null);
        }
        Ok(Self::new(id, address))
    }
}
