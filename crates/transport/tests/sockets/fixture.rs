//! What the tests of this crate share: a small PKI, a handler that records, raw clients.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alcazar_transport as transport;
use bytes::{Bytes, BytesMut};
use libprocess::message::encode_message;
use libprocess::upid::Upid;
use model::identity::{Identity, TrustDomain};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContext, SslMethod, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_openssl::SslStream;
use transport::counters::{Counters, Snapshot};
use transport::messenger::{Exited, Listeners, Messenger, MessengerParts};
use transport::server::{
    Handler, Receipt, Received, Request, Response, Server, ServerParts, Settings, bind,
};
use transport::tls::{Contexts, Leaf, Offer, Security, TlsMaterial};

/// How long anything may take before a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Fails if `future` takes too long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

pub(crate) const DOMAIN: &str = "test.local";

pub(crate) fn identity(path: &str) -> Identity {
    format!("spiffe://{DOMAIN}/{path}").parse().unwrap()
}

/// A root and an intermediate that issues.
pub(crate) struct Pki {
    root: X509,
    issuer: X509,
    issuer_key: PKey<Private>,
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name(text: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
    name.build()
}

impl Pki {
    pub(crate) fn new() -> Self {
        let root_key = key();
        let authority = |title: &str, of: &PKey<Private>, by: Option<&X509>| {
            let mut builder = X509::builder().unwrap();
            builder.set_version(2).unwrap();
            builder.set_serial_number(&serial()).unwrap();
            builder.set_subject_name(&name(title)).unwrap();
            match by {
                Some(by) => builder.set_issuer_name(by.subject_name()).unwrap(),
                None => builder.set_issuer_name(&name(title)).unwrap(),
            }
            validity(&mut builder);
            builder.set_pubkey(of).unwrap();
            let basic = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(basic).unwrap();
            let usage = KeyUsage::new().critical().key_cert_sign().build().unwrap();
            builder.append_extension(usage).unwrap();
            builder.sign(&root_key, MessageDigest::sha256()).unwrap();
            builder.build()
        };
        let root = authority("root", &root_key, None);
        let issuer_key = key();
        let issuer = authority("issuer", &issuer_key, Some(&root));
        Self { root, issuer, issuer_key }
    }

    /// A certificate with the given names: `URI:…`, `DNS:…`, `IP:…`.
    pub(crate) fn leaf(&self, names: &[&str]) -> Leaf {
        let key = key();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&serial()).unwrap();
        builder.set_subject_name(&name("leaf")).unwrap();
        builder.set_issuer_name(self.issuer.subject_name()).unwrap();
        validity(&mut builder);
        builder.set_pubkey(&key).unwrap();
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            match name.split_once(':').unwrap() {
                ("URI", uri) => alternative.uri(uri),
                ("DNS", host) => alternative.dns(host),
                ("IP", address) => alternative.ip(address),
                other => panic!("{other:?}"),
            };
        }
        if !names.is_empty() {
            let context = builder.x509v3_context(Some(&self.issuer), None);
            let extension = alternative.build(&context).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&self.issuer_key, MessageDigest::sha256()).unwrap();
        let mut chain_pem = builder.build().to_pem().unwrap();
        chain_pem.extend(self.issuer.to_pem().unwrap());
        let key_pem = key.private_key_to_pem_pkcs8().unwrap().into();
        Leaf { chain_pem, key_pem }
    }

    pub(crate) fn material(&self, leaves: Vec<Leaf>) -> TlsMaterial {
        TlsMaterial {
            leaves,
            roots_pem: self.root.to_pem().unwrap(),
            trust_domain: TrustDomain::new(DOMAIN).unwrap(),
            offer: Offer::default(),
        }
    }

    /// The security of a component, for example `agent/a`, on this machine.
    pub(crate) fn component(&self, path: &str) -> Security {
        let uri = format!("URI:spiffe://{DOMAIN}/{path}");
        let leaf = self.leaf(&[&uri, "IP:127.0.0.1", "DNS:localhost"]);
        Security::Tls(Arc::new(Contexts::new(&self.material(vec![leaf])).unwrap()))
    }

    /// The context of a client that is not ours, with or without a certificate.
    pub(crate) fn raw_client(&self, leaf: Option<&Leaf>) -> SslContext {
        let mut builder = SslContext::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        if let Some(leaf) = leaf {
            let chain = X509::stack_from_pem(&leaf.chain_pem).unwrap();
            builder.set_certificate(&chain[0]).unwrap();
            for intermediate in &chain[1..] {
                builder.add_extra_chain_cert(intermediate.clone()).unwrap();
            }
            builder.set_private_key(&PKey::private_key_from_pem(&leaf.key_pem).unwrap()).unwrap();
        }
        builder.build()
    }
}

fn serial() -> openssl::asn1::Asn1Integer {
    let mut number = BigNum::new().unwrap();
    number.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    number.to_asn1_integer().unwrap()
}

fn validity(builder: &mut openssl::x509::X509Builder) {
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
}

/// Records messages, answers requests.
pub(crate) struct Recorder {
    messages: mpsc::Sender<Received>,
    /// Messages that may be taken; more permits can be added while the test runs.
    pub(crate) may_take: Arc<Semaphore>,
    answer: Answer,
}

type Answer = Box<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

impl Handler for Recorder {
    async fn message(&self, message: Received) -> Receipt {
        if message.to == "nobody" {
            return Receipt::NoSuchActor;
        }
        self.may_take.acquire().await.unwrap().forget();
        self.messages.send(message).await.expect("the test listens");
        Receipt::Accepted
    }

    async fn request(&self, request: Request) -> Response {
        (self.answer)(request).await
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) address: SocketAddrV4,
    pub(crate) messages: mpsc::Receiver<Received>,
    pub(crate) may_take: Arc<Semaphore>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) listeners: Arc<Listeners>,
}

impl Running {
    pub(crate) fn counts(&self) -> Snapshot {
        self.counters.snapshot()
    }

    pub(crate) async fn message(&mut self) -> Received {
        soon(self.messages.recv()).await.expect("the server runs")
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let socket = soon(TcpStream::connect(self.address)).await.unwrap();
        // What is written is sent, and not kept back until it is acknowledged or reset.
        socket.set_nodelay(true).unwrap();
        socket
    }

    pub(crate) async fn connect_tls(&self, context: &SslContext) -> SslStream<TcpStream> {
        let ssl = openssl::ssl::Ssl::new(context).unwrap();
        let mut stream = SslStream::new(ssl, self.connect().await).unwrap();
        soon(Pin::new(&mut stream).connect()).await.unwrap();
        stream
    }

    /// Waits until a count is what it should be.
    pub(crate) async fn until(&self, what: impl Fn(&Snapshot) -> bool) {
        let waiting = async {
            while !what(&self.counts()) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("the counts stay {:?}", self.counts());
        }
    }
}

pub(crate) fn echo() -> Answer {
    Box::new(|request| {
        Box::pin(async move {
            match request.body.collect(1 << 20).await {
                Ok((body, _)) => {
                    let text = format!("{} {} ", request.method, request.path);
                    let mut out = BytesMut::from(text.as_bytes());
                    out.extend_from_slice(&body);
                    Response::ok("text/plain", out.freeze())
                }
                Err(error) => Response::text(http::StatusCode::BAD_REQUEST, error.to_string()),
            }
        })
    })
}

pub(crate) fn answering<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Answer
where
    F: Future<Output = Response> + Send + 'static,
{
    Box::new(move |request| Box::pin(answer(request)))
}

/// Serves with an answer to requests and a queue for 100,000 messages.
pub(crate) fn serve_with(security: Security, settings: Settings, answer: Answer) -> Running {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let (sender, messages) = mpsc::channel(100_000);
    let may_take = Arc::new(Semaphore::new(1_000_000));
    let handler = Recorder { messages: sender, may_take: Arc::clone(&may_take), answer };
    let counters = Arc::new(Counters::default());
    let listeners = Arc::new(Listeners::default());
    let parts = ServerParts {
        security,
        handler,
        settings,
        counters: Arc::clone(&counters),
        listeners: Arc::clone(&listeners),
        sessions: Arc::default(),
    };
    let server = Server::start(listener, parts).unwrap();
    let SocketAddr::V4(address) = server.address() else { panic!("not IPv4") };
    Running { server, address, messages, may_take, counters, listeners }
}

pub(crate) fn serve(security: Security) -> Running {
    serve_with(security, Settings::default(), echo())
}

/// A messenger and its exit events.
pub(crate) fn messenger(
    own: SocketAddrV4,
    security: Security,
) -> (Messenger, mpsc::Receiver<Exited>) {
    messenger_with(own, security, transport::messenger::Settings::default())
}

pub(crate) fn messenger_with(
    own: SocketAddrV4,
    security: Security,
    settings: transport::messenger::Settings,
) -> (Messenger, mpsc::Receiver<Exited>) {
    let (exits, events) = mpsc::channel(16);
    let messenger = Messenger::new(MessengerParts {
        own,
        security,
        settings,
        counters: Arc::default(),
        listeners: Arc::default(),
        sessions: Arc::default(),
        exits,
    });
    (messenger, events)
}

/// Any actor of this machine.
pub(crate) fn local(id: &str, port: u16) -> Upid {
    Upid::new(id, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Message number `n` from `from`, as bytes.
pub(crate) fn message_bytes(from: &Upid, to: &Upid, n: usize) -> Bytes {
    let mut out = BytesMut::new();
    let body = format!("body {n} {}", "x".repeat(600));
    encode_message(&mut out, from, to, &format!("m{n}"), body.as_bytes()).unwrap();
    out.freeze()
}

/// Writes a text and reads until the peer closes.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: impl AsRef<[u8]>,
) -> String {
    stream.write_all(request.as_ref()).await.unwrap();
    read_to_end(stream).await
}

pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with `Content-Length`.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let (_, rest) = lower.split_once("content-length: ").expect("a length");
            let length: usize = rest.lines().next().unwrap().trim().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
        let byte = soon(stream.read_u8()).await.expect("an answer");
        answer.push(byte);
    }
}
