//! The older endpoints that change something: forms and JSON in place of calls.

use endpoints::query::Query;
use endpoints::refusal::Refusal;
use endpoints::request::Request;
use endpoints::route::Pending;
use http::Method;
use wire::json::{self, JsonError, Names};
use wire::v1::offer::operation;
use wire::{Described, Limits, v1};

use super::change::Change;
use super::{Shared, read};

/// What is changed as soon as it is read.
fn change(
    master: Shared,
    request: Request,
    read: fn(&Request) -> Result<Change, Refusal>,
) -> Pending {
    Box::pin(async move { read(&request)?.make(&master, &request.caller).await })
}

/// The form in a request's body, `a=b&c=d`.
fn form(request: &Request) -> Result<Query, Refusal> {
    let undecodable =
        |why: &str| Refusal::bad_request(format!("Unable to decode query string: {why}"));
    let text = std::str::from_utf8(&request.body).map_err(|_| undecodable("not UTF-8"))?;
    Query::read(text).map_err(|why| undecodable(&why.text().unwrap_or_default()))
}

fn missing(name: &str) -> Refusal {
    Refusal::bad_request(format!("Missing '{name}' query parameter in the request body"))
}

fn agent(form: &Query) -> Result<String, Refusal> {
    form.get("slaveId").map(str::to_owned).ok_or_else(|| missing("slaveId"))
}

/// A list of resources in a form. `error` is how the original begins to say that it is none.
fn resources(form: &Query, name: &str, error: &str) -> Result<Vec<v1::Resource>, Refusal> {
    let text = form.get(name).ok_or_else(|| missing(name))?;
    json::read_list(text.as_bytes(), Names::V0, &Limits::default()).map_err(|why| {
        Refusal::bad_request(format!("{error} '{name}' query parameter in the request body: {why}"))
    })
}

/// How `/reserve` says it; all others say [`ERROR_IN`].
const ERROR: &str = "Error parsing";
const ERROR_IN: &str = "Error in parsing";

/// `POST /reserve`
pub(super) fn reserve(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let form = form(request)?;
        let agent = agent(&form)?;
        let resources = self::resources(&form, "resources", ERROR)?;
        let source = match form.get("source") {
            Some(_) => self::resources(&form, "source", ERROR)?,
            None => Vec::new(),
        };
        Ok(Change::Reserve(agent, operation::Reserve { source, resources }))
    })
}

/// `POST /unreserve`
pub(super) fn unreserve(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let form = form(request)?;
        let agent = agent(&form)?;
        let resources = resources(&form, "resources", ERROR_IN)?;
        Ok(Change::Unreserve(agent, operation::Unreserve { resources }))
    })
}

/// `POST /create-volumes`
pub(super) fn create_volumes(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let form = form(request)?;
        let agent = agent(&form)?;
        let volumes = resources(&form, "volumes", ERROR_IN)?;
        Ok(Change::Create(agent, operation::Create { volumes }))
    })
}

/// `POST /destroy-volumes`
pub(super) fn destroy_volumes(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let form = form(request)?;
        let agent = agent(&form)?;
        let volumes = resources(&form, "volumes", ERROR_IN)?;
        Ok(Change::Destroy(agent, operation::Destroy { volumes }))
    })
}

/// `POST /teardown` with the form `frameworkId=<id>`.
pub(super) fn teardown(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let form = form(request)?;
        let id = form.get("frameworkId").ok_or_else(|| {
            Refusal::bad_request("Missing 'frameworkId' query parameter in the request body")
        })?;
        Ok(Change::Teardown(id.to_owned()))
    })
}

/// What the original repeats of a body in an error.
fn repeated(request: &Request) -> String {
    let shown = &request.body[..request.body.len().min(JsonError::NEAR)];
    String::from_utf8_lossy(shown).into_owned()
}

/// Whether the text is JSON at all, or only not what was asked for.
const fn is_json(error: &JsonError) -> bool {
    matches!(error, JsonError::Shape(_) | JsonError::Message(_))
}

/// `GET`, `POST` and `DELETE /quota`
pub(super) fn quota(master: Shared, request: Request) -> Pending {
    match request.method {
        Method::POST => change(master, request, set_quota),
        Method::DELETE => change(master, request, remove_quota),
        _ => read::quota(master, request),
    }
}

fn set_quota(request: &Request) -> Result<Change, Refusal> {
    json::read(&request.body, Names::V0, &Limits::default()).map(Change::SetQuota).map_err(|why| {
        let failed = if is_json(&why) { "validate" } else { "parse" };
        let body = repeated(request);
        Refusal::bad_request(format!("Failed to {failed} set quota request JSON '{body}': {why}"))
    })
}

fn remove_quota(request: &Request) -> Result<Change, Refusal> {
    let path = format!("/{}", request.path.segments().join("/"));
    if request.rest.is_empty() {
        let found = request.path.segments().len();
        return Err(Refusal::bad_request(format!(
            "Failed to parse remove quota request for path '{}': expected 3 tokens, found {found} \
             tokens",
            path.escape_debug()
        )));
    }
    Ok(Change::RemoveQuota { role: request.rest.join("/"), path: Some(path) })
}

/// `GET` and `PUT /weights`
pub(super) fn weights(master: Shared, request: Request) -> Pending {
    match request.method {
        Method::PUT => change(master, request, |request| {
            list(request).map(Change::UpdateWeights).map_err(|why| {
                let failed = match is_json(&why) && !is_list(&why) {
                    true => "convert weights JSON array to protobuf",
                    false => "parse update weights request JSON",
                };
                let body = repeated(request);
                Refusal::bad_request(format!("Failed to {failed} '{body}': {why}"))
            })
        }),
        _ => read::weights(master, request),
    }
}

/// Whether the JSON is no array.
fn is_list(error: &JsonError) -> bool {
    matches!(error, JsonError::Shape(text) if text == "Expecting a JSON array")
}

fn list<T: Described>(request: &Request) -> Result<Vec<T>, JsonError> {
    json::read_list(&request.body, Names::V0, &Limits::default())
}

/// `GET` and `POST /maintenance/schedule`
pub(super) fn schedule(master: Shared, request: Request) -> Pending {
    match request.method {
        Method::POST => change(master, request, |request| {
            json::read(&request.body, Names::V0, &Limits::default())
                .map(Change::Schedule)
                .map_err(|why| Refusal::bad_request(why.to_string()))
        }),
        _ => read::schedule(master, request),
    }
}

/// `POST /machine/down`
pub(super) fn machine_down(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let machines = list(request).map_err(|why| Refusal::bad_request(why.to_string()))?;
        Ok(Change::StartMaintenance(machines))
    })
}

/// `POST /machine/up`
pub(super) fn machine_up(master: Shared, request: Request) -> Pending {
    change(master, request, |request| {
        let machines = list(request).map_err(|why| Refusal::bad_request(why.to_string()))?;
        Ok(Change::StopMaintenance(machines))
    })
}
