//! From variables to policy, and from policy to what is to be said about it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod tls_diagnosis;
mod tls_identities;
mod tls_product;
mod tls_reading;
mod tls_resolving;
mod tls_settings;

use std::path::Path;

use alcazar_tls_policy::{
    CryptoSupport, DangerAccepted, Naming, Notice, PolicyError, PolicyErrors, Resolved, TlsRules,
    TlsSettings, resolve,
};

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

/// Whether a notice says that a setting has no effect.
fn ignored(resolved: &Resolved, name: &str) -> bool {
    let full = format!("LIBPROCESS_SSL_{name}");
    resolved
        .notices
        .iter()
        .any(|n| matches!(n, Notice::Ignored { variable, .. } if *variable == full))
}
