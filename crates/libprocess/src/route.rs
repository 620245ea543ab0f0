//! From a path to an actor and one of its endpoints, as the original routes.
//!
//! The first segment of a path names an actor; whatever names none goes to the delegate, so that
//! `/state` and `/master/state` are the same endpoint of a master. Empty segments mean nothing:
//! a doubled or a trailing slash makes no difference. Only the first segment is percent-decoded,
//! and only once.

use std::collections::BTreeMap;

use crate::message::decode;

/// The path of a request target, without scheme, host, query and fragment; `None` unless it
/// begins with a slash (`*`, an absolute URL without path, a bare word).
#[must_use]
pub fn path_of(target: &str) -> Option<&str> {
    let local = if target.starts_with('/') {
        target
    } else {
        let (_, rest) = target.split_once("://")?;
        &rest[rest.find(['/', '?', '#'])?..]
    };
    let end = local.find(['?', '#']).unwrap_or(local.len());
    local[..end].starts_with('/').then_some(&local[..end])
}

/// The query of a request target, without the question mark; empty if there is none.
#[must_use]
pub fn query_of(target: &str) -> &str {
    let without_fragment = target.split('#').next().unwrap_or_default();
    without_fragment.split_once('?').map_or("", |(_, query)| query)
}

/// A query whose percent signs do not all begin an escape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed % escape in the query: `{0}`")]
pub struct QueryError(String);

/// Reads a query: pairs apart at `&` or `;`, names and values at the first `=`, both
/// percent-decoded with `+` as a space. Of a name that occurs twice the last value counts.
pub fn parse_query(query: &str) -> Result<BTreeMap<String, String>, QueryError> {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name).map_err(QueryError)?, decode(value).map_err(QueryError)?))
        })
        .collect()
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The actor that receives it.
    pub actor: String,
    /// The path as the firewall sees it: as sent, after the delegate's id where that was put in
    /// front.
    pub path: String,
    /// The segments behind the actor's id, not empty ones, not decoded.
    pub rest: Vec<String>,
}

/// Why a request goes nowhere. Both are answered with 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRouted {
    /// The path holds `/..`.
    #[error("the path holds '/..'")]
    DotDot,
    /// No actor has the id and there is no delegate, or the id cannot be decoded.
    #[error("no such actor")]
    NoActor,
}

/// Finds the actor for `path`, which begins with a slash and has no query.
pub fn route(
    path: &str,
    exists: impl Fn(&str) -> bool,
    delegate: Option<&str>,
) -> Result<Routed, NotRouted> {
    if path.contains("/..") {
        return Err(NotRouted::DotDot);
    }
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let Some(first) = segments.next() else {
        let delegate = delegate.ok_or(NotRouted::NoActor)?;
        let path = format!("/{delegate}");
        return Ok(Routed { actor: delegate.to_owned(), path, rest: Vec::new() });
    };
    let rest = segments.map(str::to_owned);
    let actor = decode(first).map_err(|_| NotRouted::NoActor)?;
    if exists(&actor) {
        return Ok(Routed { actor, path: path.to_owned(), rest: rest.collect() });
    }
    let delegate = delegate.ok_or(NotRouted::NoActor)?;
    Ok(Routed {
        actor: delegate.to_owned(),
        path: format!("/{delegate}{path}"),
        rest: std::iter::once(first.to_owned()).chain(rest).collect(),
    })
}

impl Routed {
    /// The names under which an endpoint may be registered to receive this request, the most
    /// specific first: `/a/b/c`, `/a/b`, `/a`. For the bare actor only `/`.
    pub fn candidates(&self) -> impl Iterator<Item = String> + '_ {
        let bare = self.rest.is_empty().then(|| "/".to_owned());
        let longest_first = (1..=self.rest.len()).rev();
        bare.into_iter()
            .chain(longest_first.map(|count| format!("/{}", self.rest[..count].join("/"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(path: &str) -> Result<Routed, NotRouted> {
        route(path, |id| ["master", "files", "metrics", "id(42)"].contains(&id), Some("master"))
    }

    #[test]
    fn the_path_of_a_target_begins_with_a_slash_or_is_none() {
        for (target, path) in [
            ("/", Some("/")),
            ("/state?x=/y", Some("/state")),
            ("/state#x?y", Some("/state")),
            ("http://a/health", Some("/health")),
            ("http://a:5050/health?x#y", Some("/health")),
            ("//state", Some("//state")),
            ("http://a", None),
            ("http://a?x=/y", None),
            ("*", None),
            ("health", None),
            ("", None),
        ] {
            assert_eq!(path_of(target), path, "{target}");
        }
    }

    #[test]
    fn whatever_names_no_actor_goes_to_the_delegate() {
        for (path, actor, rewritten, first) in [
            ("/", "master", "/master", "/"),
            ("//", "master", "/master", "/"),
            ("/master", "master", "/master", "/"),
            ("/master/", "master", "/master/", "/"),
            ("/state", "master", "/master/state", "/state"),
            ("/state/", "master", "/master/state/", "/state"),
            ("//state", "master", "/master//state", "/state"),
            ("/master/state", "master", "/master/state", "/state"),
            ("/master//state//", "master", "/master//state//", "/state"),
            ("/master/state/more", "master", "/master/state/more", "/state/more"),
            ("/api/v1/scheduler", "master", "/master/api/v1/scheduler", "/api/v1/scheduler"),
            ("/files/browse", "files", "/files/browse", "/browse"),
            ("/%6daster/state", "master", "/%6daster/state", "/state"),
            ("/id%2842%29/x", "id(42)", "/id%2842%29/x", "/x"),
            ("/id%252842%2529/x", "master", "/master/id%252842%2529/x", "/id%252842%2529/x"),
            ("/nobody/x", "master", "/master/nobody/x", "/nobody/x"),
        ] {
            let routed = master(path).unwrap();
            assert_eq!((routed.actor.as_str(), routed.path.as_str()), (actor, rewritten), "{path}");
            assert_eq!(routed.candidates().next().as_deref(), Some(first), "{path}");
        }
    }

    #[test]
    fn the_longest_registered_prefix_is_asked_first() {
        let routed = master("/master/a/b/c").unwrap();
        assert_eq!(routed.candidates().collect::<Vec<_>>(), ["/a/b/c", "/a/b", "/a"]);
    }

    #[test]
    fn dots_and_strangers_are_not_routed() {
        for path in ["/..", "/../x", "/master/../x", "/x/..y", "/master/.."] {
            assert_eq!(master(path), Err(NotRouted::DotDot), "{path}");
        }
        assert_eq!(master("/%zz/x"), Err(NotRouted::NoActor));
        assert_eq!(route("/", |_| true, None), Err(NotRouted::NoActor));
        assert_eq!(route("/x", |_| false, None), Err(NotRouted::NoActor));
    }

    #[test]
    fn queries_are_read_as_the_original_reads_them() {
        let read = |query| parse_query(query).unwrap().into_iter().collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read(""), []);
        assert_eq!(read("a=1&b=2;c"), [pair("a", "1"), pair("b", "2"), pair("c", "")]);
        assert_eq!(read("a=1&a=2"), [pair("a", "2")]);
        assert_eq!(read("a=b=c&x%20y=+%2B"), [pair("a", "b=c"), pair("x y", " +")]);
        assert_eq!(parse_query("a=%4").unwrap_err(), QueryError("%4".to_owned()));
        assert_eq!(query_of("/x?a=1?b#c?d"), "a=1?b");
        assert_eq!(query_of("/x"), "");
    }
}
