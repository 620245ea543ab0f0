//! Daemons with sessions, in each posture, and clients that are not ours.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alcazar_transport::counters::Counters;
use alcazar_transport::messenger::{Exited, Listeners, Messenger, MessengerParts};
use alcazar_transport::server::{
    Handler, Receipt, Received, Request, Response, Server, ServerParts, Settings, bind,
};
use alcazar_transport::sessions::{Established, Peer, SameAddress, Sessions};
use alcazar_transport::tls::{Contexts, Expected, Leaf, Offer, Security, TlsMaterial};
use authn::sasl::SessionKey;
use libprocess::channel::{Anchor, Direction, Ingredients, TieKey};
use libprocess::sender::{PeerFacts, Tie};
use libprocess::upid::Upid;
use model::identity::TrustDomain;
use model::principal::Kinds;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslVerifyMode};
use tempfile::TempDir;
use tls_policy::{
    ChainRules, ClientCertificates, DangerAccepted, Demand, Inbound, MaterialPair, MaterialPaths,
    NameCheck, Outbound, PlaintextPeers, PrincipalRules, Profile, Suites, TlsPolicy, TlsRules,
    TrustAnchors, Versions,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_openssl::SslStream;

use crate::authority::{Authority, Issued, Wanted};

/// How long anything may take before a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Fails if `future` takes too long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

pub(crate) const SCRAM: &str = "SCRAM-SHA-256";
pub(crate) const CRAM: &str = "CRAM-MD5";
/// What a mechanism with keys would have made.
pub(crate) const KEY: [u8; 32] = [7; 32];

/// What protects the connections of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posture {
    /// Nothing.
    Plaintext,
    /// TLS as the original has it by default: everybody believes whatever they are shown.
    Unverified,
    /// TLS with identities.
    Identities,
}

/// Everything that certificates are made of, for one test.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) authority: Authority,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), authority: Authority::root("root") }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn pair(&self, name: &str, issued: &Issued) -> MaterialPair {
        let key = issued.key.private_key_to_pem_pkcs8().unwrap();
        MaterialPair {
            certificate_chain: self.write(&format!("{name}.pem"), &issued.chain_pem()),
            key: self.write(&format!("{name}-key.pem"), &key),
            passphrase: None,
        }
    }

    /// What verifies nobody, with a certificate of this name.
    fn rules(&self, name: &str) -> TlsRules {
        let danger = DangerAccepted::asked_by("test");
        let issued = self.authority.issue(&Wanted { common_name: name, ..Wanted::default() });
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
            materials: MaterialPaths { pairs: vec![self.pair(name, &issued)] },
        }
    }

    /// One that verifies chains on both sides and asks clients for a certificate, but demands
    /// none.
    pub(crate) fn asking(&self, name: &str) -> Security {
        let root = self.write("ca.pem", &self.authority.certificate.to_pem().unwrap());
        let anchors = TrustAnchors::Files { file: Some(root), dir: None };
        let chain = ChainRules { anchors, depth: 4 };
        let rules = TlsRules {
            inbound: Inbound::ClientCertificate(chain.clone(), NameCheck::ChainOnly),
            outbound: Outbound::Verified(chain, NameCheck::ChainOnly),
            client_certificates: ClientCertificates::everywhere(Demand::Optional),
            ..self.rules(name)
        };
        Security::load(&TlsPolicy::Tls(rules)).unwrap()
    }

    /// One that verifies nobody and serves whoever speaks no TLS.
    pub(crate) fn both(&self, name: &str) -> Security {
        let plaintext_peers = PlaintextPeers::Accepted(DangerAccepted::asked_by("test"));
        let rules = TlsRules { plaintext_peers, ..self.rules(name) };
        Security::load(&TlsPolicy::Tls(rules)).unwrap()
    }

    pub(crate) fn security(&self, posture: Posture, path: &str) -> Security {
        match posture {
            Posture::Plaintext => Security::DangerPlaintext,
            Posture::Unverified => {
                let rules = self.rules(&path.replace('/', "-"));
                Security::load(&TlsPolicy::Tls(rules)).unwrap()
            }
            Posture::Identities => {
                let uri = format!("URI:spiffe://test.local/{path}");
                let names = [uri.as_str(), "IP:127.0.0.1"];
                let issued = self.authority.issue(&crate::authority::names(&names));
                let material = TlsMaterial {
                    leaves: vec![Leaf {
                        chain_pem: issued.chain_pem(),
                        key_pem: issued.key.private_key_to_pem_pkcs8().unwrap().into(),
                    }],
                    roots_pem: self.authority.certificate.to_pem().unwrap(),
                    trust_domain: TrustDomain::new("test.local").unwrap(),
                    offer: Offer::default(),
                };
                Security::Tls(Arc::new(Contexts::new(&material).unwrap()))
            }
        }
    }
}

struct Recorder(mpsc::Sender<Received>, mpsc::Sender<String>);

impl Handler for Recorder {
    async fn message(&self, message: Received) -> Receipt {
        self.0.send(message).await.expect("the test listens");
        Receipt::Accepted
    }

    async fn request(&self, request: Request) -> Response {
        self.1.send(request.path.clone()).await.expect("the test listens");
        Response::ok("text/plain", "a page")
    }
}

/// A server and a messenger with one book of sessions.
pub(crate) struct Daemon {
    server: Server,
    /// Where it listens.
    pub(crate) address: SocketAddrV4,
    pub(crate) messenger: Messenger,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) messages: mpsc::Receiver<Received>,
    pub(crate) requests: mpsc::Receiver<String>,
    pub(crate) exits: mpsc::Receiver<Exited>,
    pub(crate) counters: Arc<Counters>,
}

impl Daemon {
    pub(crate) fn new(security: Security, same_address: SameAddress) -> Self {
        Self::advertising(security, same_address, None)
    }

    /// One that tells others another address than that on which it listens.
    pub(crate) fn advertising(
        security: Security,
        same_address: SameAddress,
        advertised: Option<SocketAddrV4>,
    ) -> Self {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self::on(listener, security, same_address, advertised)
    }

    pub(crate) fn on(
        listener: TcpListener,
        security: Security,
        same_address: SameAddress,
        advertised: Option<SocketAddrV4>,
    ) -> Self {
        let (sender, messages) = mpsc::channel(1000);
        let (asked, requests) = mpsc::channel(1000);
        let (exits_sender, exits) = mpsc::channel(16);
        let sessions = Arc::new(Sessions::new(same_address));
        let counters = Arc::new(Counters::default());
        let listeners = Arc::new(Listeners::default());
        let parts = ServerParts {
            security: security.clone(),
            handler: Recorder(sender, asked),
            settings: Settings::default(),
            counters: Arc::clone(&counters),
            listeners: Arc::clone(&listeners),
            sessions: Arc::clone(&sessions),
        };
        let server = Server::start(listener, parts).unwrap();
        let SocketAddr::V4(address) = server.address() else { panic!("not IPv4") };
        let messenger = Messenger::new(MessengerParts {
            own: advertised.unwrap_or(address),
            security,
            settings: Default::default(),
            counters: Arc::clone(&counters),
            listeners,
            sessions: Arc::clone(&sessions),
            exits: exits_sender,
        });
        Self { server, address, messenger, sessions, messages, requests, exits, counters }
    }

    pub(crate) fn actor(&self, id: &str) -> Upid {
        self.messenger.own(id)
    }

    pub(crate) fn send(&self, from: &str, to: &Upid, name: &str) {
        self.messenger.send(from, to, Expected::Member, name, b"body").unwrap();
    }

    pub(crate) async fn message(&mut self) -> Received {
        soon(self.messages.recv()).await.expect("the server runs")
    }

    /// How the connection of the next message is tied to a session.
    pub(crate) async fn tie(&mut self, name: &str) -> Option<Tie> {
        let message = self.message().await;
        assert_eq!(message.name, name);
        message.from.session().map(|proof| proof.tie)
    }

    /// Waits until a linked connection has ended.
    pub(crate) async fn exited(&mut self) {
        soon(self.exits.recv()).await.expect("the messenger is there");
    }

    pub(crate) fn unbound(&self) -> u64 {
        self.counters.snapshot().messages_dropped_unbound
    }

    pub(crate) async fn until_unbound(&self, count: u64) {
        let waiting = async {
            while self.unbound() < count {
                tokio::task::yield_now().await;
            }
        };
        soon(waiting).await;
        assert_eq!(self.unbound(), count);
    }

    /// Stops it; its port is free when this returns.
    pub(crate) async fn stop(self) {
        soon(self.server.stop(Duration::ZERO)).await;
    }

    /// A plain connection to it.
    pub(crate) async fn connect(&self) -> TcpStream {
        let socket = soon(TcpStream::connect(self.address)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    /// An encrypted connection of a client that is not ours and believes everybody.
    pub(crate) async fn connect_tls(
        &self,
        configure: impl FnOnce(&mut SslContextBuilder),
    ) -> SslStream<TcpStream> {
        tls_to(self.address, configure).await
    }
}

pub(crate) async fn tls_to(
    address: SocketAddrV4,
    configure: impl FnOnce(&mut SslContextBuilder),
) -> SslStream<TcpStream> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    configure(&mut builder);
    let socket = soon(TcpStream::connect(address)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut stream = SslStream::new(Ssl::new(&builder.build()).unwrap(), socket).unwrap();
    soon(Pin::new(&mut stream).connect()).await.unwrap();
    stream
}

/// Presents this certificate.
pub(crate) fn with_certificate(issued: &Issued) -> impl FnOnce(&mut SslContextBuilder) {
    let (certificate, key) = (issued.certificate.clone(), issued.key.clone());
    move |builder| {
        builder.set_certificate(&certificate).unwrap();
        builder.set_private_key(&PKey::clone(&key)).unwrap();
    }
}

/// A master and an agent that has authenticated.
pub(crate) struct Pair {
    pub(crate) master: Daemon,
    pub(crate) agent: Daemon,
    /// What the exchange's connection proved to the agent, and to the master.
    pub(crate) dialled: Arc<PeerFacts>,
    pub(crate) accepted: Arc<PeerFacts>,
}

impl Pair {
    pub(crate) async fn new(posture: Posture, same_address: SameAddress) -> Self {
        Self::of(posture, same_address, SCRAM, Some(KEY)).await
    }

    pub(crate) async fn of(
        posture: Posture,
        same_address: SameAddress,
        mechanism: &str,
        key: Option<[u8; 32]>,
    ) -> Self {
        let world = World::new();
        let master = Daemon::new(world.security(posture, "master/m"), same_address);
        let agent = Daemon::new(world.security(posture, "agent/a"), same_address);
        Self::meet(master, agent, mechanism, key).await
    }

    /// The agent authenticates to the master.
    pub(crate) async fn meet(
        mut master: Daemon,
        agent: Daemon,
        mechanism: &str,
        key: Option<[u8; 32]>,
    ) -> Self {
        let leader = master.actor("master");
        let (dialled, accepted) = exchange(&mut master, &agent, &leader).await;
        let pair = Self { master, agent, dialled, accepted };
        pair.establish_master(mechanism, key);
        pair.establish_agent(mechanism, key);
        pair
    }

    pub(crate) fn establish_master(&self, mechanism: &str, key: Option<[u8; 32]>) {
        let client = Peer::Client(self.agent.actor("slave(1)"));
        let ours = self.master.actor("master");
        let made = established(ours, client, Arc::clone(&self.accepted), mechanism, key);
        self.master.sessions.establish(made).unwrap();
    }

    pub(crate) fn establish_agent(&self, mechanism: &str, key: Option<[u8; 32]>) {
        let server = Peer::Server(self.master.actor("master"));
        let ours = self.agent.actor("slave(1)");
        let made = established(ours, server, Arc::clone(&self.dialled), mechanism, key);
        self.agent.sessions.establish(made).unwrap();
    }

    /// The key that both ends have.
    pub(crate) fn tie_key(&self) -> TieKey {
        tie_key(SCRAM, &self.agent.actor("slave(1)"), Some(KEY), &self.accepted)
    }
}

/// The first message of an exchange: what its connection proves, to the agent and to the master.
pub(crate) async fn exchange(
    master: &mut Daemon,
    agent: &Daemon,
    leader: &Upid,
) -> (Arc<PeerFacts>, Arc<PeerFacts>) {
    agent.messenger.link(leader, Expected::Member);
    let dialled = soon(agent.messenger.channel(leader, Expected::Member)).await.unwrap();
    agent.send("crammd5-authenticatee(1)", leader, "mesos.internal.AuthenticateMessage");
    let first = master.message().await;
    assert_eq!(first.from.session(), None);
    (dialled, first.peer)
}

pub(crate) fn established(
    ours: Upid,
    peer: Peer,
    channel: Arc<PeerFacts>,
    mechanism: &str,
    key: Option<[u8; 32]>,
) -> Established {
    Established {
        principal: matches!(peer, Peer::Client(_)).then(|| "agent-principal".to_owned()),
        ours,
        peer,
        channel,
        kinds: Kinds::ANY,
        mechanism: mechanism.to_owned(),
        key: key.map(SessionKey::new),
    }
}

pub(crate) fn tie_key(
    mechanism: &str,
    client: &Upid,
    key: Option<[u8; 32]>,
    channel: &PeerFacts,
) -> TieKey {
    let channel = channel.channel_secret.as_ref();
    let ingredients = Ingredients { mechanism, client, key: key.as_ref(), channel };
    TieKey::derive(ingredients).unwrap()
}

/// A claim for a client's encrypted connection.
pub(crate) fn claim_for(
    key: &TieKey,
    direction: Direction,
    counter: u64,
    stream: &SslStream<TcpStream>,
) -> String {
    key.claim(direction, counter, Anchor::Exporter(exporter_of(stream))).to_string()
}

/// The channel binding, as somebody computes it who is not ours.
pub(crate) fn exporter_of(stream: &SslStream<TcpStream>) -> [u8; 32] {
    let mut exported = [0; 32];
    let context: Option<&[u8]> = Some(b"");
    let ssl = stream.ssl();
    ssl.export_keying_material(&mut exported, "EXPORTER-Channel-Binding", context).unwrap();
    exported
}

/// A message, as somebody writes it who is not ours.
pub(crate) fn raw(from: &Upid, to: &str, name: &str, claim: Option<&str>) -> String {
    let claim = claim.map_or(String::new(), |claim| format!("Alcazar-Channel: {claim}\r\n"));
    format!(
        "POST /{to}/{name} HTTP/1.1\r\nLibprocess-From: {from}\r\n{claim}Content-Length: 2\r\n\r\nhi"
    )
}

/// Writes a message and reads the status of its answer; `0` if there is none.
pub(crate) async fn tell(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    message: impl AsRef<[u8]>,
) -> u16 {
    // Whoever was closed learns that by reading.
    let _ = stream.write_all(message.as_ref()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match soon(stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => return 0,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.to_ascii_lowercase();
    let length = length.split_once("content-length: ").map_or("0", |(_, rest)| rest);
    let mut body = vec![0; length.lines().next().unwrap().trim().parse().unwrap()];
    soon(stream.read_exact(&mut body)).await.unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
