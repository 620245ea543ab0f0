//! From a token to a principal: the checks of the original in its order, with its words, and those
//! of tokens from an identity provider in their places between.

use std::collections::BTreeMap;
use std::time::Duration;

use model::identity::Kind;
use model::principal::{Kinds, Principal};
use model::time::Timestamp;
use serde_json::{Map, Value};

use super::encoded::{decode, decode_object, quotable};
use super::{Algorithm, Key, PublicKey, Published};
use crate::http::Failed;
use crate::proved::{Method, Proved};

/// Judges tokens.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: Option<Key>,
    published: Option<Published>,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is not valid, for the reason given.
    Invalid(String),
    /// It says nothing.
    NoClaims,
}

/// What may sign a token.
enum Signer<'a> {
    Key(&'a Key),
    Published(&'a Published, PublicKey),
}

/// Claims by which a token is an executor's or another local component's, and nobody else's.
const COMPONENT_CLAIMS: [&str; 4] = ["fid", "eid", "cid", "cid_prefix"];

impl Verifier {
    /// Takes tokens signed with `key`, and those of an identity provider.
    #[must_use]
    pub fn new(key: Option<Key>, published: Option<Published>) -> Self {
        Self { key, published }
    }

    /// Who bears `token`. An error of the outer kind means that this could not be found out.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Result<Proved, Rejected>, Failed> {
        let mut failed = None;
        let checked = self.check(token, now, &mut failed);
        match failed {
            Some(why) => Err(why),
            None => Ok(checked),
        }
    }

    fn check(
        &self,
        token: &str,
        now: Timestamp,
        failed: &mut Option<Failed>,
    ) -> Result<Proved, Rejected> {
        let parts: Vec<&str> = token.split('.').collect();
        let &[header, payload, signature] = parts.as_slice() else {
            return invalid(format!("Expected 3 components in token, got {}", parts.len()));
        };
        let signer = self.signer(header)?;
        let payload_of = decode_object(payload);
        let claims = payload_of
            .or_else(|e| invalid(format!("Failed to decode token payload: {}", quotable(&e))))?;
        let leeway = match &signer {
            Signer::Key(_) => Duration::ZERO,
            Signer::Published(published, _) => published.leeway,
        };
        timely(&claims, now, leeway)?;
        let signature = decode(signature).or_else(|e| {
            invalid(format!("Failed to base64url-decode token signature: {}", quotable(&e)))
        })?;
        // The first two parts and the dot between them.
        let message = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let signed = match &signer {
            Signer::Key(key) => key.has_signed(message, &signature),
            Signer::Published(published, key) => {
                match published.signatures.is_signed(key, message, &signature) {
                    Ok(signed) => signed,
                    Err(why) => {
                        *failed = Some(Failed(format!("a token could not be verified: {why}")));
                        false
                    }
                }
            }
        };
        if !signed {
            return invalid("Token signature does not match");
        }
        match signer {
            Signer::Key(_) => bearer(&claims),
            Signer::Published(published, _) => subject(published, &claims),
        }
    }

    /// What has to have signed a token with this header.
    fn signer(&self, header: &str) -> Result<Signer<'_>, Rejected> {
        let header = decode_object(header)
            .or_else(|e| invalid(format!("Failed to decode token header: {}", quotable(&e))))?;
        if header.get("typ").is_some_and(|typ| !typ.is_string()) {
            return invalid("Token 'typ' is not a string");
        }
        let name = match header.get("alg") {
            None => return invalid("Failed to locate 'alg' in token JSON header"),
            Some(Value::String(name)) => name,
            Some(_) => return invalid("Token 'alg' field is not a string"),
        };
        let algorithm = Algorithm::named(name);
        let known = match algorithm {
            // The original knows no other.
            Some(Algorithm::Rs256) => true,
            Some(_) => self.published.is_some(),
            None => name == "none" || name == "HS256",
        };
        if !known {
            return invalid(format!("Unsupported token algorithm: {}", quotable(name)));
        }
        if header.contains_key("crit") {
            return invalid("Token 'crit' field is unsupported");
        }
        match (algorithm, &self.key, &self.published) {
            (None, Some(key), _) if name == "HS256" => Ok(Signer::Key(key)),
            (Some(algorithm), _, Some(published)) => {
                let kid = match header.get("kid") {
                    None => None,
                    Some(Value::String(kid)) => Some(kid.as_str()),
                    Some(_) => return invalid("Token 'kid' field is not a string"),
                };
                match (published.keys.current().select(algorithm, kid), kid) {
                    (Some(key), _) => Ok(Signer::Published(published, key.clone())),
                    (None, Some(kid)) => invalid(format!(
                        "Token 'kid' value '{}' names no key for {algorithm}",
                        quotable(kid)
                    )),
                    (None, None) => invalid(format!(
                        "Token has no 'kid' and there is not exactly one key for {algorithm}"
                    )),
                }
            }
            _ => invalid(format!(
                "Token 'alg' value \"{name}\" does not match, expected {}",
                self.expected()
            )),
        }
    }

    fn expected(&self) -> String {
        let mut names = Vec::new();
        if self.key.is_some() {
            names.push("\"HS256\"".to_owned());
        }
        if let Some(published) = &self.published {
            let keys = published.keys.current();
            let usable = |algorithm: &Algorithm| keys.of(*algorithm).next().is_some();
            let usable = Algorithm::ALL.into_iter().filter(usable);
            names.extend(usable.map(|algorithm| format!("\"{algorithm}\"")));
        }
        names.join(" or ")
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, Rejected> {
    Err(Rejected::Invalid(why.into()))
}

/// A time in whole seconds, as far as this machine can count them.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Rejected> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            // Fractions are cut off; what is out of range is the nearest that is in it.
            let seconds = number.as_i64().or_else(|| number.as_f64().map(|n| n as i64));
            Ok(Some(seconds.unwrap_or(i64::MAX)))
        }
        Some(_) => invalid(format!("JSON payload '{name}' field is not a number")),
    }
}

/// Whether the token is valid at this time; in its last second it still is.
fn timely(claims: &Map<String, Value>, now: Timestamp, leeway: Duration) -> Result<(), Rejected> {
    let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let (now, leeway) = (whole(now.since_epoch()), whole(leeway));
    if let Some(exp) = seconds(claims, "exp")?
        && exp.saturating_add(leeway) < now
    {
        return invalid(format!("Token has expired: exp({exp}) < now({now})"));
    }
    if let Some(nbf) = seconds(claims, "nbf")?
        && nbf > now.saturating_add(leeway)
    {
        return invalid(format!("Token is not valid yet: nbf({nbf}) > now({now})"));
    }
    Ok(())
}

/// Strings as they are, everything else as its JSON.
fn texts(claims: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |claim: &Value| match claim {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    claims.iter().map(|(name, claim)| (name.clone(), text(claim))).collect()
}

/// The bearer of a token of the original's sort.
fn bearer(claims: &Map<String, Value>) -> Result<Proved, Rejected> {
    let kinds = if COMPONENT_CLAIMS.iter().any(|name| claims.contains_key(*name)) {
        Kinds::only(Kind::Executor)
    } else {
        Kinds::ANY
    };
    let principal = Principal::new(None, texts(claims)).ok_or(Rejected::NoClaims)?;
    Ok(Proved { principal, kinds, method: Method::BEARER })
}

/// The subject of a token of an identity provider. It speaks for people and programs outside of
/// the cluster; components of the cluster are not its to name.
fn subject(published: &Published, claims: &Map<String, Value>) -> Result<Proved, Rejected> {
    if claims.is_empty() {
        return Err(Rejected::NoClaims);
    }
    if !claims.contains_key("exp") {
        return invalid("Token has no 'exp'");
    }
    let audience: Vec<&str> = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(_) => return invalid("Token 'aud' field is neither a string nor a list"),
    };
    let meant = match &published.audience {
        Some(ours) => audience.contains(&ours.as_str()),
        None => !claims.contains_key("aud"),
    };
    if !meant {
        return invalid("Token 'aud' does not name this cluster");
    }
    let Some(sub) = claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty()) else {
        return invalid("Token has no 'sub'");
    };
    let kinds = Kinds::only(Kind::Operator).with(Kind::Framework);
    let principal = Principal::new(Some(sub.to_owned()), texts(claims));
    let principal = principal.ok_or(Rejected::NoClaims)?;
    Ok(Proved { principal, kinds, method: Method::BEARER })
}
