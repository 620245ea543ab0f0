//! The endpoints that both daemons have.

mod daemon;
mod files;
mod system;

use crate::access::{Action, Realm};
use crate::route::{GET, Handler, Methods, Route};

pub use daemon::{Build, Daemon, all_metrics};
pub use files::{list_files, read_file};
pub use system::system_metrics;

/// Which daemon the routes are for: the original's paths and realms differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A master.
    Master,
    /// An agent.
    Agent,
}

/// The routes of `/version`, `/flags`, `/health`, `/metrics/snapshot`, `/system/stats.json` and
/// `/files/*`.
#[must_use]
pub fn routes<S: Daemon>(program: Program) -> Vec<Route<S>> {
    let (readonly, flags, health) = match program {
        Program::Master => (Realm::MasterReadonly, "/master/flags", "/master/health"),
        Program::Agent => (Realm::AgentReadonly, "/slave(1)/flags", "/slave(1)/health"),
    };
    let route =
        |path, methods, action, handler| Route { path, methods, realm: readonly, action, handler };
    vec![
        route("/version", Methods::Any, Action::Greet, Handler::Now(daemon::version)),
        route(health, Methods::Any, Action::Greet, Handler::Now(daemon::health)),
        route(flags, GET, Action::ViewFlags, Handler::Now(daemon::flags)),
        route(
            "/metrics/snapshot",
            Methods::Any,
            Action::GetEndpointWithPath,
            Handler::Now(daemon::metrics),
        ),
        route(
            "/system/stats.json",
            Methods::Any,
            Action::GetEndpointWithPath,
            Handler::Now(system::stats),
        ),
        route("/files/browse", GET, Action::AccessFiles, Handler::Later(files::browse)),
        route("/files/read", GET, Action::AccessFiles, Handler::Later(files::read)),
        route("/files/download", GET, Action::AccessFiles, Handler::Later(files::download)),
        route("/files/debug", GET, Action::GetEndpointWithPath, Handler::Now(files::debug)),
    ]
}
