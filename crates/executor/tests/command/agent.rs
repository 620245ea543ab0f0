//! The agent's side of the executor API, as far as these tests need it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http::{StatusCode, header};
use model::identity::Identity;
use model::time::Timestamp;
use tls_policy::Recognize;
use tokio::sync::mpsc;
use transport::server::{
    Handler, Receipt, Received, Request, Response, Server, ServerParts, StreamSender,
};
use transport::tls::{Contexts, Leaf, Offer, Security, TlsMaterial};
use wire::v1;
use wire::v1::executor::{Call, Event, call, event};

/// The token that an executor must present where the agent speaks TLS.
pub(crate) const TOKEN: &str = "6f6e6520746f6b656e";

/// The cluster's authority.
pub(crate) struct Authority(pki::Authority);

impl Authority {
    pub(crate) fn new() -> Self {
        let domain = identity("a").trust_domain().clone();
        Self(pki::Authority::create(domain, now()).unwrap())
    }

    pub(crate) fn bundle(&self) -> Vec<u8> {
        self.0.trust_bundle_pem().unwrap()
    }

    /// How an executor recognizes the agent `a`.
    pub(crate) fn trust(&self) -> Recognize {
        Recognize::Identity { roots: self.bundle(), identity: identity("a") }
    }

    pub(crate) fn security(&self, name: &str) -> Security {
        let identity = identity(name);
        let trust_domain = identity.trust_domain().clone();
        let request = pki::LeafRequest::new(identity, now());
        let leaf = self.0.issue(&request).unwrap();
        let material = TlsMaterial {
            leaves: vec![Leaf {
                chain_pem: leaf.chain_pem,
                key_pem: leaf.key_pem.expose_secret().to_vec().into(),
            }],
            roots_pem: self.bundle(),
            trust_domain,
            offer: Offer::default(),
        };
        Security::Tls(Arc::new(Contexts::new(&material).unwrap()))
    }
}

pub(crate) fn identity(name: &str) -> Identity {
    format!("spiffe://alcazar.local/agent/{name}").parse().unwrap()
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::new(since_epoch)
}

/// An agent that accepts every call and leaves it to the test to answer.
pub(crate) struct Agent {
    server: Server,
    calls: mpsc::UnboundedReceiver<Call>,
    /// Calls that came before the one that was waited for.
    early: VecDeque<Call>,
    stream: Arc<Mutex<Option<StreamSender>>>,
}

struct Api {
    /// `Authorization` as it must be.
    authorization: Option<String>,
    calls: mpsc::UnboundedSender<Call>,
    stream: Arc<Mutex<Option<StreamSender>>>,
}

impl Handler for Api {
    async fn message(&self, _message: Received) -> Receipt {
        Receipt::NoSuchActor
    }

    async fn request(&self, request: Request) -> Response {
        if request.path != "/slave(1)/api/v1/executor" {
            return Response::status_text(StatusCode::NOT_FOUND);
        }
        let authorization = request.headers.get(header::AUTHORIZATION).cloned();
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        if authorization != self.authorization {
            return Response::status_text(StatusCode::UNAUTHORIZED);
        }
        let (body, _memory) = request.body.collect(1 << 20).await.unwrap();
        let (call, _) = wire::check::decode::<Call>(&body, &wire::Limits::default()).unwrap();
        let response = if call.r#type() == call::Type::Subscribe {
            let (response, stream) = Response::stream("application/x-protobuf", 64);
            *self.stream.lock().unwrap() = Some(stream);
            response
        } else {
            Response::new(StatusCode::ACCEPTED)
        };
        // The test may be over.
        let _ = self.calls.send(call);
        response
    }
}

impl Agent {
    pub(crate) fn start(security: Security, address: SocketAddr) -> Self {
        let authorization = match &security {
            Security::Tls(_) => Some(format!("Bearer {TOKEN}")),
            Security::DangerPlaintext => None,
        };
        Self::start_with(security, address, authorization)
    }

    /// An agent that hears those who have no token, and nobody else.
    pub(crate) fn start_without_token(security: Security, address: SocketAddr) -> Self {
        Self::start_with(security, address, None)
    }

    fn start_with(security: Security, address: SocketAddr, authorization: Option<String>) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let stream = Arc::new(Mutex::new(None));
        let parts = ServerParts {
            security,
            handler: Api { authorization, calls: sender, stream: Arc::clone(&stream) },
            settings: transport::server::Settings::default(),
            counters: Arc::default(),
            listeners: Arc::default(),
            sessions: Arc::default(),
        };
        let listener = transport::server::bind(address).unwrap();
        let server = Server::start(listener, parts).unwrap();
        Self { server, calls, early: VecDeque::new(), stream }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends as a process that is killed would: every connection breaks.
    pub(crate) async fn die(self) {
        self.server.stop(std::time::Duration::ZERO).await;
    }

    pub(crate) async fn call(&mut self) -> Call {
        match self.early.pop_front() {
            Some(call) => call,
            None => self.calls.recv().await.unwrap(),
        }
    }

    /// The next SUBSCRIBE, which is answered by SUBSCRIBED; earlier calls are kept.
    pub(crate) async fn subscribed(&mut self, framework: v1::FrameworkInfo) -> call::Subscribe {
        let mut early = VecDeque::new();
        let subscribe = loop {
            let call = self.call().await;
            match call.subscribe {
                Some(subscribe) if call.r#type == Some(call::Type::Subscribe.into()) => {
                    break subscribe;
                }
                _ => early.push_back(call),
            }
        };
        self.early = early;
        let subscribed =
            event::Subscribed { framework_info: framework, ..event::Subscribed::default() };
        self.tell(Event { subscribed: Some(subscribed), ..event(event::Type::Subscribed) });
        subscribe
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut record = Vec::new();
        wire::recordio::encode(&wire::encode(&event), &mut record);
        let stream = self.stream.lock().unwrap();
        stream.as_ref().unwrap().try_send(Bytes::from(record)).unwrap();
    }

    pub(crate) fn launch(&self, task: &v1::TaskInfo) {
        let launch = event::Launch { task: task.clone() };
        self.tell(Event { launch: Some(launch), ..event(event::Type::Launch) });
    }

    pub(crate) fn kill(&self, policy: Option<v1::KillPolicy>) {
        let kill = event::Kill { task_id: crate::fixture::task_id(), kill_policy: policy };
        self.tell(Event { kill: Some(kill), ..event(event::Type::Kill) });
    }

    /// The next update, not yet acknowledged.
    pub(crate) async fn update(&mut self) -> v1::TaskStatus {
        let call = self.call().await;
        assert_eq!(call.r#type(), call::Type::Update, "{call:?}");
        call.update.unwrap().status
    }

    pub(crate) fn acknowledge(&self, status: &v1::TaskStatus) {
        let acknowledged = event::Acknowledged {
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        self.tell(Event { acknowledged: Some(acknowledged), ..event(event::Type::Acknowledged) });
    }

    /// Acknowledges updates up to the one in `state`, which is returned with the states before.
    pub(crate) async fn updates_until(
        &mut self,
        state: v1::TaskState,
    ) -> (Vec<v1::TaskState>, v1::TaskStatus) {
        let mut states = Vec::new();
        loop {
            let status = self.update().await;
            self.acknowledge(&status);
            if status.state() == state {
                return (states, status);
            }
            states.push(status.state());
        }
    }
}

pub(crate) fn event(kind: event::Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}
