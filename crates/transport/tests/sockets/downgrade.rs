//! Peers that speak no TLS, on both sides, where the policy accepts them and where it does not.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use alcazar_transport as transport;
use libprocess::upid::Upid;
use model::identity::TrustDomain;
use tls_policy::{
    ChainRules, ClientCertificates, DangerAccepted, Demand, IdentityRules, Inbound, MaterialPaths,
    NameCheck, Outbound, PlaintextPeers, Profile, Suites, TlsRules, TrustAnchors, Versions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::client::Client;
use transport::messenger::{Exited, Messenger, Settings};
use transport::tls::{Contexts, Expected, Leaf, Security};

use crate::fixture::{
    DOMAIN, PATIENCE, Pki, Running, exchange, local, message_bytes, messenger_with, read_answer,
    read_to_end, serve, soon,
};

fn danger() -> DangerAccepted {
    DangerAccepted::asked_by("LIBPROCESS_SSL_SUPPORT_DOWNGRADE")
}

/// A component in the original's TLS that accepts peers without.
struct Component {
    leaf: Leaf,
    outbound: fn(ChainRules) -> Outbound,
    accepts: bool,
    versions: Versions,
}

const TLS: Versions = Versions { tls10: false, tls11: false, tls12: true, tls13: true };

impl Component {
    fn new(pki: &Pki) -> Self {
        Self {
            leaf: pki.leaf(&["IP:127.0.0.1"]),
            outbound: |_| Outbound::Unverified(danger()),
            accepts: true,
            versions: TLS,
        }
    }

    /// The same, but it verifies who it connects to.
    fn verifying(pki: &Pki) -> Self {
        let outbound = |chain| Outbound::Verified(chain, NameCheck::Dialled { ip: true });
        Self { outbound, ..Self::new(pki) }
    }

    fn security(&self, pki: &Pki) -> Security {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, contents: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, contents).unwrap();
            path
        };
        let anchors = TrustAnchors::Files {
            file: Some(file("roots.pem", &pki.material(Vec::new()).roots_pem)),
            dir: None,
        };
        let rules = TlsRules {
            inbound: Inbound::AnyClient(danger()),
            outbound: (self.outbound)(ChainRules { anchors, depth: 4 }),
            plaintext_peers: match self.accepts {
                true => PlaintextPeers::Accepted(danger()),
                false => PlaintextPeers::Refused,
            },
            client_certificates: ClientCertificates::everywhere(Demand::None),
            principals: Default::default(),
            revocation: None,
            profile: Profile::Mesos,
            versions: self.versions,
            suites: Suites::Compatible,
            groups: None,
            reload: None,
            materials: MaterialPaths::one(
                file("chain.pem", &self.leaf.chain_pem),
                file("key.pem", &self.leaf.key_pem),
            ),
        };
        Security::Tls(Arc::new(Contexts::load(&rules).unwrap()))
    }
}

fn count(security: &Security, name: &str) -> u64 {
    security.contexts().unwrap().counters().get(name)
}

const ACCEPTED: &str = "tls/downgrades/accepted";
const DIALLED: &str = "tls/downgrades/dialled";
const ANYBODY: Expected = Expected::Member;
const PLAIN: Security = Security::DangerPlaintext;

async fn is_served_tls(pki: &Pki, server: &Running) {
    let mut client = server.connect_tls(&pki.raw_client(None)).await;
    client.write_all(b"GET /tls HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.ends_with("GET /tls "));
}

async fn is_served_plainly(server: &Running) {
    let mut client = server.connect().await;
    client.write_all(b"GET /plain HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.ends_with("GET /plain "));
}

#[tokio::test]
async fn d3_tls_and_plain_peers_are_served_on_one_port_and_a_silent_one_is_held() {
    let pki = Pki::new();
    let security = Component::new(&pki).security(&pki);
    let server = serve(security.clone());
    let mut undecided = [server.connect().await, server.connect().await];
    is_served_tls(&pki, &server).await;
    is_served_plainly(&server).await;
    assert_eq!(count(&security, ACCEPTED), 1);
    // The silent ones are still there, and may be either.
    let [first, second] = &mut undecided;
    first.write_all(b"GET /late HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(first).await.ends_with("GET /late "));
    let ssl = openssl::ssl::Ssl::new(&pki.raw_client(None)).unwrap();
    let mut second = tokio_openssl::SslStream::new(ssl, second).unwrap();
    soon(std::pin::Pin::new(&mut second).connect()).await.unwrap();
    assert_eq!(count(&security, ACCEPTED), 2);
    assert_eq!(server.counts().handshake_failures, 0);
}

#[tokio::test]
async fn d3_a_few_first_bytes_are_never_misread_as_tls_or_plain() {
    let pki = Pki::new();
    let server = serve(Component::new(&pki).security(&pki));
    for cut in 1..=6 {
        // Plain.
        let request = b"GET /cut HTTP/1.1\r\n\r\n";
        let mut client = server.connect().await;
        client.write_all(&request[..cut]).await.unwrap();
        is_served_tls(&pki, &server).await;
        client.write_all(&request[cut..]).await.unwrap();
        assert!(read_answer(&mut client).await.ends_with("GET /cut "), "{cut}");
        // TLS.
        let mut socket = server.connect().await;
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let pump = async {
            let mut hello = vec![0; 64 * 1024];
            let length = far.read(&mut hello).await.unwrap();
            socket.write_all(&hello[..cut]).await.unwrap();
            is_served_plainly(&server).await;
            socket.write_all(&hello[cut..length]).await.unwrap();
            // Until the client goes away.
            let _ = tokio::io::copy_bidirectional(&mut far, &mut socket).await;
        };
        let talk = async {
            let ssl = openssl::ssl::Ssl::new(&pki.raw_client(None)).unwrap();
            let mut client = tokio_openssl::SslStream::new(ssl, near).unwrap();
            std::pin::Pin::new(&mut client).connect().await.unwrap();
            client.write_all(request).await.unwrap();
            read_answer(&mut client).await
        };
        let (answer, ()) = soon(async { tokio::join!(talk, pump) }).await;
        assert!(answer.ends_with("GET /cut "), "{cut}");
    }
    assert_eq!(server.counts().handshake_failures, 0);
}

#[tokio::test]
async fn d3_a_hello_of_ssl_2_is_a_failed_tls_handshake_and_not_plain() {
    let pki = Pki::new();
    let security = Component::new(&pki).security(&pki);
    let server = serve(security.clone());
    let mut client = server.connect().await;
    client.write_all(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10").await.unwrap();
    client.shutdown().await.unwrap();
    assert!(!read_to_end(&mut client).await.contains("HTTP"));
    server.until(|counts| counts.handshake_failures == 1).await;
    assert_eq!(count(&security, ACCEPTED), 0);
}

#[tokio::test]
async fn d3_who_comes_in_plain_on_a_tls_port_is_bound_as_in_plaintext() {
    let pki = Pki::new();
    let mut server = serve(Component::new(&pki).security(&pki));
    let to = local("master", 1);
    let mut client = server.connect().await;
    client.write_all(&message_bytes(&local("slave(1)", 1), &to, 1)).await.unwrap();
    let message = server.message().await;
    assert!(!message.peer.encrypted && !message.peer.certified && message.peer.principal.is_none());
    assert_eq!(message.from.identity(), None);
    let elsewhere = Upid::new("slave(1)", "10.1.2.3:5051".parse().unwrap());
    let text = exchange(&mut client, message_bytes(&elsewhere, &to, 2)).await;
    assert!(text.contains("400 Bad Request"), "{text}");
    assert_eq!(server.counts().messages_dropped_unbound, 1);
}

#[tokio::test]
async fn d3_where_tls_identities_are_proven_no_rule_lets_plain_peers_in() {
    let pki = Pki::new();
    let dir = tempfile::tempdir().unwrap();
    let leaf = pki.leaf(&[&format!("URI:spiffe://{DOMAIN}/master/m")]);
    let file = |name: &str, contents: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    };
    let identity = IdentityRules {
        trust_bundle: file("roots.pem", &pki.material(Vec::new()).roots_pem),
        trust_domain: TrustDomain::new(DOMAIN).unwrap(),
    };
    let materials =
        MaterialPaths::one(file("chain.pem", &leaf.chain_pem), file("key.pem", &leaf.key_pem));
    let mut rules = TlsRules::identities(materials, identity);
    rules.plaintext_peers = PlaintextPeers::Accepted(danger());
    let security = Security::Tls(Arc::new(Contexts::load(&rules).unwrap()));
    let server = serve(security.clone());
    let mut client = server.connect().await;
    let text = exchange(&mut client, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(text.ends_with("This port speaks TLS only: use https."), "{text}");
    // Nor does it dial in plaintext.
    let plain = serve(PLAIN);
    let (messenger, mut exits) = messenger(security.clone());
    messenger.link(&Upid::new("x", plain.address), ANYBODY);
    let exited = soon(exits.recv()).await.unwrap();
    assert!(exited.reason.contains("speaks no TLS"), "{}", exited.reason);
    assert_eq!(plain.counts().connections_accepted, 1);
    assert_eq!((count(&security, ACCEPTED), count(&security, DIALLED)), (0, 0));
}

fn messenger(security: Security) -> (Messenger, tokio::sync::mpsc::Receiver<Exited>) {
    messenger_with(local("", 4000).address, security, Settings::default())
}

/// Ten messages, queued before anything is known about the peer, and a link.
fn ten_messages(messenger: &Messenger, address: SocketAddrV4) {
    let to = Upid::new("master", address);
    messenger.link(&to, ANYBODY);
    for n in 0..10 {
        messenger.send("me", &to, ANYBODY, &format!("m{n}"), b"x").unwrap();
    }
}

#[tokio::test]
async fn d3_a_peer_that_shows_that_it_speaks_no_tls_is_dialled_in_plaintext() {
    let pki = Pki::new();
    let security = Component::verifying(&pki).security(&pki);
    let mut server = serve(PLAIN);
    let (messenger, mut exits) = messenger(security.clone());
    ten_messages(&messenger, server.address);
    for n in 0..10 {
        assert_eq!(server.message().await.name, format!("m{n}"));
    }
    assert!(soon(messenger.drain(PATIENCE)).await);
    assert_eq!(count(&security, DIALLED), 1);
    assert_eq!(count(&security, "tls/failures/no_tls"), 1);
    // The link is on the plain connection.
    assert!(exits.try_recv().is_err());
    server.server.stop(Duration::ZERO).await;
    assert_eq!(soon(exits.recv()).await.unwrap().upids[0].id, "master");
}

async fn listener() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, local("", port).address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    soon(listener.accept()).await.unwrap().0
}

/// What a peer does when our hello has come.
enum Reaction {
    /// It closes without a word, as the original does.
    Closes,
    Resets,
    Says(&'static [u8]),
}

async fn react(mut socket: TcpStream, reaction: &Reaction) {
    assert_eq!(soon(socket.read_u8()).await.unwrap(), 0x16, "TLS comes first");
    match reaction {
        Reaction::Closes => {}
        Reaction::Resets => socket.set_zero_linger().unwrap(),
        Reaction::Says(answer) => {
            socket.write_all(answer).await.unwrap();
            socket.shutdown().await.unwrap();
            read_to_end(&mut socket).await;
        }
    }
}

#[tokio::test]
async fn d3_every_new_connection_tries_tls_first_and_plain_after_what_shows_no_tls() {
    let pki = Pki::new();
    let security = Component::verifying(&pki).security(&pki);
    let (listener, address) = listener().await;
    let reactions =
        [Reaction::Closes, Reaction::Resets, Reaction::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n")];
    let (messenger, mut exits) = messenger(security.clone());
    for (n, reaction) in reactions.iter().enumerate() {
        ten_messages(&messenger, address);
        react(accept(&listener).await, reaction).await;
        let mut plain = accept(&listener).await;
        let mut first = [0; 14];
        soon(plain.read_exact(&mut first)).await.unwrap();
        assert_eq!(&first, b"POST /master/m");
        assert_eq!(count(&security, DIALLED), n as u64 + 1);
        drop(plain);
        soon(exits.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn d3_a_peer_that_speaks_tls_or_shows_nothing_is_never_dialled_in_plaintext() {
    let pki = Pki::new();
    let security = Component::verifying(&pki).security(&pki);
    let settings = Settings { connect_deadline: Duration::from_millis(200), ..Settings::default() };
    let (messenger, mut exits) =
        messenger_with(local("", 4000).address, security.clone(), settings);
    // An alert; half an answer.
    for answer in [&b"\x15\x03\x03\x00\x02\x02\x28"[..], b"\x16\x03\x03\x00\x7a\x02\x00"] {
        let (listener, address) = listener().await;
        ten_messages(&messenger, address);
        react(accept(&listener).await, &Reaction::Says(answer)).await;
        soon(exits.recv()).await.unwrap();
        assert!(is_pending(listener.accept()).await, "{answer:?}");
    }
    // Silence.
    let (listener, address) = listener().await;
    ten_messages(&messenger, address);
    let _silent = accept(&listener).await;
    let exited = soon(exits.recv()).await.unwrap();
    assert!(exited.reason.contains("within 200ms"), "{}", exited.reason);
    assert!(is_pending(listener.accept()).await);
    // Nobody.
    drop(listener);
    ten_messages(&messenger, address);
    let exited = soon(exits.recv()).await.unwrap();
    assert!(exited.reason.contains("cannot connect"), "{}", exited.reason);
    assert_eq!(count(&security, DIALLED), 0);
}

/// Whether a future is not ready yet.
async fn is_pending<F: Future>(future: F) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn d3_after_a_failed_tls_verification_nothing_is_sent_in_plaintext() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let only = |tls12| Versions { tls12, tls13: !tls12, ..TLS };
    let misnamed = Component { leaf: pki.leaf(&["IP:10.9.9.9"]), ..Component::new(&pki) };
    let old = Component { versions: only(true), ..Component::new(&pki) };
    let new = Component { versions: only(false), ..Component::verifying(&pki) };
    let verifying = Component::verifying(&pki);
    // Each of them would take plaintext, too.
    for (listens, dials) in [
        (Component::new(&stranger).security(&stranger), &verifying),
        (misnamed.security(&pki), &verifying),
        (old.security(&pki), &new),
    ] {
        let security = dials.security(&pki);
        let mut server = serve(listens);
        let (messenger, mut exits) = messenger(security.clone());
        ten_messages(&messenger, server.address);
        let exited = soon(exits.recv()).await.unwrap();
        assert!(exited.reason.contains("cannot trust"), "{}", exited.reason);
        server.until(|counts| counts.handshake_failures + counts.connections_accepted > 0).await;
        assert_eq!(server.counts().connections_accepted, 1);
        assert!(server.messages.try_recv().is_err());
        assert_eq!(count(&security, DIALLED), 0);
    }
}

#[tokio::test]
async fn d3_without_permission_a_peer_that_speaks_no_tls_is_left() {
    let pki = Pki::new();
    let strict = Component { accepts: false, ..Component::new(&pki) }.security(&pki);
    let plain = serve(PLAIN);
    let (messenger, mut exits) = messenger(strict.clone());
    ten_messages(&messenger, plain.address);
    let exited = soon(exits.recv()).await.unwrap();
    assert!(exited.reason.contains("the peer speaks no TLS"), "{}", exited.reason);
    assert_eq!(plain.counts().connections_accepted, 1);
    // And as a server it says what is wrong.
    let server = serve(strict);
    let text = exchange(&mut server.connect().await, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(text.ends_with("This port speaks TLS only: use https."), "{text}");
}

#[tokio::test]
async fn d3_the_http_client_never_leaves_tls() {
    let pki = Pki::new();
    let security = Component::new(&pki).security(&pki);
    let plain = serve(PLAIN);
    let client = Client::new(security.clone(), transport::client::Settings::default());
    let port = plain.address.port();
    let error = soon(client.connect("127.0.0.1", port, &ANYBODY)).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("speaks no TLS"), "{error}");
    assert_eq!(plain.counts().connections_accepted, 1);
    assert_eq!(plain.counts().requests, 0);
}

#[tokio::test]
async fn d3_a_plaintext_server_shows_a_tls_client_at_once_that_it_is_one() {
    let pki = Pki::new();
    let mut server = serve(PLAIN);
    // The first byte is enough.
    let text = exchange(&mut server.connect().await, b"\x16").await;
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    assert!(text.ends_with("This port does not speak TLS: use http."), "{text}");
    // A stock peer that supports the downgrade: its handshake fails, and it dials again.
    let ssl = openssl::ssl::Ssl::new(&pki.raw_client(None)).unwrap();
    let mut client = tokio_openssl::SslStream::new(ssl, server.connect().await).unwrap();
    let handshake = tokio::time::timeout(PATIENCE, std::pin::Pin::new(&mut client).connect());
    assert!(handshake.await.expect("no deadline decides").is_err());
    let mut again = server.connect().await;
    again.write_all(&message_bytes(&local("slave(1)", 1), &local("master", 2), 1)).await.unwrap();
    assert_eq!(server.message().await.name, "m1");
}

#[tokio::test]
async fn d3_a_cluster_goes_from_plaintext_to_tls_and_back_one_at_a_time() {
    let pki = Pki::new();
    let downgrading = || Component::verifying(&pki).security(&pki);
    // Every pair of neighbours on the way, in both directions, by who listens and who dials.
    let strict = || Component { accepts: false, ..Component::verifying(&pki) }.security(&pki);
    for (listens, dials, encrypted) in [
        (PLAIN, PLAIN, false),
        (downgrading(), PLAIN, false),
        (PLAIN, downgrading(), false),
        (downgrading(), downgrading(), true),
        (strict(), downgrading(), true),
        (downgrading(), strict(), true),
        (strict(), strict(), true),
    ] {
        let mut server = serve(listens);
        let (messenger, _exits) = messenger(dials);
        ten_messages(&messenger, server.address);
        for n in 0..10 {
            let message = server.message().await;
            assert_eq!((message.name, message.peer.encrypted), (format!("m{n}"), encrypted));
        }
        assert!(soon(messenger.drain(PATIENCE)).await);
    }
}
