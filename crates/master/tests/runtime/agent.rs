//! An agent that only talks: it registers and says what a test tells it to say.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use libprocess::upid::Upid;
use tokio::sync::mpsc;
use transport::counters::Counters;
use transport::messenger::{Listeners, Messenger, MessengerParts};
use transport::server::{Handler, Receipt, Received, Request, Response, Server, ServerParts, bind};
use transport::sessions::Sessions;
use transport::tls::Expected;
use wire::{Described, internal, v1};

use crate::fixture::{Cluster, identity, soon};

/// An agent on a port of its own.
pub(crate) struct Agent {
    pub(crate) pid: Upid,
    messenger: Messenger,
    master: Upid,
    inbox: mpsc::UnboundedReceiver<(String, bytes::Bytes)>,
    _server: Server,
}

#[derive(Debug)]
struct Ear(mpsc::UnboundedSender<(String, bytes::Bytes)>);

impl Handler for Ear {
    async fn message(&self, message: Received) -> Receipt {
        match self.0.send((message.name, message.body)) {
            Ok(()) => Receipt::Accepted,
            Err(_) => Receipt::NoSuchActor,
        }
    }

    async fn request(&self, _: Request) -> Response {
        Response::new(http::StatusCode::NOT_FOUND)
    }
}

impl Agent {
    /// An agent with the identity `agent/<name>` that has not said anything yet.
    pub(crate) fn new(cluster: &Cluster, name: &str) -> Self {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let SocketAddr::V4(own) = listener.local_addr().unwrap() else { panic!("IPv4") };
        let security = cluster.trust.security(Some(&format!("agent/{name}")));
        let counters = Arc::new(Counters::default());
        let listeners = Arc::new(Listeners::default());
        let sessions = Arc::new(Sessions::default());
        let (exits, mut exited) = mpsc::channel(16);
        tokio::spawn(async move { while exited.recv().await.is_some() {} });
        let messenger = Messenger::new(MessengerParts {
            own,
            security: security.clone(),
            settings: transport::messenger::Settings::default(),
            counters: Arc::clone(&counters),
            listeners: Arc::clone(&listeners),
            sessions: Arc::clone(&sessions),
            exits,
        });
        let (sender, inbox) = mpsc::unbounded_channel();
        let settings = transport::server::Settings::default();
        let handler = Ear(sender);
        let parts = ServerParts { security, handler, settings, counters, listeners, sessions };
        let server = Server::start(listener, parts).unwrap();
        let master = Upid::new("master", cluster.master.address());
        Self { pid: Upid::new("slave(1)", own), messenger, master, inbox, _server: server }
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.pid.address
    }

    /// Sends a message to the master.
    pub(crate) fn say<M: Described>(&self, message: &M) {
        self.say_to("master", message);
    }

    fn say_to<M: Described>(&self, actor: &str, message: &M) {
        let to = Upid::new(actor, self.master.address);
        let expected = Expected::Identity(identity("master/m1"));
        let body = wire::encode(message);
        self.messenger.send("slave(1)", &to, expected, M::NAME, &body).unwrap();
    }

    /// The next message called `M`; pings are not looked at.
    pub(crate) async fn hear<M: Described>(&mut self) -> M {
        loop {
            let (name, body) = soon(self.inbox.recv()).await.expect("the agent listens");
            if name == M::NAME {
                return wire::check::decode(&body, &wire::Limits::default()).unwrap().0;
            }
            assert!(
                matches!(
                    name.as_str(),
                    "mesos.internal.PingSlaveMessage" | "mesos.internal.UpdateFrameworkMessage"
                ),
                "{name} instead of {}",
                M::NAME
            );
        }
    }

    /// What it registers with.
    pub(crate) fn registration(&self) -> internal::RegisterSlaveMessage {
        let scalar = |name: &str, value: f64| v1::Resource {
            name: name.to_owned(),
            r#type: v1::value::Type::Scalar as i32,
            scalar: Some(v1::value::Scalar { value }),
            ..Default::default()
        };
        let capability = |n: i32| v1::agent_info::Capability { r#type: Some(n) };
        internal::RegisterSlaveMessage {
            slave: v1::AgentInfo {
                hostname: "127.0.0.1".to_owned(),
                port: Some(i32::from(self.address().port())),
                resources: vec![scalar("cpus", 4.0), scalar("mem", 1024.0), scalar("disk", 100.0)],
                checkpoint: Some(true),
                ..Default::default()
            },
            version: Some("1.12.0".to_owned()),
            agent_capabilities: (1..=8).map(capability).collect(),
            resource_version_uuid: Some(v1::Uuid { value: vec![7; 16].into() }),
            ..Default::default()
        }
    }

    /// Registers and waits for the answer.
    pub(crate) async fn register(&mut self) -> String {
        self.say(&self.registration());
        let answer: internal::SlaveRegisteredMessage = self.hear().await;
        answer.slave_id.value
    }
}

impl Agent {
    /// Whether the master has sent nothing but pings.
    pub(crate) fn heard_nothing(&mut self) -> bool {
        std::iter::from_fn(|| self.inbox.try_recv().ok())
            .all(|(name, _)| name == "mesos.internal.PingSlaveMessage")
    }
}
