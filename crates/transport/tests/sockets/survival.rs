//! Messages survive their connection: whatever a peer does right after the last byte, everything
//! it sent before is delivered.

use std::time::Duration;

use crate::fixture::{Pki, Running, local, message_bytes, serve, soon};
use alcazar_transport::tls::Security;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const COUNT: usize = 100;

/// One hundred pipelined messages.
fn pipeline(to: &Running) -> BytesMut {
    let mut bytes = BytesMut::new();
    let from = local("sender", 4000);
    for n in 0..COUNT {
        bytes.extend_from_slice(&message_bytes(&from, &local("master", to.address.port()), n));
    }
    bytes
}

/// The program takes one message, and the others only after the peer has gone.
fn hold_back(server: &Running) {
    server.may_take.forget_permits(usize::MAX);
    server.may_take.add_permits(1);
}

async fn all_arrive(mut server: Running) {
    server.may_take.add_permits(COUNT);
    for n in 0..COUNT {
        let message = server.message().await;
        assert_eq!(message.name, format!("m{n}"));
        assert!(message.body.starts_with(format!("body {n} ").as_bytes()));
    }
}

fn reset(socket: TcpStream) {
    socket.set_zero_linger().unwrap();
    drop(socket);
}

#[tokio::test]
async fn messages_before_a_fin_are_delivered() {
    let mut server = serve(Security::DangerPlaintext);
    hold_back(&server);
    let mut client = server.connect().await;
    client.write_all(&pipeline(&server)).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(server.message().await.name, "m0");
    drop(client);
    server.may_take.add_permits(COUNT);
    for n in 1..COUNT {
        assert_eq!(server.message().await.name, format!("m{n}"));
    }
}

#[tokio::test]
async fn messages_before_a_reset_are_delivered() {
    let server = serve(Security::DangerPlaintext);
    hold_back(&server);
    let mut client = server.connect().await;
    client.write_all(&pipeline(&server)).await.unwrap();
    reset(client);
    all_arrive(server).await;
}

#[tokio::test]
async fn messages_before_a_reset_in_the_middle_of_answers_are_delivered() {
    let server = serve(Security::DangerPlaintext);
    server.may_take.forget_permits(usize::MAX);
    server.may_take.add_permits(COUNT / 2);
    let mut client = server.connect().await;
    client.write_all(&pipeline(&server)).await.unwrap();
    // Our answers lie unread in the client's buffer: closing it resets the connection.
    assert_eq!(soon(client.read_u8()).await.unwrap(), b'H');
    drop(client);
    all_arrive(server).await;
}

#[tokio::test]
async fn messages_before_tls_ends_without_close_notify_are_delivered() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    hold_back(&server);
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a"]);
    let mut client = server.connect_tls(&pki.raw_client(Some(&leaf))).await;
    client.write_all(&pipeline(&server)).await.unwrap();
    // The socket is closed beneath TLS.
    drop(client);
    all_arrive(server).await;
}

#[tokio::test]
async fn messages_before_a_reset_beneath_tls_are_delivered() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    hold_back(&server);
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a"]);
    let mut client = server.connect_tls(&pki.raw_client(Some(&leaf))).await;
    client.write_all(&pipeline(&server)).await.unwrap();
    client.get_ref().set_zero_linger().unwrap();
    drop(client);
    all_arrive(server).await;
}

#[tokio::test]
async fn of_a_message_that_was_cut_off_nothing_is_delivered() {
    let mut server = serve(Security::DangerPlaintext);
    let bytes = pipeline(&server);
    let mut client = server.connect().await;
    client.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    drop(client);
    for n in 0..COUNT - 1 {
        assert_eq!(server.message().await.name, format!("m{n}"));
    }
    // A later connection shows that nothing more comes of the first.
    let mut client = server.connect().await;
    let last = message_bytes(&local("sender", 4000), &local("master", 1), COUNT);
    client.write_all(&last).await.unwrap();
    assert_eq!(server.message().await.name, format!("m{COUNT}"));
}

#[tokio::test]
async fn answers_to_pipelined_messages_keep_their_order() {
    let mut server = serve(Security::DangerPlaintext);
    let mut client = server.connect().await;
    let from = local("sender", 4000);
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&message_bytes(&from, &local("master", 1), 1));
    bytes.extend_from_slice(&message_bytes(&from, &local("nobody", 1), 2));
    bytes.extend_from_slice(b"GET /x HTTP/1.1\r\n\r\n");
    bytes.extend_from_slice(&message_bytes(&from, &local("master", 1), 3));
    bytes.extend_from_slice(b"POST /%zz/n HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\n\r\n");
    bytes.extend_from_slice(b"GET /y HTTP/1.1\r\nConnection: close\r\n\r\n");
    let answers = crate::fixture::exchange(&mut client, &bytes).await;
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["202", "404", "200", "202", "500", "200"], "{answers}");
    assert_eq!(server.message().await.name, "m1");
    assert_eq!(server.message().await.name, "m3");
    let accepted = &answers[..answers.find("HTTP/1.1 404").unwrap()];
    let lines: Vec<_> = accepted.lines().collect();
    assert_eq!(lines[0], "HTTP/1.1 202 Accepted");
    assert!(lines[1].starts_with("Date: "));
    assert_eq!(&lines[2..], ["Content-Length: 0", ""]);
}

#[tokio::test]
async fn a_peer_that_never_reads_its_answers_is_heard() {
    const MANY: usize = 20_000;
    let mut server = serve(Security::DangerPlaintext);
    let mut client = server.connect().await;
    let message = message_bytes(&local("sender", 4000), &local("master", 1), 0);
    let writing = tokio::spawn(async move {
        for _ in 0..MANY {
            client.write_all(&message).await.unwrap();
        }
        client
    });
    for _ in 0..MANY {
        server.message().await;
    }
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn a_link_that_is_idle_for_an_hour_stays() {
    let pki = Pki::new();
    for security in [Security::DangerPlaintext, pki.component("master/m")] {
        let mut server = serve(security.clone());
        let from = local("sender", 4000);
        let to = local("master", 1);
        let (first, second) = (message_bytes(&from, &to, 1), message_bytes(&from, &to, 2));
        let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a"]);
        let mut client: Box<dyn ReadWrite> = match security {
            Security::DangerPlaintext => Box::new(server.connect().await),
            Security::Tls(_) => Box::new(server.connect_tls(&pki.raw_client(Some(&leaf))).await),
        };
        client.write_all(&first).await.unwrap();
        assert_eq!(server.message().await.name, "m1");
        assert!(crate::fixture::read_answer(&mut client).await.starts_with("HTTP/1.1 202"));

        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(3600)).await;
        tokio::time::resume();

        client.write_all(&second).await.unwrap();
        assert_eq!(server.message().await.name, "m2");
        assert!(crate::fixture::read_answer(&mut client).await.starts_with("HTTP/1.1 202"));
    }
}

trait ReadWrite: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> ReadWrite for T {}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_peers_that_reset_at_once_lose_nothing_and_keep_their_order() {
    const PEERS: usize = 40;
    let pki = Pki::new();
    let mut server = serve(pki.component("master/m"));
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a", "IP:127.0.0.1"]);
    let context = pki.raw_client(Some(&leaf));
    let mut clients = Vec::new();
    for peer in 0..PEERS {
        let mut client = server.connect_tls(&context).await;
        let mut bytes = BytesMut::new();
        let from = local(&format!("peer({peer})"), 4000);
        for n in 0..COUNT {
            bytes.extend_from_slice(&message_bytes(&from, &local("master", 1), n));
        }
        clients.push(tokio::spawn(async move {
            client.write_all(&bytes).await.unwrap();
            client.get_ref().set_zero_linger().unwrap();
        }));
    }
    let mut next = std::collections::HashMap::new();
    for _ in 0..PEERS * COUNT {
        let message = server.message().await;
        let expected = next.entry(message.from.upid().id.clone()).or_insert(0);
        assert_eq!(message.name, format!("m{expected}"));
        *expected += 1;
    }
    assert_eq!(next.len(), PEERS);
    for client in clients {
        client.await.unwrap();
    }
}
