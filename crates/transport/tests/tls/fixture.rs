//! A folder with certificates, the rules that name them, servers and clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alcazar_transport::client::{Call, Client, Connection, DialError, Settings as ClientSettings};
use alcazar_transport::counters::Counters;
use alcazar_transport::messenger::Listeners;
use alcazar_transport::server::{
    Handler, Receipt, Received, Request, Response, Server, ServerParts, Settings, bind,
};
use alcazar_transport::tls::{Contexts, Expected, LoadError, Security};
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslVerifyMode};
use tempfile::TempDir;
use tls_policy::{
    ChainRules, ClientCertificates, DangerAccepted, Demand, Inbound, MaterialPair, MaterialPaths,
    NameCheck, Outbound, PlaintextPeers, PrincipalRules, Profile, Suites, TlsPolicy, TlsRules,
    TrustAnchors, Versions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::authority::{Authority, Issued};

/// How long anything may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails if `future` takes too long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Files of one test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes a certificate and its key.
    pub(crate) fn pair(&self, name: &str, issued: &Issued) -> MaterialPair {
        let key = issued.key.private_key_to_pem_pkcs8().unwrap();
        MaterialPair {
            certificate_chain: self.write(&format!("{name}.pem"), issued.chain_pem()),
            key: self.write(&format!("{name}-key.pem"), key),
            passphrase: None,
        }
    }

    /// What verifies nobody and presents these.
    pub(crate) fn rules(&self, pairs: Vec<MaterialPair>) -> TlsRules {
        let danger = DangerAccepted::asked_by("test");
        TlsRules {
            inbound: Inbound::AnyClient(danger.clone()),
            outbound: Outbound::Unverified(danger),
            client_certificates: ClientCertificates::everywhere(Demand::None),
            principals: PrincipalRules::default(),
            revocation: None,
            reload: None,
            plaintext_peers: PlaintextPeers::Refused,
            profile: Profile::Mesos,
            versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
            suites: Suites::Compatible,
            groups: None,
            materials: MaterialPaths { pairs },
        }
    }

    pub(crate) fn chain(&self, roots: &Authority) -> ChainRules {
        ChainRules { anchors: file(self.write("ca.pem", roots.pem())), depth: 4 }
    }

    /// A server with this certificate, which asks nobody for one.
    pub(crate) fn server(&self, issued: &Issued) -> Running {
        serve(&self.rules(vec![self.pair("server", issued)]))
    }

    /// A server that believes clients of `roots` and demands a certificate of nobody.
    pub(crate) fn asking(&self, issued: &Issued, roots: &Authority, check: NameCheck) -> TlsRules {
        TlsRules {
            inbound: Inbound::ClientCertificate(self.chain(roots), check),
            client_certificates: ClientCertificates::everywhere(Demand::Optional),
            ..self.rules(vec![self.pair("server", issued)])
        }
    }

    /// A client that believes servers of `roots`, without a certificate of its own.
    pub(crate) fn verifying(&self, roots: &Authority, check: NameCheck) -> TlsRules {
        TlsRules {
            outbound: Outbound::Verified(self.chain(roots), check),
            ..self.rules(Vec::new())
        }
    }
}

pub(crate) fn file(path: PathBuf) -> TrustAnchors {
    TrustAnchors::Files { file: Some(path), dir: None }
}

pub(crate) fn load(rules: &TlsRules) -> Result<Security, LoadError> {
    Security::load(&TlsPolicy::Tls(rules.clone()))
}

/// Says what the connection of a request proved.
struct Facts;

impl Handler for Facts {
    async fn message(&self, _: Received) -> Receipt {
        Receipt::Accepted
    }

    async fn request(&self, request: Request) -> Response {
        let peer = &request.peer;
        let text = format!("{} {:?}", peer.certified, peer.principal);
        Response::ok("text/plain", text)
    }
}

/// A running server.
pub(crate) struct Running {
    _server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) contexts: Arc<Contexts>,
}

pub(crate) fn serve(rules: &TlsRules) -> Running {
    let security = load(rules).unwrap();
    let contexts = Arc::clone(security.contexts().unwrap());
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let parts = ServerParts {
        security,
        handler: Facts,
        settings: Settings::default(),
        counters: Arc::new(Counters::default()),
        listeners: Arc::new(Listeners::default()),
        sessions: Arc::default(),
    };
    let server = Server::start(listener, parts).unwrap();
    Running { address: server.address(), _server: server, contexts }
}

impl Running {
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.contexts.counters().get(name)
    }

    /// Waits until a count is what it should be.
    pub(crate) async fn until(&self, name: &str, value: u64) {
        let waiting = async {
            while self.count(name) != value {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{name} is not {value}: {:?}", self.contexts.counters().entries());
        }
    }

    /// The handshake of a client that is not ours.
    pub(crate) async fn raw(
        &self,
        configure: impl FnOnce(&mut SslContextBuilder),
    ) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
        let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        configure(&mut builder);
        let socket = TcpStream::connect(self.address).await.unwrap();
        let ssl = Ssl::new(&builder.build()).unwrap();
        let mut stream = SslStream::new(ssl, socket).unwrap();
        soon(Pin::new(&mut stream).connect()).await?;
        Ok(stream)
    }
}

/// What the server knows of the peer of this stream, or nothing if it has closed it.
pub(crate) async fn facts(stream: &mut SslStream<TcpStream>) -> String {
    let request = b"GET /facts HTTP/1.1\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// A client of ours with its contexts.
pub(crate) struct Ours {
    client: Client,
    pub(crate) contexts: Arc<Contexts>,
}

impl Ours {
    pub(crate) fn new(rules: &TlsRules) -> Self {
        Self::with(rules, ClientSettings::default())
    }

    pub(crate) fn with(rules: &TlsRules, settings: ClientSettings) -> Self {
        let security = load(rules).unwrap();
        let contexts = Arc::clone(security.contexts().unwrap());
        Self { client: Client::new(security, settings), contexts }
    }

    /// Dials the address, known by this name if any.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        name: Option<&str>,
    ) -> Result<Connection, DialError> {
        let expected = name.map_or(Expected::Member, |name| Expected::Host(name.to_owned()));
        soon(self.client.connect("127.0.0.1", address.port(), &expected)).await
    }

    /// One whole exchange on a connection of its own: what the server knows of us.
    pub(crate) async fn exchange(&self, server: &Running, name: Option<&str>) -> String {
        let mut connection = self.dial(server.address, name).await.unwrap();
        let reply = soon(connection.call(Call::get("/facts"))).await.unwrap();
        String::from_utf8(reply.body.collect(1000).await.unwrap().to_vec()).unwrap()
    }
}
