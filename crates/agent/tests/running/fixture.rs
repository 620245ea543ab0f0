//! An agent in a directory of its own, and a master that says what the test wants.

use std::fs::Permissions;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alcazar_agent::containerizer::{self, Containerizer, ProcessContainerizer, fetcher};
use alcazar_agent::engine::rules::{ExecutorProgram, Rules};
use alcazar_agent::engine::users::TaskUserPolicy;
use alcazar_agent::message::{AgentMessage, MasterMessage};
use alcazar_agent::runtime::{Machine, Running, Settings, start};
use alcazar_agent::views::Program;
use endpoints::common::Build;
use endpoints::tls::Tls;
use libprocess::upid::Upid;
use model::identity::{Identity, Kind, TrustDomain};
use model::role::Role;
use model::time::Timestamp;
use pki::Authority;
use tempfile::TempDir;
use testkit::port::Port;
use tokio::sync::mpsc;
use transport::client::{Call, Client, Reply};
use transport::counters::Counters;
use transport::messenger::{Listeners, Messenger, MessengerParts};
use transport::server::{Handler, Receipt, Received, Request, Response, Server, ServerParts};
use transport::sessions::Sessions;
use transport::tls::{Contexts, Expected, Leaf, Offer, Security, TlsMaterial};
use wire::internal as i;
use wire::v1::{self, TaskState};

const DOMAIN: &str = "test.local";
pub(crate) const AGENT_ID: &str = "M-S0";
pub(crate) const FRAMEWORK: &str = "M-0000";

/// Runs a test's future, at most for a minute.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(testkit::process::PATIENCE, future).await.unwrap() })
}

pub(crate) fn identity(path: &str) -> Identity {
    format!("spiffe://{DOMAIN}/{path}").parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

/// What protects a test's cluster.
pub(crate) enum Trust {
    Certificates(Box<Authority>),
    Plaintext,
}

impl Trust {
    pub(crate) fn certificates() -> Self {
        let domain = TrustDomain::new(DOMAIN).unwrap();
        Self::Certificates(Box::new(Authority::create(domain, now()).unwrap()))
    }

    /// How the component `path` (`operator/root`) connects and listens; `None` has no identity.
    pub(crate) fn security(&self, path: Option<&str>) -> Security {
        let Self::Certificates(authority) = self else { return Security::DangerPlaintext };
        let leaf = |path: &str| {
            let mut request = pki::LeafRequest::new(identity(path), now());
            request.ips = vec![Ipv4Addr::LOCALHOST.into()];
            let leaf = authority.issue(&request).unwrap();
            let key = leaf.key_pem.expose_secret().to_vec();
            Leaf { chain_pem: leaf.chain_pem, key_pem: key.into() }
        };
        let material = TlsMaterial {
            leaves: path.map(leaf).into_iter().collect(),
            roots_pem: authority.trust_bundle_pem().unwrap(),
            trust_domain: authority.trust_domain().clone(),
            offer: Offer::default(),
        };
        Security::Tls(Arc::new(Contexts::new(&material).unwrap()))
    }
}

/// A master's ears: whatever arrives goes to the test.
struct Ears(mpsc::UnboundedSender<(String, bytes::Bytes, Upid)>);

impl Handler for Ears {
    async fn message(&self, message: Received) -> Receipt {
        let _ = self.0.send((message.name, message.body, message.from.upid().clone()));
        Receipt::Accepted
    }

    async fn request(&self, _: Request) -> Response {
        Response::status_text(http::StatusCode::NOT_FOUND)
    }
}

/// A master that does what the test says.
pub(crate) struct Master {
    heard: mpsc::UnboundedReceiver<(String, bytes::Bytes, Upid)>,
    messenger: Messenger,
    server: Server,
    _exits: mpsc::Receiver<transport::messenger::Exited>,
}

impl Master {
    pub(crate) async fn start(trust: &Trust) -> Self {
        let security = trust.security(Some("master/m1"));
        let listener =
            transport::server::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let std::net::SocketAddr::V4(own) = listener.local_addr().unwrap() else { panic!() };
        let (sender, heard) = mpsc::unbounded_channel();
        let (exits, exited) = mpsc::channel(16);
        let counters = Arc::new(Counters::default());
        let listeners = Arc::new(Listeners::default());
        let sessions = Arc::new(Sessions::default());
        let messenger = Messenger::new(MessengerParts {
            own,
            security: security.clone(),
            settings: transport::messenger::Settings::default(),
            counters: Arc::clone(&counters),
            listeners: Arc::clone(&listeners),
            sessions: Arc::clone(&sessions),
            exits,
        });
        let server = Server::start(
            listener,
            ServerParts {
                security,
                handler: Ears(sender),
                settings: transport::server::Settings::default(),
                counters,
                listeners,
                sessions,
            },
        )
        .unwrap();
        Self { heard, messenger, server, _exits: exited }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// The next message.
    pub(crate) async fn hears(&mut self) -> (AgentMessage, Upid) {
        let (name, body, from) = self.heard.recv().await.unwrap();
        (AgentMessage::decode(&name, &body).unwrap(), from)
    }

    /// The next message that `wanted` takes.
    pub(crate) async fn waits_for<T>(&mut self, wanted: impl Fn(AgentMessage) -> Option<T>) -> T {
        loop {
            let (message, _) = self.hears().await;
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    pub(crate) fn says(&self, agent: &Running, message: &MasterMessage) {
        let (name, body) = (message.name(), message.encode());
        let expected = Expected::Kind(Kind::Agent);
        self.messenger.send("master", agent.pid(), expected, name, &body).unwrap();
    }

    /// Registers the agent, for the first time or again, and waits until it says what it has.
    pub(crate) async fn takes(&mut self, agent: &Running) -> AgentMessage {
        let asked = self
            .waits_for(|message| match message {
                AgentMessage::Register(_) | AgentMessage::Reregister(_) => Some(message),
                _ => None,
            })
            .await;
        let slave_id = v1::AgentId { value: AGENT_ID.into() };
        let answer = match &asked {
            AgentMessage::Register(_) => {
                MasterMessage::Registered(Box::new(i::SlaveRegisteredMessage {
                    slave_id,
                    connection: None,
                }))
            }
            _ => MasterMessage::Reregistered(Box::new(i::SlaveReregisteredMessage {
                slave_id,
                reconciliations: Vec::new(),
                connection: None,
            })),
        };
        self.says(agent, &answer);
        self.waits_for(|message| matches!(message, AgentMessage::Update(_)).then_some(())).await;
        asked
    }

    /// The next status update; it is acknowledged if `acknowledge` says so.
    pub(crate) async fn update(&mut self, agent: &Running, acknowledge: bool) -> v1::TaskStatus {
        let update = self
            .waits_for(|message| match message {
                AgentMessage::StatusUpdate(message) => Some(message.update),
                _ => None,
            })
            .await;
        if acknowledge {
            self.says(
                agent,
                &MasterMessage::StatusUpdateAcknowledgement(Box::new(
                    i::StatusUpdateAcknowledgementMessage {
                        slave_id: v1::AgentId { value: AGENT_ID.into() },
                        framework_id: update.framework_id.clone(),
                        task_id: update.status.task_id.clone(),
                        uuid: update.uuid.clone().unwrap(),
                    },
                )),
            );
        }
        update.status
    }

    /// Acknowledges updates up to one with this state, and returns their states without
    /// repetitions.
    pub(crate) async fn updates_until(
        &mut self,
        agent: &Running,
        last: TaskState,
    ) -> Vec<TaskState> {
        let mut states = Vec::new();
        while states.last() != Some(&last) {
            let status = self.update(agent, true).await;
            if states.last() != Some(&status.state()) {
                states.push(status.state());
            }
        }
        states
    }

    /// Has a task killed.
    pub(crate) fn kills(&self, agent: &Running, task: &str) {
        let message = i::KillTaskMessage {
            framework_id: v1::FrameworkId { value: FRAMEWORK.into() },
            task_id: v1::TaskId { value: task.into() },
            kill_policy: None,
        };
        self.says(agent, &MasterMessage::KillTask(Box::new(message)));
    }

    /// Has a shell command run as a task.
    pub(crate) fn runs(&self, agent: &Running, task: &str, command: &str) {
        let allocated = |name: &str, value| v1::Resource {
            name: name.into(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            allocation_info: Some(v1::resource::AllocationInfo { role: Some("*".into()) }),
            ..Default::default()
        };
        let task = v1::TaskInfo {
            name: task.into(),
            task_id: v1::TaskId { value: task.into() },
            agent_id: v1::AgentId { value: AGENT_ID.into() },
            resources: vec![allocated("cpus", 0.1), allocated("mem", 32.0)],
            command: Some(v1::CommandInfo { value: Some(command.into()), ..Default::default() }),
            ..Default::default()
        };
        let message = i::RunTaskMessage {
            framework: v1::FrameworkInfo {
                user: String::new(),
                name: "f".into(),
                id: Some(v1::FrameworkId { value: FRAMEWORK.into() }),
                checkpoint: Some(true),
                ..Default::default()
            },
            task,
            pid: Some("@0.0.0.0:0".into()),
            launch_executor: Some(true),
            ..Default::default()
        };
        self.says(agent, &MasterMessage::RunTask(Box::new(message)));
    }
}

/// A directory for an agent, and how it is started there.
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) trust: Trust,
    port: Port,
}

impl Home {
    pub(crate) fn new(trust: Trust) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        Self { directory, trust, port: Port::reserve() }
    }

    pub(crate) fn settings(&self, master: &Master) -> Settings {
        let work_dir = self.directory.path().join("work");
        let program = std::env::current_exe().unwrap();
        let containers = containerizer::Settings {
            command_executor: program.clone(),
            runtime_dir: self.directory.path().join("run"),
            address: None,
            allow_root: true,
            fetch: fetcher::Settings::default(),
        };
        Settings {
            listen: self.port.address(),
            advertise_ip: None,
            advertise_port: None,
            hostname: None,
            tls: Tls::new(self.trust.security(Some("agent/a1")), Vec::new()),
            authentication: endpoints::authentication::Authentication::default(),
            server: transport::server::Settings::default(),
            messenger: transport::messenger::Settings::default(),
            master_authentication: alcazar_agent::runtime::MasterAuthentication::default(),
            executor_tokens: alcazar_agent::runtime::ExecutorTokens::default(),
            master_host: "127.0.0.1".into(),
            master_port: master.port(),
            work_dir,
            machine: Machine {
                resources: Some("cpus:2;mem:512;disk:512".into()),
                default_role: Role::any(),
                attributes: None,
                domain: None,
            },
            task_users: TaskUserPolicy::SwitchUser(false),
            command_executor: ExecutorProgram {
                path: program,
                arguments: vec!["alcazar".into(), executor::COMMAND.into()],
            },
            containerizer: Box::new(move |_| {
                let containerizer: Arc<dyn Containerizer> =
                    Arc::new(ProcessContainerizer::new(containers)?);
                Ok(containerizer)
            }),
            strict: true,
            program: Program {
                build: Build {
                    version: "1.12.0".to_owned(),
                    date: "2026-11-22 00:15:28 UTC".to_owned(),
                    time: 1_795_306_528.0,
                    user: String::new(),
                    git_sha: None,
                    git_branch: None,
                    git_tag: None,
                },
                flags: [("port".to_owned(), "0".to_owned())].into(),
                log_dir: None,
                external_log_file: None,
            },
            files: Vec::new(),
            tune: Box::new(|rules: &mut Rules| {
                rules.registration_backoff = Duration::from_millis(10);
                rules.executor_reregistration_timeout = Duration::from_secs(15);
            }),
        }
    }

    /// Starts the agent, always on the same port.
    pub(crate) async fn start(&self, master: &Master) -> Running {
        start(self.settings(master)).await.unwrap()
    }

    /// One request to the agent by the component `path`.
    pub(crate) async fn ask(
        &self,
        agent: &Running,
        path: Option<&str>,
        call: Call,
    ) -> (u16, String) {
        let client = Client::new(self.trust.security(path), transport::client::Settings::default());
        let expected = Expected::Identity(identity("agent/a1"));
        let port = agent.address().port();
        let mut connection = client.connect("127.0.0.1", port, &expected).await.unwrap();
        let Reply { status, body, .. } = connection.call(call).await.unwrap();
        let body = body.collect(1 << 24).await.unwrap();
        (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) async fn get(&self, agent: &Running, target: &str) -> (u16, String) {
        self.ask(agent, Some("operator/root"), Call::get(target)).await
    }

    /// The sandbox of a task's executor.
    pub(crate) fn sandbox(&self, task: &str) -> std::path::PathBuf {
        let executor =
            format!("work/slaves/{AGENT_ID}/frameworks/{FRAMEWORK}/executors/{task}/runs/latest");
        self.directory.path().join(executor).canonicalize().unwrap()
    }
}
