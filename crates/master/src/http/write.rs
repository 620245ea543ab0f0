//! The old endpoints that change something.

use endpoints::query::Query;
use endpoints::refusal::Refusal;
use endpoints::reply::Answer;
use endpoints::request::Request;
use endpoints::route::Pending;
use model::id::FrameworkId;

use super::{Master, Shared, operator, permits};
use crate::engine::event::OperatorCommand;

/// `POST /teardown` with the form `frameworkId=<id>`.
pub(super) fn teardown(master: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let form = std::str::from_utf8(&request.body)
            .map_err(|_| Refusal::bad_request("Unable to decode query string: not UTF-8"))?;
        let form = Query::read(form)?;
        let id = form
            .get("frameworkId")
            .ok_or_else(|| Refusal::bad_request("Missing 'frameworkId' query parameter"))?;
        // What is no id is the id of no framework.
        let id: FrameworkId =
            id.parse().map_err(|_| Refusal::bad_request("No framework found with specified ID"))?;
        let permit = permits::on_framework(&master, &request.caller, &id)?;
        operator::command(&master, OperatorCommand::Teardown { permit, framework_id: id }).await
    })
}

/// What this master does not offer yet, said plainly.
pub(super) fn not_offered(_: &Master, request: &Request) -> Answer {
    Err(Refusal::not_implemented(format!("{} is not offered by this master", request.path)))
}
