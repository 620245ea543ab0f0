//! From a request to a response: the one place that holds the order of checks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use libprocess::sender::PeerFacts;
use transport::seldom;
use transport::seldom::Throttle;

use crate::access::{Caller, Posture};
use crate::admission::Doorkeeper;
use crate::authentication::{Authentication, Guesses};
use crate::body::Body;
use crate::path::Path;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::reply::{Answer, respond};
use crate::request::{Inflater, Request};
use crate::route::{Handler, Methods, Route, Table};

/// What a request begins with.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path as it was sent.
    pub path: String,
    /// The query as it was sent, without the question mark; empty if there was none.
    pub query: String,
    /// Path and query together, as they were sent.
    pub target: String,
    /// All headers.
    pub headers: HeaderMap,
    /// What the connection proved.
    pub peer: Arc<PeerFacts>,
}

/// A daemon's routes, ready to answer.
#[derive(Debug)]
pub struct Site<S> {
    state: Arc<S>,
    table: Table<S>,
    doorkeeper: Doorkeeper,
    pub(crate) max_body_bytes: usize,
    inflater: Inflater,
    refused: Arc<Refused>,
}

/// How many requests were refused, by status, and what came of guesses.
#[derive(Debug, Default)]
pub struct Refused {
    by_status: Mutex<BTreeMap<u16, u64>>,
    guesses: OnceLock<Arc<Guesses>>,
}

impl Refused {
    /// The metrics `alcazar/requests_refused/<status>`, and those of failed authentication at all
    /// doors of the daemon.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let counts = self.counts();
        let name = |status| format!("alcazar/requests_refused/{status}");
        let mut all: BTreeMap<_, _> =
            counts.into_iter().map(|(status, count)| (name(status), count as f64)).collect();
        let (failures, withheld) = self.guesses.get().map(|g| g.totals()).unwrap_or_default();
        all.insert("alcazar/guesses/failures".to_owned(), failures as f64);
        all.insert("alcazar/guesses/withheld".to_owned(), withheld as f64);
        all
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<u16, u64> {
        self.by_status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, status: u16) {
        let mut counts = self.by_status.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(status).or_default() += 1;
    }
}

/// How often refusals of one kind are written to the log: anybody can cause them. All are counted.
fn throttle(status: StatusCode) -> &'static Throttle {
    static UNAUTHORIZED: Throttle = Throttle::new();
    static FORBIDDEN: Throttle = Throttle::new();
    static NOT_FOUND: Throttle = Throttle::new();
    static OTHERWISE: Throttle = Throttle::new();
    static FAILED: Throttle = Throttle::new();
    static LATER: Throttle = Throttle::new();
    match status {
        StatusCode::UNAUTHORIZED => &UNAUTHORIZED,
        StatusCode::FORBIDDEN => &FORBIDDEN,
        StatusCode::NOT_FOUND => &NOT_FOUND,
        StatusCode::NOT_IMPLEMENTED => &OTHERWISE,
        StatusCode::SERVICE_UNAVAILABLE => &LATER,
        status if status.is_server_error() => &FAILED,
        _ => &OTHERWISE,
    }
}

/// The largest body read, in bytes, after decompression: a call that accepts offers with many
/// large tasks fits.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

impl<S: Send + Sync + 'static> Site<S> {
    /// A site that serves `table` from `state`.
    #[must_use]
    pub fn new(state: Arc<S>, table: Table<S>, posture: Posture) -> Self {
        let max_body_bytes = MAX_BODY_BYTES;
        let inflater = Inflater::new(max_body_bytes);
        let doorkeeper = Doorkeeper::new(posture, Authentication::default());
        Self { state, table, doorkeeper, max_body_bytes, inflater, refused: Arc::default() }
    }

    /// The same, where `authentication` asks callers for credentials.
    #[must_use]
    pub fn authenticating(self, authentication: Authentication) -> Self {
        // Set once: a daemon has one site, and this is called once for it.
        let _ = self.refused.guesses.set(Arc::clone(authentication.guesses()));
        let doorkeeper = Doorkeeper::new(self.doorkeeper.posture, authentication);
        Self { doorkeeper, ..self }
    }

    /// What asks callers for credentials.
    #[must_use]
    pub fn authentication(&self) -> &Authentication {
        &self.doorkeeper.authentication
    }

    /// The state that the handlers see.
    #[must_use]
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    /// The routes.
    #[must_use]
    pub fn table(&self) -> &Table<S> {
        &self.table
    }

    /// How many requests were refused so far; keeps counting.
    #[must_use]
    pub fn refused(&self) -> &Arc<Refused> {
        &self.refused
    }

    /// Answers one request. Never fails: what goes wrong is a response. The body is read when the
    /// caller was admitted, not before.
    pub async fn answer(
        &self,
        head: Head,
        body: impl Future<Output = Result<Bytes, Refusal>> + Send,
    ) -> Response<Body> {
        let caller = Caller::new(&head.peer);
        let query = Query::read(&head.query);
        let callback = query.as_ref().ok().and_then(|q| q.get("jsonp")).map(str::to_owned);
        let answer = self.route(&head, body, query, caller.clone()).await;
        if let Err(refusal) = &answer {
            let who = caller.principal().unwrap_or("anonymous");
            let (method, path, from) = (&head.method, &head.path, caller.address());
            let throttle = throttle(refusal.status());
            match refusal.status() {
                // Nobody can do anything about what is not implemented.
                StatusCode::NOT_IMPLEMENTED => {
                    seldom!([throttle] info, %method, ?path, who, %from, %refusal, "request refused");
                }
                // It passes: whoever asked may try again.
                StatusCode::SERVICE_UNAVAILABLE => {
                    seldom!([throttle] warn, %method, ?path, who, %from, %refusal, "request put off");
                }
                status if status.is_server_error() => {
                    seldom!([throttle] error, %method, ?path, who, %from, %refusal, "request failed");
                }
                _ => {
                    seldom!([throttle] info, %method, ?path, who, %from, %refusal, "request refused")
                }
            }
            self.refused.count(refusal.status().as_u16());
        }
        respond(answer, &head.headers, callback.as_deref())
    }

    async fn route(
        &self,
        head: &Head,
        body: impl Future<Output = Result<Bytes, Refusal>> + Send,
        query: Result<Query, Refusal>,
        caller: Caller,
    ) -> Answer {
        let found = Path::from_target(&head.path).ok().and_then(|path| self.table.find(path));
        let Some(found) = found else {
            // Strangers do not learn which paths exist.
            let realms = self.table.routes.iter().map(|route| route.realm);
            self.doorkeeper.may_search(caller, &head.headers, realms).await?;
            return Err(Refusal::not_found());
        };
        let route = found.route;
        let mut request = Request {
            method: head.method.clone(),
            path: found.path,
            rest: found.rest,
            query: Query::default(),
            headers: head.headers.clone(),
            body: Bytes::new(),
            caller,
            target: head.target.clone(),
        };
        request.caller = self.admitted(&request, route).await?;
        request.query = query?;
        if let Some(name) = request.query.get("jsonp") {
            check_callback(name, &request.caller)?;
        }
        (self.table.gate)(&self.state, &request, route)?;
        if let Methods::Only(methods) = route.methods
            && !methods.contains(&request.method)
        {
            return Err(Refusal::method_not_allowed(methods, &request.method));
        }
        // Kept until the answer is there: what was inflated counts against the memory for that.
        let (contents, _share) = self.inflater.contents(&request.headers, body.await?).await?;
        request.body = contents;
        match route.handler {
            Handler::Now(handler) => handler(&self.state, &request),
            Handler::Later(handler) => handler(self.state.clone(), request).await,
        }
    }

    /// The caller as the door of `route` knows it.
    async fn admitted(&self, request: &Request, route: &Route<S>) -> Result<Caller, Refusal> {
        let caller = request.caller.clone();
        if self.table.is_unauthenticated(route) {
            let asked = self.authentication().realms().of(route.realm).is_some();
            if !asked || (self.table.own_proof)(&self.state, request, route) {
                return Ok(caller);
            }
        }
        self.doorkeeper.admit(caller, &request.headers, route.realm, route.action).await
    }
}

/// The longest name of a function taken in `jsonp`.
const MAX_CALLBACK_BYTES: usize = 128;

/// A page of any other site can load a script from here, and a browser adds its client
/// certificate or the password that it remembers: the script would hand that page the cluster's state. So a callback is for those
/// who prove nothing anyway. What is no name of a function would be code of somebody's choice.
fn check_callback(name: &str, caller: &Caller) -> Result<(), Refusal> {
    if caller.is_certified() || caller.identity().is_some() {
        return Err(Refusal::bad_request(
            "'jsonp' is not served over connections with a client certificate",
        ));
    }
    if caller.proved().is_some() {
        return Err(Refusal::bad_request("'jsonp' is not served to callers with credentials"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.');
    if name.is_empty() || name.len() > MAX_CALLBACK_BYTES || !name.chars().all(plain) {
        return Err(Refusal::bad_request("Expecting 'jsonp' to be the name of a function"));
    }
    Ok(())
}
