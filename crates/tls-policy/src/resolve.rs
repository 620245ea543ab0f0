//! From what was said to what is done.

use std::borrow::Cow;

use crate::clients::ClientCertificates;
use crate::error::{PolicyError, PolicyErrors};
use crate::notice::{DangerAccepted, Notice};
use crate::policy::{
    ChainRules, Inbound, Outbound, PlaintextPeers, Profile, TlsPolicy, TlsRules, TrustAnchors,
    WhyPlaintext,
};
use crate::settings::{Naming, Said, TlsSettings};
use crate::support::CryptoSupport;

mod clients;
mod files;
mod identities;
mod names;
pub(crate) mod suites;
mod versions;

pub use identities::{OwnIdentity, resolve_identities};

const CLIENT_CERTS: &str = "LIBPROCESS_SSL_CLIENT_CERTS";
const ENABLED: &str = "LIBPROCESS_SSL_ENABLED";
const REQUIRE_CLIENT_CERT: &str = "LIBPROCESS_SSL_REQUIRE_CLIENT_CERT";
const VERIFY_SERVER_CERT: &str = "LIBPROCESS_SSL_VERIFY_SERVER_CERT";

/// How many intermediates may stand between the leaf and its root unless said otherwise.
const DEFAULT_DEPTH: u32 = 4;

/// A policy and what an operator should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What the driver loads.
    pub policy: TlsPolicy,
    /// For the log, in the order in which they arose.
    pub notices: Vec<Notice>,
}

/// Decides. `support` is what the driver can honour; what restricts and cannot be honoured is an
/// error, what weakens and cannot be honoured is a notice.
pub fn resolve(settings: &TlsSettings, support: &CryptoSupport) -> Result<Resolved, PolicyErrors> {
    let mut resolving = Resolving::new(settings, support);
    let policy = if is_on(&settings.enabled) {
        resolving.tls().map(TlsPolicy::Tls)
    } else {
        Some(TlsPolicy::Plaintext(resolving.plaintext()))
    };
    resolving.resolved(policy)
}

fn is_on(said: &Option<Said<bool>>) -> bool {
    said.as_ref().is_some_and(|s| s.value)
}

/// Whether somebody said `false`, which is more than nothing.
fn is_off(said: &Option<Said<bool>>) -> bool {
    said.as_ref().is_some_and(|s| !s.value)
}

struct Resolving<'a> {
    settings: &'a TlsSettings,
    support: &'a CryptoSupport,
    /// The profile that was asked for, and by which setting.
    profile: Option<(Profile, String)>,
    errors: Vec<PolicyError>,
    notices: Vec<Notice>,
}

/// What is verified, after aliases and implications.
struct Verification {
    /// Who asked that all clients present certificates.
    clients: Option<String>,
    /// Who asked that servers are verified.
    servers: Option<String>,
}

impl<'a> Resolving<'a> {
    fn new(settings: &'a TlsSettings, support: &'a CryptoSupport) -> Self {
        let notices = settings.notices.clone();
        let mut resolving = Self { settings, support, profile: None, errors: Vec::new(), notices };
        resolving.profile = resolving.said_profile();
        resolving
    }

    fn resolved(self, policy: Option<TlsPolicy>) -> Result<Resolved, PolicyErrors> {
        match policy {
            Some(policy) if self.errors.is_empty() => {
                Ok(Resolved { policy, notices: self.notices })
            }
            _ => Err(PolicyErrors(self.errors)),
        }
    }

    fn said_profile(&mut self) -> Option<(Profile, String)> {
        let Said { value, variable } = self.settings.profile.as_ref()?;
        let profile = match value.as_str() {
            "intermediate" => Profile::Intermediate,
            "mesos" => Profile::Mesos,
            "modern" => Profile::Modern,
            _ => {
                self.errors.push(PolicyError::Value {
                    variable: variable.clone(),
                    value: value.clone(),
                    expected: "`modern`, `intermediate` or `mesos`",
                });
                return None;
            }
        };
        Some((profile, variable.clone()))
    }

    /// The profile that fills in what was not said.
    fn profile(&self) -> Profile {
        match (&self.profile, self.settings.naming) {
            (Some((profile, _)), _) => *profile,
            (None, Naming::Alcazar) => Profile::Intermediate,
            (None, Naming::Mesos) => Profile::Mesos,
        }
    }

    fn plaintext(&mut self) -> WhyPlaintext {
        let s = self.settings;
        let switches =
            [&s.require_client_cert, &s.require_cert, &s.verify_server_cert, &s.verify_cert];
        let switches = switches.into_iter().flatten().filter(|s| s.value).map(|s| &s.variable);
        let restrictions = switches
            .chain(s.crl_file.as_ref().map(|s| &s.variable))
            .chain(s.client_certs.as_ref().map(|s| &s.variable));
        // The original looks at nothing else when TLS is off. Somebody who says so by name while
        // the rest stays in place (the way back of an upgrade) is believed; a forgotten
        // `ENABLED` is not.
        let by_name = s.naming == Naming::Mesos && is_off(&s.enabled);
        for variable in restrictions.cloned() {
            if by_name {
                let reason = "`LIBPROCESS_SSL_ENABLED` is off, nobody is verified";
                self.notices.push(Notice::Ignored { variable, reason });
            } else {
                self.errors.push(PolicyError::Contradiction {
                    variable,
                    other: ENABLED.to_owned(),
                    reason: "there is nothing to verify when TLS is off",
                });
            }
        }
        let paths = [&s.cert_file, &s.key_file, &s.ca_file, &s.ca_dir, &s.alt_cert_file];
        let texts = [&s.profile, &s.principal_rules];
        let paths = paths.into_iter().flatten().map(|s| &s.variable);
        let texts = texts.into_iter().flatten().map(|s| &s.variable);
        for variable in paths.chain(texts) {
            let variable = variable.clone();
            let reason = "`LIBPROCESS_SSL_ENABLED` is not on, connections are not encrypted";
            self.notices.push(Notice::Ignored { variable, reason });
        }
        let danger = self.weak_by_silence(
            false,
            ENABLED,
            "it is not on, so connections are neither encrypted nor authenticated: whoever \
             reaches the port can read and send everything",
        );
        WhyPlaintext::NotEnabled(danger)
    }

    fn tls(&mut self) -> Option<TlsRules> {
        if let (Some(said), false) = (&self.settings.enabled, self.support.unidentified_peers) {
            let variable = said.variable.clone();
            let what = "connections must be encrypted, with peers that carry no identity of the \
                        cluster";
            self.errors.push(PolicyError::NotHonoured { variable, what });
        }
        let verification = self.verification();
        let client_certificates = self.client_certificates(&verification);
        let clients_asked = client_certificates.as_ref().is_some_and(ClientCertificates::asked);
        let anybody_verified = clients_asked || verification.servers.is_some();
        let plaintext_peers = self.plaintext_peers(&verification, client_certificates.as_ref());
        let materials = self.materials();
        let names = self.names(verification.servers.is_some(), anybody_verified);
        let chain = self.chain(anybody_verified);
        let revocation = self.revocation(anybody_verified);
        let versions = self.versions();
        let suites = self.suites(versions.as_ref());
        let groups = self.groups();
        let principals = self.principals(clients_asked);
        let reload = self.reload();
        let client_certificates = client_certificates?;
        let inbound = if clients_asked {
            if chain.anchors == TrustAnchors::System {
                self.weak(
                    "LIBPROCESS_SSL_CA_FILE",
                    "it is not given, so a certificate of any public authority lets its owner in",
                );
            }
            Inbound::ClientCertificate(chain.clone(), names?.of_clients())
        } else {
            let said = is_off(&self.settings.require_client_cert)
                || is_off(&self.settings.require_cert)
                || self.settings.client_certs.is_some();
            let (setting, consequence) = match &self.settings.client_certs {
                None => (
                    REQUIRE_CLIENT_CERT,
                    "it is not on, so whoever connects is served without proving who it is",
                ),
                Some(_) => (
                    CLIENT_CERTS,
                    "it asks for nothing, so whoever connects is served without proving who it is",
                ),
            };
            Inbound::AnyClient(self.weak_by_silence(said, setting, consequence))
        };
        let outbound = match verification.servers {
            None => {
                let said =
                    is_off(&self.settings.verify_server_cert) || is_off(&self.settings.verify_cert);
                Outbound::Unverified(self.weak_by_silence(
                    said,
                    VERIFY_SERVER_CERT,
                    "it is not on, so anybody in between can pose as the peer that we connect to",
                ))
            }
            Some(_) => Outbound::Verified(chain, names?),
        };
        Some(TlsRules {
            inbound,
            outbound,
            client_certificates,
            principals: principals?,
            revocation,
            reload: reload?,
            plaintext_peers,
            profile: self.profile(),
            versions: versions?,
            suites,
            groups,
            materials: materials?,
        })
    }

    fn verification(&mut self) -> Verification {
        let s = self.settings;
        let servers = self.either(&s.verify_server_cert, &s.verify_cert, VERIFY_SERVER_CERT);
        let clients = self.either(&s.require_client_cert, &s.require_cert, REQUIRE_CLIENT_CERT);
        if let Some(by) = &servers
            && !self.support.server_chains
        {
            let what = "servers must be verified against the given roots";
            self.errors.push(PolicyError::NotHonoured { variable: by.clone(), what });
        }
        let servers = match (servers, &clients) {
            (None, Some(by)) => {
                self.notices.push(Notice::Implied { setting: VERIFY_SERVER_CERT, by: by.clone() });
                if !self.support.server_chains {
                    let what = "it implies that servers are verified against the given roots";
                    self.errors.push(PolicyError::NotHonoured { variable: by.clone(), what });
                }
                Some(by.clone())
            }
            (servers, _) => servers,
        };
        Verification { clients, servers }
    }

    /// Which of the two names of one setting turns it on: an explicit `false` of the new name
    /// does not undo the old one.
    fn either(
        &mut self,
        new: &Option<Said<bool>>,
        old: &Option<Said<bool>>,
        name: &'static str,
    ) -> Option<String> {
        if let Some(said) = old {
            let variable = said.variable.clone();
            self.notices.push(Notice::Deprecated { variable, instead: name });
        }
        [new, old].into_iter().flatten().find(|s| s.value).map(|s| s.variable.clone())
    }

    fn plaintext_peers(
        &mut self,
        verification: &Verification,
        clients: Option<&ClientCertificates>,
    ) -> PlaintextPeers {
        let Some(Said { value: true, variable }) = &self.settings.support_downgrade else {
            return PlaintextPeers::Refused;
        };
        let asked = clients.is_some_and(ClientCertificates::asked);
        let client_certs = self.settings.client_certs.as_ref().filter(|_| asked);
        let verified = (verification.clients.as_ref())
            .or(verification.servers.as_ref())
            .or(client_certs.map(|said| &said.variable));
        if let (Some(other), Naming::Alcazar) = (verified, self.settings.naming) {
            self.errors.push(PolicyError::Contradiction {
                variable: variable.clone(),
                other: other.clone(),
                reason: "whoever refuses TLS would get around the verification",
            });
        }
        if !self.support.downgrade {
            let reason = "plain peers are not served on a port that speaks TLS";
            self.notices.push(Notice::Ignored { variable: variable.clone(), reason });
            return PlaintextPeers::Refused;
        }
        let consequence = if verified.is_some() {
            "whoever refuses TLS is served in plaintext and gets around every verification"
        } else {
            "whoever refuses TLS is served in plaintext"
        };
        PlaintextPeers::Accepted(self.weak(variable, consequence))
    }

    fn chain(&mut self, verified: bool) -> ChainRules {
        let s = self.settings;
        if !verified {
            let paths = [&s.ca_file, &s.ca_dir].into_iter().flatten().map(|s| &s.variable);
            let depth = s.verification_depth.as_ref().map(|s| &s.variable);
            for variable in paths.chain(depth).cloned() {
                self.notices.push(Notice::Ignored { variable, reason: "nobody is verified" });
            }
        }
        let anchors = match (&s.ca_file, &s.ca_dir) {
            (None, None) => TrustAnchors::System,
            (file, dir) => TrustAnchors::Files {
                file: file.as_ref().map(|said| said.value.clone()),
                dir: dir.as_ref().map(|said| said.value.clone()),
            },
        };
        let depth = s.verification_depth.as_ref().map_or(DEFAULT_DEPTH, |said| said.value);
        // The libraries count with signed numbers.
        ChainRules { anchors, depth: depth.min(i32::MAX.unsigned_abs()) }
    }

    /// What a profile that was asked for excludes: a contradiction under our own names, a notice
    /// under the original's. Returns whether it is excluded.
    fn excluded(&mut self, variable: &str, reason: &'static str) -> bool {
        let Some((_, profile)) = &self.profile else { return false };
        match self.settings.naming {
            Naming::Alcazar => self.errors.push(PolicyError::Contradiction {
                variable: variable.to_owned(),
                other: profile.clone(),
                reason,
            }),
            Naming::Mesos => {
                self.notices.push(Notice::Ignored { variable: variable.to_owned(), reason });
            }
        }
        true
    }

    /// What the original does when told nothing. Under our own names a weakening has to be asked
    /// for: silence is an error, an explicit `false` (`said`) is not.
    fn weak_by_silence(
        &mut self,
        said: bool,
        setting: &'static str,
        consequence: &'static str,
    ) -> DangerAccepted {
        if self.settings.naming == Naming::Alcazar && !said {
            self.errors.push(PolicyError::Unprotected { variable: setting, consequence });
        }
        self.weak(setting, consequence)
    }

    fn weak(&mut self, setting: &str, consequence: impl Into<Cow<'static, str>>) -> DangerAccepted {
        let danger = DangerAccepted::asked_by(setting);
        let consequence = consequence.into();
        self.notices.push(Notice::Weak { danger: danger.clone(), consequence });
        danger
    }

    fn text_error(&mut self, variable: &str, problem: impl Into<String>) {
        let (variable, problem) = (variable.to_owned(), problem.into());
        self.errors.push(PolicyError::Text { variable, problem });
    }
}
