//! The key of `--jwt_secret_key`, and the tokens made with it.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::principal::Principal;
use model::time::Timestamp;
use serde_json::Value;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::encoded::encode;
use crate::secret::Secret;

/// A key for HS256: the bytes of a file.
///
/// The original takes all of them, a trailing newline too; most other programs would take the
/// line without it. Tokens are made as the original makes them, and verify by either reading.
#[derive(Clone, Debug)]
pub struct Key {
    whole: Secret,
    line: Option<Secret>,
}

impl Key {
    /// The key in a file with these contents.
    #[must_use]
    pub fn of_file(contents: Secret) -> Self {
        let line = contents.expose().strip_suffix(b"\n");
        let line = line.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        // Nobody means a key of no bytes: anybody could sign with it.
        let line = line.filter(|line| !line.is_empty()).map(|line| Secret::new(line.to_vec()));
        Self { whole: contents, line }
    }

    fn mac(key: &Secret, message: &[u8]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("any length");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether `signature` is that of `message` by either reading of the key.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let mut right = Choice::from(0);
        for key in std::iter::once(&self.whole).chain(&self.line) {
            right |= Self::mac(key, message).ct_eq(signature);
        }
        right.into()
    }
}

/// From when until when a token is valid, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// `iat`
    pub issued: Timestamp,
    /// `exp`: the last second in which it is valid.
    pub expires: Timestamp,
}

/// Why a token is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Names are not for tokens of this sort.
    #[error("Principal has a value, but only claims are supported")]
    Named,
}

/// Makes tokens that carry claims, as the original's for executors (`authentication.md` §18.1).
#[derive(Clone, Debug)]
pub struct TokenIssuer {
    key: Key,
}

impl TokenIssuer {
    /// Makes them with `key`.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key }
    }

    /// A token with the claims of `principal`. Without a lifetime it is valid as long as the key
    /// is, as the original's are.
    pub fn issue(
        &self,
        principal: &Principal,
        lifetime: Option<Lifetime>,
    ) -> Result<Secret, IssueError> {
        if principal.value().is_some() {
            return Err(IssueError::Named);
        }
        let claims = principal.claims().iter();
        let mut payload: BTreeMap<&str, Value> =
            claims.map(|(name, claim)| (name.as_str(), Value::from(claim.as_str()))).collect();
        if let Some(Lifetime { issued, expires }) = lifetime {
            payload.insert("exp", expires.since_epoch().as_secs().into());
            payload.insert("iat", issued.since_epoch().as_secs().into());
        }
        let payload = payload.into_iter().map(|(name, claim)| (name.to_owned(), claim));
        let payload = Value::Object(payload.collect()).to_string();
        let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let mut token = format!("{header}.{}", encode(payload.as_bytes()));
        let signature = Key::mac(&self.key.whole, token.as_bytes());
        token.push('.');
        token.push_str(&encode(&signature));
        Ok(Secret::new(token.into_bytes()))
    }
}
