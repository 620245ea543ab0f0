//! The executor API: `POST /api/v1/executor`.
//!
//! Who calls is known by the bearer token of its container, before the body is looked at. Only
//! the token's digest is known here. Where the posture lets executors without tokens in, they are
//! known by the container whose process holds the connection.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use endpoints::access::Realm;
use endpoints::call::{absent, invalid, read};
use endpoints::media;
use endpoints::refusal::Refusal;
use endpoints::reply::{Answer, Reply};
use endpoints::request::Request;
use endpoints::route::Pending;
use endpoints::stream::Ended;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use model::id::{ContainerId, ExecutorId, FrameworkId};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;
use wire::Limits;
use wire::v1::TaskState;
use wire::v1::executor::Call;
use wire::v1::executor::call::{Type, Update};
use wire::v1::task_status::Source;

use super::{Agent, Shared, stopping};
use crate::engine::event::{self, Caller, ConnectionId, Event, TokenDigest};
use crate::engine::stream::UpdateId;
use crate::engine::task::state_of;
use crate::engine::tokens;

/// The word in texts of failed validations.
const KIND: &str = "Executor";

/// The header of an answer that carries the caller's next token.
const NEXT_TOKEN: HeaderName = HeaderName::from_static("alcazar-executor-token");

pub(super) fn call(agent: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let shown = prove(&agent, &request)?;
        let call: Call = read(&request, &Limits::default())?;
        let kind = validate(&call)?;
        let caller = match shown {
            Shown::Token(token) => Caller::Token(token),
            Shown::Claims(claims) => Caller::Claims(claims),
            // Nothing depends on who calls; but who tries to prove something must not fail to.
            Shown::Nothing { tried: false } if kind == Type::Heartbeat => Caller::Unproven,
            Shown::Nothing { tried: true } if kind == Type::Heartbeat => {
                return Err(refused_token(&agent, true));
            }
            Shown::Nothing { .. } => by_connection(&agent, &request, &call).await,
        };
        match kind {
            Type::Subscribe => subscribe(agent, &request, caller, call).await,
            _ => other(agent, caller, call).await,
        }
    })
}

/// What a request shows before its body is read.
pub(super) enum Shown {
    /// A token that the agent has written down.
    Token(TokenDigest),
    /// What somebody else's proof says of its bearer, as the realm's authenticators found.
    Claims(BTreeMap<String, String>),
    /// No proof, where none is demanded.
    Nothing {
        /// Whether it carries a token all the same, which nobody knows.
        tried: bool,
    },
}

/// Asked before the body is read: a stranger's body is not.
pub(super) fn prove(agent: &Agent, request: &Request) -> Result<Shown, Refusal> {
    let token = token_of(request);
    let known = token.and_then(|token| written_down(&agent.snapshots.load().state.tokens, token));
    if let Some(token) = known {
        return Ok(Shown::Token(token));
    }
    // What the realm's authenticators found. A name without claims is that of no executor.
    if let Some(proved) = request.caller.proved() {
        return Ok(Shown::Claims(proved.principal.claims().clone()));
    }
    // An executor of a framework's own may know of no token, and so does one that was started
    // when the agent served in plaintext. Where identities are proved, nobody is heard so.
    let posture = &agent.posture;
    if !posture.has_identities()
        && !agent.tokens_required
        && posture.is_satisfied(&request.caller, Realm::AgentExecutor)
    {
        return Ok(Shown::Nothing { tried: token.is_some() });
    }
    Err(refused_token(agent, token.is_some()))
}

fn token_of(request: &Request) -> Option<&str> {
    request
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
}

/// Whether the request carries a token that the agent has written down.
pub(super) fn has_token(agent: &Agent, request: &Request) -> bool {
    let tokens = &agent.snapshots.load().state.tokens;
    token_of(request).is_some_and(|token| written_down(tokens, token).is_some())
}

fn refused_token(agent: &Agent, tried: bool) -> Refusal {
    agent.counted.refused_tokens.fetch_add(1, Ordering::Relaxed);
    let why = if tried { "an unknown token" } else { "no token" };
    Refusal::unauthorized(Realm::AgentExecutor).because(why)
}

/// Who calls without any token: the container that holds the other end of the connection, if it
/// is that of the executor for which the call speaks.
async fn by_connection(agent: &Agent, request: &Request, call: &Call) -> Caller {
    let container = {
        let snapshot = agent.snapshots.load();
        let framework = call.framework_id.value.parse::<FrameworkId>().ok();
        let executor = call.executor_id.value.parse::<ExecutorId>().ok();
        framework.zip(executor).and_then(|(framework, executor)| {
            let framework = snapshot.state.frameworks.get(&framework)?;
            framework.executors.get(&executor).map(|executor| executor.container.clone())
        })
    };
    let Some(container) = container else { return Caller::Unproven };
    let caller = &request.caller;
    if agent.holders.holds(&container, caller.connection(), caller.address()).await {
        return Caller::Container(container);
    }
    agent.counted.strangers.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(
        from = %caller.address(),
        %container,
        "a call of the executor API comes from no process of the executor's container"
    );
    Caller::Unproven
}

/// What is kept of this token. All digests are compared, each in constant time: how long it takes
/// says only how many there are.
fn written_down(tokens: &BTreeMap<TokenDigest, ContainerId>, token: &str) -> Option<TokenDigest> {
    let TokenDigest(digest) = tokens::digest(token);
    let mut found = None;
    for known in tokens.keys() {
        if bool::from(known.0.ct_eq(&digest)) {
            found = Some(*known);
        }
    }
    found
}

fn validate(call: &Call) -> Result<Type, Refusal> {
    let kind = call.r#type.and_then(|n| Type::try_from(n).ok());
    let kind = kind.ok_or_else(|| absent(KIND, "type"))?;
    match kind {
        Type::Unknown => return Err(Refusal::unknown_call()),
        Type::Subscribe if call.subscribe.is_none() => return Err(absent(KIND, "subscribe")),
        Type::Update => match &call.update {
            None => return Err(absent(KIND, "update")),
            Some(update) => validate_update(call, update)?,
        },
        Type::Message if call.message.is_none() => return Err(absent(KIND, "message")),
        Type::Subscribe | Type::Message | Type::Heartbeat => {}
    }
    Ok(kind)
}

fn validate_update(call: &Call, update: &Update) -> Result<(), Refusal> {
    let status = &update.status;
    let uuid = status.uuid.as_ref().ok_or_else(|| absent(KIND, "uuid"))?;
    if UpdateId::from_wire(uuid).is_none() {
        return Err(invalid(KIND, "Not a valid UUID"));
    }
    // What they hold is the caller's choice.
    let executor = call.executor_id.value.escape_default();
    let framework = call.framework_id.value.escape_default();
    if let Some(other) = status.executor_id.as_ref().filter(|id| **id != call.executor_id) {
        let other = other.value.escape_default();
        return Err(invalid(
            KIND,
            &format!(
                "ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {other}"
            ),
        ));
    }
    if status.source() != Source::Executor {
        return Err(invalid(
            KIND,
            &format!(
                "Received Call from executor {executor} of framework {framework} with invalid \
                 source, expecting 'SOURCE_EXECUTOR'"
            ),
        ));
    }
    if state_of(status) == TaskState::TaskStaging {
        return Err(invalid(
            KIND,
            &format!(
                "Received TASK_STAGING from executor {executor} of framework {framework} which is \
                 not allowed"
            ),
        ));
    }
    Ok(())
}

async fn subscribe(agent: Shared, request: &Request, caller: Caller, call: Call) -> Answer {
    let media = media::accept(&request.headers)?;
    let number = agent.inbox.next_request();
    let connection = ConnectionId(number.0);
    let records = agent.streams.open(connection, media);
    let watch = records.watch();
    let event = Event::ExecutorCall { request: number, caller, call: Box::new(call) };
    let (tell, told) = oneshot::channel();
    // On a task of its own: if the caller hangs up meanwhile, the engine still hears of the
    // beginning, and then of the end.
    tokio::spawn(async move {
        let answer = agent.inbox.ask(number, event).await;
        let subscribed = matches!(answer, Ok(event::Answer::Subscribed(_)));
        // Who hung up takes no answer.
        let _ = tell.send(answer);
        if !subscribed {
            agent.streams.close(connection);
            return;
        }
        let why = watch.ended().await;
        agent.streams.close(connection);
        if why != Ended::Finished {
            // If the engine is gone, nobody has to know.
            let _ = agent.inbox.put(Event::ExecutorDisconnected(connection)).await;
        }
    });
    let answer = told.await.map_err(|_| Refusal::internal("nobody answered a subscription"))?;
    match answer.map_err(stopping)? {
        event::Answer::Subscribed(_) => Ok(Reply::Stream { media, headers: Vec::new(), records }),
        event::Answer::Refused(refusal) => Err(refused(refusal)),
        event::Answer::Accepted | event::Answer::Renewed(_) => {
            Err(Refusal::internal("a subscription was answered like an update"))
        }
    }
}

async fn other(agent: Shared, caller: Caller, call: Call) -> Answer {
    let request = agent.inbox.next_request();
    let event = Event::ExecutorCall { request, caller, call: Box::new(call) };
    match agent.inbox.ask(request, event).await.map_err(stopping)? {
        event::Answer::Accepted => Ok(Reply::Accepted),
        event::Answer::Renewed(token) => {
            let mut value = HeaderValue::try_from(token.expose())
                .map_err(|_| Refusal::internal("a token is no value of a header"))?;
            value.set_sensitive(true);
            Ok(Reply::AcceptedWith(vec![(NEXT_TOKEN, value)]))
        }
        event::Answer::Refused(refusal) => Err(refused(refusal)),
        event::Answer::Subscribed(_) => {
            Err(Refusal::internal("an update was answered like a subscription"))
        }
    }
}

/// The engine's refusal as a response.
fn refused(refusal: event::Refusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        event::Refusal::ExecutorUnknown
        | event::Refusal::FrameworkUnknown
        | event::Refusal::TaskUnknown
        | event::Refusal::Invalid(_) => Refusal::bad_request(text),
        event::Refusal::Forbidden => Refusal::forbidden(),
        event::Refusal::Revoked => {
            Refusal::unauthorized(Realm::AgentExecutor).because("a token that was revoked")
        }
        event::Refusal::NotSubscribed | event::Refusal::Claim(_) => {
            Refusal::forbidden_because(text)
        }
        event::Refusal::Recovering | event::Refusal::TooManyUpdates => Refusal::unavailable(text),
    }
}
