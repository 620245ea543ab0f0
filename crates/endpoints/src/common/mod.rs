//! The endpoints that both daemons have.

mod daemon;
mod files;
mod logging;
mod security;
mod system;

use crate::access::{Action, Realm};
use crate::route::{GET, Handler, Methods, POST, Route};

pub use daemon::{Block, Build, Daemon, all_metrics};
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

/// The routes of `/__processes__`, `/version`, `/flags`, `/health`, `/metrics/snapshot`, `/system/stats.json`,
/// `/files/*`, `/logging/toggle` and, ours alone, `/alcazar/v1/tls` and
/// `/alcazar/v1/authentication`.
#[must_use]
pub fn routes<S: Daemon>(program: Program) -> Vec<Route<S>> {
    let (readonly, readwrite) = match program {
        Program::Master => (Realm::MasterReadonly, Realm::MasterReadwrite),
        Program::Agent => (Realm::AgentReadonly, Realm::AgentReadwrite),
    };
    let [flags, health, tls, reload, authentication] = match program {
        Program::Master => [
            "/master/flags",
            "/master/health",
            "/master/alcazar/v1/tls",
            "/master/alcazar/v1/tls/reload",
            "/master/alcazar/v1/authentication",
        ],
        Program::Agent => [
            "/slave(1)/flags",
            "/slave(1)/health",
            "/slave(1)/alcazar/v1/tls",
            "/slave(1)/alcazar/v1/tls/reload",
            "/slave(1)/alcazar/v1/authentication",
        ],
    };
    let route =
        |path, methods, action, handler| Route { path, methods, realm: readonly, action, handler };
    let processes = match program {
        Program::Master => system::processes_of_master,
        Program::Agent => system::processes_of_agent,
    };
    vec![
        route("/__processes__", GET, Action::GetEndpointWithPath, Handler::Now(processes)),
        route("/version", Methods::Any, Action::Greet, Handler::Now(daemon::version)),
        route(health, Methods::Any, Action::Greet, Handler::Now(daemon::health)),
        route(flags, GET, Action::ViewFlags, Handler::Now(daemon::flags)),
        route(
            "/metrics/snapshot",
            Methods::Any,
            Action::GetEndpointWithPath,
            Handler::Later(daemon::metrics),
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
        route(tls, GET, Action::GetEndpointWithPath, Handler::Now(security::show)),
        route(
            authentication,
            GET,
            Action::GetEndpointWithPath,
            Handler::Now(security::authentication),
        ),
        Route {
            path: "/logging/toggle",
            methods: Methods::Any,
            realm: readwrite,
            action: Action::SetLogLevel,
            handler: Handler::Now(logging::toggle),
        },
        Route {
            path: reload,
            methods: POST,
            realm: readwrite,
            action: Action::Call,
            handler: Handler::Later(security::reload),
        },
    ]
}
