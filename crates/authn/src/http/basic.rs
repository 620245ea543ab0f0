//! Basic (`authentication.md` §15), and what the original lacks: it can verify against hashes,
//! and an unknown principal costs what a known one costs.

mod recent;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurpose as Base64};
use model::principal::Principal;
use zeroize::Zeroizing;

use super::{
    Failed, HttpAuthenticatee, HttpAuthenticator, Outcome, Presented, UNAUTHORIZED_BODY,
    Unauthorized,
};
use crate::Cost;
use crate::accounts::Directory;
use crate::password::{Passwords, Work};
use crate::proved::{Method, Proved};
use crate::secret::Secret;
use recent::Recent;

/// Padding is optional, as there. The unused bits of the last character have to be zero, as every
/// client writes them: there are no two ways to write one secret.
const LENIENT: Base64 = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// For how long a success is remembered at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(5 * 60);

/// Knows clients by the secret that they send.
///
/// Who proved a secret that is stored as a hash is remembered for a while by a keyed digest, so
/// that a client that asks often makes one slow computation, not one for each request. What is
/// remembered is forgotten when the accounts change.
#[derive(Debug)]
pub struct Basic {
    challenge: String,
    accounts: Arc<dyn Directory>,
    passwords: Passwords,
    recent: Recent,
}

impl Basic {
    /// Knows those of `accounts`, in `realm`. `key` is fresh random bytes: it keys the digests of
    /// what is remembered, and never leaves this process.
    #[must_use]
    pub fn new(realm: &str, accounts: Arc<dyn Directory>, key: [u8; 32]) -> Self {
        Self {
            challenge: format!("Basic realm=\"{realm}\""),
            passwords: Passwords::new(Arc::clone(&accounts)),
            accounts,
            recent: Recent::new(key, REMEMBERED_FOR),
        }
    }

    /// How many slow computations were made so far.
    #[must_use]
    pub fn work(&self) -> Work {
        self.passwords.work()
    }

    fn refused(&self, reason: impl Into<String>) -> Unauthorized {
        Unauthorized {
            challenge: self.challenge.clone(),
            body: UNAUTHORIZED_BODY.to_owned(),
            claimed: None,
            tried: false,
            reason: reason.into(),
        }
    }
}

impl HttpAuthenticator for Basic {
    fn scheme(&self) -> &str {
        "Basic"
    }

    fn cost(&self, presented: &Presented<'_>) -> Cost {
        if !self.passwords.is_slow() {
            return Cost::Light;
        }
        let accounts = self.accounts.current();
        match presented.authorization.map(Given::read) {
            Some(Ok(given)) if self.recent.find(&accounts, &given, presented.now).is_none() => {
                Cost::Blocking
            }
            _ => Cost::Light,
        }
    }

    fn claimed(&self, presented: &Presented<'_>) -> Option<String> {
        presented.authorization.and_then(|h| Given::read(h).ok()).map(|given| given.principal)
    }

    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed> {
        let Some(header) = presented.authorization else {
            return Ok(Outcome::Unauthorized(self.refused("no credentials")));
        };
        let given = match Given::read(header) {
            Ok(given) => given,
            Err(why) => return Ok(Outcome::Unauthorized(self.refused(why))),
        };
        // Before the secret is checked: if they change meanwhile, what is found is remembered for
        // accounts that are no more, and found by nobody.
        let accounts = self.accounts.current();
        let slow = self.passwords.is_slow();
        if slow && let Some(kinds) = self.recent.find(&accounts, &given, presented.now) {
            let principal = Principal::named(&given.principal);
            return Ok(Outcome::Proved(Proved { principal, kinds, method: Method::BASIC }));
        }
        let Given { principal, secret } = &given;
        Ok(match self.passwords.check_even_empty(principal, secret.expose(), Method::BASIC) {
            Ok(proved) => {
                if slow {
                    self.recent.remember(&accounts, &given, proved.kinds, presented.now);
                }
                Outcome::Proved(proved)
            }
            Err(why) => Outcome::Unauthorized(Unauthorized {
                claimed: Some(given.principal.clone()),
                tried: true,
                ..self.refused(why.to_string())
            }),
        })
    }
}

/// What a client sent.
#[derive(Debug)]
struct Given {
    principal: String,
    secret: Secret,
}

impl Given {
    /// What `Authorization` says, read as the original reads it: two parts with one space
    /// between, the scheme written exactly so, and in the decoded part one colon, so that neither
    /// principal nor secret can contain one.
    fn read(header: &[u8]) -> Result<Self, &'static str> {
        let mut parts = header.split(|b| *b == b' ');
        let (Some(scheme), Some(payload), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err("malformed 'Authorization' header");
        };
        if scheme != b"Basic" {
            return Err("another scheme than Basic");
        }
        let compact: Zeroizing<Vec<u8>> =
            Zeroizing::new(payload.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect());
        let decoded = LENIENT.decode(&*compact).map(Zeroizing::new).map_err(|_| "not base64")?;
        let mut parts = decoded.split(|b| *b == b':');
        let (Some(principal), Some(secret), None) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("not one principal and one secret");
        };
        let principal =
            std::str::from_utf8(principal).map_err(|_| "a principal that is not UTF-8")?;
        Ok(Self { principal: principal.to_owned(), secret: Secret::new(secret.to_vec()) })
    }
}

/// Sends a principal and its secret with each request.
#[derive(Clone, Debug)]
pub struct BasicAuthenticatee {
    header: Secret,
}

impl BasicAuthenticatee {
    /// For `principal`.
    #[must_use]
    pub fn new(principal: &str, secret: &Secret) -> Self {
        let mut pair = Zeroizing::new(principal.as_bytes().to_vec());
        pair.push(b':');
        pair.extend_from_slice(secret.expose());
        let mut header = b"Basic ".to_vec();
        header.extend_from_slice(Zeroizing::new(STANDARD.encode(&*pair)).as_bytes());
        Self { header: Secret::new(header) }
    }
}

impl HttpAuthenticatee for BasicAuthenticatee {
    fn scheme(&self) -> &str {
        "Basic"
    }

    fn authorization(&self) -> Secret {
        self.header.clone()
    }
}

#[cfg(test)]
#[path = "basic/tests.rs"]
mod authn_basic;
