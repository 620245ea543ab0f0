//! What is exported from a TLS connection: the same at both its ends, and at no other connection,
//! whoever computes it.

use std::io::Write;
use std::pin::Pin;
use std::process::Stdio;

use alcazar_transport::sessions::SameAddress;
use alcazar_transport::tls::Expected;
use libprocess::upid::Upid;
use openssl::ssl::{Ssl, SslAcceptor, SslContextBuilder, SslMethod, SslOptions, SslVersion};
use testkit::tools;
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use crate::authority::Wanted;
use crate::fixture::{Daemon, PATIENCE, Posture, World, exporter_of, raw, soon, tell};

/// `SSL_OP_NO_EXTENDED_MASTER_SECRET`, which has no name in the bindings.
fn no_extended_master_secret() -> SslOptions {
    SslOptions::from_bits_retain(1)
}

fn only(version: SslVersion) -> impl FnOnce(&mut SslContextBuilder) {
    move |builder| {
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
    }
}

fn without_ems(builder: &mut SslContextBuilder) {
    only(SslVersion::TLS1_2)(builder);
    builder.set_options(no_extended_master_secret());
}

fn daemon() -> Daemon {
    Daemon::new(World::new().security(Posture::Unverified, "master/m"), SameAddress::Refused)
}

/// What our server found of a connection of somebody else.
async fn found(server: &mut Daemon, stream: &mut SslStream<TcpStream>) -> Option<[u8; 32]> {
    let from: Upid = "x@127.0.0.1:5051".parse().unwrap();
    assert_eq!(tell(stream, raw(&from, "master", "m", None)).await, 202);
    let facts = server.message().await.peer;
    // One is never there without the other.
    assert_eq!(facts.channel_secret.is_some(), facts.channel_binding.is_some());
    if let (Some(secret), Some(binding)) = (&facts.channel_secret, &facts.channel_binding) {
        assert_ne!(secret.expose(), binding);
        let printed: String = secret.expose().iter().map(|byte| format!("{byte}, ")).collect();
        assert!(!format!("{facts:?}").contains(&printed));
    }
    facts.channel_binding
}

#[tokio::test]
async fn authn_a_foreign_client_and_our_server_agree() {
    let mut server = daemon();
    let mut seen = Vec::new();
    for version in [SslVersion::TLS1_3, SslVersion::TLS1_3, SslVersion::TLS1_2] {
        let mut stream = server.connect_tls(only(version)).await;
        let binding = exporter_of(&stream);
        assert_eq!(found(&mut server, &mut stream).await, Some(binding), "{version:?}");
        assert!(!seen.contains(&binding));
        seen.push(binding);
    }
    // RFC 9266: not without what binds the keys to the handshake.
    let mut stream = server.connect_tls(without_ems).await;
    assert_eq!(stream.ssl().extms_support(), Some(false));
    assert_eq!(found(&mut server, &mut stream).await, None);
    // Nor in plaintext.
    let plain =
        Daemon::new(World::new().security(Posture::Plaintext, "master/m"), SameAddress::Refused);
    let mut plain_stream = plain.connect().await;
    let from: Upid = "x@127.0.0.1:5051".parse().unwrap();
    let mut plain = plain;
    assert_eq!(tell(&mut plain_stream, raw(&from, "master", "m", None)).await, 202);
    assert_eq!(plain.message().await.peer.channel_binding, None);
}

#[tokio::test]
async fn authn_our_client_and_a_foreign_server_agree() {
    let world = World::new();
    let issued = world.authority.issue(&Wanted::default());
    let client = daemon();
    for (configure, agree) in [
        (&only_13 as &dyn Fn(&mut SslContextBuilder), true),
        (&only_12, true),
        (&without_ems, false),
    ] {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        builder.set_certificate(&issued.certificate).unwrap();
        builder.set_private_key(&issued.key).unwrap();
        configure(&mut builder);
        let context = builder.build().into_context();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to: Upid = format!("master@{}", listener.local_addr().unwrap()).parse().unwrap();
        let accepting = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = SslStream::new(Ssl::new(&context).unwrap(), socket).unwrap();
            Pin::new(&mut stream).accept().await.unwrap();
            stream
        };
        let channel = client.messenger.channel(&to, Expected::Member);
        let (facts, stream) = soon(async { tokio::join!(channel, accepting) }).await;
        let binding = agree.then(|| exporter_of(&stream));
        assert_eq!(facts.unwrap().channel_binding, binding);
    }
}

fn only_13(builder: &mut SslContextBuilder) {
    only(SslVersion::TLS1_3)(builder);
}

fn only_12(builder: &mut SslContextBuilder) {
    only(SslVersion::TLS1_2)(builder);
}

/// A resumed connection has a value of its own, the same at both its ends.
#[tokio::test]
async fn authn_resumed_connections_have_values_of_their_own() {
    const RESUMED: &str = "tls/handshakes/resumed";
    let world = World::new();
    let security = world.security(Posture::Unverified, "master/m");
    let contexts = security.contexts().unwrap().clone();
    let (mut server, client) = (Daemon::new(security, SameAddress::Refused), daemon());
    let to = server.actor("master");
    let mut seen = Vec::new();
    while contexts.counters().get(RESUMED) < 2 {
        client.messenger.relink(&to, Expected::Member);
        let facts = soon(client.messenger.channel(&to, Expected::Member)).await.unwrap();
        // An answer was read, and the tickets before it.
        client.send("x", &to, "m");
        assert_eq!(server.message().await.peer.channel_binding, facts.channel_binding);
        assert!(soon(client.messenger.drain(PATIENCE)).await);
        assert!(facts.channel_binding.is_some() && !seen.contains(&facts.channel_binding));
        seen.push(facts.channel_binding);
        assert!(seen.len() < 10, "nothing is resumed");
    }
}

/// The program `openssl` computes it too. It passes no context, which is an empty one in TLS 1.3
/// and another in TLS 1.2.
#[tokio::test]
async fn authn_the_program_openssl_agrees() {
    for (version, same) in [("-tls1_3", true), ("-tls1_2", false)] {
        let Some(mut command) = tools::tool("openssl") else { return };
        let mut server = daemon();
        let address = server.address.to_string();
        command.args(["s_client", "-connect", &address, version, "-ign_eof"]);
        command.args(["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let from: Upid = "x@127.0.0.1:5051".parse().unwrap();
        let message =
            raw(&from, "master", "m", None).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
        let binding = server.message().await.peer.channel_binding.unwrap();
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
        let output = soon(ended).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let hex: String = binding.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(text.contains("Keying material: "), "{text}");
        assert_eq!(text.contains(&format!("Keying material: {hex}")), same, "{text}");
    }
}
