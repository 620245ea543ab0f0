//! `alcazar/v1/tls`: what protects the daemon's connections, and the way to have its files read
//! again; `alcazar/v1/authentication`: who is asked who they are. The original knows no such
//! endpoints.

use std::sync::Arc;

use super::daemon::Daemon;
use crate::reply::Answer;
use crate::request::Request;
use crate::route::Pending;

pub(super) fn show<S: Daemon>(daemon: &S, _: &Request) -> Answer {
    daemon.tls().describe()
}

pub(super) fn authentication<S: Daemon>(daemon: &S, request: &Request) -> Answer {
    daemon.authentication().describe(&request.caller)
}

pub(super) fn reload<S: Daemon>(daemon: Arc<S>, _: Request) -> Pending {
    Box::pin(async move { daemon.tls().answer_reload().await })
}
