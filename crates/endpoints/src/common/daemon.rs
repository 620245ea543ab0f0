//! What a daemon says about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::json::{self, ToJson};

use crate::authentication::Authentication;
use crate::files::Files;
use crate::reply::{Answer, Reply};
use crate::request::Request;
use crate::tls::Tls;

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
    /// All metrics of this moment. Those of the machine and of TLS are added by [`all_metrics`].
    fn metrics(&self) -> BTreeMap<String, f64>;
    /// The files that it shows.
    fn files(&self) -> &Files;
    /// What protects its connections.
    fn tls(&self) -> &Arc<Tls>;
    /// Who is asked who they are.
    fn authentication(&self) -> &Authentication;
}

pub(super) fn version<S: Daemon>(daemon: &S, _: &Request) -> Answer {
    let build = daemon.build();
    // Sorted keys, unlike everywhere else.
    let mut out = Vec::new();
    json::object(&mut out, |o| {
        o.field("build_date", &build.date);
        o.field("build_time", build.time);
        o.field("build_user", &build.user);
        o.optional("git_branch", build.git_branch.as_ref());
        o.optional("git_sha", build.git_sha.as_ref());
        o.optional("git_tag", build.git_tag.as_ref());
        o.field("version", &build.version);
    });
    Ok(Reply::Json(out.into()))
}

pub(super) fn health<S: Daemon>(_: &S, _: &Request) -> Answer {
    Ok(Reply::Done)
}

pub(super) fn flags<S: Daemon>(daemon: &S, _: &Request) -> Answer {
    let mut out = Vec::new();
    json::object(&mut out, |o| {
        o.field("flags", daemon.flags());
    });
    Ok(Reply::Json(out.into()))
}

pub(super) fn metrics<S: Daemon>(daemon: &S, request: &Request) -> Answer {
    // Every metric is in memory, so none is ever late; the parameter is still checked.
    request.query.duration("timeout")?;
    let mut out = Vec::new();
    all_metrics(daemon).to_json(&mut out);
    Ok(Reply::Json(out.into()))
}

/// The daemon's metrics and the machine's, for GET_METRICS. Only numbers that JSON can write.
pub fn all_metrics<S: Daemon>(daemon: &S) -> BTreeMap<String, f64> {
    let mut metrics = daemon.metrics();
    metrics.extend(daemon.tls().metrics());
    metrics.extend(super::system_metrics());
    metrics.retain(|_, value| value.is_finite());
    metrics
}
