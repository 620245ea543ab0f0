//! What is spoken: versions, suites, groups, and which certificate is presented.

use openssl::ssl::{SslContextBuilder, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use tls_policy::{Suites, Versions};

use crate::authority::{Authority, Wanted, names};
use crate::fixture::{Folder, Running, facts, load, serve};

fn versions(builder: &mut SslContextBuilder, only: SslVersion) {
    builder.set_security_level(0);
    builder.set_min_proto_version(Some(only)).unwrap();
    builder.set_max_proto_version(Some(only)).unwrap();
}

/// A server with an ECDSA and an RSA certificate, each of an issuer of its own.
fn both(folder: &Folder, roots: &Authority) -> Running {
    let local = names(&["DNS:localhost"]);
    let ecdsa = roots.intermediate("issuer of ECDSA").issue(&local);
    let rsa = roots.intermediate("issuer of RSA").issue(&Wanted { rsa: true, ..local });
    serve(&folder.rules(vec![folder.pair("ecdsa", &ecdsa), folder.pair("rsa", &rsa)]))
}

#[tokio::test]
async fn d1_tls_a_stock_client_and_an_ecdsa_only_client_use_one_port() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let server = both(&folder, &root);
    let believing = |builder: &mut SslContextBuilder| {
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(root.certificate.clone()).unwrap();
        builder.set_cert_store(store.build());
        builder.set_verify(SslVerifyMode::PEER);
    };
    let cases = [
        ("AES128-SHA", "AES128-SHA"),
        ("AES256-SHA", "AES256-SHA"),
        ("AES128-SHA:AES256-SHA:RC4-SHA:DHE-RSA-AES128-SHA", "AES128-SHA"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ];
    for (offered, chosen) in cases {
        let mut stream = server
            .raw(|builder| {
                believing(builder);
                versions(builder, SslVersion::TLS1_2);
                builder.set_cipher_list(offered).unwrap();
            })
            .await
            .unwrap();
        assert_eq!(stream.ssl().current_cipher().unwrap().name(), chosen, "{offered}");
        // The chain of this leaf, and not that of the other.
        assert_eq!(stream.ssl().peer_cert_chain().unwrap().len(), 2);
        assert_eq!(facts(&mut stream).await, "false None");
        assert!(server.count(&format!("tls/suites/{chosen}")) > 0);
    }
    // With TLS 1.3 either.
    for algorithms in ["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"] {
        let stream = server
            .raw(|builder| {
                believing(builder);
                versions(builder, SslVersion::TLS1_3);
                builder.set_sigalgs_list(&format!("{algorithms}:ecdsa_secp384r1_sha384")).unwrap();
            })
            .await;
        assert!(stream.is_ok(), "{algorithms}: {stream:?}");
    }
    assert_eq!(server.count("tls/handshakes/TLSv1.2"), 6);
    server.until("tls/handshakes/TLSv1.3", 2).await;
    assert_eq!((server.count("tls/groups/none"), server.count("tls/groups/ECDHE")), (3, 3));
}

#[tokio::test]
async fn tls_versions_are_spoken_exactly_if_they_are_on() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let rsa = root.issue(&Wanted { rsa: true, ..names(&["DNS:localhost"]) });
    let pair = folder.pair("server", &rsa);
    let all = [
        (SslVersion::TLS1, "TLSv1"),
        (SslVersion::TLS1_1, "TLSv1.1"),
        (SslVersion::TLS1_2, "TLSv1.2"),
        (SslVersion::TLS1_3, "TLSv1.3"),
    ];
    for mask in 1_u8..16 {
        let on = |bit: u8| mask & (1 << bit) != 0;
        let mut rules = folder.rules(vec![pair.clone()]);
        rules.versions = Versions { tls10: on(0), tls11: on(1), tls12: on(2), tls13: on(3) };
        let server = serve(&rules);
        let lowered = server.contexts.notices().iter().any(|n| n.to_string().contains("lowered"));
        assert_eq!(lowered, on(0) || on(1));
        for (bit, (version, name)) in (0..).zip(all) {
            let outcome = server.raw(|builder| versions(builder, version)).await;
            assert_eq!(outcome.is_ok(), on(bit), "{mask:04b} {name}: {outcome:?}");
            if let Ok(mut stream) = outcome {
                assert_eq!(facts(&mut stream).await, "false None");
                assert_eq!(server.count(&format!("tls/handshakes/{name}")), 1);
            } else {
                let refused =
                    4 - mask.count_ones() - (0..4).filter(|b| *b > bit && !on(*b)).count() as u32;
                server.until("tls/failures/version", u64::from(refused)).await;
            }
        }
    }
}

#[tokio::test]
async fn tls_old_versions_work_with_ecdsa_certificates_too() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let mut rules = folder.rules(vec![folder.pair("server", &root.issue(&names(&[])))]);
    rules.versions = Versions { tls10: true, tls11: true, tls12: true, tls13: true };
    rules.suites = Suites::Named("ECDHE-ECDSA-AES128-SHA".to_owned());
    let server = serve(&rules);
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let mut stream = server.raw(|builder| versions(builder, version)).await.unwrap();
        assert_eq!(facts(&mut stream).await, "false None");
    }
}

#[tokio::test]
async fn tls_suites_that_the_library_does_not_have_are_named_and_the_rest_is_offered() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let rsa = root.issue(&Wanted { rsa: true, ..names(&["DNS:localhost"]) });
    let mut rules = folder.rules(vec![folder.pair("server", &rsa)]);
    // What the original documents as its default.
    rules.suites = Suites::Named(
        "AES128-SHA:AES256-SHA:RC4-SHA:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA:\
         DHE-RSA-AES256-SHA:DHE-DSS-AES256-SHA"
            .to_owned(),
    );
    rules.versions.tls13 = false;
    let server = serve(&rules);
    let notices: Vec<_> = server.contexts.notices().iter().map(ToString::to_string).collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("RC4-SHA"), "{notices:?}");
    assert!(!notices[0].contains("AES"), "{notices:?}");
    let stream = server.raw(|_| {}).await.unwrap();
    assert_eq!(stream.ssl().current_cipher().unwrap().name(), "AES128-SHA");
    let modern = |b: &mut SslContextBuilder| b.set_cipher_list("ECDHE+AESGCM").unwrap();
    server.raw(modern).await.unwrap_err();
    server.until("tls/failures/no_shared_suite", 1).await;

    rules.suites = Suites::Named("RC4-SHA:NO-SUCH-SUITE".to_owned());
    let error = load(&rules).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("none of the cipher suites"), "{source}");
}

#[tokio::test]
async fn tls_groups_are_hybrid_first_then_x25519_then_the_curves_of_the_policy() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let issued = root.issue(&names(&[]));
    let mut rules = folder.rules(vec![folder.pair("server", &issued)]);
    let server = serve(&rules);
    let hybrid = {
        let mut probe = SslContextBuilder::new(openssl::ssl::SslMethod::tls()).unwrap();
        probe.set_groups_list("X25519MLKEM768").is_ok()
    };
    let cases: &[(&str, &str)] =
        &[("X25519", "X25519"), ("P-256", "P-256"), ("P-384", "P-384"), ("P-256:X25519", "X25519")];
    for (n, (offered, chosen)) in cases.iter().enumerate() {
        server.raw(|builder| builder.set_groups_list(offered).unwrap()).await.unwrap();
        server.until("tls/handshakes/TLSv1.3", n as u64 + 1).await;
        let all: Vec<_> = server.contexts.counters().entries();
        assert!(server.count(&format!("tls/groups/{chosen}")) > 0, "{offered}: {all:?}");
    }
    if hybrid {
        let offer = "P-256:X25519:X25519MLKEM768";
        server.raw(|builder| builder.set_groups_list(offer).unwrap()).await.unwrap();
        server.until("tls/groups/hybrid", 1).await;
    }
    // Named ones, of which the library does not have all.
    rules.groups = Some("no-such-curve:secp384r1".to_owned());
    let server = serve(&rules);
    assert!(server.contexts.notices()[0].to_string().contains("no-such-curve"));
    server.raw(|_| {}).await.unwrap();
    server.until("tls/groups/P-384", 1).await;
    rules.groups = Some("no-such-curve".to_owned());
    load(&rules).unwrap_err();
}
