//! From settings and files to how daemons authenticate others, and themselves. The one place of
//! this program's daemons where credentials are read.

mod agent;
mod facts;
mod files;
mod master;
mod watched;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use authn::accounts::file::{CredentialFile, Remark, Rules};
use authn::accounts::{Accounts, Directory};
use authn::diagnosis::{Facts, diagnose};
use authn::jwt::{Jwks, LEEWAY, Published};
use authn::live::Live;
use endpoints::audit::AuditFile;
use endpoints::authentication::{Authentication, OpenSsl};
use settings::{HttpScheme, HttpSettings, Naming, SaslMechanism, SaslSettings};
use transport::tls::Security;

pub(crate) use agent::{OfAgent, of_agent};
pub(crate) use facts::{agent_facts, master_facts};
pub(crate) use files::read;
pub(crate) use master::{OfMaster, of_master};
pub(crate) use watched::{WatchedFile, WatchedFiles};

/// What is said where somebody could listen.
const PLAINTEXT_BASIC: &str =
    "connections are not encrypted: whoever listens can read the secrets of HTTP Basic";

/// What is weak about SASL because nobody said otherwise, under the names of the original. (What
/// somebody asked for has had its notice.)
fn weak_sasl(sasl: &SaslSettings, security: &Security) -> Vec<String> {
    let mut notices = Vec::new();
    if !sasl.mechanisms.contains(&SaslMechanism::CramMd5) {
        return notices;
    }
    if is_plaintext(security) && sasl.danger_plaintext_secrets {
        notices.push(
            "CRAM-MD5 may run without encryption: whoever listens can guess the secrets of those \
             that use it (--no-danger_plaintext_secrets ends it)"
                .to_owned(),
        );
    }
    if sasl.danger_same_address_sessions {
        notices.push(
            "the session of a component of the original counts on all connections from its \
             address for a time (--no-danger_same_address_sessions ends it)"
                .to_owned(),
        );
    }
    notices
}

/// What a daemon keeps of it: where decisions go, the files that are watched, and what the doctor
/// says, which follows the files. Writes `notices` to the log.
fn kept(
    http: Authentication,
    audit_log: Option<&Path>,
    files: Vec<WatchedFile>,
    facts: impl Fn() -> Facts + Send + Sync + 'static,
    notices: Vec<String>,
) -> anyhow::Result<(Authentication, Arc<WatchedFiles>)> {
    for notice in &notices {
        tracing::warn!("{notice}");
    }
    let audit = audit_log.map(|path| {
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        anyhow::Ok(AuditFile::open(path)?)
    });
    let audit = audit.transpose()?;
    let diagnosis = Arc::new(Live::new(diagnose(&facts(), notices.clone())));
    let mut http = http.with_diagnosis(Arc::clone(&diagnosis));
    if let Some(audit) = &audit {
        let audit: Arc<AuditFile> = Arc::clone(audit);
        http = http.with_audit(audit);
    }
    let after = move || diagnosis.replace(diagnose(&facts(), notices.clone()));
    Ok((http, WatchedFiles::new(files, audit, after)))
}

/// How credential files are read under a name.
pub(crate) fn rules(naming: Naming) -> Rules {
    match naming {
        Naming::Alcazar => Rules::Own,
        Naming::Mesos => Rules::Mesos,
    }
}

/// The accounts of a file, which are read again when it changes.
#[derive(Debug)]
struct Loaded {
    accounts: Arc<Live<Accounts>>,
    file: WatchedFile,
    notices: Vec<String>,
}

impl Loaded {
    fn directory(&self) -> Arc<dyn Directory> {
        Arc::<Live<Accounts>>::clone(&self.accounts)
    }
}

/// Reads the accounts of `flag`.
fn accounts(path: &Path, flag: &'static str, naming: Naming) -> anyhow::Result<Loaded> {
    tracing::info!("Loading credentials for authentication from '{}'", path.display());
    let parse = move |path: &Path, text: &[u8]| -> anyhow::Result<CredentialFile> {
        CredentialFile::parse(text, rules(naming)).map_err(|error| {
            anyhow::anyhow!(
                "cannot use credentials file '{}': {error} (see --{flag} flag)",
                path.display()
            )
        })
    };
    let (text, mut notices) = read(path, "credentials", flag, naming)?;
    let file = parse(path, text.expose())?;
    notices.extend(about(path, &file.remarks()));
    let accounts = Arc::new(Live::new(file.accounts()));
    let live = Arc::clone(&accounts);
    let file = WatchedFile::new(path, text, move |path| {
        let (text, mut notices) = read(path, "credentials", flag, naming)?;
        let file = parse(path, text.expose())?;
        notices.extend(about(path, &file.remarks()));
        Ok((text, notices, {
            let live = Arc::clone(&live);
            Box::new(move || live.replace(file.accounts()))
        }))
    });
    Ok(Loaded { accounts, file, notices })
}

/// One notice for each sort of remark, however many entries it is about.
fn about(path: &Path, remarks: &[Remark]) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut notices: Vec<String> = Vec::new();
    let mut kinds = Vec::new();
    for remark in remarks {
        let kind = std::mem::discriminant(remark);
        // A rotation is nothing weak; `alcazar credentials check` speaks of it.
        if kinds.contains(&kind) || matches!(remark, Remark::Rotating(_)) {
            continue;
        }
        kinds.push(kind);
        let same = remarks.iter().filter(|other| std::mem::discriminant(*other) == kind);
        let names: Vec<_> = same
            .filter_map(Remark::principal)
            .map(|name| format!("\"{}\"", name.escape_debug()))
            .collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = names.get(..SHOWN).unwrap_or(&names).join(", ");
        notices.push(match remark.principal() {
            None => format!("credentials file '{}': {remark}", path.display()),
            Some(_) => {
                format!("credentials file '{}': {names}{more}: {}", path.display(), remark.what())
            }
        });
    }
    notices
}

/// The keys of others who sign tokens.
fn published(http: &HttpSettings) -> anyhow::Result<Option<(Published, WatchedFile)>> {
    let (Some(path), Some(audience)) = (&http.jwks, &http.jwt_audience) else { return Ok(None) };
    let parse = |path: &Path, text: &[u8]| {
        let keys = Jwks::parse(text).map_err(|error| {
            anyhow::anyhow!("cannot use '{}': {error} (see --jwks flag)", path.display())
        })?;
        for skipped in keys.skipped() {
            tracing::warn!("'{}': {skipped}", path.display());
        }
        anyhow::Ok(keys)
    };
    // They are public: whoever may read them may.
    let text = files::content(path, "jwks")?;
    let keys = Arc::new(Live::new(parse(path, text.expose())?));
    let live = Arc::clone(&keys);
    let file = WatchedFile::new(path, text, move |path| {
        let text = files::content(path, "jwks")?;
        let keys = parse(path, text.expose())?;
        let live = Arc::clone(&live);
        Ok((text, Vec::new(), Box::new(move || live.replace(keys))))
    });
    let published = Published {
        keys,
        signatures: Arc::new(OpenSsl),
        audience: Some(audience.clone()),
        leeway: LEEWAY,
    };
    Ok(Some((published, file)))
}

/// Reads the files that a master would read, and keeps nothing; returns what it would say about
/// them.
pub(crate) fn readable_by_master(
    settings: &settings::MasterSettings,
    naming: Naming,
) -> anyhow::Result<Vec<String>> {
    let told = &settings.authentication;
    let mut notices = Vec::new();
    if let Some(path) = &told.credentials {
        notices.extend(accounts(path, "credentials", naming)?.notices);
    }
    published(&told.http)?;
    Ok(notices)
}

/// The same for an agent.
pub(crate) fn readable_by_agent(
    settings: &settings::AgentSettings,
    naming: Naming,
) -> anyhow::Result<Vec<String>> {
    let told = &settings.authentication;
    let mut notices = Vec::new();
    if let Some(path) = &told.credential {
        notices.extend(agent::credential(path, naming)?.2);
    }
    if let Some(path) = &told.http_credentials {
        notices.extend(accounts(path, "http_credentials", naming)?.notices);
    }
    if let Some(path) = &told.jwt_secret_key {
        notices.extend(agent::executor_key(path, naming)?.1);
    }
    published(&told.http)?;
    Ok(notices)
}

/// The list as the flags have it; `None` where there is nothing to ask for.
fn names(schemes: &[HttpScheme]) -> Option<String> {
    let name = |scheme: &HttpScheme| match scheme {
        HttpScheme::Basic => "basic",
        HttpScheme::Jwt => "jwt",
        HttpScheme::Certificate => "certificate",
    };
    let names: Vec<_> = schemes.iter().map(name).collect();
    (!names.is_empty()).then(|| names.join(","))
}

fn mechanism_names(mechanisms: &[SaslMechanism]) -> Vec<String> {
    mechanisms.iter().map(|one| one.name().to_owned()).collect()
}

/// Whether certificates carry identities, so that every realm asks for one.
fn has_identities(protection: &settings::Protection) -> bool {
    matches!(protection, settings::Protection::Identities { .. })
}

fn is_plaintext(security: &Security) -> bool {
    matches!(security, Security::DangerPlaintext)
}

#[cfg(test)]
mod authn_notices {
    use super::*;

    #[test]
    fn what_is_weak_for_the_sake_of_the_original_is_said() {
        let all = SaslSettings {
            mechanisms: SaslMechanism::ALL.to_vec(),
            is_said: false,
            danger_plaintext_secrets: true,
            danger_same_address_sessions: true,
        };
        let plain = &Security::DangerPlaintext;
        assert_eq!(weak_sasl(&all, plain).len(), 2);
        let strict = SaslSettings { danger_same_address_sessions: false, ..all.clone() };
        assert!(weak_sasl(&strict, plain)[0].contains("--no-danger_plaintext_secrets"));
        let strict = SaslSettings { danger_plaintext_secrets: false, ..all.clone() };
        assert!(weak_sasl(&strict, plain)[0].contains("--no-danger_same_address_sessions"));
        let strong = SaslSettings { mechanisms: vec![SaslMechanism::ScramSha256], ..all };
        assert_eq!(weak_sasl(&strong, plain), [""; 0]);
    }

    #[test]
    fn many_entries_make_one_notice_of_a_sort() {
        let remarks: Vec<_> = (1..=7).map(|n| Remark::Plaintext(format!("p{n}"))).collect();
        let remarks = [&remarks[..], &[Remark::Rotating("r".into())]].concat();
        let notices = about(Path::new("/c"), &remarks);
        assert_eq!(notices.len(), 1, "{notices:?}");
        let expected = "credentials file '/c': \"p1\", \"p2\", \"p3\", \"p4\", \"p5\" and 2 more: ";
        assert!(notices[0].starts_with(expected), "{notices:?}");
        let notices = about(Path::new("/c"), &[Remark::Nobody]);
        assert!(notices[0].contains("nobody can authenticate"), "{notices:?}");
    }
}
