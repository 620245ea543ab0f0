//! The master's routes.

use endpoints::access::{Action, Realm};
use endpoints::common::{Program, routes};
use endpoints::refusal::Refusal;
use endpoints::request::Request;
use endpoints::route::{Handler, Methods, POST, Route, Table};
use http::Method;

use super::{Master, forms, kill_task, operator, read, scheduler};

/// All routes of a master. Nothing is reached without an identity, unless the whole daemon runs
/// in plaintext.
#[must_use]
pub fn table() -> Table<Master> {
    let mut all = routes::<Master>(Program::Master);
    all.extend(reading());
    all.extend(writing());
    Table {
        delegate: "master",
        routes: all,
        unauthenticated: &[],
        own_proof: |_, _, _| false,
        gate,
    }
}

/// The routes that take whoever the door lets in.
const NAMELESS: [&str; 5] = [
    "/master/slaves",
    "/master/maintenance/schedule",
    "/master/maintenance/status",
    "/master/machine/down",
    "/master/machine/up",
];

/// A bearer of claims without a name is nobody to the master, but where the original forgot to
/// say so. That it leads is certain: the one master of a cluster without election does so from
/// before it listens.
fn gate(_: &Master, request: &Request, route: &Route<Master>) -> Result<(), Refusal> {
    let proved = request.caller.proved();
    let nameless = proved.is_some_and(|proved| proved.principal.value().is_none());
    if nameless && route.action != Action::Greet && !NAMELESS.contains(&route.path) {
        return Err(Refusal::forbidden_because(
            "The request's authenticated principal contains claims, but no value string. The \
             master currently requires that principals have a value",
        ));
    }
    Ok(())
}

fn reading() -> Vec<Route<Master>> {
    let view = |path, handler| Route {
        path,
        methods: Methods::Any,
        realm: Realm::MasterReadonly,
        action: Action::ViewState,
        handler,
    };
    vec![
        view("/master/state", Handler::Later(read::state)),
        view("/master/state-summary", Handler::Later(read::state_summary)),
        view("/master/slaves", Handler::Later(read::slaves)),
        view("/master/frameworks", Handler::Later(read::frameworks)),
        view("/master/tasks", Handler::Later(read::tasks)),
        view("/master/roles", Handler::Later(read::roles)),
        view("/allocator/offer_constraints_debug", Handler::Later(read::offer_constraints_debug)),
        view("/master/maintenance/status", Handler::Later(read::maintenance_status)),
        // The original asks nobody whether they may see it, but who they are.
        view("/registrar(1)/registry", Handler::Later(read::registry)),
        Route {
            path: "/master/redirect",
            methods: Methods::Any,
            realm: Realm::MasterReadonly,
            action: Action::Greet,
            handler: Handler::Now(read::redirect),
        },
    ]
}

fn writing() -> Vec<Route<Master>> {
    let route =
        |path, realm, handler| Route { path, methods: POST, realm, action: Action::Call, handler };
    let write = |path, handler| route(path, Realm::MasterReadwrite, handler);
    // The method says whether it is read or changed.
    let both = |path, methods, handler| Route {
        path,
        methods: Methods::Only(methods),
        realm: Realm::MasterReadwrite,
        action: Action::Call,
        handler: Handler::Later(handler),
    };
    vec![
        write("/master/api/v1", Handler::Later(operator::call)),
        route("/master/api/v1/scheduler", Realm::MasterScheduler, Handler::Later(scheduler::call)),
        write("/master/teardown", Handler::Later(forms::teardown)),
        // Ours; the original gives no operator the means to end a task.
        write("/master/alcazar/v1/kill-task", Handler::Later(kill_task::call)),
        write("/master/machine/down", Handler::Later(forms::machine_down)),
        write("/master/machine/up", Handler::Later(forms::machine_up)),
        write("/master/reserve", Handler::Later(forms::reserve)),
        write("/master/unreserve", Handler::Later(forms::unreserve)),
        write("/master/create-volumes", Handler::Later(forms::create_volumes)),
        write("/master/destroy-volumes", Handler::Later(forms::destroy_volumes)),
        both("/master/quota", &[Method::GET, Method::POST, Method::DELETE], forms::quota),
        both("/master/weights", &[Method::GET, Method::PUT], forms::weights),
        both("/master/maintenance/schedule", &[Method::GET, Method::POST], forms::schedule),
    ]
}
