//! From settings to policy: one test for each implication.

use alcazar_tls_policy::{
    ChainRules, CryptoSupport, DangerAccepted, IdentityRules, Inbound, MaterialPaths, NameCheck,
    Naming, Notice, Outbound, PlaintextPeers, PolicyError, Suites, TlsPolicy, TlsRules,
    TlsSettings, TrustAnchors, Version, Versions, WhyPlaintext, resolve,
};
use model::identity::TrustDomain;

use super::{errors, rules, settings, weakened_by, with};

#[test]
fn silence_is_plaintext_and_says_so() {
    let resolved = resolve(&settings(Naming::Mesos, &[]), &CryptoSupport::EVERYTHING).unwrap();
    assert!(matches!(resolved.policy, TlsPolicy::Plaintext(WhyPlaintext::NotEnabled(_))));
    assert!(matches!(&resolved.notices[..], [Notice::Weak { .. }]));
    assert_eq!(resolved.policy.trust_domain(), None);
}

#[test]
fn under_our_own_names_silence_protects_or_refuses() {
    let silent = resolve(&TlsSettings::silent(Naming::Alcazar), &CryptoSupport::EVERYTHING);
    assert!(matches!(&errors(silent)[..], [PolicyError::Unprotected { .. }]));
    let unverified = errors(with(Naming::Alcazar, &[]));
    assert_eq!(unverified.len(), 2, "{unverified:?}");
    let servers = errors(with(Naming::Alcazar, &[("VERIFY_SERVER_CERT", "1")]));
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert!(with(Naming::Alcazar, &[("REQUIRE_CLIENT_CERT", "1")]).is_ok());
}

#[test]
fn verification_without_encryption_is_refused() {
    for name in ["REQUIRE_CERT", "REQUIRE_CLIENT_CERT", "VERIFY_CERT", "VERIFY_SERVER_CERT"] {
        let settings = settings(Naming::Mesos, &[(name, "true")]);
        for support in [
            CryptoSupport::EVERYTHING,
            CryptoSupport { server_chains: false, ..CryptoSupport::EVERYTHING },
        ] {
            let errors = errors(resolve(&settings, &support));
            assert!(
                matches!(&errors[..], [PolicyError::Contradiction { variable, .. }]
                    if variable.ends_with(name)),
                "{errors:?}"
            );
        }
    }
}

#[test]
fn encryption_needs_a_certificate_and_a_key() {
    let settings = settings(Naming::Mesos, &[("ENABLED", "true")]);
    let errors = errors(resolve(&settings, &CryptoSupport::EVERYTHING));
    assert_eq!(
        errors,
        [
            PolicyError::Missing { variable: "LIBPROCESS_SSL_KEY_FILE" },
            PolicyError::Missing { variable: "LIBPROCESS_SSL_CERT_FILE" },
        ]
    );
}

#[test]
fn encryption_alone_verifies_nobody_and_says_so() {
    let resolved = with(Naming::Mesos, &[]).unwrap();
    let rules = resolved.policy.rules().unwrap();
    assert!(matches!(rules.inbound, Inbound::AnyClient(_)));
    assert!(matches!(rules.outbound, Outbound::Unverified(_)));
    assert_eq!(rules.plaintext_peers, PlaintextPeers::Refused);
    assert_eq!(rules.materials, MaterialPaths::one("/c", "/k"));
    let weak = resolved.notices.iter().filter(|n| matches!(n, Notice::Weak { .. })).count();
    assert_eq!(weak, 2, "{:?}", resolved.notices);
}

#[test]
fn a_required_client_certificate_implies_that_servers_are_verified() {
    for value in ["false", "true"] {
        let resolved =
            with(Naming::Mesos, &[("REQUIRE_CLIENT_CERT", "1"), ("VERIFY_SERVER_CERT", value)]);
        let resolved = resolved.unwrap();
        let rules = resolved.policy.rules().unwrap();
        assert!(matches!(rules.outbound, Outbound::Verified(..)), "{value}");
        assert!(matches!(rules.inbound, Inbound::ClientCertificate(..)), "{value}");
        let implied = resolved.notices.iter().any(|n| matches!(n, Notice::Implied { .. }));
        assert_eq!(implied, value == "false");
    }
}

#[test]
fn the_old_names_turn_on_what_the_new_ones_turn_off() {
    let resolved =
        with(Naming::Mesos, &[("VERIFY_CERT", "1"), ("VERIFY_SERVER_CERT", "0")]).unwrap();
    assert!(matches!(resolved.policy.rules().unwrap().outbound, Outbound::Verified(..)));
    assert!(resolved.notices.iter().any(|n| matches!(n, Notice::Deprecated { variable, .. }
        if variable == "LIBPROCESS_SSL_VERIFY_CERT")));
    let rules = rules(&[("REQUIRE_CERT", "1"), ("REQUIRE_CLIENT_CERT", "0")]);
    assert!(matches!(rules.inbound, Inbound::ClientCertificate(..)));
}

#[test]
fn the_scheme_decides_which_names_are_checked() {
    let check = |variables: &[(&str, &str)]| {
        let mut all = vec![("REQUIRE_CLIENT_CERT", "1")];
        all.extend(variables);
        match rules(&all) {
            TlsRules {
                inbound: Inbound::ClientCertificate(_, inbound),
                outbound: Outbound::Verified(_, outbound),
                ..
            } => (inbound, outbound),
            other => panic!("{other:?}"),
        }
    };
    let legacy = NameCheck::ReverseDns { ip: false };
    assert_eq!(check(&[]), (legacy, legacy));
    let legacy = NameCheck::ReverseDns { ip: true };
    assert_eq!(
        check(&[("VERIFY_IPADD", "1"), ("HOSTNAME_VALIDATION_SCHEME", "legacy")]),
        (legacy, legacy)
    );
    let openssl = ("HOSTNAME_VALIDATION_SCHEME", "openssl");
    assert_eq!(check(&[openssl]), (NameCheck::ChainOnly, NameCheck::Dialled { ip: false }));
    assert_eq!(
        check(&[openssl, ("VERIFY_IPADD", "1")]),
        (NameCheck::ChainOnly, NameCheck::Dialled { ip: true })
    );
    let unknown = with(Naming::Mesos, &[("HOSTNAME_VALIDATION_SCHEME", "dns")]);
    assert!(matches!(&errors(unknown)[..], [PolicyError::Value { .. }]));
}

#[test]
fn roots_come_from_files_or_from_the_system() {
    let chain = |variables: &[(&str, &str)]| {
        let mut all = vec![("VERIFY_SERVER_CERT", "1")];
        all.extend(variables);
        match rules(&all).outbound {
            Outbound::Verified(chain, _) => chain,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(chain(&[]), ChainRules { anchors: TrustAnchors::System, depth: 4 });
    assert_eq!(
        chain(&[("CA_FILE", "/f"), ("VERIFICATION_DEPTH", "1")]),
        ChainRules {
            anchors: TrustAnchors::Files { file: Some("/f".into()), dir: None },
            depth: 1
        }
    );
    assert_eq!(
        chain(&[("CA_DIR", "/d"), ("VERIFICATION_DEPTH", "4294967295")]),
        ChainRules {
            anchors: TrustAnchors::Files { file: None, dir: Some("/d".into()) },
            depth: 2_147_483_647
        }
    );
}

#[test]
fn new_versions_are_offered_unless_told_not_to_and_old_ones_when_told_to() {
    let versions = |variables: &[(&str, &str)]| rules(variables).versions;
    let usual = Versions { tls10: false, tls11: false, tls12: true, tls13: true };
    assert_eq!(versions(&[]), usual);
    assert_eq!(versions(&[("ENABLE_TLS_V1_3", "false")]), Versions { tls13: false, ..usual });
    assert_eq!(versions(&[("ENABLE_TLS_V1_2", "false")]), Versions { tls12: false, ..usual });
    let none = [("ENABLE_TLS_V1_2", "false"), ("ENABLE_TLS_V1_3", "false")];
    assert_eq!(errors(with(Naming::Mesos, &none)), [PolicyError::NoVersion]);
    for (old, expected) in [
        ("ENABLE_TLS_V1_0", Versions { tls10: true, ..usual }),
        ("ENABLE_TLS_V1_1", Versions { tls11: true, ..usual }),
    ] {
        let resolved = with(Naming::Mesos, &[(old, "true")]).unwrap();
        let rules = resolved.policy.rules().unwrap();
        assert_eq!(rules.versions, expected);
        assert_eq!(rules.suites, Suites::Obsolete, "the old versions can use no other suites");
        let name = format!("LIBPROCESS_SSL_{old}");
        assert!(weakened_by(&resolved, &name), "{:?}", resolved.notices);
        let alone = [(old, "true"), none[0], none[1]];
        let alone = with(Naming::Mesos, &alone).unwrap();
        assert!(!alone.policy.rules().unwrap().versions.tls12);
    }
    let library = CryptoSupport {
        oldest: Version::Tls12,
        newest: Version::Tls12,
        ..CryptoSupport::EVERYTHING
    };
    let mut all = vec![("ENABLED", "1"), ("CERT_FILE", "/c"), ("KEY_FILE", "/k")];
    all.extend([("ENABLE_TLS_V1_2", "0"), ("ENABLE_TLS_V1_0", "1")]);
    let settings = settings(Naming::Mesos, &all);
    assert_eq!(errors(resolve(&settings, &library)), [PolicyError::NoVersion]);
}

#[test]
fn ssl_3_is_a_notice_and_changes_nothing() {
    let resolved = with(Naming::Mesos, &[("ENABLE_SSL_V3", "true")]).unwrap();
    assert_eq!(resolved.policy, with(Naming::Mesos, &[]).unwrap().policy);
    let name = "LIBPROCESS_SSL_ENABLE_SSL_V3";
    assert!(
        resolved
            .notices
            .iter()
            .any(|n| matches!(n, Notice::Ignored { variable, .. } if variable == name))
    );
}

#[test]
fn suites_are_compatible_under_the_originals_names_and_modern_under_ours() {
    assert_eq!(rules(&[]).suites, Suites::Compatible);
    let ours = with(Naming::Alcazar, &[("REQUIRE_CLIENT_CERT", "1")]).unwrap();
    assert_eq!(ours.policy.rules().unwrap().suites, Suites::Modern);
    let compatible = Suites::Compatible;
    let order: Vec<_> = compatible.openssl_string().split(':').collect();
    assert!(order.ends_with(&["AES128-SHA", "AES256-SHA"]), "what a stock peer speaks, last");
    assert!(!Suites::Modern.openssl_string().split(':').any(|s| s.ends_with("-SHA")));
    let named = with(Naming::Mesos, &[("CIPHERS", "ECDHE-RSA-AES128-GCM-SHA256")]).unwrap();
    let expected = Suites::Named("ECDHE-RSA-AES128-GCM-SHA256".into());
    assert_eq!(named.policy.rules().unwrap().suites, expected);
    assert!(matches!(
        &errors(with(Naming::Mesos, &[("CIPHERS", " ")]))[..],
        [PolicyError::NoSuite { .. }]
    ));
    let weak = |string: &str| {
        let danger = DangerAccepted::asked_by("LIBPROCESS_SSL_CIPHERS");
        let resolved = with(Naming::Mesos, &[("CIPHERS", string)]).unwrap();
        resolved.notices.iter().any(|n| matches!(n, Notice::Weak { danger: d, .. } if *d == danger))
    };
    assert!(weak("HIGH:aNULL") && weak("eNULL") && weak("ADH-AES128-SHA"));
    assert!(!weak("HIGH:!aNULL:!eNULL") && !weak("AES128-SHA"));
}

#[test]
fn groups_are_the_librarys_unless_named() {
    assert_eq!(rules(&[]).groups, None);
    assert_eq!(rules(&[("ECDH_CURVES", "auto")]).groups, None);
    assert_eq!(rules(&[("ECDH_CURVES", "X25519:P-256")]).groups.unwrap(), "X25519:P-256");
}

#[test]
fn verification_and_downgrade_contradict_each_other() {
    let pair = [("SUPPORT_DOWNGRADE", "1"), ("REQUIRE_CLIENT_CERT", "1")];
    let ours = errors(with(Naming::Alcazar, &pair));
    assert!(matches!(&ours[..], [PolicyError::Contradiction { .. }]), "{ours:?}");
    let theirs = with(Naming::Mesos, &pair).unwrap();
    let danger = DangerAccepted::asked_by("LIBPROCESS_SSL_SUPPORT_DOWNGRADE");
    assert_eq!(
        theirs.policy.rules().unwrap().plaintext_peers,
        PlaintextPeers::Accepted(danger.clone())
    );
    assert!(
        theirs.notices.iter().any(|n| matches!(n, Notice::Weak { danger: d, .. } if *d == danger))
    );
    // What cannot be weakened stays as it is.
    let support = CryptoSupport { downgrade: false, ..CryptoSupport::EVERYTHING };
    let settings = settings(
        Naming::Mesos,
        &[("ENABLED", "1"), ("CERT_FILE", "/c"), ("KEY_FILE", "/k"), ("SUPPORT_DOWNGRADE", "1")],
    );
    let resolved = resolve(&settings, &support).unwrap();
    assert_eq!(resolved.policy.rules().unwrap().plaintext_peers, PlaintextPeers::Refused);
}

#[test]
fn what_restricts_and_cannot_be_honoured_is_refused_by_name() {
    let only = |change: fn(&mut CryptoSupport)| {
        let mut support = CryptoSupport::EVERYTHING;
        change(&mut support);
        support
    };
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, CryptoSupport, Variables<'_>); 6] = [
        ("ENABLED", only(|s| s.unidentified_peers = false), &[]),
        (
            "REQUIRE_CLIENT_CERT",
            only(|s| s.required_client_certificates = false),
            &[("REQUIRE_CLIENT_CERT", "1")],
        ),
        ("REQUIRE_CERT", only(|s| s.server_chains = false), &[("REQUIRE_CERT", "1")]),
        ("VERIFY_SERVER_CERT", only(|s| s.server_chains = false), &[("VERIFY_SERVER_CERT", "1")]),
        (
            "HOSTNAME_VALIDATION_SCHEME",
            only(|s| s.reverse_dns_names = false),
            &[("VERIFY_SERVER_CERT", "1")],
        ),
        (
            "HOSTNAME_VALIDATION_SCHEME",
            only(|s| s.dialled_names = false),
            &[("VERIFY_SERVER_CERT", "1"), ("HOSTNAME_VALIDATION_SCHEME", "openssl")],
        ),
    ];
    for (name, support, variables) in cases {
        let mut all = vec![("ENABLED", "true"), ("CERT_FILE", "/c"), ("KEY_FILE", "/k")];
        all.extend(variables);
        let errors = errors(resolve(&settings(Naming::Mesos, &all), &support));
        let expected = format!("LIBPROCESS_SSL_{name}");
        assert!(
            matches!(&errors[..], [PolicyError::NotHonoured { variable, .. }] if *variable == expected),
            "{name}: {errors:?}"
        );
    }
}

#[test]
fn our_own_commands_prove_identities_both_ways() {
    let identity = IdentityRules {
        trust_bundle: "/roots".into(),
        trust_domain: TrustDomain::new("d1").unwrap(),
    };
    let policy = TlsPolicy::identities(MaterialPaths::one("/c", "/k"), identity.clone());
    assert_eq!(policy.trust_domain(), Some(&identity.trust_domain));
    let rules = policy.rules().unwrap();
    assert_eq!(rules.inbound, Inbound::ComponentIdentity(identity.clone()));
    assert_eq!(rules.outbound, Outbound::ComponentIdentity(identity));
    assert_eq!(rules.plaintext_peers, PlaintextPeers::Refused);
    assert_eq!(rules.suites, Suites::Modern);
    let (plaintext, notice) =
        TlsPolicy::danger_plaintext(DangerAccepted::asked_by("--danger-plaintext"));
    assert!(matches!(plaintext, TlsPolicy::Plaintext(WhyPlaintext::Asked(_))));
    assert!(notice.to_string().contains("--danger-plaintext"));
}
