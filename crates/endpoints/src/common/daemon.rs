//! What a daemon says about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::json::{self, ToJson};

use crate::authentication::Authentication;
use crate::document::Document;
use crate::files::Files;
use crate::media::{self, Media};
use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};
use crate::request::Request;
use crate::rope::{Rope, Weaver};
use crate::route::Pending;
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

/// Metrics whose names all begin alike, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What they begin with; no metric elsewhere does.
    pub begins_with: String,
    /// Members of a JSON object, without the braces.
    pub members: Vec<u8>,
}

/// What the common endpoints ask of a daemon's state. Every answer comes from memory.
pub trait Daemon: Send + Sync + 'static {
    /// How it was built.
    fn build(&self) -> &Build;
    /// Its effective flags as text, sorted by name; nothing secret among them.
    fn flags(&self) -> &BTreeMap<String, String>;
    /// All metrics of this moment. Those of the machine and of TLS are added by [`all_metrics`].
    fn metrics(&self) -> BTreeMap<String, f64>;

    /// The same, with those in blocks of which there may be very many.
    fn metrics_in_blocks(&self) -> (BTreeMap<String, f64>, Vec<Block>) {
        (self.metrics(), Vec::new())
    }
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

pub(super) fn metrics<S: Daemon>(daemon: Arc<S>, request: Request) -> Pending {
    Box::pin(async move {
        // Every metric is in memory, so none is ever late; the parameter is still checked.
        request.query.duration("timeout")?;
        let packed = media::accepts_gzip(&request.headers);
        let collect = move || {
            let document = Arc::new(Document::new(snapshot(&*daemon)));
            if packed {
                let _ = document.packed();
            }
            document
        };
        let document = tokio::task::spawn_blocking(collect)
            .await
            .map_err(|e| Refusal::internal(format!("collecting metrics: {e}")))?;
        Ok(Reply::Document { media: Media::Json, document, conditional: true })
    })
}

/// All metrics as one object, sorted by their names.
fn snapshot<S: Daemon>(daemon: &S) -> Rope {
    let (own, blocks) = daemon.metrics_in_blocks();
    let mut blocks = blocks.into_iter().peekable();
    let mut out = Weaver::default();
    out.text(b"{");
    let mut first = true;
    let mut put = |out: &mut Weaver, members: Vec<u8>| {
        if !members.is_empty() {
            if !std::mem::take(&mut first) {
                out.text(b",");
            }
            out.bytes(members.into());
        }
    };
    for (name, value) in with_the_machines(daemon, own) {
        while let Some(block) = blocks.next_if(|block| block.begins_with < name) {
            put(&mut out, block.members);
        }
        let mut member = Vec::with_capacity(name.len() + 16);
        name.to_json(&mut member);
        member.push(b':');
        value.to_json(&mut member);
        put(&mut out, member);
    }
    for block in blocks {
        put(&mut out, block.members);
    }
    out.text(b"}");
    out.finish()
}

/// The daemon's metrics and the machine's, for GET_METRICS. Only numbers that JSON can write.
pub fn all_metrics<S: Daemon>(daemon: &S) -> BTreeMap<String, f64> {
    with_the_machines(daemon, daemon.metrics())
}

fn with_the_machines<S: Daemon>(
    daemon: &S,
    mut metrics: BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    metrics.extend(daemon.tls().metrics());
    metrics.extend(super::system_metrics());
    metrics.retain(|_, value| value.is_finite());
    metrics
}
