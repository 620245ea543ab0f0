//! The agent's routes.

use endpoints::access::{Action, Realm};
use endpoints::common::{Program, routes};
use endpoints::refusal::Refusal;
use endpoints::request::Request;
use endpoints::route::{GET, Handler, Methods, POST, Route, Table, Unauthenticated};

use super::{Agent, executor, operator, read};
use crate::engine::state::Activity;

const EXECUTOR: &str = "/slave(1)/api/v1/executor";
const OPERATOR: &str = "/slave(1)/api/v1";
const STATE: &str = "/slave(1)/state";

/// What is reached without a certificate.
const UNAUTHENTICATED: &[Unauthenticated] = &[Unauthenticated {
    path: EXECUTOR,
    because: "each call carries the bearer token of its container, of which the agent keeps the \
              digest",
}];

/// All routes of an agent.
#[must_use]
pub fn table() -> Table<Agent> {
    let mut all = routes::<Agent>(Program::Agent);
    let readonly = |path, methods, action, handler| Route {
        path,
        methods,
        realm: Realm::AgentReadonly,
        action,
        handler,
    };
    let whole = Action::GetEndpointWithPath;
    all.extend([
        readonly(STATE, Methods::Any, Action::ViewState, Handler::Later(read::state)),
        readonly("/slave(1)/containers", GET, whole, Handler::Later(read::containers)),
        readonly("/slave(1)/monitor/statistics", GET, whole, Handler::Later(read::statistics)),
        Route {
            path: OPERATOR,
            methods: POST,
            realm: Realm::AgentReadwrite,
            action: Action::Call,
            handler: Handler::Later(operator::call),
        },
        Route {
            path: EXECUTOR,
            methods: POST,
            realm: Realm::AgentExecutor,
            action: Action::Call,
            handler: Handler::Later(executor::call),
        },
        // Not offered; but a realm of its own keeps it from being taken for a part of the
        // operator API, and whoever asks is asked back.
        Route {
            path: "/slave(1)/api/v1/resource_provider",
            methods: POST,
            realm: Realm::AgentResourceProvider,
            action: Action::Call,
            handler: Handler::Now(|_, _| {
                Err(Refusal::not_implemented("Resource providers are not offered by this agent"))
            }),
        },
    ]);
    Table { delegate: "slave(1)", routes: all, unauthenticated: UNAUTHENTICATED, own_proof, gate }
}

/// Whether an executor shows the token of its container.
fn own_proof(agent: &Agent, request: &Request, route: &Route<Agent>) -> bool {
    route.path == EXECUTOR && executor::has_token(agent, request)
}

/// An executor shows its token before anything else. An agent that does not know yet what it has
/// says so; executors are let in earlier than others: recovery waits for them.
fn gate(agent: &Agent, request: &Request, route: &Route<Agent>) -> Result<(), Refusal> {
    if route.path == EXECUTOR {
        executor::prove(agent, request)?;
    }
    let snapshot = agent.snapshots.load();
    let known = match route.path {
        STATE | OPERATOR => snapshot.state.activity != Activity::Recovering,
        EXECUTOR => snapshot.state.executors_known,
        _ => true,
    };
    if known { Ok(()) } else { Err(Refusal::unavailable("Agent has not finished recovery")) }
}
