//! The whole product of the switches, and that stricter settings never give a weaker policy.

use std::fmt::Write as _;
use std::path::Path;

use alcazar_tls_policy::{
    CryptoSupport, DOORS, Demand, Inbound, NameCheck, Naming, Notice, Outbound, PlaintextPeers,
    PolicyError, PolicyErrors, Resolved, Suites, TlsPolicy, TlsRules, TrustAnchors, Versions,
    WhyPlaintext, resolve,
};
use proptest::prelude::*;

use super::settings;

/// The switches about who is verified.
const SWITCHES: [&str; 7] = [
    "ENABLED",
    "REQUIRE_CERT",
    "REQUIRE_CLIENT_CERT",
    "VERIFY_CERT",
    "VERIFY_SERVER_CERT",
    "VERIFY_IPADD",
    "SUPPORT_DOWNGRADE",
];

/// The switches about versions.
const VERSIONS: [&str; 5] =
    ["ENABLE_SSL_V3", "ENABLE_TLS_V1_0", "ENABLE_TLS_V1_1", "ENABLE_TLS_V1_2", "ENABLE_TLS_V1_3"];

fn files() -> Vec<(&'static str, &'static str)> {
    vec![("CERT_FILE", "/c"), ("KEY_FILE", "/k")]
}

/// The names of `switches` that stand in `set`.
fn members(switches: &[&'static str], set: usize) -> Vec<&'static str> {
    (0..switches.len()).filter(|i| set & (1 << i) != 0).map(|i| switches[i]).collect()
}

fn decided(naming: Naming, variables: &[(&str, &str)]) -> Result<Resolved, PolicyErrors> {
    resolve(&settings(naming, variables), &CryptoSupport::EVERYTHING)
}

fn name(check: NameCheck) -> &'static str {
    match check {
        NameCheck::ChainOnly => "chain",
        NameCheck::Dialled { ip: false } => "chain+dialled name",
        NameCheck::Dialled { ip: true } => "chain+dialled name or ip",
        NameCheck::ReverseDns { ip: false } => "chain+reverse dns",
        NameCheck::ReverseDns { ip: true } => "chain+reverse dns or ip",
    }
}

fn refusal(PolicyErrors(errors): &PolicyErrors) -> String {
    let kinds: Vec<_> = errors
        .iter()
        .map(|error| match error {
            PolicyError::Contradiction { .. } => "contradiction",
            PolicyError::NoVersion => "no version",
            PolicyError::Unprotected { .. } => "unprotected",
            other => panic!("{other}"),
        })
        .collect();
    format!("refused: {}", kinds.join(", "))
}

fn who(rules: &TlsRules) -> String {
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
    format!("{} (in: {inbound}; out: {outbound})", rules.posture())
}

fn how(rules: &TlsRules) -> String {
    let Versions { tls10, tls11, tls12, tls13 } = rules.versions;
    let versions: Vec<_> = [(tls10, "1.0"), (tls11, "1.1"), (tls12, "1.2"), (tls13, "1.3")]
        .into_iter()
        .filter_map(|(on, version)| on.then_some(version))
        .collect();
    let suites = match rules.suites {
        _ if !(tls10 || tls11 || tls12) => "",
        Suites::Compatible => ", stock suites last",
        Suites::Modern => ", forward-secret AEAD",
        Suites::Named(_) => panic!("none are named"),
        Suites::Obsolete => ", CBC and stock suites last",
    };
    format!("TLS {}{suites}", versions.join(" "))
}

fn line(
    result: &Result<Resolved, PolicyErrors>,
    describe: impl FnOnce(&TlsRules) -> String,
) -> String {
    match result {
        Err(errors) => refusal(errors),
        Ok(Resolved { policy: TlsPolicy::Plaintext(_), .. }) => "plaintext".to_owned(),
        Ok(Resolved { policy: TlsPolicy::Tls(rules), .. }) => describe(rules),
    }
}

/// Every combination of switches, under both namings and schemes, in one file to be read. Who is
/// verified and which versions are spoken are decided apart (the next test shows it), so that
/// two short products stand for the long one.
#[test]
fn the_whole_product_of_tls_switches_is_as_reviewed() {
    let mut text =
        String::from("# What sets of switches come to (ALCAZAR_REGENERATE=1 renews this file).\n");
    for naming in [Naming::Alcazar, Naming::Mesos] {
        for scheme in ["legacy", "openssl"] {
            let _ = writeln!(text, "\n## {naming:?} {scheme}: these are on, nothing else is said");
            for set in 0..1 << SWITCHES.len() {
                let on = members(&SWITCHES, set);
                let mut variables = files();
                variables.push(("HOSTNAME_VALIDATION_SCHEME", scheme));
                variables.extend(on.iter().map(|name| (*name, "true")));
                let result = decided(naming, &variables);
                let _ = writeln!(text, "{}: {}", on.join("+"), line(&result, who));
            }
        }
    }
    for naming in [Naming::Alcazar, Naming::Mesos] {
        let _ = writeln!(text, "\n## {naming:?} openssl: these are on, the others said to be off");
        for set in 0..1 << SWITCHES.len() {
            let on = members(&SWITCHES, set);
            let mut variables = files();
            variables.push(("HOSTNAME_VALIDATION_SCHEME", "openssl"));
            let said = |name| if on.contains(&name) { "true" } else { "false" };
            variables.extend(SWITCHES.iter().map(|name| (*name, said(*name))));
            let result = decided(naming, &variables);
            let _ = writeln!(text, "{}: {}", on.join("+"), line(&result, who));
        }
    }
    for naming in [Naming::Alcazar, Naming::Mesos] {
        for profile in ["", "mesos", "intermediate", "modern"] {
            let shown = if profile.is_empty() { "no profile" } else { profile };
            let _ = writeln!(text, "\n## {naming:?} {shown}: these versions are on, others off");
            for set in 0..1 << VERSIONS.len() {
                let on = members(&VERSIONS, set);
                let mut variables = files();
                variables.extend([("ENABLED", "true"), ("REQUIRE_CLIENT_CERT", "true")]);
                variables.extend((!profile.is_empty()).then_some(("PROFILE", profile)));
                let said = |name| if on.contains(&name) { "true" } else { "false" };
                variables.extend(VERSIONS.iter().map(|name| (*name, said(*name))));
                let result = decided(naming, &variables);
                let _ = writeln!(text, "{}: {}", on.join("+"), line(&result, how));
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

/// All combinations of all switches: who is verified does not depend on versions, nor versions on
/// who is verified.
#[test]
fn tls_versions_and_verification_are_decided_apart() {
    for naming in [Naming::Alcazar, Naming::Mesos] {
        for set in 0..1 << SWITCHES.len() {
            let mut verified = files();
            verified.extend(members(&SWITCHES, set).into_iter().map(|name| (name, "true")));
            let alone = decided(naming, &verified);
            for set in 0..1 << VERSIONS.len() {
                let versions = members(&VERSIONS, set);
                let mut all = verified.clone();
                let said = |name| if versions.contains(&name) { "true" } else { "false" };
                all.extend(VERSIONS.iter().map(|name| (*name, said(*name))));
                let both = decided(naming, &all);
                // One of 1.0 to 1.3.
                if set >> 1 == 0 && set <= 1 && verified.contains(&("ENABLED", "true")) {
                    let PolicyErrors(errors) = both.unwrap_err();
                    assert!(errors.contains(&PolicyError::NoVersion), "{errors:?}");
                    continue;
                }
                match (&alone, &both) {
                    (Err(alone), Err(both)) => assert_eq!(alone, both),
                    (Ok(alone), Ok(both)) => match (&alone.policy, &both.policy) {
                        (TlsPolicy::Plaintext(a), TlsPolicy::Plaintext(b)) => assert_eq!(a, b),
                        (TlsPolicy::Tls(alone), TlsPolicy::Tls(both)) => {
                            let mut expected = alone.clone();
                            expected.versions = both.versions;
                            expected.suites = both.suites.clone();
                            assert_eq!(expected, *both);
                            let Versions { tls10, tls11, tls12, tls13 } = both.versions;
                            let [_, v10, v11, v12, v13] =
                                VERSIONS.map(|name| versions.contains(&name));
                            assert_eq!([tls10, tls11, tls12, tls13], [v10, v11, v12, v13]);
                        }
                        (a, b) => panic!("{a:?} and {b:?}"),
                    },
                    (a, b) => panic!("{a:?} and {b:?}"),
                }
            }
        }
    }
}

/// How strong a policy is, one number for each thing that can be strong; more is stronger.
fn strength(policy: &TlsPolicy) -> Vec<u64> {
    let TlsPolicy::Tls(rules) = policy else { return vec![0; 13 + DOORS.len()] };
    let anchors = |anchors: &TrustAnchors| u64::from(*anchors != TrustAnchors::System);
    let depth = |depth: u32| u64::from(u32::MAX - depth);
    let inbound = match &rules.inbound {
        Inbound::AnyClient(_) => [0; 3],
        // What reverse lookups say of a client is the word of whoever answers them: no strength.
        Inbound::ClientCertificate(chain, _) => [1, anchors(&chain.anchors), depth(chain.depth)],
        Inbound::ComponentIdentity(_) => [2, 1, u64::MAX],
    };
    // A name that an address may stand for is weaker than one that it may not.
    let check = |check: NameCheck| match check {
        NameCheck::ChainOnly => 1,
        NameCheck::Dialled { ip: true } | NameCheck::ReverseDns { ip: true } => 2,
        NameCheck::Dialled { ip: false } | NameCheck::ReverseDns { ip: false } => 3,
    };
    let outbound = match &rules.outbound {
        Outbound::Unverified(_) => [0; 3],
        Outbound::Verified(chain, name) => {
            [check(*name), anchors(&chain.anchors), depth(chain.depth)]
        }
        Outbound::ComponentIdentity(_) => [4, 1, u64::MAX],
    };
    let Versions { tls10, tls11, tls12, tls13 } = rules.versions;
    let suites = match &rules.suites {
        _ if !(tls10 || tls11 || tls12) => 2,
        Suites::Modern => 2,
        Suites::Compatible | Suites::Obsolete => 1,
        Suites::Named(string) if string.contains("NULL") => 0,
        Suites::Named(string) if string.split(':').any(|s| s == "AES128-SHA") => 1,
        Suites::Named(_) => 2,
    };
    let mut strength = vec![
        1,
        u64::from(rules.plaintext_peers == PlaintextPeers::Refused),
        u64::from(rules.revocation.is_some()),
        suites,
        u64::from(!tls10),
        u64::from(!tls11),
        u64::from(!(tls10 || tls11 || tls12) || tls13),
    ];
    strength.extend(inbound);
    strength.extend(outbound);
    strength.extend(DOORS.iter().map(|door| match rules.client_certificates.at(door) {
        Demand::None => 0,
        Demand::Optional => 1,
        Demand::Required => 2,
    }));
    strength
}

/// Each setting with its values, the stricter the later. `""`: nothing is said.
const LADDERS: [(&str, &[&str]); 17] = [
    ("ENABLED", &["false", "true"]),
    ("REQUIRE_CERT", &["false", "true"]),
    ("REQUIRE_CLIENT_CERT", &["false", "true"]),
    ("VERIFY_CERT", &["false", "true"]),
    ("VERIFY_SERVER_CERT", &["false", "true"]),
    ("VERIFY_IPADD", &["true", "false"]),
    ("SUPPORT_DOWNGRADE", &["true", "false"]),
    ("ENABLE_SSL_V3", &["true", "false"]),
    ("ENABLE_TLS_V1_0", &["true", "false"]),
    ("ENABLE_TLS_V1_1", &["true", "false"]),
    ("ENABLE_TLS_V1_2", &["true", "false"]),
    ("VERIFICATION_DEPTH", &["4294967295", "10", "", "3", "0"]),
    ("CA_FILE", &["", "/ca"]),
    ("CRL_FILE", &["", "/crl"]),
    ("PROFILE", &["mesos", "intermediate", "modern"]),
    (
        "CIPHERS",
        &[
            "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:NULL-SHA",
            "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA",
            "ECDHE-RSA-AES128-GCM-SHA256",
        ],
    ),
    ("RELOAD", &["false", "1hrs", "1secs"]),
];

/// A rung for each ladder, and a higher or equal one.
fn rungs() -> impl Strategy<Value = Vec<(usize, usize)>> {
    LADDERS
        .iter()
        .map(|(_, values)| {
            let last = values.len() - 1;
            (0..=last).prop_flat_map(move |low| (Just(low), low..=last))
        })
        .collect::<Vec<_>>()
}

/// What is demanded at a few doors, and something at least as strict.
fn demands() -> impl Strategy<Value = Option<Vec<(u8, u8)>>> {
    let demand = || (0..3u8).prop_flat_map(|low| (Just(low), low..3u8));
    proptest::option::of(proptest::collection::vec(demand(), 4))
}

fn client_certs(demands: &[u8]) -> String {
    let word = |demand: u8| ["none", "optional", "required"][usize::from(demand)];
    format!(
        "{},messages={},mesos-master-readonly={},mesos-agent-readwrite={}",
        word(demands[0]),
        word(demands[1]),
        word(demands[2]),
        word(demands[3])
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Turning any settings to their stricter side gives an error or a policy that is at least
    /// as strong in everything.
    #[test]
    fn stricter_tls_settings_never_give_a_weaker_policy(
        rungs in rungs(),
        demands in demands(),
        naming in prop_oneof![Just(Naming::Alcazar), Just(Naming::Mesos)],
        scheme in prop_oneof![Just("legacy"), Just("openssl")],
        support in prop_oneof![
            Just(CryptoSupport::EVERYTHING),
            Just(CryptoSupport { downgrade: false, ..CryptoSupport::EVERYTHING }),
            Just(CryptoSupport { server_chains: false, ..CryptoSupport::EVERYTHING }),
        ],
    ) {
        let build = |strict: bool| {
            let mut variables = files();
            variables.push(("HOSTNAME_VALIDATION_SCHEME", scheme));
            let demands = demands.as_ref().map(|demands| {
                let side: Vec<u8> =
                    demands.iter().map(|(low, high)| if strict { *high } else { *low }).collect();
                client_certs(&side)
            });
            for ((name, values), (low, high)) in LADDERS.iter().zip(&rungs) {
                let value = values[if strict { *high } else { *low }];
                if !value.is_empty() {
                    variables.push((name, value));
                }
            }
            variables.extend(demands.as_deref().map(|text| ("CLIENT_CERTS", text)));
            resolve(&settings(naming, &variables), &support)
        };
        if let (Ok(loose), Ok(strict)) = (build(false), build(true)) {
            let (weak, strong) = (strength(&loose.policy), strength(&strict.policy));
            prop_assert_eq!(weak.len(), strong.len());
            for (weak, strong) in weak.iter().zip(&strong) {
                prop_assert!(weak <= strong, "{:?} became {:?}", loose.policy, strict.policy);
            }
            prop_assert!(
                loose.policy.posture().level <= strict.policy.posture().level,
                "{:?} became {:?}", loose.policy, strict.policy
            );
        }
    }

    /// A policy that accepts a danger always says so.
    #[test]
    fn every_danger_of_a_tls_policy_has_its_notice(rungs in rungs(), demands in demands()) {
        let mut variables = files();
        for ((name, values), (low, _)) in LADDERS.iter().zip(&rungs) {
            if !values[*low].is_empty() {
                variables.push((name, values[*low]));
            }
        }
        let demands = demands.map(|demands| {
            client_certs(&demands.iter().map(|(low, _)| *low).collect::<Vec<_>>())
        });
        variables.extend(demands.as_deref().map(|text| ("CLIENT_CERTS", text)));
        if let Ok(resolved) = decided(Naming::Mesos, &variables) {
            let mut dangers = Vec::new();
            match &resolved.policy {
                TlsPolicy::Plaintext(WhyPlaintext::Asked(d) | WhyPlaintext::NotEnabled(d)) => {
                    dangers.push(d.setting());
                }
                TlsPolicy::Tls(rules) => {
                    if let Inbound::AnyClient(d) = &rules.inbound { dangers.push(d.setting()) }
                    if let Outbound::Unverified(d) = &rules.outbound { dangers.push(d.setting()) }
                    if let PlaintextPeers::Accepted(d) = &rules.plaintext_peers { dangers.push(d.setting()) }
                    if rules.versions.tls10 { dangers.push("LIBPROCESS_SSL_ENABLE_TLS_V1_0") }
                    if rules.versions.tls11 { dangers.push("LIBPROCESS_SSL_ENABLE_TLS_V1_1") }
                    let open = |door: &str| rules.client_certificates.at(door) != Demand::Required;
                    if rules.client_certificates.asked() && DOORS.iter().any(|door| open(door)) {
                        dangers.push("LIBPROCESS_SSL_CLIENT_CERTS");
                    }
                }
            }
            for danger in dangers {
                let said = resolved.notices.iter().any(
                    |n| matches!(n, Notice::Weak { danger: d, .. } if d.setting() == danger));
                prop_assert!(said, "{}", danger);
            }
        }
    }
}
