//! What the original does not have: profiles, doors, principals, passphrases, revocation, a second
//! leaf, reloading; and what it has and others do not any more.

use std::path::Path;
use std::time::Duration;

use alcazar_tls_policy::{
    CertificateNames, ClientCertificates, CryptoSupport, DOORS, Demand, Flag, Inbound, MESSAGES,
    MaterialPair, NameCheck, Naming, Notice, Outbound, PassphraseSource, PlaintextPeers,
    PolicyError, PrincipalRules, Profile, RELOAD_INTERVAL, Resolved, Suites, TlsPolicy, TlsRules,
    TlsSettings, VARIABLES, ValueKind, Versions, resolve,
};

use super::{errors, ignored, rules, settings, weakened_by, with};

const REQUIRED: (&str, &str) = ("REQUIRE_CLIENT_CERT", "true");

/// The rules under our own names, with clients and servers verified.
fn ours(variables: &[(&str, &str)]) -> TlsRules {
    let mut all = vec![REQUIRED];
    all.extend(variables);
    with(Naming::Alcazar, &all).unwrap().policy.rules().unwrap().clone()
}

fn dropped(resolved: &Resolved) -> Vec<&str> {
    let elements = resolved.notices.iter().filter_map(|n| match n {
        Notice::Dropped { element, .. } => Some(element.as_str()),
        _ => None,
    });
    elements.collect()
}

#[test]
fn the_documented_default_list_of_tls_suites_works_and_says_what_is_left_out() {
    let list = "AES128-SHA:AES256-SHA:RC4-SHA:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA:\
                DHE-RSA-AES256-SHA:DHE-DSS-AES256-SHA";
    let resolved = with(Naming::Mesos, &[("CIPHERS", list)]).unwrap();
    assert_eq!(dropped(&resolved), ["DHE-DSS-AES128-SHA", "DHE-DSS-AES256-SHA"]);
    // What the library does not have only the library knows: it says so when it is told.
    assert_eq!(
        resolved.policy.rules().unwrap().suites.openssl_string(),
        "AES128-SHA:AES256-SHA:RC4-SHA:DHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA"
    );
    let nothing = with(Naming::Mesos, &[("CIPHERS", "DHE-DSS-AES128-SHA:!MD5")]);
    assert_eq!(
        errors(nothing),
        [PolicyError::NoSuite { variable: "LIBPROCESS_SSL_CIPHERS".into() }]
    );
}

#[test]
fn a_list_of_tls_suites_that_lowers_the_security_level_says_so_or_is_not_followed() {
    let list = |level| format!("ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL={level}");
    let name = "LIBPROCESS_SSL_CIPHERS";
    for (level, weak) in [("0", true), ("1", true), ("x", true), ("2", false), ("3", false)] {
        let resolved = with(Naming::Mesos, &[("CIPHERS", &list(level))]).unwrap();
        assert_eq!(weakened_by(&resolved, name), weak, "{level}");
        let diagnosis = alcazar_tls_policy::diagnose(&resolved.policy, &[]);
        let hole = diagnosis.holes.iter().any(|hole| hole.id == "lowered-security");
        assert_eq!(hole, weak, "{level}");
    }
    let strict = [("PROFILE", "intermediate"), ("CIPHERS", &list("0"))];
    let resolved = with(Naming::Mesos, &strict).unwrap();
    assert_eq!(dropped(&resolved), ["@SECLEVEL=0"]);
    assert!(!resolved.policy.rules().unwrap().suites.openssl_string().contains('@'));
}

#[test]
fn control_characters_in_tls_lists_are_refused() {
    for variable in [("CIPHERS", "AES128-SHA\0"), ("ECDH_CURVES", "X25519\nP-256")] {
        let errors = errors(with(Naming::Mesos, &[variable]));
        assert!(matches!(&errors[..], [PolicyError::Text { .. }]), "{errors:?}");
    }
}

#[test]
fn tls_names_that_no_component_can_have_are_told() {
    let told = |variables: &[(&str, &str)]| {
        let resolved = with(Naming::Mesos, variables).unwrap();
        resolved.notices.iter().any(|n| matches!(n, Notice::Impractical { .. }))
    };
    let openssl = ("HOSTNAME_VALIDATION_SCHEME", "openssl");
    assert!(told(&[REQUIRED, openssl]));
    assert!(told(&[REQUIRED, ("PROFILE", "modern")]));
    assert!(!told(&[REQUIRED, openssl, ("VERIFY_IPADD", "true")]));
    assert!(!told(&[REQUIRED]) && !told(&[openssl]));
}

#[test]
fn operators_in_a_list_of_tls_suites_stay_where_they_are() {
    let list = "HIGH:!aNULL:-SHA,+AES256 @STRENGTH";
    assert_eq!(
        rules(&[("CIPHERS", list)]).suites,
        Suites::Named("HIGH:!aNULL:-SHA:+AES256:@STRENGTH".into())
    );
}

#[test]
fn a_tls_profile_fills_in_what_is_not_said() {
    let usual = Versions { tls10: false, tls11: false, tls12: true, tls13: true };
    for (profile, versions, suites) in [
        (Profile::Mesos, usual, Suites::Compatible),
        (Profile::Intermediate, usual, Suites::Modern),
        (Profile::Modern, Versions { tls12: false, ..usual }, Suites::Modern),
    ] {
        let word = format!("{profile:?}").to_lowercase();
        for rules in [rules(&[("PROFILE", &word)]), ours(&[("PROFILE", &word)])] {
            assert_eq!((rules.profile, rules.versions), (profile, versions));
            assert_eq!(rules.suites, suites);
        }
    }
    assert_eq!(rules(&[]).profile, Profile::Mesos);
    assert_eq!(ours(&[]).profile, Profile::Intermediate);
    let unknown = errors(with(Naming::Mesos, &[("PROFILE", "old")]));
    assert!(matches!(&unknown[..], [PolicyError::Value { .. }]), "{unknown:?}");
}

#[test]
fn a_tls_profile_that_was_asked_for_is_a_ceiling() {
    for (profile, name) in [
        ("modern", "ENABLE_TLS_V1_2"),
        ("intermediate", "ENABLE_TLS_V1_1"),
        ("modern", "ENABLE_TLS_V1_0"),
    ] {
        let variables = [("PROFILE", profile), (name, "true")];
        let theirs = with(Naming::Mesos, &variables).unwrap();
        assert!(ignored(&theirs, name), "{:?}", theirs.notices);
        let alone = with(Naming::Mesos, &variables[..1]).unwrap();
        assert_eq!(theirs.policy, alone.policy, "{profile} {name}");
        let ours = errors(with(Naming::Alcazar, &[REQUIRED, variables[0], variables[1]]));
        assert!(
            matches!(&ours[..], [PolicyError::Contradiction { variable, other, .. }]
                if variable.ends_with(name) && other == "LIBPROCESS_SSL_PROFILE"),
            "{ours:?}"
        );
    }
    // The profile that nobody asked for is none.
    assert!(ours(&[("ENABLE_TLS_V1_1", "true")]).versions.tls11);
    let strict = ("PROFILE", "intermediate");
    let list = ("CIPHERS", "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256");
    let resolved = with(Naming::Mesos, &[strict, list]).unwrap();
    assert_eq!(dropped(&resolved), ["AES128-SHA"]);
    let left = Suites::Named("ECDHE-RSA-AES128-GCM-SHA256".into());
    assert_eq!(resolved.policy.rules().unwrap().suites, left);
    let resolved = with(Naming::Mesos, &[("PROFILE", "modern"), list]).unwrap();
    assert!(ignored(&resolved, "CIPHERS"), "TLS 1.3 knows no such list");
}

#[test]
fn the_modern_tls_profile_asks_no_dns_for_names() {
    for scheme in [None, Some(("HOSTNAME_VALIDATION_SCHEME", "legacy"))] {
        let mut variables = vec![REQUIRED, ("PROFILE", "modern")];
        variables.extend(scheme);
        for naming in [Naming::Mesos, Naming::Alcazar] {
            let resolved = with(naming, &variables).unwrap();
            let rules = resolved.policy.rules().unwrap();
            assert!(
                matches!(rules.outbound, Outbound::Verified(_, NameCheck::Dialled { .. })),
                "{rules:?}"
            );
            assert!(matches!(rules.inbound, Inbound::ClientCertificate(_, NameCheck::ChainOnly)));
            let told = naming == Naming::Mesos || scheme.is_some();
            assert_eq!(ignored(&resolved, "HOSTNAME_VALIDATION_SCHEME"), told);
        }
    }
}

#[test]
fn under_our_own_names_tls_peers_are_who_was_dialled_by_name_or_address() {
    let outbound = |variables: &[(&str, &str)]| match ours(variables).outbound {
        Outbound::Verified(_, check) => check,
        other => panic!("{other:?}"),
    };
    assert_eq!(outbound(&[]), NameCheck::Dialled { ip: true });
    assert_eq!(outbound(&[("VERIFY_IPADD", "false")]), NameCheck::Dialled { ip: false });
    let legacy = [("HOSTNAME_VALIDATION_SCHEME", "legacy")];
    assert_eq!(outbound(&legacy), NameCheck::ReverseDns { ip: false });
}

#[test]
fn tls_clients_may_be_asked_door_by_door() {
    let certificates = |text| rules(&[("CLIENT_CERTS", text)]).client_certificates;
    let some = certificates("optional, messages=required,mesos-agent-executor=none");
    assert_eq!(some.at(MESSAGES), Demand::Required);
    assert_eq!(some.at("mesos-agent-executor"), Demand::None);
    assert_eq!(some.at("mesos-master-readonly"), Demand::Optional);
    let one = certificates("messages=required");
    assert_eq!((one.at(MESSAGES), one.otherwise), (Demand::Required, Demand::None));
    assert!(one.asked());
    let none = rules(&[("CLIENT_CERTS", "none")]);
    assert!(matches!(none.inbound, Inbound::AnyClient(_)));
    // The settings of clients leave those of servers alone.
    let rules = rules(&[("CLIENT_CERTS", "required")]);
    assert!(matches!(rules.inbound, Inbound::ClientCertificate(..)));
    assert!(matches!(rules.outbound, Outbound::Unverified(_)));
    assert_eq!(rules.client_certificates, ClientCertificates::everywhere(Demand::Required));
}

#[test]
fn exceptions_from_required_tls_certificates_are_named_door_by_door_and_never_silent() {
    let name = "LIBPROCESS_SSL_CLIENT_CERTS";
    let pair = |text| [REQUIRED, ("CLIENT_CERTS", text)];
    for naming in [Naming::Mesos, Naming::Alcazar] {
        let resolved = with(naming, &pair("mesos-master-readonly=optional")).unwrap();
        assert!(weakened_by(&resolved, name), "{:?}", resolved.notices);
        let rules = resolved.policy.rules().unwrap();
        for door in DOORS {
            let expected = match *door {
                "mesos-master-readonly" => Demand::Optional,
                _ => Demand::Required,
            };
            assert_eq!(rules.client_certificates.at(door), expected);
        }
        let same = with(naming, &pair("required,messages=required")).unwrap();
        assert!(!weakened_by(&same, name));
        // Not all doors at once.
        for all in ["optional", "none,messages=required"] {
            let refused = errors(with(naming, &pair(all)));
            assert!(matches!(&refused[..], [PolicyError::Contradiction { .. }]), "{refused:?}");
        }
    }
    let messages = pair("messages=optional");
    assert!(weakened_by(&with(Naming::Mesos, &messages).unwrap(), name));
    let ours = errors(with(Naming::Alcazar, &messages));
    assert!(
        matches!(&ours[..], [PolicyError::Contradiction { variable, .. }] if variable == name),
        "{ours:?}"
    );
    let half =
        [("VERIFY_SERVER_CERT", "true"), ("CLIENT_CERTS", "mesos-master-readwrite=required")];
    let ours = errors(with(Naming::Alcazar, &half));
    assert!(matches!(&ours[..], [PolicyError::Unprotected { .. }]), "{ours:?}");
    assert!(weakened_by(&with(Naming::Mesos, &half).unwrap(), name));
}

#[test]
fn a_mistake_about_tls_doors_is_named_with_what_was_meant() {
    for (text, part) in [
        ("mesos-master-readonl=optional", "did you mean `mesos-master-readonly`?"),
        ("message=required", "did you mean `messages`?"),
        ("requird", "did you mean `required`?"),
        ("messages=", "`` is not"),
        ("", "`` is not"),
        ("required,optional", "a second time"),
        ("messages=none,messages=none", "a second time"),
    ] {
        let errors = errors(with(Naming::Mesos, &[("CLIENT_CERTS", text)]));
        let [PolicyError::Text { problem, .. }] = &errors[..] else { panic!("{errors:?}") };
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

#[test]
fn downgrade_and_tls_certificates_at_a_door_contradict_each_other_under_our_names() {
    let variables = [
        ("VERIFY_SERVER_CERT", "false"),
        ("CLIENT_CERTS", "required"),
        ("SUPPORT_DOWNGRADE", "true"),
    ];
    let ours = errors(with(Naming::Alcazar, &variables));
    assert!(matches!(&ours[..], [PolicyError::Contradiction { .. }]), "{ours:?}");
    // Where nobody is verified, and that is said, there is nothing to get around.
    let open = [variables[0], ("REQUIRE_CLIENT_CERT", "false"), variables[2]];
    let resolved = with(Naming::Alcazar, &open).unwrap();
    assert!(matches!(
        resolved.policy.rules().unwrap().plaintext_peers,
        PlaintextPeers::Accepted(_)
    ));
    for setting in ["REQUIRE_CLIENT_CERT", "VERIFY_SERVER_CERT", "SUPPORT_DOWNGRADE"] {
        assert!(weakened_by(&resolved, &format!("LIBPROCESS_SSL_{setting}")), "{setting}");
    }
}

#[test]
fn tls_certificates_become_principals_by_the_given_rules() {
    let said = [REQUIRED, ("PRINCIPAL_RULES", "uri:spiffe://d/framework/*, dns:*.example.com,cn")];
    let principals = rules(&said).principals;
    let uri = CertificateNames {
        uris: vec!["spiffe://d/framework/marathon".into()],
        dns: vec!["a.example.com".into()],
        common_names: vec!["c".into()],
    };
    assert_eq!(principals.principal(&uri).as_deref(), Some("marathon"));
    let dns = CertificateNames { uris: Vec::new(), ..uri };
    assert_eq!(principals.principal(&dns).as_deref(), Some("a"));
    let name = CertificateNames { dns: vec!["elsewhere".into()], ..dns };
    assert_eq!(principals.principal(&name).as_deref(), Some("c"));
    // The original makes no principals of certificates.
    assert_eq!(rules(&[REQUIRED]).principals, PrincipalRules(Vec::new()));
    assert_eq!(ours(&[]).principals, PrincipalRules::default());
    for wrong in ["", "san", "dns:", "uri:*x*", "cn,,dns"] {
        let errors = errors(with(Naming::Mesos, &[REQUIRED, ("PRINCIPAL_RULES", wrong)]));
        assert!(matches!(&errors[..], [PolicyError::Text { .. }]), "{wrong}: {errors:?}");
    }
    let nobody = with(Naming::Mesos, &[("PRINCIPAL_RULES", "cn")]).unwrap();
    assert!(ignored(&nobody, "PRINCIPAL_RULES"));
}

#[test]
fn the_passphrase_of_a_tls_key_comes_from_one_place() {
    let sources = [
        (("KEY_PASSPHRASE_FILE", "/p"), PassphraseSource::File("/p".into())),
        (
            ("KEY_PASSPHRASE_COMMAND", "pass show key"),
            PassphraseSource::Command("pass show key".into()),
        ),
        (("KEY_PASSPHRASE_CREDENTIAL", "tls"), PassphraseSource::Credential("tls".into())),
    ];
    for (i, (variable, source)) in sources.iter().enumerate() {
        let pairs = rules(&[*variable]).materials.pairs;
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].passphrase.as_ref(), Some(source));
        let other = sources[(i + 1) % sources.len()].0;
        let errors = errors(with(Naming::Mesos, &[*variable, other]));
        assert!(matches!(&errors[..], [PolicyError::Contradiction { .. }]), "{errors:?}");
    }
    for wrong in
        [("KEY_PASSPHRASE_CREDENTIAL", "../../etc/passwd"), ("KEY_PASSPHRASE_COMMAND", " ")]
    {
        let errors = errors(with(Naming::Mesos, &[wrong]));
        assert!(matches!(&errors[..], [PolicyError::Text { .. }]), "{errors:?}");
    }
}

#[test]
fn a_second_tls_leaf_stands_beside_the_first() {
    let alt = [("ALT_CERT_FILE", "/c2"), ("ALT_KEY_FILE", "/k2")];
    let pairs = rules(&alt).materials.pairs;
    assert_eq!(pairs, [MaterialPair::new("/c", "/k"), MaterialPair::new("/c2", "/k2")]);
    for half in alt {
        let errors = errors(with(Naming::Mesos, &[half]));
        assert!(matches!(&errors[..], [PolicyError::Half { .. }]), "{errors:?}");
    }
}

#[test]
fn tls_revocation_lists_need_somebody_who_is_verified() {
    let list = ("CRL_FILE", "/crl");
    assert_eq!(rules(&[REQUIRED, list]).revocation.as_deref(), Some(Path::new("/crl")));
    let alone = errors(with(Naming::Mesos, &[list]));
    assert!(matches!(&alone[..], [PolicyError::Contradiction { .. }]), "{alone:?}");
    let plain = errors(resolve(&settings(Naming::Mesos, &[list]), &CryptoSupport::EVERYTHING));
    assert!(matches!(&plain[..], [PolicyError::Contradiction { .. }]), "{plain:?}");
}

#[test]
fn tls_files_are_looked_at_as_often_as_said() {
    let reload = |value| rules(&[("RELOAD", value)]).reload;
    assert_eq!(rules(&[]).reload, Some(RELOAD_INTERVAL));
    for (value, expected) in [
        ("true", Some(RELOAD_INTERVAL)),
        ("", Some(RELOAD_INTERVAL)),
        ("false", None),
        ("0", None),
        ("30secs", Some(Duration::from_secs(30))),
        ("24hrs", Some(Duration::from_secs(86_400))),
    ] {
        assert_eq!(reload(value), expected, "{value}");
    }
    for wrong in ["yes", "30", "0secs", "25hrs", "10 secs", "99999999999999999999hrs", "secs"] {
        let errors = errors(with(Naming::Mesos, &[("RELOAD", wrong)]));
        assert!(matches!(&errors[..], [PolicyError::Value { .. }]), "{wrong}: {errors:?}");
    }
}

#[test]
fn tls_settings_without_effect_are_named() {
    let resolved = with(
        Naming::Mesos,
        &[
            ("CA_DIR", "/d"),
            ("VERIFY_IPADD", "true"),
            ("VERIFICATION_DEPTH", "1"),
            ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
        ],
    )
    .unwrap();
    for name in ["CA_DIR", "VERIFY_IPADD", "VERIFICATION_DEPTH", "HOSTNAME_VALIDATION_SCHEME"] {
        assert!(ignored(&resolved, name), "{name}: {:?}", resolved.notices);
    }
}

#[test]
fn tls_that_is_switched_off_by_name_is_off_as_in_the_original() {
    let off = [("ENABLED", "false"), ("VERIFY_SERVER_CERT", "true"), REQUIRED];
    let resolved = resolve(&settings(Naming::Mesos, &off), &CryptoSupport::EVERYTHING).unwrap();
    assert!(matches!(resolved.policy, TlsPolicy::Plaintext(_)));
    assert!(ignored(&resolved, "VERIFY_SERVER_CERT") && ignored(&resolved, "REQUIRE_CLIENT_CERT"));
    assert!(weakened_by(&resolved, "LIBPROCESS_SSL_ENABLED"));
    let ours = errors(resolve(&settings(Naming::Alcazar, &off), &CryptoSupport::EVERYTHING));
    assert!(ours.iter().any(|e| matches!(e, PolicyError::Contradiction { .. })), "{ours:?}");
}

#[test]
fn public_roots_that_let_tls_clients_in_are_a_notice() {
    let resolved = with(Naming::Mesos, &[REQUIRED]).unwrap();
    assert!(weakened_by(&resolved, "LIBPROCESS_SSL_CA_FILE"));
    let resolved = with(Naming::Mesos, &[REQUIRED, ("CA_FILE", "/ca")]).unwrap();
    assert!(!weakened_by(&resolved, "LIBPROCESS_SSL_CA_FILE"));
}

fn flag(name: &str, value: &str) -> Flag {
    let spelled = format!("--tls_{}", name.to_lowercase());
    Flag { name: name.to_owned(), value: value.to_owned(), spelled }
}

fn flags(flags: Vec<Flag>, environment: &[(&str, &str)]) -> Result<TlsSettings, Vec<PolicyError>> {
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let none = |_: &Path| Err("no files".to_owned());
    TlsSettings::read_with_flags(Naming::Alcazar, flags, environment, &none).map_err(|e| e.0)
}

#[test]
fn a_tls_flag_wins_over_its_variable_or_contradicts_it() {
    let variable = [("LIBPROCESS_SSL_ENABLED", "1")];
    let same = flags(vec![flag("ENABLED", "true")], &variable).unwrap();
    assert_eq!(same.enabled.unwrap().variable, "--tls_enabled");
    let other = flags(vec![flag("ENABLED", "false")], &variable).unwrap_err();
    assert_eq!(
        other,
        [PolicyError::FlagDiffers {
            flag: "--tls_enabled".into(),
            variable: "LIBPROCESS_SSL_ENABLED".into()
        }]
    );
    let old = flags(vec![flag("CA_FILE", "/a")], &[("SSL_CA_FILE", "/b")]).unwrap_err();
    assert!(matches!(&old[..], [PolicyError::FlagDiffers { .. }]), "{old:?}");
    let documented =
        flags(vec![flag("VERIFICATION_DEPTH", "2")], &[("LIBPROCESS_SSL_VERIFY_DEPTH", "3")]);
    assert!(matches!(&documented.unwrap_err()[..], [PolicyError::FlagDiffers { .. }]));
}

#[test]
fn every_tls_variable_may_be_a_flag() {
    for variable in VARIABLES {
        let value = match variable.kind {
            ValueKind::Bool => "true",
            ValueKind::Number => "3",
            ValueKind::Path | ValueKind::Text => "x",
        };
        let read = flags(vec![flag(variable.name, value)], &[]).unwrap();
        assert_ne!(read, TlsSettings::silent(Naming::Alcazar), "{}", variable.name);
    }
}

#[test]
fn both_prefixes_and_all_spellings_of_a_tls_variable_are_read_but_for_our_own_with_the_old_prefix()
{
    for variable in VARIABLES {
        let value = match variable.kind {
            ValueKind::Bool => "true",
            ValueKind::Number => "3",
            ValueKind::Path | ValueKind::Text => "x",
        };
        for name in std::iter::once(&variable.name).chain(variable.documented) {
            for prefix in ["LIBPROCESS_SSL_", "SSL_"] {
                // Alone, `SSL_CERT_FILE` is somebody else's.
                if (*name, prefix) == ("CERT_FILE", "SSL_") {
                    continue;
                }
                let full = format!("{prefix}{name}");
                let read = flags(Vec::new(), &[(&full, value)]).unwrap();
                let silent = read == TlsSettings::silent(Naming::Alcazar);
                assert_eq!(silent, variable.ours && prefix == "SSL_", "{full}");
            }
        }
    }
    let both = [("LIBPROCESS_SSL_VERIFY_DEPTH", "3"), ("LIBPROCESS_SSL_VERIFICATION_DEPTH", "2")];
    let read = flags(Vec::new(), &both).unwrap();
    assert_eq!(read.verification_depth.unwrap().value, 2, "the name that the original reads");
    assert!(read.notices.iter().any(|n| matches!(n, Notice::Mismatch { .. })));
}
