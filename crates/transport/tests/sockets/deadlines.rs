//! Peers that stall, flood or speak garbage cost themselves, and nobody else.

use std::time::Duration;

use alcazar_transport::server::{Caps, Pace, Settings};
use alcazar_transport::tls::Security;
use bytes::BytesMut;
use libprocess::decode::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{
    PATIENCE, Pki, Running, echo, exchange, local, message_bytes, read_answer, read_to_end, serve,
    serve_with, soon,
};

/// Deadlines that a test can wait for, and small limits.
fn strict() -> Settings {
    Settings {
        limits: Limits { head: 2000, headers: 20, body: 100_000 },
        handshake_deadline: Duration::from_millis(200),
        head_deadline: Duration::from_millis(200),
        body_deadline: Duration::from_millis(200),
        pace: Pace { within: Duration::from_millis(200), bytes: 16 * 1024 },
        ..Settings::default()
    }
}

/// The same for a port that speaks TLS. The deadline for handshakes binds those of good clients on
/// a busy machine, too: only a peer that stalls comes near it.
fn strict_tls() -> Settings {
    Settings { handshake_deadline: Duration::from_secs(2), body_deadline: PATIENCE, ..strict() }
}

/// Somebody else is served as if nothing were wrong.
async fn others_are_served(server: &Running) {
    let mut other = server.connect().await;
    let text = exchange(&mut other, "GET /x HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

#[tokio::test]
async fn c12_a_head_that_never_ends_is_ended_and_others_are_served_meanwhile() {
    let server = serve_with(Security::DangerPlaintext, strict(), echo());
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    others_are_served(&server).await;
    let text = read_to_end(&mut slow).await;
    assert!(text.starts_with("HTTP/1.1 408 Request Time-out"), "{text}");
    assert_eq!(server.counts().deadlines_missed, 1);
}

#[tokio::test]
async fn c12_a_head_that_comes_byte_by_byte_has_one_deadline_in_all() {
    let server = serve_with(Security::DangerPlaintext, strict(), echo());
    let (mut read, mut write) = server.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        write.write_all(b"GET / HTTP/1.1\r\nA: ").await.unwrap();
        // Ends when the server has closed the connection.
        while write.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    });
    let text = read_to_end(&mut read).await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    drop(read);
    soon(dripping).await.unwrap();
}

#[tokio::test]
async fn c12_a_body_that_never_ends_is_ended() {
    let server = serve_with(Security::DangerPlaintext, strict(), echo());
    for request in [
        "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST /x/n HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let mut slow = server.connect().await;
        let text = exchange(&mut slow, request).await;
        // A request's handler was told and has answered; a message is answered by the server.
        assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    }
    assert_eq!(server.counts().deadlines_missed, 3);
    assert_eq!(server.counts().messages_received, 0);
}

#[tokio::test]
async fn c12_endless_heads_and_bodies_are_refused_by_their_size() {
    let server = serve_with(Security::DangerPlaintext, strict(), echo());
    let filler = "x".repeat(3000);
    let many: String = (0..30).map(|n| format!("h{n}: x\r\n")).collect();
    for (request, status) in [
        (format!("GET /{filler}"), "431"),
        (format!("GET / HTTP/1.1\r\nA: {filler}"), "431"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
        ("POST / HTTP/1.1\r\nContent-Length: 100001\r\n\r\n".to_owned(), "413"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            "400",
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), "501"),
        ("garbage".to_owned(), "400"),
        ("\x16\x03\x01\x02\x00\x01".to_owned(), "400"),
    ] {
        let text = exchange(&mut server.connect().await, &request).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {text}");
        assert!(text.contains("Connection: close"), "{text}");
    }
    assert_eq!(server.counts().malformed, 8);
    others_are_served(&server).await;
}

#[tokio::test]
async fn c12_a_chunked_body_that_grows_over_the_limit_is_refused() {
    let server = serve_with(Security::DangerPlaintext, strict(), echo());
    let (mut read, mut write) = server.connect().await.into_split();
    let flooding = tokio::spawn(async move {
        let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
        write.write_all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        while write.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let text = read_to_end(&mut read).await;
    assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    drop(read);
    soon(flooding).await.unwrap();
    assert_eq!(server.counts().malformed, 1);
}

#[tokio::test]
async fn c12_bodies_take_no_more_memory_in_all_than_they_may() {
    let settings = Settings { memory: 150_000, ..strict() };
    let mut server = serve_with(Security::DangerPlaintext, settings, echo());
    let big = |n: usize| {
        let mut out = BytesMut::new();
        let (from, to) = (local("a", 1), local("b", 2));
        let name = format!("m{n}");
        libprocess::message::encode_message(&mut out, &from, &to, &name, &[7; 90_000]).unwrap();
        out
    };
    let mut first = server.connect().await;
    first.write_all(&big(1)).await.unwrap();
    let held = server.message().await;
    assert_eq!(held.body.len(), 90_000);
    // The second does not fit while the program keeps the first.
    let mut second = server.connect().await;
    second.write_all(&big(2)).await.unwrap();
    others_are_served(&server).await;
    assert!(server.messages.try_recv().is_err());
    drop(held);
    assert_eq!(server.message().await.name, "m2");
}

#[tokio::test]
async fn c12_bodies_of_one_peer_leave_memory_to_others() {
    let settings = Settings { memory: 250_000, memory_per_peer: 150_000, ..strict_tls() };
    let pki = Pki::new();
    let mut server = serve_with(pki.component("master/m"), settings, echo());
    let agent = |name: &str| {
        let leaf = pki.leaf(&[&format!("URI:spiffe://test.local/agent/{name}")]);
        pki.raw_client(Some(&leaf))
    };
    let big = |n: usize| {
        let mut out = BytesMut::new();
        let (from, to) = (local("a", 1), local("b", 2));
        let name = format!("m{n}");
        libprocess::message::encode_message(&mut out, &from, &to, &name, &[7; 90_000]).unwrap();
        out
    };
    let greedy = agent("greedy");
    let mut first = server.connect_tls(&greedy).await;
    first.write_all(&big(1)).await.unwrap();
    let held = server.message().await;
    // Its second does not fit while the program keeps its first; that of another does.
    let mut second = server.connect_tls(&greedy).await;
    second.write_all(&big(2)).await.unwrap();
    let mut other = server.connect_tls(&agent("modest")).await;
    other.write_all(&big(3)).await.unwrap();
    assert_eq!(server.message().await.name, "m3");
    assert!(server.messages.try_recv().is_err());
    drop(held);
    assert_eq!(server.message().await.name, "m2");
}

#[tokio::test]
async fn c12_large_heads_count_as_bodies_do() {
    // Room for one of them.
    let settings = Settings { memory: 100_000, ..Settings::default() };
    let server = serve_with(Security::DangerPlaintext, settings, echo());
    let large = format!("GET /large HTTP/1.1\r\nA: {}", "x".repeat(20_000));
    let mut first = server.connect().await;
    first.write_all(large.as_bytes()).await.unwrap();
    others_are_served(&server).await;
    let mut second = server.connect().await;
    second.write_all(large.as_bytes()).await.unwrap();
    others_are_served(&server).await;
    second.write_all(b"\r\n\r\n").await.unwrap();
    others_are_served(&server).await;
    assert!(is_pending(second.read(&mut [0])).await);
    first.write_all(b"\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut first).await.ends_with("GET /large "));
    assert!(read_answer(&mut second).await.ends_with("GET /large "));
}

#[tokio::test]
async fn c12_pipelines_without_end_are_served_in_turn_with_others() {
    let mut server = serve_with(Security::DangerPlaintext, strict(), echo());
    let message = message_bytes(&local("a", 1), &local("b", 2), 1);
    let (mut read, mut write) = server.connect().await.into_split();
    let flooding = tokio::spawn(async move {
        while write.write_all(&message).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let draining = tokio::spawn(async move {
        let mut sink = tokio::io::sink();
        let _ = tokio::io::copy(&mut read, &mut sink).await;
    });
    for _ in 0..1000 {
        server.message().await;
    }
    others_are_served(&server).await;
    flooding.abort();
    draining.abort();
}

#[tokio::test]
async fn a_reader_that_does_not_read_its_answer_is_ended() {
    let answer = crate::fixture::answering(|_| async {
        alcazar_transport::server::Response::ok("text/plain", vec![b'x'; 64 << 20])
    });
    let server = serve_with(Security::DangerPlaintext, strict(), answer);
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    server.until(|counts| counts.deadlines_missed == 1).await;
    drop(client);
}

#[tokio::test]
async fn c12_a_reader_that_takes_its_answer_in_sips_is_ended() {
    let answer = crate::fixture::answering(|_| async {
        alcazar_transport::server::Response::ok("text/plain", vec![b'x'; 64 << 20])
    });
    // It takes something all the time, but never enough.
    let pace = Pace { within: Duration::from_millis(200), bytes: 48 << 20 };
    let settings = Settings { pace, ..strict() };
    let server = serve_with(Security::DangerPlaintext, settings, answer);
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let sipping = tokio::spawn(async move {
        let mut sips = tokio::time::interval(Duration::from_millis(10));
        let mut sip = vec![0; 64 * 1024];
        while matches!(client.read(&mut sip).await, Ok(read) if read > 0) {
            sips.tick().await;
        }
    });
    server.until(|counts| counts.deadlines_missed == 1).await;
    sipping.abort();
}

#[tokio::test]
async fn d8_garbage_instead_of_a_tls_handshake_costs_only_its_own_connection() {
    let pki = Pki::new();
    let server = serve_with(pki.component("master/m"), strict_tls(), echo());
    for garbage in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x16\xff\xff\xff\xff\xff\xff", b"\x00\x01"]
    {
        let mut client = server.connect().await;
        client.write_all(garbage).await.unwrap();
        read_to_end(&mut client).await;
    }
    server.until(|counts| counts.handshake_failures == 3).await;
    tls_is_served(&pki, &server).await;
}

#[tokio::test]
async fn d8_a_tls_handshake_that_stalls_ends_at_its_deadline() {
    let pki = Pki::new();
    let server = serve_with(pki.component("master/m"), strict_tls(), echo());
    let mut stalled = server.connect().await;
    stalled.write_all(b"\x16\x03\x01").await.unwrap();
    tls_is_served(&pki, &server).await;
    assert_eq!(read_to_end(&mut stalled).await, "");
    assert_eq!(server.counts().handshake_failures, 1);
    assert_eq!(server.counts().deadlines_missed, 1);
}

#[tokio::test]
async fn d8_a_connection_that_is_silent_before_its_tls_handshake_is_kept() {
    let pki = Pki::new();
    let server = serve_with(pki.component("master/m"), strict_tls(), echo());
    let silent = server.connect().await;
    // Longer than the deadlines of handshakes and heads.
    let mut stalled = server.connect().await;
    stalled.write_all(b"\x16").await.unwrap();
    read_to_end(&mut stalled).await;
    let ssl = openssl::ssl::Ssl::new(&pki.raw_client(None)).unwrap();
    let mut silent = tokio_openssl::SslStream::new(ssl, silent).unwrap();
    soon(std::pin::Pin::new(&mut silent).connect()).await.unwrap();
    silent.write_all(b"GET /late HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut silent).await.ends_with("GET /late "));
}

async fn tls_is_served(pki: &Pki, server: &Running) {
    let mut client = server.connect_tls(&pki.raw_client(None)).await;
    client.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    let methods =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"];
    let requests = methods.map(|method| format!("{method} /health HTTP/1.1\r\nHost: x\r\n\r\n"));
    let message = message_bytes(&local("slave(1)", 1), &local("master", 2), 1);
    let big =
        format!("POST /api/v1 HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let others = [&message[..], big.as_bytes(), b"POST"];
    let all = requests.iter().map(String::as_bytes).chain(others);
    let mut asked = 0;
    for request in all {
        let mut client = server.connect().await;
        client.write_all(request).await.unwrap();
        client.shutdown().await.unwrap();
        let text = read_to_end(&mut client).await;
        assert!(text.starts_with("HTTP/1.1 400 Bad Request"), "{text}");
        assert!(text.ends_with("This port speaks TLS only: use https."), "{text}");
        asked += 1;
    }
    assert_eq!(server.counts().requests, 0);
    assert_eq!(server.counts().messages_received, 0);
    assert_eq!(server.counts().handshake_failures, asked);
}

#[tokio::test]
async fn c12_at_the_cap_silent_unproven_connections_make_room_for_others() {
    let caps = Caps { connections: 3, per_address: 3, ..Caps::default() };
    let pki = Pki::new();
    let settings = Settings { caps, ..Settings::default() };
    let mut server = serve_with(pki.component("master/m"), settings, echo());
    // A link of a component, then two strangers who say nothing.
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a", "IP:127.0.0.1"]);
    let mut link = server.connect_tls(&pki.raw_client(Some(&leaf))).await;
    link.write_all(&message_bytes(&local("slave(1)", 1), &local("master", 2), 1)).await.unwrap();
    assert_eq!(server.message().await.name, "m1");
    let mut oldest = server.connect().await;
    let mut younger = server.connect().await;
    server.until(|counts| counts.connections_accepted == 3).await;
    // One more: the oldest stranger goes, and is told so as TLS says it.
    tls_is_served(&pki, &server).await;
    assert_eq!(read_to_end(&mut oldest).await.as_bytes(), [0x15, 3, 3, 0, 2, 2, 80]);
    assert_eq!(server.counts().connections_evicted, 1);
    let mut byte = [0];
    assert!(is_pending(younger.read(&mut byte)).await, "the younger stranger is still there");
    // The link was never in question.
    link.write_all(&message_bytes(&local("slave(1)", 1), &local("master", 2), 2)).await.unwrap();
    assert_eq!(server.message().await.name, "m2");
}

/// Whether a future is not ready yet.
async fn is_pending<F: Future>(future: F) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
