//! The old endpoints that show state.

use endpoints::refusal::Refusal;
use endpoints::reply::{Answer, Reply};
use endpoints::request::Request;
use endpoints::route::Pending;
use wire::Described;
use wire::json::Style;

use super::{Master, Shared};
use crate::views::{TaskQuery, View};

/// Renders away from the threads that serve connections: what a large cluster shows takes long.
fn show(
    master: Shared,
    request: Request,
    render: impl FnOnce(View<'_>) -> Vec<u8> + Send + 'static,
) -> Pending {
    Box::pin(async move {
        let json = tokio::task::spawn_blocking(move || master.view(&request.caller, render)).await;
        let json = json.map_err(|e| Refusal::internal(format!("rendering state: {e}")))?;
        Ok(Reply::Json(json.into()))
    })
}

pub(super) fn state(master: Shared, request: Request) -> Pending {
    show(master, request, |view| view.state())
}

pub(super) fn state_summary(master: Shared, request: Request) -> Pending {
    show(master, request, |view| view.state_summary())
}

pub(super) fn slaves(master: Shared, request: Request) -> Pending {
    let only = request.query.get("slave_id").map(str::to_owned);
    show(master, request, move |view| view.slaves(only.as_deref()))
}

pub(super) fn frameworks(master: Shared, request: Request) -> Pending {
    let only = request.query.get("framework_id").map(str::to_owned);
    show(master, request, move |view| view.framework_list(only.as_deref()))
}

pub(super) fn tasks(master: Shared, request: Request) -> Pending {
    match TaskQuery::read(&request.query) {
        Ok(query) => show(master, request, move |view| view.tasks(&query)),
        Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
    }
}

pub(super) fn offer_constraints_debug(master: Shared, request: Request) -> Pending {
    show(master, request, |view| view.offer_constraints_debug())
}

pub(super) fn roles(master: Shared, request: Request) -> Pending {
    show(master, request, |view| view.roles())
}

pub(super) fn quota(master: Shared, request: Request) -> Pending {
    show(master, request, |view| message(&view.quota_status()))
}

pub(super) fn weights(master: Shared, request: Request) -> Pending {
    show(master, request, |view| {
        let mut json = Vec::new();
        wire::json::array(&mut json, |a| {
            for info in view.weights() {
                a.push(wire::json::message(&info, Style::V0));
            }
        });
        json
    })
}

pub(super) fn schedule(master: Shared, request: Request) -> Pending {
    show(master, request, |view| message(&view.schedule()))
}

pub(super) fn maintenance_status(master: Shared, request: Request) -> Pending {
    show(master, request, |view| message(&view.maintenance_status()))
}

pub(super) fn registry(master: Shared, request: Request) -> Pending {
    show(master, request, |view| view.registry())
}

fn message<T: Described>(message: &T) -> Vec<u8> {
    let mut json = Vec::new();
    wire::json::write(message, Style::V0, &mut json);
    json
}

/// Where the leader is: here.
pub(super) fn redirect(master: &Master, request: &Request) -> Answer {
    if !request.rest.is_empty() {
        return Err(Refusal::not_found());
    }
    let snapshot = master.snapshots.load();
    let info = &snapshot.master;
    Err(Refusal::redirect(&format!("//{}:{}", info.hostname(), info.port)))
}
