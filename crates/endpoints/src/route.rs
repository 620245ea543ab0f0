//! Routes as data.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::Method;

use crate::access::{Action, Realm};
use crate::path::Path;
use crate::refusal::Refusal;
use crate::reply::Answer;
use crate::request::Request;

/// An answer that takes a while.
pub type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What answers a route. `S` is the daemon's state.
pub enum Handler<S> {
    /// Answers from what is in memory.
    Now(fn(&S, &Request) -> Answer),
    /// Reads a file, waits for the engine, or computes for long.
    Later(fn(Arc<S>, Request) -> Pending),
}

// Not derived: that would ask the same of `S`.
impl<S> Clone for Handler<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Handler<S> {}

impl<S> fmt::Debug for Handler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}

/// The methods that a route takes.
#[derive(Clone, Copy, Debug)]
pub enum Methods {
    /// The handler does not look at the method, as most of the original's do not.
    Any,
    /// These; others are answered 405.
    Only(&'static [Method]),
}

/// `GET` only.
pub const GET: Methods = Methods::Only(&[Method::GET]);
/// `POST` only.
pub const POST: Methods = Methods::Only(&[Method::POST]);

/// One endpoint. Every field has to be said: there is no route without a realm and an action.
#[derive(Debug)]
pub struct Route<S> {
    /// The path, actor first, without a trailing slash: `/master/state`.
    pub path: &'static str,
    /// What may be done to it.
    pub methods: Methods,
    /// Whose rules of authentication apply.
    pub realm: Realm,
    /// What the caller does by calling it.
    pub action: Action,
    /// What answers.
    pub handler: Handler<S>,
}

/// A route that strangers reach, because its handler asks for another proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unauthenticated {
    /// The route's path.
    pub path: &'static str,
    /// What protects it instead.
    pub because: &'static str,
}

/// Judges a request after its caller was admitted and before its method is looked at: the place
/// for "this master does not lead".
pub type Gate<S> = fn(&S, &Request, &Route<S>) -> Result<(), Refusal>;

/// Whether a request shows what its route asks for in the place of credentials.
pub type OwnProof<S> = fn(&S, &Request, &Route<S>) -> bool;

/// All routes of a daemon.
#[derive(Debug)]
pub struct Table<S> {
    /// The actor that gets what no actor is named for: `master` or `slave(1)`.
    pub delegate: &'static str,
    /// The routes, in any order.
    pub routes: Vec<Route<S>>,
    /// The one list of what is reached without a proven identity.
    pub unauthenticated: &'static [Unauthenticated],
    /// Whether a request for one of those routes carries the proof that the route itself asks
    /// for. If not, whatever asks for credentials in its realm is asked.
    pub own_proof: OwnProof<S>,
    /// What stands between admission and the handler.
    pub gate: Gate<S>,
}

/// Where a path leads.
#[derive(Debug)]
pub struct Found<'t, S> {
    /// The route.
    pub route: &'t Route<S>,
    /// The path with its actor first.
    pub path: Path,
    /// What follows the route's own path.
    pub rest: Vec<String>,
}

impl<S> Table<S> {
    /// Finds the route for `path` as libprocess does: the first segment names an actor, or else
    /// the delegate is meant; then the longest route that begins the path. A route that is an
    /// actor alone (`/version`) matches nothing longer.
    #[must_use]
    pub fn find(&self, path: Path) -> Option<Found<'_, S>> {
        let names =
            |actor: &str| self.routes.iter().any(|r| segments(r.path).next() == Some(actor));
        let path = match path.segments().first() {
            Some(actor) if names(actor) => path,
            _ => path.below(self.delegate),
        };
        let route = self
            .routes
            .iter()
            .filter(|route| begins(route.path, path.segments()))
            .max_by_key(|route| segments(route.path).count())?;
        let own = segments(route.path).count();
        let rest = path.segments()[own..].to_vec();
        Some(Found { route, path, rest })
    }

    /// Whether strangers reach `route`.
    #[must_use]
    pub fn is_unauthenticated(&self, route: &Route<S>) -> bool {
        self.unauthenticated.iter().any(|u| u.path == route.path)
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|s| !s.is_empty())
}

fn begins(route: &str, path: &[String]) -> bool {
    let own = segments(route).count();
    let long_enough = if own == 1 { path.len() == 1 } else { path.len() >= own };
    long_enough && segments(route).zip(path).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    fn table() -> Table<()> {
        let route = |path| Route {
            path,
            methods: Methods::Any,
            realm: Realm::MasterReadonly,
            action: Action::ViewState,
            handler: Handler::Now(|(), _| Ok(Reply::Done)),
        };
        Table {
            delegate: "master",
            routes: ["/version", "/master/state", "/master/api/v1", "/master/api/v1/scheduler"]
                .map(route)
                .into(),
            unauthenticated: &[],
            own_proof: |(), _, _| false,
            gate: |(), _, _| Ok(()),
        }
    }

    #[test]
    fn paths_lead_where_libprocess_leads_them() {
        let table = table();
        let find = |text: &str| {
            table.find(Path::from_target(text).unwrap()).map(|f| (f.route.path, f.rest.join("/")))
        };
        let found = |path, rest: &str| Some((path, rest.to_owned()));
        assert_eq!(find("/state"), found("/master/state", ""));
        assert_eq!(find("/master/state"), found("/master/state", ""));
        assert_eq!(find("//state//"), found("/master/state", ""));
        assert_eq!(find("/state/x/y"), found("/master/state", "x/y"));
        assert_eq!(find("/api/v1"), found("/master/api/v1", ""));
        assert_eq!(find("/api/v1/scheduler"), found("/master/api/v1/scheduler", ""));
        assert_eq!(find("/api/v1/other"), found("/master/api/v1", "other"));
        assert_eq!(find("/version"), found("/version", ""));
        assert_eq!(find("/version/x"), None);
        assert_eq!(find("/no-such"), None);
        assert_eq!(find("/master"), None);
        assert_eq!(find("/"), None);
    }
}
