//! From settings to policy: one test for each implication, the whole product of the switches,
//! and that stricter settings never give a weaker policy.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::Path;

use alcazar_tls_policy::{
    ChainRules, CryptoSupport, DangerAccepted, IdentityRules, Inbound, MaterialPaths, NameCheck,
    Naming, Notice, Outbound, PlaintextPeers, PolicyError, PolicyErrors, Resolved, Suites,
    TlsPolicy, TlsRules, TlsSettings, TrustAnchors, Version, Versions, WhyPlaintext, resolve,
};
use model::identity::TrustDomain;
use proptest::prelude::*;

fn settings(naming: Naming, variables: &[(&str, &str)]) -> TlsSettings {
    let environment =
        variables.iter().map(|(n, v)| (format!("LIBPROCESS_SSL_{n}"), (*v).to_owned()));
    TlsSettings::read(naming, environment, &|_: &Path| Err("no files".to_owned())).unwrap()
}

/// With TLS on and our own files given.
fn with(naming: Naming, variables: &[(&str, &str)]) -> Result<Resolved, PolicyErrors> {
    let mut all = vec![("ENABLED", "true"), ("CERT_FILE", "/c"), ("KEY_FILE", "/k")];
    all.extend(variables);
    resolve(&settings(naming, &all), &CryptoSupport::EVERYTHING)
}

fn rules(variables: &[(&str, &str)]) -> TlsRules {
    with(Naming::Mesos, variables).unwrap().policy.rules().unwrap().clone()
}

fn weakened_by(resolved: &Resolved, setting: &str) -> bool {
    let danger = DangerAccepted::asked_by(setting);
    resolved.notices.iter().any(|n| matches!(n, Notice::Weak { danger: d, .. } if *d == danger))
}

fn errors(result: Result<Resolved, PolicyErrors>) -> Vec<PolicyError> {
    result.unwrap_err().0
}

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
        for support in [CryptoSupport::EVERYTHING, CryptoSupport::IDENTITIES_ONLY] {
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

/// The switches whose product is printed.
const SWITCHES: [&str; 7] = [
    "ENABLED",
    "REQUIRE_CERT",
    "REQUIRE_CLIENT_CERT",
    "VERIFY_CERT",
    "VERIFY_SERVER_CERT",
    "VERIFY_IPADD",
    "SUPPORT_DOWNGRADE",
];

fn name(check: NameCheck) -> &'static str {
    match check {
        NameCheck::ChainOnly => "chain",
        NameCheck::Dialled { ip: false } => "chain+dialled name",
        NameCheck::Dialled { ip: true } => "chain+dialled name or ip",
        NameCheck::ReverseDns { ip: false } => "chain+reverse dns",
        NameCheck::ReverseDns { ip: true } => "chain+reverse dns or ip",
    }
}

fn describe(result: &Result<Resolved, PolicyErrors>) -> String {
    match result {
        Err(PolicyErrors(errors)) => {
            let kinds: Vec<_> = errors
                .iter()
                .map(|e| match e {
                    PolicyError::Contradiction { .. } => "contradiction",
                    PolicyError::Unprotected { .. } => "unprotected",
                    other => panic!("{other}"),
                })
                .collect();
            format!("refused: {}", kinds.join(", "))
        }
        Ok(Resolved { policy: TlsPolicy::Plaintext(_), .. }) => "plaintext".to_owned(),
        Ok(Resolved { policy: TlsPolicy::Tls(rules), .. }) => {
            let inbound = match &rules.inbound {
                Inbound::AnyClient(_) => "anybody",
                Inbound::ClientCertificate(_, check) => name(*check),
                Inbound::ComponentIdentity(_) => panic!("not from variables"),
            };
            let outbound = match &rules.outbound {
                Outbound::ComponentIdentity(_) => panic!("not from variables"),
                Outbound::Unverified(_) => "anybody",
                Outbound::Verified(_, check) => name(*check),
            };
            let plain = match rules.plaintext_peers {
                PlaintextPeers::Accepted(_) => ", and plain peers",
                PlaintextPeers::Refused => "",
            };
            format!("in: {inbound}; out: {outbound}{plain}")
        }
    }
}

/// Every combination of switches, under both namings and schemes, in one file to be read.
#[test]
fn the_whole_product_of_switches_is_as_reviewed() {
    let mut text = String::from(
        "# For each set of switches that are on (ALCAZAR_REGENERATE=1 renews this file).\n",
    );
    for naming in [Naming::Alcazar, Naming::Mesos] {
        for scheme in ["legacy", "openssl"] {
            let _ = writeln!(text, "\n## {naming:?} {scheme}");
            for set in 0..1u32 << SWITCHES.len() {
                let on: Vec<_> = (0..SWITCHES.len())
                    .filter(|i| set & (1 << i) != 0)
                    .map(|i| SWITCHES[i])
                    .collect();
                let mut variables = vec![
                    ("CERT_FILE", "/c"),
                    ("KEY_FILE", "/k"),
                    ("HOSTNAME_VALIDATION_SCHEME", scheme),
                ];
                variables.extend(on.iter().map(|name| (*name, "true")));
                let result = resolve(&settings(naming, &variables), &CryptoSupport::EVERYTHING);
                let _ = writeln!(text, "{}: {}", on.join("+"), describe(&result));
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/switches.golden");
    if std::env::var_os("ALCAZAR_REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        reviewed == text,
        "{} differs: ALCAZAR_REGENERATE=1 cargo test -p alcazar-tls-policy, and read it",
        path.display()
    );
}

/// How strong a policy is, one number for each thing that can be strong; more is stronger.
fn strength(policy: &TlsPolicy) -> [u8; 6] {
    let TlsPolicy::Tls(rules) = policy else { return [0; 6] };
    // A name that an address may stand for is weaker than one that it may not.
    let check = |check: NameCheck| match check {
        NameCheck::ChainOnly => 1,
        NameCheck::Dialled { ip: true } | NameCheck::ReverseDns { ip: true } => 2,
        NameCheck::Dialled { ip: false } | NameCheck::ReverseDns { ip: false } => 3,
    };
    [
        1,
        match &rules.inbound {
            Inbound::AnyClient(_) => 0,
            Inbound::ClientCertificate(_, name) => check(*name),
            Inbound::ComponentIdentity(_) => 4,
        },
        match &rules.outbound {
            Outbound::Unverified(_) => 0,
            Outbound::Verified(_, name) => check(*name),
            Outbound::ComponentIdentity(_) => 4,
        },
        u8::from(rules.plaintext_peers == PlaintextPeers::Refused),
        u8::from(!rules.versions.tls12),
        u8::from(!rules.versions.tls13),
    ]
}

/// Each switch with the value that is stricter.
const STRICTER: [(&str, bool); 11] = [
    ("ENABLED", true),
    ("REQUIRE_CERT", true),
    ("REQUIRE_CLIENT_CERT", true),
    ("VERIFY_CERT", true),
    ("VERIFY_SERVER_CERT", true),
    ("VERIFY_IPADD", false),
    ("SUPPORT_DOWNGRADE", false),
    ("ENABLE_TLS_V1_0", false),
    ("ENABLE_TLS_V1_1", false),
    ("ENABLE_TLS_V1_2", false),
    ("ENABLE_TLS_V1_3", false),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Turning any switches to their stricter side gives an error or a policy that is at least
    /// as strong in everything.
    #[test]
    fn stricter_settings_never_give_a_weaker_policy(
        looser in proptest::collection::vec(any::<bool>(), STRICTER.len()),
        tightened in proptest::collection::vec(any::<bool>(), STRICTER.len()),
        naming in prop_oneof![Just(Naming::Alcazar), Just(Naming::Mesos)],
        scheme in prop_oneof![Just("legacy"), Just("openssl")],
        support in prop_oneof![
            Just(CryptoSupport::EVERYTHING),
            Just(CryptoSupport { downgrade: false, ..CryptoSupport::EVERYTHING }),
            Just(CryptoSupport { server_chains: false, ..CryptoSupport::EVERYTHING }),
        ],
    ) {
        let text = |value: bool| if value { "true" } else { "false" };
        let build = |values: &[bool]| {
            let mut variables =
                vec![("CERT_FILE", "/c"), ("KEY_FILE", "/k"), ("HOSTNAME_VALIDATION_SCHEME", scheme)];
            for ((name, _), value) in STRICTER.iter().zip(values) {
                variables.push((name, text(*value)));
            }
            resolve(&settings(naming, &variables), &support)
        };
        let stricter: Vec<_> = STRICTER
            .iter()
            .zip(looser.iter().zip(&tightened))
            .map(|((_, strict), (value, tighten))| if *tighten { *strict } else { *value })
            .collect();
        if let (Ok(loose), Ok(strict)) = (build(&looser), build(&stricter)) {
            let (weak, strong) = (strength(&loose.policy), strength(&strict.policy));
            for (weak, strong) in weak.iter().zip(&strong) {
                prop_assert!(weak <= strong, "{:?} became {:?}", loose.policy, strict.policy);
            }
        }
    }

    /// A policy that accepts a danger always says so.
    #[test]
    fn every_danger_has_its_notice(
        values in proptest::collection::vec(any::<bool>(), STRICTER.len()),
    ) {
        let mut variables = vec![("CERT_FILE", "/c"), ("KEY_FILE", "/k")];
        for ((name, _), value) in STRICTER.iter().zip(&values) {
            variables.push((name, if *value { "true" } else { "false" }));
        }
        if let Ok(resolved) =
            resolve(&settings(Naming::Mesos, &variables), &CryptoSupport::EVERYTHING)
        {
            let mut dangers = Vec::new();
            match &resolved.policy {
                TlsPolicy::Plaintext(WhyPlaintext::Asked(d) | WhyPlaintext::NotEnabled(d)) => {
                    dangers.push(d);
                }
                TlsPolicy::Tls(rules) => {
                    if let Inbound::AnyClient(d) = &rules.inbound { dangers.push(d) }
                    if let Outbound::Unverified(d) = &rules.outbound { dangers.push(d) }
                    if let PlaintextPeers::Accepted(d) = &rules.plaintext_peers { dangers.push(d) }
                }
            }
            for danger in dangers {
                let said = resolved.notices.iter().any(|n| matches!(n, Notice::Weak { danger: d, .. } if d == danger));
                prop_assert!(said, "{}", danger);
            }
        }
    }
}
