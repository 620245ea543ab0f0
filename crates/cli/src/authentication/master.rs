//! How a master authenticates its clients.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use authn::accounts::{Accounts, Directory, derive};
use authn::sasl::offer::{Authenticators, ServerSettings};
use authn::secret::Secret;
use endpoints::authentication::{Authentication, Known, MasterFlags, Realms};
use master::runtime::Sasl;
use rand::RngExt as _;
use settings::{MasterSettings, Naming, SaslMechanism};
use transport::tls::Security;

use super::facts::master_facts;
use super::{
    PLAINTEXT_BASIC, WatchedFiles, accounts, has_identities, is_plaintext, kept, mechanism_names,
    names, weak_sasl,
};

/// What a master is started with.
#[derive(Debug)]
pub(crate) struct OfMaster {
    pub(crate) sasl: Sasl,
    pub(crate) http: Authentication,
    pub(crate) files: Arc<WatchedFiles>,
}

/// Reads what `settings` name. `host` is the name that challenges carry.
pub(crate) fn of_master(
    settings: &MasterSettings,
    naming: Naming,
    security: &Security,
    host: &str,
) -> anyhow::Result<OfMaster> {
    let told = &settings.authentication;
    let mut files = Vec::new();
    let mut notices = Vec::new();
    let directory = match &told.credentials {
        Some(path) => {
            let loaded = accounts(path, "credentials", naming)?;
            let directory = loaded.directory();
            notices.extend(loaded.notices);
            files.push(loaded.file);
            Some(directory)
        }
        None => None,
    };
    let published = super::published(&told.http)?.map(|(published, file)| {
        files.push(file);
        published
    });
    let known = Known { accounts: directory.clone(), key: None, published };
    // Where certificates carry identities every realm asks for one; what else is there is asked
    // too.
    let identities = has_identities(&settings.protection);
    let authenticators = names(&told.http.schemes);
    let framework_authenticators = names(&told.http_framework_schemes);
    let asked = |said: bool, list: &Option<String>| list.is_some() && (said || identities);
    let flags = MasterFlags {
        authenticate_readonly: asked(told.http.readonly, &authenticators),
        authenticate_readwrite: asked(told.http.readwrite, &authenticators),
        authenticate_frameworks: asked(told.http_frameworks, &framework_authenticators),
        authenticators,
        framework_authenticators,
    };
    let http = Authentication::new(Realms::master(&flags, &known)?);
    let only = "only allowing authenticated";
    for (required, who) in [(told.frameworks, "frameworks"), (told.agents, "agents")] {
        let how = if required { only } else { "allowing unauthenticated" };
        tracing::info!("Master {how} {who} to register");
    }
    if told.http_frameworks || identities {
        tracing::info!("Master {only} HTTP frameworks to register");
    } else {
        tracing::info!("Master allowing HTTP frameworks to register without authentication");
    }
    notices.extend(weak(settings, naming, security));
    let sasl = Sasl {
        mechanisms: mechanisms(settings, naming, host, directory)?,
        timeout: told.timeout,
        danger_same_address_sessions: told.sasl.danger_same_address_sessions,
    };
    let (of, held) = (settings.clone(), security.clone());
    let facts = move || master_facts(&of, &held);
    let (http, files) = kept(http, told.audit_log.as_deref(), files, facts, notices)?;
    Ok(OfMaster { sasl, http, files })
}

/// What is offered to agents and frameworks.
fn mechanisms(
    settings: &MasterSettings,
    naming: Naming,
    host: &str,
    directory: Option<Arc<dyn Directory>>,
) -> anyhow::Result<Authenticators> {
    let told = &settings.authentication;
    let mut offered = told.sasl.mechanisms.clone();
    // Where nobody has a secret there is nothing to keep about salts.
    let keeps_salts = directory.is_some();
    let directory = match directory {
        Some(directory) => directory,
        None => {
            // The original offers its mechanism and refuses everybody; ours offers what somebody
            // could use.
            match naming {
                Naming::Mesos if told.agents || told.frameworks => {
                    tracing::warn!(
                        "No credentials provided, authentication requests will be refused"
                    );
                }
                Naming::Mesos => {}
                Naming::Alcazar => offered.retain(|one| *one == SaslMechanism::External),
            }
            Arc::new(Arc::new(Accounts::default()))
        }
    };
    let settings = ServerSettings {
        mechanisms: mechanism_names(&offered),
        danger_plaintext_secrets: told.sasl.danger_plaintext_secrets,
        host: host.to_owned(),
        salt_key: salt_key(settings.work_dir.as_deref().filter(|_| keeps_salts))?,
        iterations: derive::ITERATIONS,
    };
    let all = Authenticators::from_settings(&settings, &directory)?;
    tracing::info!(
        mechanisms = settings.mechanisms.join(","),
        "Using default 'crammd5' authenticator"
    );
    Ok(all)
}

/// From which the salts come of those whose secret is kept, and of those who are nobody. The same
/// after a restart: salts that change would tell who is nobody.
fn salt_key(work_dir: Option<&Path>) -> anyhow::Result<Secret> {
    const LENGTH: usize = 32;
    let fresh = || Secret::new(rand::rng().random::<[u8; LENGTH]>().to_vec());
    let Some(work_dir) = work_dir else { return Ok(fresh()) };
    let path = work_dir.join("salts.key");
    match std::fs::read(&path) {
        Ok(bytes) if bytes.len() == LENGTH => return Ok(Secret::new(bytes)),
        Ok(_) => tracing::warn!("'{}' was not complete: it is made anew", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read '{}'", path.display()));
        }
    }
    let key = fresh();
    crate::replace::replace(&path, key.expose(), 0o600)?;
    Ok(key)
}

/// What is weak because nobody said otherwise. (What somebody asked for has had its notice.)
fn weak(settings: &MasterSettings, naming: Naming, security: &Security) -> Vec<String> {
    let told = &settings.authentication;
    let mut notices = Vec::new();
    if naming == Naming::Alcazar || told.credentials.is_none() {
        return notices;
    }
    if is_plaintext(security) {
        notices.push(PLAINTEXT_BASIC.to_owned());
    }
    notices.extend(weak_sasl(&told.sasl, security));
    notices
}

#[cfg(test)]
mod authn_salts {
    use super::*;

    #[test]
    fn the_key_of_salts_outlives_a_restart_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let temp = tempfile::tempdir().unwrap();
        let first = salt_key(Some(temp.path())).unwrap();
        assert_eq!(salt_key(Some(temp.path())).unwrap(), first);
        let path = temp.path().join("salts.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        let second = salt_key(Some(temp.path())).unwrap();
        assert_ne!(second, first);
        assert_eq!(salt_key(Some(temp.path())).unwrap(), second);
        assert_ne!(salt_key(None).unwrap(), salt_key(None).unwrap());
    }
}
