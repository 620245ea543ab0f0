//! How variables are read.

use std::path::Path;

use alcazar_tls_policy::{
    Naming, Notice, PolicyError, PolicyErrors, Said, TlsSettings, VARIABLES, ValueKind,
};
use proptest::prelude::*;

fn read_as(naming: Naming, variables: &[(&str, &str)]) -> Result<TlsSettings, PolicyErrors> {
    let environment = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let files = |path: &Path| match path.to_str() {
        Some("/ciphers") => Ok("AES256-SHA".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    };
    TlsSettings::read(naming, environment, &files)
}

fn read(variables: &[(&str, &str)]) -> Result<TlsSettings, PolicyErrors> {
    read_as(Naming::Mesos, variables)
}

fn error(variables: &[(&str, &str)]) -> PolicyError {
    let PolicyErrors(mut errors) = read(variables).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

fn said<T>(value: T, variable: &str) -> Option<Said<T>> {
    Some(Said { value, variable: variable.to_owned() })
}

#[test]
fn booleans_are_read_as_the_original_reads_them() {
    for (value, expected) in
        [("true", true), ("1", true), ("", true), ("false", false), ("0", false)]
    {
        let settings = read(&[("LIBPROCESS_SSL_ENABLED", value)]).unwrap();
        assert_eq!(settings.enabled, said(expected, "LIBPROCESS_SSL_ENABLED"), "{value:?}");
    }
    for value in ["True", "yes", "on", " true", "2"] {
        let error = error(&[("LIBPROCESS_SSL_ENABLED", value)]);
        assert!(matches!(error, PolicyError::Value { .. }), "{value:?}: {error}");
    }
    let negated = read(&[("LIBPROCESS_SSL_no-ENABLE_TLS_V1_2", "")]).unwrap();
    assert_eq!(negated.enable_tls_v1_2, said(false, "LIBPROCESS_SSL_no-ENABLE_TLS_V1_2"));
    let with_value = error(&[("LIBPROCESS_SSL_no-ENABLED", "true")]);
    assert!(matches!(with_value, PolicyError::Value { .. }));
    let both = error(&[("LIBPROCESS_SSL_ENABLED", "1"), ("LIBPROCESS_SSL_no-ENABLED", "")]);
    assert!(matches!(both, PolicyError::BothForms { .. }), "{both}");
}

#[test]
fn the_new_prefix_wins_over_the_old_and_lower_case_over_upper() {
    let settings = read(&[("SSL_ENABLED", "false"), ("LIBPROCESS_SSL_ENABLED", "true")]).unwrap();
    assert_eq!(settings.enabled, said(true, "LIBPROCESS_SSL_ENABLED"));
    assert_eq!(
        settings.notices,
        [Notice::Mismatch { used: "LIBPROCESS_SSL_ENABLED".into(), ignored: "SSL_ENABLED".into() }]
    );
    let same = read(&[("SSL_ENABLED", "true"), ("LIBPROCESS_SSL_ENABLED", "true")]).unwrap();
    assert_eq!(same.notices, []);
    let old = read(&[("SSL_ENABLED", "true")]).unwrap();
    assert_eq!(old.enabled, said(true, "SSL_ENABLED"));
    let cases =
        read(&[("LIBPROCESS_SSL_ENABLED", "false"), ("LIBPROCESS_SSL_enabled", "true")]).unwrap();
    assert_eq!(cases.enabled, said(true, "LIBPROCESS_SSL_enabled"));
    let prefix = read(&[("libprocess_ssl_enabled", "true")]).unwrap();
    assert_eq!(prefix.enabled, None, "the prefix is case sensitive");
}

#[test]
fn documented_names_that_the_original_never_read_are_read() {
    for (name, value) in [("VERIFY_DEPTH", "2"), ("VERIFICATION_DEPTH", "2")] {
        let settings = read(&[(&format!("LIBPROCESS_SSL_{name}"), value)]).unwrap();
        assert_eq!(settings.verification_depth.unwrap().value, 2, "{name}");
    }
    let settings = read(&[("LIBPROCESS_SSL_ECDH_CURVE", "prime256v1")]).unwrap();
    assert_eq!(settings.ecdh_curves.unwrap().value, "prime256v1");
    let settings = read(&[("LIBPROCESS_SSL_ENABLE_DOWNGRADE", "1")]).unwrap();
    assert!(settings.support_downgrade.unwrap().value);
    assert!(matches!(&settings.notices[..], [Notice::Deprecated { .. }]));
}

#[test]
fn an_unknown_name_is_an_error_for_us_and_a_notice_for_the_originals_names() {
    let typo = [("LIBPROCESS_SSL_REQUIRE_CLIENT_CERTS", "1")];
    let near = Some("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT".to_owned());
    let strict = read_as(Naming::Alcazar, &typo).unwrap_err();
    let variable = typo[0].0.to_owned();
    assert_eq!(
        strict.0,
        [PolicyError::Unknown { variable: variable.clone(), suggestion: near.clone() }]
    );
    assert!(strict.to_string().contains("did you mean `LIBPROCESS_SSL_REQUIRE_CLIENT_CERT`?"));
    let lenient = read(&typo).unwrap();
    assert_eq!(lenient.notices, [Notice::Unknown { variable, suggestion: near }]);
    // Other software's variables are its own.
    assert_eq!(read_as(Naming::Alcazar, &[("SSL_CERT_DIR", "/etc/ssl")]).unwrap().notices, []);
}

#[test]
fn an_ordinary_ssl_cert_file_is_no_identity() {
    let roots = ("SSL_CERT_FILE", "/etc/ssl/roots.pem");
    let alone = read(&[roots]).unwrap();
    assert_eq!((alone.cert_file, alone.notices), (None, vec![]));
    for configured in [("LIBPROCESS_SSL_ENABLED", "1"), ("LIBPROCESS_SSL_KEY_FILE", "/k.pem")] {
        let astray = read(&[roots, configured]).unwrap();
        assert_eq!(astray.cert_file, None);
        assert!(
            matches!(&astray.notices[..], [Notice::Ignored { variable, .. }] if variable == roots.0),
            "{configured:?}"
        );
        let ours = ("LIBPROCESS_SSL_CERT_FILE", "/c.pem");
        let both = read(&[roots, configured, ours]).unwrap();
        assert_eq!(both.cert_file.unwrap().value, Path::new(ours.1));
        assert_eq!(both.notices, []);
    }
    let pair = read(&[("SSL_CERT_FILE", "/c.pem"), ("SSL_KEY_FILE", "/k.pem")]).unwrap();
    assert_eq!(pair.cert_file.unwrap().value, Path::new("/c.pem"));
}

#[test]
fn a_path_is_used_as_it_is_and_a_text_may_be_a_file() {
    let settings = read(&[
        ("LIBPROCESS_SSL_KEY_FILE", "file:///k.pem"),
        ("LIBPROCESS_SSL_CIPHERS", "file:///ciphers"),
    ])
    .unwrap();
    assert_eq!(settings.key_file.unwrap().value, Path::new("/k.pem"));
    assert_eq!(settings.ciphers.unwrap().value, "AES256-SHA");
    let missing = error(&[("LIBPROCESS_SSL_CIPHERS", "file:///nowhere")]);
    assert!(matches!(missing, PolicyError::Unreadable { .. }), "{missing}");
    assert!(matches!(error(&[("LIBPROCESS_SSL_CA_FILE", "")]), PolicyError::Value { .. }));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wrong = [
        ("LIBPROCESS_SSL_ENABLED", "maybe"),
        ("LIBPROCESS_SSL_VERIFICATION_DEPTH", "-1"),
        ("LIBPROCESS_SSL_FROBNICATE", "1"),
    ];
    let errors = read_as(Naming::Alcazar, &wrong).unwrap_err();
    assert_eq!(errors.0.len(), 3, "{errors}");
}

#[test]
fn every_variable_is_read_into_its_setting() {
    for variable in VARIABLES {
        let value = match variable.kind {
            ValueKind::Bool => "true",
            ValueKind::Number => "3",
            ValueKind::Path | ValueKind::Text => "x",
        };
        let settings = read(&[(&format!("LIBPROCESS_SSL_{}", variable.name), value)]).unwrap();
        let changed = settings != TlsSettings::silent(Naming::Mesos);
        assert!(changed, "{}", variable.name);
    }
}

proptest! {
    #[test]
    fn no_environment_panics(
        variables in proptest::collection::vec(("(LIBPROCESS_)?SSL_[A-Za-z_-]{0,20}", "\\PC{0,10}"), 0..6),
    ) {
        let none = |_: &Path| Err(String::new());
        let _ = TlsSettings::read(Naming::Mesos, variables.clone(), &none);
        let _ = TlsSettings::read(Naming::Alcazar, variables, &none);
    }
}
