//! From settings and files to what protects connections. The one place of this program where
//! certificates and keys are read.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use endpoints::tls::Tls;
use settings::Protection;
use tls_policy::{
    CryptoSupport, IdentityRules, MaterialPaths, Naming, PolicyErrors, Resolved, TlsPolicy,
    TlsSettings, resolve,
};
use transport::tls::Security;

/// The three files that every component has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    /// The roots that are believed.
    pub(crate) ca: &'a Path,
    /// Our certificate and its intermediates.
    pub(crate) certificate: &'a Path,
    /// Our key.
    pub(crate) key: &'a Path,
}

/// Mutual TLS with these files; the trust domain is that of our own certificate.
pub(crate) fn identities(files: Files<'_>) -> anyhow::Result<Security> {
    let own = pki::identity_of_pem(&read(files.certificate)?)
        .with_context(|| format!("{} names no component", files.certificate.display()))?;
    let policy = TlsPolicy::identities(
        MaterialPaths::one(files.certificate, files.key),
        IdentityRules {
            trust_bundle: files.ca.to_owned(),
            trust_domain: own.trust_domain().clone(),
        },
    );
    Ok(Security::load(&policy)?)
}

/// What protects a daemon's connections. `notices` and what else its operator should know goes to
/// the log.
pub(crate) fn of_daemon(
    protection: &Protection,
    environment: &[(String, String)],
    mut notices: Vec<String>,
) -> anyhow::Result<Arc<Tls>> {
    let (security, more) = match protection {
        // The settings have a notice of their own about it.
        Protection::DangerPlaintext => (Security::DangerPlaintext, Vec::new()),
        Protection::Identities { certificate, key, trust_bundle } => {
            let files = Files { ca: trust_bundle, certificate, key };
            (identities(files)?, Vec::new())
        }
        Protection::Variables => of_variables(environment)?,
    };
    notices.extend(more);
    log(&security, &notices);
    Ok(Tls::new(security, notices))
}

/// What the variables `LIBPROCESS_SSL_*` come to, under the names of the original.
pub(crate) fn resolve_variables(
    environment: &[(String, String)],
) -> Result<Resolved, PolicyErrors> {
    let read_text = |path: &Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
    let said = TlsSettings::read(Naming::Mesos, environment.iter().cloned(), &read_text)?;
    resolve(&said, &CryptoSupport::EVERYTHING)
}

/// What the variables `LIBPROCESS_SSL_*` say.
pub(crate) fn of_variables(
    environment: &[(String, String)],
) -> anyhow::Result<(Security, Vec<String>)> {
    let resolved = resolve_variables(environment)?;
    let notices = resolved.notices.iter().map(ToString::to_string).collect();
    let security = Security::load(&resolved.policy)
        .context("cannot do what the variables LIBPROCESS_SSL_* ask for")?;
    Ok((security, notices))
}

/// Writes notices to the log, and what the files themselves give reason to say.
pub(crate) fn log(security: &Security, notices: &[String]) {
    for notice in notices {
        tracing::warn!("{notice}");
    }
    if let Security::Tls(contexts) = security {
        for notice in contexts.notices() {
            tracing::warn!("{notice}");
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> anyhow::Result<(Security, Vec<String>)> {
        let owned: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        of_variables(&owned)
    }

    #[test]
    fn silent_variables_mean_plaintext_and_say_so() {
        let (security, notices) = variables(&[]).unwrap();
        assert!(matches!(security, Security::DangerPlaintext));
        assert!(!notices.is_empty());
    }

    #[test]
    fn tls_that_cannot_be_had_is_refused_by_name_and_never_left_out() {
        for more in [&[][..], &[("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", "true")]] {
            let mut all = vec![
                ("LIBPROCESS_SSL_ENABLED", "true"),
                ("LIBPROCESS_SSL_CERT_FILE", "/nowhere/c"),
                ("LIBPROCESS_SSL_KEY_FILE", "/nowhere/k"),
            ];
            all.extend_from_slice(more);
            let error = format!("{:#}", variables(&all).unwrap_err());
            assert!(error.contains("LIBPROCESS_SSL_") && error.contains("/nowhere/c"), "{error}");
        }
        let error = format!("{:#}", variables(&[("LIBPROCESS_SSL_ENABLED", "true")]).unwrap_err());
        assert!(error.contains("LIBPROCESS_SSL_KEY_FILE"), "{error}");
    }
}
