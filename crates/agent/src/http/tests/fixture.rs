//! An agent behind its site, with an engine that answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use endpoints::access::Posture;
use endpoints::body::Body;
use endpoints::common::Build;
use endpoints::files::Files;
use endpoints::site::{Head, Site};
use endpoints::tls::Tls;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use libprocess::sender::PeerFacts;
use model::id::ContainerId;
use model::time::{Instant, Now, Timestamp};
use testkit::http::Message;
use tokio::sync::mpsc;
use transport::tls::Security;
use wire::v1;

use crate::containerizer::{
    BoxFuture, Containerizer, LaunchError, LaunchRequest, Launched, RecoverError,
    RecoveredContainer, Termination, UpdateError, VolumeLink,
};
use crate::engine::Engine;
use crate::engine::event::{ConnectionId, Effect, Event};
use crate::http::{Agent, Counted, table};
use crate::runtime::holder::Holders;
use crate::runtime::{Inbox, Input, Streams};
use crate::views::{Program, Snapshot};

/// Answers what it was told to about one container, and can do nothing.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) status: Option<v1::ContainerStatus>,
    /// One for each time that somebody measures.
    pub(super) usages: Mutex<Vec<v1::ResourceStatistics>>,
}

impl Containerizer for Told {
    fn launch(&self, _: LaunchRequest) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        unreachable!("nobody launches here")
    }
    fn wait(&self, _: &ContainerId) -> BoxFuture<'_, Option<Termination>> {
        unreachable!("nobody waits here")
    }
    fn destroy(&self, _: &ContainerId) -> BoxFuture<'_, ()> {
        unreachable!("nobody destroys here")
    }
    fn recover(&self, _: Vec<RecoveredContainer>) -> BoxFuture<'_, Result<(), RecoverError>> {
        unreachable!("nobody recovers here")
    }
    fn update(
        &self,
        _: &ContainerId,
        _: Vec<v1::Resource>,
        _: Vec<VolumeLink>,
    ) -> BoxFuture<'_, Result<(), UpdateError>> {
        unreachable!("nobody updates here")
    }
    fn status(&self, _: &ContainerId) -> BoxFuture<'_, Option<v1::ContainerStatus>> {
        Box::pin(std::future::ready(self.status.clone()))
    }
    fn holds_socket(&self, _: &ContainerId, _: u64) -> BoxFuture<'_, bool> {
        unreachable!("there are no sockets here")
    }
    fn usage(&self, _: &ContainerId) -> BoxFuture<'_, Option<v1::ResourceStatistics>> {
        Box::pin(std::future::ready(self.usages.lock().unwrap().pop()))
    }
}

pub(super) fn no_program() -> Program {
    Program {
        build: Build {
            version: "1.12.0".into(),
            date: String::new(),
            time: 0.0,
            user: String::new(),
            git_sha: None,
            git_branch: None,
            git_tag: None,
        },
        flags: BTreeMap::new(),
        log_dir: None,
        external_log_file: None,
    }
}

/// An agent that shows `snapshot`, and what comes in for its engine.
pub(super) fn agent(
    snapshot: Snapshot,
    program: Program,
    containerizer: Told,
    posture: Posture,
) -> (Agent, mpsc::Receiver<Input>) {
    let (inbox, inputs) = Inbox::new();
    let agent = Agent {
        registered: tokio::sync::watch::Sender::new(false),
        snapshots: ArcSwap::from_pointee(snapshot),
        program,
        started: Timestamp::default(),
        recovery_seconds: 0.0,
        files: Files::default(),
        inbox,
        streams: Streams::default(),
        containerizer: Arc::new(containerizer),
        holders: Holders::of_everything(),
        tokens_required: false,
        posture,
        counted: Counted::default(),
        tls: Tls::new(Security::DangerPlaintext, Vec::new()),
        authentication: endpoints::authentication::Authentication::default(),
    };
    (agent, inputs)
}

/// A site before an engine.
pub(super) struct Served {
    pub(super) site: Site<Agent>,
    pub(super) engine: Engine,
    inputs: mpsc::Receiver<Input>,
    /// Streams of which the engine was told that they are gone.
    pub(super) disconnected: Vec<ConnectionId>,
}

impl Served {
    pub(super) fn new(engine: Engine, posture: Posture) -> Self {
        let (agent, inputs) =
            agent(Snapshot::of(&engine), no_program(), Told::default(), posture.clone());
        let site = Site::new(Arc::new(agent), table(), posture);
        Self { site, engine, inputs, disconnected: Vec::new() }
    }

    /// The engine takes an event; what it says to executors is carried out.
    pub(super) fn handle(&mut self, event: Event) {
        self.take(Input::Event { event, memory: None });
    }

    /// The engine takes what comes in next.
    pub(super) async fn take_next(&mut self) {
        let next = tokio::time::timeout(Duration::from_secs(60), self.inputs.recv()).await;
        self.take(next.expect("something comes in").expect("the agent holds the other end"));
    }

    fn take(&mut self, input: Input) {
        let (event, waiting) = match input {
            Input::Event { event, .. } => (event, None),
            Input::Call { event, answer, .. } => (event, Some(answer)),
            Input::Failed(error) => panic!("{error}"),
        };
        if let Event::ExecutorDisconnected(connection) = &event {
            self.disconnected.push(*connection);
        }
        let now = Now { monotonic: Instant::default(), wall: Timestamp::default() };
        let effects = self.engine.handle(event, now);
        let agent = self.site.state();
        agent.snapshots.store(Arc::new(Snapshot::of(&self.engine)));
        let mut waiting = waiting;
        for effect in effects {
            match effect {
                Effect::Answer { answer, .. } => {
                    // A caller that hung up does not matter.
                    let _ = waiting.take().expect("one answer to one call").send(answer);
                }
                Effect::Tell { connection, event, .. } => {
                    // Nor does one that hung up later.
                    let _ = agent.streams.send(connection, &event);
                }
                Effect::Close(connection) => agent.streams.close(connection),
                _ => {}
            }
        }
        assert!(waiting.is_none(), "a call was not answered");
    }

    /// Asks, while the engine takes what comes in.
    pub(super) async fn ask(&mut self, asked: &Asked<'_>) -> Got {
        // Not borrowed by what answers: the engine works beside it.
        let site =
            Site::new(Arc::clone(self.site.state()), table(), self.site.state().posture.clone());
        let answer = asked.answer(&site);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                got = &mut answer => return got,
                () = self.take_next() => {}
            }
        }
    }
}

/// A request.
#[derive(Clone)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Bytes,
    pub(super) identity: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(method: &'a str, target: &'a str) -> Self {
        Self { method, target, headers: Vec::new(), body: Bytes::new(), identity: None }
    }

    /// A call as JSON.
    pub(super) fn call(target: &'a str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }.with("content-type", JSON)
    }

    pub(super) fn recorded(message: &'a Message) -> Self {
        let (method, target) = message.target();
        let headers = message.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let body = Bytes::from(message.body.clone());
        Self { method, target, headers: headers.collect(), body, identity: None }
    }

    pub(super) fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn bearing(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    pub(super) fn by(self, identity: &'a str) -> Self {
        Self { identity: Some(identity), ..self }
    }

    pub(super) async fn answer(&self, site: &Site<Agent>) -> Got {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let header = |(name, value): &(&str, String)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        };
        let mut peer = PeerFacts::plaintext(
            libprocess::sender::ConnectionId(0),
            "127.0.0.1:40000".parse().unwrap(),
        );
        peer.identity = self.identity.map(|identity| identity.parse().unwrap());
        let head = Head {
            method: self.method.parse().unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            target: self.target.to_owned(),
            headers: self.headers.iter().map(header).collect(),
            peer: Arc::new(peer),
        };
        let body_read = AtomicBool::new(false);
        let body = async {
            body_read.store(true, Ordering::Relaxed);
            Ok(self.body.clone())
        };
        let (parts, body) = site.answer(head, body).await.into_parts();
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            body_read: body_read.into_inner(),
        }
    }
}

pub(super) const JSON: &str = "application/json";
pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// A response.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Body,
    /// Whether the request's body was read for it.
    pub(super) body_read: bool,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body of a response that ends.
    pub(super) async fn bytes(self) -> Bytes {
        self.body.collect().await.unwrap().to_bytes()
    }

    pub(super) async fn text(self) -> String {
        String::from_utf8(self.bytes().await.to_vec()).unwrap()
    }

    /// The payload of the next record; `None` at the end.
    pub(super) async fn record(&mut self) -> Option<Bytes> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.body.frame());
        let frame = next.await.expect("a record or the end")?.unwrap();
        let mut data = frame.into_data().unwrap();
        let end = data.iter().position(|byte| *byte == b'\n').expect("a length");
        let length = std::str::from_utf8(&data[..end]).unwrap().parse::<usize>().unwrap();
        let payload = data.split_off(end + 1);
        assert_eq!(payload.len(), length, "one record in one chunk");
        Some(payload)
    }
}
