//! The session on a network: executes what [`crate::session`] decides.
//!
//! Three tasks: the session itself, the reader of the current stream, and the sender, which makes
//! one call after the other on a connection of its own. Every queue between them is bounded; a
//! framework that takes its notices slowly slows the master's stream down, and never its own
//! calls.

use std::collections::VecDeque;

use http::{HeaderName, HeaderValue, StatusCode};
use model::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use transport::client::{self, Client};
use transport::tls::Expected;
use transport::with_causes;
use wire::v1::FrameworkInfo;
use wire::v1::scheduler::Call;
use wire::{Limits, recordio};

use crate::api::{location, refusal};
use crate::codec::ContentType;
use crate::session::{Admitted, Effect, Input, Notice, Session, SessionError};

/// The header that names a subscription.
const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// The path of the scheduler API.
const PATH: &str = "/api/v1/scheduler";

/// How many notices wait for the framework before the stream is read no further.
const MOST_NOTICES: usize = 256;

/// How many calls wait to be sent.
const MOST_CALLS: usize = 1024;

/// What a session needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Makes connections: who we are and whom we believe.
    pub client: Client,
    /// The master's host, a name or an address.
    pub host: String,
    /// The master's port.
    pub port: u16,
    /// Whom to expect there; as a rule any component of kind master.
    pub expected: Expected,
    /// The form of calls and events.
    pub content_type: ContentType,
    /// The framework; with an `id`, one that takes over from an earlier instance.
    pub framework: FrameworkInfo,
    /// Roles for which no offers are wanted at first.
    pub suppressed_roles: Vec<String>,
}

/// Makes calls. Clones make calls of the same session, which ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Scheduler {
    calls: mpsc::Sender<Request>,
}

/// What comes from the master.
#[derive(Debug)]
pub struct Notices {
    inbox: mpsc::Receiver<Notice>,
    end: Option<oneshot::Receiver<SessionError>>,
}

/// Why a call was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many calls wait to be sent.
    #[error("too many calls are waiting")]
    Busy,
    /// There is no subscription at the moment; nothing was sent.
    #[error("not subscribed")]
    NotSubscribed,
    /// The session is over.
    #[error("the session is over")]
    Over,
    /// The master answered with something else than success.
    #[error("the master answered {status}: {text}")]
    Refused {
        /// The HTTP status code.
        status: u16,
        /// The text of the answer.
        text: String,
    },
    /// The connection failed; the master may have received the call or not.
    #[error("the connection failed: {0}")]
    Unanswered(String),
}

#[derive(Debug)]
struct Request {
    call: Box<Call>,
    answer: oneshot::Sender<Result<(), CallError>>,
}

#[derive(Debug)]
struct Order {
    admitted: Admitted,
    answer: oneshot::Sender<Result<(), CallError>>,
}

/// Starts a session. It subscribes at once, and again whenever the stream is lost.
#[must_use]
pub fn start(config: Config) -> (Scheduler, Notices) {
    let (calls, requests) = mpsc::channel(64);
    let (outbox, inbox) = mpsc::channel(16);
    let (end_sender, end) = oneshot::channel();
    let seed = rand::random();
    let session = Session::new(config.framework.clone(), config.suppressed_roles.clone(), seed);
    tokio::spawn(Driver::new(config, session).run(requests, outbox, end_sender));
    (Scheduler { calls }, Notices { inbox, end: Some(end) })
}

impl Scheduler {
    /// Makes a call; the framework's id and the stream's are filled in. `Ok` means that the
    /// master accepted the call, not that it did what the call asks for.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, call: Call) -> Result<(), CallError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { call: Box::new(call), answer };
        self.calls.send(request).await.map_err(|_| CallError::Over)?;
        answered.await.unwrap_or(Err(CallError::Over))
    }
}

impl Notices {
    /// The next notice. After `None` nothing follows: every [`Scheduler`] was dropped. Nothing is
    /// lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// The session is over, and why; once.
    pub async fn next(&mut self) -> Option<Result<Notice, SessionError>> {
        if let Some(notice) = self.inbox.recv().await {
            return Some(Ok(notice));
        }
        // Taken only once it has answered, so that dropping this future loses nothing.
        let answer = self.end.as_mut()?.await;
        self.end = None;
        answer.ok().map(Err)
    }
}

struct Driver {
    config: Config,
    session: Session,
    started: tokio::time::Instant,
    pending: VecDeque<Notice>,
    stream: Option<Stream>,
}

/// The reader of one stream. Dropping it ends it.
struct Stream {
    inputs: mpsc::Receiver<Input>,
    reader: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Driver {
    fn new(config: Config, session: Session) -> Self {
        Self {
            config,
            session,
            started: tokio::time::Instant::now(),
            pending: VecDeque::new(),
            stream: None,
        }
    }

    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        outbox: mpsc::Sender<Notice>,
        end: oneshot::Sender<SessionError>,
    ) {
        let (orders, queue) = mpsc::channel(MOST_CALLS);
        // Ends when `orders` is dropped and everything in the queue is sent.
        tokio::spawn(send_calls(self.config.clone(), queue));
        let mut input = Some(Input::Start);
        loop {
            if let Some(input) = input.take()
                && let Some(error) = self.handle(input)
            {
                // What was delivered before the end comes before the end.
                for notice in self.pending.drain(..) {
                    if outbox.send(notice).await.is_err() {
                        break;
                    }
                }
                let _ = end.send(error);
                return;
            }
            let deadline = self.session.next_deadline().map(|d| self.started + d.since_start());
            let open = self.pending.len() < MOST_NOTICES;
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.order(request, &orders),
                    None => return,
                },
                // A framework that no longer listens may still make calls, TEARDOWN for one.
                permit = outbox.reserve(), if !self.pending.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(notice) = self.pending.pop_front() {
                            permit.send(notice);
                        }
                    }
                    Err(_) => self.pending.clear(),
                },
                next = next_input(&mut self.stream), if open => input = Some(next),
                () = sleep_until(deadline) => input = Some(Input::DeadlinePassed),
            }
        }
    }

    /// Gives the session an input and does what it says. `Some`: the session is over.
    fn handle(&mut self, input: Input) -> Option<SessionError> {
        let now = Instant::new(self.started.elapsed());
        for effect in self.session.handle(input, now) {
            match effect {
                Effect::CloseStream => self.stream = None,
                Effect::Deliver(notice) => self.pending.push_back(notice),
                Effect::OpenStream { master, call } => {
                    let (sender, inputs) = mpsc::channel(16);
                    let config = self.config.clone();
                    let reader = tokio::spawn(async move {
                        let last = read_stream(&config, master, &call, &sender).await;
                        let _ = sender.send(last).await;
                    });
                    self.stream = Some(Stream { inputs, reader });
                }
                Effect::End(error) => return Some(error),
            }
        }
        None
    }

    fn order(&self, request: Request, orders: &mpsc::Sender<Order>) {
        let Request { call, answer } = request;
        match self.session.admit(*call) {
            Ok(admitted) => {
                if let Err(refused) = orders.try_send(Order { admitted, answer }) {
                    let Order { answer, .. } = refused.into_inner();
                    let _ = answer.send(Err(CallError::Busy));
                }
            }
            Err(_) => {
                let _ = answer.send(Err(CallError::NotSubscribed));
            }
        }
    }
}

/// The next thing that happens on the stream; never returns if there is none. After its last
/// input the stream is gone.
async fn next_input(stream: &mut Option<Stream>) -> Input {
    let Some(open) = stream else { return std::future::pending().await };
    let input = open.inputs.recv().await;
    match input {
        Some(
            input @ (Input::StreamEnded { .. } | Input::Unreachable { .. } | Input::Refused { .. }),
        ) => {
            *stream = None;
            input
        }
        Some(input) => input,
        None => {
            *stream = None;
            Input::StreamEnded { reason: "the reader of the stream failed".to_owned() }
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Subscribes and passes on what comes. Returns the last thing to say about this stream.
async fn read_stream(
    config: &Config,
    master: Option<String>,
    call: &Call,
    inputs: &mpsc::Sender<Input>,
) -> Input {
    let ended = |reason: String| Input::StreamEnded { reason };
    let (host, port) = match place(config, master.as_deref()) {
        Ok(place) => place,
        Err(reason) => return Input::Unreachable { reason },
    };
    let mut connection = match config.client.connect(host, port, &config.expected).await {
        Ok(connection) => connection,
        Err(error) => return Input::Unreachable { reason: with_causes(&error) },
    };
    let media = config.content_type.media_type();
    let request = client::Call::post(PATH, media, config.content_type.encode(call)).accept(media);
    let reply = match connection.call(request).await {
        Ok(reply) => reply,
        Err(error) => return Input::Unreachable { reason: with_causes(&error) },
    };
    if reply.status != StatusCode::OK {
        let (status, location) = (reply.status.as_u16(), location(&reply));
        return Input::Refused { status, location, reason: refusal(reply).await };
    }
    let stream_id = reply.headers.get(STREAM_ID).and_then(|v| v.to_str().ok()).map(str::to_owned);
    if inputs.send(Input::StreamOpened { stream_id }).await.is_err() {
        return ended("nobody listens".to_owned());
    }
    let limits = Limits::default();
    let mut records = recordio::Decoder::new(limits.max_bytes);
    let mut body = reply.body;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => records.push(&piece),
            Err(error) => return ended(with_causes(&error)),
        }
        loop {
            let record = match records.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => return ended(error.to_string()),
            };
            let event = match config.content_type.decode(&record, &limits) {
                Ok(event) => event,
                Err(error) => return ended(format!("an event cannot be read: {error}")),
            };
            if inputs.send(Input::EventArrived(Box::new(event))).await.is_err() {
                return ended("nobody listens".to_owned());
            }
        }
    }
    ended("the master closed the stream".to_owned())
}

/// Makes calls in the order in which they were made by the framework.
async fn send_calls(config: Config, mut queue: mpsc::Receiver<Order>) {
    let mut kept: Option<(Option<String>, client::Connection)> = None;
    while let Some(Order { admitted, answer }) = queue.recv().await {
        let outcome = send_call(&config, &mut kept, admitted).await;
        if let Err(error) = &outcome {
            tracing::debug!(%error, "a call was not accepted");
        }
        let _ = answer.send(outcome);
    }
}

async fn send_call(
    config: &Config,
    kept: &mut Option<(Option<String>, client::Connection)>,
    admitted: Admitted,
) -> Result<(), CallError> {
    let Admitted { call, stream_id, master } = admitted;
    let mut connection = match kept.take() {
        Some((to, connection)) if to == master && !connection.is_closed() => connection,
        _ => {
            let (host, port) = place(config, master.as_deref()).map_err(CallError::Unanswered)?;
            let opened = config.client.connect(host, port, &config.expected).await;
            opened.map_err(|e| CallError::Unanswered(with_causes(&e)))?
        }
    };
    let stream_id = HeaderValue::from_str(&stream_id)
        .map_err(|_| CallError::Unanswered("the stream id is no header value".to_owned()))?;
    let body = config.content_type.encode(&call);
    let request = client::Call::post(PATH, config.content_type.media_type(), body)
        .header(STREAM_ID, stream_id);
    let reply =
        connection.call(request).await.map_err(|e| CallError::Unanswered(with_causes(&e)))?;
    let status = reply.status;
    if !status.is_success() {
        return Err(CallError::Refused { status: status.as_u16(), text: refusal(reply).await });
    }
    if reply.body.collect(crate::api::MOST_OF_REFUSAL).await.is_ok() {
        *kept = Some((master, connection));
    }
    Ok(())
}

/// Where to connect to.
fn place<'a>(config: &'a Config, master: Option<&'a str>) -> Result<(&'a str, u16), String> {
    let Some(master) = master else { return Ok((&config.host, config.port)) };
    let wrong = || format!("`{master}` is not host:port");
    let (host, port) = master.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Ok((host, port.parse().map_err(|_| wrong())?))
}
