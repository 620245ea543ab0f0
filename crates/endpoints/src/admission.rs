//! Who is let in at the door of a realm: the certificate of the connection, the credentials of
//! the request, and what of the two is asked.
//!
//! Where certificates carry identities of the cluster, either suffices: an identity, or
//! credentials where anything asks for them; who shows both has to be right twice. In the
//! original's postures the two are asked one after the other, each where its own settings say so.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use authn::Cost;
use authn::audit::Decision;
use authn::http::{Failed, HttpAuthenticator, Outcome, Presented, Unauthorized};
use authn::proved::{Certified, Method, Proved};
use authn::throttle::{Judgement, Tried};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::principal::Kinds;
use model::time::Timestamp;

use crate::access::{Action, Caller, Posture, Realm, Verdict, judge};
use crate::authentication::Authentication;
use crate::pool::{Pool, PoolError};
use crate::refusal::Refusal;

/// Judges callers, and writes down what it finds.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    pub(crate) posture: Posture,
    pub(crate) authentication: Authentication,
    pool: Pool,
}

impl Doorkeeper {
    pub(crate) fn new(posture: Posture, authentication: Authentication) -> Self {
        Self { posture, authentication, pool: Pool::default() }
    }

    /// Lets `caller` in at `realm`, with what its credentials prove, or says why not.
    pub(crate) async fn admit(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        realm: Realm,
        action: Action,
    ) -> Result<Caller, Refusal> {
        let authenticator = self.authentication.realms().of(realm);
        let verdict = judge(&self.posture, &caller, realm, action);
        if verdict == Verdict::Denied {
            let identity = caller.identity().map(ToString::to_string).unwrap_or_default();
            let why = format!("may not {} in realm {}", action.name(), realm.name());
            self.record(&caller, realm, Method::CERTIFICATE, Some(&identity), Err(&why));
            return Err(Refusal::forbidden().because(format!("{identity} {why}")));
        }
        let identified = caller.identity().is_some();
        let shown = headers.contains_key(AUTHORIZATION);
        let ask = match authenticator {
            // To greet is asked of nobody beyond what the connection has to prove.
            Some(_) if action == Action::Greet => verdict == Verdict::Unknown && shown,
            Some(_) if self.posture.has_identities() => !identified || shown,
            Some(_) => verdict == Verdict::Admitted,
            None => false,
        };
        match authenticator.filter(|_| ask) {
            Some(authenticator) => self.ask(authenticator, caller, headers, realm, action).await,
            None if verdict == Verdict::Unknown => {
                let why = "no verified client certificate";
                self.record(&caller, realm, Method::CERTIFICATE, None, Err(why));
                Err(Refusal::certificate_required(realm))
            }
            None => {
                if let Some(identity) = caller.identity() {
                    let identity = identity.to_string();
                    let method = Method::CERTIFICATE;
                    self.record(
                        &caller,
                        realm,
                        method,
                        Some(&identity),
                        Ok("a client certificate"),
                    );
                }
                Ok(caller)
            }
        }
    }

    /// Whether `caller`, who asks for what is not there, may learn that.
    pub(crate) async fn may_search(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        realms: impl Iterator<Item = Realm>,
    ) -> Result<(), Refusal> {
        let mut closed = realms.filter(|realm| !self.posture.is_satisfied(&caller, *realm));
        let Some(realm) = closed.next() else { return Ok(()) };
        let asks = |realm: &Realm| self.authentication.realms().of(*realm).is_some();
        let asking = std::iter::once(realm).chain(closed).find(asks);
        if let Some(realm) = asking.filter(|_| headers.contains_key(AUTHORIZATION)) {
            return self.admit(caller, headers, realm, Action::Greet).await.map(drop);
        }
        Err(Refusal::certificate_required(realm))
    }

    /// Asks for credentials.
    async fn ask(
        &self,
        authenticator: &Arc<dyn HttpAuthenticator>,
        caller: Caller,
        headers: &HeaderMap,
        realm: Realm,
        action: Action,
    ) -> Result<Caller, Refusal> {
        let shown = Shown::of(&caller, headers);
        let address = shown.address;
        // Before anything is computed, and before what was computed is looked up: how long the
        // answer takes says nothing either.
        let guesses = self.authentication.guesses();
        let claimed = authenticator.claimed(&shown.presented());
        if let Some(Judgement::Withhold(wait)) = claimed.map(|c| guesses.may_try_as(&c, address)) {
            return Err(self.withheld(authenticator, &caller, realm, wait));
        }
        let outcome = match authenticator.cost(&shown.presented()) {
            Cost::Light => authenticator.authenticate(&shown.presented()),
            Cost::Blocking => {
                if let Judgement::Withhold(wait) = guesses.may_try(address) {
                    return Err(self.withheld(authenticator, &caller, realm, wait));
                }
                let authenticator = Arc::clone(authenticator);
                let work = move || authenticator.authenticate(&shown.presented());
                match self.pool.run(address, work).await {
                    Ok(outcome) => outcome,
                    Err(PoolError::Busy) => {
                        let why = "too many are being authenticated";
                        return Err(Refusal::unavailable(
                            "Authentication is busy: try again later",
                        )
                        .because(why));
                    }
                    Err(error) => Err(Failed(error.to_string())),
                }
            }
        };
        // Right or wrong: whoever guesses too often hears neither.
        if let Some((principal, tried)) = outcome.as_ref().ok().and_then(guessed)
            && let Judgement::Withhold(wait) = guesses.judge(Some(&principal), address, tried)
        {
            return Err(self.withheld(authenticator, &caller, realm, wait));
        }
        match outcome {
            Ok(Outcome::Proved(proved)) => self.proved(caller, proved, realm, action),
            Ok(Outcome::Unauthorized(unauthorized)) => {
                let Unauthorized { challenge, body, claimed, reason, .. } = unauthorized;
                let method = Method::from(authenticator.scheme().to_owned());
                self.record(&caller, realm, method, claimed.as_deref(), Err(&reason));
                Err(Refusal::unauthorized_by(&challenge, body).because(reason))
            }
            Ok(Outcome::Forbidden { body, reason }) => {
                let method = Method::from(authenticator.scheme().to_owned());
                self.record(&caller, realm, method, None, Err(&reason));
                Err(Refusal::forbidden_because(body).because(reason))
            }
            Err(Failed(text)) => {
                let method = Method::from(authenticator.scheme().to_owned());
                self.record(&caller, realm, method, None, Err(&text));
                Err(Refusal::authenticator_failed(text))
            }
        }
    }

    /// The answer to whoever has guessed too often: that to a request without credentials, and
    /// when to come again.
    fn withheld(
        &self,
        authenticator: &Arc<dyn HttpAuthenticator>,
        caller: &Caller,
        realm: Realm,
        wait: Duration,
    ) -> Refusal {
        let why = format!("too many failures: not judged for {} s", wait.as_secs().max(1));
        let method = Method::from(authenticator.scheme().to_owned());
        self.record(caller, realm, method, None, Err(&why));
        let blank = Shown { authorization: None, ..Shown::of(caller, &HeaderMap::new()) };
        let refusal = match authenticator.authenticate(&blank.presented()) {
            Ok(Outcome::Unauthorized(Unauthorized { challenge, body, .. })) => {
                Refusal::unauthorized_by(&challenge, body)
            }
            _ => Refusal::unauthorized(realm),
        };
        refusal.because(why).retry_after(wait)
    }

    /// Somebody is known by credentials. They may be good for something else than this realm.
    fn proved(
        &self,
        caller: Caller,
        proved: Proved,
        realm: Realm,
        action: Action,
    ) -> Result<Caller, Refusal> {
        let name = name_of(&proved);
        let certified = caller.identity().map_or(Kinds::ANY, |own| Kinds::only(own.kind()));
        let kinds = proved.kinds.and(certified);
        let method = proved.method.clone();
        if action != Action::Greet && !kinds.iter().any(|kind| realm.admits(kind)) {
            let why = format!("credentials of kind {kinds} are not for realm {}", realm.name());
            self.record(&caller, realm, method, Some(&name), Err(&why));
            return Err(Refusal::forbidden().because(format!("{name:?}: {why}")));
        }
        self.record(&caller, realm, method, Some(&name), Ok("valid credentials"));
        Ok(caller.with_proof(proved))
    }

    fn record(
        &self,
        caller: &Caller,
        realm: Realm,
        method: Method,
        principal: Option<&str>,
        result: Result<&str, &str>,
    ) {
        let (granted, reason) = match result {
            Ok(reason) => (true, reason),
            Err(reason) => (false, reason),
        };
        self.authentication.audit().append(&Decision {
            time: now(),
            principal: principal.map(str::to_owned),
            address: caller.address().ip().to_canonical(),
            method: method.as_str().to_owned(),
            realm: realm.name().to_owned(),
            granted,
            reason: reason.to_owned(),
        });
    }
}

/// The name, or else the claims.
fn name_of(proved: &Proved) -> String {
    match proved.principal.value() {
        Some(value) => value.to_owned(),
        None => proved.principal.to_string(),
    }
}

/// Whose secret somebody tried to guess, and whether it was right. Tokens and certificates cannot
/// be guessed.
fn guessed(outcome: &Outcome) -> Option<(String, Tried)> {
    match outcome {
        Outcome::Proved(proved)
            if proved.method != Method::BEARER && proved.method != Method::CERTIFICATE =>
        {
            Some((name_of(proved), Tried::Proved))
        }
        Outcome::Unauthorized(Unauthorized { claimed: Some(claimed), tried: true, .. }) => {
            Some((claimed.clone(), Tried::Failed))
        }
        _ => None,
    }
}

fn now() -> Timestamp {
    Timestamp::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What a request shows, owned.
struct Shown {
    authorization: Option<Vec<u8>>,
    certificate: Option<Certified>,
    encrypted: bool,
    address: std::net::IpAddr,
    now: Timestamp,
}

impl Shown {
    fn of(caller: &Caller, headers: &HeaderMap) -> Self {
        Self {
            authorization: headers
                .get_all(AUTHORIZATION)
                .into_iter()
                .next_back()
                .map(|value| value.as_bytes().to_vec()),
            certificate: caller.certified(),
            encrypted: caller.is_encrypted(),
            address: caller.address().ip().to_canonical(),
            now: now(),
        }
    }

    fn presented(&self) -> Presented<'_> {
        Presented {
            authorization: self.authorization.as_deref(),
            certificate: self.certificate.as_ref(),
            encrypted: self.encrypted,
            address: self.address,
            now: self.now,
        }
    }
}
