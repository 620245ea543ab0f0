//! What a daemon says about itself.

use std::collections::BTreeMap;

use crate::files::Files;
use crate::json;
use crate::reply::{Answer, Reply};
use crate::request::Request;

/// How this program was built.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// The version on the wire: that of the original which we are compatible with.
    pub version: String,
    /// `2026-11-22 00:15:28 UTC`
    pub date: String,
    /// The same in seconds since the epoch.
    pub time: f64,
    /// Who built it; may be empty.
    pub user: String,
    /// The commit, if known.
    pub git_sha: Option<String>,
    /// The branch, if known.
    pub git_branch: Option<String>,
    /// The tag, if there is one.
    pub git_tag: Option<String>,
}

/// What the common endpoints ask of a daemon's state. Every answer comes from memory.
pub trait Daemon: Send + Sync + 'static {
    /// How it was built.
    fn build(&self) -> &Build;
    /// Its effective flags as text, sorted by name; nothing secret among them.
    fn flags(&self) -> &BTreeMap<String, String>;
    /// All metrics of this moment. Those of the machine are added by [`super::system_metrics`].
    fn metrics(&self) -> BTreeMap<String, f64>;
    /// The files that it shows.
    fn files(&self) -> &Files;
}

pub(super) fn version<S: Daemon>(daemon: &S, _: &Request) -> Answer {
    let build = daemon.build();
    // Sorted keys, unlike everywhere else.
    let json = json::object(|o| {
        o.text("build_date", &build.date);
        o.double("build_time", build.time);
        o.text("build_user", &build.user);
        let git = [
            ("git_branch", &build.git_branch),
            ("git_sha", &build.git_sha),
            ("git_tag", &build.git_tag),
        ];
        for (key, value) in git {
            if let Some(value) = value {
                o.text(key, value);
            }
        }
        o.text("version", &build.version);
    });
    Ok(Reply::Json(json.into()))
}

pub(super) fn health<S: Daemon>(_: &S, _: &Request) -> Answer {
    Ok(Reply::Done)
}

pub(super) fn flags<S: Daemon>(daemon: &S, _: &Request) -> Answer {
    let json = json::object(|o| {
        o.object("flags", |o| {
            for (name, value) in daemon.flags() {
                o.text(name, value);
            }
        });
    });
    Ok(Reply::Json(json.into()))
}

pub(super) fn metrics<S: Daemon>(daemon: &S, request: &Request) -> Answer {
    // Every metric is in memory, so none is ever late; the parameter is still checked.
    request.query.duration("timeout")?;
    let metrics = all_metrics(daemon);
    let json = json::object(|o| {
        for (name, value) in metrics.iter().filter(|(_, v)| v.is_finite()) {
            o.double(name, *value);
        }
    });
    Ok(Reply::Json(json.into()))
}

/// The daemon's metrics and the machine's.
pub(crate) fn all_metrics<S: Daemon>(daemon: &S) -> BTreeMap<String, f64> {
    let mut metrics = daemon.metrics();
    metrics.extend(super::system_metrics());
    metrics
}
