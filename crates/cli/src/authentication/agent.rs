//! How an agent authenticates: itself to its master, and those who come to it.

use std::path::Path;
use std::sync::Arc;

use agent::runtime::{ExecutorTokens, MasterAuthentication};
use anyhow::Context as _;
use authn::accounts::file::Entry;
use authn::jwt::Key;
use authn::live::Live;
use authn::sasl::offer::{Authenticatees, ClientSettings};
use authn::secret::Secret;
use endpoints::authentication::{AgentFlags, Authentication, Known, Realms};
use settings::{AgentSettings, Naming, SaslMechanism};
use transport::tls::Security;

use super::facts::agent_facts;
use super::{
    PLAINTEXT_BASIC, WatchedFile, WatchedFiles, accounts, has_identities, is_plaintext, kept,
    mechanism_names, names, read, rules, weak_sasl,
};

/// What an agent is started with.
#[derive(Debug)]
pub(crate) struct OfAgent {
    pub(crate) master: MasterAuthentication,
    pub(crate) executor_tokens: ExecutorTokens,
    pub(crate) http: Authentication,
    pub(crate) files: Arc<WatchedFiles>,
}

/// Reads what `settings` name.
pub(crate) fn of_agent(
    settings: &AgentSettings,
    naming: Naming,
    security: &Security,
) -> anyhow::Result<OfAgent> {
    let told = &settings.authentication;
    let mut files = Vec::new();
    let mut notices = Vec::new();
    let mechanisms = to_master(settings, naming, security, &mut files, &mut notices)?;
    let accounts = match &told.http_credentials {
        Some(path) => {
            let loaded = accounts(path, "http_credentials", naming)?;
            let directory = loaded.directory();
            notices.extend(loaded.notices);
            files.push(loaded.file);
            Some(directory)
        }
        None => None,
    };
    let jwt_key = match &told.jwt_secret_key {
        Some(path) => {
            let (key, said) = executor_key(path, naming)?;
            notices.extend(said);
            Some(key)
        }
        None => None,
    };
    let published = super::published(&told.http)?.map(|(published, file)| {
        files.push(file);
        published
    });
    let known = Known { accounts, key: jwt_key.clone().map(Key::of_file), published };
    // As with masters.
    let identities = has_identities(&settings.protection);
    let authenticators = names(&told.http.schemes);
    let asked = |said: bool| authenticators.is_some() && (said || identities);
    let flags = AgentFlags {
        authenticate_readonly: asked(told.http.readonly),
        authenticate_readwrite: asked(told.http.readwrite),
        // Where certificates carry identities executors have tokens in any case.
        authenticate_executors: told.http_executors && jwt_key.is_some(),
        authenticators: authenticators.clone(),
    };
    let http = Authentication::new(Realms::agent(&flags, &known)?);
    if is_plaintext(security) && naming == Naming::Mesos && told.http_credentials.is_some() {
        notices.push(PLAINTEXT_BASIC.to_owned());
    }
    let (of, held) = (settings.clone(), security.clone());
    let facts = move || agent_facts(&of, &held);
    let (http, files) = kept(http, told.audit_log.as_deref(), files, facts, notices)?;
    Ok(OfAgent {
        master: MasterAuthentication {
            mechanisms,
            timeout_min: told.timeout_min,
            timeout_max: told.timeout_max,
            backoff_factor: told.backoff_factor,
            danger_same_address_sessions: told.sasl.danger_same_address_sessions,
        },
        executor_tokens: ExecutorTokens {
            jwt_key: jwt_key.map(Key::of_file),
            required: told.http_executors,
            lifetime: told.executor_token_lifetime,
        },
        http,
        files,
    })
}

/// What the agent proves itself to its master with.
fn to_master(
    settings: &AgentSettings,
    naming: Naming,
    security: &Security,
    files: &mut Vec<WatchedFile>,
    notices: &mut Vec<String>,
) -> anyhow::Result<Option<Arc<Live<Authenticatees>>>> {
    let told = &settings.authentication;
    let external = told.sasl.mechanisms.contains(&SaslMechanism::External);
    let mechanisms = mechanism_names(&told.sasl.mechanisms);
    let client = {
        let danger_plaintext_secrets = told.sasl.danger_plaintext_secrets;
        let certificate = external && !is_plaintext(security);
        move |entry: Option<&Entry>| ClientSettings {
            mechanisms: mechanisms.clone(),
            danger_plaintext_secrets,
            credential: entry.map(Entry::credential),
            certificate,
        }
    };
    let Some(path) = &told.credential else {
        // Only a certificate, if somebody said so.
        let all = Authenticatees::from_settings(&client(None))?;
        return Ok((!all.is_empty()).then(|| Arc::new(Live::new(all))));
    };
    let (text, entry, said) = credential(path, naming)?;
    notices.extend(said);
    tracing::info!("Agent using credential for: {}", entry.principal.escape_debug());
    let all = Arc::new(Live::new(Authenticatees::from_settings(&client(Some(&entry)))?));
    let live = Arc::clone(&all);
    files.push(WatchedFile::new(path, text, move |path| {
        let (text, entry, notices) = credential(path, naming)?;
        let renewed = Authenticatees::from_settings(&client(Some(&entry)))?;
        let live = Arc::clone(&live);
        // It counts for the next time that the agent authenticates.
        Ok((text, notices, Box::new(move || live.replace(renewed))))
    }));
    if told.sasl.mechanisms.contains(&SaslMechanism::CramMd5) && naming == Naming::Mesos {
        notices.push(
            "a master that knows only CRAM-MD5 is believed without a proof of its own \
             (--sasl_mechanisms=SCRAM-SHA-256-PLUS,SCRAM-SHA-256 ends it)"
                .to_owned(),
        );
    }
    if naming == Naming::Mesos {
        notices.extend(weak_sasl(&told.sasl, security));
    }
    Ok(Some(all))
}

/// The agent's own file: its content, what it says, and what there is to say about it.
pub(super) fn credential(
    path: &Path,
    naming: Naming,
) -> anyhow::Result<(Secret, Entry, Vec<String>)> {
    let (text, mut notices) = read(path, "credential", "credential", naming)?;
    let entry = Entry::parse_single(text.expose(), rules(naming)).map_err(|error| {
        anyhow::anyhow!(
            "cannot use credential file '{}': {error} (see --credential flag)",
            path.display()
        )
    })?;
    if entry.credential().secret.is_empty() {
        notices.push(format!(
            "credential file '{}': the secret is empty: the master will not take it",
            path.display()
        ));
    }
    Ok((text, entry, notices))
}

/// The key of executors' tokens, all bytes of the file, and what there is to say about it.
pub(super) fn executor_key(path: &Path, naming: Naming) -> anyhow::Result<(Secret, Vec<String>)> {
    let (key, said) = read(path, "executor secret key", "jwt_secret_key", naming)
        .context("Failed to read the file specified by --jwt_secret_key")?;
    if key.is_empty() {
        anyhow::bail!("'{}' is empty (see --jwt_secret_key flag)", path.display());
    }
    Ok((key, said))
}
