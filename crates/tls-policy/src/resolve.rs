//! From what was said to what is done.

use std::fmt;
use std::path::PathBuf;

use crate::clients::{ClientCertificates, Demand};
use crate::notice::{DangerAccepted, Notice};
use crate::policy::{
    ChainRules, Inbound, MaterialPaths, NameCheck, Outbound, PlaintextPeers, Profile, Suites,
    TlsPolicy, TlsRules, TrustAnchors, Version, Versions, WhyPlaintext,
};
use crate::principal::PrincipalRules;
use crate::settings::{Naming, Said, TlsSettings};
use crate::support::CryptoSupport;

const CERT_FILE: &str = "LIBPROCESS_SSL_CERT_FILE";
const ENABLED: &str = "LIBPROCESS_SSL_ENABLED";
const KEY_FILE: &str = "LIBPROCESS_SSL_KEY_FILE";
const REQUIRE_CLIENT_CERT: &str = "LIBPROCESS_SSL_REQUIRE_CLIENT_CERT";
const SCHEME: &str = "LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME";
const VERIFY_SERVER_CERT: &str = "LIBPROCESS_SSL_VERIFY_SERVER_CERT";

/// How many certificates may stand above the leaf unless said otherwise.
const DEFAULT_DEPTH: u32 = 4;

/// A policy and what an operator should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What the driver loads.
    pub policy: TlsPolicy,
    /// For the log, in the order in which they arose.
    pub notices: Vec<Notice>,
}

/// One thing that keeps settings from being a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A boolean is given as itself and as its negation.
    #[error("`{variable}` and `{other}` are both set")]
    BothForms {
        /// One of them.
        variable: String,
        /// The other.
        other: String,
    },
    /// Two settings contradict each other.
    #[error("`{variable}` contradicts `{other}`: {reason}")]
    Contradiction {
        /// One of them.
        variable: String,
        /// The other.
        other: String,
        /// Why they cannot both hold.
        reason: &'static str,
    },
    /// TLS needs this and nobody gave it.
    #[error("`{variable}` is needed when `LIBPROCESS_SSL_ENABLED` is on")]
    Missing {
        /// The variable to set.
        variable: &'static str,
    },
    /// Every protocol version is off or too old.
    #[error(
        "no protocol version is left: TLS 1.2 and 1.3 are off (`LIBPROCESS_SSL_ENABLE_TLS_V1_2`, \
         `LIBPROCESS_SSL_ENABLE_TLS_V1_3`) and older ones are not spoken"
    )]
    NoVersion,
    /// A restriction that is not honoured yet; without it the program would run more open than
    /// it was told.
    #[error("`{variable}` is not honoured yet and nothing may run without it: {what}")]
    NotHonoured {
        /// The variable that restricts.
        variable: String,
        /// What it asks for.
        what: &'static str,
    },
    /// No such variable.
    #[error("`{variable}` is not a variable of this program{}", did_you_mean(.suggestion))]
    Unknown {
        /// The variable that was set.
        variable: String,
        /// The nearest one that exists.
        suggestion: Option<String>,
    },
    /// Nothing was said where our own commands do not take silence for consent.
    #[error("`{variable}`: {consequence}")]
    Unprotected {
        /// The variable that would protect.
        variable: &'static str,
        /// What follows from its absence.
        consequence: &'static str,
    },
    /// A file named by `file://` cannot be read.
    #[error("`{variable}` names `{path}`: {reason}")]
    Unreadable {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The value is not of the variable's type, or not one of those it may have.
    #[error("`{variable}` is `{value}`, expected {expected}")]
    Value {
        /// The variable.
        variable: String,
        /// What it says.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

/// All that keeps settings from being a policy; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

/// Decides. `support` is what the driver can honour; what restricts and cannot be honoured is an
/// error, what weakens and cannot be honoured is a notice.
pub fn resolve(settings: &TlsSettings, support: &CryptoSupport) -> Result<Resolved, PolicyErrors> {
    let mut resolving =
        Resolving { settings, support, errors: Vec::new(), notices: settings.notices.clone() };
    let policy = if is_on(&settings.enabled) {
        resolving.tls().map(TlsPolicy::Tls)
    } else {
        Some(TlsPolicy::Plaintext(resolving.plaintext()))
    };
    match policy {
        Some(policy) if resolving.errors.is_empty() => {
            Ok(Resolved { policy, notices: resolving.notices })
        }
        _ => Err(PolicyErrors(resolving.errors)),
    }
}

fn is_on(said: &Option<Said<bool>>) -> bool {
    said.as_ref().is_some_and(|s| s.value)
}

struct Resolving<'a> {
    settings: &'a TlsSettings,
    support: &'a CryptoSupport,
    errors: Vec<PolicyError>,
    notices: Vec<Notice>,
}

/// What is verified, after aliases and implications.
struct Verification {
    /// Who asked that clients present certificates.
    clients: Option<String>,
    /// Who asked that servers are verified.
    servers: Option<String>,
}

impl Resolving<'_> {
    fn plaintext(&mut self) -> WhyPlaintext {
        let s = self.settings;
        for said in [&s.require_client_cert, &s.require_cert, &s.verify_server_cert, &s.verify_cert]
        {
            if let Some(Said { value: true, variable }) = said {
                self.errors.push(PolicyError::Contradiction {
                    variable: variable.clone(),
                    other: ENABLED.to_owned(),
                    reason: "there is nothing to verify when TLS is off",
                });
            }
        }
        let paths = [&s.cert_file, &s.key_file, &s.ca_file, &s.ca_dir];
        for said in paths.into_iter().flatten() {
            let variable = said.variable.clone();
            let reason = "`LIBPROCESS_SSL_ENABLED` is not on, connections are not encrypted";
            self.notices.push(Notice::Ignored { variable, reason });
        }
        let danger = self.weak_by_silence(
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
        let plaintext_peers = self.plaintext_peers(&verification);
        let materials = self.materials();
        let name_check = self.name_check(&verification);
        let chain = self.chain();
        let (versions, suites, groups) = (self.versions(), self.suites(), self.groups());
        let inbound = match verification.clients {
            None => Inbound::AnyClient(self.weak_by_silence(
                REQUIRE_CLIENT_CERT,
                "it is not on, so whoever connects is served without proving who it is",
            )),
            // The scheme `openssl` checks no name of a client.
            Some(_) => match name_check? {
                NameCheck::ReverseDns { ip } => {
                    Inbound::ClientCertificate(chain.clone(), NameCheck::ReverseDns { ip })
                }
                NameCheck::ChainOnly | NameCheck::Dialled { .. } => {
                    Inbound::ClientCertificate(chain.clone(), NameCheck::ChainOnly)
                }
            },
        };
        let outbound = match verification.servers {
            None => Outbound::Unverified(self.weak_by_silence(
                VERIFY_SERVER_CERT,
                "it is not on, so anybody in between can pose as the peer that we connect to",
            )),
            Some(_) => Outbound::Verified(chain, name_check?),
        };
        let demand = match &inbound {
            Inbound::AnyClient(_) => Demand::None,
            Inbound::ClientCertificate(..) | Inbound::ComponentIdentity(_) => Demand::Required,
        };
        Some(TlsRules {
            inbound,
            outbound,
            client_certificates: ClientCertificates::everywhere(demand),
            principals: PrincipalRules::default(),
            revocation: None,
            plaintext_peers,
            profile: match self.settings.naming {
                Naming::Alcazar => Profile::Intermediate,
                Naming::Mesos => Profile::Mesos,
            },
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
        if let Some(by) = &clients
            && !self.support.required_client_certificates
        {
            let what = "clients without a verified certificate must be turned away";
            self.errors.push(PolicyError::NotHonoured { variable: by.clone(), what });
        }
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

    fn plaintext_peers(&mut self, verification: &Verification) -> PlaintextPeers {
        let Some(Said { value: true, variable }) = &self.settings.support_downgrade else {
            return PlaintextPeers::Refused;
        };
        let verified = verification.clients.as_ref().or(verification.servers.as_ref());
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

    fn materials(&mut self) -> Option<MaterialPaths> {
        let s = self.settings;
        if s.key_file.is_none() {
            self.errors.push(PolicyError::Missing { variable: KEY_FILE });
        }
        if s.cert_file.is_none() {
            self.errors.push(PolicyError::Missing { variable: CERT_FILE });
        }
        Some(MaterialPaths::one(&s.cert_file.as_ref()?.value, &s.key_file.as_ref()?.value))
    }

    /// The check of a server's name, after the scheme.
    fn name_check(&mut self, verification: &Verification) -> Option<NameCheck> {
        let ip = is_on(&self.settings.verify_ipadd);
        let said = self.settings.hostname_validation_scheme.as_ref();
        let (check, honoured) = match said.map_or("legacy", |s| s.value.as_str()) {
            "legacy" => (NameCheck::ReverseDns { ip }, self.support.reverse_dns_names),
            "openssl" => (NameCheck::Dialled { ip }, self.support.dialled_names),
            _ => {
                self.errors.extend(said.map(|s| PolicyError::Value {
                    variable: s.variable.clone(),
                    value: s.value.clone(),
                    expected: "`legacy` or `openssl`",
                }));
                return None;
            }
        };
        if verification.servers.is_some() && !honoured {
            self.errors.push(PolicyError::NotHonoured {
                variable: said.map_or_else(|| SCHEME.to_owned(), |s| s.variable.clone()),
                what: match check {
                    NameCheck::ReverseDns { .. } => {
                        "names must be checked by the scheme `legacy` (by looking up addresses)"
                    }
                    NameCheck::ChainOnly | NameCheck::Dialled { .. } => {
                        "names must be checked by the scheme `openssl`"
                    }
                },
            });
        }
        Some(check)
    }

    fn chain(&self) -> ChainRules {
        let s = self.settings;
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

    fn versions(&mut self) -> Option<Versions> {
        let s = self.settings;
        for (version, said) in [
            (Version::Ssl3, &s.enable_ssl_v3),
            (Version::Tls10, &s.enable_tls_v1_0),
            (Version::Tls11, &s.enable_tls_v1_1),
        ] {
            if let Some(Said { value: true, variable }) = said {
                let reason = if self.support.speaks(version) {
                    "the version is obsolete and never offered"
                } else {
                    "the TLS library does not speak it any more"
                };
                self.notices.push(Notice::Ignored { variable: variable.clone(), reason });
            }
        }
        // Silence means both: the original has 1.3 off because its executors could not reconnect.
        let wanted = |said: &Option<Said<bool>>| said.as_ref().is_none_or(|s| s.value);
        let versions = Versions {
            tls10: false,
            tls11: false,
            tls12: wanted(&s.enable_tls_v1_2) && self.support.speaks(Version::Tls12),
            tls13: wanted(&s.enable_tls_v1_3) && self.support.speaks(Version::Tls13),
        };
        if versions.tls12 || versions.tls13 {
            Some(versions)
        } else {
            self.errors.push(PolicyError::NoVersion);
            None
        }
    }

    fn suites(&mut self) -> Suites {
        let Some(said) = &self.settings.ciphers else {
            return match self.settings.naming {
                Naming::Alcazar => Suites::Modern,
                Naming::Mesos => Suites::Compatible,
            };
        };
        if said.value.trim().is_empty() {
            self.errors.push(PolicyError::Value {
                variable: said.variable.clone(),
                value: said.value.clone(),
                expected: "an OpenSSL cipher string",
            });
        }
        if said.value.split([':', ',', ' ']).any(proves_or_hides_nothing) {
            self.weak(&said.variable, "it allows suites without encryption or authentication");
        }
        Suites::Named(said.value.clone())
    }

    fn groups(&self) -> Option<String> {
        let said = self.settings.ecdh_curves.as_ref()?;
        (said.value != "auto").then(|| said.value.clone())
    }

    /// What the original does when told nothing. Under our own names a weakening has to be asked
    /// for.
    fn weak_by_silence(
        &mut self,
        setting: &'static str,
        consequence: &'static str,
    ) -> DangerAccepted {
        if self.settings.naming == Naming::Alcazar {
            self.errors.push(PolicyError::Unprotected { variable: setting, consequence });
        }
        self.weak(setting, consequence)
    }

    fn weak(&mut self, setting: &str, consequence: &'static str) -> DangerAccepted {
        let danger = DangerAccepted::asked_by(setting);
        self.notices.push(Notice::Weak { danger: danger.clone(), consequence });
        danger
    }
}

/// Whether an element of a cipher string adds suites with no encryption or no authentication.
fn proves_or_hides_nothing(element: &str) -> bool {
    !element.starts_with(['!', '-'])
        && ["NULL", "ADH", "AECDH", "COMPLEMENTOFALL"].iter().any(|bad| element.contains(bad))
}
