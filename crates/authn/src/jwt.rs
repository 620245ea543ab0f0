//! JSON web tokens (RFC 7515, 7517, 7519; `authentication.md` §16, §18.1).
//!
//! Two sorts are understood. Those of HS256 are the original's: made and verified with the key of
//! `--jwt_secret_key`, they carry claims and no name, and executors show them. Those of RS256,
//! ES256 and EdDSA come from an identity provider whose public keys are in a JWKS file: their
//! `sub` is a name. Which algorithm a token may use is decided by the key, never by the token.

mod encoded;
mod jwks;
mod key;
mod published;
mod verify;

use std::fmt;

pub(crate) use encoded::quotable;
pub use jwks::{Algorithm, Jwk, Jwks, JwksError, PublicKey};
pub use key::{IssueError, Key, Lifetime, TokenIssuer};
pub use published::{LEEWAY, Published};
pub use verify::{Rejected, Verifier};

/// Verifies signatures: what needs a library of cryptography, and is therefore the driver's.
pub trait Signatures: fmt::Debug + Send + Sync {
    /// Whether `signature` is `key`'s signature of `message`, by the one algorithm that the key is
    /// for. That of ES256 is `R ‖ S`, 64 bytes (RFC 7518 §3.4). An error means that this could not
    /// be found out.
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, String>;
}

#[cfg(test)]
#[path = "jwt/tests.rs"]
mod authn_jwt;
