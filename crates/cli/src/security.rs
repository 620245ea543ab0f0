//! From settings and files to what protects connections. The one place of this program where
//! certificates and keys are read.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use endpoints::tls::Tls;
use settings::Protection;
use tls_policy::{
    ChainRules, ClientCertificates, CryptoSupport, DangerAccepted, Demand, IdentityRules, Inbound,
    MaterialPaths, NameCheck, Naming, Outbound, PlaintextPeers, PolicyErrors, PrincipalRules,
    Profile, Resolved, Suites, TlsPolicy, TlsRules, TlsSettings, TrustAnchors, Versions, resolve,
};
use transport::tls::Security;

use crate::args::Elsewhere;
use crate::exit::Failure;

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
        Protection::DangerPlaintext => {
            // The settings have a notice of their own about it.
            log(&Security::DangerPlaintext, &notices);
            return Ok(Tls::danger_plaintext("--danger-plaintext", notices));
        }
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

/// What a client command was told about a cluster elsewhere: an identity of the cluster, or the
/// original's kind of TLS with a certificate or without, or plaintext, as the URL says.
pub(crate) fn of_client(told: &Elsewhere) -> anyhow::Result<Security> {
    let Elsewhere { master, tls_ca, tls_certificate, tls_key, danger_unverified } = told;
    let usage = |text: &str| anyhow::Error::from(Failure::Usage(text.to_owned()));
    match master.as_deref().and_then(|url| url.split_once("://")) {
        Some(("https", _)) => {}
        Some(("http", _)) => {
            let said = [tls_ca, tls_certificate, tls_key].into_iter().any(Option::is_some);
            if said || *danger_unverified {
                return Err(usage("--master says http://, and other options speak of TLS"));
            }
            return Ok(Security::DangerPlaintext);
        }
        _ => return Err(usage("--master is not a URL that begins with https:// or http://")),
    }
    let own = match (tls_certificate, tls_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(usage("--tls-certificate and --tls-key need each other")),
    };
    if *danger_unverified && tls_ca.is_some() {
        return Err(usage("--danger-unverified and --tls-ca contradict each other"));
    }
    if let (Some((certificate, key)), Some(ca)) = (own, tls_ca)
        && pki::identity_of_pem(&read(certificate)?).is_ok()
    {
        return identities(Files { ca, certificate, key });
    }
    let outbound = if *danger_unverified {
        Outbound::Unverified(DangerAccepted::asked_by("--danger-unverified"))
    } else {
        let anchors = match tls_ca {
            Some(file) => TrustAnchors::Files { file: Some(file.clone()), dir: None },
            None => TrustAnchors::System,
        };
        Outbound::Verified(ChainRules { anchors, depth: 4 }, NameCheck::Dialled { ip: true })
    };
    let materials = own.map(|(certificate, key)| MaterialPaths::one(certificate, key));
    let rules = TlsRules {
        inbound: Inbound::AnyClient(DangerAccepted::asked_by("nothing is served")),
        outbound,
        client_certificates: ClientCertificates::everywhere(Demand::None),
        principals: PrincipalRules::default(),
        revocation: None,
        reload: None,
        plaintext_peers: PlaintextPeers::Refused,
        profile: Profile::Mesos,
        versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
        suites: Suites::Compatible,
        groups: None,
        materials: materials.unwrap_or(MaterialPaths { pairs: Vec::new() }),
    };
    Ok(Security::load(&TlsPolicy::Tls(rules))?)
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
