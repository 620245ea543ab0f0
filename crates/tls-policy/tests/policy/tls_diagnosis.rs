//! Postures by name, what they leave open, and that the one line closes it.

use alcazar_tls_policy::{
    CryptoSupport, DangerAccepted, Diagnosis, IdentityRules, Level, Line, MaterialPaths, Naming,
    PolicyError, TlsPolicy, diagnose, resolve,
};
use model::identity::TrustDomain;
use proptest::prelude::*;

use super::settings;

const FILES: [(&str, &str); 3] = [("ENABLED", "true"), ("CERT_FILE", "/c"), ("KEY_FILE", "/k")];

fn diagnosis(variables: &[(&str, &str)]) -> Diagnosis {
    let resolved =
        resolve(&settings(Naming::Mesos, variables), &CryptoSupport::EVERYTHING).unwrap();
    diagnose(&resolved.policy, &resolved.notices)
}

fn tls(variables: &[(&str, &str)]) -> Diagnosis {
    let mut all = FILES.to_vec();
    all.extend(variables);
    diagnosis(&all)
}

fn holes(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis.holes.iter().map(|hole| hole.id).collect()
}

#[test]
fn the_tls_levels_of_the_documentation_have_names_and_holes() {
    let plain = diagnosis(&[]);
    assert_eq!(plain.posture.to_string(), "plaintext");
    assert_eq!(holes(&plain), ["plaintext"]);
    assert_eq!(plain.holes[0].closed_by.to_string(), "LIBPROCESS_SSL_ENABLED=true");

    let server = tls(&[]);
    assert_eq!(server.posture.to_string(), "server certificate");
    assert_eq!(holes(&server), ["clients-unverified", "servers-unverified"]);

    let outgoing =
        tls(&[("VERIFY_SERVER_CERT", "true"), ("HOSTNAME_VALIDATION_SCHEME", "openssl")]);
    assert_eq!(outgoing.posture.to_string(), "verified outgoing");
    assert_eq!(holes(&outgoing), ["clients-unverified"]);
    assert_eq!(outgoing.holes[0].closed_by.to_string(), "LIBPROCESS_SSL_REQUIRE_CLIENT_CERT=true");

    let required = [("REQUIRE_CLIENT_CERT", "true"), ("CA_FILE", "/ca")];
    let clients = tls(&[required[0], required[1], ("HOSTNAME_VALIDATION_SCHEME", "openssl")]);
    assert_eq!(clients.posture.to_string(), "client certificates required");
    assert_eq!(holes(&clients), [""; 0]);
    let remarks: Vec<_> = clients.remarks.iter().map(|remark| remark.id).collect();
    assert_eq!(remarks, ["no-forward-secrecy", "no-revocation", "any-certificate"]);
    assert_eq!(holes(&tls(&required)), ["reverse-dns"]);
}

#[test]
fn identities_are_the_strongest_tls_posture_and_have_no_holes() {
    let rules = IdentityRules {
        trust_bundle: "/roots".into(),
        trust_domain: TrustDomain::new("d1").unwrap(),
    };
    let policy = TlsPolicy::identities(MaterialPaths::one("/c", "/k"), rules);
    let diagnosis = diagnose(&policy, &[]);
    assert_eq!(diagnosis.posture.to_string(), "identities");
    assert_eq!(holes(&diagnosis), [""; 0]);
    assert_eq!(Level::ALL.last(), Some(&diagnosis.posture.level));
    let danger = DangerAccepted::asked_by("--danger-plaintext");
    let (policy, notice) = TlsPolicy::danger_plaintext(danger);
    let diagnosis = diagnose(&policy, &[notice]);
    assert_eq!(diagnosis.holes[0].closed_by, Line::Remove("--danger-plaintext".into()));
    assert_eq!(diagnosis.notices.len(), 1);
}

#[test]
fn downgrade_is_said_with_the_tls_posture_and_is_the_first_hole() {
    let every = tls(&[("REQUIRE_CLIENT_CERT", "true"), ("SUPPORT_DOWNGRADE", "true")]);
    assert_eq!(every.posture.to_string(), "client certificates required, with downgrade");
    assert_eq!(holes(&every), ["downgrade", "public-roots", "reverse-dns"]);
}

#[test]
fn an_open_door_is_a_hole_and_one_that_changes_things_lowers_the_tls_level() {
    let readonly = tls(&[
        ("REQUIRE_CLIENT_CERT", "true"),
        ("CA_FILE", "/ca"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
        ("CLIENT_CERTS", "mesos-master-readonly=optional"),
    ]);
    assert_eq!(readonly.posture.level, Level::ClientCertificatesRequired);
    assert_eq!(holes(&readonly), ["open-doors"]);
    assert!(readonly.holes[0].what.contains("mesos-master-readonly"));
    let readwrite = tls(&[
        ("REQUIRE_CLIENT_CERT", "true"),
        ("CLIENT_CERTS", "mesos-master-readwrite=optional"),
    ]);
    assert_eq!(readwrite.posture.level, Level::VerifiedOutgoing);
}

/// The settings that open or close something, with some of their values.
const SAID: [(&str, &[&str]); 14] = [
    ("ENABLED", &["", "true", "true", "true"]),
    ("REQUIRE_CERT", &["", "false", "true"]),
    ("REQUIRE_CLIENT_CERT", &["", "false", "true"]),
    ("VERIFY_CERT", &["", "false", "true"]),
    ("VERIFY_SERVER_CERT", &["", "false", "true"]),
    ("SUPPORT_DOWNGRADE", &["", "true", "false"]),
    ("ENABLE_TLS_V1_0", &["", "true"]),
    ("ENABLE_TLS_V1_1", &["", "true"]),
    ("ENABLE_TLS_V1_2", &["", "true", "false"]),
    ("CA_FILE", &["", "/ca"]),
    ("CLIENT_CERTS", &["", "none", "required", "messages=required", "messages=optional"]),
    ("HOSTNAME_VALIDATION_SCHEME", &["", "legacy", "openssl"]),
    ("PROFILE", &["", "mesos", "intermediate", "modern"]),
    ("CIPHERS", &["", "AES128-SHA", "NULL-SHA", "HIGH:!aNULL", "ECDHE-RSA-AES128-GCM-SHA256"]),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// The one line that stands beside a hole closes it, opens no other, and the program starts.
    #[test]
    fn the_line_beside_a_tls_hole_closes_it(
        picks in SAID.iter().map(|(_, values)| 0..values.len()).collect::<Vec<_>>(),
    ) {
        let mut variables = FILES[1..].to_vec();
        for ((name, values), pick) in SAID.iter().zip(&picks) {
            if !values[*pick].is_empty() {
                variables.push((name, values[*pick]));
            }
        }
        let decide = |variables: &[(&str, &str)]| {
            resolve(&settings(Naming::Mesos, variables), &CryptoSupport::EVERYTHING)
        };
        let Ok(resolved) = decide(&variables) else { return Ok(()) };
        let before = diagnose(&resolved.policy, &resolved.notices);
        for finding in before.holes.iter().chain(&before.remarks) {
            let Line::Set { variable, value } = &finding.closed_by else { continue };
            let name = variable.strip_prefix("LIBPROCESS_SSL_").unwrap();
            let value = value.replace("<file>", "/file");
            let mut changed: Vec<_> =
                variables.iter().filter(|(n, _)| *n != name).copied().collect();
            changed.push((name, &value));
            match decide(&changed) {
                // Nothing else was left to speak.
                Err(errors) => prop_assert!(
                    errors.0.iter().all(|e| matches!(e, PolicyError::NoVersion | PolicyError::NoSuite { .. })),
                    "{}: {}", finding.closed_by, errors
                ),
                Ok(resolved) => {
                    let after = diagnose(&resolved.policy, &resolved.notices);
                    let still = after.holes.iter().chain(&after.remarks)
                        .any(|f| f.id == finding.id && f.closed_by == finding.closed_by);
                    prop_assert!(!still, "{}: {:?}", finding.closed_by, variables);
                    if before.posture.level != Level::Plaintext {
                        for hole in &after.holes {
                            prop_assert!(
                                holes(&before).contains(&hole.id)
                                    // Names begin to matter when somebody is verified.
                                    || ["reverse-dns", "public-roots"].contains(&hole.id),
                                "{} opens {}", finding.closed_by, hole.id
                            );
                        }
                    }
                }
            }
        }
    }
}
