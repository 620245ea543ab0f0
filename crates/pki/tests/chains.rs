//! What the authority issues, as OpenSSL judges it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::net::UnixStream;
use std::time::Duration;

use alcazar_pki::{
    Authority, DAY, IdentityOfError, IssueError, KeyKind, Leaf, LeafRequest, expires_in,
    identity_of,
};
use model::identity::{Identity, TrustDomain};
use model::time::Timestamp;
use openssl::asn1::{Asn1Object, Asn1Time};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509StoreContext, X509VerifyResult};
use openssl::{stack::Stack, x509::X509PurposeId};

fn now() -> Timestamp {
    Timestamp::new(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap())
}

fn domain(text: &str) -> TrustDomain {
    TrustDomain::new(text).unwrap()
}

fn identity(text: &str) -> Identity {
    text.parse().unwrap()
}

fn request(identity_text: &str) -> LeafRequest {
    LeafRequest {
        dns: vec!["localhost".into(), "node-1.example.org".into()],
        ips: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        ..LeafRequest::new(identity(identity_text), now())
    }
}

fn chain(leaf: &Leaf) -> Vec<X509> {
    X509::stack_from_pem(&leaf.chain_pem).unwrap()
}

fn verify(
    authority: &Authority,
    leaf: &Leaf,
    at: Timestamp,
    purpose: X509PurposeId,
) -> X509VerifyResult {
    let mut roots = X509StoreBuilder::new().unwrap();
    roots.add_cert(X509::from_pem(&authority.trust_bundle_pem().unwrap()).unwrap()).unwrap();
    let mut param = X509VerifyParam::new().unwrap();
    param.set_time(at.since_epoch().as_secs().try_into().unwrap());
    param.set_purpose(purpose).unwrap();
    roots.set_param(&param).unwrap();
    let mut certificates = chain(leaf).into_iter();
    let end = certificates.next().unwrap();
    let mut above = Stack::new().unwrap();
    for certificate in certificates {
        above.push(certificate).unwrap();
    }
    let mut context = X509StoreContext::new().unwrap();
    context
        .init(&roots.build(), &end, &above, |c| {
            c.verify_cert()?;
            Ok(c.error())
        })
        .unwrap()
}

fn context(authority: &Authority, leaf: Option<&Leaf>, versions: Option<SslVersion>) -> SslContext {
    let mut builder = SslContextBuilder::new(SslMethod::tls()).unwrap();
    let root = X509::from_pem(&authority.trust_bundle_pem().unwrap()).unwrap();
    builder.cert_store_mut().add_cert(root).unwrap();
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    builder.set_max_proto_version(versions).unwrap();
    if let Some(leaf) = leaf {
        let certificates = chain(leaf);
        builder.set_certificate(&certificates[0]).unwrap();
        for certificate in &certificates[1..] {
            builder.add_extra_chain_cert(certificate.clone()).unwrap();
        }
        let key = PKey::private_key_from_pem(leaf.key_pem.expose_secret()).unwrap();
        builder.set_private_key(&key).unwrap();
        builder.check_private_key().unwrap();
    }
    builder.build()
}

/// The identities that server and client see of each other; `None` where the handshake failed.
fn handshake(server: &SslContext, client: &SslContext) -> (Option<Identity>, Option<Identity>) {
    let (near, far) = UnixStream::pair().unwrap();
    let seen = |stream: SslStream<UnixStream>| {
        identity_of(&stream.ssl().peer_certificate().unwrap().to_der().unwrap()).ok()
    };
    let server = Ssl::new(server).unwrap();
    let accepting = std::thread::spawn(move || {
        let mut stream = server.accept(near).ok()?;
        // In TLS 1.3 a client learns only now whether its certificate was taken.
        stream.ssl_write(b"x").ok()?;
        seen(stream)
    });
    let connect = || {
        let mut stream = Ssl::new(client).unwrap().connect(far).ok()?;
        stream.ssl_read(&mut [0]).ok()?;
        seen(stream)
    };
    let client_sees = connect();
    (accepting.join().unwrap(), client_sees)
}

#[test]
fn two_leaves_of_one_authority_prove_themselves_to_each_other() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    for key in [KeyKind::EcdsaP256, KeyKind::Rsa3072] {
        let of_kind = |text| authority.issue(&LeafRequest { key, ..request(text) }).unwrap();
        let master = of_kind("spiffe://d1/master/m");
        let agent = of_kind("spiffe://d1/agent/a");
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let server = context(&authority, Some(&master), Some(version));
            let client = context(&authority, Some(&agent), Some(version));
            let (server_sees, client_sees) = handshake(&server, &client);
            assert_eq!(server_sees, Some(identity("spiffe://d1/agent/a")), "{key:?} {version:?}");
            assert_eq!(client_sees, Some(identity("spiffe://d1/master/m")), "{key:?} {version:?}");
        }
    }
}

#[test]
fn a_leaf_of_another_authority_of_the_same_domain_proves_nothing() {
    let ours = Authority::create(domain("d1"), now()).unwrap();
    let theirs = Authority::create(domain("d1"), now()).unwrap();
    let master = ours.issue(&request("spiffe://d1/master/m")).unwrap();
    let agent = theirs.issue(&request("spiffe://d1/agent/a")).unwrap();
    let server = context(&ours, Some(&master), None);
    let (server_sees, client_sees) = handshake(&server, &context(&ours, Some(&agent), None));
    assert_eq!(server_sees, None);
    assert_eq!(client_sees, None);
    let (server_sees, client_sees) = handshake(&server, &context(&ours, None, None));
    assert_eq!((server_sees, client_sees), (None, None));
    assert_eq!(verify(&theirs, &agent, now(), X509PurposeId::SSL_CLIENT), X509VerifyResult::OK);
}

#[test]
fn an_identity_of_another_trust_domain_is_not_certified() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let error = authority.issue(&request("spiffe://d2/agent/a")).unwrap_err();
    assert!(matches!(error, IssueError::OtherTrustDomain { .. }), "{error}");
}

#[test]
fn a_leaf_says_who_where_and_what_for_and_no_more() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let leaf = authority.issue(&request("spiffe://d1/master/m")).unwrap();
    let certificates = chain(&leaf);
    assert_eq!(certificates.len(), 2, "leaf and intermediate, without the root");
    let certificate = &certificates[0];
    let names = certificate.subject_alt_names().unwrap();
    let uris: Vec<_> = names.iter().filter_map(|n| n.uri()).collect();
    assert_eq!(uris, ["spiffe://d1/master/m"]);
    let dns: Vec<_> = names.iter().filter_map(|n| n.dnsname()).collect();
    assert_eq!(dns, ["localhost", "node-1.example.org"]);
    let ips: Vec<_> = names.iter().filter_map(|n| n.ipaddress()).collect();
    assert_eq!(ips, [&[127, 0, 0, 1][..], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]);
    assert_eq!(
        identity_of(&certificate.to_der().unwrap()).unwrap(),
        identity("spiffe://d1/master/m")
    );

    let text = String::from_utf8(certificate.to_text().unwrap()).unwrap();
    for expected in [
        "CA:FALSE",
        "Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "ecdsa-with-SHA256",
        "prime256v1",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let serial = certificate.serial_number().to_bn().unwrap();
    assert!((96..=128).contains(&serial.num_bits()), "128 random bits, not {serial}");
    let other = authority.issue(&request("spiffe://d1/master/m")).unwrap();
    assert_ne!(chain(&other)[0].serial_number().to_bn().unwrap(), serial);
    assert_ne!(other.key_pem.expose_secret(), leaf.key_pem.expose_secret());
}

#[test]
fn the_authorities_certificates_are_limited_to_signing() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let leaf = authority.issue(&request("spiffe://d1/master/m")).unwrap();
    let intermediate = chain(&leaf).remove(1);
    let root = X509::from_pem(&authority.trust_bundle_pem().unwrap()).unwrap();
    for (certificate, path_length) in [(&root, "pathlen:1"), (&intermediate, "pathlen:0")] {
        let text = String::from_utf8(certificate.to_text().unwrap()).unwrap();
        for expected in [
            "X509v3 Basic Constraints: critical",
            "CA:TRUE",
            path_length,
            "X509v3 Key Usage: critical",
            "Certificate Sign, CRL Sign\n",
            "X509v3 Subject Key Identifier",
            "URI:spiffe://d1\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        // What signs cannot be mistaken for a component.
        assert!(identity_of(&certificate.to_der().unwrap()).is_err());
    }
    let name = |certificate: &X509| {
        let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next().unwrap();
        entry.data().to_string().unwrap()
    };
    let another = Authority::create(domain("d1"), now()).unwrap();
    let another = X509::from_pem(&another.trust_bundle_pem().unwrap()).unwrap();
    assert_ne!(name(&root), name(&another), "issuers are looked up by name");
}

#[test]
fn a_leaf_is_valid_for_ninety_days_and_from_a_little_earlier() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let leaf = authority.issue(&request("spiffe://d1/agent/a")).unwrap();
    let at = |offset: i64| {
        let seconds = i64::try_from(now().since_epoch().as_secs()).unwrap() + offset;
        let at = Timestamp::new(Duration::from_secs(seconds.try_into().unwrap()));
        verify(&authority, &leaf, at, X509PurposeId::SSL_SERVER)
    };
    let day = i64::try_from(DAY.as_secs()).unwrap();
    assert_eq!(at(0), X509VerifyResult::OK);
    assert_eq!(at(-120), X509VerifyResult::OK, "clocks differ");
    assert_ne!(at(-3600), X509VerifyResult::OK);
    assert_eq!(at(90 * day - 60), X509VerifyResult::OK);
    assert_ne!(at(90 * day + 60), X509VerifyResult::OK);
    let left = expires_in(&leaf.chain_pem, now()).unwrap();
    assert!(left > 89 * DAY && left <= 90 * DAY, "{left:?}");
    assert!(expires_in(&leaf.chain_pem, leaf.not_after).unwrap().is_zero());
}

#[test]
fn nothing_outlives_the_certificate_above_it() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let long = LeafRequest { lifetime: 5000 * DAY, ..request("spiffe://d1/agent/a") };
    let leaf = authority.issue(&long).unwrap();
    let certificates = chain(&leaf);
    assert!(certificates[0].not_after() <= certificates[1].not_after());
    assert!(certificates[0].not_before() >= certificates[1].not_before());
    let root = X509::from_pem(&authority.trust_bundle_pem().unwrap()).unwrap();
    assert!(certificates[1].not_after() <= root.not_after());
    let none = LeafRequest { lifetime: Duration::ZERO, ..request("spiffe://d1/agent/a") };
    assert!(matches!(authority.issue(&none), Err(IssueError::Lifetime)));
}

#[test]
fn names_that_are_no_host_names_are_refused() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    for bad in ["", "*.example.org", "a,URI:spiffe://d1/master/m", "a b", "a..b", "ä.org", "a\0b"]
    {
        let request = LeafRequest { dns: vec![bad.into()], ..request("spiffe://d1/agent/a") };
        assert!(matches!(authority.issue(&request), Err(IssueError::HostName(_))), "{bad:?}");
    }
}

#[test]
fn a_long_name_is_cut_in_the_subject_and_whole_in_the_identity() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let name = format!("spiffe://d1/agent/{}", "n".repeat(255));
    let leaf = authority.issue(&request(&name)).unwrap();
    assert_eq!(identity_of(&chain(&leaf)[0].to_der().unwrap()).unwrap(), identity(&name));
}

#[test]
fn a_certificate_names_one_identity_or_none() {
    let with = |fill: &dyn Fn(&mut SubjectAlternativeName)| {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_pubkey(&key).unwrap();
        let moment = Asn1Time::from_unix(0).unwrap();
        builder.set_not_before(&moment).unwrap();
        builder.set_not_after(&moment).unwrap();
        let mut names = SubjectAlternativeName::new();
        fill(&mut names);
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        identity_of(&builder.build().to_der().unwrap())
    };
    let (one, two) = ("spiffe://d1/agent/a", "spiffe://d1/master/m");
    assert_eq!(
        with(&|n| {
            n.uri(one).dns("x").ip("10.0.0.1").email("a@b");
        })
        .unwrap(),
        identity(one)
    );
    assert!(matches!(
        with(&|n| {
            n.dns("x");
        }),
        Err(IdentityOfError::None)
    ));
    assert!(matches!(
        with(&|n| {
            n.uri(one).uri(two);
        }),
        Err(IdentityOfError::Several(2))
    ));
    assert!(matches!(
        with(&|n| {
            n.uri(one).uri("https://x");
        }),
        Err(IdentityOfError::Several(2))
    ));
    assert!(matches!(
        with(&|n| {
            n.uri("https://x/");
        }),
        Err(IdentityOfError::Identity(_))
    ));
    assert!(matches!(
        with(&|n| {
            n.uri(one).other_name2(Asn1Object::from_str("1.2.3.4").unwrap(), b"\x0c\x01x");
        }),
        Err(IdentityOfError::UnreadableName)
    ));
    assert!(matches!(identity_of(b"not DER"), Err(IdentityOfError::Malformed(_))));
}

#[test]
fn keys_do_not_print() {
    let authority = Authority::create(domain("d1"), now()).unwrap();
    let leaf = authority.issue(&request("spiffe://d1/agent/a")).unwrap();
    for printed in [format!("{leaf:?}"), format!("{authority:?}"), format!("{:?}", leaf.key_pem)] {
        assert!(!printed.contains("PRIVATE"), "{printed}");
        assert!(!printed.contains(&format!("{:?}", leaf.key_pem.expose_secret())), "{printed}");
    }
}
