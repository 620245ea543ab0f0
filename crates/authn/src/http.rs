//! Authentication of HTTP requests (`authentication.md` §12–17).

mod basic;
mod bearer;
mod certificate;
mod combined;

use std::fmt;
use std::net::IpAddr;

use model::time::Timestamp;

use crate::Cost;
use crate::proved::{Certified, Proved};
use crate::secret::Secret;

pub use basic::{Basic, BasicAuthenticatee};
pub use bearer::Bearer;
pub use certificate::ClientCertificate;
pub use combined::Combined;

/// What a request shows of its sender.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    /// The value of `Authorization`, the last one if there are several.
    pub authorization: Option<&'a [u8]>,
    /// What the connection's verified certificate says.
    pub certificate: Option<&'a Certified>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Where it comes from. Proves nothing.
    pub address: IpAddr,
    /// The present time.
    pub now: Timestamp,
}

/// One scheme in one realm, on the side that asks who it is.
pub trait HttpAuthenticator: fmt::Debug + Send + Sync {
    /// The scheme's name, such as `Basic`.
    fn scheme(&self) -> &str;

    /// What asking about this request may cost.
    fn cost(&self, presented: &Presented<'_>) -> Cost;

    /// Who the request says that it is from, if anything of it can be guessed: whoever guesses
    /// too often is refused before anything is computed.
    fn claimed(&self, presented: &Presented<'_>) -> Option<String> {
        let _ = presented;
        None
    }

    /// Judges a request. An error is neither of the outcomes: the authenticator itself failed.
    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed>;
}

/// What an authenticator makes of a request: exactly one of three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is known who sent it.
    Proved(Proved),
    /// 401.
    Unauthorized(Unauthorized),
    /// 403: known, and not to be let in.
    Forbidden {
        /// What the client reads.
        body: String,
        /// Why, for the log.
        reason: String,
    },
}

/// A request without proof, or with a wrong one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unauthorized {
    /// The value for `WWW-Authenticate`.
    pub challenge: String,
    /// What the client reads.
    pub body: String,
    /// Who the client said that it is, if it said; from outside.
    pub claimed: Option<String>,
    /// Whether the client tried: presented something that could have been right.
    pub tried: bool,
    /// Why, for the log.
    pub reason: String,
}

/// What the client reads with a 401, if an authenticator has nothing else to say.
pub const UNAUTHORIZED_BODY: &str = "401 Unauthorized.";

/// An authenticator that could not judge; the text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// One scheme, on the side that proves who it is.
pub trait HttpAuthenticatee: fmt::Debug + Send + Sync {
    /// The scheme's name.
    fn scheme(&self) -> &str;

    /// The value for `Authorization`.
    fn authorization(&self) -> Secret;
}
