//! A master with a certificate authority of its own, and clients of all kinds.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alcazar_master::engine::config::Config;
use alcazar_master::runtime::{Running, Sasl, Settings, start};
use alcazar_master::views::Program;
use endpoints::common::Build;
use endpoints::tls::Tls;
use http::{HeaderMap, Method};
use model::identity::{Identity, TrustDomain};
use model::time::Timestamp;
use pki::Authority;
use registry::{Contents, MemoryRegistry, Registry};
use transport::client::{Call, Client, Connection, Reply};
use transport::counters::Counters;
use transport::messenger::{Listeners, Messenger, MessengerParts};
use transport::tls::{Contexts, Expected, Leaf, Offer, Security, TlsMaterial};

const DOMAIN: &str = "test.local";

/// How long anything may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

pub(crate) fn identity(path: &str) -> Identity {
    format!("spiffe://{DOMAIN}/{path}").parse().unwrap()
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
            Leaf { chain_pem: leaf.chain_pem, key_pem: zeroize::Zeroizing::new(key) }
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

fn now() -> Timestamp {
    Timestamp::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

/// A running master and what its peers need.
pub(crate) struct Cluster {
    pub(crate) trust: Trust,
    pub(crate) master: Running,
}

impl Cluster {
    pub(crate) async fn start(trust: Trust) -> Self {
        let registry = MemoryRegistry::new(Contents::default());
        Self::start_with(trust, Box::new(registry), |_| ()).await
    }

    pub(crate) async fn start_with(
        trust: Trust,
        registry: Box<dyn Registry>,
        tune: impl FnOnce(&mut Config) + Send + 'static,
    ) -> Self {
        let settings = Settings {
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            advertise_ip: None,
            advertise_port: None,
            hostname: None,
            domain: None,
            sasl: Sasl::default(),
            tls: Tls::new(trust.security(Some("master/m1")), Vec::new()),
            authentication: endpoints::authentication::Authentication::default(),
            server: transport::server::Settings::default(),
            messenger: transport::messenger::Settings::default(),
            registry,
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
                cluster: None,
                log_dir: None,
                external_log_file: None,
            },
            per_framework_metrics: true,
            whitelist: None,
            files: Vec::new(),
            tune: Box::new(tune),
        };
        let master = start(settings).await.unwrap();
        Self { trust, master }
    }

    pub(crate) async fn connect(&self, path: Option<&str>) -> Connection {
        let client = Client::new(self.trust.security(path), transport::client::Settings::default());
        let address = self.master.address();
        let expected = Expected::Identity(identity("master/m1"));
        soon(client.connect("127.0.0.1", address.port(), &expected)).await.unwrap()
    }

    /// One request by the component `path`.
    pub(crate) async fn ask(&self, path: Option<&str>, line: &str) -> (u16, HeaderMap, String) {
        let (method, target) = line.split_once(' ').unwrap();
        let mut call = Call::get(target);
        call.method = method.parse::<Method>().unwrap();
        let Reply { status, headers, body } =
            soon(self.connect(path).await.call(call)).await.unwrap();
        let body = soon(body.collect(1 << 24)).await.unwrap();
        (status.as_u16(), headers, String::from_utf8_lossy(&body).into_owned())
    }

    /// One metric.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (status, _, body) = self.ask(Some("operator/root"), "GET /metrics/snapshot").await;
        assert_eq!(status, 200);
        let all: serde_json::Value = serde_json::from_str(&body).unwrap();
        all[name].as_f64().unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// Somebody who sends messages as the component `path` and says to listen at `own`.
    pub(crate) fn messenger(&self, path: &str, own: SocketAddrV4) -> Messenger {
        self.messenger_of(Some(path), own)
    }

    pub(crate) fn messenger_of(&self, path: Option<&str>, own: SocketAddrV4) -> Messenger {
        let (exits, mut exited) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move { while exited.recv().await.is_some() {} });
        Messenger::new(MessengerParts {
            own,
            security: self.trust.security(path),
            settings: transport::messenger::Settings::default(),
            counters: Arc::new(Counters::default()),
            listeners: Arc::new(Listeners::default()),
            sessions: Arc::default(),
            exits,
        })
    }
}
