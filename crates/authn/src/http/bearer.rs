//! Bearer tokens (`authentication.md` §16.1).

use super::{Failed, HttpAuthenticator, Outcome, Presented, UNAUTHORIZED_BODY, Unauthorized};
use crate::Cost;
use crate::jwt::{Rejected, Verifier, quotable};

/// Knows clients by JSON web tokens.
#[derive(Debug)]
pub struct Bearer {
    realm: String,
    verifier: Verifier,
}

impl Bearer {
    /// Takes the tokens that `verifier` takes, in `realm`.
    #[must_use]
    pub fn new(realm: &str, verifier: Verifier) -> Self {
        Self { realm: realm.to_owned(), verifier }
    }

    fn invalid(&self, tried: bool, why: &str) -> Outcome {
        Outcome::Unauthorized(Unauthorized {
            challenge: format!(
                "Bearer realm=\"{}\", error=\"invalid_token\", error_description=\"{why}\"",
                self.realm
            ),
            tried,
            ..self.refused(why)
        })
    }

    fn refused(&self, reason: &str) -> Unauthorized {
        Unauthorized {
            challenge: format!("Bearer realm=\"{}\"", self.realm),
            body: UNAUTHORIZED_BODY.to_owned(),
            claimed: None,
            tried: false,
            reason: reason.to_owned(),
        }
    }
}

impl HttpAuthenticator for Bearer {
    fn scheme(&self) -> &str {
        "Bearer"
    }

    /// Verifying a signature takes tens of microseconds.
    fn cost(&self, _: &Presented<'_>) -> Cost {
        Cost::Light
    }

    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed> {
        let Some(header) = presented.authorization else {
            return Ok(Outcome::Unauthorized(self.refused("no token")));
        };
        let header = String::from_utf8_lossy(header);
        let mut parts = header.split(' ');
        let (Some(scheme), Some(token), None) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(self.invalid(false, "Malformed 'Authorization' header"));
        };
        if scheme != "Bearer" {
            let why = format!("Scheme '{}' unsupported", quotable(scheme));
            return Ok(self.invalid(false, &why));
        }
        Ok(match self.verifier.verify(token, presented.now)? {
            Ok(proved) => Outcome::Proved(proved),
            Err(Rejected::NoClaims) => self.invalid(true, "JWT claims missing"),
            Err(Rejected::Invalid(why)) => self.invalid(true, &format!("Invalid JWT: {why}")),
        })
    }
}

#[cfg(test)]
#[path = "bearer/tests.rs"]
mod authn_bearer;
