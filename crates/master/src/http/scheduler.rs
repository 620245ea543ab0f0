//! The scheduler API: `POST /api/v1/scheduler`.
//!
//! The order of checks and their words are the original's: the body, then what its type requires,
//! then the stream. Everything that depends on state is the engine's to judge.

use endpoints::call::{absent, invalid, read};
use endpoints::media;
use endpoints::refusal::Refusal;
use endpoints::reply::{Answer, Reply};
use endpoints::request::Request;
use endpoints::route::Pending;
use endpoints::stream::Ended;
use http::{HeaderName, HeaderValue};
use wire::Limits;
use wire::v1::scheduler::Call;
use wire::v1::scheduler::call::Type;

use super::{Shared, engine_caller, refused, stopping};
use crate::engine;
use crate::engine::effect::Accepted;
use crate::engine::event::{Event, Stream};
use crate::runtime::{MAX_PER_IDENTITY, Opened};

/// The word in texts of failed validations.
const KIND: &str = "scheduler";

/// The header that names a stream, in lower case as the library wants it.
const STREAM_ID: &str = "mesos-stream-id";

pub(super) fn call(master: Shared, request: Request) -> Pending {
    Box::pin(async move {
        let call: Call = read(&request, &Limits::default())?;
        let kind = call.r#type.and_then(|n| Type::try_from(n).ok());
        match kind.ok_or_else(|| absent(KIND, "type"))? {
            Type::Subscribe => subscribe(master, &request, call).await,
            _ => other(master, &request, call).await,
        }
    })
}

/// SUBSCRIBE. What is wrong with the call itself is a response; whether the framework may
/// subscribe is told on the stream.
async fn subscribe(master: Shared, request: &Request, call: Call) -> Answer {
    let caller = engine_caller(&request.caller);
    let subscribe = call.subscribe.as_ref().ok_or_else(|| absent(KIND, "subscribe"))?;
    let info = &subscribe.framework_info;
    let id = |id: Option<&wire::v1::FrameworkId>| id.map_or("", |id| id.value.as_str()).to_owned();
    if id(info.id.as_ref()) != id(call.framework_id.as_ref()) {
        return Err(invalid(KIND, "'framework_id' differs from 'subscribe.framework_info.id'"));
    }
    if let (Some(principal), Some(stated)) = (&caller.principal, &info.principal)
        && principal != stated
    {
        return Err(invalid(
            KIND,
            &format!(
                "Authenticated principal '{principal}' does not match principal '{}' set in \
                 `FrameworkInfo`",
                stated.escape_default()
            ),
        ));
    }
    let media = media::accept(&request.headers)?;
    if request.headers.contains_key(STREAM_ID) {
        return Err(Refusal::bad_request(
            "Subscribe calls should not include the 'Mesos-Stream-Id' header",
        ));
    }
    let opened = master.streams.open(caller.clone(), media, master.heartbeat_interval);
    let Some(Opened { subscription, secret, records }) = opened else {
        return Err(Refusal::unavailable(format!(
            "This identity has {MAX_PER_IDENTITY} open streams already: close one first"
        )));
    };
    let watch = records.watch();
    let event = Event::Subscribe { subscription, caller, call: Box::new(call) };
    // On a task of its own: if the caller hangs up meanwhile, the engine still hears of the
    // beginning before it hears of the end.
    tokio::spawn(async move {
        if master.inbox.put(event).await.is_err() {
            master.streams.close(subscription);
            return;
        }
        match watch.ended().await {
            // The engine has closed it.
            Ended::Finished => {}
            why @ (Ended::Gone | Ended::CutOff) => {
                tracing::info!(?subscription, %why, "a scheduler's stream ended");
                master.streams.close(subscription);
                // If the engine is gone, nobody has to know.
                let _ = master.inbox.put(Event::Unsubscribed { subscription }).await;
            }
        }
    });
    let secret = HeaderValue::try_from(secret)
        .map_err(|e| Refusal::internal(format!("a stream id is no header value: {e}")))?;
    let headers = vec![(HeaderName::from_static(STREAM_ID), secret)];
    Ok(Reply::Stream { media, headers, records })
}

/// All other calls.
async fn other(master: Shared, request: &Request, call: Call) -> Answer {
    let caller = engine_caller(&request.caller);
    let named = request.header(STREAM_ID).map(str::to_owned);
    let stream = match &named {
        None => Stream::Missing,
        Some(secret) => match master.streams.find(secret, &caller) {
            Some(subscription) => Stream::Of(subscription),
            None => Stream::Unknown,
        },
    };
    let call = Box::new(call);
    let answer = master.inbox.ask(|request| Event::Call { request, caller, stream, call }).await;
    match answer.map_err(stopping)? {
        Ok(Accepted::Accepted) => Ok(Reply::Accepted),
        Ok(Accepted::Done) => Ok(Reply::Done),
        Err(engine::refusal::Refusal::OtherStream(id)) => Err(Refusal::bad_request(format!(
            "The stream ID '{}' included in this request didn't match the stream ID currently \
             associated with framework ID {id}",
            named.unwrap_or_default().escape_default()
        ))),
        Err(refusal) => Err(refused(&refusal)),
    }
}
