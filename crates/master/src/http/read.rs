//! The old endpoints that show state.

use std::sync::Arc;

use endpoints::document::Document;
use endpoints::media::{Media, accepts_gzip};
use endpoints::refusal::Refusal;
use endpoints::reply::{Answer, Reply};
use endpoints::request::Request;
use endpoints::rope::Rope;
use endpoints::route::Pending;
use wire::Described;
use wire::json::Style;

use super::documents::{Shown, sees_all};
use super::{Master, Shared};
use crate::views::{TaskQuery, View};

/// Answers with what all callers share who see everything; others get their own.
fn shared(master: Shared, request: Request, shown: Shown) -> Pending {
    Box::pin(async move {
        if !sees_all(&master.sight(&request.caller)) {
            return show(master, request, move |view| shown.render(view)).await;
        }
        let packed = accepts_gzip(&request.headers);
        let document = master.documents.get(&master, shown, packed).await?;
        Ok(Reply::Document { media: Media::Json, document, conditional: true })
    })
}

/// Renders for this caller, away from the threads that serve connections: what a large cluster
/// shows takes long.
fn show<R: Into<Rope>>(
    master: Shared,
    request: Request,
    render: impl FnOnce(View<'_>) -> R + Send + 'static,
) -> Pending {
    Box::pin(async move {
        let packed = accepts_gzip(&request.headers);
        let rendering = Arc::clone(&master);
        let render = move || {
            let rope = rendering.view(&request.caller, render).into();
            let document = Arc::new(Document::new(rope).marked_by_content());
            if packed {
                let _ = document.packed();
            }
            document
        };
        let document = master.workers.run(render).await?;
        Ok(Reply::Document { media: Media::Json, document, conditional: true })
    })
}

pub(super) fn state(master: Shared, request: Request) -> Pending {
    shared(master, request, Shown::State)
}

pub(super) fn state_summary(master: Shared, request: Request) -> Pending {
    shared(master, request, Shown::StateSummary)
}

pub(super) fn slaves(master: Shared, request: Request) -> Pending {
    match request.query.get("slave_id").map(str::to_owned) {
        None => shared(master, request, Shown::Slaves),
        only => show(master, request, move |view| view.slaves(only.as_deref())),
    }
}

pub(super) fn frameworks(master: Shared, request: Request) -> Pending {
    match request.query.get("framework_id").map(str::to_owned) {
        None => shared(master, request, Shown::Frameworks),
        only => show(master, request, move |view| view.framework_list(only.as_deref())),
    }
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
    shared(master, request, Shown::Roles)
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
