//! What a server of ours makes of its clients.

use alcazar_transport::tls::Security;
use libprocess::sender::{Binding, PeerFacts};
use openssl::ssl::SslContextBuilder;
use tls_policy::{
    ClientCertificates, Demand, Inbound, MESSAGES, NameCheck, NameSource, PrincipalRule,
    PrincipalRules, TlsRules,
};

use crate::authority::{Authority, DAY, Issued, Wanted, names};
use crate::fixture::{Folder, Ours, facts, file, load, serve};

fn presenting(issued: &Issued) -> impl FnOnce(&mut SslContextBuilder) {
    |builder| {
        builder.set_certificate(&issued.certificate).unwrap();
        builder.set_private_key(&issued.key).unwrap();
        for link in &issued.chain {
            builder.add_extra_chain_cert(link.clone()).unwrap();
        }
    }
}

#[tokio::test]
async fn tls_a_client_without_certificate_passes_the_handshake_and_one_with_a_bad_one_does_not() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let issuer = root.intermediate("issuer");
    let own = root.issue(&names(&["DNS:localhost"]));
    let mut rules = folder.asking(&own, &root, NameCheck::ChainOnly);
    let good = issuer.issue(&names(&["URI:urn:somebody"]));
    let revoked = issuer.issue(&names(&[]));
    let lists = [issuer.revocations(&[&revoked], DAY), root.revocations(&[], DAY)].concat();
    rules.revocation = Some(folder.write("lists.pem", lists));
    for demand in [Demand::Optional, Demand::Required] {
        rules.client_certificates = ClientCertificates::everywhere(demand);
        let server = serve(&rules);
        let mut nobody = server.raw(|_| {}).await.unwrap();
        assert_eq!(facts(&mut nobody).await, "false None");
        let mut somebody = server.raw(presenting(&good)).await.unwrap();
        assert_eq!(facts(&mut somebody).await, "true Some(\"urn:somebody\")");
        let stranger = Authority::root("root").issue(&names(&[]));
        let expired = issuer.issue(&Wanted { until: -10, ..Wanted::default() });
        let early = issuer.issue(&Wanted { from: DAY / 2, ..Wanted::default() });
        let bad = [
            (&stranger, "unknown_authority"),
            (&expired, "expired"),
            (&early, "not_yet_valid"),
            (&revoked, "revoked"),
        ];
        for (issued, reason) in bad {
            // In TLS 1.3 a client has finished before the server judges it.
            if let Ok(mut stream) = server.raw(presenting(issued)).await {
                assert_eq!(facts(&mut stream).await, "", "{reason}");
            }
            server.until(&format!("tls/failures/{reason}"), 1).await;
        }
    }
}

#[tokio::test]
async fn tls_a_certificate_is_asked_for_if_any_door_wants_one() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let own = root.issue(&names(&["DNS:localhost"]));
    let client = root.issue(&names(&["DNS:client"]));
    let mut rules = folder.asking(&own, &root, NameCheck::ChainOnly);
    let mut doors = ClientCertificates::everywhere(Demand::None);
    rules.client_certificates = doors.clone();
    let server = serve(&rules);
    let mut stream = server.raw(presenting(&client)).await.unwrap();
    assert_eq!(facts(&mut stream).await, "false None");
    doors.doors.insert(MESSAGES.to_owned(), Demand::Required);
    rules.client_certificates = doors.clone();
    let security = load(&rules).unwrap();
    assert_eq!(security.client_certificates(), doors);
    let server = serve(&rules);
    let mut stream = server.raw(presenting(&client)).await.unwrap();
    assert_eq!(facts(&mut stream).await, "true Some(\"client\")");
    // Who asks must know whom to believe.
    rules.inbound = folder.rules(Vec::new()).inbound;
    assert!(load(&rules).unwrap_err().to_string().contains("nothing says whose are believed"));
}

#[test]
fn tls_messages_are_bound_as_the_rules_prove_their_senders() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let own = root.issue(&names(&["DNS:localhost"]));
    let address = ([127, 0, 0, 1], 1).into();
    let plain = PeerFacts::plaintext(libprocess::sender::ConnectionId(0), address);
    let encrypted = PeerFacts { encrypted: true, ..plain.clone() };
    let mut rules = folder.asking(&own, &root, NameCheck::ChainOnly);
    for (demand, binding) in [
        (Demand::None, Binding::DangerSourceAddress),
        (Demand::Optional, Binding::DangerSourceAddress),
        (Demand::Required, Binding::AnyCertificate),
    ] {
        rules.client_certificates = ClientCertificates::everywhere(Demand::Optional);
        rules.client_certificates.doors.insert(MESSAGES.to_owned(), demand);
        let security = load(&rules).unwrap();
        assert_eq!(security.binding(&encrypted), binding);
        assert_eq!(security.binding(&plain), Binding::DangerSourceAddress);
    }
    assert_eq!(Security::DangerPlaintext.binding(&plain), Binding::DangerSourceAddress);
}

#[tokio::test]
async fn tls_a_certificate_becomes_a_principal_by_the_rules() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let own = root.issue(&names(&["DNS:localhost"]));
    let rule = |source, pattern: Option<&str>| PrincipalRule {
        source,
        pattern: pattern.map(str::to_owned),
    };
    let issue =
        |common_name, names| root.issue(&Wanted { common_name, names, ..Wanted::default() });
    let all = issue("c", &["URI:spiffe://d/framework/f", "DNS:d.example"]);
    let two = issue("c", &["DNS:d.example", "DNS:e.example"]);
    let only_cn = issue("c", &[]);
    let chosen = PrincipalRules(vec![
        rule(NameSource::Uri, Some("spiffe://d/framework/*")),
        rule(NameSource::Dns, Some("*.example")),
    ]);
    let cases = [
        (PrincipalRules::default(), &all, "true Some(\"spiffe://d/framework/f\")"),
        (PrincipalRules::default(), &only_cn, "true Some(\"c\")"),
        (PrincipalRules::default(), &two, "true None"),
        (chosen.clone(), &all, "true Some(\"f\")"),
        (chosen.clone(), &two, "true None"),
        (chosen, &only_cn, "true None"),
        (PrincipalRules(Vec::new()), &all, "true None"),
    ];
    for (principals, issued, expected) in cases {
        let rules = TlsRules { principals, ..folder.asking(&own, &root, NameCheck::ChainOnly) };
        let server = serve(&rules);
        let mut stream = server.raw(presenting(issued)).await.unwrap();
        assert_eq!(facts(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn tls_the_legacy_scheme_looks_up_the_address_of_a_client() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let own = root.issue(&names(&["DNS:localhost"]));
    let server = serve(&folder.asking(&own, &root, NameCheck::ReverseDns { ip: false }));
    let local = root.issue(&names(&["DNS:localhost"]));
    let mut stream = server.raw(presenting(&local)).await.unwrap();
    assert_eq!(facts(&mut stream).await, "true Some(\"localhost\")");
    let elsewhere = root.issue(&names(&["DNS:elsewhere.example.org", "IP:127.0.0.1"]));
    let mut stream = server.raw(presenting(&elsewhere)).await.unwrap();
    assert_eq!(facts(&mut stream).await, "");
    server.until("tls/failures/name", 1).await;
    let server = serve(&folder.asking(&own, &root, NameCheck::ReverseDns { ip: true }));
    let mut stream = server.raw(presenting(&elsewhere)).await.unwrap();
    assert_eq!(facts(&mut stream).await, "true Some(\"elsewhere.example.org\")");
}

#[tokio::test]
async fn tls_both_ends_of_the_originals_kind_verify_each_other() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let own = root.issue(&names(&["IP:127.0.0.1"]));
    let mut rules = folder.asking(&own, &root, NameCheck::ChainOnly);
    rules.outbound = folder.verifying(&root, NameCheck::Dialled { ip: true }).outbound;
    let server = serve(&rules);
    let client = Ours::new(&rules);
    // No identities: a chain and a name are all that can be proved of a component.
    assert_eq!(client.exchange(&server, None).await, "true Some(\"leaf\")");
    assert_eq!(client.contexts.own_identity(), None);
}

#[tokio::test]
async fn tls_http_1_1_is_chosen_by_alpn_where_it_is_offered_and_missing_it_is_no_error() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let server = folder.server(&root.issue(&names(&["DNS:localhost"])));
    let offers: &[(&[u8], Option<&[u8]>)] = &[
        (b"", None),
        (b"\x08http/1.1", Some(b"http/1.1")),
        (b"\x02h2\x08http/1.1", Some(b"http/1.1")),
        (b"\x02h2", None),
    ];
    for (offered, chosen) in offers {
        let mut stream = server
            .raw(|builder| {
                if !offered.is_empty() {
                    builder.set_alpn_protos(offered).unwrap();
                }
            })
            .await
            .unwrap();
        assert_eq!(stream.ssl().selected_alpn_protocol(), *chosen);
        assert_eq!(facts(&mut stream).await, "false None");
    }
}

#[tokio::test]
async fn tls_changed_files_serve_new_connections_and_broken_ones_change_nothing() {
    use alcazar_transport::tls::Reloaded;
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let first = root.issue(&names(&["DNS:first"]));
    let second = root.issue(&Wanted { until: 3 * DAY, ..names(&["DNS:second"]) });
    let rules = folder.asking(&first, &root, NameCheck::ChainOnly);
    let server = serve(&rules);
    let contexts = &server.contexts;
    let presented = |stream: &tokio_openssl::SslStream<tokio::net::TcpStream>| {
        let certificate = stream.ssl().peer_certificate().unwrap();
        certificate.subject_alt_names().unwrap()[0].dnsname().unwrap().to_owned()
    };
    let mut old = server.raw(|_| {}).await.unwrap();
    let expiry = contexts.first_expiry().unwrap();
    assert_eq!(contexts.reload().unwrap(), Reloaded::Unchanged);

    // Half of a change: a certificate with the key of another.
    folder.write("server.pem", second.chain_pem());
    let error = contexts.reload().unwrap_err();
    assert!(error.to_string().contains("server.pem"), "{error}");
    assert_eq!(presented(&server.raw(|_| {}).await.unwrap()), "first");
    assert_eq!(contexts.first_expiry(), Some(expiry));

    folder.pair("server", &second);
    assert_eq!(contexts.reload().unwrap(), Reloaded::Replaced);
    assert_eq!(presented(&server.raw(|_| {}).await.unwrap()), "second");
    let later = contexts.first_expiry().unwrap().since_epoch() - expiry.since_epoch();
    assert_eq!(later.as_secs() as i64 / DAY, 2);
    assert_eq!(facts(&mut old).await, "false None");

    // Whom we believe changes too.
    let other = Authority::root("other");
    let client = other.issue(&names(&["DNS:client"]));
    if let Ok(mut stream) = server.raw(presenting(&client)).await {
        assert_eq!(facts(&mut stream).await, "");
    }
    folder.write("ca.pem", other.pem());
    assert_eq!(contexts.reload().unwrap(), Reloaded::Replaced);
    let mut stream = server.raw(presenting(&client)).await.unwrap();
    assert_eq!(facts(&mut stream).await, "true Some(\"client\")");
    let Inbound::ClientCertificate(chain, _) = &contexts.rules().inbound else { panic!() };
    assert_eq!(chain.anchors, file(folder.path("ca.pem")));
}
