//! The two connections of an executor: one for the stream of events, one for calls.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use launch::material::{BearerToken, Material};
use model::identity::Kind;
use tls_policy::{Recognize, ServerTrust};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use transport::client::{Client as Transport, Connection, Reply, Settings};
use transport::tls::{Contexts, Expected, MaterialError, Security};
use transport::with_causes;
use wire::v1::executor::{Call, Event, call};
use wire::{Limits, check, recordio};

use crate::environment::Environment;

/// The media type of calls and events.
const PROTOBUF: &str = "application/x-protobuf";

/// The header of an answer that carries our next token.
const NEXT_TOKEN: &str = "alcazar-executor-token";

/// The longest event accepted, in bytes: a task, with its whole environment, fits.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// The longest text of a refusal that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 4 << 10;

/// Events read ahead of the program, after which the agent waits.
const EVENTS_AHEAD: usize = 32;

/// What the connections bring, for the session.
#[derive(Debug)]
pub(crate) enum Report {
    Event(Box<Event>),
    Lost(String),
    Refused(String),
    UpdateRejected { uuid: Bytes, why: String },
}

/// Talks to the agent. One subscription at a time: reports of an earlier one are dropped.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Arc<Agent>,
    subscription: Option<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    reports: mpsc::Receiver<Report>,
    calls: mpsc::UnboundedSender<Call>,
    /// Ends the tasks when dropped.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Agent {
    way: Way,
    expected: Expected,
    address: SocketAddrV4,
    path: String,
    /// Replaced when the agent hands out another one.
    token: Mutex<Option<BearerToken>>,
}

/// How the agent is spoken to.
#[derive(Debug)]
enum Way {
    /// As the agent said when it started us: it is verified, and nobody else will do.
    Fixed(Transport),
    /// As the agent itself shows: it verified nobody when it started us, or served in plaintext,
    /// so that there is nothing to hold against it. An agent that is restarted with TLS, or
    /// without, keeps its executors.
    Following {
        plain: Transport,
        /// Tries TLS, and speaks plaintext to an agent that shows that it speaks no TLS.
        either: Transport,
        /// What the agent spoke when it was last met.
        encrypted: AtomicBool,
    },
}

/// Why a call brought no success.
enum CallFailure {
    /// Later, perhaps.
    Lost(String),
    /// Not this call (4xx).
    Refused(StatusCode, String),
}

impl CallFailure {
    /// Whether a port that speaks TLS only may behave so towards plaintext: ours says what it
    /// speaks, that of the original closes the connection.
    fn may_be_about_tls(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused(StatusCode::BAD_REQUEST, text) => text.contains("TLS"),
            Self::Refused(..) => false,
        }
    }
}

impl Client {
    /// A client that trusts and is trusted by `material`; without it, one that was started by an
    /// agent in plaintext.
    pub(crate) fn new(
        environment: &Environment,
        material: Option<Material>,
    ) -> Result<Self, MaterialError> {
        let settings = Settings {
            connect_deadline: Duration::from_secs(5),
            response_deadline: Duration::from_secs(10),
            ..Settings::default()
        };
        let following = |trust: &ServerTrust, encrypted| -> Result<Way, MaterialError> {
            let either = Security::Tls(Arc::new(Contexts::carried(trust, true)?));
            Ok(Way::Following {
                plain: Transport::new(Security::DangerPlaintext, settings),
                either: Transport::following(either, settings),
                encrypted: AtomicBool::new(encrypted),
            })
        };
        let (way, expected, token) = match material {
            None => {
                (following(&ServerTrust::plaintext(), false)?, Expected::Kind(Kind::Agent), None)
            }
            Some(Material { token, trust, .. }) => {
                let fixed = || -> Result<Way, MaterialError> {
                    let contexts = Arc::new(Contexts::carried(&trust, false)?);
                    Ok(Way::Fixed(Transport::new(Security::Tls(contexts), settings)))
                };
                let (way, expected) = match &trust.recognize {
                    Recognize::Identity { identity, .. } => {
                        (fixed()?, Expected::Identity(identity.clone()))
                    }
                    Recognize::Chain { .. } => (fixed()?, Expected::Kind(Kind::Agent)),
                    Recognize::Plaintext => {
                        (following(&trust, false)?, Expected::Kind(Kind::Agent))
                    }
                    Recognize::Unverified => {
                        (following(&trust, true)?, Expected::Kind(Kind::Agent))
                    }
                };
                (way, expected, Some(token))
            }
        };
        let agent = Agent {
            way,
            expected,
            address: environment.agent.address,
            path: environment.api_path(),
            token: Mutex::new(token),
        };
        Ok(Self { agent: Arc::new(agent), subscription: None })
    }

    /// Begins a subscription in place of an earlier one.
    pub(crate) fn subscribe(&mut self, call: Call) {
        let (report, reports) = mpsc::channel(EVENTS_AHEAD);
        // Not bounded: the session keeps each update in memory anyway until it is acknowledged.
        let (calls, to_send) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(stream(Arc::clone(&self.agent), call, report.clone()));
        tasks.spawn(send_all(Arc::clone(&self.agent), to_send, report));
        self.subscription = Some(Subscription { reports, calls, _tasks: tasks });
    }

    /// Ends the subscription, if there is one.
    pub(crate) fn disconnect(&mut self) {
        self.subscription = None;
    }

    /// Sends `call` after those before it. Without a subscription it goes nowhere.
    pub(crate) fn send(&mut self, call: Call) {
        if let Some(subscription) = &self.subscription {
            // The receiver goes away only after it reported the loss of the agent.
            let _ = subscription.calls.send(call);
        }
    }

    /// What comes next; waits forever without a subscription. Can be given up and begun again.
    pub(crate) async fn next(&mut self) -> Report {
        let Some(subscription) = &mut self.subscription else {
            return std::future::pending().await;
        };
        match subscription.reports.recv().await {
            Some(report) => report,
            None => Report::Lost("the connection ended".to_owned()),
        }
    }
}

/// Subscribes, and reports events until the stream ends.
async fn stream(agent: Arc<Agent>, call: Call, report: mpsc::Sender<Report>) {
    let last = match agent.events(call, &report).await {
        Ok(()) => Report::Lost("the agent ended the subscription".to_owned()),
        Err(CallFailure::Lost(why)) => Report::Lost(why),
        Err(CallFailure::Refused(status, text)) => Report::Refused(format!("{status}: {text}")),
    };
    // Nobody listens any more after a new subscription.
    let _ = report.send(last).await;
}

/// Sends calls one after the other, so that updates arrive in their order.
async fn send_all(
    agent: Arc<Agent>,
    mut calls: mpsc::UnboundedReceiver<Call>,
    report: mpsc::Sender<Report>,
) {
    let mut connection = None;
    while let Some(call) = calls.recv().await {
        let update = call.update.as_ref().and_then(|update| update.status.uuid.clone());
        let answer = match agent.send(&mut connection, &call).await {
            Ok(()) => continue,
            Err(CallFailure::Refused(StatusCode::BAD_REQUEST, why)) if update.is_some() => {
                Report::UpdateRejected { uuid: update.unwrap_or_default(), why }
            }
            // Most likely an agent that does not know the executor yet: subscribe again.
            Err(CallFailure::Refused(status, why)) => Report::Lost(format!("{status}: {why}")),
            Err(CallFailure::Lost(why)) => Report::Lost(why),
        };
        let lost = matches!(answer, Report::Lost(_));
        if report.send(answer).await.is_err() || lost {
            return;
        }
    }
}

impl Agent {
    async fn dial(&self, transport: &Transport) -> Result<Connection, CallFailure> {
        let host = self.address.ip().to_string();
        let connecting = transport.connect(&host, self.address.port(), &self.expected);
        connecting.await.map_err(|error| CallFailure::Lost(with_causes(&error)))
    }

    async fn connect(&self) -> Result<Connection, CallFailure> {
        match &self.way {
            Way::Fixed(transport) => self.dial(transport).await,
            Way::Following { plain, encrypted, .. } if !encrypted.load(Ordering::Relaxed) => {
                self.dial(plain).await
            }
            Way::Following { either, encrypted, .. } => {
                let connection = self.dial(either).await?;
                encrypted.store(connection.peer().encrypted, Ordering::Relaxed);
                Ok(connection)
            }
        }
    }

    /// Subscribes on a connection of its own. If the agent, spoken to in plaintext, behaves like
    /// one that wants TLS, it is asked once more over TLS before the attempt counts as failed: an
    /// agent that was restarted does not wait for long.
    async fn subscribe(&self, call: &Call) -> Result<Reply, CallFailure> {
        let mut connection = self.connect().await?;
        let was_encrypted = connection.peer().encrypted;
        let failure = match self.post(&mut connection, call).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        let Way::Following { either, encrypted, .. } = &self.way else { return Err(failure) };
        if was_encrypted || !failure.may_be_about_tls() {
            return Err(failure);
        }
        let mut connection = match self.dial(either).await {
            Ok(connection) if connection.peer().encrypted => connection,
            // It speaks no TLS either, so its answer in plaintext is what counts.
            Ok(_) | Err(_) => return Err(failure),
        };
        encrypted.store(true, Ordering::Relaxed);
        self.post(&mut connection, call).await
    }

    async fn post(&self, connection: &mut Connection, call: &Call) -> Result<Reply, CallFailure> {
        let lost = |error: transport::client::CallError| CallFailure::Lost(with_causes(&error));
        let mut request = transport::client::Call::post(
            self.path.clone(),
            PROTOBUF,
            Bytes::from(wire::encode(call)),
        )
        .accept(PROTOBUF);
        let token = self.token().clone();
        if let Some(token) = &token {
            request = request.bearer(token.expose()).map_err(lost)?;
        }
        let reply = connection.call(request).await.map_err(lost)?;
        if reply.status.is_success() {
            if token.is_some() {
                self.take_next(&reply);
            }
            return Ok(reply);
        }
        let status = reply.status;
        let text = match reply.body.collect(MAX_REFUSAL_BYTES).await {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => with_causes(&error),
        };
        if status.is_client_error() {
            Err(CallFailure::Refused(status, text))
        } else {
            Err(CallFailure::Lost(format!("{status}: {text}")))
        }
    }

    /// The agent wants us to prove ourselves by another token from now on. It is believed: it is
    /// the one that we recognized, on the connection that we opened to it.
    fn take_next(&self, reply: &Reply) {
        let next = reply.headers.get(NEXT_TOKEN).and_then(|value| value.to_str().ok());
        if let Some(next) = next.filter(|next| !next.is_empty()) {
            *self.token() = Some(BearerToken::new(next.to_owned()));
            tracing::debug!("the agent gave us another token");
        }
    }

    fn token(&self) -> MutexGuard<'_, Option<BearerToken>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, kept: &mut Option<Connection>, call: &Call) -> Result<(), CallFailure> {
        let mut connection = match kept.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let reply = self.post(&mut connection, call).await?;
        reply
            .body
            .collect(MAX_REFUSAL_BYTES)
            .await
            .map_err(|error| CallFailure::Lost(with_causes(&error)))?;
        *kept = Some(connection);
        Ok(())
    }

    async fn events(
        &self,
        subscribe: Call,
        report: &mpsc::Sender<Report>,
    ) -> Result<(), CallFailure> {
        debug_assert_eq!(subscribe.r#type(), call::Type::Subscribe);
        let mut reply = self.subscribe(&subscribe).await?;
        let mut records = recordio::Decoder::new(MAX_EVENT_BYTES);
        let limits = Limits { max_bytes: MAX_EVENT_BYTES, ..Limits::default() };
        while let Some(bytes) = reply.body.next().await {
            records.push(&bytes.map_err(|error| CallFailure::Lost(with_causes(&error)))?);
            loop {
                let record =
                    records.next().map_err(|error| CallFailure::Lost(error.to_string()))?;
                let Some(record) = record else { break };
                let (event, _) = check::decode::<Event>(&record, &limits)
                    .map_err(|error| CallFailure::Lost(error.to_string()))?;
                if report.send(Report::Event(Box::new(event))).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
