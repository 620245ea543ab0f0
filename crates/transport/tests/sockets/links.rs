//! Sending messages and holding links.

use std::net::SocketAddrV4;
use std::time::Duration;

use alcazar_transport as transport;
use libprocess::upid::Upid;
use model::identity::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::messenger::{SendError, Settings};
use transport::tls::{Expected, Security};

use crate::fixture::{PATIENCE, Pki, identity, local, messenger, messenger_with, serve, soon};

const PLAIN: Security = Security::DangerPlaintext;
const ANYBODY: Expected = Expected::Member;

fn own() -> SocketAddrV4 {
    local("", 4000).address
}

/// A listener of whom nobody knows what it will do.
async fn stranger() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, local("", port).address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    soon(listener.accept()).await.unwrap().0
}

/// Reads one message without body.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn messages_to_one_address_arrive_in_order_over_one_connection() {
    let mut server = serve(PLAIN);
    let (messenger, _exits) = messenger(own(), PLAIN);
    for n in 0..2000_usize {
        let to = Upid::new(if n % 2 == 0 { "even" } else { "odd" }, server.address);
        let body = vec![7; (n * 37) % 5000];
        messenger.send("me", &to, ANYBODY, &format!("m{n}"), &body).unwrap();
    }
    for n in 0..2000_usize {
        let message = server.message().await;
        assert_eq!((message.name, message.body.len()), (format!("m{n}"), (n * 37) % 5000));
    }
    assert!(soon(messenger.drain(PATIENCE)).await);
    assert_eq!(server.counts().connections_accepted, 1);
}

#[tokio::test]
async fn a_message_is_on_the_wire_as_the_original_writes_it() {
    let (listener, address) = stranger().await;
    let (messenger, _exits) = messenger(own(), PLAIN);
    messenger.send("me(1)", &Upid::new("", address), ANYBODY, "a.B", b"").unwrap();
    let mut stream = accept(&listener).await;
    let expected = format!(
        "POST /a.B HTTP/1.1\r\nUser-Agent: libprocess/me(1)@127.0.0.1:4000\r\n\
         Libprocess-From: me(1)@127.0.0.1:4000\r\nConnection: Keep-Alive\r\nHost: {address}\r\n\r\n"
    );
    assert_eq!(read_head(&mut stream).await, expected);
}

#[tokio::test]
async fn every_link_to_an_address_exits_when_its_connection_ends() {
    let (listener, address) = stranger().await;
    let (messenger, mut exits) = messenger(own(), PLAIN);
    let (one, two) = (Upid::new("one", address), Upid::new("two", address));
    messenger.link(&one, ANYBODY);
    messenger.link(&two, ANYBODY);
    messenger.link(&two, ANYBODY);
    let stream = accept(&listener).await;
    assert!(exits.try_recv().is_err());
    drop(stream);
    let exited = soon(exits.recv()).await.unwrap();
    assert_eq!((exited.address, exited.upids), (address, vec![one.clone(), two]));
    // Links are gone: linking again is a new connection and a new exit.
    messenger.link(&one, ANYBODY);
    accept(&listener).await.set_zero_linger().unwrap();
    let exited = soon(exits.recv()).await.unwrap();
    assert_eq!(exited.upids, vec![one]);
}

#[tokio::test]
async fn a_link_to_where_nobody_listens_exits() {
    let (listener, address) = stranger().await;
    drop(listener);
    let (messenger, mut exits) = messenger(own(), PLAIN);
    messenger.link(&Upid::new("x", address), ANYBODY);
    let exited = soon(exits.recv()).await.unwrap();
    assert_eq!(exited.address, address);
    assert!(exited.reason.contains("cannot connect"), "{}", exited.reason);
    // So does a message, without an exit, since nobody holds a link.
    messenger.send("me", &Upid::new("x", address), ANYBODY, "n", b"").unwrap();
    assert!(soon(messenger.drain(PATIENCE)).await);
    assert!(exits.try_recv().is_err());
}

#[tokio::test]
async fn a_link_over_which_nothing_is_said_stays() {
    let (listener, address) = stranger().await;
    let settings = Settings { linger: Duration::from_millis(20), ..Settings::default() };
    let (messenger, mut exits) = messenger_with(own(), PLAIN, settings);
    messenger.link(&Upid::new("x", address), ANYBODY);
    let mut linked = accept(&listener).await;
    // A connection without links to somebody else comes and goes meanwhile.
    let (other_listener, other) = stranger().await;
    messenger.send("me", &Upid::new("y", other), ANYBODY, "n", b"").unwrap();
    let mut temporary = accept(&other_listener).await;
    read_head(&mut temporary).await;
    temporary.write_all(ACCEPTED).await.unwrap();
    assert_eq!(soon(temporary.read(&mut [0])).await.unwrap(), 0);
    // The link is still there, and carries messages.
    messenger.send("me", &Upid::new("x", address), ANYBODY, "late", b"").unwrap();
    assert!(read_head(&mut linked).await.starts_with("POST /x/late "));
    assert!(exits.try_recv().is_err());
}

#[tokio::test]
async fn a_connection_without_links_stays_until_its_answers_are_read() {
    let (listener, address) = stranger().await;
    let settings = Settings { linger: Duration::from_millis(1), ..Settings::default() };
    let (messenger, _exits) = messenger_with(own(), PLAIN, settings);
    let to = Upid::new("x", address);
    messenger.send("me", &to, ANYBODY, "first", b"").unwrap();
    messenger.send("me", &to, ANYBODY, "second", b"").unwrap();
    let mut stream = accept(&listener).await;
    read_head(&mut stream).await;
    read_head(&mut stream).await;
    assert!(!messenger.drain(Duration::from_millis(50)).await, "two answers are owed");
    stream.write_all(ACCEPTED).await.unwrap();
    assert!(!messenger.drain(Duration::from_millis(50)).await, "one answer is owed");
    assert!(stream.try_read(&mut [0]).is_err(), "the connection is open");
    stream.write_all(ACCEPTED).await.unwrap();
    assert!(soon(messenger.drain(PATIENCE)).await);
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0, "nothing is owed: it ends");
}

#[tokio::test]
async fn relinking_replaces_the_connection_and_keeps_the_links_of_others() {
    let (listener, address) = stranger().await;
    let (messenger, mut exits) = messenger(own(), PLAIN);
    let (one, two) = (Upid::new("one", address), Upid::new("two", address));
    messenger.link(&one, ANYBODY);
    let mut stale = accept(&listener).await;
    messenger.relink(&two, ANYBODY);
    messenger.send("me", &two, ANYBODY, "n", b"").unwrap();
    let mut fresh = accept(&listener).await;
    assert!(read_head(&mut fresh).await.starts_with("POST /two/n "));
    assert_eq!(soon(stale.read(&mut [0])).await.unwrap(), 0, "the old one is closed");
    assert!(exits.try_recv().is_err(), "without exit events");
    drop(fresh);
    assert_eq!(soon(exits.recv()).await.unwrap().upids, vec![one, two]);
}

#[tokio::test]
async fn a_peer_that_is_somebody_else_receives_no_byte() {
    let pki = Pki::new();
    let impostor = serve(pki.component("agent/impostor"));
    let (messenger, mut exits) = messenger(own(), pki.component("agent/a"));
    let to = Upid::new("master", impostor.address);
    messenger.link(&to, Expected::Kind(Kind::Master));
    messenger.send("me", &to, Expected::Kind(Kind::Master), "secret", b"x").unwrap();
    let exited = soon(exits.recv()).await.unwrap();
    assert_eq!(exited.upids, vec![to.clone()]);
    assert!(soon(messenger.drain(PATIENCE)).await);
    // Who is content with it is served over the same connection; the other message never came.
    let expected = Expected::Identity(identity("agent/impostor"));
    messenger.send("me", &to, expected, "open", b"").unwrap();
    let mut impostor = impostor;
    assert_eq!(impostor.message().await.name, "open");
    assert_eq!(impostor.counts().messages_received, 1);
}

#[tokio::test]
async fn a_server_that_our_authority_does_not_vouch_for_receives_no_byte() {
    let pki = Pki::new();
    let foreign = serve(Pki::new().component("master/m"));
    let (messenger, mut exits) = messenger(own(), pki.component("agent/a"));
    let to = Upid::new("master", foreign.address);
    messenger.link(&to, Expected::Kind(Kind::Master));
    messenger.send("me", &to, Expected::Kind(Kind::Master), "secret", b"x").unwrap();
    let exited = soon(exits.recv()).await.unwrap();
    assert!(exited.reason.contains("cannot trust"), "{}", exited.reason);
    foreign.until(|counts| counts.handshake_failures == 1).await;
    assert_eq!(foreign.counts().messages_received, 0);
    // Nor does one that does not encrypt.
    let plain = serve(PLAIN);
    messenger.link(&Upid::new("master", plain.address), Expected::Kind(Kind::Master));
    soon(exits.recv()).await.unwrap();
    assert_eq!(plain.counts().messages_received, 0);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up_when_its_queue_is_full() {
    let (_listener, address) = stranger().await;
    let settings = Settings { queue_bytes: 1 << 20, ..Settings::default() };
    let (messenger, mut exits) = messenger_with(own(), PLAIN, settings);
    let to = Upid::new("x", address);
    messenger.link(&to, ANYBODY);
    let body = vec![0; 1 << 16];
    let mut sent = 0;
    let refused = loop {
        match messenger.send("me", &to, ANYBODY, "n", &body) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "the queue is bounded");
        tokio::task::yield_now().await;
    };
    assert_eq!(refused, SendError::QueueFull(address));
    assert_eq!(soon(exits.recv()).await.unwrap().upids, vec![to]);
    assert!(soon(messenger.drain(PATIENCE)).await, "what waited is counted as lost");
}

#[tokio::test]
async fn a_peer_that_answers_garbage_or_too_much_is_left() {
    for answer in [&b"SSH-2.0-x\r\n"[..], ACCEPTED] {
        let (listener, address) = stranger().await;
        let (messenger, mut exits) = messenger(own(), PLAIN);
        messenger.link(&Upid::new("x", address), ANYBODY);
        let mut stream = accept(&listener).await;
        stream.write_all(answer).await.unwrap();
        soon(exits.recv()).await.unwrap();
        assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let (messenger, _exits) = messenger(own(), PLAIN);
    let evil = Upid::new("x HTTP/1.1\r\n\r\nPOST /master", own());
    let refused = messenger.send("me", &evil, ANYBODY, "n", b"");
    assert!(matches!(refused, Err(SendError::Encode(_))), "{refused:?}");
}

#[tokio::test]
async fn a_connection_to_a_named_host_does_not_carry_messages_for_a_component() {
    let pki = Pki::new();
    // A server that our authority vouches for by its DNS name, without any identity.
    let leaf = pki.leaf(&["DNS:localhost", "IP:127.0.0.1"]);
    let (listener, address) = stranger().await;
    let mut acceptor =
        openssl::ssl::SslContext::builder(openssl::ssl::SslMethod::tls_server()).unwrap();
    let chain = openssl::x509::X509::stack_from_pem(&leaf.chain_pem).unwrap();
    acceptor.set_certificate(&chain[0]).unwrap();
    acceptor.add_extra_chain_cert(chain[1].clone()).unwrap();
    let key = openssl::pkey::PKey::private_key_from_pem(&leaf.key_pem).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let acceptor = acceptor.build();

    let (messenger, _exits) = messenger(own(), pki.component("agent/a"));
    let to = Upid::new("x", address);
    let host = Expected::Host("localhost".to_owned());
    messenger.send("me", &to, host.clone(), "one", b"").unwrap();
    messenger.send("me", &to, Expected::Kind(Kind::Master), "secret", b"").unwrap();
    messenger.send("me", &to, Expected::Host("other".to_owned()), "secret", b"").unwrap();
    messenger.send("me", &to, host, "two", b"").unwrap();

    let ssl = openssl::ssl::Ssl::new(&acceptor).unwrap();
    let mut stream = tokio_openssl::SslStream::new(ssl, accept(&listener).await).unwrap();
    soon(std::pin::Pin::new(&mut stream).accept()).await.unwrap();
    let mut received = Vec::new();
    while received.windows(4).filter(|w| w == b"\r\n\r\n").count() < 2 {
        received.push(soon(stream.read_u8()).await.unwrap());
    }
    let text = String::from_utf8(received).unwrap();
    assert!(text.contains("/x/one ") && text.contains("/x/two "), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn connections_end_with_their_messenger() {
    let (listener, address) = stranger().await;
    let (messenger, _exits) = messenger(own(), PLAIN);
    messenger.link(&Upid::new("x", address), ANYBODY);
    let mut stream = accept(&listener).await;
    drop(messenger.clone());
    messenger.send("me", &Upid::new("x", address), ANYBODY, "n", b"").unwrap();
    read_head(&mut stream).await;
    drop(messenger);
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
}
