//! The old endpoints that show state.

use endpoints::refusal::Refusal;
use endpoints::reply::Reply;
use endpoints::request::Request;
use endpoints::route::Pending;

use super::Shared;
use crate::views::{Measured, containers as measure};

/// `/state`, rendered away from the threads that serve connections.
pub(super) fn state(agent: Shared, _: Request) -> Pending {
    Box::pin(async move {
        let json = tokio::task::spawn_blocking(move || agent.view(|view| view.state())).await;
        let json = json.map_err(|e| Refusal::internal(format!("rendering state: {e}")))?;
        Ok(Reply::Json(json.into()))
    })
}

/// `/containers`: all, one, those of a framework, or those of an executor.
pub(super) fn containers(agent: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let text = |name: &str| request.query.get(name).map(str::to_owned);
        let (container, framework, executor) =
            (text("container_id"), text("framework_id"), text("executor_id"));
        match (&container, &framework, &executor) {
            (None, None, None) | (Some(_), None, None) | (None, Some(_), _) => {}
            (Some(_), ..) | (None, None, Some(_)) => {
                return Err(Refusal::bad_request(
                    "Expecting 'container_id' alone, or 'framework_id', alone or with \
                     'executor_id'",
                ));
            }
        }
        let snapshot = agent.snapshots.load_full();
        let all = measure(&snapshot, &agent.containerizer, |f, e, c| {
            let is = |wanted: &Option<String>, id: &str| {
                wanted.as_deref().is_none_or(|wanted| wanted == id)
            };
            is(&container, c.as_str()) && is(&framework, f.as_str()) && is(&executor, e.as_str())
        })
        .await;
        Ok(Reply::Json(Measured::containers_json(&all).into()))
    })
}

/// `/monitor/statistics`
pub(super) fn statistics(agent: Shared, _: Request) -> Pending {
    Box::pin(async move {
        let snapshot = agent.snapshots.load_full();
        let all = measure(&snapshot, &agent.containerizer, |_, _, _| true).await;
        Ok(Reply::Json(Measured::statistics_json(&all).into()))
    })
}
