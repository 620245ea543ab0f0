//! Our own posture with the settings that fit it.

use alcazar_tls_policy::{
    CryptoSupport, Demand, IdentityRules, Inbound, Level, MESSAGES, MaterialPair, MaterialPaths,
    Naming, OwnIdentity, PassphraseSource, PolicyError, PolicyErrors, Profile, Resolved, Suites,
    TlsPolicy, TlsSettings, resolve_identities,
};
use model::identity::TrustDomain;

use super::{settings, weakened_by};

fn own() -> OwnIdentity {
    OwnIdentity {
        materials: MaterialPair::new("/own.pem", "/own.key"),
        rules: IdentityRules {
            trust_bundle: "/roots".into(),
            trust_domain: TrustDomain::new("d1").unwrap(),
        },
        said_by: "--tls_certificate",
    }
}

fn resolved(variables: &[(&str, &str)]) -> Result<Resolved, PolicyErrors> {
    let said = settings(Naming::Alcazar, variables);
    resolve_identities(&said, &own(), &CryptoSupport::EVERYTHING)
}

#[test]
fn identities_alone_are_the_tls_posture_of_our_commands() {
    let OwnIdentity { rules, .. } = own();
    let silent = TlsSettings::silent(Naming::Alcazar);
    let resolved = resolve_identities(&silent, &own(), &CryptoSupport::EVERYTHING).unwrap();
    assert_eq!(resolved.notices, []);
    let expected = TlsPolicy::identities(MaterialPaths::one("/own.pem", "/own.key"), rules);
    assert_eq!(resolved.policy, expected);
    assert_eq!(expected.posture().level, Level::Identities);
}

#[test]
fn identities_take_the_tls_settings_that_fit_them() {
    let resolved = resolved(&[
        ("PROFILE", "modern"),
        ("CRL_FILE", "/crl"),
        ("KEY_PASSPHRASE_FILE", "/p"),
        ("ALT_CERT_FILE", "/alt.pem"),
        ("ALT_KEY_FILE", "/alt.key"),
        ("RELOAD", "false"),
        ("CLIENT_CERTS", "mesos-master-readonly=optional"),
        // Said already, by the identities.
        ("ENABLED", "true"),
        ("REQUIRE_CLIENT_CERT", "true"),
    ])
    .unwrap();
    let rules = resolved.policy.rules().unwrap();
    assert!(matches!(rules.inbound, Inbound::ComponentIdentity(_)));
    assert_eq!((rules.profile, &rules.suites), (Profile::Modern, &Suites::Modern));
    assert!(!rules.versions.tls12);
    assert_eq!(rules.revocation.as_deref().unwrap().to_str(), Some("/crl"));
    assert_eq!(rules.materials.pairs.len(), 2);
    for pair in &rules.materials.pairs {
        assert_eq!(pair.passphrase, Some(PassphraseSource::File("/p".into())));
    }
    assert_eq!(rules.reload, None);
    assert_eq!(rules.client_certificates.at("mesos-master-readonly"), Demand::Optional);
    assert_eq!(rules.client_certificates.at(MESSAGES), Demand::Required);
    assert!(weakened_by(&resolved, "LIBPROCESS_SSL_CLIENT_CERTS"));
}

#[test]
fn identities_contradict_the_other_kind_of_tls_and_every_weakening() {
    for variable in [
        ("CERT_FILE", "/c"),
        ("KEY_FILE", "/k"),
        ("CA_FILE", "/ca"),
        ("CA_DIR", "/ca"),
        ("VERIFY_IPADD", "true"),
        ("VERIFICATION_DEPTH", "1"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
        ("ENABLED", "false"),
        ("VERIFY_SERVER_CERT", "false"),
        ("REQUIRE_CERT", "false"),
        ("SUPPORT_DOWNGRADE", "true"),
        ("CLIENT_CERTS", "messages=optional"),
        ("CLIENT_CERTS", "optional"),
    ] {
        let PolicyErrors(errors) = resolved(&[variable]).unwrap_err();
        assert!(
            matches!(&errors[..], [PolicyError::Contradiction { other, .. }] if other == "--tls_certificate"),
            "{variable:?}: {errors:?}"
        );
    }
}
