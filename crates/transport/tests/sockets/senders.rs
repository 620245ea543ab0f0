//! A message is handled only if its connection vouches for its sender.

use std::sync::Arc;

use alcazar_transport::tls::{Contexts, Expected, Security};
use libprocess::upid::Upid;
use model::identity::Kind;
use tokio::io::AsyncWriteExt;

use crate::fixture::{
    DOMAIN, Pki, Running, exchange, identity, local, message_bytes, messenger, read_answer, serve,
    soon,
};

fn raw(from: &str) -> String {
    format!(
        "POST /master/m HTTP/1.1\r\nLibprocess-From: {from}\r\nContent-Length: 2\r\n\r\nhi\
         GET /after HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
}

/// The answers to a message and to the request after it.
async fn answers(server: &Running, from: &str) -> String {
    exchange(&mut server.connect().await, raw(from)).await
}

#[tokio::test]
async fn attack_a1_a_forged_sender_in_plaintext_never_reaches_the_program() {
    let mut server = serve(Security::DangerPlaintext);
    let text = answers(&server, "master@10.0.0.2:5050").await;
    assert!(text.starts_with("HTTP/1.1 400 Bad Request"), "{text}");
    let reason = "UPID IP address validation failed: Message from master@10.0.0.2:5050 was sent \
                  from IP 127.0.0.1:";
    assert!(text.contains(reason), "{text}");
    // A stranger gets no second try on this connection, and nothing was handled.
    assert!(text.contains("Connection: close") && !text.contains("GET /after"), "{text}");
    assert!(server.messages.try_recv().is_err());
    assert_eq!(server.counts().messages_dropped_unbound, 1);
    assert_eq!(server.counts().messages_received, 0);
}

#[tokio::test]
async fn attack_a1_a_message_without_a_certificate_never_reaches_the_program() {
    let pki = Pki::new();
    let mut server = serve(pki.component("master/m"));
    let mut client = server.connect_tls(&pki.raw_client(None)).await;
    let text = exchange(&mut client, raw("slave(1)@127.0.0.1:5051")).await;
    assert!(text.starts_with("HTTP/1.1 403 Forbidden"), "{text}");
    assert!(text.contains("Connection: close") && !text.contains("GET /after"), "{text}");
    assert!(server.messages.try_recv().is_err());
    assert_eq!(server.counts().messages_dropped_unbound, 1);
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_waited_for() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    for (target, status) in [("/master/m", "403"), ("/%zz/m", "500")] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nLibprocess-From: slave(1)@127.0.0.1:5051\r\n\
             Content-Length: 1000000\r\n\r\n"
        );
        // None of the body is sent, and the deadline for one is far away.
        let mut client = server.connect_tls(&pki.raw_client(None)).await;
        let text = exchange(&mut client, head).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.contains("Connection: close"), "{text}");
    }
    assert_eq!(server.counts().deadlines_missed, 0);
}

#[tokio::test]
async fn attack_a1_a_certificate_does_not_vouch_for_the_address_of_another_machine() {
    let pki = Pki::new();
    let mut server = serve(pki.component("master/m"));
    let leaf = pki.leaf(&["URI:spiffe://test.local/agent/a", "IP:10.0.0.7"]);
    let context = pki.raw_client(Some(&leaf));
    let text = exchange(&mut server.connect_tls(&context).await, raw("slave(1)@10.0.0.8:1")).await;
    assert!(text.starts_with("HTTP/1.1 403 Forbidden"), "{text}");
    // Who has proven who it is may go on.
    assert!(text.contains("GET /after"), "{text}");
    assert!(server.messages.try_recv().is_err());
    // For its own it does, wherever the connection comes from.
    let text = exchange(&mut server.connect_tls(&context).await, raw("slave(1)@10.0.0.7:1")).await;
    assert!(text.starts_with("HTTP/1.1 202 Accepted"), "{text}");
    let message = server.message().await;
    assert_eq!(message.from.identity(), Some(&identity("agent/a")));
    assert_eq!(message.from.upid().to_string(), "slave(1)@10.0.0.7:1");
    assert_eq!(message.peer.identity, Some(identity("agent/a")));
}

#[tokio::test]
async fn attack_a1_one_agent_cannot_speak_from_the_port_of_another_on_the_same_machine() {
    let pki = Pki::new();
    let mut master = serve(pki.component("master/m"));
    let victim = serve(pki.component("agent/victim"));
    // The master holds a link to the victim, which proves who listens there.
    let victim_pid = Upid::new("slave(1)", victim.address);
    let (exits, _events) = tokio::sync::mpsc::channel(1);
    let links = alcazar_transport::messenger::Messenger::new(
        alcazar_transport::messenger::MessengerParts {
            own: master.address,
            security: pki.component("master/m"),
            settings: alcazar_transport::messenger::Settings::default(),
            counters: Arc::clone(&master.counters),
            listeners: Arc::clone(&master.listeners),
            sessions: Arc::default(),
            exits,
        },
    );
    links.link(&victim_pid, Expected::Identity(identity("agent/victim")));
    let linked = async {
        while master.listeners.at(victim.address) != Some(identity("agent/victim")) {
            tokio::task::yield_now().await;
        }
    };
    soon(linked).await;

    let thief = pki.leaf(&["URI:spiffe://test.local/agent/thief", "IP:127.0.0.1"]);
    let mut client = master.connect_tls(&pki.raw_client(Some(&thief))).await;
    let text = exchange(&mut client, raw(&victim_pid.to_string())).await;
    assert!(text.starts_with("HTTP/1.1 403 Forbidden"), "{text}");
    assert!(master.messages.try_recv().is_err());
    assert_eq!(master.counts().messages_dropped_unbound, 1);

    let owner = pki.leaf(&["URI:spiffe://test.local/agent/victim", "IP:127.0.0.1"]);
    let mut client = master.connect_tls(&pki.raw_client(Some(&owner))).await;
    client.write_all(&message_bytes(&victim_pid, &local("master", 1), 1)).await.unwrap();
    assert_eq!(master.message().await.from.upid(), &victim_pid);
}

#[tokio::test]
async fn c10_a_sender_that_is_no_address_is_refused() {
    let mut server = serve(Security::DangerPlaintext);
    for from in ["", "garbage", "@0.0.0.0:0", "master@localhost:5050", "a@127.0.0.1:0"] {
        let text = answers(&server, from).await;
        assert!(text.starts_with("HTTP/1.1 400 Bad Request"), "{from}: {text}");
        assert!(text.contains("Connection: close") && !text.contains("GET /after"), "{text}");
    }
    assert!(server.messages.try_recv().is_err());
    assert_eq!(server.counts().messages_malformed, 5);
}

#[tokio::test]
async fn a_certificate_of_another_authority_fails_the_handshake() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    let leaf = Pki::new().leaf(&["URI:spiffe://test.local/agent/a", "IP:127.0.0.1"]);
    refused_in_the_handshake(&pki, &server, &leaf, 1).await;
}

#[tokio::test]
async fn a_certificate_that_names_no_component_of_this_domain_fails_the_handshake() {
    let pki = Pki::new();
    let server = serve(pki.component("master/m"));
    let cases: &[&[&str]] = &[
        &[],
        &["DNS:agent"],
        &["URI:spiffe://other.local/agent/a"],
        &["URI:spiffe://test.local/agent/a", "URI:spiffe://test.local/master/m"],
        &["URI:https://test.local/agent/a"],
        &["URI:spiffe://test.local/agent"],
        &["URI:spiffe://test.local/nobody/a"],
    ];
    for (n, names) in cases.iter().enumerate() {
        refused_in_the_handshake(&pki, &server, &pki.leaf(names), n as u64 + 1).await;
    }
}

/// In TLS 1.3 a client has finished before the server judges it: it learns of it when it reads.
async fn refused_in_the_handshake(
    pki: &Pki,
    server: &Running,
    leaf: &alcazar_transport::tls::Leaf,
    failures: u64,
) {
    let mut client = server.connect_tls(&pki.raw_client(Some(leaf))).await;
    let _ = client.write_all(raw("slave(1)@127.0.0.1:5051").as_bytes()).await;
    assert_eq!(crate::fixture::read_to_end(&mut client).await, "");
    server.until(|counts| counts.handshake_failures == failures).await;
    assert_eq!(server.counts().messages_received, 0);
    assert_eq!(server.counts().requests, 0);
}

#[tokio::test]
async fn our_own_messages_are_bound_to_our_own_identity() {
    let pki = Pki::new();
    let mut master = serve(pki.component("master/m"));
    let (agent, _) = messenger(local("", 5051).address, pki.component("agent/a"));
    let to = Upid::new("master", master.address);
    agent.send("slave(1)", &to, Expected::Kind(Kind::Master), "n", b"body").unwrap();
    let message = master.message().await;
    assert_eq!(message.from.upid(), &local("slave(1)", 5051));
    assert_eq!(message.from.identity(), Some(&identity("agent/a")));
    assert_eq!((message.to.as_str(), message.name.as_str()), ("master", "n"));
    assert_eq!(&message.body[..], b"body");
    assert!(soon(agent.drain(crate::fixture::PATIENCE)).await);
}

#[tokio::test]
async fn d6_reconnecting_works_with_every_version_of_tls() {
    for (tls12, tls13) in [(true, false), (false, true)] {
        let pki = Pki::new();
        let security = |path: &str| {
            let uri = format!("URI:spiffe://{DOMAIN}/{path}");
            let mut material = pki.material(vec![pki.leaf(&[&uri, "IP:127.0.0.1"])]);
            material.offer.tls12 = tls12;
            material.offer.tls13 = tls13;
            Security::Tls(Arc::new(Contexts::new(&material).unwrap()))
        };
        let mut master = serve(security("master/m"));
        let to = Upid::new("master", master.address);
        let (agent, _) = messenger(local("", 5051).address, security("agent/a"));
        for round in 0..5 {
            // Each relink is a new connection, with a handshake of its own.
            agent.relink(&to, Expected::Kind(Kind::Master));
            let name = format!("n{round}");
            agent.send("slave(1)", &to, Expected::Kind(Kind::Master), &name, b"").unwrap();
            assert_eq!(master.message().await.name, name);
        }
        assert_eq!(master.counts().connections_accepted, 5);
    }
}

#[tokio::test]
async fn replaced_certificates_serve_new_connections_and_leave_old_ones() {
    let pki = Pki::new();
    let uri = |path: &str| format!("URI:spiffe://{DOMAIN}/{path}");
    let contexts =
        Arc::new(Contexts::new(&pki.material(vec![pki.leaf(&[&uri("master/old")])])).unwrap());
    let server = serve(Security::Tls(Arc::clone(&contexts)));
    let context = pki.raw_client(None);
    let mut old = server.connect_tls(&context).await;
    contexts.replace(&pki.material(vec![pki.leaf(&[&uri("master/new")])])).unwrap();
    assert_eq!(contexts.own_identity(), Some(identity("master/new")));
    let new = server.connect_tls(&context).await;
    let presented = |stream: &tokio_openssl::SslStream<tokio::net::TcpStream>| {
        let certificate = stream.ssl().peer_certificate().unwrap();
        let names = certificate.subject_alt_names().unwrap();
        names[0].uri().unwrap().to_owned()
    };
    assert_eq!(presented(&new), "spiffe://test.local/master/new");
    assert_eq!(presented(&old), "spiffe://test.local/master/old");
    old.write_all(b"GET /x HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut old).await.ends_with("GET /x "));

    // What cannot be used changes nothing.
    let mut broken = pki.material(Vec::new());
    broken.roots_pem.clear();
    assert!(contexts.replace(&broken).is_err());
    assert_eq!(contexts.own_identity(), Some(identity("master/new")));
}

#[tokio::test]
async fn compressed_messages_are_inflated_and_bombs_are_refused() {
    use std::io::Write;
    let settings = alcazar_transport::server::Settings {
        limits: libprocess::decode::Limits { body: 100_000, ..Default::default() },
        ..Default::default()
    };
    let echo = crate::fixture::echo();
    let mut server = crate::fixture::serve_with(Security::DangerPlaintext, settings, echo);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let good = gzip(&[7; 100_000]);
    let bomb = gzip(&[7; 100_001]);
    let cut = &good[..good.len() - 1];
    for (body, status) in [(&good[..], "202"), (&bomb, "400"), (cut, "400"), (b"plain", "400")] {
        let head = format!(
            "POST /x/n HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\nContent-Encoding: gzip\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let text = exchange(&mut server.connect().await, request).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    }
    assert_eq!(server.message().await.body, vec![7; 100_000]);
    assert_eq!(server.counts().messages_malformed, 3);
}

#[tokio::test]
async fn a_policy_of_identities_is_carried_out_from_files() {
    use tls_policy::{IdentityRules, MaterialPaths, TlsPolicy};
    let pki = Pki::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let leaf = pki.leaf(&["URI:spiffe://test.local/master/m", "IP:127.0.0.1"]);
    let material = pki.material(vec![leaf.clone()]);
    std::fs::write(path("chain"), &leaf.chain_pem).unwrap();
    std::fs::write(path("key"), &leaf.key_pem[..]).unwrap();
    std::fs::write(path("roots"), &material.roots_pem).unwrap();
    let policy = |roots: &str| {
        let trust_domain = material.trust_domain.clone();
        TlsPolicy::identities(
            MaterialPaths::one(path("chain"), path("key")),
            IdentityRules { trust_bundle: path(roots), trust_domain },
        )
    };
    let mut master = serve(Security::load(&policy("roots")).unwrap());
    let (agent, _exits) = messenger(local("", 5051).address, pki.component("agent/a"));
    let to = Upid::new("master", master.address);
    agent.send("a", &to, Expected::Identity(identity("master/m")), "n", b"").unwrap();
    assert_eq!(master.message().await.name, "n");

    let missing = Security::load(&policy("nowhere")).unwrap_err();
    let missing = std::error::Error::source(&missing).unwrap().to_string();
    assert!(missing.contains("nowhere"), "{missing}");
    std::fs::write(path("roots"), "not PEM").unwrap();
    let empty = Security::load(&policy("roots")).unwrap_err();
    let source = std::error::Error::source(&empty).unwrap().to_string();
    assert!(source.contains("roots"), "{source}");
}
