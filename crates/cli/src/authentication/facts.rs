//! What a daemon was told about who is who, for the doctor.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use authn::accounts::file::{CredentialFile, Remark, Rules};
use authn::diagnosis::{Facts, FileFacts, Program, RealmFacts, SaslFacts, Wire};
use settings::{AgentSettings, HttpScheme, MasterSettings, SaslMechanism, SaslSettings};
use tls_policy::{
    ClientCertificates, Demand, Inbound, MESSAGES, Outbound, PlaintextPeers, TlsRules,
};
use transport::tls::Security;

use super::{files, has_identities, is_plaintext, mechanism_names, names};

/// What is to be known about a master.
pub(crate) fn master_facts(settings: &MasterSettings, security: &Security) -> Facts {
    let told = &settings.authentication;
    let schemes = &told.http.schemes;
    let realms = [
        ("mesos-master-readonly", told.http.readonly, schemes),
        ("mesos-master-readwrite", told.http.readwrite, schemes),
        ("mesos-master-scheduler", told.http_frameworks, &told.http_framework_schemes),
    ];
    let program = Program::Master {
        agents: told.agents,
        frameworks: told.frameworks,
        framework_schemes: !told.http_framework_schemes.is_empty(),
    };
    Facts {
        files: files([("credentials", told.credentials.as_deref(), true)]),
        accounts: told.credentials.is_some(),
        audit_log: told.audit_log.is_some(),
        identities: has_identities(&settings.protection),
        ..facts(program, security, &realms, &told.sasl)
    }
}

/// What is to be known about an agent.
pub(crate) fn agent_facts(settings: &AgentSettings, security: &Security) -> Facts {
    let told = &settings.authentication;
    let schemes = &told.http.schemes;
    let realms = [
        ("mesos-agent-readonly", told.http.readonly, schemes),
        ("mesos-agent-readwrite", told.http.readwrite, schemes),
        ("mesos-agent-executor", told.http_executors, schemes),
    ];
    let external = told.sasl.mechanisms.contains(&SaslMechanism::External);
    let credential = told.credential.is_some() || (external && !is_plaintext(security));
    Facts {
        files: files([
            ("credential", told.credential.as_deref(), false),
            ("http_credentials", told.http_credentials.as_deref(), true),
            ("jwt_secret_key", told.jwt_secret_key.as_deref(), false),
        ]),
        accounts: told.http_credentials.is_some(),
        jwt_key: told.jwt_secret_key.is_some(),
        audit_log: told.audit_log.is_some(),
        identities: has_identities(&settings.protection),
        ..facts(Program::Agent { credential }, security, &realms, &told.sasl)
    }
}

fn facts(
    program: Program,
    security: &Security,
    realms: &[(&'static str, bool, &Vec<HttpScheme>)],
    sasl: &SaslSettings,
) -> Facts {
    let rules = security.contexts().map(|contexts| contexts.rules());
    let certified = |door: &str| rules.is_some_and(|rules| is_certified(rules, door));
    let realms = realms.iter().map(|(name, asked, schemes)| {
        let asks = if *asked { names(schemes) } else { None };
        RealmFacts {
            name,
            asks: asks.iter().flat_map(|asks| asks.split(',')).map(ToOwned::to_owned).collect(),
            certified: certified(name),
        }
    });
    Facts {
        program,
        wire: match rules.map(|rules| &rules.plaintext_peers) {
            None => Wire::Plaintext,
            Some(PlaintextPeers::Accepted(_)) => Wire::Downgrade,
            Some(PlaintextPeers::Refused) => Wire::Encrypted,
        },
        identities: false,
        servers_verified: rules
            .is_some_and(|rules| !matches!(rules.outbound, Outbound::Unverified(_))),
        messages_certified: certified(MESSAGES),
        realms: realms.collect(),
        sasl: SaslFacts {
            mechanisms: mechanism_names(&sasl.mechanisms),
            danger_plaintext_secrets: sasl.danger_plaintext_secrets,
            danger_same_address_sessions: sasl.danger_same_address_sessions,
        },
        files: Vec::new(),
        accounts: false,
        jwt_key: false,
        audit_log: false,
    }
}

/// Whether nobody comes in at a door without a verified certificate.
fn is_certified(rules: &TlsRules, door: &str) -> bool {
    let at = |certificates: &ClientCertificates| certificates.at(door) == Demand::Required;
    !matches!(rules.inbound, Inbound::AnyClient(_))
        && matches!(rules.plaintext_peers, PlaintextPeers::Refused)
        && at(&rules.client_certificates)
}

fn files<const N: usize>(all: [(&'static str, Option<&Path>, bool); N]) -> Vec<FileFacts> {
    let given = all.into_iter().filter_map(|(flag, path, list)| Some((flag, path?, list)));
    given.map(|(flag, path, list)| file(flag, path, list)).collect()
}

/// What is to be known about a file. One that cannot be read is not spoken of here: the daemon
/// does not start with it, or goes on with what it said before.
fn file(flag: &'static str, path: &Path, list: bool) -> FileFacts {
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode());
    let mut facts = FileFacts {
        flag,
        path: path.display().to_string(),
        open_to_others: mode & 0o007 != 0,
        ..FileFacts::default()
    };
    if !list {
        return facts;
    }
    let text = files::content(path, flag);
    let parsed = text.map(|text| CredentialFile::parse(text.expose(), Rules::Mesos));
    if let Ok(Ok(parsed)) = parsed {
        facts.entries = Some(parsed.entries.len());
        for remark in parsed.remarks() {
            match remark {
                Remark::Nobody => {}
                Remark::Duplicate(name) => facts.duplicate.push(name),
                Remark::EmptySecret(name) => facts.empty.push(name),
                Remark::Plaintext(_) => facts.plaintext += 1,
                Remark::WithoutKinds(_) => facts.without_kinds += 1,
                Remark::Rotating(name) => facts.rotating.push(name),
            }
        }
    }
    facts
}
