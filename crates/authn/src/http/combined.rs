//! Several authenticators in one realm (`authentication.md` §17).

use std::sync::Arc;

use super::{Failed, HttpAuthenticator, Outcome, Presented, Unauthorized};
use crate::Cost;

/// Asks one after the other. The first that knows the client wins and the rest is not asked;
/// otherwise a 401 counts more than a 403, and that more than a failure.
#[derive(Debug)]
pub struct Combined {
    parts: Vec<Arc<dyn HttpAuthenticator>>,
    scheme: String,
}

impl Combined {
    /// Asks `parts` in this order.
    #[must_use]
    pub fn new(parts: Vec<Arc<dyn HttpAuthenticator>>) -> Self {
        let schemes: Vec<_> = parts.iter().map(|part| part.scheme()).collect();
        let scheme = schemes.join(" ");
        Self { parts, scheme }
    }
}

/// What each of several said, as the client reads it.
fn joined<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let said = said.filter(|(_, text)| !text.is_empty());
    let said: Vec<_> = said
        .map(|(scheme, text)| format!("\"{scheme}\" authenticator returned:\n{text}"))
        .collect();
    said.join("\n\n")
}

fn reasons<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    all.map(|(scheme, reason)| format!("{scheme}: {reason}")).collect::<Vec<_>>().join("; ")
}

fn unauthorized(all: &[(&str, Unauthorized)]) -> Unauthorized {
    let challenges: Vec<_> = all.iter().map(|(_, one)| one.challenge.as_str()).collect();
    Unauthorized {
        challenge: challenges.join(","),
        body: joined(all.iter().map(|(scheme, one)| (*scheme, one.body.as_str()))),
        claimed: all.iter().find_map(|(_, one)| one.claimed.clone()),
        tried: all.iter().any(|(_, one)| one.tried),
        reason: reasons(all.iter().map(|(scheme, one)| (*scheme, one.reason.as_str()))),
    }
}

impl HttpAuthenticator for Combined {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn cost(&self, presented: &Presented<'_>) -> Cost {
        let blocking = |part: &Arc<dyn HttpAuthenticator>| part.cost(presented) == Cost::Blocking;
        if self.parts.iter().any(blocking) { Cost::Blocking } else { Cost::Light }
    }

    fn claimed(&self, presented: &Presented<'_>) -> Option<String> {
        self.parts.iter().find_map(|part| part.claimed(presented))
    }

    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed> {
        let mut unknown = Vec::new();
        let mut forbidden = Vec::new();
        let mut failed = Vec::new();
        for part in &self.parts {
            let scheme = part.scheme();
            match part.authenticate(presented) {
                Ok(proved @ Outcome::Proved(_)) => return Ok(proved),
                Ok(Outcome::Unauthorized(why)) => unknown.push((scheme, why)),
                Ok(Outcome::Forbidden { body, reason }) => forbidden.push((scheme, body, reason)),
                Err(Failed(text)) => failed.push((scheme, text)),
            }
        }
        if !unknown.is_empty() {
            return Ok(Outcome::Unauthorized(unauthorized(&unknown)));
        }
        if !forbidden.is_empty() {
            let bodies = forbidden.iter().map(|(scheme, body, _)| (*scheme, body.as_str()));
            let body = joined(bodies);
            let reason = reasons(forbidden.iter().map(|(scheme, _, why)| (*scheme, why.as_str())));
            return Ok(Outcome::Forbidden { body, reason });
        }
        if failed.is_empty() {
            return Err(Failed("no authenticator is there to be asked".to_owned()));
        }
        Err(Failed(joined(failed.iter().map(|(scheme, text)| (*scheme, text.as_str())))))
    }
}

#[cfg(test)]
#[path = "combined/tests.rs"]
mod authn_combined;
