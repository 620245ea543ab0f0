//! From settings and files to what protects connections. The one place of this program where
//! certificates and keys are read.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use endpoints::tls::Tls;
use settings::{Protection, TlsFlag};
use tls_policy::{
    ChainRules, ClientCertificates, CryptoSupport, DangerAccepted, Demand, Flag, IdentityRules,
    Inbound, MaterialPair, MaterialPaths, NameCheck, Naming, Outbound, OwnIdentity, PlaintextPeers,
    PolicyErrors, PrincipalRules, Profile, Resolved, Suites, TlsPolicy, TlsRules, TlsSettings,
    TrustAnchors, Versions, resolve, resolve_identities,
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
    let policy = TlsPolicy::identities(
        MaterialPaths::one(files.certificate, files.key),
        identity_rules(files.certificate, files.ca)?,
    );
    Ok(Security::load(&policy)?)
}

/// Whom to believe; the trust domain is that of our own certificate.
fn identity_rules(certificate: &Path, trust_bundle: &Path) -> anyhow::Result<IdentityRules> {
    let own = pki::identity_of_pem(&read(certificate)?)
        .with_context(|| format!("{} names no component", certificate.display()))?;
    Ok(IdentityRules {
        trust_bundle: trust_bundle.to_owned(),
        trust_domain: own.trust_domain().clone(),
    })
}

/// What flags and variables say to a daemon that is called by a name of our own.
fn own_settings(
    flags: &[TlsFlag],
    environment: &[(String, String)],
) -> Result<TlsSettings, PolicyErrors> {
    let flags = flags.iter().cloned();
    let flags = flags.map(|TlsFlag { name, value, spelled }| Flag { name, value, spelled });
    TlsSettings::read_with_flags(Naming::Alcazar, flags, environment.iter().cloned(), &read_text)
}

fn usage(errors: PolicyErrors) -> Failure {
    Failure::Usage(errors.to_string())
}

fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

/// What a policy comes to, with the files that it names, and what is to be said about it.
fn loaded(resolved: &Resolved) -> anyhow::Result<(Security, Vec<String>)> {
    let notices = resolved.notices.iter().map(ToString::to_string).collect();
    let security = Security::load(&resolved.policy)
        .context("cannot do what the settings of TLS (LIBPROCESS_SSL_*, --tls-*) ask for")?;
    Ok((security, notices))
}

/// What protects a daemon's connections. `notices` and what else its operator should know goes to
/// the log.
pub(crate) fn of_daemon(
    protection: &Protection,
    environment: &[(String, String)],
    mut notices: Vec<String>,
) -> anyhow::Result<Arc<Tls>> {
    let (security, more) = loaded_of_daemon(protection, environment)?;
    notices.extend(more);
    log(&security, &notices);
    Ok(match protection {
        Protection::DangerPlaintext => Tls::danger_plaintext("--danger-plaintext", notices),
        _ => Tls::new(security, notices),
    })
}

/// The same, with what is to be said about it.
pub(crate) fn loaded_of_daemon(
    protection: &Protection,
    environment: &[(String, String)],
) -> anyhow::Result<(Security, Vec<String>)> {
    match protection {
        // The settings have a notice of their own about it.
        Protection::DangerPlaintext => Ok((Security::DangerPlaintext, Vec::new())),
        Protection::Identities { certificate, key, trust_bundle, flags } => {
            let own = OwnIdentity {
                materials: MaterialPair::new(certificate, key),
                rules: identity_rules(certificate, trust_bundle)?,
                said_by: "--tls_certificate",
            };
            let said = own_settings(flags, environment);
            let resolved =
                said.and_then(|said| resolve_identities(&said, &own, &CryptoSupport::EVERYTHING));
            loaded(&resolved.map_err(usage)?)
        }
        Protection::Given(flags) => {
            let said = own_settings(flags, environment);
            let resolved = said.and_then(|said| resolve(&said, &CryptoSupport::EVERYTHING));
            loaded(&resolved.map_err(usage)?)
        }
        Protection::Variables => of_variables(environment),
    }
}

/// What the variables `LIBPROCESS_SSL_*` come to, under the names of the original.
pub(crate) fn resolve_variables(
    environment: &[(String, String)],
) -> Result<Resolved, PolicyErrors> {
    let said = TlsSettings::read(Naming::Mesos, environment.iter().cloned(), &read_text)?;
    resolve(&said, &CryptoSupport::EVERYTHING)
}

/// What the variables `LIBPROCESS_SSL_*` say.
pub(crate) fn of_variables(
    environment: &[(String, String)],
) -> anyhow::Result<(Security, Vec<String>)> {
    loaded(&resolve_variables(environment)?)
}

/// What a client command was told about a cluster elsewhere: an identity of the cluster, or the
/// original's kind of TLS with a certificate or without, or plaintext, as the URL says.
pub(crate) fn of_client(told: &Elsewhere) -> anyhow::Result<Security> {
    let Elsewhere { master, tls_ca, tls_certificate, tls_key, danger_unverified, .. } = told;
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

    fn flag(name: &str, value: &str) -> TlsFlag {
        let spelled = format!("--tls-{}", name.to_lowercase().replace('_', "-"));
        TlsFlag { name: name.to_owned(), value: value.to_owned(), spelled }
    }

    fn given(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> anyhow::Error {
        let flags = flags.iter().map(|(name, value)| flag(name, value)).collect();
        let environment: Vec<_> =
            environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        of_daemon(&Protection::Given(flags), &environment, Vec::new()).unwrap_err()
    }

    #[test]
    fn tls_settings_that_contradict_each_other_are_a_wrong_usage_of_our_commands() {
        let files = [("ENABLED", "true"), ("CERT_FILE", "/c"), ("KEY_FILE", "/k")];
        let with = |more: &[(&'static str, &'static str)]| [&files[..], more].concat();
        let downgrade = with(&[("REQUIRE_CLIENT_CERT", "true"), ("SUPPORT_DOWNGRADE", "true")]);
        let unprotected = with(&[]);
        for (flags, environment, words) in [
            (downgrade, &[][..], ["--tls-support-downgrade", "--tls-require-client-cert"]),
            (unprotected, &[], ["LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", "VERIFY_SERVER_CERT"]),
            (
                with(&[("REQUIRE_CLIENT_CERT", "true")]),
                &[("LIBPROCESS_SSL_KEY_FILE", "/other")],
                ["--tls-key-file", "LIBPROCESS_SSL_KEY_FILE"],
            ),
            (
                with(&[("REQUIRE_CLIENT_CERT", "true")]),
                &[("LIBPROCESS_SSL_VERIFY_DEPT", "1")],
                ["LIBPROCESS_SSL_VERIFY_DEPT", "did you mean"],
            ),
        ] {
            let error = given(&flags, environment);
            assert_eq!(crate::exit::status_of(&error), crate::exit::USAGE, "{error:#}");
            let text = format!("{error:#}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    /// The table for people and the one that is read are two, in crates that do not know each
    /// other; here both are known.
    #[test]
    fn the_tables_of_tls_settings_say_the_same() {
        use settings::{Kind, Place, Program, SECTIONS, flags};
        use tls_policy::{VARIABLES, ValueKind};
        let rows: Vec<_> = SECTIONS
            .iter()
            .filter(|section| section.place == Place::Variables)
            .flat_map(|section| section.rows)
            .filter(|row| row.name.starts_with("LIBPROCESS_SSL_"))
            .collect();
        assert_eq!(rows.len(), VARIABLES.len());
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/user/tls.md");
        let page = std::fs::read_to_string(page).unwrap();
        for variable in VARIABLES {
            let row = rows.iter().find(|row| row.name == variable.full);
            let row = row.unwrap_or_else(|| panic!("no row {}", variable.full));
            let kind = match variable.kind {
                ValueKind::Bool => Kind::Bool,
                ValueKind::Number => Kind::Size,
                ValueKind::Path => Kind::Path,
                ValueKind::Text => Kind::String,
            };
            assert_eq!(row.kind, kind, "{}", variable.full);
            for spelling in variable.documented {
                assert!(row.help.contains(spelling), "{}", variable.full);
            }
            let name = format!("tls_{}", variable.name.to_lowercase());
            for program in [Program::Master, Program::Agent] {
                let flag = flags(program).find(|(_, row)| row.name == name);
                let flag = flag.map(|(section, row)| (section.place, row.kind));
                let expected = (variable.name != "HELP").then_some((Place::OwnFlags, kind));
                assert_eq!(flag, expected, "{name}");
            }
            let shown = page.contains(&format!("`{}`", variable.name));
            assert_eq!(shown, variable.name != "HELP", "{} in tls.md", variable.name);
        }
    }
}
