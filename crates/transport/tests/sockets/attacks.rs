//! What a TLS peer can do to us after its handshake, played by OpenSSL's own client.

use std::process::Stdio;
use std::time::Duration;

use alcazar_transport::server::{Caps, Settings};
use alcazar_transport::tls::Expected;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::fixture::{
    Pki, Running, echo, local, message_bytes, messenger, read_answer, read_to_end, serve,
    serve_with, soon,
};

/// `openssl s_client` connected to the server, if it is installed.
fn s_client(server: &Running, version: &str) -> Option<Child> {
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &server.address.to_string(), version])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    match child {
        Ok(child) => Some(child),
        Err(error) => {
            eprintln!("skipped: `openssl` cannot be run: {error}");
            None
        }
    }
}

/// Reads until `text` has been said.
async fn wait_for(output: &mut (impl AsyncReadExt + Unpin), text: &str) -> String {
    let mut said = Vec::new();
    soon(async {
        while !String::from_utf8_lossy(&said).contains(text) {
            said.push(output.read_u8().await.expect("it says so before it ends"));
        }
    })
    .await;
    String::from_utf8_lossy(&said).into_owned()
}

async fn is_served(pki: &Pki, server: &Running) {
    let mut client = server.connect_tls(&pki.raw_client(None)).await;
    client.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn d8_tls_renegotiation_is_refused() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    let Some(mut client) = s_client(&server, "-tls1_2") else { return };
    let (mut input, mut output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    wait_for(&mut output, "Verify return code").await;
    input.write_all(b"R\n").await.unwrap();
    let mut complaint = String::new();
    let mut errors = client.stderr.take().unwrap();
    soon(errors.read_to_string(&mut complaint)).await.unwrap();
    assert!(complaint.contains("no renegotiation"), "{complaint}");
    is_served(&pki, &server).await;
}

#[tokio::test]
async fn d8_tls_key_updates_without_end_end_the_connection_and_only_that() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    let Some(mut client) = s_client(&server, "-tls1_3") else { return };
    let (mut input, mut output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    wait_for(&mut output, "Verify return code").await;
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
    let mut errors = client.stderr.take().unwrap();
    tokio::spawn(async move { tokio::io::copy(&mut errors, &mut tokio::io::sink()).await });
    // It looks at the first letter of what it reads at once: `K` asks for new keys on both sides.
    let flooding = async { while input.write_all(&b"K\n".repeat(4096)).await.is_ok() {} };
    // Some thousand of them are borne.
    soon(flooding).await;
    assert!(soon(client.wait()).await.is_ok());
    server.until(|counts| counts.malformed == 1).await;
    is_served(&pki, &server).await;
}

#[tokio::test]
async fn d8_a_server_that_sends_tls_key_updates_without_end_loses_its_link() {
    let pki = Pki::new();
    let dir = tempfile::tempdir().unwrap();
    let leaf = pki.leaf(&["URI:spiffe://test.local/master/m", "IP:127.0.0.1"]);
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    std::fs::write(&chain, &leaf.chain_pem).unwrap();
    std::fs::write(&key, &leaf.key_pem).unwrap();
    let server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert_chain"])
        .args([&chain, std::path::Path::new("-cert"), &chain, std::path::Path::new("-key"), &key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut server) = server else {
        eprintln!("skipped: `openssl` cannot be run");
        return;
    };
    let (mut input, mut output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    wait_for(&mut output, "ACCEPT 127.0.0.1:").await;
    let port = wait_for(&mut output, "\n").await.trim().parse().unwrap();
    let (messenger, mut exits) = messenger(local("", 4000).address, pki.component("agent/a"));
    messenger.link(&local("master", port), Expected::Member);
    wait_for(&mut output, "BEGIN SSL SESSION PARAMETERS").await;
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
    tokio::spawn(async move { while input.write_all(&b"K\n".repeat(4096)).await.is_ok() {} });
    let exited = soon(exits.recv()).await.unwrap();
    assert_eq!(exited.upids, [local("master", port)]);
}

/// Only the patience of others ends a handshake here, not its deadline.
fn crowded() -> Settings {
    let caps = Caps {
        handshakes: 8,
        handshakes_per_address: 8,
        handshake_patience: Duration::from_millis(50),
        ..Caps::default()
    };
    Settings { caps, handshake_deadline: Duration::from_secs(3600), ..Settings::default() }
}

#[tokio::test]
async fn c14_tls_handshakes_that_stall_make_room_for_those_that_wait() {
    let pki = Pki::new();
    let server = serve_with(pki.component("master/m"), crowded(), echo());
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let mut client = server.connect().await;
        client.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        stalled.push(client);
    }
    // From the same address, in its turn.
    is_served(&pki, &server).await;
    let counts = server.counts();
    assert!(counts.deadlines_missed + counts.connections_evicted >= 33, "{counts:?}");
    // The last few are in nobody's way, and stay.
    assert_eq!(stalled.last_mut().unwrap().try_read(&mut [0]).unwrap_err().kind(), WOULD_BLOCK);
}

const WOULD_BLOCK: std::io::ErrorKind = std::io::ErrorKind::WouldBlock;

#[tokio::test]
async fn c14_a_storm_of_tls_handshakes_is_served_to_the_last() {
    let pki = Pki::new();
    let settings = crowded();
    // Nobody is slow: nobody is ended.
    let caps = Caps { handshake_patience: Duration::from_secs(3600), ..settings.caps };
    let server = serve_with(pki.component("master/m"), Settings { caps, ..settings }, echo());
    let context = pki.raw_client(None);
    let storm = (0..100).map(|_| server.connect_tls(&context));
    let mut connected = soon(futures_util::future::join_all(storm)).await;
    for client in &mut connected {
        client.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(read_answer(client).await.starts_with("HTTP/1.1 200 OK"));
    }
    assert_eq!(server.counts().handshake_failures, 0);
    assert_eq!(server.counts().connections_evicted, 0);
}

#[tokio::test]
async fn d8_a_tls_handshake_that_trickles_ends_at_its_deadline() {
    let pki = Pki::new();
    // It binds the good client, too.
    let handshake_deadline = Duration::from_secs(2);
    let settings = Settings { handshake_deadline, ..Settings::default() };
    let server = serve_with(pki.component("master/m"), settings, echo());
    let (mut read, mut write) = server.connect().await.into_split();
    let trickling = tokio::spawn(async move {
        // By far too slow for the 512 bytes that it announces.
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut bytes = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".iter().chain(std::iter::repeat(&3));
        // Ends when the server has closed the connection.
        while write.write_all(&[*bytes.next().unwrap()]).await.is_ok() {
            ticks.tick().await;
        }
    });
    assert_eq!(read_to_end(&mut read).await, "");
    drop(read);
    soon(trickling).await.unwrap();
    assert_eq!(server.counts().deadlines_missed, 1);
    is_served(&pki, &server).await;
}

#[tokio::test]
async fn d8_hundreds_of_tls_connections_of_every_bad_kind_cost_only_themselves() {
    let pki = Pki::new();
    let caps = Caps { connections: 120, per_address: 100, ..Caps::default() };
    let settings = Settings { caps, ..Settings::default() };
    let mut server = serve_with(pki.component("master/m"), settings, echo());
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a", "IP:127.0.0.1"]);
    let mut link = server.connect_tls(&pki.raw_client(Some(&leaf))).await;
    let bad: [&[u8]; 6] = [
        b"",
        b"\x16",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x02\x01\x00",
        b"\x80\x2e\x01",
        b"GE",
    ];
    let mut held = Vec::new();
    for n in 0..300 {
        let mut client = server.connect().await;
        // It may have had to make room already.
        let _ = client.write_all(bad[n % bad.len()]).await;
        held.push(client);
    }
    is_served(&pki, &server).await;
    let message = message_bytes(&local("slave(1)", 1), &local("master", 2), 1);
    link.write_all(&message).await.unwrap();
    assert_eq!(server.message().await.name, "m1");
    // Who went away, too, leaves nothing behind.
    drop(held);
    is_served(&pki, &server).await;
}

/// A server without room closes: a peer that may fall back to plaintext must not take that for a
/// sign that TLS is not spoken here.
#[tokio::test]
async fn d3_who_finds_no_room_on_a_tls_port_is_told_so_in_tls() {
    const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 80];
    let pki = Pki::new();
    let caps = Caps { connections: 1, per_address: 1, ..Caps::default() };
    let settings = Settings { caps, ..Settings::default() };
    let mut server = serve_with(pki.component("master/m"), settings, echo());
    let mut silent = server.connect().await;
    // Takes the place of the silent one, and keeps it by what it proves and says.
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a", "IP:127.0.0.1"]);
    let mut link = server.connect_tls(&pki.raw_client(Some(&leaf))).await;
    let mut told = Vec::new();
    soon(silent.read_to_end(&mut told)).await.unwrap();
    assert_eq!(told, ALERT);
    link.write_all(&message_bytes(&local("slave(1)", 1), &local("master", 2), 1)).await.unwrap();
    assert_eq!(server.message().await.name, "m1");

    let mut late = server.connect().await;
    let mut told = [0; 7];
    soon(late.read_exact(&mut told)).await.unwrap();
    assert_eq!(told, ALERT);
}
